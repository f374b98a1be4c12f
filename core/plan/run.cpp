#include "plan/run.h"

#include <atomic>
#include <chrono>
#include <complex>
#include <cstring>

#include "engine/trace.h"
#include "memory/recycling.h"
#include "op/op.h"

namespace sn {

namespace {

double now_us() {
    using namespace std::chrono;
    return duration<double, std::micro>(steady_clock::now().time_since_epoch()).count();
}

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
        case DType::kC64: put(std::complex<float>(static_cast<float>(s.as_double()))); break;
        case DType::kC128: put(std::complex<double>(s.as_double())); break;
    }
}

// Its first ops, as a person reads them.
std::string step_name(const Plan& plan, const Step& step) {
    if (plan.groups.empty()) return op_def(step.op).name;  // of a bundle
    const auto& nodes = plan.groups[static_cast<size_t>(&step - plan.steps.data())].nodes;
    std::string name;
    for (size_t i = 0; i < nodes.size() && i < 4; ++i)
        name += std::string(i ? " + " : "") + op_def(plan.graph.nodes[nodes[i]].op).name;
    return nodes.size() > 4 ? name + " + ..." : name;
}

}  // namespace

void copy_elements(char* to, DimSpan to_strides, const char* from, DimSpan from_strides,
                   DimSpan shape, size_t size) {
    Dims index(shape.size(), 0);
    const int64_t count = numel(shape);
    const int64_t width = static_cast<int64_t>(size);
    for (int64_t i = 0; i < count; ++i) {
        std::memcpy(to, from, size);
        for (size_t d = shape.size(); d-- > 0;) {
            to += to_strides[d] * width;
            from += from_strides[d] * width;
            if (++index[d] < shape[d]) break;
            to -= to_strides[d] * shape[d] * width;
            from -= from_strides[d] * shape[d] * width;
            index[d] = 0;
        }
    }
}

namespace {

// The bytes that elements lie in, as offsets from the first one.
std::pair<int64_t, int64_t> extent(DimSpan strides, DimSpan shape, size_t size) {
    int64_t low = 0, high = 1;
    for (size_t d = 0; d < shape.size(); ++d)
        (strides[d] < 0 ? low : high) += strides[d] * (shape[d] - 1);
    return {low * static_cast<int64_t>(size), high * static_cast<int64_t>(size)};
}

}  // namespace

void copy_elements(Device device, char* to, DimSpan to_strides, const char* from,
                   DimSpan from_strides, DimSpan shape, size_t size) {
    if (numel(shape) == 0) return;
    Backend& b = backend(device);
    if (b.host_visible()) return copy_elements(to, to_strides, from, from_strides, shape, size);
    const auto [to_low, to_high] = extent(to_strides, shape, size);
    const auto [from_low, from_high] = extent(from_strides, shape, size);
    std::vector<char> target(static_cast<size_t>(to_high - to_low));
    std::vector<char> source(static_cast<size_t>(from_high - from_low));
    b.copy_to_host(device.index, target.data(), to + to_low, target.size());
    b.copy_to_host(device.index, source.data(), from + from_low, source.size());
    copy_elements(target.data() - to_low, to_strides, source.data() - from_low, from_strides, shape,
                  size);
    b.copy_from_host(device.index, to + to_low, target.data(), target.size());
}

int64_t slot_offset(const Slot& slot, const std::vector<Scalar>& scalars) {
    int64_t offset = slot.offset;
    for (size_t i = 0; i < slot.terms.size(); i += 2)
        offset += scalars[slot.terms[i]].as_int() * slot.terms[i + 1];
    return offset;
}

void* WindowRun::address(const Slot& slot, RunState& state) const {
    if (slot.buffer == kNone) return &state.cells[slot.scalar];
    return state.base[slot.buffer] + slot_offset(slot, scalars);
}

