// Random numbers by Philox 4x32-10: counter (block, draw), key seed.
//
// Sixteen blocks make a group of 64 words, stored word by word: words 0 of all blocks, then words
// 1, and so on, which is how vectors hold them. Element e of a call takes, where elements need 32
// bits, word e % 64 of group e / 64; where they need 64 bits, the words l and l + 16 of each half
// of a group (32 elements). So a number is a function of seed, draw and e, whatever the vectors and
// the threads.
#include "backend/cpu/copy.h"
#include "backend/cpu/kernels/philox.h"
#include "engine/pool.h"
#include "op/math.h"

namespace sn::cpu::SN_ISA {

namespace {

constexpr int kGroup = kPhiloxGroup;
constexpr int kBlocks = kPhiloxBlocks;

Stream stream_of(const KernelCall& c, int at) {
    return {static_cast<uint64_t>(scalar_i64(c.in[at])),
            static_cast<uint64_t>(scalar_i64(c.in[at + 1]))};
}

// Element e of 32 made of 64 bits.
SN_INLINE uint64_t word64(const uint32_t* words, int e) {
    const int at = e / kBlocks * 2 * kBlocks + e % kBlocks;
    return static_cast<uint64_t>(words[at + kBlocks]) << 32 | words[at];
}

// Runs f(words, T* out) for groups that make kCount elements each; the last one may be cut.
template <int kCount, class T, class F>
void for_groups(const TensorView& out, Stream s, F f) {
    const int64_t n = count_elements(out);
    T* base = out.as<T>();
    parallel_for((n + kCount - 1) / kCount, 256, [&](int64_t begin, int64_t end) {
        alignas(64) uint32_t words[kGroup];
        alignas(64) T last[kCount];
        for (int64_t g = begin; g < end; ++g) {
            philox(s, static_cast<uint64_t>(g), words);
            if ((g + 1) * kCount <= n) {
                f(words, base + g * kCount);
            } else {
                f(words, last);
                std::memcpy(base + g * kCount, last,
                            static_cast<size_t>(n - g * kCount) * sizeof(T));
            }
        }
    });
}

// Groups of f32, stored as f32 or rounded to a 16-bit float.
template <class F>
void for_f32_groups(const TensorView& out, Stream s, F f) {
    if (out.dtype == DType::kF32) {
        for_groups<kGroup, float>(out, s, f);
        return;
    }
    const bool bf16 = out.dtype == DType::kBF16;
    for_groups<kGroup, uint16_t>(out, s, [&](const uint32_t* words, uint16_t* to) {
        alignas(64) float wide[kGroup];
        f(words, wide);
        for (int i = 0; i < kGroup; i += kLanes<float>) {
            const F32 x = load<F32>(wide + i);
            store(to + i, bf16 ? f32_to_bf16(x) : f32_to_f16(x));
        }
    });
}

// The bits of a float as a count, so that its neighbours differ by one; and the float below.
template <class U>
U below(U bits) {
    constexpr U kSign = static_cast<U>(U(1) << (sizeof(U) * 8 - 1));
    if ((bits & ~kSign) == 0) return static_cast<U>(kSign | 1);
    return static_cast<U>(bits & kSign ? bits + 1 : bits - 1);
}

// The largest number of the dtype that is less than `high` (or low, where they are equal).
float largest_f32(DType dtype, float low, float high) {
    if (!(low < high)) return low;
    if (dtype == DType::kF32) return bit_cast<float>(below(bit_cast<uint32_t>(high)));
    const bool bf16 = dtype == DType::kBF16;
    uint16_t bits = bf16 ? sn::f32_to_bf16(high) : sn::f32_to_f16(high);
    const auto wide = [bf16](uint16_t b) {
        return bf16 ? bit_cast<float>(static_cast<uint32_t>(b) << 16) : sn::f16_to_f32(b);
    };
    if (!(wide(bits) < high)) bits = below(bits);
    return wide(bits);
}

void uniform(const KernelCall& c) {
    const TensorView& out = c.out[0];
    const Stream s = stream_of(c, 2);
    if (out.dtype == DType::kF64) {
        const double low = scalar_f64(c.in[0]), high = scalar_f64(c.in[1]), range = high - low;
        const double top = low < high ? bit_cast<double>(below(bit_cast<uint64_t>(high))) : low;
        for_groups<kGroup / 2, double>(out, s, [=](const uint32_t* words, double* to) {
            for (int i = 0; i < kGroup / 2; ++i) {
                const double u = static_cast<double>(word64(words, i) >> 11) * 0x1p-53;
                const double v = low + u * range;
                to[i] = v < top ? v : top;
            }
        });
        return;
    }
    const float low = static_cast<float>(scalar_f64(c.in[0]));
    const float high = static_cast<float>(scalar_f64(c.in[1])), range = high - low;
    const float top = largest_f32(out.dtype, low, high);
    for_f32_groups(out, s, [=](const uint32_t* words, float* to) {
        for (int i = 0; i < kGroup; i += kN) {
            const I32 bits = bit_cast<I32>(load<U32>(words + i) >> 8);
            const F32 v = low + __builtin_convertvector(bits, F32) * 0x1p-24f * range;
            // Numbers at or above `top` stay there: conversion to 16 bits must not round them to
            // high.
            store(to + i, select(v < top, v, splat(top)));
        }
    });
}

// Box and Muller: two uniform numbers make two normal ones.
constexpr float kTwoPi = 6.283185307179586f;

void normal(const KernelCall& c) {
    const TensorView& out = c.out[0];
    const Stream s = stream_of(c, 2);
    if (out.dtype == DType::kF64) {
        const double mean = scalar_f64(c.in[0]), deviation = scalar_f64(c.in[1]);
        for_groups<kGroup / 2, double>(out, s, [=](const uint32_t* words, double* to) {
            alignas(64) double u[kGroup / 2];
            for (int i = 0; i < kBlocks; ++i) {
                u[i] = static_cast<double>((word64(words, i) >> 11) + 1) * 0x1p-53;  // never 0
                u[kBlocks + i] = static_cast<double>(word64(words, kBlocks + i) >> 11) * 0x1p-53;
            }
            for (int i = 0; i < kBlocks; i += kLanes<double>) {
                const F64 radius = sqrt(-2.0 * math::log(load<F64>(u + i)));
                const F64 angle = 6.283185307179586 * load<F64>(u + kBlocks + i);
                store(to + i, mean + deviation * (radius * math::cos(angle)));
                store(to + kBlocks + i, mean + deviation * (radius * math::sin(angle)));
            }
        });
        return;
    }
    const float mean = static_cast<float>(scalar_f64(c.in[0]));
    const float deviation = static_cast<float>(scalar_f64(c.in[1]));
    for_f32_groups(out, s, [=](const uint32_t* words, float* to) {
        for (int half = 0; half < kGroup; half += 2 * kBlocks) {
            for (int i = half; i < half + kBlocks; i += kN) {
                const I32 a = bit_cast<I32>(load<U32>(words + i) >> 1);
                const I32 b = bit_cast<I32>(load<U32>(words + kBlocks + i) >> 8);
                // In (0, 1], and finer near 0, where the tails come from.
                const F32 u = __builtin_convertvector(a, F32) * 0x1p-31f + 0x1p-32f;
                const F32 radius = sqrt(-2.0f * math::log(u));
                const F32 angle = kTwoPi * (__builtin_convertvector(b, F32) * 0x1p-24f);
                store(to + i, mean + deviation * (radius * math::cos(angle)));
                store(to + kBlocks + i, mean + deviation * (radius * math::sin(angle)));
            }
        }
    });
}

void integers(const KernelCall& c) {
    const TensorView& out = c.out[0];
    const Stream s = stream_of(c, 2);
    const uint64_t low = static_cast<uint64_t>(scalar_i64(c.in[0]));
    const uint64_t range = static_cast<uint64_t>(scalar_i64(c.in[1])) - low;
    const auto typed = [&](auto zero) {
        using T = decltype(zero);
        for_groups<kGroup / 2, T>(out, s, [=](const uint32_t* words, T* to) {
            for (int i = 0; i < kGroup / 2; ++i) {
                const unsigned __int128 product =
                    static_cast<unsigned __int128>(word64(words, i)) * range;
                to[i] = static_cast<T>(low + static_cast<uint64_t>(product >> 64));
            }
        });
    };
    switch (element_size(out.dtype)) {
        case 1: typed(uint8_t()); break;
        case 2: typed(uint16_t()); break;
        case 4: typed(uint32_t()); break;
        default: typed(uint64_t());
    }
}

void dropout_mask(const KernelCall& c) {
    const double p = scalar_f64(c.in[0]);
    const double scaled = p * 0x1p32;
    const uint64_t limit = scaled >= 0x1p32 ? uint64_t{1} << 32 : static_cast<uint64_t>(scaled);
    const Stream s = stream_of(c, 1);
    if (limit == uint64_t{1} << 32) {
        std::memset(c.out[0].data, 0, static_cast<size_t>(count_elements(c.out[0])));
        return;
    }
    const uint32_t drop = static_cast<uint32_t>(limit);
    for_groups<kGroup, uint8_t>(c.out[0], s, [=](const uint32_t* words, uint8_t* to) {
        for (int i = 0; i < kGroup; ++i) to[i] = words[i] >= drop;
    });
}

}  // namespace

void register_random(KernelTable& table) {
    table.add("random_uniform", uniform);
    table.add("random_normal", normal);
    table.add("random_integers", integers);
    table.add("dropout_mask", dropout_mask);
}

}  // namespace sn::cpu::SN_ISA
