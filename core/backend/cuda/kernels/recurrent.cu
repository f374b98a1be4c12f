// Cells of recurrent layers, between the products of the steps. SN_T: float or double; SN_CELL:
// which.
#include "device.cuh"

#include "op/recurrent_cell.h"
#include "recurrent_args.h"

using namespace sn::cuda;

enum Cell { kTanh, kRelu, kLstm, kGru };
inline constexpr int kGates = SN_CELL == kLstm ? 4 : SN_CELL == kGru ? 3 : 1;

using T = SN_T;
SN_DEVICE const T* input(const void* p) { return static_cast<const T*>(p); }
SN_DEVICE T* output(const void* p) { return static_cast<T*>(const_cast<void*>(p)); }

SN_KERNEL(cell, CellArgs) {
    const int64_t n = args.hidden;
    for (int64_t e = grid_index(); e < args.count; e += grid_stride()) {
        const int64_t row = e / n, unit = e % n, at = row * kGates * n + unit;
        T p[4], candidate = 0;
        for (int q = 0; q < kGates; ++q) {
            p[q] = input(args.input)[at + q * n];
            const T sum = args.sums ? input(args.sums)[at + q * n] : T(0);
            if (SN_CELL == kGru && q == 2)
                candidate = sum + input(args.bias)[unit];
            else if (args.sums)
                p[q] = p[q] + sum;
        }
        if constexpr (SN_CELL == kLstm) {
            math::lstm_cell(p, input(args.c_before)[e], output(args.c) + e, output(args.h) + e);
        } else if constexpr (SN_CELL == kGru) {
            output(args.c)[e] = candidate;
            math::gru_cell(p, candidate, input(args.h_before)[e], output(args.h) + e);
        } else {
            output(args.h)[e] = SN_CELL == kTanh ? math::tanh(p[0]) : math::relu(p[0]);
        }
        if (kGates > 1)
            for (int q = 0; q < kGates; ++q) output(args.gates)[at + q * n] = p[q];
    }
}

SN_KERNEL(cell_grad, CellGradArgs) {
    const int64_t n = args.hidden;
    for (int64_t e = grid_index(); e < args.count; e += grid_stride()) {
        const int64_t row = e / n, unit = e % n, at = row * kGates * n + unit;
        T d = args.dh ? input(args.dh)[e] : T(0);
        if (args.sums) d = d + input(args.sums)[e];
        T p[4], g[4];
        for (int q = 0; kGates > 1 && q < kGates; ++q) p[q] = input(args.gates)[at + q * n];
        T* carry = output(args.carry) + e;
        if constexpr (SN_CELL == kLstm) {
            if (args.dc) *carry = *carry + input(args.dc)[e];
            math::lstm_cell_grad(p, input(args.state)[e], input(args.state_before)[e], d, carry, g);
        } else if constexpr (SN_CELL == kGru) {
            T d_candidate;
            math::gru_cell_grad(p, input(args.candidate)[e], input(args.state_before)[e],
                                d + *carry, g, &d_candidate, carry);
            output(args.d_candidate)[e] = d_candidate;
            for (int q = 0; q < 3; ++q)
                output(args.d_recurrent)[at + q * n] = q == 2 ? d_candidate : g[q];
        } else {
            const T h = input(args.state)[e];
            g[0] = SN_CELL == kTanh ? math::tanh_cell_grad(h, d) : math::relu_cell_grad(h, d);
        }
        for (int q = 0; q < kGates; ++q) output(args.d_gates)[at + q * n] = g[q];
    }
}

SN_KERNEL(initial_grad, InitialGradArgs) {
    for (int64_t e = grid_index(); e < args.count; e += grid_stride()) {
        T d = (args.dh ? input(args.dh)[e] : T(0)) + input(args.sums)[e];
        if (SN_CELL == kGru) d = d + input(args.carry)[e];
        output(args.dh0)[e] = d;
        if (SN_CELL == kLstm) {
            const T c = input(args.carry)[e];
            output(args.dc0)[e] = args.dc ? c + input(args.dc)[e] : c;
        }
    }
}
