"""Poolings of `sennit.nn.functional`, with PyTorch's names, argument orders and defaults."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._errors import error
from .._whole import whole

_f = _core.functions
_take_along, _arange = _f["take_along_axis"], _f["arange"]

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d",
    "adaptive_max_pool3d_with_indices",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool2d_with_indices",
    "max_pool3d",
    "max_pool3d_with_indices",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

_PLANES = {1: "length", 2: "height, width", 3: "depth, height, width"}


def _sizes(function: str, name: str, value: Any, rank: int, kind: type = int) -> tuple[Any, ...]:
    """One number per spatial dimension, of one number or of several."""
    number = int if kind is int else (int, float)
    single = isinstance(value, number)
    sizes = (value,) * rank if single else tuple(value)
    if len(sizes) == 1:
        sizes *= rank
    if len(sizes) != rank or not all(isinstance(s, number) for s in sizes):
        raise error(
            _core.InvalidValue,
            function,
            f"{name} is {value!r}; a number or {rank} of them are required",
        )
    return sizes


def _need_spatial(function: str, x: Any, rank: int) -> None:
    if x.ndim not in (rank + 1, rank + 2):
        raise error(
            _core.ShapeError,
            function,
            f"the input has shape {x.shape}; (N, C, {_PLANES[rank]}) or (C, {_PLANES[rank]}) is "
            "required",
        )


def _named(function: Any, name: str, doc: str | None) -> Any:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


avg_pool1d = _f["avg_pool1d"]
avg_pool2d = _f["avg_pool2d"]
avg_pool3d = _f["avg_pool3d"]
max_pool1d_with_indices = _f["max_pool1d_with_indices"]
max_pool2d_with_indices = _f["max_pool2d_with_indices"]
max_pool3d_with_indices = _f["max_pool3d_with_indices"]


def _max_pooling(rank: int) -> Any:
    plain, indexed = _f[f"max_pool{rank}d"], _f[f"max_pool{rank}d_with_indices"]

    def max_pool(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        function = indexed if return_indices else plain
        return function(input, kernel_size, stride, padding, dilation, ceil_mode)

    return _named(max_pool, f"max_pool{rank}d", plain.__doc__)


max_pool1d, max_pool2d, max_pool3d = _max_pooling(1), _max_pooling(2), _max_pooling(3)


def _adaptive_sizes(x: Any, output_size: Any, rank: int) -> Any:
    if isinstance(output_size, int) or x.ndim < rank:
        return output_size
    wanted = tuple(output_size)
    if len(wanted) != rank:
        return wanted  # the core says what is wrong
    pairs = zip(wanted, x.shape[-rank:], strict=True)
    return tuple(have if want is None else want for want, have in pairs)


def _adaptive_averages(rank: int) -> Any:
    function = _f[f"adaptive_avg_pool{rank}d"]

    def adaptive_avg_pool(input: Any, output_size: Any) -> Any:
        return function(input, _adaptive_sizes(input, output_size, rank))

    return _named(adaptive_avg_pool, f"adaptive_avg_pool{rank}d", function.__doc__)


def _adaptive_maxima(rank: int, both: bool) -> Any:
    plain = _f[f"adaptive_max_pool{rank}d"]
    indexed = _f[f"adaptive_max_pool{rank}d_with_indices"]

    def adaptive_max_pool(input: Any, output_size: Any, return_indices: bool = both) -> Any:
        function = indexed if return_indices else plain
        return function(input, _adaptive_sizes(input, output_size, rank))

    shown = indexed if both else plain
    name = f"adaptive_max_pool{rank}d" + ("_with_indices" if both else "")
    return _named(adaptive_max_pool, name, shown.__doc__)


adaptive_avg_pool1d = _adaptive_averages(1)
adaptive_avg_pool2d = _adaptive_averages(2)
adaptive_avg_pool3d = _adaptive_averages(3)
adaptive_max_pool1d = _adaptive_maxima(1, False)
adaptive_max_pool2d = _adaptive_maxima(2, False)
adaptive_max_pool3d = _adaptive_maxima(3, False)
adaptive_max_pool1d_with_indices = _adaptive_maxima(1, True)
adaptive_max_pool2d_with_indices = _adaptive_maxima(2, True)
adaptive_max_pool3d_with_indices = _adaptive_maxima(3, True)


def _power_pooling(rank: int) -> Any:
    function = _f[f"avg_pool{rank}d"]

    def lp_pool(
        input: Any,
        norm_type: float,
        kernel_size: Any,
        stride: Any = None,
        ceil_mode: bool = False,
    ) -> Any:
        name = f"lp_pool{rank}d"
        if not norm_type > 0:
            raise error(
                _core.InvalidValue, name, f"norm_type is {norm_type}; it must be greater than 0"
            )
        _need_spatial(name, input, rank)
        kernel = _sizes(name, "kernel_size", kernel_size, rank)
        mean = function(input ** float(norm_type), kernel, stride, 0, ceil_mode)
        # The sign and relu keep negative sums, of odd powers, from becoming NaN.
        total = _f["sign"](mean) * _f["relu"](mean.abs()) * math.prod(kernel)
        return total ** (1.0 / norm_type)

    return _named(
        lp_pool,
        f"lp_pool{rank}d",
        f"""``(sum of x ** p) ** (1 / p)`` over windows of (N, C, {_PLANES[rank]}).

