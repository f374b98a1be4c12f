#pragma once
// Trigonometric functions and their inverses. See math.h.
#include "op/math_core.h"
#include "op/math_exp.h"

SN_MATH_BEGIN

// ---- reduction: x = n pi/2 + hi + lo, |hi| <= pi/4

template <class V>
struct Reduced {
    V hi, lo;
    Bits<V> n;  // the lowest two bits count
};

// Payne and Hanek's reduction for large |x|: the product of the 53-bit mantissa with the 192 bits
// of 2/pi that decide the quadrant and what follows it.
SN_HEAVY Reduced<double> reduce_large(double x) {
    constexpr uint64_t kTwoOverPi[] = {// after 64 zero bits
                                       0,
                                       0xa2f9836e4e441529u,
                                       0xfc2757d1f534ddc0u,
                                       0xdb6295993c439041u,
                                       0xfe5163abdebbc561u,
                                       0xb7246e3a424dd2e0u,
                                       0x06492eea09d1921cu,
                                       0xfe1deb1cb129a73eu,
                                       0xe88235f52ebb4484u,
                                       0xe99c7026b45f7e41u,
                                       0x3991d639835339f4u,
                                       0x9c845f8bbdf9283bu,
                                       0x1ff897ffde05980fu,
                                       0xef2f118b5a0a6d1fu,
                                       0x6d367ecf27cb09b7u,
                                       0x4f463f669e5fea2du,
                                       0x7527bac7ebe5f17bu,
                                       0x3d0739f78a5292eau,
                                       0x6bfb5fb11f8d5d08u,
                                       0x56033046fc7b6babu,
                                       0xf0cfbc209af4361du};
    __extension__ typedef unsigned __int128 Wide;
    const uint64_t bits = as<uint64_t>(x);
    const int biased = static_cast<int>((bits >> 52) & 0x7ff);
    if (biased == 0x7ff) return {x - x, 0.0, 0};
    const uint64_t mantissa = (bits & 0xfffffffffffffu) | 0x10000000000000u;
    const int offset = biased - 1023 - 52 - 2 + 64;  // 2/pi's bits before it give multiples of 4
    const int word = offset / 64, shift = offset % 64;
    uint64_t w[3];
    for (int i = 0; i < 3; ++i) {
        w[i] = kTwoOverPi[word + i] << shift;
        if (shift) w[i] |= kTwoOverPi[word + i + 1] >> (64 - shift);
    }
    const Wide p0 = static_cast<Wide>(mantissa) * w[2], p1 = static_cast<Wide>(mantissa) * w[1];
    const Wide mid = p1 + (p0 >> 64);
    uint64_t a = static_cast<uint64_t>(mid >> 64) + mantissa * w[0];
    uint64_t b = static_cast<uint64_t>(mid), c = static_cast<uint64_t>(p0);
    uint64_t n = a >> 62;
    a = (a << 2) | (b >> 62);  // the fraction of a quarter turn, 192 bits
    b = (b << 2) | (c >> 62);
    c <<= 2;
    const bool up = (a >> 63) != 0;
    if (up) {  // nearest multiple: continue with the distance to the next one
        n += 1;
        c = ~c + 1;
        b = ~b + (c == 0);
        a = ~a + (c == 0 && b == 0);
    }
    int exponent = 0;
    if (a == 0) {
        a = b, b = c, c = 0;
        exponent = -64;
    }
    const int zeros = a ? __builtin_clzll(a) : 0;
    if (zeros) {
        a = (a << zeros) | (b >> (64 - zeros));
        b = (b << zeros) | (c >> (64 - zeros));
        exponent -= zeros;
    }
    const double scale = as<double>(static_cast<uint64_t>(1023 + exponent) << 52);
    const double f = static_cast<double>(a >> 11) * 0x1p-53 * scale;
    const double f_lo = static_cast<double>(((a & 0x7ff) << 42) | (b >> 22)) * 0x1p-106 * scale;
    constexpr double kHi = 0x1.921fb54442d18p+0, kLo = 0x1.1a62633145c07p-54;
    const double h = f * kHi;
    const double l = exact_fma(f, kHi, -h) + fma(f, kLo, f_lo * kHi);
    const bool flip = up != ((bits >> 63) != 0);
    if (bits >> 63) n = 0 - n;
    return {flip ? -h : h, flip ? -l : l, n};
}

