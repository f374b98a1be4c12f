#include "backend/cpu/gemm.h"
#include "engine/pool.h"

// Integer products, exact modulo 2^bits: arithmetic on unsigned words of the same width, in any
// order. Plain loops: integers are indices and counts here, not the bulk of anyone's work.
namespace sn::cpu::SN_ISA {
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns about the gathers into which it turns the strided loop.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
namespace {

constexpr int64_t kRowGrain = 16;

// U: the unsigned word; 8 and 16 bits accumulate in 32 and are cut at the end.
template <class U, class Sum>
void rows(const GemmCall& call, int64_t batch, int64_t begin, int64_t end) {
    const U* a = static_cast<const U*>(call.a.data) + (call.a_offsets ? call.a_offsets[batch] : 0);
    const U* b = static_cast<const U*>(call.b.data) + (call.b_offsets ? call.b_offsets[batch] : 0);
    U* c = static_cast<U*>(call.c) + (call.c_offsets ? call.c_offsets[batch] : 0);
    constexpr int64_t kCols = 256;
    Sum sums[kCols] = {};
    for (int64_t i = begin; i < end; ++i) {
        const U* row = a + i * call.a.row_stride;
        for (int64_t j0 = 0; j0 < call.n; j0 += kCols) {
            const int64_t count = call.n - j0 < kCols ? call.n - j0 : kCols;
            for (int64_t j = 0; j < count; ++j) sums[j] = 0;
            for (int64_t k = 0; k < call.k; ++k) {
                const Sum x = row[k * call.a.col_stride];
                const U* from = b + k * call.b.row_stride + j0 * call.b.col_stride;
                if (call.b.col_stride == 1) {
                    for (int64_t j = 0; j < count; ++j) sums[j] += x * Sum(from[j]);
                } else {
                    for (int64_t j = 0; j < count; ++j)
                        sums[j] += x * Sum(from[j * call.b.col_stride]);
                }
            }
            U* to = c + i * call.c_row_stride + j0 * call.c_col_stride;
            for (int64_t j = 0; j < count; ++j) to[j * call.c_col_stride] = U(sums[j]);
        }
    }
}

}  // namespace

void gemm_int(const GemmCall& call) {
    const auto run = [&](int64_t batch, int64_t begin, int64_t end) {
        switch (dtype_size(call.c_dtype)) {
            case 1: return rows<uint8_t, uint32_t>(call, batch, begin, end);
            case 2: return rows<uint16_t, uint32_t>(call, batch, begin, end);
            case 4: return rows<uint32_t, uint32_t>(call, batch, begin, end);
            default: return rows<uint64_t, uint64_t>(call, batch, begin, end);
        }
    };
    if (call.m * call.n * call.k * call.batch < (1 << 16)) {
        for (int64_t i = 0; i < call.batch; ++i) run(i, 0, call.m);
        return;
    }
    // Blocks of rows of all batches, side by side.
    const int64_t blocks = (call.m + kRowGrain - 1) / kRowGrain;
    parallel_for(call.batch * blocks, 1, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t) {
            const int64_t row = t % blocks * kRowGrain;
            run(t / blocks, row, row + kRowGrain < call.m ? row + kRowGrain : call.m);
        }
    });
}

}  // namespace sn::cpu::SN_ISA
