// Convolution's kernel gym: GFLOP/s of every pass at usual sizes, against the multiply-add peak
// that this machine reaches in a register loop at the same moment. Padded taps count as work not
// done.
//     conv_gym [threads...] [part of a case's name]        (1 and 2 threads when none is given)
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "backend/cpu/conv.h"
#include "engine/pool.h"

namespace sn::cpu {
#if defined(SN_HAVE_AVX2)
namespace avx2 {
const ConvKernels& conv_kernels();
}
#endif
#if defined(SN_HAVE_AVX512)
namespace avx512 {
const ConvKernels& conv_kernels();
}
#endif
#if defined(SN_HAVE_NEON)
namespace neon {
const ConvKernels& conv_kernels();
}
#endif
}  // namespace sn::cpu

namespace {

using namespace sn;
using namespace sn::cpu;

// With one thread the time of the processor is counted, so that a busy machine still gives numbers.
bool processor_time = false;
double now() {
    if (processor_time) {
        timespec t;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
    }
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// Twelve independent chains of the widest vectors: nothing but multiply-adds.
#if defined(__x86_64__)
__attribute__((target("avx512f"))) void peak_512(int64_t steps) {
    __m512 acc[12], a = _mm512_set1_ps(1.0f), b = _mm512_set1_ps(1e-9f);
    for (auto& v : acc) v = _mm512_setzero_ps();
    for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 12
        for (int j = 0; j < 12; ++j) acc[j] = _mm512_fmadd_ps(acc[j], a, b);
        asm volatile("" : "+v"(a), "+v"(b));
    }
    for (auto& v : acc) asm volatile("" : : "v"(v));
}
__attribute__((target("avx2,fma"))) void peak_256(int64_t steps) {
    __m256 acc[12], a = _mm256_set1_ps(1.0f), b = _mm256_set1_ps(1e-9f);
    for (auto& v : acc) v = _mm256_setzero_ps();
    for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 12
        for (int j = 0; j < 12; ++j) acc[j] = _mm256_fmadd_ps(acc[j], a, b);
        asm volatile("" : "+x"(a), "+x"(b));
    }
    for (auto& v : acc) asm volatile("" : : "x"(v));
}
#endif

double measure_peak(bool wide, int threads) {
    double best = 0;
    for (int repeat = 0; repeat < 5; ++repeat) {
        const int64_t steps = 2000000;
        const double begin = now();
        parallel_for(threads, 1, [&](int64_t, int64_t) {
#if defined(__x86_64__)
            if (wide)
                peak_512(steps);
            else
                peak_256(steps);
#endif
        });
        const double flops = 2.0 * steps * 12 * (wide ? 16 : 8) * threads;
        best = std::max(best, flops / (now() - begin));
    }
    return best * 1e-9;
}

struct Case {
    const char* name;
    int64_t batch, in, out, groups, size, kernel, stride, padding;
};

const Case kCases[] = {
    {"resnet 3x3  64 @56", 8, 64, 64, 1, 56, 3, 1, 1},
    {"resnet 3x3 128 @28", 8, 128, 128, 1, 28, 3, 1, 1},
    {"resnet 3x3 256 @14", 16, 256, 256, 1, 14, 3, 1, 1},
    {"resnet 3x3 512 @7", 32, 512, 512, 1, 7, 3, 1, 1},
    {"resnet 3x3/2 128->256", 8, 128, 256, 1, 28, 3, 2, 1},
    {"resnet 1x1 256->64 @56", 8, 256, 64, 1, 56, 1, 1, 0},
    {"resnet 1x1/2 256->512", 8, 256, 512, 1, 28, 1, 2, 0},
    {"resnet 7x7/2 3->64", 4, 3, 64, 1, 224, 7, 2, 3},
    {"cifar 3x3 3->32 @32", 128, 3, 32, 1, 32, 3, 1, 1},
    {"mnist 3x3 1->32 @28", 128, 1, 32, 1, 28, 3, 1, 0},
    {"mnist 3x3 32->64 @26", 128, 32, 64, 1, 26, 3, 1, 0},
    {"mnist 5x5 1->32 @28", 128, 1, 32, 1, 28, 5, 1, 2},
    {"depthwise 3x3 144 @56", 8, 144, 144, 144, 56, 3, 1, 1},
    {"grouped 3x3 256/32 @14", 16, 256, 256, 32, 14, 3, 1, 1},
    {"batch 1 1x1 16->96 @112", 1, 16, 96, 1, 112, 1, 1, 0},
    {"batch 1 1x1 24->144 @56", 1, 24, 144, 1, 56, 1, 1, 0},
    {"batch 1 1x1 64->384 @14", 1, 64, 384, 1, 14, 1, 1, 0},
    {"batch 1 1x1 320->1280 @7", 1, 320, 1280, 1, 7, 1, 1, 0},
    {"batch 1 depthwise 384 @14", 1, 384, 384, 384, 14, 3, 1, 1},
    {"cifar 3x3 16->16 @32", 128, 16, 16, 1, 32, 3, 1, 1},
    {"batch 1 3x3 512 @7", 1, 512, 512, 1, 7, 3, 1, 1},
    {"generator 3x3 64->3 @64", 8, 64, 3, 1, 64, 3, 1, 1},
};

