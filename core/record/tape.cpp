#include "record/tape.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <queue>
#include <unordered_map>

#include "op/api.h"
#include "record/trace.h"

namespace sn {

namespace {

uint64_t next_seq = 1;   // under the record lock
GradNode consumed_head;  // sentinel of the list of entries that a backward pass used

// Entries to be destroyed. Dropping an entry drops references to others; a chain of a million would
// overflow the stack if that recursed, so the outermost call works the list off.
thread_local std::vector<GradNode*> doomed;
thread_local bool destroying = false;

void unlink_consumed(GradNode* node) {
    if (!node->consumed) return;
    node->consumed_prev->consumed_next = node->consumed_next;
    if (node->consumed_next) node->consumed_next->consumed_prev = node->consumed_prev;
    node->consumed = false;
}

void link_consumed(GradNode* node) {
    if (node->consumed) return;
    node->consumed_prev = &consumed_head;
    node->consumed_next = consumed_head.consumed_next;
    if (node->consumed_next) node->consumed_next->consumed_prev = node;
    consumed_head.consumed_next = node;
    node->consumed = true;
}

}  // namespace

GradNode::GradNode() = default;
GradNode::~GradNode() = default;

GradNode* GradNode::make(int n_in, int n_out) {
    static_assert(alignof(GradInput) <= alignof(std::max_align_t));
    const size_t bytes = sizeof(GradNode) + n_in * sizeof(GradInput) + n_out * sizeof(GradOutput);
    char* memory = static_cast<char*>(std::malloc(bytes));
    if (!memory) throw std::bad_alloc();
    auto* node = new (memory) GradNode;
    node->inputs = reinterpret_cast<GradInput*>(memory + sizeof(GradNode));
    node->outputs = reinterpret_cast<GradOutput*>(node->inputs + n_in);
    for (int i = 0; i < n_in; ++i) new (node->inputs + i) GradInput;
    for (int k = 0; k < n_out; ++k) new (node->outputs + k) GradOutput;
    node->n_in = static_cast<uint16_t>(n_in);
    node->n_out = static_cast<uint16_t>(n_out);
    node->seq = next_seq++;
    return node;
}

void GradNode::destroy(GradNode* node) {
    doomed.push_back(node);
    if (destroying) return;
    destroying = true;
    while (!doomed.empty()) {
        GradNode* dead = doomed.back();
        doomed.pop_back();
        unlink_consumed(dead);
        for (int i = 0; i < dead->n_in; ++i) dead->inputs[i].~GradInput();
        for (int k = 0; k < dead->n_out; ++k) dead->outputs[k].~GradOutput();
        dead->~GradNode();
        std::free(static_cast<void*>(dead));
    }
    destroying = false;
}

Ref<GradNode> make_leaf(const Meta& meta) {
    Ref<GradNode> leaf(GradNode::make(0, 1));
    leaf->leaf = true;
    leaf->seq = 0;  // leaves come last in every walk
    leaf->outputs[0].meta = meta;
    leaf->extra = std::make_unique<GradExtra>();
    return leaf;
}

namespace {

[[noreturn]] void fail_released(const char* op) {
    fail(ErrorKind::kGrad, op,
         "the values saved for this gradient were given up by optimizer.step(), which follows a "
         "backward pass; call backward() on everything before the step, or record the forward "
         "pass again");
}

Tensor as_saved(const GradNode& node, Tensor x) {
    return node.conjugate && is_complex(x.dtype()) ? conj(x) : x;
}

}  // namespace

Tensor relay(const Tensor& t) {
    if (RecordWatch* watch = Recorder::window().watch) watch->relayed = true;
    const Meta& meta = t.value()->meta;
    Ref<GradNode> node;
    if (t.requires_grad()) {
        node = Ref<GradNode>(GradNode::make(1, 1));
        node->inputs[0] = {t.node(), t.output(), nullptr, meta};
        node->outputs[0].meta = meta;
        node->extra = std::make_unique<GradExtra>();
        node->extra->name = "grad";
        node->extra->backward = [](GradCall& c) { c.set(0, c.grad()); };
    } else {
        node = make_leaf(meta);
    }
    const Tensor made(t.value(), std::move(node), 0);
    if (Trace* trace = current_trace()) trace->add_relay(made, t);
    return made;
}

Tensor GradCall::in(int i) const {
    const GradInput& slot = node.inputs[i];
    if (!slot.saved) {
        if (node.released) fail_released(op_def(node.op).name);
        fail(ErrorKind::kInternal, op_def(node.op).name,
             "the gradient rule reads input %d, which its record does not declare in `saves`", i);
    }
    return as_saved(node, Tensor(slot.saved, slot.node, slot.output));
}

Tensor GradCall::out(int i) const {
    const GradOutput& slot = node.outputs[i];
    if (!slot.saved) {
        if (node.released) fail_released(op_def(node.op).name);
        fail(ErrorKind::kInternal, op_def(node.op).name,
             "the gradient rule reads output %d, which its record does not declare in `saves`", i);
    }
    return as_saved(node, Tensor(slot.saved, Ref<GradNode>(&node), static_cast<uint32_t>(i)));
}

bool GradCall::needs(int i) const { return static_cast<bool>(node.inputs[i].node); }
Tensor GradCall::arrived(int i) const {
    const GradInput& slot = node.inputs[i];
    if (!slot.node) return {};
    const Tensor& pending = slot.node->outputs[slot.output].pending;
    const bool fits =
        pending && pending.shape() == slot.meta.shape && pending.dtype() == slot.meta.dtype;
    return fits ? pending : Tensor();
}
const Meta& GradCall::in_meta(int i) const { return node.inputs[i].meta; }
const Meta& GradCall::out_meta(int i) const { return node.outputs[i].meta; }

namespace {

// The gradient in the shape and dtype of what it belongs to: undoes broadcasting and promotion.
Tensor fit(Tensor gradient, const Meta& meta) {
    if (!(gradient.shape() == meta.shape)) gradient = sum_to(gradient, meta.shape);
    if (is_complex(gradient.dtype()) && !is_complex(meta.dtype)) gradient = real(gradient);
    if (gradient.dtype() != meta.dtype) gradient = cast(gradient, meta.dtype);
    return gradient;
}

thread_local const char* gradient_op = nullptr;

class Walk {
public:
    Walk(const BackwardOptions& options) : options_(options) {}
    ~Walk() {  // also after an exception: the tape is as before
        for (GradNode* node : touched_) {
            node->queued = false;
            for (int k = 0; k < node->n_out; ++k) node->outputs[k].pending = Tensor();
        }
    }

