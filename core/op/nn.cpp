#include "op/nn.h"

#include "op/api.h"
#include "op/batching.h"
#include "op/checks.h"
#include "op/function.h"
#include "op/op.h"
#include "op/rules.h"

namespace sn {

// Composite ops. Each is lowered to elementwise ops and reductions along trailing axes, which fuse
// into one row program, also with their neighbours. All compute in to_compute()'s dtype.

namespace {

constexpr int64_t kLast[] = {-1};

// ---- softmax along the last axis ----------------------------------------------------------------

void infer_softmax(InferCall& c) {
    require_float(c.op, "x", c.in[0]->dtype);
    c.out[0].shape = c.in[0]->shape;
    c.out[0].dtype = c.in[0]->dtype;
}

void lower_softmax(LowerCall& c) {
    const Tensor x = to_compute(c.in[0]);
    const Tensor e = exp(x - max(x, kLast, true));
    c.out[0] = cast(e / sum(e, kLast, true), c.in[0].dtype());
}
void grad_softmax(GradCall& c) {
    const Tensor y = to_compute(c.out(0)), g = to_compute(c.grad());
    c.set(0, (g - sum(g * y, kLast, true)) * y);
}

void lower_log_softmax(LowerCall& c) {
    const Tensor x = to_compute(c.in[0]);
    const Tensor z = x - max(x, kLast, true);
    c.out[0] = cast(z - log(sum(exp(z), kLast, true)), c.in[0].dtype());
}
void grad_log_softmax(GradCall& c) {
    const Tensor g = to_compute(c.grad());
    c.set(0, g - exp(to_compute(c.out(0))) * sum(g, kLast, true));
}

Tensor along_axis(const char* op, OpId id, const Tensor& input, int64_t axis) {
    const Tensor x = is_float(input.dtype()) ? input : cast(input, DType::kF32);
    if (x.rank() == 0) {
        const int64_t one[] = {1};
        return reshape(record(id, {reshape(x, one)}), {});
    }
    const int at = normalize_axis(op, axis, x.rank());
    if (x.numel() == 0) return x;
    return axis_from_last(record(id, {axis_to_last(x, at)}), at);
}

// ---- normalisation over trailing axes -----------------------------------------------------------

// Attributes: rank, eps, whether a weight and whether a bias follow x.
constexpr const char* kNormSchema = "rank:int eps:float weight:bool bias:bool";

void infer_layer_norm(InferCall& c) {
    const Dims& x = c.in[0]->shape;
    require_float(c.op, "x", c.in[0]->dtype);
    const int64_t rank = c.attrs.i(0);
    if (rank < 1 || rank > static_cast<int64_t>(x.size())) {
        fail(ErrorKind::kShape, c.op,
             "%lld dimensions are to be normalised and x has shape %s; at least one is required, "
             "and at most as many as x has",
             ll(rank), format_shape(x).c_str());
    }
    const DimSpan tail = DimSpan(x).last(rank);
    for (size_t i = 1; i < c.in.size(); ++i) {
        if (c.in[i]->shape == Dims(tail)) continue;
        fail(ErrorKind::kShape, c.op,
             "%s has shape %s; x of shape %s normalised over its last %lld "
             "dimensions needs %s",
             i == 1 && c.attrs.b(2) ? "weight" : "bias", format_shape(c.in[i]->shape).c_str(),
             format_shape(x).c_str(), ll(rank), format_shape(tail).c_str());
    }
    c.out[0].shape = x;
    c.out[0].dtype = c.in[0]->dtype;
}

bool batch_leading_first(BatchCall& c) {  // further operands are those of every row
    std::vector<Tensor> in(c.in.begin(), c.in.end());
    in[0] = c.spread(0);
    return c.call(in, same_attrs(c));
}

void lower_layer_norm(LowerCall& c) {
    const Tensor x = to_compute(c.in[0]);
    const Dims axes = trailing_axes(x.rank(), c.attrs.i(0));
    const Tensor centred = x - mean(x, axes, true);
    Tensor y = centred * rsqrt(var(x, axes, 0.0, true) + c.attrs.f(1));
    size_t next = 1;
    if (c.attrs.b(2)) y = y * cast(c.in[next++], x.dtype());
    if (c.attrs.b(3)) y = y + cast(c.in[next], x.dtype());
    c.out[0] = cast(y, c.in[0].dtype());
}

void grad_layer_norm(GradCall& c) {
    const Tensor x = to_compute(c.in(0)), g = to_compute(c.grad());
    const Dims axes = trailing_axes(x.rank(), c.attrs.i(0));
    const bool weight = c.attrs.b(2);
    const Tensor scale = rsqrt(var(x, axes, 0.0, true) + c.attrs.f(1));
    const Tensor normal = (x - mean(x, axes, true)) * scale;
    if (c.needs(0)) {
        const Tensor gy = weight ? g * cast(c.in(1), x.dtype()) : g;
        c.set(0, scale * (gy - mean(gy, axes, true) - normal * mean(gy * normal, axes, true)));
    }
    if (weight && c.needs(1)) c.set(1, g * normal);
    if (c.attrs.b(3) && c.needs(weight ? 2 : 1)) c.set(weight ? 2 : 1, g);
}

// A weight of each example's own is multiplied on afterwards, as the op itself does.
bool batch_norm_of_rows(BatchCall& c) {
    if (!c.any_batched(1, 3)) return batch_leading_first(c);
    const int rank = c.rank(0);
    const DType dtype = c.in[0].dtype();
    const Tensor x = to_compute(c.batched[0] ? c.in[0] : c.spread(0));
    Tensor y = record(c.def.id, {x}, EditedAttrs(c).word(2, 0).word(3, 0).get());
    size_t next = 1;
    if (c.attrs.b(2)) y = y * cast(c.raised(next++, rank), y.dtype());
    if (c.attrs.b(3)) y = y + cast(c.raised(next, rank), y.dtype());
    c.out[0] = cast(y, dtype);
    return true;
}

void lower_rms_norm(LowerCall& c) {
    const Tensor x = to_compute(c.in[0]);
    const Dims axes = trailing_axes(x.rank(), c.attrs.i(0));
    Tensor y = x * rsqrt(mean(x * x, axes, true) + c.attrs.f(1));
    if (c.attrs.b(2)) y = y * cast(c.in[1], x.dtype());
    c.out[0] = cast(y, c.in[0].dtype());
}

void grad_rms_norm(GradCall& c) {
    const Tensor x = to_compute(c.in(0)), g = to_compute(c.grad());
    const Dims axes = trailing_axes(x.rank(), c.attrs.i(0));
    const Tensor scale = rsqrt(mean(x * x, axes, true) + c.attrs.f(1));
    const Tensor normal = x * scale;
    if (c.needs(0)) {
        const Tensor gy = c.attrs.b(2) ? g * cast(c.in(1), x.dtype()) : g;
        c.set(0, scale * (gy - normal * mean(gy * normal, axes, true)));
    }
    if (c.attrs.b(2) && c.needs(1)) c.set(1, g * normal);
}

// ---- batch normalisation: statistics per channel (axis 1) ---------------------------------------

// Attributes: eps, whether a weight and whether a bias follow x. Outputs: y, mean, biased variance.
Dims axes_but_channels(int rank) {
    Dims axes = all_axes(rank);
    axes.erase(1);
    return axes;
}
Tensor per_channel(const Tensor& v, int rank) {  // (C,) as (C, 1, ..., 1)
    Dims shape(rank - 1, 1);
    shape[0] = v.size(0);
    return reshape(v, shape);
}

void check_channels(const char* op, const char* what, const Dims& shape, const Dims& x) {
    if (shape.size() == 1 && shape[0] == x[1]) return;
    fail(ErrorKind::kShape, op,
         "%s has shape %s; x of shape %s has %lld channels (axis 1) and needs "
         "(%lld,)",
         what, format_shape(shape).c_str(), format_shape(x).c_str(), ll(x[1]), ll(x[1]));
}

// Calls from files: as many operands as the attributes say.
template <int weight>
void check_parts(const CheckCall& c, size_t first) {
    const size_t count = first + c.attrs.b(weight) + c.attrs.b(weight + 1);
    c.operands(count, count);
    c.tensors(0, count);
    for (size_t i = 0; i < count; ++i) c.floating(i);
}
void check_norm(const CheckCall& c) { check_parts<2>(c, 1); }
template <int first>
void check_batch_norm(const CheckCall& c) {
    check_parts<1>(c, first);
    c.require(c.rank(0) >= 2, "x has no channels");
}

void infer_batch_norm(InferCall& c) {
    const Dims& x = c.in[0]->shape;
    for (size_t i = 1; i < c.in.size(); ++i) {
        check_channels(c.op, i == 1 && c.attrs.b(1) ? "weight" : "bias", c.in[i]->shape, x);
    }
    c.out[0].shape = x;
    c.out[0].dtype = c.in[0]->dtype;
    for (int k : {1, 2}) {
        c.out[k].shape = Dims{x[1]};
        c.out[k].dtype = compute_dtype(c.in[0]->dtype);
    }
}

void lower_batch_norm(LowerCall& c) {
    static const OpId var_mean = find_op("var_mean");
    const Tensor x = to_compute(c.in[0]);
    const int rank = x.rank();
    Tensor moments[2];
    record(var_mean, {c.in.data(), 1}, Attrs().ints(axes_but_channels(rank)).b(false), moments);
    Tensor scale = rsqrt(moments[0] + c.attrs.f(0));
    size_t next = 1;
    if (c.attrs.b(1)) scale = scale * cast(c.in[next++], x.dtype());
    // Centred before scaling: folding the mean into the bias would cancel digits.
    Tensor y = (x - per_channel(moments[1], rank)) * per_channel(scale, rank);
    if (c.attrs.b(2)) y = y + per_channel(cast(c.in[next], x.dtype()), rank);
    c.out[0] = cast(y, c.in[0].dtype());
    c.out[1] = moments[1];
    c.out[2] = moments[0];
}

void grad_batch_norm(GradCall& c) {
    const Tensor x = to_compute(c.in(0));
    const int rank = x.rank();
    const Dims axes = axes_but_channels(rank);
    const double n = static_cast<double>(count_along(x.shape(), axes));
    const bool weight = c.attrs.b(1);
    const Tensor centred = x - per_channel(c.out(1), rank);
    const Tensor scale = rsqrt(c.out(2) + c.attrs.f(0));
    Tensor gx;
    if (c.has_grad(0)) {
        const Tensor g = to_compute(c.grad(0));
        const Tensor normal = centred * per_channel(scale, rank);
        const Tensor sum_g = sum(g, axes, false), sum_gn = sum(g * normal, axes, false);
        const Tensor factor = weight ? scale * cast(c.in(1), x.dtype()) : scale;
        gx = per_channel(factor, rank) *
             (g - per_channel(sum_g / n, rank) - normal * per_channel(sum_gn / n, rank));
        if (weight && c.needs(1)) c.set(1, sum_gn);
        if (c.attrs.b(2) && c.needs(weight ? 2 : 1)) c.set(weight ? 2 : 1, sum_g);
    }
    const auto add = [&](const Tensor& more) { gx = gx ? gx + more : expand(more, x.shape()); };
    if (c.has_grad(1)) add(per_channel(c.grad(1) / n, rank));
    if (c.has_grad(2)) add(per_channel(c.grad(2) * (2.0 / n), rank) * centred);
    if (gx && c.needs(0)) c.set(0, gx);
}

// With given statistics. Attributes as above; inputs: x, mean, variance, weight, bias.
void infer_batch_norm_inference(InferCall& c) {
    const Dims& x = c.in[0]->shape;
    const char* const names[] = {"the running mean", "the running variance",
                                 c.attrs.b(1) ? "weight" : "bias", "bias"};
    for (size_t i = 1; i < c.in.size(); ++i)
        check_channels("batch_norm", names[i - 1], c.in[i]->shape, x);
    c.out[0].shape = x;
    c.out[0].dtype = c.in[0]->dtype;
}

void lower_batch_norm_inference(LowerCall& c) {
    const Tensor x = to_compute(c.in[0]);
    const int rank = x.rank();
    size_t next = 3;
    Tensor scale = rsqrt(cast(c.in[2], x.dtype()) + c.attrs.f(0));
    if (c.attrs.b(1)) scale = scale * cast(c.in[next++], x.dtype());
    Tensor y = (x - per_channel(cast(c.in[1], x.dtype()), rank)) * per_channel(scale, rank);
    if (c.attrs.b(2)) y = y + per_channel(cast(c.in[next], x.dtype()), rank);
    c.out[0] = cast(y, c.in[0].dtype());
}

void grad_batch_norm_inference(GradCall& c) {
    const Tensor x = to_compute(c.in(0)), g = to_compute(c.grad());
    const int rank = x.rank();
    const Dims axes = axes_but_channels(rank);
    const bool weight = c.attrs.b(1);
    const Tensor deviation = rsqrt(cast(c.in(2), x.dtype()) + c.attrs.f(0));
    const Tensor factor = weight ? deviation * cast(c.in(3), x.dtype()) : deviation;
    if (c.needs(0)) c.set(0, g * per_channel(factor, rank));
    const int bias = weight ? 4 : 3;
    const bool needs_bias = c.attrs.b(2) && c.needs(bias);
    if (c.needs(1) || needs_bias) {
        const Tensor sum_g = sum(g, axes, false);
        if (c.needs(1)) c.set(1, negative(factor * sum_g));
        if (needs_bias) c.set(bias, sum_g);
    }
    if (c.needs(2) || (weight && c.needs(3))) {
        const Tensor centred = x - per_channel(cast(c.in(1), x.dtype()), rank);
        const Tensor sum_gn = sum(g * (centred * per_channel(deviation, rank)), axes, false);
        if (weight && c.needs(3)) c.set(3, sum_gn);
        if (c.needs(2)) c.set(2, -0.5 * (factor * deviation * sum_gn));
    }
}

// Channels of different examples are different channels. Operand and result 0 are (batch, channels,
// ...), the others (channels,).
bool batch_batch_norm(BatchCall& c) {
    const auto channels = [](size_t i, int) { return i == 0 ? 1 : 0; };
    return batch_joined(c, channels, channels);
}

// Used inside lowered graphs only: both moments in one pass over x. Outputs: variance, mean.
void infer_var_mean(InferCall& c) {
    for (int k : {0, 1}) {
        c.out[k].shape = reduced_shape(c.in[0]->shape, c.attrs.ints(0), c.attrs.b(1));
        c.out[k].dtype = compute_dtype(c.in[0]->dtype);
    }
}

void check_batched(const char* op, const Tensor& x) {
    require_float(op, "x", x.dtype());
    if (x.rank() >= 2) return;
    fail(ErrorKind::kShape, op, "x has shape %s; it must be (batch, channels, ...)",
         format_shape(x.shape()).c_str());
}

}  // namespace

Tensor softmax(const Tensor& x, int64_t axis) {
    static const OpId id = find_op("softmax");
    return along_axis("softmax", id, x, axis);
}
Tensor log_softmax(const Tensor& x, int64_t axis) {
    static const OpId id = find_op("log_softmax");
    return along_axis("log_softmax", id, x, axis);
}

Tensor layer_norm(const Tensor& x, int64_t normalized_rank, const Tensor& weight,
                  const Tensor& bias, double eps) {
    static const OpId id = find_op("layer_norm");
    const Given in(x, weight, bias);
    return record(id, in.items(),
                  Attrs().i(normalized_rank).f(eps).b(given(weight)).b(given(bias)));
}

Tensor rms_norm(const Tensor& x, int64_t normalized_rank, const Tensor& weight, double eps) {
    static const OpId id = find_op("rms_norm");
    const Given in(x, weight);
    return record(id, in.items(), Attrs().i(normalized_rank).f(eps).b(given(weight)).b(false));
}

Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& weight, const Tensor& bias,
                  double eps) {
    check_batched("group_norm", x);
    if (groups < 1 || x.size(1) % groups != 0) {
        fail(ErrorKind::kShape, "group_norm",
             "x of shape %s has %lld channels (axis 1), which %lld groups do not divide",
             format_shape(x.shape()).c_str(), ll(x.size(1)), ll(groups));
    }
    if (weight) check_channels("group_norm", "weight", weight.shape(), x.shape());
    if (bias) check_channels("group_norm", "bias", bias.shape(), x.shape());
    const int64_t grouped[] = {x.size(0), groups, x.numel() == 0 ? 0 : -1};
    Tensor y = layer_norm(reshape(to_compute(x), grouped), 1, Tensor(), Tensor(), eps);
    y = reshape(y, x.shape());
    if (weight) y = y * per_channel(cast(weight, y.dtype()), x.rank());
    if (bias) y = y + per_channel(cast(bias, y.dtype()), x.rank());
    return cast(y, x.dtype());
}

