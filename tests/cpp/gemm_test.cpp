// The matrix core against a scalar chain that follows the definition of its numerics: every bit
// must agree, for any shape, layout, dtype, batch, number of threads and instruction set.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/gemm.h"
#include "base/error.h"
#include "engine/pool.h"

#ifdef SN_TEST_POOL
#include <atomic>
#include <exception>
#include <thread>
namespace sn {
// Stands in for the engine's pool, so that the kernels can be tested alone.
static std::atomic<int> test_threads{2};
static thread_local int test_index = 0;
void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
    std::atomic<int64_t> next{0};
    const auto work = [&](int index) {
        const int before = test_index;
        test_index = index;
        for (int64_t begin; (begin = next.fetch_add(grain)) < n;)
            body(begin, std::min(n, begin + grain));
        test_index = before;
    };
    std::vector<std::thread> threads;
    for (int i = 1; i < test_threads && n > grain; ++i) threads.emplace_back(work, i);
    work(0);
    for (auto& t : threads) t.join();
}
int pool_threads() { return test_threads; }
void set_pool_threads(int count) { test_threads = count; }
int pool_thread_index() { return test_index; }
}  // namespace sn
#endif

#if defined(__x86_64__)
#define SN_TEST_LEVELS(X) X(avx512) X(avx2) X(v2)
#else
#define SN_TEST_LEVELS(X) X(neon)
#endif
#define SN_DECLARE(isa)                \
    namespace sn::cpu::isa {           \
    const GemmKernels& gemm_kernels(); \
    }
SN_TEST_LEVELS(SN_DECLARE)

using namespace sn;
using namespace sn::cpu;

namespace {

int failures = 0;

struct Level {
    const char* name;
    const GemmKernels* kernels;
    bool exact;  // has fused multiply-add, so the bits are promised
};

std::vector<Level> levels() {
    std::vector<Level> out;
#if defined(__x86_64__)
    __builtin_cpu_init();
#if defined(SN_HAVE_AVX512)  // sanitized builds leave it out
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        out.push_back({"avx512", &avx512::gemm_kernels(), true});
#endif
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        out.push_back({"avx2", &avx2::gemm_kernels(), true});
    out.push_back({"v2", &v2::gemm_kernels(), false});
#else
    out.push_back({"neon", &neon::gemm_kernels(), true});
#endif
    return out;
}

std::mt19937 rng(20240607);
int64_t pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(rng);
}

float read_f32(const void* data, DType dtype, int64_t i) {
    if (dtype == DType::kF32) return static_cast<const float*>(data)[i];
    const uint16_t bits = static_cast<const uint16_t*>(data)[i];
    return dtype == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

// A matrix somewhere in a larger buffer filled with NaN, so that a read outside shows.
struct Matrix {
    std::vector<char> bytes;
    DType dtype;
    int64_t rows, cols, row_stride, col_stride, offset;
    void* data() { return bytes.data() + offset * int64_t(dtype_size(dtype)); }
    const void* data() const { return bytes.data() + offset * int64_t(dtype_size(dtype)); }
    int64_t at(int64_t r, int64_t c) const { return r * row_stride + c * col_stride; }
};

enum Layout { kRowMajor, kColMajor, kStrided, kBroadcastRow, kBroadcastCol, kLayouts };

void set_random(void* data, DType dtype, int64_t i) {
    // Signed zeros and tiny values too: padding and reordering show in their signs.
    double x = std::normal_distribution<double>()(rng);
    const int64_t kind = pick(0, 40);
    if (kind == 0) x = 0.0;
    if (kind == 1) x = -0.0;
    if (kind == 2) x *= dtype == DType::kF64 ? 1e-200 : dtype == DType::kF16 ? 1e-6 : 1e-25;
    switch (dtype) {
        case DType::kF64: static_cast<double*>(data)[i] = x; break;
        case DType::kF32: static_cast<float*>(data)[i] = float(x); break;
        case DType::kF16: static_cast<uint16_t*>(data)[i] = f32_to_f16(float(x)); break;
        default: static_cast<uint16_t*>(data)[i] = f32_to_bf16(float(x)); break;
    }
}

Matrix make(int64_t rows, int64_t cols, DType dtype, Layout layout, bool fill = true) {
    Matrix m;
    m.dtype = dtype, m.rows = rows, m.cols = cols, m.offset = pick(0, 17);
    switch (layout) {
        case kColMajor: m.row_stride = 1, m.col_stride = rows + pick(0, 5); break;
        case kStrided: m.col_stride = pick(2, 3), m.row_stride = cols * m.col_stride + 1; break;
        case kBroadcastRow: m.row_stride = 0, m.col_stride = 1; break;
        case kBroadcastCol: m.row_stride = 1, m.col_stride = 0; break;
        default: m.col_stride = 1, m.row_stride = cols + pick(0, 5); break;
    }
    const int64_t count = m.offset + std::max<int64_t>(0, rows - 1) * m.row_stride +
                          std::max<int64_t>(0, cols - 1) * m.col_stride + 20;
    m.bytes.assign(size_t(count) * dtype_size(dtype), char(0xff));  // 0xff...: NaN in all
    if (fill)
        for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = 0; c < cols; ++c) set_random(m.data(), dtype, m.at(r, c));
    return m;
}

