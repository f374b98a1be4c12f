#pragma once
#include <string_view>
#include <vector>

#include "op/autocast.h"
#include "record/tensor.h"

namespace sn {

// A public function of the tensor namespace, from which the Python function, the method, the stub
// and the docs page are derived. It stands in the same file as the op(s) that it calls.
//
// Signature, in Python's form with these types ('?' behind one: may be None, which is the default
// unless another is given):
//   Tensor      a tensor                      Operand   a tensor or a Python number
//   Tensors     a sequence of tensors         int, float, bool, str
//   Ints        an int or a sequence of ints  Ints?     ... or None (axes, shapes, strides)
//   DType       a dtype                       Device    a device or its name
//   Order       a float or str              Axes      Ints, or two sequences of ints of one length
// "sum(x: Tensor, axis: Ints? = None, dtype: DType? = None, keepdims: bool = False) -> Tensor"
// `dim` and `keepdim` are accepted for `axis` and `keepdims` everywhere, `input` for `x`, `other`
// for the second operand; "axis|dims" adds a name by hand. "*tensors: Tensors" takes the positional
// arguments that are left, or one sequence. Parameters behind "*" are given by name only.
// A result is "Tensor", "tuple[Tensor, ...]", "list[Tensor]", "None", the name of a named tuple of
// sennit/_results.py, "bool", which waits for the one element, or "Tensor | tuple[Tensor, ...]": a
// tuple unless it is one tensor.
//
// "Tensor.float" is a method only, and so is a name or alias that ends in "_": it writes the result
// as x += y does, and returns the tensor; a view that comes out (t_) takes the tensor's place.
struct ArgValue {
    bool given = false;  // false: None, or left out without a default
    Tensor tensor;
    std::vector<Tensor> tensors;
    Dims ints;
    bool single = false;  // Ints given as one int
    bool paired = false;  // Axes given as two sequences of one length, the second behind the first
    Scalar scalar{};      // int, float, bool
    std::string_view text;  // str
    DType dtype = DType::kF32;
    Device device;
};

class Args {
public:
    explicit Args(std::span<const ArgValue> values) : values_(values) {}
    bool has(int i) const { return values_[i].given; }
    const Tensor& tensor(int i) const { return values_[i].tensor; }
    const std::vector<Tensor>& tensors(int i) const { return values_[i].tensors; }
    DimSpan ints(int i) const { return values_[i].ints; }
    bool single(int i) const { return values_[i].single; }
    bool paired(int i) const { return values_[i].paired; }
    int64_t integer(int i) const { return values_[i].scalar.as_int(); }
    double real(int i) const { return values_[i].scalar.as_double(); }
    bool flag(int i) const { return values_[i].scalar.as_int() != 0; }
    std::string_view text(int i) const { return values_[i].text; }
    DType dtype(int i) const { return values_[i].dtype; }
    Device device(int i) const { return values_[i].device; }

private:
    std::span<const ArgValue> values_;
};

using Results = std::vector<Tensor>;

struct FunctionDef {
    const char* signature;
    const char* doc;                        // NumPy-style docstring, with an example that is run
    Autocast autocast = Autocast::kKeep;    // what sn.autocast casts its float operands to
    Tensor (*call)(const Args&) = nullptr;  // "-> Tensor"
    Results (*call_many)(const Args&) = nullptr;  // "-> tuple[Tensor, Tensor]", "-> list[Tensor]"
    const char* aliases = "";                     // space-separated further names
    bool method = true;  // also a method of Tensor (when the first parameter is a tensor)
    bool fresh = false;  // never the operand's own handle: writes to one do not show in the other
};

// A later definition of a name replaces an earlier one: functions that the elementwise lists derive
// are redefined by hand where there are more arguments.
#if defined(SN_RUNTIME)  // calls ops by their records alone
inline void register_function(const FunctionDef&) {}
#else
void register_function(FunctionDef def);
#endif
const std::vector<FunctionDef>& functions();
Autocast autocast_of(std::string_view function);  // by its first name

}  // namespace sn
