#include <algorithm>
#include <queue>

#include "op/op.h"
#include "pass/pass.h"

namespace sn {

namespace {

// Planning stays linear in the nodes: a group of this many is closed, which costs one pass over
// memory, and a search for a path that leaves it and returns ends after so many groups.
constexpr size_t kMaxGroup = 256;
constexpr size_t kMaxSearch = 512;
// A reduction of so many elements that nothing joined is a kernel of its own: it streams its
// operand without an interpreter's pauses. Below, a program costs less to start.
constexpr int64_t kLoneReduction = 64 * 1024;

// Grows groups along the graph's order: a node joins the groups that make its operands where their
// loop spaces agree and no path leads out of the merged group and back in.
class Fuser {
public:
    explicit Fuser(const Program& program)
        : p_(program), g_(program.graph), group_of_(g_.nodes.size(), kNone) {
        find_sources();
    }
    std::vector<Group> run();

private:
    struct Draft {
        Group group;
        NodeId first = kNone;
        // The last node of this group and of all that it reads, directly or not.
        NodeId last = kNone;
        std::vector<uint32_t> readers;  // groups that read it, some of them merged meanwhile
        std::vector<NodeId> sources;    // producers of the group's operands, views resolved
        std::vector<NodeId> viewed;     // those of them that it reads through a view
        uint32_t merged_into = kNone;
    };

    void find_sources();
    NodeId source(ValueId v) const { return sources_[v]; }
    bool behind_barrier(ValueId v) const { return barred_[v]; }
    // The computing nodes that a reader of the value waits for, in turn: what barriers on the way
    // to its source wait for too.
    template <class F>
    void each_source(ValueId v, F&& see) const {
        if (const NodeId s = source(v); s != kNone) see(s);
        if (!barred_[v]) return;
        for (NodeId n = g_.producer(v); n != kNone && p_.view[n];
             n = g_.producer(g_.in(g_.nodes[n])[0])) {
            if (!op_def(g_.nodes[n].op).barrier) continue;
            for (ValueId u : g_.in(g_.nodes[n]).subspan(1)) each_source(u, see);
        }
    }
    uint32_t find(uint32_t draft) const {
        while (drafts_[draft].merged_into != kNone) draft = drafts_[draft].merged_into;
        return draft;
    }
    uint32_t draft_of(NodeId n) const { return group_of_[n] == kNone ? kNone : find(group_of_[n]); }
    void start(NodeId id, Draft draft);
    void add_sources(Draft& d, NodeId id) const;
    bool cannot_join(const std::vector<uint32_t>& members, NodeId joining);
    void add_reader(NodeId id);
    bool find_readers(const std::vector<uint32_t>& members);
    bool is_full(const std::vector<uint32_t>& members, uint32_t joining) const;
    bool accepts_elementwise(const Draft& d, NodeId id) const;
    bool accepts_reduce(const Draft& d, NodeId id) const;
    bool accepts_epilogue(const Draft& d, NodeId id) const;
    bool is_row_shape(const Draft& d, DimSpan shape) const;
    void place_elementwise(NodeId id);
    void place_reduce(NodeId id);
    void place_join(NodeId id);
    bool compatible(const Draft& a, const Draft& b) const;
    void join(NodeId id, const std::vector<uint32_t>& members);
    int trailing_reduction(const Node& n) const;
    bool is_lone_reduction(const Group& group) const;

