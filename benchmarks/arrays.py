"""Weights and data that are the same in every library: each follows from a name and a shape."""

from __future__ import annotations

import math
import zlib

import numpy as np


def generator(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def normal(name: str, *shape: int) -> np.ndarray:
    return generator(name).standard_normal(shape, dtype=np.float32)


def integers(name: str, high: int, *shape: int) -> np.ndarray:
    return generator(name).integers(0, high, shape)


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter by its name in a `state_dict`, scaled so that deep networks stay finite."""
    values = normal(name, *shape)
    if name.endswith("running_var"):
        return 1 + 0.1 * np.abs(values)
    if name.endswith(("bias", "running_mean")) or "bias_" in name:
        return 0.02 * values
    if len(shape) == 1:  # the scale of a normalisation
        return 1 + 0.1 * values
    if "embed" in name:
        return 0.1 * values
    fan_in = math.prod(shape[1:])
    return values / np.float32(math.sqrt(fan_in))


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    return {name: weight(name, shape) for name, shape in shapes.items()}
