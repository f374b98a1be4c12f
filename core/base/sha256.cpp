#include "base/sha256.h"

#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace sn {

namespace {

constexpr uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t big_endian(const unsigned char* p) {
    return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}

#if defined(__x86_64__)
bool has_instructions() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}

// The processor's instructions do two rounds, and parts of four words of the schedule. They keep
// the state as (a, b, e, f) and (c, d, g, h), highest lane first.
[[gnu::target("sha,sse4.1")]] void run_instructions(uint32_t* state, const unsigned char* p,
                                                    size_t blocks) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    auto* const out = reinterpret_cast<__m128i*>(state);
    const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(out), 0xb1);
    const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(out + 1), 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, cdab, 0xf0);
    for (; blocks; --blocks, p += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) {
            __m128i& next = w[i % 4];
            if (i < 4) {
                next = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p) + i),
                                        swap);
            } else {
                const __m128i one = w[(i + 3) % 4], two = w[(i + 2) % 4];
                const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(next, w[(i + 1) % 4]),
                                                  _mm_alignr_epi8(one, two, 4));
                next = _mm_sha256msg2_epu32(sum, one);
            }
            const __m128i add =
                _mm_add_epi32(next, _mm_loadu_si128(reinterpret_cast<const __m128i*>(kRound) + i));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, add);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(add, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128(out, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128(out + 1, _mm_alignr_epi8(dchg, feba, 8));
}
#endif

}  // namespace

void Sha256::run(const unsigned char* p, size_t blocks) {
#if defined(__x86_64__)
    static const bool quick = has_instructions();
    if (quick && !portable_) return run_instructions(state_, p, blocks);
#endif
    for (; blocks; --blocks, p += 64) block(p);
}

void Sha256::block(const unsigned char* p) {
    uint32_t w[64];
    for (int i = 0; i < 16; ++i) w[i] = big_endian(p + 4 * i);
    for (int i = 16; i < 64; ++i) {
        const uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) + w[i - 7] +
               (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
    }
    uint32_t s[8];
    std::memcpy(s, state_, sizeof s);
    // Eight rounds at a time: instead of moving the eight words on, each round names them anew.
    const auto round = [&](int i, uint32_t a, uint32_t b, uint32_t c, uint32_t& d, uint32_t e,
                           uint32_t f, uint32_t g, uint32_t& h) __attribute__((always_inline)) {
        const uint32_t choice = g ^ (e & (f ^ g)), majority = (a & b) | (c & (a | b));
        const uint32_t t =
            h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + choice + kRound[i] + w[i];
        d += t;
        h = t + (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + majority;
    };
    for (int i = 0; i < 64; i += 8) {
        round(i, s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]);
        round(i + 1, s[7], s[0], s[1], s[2], s[3], s[4], s[5], s[6]);
        round(i + 2, s[6], s[7], s[0], s[1], s[2], s[3], s[4], s[5]);
        round(i + 3, s[5], s[6], s[7], s[0], s[1], s[2], s[3], s[4]);
        round(i + 4, s[4], s[5], s[6], s[7], s[0], s[1], s[2], s[3]);
        round(i + 5, s[3], s[4], s[5], s[6], s[7], s[0], s[1], s[2]);
        round(i + 6, s[2], s[3], s[4], s[5], s[6], s[7], s[0], s[1]);
        round(i + 7, s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[0]);
    }
    for (int i = 0; i < 8; ++i) state_[i] += s[i];
}

void Sha256::update(const void* data, size_t bytes) {
    if (!bytes) return;
    const auto* p = static_cast<const unsigned char*>(data);
    bytes_ += bytes;
    if (filled_) {
        const size_t take = bytes < 64 - filled_ ? bytes : 64 - filled_;
        std::memcpy(rest_ + filled_, p, take);
        filled_ += take;
        p += take;
        bytes -= take;
        if (filled_ < 64) return;
        run(rest_, 1);
        filled_ = 0;
    }
    run(p, bytes / 64);
    p += bytes / 64 * 64;
    bytes %= 64;
    if (bytes) std::memcpy(rest_, p, bytes);
    filled_ = bytes;
}

std::string Sha256::hex() {
    const uint64_t bits = bytes_ * 8;
    const unsigned char one = 0x80, zero = 0;
    update(&one, 1);
    while (filled_ != 56) update(&zero, 1);
    unsigned char length[8];
    for (int i = 0; i < 8; ++i) length[i] = static_cast<unsigned char>(bits >> (56 - 8 * i));
    update(length, 8);
    std::string text;
    for (const uint32_t word : state_)
        for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[word >> shift & 15];
    return text;
}

}  // namespace sn
