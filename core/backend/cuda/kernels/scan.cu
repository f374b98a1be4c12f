// Scans along an axis: anew in each block of 1,024, then added to what all blocks before it came
// to. SN_T: elements; SN_KIND: how two are joined.
#include "device.cuh"
#include "op/math.h"
#include "random_args.h"

using namespace sn::cuda;

enum Kind { kSum, kProduct, kMax, kMin, kLogAddExp };
using C = Compute<SN_T>;

#if defined(SN_KIND)
SN_DEVICE C joined(C p, C q) {
    if constexpr (SN_KIND == kMax) {
        return p >= q || p != p ? p : q;
    } else if constexpr (SN_KIND == kMin) {
        return p <= q || p != p ? p : q;
    } else if constexpr (is_floating<C>) {
        if constexpr (SN_KIND == kLogAddExp)
            return math::logaddexp(p, q);
        else
            return SN_KIND == kProduct ? p * q : p + q;
    } else {
        const uint64_t u = static_cast<uint64_t>(p), v = static_cast<uint64_t>(q);
        return static_cast<C>(SN_KIND == kProduct ? u * v : u + v);
    }
}

// Calls f(line, block, where its element 0 is) for every block of every line.
template <class F>
SN_DEVICE void for_blocks(const ScanArgs& args, F f) {
    for (int64_t e = grid_index(); e < args.lines * args.blocks; e += grid_stride()) {
        const int64_t line = e % args.lines, block = e / args.lines;
        const int64_t begin = block * kScanBlock;
        f(line, block, ((line / args.inner) * args.n + begin) * args.inner + line % args.inner,
          smaller(kScanBlock, args.n - begin));
    }
}

SN_KERNEL(block_totals, ScanArgs) {
    const SN_T* x = static_cast<const SN_T*>(args.x);
    for_blocks(args, [&](int64_t line, int64_t block, int64_t at, int64_t n) {
        C total = load(x, at);
        for (int64_t i = 1; i < n; ++i) total = joined(total, load(x, at + i * args.inner));
        static_cast<C*>(args.totals)[block * args.lines + line] = total;
    });
}

SN_KERNEL(totals_before, ScanArgs) {
    C* totals = static_cast<C*>(args.totals);
    for (int64_t line = grid_index(); line < args.lines; line += grid_stride()) {
        C before = totals[line];
        for (int64_t b = 1; b < args.blocks; ++b) {
            const C own = totals[b * args.lines + line];
            totals[b * args.lines + line] = before;
            before = joined(before, own);
        }
    }
}

SN_KERNEL(scan, ScanArgs) {
    const SN_T* x = static_cast<const SN_T*>(args.x);
    SN_T* out = static_cast<SN_T*>(args.out);
    for_blocks(args, [&](int64_t line, int64_t block, int64_t at, int64_t n) {
        const C before =
            block ? static_cast<const C*>(args.totals)[block * args.lines + line] : C(0);
        C total = load(x, at);
        for (int64_t i = 0; i < n; ++i) {
            if (i > 0) total = joined(total, load(x, at + i * args.inner));
            store(out, at + i * args.inner, block ? joined(before, total) : total);
        }
    });
}
#else

// out[i] = a[i] * out[i - 1] + x[i], rounded twice.
SN_KERNEL(linear_scan, ScanArgs) {
    const SN_T* a = static_cast<const SN_T*>(args.a);
    const SN_T* x = static_cast<const SN_T*>(args.x);
    SN_T* out = static_cast<SN_T*>(args.out);
    for (int64_t line = grid_index(); line < args.lines; line += grid_stride()) {
        int64_t at = line / args.inner * args.n * args.inner + line % args.inner;
        C state = 0;
        for (int64_t i = 0; i < args.n; ++i, at += args.inner) {
            state = load(a, at) * state + load(x, at);
            store(out, at, state);
        }
    }
}
#endif
