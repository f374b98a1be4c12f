#include "program.cuh"
#define SN_MATH_PLAIN
#include "op/math.h"

typedef uint32_t Index;

SN_DEVICE float add_float32(float x, float y) { return static_cast<float>(math::add(x, y)); }

struct Args {
    long long chunks;
    long long columns;
    const float* x0;
    long long x0_1;
    long long x0_2;
    const int64_t* x1;
    long long x1_0;
    long long x1_1;
    long long x1_2;
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
        const Index column = (chunk - line * static_cast<Index>(args.per_line.size)) * 2;
        const Index i_rest1 = quotient(line, args.size1);
        const Index i1 = line - i_rest1 * static_cast<Index>(args.size1.size);
        const Index i0 = i_rest1;
        const int count = columns - column < 2 ? static_cast<int>(columns - column) : 2;
        const bool whole = args.wide && count == 2;
        const float* px0 = args.x0 + i0 + static_cast<int64_t>(i1) * args.x0_1 + static_cast<int64_t>(column) * args.x0_2;
        const int64_t* px1 = args.x1 + static_cast<int64_t>(i0) * args.x1_0 + static_cast<int64_t>(i1) * args.x1_1 + static_cast<int64_t>(column) * args.x1_2;
        float* py0 = args.y0 + static_cast<int64_t>(i0) * args.y0_0 + static_cast<int64_t>(i1) * args.y0_1 + column;
        float v0[2];
        int64_t v1[2];
        if (whole) {
            SN_UNROLL(2)
            for (int u = 0; u < 2; ++u) {
                v0[u] = widen(px0[u * args.x0_2]);
                v1[u] = widen(px1[u * args.x1_2]);
            }
        } else {
            SN_UNROLL(2)
            for (int u = 0; u < 2; ++u) {
                const int at = u < count ? u : 0;
                v0[u] = widen(px0[at * args.x0_2]);
                v1[u] = widen(px1[at * args.x1_2]);
            }
        }
        Pack<float, 2> wy0;
        SN_UNROLL(2)
        for (int u = 0; u < 2; ++u) {
            const float v2 = cast_to<float, int64_t>(v1[u]);
            const float v3 = add_float32(v0[u], v2);
            wy0.x[u] = narrow<float>(v3);
        }
        if (whole) {
            *reinterpret_cast<Pack<float, 2>*>(py0) = wy0;
        } else {
            SN_UNROLL(2)
            for (int u = 0; u < 2; ++u) {
                if (u < count) {
                    py0[u] = wy0.x[u];
                }
            }
        }
    }
}
