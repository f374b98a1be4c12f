// What attention does with rows of scores between the products (docs/design/008). SN_T: elements of
// the operands; SN_S: of the mask.
#include "device.cuh"

#include "attention_args.h"
#include "op/math.h"

using namespace sn::cuda;

using C = Compute<SN_T>;

SN_DEVICE C exp_negative(C x) {
    return x < (sizeof(C) == 8 ? C(-700) : C(-86)) ? C(0) : math::exp_narrow(x);
}

SN_DEVICE bool multiplied(const ScoreArgs& args) {
    return (args.mask && !args.truth) || !(args.scale > 0);
}
SN_DEVICE C factor(const ScoreArgs& args) {
    return multiplied(args) ? C(1) : static_cast<C>(args.scale);
}
// The score without factor(). `matrix` is one of all.
SN_DEVICE C score(const ScoreArgs& args, C s, int64_t matrix, int64_t i, int64_t j) {
    if ((args.right >= 0 && j > i + args.right) || (args.left >= 0 && j < i - args.left))
        return lowest<C>();
    const C by = static_cast<C>(args.scale);
    if (!args.mask) return multiplied(args) ? s * by : s;
    const int64_t at = args.mask_at.offset((matrix * args.queries + i) * args.keys + j);
    const auto mask = load(static_cast<const SN_S*>(args.mask), at);
    if constexpr (is_boolean<SN_S>) {
        if (multiplied(args)) s = s * by;
        return s + (mask ? C(0) : lowest<C>());
    } else {
        return math::fma(s, by, static_cast<C>(mask));
    }
}

