// Sorting and searching along an axis.
#include <algorithm>

#include "backend/cuda/sorted.h"
#include "backend/cuda/wrap.h"

namespace sn::cuda {

namespace {

const KernelSource kKeys("sort.cu", "sort_keys", [] { return Axes{dtype_axis("SN_T", kReal)}; });
const KernelSource kSearch("sort.cu", "search_sorted",
                           [] { return Axes{dtype_axis("SN_T", kReal)}; });
const KernelSource kTiles("sort.cu", "sort_tiles", [] { return Axes{}; });
const KernelSource kMerge("sort.cu", "sort_merge", [] { return Axes{}; });
const KernelSource kSorted("sort.cu", "sorted", [] { return Axes{word_axis()}; });

// The first `k` of every row: their elements, and where they were.
void ordered(const KernelCall& c, int64_t axis, bool descending, int64_t k, void* values,
             int64_t* indices) {
    const TensorView& x = c.in[0];
    const int64_t n = x.rank ? x.shape[axis] : 1, total = x.numel();
    if (total == 0 || k == 0) return;
    int64_t inner = 1;
    for (int d = static_cast<int>(axis) + 1; d < x.rank; ++d) inner *= x.shape[d];
    SortItem* items = static_cast<SortItem*>(c.workspace);
    const SortKeysArgs keys{x.data, items, total, n, inner, descending};
    launch(kKeys.get(c.device, {static_cast<int>(x.dtype)}), grid_of(total), kThreads, keys);
    const SortItem* sorted = sort_rows(c.device, items, total / n, n);
    const SortedArgs args{x.data, sorted, values, indices, total / n * k, k, n, inner};
    launch(kSorted.get(c.device, {static_cast<int>(dtype_size(x.dtype))}), grid_of(args.count),
           kThreads, args);
}

void sort(const KernelCall& c) {  // attributes: axis, descending
    const int64_t axis = c.attrs[0], n = c.in[0].rank ? c.in[0].shape[axis] : 1;
    ordered(c, axis, c.attrs[1] != 0, n, c.out[0].data, nullptr);
}
void argsort(const KernelCall& c) {
    const int64_t axis = c.attrs[0], n = c.in[0].rank ? c.in[0].shape[axis] : 1;
    ordered(c, axis, c.attrs[1] != 0, n, nullptr, c.out[0].as<int64_t>());
}
void topk(const KernelCall& c) {  // attributes: k, axis, largest
    ordered(c, c.attrs[1], c.attrs[2] != 0, c.attrs[0], c.out[0].data, c.out[1].as<int64_t>());
}
size_t workspace(const KernelCall& c) { return sort_bytes(c.in[0].numel()); }

void searchsorted(const KernelCall& c) {  // attribute: right
    const TensorView &sorted = c.in[0], &values = c.in[1];
    SearchArgs args{};
    args.sorted = sorted.data;
    args.values = values.data;
    args.out = c.out[0].as<int64_t>();
    args.count = values.numel();
    if (args.count == 0) return;
    args.n = sorted.shape[sorted.rank - 1];
    args.per_row = sorted.rank == 1 ? args.count : values.shape[values.rank - 1];
    args.right = c.attrs[0] != 0;
    launch(kSearch.get(c.device, {static_cast<int>(sorted.dtype)}), grid_of(args.count), kThreads,
           args);
}

}  // namespace

SortItem* sort_rows(Device device, SortItem* memory, int64_t rows, int64_t n) {
    SortItem* other = memory + rows * n;
    SortArgs args{memory, memory, rows, n, 1, 1};
    while (args.width < n && args.width < kSortTile) args.width *= 2;
    args.pieces = (n + args.width - 1) / args.width;
    const int64_t together = kSortTile / args.width;
    launch(kTiles.get(device, {}), grid_of_blocks((rows * args.pieces + together - 1) / together),
           kSortThreads, args);
    for (; args.width < n; args.width *= 2) {
        args.from = memory;
        args.to = other;
        launch(kMerge.get(device, {}), grid_of(rows * n), kThreads, args);
        std::swap(memory, other);
    }
    return memory;
}

void register_sort_wrappers(KernelTable& table) {
    table.add("sort", sort, workspace);
    table.add("argsort", argsort, workspace);
    table.add("topk", topk, workspace);
    table.add("searchsorted", searchsorted);
}

}  // namespace sn::cuda