BatchNormResult batch_norm_train(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                 double eps) {
    check_batched("batch_norm", x);
    if (count_along(x.shape(), axes_but_channels(x.rank())) < 2) {
        fail(ErrorKind::kValue, "batch_norm",
             "x of shape %s has fewer than two values per channel, so it has no variance to divide "
             "by; train with larger batches, or call .eval() first",
             format_shape(x.shape()).c_str());
    }
    static const OpId id = find_op("batch_norm");
    const Given in(x, weight, bias);
    Tensor out[3];
    record(id, in.items(), Attrs().f(eps).b(given(weight)).b(given(bias)), out);
    return {out[0], out[1], out[2]};
}

Tensor batch_norm_inference(const Tensor& x, const Tensor& mean, const Tensor& var,
                            const Tensor& weight, const Tensor& bias, double eps) {
    check_batched("batch_norm", x);
    static const OpId id = find_op("batch_norm_inference");
    const Tensor all[] = {x, mean, var, weight ? weight : bias, bias};
    const size_t count = 3 + size_t{given(weight)} + size_t{given(bias)};
    return record(id, {all, count}, Attrs().f(eps).b(given(weight)).b(given(bias)));
}

// ---- public functions ---------------------------------------------------------------------------

namespace {

int64_t normalized_rank(const char* op, const Tensor& x, DimSpan shape) {
    if (shape.size() <= x.shape().size() &&
        Dims(DimSpan(x.shape()).last(shape.size())) == Dims(shape))
        return static_cast<int64_t>(shape.size());
    fail(ErrorKind::kShape, op,
         "x has shape %s, whose last dimensions are not the normalized shape "
         "%s",
         format_shape(x.shape()).c_str(), format_shape(shape).c_str());
}

void register_softmax_functions() {
    register_function(
        {.signature = "softmax(x: Tensor, axis: int = -1, dtype: DType? = None) -> Tensor",
         .doc = R"(Exponentials that sum to one along an axis: ``exp(x) / sum(exp(x))``, without
overflow.

Parameters
----------
x : Tensor
    Any shape. Integers become float32; float16 and bfloat16 are computed in float32 and rounded
once.
axis : int
    The axis whose elements sum to one.

Returns
-------
Tensor
    The shape and (floating) dtype of `x`.

Examples
--------
>>> sn.softmax(sn.tensor([1.0, 1.0])).tolist()
[0.5, 0.5]
)",
         .autocast = Autocast::kFull,
         .call = [](const Args& a) {
             return softmax(a.has(2) ? cast(a.tensor(0), a.dtype(2)) : a.tensor(0), a.integer(1));
         }});
    register_function(
        {.signature = "log_softmax(x: Tensor, axis: int = -1, dtype: DType? = None) -> Tensor",
         .doc = R"(Logarithm of `softmax`, computed without leaving the logarithmic scale.

Examples
--------
>>> round(sn.log_softmax(sn.tensor([1.0, 1.0]))[0].item(), 4)
-0.6931
)",
         .autocast = Autocast::kFull,
         .call = [](const Args& a) {
             return log_softmax(a.has(2) ? cast(a.tensor(0), a.dtype(2)) : a.tensor(0),
                                a.integer(1));
         }});
}