template <class V>
SN_FN Reduced<V> reduce_half_pi(V x) {
    const V t = fma(x, all<V>(0x1.45f306dc9c883p-1), all<V>(0x1.8p52));
    const V n = t - 0x1.8p52;
    const V r = exact_fma(n, all<V>(-0x1.921fb54442d18p+0), x);  // exact
    const V p = n * 0x1.1a62633145c07p-54;
    const V p_lo = exact_fma(n, all<V>(0x1.1a62633145c07p-54), -p);
    const V hi = r - p;
    const V back = hi - r;
    const V lo = (r - (hi - back)) - (p + back);
    Reduced<V> result = {hi, lo - fma(n, all<V>(-0x1.f1976b7ed8fbcp-110), p_lo), as<Bits<V>>(t)};
    const auto large = !(magnitude(x) < 0x1p30);
    if (any(large)) [[unlikely]] {
        if constexpr (Traits<V>::kScalar) {
            result = reduce_large(x);
        } else {
            for (size_t i = 0; i < sizeof(V) / 8; ++i) {
                if (!large[i]) continue;
                const Reduced<double> one = reduce_large(x[i]);
                result.hi[i] = one.hi;
                result.lo[i] = one.lo;
                result.n[i] = one.n;
            }
        }
    }
    return result;
}
template <class V>
SN_FN V sin_poly(V x, V lo) {
    const V z = x * x, v = z * x;
    const V r = horner(z, 0x1.1111111111110p-7, -0x1.a01a01a01990ap-13, 0x1.71de3a545b148p-19,
                       -0x1.ae6454093c147p-26, 0x1.61217781a8ccdp-33, -0x1.ab13654fd392ap-41);
    const V tail = fma(z, fma(-v, r, 0.5 * lo), -lo);
    return x - fma(v, all<V>(0x1.5555555555555p-3), tail);
}
template <class V>
SN_FN V cos_poly(V x, V lo) {
    const V z = x * x, half = 0.5 * z;
    const V r = z * horner(z, 0x1.5555555555555p-5, -0x1.6c16c16c16955p-10, 0x1.a01a019f4a826p-16,
                           -0x1.27e4fa1272706p-22, 0x1.1eeb634b132cdp-29, -0x1.907999e6897e2p-37);
    const V w = 1.0 - half;
    return w + (((1.0 - w) - half) + fma(z, r, -(x * lo)));
}
template <class V>
SN_FN V sin_of(Reduced<V> p, uint64_t quarter) {  // sin(x + quarter pi/2)
    const Bits<V> n = p.n + quarter;
    const V r = (n & 1) != 0 ? cos_poly(p.hi, p.lo) : sin_poly(p.hi, p.lo);
    return as<V>(as<Bits<V>>(r) ^ ((n & 2) << 62));
}
template <class V>
SN_HEAVY V sin_f64(V x) {
    return x == 0.0 ? x : sin_of(reduce_half_pi(x), 0);
}
template <class V>
SN_HEAVY V cos_f64(V x) {
    return sin_of(reduce_half_pi(x), 1);
}
template <class V>
SN_HEAVY V tan_f64(V x) {
    const Reduced<V> p = reduce_half_pi(x);
    const V s = sin_poly(p.hi, p.lo), c = cos_poly(p.hi, p.lo);
    const auto odd = (p.n & 1) != 0;
    const V r = (odd ? -c : s) / (odd ? s : c);
    return x == 0.0 ? x : r;
}

