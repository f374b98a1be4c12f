// include/sennit/sennit.h, on the core. Recording state is used under one lock, which threads that
// wait for results let go: what the GIL is in Python.
#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <string>

#include "backend/cpu/cpu_tables.h"
#include "base/error.h"
#include "engine/pool.h"
#include "memory/recycling.h"
#include "op/random.h"
#include "plan/execute.h"
#include "record/read.h"
#include "record/trace.h"
#include "runtime/compiled.h"
#include "runtime/control.h"
#include "runtime/load.h"
#include "runtime/safetensors.h"
#include "sennit/sennit.h"
#include "status.h"

struct sn_model {
    std::shared_ptr<const struct ModelState> state;
};

struct ModelState {
    sn::SavedModel saved;
    struct Info {
        std::vector<int64_t> shape;
        std::vector<const char*> dims;
    };
    std::vector<Info> inputs, outputs;  // by graph input, by result
    std::deque<std::string> texts;      // of sizes that follow from open ones
};

// A call with arguments of these shapes, recorded and planned once: calls after it record nothing.
struct PreparedCall {
    std::vector<sn::Dims> shapes;  // of the arguments
    std::unique_ptr<sn::CompiledGraph> graph;
    std::vector<sn::Tensor> captured;  // what the graph's further inputs stand for
    std::vector<uint32_t> replaced;    // by input: nothing is
};

struct sn_session {
    std::shared_ptr<const ModelState> model;
    std::vector<PreparedCall> prepared;  // the latest first
    std::mutex lock;                     // before the core's
    sn::RandomState random;
    std::vector<sn::Tensor> stand;    // parameters and constants; calls give some a new value
    std::vector<sn::Tensor> results;  // those that the caller left here
};

