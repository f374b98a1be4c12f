// Programs with reductions along rows, by the tree of design note 001.
//
// Sixteen threads, a group, execute the lanes of the tree: lane l takes elements l, l + 16, ... of
// a block of 1,024. A row of more blocks is shared by several groups, its parts, each of which
// takes a run of neighbouring blocks; runs and parts are powers of two, so a part's result is a
// node of the tree. Short rows share a thread block.
//
// Reductions that depend on each other make phases: a loop over the row's elements each. What a
// phase computes and a later one needs is kept in memory of the block, where each thread finds its
// own elements again, or, where a row does not fit, computed again.
#include <algorithm>
#include <bit>
#include <functional>

#include "backend/cpu/program.h"
#include "backend/cuda/program_writer.h"
#include "base/error.h"
#include "op/op.h"

namespace sn::cuda {

namespace {

using cpu::ReduceKind;

constexpr int64_t kBlock = 1024, kLanes = 16;
constexpr int64_t kSharedBytes = 48 << 10;  // what every device gives without being asked
constexpr int64_t kFewBlocks = 264;         // thread blocks that fill a large device about twice

class RowWriter : public ProgramWriter {
public:
    explicit RowWriter(const ProgramSpec& spec) : ProgramWriter(spec) {}
    ProgramSource write();

private:
    struct Kept {
        int first = -1, last = -1;  // phases
        int place = -1;
    };
    struct Place {
        int size = 0;       // bytes of an element
        int free_from = 0;  // phase
    };

    Level level(int32_t v) const { return levels_[static_cast<size_t>(v)]; }
    bool is_point(int32_t v) const { return level(v) == Level::kPoint; }
    ReduceKind kind(int32_t v) const {
        return static_cast<ReduceKind>(op_def(instruction(v).op).reduce_kind);
    }
    int32_t argument(int32_t v) const { return instruction(v).args[0]; }
    bool is_variance(int32_t v) const { return kind(v) == ReduceKind::kVar; }
    // Rows of one block: a text of its own, without parts.
    bool single() const { return blocks_ == 1; }
    const char* type(int32_t v) const { return compute_type(dtypes_[static_cast<size_t>(v)]); }
    std::string partial(int32_t v) const {
        return is_variance(v) ? std::string("Moments<") + type(v) + ">" : type(v);
    }
    int64_t partial_bytes(int32_t v) const {
        const int64_t size =
            static_cast<int64_t>(dtype_size(compute_dtype(dtypes_[static_cast<size_t>(v)])));
        return is_variance(v) ? 2 * size + 8 : size;
    }

    void find_phases();
    void find_kept();
    bool choose_threads();
    // Where a value comes from by conversions to no narrower dtypes, which are not worth keeping.
    int32_t root_of(int32_t v) const {
        while (!is_input(v) && instruction(v).kind == ProgramSpec::Kind::kCast &&
               is_point(argument(v)) &&
               dtype_size(dtypes_[static_cast<size_t>(argument(v))]) <=
                   dtype_size(dtypes_[static_cast<size_t>(v)]))
            v = argument(v);
        return v;
    }
    std::vector<int32_t> needed(int phase, const std::vector<int32_t>& targets) const;
    bool from_memory(int32_t v, int phase) const {
        return keep_ && kept_[static_cast<size_t>(v)].place >= 0 &&
               kept_[static_cast<size_t>(v)].first < phase;
    }
    std::string element_offset(const Operand& o) const;
    void write_elements(int phase, bool again, const std::vector<int32_t>& targets,
                        const std::function<void()>& consume);
    void write_phase(int phase);
    void write_results(int phase);
    void write_row_values(int phase);
    void write_row_outputs();
    void add_members();

