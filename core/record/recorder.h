#pragma once
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/function_ref.h"
#include "ir/graph.h"
#include "plan/run.h"
#include "record/tensor.h"

namespace sn {

// Watches what one thread records on behalf of sn.compile: a call of a function, which is to be one
// window. Nothing is flushed meanwhile, until somebody needs a value; the recording is given up
// then, and the call goes on as any other.
struct RecordWatch {
    std::vector<uint8_t> taped;  // by node: recorded with the tape on
    std::string stopped;         // why it was given up
    uint32_t site = 0;           // where
    bool walked = false;         // a backward pass ran
    bool relayed = false;        // a tensor got another place on the tape
    bool custom = false;         // a gradient written in Python was put on the tape
    bool active() const { return stopped.empty(); }
    void stop(std::string why);
};
// Gives up what is being recorded for sn.compile on this thread, if anything is.
void stop_watch(const char* what, const Meta& meta);

// A graph being filled by op calls of one thread. A window records imperative code and flushes by
// itself; a trace keeps everything until it is taken.
//
// All recording state (values, tape, windows) is used under one lock: in Python the GIL.
class Recorder {
public:
    enum class Kind : uint8_t { kWindow, kTrace };
    Recorder() : Recorder(Kind::kWindow) {}
    ~Recorder();
    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;

    static Recorder& current();  // of this thread
    static Recorder& window();   // of this thread, whatever is being traced

    // The graph value that stands for a tensor here; makes it an input when it lives elsewhere. A
    // scalar is bound with the dtype in which it is used.
    ValueId bind(const Tensor& tensor, DType scalar_dtype);
    // A window belongs to one device: work on another one flushes it. Before operands are bound.
    void use_device(Device device) {
        if (device == device_) return;
        if (kind_ == Kind::kWindow) flush();
        device_ = device;
    }
    void prepare(const Tensor& tensor);  // before the operands of a call are bound
    // Appends a node; makes a pending Value for each output.
    void append(OpId op, std::span<const ValueId> in, const Attrs& attrs, std::span<const Meta> out,
                bool weak, Ref<Value>* values);

    // Plans and runs what has been recorded. Afterwards every value that is still held has a
    // buffer.
    void flush() { flush(nullptr); }
    // The same, in another way: `run` gives what is held its buffers.
    using RunFn = FunctionRef<void()>;
    void flush(const RunFn* run);
    // The first failure of this thread's windows that nobody has been told of yet.
    void fail_with(std::exception_ptr failure) {
        if (!failure_) failure_ = std::move(failure);
    }
    std::exception_ptr take_failure() { return std::exchange(failure_, nullptr); }
    RunLane& lane() { return lane_; }
    // Whether `v.id` means something here: a pending value of this recorder, or one bound in this
    // window.
    bool holds(const Value& v) const {
        return v.recorder == this && (v.kind == ValueState::kPending || v.epoch == epoch_);
    }
    // Before something else is launched in the place of a window: flushes what would hold much.
    void settle_for_launch();
    void make_room();  // flushes a full window, before a call that may make a view
    bool empty() const { return graph.nodes.empty(); }
    Kind kind() const { return kind_; }

    Graph graph;
    std::vector<Value*> holders;     // by value id: the pending Value, or null when nobody holds it
    std::vector<Ref<Value>> inputs;  // by input index
    std::vector<Scalar> scalars;     // by scalar index
    std::vector<int32_t> scalar_slots;  // by scalar index: which runtime number of the graph that
                                        // is being lowered, or -1 for a constant
    std::vector<uint32_t> sites;        // by node
    std::vector<uint64_t> key;          // structure of the graph so far, for the plan cache
    RecordWatch* watch = nullptr;       // of sn.compile
    uint32_t origin = kNone;            // a trace that rewrites a graph: the node being rewritten

protected:
    explicit Recorder(Kind kind) : kind_(kind) { start(); }  // kTrace: see Trace

private:
    void start();
    static void bury_orphans();

    Kind kind_;
    uint64_t epoch_ = 0;
    int64_t bytes_ = 0;
    Device device_;
    std::exception_ptr failure_;
    RunLane lane_;
};

// Makes a recorder current on this thread for a scope: what is called is recorded into it.
struct RecordInto {
    explicit RecordInto(Recorder& recorder);
    ~RecordInto();
    Recorder* before;
};

// Limits of a window. 1 node: op by op (SENNIT_WINDOW=1).
int window_limit();
void set_window_limit(int nodes);

// The user's source line of what is being recorded, as an interned id; 0: unknown. The binding
// installs the function that looks at Python's frames.
using SiteFn = uint32_t (*)();
void set_site_function(SiteFn fn);
uint32_t current_site();
struct SiteScope {  // records under another site: gradients under their forward op's
    explicit SiteScope(uint32_t site);
    ~SiteScope();
    uint32_t before;
};
// Text for errors: the source line and the module path. Installed by the binding.
using SiteTextFn = std::string (*)(uint32_t site);
void set_site_text_function(SiteTextFn fn);
std::string site_text(uint32_t site);
// A site that is known by its text alone: that of a graph that was read from a file.
uint32_t text_site(std::string_view text);

}  // namespace sn
