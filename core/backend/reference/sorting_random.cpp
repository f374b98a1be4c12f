// Sorting, searching, scans along an axis, and random numbers.
#include <algorithm>
#include <numeric>
#include <type_traits>

#include "backend/reference/random.h"
#include "backend/reference/reference.h"
#include "op/math.h"

namespace sn::reference {
namespace {

// ---- order: NaN above all numbers, -0 equal to 0; descending is the reverse. Sorts are stable.

template <class T>
bool below(T a, T b) {
    return a < b || (a == a && b != b);
}

// Positions of the elements of one line in order.
template <class T>
std::vector<int64_t> order_of(const std::vector<T>& x, const Axis& a, int64_t o, int64_t c,
                              bool descending) {
    std::vector<int64_t> order(static_cast<size_t>(a.n));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
        const T p = x[a.at(o, i, c)], q = x[a.at(o, j, c)];
        return descending ? below(q, p) : below(p, q);
    });
    return order;
}

// The first `k` of every line: their elements, and where they were.
void ordered(const KernelCall& c, int64_t axis, bool descending, int64_t k,
             const TensorView* values, const TensorView* indices) {
    const Axis a(c.in[0], axis);
    const std::vector<Bits> bits = read_bits(c.in[0]);
    std::vector<Bits> best(static_cast<size_t>(a.outer * k * a.inner));
    std::vector<int64_t> from(best.size());
    with_type(c.in[0].dtype, [&](auto zero) {
        const auto x = read<decltype(zero)>(c.in[0]);
        for (int64_t o = 0; o < a.outer; ++o) {
            for (int64_t i = 0; i < a.inner; ++i) {
                const std::vector<int64_t> order = order_of(x, a, o, i, descending);
                for (int64_t j = 0; j < k; ++j) {
                    const int64_t to = (o * k + j) * a.inner + i;
                    best[to] = bits[a.at(o, order[j], i)];
                    from[to] = order[j];
                }
            }
        }
    });
    if (values) write_bits(*values, best);
    if (indices) write(*indices, from);
}

void sort(const KernelCall& c) {  // attributes: axis, descending
    ordered(c, c.attrs[0], c.attrs[1] != 0, Axis(c.in[0], c.attrs[0]).n, &c.out[0], nullptr);
}
void argsort(const KernelCall& c) {
    ordered(c, c.attrs[0], c.attrs[1] != 0, Axis(c.in[0], c.attrs[0]).n, nullptr, &c.out[0]);
}
void topk(const KernelCall& c) {  // attributes: k, axis, largest
    ordered(c, c.attrs[1], c.attrs[2] != 0, c.attrs[0], &c.out[0], &c.out[1]);
}

void searchsorted(const KernelCall& c) {  // attribute: right
    with_type(c.in[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        const std::vector<T> sorted = read<T>(c.in[0]);
        const std::vector<T> values = read<T>(c.in[1]);
        const int64_t n = c.in[0].shape[c.in[0].rank - 1];
        const size_t rows = c.in[0].rank == 1 || values.empty()
                                ? 1
                                : values.size() / c.in[1].shape[c.in[1].rank - 1];
        std::vector<int64_t> out;
        for (size_t i = 0; i < values.size(); ++i) {
            const auto begin = sorted.begin() + n * static_cast<int64_t>(i * rows / values.size());
            const auto at = c.attrs[0] ? std::upper_bound(begin, begin + n, values[i], below<T>)
                                       : std::lower_bound(begin, begin + n, values[i], below<T>);
            out.push_back(at - begin);
        }
        write(c.out[0], out);
    });
}

// ---- scans: anew in each block, then added to what all blocks before it came to

enum class Scan { kSum, kProduct, kMax, kMin, kLogAddExp };

template <Scan kind>
void scan(const KernelCall& c) {  // attribute: axis
    const Axis a(c.in[0], c.attrs[0]);
    with_type(c.in[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        const auto of = [](T p, T q) {
            if constexpr (kind == Scan::kMax) {
                return p >= q || p != p ? p : q;
            } else if constexpr (kind == Scan::kMin) {
                return p <= q || p != p ? p : q;
            } else if constexpr (std::is_floating_point_v<T>) {
                if constexpr (kind == Scan::kLogAddExp) return math::logaddexp(p, q);
                return kind == Scan::kProduct ? p * q : p + q;
            } else {  // integers wrap
                const uint64_t u = static_cast<uint64_t>(p), v = static_cast<uint64_t>(q);
                return static_cast<T>(kind == Scan::kProduct ? u * v : u + v);
            }
        };
        const std::vector<T> x = read<T>(c.in[0]);
        std::vector<T> out(x.size());
        for (int64_t line = 0; line < a.outer * a.inner; ++line) {
            T before = 0, total = 0;
            for (int64_t i = 0; i < a.n; ++i) {
                const int64_t at = a.at(line / a.inner, i, line % a.inner);
                if (i % kScanBlock == 0) {
                    if (i > 0) before = i > kScanBlock ? of(before, total) : total;
                    total = x[at];
                } else {
                    total = of(total, x[at]);
                }
                out[at] = i >= kScanBlock ? of(before, total) : total;
            }
        }
        write(c.out[0], out);
    });
}

