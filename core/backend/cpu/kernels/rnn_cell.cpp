#include "backend/cpu/kernels/rnn_cell.h"

#include "backend/cpu/simd.h"
#include "op/recurrent_cell.h"

namespace sn::cpu::SN_ISA {

namespace {

// Calls body(unit, load, store) for whole vectors and for the rest, whose unused lanes are zeros.
template <class T, class Body>
SN_INLINE void for_units(int64_t units, Body body) {
    using V = Vec<T>;
    constexpr int64_t L = kLanes<T>;
    int64_t u = 0;
    for (; u + L <= units; u += L)
        body(u, [](const T* p) { return load<V>(p); }, [](T* p, V v) { store(p, v); });
    if (const int64_t n = units - u; n > 0)
        body(
            u, [n](const T* p) { return load_part<V>(p, n); },
            [n](T* p, V v) { store_part(p, v, n); });
}

// Rows lie a power of two apart, where the second-level cache keeps few of them; and a step's are
// new to the first level. So the loops ask for the row after next.
constexpr int64_t kRowsAhead = 2;
template <class T>
SN_INLINE void fetch(const T* row, int64_t units) {
    for (int64_t u = 0; u < units; u += 64 / int64_t(sizeof(T))) __builtin_prefetch(row + u, 1, 3);
}

template <Cell cell, class T>
void forward(const CellForward<T>& f) {
    using V = Vec<T>;
    constexpr int G = int(gates_of(cell));
    for (int64_t r = 0; r < f.rows; ++r) {
        const T* sums = f.sums ? f.sums + r * f.sums_row : nullptr;
        const T* input = f.input + r * G * f.hidden;
        T* gates = f.gates ? f.gates + r * G * f.hidden : nullptr;
        const int64_t at = r * f.hidden;
        if (r + kRowsAhead < f.rows) {
            const int64_t next = kRowsAhead * f.hidden;
            for (int q = 0; q < G; ++q) fetch(input + G * next + q * f.hidden, f.units);
            fetch(f.h + at + next, f.units);
            if constexpr (cell == Cell::kLstm) {
                fetch(f.c_before + at + next, f.units);
                fetch(f.c + at + next, f.units);
            }
            if constexpr (cell == Cell::kGru) {
                fetch(f.h_before + at + next, f.units);
                fetch(f.candidate + at + next, f.units);
            }
        }
        for_units<T>(f.units, [&](int64_t u, auto get, auto put) __attribute__((always_inline)) {
            V p[G], h;
            for (int q = 0; q < G; ++q) p[q] = get(input + q * f.hidden + u);
            if constexpr (cell == Cell::kGru) {
                V candidate{};
                if (sums) {
                    for (int q = 0; q < 2; ++q) p[q] = p[q] + get(sums + q * f.sums_gate + u);
                    candidate = get(sums + 2 * f.sums_gate + u);
                }
                candidate = candidate + get(f.bias + u);
                put(f.candidate + at + u, candidate);
                math::gru_cell(p, candidate, get(f.h_before + at + u), &h);
            } else {
                if (sums)
                    for (int q = 0; q < G; ++q) p[q] = p[q] + get(sums + q * f.sums_gate + u);
                if constexpr (cell == Cell::kLstm) {
                    V c;
                    math::lstm_cell(p, get(f.c_before + at + u), &c, &h);
                    put(f.c + at + u, c);
                } else {
                    h = cell == Cell::kTanh ? math::tanh(p[0]) : math::relu(p[0]);
                }
            }
            if constexpr (G > 1)
                for (int q = 0; q < G; ++q) put(gates + q * f.hidden + u, p[q]);
            put(f.h + at + u, h);
        });
    }
}

template <Cell cell, class T>
void backward(const CellBackward<T>& b) {
    using V = Vec<T>;
    constexpr int G = int(gates_of(cell));
    for (int64_t r = 0; r < b.rows; ++r) {
        const int64_t at = r * b.hidden;
        const T* gates = b.gates + G * at;
        T* d_gates = b.d_gates + G * at;
        if (r + kRowsAhead < b.rows) {
            const int64_t next = kRowsAhead * b.hidden;
            for (int q = 0; q < G; ++q)
                fetch((G > 1 ? gates : d_gates) + G * next + q * b.hidden, b.units);
            if (b.dh) fetch(b.dh + at + next, b.units);
            if constexpr (cell == Cell::kLstm) {
                fetch(b.c + at + next, b.units);
                fetch(b.c_before + at + next, b.units);
                fetch(b.carry + at + next, b.units);
            }
            if constexpr (cell == Cell::kGru) {
                fetch(b.h_before + at + next, b.units);
                fetch(b.candidate + at + next, b.units);
                fetch(b.d_candidate + at + next, b.units);
                fetch(b.carry + at + next, b.units);
            }
        }
        for_units<T>(b.units, [&](int64_t u, auto get, auto put) __attribute__((always_inline)) {
            V dh{}, p[G], d[G];
            if (b.dh) dh = get(b.dh + at + u);
            if (b.sums) dh = dh + get(b.sums + r * b.sums_row + u);
            if constexpr (G > 1)
                for (int q = 0; q < G; ++q) p[q] = get(gates + q * b.hidden + u);
            if constexpr (cell == Cell::kLstm) {
                V dc = get(b.carry + at + u);
                if (b.dc) dc = dc + get(b.dc + at + u);
                math::lstm_cell_grad(p, get(b.c + at + u), get(b.c_before + at + u), dh, &dc, d);
                put(b.carry + at + u, dc);
            } else if constexpr (cell == Cell::kGru) {
                V d_candidate, carry;
                dh = dh + get(b.carry + at + u);
                math::gru_cell_grad(p, get(b.candidate + at + u), get(b.h_before + at + u), dh, d,
                                    &d_candidate, &carry);
                put(b.d_candidate + at + u, d_candidate);
                put(b.carry + at + u, carry);
            } else {
                const V h = get(b.h + at + u);
                d[0] =
                    cell == Cell::kTanh ? math::tanh_cell_grad(h, dh) : math::relu_cell_grad(h, dh);
            }
            for (int q = 0; q < G; ++q) put(d_gates + q * b.hidden + u, d[q]);
        });
    }
}

}  // namespace

#define SN_BY_CELL(function, Args, T)                                \
    void cell_##function(Cell cell, const Args<T>& args) {           \
        switch (cell) {                                              \
            case Cell::kTanh: return function<Cell::kTanh, T>(args); \
            case Cell::kRelu: return function<Cell::kRelu, T>(args); \
            case Cell::kLstm: return function<Cell::kLstm, T>(args); \
            case Cell::kGru: return function<Cell::kGru, T>(args);   \
        }                                                            \
    }
SN_BY_CELL(forward, CellForward, float)
SN_BY_CELL(forward, CellForward, double)
SN_BY_CELL(backward, CellBackward, float)
SN_BY_CELL(backward, CellBackward, double)
#undef SN_BY_CELL

}  // namespace sn::cpu::SN_ISA