SN_DEVICE C kept(const ScoreArgs& args, int64_t matrix, int64_t i, int64_t j) {
    if (!args.dropped) return C(1);
    const uint64_t e = static_cast<uint64_t>((matrix * args.queries + i) * args.keys + j);
    const uint64_t block = e / 64 * 16 + e % 16;
    uint32_t c[4] = {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                     static_cast<uint32_t>(args.draw), static_cast<uint32_t>(args.draw >> 32)};
    uint32_t k0 = static_cast<uint32_t>(args.seed), k1 = static_cast<uint32_t>(args.seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const uint64_t a = static_cast<uint64_t>(0xD2511F53u) * c[0];
        const uint64_t b = static_cast<uint64_t>(0xCD9E8D57u) * c[2];
        c[0] = static_cast<uint32_t>(b >> 32) ^ c[1] ^ k0;
        c[2] = static_cast<uint32_t>(a >> 32) ^ c[3] ^ k1;
        c[1] = static_cast<uint32_t>(b);
        c[3] = static_cast<uint32_t>(a);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const int which = static_cast<int>(e % 64 / 16);
    const uint32_t word = which == 0 ? c[0] : which == 1 ? c[1] : which == 2 ? c[2] : c[3];
    return word < args.limit ? C(0) : static_cast<C>(args.kept);
}

inline constexpr int kLanes = 16;  // threads of a row

// Probabilities relative to the largest score so far, in blocks of keys.
SN_KERNEL(attention_rows, ScoreArgs) {
    SN_SHARED C p[kAttentionRows][kAttentionBlock + 1];
    SN_SHARED C tops[kAttentionRows][kLanes];
    SN_SHARED C sums[kAttentionRows];
    const int r = static_cast<int>(threadIdx.x) / kLanes,
              lane = static_cast<int>(threadIdx.x) % kLanes;
    const int64_t rows = args.matrices * args.queries;
    const C by = factor(args);
    for (int64_t first = static_cast<int64_t>(blockIdx.x) * kAttentionRows; first < rows;
         first += static_cast<int64_t>(gridDim.x) * kAttentionRows) {
        const int64_t row = first + r;
        const bool there = row < rows;
        const int64_t matrix = args.first_matrix + row / args.queries, i = row % args.queries;
        C* scores = static_cast<C*>(args.scores) + row * args.keys;
        C biggest = lowest<C>(), total = 0;
        for (int64_t b = 0; b < args.blocks; ++b) {
            const int64_t j0 = b * kAttentionBlock;
            const int count = static_cast<int>(smaller(kAttentionBlock, args.keys - j0));
            C top = lowest<C>();
            for (int j = lane; there && j < count; j += kLanes) {
                const C s = score(args, scores[j0 + j], matrix, i, j0 + j);
                p[r][j] = s;
                if (s > top) top = s;
            }
            tops[r][lane] = top;
            __syncthreads();
            for (int l = 0; l < kLanes; ++l)
                if (tops[r][l] > top) top = tops[r][l];
            top = top * by;
            const C before = biggest;
            if (top > biggest) biggest = top;
            const C base = biggest == lowest<C>() ? C(0) : biggest;
            for (int j = lane; there && j < count; j += kLanes) {
                const C x = exp_negative(math::fma(p[r][j], by, -base));
                p[r][j] = x;
                scores[j0 + j] = x * kept(args, matrix, i, j0 + j);
            }
            __syncthreads();
            if (lane == 0) {  // in order
                C sum = 0;
                for (int j = 0; there && j < count; ++j) sum = sum + p[r][j];
                sums[r] = sum;
            }
            __syncthreads();
            const C shrink = exp_negative(before - base);
            total = math::fma(total, shrink, sums[r]);
            if (there && lane == 0) static_cast<C*>(args.shrink)[row * args.blocks + b] = shrink;
        }
        if (there && lane == 0) {
            static_cast<C*>(args.inverse)[row] = total == C(0) ? C(0) : C(1) / total;
            static_cast<C*>(args.lse)[args.lse_at.offset(matrix * args.queries + i)] =
                biggest + math::log(total);
        }
        __syncthreads();
    }
}

// The probabilities again, and the gradients of the scores.
SN_KERNEL(attention_slopes, ScoreArgs) {
    constexpr int kParts = sizeof(C) == 8 ? 8 : 16;  // lanes of a sum of products
    SN_SHARED C lanes[kAttentionRows][kLanes];
    const int r = static_cast<int>(threadIdx.x) / kLanes,
              lane = static_cast<int>(threadIdx.x) % kLanes;
    const int64_t rows = args.matrices * args.queries;
    const C by = factor(args);
    for (int64_t first = static_cast<int64_t>(blockIdx.x) * kAttentionRows; first < rows;
         first += static_cast<int64_t>(gridDim.x) * kAttentionRows) {
        const int64_t row = first + r;
        const bool there = row < rows;
        const int64_t matrix = args.first_matrix + row / args.queries, i = row % args.queries;
        const int64_t line = matrix * args.queries + i;
        C sum = 0;
        for (int64_t d = lane; there && lane < kParts && d < args.width; d += kParts)
            sum = math::fma(
                load(static_cast<const SN_T*>(args.dout),
                     args.dout_at.offset(line * args.width + d)),
                load(static_cast<const SN_T*>(args.out), args.out_at.offset(line * args.width + d)),
                sum);
        lanes[r][lane] = sum;
        __syncthreads();
        for (int half = kParts / 2; half > 0; half /= 2) {
            if (lane < half) lanes[r][lane] = lanes[r][lane] + lanes[r][lane + half];
            __syncthreads();
        }
        const C delta = lanes[r][0];
        if (there) {
            C* scores = static_cast<C*>(args.scores) + row * args.keys;
            C* slopes = static_cast<C*>(args.slopes) + row * args.keys;
            const C l = static_cast<const C*>(args.lse)[args.lse_at.offset(line)];
            for (int64_t j = lane; j < args.keys; j += kLanes) {
                const C s = score(args, scores[j], matrix, i, j);
                const bool seen = s != lowest<C>();
                const C x = l == lowest<C>() || !seen ? C(0) : exp_negative(math::fma(s, by, -l));
                const C k = kept(args, matrix, i, j);
                const C dp = slopes[j] * k;
                scores[j] = x * k;
                const C slope = seen ? x * (dp - delta) : C(0);
                slopes[j] = slope;
                if (args.mask_grad)
                    store(static_cast<SN_T*>(args.mask_grad),
                          args.mask_grad_at.offset(line * args.keys + j), slope + C(0));
            }
        }
        __syncthreads();
    }
}
