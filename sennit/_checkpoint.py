"""Recomputation: less memory for more work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import _core
from ._autocast import _modes, _set_modes
from ._core import Tensor
from ._errors import error
from ._tree import flatten, tree_map, unflatten
from .autograd import enable_grad, grad_enabled

__all__ = ["checkpoint", "checkpoint_sequential"]


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Calls a function without keeping what its gradient needs; the backward pass calls it again.

    Of everything that the function computes only the arguments and the results stay in memory
    between the passes (Chen et al. 2016). Gradients have the bits that they have without. What the
    function writes in place (running statistics, counters) is written once: the second call starts
    from the tensors as they were at the first, and its writes are undone.

    Parameters
    ----------
    function : callable
        Any function of tensors, or a module. It must compute the same when it is called again.
    *args, **kwargs
        Its arguments: tensors, nested tuples, lists and dicts of them, and anything else. Gradients
        also flow to parameters and other tensors that the function refers to.
    use_reentrant : bool, optional
        Accepted as in PyTorch; both of its variants are this one.
    preserve_rng_state : bool
        Whether the second call draws the random numbers of the first (dropout).

    Returns
    -------
    What the function returns.

    Examples
    --------
    >>> block = sn.nn.Sequential(sn.nn.Linear(4, 64), sn.nn.Tanh(), sn.nn.Linear(64, 4))
    >>> x = sn.ones((2, 4), requires_grad=True)
    >>> sn.checkpoint(block, x).sum().backward()
    >>> x.grad.shape
    (2, 4)
    """
    if not callable(function):
        raise error(
            _core.InvalidType,
            "checkpoint",
            f"the first argument is a {type(function).__name__}; a function or a module is "
            "required: sn.checkpoint(block, x)",
        )
    if not grad_enabled():
        return function(*args, **kwargs)
    return _Recomputed(function, (args, kwargs), preserve_rng_state).forward()


class _Recomputed:
    """One call of a function that is called again for its gradient."""

    def __init__(self, function: Callable[..., Any], tree: Any, preserve: bool) -> None:
        self.function, self.preserve = function, preserve
        leaves = flatten(tree)
        self.tensors = [x for x in leaves if isinstance(x, Tensor)]
        self.trained = [k for k, x in enumerate(self.tensors) if x.requires_grad]
        # The tape will keep the tensors; here is only where they stand.
        self.tree = unflatten(tree, iter([_PLACE if isinstance(x, Tensor) else x for x in leaves]))
        self.state = _core.random_state()
        self.modes = _modes()  # of autocast: the second call computes as the first
        self.writes = _core.Writes()

    def _call(self, tensors: list[Tensor]) -> Any:
        given = iter(tensors)
        args, kwargs = tree_map(lambda x: next(given) if x is _PLACE else x, self.tree)
        return self.function(*args, **kwargs)

    def forward(self) -> Any:
        inner = list(self.tensors)
        for k in self.trained:
            inner[k] = _core.make_relay(inner[k])
        mark = _core.tape_mark()
        result = self.writes.call(lambda: self._call(inner))
        leaves = flatten(result)
        self.results = [
            k for k, x in enumerate(leaves) if isinstance(x, Tensor) and x.requires_grad
        ]
        outputs = [leaves[k] for k in self.results]
        # What else the function differentiates in: parameters, tensors around it.
        self.outer = [
            t
            for t in _core.tape_boundary(outputs, mark)
            if not any(_core.same_place(t, inner[k]) for k in self.trained)
        ]
        if not self.trained and not self.outer:
            return result
        self.writes.keep_outer([x for x in leaves if isinstance(x, Tensor)])
        tensors, self.tensors = self.tensors, []
        made = _core.custom_function(
            [*(tensors[k] for k in self.trained), *self.outer],
            outputs,
            self.backward,
            "checkpoint",
            tensors,
            None,
            0,
        )
        for k, x in zip(self.results, made, strict=True):
            leaves[k] = x
        return unflatten(result, iter(leaves))

    def backward(self, saved: list[Tensor], *gradients: Tensor | None) -> list[Any]:
        arrived = [g for g in gradients if g is not None]
        again = grad_enabled()  # whether this gradient is to be differentiated
        inner = []
        for k, x in enumerate(saved):
            held = _core.barrier(x if again else x.detach(), arrived)
            inner.append(_core.make_leaf(held) if k in self.trained and not again else held)
        now = _core.random_state()
        if self.preserve:
            _core.set_random_state(*self.state)
        self.writes.undo()
        inside = _core.Writes()
        modes = _modes()
        _set_modes(self.modes)
        try:
            with enable_grad():
                result = inside.call(lambda: self._call(inner))
        finally:
            _set_modes(modes)
            inside.undo()
            self.writes.undo()
            if self.preserve:
                _core.set_random_state(*now)
        leaves = flatten(result)
        outputs = [leaves[k] for k in self.results]
        targets = [*(inner[k] for k in self.trained), *self.outer]
        live = [k for k, g in enumerate(gradients) if g is not None]
        return _core.gradients(
            [outputs[k] for k in live], targets, [gradients[k] for k in live], again, stop=True
        )


_PLACE = object()  # where a tensor stands among other arguments


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Runs the layers of a sequential model in segments, of which only the borders stay in memory.

    Parameters
    ----------
    functions : sn.nn.Sequential or sequence of callables
        Called one after the other.
    segments : int
        The number of parts of (about) equal length. The last one is kept as usual: its backward
        pass comes first.
    input : Tensor
        What the first function gets.
    use_reentrant, **kwargs
        As for `checkpoint`.

    Examples
    --------
    >>> model = sn.nn.Sequential(*(sn.nn.Linear(4, 4) for _ in range(6)))
    >>> sn.checkpoint_sequential(model, 3, sn.ones((2, 4))).shape
    (2, 4)
    """
    layers: Sequence[Callable[[Any], Any]] = list(functions)
    if not isinstance(segments, int) or not 1 <= segments <= max(1, len(layers)):
        raise error(
            _core.InvalidValue,
            "checkpoint_sequential",
            f"segments is {segments!r} for {len(layers)} functions; it must be between 1 and "
            f"{max(1, len(layers))}",
        )

    def run(first: int, last: int) -> Callable[[Any], Any]:
        def part(x: Any) -> Any:
            for layer in layers[first:last]:
                x = layer(x)
            return x

        return part

    size = len(layers) // segments
    x = input
    for k in range(segments - 1):
        x = checkpoint(run(k * size, (k + 1) * size), x, use_reentrant=use_reentrant, **kwargs)
    return run((segments - 1) * size, len(layers))(x)
