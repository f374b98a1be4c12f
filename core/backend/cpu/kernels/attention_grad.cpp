// Attention, backward: the gradients of q, k, v and, when wanted, of the mask. Probabilities are
// made again from the log-sum-exp of each row.
//
// A pair of blocks (queries, keys) costs five products. Where there are enough matrices to go
// round, a thread takes one and runs all its pairs; else the gradients of k and v are made by
// blocks of keys and that of q by blocks of queries, which makes the scores twice. Both orders of
// the sums are the same: over blocks of queries for k and v, over blocks of keys for q, from left
// to right.
#include "backend/cpu/kernels/attention.h"
#include "backend/kernel.h"
#include "engine/pool.h"

namespace sn::cpu::SN_ISA {

namespace {

template <class T>
struct Backward {
    using V = Vec<T>;
    static constexpr int64_t kWide = kPanel<T>, kBlock = kAttentionBlock;

    const AttentionCall& call;
    const TensorView &out, &lse, &grad;  // operands
    const TensorView &dq, &dk, &dv;      // results
    const TensorView* dmask;
    int64_t ldk = whole_vectors<T>(call.width), ldv = whole_vectors<T>(call.value_width);

    // Of one block of queries.
    int64_t index = 0, query0 = 0, queries = 0;
    T *turned_q = nullptr, *turned_g = nullptr, *p = nullptr, *ds = nullptr, *sum_q = nullptr,
      *q_room = nullptr, *g_room = nullptr, *k_room = nullptr, *v_room = nullptr, *mask = nullptr,
      *mask_room = nullptr, *drop = nullptr, *minus_lse = nullptr, *delta = nullptr;
    Rows<T> q_rows{}, g_rows{};
    // Gradients of k and v, for keys from sums0 on.
    T *sum_k = nullptr, *sum_v = nullptr;
    int64_t sums0 = 0;

    size_t bytes(int64_t key_rows) const {
        const int64_t n = kBlock * (call.width + call.value_width) + 2 * kWide +
                          2 * kBlock * kBlock + kBlock * (3 * ldk + 2 * ldv + 3 * kWide + 2) +
                          kWide + 256 + key_rows * (ldk + ldv);
        return static_cast<size_t>(n) * sizeof(T);
    }
    void carve(void* memory, int64_t key_rows) {
        Pieces<T> room(memory);
        turned_q = room.take(kBlock * call.width + kWide);
        turned_g = room.take(kBlock * call.value_width + kWide);
        p = room.take(kBlock * kBlock);
        ds = room.take(kBlock * kBlock);
        sum_q = room.take(kBlock * ldk);
        q_room = room.take(kBlock * ldk);
        k_room = room.take(kBlock * ldk);
        g_room = room.take(kBlock * ldv);
        v_room = room.take(kBlock * ldv);
        mask = room.take(kBlock * kWide + kWide);
        mask_room = room.take(kBlock * kWide);
        drop = room.take(kBlock * kWide);
        minus_lse = room.take(kBlock);
        delta = room.take(kBlock);
        sum_k = room.take(key_rows * ldk);
        sum_v = room.take(key_rows * ldv);
    }

    // Sum of dout * out of a row: lanes as in reductions, so that the vector width does not show.
    T row_product(const T* a, const T* b) const {
        constexpr int kLogical = sizeof(T) == 8 ? kLogicalF64 : kLogicalF32;
        constexpr int kVecs = kLogical / kLanes<T>;
        V sum[kVecs] = {};
        int64_t i = 0;
        for (; i + kLogical <= ldv; i += kLogical)
            for (int v = 0; v < kVecs; ++v)
                sum[v] =
                    fma(load<V>(a + i + v * kLanes<T>), load<V>(b + i + v * kLanes<T>), sum[v]);
        for (int v = 0; i < ldv; i += kLanes<T>, ++v)
            sum[v] = fma(load<V>(a + i), load<V>(b + i), sum[v]);
        return horizontal_sum(sum);
    }

