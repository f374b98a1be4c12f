"""Arguments that activations and losses refuse, and shapes at the edge that they take."""

from __future__ import annotations

import pytest

import sennit as sn
from sennit.nn import functional as F


@pytest.mark.parametrize("call, text", [
    (lambda x: F.hardtanh(x, 0.5, -0.5), r"\[hardtanh\] min_val is 0.5 and max_val -0.5"),
    (lambda x: F.softshrink(x, -0.5), r"\[softshrink\] lambd is -0.5"),
    (lambda x: F.prelu(x, sn.ones(2)), r"\[prelu\] .* required, \(3,\)"),
    (lambda x: F.prelu(x, sn.ones((3, 1))), r"\[prelu\] .* weight \(3, 1\)"),
])  # fmt: skip
def test_arguments_of_activations(call, text):
    with pytest.raises(sn.SennitError, match=text):
        call(sn.ones((2, 3)))


def test_numbers_keep_their_shape():
    x = sn.tensor(-2.0)
    assert F.prelu(x, sn.tensor([0.5])).shape == ()
    assert F.multi_margin_loss(x, sn.tensor(0)).item() == 0.0
    assert F.multilabel_margin_loss(x, sn.tensor(0)).item() == 0.0
    with pytest.raises(sn.ShapeError, match="weight"):
        F.multi_margin_loss(x, sn.tensor(0), weight=sn.ones(2))


def test_weights_of_elements():
    x, t = sn.tensor([[0.5, -1.0], [2.0, 0.0]]), sn.tensor([[1.0, 0.0], [0.0, 1.0]])
    w = sn.tensor([[1.0, 2.0], [3.0, 4.0]])
    each = F.binary_cross_entropy_with_logits(x, t, w, "none").mean(-1)
    got = F.multilabel_soft_margin_loss(x, t, w, "none")
    assert abs(got - each).max().item() < 1e-6
    with pytest.raises(sn.SennitError):
        F.multilabel_soft_margin_loss(x, t, sn.ones((3, 2)))
