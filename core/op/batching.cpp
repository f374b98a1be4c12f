#include "op/batching.h"

#include "op/api.h"
#include "op/rules.h"

namespace sn {

Dims with_front(int64_t size, DimSpan shape) {
    Dims out(shape);
    out.insert(0, size);
    return out;
}

Dims next_axes(DimSpan axes) {
    Dims out(axes);
    for (int64_t& axis : out) ++axis;
    return out;
}

Tensor BatchCall::spread(size_t i) const {
    return batched[i] ? in[i] : expand(in[i], with_front(size, in[i].shape()));
}

Tensor BatchCall::raised(size_t i, int to) const {
    if (!batched[i] || rank(i) >= to) return in[i];
    Dims shape{size};
    for (int d = rank(i); d < to; ++d) shape.push_back(1);
    for (int64_t n : this->shape(i)) shape.push_back(n);
    return reshape(in[i], shape);
}

Tensor BatchCall::numbers(int to) const {
    Dims shape(static_cast<size_t>(to) + 1, 1);
    shape[0] = size;
    return reshape(arange(0, 1, size, DType::kI64, in[0].device()), shape);
}

bool BatchCall::call(std::span<const Tensor> operands, const Attrs& attributes) {
    record(def.id, operands, attributes, out);
    return true;
}

Attrs EditedAttrs::get() const {
    Attrs out;
    const auto& types = call_.def.attr_types;
    for (size_t k = 0; k < types.size(); ++k) {
        const int at = static_cast<int>(k);
        if (types[k] == AttrType::kInts)
            out.ints(replaced_[k] ? DimSpan(ints_[k]) : call_.attrs.ints(at));
        else
            out.i(replaced_[k] ? ints_[k][0] : call_.attrs.i(at));
    }
    return out;
}

Attrs same_attrs(const BatchCall& c) { return EditedAttrs(c).get(); }

bool batch_elementwise(BatchCall& c) {
    int rank = 0;
    for (size_t i = 0; i < c.in.size(); ++i) rank = std::max(rank, c.rank(i));
    std::vector<Tensor> in;
    for (size_t i = 0; i < c.in.size(); ++i) in.push_back(c.raised(i, rank));
    return c.call(in, same_attrs(c));
}

bool batch_leading(BatchCall& c) {
    std::vector<Tensor> in;
    for (size_t i = 0; i < c.in.size(); ++i) in.push_back(c.spread(i));
    return c.call(in, same_attrs(c));
}

bool batch_joined(BatchCall& c, AxisOf in_axis, AxisOf out_axis) {
    const int64_t front[] = {0};
    std::vector<Tensor> in(c.in.begin(), c.in.end()), out(c.out.size());
    for (size_t i = 0; i < in.size(); ++i) {
        const int axis = in_axis(i, c.rank(i));
        if (axis < 0 && c.batched[i]) return false;
        if (axis < 0) continue;
        const int64_t at[] = {axis};
        Dims shape(c.shape(i));
        shape[axis] *= c.size;
        in[i] = reshape(moveaxis(c.spread(i), front, at), shape);
    }
    record(c.def.id, in, same_attrs(c), out);
    for (size_t k = 0; k < out.size(); ++k) {
        const int axis = out_axis(k, out[k].rank());
        const int64_t at[] = {axis};
        Dims shape(out[k].shape());
        shape[axis] /= c.size;
        shape.insert(axis, c.size);
        c.out[k] = moveaxis(reshape(out[k], shape), at, front);
    }
    return true;
}

namespace {

void call_each(BatchCall& c, std::span<const ValueInfo> out) {
    if (c.size == 0) {
        for (size_t k = 0; k < out.size(); ++k) {
            const Meta& m = out[k].meta;
            c.out[k] = full(with_front(0, m.shape), 0, m.dtype, m.device);
        }
        return;
    }
    std::vector<std::vector<Tensor>> results(out.size());
    const Attrs attrs = same_attrs(c);
    const int64_t front[] = {0};
    for (int64_t b = 0; b < c.size; ++b) {
        std::vector<Tensor> in(c.in.begin(), c.in.end()), each(out.size());
        for (size_t i = 0; i < in.size(); ++i)
            if (c.batched[i]) in[i] = squeeze(narrow(in[i], 0, b, 1), front);
        // Each example draws anew; the trace has counted one draw for all of them.
        if (c.def.draws && c.randomness == Randomness::kDifferent && b > 0) {
            const RandomState state = random_state();
            in.back() = Tensor(static_cast<int64_t>(state.counter));
            set_random_state({state.seed, state.counter + 1});
        }
        record(c.def.id, in, attrs, each);
        for (size_t k = 0; k < each.size(); ++k) results[k].push_back(each[k]);
    }
    for (size_t k = 0; k < out.size(); ++k) c.out[k] = stack(results[k], 0);
}

}  // namespace

void call_batched(BatchCall& c, std::span<const ValueInfo> out) {
    if (c.size == 0 || !c.def.batch || !c.def.batch(c)) call_each(c, out);
    for (size_t k = 0; k < out.size(); ++k) {
        const Meta& m = out[k].meta;
        if (c.out[k].dtype() == m.dtype && c.out[k].shape() == with_front(c.size, m.shape))
            continue;
        fail(ErrorKind::kInternal, c.def.name,
             "the batching rule gave %s%s for a batch of %lld results %s%s",
             dtype_name(c.out[k].dtype()), format_shape(c.out[k].shape()).c_str(), ll(c.size),
             dtype_name(m.dtype), format_shape(m.shape).c_str());
    }
}

}  // namespace sn
