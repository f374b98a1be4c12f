#include <algorithm>
#include <atomic>
#include <cstring>

#include "backend/cuda/device.h"
#include "backend/cuda/host.h"
#include "base/buffer.h"
#include "memory/recycling.h"
#include "op/op.h"

namespace sn::cuda {

namespace {

std::atomic<int64_t>* counts() {
    static auto* made = new std::atomic<int64_t>[static_cast<size_t>(op_count())]();
    return made;
}

Backend& cpu() { return backend(Device{}); }

// A range of device memory with its copy on the host. What overlaps is one range, so that operands
// which share memory share it on the host too.
struct Range {
    char* begin;
    char* end;
    bool written = false;
    bool read = false;  // its contents matter before
    char* copy = nullptr;
};

class HostCopies {
public:
    explicit HostCopies(int device) : gpu_(gpu(device)) {}
    ~HostCopies() {
        for (const Range& r : ranges_) cpu_allocator().free(r.copy, bytes(r));
    }
    HostCopies(const HostCopies&) = delete;
    HostCopies& operator=(const HostCopies&) = delete;

    // What a view of `shape` and `strides` (in elements) shows.
    void add(void* data, DimSpan shape, DimSpan strides, size_t size, bool written) {
        if (!data) return;
        int64_t low = 0, high = 0, count = 1;
        for (size_t d = 0; d < shape.size(); ++d) {
            if (shape[d] == 0) return;
            (strides[d] < 0 ? low : high) += strides[d] * (shape[d] - 1);
            count *= shape[d];
        }
        // A result that leaves gaps must not change them.
        const bool read = !written || count != high - low + 1;
        const auto width = static_cast<int64_t>(size);
        char* at = static_cast<char*>(data);
        ranges_.push_back({at + low * width, at + (high + 1) * width, written, read});
    }
    // Once all views are added.
    void load() {
        std::sort(ranges_.begin(), ranges_.end(),
                  [](const Range& a, const Range& b) { return a.begin < b.begin; });
        std::vector<Range> merged;
        for (const Range& r : ranges_) {
            if (!merged.empty() && r.begin < merged.back().end) {
                merged.back().end = std::max(merged.back().end, r.end);
                merged.back().written |= r.written;
                merged.back().read |= r.read;
            } else {
                merged.push_back(r);
            }
        }
        ranges_ = std::move(merged);
        for (Range& r : ranges_) {
            r.copy = static_cast<char*>(cpu_allocator().allocate(bytes(r)));
            if (r.read) gpu_.staging.copy_to_host(r.copy, r.begin, bytes(r));
        }
    }
    void* on_host(void* data) const {
        for (const Range& r : ranges_)
            if (data >= r.begin && data < r.end)
                return r.copy + (static_cast<char*>(data) - r.begin);
        return data;
    }
    void store() {
        for (const Range& r : ranges_)
            if (r.written) gpu_.staging.copy_to_device(r.begin, r.copy, bytes(r));
    }

private:
    static size_t bytes(const Range& r) { return static_cast<size_t>(r.end - r.begin); }
    Gpu& gpu_;
    std::vector<Range> ranges_;
};

DimSpan shape_of(const TensorView& v) { return {v.shape, static_cast<size_t>(v.rank)}; }
DimSpan strides_of(const TensorView& v) { return {v.strides, static_cast<size_t>(v.rank)}; }

void run_on_host(const KernelCall& call) {
    counts()[call.op].fetch_add(1, std::memory_order_relaxed);
    HostCopies copies(call.device.index);
    const auto add = [&](const TensorView& v, bool written) {
        if (!v.on_host)
            copies.add(v.data, shape_of(v), strides_of(v), dtype_size(v.dtype), written);
    };
    for (int i = 0; i < call.n_in; ++i) add(call.in[i], false);
    for (int i = 0; i < call.n_out; ++i) add(call.out[i], true);
    copies.load();
    SmallVec<TensorView, 6> in, out;
    const auto place = [&](const TensorView& v, SmallVec<TensorView, 6>& views) {
        TensorView view = v;
        if (!v.on_host) view.data = copies.on_host(v.data);
        view.buffer = nullptr;
        views.push_back(view);
    };
    for (int i = 0; i < call.n_in; ++i) place(call.in[i], in);
    for (int i = 0; i < call.n_out; ++i) place(call.out[i], out);
    KernelCall inner = call;
    inner.in = in.data();
    inner.out = out.data();
    inner.device = Device{};
    const WorkspaceFn workspace = cpu().kernels().workspace(call.op);
    const size_t bytes = workspace ? workspace(inner) : 0;
    BufferRef room;
    if (bytes) room = Buffer::allocate(cpu_allocator(), bytes);
    inner.workspace = room ? room->data() : nullptr;
    cpu().kernels().kernel(call.op)(inner);
    copies.store();
}

}  // namespace

void add_host_kernels(KernelTable& table) {
    const KernelTable& known = cpu().kernels();
    for (int op = 0; op < op_count(); ++op) {
        const auto id = static_cast<OpId>(op);
        if (known.kernel(id) && !table.kernel(id) && !op_def(id).lower)
            table.add(op_def(id).name, run_on_host);
    }
}

std::vector<std::pair<std::string, int64_t>> host_runs() {
    std::vector<std::pair<std::string, int64_t>> all;
    for (int op = 0; op < op_count(); ++op)
        if (const int64_t count = counts()[op]; count > 0)
            all.emplace_back(op_def(static_cast<OpId>(op)).name, count);
    return all;
}

void reset_host_runs() {
    for (int op = 0; op < op_count(); ++op) counts()[op] = 0;
}

}  // namespace sn::cuda
