// Reductions against the definition of the tree in design note 001, written out naively.
#include "backend/cpu/reduce.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "backend/cpu/cpu_tables.h"
#include "base/error.h"
#include "check.h"
#include "engine/pool.h"

using namespace sn;
using namespace sn::cpu;

namespace {

// ---- the definition
// ------------------------------------------------------------------------------

template <class T>
T combine(ReduceKind kind, T a, T b) {
    switch (kind) {
        case ReduceKind::kSum:
        case ReduceKind::kMean:
        case ReduceKind::kVar:
            if constexpr (std::is_integral_v<T>)
                return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
            else
                return a + b;
        case ReduceKind::kProd:
            if constexpr (std::is_integral_v<T>)
                return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
            else
                return a * b;
        case ReduceKind::kMax: return b > a || b != b ? b : a;
        case ReduceKind::kMin: return b < a || b != b ? b : a;
        case ReduceKind::kAny: return a | static_cast<T>(b);
        case ReduceKind::kAll: return a & static_cast<T>(b);
        default: return a;
    }
}
template <>
float combine(ReduceKind kind, float a, float b) {
    switch (kind) {
        case ReduceKind::kProd: return a * b;
        case ReduceKind::kMax: return b > a || b != b ? b : a;
        case ReduceKind::kMin: return b < a || b != b ? b : a;
        default: return a + b;
    }
}
template <>
double combine(ReduceKind kind, double a, double b) {
    switch (kind) {
        case ReduceKind::kProd: return a * b;
        case ReduceKind::kMax: return b > a || b != b ? b : a;
        case ReduceKind::kMin: return b < a || b != b ? b : a;
        default: return a + b;
    }
}

template <class T>
T identity(ReduceKind kind) {
    using L = std::numeric_limits<T>;
    switch (kind) {
        case ReduceKind::kProd:
        case ReduceKind::kAll: return 1;
        case ReduceKind::kMax: return L::has_infinity ? -L::infinity() : L::lowest();
        case ReduceKind::kMin: return L::has_infinity ? L::infinity() : L::max();
        default: return 0;
    }
}

// 16 lanes over a block of at most 1,024, then (l, l + 8), (l, l + 4), (l, l + 2), (l, l + 1).
template <class T>
T block(ReduceKind kind, const T* x, int64_t n) {
    T lane[16];
    for (T& l : lane) l = identity<T>(kind);
    for (int64_t i = 0; i < n; ++i) lane[i % 16] = combine(kind, lane[i % 16], x[i]);
    for (int half = 8; half >= 1; half /= 2) {
        for (int l = 0; l < half; ++l) lane[l] = combine(kind, lane[l], lane[l + half]);
    }
    return lane[0];
}
// Padded with identities to a power of two.
template <class T>
T tree(ReduceKind kind, std::vector<T> v) {
    size_t n = 1;
    while (n < v.size()) n *= 2;
    v.resize(n, identity<T>(kind));
    for (; n > 1; n /= 2) {
        for (size_t i = 0; i < n / 2; ++i) v[i] = combine(kind, v[2 * i], v[2 * i + 1]);
    }
    return v[0];
}
template <class T>
T naive(ReduceKind kind, const std::vector<T>& x) {
    std::vector<T> parts;
    const int64_t n = static_cast<int64_t>(x.size());
    for (int64_t b = 0; b < n; b += 1024)
        parts.push_back(block(kind, &x[static_cast<size_t>(b)], std::min<int64_t>(1024, n - b)));
    if (parts.empty()) return identity<T>(kind);
    return tree(kind, parts);
}
template <class T>
struct Moments {
    int64_t n;
    T sum, m2;
};
template <class T>
Moments<T> naive_moments(const std::vector<T>& x) {
    std::vector<Moments<T>> level;
    const int64_t n = static_cast<int64_t>(x.size());
    for (int64_t b = 0; b < n; b += 1024) {
        const int64_t count = std::min<int64_t>(1024, n - b);
        const T* p = &x[static_cast<size_t>(b)];
        const T sum = block(ReduceKind::kSum, p, count), mean = sum / static_cast<T>(count);
        T lane[16] = {};
        for (int64_t i = 0; i < count; ++i) {
            const T d = p[i] - mean;
            lane[i % 16] = std::fma(d, d, lane[i % 16]);
        }
        for (int half = 8; half >= 1; half /= 2) {
            for (int l = 0; l < half; ++l) lane[l] = lane[l] + lane[l + half];
        }
        level.push_back({count, sum, lane[0]});
    }
    while (level.size() > 1) {
        std::vector<Moments<T>> next;
        for (size_t i = 0; i < level.size(); i += 2) {
            if (i + 1 == level.size()) {
                next.push_back(level[i]);
                continue;
            }
            const Moments<T>&a = level[i], &b = level[i + 1];
            const T weight = static_cast<T>(static_cast<double>(a.n) * static_cast<double>(b.n) /
                                            static_cast<double>(a.n + b.n));
            const T delta = b.sum / static_cast<T>(b.n) - a.sum / static_cast<T>(a.n);
            next.push_back(
                {a.n + b.n, a.sum + b.sum, std::fma(delta * delta, weight, a.m2 + b.m2)});
        }
        level = next;
    }
    return level.empty() ? Moments<T>{0, 0, 0} : level[0];
}

// ---- cases
// ---------------------------------------------------------------------------------------

struct Layout {
    std::vector<int64_t> shape, strides;
    int64_t offset = 0, span = 1;
};

// Logical dimensions laid out in memory in the order `order`, each padded by `pad`.
Layout layout(std::vector<int64_t> shape, std::vector<int> order, int64_t pad = 0,
              int negative = -1) {
    Layout l{shape, std::vector<int64_t>(shape.size()), 0, 1};
    for (size_t i = order.size(); i-- > 0;) {
        const size_t d = static_cast<size_t>(order[i]);
        l.strides[d] = l.span;
        l.span *= shape[d] + pad;
    }
    if (negative >= 0) {
        const size_t d = static_cast<size_t>(negative);
        if (shape[d] > 0) l.offset = (shape[d] - 1) * l.strides[d];
        l.strides[d] = -l.strides[d];
    }
    return l;
}

template <class T>
void fill_random(std::vector<T>& v, uint32_t seed, bool specials) {
    std::mt19937 gen(seed);
    for (T& x : v) {
        if constexpr (std::is_floating_point_v<T>) {
            x = static_cast<T>(static_cast<double>(gen()) / 4294967296.0 * 4 - 1.7);
            if (specials && gen() % 500 == 0) x = std::numeric_limits<T>::quiet_NaN();
            if (specials && gen() % 50 == 0) x = static_cast<T>(-0.0);
        } else {
            x = static_cast<T>(gen());
        }
    }
}

template <class T>
bool same(T a, T b) {
    return std::memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b);
}

