#include "op/elementwise.h"

#include <deque>
#include <limits>
#include <string>
#include <string_view>

#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"
#include "op/families.h"
#include "op/function.h"
#include "op/op.h"
#include "record/read.h"
#include "record/tape.h"

namespace sn {

namespace {

// Gradient rules of the lists, one function per op. Tokens of the lists become these macros.
#define SAVE_NONE 0u
#define SAVE_X save_in(0)
#define SAVE_Y save_in(1)
#define SAVE_Z save_in(2)
#define SAVE_OUT save_out(0)
#define IN_F32 kInF32
#define ZERO_GRAD (Tensor())
#define NO_GRAD (Tensor())
// For `saved`: the result is not on the tape. For a gradient: asking for it is an error.
#define NOT_DIFFERENTIABLE (~0u)
#define NOT_KNOWN (fail_gradient(c))
// Among what is saved: what the function's autocast is.
constexpr uint32_t kInF32 = 1u << 31;

[[noreturn]] Tensor fail_gradient(const GradCall& c) {
    fail(ErrorKind::kGrad, op_def(c.node.op).name,
         "the gradient of the first operand is not known; only the second may require one; use "
         "x.detach()");
}

Tensor gelu_tanh_curvature(const Tensor& x) {
    // The derivative of s (1 + v u' (1 - s)) with s = sigmoid(u), u = v (a + b v^2).
    const Tensor v = clip(x, -30.0, 30.0), q = v * v;
    const Tensor s = sigmoid(v * (1.5957691216057308 + 0.07135481627260025 * q));
    const Tensor du = 1.5957691216057308 + 0.21406444881780073 * q;
    const Tensor bend = 0.42812889763560146 * q;  // v u''
    return s * (1.0 - s) * (2.0 * du + bend + v * (du * du) * (1.0 - 2.0 * s));
}

// The saved operands are fetched only when the rule declares them: `saved` is a constant.
template <uint32_t saved>
Tensor saved_in(GradCall& c, int i) {
    if constexpr (saved != 0) {
        if (saved & save_in(i) || c.node.inputs[i].saved) return c.in(i);
    }
    return Tensor();
}

#define SN_EW1(name, cls, res, expr, gx, saves, doc)                                 \
    void grad_##name(GradCall& c) {                                                  \
        [[maybe_unused]] const Tensor& g = c.grad();                                 \
        [[maybe_unused]] const Tensor x = saved_in<(saves)>(c, 0);                   \
        [[maybe_unused]] const Tensor out = (saves) & SAVE_OUT ? c.out() : Tensor(); \
        if (c.needs(0)) c.set(0, gx);                                                \
    }
#define SN_EW2(name, cls, res, expr, gx, gy, saves, doc)                             \
    void grad_##name(GradCall& c) {                                                  \
        [[maybe_unused]] const Tensor& g = c.grad();                                 \
        [[maybe_unused]] const Tensor x = saved_in<(saves)>(c, 0);                   \
        [[maybe_unused]] const Tensor y = saved_in<(saves)>(c, 1);                   \
        [[maybe_unused]] const Tensor out = (saves) & SAVE_OUT ? c.out() : Tensor(); \
        if (c.needs(0)) c.set(0, gx);                                                \
        if (c.needs(1)) c.set(1, gy);                                                \
    }
#define SN_EW3(name, cls, res, expr, gx, gy, gz, saves, doc)                         \
    void grad_##name(GradCall& c) {                                                  \
        [[maybe_unused]] const Tensor& g = c.grad();                                 \
        [[maybe_unused]] const Tensor x = saved_in<(saves)>(c, 0);                   \
        [[maybe_unused]] const Tensor y = saved_in<(saves)>(c, 1);                   \
        [[maybe_unused]] const Tensor z = saved_in<(saves)>(c, 2);                   \
        [[maybe_unused]] const Tensor out = (saves) & SAVE_OUT ? c.out() : Tensor(); \
        if (c.needs(0)) c.set(0, gx);                                                \
        if (c.needs(1)) c.set(1, gy);                                                \
        if (c.needs(2)) c.set(2, gz);                                                \
    }
#include "op/elementwise_binary.inc"
#include "op/elementwise_ternary.inc"
#include "op/elementwise_unary.inc"
#undef SN_EW1
#undef SN_EW2
#undef SN_EW3