// out[i] = a[i] * out[i - 1] + b[i], rounded twice. Attribute: axis.
void linear_scan(const KernelCall& c) {
    const Axis axis(c.in[1], c.attrs[0]);
    const auto run = [&](auto zero) {
        using T = decltype(zero);
        const std::vector<T> a = read<T>(c.in[0]), b = read<T>(c.in[1]);
        std::vector<T> out(b.size());
        for (int64_t line = 0; line < axis.outer * axis.inner; ++line) {
            T state = 0;
            for (int64_t i = 0; i < axis.n; ++i) {
                const int64_t at = axis.at(line / axis.inner, i, line % axis.inner);
                state = a[at] * state + b[at];
                out[at] = state;
            }
        }
        write(c.out[0], out);
    };
    c.in[1].dtype == DType::kF64 ? run(double()) : run(float());
}

// ---- random numbers

template <class T, class F>
void generate(const TensorView& out, F f) {
    std::vector<T> values;
    for (int64_t e = 0, n = out.numel(); e < n; ++e) values.push_back(f(static_cast<uint64_t>(e)));
    write(out, values);
}

// The largest number of the dtype that is less than `high` (or low, where they are equal).
template <class T>
T largest_below(DType dtype, T low, T high) {
    if (!(low < high)) return low;
    uint64_t bits = 0;
    store_cell(dtype, &bits, Cell::of(high));
    if (!(load_cell(dtype, &bits).get<T>() < high)) {
        // Neighbours differ by one in magnitude; below zero stands the least negative number.
        const uint64_t sign = uint64_t{1} << (dtype_size(dtype) * 8 - 1);
        bits = (bits & ~sign) == 0 ? sign | 1 : bits & sign ? bits + 1 : bits - 1;
    }
    return load_cell(dtype, &bits).get<T>();
}

void uniform(const KernelCall& c) {  // operands: low, high, seed, draw
    const Stream s(c, 2);
    const auto run = [&](auto zero, auto unit) {
        using T = decltype(zero);
        const T low = static_cast<T>(number_f64(c.in[0])),
                high = static_cast<T>(number_f64(c.in[1]));
        const T range = high - low, top = largest_below(c.out[0].dtype, low, high);
        generate<T>(c.out[0], [=](uint64_t e) {
            const T v = low + unit(e) * range;
            return v < top ? v : top;
        });
    };
    if (c.out[0].dtype == DType::kF64)
        run(double(), [&](uint64_t e) { return static_cast<double>(s.word64(e) >> 11) * 0x1p-53; });
    else
        run(float(), [&](uint64_t e) { return static_cast<float>(s.word32(e) >> 8) * 0x1p-24f; });
}

// Box and Muller: the elements e and e + 16 come of the same two uniform numbers.
void normal(const KernelCall& c) {  // operands: mean, deviation, seed, draw
    const Stream s(c, 2);
    const auto run = [&](auto zero, auto radius_of, auto angle_of) {
        using T = decltype(zero);
        const T mean = static_cast<T>(number_f64(c.in[0]));
        const T deviation = static_cast<T>(number_f64(c.in[1]));
        generate<T>(c.out[0], [=](uint64_t e) {
            const uint64_t first = e / 32 * 32 + e % 16;
            const T u = radius_of(first), angle = angle_of(first + 16);
            const T radius = math::sqrt(T(-2) * math::log(u));
            return mean +
                   deviation * (radius * (e % 32 < 16 ? math::cos(angle) : math::sin(angle)));
        });
    };
    if (c.out[0].dtype == DType::kF64) {
        run(
            double(),
            [&](uint64_t e) { return static_cast<double>((s.word64(e) >> 11) + 1) * 0x1p-53; },
            [&](uint64_t e) {
                return 6.283185307179586 * (static_cast<double>(s.word64(e) >> 11) * 0x1p-53);
            });
    } else {  // in (0, 1], and finer near 0, where the tails come from
        run(
            float(),
            [&](uint64_t e) { return static_cast<float>(s.word32(e) >> 1) * 0x1p-31f + 0x1p-32f; },
            [&](uint64_t e) {
                return 6.283185307179586f * (static_cast<float>(s.word32(e) >> 8) * 0x1p-24f);
            });
    }
}

void integers(const KernelCall& c) {  // operands: low, high, seed, draw
    const Stream s(c, 2);
    const uint64_t low = static_cast<uint64_t>(number_i64(c.in[0]));
    const uint64_t range = static_cast<uint64_t>(number_i64(c.in[1])) - low;
    with_type(c.out[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        generate<T>(c.out[0], [=](uint64_t e) {
            const auto scaled = static_cast<unsigned __int128>(s.word64(e)) * range;
            return static_cast<T>(low + static_cast<uint64_t>(scaled >> 64));
        });
    });
}

void dropout_mask(const KernelCall& c) {  // operands: probability, seed, draw
    const double scaled = number_f64(c.in[0]) * 0x1p32;
    const uint64_t limit = scaled >= 0x1p32 ? uint64_t{1} << 32 : static_cast<uint64_t>(scaled);
    const Stream s(c, 1);
    generate<uint8_t>(c.out[0], [=](uint64_t e) -> uint8_t { return s.word32(e) >= limit; });
}

}  // namespace

void register_sorting_random(KernelTable& table) {
    table.add("sort", sort);
    table.add("argsort", argsort);
    table.add("topk", topk);
    table.add("searchsorted", searchsorted);
    table.add("cumsum", scan<Scan::kSum>);
    table.add("cumprod", scan<Scan::kProduct>);
    table.add("running_max", scan<Scan::kMax>);
    table.add("running_min", scan<Scan::kMin>);
    table.add("logcumsumexp", scan<Scan::kLogAddExp>);
    table.add("linear_scan", linear_scan);
    table.add("random_uniform", uniform);
    table.add("random_normal", normal);
    table.add("random_integers", integers);
    table.add("dropout_mask", dropout_mask);
}

}  // namespace sn::reference
