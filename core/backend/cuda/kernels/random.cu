// Random numbers. A thread makes one block of Philox: four words, or two of 64 bits, which are
// elements 16 apart. SN_T: elements.
#include "device.cuh"
#include "op/math.h"
#include "random_args.h"

using namespace sn::cuda;

struct Words {
    uint32_t w[4];
    SN_DEVICE uint64_t wide(int half) const {
        return static_cast<uint64_t>(w[2 * half + 1]) << 32 | w[2 * half];
    }
};
SN_DEVICE Words philox(const RandomArgs& args, uint64_t block) {
    uint32_t c0 = static_cast<uint32_t>(block), c1 = static_cast<uint32_t>(block >> 32);
    uint32_t c2 = static_cast<uint32_t>(args.draw), c3 = static_cast<uint32_t>(args.draw >> 32);
    uint32_t k0 = static_cast<uint32_t>(args.seed), k1 = static_cast<uint32_t>(args.seed >> 32);
    SN_UNROLL(10)
    for (int round = 0; round < 10; ++round) {
        const uint64_t a = static_cast<uint64_t>(0xD2511F53u) * c0;
        const uint64_t b = static_cast<uint64_t>(0xCD9E8D57u) * c2;
        c0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ k0;
        c2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ k1;
        c1 = static_cast<uint32_t>(b);
        c3 = static_cast<uint32_t>(a);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

inline constexpr bool kWideFloat = sizeof(Compute<SN_T>) == 8;

// Calls f(words, element of word 0) for every block; its other words are elements 16 apart.
template <int elements, class F>
SN_DEVICE void for_blocks(const RandomArgs& args, F f) {
    const int64_t groups = (args.count + 16 * elements - 1) / (16 * elements);
    for (int64_t b = grid_index(); b < groups * 16; b += grid_stride())
        f(philox(args, static_cast<uint64_t>(b)), b / 16 * 16 * elements + b % 16);
}

SN_DEVICE double fraction(uint64_t word) { return static_cast<double>(word >> 11) * 0x1p-53; }
SN_DEVICE float fraction(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

#if defined(SN_FLOAT)
SN_KERNEL(uniform, RandomArgs) {
    using C = Compute<SN_T>;
    SN_T* out = static_cast<SN_T*>(args.out);
    const C low = static_cast<C>(args.first), range = static_cast<C>(args.second) - low;
    const C top = static_cast<C>(args.top);
    const auto put = [&](int64_t e, C unit) {
        if (e >= args.count) return;
        const C v = low + unit * range;
        store(out, e, v < top ? v : top);
    };
    if constexpr (kWideFloat) {
        for_blocks<2>(args, [&](const Words& words, int64_t e) {
            put(e, fraction(words.wide(0)));
            put(e + 16, fraction(words.wide(1)));
        });
    } else {
        for_blocks<4>(args, [&](const Words& words, int64_t e) {
            for (int k = 0; k < 4; ++k) put(e + 16 * k, fraction(words.w[k]));
        });
    }
}

// Box and Muller: the elements e and e + 16 come of the same two uniform numbers.
SN_KERNEL(normal, RandomArgs) {
    using C = Compute<SN_T>;
    SN_T* out = static_cast<SN_T*>(args.out);
    const C mean = static_cast<C>(args.first), deviation = static_cast<C>(args.second);
    const auto put = [&](int64_t e, C u, C angle) {
        const C radius = math::sqrt(C(-2) * math::log(u));
        if (e < args.count) store(out, e, mean + deviation * (radius * math::cos(angle)));
        if (e + 16 < args.count) store(out, e + 16, mean + deviation * (radius * math::sin(angle)));
    };
    if constexpr (kWideFloat) {
        for_blocks<2>(args, [&](const Words& words, int64_t e) {
            const double u = static_cast<double>((words.wide(0) >> 11) + 1) * 0x1p-53;
            put(e, u, 6.283185307179586 * fraction(words.wide(1)));
        });
    } else {
        for_blocks<4>(args, [&](const Words& words, int64_t e) {
            for (int k = 0; k < 4; k += 2) {
                const float u = static_cast<float>(words.w[k] >> 1) * 0x1p-31f + 0x1p-32f;
                put(e + 16 * k, u, 6.283185307179586f * fraction(words.w[k + 1]));
            }
        });
    }
}
#else
SN_KERNEL(integers, RandomArgs) {
    SN_T* out = static_cast<SN_T*>(args.out);
    for_blocks<2>(args, [&](const Words& words, int64_t e) {
        for (int k = 0; k < 2; ++k) {
            const auto scaled = static_cast<unsigned __int128>(words.wide(k)) * args.range;
            if (e + 16 * k < args.count)
                out[e + 16 * k] = static_cast<SN_T>(args.low + static_cast<uint64_t>(scaled >> 64));
        }
    });
}

SN_KERNEL(dropout, RandomArgs) {
    SN_T* out = static_cast<SN_T*>(args.out);
    for_blocks<4>(args, [&](const Words& words, int64_t e) {
        for (int k = 0; k < 4; ++k)
            if (e + 16 * k < args.count)
                out[e + 16 * k] = static_cast<SN_T>(words.w[k] >= args.limit);
    });
}
#endif
