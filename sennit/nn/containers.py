"""Modules that hold modules or parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from .. import _core
from .._errors import error
from .module import Module
from .parameter import Parameter

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


def _position(container: Module, index: int, count: int, what: str) -> int:
    if not -count <= index < count:
        raise error(
            _core.IndexOutOfRange,
            type(container).__name__,
            f"index {index} for {count} {what}; it must be in [{-count}, {count - 1}]",
        )
    return index % count


class _Listed(Module):
    """What Sequential and ModuleList share: modules named "0", "1", ..."""

    def _names(self) -> list[str]:
        return [name for name, role in self._roles.items() if role == "module"]

    def _listed(self) -> list[Module]:
        return [self.__dict__[name] for name in self._names()]

    def _renumber(self, modules: Iterable[Module]) -> None:
        listed = list(modules)
        for name in self._names():
            delattr(self, name)
        for i, module in enumerate(listed):
            self.add_module(str(i), module)

    def _named_slice(self, index: slice) -> list[tuple[str, Module]]:
        return list(zip(self._names(), self._listed(), strict=True))[index]

    def _shared(self, named: Iterable[tuple[str, Module]]) -> Any:
        """Another container of the same modules, which keep the names of their first parent."""
        part = type(self)()
        for key, module in named:
            name = module._name
            part.add_module(key, module)
            module.__dict__["_name"] = name
        return part

    def __len__(self) -> int:
        return len(self._names())

    def __iter__(self) -> Iterator[Module]:
        return iter(self._listed())

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Any: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._shared(self._named_slice(index))
        return self._listed()[_position(self, index, len(self), "modules")]

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._names()[_position(self, index, len(self), "modules")], module)

    def __delitem__(self, index: int | slice) -> None:
        modules = self._listed()
        if isinstance(index, int):
            index = _position(self, index, len(self), "modules")
        del modules[index]
        self._renumber(modules)

    def __add__(self, other: Iterable[Module]) -> Any:
        both = [*self._listed(), *other]
        return self._shared((str(i), module) for i, module in enumerate(both))

    def __iadd__(self, other: Iterable[Module]) -> Any:
        return self.extend(list(other))

    def append(self, module: Module) -> Any:
        """Adds a module at the end; returns the container."""
        number = len(self)
        while str(number) in self._roles:  # a part of another container keeps its names
            number += 1
        self.add_module(str(number), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Adds modules at the end; returns the container."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Adds a module before a position; returns the container.

        Examples
        --------
        >>> model = sn.nn.Sequential(sn.nn.ReLU()).insert(0, sn.nn.Tanh())
        >>> model[0]
        Tanh()
        """
        modules = self._listed()
        if index != len(modules):
            index = _position(self, index, len(modules), "modules")
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def pop(self, index: int = -1) -> Any:
        """Takes a module out and returns it.

        Examples
        --------
        >>> model = sn.nn.Sequential(sn.nn.ReLU(), sn.nn.Tanh())
        >>> model.pop(0), len(model)
        (ReLU(), 1)
        """
        module = self[index]
        del self[index]
        return module


