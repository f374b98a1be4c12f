#include "backend/cuda/program_writer.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "op/elementwise.h"
#include "op/op.h"

namespace sn::cuda {

namespace {

// The expressions of the elementwise operations as they are written in their lists.
constexpr const char* kExpressions[kNumTileOps] = {
#define SN_EW1(name, cls, res, expression, ...) #expression,
#define SN_EW2(name, cls, res, expression, ...) #expression,
#define SN_EW3(name, cls, res, expression, ...) #expression,
// clang-format off: the order is that of the numbers
#include "op/elementwise_unary.inc"
#include "op/elementwise_binary.inc"
#include "op/elementwise_ternary.inc"
// clang-format on
#undef SN_EW1
#undef SN_EW2
#undef SN_EW3
};

// True when an expression calls a function that op/math_special.h defines.
bool calls_special(std::string_view expression) {
    const std::string_view header = source_text("math_special.h");
    constexpr std::string_view kPrefix = "math::";
    for (size_t at = expression.find(kPrefix); at != expression.npos;
         at = expression.find(kPrefix, at)) {
        at += kPrefix.size();
        const std::string name(expression.substr(at, expression.find('(', at) - at));
        if (header.find("(" + name + ", ") != header.npos ||
            header.find(" V " + name + "(") != header.npos) {
            return true;
        }
    }
    return false;
}

}  // namespace

const char* element_type(DType dtype) {
    constexpr const char* names[kNumDTypes] = {
        "bool",     "int8_t", "int16_t", "int32_t", "int64_t", "uint8_t",   "uint16_t",  "uint32_t",
        "uint64_t", "f16",    "bf16",    "float",   "double",  "complex64", "complex128"};
    return names[static_cast<int>(dtype)];
}
const char* compute_type(DType dtype) { return element_type(compute_dtype(dtype)); }

ProgramWriter::ProgramWriter(const ProgramSpec& spec)
    : spec_(spec), shape_(spec.shape), operand_of_input_(spec.inputs.size(), -1) {
    out_.entry = "program";
    for (size_t k = 0; k < spec.inputs.size(); ++k) {
        const ProgramSpec::Input& in = spec.inputs[k];
        dtypes_.push_back(in.dtype);
        if (in.scalar) continue;
        operand_of_input_[k] = static_cast<int>(operands_.size());
        operands_.push_back(
            {false, static_cast<int>(k), in.dtype, in.strides, "x" + std::to_string(k)});
    }
    for (const ProgramSpec::Instruction& i : spec.instructions) {
        const DType argument = dtypes_[static_cast<size_t>(i.args[0])];
        switch (i.kind) {
            case ProgramSpec::Kind::kElementwise:
                dtypes_.push_back(tile_result(op_def(i.op).tile_op, i.dtype));
                break;
            case ProgramSpec::Kind::kCast: dtypes_.push_back(i.dtype); break;
            case ProgramSpec::Kind::kReduce: dtypes_.push_back(argument); break;
        }
    }
    for (size_t k = 0; k < spec.outputs.size(); ++k) {
        const ProgramSpec::Output& out = spec.outputs[k];
        operands_.push_back(
            {true, static_cast<int>(k), out.dtype, out.strides, "y" + std::to_string(k)});
    }
    // Last to first: an instruction comes after its arguments.
    used_.assign(dtypes_.size(), 0);
    for (const ProgramSpec::Output& out : spec.outputs) used_[static_cast<size_t>(out.value)] = 1;
    for (size_t v = dtypes_.size(); v-- > spec.inputs.size();) {
        if (!used_[v]) continue;
        for (int32_t a : instruction(static_cast<int32_t>(v)).args)
            used_[static_cast<size_t>(a)] = 1;
    }
}

void ProgramWriter::collapse(bool has_rows) {
    const int rank = static_cast<int>(spec_.shape.size());
    const int lead_dims = rank - (has_rows ? spec_.row_dims : 0);
    std::vector<int> order;
    for (int d = 0; d < rank; ++d) order.push_back(d);
    for (const Operand& o : operands_) {
        if (!o.output) continue;
        std::stable_sort(order.begin(), order.begin() + lead_dims, [&](int a, int b) {
            return std::abs(o.strides[static_cast<size_t>(a)]) >
                   std::abs(o.strides[static_cast<size_t>(b)]);
        });
        break;
    }
    Dims shape;
    std::vector<Dims> strides(operands_.size());
    row_dims_ = 0;
    bool fresh = true;  // the next dimension begins a part of its own
    for (int k = 0; k < rank; ++k) {
        if (k == lead_dims) fresh = true;
        const size_t d = static_cast<size_t>(order[static_cast<size_t>(k)]);
        const int64_t size = spec_.shape[d];
        if (size == 1) continue;
        bool joins = !fresh;
        for (size_t o = 0; o < operands_.size() && joins; ++o)
            joins = strides[o].back() == operands_[o].strides[d] * size;
        if (joins) {
            shape.back() *= size;
            for (size_t o = 0; o < operands_.size(); ++o)
                strides[o].back() = operands_[o].strides[d];
            continue;
        }
        fresh = false;
        shape.push_back(size);
        row_dims_ += k >= lead_dims;
        for (size_t o = 0; o < operands_.size(); ++o) strides[o].push_back(operands_[o].strides[d]);
    }
    if (has_rows ? row_dims_ == 0 : shape.empty()) {
        shape.push_back(1);
        row_dims_ = has_rows;
        for (Dims& s : strides) s.push_back(0);
    }
    shape_ = shape;
    for (size_t o = 0; o < operands_.size(); ++o) operands_[o].strides = strides[o];
}

ProgramWriter::Level ProgramWriter::operand_level(const Operand& o) const {
    const int rank = static_cast<int>(shape_.size());
    // Of points, a row is the last dimension.
    const int split = row_dims_ == 0 ? rank - 1 : lead();
    Level level = Level::kOnce;
    for (int d = 0; d < rank; ++d) {
        if (o.strides[static_cast<size_t>(d)] == 0) continue;
        level = std::max(level, d < split ? Level::kRow : Level::kPoint);
    }
    return level;
}

void ProgramWriter::find_levels() {
    for (size_t v = 0; v < dtypes_.size(); ++v) {
        Level level = Level::kOnce;
        if (v < spec_.inputs.size()) {
            if (!spec_.inputs[v].scalar) level = operand_level(operand_of(static_cast<int32_t>(v)));
        } else {
            const ProgramSpec::Instruction& i = instruction(static_cast<int32_t>(v));
            for (int32_t a : i.args) level = std::max(level, levels_[static_cast<size_t>(a)]);
            if (i.kind == ProgramSpec::Kind::kReduce) level = Level::kRow;
        }
        levels_.push_back(level);
    }
}

int64_t ProgramWriter::points(int from, int to) const {
    int64_t n = 1;
    for (int d = from; d < to; ++d) n *= shape_[static_cast<size_t>(d)];
    return n;
}

void ProgramWriter::line(const std::string& text) {
    body_.append(static_cast<size_t>(indent_) * 4, ' ');
    body_ += text + "\n";
}

// Granlund and Montgomery, "Division by invariant integers using multiplication", 1994: for n below
// 2^31, (n + high half of n * magic) >> shift.
void ProgramWriter::divider_member(const std::string& name, int64_t size) {
    member("Divider " + name);
    out_.args.add_constant(static_cast<uint64_t>(size));
    uint64_t magic = 0, shift = 0;
    if (narrow_) {
        const uint64_t d = static_cast<uint64_t>(std::max<int64_t>(size, 1));
        while ((uint64_t{1} << shift) < d) ++shift;
        magic = ((((uint64_t{1} << shift) - d) << 32) / d) + 1;
    }
    out_.args.add_constant((magic & 0xffffffffu) | shift << 32);
}

void ProgramWriter::pointer_member(const Operand& o) {
    member(std::string(o.output ? "" : "const ") + element_type(o.dtype) + "* " + o.name);
    if (o.output)
        out_.args.add_buffer(spec_.outputs[static_cast<size_t>(o.number)].binding);
    else if (o.number == spec_.product)
        out_.args.add_product();
    else
        out_.args.add_buffer(spec_.inputs[static_cast<size_t>(o.number)].binding);
}

void ProgramWriter::write_coordinates(const std::string& index, const std::string& prefix, int from,
                                      int to) {
    std::string rest = index;
    for (int d = to - 1; d > from; --d) {
        const std::string n = std::to_string(d), left = prefix + "_rest" + n;
        line("const Index " + left + " = quotient(" + rest + ", args.size" + n + ");");
        line("const Index " + prefix + n + " = " + rest + " - " + left +
             " * static_cast<Index>(args.size" + n + ".size);");
        rest = left;
    }
    if (from < to) line("const Index " + prefix + std::to_string(from) + " = " + rest + ";");
}

std::string ProgramWriter::offset(const Operand& o, const std::string& prefix, int from,
                                  int to) const {
    std::string text;
    for (int d = from; d < to; ++d) {
        const int64_t stride = o.strides[static_cast<size_t>(d)];
        if (stride == 0) continue;
        const std::string n = std::to_string(d);
        text += " + ";
        text += stride == 1 ? prefix + n
                            : "static_cast<int64_t>(" + prefix + n + ") * args." + o.name + "_" + n;
    }
    return text;
}

std::string ProgramWriter::function_of(int tile_op, DType dtype) {
    const TileOpInfo& info = kTileOpInfo[tile_op];
    const std::string name = std::string(info.name) + "_" + dtype_name(dtype);
    if (!written_.insert(name).second) return name;
    const std::string type = compute_type(dtype);
    const bool half = dtype != compute_dtype(dtype);
    const bool test = info.result == TileResult::BOOL, select = info.result == TileResult::SELECT;
    std::string parameters;
    for (int i = 0; i < tile_arity(tile_op); ++i) {
        if (i) parameters += ", ";
        parameters += (select && i == 0 ? "bool" : type) + " " + "xyz"[i];
    }
    std::string result = kExpressions[tile_op];
    if (tile_op == kTile_nextafter && half) {
        result = std::string("next_half<") + element_type(dtype) + ">(x, y)";
    } else if (half && !test && !select) {
        result = std::string("round_to<") + element_type(dtype) + ">" + result;
    } else {
        result = "static_cast<" + (test ? "bool" : type) + ">" + result;
    }
    functions_ += "SN_DEVICE " + (test ? "bool" : type) + " " + name + "(" + parameters +
                  ") { return " + result + "; }\n";
    math_ |= result.find("math::") != result.npos;
    special_ = special_ || calls_special(result);
    return name;
}

std::string ProgramWriter::expression(const ProgramSpec::Instruction& i,
                                      const std::vector<std::string>& args) {
    std::string text;
    if (i.kind == ProgramSpec::Kind::kCast) {
        const DType from = dtypes_[static_cast<size_t>(i.args[0])];
        if (from == i.dtype) return args[0];
        text = std::string("cast_to<") + element_type(i.dtype) + ", " + element_type(from) + ">(";
    } else {
        text = function_of(op_def(i.op).tile_op, i.dtype) + "(";
    }
    for (size_t k = 0; k < args.size(); ++k) text += (k ? ", " : "") + args[k];
    return text + ")";
}

void ProgramWriter::write_numbers() {
    for (size_t v = 0; v < spec_.inputs.size(); ++v) {
        const ProgramSpec::Input& in = spec_.inputs[v];
        if (!in.scalar || !used_[v]) continue;
        const std::string name = "n" + std::to_string(v), type = compute_type(in.dtype);
        member("alignas(8) " + type + " " + name);
        out_.args.add_number(in.dtype, in.binding);
        line("const " + type + " " + value(static_cast<int32_t>(v)) + " = args." + name + ";");
    }
    for (int32_t v = 0; v < static_cast<int32_t>(dtypes_.size()); ++v) {
        if (levels_[static_cast<size_t>(v)] != Level::kOnce || !used_[static_cast<size_t>(v)])
            continue;
        const std::string left = std::string("const ") +
                                 compute_type(dtypes_[static_cast<size_t>(v)]) + " " + value(v) +
                                 " = ";
        if (!is_input(v)) {
            std::vector<std::string> args;
            for (int32_t a : instruction(v).args) args.push_back(value(a));
            line(left + expression(instruction(v), args) + ";");
        } else if (!spec_.inputs[static_cast<size_t>(v)].scalar) {
            line(left + "load(args." + operand_of(v).name + ");");
        }
    }
}

int ProgramWriter::weight(const std::vector<int32_t>& values) const {
    int total = 0;
    for (int32_t v : values) {
        if (is_input(v)) continue;
        const ProgramSpec::Instruction& i = instruction(v);
        const bool half =
            dtypes_[static_cast<size_t>(v)] != compute_dtype(dtypes_[static_cast<size_t>(v)]);
        total += half ? 3 : 1;
        if (i.kind != ProgramSpec::Kind::kElementwise) continue;
        const int op = op_def(i.op).tile_op;
        if (kTileOpInfo[op].dtypes == TileClass::FLOAT) total += tile_arity(op) == 1 ? 20 : 6;
    }
    return total;
}

int ProgramWriter::unrolled(int most, int weight) const {
    return std::max(1, weight > 200 ? 1 : weight > 100 ? std::min(most, 2) : most);
}

ProgramSource ProgramWriter::finish() {
    std::string& text = out_.text;
    text = "#include \"program.cuh\"\n";
    if (math_) {
        if (!special_) text += "#define SN_MATH_PLAIN\n";
        text += "#include \"op/math.h\"\n";
    }
    text += std::string("\ntypedef ") + (narrow_ ? "uint32_t" : "int64_t") + " Index;\n\n";
    text += functions_ + (functions_.empty() ? "" : "\n");
    text += "struct Args {\n" + members_ + "};\n\n" + kernel_ + " {\n" + body_ + "}\n";
    return std::move(out_);
}

}  // namespace sn::cuda
