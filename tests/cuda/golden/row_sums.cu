#include "program.cuh"
#define SN_MATH_PLAIN
#include "op/math.h"

typedef uint32_t Index;

SN_DEVICE float multiply_float16(float x, float y) { return round_to<f16>(math::multiply(x, y)); }

struct Args {
    long long rows;
    long long columns;
    const f16* x0;
    long long x0_0;
    const f16* x1;
    f16* y0;
};

SN_KERNEL_THREADS(program, Args, 256) {
    const int lane = static_cast<int>(threadIdx.x) % kReduceLanes;
    const int group = static_cast<int>(threadIdx.x) / kReduceLanes;
    const Index slots = static_cast<Index>(blockDim.x / kReduceLanes);
    const Index slot = static_cast<Index>(group);
    const Index rows = static_cast<Index>(args.rows);
    const Index columns = static_cast<Index>(args.columns);
    for (Index first = static_cast<Index>(blockIdx.x) * slots; first < rows; first += static_cast<Index>(gridDim.x) * slots) {
        const bool active = first + slot < rows;
        const Index row = active ? first + slot : 0;
        const Index i0 = row;
        const f16* px0 = args.x0 + static_cast<int64_t>(i0) * args.x0_0;
        const f16* px1 = args.x1;
        f16* py0 = args.y0 + i0;
        float all3;
        {
            const Index base = static_cast<Index>(lane);
            const int count = active ? lane_count(columns, base) : 0;
            float sum3 = identity<0, float>();
            for (int k = 0; k < count; k += 4) {
                const int left = count - k;
                float v0[4];
                float v1[4];
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    const int e = k + (u < left ? u : 0);
                    const Index i = base + static_cast<Index>(e * kReduceLanes);
                    const Index j1 = i;
                    v0[u] = load(px0 + j1);
                    v1[u] = load(px1 + j1);
                }
                SN_UNROLL(4)
                for (int u = 0; u < 4; ++u) {
                    if (u < left) {
                        const float v2 = multiply_float16(v0[u], v1[u]);
                        const float e2 = v2;
                        sum3 = combine<0>(sum3, e2);
                    }
                }
            }
            sum3 = fold_lanes<0>(sum3);
            all3 = first_lane(sum3);
        }
        const float v3 = round_to<f16>(all3);
        if (active && lane == 0) {
            store(py0, 0, v3);
        }
    }
}