template <class T>
void check_case(ReduceKind kind, DType dtype, const Layout& l, uint64_t axes, uint32_t seed,
                bool specials = false) {
    std::vector<T> data(static_cast<size_t>(std::max<int64_t>(l.span, 1)));
    fill_random(data, seed, specials);
    if (dtype == DType::kBool)
        for (T& x : data) x = static_cast<T>(static_cast<uint64_t>(x) % 97 == 0 ? 0 : 1);
    int64_t results = 1, n = 1;
    const int rank = static_cast<int>(l.shape.size());
    for (int d = 0; d < rank; ++d) (axes >> d & 1 ? n : results) *= l.shape[static_cast<size_t>(d)];
    const bool arg = kind == ReduceKind::kArgMax || kind == ReduceKind::kArgMin;
    std::vector<T> out(static_cast<size_t>(results) + 1), mean(static_cast<size_t>(results) + 1);
    std::vector<int64_t> index(static_cast<size_t>(results) + 1);
    ReduceCall call{kind,
                    dtype,
                    arg ? DType::kI64 : dtype,
                    rank,
                    l.shape.data(),
                    l.strides.data(),
                    axes,
                    data.data() + l.offset,
                    arg ? static_cast<void*>(index.data()) : out.data()};
    if (kind == ReduceKind::kVar) call.out_mean = mean.data();
    reduce(call);
    std::vector<int64_t> at(static_cast<size_t>(rank), 0);
    int bad = 0;
    for (int64_t r = 0; r < results; ++r) {
        std::vector<T> x;
        int64_t rest = r, base = l.offset;
        for (int d = rank - 1; d >= 0; --d) {
            const size_t k = static_cast<size_t>(d);
            if (axes >> d & 1) continue;
            base += rest % l.shape[k] * l.strides[k];
            rest /= l.shape[k];
        }
        for (int64_t i = 0; i < n; ++i) {
            int64_t p = base;
            rest = i;
            for (int d = rank - 1; d >= 0; --d) {
                const size_t k = static_cast<size_t>(d);
                if (!(axes >> d & 1)) continue;
                p += rest % l.shape[k] * l.strides[k];
                rest /= l.shape[k];
            }
            x.push_back(data[static_cast<size_t>(p)]);
        }
        const size_t k = static_cast<size_t>(r);
        if (arg) {
            int64_t best = 0;
            for (int64_t i = 1; i < n; ++i) {
                const T a = x[static_cast<size_t>(best)], b = x[static_cast<size_t>(i)];
                if (a != a) break;
                if (b != b || (kind == ReduceKind::kArgMax ? b > a : b < a)) best = i;
            }
            bad += index[k] != best;
        } else if (kind == ReduceKind::kVar) {
            if constexpr (std::is_floating_point_v<T>) {
                const Moments<T> m = naive_moments(x);
                bad += !same(out[k], m.m2 / static_cast<T>(n)) ||
                       !same(mean[k], m.sum / static_cast<T>(n));
            }
        } else {
            T want = naive(kind, x);
            if constexpr (std::is_floating_point_v<T>)
                if (kind == ReduceKind::kMean) want = want / static_cast<T>(n);
            bad += !same(out[k], want);
        }
    }
    if (bad) {
        std::fprintf(stderr, "kind %d dtype %s shape", static_cast<int>(kind), dtype_name(dtype));
        for (int64_t s : l.shape) std::fprintf(stderr, " %lld", static_cast<long long>(s));
        std::fprintf(stderr, " strides");
        for (int64_t s : l.strides) std::fprintf(stderr, " %lld", static_cast<long long>(s));
        std::fprintf(stderr, " axes %llx: %d of %lld\n", static_cast<unsigned long long>(axes), bad,
                     static_cast<long long>(results));
    }
    CHECK_EQ(bad, 0);
}

