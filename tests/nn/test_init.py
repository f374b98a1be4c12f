"""Initial values: ranges, deviations, reproducibility."""

from __future__ import annotations

import math

import numpy as np
import pytest

import sennit as sn
from sennit.nn import init


def values(function, shape, *args, **kwargs):  # type: ignore[no-untyped-def]
    sn.random.seed(3)
    return function(sn.empty(shape), *args, **kwargs).numpy()


def test_ranges_and_deviations() -> None:
    shape = (200, 100)
    x = values(init.uniform_, shape, -2.0, 3.0)
    assert x.min() >= -2 and x.max() < 3 and abs(x.mean() - 0.5) < 0.05
    x = values(init.normal_, shape, 1.0, 2.0)
    assert abs(x.mean() - 1) < 0.05 and abs(x.std() - 2) < 0.05
    x = values(init.kaiming_uniform_, shape, a=math.sqrt(5))
    assert np.abs(x).max() <= 0.1 and np.abs(x).max() > 0.099
    x = values(init.kaiming_normal_, shape, mode="fan_out", nonlinearity="relu")
    assert abs(x.std() - math.sqrt(2 / 200)) < 0.002
    x = values(init.xavier_uniform_, shape)
    assert np.abs(x).max() <= math.sqrt(6 / 300)
    x = values(init.xavier_normal_, shape, gain=2.0)
    assert abs(x.std() - 2 * math.sqrt(2 / 300)) < 0.003
    x = values(init.trunc_normal_, shape, 0.0, 1.0, -1.0, 0.5)
    assert x.min() >= -1 and x.max() <= 0.5
    assert abs(x.mean() - -0.2038) < 0.01  # of the truncated distribution


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (4, 2, 3), (6, 6)])
def test_orthogonal(shape) -> None:  # type: ignore[no-untyped-def]
    q = values(init.orthogonal_, shape, gain=2.0).reshape(shape[0], -1) / 2
    gram = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)


def test_same_seed_same_bits() -> None:
    assert np.array_equal(values(init.normal_, (7, 3)), values(init.normal_, (7, 3)))


def test_linear_and_conv_defaults() -> None:
    layer = sn.nn.Conv2d(4, 8, 3)
    bound = 1 / math.sqrt(36)
    assert layer.weight.abs().max().item() <= bound and layer.bias.abs().max().item() <= bound


def test_keeps_parameters_trainable() -> None:
    p = sn.nn.Parameter(sn.zeros((2, 2)))
    assert init.ones_(p) is p
    assert p.requires_grad and p.is_leaf and p.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_mistakes() -> None:
    with pytest.raises(sn.ShapeError):
        init.xavier_normal_(sn.empty(3))
    with pytest.raises(sn.InvalidValue):
        init.kaiming_normal_(sn.empty((3, 3)), mode="fan")
    with pytest.raises(sn.InvalidValue):
        init.calculate_gain("swoosh")
    with pytest.raises(sn.InvalidValue):
        init.trunc_normal_(sn.empty(3), 0.0, 1.0, 7.0, 9.0)
    with pytest.raises(sn.ShapeError):
        init.eye_(sn.empty(3))
