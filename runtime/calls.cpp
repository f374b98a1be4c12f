// Calls of models: arguments become tensors, the graph is recorded or found prepared, and results
// are copied or left in the session.
#include "calls.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "plan/execute.h"
#include "record/read.h"
#include "record/trace.h"
#include "runtime/control.h"

namespace sn {

Meta meta_of(const sn_tensor& t, const std::string& name, const char* op) {
    if (t.dtype < 0 || t.dtype >= kNumDTypes)
        fail(ErrorKind::kDType, op, "'%s' has the dtype %d, which is none", name.c_str(), t.dtype);
    if (t.rank < 0 || t.rank > kMaxRank)
        fail(ErrorKind::kShape, op, "'%s' has rank %d; 0 to %d are possible", name.c_str(), t.rank,
             kMaxRank);
    Meta meta;
    meta.dtype = static_cast<DType>(t.dtype);
    for (int i = 0; i < t.rank; ++i) {
        if (t.shape[i] < 0)
            fail(ErrorKind::kShape, op, "'%s' has the size %lld along axis %d", name.c_str(),
                 static_cast<long long>(t.shape[i]), i);
        meta.shape.push_back(t.shape[i]);
    }
    return meta;
}

size_t bytes_of(const Meta& meta) {
    size_t bytes = 0;
    if (__builtin_mul_overflow(static_cast<size_t>(numel(meta.shape)), dtype_size(meta.dtype),
                               &bytes))
        fail(ErrorKind::kShape, "sn_run", "%s elements of %s are too many",
             format_shape(meta.shape).c_str(), dtype_name(meta.dtype));
    return bytes;
}

void put_meta(sn_tensor& to, const Meta& meta) {
    to.dtype = static_cast<sn_dtype>(meta.dtype);
    to.rank = static_cast<int32_t>(meta.shape.size());
    std::fill_n(to.shape, SN_MAX_RANK, 0);
    std::copy(meta.shape.begin(), meta.shape.end(), to.shape);
    to.bytes = bytes_of(meta);
}

std::vector<Tensor> results_of(sn_session& s, std::vector<Tensor> given) {
    const ModelState& m = *s.model;
    given.insert(given.end(), s.stand.begin(), s.stand.end());
    const NoGrad no_grad;
    RandomState random = s.random;  // a call that fails has drawn nothing
    std::vector<Tensor> results = call(m.saved.model, given, random);
    s.random = random;
    return results;
}

namespace {

// The caller's memory as a tensor; a copy where elements do not lie at multiples of their size.
Tensor tensor_of(const sn_tensor& t, const std::string& name) {
    const Meta meta = meta_of(t, name, "sn_run");
    const size_t bytes = bytes_of(meta);
    if (t.bytes < bytes)
        fail(ErrorKind::kValue, "sn_run", "'%s' has %zu bytes; %s of shape %s takes %zu",
             name.c_str(), t.bytes, dtype_name(meta.dtype), format_shape(meta.shape).c_str(),
             bytes);
    if (bytes && !t.data)
        fail(ErrorKind::kValue, "sn_run", "the data of '%s' is NULL; a pointer is required",
             name.c_str());
    if (meta.dtype == DType::kBool) {
        const auto* p = static_cast<const unsigned char*>(t.data);
        if (std::any_of(p, p + bytes, [](unsigned char b) { return b > 1; }))
            fail(ErrorKind::kValue, "sn_run",
                 "'%s' is bool and has bytes other than 0 and 1; both are required", name.c_str());
    }
    const Dims strides = contiguous_strides(meta.shape);
    if (!bytes || reinterpret_cast<size_t>(t.data) % dtype_size(meta.dtype) != 0)
        return from_memory(t.data, meta.shape, strides, meta.dtype, Device{});
    BufferRef buffer = Buffer::borrow(t.data, bytes, nullptr, [](void*) {}, false);
    return from_buffer(std::move(buffer), 0, meta.shape, strides, meta.dtype, Device{});
}
// The session's generator is the core's for a call.
struct OwnGenerator {
    explicit OwnGenerator(RandomState mine) : before(random_state()) { set_random_state(mine); }
    ~OwnGenerator() { set_random_state(before); }
    OwnGenerator(const OwnGenerator&) = delete;
    OwnGenerator& operator=(const OwnGenerator&) = delete;
    RandomState before;
};

// Whether arguments are those that a call was prepared for. (Their dtypes are the model's.)
bool fits(const PreparedCall& call, std::span<const Tensor> given, const ModelState& m) {
    for (size_t i = 0; i < given.size(); ++i) {
        const Meta& meta = given[i].value()->meta;
        const Graph& g = graph_of(m).graph;
        if (meta.dtype != g.meta(g.inputs[i]).dtype || !(meta.shape == call.shapes[i]))
            return false;
    }
    return true;
}

// Records a call on placeholders.
PreparedCall prepare_call(sn_session& s, std::span<const Tensor> given) {
    PreparedCall made;
    Trace trace;
    const RecordInto scope(trace);
    std::vector<Tensor> placeholders;
    for (const Tensor& t : given) {
        made.shapes.push_back(t.shape());
        placeholders.push_back(trace.placeholder(t.value()->meta));
    }
    const RandomState before = s.random;
    const std::vector<Tensor> results = results_of(s, std::move(placeholders));
    const OwnGenerator generator(s.random);  // what the recording has drawn is counted
    s.random = before;
    std::vector<ValueId> ids;
    {
        const NoGrad no_grad;
        for (const Tensor& t : results) ids.push_back(trace.bind(t, t.dtype()));
    }
    for (size_t i = given.size(); i < trace.graph.inputs.size(); ++i)
        made.captured.push_back(trace.without_relays(trace.captured(i)).detach());
    RecordWatch watch;
    watch.taped.assign(trace.graph.nodes.size(), 0);
    made.replaced.assign(trace.graph.inputs.size(), 0);
    made.graph = std::make_unique<CompiledGraph>(trace, watch, std::move(ids), before);
    return made;
}

// A call of a model whose parameters stay as they are, without control flow.
std::vector<Tensor> run_prepared(sn_session& s, std::span<const Tensor> given) {
    constexpr size_t kMaxPrepared = 8;
    const auto found =
        std::find_if(s.prepared.begin(), s.prepared.end(),
                     [&](const PreparedCall& c) { return fits(c, given, *s.model); });
    if (found != s.prepared.end()) {
        std::rotate(s.prepared.begin(), found, found + 1);
    } else {
        PreparedCall made = prepare_call(s, given);
        if (s.prepared.size() == kMaxPrepared) s.prepared.pop_back();
        s.prepared.insert(s.prepared.begin(), std::move(made));
    }
    PreparedCall& c = s.prepared.front();
    std::vector<Ref<Value>> inputs;
    for (const auto& list : {given, std::span<const Tensor>(c.captured)})
        for (const Tensor& t : list) {
            if (t.value()->kind != ValueState::kBuffer) materialize(t);
            inputs.push_back(t.value());
        }
    Recorder& window = Recorder::window();
    window.lane().wait_for_room();
    settle_failures(window);
    window.settle_for_launch();
    c.graph->choose(inputs, c.replaced);
    const Graph& g = c.graph->model().graph;
    std::vector<Tensor> results;
    std::vector<Value*> values;
    for (ValueId v : g.outputs) {
        Ref<Value> made(new Value);
        made->meta = g.meta(v);
        values.push_back(made.get());
        results.emplace_back(std::move(made));
    }
    const OwnGenerator generator(s.random);
    c.graph->run(window, inputs, values);
    s.random = random_state();
    return results;
}

// A result that shows the caller's own input must not outlive the call.
bool lies_in(const void* data, const sn_tensor* inputs, size_t n) {
    const auto at = reinterpret_cast<size_t>(data);
    for (size_t i = 0; i < n; ++i) {
        const auto begin = reinterpret_cast<size_t>(inputs[i].data);
        if (at >= begin && at < begin + inputs[i].bytes) return true;
    }
    return false;
}

Tensor copy_of(const Tensor& x, const void* data) {
    const Meta& meta = x.value()->meta;
    return from_memory(data, meta.shape, contiguous_strides(meta.shape), meta.dtype, meta.device);
}

// Parameters that the call gives new values: before it runs, so that their former memory can be
// used; if it fails, the core gives the former values back.
void assign_updates(sn_session& s, std::span<const Tensor> values) {
    const ModelState& m = *s.model;
    for (size_t i = 0; i < values.size(); ++i) {
        Tensor& parameter = s.stand[graph_of(m).updates[i] - m.saved.n_arguments];
        const Ref<Value>&to = values[i].value(), &from = parameter.value();
        if (to->kind == ValueState::kPending && to != from)
            to->former = from->kind == ValueState::kPending && from->former ? from->former : from;
        parameter = values[i].detach();
    }
}

}  // namespace

void run(sn_session& s, const sn_tensor* inputs, size_t n_inputs, sn_tensor* outputs,
         size_t n_outputs, std::string* lacking) {
    const ModelState& m = *s.model;
    s.results.assign(n_outputs, Tensor());
    std::vector<Tensor> given;
    for (size_t i = 0; i < n_inputs; ++i)
        given.push_back(tensor_of(inputs[i], graph_of(m).inputs[i].name));
    std::vector<Tensor> plain(n_outputs);
    std::vector<Tensor> results = graph_of(m).updates.empty() && graph_of(m).blocks.empty()
                                      ? run_prepared(s, given)
                                      : results_of(s, std::move(given));
    assign_updates(s, std::span(results).subspan(n_outputs));
    results.resize(n_outputs);
    for (size_t k = 0; k < n_outputs; ++k) read_values(results[k], &plain[k]);
    results.clear();
    finish_recorded();
    for (const uint32_t u : graph_of(m).updates) {
        Tensor& parameter = s.stand[u - m.saved.n_arguments];
        Tensor keep;
        if (const void* data = read_values(parameter, &keep); lies_in(data, inputs, n_inputs))
            parameter = copy_of(keep, data);
    }
    for (size_t k = 0; k < n_outputs; ++k) {
        sn_tensor& to = outputs[k];
        const Meta& meta = plain[k].value()->meta;
        const size_t room = to.bytes;
        put_meta(to, meta);
        const void* data = read_values(plain[k], &plain[k]);
        if (to.data) {
            if (room < to.bytes) {
                *lacking += (lacking->empty() ? "'" : ", '") + m.saved.outputs[k] + "' has " +
                            std::to_string(room) + " bytes and takes " + std::to_string(to.bytes);
            } else if (to.bytes) {
                std::memmove(to.data, data, to.bytes);
            }
            continue;
        }
        s.results[k] = lies_in(data, inputs, n_inputs) ? copy_of(plain[k], data) : plain[k];
        to.data = const_cast<void*>(read_values(s.results[k], &s.results[k]));
    }
}

void forget_call() noexcept {
    try {
        finish_recorded();
    } catch (...) {
        Recorder::window().take_failure();
    }
}

}  // namespace sn
