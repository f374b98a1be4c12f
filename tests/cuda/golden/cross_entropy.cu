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
    const float* x0;
    long long x0_0;
    const int32_t* x1;
    const int32_t* x2;
    float* y0;
    long long stride;
    long long place0;
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
    char* const place0 = memory + args.place0 + own_part * args.stride * 4;
    for (Index first = static_cast<Index>(blockIdx.x) * slots; first < rows; first += static_cast<Index>(gridDim.x) * slots) {
        const bool active = first + slot < rows;
        const Index row = active ? first + slot : 0;
        const Index i0 = row;
        const float* px0 = args.x0 + static_cast<int64_t>(i0) * args.x0_0;
        const int32_t* px1 = args.x1;
        const int32_t* px2 = args.x2 + i0;
        float* py0 = args.y0 + i0;
        const int32_t v2 = load(px2);
        float all3;
        {
            const Index base = static_cast<Index>(lane);
            const int count = active ? lane_count(columns, base) : 0;
            const int own = lane;
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
                    if (u < left) {
                        const int at = own + (k + u) * kReduceLanes;
                        store(reinterpret_cast<float*>(place0), at, v0[u]);
                        const float e0 = v0[u];
                        sum3 = combine<2>(sum3, e0);
                    }
                }
            }
            sum3 = fold_lanes<2>(sum3);
            all3 = first_lane(sum3);
        }
        const float v3 = round_to<float>(all3);
        float all6;
        float all11;
        {
            const Index base = static_cast<Index>(lane);
            const int count = active ? lane_count(columns, base) : 0;
            const int own = lane;
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
                    if (u < left) {
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
            }
            sum6 = fold_lanes<0>(sum6);
            sum11 = fold_lanes<0>(sum11);
            all6 = first_lane(sum6);
            all11 = first_lane(sum11);
        }
        const float v6 = round_to<float>(all6);
        const float v11 = round_to<float>(all11);
        const float v10 = log_float32(v6);
        const float v12 = subtract_float32(v10, v11);
        if (active && lane == 0) {
            store(py0, 0, v12);
        }
    }
}
