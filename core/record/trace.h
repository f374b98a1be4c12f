#pragma once
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "op/op.h"
#include "record/recorder.h"

namespace sn {

struct Model;

// A tensor of a batch (with the batch in dimension 0), or one that all examples share.
struct Batched {
    Tensor tensor;
    bool batched = false;
};

// A function with its own gradient inside of a trace. Its nodes run without a tape; afterwards
// `wrap` puts the results on the tape again, as one entry.
struct TraceRegion {
    struct Call {
        std::span<const Batched> in, out, saved;
        int64_t size;
    };
    uint32_t first = 0, last = 0;  // its nodes: [first, last)
    std::vector<Tensor> in, out, saved;
    std::function<std::vector<Tensor>(const Call&)> wrap;
};

// A graph recorded by calling a function once, on placeholders that have shapes and dtypes but no
// elements. Tensors from outside that the function meets are captured as the handles that they are,
// so that a replay is differentiable in them. A trace is recorded inside of a RecordInto scope and
// may be recorded inside of another one.
class Trace : public Recorder {
public:
    explicit Trace(Randomness randomness = Randomness::kSame);

    Tensor placeholder(const Meta& meta);
    // One example of a batch (or, unbatched, what all share): a placeholder that stands for it.
    Tensor example(Batched whole);
    // The tensors for all `size` examples, computed outside of the trace.
    std::vector<Batched> for_all(std::span<const Tensor> tensors, int64_t size) const;
    Recorder& outer() const { return *outer_; }
    // What an input of the graph stands for: a tensor from outside, or nothing (a placeholder).
    const Tensor& captured(size_t input) const { return captured_[input]; }
    // The value of one of the graph's own nodes or placeholders; kNone: it comes from outside.
    ValueId id_of(const Tensor& tensor) const;
    // The same, or the input that a captured tensor has become.
    ValueId find(const Tensor& tensor) const;
    // A tensor that was given a place of its own on the tape inside: a replay knows nothing of it.
    void add_relay(const Tensor& relay, const Tensor& original) {
        relays_.emplace(relay.node().get(), std::pair(relay.node(), original));
    }
    Tensor without_relays(Tensor tensor) const;
    // Whether the node was recorded with the tape on; without, no gradient flows through it.
    bool taped(NodeId node) const { return taped_[node]; }
    Randomness randomness() const { return randomness_; }
    // Whether the node draws random numbers anew for every example. What a gradient draws a second
    // time, as before the trace, is not drawn anew.
    bool draws_anew(NodeId node) const;
    void add_region(TraceRegion region) { regions_.push_back(std::move(region)); }
    const std::vector<TraceRegion>& regions() const { return regions_; }
    // The number of the generator's next draw when the recording began.
    uint64_t first_draw() const { return first_draw_; }
    // Computes a value that depends on no placeholder, outside; fails for the others.
    Tensor evaluate(const Tensor& tensor) const;
    // What the control nodes call (runtime/control.h).
    std::vector<std::shared_ptr<const Model>> blocks;

private:
    friend class Recorder;
    ValueId capture(const Tensor& tensor);
    void appended() { taped_.push_back(grad_enabled()); }

    struct Key {
        const Value* value;
        const GradNode* node;
        uint32_t output;
        friend bool operator==(const Key&, const Key&) = default;
    };
    struct KeyHash {
        size_t operator()(const Key& k) const {
            return reinterpret_cast<size_t>(k.value) * 31 + reinterpret_cast<size_t>(k.node) +
                   k.output;
        }
    };
    Recorder* outer_;
    Randomness randomness_;
    uint64_t first_draw_;
    std::vector<Tensor> captured_;   // by input index
    std::vector<Batched> examples_;  // what the placeholders stand for, in their order
    std::unordered_map<Key, ValueId, KeyHash> captures_;
    std::vector<uint8_t> taped_;  // by node
    std::unordered_map<const GradNode*, std::pair<Ref<GradNode>, Tensor>> relays_;
    std::vector<TraceRegion> regions_;
};

// The trace that is being recorded on this thread, or null.
Trace* current_trace();
// The trace that a value belongs to, or null.
Trace* trace_of(const Tensor& tensor);

// Calls the recorded ops again, in the current recorder: on `placeholders` (in their order), and on
// what the trace has captured. Nodes that see a batched operand go through the batching rules of
// their ops; the others are called once. Only what `outputs` need is called.
std::vector<Batched> replay(const Trace& trace, std::span<const Batched> placeholders,
                            std::span<const Tensor> outputs, int64_t size);

// The same value without its history. In a trace that is a node, so that replays know it.
Tensor detached(const Tensor& tensor);
// The tensor as one that can be read now: values inside a trace are evaluated if they can be.
Tensor readable(const Tensor& tensor);
// Records what reads values for Python, outside of any trace.
struct OutsideTraces {
    OutsideTraces() : into(Recorder::window()) {}
    RecordInto into;
};

}  // namespace sn
