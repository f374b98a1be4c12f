#include <unordered_map>

#include "op/op.h"
#include "pass/pass.h"

namespace sn {

Dims channels_last_strides(DimSpan shape) {
    // Memory order: batch, spatial dimensions, channels.
    Dims strides;
    strides.resize(shape.size());
    strides[1] = 1;
    int64_t step = std::max<int64_t>(shape[1], 1);
    for (size_t i = shape.size(); i-- > 2;) {
        strides[i] = step;
        step *= std::max<int64_t>(shape[i], 1);
    }
    strides[0] = step;
    return strides;
}

namespace {

bool same_layout(DimSpan shape, DimSpan a, DimSpan b) {
    for (size_t i = 0; i < shape.size(); ++i) {
        if (shape[i] == 0) return true;
        if (shape[i] > 1 && a[i] != b[i]) return false;
    }
    return true;
}

// Elements lie without gaps or overlaps, in some order of the dimensions.
bool is_dense(DimSpan shape, DimSpan strides) {
    SmallVec<uint32_t, 6> order;
    for (uint32_t i = 0; i < shape.size(); ++i)
        if (shape[i] > 1) order.push_back(i);
    for (size_t i = 1; i < order.size(); ++i)
        for (size_t j = i; j > 0 && strides[order[j]] < strides[order[j - 1]]; --j)
            std::swap(order[j], order[j - 1]);
    int64_t step = 1;
    for (uint32_t i : order) {
        if (strides[i] != step) return false;
        step *= shape[i];
    }
    return true;
}

class LayoutPass {
public:
    LayoutPass(Program& program, std::span<const Dims> input_strides)
        : program_(program),
          old_(std::move(program.graph)),
          input_strides_(input_strides),
          to_(old_.values.size(), kNone) {}
    void run();

private:
    ValueId add_node(const Node& n, std::span<const ValueId> in);
    ValueId copied(ValueId v, const Dims& strides, uint32_t origin);
    ValueId copy_made(ValueId v, const Dims& strides) const;
    void place_view(const Node& n, SmallVec<ValueId, 8>& in);
    Dims elementwise_strides(const Node& n, std::span<const ValueId> in) const;
    void choose_strides(const Node& n, ValueId first, std::span<const ValueId> in);

