#include "op/op.h"
#include "pass/pass.h"
#include "record/trace.h"

namespace sn {

namespace {

// What stands for the recorded graph's values while rules are called on tensors again.
class Lowering {
public:
    explicit Lowering(const Graph& recorded)
        : recorded_(recorded),
          tensors_(recorded.values.size()),
          ids_(recorded.values.size(), kNone) {
        trace_.graph.reserve_as(recorded);
    }

    Program run();

private:
    void bind_inputs();
    void lower_node(const Node& node);
    void copy_node(const Node& node);
    ValueId id_of(ValueId v);
    Tensor tensor_of(ValueId v);

    const Graph& recorded_;
    Trace trace_;
    // By value id of the recorded graph: a tensor, where a rule has made one or has asked for it,
    // or the value that stands for it.
    std::vector<Tensor> tensors_;
    std::vector<ValueId> ids_;
    std::vector<ValueId> in_;
};

void Lowering::bind_inputs() {
    for (ValueId id : recorded_.inputs) {
        tensors_[id] = trace_.placeholder(recorded_.meta(id));
        ids_[id] = trace_.id_of(tensors_[id]);
    }
    for (size_t slot = 0; slot < recorded_.scalars.size(); ++slot) {
        const ValueId id = recorded_.scalars[slot];
        const DType dtype = recorded_.meta(id).dtype;
        Scalar s{};
        s.kind = is_float(dtype)  ? ScalarKind::kFloat
                 : is_bool(dtype) ? ScalarKind::kBool
                                  : ScalarKind::kInt;
        Tensor t(s);
        t.value()->slot = static_cast<int32_t>(slot);
        tensors_[id] = std::move(t);
    }
}

ValueId Lowering::id_of(ValueId v) {
    if (ids_[v] == kNone) ids_[v] = trace_.bind(tensors_[v], recorded_.meta(v).dtype);
    return ids_[v];
}

Tensor Lowering::tensor_of(ValueId v) {
    if (!tensors_[v] && ids_[v] != kNone) tensors_[v] = trace_.held(ids_[v]);
    return tensors_[v];
}

void Lowering::copy_node(const Node& node) {
    in_.clear();
    for (ValueId v : recorded_.in(node)) in_.push_back(id_of(v));
    const ValueId first = trace_.take(recorded_, node, in_);
    for (uint32_t k = 0; k < node.n_out; ++k) ids_[node.first_out + k] = first + k;
}

void Lowering::lower_node(const Node& node) {
    const OpDef& def = op_def(node.op);
    std::vector<Tensor> in, out(node.n_out);
    for (ValueId v : recorded_.in(node)) in.push_back(tensor_of(v));
    LowerCall call{in, attr_view(recorded_, node), out};
    def.lower(call);
    for (uint32_t k = 0; k < node.n_out; ++k) {
        const Meta& want = recorded_.meta(node.first_out + k);
        if (!out[k]) continue;  // an output that the rule leaves out is checked by whoever uses it
        SN_CHECK(out[k].shape() == want.shape && out[k].dtype() == want.dtype);
        tensors_[node.first_out + k] = out[k];
    }
}

Program Lowering::run() {
    NoGrad no_grad;
    RecordInto scope(trace_);
    bind_inputs();
    for (NodeId id = 0; id < recorded_.nodes.size(); ++id) {
        const Node& node = recorded_.nodes[id];
        trace_.origin = node.origin;
        const OpDef& def = op_def(node.op);
        const Device device = recorded_.meta(node.first_out).device;
        if (def.lower && !backend(device).kernels().kernel(node.op))
            lower_node(node);
        else
            copy_node(node);
    }
    Program program;
    std::vector<ValueId> outputs;
    for (ValueId v : recorded_.outputs) outputs.push_back(id_of(v));
    for (size_t i = 0; i < trace_.scalars.size(); ++i)
        program.scalars.push_back({trace_.scalar_slots[i], trace_.scalars[i]});
    program.graph = std::move(trace_.graph);
    program.graph.outputs = std::move(outputs);
    for (Value*& v : trace_.holders) {
        if (v) v->recorder = nullptr;
        v = nullptr;
    }
    return program;
}

}  // namespace

Program lower(const Graph& recorded) {
    // Lowered rules may themselves use composite ops; a few rounds reach the fixed point.
    Program program = Lowering(recorded).run();
    for (int round = 0; round < 4; ++round) {
        bool again = false;
        for (const Node& n : program.graph.nodes) {
            const OpDef& def = op_def(n.op);
            again |= def.lower &&
                     !backend(program.graph.meta(n.first_out).device).kernels().kernel(n.op);
        }
        if (!again) break;
        Program next = Lowering(program.graph).run();
        for (ScalarSource& s : next.scalars)
            if (s.slot >= 0) s = program.scalars[s.slot];
        program = std::move(next);
    }
    return program;
}

}  // namespace sn
