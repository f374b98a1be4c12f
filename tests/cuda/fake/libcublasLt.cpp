// cuBLASLt without a GPU, for tests: the functions that Sennit uses, as NVIDIA documents them, for
// f16, bf16 and f32. A product is a kernel of the fake driver (libcuda.cpp), which runs it when the
// stream gets there. Factors are rounded as the compute type says; sums are f64, so that results
// differ from those of Sennit's own kernels, as the real library's do.
//
// Set by the environment:
//   SENNIT_FAKE_BLAS=130000        its version
//   SENNIT_FAKE_BLAS_REFUSES=0     1: the heuristic finds no algorithm; 2: the product is refused
//   SENNIT_FAKE_BLAS_WORKSPACE=0   MiB that an algorithm wants where it may have them
//   SENNIT_FAKE_BLAS_BROKEN=0      1: no handle can be made
#include <dlfcn.h>

#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#define API extern "C" __attribute__((visibility("default")))

namespace {

enum : int { kSuccess = 0, kNotInitialized = 1, kInvalidValue = 7, kNotSupported = 15 };
enum : int { kF32 = 0, kF16 = 2, kBF16 = 14 };
enum : int { kCompute32 = 68, kCompute16BF = 75, kComputeTF32 = 77 };

long setting(const char* name, long otherwise) {
    const char* text = std::getenv(name);
    return text ? std::atol(text) : otherwise;
}

// As tests/cuda/shim/cuda_shim.h has it.
struct ShimLaunch {
    uint32_t blocks[3];
    uint32_t threads[3];
    uint32_t shared_bytes;
};

size_t size_of(int type) { return type == kF32 ? 4 : 2; }

float read(const char* base, int64_t at, int type) {
    const char* p = base + at * static_cast<int64_t>(size_of(type));
    if (type == kF32) {
        float v;
        std::memcpy(&v, p, 4);
        return v;
    }
    uint16_t w;
    std::memcpy(&w, p, 2);
    if (type == kBF16) return std::bit_cast<float>(static_cast<uint32_t>(w) << 16);
    return static_cast<float>(std::bit_cast<_Float16>(w));
}

// To nearest even, with `dropped` bits of the fraction gone.
float rounded(float v, int dropped) {
    auto w = std::bit_cast<uint32_t>(v);
    if ((w >> 23 & 0xff) == 0xff) return v;
    w += (1u << (dropped - 1)) - 1 + (w >> dropped & 1);
    return std::bit_cast<float>(w >> dropped << dropped);
}

void write(char* base, int64_t at, int type, double value) {
    char* p = base + at * static_cast<int64_t>(size_of(type));
    const auto v = static_cast<float>(value);
    if (type == kF32) {
        std::memcpy(p, &v, 4);
        return;
    }
    uint16_t w;
    if (type == kBF16)
        w = static_cast<uint16_t>(std::bit_cast<uint32_t>(rounded(v, 16)) >> 16);
    else
        w = std::bit_cast<uint16_t>(static_cast<_Float16>(v));
    std::memcpy(p, &w, 2);
}

}  // namespace

struct cublasLtContext {
    int unused;
};
struct cublasLtMatmulDescOpaque_t {
    int compute, scale;
    int32_t transposed[2] = {0, 0};
};
struct cublasLtMatrixLayoutOpaque_t {
    int type;
    uint64_t rows, columns;
    int64_t ld;
    int32_t batch = 1;
    int64_t step = 0;
};
struct cublasLtMatmulPreferenceOpaque_t {
    uint64_t workspace = 0;
    uint32_t schemes = 7;
    uint32_t aligned[4] = {256, 256, 256, 256};
};
using Matmul = cublasLtMatmulDescOpaque_t;
using Layout = cublasLtMatrixLayoutOpaque_t;
using Preference = cublasLtMatmulPreferenceOpaque_t;

