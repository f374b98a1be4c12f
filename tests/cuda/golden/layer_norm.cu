#include "program.cuh"
#define SN_MATH_PLAIN
#include "op/math.h"

typedef uint32_t Index;

SN_DEVICE float add_float32(float x, float y) { return static_cast<float>(math::add(x, y)); }
SN_DEVICE float rsqrt_float32(float x) { return static_cast<float>(math::rsqrt(x)); }
SN_DEVICE float subtract_float32(float x, float y) { return static_cast<float>(math::subtract(x, y)); }
SN_DEVICE float multiply_float32(float x, float y) { return static_cast<float>(math::multiply(x, y)); }
SN_DEVICE float multiply_bfloat16(float x, float y) { return round_to<bf16>(math::multiply(x, y)); }
SN_DEVICE float add_bfloat16(float x, float y) { return round_to<bf16>(math::add(x, y)); }

struct Args {
    long long rows;
    long long columns;
    const bf16* x0;
    long long x0_0;
    const bf16* x1;
    const bf16* x2;
    bf16* y0;
    long long y0_0;
    float* y1;
    float* y2;
    long long stride;
    long long place0;
    alignas(8) float n3;
};

SN_KERNEL_THREADS(program, Args, 256) {
    SN_DYNAMIC_SHARED(char, memory);
    const int lane = static_cast<int>(threadIdx.x) % kReduceLanes;
    const int group = static_cast<int>(threadIdx.x) / kReduceLanes;
    const Index slots = static_cast<Index>(blockDim.x / kReduceLanes);
    const Index slot = static_cast<Index>(group);
    const Index rows = static_cast<Index>(args.rows);
    const Index columns = static_cast<Index>(args.columns);
    const int64_t own_part = group;
    char* const place0 = memory + args.place0 + own_part * args.stride * 2;
    const float v3 = args.n3;
    for (Index first = static_cast<Index>(blockIdx.x) * slots; first < rows; first += static_cast<Index>(gridDim.x) * slots) {
        const bool active = first + slot < rows;
        const Index row = active ? first + slot : 0;
        const Index i0 = row;
        const bf16* px0 = args.x0 + static_cast<int64_t>(i0) * args.x0_0;
        const bf16* px1 = args.x1;
        const bf16* px2 = args.x2;
        bf16* py0 = args.y0 + static_cast<int64_t>(i0) * args.y0_0;
        float* py1 = args.y1 + i0;
        float* py2 = args.y2 + i0;
        Moments<float> all6;
        {
            const Index base = static_cast<Index>(lane);
            const int count = active ? lane_count(columns, base) : 0;
            const int own = lane;
            float sum6 = identity<7, float>();
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
                        const float v4 = cast_to<float, bf16>(v0[u]);
                        const int at = own + (k + u) * kReduceLanes;
                        store(reinterpret_cast<bf16*>(place0), at, v0[u]);
                        const float e4 = v4;
                        sum6 = combine<7>(sum6, e4);
                    }
                }
            }
            sum6 = fold_lanes<7>(sum6);
            const int size = static_cast<int>(columns);
            const float mean6 = first_lane(sum6) / static_cast<float>(size);
            float squares6 = 0;
            for (int k = 0; k < count; k += 4) {
                const int left = count - k;
                float v0[4];
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    const int e = k + (u < left ? u : 0);
                    const int at = own + e * kReduceLanes;
                    v0[u] = load(reinterpret_cast<const bf16*>(place0) + at);
                }
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    if (u < left) {
                        const float v4 = cast_to<float, bf16>(v0[u]);
                        const float e4 = v4;
                        const float d6 = e4 - mean6;
                        squares6 = fused(d6, d6, squares6);
                    }
                }
            }
            squares6 = fold_lanes<kSum>(squares6);
            all6 = {first_lane(sum6), first_lane(squares6), size};
        }
        const float v6 = round_to<float>(all6.squares / static_cast<float>(args.columns));
        const float v5 = round_to<float>(all6.sum / static_cast<float>(args.columns));
        const float v7 = add_float32(v6, v3);
        const float v8 = rsqrt_float32(v7);
        {
            const Index base = static_cast<Index>(lane);
            const int count = active ? lane_count(columns, base) : 0;
            const int own = lane;
            for (int k = 0; k < count; k += 4) {
                const int left = count - k;
                float v0[4];
                float v1[4];
                float v2[4];
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    const int e = k + (u < left ? u : 0);
                    const Index i = base + static_cast<Index>(e * kReduceLanes);
                    const Index j1 = i;
                    const int at = own + e * kReduceLanes;
                    v0[u] = load(reinterpret_cast<const bf16*>(place0) + at);
                    v1[u] = load(px1 + j1);
                    v2[u] = load(px2 + j1);
                }
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    if (u < left) {
                        const float v4 = cast_to<float, bf16>(v0[u]);
                        const float v9 = subtract_float32(v4, v5);
                        const float v10 = multiply_float32(v9, v8);
                        const float v11 = cast_to<bf16, float>(v10);
                        const float v12 = multiply_bfloat16(v11, v1[u]);
                        const float v13 = add_bfloat16(v12, v2[u]);
                        const float e13 = v13;
                        const Index i = base + static_cast<Index>((k + u) * kReduceLanes);
                        const Index j1 = i;
                        store(py0 + j1, 0, e13);
                    }
                }
            }
        }
        if (active && lane == 0) {
            store(py1, 0, v5);
            store(py2, 0, v8);
        }
    }
}
