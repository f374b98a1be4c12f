#pragma once
// Sizes that a graph leaves open, and what it makes of them.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/function_ref.h"
#include "ir/graph.h"

namespace sn {

inline constexpr int64_t kMostSize = int64_t{1} << 48;

// A name for a size that every call has anew.
struct OpenSize {
    std::string name;
    int64_t least = 0, most = kMostSize, multiple = 1;  // what calls may give
    int64_t example = 0;                                // the graph's metas are those of this size
};

// An open size, or the size of a value along an axis.
struct SizeFactor {
    uint32_t open = kNone;
    ValueId value = kNone;
    uint32_t axis = 0;
    friend bool operator==(const SizeFactor&, const SizeFactor&) = default;
};
struct SizeTerm {
    int64_t coefficient = 0;
    std::vector<SizeFactor> factors;  // none: a constant
    friend bool operator==(const SizeTerm&, const SizeTerm&) = default;
};
// A sum of products, divided and rounded down.
struct SizeExpr {
    std::vector<SizeTerm> terms;
    int64_t divisor = 1;
    friend bool operator==(const SizeExpr&, const SizeExpr&) = default;

    static SizeExpr of(SizeFactor factor) { return {{{1, {factor}}}, 1}; }
};

// What is made of a size where it becomes a number: an int is the size itself, a float `scale`
// times or by the size or its root, or (kExcess) the size by what it is more than `scale`.
enum class SizeForm : uint8_t { kPlain, kReciprocal, kRoot, kReciprocalRoot, kExcess };
inline constexpr int kSizeForms = 5;

using FactorValue = FunctionRef<int64_t(const SizeFactor&)>;
// Fails (ShapeError) when the result does not fit into 64 bits.
int64_t evaluate(const SizeExpr& size, FactorValue value);

double size_number(SizeForm form, double scale, int64_t size);

// A way that the function took because of its sizes: it held for the examples, and a call whose
// sizes are against it would take another way.
enum class SizeRelation : uint8_t { kLess, kLessEqual, kEqual, kNotEqual, kGreater, kGreaterEqual };
inline constexpr int kSizeRelations = 6;
struct SizeCondition {
    SizeExpr difference;  // compared with 0; of open sizes alone
    SizeRelation relation = SizeRelation::kEqual;
    uint32_t site = 0;
};
bool holds(SizeRelation relation, int64_t difference);
void check_condition(const SizeCondition& condition, std::span<const OpenSize> names,
                     std::span<const int64_t> sizes);
std::string print(const SizeExpr& size, std::span<const OpenSize> names);

// What a call gives for an open size must be one that the graph was made for.
void check_open_size(const OpenSize& open, int64_t given);

}  // namespace sn
