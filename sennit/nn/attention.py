"""Attention with learnt projections."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error
from . import init
from ._attention import attend, joined_mask, with_extra_keys
from .kv_cache import KVCache, cached_mask
from .linear import Linear
from .module import Module
from .parameter import Parameter

__all__ = ["MultiheadAttention"]

_f = _core.functions
_linear, _empty = _f["linear"], _f["empty"]


class MultiheadAttention(Module):
    """Attention over several heads (Vaswani et al. 2017), with the masks of ``torch.nn``.

    Parameters
    ----------
    embed_dim : int
        Features of the query and of the result; `num_heads` divides it.
    num_heads : int
    dropout : float
        Of attention weights, in training.
    bias : bool
        Whether the projections have biases.
    add_bias_kv : bool
        Whether a learnt key and value are appended to every sequence.
    add_zero_attn : bool
        Whether a key and value of zeros are appended.
    kdim, vdim : int, optional
        Features of keys and values; `embed_dim` by default.
    batch_first : bool
        Sequences are (batch, length, features); without it (length, batch, features).

    Attributes
    ----------
    in_proj_weight : Parameter, (3 * embed_dim, embed_dim), or None
    q_proj_weight, k_proj_weight, v_proj_weight : Parameter or None
        In its place when `kdim` or `vdim` differ.
    in_proj_bias : Parameter, (3 * embed_dim,), or None
    out_proj : Linear
    bias_k, bias_v : Parameter, (1, 1, embed_dim), or None

    Examples
    --------
    >>> layer = sn.nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = sn.random.normal(shape=(3, 5, 8))
    >>> y, weights = layer(x, x, x)
    >>> y.shape, weights.shape
    ((3, 5, 8), (3, 5, 5))
    """

    in_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        dtype: Any = None,
    ) -> None:
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise error(
                _core.InvalidValue,
                "MultiheadAttention",
                f"embed_dim is {embed_dim} and num_heads {num_heads}; both must be 1 or more, and "
                "the heads must divide the features",
            )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.add_zero_attn = add_zero_attn
        one = self.kdim == embed_dim and self.vdim == embed_dim
        self._qkv_same_embed_dim = one

        def parameter(there: bool, *shape: int) -> Parameter | None:
            return Parameter(_empty(shape, dtype=dtype)) if there else None

        for name, size in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
            self.register_parameter(f"{name}_proj_weight", parameter(not one, embed_dim, size))
        self.register_parameter("in_proj_weight", parameter(one, 3 * embed_dim, embed_dim))
        self.register_parameter("in_proj_bias", parameter(bias, 3 * embed_dim))
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, dtype=dtype)
        self.register_parameter("bias_k", parameter(add_bias_kv, 1, 1, embed_dim))
        self.register_parameter("bias_v", parameter(add_bias_kv, 1, 1, embed_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the projections anew."""
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            weight = getattr(self, name)
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            assert self.out_proj.bias is not None
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def _project(self, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        e, weight, bias = self.embed_dim, self.in_proj_weight, self.in_proj_bias
        if weight is not None and query is key and key is value:
            joined = _linear(query, weight, bias)
            return joined[..., :e], joined[..., e : 2 * e], joined[..., 2 * e :]
        if weight is not None:
            weights = [weight[i * e : (i + 1) * e] for i in range(3)]
        else:
            weights = [getattr(self, f"{name}_proj_weight") for name in "qkv"]
        biases = [None if bias is None else bias[i * e : (i + 1) * e] for i in range(3)]
        q, k, v = (
            _linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)
        )
        return q, k, v

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
        cache: KVCache | None = None,
    ) -> tuple[Any, Any]:
        """Attends; gives the result and, with `need_weights`, the weights.

        Parameters
        ----------
        query, key, value : Tensor
            (L, N, E), or (N, L, E) with `batch_first`, or (L, E) for one sequence.
        key_padding_mask : Tensor, optional
            (N, S): True where a key is padding, or numbers to add.
        need_weights : bool
            False is faster: the weights are then never held.
        attn_mask : Tensor, optional
            (L, S) or (N * heads, L, S): True where a query must not look, or numbers to add.
        average_attn_weights : bool
            One matrix of weights for all heads, not one for each.
        is_causal : bool
            Query i looks at keys 0 to i only; `attn_mask`, which PyTorch wants as well, may be left
            out.
        cache : KVCache, optional
            Keys and values are added to those of earlier steps, and attention goes over all of
            them. With `is_causal` a query looks at all before it; a mask has columns for all.
        """
        if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
            raise error(
                _core.ShapeError,
                "MultiheadAttention",
                f"query, key and value have shapes {query.shape}, {key.shape} and {value.shape}; "
                "all must have three dimensions, or two for one sequence",
            )
        single = query.ndim == 2
        same, shared = query is key, key is value

        def batched(x: Any) -> Any:
            if single:
                return x[None]
            return x if self.batch_first else x.permute_dims((1, 0, 2))

        query = batched(query)
        key = query if same else batched(key)
        value = key if shared else batched(value)
        batch, length = query.shape[:2]
        q, k, v = self._project(query, key, value)
        k, v, extra = with_extra_keys(k, v, self.bias_k, self.bias_v, self.add_zero_attn)
        if cache is not None and extra:
            raise error(
                _core.InvalidValue,
                "MultiheadAttention",
                "a cache is given to a layer with add_bias_kv or add_zero_attn, whose extra keys "
                "stand behind all others; make the layer without them",
            )

        def heads(x: Any) -> Any:
            x = x.reshape(batch, x.shape[1], self.num_heads, self.head_dim)
            return x.permute_dims((0, 2, 1, 3))

        q, k, v = heads(q), heads(k), heads(v)
        causal = is_causal and attn_mask is None
        if cache is not None:
            begin = cache.length
            k, v = cache.update(k, v)
            if causal and begin:
                causal = False
                seen = cached_mask(length, begin + length, q.device)
                attn_mask = None if seen is None else ~seen
        lengths = (length, k.shape[2] - extra, extra)
        mask = joined_mask(key_padding_mask, attn_mask, batch, self.num_heads, lengths, q.dtype)
        rate = self.dropout if self.training else 0.0
        y, weights = attend(q, k, v, mask, rate, causal, need_weights, average_attn_weights)
        y = y.permute_dims((0, 2, 1, 3)).reshape(batch, length, self.embed_dim)
        y = self.out_proj(y)
        if single:
            return y[0], None if weights is None else weights[0]
        return (y if self.batch_first else y.permute_dims((1, 0, 2))), weights

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}, batch_first={self.batch_first}"
