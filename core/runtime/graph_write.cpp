#include <algorithm>
#include <unordered_map>

#include "op/control.h"
#include "runtime/graph_file.h"
#include "runtime/json.h"

namespace sn {

namespace {

// The texts of source lines, each once; of the blocks too.
using Sites = std::unordered_map<std::string, size_t>;

class Writer {
public:
    Writer(const Model& model, Sites& sites, std::string& out);
    void write();

private:
    void size(const SizeExpr& e);
    void meta(const Meta& m, int input = -1);
    void inputs(const char* title, InputRole role);
    void sizes();
    void number(const ModelNumber& n);
    void attr(AttrType type, const AttrView& attrs, int k, NodeId node, uint32_t* word);
    void word(int64_t value, NodeId node, uint32_t word);
    void numbers();
    void nodes();
    void results();
    void add_sites(std::vector<const std::string*>* texts);
    void blocks();

    const Model& m_;
    const Graph& g_;
    Sites& sites_;
    std::string& out_;
    std::vector<Writer> blocks_;  // in the order in which nodes name them
    int64_t next_block_ = 0;
    std::vector<size_t> id_;  // of the file: inputs by role, numbers, results in the order of nodes
    std::vector<size_t> site_of_;
    size_t next_word_ = 0;
};

Writer::Writer(const Model& model, Sites& sites, std::string& out)
    : m_(model), g_(model.graph), sites_(sites), out_(out), id_(g_.values.size()) {
    for (const Node& n : g_.nodes)
        if (is_control(op_def(n.op)))
            for (int64_t k : attr_view(g_, n).ints(0))
                blocks_.emplace_back(*m_.blocks[static_cast<size_t>(k)], sites, out);
    size_t next = 0;
    for (const InputRole role : {InputRole::kArgument, InputRole::kParameter, InputRole::kConstant})
        for (size_t i = 0; i < m_.inputs.size(); ++i)
            if (m_.inputs[i].role == role) id_[g_.inputs[i]] = next++;
    for (ValueId v : g_.scalars) id_[v] = next++;
    for (const Node& n : g_.nodes)
        for (uint32_t k = 0; k < n.n_out; ++k) id_[n.first_out + k] = next++;
}

// [divisor, [coefficient, factor ...] ...], where a factor is a name or [value, axis].
void Writer::size(const SizeExpr& e) {
    out_ += '[' + std::to_string(e.divisor);
    for (const SizeTerm& term : e.terms) {
        out_ += ",[" + std::to_string(term.coefficient);
        for (const SizeFactor& f : term.factors) {
            out_ += ',';
            if (f.open != kNone)
                append_json(out_, m_.sizes[f.open].name);
            else
                out_ += '[' + std::to_string(id_[f.value]) + ',' + std::to_string(f.axis) + ']';
        }
        out_ += ']';
    }
    out_ += ']';
}

// `input`: whose open sizes are written by name.
void Writer::meta(const Meta& m, int input) {
    out_ += "\"dtype\":";
    append_json(out_, dtype_name(m.dtype));
    out_ += ",\"shape\":[";
    for (size_t axis = 0; axis < m.shape.size(); ++axis) {
        if (axis) out_ += ',';
        const auto open = std::ranges::find_if(m_.open_dims, [&](const OpenDim& d) {
            return static_cast<int>(d.input) == input && d.axis == axis;
        });
        if (open == m_.open_dims.end())
            out_ += std::to_string(m.shape[axis]);
        else
            append_json(out_, m_.sizes[open->open].name);
    }
    out_ += ']';
}

void Writer::word(int64_t value, NodeId node, uint32_t word) {
    if (next_word_ < m_.open_words.size() && m_.open_words[next_word_].node == node &&
        m_.open_words[next_word_].word == word)
        size(m_.open_words[next_word_++].size);
    else
        out_ += std::to_string(value);
}

void Writer::attr(AttrType type, const AttrView& attrs, int k, NodeId node, uint32_t* word) {
    const uint32_t at = (*word)++;
    switch (type) {
        case AttrType::kInt: this->word(attrs.i(k), node, at); return;
        case AttrType::kFloat: append_json(out_, attrs.f(k)); return;
        case AttrType::kBool: out_ += attrs.b(k) ? "true" : "false"; return;
        case AttrType::kDType: append_json(out_, dtype_name(attrs.dtype(k))); return;
        case AttrType::kInts: {
            const DimSpan list = attrs.ints(k);
            out_ += '[';
            for (size_t i = 0; i < list.size(); ++i) {
                if (i) out_ += ',';
                this->word(list[i], node, (*word)++);
            }
            out_ += ']';
            return;
        }
    }
}

// Without the folders of the machine that the function was traced on.
std::string portable(std::string_view site) {
    if (site.starts_with("at ")) site.remove_prefix(3);
    const size_t colon = site.find(':');
    const size_t slash = site.substr(0, colon).find_last_of("/\\");
    if (slash != std::string_view::npos) site.remove_prefix(slash + 1);
    return std::string(site);
}

void Writer::inputs(const char* title, InputRole role) {
    out_ += std::string(",\n\"") + title + "\":[";
    bool first = true;
    for (size_t i = 0; i < m_.inputs.size(); ++i) {
        const ModelInput& input = m_.inputs[i];
        if (input.role != role) continue;
        out_ += first ? "\n{\"name\":" : ",\n{\"name\":";
        first = false;
        append_json(out_, input.name);
        out_ += ',';
        meta(g_.meta(g_.inputs[i]), static_cast<int>(i));
        if (role == InputRole::kParameter)
            out_ += std::string(",\"requires_grad\":") + (input.requires_grad ? "true" : "false");
        out_ += '}';
    }
    out_ += ']';
}

void Writer::sizes() {
    out_ += ",\n\"sizes\":[";
    for (size_t s = 0; s < m_.sizes.size(); ++s) {
        const OpenSize& open = m_.sizes[s];
        out_ += s ? ",\n{\"name\":" : "\n{\"name\":";
        append_json(out_, open.name);
        out_ += ",\"least\":" + std::to_string(open.least) +
                ",\"most\":" + std::to_string(open.most) +
                ",\"multiple\":" + std::to_string(open.multiple) +
                ",\"example\":" + std::to_string(open.example) + "}";
    }
    out_ += "],\n\"conditions\":[";
    for (size_t k = 0; k < m_.conditions.size(); ++k) {
        const SizeCondition& c = m_.conditions[k];
        out_ += k ? ",\n{\"relation\":" : "\n{\"relation\":";
        out_ += std::to_string(static_cast<int>(c.relation)) + ",\"difference\":";
        size(c.difference);
        out_ += ",\"site\":";
        append_json(out_, portable(site_text(c.site)));
        out_ += '}';
    }
    out_ += ']';
}

void Writer::number(const ModelNumber& n) {
    if (n.role == NumberRole::kSeed) {
        out_ += "{\"seed\":true}";
        return;
    }
    if (n.role == NumberRole::kDraw) {
        out_ += "{\"draw\":" + std::to_string(n.value.i) + "}";
        return;
    }
    if (n.value.kind == ScalarKind::kFloat) {
        out_ += "{\"float\":";
        append_json(out_, n.value.f);
    } else if (n.value.kind == ScalarKind::kBool) {
        out_ += std::string("{\"bool\":") + (n.value.i ? "true" : "false");
    } else {
        out_ += "{\"int\":" + std::to_string(n.value.i);
    }
    if (n.role == NumberRole::kSize) {
        out_ += ",\"form\":" + std::to_string(static_cast<int>(n.form)) + ",\"scale\":";
        append_json(out_, n.scale);
        out_ += ",\"size\":";
        size(n.size);
    }
    out_ += '}';
}

void require_savable(const Model& m, const Node& n, NodeId id) {
    const OpDef& def = op_def(n.op);
    if (def.tile_op < 0 && !def.check && !is_control(def)) {
        fail(ErrorKind::kValue, "save", "%%%u is the result of '%s', which a file cannot hold yet",
             n.first_out, def.name);
    }
    const auto check_device = [&](const Meta& meta) {
        if (meta.device == Device{}) return;
        fail(ErrorKind::kDevice, "save",
             "operation %u ('%s') works on %s; a file holds graphs of the CPU; trace the function "
             "there",
             id, def.name, device_name(meta.device).c_str());
    };
    for (ValueId v : m.graph.in(n)) check_device(m.graph.meta(v));
    for (uint32_t k = 0; k < n.n_out; ++k) check_device(m.graph.meta(n.first_out + k));
}

void Writer::numbers() {
    out_ += ",\n\"numbers\":[";
    for (size_t i = 0; i < m_.numbers.size(); ++i) {
        out_ += i ? ",\n" : "\n";
        number(m_.numbers[i]);
    }
    out_ += "],\n\"draws\":" + std::to_string(m_.draws);
}

void Writer::add_sites(std::vector<const std::string*>* texts) {
    for (uint32_t site : m_.sites) {
        const auto [it, fresh] = sites_.emplace(portable(site_text(site)), sites_.size());
        site_of_.push_back(it->second);
        if (fresh) texts->push_back(&it->first);
    }
    for (Writer& block : blocks_) block.add_sites(texts);
}

void Writer::blocks() {
    out_ += ",\n\"blocks\":[";
    bool first = true;
    for (Writer& block : blocks_) {
        out_ += first ? "\n{\"arguments\":[" : ",\n{\"arguments\":[";
        first = false;
        for (size_t i = 0; i < block.g_.inputs.size(); ++i) {
            out_ += i ? ",{" : "{";
            block.meta(block.g_.meta(block.g_.inputs[i]));
            out_ += '}';
        }
        out_ += ']';
        block.numbers();
        block.blocks();
        block.nodes();
        block.results();
        out_ += "]}";
    }
    out_ += ']';
}

void Writer::results() {
    out_ += "],\n\"results\":[";
    for (size_t i = 0; i < g_.outputs.size(); ++i)
        out_ += (i ? "," : "") + std::to_string(id_[g_.outputs[i]]);
}

void Writer::nodes() {
    out_ += ",\n\"nodes\":[";
    for (NodeId k = 0; k < g_.nodes.size(); ++k) {
        const Node& n = g_.nodes[k];
        require_savable(m_, n, k);
        const OpDef& def = op_def(n.op);
        out_ += k ? ",\n{\"op\":" : "\n{\"op\":";
        append_json(out_, def.name);
        out_ += ",\"in\":[";
        const auto in = g_.in(n);
        for (size_t i = 0; i < in.size(); ++i) out_ += (i ? "," : "") + std::to_string(id_[in[i]]);
        out_ += "],\"attrs\":{";
        const AttrView attrs = attr_view(g_, n);
        uint32_t word = 0;
        for (size_t i = 0; i < def.attr_types.size(); ++i) {
            if (i) out_ += ',';
            append_json(out_, def.attr_names[i]);
            out_ += ':';
            if (i == 0 && is_control(def)) {  // blocks are numbered as they are written
                word += 1 + static_cast<uint32_t>(attrs.ints(0).size());
                out_ += '[';
                for (size_t b = 0; b < attrs.ints(0).size(); ++b)
                    out_ += (b ? "," : "") + std::to_string(next_block_++);
                out_ += ']';
                continue;
            }
            attr(def.attr_types[i], attrs, static_cast<int>(i), k, &word);
        }
        out_ += "},\"out\":[";
        for (uint32_t i = 0; i < n.n_out; ++i) {
            out_ += i ? ",{" : "{";
            meta(g_.meta(n.first_out + i));
            out_ += '}';
        }
        out_ += std::string("],\"taped\":") + (m_.taped[k] ? "true" : "false") +
                ",\"site\":" + std::to_string(site_of_[k]) + "}";
    }
}

void Writer::write() {
    out_ = "{\"format\":";
    append_json(out_, kGraphFormat);
    const bool third = !blocks_.empty();
    const bool second = third || !m_.sizes.empty() || !m_.updates.empty();
    out_ += ",\"version\":" + std::to_string(third ? 3 : second ? 2 : 1);
    if (second) sizes();
    inputs("arguments", InputRole::kArgument);
    inputs("parameters", InputRole::kParameter);
    inputs("constants", InputRole::kConstant);
    numbers();
    out_ += ",\n\"sites\":[";
    std::vector<const std::string*> texts;
    add_sites(&texts);
    for (size_t i = 0; i < texts.size(); ++i) {
        out_ += i ? ",\n" : "\n";
        append_json(out_, *texts[i]);
    }
    out_ += ']';
    if (third) blocks();
    nodes();
    results();
    if (second) {
        out_ += "],\n\"updates\":[";
        for (size_t i = 0; i < m_.updates.size(); ++i)
            out_ += (i ? "," : "") + std::to_string(id_[g_.inputs[m_.updates[i]]]);
    }
    out_ += "],\n\"signature\":" + (m_.signature.empty() ? "null" : m_.signature) + "}\n";
}

}  // namespace

std::string write_graph(const Model& m) {
    Sites sites;
    std::string out;
    Writer(m, sites, out).write();
    return out;
}

}  // namespace sn
