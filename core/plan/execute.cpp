#include "plan/execute.h"

#include <chrono>
#include <list>
#include <unordered_map>

#include "base/buffer.h"
#include "engine/trace.h"
#include "op/op.h"
#include "plan/run.h"
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
uint64_t generation = 0;  // of clear_plan_cache()

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

// Plans shorter than this run in the caller: handing them over would cost more.
constexpr double kCallerNanoseconds = 30e3;

// An input may be overwritten when only this window (and state that it replaces) holds its value,
// and only that value shows its buffer.
bool donatable(const Value& v, uint32_t formers) {
    return v.refs == 1 + formers && v.buffer->holders.load(std::memory_order_acquire) == 1 &&
           v.buffer->allocator() != nullptr;
}

void complete_key(const Recorder& recorder, const std::vector<uint8_t>& donated,
                  std::vector<uint64_t>& key) {
    const std::vector<ValueId>& outputs = recorder.graph.outputs;
    key.push_back(outputs.size() | static_cast<uint64_t>(matmul_precision()) << 60);
    for (size_t i = 0; i < outputs.size(); i += 2)
        key.push_back(outputs[i] |
                      (i + 1 < outputs.size() ? static_cast<uint64_t>(outputs[i + 1]) << 32 : 0));
    uint64_t bits = 0;
    for (size_t i = 0; i < donated.size(); ++i) {
        bits = bits << 1 | donated[i];
        if (i % 64 == 63 || i + 1 == donated.size()) {
            key.push_back(bits);
            bits = 0;
        }
    }
}

std::vector<uint8_t> find_donations(const Recorder& recorder) {
    std::vector<uint8_t> donated(recorder.inputs.size());
    for (ValueId v : recorder.graph.outputs) {
        const Ref<Value>& former = recorder.holders[v]->former;
        if (former) ++former->former_of;
    }
    for (size_t i = 0; i < donated.size(); ++i)
        donated[i] = donatable(*recorder.inputs[i], recorder.inputs[i]->former_of);
    for (ValueId v : recorder.graph.outputs) {
        const Ref<Value>& former = recorder.holders[v]->former;
        if (former) former->former_of = 0;
    }
    return donated;
}

// Buffers for the graph's outputs: inputs that are shown, fresh ones, or fresh ones that will take
// over the memory of a donated input.
void make_outputs(const Plan& plan, std::span<const Ref<Value>> inputs, WindowRun& run) {
    std::vector<BufferRef> made(plan.buffers.size());
    run.outputs.reserve(plan.outputs.size());
    for (const PlanOutput& out : plan.outputs) {
        BufferRef& buffer = made[out.slot.buffer];
        const PlanBuffer& b = plan.buffers[out.slot.buffer];
        if (b.kind == BufferKind::kInput && !out.overwrites) {
            run.outputs.push_back(inputs[b.index]->buffer.ref());
            continue;
        }
        if (!buffer) {
            buffer = out.overwrites ? Buffer::pending(*inputs[b.index]->buffer->allocator(),
                                                      inputs[b.index]->buffer->bytes())
                                    : Buffer::pending(device_allocator(plan.device), b.bytes);
        }
        run.outputs.push_back(buffer);
    }
}

// A run of a plan on these inputs: all but its outputs' values and what a replay needs.
std::shared_ptr<WindowRun> prepare_run(RunLane& lane, std::shared_ptr<const Plan> plan,
                                       std::span<const Ref<Value>> inputs,
                                       const std::vector<Scalar>& numbers) {
    std::shared_ptr<WindowRun> run = lane.new_run();
    run->plan = std::move(plan);
    run->scalars.reserve(run->plan->scalars.size());
    for (const ScalarSource& s : run->plan->scalars)
        run->scalars.push_back(s.slot >= 0 ? numbers[static_cast<size_t>(s.slot)] : s.constant);
    for (const Ref<Value>& v : inputs) {
        run->inputs.push_back(v->buffer.ref());
        run->input_offsets.push_back(v->offset * static_cast<int64_t>(dtype_size(v->meta.dtype)));
    }
    make_outputs(*run->plan, inputs, *run);
    return run;
}

// Gives the values of the outputs their places in buffers that are on their way.
void place_outputs(const WindowRun& run, std::span<const Ref<Value>> inputs,
                   std::span<Value* const> outputs, const RunLane& lane) {
    for (size_t k = 0; k < outputs.size(); ++k) {
        Value& v = *outputs[k];
        const PlanOutput& out = run.plan->outputs[k];
        const PlanBuffer& b = run.plan->buffers[out.slot.buffer];
        v.kind = ValueState::kBuffer;
        v.recorder = nullptr;
        v.lane = &lane;
        v.strides = out.strides;
        v.offset =
            slot_offset(out.slot, run.scalars) / static_cast<int64_t>(dtype_size(v.meta.dtype));
        if (b.kind == BufferKind::kInput) {
            const Value& in = *inputs[b.index];
            v.offset += in.offset * static_cast<int64_t>(dtype_size(in.meta.dtype)) /
                        static_cast<int64_t>(dtype_size(v.meta.dtype));
        }
        v.buffer = run.outputs[k];
    }
}

// The values that state had before, once every held value has its buffer.
void keep_formers(std::span<Value* const> outputs, WindowRun& run) {
    for (size_t k = 0; k < outputs.size(); ++k) {
        const Ref<Value>& former = outputs[k]->former;
        if (!former) continue;
        if (run.former.empty()) run.former.resize(outputs.size());
        run.former[k] = {former->buffer.ref(), former->offset, former->strides};
    }
}

