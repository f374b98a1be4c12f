#include <cstring>
#include <deque>
#include <string>
#include <unordered_map>

#include "op/families.h"
#include "op/function.h"
#include "op/op.h"

namespace sn {

namespace {

struct Registry {
    std::deque<OpDef> ops;  // a deque: references stay valid while families register
    std::unordered_map<std::string_view, OpId> by_name;
    std::vector<FunctionDef> functions;
    std::unordered_map<std::string_view, size_t> function_by_name;
    std::deque<std::string> names;  // what attr_names point into
};

Registry& raw_registry() {
    static Registry* registry = new Registry;  // never destroyed: kernels may run during exit
    return *registry;
}

Registry& registry() {
    static const bool filled = [] {
        register_families();
        return true;
    }();
    (void)filled;
    return raw_registry();
}

void parse_schema(OpDef& def, Registry& r) {
    std::string_view rest = def.schema;
    while (!rest.empty()) {
        const size_t space = rest.find(' ');
        const std::string_view item = rest.substr(0, space);
        const size_t colon = item.find(':');
        SN_CHECK(colon != std::string_view::npos);
        const std::string_view type = item.substr(colon + 1);
        r.names.emplace_back(item.substr(0, colon));
        def.attr_names.push_back(r.names.back().c_str());
        if (type == "int")
            def.attr_types.push_back(AttrType::kInt);
        else if (type == "float")
            def.attr_types.push_back(AttrType::kFloat);
        else if (type == "bool")
            def.attr_types.push_back(AttrType::kBool);
        else if (type == "dtype")
            def.attr_types.push_back(AttrType::kDType);
        else if (type == "ints")
            def.attr_types.push_back(AttrType::kInts);
        else
            fail(ErrorKind::kInternal, def.name, "unknown attribute type in schema '%s'",
                 def.schema);
        rest = space == std::string_view::npos ? std::string_view() : rest.substr(space + 1);
    }
}

}  // namespace

OpId register_op(OpDef def) {
    Registry& r = raw_registry();
    SN_CHECK(def.name && !r.by_name.contains(def.name));
    def.id = static_cast<OpId>(r.ops.size());
    parse_schema(def, r);
    r.ops.push_back(std::move(def));
    r.by_name.emplace(r.ops.back().name, r.ops.back().id);
    return r.ops.back().id;
}

void set_complex_rule(std::string_view op, ComplexGrad grad, ComplexFn rule) {
    Registry& r = raw_registry();
    const auto it = r.by_name.find(op);
    SN_CHECK(it != r.by_name.end());
    OpDef& def = r.ops[it->second];
    SN_CHECK(!def.complex && !def.moves);
    def.complex = rule;
    def.complex_grad = grad;
}

const OpDef& op_def(OpId id) { return raw_registry().ops[id]; }
int op_count() { return static_cast<int>(registry().ops.size()); }

OpId find_op(std::string_view name) {
    const Registry& r = registry();
    const auto it = r.by_name.find(name);
    if (it == r.by_name.end()) {
        fail(ErrorKind::kValue, "find_op", "there is no op named '%.*s'",
             static_cast<int>(name.size()), name.data());
    }
    return it->second;
}

#if !defined(SN_RUNTIME)
void register_function(FunctionDef def) {
    Registry& r = raw_registry();
    const std::string_view signature = def.signature;
    const auto [at, fresh] =
        r.function_by_name.emplace(signature.substr(0, signature.find('(')), r.functions.size());
    if (fresh)
        r.functions.push_back(def);
    else
        r.functions[at->second] = def;
}
#endif
const std::vector<FunctionDef>& functions() { return registry().functions; }
Autocast autocast_of(std::string_view function) {
    const Registry& r = registry();
    return r.functions[r.function_by_name.at(function)].autocast;
}

}  // namespace sn
