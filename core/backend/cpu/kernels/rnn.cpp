// Recurrent layers over whole sequences (design note 007): the recurrent weight is packed once, and
// each step is a product of the matrix core's register tiles with the cell on top, group of units
// by group of units, while the sums are in the first-level cache.
#include "backend/cpu/gemm.h"
#include "backend/cpu/kernels/gemm_block.h"
#include "backend/cpu/kernels/rnn_cell.h"
#include "backend/cpu/scratch.h"
#include "backend/kernel.h"
#include "engine/pool.h"

namespace sn::cpu::SN_ISA {

const GemmKernels& gemm_kernels();

namespace {

// Packed rows of one part of the batch, at most: half of a 1 MiB second-level cache.
constexpr int64_t kPartBytes = 384 << 10;
// With fewer rows per thread than this, threads share the units of a step instead: a thread that
// reads the whole weight for few rows waits for memory.
constexpr int64_t kFewRows = 8;
// Multiply-adds of a step below which sharing it costs more than it saves.
constexpr int64_t kSharedStep = int64_t{1} << 18;
// Rows times steps up to which packing the weight would cost more than it saves.
constexpr int64_t kFewUses = 16;

template <class T>
constexpr int64_t kTileRows = Tile<T>::rows;
template <class T>
constexpr int64_t kTileCols = Tile<T>::cols;

template <class T>
constexpr DType kDTypeOf = sizeof(T) == 8 ? DType::kF64 : DType::kF32;

// The left operand of every step: `width` numbers per row of the batch, from up to two arrays.
template <class T>
struct Left {
    const T* first;
    int64_t first_row, first_width;
    const T* second = nullptr;
    int64_t second_row = 0, second_width = 0;
    int64_t width() const { return first_width + second_width; }
};

template <class T>
int64_t panel_stride(int64_t width) {
    // The packer writes up to one vector past a panel.
    return (width * kTileRows<T> + Tile<T>::lanes + 15) / 16 * 16;
}

template <class T>
void pack_left(const Left<T>& left, int64_t rows, T* packed) {
    constexpr int MR = Tile<T>::rows;
    const PackSource<T> first{left.first, kDTypeOf<T>, left.first_row, 1};
    const PackSource<T> second{left.second, kDTypeOf<T>, left.second_row, 1};
    for (int64_t i = 0; i < rows; i += MR) {
        const int64_t valid = least(MR, rows - i);
        pack_panel<T, MR>(first, i, valid, 0, left.first_width, packed);
        if (left.second)
            pack_panel<T, MR>(second, i, valid, 0, left.second_width,
                              packed + left.first_width * MR);
        packed += panel_stride<T>(left.width());
    }
}

// A panel of sums: rows [0, rows) of the packed left operand times one packed panel of the weight.
template <class T>
void multiply(const T* left, int64_t rows, int64_t k, const T* panel, int64_t cols, T* sums,
              int64_t ld, const T* next_panel) {
    constexpr int64_t MR = kTileRows<T>, NR = kTileCols<T>;
    const int64_t stride = panel_stride<T>(k);
    for (int64_t k0 = 0; k0 < k; k0 += kSegment) {
        const AView<T> a{left + k0 * MR, false, MR, stride};
        for (int64_t i = 0; i < rows; i += MR) {
            // The first rows fetch the next panel from the last-level cache on their way.
            const int64_t terms = least(kSegment, k - k0);
            Ahead ahead{reinterpret_cast<const char*>(sums), 0, 0, 0};
            if (i == 0)
                ahead = {reinterpret_cast<const char*>(next_panel + k0 * NR),
                         NR * int64_t(sizeof(T)), 0, terms};
            run_tile(least(MR, rows - i), cols, terms, a, a.data + i / MR * stride, panel + k0 * NR,
                     NR, sums + i * ld, ld, k0 == 0 ? Carry::kStore : Carry::kAdd, ahead);
        }
    }
}

// Asks a block of what a cell will read or write into the second-level cache: it comes from memory,
// in pieces too short for the hardware to see, and there is a product's time for it to arrive.
template <class T>
void fetch(const T* block, int64_t row_stride, int64_t rows, int64_t units) {
    if (!block) return;
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t u = 0; u < units; u += 64 / int64_t(sizeof(T)))
            __builtin_prefetch(block + r * row_stride + u, 0, 2);
}

// One call of an op: what both directions of time share. A pass adds:
//   k(), width()           terms of a step's product, panels of the weight per group of units
//   left(i, row), pack(group, panels), right(), columns()      its operands, packed or not
//   steps_run(), multiplies(i), cell(i, ...), fetch_block(i, ...)     what step i does
template <class T>
struct Layer {
    Cell cell_kind;
    bool reverse, initial;
    int64_t steps, batch, hidden, gates;
    int64_t before(int64_t t) const { return reverse ? t + 1 : t; }  // slot of the state before t
    int64_t after(int64_t t) const { return reverse ? t : t + 1; }
    int64_t plane() const { return batch * hidden; }
    int64_t groups() const { return ceil_div(hidden, kTileCols<T>); }
};

template <class T>
struct Forward : Layer<T> {
    const T *input, *weight, *bias;
    T *gate_out, *h, *c, *candidate;