    std::vector<int> phase_;  // by value: the first in which it can be computed
    std::vector<std::vector<int32_t>> reductions_;  // by phase; without the twins of variances
    std::vector<int32_t> twin_;                     // by value: a mean's variance, or -1
    std::vector<int32_t> point_outputs_;            // outputs that are written in the last phase
    int phases_ = 0;
    bool keep_ = true;
    std::vector<Kept> kept_;
    std::vector<Place> places_;
    int64_t rows_ = 0, columns_ = 0, blocks_ = 0, parts_ = 1, run_ = 1, slots_ = 1, stride_ = 0;
    int64_t partials_ = 0;  // bytes before the kept values
};

// A value that depends on a reduction can be computed in the phase after it.
void RowWriter::find_phases() {
    phase_.assign(dtypes_.size(), 0);
    twin_.assign(dtypes_.size(), -1);
    std::vector<int32_t> all;
    for (int32_t v = static_cast<int32_t>(spec_.inputs.size());
         v < static_cast<int32_t>(dtypes_.size()); ++v) {
        int& phase = phase_[static_cast<size_t>(v)];
        for (int32_t a : instruction(v).args)
            phase = std::max(phase, phase_[static_cast<size_t>(a)]);
        if (instruction(v).kind != ProgramSpec::Kind::kReduce) continue;
        if (used_[static_cast<size_t>(v)]) all.push_back(v);
        ++phase;
    }
    for (int32_t v : all) {
        if (kind(v) != ReduceKind::kMean) continue;
        for (int32_t w : all)
            if (is_variance(w) && argument(w) == argument(v)) twin_[static_cast<size_t>(v)] = w;
    }
    for (int32_t v : all) {
        const size_t phase = static_cast<size_t>(phase_[static_cast<size_t>(v)] - 1);
        if (reductions_.size() <= phase) reductions_.resize(phase + 1);
        if (twin_[static_cast<size_t>(v)] < 0) reductions_[phase].push_back(v);
    }
    // Outputs are written last: they may lie over inputs that earlier phases read.
    int last = static_cast<int>(reductions_.size()) - 1;
    for (const Operand& o : operands_) {
        if (!o.output) continue;
        const int32_t v = spec_.outputs[static_cast<size_t>(o.number)].value;
        if (operand_level(o) != Level::kPoint && !is_point(v)) continue;
        point_outputs_.push_back(o.number);
        last = std::max(last, phase_[static_cast<size_t>(v)]);
    }
    if (!point_outputs_.empty() && last < static_cast<int>(reductions_.size()))
        for (int32_t v : reductions_[static_cast<size_t>(last)])
            if (is_variance(v)) {  // reads its operand a second time
                ++last;
                break;
            }
    phases_ = std::max(last + 1, static_cast<int>(reductions_.size()));
    reductions_.resize(static_cast<size_t>(phases_));
}

// The values along the row that a loop over it computes for `targets`, in order: what an earlier
// phase kept ends the search.
std::vector<int32_t> RowWriter::needed(int phase, const std::vector<int32_t>& targets) const {
    std::vector<uint8_t> seen(dtypes_.size(), 0);
    for (int32_t t : targets) seen[static_cast<size_t>(t)] = is_point(t);
    std::vector<int32_t> found;
    for (int32_t v = static_cast<int32_t>(dtypes_.size()); v-- > 0;) {
        if (!seen[static_cast<size_t>(v)]) continue;
        found.push_back(v);
        if (is_input(v) || from_memory(v, phase)) continue;
        for (int32_t a : instruction(v).args) seen[static_cast<size_t>(a)] |= is_point(a);
    }
    std::reverse(found.begin(), found.end());
    return found;
}

// What several loops need, from the first to the last of them. A place is used again from the phase
// that reads it last: there a thread reads an element before it writes it.
void RowWriter::find_kept() {
    kept_.assign(dtypes_.size(), {});
    std::vector<int> twice(dtypes_.size(), -1);  // the phase that reads it in two loops
    const auto need = [&](int phase, int32_t target) {
        std::vector<int32_t> stack = {target};
        while (!stack.empty()) {
            const int32_t v = stack.back();
            stack.pop_back();
            if (!is_point(v)) continue;
            Kept& k = kept_[static_cast<size_t>(v)];
            k.last = phase;
            if (k.first >= 0 && root_of(v) == v) continue;  // it is computed once
            if (k.first < 0) k.first = phase;
            if (is_input(v)) continue;
            for (int32_t a : instruction(v).args) stack.push_back(a);
        }
    };
    for (int phase = 0; phase < phases_; ++phase) {
        for (int32_t v : reductions_[static_cast<size_t>(phase)]) {
            need(phase, argument(v));
            if (is_variance(v)) twice[static_cast<size_t>(root_of(argument(v)))] = phase;
        }
        if (phase < phases_ - 1) continue;
        for (int32_t k : point_outputs_) need(phase, spec_.outputs[static_cast<size_t>(k)].value);
    }
    std::vector<int32_t> order;
    for (int32_t v = 0; v < static_cast<int32_t>(kept_.size()); ++v) {
        const Kept& k = kept_[static_cast<size_t>(v)];
        const bool again = !is_input(v) && twice[static_cast<size_t>(v)] == k.first;
        if (k.first >= 0 && root_of(v) == v && (k.last > k.first || again)) order.push_back(v);
    }
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
        return kept_[static_cast<size_t>(a)].first < kept_[static_cast<size_t>(b)].first;
    });
    for (int32_t v : order) {
        Kept& k = kept_[static_cast<size_t>(v)];
        const int size = static_cast<int>(dtype_size(dtypes_[static_cast<size_t>(v)]));
        int place = 0;
        while (place < static_cast<int>(places_.size()) &&
               (places_[static_cast<size_t>(place)].size != size ||
                places_[static_cast<size_t>(place)].free_from > k.first))
            ++place;
        if (place == static_cast<int>(places_.size())) places_.push_back({size, 0});
        // The second loop of a phase must still find it.
        places_[static_cast<size_t>(place)].free_from =
            k.last + (twice[static_cast<size_t>(v)] == k.last ? 1 : 0);
        k.place = place;
    }
}

