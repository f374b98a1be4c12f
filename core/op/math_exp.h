#pragma once
// Exponentials, logarithms, powers, hyperbolic functions, activations. See math.h.
// Polynomials: tools/fit_polynomials.py.
#include "op/math_core.h"

SN_MATH_BEGIN

// ---- exponential: x = n ln 2 + r, |r| <= ln 2 / 2, e^r by a polynomial

template <class V>
struct ExpParts {
    V n, r;  // n integral
};
template <class V>
SN_FN ExpParts<V> exp_reduce(V x) {
    if constexpr (kWide<V>) {
        const V n = fma(x, all<V>(0x1.71547652b82fep+0), all<V>(Fmt<V>::kMagic)) - Fmt<V>::kMagic;
        const V r = fma(n, all<V>(-0x1.62e42fee00000p-1), x);
        return {n, fma(n, all<V>(-0x1.a39ef35793c76p-33), r)};
    } else {
        const V n = fma(x, all<V>(0x1.715476p+0f), all<V>(Fmt<V>::kMagic)) - Fmt<V>::kMagic;
        const V r = fma(n, all<V>(-0x1.62e4p-1f), x);
        return {n, fma(n, all<V>(-0x1.7f7d1cp-20f), r)};
    }
}
template <class V>
SN_FN V expm1_poly(V r) {  // e^r - 1
    V p;
    if constexpr (kWide<V>) {
        p = horner(r, 0x1p-1, 0x1.5555555555557p-3, 0x1.5555555555556p-5, 0x1.11111111100b6p-7,
                   0x1.6c16c16c162fap-10, 0x1.a01a01abfc8ddp-13, 0x1.a01a01a6d2ac6p-16,
                   0x1.71de01f07539bp-19, 0x1.27e4db63c6eb3p-22, 0x1.af4e70dd7207dp-26,
                   0x1.1f7319699c0a7p-29);
    } else {
        p = horner(r, 0x1p-1f, 0x1.5554dcp-3f, 0x1.555518p-5f, 0x1.120cp-7f, 0x1.6d119ap-10f);
    }
    return fma(r * r, p, r);
}
// y * 2^n for y near 1, in two exact steps and one that may round (to a subnormal) or overflow.
template <class V>
SN_FN V scale_by_exp2(V y, V n) {
#if defined(SN_ISA) && defined(__AVX512F__)
    // The same with one rounding by definition, in one instruction.
    if constexpr (__is_same(V, F32)) return (V)_mm512_scalef_ps((__m512)y, (__m512)n);
    if constexpr (__is_same(V, F64)) return (V)_mm512_scalef_pd((__m512d)y, (__m512d)n);
#endif
    const V half = fma(n, all<V>(Elem<V>(0.5)), all<V>(Fmt<V>::kMagic));
    const V rest = n - (half - Fmt<V>::kMagic) + Fmt<V>::kMagic;
    return y * exp2_of_magic(half) * exp2_of_magic(rest);
}
// e^(x + lo) * 2^shift, |lo| far below 1.
template <class V>
SN_FN V exp_with(V x, V lo, Elem<V> shift) {
    if constexpr (kWide<V>) {
        x = at_least(at_most(x, 711.0), -750.0);
    } else {
        x = at_least(at_most(x, 90.0f), -106.0f);
    }
    ExpParts<V> p = exp_reduce(x);
    p.r = p.r + lo;
    return scale_by_exp2(Elem<V>(1) + expm1_poly(p.r), p.n + shift);
}
template <class V>
SN_FN V exp(V x) {
    if constexpr (kWide<V>) {
        x = at_least(at_most(x, 711.0), -750.0);
    } else {
        x = at_least(at_most(x, 90.0f), -106.0f);
    }
    const ExpParts<V> p = exp_reduce(x);
    return scale_by_exp2(Elem<V>(1) + expm1_poly(p.r), p.n);
}
// exp where the caller knows that |x| is below 80: neither limits nor a second step of scaling.
template <class V>
SN_FN V exp_narrow(V x) {
    const ExpParts<V> p = exp_reduce(x);
    return (Elem<V>(1) + expm1_poly(p.r)) * exp2_of_magic(p.n + Fmt<V>::kMagic);
}
template <class V>
SN_FN V exp2(V x) {
    x = at_least(at_most(x, Elem<V>(kWide<V> ? 1025 : 129)), Elem<V>(kWide<V> ? -1080 : -152));
    const V n = x + Fmt<V>::kMagic - Fmt<V>::kMagic;
    const V f = x - n;
    V r;
    if constexpr (kWide<V>) {
        r = fma(f, all<V>(0x1.62e42fefa39efp-1), f * 0x1.abc9e3b39803fp-56);
    } else {
        r = f * 0x1.62e43p-1f;
    }
    return scale_by_exp2(Elem<V>(1) + expm1_poly(r), n);
}
template <class V>
SN_FN V expm1(V x) {
    const V limited = at_least(at_most(x, Elem<V>(kWide<V> ? 711 : 90)), Elem<V>(-40));
    const ExpParts<V> p = exp_reduce(limited);
    // (E + (1 - 2^-n)) 2^n; the parenthesis is exact where it matters.
    const V minus_n = Fmt<V>::kMagic - at_most(p.n, Elem<V>(60));
    const V y = expm1_poly(p.r) + (Elem<V>(1) - exp2_of_magic(minus_n));
    return x == Elem<V>(0) ? x : scale_by_exp2(y, p.n);
}

