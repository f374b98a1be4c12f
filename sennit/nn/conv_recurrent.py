"""Recurrent layers over images: LSTM cells whose products are convolutions."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._errors import error
from . import init
from .linear import _positive
from .module import Module
from .parameter import Parameter

__all__ = ["ConvLSTM", "ConvLSTMCell"]

_f = _core.functions
_sigmoid, _tanh, _stack = _f["sigmoid"], _f["tanh"], _f["stack"]


def _kernel(layer: str, kernel_size: Any, dims: int) -> tuple[int, ...]:
    if dims not in (1, 2, 3):
        raise error(_core.InvalidValue, layer, f"dims is {dims!r}; it must be 1, 2 or 3")
    sizes = (kernel_size,) * dims if isinstance(kernel_size, int) else tuple(kernel_size)
    if len(sizes) != dims or any(not isinstance(n, int) or n < 1 or n % 2 == 0 for n in sizes):
        raise error(
            _core.InvalidValue,
            layer,
            f"kernel_size is {kernel_size!r}; an odd number, or {dims} of them, is required, so "
            "that states keep the size of the input",
        )
    return sizes


class ConvLSTMCell(Module):
    """One step of `ConvLSTM`: an image and a pair of states to the next pair (Shi et al.,
    "Convolutional LSTM network", 2015; without peepholes).

    Parameters
    ----------
    in_channels, hidden_channels : int
    kernel_size : int or tuple of int
        Odd: input and states are padded with zeros to keep their size.
    bias : bool
    dims : int
        Dimensions of the images: 1, 2 or 3.
    dtype : dtype, optional

    Attributes
    ----------
    weight_ih : Parameter, (4 * hidden_channels, in_channels, ...)
    weight_hh : Parameter, (4 * hidden_channels, hidden_channels, ...)
    bias_ih, bias_hh : Parameter, (4 * hidden_channels,), or None
        The gates input, forget, cell, output, as in `LSTM`. All start uniform in
        ±1 / sqrt(hidden_channels * kernel positions).

    Examples
    --------
    >>> h, c = sn.nn.ConvLSTMCell(3, 8, 3)(sn.ones((2, 3, 10, 12)))
    >>> h.shape, c.shape
    ((2, 8, 10, 12), (2, 8, 10, 12))
    """

    bias_ih: Parameter | None
    bias_hh: Parameter | None

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        kernel_size: Any,
        bias: bool = True,
        dims: int = 2,
        dtype: Any = None,
    ) -> None:
        name = type(self).__name__
        _positive(name, in_channels=in_channels, hidden_channels=hidden_channels)
        sizes = _kernel(name, kernel_size, dims)
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.kernel_size = sizes
        self.dims = dims
        rows, empty = 4 * hidden_channels, _f["empty"]
        self.weight_ih = Parameter(empty((rows, in_channels, *sizes), dtype=dtype))
        self.weight_hh = Parameter(empty((rows, hidden_channels, *sizes), dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty((rows,), dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        bound = 1 / math.sqrt(self.hidden_channels * math.prod(self.kernel_size))
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _convolve(self, x: Any, weight: Any, bias: Any) -> Any:
        padding = tuple(n // 2 for n in self.kernel_size)
        return _f[f"conv{self.dims}d"](x, weight, bias, 1, padding)

    def _input_part(self, x: Any) -> Any:
        """What images (..., in_channels, *size) add to the gates; leading dimensions are kept."""
        if x.ndim < self.dims + 2 or x.shape[-self.dims - 1] != self.in_channels:
            raise error(
                _core.ShapeError,
                type(self).__name__,
                f"the input has shape {x.shape}; required are {self.in_channels} channels in front "
                f"of {self.dims} dimensions of the image",
            )
        lead = x.shape[: -self.dims - 1]
        flat = x.reshape(math.prod(lead), *x.shape[-self.dims - 1 :])
        y = self._convolve(flat, self.weight_ih, self.bias_ih)
        return y.reshape(*lead, *y.shape[1:])

    def _step(self, part: Any, states: tuple[Any, Any] | None) -> tuple[Any, Any]:
        gates = part
        shape = (part.shape[0], self.hidden_channels, *part.shape[2:])
        if states is None:
            if self.bias_hh is not None:
                gates = gates + self.bias_hh.reshape(1, -1, *(1,) * self.dims)
            c = None
        else:
            h, c = states
            for what, state in (("h", h), ("c", c)):
                if state.shape != shape:
                    raise error(
                        _core.ShapeError,
                        type(self).__name__,
                        f"state {what} has shape {state.shape}; this input needs {shape}",
                    )
            gates = gates + self._convolve(h, self.weight_hh, self.bias_hh)
        i, f, g, o = _f["chunk"](gates, 4, 1)
        new = _sigmoid(i) * _tanh(g)
        c = new if c is None else _sigmoid(f) * c + new
        return _sigmoid(o) * _tanh(c), c

    def forward(self, x: Any, states: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
        """x: (batch, in_channels, *size); `states`: the pair before, else zeros."""
        return self._step(self._input_part(x), states)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.hidden_channels}, kernel_size={self.kernel_size}"


class ConvLSTM(Module):
    """Layers of `ConvLSTMCell` over sequences of images (Shi et al. 2015).

    Parameters
    ----------
    in_channels, hidden_channels : int
    kernel_size : int or tuple of int
        Odd.
    num_layers : int
        Each further layer reads the states of the one before.
    bias : bool
    batch_first : bool
        Whether input and output are (batch, steps, channels, *size) rather than (steps, batch,
        channels, *size).
    dims : int
        Dimensions of the images: 1, 2 or 3.
    dtype : dtype, optional

    Attributes
    ----------
    cells : ModuleList

    Examples
    --------
    >>> layer = sn.nn.ConvLSTM(3, 8, 3, num_layers=2)
    >>> y, (h, c) = layer(sn.ones((5, 2, 3, 10, 12)))
    >>> y.shape, h.shape
    ((5, 2, 8, 10, 12), (2, 2, 8, 10, 12))
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        kernel_size: Any,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dims: int = 2,
        dtype: Any = None,
    ) -> None:
        from .containers import ModuleList

        _positive("ConvLSTM", num_layers=num_layers)
        self.num_layers = num_layers
        self.batch_first = batch_first
        self.dims = dims
        self.cells = ModuleList(
            [
                ConvLSTMCell(
                    hidden_channels if n else in_channels,
                    hidden_channels,
                    kernel_size,
                    bias,
                    dims,
                    dtype,
                )
                for n in range(num_layers)
            ]
        )

    def forward(self, x: Any, states: tuple[Any, Any] | None = None) -> tuple[Any, Any]:
        """The states of the last layer at all steps, and the last pair of states of every layer,
        (num_layers, batch, hidden_channels, *size) each.

        `states`: such a pair to begin with, else zeros.
        """
        if x.ndim != self.dims + 3 or x.shape[1 if self.batch_first else 0] == 0:
            order = "batch, steps" if self.batch_first else "steps, batch"
            raise error(
                _core.ShapeError,
                "ConvLSTM",
                f"the input has shape {x.shape}; required is ({order}, channels, {self.dims} "
                "dimensions), with one step at least",
            )
        if self.batch_first:
            x = x.swapaxes(0, 1)
        last = []
        for n, cell in enumerate(self.cells):
            pair = None if states is None else (states[0][n], states[1][n])
            outputs = []
            # The convolution of the input runs over all steps at once.
            for part in _f["unstack"](cell._input_part(x), 0):
                pair = cell._step(part, pair)
                outputs.append(pair[0])
            x = _stack(outputs, 0)
            last.append(pair)
        h, c = (_stack(list(parts), 0) for parts in zip(*last, strict=True))
        return (x.swapaxes(0, 1) if self.batch_first else x), (h, c)

    def extra_repr(self) -> str:
        return f"num_layers={self.num_layers}, batch_first={self.batch_first}"
