#include "backend/cpu/pooling.h"

#include <limits>
#include <type_traits>

#include "backend/cpu/kernels/conv_tile.h"
#include "backend/cpu/part.h"
#include "base/error.h"
#include "engine/pool.h"

namespace sn::cpu::SN_ISA {
namespace {

// Channels are taken in blocks that live on the stack: loops over a block are plain arrays of
// lanes, and every lane is a chain of its own, so the vector width changes nothing.
constexpr int kBlock = 64;

// S is how an element is stored, A how it is computed with.
template <class S, class A>
SN_INLINE const A* fetch(DType dtype, const S* from, A* buffer, int n) {
    if constexpr (sizeof(S) == sizeof(A)) {
        return from;
    } else {
        convert_to_f32(dtype, from, buffer, n);
        return buffer;
    }
}
template <class S, class A>
SN_INLINE void put(DType dtype, const A* from, S* to, int n) {
    if constexpr (sizeof(S) == sizeof(A))
        __builtin_memcpy(to, from, static_cast<size_t>(n) * sizeof(A));
    else
        convert_from_f32(dtype, from, to, n);
}

template <class A>
constexpr A lowest() {
    if constexpr (std::numeric_limits<A>::has_infinity)
        return -std::numeric_limits<A>::infinity();
    else
        return std::numeric_limits<A>::lowest();
}

// Positions [begin, end) of window taps that fall into [0, size), for a window that starts at
// `start`.
struct Range {
    int64_t begin, end;
};
SN_INLINE Range clip(int64_t start, int64_t step, int64_t count, int64_t size) {
    Range r{0, count};
    if (start < 0) r.begin = (-start + step - 1) / step;
    if (start + (count - 1) * step >= size)
        r.end = size > start ? (size - start + step - 1) / step : 0;
    if (r.begin > r.end) r.begin = r.end;
    return r;
}
// The outputs whose undilated window covers input i.
SN_INLINE Range covering(int64_t i, int64_t pad, int64_t kernel, int64_t stride, int64_t out) {
    const int64_t last = i + pad, first = last - kernel + 1;
    Range r;
    r.begin = first <= 0 ? 0 : (first + stride - 1) / stride;
    r.end = last < 0 ? 0 : last / stride + 1;
    if (r.end > out) r.end = out;
    if (r.begin > r.end) r.begin = r.end;
    return r;
}

// Calls body(image, d, h) for every row of `size`, in parallel.
template <class F>
void for_rows(const PoolShape& s, const int64_t* size, F body) {
    const int64_t rows = s.batch * size[0] * size[1];
    const int64_t cost = size[2] * s.channels * s.kernel[0] * s.kernel[1] * s.kernel[2];
    const int64_t grain = cost >= 32768 ? 1 : 32768 / (cost + 1) + 1;
    parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            const int64_t rest = row / size[1];
            body(rest / size[0], rest % size[0], row % size[1]);
        }
    });
}

// The winners of one window over n <= kBlock channels.
template <class S, class A, bool kIndex, int kCount>
SN_INLINE void max_window(const PoolShape& s, const S* image, const int64_t* start, const Range* r,
                          int count, A* best, int32_t* at) {
    const int n = kCount ? kCount : count;
    for (int c = 0; c < n; ++c) best[c] = lowest<A>();
    if constexpr (kIndex)
        for (int c = 0; c < n; ++c) at[c] = -1;
    A buffer[kBlock];
    bool first = true;
    for (int64_t kd = r[0].begin; kd < r[0].end; ++kd)
        for (int64_t kh = r[1].begin; kh < r[1].end; ++kh)
            for (int64_t kw = r[2].begin; kw < r[2].end; ++kw) {
                const int64_t pixel =
                    ((start[0] + kd * s.dilation[0]) * s.in[1] + start[1] + kh * s.dilation[1]) *
                        s.in[2] +
                    start[2] + kw * s.dilation[2];
                const A* v = fetch<S, A>(s.dtype, image + pixel * s.channels, buffer, n);
                const int32_t here = static_cast<int32_t>(pixel);
                if (first) {
                    for (int c = 0; c < n; ++c) best[c] = v[c];
                    if constexpr (kIndex)
                        for (int c = 0; c < n; ++c) at[c] = here;
                    first = false;
                    continue;
                }
                if constexpr (kIndex)
                    for (int c = 0; c < n; ++c) {
                        const A a = best[c], b = v[c];
                        at[c] = (b > a) | ((b != b) & (a == a)) ? here : at[c];
                    }
                for (int c = 0; c < n; ++c) {
                    const A a = best[c], b = v[c];
                    best[c] = (b > a) | ((b != b) & (a == a)) ? b : a;
                }
            }
}

