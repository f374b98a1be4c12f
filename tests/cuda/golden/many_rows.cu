#include "program.cuh"
#define SN_MATH_PLAIN
#include "op/math.h"

typedef int64_t Index;

SN_DEVICE float subtract_float32(float x, float y) { return static_cast<float>(math::subtract(x, y)); }

struct Args {
    long long rows;
    long long columns;
    const float* x0;
    long long x0_0;
    long long x0_1;
    float* y0;
    long long y0_0;
    long long y0_1;
    float* y1;
    long long y1_0;
    Divider size1;
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
        const Index i_rest1 = quotient(row, args.size1);
        const Index i1 = row - i_rest1 * static_cast<Index>(args.size1.size);
        const Index i0 = i_rest1;
        const float* px0 = args.x0 + static_cast<int64_t>(i0) * args.x0_0 + static_cast<int64_t>(i1) * args.x0_1;
        float* py0 = args.y0 + static_cast<int64_t>(i0) * args.y0_0 + static_cast<int64_t>(i1) * args.y0_1;
        float* py1 = args.y1 + static_cast<int64_t>(i0) * args.y1_0 + i1;
        float all1;
        {
            const Index base = static_cast<Index>(lane);
            const int count = active ? lane_count(columns, base) : 0;
            const int own = lane;
            float sum1 = identity<0, float>();
            for (int k = 0; k < count; k += 4) {
                const int left = count - k;
                float v0[4];
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    const int e = k + (u < left ? u : 0);
                    const Index i = base + static_cast<Index>(e * kReduceLanes);
                    const Index j2 = i;
                    v0[u] = load(px0 + j2);
                }
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    if (u < left) {
                        const int at = own + (k + u) * kReduceLanes;
                        store(reinterpret_cast<float*>(place0), at, v0[u]);
                        const float e0 = v0[u];
                        sum1 = combine<0>(sum1, e0);
                    }
                }
            }
            sum1 = fold_lanes<0>(sum1);
            all1 = first_lane(sum1);
        }
        const float v1 = round_to<float>(all1);
        {
            const Index base = static_cast<Index>(lane);
            const int count = active ? lane_count(columns, base) : 0;
            const int own = lane;
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
                        const float e2 = v2;
                        const Index i = base + static_cast<Index>((k + u) * kReduceLanes);
                        const Index j2 = i;
                        store(py0 + j2, 0, e2);
                    }
                }
            }
        }
        if (active && lane == 0) {
            store(py1, 0, v1);
        }
    }
}
