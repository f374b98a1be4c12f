// Kernel gym of the matrix core: speeds as a share of the machine's multiply-add peak, which a
// loop over registers measures first. Usage: gemm_gym [avx512|avx2|v2|neon] [max square]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "backend/cpu/gemm.h"
#include "engine/pool.h"

#if defined(__x86_64__)
#define SN_GYM_LEVELS(X) X(avx512) X(avx2) X(v2)
#else
#define SN_GYM_LEVELS(X) X(neon)
#endif
#define SN_DECLARE(isa)                \
    namespace sn::cpu::isa {           \
    const GemmKernels& gemm_kernels(); \
    }
SN_GYM_LEVELS(SN_DECLARE)

using namespace sn;
using namespace sn::cpu;

namespace {

double now() {
    using namespace std::chrono;
    return duration<double>(steady_clock::now().time_since_epoch()).count();
}

// Best time of one call: other processes can only slow a run down.
double best_time(const std::function<void()>& body, double seconds = 0.4) {
    body();
    double t0 = now();
    body();
    const double once = std::max(now() - t0, 1e-8);
    const int repeat = int(std::max(1.0, std::min(2e5, 2e-3 / once)));
    double best = 1e9;
    const double end = now() + seconds;
    for (int i = 0; i < 5 || now() < end; ++i) {
        t0 = now();
        for (int r = 0; r < repeat; ++r) body();
        best = std::min(best, (now() - t0) / repeat);
    }
    return best;
}

#if defined(__x86_64__)
// Twelve independent chains on registers; returns floating operations.
#define SN_CHAINS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define SN_PEAK_LOOP(name, isa, V, set1, lanes)           \
    __attribute__((target(isa))) double name(int64_t n) { \
        const V a = set1(0.999f), b = set1(1e-6f);        \
        SN_CHAINS(SN_CHAIN_START)                         \
        for (int64_t i = 0; i < n; ++i) {                 \
            SN_CHAINS(SN_CHAIN_STEP)                      \
        }                                                 \
        return double(n) * 12 * 2 * lanes;                \
    }
#define SN_CHAIN_START(j) auto s##j = b;
#define SN_CHAIN_STEP(j)         \
    s##j = SN_FMADD(s##j, a, b); \
    asm volatile("" : "+v"(s##j));
#define SN_FMADD _mm512_fmadd_ps
SN_PEAK_LOOP(peak_loop_avx512, "avx512f", __m512, _mm512_set1_ps, 16)
#undef SN_FMADD
#define SN_FMADD _mm256_fmadd_ps
SN_PEAK_LOOP(peak_loop_avx2, "avx2,fma", __m256, _mm256_set1_ps, 8)
#endif

double measure_peak(const std::string& isa, int threads) {
    set_pool_threads(threads);
    double best = 0;
    for (int i = 0; i < 40; ++i) {
        double flops = 0;
        const double t0 = now();
        std::vector<double> done(threads, 0.0);
        parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
            for (int64_t t = begin; t < end; ++t) {
#if defined(__x86_64__)
                done[t] = isa == "avx512" ? peak_loop_avx512(2000000) : peak_loop_avx2(2000000);
#endif
            }
        });
        for (double d : done) flops += d;
        best = std::max(best, flops / (now() - t0));
    }
    return best;
}

struct Buffer {
    void* data;
    explicit Buffer(size_t bytes) {
        bytes = (bytes + (size_t{2} << 20) - 1) >> 21 << 21;
        data = std::aligned_alloc(size_t{2} << 20, bytes);
#if defined(__linux__)
        madvise(data, bytes, MADV_HUGEPAGE);
#endif
        memset(data, 0, bytes);
    }
    ~Buffer() { std::free(data); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
};

const GemmKernels* kernels;
double peak[3];

struct Shape {
    const char* name;
    int64_t m, n, k;
    const char* layout;  // NN NT TN TT
    int64_t batch = 1;
    DType dtype = DType::kF32;
};

void bench(const Shape& s) {
    const size_t size = dtype_size(s.dtype);
    Buffer a(size_t(s.batch * s.m * s.k) * size), b(size_t(s.batch * s.k * s.n) * size),
        c(size_t(s.batch * s.m * s.n) * size);
    if (s.dtype == DType::kF32) {
        for (int64_t i = 0; i < s.batch * s.m * s.k; ++i)
            static_cast<float*>(a.data)[i] = float(i % 7) - 3;
        for (int64_t i = 0; i < s.batch * s.k * s.n; ++i)
            static_cast<float*>(b.data)[i] = float(i % 5) - 2;
    }
    const bool ta = s.layout[0] == 'T', tb = s.layout[1] == 'T';
    GemmCall call{s.m,
                  s.n,
                  s.k,
                  {a.data, s.dtype, ta ? 1 : s.k, ta ? s.m : 1},
                  {b.data, s.dtype, tb ? 1 : s.n, tb ? s.k : 1},
                  c.data,
                  s.dtype,
                  s.n};
    std::vector<int64_t> ao, bo, co;
    for (int64_t i = 0; i < s.batch; ++i)
        ao.push_back(i * s.m * s.k), bo.push_back(i * s.k * s.n), co.push_back(i * s.m * s.n);
    if (s.batch > 1) {
        call.batch = s.batch;
        call.a_offsets = ao.data(), call.b_offsets = bo.data(), call.c_offsets = co.data();
    }
    const double flops = 2.0 * s.m * s.n * s.k * s.batch;
    const double bytes = double(s.m * s.k + s.k * s.n + s.m * s.n) * s.batch * double(size);
    printf("%-26s %s", s.name, s.layout);
    for (int threads = 1; threads <= 2; ++threads) {
        set_pool_threads(threads);
        const double t = best_time([&] { kernels->gemm(call); });
        const double scale = s.dtype == DType::kF64 ? 0.5 : 1.0;
        printf("   %9.2f us %6.1f GF/s %5.1f%% %5.1f GB/s", t * 1e6, flops / t * 1e-9,
               100 * flops / t / peak[threads] / scale, bytes / t * 1e-9);
    }
    printf("\n");
    fflush(stdout);
}

double read_bandwidth(int threads) {
    set_pool_threads(threads);
    const size_t bytes = size_t{256} << 20;
    Buffer buffer(bytes);
    const auto* data = static_cast<const uint64_t*>(buffer.data);
    std::vector<uint64_t> sums(64);
    const double t = best_time([&] {
        parallel_for(64, 1, [&](int64_t begin, int64_t end) {
            uint64_t s[8] = {};
            for (size_t i = size_t(begin) * bytes / 64 / 8; i < size_t(end) * bytes / 64 / 8;
                 i += 8)
                for (int j = 0; j < 8; ++j) s[j] += data[i + j];
            sums[begin] = s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
        });
    });
    return double(bytes) / t;
}

// Error of the f32 product against f64, in units of the last place of sum |a b|.
void accuracy() {
    for (const int64_t k : {256, 1024, 4096, 16384, 65536}) {
        const int64_t m = 24, n = 64;
        std::vector<float> a(m * k), b(k * n), c(m * n);
        uint32_t state = 1;
        const auto next = [&] {
            state = state * 1664525u + 1013904223u;
            return float(state >> 8) / float(1 << 24);
        };
        printf("error at k = %6ld:", long(k));
        for (const bool positive : {false, true}) {
            for (float& x : a) x = positive ? next() : next() - 0.5f;
            for (float& x : b) x = positive ? next() : next() - 0.5f;
            GemmCall call{m,
                          n,
                          k,
                          {a.data(), DType::kF32, k, 1},
                          {b.data(), DType::kF32, n, 1},
                          c.data(),
                          DType::kF32,
                          n};
            kernels->gemm(call);
            double worst = 0, square = 0;
            for (int64_t i = 0; i < m; ++i)
                for (int64_t j = 0; j < n; ++j) {
                    double sum = 0, size = 0;
                    for (int64_t x = 0; x < k; ++x) {
                        const double t = double(a[i * k + x]) * b[x * n + j];
                        sum += t, size += std::abs(t);
                    }
                    const double e = std::abs(c[i * n + j] - sum) / (size * 0x1p-24);
                    worst = std::max(worst, e), square += e * e;
                }
            printf("  %s worst %6.2f rms %6.3f", positive ? "one sign" : "mixed signs", worst,
                   std::sqrt(square / double(m * n)));
        }
        printf("\n");
    }
}

}  // namespace

int main(int argc, char** argv) {
#if defined(__x86_64__)
    const std::string isa = argc > 1                            ? argv[1]
                            : __builtin_cpu_supports("avx512f") ? "avx512"
                                                                : "avx2";
    kernels = isa == "avx512" ? &avx512::gemm_kernels()
              : isa == "avx2" ? &avx2::gemm_kernels()
                              : &v2::gemm_kernels();
#else
    const std::string isa = "neon";
    kernels = &neon::gemm_kernels();
#endif
    const int64_t largest = argc > 2 ? std::atoll(argv[2]) : 4096;
    const std::string only = argc > 3 ? argv[3] : "";
    for (int threads : {1, 2}) peak[threads] = std::max(1.0, measure_peak(isa, threads));
    printf(
        "%s: multiply-add peak %.1f GFLOP/s on one thread, %.1f on two; reads %.1f and %.1f "
        "GB/s\n",
        isa.c_str(), peak[1] * 1e-9, peak[2] * 1e-9, read_bandwidth(1) * 1e-9,
        read_bandwidth(2) * 1e-9);
    if (only == "accuracy") return accuracy(), 0;
    printf("%-29s   one thread%32s   two threads\n", "shape", "");
    if (only.empty() || only == "square")
        for (const int64_t s : {512, 1024, 2048, 4096}) {
            if (s > largest) break;
            for (const char* layout : {"NN", "NT", "TN", "TT"}) {
                const std::string name = "square " + std::to_string(s);
                bench({name.c_str(), s, s, s, layout});
            }
        }
    if (only.empty() || only == "f64")
        for (const int64_t s : {512, 1024})
            for (const char* layout : {"NN", "TT"})
                bench({s == 512 ? "f64 512" : "f64 1024", s, s, s, layout, 1, DType::kF64});
    if (only.empty() || only == "skinny")
        for (const char* layout : {"NN", "NT"}) {
            bench({"1x4096 4096x4096", 1, 4096, 4096, layout});
            bench({"2x4096 4096x4096", 2, 4096, 4096, layout});
            bench({"8x4096 4096x4096", 8, 4096, 4096, layout});
            bench({"32x4096 4096x4096", 32, 4096, 4096, layout});
            bench({"128x784 784x512", 128, 512, 784, layout});
            bench({"128x512 512x10", 128, 10, 512, layout});
        }
    if (only.empty() || only == "backward") {
        bench({"784x128 128x512", 784, 512, 128, "TN"});
        bench({"512x128 128x784", 512, 784, 128, "TN"});
        bench({"128x512 512x784", 128, 784, 512, "NN"});
        bench({"512x128 128x10", 512, 10, 128, "TN"});
        bench({"4096x4096 4096x1", 4096, 1, 4096, "NN"});
        bench({"4096x4096 4096x1", 4096, 1, 4096, "TN"});
        bench({"10x60000 60000x64", 10, 64, 60000, "TN"});
        bench({"60000x784 784x128", 60000, 128, 784, "NN"});
    }
    if (only.empty() || only == "layers") {  // of a small GPT
        for (const char* layout : {"NT", "NN"}) {
            bench({"4096x128 128x128", 4096, 128, 128, layout});
            bench({"4096x128 128x384", 4096, 384, 128, layout});
            bench({"4096x128 128x512", 4096, 512, 128, layout});
            bench({"4096x512 512x128", 4096, 128, 512, layout});
        }
        bench({"512x4096 4096x128", 512, 128, 4096, "TN"});
        bench({"128x4096 4096x512", 128, 512, 4096, "TN"});
        bench({"128x4096 4096x128", 128, 128, 4096, "TN"});
    }
    if (only.empty() || only == "small") {
        for (const char* layout : {"NN", "NT", "TN"}) {
            bench({"32x2 2x16", 32, 16, 2, layout});
            bench({"32x16 16x16", 32, 16, 16, layout});
            bench({"32x16 16x1", 32, 1, 16, layout});
            bench({"1x16 16x16", 1, 16, 16, layout});
            bench({"64x64 64x64", 64, 64, 64, layout});
            bench({"128x128 128x128", 128, 128, 128, layout});
            bench({"batch 128: 128x32 32x128", 128, 128, 32, layout, 128});
            bench({"batch 128: 128x128 128x32", 128, 32, 128, layout, 128});
        }
    }
    if (only.empty() || only == "half")
        for (const DType d : {DType::kBF16, DType::kF16})
            for (const char* layout : {"NN", "NT"}) {
                bench({d == DType::kF16 ? "f16 512" : "bf16 512", 512, 512, 512, layout, 1, d});
                bench({d == DType::kF16 ? "f16 1x4096 4096x4096" : "bf16 1x4096 4096x4096", 1, 4096,
                       4096, layout, 1, d});
            }
    if (only.empty()) accuracy();
    return 0;
}
