// Programs without reductions: each thread computes a few neighbouring points.
#include "backend/cuda/program_source.h"

#include <algorithm>

#include "backend/cuda/program_writer.h"

namespace sn::cuda {

namespace {

constexpr int64_t kMaxBlocks = int64_t{1} << 20;

class PointWriter : public ProgramWriter {
public:
    explicit PointWriter(const ProgramSpec& spec) : ProgramWriter(spec) {}
    ProgramSource write();

private:
    bool steps_by_one(const Operand& o) const { return o.strides.back() == 1; }
    std::string at(const Operand& o, const std::string& u) const;
    void choose_width();
    void write_loads();
    void write_stores();
    std::vector<std::string> args_of(int32_t v) const;

    int width_ = 1;  // points of a thread
};

// Sixteen bytes of the widest operand, or less where the code would be long.
void PointWriter::choose_width() {
    size_t widest = 1;
    for (const Operand& o : operands_)
        if (operand_level(o) == Level::kPoint) widest = std::max(widest, dtype_size(o.dtype));
    std::vector<int32_t> computed;
    for (size_t v = 0; v < dtypes_.size(); ++v)
        if (used_[v] && levels_[v] == Level::kPoint) computed.push_back(static_cast<int32_t>(v));
    width_ = unrolled(static_cast<int>(std::min<size_t>(16 / widest, 8)), weight(computed));
}

std::string PointWriter::at(const Operand& o, const std::string& u) const {
    const std::string p = "p" + o.name;
    if (o.strides.back() == 0) return p + "[0]";
    if (steps_by_one(o)) return p + "[" + u + "]";
    return p + "[" + u + " * args." + o.name + "_" + std::to_string(shape_.size() - 1) + "]";
}

std::vector<std::string> PointWriter::args_of(int32_t v) const {
    std::vector<std::string> args;
    for (int32_t a : instruction(v).args) {
        const bool array = is_input(a) && levels_[static_cast<size_t>(a)] == Level::kPoint;
        args.push_back(value(a) + (array ? "[u]" : ""));
    }
    return args;
}

void PointWriter::write_loads() {
    const std::string n = std::to_string(width_);
    std::vector<const Operand*> loaded;
    for (const Operand& o : operands_)
        if (!o.output && used_[static_cast<size_t>(o.number)] && operand_level(o) == Level::kPoint)
            loaded.push_back(&o);
    if (loaded.empty()) return;
    for (const Operand* o : loaded)
        line(std::string(compute_type(o->dtype)) + " " + value(o->number) + "[" + n + "];");
    if (width_ > 1) {
        open("if (whole)");
        for (const Operand* o : loaded) {
            if (!steps_by_one(*o)) continue;
            const std::string pack = std::string("Pack<") + element_type(o->dtype) + ", " + n + ">";
            line("const " + pack + " w" + o->name + " = *reinterpret_cast<const " + pack + "*>(p" +
                 o->name + ");");
        }
        line("SN_UNROLL(" + n + ")");
        open("for (int u = 0; u < " + n + "; ++u)");
        for (const Operand* o : loaded)
            line(value(o->number) + "[u] = widen(" +
                 (steps_by_one(*o) ? "w" + o->name + ".x[u]" : at(*o, "u")) + ");");
        close();
        otherwise();
    }
    // Points past the end repeat the first one: they are computed, and not stored.
    line("SN_UNROLL(" + n + ")");
    open("for (int u = 0; u < " + n + "; ++u)");
    line("const int at = u < count ? u : 0;");
    for (const Operand* o : loaded) line(value(o->number) + "[u] = widen(" + at(*o, "at") + ");");
    close();
    if (width_ > 1) close();
}

void PointWriter::write_stores() {
    const std::string n = std::to_string(width_);
    if (width_ > 1) {
        open("if (whole)");
        for (const Operand& o : operands_) {
            if (!o.output) continue;
            const std::string pack = std::string("Pack<") + element_type(o.dtype) + ", " + n + ">";
            if (steps_by_one(o)) {
                line("*reinterpret_cast<" + pack + "*>(p" + o.name + ") = w" + o.name + ";");
            } else {
                line("SN_UNROLL(" + n + ")");
                line("for (int u = 0; u < " + n + "; ++u) " + at(o, "u") + " = w" + o.name +
                     ".x[u];");
            }
        }
        otherwise();
    }
    line("SN_UNROLL(" + n + ")");
    open("for (int u = 0; u < " + n + "; ++u)");
    open("if (u < count)");
    for (const Operand& o : operands_)
        if (o.output) line(at(o, "u") + " = w" + o.name + ".x[u];");
    close();
    close();
    if (width_ > 1) close();
}

ProgramSource PointWriter::write() {
    collapse(false);
    find_levels();
    choose_width();
    const int rank = static_cast<int>(shape_.size());
    const int64_t columns = shape_.back(), lines = points(0, rank - 1);
    const int64_t per_line = divide_up(columns, width_), chunks = lines * per_line;
    narrow_ = chunks < (int64_t{1} << 31) - kMaxBlocks * 256 && columns < (int64_t{1} << 31);
    out_.blocks.x = static_cast<uint32_t>(std::min(divide_up(chunks, out_.threads), kMaxBlocks));

    size_member("chunks", chunks);
    size_member("columns", columns);
    bool wide = true;
    for (const Operand& o : operands_) {
        if (!o.output && !used_[static_cast<size_t>(o.number)]) continue;
        pointer_member(o);
        const int64_t step = static_cast<int64_t>(dtype_size(o.dtype)) * width_;
        if (width_ > 1 && steps_by_one(o)) out_.args.require_alignment(static_cast<size_t>(step));
        for (int d = 0; d < rank; ++d) {
            const int64_t stride = o.strides[static_cast<size_t>(d)];
            if (d < rank - 1 && steps_by_one(o)) wide = wide && stride % width_ == 0;
            if (stride != 0 && stride != 1) size_member(o.name + "_" + std::to_string(d), stride);
        }
    }
    if (width_ > 1) {
        member("long long wide");
        out_.args.add_wide(wide);
    }
    if (rank > 1) divider_member("per_line", per_line);
    for (int d = 1; d < rank - 1; ++d)
        divider_member("size" + std::to_string(d), shape_[static_cast<size_t>(d)]);

    write_numbers();
    const std::string n = std::to_string(width_);
    line("const Index chunks = static_cast<Index>(args.chunks);");
    line("const Index columns = static_cast<Index>(args.columns);");
    line("const Index step = static_cast<Index>(grid_stride());");
    open("for (Index chunk = static_cast<Index>(grid_index()); chunk < chunks; chunk += step)");
    if (rank > 1) {
        line("const Index line = quotient(chunk, args.per_line);");
        line("const Index column = (chunk - line * static_cast<Index>(args.per_line.size)) * " + n +
             ";");
        write_coordinates("line", "i", 0, rank - 1);
    } else {
        line("const Index column = chunk * " + n + ";");
    }
    line("const int count = columns - column < " + n +
         " ? static_cast<int>(columns - column) : " + n + ";");
    if (width_ > 1) line("const bool whole = args.wide && count == " + n + ";");
    for (const Operand& o : operands_) {
        if (!o.output && !used_[static_cast<size_t>(o.number)]) continue;
        if (!o.output && operand_level(o) == Level::kOnce) continue;
        const int64_t last = o.strides.back();
        std::string column;
        if (last == 1) column = " + column";
        if (last != 0 && last != 1)
            column =
                " + static_cast<int64_t>(column) * args." + o.name + "_" + std::to_string(rank - 1);
        line(std::string(o.output ? "" : "const ") + element_type(o.dtype) + "* p" + o.name +
             " = args." + o.name + offset(o, "i", 0, rank - 1) + column + ";");
    }
    for (int32_t v = 0; v < static_cast<int32_t>(dtypes_.size()); ++v) {
        if (levels_[static_cast<size_t>(v)] != Level::kRow || !used_[static_cast<size_t>(v)])
            continue;
        line(std::string("const ") + compute_type(dtypes_[static_cast<size_t>(v)]) + " " +
             value(v) + " = " +
             (is_input(v) ? "load(p" + operand_of(v).name + ")"
                          : expression(instruction(v), args_of(v))) +
             ";");
    }
    write_loads();
    for (const Operand& o : operands_)
        if (o.output)
            line(std::string("Pack<") + element_type(o.dtype) + ", " + n + "> w" + o.name + ";");
    line("SN_UNROLL(" + n + ")");
    open("for (int u = 0; u < " + n + "; ++u)");
    for (int32_t v = static_cast<int32_t>(spec_.inputs.size());
         v < static_cast<int32_t>(dtypes_.size()); ++v) {
        if (levels_[static_cast<size_t>(v)] != Level::kPoint || !used_[static_cast<size_t>(v)])
            continue;
        line(std::string("const ") + compute_type(dtypes_[static_cast<size_t>(v)]) + " " +
             value(v) + " = " + expression(instruction(v), args_of(v)) + ";");
    }
    for (const Operand& o : operands_) {
        if (!o.output) continue;
        const int32_t v = spec_.outputs[static_cast<size_t>(o.number)].value;
        const bool array = is_input(v) && levels_[static_cast<size_t>(v)] == Level::kPoint;
        line("w" + o.name + ".x[u] = narrow<" + element_type(o.dtype) + ">(" + value(v) +
             (array ? "[u]" : "") + ");");
    }
    close();
    write_stores();
    close();
    return finish();
}

}  // namespace

ProgramSource program_source(const ProgramSpec& spec) {
    for (const ProgramSpec::Instruction& i : spec.instructions)
        if (i.kind == ProgramSpec::Kind::kReduce) return row_program_source(spec);
    return PointWriter(spec).write();
}

}  // namespace sn::cuda
