#pragma once
#include <string_view>

#include "record/tensor.h"

namespace sn {

// Parameters of one layer and direction; what is left out is empty. Weights have the gates of the
// cell one below the other: weight_ih (gates * hidden, input), weight_hh (gates * hidden, hidden).
struct RecurrentWeights {
    Tensor ih, hh, bias_ih, bias_hh;
    Tensor hr;  // LSTM: (projected, hidden); weight_hh is then (gates * hidden, projected)
};
struct RecurrentResult {
    Tensor y, h, c;  // every step (steps, batch, hidden), the last state, the last cell (LSTM)
};
// With `lengths` (batch), the last states are those after so many steps, from the first one on.
// x: (steps, batch, input); h0, c0: (batch, hidden) or empty for zeros. `reverse` runs from the
// last step to the first; results stand where their inputs do.
RecurrentResult rnn_sequence(const Tensor& x, const RecurrentWeights& weights, const Tensor& h0,
                             std::string_view nonlinearity, bool reverse,
                             const Tensor& lengths = {});
RecurrentResult lstm_sequence(const Tensor& x, const RecurrentWeights& weights, const Tensor& h0,
                              const Tensor& c0, bool reverse, const Tensor& lengths = {});
RecurrentResult gru_sequence(const Tensor& x, const RecurrentWeights& weights, const Tensor& h0,
                             bool reverse, const Tensor& lengths = {});

void register_recurrent_ops();

}  // namespace sn