    int64_t k() const { return this->hidden; }
    int64_t width() const { return this->gates; }  // panels of a group of units
    int64_t step(int64_t i) const { return this->reverse ? this->steps - 1 - i : i; }
    int64_t steps_run() const { return this->steps; }
    bool multiplies(int64_t i) const { return i > 0 || this->initial; }
    Left<T> left(int64_t i, int64_t row) const {
        const int64_t hidden = this->hidden;
        return {h + this->before(step(i)) * this->plane() + row * hidden, hidden, hidden};
    }
    void pack(int64_t group, T* panels) const {
        constexpr int NR = Tile<T>::cols;
        const PackSource<T> rows{weight, kDTypeOf<T>, this->hidden, 1};
        for (int64_t q = 0; q < this->gates; ++q)
            pack_panel<T, NR>(rows, q * this->hidden + group * NR,
                              least(NR, this->hidden - group * NR), 0, k(), panels + q * k() * NR);
    }
    GemmOperand right() const { return {weight, kDTypeOf<T>, 1, this->hidden}; }
    int64_t columns() const { return this->gates * this->hidden; }
    void fetch_block(int64_t i, int64_t row, int64_t rows, int64_t unit, int64_t units) const {
        const int64_t t = step(i), hidden = this->hidden, gates = this->gates;
        const int64_t gate = (t * this->batch + row) * gates * hidden + unit;
        const int64_t to = this->after(t) * this->plane() + row * hidden + unit;
        for (int64_t q = 0; q < gates; ++q)
            fetch(input + gate + q * hidden, gates * hidden, rows, units);
        fetch(h + to, hidden, rows, units);
        fetch(c ? c + to : nullptr, hidden, rows, units);
    }
    void cell(int64_t i, int64_t row, int64_t rows, int64_t unit, int64_t units, const T* sums,
              int64_t sums_row, int64_t sums_gate) const {
        const int64_t t = step(i), state = row * this->hidden + unit;
        const int64_t gate = (t * this->batch + row) * this->gates * this->hidden + unit;
        const int64_t from = this->before(t) * this->plane() + state;
        const int64_t to = this->after(t) * this->plane() + state;
        CellForward<T> f{};
        f.rows = rows, f.units = units, f.hidden = this->hidden;
        f.sums = sums, f.sums_row = sums_row, f.sums_gate = sums_gate;
        f.input = input + gate;
        if (gate_out) f.gates = gate_out + gate;
        f.h_before = h + from, f.h = h + to;
        if (c) f.c_before = c + from, f.c = c + to;
        if (bias) f.bias = bias + unit, f.candidate = candidate + t * this->plane() + state;
        cell_forward(this->cell_kind, f);
    }
};

template <class T>
struct Backward : Layer<T> {
    const T *weight, *gates_in, *h, *c, *candidate, *dh, *dc;
    T *d_gates, *d_candidate, *dh0, *carry;

