#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "op/elementwise.h"
#include "op/op.h"
#include "plan/plan.h"

namespace sn {

namespace {

bool verifying = std::getenv("SENNIT_VERIFY") != nullptr;

// A value's place while the plan is made.
struct Place {
    uint32_t buffer = kNone;
    int64_t offset = 0;          // elements
    SmallVec<int64_t, 2> terms;  // scalar index, elements per unit
};

class ProgramMaker;

class Builder {
public:
    Builder(Program program, std::vector<BufferRef> constants, std::span<const uint8_t> donated,
            MatmulPrecision precision)
        : p_(std::move(program)), g_(p_.graph), donated_(donated), plan_(std::make_shared<Plan>()) {
        plan_->constants = std::move(constants);
        plan_->precision = precision;
    }
    std::shared_ptr<const Plan> build();

private:
    ValueId root(ValueId v) const { return roots_[v]; }  // the value whose memory a view reads
    void find_roots();
    void find_uses();
    void place_views();
    void place_outputs(uint32_t step);
    uint32_t new_buffer(ValueId v, uint32_t step);
    uint32_t overwritable(const Group& group, ValueId out, uint32_t step) const;
    bool read_after(const Group& group, uint32_t buffer, NodeId writer, uint32_t step) const;
    void make_step(uint32_t step);
    void make_kernel(Step& s, const Node& n, uint32_t step);
    double kernel_cost(const Step& s, const Node& n) const;
    Dims loop_strides(ValueId v, DimSpan target, const Group& group) const;
    Slot slot(ValueId v) const;
    TensorView view(ValueId v);

