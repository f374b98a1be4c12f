"""The base class of layers and models."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from .. import _core
from .._errors import error
from ..autograd import no_grad
from .hooks import call_with_hooks
from .parameter import Buffer, Parameter, is_lazy

__all__ = ["Handle", "Hook", "LoadResult", "Module"]

_enter = _core.enter_scope
_leave = _core.leave_scope
_M = TypeVar("_M", bound="Module")

# What a registered attribute of a module is.
_PARAMETER, _BUFFER, _TRANSIENT, _MODULE = "parameter", "buffer", "transient buffer", "module"


class LoadResult(NamedTuple):
    """What `Module.load_state_dict` did not find on either side."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Handle:
    """Takes a hook away again.

    Examples
    --------
    >>> layer = sn.nn.ReLU()
    >>> handle = layer.register_forward_hook(lambda module, args, out: out * 2)
    >>> layer(sn.ones(1)).item()
    2.0
    >>> handle.remove()
    >>> layer(sn.ones(1)).item()
    1.0
    """

    def __init__(self, module: Module, hook: Hook) -> None:
        self._place = (module, hook)

    def remove(self) -> None:
        """Removes the hook; removing it twice does nothing."""
        module, hook = self._place
        kept = tuple(h for h in module._hooks if h is not hook)
        module.__dict__["_hooks"] = kept

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


# What a call that gets a symbol becomes (sennit/_noted.py), once there are any.
on_symbols: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any] | None = None


class Hook(NamedTuple):
    """A function that is called around `Module.forward`."""

    kind: str  # "pre", "post", "backward pre" or "backward"
    function: Callable[..., Any]
    with_kwargs: bool = False
    always_call: bool = False


