"""Mixed precision: `autocast`, and how products of float32 are computed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeVar

from . import _core
from ._errors import error

__all__ = [
    "autocast",
    "get_autocast_dtype",
    "get_float32_matmul_precision",
    "is_autocast_enabled",
    "set_float32_matmul_precision",
]

Called = TypeVar("Called", bound=Callable[..., Any])

_PRECISIONS = ("highest", "high", "medium")
_OTHER_NAMES = {"f32": "highest", "float32": "highest", "tf32": "high", "bf16": "medium"}


def get_float32_matmul_precision() -> str:
    """How products of float32 are computed: "highest", "high" or "medium".

    Examples
    --------
    >>> sn.get_float32_matmul_precision()
    'highest'
    """
    return _PRECISIONS[_core.matmul_precision()]


def set_float32_matmul_precision(precision: str) -> None:
    """Allows products of float32 to be computed with less precision where that is faster.

    The same as ``sn.config.matmul_precision = precision``. It is an allowance for the whole
    process: a CPU, and a GPU without cuBLASLt, compute in float32 throughout. Operands and results
    are float32 in every case. What was recorded before keeps the former setting.

    Parameters
    ----------
    precision : str
        "highest": float32 throughout (the default). "high" (or "tf32"): factors are rounded to
        TF32, which keeps 10 bits of the fraction. "medium" (or "bf16"): to bfloat16, which keeps 7.
        Sums are float32 in all of them.

    Raises
    ------
    InvalidValue
        When it is none of these.

    Examples
    --------
    >>> sn.set_float32_matmul_precision("high")
    >>> sn.config.matmul_precision
    'high'
    >>> sn.set_float32_matmul_precision("highest")
    """
    name = _OTHER_NAMES.get(precision, precision) if isinstance(precision, str) else precision
    if name not in _PRECISIONS:
        raise error(
            _core.InvalidValue,
            "set_float32_matmul_precision",
            f"the precision is {precision!r}; it must be 'highest', 'high' ('tf32') or 'medium' "
            "('bf16')",
        )
    _core.set_matmul_precision(_PRECISIONS.index(name))


class _Mode(NamedTuple):
    enabled: bool
    dtype: str


def _is_cpu(device_type: Any, op: str) -> bool:
    kind = str(device_type).partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise error(
            _core.InvalidValue, op, f"the device is {device_type!r}; it must be 'cpu' or 'cuda'"
        )
    return kind == "cpu"


def _modes() -> tuple[_Mode, _Mode]:
    """The calling thread's state, to be set again by `_set_modes`."""
    return _Mode(*_core.autocast_mode(False)), _Mode(*_core.autocast_mode(True))


def _set_modes(modes: tuple[_Mode, _Mode]) -> None:
    for cpu, mode in enumerate(modes):
        _core.set_autocast_mode(bool(cpu), mode.enabled, mode.dtype)


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether `autocast` is on here for a kind of device, "cuda" or "cpu".

    Examples
    --------
    >>> with sn.autocast("cpu"):
    ...     sn.is_autocast_enabled("cpu"), sn.is_autocast_enabled("cuda")
    (True, False)
    """
    return _core.autocast_mode(_is_cpu(device_type, "is_autocast_enabled"))[0]


def get_autocast_dtype(device_type: str) -> Any:
    """The dtype that `autocast` casts to here for a kind of device, "cuda" or "cpu".

    Examples
    --------
    >>> sn.get_autocast_dtype("cpu"), sn.get_autocast_dtype("cuda")
    (sennit.bfloat16, sennit.float16)
    """
    return getattr(_core, _core.autocast_mode(_is_cpu(device_type, "get_autocast_dtype"))[1])


class autocast:  # noqa: N801 - PyTorch's name
    """Inside, operations choose their precision: products short, sums and losses long.

    A function that is called on float32, bfloat16 or float16 tensors of the device

    * casts them to `dtype` when it is a product: matmul, linear, convolution, attention, recurrent
      layers (`FunctionDef::autocast` is kLower in its record);
    * casts them to float32 when a short fraction or range would be felt: exp, log, pow, sums,
      softmax, layer and group norm, losses (kFull);
    * does what it always does otherwise: operands promote, so a sum of bfloat16 and float32 is
      float32.

    float64, integers and Python numbers stay what they are, and so do the parameters: the casts
    are part of the computation, and gradients arrive in the parameters' dtype. The classes are
    those of PyTorch's autocast for CUDA, on both kinds of devices. The backward pass belongs
    outside: gradients have the precision of what they are gradients of. float16 wants
    `sn.optim.GradScaler` beside it; bfloat16 does not.

    A context manager and a decorator; blocks nest, and belong to the calling thread.

    Parameters
    ----------
    device_type : str
        "cuda" or "cpu". A block for "cuda" does nothing to tensors on the CPU.
    dtype : dtype, optional
        bfloat16 or float16. By default what the surrounding block says, or else float16 for "cuda"
        and bfloat16 for "cpu".
    enabled : bool
        False: the block computes as outside of any.
    cache_enabled : bool, optional
        Accepted as in PyTorch. Equal casts within a window are made once in any case.

    Raises
    ------
    InvalidValue
        When the device or the dtype is another one.

    Examples
    --------
    >>> layer = sn.nn.Linear(4, 3)
    >>> x = sn.ones((2, 4))
    >>> with sn.autocast("cpu", dtype=sn.bfloat16):
    ...     y = layer(x)
    ...     loss = y.softmax(-1).sum()
    >>> y.dtype, loss.dtype, layer.weight.dtype
    (sennit.bfloat16, sennit.float32, sennit.float32)
    """

    __slots__ = ("_before", "_cpu", "_dtype", "_enabled")

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        self._cpu = _is_cpu(device_type, "autocast")
        if dtype is not None and dtype not in (_core.bfloat16, _core.float16):
            raise error(
                _core.InvalidValue,
                "autocast",
                f"the dtype is {dtype}; it must be sn.bfloat16 or sn.float16",
            )
        self._dtype = None if dtype is None else str(dtype).rpartition(".")[2]
        self._enabled = bool(enabled)
        self._before: list[_Mode] = []

    def __enter__(self) -> autocast:
        before = _Mode(*_core.autocast_mode(self._cpu))
        self._before.append(before)
        _core.set_autocast_mode(self._cpu, self._enabled, self._dtype or before.dtype)
        return self

    def __exit__(self, *_: object) -> None:
        _core.set_autocast_mode(self._cpu, *self._before.pop())

    def __call__(self, function: Called) -> Called:
        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]
