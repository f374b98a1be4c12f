"""Layers that are a matrix product, a table, or nothing at all."""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._errors import error
from . import init
from ._distance import bilinear
from .module import Module
from .parameter import Parameter

__all__ = ["Bilinear", "Embedding", "Flatten", "Identity", "Linear", "Unflatten"]

_f = _core.functions
_linear = _f["linear"]
_embedding = _f["embedding"]
_flatten = _f["flatten"]
_empty = _f["empty"]


def _positive(layer: str, **sizes: int) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise error(
                _core.InvalidValue, layer, f"{name} is {size!r}; it must be an int of 1 or more"
            )


class Identity(Module):
    """Gives back its argument; takes any arguments when made.

    Examples
    --------
    >>> sn.nn.Identity()(sn.ones(2)).tolist()
    [1.0, 1.0]
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, input: Any) -> Any:
        return input


class Linear(Module):
    """Affine map ``x @ weight.T + bias`` of the last axis.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
        Whether there is one.
    device, dtype : optional
        Of the parameters; the CPU and float32 by default.

    Attributes
    ----------
    weight : Parameter, (out_features, in_features)
    bias : Parameter, (out_features,), or None
        Both start uniform in ±1 / sqrt(in_features).

    Examples
    --------
    >>> layer = sn.nn.Linear(4, 2)
    >>> layer(sn.ones((3, 4))).shape
    (3, 2)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        _positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(_empty((out_features, in_features), dtype=dtype, device=device))
        self.register_parameter(
            "bias",
            Parameter(_empty((out_features,), dtype=dtype, device=device)) if bias else None,
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any) -> Any:
        return _linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Bilinear(Module):
    """``x1 @ A @ x2 + b`` for each output feature.

    Parameters
    ----------
    in1_features, in2_features, out_features : int
    bias : bool
        Whether there is one.
    device, dtype : optional
        Of the parameters; the CPU and float32 by default.

    Attributes
    ----------
    weight : Parameter, (out_features, in1_features, in2_features)
    bias : Parameter, (out_features,), or None
        Both start uniform in ±1 / sqrt(in1_features).

    Examples
    --------
    >>> sn.nn.Bilinear(3, 4, 2)(sn.ones((5, 3)), sn.ones((5, 4))).shape
    (5, 2)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        _positive(
            "Bilinear",
            in1_features=in1_features,
            in2_features=in2_features,
            out_features=out_features,
        )
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        shape = (out_features, in1_features, in2_features)
        self.weight = Parameter(_empty(shape, dtype=dtype, device=device))
        self.register_parameter(
            "bias",
            Parameter(_empty((out_features,), dtype=dtype, device=device)) if bias else None,
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Any, input2: Any) -> Any:
        return bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class Embedding(Module):
    """A table whose rows are looked up by integers.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows and columns of the table.
    padding_idx : int, optional
        A row that starts as zeros and gets no gradient.
    max_norm : float, optional
        Rows with a larger norm are scaled down to it when they are looked up.
    norm_type : float
        Of the p-norm of `max_norm`.
    scale_grad_by_freq : bool
        Gradients of a row are divided by how often it is looked up.
    sparse : bool
        Accepted for PyTorch's sake: gradients are dense.

    Attributes
    ----------
    weight : Parameter, (num_embeddings, embedding_dim)
        Starts normally distributed.

    Raises
    ------
    IndexOutOfRange
        In the forward pass, when an index has no row.

    Examples
    --------
    >>> table = sn.nn.Embedding(10, 4, padding_idx=0)
    >>> table(sn.tensor([[1, 2, 0]])).shape
    (1, 3, 4)
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        dtype: Any = None,
    ) -> None:
        _positive("Embedding", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise error(
                    _core.IndexOutOfRange,
                    "Embedding",
                    f"padding_idx is {padding_idx} for {num_embeddings} rows; it must name one",
                )
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse
        self.weight = Parameter(_empty((num_embeddings, embedding_dim), dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            value = self.weight.detach().clone()
            value[self.padding_idx] = 0
            self.weight.assign_(value)

    def forward(self, x: Any) -> Any:
        if self.max_norm is None and not self.scale_grad_by_freq:
            return _embedding(x, self.weight, self.padding_idx)
        from .functional import embedding

        return embedding(
            x,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A layer around a table of shape (rows, features); `freeze` keeps it from training.

        Examples
        --------
        >>> table = sn.nn.Embedding.from_pretrained(sn.eye(3))
        >>> table(sn.tensor([2])).tolist()
        [[0.0, 0.0, 1.0]]
        """
        if embeddings.ndim != 2:
            raise error(
                _core.ShapeError,
                "Embedding.from_pretrained",
                f"the table has shape {embeddings.shape}; it must have two dimensions (rows, "
                "features)",
            )
        layer = cls(
            embeddings.shape[0],
            embeddings.shape[1],
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
            dtype=embeddings.dtype,
        )
        layer.weight = Parameter(embeddings.detach(), requires_grad=not freeze)
        return layer

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class Flatten(Module):
    """Makes one dimension of several; by default of all but the first.

    Parameters
    ----------
    start_dim, end_dim : int
        The first and the last of those dimensions.

    Examples
    --------
    >>> sn.nn.Flatten()(sn.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Any) -> Any:
        return _flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Makes several dimensions of one.

    Parameters
    ----------
    dim : int
    unflattened_size : tuple of int
        The sizes that it becomes; one of them may be -1.

    Examples
    --------
    >>> sn.nn.Unflatten(1, (3, 4))(sn.ones((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        if not isinstance(dim, int) or not all(isinstance(n, int) for n in unflattened_size):
            raise error(
                _core.InvalidType,
                "Unflatten",
                f"dim is {dim!r} and unflattened_size {unflattened_size!r}; an int and a tuple of "
                "ints are required; dimensions have no names here",
            )
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Any) -> Any:
        return _f["unflatten"](input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
