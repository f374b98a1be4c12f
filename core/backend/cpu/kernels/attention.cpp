// Attention, forward: softmax(q k^T * scale + mask) v without the matrix of scores (Rabe, Staats
// 2021; Dao et al. 2022). A block of queries passes over the blocks of keys with a running maximum
// and a running sum per query.
#include "backend/cpu/kernels/attention.h"
#include "backend/kernel.h"
#include "engine/pool.h"

namespace sn::cpu::SN_ISA {

namespace {

template <class T>
struct Forward {
    using V = Vec<T>;
    static constexpr int64_t kWide = kPanel<T>, kBlock = kAttentionBlock;

    const AttentionCall& call;
    const TensorView& out;
    const TensorView& lse;
    int64_t ldk = whole_vectors<T>(call.width), ldv = whole_vectors<T>(call.value_width);

    // Of one block of queries.
    int64_t index = 0, query0 = 0, queries = 0;
    T *turned_q = nullptr, *sums = nullptr, *scores = nullptr, *keys_room = nullptr,
      *values_room = nullptr, *mask = nullptr, *mask_room = nullptr, *biggest = nullptr,
      *total = nullptr, *decay = nullptr;

    size_t bytes() const {
        const int64_t n = Pieces<T>::rounded(kBlock * call.width + kWide) +
                          kBlock * (2 * ldv + ldk + 3 * kWide + 3) + 64;
        return static_cast<size_t>(n) * sizeof(T);
    }
    void carve(void* memory) {
        Pieces<T> room(memory);
        turned_q = room.take(kBlock * call.width + kWide);
        sums = room.take(kBlock * ldv);
        scores = room.take(kBlock * kWide);
        keys_room = room.take(kBlock * ldk);
        values_room = room.take(kBlock * ldv);
        mask = room.take(kBlock * kWide + kWide);
        mask_room = room.take(kBlock * kWide);
        biggest = room.take(kBlock);
        total = room.take(kBlock);
        decay = room.take(kBlock);
    }

    // Scores become e^(score - maximum); the maxima, sums and what earlier sums shrink by follow.
    void probabilities(const ScorePanel<T>& s, int64_t first, T factor) {
        const V scale = splat(factor);
        const V none = splat(-static_cast<T>(__builtin_inff()));
        for (int64_t i = 0; i < s.columns(); i += kLanes<T>) {
            const int64_t n = s.end - s.begin;
            T* at = s.data + i;
            V m0 = none, m1 = none;
            int64_t key = 0;
            for (; key + 2 <= n; key += 2) {
                const V a = load<V>(at + key * s.ld), b = load<V>(at + (key + 1) * s.ld);
                m0 = a > m0 ? a : m0;
                m1 = b > m1 ? b : m1;
            }
            for (; key < n; ++key) {
                const V a = load<V>(at + key * s.ld);
                m0 = a > m0 ? a : m0;
            }
            m0 = (m1 > m0 ? m1 : m0) * scale;
            const V before = load<V>(biggest + first + i);
            const V now = m0 > before ? m0 : before;
            const V base = now == none ? V{} : now;
            V sum{};
            for (key = 0; key < n; ++key) {
                const V p = exp_negative(fma(load<V>(at + key * s.ld), scale, -base));
                store(at + key * s.ld, p);
                sum = sum + p;
            }
            const V shrink = exp_negative(before - base);
            store(biggest + first + i, now);
            store(decay + first + i, shrink);
            store(total + first + i, fma(load<V>(total + first + i), shrink, sum));
        }
    }

    void drop(const ScorePanel<T>& s) {
        dropout_panel(call, index, s, mask);
        for (int64_t key = 0; key < s.end - s.begin; ++key)
            for (int64_t i = 0; i < s.columns(); i += kLanes<T>) {
                T* at = s.data + key * s.ld + i;
                store(at, load<V>(at) * load<V>(mask + key * kWide + i));
            }
    }

    void shrink_sums(int64_t first, int64_t n) {
        for (int64_t r = first; r < first + n; ++r) {
            if (decay[r] == T(1)) continue;
            T* row = sums + r * ldv;
            for (int64_t i = 0; i < ldv; i += kLanes<T>)
                store(row + i, load<V>(row + i) * decay[r]);
        }
    }

