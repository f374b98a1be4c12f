#include "record/trace.h"

#include <algorithm>

#include "op/api.h"
#include "op/batching.h"
#include "record/tape.h"
#include "runtime/control.h"

namespace sn {

Trace::Trace(Randomness randomness)
    : Recorder(Kind::kTrace),
      outer_(&Recorder::current()),
      randomness_(randomness),
      first_draw_(random_state().counter) {}

bool Trace::draws_anew(NodeId node) const {
    const Node& n = graph.nodes[node];
    if (!op_def(n.op).draws || randomness_ != Randomness::kDifferent) return false;
    const ValueInfo& last = graph.values[graph.in(n).back()];
    return last.kind == ValueKind::kScalar &&
           static_cast<uint64_t>(scalars[last.source].i) >= first_draw_;
}

Tensor Trace::placeholder(const Meta& meta) {
    Ref<Value> v(new Value);
    v->kind = ValueState::kPending;
    v->recorder = this;
    v->meta = meta;
    v->id = graph.add_input(meta);
    holders.push_back(v.get());
    inputs.emplace_back(nullptr);
    captured_.emplace_back();
    return Tensor(std::move(v));
}

Tensor Trace::example(Batched whole) {
    Meta meta = whole.tensor.value()->meta;
    if (whole.batched) meta.shape.erase(0);
    examples_.push_back(std::move(whole));
    return placeholder(meta);
}

std::vector<Batched> Trace::for_all(std::span<const Tensor> tensors, int64_t size) const {
    const RecordInto scope(*outer_);
    return replay(*this, examples_, tensors, size);
}

ValueId Trace::id_of(const Tensor& tensor) const {
    const Value& v = *tensor.value();
    return v.kind == ValueState::kPending && v.recorder == this ? v.id : kNone;
}

ValueId Trace::find(const Tensor& tensor) const {
    if (const ValueId id = id_of(tensor); id != kNone) return id;
    const auto it = captures_.find({tensor.value().get(), tensor.node().get(), tensor.output()});
    return it == captures_.end() ? kNone : it->second;
}

Tensor Trace::without_relays(Tensor tensor) const {
    while (true) {
        const auto it = relays_.find(tensor.node().get());
        if (it == relays_.end()) return tensor;
        tensor = it->second.second;
    }
}

ValueId Trace::capture(const Tensor& tensor) {
    const Key key{tensor.value().get(), tensor.node().get(), tensor.output()};
    const auto [it, is_new] = captures_.emplace(key, kNone);
    if (is_new) {
        it->second = graph.add_input(tensor.value()->meta);
        holders.push_back(nullptr);
        inputs.emplace_back(tensor.value());
        captured_.push_back(tensor);
    }
    return it->second;
}

Trace* current_trace() {
    Recorder& recorder = Recorder::current();
    return recorder.kind() == Recorder::Kind::kTrace ? static_cast<Trace*>(&recorder) : nullptr;
}

Trace* trace_of(const Tensor& tensor) {
    const Value& v = *tensor.value();
    if (v.kind != ValueState::kPending || !v.recorder ||
        v.recorder->kind() != Recorder::Kind::kTrace)
        return nullptr;
    return static_cast<Trace*>(v.recorder);
}

namespace {

class Replay {
public:
    // `partly`: for the sake of some values only, without gradients and without checks of others.
    Replay(const Trace& trace, std::span<const Batched> placeholders, int64_t size, bool partly)
        : trace_(trace), g_(trace.graph), size_(size), partly_(partly), values_(g_.values.size()) {
        size_t next = 0;
        for (size_t i = 0; i < g_.inputs.size(); ++i) {
            const Tensor& outside = trace.captured(i);
            if (outside)
                values_[g_.inputs[i]] = {trace.without_relays(outside), false};
            else if (next < placeholders.size())
                values_[g_.inputs[i]] = placeholders[next++];
        }
        for (size_t i = 0; i < g_.scalars.size(); ++i)
            values_[g_.scalars[i]] = {Tensor(trace.scalars[i]), false};
    }
    std::vector<Batched> run(std::span<const Tensor> outputs);

private:
    Batched value(const Tensor& t) const {
        const ValueId id = trace_.id_of(t);
        return id == kNone ? Batched{trace_.without_relays(t), false} : values_[id];
    }
    void find_needed(std::span<const Tensor> outputs);
    void call(NodeId id);
    void leave(const TraceRegion& region);