const char* class_text(TileClass c) {
    switch (c) {
        case TileClass::FLOAT: return "Any real dtype; integers and bool are computed in float32.";
        case TileClass::NUMERIC: return "Any numeric dtype.";
        case TileClass::INT: return "Integer dtypes.";
        case TileClass::INTBOOL: return "Integer dtypes and bool.";
        case TileClass::BOOL: return "Any dtype; numbers count as true when they are not zero.";
        case TileClass::ANY: return "Any dtype.";
    }
    return "";
}

const char* keep(std::string text) {
    static std::deque<std::string>* kept = new std::deque<std::string>;
    return kept->emplace_back(std::move(text)).c_str();
}

const char* aliases_of(const std::string& name) {
    std::string text;
#define SN_EW_ALIAS(alias, original) \
    if (name == #original) text += (text.empty() ? "" : " ") + std::string(#alias);
#include "op/elementwise_aliases.inc"
#undef SN_EW_ALIAS
    return keep(text);
}

// Functions of a namespace have its name in front: special_erfcx is special.erfcx.
std::string public_name(std::string_view name) {
    constexpr std::string_view prefix = "special_";
    if (!name.starts_with(prefix)) return std::string(name);
    return "special." + std::string(name.substr(prefix.size()));
}

// The docstring that every elementwise function shares, around its own sentence.
const char* function_doc(const char* name, const char* sentence, int arity,
                         const TileOpInfo& info) {
    std::string call = "sn." + public_name(name) + "(";
    const bool ints = info.dtypes == TileClass::INT || info.dtypes == TileClass::INTBOOL;
    const bool select = info.result == TileResult::SELECT;
    for (int i = 0; i < arity; ++i) {
        if (i) call += ", ";
        if (select && i == 0)
            call += "sn.tensor([True, False])";
        else if (ints)
            call += i ? "sn.tensor([1, 2])" : "sn.tensor([4, 6])";
        else
            call += i ? "sn.tensor([0.5, 0.75])" : "sn.tensor([0.25, 0.5])";
    }
    call += ")";
    std::string text = sentence;
    text +=
        "\n\nComputed element by element; operands broadcast against each other by NumPy's rule"
        " and are promoted to a common dtype.\n\nParameters\n----------\n";
    const char* operand[] = {"x", "y", "z"};
    for (int i = 0; i < arity; ++i) {
        text += std::string(operand[i]) + " : Tensor or number, any shape\n    ";
        text += select && i == 0 ? "The condition, bool." : class_text(info.dtypes);
        text += "\n";
    }
    text += "\nReturns\n-------\nTensor\n    Of the broadcast shape; ";
    text += info.result == TileResult::BOOL ? "bool.\n" : "of the computed dtype.\n";
    text +=
        "\nRaises\n------\nShapeError\n    When the shapes do not broadcast.\nDTypeError\n    When "
        "the dtypes have no common type, or the operation is not defined on it.\n";
    text += "\nExamples\n--------\n>>> result = " + call + "\n>>> result.shape\n(2,)\n";
    return keep(text);
}

void register_elementwise(const char* name, int tile_op, GradFn grad, uint32_t saves,
                          const char* sentence, Tensor (*call)(const Args&)) {
    const TileOpInfo& info = kTileOpInfo[tile_op];
    const int arity = tile_arity(tile_op);
    OpDef def;
    def.name = name;
    def.n_in = arity;
    def.doc = sentence;
    def.batch = batch_elementwise;
    def.tile_op = tile_op;
    def.dtype_class = static_cast<uint8_t>(info.dtypes);
    def.result_rule = static_cast<uint8_t>(info.result);
    def.dtype_operand = info.result == TileResult::SELECT ? 1 : 0;
    def.layout = Layout::kAny;
    if (info.result != TileResult::BOOL && saves != NOT_DIFFERENTIABLE) {
        def.grad = grad;
        def.saves = saves & ~kInF32;
    }
    register_op(def);
    if (!call) return;  // its public function is written by hand
    const char* operand[] = {"x", "y", "z"};
    std::string signature = public_name(name) + "(";
    for (int i = 0; i < arity; ++i)
        signature += std::string(i ? ", " : "") + operand[i] + ": Operand";
    register_function({.signature = keep(signature + ") -> Tensor"),
                       .doc = function_doc(name, sentence, arity, info),
                       .autocast = saves != NOT_DIFFERENTIABLE && saves & kInF32 ? Autocast::kFull
                                                                                 : Autocast::kKeep,
                       .call = call,
                       .aliases = aliases_of(name)});
}

// Methods that are named after dtypes, as in PyTorch.
template <DType dtype>
void register_conversion(const std::string& name) {
    register_function({.signature = keep("Tensor." + name + "(x: Tensor) -> Tensor"),
                       .doc = keep("The tensor as " + std::string(dtype_name(dtype)) +
                                   "; itself when it is. See sn.astype.\n\n>>> sn.zeros(2, "
                                   "dtype=sn.uint16)." +
                                   name + "().dtype\nsennit." + dtype_name(dtype) + "\n"),
                       .call = [](const Args& a) { return cast(a.tensor(0), dtype); }});
}

void grad_cast(GradCall& c) { c.set(0, c.grad()); }

void check_cast(const CheckCall& c) {
    c.require(!is_complex(c.attrs.dtype(0)), "the result is complex");
}
void infer_cast(InferCall& c) {
    c.out[0].shape = c.in[0]->shape;
    c.out[0].dtype = c.attrs.dtype(0);
}

}  // namespace