const ReduceKind kFloatKinds[] = {ReduceKind::kSum,    ReduceKind::kProd,  ReduceKind::kMax,
                                  ReduceKind::kMin,    ReduceKind::kMean,  ReduceKind::kVar,
                                  ReduceKind::kArgMax, ReduceKind::kArgMin};

void all_layouts(bool quick) {
    const std::vector<Layout> layouts = {
        layout({1}, {0}),
        layout({7}, {0}),
        layout({1000}, {0}),
        layout({1024}, {0}),
        layout({5000}, {0}),
        layout({70001}, {0}),
        layout({140000}, {0}),
        layout({3000}, {0}, 0, 0),
        layout({5, 10}, {0, 1}),
        layout({64, 10}, {0, 1}, 3),
        layout({10, 64}, {1, 0}),
        layout({33, 1030}, {0, 1}),
        layout({1030, 33}, {0, 1}),
        layout({2500, 70}, {0, 1}),
        layout({70, 2500}, {1, 0}, 1),
        layout({2100, 700}, {0, 1}),
        layout({4, 3, 50}, {0, 1, 2}),
        layout({4, 9, 40}, {0, 2, 1}),
        layout({3, 1100, 20}, {0, 1, 2}),
        layout({2, 5, 14, 14}, {0, 1, 2, 3}),
        layout({6, 48, 15, 15}, {0, 2, 3, 1}),
        layout({2, 3, 40, 30}, {0, 2, 3, 1}, 0, 2),
    };
    uint32_t seed = 1;
    for (const Layout& l : layouts) {
        const uint64_t top = uint64_t{1} << l.shape.size();
        for (uint64_t axes = 0; axes < top; ++axes) {
            if (quick && l.span > 100000) continue;
            for (ReduceKind kind : kFloatKinds) {
                check_case<float>(kind, DType::kF32, l, axes, seed++);
                check_case<float>(kind, DType::kF32, l, axes, seed++, true);
                if (!quick) check_case<double>(kind, DType::kF64, l, axes, seed++, true);
            }
            if (quick) continue;
            check_case<int32_t>(ReduceKind::kSum, DType::kI32, l, axes, seed++);
            check_case<int8_t>(ReduceKind::kProd, DType::kI8, l, axes, seed++);
            check_case<int16_t>(ReduceKind::kMax, DType::kI16, l, axes, seed++);
            check_case<uint64_t>(ReduceKind::kMin, DType::kU64, l, axes, seed++);
            check_case<int64_t>(ReduceKind::kArgMax, DType::kI64, l, axes, seed++);
            check_case<uint8_t>(ReduceKind::kAny, DType::kBool, l, axes, seed++);
            check_case<uint8_t>(ReduceKind::kAll, DType::kBool, l, axes, seed++);
        }
    }
}

}  // namespace

