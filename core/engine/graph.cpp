#include "engine/graph.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <mutex>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "base/spin_lock.h"
#include "engine/engine.h"
#include "engine/pool.h"
#include "engine/pool_job.h"

namespace sn {

TaskGraph TaskGraph::build(int32_t nodes, std::span<const GraphEdge> edges,
                           std::span<const float> cost_ns, std::span<const int32_t> priority) {
    constexpr float kUnknownCost = 10'000;
    const auto n = static_cast<size_t>(nodes);
    SN_CHECK(nodes >= 0 && (cost_ns.empty() || cost_ns.size() == n) &&
             (priority.empty() || priority.size() == n));
    TaskGraph graph;
    graph.first_.assign(n + 1, 0);
    graph.count_.assign(n, 0);
    for (const GraphEdge& edge : edges) {
        SN_CHECK(0 <= edge.from && edge.from < edge.to && edge.to < nodes);
        ++graph.first_[static_cast<size_t>(edge.from) + 1];
        ++graph.count_[static_cast<size_t>(edge.to)];
    }
    std::partial_sum(graph.first_.begin(), graph.first_.end(), graph.first_.begin());
    graph.next_.resize(edges.size());
    std::vector<int32_t> place(graph.first_.begin(), graph.first_.end() - 1);
    for (const GraphEdge& edge : edges)
        graph.next_[static_cast<size_t>(place[static_cast<size_t>(edge.from)]++)] = edge.to;

    graph.cost_.assign(n, kUnknownCost);
    std::copy(cost_ns.begin(), cost_ns.end(), graph.cost_.begin());
    std::vector<float> to_end(n, 0);
    for (size_t i = n; i-- > 0;) {
        bool leads_on = i + 1 == n;
        for (int32_t e = graph.first_[i]; e < graph.first_[i + 1]; ++e) {
            const auto next = static_cast<size_t>(graph.next_[static_cast<size_t>(e)]);
            to_end[i] = std::max(to_end[i], to_end[next]);
            leads_on |= next == i + 1;
        }
        to_end[i] += graph.cost_[i];
        graph.critical_path_ = std::max(graph.critical_path_, to_end[i]);
        graph.total_cost_ += graph.cost_[i];
        graph.chain_ &= leads_on;
        if (graph.count_[i] == 0) graph.roots_.push_back(static_cast<int32_t>(i));
    }
    graph.by_rank_.resize(n);
    std::iota(graph.by_rank_.begin(), graph.by_rank_.end(), 0);
    std::sort(graph.by_rank_.begin(), graph.by_rank_.end(), [&](int32_t a, int32_t b) {
        const auto i = static_cast<size_t>(a), j = static_cast<size_t>(b);
        if (!priority.empty() && priority[i] != priority[j]) return priority[i] > priority[j];
        return to_end[i] != to_end[j] ? to_end[i] > to_end[j] : a < b;
    });
    graph.rank_.resize(n);
    for (size_t r = 0; r < n; ++r)
        graph.rank_[static_cast<size_t>(graph.by_rank_[r])] = static_cast<int32_t>(r);
    return graph;
}

void GraphScratch::reserve(int32_t nodes) {
    if (nodes <= capacity_) return;
    counters_ = std::make_unique<std::atomic<int32_t>[]>(static_cast<size_t>(nodes));
    queue_ = std::make_unique<int32_t[]>(static_cast<size_t>(nodes));
    capacity_ = nodes;
}

// One parallel run. Threads join it as a job of the pool; ready nodes lie in a heap of ranks under
// a spin lock, which is held for some tens of nanoseconds per node.
class GraphRun final : public PoolJob {
public:
    GraphRun(const TaskGraph& graph, GraphScratch& scratch, void (*node)(void*, int), void* context)
        : graph_(graph),
          counters_(scratch.counters_.get()),
          queue_(scratch.queue_.get()),
          node_(node),
          context_(context),
          left_(graph.nodes()) {
        for (size_t i = 0; i < graph.count_.size(); ++i)
            counters_[i].store(graph.count_[i], std::memory_order_relaxed);
        for (int32_t root : graph.roots_) enqueue(root);
    }

    void run() {
        if (pool_publish(*this, 0)) {
            if (queued_ > 1) pool_more(*this, queued_ - 1);
            for (;;) {
                help();
                if (left_.load(std::memory_order_acquire) == 0) break;
                pool_wait(*this, [&] {
                    return left_.load() == 0 || queued_.load(std::memory_order_relaxed) > 0;
                });
            }
            pool_retire(*this);
        } else {
            help();
        }
        if (error_) std::rethrow_exception(error_);
    }