class Sequential(_Listed):
    """Modules that are called one after another.

    A slice is a Sequential of the same modules, under the same names; ``a + b`` and ``a * n`` make
    longer ones.

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

    def __mul__(self, times: int) -> Any:
        if not isinstance(times, int) or times < 1:
            raise error(
                _core.InvalidValue,
                "Sequential",
                f"it is multiplied by {times!r}; an int of 1 or more is required",
            )
        modules = self._listed() * times
        return self._shared((str(i), module) for i, module in enumerate(modules))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Any:
        more = (self * times)._listed()[len(self) :]
        return self.extend(more)

    def forward(self, input: Any) -> Any:
        values = self.__dict__
        for name, role in self._roles.items():
            if role == "module":
                input = values[name](input)
        return input


class ModuleList(_Listed):
    """A list of modules; it has no forward of its own.

    Examples
    --------
    >>> layers = sn.nn.ModuleList([sn.nn.Linear(2, 2) for _ in range(3)])
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    >>> layers
    ModuleList(
      (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
    )
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

    def _named_slice(self, index: slice) -> list[tuple[str, Module]]:
        return [(str(i), module) for i, module in enumerate(self._listed()[index])]

    def _shown_children(self) -> list[tuple[str, str]]:
        """Neighbours that read the same are shown once."""
        runs: list[tuple[int, int, str]] = []
        for i, module in enumerate(self._listed()):
            text = repr(module)
            if runs and runs[-1][2] == text:
                runs[-1] = (runs[-1][0], i, text)
            else:
                runs.append((i, i, text))
        return [
            (str(a), text) if a == b else (f"{a}-{b}", f"{b - a + 1} x {text}")
            for a, b, text in runs
        ]


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

    def __init__(
        self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None
    ) -> None:
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Any:
        if self._roles.get(key) != "module":
            raise KeyError(key)
        return self.__dict__[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        delattr(self, key)

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._roles.get(key) == "module"

    def keys(self) -> list[str]:
        """Names of the modules."""
        return [name for name, role in self._roles.items() if role == "module"]

    def values(self) -> list[Module]:
        """The modules."""
        return [self.__dict__[name] for name in self.keys()]

    def items(self) -> list[tuple[str, Module]]:
        """Names and modules."""
        return [(name, self.__dict__[name]) for name in self.keys()]

    def clear(self) -> None:
        """Takes all modules out."""
        for name in self.keys():
            del self[name]

    def pop(self, key: str) -> Any:
        """Takes a module out and returns it.

        Examples
        --------
        >>> heads = sn.nn.ModuleDict({"a": sn.nn.ReLU()})
        >>> heads.pop("a"), len(heads)
        (ReLU(), 0)
        """
        module = self[key]
        del self[key]
        return module

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Adds or replaces modules."""
        pairs = modules.items() if isinstance(modules, Mapping | ModuleDict) else modules
        for name, module in pairs:
            self.add_module(name, module)


def _as_parameter(value: Any) -> Any:
    plain = isinstance(value, _core.Tensor) and not isinstance(value, Parameter)
    return Parameter(value.detach(), value.dtype.is_floating_point) if plain else value


def _shown(value: Any) -> str:
    if not isinstance(value, _core.Tensor):
        return f"Object of type: {type(value).__name__}"
    return f"{type(value).__name__} of {value.dtype!r}, shape {value.shape}"


class ParameterList(Module):
    """A list of parameters. Other tensors become parameters; other objects are kept as they are.

    Parameters
    ----------
    values : iterable, optional

    Examples
    --------
    >>> weights = sn.nn.ParameterList([sn.ones(2), sn.zeros(3)])
    >>> len(weights), weights[1].shape, list(weights.state_dict())
    (2, (3,), ['0', '1'])
    """

    _count = 0

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        self.__dict__["_count"] = 0
        if values is not None:
            self.extend(values)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        return iter([self.__dict__[str(i)] for i in range(self._count)])

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Any: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self.__dict__[str(_position(self, index, self._count, "parameters"))]

    def __setitem__(self, index: int, value: Any) -> None:
        at = _position(self, index, self._count, "parameters")
        setattr(self, str(at), _as_parameter(value))

    def append(self, value: Any) -> ParameterList:
        """Adds a parameter at the end; returns the list."""
        setattr(self, str(self._count), _as_parameter(value))
        self.__dict__["_count"] += 1
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Adds parameters at the end; returns the list."""
        for value in values:
            self.append(value)
        return self

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def extra_repr(self) -> str:
        return "\n".join(f"({i}): {_shown(value)}" for i, value in enumerate(self))

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise error(_core.InvalidType, "ParameterList", "it is called; a list has no forward(...)")


class ParameterDict(Module):
    """Parameters by name. Other tensors become parameters; other objects are kept as they are.

    Parameters
    ----------
    parameters : mapping of str, or iterable of (str, value), optional

    Examples
    --------
    >>> weights = sn.nn.ParameterDict({"scale": sn.ones(2), "shift": sn.zeros(2)})
    >>> weights["shift"].tolist(), list(weights.state_dict())
    ([0.0, 0.0], ['scale', 'shift'])
    """

    def __init__(self, parameters: Any = None) -> None:
        self.__dict__["_keys"] = {}  # in order
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return self.__dict__[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise error(
                _core.InvalidType,
                "ParameterDict",
                f"the key is {key!r}; it must be a string without dots",
            )
        if key not in self._keys and (key in self.__dict__ or hasattr(type(self), key)):
            raise error(
                _core.InvalidValue,
                "ParameterDict",
                f"the key is {key!r}, which is an attribute of the class; use another one",
            )
        setattr(self, key, _as_parameter(value))
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._keys))

    def __reversed__(self) -> Iterator[str]:
        return iter(list(self._keys)[::-1])

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def keys(self) -> list[str]:
        """The names."""
        return list(self._keys)

    def values(self) -> list[Any]:
        """The parameters."""
        return [self.__dict__[key] for key in self._keys]

    def items(self) -> list[tuple[str, Any]]:
        """Names and parameters."""
        return [(key, self.__dict__[key]) for key in self._keys]

    def get(self, key: str, default: Any = None) -> Any:
        """The parameter of a name, or `default`."""
        return self.__dict__[key] if key in self._keys else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The parameter of a name, which becomes `default` when there is none."""
        if key not in self._keys:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """Takes a parameter out and returns it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Takes the last name and parameter out and returns them."""
        if not self._keys:
            raise KeyError("the dict is empty")
        key = list(self._keys)[-1]
        return key, self.pop(key)

    def clear(self) -> None:
        """Takes all parameters out."""
        for key in self.keys():
            del self[key]

    def copy(self) -> ParameterDict:
        """Another dict of the same parameters."""
        return ParameterDict(self)

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new dict with one value for all names."""
        return ParameterDict((key, default) for key in keys)

    def update(self, parameters: Any) -> None:
        """Adds or replaces parameters."""
        pairs = parameters.items() if hasattr(parameters, "items") else parameters
        for key, value in pairs:
            self[key] = value

    def __or__(self, other: Any) -> ParameterDict:
        both = self.copy()
        both.update(other)
        return both

    def __ror__(self, other: Any) -> ParameterDict:
        both = ParameterDict(other)
        both.update(self)
        return both

    def __ior__(self, other: Any) -> ParameterDict:
        self.update(other)
        return self

    def extra_repr(self) -> str:
        return "\n".join(f"({key}): {_shown(value)}" for key, value in self.items())

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise error(_core.InvalidType, "ParameterDict", "it is called; a dict has no forward(...)")
