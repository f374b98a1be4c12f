#pragma once
#include <concepts>
#include <initializer_list>
#include <span>

#include "base/ref.h"
#include "ir/graph.h"
#include "op/attrs.h"
#include "record/grad_node.h"
#include "record/value.h"

namespace sn {

// A light handle of the recording side: a value and the tape entry that made it. Copying is cheap.
// Python numbers are weak scalar tensors of rank 0: they adopt the dtype of what they meet.
class Tensor {
public:
    Tensor() = default;
    explicit Tensor(Ref<Value> value) : value_(std::move(value)) {}
    Tensor(Ref<Value> value, Ref<GradNode> node, uint32_t output)
        : value_(std::move(value)), node_(std::move(node)), output_(output) {}
    Tensor(double v);                                   // NOLINT: weak scalars convert implicitly
    Tensor(int64_t v);                                  // NOLINT
    Tensor(int v) : Tensor(static_cast<int64_t>(v)) {}  // NOLINT
    template <std::same_as<bool> B>
    Tensor(B v) : Tensor(Scalar::of_bool(v)) {}  // NOLINT; exactly bool: pointers must not convert
    explicit Tensor(Scalar v);

    explicit operator bool() const { return static_cast<bool>(value_); }
    const Ref<Value>& value() const { return value_; }
    const Dims& shape() const { return value_->meta.shape; }
    int rank() const { return static_cast<int>(value_->meta.shape.size()); }
    int64_t size(int axis) const { return value_->meta.shape[axis < 0 ? axis + rank() : axis]; }
    int64_t numel() const { return sn::numel(value_->meta.shape); }
    DType dtype() const { return value_->meta.dtype; }
    Device device() const { return value_->meta.device; }
    bool weak() const { return value_->weak; }
    bool is_scalar() const { return value_->kind == ValueState::kScalar; }

    const Ref<GradNode>& node() const { return node_; }
    uint32_t output() const { return output_; }
    bool requires_grad() const { return static_cast<bool>(node_); }
    Tensor detach() const { return Tensor(value_); }

private:
    Ref<Value> value_;
    Ref<GradNode> node_;
    uint32_t output_ = 0;
};

// Records one call of an op: checks, infers, appends to the current window, and to the tape when an
// input requires a gradient. Elementwise ops promote and convert their inputs here.
Tensor record(OpId op, std::span<const Tensor> in, const Attrs& attrs = {});
void record(OpId op, std::span<const Tensor> in, const Attrs& attrs, std::span<Tensor> out);
inline Tensor record(OpId op, std::initializer_list<Tensor> in, const Attrs& attrs = {}) {
    return record(op, std::span<const Tensor>(in.begin(), in.size()), attrs);
}

// What a gradient rule sees. `in(i)` and `out(i)` may be asked only when the op's `saves` says so.
struct GradCall {
    GradNode& node;
    std::span<const Tensor> out_grads;  // empty handle: no gradient arrived at that output
    std::span<Tensor> in_grads;         // to fill, where needs(i)
    AttrView attrs;

    Tensor in(int i) const;
    Tensor out(int i = 0) const;
    const Tensor& grad(int i = 0) const { return out_grads[i]; }
    bool has_grad(int i) const { return static_cast<bool>(out_grads[i]); }
    bool needs(int i) const;
    const Meta& in_meta(int i) const;  // shape and dtype of an input, saved or not
    const Meta& out_meta(int i = 0) const;
    int n_in() const { return static_cast<int>(in_grads.size()); }
    // A gradient of a broadcast shape or of another float dtype is fine: the walk reduces and
    // casts.
    void set(int i, Tensor gradient) { in_grads[i] = std::move(gradient); }
    // What has arrived at an input so far (empty: nothing yet), in its shape and dtype. A rule
    // whose gradient is zero outside of a part adds to that part itself and sets the total: so the
    // gradient of n parts of one tensor does not cost n passes over all of it.
    Tensor arrived(int i) const;
    void set_total(int i, Tensor total) {
        set(i, std::move(total));
        totals |= uint32_t{1} << i;
    }
    uint32_t totals = 0;
};

// Looks for NaN after every op call, which then runs by itself.
void set_detect_nan(bool on);
bool detect_nan();

// A scope in which ops on Python numbers alone go to this device: a gradient rule's, to that of its
// op, since what it makes of numbers (y - 1 in the gradient of pow) meets tensors there.
struct NumberDevice {
    explicit NumberDevice(Device device);
    ~NumberDevice();
    Device before;
};

bool grad_enabled();
void set_grad_enabled(bool enabled);
struct NoGrad {  // a scope in which nothing is put on the tape
    NoGrad();
    ~NoGrad();
    bool before;
};

}  // namespace sn
