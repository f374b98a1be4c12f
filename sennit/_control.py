"""Control flow that depends on values: branches and loops, in code that runs and in graphs.

Names, arguments and results are those of `jax.lax`. Where code runs line by line, these are
Python's own `if` and `while`. In a traced function each becomes one node of the graph, whose blocks
are graphs of their own. See docs/control-flow.md and docs/design/016-control-flow.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from . import _core
from ._core import InvalidType, InvalidValue, Tensor
from ._errors import error
from ._tree import flatten, tree_map, unflatten
from ._whole import whole
from .autograd import grad_enabled

__all__ = ["cond", "scan", "while_loop"]

_ops = _core.functions


@whole
def cond(
    pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any
) -> Any:
    """Calls one of two functions, whichever a condition says.

    Parameters
    ----------
    pred : Tensor, bool or number
        One element; zero is False.
    true_fn, false_fn : callable
        Take the operands, and return tensors or nested tuples, lists and dicts of them: both the
        same structure, shapes and dtypes. (Where code runs line by line, one of them is called.)
    *operands : Tensor, or nested structure
        What the functions are called with. They may also use tensors, parameters and modules from
        around them. Anything else than a tensor is handed on as it is.

    Returns
    -------
    What the function returns, with tensors for numbers.

    Raises
    ------
    ShapeError, DTypeError
        When a traced condition has several elements, or the functions return other shapes or
        dtypes.
    InvalidType, InvalidValue
        When they return something else than tensors, or another structure.

    Examples
    --------
    >>> step = lambda x: sn.cond(x.sum() > 0, lambda x: x * 2, lambda x: x - 1, x)
    >>> step(sn.tensor([1.0, 2.0])).tolist(), step(sn.tensor([-1.0, -2.0])).tolist()
    ([2.0, 4.0], [-2.0, -3.0])

    The same in a graph, which holds both branches:

    >>> graph = sn.trace(step, sn.TensorSpec((2,)))
    >>> graph(sn.tensor([1.0, 2.0])).tolist(), graph(sn.tensor([-1.0, -2.0])).tolist()
    ([2.0, 4.0], [-2.0, -3.0])
    """
    _check_callable("cond", "true_fn", true_fn)
    _check_callable("cond", "false_fn", false_fn)
    if not isinstance(pred, Tensor) or not _core.is_traced(pred):
        chosen = true_fn if _decided(pred) else false_fn
        name = "true_fn" if chosen is true_fn else "false_fn"
        return _as_tensors("cond", name, chosen(*operands))
    function = _Blocks("cond", operands)
    one = function.block("true_fn", lambda args: true_fn(*args))
    other = function.block("false_fn", lambda args: false_fn(*args))
    made = function.record([one, other], before=[_truth("cond", pred)])
    return unflatten(function.results[0], iter(made))


@whole
def while_loop(
    cond_fn: Callable[[Any], Any],
    body_fn: Callable[[Any], Any],
    init: Any,
    *,
    max_steps: int | None = None,
) -> Any:
    """Calls a function on what it has returned, as long as a condition holds.

    Parameters
    ----------
    cond_fn : callable
        Takes what `body_fn` takes; returns one bool.
    body_fn : callable
        Takes and returns a tensor or a nested structure of tensors, of the same structure, shapes
        and dtypes.
    init : Tensor, number, or nested structure
        What it is called with first.
    max_steps : int, optional
        The loop ends after so many steps at the latest. Needed for a gradient through the loop in
        a traced function, where memory for all steps must be known.

    Returns
    -------
    What `body_fn` has returned last; `init` if it was never called.

    Raises
    ------
    ShapeError, DTypeError
        When a step returns other shapes or dtypes than it was given.
    InvalidType, InvalidValue
        When it returns another structure, or something else than tensors.

    Examples
    --------
    >>> def halve(x):
    ...     return sn.while_loop(lambda c: c[1] > 1, lambda c: (c[0] + 1, c[1] / 2), (0, x))
    >>> steps, rest = halve(sn.tensor(10.0))
    >>> steps.item(), rest.item()
    (4, 0.625)
    >>> [r.item() for r in sn.trace(halve, sn.TensorSpec(()))(sn.tensor(100.0))]
    [7, 0.78125]
    """
    _check_callable("while_loop", "cond_fn", cond_fn)
    _check_callable("while_loop", "body_fn", body_fn)
    most = _count("while_loop", "max_steps", max_steps)
    carry = _as_tensors("while_loop", "init", init)
    if not _core.tracing():
        step = 0
        given = _handed_on(carry)
        while (most is None or step < most) and _decided(cond_fn(given)):
            carry = _step("while_loop", body_fn(given), carry)
            given = _handed_on(carry)
            step += 1
        return carry
    function = _Blocks("while_loop", (carry,))
    test = function.block("cond_fn", lambda args: _truth("while_loop", cond_fn(args[0])))
    body = function.block("body_fn", lambda args: body_fn(args[0]), like=carry)
    made = function.record([test, body], max_steps=-1 if most is None else most)
    return unflatten(carry, iter(made))


@whole
def scan(
    f: Callable[[Any, Any], Any],
    init: Any,
    xs: Any = None,
    *,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Calls a function on each row of some tensors in turn, and hands on what it returns.

    Parameters
    ----------
    f : callable
        ``f(carry, x)`` returns ``(carry, y)``: a carry of the same structure, shapes and dtypes as
        it was given, and a nested structure of tensors (or None).
    init : Tensor, number, or nested structure
        The first carry.
    xs : Tensor or nested structure, optional
        `f` gets their rows: x[0], x[1] ... None: it gets None, `length` times.
    length : int, optional
        The number of steps. Given by `xs` when there are any.
    reverse : bool
        Whether to begin with the last row. Results stay with their rows.

    Returns
    -------
    tuple
        The last carry, and what `f` returned as y, stacked along dimension 0.

    Raises
    ------
    ShapeError, DTypeError
        When rows differ in number, or a step returns another carry than it was given.
    InvalidType, InvalidValue
        When `f` returns something else, or nothing says how many steps there are.

    Examples
    --------
    >>> total = lambda carry, x: (carry + x, carry + x)
    >>> last, sums = sn.scan(total, sn.tensor(0.0), sn.tensor([1.0, 2.0, 3.0]))
    >>> last.item(), sums.tolist()
    (6.0, [1.0, 3.0, 6.0])

    In a graph for any length:

    >>> sums = lambda x: sn.scan(total, sn.tensor(0.0), x, reverse=True)[1]
    >>> sn.trace(sums, sn.TensorSpec(("n",)))(sn.tensor([1.0, 2.0, 3.0])).tolist()
    [6.0, 5.0, 3.0]
    """
    _check_callable("scan", "f", f)
    carry = _as_tensors("scan", "init", init)
    rows = flatten(xs)
    steps = _length(rows, _count("scan", "length", length))

    def parts(args: tuple[Any, ...]) -> tuple[Any, ...]:
        made = f(args[0], args[1])
        if not isinstance(made, tuple) or len(made) != 2:
            raise error(
                InvalidType,
                "scan",
                f"the function returned a {type(made).__name__}; it must return a tuple "
                "(carry, y), where y may be None",
            )
        return made

    if _core.tracing():
        function = _Blocks("scan", (carry, xs), rows=len(rows))
        body = function.block("f", parts, like=carry)
        made = function.record([body], carries=len(flatten(carry)), length=steps, reverse=reverse)
        results = iter(made)
        return unflatten(carry, results), unflatten(function.results[0], results)
    order = range(steps - 1, -1, -1) if reverse else range(steps)
    ys: list[list[Tensor]] = []
    like: Any = None
    given = _handed_on(carry)
    for k in order:
        x = unflatten(xs, iter([_ops["select"](row, 0, k) for row in rows]))
        made, y = parts((given, x))
        carry = _step("scan", made, carry)
        given = _handed_on(carry)
        y = _as_tensors("scan", "f", y)
        like = y if like is None else like
        for k_leaf, leaf in enumerate(_aligned("scan", y, like, "f returned as y at another step")):
            if k_leaf == len(ys):
                ys.append([])
            ys[k_leaf].append(leaf)
    if steps == 0:
        function = _Blocks("scan", (carry, xs), rows=len(rows))
        blocks, _ = _core.trace_blocks("scan", [function.block("f", parts, like=carry)],
                                       [function.inputs])  # fmt: skip
        values, outputs = blocks[0].values(), blocks[0].outputs()
        empty = [
            _ops["zeros"]((0, *values[v][1]), dtype=values[v][2])
            for v in outputs[len(flatten(carry)) :]
        ]
        return carry, unflatten(function.results[0], iter(empty))
    stacked = [_ops["stack"](leaves[::-1] if reverse else leaves, 0) for leaves in ys]
    return carry, unflatten(like, iter(stacked))


