// Copies between any strides, and the ops that only place elements.
#include "backend/cpu/copy.h"

#include "backend/cpu/kernels/transpose.h"
#include "base/error.h"
#include "engine/pool.h"

namespace sn::cpu::SN_ISA {

namespace {

constexpr int kMaxDims = 32;

struct Loop {
    int64_t n, dst, src;  // strides in bytes
};

SN_INLINE int64_t magnitude(int64_t v) { return v < 0 ? -v : v; }

// A row: n elements at constant distances.
using RowFn = void (*)(char* dst, const char* src, int64_t n, int64_t ds, int64_t ss);

// Dimensions without those of size 1, by falling distance in dst, merged where both sides allow it.
// Returns how many, or -1 when there is no element.
int plan_loops(const TensorView& dst, const TensorView& src, int64_t size, Loop* loops) {
    int count = 0;
    for (int d = 0; d < dst.rank; ++d) {
        if (dst.shape[d] == 0) return -1;
        if (dst.shape[d] == 1) continue;
        const Loop l{dst.shape[d], dst.strides[d] * size, src.strides[d] * size};
        int at = count++;
        for (; at > 0; --at) {
            const int64_t before = magnitude(loops[at - 1].dst), mine = magnitude(l.dst);
            if (before > mine ||
                (before == mine && magnitude(loops[at - 1].src) >= magnitude(l.src)))
                break;
            loops[at] = loops[at - 1];
        }
        loops[at] = l;
    }
    int merged = 0;
    for (int i = 0; i < count; ++i) {
        if (merged > 0) {
            Loop& outer = loops[merged - 1];
            if (outer.dst == loops[i].n * loops[i].dst && outer.src == loops[i].n * loops[i].src) {
                outer = {outer.n * loops[i].n, loops[i].dst, loops[i].src};
                continue;
            }
        }
        loops[merged++] = loops[i];
    }
    return merged;
}

}  // namespace

void strided_copy(const TensorView& dst, const TensorView& src) {
    int64_t size = element_size(dst.dtype);
    Loop loops[kMaxDims];
    int rank = plan_loops(dst, src, size, loops);
    if (rank < 0) return;
    // A few elements side by side on both sides are one larger element: the coordinates of a box.
    if (rank > 1 && loops[rank - 1].dst == size && loops[rank - 1].src == size) {
        const int64_t bytes = loops[rank - 1].n * size;
        if (bytes <= static_cast<int64_t>(sizeof(Wide)) && (bytes & (bytes - 1)) == 0) {
            size = bytes;
            --rank;
        }
    }
    char* to = dst.as<char>();
    const char* from = src.as<char>();
    const RowFn row = size == 1   ? copy_row<uint8_t>
                      : size == 2 ? copy_row<uint16_t>
                      : size == 4 ? copy_row<uint32_t>
                      : size == 8 ? copy_row<uint64_t>
                                  : copy_row<Wide>;
    if (rank == 0) {
        row(to, from, 1, size, size);
        return;
    }
    const Loop inner = loops[--rank];

    // A dimension that is dense in src, while another is dense in dst: blocks are transposed.
    Loop across{1, 0, 0};
    if (inner.dst == size && inner.src != size && size <= 8) {
        for (int d = 0; d < rank; ++d) {
            if (loops[d].src != size || loops[d].n < 4) continue;
            across = loops[d];
            for (int e = d; e + 1 < rank; ++e) loops[e] = loops[e + 1];
            --rank;
            break;
        }
    }
    const bool turned = across.n > 1;
    const TransposeFn turn = transpose_fn(size);
    // Work is cut into pieces of the inner dimension(s), for every index of the outer ones.
    const int64_t inner_piece = turned ? 256 : 65536 / size;
    const int64_t across_piece = inner.n < 16 ? 1024 : 64;
    const int64_t inner_pieces = (inner.n + inner_piece - 1) / inner_piece;
    const int64_t across_pieces = (across.n + across_piece - 1) / across_piece;
    const int64_t pieces = inner_pieces * across_pieces;
    int64_t outer = 1;
    for (int d = 0; d < rank; ++d) outer *= loops[d].n;
    const int64_t work = (inner.n < inner_piece ? inner.n : inner_piece) *
                         (across.n < across_piece ? across.n : across_piece) * size;

    parallel_for(outer * pieces, grain_for(work), [&](int64_t begin, int64_t end) {
        int64_t index[kMaxDims];
        int64_t rest = begin / pieces, piece = begin % pieces;
        const char* s = from;
        char* t = to;
        for (int d = rank - 1; d >= 0; --d) {
            index[d] = rest % loops[d].n;
            rest /= loops[d].n;
            t += index[d] * loops[d].dst;
            s += index[d] * loops[d].src;
        }
        for (int64_t k = begin; k < end; ++k) {
            const int64_t i = (piece % inner_pieces) * inner_piece;
            const int64_t n = inner.n - i < inner_piece ? inner.n - i : inner_piece;
            if (turned) {
                const int64_t j = (piece / inner_pieces) * across_piece;
                const int64_t m = across.n - j < across_piece ? across.n - j : across_piece;
                turn(t + i * size + j * across.dst, s + i * inner.src + j * size, n, m, across.dst,
                     inner.src);
            } else {
                row(t + i * inner.dst, s + i * inner.src, n, inner.dst, inner.src);
            }
            if (++piece < pieces) continue;
            piece = 0;
            for (int d = rank - 1; d >= 0; --d) {
                t += loops[d].dst;
                s += loops[d].src;
                if (++index[d] < loops[d].n) break;
                t -= loops[d].n * loops[d].dst;
                s -= loops[d].n * loops[d].src;
                index[d] = 0;
            }
        }
    });
}

namespace {

struct Complex {
    double re, im;
};
struct ComplexFloat {
    float re, im;
};

Complex scalar_complex(const TensorView& scalar) {
    if (scalar.dtype == DType::kC128) return *scalar.as<Complex>();
    if (scalar.dtype != DType::kC64) return {scalar_f64(scalar), 0.0};
    const ComplexFloat z = *scalar.as<ComplexFloat>();
    return {static_cast<double>(z.re), static_cast<double>(z.im)};
}

}  // namespace

double scalar_f64(const TensorView& scalar) {
    switch (scalar.dtype) {
        case DType::kF64: return *scalar.as<double>();
        case DType::kF32: return static_cast<double>(*scalar.as<float>());
        case DType::kF16: return static_cast<double>(sn::f16_to_f32(*scalar.as<uint16_t>()));
        case DType::kBF16: {
            const uint32_t bits = static_cast<uint32_t>(*scalar.as<uint16_t>()) << 16;
            return static_cast<double>(bit_cast<float>(bits));
        }
        case DType::kU64: return static_cast<double>(*scalar.as<uint64_t>());
        default: return static_cast<double>(scalar_i64(scalar));
    }
}

int64_t scalar_i64(const TensorView& scalar) {
    switch (scalar.dtype) {
        case DType::kBool:
        case DType::kU8: return *scalar.as<uint8_t>();
        case DType::kI8: return *scalar.as<int8_t>();
        case DType::kI16: return *scalar.as<int16_t>();
        case DType::kU16: return *scalar.as<uint16_t>();
        case DType::kI32: return *scalar.as<int32_t>();
        case DType::kU32: return *scalar.as<uint32_t>();
        case DType::kI64:
        case DType::kU64: return *scalar.as<int64_t>();
        default: return static_cast<int64_t>(scalar_f64(scalar));
    }
}

void convert_scalar(const TensorView& scalar, DType dtype, void* out) {
    const auto put = [out](auto value) { std::memcpy(out, &value, sizeof(value)); };
    switch (dtype) {
        case DType::kBool: put(static_cast<uint8_t>(scalar_f64(scalar) != 0)); break;
        case DType::kF16: put(sn::f32_to_f16(static_cast<float>(scalar_f64(scalar)))); break;
        case DType::kBF16: put(sn::f32_to_bf16(static_cast<float>(scalar_f64(scalar)))); break;
        case DType::kF32: put(static_cast<float>(scalar_f64(scalar))); break;
        case DType::kF64: put(scalar_f64(scalar)); break;
        case DType::kC64: {
            const Complex z = scalar_complex(scalar);
            put(ComplexFloat{static_cast<float>(z.re), static_cast<float>(z.im)});
            break;
        }
        case DType::kC128: put(scalar_complex(scalar)); break;
        default: {  // integers wrap, little end first
            const int64_t value = scalar_i64(scalar);
            std::memcpy(out, &value, static_cast<size_t>(element_size(dtype)));
        }
    }
}

void halves_to_f32(const uint16_t* in, float* out, int64_t n, bool bf16) {
    parallel_for(n, 32768, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i += kLanes<float>) {
            const int64_t m = end - i < kLanes<float> ? end - i : kLanes<float>;
            const H16 h = load_part<H16>(in + i, m);
            store_part(out + i, bf16 ? bf16_to_f32(h) : f16_to_f32(h), m);
        }
    });
}
void f32_to_halves(const float* in, uint16_t* out, int64_t n, bool bf16) {
    parallel_for(n, 32768, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i += kLanes<float>) {
            const int64_t m = end - i < kLanes<float> ? end - i : kLanes<float>;
            const F32 x = load_part<F32>(in + i, m);
            store_part(out + i, bf16 ? f32_to_bf16(x) : f32_to_f16(x), m);
        }
    });
}