struct Algorithm {
    uint64_t data[8];
};
struct Heuristic {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

namespace {

struct Product {
    Matmul matmul;
    Layout a, b, d;
    const char *a_at, *b_at;
    char *d_at, *workspace;
    size_t workspace_bytes;
};

void compute(const ShimLaunch*, const void* words) {
    Product p;
    std::memcpy(&p, words, sizeof p);
    std::memset(p.workspace, 0x5a, p.workspace_bytes);  // it is ours
    const auto factor = [&](const char* base, const Layout& m, int64_t batch, uint64_t i,
                            uint64_t j, bool turned) {
        const uint64_t row = turned ? j : i, column = turned ? i : j;
        const float v = read(
            base, batch * m.step + static_cast<int64_t>(row) + static_cast<int64_t>(column) * m.ld,
            m.type);
        if (p.matmul.compute == kComputeTF32) return rounded(v, 13);
        if (p.matmul.compute == kCompute16BF) return rounded(v, 16);
        return v;
    };
    const uint64_t k = p.matmul.transposed[0] ? p.a.rows : p.a.columns;
    for (int64_t s = 0; s < p.d.batch; ++s) {
        for (uint64_t i = 0; i < p.d.rows; ++i) {
            for (uint64_t j = 0; j < p.d.columns; ++j) {
                double sum = 0;
                for (uint64_t l = 0; l < k; ++l)
                    sum += static_cast<double>(
                               factor(p.a_at, p.a, s, i, l, p.matmul.transposed[0] != 0)) *
                           factor(p.b_at, p.b, s, l, j, p.matmul.transposed[1] != 0);
                write(p.d_at,
                      s * p.d.step + static_cast<int64_t>(i) + static_cast<int64_t>(j) * p.d.ld,
                      p.d.type, sum);
            }
        }
    }
}

// As libcuda.cpp has it.
struct FakeFunction {
    void (*run)(const ShimLaunch*, const void*);
    int dynamic_shared;
};

bool fits(const Matmul& m, const Layout& a, const Layout& b, const Layout& d) {
    const uint64_t m_rows = m.transposed[0] ? a.columns : a.rows;
    const uint64_t k = m.transposed[0] ? a.rows : a.columns;
    const uint64_t k_too = m.transposed[1] ? b.columns : b.rows;
    const uint64_t n = m.transposed[1] ? b.rows : b.columns;
    bool good = m_rows == d.rows && n == d.columns && k == k_too && a.type == b.type &&
                a.batch == d.batch && b.batch == d.batch && m.scale == kF32;
    for (const Layout* l : {&a, &b, &d})
        good = good && l->ld >= static_cast<int64_t>(l->rows) && l->rows > 0 && l->columns > 0;
    if (a.type == kF32)
        return good && d.type == kF32 && (m.compute == kCompute16BF || m.compute == kComputeTF32);
    return good && m.compute == kCompute32 && (d.type == a.type || d.type == kF32);
}

}  // namespace

API size_t cublasLtGetVersion() { return static_cast<size_t>(setting("SENNIT_FAKE_BLAS", 130000)); }

API int cublasLtCreate(cublasLtContext** handle) {
    if (setting("SENNIT_FAKE_BLAS_BROKEN", 0)) return kNotInitialized;
    *handle = new cublasLtContext{};
    return kSuccess;
}

API int cublasLtMatmulDescCreate(Matmul** matmul, int compute_type, int scale) {
    *matmul = new Matmul{compute_type, scale};
    return kSuccess;
}
API int cublasLtMatmulDescSetAttribute(Matmul* m, int which, const void* value, size_t bytes) {
    if ((which != 3 && which != 4) || bytes != sizeof(int32_t)) return kInvalidValue;
    std::memcpy(&m->transposed[which - 3], value, bytes);
    return kSuccess;
}
API int cublasLtMatmulDescDestroy(Matmul* matmul) {
    delete matmul;
    return kSuccess;
}

API int cublasLtMatrixLayoutCreate(Layout** layout, int type, uint64_t rows, uint64_t columns,
                                   int64_t ld) {
    if (type != kF32 && type != kF16 && type != kBF16) return kInvalidValue;
    *layout = new Layout{type, rows, columns, ld};
    return kSuccess;
}
API int cublasLtMatrixLayoutSetAttribute(Layout* l, int which, const void* value, size_t bytes) {
    if (which == 5 && bytes == sizeof l->batch)
        std::memcpy(&l->batch, value, bytes);
    else if (which == 6 && bytes == sizeof l->step)
        std::memcpy(&l->step, value, bytes);
    else
        return kInvalidValue;
    return kSuccess;
}
API int cublasLtMatrixLayoutDestroy(Layout* layout) {
    delete layout;
    return kSuccess;
}

API int cublasLtMatmulPreferenceCreate(Preference** preference) {
    *preference = new Preference;
    return kSuccess;
}
API int cublasLtMatmulPreferenceSetAttribute(Preference* p, int which, const void* value,
                                             size_t bytes) {
    if (which == 1 && bytes == sizeof p->workspace)
        std::memcpy(&p->workspace, value, bytes);
    else if (which == 3 && bytes == sizeof p->schemes)
        std::memcpy(&p->schemes, value, bytes);
    else if (which >= 5 && which <= 8 && bytes == sizeof p->aligned[0])
        std::memcpy(&p->aligned[which - 5], value, bytes);
    else
        return kInvalidValue;
    return kSuccess;
}
API int cublasLtMatmulPreferenceDestroy(Preference* preference) {
    delete preference;
    return kSuccess;
}

API int cublasLtMatmulAlgoGetHeuristic(cublasLtContext*, Matmul* m, Layout* a, Layout* b, Layout*,
                                       Layout* d, Preference* p, int wanted, Heuristic* found,
                                       int* count) {
    *count = 0;
    if (wanted < 1 || !fits(*m, *a, *b, *d)) return kInvalidValue;
    if (p->schemes != 2) return kInvalidValue;  // another scheme may round sums
    if (setting("SENNIT_FAKE_BLAS_REFUSES", 0) == 1) return kNotSupported;
    const uint64_t wants = static_cast<uint64_t>(setting("SENNIT_FAKE_BLAS_WORKSPACE", 0)) << 20;
    *found = {};
    found->workspace = wants <= p->workspace ? wants : 0;
    for (int i = 0; i < 4; ++i) found->algorithm.data[i] = p->aligned[i];
    *count = 1;
    return kSuccess;
}

API int cublasLtMatmul(cublasLtContext*, Matmul* m, const void* alpha, const void* a, Layout* la,
                       const void* b, Layout* lb, const void* beta, const void* c, Layout*, void* d,
                       Layout* ld, const Algorithm* algorithm, void* workspace,
                       size_t workspace_bytes, void* stream) {
    if (setting("SENNIT_FAKE_BLAS_REFUSES", 0) == 2) return kNotSupported;
    float one, zero;
    std::memcpy(&one, alpha, 4);
    std::memcpy(&zero, beta, 4);
    if (one != 1 || zero != 0 || !fits(*m, *la, *lb, *ld)) return kInvalidValue;
    const void* at[4] = {a, b, c, d};
    for (int i = 0; i < 4; ++i)
        if (reinterpret_cast<uintptr_t>(at[i]) % algorithm->data[i]) return kInvalidValue;
    using Launch = int (*)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                           unsigned, void*, void**, void**);
    static const auto launch = reinterpret_cast<Launch>(
        dlsym(dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD), "cuLaunchKernel"));
    if (!launch) return kNotInitialized;
    static FakeFunction function{compute, 48 << 10};
    Product p{*m,
              *la,
              *lb,
              *ld,
              static_cast<const char*>(a),
              static_cast<const char*>(b),
              static_cast<char*>(d),
              static_cast<char*>(workspace),
              workspace_bytes};
    size_t bytes = sizeof p;
    void* extra[] = {reinterpret_cast<void*>(1), &p, reinterpret_cast<void*>(2), &bytes, nullptr};
    return launch(&function, 1, 1, 1, 1, 1, 1, 0, stream, nullptr, extra) == 0 ? kSuccess
                                                                               : kNotSupported;
}
