// What the bit guarantee costs: Sennit's kernels beside loops that promise nothing, on one thread.
// The loops are this same file compiled a second time, free to contract and to reorder:
//
//   flags="-std=c++20 -O3 -march=native -fno-math-errno -Icore"
//   g++ $flags -ffast-math -ffp-contract=fast -DSN_FREE -c benchmarks/gym/guarantee_gym.cpp -o
//   free.o
//   g++ $flags -ffp-contract=off benchmarks/gym/guarantee_gym.cpp free.o \
//       -Wl,--whole-archive build/dev/libsennit_core.a -Wl,--no-whole-archive -lpthread -o
//       guarantee
//   SENNIT_NUM_THREADS=1 ./guarantee
//
// The note 001-numerics has the figures.
#ifdef SN_FREE
#define SN_ISA gym_free
#else
#define SN_ISA gym_fixed
#endif
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <functional>
#include <vector>

#include "backend/cpu/gemm.h"
#include "backend/cpu/kernel_sets.h"
#include "backend/cpu/reduce.h"
#include "backend/cpu/simd.h"
#include "op/math.h"

namespace sn::cpu::SN_ISA {

void chain(const float* x, float* y, int64_t n) {
    for (int64_t i = 0; i < n; i += kLanes<float>) {
        const F32 v = load<F32>(x + i);
        store(y + i, math::gelu_tanh(v * 1.5f + 0.25f) * math::sigmoid(v));
    }
}

void adam(float* p, const float* g, float* m, float* v, int64_t n) {
    for (int64_t i = 0; i < n; i += kLanes<float>) {
        const F32 gi = load<F32>(g + i);
        const F32 mi = load<F32>(m + i) * 0.9f + gi * 0.1f;
        const F32 vi = load<F32>(v + i) * 0.999f + gi * gi * 0.001f;
        store(m + i, mi);
        store(v + i, vi);
        store(p + i, load<F32>(p + i) - mi * 1e-3f / (math::sqrt(vi) + 1e-8f));
    }
}

// The free one may use as many accumulators as it likes, in any order.
float sum(const float* x, int64_t n) {
    float s = 0;
    for (int64_t i = 0; i < n; ++i) s += x[i];
    return s;
}

}  // namespace sn::cpu::SN_ISA

#ifndef SN_FREE
namespace sn::cpu::gym_free {
void chain(const float* x, float* y, int64_t n);
void adam(float* p, const float* g, float* m, float* v, int64_t n);
float sum(const float* x, int64_t n);
}  // namespace sn::cpu::gym_free

using namespace sn;
using namespace sn::cpu;

namespace {

double now() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

volatile float sink;

// Median times of both in turns: whatever disturbs the machine disturbs both.
void compare(const char* name, const std::function<void()>& fixed,
             const std::function<void()>& free) {
    std::vector<double> a, b;
    const auto time = [](const std::function<void()>& body) {
        const double t0 = now();
        int64_t runs = 0;
        do {
            body();
            ++runs;
        } while (now() - t0 < 2e-3);
        return (now() - t0) / static_cast<double>(runs);
    };
    fixed();
    free();
    for (int i = 0; i < 101; ++i) {
        a.push_back(time(fixed));
        b.push_back(time(free));
    }
    std::nth_element(a.begin(), a.begin() + 50, a.end());
    std::nth_element(b.begin(), b.begin() + 50, b.end());
    std::printf("%-46s %10.2f us fixed %10.2f us free   %+5.1f %%\n", name, a[50] * 1e6,
                b[50] * 1e6, (a[50] / b[50] - 1) * 100);
    std::fflush(stdout);
}

std::vector<float> numbers(int64_t n) {
    std::vector<float> x(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i)
        x[static_cast<size_t>(i)] = static_cast<float>(i * 7919 % 2003 - 1001) * 0.004f;
    return x;
}

void elementwise(const char* size, int64_t n) {
    const auto x = numbers(n);
    auto y = x, m = x, p = x;
    auto v = x;
    for (float& e : v) e = e * e;
    char name[80];
    std::snprintf(name, sizeof name, "gelu(x a + b) sigmoid(x), %s", size);
    compare(
        name, [&] { gym_fixed::chain(x.data(), y.data(), n); },
        [&] { gym_free::chain(x.data(), y.data(), n); });
    std::snprintf(name, sizeof name, "Adam, %s", size);
    compare(
        name, [&] { gym_fixed::adam(p.data(), x.data(), m.data(), v.data(), n); },
        [&] { gym_free::adam(p.data(), x.data(), m.data(), v.data(), n); });
}

void sums(const char* size, int64_t rows, int64_t cols) {
    const auto x = numbers(rows * cols);
    std::vector<float> y(static_cast<size_t>(rows));
    const int64_t shape[] = {rows, cols}, strides[] = {cols, 1};
    char name[80];
    std::snprintf(name, sizeof name, "sum over the rows of %s", size);
    const ReduceCall call{ReduceKind::kSum, DType::kF32, DType::kF32, 2,       shape,
                          strides,          2,           x.data(),    y.data()};
    compare(
        name, [&] { reduce(call); },
        [&] {
            for (int64_t r = 0; r < rows; ++r)
                y[static_cast<size_t>(r)] = gym_free::sum(x.data() + r * cols, cols);
            sink = y[0];
        });
}

// A segment is added to the sum of those before it: products no longer than one pay nothing, and
// what a longer one pays shows beside as many terms in products of one segment each.
void product(int64_t k) {
    const int64_t n = 256, pieces = k / kGemmSegment;
    const auto a = numbers(n * k), b = numbers(k * n);
    auto c = numbers(n * n);
    const auto call = [&](int64_t first, int64_t depth) {
        const GemmOperand left{a.data() + first, DType::kF32, k, 1};
        const GemmOperand right{b.data() + first * n, DType::kF32, n, 1};
        kernel_sets().gemm->gemm({n, n, depth, left, right, c.data(), DType::kF32, n});
    };
    char name[80];
    std::snprintf(name, sizeof name, "product 256 x %lld x 256", static_cast<long long>(k));
    compare(
        name, [&] { call(0, k); },
        [&] {
            for (int64_t i = 0; i < pieces; ++i) call(i * kGemmSegment, kGemmSegment);
        });
}

}  // namespace

int main() {
    elementwise("16 Ki", 16 << 10);
    elementwise("4 Mi", 4 << 20);
    sums("16 x 1024", 16, 1024);
    sums("1024 x 64", 1024, 64);
    sums("2048 x 4096", 2048, 4096);
    product(4096);
    product(16384);
    return 0;
}
#endif
