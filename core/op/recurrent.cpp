#include "op/recurrent.h"

#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"
#include "op/function.h"
#include "op/op.h"
#include "op/rules.h"
#include "record/tape.h"

namespace sn {

// One op per family runs a layer in one direction over all steps; its input is what x adds to the
// gates, which is one matrix product made before. Its first result is the activated gates, over
// that input where possible; states have one slot more than there are steps, for the initial one,
// so that the states before and after every step are both one piece of memory. The gradient is one
// op too; gradients of gradients are written with ordinary ops, step by step. Design note 007.

namespace {

enum Cell : int64_t { kTanh, kRelu, kLstm, kGru };  // as in backend/cpu/kernels/rnn_cell.h
int64_t gates_of(int64_t cell) { return cell == kLstm ? 4 : cell == kGru ? 3 : 1; }

#define SN_RECURRENT_SCHEMA "cell:int reverse:bool initial:bool"

// in: gates' input, weight, [GRU: bias of the candidate], [h0, [LSTM: c0]]; the caller has checked.
void infer_sequence(InferCall& c) {
    const Meta &input = *c.in[0], &weight = *c.in[1];
    const int64_t steps = input.shape[0], batch = input.shape[1], hidden = weight.shape[1];
    const Dims states{steps + 1, batch, hidden};
    const int64_t cell = c.attrs.i(0);
    for (Meta& m : c.out) {
        m.shape = states;
        m.dtype = input.dtype;
    }
    if (gates_of(cell) > 1) c.out[0].shape = input.shape;
    if (cell == kGru) c.out[2].shape = Dims{steps, batch, hidden};
}

// Calls from files. Plain cells have one result less.
void check_cell(const CheckCall& c, int plain) {
    const int64_t cell = c.attrs.i(0);
    c.require(c.def.n_out == plain ? cell == kTanh || cell == kRelu : cell == kLstm || cell == kGru,
              "the cell is unknown");
}
void check_sequence(const CheckCall& c) {
    check_cell(c, 1);
    const int64_t cell = c.attrs.i(0), gates = gates_of(cell);
    const size_t h0 = cell == kGru ? 3 : 2;
    const size_t count = h0 + (c.attrs.b(2) ? cell == kLstm ? 2 : 1 : 0);
    c.operands(count, count);
    c.tensors(0, count);
    c.one_dtype(0, count);
    c.require(c.dtype(0) == DType::kF32 || c.dtype(0) == DType::kF64, "the dtype is no float");
    c.require(c.rank(0) == 3 && c.rank(1) == 2, "input or weight have the wrong rank");
    const int64_t batch = c.shape(0)[1], hidden = c.shape(1)[1];
    c.require(c.shape(1)[0] == gates * hidden && c.shape(0)[2] == gates * hidden,
              "input and weight do not fit");
    if (cell == kGru) c.require(c.shape(2) == Dims{hidden}, "the bias does not fit");
    for (size_t i = h0; i < count; ++i)
        c.require(c.shape(i) == Dims{batch, hidden}, "an initial state does not fit");
}

// in: weight, [gates], h or c, [GRU: candidate], [dh], [dc]; attributes 3, 4: which are given.
void infer_sequence_grad(InferCall& c) {
    const int64_t cell = c.attrs.i(0), gates = gates_of(cell);
    const Dims states = c.in[gates > 1 ? 2 : 1]->shape;
    c.out[0].shape = Dims{states[0] - 1, states[1], gates * states[2]};
    c.out[1].shape = Dims{states[1], states[2]};
    if (cell == kLstm) c.out[2].shape = c.out[1].shape;
    if (cell == kGru) c.out[2].shape = Dims{states[0] - 1, states[1], states[2]};
    for (Meta& m : c.out) m.dtype = c.in[0]->dtype;
}

void check_sequence_grad(const CheckCall& c) {
    check_cell(c, 2);
    const int64_t cell = c.attrs.i(0), gates = gates_of(cell);
    const size_t at = gates > 1 ? 2 : 1, dh = at + (cell == kGru ? 2 : 1);
    const size_t count = dh + c.attrs.b(3) + c.attrs.b(4);
    c.operands(count, count);
    c.tensors(0, count);
    c.one_dtype(0, count);
    c.require(c.dtype(0) == DType::kF32 || c.dtype(0) == DType::kF64, "the dtype is no float");
    c.require(!c.attrs.b(4) || cell == kLstm, "only an LSTM has cells");
    c.require(c.rank(0) == 2 && c.rank(at) == 3, "weight or states have the wrong rank");
    const Dims& states = c.shape(at);
    const int64_t steps = states[0] - 1, batch = states[1], hidden = states[2];
    c.require(steps >= 0 && c.shape(0) == Dims{gates * hidden, hidden}, "the weight does not fit");
    if (gates > 1)
        c.require(c.shape(1) == Dims{steps, batch, gates * hidden}, "the gates do not fit");
    if (cell == kGru)
        c.require(c.shape(3) == Dims{steps, batch, hidden}, "the candidates do not fit");
    for (size_t i = dh; i < count; ++i) c.require(c.shape(i) == states, "a gradient does not fit");
}

// One product with the recurrent weight per step.
double sequence_work(const WorkCall& c) {
    const Dims &x = c.in[0]->shape, &weight = c.in[1]->shape;
    return static_cast<double>(numel(x)) * static_cast<double>(weight[1]);
}
double sequence_grad_work(const WorkCall& c) {
    return static_cast<double>(numel(c.out.shape)) * static_cast<double>(c.in[0]->shape[1]);
}

Tensor turned(const Tensor& x) { return transpose(x, -1, -2); }
Tensor as_rows(const Tensor& x) {
    const int64_t shape[] = {x.size(0) * x.size(1), x.size(2)};
    return reshape(x, shape);
}
Tensor at(const Tensor& sequence, int64_t step) {
    const int64_t first[] = {0};
    return squeeze(narrow(sequence, 0, step, 1), first);
}
Tensor gate(const Tensor& x, int64_t q, int64_t hidden) {
    return narrow(x, x.rank() - 1, q * hidden, hidden);
}
Tensor plus(const Tensor& a, const Tensor& b) { return !a ? b : !b ? a : a + b; }

// What the gradient rules of every cell know.
struct Sequence {
    int64_t cell, steps, batch, hidden;
    bool reverse, initial;
    int states;  // which result holds h

