#pragma once
// Epilogues that kernels do on their accumulators (TileSteps in epilogue.h): which programs are
// such, and their operands at a call.
#include "backend/backend.h"
#include "backend/cpu/epilogue.h"

namespace sn::cpu {

inline constexpr int kMaxTileSteps = 8;

// The steps of a program, or none when it is none: a line of additions, subtractions, products,
// quotients, relu and clip from the product to the only result, in f32 or f64, with operands per
// column, of the product's shape (only added), or single numbers. One value of the line may be kept
// and multiplied in later: x * clip(x + 3, 0, 6) / 6.
class StepList {
public:
    explicit StepList(const ProgramSpec& spec);
    bool empty() const { return steps_.empty(); }

private:
    friend class BoundSteps;
    enum class From : uint8_t {
        kNothing,  // leaves the sums as they are
        kScalar,
        kElement,  // of a buffer
        kColumns,
        kMatrix,
        kHigh,  // +inf
        kLow,   // -inf
    };
    struct Operand {
        From from = From::kNothing;
        int index = 0;  // scalar or binding
        int64_t row_bytes = 0;
    };
    struct Step {
        TileStepKind kind;
        Operand of[3];
    };
    bool match(const ProgramSpec& spec);
    bool operand(const ProgramSpec& spec, int value, Operand* out) const;
    bool find_kept(const ProgramSpec& spec);
    bool instruct(const ProgramSpec& spec, int product, const ProgramSpec::Instruction& in);
    bool open(size_t first) const;
    void affine(size_t which, const Operand& of);

    DType dtype_ = DType::kF32;
    SmallVec<Step, 4> steps_;
    int kept_ = -1;  // the value of the program that is kept
    int result_binding_ = 0;
    int64_t result_row_bytes_ = 0;
};

// Steps with the operands of one call. It must stay where it is while a kernel runs.
class BoundSteps {
public:
    // Null when there are no steps.
    const TileSteps* bind(const StepList& list, void* const* buffers, const Scalar* scalars);

private:
    static constexpr size_t kCellBytes = 64;  // the widest vector
    TileOperand cell(DType dtype, double value);

    TileSteps bound_;
    TileStep steps_[kMaxTileSteps];
    int cells_used_ = 0;
    alignas(kCellBytes) char cells_[3 * kMaxTileSteps][kCellBytes];
};

}  // namespace sn::cpu
