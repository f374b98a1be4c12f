"""Low-rank adaptation (Hu et al., "LoRA", 2021): small updates of frozen weights."""

from __future__ import annotations

import copy
import fnmatch
import math
from collections.abc import Iterable
from typing import Any

from .. import _core
from .._errors import error
from . import init
from .conv import Conv2d
from .linear import Embedding, Linear
from .module import Module
from .parameter import Parameter

__all__ = [
    "LoRAConv2d",
    "LoRAEmbedding",
    "LoRALinear",
    "add_lora",
    "lora_state_dict",
    "mark_only_lora_as_trainable",
    "merge_lora",
    "unmerge_lora",
]

_f = _core.functions
_OF_MODULES = ("_name", "_hooked", "_roles", "_pre_hooks", "_post_hooks")


class _LoRA:
    """What the three layers share. They are layers of the same kind, so that the names of weights
    stay, with `lora_A` and `lora_B` added."""

    r: int
    lora_alpha: float
    lora_dropout: float
    scaling: float
    weight: Any
    lora_A: Any  # noqa: N815 - the name that it has in files
    lora_B: Any  # noqa: N815

    def _adopt(
        self, base: Any, r: int, lora_alpha: float, lora_dropout: float, a: Any, b: Any
    ) -> None:
        name = type(self).__name__
        if not isinstance(r, int) or r < 1 or not 0 <= lora_dropout < 1:
            raise error(
                _core.InvalidValue,
                name,
                f"r is {r!r} and lora_dropout {lora_dropout}; an int of 1 or more and a "
                "probability below 1 are required",
            )
        values = base.__dict__
        own: Any = self
        for key, value in values.items():
            if key not in _OF_MODULES and key not in base._roles:
                own.__dict__[key] = value
        for key in base._roles:
            value = values[key]
            if isinstance(value, Parameter):
                value.requires_grad = False
            own.register_parameter(key, value)
        self.r = r
        self.lora_alpha = lora_alpha
        self.lora_dropout = lora_dropout
        self.scaling = lora_alpha / r
        like = {"dtype": base.weight.dtype, "device": base.weight.device}
        own.lora_A = Parameter(_f["empty"](a, **like))
        own.lora_B = Parameter(_f["empty"](b, **like))
        own.__dict__["_unmerged"] = None
        self.reset_lora()

    @property
    def merged(self) -> bool:
        """Whether the update is part of `weight` now."""
        return self.__dict__["_unmerged"] is not None

    def reset_lora(self) -> None:
        """Draws `lora_A` anew and makes `lora_B` zero: the layer computes what it did before."""
        init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        init.zeros_(self.lora_B)

    def delta(self) -> Any:
        """The update of the weight, of its shape."""
        return (self.lora_B @ self.lora_A).reshape(self.weight.shape) * self.scaling

    def merge(self) -> None:
        """Adds the update to the weight, so that the layer costs what it did without; twice does
        nothing. A state that is saved now holds the sum, and `lora_A` and `lora_B` too."""
        if not self.merged:
            before = self.weight.detach()
            self.__dict__["_unmerged"] = before
            self.weight.assign_(before + self.delta().detach())

    def unmerge(self) -> None:
        """Puts back the weight as it was, to the bit."""
        if self.merged:
            self.weight.assign_(self.__dict__["_unmerged"])
            self.__dict__["_unmerged"] = None

    def _dropped(self, x: Any) -> Any:
        training = self.__dict__["training"]
        return _f["dropout"](x, self.lora_dropout, training) if self.lora_dropout else x

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, r={self.r}, lora_alpha={self.lora_alpha}"  # type: ignore[misc]


class LoRALinear(_LoRA, Linear):
    """A `Linear` whose weight is frozen, with a learnt update of rank r beside it: ``x @ weight.T +
    bias + scaling * (dropout(x) @ lora_A.T) @ lora_B.T``.

    Parameters
    ----------
    base : Linear
        Its parameters are taken over, and frozen.
    r : int
        Rank of the update.
    lora_alpha : float
        ``scaling`` is ``lora_alpha / r``.
    lora_dropout : float
        Of the input of the update, in training.

    Attributes
    ----------
    lora_A : Parameter, (r, in_features)
    lora_B : Parameter, (out_features, r)
        Starts as zeros.

    Examples
    --------
    >>> base = sn.nn.Linear(8, 4)
    >>> layer = sn.nn.LoRALinear(base, r=2)
    >>> [name for name, p in layer.named_parameters() if p.requires_grad]
    ['lora_A', 'lora_B']
    """

    def __init__(
        self, base: Linear, r: int = 8, lora_alpha: float = 16.0, lora_dropout: float = 0.0
    ) -> None:
        shapes = (r, base.in_features), (base.out_features, r)
        self._adopt(base, r, lora_alpha, lora_dropout, *shapes)

    def forward(self, x: Any) -> Any:
        y = Linear.forward(self, x)
        if self.merged:
            return y
        low = _f["linear"](self._dropped(x), self.lora_A)
        return y + _f["linear"](low, self.lora_B) * self.scaling


