#include "program.cuh"
#define SN_MATH_PLAIN
#include "op/math.h"

typedef uint32_t Index;

SN_DEVICE float subtract_float32(float x, float y) { return static_cast<float>(math::subtract(x, y)); }
SN_DEVICE float exp_float32(float x) { return static_cast<float>(math::exp(x)); }
SN_DEVICE bool equal_int32(int32_t x, int32_t y) { return static_cast<bool>(x == y); }
SN_DEVICE float multiply_float32(float x, float y) { return static_cast<float>(math::multiply(x, y)); }
SN_DEVICE float log_float32(float x) { return static_cast<float>(math::log(x)); }

struct Args {
    long long rows;
    long long columns;
    long long blocks;
    long long parts;
    long long run;
    const float* x0;
    long long x0_0;
    const int32_t* x1;
    const int32_t* x2;
    float* y0;
    long long part3;
    long long part6;
    long long part11;
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
        const int32_t* px1 = args.x1;
        const int32_t* px2 = args.x2 + i0;
        float* py0 = args.y0 + i0;
        const int32_t v2 = load(px2);
        Tree<2, float> tree3;
        for (Index step = 0; step < run; ++step) {
            const Index block = part * run + step;
            const bool there = block < blocks;
            const Index base = block * kReduceBlock + static_cast<Index>(lane);
            const int count = there ? lane_count(columns, base) : 0;
            const int own = static_cast<int>(step) * kReduceBlock + lane;
            float sum3 = identity<2, float>();
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
                    if (u >= left) break;
                    const int at = own + (k + u) * kReduceLanes;
                    store(reinterpret_cast<float*>(place0), at, v0[u]);
                    const float e0 = v0[u];
                    sum3 = combine<2>(sum3, e0);
                }
            }
            sum3 = fold_lanes<2>(sum3);
            if (there) {
                tree3.push(sum3);
            }
        }
        float all3;
        if (args.parts == 1) {
            all3 = first_lane(tree3.result());
        } else {
            give_part(tree3, reinterpret_cast<float*>(memory + args.part3), group, lane);
            __syncthreads();
            all3 = take_parts<2>(reinterpret_cast<float*>(memory + args.part3), group - static_cast<int>(part), used);
        }
        const float v3 = round_to<float>(all3);
        Tree<0, float> tree6;
        Tree<0, float> tree11;
        for (Index step = 0; step < run; ++step) {
            const Index block = part * run + step;
            const bool there = block < blocks;
            const Index base = block * kReduceBlock + static_cast<Index>(lane);
            const int count = there ? lane_count(columns, base) : 0;
            const int own = static_cast<int>(step) * kReduceBlock + lane;
            float sum6 = identity<0, float>();
            float sum11 = identity<0, float>();
            for (int k = 0; k < count; k += 4) {
                const int left = count - k;
                float v0[4];
                int32_t v1[4];
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    const int e = k + (u < left ? u : 0);
                    const Index i = base + static_cast<Index>(e * kReduceLanes);
                    const Index j1 = i;
                    const int at = own + e * kReduceLanes;
                    v0[u] = load(reinterpret_cast<const float*>(place0) + at);
                    v1[u] = load(px1 + j1);
                }
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    if (u >= left) break;
                    const float v4 = subtract_float32(v0[u], v3);
                    const float v5 = exp_float32(v4);
                    const bool v7 = equal_int32(v1[u], v2);
                    const float v8 = cast_to<float, bool>(v7);
                    const float v9 = multiply_float32(v4, v8);
                    const float e5 = v5;
                    const float e9 = v9;
                    sum6 = combine<0>(sum6, e5);
                    sum11 = combine<0>(sum11, e9);
                }
            }
            sum6 = fold_lanes<0>(sum6);
            sum11 = fold_lanes<0>(sum11);
            if (there) {
                tree6.push(sum6);
                tree11.push(sum11);
            }
        }
        float all6;
        float all11;
        if (args.parts == 1) {
            all6 = first_lane(tree6.result());
            all11 = first_lane(tree11.result());
        } else {
            give_part(tree6, reinterpret_cast<float*>(memory + args.part6), group, lane);
            give_part(tree11, reinterpret_cast<float*>(memory + args.part11), group, lane);
            __syncthreads();
            all6 = take_parts<0>(reinterpret_cast<float*>(memory + args.part6), group - static_cast<int>(part), used);
            all11 = take_parts<0>(reinterpret_cast<float*>(memory + args.part11), group - static_cast<int>(part), used);
        }
        const float v6 = round_to<float>(all6);
        const float v11 = round_to<float>(all11);
        const float v10 = log_float32(v6);
        const float v12 = subtract_float32(v10, v11);
        if (active && part == 0 && lane == 0) {
            store(py0, 0, v12);
        }
        if (args.parts > 1) __syncthreads();
    }
}
