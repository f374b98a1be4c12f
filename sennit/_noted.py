"""Calls that a symbolic program consists of: noted, with the shapes of their results.

See docs/design/018-symbols-and-passes.md.
"""

from __future__ import annotations

import itertools
import operator
import threading
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from . import _core
from ._core import GradError, InvalidType, InvalidValue, Tensor
from ._errors import error
from ._mutable import Mutable
from ._sizes import FAMILIES, Dim, example_pair
from ._tree import flatten, tree_map, unflatten

_numbers = itertools.count()
state = threading.local()  # .lane: what symbols stand for while their calls are made
FUNCTION = type(_core.functions["add"])
ARITHMETIC: dict[Any, str] = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.floordiv: "//",
    operator.mod: "%", operator.neg: "-", operator.pos: "+", operator.abs: "abs",
}  # fmt: skip
_indices: dict[str, int] = {}  # of open sizes, so that their examples differ


class Missing(BaseException):
    """A function that is called refers to a symbol that was not handed to it."""

    def __init__(self, symbol: Noted) -> None:
        super().__init__()
        self.symbol = symbol


class Noted:
    """What is a result of a call that was noted: a symbol or a size of one."""

    __slots__ = ()

    _ref: Ref


class Ref:
    """In the arguments of a call: a result of a call before it."""

    __slots__ = ("at", "call")

    def __init__(self, call: Call, at: int) -> None:
        self.call = call
        self.at = at

    @property
    def key(self) -> tuple[Call, int]:
        return self.call, self.at


class Leaf:
    """A result of a call: a tensor (its shapes at two examples of the open sizes) or an int (its
    values there)."""

    __slots__ = ("at", "device", "dtype", "shared", "tag")

    def __init__(self, x: Any) -> None:
        self.dtype = x.dtype if isinstance(x, Tensor) else None
        self.device = x.device if isinstance(x, Tensor) else None
        self.at: list[Any] = []
        self.shared = False  # a view, or one that has views
        self.tag: Any = None


class Call:
    """A call that was noted: its function, its arguments, and what is known of its results."""

    __slots__ = (
        "args", "closed", "dims", "facts", "function", "kwargs", "leaves", "name", "order",
        "outcome", "refs", "results", "roots", "shape", "site", "text", "tree", "writes",
    )  # fmt: skip

    def __init__(self, function: Any, args: Any, kwargs: Any) -> None:
        self.function = function
        self.args, self.kwargs = args, kwargs
        self.order = next(_numbers)
        self.site = _core.call_site()
        self.refs = [x for x in flatten_all((args, kwargs)) if isinstance(x, Ref)]
        self.closed: list[Ref] = []  # symbols that the function refers to by itself
        self.roots: frozenset[Call] = frozenset().union(*(r.call.roots for r in self.refs))
        self.results: dict[int, list[Leaf]] = {}  # by family of examples
        self.leaves: list[Any] = []  # of the result: Leaf, an argument's Ref, or a plain value
        self.tree: Any = None
        self.writes = False
        self.outcome: bool | None = None  # of a comparison
        self.facts: list[Call] = []  # of an input: comparisons of sizes that follow from it
        self.name = ""
        self.shape: tuple[Any, ...] = ()
        self.dims: dict[str, Dim] = {}
        self.text = ""

    @property
    def where(self) -> str:
        return str(_core.describe_site(self.site))


def flatten_all(tree: Any) -> list[Any]:
    """The leaves of a tree, those in slices too."""
    found = []
    for leaf in flatten(tree):
        if isinstance(leaf, slice):
            found += [leaf.start, leaf.stop, leaf.step]
        else:
            found.append(leaf)
    return found


def _mapped(change: Callable[[Any], Any], tree: Any) -> Any:
    def each(x: Any) -> Any:
        if isinstance(x, slice):
            return slice(change(x.start), change(x.stop), change(x.step))
        return change(x)

    return tree_map(each, tree)


# ---------------------------------------------------------------- noting


