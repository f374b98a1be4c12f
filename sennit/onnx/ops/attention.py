"""Attention. What `sn.scaled_dot_product_attention` computes runs as that; the rest as the function
by which the standard defines the operator.
"""

from __future__ import annotations

from typing import Any

import sennit as sn

from .._interpret import Call
from .._registry import op


def _heads(x: Any, count: int) -> Any:
    """(batch, length, heads · size) as (batch, heads, length, size)."""
    batch, length, width = x.shape
    return sn.permute_dims(x.reshape((batch, length, count, width // count)), (0, 2, 1, 3))


@op("Attention")
def _attention(
    c: Call,
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    past_key: Any = None,
    past_value: Any = None,
    lengths: Any = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int = 0,
    q_num_heads: int = 0,
    qk_matmul_output_mode: int = 0,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
    **further: Any,
) -> Any:
    flat = q.ndim == 3
    plain = (
        not further
        and softcap == 0
        and past_key is None
        and lengths is None
        and not c.wants(3)
        and not (is_causal and mask is not None)
        and softmax_precision in (None, 1)
        and q.dtype in (sn.float32, sn.float16)
        and (not flat or (q_num_heads and kv_num_heads))
        and (mask is None or mask.shape[-1] == k.shape[-2 if not flat else 1])
        and (mask is None or mask.dtype != sn.bool)
    )
    if not plain:
        return c.standard(q, k, v, mask, past_key, past_value, lengths)
    if flat:
        q, k, v = _heads(q, q_num_heads), _heads(k, kv_num_heads), _heads(v, kv_num_heads)
    shared = q.shape[1] != k.shape[1]
    y = sn.scaled_dot_product_attention(q, k, v, mask, 0.0, bool(is_causal), scale, shared)
    if flat:
        y = sn.permute_dims(y, (0, 2, 1, 3)).reshape((y.shape[0], y.shape[2], -1))
    return (y, k, v)[: max(len(c.outputs), 1)]
