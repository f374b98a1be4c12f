// Gathers and scatters. SN_I: indices; SN_W: words as wide as elements, which are moved; SN_T:
// elements that are combined, by SN_KIND.
#include "device.cuh"
#include "indexing_args.h"

using namespace sn::cuda;

#if defined(SN_I)
SN_DEVICE int64_t position(const void* indices, int64_t i, int64_t size) {
    const int64_t index = static_cast<const SN_I*>(indices)[i];
    return index < 0 ? index + size : index;
}
// Where index i leads: rows of x seen as [indexed dimensions][rest].
SN_DEVICE int64_t row_of_indices(const PlaceArgs& args, int64_t i) {
    int64_t row = 0;
    for (int d = 0; d < args.dims; ++d)
        row = row * args.sizes[d] + position(args.indices[d], i, args.sizes[d]);
    return row;
}

#if defined(SN_W)
SN_KERNEL(take_rows, RowsArgs) {
    const SN_W* x = static_cast<const SN_W*>(args.x);
    SN_W* out = static_cast<SN_W*>(args.out);
    for (int64_t e = grid_index(); e < args.count; e += grid_stride()) {
        const int64_t line = e / args.inner, i = e - line * args.inner;
        const int64_t o = line / args.rows, r = line - o * args.rows;
        out[e] = x[(o * args.n + position(args.indices, r, args.n)) * args.inner + i];
    }
}
SN_KERNEL(take_along, PlaceArgs) {
    const SN_W* x = static_cast<const SN_W*>(args.x);
    SN_W* out = static_cast<SN_W*>(args.out);
    for (int64_t e = grid_index(); e < args.count; e += grid_stride())
        out[e] = x[args.others.offset(e) + position(args.indices[0], e, args.n) * args.axis_step];
}
SN_KERNEL(take_nd, PlaceArgs) {
    const SN_W* x = static_cast<const SN_W*>(args.x);
    SN_W* out = static_cast<SN_W*>(args.out);
    for (int64_t e = grid_index(); e < args.count * args.inner; e += grid_stride()) {
        const int64_t line = e / args.inner, i = e - line * args.inner;
        out[e] = x[row_of_indices(args, line) * args.inner + i];
    }
}
#elif defined(SN_T)
SN_KERNEL(one_hot, OneHotArgs) {
    SN_T* out = static_cast<SN_T*>(args.out);
    const SN_I* indices = static_cast<const SN_I*>(args.indices);
    for (int64_t e = grid_index(); e < args.count; e += grid_stride()) {
        const int64_t row = e / args.classes;
        store(out, e, Compute<SN_T>(indices[row] == e - row * args.classes ? 1 : 0));
    }
}
#else
SN_KERNEL(check_index, CheckIndexArgs) {
    for (int64_t i = grid_index(); i < args.count; i += grid_stride()) {
        const int64_t index = static_cast<const SN_I*>(args.indices)[i];
        const int64_t at = index < 0 && args.negative ? index + args.size : index;
        if (at < 0 || at >= args.size) report(args.error, 1, i, index);
    }
}
SN_KERNEL(row_keys, PlaceArgs) {
    for (int64_t i = grid_index(); i < args.count; i += grid_stride())
        args.items[i] = {static_cast<uint64_t>(row_of_indices(args, i)), static_cast<uint64_t>(i)};
}
SN_KERNEL(along_keys, PlaceArgs) {
    for (int64_t e = grid_index(); e < args.count; e += grid_stride()) {
        const int64_t place =
            args.others.offset(e) + position(args.indices[0], e, args.n) * args.axis_step;
        args.items[e] = {static_cast<uint64_t>(place), static_cast<uint64_t>(e)};
    }
}
#endif

#elif defined(SN_KIND)

enum Kind { kAdd, kProd, kMax, kMin };

// Sums of f16 and bf16 are in float and rounded once; integers wrap; of bools, "or".
SN_DEVICE Compute<SN_T> combined(Compute<SN_T> to, Compute<SN_T> v) {
    using C = Compute<SN_T>;
    if constexpr (SN_KIND == kMax)
        return v > to || v != v ? v : to;
    else if constexpr (SN_KIND == kMin)
        return v < to || v != v ? v : to;
    else if constexpr (is_boolean<C>)
        return SN_KIND == kAdd ? to || v : to && v;
    else if constexpr (is_floating<C>)
        return SN_KIND == kAdd ? to + v : to * v;
    else
        return static_cast<C>(SN_KIND == kAdd
                                  ? static_cast<uint64_t>(to) + static_cast<uint64_t>(v)
                                  : static_cast<uint64_t>(to) * static_cast<uint64_t>(v));
}

