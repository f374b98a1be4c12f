"""RNN, GRU and LSTM with all options of the standard.

What `sn.nn` has as one operation (the usual activations, no clipping, no peepholes) runs as that;
the rest is written out step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sennit as sn
from sennit.nn import functional as F

from ... import _core
from .._interpret import Call
from .._registry import op

_DEFAULT_ALPHA = {"leakyrelu": 0.01, "thresholdedrelu": 1.0, "elu": 1.0, "hardsigmoid": 0.2,
                  "scaledtanh": 1.0, "affine": 1.0}  # fmt: skip
_DEFAULT_BETA = {"hardsigmoid": 0.5, "scaledtanh": 1.0, "affine": 0.0}

_FUNCTIONS: dict[str, Callable[[Any, float, float], Any]] = {
    "relu": lambda x, a, b: sn.relu(x),
    "tanh": lambda x, a, b: sn.tanh(x),
    "sigmoid": lambda x, a, b: sn.sigmoid(x),
    "affine": lambda x, a, b: x * a + b,
    "leakyrelu": lambda x, a, b: sn.leaky_relu(x, a),
    "thresholdedrelu": lambda x, a, b: sn.where(x >= a, x, 0),
    "scaledtanh": lambda x, a, b: a * sn.tanh(x * b),
    "hardsigmoid": lambda x, a, b: sn.clip(x * a + b, 0, 1),
    "elu": lambda x, a, b: sn.elu(x, a),
    "softsign": lambda x, a, b: F.softsign(x),
    "softplus": lambda x, a, b: sn.softplus(x),
}


class _Layer:
    """What the three operators have in common."""

    def __init__(
        self,
        c: Call,
        x: Any,
        lengths: Any,
        direction: str,
        layout: int,
        clip: float | None,
        names: list[str],
        alphas: list[float] | None,
        betas: list[float] | None,
        default: list[str],
    ) -> None:
        if direction not in ("forward", "reverse", "bidirectional"):
            raise c.invalid(f"the direction is {direction!r}")
        self.count = 2 if direction == "bidirectional" else 1
        self.reverse = direction == "reverse"
        self.layout = layout
        self.clip = clip
        self.x = sn.swapaxes(x, 0, 1) if layout else x  # (time, batch, features)
        self.lengths: Any = None if lengths is None else lengths.astype(sn.int64)
        names = [n.lower() for n in (names or default * self.count)]
        if len(names) != len(default) * self.count:
            raise c.invalid(
                f"{len(names)} activations are given; {len(default) * self.count} are required"
            )
        for name in names:
            if name not in _FUNCTIONS:
                raise c.unsupported(f"there is no activation {name!r}")
        self.names = names
        self.default = names == [n.lower() for n in default] * self.count
        alpha, beta = list(alphas or []), list(betas or [])
        self.functions = []
        for name in names:
            a = _DEFAULT_ALPHA.get(name, 0.0)
            b = _DEFAULT_BETA.get(name, 0.0)
            if name in _DEFAULT_ALPHA and alpha:
                a = alpha.pop(0)
            if name in _DEFAULT_BETA and beta:
                b = beta.pop(0)
            self.functions.append(self._function(_FUNCTIONS[name], a, b))
        self.per = len(default)

    def _function(self, f: Callable[[Any, float, float], Any], a: float, b: float) -> Any:
        clip = self.clip
        if clip is None:
            return lambda x: f(x, a, b)
        return lambda x: f(sn.clip(x, -clip, clip), a, b)

    def of(self, k: int) -> list[Any]:
        """The activations of direction `k`."""
        return self.functions[k * self.per : (k + 1) * self.per]

    def state(self, given: Any, k: int, hidden: int) -> Any:
        if given is None:
            return sn.zeros((self.x.shape[1], hidden), dtype=self.x.dtype)
        return given[:, k] if self.layout else given[k]

    def loop(
        self, k: int, states: list[Any], cell: Callable[[Any, list[Any]], list[Any]]
    ) -> tuple[Any, list[Any]]:
        """Runs `cell` over time; the outputs (time, batch, hidden), and the last states."""
        steps = self.x.shape[0]
        outputs: list[Any] = [None] * steps
        order = range(steps)
        for t in reversed(order) if self.backward(k) else order:
            new = cell(self.x[t], states)
            if self.lengths is not None:
                live = (self.lengths > t).reshape((-1, 1))
                outputs[t] = sn.where(live, new[0], 0)
                states = [sn.where(live, n, s) for n, s in zip(new, states, strict=True)]
            else:
                outputs[t] = new[0]
                states = new
        if not steps:
            return sn.zeros((0, *states[0].shape), dtype=self.x.dtype), states
        return sn.stack(outputs, axis=0), states

    def whole(self, k: int, run: Callable[[Any, bool], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Runs a whole sequence at once. Rows that end early are turned round before and after, and
        give zeros behind their ends."""
        backward = self.backward(k)
        if self.lengths is None:
            return run(self.x, backward)
        y, *states = run(self._turned(self.x) if backward else self.x, False)
        time = sn.arange(self.x.shape[0]).reshape((-1, 1, 1))
        y = sn.where(time < self.lengths.reshape((1, -1, 1)), y, 0)
        return (self._turned(y) if backward else y, *states)

    def _turned(self, x: Any) -> Any:
        time = sn.arange(x.shape[0]).reshape((-1, 1))
        ends = self.lengths.reshape((1, -1))
        index = sn.where(time < ends, ends - 1 - time, time)
        return sn.take_along_axis(x, sn.broadcast_to(sn.expand_dims(index, 2), x.shape), 0)

    def backward(self, k: int) -> bool:
        """Whether direction `k` runs from the last step to the first."""
        return self.reverse if self.count == 1 else k == 1

    def results(self, outputs: list[Any], *states: list[Any]) -> tuple[Any, ...]:
        y = sn.stack(outputs, axis=1)  # (time, directions, batch, hidden)
        last = [sn.stack(s, axis=0) for s in states]
        if self.layout:
            y = sn.permute_dims(y, (2, 0, 1, 3))
            last = [sn.swapaxes(s, 0, 1) for s in last]
        return (y, *last)


