#include "record/recorder.h"

#include <bit>
#include <cstdlib>

#include "op/op.h"
#include "plan/execute.h"

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
std::string site_text(uint32_t site) {
    return site && site_text_function ? site_text_function(site) : std::string();
}

RecordInto::RecordInto(Recorder& recorder) : before(scoped) { scoped = &recorder; }
RecordInto::~RecordInto() { scoped = before; }

Recorder& Recorder::current() {
    if (scoped) return *scoped;
    thread_local Recorder window(Kind::kWindow);
    return window;
}

Recorder::~Recorder() {
    // A thread that ends: what others still hold must not point here any more. What only a trace
    // holds has no buffer to get.
    if (kind_ == Kind::kWindow) {
        bool held = false;
        for (Value* v : holders) held |= v != nullptr;
        if (held) {
            try {
                flush();
            } catch (...) {
            }
        }
    }
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

ValueId Recorder::bind(const Tensor& tensor, DType scalar_dtype) {
    Value* v = tensor.value().get();
    if (v->kind == ValueState::kPending && v->recorder == this) return v->id;
    if (v->kind == ValueState::kScalar) {
        if (v->recorder == this && v->epoch == epoch_ &&
            graph.meta(v->id).dtype == scalar_dtype)
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
    if (v->kind == ValueState::kPending) {
        if (!v->recorder || v->recorder->kind_ == Kind::kTrace) {
            fail(ErrorKind::kValue, "record",
                 "a tensor of a trace is used outside of it; return it from the traced function "
                 "instead");
        }
        v->recorder->flush();  // another thread's window
    }
    if (v->recorder == this && v->epoch == epoch_) return v->id;
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
    const ValueId first = graph.add_node(op, in, attrs.words(), out,
                                         origin == kNone ? node : origin);
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
    if (kind_ == Kind::kTrace) return;
    const int nodes = static_cast<int>(node) + 1;
    if (nodes >= limit_nodes || bytes_ > kMaxWindowBytes ||
        (nodes > limit_nodes / 2 && site && site == sites[0])) {
        flush();
    }
}

void Recorder::flush() {
    if (graph.nodes.empty()) {
        if (!graph.values.empty()) start();
        return;
    }
    SN_CHECK(kind_ == Kind::kWindow);
    execute_window(*this);
    start();
}

}  // namespace sn
