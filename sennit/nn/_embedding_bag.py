"""`embedding_bag` of `sennit.nn.functional`."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._api import asarray
from .._errors import error

_f = _core.functions
_where = _f["where"]

__all__ = ["embedding_bag"]

_MODES = ("sum", "mean", "max")


def embedding_bag(
    input: Any,
    weight: Any,
    offsets: Any = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Sums, means or maxima of bags of rows of a table.

    Parameters
    ----------
    input : Tensor
        Row numbers: (bags, length), or (count,) with `offsets`.
    weight : Tensor
        (rows, features).
    offsets : Tensor, optional
        (bags,), ascending from 0: where in `input` each bag begins.
    max_norm, norm_type, scale_grad_by_freq, sparse
        As in `embedding`.
    mode : str
        "sum", "mean" or "max". An empty bag gives zeros.
    per_sample_weights : Tensor, optional
        Of the shape of `input`: multiplies the rows, with "sum" only.
    include_last_offset : bool
        Whether the last offset is the end of the last bag, and begins none.
    padding_idx : int, optional
        A row that counts in no bag and gets no gradient.

    Returns
    -------
    Tensor
        (bags, features).

    Raises
    ------
    IndexOutOfRange
        When a number has no row. Raised when the result is read.

    Examples
    --------
    >>> table = sn.tensor([[1.0], [2.0], [4.0]])
    >>> rows, begins = sn.tensor([0, 1, 1, 2]), sn.tensor([0, 3])
    >>> sn.nn.functional.embedding_bag(rows, table, begins, mode="sum").tolist()
    [[5.0], [4.0]]
    """
    from .functional import embedding

    _check(input, weight, offsets, mode, per_sample_weights, include_last_offset)
    if padding_idx is not None and padding_idx < 0:
        padding_idx += weight.shape[0]
    rows = embedding(input, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    counted = None if padding_idx is None else input != padding_idx
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.astype(rows.dtype)[..., None]
    if offsets is None:
        return _over_axis(rows, counted, mode)
    begins = offsets[:-1] if include_last_offset else offsets
    bags = begins.shape[0]
    if bags == 0:
        return rows[:0]
    if mode == "max":
        return _over_axis(*_padded(rows, counted, offsets, include_last_offset), mode)
    # Each row's bag is the last one that begins at or before it.
    place = _f["arange"](input.shape[0], dtype=begins.dtype, device=begins.device)
    bag = _f["searchsorted"](begins, place, side="right") - 1
    if counted is not None:
        rows = _where(counted[:, None], rows, 0.0)
    total = _f["index_add"](
        _f["zeros"]((bags, weight.shape[1]), dtype=rows.dtype, device=rows.device), 0, bag, rows
    )
    if mode == "sum":
        return total
    one = _f["ones"](bag.shape, dtype=rows.dtype, device=rows.device)
    if counted is not None:
        one = counted.astype(rows.dtype)
    count = _f["index_add"](_f["zeros"]((bags,), dtype=rows.dtype, device=rows.device), 0, bag, one)
    return total / _f["maximum"](count, 1.0)[:, None]


def _check(
    input: Any, weight: Any, offsets: Any, mode: str, per_sample_weights: Any, last: bool
) -> None:
    op = "embedding_bag"
    if mode not in _MODES:
        raise error(_core.InvalidValue, op, f"mode is {mode!r}; it must be one of {_MODES}")
    if weight.ndim != 2 or input.ndim not in (1, 2) or (input.ndim == 1) == (offsets is None):
        given = "no offsets" if offsets is None else f"offsets {offsets.shape}"
        raise error(
            _core.ShapeError,
            op,
            f"input has shape {input.shape}, weight {weight.shape}, and there are {given}; "
            "required are (rows, features) and either (bags, length), or (count,) with offsets",
        )
    if offsets is not None:
        if offsets.ndim != 1 or (last and offsets.shape[0] == 0):
            raise error(
                _core.ShapeError,
                op,
                f"offsets have shape {offsets.shape}; required is (bags,), and one more with "
                "include_last_offset",
            )
        values = offsets.tolist()
        end = values[-1] if last else None
        ok = not values or (values[0] == 0 and values == sorted(values))
        if not ok or (values and values[-1] > input.shape[0]):
            raise error(
                _core.InvalidValue,
                op,
                f"offsets are {values[:8]}{'' if len(values) < 9 else '...'} for {input.shape[0]} "
                "indices; they must begin with 0, not descend, and end within the input",
            )
        if end is not None and end != input.shape[0]:
            raise error(
                _core.InvalidValue,
                op,
                f"the last offset is {end}; with include_last_offset it must be the number of "
                f"indices ({input.shape[0]})",
            )
    if per_sample_weights is not None and (
        mode != "sum" or per_sample_weights.shape != input.shape
    ):
        raise error(
            _core.InvalidValue if mode != "sum" else _core.ShapeError,
            op,
            f"per_sample_weights have shape {per_sample_weights.shape} and mode is {mode!r}; they "
            f"need the shape of the input {input.shape} and mode 'sum'",
        )


def _over_axis(rows: Any, counted: Any, mode: str) -> Any:
    """Of rows (bags, length, features) along the length; `counted` (bags, length) or None."""
    there = None if counted is None else counted[..., None]
    if rows.shape[1] == 0:
        return _f["zeros"]((rows.shape[0], rows.shape[2]), dtype=rows.dtype, device=rows.device)
    if mode == "max":
        if there is None:
            return rows.max(1)
        most = _where(there, rows, -float("inf")).max(1)
        return _where(there.any(1), most, 0.0)
    if there is None:
        return rows.sum(1) if mode == "sum" else rows.mean(1)
    total = _where(there, rows, 0.0).sum(1)
    if mode == "sum":
        return total
    return total / _f["maximum"](there.sum(1).astype(rows.dtype), 1.0)


def _padded(rows: Any, counted: Any, offsets: Any, last: bool) -> tuple[Any, Any]:
    """Bags of different lengths as (bags, longest, features), and what of that is there."""
    import numpy as np  # here: the package imports it when it is needed

    bounds = np.array(offsets.tolist(), dtype=np.int64)
    if not last:
        bounds = np.append(bounds, rows.shape[0])
    begins, lengths = bounds[:-1], np.diff(bounds)
    longest = max(int(lengths.max()), 1)
    step = np.arange(longest)
    there = step < lengths[:, None]
    if rows.shape[0] == 0:
        shape = (len(begins), longest, rows.shape[1])
        return _f["zeros"](shape, dtype=rows.dtype, device=rows.device), asarray(
            there, device=rows.device
        )
    place = asarray(np.where(there, begins[:, None] + step, 0).reshape(-1), device=rows.device)
    wide = _f["take"](rows, place, 0).reshape(len(begins), longest, rows.shape[1])
    inside = asarray(there, device=rows.device)
    if counted is not None:
        inside = inside & _f["take"](counted, place, 0).reshape(len(begins), longest)
    return wide, inside
