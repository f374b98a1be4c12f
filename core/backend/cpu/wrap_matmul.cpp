#include "backend/cpu/kernel_sets.h"
#include "backend/cpu/scratch.h"
#include "backend/cpu/wrap.h"

namespace sn::cpu {

namespace {

// A stack of matrices: the batch dimensions in the shape of the result, where broadcast ones have
// stride 0, and the strides of a matrix.
struct Stack {
    int64_t strides[32] = {};
    int64_t row_stride = 0, col_stride = 0;
};
Stack stack_of(const TensorView& v, int batch_rank) {
    Stack s;
    const int own = v.rank - 2;
    for (int i = 0; i < own; ++i)
        s.strides[batch_rank - own + i] = v.shape[i] == 1 ? 0 : v.strides[i];
    s.row_stride = v.strides[v.rank - 2];
    s.col_stride = v.strides[v.rank - 1];
    return s;
}

// Whether all rows of the whole stack lie at one distance, so that it is one tall matrix.
bool is_tall(const Stack& s, const int64_t* batch_shape, int batch_rank, int64_t rows,
             int64_t* row_stride) {
    bool found = rows > 1;
    int64_t step = s.row_stride, next = s.row_stride * rows;
    for (int i = batch_rank; i-- > 0;) {
        if (batch_shape[i] == 1) continue;
        if (!found) {
            found = true;
            step = s.strides[i];
            next = step;
        }
        if (s.strides[i] != next || step == 0) return false;
        next *= batch_shape[i];
    }
    *row_stride = step;
    return true;
}

void kernel_matmul(const KernelCall& call) {
    const TensorView &a = call.in[0], &b = call.in[1], &c = call.out[0];
    const int batch_rank = c.rank - 2;
    GemmCall g{};
    g.m = c.shape[c.rank - 2];
    g.n = c.shape[c.rank - 1];
    g.k = a.shape[a.rank - 1];
    if (c.numel() == 0) return;
    const Stack sa = stack_of(a, batch_rank), sb = stack_of(b, batch_rank),
                sc = stack_of(c, batch_rank);
    g.a = {a.data, a.dtype, sa.row_stride, sa.col_stride};
    g.b = {b.data, b.dtype, sb.row_stride, sb.col_stride};
    g.c = c.data;
    g.c_dtype = c.dtype;
    g.c_row_stride = sc.row_stride;
    g.c_col_stride = sc.col_stride;
    g.epilogue = static_cast<const Epilogue*>(call.epilogue);
    int64_t batch = 1;
    bool shared_b = true;
    for (int i = 0; i < batch_rank; ++i) {
        batch *= c.shape[i];
        shared_b &= c.shape[i] == 1 || sb.strides[i] == 0;
    }
    int64_t a_step = 0, c_step = 0;
    if (batch > 1 && shared_b && is_tall(sa, c.shape, batch_rank, g.m, &a_step) &&
        is_tall(sc, c.shape, batch_rank, g.m, &c_step)) {
        g.m *= batch;
        g.a.row_stride = a_step;
        g.c_row_stride = c_step;
        batch = 1;
    }
    g.batch = batch;
    if (batch == 1) {
        kernel_sets().gemm->gemm(g);
        return;
    }
    const Scratch memory(3 * static_cast<size_t>(batch) * sizeof(int64_t));
    int64_t* offsets = memory.as<int64_t>();
    int64_t index[32] = {}, at[3] = {};
    const Stack* stacks[3] = {&sa, &sb, &sc};
    for (int64_t k = 0; k < batch; ++k) {
        for (int s = 0; s < 3; ++s) offsets[s * batch + k] = at[s];
        for (int d = batch_rank; d-- > 0;) {
            for (int s = 0; s < 3; ++s) at[s] += stacks[s]->strides[d];
            if (++index[d] < c.shape[d]) break;
            for (int s = 0; s < 3; ++s) at[s] -= stacks[s]->strides[d] * c.shape[d];
            index[d] = 0;
        }
    }
    g.a_offsets = offsets;
    g.b_offsets = offsets + batch;
    g.c_offsets = offsets + 2 * batch;
    kernel_sets().gemm->gemm(g);
}

}  // namespace

void register_matmul_wrapper(KernelTable& table) { table.add("matmul", kernel_matmul); }

}  // namespace sn::cpu
