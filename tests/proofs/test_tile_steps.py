"""Short epilogues that kernels do on their accumulators give the bits of the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sennit as sn

F = sn.nn.functional

# By name: what follows the convolution y, with per-channel vectors a, b, c (C, 1, 1), the residual
# r of y's shape, and the tensor s of one element.
FORMS: dict[str, Callable[..., Any]] = {
    "bias": lambda y, a, b, c, r, s: y + a,
    "bias first": lambda y, a, b, c, r, s: a + y,
    "norm": lambda y, a, b, c, r, s: (y - a) * b + c,
    "norm relu": lambda y, a, b, c, r, s: F.relu((y - a) * b + c),
    "norm relu6": lambda y, a, b, c, r, s: F.relu6((y - a) * b + c),
    "norm residual relu": lambda y, a, b, c, r, s: F.relu(r + ((y - a) * b + c)),
    "residual": lambda y, a, b, c, r, s: y + r,
    "scale": lambda y, a, b, c, r, s: y * b,
    "two norms": lambda y, a, b, c, r, s: ((y - a) * b + c - b) * c + a + b,
    "numbers": lambda y, a, b, c, r, s: (y * 2.0 - 0.5) * 3.0 + 1.0,
    "one element": lambda y, a, b, c, r, s: (y - s) * s + s,
    "hard limits": lambda y, a, b, c, r, s: sn.clip(y, -0.25, 0.25),
    "maximum": lambda y, a, b, c, r, s: sn.maximum(y + a, 0.1),
    "minimum": lambda y, a, b, c, r, s: sn.minimum(y * b, 0.1),
    "nan limit": lambda y, a, b, c, r, s: sn.clip(y, float("nan"), 1.0),
    "relu residual clip": lambda y, a, b, c, r, s: sn.clip(F.relu(y + a) + r, 0.0, 1.0),
    "hard swish": lambda y, a, b, c, r, s: (y + a) * sn.clip(y + a + 3.0, 0.0, 6.0) / 6.0,
    "kept": lambda y, a, b, c, r, s: sn.minimum(sn.maximum((y + a) * b, 0.0), s) * y / b,
    "kept late": lambda y, a, b, c, r, s: F.relu(y - a) * (F.relu(y - a) + 0.5) + r,
    "quotients": lambda y, a, b, c, r, s: (y / b + a) / s,
    "more than eight": lambda y, a, b, c, r, s: (
        F.relu(F.relu(F.relu(y + a) + r) + b + r) + r + r + r + r + r
    ),
    # No steps: these stay programs.
    "reversed": lambda y, a, b, c, r, s: a - y,
    "squared": lambda y, a, b, c, r, s: y * y + a,
    "two results": lambda y, a, b, c, r, s: (y + a, y),
    "two kept": lambda y, a, b, c, r, s: y * F.relu(y + a) * (y + a),
    "kept below": lambda y, a, b, c, r, s: (y + a) / y,
    "sigmoid": lambda y, a, b, c, r, s: sn.sigmoid(y + a),
}

# (images, channels in, channels out, height, width, kernel, stride, groups)
SHAPES = [
    (2, 16, 96, 5, 7, 1, 1, 1),
    (1, 130, 21, 5, 6, 3, 1, 1),
    (3, 19, 19, 9, 8, 3, 1, 19),
    (1, 48, 48, 9, 9, 3, 2, 48),
    (2, 3, 1, 6, 5, 3, 2, 1),
    (1, 1030, 8, 1, 1, 1, 1, 1),
]


def results(device: str, form: str, dtype: str, shape: tuple[int, ...]) -> list[np.ndarray]:
    n, i, o, h, w, k, stride, groups = shape
    rng = np.random.default_rng(7)

    def tensor(*size: int) -> Any:
        return place(rng.standard_normal(size))

    def place(values: np.ndarray) -> Any:
        return sn.tensor(values, dtype=getattr(sn, dtype), device=device)

    pixels = rng.standard_normal((n, i, h, w))
    pixels[0, 0, 0, 0] = np.nan
    pixels[..., -1] = 0.0
    x, weight = place(pixels), tensor(o, i // groups, k, k)
    a, b, c = (tensor(o, 1, 1) for _ in range(3))
    side = [(d + k // 2 * 2 - k) // stride + 1 for d in (h, w)]
    r, s = tensor(n, o, *side), tensor(1)
    with sn.no_grad():
        y = F.conv2d(x, weight, None, stride, k // 2, 1, groups)
        found = FORMS[form](y, a, b, c, r, s)
        found = found if isinstance(found, tuple) else (found,)
        return [np.asarray(f.to(sn.float64).numpy()) for f in found]


@pytest.mark.bits
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("form", FORMS)
def test_the_reference(form: str, dtype: str) -> None:
    for shape in SHAPES:
        pairs = zip(
            results("cpu", form, dtype, shape),
            results("reference", form, dtype, shape),
            strict=True,
        )
        for found, wanted in pairs:
            np.testing.assert_array_equal(found, wanted)
            assert (np.signbit(found) == np.signbit(wanted))[~np.isnan(found)].all()


def test_a_residual_that_is_written_over() -> None:
    """The result takes the memory of what was added, also with several segments of k."""
    for channels in (8, 1100):
        rng = np.random.default_rng(8)
        weight = sn.tensor(rng.standard_normal((8, channels, 1, 1)).astype(np.float32))
        x = sn.tensor(rng.standard_normal((2, channels, 5, 5)).astype(np.float32))
        r = sn.tensor(rng.standard_normal((2, 8, 5, 5)).astype(np.float32))
        with sn.no_grad():
            before = r * 2.0  # dies with the sum
            found = F.relu(F.conv2d(x, weight) + before)
            apart = F.conv2d(x, weight).numpy() + (r * 2.0).numpy()
        np.testing.assert_array_equal(found.numpy(), np.maximum(apart, 0))
