#include <string>

#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"
#include "op/function.h"
#include "op/op.h"
#include "op/rules.h"

namespace sn {

// Losses never broadcast: a (N,) prediction against (N, 1) targets is the most expensive silent bug
// of the field. They compute in to_compute()'s dtype and round once, after the reduction.

namespace {

constexpr int64_t kLast[] = {-1};

Tensor reduced(const char* op, const Tensor& loss, std::string_view reduction, DType dtype) {
    if (reduction == "mean") return cast(mean(loss, {}, false), dtype);
    if (reduction == "sum") return cast(sum(loss, {}, false), dtype);
    if (reduction == "none") return cast(loss, dtype);
    fail(ErrorKind::kValue, op, "reduction is '%.*s'; it must be 'mean', 'sum' or 'none'",
         static_cast<int>(reduction.size()), reduction.data());
}

void check_same_shape(const char* op, const Tensor& x, const Tensor& target) {
    if (x.shape() == target.shape()) return;
    const bool same_count = x.numel() == target.numel();
    fail(ErrorKind::kShape, op,
         "predictions have shape %s and targets %s; losses do not broadcast, so the shapes must be "
         "equal; %s",
         format_shape(x.shape()).c_str(), format_shape(target.shape()).c_str(),
         same_count ? "reshape one of them (the counts agree: is a dimension of size 1 too many?)"
                    : "check what the last layer returns and what the data set gives");
}

// Predictions and targets in the compute dtype; the result rounds to `dtype`.
struct Pair {
    Tensor x, target;
    DType dtype;
};
Pair float_pair(const char* op, const Tensor& x, const Tensor& target) {
    check_same_shape(op, x, target);
    DType dtype = promote(x.dtype(), target.dtype());
    if (!is_float(dtype)) dtype = DType::kF32;
    const DType compute = compute_dtype(dtype);
    return {cast(x, compute), cast(target, compute), dtype};
}

// ---- class labels -------------------------------------------------------------------------------

// Labels become what the row programs below read: the class as a number of their own dtype (-1
// where ignored), the weight of the row (0 where ignored), and the sum of these weights, so that
// what a mean divides by does not wait for the loss and the gradient stays one program. The kernel
// reads the values and fails at a label that names no class. in: labels (int64), weight of each
// class (optional).
void infer_check_labels(InferCall& c) {
    c.out[0].shape = c.out[1].shape = c.in[0]->shape;
    c.out[0].dtype = c.attrs.dtype(2);
    c.out[1].dtype = c.out[2].dtype = c.attrs.dtype(3);
}

void check_labels_call(const CheckCall& c) {
    const DType number = c.attrs.dtype(2), weight = c.attrs.dtype(3);
    c.operands(1, 2);
    c.tensors(0, c.in.size());
    c.require(c.dtype(0) == DType::kI64 && c.attrs.i(0) >= 0, "labels are not int64");
    c.require((weight == DType::kF32 || weight == DType::kF64) &&
                  (number == weight || number == DType::kI64),
              "results have another dtype");
    if (c.in.size() == 2)
        c.require(c.dtype(1) == weight && c.shape(1) == Dims{c.attrs.i(0)},
                  "weights do not fit the classes");
}
void check_cross_entropy(const CheckCall& c) {
    c.operands(3, 4);
    c.tensors(0, c.in.size());
    c.floating(0);
    c.require(c.rank(0) >= 1, "logits have no dimensions");
    const Dims rows(DimSpan(c.shape(0)).first(c.shape(0).size() - 1));
    c.require(c.shape(1) == rows && c.shape(2) == rows, "labels do not fit the logits");
    if (c.in.size() == 4)
        c.require(c.shape(3) == Dims{c.shape(0).back()}, "weights do not fit the classes");
}

bool batch_check_labels(BatchCall& c) {
    if (!c.batched[0] || c.any_batched(1, 2)) return false;
    const int64_t count = numel(c.shape(0));
    if (c.in.size() > 1 && count != 1) return false;  // sums of weights have an order
    Tensor out[3];
    record(c.def.id, c.in, same_attrs(c), out);
    c.out[0] = out[0];
    c.out[1] = out[1];
    const int64_t size[] = {c.size};
    if (count == 1) {
        c.out[2] = reshape(out[1], size);
    } else {  // ones and zeros, which every order counts exactly
        const int64_t rows[] = {c.size, count};
        const Tensor weights = reshape(cast(out[1], DType::kF64), rows);
        c.out[2] = cast(sum(weights, kLast, false), out[1].dtype());
    }
    return true;
}

struct Labels {
    Tensor number, weight, total_weight;
};
Labels checked_labels(const Tensor& target, const Tensor& like, int64_t classes,
                      const CrossEntropyOptions& o) {
    static const OpId id = find_op("check_labels");
    const DType dtype = compute_dtype(like.dtype());
    // f32 counts exactly up to here, and keeps the comparison as wide as the rest of the row.
    const DType number = classes < (1 << 24) ? dtype : DType::kI64;
    const Tensor weight = o.weight ? cast(o.weight.detach(), dtype) : Tensor();
    Tensor out[3];
    record(id, Given(cast(target, DType::kI64), weight).items(),
           Attrs().i(classes).i(o.ignore_index).dtype(number).dtype(dtype), out);
    return {out[0], out[1], out[2]};
}

// Where each row's own class stands: no gather, so the loss stays one row program.
Tensor own_class(const Tensor& number, int64_t classes) {
    const Tensor index = arange(int64_t{0}, int64_t{1}, classes, number.dtype(), number.device());
    return equal(index, unsqueeze(number, -1));
}

// in: logits (..., C), class numbers (...), row weights (...), weight of each class (C,) (optional:
// only smoothing reads it).
void infer_cross_entropy(InferCall& c) {
    const Dims& x = c.in[0]->shape;
    c.out[0].shape = Dims(DimSpan(x).first(x.size() - 1));
    c.out[0].dtype = compute_dtype(c.in[0]->dtype);
}

// The parts that the loss of a row and its gradient share. Results per row keep a last dimension of
// 1, and depend on the row itself, so that they fuse into its program.
struct RowLoss {
    Tensor z, e, sum_e;  // x - max, exp(z), and its sum
    Tensor own;          // bool: the column of the row's class
    Tensor spread;       // smoothing / C, times the weight of each class; empty without smoothing
    Tensor counted;      // 1 or 0 where ignored; empty without smoothing
};
RowLoss row_loss(const Tensor& logits, const Tensor& number, const Tensor& weight,
                 double smoothing) {
    const Tensor x = to_compute(logits);
    RowLoss r;
    r.z = x - max(x.detach(), kLast, true);
    r.e = exp(r.z);
    r.sum_e = sum(r.e, kLast, true);
    r.own = own_class(number, x.size(-1));
    if (smoothing != 0.0) {
        const double each = smoothing / static_cast<double>(x.size(-1));
        r.spread = weight ? cast(weight.detach(), x.dtype()) * each : Tensor(each);
        r.counted = sum(cast(r.own, x.dtype()), kLast, true);
    }
    return r;
}

void lower_cross_entropy(LowerCall& c) {
    const double smoothing = c.attrs.f(0);
    const RowLoss r = row_loss(c.in[0], c.in[1], c.in.size() > 3 ? c.in[3] : Tensor(), smoothing);
    const Tensor distance = log(r.sum_e) - r.z;
    Tensor loss = sum(where(r.own, distance, 0.0), kLast, true) * unsqueeze(c.in[2], -1);
    if (r.spread) {
        loss = loss * (1.0 - smoothing) +
               where(greater(r.counted, 0.0), sum(distance * r.spread, kLast, true), 0.0);
    }
    c.out[0] = squeeze(loss, kLast);
}

void grad_cross_entropy(GradCall& c) {
    const double smoothing = c.attrs.f(0);
    const RowLoss r = row_loss(c.in(0), c.in(1), c.n_in() > 3 ? c.in(3) : Tensor(), smoothing);
    const Tensor g = unsqueeze(c.grad(), -1), weight = unsqueeze(c.in(2), -1);
    const Tensor p = r.e / r.sum_e;
    Tensor gx = (p - cast(r.own, p.dtype())) * weight;
    if (r.spread) {
        const double classes = static_cast<double>(p.size(-1));
        const Tensor mass = r.spread.rank() == 0 ? r.spread * classes : sum(r.spread, kLast, true);
        gx = gx * (1.0 - smoothing) + where(greater(r.counted, 0.0), p * mass - r.spread, 0.0);
    }
    c.set(0, gx * g);
}

bool batch_cross_entropy(BatchCall& c) {
    if (c.any_batched(3, 4)) return false;
    std::vector<Tensor> in(c.in.begin(), c.in.end());
    for (size_t i = 0; i < 3; ++i) in[i] = c.spread(i);
    return c.call(in, same_attrs(c));
}

Tensor row_cross_entropy(const Tensor& x, const Labels& labels, const CrossEntropyOptions& o) {
    static const OpId id = find_op("cross_entropy");
    const bool weighted = o.weight && o.label_smoothing != 0.0;
    const Tensor in[] = {x, labels.number, labels.weight, o.weight};
    return record(id, {in, weighted ? size_t{4} : size_t{3}}, Attrs().f(o.label_smoothing));
}

int class_axis(const Tensor& x) { return x.rank() == 1 ? 0 : 1; }

void check_class_weight(const char* op, const Tensor& x, const Tensor& weight) {
    const int64_t classes = x.size(class_axis(x));
    if (!weight || (weight.rank() == 1 && weight.size(0) == classes)) return;
    fail(ErrorKind::kShape, op,
         "weight has shape %s; x of shape %s has %lld classes and needs "
         "(%lld,)",
         format_shape(weight.shape()).c_str(), format_shape(x.shape()).c_str(), ll(classes),
         ll(classes));
}

// x: (N, C, d...) or (C,), labels: (N, d...) or ().
void check_label_shape(const char* op, const Tensor& x, const Tensor& labels) {
    require_float(op, "x", x.dtype());
    if (x.rank() == 0)
        fail(ErrorKind::kShape, op, "x has shape (); it must be (N, C, ...) or (C,)");
    Dims want(x.shape());
    want.erase(class_axis(x));
    if (!(labels.shape() == want)) {
        fail(ErrorKind::kShape, op,
             "x has shape %s (classes on axis %d) and targets %s; labels need the shape %s; %s",
             format_shape(x.shape()).c_str(), class_axis(x), format_shape(labels.shape()).c_str(),
             format_shape(want).c_str(),
             labels.numel() == sn::numel(want) ? "reshape the targets"
                                               : "probabilities need the shape of x");
    }
    if (!is_int(labels.dtype())) {
        fail(ErrorKind::kDType, op,
             "targets have dtype %s and the shape of labels; labels must be "
             "integers; convert with .astype(sn.int64)",
             dtype_name(labels.dtype()));
    }
}

// The mean divides by the number of counted rows, or by their weights.
Tensor finish_labelled(const char* op, const Tensor& loss, const Labels& labels,
                       const CrossEntropyOptions& o, DType dtype) {
    if (o.reduction != "mean") return reduced(op, loss, o.reduction, dtype);
    return cast(sum(loss, {}, false) / labels.total_weight, dtype);
}

Tensor cross_entropy_probabilities(const Tensor& x, const Tensor& target,
                                   const CrossEntropyOptions& o) {
    const int axis = class_axis(x);
    const int64_t classes = x.size(axis);
    const Tensor logp = log_softmax(axis_to_last(to_compute(x), axis), -1);
    Tensor p = axis_to_last(cast(target, logp.dtype()), axis);
    if (o.label_smoothing != 0.0)
        p = p * (1.0 - o.label_smoothing) + o.label_smoothing / static_cast<double>(classes);
    if (o.weight) p = p * cast(o.weight, logp.dtype());
    return reduced("cross_entropy", negative(sum(p * logp, kLast, false)), o.reduction, x.dtype());
}

}  // namespace

Tensor cross_entropy(const Tensor& x, const Tensor& target, const CrossEntropyOptions& o) {
    if (!(o.label_smoothing >= 0.0 && o.label_smoothing <= 1.0)) {
        fail(ErrorKind::kValue, "cross_entropy",
             "label_smoothing is %g; it must be between 0 and 1", o.label_smoothing);
    }
    if (x.rank() > 0) check_class_weight("cross_entropy", x, o.weight);
    if (is_float(target.dtype()) && x.rank() > 0 && target.shape() == x.shape()) {
        require_float("cross_entropy", "x", x.dtype());
        return cross_entropy_probabilities(x, target, o);
    }
    check_label_shape("cross_entropy", x, target);
    const int axis = class_axis(x);
    const Labels labels = checked_labels(target, x, x.size(axis), o);
    const Tensor loss = row_cross_entropy(axis_to_last(x, axis), labels, o);
    return finish_labelled("cross_entropy", loss, labels, o, x.dtype());
}

Tensor nll_loss(const Tensor& x, const Tensor& target, const CrossEntropyOptions& o) {
    check_label_shape("nll_loss", x, target);
    check_class_weight("nll_loss", x, o.weight);
    const int axis = class_axis(x);
    const Labels labels = checked_labels(target, x, x.size(axis), o);
    const Tensor logp = axis_to_last(to_compute(x), axis);
    // A label that is ignored equals no class, so its row sums to zero.
    const Tensor own = where(own_class(labels.number, x.size(axis)), negative(logp), 0.0);
    const Tensor loss = sum(own, kLast, true) * unsqueeze(labels.weight, -1);
    return finish_labelled("nll_loss", squeeze(loss, kLast), labels, o, x.dtype());
}

Tensor mse_loss(const Tensor& x, const Tensor& target, std::string_view reduction) {
    const Pair p = float_pair("mse_loss", x, target);
    return reduced("mse_loss", square(p.x - p.target), reduction, p.dtype);
}

// ---- public functions ---------------------------------------------------------------------------

namespace {

Tensor call_smooth_l1(const Args& a) {
    const double beta = a.real(3);
    if (!(beta >= 0))
        fail(ErrorKind::kValue, "smooth_l1_loss", "beta is %g; it must be 0 or more", beta);
    const Pair p = float_pair("smooth_l1_loss", a.tensor(0), a.tensor(1));
    const Tensor d = abs(p.x - p.target);
    const Tensor loss = beta == 0 ? d : where(less(d, beta), d * d * (0.5 / beta), d - 0.5 * beta);
    return reduced("smooth_l1_loss", loss, a.text(2), p.dtype);
}

Tensor call_huber(const Args& a) {
    const double delta = a.real(3);
    if (!(delta > 0))
        fail(ErrorKind::kValue, "huber_loss", "delta is %g; it must be positive", delta);
    const Pair p = float_pair("huber_loss", a.tensor(0), a.tensor(1));
    const Tensor d = abs(p.x - p.target);
    const Tensor loss = where(less_equal(d, delta), d * d * 0.5, (d - 0.5 * delta) * delta);
    return reduced("huber_loss", loss, a.text(2), p.dtype);
}

// A weight that multiplies each element's loss; unlike targets it may broadcast.
Tensor weighted(const char* op, const Tensor& loss, const Tensor& weight) {
    if (!weight) return loss;
    if (!broadcastable_to(weight.shape(), loss.shape())) {
        fail(ErrorKind::kShape, op,
             "weight has shape %s, which does not broadcast to the loss of "
             "shape %s",
             format_shape(weight.shape()).c_str(), format_shape(loss.shape()).c_str());
    }
    return loss * cast(weight, loss.dtype());
}

Tensor call_bce(const Args& a) {
    const Pair p = float_pair("binary_cross_entropy", a.tensor(0), a.tensor(1));
    // Logarithms are cut at -100, so that a certain and wrong answer has a finite loss.
    const Tensor loss = negative(p.target * maximum(log(p.x), -100.0) +
                                 (1.0 - p.target) * maximum(log1p(negative(p.x)), -100.0));
    return reduced("binary_cross_entropy", weighted("binary_cross_entropy", loss, a.tensor(2)),
                   a.text(3), p.dtype);
}

Tensor call_bce_logits(const Args& a) {
    const char* op = "binary_cross_entropy_with_logits";
    const Pair p = float_pair(op, a.tensor(0), a.tensor(1));
    Tensor loss;
    if (a.has(4)) {
        const Tensor positive = weighted(op, p.target, a.tensor(4) - 1.0) + 1.0;
        loss = (1.0 - p.target) * p.x + positive * softplus(negative(p.x));
    } else {
        loss = softplus(p.x) - p.target * p.x;
    }
    return reduced(op, weighted(op, loss, a.tensor(2)), a.text(3), p.dtype);
}

Tensor call_kl_div(const Args& a) {
    const Pair p = float_pair("kl_div", a.tensor(0), a.tensor(1));
    const bool log_target = a.flag(3);
    const std::string_view mode = a.text(2);
    Tensor loss;
    if (log_target) {
        loss = exp(p.target) * (p.target - p.x);
    } else {
        // 0 log 0 is 0, also for the gradient: the logarithm never sees the zero.
        const Tensor some = greater(p.target, 0.0);
        loss = where(some, p.target * log(where(some, p.target, 1.0)), 0.0) - p.target * p.x;
    }
    if (mode != "batchmean") return reduced("kl_div", loss, mode, p.dtype);
    const double batch = p.x.rank() == 0 ? 1.0 : static_cast<double>(p.x.size(0));
    return cast(sum(loss, {}, false) / batch, p.dtype);
}

Tensor call_cosine_similarity(const Args& a) {
    const int64_t axis[] = {a.integer(2)};
    const Tensor p = to_compute(vector_of(a.tensor(0))), q = to_compute(vector_of(a.tensor(1)));
    // The axis is one of the broadcast shape.
    const Dims shape = broadcast_shapes("cosine_similarity", p.shape(), q.shape());
    const Tensor x = expand(p, shape), y = expand(q, shape);
    const Tensor dot = sum(x * y, axis, false);
    const Tensor scale = maximum(vector_norm(x, 2.0, axis, false), a.real(3)) *
                         maximum(vector_norm(y, 2.0, axis, false), a.real(3));
    return cast(dot / scale, a.tensor(0).dtype());
}

void register_label_losses() {
    register_op({.name = "check_labels",
                 .n_in = -1,
                 .n_out = 3,
                 .schema = "classes:int ignore_index:int number:dtype weight:dtype",
                 .doc = "Labels as class numbers and row weights; fails when one names no class.",
                 .infer = infer_check_labels,
                 .batch = batch_check_labels,
                 .check = check_labels_call,
                 .checks_values = true});
    register_op({.name = "cross_entropy",
                 .n_in = -1,
                 .schema = "smoothing:float",
                 .doc = "Cross-entropy of each row of logits (..., C) with its class number.",
                 .infer = infer_cross_entropy,
                 .grad = grad_cross_entropy,
                 .saves = save_in(0) | save_in(1) | save_in(2) | save_in(3),
                 .lower = lower_cross_entropy,
                 .batch = batch_cross_entropy,
                 .check = check_cross_entropy});
    register_function(
        {.signature = "cross_entropy(x: Tensor, target: Tensor, weight: Tensor? = None, "
                      "ignore_index: int = -100, reduction: str = \"mean\", "
                      "label_smoothing: float = 0.0) -> Tensor",
         .doc = R"(Cross-entropy between logits and labels, or probabilities, of classes.

Parameters
----------
x : Tensor
    Logits (not probabilities): (N, C), (N, C, d1, ...) or (C,). Half types compute in float32.
target : Tensor
    Integer labels of shape (N,), (N, d1, ...) or (), or probabilities with the shape of `x`.
weight : Tensor or None
    (C,): rescales the loss of each class; "mean" then divides by the weights of the labels.
ignore_index : int
    Labels with this value count neither in the loss nor in the mean.
reduction : str
    "mean", "sum" or "none".
label_smoothing : float
    The part of the target that is spread evenly over all classes (Szegedy et al. 2016).

Returns
-------
Tensor
    A scalar, or with "none" the shape of the labels, in nats.

Raises
------
ShapeError
    When the shapes do not fit: nothing broadcasts.
IndexError
    When a label names no class; it is named with its position. Raised when the value is read.

Examples
--------
>>> round(sn.cross_entropy(sn.tensor([[0.0, 0.0]]), sn.tensor([1])).item(), 4)
0.6931
)",
         .autocast = Autocast::kFull,
         .call =
             [](const Args& a) {
                 return cross_entropy(a.tensor(0), a.tensor(1),
                                      {a.tensor(2), a.integer(3), a.real(5), a.text(4)});
             },
         .method = false});
    register_function(
        {.signature = "nll_loss(x: Tensor, target: Tensor, weight: Tensor? = None, "
                      "ignore_index: int = -100, reduction: str = \"mean\") -> Tensor",
         .doc = R"(Negative log-likelihood: `cross_entropy` for log-probabilities, such as
`log_softmax` gives.

Examples
--------
>>> sn.nll_loss(sn.tensor([[-1.0, -2.0]]), sn.tensor([1])).item()
2.0
)",
         .autocast = Autocast::kFull,
         .call =
             [](const Args& a) {
                 return nll_loss(a.tensor(0), a.tensor(1),
                                 {a.tensor(2), a.integer(3), 0.0, a.text(4)});
             },
         .method = false});
}