def dispatch(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Called in the place of a function one of whose arguments holds a symbol."""
    lane = getattr(state, "lane", None)
    if lane is None:
        return note(function, args, kwargs)

    def known(x: Any) -> Any:
        if not isinstance(x, Noted):
            return x
        if x._ref.key not in lane:
            raise Missing(x)
        return lane[x._ref.key]

    return function(*_mapped(known, args), **_mapped(known, kwargs))


def note(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], writes: bool = False) -> Any:
    symbols: dict[tuple[Call, int], Any] = {}

    def known(x: Any) -> Any:
        if isinstance(x, Noted):
            symbols.setdefault(x._ref.key, x)
            return x._ref
        if isinstance(x, Tensor) and x.requires_grad and not x.is_leaf:
            raise error(
                GradError,
                "symbol",
                f"an operand of shape {x.shape} is computed from parameters outside of the "
                "symbolic program, which would not see them change; compute it in a module that is "
                "called with the symbols, or take x.detach() of it for a constant",
            )
        if type(x).__module__ == "numpy" and hasattr(x, "__array__") and x.ndim:
            return _core.asarray(x)  # whose elements could change
        return x

    call = Call(function, _mapped(known, args), _mapped(known, kwargs))
    call.writes = writes or _writes(function)
    if call.writes:
        _check_write(call)
    while True:
        try:
            result = estimate(call)
            break
        except Missing as missing:
            symbols.setdefault(missing.symbol._ref.key, missing.symbol)
            call.closed.append(missing.symbol._ref)
            call.roots |= missing.symbol._ref.call.roots
    if result is NotImplemented:
        return result
    made = []
    for k, leaf in enumerate(call.leaves):
        if isinstance(leaf, Ref):
            made.append(symbols[leaf.key])
        elif isinstance(leaf, Leaf):
            made.append(shown(call, k, leaf))
        else:
            made.append(leaf)
    if call.writes:
        args[0]._ref = Ref(call, 0)
        return args[0]
    return unflatten(call.tree, iter(made))


def shown(call: Call, k: int, leaf: Leaf) -> Any:
    """The symbol or the size (an int where it is fixed) that a result is for the user."""
    from ._symbols import Symbol, SymbolSize

    if leaf.dtype is not None:
        made = Tensor.__new__(Symbol, leaf.tag)
        leaf.tag = None
        made._ref = Ref(call, k)
        return made
    return leaf.at[0] if leaf.at[0] == leaf.at[1] else SymbolSize(Ref(call, k))


def _writes(function: Any) -> bool:
    """Whether it is a method of tensors that writes in place."""
    name = getattr(function, "__name__", "")
    return isinstance(function, FUNCTION) and name.endswith("_") and not name.endswith("__")


def _check_write(call: Call) -> None:
    target = call.args[0]
    if not isinstance(target, Ref):
        raise error(
            InvalidValue,
            "symbol",
            "a tensor is written in place with what is computed from symbols, which have no "
            "elements yet; compute a new tensor instead",
        )
    if target.call.function is None:
        raise error(
            InvalidValue,
            "symbol",
            f"the program writes its input '{target.call.name}' in place; a graph has no effects "
            "on its arguments; work on x.clone()",
        )
    if target.call.leaves[target.at].shared:
        raise error(
            InvalidValue,
            "symbol",
            "a symbol is written in place that is a view or has views, which other symbols would "
            "have to follow; write into a clone, choose with sn.where, or do it inside of a module "
            "that is called with the symbol",
        )


# ---------------------------------------------------------------- shapes


def estimate(call: Call) -> Any:
    """Finds the results' shapes: the call is traced at two examples of the open sizes."""
    failure: Exception | None = None
    for family in range(len(FAMILIES) if any(r.dims for r in call.roots) else 1):
        try:
            if any(family not in r.call.results for r in (*call.refs, *call.closed)):
                for other in sorted(ancestors([call]) - {call}, key=lambda c: c.order):
                    if family not in other.results:
                        traced(other, family)
            return traced(call, family)
        except _core.SennitError as e:
            failure = failure or e
    assert failure is not None
    raise failure


def _leaf_of(ref: Ref, family: int) -> Leaf:
    leaf = ref.call.results[family][ref.at]
    return leaf


def traced(call: Call, family: int) -> Any:
    if call.function is None:
        (leaf,) = call.leaves
        fresh = Leaf(None)
        fresh.dtype, fresh.device = leaf.dtype, leaf.device
        for k in range(2):
            fresh.at.append(tuple(example(s, family)[k] for s in call.shape))
        call.results[family] = [fresh]
        return None
    both = any(r.dims for r in call.roots)
    made: list[tuple[Any, list[Any]]] = []
    for k in range(2 if both else 1):
        made.append(_traced_at(call, family, k))
    (tree, leaves), (_, others) = made[0], made[-1]
    if leaves == [NotImplemented]:
        return NotImplemented
    if len(leaves) != len(others) or not all(map(_agree, leaves, others)):
        raise error(
            InvalidValue,
            "symbol",
            "what a function returns depends on an open size in another way than by shapes and "
            "ints (how many tensors there are, their ranks or dtypes, a float); fix that size, or "
            "return a tensor",
        )
    for a, b in zip(leaves, others, strict=True):
        if isinstance(a, Leaf):
            a.at = [a.at[0], b.at[0]]
    if not call.results:
        call.leaves, call.tree = leaves, tree
    call.results[family] = leaves
    return None


def _agree(a: Any, b: Any) -> bool:
    """Whether two leaves are one result at two sizes."""
    if isinstance(a, Leaf) and isinstance(b, Leaf):
        tensors = a.dtype is not None and b.dtype is not None
        return a.dtype == b.dtype and (not tensors or len(a.at[0]) == len(b.at[0]))
    if isinstance(a, Ref) and isinstance(b, Ref):
        return a.key == b.key
    return type(a) is type(b) and not isinstance(a, Leaf | Ref) and bool(a == b)


def _traced_at(call: Call, family: int, k: int) -> tuple[Any, list[Any]]:
    """The result's structure and leaves at one of the two examples."""
    refs = {r.key: r for r in [*call.refs, *call.closed]}
    lane: dict[tuple[Call, int], Any] = {}
    tensors: list[tuple[Call, int]] = []
    inputs: list[tuple[Any, ...]] = []
    for key, ref in refs.items():
        leaf = _leaf_of(ref, family)
        if leaf.dtype is None:
            lane[key] = leaf.at[k]
        else:
            tensors.append(key)
            inputs.append((f"x{len(inputs)}", False, leaf.at[k], leaf.dtype, leaf.device))
    if call.outcome is not None or call.function in ARITHMETIC:
        value = call.function(*filled(call.args, lane))
        made = Leaf(None)
        made.at.append(value)
        return 0, [made]
    owned = _Owned(call)
    leaves: list[Any] = []
    tree: Any = None

    def run(given: list[Tensor]) -> list[Tensor]:
        nonlocal tree
        lane.update(zip(tensors, given, strict=True))
        handles = {id(x): refs[key] for key, x in zip(tensors, given, strict=True)}
        if call.writes and call.args[0].key in lane:
            lane[call.args[0].key] = given[tensors.index(call.args[0].key)].clone()
        result = make(call, lane)
        tree = result
        for x in flatten(result):
            if isinstance(x, Tensor) and id(x) in handles and not call.writes:
                leaves.append(handles[id(x)])
            elif isinstance(x, Tensor):
                leaf = Leaf(x)
                leaf.at.append(tuple(x.shape))
                leaf.shared = bool(_core.is_shared(x))
                leaf.tag = Tensor.__new__(Tensor, x)
                leaves.append(leaf)
            elif isinstance(x, int) and not isinstance(x, bool):
                leaf = Leaf(None)
                leaf.at.append(int(x))
                leaves.append(leaf)
            elif x is NotImplemented or isinstance(x, bool | float | str | _core.dtype):
                leaves.append(x)
            else:
                raise error(
                    InvalidType,
                    "symbol",
                    f"a function that was called with symbols returned a {type(x).__name__}; it "
                    "must return tensors, numbers, strings, None, or tuples, lists or dicts of "
                    "them",
                )
        for key, x in zip(tensors, given, strict=True):
            if _core.is_shared(x):
                refs[key].call.leaves[key[1]].shared = True
        return []

    try:
        program, _ = _core.trace_graph(run, inputs + owned.inputs, owned.tensors)
    finally:
        owned.restore()
    if program.updates():
        refuse_updates(program)
    return tree, leaves


class _Owned:
    """The tensors of the modules and graphs that are called: they stay what they are."""

    def __init__(self, call: Call) -> None:
        roots = owners(call)
        # By numbers, so that names differ; a tensor of two has one.
        self.handles = Mutable({str(k): x for k, x in enumerate(roots)}) if roots else None
        named = self.handles.tensors if self.handles else {}
        self.tensors = list(named.values())
        self.inputs = [(f"tensor {n}", True, x.shape, x.dtype, x.device) for n, x in named.items()]

    def restore(self) -> None:
        if self.handles is not None:
            self.handles.after_trace()


def owners(call: Call) -> list[Any]:
    """The modules of a call, and the parameters of its graphs by name."""
    from ._graph import Graph
    from .nn.module import Module

    inner = getattr(call.function, "__wrapped__", None)
    leaves = [call.function, inner, *flatten((call.args, call.kwargs))]
    graphs = [dict(x._parameters) for x in leaves if isinstance(x, Graph) and x._parameters]
    return [*(x for x in leaves if isinstance(x, Module)), *graphs]


def refuse_updates(program: _core.Program) -> NoReturn:
    names = [name.removeprefix("tensor ") for name, _, _, _ in program.inputs()]
    raise error(
        InvalidValue,
        "symbol",
        f"a call writes '{names[program.updates()[0]]}' in place; a graph of symbols has no "
        "effects on parameters and buffers; call model.eval() first, or trace the step: "
        "sn.trace(..., mutable=model)",
    )


def filled(tree: Any, lane: dict[tuple[Call, int], Any]) -> Any:
    return _mapped(lambda x: lane[x.key] if isinstance(x, Ref) else x, tree)


def make(call: Call, lane: dict[tuple[Call, int], Any]) -> Any:
    """Makes a call, with what its symbols stand for; its line is that where it was noted."""
    before = getattr(state, "lane", None)
    state.lane = lane
    site = _core.set_noted_site(_called.__code__, call.site)
    try:
        return _called(call, filled(call.args, lane), filled(call.kwargs, lane))
    finally:
        _core.set_noted_site(_called.__code__, site)
        state.lane = before


def _called(call: Call, args: Any, kwargs: Any) -> Any:
    return call.function(*args, **kwargs)


def ancestors(calls: Iterable[Call]) -> set[Call]:
    found: set[Call] = set()
    stack = list(calls)
    while stack:
        call = stack.pop()
        if call not in found:
            found.add(call)
            stack += [r.call for r in (*call.refs, *call.closed)]
    return found


def example(size: Any, family: int) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    index = _indices.setdefault(size.name, len(_indices) % 8)
    return example_pair(size, index, family)
