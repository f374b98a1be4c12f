#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace sn {

struct GraphEdge {
    int32_t from, to;  // from < to: node numbers are a topological order
};

// The dependencies of a compiled plan, computed once: replay only counts down.
class TaskGraph {
public:
    // cost_ns: estimates, may be empty (unknown: taken as 10 us each). priority: higher first, may
    // be empty. Among equal priorities the node with the longest way to the end goes first.
    static TaskGraph build(int32_t nodes, std::span<const GraphEdge> edges,
                           std::span<const float> cost_ns = {},
                           std::span<const int32_t> priority = {});

    int32_t nodes() const { return static_cast<int32_t>(first_.size()) - 1; }
    bool is_chain() const { return chain_; }  // no two nodes may run at the same time
    float total_cost_ns() const { return total_cost_; }
    float critical_path_ns() const { return critical_path_; }

private:
    friend class GraphRun;
    friend void run_graph(const TaskGraph&, class GraphScratch&, void (*)(void*, int), void*);

    std::vector<int32_t> first_{0};  // nodes + 1: where a node's successors begin in `next_`
    std::vector<int32_t> next_;
    std::vector<int32_t> count_;  // predecessors
    std::vector<int32_t> rank_;   // place of a node in the order of priority
    std::vector<int32_t> by_rank_;
    std::vector<float> cost_;
    std::vector<int32_t> roots_;
    float total_cost_ = 0, critical_path_ = 0;
    bool chain_ = true;
};

// Counters and queue of one run at a time; keep it beside the plan so that replay allocates
// nothing.
class GraphScratch {
public:
    void reserve(int32_t nodes);

private:
    friend class GraphRun;
    std::unique_ptr<std::atomic<int32_t>[]> counters_;
    std::unique_ptr<int32_t[]> queue_;
    int32_t capacity_ = 0;
};

// Runs node(context, i) for every node after those that it depends on; independent nodes at the
// same time, and nodes may use parallel_for. Chains, short graphs (under kInlineNanos), graphs in
// the serial engine and in a pool of one run inline, in the order of the numbers. When nodes throw,
// nothing that depends on them runs, and the exception of the lowest node is rethrown: the same one
// for any number of threads.
void run_graph(const TaskGraph& graph, GraphScratch& scratch, void (*node)(void* context, int node),
               void* context);

// Waking a sleeping worker takes 15 to 40 us, so work shorter than this is done by the caller
// alone.
constexpr float kInlineNanos = 30'000;

}  // namespace sn
