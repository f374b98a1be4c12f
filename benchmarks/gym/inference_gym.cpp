// The convolutions of small networks at inference: forward passes alone, weights packed before, and
// the bias and relu6 on the accumulators. Percent of the multiply-add peak that this machine
// reaches in a register loop at the same moment; padded taps count as work not done.
//     inference_gym [threads] [part of a case's name]
// Operands rotate through several buffers: a network's layers do not find theirs in the first-level
// cache either.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include "backend/cpu/conv.h"
#include "backend/cpu/pooling.h"
#include "engine/pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sn::cpu {
#if defined(SN_HAVE_AVX2)
namespace avx2 {
const ConvKernels& conv_kernels();
const PoolKernels& pool_kernels();
}  // namespace avx2
#endif
#if defined(SN_HAVE_AVX512)
namespace avx512 {
const ConvKernels& conv_kernels();
const PoolKernels& pool_kernels();
}  // namespace avx512
#endif
#if defined(SN_HAVE_NEON)
namespace neon {
const ConvKernels& conv_kernels();
const PoolKernels& pool_kernels();
}  // namespace neon
#endif
}  // namespace sn::cpu

namespace {

using namespace sn;
using namespace sn::cpu;

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// What one core can do: independent chains of multiply-adds.
#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) double peak_256() {
    double best = 0;
    for (int repeat = 0; repeat < 5; ++repeat) {
        constexpr int64_t kSteps = 1000000;
        __m256 acc[12], a = _mm256_set1_ps(1.0f), b = _mm256_set1_ps(1e-9f);
        for (auto& v : acc) v = _mm256_setzero_ps();
        const double begin = now();
        for (int64_t i = 0; i < kSteps; ++i) {
#pragma GCC unroll 12
            for (int j = 0; j < 12; ++j) acc[j] = _mm256_fmadd_ps(acc[j], a, b);
            asm volatile("" : "+x"(a), "+x"(b));
        }
        for (auto& v : acc) asm volatile("" : : "x"(v));
        best = std::max(best, 12.0 * 8 * kSteps / (now() - begin));
    }
    return best;
}
#else
double peak_256() { return 1e9; }
#endif

struct Case {
    const char* name;
    int64_t batch, in, out, groups, height, width, kernel, stride, padding, dilation;
};

