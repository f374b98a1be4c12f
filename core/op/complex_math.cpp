// Exponentials, logarithms, roots, trigonometric and hyperbolic functions of complex numbers, made
// of real ones: formulas and branch cuts after Kahan, "Branch cuts for complex elementary
// functions" (1987); values at infinities, NaN and signed zeros as in annex G of C and the Array
// API standard.
//
// The parts are computed in float64 and rounded once, for complex64 too, whose range needs no care
// then. A tensor of complex numbers stands for one of pairs: names are those of the formulas, z = a
// + ib.
#include <cmath>
#include <limits>

#include "op/api.h"
#include "op/op.h"

namespace sn {

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kLn2 = 0.6931471805599453, kLog2E = 1.4426950408889634,
                 kLog10E = 0.4342944819032518, kHalfPi = 1.5707963267948966;
// Above this e^a is taken apart, so that e^a cos(b) overflows only where the product does.
constexpr double kExpLimit = 700, kExpShift = 64;
// Above this 1 + z is z, and squares may overflow.
constexpr double kLarge = 1e150;

Tensor both(const Tensor& x, const Tensor& y) { return logical_and(x, y); }
Tensor either(const Tensor& x, const Tensor& y) { return logical_or(x, y); }
Tensor no(const Tensor& x) { return logical_not(x); }

// e^a times f, |f| <= 1, without early overflow.
Tensor exp_times(const Tensor& a, const Tensor& f) {
    const Tensor large = greater(a, kExpLimit);
    const Tensor e = exp(where(large, a - kExpShift, a));
    return e * f * where(large, std::exp(kExpShift), 1.0);
}

Parts exp_of(const Parts& z) {
    const Tensor &a = z.re, &b = z.im;
    const Tensor flat = equal(b, 0.0), wild = no(isfinite(b));
    const Tensor vanishes = both(equal(a, -kInf), wild);
    const Tensor explodes = both(equal(a, kInf), wild);
    const Tensor re = exp_times(a, cos(b)), im = exp_times(a, sin(b));
    return {where(flat, exp(a), where(vanishes, 0.0, where(explodes, kInf, re))),
            where(flat, b, where(vanishes, 0.0, im))};
}

Parts expm1_of(const Parts& z) {
    const Tensor &a = z.re, &b = z.im;
    const Parts e = exp_of(z);
    const Tensor s = sin(b * 0.5);
    const Tensor re = expm1(a) * cos(b) - 2.0 * (s * s);
    // Away from zero nothing cancels; e has the special values.
    const Tensor tame = both(less(abs(a), 100.0), isfinite(b));
    return {where(equal(b, 0.0), expm1(a), where(tame, re, e.re - 1.0)), e.im};
}

// log|z| without overflow, and without the loss of digits near |z| = 1.
Tensor log_abs(const Parts& z) {
    const Tensor x = abs(z.re), y = abs(z.im);
    const Tensor large = maximum(x, y), small = minimum(x, y);
    const Tensor down = greater(large, kLarge), up = less(large, 1.0 / kLarge);
    const Tensor scale = where(down, 0x1p-600, where(up, 0x1p600, 1.0));
    const Tensor shift = where(down, 600 * kLn2, where(up, -600 * kLn2, 0.0));
    const Tensor far = log(hypot(z.re * scale, z.im * scale)) + shift;
    const Tensor near = 0.5 * log1p(fma(large - 1.0, large + 1.0, small * small));
    return where(both(greater(large, 0.5), less(large, 1.5)), near, far);
}

Parts log_of(const Parts& z) { return {log_abs(z), atan2(z.im, z.re)}; }
Parts log2_of(const Parts& z) {
    const Parts l = log_of(z);
    return {l.re * kLog2E, l.im * kLog2E};
}
Parts log10_of(const Parts& z) {
    const Parts l = log_of(z);
    return {l.re * kLog10E, l.im * kLog10E};
}
Parts log1p_of(const Parts& z) {
    const Tensor &a = z.re, &b = z.im;
    const Parts w{a + 1.0, b};
    const Tensor near = 0.5 * log1p(a * (a + 2.0) + b * b);
    const Tensor tame = both(less(abs(a), 0.5), less(abs(b), 0.5));
    return {where(tame, near, log_abs(w)), atan2(b, w.re)};
}

Parts sqrt_of(const Parts& z) {
    const Tensor large = maximum(abs(z.re), abs(z.im));
    const Tensor down = greater(large, 0x1p1020), up = less(large, 0x1p-900);
    const Tensor scale = where(down, 0x1p-4, where(up, 0x1p120, 1.0));
    const Tensor a = z.re * scale, b = z.im * scale;
    const Tensor back = where(down, 0x1p2, where(up, 0x1p-60, 1.0));
    const Tensor t = sqrt((abs(a) + hypot(a, b)) * 0.5);
    const Tensor none = equal(t, 0.0);
    const Tensor s = where(none, 0.0, b / (2.0 * where(none, 1.0, t)));
    const Tensor left = less(a, 0.0);
    const Tensor re = where(left, abs(s), t) * back;
    const Tensor im = where(none, b, where(left, copysign(t, b), s)) * back;
    const Tensor tall = isinf(z.im), wide = isinf(z.re);
    const Tensor on_left = both(wide, left);
    return {where(tall, kInf, where(on_left, where(isnan(b), kNaN, 0.0), re)),
            where(tall, z.im,
                  where(on_left, copysign(kInf, b),
                        where(both(wide, isfinite(b)), copysign(0.0, b), im)))};
}

// ---- hyperbolic, and trigonometric by turning the plane: sin(z) = -i sinh(iz)

Parts sinh_of(const Parts& z) {
    const Tensor &a = z.re, &b = z.im;
    const Tensor large = greater(abs(a), kExpLimit);
    const Tensor h = abs(a), half = 0.5 * sign(a);
    const Tensor c = cos(b), s = sin(b);
    const Tensor re = where(large, exp_times(h, c * half), sinh(a) * c);
    const Tensor im = where(large, exp_times(h, s * 0.5), cosh(a) * s);
    // An infinite a with an infinite or NaN b: infinite, of either sign.
    const Tensor wild = both(isinf(a), no(isfinite(b)));
    return {where(equal(a, 0.0), a, where(wild, a, re)), where(equal(b, 0.0), b, im)};
}
Parts cosh_of(const Parts& z) {
    const Tensor &a = z.re, &b = z.im;
    const Tensor large = greater(abs(a), kExpLimit);
    const Tensor h = abs(a), half = 0.5 * sign(a);
    const Tensor c = cos(b), s = sin(b);
    const Tensor re = where(large, exp_times(h, c * 0.5), cosh(a) * c);
    const Tensor im = where(large, exp_times(h, s * half), sinh(a) * s);
    const Tensor wild = both(isinf(a), no(isfinite(b)));
    // On the axes the imaginary part is a zero: of the sign of the product, or 0 where that is NaN.
    const Tensor axis = either(equal(a, 0.0), equal(b, 0.0));
    const Tensor zero = where(
        either(isnan(a), no(isfinite(b))), 0.0,
        copysign(0.0,
                 where(equal(b, 0.0), copysign(1.0, a) * copysign(1.0, b), copysign(1.0, a) * s)));
    return {where(wild, kInf, where(equal(b, 0.0), cosh(a), re)), where(axis, zero, im)};
}
Parts tanh_of(const Parts& z) {
    const Tensor &a = z.re, &b = z.im;
    const Tensor t = tan(b), s = sinh(a);
    const Tensor beta = 1.0 + t * t, rho = sqrt(1.0 + s * s);
    const Tensor by = 1.0 + beta * (s * s);
    const Tensor far = greater(abs(a), 22.0);
    const Tensor e = exp(-2.0 * minimum(abs(a), 1000.0));
    const Tensor wave = sin(b) * cos(b);
    const Tensor wild = no(isfinite(b));
    const Tensor tail = where(wild, where(isinf(a), copysign(0.0, b), kNaN),
                              where(isinf(a), copysign(0.0, wave), 4.0 * wave * e));
    const Tensor re =
        where(far, where(both(wild, isfinite(a)), kNaN, copysign(1.0, a)), beta * rho * s / by);
    return {where(equal(a, 0.0), a, re), where(equal(b, 0.0), b, where(far, tail, t / by))};
}
Parts tan_parts(const Parts& z, Parts (*hyperbolic)(const Parts&)) {
    const Parts w = hyperbolic({z.im, z.re});
    return {w.im, w.re};
}
Parts sin_of(const Parts& z) { return tan_parts(z, sinh_of); }
Parts tan_of(const Parts& z) { return tan_parts(z, tanh_of); }
Parts cos_of(const Parts& z) { return cosh_of({negative(z.im), z.re}); }

// ---- inverse

// log|z| + log 2 for large z, where the formulas overflow.
Tensor log_twice(const Parts& z) { return log_abs(z) + kLn2; }
Tensor is_large(const Parts& z) {
    return either(greater(abs(z.re), kLarge), greater(abs(z.im), kLarge));
}

Parts asinh_of(const Parts& z) {
    const Tensor &a = z.re, &b = z.im;
    const Parts p = sqrt_of({1.0 + b, negative(a)}), q = sqrt_of({1.0 - b, a});
    const Tensor re = asinh(p.re * q.im - q.re * p.im);
    const Tensor im = atan2(b, p.re * q.re - p.im * q.im);
    const Tensor far = is_large(z);
    return {where(far, copysign(log_twice(z), a), re),
            where(equal(b, 0.0), b, where(far, atan2(b, abs(a)), im))};
}
Parts asin_of(const Parts& z) { return tan_parts(z, asinh_of); }

Parts acos_of(const Parts& z) {
    const Tensor &a = z.re, &b = z.im;
    const Parts p = sqrt_of({1.0 - a, negative(b)}), q = sqrt_of({1.0 + a, b});
    const Tensor far = is_large(z);
    const Tensor re = 2.0 * atan2(p.re, q.re);
    const Tensor im = asinh(q.re * p.im - q.im * p.re);
    const Tensor upright = both(equal(a, 0.0), isnan(b));
    return {where(upright, kHalfPi, where(far, atan2(abs(b), a), re)),
            where(far, copysign(log_twice(z), negative(b)), im)};
}
Parts acosh_of(const Parts& z) {
    const Tensor &a = z.re, &b = z.im;
    const Parts p = sqrt_of({a - 1.0, b}), q = sqrt_of({a + 1.0, b});
    const Tensor far = is_large(z);
    const Tensor re = asinh(p.re * q.re + p.im * q.im);
    const Tensor im = 2.0 * atan2(p.im, q.re);
    const Tensor upright = both(equal(a, 0.0), isnan(b));
    return {where(far, log_twice(z), re), where(upright, kHalfPi, where(far, atan2(b, a), im))};
}
Parts atanh_of(const Parts& z) {
    const Tensor a = abs(z.re), b = abs(z.im);
    const Tensor far = is_large(z), infinite = either(isinf(a), isinf(b));
    // a / |z|^2, by two divisions.
    const Tensor size = hypot(a * 0.5, b * 0.5);
    const Tensor away = where(infinite, 0.0, a * 0.25 / size / size);
    const Tensor d = 1.0 - a;
    const Tensor near = 0.25 * log1p(4.0 * a / (d * d + b * b));
    const Tensor im = 0.5 * atan2(2.0 * z.im, d * (1.0 + a) - b * b);
    // Close to the pole, where b * b underflows.
    const Tensor pole = both(equal(a, 1.0), less(b, 1e-150));
    const Tensor at_pole =
        where(equal(b, 0.0), kInf, 0.5 * (kLn2 - log(where(equal(b, 0.0), 1.0, b))));
    const Tensor pole_im = where(equal(b, 0.0), z.im, copysign(0.25 * (2 * kHalfPi), z.im));
    const Tensor quarter = copysign(kHalfPi, z.im);
    const Tensor re = where(far, away, where(pole, at_pole, near));
    const Tensor lost = either(isnan(z.im), both(isnan(z.re), no(isinf(z.im))));
    return {copysign(where(equal(a, 0.0), a, where(both(lost, isinf(a)), 0.0, re)), z.re),
            where(lost, kNaN, where(far, quarter, where(pole, pole_im, im)))};
}
Parts atan_of(const Parts& z) { return tan_parts(z, atanh_of); }

Parts exp2_of(const Parts& z) { return exp_of({z.re * kLn2, z.im * kLn2}); }
Parts rsqrt_of(const Parts& z) { return Parts(Tensor(1.0), {}) / sqrt_of(z); }
Parts sigmoid_of(const Parts& z) {
    const Parts e = exp_of({negative(z.re), negative(z.im)});
    return Parts(Tensor(1.0), {}) / Parts(e.re + 1.0, e.im);
}

// log(e^x + e^y): from the exponent whose real part is larger, so that nothing overflows.
Parts logaddexp_of(const Parts& x, const Parts& y) {
    const Tensor swap = less(x.re, y.re);
    const Parts large{where(swap, y.re, x.re), where(swap, y.im, x.im)};
    const Parts small{where(swap, x.re, y.re), where(swap, x.im, y.im)};
    const Tensor none = equal(large.re, -kInf);  // of two zeros
    const Parts t = log1p_of(exp_of({where(none, 0.0, small.re - large.re), small.im - large.im}));
    return {where(none, large.re, large.re + t.re), where(none, large.im, large.im + t.im)};
}

// ---- rules

Parts wide(const Tensor& x) {
    const Parts p(x);
    const auto f64 = [](const Tensor& t) { return t.is_scalar() ? t : cast(t, DType::kF64); };
    return {f64(p.re), p.im ? f64(p.im) : Tensor()};
}

template <Parts (*f)(const Parts&)>
void unary(ComplexCall& c) {
    c.out[0] = f(wide(c.in[0])).join(c.dtype);
}

// x^n by squaring, for a number that is a small integer; else e^(y log x).
void power(ComplexCall& c) {
    const Tensor &x = c.in[0], &y = c.in[1];
    if (y.is_scalar()) {
        const double n = y.value()->scalar.as_double();
        if (n == std::trunc(n) && std::fabs(n) <= 100) {
            Parts base(x), result(Tensor(1.0), {});
            bool first = true;
            for (int k = static_cast<int>(std::fabs(n)); k > 0; k /= 2) {
                if (k % 2) result = first ? base : result * base;
                if (k % 2) first = false;
                if (k > 1) base = base * base;
            }
            if (n < 0) result = Parts(Tensor(1.0), {}) / result;
            if (n == 0) result = {full(x.shape(), 1, real_dtype(c.dtype), x.device()), {}};
            c.out[0] = result.join(c.dtype);
            return;
        }
    }
    const Parts p = wide(x), q = wide(y);
    const Parts base{p.re, p.im_or_zero()};
    const Parts power = exp_of([&] {
        Parts w = q * log_of(base);
        return Parts{w.re, w.im_or_zero()};
    }());
    const Tensor zero = both(equal(base.re, 0.0), equal(base.im, 0.0));
    const Tensor one = both(equal(q.re, 0.0), equal(q.im_or_zero(), 0.0));
    const Tensor shrinks = both(greater(q.re, 0.0), equal(q.im_or_zero(), 0.0));
    c.out[0] = Parts(where(one, 1.0, where(zero, where(shrinks, 0.0, kNaN), power.re)),
                     where(one, 0.0, where(zero, where(shrinks, 0.0, kNaN), power.im)))
                   .join(c.dtype);
}

void log_of_sum(ComplexCall& c) {
    const Parts x = wide(c.in[0]), y = wide(c.in[1]);
    c.out[0] = logaddexp_of({x.re, x.im_or_zero()}, {y.re, y.im_or_zero()}).join(c.dtype);
}

// Every element with that 1, 2, 4 ... places before it (Hillis and Steele's scan).
void log_of_running_sum(ComplexCall& c) {
    const int64_t axis = c.attrs.i(0), size = c.in[0].size(axis);
    Tensor sums = c.in[0];
    for (int64_t step = 1; step < size; step *= 2) {
        const Tensor parts[2] = {
            narrow(sums, axis, 0, step),
            logaddexp(narrow(sums, axis, step, size - step), narrow(sums, axis, 0, size - step))};
        sums = concat(parts, axis);
    }
    c.out[0] = sums;
}

}  // namespace

