"""Slow and obvious NumPy versions of what NumPy itself lacks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

erf = np.vectorize(math.erf, otypes=[float])
erfc = np.vectorize(math.erfc, otypes=[float])


def floor_divide(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The standard's: zeros and infinities divide as in x / y, where NumPy follows Python."""
    floored = np.floor_divide(x, y)
    if np.asarray(floored).dtype.kind != "f":
        return floored
    return np.where(np.isinf(x) | np.isinf(y) | (y == 0), np.divide(x, y), floored)


def ndtr(x: np.ndarray) -> np.ndarray:
    return 0.5 * erfc(-x / math.sqrt(2.0))


def sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


def gated(x: np.ndarray, gate: np.ndarray) -> np.ndarray:
    """x times a gate that closes at -inf: the limit there, where the product itself is NaN."""
    return np.where(x == -np.inf, -0.0, x * gate)


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    inner = 2.0 * math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)
    return gated(x, sigmoid(inner))


def elu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, slope * np.expm1(np.minimum(x, 0.0)))


def left_shift(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    width = x.dtype.itemsize * 8
    valid = (y >= 0) & (y < width)
    return np.where(valid, np.left_shift(x, np.where(valid, y, 0)), 0).astype(x.dtype)


def right_shift(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    width = x.dtype.itemsize * 8
    valid = (y >= 0) & (y < width)
    return (
        np.right_shift(x, np.where(valid, y, width - 1).astype(x.dtype))
        if (x.dtype.kind == "i")
        else np.where(valid, np.right_shift(x, np.where(valid, y, 0)), 0).astype(x.dtype)
    )


# ---------------------------------------------------------------- reductions and scans


def logsumexp(x: np.ndarray, axis: Any = None, keepdims: bool = False) -> np.ndarray:
    top = np.max(x, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return total if keepdims else np.squeeze(total, axis)


def log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return x - logsumexp(x, axis, True)


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    shifted = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    return shifted / shifted.sum(axis=axis, keepdims=True)


def variance(
    x: np.ndarray, axis: Any = None, correction: float = 0.0, keepdims: bool = False
) -> np.ndarray:
    return np.var(x, axis=axis, ddof=correction, keepdims=keepdims)


def vector_norm(
    x: np.ndarray, axis: Any = None, keepdims: bool = False, ord: float = 2.0
) -> np.ndarray:
    a = np.abs(x)
    if ord == math.inf:
        return np.max(a, axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return np.min(a, axis=axis, keepdims=keepdims)
    if ord == 0:
        return np.sum(a != 0, axis=axis, keepdims=keepdims).astype(float)
    return np.sum(a**ord, axis=axis, keepdims=keepdims) ** (1.0 / ord)


def cumulative(
    f: Any, x: np.ndarray, axis: int | None, start: float, include_initial: bool
) -> np.ndarray:
    axis = 0 if axis is None else axis
    out = f(x, axis=axis)
    if not include_initial:
        return out
    shape = list(x.shape)
    shape[axis] = 1
    return np.concatenate([np.full(shape, start, out.dtype), out], axis=axis)


def sum_to(x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    lead = x.ndim - len(shape)
    axes = [d for d in range(x.ndim) if d < lead or (shape[d - lead] == 1 and x.shape[d] != 1)]
    return x.sum(axis=tuple(axes), keepdims=True).reshape(shape)


# ---------------------------------------------------------------- convolution and pooling


def spread(value: Any, n: int) -> tuple[int, ...]:
    return (value,) * n if isinstance(value, int) else tuple(value)


def patches(
    x: np.ndarray, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> np.ndarray:
    """Windows of the trailing dimensions: (..., *places, *kernel)."""
    n = len(kernel)
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    view = sliding_window_view(x, reach, tuple(range(x.ndim - n, x.ndim)))
    lead = (slice(None),) * (x.ndim - n)
    return view[
        lead
        + tuple(slice(None, None, s) for s in stride)
        + tuple(slice(None, None, d) for d in dilation)
    ]


def conv(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    auto_pad: str = "explicit",
) -> np.ndarray:
    n = weight.ndim - 2
    single = x.ndim == n + 1
    x = x[None] if single else x
    stride, padding, dilation = spread(stride, n), spread(padding, n), spread(dilation, n)
    kernel = weight.shape[2:]
    pads = [(p, p) for p in padding]
    if auto_pad == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilation)]
        pads = [(t // 2, t - t // 2) for t in total]
    padded = np.pad(x, [(0, 0), (0, 0), *pads])
    windows = patches(padded, kernel, stride, dilation)
    outs = []
    for part, w in zip(np.split(windows, groups, 1), np.split(weight, groups, 0)):
        spatial = list(range(2, 2 + n))
        kernel_axes = list(range(2 + n, 2 + 2 * n))
        out = np.tensordot(part, w, axes=([1, *kernel_axes], [1, *spatial]))
        outs.append(np.moveaxis(out, -1, 1))
    out = np.concatenate(outs, 1)
    if bias is not None:
        out = out + bias.reshape((-1,) + (1,) * n)
    return out[0] if single else out


def conv_transpose(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> np.ndarray:
    n = weight.ndim - 2
    stride, padding, dilation = spread(stride, n), spread(padding, n), spread(dilation, n)
    extra = spread(output_padding, n)
    kernel, sizes = weight.shape[2:], x.shape[2:]
    whole = [
        (size - 1) * s + d * (k - 1) + 1 + e
        for size, s, d, k, e in zip(sizes, stride, dilation, kernel, extra)
    ]
    outs = []
    for part, w in zip(np.split(x, groups, 1), np.split(weight, groups, 0)):
        out = np.zeros((x.shape[0], w.shape[1], *whole))
        for at in product(*map(range, kernel)):
            places = tuple(
                slice(a * d, a * d + s * (size - 1) + 1, s)
                for a, d, s, size in zip(at, dilation, stride, sizes)
            )
            term = np.tensordot(part, w[(slice(None), slice(None), *at)], axes=([1], [0]))
            out[(slice(None), slice(None), *places)] += np.moveaxis(term, -1, 1)
        outs.append(out)
    out = np.concatenate(outs, 1)
    kept = tuple(slice(p, size - p) for p, size in zip(padding, whole))
    out = out[(slice(None), slice(None), *kept)]
    return out if bias is None else out + bias.reshape((-1,) + (1,) * n)


def _pool_geometry(
    sizes: Sequence[int], kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> list[list[range]]:
    """For each dimension the positions of each window, those in the padding included."""
    n = len(sizes)
    kernel, padding, dilation = spread(kernel, n), spread(padding, n), spread(dilation, n)
    stride = kernel if stride is None else spread(stride, n)
    result = []
    for size, k, s, p, d in zip(sizes, kernel, stride, padding, dilation):
        room = size + 2 * p - d * (k - 1) - 1
        count = (-(-room // s) if ceil_mode else room // s) + 1
        if ceil_mode and (count - 1) * s >= size + p:
            count -= 1
        result.append([range(i * s - p, i * s - p + d * (k - 1) + 1, d) for i in range(count)])
    return result


def max_pool(
    x: np.ndarray,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    n: int = 2,
) -> tuple[np.ndarray, np.ndarray]:
    sizes = x.shape[-n:]
    windows = _pool_geometry(sizes, kernel_size, stride, padding, dilation, ceil_mode)
    shape = x.shape[:-n] + tuple(len(w) for w in windows)
    values, places = np.empty(shape), np.empty(shape, np.int64)
    plane = np.arange(int(np.prod(sizes))).reshape(sizes)
    for at in product(*(range(len(w)) for w in windows)):
        inside = [[i for i in w[a] if 0 <= i < size] for w, a, size in zip(windows, at, sizes)]
        part = x[(..., *np.ix_(*inside))].reshape(*x.shape[:-n], -1)
        best = part.argmax(-1)
        values[(..., *at)] = np.take_along_axis(part, best[..., None], -1)[..., 0]
        places[(..., *at)] = plane[np.ix_(*inside)].reshape(-1)[best]
    return values, places


def avg_pool(
    x: np.ndarray,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    n: int = 2,
) -> np.ndarray:
    sizes, pads = x.shape[-n:], spread(padding, n)
    windows = _pool_geometry(sizes, kernel_size, stride, padding, 1, ceil_mode)
    out = np.empty(x.shape[:-n] + tuple(len(w) for w in windows))
    for at in product(*(range(len(w)) for w in windows)):
        inside = [[i for i in w[a] if 0 <= i < size] for w, a, size in zip(windows, at, sizes)]
        counted = [
            sum(1 for i in w[a] if i < size + p) for w, a, size, p in zip(windows, at, sizes, pads)
        ]
        count = np.prod(counted) if count_include_pad else np.prod([len(i) for i in inside])
        total = x[(..., *np.ix_(*inside))].sum(axis=tuple(range(-n, 0)))
        out[(..., *at)] = total / (divisor_override or count)
    return out


def adaptive_pool(f: Any, x: np.ndarray, output_size: Any, n: int) -> np.ndarray:
    sizes, counts = x.shape[-n:], spread(output_size, n)
    out = np.empty(x.shape[:-n] + counts)
    for at in product(*map(range, counts)):
        part = tuple(
            slice(a * size // c, -(-(a + 1) * size // c)) for a, size, c in zip(at, sizes, counts)
        )
        out[(..., *at)] = f(x[(..., *part)], axis=tuple(range(-n, 0)))
    return out


def adaptive_max_pool(x: np.ndarray, output_size: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and positions in the flattened plane; among equal elements the first one."""
    sizes, counts = x.shape[-n:], spread(output_size, n)
    plane = np.arange(int(np.prod(sizes))).reshape(sizes)
    places = np.empty(x.shape[:-n] + counts, np.int64)
    for at in product(*map(range, counts)):
        part = tuple(
            slice(a * size // c, -(-(a + 1) * size // c)) for a, size, c in zip(at, sizes, counts)
        )
        best = x[(..., *part)].reshape(*x.shape[:-n], -1).argmax(-1)
        places[(..., *at)] = plane[part].reshape(-1)[best]
    flat, chosen = x.reshape(*x.shape[:-n], -1), places.reshape(*x.shape[:-n], -1)
    return np.take_along_axis(flat, chosen, -1).reshape(places.shape), places


# ---------------------------------------------------------------- normalisation and losses


def layer_norm(
    x: np.ndarray, *affine: np.ndarray, normalized_shape: Any, eps: float = 1e-5
) -> np.ndarray:
    axes = tuple(range(-len(spread(normalized_shape, 1)), 0))
    y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)
    y = y * affine[0] if affine else y
    return y + affine[1] if len(affine) > 1 else y


def rms_norm(
    x: np.ndarray, *affine: np.ndarray, normalized_shape: Any, eps: float = 1e-6
) -> np.ndarray:
    axes = tuple(range(-len(spread(normalized_shape, 1)), 0))
    y = x / np.sqrt((x * x).mean(axes, keepdims=True) + eps)
    return y * affine[0] if affine else y


def per_channel(v: np.ndarray, ndim: int) -> np.ndarray:
    return v.reshape((1, -1) + (1,) * (ndim - 2))


def batch_norm_inference(
    x: np.ndarray, mean: np.ndarray, var: np.ndarray, *affine: np.ndarray, eps: float = 1e-5
) -> np.ndarray:
    y = (x - per_channel(mean, x.ndim)) / np.sqrt(per_channel(var, x.ndim) + eps)
    y = y * per_channel(affine[0], x.ndim) if affine else y
    return y + per_channel(affine[1], x.ndim) if len(affine) > 1 else y


def batch_norm_train(
    x: np.ndarray, *affine: np.ndarray, eps: float = 1e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    axes = (0, *range(2, x.ndim))
    mean, var = x.mean(axes), x.var(axes)
    return batch_norm_inference(x, mean, var, *affine, eps=eps), mean, var


def group_norm(
    x: np.ndarray, *affine: np.ndarray, num_groups: int, eps: float = 1e-5
) -> np.ndarray:
    groups = x.reshape(x.shape[0], num_groups, -1)
    y = (groups - groups.mean(-1, keepdims=True)) / np.sqrt(groups.var(-1, keepdims=True) + eps)
    y = y.reshape(x.shape)
    y = y * per_channel(affine[0], x.ndim) if affine else y
    return y + per_channel(affine[1], x.ndim) if len(affine) > 1 else y


def reduced(loss: np.ndarray, reduction: str) -> np.ndarray:
    if reduction == "batchmean":
        return loss.sum() / loss.shape[0]
    return {"mean": np.mean, "sum": np.sum, "none": lambda v: v}[reduction](loss)


def smooth_l1(x: np.ndarray, t: np.ndarray, reduction: str = "mean", beta: float = 1.0) -> Any:
    d = np.abs(x - t)
    return reduced(np.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta), reduction)


def huber(x: np.ndarray, t: np.ndarray, reduction: str = "mean", delta: float = 1.0) -> Any:
    d = np.abs(x - t)
    return reduced(np.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta)), reduction)


def kl_div(
    x: np.ndarray, t: np.ndarray, reduction: str = "mean", log_target: bool = False
) -> np.ndarray:
    loss = np.exp(t) * (t - x) if log_target else t * (np.log(t) - x)
    return reduced(loss, reduction)


def bce(x: np.ndarray, t: np.ndarray, *weight: np.ndarray, reduction: str = "mean") -> Any:
    loss = -(t * np.maximum(np.log(x), -100.0) + (1 - t) * np.maximum(np.log1p(-x), -100.0))
    return reduced(loss * weight[0] if weight else loss, reduction)


def bce_with_logits(
    x: np.ndarray,
    t: np.ndarray,
    *weights: np.ndarray,
    reduction: str = "mean",
) -> np.ndarray:
    positive = weights[1] if len(weights) > 1 else 1.0
    loss = positive * t * softplus(-x) + (1 - t) * softplus(x)
    return reduced(loss * weights[0] if weights else loss, reduction)


def nll_loss(
    logp: np.ndarray,
    target: np.ndarray,
    *weight: np.ndarray,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> np.ndarray:
    if logp.ndim == 1:
        logp, target = logp[None], target[None]
        single = True
    else:
        single = False
    w = weight[0] if weight else np.ones(logp.shape[1])
    kept = target != ignore_index
    safe = np.where(kept, target, 0)
    picked = np.take_along_axis(logp, safe[:, None], 1)[:, 0]
    scale = np.where(kept, w[safe], 0.0)
    loss = -picked * scale
    if reduction == "mean":
        return np.asarray(loss.sum() / scale.sum())
    loss = loss[0] if single else loss
    return reduced(loss, reduction)


def cross_entropy(
    x: np.ndarray,
    target: np.ndarray,
    *weight: np.ndarray,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> np.ndarray:
    axis = 0 if x.ndim == 1 else 1
    logp = log_softmax(x, axis)
    classes = x.shape[axis]
    w = weight[0] if weight else np.ones(classes)
    across = w.reshape((-1,) + (1,) * (x.ndim - 1 - axis))
    if target.dtype.kind == "f":
        t = (1 - label_smoothing) * target + label_smoothing / classes
        loss = -(t * logp * across).sum(axis)
        if reduction == "mean":
            return loss.sum() / loss.size
        return reduced(loss, reduction)
    hard = nll_loss(logp, target, w, ignore_index=ignore_index, reduction="none")
    kept = target != ignore_index
    smooth = np.where(kept, -(logp * across).sum(axis), 0.0)
    loss = (1 - label_smoothing) * hard + label_smoothing / classes * smooth
    if reduction == "mean":
        return loss.sum() / np.where(kept, w[np.where(kept, target, 0)], 0.0).sum()
    return reduced(loss, reduction)


def normalize(x: np.ndarray, p: float = 2.0, axis: int = 1, eps: float = 1e-12) -> np.ndarray:
    return x / np.maximum(vector_norm(x, axis, True, p), eps)


def cosine_similarity(x: np.ndarray, y: np.ndarray, axis: int = 1, eps: float = 1e-8) -> np.ndarray:
    lengths = [np.maximum(vector_norm(v, axis), eps) for v in (x, y)]
    return (x * y).sum(axis) / (lengths[0] * lengths[1])


# ---------------------------------------------------------------- indexing


def put_along(x: np.ndarray, axis: int, indices: np.ndarray, src: Any, add: bool) -> np.ndarray:
    out = x.copy()
    src = np.broadcast_to(np.asarray(src, x.dtype), indices.shape)
    for at in np.ndindex(indices.shape):
        to = list(at)
        to[axis] = indices[at]
        out[tuple(to)] = out[tuple(to)] + src[at] if add else src[at]
    return out


def gather(x: np.ndarray, axis: int, indices: np.ndarray) -> np.ndarray:
    out = np.empty(indices.shape, x.dtype)
    for at in np.ndindex(indices.shape):
        source = list(at)
        source[axis] = indices[at]
        out[at] = x[tuple(source)]
    return out


def index_rows(
    x: np.ndarray, axis: int, indices: np.ndarray, source: np.ndarray, add: bool
) -> np.ndarray:
    out = np.moveaxis(x.copy(), axis, 0)
    rows = np.moveaxis(np.broadcast_to(source, np.take(x, indices, axis).shape), axis, 0)
    for i, row in zip(indices, rows):
        out[i] = out[i] + row if add else row
    return np.moveaxis(out, 0, axis)


def torch_pad(x: np.ndarray, pad: Sequence[int], mode: str = "constant", value: float = 0) -> Any:
    pairs = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)][::-1]
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs
    for d, (before, behind) in enumerate(widths):  # negative widths crop
        start, stop = max(0, -before), x.shape[d] - max(0, -behind)
        x = np.take(x, range(start, stop), d)
    widths = [(max(0, a), max(0, b)) for a, b in widths]
    names = {"replicate": "edge", "circular": "wrap"}
    options = {"constant_values": value} if mode == "constant" else {}
    return np.pad(x, widths, mode=names.get(mode, mode), **options)


def topk(x: np.ndarray, k: int, axis: int = -1, largest: bool = True) -> tuple[Any, Any]:
    key = -x.astype(np.float64) if largest else x
    order = np.take(np.argsort(key, axis=axis, kind="stable"), range(k), axis)
    return np.take_along_axis(x, order, axis), order


def argsort(x: np.ndarray, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    key = -x.astype(np.float64) if descending else x
    return np.argsort(key, axis=axis, kind="stable")


# ---------------------------------------------------------------- recurrent layers


def _over_time(x, weight_ih, weight_hh, biases, states, reverse, cell):
    """cell(input part, recurrent part, states) to the next states, whose first is the output."""
    bias_ih, bias_hh = (*biases, 0.0, 0.0)[:2]
    y = np.zeros((*x.shape[:2], states[0].shape[-1]))
    steps = range(len(x))
    for t in reversed(steps) if reverse else steps:
        states = cell(x[t] @ weight_ih.T + bias_ih, states[0] @ weight_hh.T + bias_hh, *states)
        y[t] = states[0]
    return [y, *states]


def rnn_sequence(x, weight_ih, weight_hh, *more, nonlinearity="tanh", reverse=False):
    start = more[2] if len(more) > 2 else np.zeros((x.shape[1], weight_hh.shape[1]))
    act = np.tanh if nonlinearity == "tanh" else lambda v: np.maximum(v, 0)
    return _over_time(
        x, weight_ih, weight_hh, more[:2], [start], reverse, lambda i, r, h: [act(i + r)]
    )


def lstm_sequence(x, weight_ih, weight_hh, *more, reverse=False):
    hidden = weight_hh.shape[0] // 4
    project = more[4].T if len(more) > 4 else np.eye(hidden)

    def cell(i, r, h, c):
        i, f, g, o = np.split(i + r, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return [(sigmoid(o) * np.tanh(c)) @ project, c]

    zeros = [np.zeros((x.shape[1], weight_hh.shape[1])), np.zeros((x.shape[1], hidden))]
    states = [*more[2:4], *zeros[len(more[2:4]) :]]
    return _over_time(x, weight_ih, weight_hh, more[:2], states, reverse, cell)


def gru_sequence(x, weight_ih, weight_hh, *more, reverse=False):
    start = more[2] if len(more) > 2 else np.zeros((x.shape[1], weight_hh.shape[1]))

    def cell(i, r, h):
        (ri, zi, ni), (rr, zr, nr) = np.split(i, 3, axis=-1), np.split(r, 3, axis=-1)
        reset, update = sigmoid(ri + rr), sigmoid(zi + zr)
        candidate = np.tanh(ni + reset * nr)
        return [(1 - update) * candidate + update * h]

    return _over_time(x, weight_ih, weight_hh, more[:2], [start], reverse, cell)
