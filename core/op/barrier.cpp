// The barrier of recomputation (design note 009): a view that common-subexpression elimination does
// not see through and that fixes an order.
#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"

namespace sn {

Tensor barrier(const Tensor& x, std::span<const Tensor> after) {
    static const OpId id = find_op("barrier");
    if (x.is_scalar()) return x;
    std::vector<Tensor> in{x};
    for (const Tensor& t : after)
        if (!t.is_scalar()) in.push_back(t.detach());
    return record(id, in);
}

void register_barrier() {
    register_op({
        .name = "barrier",
        .n_in = -1,
        .doc = "x, of which nothing is known before the other operands are there: what is computed "
               "from the result is not merged with what is computed from x, and runs after them.",
        .infer = [](InferCall& c) { c.out[0] = *c.in[0]; },
        .grad = [](GradCall& c) { c.set(0, c.grad()); },
        .batch =
            [](BatchCall& c) {
                std::vector<Tensor> in(c.in.begin(), c.in.end());
                in[0] = c.spread(0);
                return c.call(in, {});
            },
        .check = check_operands,
        .view =
            [](ViewCall& c) {
                c.strides = Dims(c.in_strides);
                return true;
            },
        .layout = Layout::kAny,
        .pure = false,
        .barrier = true,
    });
}

}  // namespace sn
