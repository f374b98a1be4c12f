// Elementwise math: accuracy against the C library's extended precision, equal bits on every
// instruction set with fused multiply-add and in the scalar reference, tails, variants, casts.
//
//   math_test [--exhaustive] [--table] [--bench]
//
// --exhaustive visits every f32 (minutes); --table prints the measured accuracy as Markdown;
// --bench prints nanoseconds per element.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "check.h"

#include "backend/cpu/tile_kernels.h"
#include "base/dtype.h"
#include "op/math.h"

namespace {

using namespace sn;
using cpu::TileKernels;
using Real = long double;

// A check with the numbers that a reader needs, formatted only when it fails.
#define EXPECT(condition, ...)                                     \
    do {                                                           \
        const bool holds = (condition);                            \
        char text[256] = "";                                       \
        if (!holds) std::snprintf(text, sizeof text, __VA_ARGS__); \
        sn::test::report(holds, __FILE__, __LINE__, text);         \
    } while (0)

struct Level {
    const char* name;
    const TileKernels* kernels;
};
std::vector<Level> levels() {  // those of the bit guarantee, best last
    std::vector<Level> result;
#ifdef SN_HAVE_NEON
    result.push_back({"neon", &cpu::neon::tile_kernels()});
#endif
#ifdef SN_HAVE_AVX2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        result.push_back({"avx2", &cpu::avx2::tile_kernels()});
#endif
#ifdef SN_HAVE_AVX512
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
        result.push_back({"avx512", &cpu::avx512::tile_kernels()});
#endif
    return result;
}

template <class T>
constexpr DType kDType = sizeof(T) == 4 ? DType::kF32 : DType::kF64;
template <class To, class From>
To as(From x) {
    static_assert(sizeof(To) == sizeof(From));
    To y;
    std::memcpy(&y, &x, sizeof(To));
    return y;
}
template <class T>
bool same_bits(T a, T b) {
    return std::memcmp(&a, &b, sizeof(T)) == 0 || (a != a && b != b);
}

uint64_t random_state = 1;
uint64_t random_bits() {  // splitmix64
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
double uniform(double a, double b) {
    return a + (b - a) * static_cast<double>(random_bits() >> 11) * 0x1p-53;
}

// ---- accuracy

template <class T>
double ulp_error(T got, Real want) {
    if (want != want) return got != got ? 0 : 1e30;
    const T rounded = static_cast<T>(want);
    if (std::isinf(rounded) || std::isinf(got)) {
        if (got == rounded) return 0;
        // One of them overflowed: count from the largest number.
        if (std::isinf(got) != std::isinf(rounded) && std::signbit(got) == std::signbit(rounded))
            return std::fabs(want) > Real(std::numeric_limits<T>::max()) * 0.999999L ? 1 : 1e30;
        return 1e30;
    }
    if (got != got) return 1e30;
    int exponent;
    std::frexp(static_cast<T>(std::fabs(want)), &exponent);
    exponent = std::max(exponent, std::numeric_limits<T>::min_exponent);
    const Real ulp = std::ldexp(Real(1), exponent - std::numeric_limits<T>::digits);
    return static_cast<double>(std::fabs(Real(got) - want) / ulp);
}

struct Unary {
    const char* name;
    int op;
    Real (*reference)(Real);
    double limit32, limit64;  // ulp
    double low, high;         // where f64 samples are dense
    bool product = false;     // x * f(x): measured where f(x) is a normal number
};
Real sigmoid_ref(Real x) {
    return x > 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}
Real ndtr_ref(Real x) { return 0.5L * std::erfc(-x * 0.70710678118654752440084436210485L); }
Real softplus_ref(Real x) { return std::max(x, 0.0L) + std::log1p(std::exp(-std::fabs(x))); }
Real gelu_tanh_ref(Real x) {
    if (x < -1000) return 0;
    const Real u = 2 * 0.7978845608028653558798921198687637L * (x + 0.044715L * x * x * x);
    return x * sigmoid_ref(u);
}
Real mish_ref(Real x) {
    if (x < -20000) return 0;
    const Real e = std::exp(std::min(x, 100.0L));
    return x * (e * (e + 2) / (e * (e + 2) + 2));
}
const Unary kUnary[] = {
    {"sqrt", kTile_sqrt, [](Real x) { return std::sqrt(x); }, 0.5001, 0.5001, 0, 100},
    {"rsqrt", kTile_rsqrt, [](Real x) { return 1 / std::sqrt(x); }, 2, 2, 0, 100},
    {"reciprocal", kTile_reciprocal, [](Real x) { return 1 / x; }, 0.5001, 0.501, -9, 9},
    {"exp", kTile_exp, [](Real x) { return std::exp(x); }, 2, 2, -720, 720},
    {"exp2", kTile_exp2, [](Real x) { return std::exp2(x); }, 2, 2, -1080, 1030},
    {"expm1", kTile_expm1, [](Real x) { return std::expm1(x); }, 3, 3, -3, 3},
    {"log", kTile_log, [](Real x) { return std::log(x); }, 2, 2, 0, 3},
    {"log2", kTile_log2, [](Real x) { return std::log2(x); }, 1, 3, 0, 3},
    {"log10", kTile_log10, [](Real x) { return std::log10(x); }, 1, 3, 0, 3},
    {"log1p", kTile_log1p, [](Real x) { return std::log1p(x); }, 3, 3, -1, 3},
    {"sin", kTile_sin, [](Real x) { return std::sin(x); }, 1, 2, -10, 10},
    {"cos", kTile_cos, [](Real x) { return std::cos(x); }, 1, 2, -10, 10},
    {"tan", kTile_tan, [](Real x) { return std::tan(x); }, 1, 4, -10, 10},
    {"asin", kTile_asin, [](Real x) { return std::asin(x); }, 1, 3, -1, 1},
    {"acos", kTile_acos, [](Real x) { return std::acos(x); }, 1, 3, -1, 1},
    {"atan", kTile_atan, [](Real x) { return std::atan(x); }, 1, 3, -5, 5},
    {"sinh", kTile_sinh, [](Real x) { return std::sinh(x); }, 1, 4, -5, 5},
    {"cosh", kTile_cosh, [](Real x) { return std::cosh(x); }, 1, 3, -5, 5},
    {"tanh", kTile_tanh, [](Real x) { return std::tanh(x); }, 2, 4, -3, 3},
    {"asinh", kTile_asinh, [](Real x) { return std::asinh(x); }, 1, 4, -3, 3},
    {"acosh", kTile_acosh, [](Real x) { return std::acosh(x); }, 1, 4, 1, 4},
    {"atanh", kTile_atanh, [](Real x) { return std::atanh(x); }, 1, 4, -1, 1},
    {"erf", kTile_erf, [](Real x) { return std::erf(x); }, 2, 3, -4, 4},
    {"erfc", kTile_erfc, [](Real x) { return std::erfc(x); }, 1, 4, -5, 28},
    {"ndtr", kTile_ndtr, ndtr_ref, 4, 5, -38, 9},
    {"sigmoid", kTile_sigmoid, sigmoid_ref, 3, 3, -720, 40},
    {"logsigmoid", kTile_logsigmoid, [](Real x) { return -softplus_ref(-x); }, 3, 3, -20, 40},
    {"softplus", kTile_softplus, softplus_ref, 3, 3, -40, 20},
    {"silu", kTile_silu, [](Real x) { return x < -11500 ? 0 : x * sigmoid_ref(x); }, 4, 4, -720, 40,
     true},
    {"gelu", kTile_gelu, [](Real x) { return x < -150 ? 0 : x * ndtr_ref(x); }, 4, 5, -38, 9, true},
    {"gelu_tanh", kTile_gelu_tanh, gelu_tanh_ref, 4, 4, -8, 5, true},
    {"mish", kTile_mish, mish_ref, 4, 5, -30, 30, true},
};

struct Worst {
    double ulp = 0, at = 0;
};
template <class T>
void measure(const TileKernels& t, const Unary& f, const std::vector<T>& x, Worst* worst) {
    std::vector<T> y(x.size());
    t.op1(f.op, kDType<T>)(y.data(), x.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) {
        const Real want = f.reference(x[i]);
        const Real least = Real(std::numeric_limits<T>::min()) * std::fabs(Real(x[i]));
        if (f.product && std::fabs(want) < least && std::fabs(y[i]) < 2 * least) continue;
        const double e = ulp_error(y[i], want);
        if (e > worst->ulp) *worst = {e, static_cast<double>(x[i])};
    }
}
Worst accuracy_f32(const TileKernels& t, const Unary& f, uint64_t stride) {
    Worst worst;
    std::vector<float> x;
    for (uint64_t i = 0; i < (uint64_t{1} << 32); i += stride) {
        x.push_back(as<float>(static_cast<uint32_t>(i)));
        if (x.size() == 4096) {
            measure(t, f, x, &worst);
            x.clear();
        }
    }
    measure(t, f, x, &worst);
    return worst;
}
std::vector<double> samples_f64(const Unary& f, int count) {
    std::vector<double> x = {0.0,      -0.0,      1.0,    -1.0,   0.5,
                             -0.5,     1e300,     -1e300, 1e-310, -1e-310,
                             INFINITY, -INFINITY, NAN,    5e-324, 1.7976931348623157e308};
    for (int i = 0; i < count; ++i) x.push_back(uniform(f.low, f.high));
    for (int i = 0; i < count / 4; ++i) x.push_back(uniform(-1, 1) * std::exp2(uniform(-60, 2)));
    for (int i = 0; i < count / 4; ++i) x.push_back(as<double>(random_bits()));
    for (int i = 0; i < count / 8; ++i) x.push_back(std::round(uniform(-3000, 3000)) * M_PI_2);
    return x;
}
void test_accuracy(const TileKernels& t, uint64_t stride, int count, bool print) {
    if (print)
        std::printf(
            "| function | f32, max ulp | at | f64, max ulp | at |\n|---|---|---|---|---|\n");
    for (const Unary& f : kUnary) {
        const Worst a = accuracy_f32(t, f, stride);
        Worst b;
        measure(t, f, samples_f64(f, count), &b);
        if (print)
            std::printf("| %s | %.2f | %.9g | %.2f | %.17g |\n", f.name, a.ulp, a.at, b.ulp, b.at);
        EXPECT(a.ulp <= f.limit32, "%s f32: %.3f ulp at %.9g", f.name, a.ulp, a.at);
        EXPECT(b.ulp <= f.limit64, "%s f64: %.3f ulp at %.17g", f.name, b.ulp, b.at);
    }
}

struct Binary {
    const char* name;
    int op;
    Real (*reference)(Real, Real);
    double limit32, limit64;
};
Real python_mod(Real x, Real y) {
    Real m = std::fmod(x, y);
    if (m != 0 && (m < 0) != (y < 0)) m += y;
    return m;
}
const Binary kBinary[] = {
    {"pow", kTile_pow, [](Real x, Real y) { return std::pow(x, y); }, 1, 2},
    {"atan2", kTile_atan2, [](Real x, Real y) { return std::atan2(x, y); }, 1, 3},
    {"hypot", kTile_hypot, [](Real x, Real y) { return std::hypot(x, y); }, 1, 2},
    {"fmod", kTile_fmod, [](Real x, Real y) { return std::fmod(x, y); }, 0, 0},
    {"remainder", kTile_remainder, python_mod, 0.5001, 0.5001},
};
template <class T>
std::vector<T> mixed(int count) {
    std::vector<T> x;
    const T special[] = {0,
                         T(-0.0),
                         1,
                         -1,
                         2,
                         -2,
                         3,
                         -3,
                         T(0.5),
                         T(-0.5),
                         T(INFINITY),
                         T(-INFINITY),
                         T(NAN),
                         std::numeric_limits<T>::max(),
                         std::numeric_limits<T>::denorm_min(),
                         std::numeric_limits<T>::min(),
                         T(1e30),
                         T(-1e30),
                         T(7),
                         T(1e9)};
    for (int i = 0; i < count; ++i) {
        const uint64_t kind = random_bits() % 8;
        if (kind == 0) {
            x.push_back(special[random_bits() % std::size(special)]);
        } else if (kind == 1) {
            x.push_back(as<T>(static_cast<std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>(
                random_bits())));
        } else if (kind == 2) {
            x.push_back(static_cast<T>(std::round(uniform(-40, 40))));
        } else {
            x.push_back(static_cast<T>(uniform(-1, 1) * std::exp2(uniform(-12, 12))));
        }
    }
    return x;
}
template <class T>
void test_binary_accuracy(const TileKernels& t, int count, bool print) {
    const std::vector<T> x = mixed<T>(count), y = mixed<T>(count);
    std::vector<T> z(x.size());
    for (const Binary& f : kBinary) {
        t.op2(f.op, kDType<T>, 0)(z.data(), x.data(), y.data(), count);
        double worst = 0, limit = sizeof(T) == 4 ? f.limit32 : f.limit64;
        for (int i = 0; i < count; ++i) {
            const double e = ulp_error(z[i], f.reference(x[i], y[i]));
            worst = std::max(worst, e);
            EXPECT(e <= limit, "%s(%.17g, %.17g) = %.17g, not %.17Lg", f.name, double(x[i]),
                   double(y[i]), double(z[i]), f.reference(x[i], y[i]));
        }
        if (print) std::printf("| %s %s | %.2f |\n", f.name, sizeof(T) == 4 ? "f32" : "f64", worst);
    }
}

// ---- one definition, one result: the scalar functions are the reference

struct Scalar1 {
    int op;
    float (*f32)(float);
    double (*f64)(double);
};
#define SN_EW1(name, cls, res, expression, ...) SN_REF1_##cls##_##res(name, expression)
#define SN_REF1_FLOAT_SAME(name, expression)                    \
    {kTile_##name, [](float x) -> float { return expression; }, \
     [](double x) -> double { return expression; }},
#define SN_REF1_NUMERIC_SAME(name, expression) SN_REF1_FLOAT_SAME(name, expression)
#define SN_REF1_FLOAT_BOOL(name, expression)
#define SN_REF1_NUMERIC_BOOL(name, expression)
#define SN_REF1_ANY_BOOL(name, expression)
#define SN_REF1_INTBOOL_SAME(name, expression)
const Scalar1 kScalar1[] = {
#include "op/elementwise_unary.inc"
};
struct Scalar2 {
    int op;
    float (*f32)(float, float);
    double (*f64)(double, double);
};
#define SN_EW2(name, cls, res, expression, ...) SN_REF2_##cls##_##res(name, expression)
#define SN_REF2_FLOAT_SAME(name, expression)                             \
    {kTile_##name, [](float x, float y) -> float { return expression; }, \
     [](double x, double y) -> double { return expression; }},
#define SN_REF2_NUMERIC_SAME(name, expression) SN_REF2_FLOAT_SAME(name, expression)
#define SN_REF2_ANY_BOOL(name, expression)
#define SN_REF2_INTBOOL_SAME(name, expression)
#define SN_REF2_INT_SAME(name, expression)
const Scalar2 kScalar2[] = {
#include "op/elementwise_binary.inc"
};
float call(const Scalar1& s, float x) { return s.f32(x); }
double call(const Scalar1& s, double x) { return s.f64(x); }
float call(const Scalar2& s, float x, float y) { return s.f32(x, y); }
double call(const Scalar2& s, double x, double y) { return s.f64(x, y); }

template <class T>
void test_bits(const Level& level, int count) {
    std::vector<T> x = mixed<T>(count), y = mixed<T>(count), z(x.size()), w(x.size());
    const DType d = kDType<T>;
    for (const Scalar1& s : kScalar1) {
        const cpu::TileFn1 f = level.kernels->op1(s.op, d);
        f(z.data(), x.data(), count);
        for (int i = 0; i < count; ++i) {
            const T want = call(s, x[i]);
            EXPECT(same_bits(z[i], want), "%s %s(%.17g) = %.17g, scalar %.17g", level.name,
                   kTileOpInfo[s.op].name, double(x[i]), double(z[i]), double(want));
        }
        for (int n = 1; n < 70; n += 3) {  // tails, unaligned, in place
            std::memcpy(w.data(), x.data(), sizeof(T) * 80);
            f(w.data() + 1, w.data() + 1, n);
            for (int i = 1; i <= n; ++i)
                EXPECT(same_bits(w[i], z[i]), "%s tail %d", kTileOpInfo[s.op].name, n);
            EXPECT(same_bits(w[n + 1], x[n + 1]), "%s wrote past %d", kTileOpInfo[s.op].name, n);
        }
    }
    for (const Scalar2& s : kScalar2) {
        level.kernels->op2(s.op, d, 0)(z.data(), x.data(), y.data(), count);
        for (int i = 0; i < count; ++i) {
            const T want = call(s, x[i], y[i]);
            EXPECT(same_bits(z[i], want), "%s %s(%.17g, %.17g) = %.17g, scalar %.17g", level.name,
                   kTileOpInfo[s.op].name, double(x[i]), double(y[i]), double(z[i]), double(want));
        }
        for (int k = 0; k < 40; ++k) {
            const int n = 1 + k;
            level.kernels->op2(s.op, d, cpu::kVectorScalar)(w.data(), x.data(), &y[k], n);
            for (int i = 0; i < n; ++i)
                EXPECT(same_bits(w[i], call(s, x[i], y[k])), "%s vs", kTileOpInfo[s.op].name);
            level.kernels->op2(s.op, d, cpu::kScalarVector)(w.data(), &x[k], y.data(), n);
            for (int i = 0; i < n; ++i)
                EXPECT(same_bits(w[i], call(s, x[k], y[i])), "%s sv", kTileOpInfo[s.op].name);
        }
    }
}

// Every dtype and variant: the levels agree byte by byte, on random tiles.
void fill_random(DType d, std::vector<char>* buffer, int n) {
    const size_t size = cpu::tile_element_size(d);
    buffer->assign(static_cast<size_t>(n) * size + 64, 0);
    const std::vector<float> f = mixed<float>(n);
    const std::vector<double> g = mixed<double>(n);
    for (int i = 0; i < n; ++i) {
        char* p = buffer->data() + static_cast<size_t>(i) * size;
        float v = f[static_cast<size_t>(i)];
        if (d == DType::kF16) v = f16_to_f32(f32_to_f16(v));
        if (d == DType::kBF16) v = bf16_to_f32(f32_to_bf16(v));
        uint64_t bits = random_bits();
        if (random_bits() % 2) bits = static_cast<uint64_t>(static_cast<int64_t>(bits % 17) - 8);
        if (is_bool(d)) bits &= 1;
        if (d == DType::kF64) {
            std::memcpy(p, &g[static_cast<size_t>(i)], size);
        } else if (is_float(d)) {
            std::memcpy(p, &v, size);
        } else {
            std::memcpy(p, &bits, size);
        }
    }
}
bool same_tile(DType d, const char* a, const char* b, int n) {
    for (int i = 0; i < n; ++i) {
        const size_t size = cpu::tile_element_size(d), at = static_cast<size_t>(i) * size;
        if (std::memcmp(a + at, b + at, size) == 0) continue;
        if (d == DType::kF64) {
            double x, y;
            std::memcpy(&x, a + at, 8), std::memcpy(&y, b + at, 8);
            if (x != x && y != y) continue;
        } else if (is_float(d)) {
            float x, y;
            std::memcpy(&x, a + at, 4), std::memcpy(&y, b + at, 4);
            if (x != x && y != y) continue;
        }
        return false;
    }
    return true;
}
void test_levels_agree(const Level& a, const Level& b) {
    constexpr int n = 1003;
    std::vector<char> x, y, z, c;
    std::vector<char> p(n * 8 + 64), q(n * 8 + 64), r(n * 8 + 64);
    for (int di = 0; di < kNumDTypes; ++di) {
        const DType d = static_cast<DType>(di);
        if (is_complex(d)) continue;  // no tile holds any
        fill_random(d, &x, n), fill_random(d, &y, n), fill_random(d, &z, n);
        fill_random(DType::kBool, &c, n);
        for (int op = 0; op < kNumTileOps; ++op) {
            const TileOpInfo& info = kTileOpInfo[op];
            const DType result = tile_result(op, d);
            const int arity = tile_arity(op);
            const int variants = arity == 1 ? 1 : arity == 2 ? 3 : 8;
            const char* first = info.result == TileResult::SELECT ? c.data() : x.data();
            for (int v = 0; v < variants; ++v) {
                const auto run = [&](const TileKernels& t, char* out, const char* u) {
                    if (arity == 1) {
                        if (!t.op1(op, d)) return false;
                        t.op1(op, d)(out, u, n);
                    } else if (arity == 2) {
                        if (!t.op2(op, d, v)) return false;
                        t.op2(op, d, v)(out, u, y.data(), n);
                    } else {
                        if (!t.op3(op, d, v)) return false;
                        t.op3(op, d, v)(out, u, y.data(), z.data(), n);
                    }
                    return true;
                };
                const bool has = run(*a.kernels, p.data(), first);
                EXPECT(has == class_has(info.dtypes, d), "%s %s missing or extra", info.name,
                       dtype_name(d));
                EXPECT(has == run(*b.kernels, q.data(), first), "%s", info.name);
                if (!has) continue;
                EXPECT(same_tile(result, p.data(), q.data(), n),
                       "%s %s variant %d: %s and %s differ", info.name, dtype_name(d), v, a.name,
                       b.name);
                const bool first_is_vector = arity < 2 || !(v & 1);
                if (result == d && info.result == TileResult::SAME && first_is_vector) {
                    std::memcpy(r.data(), x.data(), n * cpu::tile_element_size(d));
                    run(*b.kernels, r.data(), r.data());
                    EXPECT(same_tile(result, p.data(), r.data(), n), "%s %s in place", info.name,
                           dtype_name(d));
                }
                if (is_float(d) && dtype_size(d) == 2 && result == d && op != kTile_where) {
                    a.kernels->cast[static_cast<int>(DType::kF32)][di](r.data(), p.data(), n);
                    EXPECT(same_tile(d, p.data(), r.data(), n), "%s: a value is no %s", info.name,
                           dtype_name(d));
                }
            }
        }
        for (int to = 0; to < kNumDTypes; ++to) {
            if (is_complex(static_cast<DType>(to))) continue;
            a.kernels->cast[di][to](p.data(), x.data(), n);
            b.kernels->cast[di][to](q.data(), x.data(), n);
            EXPECT(same_tile(static_cast<DType>(to), p.data(), q.data(), n), "cast %s to %s",
                   dtype_name(d), dtype_name(static_cast<DType>(to)));
        }
        if (!is_float(d)) continue;
        for (int k = 0; k < cpu::kNumFusedPairs; ++k) {
            const cpu::FusedPair& pair = cpu::kFusedPairs[k];
            for (int s = 0; s < 7; ++s) {
                b.kernels->fused[k][di][s](p.data(), x.data(), y.data(), z.data(), n);
                // The same with two loops, scalars repeated.
                std::vector<char> u = x, v = y, w = z;
                const size_t size = cpu::tile_element_size(d);
                std::vector<char>* arguments[3] = {&u, &v, &w};
                for (int i = 0; i < 3; ++i) {
                    if (!((s >> i) & 1)) continue;
                    for (int j = 1; j < n; ++j)
                        std::memcpy(arguments[i]->data() + static_cast<size_t>(j) * size,
                                    arguments[i]->data(), size);
                }
                a.kernels->op2(pair.first, d, 0)(q.data(), u.data(), v.data(), n);
                a.kernels->op2(pair.second, d, 0)(r.data(), pair.swapped ? w.data() : q.data(),
                                                  pair.swapped ? q.data() : w.data(), n);
                EXPECT(same_tile(d, p.data(), r.data(), n), "fused pair %d %s scalars %d", k,
                       dtype_name(d), s);
            }
        }
    }
}

// ---- conversions of 16-bit floats, casts, ramps

void test_16_bit(const Level& level) {
    const TileKernels& t = *level.kernels;
    for (const DType d : {DType::kF16, DType::kBF16}) {
        const int di = static_cast<int>(d);
        std::vector<uint16_t> all(65536), back(65536);
        std::vector<float> tile(65536);
        for (int i = 0; i < 65536; ++i) all[static_cast<size_t>(i)] = static_cast<uint16_t>(i);
        t.load[di](tile.data(), all.data(), 65535);
        for (uint32_t i = 0; i < 65535; ++i) {
            const uint16_t h = static_cast<uint16_t>(i);
            const float want = d == DType::kF16 ? f16_to_f32(h) : bf16_to_f32(h);
            EXPECT(as<uint32_t>(tile[i]) == as<uint32_t>(want), "%s load %04x: %08x not %08x",
                   level.name, i, as<uint32_t>(tile[i]), as<uint32_t>(want));
        }
        for (uint64_t start = 0; start < (uint64_t{1} << 32); start += 65536 * 251) {
            for (uint32_t i = 0; i < 65536; ++i)
                tile[i] = as<float>(static_cast<uint32_t>(start + i * 16001u));
            t.store[di](back.data(), tile.data(), 65533);
            for (uint32_t i = 0; i < 65533; ++i) {
                const uint16_t want = d == DType::kF16 ? f32_to_f16(tile[i]) : f32_to_bf16(tile[i]);
                EXPECT(back[i] == want, "%s store %s %a: %04x not %04x", level.name, dtype_name(d),
                       double(tile[i]), back[i], want);
            }
        }
        std::vector<uint16_t> spread(3 * 500);
        t.scatter[di](spread.data(), 3, tile.data(), 500);
        std::vector<float> again(500), rounded(500);
        t.gather[di](again.data(), spread.data(), 3, 500);
        t.cast[static_cast<int>(DType::kF32)][di](rounded.data(), tile.data(), 500);
        EXPECT(same_tile(d, reinterpret_cast<char*>(again.data()),
                         reinterpret_cast<char*>(rounded.data()), 500),
               "%s gather", level.name);
    }
}
template <class To, class From>
void expect_cast(const TileKernels& t, DType from, DType to, From x, To want) {
    std::vector<From> in(67, x);
    std::vector<To> out(67);
    t.cast[static_cast<int>(from)][static_cast<int>(to)](out.data(), in.data(), 67);
    EXPECT(out[0] == want && out[66] == want, "cast %s to %s of %g", dtype_name(from),
           dtype_name(to), static_cast<double>(x));
}
void test_casts(const TileKernels& t) {
    expect_cast<int32_t, float>(t, DType::kF32, DType::kI32, 2.9f, 2);
    expect_cast<int32_t, float>(t, DType::kF32, DType::kI32, -2.9f, -2);
    expect_cast<int32_t, float>(t, DType::kF32, DType::kI32, 3e9f, INT32_MAX);
    expect_cast<int32_t, float>(t, DType::kF32, DType::kI32, -INFINITY, INT32_MIN);
    expect_cast<int32_t, float>(t, DType::kF32, DType::kI32, NAN, 0);
    expect_cast<int32_t, float>(t, DType::kF32, DType::kI32, -2147483648.0f, INT32_MIN);
    expect_cast<uint8_t, float>(t, DType::kF32, DType::kU8, 255.9f, 255);
    expect_cast<uint8_t, float>(t, DType::kF32, DType::kU8, 256.0f, 255);
    expect_cast<uint8_t, float>(t, DType::kF32, DType::kU8, -0.9f, 0);
    expect_cast<uint64_t, double>(t, DType::kF64, DType::kU64, 1e300, UINT64_MAX);
    expect_cast<uint64_t, double>(t, DType::kF64, DType::kU64, 0x1p63, uint64_t{1} << 63);
    expect_cast<int64_t, double>(t, DType::kF64, DType::kI64, -0x1p63, INT64_MIN);
    expect_cast<int64_t, float>(t, DType::kF32, DType::kI64, 1e30f, INT64_MAX);
    expect_cast<int8_t, int32_t>(t, DType::kI32, DType::kI8, 300, 44);
    expect_cast<float, int64_t>(t, DType::kI64, DType::kF32, (int64_t{1} << 24) + 1, 16777216.0f);
    expect_cast<float, uint64_t>(t, DType::kU64, DType::kF32, UINT64_MAX, 0x1p64f);
    expect_cast<int64_t, int8_t>(t, DType::kI8, DType::kI64, int8_t{-5}, -5);
    expect_cast<uint8_t, float>(t, DType::kF32, DType::kBool, NAN, 1);
    expect_cast<uint8_t, float>(t, DType::kF32, DType::kBool, -0.0f, 0);
    expect_cast<uint8_t, int16_t>(t, DType::kI16, DType::kBool, int16_t{256}, 1);
    std::vector<float> ramp(100);
    const double start = 0.5, step = 0.25;
    t.iota[static_cast<int>(DType::kF32)](ramp.data(), &start, &step, 1000, 100);
    EXPECT(ramp[99] == 0.5f + 0.25f * 1099, "iota");
    std::vector<int16_t> ints(10);
    const int64_t from = -3, by = 2;
    t.iota[static_cast<int>(DType::kI16)](ints.data(), &from, &by, 0, 10);
    EXPECT(ints[9] == 15, "iota int16");
}
template <class T>
T int2(const TileKernels& t, int op, DType d, T x, T y) {
    std::vector<T> a(35, x), b(35, y), c(35);
    t.op2(op, d, 0)(c.data(), a.data(), b.data(), 35);
    EXPECT(c[0] == c[34], "%s", kTileOpInfo[op].name);
    return c[34];
}
void test_integers(const TileKernels& t) {
    const DType d = DType::kI32;
    const auto i32 = [&](int op, int32_t x, int32_t y) { return int2<int32_t>(t, op, d, x, y); };
    EXPECT(i32(kTile_floor_divide, -7, 2) == -4, "floor_divide");
    EXPECT(i32(kTile_floor_divide, 7, 0) == 0, "floor_divide by 0");
    EXPECT(i32(kTile_floor_divide, INT32_MIN, -1) == INT32_MIN, "floor_divide wraps");
    EXPECT(i32(kTile_remainder, -7, 2) == 1 && i32(kTile_remainder, 7, -2) == -1, "remainder");
    EXPECT(i32(kTile_fmod, -7, 2) == -1, "fmod");
    EXPECT(i32(kTile_pow, 3, 5) == 243 && i32(kTile_pow, -1, -3) == -1, "pow");
    EXPECT(i32(kTile_pow, 2, -1) == 0 && i32(kTile_pow, 0, 0) == 1, "pow");
    EXPECT(i32(kTile_bitwise_left_shift, 1, 40) == 0, "shift");
    EXPECT(i32(kTile_bitwise_right_shift, -8, 1) == -4, "shift");
    EXPECT(i32(kTile_bitwise_right_shift, -8, 99) == -1, "shift");
    EXPECT(i32(kTile_add, INT32_MAX, 1) == INT32_MIN, "add wraps");
    EXPECT(int2<uint8_t>(t, kTile_subtract, DType::kU8, 3, 5) == 254, "subtract wraps");
    EXPECT(int2<int8_t>(t, kTile_multiply, DType::kI8, 100, 3) == 44, "multiply wraps");
    EXPECT(int2<uint16_t>(t, kTile_bitwise_right_shift, DType::kU16, 0xffff, 15) == 1, "shift");
    EXPECT(int2<int64_t>(t, kTile_bitwise_left_shift, DType::kI64, 1, 63) == INT64_MIN, "shift");
    bool x = true, y = false;
    t.op1(kTile_bitwise_invert, DType::kBool)(&y, &x, 1);
    EXPECT(!y, "invert of bool");
}

// ---- speed

double nanoseconds(const std::function<void()>& f, int64_t elements) {
    double best = 1e30;
    for (int k = 0; k < 15; ++k) {
        const auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < 40; ++i) f();
        const std::chrono::duration<double, std::nano> d = std::chrono::steady_clock::now() - start;
        best = std::min(best, d.count() / 40 / static_cast<double>(elements));
    }
    return best;
}
void bench() {
    constexpr int64_t n = 1024;
    std::vector<double> x(n), y(n), z(n);
    std::printf("| op |");
    for (const Level& l : levels())
        std::printf(" %s f32 | %s f64 | %s bf16 |", l.name, l.name, l.name);
    std::printf("\n");
    for (int op = 0; op < kNumTileOps; ++op) {
        std::printf("| %s |", kTileOpInfo[op].name);
        for (const Level& l : levels()) {
            for (const DType d : {DType::kF32, DType::kF64, DType::kBF16}) {
                if (!class_has(kTileOpInfo[op].dtypes, d)) continue;
                for (int64_t i = 0; i < n; ++i) {
                    const double v = uniform(0.1, 4);
                    if (d == DType::kF64) {
                        x[i] = v - 2, y[i] = v;
                    } else {
                        reinterpret_cast<float*>(x.data())[i] = static_cast<float>(v - 2);
                        reinterpret_cast<float*>(y.data())[i] = static_cast<float>(v);
                    }
                }
                const int arity = tile_arity(op);
                std::printf(" %.3f |", nanoseconds(
                                           [&] {
                                               if (arity == 1)
                                                   l.kernels->op1(op, d)(z.data(), x.data(), n);
                                               if (arity == 2)
                                                   l.kernels->op2(op, d, 0)(z.data(), x.data(),
                                                                            y.data(), n);
                                               if (arity == 3)
                                                   l.kernels->op3(op, d, 0)(z.data(), x.data(),
                                                                            y.data(), y.data(), n);
                                           },
                                           n));
            }
        }
        std::printf("\n");
    }
}

}  // namespace