TEST(every_level_and_thread_count) {
    const CpuTables& best = cpu_tables();
    for (const char* isa : {"avx512", "avx2", "neon"}) {
        const CpuTables* tables = find_cpu_tables(isa);
        if (!tables) continue;
        set_cpu_tables(*tables);
        for (int threads : {2, 1, 3}) {
            set_pool_threads(threads);
            all_layouts(threads != 2 || tables != &best);
        }
    }
    set_cpu_tables(best);
    set_pool_threads(2);
}

TEST(empty) {
    const int64_t shape[] = {3, 0}, strides[] = {0, 1};
    float out[3] = {5, 5, 5};
    reduce({ReduceKind::kSum, DType::kF32, DType::kF32, 2, shape, strides, 2, nullptr, out});
    CHECK(out[0] == 0 && out[2] == 0);
    reduce({ReduceKind::kProd, DType::kF32, DType::kF32, 2, shape, strides, 2, nullptr, out});
    CHECK(out[0] == 1 && out[2] == 1);
    reduce({ReduceKind::kMean, DType::kF32, DType::kF32, 2, shape, strides, 2, nullptr, out});
    CHECK(out[0] != out[0]);
    reduce({ReduceKind::kSum, DType::kF32, DType::kF32, 2, shape, strides, 1, nullptr,
            out});  // no results
    CHECK_THROWS(
        reduce({ReduceKind::kMax, DType::kF32, DType::kF32, 2, shape, strides, 2, nullptr, out}),
        "nothing");
}

