"""Where a token stands: encodings that are added, rotations, and biases of attention."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._errors import error
from . import init
from .linear import Embedding, _positive
from .module import Module
from .parameter import Parameter

__all__ = [
    "ALiBi",
    "LearnedPositionalEmbedding",
    "RelativePositionBias",
    "RotaryEmbedding",
    "SinusoidalPositionalEncoding",
    "apply_rotary",
]

_f = _core.functions
_arange, _concat, _exp, _where = _f["arange"], _f["concat"], _f["exp"], _f["where"]


def _check_length(layer: str, x: Any, offset: int, features: int, longest: int | None) -> None:
    if x.ndim < 2 or x.shape[-1] != features:
        raise error(
            _core.ShapeError,
            layer,
            f"the input has shape {x.shape}; required is (..., length, {features})",
        )
    if longest is not None and (offset < 0 or offset + x.shape[-2] > longest):
        raise error(
            _core.IndexOutOfRange,
            layer,
            f"positions {offset} to {offset + x.shape[-2] - 1} are asked for; there are "
            f"{longest}; make max_len larger or the sequence shorter",
        )


class SinusoidalPositionalEncoding(Module):
    """Adds sines and cosines of the position (Vaswani et al. 2017): ``sin(p / base**(2i / d))`` in
    the even features, the cosine in the odd ones. Has no parameters and no longest length.

    Parameters
    ----------
    d_model : int
    base : float
        The longest wave is about 2 pi times this.
    batch_first : bool
        Whether inputs are (batch, length, d_model) rather than (length, batch, d_model).

    Examples
    --------
    >>> layer = sn.nn.SinusoidalPositionalEncoding(4)
    >>> layer(sn.zeros((1, 2, 4)))[0, 0].tolist()
    [0.0, 1.0, 0.0, 1.0]
    """

    def __init__(self, d_model: int, base: float = 10000.0, batch_first: bool = True) -> None:
        _positive("SinusoidalPositionalEncoding", d_model=d_model)
        self.d_model = d_model
        self.base = base
        self.batch_first = batch_first

    def encoding(self, length: int, offset: int = 0, dtype: Any = None, device: Any = None) -> Any:
        """The numbers that are added: (length, d_model).

        Examples
        --------
        >>> sn.nn.SinusoidalPositionalEncoding(2).encoding(1).tolist()
        [[0.0, 1.0]]
        """
        pairs = (self.d_model + 1) // 2
        angle = _angles(
            _arange(offset, offset + length, device=device), 2 * pairs, self.base, self.d_model
        )
        both = _f["stack"]([_f["sin"](angle), _f["cos"](angle)], -1).reshape(length, 2 * pairs)
        both = both[:, : self.d_model]
        return both if dtype is None else both.astype(dtype)

    def forward(self, x: Any, offset: int = 0) -> Any:
        """x: (..., length, d_model) at positions from `offset` on."""
        if not self.batch_first and x.ndim == 3:
            _check_length("SinusoidalPositionalEncoding", x, offset, self.d_model, None)
            return x + self.encoding(x.shape[0], offset, x.dtype, x.device)[:, None]
        _check_length("SinusoidalPositionalEncoding", x, offset, self.d_model, None)
        return x + self.encoding(x.shape[-2], offset, x.dtype, x.device)

    def extra_repr(self) -> str:
        return f"{self.d_model}"


def _angles(positions: Any, dim: int, base: float, of: int | None = None) -> Any:
    """position / base**(2i / dim) for each pair i: (..., dim / 2), in float32.

    Computed in float64 and rounded once, so that far positions lose no digits.
    """
    pair = _arange(dim // 2, dtype=_core.float64, device=positions.device)
    rate = _exp(pair * (-2.0 * math.log(base) / (of or dim)))
    return (positions.astype(_core.float64)[..., None] * rate).astype(_core.float32)


class LearnedPositionalEmbedding(Module):
    """Adds a learnt vector for each position.

    Parameters
    ----------
    max_len, d_model : int
    dtype : dtype, optional

    Attributes
    ----------
    weight : Parameter, (max_len, d_model)
        Starts normally distributed with deviation 0.02 (Radford et al. 2018).

    Raises
    ------
    IndexOutOfRange
        In the forward pass, when the sequence is too long.

    Examples
    --------
    >>> sn.nn.LearnedPositionalEmbedding(16, 4)(sn.zeros((2, 8, 4))).shape
    (2, 8, 4)
    """

    weight: Parameter

    def __init__(self, max_len: int, d_model: int, dtype: Any = None) -> None:
        _positive("LearnedPositionalEmbedding", max_len=max_len, d_model=d_model)
        self.max_len = max_len
        self.d_model = d_model
        self.weight = Parameter(_f["empty"]((max_len, d_model), dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the table anew."""
        init.normal_(self.weight, std=0.02)

    def forward(self, x: Any, offset: int = 0) -> Any:
        """x: (..., length, d_model) at positions from `offset` on."""
        _check_length("LearnedPositionalEmbedding", x, offset, self.d_model, self.max_len)
        return x + self.weight[offset : offset + x.shape[-2]]

    def extra_repr(self) -> str:
        return f"{self.max_len}, {self.d_model}"


