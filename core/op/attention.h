#pragma once
#include "record/tensor.h"

namespace sn {

struct AttentionOptions {
    Tensor mask;  // bool (true: attend) or of the result's dtype (added); may be empty
    double dropout = 0;
    int64_t left = -1, right = -1;  // keys before and after a query's own place; -1: no limit
    bool has_scale = false;
    double scale = 0;      // without: 1 / sqrt(width)
    bool grouped = false;  // fewer heads of keys and values than of queries
};
// q: (..., L, D), k: (..., S, D), v: (..., S, V) -> (..., L, V)
Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                    const AttentionOptions& options);

void register_attention_ops();

}  // namespace sn