    void start_queries(int64_t matrix, int64_t block) {
        index = matrix;
        query0 = block * kBlock;
        queries = smaller(kBlock, call.queries - query0);
        const RowSource q = call.rows(*call.q, index, 1, query0);
        const RowSource g = call.rows(grad, index, 1, query0);
        pack_turned(q, queries, call.width, turned_q);
        pack_turned(g, queries, call.value_width, turned_g);
        q_rows = readable_rows(q, queries, call.width, q_room, ldk);
        g_rows = readable_rows(g, queries, call.value_width, g_room, ldv);
        const int64_t lse0 = call.start(lse, index, 1) + query0 * lse.strides[call.lead];
        const T none = -static_cast<T>(__builtin_inff());
        const Rows<T> o =
            readable_rows(call.rows(out, index, 1, query0), queries, call.value_width, v_room, ldv);
        for (int64_t r = 0; r < kBlock; ++r) {
            minus_lse[r] = none;  // no query here, or one that sees no key: all its terms are 0
            delta[r] = 0;
            if (r >= queries) continue;
            const T l = lse.as<T>()[lse0 + r * lse.strides[call.lead]];
            if (l != none) minus_lse[r] = -l;
            delta[r] = row_product(g_rows.data + r * g_rows.stride, o.data + r * o.stride);
        }
    }

    // p and ds of one panel, [key][kBlock] from key `begin` of the pair on.
    void panel(int64_t begin, int64_t end, int64_t first, Rows<T> k, Rows<T> v, int64_t key0) {
        const int64_t count = smaller(kWide, queries - first), query = query0 + first;
        ScorePanel<T> s{p + first,
                        kBlock,
                        larger(begin, call.band.first(query)),
                        smaller(end, call.band.end(query + count - 1)),
                        query,
                        count};
        if (s.begin > s.end) s.begin = s.end = begin;
        const int64_t columns = s.columns();
        const auto clear = [&](int64_t from, int64_t to) {
            for (int64_t key = from; key < to; ++key)
                for (int64_t i = first; i < first + columns; ++i)
                    p[(key - begin) * kBlock + i] = ds[(key - begin) * kBlock + i] = 0;
        };
        clear(begin, s.begin);
        clear(s.end, end);
        if (s.begin == s.end) return;
        s.data += (s.begin - begin) * kBlock;
        T* d = ds + (s.begin - begin) * kBlock + first;
        const int64_t n = s.end - s.begin;
        block_product(n, count, call.width,
                      LeftBlock<T>{k.data + (s.begin - key0) * k.stride, k.stride, true},
                      RightBlock<T>{turned_q + first * call.width, kWide, 0}, s.data, kBlock,
                      false);
        block_product(n, count, call.value_width,
                      LeftBlock<T>{v.data + (s.begin - key0) * v.stride, v.stride, true},
                      RightBlock<T>{turned_g + first * call.value_width, kWide, 0}, d, kBlock,
                      false);
        const V factor = splat(finish_scores(call, index, s, mask, mask_room));
        if (call.dropout.on) dropout_panel(call, index, s, drop);
        for (int64_t i = 0; i < columns; i += kLanes<T>) {
            const V l = load<V>(minus_lse + first + i), e = load<V>(delta + first + i);
            for (int64_t key = 0; key < n; ++key) {
                T* at = s.data + key * kBlock + i;
                V x = exp_negative(fma(load<V>(at), factor, l));
                V g = load<V>(d + key * kBlock + i);
                if (call.dropout.on) {
                    const V kept = load<V>(drop + key * kWide + i);
                    g = g * kept;
                    store(d + key * kBlock + i, x * (g - e));
                    store(at, x * kept);
                } else {
                    store(d + key * kBlock + i, x * (g - e));
                    store(at, x);
                }
            }
        }
    }

