"""Parameters that are computed from others: ``layer.weight`` becomes ``f(original)``.

Semantics and state-dict keys are those of ``torch.nn.utils.parametrize``: the parameters that are
trained are ``layer.parametrizations.weight.original`` (or ``original0``, ``original1`` ...), and
reading ``layer.weight`` computes it anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ... import _core
from ..._errors import error
from ...autograd import no_grad
from ..containers import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]

_cached = 0  # how many `cached` blocks are open
_values: dict[tuple[int, str], Any] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Inside, a parametrised tensor is computed once, when it is first read.

    Examples
    --------
    >>> layer = sn.nn.utils.parametrizations.weight_norm(sn.nn.Linear(2, 3))
    >>> with sn.nn.utils.parametrize.cached():
    ...     layer.weight is layer.weight
    True
    """
    global _cached
    _cached += 1
    try:
        yield
    finally:
        _cached -= 1
        if not _cached:
            _values.clear()


def _inverted(function: str, modules: Any, value: Any, strict: bool) -> Any:
    """What the modules make `value` of; without `strict`, one without an inverse is passed over."""
    for module in reversed(list(modules)):
        if hasattr(module, "right_inverse"):
            value = module.right_inverse(value)
        elif strict:
            raise error(
                _core.InvalidType,
                function,
                f"a value is assigned, and {type(module).__name__} defines no right_inverse(...), "
                "which says what it is made of; define it, or assign to the original",
            )
    return value


def _set(target: Any, value: Any) -> None:
    """Another value for a parameter or buffer, perhaps of another shape."""
    if target.shape == value.shape:
        target.assign_(value.detach().to(target.dtype))
        return
    trained = target.requires_grad
    target.requires_grad_(False)
    target.data = value.detach()
    target.requires_grad_(trained)


class ParametrizationList(ModuleList):
    """The functions that make a tensor, in order, and the parameters that they make it of.

    Made by `register_parametrization`. Calling it gives the tensor.

    Examples
    --------
    >>> layer = sn.nn.utils.parametrizations.weight_norm(sn.nn.Linear(2, 3))
    >>> [name for name, _ in layer.parametrizations.weight.named_parameters()]
    ['original0', 'original1']
    """

    def __init__(
        self, modules: Sequence[Module], original: _core.Tensor, unsafe: bool = False
    ) -> None:
        name = "register_parametrization"
        if not modules:
            raise error(_core.InvalidValue, name, "no parametrization is given; one is required")
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            new = _inverted(name, self, original.detach(), strict=False)
        self.is_tensor = isinstance(new, _core.Tensor)
        parts: list[Any] = [new] if self.is_tensor else list(new)
        if not all(isinstance(part, _core.Tensor) for part in parts):
            raise error(
                _core.InvalidType,
                name,
                f"right_inverse returned {type(new).__name__}; a tensor or a sequence of tensors "
                "is required",
            )
        self.ntensors = len(parts)
        shape, dtype = original.shape, original.dtype
        if self.is_tensor:  # the parameter stays the same object, for optimizers that hold it
            if not unsafe and new.dtype != dtype:
                raise error(
                    _core.DTypeError,
                    name,
                    f"right_inverse made {new.dtype!r} of {dtype!r}; the dtype must stay, or pass "
                    "unsafe=True",
                )
            _set(original, new)
            parts = [original]
        for key, part in zip(self._originals(), parts, strict=True):
            trained = isinstance(original, Parameter)
            if trained and not isinstance(part, Parameter):
                part = Parameter(part.detach(), requires_grad=original.requires_grad)
            if trained:
                self.register_parameter(key, part)
            else:
                self.register_buffer(key, part)
        if unsafe:
            return
        made = self()
        if not isinstance(made, _core.Tensor) or made.shape != shape or made.dtype != dtype:
            got = f"{made.dtype!r} {made.shape}" if isinstance(made, _core.Tensor) else type(made)
            raise error(
                _core.ShapeError,
                name,
                f"the parametrization makes {got} of a tensor of {dtype!r} {shape}; shape and "
                "dtype must stay, or pass unsafe=True",
            )

    def _originals(self) -> list[str]:
        if self.is_tensor:
            return ["original"]
        return [f"original{i}" for i in range(self.ntensors)]

    def right_inverse(self, value: _core.Tensor) -> None:
        """Sets the originals so that the tensor becomes `value`, where the parametrizations say
        how (`right_inverse`)."""
        with no_grad():
            new = _inverted("parametrize", self, value, strict=True)
            parts = [new] if self.is_tensor else list(new)
            for key, part in zip(self._originals(), parts, strict=True):
                target = getattr(self, key)
                if part.shape != target.shape:
                    raise error(
                        _core.ShapeError,
                        "parametrize",
                        f"the assigned value gives {key} the shape {part.shape}; it has "
                        f"{target.shape}, which must stay",
                    )
                _set(target, part)

    def forward(self) -> Any:
        first, *rest = self
        value = first(*(getattr(self, key) for key in self._originals()))
        for module in rest:
            value = module(value)
        return value


