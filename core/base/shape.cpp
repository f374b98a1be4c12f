#include "base/shape.h"

#include <algorithm>

#include "base/error.h"

namespace sn {

int64_t numel(DimSpan shape) {
    int64_t count = 1;
    for (int64_t d : shape) {
        if (__builtin_mul_overflow(count, d, &count)) {
            fail(ErrorKind::kMemory, "shape", "a tensor of shape %s has more than 2**63 elements",
                 format_shape(shape).c_str());
        }
    }
    return count;
}

Dims contiguous_strides(DimSpan shape) {
    Dims strides;
    strides.resize(shape.size());
    int64_t step = 1;
    for (size_t i = shape.size(); i-- > 0;) {
        strides[i] = step;
        step *= std::max<int64_t>(shape[i], 1);
    }
    return strides;
}

bool is_contiguous(DimSpan shape, DimSpan strides) {
    int64_t step = 1;
    for (size_t i = shape.size(); i-- > 0;) {
        if (shape[i] == 0) return true;
        if (shape[i] != 1 && strides[i] != step) return false;
        step *= shape[i];
    }
    return true;
}

Dims broadcast_shapes(std::string_view op, DimSpan a, DimSpan b) {
    const size_t rank = std::max(a.size(), b.size());
    Dims out;
    out.resize(rank);
    for (size_t i = 0; i < rank; ++i) {
        const int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
        const int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
        if (x != y && x != 1 && y != 1) {
            fail(ErrorKind::kShape, op,
                 "shapes %s and %s do not broadcast (%lld against %lld in dimension -%zu); sizes "
                 "must be equal or 1, aligned at the last dimension; reshape or unsqueeze one of "
                 "them",
                 format_shape(a).c_str(), format_shape(b).c_str(), static_cast<long long>(x),
                 static_cast<long long>(y), i + 1);
        }
        out[rank - 1 - i] = x == 1 ? y : x;
    }
    return out;
}

bool broadcastable_to(DimSpan from, DimSpan to) {
    if (from.size() > to.size()) return false;
    for (size_t i = 0; i < from.size(); ++i) {
        const int64_t x = from[from.size() - 1 - i];
        if (x != 1 && x != to[to.size() - 1 - i]) return false;
    }
    return true;
}

Dims broadcast_strides(DimSpan from, DimSpan strides, DimSpan to) {
    Dims out(to.size(), 0);
    const size_t shift = to.size() - from.size();
    for (size_t i = 0; i < from.size(); ++i) {
        out[shift + i] = from[i] == 1 && to[shift + i] != 1 ? 0 : strides[i];
    }
    return out;
}

bool reshape_strides(DimSpan shape, DimSpan strides, DimSpan new_shape, Dims* new_strides) {
    *new_strides = contiguous_strides(new_shape);
    for (int64_t d : shape)
        if (d == 0) return true;
    // Merge old dimensions into maximal runs that are contiguous among themselves; each run must be
    // a product of consecutive new dimensions.
    Dims run_size, run_stride;
    for (size_t i = 0; i < shape.size(); ++i) {
        if (shape[i] == 1) continue;
        if (!run_size.empty() && run_stride.back() == shape[i] * strides[i]) {
            run_size.back() *= shape[i];
            run_stride.back() = strides[i];
        } else {
            run_size.push_back(shape[i]);
            run_stride.push_back(strides[i]);
        }
    }
    size_t end = new_shape.size();
    for (size_t r = run_size.size(); r-- > 0;) {
        int64_t filled = 1;
        while (end > 0 && filled < run_size[r]) {
            --end;
            (*new_strides)[end] = run_stride[r] * filled;
            filled *= new_shape[end];
        }
        if (filled != run_size[r]) return false;
    }
    // What is left in front has size 1: any stride serves.
    return true;
}

int normalize_axis(std::string_view op, int64_t axis, int rank) {
    const int64_t fixed = axis < 0 ? axis + rank : axis;
    if (fixed < 0 || fixed >= rank) {
        fail(ErrorKind::kIndex, op,
             "axis %lld is out of range for a tensor of rank %d; it must be in [%d, %d]",
             static_cast<long long>(axis), rank, -rank, rank - 1);
    }
    return static_cast<int>(fixed);
}

Dims normalize_axes(std::string_view op, DimSpan axes, int rank) {
    Dims out;
    for (int64_t a : axes) out.push_back(normalize_axis(op, a, rank));
    std::sort(out.begin(), out.end());
    for (size_t i = 1; i < out.size(); ++i) {
        if (out[i] == out[i - 1]) {
            fail(ErrorKind::kValue, op, "axis %lld is given twice in %s; each axis may appear once",
                 static_cast<long long>(out[i]), format_shape(axes).c_str());
        }
    }
    return out;
}

std::string format_shape(DimSpan shape) {
    std::string text = "(";
    for (size_t i = 0; i < shape.size(); ++i) {
        if (i) text += ", ";
        text += std::to_string(shape[i]);
    }
    return text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace sn
