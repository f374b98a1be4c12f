#include "program.cuh"
#define SN_MATH_PLAIN
#include "op/math.h"

typedef uint32_t Index;

SN_DEVICE float subtract_float32(float x, float y) { return static_cast<float>(math::subtract(x, y)); }
SN_DEVICE float exp_float32(float x) { return static_cast<float>(math::exp(x)); }
SN_DEVICE float divide_float32(float x, float y) { return static_cast<float>(x / y); }

struct Args {
    long long rows;
    long long columns;
    long long blocks;
    long long parts;
    long long run;
    const float* x0;
    long long x0_0;
    float* y0;
    long long y0_0;
    long long part1;
    long long part4;
    long long stride;
    long long place0;
};

SN_KERNEL_THREADS(program, Args, 256) {
    SN_DYNAMIC_SHARED(char, memory);
    const int lane = static_cast<int>(threadIdx.x) % kReduceLanes;
    const int group = static_cast<int>(threadIdx.x) / kReduceLanes;
    const Index part = static_cast<Index>(group) & static_cast<Index>(args.parts - 1);
    const Index slots = static_cast<Index>(blockDim.x / kReduceLanes / args.parts);
    const Index slot = static_cast<Index>(group) / static_cast<Index>(args.parts);
    const Index rows = static_cast<Index>(args.rows);
    const Index columns = static_cast<Index>(args.columns);
    const Index run = static_cast<Index>(args.run);
    const int used = static_cast<int>((args.blocks + args.run - 1) / args.run);
    const int64_t own_part = static_cast<int64_t>(slot) * used + part;
    char* const place0 = memory + args.place0 + own_part * args.stride * 4;
    for (Index first = static_cast<Index>(blockIdx.x) * slots; first < rows; first += static_cast<Index>(gridDim.x) * slots) {
        const bool active = first + slot < rows;
        const Index row = active ? first + slot : 0;
        const Index blocks = active ? static_cast<Index>(args.blocks) : 0;
        const Index i0 = row;
        const float* px0 = args.x0 + static_cast<int64_t>(i0) * args.x0_0;
        float* py0 = args.y0 + static_cast<int64_t>(i0) * args.y0_0;
        Tree<2, float> tree1;
        for (Index step = 0; step < run; ++step) {
            const Index block = part * run + step;
            const bool there = block < blocks;
            const Index base = block * kReduceBlock + static_cast<Index>(lane);
            const int count = there ? lane_count(columns, base) : 0;
            const int own = static_cast<int>(step) * kReduceBlock + lane;
            float sum1 = identity<2, float>();
            for (int k = 0; k < count; k += 4) {
                const int left = count - k;
                float v0[4];
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    const int e = k + (u < left ? u : 0);
                    const Index i = base + static_cast<Index>(e * kReduceLanes);
                    const Index j1 = i;
                    v0[u] = load(px0 + j1);
                }
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    if (u < left) {
                        const int at = own + (k + u) * kReduceLanes;
                        store(reinterpret_cast<float*>(place0), at, v0[u]);
                        const float e0 = v0[u];
                        sum1 = combine<2>(sum1, e0);
                    }
                }
            }
            sum1 = fold_lanes<2>(sum1);
            if (there) {
                tree1.push(sum1);
            }
        }
        give_part(tree1, reinterpret_cast<float*>(memory + args.part1), group, lane);
        __syncthreads();
        const float all1 = take_parts<2>(reinterpret_cast<float*>(memory + args.part1), group - static_cast<int>(part), used);
        const float v1 = round_to<float>(all1);
        Tree<0, float> tree4;
        for (Index step = 0; step < run; ++step) {
            const Index block = part * run + step;
            const bool there = block < blocks;
            const Index base = block * kReduceBlock + static_cast<Index>(lane);
            const int count = there ? lane_count(columns, base) : 0;
            const int own = static_cast<int>(step) * kReduceBlock + lane;
            float sum4 = identity<0, float>();
            for (int k = 0; k < count; k += 4) {
                const int left = count - k;
                float v0[4];
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    const int e = k + (u < left ? u : 0);
                    const int at = own + e * kReduceLanes;
                    v0[u] = load(reinterpret_cast<const float*>(place0) + at);
                }
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    if (u < left) {
                        const float v2 = subtract_float32(v0[u], v1);
                        const float v3 = exp_float32(v2);
                        const int at = own + (k + u) * kReduceLanes;
                        store(reinterpret_cast<float*>(place0), at, v3);
                        const float e3 = v3;
                        sum4 = combine<0>(sum4, e3);
                    }
                }
            }
            sum4 = fold_lanes<0>(sum4);
            if (there) {
                tree4.push(sum4);
            }
        }
        give_part(tree4, reinterpret_cast<float*>(memory + args.part4), group, lane);
        __syncthreads();
        const float all4 = take_parts<0>(reinterpret_cast<float*>(memory + args.part4), group - static_cast<int>(part), used);
        const float v4 = round_to<float>(all4);
        for (Index step = 0; step < run; ++step) {
            const Index block = part * run + step;
            const bool there = block < blocks;
            const Index base = block * kReduceBlock + static_cast<Index>(lane);
            const int count = there ? lane_count(columns, base) : 0;
            const int own = static_cast<int>(step) * kReduceBlock + lane;
            for (int k = 0; k < count; k += 4) {
                const int left = count - k;
                float v3[4];
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    const int e = k + (u < left ? u : 0);
                    const int at = own + e * kReduceLanes;
                    v3[u] = load(reinterpret_cast<const float*>(place0) + at);
                }
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    if (u < left) {
                        const float v5 = divide_float32(v3[u], v4);
                        const float e5 = v5;
                        const Index i = base + static_cast<Index>((k + u) * kReduceLanes);
                        const Index j1 = i;
                        store(py0 + j1, 0, e5);
                    }
                }
            }
        }
        __syncthreads();
    }
}