    const Trace& trace_;
    const Graph& g_;
    int64_t size_;
    bool partly_;
    std::vector<Batched> values_;  // by value id
    std::vector<uint8_t> needed_;  // by node
};

void Replay::find_needed(std::span<const Tensor> outputs) {
    needed_.assign(g_.nodes.size(), 0);
    const auto node_of = [&](const Tensor& t) {
        const ValueId id = trace_.id_of(t);
        return id == kNone ? kNone : g_.producer(id);
    };
    const auto need = [&](const Tensor& t) {
        if (const NodeId n = node_of(t); n != kNone) needed_[n] = 1;
    };
    for (const Tensor& t : outputs) need(t);
    auto region = trace_.regions().rbegin();
    for (NodeId id = static_cast<NodeId>(g_.nodes.size());; --id) {
        for (; region != trace_.regions().rend() && region->last == id; ++region) {
            const bool used = std::ranges::any_of(region->out, [&](const Tensor& t) {
                return node_of(t) != kNone && needed_[node_of(t)];
            });
            if (partly_ || !used) continue;
            for (const Tensor& t : region->in) need(t);
            for (const Tensor& t : region->out) need(t);
            for (const Tensor& t : region->saved) need(t);
        }
        if (id == 0) return;
        const Node& n = g_.nodes[id - 1];
        if (op_def(n.op).checks_values && !partly_) needed_[id - 1] = 1;
        if (!needed_[id - 1]) continue;
        for (ValueId v : g_.in(n))
            if (g_.producer(v) != kNone) needed_[g_.producer(v)] = 1;
    }
}

void Replay::call(NodeId id) {
    const Node& n = g_.nodes[id];
    SiteScope site(trace_.sites[id]);
    const bool before = grad_enabled();
    set_grad_enabled(before && trace_.taped(id));
    struct Restore {
        bool mode;
        ~Restore() { set_grad_enabled(mode); }
    } restore{before};
    std::vector<Tensor> in, out(n.n_out);
    std::vector<uint8_t> batched;
    bool any = false;
    for (ValueId v : g_.in(n)) {
        in.push_back(values_[v].tensor);
        batched.push_back(values_[v].batched);
        any |= values_[v].batched;
    }
    const OpDef& def = op_def(n.op);
#if !defined(SN_RUNTIME)
    if (is_control(def)) {
        Attrs attrs;
        for (int64_t word : g_.attr(n)) attrs.i(word);
        std::vector<Batched> given;
        for (ValueId v : g_.in(n)) given.push_back(values_[v]);
        const std::vector<Batched> made =
            control_for_all(control_of(n.op, attrs, trace_.blocks), given, size_);
        for (uint32_t k = 0; k < n.n_out; ++k) {
            const Tensor& t = made[k].tensor;
            values_[n.first_out + k] = {grad_enabled() ? t : t.detach(), made[k].batched};
        }
        return;
    }
#endif
    any |= trace_.draws_anew(id);
    if (!any) {
        Attrs attrs;
        for (int64_t word : g_.attr(n)) attrs.i(word);
        record(n.op, in, attrs, out);
    } else {
        const Randomness draws = trace_.draws_anew(id) ? Randomness::kDifferent : Randomness::kSame;
        BatchCall c{def, in, batched, attr_view(g_, n), size_, draws, out};
        call_batched(c, {&g_.values[n.first_out], n.n_out});
    }
    for (uint32_t k = 0; k < n.n_out; ++k)  // a rule may give its operand back
        values_[n.first_out + k] = {grad_enabled() ? out[k] : out[k].detach(), any};
}

void Replay::leave(const TraceRegion& region) {
    if (partly_) return;
    const auto all = [&](const std::vector<Tensor>& tensors) {
        std::vector<Batched> list;
        for (const Tensor& t : tensors) list.push_back(value(t));
        return list;
    };
    const std::vector<Batched> in = all(region.in), out = all(region.out),
                               saved = all(region.saved);
    for (const Batched& b : out)
        if (!b.tensor) return;  // nobody needs it
    const std::vector<Tensor> wrapped = region.wrap({in, out, saved, size_});
    for (size_t k = 0; k < wrapped.size(); ++k) {
        const ValueId id = trace_.id_of(region.out[k]);
        if (id != kNone) values_[id].tensor = wrapped[k];
    }
}

std::vector<Batched> Replay::run(std::span<const Tensor> outputs) {
    find_needed(outputs);
    auto region = trace_.regions().begin();
    for (NodeId id = 0;; ++id) {
        for (; region != trace_.regions().end() && region->last == id; ++region) leave(*region);
        if (id == g_.nodes.size()) break;
        if (needed_[id]) call(id);
    }
    std::vector<Batched> results;
    for (const Tensor& t : outputs) results.push_back(value(t));
    return results;
}

}  // namespace

std::vector<Batched> replay(const Trace& trace, std::span<const Batched> placeholders,
                            std::span<const Tensor> outputs, int64_t size) {
    return Replay(trace, placeholders, size, false).run(outputs);
}

Tensor Trace::evaluate(const Tensor& tensor) const {
    std::vector<uint8_t> needed(graph.values.size(), 0);
    needed[id_of(tensor)] = 1;
    for (ValueId v = static_cast<ValueId>(graph.values.size()); v-- > 0;) {
        if (!needed[v]) continue;
        const ValueInfo& info = graph.values[v];
        if (info.kind == ValueKind::kInput && !captured_[info.source]) {
            // Reading converts: the op that is named is the one that the user has called.
            NodeId made_by = graph.producer(id_of(tensor));
            while (made_by != kNone && op_def(graph.nodes[made_by].op).cast) {
                const NodeId before = graph.producer(graph.in(graph.nodes[made_by])[0]);
                if (before == kNone) break;
                made_by = before;
            }
            std::string made = "an argument";
            if (made_by != kNone) {
                made = std::string("the result of '") + op_def(graph.nodes[made_by].op).name + "'";
                if (const std::string site = site_text(sites[made_by]); !site.empty())
                    made += " (" + site + ")";
            }
            fail(ErrorKind::kValue, "trace",
                 "the elements of a tensor of shape %s are asked for inside a function that is "
                 "being traced (sn.trace, sn.vmap, sn.jacfwd, sn.hessian ...); it is %s and "
                 "depends on a traced argument, which has a shape and a dtype but no elements yet; "
                 "choose with sn.where instead of `if`, and return what is to be read",
                 format_shape(tensor.shape()).c_str(), made.c_str());
        }
        if (info.kind != ValueKind::kNode) continue;
        for (ValueId u : graph.in(graph.nodes[info.source])) needed[u] = 1;
    }
    const NoGrad no_grad;
    const RecordInto scope(*outer_);
    const Tensor wanted = tensor.detach();
    return Replay(*this, {}, 1, true).run({&wanted, 1})[0].tensor;
}

Tensor detached(const Tensor& tensor) {
    // What sn.compile records is called again too; it tells values apart, not handles.
    const bool watched = Recorder::current().watch && tensor.requires_grad();
    if (!trace_of(tensor) && !watched) return tensor.detach();
    const NoGrad no_grad;
    return alias(tensor);
}

Tensor readable(const Tensor& tensor) {
    Tensor t = tensor.detach();
    while (const Trace* trace = trace_of(t)) t = trace->evaluate(t);
    return t;
}

}  // namespace sn