// False when the kept values do not fit. Widest rows take most threads: 64 parts.
bool RowWriter::choose_threads() {
    const int64_t most = blocks_ > 16 ? 1024 : 256;
    parts_ = std::min<int64_t>(most / kLanes,
                               static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(blocks_))));
    run_ = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(divide_up(blocks_, parts_))));
    stride_ = std::min(run_ * kBlock, divide_up(columns_, kLanes) * kLanes) + kLanes;
    int64_t element = 0, result = 0;  // bytes of kept values, and of results in a group
    if (keep_)
        for (const Place& p : places_) element += p.size;
    for (const auto& phase : reductions_)
        for (int32_t v : single() ? std::vector<int32_t>() : phase)
            result += divide_up(partial_bytes(v), 16) * 16;
    int64_t threads = most;
    const auto bytes = [&] {
        const int64_t kept = threads / kLanes / parts_ * divide_up(blocks_, run_) * stride_;
        const int64_t padding = 16 * static_cast<int64_t>(places_.size());
        return threads / kLanes * result + kept * element + padding;
    };
    const int64_t least = std::max<int64_t>(32, parts_ * kLanes);
    while (threads > least &&
           (bytes() > kSharedBytes || rows_ * parts_ * kLanes < kFewBlocks * threads))
        threads /= 2;
    if (bytes() > kSharedBytes && element > 0) return false;
    out_.threads = static_cast<uint32_t>(threads);
    out_.shared_bytes = static_cast<uint32_t>(bytes());
    slots_ = threads / kLanes / parts_;
    kernel_ = "SN_KERNEL_THREADS(program, Args, " + std::to_string(most) + ")";
    return true;
}