namespace {

// A half is widened exactly, so its reductions are those of the widened numbers, rounded once.
void check_half(ReduceKind kind, DType dtype, const Layout& l, uint64_t axes, uint32_t seed) {
    const auto narrow = [&](float v) {
        return dtype == DType::kF16 ? f32_to_f16(v) : f32_to_bf16(v);
    };
    std::vector<float> wide(static_cast<size_t>(std::max<int64_t>(l.span, 1)));
    fill_random(wide, seed, seed % 3 == 0);
    std::vector<uint16_t> data(wide.size());
    for (size_t i = 0; i < data.size(); ++i) {
        data[i] = narrow(wide[i]);
        wide[i] = dtype == DType::kF16 ? f16_to_f32(data[i]) : bf16_to_f32(data[i]);
    }
    const size_t results = data.size() + 1;
    const bool arg = kind == ReduceKind::kArgMax || kind == ReduceKind::kArgMin;
    std::vector<uint16_t> got(results), got_mean(results);
    std::vector<float> want(results), want_mean(results);
    std::vector<int64_t> at(results), want_at(results);
    ReduceCall call{kind,
                    dtype,
                    arg ? DType::kI64 : dtype,
                    static_cast<int>(l.shape.size()),
                    l.shape.data(),
                    l.strides.data(),
                    axes,
                    data.data() + l.offset,
                    arg ? static_cast<void*>(at.data()) : got.data()};
    if (kind == ReduceKind::kVar) call.out_mean = got_mean.data();
    reduce(call);
    call.dtype = DType::kF32;
    call.in = wide.data() + l.offset;
    if (!arg) call.out_dtype = DType::kF32;
    call.out = arg ? static_cast<void*>(want_at.data()) : want.data();
    if (kind == ReduceKind::kVar) call.out_mean = want_mean.data();
    reduce(call);
    int bad = 0;
    for (size_t i = 0; i < results; ++i)
        bad +=
            got[i] != narrow(want[i]) || got_mean[i] != narrow(want_mean[i]) || at[i] != want_at[i];
    if (bad)
        std::fprintf(stderr, "kind %d %s axes %llx of %zu dims, span %lld: %d\n",
                     static_cast<int>(kind), dtype_name(dtype),
                     static_cast<unsigned long long>(axes), l.shape.size(),
                     static_cast<long long>(l.span), bad);
    CHECK_EQ(bad, 0);
}

template <class T>
void check_wide(DType dtype, const Layout& l, uint64_t axes, uint32_t seed) {
    std::vector<T> data(static_cast<size_t>(std::max<int64_t>(l.span, 1)));
    fill_random(data, seed, false);
    for (size_t i = 0; i < data.size(); ++i)  // with runs of the extremes, which overflow first
        if (i % 5000 > 2500)
            data[i] =
                i % 10000 > 5000 ? std::numeric_limits<T>::max() : std::numeric_limits<T>::lowest();
    std::vector<int64_t> exact(data.begin(), data.end()), got(data.size() + 1), want(got);
    ReduceCall call{ReduceKind::kSum,
                    dtype,
                    std::is_signed_v<T> ? DType::kI64 : DType::kU64,
                    static_cast<int>(l.shape.size()),
                    l.shape.data(),
                    l.strides.data(),
                    axes,
                    data.data() + l.offset,
                    got.data()};
    reduce(call);
    call.dtype = call.out_dtype = DType::kI64;
    call.in = exact.data() + l.offset;
    call.out = want.data();
    reduce(call);
    CHECK(got == want);
}

void narrow_inputs() {
    const std::vector<Layout> layouts = {
        layout({7}, {0}),
        layout({140000}, {0}),
        layout({3000}, {0}, 0, 0),
        layout({64, 10}, {0, 1}, 3),
        layout({33, 1030}, {0, 1}),
        layout({1030, 33}, {0, 1}),
        layout({70, 2500}, {1, 0}, 1),
        layout({300, 77}, {1, 0}),
        layout({2100, 200}, {0, 1}),
        layout({2, 5, 14, 14}, {0, 1, 2, 3}),
        layout({6, 48, 15, 15}, {0, 2, 3, 1}),
    };
    uint32_t seed = 1;
    for (const Layout& l : layouts) {
        for (uint64_t axes = 0; axes < uint64_t{1} << l.shape.size(); ++axes) {
            for (ReduceKind kind : kFloatKinds) {
                check_half(kind, DType::kF16, l, axes, seed++);
                check_half(kind, DType::kBF16, l, axes, seed++);
            }
            check_wide<uint8_t>(DType::kU8, l, axes, seed++);
            check_wide<int8_t>(DType::kI8, l, axes, seed++);
            check_wide<uint16_t>(DType::kU16, l, axes, seed++);
            check_wide<int16_t>(DType::kI16, l, axes, seed++);
            check_wide<uint32_t>(DType::kU32, l, axes, seed++);
            check_wide<int32_t>(DType::kI32, l, axes, seed++);
        }
    }
}

}  // namespace