    void add_values(const ScorePanel<T>& s, int64_t first, Rows<T> v, int64_t v0) {
        const auto add = [&](int64_t r, int64_t n, int64_t begin, int64_t end) {
            if (begin >= end) return;
            block_product(n, call.value_width, end - begin,
                          LeftBlock<T>{s.data + (begin - s.begin) * s.ld + r, s.ld, false},
                          RightBlock<T>{v.data + (begin - v0) * v.stride, v.stride, kWide},
                          sums + (first + r) * ldv, ldv, true);
        };
        if (!on_the_edge(call.band, s)) return add(0, s.queries, s.begin, s.end);
        // Few rows at a time: keys that none of them may look at would add exact zeros.
        constexpr int64_t kRows = 12;
        for (int64_t r = 0; r < s.queries; r += kRows) {
            const int64_t n = smaller(kRows, s.queries - r);
            add(r, n, larger(s.begin, call.band.first(s.query + r)),
                smaller(s.end, call.band.end(s.query + r + n - 1)));
        }
    }

    void run(int64_t matrix, int64_t block) {
        index = matrix;
        query0 = block * kBlock;
        queries = smaller(kBlock, call.queries - query0);
        for (int64_t i = 0; i < kBlock; ++i) {
            biggest[i] = -static_cast<T>(__builtin_inff());
            total[i] = 0;
        }
        __builtin_memset(sums, 0, static_cast<size_t>(queries * ldv) * sizeof(T));
        pack_turned(call.rows(*call.q, index, 1, query0), queries, call.width, turned_q);
        const int64_t first_key = call.band.first(query0);
        const int64_t last_key = call.band.end(query0 + queries - 1);
        for (int64_t key0 = first_key / kBlock * kBlock; key0 < last_key; key0 += kBlock) {
            const int64_t n = smaller(kBlock, call.keys - key0);
            const Rows<T> k = readable_rows(call.rows(*call.k, index, call.group(), key0), n,
                                            call.width, keys_room, ldk);
            const Rows<T> v = readable_rows(call.rows(*call.v, index, call.group(), key0), n,
                                            call.value_width, values_room, ldv);
            for (int64_t first = 0; first < queries; first += kWide) {
                const int64_t count = smaller(kWide, queries - first), query = query0 + first;
                const ScorePanel<T> s{scores,
                                      kWide,
                                      larger(key0, call.band.first(query)),
                                      smaller(key0 + n, call.band.end(query + count - 1)),
                                      query,
                                      count};
                if (s.begin >= s.end) continue;
                block_product(s.end - s.begin, count, call.width,
                              LeftBlock<T>{k.data + (s.begin - key0) * k.stride, k.stride, true},
                              RightBlock<T>{turned_q + first * call.width, kWide, 0}, scores, kWide,
                              false);
                probabilities(s, first, finish_scores(call, index, s, mask, mask_room));
                if (call.dropout.on) drop(s);
                shrink_sums(first, count);
                add_values(s, first, v, key0);
            }
        }
        finish();
    }

    void finish() {
        const RowSource to = call.rows(out, index, 1, query0);
        const int64_t lse0 =
            lse.data ? call.start(lse, index, 1) + query0 * lse.strides[call.lead] : 0;
        for (int64_t r = 0; r < queries; ++r) {
            const T inverse = total[r] == T(0) ? T(0) : T(1) / total[r];
            if (out.data) store_row(sums + r * ldv, inverse, to, r, call.value_width);
            if (lse.data)
                lse.as<T>()[lse0 + r * lse.strides[call.lead]] = biggest[r] + math::log(total[r]);
        }
    }
};

template <class T>
void forward(const KernelCall& c) {
    const AttentionCall call(c, 3);
    const int64_t blocks = blocks_of(call.queries), tasks = call.count * blocks;
    if (tasks == 0) return;
    const double work = 4.0 * static_cast<double>(smaller(call.queries, kAttentionBlock)) *
                        static_cast<double>(call.keys * (call.width + call.value_width) + 64);
    const int64_t grain = work > 5e5 ? 1 : static_cast<int64_t>(5e5 / work) + 1;
    parallel_for(tasks, grain, [&](int64_t begin, int64_t end) {
        Forward<T> f{call, c.out[0], c.out[1]};
        const Scratch memory(f.bytes());
        f.carve(memory.data());
        for (int64_t t = begin; t < end; ++t) f.run(t / blocks, t % blocks);
    });
}

void attention(const KernelCall& c) {
    c.in[0].dtype == DType::kF64 ? forward<double>(c) : forward<float>(c);
}

}  // namespace

void attention_grad(const KernelCall& c);

void register_attention(KernelTable& table) {
    table.add("attention", attention);
    table.add("attention_grad", attention_grad);
}

}  // namespace sn::cpu::SN_ISA