// f32 through one odd polynomial on [-pi/2, pi/2] in f64; two fused steps reduce up to 2^40.
template <class V>
SN_FN V half_turn_sin(V r, V t) {
    const V z = r * r;
    const V p = horner(z, -0x1.55555555549c2p-3, 0x1.1111110fbf72cp-7, -0x1.a01a0010f27fdp-13,
                       0x1.71dd8da146e55p-19, -0x1.ae20b3c3e41a8p-26, 0x1.54e5d3ceda01fp-33);
    const V y = fma(r * z, p, r);
    return as<V>(as<Bits<V>>(y) ^ (as<Bits<V>>(t) << 63));
}
template <class V>
SN_FN V sin_half(V x) {
    const V t = fma(x, all<V>(0x1.45f306dc9c883p-2), all<V>(0x1.8p52));
    const V n = t - 0x1.8p52;
    V r = exact_fma(n, all<V>(-0x1.921fb54442d18p+1), x);
    r = fma(n, all<V>(-0x1.1a62633145c07p-53), r);
    return half_turn_sin(r, t);
}
template <class V>
SN_FN V cos_half(V x) {  // cos(x) = sin(x + pi/2): n is an integer less a half
    const V t = fma(magnitude(x), all<V>(0x1.45f306dc9c883p-2), all<V>(0.5)) + 0x1.8p52;
    const V n = (t - 0x1.8p52) - 0.5;
    V r = exact_fma(n, all<V>(-0x1.921fb54442d18p+1), magnitude(x));
    r = fma(n, all<V>(-0x1.1a62633145c07p-53), r);
    return half_turn_sin(r, t);
}
template <class V>
SN_FN V sin(V x) {
    if constexpr (kWide<V>) {
        return sin_f64(x);
    } else {
        const V y = via_f64([](auto d) { return sin_half(d); }, x);
        const auto rare = !(magnitude(x) < 0x1p40f);
        return where_rare(
            rare, x == 0.0f ? x : y, [](float v) { return static_cast<float>(sin_f64(double(v))); },
            x);
    }
}
template <class V>
SN_FN V cos(V x) {
    if constexpr (kWide<V>) {
        return cos_f64(x);
    } else {
        const V y = via_f64([](auto d) { return cos_half(d); }, x);
        const auto rare = !(magnitude(x) < 0x1p40f);
        return where_rare(
            rare, y, [](float v) { return static_cast<float>(cos_f64(double(v))); }, x);
    }
}
template <class V>
SN_FN V tan(V x) {
    return via_f64([](auto d) { return tan_f64(d); }, x);
}

// ---- inverses