// ---- logarithm: x = 2^e m, m in [sqrt(1/2), sqrt(2))

template <class V>
struct LogParts {
    V e, m;  // e integral
};
template <class V>
SN_FN LogParts<V> log_reduce(V x) {  // x > 0, finite; other x give garbage
    constexpr int k = Fmt<V>::kMantissa;
    using T = Elem<Bits<V>>;
    constexpr T shift = (Fmt<V>::kBias + 1) << k;
    const auto tiny = x < Fmt<V>::kMinNormal;
    x = tiny ? x * Fmt<V>::kUp : x;
    const Bits<V> i = as<Bits<V>>(x);
    const Bits<V> biased = (i - Fmt<V>::kSqrtHalf + shift) >> k;
    const V m = as<V>(i - (biased << k) + shift);
    const V e =
        as<V>(biased | as<T>(Fmt<V>::kInteger)) - (Fmt<V>::kInteger + Elem<V>(Fmt<V>::kBias + 1));
    return {tiny ? e - Fmt<V>::kUpLog2 : e, m};
}
template <class V>
SN_FN V log_one_plus(V f, V e) {  // e ln 2 + log(1 + f), f in [sqrt(1/2) - 1, sqrt(2) - 1]
    if constexpr (kWide<V>) {
        const V s = f / (2.0 + f);
        const V z = s * s;
        const V r = z * horner(z, 0x1.5555555555558p-1, 0x1.99999999952b2p-2, 0x1.2492492df6947p-2,
                               0x1.c71c62debf86bp-3, 0x1.7462b69705382p-3, 0x1.39fe208c33457p-3,
                               0x1.2b5b5fb2eac92p-3);
        const V half_square = 0.5 * f * f;
        return e * 0x1.62e42fee00000p-1 -
               ((half_square - fma(s, half_square + r, e * 0x1.a39ef35793c76p-33)) - f);
    } else {
        const V p = horner(f, -0x1.fffffep-2f, 0x1.555554p-2f, -0x1.00020cp-2f, 0x1.99a012p-3f,
                           -0x1.548382p-3f, 0x1.22ea5ap-3f, -0x1.0cda32p-3f, 0x1.048f72p-3f,
                           -0x1.3a4ff6p-4f);
        const V small = fma(f * f, p, e * 0x1.7f7d1cp-20f);
        return fma(e, all<V>(0x1.62e4p-1f), f + small);
    }
}
// The values of a logarithm at 0, inf, NaN and below 0.
template <class V>
SN_FN V log_special(V x, V result) {
    result = x == infinity<V>() ? x : result;
    result = x == Elem<V>(0) ? -infinity<V>() : result;
    return x >= Elem<V>(0) ? result : nan<V>();
}
template <class V>
SN_FN V log(V x) {
    const LogParts<V> p = log_reduce(x);
    return log_special(x, log_one_plus(p.m - Elem<V>(1), p.e));
}
template <class V>
SN_FN V log1p(V x) {
    const V u = x + Elem<V>(1);
    const V back = u - Elem<V>(1);
    const V lo = (Elem<V>(1) - (u - back)) + (x - back);  // u + lo = 1 + x exactly
    const LogParts<V> p = log_reduce(u);
    const V scale = exp2_of_magic(Fmt<V>::kMagic - at_most(p.e, Elem<V>(100)));
    const V r = log_one_plus(fma(lo, scale, p.m - Elem<V>(1)), p.e);
    return x == Elem<V>(0) ? x : log_special(u, r);
}
template <class V>
SN_HEAVY V log2_f64(V x) {
    const LogParts<V> p = log_reduce(x);
    const V l = log_one_plus(p.m - 1.0, V{});
    const V r = p.e + fma(l, all<V>(0x1.71547652b82fep+0), l * 0x1.777d0ffda0d24p-56);
    return log_special(x, r);
}
template <class V>
SN_HEAVY V log10_f64(V x) {
    const LogParts<V> p = log_reduce(x);
    const V l = log_one_plus(p.m - 1.0, V{});
    const V lo = fma(l, all<V>(0x1.bcb7b1526e50ep-2), p.e * 0x1.f79fef311f12bp-34);
    return log_special(x, fma(p.e, all<V>(0x1.3441350800000p-2), lo));
}
template <class V>
SN_FN V log2(V x) {
    return via_f64([](auto d) { return log2_f64(d); }, x);
}
template <class V>
SN_FN V log10(V x) {
    return via_f64([](auto d) { return log10_f64(d); }, x);
}

