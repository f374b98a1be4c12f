// Ops that place elements. SN_W: an unsigned word as wide as an element; SN_T: an element of a
// result that is computed.
#include "device.cuh"
#include "movement_args.h"

using namespace sn::cuda;

#if defined(SN_W)
SN_DEVICE SN_W word_of(const Number& value) {
    if (value.at) return *static_cast<const SN_W*>(value.at);
    SN_W bits;
    __builtin_memcpy(&bits, value.bits, sizeof(SN_W));
    return bits;
}

SN_KERNEL(copy, CopyArgs) {
    const SN_W* from = static_cast<const SN_W*>(args.from);
    SN_W* to = static_cast<SN_W*>(args.to);
    for (int64_t i = grid_index(); i < args.count; i += grid_stride()) {
        int64_t at[2];
        args.loop.offsets(i, at);
        to[at[0]] = from[at[1]];
    }
}

// A block moves tiles through its memory, so that both sides are read and written in rows.
SN_KERNEL(transpose, TransposeArgs) {
    SN_SHARED SN_W tile[kTile][kTile + 1];
    const int x = threadIdx.x % kTile, y = threadIdx.x / kTile;
    const int64_t tiles = args.n_tiles * args.m_tiles, count = tiles * args.outer_count;
    for (int64_t t = blockIdx.x; t < count; t += gridDim.x) {
        int64_t at[2];
        args.outer.offsets(t / tiles, at);
        const int64_t n0 = t % tiles % args.n_tiles * kTile, m0 = t % tiles / args.n_tiles * kTile;
        const SN_W* from = static_cast<const SN_W*>(args.from) + at[1];
        SN_W* to = static_cast<SN_W*>(args.to) + at[0];
        for (int r = y; r < kTile; r += kTileRows)
            if (n0 + r < args.n && m0 + x < args.m)
                tile[r][x] = from[(n0 + r) * args.from_step + m0 + x];
        __syncthreads();
        for (int r = y; r < kTile; r += kTileRows)
            if (m0 + r < args.m && n0 + x < args.n)
                to[(m0 + r) * args.to_step + n0 + x] = tile[x][r];
        __syncthreads();
    }
}

SN_KERNEL(fill, FillArgs) {
    SN_W* to = static_cast<SN_W*>(args.to);
    const SN_W value = word_of(args.value);
    for (int64_t i = grid_index(); i < args.count; i += grid_stride())
        to[args.loop.offset(i)] = value;
}

SN_KERNEL(pad, PadArgs) {
    const SN_W* from = static_cast<const SN_W*>(args.from);
    SN_W* to = static_cast<SN_W*>(args.to);
    const SN_W value = word_of(args.value);
    for (int64_t i = grid_index(); i < args.count; i += grid_stride()) {
        int64_t target = 0, source = 0, rest = i;
        bool inside = true;
        for (int d = args.rank; d-- > 0;) {
            const int64_t next = args.wide
                                     ? rest / args.shape[d]
                                     : static_cast<int64_t>(static_cast<uint32_t>(rest) /
                                                            static_cast<uint32_t>(args.shape[d]));
            const int64_t at = rest - next * args.shape[d], own = at - args.low[d];
            target += at * args.to_strides[d];
            source += own * args.from_strides[d];
            inside = inside && own >= 0 && own < args.size[d];
            rest = next;
        }
        to[target] = inside ? from[source] : value;
    }
}
#endif

#if defined(SN_T)
// Numbers are made as f64 (floats) or 64-bit integers and rounded once.
SN_KERNEL(arange, ArangeArgs) {
    SN_T* to = static_cast<SN_T*>(args.to);
    for (int64_t i = grid_index(); i < args.count; i += grid_stride()) {
        if constexpr (is_floating<Compute<SN_T>>) {
            store(to, i, convert<Compute<SN_T>>(args.start + static_cast<double>(i) * args.step));
        } else {
            const uint64_t distance =
                static_cast<uint64_t>(i) * static_cast<uint64_t>(args.whole_step);
            const int64_t value =
                static_cast<int64_t>(static_cast<uint64_t>(args.whole_start) + distance);
            store(to, i, convert<Compute<SN_T>>(value));
        }
    }
}

SN_KERNEL(linspace, LinspaceArgs) {
    SN_T* to = static_cast<SN_T*>(args.to);
    for (int64_t i = grid_index(); i < args.count; i += grid_stride()) {
        const bool lower = 2 * i <= args.steps;
        const double value = lower ? args.start + static_cast<double>(i) * args.step
                                   : args.stop - static_cast<double>(args.steps - i) * args.step;
        store(to, i, convert<Compute<SN_T>>(value));
    }
}
#endif