    Program& program_;
    const Graph old_;
    std::span<const Dims> input_strides_;
    std::vector<ValueId> to_;
    Graph fresh_;
    std::vector<Dims> strides_;
    std::vector<uint8_t> view_;
    std::unordered_map<uint64_t, ValueId> copies_;  // value and layout -> copy
};

ValueId LayoutPass::add_node(const Node& n, std::span<const ValueId> in) {
    const ValueId first = fresh_.take_node(old_, n, in);
    for (uint32_t k = 0; k < n.n_out; ++k)
        strides_.push_back(contiguous_strides(fresh_.meta(first + k).shape));
    view_.push_back(0);
    for (uint32_t k = 0; k < n.n_out; ++k) to_[n.first_out + k] = first + k;
    return first;
}

// The value in the wanted layout: itself, or a copy that later users share.
ValueId LayoutPass::copied(ValueId v, const Dims& strides, uint32_t origin) {
    const Meta& m = fresh_.meta(v);
    if (fresh_.values[v].kind == ValueKind::kScalar) return v;
    if (same_layout(m.shape, strides_[v], strides)) return v;
    const bool row_major = is_contiguous(m.shape, strides);
    const auto [it, is_new] = copies_.emplace(static_cast<uint64_t>(v) * 2 + row_major, kNone);
    if (!is_new) return it->second;
    static const OpId id = find_op("contiguous");
    const Meta meta = m;
    const ValueId copy = fresh_.add_node(id, std::span<const ValueId>(&v, 1), {},
                                         std::span<const Meta>(&meta, 1), origin);
    strides_.push_back(strides);
    view_.push_back(0);
    it->second = copy;
    return copy;
}

// The copy of the value in this layout that an earlier node has asked for, or the value itself.
ValueId LayoutPass::copy_made(ValueId v, const Dims& strides) const {
    if (fresh_.values[v].kind == ValueKind::kScalar) return v;
    const Dims& shape = fresh_.meta(v).shape;
    if (shape.size() != strides.size() || same_layout(shape, strides_[v], strides)) return v;
    const auto it = copies_.find(static_cast<uint64_t>(v) * 2 + is_contiguous(shape, strides));
    return it != copies_.end() && same_layout(shape, strides_[it->second], strides) ? it->second
                                                                                    : v;
}

// Elementwise results keep the dense order of a full-sized operand, so that channels-last
// activations stay channels last through batch norm, activations and residual sums.
Dims LayoutPass::elementwise_strides(const Node& n, std::span<const ValueId> in) const {
    const Meta& out = old_.meta(n.first_out);
    const Dims row_major = contiguous_strides(out.shape);
    for (ValueId v : in) {
        if (fresh_.values[v].kind == ValueKind::kScalar || !(fresh_.meta(v).shape == out.shape))
            continue;
        if (same_layout(out.shape, strides_[v], row_major)) continue;
        if (is_dense(out.shape, strides_[v])) return strides_[v];
    }
    return row_major;
}

void LayoutPass::choose_strides(const Node& n, ValueId first, std::span<const ValueId> in) {
    std::vector<const Meta*> metas;
    std::vector<Dims> strides;
    for (ValueId v : in) {
        metas.push_back(&fresh_.meta(v));
        strides.push_back(strides_[v]);
    }
    for (uint32_t k = 0; k < n.n_out; ++k) {
        OutStridesCall call{static_cast<int>(k), &fresh_.meta(first + k), metas, strides};
        strides_[first + k] = op_def(n.op).out_strides(call);
    }
}

void LayoutPass::place_view(const Node& n, SmallVec<ValueId, 8>& in) {
    const OpDef& def = op_def(n.op);
    const auto attempt = [&](ValueId source) {
        const Meta out = old_.meta(n.first_out);
        ViewCall call{attr_view(old_, n), &fresh_.meta(source), strides_[source], &out, {}, 0, {}};
        if (!def.view(call)) return false;
        in[0] = source;
        const ValueId v = add_node(n, in);
        strides_[v] = call.strides;
        view_.back() = 1;
        return true;
    };
    if (attempt(in[0])) return;
    const bool placed =
        attempt(copied(in[0], contiguous_strides(fresh_.meta(in[0]).shape), n.origin));
    SN_CHECK(placed);
}

void LayoutPass::run() {
    fresh_.reserve_as(old_);
    strides_.reserve(old_.values.size());
    view_.reserve(old_.nodes.size());
    for (size_t i = 0; i < old_.inputs.size(); ++i) {
        const ValueId v = old_.inputs[i];
        to_[v] = fresh_.add_input(old_.meta(v));
        strides_.push_back(input_strides_[i]);
    }
    for (ValueId v : old_.scalars) {
        to_[v] = fresh_.add_scalar(old_.meta(v).dtype, old_.meta(v).device);
        strides_.emplace_back();
    }
    for (const Node& n : old_.nodes) {
        const OpDef& def = op_def(n.op);
        SmallVec<ValueId, 8> in;
        for (ValueId v : old_.in(n)) in.push_back(to_[v]);
        if (def.view && fresh_.values[in[0]].kind != ValueKind::kScalar) {
            place_view(n, in);
            continue;
        }
        if (def.layout == Layout::kContiguous) {
            for (size_t i = 0; i < in.size(); ++i)
                if (!(def.any_layout_in >> i & 1))
                    in[i] = copied(in[i], contiguous_strides(fresh_.meta(in[i]).shape), n.origin);
        } else if (def.layout == Layout::kChannelsLast) {
            for (size_t i = 0; i < in.size(); ++i) {
                const Dims shape = fresh_.meta(in[i]).shape;
                bool backwards = false;
                for (int64_t step : strides_[in[i]]) backwards |= step < 0;
                if ((def.channels_last_in >> i & 1) && shape.size() >= 3)
                    in[i] = copied(in[i], channels_last_strides(shape), n.origin);
                else if (backwards)
                    in[i] = copied(in[i], contiguous_strides(shape), n.origin);
            }
        }
        const bool elementwise = def.tile_op >= 0 || def.cast;
        Dims out_strides;
        if (elementwise) {
            out_strides = elementwise_strides(n, in);
            // The input of a residual block that its first convolution has copied: read in the
            // order of the sum, so that the sum can be an epilogue.
            for (ValueId& v : in)
                if (fresh_.meta(v).shape == old_.meta(n.first_out).shape)
                    v = copy_made(v, out_strides);
        }
        const ValueId first = add_node(n, in);
        if (elementwise) strides_[first] = out_strides;
        if (def.out_strides) choose_strides(n, first, in);
        if (def.layout == Layout::kChannelsLast) {
            for (uint32_t k = 0; k < n.n_out; ++k) {
                const Dims& shape = fresh_.meta(first + k).shape;
                if (shape.size() >= 3 && (def.channels_last_out >> k & 1))
                    strides_[first + k] = channels_last_strides(shape);
            }
        }
    }
    for (ValueId v : old_.outputs) fresh_.outputs.push_back(to_[v]);
    program_.graph = std::move(fresh_);
    program_.strides = std::move(strides_);
    program_.view = std::move(view_);
}

}  // namespace

void assign_layout(Program& program, std::span<const Dims> input_strides) {
    LayoutPass(program, input_strides).run();
}

}  // namespace sn
