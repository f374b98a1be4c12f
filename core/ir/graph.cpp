#include "ir/graph.h"

#include <cstdio>

#include "op/op.h"

namespace sn {

ValueId Graph::add_input(const Meta& meta) {
    const ValueId id = static_cast<ValueId>(values.size());
    values.push_back({meta, ValueKind::kInput, 0, static_cast<uint32_t>(inputs.size())});
    inputs.push_back(id);
    return id;
}

ValueId Graph::add_scalar(DType dtype, Device device) {
    const ValueId id = static_cast<ValueId>(values.size());
    values.push_back(
        {Meta{{}, dtype, device}, ValueKind::kScalar, 0, static_cast<uint32_t>(scalars.size())});
    scalars.push_back(id);
    return id;
}

ValueId Graph::add_node(OpId op, std::span<const ValueId> in, std::span<const int64_t> attr_words,
                        std::span<const Meta> out, uint32_t origin) {
    Node n;
    n.op = op;
    n.n_in = static_cast<uint16_t>(in.size());
    n.n_out = static_cast<uint16_t>(out.size());
    n.n_attrs = static_cast<uint16_t>(attr_words.size());
    n.first_in = static_cast<uint32_t>(operands.size());
    n.first_attr = static_cast<uint32_t>(attrs.size());
    n.first_out = static_cast<ValueId>(values.size());
    n.origin = origin;
    const NodeId id = static_cast<NodeId>(nodes.size());
    operands.insert(operands.end(), in.begin(), in.end());
    attrs.insert(attrs.end(), attr_words.begin(), attr_words.end());
    for (size_t k = 0; k < out.size(); ++k)
        values.push_back({out[k], ValueKind::kNode, static_cast<uint16_t>(k), id});
    nodes.push_back(n);
    return n.first_out;
}

void Graph::clear() {
    nodes.clear();
    values.clear();
    operands.clear();
    attrs.clear();
    inputs.clear();
    scalars.clear();
    outputs.clear();
}

namespace {

std::string format_meta(const Meta& m) {
    std::string text = dtype_name(m.dtype);
    text += "[";
    for (size_t i = 0; i < m.shape.size(); ++i) {
        if (i) text += ", ";
        text += std::to_string(m.shape[i]);
    }
    return text + "]";
}

std::string format_attrs(const OpDef& def, AttrView attrs) {
    std::string text;
    for (size_t k = 0; k < def.attr_types.size(); ++k) {
        const int i = static_cast<int>(k);
        text += (k ? ", " : "") + std::string(def.attr_names[k]) + "=";
        switch (def.attr_types[k]) {
            case AttrType::kInt: text += std::to_string(attrs.i(i)); break;
            case AttrType::kBool: text += attrs.b(i) ? "true" : "false"; break;
            case AttrType::kDType: text += dtype_name(attrs.dtype(i)); break;
            case AttrType::kInts: text += format_shape(attrs.ints(i)); break;
            case AttrType::kFloat: {
                char buffer[32];
                std::snprintf(buffer, sizeof buffer, "%g", attrs.f(i));
                text += buffer;
                break;
            }
        }
    }
    return text;
}

}  // namespace

std::string print(const Graph& graph) {
    std::string text;
    for (ValueId v : graph.inputs)
        text += "%" + std::to_string(v) + ": " + format_meta(graph.meta(v)) + " = input\n";
    for (ValueId v : graph.scalars)
        text += "%" + std::to_string(v) + ": " + dtype_name(graph.meta(v).dtype) + " = scalar\n";
    for (const Node& n : graph.nodes) {
        const OpDef& def = op_def(n.op);
        for (uint32_t k = 0; k < n.n_out; ++k) {
            text += (k ? ", %" : "%") + std::to_string(n.first_out + k) + ": " +
                    format_meta(graph.meta(n.first_out + k));
        }
        text += " = " + std::string(def.name) + "(";
        const auto in = graph.in(n);
        for (size_t k = 0; k < in.size(); ++k) text += (k ? ", %" : "%") + std::to_string(in[k]);
        text += ")";
        const std::string attrs = format_attrs(def, attr_view(graph, n));
        if (!attrs.empty()) text += "  {" + attrs + "}";
        text += "\n";
    }
    text += "return";
    for (ValueId v : graph.outputs) text += " %" + std::to_string(v);
    return text + "\n";
}

std::string verify(const Graph& g) {
    const auto broken = [](NodeId n, const char* what) {
        return "node " + std::to_string(n) + ": " + what;
    };
    for (NodeId id = 0; id < g.nodes.size(); ++id) {
        const Node& n = g.nodes[id];
        if (n.op >= op_count()) return broken(id, "unknown op");
        const OpDef& def = op_def(n.op);
        if (def.n_in >= 0 && n.n_in < def.n_in) return broken(id, "too few inputs");
        if (def.n_out >= 0 && n.n_out != def.n_out) return broken(id, "wrong number of outputs");
        if (n.first_in + n.n_in > g.operands.size()) return broken(id, "operands out of range");
        if (n.first_attr + n.n_attrs > g.attrs.size()) return broken(id, "attributes out of range");
        if (n.first_out + n.n_out > g.values.size()) return broken(id, "outputs out of range");
        for (ValueId v : g.in(n)) {
            if (v >= g.values.size()) return broken(id, "input out of range");
            if (g.values[v].kind == ValueKind::kNode && g.values[v].source >= id)
                return broken(id, "input is made later");
        }
        for (uint32_t k = 0; k < n.n_out; ++k) {
            const ValueInfo& v = g.values[n.first_out + k];
            if (v.kind != ValueKind::kNode || v.source != id || v.output != k)
                return broken(id, "output does not point back");
        }
    }
    for (size_t i = 0; i < g.inputs.size(); ++i) {
        const ValueInfo& v = g.values[g.inputs[i]];
        if (v.kind != ValueKind::kInput || v.source != i) return "input table does not point back";
    }
    for (size_t i = 0; i < g.scalars.size(); ++i) {
        const ValueInfo& v = g.values[g.scalars[i]];
        if (v.kind != ValueKind::kScalar || v.source != i)
            return "scalar table does not point back";
    }
    for (ValueId v : g.outputs)
        if (v >= g.values.size()) return "graph output out of range";
    return {};
}

}  // namespace sn