    int64_t k() const { return this->gates * this->hidden; }
    int64_t width() const { return 1; }
    int64_t step(int64_t i) const { return this->reverse ? i : this->steps - 1 - i; }
    // The gradient of the initial state is one more product.
    int64_t steps_run() const { return this->steps + (this->initial ? 1 : 0); }
    bool multiplies(int64_t i) const { return i > 0; }
    Left<T> left(int64_t i, int64_t row) const {
        const int64_t t = step(i - 1), at = (t * this->batch + row) * k();
        if (!d_candidate) return {d_gates + at, k(), k()};
        const int64_t hidden = this->hidden;
        return {d_gates + at, k(),   2 * hidden, d_candidate + t * this->plane() + row * hidden,
                hidden,       hidden};
    }
    void pack(int64_t group, T* panel) const {
        constexpr int NR = Tile<T>::cols;
        pack_panel<T, NR>({weight, kDTypeOf<T>, 1, this->hidden}, group * NR,
                          least(NR, this->hidden - group * NR), 0, k(), panel);
    }
    GemmOperand right() const { return {weight, kDTypeOf<T>, this->hidden, 1}; }
    int64_t columns() const { return this->hidden; }
    void fetch_block(int64_t i, int64_t row, int64_t rows, int64_t unit, int64_t units) const {
        if (i == this->steps) return;
        const int64_t t = step(i), hidden = this->hidden, gates = this->gates;
        const int64_t state = row * hidden + unit;
        const int64_t from = this->before(t) * this->plane() + state;
        const int64_t to = this->after(t) * this->plane() + state;
        const T* first = gates_in ? gates_in : d_gates;
        for (int64_t q = 0; q < gates; ++q)
            fetch(first + ((t * this->batch + row) * gates + q) * hidden + unit, gates * hidden,
                  rows, units);
        fetch(h ? h + from : nullptr, hidden, rows, units);
        fetch(c ? c + from : nullptr, hidden, rows, units);
        fetch(candidate ? candidate + t * this->plane() + state : nullptr, hidden, rows, units);
        fetch(dh ? dh + to : nullptr, hidden, rows, units);
    }
    void cell(int64_t i, int64_t row, int64_t rows, int64_t unit, int64_t units, const T* sums,
              int64_t sums_row, int64_t) const {
        const int64_t state = row * this->hidden + unit;
        if (i == this->steps) return finish(row, rows, unit, units, sums, sums_row);
        const int64_t t = step(i), plane = this->plane();
        const int64_t gate = (t * this->batch + row) * k() + unit;
        const int64_t from = this->before(t) * plane + state, to = this->after(t) * plane + state;
        CellBackward<T> b{};
        b.rows = rows, b.units = units, b.hidden = this->hidden;
        b.sums = sums, b.sums_row = sums_row;
        if (gates_in) b.gates = gates_in + gate;
        b.d_gates = d_gates + gate;
        if (h) b.h = h + to, b.h_before = h + from;
        if (c) b.c = c + to, b.c_before = c + from;
        if (d_candidate) {
            b.candidate = candidate + t * plane + state;
            b.d_candidate = d_candidate + t * plane + state;
        }
        if (dh) b.dh = dh + to;
        if (dc) b.dc = dc + to;
        if (carry) b.carry = carry + state;
        cell_backward(this->cell_kind, b);
    }
    // The initial state got gradients by the gates (sums), past them, and from outside.
    void finish(int64_t row, int64_t rows, int64_t unit, int64_t units, const T* sums,
                int64_t sums_row) const {
        const int64_t slot = this->reverse ? this->steps : 0;
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t at = (row + r) * this->hidden + unit;
            for (int64_t u = 0; u < units; ++u) {
                T sum = dh ? dh[slot * this->plane() + at + u] : T(0);
                sum += sums[r * sums_row + u];
                if (d_candidate) sum += carry[at + u];  // carry is dh0 itself
                dh0[at + u] = sum;
                if (dc) carry[at + u] += dc[slot * this->plane() + at + u];
            }
        }
    }
};

