// Recurrent layers, step by step: a product of the state with the weight, then the cell.
#include <algorithm>

#include "backend/cuda/kernels/recurrent_args.h"
#include "backend/cuda/product.h"
#include "backend/cuda/wrap.h"
#include "base/error.h"

namespace sn::cuda {

namespace {

enum Cell { kTanh, kRelu, kLstm, kGru };  // as in recurrent.cu

Axes axes() {
    return {dtype_axis("SN_T", {DType::kF32, DType::kF64}),
            number_axis("SN_CELL", {kTanh, kRelu, kLstm, kGru})};
}
const KernelSource kCell("recurrent.cu", "cell", axes);
const KernelSource kCellGrad("recurrent.cu", "cell_grad", axes);
const KernelSource kInitialGrad("recurrent.cu", "initial_grad", axes);

struct Sequence {
    int64_t cell, gates, steps, batch, hidden, size;  // size: bytes of a number
    bool reverse, initial;
    DType dtype;

    Sequence(const int64_t* attrs, const TensorView& per_step, const TensorView& weight)
        : cell(attrs[0]),
          gates(attrs[0] == kLstm  ? 4
                : attrs[0] == kGru ? 3
                                   : 1),
          steps(per_step.shape[0]),
          batch(per_step.shape[1]),
          hidden(weight.shape[1]),
          size(static_cast<int64_t>(dtype_size(weight.dtype))),
          reverse(attrs[1] != 0),
          initial(attrs[2] != 0),
          dtype(weight.dtype) {}
    int64_t plane() const { return batch * hidden; }
    int64_t step(int64_t i) const { return reverse ? steps - 1 - i : i; }
    int64_t slot_before(int64_t t) const { return reverse ? t + 1 : t; }
    int64_t slot_after(int64_t t) const { return reverse ? t : t + 1; }
    // Plane k of a tensor whose planes have `width` times hidden numbers for each row.
    char* at(const TensorView& v, int64_t k, int64_t width = 1) const {
        return v.as<char>() + k * plane() * width * size;
    }
};

const Function& kernel(const KernelSource& source, const KernelCall& c, const Sequence& s) {
    return source.get(c.device, {static_cast<int>(s.dtype), static_cast<int>(s.cell)});
}

// to [batch][columns] = state [batch][k] * weight; the weight is read turned where `turned`.
void multiply(const KernelCall& c, const Sequence& s, const void* state, int64_t k,
              const TensorView& weight, bool turned, int64_t columns, void* to) {
    const int64_t a_shape[2] = {s.batch, k}, a_strides[2] = {k, 1};
    const int64_t b_shape[2] = {k, columns};
    const int64_t b_strides[2] = {weight.strides[turned ? 1 : 0], weight.strides[turned ? 0 : 1]};
    const int64_t c_shape[2] = {s.batch, columns}, c_strides[2] = {columns, 1};
    segmented_product(c.device, {const_cast<void*>(state), a_shape, a_strides, 2, s.dtype},
                      {weight.data, b_shape, b_strides, 2, s.dtype},
                      {to, c_shape, c_strides, 2, s.dtype});
}

void fill_plane(const KernelCall& c, const Sequence& s, void* to) {
    const int64_t shape[1] = {s.plane()}, strides[1] = {1};
    strided_fill(c.device, {to, shape, strides, 1, s.dtype}, Number{});
}
void copy_plane(const KernelCall& c, const Sequence& s, void* to, const TensorView& from) {
    const int64_t shape[1] = {s.plane()}, strides[1] = {1};
    strided_copy(c.device, {to, shape, strides, 1, s.dtype},
                 {from.data, shape, strides, 1, s.dtype});
}

// in: gates' input, weight, [GRU: bias of the candidate], [h0, [LSTM: c0]]; out: [gates], h,
// [c or candidate].
void forward(const KernelCall& c) {
    const TensorView &input = c.in[0], &weight = c.in[1];
    const Sequence s(c.attrs, input, weight);
    if (s.plane() == 0) return;
    const int64_t G = s.gates;
    int next = 2;
    const TensorView* bias = s.cell == kGru ? &c.in[next++] : nullptr;
    const TensorView& h = c.out[G == 1 ? 0 : 1];
    const TensorView* third = G == 1 ? nullptr : &c.out[2];
    const int64_t start = s.steps ? s.slot_before(s.step(0)) : 0;
    if (s.initial) {
        copy_plane(c, s, s.at(h, start), c.in[next++]);
        if (s.cell == kLstm) copy_plane(c, s, s.at(*third, start), c.in[next]);
    } else {
        fill_plane(c, s, s.at(h, start));
        if (s.cell == kLstm) fill_plane(c, s, s.at(*third, start));
    }
    for (int64_t i = 0; i < s.steps; ++i) {
        const int64_t t = s.step(i), before = s.slot_before(t), after = s.slot_after(t);
        const bool product = i > 0 || s.initial;
        if (product)
            multiply(c, s, s.at(h, before), s.hidden, weight, true, G * s.hidden, c.workspace);
        CellArgs args{};
        args.count = s.plane();
        args.hidden = s.hidden;
        args.input = s.at(input, t, G);
        args.sums = product ? c.workspace : nullptr;
        args.bias = bias ? bias->data : nullptr;
        args.h_before = s.at(h, before);
        args.h = s.at(h, after);
        args.gates = G == 1 ? nullptr : s.at(c.out[0], t, G);
        if (s.cell == kLstm) {
            args.c_before = s.at(*third, before);
            args.c = s.at(*third, after);
        } else if (s.cell == kGru) {
            args.c = s.at(*third, t);
        }
        launch(kernel(kCell, c, s), grid_of(args.count), kThreads, args);
    }
}
size_t forward_workspace(const KernelCall& c) {
    const Sequence s(c.attrs, c.in[0], c.in[1]);
    return static_cast<size_t>(s.plane() * s.gates * s.size);
}

// in: weight, [gates], h or c, [GRU: candidate], [dh], [dc]; out: gradient of the gates' input, of
// h0, [of c0 or of the candidate's recurrent part].
void backward(const KernelCall& c) {
    const TensorView &weight = c.in[0], &d_gates = c.out[0];
    const Sequence s(c.attrs, d_gates, weight);
    if (s.plane() == 0) return;
    const int64_t G = s.gates;
    int next = 1;
    const auto take = [&](bool there) { return there ? &c.in[next++] : nullptr; };
    const TensorView* gates = take(G > 1);
    const TensorView& states = c.in[next++];
    const TensorView* candidate = take(s.cell == kGru);
    const TensorView* dh = take(c.attrs[3] != 0);
    const TensorView* dc = take(c.attrs[4] != 0);
    // Of one step: what the later one sends back, the carry, and what the weight multiplies.
    char* sums = static_cast<char*>(c.workspace);
    char* carry = sums + s.plane() * s.size;
    char* recurrent = carry + s.plane() * s.size;
    fill_plane(c, s, carry);
    const auto send_back = [&](int64_t t) {
        const void* from = s.cell == kGru ? recurrent : s.at(d_gates, t, G);
        multiply(c, s, from, G * s.hidden, weight, false, s.hidden, sums);
    };
    for (int64_t i = 0; i < s.steps; ++i) {
        const int64_t t = s.step(s.steps - 1 - i), later = s.reverse ? t - 1 : t + 1;
        const int64_t before = s.slot_before(t), after = s.slot_after(t);
        if (i > 0) send_back(later);
        CellGradArgs args{};
        args.count = s.plane();
        args.hidden = s.hidden;
        args.gates = gates ? s.at(*gates, t, G) : nullptr;
        args.state = s.at(states, after);
        args.state_before = s.at(states, before);
        args.candidate = candidate ? s.at(*candidate, t) : nullptr;
        args.dh = dh ? s.at(*dh, after) : nullptr;
        args.dc = dc ? s.at(*dc, after) : nullptr;
        args.sums = i > 0 ? sums : nullptr;
        args.carry = carry;
        args.d_gates = s.at(d_gates, t, G);
        args.d_candidate = s.cell == kGru ? s.at(c.out[2], t) : nullptr;
        args.d_recurrent = recurrent;
        launch(kernel(kCellGrad, c, s), grid_of(args.count), kThreads, args);
    }
    if (!s.initial || s.steps == 0) {
        fill_plane(c, s, c.out[1].data);
        if (s.cell == kLstm) fill_plane(c, s, c.out[2].data);
        return;
    }
    const int64_t t = s.step(0), slot = s.slot_before(t);
    send_back(t);
    InitialGradArgs args{};
    args.count = s.plane();
    args.dh = dh ? s.at(*dh, slot) : nullptr;
    args.sums = sums;
    args.carry = carry;
    args.dh0 = c.out[1].data;
    args.dc = dc ? s.at(*dc, slot) : nullptr;
    args.dc0 = s.cell == kLstm ? c.out[2].data : nullptr;
    launch(kernel(kInitialGrad, c, s), grid_of(args.count), kThreads, args);
}
size_t backward_workspace(const KernelCall& c) {
    const Sequence s(c.attrs, c.out[0], c.in[0]);
    return static_cast<size_t>(s.plane() * (2 + s.gates) * s.size);
}

}  // namespace

void register_recurrent_wrappers(KernelTable& table) {
    for (const char* name : {"rnn_sequence", "lstm_sequence", "gru_sequence"})
        table.add(name, forward, forward_workspace);
    for (const char* name : {"rnn_sequence_grad", "lstm_sequence_grad", "gru_sequence_grad"})
        table.add(name, backward, backward_workspace);
}

}  // namespace sn::cuda
