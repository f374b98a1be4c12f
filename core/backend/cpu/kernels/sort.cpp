// Sorting and searching. Every dtype is turned into unsigned keys whose order is the order wanted
// (NaN above all numbers, -0 equal to 0; reversed for descending), so that one radix sort serves
// all. All sorts are stable.
#include "backend/cpu/copy.h"
#include "base/error.h"
#include "engine/pool.h"

namespace sn::cpu::SN_ISA {

namespace {

// --- keys ---------------------------------------------------------------------------------------

template <class U>
inline constexpr U kSign = static_cast<U>(U(1) << (sizeof(U) * 8 - 1));

template <class U>
struct UnsignedKey {
    SN_INLINE static U encode(U u) { return u; }
    SN_INLINE static U decode(U k) { return k; }
};
template <class U>
struct SignedKey {
    SN_INLINE static U encode(U u) { return static_cast<U>(u ^ kSign<U>); }
    SN_INLINE static U decode(U k) { return static_cast<U>(k ^ kSign<U>); }
};
template <class U, U kInfinity>
struct FloatKey {
    SN_INLINE static U encode(U u) {
        const U magnitude = static_cast<U>(u & ~kSign<U>);
        if (magnitude > kInfinity) return static_cast<U>(~U(0));
        if (magnitude == 0) return kSign<U>;
        return static_cast<U>(u & kSign<U> ? ~u : u | kSign<U>);
    }
    SN_INLINE static U decode(U k) {
        if (k == static_cast<U>(~U(0))) return static_cast<U>(kInfinity | (kInfinity >> 1));
        return static_cast<U>(k & kSign<U> ? k ^ kSign<U> : ~k);
    }
};

// Calls f(Key type, bits type) for a dtype.
template <class F>
SN_INLINE void with_key(DType dtype, F f) {
    switch (dtype) {
        case DType::kBool:
        case DType::kU8: f(UnsignedKey<uint8_t>(), uint8_t()); break;
        case DType::kU16: f(UnsignedKey<uint16_t>(), uint16_t()); break;
        case DType::kU32: f(UnsignedKey<uint32_t>(), uint32_t()); break;
        case DType::kU64: f(UnsignedKey<uint64_t>(), uint64_t()); break;
        case DType::kI8: f(SignedKey<uint8_t>(), uint8_t()); break;
        case DType::kI16: f(SignedKey<uint16_t>(), uint16_t()); break;
        case DType::kI32: f(SignedKey<uint32_t>(), uint32_t()); break;
        case DType::kI64: f(SignedKey<uint64_t>(), uint64_t()); break;
        case DType::kF16: f(FloatKey<uint16_t, 0x7c00>(), uint16_t()); break;
        case DType::kBF16: f(FloatKey<uint16_t, 0x7f80>(), uint16_t()); break;
        case DType::kF32: f(FloatKey<uint32_t, 0x7f800000u>(), uint32_t()); break;
        case DType::kF64: f(FloatKey<uint64_t, 0x7ff0000000000000ull>(), uint64_t()); break;
        case DType::kC64:
        case DType::kC128: break;  // have no order: their rules refuse them
    }
}

// --- items: a key alone, or with the position that it came from ---------------------------------

struct Key32 {  // also of 8 and 16 bits
    using Item = uint32_t;
    static constexpr bool kIndexed = false;
    SN_INLINE static Item make(uint64_t key, int64_t) { return static_cast<Item>(key); }
    SN_INLINE static uint64_t key(Item i) { return i; }
    SN_INLINE static int64_t index(Item) { return 0; }
    SN_INLINE static bool less(Item a, Item b) { return a < b; }
};
struct Key64 {
    using Item = uint64_t;
    static constexpr bool kIndexed = false;
    SN_INLINE static Item make(uint64_t key, int64_t) { return key; }
    SN_INLINE static uint64_t key(Item i) { return i; }
    SN_INLINE static int64_t index(Item) { return 0; }
    SN_INLINE static bool less(Item a, Item b) { return a < b; }
};
struct Pair32 {  // one word: a key of at most 32 bits above a position below 2**32
    using Item = uint64_t;
    static constexpr bool kIndexed = true;
    SN_INLINE static Item make(uint64_t key, int64_t i) {
        return key << 32 | static_cast<uint64_t>(i);
    }
    SN_INLINE static uint64_t key(Item i) { return i >> 32; }
    SN_INLINE static int64_t index(Item i) { return static_cast<int64_t>(i & 0xffffffffu); }
    SN_INLINE static bool less(Item a, Item b) { return a < b; }
};
struct Pair64 {
    struct Item {
        uint64_t key;
        int64_t index;
    };
    static constexpr bool kIndexed = true;
    SN_INLINE static Item make(uint64_t key, int64_t i) { return {key, i}; }
    SN_INLINE static uint64_t key(Item i) { return i.key; }
    SN_INLINE static int64_t index(Item i) { return i.index; }
    SN_INLINE static bool less(Item a, Item b) {
        return a.key < b.key || (a.key == b.key && a.index < b.index);
    }
};

// Items in order; the result is in `a` or `b`, whichever is returned.
template <class P>
typename P::Item* merge_sort(typename P::Item* a, typename P::Item* b, int64_t n) {
    using Item = typename P::Item;
    constexpr int64_t kRun = 16;
    for (int64_t start = 0; start < n; start += kRun) {
        const int64_t stop = start + kRun < n ? start + kRun : n;
        for (int64_t i = start + 1; i < stop; ++i) {
            const Item item = a[i];
            int64_t j = i;
            for (; j > start && P::less(item, a[j - 1]); --j) a[j] = a[j - 1];
            a[j] = item;
        }
    }
    for (int64_t width = kRun; width < n; width *= 2) {
        for (int64_t start = 0; start < n; start += 2 * width) {
            const int64_t middle = start + width < n ? start + width : n;
            const int64_t stop = start + 2 * width < n ? start + 2 * width : n;
            int64_t i = start, j = middle;
            for (int64_t k = start; k < stop; ++k) {
                const bool right = i == middle || (j < stop && P::less(a[j], a[i]));
                b[k] = right ? a[j++] : a[i++];
            }
        }
        Item* other = a;
        a = b;
        b = other;
    }
    return a;
}

// Least significant digit first, in digits of 8 bits; a digit that all items share costs no pass.
template <class P>
typename P::Item* radix_sort(typename P::Item* a, typename P::Item* b, int64_t n, int key_bytes) {
    using Item = typename P::Item;
    int64_t counts[8][256];
    std::memset(counts, 0, static_cast<size_t>(key_bytes) * sizeof(counts[0]));
    for (int64_t i = 0; i < n; ++i) {
        uint64_t key = P::key(a[i]);
        for (int d = 0; d < key_bytes; ++d, key >>= 8) ++counts[d][key & 255];
    }
    for (int d = 0; d < key_bytes; ++d) {
        int64_t* count = counts[d];
        if (count[P::key(a[0]) >> (8 * d) & 255] == n) continue;
        int64_t at = 0;
        for (int v = 0; v < 256; ++v) {
            const int64_t here = count[v];
            count[v] = at;
            at += here;
        }
        for (int64_t i = 0; i < n; ++i) b[count[P::key(a[i]) >> (8 * d) & 255]++] = a[i];
        Item* other = a;
        a = b;
        b = other;
    }
    return a;
}

template <class P>
typename P::Item* sort_items(typename P::Item* a, typename P::Item* b, int64_t n, int key_bytes) {
    // Counting 256 values per digit costs about as much as merging some dozens of items.
    return n <= 64 ? merge_sort<P>(a, b, n) : radix_sort<P>(a, b, n, key_bytes);
}

// Batcher's merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M) on kSide
// rows at once, stored [n][kSide]: it compares without branches, and lanes are different rows. It
// needs about n log(n)^2 / 4 exchanges, which beats counting digits as long as the rows stay in the
// second-level cache. Items of one row differ or are the same number: there is one sorted order.
constexpr int64_t kSide = 16;
template <class P>
inline constexpr int64_t kNetworkRow = sizeof(typename P::Item) == 16  ? 0
                                       : sizeof(typename P::Item) == 8 ? 512
                                                                       : 1024;
template <class Item>
void network_sort(Item* x, int64_t n) {
    using V = VecN<Item, kSide>;
    int64_t top = 1;
    while (2 * top < n) top *= 2;
    for (int64_t p = top; n > 1 && p > 0; p /= 2) {
        int64_t q = top, r = 0;
        for (int64_t d = p;; d = q - p, q /= 2, r = p) {
            // Runs of p neighbours i with (i & p) == r.
            for (int64_t start = r; start < n - d; start += 2 * p) {
                const int64_t stop = start + p < n - d ? start + p : n - d;
                for (int64_t i = start; i < stop; ++i) {
                    Item *at = x + i * kSide, *with = at + d * kSide;
                    const V a = load<V>(at), b = load<V>(with);
                    store(at, a < b ? a : b);
                    store(with, a < b ? b : a);
                }
            }
            if (q == p) break;
        }
    }
}

// --- rows ---------------------------------------------------------------------------------------

struct Axis {  // of a contiguous tensor: [outer][n][inner]
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
    // Where the line with this number begins.
    int64_t start(int64_t row) const { return row / inner * n * inner + row % inner; }
};

// Calls f(row number, offset of its first element) for every line along the axis.
template <class F>
void for_rows(const Axis& a, F f) {
    if (a.n * a.outer * a.inner == 0) return;
    parallel_for(a.outer * a.inner, grain_for(a.n * 64), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) f(r, a.start(r));
    });
}