    Sequence(const AttrView& attrs, const Meta& h) {
        cell = attrs.i(0);
        reverse = attrs.b(1);
        initial = attrs.b(2);
        states = gates_of(cell) > 1 ? 1 : 0;
        steps = h.shape[0] - 1;
        batch = h.shape[1];
        hidden = h.shape[2];
    }
    int64_t before(int64_t t) const { return reverse ? t + 1 : t; }
    int64_t after(int64_t t) const { return reverse ? t : t + 1; }
    int h0() const { return cell == kGru ? 3 : 2; }  // position of the operand
};

// The gradients of the gates' inputs and what follows from them: one product for the weight.
struct Gradients {
    Tensor gates, h0, c0;
    Tensor candidate;  // GRU: of the recurrent part of the candidate
};

void set_gradients(const Sequence& s, GradCall& c, const Tensor& states, const Gradients& g) {
    if (c.needs(0)) c.set(0, g.gates);
    if (c.needs(1)) {
        const Tensor h = as_rows(narrow(states, 0, s.reverse ? 1 : 0, s.steps)),
                     d = as_rows(g.gates);
        if (s.cell == kGru) {
            const Tensor parts[] = {matmul(turned(narrow(d, 1, 0, 2 * s.hidden)), h),
                                    matmul(turned(as_rows(g.candidate)), h)};
            c.set(1, concat(parts, 0));
        } else {
            c.set(1, matmul(turned(d), h));
        }
    }
    if (s.cell == kGru && c.needs(2)) {
        const int64_t rows[] = {0, 1};
        c.set(2, sum(g.candidate, rows, false));
    }
    if (!s.initial) return;
    if (c.needs(s.h0())) c.set(s.h0(), g.h0);
    if (s.cell == kLstm && c.needs(s.h0() + 1)) c.set(s.h0() + 1, g.c0);
}

// What a gradient is computed from: saved values, and what has arrived.
struct Saved {
    Tensor weight, gates, h, cells, candidates;  // as far as the cell has them
    Tensor d_gates, d_h, d_cells, d_candidates;  // may be empty
};

// By the kernel. Only gradients of gradients arrive at gates and candidates; it does not know them.
Gradients run_grad(const Sequence& s, const Saved& v) {
    static const OpId ids[] = {find_op("rnn_sequence_grad"), find_op("rnn_sequence_grad"),
                               find_op("lstm_sequence_grad"), find_op("gru_sequence_grad")};
    std::vector<Tensor> in{v.weight};
    if (s.states == 1) in.push_back(v.gates);
    in.push_back(s.cell == kLstm ? v.cells : v.h);
    if (s.cell == kGru) in.push_back(v.candidates);
    if (v.d_h) in.push_back(v.d_h);
    if (v.d_cells) in.push_back(v.d_cells);
    Tensor out[3];
    const size_t n_out = s.states == 1 ? 3 : 2;
    record(ids[s.cell], in,
           Attrs().i(s.cell).b(s.reverse).b(s.initial).b(given(v.d_h)).b(given(v.d_cells)),
           std::span<Tensor>(out, n_out));
    return {out[0], out[1], s.cell == kLstm ? out[2] : Tensor(),
            s.cell == kGru ? out[2] : Tensor()};
}

// With ordinary ops, which have gradients themselves, and with what has arrived at gates and
// candidates.
Gradients write_grad(const Sequence& s, const Saved& v) {
    const Tensor& weight = v.weight;
    const Tensor& states = s.cell == kLstm ? v.cells : v.h;
    const int64_t n = s.hidden;
    const auto arrived = [](const Tensor& d, int64_t slot) { return d ? at(d, slot) : Tensor(); };
    std::vector<Tensor> gates(s.steps), candidates(s.steps);
    Tensor dh, dc;
    for (int64_t i = 0; i < s.steps; ++i) {
        const int64_t t = s.reverse ? i : s.steps - 1 - i;
        dh = plus(dh, arrived(v.d_h, s.after(t)));
        if (!dh) dh = zeros_like(at(states, 0));
        if (s.cell == kTanh || s.cell == kRelu) {
            const Tensor y = at(v.h, s.after(t));
            gates[t] = s.cell == kTanh ? dh * (1.0 - y * y) : where(greater(y, 0.0), dh, 0.0);
            dh = matmul(gates[t], weight);
            continue;
        }
        const Tensor p = at(v.gates, t), from_gates = arrived(v.d_gates, t);
        const auto into = [&](int64_t q, const Tensor& d) {
            return from_gates ? d + gate(from_gates, q, n) : d;
        };
        const auto sigmoid_part = [&](int64_t q, const Tensor& d) {
            const Tensor y = gate(p, q, n);
            return into(q, d) * (y * (1.0 - y));
        };
        const auto tanh_part = [&](int64_t q, const Tensor& d) {
            const Tensor y = gate(p, q, n);
            return into(q, d) * (1.0 - y * y);
        };
        if (s.cell == kLstm) {
            const Tensor u = tanh(at(states, s.after(t)));
            dc = plus(plus(dc, arrived(v.d_cells, s.after(t))), dh * gate(p, 3, n) * (1.0 - u * u));
            const Tensor parts[] = {sigmoid_part(0, dc * gate(p, 2, n)),
                                    sigmoid_part(1, dc * at(states, s.before(t))),
                                    tanh_part(2, dc * gate(p, 0, n)), sigmoid_part(3, dh * u)};
            gates[t] = concat(parts, -1);
            dc = dc * gate(p, 1, n);
            dh = matmul(gates[t], weight);
        } else {
            const Tensor candidate = at(v.candidates, t), z = gate(p, 1, n);
            const Tensor d_n = tanh_part(2, dh * (1.0 - z));
            const Tensor d_z = sigmoid_part(1, dh * (at(v.h, s.before(t)) - gate(p, 2, n)));
            const Tensor d_r = sigmoid_part(0, d_n * candidate);
            candidates[t] = plus(d_n * gate(p, 0, n), arrived(v.d_candidates, t));
            const Tensor own[] = {d_r, d_z, d_n}, recurrent[] = {d_r, d_z, candidates[t]};
            gates[t] = concat(own, -1);
            dh = dh * z + matmul(concat(recurrent, -1), weight);
        }
    }
    const int64_t first = s.reverse ? s.steps : 0;
    dh = plus(dh, arrived(v.d_h, first));
    if (s.cell == kLstm) dc = plus(dc, arrived(v.d_cells, first));
    return {stack(gates, 0), dh, dc, s.cell == kGru ? stack(candidates, 0) : Tensor()};
}

void grad_sequence(GradCall& c) {
    const Sequence s(c.attrs, c.out_meta(gates_of(c.attrs.i(0)) > 1 ? 1 : 0));
    const auto arrived = [&](int k) { return c.has_grad(k) ? c.grad(k) : Tensor(); };
    Saved v;
    v.weight = c.in(1);
    v.h = c.out(s.states);
    v.d_h = arrived(s.states);
    if (s.states == 1) {
        v.gates = c.out(0);
        v.d_gates = arrived(0);
        (s.cell == kLstm ? v.cells : v.candidates) = c.out(2);
        (s.cell == kLstm ? v.d_cells : v.d_candidates) = arrived(2);
    }
    const bool kernel = !v.d_gates && !v.d_candidates;
    set_gradients(s, c, v.h, kernel ? run_grad(s, v) : write_grad(s, v));
}

void grad_sequence_grad(GradCall& c) {
    const Sequence s(c.attrs, c.in_meta(gates_of(c.attrs.i(0)) > 1 ? 2 : 1));
    const bool h_arrived = c.attrs.b(3), cells_arrived = c.attrs.b(4);
    const int reads[] = {0, 1, 2, 3, 4, 5};
    const auto compose = [&](std::span<const Tensor> in) -> std::vector<Tensor> {
        size_t next = 0;
        Saved v;
        v.weight = in[next++];
        if (s.states == 1) v.gates = in[next++];
        (s.cell == kLstm ? v.cells : v.h) = in[next++];
        if (s.cell == kGru) v.candidates = in[next++];
        if (h_arrived) v.d_h = in[next++];
        if (cells_arrived) v.d_cells = in[next++];
        const Gradients made = write_grad(s, v);
        return {made.gates, made.h0, s.cell == kLstm ? made.c0 : made.candidate};
    };
    grad_composed(c, std::span(reads).first(c.n_in()), compose);
}

// Sequences of all examples are one batch of sequences: (steps, batch, n), states (batch, n). A
// weight of each example's own has no such form. Operands [from, to) are weights.
bool batch_states(BatchCall& c, size_t from, size_t to) {
    const auto batch = [](size_t, int rank) { return rank - 2; };
    return batch_joined(
        c, [&](size_t i, int rank) { return i >= from && i < to ? -1 : batch(i, rank); }, batch);
}
bool batch_sequence(BatchCall& c) { return batch_states(c, 1, c.attrs.i(0) == kGru ? 3 : 2); }
bool batch_sequence_grad(BatchCall& c) { return batch_states(c, 0, 1); }

// ---- arguments ----------------------------------------------------------------------------------

struct Layer {
    const char* op;
    int64_t cell;
    DType dtype;  // of the results
    RecurrentWeights w;
    Tensor x, h0, c0, lengths;
    int64_t hidden;
};

void check_shape(const char* op, const char* what, const Tensor& t, const Dims& wanted,
                 const char* form) {
    if (!t || t.shape() == wanted) return;
    fail(ErrorKind::kShape, op,
         "%s has shape %s; %s %s is required; check the input's size, the layer's and the batch",
         what, format_shape(t.shape()).c_str(), form, format_shape(wanted).c_str());
}

// Checks everything and brings it to the dtype in which the layer computes.
Layer make_layer(const char* op, int64_t cell, const Tensor& x, const RecurrentWeights& w,
                 const Tensor& h0, const Tensor& c0, const Tensor& lengths, bool reverse) {
    const int64_t gates = gates_of(cell);
    if (x.rank() != 3 || w.ih.rank() != 2 || w.hh.rank() != 2) {
        fail(ErrorKind::kShape, op,
             "x has shape %s, weight_ih %s and weight_hh %s; required are (steps, batch, input), "
             "(%lld * hidden, input) and (%lld * hidden, hidden)",
             format_shape(x.shape()).c_str(), format_shape(w.ih.shape()).c_str(),
             format_shape(w.hh.shape()).c_str(), ll(gates), ll(gates));
    }
    if (x.size(0) == 0) {
        fail(ErrorKind::kShape, op,
             "x has shape %s, no step; one step at least is required; leave such sequences out",
             format_shape(x.shape()).c_str());
    }
    const int64_t rows = w.hh.size(0), hidden = rows / gates;
    const int64_t state = w.hr ? w.hr.size(0) : hidden;
    const Dims bias{rows};
    check_shape(op, "weight_hh", w.hh, Dims{gates * hidden, state}, "(gates * hidden, hidden)");
    check_shape(op, "weight_ih", w.ih, Dims{rows, x.size(2)}, "(gates * hidden, input)");
    check_shape(op, "weight_hr", w.hr, Dims{state, hidden}, "(projected, hidden)");
    check_shape(op, "bias_ih", w.bias_ih, bias, "(gates * hidden,)");
    check_shape(op, "bias_hh", w.bias_hh, bias, "(gates * hidden,)");
    check_shape(op, "h0", h0, Dims{x.size(1), state}, "(batch, hidden)");
    check_shape(op, "c0", c0, Dims{x.size(1), hidden}, "(batch, hidden)");
    check_shape(op, "lengths", lengths, Dims{x.size(1)}, "(batch,)");
    if (lengths && (reverse || !is_int(lengths.dtype()))) {
        fail(
            ErrorKind::kValue, op,
            "lengths of dtype %s are given with reverse=%s; they must be integers, and count steps "
            "from the first; turn the sequences round instead of the direction",
            dtype_name(lengths.dtype()), reverse ? "True" : "False");
    }
    DType dtype = promote(promote(x.dtype(), w.ih.dtype()), w.hh.dtype());
    require_float(op, "x", dtype);
    const DType compute = compute_dtype(dtype);
    const auto ready = [&](const Tensor& t) { return t ? cast(t, compute) : t; };
    return {op,        cell,
            dtype,     {ready(w.ih), ready(w.hh), ready(w.bias_ih), ready(w.bias_hh), ready(w.hr)},
            ready(x),  ready(h0),
            ready(c0), lengths,
            hidden};
}

// The part of the gates that comes from x, and of the biases all that may be added to it.
Tensor input_part(const Layer& l) {
    Tensor bias = l.w.bias_hh;
    if (l.cell == kGru && bias) {
        // The candidate's recurrent bias is multiplied by the reset gate and stays outside.
        const Tensor parts[] = {narrow(bias, 0, 0, 2 * l.hidden),
                                zeros_like(narrow(bias, 0, 2 * l.hidden, l.hidden))};
        bias = concat(parts, 0);
    }
    return linear(l.x, l.w.ih, plus(l.w.bias_ih, bias));
}

// The state of each sequence in its own slot of (slots, batch, size).
Tensor at_lengths(const Tensor& states, const Tensor& lengths, int64_t shift) {
    const int64_t one[] = {1, states.size(1), 1}, all[] = {1, states.size(1), states.size(2)};
    const Tensor slots = expand(reshape(lengths - shift, one), all);
    const int64_t first[] = {0};
    return squeeze(take_along_axis(states, slots, 0), first);
}

// input: what x adds to the gates.
RecurrentResult run_layer(const Layer& l, const Tensor& input, bool reverse) {
    static const OpId ids[] = {find_op("rnn_sequence"), find_op("rnn_sequence"),
                               find_op("lstm_sequence"), find_op("gru_sequence")};
    const int64_t steps = l.x.size(0), batch = l.x.size(1);
    const bool initial = l.h0 || l.c0;
    const int64_t shape[] = {batch, l.hidden};
    const auto or_zeros = [&](const Tensor& t) {
        return t ? t : full(shape, Tensor(0.0), l.x.dtype(), l.x.device());
    };
    std::vector<Tensor> in{input, l.w.hh};
    if (l.cell == kGru) {
        const int64_t size[] = {l.hidden};
        in.push_back(l.w.bias_hh ? narrow(l.w.bias_hh, 0, 2 * l.hidden, l.hidden)
                                 : full(size, Tensor(0.0), l.x.dtype(), l.x.device()));
    }
    if (initial) in.push_back(or_zeros(l.h0));
    if (initial && l.cell == kLstm) in.push_back(or_zeros(l.c0));
    Tensor out[3];
    const bool gated = gates_of(l.cell) > 1;
    record(ids[l.cell], in, Attrs().i(l.cell).b(reverse).b(initial),
           std::span<Tensor>(out, gated ? 3 : 1));
    const Tensor& h = out[gated ? 1 : 0];
    const int64_t last = reverse ? 0 : steps;
    RecurrentResult result{narrow(h, 0, reverse ? 0 : 1, steps), at(h, last), {}};
    if (l.cell == kLstm) result.c = at(out[2], last);
    if (l.lengths) {
        result.h = at_lengths(h, l.lengths, 0);
        if (l.cell == kLstm) result.c = at_lengths(out[2], l.lengths, 0);
    }
    return result;
}

// Units up to which a projected LSTM runs with the product of its two weights: beyond, that product
// does not stay in cache. Part of the numerics.
constexpr int64_t kJoinedUnits = 768;

// The state of a projected LSTM is h = R y with what the cell gives out, so its gates see W h =
// (W R) y: an ordinary layer with the weight W R, whose outputs are projected all at once.
RecurrentResult run_joined(const Layer& l, bool reverse) {
    const int64_t steps = l.x.size(0);
    Tensor input = input_part(l);
    if (l.h0) {  // a given state is no R y: it enters the first step's gates by itself
        const int64_t first = reverse ? steps - 1 : 0;
        const Tensor own = narrow(input, 0, first, 1) + unsqueeze(linear(l.h0, l.w.hh, {}), 0);
        const Tensor rest = narrow(input, 0, reverse ? 0 : 1, steps - 1);
        const Tensor parts[] = {reverse ? rest : own, reverse ? own : rest};
        input = steps == 1 ? own : concat(parts, 0);
    }
    Layer joined = l;
    joined.w.hh = matmul(l.w.hh, l.w.hr);
    joined.w.hr = joined.h0 = {};
    RecurrentResult r = run_layer(joined, input, reverse);
    r.y = linear(r.y, l.w.hr, {});
    r.h = linear(r.h, l.w.hr, {});
    if (l.lengths && l.h0)
        r.h = where(unsqueeze(equal(l.lengths, Tensor(int64_t{0})), -1), l.h0, r.h);
    return r;
}

// An LSTM whose state is projected to fewer numbers; when it is large, by ordinary ops, step by
// step.
RecurrentResult run_projected(const Layer& l, bool reverse) {
    if (l.hidden <= kJoinedUnits) return run_joined(l, reverse);
    const int64_t steps = l.x.size(0), n = l.hidden;
    const Tensor input = input_part(l), weight = turned(l.w.hh), project = turned(l.w.hr);
    const int64_t h_shape[] = {l.x.size(1), l.w.hr.size(0)}, c_shape[] = {l.x.size(1), n};
    const auto zeros = [&](DimSpan shape) {
        return full(shape, Tensor(0.0), l.x.dtype(), l.x.device());
    };
    Tensor h = l.h0 ? l.h0 : zeros(h_shape), c = l.c0 ? l.c0 : zeros(c_shape);
    std::vector<Tensor> y(steps), cells(steps);
    for (int64_t i = 0; i < steps; ++i) {
        const int64_t t = reverse ? steps - 1 - i : i;
        const Tensor p = at(input, t) + matmul(h, weight);
        c = sigmoid(gate(p, 1, n)) * c + sigmoid(gate(p, 0, n)) * tanh(gate(p, 2, n));
        h = matmul(sigmoid(gate(p, 3, n)) * tanh(c), project);
        y[t] = h;
        cells[t] = c;
    }
    const Tensor states = stack(y, 0);
    if (!l.lengths) return {states, h, c};
    const auto after_first = [&](const Tensor& all, const Tensor& start) {
        const Tensor parts[] = {unsqueeze(start, 0), all};
        return at_lengths(concat(parts, 0), l.lengths, 0);
    };
    return {states, after_first(states, l.h0 ? l.h0 : zeros(h_shape)),
            after_first(stack(cells, 0), l.c0 ? l.c0 : zeros(c_shape))};
}

RecurrentResult rounded(RecurrentResult r, DType dtype) {
    return {cast(r.y, dtype), cast(r.h, dtype), r.c ? cast(r.c, dtype) : r.c};
}

}  // namespace

RecurrentResult rnn_sequence(const Tensor& x, const RecurrentWeights& weights, const Tensor& h0,
                             std::string_view nonlinearity, bool reverse, const Tensor& lengths) {
    if (nonlinearity != "tanh" && nonlinearity != "relu") {
        fail(ErrorKind::kValue, "rnn_sequence",
             "nonlinearity is '%.*s'; it must be 'tanh' or 'relu'",
             static_cast<int>(nonlinearity.size()), nonlinearity.data());
    }
    const Layer l = make_layer("rnn_sequence", nonlinearity == "tanh" ? kTanh : kRelu, x, weights,
                               h0, {}, lengths, reverse);
    return rounded(run_layer(l, input_part(l), reverse), l.dtype);
}

RecurrentResult lstm_sequence(const Tensor& x, const RecurrentWeights& weights, const Tensor& h0,
                              const Tensor& c0, bool reverse, const Tensor& lengths) {
    const Layer l = make_layer("lstm_sequence", kLstm, x, weights, h0, c0, lengths, reverse);
    return rounded(weights.hr ? run_projected(l, reverse) : run_layer(l, input_part(l), reverse),
                   l.dtype);
}

RecurrentResult gru_sequence(const Tensor& x, const RecurrentWeights& weights, const Tensor& h0,
                             bool reverse, const Tensor& lengths) {
    const Layer l = make_layer("gru_sequence", kGru, x, weights, h0, {}, lengths, reverse);
    return rounded(run_layer(l, input_part(l), reverse), l.dtype);
}

namespace {

Results pair(const RecurrentResult& r) { return {r.y, r.h}; }

}  // namespace

void register_recurrent_ops() {
    register_op({.name = "rnn_sequence",
                 .n_in = -1,
                 .n_out = 1,
                 .schema = SN_RECURRENT_SCHEMA,
                 .doc = "A layer of plain recurrent cells over all steps.",
                 .infer = infer_sequence,
                 .grad = grad_sequence,
                 .saves = save_in(1) | save_out(0),
                 .batch = batch_sequence,
                 .check = check_sequence,
                 .work = sequence_work});
    register_op({.name = "lstm_sequence",
                 .n_in = -1,
                 .n_out = 3,
                 .schema = SN_RECURRENT_SCHEMA,
                 .doc = "A layer of LSTM cells over all steps: gates, states, cells.",
                 .infer = infer_sequence,
                 .grad = grad_sequence,
                 .saves = save_in(1) | save_out(0) | save_out(1) | save_out(2),
                 .batch = batch_sequence,
                 .check = check_sequence,
                 .work = sequence_work,
                 .inplace_in = 0});
    register_op({.name = "gru_sequence",
                 .n_in = -1,
                 .n_out = 3,
                 .schema = SN_RECURRENT_SCHEMA,
                 .doc = "A layer of GRU cells over all steps: gates, states, candidates.",
                 .infer = infer_sequence,
                 .grad = grad_sequence,
                 .saves = save_in(1) | save_out(0) | save_out(1) | save_out(2),
                 .batch = batch_sequence,
                 .check = check_sequence,
                 .work = sequence_work,
                 .inplace_in = 0});
    constexpr const char* kGradSchema = SN_RECURRENT_SCHEMA " dh:bool dc:bool";
    register_op({.name = "rnn_sequence_grad",
                 .n_in = -1,
                 .n_out = 2,
                 .schema = kGradSchema,
                 .doc = "Gradients of rnn_sequence: of its first input and the initial state.",
                 .infer = infer_sequence_grad,
                 .grad = grad_sequence_grad,
                 .saves = 0x3f,
                 .batch = batch_sequence_grad,
                 .check = check_sequence_grad,
                 .work = sequence_grad_work});
    register_op({.name = "lstm_sequence_grad",
                 .n_in = -1,
                 .n_out = 3,
                 .schema = kGradSchema,
                 .doc = "Gradients of lstm_sequence: of its first input and the initial states.",
                 .infer = infer_sequence_grad,
                 .grad = grad_sequence_grad,
                 .saves = 0x3f,
                 .batch = batch_sequence_grad,
                 .check = check_sequence_grad,
                 .work = sequence_grad_work,
                 .inplace_in = 1});
    register_op({.name = "gru_sequence_grad",
                 .n_in = -1,
                 .n_out = 3,
                 .schema = kGradSchema,
                 .doc = "Gradients of gru_sequence: of its first input, the initial state and the "
                        "recurrent part of the candidate.",
                 .infer = infer_sequence_grad,
                 .grad = grad_sequence_grad,
                 .saves = 0x3f,
                 .batch = batch_sequence_grad,
                 .check = check_sequence_grad,
                 .work = sequence_grad_work,
                 .inplace_in = 1});

    register_function(
        {.signature = "rnn_sequence(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: "
                      "Tensor? = None, bias_hh: Tensor? = None, h0: Tensor? = None, "
                      "nonlinearity: str = \"tanh\", reverse: bool = False, "
                      "lengths: Tensor? = None) -> tuple[Tensor, Tensor]",
         .doc = R"(One layer of plain recurrent cells in one direction over whole sequences:
``h[t] = tanh(weight_ih @ x[t] + bias_ih + weight_hh @ h[t - 1] + bias_hh)`` (Elman, "Finding
structure in time", 1990).

Parameters
----------
x : Tensor
    (steps, batch, input).
weight_ih, weight_hh : Tensor
    (hidden, input) and (hidden, hidden).
bias_ih, bias_hh : Tensor or None
    (hidden,).
h0 : Tensor or None
    (batch, hidden); zeros by default.
nonlinearity : str
    "tanh" or "relu".
reverse : bool
    From the last step to the first; results stand where their inputs do.
lengths : Tensor or None
    (batch,), integers: the last states are those after so many steps. What stands behind them in
    the first result means nothing. Not together with `reverse`.

Returns
-------
tuple of Tensor
    The states of all steps, (steps, batch, hidden), and the last one, (batch, hidden). float16 and
    bfloat16 compute in float32 and round the results once.

Raises
------
ShapeError
    When shapes do not fit or there is no step.

Examples
--------
>>> y, h = sn.rnn_sequence(sn.ones((3, 1, 1)), sn.ones((1, 1)), sn.ones((1, 1)),
...                        nonlinearity="relu")
>>> y.flatten().tolist()
[1.0, 2.0, 3.0]
)",
         .autocast = Autocast::kLower,
         .call_many =
             [](const Args& a) {
                 return pair(rnn_sequence(a.tensor(0),
                                          {a.tensor(1), a.tensor(2), a.tensor(3), a.tensor(4), {}},
                                          a.tensor(5), a.text(6), a.flag(7), a.tensor(8)));
             },
         .method = false});
    register_function(
        {.signature = "lstm_sequence(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: "
                      "Tensor? = None, bias_hh: Tensor? = None, h0: Tensor? = None, c0: Tensor? = "
                      "None, weight_hr: Tensor? = None, reverse: bool = False, lengths: "
                      "Tensor? = None) -> tuple[Tensor, Tensor, Tensor]",
         .doc = R"(One layer of LSTM cells in one direction over whole sequences (Hochreiter and
Schmidhuber, "Long short-term memory", 1997, with the forget gate of Gers et al., 2000).

Parameters
----------
x : Tensor
    (steps, batch, input).
weight_ih, weight_hh : Tensor
    (4 hidden, input) and (4 hidden, hidden): the rows of the gates input, forget, cell, output.
bias_ih, bias_hh : Tensor or None
    (4 hidden,).
h0, c0 : Tensor or None
    (batch, hidden); zeros by default.
weight_hr : Tensor or None
    (projected, hidden): the state is this times what the cell gives out (Sak et al., 2014);
    weight_hh is then (4 hidden, projected). Above 768 units it runs step by step, at the speed of
    separate ops.
reverse : bool
    From the last step to the first; results stand where their inputs do.
lengths : Tensor or None
    (batch,), integers: the last states are those after so many steps. What stands behind them in
    the first result means nothing. Not together with `reverse`.

Returns
-------
tuple of Tensor
    The states of all steps, (steps, batch, hidden), the last one and the last cell, both (batch,
    hidden). float16 and bfloat16 compute in float32 and round the results once.

Raises
------
ShapeError
    When shapes do not fit or there is no step.

Examples
--------
>>> x, w = sn.ones((5, 2, 3)), sn.zeros((16, 3))
>>> y, h, c = sn.lstm_sequence(x, w, sn.zeros((16, 4)))
>>> y.shape, h.shape, c.shape
((5, 2, 4), (2, 4), (2, 4))
)",
         .autocast = Autocast::kLower,
         .call_many = [](const Args& a) -> Results {
             const RecurrentResult r = lstm_sequence(
                 a.tensor(0), {a.tensor(1), a.tensor(2), a.tensor(3), a.tensor(4), a.tensor(7)},
                 a.tensor(5), a.tensor(6), a.flag(8), a.tensor(9));
             return {r.y, r.h, r.c};
         },
         .method = false});
    register_function(
        {.signature = "gru_sequence(x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: "
                      "Tensor? = None, bias_hh: Tensor? = None, h0: Tensor? = None, reverse: bool "
                      "= False, lengths: Tensor? = None) -> tuple[Tensor, Tensor]",
         .doc = R"(One layer of GRU cells in one direction over whole sequences (Cho et al.,
"Learning phrase representations using RNN encoder-decoder", 2014; the reset gate is applied after
the product, as in PyTorch and cuDNN).

Parameters
----------
x : Tensor
    (steps, batch, input).
weight_ih, weight_hh : Tensor
    (3 hidden, input) and (3 hidden, hidden): the rows of reset gate, update gate and candidate.
bias_ih, bias_hh : Tensor or None
    (3 hidden,).
h0 : Tensor or None
    (batch, hidden); zeros by default.
reverse : bool
    From the last step to the first; results stand where their inputs do.
lengths : Tensor or None
    (batch,), integers: the last states are those after so many steps. What stands behind them in
    the first result means nothing. Not together with `reverse`.

Returns
-------
tuple of Tensor
    The states of all steps, (steps, batch, hidden), and the last one, (batch, hidden). float16 and
    bfloat16 compute in float32 and round the results once.

Raises
------
ShapeError
    When shapes do not fit or there is no step.

Examples
--------
>>> y, h = sn.gru_sequence(sn.ones((5, 2, 3)), sn.zeros((12, 3)), sn.zeros((12, 4)))
>>> y.shape, h.shape
((5, 2, 4), (2, 4))
)",
         .autocast = Autocast::kLower,
         .call_many =
             [](const Args& a) {
                 return pair(gru_sequence(a.tensor(0),
                                          {a.tensor(1), a.tensor(2), a.tensor(3), a.tensor(4), {}},
                                          a.tensor(5), a.flag(6), a.tensor(7)));
             },
         .method = false});
}

}  // namespace sn