Parameters
----------
input : Tensor
    (N, C, {_PLANES[rank]}), or without N.
norm_type : float
    The p: 1 gives sums, a large one nearly maxima.
kernel_size : int or tuple of int
stride : int or tuple of int, optional
    The kernel size by default.
ceil_mode : bool
    Whether windows that only partly lie inside count.

Examples
--------
>>> x = sn.tensor([3.0, 4.0]).reshape(({", ".join(["1"] * (rank + 1))}, 2))
>>> sn.nn.functional.lp_pool{rank}d(x, 2, {"2" if rank == 1 else str((*(1,) * (rank - 1), 2))}).item()
5.0
""",  # noqa: E501
    )


lp_pool1d, lp_pool2d, lp_pool3d = _power_pooling(1), _power_pooling(2), _power_pooling(3)


def _unpooling(rank: int) -> Any:
    name = f"max_unpool{rank}d"

    def max_unpool(
        input: Any,
        indices: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        output_size: Any = None,
    ) -> Any:
        kernel = _sizes(name, "kernel_size", kernel_size, rank)
        steps = kernel if stride is None else _sizes(name, "stride", stride, rank)
        pads = _sizes(name, "padding", padding, rank)
        _need_spatial(name, input, rank)
        if indices.shape != input.shape:
            raise error(
                _core.ShapeError,
                name,
                f"the input has shape {input.shape} and the indices {indices.shape}; they must be "
                "equal: pass what max pooling with return_indices=True returned",
            )
        least = tuple(
            (n - 1) * s - 2 * p + k
            for n, s, p, k in zip(input.shape[-rank:], steps, pads, kernel, strict=True)
        )
        sizes = least
        if output_size is not None:
            sizes = tuple(output_size)
            if len(sizes) in (rank + 1, rank + 2):
                sizes = sizes[-rank:]
            near = zip(sizes, least, steps, strict=False)
            if len(sizes) != rank or not all(n - s < m < n + s for m, n, s in near):
                raise error(
                    _core.InvalidValue,
                    name,
                    f"output_size is {tuple(output_size)}; {rank} sizes that differ from {least} "
                    f"by less than the strides {steps} are required",
                )
        leading = input.shape[:-rank]
        plane = math.prod(sizes)
        flat = _f["zeros"]((*leading, plane), dtype=input.dtype, device=input.device)
        several = (*leading, math.prod(input.shape[-rank:]))
        y = _f["scatter"](flat, -1, indices.reshape(several), input.reshape(several))
        return y.reshape((*leading, *sizes))

    return _named(
        max_unpool,
        name,
        f"""Puts values back to where max pooling took them from, with zeros elsewhere.

Parameters
----------
input : Tensor
    (N, C, {_PLANES[rank]}), or without N.
indices : Tensor
    Of the same shape: positions in the flattened plane of the result.
kernel_size, stride, padding : int or tuple of int
    Those of the pooling; they give the size of the result.
output_size : tuple of int, optional
    That size, where the pooling rounded it down.

Raises
------
IndexOutOfRange
    When an index is outside of the result.

