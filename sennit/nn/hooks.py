"""How the hooks of a module are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import _core
from .._errors import error
from .._tree import flatten, unflatten

if TYPE_CHECKING:
    from .module import Module

__all__ = ["call_with_hooks"]


def call_with_hooks(module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Calls ``module.forward`` with the module's hooks around it."""
    hooks = module._hooks
    for hook in hooks:
        if hook.kind != "pre":
            continue
        if not hook.with_kwargs:
            changed = hook.function(module, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
            continue
        changed = hook.function(module, args, kwargs)
        if changed is None:
            continue
        if not isinstance(changed, tuple) or len(changed) != 2:
            raise error(
                _core.InvalidType,
                type(module).__name__,
                f"a forward pre-hook returned a {type(changed).__name__}; with with_kwargs=True it "
                "must return None or a tuple (args, kwargs)",
            )
        args, kwargs = changed
    backward = any(hook.kind in ("backward", "backward pre") for hook in hooks)
    watch = _BackwardHooks(module) if backward and _core.grad_enabled() else None
    called: list[Any] = []
    try:
        if watch:
            args = watch.enter(args)
        result = module.forward(*args, **kwargs)
        for hook in hooks:
            if hook.kind == "post":
                called.append(hook)
                result = _after(module, hook, args, kwargs, result)
        return watch.leave(result) if watch else result
    except Exception:
        for hook in hooks:
            if hook.kind == "post" and hook.always_call and hook not in called:
                _after(module, hook, args, kwargs, None)
        raise


def _after(module: Module, hook: Any, args: Any, kwargs: Any, result: Any) -> Any:
    given = (args, kwargs, result) if hook.with_kwargs else (args, result)
    changed = hook.function(module, *given)
    return result if changed is None else changed


class _BackwardHooks:
    """The backward hooks of one call. An entry of the tape around the arguments and one around the
    results see all their gradients at once."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.grad_output: tuple[Any, ...] = ()
        self.has_inputs = False
        self.n_inputs = 0

    def _wrap(self, tree: Any, rule: Any) -> tuple[Any, bool]:
        leaves = flatten(tree)
        places = [
            k for k, x in enumerate(leaves) if isinstance(x, _core.Tensor) and x.requires_grad
        ]
        if not places:
            return tree, False
        count = len(leaves)

        def backward(_: Any, *grads: Any) -> list[Any]:
            all_grads: list[Any] = [None] * count
            for k, g in zip(places, grads, strict=True):
                all_grads[k] = g
            changed = rule(tuple(all_grads))
            return [changed[k] for k in places]

        wrapped = _core.custom_function(
            [leaves[k] for k in places],
            [leaves[k] for k in places],
            backward,
            type(self.module).__name__,
            [],
            None,
            0,
        )
        for k, x in zip(places, wrapped, strict=True):
            leaves[k] = x
        return unflatten(tree, iter(leaves)), True

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.n_inputs = len(flatten(args))
        wrapped, self.has_inputs = self._wrap(args, self._at_inputs)
        return tuple(wrapped)

    def leave(self, result: Any) -> Any:
        return self._wrap(result, self._at_outputs)[0]

    def _run(self, kind: str, grads: tuple[Any, ...], *more: Any) -> tuple[Any, ...]:
        for hook in self.module._hooks:
            if hook.kind != kind:
                continue
            changed = hook.function(self.module, grads, *more)
            if changed is None:
                continue
            changed = changed if isinstance(changed, tuple) else (changed,)
            if len(changed) != len(grads):
                raise error(
                    _core.GradError,
                    type(self.module).__name__,
                    f"a backward hook returned {len(changed)} gradients where {len(grads)} are; "
                    "return one for each, or None to leave them",
                )
            grads = tuple(changed)
        return grads

    def _at_outputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        self.grad_output = self._run("backward pre", grads)
        if not self.has_inputs:
            self._run("backward", (None,) * self.n_inputs, self.grad_output)
        return self.grad_output

    def _at_inputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        output, self.grad_output = self.grad_output, ()
        return self._run("backward", grads, output)
