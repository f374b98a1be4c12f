// Conversions between tiles of every pair of dtypes.
//
// Float to integer truncates towards zero and saturates; NaN gives 0. Integer to a narrower integer
// keeps the low bits. To bool is "not zero". To f16 and bf16 goes through f32.
#include "backend/cpu/kernels/tile_loops.h"

namespace sn::cpu::SN_ISA {
namespace {

template <class To, class From>
SN_INLINE To convert(From x) {
    if constexpr (math::kIsFloat<From> && !math::kIsFloat<To>) {
        // 2^k is exact in From, the largest To may not be.
        constexpr int k = static_cast<int>(sizeof(To)) * 8 - (math::kSigned<To> ? 1 : 0);
        constexpr uint64_t half = uint64_t{1} << (k - 1);
        constexpr From end = static_cast<From>(half) * From(2);
        constexpr From begin = math::kSigned<To> ? -end : From(0);
        constexpr To largest = static_cast<To>((half - 1) * 2 + 1);
        constexpr To least = math::kSigned<To> ? static_cast<To>(-largest - 1) : To(0);
        const bool inside = x < end && x > begin;
        // An operand in range on every lane: what the conversion of others gives differs by
        // machine.
        const From safe = inside ? x : From(0);
        const To y = static_cast<To>(safe);
        return x >= end ? largest : x <= begin ? least : y;
    } else {
        return static_cast<To>(x);
    }
}
template <class To, class From>
[[gnu::noinline]] void cast_loop(void* dst, const void* a, int64_t n) {
    To* d = static_cast<To*>(dst);
    const From* p = static_cast<const From*>(a);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) d[i] = convert<To>(p[i]);
}
template <class From, class Round>
void cast_rounded(void* dst, const void* a, int64_t n) {
    cast_loop<float, From>(dst, a, n);
    vector_loop1<float, Round>(dst, dst, n);
}
template <class From>
[[gnu::noinline]] void to_bool(void* dst, const void* a, int64_t n) {
    uint8_t* d = static_cast<uint8_t*>(dst);
    const From* p = static_cast<const From*>(a);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) d[i] = p[i] != From(0);
}
template <int size>
void copy_tile(void* dst, const void* a, int64_t n) {
    std::memmove(dst, a, static_cast<size_t>(n) * size);
}

// Sign does not matter to a conversion to the same or a smaller size: the unsigned loop serves.
template <class T>
struct Unsigned {
    using type = math::Bits<T>;
};
template <>
struct Unsigned<float> {
    using type = float;
};
template <>
struct Unsigned<double> {
    using type = double;
};
template <class To, class From>
SN_INLINE TileFn1 cast_entry() {
    if constexpr (math::kIsFloat<From> || math::kIsFloat<To>) {
        return cast_loop<To, From>;
    } else if constexpr (sizeof(To) == sizeof(From)) {
        return copy_tile<sizeof(To)>;
    } else if constexpr (sizeof(To) < sizeof(From)) {
        return cast_loop<math::Bits<To>, math::Bits<From>>;
    } else {
        return cast_loop<math::Bits<To>, From>;
    }
}
template <class From>
SN_INLINE void set_row(TileFn1* row) {
#define SN_SET(T) row[TileDType<T>::value] = cast_entry<T, From>();
    SN_EACH_INT(SN_SET)
    SN_SET(double)
#undef SN_SET
    row[kF32] = cast_loop<float, From>;
    row[kF16] = cast_rounded<From, RoundF16>;
    row[kBF16] = cast_rounded<From, RoundBF16>;
    row[static_cast<int>(DType::kBool)] = to_bool<From>;
}

}  // namespace

void register_tile_cast(TileKernels& t) {
#define SN_SET(T) set_row<T>(t.cast[TileDType<T>::value]);
    SN_EACH_INT(SN_SET)
    SN_SET(double)
    SN_SET(float)
#undef SN_SET
    TileFn1* of_bool = t.cast[static_cast<int>(DType::kBool)];
    set_row<uint8_t>(of_bool);
    of_bool[static_cast<int>(DType::kBool)] = copy_tile<1>;
    t.cast[kF64][kF64] = copy_tile<8>;
    // The three f32 tiles: copy, or round to the narrower set of values.
    t.cast[kF32][kF32] = copy_tile<4>;
    t.cast[kF32][kF16] = vector_loop1<float, RoundF16>;
    t.cast[kF32][kBF16] = vector_loop1<float, RoundBF16>;
    for (int d = kF16; d <= kBF16; ++d) {
        for (int to = 0; to < kNumDTypes; ++to) t.cast[d][to] = t.cast[kF32][to];
        t.cast[d][d] = copy_tile<4>;
    }
}

}  // namespace sn::cpu::SN_ISA