// One block of channels of one window: the winners to y, their places to index. A count that the
// compiler knows makes straight vector code of every loop.
template <class S, class A, bool kIndex, int kCount>
SN_INLINE void max_block(const PoolShape& s, const S* image, const int64_t* start, const Range* r,
                         int count, S* y, int64_t* index) {
    const int n = kCount ? kCount : count;
    A best[kBlock];
    int32_t at[kBlock];
    max_window<S, A, kIndex, kCount>(s, image, start, r, n, best, at);
    put<S, A>(s.dtype, best, y, n);
    if constexpr (kIndex)
        for (int i = 0; i < n; ++i) index[i] = at[i];
}

// What a comparison of vectors gives, which also holds places.
template <class A>
using Places = decltype(Vec<A>{} < Vec<A>{});

// f32 and f64: the winners of one window over kVectors vectors of channels, in registers. With
// kTail there is one vector, of `tail` lanes.
template <class A, int kVectors, bool kTail, bool kIndex>
SN_INLINE void max_vectors(const PoolShape& s, const A* image, const int64_t* start, const Range* r,
                           int tail, A* y, int64_t* index) {
    using V = Vec<A>;
    using P = Places<A>;
    constexpr int kL = kLanes<A>;
    V best[kVectors];
    P at[kVectors];
    for (int j = 0; j < kVectors; ++j) best[j] = V{} + lowest<A>(), at[j] = P{} - 1;
    P first = P{} - 1;  // the first pixel always wins
    for (int64_t kd = r[0].begin; kd < r[0].end; ++kd)
        for (int64_t kh = r[1].begin; kh < r[1].end; ++kh) {
            int64_t pixel =
                ((start[0] + kd * s.dilation[0]) * s.in[1] + start[1] + kh * s.dilation[1]) *
                    s.in[2] +
                start[2] + r[2].begin * s.dilation[2];
            for (int64_t kw = r[2].begin; kw < r[2].end; ++kw, pixel += s.dilation[2]) {
                const A* from = image + pixel * s.channels;
                [[maybe_unused]] const P here =
                    P{} + static_cast<std::decay_t<decltype(first[0])>>(pixel);
                for (int j = 0; j < kVectors; ++j) {
                    const V v = kTail ? load_head<A>(from, tail) : load<V>(from + j * kL);
                    if constexpr (kIndex) {
                        // Greater, or a NaN after a number.
                        const P wins = first | (v > best[j]) | ((v != v) & (best[j] == best[j]));
                        best[j] = wins ? v : best[j];
                        at[j] = wins ? here : at[j];
                    } else {
                        const V greater = v > best[j] ? v : best[j];
                        best[j] = v == v ? greater : v;
                    }
                }
                first = P{};
            }
        }
    for (int j = 0; j < kVectors; ++j) {
        if constexpr (kTail)
            store_head<A>(y, best[j], tail);
        else
            store(y + j * kL, best[j]);
        if constexpr (kIndex)
            for (int i = 0; i < (kTail ? tail : kL); ++i) index[j * kL + i] = at[j][i];
    }
}

