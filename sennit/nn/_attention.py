"""`multi_head_attention_forward` of `sennit.nn.functional`, and what the layer shares with it."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error

_f = _core.functions
_attention, _linear, _concat = _f["scaled_dot_product_attention"], _f["linear"], _f["concat"]
_zeros, _where, _softmax, _dropout = _f["zeros"], _f["where"], _f["softmax"], _f["dropout"]

__all__ = ["multi_head_attention_forward"]

_NAME = "MultiheadAttention"


def additive_mask(mask: Any, dtype: Any) -> Any:
    """PyTorch's layer masks (True: do not look) as numbers that are added to scores."""
    if mask is None or mask.dtype != _core.bool:
        return mask
    return _where(mask, _zeros((), dtype=dtype, device=mask.device) - float("inf"), 0.0)


def joined_mask(
    padding: Any, mask: Any, batch: int, heads: int, lengths: tuple[int, int, int], dtype: Any
) -> Any:
    """Both masks of the layer as one that broadcasts to (batch, heads, L, S + extra), or None.

    `lengths`: of queries, of keys, and how many keys were appended, which all may look at.
    """
    queries, keys, extra = lengths
    if mask is not None:
        if mask.ndim == 3 and mask.shape == (batch * heads, queries, keys):
            mask = mask.reshape(batch, heads, queries, keys)
        elif mask.ndim != 2 or mask.shape != (queries, keys):
            raise error(
                _core.ShapeError,
                _NAME,
                f"attn_mask has shape {mask.shape}; it must be (L, S) = ({queries}, {keys}) or "
                f"(batch * num_heads, L, S) = ({batch * heads}, {queries}, {keys})",
            )
    if padding is not None:
        if padding.shape not in ((batch, keys), (keys,)) or (padding.ndim == 1 and batch != 1):
            raise error(
                _core.ShapeError,
                _NAME,
                f"key_padding_mask has shape {padding.shape}; it must be (batch, S) = ({batch}, "
                f"{keys})",
            )
        padding = padding.reshape(batch, 1, 1, keys)
    masks = [m for m in (padding, mask) if m is not None]
    if not masks:
        return None
    if len(masks) == 2 and all(m.dtype == _core.bool for m in masks):
        masks = [masks[0] | masks[1]]
    if extra:
        masks = [
            _concat([m, _zeros((*m.shape[:-1], extra), dtype=m.dtype, device=m.device)], -1)
            for m in masks
        ]
    if len(masks) == 1 and masks[0].dtype == _core.bool:
        return ~masks[0]
    added = [additive_mask(m, dtype) for m in masks]
    return added[0] if len(added) == 1 else added[0] + added[1]


def with_extra_keys(k: Any, v: Any, bias_k: Any, bias_v: Any, zero: bool) -> tuple[Any, Any, int]:
    """k, v: (batch, S, features), with a learnt and a zero key appended; and how many those are."""
    extra = 0
    if bias_k is not None and bias_v is not None:
        k, v = (
            _concat([x, b.expand((x.shape[0], 1, x.shape[2]))], 1)
            for x, b in ((k, bias_k), (v, bias_v))
        )
        extra += 1
    if zero:
        k, v = (
            _concat([x, _zeros((x.shape[0], 1, x.shape[2]), dtype=x.dtype, device=x.device)], 1)
            for x in (k, v)
        )
        extra += 1
    return k, v, extra


def attend(
    q: Any, k: Any, v: Any, mask: Any, rate: float, causal: bool, need_weights: bool, average: bool
) -> tuple[Any, Any]:
    """q, k, v: (batch, heads, length, features); the result in that form, and the weights."""
    if not need_weights:
        return _attention(q, k, v, mask, rate, causal), None
    scores = (q * q.shape[-1] ** -0.5) @ k.permute_dims((0, 1, 3, 2))
    inf = float("inf")
    if causal:
        inside = _f["tril"](_f["ones"](scores.shape[-2:], dtype=_core.bool, device=scores.device))
        scores = _where(inside, scores, -inf)
    if mask is not None:
        scores = _where(mask, scores, -inf) if mask.dtype == _core.bool else scores + mask
    weights = _dropout(_softmax(scores, -1), rate)
    y = weights @ v
    return y, weights.mean(1) if average else weights