void register_regression_losses() {
    register_function(
        {.signature = "mse_loss(x: Tensor, target: Tensor, reduction: str = \"mean\") -> Tensor",
         .doc = R"(Squared error ``(x - target)**2``, averaged ("mean"), summed ("sum") or as it
is ("none").

Raises
------
ShapeError
    When the shapes differ: losses do not broadcast.

Examples
--------
>>> sn.mse_loss(sn.tensor([1.0, 2.0]), sn.tensor([1.0, 4.0])).item()
2.0
)",
         .autocast = Autocast::kFull,
         .call = [](const Args& a) { return mse_loss(a.tensor(0), a.tensor(1), a.text(2)); },
         .method = false});
    register_function(
        {.signature = "l1_loss(x: Tensor, target: Tensor, reduction: str = \"mean\") -> Tensor",
         .doc = R"(Absolute error ``abs(x - target)``; otherwise like `mse_loss`.

Examples
--------
>>> sn.l1_loss(sn.tensor([1.0, 2.0]), sn.tensor([1.0, 4.0])).item()
1.0
)",
         .autocast = Autocast::kFull,
         .call =
             [](const Args& a) {
                 const Tensor &x = a.tensor(0), &target = a.tensor(1);
                 if (is_complex(x.dtype()) || is_complex(target.dtype())) {
                     check_same_shape("l1_loss", x, target);
                     const Tensor size = abs(x - target);
                     return reduced("l1_loss", size, a.text(2), size.dtype());
                 }
                 const Pair p = float_pair("l1_loss", x, target);
                 return reduced("l1_loss", abs(p.x - p.target), a.text(2), p.dtype);
             },
         .method = false});
    register_function(
        {.signature = "smooth_l1_loss(x: Tensor, target: Tensor, reduction: str = \"mean\", "
                      "beta: float = 1.0) -> Tensor",
         .doc = R"(Squared error below `beta` (divided by 2 beta), absolute error above (Girshick
2015).

Examples
--------
>>> sn.smooth_l1_loss(sn.tensor([0.0, 0.0]), sn.tensor([1.0, 3.0]), reduction="none").tolist()
[0.5, 2.5]
)",
         .autocast = Autocast::kFull,
         .call = call_smooth_l1,
         .method = false});
    register_function(
        {.signature = "huber_loss(x: Tensor, target: Tensor, reduction: str = \"mean\", "
                      "delta: float = 1.0) -> Tensor",
         .doc = R"(Half the squared error up to `delta`, linear beyond it (Huber 1964).

Examples
--------
>>> sn.huber_loss(sn.tensor([0.0]), sn.tensor([3.0]), delta=2.0).item()
4.0
)",
         .autocast = Autocast::kFull,
         .call = call_huber,
         .method = false});
}