DType elementwise_compute_dtype(const char* op, TileClass cls, DType dtype, bool weak) {
    if (class_has(cls, dtype)) return dtype;
    switch (cls) {
        case TileClass::FLOAT: return weak ? DType::kF64 : DType::kF32;
        case TileClass::BOOL: return DType::kBool;
        case TileClass::NUMERIC:
            if (is_bool(dtype)) return DType::kI64;
            break;
        default: break;
    }
    fail(ErrorKind::kDType, op,
         "the operands have dtype %s, on which this is not defined; it takes %s; "
         "convert them with x.astype(...)",
         dtype_name(dtype),
         cls == TileClass::INT       ? "integers"
         : cls == TileClass::INTBOOL ? "integers or bool"
                                     : "numbers");
}

#define SN_EW1(name, ...)                                  \
    Tensor name(const Tensor& x) {                         \
        static const OpId id = find_op(#name);             \
        return record(id, std::span<const Tensor>(&x, 1)); \
    }
#define SN_EW2(name, ...)                                  \
    Tensor name(const Tensor& x, const Tensor& y) {        \
        static const OpId id = find_op(#name);             \
        const Tensor in[2] = {x, y};                       \
        return record(id, std::span<const Tensor>(in, 2)); \
    }
#define SN_EW3(name, ...)                                            \
    Tensor name(const Tensor& x, const Tensor& y, const Tensor& z) { \
        static const OpId id = find_op(#name);                       \
        const Tensor in[3] = {x, y, z};                              \
        return record(id, std::span<const Tensor>(in, 3));           \
    }
#include "op/elementwise_binary.inc"
#include "op/elementwise_ternary.inc"
#include "op/elementwise_unary.inc"
#undef SN_EW1
#undef SN_EW2
#undef SN_EW3

Tensor cast(const Tensor& x, DType dtype) {
    if (x.dtype() == dtype && !x.weak()) return x;
    if (is_complex(dtype) || is_complex(x.dtype())) return cast_complex(x, dtype);
    static const OpId id = find_op("cast");
    return record(id, std::span<const Tensor>(&x, 1), Attrs().dtype(dtype));
}

void register_elementwise_ops() {
#define SN_EW1(name, cls, res, expr, gx, saves, doc)                                 \
    register_elementwise(                                                            \
        #name, kTile_##name, grad_##name, (saves), doc,                              \
        std::string_view(#name).ends_with("_slope") ? nullptr : +[](const Args& a) { \
            return name(a.tensor(0));                                                \
        });
#define SN_EW2(name, cls, res, expr, gx, gy, saves, doc)                 \
    register_elementwise(#name, kTile_##name, grad_##name, (saves), doc, \
                         [](const Args& a) { return name(a.tensor(0), a.tensor(1)); });
#define SN_EW3(name, cls, res, expr, gx, gy, gz, saves, doc)        \
    register_elementwise(                                           \
        #name, kTile_##name, grad_##name, (saves), doc,             \
        kTile_##name == kTile_clip ? nullptr : +[](const Args& a) { \
            return name(a.tensor(0), a.tensor(1), a.tensor(2));     \
        });
#include "op/elementwise_binary.inc"
#include "op/elementwise_ternary.inc"
#include "op/elementwise_unary.inc"
#undef SN_EW1
#undef SN_EW2
#undef SN_EW3
    register_op({.name = "cast",
                 .n_in = 1,
                 .schema = "dtype:dtype",
                 .doc = "Conversion to another dtype.",
                 .infer = infer_cast,
                 .grad = grad_cast,
                 .batch = batch_elementwise,
                 .check = check_cast,
                 .cast = true,
                 .layout = Layout::kAny});
    register_function(
        {.signature = "clip(x: Operand, min: Operand? = None, max: Operand? = None) -> Tensor",
         .doc =
             "x limited to [min, max]; max where min > max; NaN propagates.\n\n"
             "Parameters\n----------\nx : Tensor or number\nmin, max : Tensor or number, optional\n"
             "    The limits; they broadcast. None: no limit on that side.\n\n"
             "Returns\n-------\nTensor\n    Of the broadcast shape.\n\n"
             "Examples\n--------\n>>> sn.clip(sn.tensor([-2.0, 0.5, 3.0]), 0.0, 1.0).tolist()\n"
             "[0.0, 0.5, 1.0]\n>>> sn.clip(sn.tensor([-2, 5]), max=3).tolist()\n[-2, 3]\n",
         .call =
             [](const Args& a) {
                 const Tensor& x = a.tensor(0);
                 if (a.has(1) && a.has(2)) return clip(x, a.tensor(1), a.tensor(2));
                 if (!a.has(1) && !a.has(2)) return clone(x);
                 // One limit: the other is infinite, so that the gradient is that of clip.
                 const bool real = is_float(x.dtype());
                 constexpr double inf = std::numeric_limits<double>::infinity();
                 if (a.has(1)) return real ? clip(x, a.tensor(1), inf) : maximum(x, a.tensor(1));
                 return real ? clip(x, -inf, a.tensor(2)) : minimum(x, a.tensor(2));
             },
         .aliases = "clamp clamp_ clip_"});
    register_function(
        {.signature = "astype(x: Tensor, dtype: DType, copy: bool = True, "
                      "device: Device? = None) -> Tensor",
         .doc =
             "Converts to another dtype.\n\nFloat to integer truncates toward zero, saturates "
             "at the "
             "limits and maps NaN to 0; integer to integer wraps; to bool is `x != 0`.\n\n"
             "Complex numbers become no real ones (take sn.real(x) first); real ones become "
             "complex."
             "\n\nParameters\n----------\nx : Tensor\ndtype : dtype\ncopy : bool\n    Accepted for "
             "the Array API: the result is always a tensor of its own, and memory is shared where "
             "nobody can tell.\ndevice "
             ": str, optional\n    Where the result goes.\n\nReturns\n-------\nTensor\n    Of "
             "the same shape.\n\nExamples\n--------\n"
             ">>> sn.astype(sn.tensor([1.5, -2.5]), sn.int32).tolist()\n[1, -2]\n",
         .call =
             [](const Args& a) {
                 const Tensor y = cast(a.tensor(0), a.dtype(1));
                 return a.has(3) ? copy_to_device(y, a.device(3)) : y;
             },
         .aliases = "type",
         .fresh = true});
    register_conversion<DType::kBool>("bool");
    register_conversion<DType::kU8>("byte");
    register_conversion<DType::kI8>("char");
    register_conversion<DType::kI16>("short");
    register_conversion<DType::kI32>("int");
    register_conversion<DType::kI64>("long");
    register_conversion<DType::kBF16>("bfloat16");
    register_conversion<DType::kF16>("half");
    register_conversion<DType::kF32>("float");
    register_conversion<DType::kF64>("double");
    register_conversion<DType::kC64>("cfloat");
    register_conversion<DType::kC128>("cdouble");
    register_function({.signature = "Tensor.type_as(x: Tensor, other: Tensor) -> Tensor",
                       .doc = "The tensor in the dtype and on the device of another.\n\n"
                              ">>> sn.ones(2).type_as(sn.arange(3)).tolist()\n[1, 1]\n",
                       .call = [](const Args& a) {
                           const Tensor& other = a.tensor(1);
                           return copy_to_device(cast(a.tensor(0), other.dtype()), other.device());
                       }});
}

}  // namespace sn