void RowWriter::add_members() {
    const int rank = static_cast<int>(shape_.size());
    size_member("rows", rows_);
    size_member("columns", columns_);
    if (!single()) {
        size_member("blocks", blocks_);
        size_member("parts", parts_);
        size_member("run", run_);
    }
    for (const Operand& o : operands_) {
        if (!o.output && !used_[static_cast<size_t>(o.number)]) continue;
        pointer_member(o);
        for (int d = 0; d < rank; ++d) {
            const int64_t stride = o.strides[static_cast<size_t>(d)];
            if (stride != 0 && stride != 1) size_member(o.name + "_" + std::to_string(d), stride);
        }
    }
    for (int d = 1; d < rank; ++d)
        if (d != lead()) divider_member("size" + std::to_string(d), shape_[static_cast<size_t>(d)]);
    // Memory of the block: results of the parts, then kept values by place.
    int64_t at = 0;
    const int64_t groups = out_.threads / kLanes, kept = slots_ * divide_up(blocks_, run_);
    for (const auto& phase : reductions_) {
        if (single()) break;
        for (int32_t v : phase) {
            size_member("part" + std::to_string(v), at);
            at += divide_up(groups * partial_bytes(v), 16) * 16;
        }
    }
    if (!keep_) return;
    if (!places_.empty()) size_member("stride", stride_);
    for (size_t p = 0; p < places_.size(); ++p) {
        size_member("place" + std::to_string(p), at);
        at += divide_up(kept * stride_ * places_[p].size, 16) * 16;
    }
    SN_CHECK(at <= out_.shared_bytes);
}

std::string RowWriter::element_offset(const Operand& o) const {
    return offset(o, "j", lead(), static_cast<int>(shape_.size()));
}

// A loop over the elements of a lane in a block. `consume` writes what is done with the targets of
// one element, whose number of the lane is `k + u`. `again`: the second loop of a phase, which
// keeps nothing.
void RowWriter::write_elements(int phase, bool again, const std::vector<int32_t>& targets,
                               const std::function<void()>& consume) {
    const std::vector<int32_t> values = needed(again ? phase + 1 : phase, targets);
    const auto read = [&](int32_t v) { return from_memory(v, again ? phase + 1 : phase); };
    std::vector<int32_t> computed, loaded;
    for (int32_t v : values) (is_input(v) || read(v) ? loaded : computed).push_back(v);
    const std::string n = std::to_string(unrolled(4, weight(computed)));
    const int rank = static_cast<int>(shape_.size());
    // Coordinates of element `i`, where an operand steps through it by them.
    const auto coordinates = [&] { write_coordinates("i", "j", lead(), rank); };
    open("for (int k = 0; k < count; k += " + n + ")");
    line("const int left = count - k;");
    if (!loaded.empty()) {
        for (int32_t v : loaded) line(std::string(type(v)) + " " + value(v) + "[" + n + "];");
        line("SN_UNROLL(" + n + ")");
        open("for (int u = 0; u < " + n + "; ++u)");
        line("const int e = k + (u < left ? u : 0);");
        bool memory = false, other = false;
        for (int32_t v : loaded) (read(v) ? memory : other) = true;
        if (other) {
            line("const Index i = base + static_cast<Index>(e * kReduceLanes);");
            coordinates();
        }
        if (memory) line("const int at = own + e * kReduceLanes;");
        for (int32_t v : loaded) {
            const std::string left = value(v) + "[u] = ";
            if (read(v)) {
                line(left + "load(reinterpret_cast<const " +
                     element_type(dtypes_[static_cast<size_t>(v)]) + "*>(place" +
                     std::to_string(kept_[static_cast<size_t>(v)].place) + ") + at);");
            } else {
                line(left + "load(p" + operand_of(v).name + element_offset(operand_of(v)) + ");");
            }
        }
        close();
    }
    line("SN_UNROLL(" + n + ")");
    open("for (int u = 0; u < " + n + "; ++u)");
    open("if (u < left)");
    const auto name = [&](int32_t v) {
        const bool array = std::find(loaded.begin(), loaded.end(), v) != loaded.end();
        return value(v) + (array ? "[u]" : "");
    };
    for (int32_t v : computed) {
        std::vector<std::string> args;
        for (int32_t a : instruction(v).args) args.push_back(name(a));
        line(std::string("const ") + type(v) + " " + value(v) + " = " +
             expression(instruction(v), args) + ";");
    }
    std::vector<int32_t> stored;
    if (keep_ && !again)
        for (int32_t v : values)
            if (kept_[static_cast<size_t>(v)].place >= 0 &&
                kept_[static_cast<size_t>(v)].first == phase)
                stored.push_back(v);
    if (!stored.empty()) line("const int at = own + (k + u) * kReduceLanes;");
    for (int32_t v : stored) {
        line("store(reinterpret_cast<" +
             std::string(element_type(dtypes_[static_cast<size_t>(v)])) + "*>(place" +
             std::to_string(kept_[static_cast<size_t>(v)].place) + "), at, " + name(v) + ");");
    }
    // Targets under one name, whether they are loaded or computed.
    for (int32_t t : targets)
        if (is_point(t))
            line("const " + std::string(type(t)) + " e" + std::to_string(t) + " = " + name(t) +
                 ";");
    consume();
    close();
    close();
    close();
}

