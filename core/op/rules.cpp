#include "op/rules.h"

#include "op/api.h"
#include "record/tape.h"

namespace sn {

Dims all_axes(int rank) { return trailing_axes(rank, rank); }

Dims trailing_axes(int rank, int64_t count) {
    Dims axes;
    for (int64_t i = rank - count; i < rank; ++i) axes.push_back(i);
    return axes;
}

Dims keepdims_shape(DimSpan shape, DimSpan axes) {
    Dims out(shape);
    for (int64_t axis : axes) out[axis] = 1;
    return out;
}

Dims reduced_shape(DimSpan shape, DimSpan axes, bool keepdims) {
    Dims out = keepdims_shape(shape, axes);
    if (!keepdims) {
        for (size_t i = axes.size(); i-- > 0;) out.erase(axes[i]);
    }
    return out;
}

int64_t count_along(DimSpan shape, DimSpan axes) {
    int64_t count = 1;
    for (int64_t axis : axes) count *= shape[axis];
    return count;
}

Tensor to_compute(const Tensor& x) { return cast(x, compute_dtype(x.dtype())); }

Tensor axis_to_last(const Tensor& x, int axis) {
    if (axis == x.rank() - 1) return x;
    Dims order = all_axes(x.rank());
    order.erase(axis);
    order.push_back(axis);
    return permute(x, order);
}

Tensor axis_from_last(const Tensor& x, int axis) {
    if (axis == x.rank() - 1) return x;
    Dims order = all_axes(x.rank() - 1);
    order.insert(axis, x.rank() - 1);
    return permute(x, order);
}

Tensor vector_of(const Tensor& x) { return x.rank() == 0 ? reshape(x, Dims{1}) : x; }
Tensor like(const Tensor& out, const Tensor& x) {
    return x.rank() == 0 && out.numel() == 1 ? reshape(out, Dims{}) : out;
}

void require_float(const char* op, const char* what, DType dtype) {
    if (is_float(dtype)) return;
    fail(ErrorKind::kDType, op,
         "%s has dtype %s; a floating-point dtype is required; convert with .astype(sn.float32)",
         what, dtype_name(dtype));
}

void grad_composed(GradCall& c, std::span<const int> reads, Compose compose) {
    std::vector<Tensor> leaves(c.n_in()), targets, roots, seeds;
    std::vector<int> target_operands;
    for (int i : reads) {
        const Tensor t = c.in(i);
        leaves[i] = c.needs(i) ? relay(t) : t.detach();
        if (!c.needs(i)) continue;
        targets.push_back(leaves[i]);
        target_operands.push_back(i);
    }
    const bool again = grad_enabled();
    set_grad_enabled(true);
    const std::vector<Tensor> results = compose(leaves);
    set_grad_enabled(again);
    for (size_t k = 0; k < c.out_grads.size(); ++k) {
        if (!c.has_grad(static_cast<int>(k)) || !results[k] || !results[k].requires_grad())
            continue;
        roots.push_back(results[k]);
        seeds.push_back(c.grad(static_cast<int>(k)));
    }
    if (roots.empty()) return;
    BackwardOptions options;
    options.create_graph = again;
    options.accumulate = false;
    options.targets = targets;
    std::vector<Tensor> found = backward(roots, seeds, options);
    for (size_t k = 0; k < found.size(); ++k) c.set(target_operands[k], std::move(found[k]));
}

}  // namespace sn
