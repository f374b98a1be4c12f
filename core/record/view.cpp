#include "record/view.h"

#include "op/op.h"
#include "record/recorder.h"
#include "record/tape.h"
#include "record/trace.h"

namespace sn {

void Cell::destroy(Cell* cell) {
    // Bases form a chain (a slice of a slice of ...): dropped in a loop, not by recursion.
    while (cell) {
        Cell* next = cell->base.detach();
        delete cell;
        cell = next && --next->refs == 0 ? next : nullptr;
    }
}

const Tensor& read(Cell& cell) {
    SmallVec<Cell*, 8> chain;
    for (Cell* c = &cell; c; c = c->base.get()) chain.push_back(c);
    for (size_t i = chain.size() - 1; i-- > 0;) {
        Cell& c = *chain[i];
        const Cell& base = *chain[i + 1];
        if (c.base_version == base.version && c.current) continue;
        std::vector<Tensor> in{base.current};
        in.insert(in.end(), c.scalars.begin(), c.scalars.end());
        // Where the base belongs: what is read inside a trace must not stay there.
        Trace* owner = trace_of(base.current);
        const RecordInto scope(owner ? static_cast<Recorder&>(*owner) : Recorder::window());
        c.current = record(c.op, in, c.attrs);
        c.base_version = base.version;
        ++c.version;
    }
    return cell.current;
}

void write(Cell& cell, Tensor value) {
    read(cell);
    const Cell* root = &cell;
    while (root->base) root = root->base.get();
    const Tensor& base = root->current;
    if (root != &cell && grad_enabled() && base.node() && base.node()->leaf) {
        fail(ErrorKind::kGrad, "in place",
             "a view of a leaf of shape %s that requires a gradient is written in place; do it "
             "inside "
             "`with sn.no_grad():`, or work on a copy (x.clone())",
             format_shape(base.shape()).c_str());
    }
    Cell* c = &cell;
    while (true) {
        c->current = value;
        ++c->version;
        Cell* base = c->base.get();
        if (!base) return;
        const OpDef& def = op_def(c->op);
        if (!def.view_update) {
            fail(ErrorKind::kValue, def.name,
                 "this view cannot be written through, because several of "
                 "its elements share one place; copy it first with x.clone()");
        }
        value = def.view_update(base->current, value, c->scalars,
                                AttrView(def.attr_types, c->attrs.words()));
        const Ref<GradNode>& node = base->current.node();
        if (!grad_enabled() && node && node->leaf)
            value = Tensor(value.value(), node, 0);  // stays the leaf
        c->base_version = base->version + 1;
        c = base;
    }
}

Ref<Cell> link_view(const Tensor& result, const Tensor& source, FunctionRef<Ref<Cell>&()> base) {
    const Value* v = result.value().get();
    if (v->kind != ValueState::kPending || !v->recorder) return nullptr;
    const Recorder& recorder = *v->recorder;
    const Graph& g = recorder.graph;
    const Value* s = source.value().get();
    const bool traced = recorder.kind() == Recorder::Kind::kTrace;
    const ValueId from = traced               ? static_cast<const Trace&>(recorder).find(source)
                         : recorder.holds(*s) ? s->id
                                              : kNone;
    if (from == kNone) return nullptr;
    // From the result back to the source, through view nodes only.
    SmallVec<NodeId, 4> path;
    ValueId at = v->id;
    while (at != from) {
        const NodeId n = g.producer(at);
        if (n == kNone || !op_def(g.nodes[n].op).view || op_def(g.nodes[n].op).barrier ||
            path.size() >= 8)
            return nullptr;
        path.push_back(n);
        at = g.in(g.nodes[n])[0];
    }
    if (path.empty()) return nullptr;
    const Ref<Cell> bottom = base();
    Ref<Cell> below = bottom;
    for (size_t i = path.size(); i-- > 0;) {
        const Node& n = g.nodes[path[i]];
        Ref<Cell> cell(new Cell);
        cell->base = below;
        cell->base_version = below->version;
        cell->op = n.op;
        for (int64_t word : g.attr(n)) cell->attrs.i(word);
        const auto in = g.in(n);
        for (size_t k = 1; k < in.size(); ++k)
            cell->scalars.emplace_back(recorder.scalars[g.values[in[k]].source]);
        if (i == 0) {
            cell->current = result;
        } else {
            Value* middle = recorder.holders[n.first_out];
            if (middle)
                cell->current = Tensor(Ref<Value>(middle));
            else
                cell->base_version = ~uint64_t{0};  // nobody holds it: read anew when asked for
        }
        below = std::move(cell);
    }
    // A middle value that was dropped must not make the result stale.
    for (Cell* c = below.get(); c->base && c->base.get() != bottom.get(); c = c->base.get())
        c->base_version = c->base->version;
    return below;
}

}  // namespace sn
