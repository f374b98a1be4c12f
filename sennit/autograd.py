"""Gradients: contexts, functional transforms and custom functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _core
from ._core import Tensor
from ._errors import error
from ._tree import flatten, tree_map, unflatten
from ._whole import whole

__all__ = [
    "Function",
    "FunctionContext",
    "backward",
    "enable_grad",
    "grad",
    "grad_enabled",
    "gradients",
    "no_grad",
    "set_grad_enabled",
    "value_and_grad",
]


class _GradMode:
    """A context manager and decorator that sets whether op calls go on the tape."""

    __slots__ = ("_before",)
    _mode = False

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(_core.grad_enabled())
        _core.set_grad_enabled(self._mode)

    def __exit__(self, *_: object) -> None:
        _core.set_grad_enabled(self._before.pop())

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        from functools import wraps

        mode = self._mode

        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            before = _core.grad_enabled()
            _core.set_grad_enabled(mode)
            try:
                return function(*args, **kwargs)
            finally:
                _core.set_grad_enabled(before)

        return wrapped


class no_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Inside, nothing is put on the tape. Also a decorator.

    Examples
    --------
    >>> w = sn.ones(2, requires_grad=True)
    >>> with sn.no_grad():
    ...     y = w * 2
    >>> y.requires_grad
    False
    """

    _mode = False


class enable_grad(_GradMode):  # noqa: N801 - PyTorch's name
    """Inside, op calls go on the tape again (within `no_grad`). Also a decorator.

    Examples
    --------
    >>> w = sn.ones(2, requires_grad=True)
    >>> with sn.no_grad(), sn.enable_grad():
    ...     y = w * 2
    >>> y.requires_grad
    True
    """

    _mode = True


class set_grad_enabled(_GradMode):  # noqa: N801 - PyTorch's name
    """Sets whether op calls go on the tape, for a ``with`` block.

    Examples
    --------
    >>> with sn.set_grad_enabled(False):
    ...     sn.grad_enabled()
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._mode = bool(mode)

    __slots__ = ("_mode",)


def grad_enabled() -> bool:
    """Whether op calls go on the tape here.

    Examples
    --------
    >>> sn.grad_enabled()
    True
    >>> with sn.no_grad():
    ...     sn.grad_enabled()
    False
    """
    return _core.grad_enabled()


def backward(tensor: Tensor, gradient: Tensor | None = None) -> None:
    """Adds the gradient of `tensor` to the ``grad`` of every leaf it depends on.

    Parameters
    ----------
    tensor : Tensor
        The result to differentiate; of one element unless `gradient` is given.
    gradient : Tensor, optional
        The gradient of the final scalar with respect to `tensor`, of its shape.

    Examples
    --------
    >>> w = sn.tensor([1.0, 2.0], requires_grad=True)
    >>> sn.autograd.backward((w * w).sum())
    >>> w.grad.tolist()
    [2.0, 4.0]
    """
    tensor.backward(gradient)


def gradients(
    outputs: Tensor | list[Tensor] | tuple[Tensor, ...],
    inputs: Tensor | list[Tensor] | tuple[Tensor, ...],
    gradients: list[Tensor] | None = None,
    create_graph: bool = False,
) -> list[Tensor | None]:
    """Gradients of (the sum of) `outputs` with respect to `inputs`; ``grad`` attributes stay as
    they are.

    Parameters
    ----------
    outputs, inputs : Tensor or sequence of Tensor
        Tensors of the tape.
    gradients : list of Tensor, optional
        One per output, of its shape; ones by default.
    create_graph : bool
        Whether the gradients can be differentiated again.

    Returns
    -------
    list of (Tensor or None)
        One per input; None when the outputs do not depend on it.

    Examples
    --------
    >>> x = sn.tensor(3.0, requires_grad=True)
    >>> (g,) = sn.gradients(x * x * x, x, create_graph=True)
    >>> (h,) = sn.gradients(g, x)
    >>> g.item(), h.item()
    (27.0, 18.0)
    """
    outs = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    ins = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    return _core.gradients(outs, ins, gradients, create_graph)


def _positions(argnums: int | tuple[int, ...], count: int, op: str = "grad") -> tuple[int, ...]:
    given = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    fixed = tuple(a + count if a < 0 else a for a in given)
    for a, original in zip(fixed, given, strict=True):
        if not 0 <= a < count:
            raise error(
                _core.InvalidValue,
                op,
                f"argnums contains {original}, but the call has {count} positional arguments; it "
                "must name some of them",
            )
    return fixed


def value_and_grad(
    function: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns ``(function(...), gradient)``.

    Parameters
    ----------
    function : callable
        Returns a tensor of one element (with `has_aux`: that and anything else).
    argnums : int or tuple of int
        The positional arguments to differentiate: tensors, or (nested) lists, tuples and dicts of
        tensors.
    has_aux : bool
        Whether `function` returns ``(value, auxiliary)``.

    Returns
    -------
    callable
        Its gradient has the structure of the argument (a tuple of them when `argnums` is one).

    Examples
    --------
    >>> f = sn.value_and_grad(lambda x: (x * x).sum())
    >>> value, gradient = f(sn.tensor([1.0, 2.0]))
    >>> value.item(), gradient.tolist()
    (5.0, [2.0, 4.0])
    """

    @whole
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        chosen = _positions(argnums, len(args))
        with enable_grad():
            picked, marked = mark_arguments("grad", args, chosen)
            result = function(*marked, **kwargs)
            value = result[0] if has_aux else result
            if not isinstance(value, Tensor) or value.size != 1:
                shape = value.shape if isinstance(value, Tensor) else type(value).__name__
                raise error(
                    _core.GradError,
                    "grad",
                    f"the function returned {shape}; a gradient needs a tensor of one element; "
                    "reduce the result with .sum() or .mean()",
                )
            if value.dtype.is_complex:
                raise error(
                    _core.GradError,
                    "grad",
                    f"the function returned a {value.dtype.name} number; a gradient needs a real "
                    "one; take .real or sn.abs of it",
                )
            grads = pull_back([value], picked, None)
        return result, (grads[0] if isinstance(argnums, int) else tuple(grads))

    return wrapped


