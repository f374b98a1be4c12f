#include "program.cuh"
#define SN_MATH_PLAIN
#include "op/math.h"

typedef uint32_t Index;

SN_DEVICE float add_float16(float x, float y) { return round_to<f16>(math::add(x, y)); }
SN_DEVICE float tanh_float16(float x) { return round_to<f16>(math::tanh(x)); }
SN_DEVICE bool greater_float16(float x, float y) { return static_cast<bool>(x > y); }
SN_DEVICE float nextafter_float16(float x, float y) { return next_half<f16>(x, y); }
SN_DEVICE float where_float16(bool x, float y, float z) { return static_cast<float>(x ? y : z); }

struct Args {
    long long chunks;
    long long columns;
    const f16* x0;
    const f16* x1;
    f16* y0;
    bf16* y1;
    long long wide;
};

SN_KERNEL(program, Args) {
    const Index chunks = static_cast<Index>(args.chunks);
    const Index columns = static_cast<Index>(args.columns);
    const Index step = static_cast<Index>(grid_stride());
    for (Index chunk = static_cast<Index>(grid_index()); chunk < chunks; chunk += step) {
        const Index column = chunk * 8;
        const int count = columns - column < 8 ? static_cast<int>(columns - column) : 8;
        const bool whole = args.wide && count == 8;
        const f16* px0 = args.x0 + column;
        const f16* px1 = args.x1 + column;
        f16* py0 = args.y0 + column;
        bf16* py1 = args.y1 + column;
        float v0[8];
        float v1[8];
        if (whole) {
            const Pack<f16, 8> wx0 = *reinterpret_cast<const Pack<f16, 8>*>(px0);
            const Pack<f16, 8> wx1 = *reinterpret_cast<const Pack<f16, 8>*>(px1);
            SN_UNROLL(8)
            for (int u = 0; u < 8; ++u) {
                v0[u] = widen(wx0.x[u]);
                v1[u] = widen(wx1.x[u]);
            }
        } else {
            SN_UNROLL(8)
            for (int u = 0; u < 8; ++u) {
                const int at = u < count ? u : 0;
                v0[u] = widen(px0[at]);
                v1[u] = widen(px1[at]);
            }
        }
        Pack<f16, 8> wy0;
        Pack<bf16, 8> wy1;
        SN_UNROLL(8)
        for (int u = 0; u < 8; ++u) {
            const float v2 = add_float16(v0[u], v1[u]);
            const float v3 = tanh_float16(v2);
            const bool v4 = greater_float16(v0[u], v1[u]);
            const float v5 = nextafter_float16(v3, v1[u]);
            const float v6 = where_float16(v4, v3, v5);
            const float v7 = cast_to<bf16, f16>(v3);
            wy0.x[u] = narrow<f16>(v6);
            wy1.x[u] = narrow<bf16>(v7);
        }
        if (whole) {
            *reinterpret_cast<Pack<f16, 8>*>(py0) = wy0;
            *reinterpret_cast<Pack<bf16, 8>*>(py1) = wy1;
        } else {
            SN_UNROLL(8)
            for (int u = 0; u < 8; ++u) {
                if (u < count) {
                    py0[u] = wy0.x[u];
                    py1[u] = wy1.x[u];
                }
            }
        }
    }
}