// All channels of one window.
template <class S, class A, bool kIndex>
SN_INLINE void max_pixel(const PoolShape& s, const S* image, const int64_t* start, const Range* r,
                         S* y, int64_t* index) {
    int64_t c = 0;
    if constexpr (std::is_floating_point_v<S>) {
        constexpr int kL = kLanes<A>;
        const auto places = [&] { return kIndex ? index + c : nullptr; };
        for (; c + 4 * kL <= s.channels; c += 4 * kL)
            max_vectors<A, 4, false, kIndex>(s, image + c, start, r, 0, y + c, places());
        for (; c + kL <= s.channels; c += kL)
            max_vectors<A, 1, false, kIndex>(s, image + c, start, r, 0, y + c, places());
        if (c < s.channels)
            max_vectors<A, 1, true, kIndex>(s, image + c, start, r,
                                            static_cast<int>(s.channels - c), y + c, places());
    } else {
        for (; c < s.channels; c += kBlock) {
            const int count = static_cast<int>(s.channels - c < kBlock ? s.channels - c : kBlock);
            int64_t* places = kIndex ? index + c : nullptr;
            if (count == kBlock)
                max_block<S, A, kIndex, kBlock>(s, image + c, start, r, count, y + c, places);
            else
                max_block<S, A, kIndex, 0>(s, image + c, start, r, count, y + c, places);
        }
    }
}

template <class S, class A, bool kIndex>
void max_forward_as(const PoolShape& s, const S* x, S* y, int64_t* index) {
    for_rows(s, s.out, [&](int64_t n, int64_t d, int64_t h) {
        const S* image = x + n * s.in[0] * s.in[1] * s.in[2] * s.channels;
        const int64_t row = ((n * s.out[0] + d) * s.out[1] + h) * s.out[2];
        int64_t start[3] = {d * s.stride[0] - s.pad_lo[0], h * s.stride[1] - s.pad_lo[1], 0};
        Range r[3];
        for (int i = 0; i < 2; ++i) r[i] = clip(start[i], s.dilation[i], s.kernel[i], s.in[i]);
        for (int64_t w = 0; w < s.out[2]; ++w) {
            start[2] = w * s.stride[2] - s.pad_lo[2];
            r[2] = clip(start[2], s.dilation[2], s.kernel[2], s.in[2]);
            const int64_t to = (row + w) * s.channels;
            max_pixel<S, A, kIndex>(s, image, start, r, y + to, kIndex ? index + to : nullptr);
        }
    });
}

template <class S, class A>
void max_forward_to(const PoolShape& s, const void* x, void* y, int64_t* index) {
    if (index)
        max_forward_as<S, A, true>(s, static_cast<const S*>(x), static_cast<S*>(y), index);
    else
        max_forward_as<S, A, false>(s, static_cast<const S*>(x), static_cast<S*>(y), index);
}

}  // namespace

#define SN_MAX_POOL(dtype, S, A)                                                             \
    SN_PART(max_pool, dtype, (const PoolShape& s, const void* x, void* y, int64_t* index)) { \
        max_forward_to<S, A>(s, x, y, index);                                                \
    }
SN_MAX_POOL(i8, int8_t, int8_t)
SN_MAX_POOL(i16, int16_t, int16_t)
SN_MAX_POOL(i32, int32_t, int32_t)
SN_MAX_POOL(i64, int64_t, int64_t)
SN_MAX_POOL(u8, uint8_t, uint8_t)
SN_MAX_POOL(u16, uint16_t, uint16_t)
SN_MAX_POOL(u32, uint32_t, uint32_t)
SN_MAX_POOL(u64, uint64_t, uint64_t)
SN_MAX_POOL(f16, uint16_t, float)
SN_MAX_POOL(bf16, uint16_t, float)
SN_MAX_POOL(f32, float, float)
SN_MAX_POOL(f64, double, double)
#undef SN_MAX_POOL

