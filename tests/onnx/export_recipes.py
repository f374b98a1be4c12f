"""A call of each layer and functional that has none in the grids of tests/nn and the op table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import sennit as sn
from sennit import nn
from sennit.nn import functional as F


@dataclass
class Recipe:
    """A function and its arguments; those in `batch` have the batch as axis `axis`."""

    make: Callable[[], Callable[..., Any]]
    args: Callable[[int], list[Any]]
    open_batch: bool = True
    train: bool = False


def x(*shape: int, seed: int = 0) -> sn.Tensor:
    return sn.asarray(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def positive(*shape: int, seed: int = 0) -> sn.Tensor:
    return sn.asarray(np.random.default_rng(seed).uniform(0.1, 0.9, shape).astype(np.float32))


def whole(high: int, *shape: int, low: int = 0) -> sn.Tensor:
    return sn.asarray(np.random.default_rng(1).integers(low, high, shape))


def signs(*shape: int) -> sn.Tensor:
    return sn.asarray((np.random.default_rng(2).integers(0, 2, shape) * 2 - 1).astype(np.float32))


def one(make: Callable[[], Any], *shape: int) -> Recipe:
    """A layer of one tensor, whose batch comes first."""
    return Recipe(make, lambda n: [x(n, *shape)])


def pair(make: Callable[[], Any], *shape: int) -> Recipe:
    return Recipe(make, lambda n: [x(n, *shape), x(n, *shape, seed=1)])


def call(function: Callable[..., Any], args: Callable[[int], list[Any]], **more: Any) -> Recipe:
    return Recipe(lambda: function, args, **more)


LAYERS: dict[str, list[Recipe]] = {
    name: [one(getattr(nn, name), 7)]
    for name in (
        "CELU", "ELU", "GELU", "SELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh",
        "LeakyReLU", "LogSigmoid", "Mish", "PReLU", "RReLU", "ReLU", "ReLU6", "SiLU", "Sigmoid",
        "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink", "DropPath", "GaussianNoise",
    )
}  # fmt: skip
LAYERS |= {name: [one(getattr(nn, name), 6)] for name in ("GLU", "GeGLU", "ReGLU", "SwiGLU")}
LAYERS["GELU"].append(one(lambda: nn.GELU(approximate="tanh"), 7))
LAYERS["Threshold"] = [one(lambda: nn.Threshold(0.1, 2.0), 7)]
LAYERS["StochasticDepth"] = [one(lambda: nn.StochasticDepth(0.3, "row"), 7)]
LAYERS |= {
    name: [one(lambda name=name, axis=axis: getattr(nn, name)(axis), 3, 4) for axis in (-1, 1)]
    for name in ("Softmax", "LogSoftmax", "Softmin")
}
LAYERS["Softmax2d"] = [one(nn.Softmax2d, 3, 4, 5)]


def attention(**options: Any) -> Callable[[], Any]:
    def make() -> Any:
        layer = nn.MultiheadAttention(8, 2, batch_first=True, **options).eval()
        return lambda q, k: layer(q, k, k)

    return make


def two_lengths(n: int) -> list[Any]:
    return [x(n, 5, 8), x(n, 6, 8, seed=1)]


LAYERS["MultiheadAttention"] = [
    Recipe(attention(), two_lengths),
    Recipe(attention(add_bias_kv=True, add_zero_attn=True, bias=False), two_lengths),
    call(
        lambda q, layer=nn.MultiheadAttention(8, 2, batch_first=True).eval(): layer(
            q, q, q, need_weights=False, is_causal=True, attn_mask=sn.asarray(
                np.triu(np.ones((5, 5), bool), 1))
        )[0],
        lambda n: [x(n, 5, 8)],
    ),
]  # fmt: skip
LAYERS["CausalSelfAttention"] = [
    one(lambda: nn.CausalSelfAttention(16, 4).eval(), 6, 16),
    one(lambda: nn.CausalSelfAttention(16, 4, num_kv_heads=2, window=3).eval(), 6, 16),
    one(lambda: nn.CausalSelfAttention(16, 4, rotary=nn.RotaryEmbedding(4)).eval(), 6, 16),
]
LAYERS["Sequential"] = [one(lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU()), 4)]


class Listed(nn.Module):
    """What lists and dicts of modules and parameters are for."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        if kind.startswith("Module"):
            layers = {"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}
            self.held = (
                nn.ModuleDict(layers) if kind == "ModuleDict" else nn.ModuleList(layers.values())
            )
        else:
            held = {"a": nn.Parameter(x(4)), "b": nn.Parameter(x(4, seed=1))}
            self.held = (
                nn.ParameterDict(held)
                if kind == "ParameterDict"
                else nn.ParameterList(held.values())
            )

    def forward(self, t: Any) -> Any:
        held = self.held
        for item in held.values() if hasattr(held, "values") else held:
            t = item(t) if isinstance(item, nn.Module) else t * item
        return t


for _kind in ("ModuleDict", "ModuleList", "ParameterDict", "ParameterList"):
    LAYERS[_kind] = [one(lambda kind=_kind: Listed(kind), 4)]

LAYERS["ConvLSTMCell"] = [one(lambda: nn.ConvLSTMCell(2, 3, 3), 2, 5, 6)]
LAYERS["ConvLSTM"] = [Recipe(lambda: nn.ConvLSTM(2, 3, 3, 2), lambda n: [x(4, n, 2, 5, 6)])]
LAYERS["Embedding"] = [
    Recipe(lambda: nn.Embedding(9, 4), lambda n: [whole(9, n, 3)]),
    Recipe(lambda: nn.Embedding(9, 4, padding_idx=2), lambda n: [whole(9, n)]),
]
LAYERS["EmbeddingBag"] = [
    Recipe(lambda mode=mode: nn.EmbeddingBag(9, 4, mode=mode), lambda n: [whole(9, n, 3)])
    for mode in ("sum", "mean", "max")
]
for _r, _size in {1: (9,), 2: (8, 7), 3: (5, 6, 4)}.items():
    _x = (4, *_size)
    LAYERS[f"LazyConv{_r}d"] = [one(lambda r=_r: getattr(nn, f"LazyConv{r}d")(3, 2), *_x)]
    LAYERS[f"LazyConvTranspose{_r}d"] = [
        one(lambda r=_r: getattr(nn, f"LazyConvTranspose{r}d")(3, 2), *_x)
    ]
    for _kind in ("LazyBatchNorm", "LazyInstanceNorm"):
        LAYERS[f"{_kind}{_r}d"] = [one(lambda k=f"{_kind}{_r}d": getattr(nn, k)(), *_x)]
    LAYERS[f"MaxUnpool{_r}d"] = [
        Recipe(
            lambda r=_r: (
                lambda t: getattr(nn, f"MaxUnpool{r}d")(2)(
                    *getattr(nn, f"MaxPool{r}d")(2, return_indices=True)(t)
                )
            ),
            lambda n, s=_size: [x(n, 2, *(2 * (k // 2) for k in s))],
        )
    ]
LAYERS["LazyLinear"] = [one(lambda: nn.LazyLinear(3), 4)]
for _r, _size in {2: (8, 7), 3: (6, 6, 5)}.items():
    LAYERS[f"FractionalMaxPool{_r}d"] = [
        Recipe(
            lambda r=_r: getattr(nn, f"FractionalMaxPool{r}d")(
                2, output_size=3, _random_samples=positive(2, 2, r)
            ),
            lambda n, s=_size: [x(2, 2, *s)],
            open_batch=False,
        ),
        Recipe(  # the positions of its windows are an argument: one row for each example
            lambda r=_r: (
                lambda t, u: getattr(F, f"fractional_max_pool{r}d")(
                    t, 2, output_size=3, _random_samples=u
                )
            ),
            lambda n, s=_size, r=_r: [x(n, 2, *s), positive(n, 2, r)],
        ),
    ]
LAYERS["LoRALinear"] = [one(lambda: nn.LoRALinear(nn.Linear(5, 3), r=2).eval(), 5)]
LAYERS["LoRAConv2d"] = [one(lambda: nn.LoRAConv2d(nn.Conv2d(2, 3, 3), r=2).eval(), 2, 6, 5)]
LAYERS["LoRAEmbedding"] = [
    Recipe(lambda: nn.LoRAEmbedding(nn.Embedding(9, 4), r=2).eval(), lambda n: [whole(9, n, 3)])
]
LAYERS["SyncBatchNorm"] = [one(lambda: nn.SyncBatchNorm(3).eval(), 3, 4)]
LAYERS["MixtureOfExperts"] = [
    one(lambda: nn.MixtureOfExperts(8, 16, 4, capacity_factor=2.0).eval(), 5, 8)
]
LAYERS["top_k_routing"] = [
    call(lambda t: [v for v in nn.top_k_routing(t, 2, 3) if isinstance(v, sn.Tensor)],
         lambda n: [x(n, 4)])
]  # fmt: skip
LAYERS["load_balancing_loss"] = [
    call(nn.load_balancing_loss, lambda n: [sn.softmax(x(n, 4)), whole(4, n, 2)])
]
LAYERS["router_z_loss"] = [call(nn.router_z_loss, lambda n: [x(n, 4)])]

# positions
LAYERS["ALiBi"] = [
    Recipe(lambda: lambda s, b=nn.ALiBi(2): s + b(5), lambda n: [x(n, 2, 5, 5)]),
]
LAYERS["RelativePositionBias"] = [
    Recipe(lambda: lambda s, b=nn.RelativePositionBias(2): s + b(5), lambda n: [x(n, 2, 5, 5)]),
]
LAYERS["LearnedPositionalEmbedding"] = [one(lambda: nn.LearnedPositionalEmbedding(9, 4), 5, 4)]
LAYERS["SinusoidalPositionalEncoding"] = [one(lambda: nn.SinusoidalPositionalEncoding(4), 5, 4)]
LAYERS["RotaryEmbedding"] = [
    one(lambda: nn.RotaryEmbedding(4), 2, 5, 4),
    one(lambda: nn.RotaryEmbedding(4, interleaved=True), 2, 5, 4),
]
LAYERS["apply_rotary"] = [call(nn.apply_rotary, lambda n: [x(n, 2, 5, 4), x(5, 2), x(5, 2)])]


# recurrent layers
def sequences(n: int) -> list[Any]:
    return [x(6, n, 5)]


for _kind in ("LSTM", "GRU", "RNN"):
    _cls = getattr(nn, _kind)
    LAYERS[_kind] = [
        Recipe(lambda c=_cls: c(5, 4), sequences),
        Recipe(lambda c=_cls: c(5, 4, num_layers=2, bidirectional=True), sequences),
        Recipe(lambda c=_cls: c(5, 4, bias=False), sequences),
        Recipe(lambda c=_cls: c(5, 4, 2, batch_first=True).eval(), lambda n: [x(n, 6, 5)]),
        Recipe(lambda c=_cls: c(5, 4), lambda n: [x(6, 5)], open_batch=False),
    ]
LAYERS["LSTM"] += [
    Recipe(lambda: nn.LSTM(5, 4, proj_size=3), sequences),
    Recipe(
        lambda: lambda t, h, c, m=nn.LSTM(5, 4, bidirectional=True): m(t, (h, c)),
        lambda n: [x(6, n, 5), x(2, n, 4), x(2, n, 4, seed=3)],
    ),
]
LAYERS["GRU"].append(
    Recipe(lambda: lambda t, h, m=nn.GRU(5, 4): m(t, h), lambda n: [x(6, n, 5), x(1, n, 4)])
)
LAYERS["RNN"].append(Recipe(lambda: nn.RNN(5, 4, nonlinearity="relu"), sequences))
LAYERS["LSTMCell"] = [one(lambda: nn.LSTMCell(5, 4), 5)]
LAYERS["GRUCell"] = [one(lambda: nn.GRUCell(5, 4), 5)]
LAYERS["RNNCell"] = [one(lambda k=k: nn.RNNCell(5, 4, nonlinearity=k), 5) for k in ("tanh", "relu")]

# transformers
for _first in (False, True):
    _layer = {"d_model": 8, "nhead": 2, "dim_feedforward": 16, "batch_first": True,
              "norm_first": _first}  # fmt: skip
    LAYERS.setdefault("TransformerEncoderLayer", []).append(
        one(lambda o=_layer: nn.TransformerEncoderLayer(**o).eval(), 5, 8)
    )
    LAYERS.setdefault("TransformerDecoderLayer", []).append(
        Recipe(lambda o=_layer: nn.TransformerDecoderLayer(**o).eval(), two_lengths)
    )
    LAYERS.setdefault("TransformerEncoder", []).append(
        one(lambda o=_layer: nn.TransformerEncoder(nn.TransformerEncoderLayer(**o), 2).eval(), 5, 8)
    )
    LAYERS.setdefault("TransformerDecoder", []).append(
        Recipe(
            lambda o=_layer: nn.TransformerDecoder(nn.TransformerDecoderLayer(**o), 2).eval(),
            two_lengths,
        )
    )
    LAYERS.setdefault("Transformer", []).append(
        Recipe(
            lambda o=_layer: nn.Transformer(num_encoder_layers=1, num_decoder_layers=1, **o).eval(),
            two_lengths,
        )
    )


# losses
def labels(n: int) -> list[Any]:
    return [x(n, 5), whole(5, n)]


def chances(n: int) -> list[Any]:
    return [positive(n, 5), positive(n, 5, seed=1)]


for _reduction in ("mean", "sum", "none"):
    _o = {"reduction": _reduction}
    for _kind in ("HuberLoss", "L1Loss", "MSELoss", "SmoothL1Loss"):
        LAYERS.setdefault(_kind, []).append(pair(lambda k=_kind, o=_o: getattr(nn, k)(**o), 5))
    for _kind in ("BCELoss", "BCEWithLogitsLoss", "KLDivLoss", "SigmoidFocalLoss",
                  "PoissonNLLLoss"):  # fmt: skip
        LAYERS.setdefault(_kind, []).append(
            Recipe(lambda k=_kind, o=_o: getattr(nn, k)(**o), chances)
        )
    for _kind in ("CrossEntropyLoss", "NLLLoss", "SoftmaxFocalLoss", "MultiMarginLoss"):
        LAYERS.setdefault(_kind, []).append(
            Recipe(lambda k=_kind, o=_o: getattr(nn, k)(**o), labels)
        )
    LAYERS.setdefault("DiceLoss", []).append(
        Recipe(
            lambda o=_o: nn.DiceLoss(**o), lambda n: [positive(n, 5, 3), positive(n, 5, 3, seed=1)]
        )
    )
    LAYERS.setdefault("InfoNCELoss", []).append(pair(lambda o=_o: nn.InfoNCELoss(**o), 5))
LAYERS["CrossEntropyLoss"] += [
    Recipe(lambda: nn.CrossEntropyLoss(weight=positive(5), ignore_index=2), labels),
    Recipe(lambda: nn.CrossEntropyLoss(label_smoothing=0.1), labels),
    Recipe(lambda: nn.CrossEntropyLoss(weight=positive(5), label_smoothing=0.1), labels),
    Recipe(nn.CrossEntropyLoss, lambda n: [x(n, 5, 3), whole(5, n, 3)]),
    Recipe(nn.CrossEntropyLoss, chances),
]
LAYERS["LinearCrossEntropyLoss"] = [Recipe(lambda: nn.LinearCrossEntropyLoss(5, 7), labels)]
LAYERS["CosineEmbeddingLoss"] = [
    Recipe(nn.CosineEmbeddingLoss, lambda n: [x(n, 5), x(n, 5, seed=1), signs(n)])
]
LAYERS["HingeEmbeddingLoss"] = [Recipe(nn.HingeEmbeddingLoss, lambda n: [x(n, 5), signs(n, 5)])]
LAYERS["SoftMarginLoss"] = [Recipe(nn.SoftMarginLoss, lambda n: [x(n, 5), signs(n, 5)])]
LAYERS["MarginRankingLoss"] = [
    Recipe(nn.MarginRankingLoss, lambda n: [x(n), x(n, seed=1), signs(n)])
]
LAYERS["MultiLabelMarginLoss"] = [
    Recipe(nn.MultiLabelMarginLoss, lambda n: [x(n, 5), whole(5, n, 5, low=-1)])
]
LAYERS["MultiLabelSoftMarginLoss"] = [
    Recipe(nn.MultiLabelSoftMarginLoss, lambda n: [x(n, 5), (signs(n, 5) + 1) / 2])
]


def three(n: int) -> list[Any]:
    return [x(n, 5), x(n, 5, seed=1), x(n, 5, seed=2)]


LAYERS["TripletMarginLoss"] = [
    Recipe(nn.TripletMarginLoss, three),
    Recipe(lambda: nn.TripletMarginLoss(swap=True, p=1.0), three),
]


def sequences_and_targets(n: int) -> list[Any]:
    steps = sn.asarray(np.array([7, 5, 0, 6, 7][:n]))
    lengths = sn.asarray(np.array([3, 1, 0, 2, 0][:n]))
    return [sn.log_softmax(x(7, n, 5), -1), whole(5, n, 3, low=1), steps, lengths]


LAYERS["CTCLoss"] = [
    Recipe(lambda o=o: nn.CTCLoss(**o), sequences_and_targets)
    for o in ({}, {"reduction": "sum"}, {"reduction": "none"})
]
LAYERS["CTCLoss"] += [
    Recipe(lambda: nn.CTCLoss(blank=4, zero_infinity=True), lambda n: [
        sn.log_softmax(x(4, n, 5), -1), whole(4, n, 4), whole(4, n, low=1), whole(5, n)]),
    Recipe(nn.CTCLoss, lambda n: [
        sn.log_softmax(x(7, 5), -1), whole(5, 3, low=1), whole(8, low=7), whole(4, low=3)
    ], open_batch=False),
]  # fmt: skip
LAYERS["AdaptiveLogSoftmaxWithLoss"] = [
    Recipe(
        lambda o=o: lambda a, b, m=nn.AdaptiveLogSoftmaxWithLoss(8, 9, [3, 5], **o): tuple(m(a, b)),
        lambda n: [x(n, 8), whole(9, n)],
    )
    for o in ({"div_value": 1.5}, {"div_value": 2.0, "head_bias": True})
]
for _reduction in ("mean", "sum", "none"):
    LAYERS.setdefault("GaussianNLLLoss", []).append(
        Recipe(
            lambda r=_reduction: nn.GaussianNLLLoss(full=True, reduction=r),
            lambda n: [x(n, 5), x(n, 5, seed=1), positive(n, 1)],
        )
    )
LAYERS["TripletMarginWithDistanceLoss"] = [Recipe(nn.TripletMarginWithDistanceLoss, three)]

# What is in sn.nn and is no function from tensors to tensors.
NO_FORWARD = (
    "Buffer", "Module", "Parameter", "UninitializedBuffer", "UninitializedParameter", "functional",
    "graph", "init", "utils", "KVCache", "LazyModuleMixin", "RNNBase", "RNNCellBase", "Routing",
    "add_lora", "lora_state_dict", "mark_only_lora_as_trainable", "merge_lora", "unmerge_lora",
)  # fmt: skip


# networks on graphs: edges are an argument
def edges(n: int) -> list[Any]:
    return [x(6, 4), whole(6, 2, 3 * n)]


GRAPH_LAYERS: dict[str, list[Recipe]] = {
    name: [Recipe(lambda k=name: getattr(nn.graph, k)(4, 3).eval(), edges, open_batch=False)]
    for name in ("GCNConv", "SAGEConv", "GATConv")
}

# functionals
FUNCTIONALS: dict[str, list[Recipe]] = {
    name: [call(getattr(F, name), lambda n: [x(n, 6)])]
    for name in (
        "celu", "elu", "geglu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
        "leaky_relu", "mish", "reglu", "relu", "relu6", "rrelu", "selu", "silu", "softplus",
        "softshrink", "softsign", "swiglu", "tanhshrink", "tanh", "sigmoid", "logsigmoid",
        "normalize", "softmin", "softmax", "log_softmax", "pdist",
    )
}  # fmt: skip
FUNCTIONALS["pdist"][0].open_batch = False
FUNCTIONALS |= {
    "threshold": [call(lambda t: F.threshold(t, 0.1, 3.0), lambda n: [x(n, 6)])],
    "prelu": [call(F.prelu, lambda n: [x(n, 6), x(6)])],
    "smooth_labels": [
        call(lambda t: F.smooth_labels(t, 6, 0.1), lambda n: [whole(6, n)])
    ],
    "bilinear": [call(F.bilinear, lambda n: [x(n, 3), x(n, 4), x(2, 3, 4)])],
    "channel_shuffle": [call(lambda t: F.channel_shuffle(t, 2), lambda n: [x(n, 4, 3, 3)])],
    "native_channel_shuffle": [
        call(lambda t: F.native_channel_shuffle(t, 2), lambda n: [x(n, 4, 3, 3)])
    ],
    "affine_grid": [
        call(lambda t: F.affine_grid(t, (2, 3, 5, 4), False), lambda n: [x(2, 2, 3)],
             open_batch=False)
    ],
    "grid_sample": [
        call(
            lambda t, g, m=m, p=p, a=a: F.grid_sample(t, g, m, p, a),
            lambda n: [x(n, 2, 5, 6), x(n, 3, 4, 2, seed=1) * 0.7],
        )
        for m in ("bilinear", "nearest", "bicubic")
        for p in ("zeros", "border", "reflection")
        for a in (False, True)
    ],
    "instance_norm": [call(F.instance_norm, lambda n: [x(n, 3, 5)])],
    "conv_tbc": [call(F.conv_tbc, lambda n: [x(6, n, 3), x(2, 3, 4), x(4)])],
    "scaled_dot_product_attention": [
        call(
            lambda q, k, o=o: F.scaled_dot_product_attention(q, k, k, **o),
            lambda n: [x(n, 2, 5, 4), x(n, 2, 6, 4, seed=1)],
        )
        for o in ({}, {"is_causal": True}, {"scale": 0.3}, {"window": (2, 1)}, {"window": 0})
    ] + [
        call(
            lambda q, k, m: F.scaled_dot_product_attention(q, k, k, m > 0),
            lambda n: [x(n, 2, 5, 4), x(n, 2, 6, 4, seed=1), x(n, 1, 5, 6, seed=2) - 1.0],
        ),
        call(
            lambda q, k, m: F.scaled_dot_product_attention(q, k, k, m),
            lambda n: [x(n, 2, 5, 4), x(n, 2, 6, 4, seed=1), x(5, 6, seed=2)],
        ),
        call(
            lambda q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True),
            lambda n: [x(n, 4, 5, 4), x(n, 2, 6, 4, seed=1)],
        ),
    ],
    "linear_cross_entropy": [
        call(F.linear_cross_entropy, lambda n: [x(n, 5), x(7, 5), whole(7, n)])
    ],
    "batch_norm": [
        call(
            F.batch_norm,
            lambda n: [x(n, 3, 4), x(3), positive(3), x(3), x(3)],
        )
    ],
}  # fmt: skip
