#pragma once
// Batching rules (OpDef::batch): what they see, and those that many ops share.
#include "base/function_ref.h"
#include "op/op.h"
#include "record/tensor.h"

namespace sn {

struct BatchCall {
    const OpDef& def;
    std::span<const Tensor> in;        // batched ones have the batch in dimension 0
    std::span<const uint8_t> batched;  // by operand
    AttrView attrs;                    // of one example
    int64_t size;                      // of the batch
    Randomness randomness;
    std::span<Tensor> out;  // to fill, with the batch in dimension 0

    int rank(size_t i) const { return in[i].rank() - (batched[i] ? 1 : 0); }  // of one example
    DimSpan shape(size_t i) const { return DimSpan(in[i].shape()).subspan(batched[i] ? 1 : 0); }
    bool any_batched(size_t from, size_t to) const {
        for (size_t i = from; i < to && i < in.size(); ++i)
            if (batched[i]) return true;
        return false;
    }
    // The operand with the batch in dimension 0, also when all examples share it (a view).
    Tensor spread(size_t i) const;
    // The same with `rank` dimensions behind the batch: sizes 1 are put in front of the example's.
    // Shared operands stay as they are, and broadcast.
    Tensor raised(size_t i, int rank) const;
    // 0, 1, ... with the batch in dimension 0 of `rank` dimensions: names the example in gathers.
    Tensor numbers(int rank) const;
    // Calls the op itself.
    bool call(std::span<const Tensor> operands, const Attrs& attributes);
    bool call(std::initializer_list<Tensor> operands, const Attrs& attributes) {
        return call(std::span<const Tensor>(operands.begin(), operands.size()), attributes);
    }
};

// The attributes, with some of them changed.
class EditedAttrs {
public:
    explicit EditedAttrs(const BatchCall& c) : call_(c), ints_(c.def.attr_types.size()) {
        replaced_.resize(ints_.size());
    }
    EditedAttrs& ints(size_t k, DimSpan values) {
        replaced_[k] = 1;
        ints_[k] = Dims(values);
        return *this;
    }
    EditedAttrs& word(size_t k, int64_t value) {
        const int64_t one[] = {value};
        return ints(k, one);
    }
    Attrs get() const;

private:
    const BatchCall& call_;
    std::vector<Dims> ints_;
    SmallVec<uint8_t, 8> replaced_;
};
Attrs same_attrs(const BatchCall& c);

Dims with_front(int64_t size, DimSpan shape);  // one more dimension in front
Dims next_axes(DimSpan axes);                  // the same axes behind one more dimension

// The whole rule of an op that ...
bool batch_elementwise(BatchCall& c);  // broadcasts its operands
bool batch_leading(BatchCall& c);  // works on trailing dimensions: a batch is one more leading one
template <size_t k>
bool batch_axes(BatchCall& c) {  // has one operand, and axes in attribute k
    return c.call({c.in[0]}, EditedAttrs(c).ints(k, next_axes(c.attrs.ints(k))).get());
}
// has an axis in attribute k, and operands of one rank
template <size_t k>
bool batch_axis(BatchCall& c) {
    std::vector<Tensor> in;
    for (size_t i = 0; i < c.in.size(); ++i) in.push_back(c.spread(i));
    return c.call(in, EditedAttrs(c).word(k, c.attrs.i(k) + 1).get());
}

// puts no result of one element of a dimension into another, such as a batch of its own: the batch
// joins dimension in_axis(i, rank) of operand i and out_axis(k, rank) of result k. Below 0: an
// operand without one, which all examples share.
using AxisOf = FunctionRef<int(size_t, int)>;
bool batch_joined(BatchCall& c, AxisOf in_axis, AxisOf out_axis);

// Calls the rule of the op or, without one, the op for each example.
void call_batched(BatchCall& c, std::span<const ValueInfo> out);

}  // namespace sn