void WindowRun::bind(RunState& state) {
    for (const BufferRef& b : inputs)
        if (b->state() == BufferState::kFailed) std::rethrow_exception(b->error());
    state.cells.resize(scalars.size());
    for (size_t i = 0; i < scalars.size(); ++i)
        store_scalar(scalars[i], plan->scalar_dtypes[i], &state.cells[i]);
    const size_t arena_bytes = plan->arena_bytes;
    if (state.arena && state.arena->allocator() != &device_allocator(plan->device))
        state.arena.reset();
    // A much larger arena than this plan needs is given back.
    const size_t have = state.arena ? state.arena->bytes() : 0;
    if (arena_bytes > have || (have > (size_t{64} << 20) && have / 8 > arena_bytes)) {
        state.arena.reset();
        if (host_visible(plan->device) && would_exceed(arena_bytes)) {
            fail(
                ErrorKind::kMemory, "plan",
                "running what has been recorded needs %s of working memory, more than the limit of "
                "%s leaves; use a smaller batch, or read results earlier",
                format_bytes(arena_bytes).c_str(), format_bytes(memory_limit()).c_str());
        }
        if (arena_bytes)
            state.arena = Buffer::allocate(device_allocator(plan->device), arena_bytes);
    }
    char* arena = state.arena ? static_cast<char*>(state.arena->data()) : nullptr;
    state.base.resize(plan->buffers.size());
    Backend& device = backend(plan->device);
    // Inputs first: outputs that are written over them take their memory.
    for (size_t i = 0; i < plan->buffers.size(); ++i) {
        const PlanBuffer& b = plan->buffers[i];
        if (b.kind == BufferKind::kInput) {
            device.settle(plan->device.index, inputs[b.index]->data());
            state.base[i] = static_cast<char*>(inputs[b.index]->data()) + input_offsets[b.index];
        } else if (b.kind == BufferKind::kArena)
            state.base[i] = arena + b.offset;
        else if (b.kind == BufferKind::kConstant)
            state.base[i] = static_cast<char*>(plan->constants[b.index]->data());
    }
    for (size_t k = 0; k < outputs.size(); ++k) {
        const uint32_t at = plan->outputs[k].slot.buffer;
        const PlanBuffer& b = plan->buffers[at];
        if (b.kind != BufferKind::kOutput) continue;
        outputs[k]->materialise();
        state.base[at] = static_cast<char*>(outputs[k]->data());
    }
}

void WindowRun::run_step(const Step& step, RunState& state) {
    if (!step.kernel && !step.program) return;  // a result without elements
    Backend& device = backend(step.device);
    SmallVec<void*, 16> pointers;
    for (const Slot& slot : step.bindings) pointers.push_back(address(slot, state));
    SmallVec<Scalar, 16> numbers;  // of the program
    for (uint32_t s : step.scalars) numbers.push_back(scalars[s]);
    if (step.overwrites_input) overwrote.store(true, std::memory_order_relaxed);
    if (!step.kernel) {
        device.run_program(step.device.index, *step.program, pointers.data(), numbers.data());
        return;
    }
    SmallVec<TensorView, 6> in, out;
    for (size_t i = 0; i < step.in.size(); ++i) {
        const Slot& slot = step.in_slots[i];
        in.push_back(step.in[i]);
        in[i].data = address(slot, state);
        if (slot.buffer == kNone) {
            in[i].on_host = true;
            continue;
        }
        const PlanBuffer& b = plan->buffers[slot.buffer];
        if (b.kind == BufferKind::kInput && !b.donated) in[i].buffer = inputs[b.index].get();
    }
    for (size_t i = 0; i < step.out.size(); ++i) {
        out.push_back(step.out[i]);
        out[i].data =
            step.out_slots[i].buffer == kNone ? nullptr : address(step.out_slots[i], state);
    }
    KernelCall call{in.data(),
                    static_cast<int>(in.size()),
                    out.data(),
                    static_cast<int>(out.size()),
                    step.attrs.data(),
                    nullptr,
                    step.workspace.buffer == kNone ? nullptr : address(step.workspace, state),
                    step.kernel_op,
                    step.device,
                    plan->precision};
    if (step.program) {
        device.run_with_epilogue(step.kernel, call, *step.program, pointers.data(), numbers.data());
    } else {
        step.kernel(call);
    }
}

void WindowRun::run_steps(RunState& state, std::vector<double>* step_us) {
    const auto run = [&](const Step& step) {
        TraceScope trace("kernel");
        if (trace.wanted()) {
            trace.name(step_name(*plan, step), site(step.origin));
        }
        try {
            run_step(step, state);
        } catch (Error& error) {
            if (const uint32_t at = site(step.origin)) error.set_site(at);
            throw;
        }
    };
    if (!step_us && !plan->edges.empty()) {
        const auto node = [&](int k) { run(plan->steps[static_cast<size_t>(k)]); };
        run_graph(
            plan->order, state.scratch,
            [](void* context, int k) { (*static_cast<decltype(node)*>(context))(k); },
            const_cast<void*>(static_cast<const void*>(&node)));
        return;
    }
    for (const Step& step : plan->steps) {
        const double start = step_us ? now_us() : 0;
        run(step);
        if (!step_us) continue;
        backend(step.device).synchronize(step.device.index);  // what it issued is its time
        step_us->push_back(now_us() - start);
    }
}

