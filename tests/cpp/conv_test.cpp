// Convolution against a scalar reference that follows the chains of design note 005 literally:
// equal bits for every dtype, instruction set, number of threads and batch.
#include "backend/cpu/conv.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "backend/cpu/gemm.h"
#include "check.h"
#include "engine/pool.h"

namespace sn::cpu {
#if defined(SN_HAVE_AVX2)
namespace avx2 {
const ConvKernels& conv_kernels();
}
#endif
#if defined(SN_HAVE_AVX512)
namespace avx512 {
const ConvKernels& conv_kernels();
}
#endif
#if defined(SN_HAVE_NEON)
namespace neon {
const ConvKernels& conv_kernels();
}
#endif
}  // namespace sn::cpu

namespace {

using namespace sn;
using namespace sn::cpu;

// The levels with fused multiply-add that this machine runs: the ones that the guarantee covers.
std::vector<const ConvKernels*> levels() {
    std::vector<const ConvKernels*> list;
#if defined(SN_HAVE_AVX2)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        list.push_back(&avx2::conv_kernels());
#endif
#if defined(SN_HAVE_AVX512)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
        list.push_back(&avx512::conv_kernels());
#endif
#if defined(SN_HAVE_NEON)
    list.push_back(&neon::conv_kernels());
#endif
    return list;
}

// A tensor of any float dtype, with its values also as the accumulate type A.
template <class A>
struct Data {
    std::vector<unsigned char> bytes;
    std::vector<A> values;
};

template <class A>
A decode(DType dtype, const void* data, int64_t i) {
    switch (dtype) {
        case DType::kF64: return static_cast<A>(static_cast<const double*>(data)[i]);
        case DType::kF32: return static_cast<A>(static_cast<const float*>(data)[i]);
        case DType::kF16: return f16_to_f32(static_cast<const uint16_t*>(data)[i]);
        default: return bf16_to_f32(static_cast<const uint16_t*>(data)[i]);
    }
}

template <class A>
void encode(DType dtype, void* data, int64_t i, A value) {
    switch (dtype) {
        case DType::kF64: static_cast<double*>(data)[i] = value; break;
        case DType::kF32: static_cast<float*>(data)[i] = static_cast<float>(value); break;
        case DType::kF16:
            static_cast<uint16_t*>(data)[i] = f32_to_f16(static_cast<float>(value));
            break;
        default: static_cast<uint16_t*>(data)[i] = f32_to_bf16(static_cast<float>(value));
    }
}

template <class A>
Data<A> random_data(DType dtype, int64_t n, std::mt19937& rng) {
    Data<A> d;
    d.bytes.resize(static_cast<size_t>(n) * dtype_size(dtype));
    d.values.resize(static_cast<size_t>(n));
    std::normal_distribution<double> normal;
    for (int64_t i = 0; i < n; ++i) {
        encode<A>(dtype, d.bytes.data(), i, static_cast<A>(normal(rng)));
        d.values[i] = decode<A>(dtype, d.bytes.data(), i);
    }
    return d;
}

int64_t product(const int64_t* v) { return v[0] * v[1] * v[2]; }
int64_t x_size(const ConvShape& s) { return s.batch * product(s.in) * s.in_channels; }
int64_t y_size(const ConvShape& s) { return s.batch * product(s.out) * s.out_channels; }
int64_t w_size(const ConvShape& s) {
    return s.out_channels * (s.in_channels / s.groups) * product(s.kernel);
}

// OIDHW strides of a weight that is stored in the order of `order`.
void weight_strides(const ConvShape& s, const int* order, int64_t* strides) {
    const int64_t sizes[5] = {s.out_channels, s.in_channels / s.groups, s.kernel[0], s.kernel[1],
                              s.kernel[2]};
    int64_t stride = 1;
    for (int i = 4; i >= 0; --i) {
        strides[order[i]] = stride;
        stride *= sizes[order[i]];
    }
}

// A sum in segments, as the note defines it.
template <class A>
struct Chain {
    A total = 0, segment = 0;
    int64_t current = -1;
    bool any = false;
    void term(int64_t index, A a, A b) {
        if (index != current) flush();
        current = index;
        segment = std::fma(a, b, segment);
    }
    void flush() {
        if (current < 0) return;
        total = any ? total + segment : segment;
        any = true;
        segment = 0;
    }
    A result() {
        flush();
        return total;
    }
};

template <class A>
std::vector<A> reference(const ConvShape& s, ConvPass pass, const std::vector<A>& source,
                         const std::vector<A>& w, const int64_t* ws) {
    const bool forward = pass == ConvPass::kForward;
    const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups;
    std::vector<A> result(forward ? y_size(s) : x_size(s));
    const int64_t* size = forward ? s.out : s.in;
    const int64_t* from = forward ? s.in : s.out;
    const int64_t cols = forward ? s.out_channels : s.in_channels;
    const int64_t depth = forward ? in : out;
    const int64_t taps = product(s.kernel);
    for (int64_t n = 0; n < s.batch; ++n)
        for (int64_t p = 0; p < product(size); ++p) {
            const int64_t at[3] = {p / (size[1] * size[2]), p / size[2] % size[1], p % size[2]};
            for (int64_t col = 0; col < cols; ++col) {
                const int64_t group = col / (forward ? out : in);
                Chain<A> chain;
                for (int64_t rank = 0; rank < taps; ++rank) {
                    const int64_t tap = forward ? rank : taps - 1 - rank;
                    const int64_t t[3] = {tap / (s.kernel[1] * s.kernel[2]),
                                          tap / s.kernel[2] % s.kernel[1], tap % s.kernel[2]};
                    int64_t c[3];
                    bool valid = true;
                    for (int d = 0; d < 3; ++d) {
                        if (forward) {
                            c[d] = at[d] * s.stride[d] - s.pad_lo[d] + t[d] * s.dilation[d];
                        } else {
                            c[d] = at[d] + s.pad_lo[d] - t[d] * s.dilation[d];
                            valid = valid && c[d] >= 0 && c[d] % s.stride[d] == 0;
                            c[d] /= s.stride[d];
                        }
                        valid = valid && c[d] >= 0 && c[d] < from[d];
                    }
                    if (!valid) continue;
                    const int64_t pixel = ((n * from[0] + c[0]) * from[1] + c[1]) * from[2] + c[2];
                    for (int64_t k = 0; k < depth; ++k) {
                        const int64_t o = forward ? col : group * out + k;
                        const int64_t i = forward ? k : col % in;
                        const A wv =
                            w[o * ws[0] + i * ws[1] + t[0] * ws[2] + t[1] * ws[3] + t[2] * ws[4]];
                        const A xv = source[pixel * depth * s.groups + group * depth + k];
                        chain.term((rank * depth + k) / kGemmSegment, xv, wv);
                    }
                }
                result[(n * product(size) + p) * cols + col] = chain.result();
            }
        }
    return result;
}

template <class A>
std::vector<A> reference_weight_grad(const ConvShape& s, const std::vector<A>& x,
                                     const std::vector<A>& dy, const int64_t* ws) {
    const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups;
    std::vector<A> dw(w_size(s));
    const int64_t pixels = s.batch * product(s.out);
    for (int64_t o = 0; o < s.out_channels; ++o)
        for (int64_t i = 0; i < in; ++i)
            for (int64_t tap = 0; tap < product(s.kernel); ++tap) {
                const int64_t t[3] = {tap / (s.kernel[1] * s.kernel[2]),
                                      tap / s.kernel[2] % s.kernel[1], tap % s.kernel[2]};
                A total = 0, group = 0, segment = 0;
                for (int64_t p = 0; p < pixels; ++p) {
                    const int64_t at[3] = {p / (s.out[1] * s.out[2]) % s.out[0],
                                           p / s.out[2] % s.out[1], p % s.out[2]};
                    const int64_t n = p / product(s.out);
                    int64_t c[3];
                    bool valid = true;
                    for (int d = 0; d < 3; ++d) {
                        c[d] = at[d] * s.stride[d] - s.pad_lo[d] + t[d] * s.dilation[d];
                        valid = valid && c[d] >= 0 && c[d] < s.in[d];
                    }
                    if (valid) {
                        const int64_t pixel =
                            ((n * s.in[0] + c[0]) * s.in[1] + c[1]) * s.in[2] + c[2];
                        segment = std::fma(x[pixel * s.in_channels + o / out * in + i],
                                           dy[p * s.out_channels + o], segment);
                    }
                    const bool last = p + 1 == pixels;
                    if ((p + 1) % kConvPixels != 0 && !last) continue;
                    const int64_t index = p / kConvPixels;
                    group = index % kConvGroup == 0 ? segment : group + segment;
                    segment = 0;
                    if ((index + 1) % kConvGroup != 0 && !last) continue;
                    total = index / kConvGroup == 0 ? group : total + group;
                }
                dw[o * ws[0] + i * ws[1] + t[0] * ws[2] + t[1] * ws[3] + t[2] * ws[4]] = total;
            }
    return dw;
}

const char* describe(const ConvShape& s) {
    static char text[400];
    std::snprintf(text, sizeof text,
                  "%s batch %lld channels %lld->%lld groups %lld in %lld,%lld,%lld out "
                  "%lld,%lld,%lld kernel %lld,%lld,%lld stride %lld,%lld,%lld dilation "
                  "%lld,%lld,%lld padding %lld,%lld,%lld",
                  dtype_name(s.dtype), (long long)s.batch, (long long)s.in_channels,
                  (long long)s.out_channels, (long long)s.groups, (long long)s.in[0],
                  (long long)s.in[1], (long long)s.in[2], (long long)s.out[0], (long long)s.out[1],
                  (long long)s.out[2], (long long)s.kernel[0], (long long)s.kernel[1],
                  (long long)s.kernel[2], (long long)s.stride[0], (long long)s.stride[1],
                  (long long)s.stride[2], (long long)s.dilation[0], (long long)s.dilation[1],
                  (long long)s.dilation[2], (long long)s.pad_lo[0], (long long)s.pad_lo[1],
                  (long long)s.pad_lo[2]);
    return text;
}

template <class A>
std::vector<unsigned char> rounded(DType dtype, const std::vector<A>& values) {
    std::vector<unsigned char> bytes(values.size() * dtype_size(dtype));
    for (size_t i = 0; i < values.size(); ++i) encode<A>(dtype, bytes.data(), i, values[i]);
    return bytes;
}

void check_same(const std::vector<unsigned char>& got, const std::vector<unsigned char>& want,
                const char* what, const ConvShape& s, size_t level, int threads) {
    const bool same = got == want;
    std::string text;
    if (!same) {
        size_t bad = 0;
        while (got[bad] == want[bad]) ++bad;
        text = std::string(what) + " differs at element " +
               std::to_string(bad / dtype_size(s.dtype)) + " of " +
               std::to_string(want.size() / dtype_size(s.dtype)) + ", level " +
               std::to_string(level) + ", " + std::to_string(threads) + " threads: " + describe(s);
    }
    sn::test::report(same, __FILE__, __LINE__, text);
}

template <class A>
void check_shape(const ConvShape& s, std::mt19937& rng) {
    static const int orders[3][5] = {{0, 1, 2, 3, 4}, {0, 2, 3, 4, 1}, {2, 3, 4, 1, 0}};
    int64_t ws[5], dws[5];
    weight_strides(s, orders[rng() % 3], ws);
    weight_strides(s, orders[rng() % 3], dws);
    const Data<A> x = random_data<A>(s.dtype, x_size(s), rng);
    const Data<A> w = random_data<A>(s.dtype, w_size(s), rng);
    const Data<A> dy = random_data<A>(s.dtype, y_size(s), rng);
    const auto y_want =
        rounded(s.dtype, reference<A>(s, ConvPass::kForward, x.values, w.values, ws));
    const auto dx_want =
        rounded(s.dtype, reference<A>(s, ConvPass::kDataGrad, dy.values, w.values, ws));
    const auto dw_want = rounded(s.dtype, reference_weight_grad<A>(s, x.values, dy.values, dws));
    ConvWeight weight;
    weight.data = w.bytes.data();
    for (int i = 0; i < 5; ++i) weight.strides[i] = ws[i];
    size_t level = 0;
    for (const ConvKernels* kernels : levels()) {
        for (int threads : {1, 2, 3}) {
            set_pool_threads(threads);
            std::vector<unsigned char> y(y_want.size(), 0xff), dx(dx_want.size(), 0xff),
                dw(dw_want.size(), 0xff);
            kernels->forward(s, x.bytes.data(), weight, y.data(), nullptr);
            check_same(y, y_want, "forward", s, level, threads);
            kernels->data_grad(s, dy.bytes.data(), weight, dx.data(), nullptr);
            check_same(dx, dx_want, "data gradient", s, level, threads);
            kernels->weight_grad(s, x.bytes.data(), dy.bytes.data(), dw.data(), dws);
            check_same(dw, dw_want, "weight gradient", s, level, threads);
        }
        ++level;
    }
    set_pool_threads(1);
}

void check_any(const ConvShape& s, std::mt19937& rng) {
    if (s.dtype == DType::kF64)
        check_shape<double>(s, rng);
    else
        check_shape<float>(s, rng);
}

ConvShape make(DType dtype, int64_t batch, int64_t in_channels, int64_t out_channels,
               int64_t groups, int64_t height, int64_t width, int64_t kernel, int64_t stride,
               int64_t padding) {
    ConvShape s;
    s.dtype = dtype;
    s.batch = batch, s.in_channels = in_channels, s.out_channels = out_channels, s.groups = groups;
    s.in[1] = height, s.in[2] = width;
    for (int d = 1; d < 3; ++d) {
        s.kernel[d] = kernel, s.stride[d] = stride, s.pad_lo[d] = padding;
        s.out[d] = (s.in[d] + 2 * padding - kernel) / stride + 1;
    }
    return s;
}

TEST(usual_shapes) {
    std::mt19937 rng(1);
    const DType f = DType::kF32;
    check_any(make(f, 2, 64, 64, 1, 7, 7, 3, 1, 1), rng);
    check_any(make(f, 3, 130, 70, 1, 5, 6, 3, 1, 1), rng);   // more than one segment of k
    check_any(make(f, 20, 1, 32, 1, 28, 28, 3, 1, 0), rng);  // more than one group of segments
    check_any(make(f, 6, 3, 32, 1, 32, 32, 5, 1, 2), rng);
    check_any(make(f, 2, 3, 64, 1, 23, 23, 7, 2, 3), rng);
    check_any(make(f, 2, 32, 48, 1, 9, 9, 1, 1, 0), rng);
    check_any(make(f, 2, 32, 48, 1, 9, 9, 1, 2, 0), rng);  // pixels that no output reads
    check_any(make(f, 2, 40, 40, 40, 9, 8, 3, 1, 1), rng);
    check_any(make(f, 6, 72, 72, 72, 14, 14, 5, 2, 2), rng);
    check_any(make(f, 2, 32, 64, 8, 6, 7, 3, 1, 1), rng);
    check_any(make(f, 2, 6, 12, 6, 6, 7, 3, 1, 1), rng);  // two results per channel
    check_any(make(f, 1, 1, 1, 1, 30, 31, 3, 1, 1), rng);
    check_any(make(f, 1, 2100, 3, 1, 2, 2, 1, 1, 0), rng);
    // Chunks of whole rows: several per image, several images in one, and a part of one at the end.
    check_any(make(f, 1, 24, 80, 1, 21, 19, 1, 1, 0), rng);
    check_any(make(f, 3, 70, 300, 1, 11, 13, 1, 1, 0), rng);
    check_any(make(f, 23, 40, 72, 1, 4, 5, 1, 1, 0), rng);
    check_any(make(f, 1, 150, 150, 150, 19, 17, 3, 1, 1), rng);
    check_any(make(f, 9, 44, 44, 44, 5, 7, 3, 2, 1), rng);
}

TEST(random_shapes) {
    std::mt19937 rng(2);
    auto in = [&](int64_t lo, int64_t hi) {
        return lo + static_cast<int64_t>(rng() % static_cast<uint64_t>(hi - lo + 1));
    };
    const DType dtypes[] = {DType::kF32, DType::kF64, DType::kF16, DType::kBF16};
    for (int trial = 0; trial < 300; ++trial) {
        ConvShape s;
        s.dtype = dtypes[trial % 4];
        s.batch = in(1, 3);
        switch (in(0, 3)) {
            case 0:
                s.groups = in(2, 4);
                s.in_channels = s.groups * in(1, 9), s.out_channels = s.groups * in(1, 20);
                break;
            case 1: s.groups = s.in_channels = s.out_channels = in(2, 50); break;
            default: s.in_channels = in(1, 40), s.out_channels = in(1, 70);
        }
        const int rank = static_cast<int>(in(1, 3));
        for (int d = 3 - rank; d < 3; ++d) {
            s.in[d] = in(1, rank == 3 ? 6 : 11);
            s.kernel[d] = in(1, rank == 3 ? 3 : 5);
            s.stride[d] = in(1, 3);
            s.dilation[d] = in(1, 2);
            s.pad_lo[d] = in(0, 4);
            const int64_t pad_hi = in(0, 4), reach = s.dilation[d] * (s.kernel[d] - 1) + 1;
            const int64_t room = s.in[d] + s.pad_lo[d] + pad_hi - reach;
            s.out[d] = room < 0 ? 0 : room / s.stride[d] + 1;
        }
        check_any(s, rng);
    }
}

TEST(image_alone_is_image_in_batch) {
    std::mt19937 rng(3);
    const ConvShape s = make(DType::kF32, 37, 20, 36, 1, 7, 6, 3, 1, 1);
    const Data<float> x = random_data<float>(s.dtype, x_size(s), rng);
    const Data<float> w = random_data<float>(s.dtype, w_size(s), rng);
    const int order[5] = {0, 1, 2, 3, 4};
    ConvWeight weight;
    weight.data = w.bytes.data();
    weight_strides(s, order, weight.strides);
    for (const ConvKernels* kernels : levels()) {
        std::vector<float> y(y_size(s)), one(y_size(s) / s.batch);
        kernels->forward(s, x.values.data(), weight, y.data(), nullptr);
        ConvShape single = s;
        single.batch = 1;
        for (int64_t n = 0; n < s.batch; n += 9) {
            kernels->forward(single, x.values.data() + n * x_size(single), weight, one.data(),
                             nullptr);
            CHECK_BITS(one.data(), y.data() + n * y_size(single), one.size());
        }
    }
}

struct BiasContext {
    const float* bias;
    float* y;
    int64_t channels;
};

void add_bias(void* context, const void* tile, int64_t ld, int64_t, int64_t row0, int64_t rows,
              int64_t col0, int64_t cols) {
    const BiasContext& c = *static_cast<BiasContext*>(context);
    const float* from = static_cast<const float*>(tile);
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t j = 0; j < cols; ++j)
            c.y[(row0 + r) * c.channels + col0 + j] = from[r * ld + j] + c.bias[col0 + j];
}

