#include "backend/cpu/conv_plan.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "backend/cpu/gemm.h"
#include "base/error.h"

namespace sn::cpu {
namespace {

// Most result pixels per chunk: enough to fill every class with whole tiles, few enough that their
// source stays in the second-level cache.
constexpr int64_t kChunkPixels = 512;

// Result pixels per chunk, and what their number is a multiple of.
struct ChunkSize {
    bool whole_rows;
    int64_t pixels, unit;
};

ChunkSize chunk_size(const ConvShape& s, int64_t k, int64_t columns, const int64_t* result,
                     int tile_rows) {
    constexpr int64_t kWeightBytes = 256 << 10, kResultBytes = 128 << 10;
    const int64_t taps = s.kernel[0] * s.kernel[1] * s.kernel[2];
    const bool lanewise = conv_is_depthwise(s);
    const int64_t size = s.dtype == DType::kF64 ? 8 : 4;
    const int64_t weights = (lanewise ? taps : k) * columns * size;
    if (weights > kWeightBytes || (taps > 1 && !lanewise)) return {false, kChunkPixels, 1};
    // The epilogue should find its rows in the cache; weights are read anew for every chunk, so a
    // long k wants more pixels. Few pixels are still cut into several chunks.
    const int64_t most = lanewise ? kResultBytes / (columns * size) : k;
    const int64_t share = s.batch * result[0] * result[1] * result[2] / 8;
    const int64_t least = lanewise ? 2 * tile_rows : 4 * tile_rows;
    const int64_t pixels =
        std::max(least, std::min({share, std::max(most, 8 * int64_t{tile_rows}), kChunkPixels}));
    // Whole image rows have whole tiles of every class; with one class any multiple of a tile does.
    return {true, pixels, lanewise ? std::max<int64_t>(1, result[2]) : tile_rows};
}

struct AxisTap {
    int32_t rank;   // position of the tap in the order of k
    int64_t delta;  // source coordinate relative to the base
    bool operator==(const AxisTap&) const = default;
};

// One spatial dimension: which source positions each result position gathers from.
struct Axis {
    std::vector<int64_t> base;  // coordinate of the first valid tap
    std::vector<int32_t> cls;
    std::vector<std::vector<AxisTap>> classes;

