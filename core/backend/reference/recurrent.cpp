// Recurrent layers: one number at a time, in the order of time.
#include <algorithm>

#include "backend/reference/chain.h"
#include "op/recurrent_cell.h"

namespace sn::reference {
namespace {

enum Cell : int64_t { kTanh, kRelu, kLstm, kGru };

struct Sequence {
    int64_t cell, gates, steps, batch, hidden;
    bool reverse, initial;

    Sequence(const int64_t* attrs, const TensorView& per_step, const TensorView& weight)
        : cell(attrs[0]),
          gates(attrs[0] == kLstm  ? 4
                : attrs[0] == kGru ? 3
                                   : 1),
          steps(per_step.shape[0]),
          batch(per_step.shape[1]),
          hidden(weight.shape[1]),
          reverse(attrs[1] != 0),
          initial(attrs[2] != 0) {}
    int64_t step(int64_t i) const { return reverse ? steps - 1 - i : i; }
    // Position of a state: the one before and the one after a step.
    int64_t before(int64_t t, int64_t row) const {
        return ((reverse ? t + 1 : t) * batch + row) * hidden;
    }
    int64_t after(int64_t t, int64_t row) const {
        return ((reverse ? t : t + 1) * batch + row) * hidden;
    }
    int64_t state_size() const { return (steps + 1) * batch * hidden; }
};

// in: gates' input, weight, [GRU: bias of the candidate], [h0, [LSTM: c0]]; out: [gates], h,
// [c or candidate].
template <class T>
void forward(const KernelCall& call) {
    const Sequence s(call.attrs, call.in[0], call.in[1]);
    const int64_t n = s.hidden, G = s.gates;
    const std::vector<T> input = read<T>(call.in[0]), weight = read<T>(call.in[1]);
    int next = 2;
    const std::vector<T> bias = s.cell == kGru ? read<T>(call.in[next++]) : std::vector<T>();
    std::vector<T> gates(input.size()), h(s.state_size()), c(h.size()), candidate;
    candidate.resize(static_cast<size_t>(s.steps * s.batch * n));
    if (s.initial) {
        const int64_t start = s.before(s.step(0), 0);
        const std::vector<T> h0 = read<T>(call.in[next++]);
        std::copy(h0.begin(), h0.end(), h.begin() + start);
        if (s.cell == kLstm) {
            const std::vector<T> c0 = read<T>(call.in[next]);
            std::copy(c0.begin(), c0.end(), c.begin() + start);
        }
    }
    for (int64_t i = 0; i < s.steps; ++i) {
        const int64_t t = s.step(i);
        for (int64_t e = 0; e < s.batch * n; ++e) {
            const int64_t row = e / n, unit = e % n, at = (t * s.batch + row) * G * n + unit;
            const int64_t from = s.before(t, row), to = s.after(t, row) + unit;
            T p[4], sums[4] = {};
            for (int64_t q = 0; q < G; ++q) {
                p[q] = input[at + q * n];
                if (i == 0 && !s.initial) continue;
                Chain<T> chain(kMatmulSegment);
                for (int64_t k = 0; k < n; ++k)
                    chain.add(k, h[from + k], weight[(q * n + unit) * n + k]);
                sums[q] = chain.finish();
                if (s.cell != kGru || q < 2) p[q] = p[q] + sums[q];
            }
            if (s.cell == kLstm) {
                math::lstm_cell(p, c[from + unit], &c[to], &h[to]);
            } else if (s.cell == kGru) {
                T& recurrent = candidate[(t * s.batch + row) * n + unit];
                recurrent = sums[2] + bias[unit];
                math::gru_cell(p, recurrent, h[from + unit], &h[to]);
            } else {
                h[to] = s.cell == kTanh ? math::tanh(p[0]) : math::relu(p[0]);
            }
            for (int64_t q = 0; q < G; ++q) gates[at + q * n] = p[q];
        }
    }
    if (G == 1) return write(call.out[0], h);
    write(call.out[0], gates);
    write(call.out[1], h);
    write(call.out[2], s.cell == kLstm ? c : candidate);
}

// in: weight, [gates], h or c, [GRU: candidate], [dh], [dc]; out: gradient of the gates' input, of
// h0, [of c0 or of the candidate's recurrent part].
template <class T>
void backward(const KernelCall& call) {
    const Sequence s(call.attrs, call.out[0], call.in[0]);
    const int64_t n = s.hidden, G = s.gates;
    int next = 0;
    const auto take = [&](bool there) {
        return there ? read<T>(call.in[next++]) : std::vector<T>();
    };
    const std::vector<T> weight = take(true), gates = take(G > 1), states = take(true);
    const std::vector<T> candidate = take(s.cell == kGru);
    const std::vector<T> dh = take(call.attrs[3] != 0), dc = take(call.attrs[4] != 0);
    const int64_t plane = s.batch * n;
    std::vector<T> d_gates(s.steps * plane * G), d_candidate(s.steps * plane);
    std::vector<T> dh0(plane), carry(plane);

    // What the step run after t sends back to a unit by the weight.
    const auto sent_back = [&](int64_t t, int64_t row, int64_t unit) {
        Chain<T> chain(kMatmulSegment);
        for (int64_t k = 0; k < G * n; ++k) {
            const bool own = s.cell == kGru && k >= 2 * n;
            const int64_t place = t * s.batch + row;
            chain.add(k, own ? d_candidate[place * n + k - 2 * n] : d_gates[place * G * n + k],
                      weight[k * n + unit]);
        }
        return chain.finish();
    };
    for (int64_t i = 0; i < s.steps; ++i) {
        const int64_t t = s.step(s.steps - 1 - i), later = s.reverse ? t - 1 : t + 1;
        for (int64_t e = 0; e < plane; ++e) {
            const int64_t row = e / n, unit = e % n, at = (t * s.batch + row) * G * n + unit;
            const int64_t from = s.before(t, row) + unit, to = s.after(t, row) + unit;
            T d = dh.empty() ? T(0) : dh[to];
            if (i > 0) d = d + sent_back(later, row, unit);
            T p[4], g[4];
            for (int64_t q = 0; G > 1 && q < G; ++q) p[q] = gates[at + q * n];
            if (s.cell == kLstm) {
                if (!dc.empty()) carry[e] = carry[e] + dc[to];
                math::lstm_cell_grad(p, states[to], states[from], d, &carry[e], g);
            } else if (s.cell == kGru) {
                const int64_t place = (t * s.batch + row) * n + unit;
                math::gru_cell_grad(p, candidate[place], states[from], d + carry[e], g,
                                    &d_candidate[place], &carry[e]);
            } else {
                g[0] = s.cell == kTanh ? math::tanh_cell_grad(states[to], d)
                                       : math::relu_cell_grad(states[to], d);
            }
            for (int64_t q = 0; q < G; ++q) d_gates[at + q * n] = g[q];
        }
    }
    for (int64_t e = 0; s.initial && e < plane; ++e) {
        const int64_t t = s.step(0), slot = s.before(t, e / n) + e % n;
        dh0[e] = (dh.empty() ? T(0) : dh[slot]) + sent_back(t, e / n, e % n);
        if (s.cell == kGru) dh0[e] = dh0[e] + carry[e];
        if (!dc.empty()) carry[e] = carry[e] + dc[slot];
    }
    if (!s.initial) carry.assign(carry.size(), T(0));
    write(call.out[0], d_gates);
    write(call.out[1], dh0);
    if (s.cell == kLstm) write(call.out[2], carry);
    if (s.cell == kGru) write(call.out[2], d_candidate);
}

void rnn(const KernelCall& call) {
    call.in[0].dtype == DType::kF64 ? forward<double>(call) : forward<float>(call);
}
void rnn_grad(const KernelCall& call) {
    call.in[0].dtype == DType::kF64 ? backward<double>(call) : backward<float>(call);
}

}  // namespace

void register_recurrent(KernelTable& table) {
    for (const char* name : {"rnn_sequence", "lstm_sequence", "gru_sequence"}) table.add(name, rnn);
    for (const char* name : {"rnn_sequence_grad", "lstm_sequence_grad", "gru_sequence_grad"})
        table.add(name, rnn_grad);
}

}  // namespace sn::reference
