#include <algorithm>
#include <map>

#include "engine/pool.h"
#include "plan/plan.h"

namespace sn {

namespace {

// Longer plans run in order: the sets below grow with the square of the steps.
constexpr size_t kMostSteps = 2048;
// What running at the same time must save of the time, and how much more memory it may take.
constexpr double kWorthwhile = 0.8;
constexpr size_t kArenaSlack = size_t{16} << 20;
// A step above this uses all threads itself: beside others it gains nothing.
constexpr double kSharedNanoseconds = 60e3;

// For every step, the steps that have to come before it.
class Ancestors {
public:
    explicit Ancestors(size_t steps) : words_((steps + 63) / 64), bits_(steps * words_) {}
    bool has(uint32_t step, uint32_t before) const {
        return bits_[step * words_ + before / 64] >> (before % 64) & 1;
    }
    void add(uint32_t step, uint32_t before) {  // and all of its own
        uint64_t* to = &bits_[step * words_];
        const uint64_t* from = &bits_[before * words_];
        for (size_t i = 0; i < words_; ++i) to[i] |= from[i];
        to[before / 64] |= uint64_t{1} << (before % 64);
    }

private:
    size_t words_;
    std::vector<uint64_t> bits_;
};

// Steps that read or write a buffer, in order.
struct Use {
    uint32_t step;
    bool writes;
};
using Uses = std::vector<std::vector<Use>>;

Uses find_uses(const Plan& plan) {
    Uses uses(plan.buffers.size());
    for (uint32_t k = 0; k < plan.steps.size(); ++k) {
        for_each_access(plan.steps[k], [&](const Slot& slot, bool writes) {
            std::vector<Use>& list = uses[slot.buffer];
            if (!list.empty() && list.back().step == k)
                list.back().writes |= writes;
            else
                list.push_back({k, writes});
        });
    }
    return uses;
}

// Orders every write after the uses before it, and every read after the last write.
void order_uses(const std::vector<Use>& uses, std::vector<GraphEdge>& edges) {
    size_t since = 0;  // first use after (and with) the last write
    for (size_t i = 1; i < uses.size(); ++i) {
        const auto to = static_cast<int32_t>(uses[i].step);
        if (uses[i].writes) {
            for (size_t j = since; j < i; ++j)
                edges.push_back({static_cast<int32_t>(uses[j].step), to});
            since = i;
        } else if (uses[since].writes) {
            edges.push_back({static_cast<int32_t>(uses[since].step), to});
        }
    }
}

// Nothing is written over before everything that can fail has not failed.
void order_checks(const Plan& plan, std::vector<GraphEdge>& edges) {
    std::vector<int32_t> checks;
    for (uint32_t k = 0; k < plan.steps.size(); ++k) {
        if (plan.steps[k].overwrites_input)
            for (int32_t check : checks) edges.push_back({check, static_cast<int32_t>(k)});
        if (plan.steps[k].checks_values) checks.push_back(static_cast<int32_t>(k));
    }
}

// Offsets in the arena: a buffer takes bytes of another one only where every use of the other comes
// before it in the graph, so that sharing adds no order.
size_t place_apart(std::vector<PlanBuffer>& buffers, const Uses& uses, const Ancestors& before) {
    constexpr size_t kAlign = 64;
    std::vector<uint32_t> order, placed;
    for (uint32_t i = 0; i < buffers.size(); ++i)
        if (buffers[i].kind == BufferKind::kArena) order.push_back(i);
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
        if (buffers[a].first != buffers[b].first) return buffers[a].first < buffers[b].first;
        return buffers[a].bytes > buffers[b].bytes;
    });
    size_t top = 0;
    for (uint32_t i : order) {
        PlanBuffer& b = buffers[i];
        const size_t need = (b.bytes + kAlign - 1) / kAlign * kAlign;
        std::map<size_t, size_t> taken;  // begin -> end
        for (uint32_t other : placed) {
            const bool over = std::ranges::all_of(
                uses[other], [&](const Use& use) { return before.has(b.first, use.step); });
            if (over) continue;
            const size_t begin = buffers[other].offset;
            size_t& end = taken[begin];
            end = std::max(end, begin + buffers[other].bytes);
        }
        size_t offset = 0, best = SIZE_MAX, hole = SIZE_MAX;
        for (const auto& [begin, end] : taken) {
            if (begin >= offset + need && begin - offset < hole)
                best = offset, hole = begin - offset;
            offset = std::max(offset, (end + kAlign - 1) / kAlign * kAlign);
        }
        b.offset = best == SIZE_MAX ? offset : best;
        top = std::max(top, b.offset + need);
        placed.push_back(i);
    }
    return top;
}

