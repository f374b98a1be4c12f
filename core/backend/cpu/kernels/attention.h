#pragma once
// What the forward and the backward kernel of attention share: the call taken apart, and a panel of
// scores on its way from a product to probabilities. docs/design/008-attention.md has the numerics.
//
// Scores are kept turned, [key][query]: then keys and values are read where they lie, softmax runs
// along lanes that are different queries, and no sum ever crosses lanes.
#include "backend/cpu/copy.h"
#include "backend/cpu/kernels/attention_product.h"
#include "backend/cpu/kernels/philox.h"
#include "backend/cpu/scratch.h"
#include "op/math.h"

namespace sn::cpu::SN_ISA {

// Part of the numerics: sums over keys and over queries are chains inside blocks of this many,
// added left to right.
inline constexpr int64_t kAttentionBlock = 128;

inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t blocks_of(int64_t n) { return (n + kAttentionBlock - 1) / kAttentionBlock; }
template <class T>
inline int64_t whole_vectors(int64_t n) {
    return (n + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

// Which keys a query may look at: all, or a band around the diagonal.
struct Band {
    int64_t left, right, keys;  // -1: no limit
    int64_t first(int64_t query) const {
        return left < 0 ? 0 : smaller(keys, larger(0, query - left));
    }
    int64_t end(int64_t query) const { return right < 0 ? keys : smaller(keys, query + right + 1); }
};

struct Dropout {
    bool on = false;
    uint64_t limit = 0;  // a word below it drops its element
    double keep = 1;     // what is kept is multiplied by this
    Stream stream{};
};

struct AttentionCall {
    int64_t heads, kv_heads, count;  // count: matrices of queries (batch dimensions and heads)
    int64_t queries, keys, width, value_width;
    Band band;
    double scale;
    Dropout dropout;
    const TensorView *q, *k, *v, *mask;
    int lead;  // dimensions before the matrices

    // Attributes: scale, left, right, mask, dropout. Operand `rest`: mask, then p, seed, draw.
    AttentionCall(const KernelCall& c, int rest) {
        q = &c.in[0];
        k = &c.in[1];
        v = &c.in[2];
        lead = q->rank - 2;
        heads = q->shape[lead - 1];
        kv_heads = k->shape[lead - 1];
        count = 1;
        for (int i = 0; i < lead; ++i) count *= q->shape[i];
        queries = q->shape[lead];
        width = q->shape[lead + 1];
        keys = k->shape[lead];
        value_width = v->shape[lead + 1];
        __builtin_memcpy(&scale, c.attrs, sizeof scale);
        band = {c.attrs[1], c.attrs[2], keys};
        mask = c.attrs[3] ? &c.in[rest++] : nullptr;
        if (c.attrs[4]) {
            const double p = scalar_f64(c.in[rest]), scaled = p * 0x1p32;
            dropout.on = true;
            dropout.limit = scaled >= 0x1p32 ? uint64_t{1} << 32 : static_cast<uint64_t>(scaled);
            dropout.keep = p < 1 ? 1 / (1 - p) : 0;
            dropout.stream = {static_cast<uint64_t>(scalar_i64(c.in[rest + 1])),
                              static_cast<uint64_t>(scalar_i64(c.in[rest + 2]))};
        }
    }
    int64_t group() const { return heads / kv_heads; }

    // Where matrix `index` of a view starts; `shared` query heads look at one of its heads.
    int64_t start(const TensorView& view, int64_t index, int64_t shared) const {
        int64_t at = 0;
        for (int d = lead; d-- > 0;) {
            int64_t i = index % q->shape[d];
            index /= q->shape[d];
            if (d == lead - 1) i /= shared;
            at += i * view.strides[d];
        }
        return at;
    }
    RowSource rows(const TensorView& view, int64_t index, int64_t shared, int64_t row) const {
        const int64_t at = start(view, index, shared) + row * view.strides[lead];
        return {view.as<char>() + at * element_size(view.dtype), view.dtype, view.strides[lead],
                view.strides[lead + 1]};
    }
};

// Rows as a product may read them: in place, or copied to `room` (of rows * ld) when they are of
// another dtype or lie badly. Rows a power of two apart fall on each other in the first-level
// cache.
template <class T>
struct Rows {
    const T* data;
    int64_t stride;
};
template <class T>
Rows<T> readable_rows(const RowSource& s, int64_t rows, int64_t width, T* room, int64_t ld) {
    constexpr DType own = sizeof(T) == 8 ? DType::kF64 : DType::kF32;
    constexpr int64_t kFar = 1024 / int64_t(sizeof(T));
    if (s.dtype == own && s.col_stride == 1 && width % kLanes<T> == 0 && s.row_stride <= kFar &&
        s.row_stride >= 0)
        return {static_cast<const T*>(s.data), s.row_stride};
    copy_rows(s, rows, width, room, ld);
    return {room, ld};
}

// e^x for x up to about 0. Below the limit it is 0: such terms are lost beside the row's largest.
template <class V>
SN_INLINE V exp_negative(V x) {
    constexpr auto limit = math::Elem<V>(math::kWide<V> ? -700 : -86);
    const V y = math::exp_narrow(math::at_least(x, limit));
    return x < limit ? V{} : y;
}

// A panel of scores: keys [begin, end) against `queries` queries from `query` on, rows `ld` apart.
template <class T>
struct ScorePanel {
    T* data;
    int64_t ld, begin, end, query, queries;
    int64_t columns() const { return whole_vectors<T>(queries); }
};

template <class T>
bool on_the_edge(const Band& band, const ScorePanel<T>& s) {
    return band.first(s.query + s.queries - 1) > s.begin || band.end(s.query) < s.end;
}

// Scores outside the band become -infinity.
template <class T>
void cut_band(const Band& band, const ScorePanel<T>& s) {
    const T none = -static_cast<T>(__builtin_inff());
    const int64_t columns = s.columns();
    for (int64_t key = s.begin; key < s.end; ++key) {
        T* row = s.data + (key - s.begin) * s.ld;
        const int64_t first =
            band.right < 0 ? 0 : smaller(columns, larger(0, key - band.right - s.query));
        const int64_t end =
            band.left < 0 ? columns : larger(0, smaller(columns, key + band.left + 1 - s.query));
        for (int64_t i = 0; i < first; ++i) row[i] = none;
        for (int64_t i = end; i < columns; ++i) row[i] = none;
    }
}

// The part of a mask that lies under a panel, turned: [key][kPanel]; truth becomes 0 and falsehood
// -infinity. `room` holds kPanel * kAttentionBlock numbers.
template <class T>
void mask_panel(const AttentionCall& call, int64_t index, const ScorePanel<T>& s, T* turned,
                T* room) {
    RowSource source = call.rows(*call.mask, index, 1, s.query);
    const int64_t size = element_size(source.dtype), n = s.end - s.begin;
    source.data = static_cast<const char*>(source.data) + s.begin * source.col_stride * size;
    if (source.dtype == DType::kBool) {
        const int64_t rows = source.row_stride == 0 ? 1 : s.queries;
        for (int64_t r = 0; r < rows; ++r) {
            const auto* from = static_cast<const uint8_t*>(source.data) + r * source.row_stride;
            for (int64_t i = 0; i < n; ++i)
                room[r * n + i] =
                    from[i * source.col_stride] ? T(0) : -static_cast<T>(__builtin_inff());
        }
        source = {room, sizeof(T) == 8 ? DType::kF64 : DType::kF32, source.row_stride == 0 ? 0 : n,
                  1};
    }
    pack_turned(source, s.queries, n, turned);
}

// Multipliers of dropout under a panel: [key][kPanel].
template <class T>
void dropout_panel(const AttentionCall& call, int64_t index, const ScorePanel<T>& s, T* turned) {
    const T keep = static_cast<T>(call.dropout.keep);
    alignas(64) uint32_t words[kPhiloxGroup];
    for (int64_t i = 0; i < s.queries; ++i) {
        const uint64_t row =
            static_cast<uint64_t>((index * call.queries + s.query + i) * call.keys);
        uint64_t group = ~uint64_t{0};
        for (int64_t key = s.begin; key < s.end; ++key) {
            const uint64_t e = row + static_cast<uint64_t>(key);
            if (e / kPhiloxGroup != group) {
                group = e / kPhiloxGroup;
                philox(call.dropout.stream, group, words);
            }
            turned[(key - s.begin) * kPanel<T> + i] =
                words[e % kPhiloxGroup] >= call.dropout.limit ? keep : T(0);
        }
    }
    for (int64_t i = s.queries; i < kPanel<T>; ++i)
        for (int64_t key = 0; key < s.end - s.begin; ++key) turned[key * kPanel<T> + i] = 0;
}

// Products become scores: mask and band are applied. Returns the factor that is left to multiply
// with; it is a property of the call, not of the panel.
template <class T>
T finish_scores(const AttentionCall& call, int64_t index, const ScorePanel<T>& s, T* turned,
                T* room) {
    using V = Vec<T>;
    const bool added = call.mask && call.mask->dtype != DType::kBool;
    // A factor of zero or less would turn -infinity round and the largest into the smallest.
    const bool multiplied = added || !(call.scale > 0);
    const V factor = splat(static_cast<T>(call.scale));
    const int64_t columns = s.columns();
    if (call.mask) mask_panel(call, index, s, turned, room);
    if (call.mask || multiplied) {
        for (int64_t key = 0; key < s.end - s.begin; ++key)
            for (int64_t i = 0; i < columns; i += kLanes<T>) {
                T* at = s.data + key * s.ld + i;
                V x = load<V>(at);
                if (added) {
                    x = fma(x, factor, load<V>(turned + key * kPanel<T> + i));
                } else {
                    if (multiplied) x = x * factor;
                    if (call.mask) x = x + load<V>(turned + key * kPanel<T> + i);
                }
                store(at, x);
            }
    }
    if (on_the_edge(call.band, s)) cut_band(call.band, s);
    return multiplied ? T(1) : static_cast<T>(call.scale);
}

// A finished row of sums times `factor` into an output of any dtype; -0 becomes +0, so that terms
// of masked keys, which are exact zeros, cannot show.
template <class T>
void store_row(const T* from, T factor, const RowSource& to, int64_t row, int64_t width) {
    using V = Vec<T>;
    char* base = static_cast<char*>(const_cast<void*>(to.data)) +
                 row * to.row_stride * element_size(to.dtype);
    int64_t i = 0;
    if constexpr (sizeof(T) == 4) {
        if (is_half(to.dtype)) {
            auto* out = reinterpret_cast<uint16_t*>(base);
            alignas(64) uint16_t halves[kLanes<float>];
            for (; i < width; i += kLanes<float>) {  // rows of sums are padded to whole vectors
                const F32 x = load<F32>(from + i) * factor + 0.0f;
                store(halves, to.dtype == DType::kBF16 ? f32_to_bf16(x) : f32_to_f16(x));
                const int64_t n = smaller(kLanes<float>, width - i);
                for (int64_t j = 0; j < n; ++j) out[(i + j) * to.col_stride] = halves[j];
            }
            return;
        }
    }
    T* out = reinterpret_cast<T*>(base);
    if (to.col_stride == 1)
        for (; i + kLanes<T> <= width; i += kLanes<T>)
            store(out + i, load<V>(from + i) * factor + T(0));
    for (; i < width; ++i) out[i * to.col_stride] = from[i] * factor + T(0);
}

// Carves a lease into aligned pieces.
template <class T>
class Pieces {
public:
    explicit Pieces(void* memory) : at_(static_cast<T*>(memory)) {}
    T* take(int64_t n) {
        T* piece = at_;
        at_ += rounded(n);
        return piece;
    }
    static int64_t rounded(int64_t n) {
        constexpr int64_t line = 64 / int64_t(sizeof(T));
        return (n + line - 1) / line * line;
    }

private:
    T* at_;
};

}  // namespace sn::cpu::SN_ISA
