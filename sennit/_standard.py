"""What the Array API standard asks of a namespace beyond its functions of arrays: questions about
dtypes, and about the namespace itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import _core
from ._core import InvalidType, InvalidValue, Tensor, dtype
from ._errors import error

__all__ = ["can_cast", "finfo", "iinfo", "isdtype", "result_type"]

_KINDS: dict[str, str] = {
    "bool": "b",
    "signed integer": "i",
    "unsigned integer": "u",
    "integral": "iu",
    "real floating": "f",
    "complex floating": "c",
    "numeric": "iufc",
}


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind.

    Parameters
    ----------
    dtype : dtype
    kind : dtype, str or tuple of them
        A dtype, or "bool", "signed integer", "unsigned integer", "integral", "real floating",
        "complex floating" or "numeric"; of a tuple one must fit.

    Examples
    --------
    >>> sn.isdtype(sn.float32, "real floating"), sn.isdtype(sn.int8, ("bool", "real floating"))
    (True, False)
    """
    given = _core.dtype(dtype)
    if isinstance(kind, tuple):
        return any(isdtype(given, k) for k in kind)
    if isinstance(kind, str):
        if kind not in _KINDS:
            known = ", ".join(repr(k) for k in _KINDS)
            raise error(InvalidValue, "isdtype", f"kind is {kind!r}; it must be a dtype or {known}")
        return given.kind in _KINDS[kind]
    return given is _core.dtype(kind)


def _is_number(x: object) -> bool:
    return isinstance(x, int | float | complex)


def result_type(*arrays_and_dtypes: Any) -> dtype:
    """The dtype of an operation on operands: tensors, dtypes and Python numbers.

    Python numbers take part by their kind only: a float makes integers float32, a complex number
    makes float64 complex128.

    Raises
    ------
    DTypeError
        When two have no common type (uint64 and a signed integer).

    Examples
    --------
    >>> sn.result_type(sn.int8, sn.ones(2)), sn.result_type(sn.float64, 1j)
    (sennit.float32, sennit.complex128)
    """
    if not arrays_and_dtypes:
        raise error(
            InvalidType, "result_type", "nothing is given; at least one operand is required"
        )
    found: dtype | None = None
    for x in arrays_and_dtypes:
        if _is_number(x):
            continue
        kind = x.dtype if isinstance(x, Tensor) else _core.dtype(getattr(x, "dtype", x))
        found = kind if found is None else _core.promote_types(found, kind)
    for x in arrays_and_dtypes:
        if not _is_number(x):
            continue
        kind = _core.asarray(x).dtype
        if found is None or found.kind == "b" or (found.kind in "iu" and kind.kind in "fc"):
            found = kind
        elif kind.kind == "c" and found.kind == "f":
            found = found.to_complex
    assert found is not None
    return found


def can_cast(from_: Any, to: Any) -> bool:
    """Whether promotion takes one dtype (or a tensor's) to another.

    Examples
    --------
    >>> sn.can_cast(sn.int8, sn.int16), sn.can_cast(sn.float32, sn.int64)
    (True, False)
    """
    source = from_.dtype if isinstance(from_, Tensor) else _core.dtype(from_)
    target = _core.dtype(to)
    try:
        return _core.promote_types(source, target) is target
    except _core.DTypeError:
        return False


@dataclass(frozen=True)
class finfo_object:  # noqa: N801 - the standard's name
    """What `finfo` returns: limits of a floating-point dtype, as Python floats.

    Examples
    --------
    >>> sn.finfo(sn.float16).max
    65504.0
    """

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    tiny: float
    resolution: float
    dtype: dtype


@dataclass(frozen=True)
class iinfo_object:  # noqa: N801
    """What `iinfo` returns: limits of an integer dtype.

    Examples
    --------
    >>> sn.iinfo(sn.uint8).max
    255
    """

    bits: int
    max: int
    min: int
    dtype: dtype


