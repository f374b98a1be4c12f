// Public functions of the namespace `special` whose calls differ from those of the elementwise ops.
#include "op/api.h"
#include "op/function.h"
#include "op/rules.h"

namespace sn {

namespace {

Tensor polygamma(const Args& a) {
    const int64_t n = a.integer(0);
    if (n < 0) fail(ErrorKind::kValue, "polygamma", "n is %lld; it must be 0 or more", ll(n));
    const Tensor& x = a.tensor(1);
    return n == 0 ? digamma(x) : special_polygamma(x, static_cast<double>(n));
}

// log of the multivariate gamma function: p (p - 1) / 4 log(pi) + sum of lgamma(x - j / 2).
Tensor multigammaln(const Args& a) {
    const Tensor& x = a.tensor(0);
    const int64_t p = a.integer(1);
    if (p < 1) fail(ErrorKind::kValue, "mvlgamma", "p is %lld; it must be 1 or more", ll(p));
    const Tensor y = is_float(x.dtype()) ? x : cast(x, DType::kF32);
    constexpr double log_pi = 1.14472988584940017414;
    Tensor sum = lgamma(y);
    for (int64_t j = 1; j < p; ++j) sum = sum + lgamma(y - 0.5 * static_cast<double>(j));
    return sum + 0.25 * log_pi * static_cast<double>(p * (p - 1));
}

}  // namespace

void register_special_functions() {
    register_function({
        .signature = "polygamma(n: int, x: Tensor) -> Tensor",
        .doc = R"(The n-th derivative of digamma.

>>> round(sn.polygamma(1, sn.tensor(1.0)).item(), 4)
1.6449
)",
        .call = polygamma,
        .method = false,
    });
    register_function({
        .signature = "special.polygamma(n: int, x: Tensor) -> Tensor",
        .doc = R"(The n-th derivative of digamma.

>>> round(sn.special.polygamma(1, sn.tensor(1.0)).item(), 4)
1.6449
)",
        .call = polygamma,
    });
    register_function({
        .signature = "mvlgamma(x: Tensor, p: int) -> Tensor",
        .doc = R"(Logarithm of the multivariate gamma function of dimension p.

x must be above (p - 1) / 2; below, the result has no meaning.

>>> round(sn.mvlgamma(sn.tensor(2.0), 2).item(), 4)
0.4516
)",
        .call = multigammaln,
        .aliases = "special.multigammaln mvlgamma_",
    });
    register_function({
        .signature = "special.log_softmax(x: Tensor, axis: int, dtype: DType? = None) -> Tensor",
        .doc = R"(Logarithm of softmax along an axis; see `log_softmax`.

>>> sn.special.log_softmax(sn.zeros(2), 0).tolist()
[-0.6931..., -0.6931...]
)",
        .call =
            [](const Args& a) {
                return log_softmax(a.has(2) ? cast(a.tensor(0), a.dtype(2)) : a.tensor(0),
                                   a.integer(1));
            },
    });
    register_function({
        .signature = "special.softmax(x: Tensor, axis: int, dtype: DType? = None) -> Tensor",
        .doc = R"(Exponentials divided by their sum along an axis; see `softmax`.

>>> sn.special.softmax(sn.zeros(2), 0).tolist()
[0.5, 0.5]
)",
        .call =
            [](const Args& a) {
                return softmax(a.has(2) ? cast(a.tensor(0), a.dtype(2)) : a.tensor(0),
                               a.integer(1));
            },
    });
    register_function({
        .signature = "special.logsumexp(x: Tensor, axis: Ints, keepdims: bool = False) -> Tensor",
        .doc = R"(Logarithm of the sum of exponentials; see `logsumexp`.

>>> sn.special.logsumexp(sn.zeros(2), 0).item()
0.6931...
)",
        .call =
            [](const Args& a) {
                const Tensor x = vector_of(a.tensor(0));
                return like(logsumexp(x, a.ints(1), a.flag(2)), a.tensor(0));
            },
    });
}

}  // namespace sn