    // The current block of queries with keys [key0, key0 + n).
    void pair(int64_t key0, int64_t n, bool for_keys, bool for_queries) {
        const int64_t begin = larger(key0, call.band.first(query0));
        const int64_t end = smaller(key0 + n, call.band.end(query0 + queries - 1));
        if (begin >= end) return;
        const Rows<T> k = readable_rows(call.rows(*call.k, index, call.group(), key0), n,
                                        call.width, k_room, ldk);
        const Rows<T> v = readable_rows(call.rows(*call.v, index, call.group(), key0), n,
                                        call.value_width, v_room, ldv);
        for (int64_t first = 0; first < queries; first += kWide)
            panel(begin, end, first, k, v, key0);
        const bool edge =
            on_the_edge(call.band, ScorePanel<T>{p, kBlock, begin, end, query0, queries});
        // On the edge few rows at a time, without the terms that are exact zeros for all of them.
        constexpr int64_t kRows = 12;
        if (for_keys) {
            const int64_t step = edge ? kRows : end - begin;
            for (int64_t key = begin; key < end; key += step) {
                const int64_t rows = smaller(step, end - key);
                int64_t from = 0, to = queries;
                if (edge && call.band.right >= 0) from = larger(0, key - call.band.right - query0);
                if (edge && call.band.left >= 0)
                    to = smaller(queries, key + rows + call.band.left - query0);
                if (from >= to) continue;
                const int64_t at = (key - begin) * kBlock + from;
                block_product(
                    rows, call.value_width, to - from, LeftBlock<T>{p + at, kBlock, true},
                    RightBlock<T>{g_rows.data + from * g_rows.stride, g_rows.stride, kWide},
                    sum_v + (key - sums0) * ldv, ldv, true);
                block_product(
                    rows, call.width, to - from, LeftBlock<T>{ds + at, kBlock, true},
                    RightBlock<T>{q_rows.data + from * q_rows.stride, q_rows.stride, kWide},
                    sum_k + (key - sums0) * ldk, ldk, true);
            }
        }
        if (!for_queries) return;
        const int64_t step = edge ? kRows : queries;
        for (int64_t r = 0; r < queries; r += step) {
            const int64_t rows = smaller(step, queries - r);
            const int64_t from = larger(begin, call.band.first(query0 + r));
            const int64_t to = smaller(end, call.band.end(query0 + r + rows - 1));
            if (from >= to) continue;
            block_product(rows, call.width, to - from,
                          LeftBlock<T>{ds + (from - begin) * kBlock + r, kBlock, false},
                          RightBlock<T>{k.data + (from - key0) * k.stride, k.stride, kWide},
                          sum_q + r * ldk, ldk, true);
        }
        if (dmask) store_mask_gradient(begin, end);
    }

    void store_mask_gradient(int64_t begin, int64_t end) {
        const RowSource to = call.rows(*dmask, index, 1, query0);
        alignas(64) T row[kBlock] = {};
        for (int64_t r = 0; r < queries; ++r) {
            for (int64_t key = begin; key < end; ++key)
                row[key - begin] = ds[(key - begin) * kBlock + r];
            RowSource part = to;
            part.data =
                static_cast<const char*>(to.data) + begin * to.col_stride * element_size(to.dtype);
            store_row(row, T(1), part, r, end - begin);
        }
    }

    // All keys that the current block of queries sees.
    void run_queries(bool for_keys) {
        __builtin_memset(sum_q, 0, static_cast<size_t>(queries * ldk) * sizeof(T));
        const int64_t end = call.band.end(query0 + queries - 1);
        for (int64_t key0 = call.band.first(query0) / kBlock * kBlock; key0 < end; key0 += kBlock)
            pair(key0, smaller(kBlock, call.keys - key0), for_keys, true);
        const RowSource to = call.rows(dq, index, 1, query0);
        if (!dq.data) return;
        for (int64_t r = 0; r < queries; ++r)
            store_row(sum_q + r * ldk, static_cast<T>(call.scale), to, r, call.width);
    }