def _computed(name: str) -> property:
    def read(self: Any) -> Any:
        parametrization = self.parametrizations[name]
        if not _cached:
            return parametrization()
        key = (id(self), name)
        if key not in _values:
            _values[key] = parametrization()
        return _values[key]

    def write(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, write, doc="Computed by `parametrizations`.")


def _update_class(module: Module) -> None:
    """The class of a layer with properties for what is parametrised; each layer has its own."""
    base = type_before_parametrizations(module)
    names = list(module.parametrizations.keys())
    if not names:
        del module.parametrizations
        module.__class__ = base
        return
    properties = {name: _computed(name) for name in names}
    own = {**properties, "__module__": base.__module__, "_unparametrized": base}
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), own)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a layer has parametrised tensors, or whether this one is.

    Examples
    --------
    >>> sn.nn.utils.parametrize.is_parametrized(sn.nn.Linear(2, 3))
    False
    """
    found = module.__dict__.get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def type_before_parametrizations(module: Module) -> type[Module]:
    """The class that a layer had before a tensor of it was parametrised.

    Examples
    --------
    >>> layer = sn.nn.utils.parametrizations.weight_norm(sn.nn.Linear(2, 3))
    >>> type(layer).__name__
    'ParametrizedLinear'
    >>> sn.nn.utils.parametrize.type_before_parametrizations(layer).__name__
    'Linear'
    """
    kind: type[Module] = getattr(type(module), "_unparametrized", type(module))
    return kind


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Makes a parameter or buffer of a layer the result of a module.

    Parameters
    ----------
    module : Module
        The layer. Its class becomes a subclass, in which the tensor is a property.
    tensor_name : str
        The parameter or buffer.
    parametrization : Module
        ``forward(original)`` gives the tensor. ``right_inverse(tensor)``, where it is defined,
        gives the original (or several, which `forward` then takes) for a value that the tensor has
        or is assigned. A second parametrization of one tensor comes behind the first.
    unsafe : bool
        Whether shape and dtype may change; otherwise that is an error.

    Returns
    -------
    Module
        The layer.

    Examples
    --------
    >>> class Symmetric(sn.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).mT
    >>> layer = sn.nn.Linear(3, 3)
    >>> _ = sn.nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.mT).all())
    True
    >>> [name for name, _ in layer.named_parameters()]
    ['bias', 'parametrizations.weight.original']
    """
    name = "register_parametrization"
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        existing = module.parametrizations[tensor_name]
        if not unsafe:
            before = getattr(module, tensor_name)
            after = parametrization(before)
            if after.shape != before.shape or after.dtype != before.dtype:
                raise error(
                    _core.ShapeError,
                    name,
                    f"the parametrization makes {after.dtype!r} {after.shape} of "
                    f"{before.dtype!r} {before.shape}; both must stay, or pass unsafe=True",
                )
        existing.append(parametrization)
        existing.unsafe |= unsafe
        return module
    role = module._roles.get(tensor_name)
    original = module.__dict__.get(tensor_name)
    if role not in ("parameter", "buffer", "transient buffer") or original is None:
        raise error(
            _core.InvalidValue,
            name,
            f"{type(module).__name__} has no parameter or buffer '{tensor_name}'; it has "
            f"{', '.join(n for n, _ in module._own('parameter', 'buffer')) or 'none'}",
        )
    made = ParametrizationList([parametrization], original, unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = made
    _update_class(module)
    return module


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Makes a parametrised tensor a plain one again.

    Parameters
    ----------
    module : Module
    tensor_name : str
    leave_parametrized : bool
        Whether it keeps its present value; otherwise it gets the original, of which there must be
        one.

    Examples
    --------
    >>> utils = sn.nn.utils
    >>> layer = utils.parametrizations.weight_norm(sn.nn.Linear(2, 3))
    >>> list(utils.parametrize.remove_parametrizations(layer, "weight").state_dict())
    ['bias', 'weight']
    """
    if not is_parametrized(module, tensor_name):
        raise error(
            _core.InvalidValue,
            "remove_parametrizations",
            f"'{tensor_name}' of {type(module).__name__} is not parametrised; nothing can be "
            "removed",
        )
    found = module.parametrizations[tensor_name]
    if not found.is_tensor and not leave_parametrized:
        raise error(
            _core.InvalidValue,
            "remove_parametrizations",
            f"'{tensor_name}' is made of {found.ntensors} originals; leave_parametrized must be "
            "True then",
        )
    first = getattr(found, found._originals()[0])
    result = first
    with no_grad():
        if leave_parametrized:
            value = getattr(module, tensor_name).detach()
            if found.is_tensor:
                _set(first, value)
            elif isinstance(first, Parameter):
                result = Parameter(value, first.requires_grad)
            else:
                result = value
    del module.parametrizations[tensor_name]
    _update_class(module)
    if isinstance(result, Parameter):
        module.register_parameter(tensor_name, result)
    else:
        module.register_buffer(tensor_name, result)
    return module