template <class T, class Pass>
void pack_weight(const Pass& pass, T* packed) {
    const int64_t size = pass.width() * pass.k() * kTileCols<T>;
    const int64_t grain = most(1, (int64_t{1} << 15) / size);
    parallel_for(pass.groups(), grain, [&](int64_t begin, int64_t end) {
        for (int64_t g = begin; g < end; ++g) pass.pack(g, packed + g * size);
    });
}

// Groups of units [begin, end) of step i for rows [row, row + rows).
template <class T, class Pass>
void run_groups(const Pass& pass, const T* weight, int64_t i, int64_t row, int64_t rows,
                const T* left, int64_t begin, int64_t end, T* sums) {
    constexpr int64_t NR = kTileCols<T>;
    const int64_t width = pass.width(), ld = width * NR, size = pass.k() * NR;
    for (int64_t g = begin; g < end; ++g) {
        const int64_t units = least(NR, pass.hidden - g * NR);
        const bool multiplies = pass.multiplies(i);
        pass.fetch_block(i, row, rows, g * NR, units);
        for (int64_t q = 0; multiplies && q < width; ++q) {
            const T* panel = weight + (g * width + q) * size;
            const bool last = q + 1 == width && g + 1 == end;
            multiply(left, rows, pass.k(), panel, round_up(units, Tile<T>::lanes), sums + q * NR,
                     ld, last ? weight + begin * width * size : panel + size);
        }
        pass.cell(i, row, rows, g * NR, units, multiplies ? sums : nullptr, ld, NR);
    }
}

// Rows of the batch are independent: a thread takes some of them through all of time and never
// waits for another.
template <class T, class Pass>
void run_by_rows(const Pass& pass, const T* weight) {
    const int64_t row_bytes = pass.k() * int64_t(sizeof(T));
    const int64_t limit = most(kTileRows<T>, kPartBytes / row_bytes);
    const int64_t threads =
        pass.steps * pass.plane() * pass.k() >= kSharedStep ? pool_threads() : 1;
    const int64_t parts = round_up(ceil_div(pass.batch, limit), threads);
    const int64_t part = round_up(ceil_div(pass.batch, parts), 4);
    parallel_for(pass.batch, part, [&](int64_t begin, int64_t end) {
        const int64_t most_rows = least(part, end - begin);
        const int64_t left_size = ceil_div(most_rows, kTileRows<T>) * panel_stride<T>(pass.k());
        Scratch room(size_t(left_size + most_rows * pass.width() * kTileCols<T>) * sizeof(T));
        T* left = room.as<T>();
        for (int64_t row = begin; row < end; row += part) {
            const int64_t rows = least(part, end - row);
            for (int64_t i = 0; i < pass.steps_run(); ++i) {
                if (pass.multiplies(i)) pack_left(pass.left(i, row), rows, left);
                run_groups(pass, weight, i, row, rows, left, 0, pass.groups(), left + left_size);
            }
        }
    });
}

// Threads share the units of every step, and meet after each.
template <class T, class Pass>
void run_by_units(const Pass& pass, const T* weight) {
    const int64_t left_size = ceil_div(pass.batch, kTileRows<T>) * panel_stride<T>(pass.k());
    Scratch room(size_t(left_size) * sizeof(T));
    T* left = room.as<T>();
    const int64_t grain = ceil_div(pass.groups(), pool_threads());
    for (int64_t i = 0; i < pass.steps_run(); ++i) {
        if (pass.multiplies(i)) pack_left(pass.left(i, 0), pass.batch, left);
        parallel_for(pass.groups(), grain, [&](int64_t begin, int64_t end) {
            Scratch sums(size_t(pass.batch * pass.width() * kTileCols<T>) * sizeof(T));
            run_groups(pass, weight, i, 0, pass.batch, left, begin, end, sums.as<T>());
        });
    }
}