namespace {

using namespace sn;

static_assert(SN_FLOAT32 == static_cast<int>(DType::kF32) &&
                  SN_COMPLEX128 == static_cast<int>(DType::kC128) &&
                  SN_BFLOAT16 == static_cast<int>(DType::kBF16) && SN_MAX_RANK == kMaxRank,
              "the interface counts as the core does");

thread_local std::string last_error;  // NOLINT: destroyed with its thread

std::mutex core_mutex;
thread_local bool core_held = false;

struct CoreLock {
    CoreLock() {
        static const bool hooked = [] {
            set_wait_hooks({[]() -> void* {
                                if (!core_held) return nullptr;
                                core_held = false;
                                core_mutex.unlock();
                                return &core_held;
                            },
                            [](void* token) {
                                if (!token) return;
                                core_mutex.lock();
                                core_held = true;
                            },
                            nullptr});
            return true;
        }();
        (void)hooked;
        core_mutex.lock();
        core_held = true;
    }
    ~CoreLock() {
        core_held = false;
        core_mutex.unlock();
    }
    CoreLock(const CoreLock&) = delete;
    CoreLock& operator=(const CoreLock&) = delete;
};

sn_status remember(sn_status status, const char* text) noexcept {
    try {
        last_error = text;
    } catch (...) {
        last_error.clear();
    }
    return status;
}

template <class Body>
sn_status guarded(Body&& body) noexcept {
    return status_of(&last_error, body, [](Error& e) {
        if (e.where().empty() && e.site()) e.set_where(site_text(e.site()));
    });
}

void require(const void* pointer, const char* op, const char* what) {
    if (!pointer) fail(ErrorKind::kValue, op, "%s is NULL; a pointer is required", what);
}

// The members of a versioned struct that the caller has; the others are 0.
template <class T>
T read_struct(const T* given, const char* op) {
    T made{};
    if (!given) return made;
    if (given->struct_size < sizeof(size_t))
        fail(ErrorKind::kValue, op, "struct_size is %zu; set it to sizeof of the struct",
             given->struct_size);
    std::memcpy(&made, given, std::min(given->struct_size, sizeof made));
    return made;
}
template <class T>
void write_struct(T* to, T made, const char* op) {
    require(to, op, "the struct");
    if (to->struct_size < sizeof(size_t))
        fail(ErrorKind::kValue, op, "struct_size is %zu; set it to sizeof of the struct",
             to->struct_size);
    made.struct_size = to->struct_size;
    std::memcpy(to, &made, std::min(made.struct_size, sizeof made));
}

// ---- models

const Model& graph_of(const ModelState& m) { return m.saved.model; }

void describe(ModelState& m) {
    const Model& model = graph_of(m);
    const Graph& g = model.graph;
    std::map<std::pair<ValueId, uint32_t>, const char*> open;  // by value and axis
    for (const OpenDim& d : model.open_dims)
        open[{g.inputs[d.input], d.axis}] = model.sizes[d.open].name.c_str();
    for (const OpenShape& s : model.open_shapes) {
        m.texts.push_back(print(s.size, model.sizes));
        open[{g.nodes[s.node].first_out + s.output, s.axis}] = m.texts.back().c_str();
    }
    const auto info = [&](ValueId v) {
        ModelState::Info i;
        const Dims& shape = g.meta(v).shape;
        for (uint32_t axis = 0; axis < shape.size(); ++axis) {
            const auto found = open.find({v, axis});
            i.shape.push_back(found == open.end() ? shape[axis] : -1);
            i.dims.push_back(found == open.end() ? nullptr : found->second);
        }
        return i;
    };
    for (const ValueId v : g.inputs) m.inputs.push_back(info(v));
    for (size_t k = 0; k < m.saved.outputs.size(); ++k) m.outputs.push_back(info(g.outputs[k]));
}

sn_status load(std::shared_ptr<const FileBytes> (*open)(const void*, size_t, uint32_t),
               const void* source, size_t bytes, const char* path, const sn_load_options* options,
               sn_model** model) {
    if (model) *model = nullptr;
    return guarded([&] {
        require(model, "sn_model_load", "model");
        require(source, "sn_model_load", path ? "path" : "data");
        const uint32_t flags = read_struct(options, "sn_model_load").flags;
        if (flags & ~uint32_t{SN_LOAD_COPY | SN_LOAD_SKIP_CHECKSUM})
            fail(ErrorKind::kValue, "sn_model_load",
                 "flags are 0x%x; this version knows SN_LOAD_COPY and SN_LOAD_SKIP_CHECKSUM",
                 flags);
        const std::shared_ptr<const FileBytes> file = open(source, bytes, flags);
        const CoreLock lock;
        auto state = std::make_shared<ModelState>();
        try {
            state->saved = read_model(file, !(flags & SN_LOAD_SKIP_CHECKSUM));
        } catch (const Error& e) {
            if (!path || e.kind() != ErrorKind::kFile) throw;
            throw Error(e.kind(), e.op(), std::string(path) + ": " + e.message());
        }
        describe(*state);
        *model = new sn_model{std::move(state)};
    });
}

void fill(sn_value_info* to, const ModelState& m, ValueId v, const ModelState::Info& info,
          const char* name, const char* op) {
    sn_value_info made{};
    made.name = name;
    made.dtype = static_cast<sn_dtype>(graph_of(m).graph.meta(v).dtype);
    made.rank = static_cast<int32_t>(info.shape.size());
    made.shape = info.shape.data();
    made.dim_names = info.dims.data();
    write_struct(to, made, op);
}

void check_index(size_t index, size_t count, const char* op) {
    if (index >= count)
        fail(ErrorKind::kIndex, op, "the index is %zu; the model has %zu of them", index, count);
}

sn_status input_info(const sn_model* model, size_t index, size_t first, size_t count,
                     sn_value_info* info, const char* op) {
    return guarded([&] {
        require(model, op, "model");
        check_index(index, count, op);
        const ModelState& m = *model->state;
        const size_t i = first + index;
        fill(info, m, graph_of(m).graph.inputs[i], m.inputs[i], graph_of(m).inputs[i].name.c_str(),
             op);
    });
}

// Known names, for errors.
template <class Name>
std::string listing(size_t count, Name name) {
    std::string text;
    for (size_t i = 0; i < count && i < 20; ++i) text += (i ? ", '" : "'") + name(i) + "'";
    return count ? text : "none";
}

template <class Name>
void find_name(const char* wanted, size_t count, Name name, size_t* index, const char* op) {
    require(wanted, op, "name");
    require(index, op, "index");
    for (size_t i = 0; i < count; ++i) {
        if (name(i) != wanted) continue;
        *index = i;
        return;
    }
    fail(ErrorKind::kValue, op, "there is no '%.100s'; there are %s", wanted,
         listing(count, name).c_str());
}

// ---- running

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

void check_counts(const ModelState& m, const sn_tensor* inputs, size_t n_inputs,
                  const sn_tensor* outputs, size_t n_outputs, const char* op) {
    if (n_inputs) require(inputs, op, "inputs");
    if (n_outputs) require(outputs, op, "outputs");
    if (n_inputs != m.saved.n_arguments || n_outputs != m.outputs.size()) {
        const Model& g = graph_of(m);
        fail(ErrorKind::kValue, op,
             "%zu inputs and %zu outputs are given; the model has %zu inputs (%s) and %zu outputs "
             "(%s)",
             n_inputs, n_outputs, m.saved.n_arguments,
             listing(m.saved.n_arguments, [&](size_t i) { return g.inputs[i].name; }).c_str(),
             m.outputs.size(),
             listing(m.outputs.size(), [&](size_t i) { return m.saved.outputs[i]; }).c_str());
    }
}

void put_meta(sn_tensor& to, const Meta& meta) {
    to.dtype = static_cast<sn_dtype>(meta.dtype);
    to.rank = static_cast<int32_t>(meta.shape.size());
    std::fill_n(to.shape, SN_MAX_RANK, 0);
    std::copy(meta.shape.begin(), meta.shape.end(), to.shape);
    to.bytes = bytes_of(meta);
}

// The session's generator is the core's for a call.
struct OwnGenerator {
    explicit OwnGenerator(RandomState mine) : before(random_state()) { set_random_state(mine); }
    ~OwnGenerator() { set_random_state(before); }
    OwnGenerator(const OwnGenerator&) = delete;
    OwnGenerator& operator=(const OwnGenerator&) = delete;
    RandomState before;
};

std::vector<Tensor> results_of(sn_session& s, std::vector<Tensor> given) {
    const ModelState& m = *s.model;
    given.insert(given.end(), s.stand.begin(), s.stand.end());
    const NoGrad no_grad;
    RandomState random = s.random;  // a call that fails has drawn nothing
    std::vector<Tensor> results = call(m.saved.model, given, random);
    s.random = random;
    return results;
}

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

// After a failure nothing of the call may stay in this thread's window.
void forget_call() noexcept {
    try {
        finish_recorded();
    } catch (...) {
        Recorder::window().take_failure();
    }
}

}  // namespace