// The definition.
double reference(const Matrix& a, const Matrix& b, int64_t i, int64_t j) {
    double total = 0;
    for (int64_t k0 = 0; k0 < a.cols; k0 += kGemmSegment) {
        double s = 0;
        for (int64_t k = k0; k < std::min(a.cols, k0 + kGemmSegment); ++k)
            s = std::fma(static_cast<const double*>(a.data())[a.at(i, k)],
                         static_cast<const double*>(b.data())[b.at(k, j)], s);
        total = k0 == 0 ? s : total + s;
    }
    return total;
}

float reference_f32(const Matrix& a, const Matrix& b, int64_t i, int64_t j) {
    float total = 0;
    for (int64_t k0 = 0; k0 < a.cols; k0 += kGemmSegment) {
        float s = 0;
        for (int64_t k = k0; k < std::min(a.cols, k0 + kGemmSegment); ++k)
            s = std::fma(read_f32(a.data(), a.dtype, a.at(i, k)),
                         read_f32(b.data(), b.dtype, b.at(k, j)), s);
        total = k0 == 0 ? s : total + s;
    }
    return total;
}

Matrix reference(const Matrix& a, const Matrix& b, DType c_dtype) {
    Matrix c = make(a.rows, b.cols, c_dtype, kRowMajor, false);
    for (int64_t i = 0; i < a.rows; ++i)
        for (int64_t j = 0; j < b.cols; ++j) {
            if (c_dtype == DType::kF64) {
                static_cast<double*>(c.data())[c.at(i, j)] = reference(a, b, i, j);
                continue;
            }
            const float x = reference_f32(a, b, i, j);
            if (c_dtype == DType::kF32)
                static_cast<float*>(c.data())[c.at(i, j)] = x;
            else
                static_cast<uint16_t*>(c.data())[c.at(i, j)] =
                    c_dtype == DType::kF16 ? f32_to_f16(x) : f32_to_bf16(x);
        }
    return c;
}

bool same(const Matrix& x, const Matrix& y, bool exact, int64_t* row, int64_t* col) {
    const size_t size = dtype_size(x.dtype);
    for (int64_t i = 0; i < x.rows; ++i)
        for (int64_t j = 0; j < x.cols; ++j) {
            const char* p = static_cast<const char*>(x.data()) + x.at(i, j) * int64_t(size);
            const char* q = static_cast<const char*>(y.data()) + y.at(i, j) * int64_t(size);
            if (memcmp(p, q, size) == 0) continue;
            if (!exact) {
                double u, v;
                if (x.dtype == DType::kF64)
                    memcpy(&u, p, 8), memcpy(&v, q, 8);
                else
                    u = read_f32(p, x.dtype, 0), v = read_f32(q, y.dtype, 0);
                const double eps = x.dtype == DType::kBF16  ? 0.02
                                   : x.dtype == DType::kF16 ? 0.01
                                                            : 1e-3;
                if (std::abs(u - v) <= eps * (1 + std::abs(u))) continue;
            }
            *row = i, *col = j;
            return false;
        }
    return true;
}

