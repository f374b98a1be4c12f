"""Symbolic programs: placeholders that flow through the same functions and modules as tensors.

See docs/graphs.md and docs/design/018-symbols-and-passes.md.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NoReturn

from . import _core
from ._core import InvalidType, InvalidValue, Tensor
from ._errors import error
from ._graph_parts import type_text
from ._noted import (
    ARITHMETIC,
    FUNCTION,
    Call,
    Leaf,
    Noted,
    Ref,
    dispatch,
    estimate,
    example,
    note,
    shown,
    state,
    traced,
)
from ._sizes import Dim, dims_of

__all__ = ["symbol"]


class SymbolSize(Noted):
    """A size of a symbol that is left open: arithmetic gives such sizes, and comparisons are
    remembered, since the program may be another one at other sizes."""

    __slots__ = ("_ref",)

    def __init__(self, ref: Ref) -> None:
        self._ref = ref

    def __repr__(self) -> str:
        return _text(self._ref)

    def _values(self) -> list[int]:
        call = self._ref.call
        values: list[int] = next(iter(call.results.values()))[self._ref.at].at
        return values

    def _refuse(self, what: str) -> NoReturn:
        raise error(
            InvalidValue,
            "symbol",
            f"the size {self!r} of a symbol is open, and Python asks for {what} (a loop over it, a "
            "size for NumPy, a division of Python numbers); the program would be for one size "
            "alone: fix the size in sn.symbol, compute with sennit's functions, or put the code "
            "into a module, or a function for sn.trace",
        )

    def __index__(self) -> int:
        lane = getattr(state, "lane", None)
        if lane is not None:
            return int(dispatch(operator.index, (self,), {}))
        self._refuse("a number")

    __int__ = __index__

    def __float__(self) -> float:
        self._refuse("a float")

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, Tensor):
            return NotImplemented
        self._refuse("a float")

    __rtruediv__ = __truediv__

    def __hash__(self) -> int:  # noqa: PLE0309 - it does not return
        self._refuse("a hash")

    def __bool__(self) -> bool:
        return bool(self.__ne__(0))


def _arithmetic(function: Any, reflected: bool) -> Any:
    def method(self: SymbolSize, other: Any = None) -> Any:
        if other is None:
            return dispatch(function, (self,), {})
        if not isinstance(other, int | SymbolSize):
            return NotImplemented
        pair = (other, self) if reflected else (self, other)
        return dispatch(function, pair, {})

    return method


for _function in ARITHMETIC:
    _name = _function.__name__
    setattr(SymbolSize, f"__{_name}__", _arithmetic(_function, False))
    if _function not in (operator.neg, operator.pos, operator.abs):
        setattr(SymbolSize, f"__r{_name}__", _arithmetic(_function, True))


def _comparison(function: Any, relation: str) -> Any:
    def method(self: SymbolSize, other: Any) -> Any:
        if not isinstance(other, int | SymbolSize):
            return NotImplemented
        if getattr(state, "lane", None) is not None:
            return dispatch(function, (self, other), {})
        return _compared(function, relation, self, other)

    return method


_RELATIONS = {
    operator.lt: "<", operator.le: "<=", operator.eq: "==", operator.ne: "!=", operator.gt: ">",
    operator.ge: ">=",
}  # fmt: skip
for _function, _relation in _RELATIONS.items():
    setattr(SymbolSize, f"__{_function.__name__}__", _comparison(_function, _relation))


def _compared(function: Any, relation: str, left: SymbolSize, right: Any) -> bool:
    pair = (left._ref, right._ref if isinstance(right, SymbolSize) else int(right))
    call = Call(function, pair, {})
    call.outcome, call.text = False, relation
    estimate(call)
    first, second = call.leaves[0].at
    if first != second:
        raise error(
            InvalidValue,
            "symbol",
            f"{left!r} {relation} {right!r} holds for some sizes and not for others, and a "
            "symbolic program has one way; say which sizes it is for: sn.Dim(..., min=..., "
            "max=...), or choose with sn.where",
        )
    call.outcome = bool(first)
    for root in call.roots:
        root.facts.append(call)
    return call.outcome


def _text(ref: Ref) -> str:
    """What a size is, for people: the open size that it equals, or how it is made."""
    call = ref.call
    family, leaves = next(iter(call.results.items()))
    values = leaves[ref.at].at
    for root in sorted(call.roots, key=lambda c: c.order):
        for name, dim in root.dims.items():
            if list(example(dim, family)) == list(values):
                return name
    sign = ARITHMETIC.get(call.function)
    if sign is None or len(call.args) != 2:
        return "?"
    texts = [_text(x) if isinstance(x, Ref) else str(x) for x in call.args]
    return f"({texts[0]} {sign} {texts[1]})"


class Symbol(Tensor, Noted):
    """What `symbol` and calls on symbols give: a tensor with a shape and a dtype, and no
    elements."""

    def __repr__(self) -> str:
        ref = self._ref
        name = f" {ref.call.name}:" if ref.call.name else ""
        return f"<symbol{name} {type_text([*map(str, self.shape)], self.dtype)}>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    __hash__ = Tensor.__hash__

    @property
    def shape(self) -> tuple[Any, ...]:
        """A size is an int where it is fixed."""
        lane = getattr(state, "lane", None)
        if lane is not None:
            found: tuple[Any, ...] = dispatch(operator.attrgetter("shape"), (self,), {})
            return found
        leaf = next(iter(self._ref.call.results.values()))[self._ref.at]
        return tuple(
            a if a == b else dispatch(_size_along, (self, axis), {})
            for axis, (a, b) in enumerate(zip(*leaf.at, strict=True))
        )

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a symbol of rank 0")
        size = self.shape[0]
        if isinstance(size, SymbolSize):
            size._refuse("a length")
        return int(size)

    def __iter__(self) -> Any:
        return iter([self[i] for i in range(len(self))])

    def __setitem__(self, key: Any, value: Any) -> None:
        _write(_set_item, self, key, value)


def _size_along(x: Tensor, axis: int) -> int:
    return x.shape[axis]


def _set_item(x: Tensor, key: Any, value: Any) -> Tensor:
    x[key] = value
    return x


def _write(function: Any, *args: Any) -> Any:
    if getattr(state, "lane", None) is not None:
        return dispatch(function, args, {})
    return note(function, args, {}, writes=True)


def _noted(name: str, plain: Any) -> Any:
    def method(self: Symbol, *args: Any, **kwargs: Any) -> Any:
        """As of tensors; noted."""
        return dispatch(plain, (self, *args), kwargs)

    method.__name__ = method.__qualname__ = name
    return method


def _refused(name: str, is_method: bool) -> Any:
    def refuse(self: Symbol, *_: Any, **__: Any) -> NoReturn:
        """Not without elements."""
        raise error(
            InvalidValue,
            "symbol",
            f"{name} asks for what {self!r} does not have: a symbol has a shape and a dtype, and "
            "no elements, memory or history; make a graph of the program and call it: "
            "sn.Graph(inputs, outputs)(...); choose with sn.where instead of `if`; gradients are "
            "sn.grad of a function, or graph.gradient()",
        )

    refuse.__name__ = refuse.__qualname__ = name
    return refuse if is_method else property(refuse)


# What a symbol cannot do, and what needs nothing noted; everything else is noted.
_NEEDS_ELEMENTS = (
    "__array__", "__bool__", "__complex__", "__delitem__", "__dlpack__", "__dlpack_device__",
    "__float__", "__index__", "__int__", "__reduce__", "__reduce_ex__", "_repr_html_", "backward",
    "data", "detach_", "item", "is_contiguous", "numpy", "register_hook", "requires_grad_",
    "retain_grad", "stride", "tolist", "nbytes",
)  # fmt: skip
_KNOWN = {
    *dir(object), *vars(Symbol), "__array_namespace__", "__array_priority__", "dtype", "device",
    "ndim", "dim", "ndimension", "element_size", "itemsize", "is_complex", "is_floating_point",
    "is_signed", "is_cpu", "is_cuda", "is_leaf", "requires_grad", "retains_grad", "grad",
    "__dict__", "__module__", "__weakref__",
    *_NEEDS_ELEMENTS,
} - {"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"}  # fmt: skip


def _fill_symbol() -> None:
    for name in _NEEDS_ELEMENTS:
        setattr(Symbol, name, _refused(name, callable(getattr(Tensor, name))))
    for name in set(dir(Tensor)) - _KNOWN:
        plain = getattr(Tensor, name)
        if isinstance(plain, FUNCTION):
            continue  # functions of the registry hand symbols over by themselves
        inplace = getattr(operator, name, None) if name.startswith("__i") else None
        if inplace is not None and name not in ("__invert__", "__index__"):
            setattr(Symbol, name, _in_place(inplace))
        elif name in ("assign_", "copy_"):
            setattr(Symbol, name, _in_place(plain))
        elif callable(plain):
            setattr(Symbol, name, _noted(name, plain))
        else:
            setattr(Symbol, name, _noted_attribute(operator.attrgetter(name)))


def _noted_attribute(get: Any) -> property:
    return property(lambda self: dispatch(get, (self,), {}))


def _in_place(function: Any) -> Any:
    def method(self: Symbol, other: Any) -> Any:
        return _write(function, self, other)

    return method


_fill_symbol()


def symbol(
    name: str, shape: Sequence[int | str | Dim | None], dtype: Any = _core.float32,
    device: str = "cpu",
) -> Tensor:  # fmt: skip
    """A placeholder: an input of a program that is written down before there is data.

    It has a shape and a dtype, and flows through the same functions, operators and modules as
    tensors do; what they give are symbols again, and nothing is computed. ``sn.Graph(inputs,
    outputs)`` makes a graph of it, which is called with tensors, differentiated, planned, edited
    and saved.

    What does not depend on a symbol is computed at once, and is a constant of the graph. Modules
    that are called with symbols keep their parameters: the graph sees what training does to them.

    Parameters
    ----------
    name : str
        What the graph calls the input.
    shape : sequence of int, str, Dim or None
        As for `TensorSpec`: a name, a `Dim` or None leaves a size open.
    dtype : dtype
        float32 by default.
    device : str
        Where the input will be.

    Returns
    -------
    Tensor
        Sizes in its `shape` that are open are objects that can be added, multiplied, divided
        (``//``, ``%``), compared, and given to functions for shapes.

    Raises
    ------
    InvalidType, InvalidValue
        When the name is none, or a size is negative or something else. Later: when elements are
        asked for, or an open size as a Python number; ShapeError and DTypeError come at the call
        that they concern, as for tensors.

    Examples
    --------
    >>> x = sn.symbol("x", ("batch", 784))
    >>> layer = sn.nn.Linear(784, 10)
    >>> y = sn.softmax(layer(x))
    >>> y
    <symbol float32[batch, 10]>
    >>> graph = sn.Graph(inputs=[x], outputs=[y])
    >>> graph.inputs, list(graph.parameters)
    ([x: float32[batch, 784]], ['weight', 'bias'])
    >>> graph(sn.ones((2, 784)))[0].shape
    (2, 10)

    Sizes that are open can be computed with:

    >>> x = sn.symbol("x", (None, "t", 4))
    >>> n, t, _ = x.shape
    >>> x.reshape(n, t // 2, -1).sum()
    <symbol float32[]>
    """
    from ._tracing import TensorSpec

    if not isinstance(name, str):
        raise error(
            InvalidType, "symbol", f"the name is a {type(name).__name__}; it must be a string"
        )
    if not name:
        raise error(InvalidValue, "symbol", "the name is empty; a graph's inputs have names")
    spec = TensorSpec(shape, dtype, name, device)
    _switch_on()
    dims, (row,) = dims_of([(name, spec.shape)])
    call = Call(None, (), {})
    call.name, call.shape, call.dims = name, tuple(row), {d.name: d for d in dims}
    call.roots = frozenset([call])
    leaf = Leaf(None)
    leaf.dtype, leaf.device = spec.dtype, spec.device
    call.leaves = [leaf]
    traced(call, 0)

    def run(given: list[Tensor]) -> list[Tensor]:
        leaf.tag = Tensor.__new__(Tensor, given[0])
        return []

    at = call.results[0][0].at[0]
    _core.trace_graph(run, [(name, False, at, leaf.dtype, leaf.device)], [])
    made: Tensor = shown(call, 0, leaf)
    return made


def _switch_on() -> None:
    """From the first symbol on, calls look for symbols among their arguments."""
    from .nn import module

    if module.on_symbols is None:
        _core.set_symbols(Symbol, SymbolSize, dispatch)
        module.on_symbols = dispatch
