"""Recurrent layers: plain (Elman), LSTM and GRU, over whole sequences or one step at a time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

from .. import _core
from .._errors import error
from . import init
from .linear import _positive
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence, Plan

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "RNNBase",
    "RNNCell",
    "RNNCellBase",
]

_f = _core.functions
_concat, _contiguous, _dropout, _empty, _stack, _take = (
    _f["concat"], _f["contiguous"], _f["dropout"], _f["empty"], _f["stack"], _f["take"],
)  # fmt: skip
_SEQUENCE = {
    "RNN": _f["rnn_sequence"],
    "LSTM": _f["lstm_sequence"],
    "GRU": _f["gru_sequence"],
}
_GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def _check_state(layer: str, name: str, state: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(state, _core.Tensor):
        raise error(
            _core.InvalidType,
            layer,
            f"{name} is a {type(state).__name__}; it must be a tensor of shape {shape}",
        )
    if state.shape != shape:
        raise error(
            _core.ShapeError,
            layer,
            f"{name} has shape {state.shape}; this input needs {shape}; check the batch, "
            "num_layers and bidirectional",
        )


def _check_nonlinearity(layer: str, nonlinearity: str) -> None:
    if nonlinearity not in ("tanh", "relu"):
        raise error(
            _core.InvalidValue,
            layer,
            f"nonlinearity is {nonlinearity!r}; it must be 'tanh' or 'relu'",
        )


class _Weights(Module):
    """Parameters of cells by name, drawn uniformly from ±1 / sqrt(hidden_size)."""

    hidden_size: int

    def _add(self, suffix: str, shapes: dict[str, tuple[int, ...]], dtype: Any) -> None:
        for name, shape in shapes.items():
            self.register_parameter(name + suffix, Parameter(_empty(shape, dtype=dtype)))

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)


class RNNBase(_Weights):
    """What `RNN`, `LSTM` and `GRU` share.

    Examples
    --------
    >>> isinstance(sn.nn.GRU(2, 3), sn.nn.RNNBase)
    True
    """

    _mode = ""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        dtype: Any,
    ) -> None:
        layer = type(self).__name__
        _positive(layer, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise error(
                _core.InvalidValue, layer, f"dropout is {dropout!r}; it must lie between 0 and 1"
            )
        if not 0 <= proj_size < hidden_size:
            raise error(
                _core.InvalidValue,
                layer,
                f"proj_size is {proj_size!r}; it must be 0 (none) or less than hidden_size "
                f"({hidden_size})",
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"{layer}: dropout={dropout} acts between layers, and num_layers is 1",
                stacklevel=3,
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bool(bias)
        self.batch_first = bool(batch_first)
        self.dropout = float(dropout)
        self.bidirectional = bool(bidirectional)
        self.proj_size = proj_size
        state = proj_size or hidden_size
        gates = _GATES[self._mode] * hidden_size
        directions = 2 if bidirectional else 1
        for number, suffix in self._places():
            inputs = input_size if number == 0 else state * directions
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (gates, inputs),
                "weight_hh": (gates, state),
            }
            if bias:
                shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            self._add(suffix, shapes, dtype)
        self.reset_parameters()

    def _places(self) -> Iterator[tuple[int, str]]:
        """Layers and directions, in the order of the states."""
        for number in range(self.num_layers):
            yield number, f"_l{number}"
            if self.bidirectional:
                yield number, f"_l{number}_reverse"

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters of each layer and direction."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        return [
            [getattr(self, name + suffix) for name in names if name + suffix in self._roles]
            for _, suffix in self._places()
        ]

    def flatten_parameters(self) -> None:
        """Does nothing: weights are packed by the kernel. For programs written for PyTorch."""

    def _run(self, x: Any, suffix: str, states: list[Any], plan: Plan | None) -> tuple[Any, ...]:
        """One layer and direction: the states of all steps, then the last state (and cell)."""
        own = self.__dict__
        reverse = suffix.endswith("_reverse")
        options: dict[str, Any] = {"reverse": reverse}
        if plan is not None:
            # Sequences that end at different steps are turned round, each by itself.
            x = plan.pad(x, reverse)
            options = {"lengths": plan.lengths}
        for name in ("bias_ih", "bias_hh", "weight_hr"):
            if name + suffix in own:
                options[name] = own[name + suffix]
        options |= zip(("h0", "c0"), states)
        if self._mode == "RNN":
            options["nonlinearity"] = own["nonlinearity"]
        result: tuple[Any, ...] = _SEQUENCE[self._mode](
            x, own["weight_ih" + suffix], own["weight_hh" + suffix], **options
        )
        return result if plan is None else (plan.pack(result[0], reverse), *result[1:])

    def _layers(self, x: Any, states: list[Any], plan: Plan | None = None) -> tuple[Any, list[Any]]:
        """x: (steps, batch, input), or packed by `plan`. states: none, or tensors (layers *
        directions, batch, size)."""
        last: list[tuple[Any, ...]] = []
        outputs: list[Any] = []
        for place, (number, suffix) in enumerate(self._places()):
            y, *final = self._run(x, suffix, [s[place] for s in states], plan)
            last.append(tuple(final))
            outputs.append(y)
            if len(outputs) < (2 if self.bidirectional else 1):
                continue
            x = outputs[0] if len(outputs) == 1 else _concat(outputs, -1)
            outputs = []
            if self.dropout and self.training and number + 1 < self.num_layers:
                x = _dropout(x, self.dropout, True)
        return x, [_stack(list(parts), 0) for parts in zip(*last, strict=True)]

    def _given_states(self, hx: Any, batch: tuple[int, ...]) -> list[Any]:
        """The initial states as a list, checked; `batch` is () without a batch dimension."""
        if hx is None:
            return []
        layer = type(self).__name__
        count = self.num_layers * (2 if self.bidirectional else 1)
        state = (count, *batch, self.proj_size or self.hidden_size)
        if self._mode != "LSTM":
            _check_state(layer, "hx", hx, state)
            return [hx]
        if not isinstance(hx, (tuple, list)) or len(hx) != 2:
            raise error(
                _core.InvalidType,
                layer,
                f"hx is {type(hx).__name__}; it must be a pair of tensors (h_0, c_0)",
            )
        _check_state(layer, "h_0", hx[0], state)
        _check_state(layer, "c_0", hx[1], (count, *batch, self.hidden_size))
        return list(hx)

    def _forward_packed(self, packed: PackedSequence, hx: Any) -> tuple[Any, list[Any]]:
        data, batch_sizes, order, back = packed
        if data.ndim != 2 or data.shape[1] != self.input_size:
            raise error(
                _core.ShapeError,
                type(self).__name__,
                f"the packed input has shape {data.shape}; required is (elements, "
                f"{self.input_size})",
            )
        plan = Plan(batch_sizes.tolist())
        states = self._given_states(hx, (plan.batch,))
        if order is not None:
            states = [_take(s, order, 1) for s in states]
        y, last = self._layers(data, states, plan)
        if back is not None:
            last = [_take(s, back, 1) for s in last]
        return PackedSequence(y, batch_sizes, order, back), last

    def _forward(self, x: Any, hx: Any) -> tuple[Any, list[Any]]:
        if isinstance(x, PackedSequence):
            return self._forward_packed(x, hx)
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size:
            order = "batch, steps" if self.batch_first else "steps, batch"
            raise error(
                _core.ShapeError,
                type(self).__name__,
                f"the input has shape {x.shape}; required is ({order}, {self.input_size}), or "
                f"(steps, {self.input_size}) for one sequence",
            )
        single = x.ndim == 2
        if single:
            states = [s[:, None] for s in self._given_states(hx, ())]
            y, last = self._layers(x[:, None], states)
            return y[:, 0], [s[:, 0] for s in last]
        if not self.batch_first:
            return self._layers(x, self._given_states(hx, (x.shape[1],)))
        # Steps first in memory: what follows then reads rows that lie together.
        states = self._given_states(hx, (x.shape[0],))
        y, last = self._layers(_contiguous(x.permute_dims((1, 0, 2))), states)
        return y.permute_dims((1, 0, 2)), last

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """The output of all steps and the last states; `hx`: the initial states, else zeros."""
        y, (h,) = self._forward(input, hx)
        return y, h

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if not self.bias:
            text += ", bias=False"
        if self.batch_first:
            text += ", batch_first=True"
        if self.dropout:
            text += f", dropout={self.dropout}"
        if self.bidirectional:
            text += ", bidirectional=True"
        return text


class RNN(RNNBase):
    """Layers of plain recurrent cells, ``h[t] = tanh(W_ih x[t] + b_ih + W_hh h[t - 1] + b_hh)``
    (Elman, "Finding structure in time", 1990).

    Parameters
    ----------
    input_size, hidden_size : int
    num_layers : int
        Each further layer reads the states of the one before.
    nonlinearity : str
        "tanh" or "relu".
    bias : bool
    batch_first : bool
        Whether input and output are (batch, steps, features) rather than (steps, batch, features).
        States are (layers * directions, batch, hidden_size) either way.
    dropout : float
        Probability with which outputs of every layer but the last are dropped in training.
    bidirectional : bool
        Whether every layer also runs from the last step to the first; both outputs are joined.
    dtype : dtype, optional
        Of the parameters; float32 by default.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 : Parameter
        (hidden_size, input), (hidden_size, hidden_size) and (hidden_size,); ``_l1`` … for further
        layers, ``_reverse`` behind it for the other direction. All start uniform in
        ±1 / sqrt(hidden_size).

    Raises
    ------
    ShapeError
        In the forward pass, when input or states do not fit.

    Examples
    --------
    >>> layer = sn.nn.RNN(3, 5, num_layers=2)
    >>> y, h = layer(sn.ones((7, 2, 3)))
    >>> y.shape, h.shape
    ((7, 2, 5), (2, 2, 5))
    """

    _mode = "RNN"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = None,
    ) -> None:
        _check_nonlinearity("RNN", nonlinearity)
        self.nonlinearity = nonlinearity
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype
        )


class LSTM(RNNBase):
    """Layers of LSTM cells (Hochreiter and Schmidhuber, "Long short-term memory", 1997).

    Parameters
    ----------
    proj_size : int
        When not 0, the state is a linear projection of the cell's output to this many numbers
        (Sak et al., 2014); above 768 units such layers run at the speed of separate ops.
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype
        See `RNN`.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_hr_l0 : Parameter
        As in `RNN`, with 4 * hidden_size rows: the gates input, forget, cell, output. weight_hr is
        there with a projection.

    Raises
    ------
    ShapeError
        In the forward pass, when input or states do not fit.

    Examples
    --------
    >>> layer = sn.nn.LSTM(3, 5, bidirectional=True, batch_first=True)
    >>> y, (h, c) = layer(sn.ones((2, 7, 3)))
    >>> y.shape, h.shape, c.shape
    ((2, 7, 10), (2, 2, 5), (2, 2, 5))
    """

    _mode = "LSTM"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size, dtype,
        )  # fmt: skip

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, tuple[Any, Any]]:
        """The output of all steps and the pair of last states and cells."""
        y, (h, c) = self._forward(input, hx)
        return y, (h, c)


class GRU(RNNBase):
    """Layers of GRU cells (Cho et al., "Learning phrase representations using RNN
    encoder-decoder", 2014), with ``n = tanh(W_in x + b_in + r * (W_hn h + b_hn))``.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype
        See `RNN`.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 : Parameter
        As in `RNN`, with 3 * hidden_size rows: reset gate, update gate, candidate.

    Raises
    ------
    ShapeError
        In the forward pass, when input or states do not fit.

    Examples
    --------
    >>> y, h = sn.nn.GRU(3, 5)(sn.ones((7, 3)))
    >>> y.shape, h.shape
    ((7, 5), (1, 5))
    """

    _mode = "GRU"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, dtype
        )


class RNNCellBase(_Weights):
    """What `RNNCell`, `LSTMCell` and `GRUCell` share: a step is a sequence of length one.

    Examples
    --------
    >>> isinstance(sn.nn.GRUCell(2, 3), sn.nn.RNNCellBase)
    True
    """

    _mode = ""

    def __init__(self, input_size: int, hidden_size: int, bias: bool, dtype: Any) -> None:
        _positive(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bool(bias)
        rows = _GATES[self._mode] * hidden_size
        self._add("", {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size)}, dtype)
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(_empty((rows,), dtype=dtype)) if bias else None)
        self.reset_parameters()

    def _step(self, x: Any, states: tuple[Any, ...], **options: Any) -> tuple[Any, ...]:
        layer = type(self).__name__
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise error(
                _core.ShapeError,
                layer,
                f"the input has shape {x.shape}; required is (batch, {self.input_size}) or "
                f"({self.input_size},)",
            )
        for name, state in zip(("hx" if len(states) == 1 else "h_0", "c_0"), states):
            _check_state(layer, name, state, (*x.shape[:-1], self.hidden_size))
        single = x.ndim == 1
        if single:
            x, states = x[None], tuple(s[None] for s in states)
        options |= zip(("h0", "c0"), states)
        _, *last = _SEQUENCE[self._mode](
            x[None], self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, **options
        )
        return tuple(s[0] for s in last) if single else tuple(last)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """One step of `RNN`: (batch, input_size) and a state (batch, hidden_size) to the next state.

    Parameters
    ----------
    input_size, hidden_size : int
    bias : bool
    nonlinearity : str
        "tanh" or "relu".
    dtype : dtype, optional

    Attributes
    ----------
    weight_ih, weight_hh, bias_ih, bias_hh : Parameter
        As those of a layer of `RNN`.

    Examples
    --------
    >>> cell = sn.nn.RNNCell(3, 5)
    >>> cell(sn.ones((2, 3)), sn.zeros((2, 5))).shape
    (2, 5)
    """

    _mode = "RNN"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: Any = None,
    ) -> None:
        _check_nonlinearity("RNNCell", nonlinearity)
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, dtype)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next state; `hx`: the one before, else zeros."""
        states = () if hx is None else (hx,)
        return self._step(input, states, nonlinearity=self.nonlinearity)[0]

    def extra_repr(self) -> str:
        text = super().extra_repr()
        return text if self.nonlinearity == "tanh" else f"{text}, nonlinearity=relu"


class LSTMCell(RNNCellBase):
    """One step of `LSTM`: (batch, input_size) and a pair of states to the next pair.

    Parameters
    ----------
    input_size, hidden_size : int
    bias : bool
    dtype : dtype, optional

    Examples
    --------
    >>> h, c = sn.nn.LSTMCell(3, 5)(sn.ones((2, 3)))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    _mode = "LSTM"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """The next state and cell; `hx`: the pair before, else zeros."""
        if hx is not None and (not isinstance(hx, (tuple, list)) or len(hx) != 2):
            raise error(
                _core.InvalidType,
                "LSTMCell",
                f"hx is {type(hx).__name__}; it must be a pair of tensors (h_0, c_0)",
            )
        h, c = self._step(input, () if hx is None else tuple(hx))
        return h, c


class GRUCell(RNNCellBase):
    """One step of `GRU`: (batch, input_size) and a state (batch, hidden_size) to the next state.

    Parameters
    ----------
    input_size, hidden_size : int
    bias : bool
    dtype : dtype, optional

    Examples
    --------
    >>> sn.nn.GRUCell(3, 5)(sn.ones(3)).shape
    (5,)
    """

    _mode = "GRU"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, dtype)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next state; `hx`: the one before, else zeros."""
        return self._step(input, () if hx is None else (hx,))[0]
