// Running sums and products, and first-order linear recurrences, along an axis.
//
// The axis is cut into blocks of fixed length: inside a block elements are added one after the
// other, starting anew; then each block but the first is added to what all blocks before it came
// to. So the bits depend on the length only, and a long line can be shared by threads.
#include "backend/cpu/copy.h"
#include "engine/pool.h"
#include "op/math.h"

namespace sn::cpu::SN_ISA {

namespace {

constexpr int64_t kBlock = 1024;  // along the axis; part of the numerics
constexpr int64_t kColumns = 64;  // lines that run side by side

struct Sum {
    template <class T>
    SN_INLINE static T of(T a, T b) {
        return static_cast<T>(a + b);
    }
};
struct Product {
    template <class T>
    SN_INLINE static T of(T a, T b) {
        return static_cast<T>(a * b);
    }
};

struct Largest {  // NaN stays
    template <class T>
    SN_INLINE static T of(T a, T b) {
        return a >= b || a != a ? a : b;
    }
};
struct Smallest {
    template <class T>
    SN_INLINE static T of(T a, T b) {
        return a <= b || a != a ? a : b;
    }
};
struct LogAddExp {
    template <class T>
    SN_INLINE static T of(T a, T b) {
        return math::logaddexp(a, b);
    }
};

// The axis within a contiguous tensor: [outer][n][inner].
struct Axis {
    int64_t outer = 1, n = 1, inner = 1;
    Axis(const TensorView& x, int64_t axis) {
        for (int d = 0; d < x.rank; ++d) {
            if (d < axis)
                outer *= x.shape[d];
            else if (d == axis)
                n = x.shape[d];
            else
                inner *= x.shape[d];
        }
    }
    int64_t blocks() const { return (inner + kColumns - 1) / kColumns; }
};

// One block of `m` lines, `rows` long; base: what came before it, or null. total: what the block
// comes to by itself.
template <class Op, class T>
void scan_block(const T* x, T* out, int64_t rows, int64_t m, int64_t step, const T* base,
                T* total) {
    if (m == 1) {
        T sum = x[0];
        out[0] = base ? Op::of(base[0], sum) : sum;
        for (int64_t j = 1; j < rows; ++j) {
            sum = Op::of(sum, x[j * step]);
            out[j * step] = base ? Op::of(base[0], sum) : sum;
        }
        total[0] = sum;
        return;
    }
    for (int64_t j = 0; j < rows; ++j) {
        const T* from = x + j * step;
        T* to = out + j * step;
        for (int64_t c = 0; c < m; ++c) {
            total[c] = j ? Op::of(total[c], from[c]) : from[c];
            to[c] = base ? Op::of(base[c], total[c]) : total[c];
        }
    }
}

template <class Op, class T>
void scan_lines(const T* x, T* out, int64_t n, int64_t m, int64_t step) {
    T base[kColumns], total[kColumns];
    for (int64_t j = 0; j < n; j += kBlock) {
        const int64_t rows = n - j < kBlock ? n - j : kBlock;
        scan_block<Op>(x + j * step, out + j * step, rows, m, step, j ? base : nullptr, total);
        for (int64_t c = 0; c < m; ++c) base[c] = j ? Op::of(base[c], total[c]) : total[c];
    }
}

// A single long line: what each block comes to, then the blocks again with what is before them.
template <class Op, class T>
void scan_long(const T* x, T* out, int64_t n) {
    const int64_t blocks = (n + kBlock - 1) / kBlock;
    T* base = static_cast<T*>(thread_scratch(static_cast<size_t>(blocks) * sizeof(T)));
    parallel_for(blocks, 16, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) {
            const int64_t stop = (b + 1) * kBlock < n ? (b + 1) * kBlock : n;
            T sum = x[b * kBlock];
            for (int64_t j = b * kBlock + 1; j < stop; ++j) sum = Op::of(sum, x[j]);
            base[b] = sum;
        }
    });
    T before = base[0];
    for (int64_t b = 1; b < blocks; ++b) {
        const T next = Op::of(before, base[b]);
        base[b] = before;
        before = next;
    }
    parallel_for(blocks, 16, [&](int64_t begin, int64_t end) {
        for (int64_t b = begin; b < end; ++b) {
            const int64_t rows = n - b * kBlock < kBlock ? n - b * kBlock : kBlock;
            T total;
            scan_block<Op>(x + b * kBlock, out + b * kBlock, rows, 1, 1, b ? base + b : nullptr,
                           &total);
        }
    });
}

template <class Op, class T>
void scan(const T* x, T* out, const Axis& a) {
    if (a.outer * a.n * a.inner == 0) return;
    if (a.outer * a.inner == 1 && a.n > 32 * kBlock && pool_threads() > 1) {
        scan_long<Op>(x, out, a.n);
        return;
    }
    const int64_t blocks = a.blocks();
    const int64_t width = a.inner < kColumns ? a.inner : kColumns;
    parallel_for(a.outer * blocks, grain_for(a.n * width * 8), [&](int64_t begin, int64_t end) {
        for (int64_t k = begin; k < end; ++k) {
            const int64_t from = k % blocks * kColumns, at = k / blocks * a.n * a.inner + from;
            const int64_t m = a.inner - from < kColumns ? a.inner - from : kColumns;
            scan_lines<Op>(x + at, out + at, a.n, m, a.inner);
        }
    });
}