void add_report(WindowReport report, const WindowRun& run, std::vector<uint32_t> sites) {
    report.plan = run.plan;
    report.recorded = static_cast<int>(sites.size());
    report.sites = std::move(sites);
    reports.push_back(std::move(report));
    if (static_cast<int>(reports.size()) > reports_kept) reports.erase(reports.begin());
}

// What else a replay needs, and nobody else.
void keep_for_replay(Recorder& recorder, WindowRun& run, bool move) {
    for (const Ref<Value>& v : recorder.inputs) run.input_strides.push_back(v->strides);
    if (move) {
        std::swap(run.graph, recorder.graph);
        std::swap(run.numbers, recorder.scalars);
    } else {
        run.graph = recorder.graph;
        run.numbers = recorder.scalars;
    }
}

}  // namespace

CacheStats plan_cache_stats() {
    cache_stats.plans = static_cast<int64_t>(cache_order.size());
    return cache_stats;
}
uint64_t plan_generation() { return generation; }
void clear_plan_cache() {
    ++generation;
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

void settle_failures(Recorder& recorder) {
    RunLane& lane = recorder.lane();
    if (!lane.has_failed()) return;
    lane.drain();
    for (const std::shared_ptr<WindowRun>& run : lane.take_failed()) {
        replay(*run);
        recorder.fail_with(run->failure);
    }
}

void execute_window(Recorder& recorder) {
    Graph& graph = recorder.graph;
    for (ValueId v = 0; v < graph.values.size(); ++v)
        if (recorder.holders[v]) graph.outputs.push_back(v);
    bool checks = false;
    for (const Node& n : graph.nodes) checks |= op_def(n.op).checks_values;
    if (graph.outputs.empty() && !checks) return;

    const std::vector<uint8_t> donated = find_donations(recorder);
    complete_key(recorder, donated, recorder.key);
    const uint64_t hash = hash_key(recorder.key);
    const double start = reports_kept ? now_us() : 0;
    const std::shared_ptr<const Plan>* found = find_plan(recorder.key, hash);
    std::shared_ptr<const Plan> plan;
    if (found) {
        plan = *found;
    } else {
        TraceScope trace("plan");
        if (trace.wanted()) trace.name("planning " + std::to_string(graph.nodes.size()) + " ops");
        std::vector<Dims> strides;
        for (const Ref<Value>& v : recorder.inputs) strides.push_back(v->strides);
        plan = build_plan(graph, strides, donated);
        keep_plan(recorder.key, hash, plan);
    }
    const double planned = reports_kept ? now_us() : 0;

    RunLane& lane = recorder.lane();
    const std::shared_ptr<WindowRun> run =
        prepare_run(lane, plan, recorder.inputs, recorder.scalars);
    const bool in_caller = reports_kept || (plan->cost < kCallerNanoseconds && lane.idle());
    if (reports_kept) lane.drain();

    // From here on nothing fails: the held values get their places in buffers that are on their
    // way.
    std::vector<Value*> outputs;
    std::vector<Ref<Value>> held;  // a kernel may wait, and let others drop what they hold
    for (ValueId v : graph.outputs) {
        outputs.push_back(recorder.holders[v]);
        held.emplace_back(recorder.holders[v]);
    }
    const std::vector<ValueId> ids = graph.outputs;
    if (!in_caller) keep_for_replay(recorder, *run, true);
    place_outputs(*run, recorder.inputs, outputs, lane);
    if (!in_caller) {
        keep_formers(outputs, *run);
        run->sites.swap(recorder.sites);
        lane.submit(run, false, nullptr);
    } else {
        WindowReport report;
        run->sites.swap(recorder.sites);
        lane.submit(run, true, reports_kept ? &report.step_us : nullptr);
        if (run->failure) {
            keep_formers(outputs, *run);
            keep_for_replay(recorder, *run, false);
        }
        if (reports_kept) {
            report.hit = found != nullptr;
            report.plan_us = planned - start;
            report.run_us = now_us() - planned;
            add_report(std::move(report), *run, run->sites);
        }
        if (!run->failure) run->sites.swap(recorder.sites);
    }
    for (size_t k = 0; k < outputs.size(); ++k) {
        outputs[k]->former.reset();
        recorder.holders[ids[k]] = nullptr;
    }
    lane.retire_if_done(run);
}

void launch(Recorder& recorder, std::shared_ptr<const Plan> plan,
            const std::shared_ptr<const StoredGraph>& stored, std::span<const Ref<Value>> inputs,
            std::span<Value* const> outputs, const std::vector<Scalar>& numbers) {
    RunLane& lane = recorder.lane();
    const double start = reports_kept ? now_us() : 0;
    if (reports_kept) lane.drain();
    const std::shared_ptr<WindowRun> run = prepare_run(lane, std::move(plan), inputs, numbers);
    const bool in_caller = reports_kept || (run->plan->cost < kCallerNanoseconds && lane.idle());
    place_outputs(*run, inputs, outputs, lane);
    run->stored = stored;
    const auto keep = [&] {
        keep_formers(outputs, *run);
        for (const Ref<Value>& v : inputs) run->input_strides.push_back(v->strides);
        run->numbers = numbers;
    };
    if (!in_caller) {
        keep();
        lane.submit(run, false, nullptr);
    } else {
        WindowReport report;
        lane.submit(run, true, reports_kept ? &report.step_us : nullptr);
        if (run->failure) keep();
        if (reports_kept) {
            report.hit = true;
            report.run_us = now_us() - start;
            add_report(std::move(report), *run, stored->sites);
        }
    }
    for (Value* v : outputs) v->former.reset();
    lane.retire_if_done(run);
}

}  // namespace sn
