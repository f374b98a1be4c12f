"""Bags of embeddings."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._errors import error
from . import functional as F
from . import init
from .linear import _positive
from .module import Module
from .parameter import Parameter

__all__ = ["EmbeddingBag"]

_f = _core.functions


class EmbeddingBag(Module):
    """Sums, means or maxima of bags of rows of a table; see `sn.nn.functional.embedding_bag`.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Rows and columns of the table.
    max_norm : float, optional
        Rows with a larger norm are scaled down to it when they are looked up.
    norm_type : float
        Of the p-norm of `max_norm`.
    scale_grad_by_freq : bool
        Gradients of a row are divided by how often it is looked up.
    mode : str
        "sum", "mean" or "max".
    sparse : bool
        Accepted for PyTorch's sake: gradients are dense.
    include_last_offset : bool
        Whether the last offset is the end of the last bag.
    padding_idx : int, optional
        A row that starts as zeros, counts in no bag and gets no gradient.
    dtype : dtype, optional

    Attributes
    ----------
    weight : Parameter, (num_embeddings, embedding_dim)
        Starts normally distributed.

    Examples
    --------
    >>> bags = sn.nn.EmbeddingBag(10, 4, mode="sum")
    >>> bags(sn.tensor([1, 2, 4, 5, 4]), sn.tensor([0, 3])).shape
    (2, 4)
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        dtype: Any = None,
    ) -> None:
        _positive("EmbeddingBag", num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise error(
                    _core.IndexOutOfRange,
                    "EmbeddingBag",
                    f"padding_idx is {padding_idx} for {num_embeddings} rows; it must name one",
                )
            padding_idx %= num_embeddings
        if mode not in ("sum", "mean", "max"):
            raise error(
                _core.InvalidValue,
                "EmbeddingBag",
                f"mode is {mode!r}; it must be 'sum', 'mean' or 'max'",
            )
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset
        self.padding_idx = padding_idx
        self.weight = Parameter(_f["empty"]((num_embeddings, embedding_dim), dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            value = self.weight.detach().clone()
            value[self.padding_idx] = 0
            self.weight.assign_(value)

    def forward(self, x: Any, offsets: Any = None, per_sample_weights: Any = None) -> Any:
        return F.embedding_bag(
            x,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """A layer around a table of shape (rows, features); `freeze` keeps it from training.

        Examples
        --------
        >>> bags = sn.nn.EmbeddingBag.from_pretrained(sn.eye(3))
        >>> bags(sn.tensor([[0, 2]])).tolist()
        [[0.5, 0.0, 0.5]]
        """
        if embeddings.ndim != 2:
            raise error(
                _core.ShapeError,
                "EmbeddingBag.from_pretrained",
                f"the table has shape {embeddings.shape}; it must have two dimensions (rows, "
                "features)",
            )
        layer = cls(
            embeddings.shape[0],
            embeddings.shape[1],
            max_norm,
            norm_type,
            scale_grad_by_freq,
            mode,
            sparse,
            include_last_offset,
            padding_idx,
            embeddings.dtype,
        )
        layer.weight = Parameter(embeddings.detach(), requires_grad=not freeze)
        return layer

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}{padding}"