// ---- power

template <class V>
struct Two {
    V hi, lo;
};
template <class V>
SN_FN Two<V> fast_two_sum(V a, V b) {  // |a| >= |b|
    const V s = a + b;
    return {s, b - (s - a)};
}
template <class V>
SN_FN Two<V> log_two(V x) {  // log(x), x > 0 finite, to about 2^-68
    const LogParts<V> p = log_reduce(x);
    const V f = p.m - 1.0, d = 2.0 + f;
    const V d_lo = f - (d - 2.0);
    const V s = f / d;
    const V s_lo = fma(-s, d_lo, exact_fma(-s, d, f)) / d;
    const V z = s * s;
    const V z_lo = exact_fma(s, s, -z) + 2.0 * s * s_lo;
    const V c = s * z;
    const V c_lo = exact_fma(s, z, -c) + fma(s, z_lo, s_lo * z);
    constexpr double kThird = 0x1.5555555555555p-1, kThirdLo = 0x1.5555555555555p-55;
    const V t = c * kThird;
    const V t_lo = exact_fma(c, all<V>(kThird), -t) + fma(c, all<V>(kThirdLo), c_lo * kThird);
    const V tail = c * z *
                   horner(z, 0x1.999999999999ep-2, 0x1.249249248e511p-2, 0x1.c71c71d7ef489p-3,
                          0x1.745d09ebc663ep-3, 0x1.3b18ba4163286p-3, 0x1.10188237ff7e4p-3,
                          0x1.087aabe253d9cp-3);
    const Two<V> a = fast_two_sum(p.e * 0x1.62e42fee00000p-1, 2.0 * s);
    const Two<V> b = fast_two_sum(a.hi, t);
    const V lo =
        (a.lo + b.lo) + (2.0 * s_lo + t_lo + fma(p.e, all<V>(0x1.a39ef35793c76p-33), tail));
    return fast_two_sum(b.hi, lo);
}
// exact: the logarithm to twice the precision, which an f64 result needs and an f32 one does not.
template <bool exact, class V>
SN_HEAVY V pow_f64(V x, V y) {
    const V ax = magnitude(x), ay = magnitude(y), inf = infinity<V>();
    V r;
    if constexpr (exact) {
        const Two<V> l = log_two(ax);
        const V product = y * l.hi;
        const V lo = fma(y, l.lo, exact_fma(y, l.hi, -product));
        r = exp_with(product, magnitude(product) < 800.0 ? lo : V{}, 0.0);
    } else {
        const LogParts<V> p = log_reduce(ax);
        r = exp(y * log_one_plus(p.m - 1.0, p.e));
    }
    // Ends of the range of x or y: 0 or infinity, by the side of 1 that x is on.
    const auto grows = (ax > 1.0) == (y > 0.0);
    const auto ends = (ax == 0.0) | (ax == inf) | (ay == inf);
    r = ends ? (grows ? inf : V{}) : r;
    r = ((ax == 1.0) & (ay == inf)) ? all<V>(1.0) : r;
    const V half = y * 0.5;
    const auto integer = trunc(y) == y;
    const auto odd = integer & (trunc(half) != half);
    const auto below = (as<Bits<V>>(x) & Fmt<V>::kSign) != 0;
    r = (below & odd) ? -r : r;
    r = (below & !integer & (ax != 0.0) & (ax != inf)) ? nan<V>() : r;
    r = ((x != x) | (y != y)) ? nan<V>() : r;
    return ((y == 0.0) | (x == 1.0)) ? all<V>(1.0) : r;
}