    friend class ProgramMaker;
    Program p_;
    const Graph& g_;
    std::span<const uint8_t> donated_;
    std::shared_ptr<Plan> plan_;
    std::vector<Group> groups_;
    std::vector<ValueId> roots_;      // by value
    std::vector<uint32_t> group_of_;  // by node
    std::vector<Place> places_;       // by value
    std::vector<uint8_t> stored_;     // by value: needs memory (roots only)
    std::vector<uint32_t> last_use_;  // by root value: last step that reads it
    std::vector<uint8_t> live_;       // by root value: a graph output reads it
    uint32_t last_check_ = 0;         // last step that may fail on values
    bool any_check_ = false;
};

void Builder::find_roots() {
    roots_.resize(g_.values.size());
    std::iota(roots_.begin(), roots_.end(), 0);
    for (NodeId id = 0; id < g_.nodes.size(); ++id)
        if (p_.view[id]) roots_[g_.nodes[id].first_out] = roots_[g_.in(g_.nodes[id])[0]];
}

void Builder::find_uses() {
    group_of_.assign(g_.nodes.size(), kNone);
    for (uint32_t s = 0; s < groups_.size(); ++s)
        for (NodeId n : groups_[s].nodes) group_of_[n] = s;
    stored_.assign(g_.values.size(), 0);
    live_.assign(g_.values.size(), 0);
    last_use_.assign(g_.values.size(), 0);
    for (NodeId id = 0; id < g_.nodes.size(); ++id) {
        if (p_.view[id]) continue;
        const Node& n = g_.nodes[id];
        const uint32_t step = group_of_[id];
        for (ValueId v : g_.in(n)) {
            const ValueId r = root(v);
            const NodeId producer = g_.producer(r);
            const bool inside = producer != kNone && group_of_[producer] == step;
            if (inside) continue;
            stored_[r] = 1;
            last_use_[r] = std::max(last_use_[r], step);
        }
        if (!groups_[step].fused) {
            for (uint32_t k = 0; k < n.n_out; ++k) {
                if (op_def(n.op).optional_out >> k & 1) continue;
                stored_[n.first_out + k] = 1;
                last_use_[n.first_out + k] = std::max(last_use_[n.first_out + k], step);
            }
        }
        if (op_def(n.op).checks_values) {
            any_check_ = true;
            last_check_ = std::max(last_check_, step);
        }
    }
    for (ValueId v : g_.outputs) {
        stored_[root(v)] = 1;
        live_[root(v)] = 1;
    }
}

uint32_t Builder::new_buffer(ValueId v, uint32_t step) {
    const Meta& m = g_.meta(v);
    PlanBuffer b;
    b.bytes = static_cast<size_t>(numel(m.shape)) * dtype_size(m.dtype);
    b.first = step;
    b.last = std::max(step, last_use_[v]);
    if (live_[v]) {
        b.kind = BufferKind::kOutput;
        b.index = static_cast<uint32_t>(plan_->output_buffers.size());
        plan_->output_buffers.push_back(static_cast<uint32_t>(plan_->buffers.size()));
        b.last = static_cast<uint32_t>(groups_.size());
    }
    plan_->buffers.push_back(b);
    return static_cast<uint32_t>(plan_->buffers.size() - 1);
}

// A buffer that this step reads for the last time, in the layout in which `out` will be written:
// the result can take its place. kNone when there is none.
uint32_t Builder::overwritable(const Group& group, ValueId out, uint32_t step) const {
    const Node* plain = group.fused ? nullptr : &g_.nodes[group.nodes[0]];
    // Parts are stored one after the other: not over what is still to be read.
    if (group.fused && op_def(g_.nodes[g_.producer(out)].op).joins) return kNone;
    if (plain && op_def(plain->op).inplace_in < 0) return kNone;
    const Meta& m = g_.meta(out);
    if (!(m.shape == group.shape) && group.fused) return kNone;
    SmallVec<ValueId, 8> candidates;
    if (plain) {
        if (plain->first_out != out) return kNone;
        candidates.push_back(g_.in(*plain)[static_cast<size_t>(op_def(plain->op).inplace_in)]);
    } else {
        for (NodeId n : group.nodes) {
            if (n == group.anchor) continue;
            for (ValueId v : g_.in(g_.nodes[n])) candidates.push_back(v);
        }
    }
    for (ValueId v : candidates) {
        if (g_.values[v].kind == ValueKind::kScalar) continue;
        const ValueId r = root(v);
        const uint32_t b = places_[r].buffer;
        if (b == kNone || places_[v].offset != 0 || !places_[v].terms.empty()) continue;
        const PlanBuffer& buffer = plan_->buffers[b];
        const bool input = buffer.kind == BufferKind::kInput;
        if (input ? !donated_[buffer.index] || live_[r]
                  : buffer.kind != BufferKind::kArena || live_[out])
            continue;
        // A donated input may be written only after everything that can fail has not failed.
        if (input && (!live_[out] || (any_check_ && last_check_ > step))) continue;
        if (buffer.last != step || last_use_[r] > step) continue;
        const Meta& vm = g_.meta(v);
        if (!(vm.shape == m.shape) || dtype_size(vm.dtype) != dtype_size(m.dtype)) continue;
        if (!(p_.strides[v] == p_.strides[out])) continue;
        // Other reads of the same memory in this step must be of the same elements at the same
        // time.
        bool safe = true;
        for (NodeId n : group.nodes) {
            for (ValueId u : g_.in(g_.nodes[n])) {
                if (g_.values[u].kind == ValueKind::kScalar || places_[root(u)].buffer != b)
                    continue;
                if (g_.producer(u) != kNone && group_of_[g_.producer(u)] == step &&
                    !p_.view[g_.producer(u)])
                    continue;
                safe &= n != group.anchor && places_[u].offset == 0 && places_[u].terms.empty() &&
                        g_.meta(u).shape == m.shape && p_.strides[u] == p_.strides[v];
            }
        }
        // The buffer may already be the place of another result of this step.
        for (NodeId n : group.nodes)
            for (uint32_t k = 0; k < g_.nodes[n].n_out; ++k)
                safe &= places_[g_.nodes[n].first_out + k].buffer != b;
        if (safe && group.anchor != kNone) safe = !read_after(group, b, g_.producer(out), step);
        if (safe) return b;
    }
    return kNone;
}

// Epilogues store a result where it is computed; whole programs find such hazards by themselves. A
// back-end may run an operation together with its user, so that counts as reading later.
bool Builder::read_after(const Group& group, uint32_t buffer, NodeId writer, uint32_t step) const {
    for (NodeId n : group.nodes) {
        bool reads = false;
        for (ValueId u : g_.in(g_.nodes[n])) {
            const NodeId producer = g_.producer(u);
            const bool inside =
                producer != kNone && group_of_[producer] == step && !p_.view[producer];
            reads |= !inside && g_.values[u].kind != ValueKind::kScalar &&
                     places_[root(u)].buffer == buffer;
        }
        if (!reads || n == writer) continue;
        NodeId last = n;
        for (NodeId user : group.nodes)
            for (ValueId u : g_.in(g_.nodes[user]))
                if (g_.producer(u) == n) last = std::max(last, user);
        if (last > writer) return true;
    }
    return false;
}

void Builder::place_outputs(uint32_t step) {
    const Group& group = groups_[step];
    for (NodeId id : group.nodes) {
        const Node& n = g_.nodes[id];
        for (uint32_t k = 0; k < n.n_out; ++k) {
            const ValueId v = n.first_out + k;
            if (!stored_[v]) continue;
            const uint32_t reused = id == group.anchor ? kNone : overwritable(group, v, step);
            if (reused != kNone) {
                places_[v].buffer = reused;
                PlanBuffer& b = plan_->buffers[reused];
                b.last =
                    live_[v] ? static_cast<uint32_t>(groups_.size()) : std::max(step, last_use_[v]);
                continue;
            }
            places_[v].buffer = new_buffer(v, step);
        }
    }
}

// Views of values that have a place get theirs. Called as values are placed, in node order.
void Builder::place_views() {
    for (NodeId id = 0; id < g_.nodes.size(); ++id) {
        if (!p_.view[id]) continue;
        const Node& n = g_.nodes[id];
        const auto in = g_.in(n);
        ViewCall call{
            attr_view(g_, n), &g_.meta(in[0]), p_.strides[in[0]], &g_.meta(n.first_out), {}, 0, {}};
        op_def(n.op).view(call);
        // A view may see elements as several smaller ones (the parts of complex numbers).
        const auto factor = static_cast<int64_t>(dtype_size(g_.meta(in[0]).dtype) /
                                                 dtype_size(g_.meta(n.first_out).dtype));
        Place place;
        place.offset = places_[in[0]].offset * factor + call.offset;
        place.terms = places_[in[0]].terms;
        for (size_t i = 1; i < place.terms.size(); i += 2) place.terms[i] *= factor;
        for (size_t k = 0; k < call.scalar_factors.size(); ++k) {
            place.terms.push_back(static_cast<int64_t>(g_.values[in[1 + k]].source));
            place.terms.push_back(call.scalar_factors[k]);
        }
        places_[n.first_out] = place;  // the buffer is the root's
    }
}

Slot Builder::slot(ValueId v) const {
    Slot s;
    if (g_.values[v].kind == ValueKind::kScalar) {
        s.scalar = g_.values[v].source;
        return s;
    }
    const int64_t size = static_cast<int64_t>(dtype_size(g_.meta(v).dtype));
    s.buffer = places_[root(v)].buffer;
    s.offset = places_[v].offset * size;
    for (size_t i = 0; i < places_[v].terms.size(); i += 2) {
        s.terms.push_back(places_[v].terms[i]);
        s.terms.push_back(places_[v].terms[i + 1] * size);
    }
    return s;
}

TensorView Builder::view(ValueId v) {
    const Meta& m = g_.meta(v);
    plan_->dims.push_back(m.shape);
    const int64_t* shape = plan_->dims.back().data();
    plan_->dims.push_back(p_.strides[v]);
    return {nullptr, shape, plan_->dims.back().data(), static_cast<int>(m.shape.size()), m.dtype};
}

// Nanoseconds on one core, roughly: 10 bytes or 50 multiply-adds in each.
double Builder::kernel_cost(const Step& s, const Node& n) const {
    if (backend(s.device).in_order()) return 0;
    double bytes = 0;
    for (const auto& list : {s.in, s.out})
        for (const TensorView& t : list)
            bytes += static_cast<double>(t.numel()) * dtype_size(t.dtype);
    double work = 0;
    if (const OpDef& def = op_def(n.op); def.work) {
        SmallVec<const Meta*, 4> in;
        for (ValueId v : g_.in(n)) in.push_back(&g_.meta(v));
        work = def.work({in.data(), attr_view(g_, n), g_.meta(n.first_out)});
    }
    return 200 + std::max(bytes / 10, work / 50);
}

void Builder::make_kernel(Step& s, const Node& n, uint32_t step) {
    const OpDef& def = op_def(n.op);
    const KernelTable& table = backend(s.device).kernels();
    s.kernel = table.kernel(n.op);
    if (!s.kernel) {
        fail(ErrorKind::kInternal, def.name, "the back-end '%s' has no kernel for this op",
             backend(s.device).name());
    }
    s.op = s.kernel_op = n.op;
    s.checks_values = def.checks_values;
    for (ValueId v : g_.in(n)) {
        s.in.push_back(view(v));
        s.in_slots.push_back(slot(v));
    }
    for (uint32_t k = 0; k < n.n_out; ++k) {
        s.out.push_back(view(n.first_out + k));
        s.out_slots.push_back(slot(n.first_out + k));
    }
    s.attrs.assign(g_.attr(n).begin(), g_.attr(n).end());
    const KernelCall call{s.in.data(),    static_cast<int>(s.in.size()),
                          s.out.data(),   static_cast<int>(s.out.size()),
                          s.attrs.data(), nullptr,
                          nullptr,        n.op,
                          s.device,       plan_->precision};
    const WorkspaceFn workspace = table.workspace(n.op);
    const size_t bytes = workspace ? workspace(call) : 0;
    if (bytes) {
        PlanBuffer b;
        b.bytes = bytes;
        b.first = b.last = step;
        s.workspace.buffer = static_cast<uint32_t>(plan_->buffers.size());
        plan_->buffers.push_back(b);
    }
    s.cost = kernel_cost(s, n);
}

// Strides along the loop dimensions of a value that takes part with shape `target`: the loop space
// itself, or a row value's shape (row dimensions of size 1, or left out).
Dims Builder::loop_strides(ValueId v, DimSpan target, const Group& group) const {
    Dims strides = broadcast_strides(g_.meta(v).shape, p_.strides[v], target);
    if (group.anchor == kNone) {
        for (size_t i = 0; i < target.size(); ++i)
            if (target[i] == 1) strides[i] = 0;
        strides.resize(group.shape.size());
        return strides;
    }
    // Epilogues run over the product as a matrix [rows, columns] in memory order.
    const Dims& order = group.order;
    Dims matrix(2, 0);
    matrix[1] = group.shape[order.back()] == 1 ? 0 : strides[order.back()];
    for (size_t k = order.size() - 1; k-- > 0;) {
        if (group.shape[order[k]] == 1) continue;
        matrix[0] = strides[order[k]];
        break;
    }
    return matrix;
}

// Translates a group into a program: its inputs first, then its instructions in order.
class ProgramMaker {
public:
    ProgramMaker(Builder& b, Step& step, const Group& group) : b_(b), s_(step), group_(group) {}
    void make();

private:
    int input(ValueId v, DimSpan target);
    int binding(const Slot& slot);
    int number(uint32_t scalar);
    void collect_inputs();
    void instruct(const Node& n);
    void add_outputs();
    void place_product();
    DimSpan target_of(const Node& n) const;
    bool inside(ValueId v) const;