struct Program {  // an epilogue: out = 2 * sum + row + column / 8, in place or into another matrix
    Matrix* out;
};
template <class T>
void run_program(void* context, const void* tile, int64_t ld, int64_t, int64_t row0, int64_t rows,
                 int64_t col0, int64_t cols) {
    Program& p = *static_cast<Program*>(context);
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < cols; ++j)
            static_cast<T*>(p.out->data())[p.out->at(row0 + i, col0 + j)] =
                T(2) * static_cast<const T*>(tile)[i * ld + j] + T(row0 + i) + T(col0 + j) / 8;
}

enum EpilogueMode { kNoEpilogue, kInPlace, kFromScratch };

void check(int64_t m, int64_t n, int64_t k, DType da, DType db, DType dc, Layout la, Layout lb,
           Layout lc, EpilogueMode mode, bool packed) {
    const Matrix a = make(m, k, da, la), b = make(k, n, db, lb);
    Matrix want = reference(a, b, dc);
    if (mode != kNoEpilogue) {
        Matrix sums = want;
        Program program{&want};
        (dc == DType::kF64 ? run_program<double> : run_program<float>)(&program, sums.data(),
                                                                       sums.row_stride, 0, 0, m, 0,
                                                                       n);
    }
    for (const Level& level : levels()) {
        for (const int threads : {1, 2, 3}) {
            if (threads != 1 && m * n * k < (1 << 17)) continue;
            set_pool_threads(threads);
            Matrix c = make(m, n, dc, mode == kInPlace && lc != kRowMajor ? kRowMajor : lc, false);
            const std::vector<char> before = c.bytes;
            Program program{&c};
            const Epilogue epilogue{dc == DType::kF64 ? run_program<double> : run_program<float>,
                                    &program, mode == kInPlace};
            GemmCall call{m,
                          n,
                          k,
                          {a.data(), da, a.row_stride, a.col_stride},
                          {b.data(), db, b.row_stride, b.col_stride},
                          c.data(),
                          dc,
                          c.row_stride};
            call.c_col_stride = c.col_stride;
            if (mode != kNoEpilogue) call.epilogue = &epilogue;
            void* form = nullptr;
            if (packed) {
                const size_t bytes = level.kernels->packed_b_bytes(k, n, db);
                form = std::aligned_alloc(64, (bytes + 127) / 64 * 64);
                memset(form, 0x7f, bytes + 1);
                level.kernels->pack_b(call.b, k, n, form);
                if (static_cast<char*>(form)[bytes] != 0x7f) {
                    ++failures;
                    printf("pack_b wrote past its end: k %ld n %ld\n", long(k), long(n));
                }
                call.packed_b = form;
            }
            level.kernels->gemm(call);
            std::free(form);
            int64_t row = 0, col = 0;
            if (!same(want, c, level.exact, &row, &col)) {
                ++failures;
                printf(
                    "differs at (%ld, %ld): m %ld n %ld k %ld, %s x %s -> %s, layouts %d %d %d, "
                    "epilogue %d, packed %d, %s, %d threads\n",
                    long(row), long(col), long(m), long(n), long(k), dtype_name(da), dtype_name(db),
                    dtype_name(dc), la, lb, lc, mode, packed, level.name, threads);
                if (failures > 20) std::exit(1);
            }
            // Nothing but the matrix is written.
            std::vector<char> after = c.bytes;
            for (int64_t i = 0; i < m; ++i)
                for (int64_t j = 0; j < n; ++j)
                    memset(after.data() + (c.offset + c.at(i, j)) * int64_t(dtype_size(dc)), 0xff,
                           dtype_size(dc));
            if (after != before) {
                ++failures;
                printf("written outside c: m %ld n %ld k %ld layouts %d %d %d %s\n", long(m),
                       long(n), long(k), la, lb, lc, level.name);
            }
        }
    }
}

Layout pick_layout(bool broadcast) { return Layout(pick(0, broadcast ? kLayouts - 1 : 2)); }

void test_shapes(int count) {
    const DType floats[] = {DType::kF32, DType::kF16, DType::kBF16};
    for (int t = 0; t < count; ++t) {
        const int64_t m = pick(1, 70), n = pick(1, 70);
        const int64_t k = t % 5 == 0   ? kGemmSegment * pick(1, 2) + pick(-3, 3)
                          : t % 5 == 1 ? pick(0, 3)
                                       : pick(1, 200);
        DType a = DType::kF32, b = a, c = a;
        if (t % 4 == 1) a = b = c = DType::kF64;
        if (t % 4 == 2) a = floats[pick(0, 2)], b = floats[pick(0, 2)], c = floats[pick(0, 2)];
        const Layout la = pick_layout(true), lb = pick_layout(true), lc = pick_layout(false);
        const bool programs = c == DType::kF32 || c == DType::kF64;
        const auto mode = programs ? EpilogueMode(pick(0, 2)) : kNoEpilogue;
        check(m, n, k, a, b, c, la, lb, lc, mode, pick(0, 3) == 0);
    }
}

