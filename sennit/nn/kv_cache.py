"""Attention one step at a time: a cache of keys and values, and a layer that uses it."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error
from .linear import Linear
from .module import Module
from .positions import RotaryEmbedding

__all__ = ["CausalSelfAttention", "KVCache"]

_f = _core.functions
_attention, _zeros = _f["scaled_dot_product_attention"], _f["zeros"]


class KVCache:
    """Keys and values of the steps so far, for decoding one step at a time.

    Memory is taken for all steps at once when the first ones come; a step writes its own place.

    Parameters
    ----------
    max_len : int
        Most steps that it holds.

    Attributes
    ----------
    length : int
        Steps that it holds now: the position of the next one.

    Raises
    ------
    ShapeError
        By `update`, when keys or values do not fit those before or there are too many.

    Examples
    --------
    >>> cache = sn.nn.KVCache(16)
    >>> for step in range(3):
    ...     k = v = sn.ones((2, 4, 1, 8))
    ...     keys, values = cache.update(k, v)
    >>> keys.shape, cache.length
    ((2, 4, 3, 8), 3)
    """

    def __init__(self, max_len: int) -> None:
        if not isinstance(max_len, int) or max_len < 1:
            raise error(
                _core.InvalidValue,
                "KVCache",
                f"max_len is {max_len!r}; it must be an int of 1 or more",
            )
        self.max_len = max_len
        self.reset()

    def reset(self) -> None:
        """Forgets all steps, and gives the memory back.

        Examples
        --------
        >>> cache = sn.nn.KVCache(4)
        >>> cache.reset()
        >>> cache.length
        0
        """
        self.length = 0
        self._keys: Any = None
        self._values: Any = None

    def update(self, key: Any, value: Any) -> tuple[Any, Any]:
        """Adds steps, (batch, heads, steps, features) each; gives all keys and values so far.

        Examples
        --------
        >>> k, v = sn.nn.KVCache(4).update(sn.ones((1, 1, 2, 3)), sn.ones((1, 1, 2, 5)))
        >>> k.shape, v.shape
        ((1, 1, 2, 3), (1, 1, 2, 5))
        """
        steps = key.shape[-2] if key.ndim == 4 else -1
        end = self.length + steps
        ok = key.ndim == value.ndim == 4 and key.shape[:3] == value.shape[:3]
        if ok and self._keys is not None:
            for new, old in ((key, self._keys), (value, self._values)):
                ok = ok and (*new.shape[:2], new.shape[3]) == (*old.shape[:2], old.shape[3])
        if not ok or end > self.max_len:
            held = "nothing" if self._keys is None else f"{self.length} steps of "
            if self._keys is not None:
                held += f"{(*self._keys.shape[:2], self._keys.shape[3])}"
            raise error(
                _core.ShapeError,
                "KVCache",
                f"keys of shape {key.shape} and values of shape {value.shape} come to a cache of "
                f"{self.max_len} steps that holds {held}; (batch, heads, steps, features) with "
                "the same batch, heads and features, and no more steps than fit, are required; "
                "call reset() between sequences, or take a larger max_len",
            )
        if self._keys is None:
            self._keys, self._values = (
                _zeros((*x.shape[:2], self.max_len, x.shape[3]), dtype=x.dtype, device=x.device)
                for x in (key, value)
            )
        begin, self.length = self.length, end
        self._keys[:, :, begin:end] = key
        self._values[:, :, begin:end] = value
        return self._keys[:, :, :end], self._values[:, :, :end]

    def crop(self, length: int) -> None:
        """Forgets the steps from `length` on.

        Examples
        --------
        >>> cache = sn.nn.KVCache(4)
        >>> _ = cache.update(sn.ones((1, 1, 3, 2)), sn.ones((1, 1, 3, 2)))
        >>> cache.crop(1)
        >>> cache.length
        1
        """
        if not 0 <= length <= self.length:
            raise error(
                _core.InvalidValue,
                "KVCache",
                f"length is {length}; the cache holds {self.length} steps, and cannot grow so",
            )
        self.length = length

    def reorder(self, indices: Any) -> None:
        """Takes rows of the batch by number, as beam search needs it.

        Examples
        --------
        >>> cache = sn.nn.KVCache(4)
        >>> _ = cache.update(sn.arange(2.0).reshape(2, 1, 1, 1), sn.ones((2, 1, 1, 1)))
        >>> cache.reorder(sn.tensor([1, 1]))
        >>> cache.keys.flatten().tolist()
        [1.0, 1.0]
        """
        if self._keys is not None:
            self._keys = _f["take"](self._keys, indices, 0)
            self._values = _f["take"](self._values, indices, 0)

    @property
    def keys(self) -> Any:
        """All keys so far, (batch, heads, length, features); None before the first step."""
        return None if self._keys is None else self._keys[:, :, : self.length]

    @property
    def values(self) -> Any:
        """All values so far; None before the first step."""
        return None if self._values is None else self._values[:, :, : self.length]


def cached_mask(queries: int, keys: int, device: Any, window: int | None = None) -> Any:
    """Which keys the last `queries` of `keys` steps may look at: (queries, keys), or None: all.

    One query without a window needs no mask, and the first steps none but ``is_causal``.
    """
    if queries == 1 and (window is None or keys <= window + 1):
        return None
    position = _f["arange"](keys - queries, keys, device=device)[:, None]
    place = _f["arange"](keys, device=device)[None, :]
    mask = place <= position
    return mask if window is None else mask & (place >= position - window)


class CausalSelfAttention(Module):
    """Attention in which a step looks at itself and what came before, with a cache for decoding.

    Parameters
    ----------
    embed_dim, num_heads : int
        Features and heads; the heads divide the features.
    num_kv_heads : int, optional
        Heads of keys and values, which divide `num_heads`: grouped-query attention (Ainslie et al.
        2023). As many as queries by default.
    bias : bool
        Whether projections have biases.
    dropout : float
        Of attention weights, in training.
    rotary : RotaryEmbedding, optional
        Turns queries and keys by their positions.
    window : int, optional
        A step looks at so many steps before it only (Beltagy et al. 2020).
    dtype : dtype, optional

    Attributes
    ----------
    q_proj, k_proj, v_proj, out_proj : Linear

    Notes
    -----
    Decoding step by step gives the bits of the whole sequence at once.

    Examples
    --------
    >>> layer = sn.nn.CausalSelfAttention(16, 4, num_kv_heads=2, rotary=sn.nn.RotaryEmbedding(4))
    >>> x = sn.random.normal(shape=(1, 6, 16))
    >>> cache = sn.nn.KVCache(6)
    >>> with sn.no_grad():
    ...     steps = [layer(x[:, i : i + 1], cache) for i in range(6)]
    ...     print(bool((sn.concat(steps, 1) == layer(x)).all()))
    True
    """

    rotary: RotaryEmbedding | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        num_kv_heads: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
        rotary: RotaryEmbedding | None = None,
        window: int | None = None,
        dtype: Any = None,
    ) -> None:
        shared = num_heads if num_kv_heads is None else num_kv_heads
        positive = embed_dim > 0 and num_heads > 0 and shared > 0
        if not positive or embed_dim % num_heads or num_heads % shared:
            raise error(
                _core.InvalidValue,
                "CausalSelfAttention",
                f"embed_dim is {embed_dim}, num_heads {num_heads} and num_kv_heads {shared}; "
                "heads must divide the features, and heads of keys those of queries",
            )
        if window is not None and window < 0:
            raise error(
                _core.InvalidValue,
                "CausalSelfAttention",
                f"window is {window}; it must be 0 or more, or None",
            )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.num_kv_heads = shared
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.window = window
        size = shared * self.head_dim
        self.q_proj = Linear(embed_dim, embed_dim, bias=bias, dtype=dtype)
        self.k_proj = Linear(embed_dim, size, bias=bias, dtype=dtype)
        self.v_proj = Linear(embed_dim, size, bias=bias, dtype=dtype)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, dtype=dtype)
        self.rotary = rotary

    def forward(self, x: Any, cache: KVCache | None = None) -> Any:
        """x: (batch, steps, embed_dim); with a cache, the steps after those that it holds."""
        if x.ndim != 3 or x.shape[-1] != self.embed_dim:
            raise error(
                _core.ShapeError,
                "CausalSelfAttention",
                f"the input has shape {x.shape}; required is (batch, steps, {self.embed_dim})",
            )
        batch, steps = x.shape[:2]

        def heads(y: Any) -> Any:
            return y.reshape(batch, steps, -1, self.head_dim).permute_dims((0, 2, 1, 3))

        q, k, v = heads(self.q_proj(x)), heads(self.k_proj(x)), heads(self.v_proj(x))
        begin = 0 if cache is None else cache.length
        if self.rotary is not None:
            q, k = self.rotary(q, begin), self.rotary(k, begin)
        if cache is not None:
            k, v = cache.update(k, v)
        mask = cached_mask(steps, begin + steps, x.device, self.window) if begin else None
        y = _attention(
            q,
            k,
            v,
            mask,
            self.dropout if self.training else 0.0,
            is_causal=begin == 0,
            enable_gqa=self.num_kv_heads != self.num_heads,
            window=self.window if begin == 0 else None,
        )
        return self.out_proj(y.permute_dims((0, 2, 1, 3)).reshape(batch, steps, self.embed_dim))

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}"
