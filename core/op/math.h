#pragma once
// The one definition of every scalar function of the elementwise operations. Plain + - * /, fma
// where it is written, fixed polynomials, no libm: compiled with contraction off, a function gives
// the same bits on every instruction set with fused multiply-add, at any vector width.
#include "op/math_core.h"
#include "op/math_exp.h"
#include "op/math_trig.h"

SN_MATH_BEGIN

// ---- arithmetic. Integers wrap: they are computed unsigned.

#define SN_WRAPPING(name, op)                                                \
    template <class V>                                                       \
    SN_FN V name(V x, V y) {                                                 \
        if constexpr (kFloating<V>) {                                        \
            return x op y;                                                   \
        } else {                                                             \
            using U = Bits<V>;                                               \
            if constexpr (sizeof(V) <= 2) { /* unsigned, not promoted int */ \
                return static_cast<V>(uint32_t(U(x)) op uint32_t(U(y)));     \
            } else {                                                         \
                return static_cast<V>(U(x) op U(y));                         \
            }                                                                \
        }                                                                    \
    }
SN_WRAPPING(add, +)
SN_WRAPPING(subtract, -)
SN_WRAPPING(multiply, *)
#undef SN_WRAPPING

template <class V>
SN_FN V negative(V x) {
    if constexpr (kFloating<V>) {
        return -x;
    } else {
        return subtract(V(0), x);
    }
}
template <class V>
SN_FN V abs(V x) {
    if constexpr (kFloating<V>) {
        return magnitude(x);
    } else if constexpr (kSigned<V>) {
        return x < 0 ? negative(x) : x;
    } else {
        return x;
    }
}
template <class V>
SN_FN V sign(V x) {
    const V one = all<V>(Elem<V>(1));
    if constexpr (kFloating<V>) {
        return x > Elem<V>(0) ? one : (x < Elem<V>(0) ? -one : (x == x ? V{} : x));
    } else {
        return static_cast<V>((x > 0) - (x < V(0)));
    }
}
template <class V>
SN_FN V reciprocal(V x) {
    return Elem<V>(1) / x;
}
template <class V>
SN_FN V rsqrt(V x) {
    return Elem<V>(1) / sqrt(x);
}
template <class V>
SN_FN V relu(V x) {  // NaN stays NaN
    if constexpr (kFloating<V>) {
        return x < Elem<V>(0) ? V{} : x;
    } else {
        return x > V(0) ? x : V(0);
    }
}
template <class V>
SN_FN V hardsigmoid(V x) {
    return at_least(at_most(x + Elem<V>(3), Elem<V>(6)), Elem<V>(0)) / Elem<V>(6);
}
template <class V>
SN_FN V hardswish(V x) {
    return limit_left(x) * hardsigmoid(x);
}
template <class V>
SN_FN V lerp(V x, V y, V w) {  // exact at both ends
    return w < Elem<V>(0.5) ? x + w * (y - x) : y - (Elem<V>(1) - w) * (y - x);
}

// ---- rounding; the overloads for floats are in math_core.h

#define SN_INTEGRAL(name)                             \
    template <class V>                                \
        requires(Traits<V>::kScalar && !kFloating<V>) \
    SN_FN V name(V x) {                               \
        return x;                                     \
    }
SN_INTEGRAL(floor)
SN_INTEGRAL(ceil)
SN_INTEGRAL(trunc)
SN_INTEGRAL(round)
#undef SN_INTEGRAL

// ---- order

template <class V>
SN_FN V maximum(V x, V y) {
    if constexpr (kFloating<V>) {
        const V m = x > y ? x : y;  // y when unordered
        return x == x ? m : x;
    } else {
        return x > y ? x : y;
    }
}
template <class V>
SN_FN V minimum(V x, V y) {
    if constexpr (kFloating<V>) {
        const V m = x < y ? x : y;
        return x == x ? m : x;
    } else {
        return x < y ? x : y;
    }
}
template <class V>
SN_FN V fmax(V x, V y) {
    const V m = x > y ? x : y;
    if constexpr (kFloating<V>) {
        return y == y ? m : x;
    } else {
        return m;
    }
}
template <class V>
SN_FN V fmin(V x, V y) {
    const V m = x < y ? x : y;
    if constexpr (kFloating<V>) {
        return y == y ? m : x;
    } else {
        return m;
    }
}
template <class V>
SN_FN V copysign(V x, V y) {
    return as<V>(as<Bits<V>>(magnitude(x)) | sign_bits(y));
}
template <class V>
SN_FN V nextafter(V x, V y) {
    const Bits<V> b = as<Bits<V>>(x);
    const auto away = (x < y) == (x > Elem<V>(0));  // the magnitude grows
    V r = as<V>(away ? b + 1 : b - 1);
    const Bits<V> least = sign_bits(y) | 1;
    r = x == Elem<V>(0) ? as<V>(least) : r;
    r = x == y ? y : r;
    return x == x ? (y == y ? r : y) : x;
}

