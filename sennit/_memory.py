"""Where memory goes: what the allocator holds, and which module of a model it belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import _core
from ._errors import error

__all__ = ["memory"]

_KINDS = ("parameters", "gradients", "buffers", "optimizer", "activations")


class ModuleMemory(dict[str, dict[str, int]]):
    """Bytes by module path and kind, as `sn.memory.by_module` returns them; prints as a table."""

    def total(self, kind: str | None = None) -> int:
        """Bytes of all modules together, of one kind or of all kinds.

        Examples
        --------
        >>> sn.memory.by_module(sn.nn.Linear(3, 2)).total("parameters")
        32
        """
        kinds = _KINDS if kind is None else (kind,)
        return sum(row[k] for row in self.values() for k in kinds)

    def __str__(self) -> str:
        table: list[tuple[str, ...]] = [("module", *_KINDS)]
        table += [(p or "(model)", *(f"{row[k]:,}" for k in _KINDS)) for p, row in self.items()]
        table.append(("total", *(f"{self.total(k):,}" for k in _KINDS)))
        wide = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        return "\n".join(
            "  ".join([line[0].ljust(wide[0])] + [c.rjust(w) for c, w in zip(line[1:], wide[1:])])
            for line in table
        )


def _tensors(value: Any) -> Iterable[_core.Tensor]:
    if isinstance(value, _core.Tensor):
        yield value
    elif isinstance(value, dict):
        for v in value.values():
            yield from _tensors(v)
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from _tensors(v)


def _measure_forward(model: Any, inputs: tuple[Any, ...], paths: dict[int, str]) -> dict[str, int]:
    """What is in use after each module's forward pass and was not before, without its children's
    part."""
    kept: dict[str, int] = {}
    open_calls: list[list[int]] = []  # of each call: in use before it, and what its children kept
    handles = []

    def in_use() -> int:
        _core.synchronize()
        return int(_core.memory_stats(0)["in_use"])

    def before(module: Any, args: Any) -> None:
        open_calls.append([in_use(), 0])

    def after(module: Any, args: Any, result: Any) -> None:
        start, children = open_calls.pop()
        more = in_use() - start
        path = paths[id(module)]
        kept[path] = kept.get(path, 0) + more - children
        if open_calls:
            open_calls[-1][1] += more

    try:
        for module in model.modules():
            handles.append(module.register_forward_pre_hook(before))
            handles.append(module.register_forward_hook(after))
        result = model(*inputs)
        _core.synchronize()
        del result
    finally:
        for handle in handles:
            handle.remove()
    return kept


class _Memory:
    """Memory of a device as Sennit's allocator sees it.

    Examples
    --------
    >>> sn.memory.reset_peak()
    >>> x = sn.ones(1000)
    >>> sn.synchronize()
    >>> sn.memory.stats()["peak"] >= 4000
    True
    """

    def stats(self, device: int | str = 0) -> dict[str, int]:
        """Bytes in use, at peak, cached and reserved, and numbers of allocations.

        `device` is the number of a CPU device, or a name: "cpu:1", "cuda:0".

        "derived" are the bytes, of all devices, of forms that kernels keep with values that they
        see again (weights of convolutions, packed); they are part of "in_use".

        Examples
        --------
        >>> sn.memory.stats()["in_use"] >= 0
        True
        """
        return _core.memory_stats(device)

    def reset_peak(self, device: int | str = 0) -> None:
        """Sets the peak to what is in use now.

        Examples
        --------
        >>> sn.memory.reset_peak()
        """
        _core.reset_peak(device)

    def release_cached(self, device: int | str = 0) -> int:
        """Gives idle memory back to the system; returns how many bytes.

        Examples
        --------
        >>> sn.memory.release_cached() >= 0
        True
        """
        return _core.release_cached(device)

    def by_module(
        self, model: Any, optimizer: Any = None, inputs: tuple[Any, ...] | None = None
    ) -> ModuleMemory:
        """Bytes of a model by module, each tensor at the first module that holds it.

        Parameters
        ----------
        model : Module
        optimizer : Optimizer, optional
            Its state is counted at the parameters that it belongs to, as "optimizer".
        inputs : tuple, optional
            Runs ``model(*inputs)`` once, as a training step would (so the running statistics of
            batch norms and the random numbers of dropout move on), and counts what each module's
            forward pass leaves in memory, as "activations": its output, and what gradients will
            read. A module is waited for before the next one starts, so what fusion across modules
            would save is not seen; memory that a module gives back counts as negative.

        Returns
        -------
        ModuleMemory
            A dict from path ("" is the model itself) to the bytes of its own "parameters",
            "gradients", "buffers", "optimizer" and "activations", without those of the modules
            below it. ``total()`` adds them up; printing it shows a table.

        Raises
        ------
        InvalidType
            When `model` is not a module, or `inputs` is not a tuple.

        Examples
        --------
        >>> model = sn.nn.Sequential(sn.nn.Linear(8, 4), sn.nn.ReLU(), sn.nn.Linear(4, 2))
        >>> report = sn.memory.by_module(model)
        >>> report["0"]["parameters"], report.total()
        (144, 184)
        >>> report = sn.memory.by_module(model, inputs=(sn.ones((16, 8)),))
        >>> report["0"]["activations"] >= 16 * 4 * 4
        True
        """
        if not hasattr(model, "named_modules"):
            raise error(
                _core.InvalidType,
                "memory.by_module",
                f"model is {type(model).__name__}; it must be a module; pass an sn.nn.Module",
            )
        if inputs is not None and not isinstance(inputs, tuple):
            raise error(
                _core.InvalidType,
                "memory.by_module",
                f"inputs is {type(inputs).__name__}; it must be a tuple of arguments; pass (x,) "
                "for one",
            )
        report = ModuleMemory()
        paths: dict[int, str] = {}
        counted: dict[int, _core.Tensor] = {}  # held, so that no id is given out twice
        state = {id(p): values for p, values in optimizer.state.items()} if optimizer else {}

        def count(row: dict[str, int], kind: str, value: Any) -> None:
            for t in _tensors(value):
                if id(t) not in counted:
                    counted[id(t)] = t
                    row[kind] += t.nbytes

        _core.synchronize()
        for path, module in model.named_modules():
            paths[id(module)] = path
            row = report[path] = dict.fromkeys(_KINDS, 0)
            for _, p in module.named_parameters(recurse=False):
                if id(p) not in counted:
                    count(row, "gradients", p.grad)
                    count(row, "optimizer", state.get(id(p)))
                count(row, "parameters", p)
            for _, b in module.named_buffers(recurse=False):
                count(row, "buffers", b)
        if inputs is not None:
            for path, amount in _measure_forward(model, inputs, paths).items():
                report[path]["activations"] = amount
        return report

    def plan_cache(self) -> dict[str, int]:
        """Plans kept, hits and misses.

        Examples
        --------
        >>> sn.memory.plan_cache()["limit"] > 0
        True
        """
        return _core.plan_cache_stats()


memory = _Memory()
