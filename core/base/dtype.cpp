#include "base/dtype.h"

#include <cstring>

#include "base/error.h"

namespace sn {

namespace {
constexpr const char* kNames[kNumDTypes] = {
    "bool",   "int8",    "int16",    "int32",   "int64",   "uint8",     "uint16",    "uint32",
    "uint64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"};

int int_bits(DType d) { return static_cast<int>(dtype_size(d)) * 8; }

DType signed_of_bits(int bits) {
    return bits <= 8    ? DType::kI8
           : bits <= 16 ? DType::kI16
           : bits <= 32 ? DType::kI32
                        : DType::kI64;
}
}  // namespace

const char* dtype_name(DType dtype) { return kNames[static_cast<int>(dtype)]; }

bool parse_dtype(const char* name, DType* out) {
    for (int i = 0; i < kNumDTypes; ++i) {
        if (std::strcmp(name, kNames[i]) == 0) {
            *out = static_cast<DType>(i);
            return true;
        }
    }
    return false;
}

DType promote(DType a, DType b) {
    if (a == b) return a;
    if (is_bool(a)) return b;
    if (is_bool(b)) return a;
    if (is_complex(a) || is_complex(b)) {
        const bool wide = complex_dtype(a) == DType::kC128 || complex_dtype(b) == DType::kC128;
        return wide ? DType::kC128 : DType::kC64;
    }
    if (is_float(a) && is_float(b)) {
        // float16 with bfloat16 meet in float32: neither holds the other's values.
        if (dtype_size(a) == dtype_size(b)) return DType::kF32;
        return dtype_size(a) > dtype_size(b) ? a : b;
    }
    if (is_float(a)) return a;
    if (is_float(b)) return b;
    if (is_signed_int(a) == is_signed_int(b)) return dtype_size(a) > dtype_size(b) ? a : b;
    const DType s = is_signed_int(a) ? a : b;
    const DType u = is_signed_int(a) ? b : a;
    if (int_bits(s) > int_bits(u)) return s;
    if (u == DType::kU64) {
        fail(ErrorKind::kDType, "promote",
             "%s and uint64 have no common integer type; convert one of them, for example "
             "x.astype(sn.int64)",
             dtype_name(s));
    }
    return signed_of_bits(int_bits(u) * 2);
}

DType promote_weak(DType tensor, ScalarKind scalar, DType default_float) {
    switch (scalar) {
        case ScalarKind::kBool: return tensor;
        case ScalarKind::kInt: return is_bool(tensor) ? DType::kI64 : tensor;
        case ScalarKind::kFloat: return is_inexact(tensor) ? tensor : default_float;
        case ScalarKind::kComplex:
            return complex_dtype(is_inexact(tensor) ? tensor : default_float);
    }
    return tensor;
}

float f16_to_f32(uint16_t h) {
    const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
    uint32_t exponent = (h >> 10) & 0x1f, mantissa = h & 0x3ffu, bits;
    if (exponent == 0) {
        if (mantissa == 0) {
            bits = sign;
        } else {
            int shift = 0;
            while (!(mantissa & 0x400u)) {
                mantissa <<= 1;
                ++shift;
            }
            bits = sign | (static_cast<uint32_t>(113 - shift) << 23) | ((mantissa & 0x3ffu) << 13);
        }
    } else if (exponent == 31) {
        bits = sign | 0x7f800000u | (mantissa << 13);
        if (mantissa) bits |= 0x400000u;  // quiet, as the hardware conversion does
    } else {
        bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
    }
    float f;
    std::memcpy(&f, &bits, 4);
    return f;
}

uint16_t f32_to_f16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
    }
    if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {  // subnormal half or zero
        if (magnitude < 0x33000000u) return sign;
        const int shift = 126 - static_cast<int>(magnitude >> 23);
        const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
        const uint32_t kept = mantissa >> shift;
        const uint32_t rest = mantissa & ((1u << shift) - 1), half = 1u << (shift - 1);
        const uint32_t up = rest > half || (rest == half && (kept & 1));
        return static_cast<uint16_t>(sign | (kept + up));
    }
    const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1);
    return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

uint16_t f32_to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

}  // namespace sn
