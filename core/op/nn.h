#pragma once
#include <string_view>

#include "record/tensor.h"

namespace sn {

Tensor softmax(const Tensor& x, int64_t axis);
Tensor log_softmax(const Tensor& x, int64_t axis);

// Normalisations; weight and bias may be empty.
Tensor layer_norm(const Tensor& x, int64_t normalized_rank, const Tensor& weight,
                  const Tensor& bias, double eps);
Tensor rms_norm(const Tensor& x, int64_t normalized_rank, const Tensor& weight, double eps);
Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                  double eps);
struct BatchNormResult {
    Tensor y, mean, var;  // of this batch, per channel; the variance is biased
};
BatchNormResult batch_norm_train(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                 double eps);
Tensor batch_norm_inference(const Tensor& x, const Tensor& mean, const Tensor& var,
                            const Tensor& weight, const Tensor& bias, double eps);

// Losses never broadcast. reduction: "mean", "sum" or "none".
struct CrossEntropyOptions {
    Tensor weight;  // per class; may be empty
    int64_t ignore_index = -100;
    double label_smoothing = 0;
    std::string_view reduction = "mean";
};
Tensor cross_entropy(const Tensor& x, const Tensor& target, const CrossEntropyOptions& options);
Tensor nll_loss(const Tensor& x, const Tensor& target, const CrossEntropyOptions& options);
Tensor mse_loss(const Tensor& x, const Tensor& target, std::string_view reduction);

void register_nn_ops();
void register_loss_ops();  // called by register_nn_ops

}  // namespace sn
