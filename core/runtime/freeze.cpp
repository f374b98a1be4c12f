#include "runtime/freeze.h"

#if !defined(SN_RUNTIME)

#include "backend/cpu/needs.h"
#include "base/error.h"
#include "op/control.h"
#include "op/op.h"
#include "plan/archive.h"
#include "record/read.h"

namespace sn {

namespace {

constexpr size_t kAlignment = 64;

int64_t append(std::string& data, const void* from, size_t bytes) {
    data.resize((data.size() + kAlignment - 1) / kAlignment * kAlignment);
    const auto at = static_cast<int64_t>(data.size());
    data.append(static_cast<const char*>(from), bytes);
    return at;
}

void require_cpu(const Model& m) {
    for (const ValueInfo& v : m.graph.values) {
        if (v.meta.device == Device{}) continue;
        fail(ErrorKind::kDevice, "bundle",
             "the model computes on '%s'; a bundle computes on 'cpu': trace it there",
             device_name(v.meta.device).c_str());
    }
}

void require_fixed_order(const Model& m) {
    for (const Node& n : m.graph.nodes) {
        if (!is_control(op_def(n.op))) continue;
        fail(ErrorKind::kValue, "bundle",
             "the model has control flow ('%s'), so that only a call decides what runs; a bundle "
             "has plans that were made ahead of time: use the C++ runtime (docs/runtime.md), or "
             "bundle the parts of the model between such operations (Graph.cut)",
             op_def(n.op).name);
    }
}

FrozenVariant freeze_variant(const Model& m, const Plan& plan, std::vector<int64_t> sizes,
                             std::string& data) {
    FrozenVariant v;
    v.sizes = std::move(sizes);
    for (size_t i = 0; i < m.inputs.size() && m.inputs[i].role == InputRole::kArgument; ++i)
        v.argument_shapes.push_back(m.graph.meta(m.graph.inputs[i]).shape);
    for (ValueId out : m.graph.outputs) v.result_shapes.push_back(m.graph.meta(out).shape);
    for (const ModelNumber& n : m.numbers)
        v.numbers.push_back({n.value, static_cast<uint8_t>(n.role)});
    for (const BufferRef& constant : plan.constants) {
        v.constant_bytes.push_back(static_cast<int64_t>(constant->bytes()));
        v.constant_offset.push_back(append(data, constant->data(), constant->bytes()));
    }
    v.plan.buffers = plan.buffers;
    v.plan.scalars = plan.scalars;
    v.plan.scalar_dtypes = plan.scalar_dtypes;
    v.plan.outputs = plan.outputs;
    v.plan.output_buffers = plan.output_buffers;
    v.plan.arena_bytes = plan.arena_bytes;
    v.plan.cost = plan.cost;
    v.plan.edges = plan.edges;
    v.plan.steps = plan.steps;
    // A step with an epilogue is named after its last op; a bundle finds kernels by their own.
    for (size_t i = 0; i < plan.steps.size(); ++i)
        if (const NodeId anchor = plan.groups[i].anchor; anchor != kNone)
            v.plan.steps[i].op = plan.graph.nodes[anchor].op;
    return v;
}

}  // namespace

Frozen freeze(const Model& open, std::span<const Model> variants,
              const std::vector<std::vector<int64_t>>& sizes, std::span<const Tensor> stand,
              std::vector<std::string> results) {
    SN_CHECK(!variants.empty() && variants.size() == sizes.size());
    Frozen made;
    FrozenModel f;
    cpu::Needs needs;
    const Model& first = variants[0];
    require_cpu(first);
    require_fixed_order(first);
    for (size_t i = 0; i < first.inputs.size(); ++i) {
        const DType dtype = first.graph.meta(first.graph.inputs[i]).dtype;
        if (first.inputs[i].role == InputRole::kArgument) {
            f.argument_names.push_back(first.inputs[i].name);
            f.argument_dtypes.push_back(dtype);
            continue;
        }
        Tensor keep;
        const Tensor& tensor = stand[f.stand_names.size()];
        const void* values = read_values(tensor, &keep);
        const Meta& meta = keep.value()->meta;
        SN_CHECK(meta.dtype == dtype);
        const size_t bytes = static_cast<size_t>(numel(meta.shape)) * dtype_size(dtype);
        f.stand_names.push_back(first.inputs[i].name);
        f.stand_dtypes.push_back(dtype);
        f.stand_bytes.push_back(static_cast<int64_t>(bytes));
        f.stand_offset.push_back(append(made.data, values, bytes));
    }
    f.result_names = std::move(results);
    for (ValueId v : first.graph.outputs) f.result_dtypes.push_back(first.graph.meta(v).dtype);
    for (uint32_t input : first.updates)
        f.updates.push_back(input - static_cast<uint32_t>(f.argument_names.size()));
    for (const OpenSize& size : open.sizes) f.size_names.push_back(size.name);
    f.draws = first.draws;
    std::vector<std::shared_ptr<const Plan>> plans;  // views of steps point into them
    for (size_t i = 0; i < variants.size(); ++i) {
        plans.push_back(plan_of(variants[i]));
        f.variants.push_back(freeze_variant(variants[i], *plans[i], sizes[i], made.data));
        needs.add(f.variants.back().plan);
    }
    const auto no_kernel = [](OpId) -> KernelFn { return nullptr; };
    const auto no_program = [](const ProgramSpec&) {
        return std::shared_ptr<const CompiledProgram>();
    };
    PlanWriter body;
    archive_interface(body, f);
    for (FrozenVariant& v : f.variants) archive_variant(body, v, no_kernel, no_program);
    for (OpId id : body.ops) {
        const OpDef& def = op_def(id);
        f.ops.push_back({def.name, def.tile_op, def.reduce_kind});
    }
    PlanWriter head;
    archive(head, f.ops);
    made.plans = head.bytes + body.bytes;
    made.needs = needs.lines();
    return made;
}

}  // namespace sn

#endif
