"""Rules of matrix products, normalisation, softmax, losses and attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._graph_parts import GraphNode, GraphValue
from .export_builder import Call, product, rule
from .export_movement import expanded, integers
from .export_plan import Fused, Plan, same_shape
from .export_reduce import centred
from .export_sizes import Poly

__all__ = ["PATTERNS", "bias_of", "per_channel"]

# ---------------------------------------------------------------- products


@rule("matmul")
def _matmul(c: Call) -> str:
    x, y, dtype = c.x(0), c.x(1), c.dtype()
    if dtype in ("int8", "int16", "uint8", "uint16"):  # wider sums wrap to the same
        return c.cast(c.op("MatMul", c.cast(x, "int32"), c.cast(y, "int32")), dtype)
    return str(c.op("MatMul", x, y))


def turned_weight(plan: Plan, value: Any) -> GraphValue | None:
    """W when a value is the transposed matrix W."""
    node = plan.made_by(value, "permute")
    if node is None or tuple(node.attributes["axes"]) != (1, 0):
        return None
    found = node.inputs[0]
    return found if isinstance(found, GraphValue) else None


def _is_gemm(plan: Plan, node: GraphNode | None) -> bool:
    if node is None or not all(isinstance(v, GraphValue) for v in node.inputs):
        return False
    floats = node.outputs[0].dtype.name in ("float16", "float32", "float64")
    return floats and all(len(v.shape) == 2 for v in node.inputs)


def _linear(plan: Plan, node: GraphNode) -> Fused | None:
    """A product of matrices with a transposed weight, and what is added to each row: Gemm."""
    if node.op == "matmul" and _is_gemm(plan, node):
        weight = turned_weight(plan, node.inputs[1])
        if weight is not None:
            return Fused(_gemm, [node.inputs[0], weight], {"turned": True})
    if node.op != "add":
        return None
    for i in (0, 1):
        product_, bias = node.inputs[i], node.inputs[1 - i]
        made = plan.made_by(product_, "matmul")
        if not _is_gemm(plan, made) or not isinstance(bias, GraphValue):
            continue
        assert made is not None
        out = made.outputs[0]
        if not plan.alone(out) or not same_shape(out.shape, node.outputs[0].shape):
            continue
        if not (len(bias.shape) == 1 and Poly.of(bias.shape[0]) == Poly.of(out.shape[1])):
            continue
        weight = turned_weight(plan, made.inputs[1])
        reads = [made.inputs[0], made.inputs[1] if weight is None else weight, bias]
        return Fused(_gemm, reads, {"turned": weight is not None})
    return None


def _gemm(c: Call, f: Fused) -> str:
    more = {"transB": 1} if f.facts["turned"] else {}
    return str(c.op("Gemm", *(c.b.name(v) for v in f.reads), **more))


def bias_of(plan: Plan, value: Any, channels: Any, rank: int) -> GraphValue | None:
    """The vector that a value (C, 1, ..., 1) is a view of: what is added to each channel."""
    node = plan.made_by(value, "reshape")
    if node is None or not isinstance(node.inputs[0], GraphValue):
        return None
    vector = node.inputs[0]
    fits = len(vector.shape) == 1 and same_shape(vector.shape, (channels,))
    return vector if fits and same_shape(value.shape, (channels, *[1] * (rank - 2))) else None


def per_channel(c: Call, vector: str, rank: int) -> str:
    """(C,) as (C, 1, ..., 1)."""
    return c.b.unsqueeze(vector, *range(1, rank - 1)) if rank > 2 else vector


# ---------------------------------------------------------------- softmax and norms


@rule("softmax")
def _softmax(c: Call) -> str:
    return str(c.op("Softmax", c.x(0), axis=-1))


@rule("log_softmax")
def _log_softmax(c: Call) -> str:
    return str(c.op("LogSoftmax", c.x(0), axis=-1))


def _parts(c: Call, first: int) -> tuple[str, str]:
    """Names of weight and bias, or "" where there is none."""
    weight = c.x(first) if c.attr("weight") else ""
    bias = c.x(first + (1 if weight else 0)) if c.attr("bias") else ""
    return weight, bias


def _ones(c: Call, shape: tuple[Any, ...], dtype: str, value: float = 1.0) -> str:
    sizes = [Poly.of(s).constant for s in shape]
    if None not in sizes:
        return c.const(np.full(sizes, value), dtype)
    return str(c.op("Expand", c.const(value, dtype), c.b.sizes(shape)))


@rule("layer_norm")
def _layer_norm(c: Call) -> str:
    rank, eps = c.attr("rank"), c.attr("eps")
    weight, bias = _parts(c, 1)
    dtype = c.dtype()
    if dtype == "float64":  # LayerNormalization may compute in float32
        axes = list(range(-rank, 0))
        apart, _ = centred(c, c.x(0), axes)
        var = c.b.reduce("ReduceMean", c.op("Mul", apart, apart), axes)
        y = c.op("Div", apart, c.op("Sqrt", c.op("Add", var, c.num(eps))))
        y = c.op("Mul", y, weight) if weight else y
        return str(c.op("Add", y, bias) if bias else y)
    tail = c.shape()[len(c.shape()) - rank :]
    weight = weight or _ones(c, tail, dtype)
    return str(c.op("LayerNormalization", c.x(0), weight, bias, axis=-rank, epsilon=eps))


@rule("rms_norm")
def _rms_norm(c: Call) -> str:
    rank, eps = c.attr("rank"), c.attr("eps")
    weight, _ = _parts(c, 1)
    dtype = c.dtype()
    if c.opset >= 23 and dtype != "float64":
        tail = c.shape()[len(c.shape()) - rank :]
        weight = weight or _ones(c, tail, dtype)
        return str(c.op("RMSNormalization", c.x(0), weight, axis=-rank, epsilon=eps))
    x = c.x(0)
    half = dtype in ("float16", "bfloat16")
    x = c.cast(x, "float32") if half else x
    kind = "float32" if half else dtype
    mean = c.b.reduce("ReduceMean", c.op("Mul", x, x), list(range(-rank, 0)))
    y = c.op("Div", x, c.op("Sqrt", c.op("Add", mean, c.num(eps, kind))))
    if weight:
        y = c.op("Mul", y, c.cast(weight, kind) if half else weight)
    return c.cast(y, dtype) if half else str(y)


@rule("batch_norm_inference")
def _batch_norm_inference(c: Call) -> str:
    weight, bias = _parts(c, 3)
    channels = (c.shape()[1],)
    weight = weight or _ones(c, channels, c.dtype())
    bias = bias or _ones(c, channels, c.dtype(), 0.0)
    return str(
        c.op("BatchNormalization", c.x(0), weight, bias, c.x(1), c.x(2), epsilon=c.attr("eps"))
    )


@rule("batch_norm")
def _batch_norm(c: Call) -> tuple[str, str, str]:
    """With the statistics of the batch: BatchNormalization's training mode, which runtimes made for
    inference leave out, is written out."""
    weight, bias = _parts(c, 1)
    dtype, rank = c.out_dtype(1), c.rank()
    axes = [0, *range(2, rank)]
    x = c.x(0) if c.dtype() == dtype else c.cast(c.x(0), dtype)
    apart, mean = centred(c, x, axes)
    var = c.b.reduce("ReduceMean", c.op("Mul", apart, apart), axes)
    y = c.op("Div", apart, c.op("Sqrt", c.op("Add", var, c.num(c.attr("eps"), dtype))))
    for kind, part in (("Mul", weight), ("Add", bias)):
        if part:
            part = part if c.dtype() == dtype else c.cast(part, dtype)
            y = c.op(kind, y, per_channel(c, part, rank))
    y = y if c.dtype() == dtype else c.cast(y, c.dtype())
    return y, c.b.squeeze(mean, *axes), c.b.squeeze(var, *axes)


def _group_norm(plan: Plan, node: GraphNode) -> Fused | None:
    """reshape, layer_norm, reshape, weight, bias: InstanceNormalization or GroupNormalization."""
    if node.op != "add" or not isinstance(node.inputs[0], GraphValue):
        return None
    scaled = plan.made_by(node.inputs[0], "multiply")
    back = plan.made_by(scaled.inputs[0], "reshape") if scaled else None
    norm = plan.made_by(back.inputs[0], "layer_norm") if back else None
    flat = plan.made_by(norm.inputs[0], "reshape") if norm else None
    if scaled is None or back is None or norm is None or flat is None:
        return None
    x, y = flat.inputs[0], node.outputs[0]
    if not isinstance(x, GraphValue) or len(x.shape) < 3 or y.dtype.name != "float32":
        return None
    grouped = norm.inputs[0].shape
    if norm.attributes["rank"] != 1 or norm.attributes["weight"] or norm.attributes["bias"]:
        return None
    if len(grouped) != 3 or not same_shape(x.shape, y.shape):
        return None
    if not all(plan.alone(n.outputs[0]) for n in (scaled, back, norm, flat)):
        return None
    channels, groups = x.shape[1], grouped[1]
    weight = bias_of(plan, scaled.inputs[1], channels, len(x.shape))
    bias = bias_of(plan, node.inputs[1], channels, len(x.shape))
    if weight is None or bias is None or not isinstance(groups, int):
        return None
    if not same_shape(grouped[:1], x.shape[:1]):
        return None
    facts = {"groups": groups, "instance": groups == channels, "eps": norm.attributes["eps"]}
    return Fused(_write_group_norm, [x, weight, bias], facts)


def _write_group_norm(c: Call, f: Fused) -> str:
    x, weight, bias = (c.b.name(v) for v in f.reads)
    eps, groups = f.facts["eps"], f.facts["groups"]
    if f.facts["instance"]:
        return str(c.op("InstanceNormalization", x, weight, bias, epsilon=eps))
    if c.opset >= 21:
        return str(c.op("GroupNormalization", x, weight, bias, epsilon=eps, num_groups=groups))
    # Before opset 21, GroupNormalization had a weight per group and not per channel.
    shape = tuple(f.reads[0].shape)
    one = _ones(c, (groups,), "float32")
    zero = _ones(c, (groups,), "float32", 0.0)
    flat = c.op("Reshape", x, c.b.ints([0, groups, -1]))
    y = c.op("InstanceNormalization", flat, one, zero, epsilon=eps)
    y = c.op("Reshape", y, c.op("Shape", x))
    y = c.op("Mul", y, per_channel(c, weight, len(shape)))
    return str(c.op("Add", y, per_channel(c, bias, len(shape))))


# ---------------------------------------------------------------- losses


@rule("check_labels")
def _check_labels(c: Call) -> tuple[str, str, str]:
    """Nothing is checked in the exported model: a label that names no class gives what the runtime
    gives for an index outside of its tensor."""
    labels, kind = c.x(0), c.attr("weight")
    ignored = c.op("Equal", labels, c.const(c.attr("ignore_index"), "int64"))
    number = c.op("Where", ignored, c.const(-1, "int64"), labels)
    if c.attr("number") != "int64":
        number = c.cast(number, c.attr("number"))
    each = c.const(1.0, kind)
    if c.count > 1:
        each = c.op("Gather", c.x(1), c.op("Where", ignored, c.const(0, "int64"), labels))
    weight = c.op("Where", ignored, c.const(0.0, kind), each)
    total = c.op("ReduceSum", weight, keepdims=0)
    return number, weight, total


@rule("cross_entropy")
def _cross_entropy(c: Call) -> str:
    dtype, rank, smoothing = c.out_dtype(), c.rank(), c.attr("smoothing")
    x = c.x(0) if c.dtype() == dtype else c.cast(c.x(0), dtype)
    logp = c.op("LogSoftmax", x, axis=-1)
    number = c.x(1) if c.dtype(1) == "int64" else c.cast(c.x(1), "int64")
    zero = c.const(0, "int64")
    counted = c.op("GreaterOrEqual", number, zero)
    index = c.b.unsqueeze(c.op("Max", number, zero), rank - 1)
    own = c.op("Neg", c.b.squeeze(c.op("GatherElements", logp, index, axis=-1), rank - 1))
    loss = c.op("Mul", own, c.x(2))
    none = c.const(0.0, dtype)
    loss = c.op("Where", counted, loss, none)
    if smoothing == 0:
        return str(loss)
    classes = product(c.shape()[-1:])
    if classes.constant is not None:
        each = c.const(-smoothing / classes.constant, dtype)
    else:
        n = c.cast(c.b.size(classes), dtype)
        each = c.op("Div", c.const(-smoothing, dtype), n)
    if c.count > 3:
        each = c.op("Mul", c.x(3) if c.dtype(3) == dtype else c.cast(c.x(3), dtype), each)
    spread = c.b.reduce("ReduceSum", c.op("Mul", logp, each), [-1], keepdims=False)
    spread = c.op("Where", counted, spread, none)
    return str(c.op("Add", c.op("Mul", loss, c.const(1 - smoothing, dtype)), spread))


# ---------------------------------------------------------------- attention


def _heads(c: Call, x: str, shape: tuple[Any, ...], heads: Any) -> str:
    """Keys or values, once for each head of the queries that they serve."""
    rank = len(shape)
    if Poly.of(shape[rank - 3]) == Poly.of(heads):
        return x
    own = shape[rank - 3]
    if not isinstance(own, int) or not isinstance(heads, int):
        raise c.cannot("its numbers of heads are open sizes; make them numbers")
    one = (*shape[: rank - 2], 1, *shape[rank - 2 :])
    all_ = (*shape[: rank - 2], heads // own, *shape[rank - 2 :])
    x = expanded(c, c.b.unsqueeze(x, rank - 2), one, all_)
    return c.b.reshape(x, (*shape[: rank - 3], heads, *shape[rank - 2 :]))


def _scores(c: Call, q: str, k: str, mask: int | None) -> str:
    """q k' scale, -inf where a query may not look; rank of q and k as operands 0 and 1."""
    rank, dtype = c.rank(), c.out_dtype(1)
    turned = c.op("Transpose", k, perm=[*range(rank - 2), rank - 1, rank - 2])
    s = c.op("Mul", c.op("MatMul", q, turned), c.const(c.attr("scale"), dtype))
    low = c.const(-math.inf, dtype)
    if mask is not None:
        if c.dtype(mask) == "bool":
            s = c.op("Where", c.x(mask), s, low)
        else:
            s = c.op("Add", s, c.x(mask) if c.dtype(mask) == dtype else c.cast(c.x(mask), dtype))
    window = _window(c)
    return str(c.op("Where", window, s, low) if window else s)