    Builder& b_;
    Step& s_;
    const Group& group_;
    ProgramSpec spec_;
    std::vector<std::pair<ValueId, int>> made_;  // value -> program value
    struct Joined {
        ValueId value;
        int parts[2];  // program values
    };
    std::vector<Joined> joined_;
    int product_value_ = -1;
};

bool ProgramMaker::inside(ValueId v) const {
    const NodeId n = b_.g_.producer(b_.root(v));
    return n != kNone && b_.group_of_[n] == b_.group_of_[group_.nodes[0]];
}

DimSpan ProgramMaker::target_of(const Node& n) const {
    return op_def(n.op).reduce_kind >= 0 ? DimSpan(group_.shape)
                                         : DimSpan(b_.g_.meta(n.first_out).shape);
}

int ProgramMaker::binding(const Slot& slot) {
    for (size_t i = 0; i < s_.bindings.size(); ++i) {
        const Slot& known = s_.bindings[i];
        if (known.buffer == slot.buffer && known.offset == slot.offset && known.terms == slot.terms)
            return static_cast<int>(i);
    }
    s_.bindings.push_back(slot);
    return static_cast<int>(s_.bindings.size() - 1);
}

// Programs know their own numbers alone, so that equal ones are one program.
int ProgramMaker::number(uint32_t scalar) {
    const auto at = std::find(s_.scalars.begin(), s_.scalars.end(), scalar);
    if (at != s_.scalars.end()) return static_cast<int>(at - s_.scalars.begin());
    s_.scalars.push_back(scalar);
    return static_cast<int>(s_.scalars.size() - 1);
}

int ProgramMaker::input(ValueId v, DimSpan target) {
    ProgramSpec::Input in;
    in.dtype = b_.g_.meta(v).dtype;
    if (b_.g_.values[v].kind == ValueKind::kScalar) {
        in.scalar = true;
        in.binding = number(b_.g_.values[v].source);
    } else {
        in.strides = b_.loop_strides(v, target, group_);
        in.binding = binding(b_.slot(v));
    }
    for (size_t i = 0; i < spec_.inputs.size(); ++i) {
        const ProgramSpec::Input& known = spec_.inputs[i];
        if (known.scalar == in.scalar && known.binding == in.binding && known.dtype == in.dtype &&
            known.strides == in.strides && static_cast<int>(i) != spec_.product)
            return static_cast<int>(i);
    }
    spec_.inputs.push_back(in);
    return static_cast<int>(spec_.inputs.size() - 1);
}

void ProgramMaker::collect_inputs() {
    if (group_.anchor != kNone) {
        ProgramSpec::Input in;
        const ValueId product = b_.g_.nodes[group_.anchor].first_out;
        in.dtype = compute_dtype(b_.g_.meta(product).dtype);
        const int64_t columns = spec_.shape[1];
        in.strides = {columns, 1};
        in.binding = -1;
        spec_.product = 0;
        spec_.inputs.push_back(in);
    }
    for (NodeId id : group_.nodes) {
        if (id == group_.anchor) continue;
        for (ValueId v : b_.g_.in(b_.g_.nodes[id]))
            if (!inside(v)) input(v, target_of(b_.g_.nodes[id]));
    }
    const int next = static_cast<int>(spec_.inputs.size());
    if (group_.anchor == kNone) return;
    // The product was rounded to its dtype before it was used; fused, it still is.
    const DType dtype = b_.g_.meta(b_.g_.nodes[group_.anchor].first_out).dtype;
    product_value_ = 0;
    if (dtype != compute_dtype(dtype)) {
        spec_.instructions.push_back({ProgramSpec::Kind::kCast, 0, dtype, {0}});
        product_value_ = next;
    }
}

void ProgramMaker::instruct(const Node& n) {
    const OpDef& def = op_def(n.op);
    ProgramSpec::Instruction instruction;
    const auto in = b_.g_.in(n);
    const DType out = b_.g_.meta(n.first_out).dtype;
    if (def.cast) {
        instruction.kind = ProgramSpec::Kind::kCast;
        instruction.dtype = out;
    } else if (def.reduce_kind >= 0) {
        instruction.kind = ProgramSpec::Kind::kReduce;
        instruction.dtype = out;
    } else {
        instruction.dtype = out;
        if (def.result_rule == static_cast<uint8_t>(TileResult::BOOL)) {
            for (size_t i = in.size(); i-- > 0;)
                if (b_.g_.values[in[i]].kind == ValueKind::kScalar)
                    instruction.dtype = b_.g_.meta(in[i]).dtype;
            for (size_t i = in.size(); i-- > 0;)
                if (b_.g_.values[in[i]].kind != ValueKind::kScalar)
                    instruction.dtype = b_.g_.meta(in[i]).dtype;
        }
    }
    instruction.op = n.op;
    SmallVec<int32_t, 4> args;
    for (ValueId v : in) {
        int number = -1;
        if (inside(v)) {
            const ValueId r = b_.root(v);
            if (b_.g_.producer(r) == group_.anchor) number = product_value_;
            for (const auto& [value, made] : made_)
                if (value == r) number = made;
        } else {
            number = input(v, target_of(n));
        }
        SN_CHECK(number >= 0);
        args.push_back(number);
    }
    if (def.joins) {  // no instruction: its operands are stored
        joined_.push_back({n.first_out, {args[0], args[1]}});
        return;
    }
    instruction.args = args;
    spec_.instructions.push_back(std::move(instruction));
    made_.emplace_back(n.first_out,
                       static_cast<int>(spec_.inputs.size() + spec_.instructions.size() - 1));
}

void ProgramMaker::add_outputs() {
    for (const auto& [v, number] : made_) {
        if (!b_.stored_[v]) continue;
        ProgramSpec::Output out;
        out.value = number;
        out.dtype = b_.g_.meta(v).dtype;
        out.strides = b_.loop_strides(v, b_.g_.meta(v).shape, group_);
        out.binding = binding(b_.slot(v));
        spec_.outputs.push_back(std::move(out));
    }
    for (const Joined& j : joined_) {
        const Meta& m = b_.g_.meta(j.value);
        Slot slot = b_.slot(j.value);
        for (int part : j.parts) {
            ProgramSpec::Output out;
            out.value = part;
            out.dtype = real_dtype(m.dtype);
            out.strides = b_.loop_strides(j.value, m.shape, group_);
            for (int64_t& stride : out.strides) stride *= 2;
            out.binding = binding(slot);
            spec_.outputs.push_back(std::move(out));
            slot.offset += static_cast<int64_t>(dtype_size(out.dtype));
        }
    }
}

// Where the product is accumulated: in its own buffer when somebody keeps it, else in that of the
// last instruction's result when it has the same layout and lies over nothing (an earlier result
// would be written while the product is still to be read), else in the kernel's scratch.
void ProgramMaker::place_product() {
    const ValueId product = b_.g_.nodes[group_.anchor].first_out;
    Slot slot;
    if (b_.g_.meta(product).dtype == compute_dtype(b_.g_.meta(product).dtype)) {
        if (b_.stored_[product]) {
            slot = b_.slot(product);
        } else {
            const int last = static_cast<int>(spec_.inputs.size() + spec_.instructions.size() - 1);
            for (const ProgramSpec::Output& out : spec_.outputs) {
                bool shared = out.value != last || out.dtype != b_.g_.meta(product).dtype ||
                              !(out.strides == spec_.inputs[0].strides) || slot.buffer != kNone;
                for (size_t i = 1; i < spec_.inputs.size(); ++i)
                    shared |=
                        !spec_.inputs[i].scalar && s_.bindings[spec_.inputs[i].binding].buffer ==
                                                       s_.bindings[out.binding].buffer;
                if (!shared) slot = s_.bindings[out.binding];
            }
        }
    } else if (b_.stored_[product]) {
        // Kept in its own, narrower dtype: one more output of the program.
        ProgramSpec::Output out;
        out.value = product_value_;
        out.dtype = b_.g_.meta(product).dtype;
        out.strides = spec_.inputs[0].strides;
        out.binding = binding(b_.slot(product));
        spec_.outputs.push_back(std::move(out));
    }
    spec_.product_in_output = slot.buffer != kNone;
    s_.out_slots[0] = slot;
}

void ProgramMaker::make() {
    spec_.shape = group_.shape;
    spec_.row_dims = group_.row_dims;
    if (group_.anchor != kNone) {
        const Dims& order = group_.order;
        int64_t rows = 1;
        for (size_t k = 0; k + 1 < order.size(); ++k) rows *= group_.shape[order[k]];
        spec_.shape = {rows, group_.shape[order.back()]};
    }
    collect_inputs();
    for (NodeId id : group_.nodes)
        if (id != group_.anchor) instruct(b_.g_.nodes[id]);
    add_outputs();
    if (group_.anchor != kNone) place_product();
    s_.writes.assign(s_.bindings.size(), 0);
    for (const ProgramSpec::Output& out : spec_.outputs)
        s_.writes[static_cast<size_t>(out.binding)] = 1;
    s_.program = compiled_program(s_.device, spec_);
    s_.cost += s_.program->cost();
    s_.op = b_.g_.nodes[group_.nodes.back()].op;
    s_.ops = static_cast<uint32_t>(group_.nodes.size());
}

void Builder::make_step(uint32_t step) {
    const Group& group = groups_[step];
    Step s;
    const Node& n = g_.nodes[group.nodes[0]];
    s.origin = n.origin;
    s.device = g_.meta(n.first_out).device;
    const OpDef& def = op_def(n.op);
    if (group.anchor != kNone) {
        s.origin = g_.nodes[group.anchor].origin;
        make_kernel(s, g_.nodes[group.anchor], step);
    } else if (!group.fused && (def.tile_op >= 0 || def.cast)) {
        s.op = n.op;  // no elements: nothing to run
    } else if (!group.fused) {
        make_kernel(s, n, step);
    }
    if (group.fused) ProgramMaker(*this, s, group).make();
    for (NodeId id : group.nodes) {
        for (uint32_t k = 0; k < g_.nodes[id].n_out; ++k) {
            const ValueId v = g_.nodes[id].first_out + k;
            if (stored_[v] && plan_->buffers[places_[v].buffer].kind == BufferKind::kInput)
                s.overwrites_input = true;
        }
    }
    plan_->cost += s.cost;
    plan_->steps.push_back(std::move(s));
}

std::shared_ptr<const Plan> Builder::build() {
    find_roots();
    groups_ = fuse(p_);
    plan_->steps.reserve(groups_.size());
    places_.resize(g_.values.size());
    find_uses();
    for (size_t i = 0; i < g_.inputs.size(); ++i) {
        const ValueId v = g_.inputs[i];
        PlanBuffer b;
        const size_t given = g_.inputs.size() - plan_->constants.size();
        b.kind = i < given ? BufferKind::kInput : BufferKind::kConstant;
        b.index = static_cast<uint32_t>(i < given ? i : i - given);
        b.donated = i < donated_.size() && donated_[i];
        b.bytes = static_cast<size_t>(numel(g_.meta(v).shape)) * dtype_size(g_.meta(v).dtype);
        b.last = live_[v] ? static_cast<uint32_t>(groups_.size()) : last_use_[v];
        places_[v].buffer = static_cast<uint32_t>(plan_->buffers.size());
        plan_->buffers.push_back(b);
    }
    place_views();
    for (uint32_t step = 0; step < groups_.size(); ++step) {
        place_outputs(step);
        make_step(step);
    }
    for (size_t i = 0; i < p_.scalars.size(); ++i)
        plan_->scalar_dtypes.push_back(g_.meta(g_.scalars[i]).dtype);
    plan_->scalars = p_.scalars;
    for (ValueId v : g_.outputs) {
        const ValueId r = root(v);
        const bool overwrites = g_.values[r].kind == ValueKind::kNode &&
                                plan_->buffers[places_[r].buffer].kind == BufferKind::kInput;
        plan_->outputs.push_back({slot(v), p_.strides[v], overwrites});
    }
    plan_->arena_bytes = place_and_order(*plan_);
    if (!g_.nodes.empty()) plan_->device = g_.meta(g_.nodes[0].first_out).device;
    plan_->groups = std::move(groups_);
    plan_->graph = std::move(p_.graph);
    return plan_;
}

}  // namespace

bool verify_plans() { return verifying; }
void set_verify_plans(bool on) { verifying = on; }

std::shared_ptr<const Plan> build_plan(const Graph& recorded, std::span<const Dims> input_strides,
                                       std::span<const uint8_t> donated,
                                       MatmulPrecision precision) {
    const auto check = [](const std::string& broken, const char* after) {
        if (!broken.empty())
            fail(ErrorKind::kInternal, "plan", "after %s: %s", after, broken.c_str());
    };
    if (verifying) check(verify(recorded), "recording");
    Program program = lower(recorded);
    if (verifying) check(verify(program.graph), "lower");
    simplify(program);
    if (verifying) check(verify(program.graph), "simplify");
    std::vector<BufferRef> constants = fold(program);
    std::vector<Dims> strides(input_strides.begin(), input_strides.end());
    if (!constants.empty()) {
        for (size_t i = strides.size(); i < program.graph.inputs.size(); ++i)
            strides.push_back(
                contiguous_strides(program.graph.meta(program.graph.inputs[i]).shape));
        if (verifying) check(verify(program.graph), "fold");
    }
    assign_layout(program, strides);
    if (verifying) check(verify(program.graph), "assign_layout");
    auto plan = Builder(std::move(program), std::move(constants), donated, precision).build();
    if (verifying) check(verify(*plan), "planning");
    return plan;
}

}  // namespace sn
