#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "ir/graph.h"
#include "op/attrs.h"

namespace sn {

class Tensor;
struct GradCall;

// The shape and dtype rule, over integers. Reads inputs and attributes, fills `out` (already sized
// to n_out). Runs again for every instantiation of a graph with open sizes.
struct InferCall {
    const char* op;
    std::span<const Meta* const> in;
    AttrView attrs;
    std::span<Meta> out;
};
using InferFn = void (*)(InferCall&);

// Builds gradients out of ordinary ops, so that every order of derivative comes for free.
using GradFn = void (*)(GradCall&);

// Rewrites a composite op into simpler ones by calling ordinary ops on `in`; fills `out`.
// Used by the `lower` pass for every back-end that has no kernel of its own for the op.
struct LowerCall {
    std::span<const Tensor> in;
    AttrView attrs;
    std::span<Tensor> out;
};
using LowerFn = void (*)(LowerCall&);

// An op call with a complex operand is made, when it is recorded, of calls on real and imaginary
// parts: no kernel and no tile instruction computes on complex numbers (op/complex.h).
struct ComplexCall {
    std::span<const Tensor> in;
    AttrView attrs;
    std::span<Tensor> out;
    DType dtype;  // complex: what the operands promote to
};
using ComplexFn = void (*)(ComplexCall&);
// Where the gradient of such a call comes from.
enum class ComplexGrad : uint8_t {
    kComposed,   // from the calls that it is made of
    kConjugate,  // from the op's own rule, which reads what was saved conjugated: that is the
                 // gradient of a holomorphic function, by PyTorch's convention
    kPlain,      // from the op's own rule, which reads what was saved as it is (norms, abs)
};
// The value that the result is known to be (the real part of complex(a, b) is a), or kNone.
using SameAsFn = ValueId (*)(const Graph& g, const Node& n);

// A view op computes no element: it reads its first input with other strides. `strides` of the
// output are static; the offset may depend on scalar operands: offset = sum of scalar k * factor k.
struct ViewCall {
    AttrView attrs;
    const Meta* in;  // first input
    DimSpan in_strides;
    const Meta* out;
    Dims strides;                         // result
    int64_t offset = 0;                   // result, static part, in elements
    SmallVec<int64_t, 6> scalar_factors;  // result, one per scalar operand (operands 1..)
};
// Returns false when these strides need a copy (reshape).
using ViewFn = bool (*)(ViewCall&);
// The base with the part that a view shows replaced by `part`: what a write through a view means.
using ViewUpdateFn = Tensor (*)(const Tensor& base, const Tensor& part,
                                std::span<const Tensor> scalars, AttrView attrs);

// What a random op means for each example of a batch (sn.vmap).
enum class Randomness : uint8_t {
    kError,      // it may not be called
    kDifferent,  // every example draws numbers of its own
    kSame,       // all examples share one draw
};
// Calls the op for a batch of examples at once, with ordinary ops, so that every example has the
// bits that it has alone. False: no rule for these operands; the examples are called one by one.
struct BatchCall;
using BatchFn = bool (*)(BatchCall&);

// A call that a file asks for. Calls from code come through functions that have checked their
// arguments; this checks what the other rules and the kernels take for granted, so that a call from
// a file reads and writes nothing but its operands and results. Fails with a reason.
struct CheckCall;
using CheckFn = void (*)(const CheckCall&);

// Multiply-adds of a call, for ops that these and not memory keep busy.
struct WorkCall {
    const Meta* const* in;
    AttrView attrs;
    const Meta& out;  // the first one
};
using WorkFn = double (*)(const WorkCall&);

// Where a kernel that takes any strides puts a result: strides of `output`, dense in some order.
struct OutStridesCall {
    int output;
    const Meta* out;
    std::span<const Meta* const> in;
    std::span<const Dims> in_strides;
};
using OutStridesFn = Dims (*)(OutStridesCall&);

enum class Layout : uint8_t {
    kAny,           // the kernel takes any strides
    kContiguous,    // row-major inputs, row-major outputs
    kChannelsLast,  // activations channels last: flagged inputs (channels_last_in) and all outputs
};

inline constexpr uint32_t save_in(int i) { return 1u << i; }
inline constexpr uint32_t save_out(int i) { return 1u << (16 + i); }

// A field of the record that the C++ runtime has no use for: it replays graphs, and neither records
// gradients nor serves Python. There the field is always null, and what it would have named is left
// out of the library.
#if defined(SN_RUNTIME)
template <class T>
struct Unused {
    constexpr Unused() = default;
    template <class Value>
    constexpr Unused(Value&&) {}  // NOLINT: implicit
    constexpr operator T() const { return nullptr; }
};
#else
template <class T>
using Unused = T;
#endif

// One op, one record. Everything else (Python function, stub, docs, fusibility, CSE equality,
// serialisation, tests) is derived from it.
struct OpDef {
    const char* name = nullptr;
    int n_in = 1;  // -1: any number
    int n_out = 1;
    const char* schema =
        "";  // attributes: "axes:ints keepdims:bool"; types int float bool dtype ints
    Unused<const char*> doc = "";
    InferFn infer = nullptr;
    Unused<GradFn> grad = nullptr;
    uint32_t saves = 0;  // what the gradient reads: save_in(i) | save_out(i)
    LowerFn lower = nullptr;
    Unused<BatchFn> batch = nullptr;
    CheckFn check = nullptr;      // without, a file cannot hold the op (elementwise ones need none)
    ComplexFn complex = nullptr;  // without, a complex operand is an error ...
    ComplexGrad complex_grad = ComplexGrad::kComposed;
    bool moves = false;  // ... but for ops that only place elements, which take every dtype
    SameAsFn same_as = nullptr;
    WorkFn work = nullptr;
    ViewFn view = nullptr;
    Unused<ViewUpdateFn> view_update = nullptr;
    int tile_op = -1;         // elementwise: number of the tile instruction
    uint8_t dtype_class = 0;  // elementwise: DTypeClass, which dtypes it computes in
    uint8_t result_rule = 0;  // elementwise: ResultRule
    int dtype_operand = 0;    // elementwise: operands before this one are bool (`where`)
    int reduce_kind = -1;     // reduction (attributes axes, keepdims): cpu::ReduceKind
    bool cast = false;        // elementwise conversion to the output's dtype
    // Its operands are the parts of its result, interleaved in memory: a program that computes them
    // stores them there.
    bool joins = false;
    Layout layout = Layout::kContiguous;
    OutStridesFn out_strides = nullptr;  // kAny: the results' layout; without, row-major
    uint32_t any_layout_in = 0;  // mask of inputs that a kContiguous kernel takes in any layout
    uint32_t channels_last_in =
        0;  // mask of inputs that a kChannelsLast kernel wants channels last
    uint32_t channels_last_out = ~0u;  // mask of outputs that it makes channels last
    bool epilogue = false;       // the kernel runs a tile program on its result while in cache
    bool checks_values = false;  // may fail on values (bad index): ordered before writes in place
    bool pure = true;            // false: never merged by CSE (random state, effects)
    bool draws = false;    // random, where the last operand is a scalar: the number of the draw
    bool barrier = false;  // a view that waits for its other operands
    int inplace_in = -1;   // this input's buffer may become the first output's
    // Mask of results that the kernel leaves out where nobody reads them: their data is null.
    uint32_t optional_out = 0;
    // Derived at registration.
    OpId id = 0;
    std::vector<AttrType> attr_types = {};
    std::vector<const char*> attr_names = {};  // pointers into a copy of the schema
};

OpId register_op(OpDef def);
// For the family file of complex rules, after the op's own family.
void set_complex_rule(std::string_view op, ComplexGrad grad, ComplexFn rule);
const OpDef& op_def(OpId id);
int op_count();
OpId find_op(std::string_view name);  // fails with kValue when unknown
inline AttrView attr_view(const Graph& g, const Node& n) {
    return {op_def(n.op).attr_types, g.attr(n)};
}

}  // namespace sn
