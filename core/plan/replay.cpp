#include <cstring>

#include "base/error.h"
#include "plan/run.h"

namespace sn {

namespace {

struct Computed {
    BufferRef buffer;
    int64_t offset = 0;  // elements
    Dims strides;
    std::exception_ptr error;
};

// Runs one recorded node alone.
void run_node(const Graph& g, const Node& n, const std::vector<Scalar>& numbers,
              std::vector<Computed>& values, RunState& state, MatmulPrecision precision) {
    Graph single;
    std::vector<ValueId> in;
    std::vector<Dims> strides;
    WindowRun run;
    std::vector<Scalar> scalars;
    for (ValueId v : g.in(n)) {
        const Meta& m = g.meta(v);
        if (g.values[v].kind == ValueKind::kScalar) {
            in.push_back(single.add_scalar(m.dtype, m.device));
            scalars.push_back(numbers[g.values[v].source]);
            continue;
        }
        in.push_back(single.add_input(m));
        strides.push_back(values[v].strides);
        run.inputs.push_back(values[v].buffer);
        run.input_offsets.push_back(values[v].offset * static_cast<int64_t>(dtype_size(m.dtype)));
    }
    std::vector<Meta> out;
    for (uint32_t k = 0; k < n.n_out; ++k) out.push_back(g.meta(n.first_out + k));
    const ValueId first = single.add_node(n.op, in, g.attr(n), out, 0);
    for (uint32_t k = 0; k < n.n_out; ++k) single.outputs.push_back(first + k);
    const std::vector<uint8_t> donated(run.inputs.size(), 0);
    run.plan = build_plan(single, strides, donated, precision);
    for (const ScalarSource& s : run.plan->scalars)
        run.scalars.push_back(s.slot >= 0 ? scalars[s.slot] : s.constant);
    for (const PlanOutput& o : run.plan->outputs) {
        const PlanBuffer& b = run.plan->buffers[o.slot.buffer];
        run.outputs.push_back(b.kind == BufferKind::kInput
                                  ? run.inputs[b.index]
                                  : Buffer::pending(device_allocator(run.plan->device), b.bytes));
    }
    run.execute(state, nullptr);
    for (uint32_t k = 0; k < n.n_out; ++k) {
        Computed& c = values[n.first_out + k];
        const PlanOutput& o = run.plan->outputs[k];
        const PlanBuffer& b = run.plan->buffers[o.slot.buffer];
        int64_t offset = slot_offset(o.slot, run.scalars);
        if (b.kind == BufferKind::kInput) offset += run.input_offsets[b.index];
        c = {run.outputs[k], offset / static_cast<int64_t>(dtype_size(out[k].dtype)), o.strides,
             run.failure};
    }
}

}  // namespace

void replay(WindowRun& run) {
    if (run.overwrote) return;  // inputs are gone: everything stays failed
    const Graph& g = run.recorded();
    RunState state;
    std::vector<Computed> values(g.values.size());
    for (size_t i = 0; i < g.inputs.size(); ++i) {
        Computed& c = values[g.inputs[i]];
        c.buffer = run.inputs[i];
        c.offset =
            run.input_offsets[i] / static_cast<int64_t>(dtype_size(g.meta(g.inputs[i]).dtype));
        c.strides = run.input_strides[i];
        if (c.buffer->state() == BufferState::kFailed) c.error = c.buffer->error();
    }
    for (const Node& n : g.nodes) {
        std::exception_ptr error;
        for (ValueId v : g.in(n))
            if (!error) error = values[v].error;
        if (!error) {
            try {
                run_node(g, n, run.numbers, values, state, run.plan->precision);
            } catch (...) {
                error = std::current_exception();
            }
        }
        for (uint32_t k = 0; k < n.n_out; ++k) {
            std::exception_ptr& own = values[n.first_out + k].error;
            if (error) own = error;
            if (!own) continue;
            try {
                std::rethrow_exception(own);
            } catch (Error& e) {
                if (run.site(n.origin) && !e.site()) e.set_site(run.site(n.origin));
            } catch (...) {
            }
        }
    }
    for (size_t k = 0; k < g.outputs.size(); ++k) {
        const Meta& m = g.meta(g.outputs[k]);
        const size_t size = dtype_size(m.dtype);
        Buffer& buffer = *run.outputs[k];
        const PlanOutput& out = run.plan->outputs[k];
        if (buffer.state() == BufferState::kReady && out.slot.buffer != kNone &&
            run.plan->buffers[out.slot.buffer].kind == BufferKind::kInput && !out.overwrites)
            continue;  // shows an input
        Computed c = values[g.outputs[k]];
        // A failed window is a transaction: state keeps its former value, whether or not the new
        // one could have been computed.
        if (!run.former.empty() && run.former[k].buffer &&
            run.former[k].buffer->state() == BufferState::kReady) {
            const FormerValue& f = run.former[k];
            c = {f.buffer, f.offset, f.strides, nullptr};
        }
        if (c.error) {
            buffer.set_failed(c.error);
            continue;
        }
        buffer.materialise();
        int64_t base = slot_offset(out.slot, run.scalars);
        if (out.overwrites) base += run.input_offsets[run.plan->buffers[out.slot.buffer].index];
        copy_elements(
            m.device, static_cast<char*>(buffer.data()) + base, out.strides,
            static_cast<const char*>(c.buffer->data()) + c.offset * static_cast<int64_t>(size),
            c.strides, m.shape, size);
        buffer.repair();
    }
}

}  // namespace sn
