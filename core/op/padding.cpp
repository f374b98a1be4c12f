// Padding: with one value, which is the op `pad`, and with elements of the tensor itself.
#include <algorithm>

#include "op/api.h"
#include "op/movement.h"
#include "op/rules.h"

namespace sn {

Tensor pad(const Tensor& x, DimSpan low, DimSpan high, const Tensor& value) {
    static const OpId id = find_op("pad");
    Dims lo(low), hi(high), starts(lo.size(), 0), sizes(x.shape()), steps(lo.size(), 1);
    bool any = false;
    for (size_t i = 0; i < lo.size(); ++i) {  // a negative width crops
        starts[i] = std::max<int64_t>(-lo[i], 0);
        sizes[i] -= starts[i] + std::max<int64_t>(-hi[i], 0);
        if (sizes[i] < 0) {
            fail(ErrorKind::kShape, "pad",
                 "widths %s and %s crop more than shape %s has; negative widths must leave 0 or "
                 "more elements",
                 format_shape(low).c_str(), format_shape(high).c_str(),
                 format_shape(x.shape()).c_str());
        }
        lo[i] = std::max<int64_t>(lo[i], 0);
        hi[i] = std::max<int64_t>(hi[i], 0);
        any = any || lo[i] || hi[i];
    }
    const Tensor inner = slice(x, starts, sizes, steps);
    if (!any) return clone(inner);
    return record(id,
                  {inner, value.weak() ? value_operand("pad", value, x)
                                       : scalar_operand("pad", value, x.dtype())},
                  Attrs().ints(lo).ints(hi));
}

Tensor pad_mode(const Tensor& x, DimSpan low, DimSpan high, std::string_view mode) {
    Tensor out = x;
    // Negative widths crop: before a circle is closed, and after reflected or repeated elements
    // have been added, as in PyTorch.
    const bool crop_first = mode == "circular";
    const auto crop = [&](int axis) {
        const int64_t lo = std::max<int64_t>(-low[axis], 0), hi = std::max<int64_t>(-high[axis], 0);
        if (lo == 0 && hi == 0) return;
        if (lo + hi > out.size(axis)) {
            fail(ErrorKind::kShape, "pad",
                 "widths (%lld, %lld) of axis %d crop more than its size %lld; negative widths "
                 "must leave 0 or more elements",
                 ll(low[axis]), ll(high[axis]), axis, ll(x.size(axis)));
        }
        out = narrow(out, axis, lo, out.size(axis) - lo - hi);
    };
    for (int axis = 0; axis < x.rank(); ++axis) {
        if (crop_first) crop(axis);
        const int64_t n = out.size(axis);
        const int64_t lo = std::max<int64_t>(low[axis], 0), hi = std::max<int64_t>(high[axis], 0);
        if (lo == 0 && hi == 0) {
            if (!crop_first) crop(axis);
            continue;
        }
        const int64_t most = mode == "reflect" ? n - 1 : mode == "circular" ? n : INT64_MAX;
        if (lo > most || hi > most || n == 0) {
            fail(ErrorKind::kShape, "pad",
                 "widths (%lld, %lld) of axis %d do not fit mode '%.*s' with size %lld; at most "
                 "%lld elements can be added on a side; use mode='constant' for others",
                 ll(lo), ll(hi), axis, static_cast<int>(mode.size()), mode.data(), ll(n),
                 ll(n == 0 ? 0 : most));
        }
        std::vector<Tensor> parts;
        const int64_t axes[1] = {axis};
        const auto edge = [&](int64_t at, int64_t width) {
            Dims shape(out.shape());
            shape[axis] = width;
            return expand(narrow(out, axis, at, 1), shape);
        };
        if (lo > 0) {
            if (mode == "reflect")
                parts.push_back(flip(narrow(out, axis, 1, lo), axes));
            else if (mode == "circular")
                parts.push_back(narrow(out, axis, n - lo, lo));
            else
                parts.push_back(edge(0, lo));
        }
        parts.push_back(out);
        if (hi > 0) {
            if (mode == "reflect")
                parts.push_back(flip(narrow(out, axis, n - 1 - hi, hi), axes));
            else if (mode == "circular")
                parts.push_back(narrow(out, axis, 0, hi));
            else
                parts.push_back(edge(n - 1, hi));
        }
        out = concat(parts, axis);
        if (!crop_first) crop(axis);
    }
    return out;
}

}  // namespace sn