// Items of a row lie `apart` places from each other.
template <class P>
void load_row(const TensorView& x, int64_t at, int64_t step, int64_t n, bool descending,
              typename P::Item* items, int64_t apart = 1) {
    with_key(x.dtype, [&](auto key, auto bits) {
        using Key = decltype(key);
        using U = decltype(bits);
        const U* p = x.as<U>() + at;
        const U turn = static_cast<U>(descending ? ~U(0) : U(0));
        for (int64_t i = 0; i < n; ++i)
            items[i * apart] = P::make(static_cast<U>(Key::encode(p[i * step]) ^ turn), i);
    });
}

// Sorted keys lose the sign of zeros: they are written again, in the order in which they came.
template <class U>
void restore_zeros(const U* in, U* out, int64_t step, int64_t n) {
    int64_t first = 0;
    while (first < n && out[first * step] != 0) ++first;
    if (first == n) return;
    for (int64_t i = 0; i < n; ++i) {
        if ((in[i * step] & ~kSign<U>) == 0) out[first++ * step] = in[i * step];
    }
}

template <class P>
void store_row(const TensorView& x, const TensorView& out, int64_t at, int64_t step, int64_t n,
               bool descending, const typename P::Item* items, int64_t apart) {
    with_key(x.dtype, [&](auto key, auto bits) {
        using Key = decltype(key);
        using U = decltype(bits);
        U* p = out.as<U>() + at;
        const U turn = static_cast<U>(descending ? ~U(0) : U(0));
        for (int64_t i = 0; i < n; ++i)
            p[i * step] =
                Key::decode(static_cast<U>(static_cast<U>(P::key(items[i * apart])) ^ turn));
        if (x.dtype >= DType::kF16 && x.dtype <= DType::kF64)
            restore_zeros(static_cast<const U*>(x.as<U>()) + at, p, step, n);
    });
}

