#pragma once
// Philox 4x32-10, one word at a time: counter (block, draw), key seed.
#include <algorithm>

#include "backend/reference/reference.h"

namespace sn::reference {

struct Stream {
    uint64_t seed, draw;
    Stream(uint64_t s, uint64_t d) : seed(s), draw(d) {}
    Stream(const KernelCall& c, int at)
        : seed(static_cast<uint64_t>(number_i64(c.in[at]))),
          draw(static_cast<uint64_t>(number_i64(c.in[at + 1]))) {}

    // Word 0 to 3 of a block.
    uint32_t word(uint64_t block, int which) const {
        uint32_t c[4] = {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                         static_cast<uint32_t>(draw), static_cast<uint32_t>(draw >> 32)};
        uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
        for (int round = 0; round < 10; ++round) {
            const uint64_t a = uint64_t{0xD2511F53u} * c[0], b = uint64_t{0xCD9E8D57u} * c[2];
            const uint32_t next[4] = {
                static_cast<uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(b),
                static_cast<uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(a)};
            std::copy(next, next + 4, c);
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        return c[which];
    }
    // Sixteen blocks make a group of 64 words: words 0 of all blocks, then words 1, and so on.
    uint32_t word32(uint64_t e) const {
        return word(e / 64 * 16 + e % 16, static_cast<int>(e % 64 / 16));
    }
    // A group makes 32 numbers of 64 bits: of words 0 and 1 of its blocks, then of words 2 and 3.
    uint64_t word64(uint64_t e) const {
        const uint64_t block = e / 32 * 16 + e % 16;
        const int first = e % 32 < 16 ? 0 : 2;
        return uint64_t{word(block, first + 1)} << 32 | word(block, first);
    }
};

}  // namespace sn::reference
