// x[items] and x[items] = value: NumPy's rules, in terms of slice, take, gather_nd and scatter_nd.
//
// An index is brought to one form: a box of x (starts, sizes, steps), which is a view; then integer
// tensors over some of its dimensions. A mask over r dimensions is one tensor of positions over
// these dimensions merged into one.
#include <algorithm>

#include "op/api.h"
#include "op/op.h"
#include "op/rules.h"
#include "record/tape.h"

namespace sn {

namespace {

struct IndexForm {
    Tensor x;                      // dimensions under a mask merged
    Dims starts, sizes, steps;     // the box
    Dims shape;                    // of the view: integers dropped, newaxes inserted
    Dims source;                   // dimension of x behind each dimension of the view; -1: newaxis
    std::vector<Tensor> advanced;  // integer tensors ...
    Dims advanced_at;              // ... and the dimensions of the view that they index
    int64_t insert_at = 0;         // where the dimensions of the advanced part go in the result
    bool whole = true;             // the box is all of x
};

int consumes(const IndexItem& item) {
    switch (item.kind) {
        case IndexItem::kInteger:
        case IndexItem::kSlice: return 1;
        case IndexItem::kNewaxis:
        case IndexItem::kEllipsis: return 0;
        case IndexItem::kTensor: return is_bool(item.tensor.dtype()) ? item.tensor.rank() : 1;
    }
    return 0;
}

// The ellipsis (one is implied at the end) becomes whole slices.
std::vector<IndexItem> expand_ellipsis(const Tensor& x, const IndexItem* items, int n) {
    int used = 0, ellipses = 0;
    for (int i = 0; i < n; ++i) {
        used += consumes(items[i]);
        ellipses += items[i].kind == IndexItem::kEllipsis;
    }
    if (used > x.rank() || ellipses > 1) {
        fail(ErrorKind::kIndex, "index",
             "%d dimensions are indexed (with %d '...') in shape %s, which has %d; no more than it "
             "has, and one '...', are allowed",
             used, ellipses, format_shape(x.shape()).c_str(), x.rank());
    }
    std::vector<IndexItem> out;
    const auto fill = [&] { out.insert(out.end(), x.rank() - used, IndexItem()); };
    for (int i = 0; i < n; ++i) {
        if (items[i].kind == IndexItem::kEllipsis)
            fill();
        else
            out.push_back(items[i]);
    }
    if (ellipses == 0) fill();
    return out;
}

// Replaces masks by positions over merged dimensions of x.
void resolve_masks(Tensor& x, std::vector<IndexItem>& items) {
    int dim = 0;
    for (IndexItem& item : items) {
        if (item.kind != IndexItem::kTensor || !is_bool(item.tensor.dtype())) {
            dim += consumes(item);
            continue;
        }
        Dims shape;
        const Dims& mask = item.tensor.shape();
        for (int i = 0; i < dim; ++i) shape.push_back(x.size(i));
        int64_t merged = 1;
        for (size_t i = 0; i < mask.size(); ++i) {
            const int64_t size = x.size(dim + static_cast<int>(i));
            merged *= size;
            if (mask[i] == size || mask[i] == 0) continue;  // an empty mask selects nothing of any
            fail(ErrorKind::kIndex, "index",
                 "a mask of shape %s indexes dimensions %d to %d of shape %s; their sizes must be "
                 "equal (or 0)",
                 format_shape(mask).c_str(), dim, dim + static_cast<int>(mask.size()) - 1,
                 format_shape(x.shape()).c_str());
        }
        shape.push_back(merged);
        for (int i = dim + static_cast<int>(mask.size()); i < x.rank(); ++i)
            shape.push_back(x.size(i));
        x = reshape(x, shape);
        item.tensor = nonzero(reshape(item.tensor, Dims{numel(mask)}))[0];
        ++dim;
    }
}

void slice_range(const IndexItem& item, int64_t n, int64_t* start, int64_t* size, int64_t* step) {
    *step = item.has_step ? item.step : 1;
    if (*step == 0) {
        fail(ErrorKind::kValue, "index", "the step of a slice is 0; it must not be");
    }
    const int64_t low = *step < 0 ? -1 : 0, high = *step < 0 ? n - 1 : n;
    const auto place = [&](bool given, int64_t at, int64_t otherwise) {
        return given ? std::clamp(at < 0 ? at + n : at, low, high) : otherwise;
    };
    *start = place(item.has_start, item.start, *step < 0 ? high : low);
    const int64_t stop = place(item.has_stop, item.stop, *step < 0 ? low : high);
    const int64_t span = *step < 0 ? *start - stop : stop - *start;
    const uint64_t by = *step < 0 ? 0 - static_cast<uint64_t>(*step) : static_cast<uint64_t>(*step);
    *size = span <= 0 ? 0 : 1 + static_cast<int64_t>(static_cast<uint64_t>(span - 1) / by);
    if (*size <= 1) *step = 1;  // a step that is not taken must not change the plan
}

IndexForm resolve(const Tensor& x, const IndexItem* given, int n) {
    IndexForm f;
    f.x = x;
    std::vector<IndexItem> items = expand_ellipsis(x, given, n);
    resolve_masks(f.x, items);
    bool any_tensor = false;
    for (const IndexItem& item : items) any_tensor = any_tensor || item.kind == IndexItem::kTensor;

    int dim = 0;
    bool open = false, closed = false, split = false;  // is the advanced part one run of items?
    for (const IndexItem& item : items) {
        const bool is_advanced =
            any_tensor && (item.kind == IndexItem::kTensor || item.kind == IndexItem::kInteger);
        if (is_advanced) {
            split = split || closed;
            if (!open) f.insert_at = static_cast<int64_t>(f.shape.size());
            open = true;
        } else {
            closed = open;
        }
        if (item.kind == IndexItem::kNewaxis) {
            f.shape.push_back(1);
            f.source.push_back(-1);
            continue;
        }
        const int64_t size = f.x.size(dim);
        int64_t start = 0, count = size, step = 1;
        if (item.kind == IndexItem::kInteger) {
            start = item.start < 0 ? item.start + size : item.start;
            count = 1;
            if (start < 0 || start >= size) {
                fail(ErrorKind::kIndex, "index",
                     "index %lld is out of range for axis %d with size %lld; it must be in [%lld, "
                     "%lld]",
                     ll(item.start), dim, ll(size), ll(-size), ll(size - 1));
            }
        } else if (item.kind == IndexItem::kSlice) {
            slice_range(item, size, &start, &count, &step);
        } else {
            f.advanced.push_back(item.tensor);
            f.advanced_at.push_back(static_cast<int64_t>(f.shape.size()));
        }
        if (item.kind != IndexItem::kInteger) {
            f.shape.push_back(count);
            f.source.push_back(dim);
        }
        f.starts.push_back(start);
        f.sizes.push_back(count);
        f.steps.push_back(step);
        f.whole = f.whole && count == size && step == 1;
        ++dim;
    }
    if (split) f.insert_at = 0;
    return f;
}

Tensor box(const IndexForm& f) { return reshape(slice(f.x, f.starts, f.sizes, f.steps), f.shape); }

// Dimensions of the view with those of the advanced part in front.
Dims advanced_first(const IndexForm& f) {
    Dims order(f.advanced_at);
    for (size_t i = 0; i < f.shape.size(); ++i) {
        if (std::ranges::find(f.advanced_at, static_cast<int64_t>(i)) == f.advanced_at.end())
            order.push_back(static_cast<int64_t>(i));
    }
    return order;
}

Dims inverse(const Dims& order) {
    Dims out(order.size(), 0);
    for (size_t i = 0; i < order.size(); ++i) out[order[i]] = static_cast<int64_t>(i);
    return out;
}

Dims advanced_shape(const IndexForm& f) {
    Dims shape;
    for (const Tensor& t : f.advanced) shape = broadcast_shapes("index", shape, t.shape());
    return shape;
}

// Order that takes a result with `count` leading advanced dimensions to one where they start at
// `insert_at`.
Dims place_advanced(size_t rank, size_t count, int64_t insert_at) {
    Dims order;
    for (int64_t i = 0; i < insert_at; ++i) order.push_back(static_cast<int64_t>(count) + i);
    for (size_t i = 0; i < count; ++i) order.push_back(static_cast<int64_t>(i));
    for (size_t i = count + insert_at; i < rank; ++i) order.push_back(static_cast<int64_t>(i));
    return order;
}

// Drops leading dimensions of size 1 that the target does not have, as NumPy's assignment does.
Tensor fit_rank(const Tensor& value, size_t rank) {
    Dims shape(value.shape());
    while (shape.size() > rank && shape[0] == 1) shape.erase(0);
    return shape.size() == value.shape().size() ? value : reshape(value, shape);
}

[[noreturn]] void fail_value(const Tensor& value, DimSpan shape) {
    fail(ErrorKind::kShape, "index_update",
         "a value of shape %s is assigned to a part of shape %s; it must have that shape or "
         "broadcast to it",
         format_shape(value.shape()).c_str(), format_shape(shape).c_str());
}

Tensor update_box(const IndexForm& f, const Tensor& value) {
    Tensor part = value;
    if (part.rank() > 0) {
        part = fit_rank(part, f.shape.size());
        if (!broadcastable_to(part.shape(), f.shape)) fail_value(value, f.shape);
        const int shift = static_cast<int>(f.shape.size()) - part.rank();
        Dims shape(f.sizes.size(), 1);
        for (size_t i = 0; i < f.source.size(); ++i) {
            const int at = static_cast<int>(i) - shift;
            if (f.source[i] >= 0 && at >= 0) shape[f.source[i]] = part.size(at);
        }
        part = reshape(part, shape);
    }
    std::vector<Tensor> starts;
    for (size_t i = 0; i < f.starts.size(); ++i)
        starts.push_back(int_scalar(f.sizes[i] == 0 ? 0 : f.starts[i]));
    return slice_update(f.x, part, starts, f.sizes, f.steps);
}

Tensor update_advanced(const IndexForm& f, const Tensor& value) {
    const Tensor view = box(f);
    const Dims order = advanced_first(f), lead = advanced_shape(f);
    Dims target(lead);  // of x[items], but with the advanced dimensions in front
    for (size_t i = f.advanced.size(); i < order.size(); ++i) target.push_back(f.shape[order[i]]);
    Tensor v = value.is_scalar() ? value : cast(value, f.x.dtype());
    if (v.rank() > 0) {
        const Dims placed = place_advanced(target.size(), lead.size(), f.insert_at);
        Dims shape;
        for (int64_t d : placed) shape.push_back(target[d]);
        v = fit_rank(v, shape.size());
        if (!broadcastable_to(v.shape(), shape)) fail_value(value, shape);
        v = permute(expand(v, shape), inverse(placed));
    }
    const Tensor updated =
        permute(scatter_nd(permute(view, order), f.advanced, v, false), inverse(order));
    if (f.whole) return reshape(updated, f.x.shape());
    return update_box(f, updated);
}

bool is_whole(const IndexItem& item) {
    return item.kind == IndexItem::kEllipsis ||
           (item.kind == IndexItem::kSlice && !item.has_start && !item.has_stop && !item.has_step);
}

}  // namespace

Tensor index(const Tensor& x, const IndexItem* items, int n) {
    const IndexForm f = resolve(x, items, n);
    const Tensor view = box(f);
    // x[:] is a view, too: another handle through which x can be written.
    if (f.advanced.empty()) return view.value() == x.value() ? alias(x) : view;
    const size_t count = advanced_shape(f).size();
    if (f.advanced.size() == 1) {
        const int64_t at = f.advanced_at[0];
        const Tensor out = take(view, f.advanced[0], at);
        if (at == f.insert_at) return out;
        Dims order;  // the new dimensions stand at `at`; they belong in front
        for (size_t i = 0; i < count; ++i) order.push_back(at + static_cast<int64_t>(i));
        for (int i = 0; i < out.rank(); ++i) {
            if (i < at || i >= at + static_cast<int64_t>(count)) order.push_back(i);
        }
        return permute(out, order);
    }
    const Tensor out = gather_nd(permute(view, advanced_first(f)), f.advanced);
    return permute(out, place_advanced(out.shape().size(), count, f.insert_at));
}

Tensor index_update(const Tensor& x, const IndexItem* items, int n, const Tensor& value) {
    // A mask and a value that does not vary along it need no positions, so nothing is waited for.
    if (n >= 1 && items[0].kind == IndexItem::kTensor && is_bool(items[0].tensor.dtype()) &&
        std::all_of(items + 1, items + n, is_whole)) {
        const Tensor& mask = items[0].tensor;
        const int rest = x.rank() - mask.rank();
        bool fits = rest >= 0 && value.rank() <= rest;
        for (int i = 0; fits && i < mask.rank(); ++i) fits = mask.size(i) == x.size(i);
        if (fits && broadcastable_to(value.shape(), DimSpan(x.shape()).subspan(mask.rank()))) {
            Dims shape(mask.shape());
            shape.resize(x.shape().size());
            for (int i = mask.rank(); i < x.rank(); ++i) shape[i] = 1;
            return where(reshape(mask, shape), value_operand("index_update", value, x), x);
        }
    }
    const IndexForm f = resolve(x, items, n);
    const Tensor out = f.advanced.empty() ? update_box(f, value) : update_advanced(f, value);
    return reshape(out, x.shape());
}

}  // namespace sn