def _reorder(w: Any, order: tuple[int, ...]) -> Any:
    """Gates in another order."""
    parts = sn.split(w, w.shape[0] // len(order), axis=0)
    return sn.concat([parts[k] for k in order], axis=0)


def _biases(b: Any, k: int, gates: int, hidden: int) -> tuple[Any, Any]:
    if b is None:
        return None, None
    half = gates * hidden
    return b[k, :half], b[k, half:]


@op("RNN")
def _rnn(
    c: Call,
    x: Any,
    w: Any,
    r: Any,
    b: Any = None,
    lengths: Any = None,
    h0: Any = None,
    *,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
) -> Any:
    layer = _Layer(c, x, lengths, direction, layout, clip, activations or [], activation_alpha,
                   activation_beta, ["Tanh"])  # fmt: skip
    hidden = r.shape[-1]
    outputs, last = [], []
    fast = clip is None and all(n in ("tanh", "relu") for n in layer.names)
    for k in range(layer.count):
        wk, rk = w[k], r[k]
        wb, rb = _biases(b, k, 1, hidden)
        start = layer.state(h0, k, hidden)
        if fast:

            def run(
                xs: Any, back: bool, args: Any = (wk, rk, wb, rb, start, layer.names[k])
            ) -> Any:
                return _core.functions["rnn_sequence"](xs, *args, back, layer.lengths)

            y, h = layer.whole(k, run)
        else:
            (f,) = layer.of(k)
            bias = None if wb is None else wb + rb

            def cell(xt: Any, s: list[Any], f: Any = f, wk: Any = wk, rk: Any = rk,
                     bias: Any = bias) -> list[Any]:  # fmt: skip
                return [f(sn.linear(xt, wk, bias) + sn.linear(s[0], rk))]

            y, (h,) = layer.loop(k, [start], cell)
        outputs.append(y)
        last.append(h)
    return layer.results(outputs, last)


@op("GRU")
def _gru(
    c: Call,
    x: Any,
    w: Any,
    r: Any,
    b: Any = None,
    lengths: Any = None,
    h0: Any = None,
    *,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> Any:
    layer = _Layer(c, x, lengths, direction, layout, clip, activations or [], activation_alpha,
                   activation_beta, ["Sigmoid", "Tanh"])  # fmt: skip
    hidden = r.shape[-1]
    outputs, last = [], []
    for k in range(layer.count):
        wk, rk = w[k], r[k]
        wb, rb = _biases(b, k, 3, hidden)
        start = layer.state(h0, k, hidden)
        if layer.default and clip is None and linear_before_reset:
            order = (1, 0, 2)  # update, reset, hidden -> reset, update, hidden
            wk, rk = _reorder(wk, order), _reorder(rk, order)
            if wb is not None:
                wb, rb = _reorder(wb, order), _reorder(rb, order)

            def run(xs: Any, back: bool, args: Any = (wk, rk, wb, rb, start)) -> Any:
                return _core.functions["gru_sequence"](xs, *args, back, layer.lengths)

            y, h = layer.whole(k, run)
        else:
            y, h = _gru_steps(layer, k, wk, rk, wb, rb, start, bool(linear_before_reset))
        outputs.append(y)
        last.append(h)
    return layer.results(outputs, last)


def _gru_steps(
    layer: _Layer, k: int, w: Any, r: Any, wb: Any, rb: Any, start: Any, before: bool
) -> tuple[Any, Any]:
    f, g = layer.of(k)
    hidden = r.shape[-1]
    rz, rh = r[: 2 * hidden], r[2 * hidden :]
    rbz, rbh = (None, None) if rb is None else (rb[: 2 * hidden], rb[2 * hidden :])

    def cell(xt: Any, s: list[Any]) -> list[Any]:
        gates = sn.linear(xt, w, wb)
        recurrent = sn.linear(s[0], rz, rbz)
        z = f(gates[:, :hidden] + recurrent[:, :hidden])
        reset = f(gates[:, hidden : 2 * hidden] + recurrent[:, hidden:])
        if before:
            inner = reset * sn.linear(s[0], rh, rbh)
        else:
            inner = sn.linear(reset * s[0], rh, rbh)
        new = g(gates[:, 2 * hidden :] + inner)
        return [(1 - z) * new + z * s[0]]

    y, (h,) = layer.loop(k, [start], cell)
    return y, h


@op("LSTM")
def _lstm(
    c: Call,
    x: Any,
    w: Any,
    r: Any,
    b: Any = None,
    lengths: Any = None,
    h0: Any = None,
    c0: Any = None,
    p: Any = None,
    *,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
) -> Any:
    layer = _Layer(c, x, lengths, direction, layout, clip, activations or [], activation_alpha,
                   activation_beta, ["Sigmoid", "Tanh", "Tanh"])  # fmt: skip
    hidden = r.shape[-1]
    outputs, last, cells = [], [], []
    for k in range(layer.count):
        wk, rk = w[k], r[k]
        wb, rb = _biases(b, k, 4, hidden)
        h, s = layer.state(h0, k, hidden), layer.state(c0, k, hidden)
        if layer.default and clip is None and not input_forget and p is None:
            order = (0, 2, 3, 1)  # input, output, forget, cell -> input, forget, cell, output
            wk, rk = _reorder(wk, order), _reorder(rk, order)
            if wb is not None:
                wb, rb = _reorder(wb, order), _reorder(rb, order)

            def run(xs: Any, back: bool, args: Any = (wk, rk, wb, rb, h, s, None)) -> Any:
                return _core.functions["lstm_sequence"](xs, *args, back, layer.lengths)

            y, h, s = layer.whole(k, run)
        else:
            peep = None if p is None else p[k]
            y, h, s = _lstm_steps(layer, k, wk, rk, wb, rb, [h, s], peep, bool(input_forget))
        outputs.append(y)
        last.append(h)
        cells.append(s)
    return layer.results(outputs, last, cells)


def _lstm_steps(
    layer: _Layer,
    k: int,
    w: Any,
    r: Any,
    wb: Any,
    rb: Any,
    start: list[Any],
    peep: Any,
    coupled: bool,
) -> tuple[Any, Any, Any]:
    f, g, h = layer.of(k)
    n = r.shape[-1]
    bias = None if wb is None else wb + rb
    pi, po, pf = (None, None, None) if peep is None else (peep[:n], peep[n : 2 * n], peep[2 * n :])

    def cell(xt: Any, s: list[Any]) -> list[Any]:
        gates = sn.linear(xt, w, bias) + sn.linear(s[0], r)
        i, o, q, new = (gates[:, j * n : (j + 1) * n] for j in range(4))
        if pi is not None:
            i, q = i + pi * s[1], q + pf * s[1]
        i = f(i)
        q = 1 - i if coupled else f(q)
        memory = q * s[1] + i * g(new)
        if po is not None:
            o = o + po * memory
        return [f(o) * h(memory), memory]

    y, (hidden, memory) = layer.loop(k, start, cell)
    return y, hidden, memory