// ---- hyperbolic functions

template <class V>
SN_HEAVY V sinh_f64(V x) {
    const V a = magnitude(x);
    const V e = expm1(at_most(a, 30.0));
    const V r = a < 22.0 ? 0.5 * (e + e / (e + 1.0)) : exp_with(a, V{}, -1.0);
    return with_sign(r, x);
}
template <class V>
SN_HEAVY V cosh_f64(V x) {
    const V h = exp_with(magnitude(x), V{}, -1.0);
    return h + 0.25 / h;
}
template <class V>
SN_HEAVY V tanh_f64(V x) {
    const V e = expm1(2.0 * at_most(magnitude(x), 22.0));
    return with_sign(e / (e + 2.0), x);
}
template <class V>
SN_HEAVY V asinh_f64(V x) {
    const V a = magnitude(x), s = a * a;
    const auto large = a > 0x1p28;
    const V l = log1p(large ? a - 1.0 : a + s / (1.0 + sqrt(s + 1.0)));
    return with_sign(large ? l + 0x1.62e42fefa39efp-1 : l, x);
}
template <class V>
SN_HEAVY V acosh_f64(V x) {
    const V t = x - 1.0;
    const auto large = x > 0x1p28;
    const V l = log1p(large ? t : t + sqrt(fma(t, t, 2.0 * t)));
    return x >= 1.0 ? (large ? l + 0x1.62e42fefa39efp-1 : l) : nan<V>();
}
template <class V>
SN_HEAVY V atanh_f64(V x) {
    const V a = magnitude(x);
    return with_sign(0.5 * log1p(2.0 * a / (1.0 - a)), x);
}
template <class V>
SN_FN V sinh(V x) {
    return via_f64([](auto d) { return sinh_f64(d); }, x);
}
template <class V>
SN_FN V cosh(V x) {
    return via_f64([](auto d) { return cosh_f64(d); }, x);
}
template <class V>
SN_FN V asinh(V x) {
    return via_f64([](auto d) { return asinh_f64(d); }, x);
}
template <class V>
SN_FN V acosh(V x) {
    return via_f64([](auto d) { return acosh_f64(d); }, x);
}
template <class V>
SN_FN V atanh(V x) {
    return via_f64([](auto d) { return atanh_f64(d); }, x);
}
template <class V>
SN_FN V tanh(V x) {
    if constexpr (kWide<V>) {
        return tanh_f64(x);
    } else {
        const V a = magnitude(x), z = x * x;
        const V p = horner(z, -0x1.555552p-2f, 0x1.110dd8p-3f, -0x1.b91582p-5f, 0x1.576e3p-6f,
                           -0x1.8c2d0ap-8f);
        const V large = 1.0f - 2.0f / (exp_narrow(at_most(a + a, 40.0f)) + 1.0f);
        // At the border 0.625 both are good to one ulp. The sum keeps the sign of zero.
        return with_sign(a < 0.625f ? fma(a * z, p, a) : large, x);
    }
}

