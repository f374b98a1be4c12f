// Connectionist temporal classification (Graves et al., "Connectionist temporal classification:
// labelling unsegmented sequence data with recurrent neural networks", 2006): the probability that
// a sequence of classes, with repetitions and blanks removed, is the target.
//
// A target of S classes has L = 2 S + 1 places: blank, class, blank, class, ..., blank. alpha(t, s)
// is the logarithm of the probability of all ways to be at place s at step t; beta(t, s) that of
// all ways from there to the end, without step t itself. A place is reached from itself, the one
// before, and the one before that unless it is a blank or the same class.
#include "op/ctc.h"

#include <cmath>

#include "op/api.h"
#include "op/batching.h"
#include "op/function.h"
#include "op/op.h"
#include "op/rules.h"

namespace sn {

namespace {

constexpr const char* kName = "ctc_loss";

// in: log_probs (T, N, C), targets (N, S), input lengths (N,), target lengths (N,), all int64 but
// the first; out: loss (N,), alpha (N, T, 2 S + 1).
void infer_ctc(InferCall& c) {
    const Dims &x = c.in[0]->shape, &y = c.in[1]->shape;
    c.out[0].shape = Dims{x[1]};
    c.out[1].shape = Dims{x[1], x[0], 2 * y[1] + 1};
    c.out[0].dtype = c.out[1].dtype = c.in[0]->dtype;
}

// in: gradient of the loss, then the operands, the loss and alpha.
void infer_ctc_grad(InferCall& c) {
    c.out[0].shape = c.in[1]->shape;
    c.out[0].dtype = c.in[1]->dtype;
}

// Each place of each step takes three exponentials and a logarithm.
double ctc_work(const WorkCall& c) {
    const Dims &x = c.in[0]->shape, &y = c.in[1]->shape;
    return 40.0 * static_cast<double>(x[0] * x[1]) * static_cast<double>(2 * y[1] + 1);
}
double ctc_grad_work(const WorkCall& c) {
    const Dims &x = c.in[1]->shape, &y = c.in[2]->shape;
    return 50.0 * static_cast<double>(x[0] * x[1]) * static_cast<double>(2 * y[1] + 1);
}

// ctc_loss_grad with ordinary ops, which have gradients themselves; in: its operands. Where the
// kernel has -inf, there is a number so small that its exponential is zero, whose differences stay
// numbers.
Tensor write_grad(std::span<const Tensor> in, int64_t blank) {
    const Tensor &x = in[1], &inputs = in[3], &lengths = in[4];
    const int64_t steps = x.size(0), batch = x.size(1), labels = in[2].size(1);
    const int64_t places = 2 * labels + 1;
    const double never = -1e30;
    const DType dtype = x.dtype();
    const Device device = x.device();
    const auto column = [](const Tensor& lengths) { return unsqueeze(lengths, -1); };

    const Tensor place = arange(int64_t{0}, int64_t{1}, places, DType::kI64, device);
    // Of what stands behind a target, nothing is read.
    const Tensor known =
        less(arange(int64_t{0}, int64_t{1}, labels, DType::kI64, device), column(lengths));
    const int64_t blanks_shape[] = {batch, labels};
    const Tensor blanks = full(blanks_shape, Tensor(blank), DType::kI64, device);
    const Tensor target = where(known, in[2], blanks);
    Tensor ext = blanks;  // the class of each place
    if (labels > 0) {
        const Tensor pair[] = {blanks, target};
        const int64_t flat[] = {batch, 2 * labels};
        ext = reshape(stack(pair, -1), flat);
    }
    const int64_t last_shape[] = {batch, 1};
    const Tensor last[] = {ext, full(last_shape, Tensor(blank), DType::kI64, device)};
    ext = concat(last, 1);
    const Tensor inside = less_equal(place, column(lengths) * Tensor(int64_t{2}));
    const int64_t wide_shape[] = {steps, batch, places};
    const Tensor index = expand(unsqueeze(ext, 0), wide_shape);
    const Tensor emitted = take_along_axis(x, index, -1);

    const auto nothing = [&](int64_t n) {
        const int64_t shape[] = {batch, n};
        return full(shape, Tensor(never), dtype, device);
    };
    const auto shifted = [&](const Tensor& v, int64_t n) {  // forward for n > 0
        const int64_t by = std::min<int64_t>(std::abs(n), places);
        const Tensor parts[] = {n > 0 ? nothing(by) : narrow(v, 1, by, places - by),
                                n > 0 ? narrow(v, 1, 0, places - by) : nothing(by)};
        return concat(parts, 1);
    };
    Tensor skip = nothing(places);
    if (places > 2) {
        const Tensor here = narrow(ext, 1, 2, places - 2), two = narrow(ext, 1, 0, places - 2);
        const Tensor odd = greater(remainder(narrow(place, 0, 2, places - 2), Tensor(int64_t{2})),
                                   Tensor(int64_t{0}));
        const Tensor parts[] = {
            nothing(2), cast(where(logical_and(odd, not_equal(here, two)), 0.0, never), dtype)};
        skip = concat(parts, 1);
    }
    const auto lse = [](const Tensor& a, const Tensor& b, const Tensor& c) {
        return logaddexp(logaddexp(a, b), c);
    };
    const auto step_of = [&](int64_t t) {
        const int64_t first[] = {0};
        return squeeze(narrow(emitted, 0, t, 1), first);
    };
    const Tensor start = less(place, Tensor(int64_t{2}));
    const Tensor ends = logical_and(
        inside, greater_equal(place, column(lengths) * Tensor(int64_t{2}) - Tensor(int64_t{1})));
    std::vector<Tensor> alphas(steps), parts(steps);
    for (int64_t t = 0; t < steps; ++t) {
        const Tensor before = t == 0 ? where(logical_and(start, inside), 0.0, nothing(places))
                                     : lse(alphas[t - 1], shifted(alphas[t - 1], 1),
                                           shifted(alphas[t - 1], 2) + skip);
        alphas[t] = before + step_of(t);
    }
    const int64_t along[] = {-1};
    Tensor beta, total;
    for (int64_t t = steps; t-- > 0;) {
        const Tensor is_last = column(equal(inputs, Tensor(t + 1)));
        const Tensor end = where(ends, 0.0, nothing(places));
        if (t + 1 < steps) {
            const Tensor next = beta + step_of(t + 1);
            beta = where(is_last, end, lse(next, shifted(next, -1), shifted(next + skip, -2)));
        } else {
            beta = end;
        }
        const Tensor both = where(inside, alphas[t] + beta, never);
        const Tensor at_end = where(is_last, both, never);
        const Tensor sum_here = logsumexp(at_end, along, true);
        total = total ? logaddexp(total, sum_here) : sum_here;
        parts[t] = both;
    }
    // As the kernel: a target that is impossible has no gradient that is a number, unless none is
    // asked for.
    const Tensor g = column(in[0]);
    const Tensor weight =
        where(equal(g, 0.0), 0.0, where(greater(total, never / 10), g, g * Tensor(NAN)));
    for (int64_t t = 0; t < steps; ++t) {
        const Tensor here = column(greater(inputs, Tensor(t)));
        parts[t] = where(here, exp(parts[t] - total) * weight, 0.0);
    }
    const Tensor zeros = full(x.shape(), Tensor(0.0), dtype, device);
    return scatter_add(zeros, index, negative(stack(parts, 0)), -1);
}

void grad_ctc(GradCall& c) {
    static const OpId id = find_op("ctc_loss_grad");
    if (!c.has_grad(0) || !c.needs(0)) return;
    const Tensor in[] = {c.grad(0), c.in(0), c.in(1), c.in(2), c.in(3), c.out(0), c.out(1)};
    c.set(0, record(id, in, Attrs().i(c.attrs.i(0))));
}

// As if the loss and alpha were computed anew from the log-probabilities.
void grad_ctc_grad(GradCall& c) {
    if (c.in_meta(1).shape[0] == 0) return;
    const int reads[] = {0, 1, 2, 3, 4};
    grad_composed(c, reads, [&](std::span<const Tensor> in) -> std::vector<Tensor> {
        return {write_grad(in, c.attrs.i(0))};
    });
}

// Sequences of all examples are one batch of sequences.
bool batch_ctc(BatchCall& c) {
    return batch_joined(
        c, [](size_t i, int) { return i == 0 ? 1 : 0; }, [](size_t, int) { return 0; });
}
bool batch_ctc_grad(BatchCall& c) {
    return batch_joined(
        c, [](size_t i, int) { return i == 1 ? 1 : 0; }, [](size_t, int) { return 1; });
}

void check_shapes(const Tensor& x, const Tensor& y, const Tensor& inputs, const Tensor& lengths) {
    require_float(kName, "log_probs", x.dtype());
    const bool batched = x.rank() == 3;
    bool ok = batched || x.rank() == 2;
    if (ok && batched) {
        ok = (y.rank() == 1 || (y.rank() == 2 && y.size(0) == x.size(1))) && inputs.rank() == 1 &&
             inputs.size(0) == x.size(1) && lengths.shape() == inputs.shape();
    } else if (ok) {
        ok = y.rank() == 1 && inputs.numel() == 1 && lengths.numel() == 1;
    }
    if (!ok) {
        fail(
            ErrorKind::kShape, kName,
            "log_probs have shape %s, targets %s, input_lengths %s and target_lengths %s; required "
            "are (T, N, C), (N, S) or all targets behind one another, (N,) and (N,), or (T, C), "
            "(S,), () and () for one sequence",
            format_shape(x.shape()).c_str(), format_shape(y.shape()).c_str(),
            format_shape(inputs.shape()).c_str(), format_shape(lengths.shape()).c_str());
    }
    for (const Tensor* t : {&y, &inputs, &lengths}) {
        if (is_int(t->dtype())) continue;
        fail(ErrorKind::kDType, kName,
             "targets and lengths must be integers; one of them has dtype %s; convert with "
             ".astype(sn.int64)",
             dtype_name(t->dtype()));
    }
}

// Targets that stand behind one another, as (batch, longest). Waits for the lengths.
Tensor padded_targets(const Tensor& y, const Tensor& lengths) {
    const int64_t batch = lengths.size(0);
    const int64_t total = read_number(kName, sum(lengths, {}, false)).as_int();
    const int64_t longest = batch ? read_number(kName, max(lengths, {}, false)).as_int() : 0;
    if (total != y.size(0)) {
        fail(ErrorKind::kShape, kName,
             "target_lengths add up to %lld, and there are %lld targets behind one another; they "
             "must agree",
             ll(total), ll(y.size(0)));
    }
    const int64_t shape[] = {batch, longest};
    if (batch == 0 || longest == 0) return full(shape, Tensor(int64_t{0}), DType::kI64, y.device());
    const Tensor begin = unsqueeze(cumsum(lengths, 0) - lengths, -1);
    const Tensor step = arange(int64_t{0}, int64_t{1}, longest, DType::kI64, y.device());
    const Tensor there = less(step, unsqueeze(lengths, -1));
    return take(y, where(there, begin + step, Tensor(int64_t{0})), 0);
}

}  // namespace

Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets, const Tensor& input_lengths,
                const Tensor& target_lengths, const CtcOptions& o) {
    static const OpId id = find_op("ctc_loss");
    check_shapes(log_probs, targets, input_lengths, target_lengths);
    const DType dtype = log_probs.dtype();
    const bool batched = log_probs.rank() == 3;
    Tensor x = to_compute(log_probs), y = cast(targets, DType::kI64);
    const int64_t one[] = {1};
    Tensor inputs = cast(input_lengths, DType::kI64), lengths = cast(target_lengths, DType::kI64);
    if (!batched) {
        x = unsqueeze(x, 1);
        y = unsqueeze(y, 0);
        inputs = reshape(inputs, one);
        lengths = reshape(lengths, one);
    } else if (y.rank() == 1) {
        y = padded_targets(y, lengths);
    }
    if (o.blank < 0 || o.blank >= x.size(-1)) {
        fail(ErrorKind::kValue, kName, "blank is %lld; log_probs have %lld classes, 0 to %lld",
             ll(o.blank), ll(x.size(-1)), ll(x.size(-1) - 1));
    }
    Tensor out[2];
    const Tensor in[] = {x, y, inputs, lengths};
    record(id, in, Attrs().i(o.blank), out);
    Tensor loss = out[0];
    if (o.zero_infinity) loss = where(equal(loss, INFINITY), 0.0, loss);
    if (o.reduction == "mean") {
        loss = mean(loss / cast(maximum(lengths, Tensor(int64_t{1})), loss.dtype()), {}, false);
    } else if (o.reduction == "sum") {
        loss = sum(loss, {}, false);
    } else if (o.reduction != "none") {
        fail(ErrorKind::kValue, kName, "reduction is '%.*s'; it must be 'mean', 'sum' or 'none'",
             static_cast<int>(o.reduction.size()), o.reduction.data());
    } else if (!batched) {
        const int64_t first[] = {0};
        loss = squeeze(loss, first);
    }
    return cast(loss, dtype);
}