class _Blocks:
    """The functions of one call, as blocks of a node in a trace."""

    def __init__(self, op: str, args: tuple[Any, ...], rows: int = 0) -> None:
        self.op = op
        leaves = flatten(args)
        self.operands = [x for x in leaves if isinstance(x, Tensor)]
        self.args = unflatten(args, iter([_PLACE if isinstance(x, Tensor) else x for x in leaves]))
        self.results: list[Any] = []  # by function: what it returned (of a scan: y)
        self.rows = rows
        # The types of what the functions are called with.
        self.inputs = [(tuple(x.shape), x.dtype, x.device) for x in self.operands]
        for k in range(len(self.inputs) - rows, len(self.inputs)):
            shape, dtype, device = self.inputs[k]
            self.inputs[k] = (shape[1:], dtype, device)

    def block(
        self, name: str, function: Callable[[Any], Any], like: Any = None
    ) -> Callable[[list[Tensor]], list[Tensor]]:
        """A function of a list of tensors. Of a loop, what it returns begins with a carry."""

        def run(tensors: list[Tensor]) -> list[Tensor]:
            given = iter(tensors)
            args = tree_map(lambda x: next(given) if x is _PLACE else x, self.args)
            made = function(args)
            leaves: list[Tensor] = []
            if self.op == "scan":
                carry, made = made
                leaves += _step_leaves(self.op, carry, like)
            elif like is not None:
                return _step_leaves(self.op, made, like)
            made = _as_tensors(self.op, name, made)
            if self.op == "cond" and self.results:
                leaves += _aligned(self.op, made, self.results[0], "true_fn returned")
            else:
                leaves += flatten(made)
            self.results.append(made)
            return leaves

        return run

    def record(
        self, functions: list[Any], before: list[Tensor] | None = None, **attributes: Any
    ) -> list[Tensor]:
        blocks, captured = _core.trace_blocks(self.op, functions, [self.inputs] * len(functions))
        operands = [*(before or []), *self.operands, *captured]
        if self.op == "scan":
            attributes["xs"] = self.rows
        return _core.record_control(self.op, blocks, operands, **attributes)


