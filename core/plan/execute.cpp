#include "plan/execute.h"

#include <chrono>
#include <cstring>
#include <list>
#include <unordered_map>

#include "base/buffer.h"
#include "memory/recycling.h"
#include "op/op.h"
#include "record/recorder.h"

namespace sn {

namespace {

// ---- plan cache: full keys, least recently used goes first

struct CacheEntry {
    uint64_t hash;
    std::vector<uint64_t> key;
    std::shared_ptr<const Plan> plan;
};
std::list<CacheEntry> cache_order;  // most recent first
std::unordered_multimap<uint64_t, std::list<CacheEntry>::iterator> cache_index;
CacheStats cache_stats{.limit = 512};

uint64_t hash_key(const std::vector<uint64_t>& key) {
    uint64_t h = 0x243f6a8885a308d3ull;
    for (uint64_t word : key) {
        h = (h ^ word) * 0x9fb21c651e98df25ull;
        h ^= h >> 29;
    }
    return h;
}

void drop_oldest() {
    const CacheEntry& oldest = cache_order.back();
    const auto range = cache_index.equal_range(oldest.hash);
    for (auto it = range.first; it != range.second; ++it) {
        if (&*it->second == &oldest) {
            cache_index.erase(it);
            break;
        }
    }
    cache_stats.bytes -= static_cast<int64_t>(oldest.key.size() * 8);
    cache_order.pop_back();
}

const std::shared_ptr<const Plan>* find_plan(const std::vector<uint64_t>& key, uint64_t hash) {
    const auto range = cache_index.equal_range(hash);
    for (auto it = range.first; it != range.second; ++it) {
        if (it->second->key == key) {
            cache_order.splice(cache_order.begin(), cache_order, it->second);
            ++cache_stats.hits;
            return &cache_order.front().plan;
        }
    }
    ++cache_stats.misses;
    return nullptr;
}

void keep_plan(std::vector<uint64_t> key, uint64_t hash, std::shared_ptr<const Plan> plan) {
    cache_stats.bytes += static_cast<int64_t>(key.size() * 8);
    cache_order.push_front({hash, std::move(key), std::move(plan)});
    cache_index.emplace(hash, cache_order.begin());
    while (static_cast<int64_t>(cache_order.size()) > cache_stats.limit) drop_oldest();
}

// ---- reports for sn.explain()

int reports_kept = 0;
std::vector<WindowReport> reports;

double now_us() {
    using namespace std::chrono;
    return duration<double, std::micro>(steady_clock::now().time_since_epoch()).count();
}

// ---- one run of a plan

// A runtime number as one element of `dtype`, for kernels that take it as an operand.
void store_scalar(const Scalar& s, DType dtype, void* cell) {
    const auto put = [&](auto value) { std::memcpy(cell, &value, sizeof value); };
    switch (dtype) {
        case DType::kBool: put(static_cast<uint8_t>(s.as_double() != 0)); break;
        case DType::kI8: put(static_cast<int8_t>(s.as_int())); break;
        case DType::kI16: put(static_cast<int16_t>(s.as_int())); break;
        case DType::kI32: put(static_cast<int32_t>(s.as_int())); break;
        case DType::kI64: put(s.as_int()); break;
        case DType::kU8: put(static_cast<uint8_t>(s.as_int())); break;
        case DType::kU16: put(static_cast<uint16_t>(s.as_int())); break;
        case DType::kU32: put(static_cast<uint32_t>(s.as_int())); break;
        case DType::kU64: put(static_cast<uint64_t>(s.as_int())); break;
        case DType::kF16: put(f32_to_f16(static_cast<float>(s.as_double()))); break;
        case DType::kBF16: put(f32_to_bf16(static_cast<float>(s.as_double()))); break;
        case DType::kF32: put(static_cast<float>(s.as_double())); break;
        case DType::kF64: put(s.as_double()); break;
    }
}

// The memory of one run, reused by the next one of the same thread.
struct RunState {
    std::vector<char*> base;      // by plan buffer
    std::vector<Scalar> scalars;
    std::vector<int64_t> cells;   // scalars as kernel operands
    std::vector<TensorView> in, out;
    std::vector<void*> pointers;
    BufferRef arena;
};
thread_local RunState run_state;

class Run {
public:
    Run(const Plan& plan, RunState& state) : plan_(plan), s_(state) {}
    void bind(const Recorder& recorder, std::vector<BufferRef>& outputs);
    void run(std::vector<double>* step_us, const std::vector<uint32_t>& sites);
    int64_t scalar_offset(const Slot& slot) const {
        int64_t offset = slot.offset;
        for (size_t i = 0; i < slot.terms.size(); i += 2)
            offset += s_.scalars[slot.terms[i]].as_int() * slot.terms[i + 1];
        return offset;
    }

private:
    void* address(const Slot& slot) {
        if (slot.buffer == kNone) return &s_.cells[slot.scalar];
        return s_.base[slot.buffer] + scalar_offset(slot);
    }
    void run_step(const Step& step);