// The scalar form of run_tile_steps, for one element.
template <class A>
A apply_steps(const TileSteps& list, A x, int64_t row, int64_t col) {
    A kept = 0;
    for (int k = 0; k < list.count; ++k) {
        const TileStep& s = list.steps[k];
        const auto of = [&](int i) {
            const TileOperand& o = s.of[i];
            return *reinterpret_cast<const A*>(o.data + row * o.row_bytes + col * o.col_bytes);
        };
        switch (s.kind) {
            case TileStepKind::kAffine:
                x = x - of(0);
                x = x * of(1);
                x = x + of(2);
                break;
            case TileStepKind::kBias:
            case TileStepKind::kAdd: x = x + of(0); break;
            case TileStepKind::kDivide: x = x / of(0); break;
            case TileStepKind::kKeep: kept = x; break;
            case TileStepKind::kTimesKept: x = x * kept; break;
            case TileStepKind::kRelu: x = x < 0 ? A(0) : x; break;
            case TileStepKind::kClip:
                if (x == x) {
                    x = x > of(0) ? x : of(0);
                    x = x < of(1) ? x : of(1);
                }
        }
    }
    return x;
}

void never_run(void*, const void*, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t) {
    sn::test::report(false, __FILE__, __LINE__, "the epilogue's program ran beside its steps");
}