void RowWriter::write_phase(int phase) {
    const std::vector<int32_t>& reductions = reductions_[static_cast<size_t>(phase)];
    const bool outputs = phase == phases_ - 1 && !point_outputs_.empty();
    if (reductions.empty() && !outputs) return;
    const auto target = [&](int32_t v) { return is_point(v) ? "e" + std::to_string(v) : value(v); };
    std::vector<int32_t> targets, variances;
    const auto add = [&](int32_t v) {
        if (std::find(targets.begin(), targets.end(), v) == targets.end()) targets.push_back(v);
    };
    const auto reduction = [&](int32_t v) { return std::to_string(static_cast<int>(kind(v))); };
    for (int32_t v : reductions) {
        const std::string n = std::to_string(v);
        line(single() ? partial(v) + " all" + n + ";"
                      : "Tree<" + reduction(v) + ", " + partial(v) + "> tree" + n + ";");
        add(argument(v));
        if (is_variance(v)) variances.push_back(v);
    }
    if (outputs)
        for (int32_t k : point_outputs_) add(spec_.outputs[static_cast<size_t>(k)].value);
    if (single()) {
        open();
        line("const Index base = static_cast<Index>(lane);");
        line("const int count = active ? lane_count(columns, base) : 0;");
        if (keep_ && !places_.empty()) line("const int own = lane;");
    } else {
        open("for (Index step = 0; step < run; ++step)");
        line("const Index block = part * run + step;");
        line("const bool there = block < blocks;");
        line("const Index base = block * kReduceBlock + static_cast<Index>(lane);");
        line("const int count = there ? lane_count(columns, base) : 0;");
        if (keep_ && !places_.empty())
            line("const int own = static_cast<int>(step) * kReduceBlock + lane;");
    }
    for (int32_t v : reductions)
        line(std::string(type(v)) + " sum" + std::to_string(v) + " = identity<" + reduction(v) +
             ", " + type(v) + ">();");
    write_elements(phase, false, targets, [&] {
        for (int32_t v : reductions) {
            const std::string sum = "sum" + std::to_string(v);
            line(sum + " = combine<" + reduction(v) + ">(" + sum + ", " + target(argument(v)) +
                 ");");
        }
        if (!outputs) return;
        line("const Index i = base + static_cast<Index>((k + u) * kReduceLanes);");
        write_coordinates("i", "j", lead(), static_cast<int>(shape_.size()));
        for (const Operand& o : operands_) {
            if (!o.output || std::find(point_outputs_.begin(), point_outputs_.end(), o.number) ==
                                 point_outputs_.end())
                continue;
            line("store(p" + o.name + element_offset(o) + ", 0, " +
                 target(spec_.outputs[static_cast<size_t>(o.number)].value) + ");");
        }
    });
    for (int32_t v : reductions) {
        const std::string sum = "sum" + std::to_string(v);
        line(sum + " = fold_lanes<" + reduction(v) + ">(" + sum + ");");
    }
    if (!variances.empty()) {
        if (single()) {
            line("const int size = static_cast<int>(columns);");
        } else {
            line("const Index past = columns - block * kReduceBlock;");
            line(
                "const int size = there && past < kReduceBlock ? static_cast<int>(past) : "
                "kReduceBlock;");
        }
        std::vector<int32_t> values;
        for (int32_t v : variances) {
            const std::string n = std::to_string(v);
            line(std::string("const ") + type(v) + " mean" + n + " = first_lane(sum" + n +
                 ") / static_cast<" + type(v) + ">(size);");
            line(std::string(type(v)) + " squares" + n + " = 0;");
            if (std::find(values.begin(), values.end(), argument(v)) == values.end())
                values.push_back(argument(v));
        }
        write_elements(phase, true, values, [&] {
            for (int32_t v : variances) {
                const std::string n = std::to_string(v);
                line(std::string("const ") + type(v) + " d" + n + " = " + target(argument(v)) +
                     " - mean" + n + ";");
                line("squares" + n + " = fused(d" + n + ", d" + n + ", squares" + n + ");");
            }
        });
        for (int32_t v : variances) {
            const std::string n = std::to_string(v);
            line("squares" + n + " = fold_lanes<kSum>(squares" + n + ");");
        }
    }
    if (!reductions.empty() && !single()) open("if (there)");
    for (int32_t v : reductions) {
        const std::string n = std::to_string(v), sum = "sum" + n, squares = "squares" + n;
        if (single())
            line("all" + n + " = " +
                 (is_variance(v) ? "{first_lane(" + sum + "), first_lane(" + squares + "), size}"
                                 : "first_lane(" + sum + ")") +
                 ";");
        else
            line("tree" + n + ".push(" +
                 (is_variance(v) ? "{" + sum + ", " + squares + ", size}" : sum) + ");");
    }
    if (!reductions.empty() && !single()) close();
    close();
    write_results(phase);
}