class LoRAEmbedding(_LoRA, Embedding):
    """An `Embedding` whose table is frozen, with a learnt update of rank r.

    Parameters
    ----------
    base : Embedding
    r : int
    lora_alpha : float
    lora_dropout : float
        Must be 0: there is no input to drop.

    Attributes
    ----------
    lora_A : Parameter, (r, num_embeddings)
        Starts as zeros.
    lora_B : Parameter, (embedding_dim, r)
        Starts normally distributed.

    Examples
    --------
    >>> layer = sn.nn.LoRAEmbedding(sn.nn.Embedding(10, 4), r=2)
    >>> layer(sn.tensor([1, 2])).shape
    (2, 4)
    """

    def __init__(
        self, base: Embedding, r: int = 8, lora_alpha: float = 16.0, lora_dropout: float = 0.0
    ) -> None:
        if lora_dropout:
            raise error(
                _core.InvalidValue,
                "LoRAEmbedding",
                f"lora_dropout is {lora_dropout}; an embedding has no input to drop, so it must "
                "be 0",
            )
        shapes = (r, base.num_embeddings), (base.embedding_dim, r)
        self._adopt(base, r, lora_alpha, lora_dropout, *shapes)

    def reset_lora(self) -> None:
        """Draws `lora_B` anew and makes `lora_A` zero."""
        init.zeros_(self.lora_A)
        init.normal_(self.lora_B)

    def delta(self) -> Any:
        """The update of the table, of its shape."""
        update = (self.lora_B @ self.lora_A).T * self.scaling
        if self.padding_idx is None:
            return update
        row = _f["arange"](self.num_embeddings, device=update.device)[:, None]
        return _f["where"](row == self.padding_idx, 0.0, update)

    def forward(self, x: Any) -> Any:
        y = Embedding.forward(self, x)
        if self.merged:
            return y
        low = _f["embedding"](x, self.lora_A.T, self.padding_idx)
        if self.padding_idx is not None:
            low = _f["where"]((x == self.padding_idx)[..., None], 0.0, low)
        return y + (low @ self.lora_B.T) * self.scaling


class LoRAConv2d(_LoRA, Conv2d):
    """A `Conv2d` whose weight is frozen, with a learnt update of rank r: a convolution to r
    channels and a 1 x 1 convolution from there.

    Parameters
    ----------
    base : Conv2d
        With ``groups=1``.
    r : int
    lora_alpha : float
    lora_dropout : float

    Attributes
    ----------
    lora_A : Parameter, (r, in_channels * kernel positions)
    lora_B : Parameter, (out_channels, r)
        Starts as zeros.

    Examples
    --------
    >>> layer = sn.nn.LoRAConv2d(sn.nn.Conv2d(3, 8, 3, padding=1), r=2)
    >>> layer(sn.ones((1, 3, 5, 5))).shape
    (1, 8, 5, 5)
    """

    def __init__(
        self, base: Conv2d, r: int = 8, lora_alpha: float = 16.0, lora_dropout: float = 0.0
    ) -> None:
        if base.groups != 1:
            raise error(
                _core.InvalidValue,
                "LoRAConv2d",
                f"the convolution has {base.groups} groups; 1 is required",
            )
        size = math.prod(base.weight.shape[1:])
        self._adopt(base, r, lora_alpha, lora_dropout, (r, size), (base.out_channels, r))
        low = copy.copy(base)
        low.__dict__["bias"] = None
        self.__dict__["_low"] = low  # no submodule: it has no parameters of its own

    def forward(self, x: Any) -> Any:
        y = Conv2d.forward(self, x)
        if self.merged:
            return y
        # The same convolution with another weight: padding and its mode are the layer's.
        low = self.__dict__["_low"]
        low.__dict__["weight"] = self.lora_A.reshape(self.r, *self.weight.shape[1:])
        narrow = low.forward(self._dropped(x))
        low.__dict__["weight"] = None
        up = self.lora_B.reshape(*self.lora_B.shape, 1, 1)
        return y + _f["conv2d"](narrow, up) * self.scaling


_KINDS: dict[type, Any] = {Linear: LoRALinear, Embedding: LoRAEmbedding, Conv2d: LoRAConv2d}


