// Matrix products and convolutions: chains of fused multiply-adds over k in order, in segments that
// are added left to right.
#include "backend/reference/chain.h"

namespace sn::reference {
namespace {

// The operand with its batch dimensions broadcast to those of the result.
template <class T>
std::vector<T> read_stack(const TensorView& v, const TensorView& out) {
    std::vector<int64_t> shape(out.shape, out.shape + out.rank), strides(shape.size(), 0);
    for (int d = 0; d < v.rank; ++d) {
        const int to = out.rank - v.rank + d;
        const bool matrix = d >= v.rank - 2;
        if (matrix) shape[to] = v.shape[d];
        strides[to] = matrix || v.shape[d] != 1 ? v.strides[d] : 0;
    }
    return read<T>({v.data, shape.data(), strides.data(), out.rank, v.dtype});
}

void matmul(const KernelCall& c) {
    const TensorView &a = c.in[0], &b = c.in[1], &out = c.out[0];
    const int64_t m = out.shape[out.rank - 2], n = out.shape[out.rank - 1], k = a.shape[a.rank - 1];
    with_type(a.dtype, [&](auto zero) {
        using T = decltype(zero);
        const std::vector<T> x = read_stack<T>(a, out), y = read_stack<T>(b, out);
        std::vector<T> result;
        for (int64_t e = 0, count = out.numel(); e < count; ++e) {
            const int64_t batch = e / (m * n), i = e / n % m, j = e % n;
            Chain<T> chain(kMatmulSegment);
            for (int64_t p = 0; p < k; ++p)
                chain.add(p, x[(batch * m + i) * k + p], y[(batch * k + p) * n + j]);
            result.push_back(chain.finish());
        }
        write(out, result);
    });
}

// ---- convolution, in three dimensions: lower ranks have sizes of 1 in front

struct Point {
    int64_t d[3];
};

struct Geometry {
    int64_t batch, channels, features, groups;  // x has channels, y has features
    Point in{{1, 1, 1}}, out{{1, 1, 1}}, kernel{{1, 1, 1}};
    Point stride{{1, 1, 1}}, dilation{{1, 1, 1}}, pad{{0, 0, 0}};