// Every kind of step, alone and after others, on sums in the output and in scratch; also with the
// added matrix where the result goes.
template <class A>
void check_steps(const ConvShape& s, std::mt19937& rng) {
    static const int order[5] = {0, 1, 2, 3, 4};
    const int64_t rows = s.batch * product(s.out), cols = s.out_channels;
    Data<A> x = random_data<A>(s.dtype, x_size(s), rng);
    const Data<A> w = random_data<A>(s.dtype, w_size(s), rng);
    // A NaN and zeros of both signs on their way through.
    if (!x.values.empty()) {
        x.values[x.values.size() / 2] = std::numeric_limits<A>::quiet_NaN();
        x.values[0] = -A(0);
    }
    const Data<A> per_column = random_data<A>(s.dtype, 3 * cols, rng);
    const Data<A> matrix = random_data<A>(s.dtype, rows * cols, rng);
    ConvWeight weight;
    weight.data = w.values.data();
    weight_strides(s, order, weight.strides);
    constexpr int64_t kSize = sizeof(A);
    alignas(64) A cells[4][64 / kSize];
    const A numbers[4] = {A(0), A(1), -A(0), A(0.75)};
    for (int c = 0; c < 4; ++c)
        for (A& cell : cells[c]) cell = numbers[c];
    const auto column = [&](int i) {
        return TileOperand{reinterpret_cast<const char*>(per_column.values.data() + i * cols), 0,
                           kSize};
    };
    const auto cell = [&](int i) {
        return TileOperand{reinterpret_cast<const char*>(cells[i]), 0, 0};
    };
    const TileStep norm{TileStepKind::kAffine, {column(0), column(1), column(2)}};
    const TileStep half{TileStepKind::kAffine, {cell(0), column(1), cell(2)}};
    const TileStep bias{TileStepKind::kBias, {column(2), {}, {}}};
    const TileStep number{TileStepKind::kBias, {cell(3), {}, {}}};
    const TileStep divide{TileStepKind::kDivide, {cell(3), {}, {}}};
    const TileStep quotients{TileStepKind::kDivide, {column(1), {}, {}}};
    const TileStep keep{TileStepKind::kKeep, {}};
    const TileStep times_kept{TileStepKind::kTimesKept, {}};
    const TileStep relu{TileStepKind::kRelu, {}};
    const TileStep clip{TileStepKind::kClip, {cell(0), cell(3), {}}};
    TileStep residual{TileStepKind::kAdd, {{nullptr, cols * kSize, kSize}, {}, {}}};
    const std::vector<TileStep> lists[] = {{norm},
                                           {half},
                                           {bias},
                                           {relu},
                                           {clip},
                                           {residual},
                                           {norm, clip},
                                           {norm, residual, relu},
                                           {quotients},
                                           {bias, keep, number, clip, times_kept, divide},
                                           {keep, half, keep, relu, times_kept, residual},
                                           {bias, relu, residual, clip, half}};
    for (const ConvKernels* kernels : levels()) {
        set_pool_threads(1 + static_cast<int>(rng() % 2));
        std::vector<A> sums(static_cast<size_t>(rows * cols));
        kernels->forward(s, x.values.data(), weight, sums.data(), nullptr);
        for (std::vector<TileStep> list : lists)
            for (bool in_output : {true, false}) {
                std::vector<A> y(sums.size(), A(7)), want(sums.size());
                // Elsewhere sums leave the output alone until it is written: it may hold the
                // matrix.
                if (!in_output) y = matrix.values;
                const A* const added = in_output ? matrix.values.data() : y.data();
                for (TileStep& step : list)
                    if (step.of[0].row_bytes)
                        step.of[0].data = reinterpret_cast<const char*>(added);
                const TileSteps steps{list.data(), static_cast<int>(list.size()),
                                      reinterpret_cast<char*>(y.data()), cols * kSize};
                for (int64_t r = 0; r < rows; ++r)
                    for (int64_t c = 0; c < cols; ++c)
                        want[r * cols + c] = apply_steps(steps, sums[r * cols + c], r, c);
                Epilogue epilogue{&never_run, nullptr, in_output};
                epilogue.steps = &steps;
                kernels->forward(s, x.values.data(), weight, in_output ? y.data() : nullptr,
                                 &epilogue);
                for (size_t i = 0; i < y.size(); ++i) {
                    if (y[i] != y[i] && want[i] != want[i]) y[i] = want[i];  // any NaN
                }
                CHECK_BITS(y.data(), want.data(), y.size());
            }
    }
    set_pool_threads(1);
}

