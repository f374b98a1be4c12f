#include "thaw.h"

#include "backend/cpu/cpu_tables.h"
#include "bundle.h"

namespace sn {

namespace {

// The ops come first: kernels and programs are found by them.
struct Thaw {
    FrozenModel model;
    PlanReader rest{sn_bundle_plans};
    Thaw() { archive(rest, model.ops); }
};

Thaw& thaw() {
    static Thaw* made = new Thaw;  // never destroyed: kernels may run during exit
    return *made;
}

void make_plan(FrozenVariant& v) {
    Plan& p = v.plan;
    for (size_t i = 0; i < v.constant_offset.size(); ++i) {
        void* data = const_cast<unsigned char*>(sn_bundle_data + v.constant_offset[i]);
        p.constants.push_back(Buffer::borrow(
            data, static_cast<size_t>(v.constant_bytes[i]), nullptr, [](void*) {}, false));
    }
    if (p.edges.empty()) return;
    std::vector<float> cost;
    for (const Step& step : p.steps) cost.push_back(static_cast<float>(step.cost));
    p.order = TaskGraph::build(static_cast<int32_t>(p.steps.size()), p.edges, cost);
}

}  // namespace

const std::vector<FrozenOp>& frozen_ops() { return thaw().model.ops; }

const FrozenModel& thawed() {
    static const FrozenModel& made = []() -> const FrozenModel& {
        cpu::cpu_tables();
        Thaw& t = thaw();
        Backend& device = backend(Device{});
        const KernelTable& kernels = device.kernels();
        archive_interface(t.rest, t.model);
        for (FrozenVariant& v : t.model.variants) {
            archive_variant(
                t.rest, v, [&](OpId op) { return kernels.kernel(op); },
                [&](const ProgramSpec& spec) { return device.compile(spec); });
            make_plan(v);
        }
        return t.model;
    }();
    return made;
}

}  // namespace sn