_PLACE = object()  # where a tensor stands among other things


def _check_callable(op: str, name: str, x: Any) -> None:
    if not callable(x):
        raise error(InvalidType, op, f"{name} is a {type(x).__name__}; it must be a function")


def _count(op: str, name: str, n: Any) -> int | None:
    if n is None:
        return None
    if not isinstance(n, int) or isinstance(n, bool) or n < 0:
        raise error(InvalidValue, op, f"{name} is {n!r}; it must be an int, 0 or more, or None")
    return n


def _truth(op: str, x: Any) -> Tensor:
    """One bool of shape ()."""
    if not isinstance(x, Tensor):
        return _core.asarray(bool(x))
    if x.numel() != 1:
        raise error(
            _core.ShapeError,
            op,
            f"the condition has shape {x.shape}; it must have one element; reduce it with .all() "
            "or .any()",
        )
    found: Tensor = _ops["reshape"](x if x.dtype == _core.bool else _ops["not_equal"](x, 0), ())
    return found


def _decided(x: Any) -> bool:
    return bool(x)


def _as_tensors(op: str, what: str, tree: Any) -> Any:
    """The tree with tensors for numbers."""
    if isinstance(tree, Tensor):
        return tree

    def convert(x: Any) -> Tensor:
        if isinstance(x, Tensor):
            return x
        if isinstance(x, bool | int | float | complex):
            return _core.asarray(x)
        raise error(
            InvalidType,
            op,
            f"{'init is' if what == 'init' else what + ' returned'} a {type(x).__name__}; tensors, "
            "numbers, and tuples, lists and dicts of them are possible",
        )

    return tree_map(convert, tree)