    const Plan& plan_;
    RunState& s_;
};

void Run::bind(const Recorder& recorder, std::vector<BufferRef>& outputs) {
    s_.scalars.resize(plan_.scalars.size());
    s_.cells.resize(plan_.scalars.size());
    for (size_t i = 0; i < plan_.scalars.size(); ++i) {
        const ScalarSource& source = plan_.scalars[i];
        s_.scalars[i] = source.slot >= 0 ? recorder.scalars[source.slot] : source.constant;
        store_scalar(s_.scalars[i], plan_.scalar_dtypes[i], &s_.cells[i]);
    }
    if (plan_.arena_bytes > (s_.arena ? s_.arena->bytes() : 0)) {
        s_.arena.reset();
        if (would_exceed(plan_.arena_bytes)) {
            fail(ErrorKind::kMemory, "plan",
                 "running what has been recorded needs %s of working memory, more than the limit of "
                 "%s leaves; use a smaller batch, or read results earlier",
                 format_bytes(plan_.arena_bytes).c_str(), format_bytes(memory_limit()).c_str());
        }
        s_.arena = Buffer::allocate(device_allocator(plan_.device), plan_.arena_bytes);
    }
    outputs.reserve(plan_.output_buffers.size());
    for (uint32_t b : plan_.output_buffers)
        outputs.push_back(Buffer::allocate(device_allocator(plan_.device), plan_.buffers[b].bytes));
    s_.base.resize(plan_.buffers.size());
    char* arena = s_.arena ? static_cast<char*>(s_.arena->data()) : nullptr;
    for (size_t i = 0; i < plan_.buffers.size(); ++i) {
        const PlanBuffer& b = plan_.buffers[i];
        switch (b.kind) {
            case BufferKind::kInput: {
                const Value& v = *recorder.inputs[b.index];
                s_.base[i] = static_cast<char*>(v.buffer->data()) +
                             v.offset * static_cast<int64_t>(dtype_size(v.meta.dtype));
                break;
            }
            case BufferKind::kOutput:
                s_.base[i] = static_cast<char*>(outputs[b.index]->data());
                break;
            case BufferKind::kArena: s_.base[i] = arena + b.offset; break;
        }
    }
}

void Run::run_step(const Step& step) {
    Backend& device = backend(step.device);
    s_.pointers.clear();
    for (const Slot& slot : step.bindings) s_.pointers.push_back(address(slot));
    if (!step.kernel) {
        device.run_program(*step.program, s_.pointers.data(), s_.scalars.data());
        return;
    }
    s_.in.assign(step.in.begin(), step.in.end());
    s_.out.assign(step.out.begin(), step.out.end());
    for (size_t i = 0; i < s_.in.size(); ++i) s_.in[i].data = address(step.in_slots[i]);
    for (size_t i = 0; i < s_.out.size(); ++i)
        s_.out[i].data = step.out_slots[i].buffer == kNone ? nullptr : address(step.out_slots[i]);
    KernelCall call{s_.in.data(), static_cast<int>(s_.in.size()), s_.out.data(),
                    static_cast<int>(s_.out.size()), step.attrs.data(), nullptr,
                    step.workspace.buffer == kNone ? nullptr : address(step.workspace)};
    if (step.program)
        device.run_with_epilogue(step.kernel, call, *step.program, s_.pointers.data(), s_.scalars.data());
    else
        step.kernel(call);
}

void Run::run(std::vector<double>* step_us, const std::vector<uint32_t>& sites) {
    for (const Step& step : plan_.steps) {
        const double start = step_us ? now_us() : 0;
        try {
            run_step(step);
        } catch (Error& error) {
            const uint32_t site = step.origin < sites.size() ? sites[step.origin] : 0;
            error.set_where(site_text(site));
            throw;
        }
        if (step_us) step_us->push_back(now_us() - start);
    }
}

// An input may be overwritten when only this window holds its value, and only that value its buffer.
bool donatable(const Value& v) {
    return v.refs == 1 && v.buffer->unique() && v.buffer->allocator() != nullptr;
}

}  // namespace

CacheStats plan_cache_stats() {
    cache_stats.plans = static_cast<int64_t>(cache_order.size());
    return cache_stats;
}
void clear_plan_cache() {
    cache_index.clear();
    cache_order.clear();
    cache_stats.bytes = 0;
}
void set_plan_cache_limit(int64_t plans) {
    cache_stats.limit = plans > 1 ? plans : 1;
    while (static_cast<int64_t>(cache_order.size()) > cache_stats.limit) drop_oldest();
}

void set_reports(int keep) {
    reports_kept = keep;
    if (!keep) reports.clear();
}
const std::vector<WindowReport>& window_reports() { return reports; }
void clear_reports() { reports.clear(); }

void execute_window(Recorder& recorder) {
    Graph& graph = recorder.graph;
    bool checks = false;
    for (ValueId v = 0; v < graph.values.size(); ++v)
        if (recorder.holders[v]) graph.outputs.push_back(v);
    for (const Node& n : graph.nodes) checks |= op_def(n.op).checks_values;
    if (graph.outputs.empty() && !checks) return;

    // The rest of the key: what lives on, what may be overwritten.
    std::vector<uint8_t> donated(recorder.inputs.size());
    std::vector<uint64_t>& key = recorder.key;
    key.push_back(graph.outputs.size());
    for (size_t i = 0; i < graph.outputs.size(); i += 2)
        key.push_back(graph.outputs[i] |
                      (i + 1 < graph.outputs.size() ? static_cast<uint64_t>(graph.outputs[i + 1]) << 32 : 0));
    uint64_t bits = 0;
    for (size_t i = 0; i < donated.size(); ++i) {
        donated[i] = donatable(*recorder.inputs[i]);
        bits = bits << 1 | donated[i];
        if (i % 64 == 63 || i + 1 == donated.size()) {
            key.push_back(bits);
            bits = 0;
        }
    }
    const uint64_t hash = hash_key(key);
    const double start = reports_kept ? now_us() : 0;
    std::shared_ptr<const Plan> plan;
    std::vector<BufferRef> outputs;
    std::exception_ptr failure;
    WindowReport report;
    try {
        const std::shared_ptr<const Plan>* found = find_plan(key, hash);
        report.hit = found != nullptr;
        if (found) {
            plan = *found;
        } else {
            std::vector<Dims> strides;
            for (const Ref<Value>& v : recorder.inputs) strides.push_back(v->strides);
            plan = build_plan(graph, strides, donated);
            keep_plan(key, hash, plan);
        }
        // A failed input fails what depends on it, with the same first cause.
        for (const Ref<Value>& v : recorder.inputs)
            if (v->buffer->state() == BufferState::kFailed) std::rethrow_exception(v->buffer->error());
        const double planned = reports_kept ? now_us() : 0;
        Run run(*plan, run_state);
        run.bind(recorder, outputs);
        run.run(reports_kept ? &report.step_us : nullptr, recorder.sites);
        if (reports_kept) {
            report.plan = plan;
            report.recorded = static_cast<int>(graph.nodes.size());
            report.plan_us = planned - start;
            report.run_us = now_us() - planned;
            report.sites = recorder.sites;
            reports.push_back(std::move(report));
            if (static_cast<int>(reports.size()) > reports_kept) reports.erase(reports.begin());
        }
    } catch (...) {
        failure = std::current_exception();
    }

    for (size_t k = 0; k < graph.outputs.size(); ++k) {
        Value& v = *recorder.holders[graph.outputs[k]];
        v.kind = ValueState::kBuffer;
        v.recorder = nullptr;
        recorder.holders[graph.outputs[k]] = nullptr;
        if (failure) {
            if (v.fallback) {  // state keeps its former value
                v.buffer = v.fallback->buffer;
                v.offset = v.fallback->offset;
                v.strides = v.fallback->strides;
            } else {
                v.buffer = Buffer::pending(device_allocator(v.meta.device), 0);
                v.buffer->set_failed(failure);
                v.strides = contiguous_strides(v.meta.shape);
            }
            v.fallback.reset();
            continue;
        }
        v.fallback.reset();
        const PlanOutput& out = plan->outputs[k];
        const PlanBuffer& b = plan->buffers[out.slot.buffer];
        const Run run(*plan, run_state);
        v.offset = run.scalar_offset(out.slot) / static_cast<int64_t>(dtype_size(v.meta.dtype));
        v.strides = out.strides;
        if (b.kind == BufferKind::kInput) {
            const Value& source = *recorder.inputs[b.index];
            v.buffer = source.buffer;
            v.offset += source.offset;
        } else {
            v.buffer = outputs[b.index];
        }
    }
    if (failure) recorder.fail_with(failure);
}

}  // namespace sn