extern "C" {

const char* sn_version(void) { return SN_VERSION; }
int32_t sn_abi_version(void) { return SN_ABI_VERSION; }
int32_t sn_numerics_version(void) { return 1; }
const char* sn_isa(void) {
    const char* isa = "";
    guarded([&] { isa = cpu::cpu_tables().isa; });
    return isa;
}
const char* sn_last_error(void) { return last_error.c_str(); }

const char* sn_dtype_name(sn_dtype dtype) {
    return dtype >= 0 && dtype < kNumDTypes ? dtype_name(static_cast<DType>(dtype)) : nullptr;
}
size_t sn_dtype_size(sn_dtype dtype) {
    return dtype >= 0 && dtype < kNumDTypes ? dtype_size(static_cast<DType>(dtype)) : 0;
}

sn_status sn_model_load(const char* path, const sn_load_options* options, sn_model** model) {
    return load(
        [](const void* source, size_t, uint32_t flags) {
            return FileBytes::open(static_cast<const char*>(source), !(flags & SN_LOAD_COPY),
                                   "load");
        },
        path, 0, path ? path : "", options, model);
}

sn_status sn_model_load_memory(const void* data, size_t bytes, const sn_load_options* options,
                               sn_model** model) {
    return load(
        [](const void* source, size_t n, uint32_t) { return FileBytes::copy_of(source, n); }, data,
        bytes, nullptr, options, model);
}

void sn_model_free(sn_model* model) {
    if (!model) return;
    const CoreLock lock;
    delete model;
}

const char* sn_model_name(const sn_model* model) {
    return model ? model->state->saved.name.c_str() : nullptr;
}
size_t sn_model_input_count(const sn_model* model) {
    return model ? model->state->saved.n_arguments : 0;
}
size_t sn_model_output_count(const sn_model* model) {
    return model ? model->state->outputs.size() : 0;
}
size_t sn_model_parameter_count(const sn_model* model) {
    return model ? model->state->saved.stand.size() : 0;
}

sn_status sn_model_input(const sn_model* model, size_t index, sn_value_info* info) {
    return input_info(model, index, 0, sn_model_input_count(model), info, "sn_model_input");
}
sn_status sn_model_parameter(const sn_model* model, size_t index, sn_value_info* info) {
    return input_info(model, index, sn_model_input_count(model), sn_model_parameter_count(model),
                      info, "sn_model_parameter");
}
sn_status sn_model_output(const sn_model* model, size_t index, sn_value_info* info) {
    constexpr const char* kOp = "sn_model_output";
    return guarded([&] {
        require(model, kOp, "model");
        check_index(index, sn_model_output_count(model), kOp);
        const ModelState& m = *model->state;
        fill(info, m, graph_of(m).graph.outputs[index], m.outputs[index],
             m.saved.outputs[index].c_str(), kOp);
    });
}

sn_status sn_model_find_input(const sn_model* model, const char* name, size_t* index) {
    return guarded([&] {
        require(model, "sn_model_find_input", "model");
        const auto& inputs = graph_of(*model->state).inputs;
        find_name(
            name, model->state->saved.n_arguments, [&](size_t i) { return inputs[i].name; }, index,
            "sn_model_find_input");
    });
}
sn_status sn_model_find_output(const sn_model* model, const char* name, size_t* index) {
    return guarded([&] {
        require(model, "sn_model_find_output", "model");
        const auto& outputs = model->state->saved.outputs;
        find_name(
            name, outputs.size(), [&](size_t i) { return outputs[i]; }, index,
            "sn_model_find_output");
    });
}

const char* sn_model_metadata(const sn_model* model, const char* key) {
    if (!model || !key) return nullptr;
    const auto& metadata = model->state->saved.metadata;
    const auto found = metadata.find(key);
    return found == metadata.end() ? nullptr : found->second.c_str();
}

sn_status sn_session_create(const sn_model* model, const sn_session_options* options,
                            sn_session** session) {
    if (session) *session = nullptr;
    return guarded([&] {
        constexpr const char* kOp = "sn_session_create";
        require(session, kOp, "session");
        require(model, kOp, "model");
        const sn_session_options given = read_struct(options, kOp);
        if (given.device && std::strcmp(given.device, "cpu") != 0)
            fail(ErrorKind::kDevice, kOp, "the device is '%.40s'; the runtime has 'cpu'",
                 given.device);
        auto made = std::make_unique<sn_session>();
        made->model = model->state;
        made->random = {given.seed, given.draws};
        const CoreLock lock;
        made->stand = model->state->saved.stand;
        *session = made.release();
    });
}

void sn_session_free(sn_session* session) {
    if (!session) return;
    const CoreLock lock;
    delete session;
}

sn_status sn_session_set_generator(sn_session* session, uint64_t seed, uint64_t draws) {
    return guarded([&] {
        require(session, "sn_session_set_generator", "session");
        const std::lock_guard mine(session->lock);
        session->random = {seed, draws};
    });
}

sn_status sn_session_generator(sn_session* session, uint64_t* seed, uint64_t* draws) {
    return guarded([&] {
        constexpr const char* kOp = "sn_session_generator";
        require(session, kOp, "session");
        require(seed, kOp, "seed");
        require(draws, kOp, "draws");
        const std::lock_guard mine(session->lock);
        *seed = session->random.seed;
        *draws = session->random.counter;
    });
}

sn_status sn_session_parameter(sn_session* session, size_t index, sn_tensor* parameter) {
    sn_status lacking = SN_OK;
    const sn_status status = guarded([&] {
        constexpr const char* kOp = "sn_session_parameter";
        require(session, kOp, "session");
        require(parameter, kOp, "parameter");
        const std::lock_guard mine(session->lock);
        const CoreLock lock;
        check_index(index, session->stand.size(), kOp);
        Tensor keep;
        const void* data = read_values(session->stand[index], &keep);
        session->stand[index] = keep;  // row-major, so that the pointer stays good
        const size_t room = parameter->bytes;
        put_meta(*parameter, keep.value()->meta);
        if (!parameter->data)
            parameter->data = const_cast<void*>(data);
        else if (room < parameter->bytes)
            lacking = SN_ERROR_BUFFER;
        else if (parameter->bytes)
            std::memmove(parameter->data, data, parameter->bytes);
    });
    return status == SN_OK && lacking
               ? remember(lacking, "[sn_session_parameter] the buffer is too small (see bytes)")
               : status;
}

sn_status sn_session_save(sn_session* session, const char* path) {
    return guarded([&] {
        constexpr const char* kOp = "sn_session_save";
        require(session, kOp, "session");
        require(path, kOp, "path");
        const std::lock_guard mine(session->lock);
        const SavedModel& saved = session->model->saved;
        std::string file;
        {
            const CoreLock lock;
            std::vector<StoredTensor> tensors;
            std::vector<Tensor> keep(session->stand.size());
            for (size_t i = 0; i < keep.size(); ++i) {
                const auto* data =
                    static_cast<const std::byte*>(read_values(session->stand[i], &keep[i]));
                const Meta& meta = keep[i].value()->meta;
                tensors.push_back({saved.model.inputs[saved.n_arguments + i].name,
                                   meta.dtype,
                                   meta.shape,
                                   {data, bytes_of(meta)}});
            }
            std::map<std::string, std::string> metadata = saved.metadata;
            metadata.emplace(kGraphKey, saved.graph);
            file = write_safetensors(tensors, metadata);
        }
        write_file(path, std::as_bytes(std::span(file)), "save");
    });
}

sn_status sn_run(sn_session* session, const sn_tensor* inputs, size_t n_inputs, sn_tensor* outputs,
                 size_t n_outputs) {
    std::string lacking;
    const sn_status status = guarded([&] {
        require(session, "sn_run", "session");
        check_counts(*session->model, inputs, n_inputs, outputs, n_outputs, "sn_run");
        const std::lock_guard mine(session->lock);
        const CoreLock lock;
        try {
            run(*session, inputs, n_inputs, outputs, n_outputs, &lacking);
        } catch (...) {
            forget_call();
            throw;
        }
    });
    if (status == SN_OK && !lacking.empty())
        return remember(SN_ERROR_BUFFER, ("[sn_run] buffers are too small: " + lacking).c_str());
    return status;
}

sn_status sn_output_shapes(sn_session* session, const sn_tensor* inputs, size_t n_inputs,
                           sn_tensor* outputs, size_t n_outputs) {
    return guarded([&] {
        constexpr const char* kOp = "sn_output_shapes";
        require(session, kOp, "session");
        const ModelState& m = *session->model;
        check_counts(m, inputs, n_inputs, outputs, n_outputs, kOp);
        const std::lock_guard mine(session->lock);
        const CoreLock lock;
        const RandomState before = session->random;
        Trace trace;
        const RecordInto scope(trace);
        std::vector<Tensor> given;
        for (size_t i = 0; i < n_inputs; ++i)
            given.push_back(trace.placeholder(meta_of(inputs[i], graph_of(m).inputs[i].name, kOp)));
        const std::vector<Tensor> results = results_of(*session, std::move(given));
        session->random = before;
        for (size_t k = 0; k < n_outputs; ++k) put_meta(outputs[k], results[k].value()->meta);
    });
}

sn_status sn_set_threads(int32_t count) {
    return guarded([&] {
        const CoreLock lock;
        set_pool_threads(count);
        clear_plan_cache();  // whether steps run at the same time depends on the threads
    });
}
sn_status sn_set_loop_limit(int64_t steps) {
    return guarded([&] {
        if (steps < 0)
            fail(ErrorKind::kValue, "sn_set_loop_limit",
                 "steps is %lld; it must be 0 (no limit) or more", static_cast<long long>(steps));
        const CoreLock lock;
        set_most_steps(steps);
    });
}
int32_t sn_threads(void) {
    int32_t threads = 0;
    guarded([&] { threads = pool_threads(); });
    return threads;
}

sn_status sn_memory(sn_memory_stats* stats) {
    return guarded([&] {
        const MemoryStats s = cpu_allocator().stats();
        sn_memory_stats made{};
        made.in_use = s.in_use;
        made.peak = s.peak;
        made.reserved = s.reserved;
        write_struct(stats, made, "sn_memory");
    });
}
void sn_reset_peak(void) { cpu_allocator().reset_peak(); }

}  // extern "C"
