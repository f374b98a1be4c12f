#pragma once
#include <cstdint>

// What a recurrent cell does with finished sums, on a block of rows and units of one time step. The
// driver (rnn.cpp) and these loops (rnn_cell.cpp) use different vector headers, hence plain
// functions between them.
namespace sn::cpu::SN_ISA {

enum class Cell : uint8_t { kTanh, kRelu, kLstm, kGru };
constexpr int64_t gates_of(Cell cell) {
    return cell == Cell::kLstm ? 4 : cell == Cell::kGru ? 3 : 1;
}

// Pointers stand at the first row and unit of the block. Rows of states are `hidden` elements
// apart; rows of gates as many times that as there are gates, and gates of a row `hidden` apart.
template <class T>
struct CellForward {
    int64_t rows, units, hidden;
    const T* sums;  // of the recurrent product; null where the state before is zero
    int64_t sums_row, sums_gate;
    const T* input;  // what the input adds to the gates
    T* gates;        // LSTM, GRU: the activated gates, perhaps over `input`
    const T* bias;   // GRU: of the recurrent part of the candidate
    const T* h_before;
    T* h;
    const T* c_before;  // LSTM
    T* c;
    T* candidate;  // GRU: the recurrent part of the candidate
};

template <class T>
struct CellBackward {
    int64_t rows, units, hidden;
    const T* sums;  // of the next step's gradients with the recurrent weight; null: none
    int64_t sums_row;
    const T* gates;
    T* d_gates;  // perhaps over `gates`; plain cells: the gradient of the sum
    const T* h;  // plain cells
    const T* h_before;
    const T* c;
    const T* c_before;
    const T* candidate;
    T* d_candidate;
    const T* dh;  // gradients that arrive at this step's results from outside; null: none
    const T* dc;
    T* carry;  // LSTM: gradient of the cell; GRU: the part of dh that bypasses the gates
};

void cell_forward(Cell cell, const CellForward<float>& f);
void cell_forward(Cell cell, const CellForward<double>& f);
void cell_backward(Cell cell, const CellBackward<float>& b);
void cell_backward(Cell cell, const CellBackward<double>& b);

}  // namespace sn::cpu::SN_ISA