class Module:
    """Base class of layers and models: parameters, buffers and submodules, by name.

    Subclasses assign parameters and layers to attributes in ``__init__`` and define ``forward``.
    Calling the module runs ``forward``. Semantics and state-dict keys are those of
    ``torch.nn.Module``; calling ``super().__init__()`` is allowed but not needed.

    Attributes
    ----------
    training : bool
        True in training mode (the default); see `train` and `eval`.

    Examples
    --------
    >>> class Net(sn.nn.Module):
    ...     def __init__(self):
    ...         self.layer = sn.nn.Linear(4, 2)
    ...
    ...     def forward(self, x):
    ...         return self.layer(x).tanh()
    >>> net = Net()
    >>> net(sn.ones((3, 4))).shape
    (3, 2)
    >>> list(net.state_dict())
    ['layer.weight', 'layer.bias']
    """

    training: bool
    # What errors and explanations call the module: its name in its parent, its class at the root.
    _name: str = "Module"
    # Registered attributes and what they are. The objects themselves are ordinary attributes, so
    # that reading `self.weight` costs what reading any attribute costs.
    _roles: dict[str, str]
    _hooks: tuple[Hook, ...]
    # Names of buffers that a state dict may lack, because older ones do, and older names of what a
    # state dict holds, with the newer ones.
    _optional_state: frozenset[str] = frozenset()
    _older_names: Mapping[str, str] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._name = sys.intern(cls.__name__)

    def __new__(cls, *_: Any, **__: Any) -> Any:
        self = super().__new__(cls)
        self.__dict__.update(training=True, _hooks=(), _roles={})
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Computes the module's result; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward(...)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if on_symbols is not None and _core.has_symbols((args, kwargs)):
            return on_symbols(self, args, kwargs)
        before = _enter(self._name)
        try:
            if self._hooks:
                return call_with_hooks(self, args, kwargs)
            return self.forward(*args, **kwargs)
        finally:
            _leave(before)

    # ---- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self.register_parameter(name, value)
            return
        if isinstance(value, Module):
            self.add_module(name, value)
            return
        if isinstance(value, Buffer):
            self.register_buffer(name, value, value.persistent)
            return
        role = self._roles.get(name)
        fits = role in (_BUFFER, _TRANSIENT) and isinstance(value, _core.Tensor)
        if role is not None and value is not None and not fits:
            needed = {_PARAMETER: "sn.nn.Parameter", _MODULE: "sn.nn.Module"}
            raise error(
                _core.InvalidType,
                type(self).__name__,
                f"the {role} '{name}' is assigned a {type(value).__name__}; it must be a "
                f"{needed.get(role, 'sn.Tensor')} or None",
            )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self._roles.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        known = ", ".join(self._roles) or "none"
        raise AttributeError(
            f"'{type(self).__name__}' has no attribute '{name}'; its parameters, buffers and "
            f"modules: {known}"
        )

    def _claim(self, name: str, role: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise error(
                _core.InvalidValue,
                type(self).__name__,
                f"a {role} is named {name!r}; a name must be a string without dots",
            )
        taken = role in (_BUFFER, _TRANSIENT) and name in self.__dict__ and name not in self._roles
        if taken or hasattr(type(self), name):
            raise error(
                _core.InvalidValue,
                type(self).__name__,
                f"a {role} is named '{name}', which is an attribute already; use another name",
            )
        if self._roles.get(name) != role:
            self._roles.pop(name, None)
            self._roles[name] = role

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Adds a parameter (or None, a place for one).

        Examples
        --------
        >>> m = sn.nn.Module()
        >>> m.register_parameter("scale", sn.nn.Parameter(sn.ones(1)))
        >>> m.scale.item()
        1.0
        """
        if param is not None and not isinstance(param, Parameter):
            raise error(
                _core.InvalidType,
                type(self).__name__,
                f"parameter '{name}' is a {type(param).__name__}; it must be a sn.nn.Parameter",
            )
        self._claim(name, _PARAMETER)
        self.__dict__[name] = param

    def register_buffer(
        self, name: str, tensor: _core.Tensor | None, persistent: bool = True
    ) -> None:
        """Adds a tensor that belongs to the state but is not trained.

        Parameters
        ----------
        name : str
        tensor : Tensor or None
        persistent : bool
            Whether it is part of `state_dict`.

        Examples
        --------
        >>> m = sn.nn.Module()
        >>> m.register_buffer("count", sn.tensor(0))
        >>> list(m.state_dict())
        ['count']
        """
        if tensor is not None and not isinstance(tensor, _core.Tensor):
            raise error(
                _core.InvalidType,
                type(self).__name__,
                f"buffer '{name}' is a {type(tensor).__name__}; it must be a sn.Tensor or None",
            )
        self._claim(name, _BUFFER if persistent else _TRANSIENT)
        self.__dict__[name] = tensor

    def add_module(self, name: str, module: Module | None) -> None:
        """Adds a submodule (or None, a place for one).

        Examples
        --------
        >>> m = sn.nn.Module()
        >>> m.add_module("act", sn.nn.ReLU())
        >>> [name for name, _ in m.named_children()]
        ['act']
        """
        if module is not None and not isinstance(module, Module):
            raise error(
                _core.InvalidType,
                type(self).__name__,
                f"module '{name}' is a {type(module).__name__}; it must be a sn.nn.Module",
            )
        self._claim(name, _MODULE)
        self.__dict__[name] = module
        if module is not None:
            module._rename(self._scope_prefix + name)

    # What stands before the names of submodules in error messages. A list or dict of modules is
    # never called itself, so its name goes in front of theirs.
    _scope_prefix = ""

    def _rename(self, name: str) -> None:
        self.__dict__["_name"] = sys.intern(name)

    register_module = add_module

    # ---- walking

    def _own(self, *roles: str) -> list[tuple[str, Any]]:
        values = self.__dict__
        return [
            (n, values[n]) for n, r in self._roles.items() if r in roles and values[n] is not None
        ]

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Direct submodules and their names.

        Examples
        --------
        >>> [n for n, _ in sn.nn.Sequential(sn.nn.ReLU(), sn.nn.Tanh()).named_children()]
        ['0', '1']
        """
        seen: set[int] = set()
        for name, module in self._own(_MODULE):
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """Direct submodules."""
        for _, module in self.named_children():
            yield module

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below it, with their paths, parents first.

        Examples
        --------
        >>> model = sn.nn.Sequential(sn.nn.Sequential(sn.nn.ReLU()))
        >>> [name for name, _ in model.named_modules()]
        ['', '0', '0.0']
        """
        seen: set[int] = set() if memo is None else memo
        if id(self) in seen:
            return
        if remove_duplicate:
            seen.add(id(self))
        yield prefix, self
        for name, module in self._own(_MODULE):
            path = f"{prefix}.{name}" if prefix else name
            yield from module.named_modules(seen, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def _named(
        self, roles: tuple[str, ...], prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        places = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in places if recurse else [(prefix, self)]:
            for name, value in module._own(*roles):
                if remove_duplicate and id(value) in seen:
                    continue
                seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Parameters and their paths; shared ones once, under their first path.

        Examples
        --------
        >>> [n for n, p in sn.nn.Linear(2, 1).named_parameters()]
        ['weight', 'bias']
        """
        return self._named((_PARAMETER,), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Parameters, each once: what an optimizer takes.

        Examples
        --------
        >>> sum(p.size for p in sn.nn.Linear(2, 3).parameters())
        9
        """
        for _, value in self.named_parameters(recurse=recurse):
            yield value

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, _core.Tensor]]:
        """Buffers and their paths."""
        return self._named((_BUFFER, _TRANSIENT), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[_core.Tensor]:
        """Buffers, each once."""
        for _, value in self.named_buffers(recurse=recurse):
            yield value

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as ``"layers.0.conv"``; '' is this one.

        Examples
        --------
        >>> sn.nn.Sequential(sn.nn.ReLU()).get_submodule("0")
        ReLU()
        """
        module: Module = self
        for name in target.split(".") if target else []:
            found = module.__dict__.get(name) if module._roles.get(name) == _MODULE else None
            if found is None:
                raise AttributeError(
                    f"there is no module '{target}': {type(module).__name__} has no '{name}'"
                )
            module = found
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path such as ``"layers.0.weight"``."""
        path, _, name = target.rpartition(".")
        value = getattr(self.get_submodule(path), name)
        if not isinstance(value, Parameter):
            raise AttributeError(f"'{target}' is no parameter but a {type(value).__name__}")
        return value

    def apply(self: _M, fn: Callable[[Module], Any]) -> _M:
        """Calls a function on every module, children first; returns this module.

        Examples
        --------
        >>> def zero(m):
        ...     if isinstance(m, sn.nn.Linear):
        ...         sn.nn.init.zeros_(m.weight)
        >>> sn.nn.Sequential(sn.nn.Linear(2, 1)).apply(zero)[0].weight.tolist()
        [[0.0, 0.0]]
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # ---- state

    def state_dict(self, prefix: str = "") -> dict[str, _core.Tensor]:
        """Parameters and persistent buffers by path: a snapshot that training leaves as it is.

        Examples
        --------
        >>> state = sn.nn.Linear(2, 1).state_dict()
        >>> {name: x.shape for name, x in state.items()}
        {'weight': (1, 2), 'bias': (1,)}
        """
        state: dict[str, _core.Tensor] = {}
        self._collect_state(state, prefix)
        return state

    def _collect_state(self, state: dict[str, _core.Tensor], prefix: str) -> None:
        for role in (_PARAMETER, _BUFFER):
            for name, value in self._own(role):
                state[prefix + name] = value if is_lazy(value) else value.detach()
        for name, module in self._own(_MODULE):
            module._collect_state(state, f"{prefix}{name}.")

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> LoadResult:
        """Takes over the values of a state dict. Nothing changes when anything does not fit.

        Parameters
        ----------
        state_dict : mapping of str to Tensor or array
            As `state_dict` or ``sn.load`` gives it. Values are converted to the dtype in place.
        strict : bool
            Whether missing and unexpected keys are errors.

        Returns
        -------
        LoadResult
            ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        InvalidValue
            When keys or shapes do not agree; the message names all of them. Lazy parameters take
            the shapes of the state.

        Examples
        --------
        >>> a, b = sn.nn.Linear(2, 1), sn.nn.Linear(2, 1)
        >>> b.load_state_dict(a.state_dict())
        LoadResult(missing_keys=[], unexpected_keys=[])
        >>> bool((a.weight == b.weight).all())
        True
        """
        targets: dict[str, _core.Tensor] = {}
        optional: set[str] = set()
        for path, module in self.named_modules(remove_duplicate=False):
            for old, new in module._older_names.items():
                old, new = (f"{path}.{name}" if path else name for name in (old, new))
                if old in state_dict and new not in state_dict:
                    state_dict = {new if k == old else k: v for k, v in state_dict.items()}
            for name, value in module._own(_PARAMETER, _BUFFER):
                key = f"{path}.{name}" if path else name
                targets[key] = value
                if name in module._optional_state:
                    optional.add(key)
        missing = [k for k in targets if k not in state_dict and k not in optional]
        unexpected = [k for k in state_dict if k not in targets]
        problems = []
        if strict and missing:
            problems.append(f"missing: {', '.join(missing)}")
        if strict and unexpected:
            problems.append(f"unexpected: {', '.join(unexpected)}")
        values: list[tuple[_core.Tensor, _core.Tensor]] = []
        for key, target in targets.items():
            if key not in state_dict:
                continue
            given = state_dict[key]
            if is_lazy(given):  # nothing is known of either: nothing to take over
                if not is_lazy(target):
                    problems.append(f"{key} has no shape yet, the model needs {target.shape}")
                continue
            value = _core.asarray(given)
            if not is_lazy(target) and value.shape != target.shape:
                problems.append(f"{key} has shape {value.shape}, the model needs {target.shape}")
                continue
            values.append((target, value))
        if problems:
            raise error(
                _core.InvalidValue,
                "load_state_dict",
                f"the state does not fit {type(self).__name__}: {'; '.join(problems)}; build the "
                "model as it was saved, or pass strict=False to leave out keys",
            )
        with no_grad():
            for target, value in values:
                if is_lazy(target):
                    target.materialize(value.shape)  # type: ignore[attr-defined]
                target.assign_(value.detach().to(target.dtype, target.device))
        return LoadResult(missing, unexpected)

    # ---- modes

    def train(self: _M, mode: bool = True) -> _M:
        """Switches dropout, batch norm and the like to training behaviour; returns the module.

        Examples
        --------
        >>> sn.nn.Dropout(0.5).eval().training
        False
        """
        for module in self.modules():
            module.__dict__["training"] = bool(mode)
        return self

    def eval(self: _M) -> _M:
        """Switches to inference behaviour; the same as ``train(False)``."""
        return self.train(False)

    def requires_grad_(self: _M, requires_grad: bool = True) -> _M:
        """Sets whether the parameters are trained; returns the module.

        Examples
        --------
        >>> layer = sn.nn.Linear(2, 1).requires_grad_(False)
        >>> layer(sn.ones((1, 2))).requires_grad
        False
        """
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the parameters' gradients (or sets them to zero).

        Examples
        --------
        >>> layer = sn.nn.Linear(2, 1)
        >>> layer(sn.ones((1, 2))).sum().backward()
        >>> layer.zero_grad()
        >>> layer.weight.grad is None
        True
        """
        for p in self.parameters():
            if p.requires_grad and p.grad is not None:
                p.grad = None if set_to_none else _core.functions["zeros_like"](p.grad)

    def to(self: _M, *args: Any, **kwargs: Any) -> _M:
        """Converts floating-point parameters and buffers to a dtype, moves all to a device.

        Examples
        --------
        >>> sn.nn.Linear(2, 1).to(sn.float64).weight.dtype
        sennit.float64
        """
        given = [*args, *kwargs.values()]
        dtypes = [a for a in given if isinstance(a, _core.dtype)]
        others = [a for a in given if not isinstance(a, _core.dtype) and not isinstance(a, bool)]
        if any(not d.is_floating_point for d in dtypes):
            raise error(
                _core.DTypeError,
                "Module.to",
                f"the dtype is {dtypes[0]!r}; parameters can only become floating-point",
            )
        seen: set[int] = set()
        for module in self.modules():
            for _, value in module._own(_PARAMETER, _BUFFER, _TRANSIENT):
                if id(value) in seen:
                    continue
                seen.add(id(value))
                wanted = [*others, *(dtypes if value.dtype.is_floating_point else [])]
                if not wanted:
                    continue
                converted = value.detach().to(*wanted)
                trained, gradient = value.requires_grad, value.grad
                # The tape's entry of a leaf knows its dtype, so the tensor gets a new one.
                if trained:
                    value.requires_grad_(False)
                value.data = converted
                if trained:
                    value.requires_grad_(True)
                    if gradient is not None:
                        value.grad = gradient.to(*wanted)
        return self

    def cpu(self: _M) -> _M:
        """Moves parameters and buffers to the CPU."""
        return self.to("cpu")

    def cuda(self: _M, device: int | str | None = None) -> _M:
        """Moves parameters and buffers to a GPU: the first, or that of a number or name."""
        return self.to(f"cuda:{device or 0}" if not isinstance(device, str) else device)

    def float(self: _M) -> _M:
        """Converts floating-point parameters and buffers to float32."""
        return self.to(_core.float32)

    def double(self: _M) -> _M:
        """Converts floating-point parameters and buffers to float64."""
        return self.to(_core.float64)

    def half(self: _M) -> _M:
        """Converts floating-point parameters and buffers to float16."""
        return self.to(_core.float16)

    def bfloat16(self: _M) -> _M:
        """Converts floating-point parameters and buffers to bfloat16."""
        return self.to(_core.bfloat16)

    # ---- hooks

    def _add_hook(self, hook: Hook, prepend: bool) -> Handle:
        self.__dict__["_hooks"] = (hook, *self._hooks) if prepend else (*self._hooks, hook)
        return Handle(self, hook)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Handle:
        """Calls ``hook(module, args)`` before `forward`; what it returns replaces the arguments.

        Parameters
        ----------
        hook : callable
        prepend : bool
            Whether it runs before the hooks that are there already.
        with_kwargs : bool
            Whether it is called as ``hook(module, args, kwargs)``; then it returns None or
            ``(args, kwargs)``.

        Examples
        --------
        >>> layer = sn.nn.ReLU()
        >>> handle = layer.register_forward_pre_hook(lambda module, args: args[0] + 1)
        >>> layer(sn.zeros(1)).item()
        1.0
        """
        return self._add_hook(Hook("pre", hook, with_kwargs), prepend)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> Handle:
        """Calls ``hook(module, args, output)`` after `forward`; its result replaces the output.

        Parameters
        ----------
        hook : callable
        prepend : bool
            Whether it runs before the hooks that are there already.
        with_kwargs : bool
            Whether it is called as ``hook(module, args, kwargs, output)``.
        always_call : bool
            Whether it is also called when `forward` raises (with None as the output).

        Examples
        --------
        >>> shapes = []
        >>> layer = sn.nn.Linear(4, 2)
        >>> handle = layer.register_forward_hook(lambda m, args, out: shapes.append(out.shape))
        >>> _ = layer(sn.ones((3, 4)))
        >>> shapes
        [(3, 2)]
        """
        return self._add_hook(Hook("post", hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> Handle:
        """Calls ``hook(module, grad_output)`` when the gradients of the module's results are there;
        what it returns (a tuple, or one gradient) replaces them.

        Examples
        --------
        >>> layer = sn.nn.Linear(2, 1)
        >>> handle = layer.register_full_backward_pre_hook(lambda module, grads: grads[0] * 2)
        >>> layer(sn.ones((1, 2))).sum().backward()
        >>> layer.bias.grad.tolist()
        [2.0]
        """
        return self._add_hook(Hook("backward pre", hook), prepend)

    def register_full_backward_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> Handle:
        """Calls ``hook(module, grad_input, grad_output)`` when the gradients of the module's
        arguments are there; what it returns (a tuple, or one gradient) replaces `grad_input`.

        Both are tuples with one entry for each positional argument or result: None where there is
        no gradient. When no argument requires one, the hook is called as soon as `grad_output` is
        there, with Nones.

        Examples
        --------
        >>> norms = []
        >>> layer = sn.nn.Linear(2, 1)
        >>> handle = layer.register_full_backward_hook(
        ...     lambda module, grad_input, grad_output: norms.append(grad_output[0].item())
        ... )
        >>> layer(sn.ones((1, 2), requires_grad=True)).sum().backward()
        >>> norms
        [1.0]
        """
        return self._add_hook(Hook("backward", hook), prepend)

    # ---- text

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr; subclasses define it."""
        return ""

    def _shown_children(self) -> list[tuple[str, str]]:
        return [(name, repr(module)) for name, module in self._own(_MODULE)]

    def __repr__(self) -> str:
        lines = [s for s in self.extra_repr().split("\n") if s]
        children = [
            f"({name}): " + text.replace("\n", "\n  ") for name, text in self._shown_children()
        ]
        if not children and len(lines) < 2:
            return f"{type(self).__name__}({', '.join(lines)})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines + children) + "\n)"

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._roles})