    void restrict_to_targets(std::span<const Tensor> roots);
    void arrive(GradNode* node, uint32_t output, Tensor gradient);
    std::vector<Tensor> run();

private:
    void visit(GradNode* node);
    void accumulate(GradNode* leaf);
    void run_hooks(GradNode* node);
    bool arrive_at_end(GradNode* node, uint32_t output, Tensor& gradient);
    // The targets that are outputs of the entry: which output, and which target.
    std::span<const std::pair<uint32_t, size_t>> ends_of(const GradNode* node) const {
        const auto it = ends_.find(node);
        return it == ends_.end() ? std::span<const std::pair<uint32_t, size_t>>() : it->second;
    }
    bool needed(const GradNode* node) const { return !restricted_ || needed_.contains(node); }

    struct Earlier {
        bool operator()(const GradNode* a, const GradNode* b) const { return a->seq < b->seq; }
    };
    const BackwardOptions& options_;
    std::vector<Ref<GradNode>> keep_;
    std::vector<GradNode*> touched_;
    std::priority_queue<GradNode*, std::vector<GradNode*>, Earlier> heap_;
    std::unordered_map<const GradNode*, bool> needed_;
    std::vector<Tensor> results_;
    std::unordered_map<const GradNode*, std::vector<std::pair<uint32_t, size_t>>> ends_;
    bool restricted_ = false;
};

// With targets, only entries on a path from a root to a target are visited.
void Walk::restrict_to_targets(std::span<const Tensor> roots) {
    restricted_ = true;
    results_.resize(options_.targets.size());
    for (size_t i = 0; i < options_.targets.size(); ++i) {
        const Tensor& t = options_.targets[i];
        if (!t.node()) continue;
        needed_[t.node().get()] = true;
        if (options_.stop_at_targets) ends_[t.node().get()].emplace_back(t.output(), i);
    }
    std::vector<GradNode*> order, stack;
    std::unordered_map<const GradNode*, bool> seen;
    for (const Tensor& r : roots)
        if (r.node() && !seen[r.node().get()]) {
            seen[r.node().get()] = true;
            stack.push_back(r.node().get());
        }
    while (!stack.empty()) {
        GradNode* node = stack.back();
        stack.pop_back();
        if (ends_.contains(node)) continue;
        order.push_back(node);
        for (int i = 0; i < node->n_in; ++i) {
            GradNode* next = node->inputs[i].node.get();
            if (next && !seen[next]) {
                seen[next] = true;
                stack.push_back(next);
            }
        }
    }
    std::sort(order.begin(), order.end(),
              [](const GradNode* a, const GradNode* b) { return a->seq < b->seq; });
    for (GradNode* node : order) {
        for (int i = 0; i < node->n_in; ++i) {
            if (node->inputs[i].node && needed_.contains(node->inputs[i].node.get())) {
                needed_[node] = true;
                break;
            }
        }
    }
}

void Walk::arrive(GradNode* node, uint32_t output, Tensor gradient) {
    if (!needed(node)) return;
    if (options_.stop_at_targets && arrive_at_end(node, output, gradient)) return;
    Tensor& pending = node->outputs[output].pending;
    if (!node->queued) {
        node->queued = true;
        touched_.push_back(node);
        keep_.emplace_back(node);
        heap_.push(node);
    }
    pending = pending ? pending + gradient : std::move(gradient);
}

// Whether the walk ends at this entry; then the gradient is kept, if it is asked for.
bool Walk::arrive_at_end(GradNode* node, uint32_t output, Tensor& gradient) {
    bool end = false;
    for (const auto& [target, i] : ends_of(node)) {
        end = true;
        if (target == output) (*options_.arrived)[i].push_back(gradient);
    }
    return end;
}

void Walk::run_hooks(GradNode* node) {
    if (!node->extra) return;
    const auto hooks = node->extra->hooks;  // a hook may add others
    for (const std::shared_ptr<GradHook>& hook : hooks) {
        Tensor& gradient = node->outputs[hook->output].pending;
        if (!hook->call || !gradient) continue;
        const Tensor changed = hook->call(gradient);
        if (!changed) continue;
        const Meta& meta = node->outputs[hook->output].meta;
        if (!(changed.shape() == meta.shape)) {
            fail(ErrorKind::kGrad, "register_hook",
                 "a hook returned a gradient of shape %s for a tensor of shape %s; it must return "
                 "None or a gradient of that shape",
                 format_shape(changed.shape()).c_str(), format_shape(meta.shape).c_str());
        }
        gradient = fit(changed, meta);
    }
}

void Walk::accumulate(GradNode* leaf) {
    Tensor& grad = leaf->extra->grad;
    const Tensor& gradient = leaf->outputs[0].pending;
    grad = grad ? grad + gradient : gradient;
}

void Walk::visit(GradNode* node) {
    std::vector<Tensor> out_grads(node->n_out), in_grads(node->n_in);
    for (int k = 0; k < node->n_out; ++k) out_grads[k] = node->outputs[k].pending;
    const OpDef& def = op_def(node->op);
    GradCall call{*node, out_grads, in_grads, AttrView(def.attr_types, node->attrs)};
    SiteScope site(node->site);
    const NumberDevice numbers(node->outputs[0].meta.device);
    const bool custom = node->extra && (node->extra->backward || node->extra->name);
    const struct Name {
        const char* before = gradient_op;
        explicit Name(const char* op) { gradient_op = op; }
        ~Name() { gradient_op = before; }
    } name(custom && node->extra->name ? node->extra->name : def.name);
    if (custom) {
        if (!node->extra->backward) fail_released(node->extra->name);
        node->extra->backward(call);
    } else {
        def.grad(call);
    }
    link_consumed(node);
    for (int i = 0; i < node->n_in; ++i) {
        GradInput& slot = node->inputs[i];
        if (!slot.node) continue;
        if (in_grads[i]) {
            // What had arrived is in it.
            if (call.totals >> i & 1) slot.node->outputs[slot.output].pending = Tensor();
            arrive(slot.node.get(), slot.output, fit(std::move(in_grads[i]), slot.meta));
        }
        if (!custom || node->extra->further.empty()) continue;
        for (Tensor& g : node->extra->further[i])
            arrive(slot.node.get(), slot.output, fit(std::move(g), slot.meta));
    }
    if (custom) node->extra->further.clear();
}

std::vector<Tensor> Walk::run() {
    while (!heap_.empty()) {
        GradNode* node = heap_.top();
        heap_.pop();
        run_hooks(node);
        if (node->leaf && options_.accumulate) accumulate(node);
        for (size_t i = 0; i < options_.targets.size(); ++i) {
            const Tensor& t = options_.targets[i];
            if (t.node().get() == node) results_[i] = node->outputs[t.output()].pending;
        }
        if (!node->leaf) visit(node);
        for (int k = 0; k < node->n_out; ++k) node->outputs[k].pending = Tensor();
    }
    return std::move(results_);
}

}  // namespace

std::vector<Tensor> backward(std::span<const Tensor> roots, std::span<const Tensor> gradients,
                             const BackwardOptions& options) {
    if (RecordWatch* watch = Recorder::window().watch) watch->walked = true;
    const bool before = grad_enabled();
    set_grad_enabled(options.create_graph);
    struct Restore {
        bool mode;
        ~Restore() { set_grad_enabled(mode); }
    } restore{before};
    Walk walk(options);
    if (!options.targets.empty()) walk.restrict_to_targets(roots);
    for (size_t i = 0; i < roots.size(); ++i) {
        if (!roots[i].node()) {
            fail(ErrorKind::kGrad, "backward",
                 "the tensor of shape %s does not depend on anything that requires a gradient; set "
                 "requires_grad=True on a parameter or input before the forward pass, and check "
                 "that it does not run under sn.no_grad()",
                 format_shape(roots[i].shape()).c_str());
        }
        walk.arrive(roots[i].node().get(), roots[i].output(),
                    fit(gradients[i], roots[i].value()->meta));
    }
    return walk.run();
}

void release_consumed() {
    while (GradNode* node = consumed_head.consumed_next) {
        unlink_consumed(node);
        node->released = true;
        for (int i = 0; i < node->n_in; ++i) node->inputs[i].saved = Ref<Value>();
        for (int k = 0; k < node->n_out; ++k) node->outputs[k].saved = Ref<Value>();
        if (node->extra) node->extra->backward = nullptr;  // it may hold values too
    }
}

std::shared_ptr<GradHook> add_hook(const Tensor& tensor, GradHook hook) {
    GradNode& node = *tensor.node();
    if (!node.extra) node.extra = std::make_unique<GradExtra>();
    std::erase_if(node.extra->hooks, [](const auto& h) { return !h->call; });
    hook.output = tensor.output();
    node.extra->hooks.push_back(std::make_shared<GradHook>(std::move(hook)));
    return node.extra->hooks.back();
}

uint64_t tape_mark() { return next_seq; }

std::vector<Tensor> tape_boundary(std::span<const Tensor> roots, uint64_t mark) {
    std::vector<Tensor> found;
    std::unordered_map<const GradNode*, bool> seen;
    std::vector<GradNode*> stack;
    std::unordered_map<const GradNode*, std::vector<uint32_t>> kept;
    const auto reach = [&](const Ref<GradNode>& node, uint32_t output, const Meta& meta) {
        if (!node) return;
        if (node->leaf || node->seq < mark) {
            std::vector<uint32_t>& outputs = kept[node.get()];
            if (std::ranges::find(outputs, output) != outputs.end()) return;
            outputs.push_back(output);
            Ref<Value> v(new Value);
            v->kind = ValueState::kPending;
            v->meta = meta;
            found.emplace_back(std::move(v), node, output);
        } else if (!seen[node.get()]) {
            seen[node.get()] = true;
            stack.push_back(node.get());
        }
    };
    for (const Tensor& r : roots) reach(r.node(), r.output(), r.value()->meta);
    while (!stack.empty()) {
        GradNode* node = stack.back();
        stack.pop_back();
        for (int i = 0; i < node->n_in; ++i)
            reach(node->inputs[i].node, node->inputs[i].output, node->inputs[i].meta);
    }
    return found;
}

const char* gradient_of() { return gradient_op; }

}  // namespace sn