SN_KERNEL(combine_runs, CombineArgs) {
    const SN_T* from = static_cast<const SN_T*>(args.from);
    SN_T* out = static_cast<SN_T*>(args.out);
    const int64_t per_outer = args.count * args.inner;
    for (int64_t e = grid_index(); e < args.outer * per_outer; e += grid_stride()) {
        const int64_t o = e / per_outer, line = e % per_outer / args.inner, c = e % args.inner;
        const uint64_t key = args.items[line].key;
        if (line > 0 && args.items[line - 1].key == key) continue;  // not the first of a run
        const int64_t to = o * args.out_outer + static_cast<int64_t>(key) * args.inner + c;
        auto value = load(out, to);
        for (int64_t k = line; k < args.count && args.items[k].key == key; ++k)
            value = combined(
                value, load(from, o * args.from_outer +
                                      static_cast<int64_t>(args.items[k].index) * args.inner + c));
        store(out, to, value);
    }
}

#elif defined(SN_W)

SN_KERNEL(write_runs, CombineArgs) {  // the last source stays
    const SN_W* from = static_cast<const SN_W*>(args.from);
    SN_W* out = static_cast<SN_W*>(args.out);
    const int64_t per_outer = args.count * args.inner;
    for (int64_t e = grid_index(); e < args.outer * per_outer; e += grid_stride()) {
        const int64_t o = e / per_outer, line = e % per_outer / args.inner, c = e % args.inner;
        const uint64_t key = args.items[line].key;
        if (line + 1 < args.count && args.items[line + 1].key == key) continue;
        out[o * args.out_outer + static_cast<int64_t>(key) * args.inner + c] =
            from[o * args.from_outer + static_cast<int64_t>(args.items[line].index) * args.inner +
                 c];
    }
}

#else

// How many of each stretch are true; then how many stand before each; then where they are.
SN_KERNEL(count_nonzero, NonzeroArgs) {
    SN_SHARED int memory[256];
    const int t = static_cast<int>(threadIdx.x);
    for (int64_t s = blockIdx.x; s < args.stretches; s += gridDim.x) {
        int found = 0;
        for (int i = t; i < kNonzeroStretch; i += 256) {
            const int64_t at = s * kNonzeroStretch + i;
            found += at < args.count && args.mask[at] != 0;
        }
        memory[t] = found;
        __syncthreads();
        for (int half = 128; half > 0; half /= 2) {
            if (t < half) memory[t] += memory[t + half];
            __syncthreads();
        }
        if (t == 0) args.starts[s] = memory[0];
        __syncthreads();
    }
}

SN_KERNEL(scan_nonzero, NonzeroArgs) {  // one block
    SN_SHARED int64_t memory[256];
    const int t = static_cast<int>(threadIdx.x);
    const int64_t each = (args.stretches + 255) / 256, begin = t * each;
    const int64_t end = smaller(begin + each, args.stretches);
    int64_t sum = 0;
    for (int64_t s = begin; s < end; ++s) sum += args.starts[s];
    memory[t] = sum;
    __syncthreads();
    int64_t before = 0;
    for (int i = 0; i < t; ++i) before += memory[i];
    for (int64_t s = begin; s < end; ++s) {
        const int64_t own = args.starts[s];
        args.starts[s] = before;
        before += own;
    }
}

SN_KERNEL(write_nonzero, NonzeroArgs) {
    SN_SHARED int memory[256];
    const int t = static_cast<int>(threadIdx.x);
    constexpr int each = kNonzeroStretch / 256;
    for (int64_t s = blockIdx.x; s < args.stretches; s += gridDim.x) {
        const int64_t first = s * kNonzeroStretch + t * each;
        int found = 0;
        for (int i = 0; i < each; ++i) found += first + i < args.count && args.mask[first + i] != 0;
        memory[t] = found;
        __syncthreads();
        for (int reach = 1; reach < 256; reach *= 2) {  // inclusive sums
            const int more = t >= reach ? memory[t - reach] : 0;
            __syncthreads();
            memory[t] += more;
            __syncthreads();
        }
        int64_t to = args.starts[s] + memory[t] - found;
        for (int i = 0; i < each; ++i) {
            if (first + i >= args.count || args.mask[first + i] == 0) continue;
            int64_t rest = first + i;
            for (int d = args.rank; d-- > 0; rest /= args.shape[d])
                args.out[d * args.found + to] = rest % args.shape[d];
            ++to;
        }
        __syncthreads();
    }
}
#endif