// The weight is used so little that it is not packed: ordinary products, then the cell.
template <class T, class Pass>
void run_unpacked(const Pass& pass) {
    const int64_t columns = pass.columns(), k = pass.k();
    Scratch room(size_t(pass.batch * (columns + k)) * sizeof(T));
    T *sums = room.as<T>(), *rows = sums + pass.batch * columns;
    for (int64_t i = 0; i < pass.steps_run(); ++i) {
        if (pass.multiplies(i)) {
            const Left<T> left = pass.left(i, 0);
            GemmCall call{};
            call.m = pass.batch, call.n = columns, call.k = k;
            call.a = {left.first, kDTypeOf<T>, left.first_row, 1};
            if (left.second) {
                for (int64_t r = 0; r < pass.batch; ++r) {
                    memcpy(rows + r * k, left.first + r * left.first_row,
                           size_t(left.first_width) * sizeof(T));
                    memcpy(rows + r * k + left.first_width, left.second + r * left.second_row,
                           size_t(left.second_width) * sizeof(T));
                }
                call.a = {rows, kDTypeOf<T>, k, 1};
            }
            call.b = pass.right();
            call.c = sums, call.c_dtype = kDTypeOf<T>, call.c_row_stride = columns;
            gemm_kernels().gemm(call);
        }
        const int64_t grain = most(1, (int64_t{1} << 12) / pass.hidden);
        parallel_for(pass.batch, grain, [&](int64_t begin, int64_t end) {
            pass.cell(i, begin, end - begin, 0, pass.hidden,
                      pass.multiplies(i) ? sums + begin * columns : nullptr, columns, pass.hidden);
        });
    }
}

bool packs(int64_t steps, int64_t batch) { return steps > 1 && steps * batch > kFewUses; }

template <class T, class Pass>
void run(const Pass& pass, void* workspace) {
    if (pass.plane() == 0) return;
    if (!packs(pass.steps, pass.batch)) return run_unpacked<T>(pass);
    T* weight = static_cast<T*>(workspace);
    pack_weight(pass, weight);
    const int64_t threads = pool_threads();
    if (threads > 1 && pass.batch < kFewRows * threads &&
        pass.plane() * pass.k() * pass.width() >= kSharedStep)
        run_by_units(pass, weight);
    else
        run_by_rows(pass, weight);
}

// ---- the ops: attributes cell, reverse, initial -------------------------------------------------

template <class T>
void set_layer(Layer<T>* layer, const int64_t* attrs, const TensorView& gates,
               const TensorView& states) {
    layer->cell_kind = static_cast<Cell>(attrs[0]);
    layer->reverse = attrs[1] != 0;
    layer->initial = attrs[2] != 0;
    layer->steps = gates.shape[0];
    layer->batch = gates.shape[1];
    layer->hidden = states.shape[states.rank - 1];
    layer->gates = gates_of(layer->cell_kind);
}

