"""Sequences of different lengths: padded to one length, or packed without padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ... import _core
from ..._api import asarray
from ..._errors import error

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]

_f = _core.functions
_concat, _full, _stack, _take, _where = (
    _f["concat"], _f["full"], _f["stack"], _f["take"], _f["where"],
)  # fmt: skip


class PackedSequence(NamedTuple):
    """Sequences without padding: the first elements of all, then the second ones, and so on, the
    longest sequence first. Made by `pack_sequence` and `pack_padded_sequence`; recurrent layers
    take and return it.

    Attributes
    ----------
    data : Tensor, (elements of all sequences, ...)
    batch_sizes : Tensor
        For each step, how many sequences have it.
    sorted_indices, unsorted_indices : Tensor or None
        Order of the sequences in `data`, and the way back; None when they were in order.

    Examples
    --------
    >>> packed = sn.nn.utils.rnn.pack_sequence([sn.tensor([1, 2, 3]), sn.tensor([4, 5])])
    >>> packed.data.tolist(), packed.batch_sizes.tolist()
    ([1, 4, 2, 5, 3], [2, 2, 1])
    """

    data: Any
    batch_sizes: Any
    sorted_indices: Any = None
    unsorted_indices: Any = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same with ``data.to(...)``."""
        return self._replace(data=self.data.to(*args, **kwargs))


class Plan:
    """Where the elements of a packed batch stand in a padded one, (steps, batch), and back."""

    def __init__(self, batch_sizes: Sequence[int]) -> None:
        import numpy as np  # here: the package imports it when it is needed

        sizes = np.asarray(batch_sizes, dtype=np.int64)
        self.steps, self.batch = len(sizes), int(sizes[0])
        begins = np.cumsum(sizes) - sizes
        step, row = np.arange(self.steps)[:, None], np.arange(self.batch)[None]
        there = row < sizes[:, None]
        lengths = there.sum(0)
        turned = np.where(there, lengths - 1 - step, 0)  # the step that is this one from the end
        self.lengths = asarray(lengths)
        self.there = asarray(there)
        # Padding repeats an element that exists; what is made of it is never looked at.
        self.index = asarray(np.where(there, begins[:, None] + row, 0).reshape(-1))
        self.turned_index = asarray(np.where(there, begins[turned] + row, 0).reshape(-1))
        self.place = asarray(np.nonzero(there.reshape(-1))[0])
        self.turned_place = asarray((turned * self.batch + row)[there])

    def pad(self, data: Any, turned: bool = False) -> Any:
        """(elements, ...) as (steps, batch, ...); `turned`: each sequence from its end."""
        rows = _take(data, self.turned_index if turned else self.index, 0)
        return rows.reshape(self.steps, self.batch, *data.shape[1:])

    def pack(self, padded: Any, turned: bool = False) -> Any:
        """The way back."""
        rows = padded.reshape(self.steps * self.batch, *padded.shape[2:])
        return _take(rows, self.turned_place if turned else self.place, 0)


def invert_permutation(permutation: Any) -> Any:
    """Where each number stands in a permutation; None of None.

    Examples
    --------
    >>> sn.nn.utils.rnn.invert_permutation(sn.tensor([2, 0, 1])).tolist()
    [1, 2, 0]
    """
    return None if permutation is None else _f["argsort"](permutation, 0)


def _steps_first(x: Any) -> Any:
    return x.permute_dims((1, 0, *range(2, x.ndim)))


