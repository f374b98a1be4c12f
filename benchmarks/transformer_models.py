"""Transformers, written once for both libraries (see `peers`)."""

from __future__ import annotations

from typing import Any

from .peers import Peer


def gpt(peer: Peer, vocabulary: int, layers: int, width: int, heads: int, context: int) -> Any:
    """A small GPT in the style of nanoGPT: pre-norm, GELU, learnt positions."""
    nn, functional, lib = peer.nn, peer.F, peer.lib

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.c_attn = nn.Linear(width, 3 * width)
            self.c_proj = nn.Linear(width, width)

        def forward(self, x: Any) -> Any:
            batch, length, _ = x.shape
            qkv = self.c_attn(x).reshape(batch, length, 3, heads, width // heads)
            q, k, v = (qkv[:, :, i].swapaxes(1, 2) for i in range(3))
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.c_proj(y.swapaxes(1, 2).reshape(batch, length, width))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attn = Attention()
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )

        def forward(self, x: Any) -> Any:
            x = x + self.attn(self.ln_1(x))
            return x + self.mlp(self.ln_2(x))

    class Gpt(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wte = nn.Embedding(vocabulary, width)
            self.wpe = nn.Embedding(context, width)
            self.blocks = nn.Sequential(*[Block() for _ in range(layers)])
            self.ln_f = nn.LayerNorm(width)
            self.head = nn.Linear(width, vocabulary, bias=False)

        def forward(self, tokens: Any) -> Any:
            x = self.wte(tokens) + self.wpe(lib.arange(tokens.shape[1]))
            return self.head(self.ln_f(self.blocks(x)))

    return Gpt()


def encoder(peer: Peer, layers: int, width: int, heads: int, inner: int) -> Any:
    """A BERT-like encoder (post-norm) without embeddings; MiniLM is (6, 384, 12, 1536)."""
    nn, functional = peer.nn, peer.F

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
            self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)
            self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)

        def forward(self, x: Any) -> Any:
            batch, length, _ = x.shape

            def split(y: Any) -> Any:
                return y.reshape(batch, length, heads, width // heads).swapaxes(1, 2)

            y = functional.scaled_dot_product_attention(
                split(self.query(x)), split(self.key(x)), split(self.value(x))
            )
            x = self.norm_1(x + self.out(y.swapaxes(1, 2).reshape(batch, length, width)))
            return self.norm_2(x + self.outer(functional.gelu(self.inner(x))))

    return nn.Sequential(*[Layer() for _ in range(layers)])


def gpt_loss(peer: Peer, model: Any, tokens: Any, targets: Any) -> Any:
    """Mean cross-entropy of the next token; log(vocabulary) for a model that knows nothing."""
    logits = model(tokens)
    return peer.F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))
