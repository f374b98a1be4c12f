// Pooling. Every sum runs over source positions in ascending order.
#include <limits>
#include <type_traits>

#include "backend/reference/reference.h"

namespace sn::reference {
namespace {

struct Pool {
    int rank;  // spatial
    int64_t planes, in = 1, out = 1, taps = 1;
    std::vector<int64_t> in_shape, out_shape, kernel, stride, pad, dilation;
    bool include_pad = true;
    int64_t divisor_override = 0;

    // Attributes: kernel, stride, pad, dilation, ceil; averages add include_pad and divisor.
    Pool(const TensorView& x, const TensorView& y, const int64_t* attrs, bool average)
        : rank(x.rank - 2),
          planes(x.shape[0] * x.shape[1]),
          in_shape(x.shape + 2, x.shape + x.rank),
          out_shape(y.shape + 2, y.shape + y.rank) {
        Words words(attrs);
        kernel = words.list();
        stride = words.list();
        pad = words.list();
        dilation = words.list();
        words.next();  // ceil: already in the shape of the result
        if (average) {
            include_pad = words.next() != 0;
            divisor_override = words.next();
        }
        for (int d = 0; d < rank; ++d) {
            in *= in_shape[d];
            out *= out_shape[d];
            taps *= kernel[d];
        }
    }
    // The input pixel under a tap of a window, or -1.
    int64_t pixel(int64_t window, int64_t tap) const {
        int64_t at = 0, step = 1;
        for (int d = rank; d-- > 0;) {
            const int64_t i =
                window % out_shape[d] * stride[d] - pad[d] + tap % kernel[d] * dilation[d];
            if (i < 0 || i >= in_shape[d]) return -1;
            at += i * step;
            step *= in_shape[d];
            window /= out_shape[d];
            tap /= kernel[d];
        }
        return at;
    }
    int64_t divisor(int64_t window) const {
        if (divisor_override) return divisor_override;
        int64_t size = 1;
        for (int d = rank; d-- > 0; window /= out_shape[d]) {
            int64_t begin = window % out_shape[d] * stride[d] - pad[d], end = begin + kernel[d];
            const int64_t limit = include_pad ? in_shape[d] + pad[d] : in_shape[d];
            if (end > limit) end = limit;
            if (!include_pad && begin < 0) begin = 0;
            size *= end > begin ? end - begin : 0;
        }
        return size;
    }
};

// NaN wins; among equals the first of the window. A window without a pixel has the lowest value.
void max_pool(const KernelCall& c) {
    const Pool p(c.in[0], c.out[0], c.attrs, false);
    with_type(c.in[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        using Limits = std::numeric_limits<T>;
        const std::vector<T> x = read<T>(c.in[0]);
        std::vector<T> y;
        std::vector<int64_t> index;
        for (int64_t e = 0; e < p.planes * p.out; ++e) {
            T best = Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
            int64_t at = -1;
            for (int64_t tap = 0; tap < p.taps; ++tap) {
                const int64_t from = p.pixel(e % p.out, tap);
                if (from < 0) continue;
                const T v = x[e / p.out * p.in + from];
                if (at >= 0 && !(v > best || (v != v && best == best))) continue;
                best = v;
                at = from;
            }
            y.push_back(best);
            index.push_back(at);
        }
        write(c.out[0], y);
        if (c.n_out > 1 && c.out[1].data) write(c.out[1], index);
    });
}

// Adds value(window) of dy to the pixels that `takes` names, window by window.
template <class F>
void spread(const KernelCall& c, const Pool& p, F f) {
    const auto run = [&](auto zero) {
        using T = decltype(zero);
        const std::vector<T> dy = read<T>(c.in[0]);
        std::vector<T> dx(static_cast<size_t>(c.out[0].numel()), T(0));
        for (int64_t e = 0; e < p.planes * p.out; ++e) f(e, dy[e], dx.data() + e / p.out * p.in);
        write(c.out[0], dx);
    };
    c.in[0].dtype == DType::kF64 ? run(double()) : run(float());
}

void max_pool_grad(const KernelCall& c) {
    const Pool p(c.out[0], c.in[0], c.attrs, false);
    const std::vector<int64_t> index = read<int64_t>(c.in[1]);
    spread(c, p, [&](int64_t e, auto g, auto* plane) {
        if (index[e] >= 0 && index[e] < p.in) plane[index[e]] += g;
    });
}

void avg_pool(const KernelCall& c) {
    const Pool p(c.in[0], c.out[0], c.attrs, true);
    const auto run = [&](auto zero) {
        using T = decltype(zero);
        const std::vector<T> x = read<T>(c.in[0]);
        std::vector<T> y;
        for (int64_t e = 0; e < p.planes * p.out; ++e) {
            T sum = 0;
            for (int64_t tap = 0; tap < p.taps; ++tap) {
                const int64_t from = p.pixel(e % p.out, tap);
                if (from >= 0) sum += x[e / p.out * p.in + from];
            }
            y.push_back(sum / static_cast<T>(p.divisor(e % p.out)));
        }
        write(c.out[0], y);
    };
    c.in[0].dtype == DType::kF64 ? run(double()) : run(float());
}

void avg_pool_grad(const KernelCall& c) {
    const Pool p(c.out[0], c.in[0], c.attrs, true);
    spread(c, p, [&](int64_t e, auto g, auto* plane) {
        const auto part = g / static_cast<decltype(g)>(p.divisor(e % p.out));
        for (int64_t tap = 0; tap < p.taps; ++tap) {
            const int64_t from = p.pixel(e % p.out, tap);
            if (from >= 0) plane[from] += part;
        }
    });
}

}  // namespace

void register_pooling(KernelTable& table) {
    table.add("max_pool", max_pool);
    table.add("max_pool_grad", max_pool_grad);
    table.add("avg_pool", avg_pool);
    table.add("avg_pool_grad", avg_pool_grad);
}

}  // namespace sn::reference