// ---- tests; integers are numbers

#define SN_TEST(name, expression, of_integer) \
    template <class V>                        \
    SN_FN auto name(V x) {                    \
        if constexpr (kFloating<V>) {         \
            return expression;                \
        } else {                              \
            return of_integer;                \
        }                                     \
    }
SN_TEST(isnan, x != x, x != x)
SN_TEST(isinf, magnitude(x) == infinity<V>(), x != x)
SN_TEST(isfinite, magnitude(x) < infinity<V>(), x == x)
SN_TEST(signbit, sign_bits(x) != 0, x < V(0))
#undef SN_TEST

// ---- remainders

// |a| mod |b| bit by bit, for quotients that a division cannot hold.
SN_HEAVY double fmod_long(double a, double b) {
    uint64_t m[2];
    int e[2];
    const double v[2] = {a, b};
    for (int i = 0; i < 2; ++i) {
        const uint64_t bits = as<uint64_t>(v[i]) & 0x7fffffffffffffffu;
        e[i] = static_cast<int>(bits >> 52);
        m[i] = bits & 0xfffffffffffffu;
        if (e[i]) {
            m[i] |= 0x10000000000000u;
        } else {
            e[i] = 1;
        }
    }
    uint64_t r = m[0] % m[1];
    for (int k = e[0] - e[1]; k > 0; --k) r = (r << 1) % m[1];
    if (r == 0) return 0.0;
    int k = e[1];
    while (k > 1 && r < 0x10000000000000u) r <<= 1, --k;
    const bool normal = r >= 0x10000000000000u;
    return as<double>((r & 0xfffffffffffffu) | (static_cast<uint64_t>(normal ? k : 0) << 52));
}
template <class V>
SN_HEAVY V fmod_f64(V x, V y) {
    const V a = magnitude(x), b = magnitude(y);
    const V quotient = a / b;
    // The exact a - q b is representable; q may be one too large.
    V r = exact_fma(-trunc(quotient), b, a);
    r = r < 0.0 ? r + b : r;
    r = r >= b ? r - b : r;
    r = a < b ? a : r;
    const auto valid = (a < infinity<V>()) & (b > 0.0);
    r = where_rare(valid & !(quotient < 0x1p52) & !(a < b), r, fmod_long, a, b);
    return valid ? with_sign(r, x) : nan<V>();
}
template <class V>
SN_HEAVY V remainder_f64(V x, V y) {
    const V m = fmod_f64(x, y);
    const V moved = (m < 0.0) != (y < 0.0) ? m + y : m;
    return m == 0.0 ? copysign(m, y) : moved;
}
template <class V>
SN_HEAVY V floor_divide_f64(V x, V y) {  // as Python: consistent with remainder
    const V m = fmod_f64(x, y);
    V d = (x - m) / y;
    d = ((m != 0.0) & ((m < 0.0) != (y < 0.0))) ? d - 1.0 : d;
    const V f = floor(d);
    const V r = d - f > 0.5 ? f + 1.0 : f;
    // Zeros and infinities divide as in x / y: the Array API standard, not Python, wants that.
    const auto special =
        (y == 0.0) | (magnitude(x) == infinity<V>()) | (magnitude(y) == infinity<V>());
    return special ? x / y : (d == 0.0 ? copysign(V{}, x / y) : r);
}

