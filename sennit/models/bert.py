"""BERT (Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", NAACL 2019)."""

from __future__ import annotations

from typing import Any

from .. import _core, nn
from ..nn import functional as F

__all__ = ["Bert", "mean_pooling"]


class _SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x: Any, mask: Any) -> Any:
        batch, length, width = x.shape

        def split(part: Any) -> Any:
            return part.reshape(batch, length, self.heads, width // self.heads).transpose(1, 2)

        y = F.scaled_dot_product_attention(
            split(self.query(x)),
            split(self.key(x)),
            split(self.value(x)),
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return y.transpose(1, 2).reshape(batch, length, width)


class _Output(nn.Module):
    """A linear layer, added to what came before it, and normalised."""

    def __init__(self, inputs: int, width: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Any, before: Any) -> Any:
        return self.LayerNorm(self.dropout(self.dense(x)) + before)


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.attention = nn.Module()
        self.attention.self = _SelfAttention(width, heads, dropout)
        self.attention.output = _Output(width, width, dropout, eps)
        self.intermediate = nn.Module()
        self.intermediate.dense = nn.Linear(width, inner)
        self.output = _Output(inner, width, dropout, eps)

    def forward(self, x: Any, mask: Any) -> Any:
        x = self.attention.output(self.attention.self(x, mask), x)
        return self.output(F.gelu(self.intermediate.dense(x)), x)


class _Embeddings(nn.Module):
    def __init__(
        self, words: int, width: int, length: int, types: int, dropout: float, eps: float
    ) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(words, width, padding_idx=0)
        self.position_embeddings = nn.Embedding(length, width)
        self.token_type_embeddings = nn.Embedding(types, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_ids: Any, token_type_ids: Any) -> Any:
        places = self.position_embeddings.weight[: input_ids.shape[1]]
        if token_type_ids is None:
            types = self.token_type_embeddings.weight[0]
        else:
            types = self.token_type_embeddings(token_type_ids)
        return self.dropout(self.LayerNorm(self.word_embeddings(input_ids) + types + places))


class Bert(nn.Module):
    """BERT's encoder, with the names that published weights use.

    Parameters
    ----------
    vocab_size, hidden_size, num_hidden_layers, num_attention_heads, intermediate_size : int
        The defaults are those of the base model.
    max_position_embeddings, type_vocab_size : int
        Longest input, and kinds of segments.
    dropout : float
        Of hidden values and of attention weights, while training.
    layer_norm_eps : float
    pooler : bool
        Whether there is the layer that makes one vector of the first token's.

    Examples
    --------
    >>> net = sn.models.Bert(100, 32, 2, 4, 64).eval()
    >>> hidden, pooled = net(sn.ones((2, 5), dtype=sn.int64))
    >>> hidden.shape, pooled.shape
    ((2, 5, 32), (2, 32))
    """

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        dropout: float = 0.1,
        layer_norm_eps: float = 1e-12,
        pooler: bool = True,
    ) -> None:
        super().__init__()
        self.embeddings = _Embeddings(
            vocab_size, hidden_size, max_position_embeddings, type_vocab_size, dropout,
            layer_norm_eps,
        )  # fmt: skip
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(
            _Layer(hidden_size, num_attention_heads, intermediate_size, dropout, layer_norm_eps)
            for _ in range(num_hidden_layers)
        )
        self.pooler: nn.Module | None = None
        if pooler:
            self.pooler = nn.Module()
            self.pooler.dense = nn.Linear(hidden_size, hidden_size)

    def forward(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None
    ) -> tuple[Any, Any]:
        """Hidden values (N, L, hidden_size), and the pooled ones (N, hidden_size) or None.

        Parameters
        ----------
        input_ids : Tensor
            (N, L), int64.
        attention_mask : Tensor, optional
            (N, L), 1 for tokens and 0 for padding.
        token_type_ids : Tensor, optional
            (N, L), int64; all 0 by default.
        """
        x = self.embeddings(input_ids, token_type_ids)
        mask = None
        if attention_mask is not None:
            mask = (attention_mask != 0).reshape(x.shape[0], 1, 1, x.shape[1])
        for layer in self.encoder.layer:
            x = layer(x, mask)
        pooled = None
        if self.pooler is not None:
            pooled = _core.functions["tanh"](self.pooler.dense(x[:, 0]))
        return x, pooled


def mean_pooling(hidden: Any, attention_mask: Any, normalize: bool = True) -> Any:
    """One vector a text: the mean of its tokens' vectors, as sentence encoders take it.

    Parameters
    ----------
    hidden : Tensor
        (N, L, D).
    attention_mask : Tensor
        (N, L), 1 for tokens and 0 for padding.
    normalize : bool
        Whether the vectors get the length 1.

    Returns
    -------
    Tensor
        (N, D).

    References
    ----------
    N. Reimers, I. Gurevych: Sentence-BERT. EMNLP 2019.

    Examples
    --------
    >>> hidden = sn.tensor([[[3.0, 0.0], [9.0, 9.0]]])
    >>> sn.models.mean_pooling(hidden, sn.tensor([[1, 0]])).tolist()
    [[1.0, 0.0]]
    """
    weights = attention_mask.to(hidden.dtype)[..., None]
    mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clip(1e-9)
    return F.normalize(mean, dim=-1) if normalize else mean