namespace {

void max_forward(const PoolShape& s, const void* x, void* y, int64_t* index) {
    if (s.in[0] * s.in[1] * s.in[2] > INT32_MAX)
        fail(ErrorKind::kShape, "max_pool",
             "one image has %lld x %lld x %lld pixels; at most 2^31 "
             "are supported; split the image",
             static_cast<long long>(s.in[0]), static_cast<long long>(s.in[1]),
             static_cast<long long>(s.in[2]));
    switch (s.dtype) {
        case DType::kI8: return SN_PART_NAME(max_pool, i8)(s, x, y, index);
        case DType::kI16: return SN_PART_NAME(max_pool, i16)(s, x, y, index);
        case DType::kI32: return SN_PART_NAME(max_pool, i32)(s, x, y, index);
        case DType::kI64: return SN_PART_NAME(max_pool, i64)(s, x, y, index);
        case DType::kU8: return SN_PART_NAME(max_pool, u8)(s, x, y, index);
        case DType::kU16: return SN_PART_NAME(max_pool, u16)(s, x, y, index);
        case DType::kU32: return SN_PART_NAME(max_pool, u32)(s, x, y, index);
        case DType::kU64: return SN_PART_NAME(max_pool, u64)(s, x, y, index);
        case DType::kF16: return SN_PART_NAME(max_pool, f16)(s, x, y, index);
        case DType::kBF16: return SN_PART_NAME(max_pool, bf16)(s, x, y, index);
        case DType::kF32: return SN_PART_NAME(max_pool, f32)(s, x, y, index);
        case DType::kF64: return SN_PART_NAME(max_pool, f64)(s, x, y, index);
        default: break;
    }
    fail(ErrorKind::kDType, "max_pool", "the dtype is %s; a number is required; cast first",
         dtype_name(s.dtype));
}

// One block of channels of one input pixel: the sum over the windows [begin, end) that may have
// chosen it. `dy` and `index` are those of the image, at the block's first channel.
template <class S, class A, int kCount>
SN_INLINE void max_gradient_block(const PoolShape& s, const S* dy, const int64_t* index,
                                  const Range* r, int64_t pixel, int count, S* dx) {
    const int n = kCount ? kCount : count;
    const int32_t here = static_cast<int32_t>(pixel);
    A sum[kBlock], buffer[kBlock];
    int32_t chosen[kBlock];
    for (int i = 0; i < n; ++i) sum[i] = A(0);
    for (int64_t od = r[0].begin; od < r[0].end; ++od)
        for (int64_t oh = r[1].begin; oh < r[1].end; ++oh)
            for (int64_t ow = r[2].begin; ow < r[2].end; ++ow) {
                const int64_t from = ((od * s.out[1] + oh) * s.out[2] + ow) * s.channels;
                const A* g = fetch<S, A>(s.dtype, dy + from, buffer, n);
                // Places fit 31 bits; the lanes of f32 want indices as wide as they are.
                for (int i = 0; i < n; ++i) {
                    const int64_t place = index[from + i];
                    chosen[i] = static_cast<int32_t>(place >> 31 ? -1 : place);
                }
                for (int i = 0; i < n; ++i) {
                    const A more = sum[i] + g[i];
                    sum[i] = chosen[i] == here ? more : sum[i];
                }
            }
    put<S, A>(s.dtype, sum, dx, n);
}

template <class S, class A>
void max_backward_as(const PoolShape& s, const S* dy, const int64_t* index, S* dx) {
    int64_t reach[3];
    for (int i = 0; i < 3; ++i) reach[i] = s.dilation[i] * (s.kernel[i] - 1) + 1;
    for_rows(s, s.in, [&](int64_t n, int64_t d, int64_t h) {
        const int64_t image = n * s.out[0] * s.out[1] * s.out[2] * s.channels;
        Range r[3];
        r[0] = covering(d, s.pad_lo[0], reach[0], s.stride[0], s.out[0]);
        r[1] = covering(h, s.pad_lo[1], reach[1], s.stride[1], s.out[1]);
        for (int64_t w = 0; w < s.in[2]; ++w) {
            r[2] = covering(w, s.pad_lo[2], reach[2], s.stride[2], s.out[2]);
            const int64_t here = (d * s.in[1] + h) * s.in[2] + w;
            S* to = dx + (n * s.in[0] * s.in[1] * s.in[2] + here) * s.channels;
            for (int64_t c = 0; c < s.channels; c += kBlock) {
                const S* g = dy + image + c;
                const int64_t* places = index + image + c;
                if (s.channels - c >= kBlock)
                    max_gradient_block<S, A, kBlock>(s, g, places, r, here, kBlock, to + c);
                else
                    max_gradient_block<S, A, 0>(s, g, places, r, here,
                                                static_cast<int>(s.channels - c), to + c);
            }
        }
    });
}

// The divisor of an average over window (d, h, w).
SN_INLINE int64_t divisor_of(const PoolShape& s, const int64_t* o) {
    if (s.divisor_override) return s.divisor_override;
    int64_t size = 1;
    for (int i = 0; i < 3; ++i) {
        int64_t begin = o[i] * s.stride[i] - s.pad_lo[i], end = begin + s.kernel[i];
        const int64_t limit = s.count_include_pad ? s.in[i] + s.pad_hi[i] : s.in[i];
        if (end > limit) end = limit;
        if (!s.count_include_pad && begin < 0) begin = 0;
        size *= end > begin ? end - begin : 0;
    }
    return size;
}

template <class S, class A>
void average_forward_as(const PoolShape& s, const S* x, S* y) {
    for_rows(s, s.out, [&](int64_t n, int64_t d, int64_t h) {
        int64_t o[3] = {d, h, 0}, start[3];
        Range r[3];
        for (o[2] = 0; o[2] < s.out[2]; ++o[2]) {
            for (int i = 0; i < 3; ++i) {
                start[i] = o[i] * s.stride[i] - s.pad_lo[i];
                r[i] = clip(start[i], 1, s.kernel[i], s.in[i]);
            }
            const A divisor = static_cast<A>(divisor_of(s, o));
            const int64_t to = (((n * s.out[0] + d) * s.out[1] + h) * s.out[2] + o[2]) * s.channels;
            for (int64_t c = 0; c < s.channels; c += kBlock) {
                const int count =
                    static_cast<int>(s.channels - c < kBlock ? s.channels - c : kBlock);
                A sum[kBlock] = {}, buffer[kBlock];
                for (int64_t kd = r[0].begin; kd < r[0].end; ++kd)
                    for (int64_t kh = r[1].begin; kh < r[1].end; ++kh)
                        for (int64_t kw = r[2].begin; kw < r[2].end; ++kw) {
                            const int64_t pixel =
                                ((n * s.in[0] + start[0] + kd) * s.in[1] + start[1] + kh) *
                                    s.in[2] +
                                start[2] + kw;
                            const A* v =
                                fetch<S, A>(s.dtype, x + pixel * s.channels + c, buffer, count);
                            for (int i = 0; i < count; ++i) sum[i] += v[i];
                        }
                for (int i = 0; i < count; ++i) sum[i] /= divisor;
                put<S, A>(s.dtype, sum, y + to + c, count);
            }
        }
    });
}

template <class S, class A>
void average_backward_as(const PoolShape& s, const S* dy, S* dx) {
    for_rows(s, s.in, [&](int64_t n, int64_t d, int64_t h) {
        const Range rd = covering(d, s.pad_lo[0], s.kernel[0], s.stride[0], s.out[0]);
        const Range rh = covering(h, s.pad_lo[1], s.kernel[1], s.stride[1], s.out[1]);
        for (int64_t w = 0; w < s.in[2]; ++w) {
            const Range rw = covering(w, s.pad_lo[2], s.kernel[2], s.stride[2], s.out[2]);
            S* to = dx + (((n * s.in[0] + d) * s.in[1] + h) * s.in[2] + w) * s.channels;
            for (int64_t c = 0; c < s.channels; c += kBlock) {
                const int count =
                    static_cast<int>(s.channels - c < kBlock ? s.channels - c : kBlock);
                A sum[kBlock] = {}, buffer[kBlock];
                int64_t o[3];
                for (o[0] = rd.begin; o[0] < rd.end; ++o[0])
                    for (o[1] = rh.begin; o[1] < rh.end; ++o[1])
                        for (o[2] = rw.begin; o[2] < rw.end; ++o[2]) {
                            const A divisor = static_cast<A>(divisor_of(s, o));
                            const int64_t from =
                                (((n * s.out[0] + o[0]) * s.out[1] + o[1]) * s.out[2] + o[2]) *
                                    s.channels +
                                c;
                            const A* g = fetch<S, A>(s.dtype, dy + from, buffer, count);
                            for (int i = 0; i < count; ++i) sum[i] += g[i] / divisor;
                        }
                put<S, A>(s.dtype, sum, to + c, count);
            }
        }
    });
}

template <class S, class A>
void max_backward_to(const PoolShape& s, const void* dy, const int64_t* index, void* dx) {
    max_backward_as<S, A>(s, static_cast<const S*>(dy), index, static_cast<S*>(dx));
}
template <class S, class A>
void average_forward_to(const PoolShape& s, const void* x, void* y) {
    average_forward_as<S, A>(s, static_cast<const S*>(x), static_cast<S*>(y));
}
template <class S, class A>
void average_backward_to(const PoolShape& s, const void* dy, void* dx) {
    average_backward_as<S, A>(s, static_cast<const S*>(dy), static_cast<S*>(dx));
}

}  // namespace