    void add(int64_t position, std::vector<AxisTap>& taps, int64_t no_tap_base) {
        const int64_t first = taps.empty() ? no_tap_base : taps[0].delta;
        for (AxisTap& tap : taps) tap.delta -= first;
        base[position] = first;
        // Neighbours mostly share a class, so look there first.
        if (position > 0 && classes[cls[position - 1]] == taps) {
            cls[position] = cls[position - 1];
            return;
        }
        auto it = std::find(classes.begin(), classes.end(), taps);
        cls[position] = static_cast<int32_t>(it - classes.begin());
        if (it == classes.end()) classes.push_back(taps);
    }
};

Axis forward_axis(const ConvShape& s, int d) {
    Axis axis;
    axis.base.resize(s.out[d]);
    axis.cls.resize(s.out[d]);
    std::vector<AxisTap> taps;
    for (int64_t o = 0; o < s.out[d]; ++o) {
        taps.clear();
        const int64_t origin = o * s.stride[d] - s.pad_lo[d];
        for (int64_t t = 0; t < s.kernel[d]; ++t) {
            const int64_t i = origin + t * s.dilation[d];
            if (i >= 0 && i < s.in[d]) taps.push_back({static_cast<int32_t>(t), i});
        }
        axis.add(o, taps, 0);
    }
    return axis;
}

Axis data_grad_axis(const ConvShape& s, int d) {
    Axis axis;
    axis.base.resize(s.in[d]);
    axis.cls.resize(s.in[d]);
    std::vector<AxisTap> taps;
    for (int64_t i = 0; i < s.in[d]; ++i) {
        taps.clear();
        // Descending taps read dy upwards in memory, so runs merge as in the forward pass.
        for (int64_t t = s.kernel[d] - 1; t >= 0; --t) {
            const int64_t scaled = i + s.pad_lo[d] - t * s.dilation[d];
            if (scaled < 0 || scaled % s.stride[d] != 0) continue;
            const int64_t o = scaled / s.stride[d];
            if (o < s.out[d]) taps.push_back({static_cast<int32_t>(s.kernel[d] - 1 - t), o});
        }
        axis.add(i, taps, 0);
    }
    return axis;
}

}  // namespace

void check_conv(const ConvShape& s, const char* op) {
    if (!is_float(s.dtype))
        fail(ErrorKind::kDType, op, "the dtype is %s; a floating dtype is required; cast first",
             dtype_name(s.dtype));
    SN_CHECK(s.groups > 0 && s.in_channels % s.groups == 0 && s.out_channels % s.groups == 0);
    for (int d = 0; d < 3; ++d)
        SN_CHECK(s.kernel[d] > 0 && s.stride[d] > 0 && s.dilation[d] > 0 && s.in[d] >= 0 &&
                 s.out[d] >= 0);
    const int64_t taps = s.kernel[0] * s.kernel[1] * s.kernel[2];
    const int64_t channels = std::max(s.in_channels, s.out_channels) / s.groups;
    if (taps * channels > INT32_MAX)
        fail(ErrorKind::kShape, op,
             "the kernel has %lld taps of %lld channels; at most 2^31 products"
             " per result are supported; split the channels",
             static_cast<long long>(taps), static_cast<long long>(channels));
}

struct ConvPlanOwner::Storage {
    Storage(const ConvShape& shape, ConvPass pass, int tile_rows);
    static Storage* find(const ConvShape& shape, ConvPass pass, int tile_rows);
    void drop() {
        if (refs.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }
    size_t bytes() const {
        return tiles.size() * sizeof(ConvTile) + pixel_base.size() * sizeof(int64_t) +
               pixel_row.size() * sizeof(int32_t) + runs.size() * sizeof(ConvRun);
    }

    std::atomic<int> refs{1};
    ConvPlan plan;
    std::vector<ConvChunk> chunks;
    std::vector<ConvTile> tiles;
    std::vector<int64_t> pixel_base;
    std::vector<int32_t> pixel_row;
    std::vector<ConvRun> runs;
    std::vector<int32_t> run_begin;
};

ConvPlanOwner::ConvPlanOwner(const ConvShape& shape, ConvPass pass, int tile_rows)
    : storage_(Storage::find(shape, pass, tile_rows)) {
    plan = storage_->plan;
}

ConvPlanOwner::~ConvPlanOwner() { storage_->drop(); }

namespace {

// All that a plan depends on.
using PlanKey = std::array<int64_t, 24>;

PlanKey plan_key(const ConvShape& s, ConvPass pass, int tile_rows) {
    PlanKey key{
        static_cast<int64_t>(pass), tile_rows, s.batch, s.in_channels, s.out_channels, s.groups};
    size_t at = 6;
    for (const int64_t* list : {s.in, s.out, s.kernel, s.stride, s.dilation, s.pad_lo})
        for (int d = 0; d < 3; ++d) key[at++] = list[d];
    return key;
}

}  // namespace

// The plans used last, a few megabytes of them.
ConvPlanOwner::Storage* ConvPlanOwner::Storage::find(const ConvShape& shape, ConvPass pass,
                                                     int tile_rows) {
    struct Entry {
        PlanKey key;
        uint64_t used;
        Storage* plan;
    };
    struct Cache {
        std::mutex lock;
        std::vector<Entry> entries;
        size_t bytes = 0;
        uint64_t clock = 0;
        void drop(size_t i) {
            bytes -= entries[i].plan->bytes();
            entries[i].plan->drop();
            entries[i] = entries.back();
            entries.pop_back();
        }
    };
    constexpr size_t kMaxBytes = size_t{32} << 20, kMaxPlans = 512;
    static Cache& cache = *new Cache;  // never destroyed: threads outlive static objects
    const PlanKey key = plan_key(shape, pass, tile_rows);
    const auto take = [&]() -> Storage* {
        for (Entry& e : cache.entries) {
            if (e.key != key) continue;
            e.used = ++cache.clock;
            e.plan->refs.fetch_add(1, std::memory_order_relaxed);
            return e.plan;
        }
        return nullptr;
    };
    {
        const std::lock_guard guard(cache.lock);
        if (Storage* plan = take()) return plan;
    }
    auto made = std::make_unique<Storage>(shape, pass, tile_rows);
    const size_t bytes = made->bytes();
    const std::lock_guard guard(cache.lock);
    if (Storage* plan = take()) return plan;  // made by another thread meanwhile
    if (bytes <= kMaxBytes / 4) {
        made->refs.store(2, std::memory_order_relaxed);
        cache.entries.push_back({key, ++cache.clock, made.get()});
        cache.bytes += bytes;
        while (cache.bytes > kMaxBytes || cache.entries.size() > kMaxPlans) {
            size_t oldest = 0;
            for (size_t i = 1; i < cache.entries.size(); ++i)
                if (cache.entries[i].used < cache.entries[oldest].used) oldest = i;
            cache.drop(oldest);
        }
    }
    return made.release();
}

ConvPlanOwner::Storage::Storage(const ConvShape& s, ConvPass pass, int tile_rows) {
    Storage& st = *this;
    const bool forward = pass == ConvPass::kForward;
    const int64_t* source = forward ? s.in : s.out;
    const int64_t* result = forward ? s.out : s.in;
    const int64_t channels = forward ? s.in_channels : s.out_channels;
    const int64_t k_channels = channels / s.groups;
    Axis axis[3];
    for (int d = 0; d < 3; ++d) axis[d] = forward ? forward_axis(s, d) : data_grad_axis(s, d);

    plan.k = s.kernel[0] * s.kernel[1] * s.kernel[2] * k_channels;
    plan.segments = std::max<int64_t>(1, (plan.k + kGemmSegment - 1) / kGemmSegment);
    plan.source_pixel = channels;
    plan.source_image = source[0] * source[1] * source[2] * channels;
    plan.result_image = result[0] * result[1] * result[2];

    // The runs of every class.
    const int64_t classes_h = axis[1].classes.size(), classes_w = axis[2].classes.size();
    for (const auto& taps_d : axis[0].classes)
        for (const auto& taps_h : axis[1].classes)
            for (const auto& taps_w : axis[2].classes) {
                int64_t segment = 0;
                int64_t end_k = -1, end_offset = -1;  // where the current run could go on
                st.run_begin.push_back(static_cast<int32_t>(st.runs.size()));
                for (const AxisTap& d : taps_d)
                    for (const AxisTap& h : taps_h)
                        for (const AxisTap& w : taps_w) {
                            int64_t k =
                                ((int64_t{d.rank} * s.kernel[1] + h.rank) * s.kernel[2] + w.rank) *
                                k_channels;
                            int64_t offset =
                                ((d.delta * source[1] + h.delta) * source[2] + w.delta) * channels;
                            int64_t left = k_channels;
                            while (left > 0) {
                                for (; segment < k / kGemmSegment; ++segment) {
                                    st.run_begin.push_back(static_cast<int32_t>(st.runs.size()));
                                    end_k = -1;
                                }
                                const int64_t room = kGemmSegment - k % kGemmSegment;
                                const int64_t length = std::min(left, room);
                                if (k == end_k && offset == end_offset)
                                    st.runs.back().length += static_cast<int32_t>(length);
                                else
                                    st.runs.push_back({offset, static_cast<int32_t>(k),
                                                       static_cast<int32_t>(length)});
                                k += length, offset += length, left -= length;
                                end_k = k, end_offset = offset;
                            }
                        }
                for (; segment < plan.segments; ++segment)
                    st.run_begin.push_back(static_cast<int32_t>(st.runs.size()));
            }

    // The pixels of `images` images from `first` to `last`, sorted by class and cut into tiles.
    std::vector<int32_t> order, count;
    const int64_t pixel_classes = axis[0].classes.size() * classes_h * classes_w;
    auto add_chunk = [&](int64_t first, int64_t last) {
        ConvChunk chunk;
        chunk.tile_begin = static_cast<int32_t>(st.tiles.size());
        chunk.first_row = first;
        chunk.rows = last - first;
        count.assign(pixel_classes + 1, 0);
        const int64_t start = st.pixel_base.size();
        st.pixel_base.resize(start + chunk.rows);
        st.pixel_row.resize(start + chunk.rows);
        for (int round = 0; round < 2; ++round) {
            int64_t p = first;
            while (p < last) {
                const int64_t w0 = p % result[2], rest = p / result[2];
                const int64_t h = rest % result[1], rest_d = rest / result[1];
                const int64_t d = rest_d % result[0], image = rest_d / result[0];
                const int64_t w1 = std::min(result[2], w0 + (last - p));
                const int64_t row_class = (axis[0].cls[d] * classes_h + axis[1].cls[h]) * classes_w;
                const int64_t row_base =
                    image * plan.source_image +
                    (axis[0].base[d] * source[1] + axis[1].base[h]) * source[2] * channels;
                for (int64_t w = w0; w < w1; ++w, ++p) {
                    int32_t& slot = count[row_class + axis[2].cls[w] + 1];
                    if (round == 0) {
                        ++slot;
                    } else {
                        int32_t& next = count[row_class + axis[2].cls[w]];
                        st.pixel_base[start + next] = row_base + axis[2].base[w] * channels;
                        st.pixel_row[start + next] = static_cast<int32_t>(p - first);
                        ++next;
                    }
                }
            }
            if (round == 0)
                for (int64_t c = 0; c < pixel_classes; ++c) count[c + 1] += count[c];
        }
        // After the second round count[c] is the end of class c.
        int64_t begin = 0;
        for (int64_t c = 0; c < pixel_classes; ++c) {
            const int64_t pixels = count[c] - begin;
            // Even tiles: a remainder of one row would run at the latency of its additions.
            const int64_t tiles = (pixels + tile_rows - 1) / tile_rows;
            // The larger ones come first, so that tiles of one height follow each other.
            int64_t at = start + begin;
            for (int64_t t = 0; t < tiles; ++t) {
                const int64_t rows = pixels / tiles + (t < pixels % tiles);
                st.tiles.push_back({static_cast<int32_t>(at), static_cast<int32_t>(rows),
                                    static_cast<int32_t>(c)});
                at += rows;
            }
            begin = count[c];
        }
        chunk.tile_end = static_cast<int32_t>(st.tiles.size());
        st.chunks.push_back(chunk);
    };

    const int64_t image = plan.result_image;
    const ChunkSize chunk = chunk_size(
        s, plan.k, (forward ? s.out_channels : s.in_channels) / s.groups, result, tile_rows);
    plan.whole_rows = chunk.whole_rows;
    plan.images = image >= chunk.pixels || image == 0 ? 1 : std::min(s.batch, chunk.pixels / image);
    plan.images = std::max<int64_t>(plan.images, 1);
    plan.full_groups = s.batch / plan.images;
    if (plan.full_groups && image) {
        const int64_t pixels = image * plan.images;
        const int64_t units = (pixels + chunk.unit - 1) / chunk.unit;
        const int64_t pieces = std::min(units, (pixels + chunk.pixels - 1) / chunk.pixels);
        for (int64_t i = 0; i < pieces; ++i)
            add_chunk(units * i / pieces * chunk.unit,
                      std::min(pixels, units * (i + 1) / pieces * chunk.unit));
    }
    plan.full_chunks = st.chunks.size();
    const int64_t tail = s.batch % plan.images;
    if (tail && image) add_chunk(0, tail * image);
    plan.tail_chunks = st.chunks.size() - plan.full_chunks;

    plan.chunks = st.chunks.data();
    plan.tiles = st.tiles.data();
    plan.pixel_base = st.pixel_base.data();
    plan.pixel_row = st.pixel_row.data();
    plan.runs = st.runs.data();
    plan.run_begin = st.run_begin.data();
    plan.task_count = plan.full_groups * plan.full_chunks + plan.tail_chunks;
}

ConvPlan::Task ConvPlan::task(int64_t index) const {
    const int64_t full_tasks = full_groups * full_chunks;
    if (index < full_tasks) return {chunks + index % full_chunks, index / full_chunks * images};
    return {chunks + full_chunks + (index - full_tasks), full_groups * images};
}

bool conv_is_depthwise(const ConvShape& s) {
    return s.groups > 1 && s.groups == s.in_channels && s.groups == s.out_channels;
}

struct ConvPieces::Storage {
    Axis axis[3];
    std::vector<uint8_t> valid;
};

ConvPieces::~ConvPieces() { delete storage_; }

ConvPieces::ConvPieces(const ConvShape& shape) : shape_(shape), storage_(nullptr) {
    auto owner = std::make_unique<Storage>();
    const ConvShape& s = shape_;
    taps = s.kernel[0] * s.kernel[1] * s.kernel[2];
    x_step = s.stride[2];
    Axis* axis = owner->axis;
    for (int d = 0; d < 3; ++d) axis[d] = forward_axis(s, d);
    classes = axis[0].classes.size() * axis[1].classes.size() * axis[2].classes.size();
    owner->valid.assign(classes * taps, 0);
    uint8_t* row = owner->valid.data();
    for (const auto& taps_d : axis[0].classes)
        for (const auto& taps_h : axis[1].classes)
            for (const auto& taps_w : axis[2].classes) {
                for (const AxisTap& d : taps_d)
                    for (const AxisTap& h : taps_h)
                        for (const AxisTap& w : taps_w)
                            row[(d.rank * s.kernel[1] + h.rank) * s.kernel[2] + w.rank] = 1;
                row += taps;
            }
    valid = owner->valid.data();
    storage_ = owner.release();
}

int64_t ConvPieces::tap_offset(int64_t tap) const {
    const ConvShape& s = shape_;
    const int64_t w = tap % s.kernel[2], rest = tap / s.kernel[2];
    const int64_t h = rest % s.kernel[1], d = rest / s.kernel[1];
    return (d * s.dilation[0] * s.in[1] + h * s.dilation[1]) * s.in[2] + w * s.dilation[2];
}

int64_t ConvPieces::cut(int64_t begin, int64_t end, ConvPiece* out) const {
    const ConvShape& s = shape_;
    const Axis* axis = storage_->axis;
    int64_t n = 0, p = begin;
    while (p < end) {
        const int64_t w0 = p % s.out[2], rest = p / s.out[2];
        const int64_t h = rest % s.out[1], rest_d = rest / s.out[1];
        const int64_t d = rest_d % s.out[0], image = rest_d / s.out[0];
        const int64_t w1 = std::min(s.out[2], w0 + (end - p));
        const int64_t row_class =
            (axis[0].cls[d] * static_cast<int64_t>(axis[1].classes.size()) + axis[1].cls[h]) *
            static_cast<int64_t>(axis[2].classes.size());
        const int64_t row = ((image * s.in[0] + d * s.stride[0] - s.pad_lo[0]) * s.in[1] +
                             h * s.stride[1] - s.pad_lo[1]) *
                            s.in[2];
        int64_t w = w0;
        while (w < w1) {
            const int32_t cls = axis[2].cls[w];
            int64_t stop = w + 1;
            while (stop < w1 && axis[2].cls[stop] == cls) ++stop;
            out[n++] = {row + w * s.stride[2] - s.pad_lo[2],
                        static_cast<int32_t>(p - begin + (w - w0)), static_cast<int32_t>(stop - w),
                        static_cast<int32_t>(row_class + cls)};
            w = stop;
        }
        p += w1 - w0;
    }
    return n;
}

}  // namespace sn::cpu