namespace {

void fill(const TensorView& dst, const void* element) {
    const int64_t zeros[kMaxDims] = {};
    const TensorView src{const_cast<void*>(element), dst.shape, zeros, dst.rank, dst.dtype};
    strided_copy(dst, src);
}

// The part of `view` that starts at element `start[d]` of each dimension, `shape` in size.
TensorView part_of(const TensorView& view, const int64_t* start, const int64_t* shape) {
    int64_t offset = 0;
    for (int d = 0; d < view.rank; ++d) offset += start[d] * view.strides[d];
    return {view.as<char>() + offset * element_size(view.dtype), shape, view.strides, view.rank,
            view.dtype};
}

void contiguous(const KernelCall& c) { strided_copy(c.out[0], c.in[0]); }

void reshape(const KernelCall& c) {
    // Written as a contiguous tensor of the input's shape.
    int64_t strides[kMaxDims], step = 1;
    const TensorView& in = c.in[0];
    for (int d = in.rank - 1; d >= 0; --d) {
        strides[d] = step;
        step *= in.shape[d];
    }
    strided_copy({c.out[0].data, in.shape, strides, in.rank, in.dtype}, in);
}

void slice_update(const KernelCall& c) {
    const TensorView &x = c.in[0], &part = c.in[1], &out = c.out[0];
    if (out.data != x.data) strided_copy(out, x);
    const int64_t* sizes = c.attrs + 1;
    const int64_t* steps = sizes + out.rank + 1;
    int64_t start[kMaxDims], strides[kMaxDims], spread[kMaxDims];
    for (int d = 0; d < out.rank; ++d) {
        start[d] = scalar_i64(c.in[2 + d]);
        strides[d] = out.strides[d] * steps[d];
        const int p = d - (out.rank - part.rank);
        spread[d] = p < 0 || part.shape[p] == 1 ? 0 : part.strides[p];
    }
    TensorView to = part_of(out, start, sizes);
    to.strides = strides;
    alignas(16) char number[kMaxElement];
    TensorView from{part.data, sizes, spread, out.rank, out.dtype};
    if (part.dtype != out.dtype) {  // a number, in the dtype that numbers have
        convert_scalar(part, out.dtype, number);
        from.data = number;
    }
    strided_copy(to, from);
}

void concat(const KernelCall& c) {
    const int64_t axis = c.attrs[0];
    int64_t start[kMaxDims] = {};
    for (int k = 0; k < c.n_in; ++k) {
        strided_copy(part_of(c.out[0], start, c.in[k].shape), c.in[k]);
        start[axis] += c.in[k].shape[axis];
    }
}

void pad(const KernelCall& c) {
    const TensorView &x = c.in[0], &out = c.out[0];
    const int64_t* low = c.attrs + 1;
    const int64_t* high = low + out.rank + 1;
    alignas(16) char number[kMaxElement];
    convert_scalar(c.in[1], out.dtype, number);
    // The border is slabs before and behind x along each dimension; dimensions in front of it are
    // already narrowed to x, so that slabs do not overlap.
    int64_t start[kMaxDims] = {}, shape[kMaxDims];
    for (int d = 0; d < out.rank; ++d) shape[d] = out.shape[d];
    for (int d = 0; d < out.rank; ++d) {
        shape[d] = low[d];
        fill(part_of(out, start, shape), number);
        start[d] = low[d] + x.shape[d];
        shape[d] = high[d];
        fill(part_of(out, start, shape), number);
        start[d] = low[d];
        shape[d] = x.shape[d];
    }
    strided_copy(part_of(out, start, x.shape), x);
}

void full(const KernelCall& c) {
    alignas(16) char number[kMaxElement];
    convert_scalar(c.in[0], c.out[0].dtype, number);
    fill(c.out[0], number);
}

// Interleaves two parts, each of the shape of the result, broadcast, or a number.
void complex(const KernelCall& c) {
    const TensorView& out = c.out[0];
    const DType part = out.dtype == DType::kC64 ? DType::kF32 : DType::kF64;
    const int64_t size = element_size(part);
    const auto dense = [&](const TensorView& x) {
        int64_t step = 1;
        for (int d = out.rank - 1; d >= 0; --d) {
            if (x.rank != out.rank || x.dtype != part) return false;
            if (out.shape[d] != 1 && x.strides[d] != step) return false;
            step *= out.shape[d];
        }
        return out.rank > 0;
    };
    if (dense(c.in[0]) && dense(c.in[1]) && dense(out)) {
        const auto run = [&](auto* to) {
            using T = __typeof__(*to);
            const T *re = c.in[0].as<T>(), *im = c.in[1].as<T>();
            parallel_for(count_elements(out), grain_for(4 * size), [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) {
                    to[2 * i] = re[i];
                    to[2 * i + 1] = im[i];
                }
            });
        };
        part == DType::kF32 ? run(out.as<float>()) : run(out.as<double>());
        return;
    }
    int64_t apart[kMaxDims], spread[kMaxDims];
    for (int d = 0; d < out.rank; ++d) apart[d] = 2 * out.strides[d];
    for (int k = 0; k < 2; ++k) {
        const TensorView& x = c.in[k];
        const TensorView to{out.as<char>() + k * size, out.shape, apart, out.rank, part};
        if (x.dtype != part) {  // a number, in the dtype that numbers have
            alignas(16) char number[kMaxElement];
            convert_scalar(x, part, number);
            fill(to, number);
            continue;
        }
        for (int d = 0; d < out.rank; ++d) {
            const int p = d - (out.rank - x.rank);
            spread[d] = p < 0 || x.shape[p] == 1 ? 0 : x.strides[p];
        }
        strided_copy(to, {x.data, out.shape, spread, out.rank, part});
    }
}

