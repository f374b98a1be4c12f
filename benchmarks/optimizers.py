"""PyTorch's update rules on one parameter, for the libraries that have none of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# (slots, update(p, g, slots, step counted from 1, sqrt) -> (p, slots))
Rule = tuple[int, Callable[..., tuple[Any, list[Any]]]]


def sgd(lr: float, momentum: float = 0.0) -> Rule:
    def update(p: Any, g: Any, slots: list[Any], t: Any, sqrt: Any) -> tuple[Any, list[Any]]:
        if not momentum:
            return p - lr * g, []
        moved = momentum * slots[0] + g
        return p - lr * moved, [moved]

    return (1 if momentum else 0), update


def adam(lr: float, decay: float = 0.0) -> Rule:
    """Adam with decoupled weight decay (AdamW) when `decay` is not zero."""

    def update(p: Any, g: Any, slots: list[Any], t: Any, sqrt: Any) -> tuple[Any, list[Any]]:
        m = 0.9 * slots[0] + 0.1 * g
        v = 0.999 * slots[1] + 0.001 * g * g
        p = p * (1 - lr * decay) if decay else p
        scale = sqrt(1 - 0.999**t)
        return p - lr / (1 - 0.9**t) * m / (sqrt(v) / scale + 1e-8), [m, v]

    return 2, update
