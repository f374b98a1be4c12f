#include "program.cuh"
#define SN_MATH_PLAIN
#include "op/math.h"

typedef int64_t Index;

SN_DEVICE float multiply_float32(float x, float y) { return static_cast<float>(math::multiply(x, y)); }

struct Args {
    long long chunks;
    long long columns;
    const float* x0;
    long long x0_0;
    long long x0_1;
    const float* x1;
    long long x1_1;
    float* y0;
    long long y0_0;
    long long y0_1;
    long long wide;
    Divider per_line;
    Divider size1;
};

SN_KERNEL(program, Args) {
    const Index chunks = static_cast<Index>(args.chunks);
    const Index columns = static_cast<Index>(args.columns);
    const Index step = static_cast<Index>(grid_stride());
    for (Index chunk = static_cast<Index>(grid_index()); chunk < chunks; chunk += step) {
        const Index line = quotient(chunk, args.per_line);
        const Index column = (chunk - line * static_cast<Index>(args.per_line.size)) * 4;
        const Index i_rest1 = quotient(line, args.size1);
        const Index i1 = line - i_rest1 * static_cast<Index>(args.size1.size);
        const Index i0 = i_rest1;
        const int count = columns - column < 4 ? static_cast<int>(columns - column) : 4;
        const bool whole = args.wide && count == 4;
        const float* px0 = args.x0 + static_cast<int64_t>(i0) * args.x0_0 + static_cast<int64_t>(i1) * args.x0_1 + column;
        const float* px1 = args.x1 + static_cast<int64_t>(i1) * args.x1_1 + column;
        float* py0 = args.y0 + static_cast<int64_t>(i0) * args.y0_0 + static_cast<int64_t>(i1) * args.y0_1 + column;
        float v0[4];
        float v1[4];
        if (whole) {
            const Pack<float, 4> wx0 = *reinterpret_cast<const Pack<float, 4>*>(px0);
            const Pack<float, 4> wx1 = *reinterpret_cast<const Pack<float, 4>*>(px1);
            SN_UNROLL(4)
            for (int u = 0; u < 4; ++u) {
                v0[u] = widen(wx0.x[u]);
                v1[u] = widen(wx1.x[u]);
            }
        } else {
            SN_UNROLL(4)
            for (int u = 0; u < 4; ++u) {
                const int at = u < count ? u : 0;
                v0[u] = widen(px0[at]);
                v1[u] = widen(px1[at]);
            }
        }
        Pack<float, 4> wy0;
        SN_UNROLL(4)
        for (int u = 0; u < 4; ++u) {
            const float v2 = multiply_float32(v0[u], v1[u]);
            wy0.x[u] = narrow<float>(v2);
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