// Every tile border and path: vectors, slivers, many blocks.
void test_borders() {
    for (const DType d : {DType::kF32, DType::kF64})
        for (int la = 0; la < 3; ++la)
            for (int lb = 0; lb < 3; ++lb) {
                const int64_t sizes[][3] = {
                    {1, 1, 1},       {1, 300, 1027}, {300, 1, 1027},  {1, 4100, 70},
                    {1, 1, 3000},    {2, 513, 300},  {8, 1061, 1100}, {5, 2051, 71},
                    {3, 70, 515},    {12, 32, 64},   {13, 33, 65},    {24, 16, 2049},
                    {193, 40, 100},  {300, 130, 77}, {40, 300, 77},   {205, 210, 1030},
                    {260, 70, 2100}, {7, 10, 5000},  {500, 10, 33},   {1, 1, 20000},
                    {33, 1100, 300}, {50, 70, 1300},
                };
                for (const auto& s : sizes)
                    check(s[0], s[1], s[2], d, d, d, Layout(la), Layout(lb), Layout((la + lb) % 3),
                          EpilogueMode((la + lb + s[0]) % 3), (la + 2 * lb + s[1]) % 4 == 0);
            }
}

// k so long that b is packed in groups of segments; 16-bit output, so sums live in scratch.
void test_long() {
    check(200, 8, 150000, DType::kBF16, DType::kF16, DType::kF16, kColMajor, kRowMajor, kRowMajor,
          kNoEpilogue, false);
    check(200, 3, 150000, DType::kF32, DType::kF32, DType::kF32, kColMajor, kRowMajor, kRowMajor,
          kFromScratch, false);
    // Segments side by side, and a dot product.
    for (const EpilogueMode mode : {kNoEpilogue, kInPlace, kFromScratch})
        check(10, 11, 30000, DType::kF32, DType::kF32, DType::kF32, kColMajor, kRowMajor, kStrided,
              mode, false);
    check(1, 1, 30000, DType::kF32, DType::kF32, DType::kF32, kRowMajor, kColMajor, kRowMajor,
          kNoEpilogue, false);
}

void test_special_values() {
    // inf, NaN and overflow stay where they belong; k = 0 gives +0.
    const int64_t m = 14, n = 35, k = 9;
    for (const Level& level : levels()) {
        std::vector<float> a(m * k, 1.0f), b(k * n, 1.0f), c(m * n, -1.0f);
        a[3 * k + 2] = std::numeric_limits<float>::infinity();
        b[4 * n + 34] = std::numeric_limits<float>::quiet_NaN();
        GemmCall call{
            m,        n,           k, {a.data(), DType::kF32, k, 1}, {b.data(), DType::kF32, n, 1},
            c.data(), DType::kF32, n};
        level.kernels->gemm(call);
        for (int64_t i = 0; i < m; ++i)
            for (int64_t j = 0; j < n; ++j) {
                const float x = c[i * n + j];
                const bool good = j == 34 ? std::isnan(x) : i == 3 ? std::isinf(x) : x == 9.0f;
                if (!good) ++failures, printf("special values: (%ld, %ld)\n", long(i), long(j));
            }
        call.k = 0;
        level.kernels->gemm(call);
        for (float x : c)
            if (x != 0 || std::signbit(x)) {
                ++failures, printf("k = 0 does not give +0\n");
                break;
            }
        call.k = k, call.m = 0;
        level.kernels->gemm(call);
        call.m = m, call.n = 0;
        level.kernels->gemm(call);
    }
}

