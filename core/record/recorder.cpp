#include "record/recorder.h"

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <unordered_map>

#include "backend/backend.h"
#include "op/op.h"
#include "plan/execute.h"
#include "record/trace.h"

namespace sn {

namespace {

thread_local Recorder* scoped = nullptr;
thread_local uint32_t site_override = 0;
uint64_t epochs = 0;  // under the record lock
SiteFn site_function = nullptr;
SiteTextFn site_text_function = nullptr;

// A window is cut at the first node's call site once it is half full, so that loops give the same
// windows again, and in any case when it is full.
constexpr int kDefaultWindow = 4096;
constexpr int64_t kMaxWindowBytes = int64_t{4} << 30;
constexpr int kMaxWatched = 1 << 16;  // ops of one call that sn.compile records

int read_window_limit() {
    const char* text = std::getenv("SENNIT_WINDOW");
    const int nodes = text ? std::atoi(text) : 0;
    return nodes > 0 ? nodes : kDefaultWindow;
}
int limit_nodes = read_window_limit();

// Key words: the low byte of the first word tells what follows.
enum KeyTag : uint64_t { kKeyNode = 1, kKeyInput = 2, kKeyScalar = 3 };

}  // namespace

int window_limit() { return limit_nodes; }
void set_window_limit(int nodes) { limit_nodes = nodes > 0 ? nodes : kDefaultWindow; }

void set_site_function(SiteFn fn) { site_function = fn; }
uint32_t current_site() {
    if (site_override) return site_override;
    return site_function ? site_function() : 0;
}
SiteScope::SiteScope(uint32_t site) : before(site_override) { site_override = site; }
SiteScope::~SiteScope() { site_override = before; }
void set_site_text_function(SiteTextFn fn) { site_text_function = fn; }

namespace {

// Under the record lock. Sites of texts have the highest bit set.
constexpr uint32_t kTextSite = 0x80000000u;
constexpr size_t kMaxTextSites = 1 << 20;
std::unordered_map<std::string, uint32_t> text_sites;
std::vector<const std::string*> site_texts;

}  // namespace

uint32_t text_site(std::string_view text) {
    if (site_texts.size() >= kMaxTextSites) return 0;
    const auto [it, fresh] = text_sites.emplace(text, site_texts.size());
    if (fresh) site_texts.push_back(&it->first);
    return kTextSite | it->second;
}

std::string site_text(uint32_t site) {
    if (site & kTextSite) {
        const size_t at = site & ~kTextSite;
        return at < site_texts.size() ? *site_texts[at] : std::string();
    }
    return site && site_text_function ? site_text_function(site) : std::string();
}

void RecordWatch::stop(std::string why) {
    if (!active()) return;
    stopped = std::move(why);
    site = current_site();
}

void stop_watch(const char* what, const Meta& meta) {
    RecordWatch* watch = Recorder::window().watch;
    if (watch && watch->active())
        watch->stop(std::string(what) + " a tensor of shape " + format_shape(meta.shape));
}

RecordInto::RecordInto(Recorder& recorder) : before(scoped) { scoped = &recorder; }
RecordInto::~RecordInto() { scoped = before; }

namespace {

// Windows of threads that have ended while others hold their values. Whoever reads one flushes it,
// as with any other thread's window.
std::mutex orphan_lock;
std::vector<Recorder*> orphans;
std::atomic<bool> have_orphans{false};

struct ThreadWindow {
    Recorder* window = nullptr;
    ~ThreadWindow() {  // without the record lock: nothing may be touched
        if (!window) return;
        const std::lock_guard guard(orphan_lock);
        orphans.push_back(window);
        have_orphans = true;
    }
};
thread_local ThreadWindow thread_window;

}  // namespace

Recorder& Recorder::current() { return scoped ? *scoped : window(); }

Recorder& Recorder::window() {
    if (!thread_window.window) thread_window.window = new Recorder;
    return *thread_window.window;
}

void Recorder::bury_orphans() {
    const std::lock_guard guard(orphan_lock);
    std::erase_if(orphans, [](Recorder* r) {
        if (!r->graph.nodes.empty()) {
            for (const Value* v : r->holders)
                if (v) return false;
        }
        if (!r->lane_.idle()) return false;
        delete r;
        return true;
    });
    have_orphans = !orphans.empty();
}

Recorder::~Recorder() {
    // What only a trace holds has no buffer to get.
    for (Value* v : holders)
        if (v) v->recorder = nullptr;
}

void Recorder::start() {
    epoch_ = ++epochs;
    bytes_ = 0;
    graph.clear();
    holders.clear();
    inputs.clear();
    scalars.clear();
    scalar_slots.clear();
    sites.clear();
    key.clear();
}

// A value that another thread's window makes is flushed and waited for. Before any operand is
// bound: waiting lets others record.
void Recorder::prepare(const Tensor& tensor) {
    if (kind_ == Kind::kTrace) return;  // it captures the handle, and computes nothing
    const Value& v = *tensor.value();
    if (v.kind == ValueState::kPending && v.recorder && v.recorder != this &&
        v.recorder->kind_ == Kind::kWindow)
        v.recorder->flush();
    if (v.kind == ValueState::kBuffer && v.lane && v.lane != &lane_ &&
        v.buffer->state() == BufferState::kPending) {
        const HeldBuffer keep = v.buffer;
        WaitScope scope;
        try {
            wait(*keep, wait_hooks().poll);
        } catch (const Interrupted&) {
            throw;
        } catch (...) {
            // Whoever reads a result is told.
        }
    }
}

ValueId Recorder::bind(const Tensor& tensor, DType scalar_dtype) {
    Value* v = tensor.value().get();
    if (v->kind == ValueState::kPending && v->recorder == this) return v->id;
    if (v->kind == ValueState::kScalar) {
        if (v->recorder == this && v->epoch == epoch_ && graph.meta(v->id).dtype == scalar_dtype)
            return v->id;
        const ValueId id = graph.add_scalar(scalar_dtype, v->meta.device);
        holders.push_back(nullptr);
        scalars.push_back(v->scalar);
        scalar_slots.push_back(v->slot);
        key.push_back(kKeyScalar | static_cast<uint64_t>(scalar_dtype) << 8);
        v->recorder = this;
        v->epoch = epoch_;
        v->id = id;
        return id;
    }
    const bool pending = v->kind == ValueState::kPending;
    if (pending &&
        (!v->recorder || (kind_ == Kind::kWindow && v->recorder->kind_ == Kind::kTrace))) {
        fail(ErrorKind::kValue, "trace",
             "a tensor of shape %s that was made inside of a traced function (sn.vmap, sn.jacfwd "
             "...), or that is a symbol (sn.symbol), is used after the function has ended; return "
             "it from the function instead of keeping it; write symbols into no tensor",
             format_shape(v->meta.shape).c_str());
    }
    if (kind_ == Kind::kTrace) return static_cast<Trace*>(this)->capture(tensor);
    if (pending) v->recorder->flush();
    if (v->recorder == this && v->epoch == epoch_) return v->id;
    SN_CHECK(v->kind == ValueState::kBuffer);
    const ValueId id = graph.add_input(v->meta);
    holders.push_back(nullptr);
    inputs.emplace_back(v);
    v->recorder = this;
    v->epoch = epoch_;
    v->id = id;
    const Dims& shape = v->meta.shape;
    key.push_back(kKeyInput | static_cast<uint64_t>(v->meta.dtype) << 8 |
                  static_cast<uint64_t>(v->meta.device.backend) << 16 |
                  static_cast<uint64_t>(v->meta.device.index) << 24 |
                  static_cast<uint64_t>(shape.size()) << 32);
    for (int64_t d : shape) key.push_back(static_cast<uint64_t>(d));
    for (int64_t s : v->strides) key.push_back(static_cast<uint64_t>(s));
    return id;
}

void Recorder::append(OpId op, std::span<const ValueId> in, const Attrs& attrs,
                      std::span<const Meta> out, bool weak, Ref<Value>* values) {
    const uint32_t node = static_cast<uint32_t>(graph.nodes.size());
    const uint32_t site = current_site();
    const ValueId first =
        graph.add_node(op, in, attrs.words(), out, origin == kNone ? node : origin);
    sites.push_back(site);
    key.push_back(kKeyNode | static_cast<uint64_t>(op) << 8 |
                  static_cast<uint64_t>(in.size()) << 24 |
                  static_cast<uint64_t>(attrs.words().size()) << 40);
    for (size_t i = 0; i < in.size(); i += 2)
        key.push_back(in[i] | (i + 1 < in.size() ? static_cast<uint64_t>(in[i + 1]) << 32 : 0));
    for (int64_t word : attrs.words()) key.push_back(static_cast<uint64_t>(word));
    for (size_t k = 0; k < out.size(); ++k) {
        Value* v = new Value;
        v->kind = ValueState::kPending;
        v->weak = weak;
        v->recorder = this;
        v->id = first + static_cast<ValueId>(k);
        v->meta = out[k];
        holders.push_back(v);
        values[k] = Ref<Value>(v);
        bytes_ += numel(out[k].shape) * static_cast<int64_t>(dtype_size(out[k].dtype));
    }
    if (kind_ == Kind::kTrace) {
        static_cast<Trace*>(this)->appended();
        return;
    }
    const int nodes = static_cast<int>(node) + 1;
    if (watch && watch->active()) {
        watch->taped.push_back(grad_enabled());
        if (nodes < kMaxWatched) return;
        watch->stop("it records more than " + std::to_string(kMaxWatched) + " operations");
    }
    // A view runs with what follows: while it is pending, its handle can be linked to its base.
    if (op_def(op).view && nodes < 4 * limit_nodes + 64) return;
    if (nodes >= limit_nodes || bytes_ > kMaxWindowBytes ||
        (nodes > limit_nodes / 2 && site && site == sites[0])) {
        flush();
    }
}

void Recorder::make_room() {
    if (watch && watch->active()) return;
    if (static_cast<int>(graph.nodes.size()) >= limit_nodes && kind_ == Kind::kWindow) flush();
}

void Recorder::settle_for_launch() {
    // A few operations on numbers (a running sum of losses) may wait for more.
    constexpr size_t kFewNodes = 64;
    constexpr size_t kLittle = size_t{1} << 16;
    if (graph.nodes.empty()) return;
    size_t held = 0;
    for (const Ref<Value>& v : inputs) held += v->buffer->bytes();
    if (graph.nodes.size() > kFewNodes || held > kLittle || bytes_ > static_cast<int64_t>(kLittle))
        flush();
}

void Recorder::flush(const RunFn* run) {
    if (graph.nodes.empty()) {
        if (!graph.values.empty()) start();
        return;
    }
    SN_CHECK(kind_ == Kind::kWindow);
    if (watch)
        watch->stop(
            "a part of it must run before it ends (a value is needed, or it works on two devices)");
    // Waiting lets other threads record, and flush this window too; nothing is under way yet.
    if (have_orphans) bury_orphans();
    lane_.wait_for_room();
    settle_failures(*this);
    if (graph.nodes.empty()) return;
    try {
        if (run)
            (*run)();
        else
            execute_window(*this);
    } catch (...) {
        // The window could not be planned: what it was to compute cannot be had.
        const std::exception_ptr error = std::current_exception();
        for (Value*& v : holders) {
            if (!v) continue;
            v->kind = ValueState::kBuffer;
            v->recorder = nullptr;
            v->strides = contiguous_strides(v->meta.shape);
            v->buffer = Buffer::pending(device_allocator(v->meta.device), 0);
            v->buffer->set_failed(error);
            v->former.reset();
            v = nullptr;
        }
        start();
        throw;
    }
    start();
}

}  // namespace sn