void register_ctc_ops() {
    register_op(
        {.name = "ctc_loss",
         .n_in = 4,
         .n_out = 2,
         .schema = "blank:int",
         .doc = "Negative log-likelihood of target sequences, and the forward variables.",
         .infer = infer_ctc,
         .grad = grad_ctc,
         .saves = save_in(0) | save_in(1) | save_in(2) | save_in(3) | save_out(0) | save_out(1),
         .batch = batch_ctc,
         .work = ctc_work,
         .checks_values = true});
    register_op({.name = "ctc_loss_grad",
                 .n_in = 7,
                 .schema = "blank:int",
                 .doc = "Gradient of ctc_loss with respect to the log-probabilities.",
                 .infer = infer_ctc_grad,
                 .grad = grad_ctc_grad,
                 .saves = save_in(0) | save_in(1) | save_in(2) | save_in(3) | save_in(4),
                 .batch = batch_ctc_grad,
                 .work = ctc_grad_work});
    register_function(
        {.signature = "ctc_loss(log_probs: Tensor, targets: Tensor, input_lengths: Tensor, "
                      "target_lengths: Tensor, blank: int = 0, reduction: str = \"mean\", "
                      "zero_infinity: bool = False) -> Tensor",
         .doc =
             R"(Connectionist temporal classification: the negative log-likelihood of sequences of
classes, whatever their alignment with the steps (Graves et al. 2006).

Parameters
----------
log_probs : Tensor
    (T, N, C), logarithms of probabilities, such as `log_softmax` gives; or (T, C). Half types
    compute in float32.
targets : Tensor
    Integers: (N, S), of which each row's first ``target_lengths`` count, or all targets behind one
    another, which waits for the lengths; or (S,).
input_lengths, target_lengths : Tensor
    (N,) integers: how many steps and classes of each sequence count; or () without a batch.
blank : int
    The class that stands for no class. No target may be it.
reduction : str
    "mean": each loss is divided by the length of its target, and the mean is taken; "sum" or "none".
zero_infinity : bool
    Whether the loss and the gradient of targets that are too long for their steps are zero. Otherwise
    the loss is infinite and the gradient NaN.

Returns
-------
Tensor
    A scalar, or with "none" the shape of the lengths, in nats. The gradient is the partial derivative
    with respect to `log_probs`.

Raises
------
IndexError
    When a target names no class. Raised when the value is read.
ValueError
    When a target is the blank, or a length does not fit.

Examples
--------
>>> x = sn.log_softmax(sn.zeros((2, 1, 3)), -1)
>>> lengths = sn.tensor([2]), sn.tensor([1])
>>> round(sn.ctc_loss(x, sn.tensor([[1]]), *lengths).item(), 4)
1.0986
)",
         .autocast = Autocast::kFull,
         .call =
             [](const Args& a) {
                 return ctc_loss(a.tensor(0), a.tensor(1), a.tensor(2), a.tensor(3),
                                 {a.integer(4), a.text(5), a.flag(6)});
             },
         .method = false});
}

}  // namespace sn
