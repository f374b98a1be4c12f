"""Arguments, their order and defaults are those of PyTorch, for what this half of `sn.nn` has."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import sennit as sn
from sennit import nn

pytestmark = pytest.mark.oracle


def names(text: str) -> list[str]:
    return text.split()


# Gone: deprecated, or of no meaning here. Layers here take no device, and weights by themselves.
LEFT_OUT = {
    "size_average", "reduce", "device", "_weight", "_freeze", "_stacklevel", "generator",
    "min_value", "max_value",
}  # fmt: skip
# Deliberately otherwise: docs/differences.md and docs/losses_and_metrics.md.
OTHERWISE = {
    ("LinearCrossEntropyLoss", "options"), ("linear_cross_entropy", "options"),
    ("Softmax", "dim"), ("LogSoftmax", "dim"), ("Softmin", "dim"),
    ("softmax", "dim"), ("log_softmax", "dim"), ("softmin", "dim"),
}  # fmt: skip
CLASSES = names(
    "AdaptiveLogSoftmaxWithLoss BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss "
    "CrossEntropyLoss GaussianNLLLoss HingeEmbeddingLoss HuberLoss KLDivLoss L1Loss "
    "LinearCrossEntropyLoss MSELoss MarginRankingLoss MultiLabelMarginLoss "
    "MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss PoissonNLLLoss SmoothL1Loss SoftMarginLoss "
    "TripletMarginLoss TripletMarginWithDistanceLoss CosineSimilarity PairwiseDistance CELU ELU "
    "GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish "
    "PReLU RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus Softshrink "
    "Softsign Tanh Tanhshrink Threshold Embedding EmbeddingBag MultiheadAttention Transformer "
    "TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer"
)
FUNCTIONS = names(
    "bilinear celu cosine_embedding_loss cosine_similarity ctc_loss elu embedding embedding_bag "
    "gaussian_nll_loss gelu glu gumbel_softmax hardshrink hardsigmoid hardswish hardtanh "
    "hinge_embedding_loss huber_loss kl_div l1_loss leaky_relu linear_cross_entropy log_softmax "
    "margin_ranking_loss mish mse_loss multi_head_attention_forward multi_margin_loss "
    "multilabel_margin_loss multilabel_soft_margin_loss pairwise_distance poisson_nll_loss "
    "relu relu6 rrelu selu silu soft_margin_loss softmax softmin softplus "
    "softshrink softsign tanhshrink threshold triplet_margin_loss "
    "triplet_margin_with_distance_loss"
)
INITIALISERS = names(
    "calculate_gain constant_ dirac_ eye_ kaiming_normal_ kaiming_uniform_ normal_ ones_ "
    "orthogonal_ sparse_ trunc_normal_ uniform_ xavier_normal_ xavier_uniform_ zeros_"
)


def arguments(function: Any) -> dict[str, Any]:
    return {
        name: p.default
        for name, p in inspect.signature(function).parameters.items()
        if name not in LEFT_OUT and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }


def check(name: str, ours: Any, theirs: Any) -> None:
    try:
        wanted = arguments(theirs)
    except ValueError:
        pytest.skip("PyTorch's is built in and shows no signature")
    got = arguments(ours)
    wanted = {k: v for k, v in wanted.items() if (name, k) not in OTHERWISE}
    shared = [k for k in got if k in wanted]
    assert shared == list(wanted), f"{name}: {list(got)}, PyTorch has {list(wanted)}"
    for key, default in wanted.items():
        if callable(default) and default is not inspect.Parameter.empty:
            continue  # a function of one's own
        assert got[key] == default, f"{name}: {key} is {got[key]}, in PyTorch {default}"


@pytest.mark.parametrize("name", CLASSES)
def test_class(torch: Any, name: str) -> None:
    check(name, getattr(nn, name).__init__, getattr(torch.nn, name).__init__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(torch: Any, name: str) -> None:
    ours, theirs = (getattr(lib.nn.functional, name) for lib in (sn, torch))
    if hasattr(ours, "registry_signature"):
        pytest.skip("a function of the registry, whose tensors have names of their own")
    check(name, ours, theirs)


@pytest.mark.parametrize("name", INITIALISERS)
def test_initialiser(torch: Any, name: str) -> None:
    check(name, getattr(nn.init, name), getattr(torch.nn.init, name))