// ---- activations

template <class V>
SN_FN V sigmoid(V x) {
    const V e = exp(-magnitude(x));  // never overflows; small values on both sides are accurate
    return (x < Elem<V>(0) ? e : all<V>(Elem<V>(1))) / (Elem<V>(1) + e);
}
template <class V>
SN_FN V positive_part(V x) {
    return x > Elem<V>(0) ? x : V{};
}
template <class V>
SN_FN V log1p_unit(V e) {  // log(1 + e), 0 <= e <= 1
    const auto upper = e > Elem<V>(0.41421356);
    const V f = upper ? (e - Elem<V>(1)) * Elem<V>(0.5) : e;
    return log_one_plus(f, upper ? all<V>(Elem<V>(1)) : V{});
}
template <class V>
SN_FN V softplus(V x) {
    return positive_part(x) + log1p_unit(exp(-magnitude(x)));
}
template <class V>
SN_FN V logsigmoid(V x) {
    return -softplus(-x);
}
// x limited from below where f(x) = x * (something that has underflowed): -inf gives -0.
template <class V>
SN_FN V limit_left(V x) {
    return at_least(x, Elem<V>(kWide<V> ? -1000 : -200));
}
template <class V>
SN_FN V silu(V x) {
    return limit_left(x) * sigmoid(x);
}
template <class V>
SN_FN V mish(V x) {
    const V e = exp(at_most(x, Elem<V>(20)));
    const V n = e * (e + Elem<V>(2));  // tanh(log(1 + e)) = n / (n + 2)
    return limit_left(x) * (n / (n + Elem<V>(2)));
}
template <class V>
SN_FN V elu(V x, V alpha) {
    return x > Elem<V>(0) ? x : alpha * expm1(x);
}
template <class V>
SN_FN V gelu_tanh(V x) {
    // 0.5 x (1 + tanh(u)) = x sigmoid(2u), 2u = x (a + b x^2) kept as a sum hi + lo so that the
    // left tail, exp of a large number, is accurate.
    const V v = at_least(at_most(x, Elem<V>(30)), Elem<V>(-30));
    constexpr double a_hi = 0x1.9884533d43651p+0, b_hi = 0x1.2444f2a4d8b4bp-4;
    constexpr Elem<V> a = Elem<V>(a_hi), b = Elem<V>(b_hi);
    constexpr Elem<V> a_lo = Elem<V>(a_hi - double(a) - 0x1.cbc0d30ebfd15p-54),
                      b_lo = Elem<V>(b_hi - double(b) - 0x1.6c843a29d1c70p-61);
    const V s = v * v, s_lo = exact_fma(v, v, -s);
    const V c = s * b;
    const V c_lo =
        exact_fma(s, all<V>(b), -c) + fma(s_lo, all<V>(b), fma(s, all<V>(b_lo), all<V>(a_lo)));
    const V w = a + c;
    const V w_lo = (c > a ? a - (w - c) : c - (w - a)) + c_lo;
    const V h = v * w;
    const V h_lo = fma(v, w_lo, exact_fma(v, w, -h));
    const auto left = x < Elem<V>(0);
    const V e = exp_with(left ? h : -h, left ? h_lo : -h_lo, Elem<V>(0));
    return limit_left(x) * ((left ? e : all<V>(Elem<V>(1))) / (Elem<V>(1) + e));
}
template <class V>
SN_FN V logaddexp(V x, V y) {
    const V big = x > y ? x : y;
    const V r = big + log1p_unit(exp(-magnitude(x - y)));
    return x == y ? x + Elem<V>(0x1.62e42fefa39efp-1) : r;  // inf - inf too
}