def mark_arguments(
    op: str, args: tuple[Any, ...], chosen: tuple[int, ...]
) -> tuple[list[Any], list[Any]]:
    """The chosen arguments as fresh leaves (whose own history continues), and all arguments with
    these in place."""

    def mark(leaf: Any) -> Any:
        if isinstance(leaf, float):
            leaf = _core.asarray(leaf)
        if not isinstance(leaf, Tensor):
            raise error(
                _core.InvalidType,
                op,
                f"an argument to differentiate holds a {type(leaf).__name__}; it must be a "
                "floating-point tensor, or a tuple, list or dict of them; name others by argnums",
            )
        if not leaf.dtype.is_floating_point:
            return _core.make_leaf(leaf)  # raises, naming the dtype
        return _core.make_relay(leaf)

    places = {i: tree_map(mark, args[i]) for i in sorted(set(chosen))}
    return [places[i] for i in chosen], [places.get(i, a) for i, a in enumerate(args)]


def pull_back(
    outputs: list[Tensor], inputs: list[Any], cotangents: list[Tensor] | None
) -> list[Any]:
    """Gradients of `outputs` in the structure of `inputs`; zeros where they do not matter."""
    leaves = flatten(inputs)
    found = _core.gradients(outputs, leaves, cotangents, None)
    zeros = _core.functions["zeros_like"]
    filled = (zeros(x) if g is None else g for g, x in zip(found, leaves, strict=True))
    grads: list[Any] = unflatten(inputs, filled)
    return grads