Examples
--------
>>> F = sn.nn.functional
>>> x = sn.tensor([1.0, 4.0, 3.0, 2.0]).reshape(({", ".join(["1"] * (rank + 1))}, 4))
>>> window = {"2" if rank == 1 else str((*(1,) * (rank - 1), 2))}
>>> y, indices = F.max_pool{rank}d(x, window, return_indices=True)
>>> F.max_unpool{rank}d(y, indices, window).flatten().tolist()
[0.0, 4.0, 3.0, 0.0]
""",
    )


max_unpool1d, max_unpool2d, max_unpool3d = _unpooling(1), _unpooling(2), _unpooling(3)


def _starts(samples: Any, size: int, windows: int, kernel: int) -> Any:
    """(N, C, windows): where the windows of an axis begin, for numbers (N, C) in [0, 1)."""
    place = samples.device
    last = _f["full"]((*samples.shape, 1), size - kernel, dtype=_core.int64, device=place)
    if windows == 1:
        return last
    alpha = (size - kernel) / (windows - 1)
    at = (_arange(windows - 1, dtype=samples.dtype, device=place) + samples[..., None]) * alpha
    first = at.astype(_core.int64) - (samples * alpha).astype(_core.int64)[..., None]
    return _f["concat"]([first, last], -1)


def _fractional(rank: int, both: bool) -> Any:
    name = f"fractional_max_pool{rank}d" + ("_with_indices" if both else "")

    @whole
    def fractional_max_pool(
        input: Any,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = both,
        _random_samples: Any = None,
    ) -> Any:
        _need_spatial(name, input, rank)
        kernel = _sizes(name, "kernel_size", kernel_size, rank)
        spatial = input.shape[-rank:]
        if (output_size is None) == (output_ratio is None):
            raise error(
                _core.InvalidValue,
                name,
                f"output_size is {output_size} and output_ratio {output_ratio}; one of them is "
                "required",
            )
        if output_size is None:
            ratios = _sizes(name, "output_ratio", output_ratio, rank, float)
            if not all(0 < r < 1 for r in ratios):
                raise error(
                    _core.InvalidValue,
                    name,
                    f"output_ratio is {output_ratio}; it must be between 0 and 1",
                )
            sizes = tuple(int(n * r) for n, r in zip(spatial, ratios, strict=True))
        else:
            sizes = _sizes(name, "output_size", output_size, rank)
        each = zip(sizes, kernel, spatial, strict=True)
        if not all(m >= 1 and k >= 1 and m + k - 1 <= n for m, k, n in each):
            raise error(
                _core.ShapeError,
                name,
                f"windows of {kernel} and an output of {sizes} do not fit the input's {spatial}; "
                "output + window - 1 must be at most the input's size; use smaller ones",
            )
        x = input if input.ndim == rank + 2 else input[None]
        samples = _random_samples
        if samples is None:
            samples = _f["random.rand"]((*x.shape[:2], rank), _core.float32, x.device)
        if samples.shape != (*x.shape[:2], rank):
            raise error(
                _core.ShapeError,
                name,
                f"the random samples have shape {samples.shape}; {(*x.shape[:2], rank)} is "
                "required",
            )
        at: Any = 0  # (N, C, outputs..., window...): positions in the flattened plane
        for d in range(rank):
            # PyTorch numbers the samples of images from the last axis, of volumes from the first.
            chosen = samples[:, :, d if rank == 3 else rank - 1 - d]
            begins = _starts(chosen, spatial[d], sizes[d], kernel[d])
            axis = begins[..., None] + _arange(kernel[d], device=x.device)
            shape = [1] * (2 * rank)
            shape[d], shape[rank + d] = sizes[d], kernel[d]
            at = at * spatial[d] + axis.reshape((*x.shape[:2], *shape))
        planes = x.reshape((*x.shape[:2], math.prod(spatial)))
        windows = (*x.shape[:2], math.prod(sizes), math.prod(kernel))
        at = at.reshape(windows)
        flat = at.reshape((*x.shape[:2], windows[2] * windows[3]))
        values = _take_along(planes.detach(), flat, 2).reshape(windows)
        index = _take_along(at, _f["argmax"](values, -1, True), 3)[..., 0]
        result = (*input.shape[:-rank], *sizes)
        y = _take_along(planes, index, 2).reshape(result)
        return (y, index.reshape(result)) if return_indices else y

    return _named(
        fractional_max_pool,
        name,
        f"""Max pooling over windows that begin at random, for a factor that is no integer
(Graham 2014).

Parameters
----------
input : Tensor
    (N, C, {_PLANES[rank]}), or without N.
kernel_size : int or tuple of int
output_size : int or tuple of int, optional
output_ratio : float or tuple of float, optional
    The output's size as a part of the input's; this or `output_size` is required.
return_indices : bool
    Whether to give the positions in the flattened plane too.

Examples
--------
>>> x = sn.random.normal(shape=(2, 3, {", ".join(["8"] * rank)}))
>>> y = sn.nn.functional.{name}(x, 2, output_ratio=0.6)
>>> {"y[0].shape" if both else "y.shape"}
(2, 3, {", ".join(["4"] * rank)})
""",
    )


fractional_max_pool2d, fractional_max_pool3d = _fractional(2, False), _fractional(3, False)
fractional_max_pool2d_with_indices = _fractional(2, True)
fractional_max_pool3d_with_indices = _fractional(3, True)