// ---- error function, normal distribution

// (1 + 2t) exp(t^2) erfc(t) for t >= 1/2 as a polynomial in q = (t - k) / (t + k), then
// erfc(t) = exp(-s) ... with s = t^2 given as a sum.
template <class V>
SN_FN V erfc_tail_scaled(V t) {
    const V q = (t - 4.0) / (t + 4.0);
    return horner(q, 0x1.3ba5916e9fd7fp+0, -0x1.1df1ad154a28ep-3, 0x1.f7f5df66fd766p-7,
                  0x1.16ecefcfa52c4p-4, -0x1.9ddb23c3e8dbfp-4, 0x1.7fee004e149c9p-4,
                  -0x1.0fb06dfe4ec8ep-4, 0x1.3079edf624304p-5, -0x1.09623883d38e1p-6,
                  0x1.49c672a831e93p-8, -0x1.8d4a9b33a838ap-11, -0x1.a1df4366a2ba7p-13,
                  0x1.3be057cc389e8p-13, -0x1.9955074f81f98p-16, -0x1.788a0503e859ep-17,
                  0x1.7ef67bbc70d7ap-18, 0x1.3aec677ce468fp-22, -0x1.b80bf7a1f4987p-21,
                  0x1.42df02f54ccacp-24, 0x1.bbfd8daf90babp-24, -0x1.3913f77f648c2p-26,
                  -0x1.4d15019e29fbap-27, 0x1.065fac288658dp-29);
}
template <class V>
SN_FN V erfc_tail_f64(V t, V s, V s_lo) {
    const V p = erfc_tail_scaled(t);
    return exp_with(-s, -s_lo, 0.0) * p / fma(t, all<V>(2.0), all<V>(1.0));
}
template <class V>
SN_FN V erf_center_f64(V t) {  // |t| <= 1
    const V z = t * t;
    const V p = horner(z, 0x1.06eba8214db69p-3, -0x1.812746b0379e7p-2, 0x1.ce2f21a042bdep-4,
                       -0x1.b82ce312889bap-6, 0x1.565bcd0e6502dp-8, -0x1.c02db3feeb579p-11,
                       0x1.f9a326c233146p-14, -0x1.f4d2561aeafd4p-17, 0x1.b9e6509b9867dp-20,
                       -0x1.5f6d925a0bc7ap-23, 0x1.fc4356498c2d9p-27, -0x1.4e607b41a6416p-30,
                       0x1.7f072188e194dp-34, -0x1.29b9f1b3df556p-38);
    return fma(t, p, t);
}
template <class V>
SN_HEAVY V erf_f64(V x) {
    const V a = at_most(magnitude(x), 6.0), s = a * a;
    const V tail = 1.0 - erfc_tail_f64(a, s, exact_fma(a, a, -s));
    return with_sign(a < 1.0 ? erf_center_f64(a) : tail, x);
}
template <class V>
SN_HEAVY V erfc_f64(V x) {
    const V a = at_most(magnitude(x), 28.0), s = a * a;
    const V tail = erfc_tail_f64(a, s, exact_fma(a, a, -s));
    const V center = 1.0 - erf_center_f64(at_least(at_most(x, 0.5), -0.5));
    return a < 0.5 ? center : (x < 0.0 ? 2.0 - tail : tail);
}
template <class V>
SN_HEAVY V ndtr_f64(V x) {
    const V a = at_most(magnitude(x), 40.0), s = a * a;
    const V t = a * 0x1.6a09e667f3bcdp-1;  // a / sqrt(2)
    const V tail = 0.5 * erfc_tail_f64(t, 0.5 * s, 0.5 * exact_fma(a, a, -s));
    const V center = 0.5 * erf_center_f64(at_most(t, 0.5));
    return t < 0.5 ? (x < 0.0 ? 0.5 - center : 0.5 + center) : (x < 0.0 ? tail : 1.0 - tail);
}
template <class V>
SN_FN V erf(V x) {
    if constexpr (kWide<V>) {
        return erf_f64(x);
    } else {
        const V a = at_most(magnitude(x), 4.0f), z = a * a;
        const V p = horner(z, 0x1.06eba8p-3f, -0x1.812742p-2f, 0x1.ce2ddep-4f, -0x1.b80accp-6f,
                           0x1.54a2aep-8f, -0x1.a8f034p-11f, 0x1.587810p-14f);
        const V l = a * horner(a, 0x1.20f3ccp+0f, 0x1.4510bep-1f, 0x1.b48d22p-4f, -0x1.883cdp-6f,
                               0x1.db2bbcp-9f, -0x1.1254380p-12f, -0x1.08d1aep-16f, 0x1.44d516p-18f,
                               -0x1.3bb75ep-22f);
        const V tail = 1.0f - exp_narrow(-l);  // l = -log(erfc(a))
        return with_sign(a < 0.9f ? fma(a, p, a) : tail, x);
    }
}
template <class V>
SN_FN V erfc(V x) {
    return via_f64([](auto d) { return erfc_f64(d); }, x);
}
template <class V>
SN_FN V ndtr(V x) {
    if constexpr (kWide<V>) {
        return ndtr_f64(x);
    } else {
        // Q = erfc(a / sqrt(2)) / 2 = exp(-a^2 / 2) u g(1 - 2ku), u = 1 / (a + k), serves the
        // whole range: above zero 1 - Q is at least a half.
        const V a = at_most(magnitude(x), 15.0f), s = a * a;
        const V d = a + 2.75f, u = 1.0f / d;
        // An error of u counts twice, in u and in q: a step of Newton's keeps what was rounded off.
        const V u_lo = u * fma(-u, a - (d - 2.75f), exact_fma(-u, d, all<V>(1.0f)));
        const V q = fma(u_lo, all<V>(-5.5f), fma(u, all<V>(-5.5f), all<V>(1.0f)));
        const V g = horner(q, 0x1.701efp-1f, -0x1.e5bd2p-2f, 0x1.756be6p-3f, -0x1.0f5acep-6f,
                           -0x1.0d7c64p-6f, 0x1.a155280p-9f, 0x1.488274p-9f, -0x1.e75ecep-13f,
                           -0x1.c4c2bep-12f, -0x1.70f9d6p-14f);
        const V e = exp_with(-0.5f * s, -0.5f * exact_fma(a, a, -s), 0.0f);
        const V h = fma(u, g, u_lo * g);
        return x < 0.0f ? e * h : fma(-e, h, all<V>(1.0f));
    }
}
template <class V>
SN_FN V gelu(V x) {
    return at_least(x, Elem<V>(-50)) * ndtr(x);
}