#define SN_POOL_PARTS(dtype, ...)                                                   \
    SN_PART(max_pool_grad, dtype,                                                   \
            (const PoolShape& s, const void* dy, const int64_t* index, void* dx)) { \
        max_backward_to<__VA_ARGS__>(s, dy, index, dx);                             \
    }                                                                               \
    SN_PART(avg_pool, dtype, (const PoolShape& s, const void* x, void* y)) {        \
        average_forward_to<__VA_ARGS__>(s, x, y);                                   \
    }                                                                               \
    SN_PART(avg_pool_grad, dtype, (const PoolShape& s, const void* dy, void* dx)) { \
        average_backward_to<__VA_ARGS__>(s, dy, dx);                                \
    }
SN_POOL_PARTS(f16, uint16_t, float)
SN_POOL_PARTS(bf16, uint16_t, float)
SN_POOL_PARTS(f32, float, float)
SN_POOL_PARTS(f64, double, double)
#undef SN_POOL_PARTS

namespace {

// Runs a part for the dtype.
#define SN_FLOATS(part, ...)                                                  \
    switch (s.dtype) {                                                        \
        case DType::kF16: return SN_PART_NAME(part, f16) __VA_ARGS__;         \
        case DType::kBF16: return SN_PART_NAME(part, bf16) __VA_ARGS__;       \
        case DType::kF32: return SN_PART_NAME(part, f32) __VA_ARGS__;         \
        case DType::kF64: return SN_PART_NAME(part, f64) __VA_ARGS__;         \
        default:                                                              \
            fail(ErrorKind::kDType, #part,                                    \
                 "the dtype is %s; a floating dtype is required; cast first", \
                 dtype_name(s.dtype));                                        \
    }

void max_backward(const PoolShape& s, const void* dy, const int64_t* index, void* dx) {
    SN_FLOATS(max_pool_grad, (s, dy, index, dx))
}
void average_forward(const PoolShape& s, const void* x, void* y) { SN_FLOATS(avg_pool, (s, x, y)) }
void average_backward(const PoolShape& s, const void* dy, void* dx) {
    SN_FLOATS(avg_pool_grad, (s, dy, dx))
}
#undef SN_FLOATS

}  // namespace

const PoolKernels& pool_kernels() {
    static constexpr PoolKernels table = {&max_forward, &max_backward, &average_forward,
                                          &average_backward};
    return table;
}

}  // namespace sn::cpu::SN_ISA