// out[i] = value(i) for a function of the index; f16 and bf16 are rounded from f32.
template <class Value>
void generate(const TensorView& out, Value value) {
    const int64_t n = count_elements(out);
    parallel_for(n, 32768, [&](int64_t begin, int64_t end) {
        const auto run = [&](auto* p) {
            using T = __typeof__(*p);
            for (int64_t i = begin; i < end; ++i) p[i] = static_cast<T>(value(i));
        };
        switch (out.dtype) {
            case DType::kF64: run(out.as<double>()); break;
            case DType::kF32: run(out.as<float>()); break;
            case DType::kF16:
                for (int64_t i = begin; i < end; ++i)
                    out.as<uint16_t>()[i] = sn::f32_to_f16(static_cast<float>(value(i)));
                break;
            case DType::kBF16:
                for (int64_t i = begin; i < end; ++i)
                    out.as<uint16_t>()[i] = sn::f32_to_bf16(static_cast<float>(value(i)));
                break;
            case DType::kI64: run(out.as<int64_t>()); break;
            case DType::kI32: run(out.as<int32_t>()); break;
            case DType::kI16: run(out.as<int16_t>()); break;
            case DType::kI8: run(out.as<int8_t>()); break;
            case DType::kU64: run(out.as<uint64_t>()); break;
            case DType::kU32: run(out.as<uint32_t>()); break;
            case DType::kU16: run(out.as<uint16_t>()); break;
            case DType::kU8: run(out.as<uint8_t>()); break;
            case DType::kBool:
                for (int64_t i = begin; i < end; ++i) out.as<uint8_t>()[i] = value(i) != 0;
                break;
            case DType::kC64:
            case DType::kC128: break;  // made of two real ones
        }
    });
}