    void clear_keys(int64_t key0, int64_t n) {
        sums0 = key0;
        __builtin_memset(sum_k, 0, static_cast<size_t>(n * ldk) * sizeof(T));
        __builtin_memset(sum_v, 0, static_cast<size_t>(n * ldv) * sizeof(T));
    }
    void store_keys(int64_t matrix, int64_t key0, int64_t n) {
        const RowSource to_k = call.rows(dk, matrix, call.group(), key0);
        const RowSource to_v = call.rows(dv, matrix, call.group(), key0);
        for (int64_t r = 0; r < n; ++r) {
            if (dk.data)
                store_row(sum_k + r * ldk, static_cast<T>(call.scale), to_k, r, call.width);
            if (dv.data) store_row(sum_v + r * ldv, T(1), to_v, r, call.value_width);
        }
    }
};

void zero_mask_gradient(const TensorView& view) {
    // Its result is contiguous: what no pair of blocks writes stays zero.
    __builtin_memset(view.data, 0,
                     static_cast<size_t>(count_elements(view) * element_size(view.dtype)));
}

// Operands: q, k, v, out, lse, dout, then mask and p, seed, draw. Results: dq, dk, dv, dmask.
template <class T>
void backward(const KernelCall& c) {
    const AttentionCall call(c, 6);
    const TensorView* dmask = c.attrs[5] && c.out[3].data ? &c.out[3] : nullptr;
    if (dmask) zero_mask_gradient(*dmask);
    const int64_t group = call.group(), shared = call.count / larger(1, group);
    const int64_t query_blocks = blocks_of(call.queries), key_blocks = blocks_of(call.keys);
    const Backward<T> prototype{call,     c.in[3],  c.in[4],  c.in[5],
                                c.out[0], c.out[1], c.out[2], dmask};
    const auto tasks = [&](int64_t count, int64_t key_rows, double work, auto body) {
        const int64_t grain = work > 5e5 ? 1 : static_cast<int64_t>(5e5 / (work + 1)) + 1;
        parallel_for(count, grain, [&](int64_t begin, int64_t end) {
            Backward<T> b = prototype;
            const Scratch memory(b.bytes(key_rows));
            b.carve(memory.data(), key_rows);
            for (int64_t t = begin; t < end; ++t) body(b, t);
        });
    };
    const double pair_work = 10.0 * static_cast<double>(call.queries) *
                             static_cast<double>(call.keys) *
                             static_cast<double>(call.width + call.value_width) / 2;
    if (shared >= 2 * pool_threads() || query_blocks == 1 || pool_threads() == 1) {
        tasks(shared, call.keys, pair_work * static_cast<double>(group),
              [&](Backward<T>& b, int64_t t) {
                  b.clear_keys(0, call.keys);
                  for (int64_t g = 0; g < group; ++g) {
                      for (int64_t i = 0; i < query_blocks; ++i) {
                          b.start_queries(t * group + g, i);
                          b.run_queries(true);
                      }
                  }
                  b.store_keys(t * group, 0, call.keys);
              });
        return;
    }
    tasks(shared * key_blocks, kAttentionBlock, pair_work * static_cast<double>(group),
          [&](Backward<T>& b, int64_t t) {
              const int64_t matrix = t / key_blocks * group;
              const int64_t key0 = t % key_blocks * kAttentionBlock;
              const int64_t n = smaller(kAttentionBlock, call.keys - key0);
              b.clear_keys(key0, n);
              for (int64_t g = 0; g < group; ++g) {
                  for (int64_t i = 0; i < query_blocks; ++i) {
                      b.start_queries(matrix + g, i);
                      b.pair(key0, n, true, false);
                  }
              }
              b.store_keys(matrix, key0, n);
          });
    tasks(call.count * query_blocks, 0, pair_work, [&](Backward<T>& b, int64_t t) {
        b.start_queries(t / query_blocks, t % query_blocks);
        b.run_queries(false);
    });
}

}  // namespace

void attention_grad(const KernelCall& c) {
    c.in[0].dtype == DType::kF64 ? backward<double>(c) : backward<float>(c);
}

}  // namespace sn::cpu::SN_ISA
