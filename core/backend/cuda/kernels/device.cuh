#pragma once
// Ground of every kernel source. A source compiles in three ways: by NVRTC for a GPU, by NVRTC for
// no GPU at all (the tests, for several architectures), and as C++ through the thread-block shim of
// tests/cuda/shim (SN_SHIM), which runs it on a CPU. So it keeps to what all three know:
//
//   SN_KERNEL(name, Args) { ... }   a kernel that takes one plain struct, seen as `args`
//   SN_KERNEL_THREADS(name, Args, n)   the same for blocks of at most n threads
//   SN_SHARED T name[n];            memory of a block; SN_DYNAMIC_SHARED(T, name) sized at launch
//   threadIdx, blockIdx, blockDim, gridDim, __syncthreads(), SN_DEVICE before functions
//   warp_shuffle(), warp_shuffle_down(), warp_ballot(), __syncwarp()      by all threads of a warp
//   atomicAdd, atomicMin, atomicMax, atomicCAS, atomicExch, atomicOr     on integers
//
// Definitions given to the compiler begin with SN_ (NVRTC's own headers use names such as T):
// "SN_T=float", with the types below. NVRTC's options: --std=c++20 --fmad=false --device-int128
// --device-as-default-execution-space --gpu-architecture=sm_XX; headers by the names in #include.
//
// No other warp intrinsics, no atomics on floating-point numbers (a sum whose order depends on the
// schedule has other bits each time), no libm: functions of numbers are those of core/op/math.h
// (#include "op/math.h"), and contraction is off.
#include "args.h"

#if defined(SN_SHIM)
#include "cuda_shim.h"
#else
#define SN_SHARED __shared__
// One untyped array: the dynamic memory of a block has one name in a source.
#define SN_DYNAMIC_SHARED(T, name)                            \
    extern __shared__ __align__(16) char sn_dynamic_shared[]; \
    T* const name = reinterpret_cast<T*>(sn_dynamic_shared)
#define SN_KERNEL(name, Args) extern "C" __global__ void name(const __grid_constant__ Args args)
// The same for blocks of at most so many threads, which leaves each the registers for it.
#define SN_KERNEL_THREADS(name, Args, threads) \
    extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Args args)
#define SN_TEXT(x) #x
#define SN_UNROLL(n) _Pragma(SN_TEXT(unroll n))  // before a loop

// The builtins of GCC and Clang that core/op/math*.h are written with.
#define __extension__
#define __builtin_fmaf __fmaf_rn
#define __builtin_fma __fma_rn
#define __builtin_sqrtf __fsqrt_rn
#define __builtin_sqrt __dsqrt_rn
#define __builtin_floorf floorf
#define __builtin_floor floor
#define __builtin_ceilf ceilf
#define __builtin_ceil ceil
#define __builtin_truncf truncf
#define __builtin_trunc trunc
#define __builtin_rintf rintf
#define __builtin_rint rint
#define __builtin_clzll __clzll
#define __builtin_memcpy memcpy
#define __builtin_inff() __builtin_bit_cast(float, 0x7f800000u)
#define __builtin_inf() __builtin_bit_cast(double, 0x7ff0000000000000ull)
#define __builtin_nanf(text) __builtin_bit_cast(float, 0x7fc00000u)
#define __builtin_nan(text) __builtin_bit_cast(double, 0x7ff8000000000000ull)
#endif