void register_norm_functions() {
    register_function(
        {.signature = "layer_norm(x: Tensor, normalized_shape: Ints, weight: Tensor? = None, "
                      "bias: Tensor? = None, eps: float = 1e-5) -> Tensor",
         .doc = R"(Layer normalisation (Ba, Kiros, Hinton 2016) over the trailing dimensions.

Parameters
----------
x : Tensor
    (..., *normalized_shape), floating point. Computed in float32 for half types, rounded once.
normalized_shape : int or tuple of int
    The trailing dimensions that share one mean and one variance.
weight, bias : Tensor or None
    Of shape `normalized_shape`.
eps : float
    Added to the variance.

Returns
-------
Tensor
    ``(x - mean) / sqrt(var + eps) * weight + bias``, in the shape and dtype of `x`.

Raises
------
ShapeError
    When `normalized_shape`, `weight` or `bias` do not fit `x`.

Examples
--------
>>> sn.layer_norm(sn.tensor([1.0, 3.0]), 2, eps=0.0).tolist()
[-1.0, 1.0]
)",
         .autocast = Autocast::kFull,
         .call =
             [](const Args& a) {
                 return layer_norm(a.tensor(0),
                                   normalized_rank("layer_norm", a.tensor(0), a.ints(1)),
                                   a.tensor(2), a.tensor(3), a.real(4));
             },
         .method = false});
    register_function(
        {.signature = "rms_norm(x: Tensor, normalized_shape: Ints, weight: Tensor? = None, "
                      "eps: float = 1e-6) -> Tensor",
         .doc = R"(Root-mean-square normalisation (Zhang, Sennrich 2019) over the trailing
dimensions.

``x / sqrt(mean(x * x) + eps) * weight``; parameters are those of `layer_norm`.

Examples
--------
>>> sn.rms_norm(sn.tensor([3.0, -3.0]), 2, eps=0.0).tolist()
[1.0, -1.0]
)",
         .autocast = Autocast::kFull,
         .call =
             [](const Args& a) {
                 return rms_norm(a.tensor(0), normalized_rank("rms_norm", a.tensor(0), a.ints(1)),
                                 a.tensor(2), a.real(3));
             },
         .method = false});
    register_function(
        {.signature = "group_norm(x: Tensor, num_groups: int, weight: Tensor? = None, "
                      "bias: Tensor? = None, eps: float = 1e-5) -> Tensor",
         .doc = R"(Group normalisation (Wu, He 2018): statistics over groups of channels of each
sample.

Parameters
----------
x : Tensor
    (batch, channels, ...).
num_groups : int
    Must divide the channels. 1 normalises each sample, `channels` each channel (instance norm).
weight, bias : Tensor or None
    (channels,).

Examples
--------
>>> sn.group_norm(sn.tensor([[1.0, 3.0]]), 1, eps=0.0).tolist()
[[-1.0, 1.0]]
)",
         .autocast = Autocast::kFull,
         .call =
             [](const Args& a) {
                 return group_norm(a.tensor(0), a.integer(1), a.tensor(2), a.tensor(3), a.real(4));
             },
         .method = false});
    register_function(
        {.signature = "batch_norm_train(x: Tensor, weight: Tensor? = None, bias: Tensor? = None, "
                      "eps: float = 1e-5) -> tuple[Tensor, Tensor, Tensor]",
         .doc = R"(Batch normalisation (Ioffe, Szegedy 2015) with the statistics of the batch.

Parameters
----------
x : Tensor
    (batch, channels, ...), with at least two values per channel.
weight, bias : Tensor or None
    (channels,).

Returns
-------
tuple of Tensor
    The normalised `x`, and the mean and the biased variance per channel (float32 for half types),
    from which a layer keeps its running statistics.

Raises
------
ValueError
    When a channel has a single value.

Examples
--------
>>> y, mean, var = sn.batch_norm_train(sn.tensor([[1.0], [3.0]]), eps=0.0)
>>> y.tolist(), mean.tolist(), var.tolist()
([[-1.0], [1.0]], [2.0], [1.0])
)",
         .call_many =
             [](const Args& a) {
                 BatchNormResult r =
                     batch_norm_train(a.tensor(0), a.tensor(1), a.tensor(2), a.real(3));
                 return Results{r.y, r.mean, r.var};
             },
         .method = false});
    register_function(
        {.signature = "batch_norm_inference(x: Tensor, mean: Tensor, var: Tensor, "
                      "weight: Tensor? = None, bias: Tensor? = None, eps: float = 1e-5) -> Tensor",
         .doc = R"(Batch normalisation with given statistics: elementwise, so it joins the
convolution before it.

Examples
--------
>>> x, one = sn.tensor([[3.0]]), sn.tensor([1.0])
>>> sn.batch_norm_inference(x, one, one, eps=0.0).tolist()
[[2.0]]
)",
         .call =
             [](const Args& a) {
                 return batch_norm_inference(a.tensor(0), a.tensor(1), a.tensor(2), a.tensor(3),
                                             a.tensor(4), a.real(5));
             },
         .method = false});
    register_function(
        {.signature = "normalize(x: Tensor, p: float = 2.0, axis: int = 1, eps: float = 1e-12) "
                      "-> Tensor",
         .doc = R"(x divided by its p-norm along an axis, or by `eps` where the norm is smaller.

Examples
--------
>>> sn.normalize(sn.tensor([[0.0, 4.0]])).tolist()
[[0.0, 1.0]]
)",
         .call =
             [](const Args& a) {
                 const int64_t axis[] = {a.integer(2)};
                 const Tensor x = vector_of(a.tensor(0));
                 const Tensor length = maximum(vector_norm(x, a.real(1), axis, true), a.real(3));
                 return like(x / length, a.tensor(0));
             },
         .method = false});
}

}  // namespace

