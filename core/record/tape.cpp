#include "record/tape.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <queue>
#include <unordered_map>

#include "op/api.h"
#include "record/recorder.h"

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

Tensor as_saved(const GradNode& node, Tensor x) {
    return node.conjugate && is_complex(x.dtype()) ? conj(x) : x;
}

}  // namespace

Tensor GradCall::in(int i) const {
    const GradInput& slot = node.inputs[i];
    if (!slot.saved) {
        if (node.released) {
            fail(ErrorKind::kGrad, op_def(node.op).name,
                 "the values saved for this gradient were given up by optimizer.step(), which "
                 "follows a backward pass; call backward() on everything before the step, or "
                 "record the forward pass again");
        }
        fail(ErrorKind::kInternal, op_def(node.op).name,
             "the gradient rule reads input %d, which its record does not declare in `saves`", i);
    }
    return as_saved(node, Tensor(slot.saved, slot.node, slot.output));
}

Tensor GradCall::out(int i) const {
    const GradOutput& slot = node.outputs[i];
    if (!slot.saved) {
        if (node.released) {
            fail(ErrorKind::kGrad, op_def(node.op).name,
                 "the values saved for this gradient were given up by optimizer.step(), which "
                 "follows a backward pass; call backward() on everything before the step, or "
                 "record the forward pass again");
        }
        fail(ErrorKind::kInternal, op_def(node.op).name,
             "the gradient rule reads output %d, which its record does not declare in `saves`", i);
    }
    return as_saved(node, Tensor(slot.saved, Ref<GradNode>(&node), static_cast<uint32_t>(i)));
}

bool GradCall::needs(int i) const { return static_cast<bool>(node.inputs[i].node); }
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
    void visit_leaf(GradNode* node);
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
    bool restricted_ = false;
};

// With targets, only entries on a path from a root to a target are visited.
void Walk::restrict_to_targets(std::span<const Tensor> roots) {
    restricted_ = true;
    results_.resize(options_.targets.size());
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
    for (const Tensor& t : options_.targets)
        if (t.node()) needed_[t.node().get()] = true;
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
    Tensor& pending = node->outputs[output].pending;
    if (!node->queued) {
        node->queued = true;
        touched_.push_back(node);
        keep_.emplace_back(node);
        heap_.push(node);
    }
    pending = pending ? pending + gradient : std::move(gradient);
}

void Walk::visit_leaf(GradNode* node) {
    Tensor gradient = node->outputs[0].pending;
    for (const auto& hook : node->extra->hooks) {
        Tensor changed = hook(gradient);
        if (changed) gradient = std::move(changed);
    }
    node->outputs[0].pending = gradient;
    if (!options_.accumulate) return;
    Tensor& grad = node->extra->grad;
    grad = grad ? grad + gradient : std::move(gradient);
}

void Walk::visit(GradNode* node) {
    std::vector<Tensor> out_grads(node->n_out), in_grads(node->n_in);
    for (int k = 0; k < node->n_out; ++k) out_grads[k] = node->outputs[k].pending;
    const OpDef& def = op_def(node->op);
    GradCall call{*node, out_grads, in_grads, AttrView(def.attr_types, node->attrs)};
    SiteScope site(node->site);
    const NumberDevice numbers(node->outputs[0].meta.device);
    if (node->extra && node->extra->backward)
        node->extra->backward(call);
    else
        def.grad(call);
    link_consumed(node);
    for (int i = 0; i < node->n_in; ++i) {
        GradInput& slot = node->inputs[i];
        if (!slot.node || !in_grads[i]) continue;
        arrive(slot.node.get(), slot.output, fit(std::move(in_grads[i]), slot.meta));
    }
}

std::vector<Tensor> Walk::run() {
    while (!heap_.empty()) {
        GradNode* node = heap_.top();
        heap_.pop();
        if (node->leaf) visit_leaf(node);
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
    }
}

}  // namespace sn