namespace sn {

using cuda::ErrorWord;
using cuda::kMaxRank;
using cuda::Strided;

// ---- element types

// In memory; in registers they are float, rounded to these after each operation.
struct f16 {
    uint16_t bits;
};
struct bf16 {
    uint16_t bits;
};
// Elements of 16 bytes, which are only moved.
struct alignas(16) word128 {
    uint64_t low, high;
};

// The type that elements of T are computed in.
template <class T>
struct ComputeOf {
    using type = T;
};
template <>
struct ComputeOf<f16> {
    using type = float;
};
template <>
struct ComputeOf<bf16> {
    using type = float;
};
template <class T>
using Compute = typename ComputeOf<T>::type;

template <class To, class From>
SN_DEVICE To bits_as(From x) {
    static_assert(sizeof(To) == sizeof(From));
    To y;
    __builtin_memcpy(&y, &x, sizeof(To));
    return y;
}

#if defined(__CUDACC__)
// One instruction each, exact for every input, with the results of core/base/dtype.cpp but for the
// payload of a NaN.
SN_DEVICE float f16_to_f32(uint16_t bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}
SN_DEVICE uint16_t f32_to_f16(float value) {
    uint16_t bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#else
SN_DEVICE float f16_to_f32(uint16_t h) {
    const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
    const uint32_t magnitude = h & 0x7fffu;
    if (magnitude >= 0x7c00u)
        return bits_as<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13 |
                              (magnitude > 0x7c00u ? 0x400000u : 0u));
    if (magnitude >= 0x400u) return bits_as<float>(sign | ((magnitude << 13) + 0x38000000u));
    const float value = static_cast<float>(magnitude) * 0x1p-24f;
    return bits_as<float>(sign | bits_as<uint32_t>(value));
}
SN_DEVICE uint16_t f32_to_f16(float value) {
    const uint32_t bits = bits_as<uint32_t>(value);
    const uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
    uint32_t half;
    if (magnitude > 0x7f800000u)
        half = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
    else if (magnitude >= 0x477ff000u)
        half = 0x7c00u;
    else if (magnitude >= 0x38800000u)
        half = (magnitude + 0xfffu + ((magnitude >> 13) & 1) - 0x38000000u) >> 13;
    else  // a subnormal half: adding 1/2 leaves the number of steps of 2^-24, rounded, in the low
          // bits
        half = bits_as<uint32_t>(bits_as<float>(magnitude) + 0.5f) - 0x3f000000u;
    return static_cast<uint16_t>(sign | half);
}
#endif
SN_DEVICE float bf16_to_f32(uint16_t bits) {
    return bits_as<float>(static_cast<uint32_t>(bits) << 16);
}
SN_DEVICE uint16_t f32_to_bf16(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#else
    const uint32_t bits = bits_as<uint32_t>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
    return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
#endif
}

// An element in memory as a number, and back (rounding f16 and bf16).
template <class T>
SN_DEVICE T widen(T x) {
    return x;
}
SN_DEVICE float widen(f16 x) { return f16_to_f32(x.bits); }
SN_DEVICE float widen(bf16 x) { return bf16_to_f32(x.bits); }
template <class T>
struct Narrow {
    SN_DEVICE static T of(T x) { return x; }
};
template <>
struct Narrow<f16> {
    SN_DEVICE static f16 of(float x) { return {f32_to_f16(x)}; }
};
template <>
struct Narrow<bf16> {
    SN_DEVICE static bf16 of(float x) { return {f32_to_bf16(x)}; }
};
template <class T>
SN_DEVICE T narrow(Compute<T> x) {
    return Narrow<T>::of(x);
}
template <class T>
SN_DEVICE Compute<T> load(const T* p, int64_t i = 0) {
    return widen(p[i]);
}
template <class T>
SN_DEVICE void store(T* p, int64_t i, Compute<T> x) {
    p[i] = narrow<T>(x);
}
// To the values that T has, which is what every operation on f16 and bf16 ends with.
template <class T>
SN_DEVICE Compute<T> round_to(Compute<T> x) {
    return widen(narrow<T>(x));
}

// ---- conversions between compute types, as everywhere in the library: float to integer truncates
// towards zero, saturates and takes NaN to 0; integer to integer keeps the low bits; to bool is
// "not zero"

template <class T>
inline constexpr bool is_floating = false;
template <>
inline constexpr bool is_floating<float> = true;
template <>
inline constexpr bool is_floating<double> = true;
template <class T>
inline constexpr bool is_boolean = false;
template <>
inline constexpr bool is_boolean<bool> = true;

template <class To, class From>
SN_DEVICE To convert(From x) {
    if constexpr (is_boolean<To>) {
        return x != From(0);
    } else if constexpr (is_floating<From> && !is_floating<To>) {
        constexpr bool with_sign = static_cast<To>(-1) < static_cast<To>(1);
        constexpr int bits = static_cast<int>(sizeof(To)) * 8 - (with_sign ? 1 : 0);
        constexpr uint64_t half = uint64_t(1) << (bits - 1);
        constexpr From end = static_cast<From>(half) * From(2);  // 2^bits, exact
        constexpr From begin = with_sign ? -end : From(0);
        constexpr To largest = static_cast<To>((half - 1) * 2 + 1);
        constexpr To least = with_sign ? static_cast<To>(-largest - 1) : To(0);
        if (x != x) return To(0);
        return x >= end ? largest : x <= begin ? least : static_cast<To>(x);
    } else {
        return static_cast<To>(x);
    }
}
// Between element types, f16 and bf16 among them, of values in their compute types.
template <class To, class From>
SN_DEVICE Compute<To> cast_to(Compute<From> x) {
    return round_to<To>(convert<Compute<To>>(x));
}

// The largest and the smallest number, infinite for floats: what max and min begin with.
template <class T>
SN_DEVICE T highest() {
    if constexpr (sizeof(T) == 4 && is_floating<T>) {
        return bits_as<float>(uint32_t(0x7f800000u));
    } else if constexpr (is_floating<T>) {
        return bits_as<double>(uint64_t(0x7ff0000000000000u));
    } else if constexpr (is_boolean<T>) {
        return true;
    } else {
        constexpr bool with_sign = static_cast<T>(-1) < static_cast<T>(1);
        return static_cast<T>(~uint64_t(0) >> (64 - 8 * sizeof(T) + (with_sign ? 1 : 0)));
    }
}
template <class T>
SN_DEVICE T lowest() {
    if constexpr (is_floating<T>)
        return -highest<T>();
    else if constexpr (is_boolean<T>)
        return false;
    else
        return static_cast<T>(~highest<T>());
}

// ---- grids

SN_DEVICE int64_t grid_index() {
    return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
SN_DEVICE int64_t grid_stride() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }
SN_DEVICE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
SN_DEVICE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// ---- warps

#if !defined(SN_SHIM)
inline constexpr uint32_t kWarp = 0xffffffffu;
// The value of another thread of the same `width` neighbours (a power of two up to 32). Every
// thread of the warp takes part. shuffle_down gives the own value where there is no such thread.
template <class T>
SN_DEVICE T warp_shuffle(T x, int lane, int width = 32) {
    if constexpr (sizeof(T) == 8)
        return bits_as<T>(__shfl_sync(kWarp, bits_as<long long>(x), lane, width));
    else if constexpr (sizeof(T) == 4)
        return bits_as<T>(__shfl_sync(kWarp, bits_as<int>(x), lane, width));
    else
        return static_cast<T>(__shfl_sync(kWarp, static_cast<int>(x), lane, width));
}
template <class T>
SN_DEVICE T warp_shuffle_down(T x, int by, int width = 32) {
    if constexpr (sizeof(T) == 8)
        return bits_as<T>(__shfl_down_sync(kWarp, bits_as<long long>(x), by, width));
    else if constexpr (sizeof(T) == 4)
        return bits_as<T>(__shfl_down_sync(kWarp, bits_as<int>(x), by, width));
    else
        return static_cast<T>(__shfl_down_sync(kWarp, static_cast<int>(x), by, width));
}
SN_DEVICE uint32_t warp_ballot(bool vote) { return __ballot_sync(kWarp, vote); }
#endif

// ---- errors

// Reports a value that is not allowed; the lowest position wins.
SN_DEVICE void report(ErrorWord* word, uint32_t op, int64_t position, int64_t value) {
    for (;;) {
        const uint32_t before = atomicCAS(&word->set, 1u, 2u);  // 1: somebody reported already
        const bool free = before == 0 && atomicCAS(&word->set, 0u, 2u) == 0;
        if (before != 1 && !free) continue;  // another thread is writing
        volatile ErrorWord* w = word;
        if (free || (w->op == op && position < w->position)) {
            w->op = op;
            w->index = value;
            w->position = position;
        }
        __threadfence();
        atomicExch(&word->set, 1u);
        return;
    }
}

}  // namespace sn

using namespace sn;
