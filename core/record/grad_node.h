#pragma once
#include <cstdint>
#include <memory>

#include "base/ref.h"
#include "base/small_vector.h"

namespace sn {

struct GradInput;
struct GradOutput;
struct GradExtra;

// One entry of the tape: an op call that a gradient can flow through, or a leaf (no inputs). It
// holds the values that the op's record declares, not its handles; it outlives windows, and dies
// with the last output that refers to it (without recursion: chains of a million entries are fine).
struct GradNode {
    uint32_t refs = 0;
    uint16_t op = 0;
    uint16_t n_in = 0, n_out = 0;
    bool leaf = false;
    bool conjugate = false;  // its rule reads saved complex values conjugated
    bool released = false;   // saved values were given up by release_consumed()
    uint32_t site = 0;
    uint64_t seq = 0;  // order of recording: inputs have smaller numbers
    GradInput* inputs = nullptr;
    GradOutput* outputs = nullptr;
    SmallVec<int64_t, 4> attrs;
    std::unique_ptr<GradExtra> extra;
    // Entries that a backward pass went through, in an intrusive list: optimizer.step() releases
    // what they saved.
    GradNode* consumed_prev = nullptr;
    GradNode* consumed_next = nullptr;
    bool consumed = false;
    bool queued = false;  // in the heap of the walk

    GradNode();
    ~GradNode();
    static GradNode* make(int n_in, int n_out);
    static void destroy(GradNode* node);
};

}  // namespace sn
