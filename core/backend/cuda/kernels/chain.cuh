#pragma once
// What sums of products are made of.
#include "device.cuh"

namespace sn {

// Sums of floats are in their compute type; integers wrap, so words without a sign do for all.
template <class T, int bytes = sizeof(T), bool floating = is_floating<Compute<T>>>
struct AccumulatorOf {
    using type = uint32_t;
};
template <class T, int bytes>
struct AccumulatorOf<T, bytes, true> {
    using type = Compute<T>;
};
template <class T>
struct AccumulatorOf<T, 8, false> {
    using type = uint64_t;
};
template <class T>
using Accumulator = typename AccumulatorOf<T>::type;

SN_DEVICE float multiply_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
SN_DEVICE double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
SN_DEVICE uint32_t multiply_add(uint32_t a, uint32_t b, uint32_t c) { return a * b + c; }
SN_DEVICE uint64_t multiply_add(uint64_t a, uint64_t b, uint64_t c) { return a * b + c; }

// Neighbouring numbers of a row in a block's memory, read in one access.
template <class T, int count>
struct alignas(sizeof(T) * count) Pack {
    T v[count];
};

}  // namespace sn