def add_lora(
    model: Module,
    r: int = 8,
    lora_alpha: float = 16.0,
    lora_dropout: float = 0.0,
    targets: Iterable[str] | None = None,
) -> list[str]:
    """Replaces layers of a model by their LoRA forms, freezes all else, and names what it replaced.

    Parameters
    ----------
    model : Module
        `Linear`, `Embedding` and `Conv2d` without groups below it are replaced.
    r, lora_alpha, lora_dropout
        As in `LoRALinear`; an embedding takes no dropout.
    targets : iterable of str, optional
        Paths with ``*`` and ``?``, or last names such as ``"q_proj"``; all layers by default.

    Examples
    --------
    >>> model = sn.nn.Sequential(sn.nn.Linear(4, 8), sn.nn.ReLU(), sn.nn.Linear(8, 2))
    >>> sn.nn.add_lora(model, r=2, targets=["0"])
    ['0']
    >>> [name for name, p in model.named_parameters() if p.requires_grad]
    ['0.lora_A', '0.lora_B']
    """
    wanted = None if targets is None else list(targets)
    changed = []
    for path, module in list(model.named_modules()):
        made = _KINDS.get(type(module))
        if made is None or not path or (made is LoRAConv2d and module.groups != 1):
            continue
        last = path.rpartition(".")[2]
        if wanted is not None and not any(
            last == w or fnmatch.fnmatchcase(path, w) for w in wanted
        ):
            continue
        parent, _, name = path.rpartition(".")
        rate = 0.0 if made is LoRAEmbedding else lora_dropout
        new = made(module, r, lora_alpha, rate)
        new.train(module.training)
        setattr(model.get_submodule(parent), name, new)
        changed.append(path)
    if not changed:
        raise error(
            _core.InvalidValue,
            "add_lora",
            f"targets {wanted} name no Linear, Embedding or Conv2d of the model; its layers are "
            + ", ".join(p for p, m in model.named_modules() if type(m) in _KINDS and p),
        )
    mark_only_lora_as_trainable(model)
    return changed


def mark_only_lora_as_trainable(model: Module, bias: str = "none") -> None:
    """Freezes all parameters but those of LoRA.

    Parameters
    ----------
    bias : str
        Which biases are trained too: "none", "all", or "lora_only", those of LoRA layers.

    Examples
    --------
    >>> layer = sn.nn.LoRALinear(sn.nn.Linear(4, 2), r=1)
    >>> sn.nn.mark_only_lora_as_trainable(layer, bias="lora_only")
    >>> [name for name, p in layer.named_parameters() if p.requires_grad]
    ['bias', 'lora_A', 'lora_B']
    """
    if bias not in ("none", "all", "lora_only"):
        raise error(
            _core.InvalidValue,
            "mark_only_lora_as_trainable",
            f"bias is {bias!r}; it must be 'none', 'all' or 'lora_only'",
        )
    for name, parameter in model.named_parameters():
        last = name.rpartition(".")[2]
        parameter.requires_grad = last in ("lora_A", "lora_B") or (bias == "all" and "bias" in last)
    if bias == "lora_only":
        for module in model.modules():
            own = getattr(module, "bias", None) if isinstance(module, _LoRA) else None
            if own is not None:
                own.requires_grad = True


def lora_state_dict(model: Module) -> dict[str, Any]:
    """The part of the state that LoRA trains; `load_state_dict` takes it with ``strict=False``.

    Examples
    --------
    >>> list(sn.nn.lora_state_dict(sn.nn.LoRALinear(sn.nn.Linear(4, 2), r=1)))
    ['lora_A', 'lora_B']
    """
    return {
        k: v for k, v in model.state_dict().items() if k.rpartition(".")[2] in ("lora_A", "lora_B")
    }


def merge_lora(model: Module) -> None:
    """Calls `merge` on all LoRA layers of a model.

    Examples
    --------
    >>> layer = sn.nn.LoRALinear(sn.nn.Linear(4, 2), r=1)
    >>> sn.nn.merge_lora(layer)
    >>> layer.merged
    True
    """
    for module in model.modules():
        if isinstance(module, _LoRA):
            module.merge()


def unmerge_lora(model: Module) -> None:
    """Calls `unmerge` on all LoRA layers of a model.

    Examples
    --------
    >>> layer = sn.nn.LoRALinear(sn.nn.Linear(4, 2), r=1)
    >>> sn.nn.merge_lora(layer)
    >>> sn.nn.unmerge_lora(layer)
    >>> layer.merged
    False
    """
    for module in model.modules():
        if isinstance(module, _LoRA):
            module.unmerge()