TEST(steps_on_the_accumulators) {
    std::mt19937 rng(6);
    for (DType dtype : {DType::kF32, DType::kF64}) {
        const ConvShape shapes[] = {
            make(dtype, 2, 16, 96, 1, 9, 7, 1, 1, 0),    // whole blocks side by side
            make(dtype, 1, 24, 51, 1, 11, 5, 1, 1, 0),   // columns that no vector divides
            make(dtype, 3, 3, 1, 1, 8, 8, 3, 2, 1),      // one column
            make(dtype, 1, 130, 33, 1, 5, 6, 3, 1, 1),   // several segments of k
            make(dtype, 2, 2100, 20, 1, 2, 3, 1, 1, 0),  // the same with one tap
            make(dtype, 2, 45, 45, 45, 9, 10, 3, 1, 1),  // depthwise
            make(dtype, 1, 64, 64, 64, 13, 9, 3, 2, 1),
            make(dtype, 2, 24, 36, 3, 6, 7, 3, 1, 1),  // groups
            make(dtype, 1, 4, 18, 1, 3, 3, 1, 1, 4),   // pixels without any tap
        };
        for (const ConvShape& s : shapes) {
            if (dtype == DType::kF64)
                check_steps<double>(s, rng);
            else
                check_steps<float>(s, rng);
        }
    }
}

