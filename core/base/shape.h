#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/small_vector.h"

namespace sn {

inline constexpr int kMaxRank = 32;
using Dims = SmallVec<int64_t, 6>;
using DimSpan = std::span<const int64_t>;

int64_t numel(DimSpan shape);  // checked against overflow
Dims contiguous_strides(DimSpan shape);
// True when the elements lie in row-major order without gaps (dimensions of size 1 do not matter).
bool is_contiguous(DimSpan shape, DimSpan strides);
// The NumPy broadcasting rule; fails with the two shapes and the dimension that does not fit.
Dims broadcast_shapes(std::string_view op, DimSpan a, DimSpan b);
bool broadcastable_to(DimSpan from, DimSpan to);
// Strides (elements) with which a value of shape `from` is read as shape `to`.
Dims broadcast_strides(DimSpan from, DimSpan strides, DimSpan to);
// Strides of a reshape without a copy; false when one is needed.
bool reshape_strides(DimSpan shape, DimSpan strides, DimSpan new_shape, Dims* new_strides);
// -rank <= axis < rank, else an IndexError-like failure that names op, axis and rank.
int normalize_axis(std::string_view op, int64_t axis, int rank);
// Sorted, distinct, non-negative. An empty list stays empty.
Dims normalize_axes(std::string_view op, DimSpan axes, int rank);

std::string format_shape(DimSpan shape);  // "(2, 3)", "(4,)", "()"

}  // namespace sn
