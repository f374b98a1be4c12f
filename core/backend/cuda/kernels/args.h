#pragma once
// Structs that host and device share: parts of the arguments of kernels. Includable in both.
#if defined(__CUDACC_RTC__)
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long long int64_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
#define SN_DEVICE __device__ __forceinline__
#elif !defined(SN_DEVICE)
#include <cstdint>
#define SN_DEVICE inline  // on the host, and in the shim
#endif

namespace sn::cuda {

// What a kernel says when a value is not allowed (a label, an index). One for each device; all zero
// when nothing is wrong. Kernels write it through report() in device.cuh: the first kernel that
// reports wins, and in it the lowest position, so the message does not depend on which thread came
// first.
struct ErrorWord {
    uint32_t set;        // 0: nothing, 1: an error, 2: being written
    uint32_t op;         // chosen by the host for each launch; not 0
    long long index;     // the value that was not allowed
    long long position;  // where it stands, as a flat index
};

// ---- strided tensors

inline constexpr int kMaxRank = 16;

// A shape and the strides, in elements, of some operands of it, filled by the host. Offsets of an
// index in row-major order; the division is one of 32 bits where the count allows it.
template <int operands>
struct Strided {
    int rank;
    int wide;  // the number of elements needs 64 bits
    long long shape[kMaxRank];
    long long strides[operands][kMaxRank];

    SN_DEVICE void offsets(int64_t index, int64_t* at) const {
        for (int k = 0; k < operands; ++k) at[k] = 0;
        if (wide) {
            for (int d = rank - 1; d >= 0; --d) {
                const int64_t rest = index / shape[d], i = index - rest * shape[d];
                for (int k = 0; k < operands; ++k) at[k] += i * strides[k][d];
                index = rest;
            }
        } else {
            uint32_t left = static_cast<uint32_t>(index);
            for (int d = rank - 1; d >= 0; --d) {
                const uint32_t size = static_cast<uint32_t>(shape[d]);
                const uint32_t rest = left / size, i = left - rest * size;
                for (int k = 0; k < operands; ++k) at[k] += static_cast<int64_t>(i) * strides[k][d];
                left = rest;
            }
        }
    }
    SN_DEVICE int64_t offset(int64_t index) const {
        int64_t at[operands];
        offsets(index, at);
        return at[0];
    }
};

}  // namespace sn::cuda