const Case kCases[] = {
    {"mnist 5x5 1->8 @28", 1, 1, 8, 1, 28, 28, 5, 1, 2, 1},
    {"mnist 5x5 8->16 @14", 1, 8, 16, 1, 14, 14, 5, 1, 2, 1},
    {"ultraface 3x3/2 3->16", 1, 3, 16, 1, 240, 320, 3, 2, 1, 1},
    {"ultraface dw 16 @120", 1, 16, 16, 16, 120, 160, 3, 1, 1, 1},
    {"ultraface 1x1 16->32 @120", 1, 16, 32, 1, 120, 160, 1, 1, 0, 1},
    {"ultraface dw/2 32 @120", 1, 32, 32, 32, 120, 160, 3, 2, 1, 1},
    {"ultraface 1x1 32->32 @60", 1, 32, 32, 1, 60, 80, 1, 1, 0, 1},
    {"ultraface dw 32 @60", 1, 32, 32, 32, 60, 80, 3, 1, 1, 1},
    {"ultraface 1x1 64->64 @30", 1, 64, 64, 1, 30, 40, 1, 1, 0, 1},
    {"ultraface 1x1 64->8 @30", 1, 64, 8, 1, 30, 40, 1, 1, 0, 1},
    {"ultraface 3x3 8->16 @30", 1, 8, 16, 1, 30, 40, 3, 1, 1, 1},
    {"ultraface 3x3 16->16 d2", 1, 16, 16, 1, 30, 40, 3, 1, 2, 2},
    {"ultraface 3x3 12->16 @30", 1, 12, 16, 1, 30, 40, 3, 1, 1, 1},
    {"mobilenet 3x3/2 3->32", 1, 3, 32, 1, 224, 224, 3, 2, 1, 1},
    {"mobilenet dw 32 @112", 1, 32, 32, 32, 112, 112, 3, 1, 1, 1},
    {"mobilenet 1x1 32->16 @112", 1, 32, 16, 1, 112, 112, 1, 1, 0, 1},
    {"mobilenet 1x1 16->96 @112", 1, 16, 96, 1, 112, 112, 1, 1, 0, 1},
    {"mobilenet dw/2 96 @112", 1, 96, 96, 96, 112, 112, 3, 2, 1, 1},
    {"mobilenet 1x1 96->24 @56", 1, 96, 24, 1, 56, 56, 1, 1, 0, 1},
    {"mobilenet 1x1 24->144 @56", 1, 24, 144, 1, 56, 56, 1, 1, 0, 1},
    {"mobilenet dw 144 @56", 1, 144, 144, 144, 56, 56, 3, 1, 1, 1},
    {"mobilenet 1x1 144->24 @56", 1, 144, 24, 1, 56, 56, 1, 1, 0, 1},
    {"mobilenet 1x1 192->32 @28", 1, 192, 32, 1, 28, 28, 1, 1, 0, 1},
    {"mobilenet 1x1 32->192 @28", 1, 32, 192, 1, 28, 28, 1, 1, 0, 1},
    {"mobilenet 1x1 64->384 @14", 1, 64, 384, 1, 14, 14, 1, 1, 0, 1},
    {"mobilenet 1x1 384->64 @14", 1, 384, 64, 1, 14, 14, 1, 1, 0, 1},
    {"mobilenet 1x1 96->576 @14", 1, 96, 576, 1, 14, 14, 1, 1, 0, 1},
    {"mobilenet 1x1 576->96 @14", 1, 576, 96, 1, 14, 14, 1, 1, 0, 1},
    {"mobilenet dw 384 @14", 1, 384, 384, 384, 14, 14, 3, 1, 1, 1},
    {"mobilenet 1x1 160->960 @7", 1, 160, 960, 1, 7, 7, 1, 1, 0, 1},
    {"mobilenet 1x1 960->160 @7", 1, 960, 160, 1, 7, 7, 1, 1, 0, 1},
    {"mobilenet 1x1 320->1280 @7", 1, 320, 1280, 1, 7, 7, 1, 1, 0, 1},
    {"batch 16 dw/2 96 @112", 16, 96, 96, 96, 112, 112, 3, 2, 1, 1},
    {"batch 16 dw 144 @56", 16, 144, 144, 144, 56, 56, 3, 1, 1, 1},
    {"batch 16 dw 192 @28", 16, 192, 192, 192, 28, 28, 3, 1, 1, 1},
    {"batch 16 dw 384 @14", 16, 384, 384, 384, 14, 14, 3, 1, 1, 1},
    {"batch 16 1x1 96->24 @56", 16, 96, 24, 1, 56, 56, 1, 1, 0, 1},
    {"batch 16 1x1 144->24 @56", 16, 144, 24, 1, 56, 56, 1, 1, 0, 1},
    {"batch 16 1x1 192->32 @28", 16, 192, 32, 1, 28, 28, 1, 1, 0, 1},
    {"batch 16 1x1 384->64 @14", 16, 384, 64, 1, 14, 14, 1, 1, 0, 1},
    {"resnet 3x3 64 @56", 1, 64, 64, 1, 56, 56, 3, 1, 1, 1},
    {"resnet 3x3 512 @7", 1, 512, 512, 1, 7, 7, 3, 1, 1, 1},
    {"resnet 1x1 64->256 @56", 1, 64, 256, 1, 56, 56, 1, 1, 0, 1},
    {"resnet 1x1 256->64 @56", 1, 256, 64, 1, 56, 56, 1, 1, 0, 1},
    {"resnet 1x1 1024->256 @14", 1, 1024, 256, 1, 14, 14, 1, 1, 0, 1},
    {"resnet 7x7/2 3->64", 1, 3, 64, 1, 224, 224, 7, 2, 3, 1},
    {"dnsmos 3x3 1->128", 1, 1, 128, 1, 900, 161, 3, 1, 1, 1},
    {"dnsmos 3x3 64->32", 1, 64, 32, 1, 900, 161, 3, 1, 1, 1},
};

