// include/sennit/sennit.h, on the core. Recording state is used under one lock, which threads that
// wait for results let go: what the GIL is in Python.
#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <string>

#include "backend/cpu/cpu_tables.h"
#include "base/error.h"
#include "calls.h"
#include "engine/pool.h"
#include "memory/recycling.h"
#include "plan/execute.h"
#include "record/read.h"
#include "record/trace.h"
#include "runtime/compiled.h"
#include "runtime/control.h"
#include "runtime/load.h"
#include "runtime/safetensors.h"
#include "sennit/sennit.h"
#include "status.h"

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