void RowWriter::write_results(int phase) {
    const std::vector<int32_t>& reductions = reductions_[static_cast<size_t>(phase)];
    if (reductions.empty()) return;
    const auto reduction = [&](int32_t v) { return std::to_string(static_cast<int>(kind(v))); };
    const auto shared = [&](int32_t v) {
        return "reinterpret_cast<" + partial(v) + "*>(memory + args.part" + std::to_string(v) + ")";
    };
    if (!single()) {
        for (int32_t v : reductions)
            line("give_part(tree" + std::to_string(v) + ", " + shared(v) + ", group, lane);");
        line("__syncthreads();");
        for (int32_t v : reductions)
            line("const " + partial(v) + " all" + std::to_string(v) + " = take_parts<" +
                 reduction(v) + ">(" + shared(v) + ", group - static_cast<int>(part), used);");
    }
    const auto result = [&](int32_t v, const std::string& text) {
        line(std::string("const ") + type(v) + " " + value(v) + " = round_to<" +
             element_type(dtypes_[static_cast<size_t>(v)]) + ">(" + text + ");");
    };
    for (int32_t v : reductions) {
        const std::string all = "all" + std::to_string(v);
        const std::string number = std::string(" / static_cast<") + type(v) + ">(args.columns)";
        if (is_variance(v))
            result(v, all + ".squares" + number);
        else
            result(v, kind(v) == ReduceKind::kMean ? all + number : all);
    }
    for (int32_t v = static_cast<int32_t>(spec_.inputs.size());
         v < static_cast<int32_t>(dtypes_.size()); ++v) {
        const int32_t twin = twin_[static_cast<size_t>(v)];
        if (twin >= 0 && used_[static_cast<size_t>(v)] &&
            phase_[static_cast<size_t>(v)] == phase + 1)
            result(v, "all" + std::to_string(twin) + ".sum / static_cast<" + type(v) +
                          ">(args.columns)");
    }
}

// Values of one number per row that can be computed from here on.
void RowWriter::write_row_values(int phase) {
    for (int32_t v = 0; v < static_cast<int32_t>(dtypes_.size()); ++v) {
        if (level(v) != Level::kRow || !used_[static_cast<size_t>(v)] ||
            phase_[static_cast<size_t>(v)] != phase)
            continue;
        const std::string left = std::string("const ") + type(v) + " " + value(v) + " = ";
        if (is_input(v)) {
            line(left + "load(p" + operand_of(v).name + ");");
        } else if (instruction(v).kind != ProgramSpec::Kind::kReduce) {
            std::vector<std::string> args;
            for (int32_t a : instruction(v).args) args.push_back(value(a));
            line(left + expression(instruction(v), args) + ";");
        }
    }
}

