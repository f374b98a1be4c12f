"""Sequences (Python lists) and optional values."""

from __future__ import annotations

from typing import Any

import sennit as sn

from .._compile import Block
from .._interpret import Call
from .._registry import op
from .._values import ABSENT, Known
from ._common import axis_of, ints


def _list(c: Call, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise c.invalid("a tensor stands where a sequence is needed")
    return value


def _position(c: Call, position: Any, length: int, beyond: int = 0) -> int:
    k = int(c.host(position, "the position").reshape(-1)[0])
    if not -length <= k < length + beyond:
        raise c.invalid(f"position {k} is out of range for a sequence of {length}")
    return k + length if k < 0 else k


@op("SequenceConstruct", raw=True)
def _construct(c: Call, *values: Any) -> Any:
    return list(values)


@op("SequenceEmpty", raw=True)
def _empty(c: Call, *, dtype: int = 1) -> Any:
    return []


@op("SequenceAt", raw=True)
def _at(c: Call, values: Any, position: Any) -> Any:
    found = _list(c, values)
    return found[_position(c, position, len(found))]


@op("SequenceInsert", raw=True)
def _insert(c: Call, values: Any, value: Any, position: Any = None) -> Any:
    made = list(_list(c, values))
    k = len(made) if position is None else _position(c, position, len(made), 1)
    made.insert(k, value)
    return made


@op("SequenceErase", raw=True)
def _erase(c: Call, values: Any, position: Any = None) -> Any:
    made = list(_list(c, values))
    if not made:
        raise c.invalid("nothing can be taken out of an empty sequence")
    del made[len(made) - 1 if position is None else _position(c, position, len(made))]
    return made


@op("SequenceLength", raw=True)
def _length(c: Call, values: Any) -> Any:
    import numpy as np

    return Known(np.asarray(len(_list(c, values))))


@op("SplitToSequence", raw=True)
def _split_to_sequence(
    c: Call, x: Any, split: Any = None, *, axis: int = 0, keepdims: int = 1
) -> Any:
    axis = axis_of(c, axis, len(x.shape))
    total = x.shape[axis]
    tensor = c.tensor(x)
    if split is None:
        parts = [sn.narrow(tensor, axis, k, 1) for k in range(total)]
        return parts if keepdims else [sn.squeeze(p, axis) for p in parts]
    given = c.host(split, "the sizes of the parts")
    if given.ndim == 0:
        step = int(given)
        if step < 1:
            raise c.invalid(f"the parts have size {step}; it must be 1 or more")
        sizes = [min(step, total - k) for k in range(0, total, step)]
    else:
        sizes = ints(given)
    if sum(sizes) != total:
        raise c.invalid(f"the parts {sizes} do not add up to size {total} of axis {axis}")
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    return [sn.narrow(tensor, axis, a, n) for a, n in zip(starts, sizes, strict=True)]


@op("ConcatFromSequence", raw=True)
def _concat_from_sequence(c: Call, values: Any, *, axis: int, new_axis: int = 0) -> Any:
    tensors = [c.tensor(v) for v in _list(c, values)]
    if not tensors:
        raise c.invalid("an empty sequence has no elements to join")
    if new_axis:
        return sn.stack(tensors, axis=axis_of(c, axis, tensors[0].ndim + 1))
    return sn.concat(tensors, axis=axis_of(c, axis, tensors[0].ndim))


@op("Optional", raw=True)
def _optional(c: Call, value: Any = None, *, type: Any = None) -> Any:
    return ABSENT if value is None else value


@op("OptionalGetElement", raw=True)
def _get_element(c: Call, value: Any) -> Any:
    if value is ABSENT or value is None:
        raise c.invalid("the optional value is empty")
    return value


@op("OptionalHasElement", raw=True)
def _has_element(c: Call, value: Any = None) -> Any:
    import numpy as np

    return Known(np.asarray(value is not None and value is not ABSENT))


@op("SequenceMap", raw=True)
def _sequence_map(c: Call, values: Any, *others: Any, body: Block) -> Any:
    """Runs a graph on each element of the first sequence, with those beside it in the others."""
    length = len(_list(c, values))
    for other in others:
        if isinstance(other, list) and len(other) != length:
            raise c.invalid(f"sequences of {length} and {len(other)} elements are mapped together")
    made: list[list[Any]] = [[] for _ in body.outputs]
    for k in range(length):
        beside = [o[k] if isinstance(o, list) else o for o in others]
        for out, value in zip(made, c.block(body, [values[k], *beside]), strict=True):
            out.append(value)
    return tuple(made)