bool floating(DType d) { return d >= DType::kF16 && d <= DType::kF64; }

void arange(const KernelCall& c) {
    const TensorView& out = c.out[0];
    if (floating(out.dtype)) {
        const double start = scalar_f64(c.in[0]), step = scalar_f64(c.in[1]);
        generate(out, [=](int64_t i) { return start + static_cast<double>(i) * step; });
    } else {
        const uint64_t start = static_cast<uint64_t>(scalar_i64(c.in[0]));
        const uint64_t step = static_cast<uint64_t>(scalar_i64(c.in[1]));
        generate(out, [=](int64_t i) {
            return static_cast<int64_t>(start + static_cast<uint64_t>(i) * step);
        });
    }
}

// Counted from the nearer end, so that both ends are exact and the middle is symmetric. Without the
// endpoint the numbers are those of one more, less the last. Attributes: count, endpoint.
void linspace(const KernelCall& c) {
    const double start = scalar_f64(c.in[0]), stop = scalar_f64(c.in[1]);
    const int64_t steps = c.attrs[1] != 0 ? c.attrs[0] - 1 : c.attrs[0];
    const double n = steps > 0 ? static_cast<double>(steps) : 1.0, span = stop - start;
    const bool overflows = span - span != 0 && start - start == 0 && stop - stop == 0;
    const double step = overflows ? stop / n - start / n : span / n;
    generate(c.out[0], [=](int64_t i) {
        return 2 * i <= steps ? start + static_cast<double>(i) * step
                              : stop - static_cast<double>(steps - i) * step;
    });
}

}  // namespace

void register_copy(KernelTable& table) {
    table.add("contiguous", contiguous);
    table.add("reshape", reshape);
    table.add("slice_update", slice_update);
    table.add("concat", concat);
    table.add("pad", pad);
    table.add("full", full);
    table.add("complex", complex);
    table.add("arange", arange);
    table.add("linspace", linspace);
}

}  // namespace sn::cpu::SN_ISA
