#pragma once
#include "record/tensor.h"

namespace sn {

// Numbers drawn here are a function of the seed, of how many draws came before (the generator's
// call counter, fixed when the op is recorded) and of the element's index: not of threads, of the
// instruction set or of how the program was run. low, high, mean and std are single numbers.
Tensor random_uniform(DimSpan shape, const Tensor& low, const Tensor& high, DType dtype,
                      Device device);
Tensor random_normal(DimSpan shape, const Tensor& mean, const Tensor& std, DType dtype,
                     Device device);
Tensor random_integers(DimSpan shape, const Tensor& low, const Tensor& high, DType dtype,
                       Device device);
Tensor random_permutation(int64_t n, DType dtype, Device device);
// Zero with probability p, else x / (1 - p).
Tensor dropout(const Tensor& x, const Tensor& p);
void seed(uint64_t value);

// The state of the generator; what a checkpoint keeps.
struct RandomState {
    uint64_t seed = 0;
    uint64_t counter = 0;
};
// The number of the next draw. Fails in a trace where examples may not draw.
int64_t next_draw(const char* op);
RandomState random_state();
void set_random_state(RandomState state);

void register_random_ops();

}  // namespace sn
