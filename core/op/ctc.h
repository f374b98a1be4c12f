#pragma once
#include <string_view>

#include "record/tensor.h"

namespace sn {

// log_probs: (steps, batch, classes); targets: (batch, longest), or all behind one another;
// lengths: (batch,). Without a batch: (steps, classes), (length,), and lengths of rank 0.
struct CtcOptions {
    int64_t blank = 0;
    std::string_view reduction = "mean";
    bool zero_infinity = false;
};
Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
                const Tensor& target_lengths, const CtcOptions& options);

void register_ctc_ops();

}  // namespace sn