template <class Op>
void scan_kernel(const KernelCall& c) {
    const TensorView &x = c.in[0], &out = c.out[0];
    const Axis axis(x, c.attrs[0]);
    if (is_half(x.dtype)) {
        float* wide = static_cast<float*>(c.workspace);
        const int64_t n = count_elements(x);
        halves_to_f32(x.as<uint16_t>(), wide, n, x.dtype == DType::kBF16);
        scan<Op>(wide, wide, axis);
        f32_to_halves(wide, out.as<uint16_t>(), n, x.dtype == DType::kBF16);
        return;
    }
    const auto typed = [&](auto zero) {
        using T = decltype(zero);
        scan<Op>(static_cast<const T*>(x.as<T>()), out.as<T>(), axis);
    };
    switch (x.dtype) {
        case DType::kF32: typed(float()); break;
        case DType::kF64: typed(double()); break;
        case DType::kI32:
        case DType::kU32: typed(uint32_t()); break;
        case DType::kI16:
        case DType::kU16: typed(uint16_t()); break;
        case DType::kI8:
        case DType::kU8:
        case DType::kBool: typed(uint8_t()); break;
        default: typed(uint64_t());
    }
}
// Orders look at the sign of integers.
template <class Op>
void order_kernel(const KernelCall& c) {
    const TensorView &x = c.in[0], &out = c.out[0];
    const Axis axis(x, c.attrs[0]);
    switch (x.dtype) {
        case DType::kI8: scan<Op>(x.as<int8_t>(), out.as<int8_t>(), axis); break;
        case DType::kI16: scan<Op>(x.as<int16_t>(), out.as<int16_t>(), axis); break;
        case DType::kI32: scan<Op>(x.as<int32_t>(), out.as<int32_t>(), axis); break;
        case DType::kI64: scan<Op>(x.as<int64_t>(), out.as<int64_t>(), axis); break;
        default: scan_kernel<Op>(c);
    }
}

void logcumsumexp(const KernelCall& c) {
    const TensorView &x = c.in[0], &out = c.out[0];
    const Axis axis(x, c.attrs[0]);
    if (x.dtype == DType::kF64) {
        scan<LogAddExp>(x.as<double>(), out.as<double>(), axis);
    } else if (x.dtype == DType::kF32) {
        scan<LogAddExp>(x.as<float>(), out.as<float>(), axis);
    } else {
        float* wide = static_cast<float*>(c.workspace);
        const int64_t n = count_elements(x);
        halves_to_f32(x.as<uint16_t>(), wide, n, x.dtype == DType::kBF16);
        scan<LogAddExp>(static_cast<const float*>(wide), wide, axis);
        f32_to_halves(wide, out.as<uint16_t>(), n, x.dtype == DType::kBF16);
    }
}

size_t scan_workspace(const KernelCall& c) {
    return is_half(c.in[0].dtype) ? static_cast<size_t>(count_elements(c.in[0])) * sizeof(float)
                                  : 0;
}

// out[j] = a[j] * out[j - 1] + b[j]: one after the other, many lines side by side.
template <class T>
void linear(const T* a, const T* b, T* out, const Axis& axis) {
    if (axis.outer * axis.n * axis.inner == 0) return;
    const int64_t blocks = axis.blocks(), step = axis.inner;
    const int64_t width = step < kColumns ? step : kColumns;
    parallel_for(axis.outer * blocks, grain_for(axis.n * width * 16),
                 [&](int64_t begin, int64_t end) {
                     for (int64_t k = begin; k < end; ++k) {
                         const int64_t from = k % blocks * kColumns;
                         int64_t at = k / blocks * axis.n * step + from;
                         const int64_t m = step - from < kColumns ? step - from : kColumns;
                         T state[kColumns] = {};
                         for (int64_t j = 0; j < axis.n; ++j, at += step) {
                             for (int64_t c = 0; c < m; ++c) {
                                 state[c] = a[at + c] * state[c] + b[at + c];
                                 out[at + c] = state[c];
                             }
                         }
                     }
                 });
}

void linear_scan(const KernelCall& c) {
    const TensorView &a = c.in[0], &b = c.in[1], &out = c.out[0];
    const Axis axis(b, c.attrs[0]);
    if (b.dtype == DType::kF64) {
        linear<double>(a.as<double>(), b.as<double>(), out.as<double>(), axis);
    } else if (b.dtype == DType::kF32) {
        linear<float>(a.as<float>(), b.as<float>(), out.as<float>(), axis);
    } else {
        const int64_t n = count_elements(b);
        const bool bf16 = b.dtype == DType::kBF16;
        float* wide = static_cast<float*>(c.workspace);
        halves_to_f32(a.as<uint16_t>(), wide, n, bf16);
        halves_to_f32(b.as<uint16_t>(), wide + n, n, bf16);
        linear<float>(wide, wide + n, wide + n, axis);
        f32_to_halves(wide + n, out.as<uint16_t>(), n, bf16);
    }
}
size_t linear_workspace(const KernelCall& c) { return 2 * scan_workspace(c); }

}  // namespace

void register_scan(KernelTable& table) {
    table.add("cumsum", scan_kernel<Sum>, scan_workspace);
    table.add("cumprod", scan_kernel<Product>, scan_workspace);
    table.add("running_max", order_kernel<Largest>, scan_workspace);
    table.add("running_min", order_kernel<Smallest>, scan_workspace);
    table.add("logcumsumexp", logcumsumexp, scan_workspace);
    table.add("linear_scan", linear_scan, linear_workspace);
}

}  // namespace sn::cpu::SN_ISA