void RowWriter::write_row_outputs() {
    if (point_outputs_.size() == spec_.outputs.size()) return;
    open(single() ? "if (active && lane == 0)" : "if (active && part == 0 && lane == 0)");
    for (const Operand& o : operands_) {
        if (!o.output || std::find(point_outputs_.begin(), point_outputs_.end(), o.number) !=
                             point_outputs_.end())
            continue;
        line("store(p" + o.name + ", 0, " +
             value(spec_.outputs[static_cast<size_t>(o.number)].value) + ");");
    }
    close();
}

ProgramSource RowWriter::write() {
    collapse(true);
    find_levels();
    rows_ = points(0, lead());
    columns_ = points(lead(), static_cast<int>(shape_.size()));
    blocks_ = std::max<int64_t>(1, divide_up(columns_, kBlock));
    find_phases();
    find_kept();
    if (!choose_threads()) {
        keep_ = false;
        SN_CHECK(choose_threads());
    }
    constexpr int64_t kMaxBlocks = int64_t{1} << 20;
    out_.blocks.x = static_cast<uint32_t>(std::min(divide_up(rows_, slots_), kMaxBlocks));
    narrow_ = rows_ < (int64_t{1} << 31) - kMaxBlocks * 32 && columns_ < (int64_t{1} << 28);
    add_members();

    if (out_.shared_bytes > 0) line("SN_DYNAMIC_SHARED(char, memory);");
    line("const int lane = static_cast<int>(threadIdx.x) % kReduceLanes;");
    line("const int group = static_cast<int>(threadIdx.x) / kReduceLanes;");
    if (single()) {
        line("const Index slots = static_cast<Index>(blockDim.x / kReduceLanes);");
        line("const Index slot = static_cast<Index>(group);");
    } else {
        line("const Index part = static_cast<Index>(group) & static_cast<Index>(args.parts - 1);");
        line("const Index slots = static_cast<Index>(blockDim.x / kReduceLanes / args.parts);");
        line("const Index slot = static_cast<Index>(group) / static_cast<Index>(args.parts);");
    }
    line("const Index rows = static_cast<Index>(args.rows);");
    line("const Index columns = static_cast<Index>(args.columns);");
    if (!single()) {
        line("const Index run = static_cast<Index>(args.run);");
        line("const int used = static_cast<int>((args.blocks + args.run - 1) / args.run);");
    }
    if (keep_ && !places_.empty())
        line(std::string("const int64_t own_part = ") +
             (single() ? "group;" : "static_cast<int64_t>(slot) * used + part;"));
    if (keep_)
        for (size_t p = 0; p < places_.size(); ++p)
            line("char* const place" + std::to_string(p) + " = memory + args.place" +
                 std::to_string(p) + " + own_part * args.stride * " +
                 std::to_string(places_[p].size) + ";");
    write_numbers();
    open(
        "for (Index first = static_cast<Index>(blockIdx.x) * slots; first < rows; first += "
        "static_cast<Index>(gridDim.x) * slots)");
    line("const bool active = first + slot < rows;");
    line("const Index row = active ? first + slot : 0;");
    if (!single()) line("const Index blocks = active ? static_cast<Index>(args.blocks) : 0;");
    write_coordinates("row", "i", 0, lead());
    for (const Operand& o : operands_) {
        if (!o.output &&
            (!used_[static_cast<size_t>(o.number)] || operand_level(o) == Level::kOnce))
            continue;
        line(std::string(o.output ? "" : "const ") + element_type(o.dtype) + "* p" + o.name +
             " = args." + o.name + offset(o, "i", 0, lead()) + ";");
    }
    write_row_values(0);
    for (int phase = 0; phase < phases_; ++phase) {
        write_phase(phase);
        write_row_values(phase + 1);
    }
    write_row_outputs();
    if (!single()) line("__syncthreads();");  // before results of parts are written anew
    close();
    return finish();
}

}  // namespace

ProgramSource row_program_source(const ProgramSpec& spec) { return RowWriter(spec).write(); }

}  // namespace sn::cuda
