// Reductions of strided operands. The tree is over the reduced axes' logical index; what differs is
// who is vectorised: elements of a row, neighbouring columns, or neither (a copy is reduced).
#include "backend/cpu/reduce.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <vector>

#include "backend/cpu/cpu_tables.h"
#include "base/error.h"
#include "engine/pool.h"

namespace sn::cpu {
namespace {

struct Axis {
    int64_t size, stride, out_stride;
};

enum class Mode : uint8_t { kRows, kColumns, kCopied };

constexpr int64_t kTaskBytes = 256 * 1024;  // about 15 us of memory traffic

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

class Reduction {
public:
    explicit Reduction(const ReduceCall& call);
    void run();

private:
    const ReduceCall& call_;
    const CpuTables& tables_ = cpu_tables();
    const ReduceKernels& reduce_ = *tables_.reduce;
    const TileKernels& tile_ = *tables_.tile;
    Accumulate what_ = Accumulate::kSum;
    bool arg_ = false;      // an index is wanted: first the value, then where it is
    DType acc_;             // what is accumulated: a compute dtype
    DType staged_;          // the dtype that the input is converted to, before the tile form
    bool convert_ = false;  // the leaves cannot read the input as it is
    int leaf_ = 0;          // dtype in the tables of leaves
    int64_t in_size_ = 4;
    ReduceKernels::Rows rows_ = nullptr;
    ReduceKernels::Cols columns_ = nullptr;
    std::vector<Axis> kept_, reduced_;  // kept: output order; columns taken out in kColumns
    int64_t n_ = 1;                     // elements per result
    int64_t outer_ = 1;                 // results, over the columns
    int64_t cols_ = 1;
    Axis col_{1, 0, 0};
    Mode mode_ = Mode::kCopied;
    int64_t part_ = 1, parts_ = 1;  // elements of a task's piece of n, and their number
    int64_t size_ = 4;

    // Results by part, then outer index, then column: [parts][outer][cols].
    char* value_ = nullptr;
    char* m2_ = nullptr;
    int64_t* index_ = nullptr;  // arg*: where the part has its value first

