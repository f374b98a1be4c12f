#pragma once
// The arithmetic of connectionist temporal classification, once for vectors and scalars: kernels of
// every instruction set and the reference run the same operations.
#include "op/math.h"

SN_MATH_BEGIN

// The logarithm of the sum of three numbers given by their logarithms; -inf stands for zero.
template <class V>
SN_FN V log_sum(V a, V b, V c) {
    const V none = all<V>(-Elem<V>(__builtin_inff()));
    V most = a > b ? a : b;
    most = most > c ? most : c;
    const V base = most == none ? V{} : most;
    return log(exp(a - base) + exp(b - base) + exp(c - base)) + base;
}

SN_MATH_END
