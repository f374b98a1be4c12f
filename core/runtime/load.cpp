#include "runtime/load.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "record/read.h"
#include "runtime/graph_file.h"
#include "runtime/json.h"
#include "runtime/safetensors.h"

namespace sn {

namespace {

// Names of arguments and results, from the text that says how they are nested
// (sennit/_signature.py writes it, and checks the same).
class Signature {
public:
    Signature(std::string_view text, SavedModel& to) : json_(text, "the signature"), to_(to) {}

    void read() {
        bool has[4] = {};
        const auto once = [&](int k) {
            if (has[k]) json_.fail_here("a member occurs twice");
            has[k] = true;
        };
        std::string key;
        json_.begin_object();
        while (json_.next_key(&key)) {
            if (key == "name") {
                once(0);
                to_.name = json_.string();
            } else if (key == "args" || key == "kwargs") {
                once(key == "args" ? 1 : 2);
                if (key == "kwargs" && !has[1]) json_.fail_here("'args' must come first");
                walk("input", key == "args" ? "tuple" : "dict", "");
            } else if (key == "result") {
                once(3);
                walk("output", nullptr, "");
            } else {
                json_.fail_here("the member '" + key.substr(0, 40) + "' is unknown");
            }
        }
        json_.end();
        if (!has[0] || !has[1] || !has[2] || !has[3])
            json_.fail_here("its members must be name, args, kwargs and result");
        if (next_input_ != to_.n_arguments)
            json_.fail_here("it does not name every argument once, in order");
    }

private:
    void leaf(std::string_view role, const std::string& path) {
        const int64_t k = json_.integer();
        if (role == "input") {
            if (k < 0 || static_cast<size_t>(k) != next_input_ || next_input_ >= to_.n_arguments)
                json_.fail_here("it does not name every argument once, in order");
            ++next_input_;
            return;
        }
        if (k < 0 || static_cast<size_t>(k) >= to_.outputs.size())
            json_.fail_here("a result does not exist");
        std::string& name = to_.outputs[static_cast<size_t>(k)];
        if (name.empty()) name = path.empty() ? "output" : path;
    }

    void value() {  // a number, text, true or false
        if (json_.at('{') || json_.at('[') || json_.at('n'))
            json_.fail_here("a value is no number or text");
        json_.raw();
    }

    // As deep as the reader allows.
    void walk(std::string_view role, const char* wanted, const std::string& path) {
        std::string kind;
        json_.begin_object();
        if (!json_.next_key(&kind)) json_.fail_here("a structure has not one member");
        if (wanted && kind != wanted)
            json_.fail_here("arguments are no tuple, or named ones no dict");
        const auto below = [&](const std::string& name) {
            return path.empty() ? name : path + "." + name;
        };
        if (kind == "tuple" || kind == "list") {
            json_.begin_array();
            for (size_t i = 0; json_.next_item(); ++i)
                walk(role, nullptr, below(std::to_string(i)));
        } else if (kind == "dict") {
            std::unordered_set<std::string> keys;
            json_.begin_array();
            while (json_.next_item()) {
                json_.begin_array();
                if (!json_.next_item()) json_.fail_here("an item of a dict is no pair");
                const std::string key = json_.string();
                if (!keys.insert(key).second) json_.fail_here("a dict has a key twice");
                if (!json_.next_item()) json_.fail_here("an item of a dict is no pair");
                walk(role, nullptr, below(key));
                if (json_.next_item()) json_.fail_here("an item of a dict is no pair");
            }
        } else if (kind == role) {
            leaf(role, path);
        } else if (kind == "value") {
            value();
        } else if (kind == "none") {
            if (!json_.boolean()) json_.fail_here("'none' is not true");
        } else {
            json_.fail_here("a structure is '" + kind.substr(0, 40) + "'");
        }
        json_.end_object();
    }

    JsonReader json_;
    SavedModel& to_;
    size_t next_input_ = 0;
};

// A tensor over bytes of the file, or over a copy when they do not lie as elements must.
Tensor tensor_of(const StoredTensor& stored, const std::shared_ptr<const FileBytes>& file) {
    const size_t size = dtype_size(stored.dtype);
    const Dims strides = contiguous_strides(stored.shape);
    void* data = const_cast<std::byte*>(stored.data.data());
    if (stored.data.empty() || reinterpret_cast<size_t>(data) % size != 0)
        return from_memory(data, stored.shape, strides, stored.dtype, Device{});
    auto* keep = new std::shared_ptr<const FileBytes>(file);
    BufferRef buffer = Buffer::borrow(
        data, stored.data.size(), keep,
        [](void* owner) { delete static_cast<std::shared_ptr<const FileBytes>*>(owner); }, false);
    return from_buffer(std::move(buffer), 0, stored.shape, strides, stored.dtype, Device{});
}

std::string type_text(DType dtype, DimSpan shape) {
    return std::string(dtype_name(dtype)) + format_shape(shape);
}

}  // namespace

SavedModel read_model(std::shared_ptr<const FileBytes> file, bool checksum) {
    StoredFile stored = read_safetensors(file->bytes(), checksum);
    const auto found = stored.metadata.find(std::string(kGraphKey));
    if (found == stored.metadata.end()) {
        fail(ErrorKind::kFile, "load",
             "the file holds %zu tensors and no graph; write one with sn.trace(...).save(path)",
             stored.tensors.size());
    }
    SavedModel made;
    made.graph = std::move(found->second);
    made.model = read_graph(made.graph);
    stored.metadata.erase(found);
    made.metadata = std::move(stored.metadata);
    std::unordered_map<std::string_view, const StoredTensor*> by_name;
    for (const StoredTensor& t : stored.tensors) by_name.emplace(t.name, &t);
    const Model& m = made.model;
    for (size_t i = 0; i < m.inputs.size(); ++i) {
        if (m.inputs[i].role == InputRole::kArgument) {
            ++made.n_arguments;
            continue;
        }
        const Meta& want = m.graph.meta(m.graph.inputs[i]);
        const auto it = by_name.find(m.inputs[i].name);
        const StoredTensor* t = it == by_name.end() ? nullptr : it->second;
        if (!t || t->dtype != want.dtype || !(t->shape == want.shape)) {
            fail(ErrorKind::kFile, "load",
                 "the graph needs '%s' as %s, and the file has it as %s; fetch or save the file "
                 "again",
                 m.inputs[i].name.c_str(), type_text(want.dtype, want.shape).c_str(),
                 t ? type_text(t->dtype, t->shape).c_str() : "missing");
        }
        made.stand.push_back(tensor_of(*t, file));
        by_name.erase(it);
    }
    if (!by_name.empty()) {
        fail(ErrorKind::kFile, "load",
             "the graph does not use '%.*s'; fetch or save the file again",
             static_cast<int>(std::min<size_t>(by_name.begin()->first.size(), 100)),
             by_name.begin()->first.data());
    }
    made.outputs.resize(m.graph.outputs.size() - m.updates.size());
    Signature(m.signature, made).read();
    for (size_t k = 0; k < made.outputs.size(); ++k)
        if (made.outputs[k].empty()) made.outputs[k] = "result." + std::to_string(k);
    return made;
}

}  // namespace sn