void check_length(const char* op, int64_t n) {
    if (n < int64_t{1} << 32) return;
    fail(ErrorKind::kMemory, op, "the axis has %lld elements; fewer than 2**32 are required",
         static_cast<long long>(n));
}

template <class P>
void sort_rows(const KernelCall& c) {
    using Item = typename P::Item;
    const TensorView &x = c.in[0], &out = c.out[0];
    const Axis a(x, c.attrs[0]);
    const bool descending = c.attrs[1] != 0;
    const int key_bytes = static_cast<int>(element_size(x.dtype));
    const auto write = [&](int64_t at, const Item* sorted, int64_t apart) {
        if constexpr (P::kIndexed) {
            int64_t* p = out.as<int64_t>() + at;
            for (int64_t i = 0; i < a.n; ++i) p[i * a.inner] = P::index(sorted[i * apart]);
        } else {
            store_row<P>(x, out, at, a.inner, a.n, descending, sorted, apart);
        }
    };
    const int64_t rows = a.outer * a.inner;
    if constexpr (kNetworkRow<P> > 0) {
        if (rows >= kSide / 2 && a.n > 1 && a.n <= kNetworkRow<P>) {
            parallel_for((rows + kSide - 1) / kSide, grain_for(a.n * kSide * 16),
                         [&](int64_t begin, int64_t end) {
                             Item* items = static_cast<Item*>(
                                 thread_scratch(static_cast<size_t>(a.n * kSide) * sizeof(Item)));
                             for (int64_t r = begin * kSide; r < end * kSide && r < rows;
                                  r += kSide) {
                                 const int64_t count = rows - r < kSide ? rows - r : kSide;
                                 for (int64_t l = 0; l < kSide; ++l)  // the last one fills up
                                     load_row<P>(x, a.start(r + (l < count ? l : count - 1)),
                                                 a.inner, a.n, descending, items + l, kSide);
                                 network_sort(items, a.n);
                                 for (int64_t l = 0; l < count; ++l)
                                     write(a.start(r + l), items + l, kSide);
                             }
                         });
            return;
        }
    }
    for_rows(a, [&](int64_t, int64_t at) {
        Item* items =
            static_cast<Item*>(thread_scratch(2 * static_cast<size_t>(a.n) * sizeof(Item)));
        load_row<P>(x, at, a.inner, a.n, descending, items);
        write(at, sort_items<P>(items, items + a.n, a.n, key_bytes), 1);
    });
}

void sort(const KernelCall& c) {
    if (element_size(c.in[0].dtype) == 8)
        sort_rows<Key64>(c);
    else
        sort_rows<Key32>(c);
}

