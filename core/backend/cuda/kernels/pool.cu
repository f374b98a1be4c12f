// Pooling, and its gradients as gathers: a pixel adds the windows that cover it in ascending order.
// SN_T: elements.
#include "device.cuh"
#include "window_args.h"

using namespace sn::cuda;

using C = Compute<SN_T>;

struct Place {
    int64_t batch, channel, at[3];
    SN_DEVICE int64_t offset(const int64_t* strides) const {
        return batch * strides[0] + channel * strides[1] + at[0] * strides[2] + at[1] * strides[3] +
               at[2] * strides[4];
    }
};
SN_DEVICE Place place_of(int64_t e, int64_t channels, const int64_t* shape) {
    Place p;
    p.channel = e % channels;
    e /= channels;
    for (int d = 2; d >= 0; --d) {
        p.at[d] = e % shape[d];
        e /= shape[d];
    }
    p.batch = e;
    return p;
}

// Calls f(pixel, flat position in the image) for the pixels under a window, in ascending order.
template <class F>
SN_DEVICE void for_pixels(const PoolArgs& args, const Place& window, F f) {
    Place p{window.batch, window.channel, {}};
    int64_t begin[3];
    for (int d = 0; d < 3; ++d) begin[d] = window.at[d] * args.stride[d] - args.pad[d];
    for (int64_t a = 0; a < args.kernel[0]; ++a) {
        p.at[0] = begin[0] + a * args.dilation[0];
        if (p.at[0] < 0 || p.at[0] >= args.in[0]) continue;
        for (int64_t b = 0; b < args.kernel[1]; ++b) {
            p.at[1] = begin[1] + b * args.dilation[1];
            if (p.at[1] < 0 || p.at[1] >= args.in[1]) continue;
            for (int64_t c = 0; c < args.kernel[2]; ++c) {
                p.at[2] = begin[2] + c * args.dilation[2];
                if (p.at[2] < 0 || p.at[2] >= args.in[2]) continue;
                f(p, (p.at[0] * args.in[1] + p.at[1]) * args.in[2] + p.at[2]);
            }
        }
    }
}

// Calls f(window) for the windows that cover a pixel, in ascending order.
template <class F>
SN_DEVICE void for_windows(const PoolArgs& args, const Place& pixel, F f) {
    Place w{pixel.batch, pixel.channel, {}};
    int64_t first[3], last[3];
    for (int d = 0; d < 3; ++d) {
        const int64_t reach = pixel.at[d] + args.pad[d];
        const int64_t low = reach - (args.kernel[d] - 1) * args.dilation[d];
        first[d] = low <= 0 ? 0 : (low + args.stride[d] - 1) / args.stride[d];
        last[d] = smaller(reach / args.stride[d], args.out[d] - 1);
    }
    const auto covers = [&](int d) {
        return (pixel.at[d] + args.pad[d] - w.at[d] * args.stride[d]) % args.dilation[d] == 0;
    };
    for (w.at[0] = first[0]; w.at[0] <= last[0]; ++w.at[0]) {
        if (!covers(0)) continue;
        for (w.at[1] = first[1]; w.at[1] <= last[1]; ++w.at[1]) {
            if (!covers(1)) continue;
            for (w.at[2] = first[2]; w.at[2] <= last[2]; ++w.at[2])
                if (covers(2)) f(w);
        }
    }
}

SN_DEVICE C divisor_of(const PoolArgs& args, const Place& window) {
    if (args.divisor) return static_cast<C>(args.divisor);
    int64_t size = 1;
    for (int d = 0; d < 3; ++d) {
        int64_t begin = window.at[d] * args.stride[d] - args.pad[d];
        const int64_t limit = args.include_pad ? args.in[d] + args.pad[d] : args.in[d];
        const int64_t end = smaller(begin + args.kernel[d], limit);
        if (!args.include_pad && begin < 0) begin = 0;
        size *= end > begin ? end - begin : 0;
    }
    return static_cast<C>(size);
}

// NaN wins; among equals the first of the window. A window without a pixel has the lowest value.
SN_KERNEL(max_pool, PoolArgs) {
    const SN_T* x = static_cast<const SN_T*>(args.x);
    for (int64_t e = grid_index(); e < args.count; e += grid_stride()) {
        const Place window = place_of(e, args.channels, args.out);
        C best = lowest<C>();
        int64_t winner = -1;
        for_pixels(args, window, [&](const Place& pixel, int64_t position) {
            const C v = load(x, pixel.offset(args.x_strides));
            if (winner >= 0 && !(v > best || (v != v && best == best))) return;
            best = v;
            winner = position;
        });
        store(static_cast<SN_T*>(args.y), window.offset(args.y_strides), best);
        if (args.winners) args.winners[window.offset(args.index_strides)] = winner;
    }
}

#if defined(SN_FLOAT)
SN_KERNEL(avg_pool, PoolArgs) {
    const SN_T* x = static_cast<const SN_T*>(args.x);
    for (int64_t e = grid_index(); e < args.count; e += grid_stride()) {
        const Place window = place_of(e, args.channels, args.out);
        C sum = 0;
        for_pixels(args, window, [&](const Place& pixel, int64_t) {
            sum = sum + load(x, pixel.offset(args.x_strides));
        });
        store(static_cast<SN_T*>(args.y), window.offset(args.y_strides),
              sum / divisor_of(args, window));
    }
}

SN_KERNEL(max_pool_grad, PoolArgs) {
    const SN_T* dy = static_cast<const SN_T*>(args.x);
    for (int64_t e = grid_index(); e < args.count; e += grid_stride()) {
        const Place pixel = place_of(e, args.channels, args.in);
        const int64_t own = (pixel.at[0] * args.in[1] + pixel.at[1]) * args.in[2] + pixel.at[2];
        C sum = 0;
        for_windows(args, pixel, [&](const Place& window) {
            if (args.index[window.offset(args.index_strides)] == own)
                sum = sum + load(dy, window.offset(args.y_strides));
        });
        store(static_cast<SN_T*>(args.y), pixel.offset(args.x_strides), sum);
    }
}

SN_KERNEL(avg_pool_grad, PoolArgs) {
    const SN_T* dy = static_cast<const SN_T*>(args.x);
    for (int64_t e = grid_index(); e < args.count; e += grid_stride()) {
        const Place pixel = place_of(e, args.channels, args.in);
        C sum = 0;
        for_windows(args, pixel, [&](const Place& window) {
            sum = sum + load(dy, window.offset(args.y_strides)) / divisor_of(args, window);
        });
        store(static_cast<SN_T*>(args.y), pixel.offset(args.x_strides), sum);
    }
}
#endif