def grad(
    function: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The gradient function of `function`; see `value_and_grad`. Nests to any order.

    Examples
    --------
    >>> f = lambda x: x * x * x
    >>> sn.grad(f)(sn.tensor(2.0)).item()
    12.0
    >>> sn.grad(sn.grad(f))(sn.tensor(2.0)).item()
    12.0
    """
    both = value_and_grad(function, argnums, has_aux)

    @whole
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result, gradient = both(*args, **kwargs)
        return (gradient, result[1]) if has_aux else gradient

    return wrapped


class FunctionContext:
    """What a custom function keeps between its forward and its backward pass: the first argument of
    its static methods. Any attribute may be set on it; tensors are kept by `save_for_backward`.

    Attributes
    ----------
    saved_tensors : tuple of Tensor
        What was saved, as it was then.
    needs_input_grad : tuple of bool
        For each argument of `forward`, whether its gradient is wanted.

    Examples
    --------
    >>> class Double(sn.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         assert isinstance(ctx, sn.autograd.FunctionContext)
    ...         return x * 2
    ...
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         return g * 2 if ctx.needs_input_grad[0] else None
    >>> sn.grad(Double.apply)(sn.tensor(1.0)).item()
    2.0
    """

    saved_tensors: tuple[Any, ...]
    needs_input_grad: tuple[bool, ...]

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.saved_tensors = ()
        self.needs_input_grad = needs_input_grad
        self._forward_tensors: tuple[Any, ...] | None = None
        self._constant: tuple[Any, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors (or None) for the backward pass, as ``ctx.saved_tensors``."""
        self.saved_tensors = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keeps other tensors for `jvp` than for `backward`."""
        self._forward_tensors = tensors

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Names results that no gradient flows through."""
        self._constant = outputs

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` and `jvp` get zeros (the default) or None where nothing arrives."""
        self._materialize = bool(value)


# How many sn.jvp calls are under way: there backward rules only carry tangents.
_forward_modes = 0


class Function:
    """A function with its own gradient, written in Python.

    Subclass it with static methods, and call it with ``MyFunction.apply(*args)``:

    - ``forward(ctx, *args)`` computes the result(s); or ``forward(*args)``, together with
      ``setup_context(ctx, inputs, output)``, which saves what the others need;
    - ``backward(ctx, *gradients)`` returns one gradient (or None) per argument of `forward`;
    - ``jvp(ctx, *tangents)`` (optional) returns the tangents of the results for those of the
      arguments (None for arguments without one). Without it, forward mode (`sn.jvp`) is derived
      from `backward`; with it alone, there is forward mode only.

    Gradients and tangents written with ordinary operations can be differentiated again, and the
    function can be called inside of `sn.vmap`, where its methods are given one example.

    Examples
    --------
    >>> class Cube(sn.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x * x
    ...
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         (x,) = ctx.saved_tensors
    ...         return g * 3 * x * x
    >>> x = sn.tensor(2.0, requires_grad=True)
    >>> Cube.apply(x).backward()
    >>> x.grad.item()
    12.0
    """

    @staticmethod
    def forward(*args: Any) -> Any:
        """Computes the result; override it."""
        raise NotImplementedError("a sn.Function needs a static method forward(ctx, *args)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Saves what gradients need, if `forward` takes no context; override it."""
        raise NotImplementedError

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Computes the arguments' gradients; override it."""
        raise NotImplementedError("a sn.Function needs a static method backward(ctx, *gradients)")

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        """Computes the results' tangents; override it if the derived one is not wanted."""
        raise NotImplementedError

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Calls `forward` and puts the call on the tape."""
        tracing = _core.tracing()
        ctx = FunctionContext(
            tuple(
                isinstance(a, Tensor)
                and (a.requires_grad or (tracing and a.dtype.is_floating_point))
                for a in args
            )
        )
        first = _core.traced_nodes()
        with no_grad():
            if cls.setup_context is Function.setup_context:
                result = cls.forward(ctx, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
        many = isinstance(result, tuple | list)
        outputs = list(result) if many else [result]
        for o in outputs:
            if not isinstance(o, Tensor):
                raise error(
                    _core.InvalidType,
                    cls.__name__,
                    f"forward returned a {type(o).__name__}; it must return a tensor or a tuple of "
                    "tensors",
                )
        constant = {id(t) for t in ctx._constant}
        moving = [k for k, o in enumerate(outputs) if id(o) not in constant]
        rule = _Rule(cls, ctx, args, outputs, moving)
        made = _record_custom(
            [args[i] for i in rule.positions],
            [outputs[k] for k in moving],
            rule.backward,
            cls.__name__,
            rule.saved,
            first,
        )
        for k, t in zip(moving, made, strict=True):
            outputs[k] = t
        return tuple(outputs) if many else outputs[0]


class _Rule:
    """The gradient rule of one call of a custom function, as the tape calls it."""

    def __init__(
        self,
        cls: type[Function],
        ctx: FunctionContext,
        args: tuple[Any, ...],
        outputs: list[Tensor],
        moving: list[int],
    ) -> None:
        self.cls, self.ctx, self.count, self.moving = cls, ctx, len(args), moving
        self.positions = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        self.inputs = [(args[i].shape, args[i].dtype, args[i].device) for i in self.positions]
        self.outputs = [(o.shape, o.dtype, o.device) for o in outputs]
        forward = ctx._forward_tensors
        self.lists = [ctx.saved_tensors, ctx.saved_tensors if forward is None else forward]
        self.saved = [t for t in (*ctx.saved_tensors, *(forward or ())) if t is not None]
        # The tensors are handed over at each call; kept here they would keep the tape alive.
        self.lists = [tuple(None if t is None else True for t in ts) for ts in self.lists]
        self.shared = forward is None
        ctx.saved_tensors, ctx._forward_tensors, ctx._constant = (), None, ()

    def _restore(self, saved: list[Tensor], forward: bool) -> None:
        n = sum(x is not None for x in self.lists[0])
        tensors = iter(saved[n:] if forward and not self.shared else saved)
        marks = self.lists[1 if forward else 0]
        self.ctx.saved_tensors = tuple(None if m is None else next(tensors) for m in marks)

    def _filled(self, given: list[Any], metas: list[Any]) -> list[Any]:
        if not self.ctx._materialize:
            return given
        return [_zeros(m) if g is None else g for g, m in zip(given, metas, strict=True)]

    def _plain(self, saved: list[Tensor], grads: list[Any]) -> list[Any]:
        self._restore(saved, False)
        given: list[Any] = [None] * len(self.outputs)
        for k, g in zip(self.moving, grads, strict=True):
            given[k] = g
        found = self.cls.backward(self.ctx, *self._filled(given, self.outputs))
        self.ctx.saved_tensors = ()
        listed = list(found) if isinstance(found, tuple | list) else [found]
        if len(listed) != self.count:
            raise error(
                _core.GradError,
                self.cls.__name__,
                f"backward returned {len(listed)} gradients, but forward took {self.count} "
                "arguments; return one for each, None where there is none",
            )
        return [listed[i] for i in self.positions]

    def backward(self, saved: list[Tensor], *grads: Any) -> list[Any]:
        if self.cls.jvp is Function.jvp or not (
            _core.tracing() or any(g is not None and g.requires_grad for g in grads)
        ):
            return self._plain(saved, list(grads))
        # The gradients are linear in `grads`, and their derivative is the tangent: so says jvp.
        first = _core.traced_nodes()
        if self.cls.backward is not Function.backward:
            made = self._plain(saved, [None if g is None else g.detach() for g in grads])
        elif _forward_modes:
            made = [_zeros(m) if m[1].is_floating_point else None for m in self.inputs]
        else:
            made = self._plain(saved, list(grads))  # raises
        known = [k for k, g in enumerate(made) if g is not None]
        arrived = [k for k, g in enumerate(grads) if g is not None]

        def tangents(kept: list[Tensor], *ways: Any) -> list[Any]:
            given: list[Any] = [None] * self.count
            for k, way in zip(known, ways, strict=True):
                given[self.positions[k]] = way
            if self.ctx._materialize:
                for i, m in zip(self.positions, self.inputs, strict=True):
                    if given[i] is None and m[1].is_floating_point:
                        given[i] = _zeros(m)
            self._restore(kept, True)
            found = self.cls.jvp(self.ctx, *given)
            self.ctx.saved_tensors = ()
            listed = list(found) if isinstance(found, tuple | list) else [found]
            if len(listed) != len(self.outputs):
                raise error(
                    _core.GradError,
                    self.cls.__name__,
                    f"jvp returned {len(listed)} tangents for {len(self.outputs)} results; return "
                    "one for each, None where there is none",
                )
            return [*ways, *(listed[self.moving[k]] for k in arrived)]

        wrapped = _record_custom(
            [*(made[k] for k in known), *(grads[k] for k in arrived)],
            [made[k].detach() for k in known],
            tangents,
            self.cls.__name__,
            saved,
            first,
        )
        for k, g in zip(known, wrapped, strict=True):
            made[k] = g
        return made


def _zeros(meta: tuple[Any, Any, Any]) -> Tensor:
    made: Tensor = _core.functions["zeros"](meta[0], dtype=meta[1], device=meta[2])
    return made


def _record_custom(
    inputs: list[Tensor],
    outputs: list[Tensor],
    backward: Callable[..., list[Any]],
    name: str,
    saved: list[Tensor],
    first: int,
) -> list[Tensor]:
    """Puts a custom function on the tape, and into the trace that is being recorded."""

    def rewrap(
        ins: list[Tensor],
        in_flags: list[bool],
        outs: list[Tensor],
        out_flags: list[bool],
        kept: list[Tensor],
        kept_flags: list[bool],
        size: int,
    ) -> list[Tensor]:
        start = _core.traced_nodes()
        if not any([*in_flags, *out_flags, *kept_flags]):
            return _record_custom(ins, outs, backward, name, kept, start)

        def batched_backward(tensors: list[Tensor], *grads: Any) -> list[Any]:
            arrived = [k for k, g in enumerate(grads) if g is not None]
            places: list[int] = []

            def one(leaves: list[Tensor]) -> list[Tensor]:
                each: list[Any] = [None] * len(grads)
                for k, g in zip(arrived, leaves[len(tensors) :], strict=True):
                    each[k] = g
                found = backward(leaves[: len(tensors)], *each)
                places[:] = [i for i, g in enumerate(found) if g is not None]
                return [found[i] for i in places]

            values, flags = _core.call_batched(
                one,
                [*tensors, *(grads[k] for k in arrived)],
                [*kept_flags, *(out_flags[k] for k in arrived)],
                size,
                "same",
            )
            result: list[Any] = [None] * len(ins)
            for i, value, batched in zip(places, values, flags, strict=True):
                if batched and not in_flags[i]:
                    value = value.sum(axis=0)  # all examples share the argument
                elif in_flags[i] and not batched:
                    value = value.broadcast_to((size, *value.shape))
                result[i] = value
            return result

        return _record_custom(ins, outs, batched_backward, name, kept, start)

    return _core.custom_function(inputs, outputs, backward, name, saved, rewrap, first)
