#pragma once
// What calls from files are checked for (OpDef::check). A rule is named in the op's record; rules
// that several ops share stand here.
#include "op/op.h"
#include "record/tensor.h"

namespace sn {

struct CheckCall {
    const OpDef& def;
    std::span<const Tensor> in;
    AttrView attrs;

    void require(bool holds, const char* what) const;
    const Dims& shape(size_t i) const { return in[i].shape(); }
    DType dtype(size_t i) const { return in[i].dtype(); }
    int rank(size_t i) const { return in[i].rank(); }
    void operands(size_t least, size_t most) const;  // so many of them
    // Operands [first, last) are tensors; the other ones are numbers of the graph.
    void tensors(size_t first, size_t last) const;
    void one_dtype(size_t first, size_t last) const;
    void floating(size_t i) const;
    void index(size_t i) const;  // int32 or int64
    void axis(int64_t axis, size_t of = 0) const;
    void axes(DimSpan axes, size_t of = 0) const;  // ascending, each once
    void on_cpu(int64_t device) const;             // the attribute of ops without tensor operands
};

// The generic part (how many operands, no complex ones where the op does not only move them), then
// the op's own rule.
void check_call(const OpDef& def, std::span<const Tensor> in, const Attrs& attrs);

// One tensor and nothing else; ... of a floating dtype; ... with a last dimension.
void check_tensor(const CheckCall& c);
void check_rows(const CheckCall& c);
// `count` tensors of which the first has the axis of attribute `attr`.
template <int attr, int count = 1>
void check_axis(const CheckCall& c) {
    c.tensors(0, count);
    c.axis(c.attrs.i(attr));
}
void check_axes(const CheckCall& c);        // one tensor, attribute 0: axes of it
void check_float_axes(const CheckCall& c);  // ... at least one of a floating tensor
void check_operands(const CheckCall& c);    // any tensors, at least one

}  // namespace sn