    void help() override {
        FloatScope float_scope;
        PieceScope piece_scope(this);
        for (int32_t i = dequeue(); i >= 0;) i = complete(i, run_node(i));
    }

private:
    // A failed predecessor leaves this bit in the counter of a node.
    static constexpr int32_t kFailedBit = 1 << 30;
    // Extra ready nodes are offered to others when there is this much to do: handing a node over
    // costs about a microsecond.
    static constexpr float kShareNanos = 4'000;

    void enqueue(int32_t i) {
        queue_[queued_] =
            -graph_.rank_[static_cast<size_t>(i)];  // std heaps keep the greatest on top
        queued_.store(queued_ + 1, std::memory_order_relaxed);
        std::push_heap(queue_, queue_ + queued_);
        queued_cost_ += graph_.cost_[static_cast<size_t>(i)];
    }

    int32_t dequeue() {
        std::lock_guard lock(lock_);
        if (queued_ == 0) {
            if (slot >= 0) pool_quiet(*this);
            return -1;
        }
        std::pop_heap(queue_, queue_ + queued_);
        queued_.store(queued_ - 1, std::memory_order_relaxed);
        const int32_t i = graph_.by_rank_[static_cast<size_t>(-queue_[queued_])];
        queued_cost_ -= graph_.cost_[static_cast<size_t>(i)];
        if (queued_ == 0 && slot >= 0) pool_quiet(*this);
        return i;
    }

    bool run_node(int32_t i) {
        if (counters_[i].load(std::memory_order_relaxed) & kFailedBit) return false;
        // Nodes above a failed one cannot change which exception is the lowest.
        if (i > failed_node_.load(std::memory_order_relaxed)) return false;
        try {
            node_(context_, i);
            return true;
        } catch (...) {
            std::lock_guard lock(lock_);
            if (i < failed_node_) {
                failed_node_ = i;
                error_ = std::current_exception();
            }
            return false;
        }
    }

    // Counts down the successors; the best one that becomes ready is run next by this thread, while
    // its inputs are in this core's cache.
    int32_t complete(int32_t i, bool ok) {
        int32_t mine = -1;
        bool share = false;
        const auto begin = graph_.first_[static_cast<size_t>(i)];
        const auto end = graph_.first_[static_cast<size_t>(i) + 1];
        for (int32_t e = begin; e < end; ++e) {
            int32_t next = graph_.next_[static_cast<size_t>(e)];
            if (!ok) counters_[next].fetch_or(kFailedBit, std::memory_order_relaxed);
            const int32_t before = counters_[next].fetch_sub(1, std::memory_order_acq_rel);
            if ((before & ~kFailedBit) != 1) continue;
            if (mine >= 0) {
                if (graph_.rank_[static_cast<size_t>(next)] <
                    graph_.rank_[static_cast<size_t>(mine)])
                    std::swap(next, mine);
                std::lock_guard lock(lock_);
                enqueue(next);
                share = queued_cost_ >= kShareNanos;
            } else {
                mine = next;
            }
        }
        if (share && slot >= 0) pool_more(*this, queued_);
        if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1 && slot >= 0) pool_signal(*this);
        return mine >= 0 ? mine : dequeue();
    }

    const TaskGraph& graph_;
    std::atomic<int32_t>* counters_;
    int32_t* queue_;
    void (*node_)(void*, int);
    void* context_;
    std::atomic<int32_t> left_;
    SpinLock lock_;  // of the queue and of the error
    std::atomic<int32_t> queued_{0};
    float queued_cost_ = 0;
    std::atomic<int32_t> failed_node_{std::numeric_limits<int32_t>::max()};
    std::exception_ptr error_;
};

void run_graph(const TaskGraph& graph, GraphScratch& scratch, void (*node)(void*, int),
               void* context) {
    const bool serial = pool_threads() == 1 || engine_mode() == EngineMode::kSerial;
    const bool brief = graph.total_cost_ < kInlineNanos;
    if (graph.chain_ || serial || brief) {
        FloatScope float_scope;
        PieceScope piece_scope;
        std::optional<InlineScope> inline_scope;
        if (brief) inline_scope.emplace();
        for (int32_t i = 0; i < graph.nodes(); ++i) node(context, i);
        return;
    }
    scratch.reserve(graph.nodes());
    GraphRun(graph, scratch, node, context).run();
}

}  // namespace sn
