"""The transformer (Vaswani et al. 2017), with the layers and keys of ``torch.nn``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from .. import _core
from .._errors import error
from . import functional as F
from . import init
from .attention import MultiheadAttention
from .containers import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .normalization import LayerNorm

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]

_f = _core.functions
Activation = str | Callable[[Any], Any]


def _activation(value: Activation) -> Callable[[Any], Any]:
    if callable(value):
        return value
    if value in ("relu", "gelu"):
        return F.relu if value == "relu" else F.gelu
    raise error(
        _core.InvalidValue,
        "Transformer",
        f"activation is {value!r}; it must be 'relu', 'gelu' or a function of a tensor",
    )


def _copies(layer: Module, count: int) -> ModuleList:
    return ModuleList([copy.deepcopy(layer) for _ in range(count)])


def _is_causal(mask: Any, hint: bool | None) -> bool:
    """PyTorch reads the mask to find out; a hint is enough here, and the mask is used as it is."""
    return bool(hint) and mask is None


class TransformerEncoderLayer(Module):
    """Self-attention and a feed-forward network, each with a residual sum and a layer norm.

    Parameters
    ----------
    d_model, nhead : int
        Features and heads.
    dim_feedforward : int
        Width inside of the feed-forward network.
    dropout : float
    activation : str or callable
        "relu", "gelu", or any function of a tensor.
    layer_norm_eps : float
    batch_first : bool
        Sequences are (batch, length, features).
    norm_first : bool
        Norms before attention and feed-forward (Xiong et al. 2020), not after.
    bias : bool
        Whether linear maps and norms have biases.

    Examples
    --------
    >>> layer = sn.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> layer(sn.random.normal(shape=(3, 5, 8))).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, dtype=dtype
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, dtype=dtype)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, dtype=dtype)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _activation(activation)

    def forward(
        self,
        src: Any,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Any:
        """src: (length, batch, d_model), or as `batch_first` says. Masks: `MultiheadAttention`."""

        def attend(x: Any) -> Any:
            return self.dropout1(
                self.self_attn(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)[
                    0
                ]
            )

        def feed(x: Any) -> Any:
            return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

        if self.norm_first:
            x = src + attend(self.norm1(src))
            return x + feed(self.norm2(x))
        x = self.norm1(src + attend(src))
        return self.norm2(x + feed(x))


class TransformerEncoder(Module):
    """Copies of an encoder layer, one after the other.

    Parameters
    ----------
    encoder_layer : Module
    num_layers : int
    norm : Module, optional
        Applied at the end.
    enable_nested_tensor, mask_check : bool
        Accepted for PyTorch's sake.

    Examples
    --------
    >>> layer = sn.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> sn.nn.TransformerEncoder(layer, 2)(sn.random.normal(shape=(3, 5, 8))).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        self.layers = _copies(encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        src: Any,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Any:
        """Masks as in `MultiheadAttention`."""
        causal = _is_causal(mask, is_causal)
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, causal)
        return src if self.norm is None else self.norm(src)


class TransformerDecoderLayer(Module):
    """Self-attention, attention over an encoder's result, and a feed-forward network.

    Parameters
    ----------
    d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, \
bias
        As in `TransformerEncoderLayer`.

    Examples
    --------
    >>> layer = sn.nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    >>> x, memory = sn.random.normal(shape=(3, 5, 8)), sn.random.normal(shape=(3, 7, 8))
    >>> layer(x, memory, tgt_is_causal=True).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        for name in ("self_attn", "multihead_attn"):
            layer = MultiheadAttention(
                d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, dtype=dtype
            )
            setattr(self, name, layer)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, dtype=dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, dtype=dtype)
        self.norm_first = norm_first
        for i in (1, 2, 3):
            norm = LayerNorm(d_model, eps=layer_norm_eps, bias=bias, dtype=dtype)
            setattr(self, f"norm{i}", norm)
        for i in (1, 2, 3):
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation(activation)

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Any:
        """tgt and memory: sequences of d_model features. Masks: `MultiheadAttention`."""

        def attend(x: Any) -> Any:
            return self.dropout1(
                self.self_attn(
                    x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal
                )[0]
            )

        def look(x: Any) -> Any:
            return self.dropout2(
                self.multihead_attn(
                    x,
                    memory,
                    memory,
                    memory_key_padding_mask,
                    False,
                    memory_mask,
                    is_causal=memory_is_causal,
                )[0]
            )

        def feed(x: Any) -> Any:
            return self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))

        x = tgt
        if self.norm_first:
            x = x + attend(self.norm1(x))
            x = x + look(self.norm2(x))
            return x + feed(self.norm3(x))
        x = self.norm1(x + attend(x))
        x = self.norm2(x + look(x))
        return self.norm3(x + feed(x))


class TransformerDecoder(Module):
    """Copies of a decoder layer, one after the other.

    Parameters
    ----------
    decoder_layer : Module
    num_layers : int
    norm : Module, optional
        Applied at the end.

    Examples
    --------
    >>> layer = sn.nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
    >>> x, memory = sn.random.normal(shape=(3, 5, 8)), sn.random.normal(shape=(3, 7, 8))
    >>> sn.nn.TransformerDecoder(layer, 2)(x, memory).shape
    (3, 5, 8)
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        self.layers = _copies(decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """Masks as in `MultiheadAttention`."""
        causal = _is_causal(tgt_mask, tgt_is_causal)
        for layer in self.layers:
            tgt = layer(
                tgt,
                memory,
                tgt_mask,
                memory_mask,
                tgt_key_padding_mask,
                memory_key_padding_mask,
                causal,
                memory_is_causal,
            )
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder and a decoder.

    Parameters
    ----------
    d_model, nhead : int
    num_encoder_layers, num_decoder_layers : int
    dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias
        As in `TransformerEncoderLayer`.
    custom_encoder, custom_decoder : Module, optional
        Used in place of the standard ones.

    Examples
    --------
    >>> model = sn.nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    >>> x, y = sn.random.normal(shape=(3, 7, 8)), sn.random.normal(shape=(3, 5, 8))
    >>> model(x, y, tgt_is_causal=True).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        options: dict[str, Any] = {
            "dim_feedforward": dim_feedforward,
            "dropout": dropout,
            "activation": activation,
            "layer_norm_eps": layer_norm_eps,
            "batch_first": batch_first,
            "norm_first": norm_first,
            "bias": bias,
            "dtype": dtype,
        }

        def norm() -> LayerNorm:
            return LayerNorm(d_model, eps=layer_norm_eps, bias=bias, dtype=dtype)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(d_model, nhead, **options), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(d_model, nhead, **options), num_decoder_layers, norm()
        )
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all matrices anew."""
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)

    def forward(
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """Masks as in `MultiheadAttention`."""
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise error(
                _core.ShapeError,
                "Transformer",
                f"src has shape {src.shape} and tgt {tgt.shape}; the last dimension of both must "
                f"be d_model, which is {self.d_model}",
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask,
            memory_mask,
            tgt_key_padding_mask,
            memory_key_padding_mask,
            tgt_is_causal,
            memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, dtype: Any = None) -> Any:
        """The causal mask as numbers: 0 on and below the diagonal, -infinity above."""
        wanted = _core.float32 if dtype is None else dtype
        inside = _f["tril"](_f["ones"]((sz, sz), dtype=_core.bool))
        return _f["where"](inside, _f["zeros"]((), dtype=wanted), -float("inf"))