    void collapse();
    void choose_mode();
    void run_parts();
    void run_columns(int64_t begin, int64_t end, int64_t strips, int64_t strip);
    void run_rows(int64_t begin, int64_t end);
    void merge_parts();
    void finish();
    int64_t offset_of(int64_t outer) const;
    // Of an element that the leaves read from a copy.
    int64_t staged_size() const { return convert_ ? size_ : in_size_; }
    int64_t staging_bytes(int64_t count) const { return (std::min(n_, count) * 8 + 63) / 64 * 64; }
    void stage(void* dst, int64_t in_offset, int64_t first, int64_t count, char* raw) const;
    void stage_piece(char* dst, const char* src, int64_t stride, int64_t count, char* raw) const;
    void write(const char* from, DType dtype, void* out) const;
    char* plane(std::vector<std::unique_ptr<char[]>>& owned, int64_t element) const;
};

Reduction::Reduction(const ReduceCall& call) : call_(call) {
    const ReduceParts parts = reduce_parts(call.kind);
    what_ = parts.what;
    arg_ = parts.find;
    staged_ = arg_ ? call.dtype : call.out_dtype;
    if (what_ == Accumulate::kAny || what_ == Accumulate::kAll) staged_ = DType::kBool;
    SN_CHECK(call.kind < ReduceKind::kMean || call.kind > ReduceKind::kVar || is_float(staged_));
    acc_ = compute_dtype(staged_);
    size_ = static_cast<int64_t>(dtype_size(acc_));
    in_size_ = static_cast<int64_t>(dtype_size(call.dtype));
    const int w = static_cast<int>(what_), from = static_cast<int>(call.dtype);
    const bool halves = compute_dtype(call.dtype) != call.dtype && acc_ == DType::kF32 &&
                        (staged_ == call.dtype || staged_ == DType::kF32);
    const bool wide = what_ == Accumulate::kSum && reduce_.wide_rows[from] &&
                      (acc_ == DType::kI64 || acc_ == DType::kU64);
    convert_ = call.dtype != acc_ && !halves && !wide;
    leaf_ = halves ? from : static_cast<int>(acc_);
    rows_ = wide ? reduce_.wide_rows[from] : reduce_.rows[w][leaf_];
    columns_ = wide ? reduce_.wide_cols[from] : reduce_.cols[w][leaf_];
}

void Reduction::collapse() {
    int64_t out_step = 1;
    for (int d = call_.rank - 1; d >= 0; --d) {
        const bool is_reduced = call_.axes >> d & 1;
        Axis axis{call_.shape[d], call_.strides[d], 0};
        if (is_reduced) {
            n_ *= axis.size;
        } else {
            axis.out_stride = call_.out_strides ? call_.out_strides[d] : out_step;
            out_step *= axis.size;
            outer_ *= axis.size;
        }
        if (axis.size == 1) continue;
        std::vector<Axis>& list = is_reduced ? reduced_ : kept_;
        if (!list.empty()) {
            Axis& inner = list.back();
            if (axis.stride == inner.stride * inner.size &&
                (is_reduced || axis.out_stride == inner.out_stride * inner.size)) {
                inner.size *= axis.size;
                continue;
            }
        }
        list.push_back(axis);
    }
    std::reverse(kept_.begin(), kept_.end());
    std::reverse(reduced_.begin(), reduced_.end());
}

void Reduction::choose_mode() {
    if (n_ == 0) {  // nothing is read
        mode_ = Mode::kRows;
        return;
    }
    const bool contiguous = !reduced_.empty() && reduced_.back().stride == 1;
    if (!contiguous || reduced_.back().size < 8) {
        for (size_t i = 0; i < kept_.size(); ++i) {
            if (kept_[i].stride != 1 || kept_[i].size < 8) continue;
            mode_ = Mode::kColumns;
            col_ = kept_[i];
            kept_.erase(kept_.begin() + static_cast<std::ptrdiff_t>(i));
            cols_ = col_.size;
            outer_ /= cols_;
            break;
        }
    }
    if (mode_ != Mode::kColumns && reduced_.size() <= 1 && !convert_ &&
        (reduced_.empty() || contiguous)) {
        mode_ = Mode::kRows;
    }
    part_ = mode_ == Mode::kColumns ? kReduceBlock : kReduceChunk;
    parts_ = std::max<int64_t>(1, ceil_div(n_, part_));
}

int64_t Reduction::offset_of(int64_t outer) const {
    int64_t offset = 0;
    for (size_t d = kept_.size(); d-- > 0 && outer;) {
        offset += outer % kept_[d].size * kept_[d].stride;
        outer /= kept_[d].size;
    }
    return offset;
}

void copy_strided(char* dst, const char* src, int64_t stride, int64_t count, int64_t size) {
    const auto as = [&](auto zero) {
        using T = decltype(zero);
        T* to = reinterpret_cast<T*>(dst);
        const T* from = reinterpret_cast<const T*>(src);
        for (int64_t i = 0; i < count; ++i) to[i] = from[i * stride];
    };
    if (stride == 1) {
        std::memcpy(dst, src, static_cast<size_t>(count * size));
        return;
    }
    switch (size) {
        case 1: as(uint8_t{}); break;
        case 2: as(uint16_t{}); break;
        case 4: as(uint32_t{}); break;
        default: as(uint64_t{});
    }
}

// Elements at a stride -> contiguous, in the form that the leaves read.
void Reduction::stage_piece(char* dst, const char* src, int64_t stride, int64_t count,
                            char* raw) const {
    if (!convert_) {  // in the memory's form, which the leaves read
        copy_strided(dst, src, stride, count, in_size_);
        return;
    }
    const int from = static_cast<int>(call_.dtype);
    const DType tile_dtype = compute_dtype(call_.dtype);
    const bool cast =
        call_.dtype != staged_ && !(compute_dtype(staged_) == tile_dtype && is_float(staged_));
    char* tile = cast ? raw : dst;
    if (stride == 1)
        tile_.load[from](tile, src, count);
    else
        tile_.gather[from](tile, src, stride, count);
    if (cast) tile_.cast[from][static_cast<int>(staged_)](dst, tile, count);
}

// The logical elements [first, first + count) of one result. Where the axis before the innermost is
// dense and that is not, whole lines of the innermost are turned round by blocks: gathered one by
// one they would fetch a line of memory for every element.
void Reduction::stage(void* dst, int64_t in_offset, int64_t first, int64_t count, char* raw) const {
    const char* in = static_cast<const char*>(call_.in);
    const int64_t in_size = in_size_;
    char* to = static_cast<char*>(dst);
    const Axis inner = reduced_.empty() ? Axis{1, 1, 0} : reduced_.back();
    const size_t dims = reduced_.size();
    const bool turned = dims > 1 && reduced_[dims - 2].stride == 1 && inner.stride != 1;
    const auto turn = tile_.transpose[std::countr_zero(static_cast<uint64_t>(in_size))];
    while (count > 0) {
        int64_t rest = first / inner.size, offset = in_offset;
        const int64_t start = first % inner.size;
        for (size_t d = reduced_.empty() ? 0 : reduced_.size() - 1; d-- > 0;) {
            offset += rest % reduced_[d].size * reduced_[d].stride;
            rest /= reduced_[d].size;
        }
        const int64_t line = first / inner.size % (turned ? reduced_[dims - 2].size : 1);
        const int64_t lines =
            turned && start == 0 ? std::min(count / inner.size, reduced_[dims - 2].size - line) : 0;
        if (lines > 1) {
            const int64_t now = lines * inner.size;
            char* memory_form = convert_ ? raw + staging_bytes(part_) : to;
            turn(memory_form, in + offset * in_size, inner.size, lines, inner.size * in_size,
                 inner.stride * in_size);
            if (convert_) stage_piece(to, memory_form, 1, now, raw);
            to += now * staged_size();
            first += now;
            count -= now;
            continue;
        }
        const int64_t now = std::min(count, inner.size - start);
        stage_piece(to, in + (offset + start * inner.stride) * in_size, inner.stride, now, raw);
        to += now * staged_size();
        first += now;
        count -= now;
    }
}

void Reduction::run_rows(int64_t begin, int64_t end) {
    const char* in = static_cast<const char*>(call_.in);
    // A copy of as many results' elements as fit a chunk, and room for their unconverted form.
    const int64_t longest = std::min(n_, part_);
    const int64_t group =
        std::max<int64_t>(1, std::min<int64_t>(64, 4096 / std::max<int64_t>(longest, 1)));
    char* copy = nullptr;
    char* raw = nullptr;
    if (mode_ == Mode::kCopied) {
        // The form between memory and the leaves, and turned lines in the form of memory.
        copy = static_cast<char*>(thread_scratch(
            static_cast<size_t>(longest * group * staged_size() + 2 * staging_bytes(part_) + 128)));
        raw = copy + (longest * group * staged_size() + 63) / 64 * 64;
    }
    for (int64_t unit = begin; unit < end;) {
        const int64_t part = unit / outer_, outer = unit % outer_;
        const int64_t first = part * part_, count = std::min(part_, n_ - first);
        int64_t rows = std::min(end - unit, outer_ - outer);
        const void* x;
        int64_t stride = count;
        if (mode_ == Mode::kRows) {
            // Results that lie along the last kept axis have one stride.
            const int64_t run = kept_.empty() ? 1 : kept_.back().size - outer % kept_.back().size;
            rows = std::min(rows, run);
            stride = kept_.empty() ? 0 : kept_.back().stride;
            x = in + (offset_of(outer) + first) * in_size_;
        } else {
            rows = std::min(rows, group);
            for (int64_t r = 0; r < rows; ++r) {
                stage(copy + r * count * staged_size(), offset_of(outer + r), first, count, raw);
            }
            x = copy;
        }
        // An index is looked for while the rows are in cache.
        if (arg_) rows = std::min(rows, std::max<int64_t>(1, 65536 / (count * in_size_)));
        rows_(x, stride, rows, count, value_ + unit * size_, m2_ ? m2_ + unit * size_ : nullptr);
        if (arg_) reduce_.find[leaf_](x, stride, rows, count, value_ + unit * size_, index_ + unit);
        unit += rows;
    }
}

void Reduction::run_columns(int64_t begin, int64_t end, int64_t strips, int64_t strip) {
    const int64_t longest = std::min(n_, part_);
    const int64_t in_size = in_size_;
    const int64_t accumulators = cols_scratch(acc_);
    const int64_t staged = convert_ ? longest * strip * size_ : 0;
    char* scratch = static_cast<char*>(thread_scratch(
        static_cast<size_t>(2 * longest * 8 + accumulators + staged + strip * 8 + 256)));
    int64_t* offsets = reinterpret_cast<int64_t*>(scratch);
    int64_t* dense = offsets + longest;
    char* acc = scratch + (2 * longest * 8 + 63) / 64 * 64;
    char* copy = acc + accumulators;
    char* raw = copy + (staged + 63) / 64 * 64;
    for (int64_t i = 0; convert_ && i < longest; ++i) dense[i] = i * strip;
    int64_t have = -1;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t s = unit % strips, row = unit / strips;  // row: part * outer + outer index
        const int64_t part = row / outer_, outer = row % outer_;
        const int64_t first = part * part_, count = std::min(part_, n_ - first);
        if (part != have) {
            have = part;
            int64_t index[64] = {}, offset = 0, rest = first;
            for (size_t a = reduced_.size(); a-- > 0;) {
                index[a] = rest % reduced_[a].size;
                rest /= reduced_[a].size;
                offset += index[a] * reduced_[a].stride;
            }
            for (int64_t i = 0; i < count; ++i) {
                offsets[i] = offset;
                for (size_t a = reduced_.size(); a-- > 0;) {
                    offset += reduced_[a].stride;
                    if (++index[a] < reduced_[a].size) break;
                    offset -= reduced_[a].size * reduced_[a].stride;
                    index[a] = 0;
                }
            }
        }
        const int64_t col = s * strip, width = std::min(strip, cols_ - col);
        const int64_t at = row * cols_ + col;
        const char* base = static_cast<const char*>(call_.in) + (offset_of(outer) + col) * in_size;
        const int64_t* walk = offsets;
        if (convert_) {
            for (int64_t i = 0; i < count; ++i) {
                stage_piece(copy + i * strip * size_, base + offsets[i] * in_size, 1, width, raw);
            }
            base = copy;
            walk = dense;
        }
        columns_(base, walk, count, width, acc, value_ + at * size_,
                 m2_ ? m2_ + at * size_ : nullptr);
        if (arg_)
            reduce_.find_cols[leaf_](base, walk, count, width, value_ + at * size_, index_ + at);
    }
}

void Reduction::run_parts() {
    const int64_t longest = std::max<int64_t>(1, std::min(n_, part_));
    if (mode_ != Mode::kColumns) {
        const int64_t grain = std::max<int64_t>(1, kTaskBytes / (longest * size_));
        parallel_for(parts_ * outer_, grain, [&](int64_t b, int64_t e) { run_rows(b, e); });
        return;
    }
    // Wide strips stream best; narrower ones where there would be too few tasks, or where a block
    // has to stay in the second-level cache because it is read twice or copied.
    int64_t strip = kReduceStrip;
    if (what_ == Accumulate::kMoments || arg_) strip = 512 / size_;
    if (convert_) strip = 64;
    while (strip > 64 && parts_ * outer_ * ceil_div(cols_, strip) < 8 &&
           longest * strip * size_ > kTaskBytes / 2) {
        strip /= 2;
    }
    strip = std::min(strip, cols_);
    const int64_t strips = ceil_div(cols_, strip);
    const int64_t grain = std::max<int64_t>(1, kTaskBytes / (longest * strip * size_));
    parallel_for(parts_ * outer_ * strips, grain,
                 [&](int64_t b, int64_t e) { run_columns(b, e, strips, strip); });
}

// The pairwise tree over parts, in place, towards part 0.
void Reduction::merge_parts() {
    const int64_t results = outer_ * cols_;
    if (parts_ == 1) return;
    const size_t plane_bytes = static_cast<size_t>(parts_ * results * size_);
    std::unique_ptr<char[]> before;  // merging overwrites the values of parts
    if (arg_) {
        before.reset(new char[plane_bytes]);
        std::memcpy(before.get(), value_, plane_bytes);
    }
    const auto merge = reduce_.merge[static_cast<int>(what_)][static_cast<int>(acc_)];
    parallel_for(results, std::max<int64_t>(64, 65536 / parts_), [&](int64_t begin, int64_t end) {
        for (int64_t width = 1; width < parts_; width *= 2) {
            for (int64_t p = 0; p + width < parts_; p += 2 * width) {
                const int64_t a = (p * results + begin) * size_;
                const int64_t b = ((p + width) * results + begin) * size_;
                const int64_t right = std::min(n_, (p + 2 * width) * part_);
                merge(value_ + a, m2_ ? m2_ + a : nullptr, value_ + b, m2_ ? m2_ + b : nullptr,
                      end - begin, width * part_, right - (p + width) * part_);
            }
        }
    });
    if (!arg_) return;
    // The first part that has the value.
    std::vector<int64_t> has(static_cast<size_t>(results)), found(index_, index_ + results);
    for (int64_t p = parts_; p-- > 0;) {
        reduce_.find[static_cast<int>(acc_)](before.get() + p * results * size_, 1, results, 1,
                                             value_, has.data());
        for (int64_t r = 0; r < results; ++r)
            if (has[static_cast<size_t>(r)] == 0)
                found[static_cast<size_t>(r)] = p * part_ + index_[p * results + r];
    }
    std::memcpy(index_, found.data(), static_cast<size_t>(results) * 8);
}

// [outer][cols] in the tile form of `dtype` -> the output's layout and memory form.
void Reduction::write(const char* from, DType dtype, void* out) const {
    const int64_t from_size = static_cast<int64_t>(tile_element_size(dtype));
    const int64_t to_size = static_cast<int64_t>(dtype_size(dtype));
    const auto store = [&](char* to, int64_t stride, const char* x, int64_t count) {
        if (stride == 1)
            tile_.store[static_cast<int>(dtype)](to, x, count);
        else
            tile_.scatter[static_cast<int>(dtype)](to, stride, x, count);
    };
    char* to = static_cast<char*>(out);
    const Axis inner = mode_ == Mode::kColumns ? col_
                       : kept_.empty()         ? Axis{1, 0, 1}
                                               : kept_.back();
    const size_t dims = mode_ == Mode::kColumns || kept_.empty() ? kept_.size() : kept_.size() - 1;
    const int64_t runs = outer_ * cols_ / inner.size;
    for (int64_t r = 0; r < runs; ++r) {
        int64_t rest = r, offset = 0;
        for (size_t d = dims; d-- > 0;) {
            offset += rest % kept_[d].size * kept_[d].out_stride;
            rest /= kept_[d].size;
        }
        store(to + offset * to_size, inner.out_stride, from + r * inner.size * from_size,
              inner.size);
    }
}

void Reduction::finish() {
    const int d = static_cast<int>(acc_);
    const int64_t results = outer_ * cols_;
    if (arg_) {
        write(reinterpret_cast<const char*>(index_), DType::kI64, call_.out);
        return;
    }
    const double n = static_cast<double>(n_);
    const auto round_and_write = [&](char* plane, void* out) {
        if (acc_ != staged_) tile_.cast[d][static_cast<int>(staged_)](plane, plane, results);
        write(plane, staged_, out);
    };
    if (call_.kind == ReduceKind::kMean) reduce_.divide[d](value_, results, n);
    if (call_.kind == ReduceKind::kVar) {
        reduce_.divide[d](m2_, results, std::max(0.0, n - call_.correction));
        round_and_write(m2_, call_.out);
        if (!call_.out_mean) return;
        reduce_.divide[d](value_, results, n);
        round_and_write(value_, call_.out_mean);
        return;
    }
    round_and_write(value_, call_.out);
}

char* Reduction::plane(std::vector<std::unique_ptr<char[]>>& owned, int64_t element) const {
    owned.emplace_back(new char[static_cast<size_t>(parts_ * outer_ * cols_ * element) + 64]);
    char* p = owned.back().get();
    return p + (64 - reinterpret_cast<uintptr_t>(p) % 64) % 64;
}

void Reduction::run() {
    collapse();
    if (outer_ == 0) return;
    if (n_ == 0 && (call_.kind == ReduceKind::kMax || call_.kind == ReduceKind::kMin || arg_)) {
        fail(ErrorKind::kValue, arg_ ? "argmax" : "max",
             "there is nothing to reduce (a reduced axis has size 0); max, min, argmax and argmin "
             "have no value for nothing; give the axis at least one element");
    }
    choose_mode();
    std::vector<std::unique_ptr<char[]>> owned;
    value_ = plane(owned, size_);
    if (what_ == Accumulate::kMoments) m2_ = plane(owned, size_);
    if (arg_) index_ = reinterpret_cast<int64_t*>(plane(owned, 8));
    run_parts();
    merge_parts();
    finish();
}

}  // namespace

void reduce(const ReduceCall& call) { Reduction(call).run(); }

}  // namespace sn::cpu