# Bits of the significand (the hidden one included) and the largest exponent.
_FLOATS = {"float16": (11, 15), "bfloat16": (8, 127), "float32": (24, 127), "float64": (53, 1023)}


def _dtype_of(op: str, x: Any) -> dtype:
    return x.dtype if isinstance(x, Tensor) else _core.dtype(x)


def finfo(type: Any) -> finfo_object:
    """Limits of a floating-point dtype; of a complex one, those of its parts.

    Parameters
    ----------
    type : dtype or Tensor

    Returns
    -------
    finfo_object
        bits; eps (distance of 1 to the next number); max, min; smallest_normal (and tiny, the
        same); resolution (10 to minus the decimal digits that are exact); dtype.

    Examples
    --------
    >>> sn.finfo(sn.float32).eps
    1.1920928955078125e-07
    """
    kind = _dtype_of("finfo", type)
    if kind.kind not in "fc":
        raise error(
            InvalidType,
            "finfo",
            f"{kind.name} is no floating-point dtype; use sn.iinfo for integers",
        )
    part = kind.to_real
    digits, exponent = _FLOATS[part.name]
    largest = (2.0 - 2.0 ** (1 - digits)) * 2.0**exponent
    small = 2.0 ** (1 - exponent)
    exact = int((digits - 1) * 0.30103)
    return finfo_object(
        part.itemsize * 8, 2.0 ** (1 - digits), largest, -largest, small, small, 10.0**-exact, part
    )


def iinfo(type: Any) -> iinfo_object:
    """Limits of an integer dtype.

    Parameters
    ----------
    type : dtype or Tensor

    Returns
    -------
    iinfo_object
        bits, max, min, dtype.

    Examples
    --------
    >>> sn.iinfo(sn.int16).min
    -32768
    """
    kind = _dtype_of("iinfo", type)
    if kind.kind not in "iu":
        raise error(
            InvalidType, "iinfo", f"{kind.name} is no integer dtype; use sn.finfo for floats"
        )
    bits = kind.itemsize * 8
    if kind.kind == "u":
        return iinfo_object(bits, 2**bits - 1, 0, kind)
    return iinfo_object(bits, 2 ** (bits - 1) - 1, -(2 ** (bits - 1)), kind)


_STANDARD = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32",
    "float64", "complex64", "complex128",
)  # fmt: skip


class _Info:
    """The namespace's answers about itself; see `__array_namespace_info__`."""

    def capabilities(self) -> dict[str, Any]:
        """What is optional in the standard, and whether it is there."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 32}

    def default_device(self) -> str:
        """Where tensors are made."""
        return "cpu"

    def default_dtypes(self, *, device: str | None = None) -> dict[str, dtype]:
        """The dtypes of Python numbers and of indices."""
        return {
            "real floating": _core.float32,
            "complex floating": _core.complex64,
            "integral": _core.int64,
            "indexing": _core.int64,
        }

    def devices(self) -> list[str]:
        """Every device that is there."""
        found = ["cpu"]
        for kind in ("cpu", "cuda"):
            for i in range(_core.device_count(kind)):
                name = f"{kind}:{i}"
                if name != "cpu:0":
                    found.append(name)
        return found

    def dtypes(self, *, device: str | None = None, kind: Any = None) -> dict[str, dtype]:
        """The standard's dtypes (of a kind, as `isdtype` takes it), by name."""
        every = {name: getattr(_core, name) for name in _STANDARD}
        return {n: d for n, d in every.items() if kind is None or isdtype(d, kind)}


def __array_namespace_info__() -> _Info:  # noqa: N807 - the standard's name
    """What the standard lets one ask a namespace: capabilities, devices, dtypes and defaults.

    Examples
    --------
    >>> info = sn.__array_namespace_info__()
    >>> info.default_dtypes()["real floating"]
    sennit.float32
    >>> list(info.dtypes(kind="complex floating"))
    ['complex64', 'complex128']
    """
    return _Info()
