// Attention and its gradient, row by row with the whole row of scores at hand. Sums over keys and
// over queries are chains inside blocks of kAttentionBlock, added from left to right; the maximum
// of a row runs along with the blocks, and sums of earlier blocks shrink when it grows.
#include <algorithm>
#include <limits>

#include "backend/reference/random.h"
#include "backend/reference/reference.h"
#include "op/math.h"

namespace sn::reference {
namespace {

inline constexpr int64_t kAttentionBlock = 128;

template <class T>
T exp_negative(T x) {
    constexpr T limit = sizeof(T) == 8 ? T(-700) : T(-86);
    return x < limit ? T(0) : math::exp_narrow(x);
}

// The operands of one call, read whole.
template <class T>
struct Problem {
    int64_t heads, kv_heads, count, queries, keys, width, value_width;
    double scale, drop = 0;
    int64_t left, right;
    bool masked, truth = false, dropped;
    std::vector<T> q, k, v, mask;
    Stream stream{0, 0};
    T infinity = std::numeric_limits<T>::infinity();

    Problem(const KernelCall& c, int rest) {
        const TensorView &vq = c.in[0], &vk = c.in[1], &vv = c.in[2];
        const int r = vq.rank;
        heads = vq.shape[r - 3];
        kv_heads = vk.shape[r - 3];
        count = product(vq.shape, 0, r - 2);
        queries = vq.shape[r - 2];
        width = vq.shape[r - 1];
        keys = vk.shape[r - 2];
        value_width = vv.shape[r - 1];
        std::memcpy(&scale, c.attrs, sizeof scale);
        left = c.attrs[1];
        right = c.attrs[2];
        masked = c.attrs[3] != 0;
        dropped = c.attrs[4] != 0;
        q = read<T>(vq);
        k = read<T>(vk);
        v = read<T>(vv);
        if (masked) {
            truth = c.in[rest].dtype == DType::kBool;
            if (truth) {
                for (uint8_t bit : read<uint8_t>(c.in[rest]))
                    mask.push_back(bit ? T(0) : -infinity);
            } else {
                mask = read<T>(c.in[rest]);
            }
            ++rest;
        }
        if (dropped) {
            drop = number_f64(c.in[rest]);
            stream = Stream(c, rest + 1);
        }
    }
    int64_t shared(int64_t matrix) const {  // its matrix of keys
        return matrix / heads * kv_heads + matrix % heads / (heads / kv_heads);
    }
    const T* query(int64_t m, int64_t i) const { return q.data() + (m * queries + i) * width; }
    const T* key(int64_t m, int64_t j) const { return k.data() + (shared(m) * keys + j) * width; }
    const T* value(int64_t m, int64_t j) const {
        return v.data() + (shared(m) * keys + j) * value_width;
    }
    bool multiplied() const { return (masked && !truth) || !(scale > 0); }
    T factor() const { return multiplied() ? T(1) : static_cast<T>(scale); }
    static T dot(const T* a, const T* b, int64_t n) {
        T sum = 0;
        for (int64_t d = 0; d < n; ++d) sum = math::fma(a[d], b[d], sum);
        return sum;
    }
    // The score without factor().
    T score(int64_t m, int64_t i, int64_t j) const {
        if ((right >= 0 && j > i + right) || (left >= 0 && j < i - left)) return -infinity;
        T s = dot(key(m, j), query(m, i), width);
        const T by = static_cast<T>(scale);
        const size_t at = static_cast<size_t>((m * queries + i) * keys + j);
        if (masked && !truth) return math::fma(s, by, mask[at]);
        if (multiplied()) s = s * by;
        return masked ? s + mask[at] : s;
    }
    T kept(int64_t m, int64_t i, int64_t j) const {
        if (!dropped) return 1;
        const double limit = drop * 0x1p32;
        const uint64_t e = static_cast<uint64_t>((m * queries + i) * keys + j);
        if (limit >= 0x1p32 || stream.word32(e) < static_cast<uint64_t>(limit)) return 0;
        return static_cast<T>(1 / (1 - drop));
    }
};

template <class T>
void forward(const KernelCall& c) {
    const Problem<T> p(c, 3);
    std::vector<T> out, lse;
    for (int64_t m = 0; m < p.count; ++m) {
        for (int64_t i = 0; i < p.queries; ++i) {
            std::vector<T> sums(static_cast<size_t>(p.value_width), T(0));
            T biggest = -p.infinity, total = 0;
            for (int64_t j0 = 0; j0 < p.keys; j0 += kAttentionBlock) {
                const int64_t j1 = std::min(j0 + kAttentionBlock, p.keys);
                std::vector<T> s;
                T top = -p.infinity;
                for (int64_t j = j0; j < j1; ++j) {
                    s.push_back(p.score(m, i, j));
                    if (s.back() > top) top = s.back();
                }
                top = top * p.factor();
                const T before = biggest;
                if (top > biggest) biggest = top;
                const T base = biggest == -p.infinity ? T(0) : biggest;
                T sum = 0;
                for (T& x : s) {
                    x = exp_negative(math::fma(x, p.factor(), -base));
                    sum = sum + x;
                }
                const T shrink = exp_negative(before - base);
                total = math::fma(total, shrink, sum);
                for (int64_t d = 0; d < p.value_width; ++d) {
                    T chain = 0;
                    for (int64_t j = j0; j < j1; ++j)
                        chain = math::fma(s[static_cast<size_t>(j - j0)] * p.kept(m, i, j),
                                          p.value(m, j)[d], chain);
                    T& to = sums[static_cast<size_t>(d)];
                    to = to * shrink + chain;
                }
            }
            const T inverse = total == T(0) ? T(0) : T(1) / total;
            for (T x : sums) out.push_back(x * inverse + T(0));
            lse.push_back(biggest + math::log(total));
        }
    }
    write(c.out[0], out);
    write(c.out[1], lse);
}

// Sum of products in the lanes of a reduction's block.
template <class T>
T row_product(const T* a, const T* b, int64_t n) {
    constexpr int64_t kLanes = sizeof(T) == 8 ? 8 : 16;
    T lanes[kLanes] = {};
    for (int64_t i = 0; i < n; ++i) lanes[i % kLanes] = math::fma(a[i], b[i], lanes[i % kLanes]);
    for (int64_t half = kLanes / 2; half > 0; half /= 2)
        for (int64_t i = 0; i < half; ++i) lanes[i] = lanes[i] + lanes[i + half];
    return lanes[0];
}

template <class T>
void backward(const KernelCall& c) {
    const Problem<T> p(c, 6);
    const std::vector<T> out = read<T>(c.in[3]), lse = read<T>(c.in[4]), g = read<T>(c.in[5]);
    const size_t pairs = static_cast<size_t>(p.count * p.queries * p.keys);
    std::vector<T> weight(pairs), ds(pairs);
    const auto at = [&](int64_t m, int64_t i, int64_t j) {
        return static_cast<size_t>((m * p.queries + i) * p.keys + j);
    };
    const auto row = [&](int64_t m, int64_t i) { return (m * p.queries + i) * p.value_width; };
    for (int64_t m = 0; m < p.count; ++m) {
        for (int64_t i = 0; i < p.queries; ++i) {
            const T* dout = g.data() + row(m, i);
            const T delta = row_product(dout, out.data() + row(m, i), p.value_width);
            const T l = lse[static_cast<size_t>(m * p.queries + i)];
            for (int64_t j = 0; j < p.keys; ++j) {
                const T s = p.score(m, i, j);
                const T x = l == -p.infinity || s == -p.infinity
                                ? T(0)
                                : exp_negative(math::fma(s, p.factor(), -l));
                const T kept = p.kept(m, i, j);
                const T dp = Problem<T>::dot(p.value(m, j), dout, p.value_width) * kept;
                weight[at(m, i, j)] = x * kept;
                ds[at(m, i, j)] = x * (dp - delta);
                if (s == -p.infinity) ds[at(m, i, j)] = 0;
            }
        }
    }
    const T scale = static_cast<T>(p.scale);
    std::vector<T> dq, dk, dv;
    // sum over blocks of n of the chain of a(t) * b(t)
    const auto blocked = [](T sum, int64_t n, auto a, auto b) {
        for (int64_t t0 = 0; t0 < n; t0 += kAttentionBlock) {
            T chain = 0;
            for (int64_t t = t0; t < std::min(t0 + kAttentionBlock, n); ++t)
                chain = math::fma(a(t), b(t), chain);
            sum = sum + chain;
        }
        return sum;
    };
    for (int64_t m = 0; m < p.count; ++m)
        for (int64_t i = 0; i < p.queries; ++i)
            for (int64_t d = 0; d < p.width; ++d)
                dq.push_back(blocked(
                                 T(0), p.keys, [&](int64_t j) { return ds[at(m, i, j)]; },
                                 [&](int64_t j) { return p.key(m, j)[d]; }) *
                                 scale +
                             T(0));
    const int64_t group = p.kv_heads ? p.heads / p.kv_heads : 1;
    for (int64_t n = 0; n < p.count / group; ++n) {
        for (int64_t j = 0; j < p.keys; ++j) {
            const auto over_queries = [&](const std::vector<T>& left, auto right) {
                T sum = 0;
                for (int64_t m = n * group; m < (n + 1) * group; ++m)
                    sum = blocked(
                        sum, p.queries, [&](int64_t i) { return left[at(m, i, j)]; },
                        [&](int64_t i) { return right(m, i); });
                return sum;
            };
            for (int64_t d = 0; d < p.width; ++d)
                dk.push_back(
                    over_queries(ds, [&](int64_t m, int64_t i) { return p.query(m, i)[d]; }) *
                        scale +
                    T(0));
            for (int64_t d = 0; d < p.value_width; ++d)
                dv.push_back(over_queries(weight,
                                          [&](int64_t m, int64_t i) {
                                              return g[static_cast<size_t>(row(m, i) + d)];
                                          }) +
                             T(0));
        }
    }
    write(c.out[0], dq);
    write(c.out[1], dk);
    write(c.out[2], dv);
    if (c.attrs[5]) {
        for (T& x : ds) x = x + T(0);
        write(c.out[3], ds);
    }
}

}  // namespace

void register_attention(KernelTable& table) {
    table.add("attention", [](const KernelCall& c) {
        c.in[0].dtype == DType::kF64 ? forward<double>(c) : forward<float>(c);
    });
    table.add("attention_grad", [](const KernelCall& c) {
        c.in[0].dtype == DType::kF64 ? backward<double>(c) : backward<float>(c);
    });
}

}  // namespace sn::reference