// A row of a product in a batch has the bits of the row alone.
void test_batch() {
    for (const int64_t batch : {1, 3, 40}) {
        const int64_t m = 65, n = 48, k = 37;
        std::vector<float> a(batch * m * k), b(batch * k * n), c(batch * m * n), row(n);
        for (size_t i = 0; i < a.size(); ++i) set_random(a.data(), DType::kF32, int64_t(i));
        for (size_t i = 0; i < b.size(); ++i) set_random(b.data(), DType::kF32, int64_t(i));
        std::vector<int64_t> ao, bo, co;
        for (int64_t i = 0; i < batch; ++i) {
            ao.push_back((batch - 1 - i) * m * k);
            bo.push_back(i / 2 * k * n);
            co.push_back(i * m * n);
        }
        for (const Level& level : levels())
            for (const int threads : {1, 2, 3}) {
                set_pool_threads(threads);
                GemmCall call{m,
                              n,
                              k,
                              {a.data(), DType::kF32, k, 1},
                              {b.data(), DType::kF32, n, 1},
                              c.data(),
                              DType::kF32,
                              n};
                call.batch = batch;
                call.a_offsets = ao.data(), call.b_offsets = bo.data(), call.c_offsets = co.data();
                std::fill(c.begin(), c.end(), -7.0f);
                level.kernels->gemm(call);
                for (int64_t i = 0; i < batch; ++i)
                    for (const int64_t r : {int64_t(0), int64_t(13), m - 1}) {
                        GemmCall one{1,
                                     n,
                                     k,
                                     {a.data() + ao[i] + r * k, DType::kF32, k, 1},
                                     {b.data() + bo[i], DType::kF32, n, 1},
                                     row.data(),
                                     DType::kF32,
                                     n};
                        level.kernels->gemm(one);
                        if (memcmp(row.data(), c.data() + co[i] + r * n, size_t(n) * 4) != 0)
                            ++failures, printf("batch %ld: row %ld of %ld differs, %s\n",
                                               long(batch), long(r), long(i), level.name);
                    }
            }
    }
}

template <class I>
void test_int(DType dtype) {
    for (int t = 0; t < 12; ++t) {
        const int64_t m = pick(1, 40), n = pick(1, 300), k = pick(0, 60);
        const bool ta = t & 1, tb = t & 2;
        std::vector<I> a(size_t(m * k + 1)), b(size_t(k * n + 1)), c(size_t(m * n));
        for (I& x : a) x = I(rng() * 0x9e3779b97f4a7c15ull >> 7);
        for (I& x : b) x = I(rng() * 0x9e3779b97f4a7c15ull >> 5);
        GemmCall call{m,
                      n,
                      k,
                      {a.data(), dtype, ta ? 1 : k, ta ? m : 1},
                      {b.data(), dtype, tb ? 1 : n, tb ? k : 1},
                      c.data(),
                      dtype,
                      n};
        for (const Level& level : levels()) {
            level.kernels->gemm(call);
            for (int64_t i = 0; i < m; ++i)
                for (int64_t j = 0; j < n; ++j) {
                    uint64_t s = 0;
                    for (int64_t x = 0; x < k; ++x)
                        s += uint64_t(a[ta ? x * m + i : i * k + x]) *
                             uint64_t(b[tb ? j * k + x : x * n + j]);
                    if (c[i * n + j] != I(s)) {
                        ++failures, printf("%s differs, %s\n", dtype_name(dtype), level.name);
                        return;
                    }
                }
        }
    }
}

void test_errors() {
    float x = 1;
    double y = 1;
    GemmCall call{1, 1, 1, {&x, DType::kF32, 1, 1}, {&y, DType::kF64, 1, 1}, &x, DType::kF32, 1};
    try {
        levels()[0].kernels->gemm(call);
        ++failures, printf("f32 x f64 did not fail\n");
    } catch (const Error& e) {
        if (e.kind() != ErrorKind::kDType) ++failures, printf("wrong kind of error\n");
    }
}

}  // namespace

int main(int argc, char** argv) {
    test_special_values();
    test_errors();
    test_batch();
    test_borders();
    test_shapes(argc > 1 ? std::atoi(argv[1]) : 300);
    test_int<int8_t>(DType::kI8), test_int<uint8_t>(DType::kU8);
    test_int<int16_t>(DType::kI16), test_int<uint16_t>(DType::kU16);
    test_int<int32_t>(DType::kI32), test_int<uint32_t>(DType::kU32);
    test_int<int64_t>(DType::kI64), test_int<uint64_t>(DType::kU64);
    test_long();
    if (failures == 0) printf("gemm: all tests passed\n");
    return failures != 0;
}
