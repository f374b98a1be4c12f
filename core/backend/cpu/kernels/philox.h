#pragma once
// Philox 4x32-10 in vectors: counter (block, draw), key seed. Included by kernel sources only.
//
// Sixteen blocks make a group of 64 words, stored word by word: words 0 of all blocks, then words
// 1, and so on, which is how vectors hold them.
#include "backend/cpu/simd.h"

namespace sn::cpu::SN_ISA {

inline constexpr int kPhiloxGroup = 64;  // words
inline constexpr int kPhiloxBlocks = 16;
inline constexpr int kN = kLanes<uint32_t>;
inline constexpr int kVectors = kPhiloxBlocks / kN;
using U64 = Vec<uint64_t>;

struct RandomWords {
    U32 low, high;
};
// The 64-bit products of all lanes with a constant.
SN_INLINE RandomWords philox_multiply(U32 x, uint32_t m) {
#if defined(__x86_64__)
    const U64 even_in = bit_cast<U64>(x), odd_in = even_in >> 32;
#if defined(__AVX512F__)
    const __m512i factor = _mm512_set1_epi64(m);
    const U64 even = (U64)_mm512_mul_epu32((__m512i)even_in, factor);
    const U64 odd = (U64)_mm512_mul_epu32((__m512i)odd_in, factor);
#elif defined(__AVX2__)
    const __m256i factor = _mm256_set1_epi64x(m);
    const U64 even = (U64)_mm256_mul_epu32((__m256i)even_in, factor);
    const U64 odd = (U64)_mm256_mul_epu32((__m256i)odd_in, factor);
#else
    const __m128i factor = _mm_set1_epi64x(m);
    const U64 even = (U64)_mm_mul_epu32((__m128i)even_in, factor);
    const U64 odd = (U64)_mm_mul_epu32((__m128i)odd_in, factor);
#endif
    return {bit_cast<U32>((even & 0xffffffffu) | (odd << 32)),
            bit_cast<U32>((even >> 32) | (odd & 0xffffffff00000000u))};
#else
    RandomWords w;
    for (int i = 0; i < kN; ++i) {
        const uint64_t product = static_cast<uint64_t>(x[i]) * m;
        w.low[i] = static_cast<uint32_t>(product);
        w.high[i] = static_cast<uint32_t>(product >> 32);
    }
    return w;
#endif
}

struct Stream {
    uint64_t seed, draw;
};

// The 64 words of a group.
SN_INLINE void philox(Stream s, uint64_t group, uint32_t* words) {
    alignas(64) constexpr uint32_t kCount[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                 8, 9, 10, 11, 12, 13, 14, 15};
    U32 c[4][kVectors];
    const uint64_t first = group * kPhiloxBlocks;  // a multiple of 16: the low word does not carry
    for (int v = 0; v < kVectors; ++v) {
        c[0][v] = load<U32>(kCount + v * kN) + static_cast<uint32_t>(first);
        c[1][v] = splat(static_cast<uint32_t>(first >> 32));
        c[2][v] = splat(static_cast<uint32_t>(s.draw));
        c[3][v] = splat(static_cast<uint32_t>(s.draw >> 32));
    }
    uint32_t k0 = static_cast<uint32_t>(s.seed), k1 = static_cast<uint32_t>(s.seed >> 32);
    for (int round = 0; round < 10; ++round) {
        for (int v = 0; v < kVectors; ++v) {
            const RandomWords a = philox_multiply(c[0][v], 0xD2511F53u),
                              b = philox_multiply(c[2][v], 0xCD9E8D57u);
            c[0][v] = b.high ^ c[1][v] ^ k0;
            c[1][v] = b.low;
            c[2][v] = a.high ^ c[3][v] ^ k1;
            c[3][v] = a.low;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int w = 0; w < 4; ++w) {
        for (int v = 0; v < kVectors; ++v) store(words + w * kPhiloxBlocks + v * kN, c[w][v]);
    }
}

}  // namespace sn::cpu::SN_ISA