// Integers: x / 0 is 0 and x mod 0 is 0; the lowest number by -1 wraps.
template <class V>
SN_FN V fmod(V x, V y) {
    if constexpr (kFloating<V>) {
        return via_f64([](auto a, auto b) { return fmod_f64(a, b); }, x, y);
    } else if constexpr (kSigned<V>) {
        return y == 0 || y == -1 ? V(0) : static_cast<V>(x % y);
    } else {
        return y == 0 ? V(0) : static_cast<V>(x % y);
    }
}
template <class V>
SN_FN V remainder(V x, V y) {
    if constexpr (kFloating<V>) {
        return via_f64([](auto a, auto b) { return remainder_f64(a, b); }, x, y);
    } else {
        const V m = fmod(x, y);
        return m != 0 && (m < V(0)) != (y < V(0)) ? static_cast<V>(m + y) : m;
    }
}
template <class V>
SN_FN V floor_divide(V x, V y) {
    if constexpr (kFloating<V>) {
        return via_f64([](auto a, auto b) { return floor_divide_f64(a, b); }, x, y);
    } else if constexpr (kSigned<V>) {
        if (y == 0) return 0;
        if (y == -1) return negative(x);
        const V q = static_cast<V>(x / y), m = static_cast<V>(x % y);
        return static_cast<V>(q - (m != 0 && (m < 0) != (y < 0)));
    } else {
        return y == 0 ? V(0) : static_cast<V>(x / y);
    }
}

// ---- powers and lengths

template <class V>
SN_FN V pow(V x, V y) {
    if constexpr (kFloating<V>) {
        return via_f64([](auto a, auto b) { return pow_f64<kWide<V>>(a, b); }, x, y);
    } else {
        if constexpr (kSigned<V>) {
            // The reciprocal, truncated: only 1 and -1 have one.
            if (y < 0) return static_cast<V>(x == 1 ? 1 : x == -1 ? ((y & 1) ? -1 : 1) : 0);
        }
        V r = 1;
        for (Bits<V> k = static_cast<Bits<V>>(y); k != 0; k = static_cast<Bits<V>>(k >> 1)) {
            if (k & 1) r = multiply(r, x);
            x = multiply(x, x);
        }
        return r;
    }
}
template <class V>
SN_FN V hypot_f64(V x, V y) {
    const V a = magnitude(x), b = magnitude(y);
    const V big = a > b ? a : b, small = a > b ? b : a;
    const auto high = big > 0x1p500, low = big < 0x1p-450;
    const V down = high ? all<V>(0x1p-600) : (low ? all<V>(0x1p600) : all<V>(1.0));
    const V up = high ? all<V>(0x1p600) : (low ? all<V>(0x1p-600) : all<V>(1.0));
    const V p = big * down, q = small * down;
    const V r = sqrt(fma(p, p, q * q)) * up;
    const auto endless = (a == infinity<V>()) | (b == infinity<V>());
    return endless ? infinity<V>() : r;
}
template <class V>
SN_FN V hypot(V x, V y) {
    return via_f64([](auto a, auto b) { return hypot_f64(a, b); }, x, y);
}

// ---- bits

template <class V>
SN_FN V bitwise_invert(V x) {
    return static_cast<V>(~x);
}
template <>
SN_FN bool bitwise_invert(bool x) {
    return !x;
}
template <class V>
SN_FN V shift_left(V x, V y) {
    constexpr V width = static_cast<V>(sizeof(V) * 8);
    if constexpr (sizeof(V) == 8) {
        const uint64_t r = static_cast<uint64_t>(x) << (static_cast<uint64_t>(y) & 63);
        return y >= V(0) && y < width ? static_cast<V>(r) : V(0);
    } else {
        const uint32_t r = static_cast<uint32_t>(x) << (static_cast<uint32_t>(y) & 31);
        return y >= V(0) && y < width ? static_cast<V>(r) : V(0);
    }
}
template <class V>
SN_FN V shift_right(V x, V y) {
    constexpr V width = static_cast<V>(sizeof(V) * 8);
    const bool inside = y >= V(0) && y < width;
    const V last = static_cast<V>(kSigned<V> && x < V(0) ? -1 : 0);
    return inside ? static_cast<V>(x >> (y & static_cast<V>(width - 1))) : last;
}

SN_MATH_END

// Source that is compiled when it runs and needs none of them says so.
#if !defined(SN_MATH_PLAIN)
#include "op/math_special.h"
#endif