def _as_ints(function: str, what: str, values: Any) -> list[int]:
    listed = values.tolist() if hasattr(values, "tolist") else list(values)
    if not listed or not all(isinstance(v, int) for v in listed):
        raise error(
            _core.InvalidValue,
            function,
            f"{what} is {listed}; integers, one at least, are required",
        )
    return listed


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs a padded batch of sequences.

    Parameters
    ----------
    input : Tensor
        (steps, batch, ...), or (batch, steps, ...) with `batch_first`.
    lengths : sequence of int, or Tensor
        Of each sequence, 1 or more.
    enforce_sorted : bool
        Whether lengths that do not descend are an error; otherwise sequences are sorted, and what
        recurrent layers return is in the old order again.

    Raises
    ------
    InvalidValue
        When a length is not between 1 and the number of steps, or lengths do not descend.

    Examples
    --------
    >>> x = sn.tensor([[1, 2, 0], [3, 4, 5]])
    >>> p = sn.nn.utils.rnn.pack_padded_sequence(x, [2, 3], batch_first=True, enforce_sorted=False)
    >>> p.data.tolist(), p.batch_sizes.tolist()
    ([3, 1, 4, 2, 5], [2, 2, 1])
    """
    name = "pack_padded_sequence"
    sizes = _as_ints(name, "lengths", lengths)
    x = _steps_first(input) if batch_first else input
    steps, batch = x.shape[:2]
    if len(sizes) != batch or min(sizes) < 1 or max(sizes) > steps:
        raise error(
            _core.InvalidValue,
            name,
            f"lengths are {sizes} for {batch} sequences of {steps} steps; one length for each, "
            f"between 1 and {steps}, is required",
        )
    order = sorted(range(batch), key=lambda i: -sizes[i])
    in_order = order == list(range(batch))
    if not in_order and enforce_sorted:
        raise error(
            _core.InvalidValue,
            name,
            f"lengths are {sizes}; they must descend; sort the batch or pass enforce_sorted=False",
        )
    there = [sum(size > t for size in sizes) for t in range(max(sizes))]
    indices: tuple[Any, Any] = (None, None)
    if not in_order or not enforce_sorted:
        back = sorted(range(batch), key=lambda i: order[i])
        indices = (asarray(order), asarray(back))
        x = _take(x, indices[0], 1)
    return PackedSequence(Plan(there).pack(x[: len(there)]), asarray(there), *indices)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Any, Any]:
    """Undoes `pack_padded_sequence`: the padded batch and the lengths.

    Parameters
    ----------
    padding_value : float
        What stands behind the end of sequences.
    total_length : int, optional
        Steps of the result; by default those of the longest sequence.

    Examples
    --------
    >>> rnn = sn.nn.utils.rnn
    >>> packed = rnn.pack_sequence([sn.tensor([1, 2, 3]), sn.tensor([4])])
    >>> padded, lengths = rnn.pad_packed_sequence(packed, batch_first=True, padding_value=9)
    >>> padded.tolist(), lengths.tolist()
    ([[1, 2, 3], [4, 9, 9]], [3, 1])
    """
    plan = Plan(_as_ints("pad_packed_sequence", "batch_sizes", sequence.batch_sizes))
    data = sequence.data
    there = plan.there.reshape(plan.steps, plan.batch, *(1,) * (data.ndim - 1))
    padded = _where(there, plan.pad(data), padding_value).to(data.dtype)
    if total_length is not None:
        if total_length < plan.steps:
            raise error(
                _core.InvalidValue,
                "pad_packed_sequence",
                f"total_length is {total_length}; the longest sequence has {plan.steps} steps",
            )
        shape = (total_length - plan.steps, *padded.shape[1:])
        padded = _concat([padded, _full(shape, padding_value, dtype=data.dtype)], 0)
    lengths = plan.lengths
    if sequence.unsorted_indices is not None:
        padded = _take(padded, sequence.unsorted_indices, 1)
        lengths = _take(lengths, sequence.unsorted_indices, 0)
    return _steps_first(padded) if batch_first else padded, lengths


def pad_sequence(
    sequences: Iterable[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Any:
    """One tensor of sequences (steps, ...) of different lengths, padded to the longest.

    Parameters
    ----------
    padding_side : str
        "right" (behind) or "left" (in front).

    Examples
    --------
    >>> a, b = sn.tensor([1, 2, 3]), sn.tensor([4])
    >>> sn.nn.utils.rnn.pad_sequence([a, b], batch_first=True).tolist()
    [[1, 2, 3], [4, 0, 0]]
    """
    listed = list(sequences)
    if not listed or padding_side not in ("left", "right"):
        raise error(
            _core.InvalidValue,
            "pad_sequence",
            f"{len(listed)} sequences and padding_side={padding_side!r}; one sequence at least "
            "and 'left' or 'right' are required",
        )
    longest = max(s.shape[0] for s in listed)
    rows = []
    for s in listed:
        padding = _full((longest - s.shape[0], *s.shape[1:]), padding_value, dtype=s.dtype)
        rows.append(_concat([s, padding] if padding_side == "right" else [padding, s], 0))
    return _stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """The sequences of a padded batch, each of its own length.

    Examples
    --------
    >>> x = sn.tensor([[1, 2, 3], [4, 0, 0]])
    >>> [s.tolist() for s in sn.nn.utils.rnn.unpad_sequence(x, [3, 1], batch_first=True)]
    [[1, 2, 3], [4]]
    """
    x = padded_sequences if batch_first else _steps_first(padded_sequences)
    sizes = _as_ints("unpad_sequence", "lengths", lengths)
    return [x[i, :size] for i, size in enumerate(sizes)]


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Packs sequences (steps, ...) of different lengths; see `pack_padded_sequence`.

    Examples
    --------
    >>> packed = sn.nn.utils.rnn.pack_sequence([sn.ones((3, 2)), sn.ones((1, 2))])
    >>> y, _ = sn.nn.GRU(2, 5)(packed)
    >>> y.data.shape
    (4, 5)
    """
    listed = list(sequences)
    lengths = [s.shape[0] for s in listed]
    return pack_padded_sequence(pad_sequence(listed), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Any]:
    """Undoes `pack_sequence`.

    Examples
    --------
    >>> rnn = sn.nn.utils.rnn
    >>> packed = rnn.pack_sequence([sn.tensor([1, 2, 3]), sn.tensor([4])])
    >>> [s.tolist() for s in rnn.unpack_sequence(packed)]
    [[1, 2, 3], [4]]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
