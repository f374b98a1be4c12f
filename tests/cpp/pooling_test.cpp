// Pooling against a literal scalar reference: equal bits for every dtype, instruction set and
// number of threads.
#include "backend/cpu/pooling.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "check.h"
#include "engine/pool.h"

namespace sn::cpu {
namespace v2 {
const PoolKernels& pool_kernels();
}
namespace avx2 {
const PoolKernels& pool_kernels();
}
namespace avx512 {
const PoolKernels& pool_kernels();
}
namespace neon {
const PoolKernels& pool_kernels();
}
}  // namespace sn::cpu

namespace {

using namespace sn;
using namespace sn::cpu;

std::vector<const PoolKernels*> levels() {
    std::vector<const PoolKernels*> list;
#if defined(SN_HAVE_V2)
    list.push_back(&v2::pool_kernels());
#endif
#if defined(SN_HAVE_AVX2)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        list.push_back(&avx2::pool_kernels());
#endif
#if defined(SN_HAVE_AVX512)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
        list.push_back(&avx512::pool_kernels());
#endif
#if defined(SN_HAVE_NEON)
    list.push_back(&neon::pool_kernels());
#endif
    return list;
}

// Element types with their storage: the 16-bit floats compute in f32.
struct Half {
    uint16_t bits;
};
struct BHalf {
    uint16_t bits;
};
template <class S>
struct Traits {
    using Compute = S;
};
template <>
struct Traits<Half> {
    using Compute = float;
};
template <>
struct Traits<BHalf> {
    using Compute = float;
};
template <class S>
typename Traits<S>::Compute get(S v) {
    return v;
}
template <>
float get<Half>(Half v) {
    return f16_to_f32(v.bits);
}
template <>
float get<BHalf>(BHalf v) {
    return bf16_to_f32(v.bits);
}
template <class S>
S make(typename Traits<S>::Compute v) {
    return v;
}
template <>
Half make<Half>(float v) {
    return {f32_to_f16(v)};
}
template <>
BHalf make<BHalf>(float v) {
    return {f32_to_bf16(v)};
}

int64_t product(const int64_t* v) { return v[0] * v[1] * v[2]; }

struct Position {
    int64_t at[3];
    Position(int64_t flat, const int64_t* size)
        : at{flat / (size[1] * size[2]), flat / size[2] % size[1], flat % size[2]} {}
};

// Input pixels of an output's window in ascending order.
std::vector<int64_t> window(const PoolShape& s, int64_t out, bool dilated) {
    const Position o(out, s.out);
    std::vector<int64_t> pixels;
    for (int64_t t = 0; t < product(s.kernel); ++t) {
        const Position tap(t, s.kernel);
        int64_t flat = 0;
        bool valid = true;
        for (int d = 0; d < 3; ++d) {
            const int64_t i =
                o.at[d] * s.stride[d] - s.pad_lo[d] + tap.at[d] * (dilated ? s.dilation[d] : 1);
            valid = valid && i >= 0 && i < s.in[d];
            flat = flat * s.in[d] + i;
        }
        if (valid) pixels.push_back(flat);
    }
    return pixels;
}

int64_t divisor(const PoolShape& s, int64_t out) {
    if (s.divisor_override) return s.divisor_override;
    const Position o(out, s.out);
    int64_t size = 1;
    for (int d = 0; d < 3; ++d) {
        int64_t n = 0;
        for (int64_t t = 0; t < s.kernel[d]; ++t) {
            const int64_t i = o.at[d] * s.stride[d] - s.pad_lo[d] + t;
            n += s.count_include_pad ? i < s.in[d] + s.pad_hi[d] : i >= 0 && i < s.in[d];
        }
        size *= n;
    }
    return size;
}

template <class S>
void check_pool(const PoolShape& s, std::mt19937& rng, bool special) {
    using A = typename Traits<S>::Compute;
    const int64_t in = product(s.in), out = product(s.out), channels = s.channels;
    std::vector<S> x(s.batch * in * channels), dy(s.batch * out * channels);
    auto fill = [&](std::vector<S>& v) {
        for (S& e : v) {
            // Few distinct values, so that ties occur.
            A a = static_cast<A>(static_cast<int>(rng() % 11));
            if constexpr (std::is_floating_point_v<A>) {
                a = (a - 5) / 3;
                if (special && rng() % 9 == 0) a = std::numeric_limits<A>::quiet_NaN();
            }
            e = make<S>(a);
        }
    };
    fill(x);
    special = false;
    fill(dy);
    std::vector<S> y_want(dy.size()), dx_want(x.size()), mean_want(dy.size()), dmean_want(x.size());
    std::vector<int64_t> index_want(dy.size());
    std::vector<A> dx(x.size()), dmean(x.size());
    for (int64_t n = 0; n < s.batch; ++n)
        for (int64_t o = 0; o < out; ++o)
            for (int64_t c = 0; c < channels; ++c) {
                const int64_t to = (n * out + o) * channels + c;
                A best = std::numeric_limits<A>::has_infinity ? -std::numeric_limits<A>::infinity()
                                                              : std::numeric_limits<A>::lowest();
                int64_t at = -1;
                for (int64_t p : window(s, o, true)) {
                    const A v = get(x[(n * in + p) * channels + c]);
                    if (at < 0 || v > best || (v != v && best == best)) best = v, at = p;
                }
                y_want[to] = make<S>(best);
                index_want[to] = at;
                if (at >= 0) dx[(n * in + at) * channels + c] += get(dy[to]);
                A sum = 0;
                for (int64_t p : window(s, o, false)) {
                    sum += get(x[(n * in + p) * channels + c]);
                    dmean[(n * in + p) * channels + c] +=
                        get(dy[to]) / static_cast<A>(divisor(s, o));
                }
                mean_want[to] = make<S>(
                    std::is_floating_point_v<A> ? sum / static_cast<A>(divisor(s, o)) : A(0));
            }
    for (size_t i = 0; i < x.size(); ++i)
        dx_want[i] = make<S>(dx[i]), dmean_want[i] = make<S>(dmean[i]);
    auto same = [&](const std::vector<S>& a, const std::vector<S>& b) {
        for (size_t i = 0; i < a.size(); ++i) {
            const A u = get(a[i]), v = get(b[i]);
            if (std::memcmp(&a[i], &b[i], sizeof(S)) != 0 && !(u != u && v != v)) return false;
        }
        return true;
    };
    for (const PoolKernels* k : levels())
        for (int threads : {1, 2, 3}) {
            set_pool_threads(threads);
            std::vector<S> y(dy.size()), got(x.size());
            std::vector<int64_t> index(dy.size());
            k->max_forward(s, x.data(), y.data(), index.data());
            CHECK(same(y, y_want));
            CHECK(index == index_want);
            std::fill(y.begin(), y.end(), S{});
            k->max_forward(s, x.data(), y.data(), nullptr);
            CHECK(same(y, y_want));
            if constexpr (std::is_floating_point_v<A>) {
                k->max_backward(s, dy.data(), index_want.data(), got.data());
                CHECK(same(got, dx_want));
                k->average_forward(s, x.data(), y.data());
                CHECK(same(y, mean_want));
                k->average_backward(s, dy.data(), got.data());
                CHECK(same(got, dmean_want));
            }
        }
    set_pool_threads(1);
}

void check_any(const PoolShape& s, std::mt19937& rng, bool special) {
    switch (s.dtype) {
        case DType::kI8: return check_pool<int8_t>(s, rng, special);
        case DType::kI64: return check_pool<int64_t>(s, rng, special);
        case DType::kU32: return check_pool<uint32_t>(s, rng, special);
        case DType::kF16: return check_pool<Half>(s, rng, special);
        case DType::kBF16: return check_pool<BHalf>(s, rng, special);
        case DType::kF64: return check_pool<double>(s, rng, special);
        default: return check_pool<float>(s, rng, special);
    }
}

TEST(random_shapes) {
    std::mt19937 rng(5);
    auto in = [&](int64_t lo, int64_t hi) {
        return lo + static_cast<int64_t>(rng() % static_cast<uint64_t>(hi - lo + 1));
    };
    const DType dtypes[] = {DType::kF32, DType::kF64, DType::kF16, DType::kBF16,
                            DType::kF32, DType::kI8,  DType::kI64, DType::kU32};
    for (int trial = 0; trial < 200; ++trial) {
        PoolShape s;
        s.dtype = dtypes[trial % 8];
        s.batch = in(1, 3);
        s.channels = trial % 5 == 0 ? in(60, 140) : in(1, 40);
        const int rank = static_cast<int>(in(1, 3));
        for (int d = 3 - rank; d < 3; ++d) {
            s.in[d] = in(1, 9);
            s.kernel[d] = in(1, 4);
            s.stride[d] = in(1, 4);
            s.dilation[d] = in(1, 2);
            s.pad_lo[d] = in(0, s.kernel[d] / 2);
            s.pad_hi[d] = in(0, s.kernel[d] / 2);
            const int64_t reach = s.dilation[d] * (s.kernel[d] - 1) + 1;
            const int64_t room = s.in[d] + s.pad_lo[d] + s.pad_hi[d] - reach;
            const int64_t ceil = in(0, 1) * (s.stride[d] - 1);
            s.out[d] = room + ceil < 0 ? 0 : (room + ceil) / s.stride[d] + 1;
            // As in PyTorch, no window starts in the upper padding.
            while (s.out[d] > 0 && (s.out[d] - 1) * s.stride[d] >= s.in[d] + s.pad_lo[d])
                --s.out[d];
        }
        s.count_include_pad = in(0, 1);
        if (trial % 7 == 0) s.divisor_override = in(1, 9);
        check_any(s, rng, trial % 3 == 0);
    }
}

TEST(nan_and_ties) {
    PoolShape s;
    s.in[2] = 4, s.kernel[2] = 4, s.out[2] = 1;
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (const PoolKernels* k : levels()) {
        float y;
        int64_t index;
        const float first[4] = {1, 3, 3, 2}, bad[4] = {1, nan, 9, nan},
                    low[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY},
                    zeros[4] = {-0.0f, 0.0f, 0.0f, 0.0f};
        k->max_forward(s, first, &y, &index);
        CHECK_EQ(y, 3.0f);
        CHECK_EQ(index, 1);
        k->max_forward(s, bad, &y, &index);
        CHECK(std::isnan(y));
        CHECK_EQ(index, 1);
        k->max_forward(s, low, &y, &index);
        CHECK_EQ(index, 0);
        k->max_forward(s, zeros, &y, &index);
        CHECK(std::signbit(y));
    }
}

}  // namespace

int main(int argc, char** argv) { return sn::test::run(argc, argv); }
