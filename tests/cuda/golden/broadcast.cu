#include "program.cuh"
#define SN_MATH_PLAIN
#include "op/math.h"

typedef uint32_t Index;

SN_DEVICE double exp_float64(double x) { return static_cast<double>(math::exp(x)); }
SN_DEVICE double square_float64(double x) { return static_cast<double>(math::multiply(x, x)); }
SN_DEVICE double add_float64(double x, double y) { return static_cast<double>(math::add(x, y)); }
SN_DEVICE double multiply_float64(double x, double y) { return static_cast<double>(math::multiply(x, y)); }

struct Args {
    long long chunks;
    long long columns;
    const double* x0;
    long long x0_0;
    long long x0_1;
    const double* x1;
    const double* x2;
    double* y0;
    long long y0_0;
    long long y0_1;
    long long wide;
    Divider per_line;
    Divider size1;
};

SN_KERNEL(program, Args) {
    const double v2 = load(args.x2);
    const double v5 = exp_float64(v2);
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
        const double* px0 = args.x0 + static_cast<int64_t>(i0) * args.x0_0 + static_cast<int64_t>(i1) * args.x0_1 + column;
        const double* px1 = args.x1 + i1;
        double* py0 = args.y0 + static_cast<int64_t>(i0) * args.y0_0 + static_cast<int64_t>(i1) * args.y0_1 + column;
        const double v1 = load(px1);
        const double v3 = square_float64(v1);
        double v0[2];
        if (whole) {
            const Pack<double, 2> wx0 = *reinterpret_cast<const Pack<double, 2>*>(px0);
            SN_UNROLL(2)
            for (int u = 0; u < 2; ++u) {
                v0[u] = widen(wx0.x[u]);
            }
        } else {
            SN_UNROLL(2)
            for (int u = 0; u < 2; ++u) {
                const int at = u < count ? u : 0;
                v0[u] = widen(px0[at]);
            }
        }
        Pack<double, 2> wy0;
        SN_UNROLL(2)
        for (int u = 0; u < 2; ++u) {
            const double v4 = add_float64(v0[u], v3);
            const double v6 = multiply_float64(v4, v5);
            wy0.x[u] = narrow<double>(v6);
        }
        if (whole) {
            *reinterpret_cast<Pack<double, 2>*>(py0) = wy0;
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