def apply_rotary(x: Any, cos: Any, sin: Any, interleaved: bool = False) -> Any:
    """Turns pairs of features by angles.

    Parameters
    ----------
    x : Tensor
        (..., length, dim). Features behind the first ``2 * cos.shape[-1]`` stay as they are.
    cos, sin : Tensor
        (length, pairs), or what broadcasts to (..., length, pairs).
    interleaved : bool
        Which features make a pair: neighbours (RoFormer, GPT-J), or number i and i + pairs
        (GPT-NeoX, Llama).

    Examples
    --------
    >>> x = sn.tensor([[1.0, 0.0]])
    >>> sn.nn.apply_rotary(x, sn.tensor([[0.0]]), sn.tensor([[1.0]])).tolist()
    [[0.0, 1.0]]
    """
    pairs = cos.shape[-1]
    size = 2 * pairs
    if x.ndim < 2 or x.shape[-1] < size or cos.shape != sin.shape:
        raise error(
            _core.ShapeError,
            "apply_rotary",
            f"x has shape {x.shape}, cos {cos.shape} and sin {sin.shape}; required are (..., "
            "length, dim) and (length, pairs) with dim of at least 2 * pairs",
        )
    turned, rest = (x, None) if x.shape[-1] == size else (x[..., :size], x[..., size:])
    wide = turned.astype(cos.dtype)
    if interleaved:
        a, b = wide[..., 0::2], wide[..., 1::2]
    else:
        a, b = wide[..., :pairs], wide[..., pairs:]
    first, second = a * cos - b * sin, b * cos + a * sin
    if interleaved:
        y = _f["stack"]([first, second], -1).reshape(turned.shape)
    else:
        y = _concat([first, second], -1)
    y = y.astype(x.dtype)
    return y if rest is None else _concat([y, rest], -1)


class RotaryEmbedding(Module):
    """Turns queries and keys by angles that grow with the position, so that their products depend
    on distances only (Su et al., "RoFormer", 2021).

    Parameters
    ----------
    dim : int
        How many features of each head are turned; even.
    base : float
    interleaved : bool
        Pairs are neighbours, or halves apart; see `apply_rotary`. Weights trained with one layout
        do not fit the other.
    scale : float
        Positions are divided by this (Chen et al., "Extending context window", 2023).

    Examples
    --------
    >>> rope = sn.nn.RotaryEmbedding(8)
    >>> q = sn.random.normal(shape=(2, 4, 5, 8))
    >>> rope(q).shape
    (2, 4, 5, 8)
    >>> bool((rope(q)[:, :, 0] == q[:, :, 0]).all())
    True
    """

    def __init__(
        self, dim: int, base: float = 10000.0, interleaved: bool = False, scale: float = 1.0
    ) -> None:
        if not isinstance(dim, int) or dim < 2 or dim % 2 or not base > 0 or not scale > 0:
            raise error(
                _core.InvalidValue,
                "RotaryEmbedding",
                f"dim is {dim!r}, base {base} and scale {scale}; an even dim of 2 or more and "
                "positive numbers are required",
            )
        self.dim = dim
        self.base = base
        self.interleaved = interleaved
        self.scale = scale

    def angles(self, positions: Any) -> tuple[Any, Any]:
        """Cosines and sines at integer positions of any shape: (..., dim / 2) each.

        Examples
        --------
        >>> cos, sin = sn.nn.RotaryEmbedding(2).angles(sn.arange(3))
        >>> cos[0].item(), sin[0].item()
        (1.0, 0.0)
        """
        if self.scale != 1.0:
            positions = positions.astype(_core.float64) / self.scale
        angle = _angles(positions, self.dim, self.base)
        return _f["cos"](angle), _f["sin"](angle)

    def forward(self, x: Any, offset: int = 0, positions: Any = None) -> Any:
        """Turns x, (..., length, features), at positions from `offset` on, or at those given:
        (length,), or what broadcasts to (..., length)."""
        if positions is None:
            positions = _arange(offset, offset + x.shape[-2], device=x.device)
        cos, sin = self.angles(positions)
        if x.dtype == _core.float64:
            cos, sin = cos.astype(x.dtype), sin.astype(x.dtype)
        return apply_rotary(x, cos, sin, self.interleaved)

    def extra_repr(self) -> str:
        return f"{self.dim}, base={self.base}, interleaved={self.interleaved}"


def _distances(queries: int, keys: int, offset: int, device: Any) -> Any:
    """Position of each key minus that of each query, (queries, keys)."""
    place = _arange(offset, offset + queries, device=device)
    return _arange(keys, device=device)[None, :] - place[:, None]