void register_probability_losses() {
    register_function(
        {.signature = "binary_cross_entropy(x: Tensor, target: Tensor, weight: Tensor? = None, "
                      "reduction: str = \"mean\") -> Tensor",
         .doc = R"(Binary cross-entropy of probabilities `x` in [0, 1] with targets in [0, 1].

Logarithms are cut at -100. Prefer `binary_cross_entropy_with_logits`, which loses no digits.

Examples
--------
>>> round(sn.binary_cross_entropy(sn.tensor([0.5]), sn.tensor([1.0])).item(), 4)
0.6931
)",
         .autocast = Autocast::kFull,
         .call = call_bce,
         .method = false});
    register_function(
        {.signature = "binary_cross_entropy_with_logits(x: Tensor, target: Tensor, "
                      "weight: Tensor? = None, reduction: str = \"mean\", "
                      "pos_weight: Tensor? = None) -> Tensor",
         .doc =
             R"(Binary cross-entropy of ``sigmoid(x)``, computed from the logits without overflow.

Parameters
----------
x, target : Tensor
    One shape; targets in [0, 1].
weight : Tensor or None
    Multiplies each element's loss; broadcasts.
reduction : str
    "mean", "sum" or "none".
pos_weight : Tensor or None
    Multiplies the positive part, to balance recall and precision; broadcasts.

Examples
--------
>>> x, t = sn.tensor([0.0]), sn.tensor([1.0])
>>> round(sn.binary_cross_entropy_with_logits(x, t).item(), 4)
0.6931
)",
         .autocast = Autocast::kFull,
         .call = call_bce_logits,
         .aliases = "bce_with_logits",
         .method = false});
    register_function({.signature = "kl_div(x: Tensor, target: Tensor, reduction: str = \"mean\", "
                                    "log_target: bool = False) -> Tensor",
                       .doc = R"(Kullback-Leibler divergence ``target * (log(target) - x)`` with
log-probabilities `x`.

reduction may also be "batchmean": the sum divided by the batch size, the divergence proper.

Examples
--------
>>> p = sn.tensor([[0.5, 0.5]])
>>> sn.kl_div(sn.log(p), p, reduction="batchmean").item()
0.0
)",
                       .autocast = Autocast::kFull,
                       .call = call_kl_div,
                       .method = false});
    register_function(
        {.signature = "cosine_similarity(x: Tensor, other: Tensor, axis: int = 1, "
                      "eps: float = 1e-8) -> Tensor",
         .doc = R"(Cosine of the angle between vectors along an axis; norms below `eps` count as
`eps`.

Examples
--------
>>> sn.cosine_similarity(sn.tensor([[1.0, 0.0]]), sn.tensor([[0.0, 2.0]])).tolist()
[0.0]
)",
         .autocast = Autocast::kFull,
         .call = call_cosine_similarity,
         .method = false});
}

}  // namespace

void register_loss_ops() {
    register_label_losses();
    register_regression_losses();
    register_probability_losses();
}

}  // namespace sn
