#pragma once
#include <cstddef>
#include <cstdint>

namespace sn {

enum class DType : uint8_t {
    kBool,
    kI8,
    kI16,
    kI32,
    kI64,
    kU8,
    kU16,
    kU32,
    kU64,
    kF16,
    kBF16,
    kF32,
    kF64,
    kC64,   // complex: a float32 real part, then the imaginary part, as NumPy stores them
    kC128,  // of float64
};
inline constexpr int kNumDTypes = 15;

// Names as in NumPy and the Array API standard: "bool", "int8", ..., "bfloat16", "float64".
const char* dtype_name(DType dtype);
bool parse_dtype(const char* name, DType* out);

constexpr size_t dtype_size(DType dtype) {
    constexpr uint8_t sizes[kNumDTypes] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16};
    return sizes[static_cast<int>(dtype)];
}
constexpr bool is_bool(DType d) { return d == DType::kBool; }
// Real floating point. Complex numbers are none: kernels compute on their parts (op/complex.h).
constexpr bool is_float(DType d) { return d >= DType::kF16 && d <= DType::kF64; }
constexpr bool is_complex(DType d) { return d >= DType::kC64; }
// What a gradient can flow through.
constexpr bool is_inexact(DType d) { return d >= DType::kF16; }
constexpr bool is_signed_int(DType d) { return d >= DType::kI8 && d <= DType::kI64; }
constexpr bool is_unsigned_int(DType d) { return d >= DType::kU8 && d <= DType::kU64; }
constexpr bool is_int(DType d) { return d >= DType::kI8 && d <= DType::kU64; }
// The type in which values of `d` are computed: f16 and bf16 go through f32, rounded after each op.
constexpr DType compute_dtype(DType d) {
    return d == DType::kF16 || d == DType::kBF16 ? DType::kF32 : d;
}

// The dtype of a complex number's parts; a real dtype is its own.
constexpr DType real_dtype(DType d) {
    return d == DType::kC64 ? DType::kF32 : d == DType::kC128 ? DType::kF64 : d;
}
// The complex dtype whose parts hold the values of a real one: float64 in complex128, the rest in
// complex64 (integers as with float32).
constexpr DType complex_dtype(DType d) {
    return d == DType::kF64 || d == DType::kC128 ? DType::kC128 : DType::kC64;
}

// Array API promotion table, plus float with integer -> the float (as PyTorch does), bool with
// anything -> the other.
DType promote(DType a, DType b);

// A weak Python scalar's kind, for promotion with a tensor's dtype.
enum class ScalarKind : uint8_t { kBool, kInt, kFloat, kComplex };
DType promote_weak(DType tensor, ScalarKind scalar, DType default_float = DType::kF32);

// A runtime number, eight bytes: the weak scalars of Python and the runtime arguments of ops. A
// Python complex number is two of them, joined by the op `complex`.
struct Scalar {
    union {
        int64_t i;
        double f;
    };
    ScalarKind kind;
    static Scalar of_int(int64_t v) {
        Scalar s;
        s.i = v;
        s.kind = ScalarKind::kInt;
        return s;
    }
    static Scalar of_float(double v) {
        Scalar s;
        s.f = v;
        s.kind = ScalarKind::kFloat;
        return s;
    }
    static Scalar of_bool(bool v) {
        Scalar s;
        s.i = v;
        s.kind = ScalarKind::kBool;
        return s;
    }
    double as_double() const { return kind == ScalarKind::kFloat ? f : static_cast<double>(i); }
    int64_t as_int() const { return kind == ScalarKind::kFloat ? static_cast<int64_t>(f) : i; }
};

// 16-bit floats, round to nearest even, exact for every input (NaN stays NaN).
float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);
inline float bf16_to_f32(uint16_t bits) {
    union {
        uint32_t u;
        float f;
    } x{static_cast<uint32_t>(bits) << 16};
    return x.f;
}
uint16_t f32_to_bf16(float value);

}  // namespace sn
