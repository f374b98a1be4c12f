"""Helpers: groups of parameters with and without decay, and state for files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from .. import _core
from .._errors import error
from ..nn.module import Module

__all__ = ["decay_groups", "flatten_state", "unflatten_state"]

_KEY = "optimizer"  # the metadata's key of everything that is no tensor


def decay_groups(
    model: Module,
    weight_decay: float,
    skip: Callable[[str, _core.Tensor], bool] | None = None,
    **more: Any,
) -> list[dict[str, Any]]:
    """The parameters of a model in two groups: with weight decay, and without.

    Parameters
    ----------
    model : Module
    weight_decay : float
        For the first group.
    skip : callable, optional
        From a parameter's path and the parameter: whether it gets no decay. By default, all with
        fewer than two dimensions: biases, and the scales of norms.
    **more
        Hyperparameters of both groups.

    Examples
    --------
    >>> model = sn.nn.Sequential(sn.nn.Linear(2, 3), sn.nn.LayerNorm(3))
    >>> groups = sn.optim.decay_groups(model, 0.1)
    >>> [(group["weight_decay"], len(group["params"])) for group in groups]
    [(0.1, 1), (0.0, 3)]
    >>> optimizer = sn.optim.AdamW(groups, lr=1e-3)
    """
    leave: list[_core.Tensor] = []
    decay: list[_core.Tensor] = []
    for name, p in model.named_parameters():
        if p.requires_grad:
            without = p.ndim < 2 if skip is None else skip(name, p)
            (leave if without else decay).append(p)
    groups = [(decay, weight_decay), (leave, 0.0)]
    return [{"params": ps, "weight_decay": value, **more} for ps, value in groups if ps]


def flatten_state(
    state_dict: Mapping[str, Any], prefix: str = ""
) -> tuple[dict[str, _core.Tensor], dict[str, str]]:
    """A state of an optimizer, a scheduler or an average as what `sennit.save` takes.

    Numbers go into the metadata as text that gives the same bits again.

    Parameters
    ----------
    state_dict : dict
        What ``state_dict()`` gave.
    prefix : str
        Put before each name, so that several states go into one file.

    Returns
    -------
    (dict of str to Tensor, dict of str to str)
        Tensors and metadata.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "optimizer.safetensors")
    >>> w = sn.ones(2, requires_grad=True)
    >>> optimizer = sn.optim.Adam([w], lr=0.1)
    >>> w.sum().backward()
    >>> optimizer.step()
    >>> tensors, metadata = sn.optim.flatten_state(optimizer.state_dict())
    >>> sn.save(tensors, path, metadata=metadata)
    >>> optimizer.load_state_dict(sn.optim.unflatten_state(*sn.load(path, with_metadata=True)))
    >>> sorted(tensors)
    ['state.0.exp_avg', 'state.0.exp_avg_sq', 'state.0.step']
    """
    tensors: dict[str, _core.Tensor] = {}

    def plain(value: Any, path: str) -> Any:
        if isinstance(value, _core.Tensor):
            tensors[path] = value
            return {"tensor": path}
        if isinstance(value, Mapping):
            return {"dict": {str(k): plain(v, f"{path}.{k}") for k, v in value.items()}}
        if isinstance(value, list | tuple):
            return [plain(v, f"{path}.{i}") for i, v in enumerate(value)]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise error(
            _core.InvalidType,
            "flatten_state",
            f"'{path}' is a {type(value).__name__}; a state has tensors, numbers, strings, lists "
            "and dicts",
        )

    made = {k: plain(v, f"{prefix}{k}") for k, v in state_dict.items()}
    return tensors, {prefix + _KEY: json.dumps(made)}


def unflatten_state(
    tensors: Mapping[str, _core.Tensor], metadata: Mapping[str, str], prefix: str = ""
) -> dict[str, Any]:
    """The state that `flatten_state` took apart.

    Parameters
    ----------
    tensors, metadata : dict
        What ``sennit.load(path, with_metadata=True)`` gives; more may be in them.
    prefix : str
        As for `flatten_state`.

    Examples
    --------
    >>> parts = sn.optim.flatten_state({"step": sn.tensor(3.0), "lr": 0.1})
    >>> sn.optim.unflatten_state(*parts)
    {'step': tensor(3.), 'lr': 0.1}
    """
    if prefix + _KEY not in metadata:
        raise error(
            _core.InvalidValue,
            "unflatten_state",
            f"the metadata has no '{prefix + _KEY}'; pass what flatten_state gave, and its prefix",
        )

    def whole(value: Any) -> Any:
        if isinstance(value, list):
            return [whole(v) for v in value]
        if isinstance(value, dict):
            if "tensor" not in value:
                return {k: whole(v) for k, v in value["dict"].items()}
            if value["tensor"] not in tensors:
                raise error(
                    _core.InvalidValue,
                    "unflatten_state",
                    f"there is no tensor '{value['tensor']}'; the file is not complete",
                )
            return tensors[value["tensor"]]
        return value

    return {k: whole(v) for k, v in json.loads(metadata[prefix + _KEY]).items()}