// ---- derivatives of activations: constant where v has left the curve, NaN of NaN

template <class V>
SN_FN V silu_slope(V x) {
    constexpr Elem<V> one = 1, far = kWide<V> ? 1000 : 200;
    const V v = at_least(at_most(x, far), -far), s = sigmoid(v);
    const V slope = s * (one + v * (one - s));
    return x == x ? slope : x;
}
template <class V>
SN_FN V gelu_slope(V x) {
    constexpr Elem<V> density = Elem<V>(0.3989422804014327), half = Elem<V>(-0.5), far = 50;
    const V v = at_least(at_most(x, far), -far);
    const V slope = ndtr(v) + v * (density * exp(half * (v * v)));
    return x == x ? slope : x;
}
template <class V>
SN_FN V gelu_tanh_slope(V x) {
    // With 2u = v (a + b v^2) and s = sigmoid(2u): s (1 + v (a + 3b v^2) (1 - s)).
    constexpr Elem<V> one = 1, far = 30, a = Elem<V>(1.5957691216057308),
                      b = Elem<V>(0.07135481627260025), b3 = Elem<V>(0.21406444881780073);
    const V v = at_least(at_most(x, far), -far), q = v * v;
    const V s = sigmoid(v * (a + b * q));
    const V slope = s * (one + (v * (a + b3 * q)) * (one - s));
    return x == x ? slope : x;
}

SN_MATH_END
