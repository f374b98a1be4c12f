#include "program.cuh"
#define SN_MATH_PLAIN
#include "op/math.h"

typedef uint32_t Index;

SN_DEVICE float square_float32(float x) { return static_cast<float>(math::multiply(x, x)); }

struct Args {
    long long rows;
    long long columns;
    const float* x0;
    long long x0_0;
    long long x0_2;
    float* y0;
    long long y0_0;
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
        const float* px0 = args.x0 + static_cast<int64_t>(i0) * args.x0_0 + i1;
        float* py0 = args.y0 + static_cast<int64_t>(i0) * args.y0_0 + i1;
        float* py1 = args.y1 + static_cast<int64_t>(i0) * args.y1_0 + i1;
        Moments<float> all2;
        float all3;
        {
            const Index base = static_cast<Index>(lane);
            const int count = active ? lane_count(columns, base) : 0;
            const int own = lane;
            float sum2 = identity<7, float>();
            float sum3 = identity<6, float>();
            for (int k = 0; k < count; k += 4) {
                const int left = count - k;
                float v0[4];
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    const int e = k + (u < left ? u : 0);
                    const Index i = base + static_cast<Index>(e * kReduceLanes);
                    const Index j2 = i;
                    v0[u] = load(px0 + static_cast<int64_t>(j2) * args.x0_2);
                }
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    if (u < left) {
                        const float v1 = square_float32(v0[u]);
                        const int at = own + (k + u) * kReduceLanes;
                        store(reinterpret_cast<float*>(place0), at, v1);
                        const float e1 = v1;
                        const float e0 = v0[u];
                        sum2 = combine<7>(sum2, e1);
                        sum3 = combine<6>(sum3, e0);
                    }
                }
            }
            sum2 = fold_lanes<7>(sum2);
            sum3 = fold_lanes<6>(sum3);
            const int size = static_cast<int>(columns);
            const float mean2 = first_lane(sum2) / static_cast<float>(size);
            float squares2 = 0;
            for (int k = 0; k < count; k += 4) {
                const int left = count - k;
                float v1[4];
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    const int e = k + (u < left ? u : 0);
                    const int at = own + e * kReduceLanes;
                    v1[u] = load(reinterpret_cast<const float*>(place0) + at);
                }
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    if (u < left) {
                        const float e1 = v1[u];
                        const float d2 = e1 - mean2;
                        squares2 = fused(d2, d2, squares2);
                    }
                }
            }
            squares2 = fold_lanes<kSum>(squares2);
            all2 = {first_lane(sum2), first_lane(squares2), size};
            all3 = first_lane(sum3);
        }
        const float v2 = round_to<float>(all2.squares / static_cast<float>(args.columns));
        const float v3 = round_to<float>(all3 / static_cast<float>(args.columns));
        if (active && lane == 0) {
            store(py0, 0, v2);
            store(py1, 0, v3);
        }
    }
}