TEST(epilogue_and_packed_weights) {
    std::mt19937 rng(4);
    for (int64_t groups : {1, 3, 51}) {
        const ConvShape s = make(DType::kF32, 5, 51, 51, groups, 9, 9, 3, 1, 1);
        const Data<float> x = random_data<float>(s.dtype, x_size(s), rng);
        const Data<float> w = random_data<float>(s.dtype, w_size(s), rng);
        const Data<float> bias = random_data<float>(s.dtype, s.out_channels, rng);
        const int order[5] = {0, 1, 2, 3, 4};
        ConvWeight weight;
        weight.data = w.bytes.data();
        weight_strides(s, order, weight.strides);
        for (const ConvKernels* kernels : levels())
            for (int pass = 0; pass < 2; ++pass) {
                const ConvPass which = pass ? ConvPass::kDataGrad : ConvPass::kForward;
                const auto run = pass ? kernels->data_grad : kernels->forward;
                std::vector<float> want(y_size(s)), got(y_size(s));
                run(s, x.values.data(), weight, want.data(), nullptr);
                for (size_t i = 0; i < want.size(); ++i) want[i] += bias.values[i % s.out_channels];
                const size_t bytes = kernels->packed_weight_bytes(s, which);
                void* packed = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
                kernels->pack_weight(s, which, weight, packed);
                ConvWeight only_packed;
                only_packed.packed = packed;
                for (bool in_output : {false, true}) {
                    BiasContext context{bias.values.data(), got.data(), s.out_channels};
                    const Epilogue epilogue{&add_bias, &context, in_output};
                    std::fill(got.begin(), got.end(), -1.0f);
                    run(s, x.values.data(), only_packed, got.data(), &epilogue);
                    CHECK_BITS(got.data(), want.data(), got.size());
                }
                std::free(packed);
            }
    }
}

