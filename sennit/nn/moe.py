"""A mixture of experts: each token goes through few of many feed-forward networks."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .. import _core
from .._errors import error
from . import _activations as A
from . import init
from .linear import Linear, _positive
from .module import Module
from .parameter import Parameter

__all__ = ["MixtureOfExperts", "Routing", "load_balancing_loss", "router_z_loss", "top_k_routing"]

_f = _core.functions
_where, _arange = _f["where"], _f["arange"]
_PLAIN: dict[str, Any] = {"relu": A.relu, "gelu": A.gelu, "silu": A.silu}
_GATED: dict[str, Any] = {"swiglu": A.silu, "geglu": A.gelu, "reglu": A.relu}


class Routing(NamedTuple):
    """Where tokens go; made by `top_k_routing`.

    Attributes
    ----------
    experts : Tensor, (tokens, k)
        Numbers of experts, the best first.
    weights : Tensor, (tokens, k)
        What their results are multiplied by; zero where an expert was full.
    places : Tensor, (tokens, k)
        The token's place among those of its expert; `capacity` where it was full.
    probabilities : Tensor, (tokens, experts)
    capacity : int
        Places of each expert.

    Examples
    --------
    >>> sn.nn.top_k_routing(sn.tensor([[0.0, 1.0]]), 1).experts.tolist()
    [[1]]
    """

    experts: Any
    weights: Any
    places: Any
    probabilities: Any
    capacity: int


def top_k_routing(
    logits: Any, k: int, capacity: int | None = None, normalize: bool = True
) -> Routing:
    """Chooses k experts for each token (Shazeer et al., "Outrageously large neural networks",
    2017; Fedus et al., "Switch transformers", 2022).

    Parameters
    ----------
    logits : Tensor
        (tokens, experts).
    k : int
    capacity : int, optional
        Most tokens of an expert; first choices come before second ones, and earlier tokens before
        later ones. Without it all fit, and the number of tokens is waited for.
    normalize : bool
        Whether the weights of a token's experts add up to one.

    Examples
    --------
    >>> routing = sn.nn.top_k_routing(sn.tensor([[0.0, 1.0], [0.0, 2.0]]), 1, capacity=1)
    >>> routing.weights.tolist(), routing.places.tolist()
    ([[1.0], [0.0]], [[0], [1]])
    """
    op = "top_k_routing"
    if logits.ndim != 2:
        raise error(
            _core.ShapeError, op, f"logits have shape {logits.shape}; (tokens, experts) is required"
        )
    tokens, count = logits.shape
    if not 1 <= k <= count or (capacity is not None and capacity < 1):
        raise error(
            _core.InvalidValue,
            op,
            f"k is {k} and capacity {capacity} for {count} experts; k must be between 1 and "
            f"{count}, and the capacity 1 or more",
        )
    wide = logits if logits.dtype == _core.float64 else logits.astype(_core.float32)
    probabilities = _f["softmax"](wide, -1)
    weights, experts = _f["topk"](probabilities, k, -1)
    if normalize:
        weights = weights / weights.sum(-1, keepdims=True)
    # Choice by choice, then token by token: the order in which places are given.
    order = experts.T.reshape(-1)
    own = (order[:, None] == _arange(count, dtype=order.dtype, device=order.device)).astype(
        _core.int64
    )
    before = _f["cumsum"](own, 0) - own
    places = (before * own).sum(-1).reshape(k, tokens).T
    if capacity is None:
        capacity = max(int(own.sum(0).max().item()), 1) if tokens else 1
    kept = places < capacity
    return Routing(
        experts,
        _where(kept, weights, 0.0).astype(logits.dtype),
        _where(kept, places, capacity),
        probabilities,
        capacity,
    )


def load_balancing_loss(probabilities: Any, experts: Any) -> Any:
    """The number of experts times the sum over them of the part of choices that fell on each times
    its mean probability: 1 when all are used alike (Fedus et al. 2022).

    Parameters
    ----------
    probabilities : Tensor
        (tokens, experts).
    experts : Tensor
        (tokens, k): the choices.

    Examples
    --------
    >>> p = sn.full((4, 2), 0.5)
    >>> sn.nn.load_balancing_loss(p, sn.tensor([[0], [1], [0], [1]])).item()
    1.0
    """
    count = probabilities.shape[-1]
    chosen = (
        experts[..., None] == _arange(count, dtype=experts.dtype, device=experts.device)
    ).astype(probabilities.dtype)
    part = chosen.mean((0, 1))
    return (part * probabilities.mean(0)).sum() * count


def router_z_loss(logits: Any) -> Any:
    """The mean square of the logits' log-sum-exp, which keeps them small (Zoph et al., "ST-MoE",
    2022).

    Examples
    --------
    >>> sn.nn.router_z_loss(sn.zeros((3, 1))).item()
    0.0
    """
    return (_f["logsumexp"](logits, -1) ** 2).mean()


class MixtureOfExperts(Module):
    """Feed-forward networks of which each token uses the best `top_k` by a learnt router.

    Parameters
    ----------
    d_model, d_hidden : int
        Features of tokens, and inside of each expert.
    num_experts, top_k : int
    activation : str
        "relu", "gelu", "silu", or gated: "swiglu", "geglu", "reglu", with a third weight.
    capacity_factor : float, optional
        An expert takes at most ``ceil(capacity_factor * tokens * top_k / num_experts)`` tokens; the
        others pass it by with a result of zero. Shapes are then known before the tokens are.
        Without it no token is dropped, and the layer waits for the router.
    bias : bool
        Whether experts have biases.
    normalize : bool
        Whether the weights of a token's experts add up to one.
    jitter : float
        In training, the router's input is multiplied by uniform numbers from 1 ± jitter.
    dtype : dtype, optional

    Attributes
    ----------
    router : Linear, without bias
    w1 : Parameter, (num_experts, d_model, d_hidden)
    w2 : Parameter, (num_experts, d_hidden, d_model)
    w3 : Parameter, (num_experts, d_model, d_hidden), or None
        Of gated activations: ``activation(x @ w1) * (x @ w3)``.
    b1, b2 : Parameter, (num_experts, 1, d_hidden) and (num_experts, 1, d_model), or None
    aux_loss, z_loss : Tensor
        `load_balancing_loss` and `router_z_loss` of the last forward pass, to be added to the loss
        with small factors.

    Examples
    --------
    >>> layer = sn.nn.MixtureOfExperts(8, 16, num_experts=4, top_k=2)
    >>> y = layer(sn.random.normal(shape=(3, 5, 8)))
    >>> y.shape, layer.aux_loss.shape
    ((3, 5, 8), ())
    """

    w3: Parameter | None
    b1: Parameter | None
    b2: Parameter | None

    def __init__(
        self,
        d_model: int,
        d_hidden: int,
        num_experts: int,
        top_k: int = 2,
        activation: str = "gelu",
        capacity_factor: float | None = None,
        bias: bool = True,
        normalize: bool = True,
        jitter: float = 0.0,
        dtype: Any = None,
    ) -> None:
        name = "MixtureOfExperts"
        _positive(name, d_model=d_model, d_hidden=d_hidden, num_experts=num_experts, top_k=top_k)
        known = activation in _PLAIN or activation in _GATED
        factor = capacity_factor is None or capacity_factor > 0
        if top_k > num_experts or not known or not factor or not 0 <= jitter < 1:
            raise error(
                _core.InvalidValue,
                name,
                f"top_k is {top_k} of {num_experts} experts, activation {activation!r}, "
                f"capacity_factor {capacity_factor} and jitter {jitter}; required are no more than "
                f"there are, one of {(*_PLAIN, *_GATED)}, a positive number and one below 1",
            )
        self.d_model = d_model
        self.num_experts = num_experts
        self.top_k = top_k
        self.activation = activation
        self.capacity_factor = capacity_factor
        self.normalize = normalize
        self.jitter = jitter
        self.router = Linear(d_model, num_experts, bias=False, dtype=dtype)

        def parameter(there: bool, *shape: int) -> Parameter | None:
            return Parameter(_f["empty"](shape, dtype=dtype)) if there else None

        gated = activation in _GATED
        self.register_parameter("w1", parameter(True, num_experts, d_model, d_hidden))
        self.register_parameter("w2", parameter(True, num_experts, d_hidden, d_model))
        self.register_parameter("w3", parameter(gated, num_experts, d_model, d_hidden))
        self.register_parameter("b1", parameter(bias, num_experts, 1, d_hidden))
        self.register_parameter("b2", parameter(bias, num_experts, 1, d_model))
        self.aux_loss: Any = None
        self.z_loss: Any = None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the parameters anew: each expert as a pair of `Linear`."""
        self.router.reset_parameters()
        for weight, bias in ((self.w1, self.b1), (self.w3, None), (self.w2, self.b2)):
            if weight is None:
                continue
            bound = 1 / math.sqrt(weight.shape[1])
            init.uniform_(weight, -bound, bound)
            if bias is not None:
                init.uniform_(bias, -bound, bound)

    def __getstate__(self) -> dict[str, Any]:
        # Losses of the last pass have a history, which no copy can have.
        return {**self.__dict__, "aux_loss": None, "z_loss": None}

    def _experts(self, x: Any) -> Any:
        """x: (experts, places, d_model)."""
        h = x @ self.w1
        if self.b1 is not None:
            h = h + self.b1
        if self.w3 is not None:
            h = _GATED[self.activation](h) * (x @ self.w3)
        else:
            h = _PLAIN[self.activation](h)
        y = h @ self.w2
        return y if self.b2 is None else y + self.b2

    def forward(self, x: Any) -> Any:
        """x: (..., d_model)."""
        if x.ndim < 1 or x.shape[-1] != self.d_model:
            raise error(
                _core.ShapeError,
                "MixtureOfExperts",
                f"the input has shape {x.shape}; required is (..., {self.d_model})",
            )
        flat = x.reshape(-1, self.d_model)
        tokens, routed = flat.shape[0], flat
        if self.jitter and self.training:
            low, high = 1.0 - self.jitter, 1.0 + self.jitter
            routed = flat * _f["random.uniform"](low, high, flat.shape, flat.dtype, flat.device)
        logits = self.router(routed)
        capacity = None
        if self.capacity_factor is not None:
            share = self.capacity_factor * tokens * self.top_k / self.num_experts
            capacity = max(1, math.ceil(share))
        routing = top_k_routing(logits, self.top_k, capacity, self.normalize)
        self.aux_loss = load_balancing_loss(routing.probabilities, routing.experts)
        self.z_loss = router_z_loss(logits)
        # Tokens are laid out by expert and place; those without a place go to a row of their own.
        size, places = self.num_experts * routing.capacity, routing.places
        row = _where(places < routing.capacity, routing.experts * routing.capacity + places, size)
        row = row.reshape(-1)
        token = (
            _arange(tokens, device=flat.device)[:, None].expand((tokens, self.top_k)).reshape(-1)
        )
        held = _f["zeros"]((size + 1, self.d_model), dtype=flat.dtype, device=flat.device)
        held = _f["index_add"](held, 0, row, _f["take"](flat, token, 0))
        held = held[:size].reshape(self.num_experts, routing.capacity, self.d_model)
        y = self._experts(held).reshape(size, self.d_model)
        weights = _where(places < routing.capacity, routing.weights, 0.0)
        chosen = _f["take"](y, _f["minimum"](row, size - 1), 0)
        chosen = chosen.reshape(tokens, self.top_k, self.d_model)
        return (chosen * weights[..., None]).sum(1).reshape(x.shape)

    def extra_repr(self) -> str:
        return f"{self.d_model}, num_experts={self.num_experts}, top_k={self.top_k}"