void register_complex_math() {
    const auto rule = [](const char* op, ComplexFn f) {
        set_complex_rule(op, ComplexGrad::kConjugate, f);
    };
    rule("exp", unary<exp_of>);
    rule("exp2", unary<exp2_of>);
    rule("expm1", unary<expm1_of>);
    rule("log", unary<log_of>);
    rule("log2", unary<log2_of>);
    rule("log10", unary<log10_of>);
    rule("log1p", unary<log1p_of>);
    rule("sqrt", unary<sqrt_of>);
    rule("rsqrt", unary<rsqrt_of>);
    rule("sin", unary<sin_of>);
    rule("cos", unary<cos_of>);
    rule("tan", unary<tan_of>);
    rule("sinh", unary<sinh_of>);
    rule("cosh", unary<cosh_of>);
    rule("tanh", unary<tanh_of>);
    rule("asin", unary<asin_of>);
    rule("acos", unary<acos_of>);
    rule("atan", unary<atan_of>);
    rule("asinh", unary<asinh_of>);
    rule("acosh", unary<acosh_of>);
    rule("atanh", unary<atanh_of>);
    rule("sigmoid", unary<sigmoid_of>);
    rule("pow", power);
    rule("logaddexp", log_of_sum);
    set_complex_rule("silu", ComplexGrad::kComposed,
                     [](ComplexCall& c) { c.out[0] = c.in[0] * sigmoid(c.in[0]); });
    set_complex_rule("logcumsumexp", ComplexGrad::kComposed, log_of_running_sum);
}

}  // namespace sn