void register_nn_ops() {
    register_op({.name = "softmax",
                 .doc = "Softmax along the last axis.",
                 .infer = infer_softmax,
                 .grad = grad_softmax,
                 .saves = save_out(0),
                 .lower = lower_softmax,
                 .batch = batch_leading,
                 .check = check_rows});
    register_op({.name = "log_softmax",
                 .doc = "Log-softmax along the last axis.",
                 .infer = infer_softmax,
                 .grad = grad_log_softmax,
                 .saves = save_out(0),
                 .lower = lower_log_softmax,
                 .batch = batch_leading,
                 .check = check_rows});
    register_op({.name = "layer_norm",
                 .n_in = -1,
                 .schema = kNormSchema,
                 .doc = "Layer normalisation over trailing axes.",
                 .infer = infer_layer_norm,
                 .grad = grad_layer_norm,
                 .saves = save_in(0) | save_in(1),
                 .lower = lower_layer_norm,
                 .batch = batch_norm_of_rows,
                 .check = check_norm});
    register_op({.name = "rms_norm",
                 .n_in = -1,
                 .schema = kNormSchema,
                 .doc = "Root-mean-square normalisation over trailing axes.",
                 .infer = infer_layer_norm,
                 .grad = grad_rms_norm,
                 .saves = save_in(0) | save_in(1),
                 .lower = lower_rms_norm,
                 .batch = batch_norm_of_rows,
                 .check = check_norm});
    register_op({.name = "batch_norm",
                 .n_in = -1,
                 .n_out = 3,
                 .schema = "eps:float weight:bool bias:bool",
                 .doc = "Batch normalisation with the statistics of the batch.",
                 .infer = infer_batch_norm,
                 .grad = grad_batch_norm,
                 .saves = save_in(0) | save_in(1) | save_out(1) | save_out(2),
                 .lower = lower_batch_norm,
                 .batch = batch_batch_norm,
                 .check = check_batch_norm<1>});
    register_op({.name = "batch_norm_inference",
                 .n_in = -1,
                 .schema = "eps:float weight:bool bias:bool",
                 .doc = "Batch normalisation with given statistics.",
                 .infer = infer_batch_norm_inference,
                 .grad = grad_batch_norm_inference,
                 .saves = save_in(0) | save_in(1) | save_in(2) | save_in(3),
                 .lower = lower_batch_norm_inference,
                 .batch = batch_batch_norm,
                 .check = check_batch_norm<3>});
    register_op({.name = "var_mean",
                 .n_out = 2,
                 .schema = "axes:ints keepdims:bool",
                 .doc = "Variance and mean in one pass, in the compute dtype.",
                 .infer = infer_var_mean,
                 .batch = batch_axes<0>,
                 .check = check_float_axes,
                 .layout = Layout::kAny});
    register_softmax_functions();
    register_norm_functions();
    register_loss_ops();
}

}  // namespace sn
