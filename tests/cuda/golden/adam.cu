#include "program.cuh"
#define SN_MATH_PLAIN
#include "op/math.h"

typedef uint32_t Index;

SN_DEVICE float multiply_float32(float x, float y) { return static_cast<float>(math::multiply(x, y)); }
SN_DEVICE float add_float32(float x, float y) { return static_cast<float>(math::add(x, y)); }
SN_DEVICE float sqrt_float32(float x) { return static_cast<float>(math::sqrt(x)); }
SN_DEVICE float divide_float32(float x, float y) { return static_cast<float>(x / y); }
SN_DEVICE float subtract_float32(float x, float y) { return static_cast<float>(math::subtract(x, y)); }

struct Args {
    long long chunks;
    long long columns;
    const float* x0;
    const float* x1;
    const float* x2;
    const float* x3;
    float* y0;
    float* y1;
    float* y2;
    long long wide;
    alignas(8) float n4;
    alignas(8) float n5;
    alignas(8) float n6;
    alignas(8) float n7;
    alignas(8) float n8;
    alignas(8) float n9;
};

SN_KERNEL(program, Args) {
    const float v4 = args.n4;
    const float v5 = args.n5;
    const float v6 = args.n6;
    const float v7 = args.n7;
    const float v8 = args.n8;
    const float v9 = args.n9;
    const Index chunks = static_cast<Index>(args.chunks);
    const Index columns = static_cast<Index>(args.columns);
    const Index step = static_cast<Index>(grid_stride());
    for (Index chunk = static_cast<Index>(grid_index()); chunk < chunks; chunk += step) {
        const Index column = chunk * 4;
        const int count = columns - column < 4 ? static_cast<int>(columns - column) : 4;
        const bool whole = args.wide && count == 4;
        const float* px0 = args.x0 + column;
        const float* px1 = args.x1 + column;
        const float* px2 = args.x2 + column;
        const float* px3 = args.x3 + column;
        float* py0 = args.y0 + column;
        float* py1 = args.y1 + column;
        float* py2 = args.y2 + column;
        float v0[4];
        float v1[4];
        float v2[4];
        float v3[4];
        if (whole) {
            const Pack<float, 4> wx0 = *reinterpret_cast<const Pack<float, 4>*>(px0);
            const Pack<float, 4> wx1 = *reinterpret_cast<const Pack<float, 4>*>(px1);
            const Pack<float, 4> wx2 = *reinterpret_cast<const Pack<float, 4>*>(px2);
            const Pack<float, 4> wx3 = *reinterpret_cast<const Pack<float, 4>*>(px3);
            SN_UNROLL(4)
            for (int u = 0; u < 4; ++u) {
                v0[u] = widen(wx0.x[u]);
                v1[u] = widen(wx1.x[u]);
                v2[u] = widen(wx2.x[u]);
                v3[u] = widen(wx3.x[u]);
            }
        } else {
            SN_UNROLL(4)
            for (int u = 0; u < 4; ++u) {
                const int at = u < count ? u : 0;
                v0[u] = widen(px0[at]);
                v1[u] = widen(px1[at]);
                v2[u] = widen(px2[at]);
                v3[u] = widen(px3[at]);
            }
        }
        Pack<float, 4> wy0;
        Pack<float, 4> wy1;
        Pack<float, 4> wy2;
        SN_UNROLL(4)
        for (int u = 0; u < 4; ++u) {
            const float v10 = multiply_float32(v2[u], v4);
            const float v11 = multiply_float32(v0[u], v5);
            const float v12 = add_float32(v10, v11);
            const float v13 = multiply_float32(v3[u], v6);
            const float v14 = multiply_float32(v0[u], v0[u]);
            const float v15 = multiply_float32(v14, v7);
            const float v16 = add_float32(v13, v15);
            const float v17 = multiply_float32(v12, v8);
            const float v18 = sqrt_float32(v16);
            const float v19 = add_float32(v18, v9);
            const float v20 = divide_float32(v17, v19);
            const float v21 = subtract_float32(v1[u], v20);
            wy0.x[u] = narrow<float>(v21);
            wy1.x[u] = narrow<float>(v12);
            wy2.x[u] = narrow<float>(v16);
        }
        if (whole) {
            *reinterpret_cast<Pack<float, 4>*>(py0) = wy0;
            *reinterpret_cast<Pack<float, 4>*>(py1) = wy1;
            *reinterpret_cast<Pack<float, 4>*>(py2) = wy2;
        } else {
            SN_UNROLL(4)
            for (int u = 0; u < 4; ++u) {
                if (u < count) {
                    py0[u] = wy0.x[u];
                    py1[u] = wy1.x[u];
                    py2[u] = wy2.x[u];
                }
            }
        }
    }
}