TEST(kept_plans_are_those_of_their_geometry) {
    // Geometries that differ in one number each, one after another and twice: a plan that is found
    // again must be the right one. More of them than are kept, so that some are dropped in between.
    const int order[5] = {0, 1, 2, 3, 4};
    for (const ConvKernels* kernels : levels()) {
        std::vector<ConvShape> shapes;
        for (int64_t batch = 1; batch <= 3; ++batch)
            for (int64_t in = 3; in <= 12; ++in)
                for (int64_t kernel = 1; kernel <= 3; ++kernel)
                    for (int64_t pad = 0; pad < 3; ++pad)
                        for (int64_t stride = 1; stride <= 3; ++stride)
                            shapes.push_back(
                                make(DType::kF32, batch, 3, 5, 1, in, in + 1, kernel, stride, pad));
        CHECK(shapes.size() > 512);
        std::vector<std::vector<float>> results;
        for (int round = 0; round < 2; ++round)
            for (size_t i = 0; i < shapes.size(); ++i) {
                const ConvShape& s = shapes[i];
                std::vector<float> x(x_size(s)), w(w_size(s)), y(y_size(s));
                for (size_t j = 0; j < x.size(); ++j) x[j] = static_cast<float>(j % 7) - 3;
                for (size_t j = 0; j < w.size(); ++j) w[j] = static_cast<float>(j % 5) - 2;
                ConvWeight weight;
                weight.data = w.data();
                weight_strides(s, order, weight.strides);
                kernels->forward(s, x.data(), weight, y.data(), nullptr);
                if (round == 0)
                    results.push_back(y);
                else
                    CHECK_BITS(y.data(), results[i].data(), y.size());
            }
        // Small integers are exact: the sum over all results is that of direct loops.
        const ConvShape& s = shapes[shapes.size() - 2];
        std::vector<float> w(w_size(s));
        for (size_t j = 0; j < w.size(); ++j) w[j] = static_cast<float>(j % 5) - 2;
        double want = 0, got = 0;
        for (float v : results[shapes.size() - 2]) got += v;
        for (int64_t n = 0; n < s.batch; ++n)
            for (int64_t oh = 0; oh < s.out[1]; ++oh)
                for (int64_t ow = 0; ow < s.out[2]; ++ow)
                    for (int64_t kh = 0; kh < s.kernel[1]; ++kh)
                        for (int64_t kw = 0; kw < s.kernel[2]; ++kw)
                            for (int64_t c = 0; c < 3; ++c)
                                for (int64_t o = 0; o < 5; ++o) {
                                    const int64_t h = oh * s.stride[1] - s.pad_lo[1] + kh;
                                    const int64_t v = ow * s.stride[2] - s.pad_lo[2] + kw;
                                    if (h < 0 || v < 0 || h >= s.in[1] || v >= s.in[2]) continue;
                                    const int64_t at = ((n * s.in[1] + h) * s.in[2] + v) * 3 + c;
                                    const int64_t k =
                                        ((o * 3 + c) * s.kernel[1] + kh) * s.kernel[2] + kw;
                                    want += (static_cast<double>(at % 7) - 3) * w[k];
                                }
        CHECK_EQ(got, want);
    }
}