    // Attributes: stride, pad_low, pad_high, dilation, groups.
    Geometry(const TensorView& x, const TensorView& w, const TensorView& y, const int64_t* attrs)
        : batch(x.shape[0]), channels(x.shape[1]), features(y.shape[1]) {
        Words words(attrs);
        const auto strides = words.list(), pad_low = words.list(), pad_high = words.list(),
                   dilations = words.list();
        groups = words.next();
        const int lead = 5 - x.rank;
        for (int i = 0; i < x.rank - 2; ++i) {
            in.d[lead + i] = x.shape[2 + i];
            out.d[lead + i] = y.shape[2 + i];
            kernel.d[lead + i] = w.shape[2 + i];
            stride.d[lead + i] = strides[i];
            dilation.d[lead + i] = dilations[i];
            pad.d[lead + i] = pad_low[i];
        }
    }
    static int64_t size(const Point& p) { return p.d[0] * p.d[1] * p.d[2]; }
    static Point point(int64_t i, const Point& shape) {
        return {{i / (shape.d[1] * shape.d[2]), i / shape.d[2] % shape.d[1], i % shape.d[2]}};
    }
    static int64_t index(const Point& p, const Point& shape) {
        return (p.d[0] * shape.d[1] + p.d[1]) * shape.d[2] + p.d[2];
    }
    // The input pixel that a tap of an output pixel reads, or -1 outside of the image.
    int64_t input_of(int64_t output, int64_t tap) const {
        const Point o = point(output, out), t = point(tap, kernel);
        Point i;
        for (int k = 0; k < 3; ++k) {
            i.d[k] = o.d[k] * stride.d[k] - pad.d[k] + t.d[k] * dilation.d[k];
            if (i.d[k] < 0 || i.d[k] >= in.d[k]) return -1;
        }
        return index(i, in);
    }
    // The output pixel that reads an input pixel through a tap, or -1.
    int64_t output_of(int64_t input, int64_t tap) const {
        const Point i = point(input, in), t = point(tap, kernel);
        Point o;
        for (int k = 0; k < 3; ++k) {
            const int64_t from = i.d[k] + pad.d[k] - t.d[k] * dilation.d[k];
            if (from < 0 || from % stride.d[k] || from / stride.d[k] >= out.d[k]) return -1;
            o.d[k] = from / stride.d[k];
        }
        return index(o, out);
    }
};

template <class F>
void with_float(DType dtype, F f) {
    dtype == DType::kF64 ? f(double()) : f(float());
}

// k runs over taps, then channels of the group.
void conv(const KernelCall& c) {
    const TensorView &x = c.in[0], &w = c.in[1], &y = c.out[0];
    const Geometry g(x, w, y, c.attrs);
    const int64_t taps = g.size(g.kernel), in = g.size(g.in), out = g.size(g.out);
    const int64_t channels = w.shape[1], features = g.features / g.groups;
    with_float(x.dtype, [&](auto zero) {
        using T = decltype(zero);
        const std::vector<T> xs = read<T>(x), ws = read<T>(w);
        std::vector<T> result;
        for (int64_t e = 0, count = y.numel(); e < count; ++e) {
            const int64_t n = e / (g.features * out), f = e / out % g.features, pixel = e % out;
            Chain<T> chain(kMatmulSegment);
            for (int64_t tap = 0; tap < taps; ++tap) {
                const int64_t from = g.input_of(pixel, tap);
                if (from < 0) continue;
                for (int64_t ch = 0; ch < channels; ++ch) {
                    const int64_t channel = f / features * channels + ch;
                    chain.add(tap * channels + ch, xs[(n * g.channels + channel) * in + from],
                              ws[(f * channels + ch) * taps + tap]);
                }
            }
            result.push_back(chain.finish());
        }
        write(y, result);
    });
}

// k runs over taps in descending order, then features of the group.
void conv_data_grad(const KernelCall& c) {
    const TensorView &dy = c.in[0], &w = c.in[1], &dx = c.out[0];
    const Geometry g(dx, w, dy, c.attrs);
    const int64_t taps = g.size(g.kernel), in = g.size(g.in), out = g.size(g.out);
    const int64_t channels = w.shape[1], features = g.features / g.groups;
    with_float(dy.dtype, [&](auto zero) {
        using T = decltype(zero);
        const std::vector<T> dys = read<T>(dy), ws = read<T>(w);
        std::vector<T> result;
        for (int64_t e = 0, count = dx.numel(); e < count; ++e) {
            const int64_t n = e / (g.channels * in), channel = e / in % g.channels, pixel = e % in;
            Chain<T> chain(kMatmulSegment);
            for (int64_t tap = taps; tap-- > 0;) {
                const int64_t from = g.output_of(pixel, tap);
                if (from < 0) continue;
                for (int64_t k = 0; k < features; ++k) {
                    const int64_t f = channel / channels * features + k;
                    chain.add((taps - 1 - tap) * features + k,
                              dys[(n * g.features + f) * out + from],
                              ws[(f * channels + channel % channels) * taps + tap]);
                }
            }
            result.push_back(chain.finish());
        }
        write(dx, result);
    });
}

// A chain over the output pixels of all images; segments make groups, and groups are added.
void conv_weight_grad(const KernelCall& c) {
    const TensorView &x = c.in[0], &dy = c.in[1], &dw = c.out[0];
    const Geometry g(x, dw, dy, c.attrs);
    const int64_t taps = g.size(g.kernel), in = g.size(g.in), out = g.size(g.out);
    const int64_t channels = dw.shape[1], features = g.features / g.groups;
    with_float(x.dtype, [&](auto zero) {
        using T = decltype(zero);
        const std::vector<T> xs = read<T>(x), dys = read<T>(dy);
        const int64_t pixels = dys.empty() || xs.empty() ? 0 : g.batch * out;
        const int64_t group = kPixelSegment * kPixelGroup;
        std::vector<T> result;
        for (int64_t e = 0, count = dw.numel(); e < count; ++e) {
            const int64_t f = e / (channels * taps), tap = e % taps;
            const int64_t channel = f / features * channels + e / taps % channels;
            T total = 0;
            for (int64_t start = 0; start < pixels; start += group) {
                Chain<T> chain(kPixelSegment);
                for (int64_t p = start; p < pixels && p < start + group; ++p) {
                    const int64_t n = p / out, from = g.input_of(p % out, tap);
                    if (from < 0) continue;
                    chain.add(p, xs[(n * g.channels + channel) * in + from],
                              dys[(n * g.features + f) * out + p % out]);
                }
                total = start ? total + chain.finish() : chain.finish();
            }
            result.push_back(total);
        }
        write(dw, result);
    });
}

}  // namespace

void register_matmul_conv(KernelTable& table) {
    table.add("matmul", matmul);
    table.add("conv", conv);
    table.add("conv_data_grad", conv_data_grad);
    table.add("conv_weight_grad", conv_weight_grad);
}

}  // namespace sn::reference