template <class V>
SN_FN V asin_series(V s, V z) {  // asin(s) - s, z = s^2 <= 1/4
    return s * z *
           horner(z, 0x1.5555555555556p-3, 0x1.3333333332ec4p-4, 0x1.6db6db6e3292ep-5,
                  0x1.f1c71c1d4aa0dp-6, 0x1.6e8bb1d89492bp-6, 0x1.1c4d343fa57f6p-6,
                  0x1.c9cf3759fd8ffp-7, 0x1.78246f32d075cp-7, 0x1.524ea8b3aad31p-7,
                  0x1.653a8f8cfd43dp-8, 0x1.1d661531b222ep-6, -0x1.e7a24f548c99dp-7,
                  0x1.d78189767524ep-6);
}
inline constexpr double kHalfPi = 0x1.921fb54442d18p+0, kHalfPiLo = 0x1.1a62633145c07p-54;
template <class V>
SN_HEAVY V asin_f64(V x) {
    const V a = magnitude(x);
    const auto small = a < 0.5;
    const V z = small ? a * a : 0.5 * (1.0 - a);
    const V s = small ? a : sqrt(z);
    const V series = asin_series(s, z);
    // pi/2 - 2 asin(s), with what the square root rounded off.
    const V s_lo = fma(-s, s, z) / (s + s);
    const V large = kHalfPi - (2.0 * s - (kHalfPiLo - 2.0 * (series + s_lo)));
    const V r = small ? s + series : (a == 1.0 ? all<V>(kHalfPi) : large);
    return with_sign(magnitude(r), x);
}
template <class V>
SN_HEAVY V acos_f64(V x) {
    const V a = magnitude(x);
    const auto small = a < 0.5, negative = x < 0.0;
    const V z = small ? a * a : 0.5 * (1.0 - a);
    const V s = small ? x : sqrt(z);
    const V series = asin_series(s, z);
    const V s_lo = z == 0.0 ? V{} : fma(-s, s, z) / (s + s);
    const V center = kHalfPi - (s - (kHalfPiLo - series));
    const V right = 2.0 * (s + (series + s_lo));
    const V left = 2.0 * (kHalfPi - (s - (kHalfPiLo - (series + s_lo))));
    return small ? center : (negative ? left : right);
}
template <class V>
SN_HEAVY V atan2_f64(V y, V x) {
    V ay = magnitude(y), ax = magnitude(x);
    const auto both_inf = (ay == infinity<V>()) & (ax == infinity<V>());
    const auto nan_in = (y != y) | (x != x);
    ay = both_inf ? all<V>(1.0) : ay;
    ax = both_inf ? all<V>(1.0) : ax;
    const auto steep = ay > ax;
    V big = steep ? ay : ax, small = steep ? ax : ay;
    const V scale = big > 0x1p1000 ? all<V>(0x1p-8) : all<V>(1.0);  // big + small stays finite
    big = big == infinity<V>() ? big : big * scale;
    small = small * scale;
    const auto middle = small > big * 0x1.a827999fcef32p-2;  // tan(pi/8)
    const V t = (middle ? small - big : small) / (middle ? small + big : big);
    const V z = t * t;
    const V series = t * z *
                     horner(z, -0x1.5555555555555p-2, 0x1.9999999999953p-3, -0x1.249249248d7e6p-3,
                            0x1.c71c71c3045bap-4, -0x1.745d165de250bp-4, 0x1.3b1392d7e8f74p-4,
                            -0x1.110e87e6a8722p-4, 0x1.e19a10824a50bp-5, -0x1.ac7a7bd8f05c0p-5,
                            0x1.74dd67f0d3109p-5, -0x1.1b32a3266af2ep-5, 0x1.0ad10221730d6p-6);
    // angle = base + sign * (t + series), the base a multiple of pi/4.
    const auto back = (as<Bits<V>>(x) & Fmt<V>::kSign) != 0;
    const V quarter = middle ? all<V>(1.0) : V{};
    V base = steep ? 2.0 - quarter : quarter;
    base = back ? 4.0 - base : base;
    const auto minus = steep != back;
    const V d = minus ? -t : t, d_lo = minus ? -series : series;
    const V lo = fma(base, all<V>(0x1.1a62633145c07p-55), d_lo);
    V r = fma(base, all<V>(0x1.921fb54442d18p-1), d + lo);
    r = big == 0.0 ? (back ? all<V>(2 * kHalfPi) : V{}) : r;
    r = with_sign(magnitude(r), y);
    return nan_in ? nan<V>() : r;
}
template <class V>
SN_HEAVY V atan_f64(V x) {
    return atan2_f64(x, all<V>(1.0));
}
template <class V>
SN_FN V asin(V x) {
    return via_f64([](auto d) { return asin_f64(d); }, x);
}
template <class V>
SN_FN V acos(V x) {
    return via_f64([](auto d) { return acos_f64(d); }, x);
}
template <class V>
SN_FN V atan(V x) {
    return via_f64([](auto d) { return atan_f64(d); }, x);
}
template <class V>
SN_FN V atan2(V y, V x) {
    return via_f64([](auto a, auto b) { return atan2_f64(a, b); }, y, x);
}

SN_MATH_END
