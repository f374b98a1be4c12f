"""What a traced function may write: tensors in modules, optimizers and containers, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ._core import InvalidType, InvalidValue, Tensor
from ._errors import error

if TYPE_CHECKING:
    from .optim.optimizer import Optimizer

__all__ = ["Mutable"]

_MISSING = object()


class Mutable:
    """The tensors in some objects, and the objects as they were, so that a trace leaves no traces.

    `tensors` are by name: those of a module as in its `state_dict`, with the module's key before
    them when it stands in a dict; those of an optimizer behind "optimizer.", named after the
    parameter that they belong to.
    """

    def __init__(self, roots: Any) -> None:
        self._roots = roots
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[int, str] = {}
        self._containers: list[tuple[str, Any, Any]] = []  # where, a dict or a list, its copy
        self._visited: set[int] = set()
        # In a first trace: what optimizers had, and by optimizer the parameters that it has made
        # state for, and whether it counts steps.
        self._before: list[tuple[Any, set[int], Any]] = []
        self._began: list[list[Any]] | None = None
        # Modules first: what belongs to a parameter is named after it.
        for modules in (True, False):
            self._root("", roots, modules)

    def _root(self, prefix: str, x: Any, modules: bool) -> None:
        from ._graph import Graph
        from .nn.module import Module

        if isinstance(x, Graph):
            x = x.parameters
        if isinstance(x, dict):
            for key, value in x.items():
                if not isinstance(key, str):
                    raise error(
                        InvalidType,
                        "trace",
                        f"mutable has the key {key!r}; keys are names, and must be strings",
                    )
                self._root(f"{prefix}{key}.", value, modules)
        elif isinstance(x, list | tuple):
            for value in x:
                self._root(prefix, value, modules)
        elif isinstance(x, Module):
            if modules:
                self._module(prefix, x)
        elif isinstance(x, Tensor):
            if not modules:
                self._tensor(prefix.rstrip(".") or f"tensor.{len(self.tensors)}", x)
        elif hasattr(x, "__dict__") and not isinstance(x, type) and not callable(x):
            if not modules:
                self._object(prefix or "optimizer.", x)
        else:
            raise error(
                InvalidType,
                "trace",
                f"mutable has a {type(x).__name__}; it must be a module, a graph, an optimizer, a "
                "tensor, or a list or dict of them",
            )

    def _tensor(self, name: str, x: Tensor) -> None:
        if id(x) in self._names:
            return
        if name in self.tensors:
            raise error(
                InvalidValue,
                "trace",
                f"two tensors of mutable are named '{name}'; give names: "
                "mutable={'first': ..., 'second': ...}",
            )
        self._names[id(x)] = name
        self.tensors[name] = x

    def _module(self, prefix: str, module: Any) -> None:
        from .nn.parameter import is_lazy

        for path, owner in module.named_modules():
            self._keep(f"{prefix}{path}".rstrip("."), owner.__dict__)
            for attribute, value in owner._own("parameter", "buffer"):
                name = ".".join(part for part in (prefix.rstrip("."), path, attribute) if part)
                if is_lazy(value):
                    raise error(
                        InvalidValue,
                        "trace",
                        f"'{name}' has no shape yet; call the module once on real data before "
                        "tracing",
                    )
                self._tensor(name, value)

    def _object(self, prefix: str, x: Any) -> None:
        if id(vars(x)) in self._visited:
            return
        self._keep(prefix.rstrip("."), vars(x))
        for name, value in vars(x).items():
            self._walk(f"{prefix}{name.strip('_')}", value)

    def _walk(self, name: str, x: Any) -> None:
        from .nn.module import Module

        if isinstance(x, Tensor):
            self._tensor(name, x)
        elif isinstance(x, Module):
            self._module(f"{name}.", x)
        elif isinstance(x, dict):
            self._keep(name, x)
            for number, (key, value) in enumerate(x.items()):
                known = self._names.get(id(key), number) if isinstance(key, Tensor) else key
                self._walk(f"{name}.{known}", value)
        elif isinstance(x, list | tuple):
            if isinstance(x, list):
                self._keep(name, x)
            for number, value in enumerate(x):
                self._walk(f"{name}.{number}", value)
        elif type(x).__module__.startswith("sennit.optim") and hasattr(x, "__dict__"):
            self._object(f"{name}.", x)

    def _keep(self, where: str, container: Any) -> None:
        if id(container) not in self._visited:
            self._visited.add(id(container))
            self._containers.append((where, container, container.copy()))

    def _changes(self) -> Iterator[tuple[str, Any]]:
        """What the containers hold that they did not hold before."""
        for where, now, before in self._containers:
            if isinstance(now, dict):
                for key in {**before, **now}:
                    old, new = before.get(key, _MISSING), now.get(key, _MISSING)
                    if old is not new and not _same(old, new):
                        name = self._names.get(id(key), "") if isinstance(key, Tensor) else key
                        yield f"{where}.{name}".strip("."), new
            elif len(now) != len(before) or any(
                a is not b for a, b in zip(now, before, strict=True)
            ):
                yield where, now

    def restore(self) -> list[tuple[str, Any]]:
        """Makes the containers what they were; returns what was different."""
        changes = list(self._changes())
        for _, now, before in self._containers:
            now.clear()
            now.update(before) if isinstance(now, dict) else now.extend(before)
        return changes

    def after_trace(self) -> None:
        """Restores the containers; fails when the function has put something else into one, which
        a graph does not do."""
        if self._began is not None:
            for (optimizer, ids, steps), began in zip(self._before, self._began, strict=True):
                began[0].update({id(p): p for p in optimizer.state if id(p) not in ids})
                began[1] = began[1] or getattr(optimizer, "steps", None) is not steps
            self.restore()
            return
        for where, value in self.restore():
            what = "a tensor" if isinstance(value, Tensor) else f"{value!r:.60}"
            raise error(
                InvalidValue,
                "trace",
                f"the function sets '{where}' to {what}; a graph writes tensors in place "
                "(x.assign_(value)), and does nothing else to objects: let counts be tensors, and "
                "rates schedules (sn.optim.schedule)",
            )

    def _optimizers(self) -> list[Optimizer]:
        from .optim.optimizer import Optimizer

        found: list[Optimizer] = []

        def walk(x: Any) -> None:
            if isinstance(x, Optimizer):
                found.append(x)
            elif isinstance(x, dict):
                walk(list(x.values()))
            elif isinstance(x, list | tuple):
                for value in x:
                    walk(value)

        walk(self._roots)
        return found

    def begun(self, run: Callable[[], Any]) -> Mutable:
        """This, with the state that optimizers make at their first step. `run` traces the step
        once, to see which parameters take part in it."""
        optimizers = self._optimizers()
        self._before = [(o, set(map(id, o.state)), getattr(o, "steps", None)) for o in optimizers]
        if all(
            id(p) in ids for o, ids, _ in self._before for g in o.param_groups for p in g["params"]
        ):
            return self
        self._began = [[{}, False] for _ in optimizers]
        run()
        for optimizer, (params, counted) in zip(optimizers, self._began, strict=True):
            optimizer._begin(params.values(), counted)
        return Mutable(self._roots)


def _same(a: Any, b: Any) -> bool:
    plain = (bool, int, float, str, type(None))
    return type(a) is type(b) and isinstance(a, plain) and a == b