def multi_head_attention_forward(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Any, Any]:
    """What `sn.nn.MultiheadAttention` computes, with weights as arguments.

    Parameters
    ----------
    query, key, value : Tensor
        (L, N, E), (S, N, kdim) and (S, N, vdim); or without N.
    embed_dim_to_check, num_heads : int
        E, and heads that divide it.
    in_proj_weight : Tensor or None
        (3 * E, E); or None with `use_separate_proj_weight`.
    in_proj_bias : Tensor or None
        (3 * E,).
    bias_k, bias_v : Tensor or None
        (1, 1, E): a learnt key and value.
    add_zero_attn : bool
    dropout_p : float
        Of attention weights, when `training`.
    out_proj_weight, out_proj_bias : Tensor
        (E, E) and (E,), or None.
    key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
        As in `sn.nn.MultiheadAttention`.
    use_separate_proj_weight : bool
    q_proj_weight, k_proj_weight, v_proj_weight : Tensor or None
        (E, E), (E, kdim) and (E, vdim).
    static_k, static_v : Tensor or None
        (N * heads, S, E / heads): used instead of projected keys and values.

    Returns
    -------
    tuple
        The result, (L, N, E), and with `need_weights` the weights, (N, L, S) or (N, heads, L, S).

    Examples
    --------
    >>> x = sn.random.normal(shape=(5, 3, 8))
    >>> weights = sn.ones((24, 8)), None, None, None, False, 0.0, sn.eye(8), None
    >>> y, w = sn.nn.functional.multi_head_attention_forward(x, x, x, 8, 2, *weights)
    >>> y.shape, w.shape
    ((5, 3, 8), (3, 5, 5))
    """
    e = embed_dim_to_check
    if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
        raise error(
            _core.ShapeError,
            _NAME,
            f"query, key and value have shapes {query.shape}, {key.shape} and {value.shape}; all "
            "must have three dimensions, or two for one sequence",
        )
    if query.shape[-1] != e or num_heads < 1 or e % num_heads:
        raise error(
            _core.ShapeError,
            _NAME,
            f"query has shape {query.shape} and num_heads is {num_heads}; required are {e} "
            "features and heads that divide them",
        )
    single = query.ndim == 2
    query, key, value = (x[:, None] if single else x for x in (query, key, value))
    query, key, value = (x.permute_dims((1, 0, 2)) for x in (query, key, value))
    batch, length = query.shape[:2]
    if use_separate_proj_weight:
        weights = [q_proj_weight, k_proj_weight, v_proj_weight]
    else:
        weights = [in_proj_weight[i * e : (i + 1) * e] for i in range(3)]
    biases = [None if in_proj_bias is None else in_proj_bias[i * e : (i + 1) * e] for i in range(3)]
    q, k, v = (
        _linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)
    )
    keys = k.shape[1]
    k, v, extra = with_extra_keys(k, v, bias_k, bias_v, add_zero_attn)
    size = e // num_heads

    def heads(x: Any) -> Any:
        return x.reshape(batch, x.shape[1], num_heads, size).permute_dims((0, 2, 1, 3))

    q, k, v = heads(q), heads(k), heads(v)
    if static_k is not None:
        k = static_k.reshape(batch, num_heads, *static_k.shape[1:])
        keys = k.shape[2] - extra
    if static_v is not None:
        v = static_v.reshape(batch, num_heads, *static_v.shape[1:])
    mask = joined_mask(
        key_padding_mask, attn_mask, batch, num_heads, (length, keys, extra), q.dtype
    )
    rate = dropout_p if training else 0.0
    causal = is_causal and attn_mask is None
    y, shown = attend(q, k, v, mask, rate, causal, need_weights, average_attn_weights)
    y = y.permute_dims((0, 2, 1, 3)).reshape(batch, length, e)
    y = _linear(y, out_proj_weight, out_proj_bias)
    if single:
        return y[0], None if shown is None else shown[0]
    return y.permute_dims((1, 0, 2)), shown
