#include "program.cuh"
#define SN_MATH_PLAIN
#include "op/math.h"

typedef uint32_t Index;

SN_DEVICE float multiply_float32(float x, float y) { return static_cast<float>(math::multiply(x, y)); }
SN_DEVICE float add_float32(float x, float y) { return static_cast<float>(math::add(x, y)); }
SN_DEVICE float gelu_float32(float x) { return static_cast<float>(math::gelu(x)); }
SN_DEVICE float sigmoid_float32(float x) { return static_cast<float>(math::sigmoid(x)); }

struct Args {
    long long chunks;
    long long columns;
    const float* x0;
    long long x0_0;
    const float* x1;
    float* y0;
    long long y0_0;
    long long wide;
    Divider per_line;
    alignas(8) float n2;
};

SN_KERNEL(program, Args) {
    const float v2 = args.n2;
    const Index chunks = static_cast<Index>(args.chunks);
    const Index columns = static_cast<Index>(args.columns);
    const Index step = static_cast<Index>(grid_stride());
    for (Index chunk = static_cast<Index>(grid_index()); chunk < chunks; chunk += step) {
        const Index line = quotient(chunk, args.per_line);
        const Index column = (chunk - line * static_cast<Index>(args.per_line.size)) * 4;
        const Index i0 = line;
        const int count = columns - column < 4 ? static_cast<int>(columns - column) : 4;
        const bool whole = args.wide && count == 4;
        const float* px0 = args.x0 + static_cast<int64_t>(i0) * args.x0_0 + column;
        const float* px1 = args.x1 + column;
        float* py0 = args.y0 + static_cast<int64_t>(i0) * args.y0_0 + column;
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
            const float v3 = multiply_float32(v0[u], v2);
            const float v4 = add_float32(v3, v1[u]);
            const float v5 = gelu_float32(v4);
            const float v6 = sigmoid_float32(v0[u]);
            const float v7 = multiply_float32(v5, v6);
            wy0.x[u] = narrow<float>(v7);
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
