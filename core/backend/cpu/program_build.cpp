// The recording half of a tile program, and the loop space that it runs over.
#include <algorithm>
#include <numeric>

#include "backend/cpu/program_impl.h"
#include "base/error.h"

namespace sn::cpu {

struct ProgramBuilder::Impl {
    std::shared_ptr<Program> program = std::make_shared<Program>();

    int add(Value v) {
        program->values.push_back(v);
        return static_cast<int>(program->values.size()) - 1;
    }
    const Value& at(int value) const {
        SN_CHECK(value >= 0 && value < static_cast<int>(program->values.size()));
        return program->values[static_cast<size_t>(value)];
    }
    int add_operand(DType dtype, std::span<const int64_t> strides, int binding, bool output,
                    int value) {
        SN_CHECK(strides.size() == program->shape.size());
        program->operands.push_back(
            {binding, dtype, output, value, std::vector<int64_t>(strides.begin(), strides.end())});
        return static_cast<int>(program->operands.size()) - 1;
    }
};

ProgramBuilder::ProgramBuilder(std::span<const int64_t> shape, int row_dims)
    : impl_(std::make_unique<Impl>()) {
    SN_CHECK(shape.size() <= static_cast<size_t>(kMaxLoopDims));
    SN_CHECK(row_dims >= 0 && row_dims <= static_cast<int>(shape.size()));
    impl_->program->shape.assign(shape.begin(), shape.end());
    impl_->program->row_dims = row_dims;
}

ProgramBuilder::~ProgramBuilder() = default;

int ProgramBuilder::input(DType dtype, std::span<const int64_t> strides, int binding) {
    const int value = static_cast<int>(impl_->program->values.size());
    const int operand = impl_->add_operand(dtype, strides, binding, false, value);
    return impl_->add({ValueKind::kInput, dtype, dtype, Level::kFull, operand});
}

int ProgramBuilder::scalar(DType dtype, int scalar_binding) {
    return impl_->add({ValueKind::kScalar, dtype, dtype, Level::kScalar, scalar_binding});
}

int ProgramBuilder::apply(int tile_op, DType dtype, std::span<const int> args) {
    SN_CHECK(tile_op >= 0 && tile_op < kNumTileOps);
    SN_CHECK(static_cast<int>(args.size()) == tile_arity(tile_op));
    Value v{ValueKind::kApply, tile_result(tile_op, dtype), dtype};
    v.op = tile_op;
    v.num_args = static_cast<int>(args.size());
    for (size_t i = 0; i < args.size(); ++i) {
        const bool condition = i == 0 && kTileOpInfo[tile_op].result == TileResult::SELECT;
        // Runtime numbers meet f16 and bf16 in the compute type, unrounded.
        const Value& arg = impl_->at(args[i]);
        const DType want = condition ? DType::kBool : dtype;
        SN_CHECK(arg.dtype == want ||
                 (arg.kind == ValueKind::kScalar && arg.dtype == compute_dtype(want)));
        v.args[i] = args[i];
    }
    return impl_->add(v);
}

int ProgramBuilder::cast(int value, DType to) {
    if (impl_->at(value).dtype == to) return value;
    Value v{ValueKind::kCast, to, to};
    v.num_args = 1;
    v.args[0] = value;
    return impl_->add(v);
}

int ProgramBuilder::reduce(ReduceKind kind, int value) {
    const DType dtype = impl_->at(value).dtype;
    SN_CHECK(impl_->program->row_dims > 0);
    const bool logical = kind == ReduceKind::kAny || kind == ReduceKind::kAll;
    const bool mean = kind == ReduceKind::kMean || kind == ReduceKind::kVar;
    SN_CHECK(kind <= ReduceKind::kVar && (!logical || is_bool(dtype)) &&
             (!mean || is_float(dtype)));
    Value v{ValueKind::kReduce, dtype, dtype};
    v.op = static_cast<int>(kind);
    v.num_args = 1;
    v.args[0] = value;
    return impl_->add(v);
}

void ProgramBuilder::output(int value, std::span<const int64_t> strides, int binding) {
    impl_->add_operand(impl_->at(value).dtype, strides, binding, true, value);
}

int64_t ProgramBuilder::max_row(DType widest) {
    // A row and a few values of its length should stay in the second-level cache.
    return dtype_size(widest) > 4 ? 8192 : 16384;
}

std::shared_ptr<const Program> ProgramBuilder::finish() {
    Program& p = *impl_->program;
    // Only what outputs need is run.
    for (Operand& o : p.operands) {
        if (o.is_output) ++p.values[static_cast<size_t>(o.value)].uses;
    }
    for (size_t i = p.values.size(); i-- > 0;) {
        const Value& v = p.values[i];
        if (v.uses == 0) continue;
        for (int a = 0; a < v.num_args; ++a) {
            ++p.values[static_cast<size_t>(v.args[static_cast<size_t>(a)])].uses;
        }
    }
    p.main = lower(p, Form::kMain);
    return std::move(impl_->program);
}

const Lowered& Program::late() const {
    std::call_once(late_once_, [&] { late_ = lower(*this, Form::kLate); });
    return late_;
}

const Lowered& Program::block() const {
    std::call_once(block_once_, [&] {
        SN_CHECK(shape.size() == 2 && row_dims == 0);
        block_ = lower(*this, Form::kBlock);
    });
    return block_;
}

const Lowered& Program::rows() const {
    std::call_once(rows_once_, [&] {
        SN_CHECK(shape.size() == 2 && row_dims == 0);
        rows_ = lower(*this, Form::kRows);
    });
    return rows_;
}

namespace {

struct Dim {
    int64_t size;
    std::vector<int64_t> strides;  // one per operand
};

// Neighbours become one dimension when every operand steps through both as through one.
std::vector<Dim> merge_dims(const std::vector<Dim>& dims) {
    std::vector<Dim> out;
    for (const Dim& d : dims) {
        if (!out.empty()) {
            Dim& outer = out.back();
            bool fits = true;
            for (size_t i = 0; i < d.strides.size() && fits; ++i) {
                fits = outer.strides[i] == d.strides[i] * d.size;
            }
            if (fits) {
                outer.size *= d.size;
                outer.strides = d.strides;
                continue;
            }
        }
        out.push_back(d);
    }
    return out;
}

bool linear(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides,
            int64_t* stride) {
    *stride = 0;
    if (shape.empty()) return true;
    int64_t step = strides.back();
    *stride = step;
    for (size_t i = shape.size() - 1; i-- > 0;) {
        step *= shape[i + 1];
        if (strides[i] != step) return false;
    }
    return true;
}

int64_t product(const std::vector<int64_t>& v) {
    return std::accumulate(v.begin(), v.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

void collapse(const Program& program, Form form, Space* space, std::vector<View>* views) {
    const std::vector<Operand>& operands = program.operands;
    const int rank = static_cast<int>(program.shape.size());
    std::vector<Dim> batch, row;
    for (int d = 0; d < rank; ++d) {
        Dim dim{program.shape[static_cast<size_t>(d)], {}};
        if (dim.size == 1 && !is_block(form)) continue;
        for (const Operand& o : operands) dim.strides.push_back(o.strides[static_cast<size_t>(d)]);
        (d >= rank - program.row_dims ? row : batch).push_back(std::move(dim));
    }
    if (!is_block(form)) {
        // Rows may be visited in any order (and points, without reductions): the order of the first
        // output in memory. It changes no bit, since nothing is accumulated between rows.
        size_t order = operands.size();
        for (size_t i = 0; i < operands.size() && order == operands.size(); ++i) {
            if (operands[i].is_output) order = i;
        }
        if (order < operands.size()) {
            std::stable_sort(batch.begin(), batch.end(), [&](const Dim& a, const Dim& b) {
                return std::abs(a.strides[order]) > std::abs(b.strides[order]);
            });
        }
        batch = merge_dims(batch);
        row = merge_dims(row);
    }
    if (program.row_dims == 0 && !batch.empty()) {
        row.push_back(batch.back());
        batch.pop_back();
    }
    if (program.row_dims == 0) {
        // An operand that is transposed against the columns is read in square tiles, whose rows run
        // along the dimension in which it is contiguous: that one must be innermost.
        for (size_t i = 0; i < operands.size(); ++i) {
            if (row.empty() || std::abs(row[0].strides[i]) <= 1) continue;
            for (size_t d = 0; d < batch.size(); ++d) {
                if (batch[d].strides[i] != 1) continue;
                std::rotate(batch.begin() + static_cast<std::ptrdiff_t>(d),
                            batch.begin() + static_cast<std::ptrdiff_t>(d) + 1, batch.end());
                i = operands.size() - 1;
                break;
            }
        }
    }
    space->batch.clear();
    space->row.clear();
    for (const Dim& d : batch) space->batch.push_back(d.size);
    for (const Dim& d : row) space->row.push_back(d.size);
    space->rows = product(space->batch);
    space->cols = product(space->row);

    views->clear();
    for (size_t i = 0; i < operands.size(); ++i) {
        const Operand& o = operands[i];
        View v{o.binding, o.dtype, Level::kScalar, o.is_output, false, false, 0, 0, {}, {}};
        for (const Dim& d : batch) v.batch.push_back(d.strides[i]);
        for (const Dim& d : row) v.row.push_back(d.strides[i]);
        v.linear_rows = linear(space->batch, v.batch, &v.row_stride);
        v.linear_cols = linear(space->row, v.row, &v.col_stride);
        const auto moves = [](int64_t stride) { return stride != 0; };
        if (std::any_of(v.row.begin(), v.row.end(), moves)) {
            v.level = Level::kFull;
        } else if (std::any_of(v.batch.begin(), v.batch.end(), moves)) {
            v.level = Level::kRow;
        }
        views->push_back(std::move(v));
    }
}

}  // namespace sn::cpu