class ALiBi(Module):
    """Biases of attention that grow with the distance, by a slope for each head (Press et al.,
    "Train short, test long", 2022): an ``attn_mask`` for attention.

    Parameters
    ----------
    num_heads : int
    causal : bool
        Whether later keys get -inf; otherwise distances count on both sides.

    Attributes
    ----------
    slopes : Tensor, (num_heads,)
        A geometric sequence; not part of the state.

    Examples
    --------
    >>> bias = sn.nn.ALiBi(8)(3, 3)
    >>> bias.shape, bias[0, 2].tolist()
    ((8, 3, 3), [-1.0, -0.5, 0.0])
    """

    slopes: _core.Tensor

    def __init__(self, num_heads: int, causal: bool = True) -> None:
        from .._api import tensor

        _positive("ALiBi", num_heads=num_heads)
        self.num_heads = num_heads
        self.causal = causal

        def powers(n: int) -> list[float]:
            return [2.0 ** (-8.0 * (i + 1) / n) for i in range(n)]

        whole = 1 << (num_heads.bit_length() - 1)
        # Between powers of two, the paper takes every second slope of the next one.
        slopes = powers(whole) + powers(2 * whole)[0::2][: num_heads - whole]
        self.register_buffer("slopes", tensor(slopes), persistent=False)

    def forward(self, query_length: int, key_length: int | None = None, offset: int = 0) -> Any:
        """(num_heads, query_length, key_length); the first query stands at `offset`."""
        keys = offset + query_length if key_length is None else key_length
        distance = _distances(query_length, keys, offset, self.slopes.device)
        near = (-_f["abs"](distance)).astype(self.slopes.dtype)
        bias = self.slopes[:, None, None] * near
        if not self.causal:
            return bias
        return _where(distance > 0, -float("inf"), bias)

    def extra_repr(self) -> str:
        return f"{self.num_heads}, causal={self.causal}"


class RelativePositionBias(Module):
    """Learnt biases of attention, one for each head and bucket of distances: near distances have a
    bucket each, far ones share buckets that grow logarithmically (Raffel et al., "T5", 2020).

    Parameters
    ----------
    num_heads : int
    num_buckets : int
    max_distance : int
        From here on all distances share a bucket.
    bidirectional : bool
        Whether keys after a query have buckets of their own; otherwise they share the first.
    dtype : dtype, optional

    Attributes
    ----------
    relative_attention_bias : Embedding
        (num_buckets, num_heads), the name that it has in T5.

    Examples
    --------
    >>> sn.nn.RelativePositionBias(4)(5, 7).shape
    (4, 5, 7)
    """

    def __init__(
        self,
        num_heads: int,
        num_buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = True,
        dtype: Any = None,
    ) -> None:
        _positive("RelativePositionBias", num_heads=num_heads, num_buckets=num_buckets)
        side = num_buckets // 2 if bidirectional else num_buckets
        if side < 2 or (bidirectional and num_buckets % 2) or max_distance <= side // 2:
            raise error(
                _core.InvalidValue,
                "RelativePositionBias",
                f"num_buckets is {num_buckets} and max_distance {max_distance}; required are at "
                "least two buckets on each side and a distance above half of them",
            )
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.relative_attention_bias = Embedding(num_buckets, num_heads, dtype=dtype)

    def buckets(self, distance: Any) -> Any:
        """The bucket of each distance, key position minus query position.

        Examples
        --------
        >>> bias = sn.nn.RelativePositionBias(1)
        >>> bias.buckets(sn.tensor([0, -1, -7, 1, -1000])).tolist()
        [0, 1, 7, 17, 15]
        """
        count, side = self.num_buckets, 0
        if self.bidirectional:
            count //= 2
            side = _where(distance > 0, count, 0)
            distance = _f["abs"](distance)
        else:
            distance = _f["maximum"](-distance, 0)
        exact = count // 2
        # The smallest distance of each far bucket, by whole numbers: no rounding decides.
        steps = count - exact
        begins = []
        for k in range(1, steps):
            at = exact * (self.max_distance / exact) ** (k / steps)
            n = max(math.floor(at) - 1, exact)
            while (n / exact) ** steps < (self.max_distance / exact) ** k * (1 - 1e-12):
                n += 1
            begins.append(n)
        bucket = _f["minimum"](distance, exact)
        for n in begins:
            bucket = bucket + (distance >= n).astype(bucket.dtype)
        return bucket + side

    def forward(self, query_length: int, key_length: int | None = None, offset: int = 0) -> Any:
        """(num_heads, query_length, key_length); the first query stands at `offset`."""
        keys = offset + query_length if key_length is None else key_length
        distance = _distances(
            query_length, keys, offset, self.relative_attention_bias.weight.device
        )
        return self.relative_attention_bias(self.buckets(distance)).permute_dims((2, 0, 1))

    def extra_repr(self) -> str:
        return f"{self.num_heads}, num_buckets={self.num_buckets}, max_distance={self.max_distance}"