struct Pool {
    const char* name;
    int64_t channels, height, width, kernel, stride;
};
const Pool kPools[] = {
    {"max 2x2/2 8 @28", 8, 28, 28, 2, 2},      {"max 3x3/3 16 @14", 16, 14, 14, 3, 3},
    {"max 3x3/2 64 @112", 64, 112, 112, 3, 2}, {"max 2x2/2 32 @450", 32, 450, 80, 2, 2},
    {"max 2x2/2 200 @2", 200, 2, 96, 2, 2},
};

double work_of(const ConvShape& s) {
    double taps = 1;
    for (int d = 0; d < 3; ++d) {
        int64_t n = 0;
        for (int64_t o = 0; o < s.out[d]; ++o)
            for (int64_t t = 0; t < s.kernel[d]; ++t) {
                const int64_t i = o * s.stride[d] - s.pad_lo[d] + t * s.dilation[d];
                n += i >= 0 && i < s.in[d];
            }
        taps *= static_cast<double>(n);
    }
    return taps * static_cast<double>(s.batch * s.out_channels * (s.in_channels / s.groups));
}

// Buffers that take turns, some megabytes of them together.
struct Buffers {
    Buffers(int64_t n, float value) {
        const size_t bytes = (static_cast<size_t>(n) * 4 + 4095) / 4096 * 4096;
        const size_t count = std::clamp<size_t>((size_t{2} << 20) / bytes, 1, 8);
        for (size_t i = 0; i < count; ++i) {
            auto* p = static_cast<float*>(std::aligned_alloc(4096, bytes));
            std::fill(p, p + n, value);
            list.push_back(p);
        }
    }
    ~Buffers() {
        for (float* p : list) std::free(p);
    }
    Buffers(const Buffers&) = delete;
    Buffers& operator=(const Buffers&) = delete;
    float* next() { return list[at++ % list.size()]; }
    std::vector<float*> list;
    size_t at = 0;
};

template <class F>
double quiet_time(F&& run) {
    std::vector<double> times;
    double total = 0;
    for (int i = 0; i < 3; ++i) run();
    while (times.size() < 2000 && (total < 0.15 || times.size() < 5)) {
        const double begin = now();
        run();
        times.push_back(now() - begin);
        total += times.back();
    }
    // The tenth part: what the machine does when nobody disturbs it.
    const auto at = times.begin() + static_cast<long>(times.size() / 10);
    std::nth_element(times.begin(), at, times.end());
    return *at;
}

ConvShape shape_of(const Case& c) {
    ConvShape s;
    s.batch = c.batch, s.in_channels = c.in, s.out_channels = c.out, s.groups = c.groups;
    const int64_t size[3] = {1, c.height, c.width};
    for (int d = 1; d < 3; ++d) {
        s.in[d] = size[d], s.kernel[d] = c.kernel, s.stride[d] = c.stride;
        s.pad_lo[d] = c.padding, s.dilation[d] = c.dilation;
        s.out[d] = (size[d] + 2 * c.padding - c.dilation * (c.kernel - 1) - 1) / c.stride + 1;
    }
    return s;
}