void WindowRun::execute(RunState& state, std::vector<double>* step_us) {
    try {
        bind(state);
        run_steps(state, step_us);
        // Results written over inputs own that memory from now on.
        for (size_t k = 0; k < outputs.size(); ++k) {
            const PlanBuffer& b = plan->buffers[plan->outputs[k].slot.buffer];
            if (plan->outputs[k].overwrites && !outputs[k]->data())
                outputs[k]->take_over(*inputs[b.index]);
        }
    } catch (...) {
        failure = std::current_exception();
    }
    for (const BufferRef& out : outputs) {
        if (out->state() != BufferState::kPending) continue;  // an input, or shared by two outputs
        if (failure)
            mark_failed(*out, failure);
        else
            mark_ready(*out);
    }
}

struct RunLane::Shared {
    RunState state;
    Var order = make_var();
    std::mutex lock;
    std::vector<std::shared_ptr<WindowRun>> failed;
    std::atomic<bool> any_failed{false};

    void run(const std::shared_ptr<WindowRun>& run, std::vector<double>* step_us) {
        run->execute(state, step_us);
        if (!run->failure) return run->let_go();
        const std::lock_guard guard(lock);
        failed.push_back(run);
        any_failed.store(true, std::memory_order_release);
    }
};

RunLane::RunLane() : shared_(std::make_shared<Shared>()), any_failed_(shared_->any_failed) {}

void WindowRun::clear() {
    plan.reset();
    inputs.clear();
    input_offsets.clear();
    outputs.clear();
    scalars.clear();
    sites.clear();
    former.clear();
    graph.clear();
    stored.reset();
    numbers.clear();
    input_strides.clear();
    overwrote = false;
    one_is_through = false;
    failure = nullptr;
}

void WindowRun::let_go() {
    if (!one_is_through.exchange(true, std::memory_order_acq_rel)) return;
    inputs.clear();
    outputs.clear();
    former.clear();
}

std::shared_ptr<WindowRun> RunLane::new_run() {
    if (spare_.empty()) return std::make_shared<WindowRun>();
    std::shared_ptr<WindowRun> run = std::move(spare_.back());
    spare_.pop_back();
    return run;
}

void RunLane::retire(std::shared_ptr<WindowRun> run) {
    if (run->failure || run.use_count() != 1 || spare_.size() >= 4) return;
    run->clear();
    spare_.push_back(std::move(run));
}

void RunLane::retire_if_done(const std::shared_ptr<WindowRun>& run) {
    if (run->failure || run.use_count() != 1 || spare_.size() >= 4) return;
    run->clear();
    spare_.push_back(run);
}

bool RunLane::idle() {
    std::erase_if(in_flight_, [&](auto& entry) {
        if (!is_done(entry.first)) return false;
        retire(std::move(entry.second));
        return true;
    });
    return in_flight_.empty();
}

void RunLane::submit(std::shared_ptr<WindowRun> run, bool in_caller, std::vector<double>* step_us) {
    if (in_caller) {
        run->one_is_through = true;
        shared_->run(run, step_us);
        return;
    }
    Task task;
    task.accesses.push_back({shared_->order, AccessMode::kUpdate});
    task.name = "window";
    task.run = [shared = shared_, run] { shared->run(run, nullptr); };
    const TaskId id = push(std::move(task));
    for (const BufferRef& out : run->outputs)
        if (out->state() == BufferState::kPending) out->producer = id;
    run->let_go();
    in_flight_.emplace_back(id, std::move(run));
}

void RunLane::wait_for_room() {
    while (!idle() && in_flight_.size() > 1) {
        const TaskId oldest = in_flight_.front().first;
        WaitScope scope;
        wait(oldest, wait_hooks().poll);
    }
}

void RunLane::drain() {
    while (!idle()) {
        const TaskId newest = in_flight_.back().first;
        WaitScope scope;
        wait(newest, wait_hooks().poll);
    }
}

void RunLane::release_arena() {
    drain();
    shared_->state.arena.reset();
}

std::vector<std::shared_ptr<WindowRun>> RunLane::take_failed() {
    const std::lock_guard guard(shared_->lock);
    shared_->any_failed.store(false, std::memory_order_release);
    return std::exchange(shared_->failed, {});
}

}  // namespace sn