TEST(padding_is_skipped_not_multiplied) {
    // An infinite weight on a tap outside of the image must not make NaN, as 0 * inf would.
    ConvShape s = make(DType::kF32, 1, 1, 1, 1, 1, 1, 3, 1, 1);
    const float inf = std::numeric_limits<float>::infinity();
    float w[9] = {inf, inf, inf, inf, 2.0f, inf, inf, inf, inf}, x = 3.0f, y = 0, dx = 0;
    const int order[5] = {0, 1, 2, 3, 4};
    ConvWeight weight;
    weight.data = w;
    weight_strides(s, order, weight.strides);
    for (const ConvKernels* kernels : levels()) {
        kernels->forward(s, &x, weight, &y, nullptr);
        CHECK_EQ(y, 6.0f);
        kernels->data_grad(s, &x, weight, &dx, nullptr);
        CHECK_EQ(dx, 6.0f);
    }
}

TEST(integers_are_refused) {
    ConvShape s = make(DType::kI32, 1, 1, 1, 1, 3, 3, 3, 1, 1);
    int32_t x[9] = {}, w[9] = {}, y[9] = {};
    ConvWeight weight;
    weight.data = w;
    for (const ConvKernels* kernels : levels())
        CHECK_THROWS(kernels->forward(s, x, weight, y, nullptr), "[conv] the dtype is int32");
}

}  // namespace

int main(int argc, char** argv) { return sn::test::run(argc, argv); }
