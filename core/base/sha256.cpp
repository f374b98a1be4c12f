#include "base/sha256.h"

#include <bit>
#include <cstring>

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

}  // namespace

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
        block(rest_);
        filled_ = 0;
    }
    for (; bytes >= 64; p += 64, bytes -= 64) block(p);
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