def _window(c: Call) -> str:
    """Which keys lie inside the window of each query, (L, S); "" when there is no window."""
    left, right, rank = c.attr("left"), c.attr("right"), c.rank()
    if left < 0 and right < 0:
        return ""
    query = c.b.unsqueeze(integers(c, 0, 1, c.shape(0)[rank - 2]), 1)
    key = c.b.unsqueeze(integers(c, 0, 1, c.shape(1)[rank - 2]), 0)
    inside = ""
    if right >= 0:
        end = c.op("Add", query, c.const(right, "int64")) if right else query
        inside = c.op("LessOrEqual", key, end)
    if left >= 0:
        start = c.op("Sub", query, c.const(left, "int64")) if left else query
        behind = c.op("GreaterOrEqual", key, start)
        inside = c.op("And", inside, behind) if inside else behind
    return str(inside)


def _may_be_empty(c: Call) -> bool:
    """Whether a query may have no key to look at."""
    left, right = c.attr("left"), c.attr("right")
    queries, keys = (Poly.of(c.shape(i)[c.rank() - 2]) for i in (0, 1))
    beyond = left >= 0 and queries != keys  # later queries than keys look back in vain
    return bool(c.attr("mask") or beyond or (left >= 0 and right < 0 and queries != keys))


@rule("attention")
def _attention(c: Call) -> tuple[str, str]:
    rank, dtype = c.rank(), c.dtype()
    drops, masked = c.attr("dropout"), c.attr("mask")
    left, right = c.attr("left"), c.attr("right")
    plain = not drops and not masked and left < 0 and right <= 0 and not c.used(1)
    if c.opset >= 23 and rank == 4 and plain and dtype in ("float32", "float16", "bfloat16"):
        # Queries beyond the last key see all of them, as here: the mask counts from the first.
        y = c.op(
            "Attention", c.x(0), c.x(1), c.x(2), is_causal=int(right == 0), scale=c.attr("scale")
        )
        return str(y), ""
    compute = c.out_dtype(1)
    q, k, v = (c.x(i) if dtype == compute else c.cast(c.x(i), compute) for i in range(3))
    heads = c.shape(0)[rank - 3]
    k, v = _heads(c, k, c.shape(1), heads), _heads(c, v, c.shape(2), heads)
    s = _scores(c, q, k, 3 if masked else None)
    empty = ""
    if _may_be_empty(c):
        most = c.b.reduce("ReduceMax", s, [rank - 1])
        empty = c.op("Equal", most, c.const(-math.inf, compute))
        s = c.op("Where", empty, c.const(0.0, compute), s)
    p = c.op("Softmax", s, axis=-1)
    if empty:
        p = c.op("Where", empty, c.const(0.0, compute), p)
    if drops:
        p = _dropped(c, p, 3 + masked, (*c.shape(0)[: rank - 1], c.shape(1)[rank - 2]))
    y = c.op("MatMul", p, v)
    lse = ""
    if c.used(1):
        lse = c.b.reduce("ReduceLogSumExp", s, [rank - 1], keepdims=False)
        if empty:
            gone = c.b.squeeze(empty, rank - 1)
            lse = c.op("Where", gone, c.const(-math.inf, compute), lse)
    return (y if dtype == compute else c.cast(y, dtype)), lse


