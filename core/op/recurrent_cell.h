#pragma once
// The arithmetic of recurrent cells, once for vectors and scalars: kernels of every instruction set
// and the reference run the same operations (design note 007).
#include "op/math.h"

SN_MATH_BEGIN

// p: sums of input and recurrent part; on return the activated gates.
template <class V>
SN_FN void lstm_cell(V p[4], V c_before, V* c, V* h) {
    p[0] = sigmoid(p[0]);
    p[1] = sigmoid(p[1]);
    p[2] = tanh(p[2]);
    p[3] = sigmoid(p[3]);
    *c = fma(p[1], c_before, p[0] * p[2]);
    *h = p[3] * tanh(*c);
}

// d: gradients of the sums. dc: what arrives at the cell; on return what goes to the one before.
template <class V>
SN_FN void lstm_cell_grad(const V p[4], V c, V c_before, V dh, V* dc, V d[4]) {
    const V one = all<V>(Elem<V>(1));
    const V t = tanh(c);
    const V to_cell = fma(dh * p[3], fma(-t, t, one), *dc);
    d[0] = (to_cell * p[2]) * (p[0] * (one - p[0]));
    d[1] = (to_cell * c_before) * (p[1] * (one - p[1]));
    d[2] = (to_cell * p[0]) * fma(-p[2], p[2], one);
    d[3] = (dh * t) * (p[3] * (one - p[3]));
    *dc = to_cell * p[1];
}

// p: sums of reset and update gate, and the input's part of the candidate; on return the activated
// gates. candidate: the recurrent part of the candidate.
template <class V>
SN_FN void gru_cell(V p[3], V candidate, V h_before, V* h) {
    p[0] = sigmoid(p[0]);
    p[1] = sigmoid(p[1]);
    p[2] = tanh(fma(p[0], candidate, p[2]));
    *h = fma(p[1], h_before - p[2], p[2]);
}

// d: gradients of the sums of reset and update gate and of the input's part of the candidate.
template <class V>
SN_FN void gru_cell_grad(const V p[3], V candidate, V h_before, V dh, V d[3], V* d_candidate,
                         V* carry) {
    const V one = all<V>(Elem<V>(1));
    d[2] = (dh * (one - p[1])) * fma(-p[2], p[2], one);
    d[1] = (dh * (h_before - p[2])) * (p[1] * (one - p[1]));
    d[0] = (d[2] * candidate) * (p[0] * (one - p[0]));
    *d_candidate = d[2] * p[0];
    *carry = dh * p[1];
}

template <class V>
SN_FN V tanh_cell_grad(V h, V dh) {
    return dh * fma(-h, h, all<V>(Elem<V>(1)));
}
template <class V>
SN_FN V relu_cell_grad(V h, V dh) {
    return h > Elem<V>(0) ? dh : V{};
}

SN_MATH_END
