#include "backend/cpu/tile_steps.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "op/elementwise.h"
#include "op/op.h"

namespace sn::cpu {

StepList::StepList(const ProgramSpec& spec) {
    if (!match(spec)) steps_.clear();
}

bool StepList::match(const ProgramSpec& spec) {
    if (spec.product < 0 || spec.outputs.size() != 1 || spec.instructions.empty()) return false;
    dtype_ = spec.inputs[static_cast<size_t>(spec.product)].dtype;
    if (dtype_ != DType::kF32 && dtype_ != DType::kF64) return false;
    if (!find_kept(spec)) return false;
    int product = spec.product;  // the value that the steps so far give
    for (size_t i = 0; i < spec.instructions.size(); ++i) {
        if (product == kept_) steps_.push_back({TileStepKind::kKeep, {}});
        if (!instruct(spec, product, spec.instructions[i])) return false;
        product = static_cast<int>(spec.inputs.size() + i);
    }
    const ProgramSpec::Output& out = spec.outputs[0];
    if (out.value != product || out.dtype != dtype_) return false;
    if (out.strides[1] != 1 && spec.shape[1] != 1) return false;
    result_binding_ = out.binding;
    result_row_bytes_ = out.strides[0] * static_cast<int64_t>(dtype_size(dtype_));
    return true;
}

// A value of the line that a product takes beside the one before it; false: there are several.
bool StepList::find_kept(const ProgramSpec& spec) {
    int before = spec.product;
    for (size_t i = 0; i < spec.instructions.size(); ++i) {
        for (const int32_t value : spec.instructions[i].args) {
            const bool in_line =
                value == spec.product || value >= static_cast<int>(spec.inputs.size());
            if (!in_line || value == before || value == kept_) continue;
            if (kept_ >= 0) return false;
            kept_ = value;
        }
        before = static_cast<int>(spec.inputs.size() + i);
    }
    return true;
}

bool StepList::operand(const ProgramSpec& spec, int value, Operand* out) const {
    if (value >= static_cast<int>(spec.inputs.size()) || value == spec.product) return false;
    const ProgramSpec::Input& in = spec.inputs[static_cast<size_t>(value)];
    if (in.dtype != dtype_) return false;
    out->index = in.binding;
    if (in.scalar) {
        out->from = From::kScalar;
        return true;
    }
    if (in.strides[0] == 0 && in.strides[1] == 0) {
        out->from = From::kElement;
    } else if (in.strides[0] == 0 && in.strides[1] == 1) {
        out->from = From::kColumns;
    } else if (in.strides[1] == 1 || spec.shape[1] == 1) {
        out->from = From::kMatrix;
        out->row_bytes = in.strides[0] * static_cast<int64_t>(dtype_size(dtype_));
    } else {
        return false;
    }
    return true;
}

// Whether the last step is affine, with operand `first` and those behind it still free.
bool StepList::open(size_t first) const {
    if (steps_.empty() || steps_[steps_.size() - 1].kind != TileStepKind::kAffine) return false;
    for (size_t i = first; i < 3; ++i)
        if (steps_[steps_.size() - 1].of[i].from != From::kNothing) return false;
    return true;
}

void StepList::affine(size_t which, const Operand& of) {
    if (!open(which)) steps_.push_back({TileStepKind::kAffine, {}});
    steps_[steps_.size() - 1].of[which] = of;
}

bool StepList::instruct(const ProgramSpec& spec, int product, const ProgramSpec::Instruction& in) {
    if (in.kind != ProgramSpec::Kind::kElementwise || in.dtype != dtype_) return false;
    const int op = op_def(in.op).tile_op;
    if (op == kTile_multiply && kept_ >= 0 && kept_ != product &&
        ((in.args[0] == product && in.args[1] == kept_) ||
         (in.args[1] == product && in.args[0] == kept_))) {
        steps_.push_back({TileStepKind::kTimesKept, {}});
        return steps_.size() <= kMaxTileSteps;
    }
    // Sums and products commute, except for which of two NaNs they keep.
    const bool swapped = (op == kTile_add || op == kTile_multiply) && in.args[0] != product;
    const int32_t first = in.args[swapped ? 1 : 0];
    if (first != product) return false;
    Operand of[2];
    for (size_t i = 1; i < in.args.size(); ++i)
        if (i > 2 || !operand(spec, in.args[swapped ? i - 1 : i], &of[i - 1])) return false;
    const bool matrix = of[0].from == From::kMatrix;
    switch (op) {
        case kTile_subtract:
            if (matrix) return false;
            affine(0, of[0]);
            break;
        case kTile_multiply:
            if (matrix) return false;
            affine(1, of[0]);
            break;
        case kTile_add:
            if (!matrix && open(2))
                steps_[steps_.size() - 1].of[2] = of[0];
            else
                steps_.push_back(
                    {matrix ? TileStepKind::kAdd : TileStepKind::kBias, {of[0], {}, {}}});
            break;
        case kTile_divide:
            if (matrix) return false;
            steps_.push_back({TileStepKind::kDivide, {of[0], {}, {}}});
            break;
        case kTile_relu: steps_.push_back({TileStepKind::kRelu, {}}); break;
        case kTile_clip:
        case kTile_maximum:
        case kTile_minimum: {
            const Operand low = op == kTile_minimum ? Operand{From::kLow} : of[0];
            const Operand high = op == kTile_maximum   ? Operand{From::kHigh}
                                 : op == kTile_minimum ? of[0]
                                                       : of[1];
            for (const Operand& limit : {low, high})
                if (limit.from == From::kColumns || limit.from == From::kMatrix) return false;
            if (op == kTile_minimum && !steps_.empty()) {
                Step& before = steps_[steps_.size() - 1];
                if (before.kind == TileStepKind::kClip && before.of[1].from == From::kHigh) {
                    before.of[1] = high;
                    break;
                }
            }
            steps_.push_back({TileStepKind::kClip, {low, high, {}}});
            break;
        }
        default: return false;
    }
    return steps_.size() <= kMaxTileSteps;
}

TileOperand BoundSteps::cell(DType dtype, double value) {
    char* const to = cells_[cells_used_++];
    if (dtype == DType::kF64) {
        for (size_t i = 0; i < kCellBytes; i += sizeof value)
            std::memcpy(to + i, &value, sizeof value);
    } else {
        const auto narrow = static_cast<float>(value);
        for (size_t i = 0; i < kCellBytes; i += sizeof narrow)
            std::memcpy(to + i, &narrow, sizeof narrow);
    }
    return {to, 0, 0};
}

const TileSteps* BoundSteps::bind(const StepList& list, void* const* buffers,
                                  const Scalar* scalars) {
    if (list.empty()) return nullptr;
    const auto size = static_cast<int64_t>(dtype_size(list.dtype_));
    constexpr double kInf = std::numeric_limits<double>::infinity();
    // x - 0, x * 1 and x + -0 are x for every x.
    constexpr double kNeutral[3] = {0.0, 1.0, -0.0};
    const auto number = [&](const StepList::Operand& of, int i) {
        switch (of.from) {
            case StepList::From::kScalar: return scalars[of.index].as_double();
            case StepList::From::kElement:
                return list.dtype_ == DType::kF64
                           ? *static_cast<const double*>(buffers[of.index])
                           : double{*static_cast<const float*>(buffers[of.index])};
            case StepList::From::kHigh: return kInf;
            case StepList::From::kLow: return -kInf;
            default: return kNeutral[i];
        }
    };
    for (size_t s = 0; s < list.steps_.size(); ++s) {
        const StepList::Step& from = list.steps_[s];
        TileStep& to = steps_[s];
        to.kind = from.kind;
        if (from.kind == TileStepKind::kRelu || from.kind == TileStepKind::kKeep ||
            from.kind == TileStepKind::kTimesKept)
            continue;
        if (from.kind == TileStepKind::kClip) {
            const double low = number(from.of[0], 0), high = number(from.of[1], 1);
            to.of[0] = cell(list.dtype_, low);
            to.of[1] = cell(list.dtype_, std::isnan(low) ? low : high);
            continue;
        }
        for (int i = 0; i < (from.kind == TileStepKind::kAffine ? 3 : 1); ++i) {
            const StepList::Operand& of = from.of[i];
            if (of.from == StepList::From::kColumns || of.from == StepList::From::kMatrix)
                to.of[i] = {static_cast<const char*>(buffers[of.index]), of.row_bytes, size};
            else
                to.of[i] = cell(list.dtype_, number(of, i));
        }
    }
    bound_ = {steps_, static_cast<int>(list.steps_.size()),
              static_cast<char*>(buffers[list.result_binding_]), list.result_row_bytes_};
    return &bound_;
}

}  // namespace sn::cpu