int main(int argc, char** argv) {
    bool exhaustive = false, table = false;
    for (int i = 1; i < argc; ++i) {
        const std::string flag = argv[i];
        if (flag == "--exhaustive") exhaustive = true;
        if (flag == "--table") table = true;
        if (flag == "--bench") return bench(), 0;
    }
    const std::vector<Level> all = levels();
    if (all.empty()) {
        std::printf("no level with fused multiply-add on this machine: nothing to compare\n");
        return 0;
    }
    test_accuracy(*all.back().kernels,
                  exhaustive ? 1
                  : table    ? 509
                             : 40009,
                  table ? 2000000 : 40000, table);
    test_binary_accuracy<float>(*all.back().kernels, 100000, table);
    test_binary_accuracy<double>(*all.back().kernels, 100000, table);
    for (const Level& l : all) {
        test_bits<float>(l, 6000);
        test_bits<double>(l, 6000);
        test_levels_agree(l, all.back());
        test_16_bit(l);
        test_casts(*l.kernels);
        test_integers(*l.kernels);
    }
#ifdef SN_HAVE_V2
    // The baseline level is outside the guarantee of equal bits, not outside correctness.
    test_16_bit({"v2", &cpu::v2::tile_kernels()});
    test_casts(cpu::v2::tile_kernels());
    test_integers(cpu::v2::tile_kernels());
#endif
    return sn::test::finish();
}
