#include <algorithm>
#include <optional>
#include <unordered_set>

#include "op/checks.h"
#include "runtime/control.h"
#include "runtime/graph_file.h"
#include "runtime/json.h"
#include "runtime/open_sizes.h"

namespace sn {

namespace {

constexpr size_t kMaxOperands = 65535;

class Reader {
public:
    explicit Reader(std::string_view text)
        : own_(std::in_place, text, "the graph"),
          json_(*own_),
          sites_(own_sites_),
          trace_(Randomness::kSame),
          into_(trace_) {}
    // Of a block of the graph that another one reads.
    explicit Reader(Reader& around)
        : json_(around.json_), sites_(around.sites_), trace_(Randomness::kSame), into_(trace_) {
        model_.sizes = around.model_.sizes;
        version_ = around.version_;
    }
    Model read();

private:
    Model block();
    void blocks();
    void nodes();
    std::vector<ValueId> results();
    Model made(std::vector<ValueId> results);
    std::vector<Tensor> control(const OpDef& def, std::span<const Tensor> in, const Attrs& words);
    int64_t count(int64_t most, const char* what);
    Meta meta(int input = -1);
    Dims shape(int input);
    DType dtype();
    void sizes();
    uint32_t open_size();
    SizeExpr size();
    int64_t word(uint32_t at);
    int64_t evaluated(SizeExpr* e);
    void check_number(size_t i);
    void inputs(const char* title, InputRole role);
    void numbers();
    void sites();
    uint32_t read_site();
    Attrs attrs(const OpDef& def);
    const OpDef& op();
    void node();
    void updates(const std::vector<ValueId>& results);
    void check_result(const OpDef& def, const Tensor& made);