void run_case(const ConvKernels& kernels, const Case& c, double peak) {
    const ConvShape s = shape_of(c);
    const int64_t taps = c.kernel * c.kernel, in = c.in / c.groups;
    const int64_t pixels = c.batch * s.out[1] * s.out[2];
    Buffers x(c.batch * c.height * c.width * c.in, 0.5f), y(pixels * c.out, 0);
    Buffers w(c.out * in * taps, 0.125f), bias(c.out + 16, 0.25f);
    ConvWeight weight;
    weight.data = w.next();
    const int64_t strides[5] = {in * taps, taps, taps, c.kernel, 1};
    std::memcpy(weight.strides, strides, sizeof strides);
    Buffers packed(
        static_cast<int64_t>(kernels.packed_weight_bytes(s, ConvPass::kForward) / 4 + 16), 0);
    for (float* p : packed.list) kernels.pack_weight(s, ConvPass::kForward, weight, p);
    alignas(64) float low[16] = {}, high[16];
    std::fill(high, high + 16, 6.0f);
    TileStep list[2] = {};
    list[0].kind = TileStepKind::kBias;
    list[0].of[0] = {reinterpret_cast<const char*>(bias.next()), 0, 4};
    list[1].kind = TileStepKind::kClip;
    list[1].of[0] = {reinterpret_cast<const char*>(low), 0, 0};
    list[1].of[1] = {reinterpret_cast<const char*>(high), 0, 0};
    TileSteps steps{list, 2, nullptr, c.out * 4};
    Epilogue epilogue{};
    epilogue.tile_in_output = true;
    epilogue.rows = pixels;
    epilogue.steps = &steps;
    const double time = quiet_time([&] {
        weight.packed = packed.next();
        float* const to = y.next();
        steps.result = reinterpret_cast<char*>(to);
        kernels.forward(s, x.next(), weight, to, &epilogue);
    });
    const double work = work_of(s);
    std::printf("%-28s %9.1f us %5.0f %% of the peak\n", c.name, time * 1e6,
                100 * work / time / peak);
    std::fflush(stdout);
}

void run_pool(const PoolKernels& kernels, const Pool& p) {
    PoolShape s;
    s.channels = p.channels;
    const int64_t size[3] = {1, p.height, p.width};
    for (int d = 1; d < 3; ++d) {
        s.in[d] = size[d], s.kernel[d] = p.kernel, s.stride[d] = p.stride;
        s.out[d] = (size[d] - p.kernel) / p.stride + 1;
    }
    Buffers x(p.height * p.width * p.channels, 0.5f), y(s.out[1] * s.out[2] * p.channels, 0);
    std::vector<int64_t> index(static_cast<size_t>(s.out[1] * s.out[2] * p.channels));
    const double alone = quiet_time([&] { kernels.max_forward(s, x.next(), y.next(), nullptr); });
    const double both =
        quiet_time([&] { kernels.max_forward(s, x.next(), y.next(), index.data()); });
    std::printf("%-28s %9.1f us, with places %9.1f us\n", p.name, alone * 1e6, both * 1e6);
}

}  // namespace

int main(int argc, char** argv) {
    const ConvKernels* kernels = nullptr;
    const PoolKernels* pools = nullptr;
#if defined(SN_HAVE_AVX2)
    kernels = &avx2::conv_kernels();
    pools = &avx2::pool_kernels();
#endif
#if defined(SN_HAVE_AVX512)
    const char* isa = std::getenv("SENNIT_ISA");
    if (__builtin_cpu_supports("avx512vl") && (!isa || !std::strcmp(isa, "avx512"))) {
        kernels = &avx512::conv_kernels();
        pools = &avx512::pool_kernels();
    }
#endif
#if defined(SN_HAVE_NEON)
    kernels = &neon::conv_kernels();
    pools = &neon::pool_kernels();
#endif
    int threads = 1;
    const char* only = nullptr;
    for (int i = 1; i < argc; ++i)
        if (std::strlen(argv[i]) <= 2)
            threads = std::atoi(argv[i]);
        else
            only = argv[i];
    set_pool_threads(threads);
    const double peak = peak_256() * threads;
    std::printf("%d threads, peak %.1f GFLOP/s (AVX2)\n", threads, 2e-9 * peak);
    for (const Case& c : kCases)
        if (!only || std::strstr(c.name, only)) run_case(*kernels, c, peak);
    for (const Pool& p : kPools)
        if (!only || std::strstr(p.name, only)) run_pool(*pools, p);
}
