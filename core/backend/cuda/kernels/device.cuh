#pragma once
// Ground of every kernel source. A source compiles in three ways: by NVRTC for a GPU, by NVRTC for
// no GPU at all (the tests, for several architectures), and as C++ through the thread-block shim of
// tests/cuda/shim (SN_SHIM), which runs it on a CPU. So it keeps to what all three know:
//
//   SN_KERNEL(name, Args) { ... }   a kernel that takes one plain struct, seen as `args`
//   SN_SHARED T name[n];            memory of a block; SN_DYNAMIC_SHARED(T, name) sized at launch
//   threadIdx, blockIdx, blockDim, gridDim, __syncthreads(), SN_DEVICE before functions
//
// No warp intrinsics outside of the functions below, no atomics on floating-point numbers (a sum
// whose order depends on the schedule has other bits each time), no libm: functions of numbers are
// those of core/op/math.h, and contraction is off.
#if defined(SN_SHIM)
#include "cuda_shim.h"
#else
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long long int64_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
#define SN_DEVICE __device__ __forceinline__
#define SN_SHARED __shared__
#define SN_DYNAMIC_SHARED(T, name) extern __shared__ T name[]
#define SN_KERNEL(name, Args) extern "C" __global__ void name(const __grid_constant__ Args args)
#endif