    std::optional<JsonReader> own_;
    JsonReader& json_;
    int64_t version_ = 0;
    Model model_;
    std::vector<BlockRef> blocks_;
    size_t next_block_ = 0;  // the next one that no node has named yet
    std::vector<uint32_t> own_sites_;
    std::vector<uint32_t>& sites_;
    Trace trace_;
    RecordInto into_;
    NoGrad no_grad_;
    std::vector<Tensor> values_;  // by id of the file
    std::vector<ModelNumber> numbers_;
    std::vector<uint8_t> number_checked_;
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

uint32_t Reader::open_size() {
    const std::string name = json_.string();
    for (uint32_t s = 0; s < model_.sizes.size(); ++s)
        if (model_.sizes[s].name == name) return s;
    json_.fail_here("there is no open size '" + name.substr(0, 200) + "'");
}

// `input`: the argument whose sizes may be open.
Dims Reader::shape(int input) {
    Dims dims;
    int64_t elements = 1;
    json_.begin_array();
    while (json_.next_item()) {
        if (input >= 0 && json_.at('"')) {
            const uint32_t open = open_size();
            model_.open_dims.push_back(
                {static_cast<uint32_t>(input), static_cast<uint32_t>(dims.size()), open});
            dims.push_back(model_.sizes[open].example);
        } else {
            dims.push_back(count(kMostSize, "a size"));
        }
        if (dims.size() > static_cast<size_t>(kMaxRank)) json_.fail_here("too many dimensions");
        if (dims.back() > 1 && elements > kMostSize / dims.back())
            json_.fail_here("a tensor has too many elements");
        elements *= std::max<int64_t>(dims.back(), 1);
    }
    return dims;
}

Meta Reader::meta(int input) {
    Meta m;
    json_.key("dtype");
    m.dtype = dtype();
    json_.key("shape");
    m.shape = shape(input);
    return m;
}

void Reader::sizes() {
    json_.key("sizes");
    json_.begin_array();
    while (json_.next_item()) {
        OpenSize open;
        json_.begin_object();
        json_.key("name");
        open.name = json_.string();
        for (const OpenSize& other : model_.sizes)
            if (other.name == open.name)
                json_.fail_here("two sizes are named '" + open.name.substr(0, 200) + "'");
        json_.key("least");
        open.least = count(kMostSize, "the least size");
        json_.key("most");
        open.most = count(kMostSize, "the largest size");
        json_.key("multiple");
        open.multiple = count(kMostSize, "what sizes are multiples of");
        json_.key("example");
        open.example = count(kMostSize, "a size");
        if (open.multiple < 1 || open.example < open.least || open.example > open.most ||
            open.example % open.multiple != 0)
            json_.fail_here("the example is no size that '" + open.name.substr(0, 200) +
                            "' may have");
        json_.end_object();
        model_.sizes.push_back(std::move(open));
        if (model_.sizes.size() > 64) json_.fail_here("too many open sizes");
    }
    json_.key("conditions");
    json_.begin_array();
    while (json_.next_item()) {
        SizeCondition c;
        json_.begin_object();
        json_.key("relation");
        c.relation = static_cast<SizeRelation>(count(kSizeRelations - 1, "a relation"));
        json_.key("difference");
        c.difference = size();
        json_.key("site");
        c.site = read_site();
        json_.end_object();
        if (!holds(c.relation, evaluated(&c.difference)))
            json_.fail_here("a condition does not hold for the example");
        model_.conditions.push_back(std::move(c));
        if (model_.conditions.size() > 4096) json_.fail_here("too many conditions");
    }
}

// An expression; values that it names are known by their ids in the file.
SizeExpr Reader::size() {
    SizeExpr e;
    json_.begin_array();
    if (!json_.next_item()) json_.fail_here("an expression is empty");
    e.divisor = json_.integer();
    if (e.divisor < 1) json_.fail_here("an expression divides by less than 1");
    while (json_.next_item()) {
        SizeTerm term;
        json_.begin_array();
        if (!json_.next_item()) json_.fail_here("a term of an expression is empty");
        term.coefficient = json_.integer();
        while (json_.next_item()) {
            SizeFactor f;
            if (json_.at('"')) {
                f.open = open_size();
            } else {
                json_.begin_array();
                if (!json_.next_item()) json_.fail_here("a factor is empty");
                f.value = static_cast<ValueId>(count(INT32_MAX, "the id of a value"));
                if (!json_.next_item()) json_.fail_here("a factor has no axis");
                f.axis = static_cast<uint32_t>(count(kMaxRank, "an axis"));
                if (json_.next_item()) json_.fail_here("a factor is too long");
            }
            term.factors.push_back(f);
            if (term.factors.size() > 64) json_.fail_here("a term is too long");
        }
        e.terms.push_back(std::move(term));
        if (e.terms.size() > 64) json_.fail_here("an expression is too long");
    }
    return e;
}

// The value of an expression for the example. Ids of the file become those of the graph.
int64_t Reader::evaluated(SizeExpr* e) {
    for (SizeTerm& term : e->terms) {
        for (SizeFactor& f : term.factors) {
            if (f.open != kNone) continue;
            if (f.value >= values_.size() || values_[f.value].is_scalar() ||
                f.axis >= static_cast<uint32_t>(values_[f.value].rank()))
                json_.fail_here("an expression reads a size that does not exist here");
            f.value = trace_.id_of(values_[f.value]);
        }
    }
    const auto factor = [&](const SizeFactor& f) {
        return f.open != kNone ? model_.sizes[f.open].example
                               : trace_.graph.meta(f.value).shape[f.axis];
    };
    try {
        return evaluate(*e, factor);
    } catch (const Error& error) {
        json_.fail_here(error.message());
    }
}

// A whole number among the attributes of the node that is being read.
int64_t Reader::word(uint32_t at) {
    if (model_.sizes.empty() || !json_.at('[')) return json_.integer();
    SizeExpr e = size();
    const int64_t value = evaluated(&e);
    model_.open_words.push_back({static_cast<NodeId>(model_.sites.size()), at, std::move(e)});
    return value;
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
        const int open = role == InputRole::kArgument ? static_cast<int>(values_.size()) : -1;
        values_.push_back(trace_.placeholder(meta(open)));
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
        if (json_.next_key(&kind)) {  // else the object has ended
            if (model_.sizes.empty() || n.role != NumberRole::kConstant ||
                n.value.kind == ScalarKind::kBool)
                json_.fail_here("a number has a second member");
            if (kind != "form") json_.fail_here("'form' is expected");
            n.role = NumberRole::kSize;
            n.form = static_cast<SizeForm>(count(kSizeForms - 1, "a form"));
            json_.key("scale");
            n.scale = read_float(json_);
            json_.key("size");
            n.size = size();
            json_.end_object();
        }
        Tensor t(n.value);
        t.value()->slot = static_cast<int32_t>(numbers_.size());
        values_.push_back(std::move(t));
        numbers_.push_back(n);
    }
    number_checked_.assign(numbers_.size(), 0);
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
        sites_.push_back(read_site());
    }
}

uint32_t Reader::read_site() {
    const std::string text = json_.string();
    return text.empty() ? 0 : text_site("at " + text.substr(0, 1000));
}

// A number that follows from sizes, where it is read first: it must be what it is for the example.
void Reader::check_number(size_t i) {
    if (numbers_[i].role != NumberRole::kSize || number_checked_[i]) return;
    number_checked_[i] = 1;
    const Scalar made = number_of_size(numbers_[i], evaluated(&numbers_[i].size));
    if (made.i != numbers_[i].value.i)
        json_.fail_here("a number is not what its expression gives for the example");
}

Attrs Reader::attrs(const OpDef& def) {
    Attrs attrs;
    const auto here = [&] { return static_cast<uint32_t>(attrs.words().size()); };
    json_.begin_object();
    for (size_t k = 0; k < def.attr_types.size(); ++k) {
        json_.key(def.attr_names[k]);
        switch (def.attr_types[k]) {
            case AttrType::kInt: attrs.i(word(here())); break;
            case AttrType::kFloat: attrs.f(read_float(json_)); break;
            case AttrType::kBool: attrs.b(json_.boolean()); break;
            case AttrType::kDType: attrs.dtype(dtype()); break;
            case AttrType::kInts: {
                Dims list;
                json_.begin_array();
                while (json_.next_item()) {
                    list.push_back(word(here() + 1 + static_cast<uint32_t>(list.size())));
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
        if (name == def.name &&
            (def.tile_op >= 0 || def.check || (version_ >= 3 && is_control(def))))
            return def;
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
        const NumberRole role = numbers_[ids[i] - first_number].role;
        check_number(ids[i] - first_number);
        if (role == NumberRole::kConstant || role == NumberRole::kSize) continue;
        if (!def.draws || i + 2 < ids.size())
            json_.fail_here("a draw is an operand of '" + std::string(def.name) + "'");
    }
    json_.key("attrs");
    const Attrs words = attrs(def);
    const size_t nodes = trace_.graph.nodes.size();
    std::vector<Tensor> out;
    try {
        if (is_control(def)) {
            out = control(def, in, words);
        } else {
            out.resize(static_cast<size_t>(def.n_out));
            check_call(def, in, words);
            record(def.id, in, words, out);
        }
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

// Which parameters the last results are for.
void Reader::updates(const std::vector<ValueId>& results) {
    json_.key("updates");
    json_.begin_array();
    std::unordered_set<int64_t> seen;
    while (json_.next_item()) {
        const int64_t id = count(INT64_MAX, "the id of a parameter");
        if (id >= static_cast<int64_t>(model_.inputs.size()) ||
            model_.inputs[static_cast<size_t>(id)].role != InputRole::kParameter ||
            !seen.insert(id).second)
            json_.fail_here("what a call writes is no parameter, or is written twice");
        model_.updates.push_back(static_cast<uint32_t>(id));
    }
    if (model_.updates.size() > results.size()) json_.fail_here("there are too few results");
    for (size_t i = 0; i < model_.updates.size(); ++i) {
        const Meta& to = trace_.graph.meta(trace_.graph.inputs[model_.updates[i]]);
        const Meta& from = trace_.graph.meta(results[results.size() - model_.updates.size() + i]);
        if (!(from.shape == to.shape) || from.dtype != to.dtype)
            json_.fail_here("a parameter is written with another shape or dtype");
    }
}

// A node that calls blocks. Each block is called by one node: a file of n bytes holds no more than
// n bytes of calls.
std::vector<Tensor> Reader::control(const OpDef& def, std::span<const Tensor> in,
                                    const Attrs& words) {
    const Control c = control_of(def.id, words, blocks_);
    for (int64_t k : AttrView(def.attr_types, words.words()).ints(0))
        if (k != static_cast<int64_t>(next_block_++))
            json_.fail_here("blocks are not called in their order");
    if (c.draw < 0 || c.draw > model_.draws) json_.fail_here("a block draws outside of the call");
    // Only how often a loop runs may follow from open sizes.
    const NodeId id = static_cast<NodeId>(model_.sites.size());
    const size_t times = words.words().size() - (c.kind == ControlKind::kScan ? 2 : 1);
    for (const OpenWord& w : model_.open_words)
        if (w.node == id && (c.kind == ControlKind::kCond || w.word != times))
            json_.fail_here("an attribute of '" + std::string(def.name) + "' is an expression");
    return append_control(trace_, c, in);
}

void Reader::blocks() {
    json_.key("blocks");
    json_.begin_array();
    while (json_.next_item())
        blocks_.push_back(std::make_shared<const Model>(Reader(*this).block()));
}

Model Reader::block() {
    json_.begin_object();
    json_.key("arguments");
    json_.begin_array();
    while (json_.next_item()) {
        json_.begin_object();
        model_.inputs.push_back({"x" + std::to_string(values_.size())});
        values_.push_back(trace_.placeholder(meta()));
        json_.end_object();
        if (values_.size() > kMaxOperands) json_.fail_here("too many operands");
    }
    numbers();
    blocks();
    nodes();
    std::vector<ValueId> ids = results();
    json_.end_object();
    return made(std::move(ids));
}

void Reader::nodes() {
    json_.key("nodes");
    json_.begin_array();
    while (json_.next_item()) node();
    if (next_block_ != blocks_.size()) json_.fail_here("no node calls a block");
}

std::vector<ValueId> Reader::results() {
    json_.key("results");
    json_.begin_array();
    std::vector<ValueId> ids;
    while (json_.next_item()) {
        const int64_t id = count(INT64_MAX, "the id of a result");
        if (id >= static_cast<int64_t>(values_.size())) json_.fail_here("a result does not exist");
        const Tensor& t = values_[static_cast<size_t>(id)];
        if (t.is_scalar()) json_.fail_here("a result is a number");
        ids.push_back(trace_.id_of(t));
        if (ids.size() > kMaxOperands) json_.fail_here("too many results");
    }
    return ids;
}

Model Reader::made(std::vector<ValueId> results) {
    model_.graph = trace_.graph;
    model_.graph.outputs = std::move(results);
    model_.blocks = trace_.blocks;
    for (NodeId id = 0; id < model_.graph.nodes.size(); ++id) model_.graph.nodes[id].origin = id;
    for (int32_t slot : trace_.scalar_slots)
        model_.numbers.push_back(numbers_[static_cast<size_t>(slot)]);
    const std::string broken = verify(model_.graph);
    if (!broken.empty()) fail(ErrorKind::kInternal, "load", "%s", broken.c_str());
    return std::move(model_);
}

Model Reader::read() {
    json_.begin_object();
    json_.key("format");
    if (json_.string() != kGraphFormat) json_.fail_here("it is no graph of Sennit");
    json_.key("version");
    version_ = json_.integer();
    if (version_ < 1 || version_ > kGraphVersion) {
        fail(ErrorKind::kFile, "load",
             "the graph has version %lld of the format; this version of Sennit reads 1 to %d; use "
             "a newer one",
             static_cast<long long>(version_), kGraphVersion);
    }
    if (version_ >= 2) sizes();
    inputs("arguments", InputRole::kArgument);
    inputs("parameters", InputRole::kParameter);
    inputs("constants", InputRole::kConstant);
    numbers();
    sites();
    if (version_ >= 3) blocks();
    nodes();
    std::vector<ValueId> ids = results();
    if (version_ >= 2) updates(ids);
    json_.key("signature");
    model_.signature = std::string(json_.raw());
    json_.end_object();
    json_.end();
    Model m = made(std::move(ids));
    std::vector<uint8_t> given(m.sizes.size(), 0);
    for (const OpenDim& d : m.open_dims) given[d.open] = 1;
    for (size_t s = 0; s < given.size(); ++s)
        if (!given[s]) json_.fail_here("no argument has the open size '" + m.sizes[s].name + "'");
    find_open_shapes(m);
    return m;
}

}  // namespace

Model read_graph(std::string_view text) { return Reader(text).read(); }

}  // namespace sn