// in: gates' input, weight, [bias of the candidate], [h0, [c0]]; out: [gates], h, [c or candidate].
template <class T>
void forward_of(const KernelCall& call) {
    Forward<T> f{};
    const Cell cell = static_cast<Cell>(call.attrs[0]);
    const bool gated = cell == Cell::kLstm || cell == Cell::kGru;
    const TensorView& h = call.out[gated ? 1 : 0];
    set_layer(&f, call.attrs, call.in[0], h);
    f.input = call.in[0].as<const T>();
    f.weight = call.in[1].as<const T>();
    int next = 2;
    if (cell == Cell::kGru) f.bias = call.in[next++].as<const T>();
    f.h = h.as<T>();
    if (gated) f.gate_out = call.out[0].as<T>();
    if (cell == Cell::kLstm) f.c = call.out[2].as<T>();
    if (cell == Cell::kGru) f.candidate = call.out[2].as<T>();
    const size_t bytes = size_t(f.plane()) * sizeof(T);
    const int64_t first = f.reverse ? f.steps : 0;
    for (T* states : {f.h, f.c}) {
        if (!states || !bytes) continue;
        T* start = states + first * f.plane();
        if (f.initial)
            memcpy(start, call.in[next++].data, bytes);
        else
            memset(start, 0, bytes);
    }
    run<T>(f, call.workspace);
}
void rnn(const KernelCall& call) {
    call.in[0].dtype == DType::kF64 ? forward_of<double>(call) : forward_of<float>(call);
}

// in: weight, [gates], h or c, [candidate], [dh], [dc] (attributes 3 and 4 say which);
// out: gradient of the gates' input, of h0, [of c0 or of the candidate's recurrent part].
template <class T>
void backward_of(const KernelCall& call) {
    Backward<T> b{};
    const Cell cell = static_cast<Cell>(call.attrs[0]);
    int next = 0;
    b.weight = call.in[next++].as<const T>();
    if (gates_of(cell) > 1) b.gates_in = call.in[next++].as<const T>();
    const TensorView& states = call.in[next++];
    set_layer(&b, call.attrs, call.out[0], states);
    (cell == Cell::kLstm ? b.c : b.h) = states.as<const T>();
    if (cell == Cell::kGru) b.candidate = call.in[next++].as<const T>();
    if (call.attrs[3]) b.dh = call.in[next++].as<const T>();
    if (call.attrs[4]) b.dc = call.in[next++].as<const T>();
    b.d_gates = call.out[0].as<T>();
    b.dh0 = call.out[1].as<T>();
    if (cell == Cell::kLstm) b.carry = call.out[2].as<T>();
    if (cell == Cell::kGru) b.d_candidate = call.out[2].as<T>(), b.carry = b.dh0;
    const size_t bytes = size_t(b.plane()) * sizeof(T);
    if (bytes) {
        memset(b.dh0, 0, bytes);
        if (b.carry) memset(b.carry, 0, bytes);
    }
    run<T>(b, call.workspace);
    // Nobody reads the gradient of a start that was not given; it is zero, not what is left over.
    if (!b.initial && bytes) {
        memset(b.dh0, 0, bytes);
        if (b.carry) memset(b.carry, 0, bytes);
    }
}
void rnn_grad(const KernelCall& call) {
    call.in[0].dtype == DType::kF64 ? backward_of<double>(call) : backward_of<float>(call);
}

size_t packed_bytes(const TensorView& weight, int64_t steps, int64_t batch) {
    if (!packs(steps, batch)) return 0;
    const int64_t cols = weight.dtype == DType::kF64 ? kTileCols<double> : kTileCols<float>;
    return size_t(weight.shape[0] * round_up(weight.shape[1], cols)) * dtype_size(weight.dtype);
}
size_t rnn_workspace(const KernelCall& call) {
    return packed_bytes(call.in[1], call.in[0].shape[0], call.in[0].shape[1]);
}
size_t rnn_grad_workspace(const KernelCall& call) {
    return packed_bytes(call.in[0], call.out[0].shape[0], call.out[0].shape[1]);
}

}  // namespace

void register_rnn(KernelTable& table) {
    for (const char* name : {"rnn_sequence", "lstm_sequence", "gru_sequence"})
        table.add(name, rnn, rnn_workspace);
    for (const char* name : {"rnn_sequence_grad", "lstm_sequence_grad", "gru_sequence_grad"})
        table.add(name, rnn_grad, rnn_grad_workspace);
}

}  // namespace sn::cpu::SN_ISA