TEST(narrow_elements_are_widened_as_they_are_read) {
    const CpuTables& best = cpu_tables();
    for (const char* isa : {"avx512", "avx2", "v2", "neon"}) {
        const CpuTables* tables = find_cpu_tables(isa);
        if (!tables) continue;
        set_cpu_tables(*tables);
        narrow_inputs();
    }
    set_cpu_tables(best);
}

TEST(conversions) {
    // Sums of f16 and bf16 accumulate in f32 and round once; small integers are widened by request.
    const int64_t shape[] = {40, 100}, strides[] = {100, 1}, transposed[] = {1, 40};
    std::mt19937 gen(3);
    for (DType dtype : {DType::kF16, DType::kBF16}) {
        std::vector<uint16_t> data(4000);
        std::vector<float> wide(4000);
        for (size_t i = 0; i < data.size(); ++i) {
            const float v = static_cast<float>(gen() % 1000) / 100 - 3;
            data[i] = dtype == DType::kF16 ? f32_to_f16(v) : f32_to_bf16(v);
            wide[i] = dtype == DType::kF16 ? f16_to_f32(data[i]) : bf16_to_f32(data[i]);
        }
        for (const int64_t* layout : {strides, transposed}) {
            for (uint64_t axes : {1, 2, 3}) {
                std::vector<uint16_t> got(100);
                std::vector<float> sums(100), direct(100);
                reduce({ReduceKind::kSum, dtype, dtype, 2, shape, layout, axes, data.data(),
                        got.data()});
                reduce({ReduceKind::kSum, dtype, DType::kF32, 2, shape, layout, axes, data.data(),
                        direct.data()});
                reduce({ReduceKind::kSum, DType::kF32, DType::kF32, 2, shape, layout, axes,
                        wide.data(), sums.data()});
                const size_t count = axes == 1 ? 100 : axes == 2 ? 40 : 1;
                for (size_t i = 0; i < count; ++i) {
                    CHECK_EQ(got[i],
                             dtype == DType::kF16 ? f32_to_f16(sums[i]) : f32_to_bf16(sums[i]));
                    CHECK_EQ(direct[i], sums[i]);
                }
            }
        }
    }
    std::vector<int8_t> small(4000, 100);
    int64_t total = 0;
    reduce({ReduceKind::kSum, DType::kI8, DType::kI64, 2, shape, strides, 3, small.data(), &total});
    CHECK_EQ(total, 400000);
    small[77] = 0;
    std::vector<uint8_t> flags(40);
    reduce({ReduceKind::kAll, DType::kI8, DType::kBool, 2, shape, strides, 2, small.data(),
            flags.data()});
    CHECK(flags[0] == 0 && flags[1] == 1);
    const int64_t out_strides[] = {0, 2};  // into every second place
    std::vector<float> spread(200, -1), ones(4000, 1);
    ReduceCall call{ReduceKind::kSum, DType::kF32,  DType::kF32, 2, shape, strides, 1,
                    ones.data(),      spread.data()};
    call.out_strides = out_strides;
    reduce(call);
    CHECK(spread[0] == 40 && spread[1] == -1 && spread[198] == 40 && spread[199] == -1);
}

int main(int argc, char** argv) { return sn::test::run(argc, argv); }
