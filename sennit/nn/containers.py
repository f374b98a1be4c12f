"""Modules that hold modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from .. import _core
from .._errors import error
from .module import Module

__all__ = ["ModuleDict", "ModuleList", "Sequential"]


class _Listed(Module):
    """What Sequential and ModuleList share: modules named "0", "1", ..."""

    def _listed(self) -> list[Module]:
        return [self.__dict__[name] for name in self._roles]

    def _renumber(self, modules: Iterable[Module]) -> None:
        listed = list(modules)
        for name in list(self._roles):
            delattr(self, name)
        for i, module in enumerate(listed):
            self.add_module(str(i), module)

    def __len__(self) -> int:
        return len(self._roles)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._listed())

    def _position(self, index: int) -> int:
        count = len(self)
        if not -count <= index < count:
            raise error(
                _core.IndexOutOfRange,
                type(self).__name__,
                f"index {index} for {count} modules; it must be in [{-count}, {count - 1}]",
            )
        return index % count

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Any: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            part = type(self)()
            # The modules keep the names of their first parent: this is another list of the same.
            for i, module in enumerate(self._listed()[index]):
                name = module._name
                part.add_module(str(i), module)
                module.__dict__["_name"] = name
            return part
        return self._listed()[self._position(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(list(self._roles)[self._position(index)], module)

    def __delitem__(self, index: int | slice) -> None:
        modules = self._listed()
        if isinstance(index, int):
            index = self._position(index)
        del modules[index]
        self._renumber(modules)

    def append(self, module: Module) -> Any:
        """Adds a module at the end; returns the container."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Adds modules at the end; returns the container."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Adds a module before a position; returns the container."""
        modules = self._listed()
        modules.insert(index, module)
        self._renumber(modules)
        return self


class Sequential(_Listed):
    """Modules that are called one after another.

    Parameters
    ----------
    *modules : Module, or one dict of str to Module

    Examples
    --------
    >>> model = sn.nn.Sequential(sn.nn.Linear(4, 8), sn.nn.ReLU(), sn.nn.Linear(8, 2))
    >>> model(sn.ones((3, 4))).shape
    (3, 2)
    >>> model
    Sequential(
      (0): Linear(in_features=4, out_features=8, bias=True)
      (1): ReLU()
      (2): Linear(in_features=8, out_features=2, bias=True)
    )
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
            return
        for i, given in enumerate(modules):
            self.add_module(str(i), given)  # type: ignore[arg-type]

    def forward(self, x: Any) -> Any:
        values = self.__dict__
        for name in self._roles:
            x = values[name](x)
        return x


class ModuleList(_Listed):
    """A list of modules; it has no forward of its own.

    Examples
    --------
    >>> layers = sn.nn.ModuleList([sn.nn.Linear(2, 2) for _ in range(3)])
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    """

    @property
    def _scope_prefix(self) -> str:  # type: ignore[override]
        return f"{self._name}." if "_name" in self.__dict__ else ""

    def _rename(self, name: str) -> None:
        super()._rename(name)
        for key, child in self.named_children():
            child._rename(f"{name}.{key}")

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        if modules is not None:
            self.extend(modules)


class ModuleDict(Module):
    """Modules by name; it has no forward of its own.

    Examples
    --------
    >>> heads = sn.nn.ModuleDict({"a": sn.nn.Linear(2, 1), "b": sn.nn.Linear(2, 3)})
    >>> heads["b"](sn.ones((1, 2))).shape
    (1, 3)
    """

    @property
    def _scope_prefix(self) -> str:  # type: ignore[override]
        return f"{self._name}." if "_name" in self.__dict__ else ""

    def _rename(self, name: str) -> None:
        super()._rename(name)
        for key, child in self.named_children():
            child._rename(f"{name}.{key}")

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        if key not in self._roles:
            raise KeyError(key)
        return self.__dict__[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._roles)

    def __iter__(self) -> Iterator[str]:
        return iter(self._roles)

    def __contains__(self, key: object) -> bool:
        return key in self._roles

    def keys(self) -> Iterable[str]:
        """Names of the modules."""
        return self._roles.keys()

    def values(self) -> list[Module]:
        """The modules."""
        return [self.__dict__[name] for name in self._roles]

    def items(self) -> list[tuple[str, Module]]:
        """Names and modules."""
        return [(name, self.__dict__[name]) for name in self._roles]

    def update(self, modules: Mapping[str, Module]) -> None:
        """Adds or replaces modules."""
        for name, module in modules.items():
            self.add_module(name, module)
