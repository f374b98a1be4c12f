#include "op/checks.h"

namespace sn {

void CheckCall::require(bool holds, const char* what) const {
    if (!holds) fail(ErrorKind::kValue, def.name, "%s", what);
}

void CheckCall::operands(size_t least, size_t most) const {
    require(in.size() >= least && in.size() <= most, "it has too few or too many operands");
}

void CheckCall::tensors(size_t first, size_t last) const {
    for (size_t i = 0; i < in.size(); ++i) {
        if (i >= first && i < last)
            require(!in[i].is_scalar(), "an operand is a number; a tensor is required");
        else
            require(in[i].is_scalar(), "an operand is a tensor; a number is required");
    }
}

void CheckCall::one_dtype(size_t first, size_t last) const {
    for (size_t i = first + 1; i < last; ++i)
        require(dtype(i) == dtype(first), "operands have different dtypes");
}

void CheckCall::floating(size_t i) const {
    require(is_float(dtype(i)), "an operand has no floating dtype");
}

void CheckCall::index(size_t i) const {
    require(dtype(i) == DType::kI32 || dtype(i) == DType::kI64,
            "indices have a dtype other than int32 and int64");
}

void CheckCall::axis(int64_t axis, size_t of) const {
    require(axis >= 0 && axis < rank(of), "an axis is out of range");
}

void CheckCall::axes(DimSpan axes, size_t of) const {
    for (size_t i = 0; i < axes.size(); ++i) {
        axis(axes[i], of);
        require(i == 0 || axes[i - 1] < axes[i], "axes are not in ascending order");
    }
}

void CheckCall::on_cpu(int64_t device) const {
    require(device == 0, "it is for another device than the CPU");
}

void check_call(const OpDef& def, std::span<const Tensor> in, const Attrs& attrs) {
    const CheckCall c{def, in, AttrView(def.attr_types, attrs.words())};
    if (def.n_in >= 0)
        c.operands(static_cast<size_t>(def.n_in), static_cast<size_t>(def.n_in));
    else
        c.require(!in.empty(), "it has no operands");
    for (const Tensor& t : in)
        c.require(def.moves || !is_complex(t.dtype()), "an operand is complex");
    for (size_t k = 0; k < def.attr_types.size(); ++k) {
        if (def.attr_types[k] != AttrType::kInts) continue;
        for (int64_t v : c.attrs.ints(static_cast<int>(k)))
            c.require(v > -(int64_t{1} << 48) && v < int64_t{1} << 48, "an attribute is too large");
    }
    if (def.check) def.check(c);
}

void check_tensor(const CheckCall& c) { c.tensors(0, 1); }

void check_rows(const CheckCall& c) {
    c.tensors(0, 1);
    c.floating(0);
    c.require(c.rank(0) >= 1, "the operand has no dimensions");
}

void check_axes(const CheckCall& c) {
    c.tensors(0, 1);
    c.axes(c.attrs.ints(0));
}

void check_float_axes(const CheckCall& c) {
    check_axes(c);
    c.require(!c.attrs.ints(0).empty() || c.rank(0) == 0, "there are no axes");
    c.floating(0);
}

void check_operands(const CheckCall& c) { c.tensors(0, c.in.size()); }

}  // namespace sn