void argsort(const KernelCall& c) {
    check_length("argsort", Axis(c.in[0], c.attrs[0]).n);
    if (element_size(c.in[0].dtype) == 8)
        sort_rows<Pair64>(c);
    else
        sort_rows<Pair32>(c);
}

// --- top k --------------------------------------------------------------------------------------

// Few: a sorted list of the best so far, which most items do not get into.
template <class P>
typename P::Item* best_few(const typename P::Item* items, typename P::Item* best, int64_t n,
                           int64_t k) {
    int64_t have = 0;
    for (int64_t i = 0; i < n; ++i) {
        if (have == k && !P::less(items[i], best[k - 1])) continue;
        int64_t j = have < k ? have++ : k - 1;
        for (; j > 0 && P::less(items[i], best[j - 1]); --j) best[j] = best[j - 1];
        best[j] = items[i];
    }
    return best;
}

// Many: those whose leading eleven bits can be among the best are kept and sorted.
template <class P>
typename P::Item* best_many(typename P::Item* items, typename P::Item* spare, int64_t n, int64_t k,
                            int key_bytes) {
    const int shift = key_bytes * 8 > 11 ? key_bytes * 8 - 11 : 0;
    int64_t counts[2048] = {};
    for (int64_t i = 0; i < n; ++i) ++counts[P::key(items[i]) >> shift];
    uint64_t last = 0;
    for (int64_t seen = counts[0]; seen < k; seen += counts[last]) ++last;
    int64_t kept = 0;
    for (int64_t i = 0; i < n; ++i) {
        if (P::key(items[i]) >> shift <= last) items[kept++] = items[i];
    }
    return sort_items<P>(items, spare, kept, key_bytes);
}

template <class P>
void topk_rows(const KernelCall& c) {
    const TensorView &x = c.in[0], &values = c.out[0], &indices = c.out[1];
    const int64_t k = c.attrs[0];
    const Axis a(x, c.attrs[1]);
    const bool largest = c.attrs[2] != 0;
    const int64_t size = element_size(x.dtype);
    if (k == 0) return;
    for_rows(a, [&](int64_t r, int64_t at) {
        using Item = typename P::Item;
        Item* items =
            static_cast<Item*>(thread_scratch(2 * static_cast<size_t>(a.n) * sizeof(Item)));
        load_row<P>(x, at, a.inner, a.n, largest, items);
        const Item* best = k <= 64
                               ? best_few<P>(items, items + a.n, a.n, k)
                               : best_many<P>(items, items + a.n, a.n, k, static_cast<int>(size));
        const int64_t to = r / a.inner * k * a.inner + r % a.inner;
        for (int64_t i = 0; i < k; ++i) {  // an output that nobody reads has no memory
            const int64_t from = P::index(best[i]);
            if (indices.data) indices.as<int64_t>()[to + i * a.inner] = from;
            if (!values.data) continue;
            std::memcpy(values.as<char>() + (to + i * a.inner) * size,
                        x.as<char>() + (at + from * a.inner) * size, static_cast<size_t>(size));
        }
    });
}

void topk(const KernelCall& c) {
    check_length("topk", Axis(c.in[0], c.attrs[1]).n);
    if (element_size(c.in[0].dtype) == 8)
        topk_rows<Pair64>(c);
    else
        topk_rows<Pair32>(c);
}

// --- search -------------------------------------------------------------------------------------

void searchsorted(const KernelCall& c) {
    const TensorView &sorted = c.in[0], &values = c.in[1];
    const int64_t n = sorted.shape[sorted.rank - 1], count = count_elements(values);
    // Values of each row of the sorted tensor; a vector is for all.
    const int64_t per_row = sorted.rank == 1 ? count : values.shape[values.rank - 1];
    const bool right = c.attrs[0] != 0;
    int64_t* out = c.out[0].as<int64_t>();
    with_key(sorted.dtype, [&](auto key, auto bits) {
        using Key = decltype(key);
        using U = decltype(bits);
        const U* v = values.as<U>();
        parallel_for(count, 1024, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                const U wanted = Key::encode(v[i]);
                const U* s = sorted.as<U>() + i / per_row * n;
                int64_t low = 0, high = n;
                while (low < high) {
                    const int64_t middle = low + (high - low) / 2;
                    const U here = Key::encode(s[middle]);
                    if (here < wanted || (right && here == wanted))
                        low = middle + 1;
                    else
                        high = middle;
                }
                out[i] = low;
            }
        });
    });
}

}  // namespace

void register_sort(KernelTable& table) {
    table.add("sort", sort);
    table.add("argsort", argsort);
    table.add("topk", topk);
    table.add("searchsorted", searchsorted);
}

}  // namespace sn::cpu::SN_ISA
