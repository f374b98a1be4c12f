#pragma once
#include "args.h"

namespace sn::cuda {

// One step of a recurrent layer, between two products. Pointers are to the rows of the step:
// [batch][gates * hidden] or [batch][hidden].
struct CellArgs {
    int64_t count, hidden;  // batch * hidden elements
    const void* input;      // the input's part of the gates
    const void* sums;       // the recurrent part; null where the state is zero
    const void* bias;       // of a GRU's candidate
    const void* h_before;
    const void* c_before;
    void* gates;  // out, or null
    void* h;
    void* c;  // LSTM: the cell; GRU: the candidate's recurrent part
};

struct CellGradArgs {
    int64_t count, hidden;
    const void* gates;
    const void* state;  // after the step: h, of an LSTM c
    const void* state_before;
    const void* candidate;
    const void* dh;  // from outside, or null
    const void* dc;
    const void* sums;  // what the later step sends back by the weight, or null
    void* carry;       // gradient of the cell (LSTM), or what bypasses the gates (GRU)
    void* d_gates;
    void* d_candidate;
    void* d_recurrent;  // GRU: what the weight multiplies, [batch][3 * hidden]
};

// Gradients of the initial states.
struct InitialGradArgs {
    int64_t count;
    const void* dh;
    const void* sums;
    const void* carry;  // of a GRU, or null
    void* dh0;
    const void* dc;  // of an LSTM's cell before the first step, or null
    void* dc0;
};

}  // namespace sn::cuda
