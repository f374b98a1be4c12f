#include "program.cuh"
#define SN_MATH_PLAIN
#include "op/math.h"

typedef uint32_t Index;

SN_DEVICE float relu_float32(float x) { return static_cast<float>(math::relu(x)); }

struct Args {
    long long chunks;
    long long columns;
    const float* x0;
    float* y0;
    long long wide;
};

SN_KERNEL(program, Args) {
    const Index chunks = static_cast<Index>(args.chunks);
    const Index columns = static_cast<Index>(args.columns);
    const Index step = static_cast<Index>(grid_stride());
    for (Index chunk = static_cast<Index>(grid_index()); chunk < chunks; chunk += step) {
        const Index column = chunk * 4;
        const int count = columns - column < 4 ? static_cast<int>(columns - column) : 4;
        const bool whole = args.wide && count == 4;
        const float* px0 = args.x0 + column;
        float* py0 = args.y0 + column;
        float v0[4];
        if (whole) {
            const Pack<float, 4> wx0 = *reinterpret_cast<const Pack<float, 4>*>(px0);
            SN_UNROLL(4)
            for (int u = 0; u < 4; ++u) {
                v0[u] = widen(wx0.x[u]);
            }
        } else {
            SN_UNROLL(4)
            for (int u = 0; u < 4; ++u) {
                const int at = u < count ? u : 0;
                v0[u] = widen(px0[at]);
            }
        }
        Pack<float, 4> wy0;
        SN_UNROLL(4)
        for (int u = 0; u < 4; ++u) {
            const float v1 = relu_float32(v0[u]);
            wy0.x[u] = narrow<float>(v1);
        }
        if (whole) {
            *reinterpret_cast<Pack<float, 4>*>(py0) = wy0;
        } else {
            SN_UNROLL(4)
            for (int u = 0; u < 4; ++u) {
                if (u < count) {
                    py0[u] = wy0.x[u];
                }
            }
        }
    }
}
