// Connectionist temporal classification: one place at a time.
#include <limits>

#include "backend/reference/reference.h"
#include "base/error.h"
#include "op/ctc_math.h"

namespace sn::reference {
namespace {

template <class T>
struct Batch {
    std::vector<T> x;
    std::vector<int64_t> targets, inputs, lengths;
    int64_t steps, batch, classes, longest, blank;

    Batch(const KernelCall& c, int first)
        : x(read<T>(c.in[first])),
          targets(read<int64_t>(c.in[first + 1])),
          inputs(read<int64_t>(c.in[first + 2])),
          lengths(read<int64_t>(c.in[first + 3])),
          steps(c.in[first].shape[0]),
          batch(c.in[first].shape[1]),
          classes(c.in[first].shape[2]),
          longest(c.in[first + 1].shape[1]),
          blank(c.attrs[0]) {}
    int64_t places() const { return 2 * longest + 1; }
    int64_t count(int64_t n) const { return 2 * lengths[n] + 1; }
    int64_t label(int64_t n, int64_t s) const {
        return s % 2 ? targets[n * longest + s / 2] : blank;
    }
    T emitted(int64_t t, int64_t n, int64_t s) const {
        return x[(t * batch + n) * classes + label(n, s)];
    }
    // What it costs to come to place s from two before.
    T skip(int64_t n, int64_t s) const {
        const bool free = s > 1 && s < count(n) && s % 2 && label(n, s) != label(n, s - 2);
        return free ? T(0) : never();
    }
    static T never() { return -std::numeric_limits<T>::infinity(); }
};

long long ll(int64_t n) { return static_cast<long long>(n); }

template <class T>
void check(const Batch<T>& b) {
    for (int64_t n = 0; n < b.batch; ++n) {
        if (b.inputs[n] < 0 || b.inputs[n] > b.steps || b.lengths[n] < 0 ||
            b.lengths[n] > b.longest) {
            fail(ErrorKind::kValue, "ctc_loss",
                 "sequence %lld has %lld steps and %lld targets; log_probs have %lld steps and "
                 "targets %lld columns, and lengths must be between 0 and these",
                 ll(n), ll(b.inputs[n]), ll(b.lengths[n]), ll(b.steps), ll(b.longest));
        }
        for (int64_t s = 0; s < b.lengths[n]; ++s) {
            const int64_t target = b.targets[n * b.longest + s];
            if (target == b.blank) {
                fail(ErrorKind::kValue, "ctc_loss",
                     "target %lld of sequence %lld is the blank (%lld); targets name other "
                     "classes; give the blank a class of its own",
                     ll(s), ll(n), ll(b.blank));
            }
            if (target < 0 || target >= b.classes) {
                fail(ErrorKind::kIndex, "ctc_loss",
                     "target %lld of sequence %lld is %lld and names no class (there are %lld); "
                     "targets must be 0 to %lld; check the data set, and the output size of the "
                     "last layer",
                     ll(s), ll(n), ll(target), ll(b.classes), ll(b.classes - 1));
            }
        }
    }
}

template <class T>
void forward(const KernelCall& c) {
    const Batch<T> b(c, 0);
    check(b);
    const T never = b.never();
    std::vector<T> loss(b.batch), alpha(b.batch * b.steps * b.places(), never);
    for (int64_t n = 0; n < b.batch; ++n) {
        const auto at = [&](int64_t t, int64_t s) -> T& {
            return alpha[(n * b.steps + t) * b.places() + s];
        };
        const int64_t count = b.count(n), steps = b.inputs[n];
        for (int64_t t = 0; t < steps; ++t) {
            for (int64_t s = 0; s < count; ++s) {
                if (t == 0) {
                    if (s < 2) at(t, s) = b.emitted(t, n, s);
                    continue;
                }
                const T one = s > 0 ? at(t - 1, s - 1) : never;
                const T two = (s > 1 ? at(t - 1, s - 2) : never) + b.skip(n, s);
                at(t, s) = math::log_sum(at(t - 1, s), one, two) + b.emitted(t, n, s);
            }
        }
        if (steps == 0) {
            loss[n] = count == 1 ? T(0) : -never;
        } else {
            loss[n] = -math::log_sum(at(steps - 1, count - 1),
                                     count > 1 ? at(steps - 1, count - 2) : never, never);
        }
    }
    write(c.out[0], loss);
    write(c.out[1], alpha);
}

template <class T>
void backward(const KernelCall& c) {
    const Batch<T> b(c, 1);
    const T never = b.never();
    const std::vector<T> g = read<T>(c.in[0]), loss = read<T>(c.in[5]), alpha = read<T>(c.in[6]);
    std::vector<T> out(b.x.size());
    for (int64_t n = 0; n < b.batch; ++n) {
        if (g[n] == T(0)) continue;
        const int64_t count = b.count(n), steps = b.inputs[n];
        std::vector<T> after(count + 2, never), beta(count, never);
        for (int64_t t = steps; t-- > 0;) {
            for (int64_t s = 0; s < count; ++s) {
                if (t + 1 == steps)
                    beta[s] = s + 2 < count ? never : T(0);
                else
                    beta[s] =
                        math::log_sum(after[s], after[s + 1], after[s + 2] + b.skip(n, s + 2));
            }
            for (int64_t s = 0; s < count; ++s) {
                const T a = alpha[(n * b.steps + t) * b.places() + s];
                const T share = math::exp(a + beta[s] + loss[n]);
                T& to = out[(t * b.batch + n) * b.classes + b.label(n, s)];
                to = to - share * g[n];
            }
            for (int64_t s = 0; s < count; ++s) after[s] = beta[s] + b.emitted(t, n, s);
        }
    }
    write(c.out[0], out);
}

void ctc(const KernelCall& c) {
    c.in[0].dtype == DType::kF64 ? forward<double>(c) : forward<float>(c);
}
void ctc_grad(const KernelCall& c) {
    c.in[1].dtype == DType::kF64 ? backward<double>(c) : backward<float>(c);
}

}  // namespace

void register_ctc(KernelTable& table) {
    table.add("ctc_loss", ctc);
    table.add("ctc_loss_grad", ctc_grad);
}

}  // namespace sn::reference
