"""How many kernels plain code runs as: what sn.explain() counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import Row, Settings


def count(call: Callable[[], Any]) -> tuple[int, int]:
    """Operations recorded and kernels run."""
    import sennit as sn

    sn.synchronize()
    with sn.explain() as did:
        result = call()
        sn.synchronize()
    del result
    return did.recorded, did.kernels


def run(settings: Settings, skipped: dict[str, str]) -> list[Row]:
    import sennit as sn
    import sennit.nn.functional as F

    rng = np.random.default_rng(0)

    def random(*shape: int) -> Any:
        return sn.asarray(rng.standard_normal(shape, dtype=np.float32))

    x, w1, w2, b1, b2 = (
        random(64, 256),
        random(256, 512),
        random(512, 256),
        random(512),
        random(256),
    )
    cases: list[tuple[str, Callable[[], Any], int]] = [
        (
            "x + W2 gelu(W1 layer_norm(x) + b1) + b2",
            lambda: x + F.gelu(F.layer_norm(x, (256,)) @ w1 + b1) @ w2 + b2,
            3,
        ),
        ("x + layer_norm(gelu(x))", lambda: x + F.layer_norm(F.gelu(x), (256,)), 1),
        ("gelu_tanh(x*a+b)*sigmoid(x)", lambda: sn.gelu_tanh(x * b2 + b2) * sn.sigmoid(x), 1),
    ]
    rows = []
    for name, call, goal in cases:
        recorded, kernels = count(call)
        rows.append(
            Row("kernels", name, 0, f"{recorded} ops", figure=float(kernels), target=goal,
                at_most=True, unit="kernels")
        )  # fmt: skip
    return rows
