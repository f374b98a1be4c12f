#include "runtime/graph_file.h"

#include <unordered_map>
#include <unordered_set>

#include "op/checks.h"
#include "runtime/json.h"

namespace sn {

namespace {

constexpr std::string_view kFormat = "sennit graph";
constexpr int64_t kMaxElements = int64_t{1} << 48;
constexpr size_t kMaxOperands = 65535;

// ---- writing

void append(std::string& out, DimSpan list) {
    out += '[';
    for (size_t i = 0; i < list.size(); ++i) out += (i ? "," : "") + std::to_string(list[i]);
    out += ']';
}

void append_meta(std::string& out, const Meta& m) {
    out += "\"dtype\":";
    append_json(out, dtype_name(m.dtype));
    out += ",\"shape\":";
    append(out, m.shape);
}

void append_attr(std::string& out, AttrType type, const AttrView& attrs, int k) {
    switch (type) {
        case AttrType::kInt: out += std::to_string(attrs.i(k)); return;
        case AttrType::kFloat: append_json(out, attrs.f(k)); return;
        case AttrType::kBool: out += attrs.b(k) ? "true" : "false"; return;
        case AttrType::kDType: append_json(out, dtype_name(attrs.dtype(k))); return;
        case AttrType::kInts: append(out, attrs.ints(k)); return;
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

void append_inputs(std::string& out, const Model& m, const char* title, InputRole role) {
    out += std::string(",\n\"") + title + "\":[";
    bool first = true;
    for (size_t i = 0; i < m.inputs.size(); ++i) {
        const ModelInput& input = m.inputs[i];
        if (input.role != role) continue;
        out += first ? "\n{\"name\":" : ",\n{\"name\":";
        first = false;
        append_json(out, input.name);
        out += ',';
        append_meta(out, m.graph.meta(m.graph.inputs[i]));
        if (role == InputRole::kParameter)
            out += std::string(",\"requires_grad\":") + (input.requires_grad ? "true" : "false");
        out += '}';
    }
    out += ']';
}

void append_number(std::string& out, const ModelNumber& n) {
    if (n.role == NumberRole::kSeed) {
        out += "{\"seed\":true}";
    } else if (n.role == NumberRole::kDraw) {
        out += "{\"draw\":" + std::to_string(n.value.i) + "}";
    } else if (n.value.kind == ScalarKind::kFloat) {
        out += "{\"float\":";
        append_json(out, n.value.f);
        out += '}';
    } else if (n.value.kind == ScalarKind::kBool) {
        out += std::string("{\"bool\":") + (n.value.i ? "true}" : "false}");
    } else {
        out += "{\"int\":" + std::to_string(n.value.i) + "}";
    }
}

void require_savable(const Model& m, const Node& n, NodeId id) {
    const OpDef& def = op_def(n.op);
    if (def.tile_op < 0 && !def.check) {
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

}  // namespace

std::string write_graph(const Model& m) {
    const Graph& g = m.graph;
    // Ids of the file: inputs by role, numbers, results in the order of the nodes.
    std::vector<size_t> id(g.values.size());
    size_t next = 0;
    for (const InputRole role : {InputRole::kArgument, InputRole::kParameter, InputRole::kConstant})
        for (size_t i = 0; i < m.inputs.size(); ++i)
            if (m.inputs[i].role == role) id[g.inputs[i]] = next++;
    for (ValueId v : g.scalars) id[v] = next++;
    for (const Node& n : g.nodes)
        for (uint32_t k = 0; k < n.n_out; ++k) id[n.first_out + k] = next++;

    std::string out = "{\"format\":";
    append_json(out, kFormat);
    out += ",\"version\":" + std::to_string(kGraphVersion);
    append_inputs(out, m, "arguments", InputRole::kArgument);
    append_inputs(out, m, "parameters", InputRole::kParameter);
    append_inputs(out, m, "constants", InputRole::kConstant);
    out += ",\n\"numbers\":[";
    for (size_t i = 0; i < m.numbers.size(); ++i) {
        out += i ? ",\n" : "\n";
        append_number(out, m.numbers[i]);
    }
    out += "],\n\"draws\":" + std::to_string(m.draws) + ",\n\"sites\":[";
    std::unordered_map<std::string, size_t> sites;
    std::vector<size_t> site_of;
    for (uint32_t site : m.sites) {
        const std::string text = portable(site_text(site));
        const auto [it, fresh] = sites.emplace(text, sites.size());
        site_of.push_back(it->second);
        if (!fresh) continue;
        out += it->second ? ",\n" : "\n";
        append_json(out, text);
    }
    out += "],\n\"nodes\":[";
    for (NodeId k = 0; k < g.nodes.size(); ++k) {
        const Node& n = g.nodes[k];
        require_savable(m, n, k);
        const OpDef& def = op_def(n.op);
        out += k ? ",\n{\"op\":" : "\n{\"op\":";
        append_json(out, def.name);
        out += ",\"in\":[";
        const auto in = g.in(n);
        for (size_t i = 0; i < in.size(); ++i) out += (i ? "," : "") + std::to_string(id[in[i]]);
        out += "],\"attrs\":{";
        const AttrView attrs = attr_view(g, n);
        for (size_t i = 0; i < def.attr_types.size(); ++i) {
            if (i) out += ',';
            append_json(out, def.attr_names[i]);
            out += ':';
            append_attr(out, def.attr_types[i], attrs, static_cast<int>(i));
        }
        out += "},\"out\":[";
        for (uint32_t i = 0; i < n.n_out; ++i) {
            out += i ? ",{" : "{";
            append_meta(out, g.meta(n.first_out + i));
            out += '}';
        }
        out += std::string("],\"taped\":") + (m.taped[k] ? "true" : "false") +
               ",\"site\":" + std::to_string(site_of[k]) + "}";
    }
    out += "],\n\"results\":[";
    for (size_t i = 0; i < g.outputs.size(); ++i)
        out += (i ? "," : "") + std::to_string(id[g.outputs[i]]);
    return out + "],\n\"signature\":" + (m.signature.empty() ? "null" : m.signature) + "}\n";
}

// ---- reading

namespace {

class Reader {
public:
    explicit Reader(std::string_view text)
        : json_(text, "the graph"), trace_(Randomness::kSame), into_(trace_) {}
    Model read();

private:
    int64_t count(int64_t most, const char* what);
    Meta meta();
    Dims shape();
    DType dtype();
    void inputs(const char* title, InputRole role);
    void numbers();
    void sites();
    Attrs attrs(const OpDef& def);
    const OpDef& op();
    void node();
    void check_result(const OpDef& def, const Tensor& made);

    JsonReader json_;
    Model model_;
    Trace trace_;
    RecordInto into_;
    NoGrad no_grad_;
    std::vector<Tensor> values_;  // by id of the file
    std::vector<uint32_t> sites_;
    std::vector<ModelNumber> numbers_;
    std::unordered_set<std::string> names_;
};

int64_t Reader::count(int64_t most, const char* what) {
    const int64_t value = json_.integer();
    if (value < 0 || value > most)
        json_.fail_here(std::string(what) + " is " + std::to_string(value));
    return value;
}

DType Reader::dtype() {
    const std::string name = json_.string();
    DType dtype{};
    if (!parse_dtype(name.c_str(), &dtype))
        json_.fail_here("'" + name.substr(0, 40) + "' is no dtype");
    return dtype;
}

Dims Reader::shape() {
    Dims dims;
    int64_t elements = 1;
    json_.begin_array();
    while (json_.next_item()) {
        dims.push_back(count(kMaxElements, "a size"));
        if (dims.size() > static_cast<size_t>(kMaxRank)) json_.fail_here("too many dimensions");
        if (dims.back() > 1 && elements > kMaxElements / dims.back())
            json_.fail_here("a tensor has too many elements");
        elements *= std::max<int64_t>(dims.back(), 1);
    }
    return dims;
}

Meta Reader::meta() {
    Meta m;
    json_.key("dtype");
    m.dtype = dtype();
    json_.key("shape");
    m.shape = shape();
    return m;
}

void Reader::inputs(const char* title, InputRole role) {
    json_.key(title);
    json_.begin_array();
    while (json_.next_item()) {
        ModelInput input;
        input.role = role;
        json_.begin_object();
        json_.key("name");
        input.name = json_.string();
        if (!names_.insert(input.name).second)
            json_.fail_here("two inputs are named '" + input.name.substr(0, 200) + "'");
        values_.push_back(trace_.placeholder(meta()));
        if (role == InputRole::kParameter) {
            json_.key("requires_grad");
            input.requires_grad = json_.boolean();
            if (input.requires_grad && !is_inexact(values_.back().dtype()))
                json_.fail_here("a parameter of an integer dtype requires a gradient");
        }
        json_.end_object();
        model_.inputs.push_back(std::move(input));
    }
}

void Reader::numbers() {
    json_.key("numbers");
    json_.begin_array();
    while (json_.next_item()) {
        ModelNumber n;
        std::string kind;
        json_.begin_object();
        if (!json_.next_key(&kind)) json_.fail_here("a number is empty");
        if (kind == "float") {
            n.value = Scalar::of_float(read_float(json_));
        } else if (kind == "int") {
            n.value = Scalar::of_int(json_.integer());
        } else if (kind == "bool") {
            n.value = Scalar::of_bool(json_.boolean());
        } else if (kind == "draw") {
            n = {Scalar::of_int(json_.integer()), NumberRole::kDraw};
            if (n.value.i < 0) json_.fail_here("a draw before the first one");
        } else if (kind == "seed") {
            if (!json_.boolean()) json_.fail_here("true is expected");
            n = {Scalar::of_int(0), NumberRole::kSeed};
        } else {
            json_.fail_here("a number of the unknown kind '" + kind.substr(0, 40) + "'");
        }
        json_.end_object();
        Tensor t(n.value);
        t.value()->slot = static_cast<int32_t>(numbers_.size());
        values_.push_back(std::move(t));
        numbers_.push_back(n);
    }
    json_.key("draws");
    model_.draws = count(INT32_MAX, "the number of draws");
    for (const ModelNumber& n : numbers_)
        if (n.role == NumberRole::kDraw && n.value.i >= model_.draws)
            json_.fail_here("a draw behind the last one");
}

void Reader::sites() {
    json_.key("sites");
    json_.begin_array();
    while (json_.next_item()) {
        const std::string text = json_.string();
        sites_.push_back(text.empty() ? 0 : text_site("at " + text.substr(0, 1000)));
    }
}

Attrs Reader::attrs(const OpDef& def) {
    Attrs attrs;
    json_.begin_object();
    for (size_t k = 0; k < def.attr_types.size(); ++k) {
        json_.key(def.attr_names[k]);
        switch (def.attr_types[k]) {
            case AttrType::kInt: attrs.i(json_.integer()); break;
            case AttrType::kFloat: attrs.f(read_float(json_)); break;
            case AttrType::kBool: attrs.b(json_.boolean()); break;
            case AttrType::kDType: attrs.dtype(dtype()); break;
            case AttrType::kInts: {
                Dims list;
                json_.begin_array();
                while (json_.next_item()) {
                    list.push_back(json_.integer());
                    if (list.size() > 4096) json_.fail_here("an attribute is too long");
                }
                attrs.ints(list);
                break;
            }
        }
    }
    json_.end_object();
    if (attrs.words().size() > kMaxOperands) json_.fail_here("attributes are too long");
    return attrs;
}

const OpDef& Reader::op() {
    const std::string name = json_.string();
    for (OpId id = 0; id < op_count(); ++id) {
        const OpDef& def = op_def(id);
        if (name == def.name && (def.tile_op >= 0 || def.check)) return def;
    }
    json_.fail_here("there is no operation '" + name.substr(0, 40) +
                    "'; a newer version may have written the file");
}

void Reader::check_result(const OpDef& def, const Tensor& made) {
    json_.begin_object();
    const Meta want = meta();
    json_.end_object();
    if (made && made.shape() == want.shape && made.dtype() == want.dtype &&
        made.device() == Device{})
        return;
    const std::string is =
        made ? std::string(dtype_name(made.dtype())) + format_shape(made.shape()) : "nothing";
    json_.fail_here(std::string("a result of '") + def.name + "' is " + is + " by its rules and " +
                    dtype_name(want.dtype) + format_shape(want.shape) + " by the file");
}

void Reader::node() {
    json_.begin_object();
    json_.key("op");
    const OpDef& def = op();
    json_.key("in");
    std::vector<Tensor> in;
    std::vector<size_t> ids;
    json_.begin_array();
    while (json_.next_item()) {
        const int64_t id = count(INT64_MAX, "the id of an operand");
        if (id >= static_cast<int64_t>(values_.size())) {
            json_.fail_here("an operand of '" + std::string(def.name) + "' is value " +
                            std::to_string(id) + ", which is made later or not at all");
        }
        in.push_back(values_[static_cast<size_t>(id)]);
        ids.push_back(static_cast<size_t>(id));
        if (in.size() > kMaxOperands) json_.fail_here("too many operands");
    }
    // What a number will be at a call is checked here, so it must be known.
    const size_t first_number = model_.inputs.size();
    for (size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] < first_number || ids[i] >= first_number + numbers_.size()) continue;
        if (numbers_[ids[i] - first_number].role == NumberRole::kConstant) continue;
        if (!def.draws || i + 2 < ids.size())
            json_.fail_here("a draw is an operand of '" + std::string(def.name) + "'");
    }
    json_.key("attrs");
    const Attrs words = attrs(def);
    const size_t nodes = trace_.graph.nodes.size();
    std::vector<Tensor> out(static_cast<size_t>(def.n_out));
    try {
        check_call(def, in, words);
        record(def.id, in, words, out);
    } catch (const Error& e) {
        json_.fail_here(std::string("a call of '") + def.name + "' is ill-typed: " + e.message());
    }
    // A call from a file is one call: nothing is converted on the way.
    if (trace_.graph.nodes.size() != nodes + 1)
        json_.fail_here(std::string("operands of '") + def.name + "' have different dtypes");
    json_.key("out");
    json_.begin_array();
    for (const Tensor& made : out) {
        if (!json_.next_item()) json_.fail_here("a result is missing");
        check_result(def, made);
        values_.push_back(made);
    }
    if (json_.next_item()) json_.fail_here("there are too many results");
    json_.key("taped");
    model_.taped.push_back(json_.boolean());
    json_.key("site");
    const int64_t site = count(INT64_MAX, "a site");
    if (site >= static_cast<int64_t>(sites_.size())) json_.fail_here("a site is out of range");
    model_.sites.push_back(sites_[static_cast<size_t>(site)]);
    json_.end_object();
}

Model Reader::read() {
    json_.begin_object();
    json_.key("format");
    if (json_.string() != kFormat) json_.fail_here("it is no graph of Sennit");
    json_.key("version");
    const int64_t version = json_.integer();
    if (version < 1 || version > kGraphVersion) {
        fail(ErrorKind::kFile, "load",
             "the graph has version %lld of the format; this version of Sennit reads 1 to %d; use "
             "a newer one",
             static_cast<long long>(version), kGraphVersion);
    }
    inputs("arguments", InputRole::kArgument);
    inputs("parameters", InputRole::kParameter);
    inputs("constants", InputRole::kConstant);
    numbers();
    sites();
    json_.key("nodes");
    json_.begin_array();
    while (json_.next_item()) node();
    json_.key("results");
    json_.begin_array();
    std::vector<ValueId> results;
    while (json_.next_item()) {
        const int64_t id = count(INT64_MAX, "the id of a result");
        if (id >= static_cast<int64_t>(values_.size())) json_.fail_here("a result does not exist");
        const Tensor& t = values_[static_cast<size_t>(id)];
        if (t.is_scalar()) json_.fail_here("a result is a number");
        results.push_back(trace_.id_of(t));
    }
    json_.key("signature");
    model_.signature = std::string(json_.raw());
    json_.end_object();
    json_.end();
    model_.graph = trace_.graph;
    model_.graph.outputs = std::move(results);
    for (NodeId id = 0; id < model_.graph.nodes.size(); ++id) model_.graph.nodes[id].origin = id;
    for (int32_t slot : trace_.scalar_slots)
        model_.numbers.push_back(numbers_[static_cast<size_t>(slot)]);
    const std::string broken = verify(model_.graph);
    if (!broken.empty()) fail(ErrorKind::kInternal, "load", "%s", broken.c_str());
    return std::move(model_);
}

}  // namespace

Model read_graph(std::string_view text) { return Reader(text).read(); }

}  // namespace sn