// Multiply-adds inside the image.
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

// Aligned as tensors are.
struct Floats {
    Floats(int64_t n, float value)
        : size(n),
          data(static_cast<float*>(
              std::aligned_alloc(64, (static_cast<size_t>(n) * 4 + 63) / 64 * 64))) {
        std::fill(data, data + n, value);
    }
    ~Floats() { std::free(data); }
    Floats(const Floats&) = delete;
    Floats& operator=(const Floats&) = delete;
    int64_t size;
    float* data;
};

template <class F>
double best_time(F&& run) {
    double best = 1e9, total = 0;
    run();
    for (int i = 0; i < 40 && (total < 0.25 || i < 4); ++i) {
        const double begin = now();
        run();
        const double t = now() - begin;
        best = std::min(best, t);
        total += t;
    }
    return best;
}

void run_case(const ConvKernels& kernels, const Case& c, double peak) {
    ConvShape s;
    s.batch = c.batch, s.in_channels = c.in, s.out_channels = c.out, s.groups = c.groups;
    for (int d = 1; d < 3; ++d) {
        s.in[d] = c.size, s.kernel[d] = c.kernel, s.stride[d] = c.stride, s.pad_lo[d] = c.padding;
        s.out[d] = (c.size + 2 * c.padding - c.kernel) / c.stride + 1;
    }
    const int64_t taps = c.kernel * c.kernel, in = c.in / c.groups;
    const Floats x(c.batch * c.size * c.size * c.in, 0.5f), dx(x.size, 0);
    const Floats y(c.batch * s.out[1] * s.out[2] * c.out, 0.25f), dy(y.size, 0.25f);
    const Floats w(c.out * in * taps, 0.125f), dw(w.size, 0);
    ConvWeight weight;
    weight.data = w.data;
    const int64_t strides[5] = {in * taps, taps, taps, c.kernel, 1};
    std::memcpy(weight.strides, strides, sizeof strides);
    const double forward = best_time([&] { kernels.forward(s, x.data, weight, y.data, nullptr); });
    const double data = best_time([&] { kernels.data_grad(s, dy.data, weight, dx.data, nullptr); });
    const double grad =
        best_time([&] { kernels.weight_grad(s, x.data, dy.data, dw.data, strides); });
    const double flops = 2e-9 * work_of(s);
    auto percent = [&](double time) { return 100 * flops / time / peak; };
    std::printf("%-24s %7.3f ms %4.0f %%   %7.3f ms %4.0f %%   %7.3f ms %4.0f %%   %4.0f %%\n",
                c.name, forward * 1e3, percent(forward), data * 1e3, percent(data), grad * 1e3,
                percent(grad), percent((forward + data + grad) / 3));
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    const ConvKernels* kernels = nullptr;
    bool wide = false;
    const char* isa = std::getenv("SENNIT_ISA");
#if defined(SN_HAVE_AVX2)
    kernels = &avx2::conv_kernels();
#endif
#if defined(SN_HAVE_AVX512)
    if (__builtin_cpu_supports("avx512vl") && (!isa || !std::strcmp(isa, "avx512"))) {
        kernels = &avx512::conv_kernels();
        wide = true;
    }
#endif
#if defined(SN_HAVE_NEON)
    kernels = &neon::conv_kernels();
#endif
    (void)isa;
    std::vector<int> counts;
    const char* only = nullptr;
    for (int i = 1; i < argc; ++i)
        if (std::strlen(argv[i]) <= 2)
            counts.push_back(std::atoi(argv[i]));
        else
            only = argv[i];
    if (counts.empty()) counts = {1, 2};
    for (int threads : counts) {
        set_pool_threads(threads);
        processor_time = threads == 1;
        const double peak = measure_peak(wide, threads);
        std::printf("%d threads, %d x %d tile, peak %.0f GFLOP/s\n%-24s %17s   %17s   %17s   all\n",
                    threads, kernels->tile_rows, kernels->tile_cols, peak, "", "forward",
                    "data gradient", "weight gradient");
        for (const Case& c : kCases)
            if (!only || std::strstr(c.name, only)) run_case(*kernels, c, peak);
    }
}
