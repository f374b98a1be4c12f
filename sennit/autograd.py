"""Gradients: contexts, functional transforms and custom functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _core
from ._core import Tensor

__all__ = [
    "Function",
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


def _positions(argnums: int | tuple[int, ...], count: int) -> tuple[int, ...]:
    given = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    fixed = tuple(a + count if a < 0 else a for a in given)
    for a, original in zip(fixed, given, strict=True):
        if not 0 <= a < count:
            raise _core.InvalidValue(
                f"[grad] argnums contains {original}, but the call has {count} positional "
                f"arguments; it must name some of them (SN104)"
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

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        chosen = _positions(argnums, len(args))
        leaves: list[Tensor] = []

        def mark(tree: Any) -> Any:
            if isinstance(tree, Tensor):
                if not (tree.dtype.is_floating_point or tree.dtype.is_complex):
                    return _core.make_leaf(tree)  # raises, naming the dtype
                leaf = _core.make_relay(tree)
                leaves.append(leaf)
                return leaf
            if isinstance(tree, dict):
                return {k: mark(v) for k, v in tree.items()}
            if isinstance(tree, list | tuple):
                return type(tree)(mark(v) for v in tree)
            if isinstance(tree, float):
                return mark(_core.asarray(tree, None, None, None))
            return tree

        with enable_grad():
            marked = [mark(a) if i in chosen else a for i, a in enumerate(args)]
            result = function(*marked, **kwargs)
            value = result[0] if has_aux else result
            if not isinstance(value, Tensor) or value.size != 1:
                shape = value.shape if isinstance(value, Tensor) else type(value).__name__
                raise _core.GradError(
                    f"[grad] the function returned {shape}; a gradient needs a tensor of one "
                    f"element; reduce the result with .sum() or .mean() (SN106)"
                )
            if value.dtype.is_complex:
                raise _core.GradError(
                    f"[grad] the function returned a {value.dtype.name} number; a gradient needs a "
                    f"real one; take .real or sn.abs of it (SN106)"
                )
            outer = any(leaf_.requires_grad and not leaf_.is_leaf for leaf_ in leaves)
            found = _core.gradients([value], leaves, None, outer or _core.grad_enabled())
        zeros = _core.functions["zeros_like"]
        by_leaf = iter(g if g is not None else zeros(x) for g, x in zip(found, leaves, strict=True))

        def gather(tree: Any) -> Any:
            if isinstance(tree, Tensor | float):
                return next(by_leaf)
            if isinstance(tree, dict):
                return {k: gather(v) for k, v in tree.items()}
            if isinstance(tree, list | tuple):
                return type(tree)(gather(v) for v in tree)
            return None

        grads = tuple(gather(args[i]) for i in sorted(set(chosen)))
        by_position = dict(zip(sorted(set(chosen)), grads, strict=True))
        answer = tuple(by_position[i] for i in chosen)
        return result, (answer[0] if isinstance(argnums, int) else answer)

    return wrapped


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

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        result, gradient = both(*args, **kwargs)
        return (gradient, result[1]) if has_aux else gradient

    return wrapped


class _Context:
    """What a custom function keeps between its forward and its backward pass."""

    def __init__(self) -> None:
        self.saved_tensors: tuple[Tensor, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Keeps tensors for the backward pass, as ``ctx.saved_tensors``."""
        self.saved_tensors = tensors


class Function:
    """A function with its own gradient, written in Python.

    Subclass it with two static methods: ``forward(ctx, *args)`` computes the result(s), and
    ``backward(ctx, *gradients)`` returns one gradient (or None) per argument of `forward`. Call
    it with ``MyFunction.apply(*args)``. Gradients written with ordinary operations can be
    differentiated again.

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
    def forward(ctx: Any, *args: Any) -> Any:
        """Computes the result; override it."""
        raise NotImplementedError("a sn.Function needs a static method forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Computes the arguments' gradients; override it."""
        raise NotImplementedError("a sn.Function needs a static method backward(ctx, *gradients)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Calls `forward` and puts the call on the tape."""
        ctx = _Context()
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        with no_grad():
            result = cls.forward(ctx, *args)
        many = isinstance(result, tuple)
        outputs = list(result) if many else [result]
        positions = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        count = len(args)

        def run_backward(*grads: Tensor | None) -> list[Tensor | None]:
            found = cls.backward(ctx, *grads)
            listed = list(found) if isinstance(found, tuple | list) else [found]
            if len(listed) != count:
                raise _core.GradError(
                    f"[{cls.__name__}] backward returned {len(listed)} gradients, but forward "
                    f"took {count} arguments; return one for each, None where there is none (SN106)"
                )
            return [listed[i] for i in positions]

        wrapped = _core.custom_function(
            [args[i] for i in positions], outputs, run_backward, cls.__name__
        )
        return tuple(wrapped) if many else wrapped[0]
