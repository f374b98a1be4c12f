#include "runtime/compiled.h"

#include <algorithm>
#include <cstring>

#include "op/op.h"
#include "plan/execute.h"

namespace sn {

namespace {

constexpr size_t kMaxVariants = 8;

std::string where(const Model& m, NodeId id) {
    const std::string text = id < m.sites.size() ? site_text(m.sites[id]) : std::string();
    return text.empty() ? text : " (" + text + ")";
}

std::string name_of(const Model& m, NodeId id) {
    return id < m.graph.nodes.size()
               ? std::string("'") + op_def(m.graph.nodes[id].op).name + "'" + where(m, id)
               : std::string("nothing more");
}

bool same_meta(const Meta& a, const Meta& b) {
    return a.dtype == b.dtype && a.device == b.device && a.shape == b.shape;
}

std::string text_of(const ModelNumber& n) {
    if (n.role == NumberRole::kSeed) return "the seed";
    if (n.role == NumberRole::kDraw) return "draw " + std::to_string(n.value.i);
    if (n.value.kind != ScalarKind::kFloat) return std::to_string(n.value.i);
    char text[32];
    std::snprintf(text, sizeof text, "%.9g", n.value.f);
    return text;
}

}  // namespace

CompiledGraph::CompiledGraph(const Recorder& window, const RecordWatch& watch,
                             std::vector<ValueId> outputs, RandomState before) {
    auto stored = std::make_shared<StoredGraph>();
    stored->graph = window.graph;
    stored->graph.outputs = std::move(outputs);
    stored->sites = window.sites;
    model_.graph = stored->graph;
    model_.inputs.resize(model_.graph.inputs.size());
    model_.sites = window.sites;
    model_.taped = watch.taped;
    for (const Scalar& s : window.scalars) model_.numbers.push_back({s, NumberRole::kConstant});
    model_.draws = static_cast<int64_t>(random_state().counter - before.counter);
    find_draws(model_, before.counter);
    stored_ = std::move(stored);
    for (const ModelNumber& n : model_.numbers) drawn_ |= n.role != NumberRole::kConstant;
}

size_t CompiledGraph::kernels() const {
    return variants_.empty() ? 0 : variants_.front().plan->steps.size();
}

void CompiledGraph::set_number(size_t scalar, double value) {
    model_.numbers[scalar].value = Scalar::of_float(value);
    if (!numbers_.empty()) numbers_[scalar] = model_.numbers[scalar].value;
}

void CompiledGraph::choose(std::span<const Ref<Value>> inputs, std::span<const uint32_t> replaced) {
    SN_CHECK(inputs.size() == model_.graph.inputs.size());
    if (generation_ != plan_generation()) {
        variants_.clear();
        generation_ = plan_generation();
    }
    donated_.resize(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
        const Value& v = *inputs[i];
        donated_[i] = replaced[i] && v.refs == replaced[i] &&
                      v.buffer->holders.load(std::memory_order_acquire) == 1 &&
                      v.buffer->allocator() != nullptr;
    }
    const auto fits = [&](const Variant& v) {
        if (v.donated != donated_ || v.precision != matmul_precision()) return false;
        for (size_t i = 0; i < inputs.size(); ++i)
            if (!(v.strides[i] == inputs[i]->strides)) return false;
        return true;
    };
    for (size_t i = 0; i < variants_.size(); ++i) {
        if (!fits(variants_[i])) continue;
        const auto at = variants_.begin() + static_cast<std::ptrdiff_t>(i);
        std::rotate(variants_.begin(), at, at + 1);
        return;
    }
    Variant made;
    for (const Ref<Value>& v : inputs) made.strides.push_back(v->strides);
    made.donated = donated_;
    made.precision = matmul_precision();
    made.plan = build_plan(stored_->graph, made.strides, made.donated);
    if (variants_.size() == kMaxVariants) variants_.pop_back();
    variants_.insert(variants_.begin(), std::move(made));
}

void CompiledGraph::run(Recorder& recorder, std::span<const Ref<Value>> inputs,
                        std::span<Value* const> outputs, bool again) {
    if (!again) {
        launch(recorder, variants_.front().plan, stored_, inputs, outputs, recorder.scalars);
        return;
    }
    if (drawn_ || numbers_.size() != model_.numbers.size()) {
        numbers_.clear();
        const RandomState state = random_state();
        for (const ModelNumber& n : model_.numbers) {
            switch (n.role) {
                case NumberRole::kConstant:
                case NumberRole::kSize: numbers_.push_back(n.value); break;  // at these sizes
                case NumberRole::kSeed:
                    numbers_.push_back(Scalar::of_int(static_cast<int64_t>(state.seed)));
                    break;
                case NumberRole::kDraw:
                    numbers_.push_back(
                        Scalar::of_int(static_cast<int64_t>(state.counter) + n.value.i));
                    break;
            }
        }
    }
    if (model_.draws) {
        RandomState state = random_state();
        state.counter += static_cast<uint64_t>(model_.draws);
        set_random_state(state);
    }
    launch(recorder, variants_.front().plan, stored_, inputs, outputs, numbers_);
}

std::string difference(const Model& a, const Model& b, bool* numbers_only) {
    *numbers_only = false;
    const Graph &g = a.graph, &h = b.graph;
    const size_t nodes = std::max(g.nodes.size(), h.nodes.size());
    for (NodeId id = 0; id < nodes; ++id) {
        const bool both = id < g.nodes.size() && id < h.nodes.size();
        const Node *x = both ? &g.nodes[id] : nullptr, *y = both ? &h.nodes[id] : nullptr;
        if (!both || x->op != y->op || x->n_in != y->n_in || x->n_out != y->n_out)
            return "one recording has " + name_of(a, id) + " where the other has " + name_of(b, id);
        if (!std::ranges::equal(g.attr(*x), h.attr(*y)))
            return "the attributes of " + name_of(b, id) + " differ";
        if (!std::ranges::equal(g.in(*x), h.in(*y)))
            return "the operands of " + name_of(b, id) + " differ";
        for (uint32_t k = 0; k < x->n_out; ++k)
            if (!same_meta(g.meta(x->first_out + k), h.meta(y->first_out + k)))
                return "the results of " + name_of(b, id) + " differ in shape or dtype";
    }
    if (g.inputs != h.inputs || g.scalars != h.scalars) return "the operands differ";
    for (ValueId v : g.inputs)
        if (!same_meta(g.meta(v), h.meta(v))) return "tensors differ in shape or dtype";
    for (ValueId v : g.scalars)
        if (g.meta(v).dtype != h.meta(v).dtype) return "numbers differ in dtype";
    if (g.outputs != h.outputs) return "results or changed tensors differ";
    if (a.draws != b.draws) return "it draws another number of random tensors";
    if (a.taped != b.taped) return "gradients are recorded at other places";
    const auto same = [&](size_t i) {
        const ModelNumber &x = a.numbers[i], &y = b.numbers[i];
        return x.role == y.role && x.value.kind == y.value.kind &&
               (x.role == NumberRole::kSeed || x.value.i == y.value.i);
    };
    *numbers_only = true;
    for (size_t i = 0; i < a.numbers.size(); ++i)
        *numbers_only &= same(i) || (a.numbers[i].role == NumberRole::kConstant &&
                                     b.numbers[i].role == NumberRole::kConstant &&
                                     a.numbers[i].value.kind == b.numbers[i].value.kind);
    for (size_t i = 0; i < a.numbers.size(); ++i) {
        if (same(i)) continue;
        const std::string change = " is " + text_of(a.numbers[i]) + " in one recording and " +
                                   text_of(b.numbers[i]) + " in the other";
        for (NodeId id = 0; id < h.nodes.size(); ++id)
            if (std::ranges::count(h.in(h.nodes[id]), h.scalars[i]))
                return "a number that " + name_of(b, id) + " takes" + change;
        return "a number" + change;
    }
    *numbers_only = false;
    return {};
}

}  // namespace sn
