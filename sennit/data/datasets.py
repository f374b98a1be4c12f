"""Data sets: anything with a length and items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from .. import _core
from .._errors import error

__all__ = ["Dataset", "Subset", "TensorDataset", "random_split"]

_take = _core.functions["take"]


@runtime_checkable
class Dataset(Protocol):
    """What a data set needs: ``len(dataset)`` and ``dataset[i]``.

    Examples
    --------
    >>> isinstance([1, 2, 3], sn.data.Dataset)
    True
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


class TensorDataset:
    """Tensors of the same length; item i is the tuple of their rows i.

    A `DataLoader` takes whole batches of it with one operation per tensor.

    Parameters
    ----------
    *tensors : Tensor or array
        With equal first dimensions.

    Raises
    ------
    ShapeError
        When lengths differ.

    Examples
    --------
    >>> data = sn.data.TensorDataset(sn.ones((10, 4)), sn.arange(10))
    >>> len(data), data[3][1].item()
    (10, 3)
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(_core.asarray(t) for t in tensors)
        shapes = [t.shape for t in self.tensors]
        if not shapes or any(not s or s[0] != shapes[0][0] for s in shapes):
            raise error(
                _core.ShapeError,
                "TensorDataset",
                f"the tensors have shapes {shapes}; their first dimensions must be equal",
            )

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])

    def __getitem__(self, index: Any) -> tuple[_core.Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def take(self, indices: _core.Tensor) -> tuple[_core.Tensor, ...]:
        """The rows of an int64 index tensor, as a batch.

        Examples
        --------
        >>> data = sn.data.TensorDataset(sn.arange(10))
        >>> data.take(sn.tensor([2, 4]))[0].tolist()
        [2, 4]
        """
        return tuple(_take(t, indices, 0) for t in self.tensors)


class Subset:
    """Some items of a data set, by their indices.

    Examples
    --------
    >>> part = sn.data.Subset(["a", "b", "c"], [2, 0])
    >>> list(part)
    ['c', 'a']
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = list(indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]

    def __iter__(self) -> Iterator[Any]:
        return (self.dataset[i] for i in self.indices)


def permutation(count: int, seed: int, epoch: int = 0) -> Any:
    """The numbers 0 to count - 1 in an order that is a function of seed and epoch only.

    Sorted Philox numbers: NumPy promises that its bit generators keep their streams.

    Returns
    -------
    numpy.ndarray of int64

    Examples
    --------
    >>> from sennit.data.datasets import permutation
    >>> permutation(5, seed=1).tolist() == permutation(5, seed=1).tolist()
    True
    """
    import numpy as np

    keys = np.random.Philox(key=[seed % 2**64, epoch % 2**64]).random_raw(count)
    return np.argsort(keys, kind="stable")


def random_split(dataset: Any, lengths: Sequence[float], seed: int = 0) -> list[Any]:
    """Parts of a data set that do not overlap, drawn by a seed.

    Parameters
    ----------
    dataset : Dataset
    lengths : sequence of int, or of float
        Numbers of items that sum to ``len(dataset)``, or fractions that sum to 1 (the remainder
        goes to the first parts).
    seed : int

    Returns
    -------
    list
        `TensorDataset` parts of a `TensorDataset`, else `Subset`.

    Examples
    --------
    >>> train, test = sn.data.random_split(sn.data.TensorDataset(sn.arange(10)), [0.8, 0.2])
    >>> len(train), len(test)
    (8, 2)
    """
    count = len(dataset)
    sizes = [int(n) for n in lengths]
    if any(isinstance(n, float) for n in lengths) and abs(sum(lengths) - 1) < 1e-9:
        sizes = [int(count * n) for n in lengths]
        for i in range(count - sum(sizes)):
            sizes[i % len(sizes)] += 1
    if sum(sizes) != count or min(sizes, default=0) < 0:
        raise error(
            _core.InvalidValue,
            "random_split",
            f"the lengths are {list(lengths)} for {count} items; they must sum to {count}, or to "
            "1.0 as fractions",
        )
    order = permutation(count, seed)
    parts: list[Any] = []
    at = 0
    for size in sizes:
        chosen = order[at : at + size]
        at += size
        if isinstance(dataset, TensorDataset):
            parts.append(TensorDataset(*dataset.take(_core.asarray(chosen))))
        else:
            parts.append(Subset(dataset, chosen.tolist()))
    return parts