def _dropped(c: Call, p: str, at: int, shape: tuple[Any, ...]) -> str:
    """Probabilities, each zero with the rate that is operand `at`."""
    from .export_movement import _drawn

    rate, dtype = c.number(at), c.out_dtype(1)
    if rate is None:
        raise c.cannot("its rate of dropout is a tensor; make it a number, or call model.eval()")
    kept = c.op(
        "GreaterOrEqual",
        _drawn(c, "RandomUniform", "float32", shape, low=0.0, high=1.0),
        c.const(rate, "float32"),
    )
    p = c.op("Mul", p, c.const(1 / (1 - rate) if rate < 1 else 0.0, dtype))
    return str(c.op("Where", kept, p, c.const(0.0, dtype)))


@rule("attention_grad")
def _attention_grad(c: Call) -> tuple[str, ...]:
    """dv = P' D, dP = D v', dS = P (dP - sum(D out)), dq = scale dS k, dk = scale dS' q."""
    if c.attr("dropout"):
        raise c.cannot("the gradient of dropout would draw other numbers; call model.eval() first")
    rank, dtype = c.rank(), c.dtype()
    compute = "float32" if dtype in ("float16", "bfloat16") else dtype
    q, k, v, out, d = (
        c.x(i) if dtype == compute else c.cast(c.x(i), compute) for i in (0, 1, 2, 3, 5)
    )
    heads = c.shape(0)[rank - 3]
    k, v = _heads(c, k, c.shape(1), heads), _heads(c, v, c.shape(2), heads)
    mask = 6 if c.attr("mask") else None
    swap = [*range(rank - 2), rank - 1, rank - 2]
    s = _grad_scores(c, q, k, mask, compute)
    lse = c.b.unsqueeze(c.x(4), rank - 1)
    empty = c.op("Equal", lse, c.const(-math.inf, compute))
    p = c.op("Exp", c.op("Sub", s, c.op("Where", empty, c.const(0.0, compute), lse)))
    dv = c.op("MatMul", c.op("Transpose", p, perm=swap), d)
    dp = c.op("MatMul", d, c.op("Transpose", v, perm=swap))
    along = c.b.reduce("ReduceSum", c.op("Mul", d, out), [rank - 1])
    ds = c.op("Mul", p, c.op("Sub", dp, along))
    scale = c.const(c.attr("scale"), compute)
    dq = c.op("Mul", c.op("MatMul", ds, k), scale)
    dk = c.op("Mul", c.op("MatMul", c.op("Transpose", ds, perm=swap), q), scale)
    dk, dv = _shared(c, dk, c.shape(1)), _shared(c, dv, c.shape(2))
    grads = [dq, dk, dv]
    grads.append(ds if c.attr("mask_grad") else c.const(np.zeros(0), c.out_dtype(3)))
    if dtype != compute:
        grads = [c.cast(g, c.out_dtype(i)) for i, g in enumerate(grads)]
    return tuple(grads)


def _grad_scores(c: Call, q: str, k: str, mask: int | None, compute: str) -> str:
    rank = c.rank()
    turned = c.op("Transpose", k, perm=[*range(rank - 2), rank - 1, rank - 2])
    s = c.op("Mul", c.op("MatMul", q, turned), c.const(c.attr("scale"), compute))
    low = c.const(-math.inf, compute)
    if mask is not None and c.dtype(mask) == "bool":
        s = c.op("Where", c.x(mask), s, low)
    elif mask is not None:
        s = c.op("Add", s, c.x(mask))
    window = _window(c)
    return str(c.op("Where", window, s, low) if window else s)


def _shared(c: Call, x: str, shape: tuple[Any, ...]) -> str:
    """The sum over the heads of queries that share a head of keys."""
    rank, heads = len(shape), c.shape(0)[c.rank() - 3]
    own = shape[rank - 3]
    if Poly.of(own) == Poly.of(heads):
        return x
    split = (*shape[: rank - 3], own, heads // own, *shape[rank - 2 :])
    return c.b.reduce("ReduceSum", c.b.reshape(x, split), [rank - 2], keepdims=False)


PATTERNS = [_group_norm, _linear]