def _aligned(op: str, tree: Any, like: Any, what: str) -> list[Tensor]:
    """The leaves of a tree in the order of another one of the same structure."""
    if isinstance(tree, Tensor) and isinstance(like, Tensor):
        return [tree]

    def fail() -> Exception:
        return error(
            InvalidValue,
            op,
            f"the structure {_text(tree)} is returned, and {what} {_text(like)}; both must be the "
            "same",
        )

    def walk(x: Any, y: Any) -> Iterator[Tensor]:
        if isinstance(y, Tensor):
            if not isinstance(x, Tensor):
                raise fail()
            yield x
        elif isinstance(y, dict):
            if not isinstance(x, dict) or x.keys() != y.keys():
                raise fail()
            for key in y:
                yield from walk(x[key], y[key])
        elif y is None or x is None or isinstance(x, Tensor | dict):
            if x is not y:
                raise fail()
        else:
            if len(x) != len(y) or isinstance(x, list) != isinstance(y, list):
                raise fail()
            for a, b in zip(x, y, strict=True):
                yield from walk(a, b)

    return list(walk(tree, like))


def _text(tree: Any) -> str:
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {_text(x)}" for key, x in tree.items()) + "}"
    if isinstance(tree, list | tuple):
        inside = ", ".join(map(_text, tree))
        return f"[{inside}]" if isinstance(tree, list) else f"({inside})"
    return "None" if tree is None else "*"


def _step_leaves(op: str, made: Any, like: Any) -> list[Tensor]:
    made = _as_tensors(op, "the body", made)
    return _aligned(op, made, like, "a step is given")


def _step(op: str, made: Any, carry: Any) -> Any:
    """What a step returned, in the structure and of the types of the carry that it was given."""
    leaves = _step_leaves(op, made, carry)
    for k, (x, y) in enumerate(zip(leaves, flatten(carry), strict=True)):
        if x.shape == y.shape and x.dtype == y.dtype:
            continue
        kind = _core.ShapeError if x.dtype == y.dtype else _core.DTypeError
        raise error(
            kind,
            op,
            f"carry {k} is {y.dtype.name}{y.shape} before a step and {x.dtype.name}{x.shape} after "
            "it; a loop hands on the same shapes and dtypes; convert what the body returns "
            "(x.astype, x.reshape), or begin with the larger type",
        )
    return leaves[0] if isinstance(carry, Tensor) else unflatten(carry, iter(leaves))


def _handed_on(carry: Any) -> Any:
    """What the next step reads: gradients of its uses are summed there, as in a graph."""
    if not grad_enabled():
        return carry
    if isinstance(carry, Tensor):
        return _core.alias(carry) if carry.requires_grad else carry
    return tree_map(lambda x: _core.alias(x) if x.requires_grad else x, carry)


def _length(rows: list[Any], length: int | None) -> int:
    for x in rows:
        if not isinstance(x, Tensor) or x.ndim == 0:
            what = f"a {type(x).__name__}" if not isinstance(x, Tensor) else "a tensor of shape ()"
            raise error(InvalidType, "scan", f"xs holds {what}; it must have rows")
    found = {int(x.shape[0]) for x in rows}
    if length is not None:
        found.add(int(length))
    if len(found) != 1:
        shapes = ", ".join(str(x.shape) for x in rows) or "nothing"
        raise error(
            _core.ShapeError if found else InvalidValue,
            "scan",
            f"xs has {shapes} and length is {length}; the first sizes and the length must be "
            "equal, and one of them must be given",
        )
    return length if length is not None else rows[0].shape[0]
