#pragma once
// What the two forms of a program's source share: points (program_source.cpp) and rows with
// reductions (program_rows.cpp).
#include <set>
#include <string>
#include <vector>

#include "backend/cuda/program_source.h"

namespace sn::cuda {

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

class ProgramWriter {
public:
    explicit ProgramWriter(const ProgramSpec& spec);

protected:
    // A buffer in the collapsed loop space.
    struct Operand {
        bool output = false;
        int number = 0;  // of the input or the output
        DType dtype = DType::kF32;
        Dims strides;
        std::string name;  // of its pointer in the arguments
    };
    // How often a value changes: never, with the row (or line) of the loop space, with the point.
    enum class Level : uint8_t { kOnce, kRow, kPoint };

    // Dimensions of size 1 go, and neighbours become one where every operand steps through both as
    // through one. The leading ones may be visited in any order: they are sorted by the strides of
    // the first output, so that layouts which agree with it collapse.
    void collapse(bool has_rows);
    Level operand_level(const Operand& o) const;
    void find_levels();
    int64_t points(int from, int to) const;
    int lead() const { return static_cast<int>(shape_.size()) - row_dims_; }

    // ---- text
    void line(const std::string& text);
    void open(const std::string& text = "") {
        line(text.empty() ? "{" : text + " {");
        ++indent_;
    }
    void close() {
        --indent_;
        line("}");
    }
    void otherwise() {
        --indent_;
        line("} else {");
        ++indent_;
    }
    // A member of Args, and where its words come from: the caller adds those.
    void member(const std::string& declaration) { members_ += "    " + declaration + ";\n"; }
    void size_member(const std::string& name, int64_t value) {
        member("long long " + name);
        out_.args.add_constant(static_cast<uint64_t>(value));
    }
    void divider_member(const std::string& name, int64_t size);
    void pointer_member(const Operand& o);
    // Names like "i2" for the coordinates of dimensions [from, to), which it computes from `index`.
    void write_coordinates(const std::string& index, const std::string& prefix, int from, int to);
    // Sum of coordinates times strides; empty when all are 0.
    std::string offset(const Operand& o, const std::string& prefix, int from, int to) const;
    void write_numbers();  // values of level kOnce, before the loops
    std::string value(int32_t v) const { return "v" + std::to_string(v); }
    // The right side of an instruction, given the texts of its arguments.
    std::string expression(const ProgramSpec::Instruction& i, const std::vector<std::string>& args);
    std::string function_of(int tile_op, DType dtype);
    const ProgramSpec::Instruction& instruction(int32_t v) const {
        return spec_.instructions[static_cast<size_t>(v) - spec_.inputs.size()];
    }
    bool is_input(int32_t v) const { return v < static_cast<int32_t>(spec_.inputs.size()); }
    const Operand& operand_of(int32_t input) const {
        return operands_[static_cast<size_t>(operand_of_input_[static_cast<size_t>(input)])];
    }
    // About how many instructions of the machine the values take; decides how far loops unroll.
    int weight(const std::vector<int32_t>& values) const;
    int unrolled(int most, int weight) const;
    ProgramSource finish();

    const ProgramSpec& spec_;
    ProgramSource out_;
    Dims shape_;
    int row_dims_ = 0;
    std::vector<Operand> operands_;
    std::vector<int> operand_of_input_;
    std::vector<DType> dtypes_;  // by value
    std::vector<Level> levels_;
    std::vector<uint8_t> used_;
    bool narrow_ = true;  // indices have 32 bits
    std::string kernel_ = "SN_KERNEL(program, Args)";

private:
    std::string functions_, members_, body_;
    std::set<std::string> written_;
    bool math_ = false, special_ = false;
    int indent_ = 1;
};

ProgramSource row_program_source(const ProgramSpec& spec);

}  // namespace sn::cuda