// How long the plan takes with its steps in order, and when independent ones run together.
bool worthwhile(const Plan& plan, const std::vector<GraphEdge>& edges) {
    const double threads = pool_threads();
    double work = 0, in_order = 0, longest = 0;
    std::vector<double> end(plan.steps.size(), 0);
    std::vector<std::vector<uint32_t>> from(plan.steps.size());
    for (const GraphEdge& e : edges)
        from[static_cast<size_t>(e.to)].push_back(static_cast<uint32_t>(e.from));
    for (size_t k = 0; k < plan.steps.size(); ++k) {
        const double cost = plan.steps[k].cost;
        const double alone = std::max(cost / threads, std::min(cost, kSharedNanoseconds));
        for (uint32_t f : from[k]) end[k] = std::max(end[k], end[f]);
        end[k] += alone;
        longest = std::max(longest, end[k]);
        in_order += alone;
        work += cost;
    }
    return work > kInlineNanos && std::max(longest, work / threads) < kWorthwhile * in_order;
}

}  // namespace

size_t place_and_order(Plan& plan) {
    std::vector<PlanBuffer> in_order = plan.buffers;
    const size_t arena = place_in_arena(in_order);
    const auto sequential = [&] {
        plan.buffers = std::move(in_order);
        return arena;
    };
    const size_t steps = plan.steps.size();
    if (pool_threads() == 1 || steps < 2 || steps > kMostSteps || plan.cost < kInlineNanos ||
        backend(plan.steps[0].device).in_order())
        return sequential();
    const Uses uses = find_uses(plan);
    std::vector<GraphEdge> edges;
    for (const auto& list : uses) order_uses(list, edges);
    order_checks(plan, edges);
    if (!worthwhile(plan, edges)) return sequential();

    Ancestors before(steps);
    std::sort(edges.begin(), edges.end(), [](const GraphEdge& a, const GraphEdge& b) {
        return a.to != b.to ? a.to < b.to : a.from > b.from;
    });
    // An edge that others imply costs a count at every run.
    std::erase_if(edges, [&](const GraphEdge& e) {
        const auto to = static_cast<uint32_t>(e.to), from = static_cast<uint32_t>(e.from);
        if (before.has(to, from)) return true;
        before.add(to, from);
        return false;
    });
    const size_t apart = place_apart(plan.buffers, uses, before);
    if (apart > arena + arena / 2 + kArenaSlack) return sequential();
    std::vector<float> cost;
    for (const Step& step : plan.steps) cost.push_back(static_cast<float>(step.cost));
    plan.order = TaskGraph::build(static_cast<int32_t>(steps), edges, cost);
    plan.edges = std::move(edges);
    return apart;
}

std::string verify_order(const Plan& plan) {
    if (plan.edges.empty()) return {};
    const size_t steps = plan.steps.size();
    Ancestors before(steps);
    std::vector<GraphEdge> edges = plan.edges;
    std::sort(edges.begin(), edges.end(),
              [](const GraphEdge& a, const GraphEdge& b) { return a.to < b.to; });
    for (const GraphEdge& e : edges)
        before.add(static_cast<uint32_t>(e.to), static_cast<uint32_t>(e.from));
    const Uses uses = find_uses(plan);
    const auto together = [&](uint32_t a, uint32_t b) {
        return a != b && !before.has(a, b) && !before.has(b, a);
    };
    for (size_t i = 0; i < uses.size(); ++i) {
        for (size_t j = i; j < uses.size(); ++j) {
            const PlanBuffer &a = plan.buffers[i], &b = plan.buffers[j];
            const bool arena = a.kind == BufferKind::kArena && b.kind == BufferKind::kArena &&
                               a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
            if (i != j && !arena) continue;
            for (const Use& x : uses[i])
                for (const Use& y : uses[j])
                    if ((x.writes || y.writes) && together(x.step, y.step))
                        return "steps " + std::to_string(x.step) + " and " +
                               std::to_string(y.step) + " may meet in buffer " + std::to_string(i);
        }
    }
    for (uint32_t k = 0; k < steps; ++k)
        for (uint32_t l = 0; l < k; ++l)
            if (plan.steps[k].overwrites_input && plan.steps[l].checks_values && !before.has(k, l))
                return "step " + std::to_string(k) + " may write over an input before step " +
                       std::to_string(l) + " has checked its values";
    return {};
}

}  // namespace sn
