"""Batches of a data set, prepared ahead."""

from __future__ import annotations

import queue
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from .. import _core
from .._errors import error
from .datasets import TensorDataset, permutation

__all__ = ["DataLoader", "collate"]

_f = _core.functions


def collate(items: list[Any]) -> Any:
    """One batch of items: tensors, arrays and numbers are stacked; tuples, lists and dicts of them
    become tuples, lists and dicts of batches.

    Examples
    --------
    >>> x, y = sn.data.collate([(sn.ones(3), 0), (sn.zeros(3), 1)])
    >>> x.shape, y.tolist()
    ((2, 3), [0, 1])
    """
    first = items[0]
    if isinstance(first, _core.Tensor):
        return _f["stack"](items, 0)
    if isinstance(first, dict):
        return {k: collate([item[k] for item in items]) for k in first}
    if isinstance(first, tuple | list):
        columns = [collate(list(column)) for column in zip(*items, strict=True)]
        return type(first)(columns) if type(first) in (tuple, list) else type(first)(*columns)
    if isinstance(first, str | bytes):
        return items
    if isinstance(first, bool | int | float):
        return _core.asarray(items)
    import numpy as np

    return _core.asarray(np.stack([np.asarray(item) for item in items]))


class DataLoader:
    """Iterates over a data set in batches, in an order that a seed fixes.

    The next batches are prepared while the last one is used: rows of tensors by the engine, items
    of other data sets on a thread. What is iterated over is the same for any `prefetch`.

    Parameters
    ----------
    dataset : Dataset
        A `TensorDataset` is the fast case.
    batch_size : int
    shuffle : bool
        Whether each epoch has an order of its own.
    drop_last : bool
        Whether a last batch that is not full is left out.
    seed : int, optional
        Of the orders. Without one, each epoch draws its order from ``sn.random``, so that
        ``sn.random.seed`` fixes it.
    collate_fn : callable, optional
        Makes a batch of a list of items; `collate` by default.
    prefetch : int
        Batches prepared ahead; 0 prepares each when it is asked for.
    pin_memory : bool
        Whether batches lie in page-locked memory, from which ``x.to("cuda")`` copies while the GPU
        works. Without a GPU: a warning, and ordinary memory.
    prefetch_to : str, optional
        A device to which batches are copied ahead, through page-locked memory where it is a GPU:
        the next batch travels while a step runs.

    Examples
    --------
    >>> data = sn.data.TensorDataset(sn.ones((10, 4)), sn.arange(10))
    >>> loader = sn.data.DataLoader(data, batch_size=4, shuffle=True, seed=1)
    >>> [y.shape for x, y in loader]
    [(4,), (4,), (2,)]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int | None = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        prefetch: int = 2,
        pin_memory: bool = False,
        prefetch_to: str | None = None,
    ) -> None:
        if batch_size < 1 or prefetch < 0:
            raise error(
                _core.InvalidValue,
                "DataLoader",
                f"batch_size is {batch_size} and prefetch {prefetch}; the first must be 1 or more, "
                "the second 0 or more",
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.collate_fn = collate_fn
        self.prefetch = prefetch
        self.prefetch_to = prefetch_to
        cuda = prefetch_to is not None and prefetch_to.split(":")[0] == "cuda"
        if prefetch_to is not None:
            _f["zeros"]((0,), device=prefetch_to)  # tells what is missing
        elif pin_memory and (missing := _core.unavailable_reason("cuda")):
            warnings.warn(f"DataLoader: batches are not page-locked: {missing}", stacklevel=2)
            pin_memory = False
        self.pin_memory = pin_memory or cuda
        self.epoch = 0  # of the next iteration; set it to continue a run

    def __len__(self) -> int:
        count = len(self.dataset)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def _order(self, epoch: int) -> Any:
        count = len(self.dataset)
        if not self.shuffle:
            return None
        if self.seed is None:
            return _f["random.permutation"](count)
        return _core.asarray(permutation(count, self.seed, epoch))

    def __iter__(self) -> Iterator[Any]:
        order = self._order(self.epoch)
        self.epoch += 1
        bounds = [
            (at, min(at + self.batch_size, len(self.dataset)))
            for at in range(0, len(self) * self.batch_size, self.batch_size)
        ]
        moves = self.pin_memory or self.prefetch_to is not None
        dataset = self.dataset
        batch: Callable[[tuple[int, int]], Any]
        if isinstance(dataset, TensorDataset) and self.collate_fn is None:
            if not moves:
                return self._tensor_batches(dataset, order, bounds)

            def batch(bound: tuple[int, int]) -> Any:
                return self._moved(_rows(dataset, order, bound))
        else:
            listed = range(len(dataset)) if order is None else order.tolist()
            make = self.collate_fn or collate

            def batch(bound: tuple[int, int]) -> Any:
                made = make([dataset[i] for i in listed[bound[0] : bound[1]]])
                return self._moved(made) if moves else made

        if self.prefetch == 0:
            return (batch(b) for b in bounds)
        return _on_thread(batch, bounds, self.prefetch)

    def _moved(self, batch: Any) -> Any:
        """The batch with its tensors page-locked, and on their device."""
        if isinstance(batch, _core.Tensor):
            if self.pin_memory and batch.is_cpu:
                batch = batch.pin_memory()
            return batch if self.prefetch_to is None else batch.to(self.prefetch_to)
        if isinstance(batch, dict):
            return {k: self._moved(v) for k, v in batch.items()}
        if isinstance(batch, tuple | list):
            moved = [self._moved(v) for v in batch]
            return type(batch)(moved) if type(batch) in (tuple, list) else type(batch)(*moved)
        return batch

    def _tensor_batches(
        self, dataset: TensorDataset, order: Any, bounds: list[tuple[int, int]]
    ) -> Iterator[Any]:
        """Batches by one `take` per tensor, each recorded when the one before is handed out.

        An op call only records, and the window runs asynchronously: the rows are gathered while
        Python and the engine are busy with the batch before.
        """

        ahead: Any = None
        for bound in bounds:
            if self.prefetch == 0 or order is None:
                yield _rows(dataset, order, bound)
                continue
            ready, ahead = ahead, _rows(dataset, order, bound)
            _core.flush()
            if ready is not None:
                yield ready
        if ahead is not None:
            yield ahead

    def __repr__(self) -> str:
        return (
            f"DataLoader({type(self.dataset).__name__} of {len(self.dataset)}, "
            f"batch_size={self.batch_size}, shuffle={self.shuffle}, drop_last={self.drop_last}, "
            f"seed={self.seed})"
        )


def _rows(dataset: TensorDataset, order: Any, bound: tuple[int, int]) -> tuple[_core.Tensor, ...]:
    start, stop = bound
    if order is None:
        # Detached, so that writing into a batch leaves the data set as it is.
        return tuple(t[start:stop].detach() for t in dataset.tensors)
    return dataset.take(order[start:stop])


def _on_thread(
    make: Callable[[Any], Any], bounds: list[tuple[int, int]], depth: int
) -> Iterator[Any]:
    """Batches made on a thread, in order, at most `depth` ahead."""
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def put(kind: str, value: Any) -> bool:
        while not stop.is_set():
            try:
                ready.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for bound in bounds:
                value = make(bound)
                _core.flush()  # starts what the items recorded; nobody has to wait for it here
                if not put("batch", value):
                    return
            put("end", None)
        except BaseException as failure:  # raised where the batch is awaited
            put("error", failure)

    thread = threading.Thread(target=work, name="sennit-loader", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stop.set()
        thread.join()
