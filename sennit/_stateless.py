"""Modules as functions of their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import _core
from ._core import Tensor
from ._errors import error

__all__ = ["functional_call", "stack_module_state"]


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Calls a module with other tensors in place of its parameters and buffers.

    Parameters
    ----------
    module : sn.nn.Module
        It keeps its own tensors.
    parameter_and_buffer_dicts : dict of str to Tensor, or sequence of such
        Tensors by path, as `Module.named_parameters` and `Module.named_buffers` name them; what is
        left out stays the module's own.
    args : Tensor, tuple or other, optional
        The positional arguments: a tuple of them, or a single one.
    kwargs : dict, optional
        The named arguments.
    tie_weights : bool
        Whether a tensor given for one path also stands at the other paths of the same (shared)
        parameter.
    strict : bool
        Whether all parameters and buffers must be given.

    Returns
    -------
    What the module returns.

    Raises
    ------
    InvalidValue
        When a name is not that of a parameter or buffer; with `strict`, when one is missing.

    Examples
    --------
    >>> layer = sn.nn.Linear(2, 1)
    >>> zeros = {name: sn.zeros_like(p) for name, p in layer.named_parameters()}
    >>> sn.functional_call(layer, zeros, sn.ones((3, 2))).tolist()
    [[0.0], [0.0], [0.0]]

    The gradient of a loss in all parameters:

    >>> params = dict(layer.named_parameters())
    >>> loss = lambda params, x: sn.functional_call(layer, params, (x,)).sum()
    >>> sn.grad(loss)(params, sn.ones((3, 2)))["bias"].tolist()
    [3.0]
    """
    dicts = parameter_and_buffer_dicts
    given: dict[str, Any] = {}
    for d in [dicts] if isinstance(dicts, Mapping) else dicts:
        twice = given.keys() & d.keys()
        if twice:
            raise error(
                _core.InvalidValue,
                "functional_call",
                f"{', '.join(sorted(twice))} is given in two dicts; each name must be given once",
            )
        given.update(d)
    places: dict[str, tuple[Any, str]] = {}
    shared: dict[int, list[str]] = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        for name, value in owner._own("parameter", "buffer", "transient buffer"):
            full = f"{path}.{name}" if path else name
            places[full] = (owner, name)
            shared.setdefault(id(value), []).append(full)
    unknown = [name for name in given if name not in places]
    missing = [name for name in places if name not in given] if strict else []
    if unknown or missing:
        text = f"unknown: {', '.join(unknown)}" if unknown else f"missing: {', '.join(missing)}"
        raise error(
            _core.InvalidValue,
            "functional_call",
            f"the tensors do not fit {type(module).__name__}: {text}; its parameters and buffers "
            f"are {', '.join(places) or 'none'}",
        )
    if tie_weights:
        for names in shared.values():
            values = {id(given[n]): given[n] for n in names if n in given}
            if len(values) > 1:
                raise error(
                    _core.InvalidValue,
                    "functional_call",
                    f"{', '.join(names)} are one tensor of the module, and different tensors are "
                    "given for them; give one, or pass tie_weights=False",
                )
            for value in values.values():
                given.update(dict.fromkeys(names, value))
    positional = () if args is None else args if isinstance(args, tuple) else (args,)
    before = [(places[n][0].__dict__, places[n][1]) for n in given]
    kept = [d[name] for d, name in before]
    try:
        for (d, name), value in zip(before, given.values(), strict=True):
            d[name] = value
        return module(*positional, **(kwargs or {}))
    finally:
        for (d, name), value in zip(before, kept, strict=True):
            d[name] = value


def stack_module_state(models: Sequence[Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters and buffers of equally built modules, stacked for `sn.vmap` over an ensemble.

    Parameters
    ----------
    models : sequence of sn.nn.Module
        Of one class and one mode (all training, or none).

    Returns
    -------
    tuple of two dicts
        Parameters (leaves that require gradients where the first module's do) and buffers, by
        path, with the models in dimension 0.

    Examples
    --------
    >>> models = [sn.nn.Linear(2, 1) for _ in range(3)]
    >>> params, buffers = sn.stack_module_state(models)
    >>> call = lambda p, x: sn.functional_call(models[0], p, (x,))
    >>> sn.vmap(call, in_dims=(0, None))(params, sn.ones((4, 2))).shape
    (3, 4, 1)
    """
    models = list(models)
    kinds = {(type(m), m.training) for m in models}
    if len(kinds) != 1:
        raise error(
            _core.InvalidValue,
            "stack_module_state",
            f"the {len(models)} models have {len(kinds)} different classes or modes; at least one "
            "model is required, and all must be of one class, and all or none in training mode",
        )
    stack = _core.functions["stack"]

    def stacked(named: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        found = {}
        for name, first in named[0].items():
            made = stack([tensors[name].detach() for tensors in named], 0)
            found[name] = made.requires_grad_(True) if first.requires_grad else made
        return found

    return (
        stacked([dict(m.named_parameters()) for m in models]),
        stacked([dict(m.named_buffers()) for m in models]),
    )
