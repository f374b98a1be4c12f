#include <algorithm>
#include <map>

#include "plan/plan.h"

namespace sn {

// Walks the steps in order with a best-fit free list: a buffer takes the smallest hole that holds
// it and gives it back after its last step. Larger requests of one step go first.
size_t place_in_arena(std::vector<PlanBuffer>& buffers) {
    constexpr size_t kAlign = 64;
    const auto rounded = [](size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; };
    std::vector<uint32_t> order, ends;
    for (uint32_t i = 0; i < buffers.size(); ++i)
        if (buffers[i].kind == BufferKind::kArena) order.push_back(i);
    ends = order;
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
        if (buffers[a].first != buffers[b].first) return buffers[a].first < buffers[b].first;
        return buffers[a].bytes > buffers[b].bytes;
    });
    std::stable_sort(ends.begin(), ends.end(),
                     [&](uint32_t a, uint32_t b) { return buffers[a].last < buffers[b].last; });
    std::map<size_t, size_t> holes;  // offset -> bytes
    size_t top = 0, next_end = 0;
    const auto give_back = [&](const PlanBuffer& b) {
        size_t offset = b.offset, bytes = rounded(b.bytes);
        auto after = holes.lower_bound(offset);
        if (after != holes.begin()) {
            auto before = std::prev(after);
            if (before->first + before->second == offset) {
                offset = before->first;
                bytes += before->second;
                holes.erase(before);
            }
        }
        if (after != holes.end() && offset + bytes == after->first) {
            bytes += after->second;
            holes.erase(after);
        }
        holes[offset] = bytes;
    };
    for (uint32_t i : order) {
        PlanBuffer& b = buffers[i];
        while (next_end < ends.size() && buffers[ends[next_end]].last < b.first)
            give_back(buffers[ends[next_end++]]);
        const size_t need = rounded(b.bytes);
        auto best = holes.end();
        for (auto it = holes.begin(); it != holes.end(); ++it)
            if (it->second >= need && (best == holes.end() || it->second < best->second)) best = it;
        if (best != holes.end()) {
            b.offset = best->first;
            const size_t rest = best->second - need;
            holes.erase(best);
            if (rest) holes[b.offset + need] = rest;
        } else {
            // Grow the hole at the end, if there is one, rather than leave it behind.
            if (!holes.empty() && holes.rbegin()->first + holes.rbegin()->second == top) {
                b.offset = holes.rbegin()->first;
                holes.erase(std::prev(holes.end()));
            } else {
                b.offset = top;
            }
            top = b.offset + need;
        }
    }
    return top;
}

}  // namespace sn