    const Program& p_;
    const Graph& g_;
    std::vector<NodeId> sources_;  // by value: the computing node behind it, or kNone
    std::vector<uint8_t> barred_;  // by value: a barrier lies between it and its source
    std::vector<uint32_t> group_of_;
    std::vector<Draft> drafts_;
    std::vector<uint32_t> members_;  // scratch of place_elementwise() and cannot_join()
    std::vector<uint32_t> stack_;
    std::vector<uint32_t> readers_;  // of the last find_readers()
    std::vector<uint32_t> visit_mark_;
    uint32_t visit_ = 0;
};

void Fuser::find_sources() {
    sources_.assign(g_.values.size(), kNone);
    barred_.assign(g_.values.size(), 0);
    for (NodeId id = 0; id < g_.nodes.size(); ++id) {
        const Node& n = g_.nodes[id];
        const ValueId from = p_.view[id] ? g_.in(n)[0] : kNone;
        for (uint32_t k = 0; k < n.n_out; ++k) {
            sources_[n.first_out + k] = from == kNone ? id : sources_[from];
            barred_[n.first_out + k] = from != kNone && (barred_[from] || op_def(n.op).barrier);
        }
    }
}

// Number of trailing dimensions that a reduction runs along, or 0 when it is of another kind or its
// rows are too long for a program.
int Fuser::trailing_reduction(const Node& n) const {
    const OpDef& def = op_def(n.op);
    if (def.reduce_kind < 0) return 0;
    const Meta& in = g_.meta(g_.in(n)[0]);
    const DimSpan axes = attr_view(g_, n).ints(0);
    const int rank = static_cast<int>(in.shape.size());
    int64_t row = 1;
    for (size_t i = 0; i < axes.size(); ++i) {
        if (axes[i] != rank - static_cast<int64_t>(axes.size() - i)) return 0;
        row *= in.shape[axes[i]];
    }
    if (axes.empty() || row == 0 || numel(in.shape) == 0) return 0;
    return row <= backend(in.device).max_program_row(in.dtype) ? static_cast<int>(axes.size()) : 0;
}

bool Fuser::is_row_shape(const Draft& d, DimSpan shape) const {
    const Dims& full = d.group.shape;
    const size_t outer = full.size() - d.group.row_dims;
    if (d.group.row_dims == 0) return false;
    if (shape.size() != full.size() && shape.size() != outer) return false;
    for (size_t i = 0; i < shape.size(); ++i)
        if (shape[i] != (i < outer ? full[i] : 1)) return false;
    return true;
}

// Operands that come from inside must be read in the group's own loop order: directly, or through
// nothing but a broadcast along the row.
bool Fuser::accepts_elementwise(const Draft& d, NodeId id) const {
    if (!d.group.fused && d.group.anchor == kNone) return false;
    const Node& n = g_.nodes[id];
    const Dims& shape = g_.meta(n.first_out).shape;
    if (d.group.anchor != kNone) return accepts_epilogue(d, id);
    const bool full = shape == d.group.shape;
    if (!full && !is_row_shape(d, shape)) return false;
    const uint32_t self = find(static_cast<uint32_t>(&d - drafts_.data()));
    for (ValueId v : g_.in(n)) {
        const NodeId producer = g_.producer(v);
        const NodeId behind = source(v);
        if (behind == kNone || draft_of(behind) != self) continue;
        if (producer != behind) return false;  // through a view
        const Dims& in = g_.meta(v).shape;
        if (in == shape) continue;
        if (!full || in.size() != shape.size() || !is_row_shape(d, in)) return false;
    }
    return true;
}

// Strides over dimensions [0, rank-1) of `order` collapse into one row stride.
bool collapses_to_rows(DimSpan shape, DimSpan strides, DimSpan order) {
    int64_t step = -1, size = 1;
    for (size_t k = order.size() - 1; k-- > 0;) {
        const int64_t d = order[k];
        if (shape[d] == 1) continue;
        if (step >= 0 && strides[d] != step * size) return false;
        step = strides[d];
        size = shape[d];
    }
    return true;
}

// The order of dimensions in which a value of this layout is the anchor's matrix [rows, columns]:
// memory order. Empty when it is not one.
Dims epilogue_order(DimSpan shape, DimSpan strides, bool channels_last) {
    Dims order;
    const int64_t rank = static_cast<int64_t>(shape.size());
    if (channels_last) {
        const Dims wanted = channels_last_strides(shape);
        for (int64_t i = 0; i < rank; ++i)
            if (shape[i] > 1 && strides[i] != wanted[i]) return {};
        order.push_back(0);
        for (int64_t i = 2; i < rank; ++i) order.push_back(i);
        order.push_back(1);
    } else if (is_contiguous(shape, strides)) {
        for (int64_t i = 0; i < rank; ++i) order.push_back(i);
    } else if (rank == 2 && strides[0] == 1 && strides[1] == shape[0]) {
        order = {1, 0};  // the transposed product, as the gradient of a weight is used
    }
    return order;
}

bool Fuser::accepts_epilogue(const Draft& d, NodeId id) const {
    if (op_def(g_.nodes[id].op).joins) return false;
    const Node& anchor = g_.nodes[d.group.anchor];
    const Meta& product = g_.meta(anchor.first_out);
    const Node& n = g_.nodes[id];
    const Dims& shape = g_.meta(n.first_out).shape;
    if (numel(shape) != numel(product.shape) || shape.empty() || numel(shape) == 0) return false;
    // The first elementwise node may see the product through a reshape that keeps its columns.
    if (d.group.nodes.size() > 1 && !(shape == d.group.shape)) return false;
    const bool channels_last = op_def(anchor.op).layout == Layout::kChannelsLast;
    if (channels_last && !(shape == product.shape)) return false;
    const Dims order = epilogue_order(shape, p_.strides[n.first_out], channels_last);
    if (order.empty()) return false;
    if (d.group.nodes.size() > 1 && !(order == d.group.order)) return false;
    const int64_t columns = channels_last ? product.shape[1] : product.shape.back();
    if (shape[order.back()] != columns) return false;
    const uint32_t self = find(static_cast<uint32_t>(&d - drafts_.data()));
    for (ValueId v : g_.in(n)) {
        if (g_.values[v].kind == ValueKind::kScalar) continue;
        const Meta& m = g_.meta(v);
        const Dims strides = broadcast_strides(m.shape, p_.strides[v], shape);
        const NodeId behind = source(v);
        if (behind != kNone && draft_of(behind) == self) {
            if (!(m.shape == shape)) return false;
            // The same elements in the same order, whatever reshape lies between.
            for (size_t i = 0; i < shape.size(); ++i)
                if (shape[i] > 1 && strides[i] != p_.strides[n.first_out][i]) return false;
            if (g_.producer(v) != behind && behind != d.group.anchor) return false;
        }
        if (!collapses_to_rows(shape, strides, order)) return false;
    }
    return collapses_to_rows(shape, p_.strides[n.first_out], order);
}

bool Fuser::accepts_reduce(const Draft& d, NodeId id) const {
    if (!d.group.fused || d.group.anchor != kNone) return false;
    const Node& n = g_.nodes[id];
    const int row_dims = trailing_reduction(n);
    return g_.producer(g_.in(n)[0]) == source(g_.in(n)[0]) && row_dims > 0 &&
           g_.meta(g_.in(n)[0]).shape == d.group.shape &&
           (d.group.row_dims == 0 || d.group.row_dims == row_dims);
}

bool Fuser::compatible(const Draft& a, const Draft& b) const {
    if (a.group.anchor != kNone && b.group.anchor != kNone) return false;
    if (a.group.anchor != kNone || b.group.anchor != kNone) {
        const Draft& anchored = a.group.anchor != kNone ? a : b;
        const Draft& other = a.group.anchor != kNone ? b : a;
        if (other.group.row_dims) return false;
        for (NodeId id : other.group.nodes)
            if (!accepts_epilogue(anchored, id)) return false;
        return anchored.group.nodes.size() == 1 || anchored.group.shape == other.group.shape;
    }
    return a.group.shape == b.group.shape &&
           (a.group.row_dims == b.group.row_dims || !a.group.row_dims || !b.group.row_dims);
}

bool Fuser::is_full(const std::vector<uint32_t>& members, uint32_t joining) const {
    size_t count = drafts_[joining].group.nodes.size();
    for (uint32_t m : members) count += drafts_[m].group.nodes.size();
    return count >= kMaxGroup;
}

// True when the members and `joining` cannot be one group: a path leaves them and comes back, or
// one reads another through a view.
bool Fuser::cannot_join(const std::vector<uint32_t>& members, NodeId joining) {
    visit_mark_.resize(drafts_.size(), 0);
    ++visit_;
    const auto is_member = [&](uint32_t d) {
        return std::find(members.begin(), members.end(), d) != members.end();
    };
    // A member that reads another one through a view (a flip, a transposition) reads other elements
    // than the loop is at. Only an anchor's result may be seen so: accepts_epilogue() has looked.
    const auto viewed_inside = [&](NodeId s) {
        const uint32_t d = draft_of(s);
        return d != kNone && is_member(d) && s != drafts_[d].group.anchor;
    };
    for (ValueId v : g_.in(g_.nodes[joining]))
        if (source(v) != kNone && g_.producer(v) != source(v) && viewed_inside(source(v)))
            return true;
    for (uint32_t m : members)
        for (NodeId s : drafts_[m].viewed)
            if (viewed_inside(s)) return true;
    // What an anchor multiplies must be there before its epilogue runs.
    for (uint32_t m : members) {
        if (drafts_[m].group.anchor == kNone) continue;
        for (ValueId v : g_.in(g_.nodes[drafts_[m].group.anchor]))
            if (source(v) != kNone && is_member(draft_of(source(v)))) return true;
    }
    NodeId earliest = joining;
    for (uint32_t m : members) earliest = std::min(earliest, drafts_[m].first);
    std::vector<uint32_t>& stack = stack_;
    stack.clear();
    size_t visited = 0;
    const auto push = [&](NodeId n) {
        const uint32_t d = draft_of(n);
        if (d == kNone || is_member(d) || visit_mark_[d] == visit_) return;
        visit_mark_[d] = visit_;
        // What is over before the members begin reads none of them.
        if (drafts_[d].last < earliest) return;
        stack.push_back(d);
        ++visited;
    };
    for (ValueId v : g_.in(g_.nodes[joining])) each_source(v, push);
    for (uint32_t m : members)
        for (NodeId s : drafts_[m].sources) push(s);
    while (!stack.empty()) {
        const uint32_t d = stack.back();
        stack.pop_back();
        for (NodeId s : drafts_[d].sources) {
            const uint32_t next = draft_of(s);
            if (next == kNone || next == d) continue;
            if (is_member(next)) return true;
            push(s);
        }
        if (visited > kMaxSearch) return true;  // perhaps not, but finding out takes too long
    }
    return false;
}

void Fuser::add_sources(Draft& d, NodeId id) const {
    for (ValueId v : g_.in(g_.nodes[id])) {
        each_source(v, [&](NodeId s) { d.sources.push_back(s); });
        const NodeId behind = source(v);
        if (behind == kNone) continue;
        if (g_.producer(v) != behind) d.viewed.push_back(behind);
    }
}

void Fuser::add_reader(NodeId id) {
    const uint32_t self = draft_of(id);
    for (ValueId v : g_.in(g_.nodes[id])) {
        each_source(v, [&](NodeId s) {
            const uint32_t d = draft_of(s);
            if (d != kNone && d != self) drafts_[d].readers.push_back(self);
        });
    }
}

// Collects the groups that read a member, directly or not: with the joining node their `last`
// moves. False when there are too many.
bool Fuser::find_readers(const std::vector<uint32_t>& members) {
    visit_mark_.resize(drafts_.size(), 0);
    ++visit_;
    readers_.clear();
    for (uint32_t m : members) visit_mark_[m] = visit_;
    const auto see = [&](uint32_t of) {
        for (uint32_t r : drafts_[of].readers) {
            r = find(r);
            if (visit_mark_[r] == visit_) continue;
            visit_mark_[r] = visit_;
            readers_.push_back(r);
        }
    };
    for (uint32_t m : members) see(m);
    for (size_t i = 0; i < readers_.size() && readers_.size() <= kMaxSearch; ++i) see(readers_[i]);
    return readers_.size() <= kMaxSearch;
}

void Fuser::start(NodeId id, Draft draft) {
    draft.group.nodes = {id};
    draft.first = draft.last = id;
    add_sources(draft, id);
    group_of_[id] = static_cast<uint32_t>(drafts_.size());
    drafts_.push_back(std::move(draft));
    add_reader(id);
}

void Fuser::join(NodeId id, const std::vector<uint32_t>& members) {
    uint32_t into = members[0];
    for (uint32_t m : members)  // an anchor's group keeps its identity
        if (drafts_[m].group.anchor != kNone) into = m;
    Draft& d = drafts_[into];
    for (uint32_t m : members) {
        if (m == into) continue;
        Draft& other = drafts_[m];
        d.group.nodes.insert(d.group.nodes.end(), other.group.nodes.begin(),
                             other.group.nodes.end());
        d.sources.insert(d.sources.end(), other.sources.begin(), other.sources.end());
        d.viewed.insert(d.viewed.end(), other.viewed.begin(), other.viewed.end());
        d.readers.insert(d.readers.end(), other.readers.begin(), other.readers.end());
        d.group.row_dims = std::max(d.group.row_dims, other.group.row_dims);
        d.first = std::min(d.first, other.first);
        other.merged_into = into;
        other.sources.clear();
        other.group.nodes.clear();
    }
    d.group.nodes.push_back(id);
    d.last = id;
    for (uint32_t reader : readers_) drafts_[reader].last = id;
    group_of_[id] = into;
    add_reader(id);
    add_sources(d, id);
    // Sources inside the group are no longer sources; long chains would collect them all.
    std::sort(d.sources.begin(), d.sources.end());
    d.sources.erase(std::unique(d.sources.begin(), d.sources.end()), d.sources.end());
    std::erase_if(d.sources, [&](NodeId s) { return draft_of(s) == into; });
}

void Fuser::place_elementwise(NodeId id) {
    const Node& n = g_.nodes[id];
    const Dims& shape = g_.meta(n.first_out).shape;
    std::vector<uint32_t>& members = members_;
    members.clear();
    const auto in = g_.in(n);
    for (size_t k = in.size(); k-- > 0;) {
        const NodeId behind = source(in[k]);
        if (behind == kNone || behind_barrier(in[k])) continue;
        const uint32_t d = draft_of(behind);
        if (d == kNone || std::find(members.begin(), members.end(), d) != members.end()) continue;
        if (g_.producer(in[k]) != behind && drafts_[d].group.anchor != behind) continue;
        if (g_.meta(g_.nodes[behind].first_out).device != g_.meta(n.first_out).device) continue;
        if (!accepts_elementwise(drafts_[d], id) || is_full(members, d)) continue;
        bool fits = true;
        for (uint32_t m : members) fits &= compatible(drafts_[m], drafts_[d]);
        if (!fits) continue;
        members.push_back(d);
        if (cannot_join(members, id)) members.pop_back();
    }
    if (members.empty() || !find_readers(members)) {
        Draft draft;
        draft.group.fused = !op_def(n.op).joins;  // nothing to compute beside it: a kernel
        draft.group.shape = shape;
        start(id, std::move(draft));
        return;
    }
    join(id, members);
    Draft& d = drafts_[draft_of(id)];
    if (d.group.anchor != kNone) {
        d.group.fused = true;
        d.group.shape = shape;
        d.group.order =
            epilogue_order(shape, p_.strides[n.first_out],
                           op_def(g_.nodes[d.group.anchor].op).layout == Layout::kChannelsLast);
    }
}

// Two tensors are joined where they are computed; a number is joined by the kernel.
void Fuser::place_join(NodeId id) {
    for (ValueId v : g_.in(g_.nodes[id])) {
        if (g_.values[v].kind != ValueKind::kScalar) continue;
        start(id, {});
        return;
    }
    place_elementwise(id);
}

void Fuser::place_reduce(NodeId id) {
    const Node& n = g_.nodes[id];
    const NodeId behind = source(g_.in(n)[0]);
    if (behind != kNone && !behind_barrier(g_.in(n)[0])) {
        const uint32_t d = draft_of(behind);
        if (d != kNone && accepts_reduce(drafts_[d], id) && !is_full({}, d) &&
            !cannot_join({d}, id) && find_readers({d})) {
            drafts_[d].group.row_dims = trailing_reduction(n);
            join(id, {d});
            return;
        }
    }
    Draft draft;
    draft.group.fused = true;
    draft.group.shape = g_.meta(g_.in(n)[0]).shape;
    draft.group.row_dims = trailing_reduction(n);
    start(id, std::move(draft));
}

bool Fuser::is_lone_reduction(const Group& group) const {
    if (group.nodes.size() != 1 || group.anchor != kNone) return false;
    const Node& n = g_.nodes[group.nodes[0]];
    return op_def(n.op).reduce_kind >= 0 && numel(g_.meta(g_.in(n)[0]).shape) >= kLoneReduction;
}

std::vector<Group> Fuser::run() {
    drafts_.reserve(g_.nodes.size() / 2);
    for (NodeId id = 0; id < g_.nodes.size(); ++id) {
        if (p_.view[id]) continue;
        const Node& n = g_.nodes[id];
        const OpDef& def = op_def(n.op);
        const bool sized = numel(g_.meta(n.first_out).shape) > 0;
        if ((def.tile_op >= 0 || def.cast) && sized) {
            place_elementwise(id);
        } else if (def.joins && sized) {
            place_join(id);
        } else if (trailing_reduction(n) > 0) {
            place_reduce(id);
        } else {
            Draft draft;
            if (def.epilogue && sized && is_float(g_.meta(n.first_out).dtype))
                draft.group.anchor = id;
            start(id, std::move(draft));
        }
    }
    // Topological order of the groups, earliest first node first: what the user wrote first runs
    // first, so that parameters are read before their update overwrites them.
    std::vector<uint32_t> waiting(drafts_.size(), 0);
    std::vector<std::vector<uint32_t>> users(drafts_.size());
    for (uint32_t d = 0; d < drafts_.size(); ++d) {
        if (drafts_[d].merged_into != kNone) continue;
        std::vector<uint32_t> from;
        for (NodeId s : drafts_[d].sources)
            if (draft_of(s) != d) from.push_back(draft_of(s));
        std::sort(from.begin(), from.end());
        from.erase(std::unique(from.begin(), from.end()), from.end());
        for (uint32_t f : from) users[f].push_back(d);
        waiting[d] = static_cast<uint32_t>(from.size());
    }
    using Entry = std::pair<NodeId, uint32_t>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> ready;
    for (uint32_t d = 0; d < drafts_.size(); ++d)
        if (drafts_[d].merged_into == kNone && waiting[d] == 0) ready.emplace(drafts_[d].first, d);
    std::vector<Group> order;
    size_t count = 0;
    for (const Draft& d : drafts_) count += d.merged_into == kNone;
    while (!ready.empty()) {
        const uint32_t d = ready.top().second;
        ready.pop();
        std::sort(drafts_[d].group.nodes.begin(), drafts_[d].group.nodes.end());
        order.push_back(std::move(drafts_[d].group));
        if (is_lone_reduction(order.back())) order.back().fused = false;
        for (uint32_t u : users[d])
            if (--waiting[u] == 0) ready.emplace(drafts_[u].first, u);
    }
    SN_CHECK(order.size() == count);
    return order;
}

}  // namespace

std::vector<Group> fuse(const Program& program) { return Fuser(program).run(); }

}  // namespace sn
