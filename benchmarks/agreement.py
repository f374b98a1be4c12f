"""Do all sides compute the same? Samples of results, and who differs from the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SAMPLE = 64
PIECE = 1 << 16


def sample(results: Sequence[Any]) -> list[dict[str, Any]]:
    """Of each result its shape, evenly spaced values, and the mean of its magnitudes."""
    found = []
    for result in results:
        array = np.asarray(result)
        flat = array.reshape(-1)
        places = np.unique(np.linspace(0, flat.size - 1, min(SAMPLE, flat.size)).astype(np.int64))
        # In pieces: a large temporary would count as the library's peak memory.
        pieces = (flat[i : i + PIECE] for i in range(0, flat.size, PIECE))
        total = sum(float(np.abs(p, dtype=np.float64).sum()) for p in pieces)
        values = [*flat[places], total / flat.size] if flat.size else []
        found.append({"shape": list(array.shape), "values": [float(v) for v in values]})
    return found


def differences(samples: Mapping[str, list[dict[str, Any]]], tolerance: float) -> dict[str, str]:
    """By side, how it differs from the middle of all sides; empty when all agree.

    With two sides nobody can say which one is wrong: both are named.
    """
    found: dict[str, str] = {}
    if len(samples) < 2:
        lone = {n: s for n, s in samples.items() if not all(_finite(r) for r in s)}
        return dict.fromkeys(lone, "gives infinities or NaN")
    shapes = {name: [tuple(r["shape"]) for r in s] for name, s in samples.items()}
    common = max(shapes.values(), key=list(shapes.values()).count)
    for name, shape in shapes.items():
        if shape != common:
            found[name] = f"gives shapes {shape}, the others {common}"
    alike = {n: s for n, s in samples.items() if n not in found}
    for index in range(len(common)):
        values = {n: np.array(s[index]["values"]) for n, s in alike.items()}
        stack = np.stack(list(values.values()))
        middle = np.median(stack, axis=0)
        if not np.isfinite(middle).all():
            middle = np.nan_to_num(middle)
        scale = max(float(np.abs(middle).max(initial=0)), 1e-30)
        for name, own in values.items():
            if not np.isfinite(own).all():
                found.setdefault(name, f"result {index} has infinities or NaN")
                continue
            off = float(np.abs(own - middle).max(initial=0)) / scale
            off = off * 2 if len(values) == 2 else off  # the middle of two is half-way
            if off > tolerance:
                found.setdefault(
                    name, f"result {index} is off by {off:.1e} of its largest value "
                    f"(at most {tolerance:.0e})"
                )  # fmt: skip
    return found


def _finite(result: dict[str, Any]) -> bool:
    return bool(np.isfinite(result["values"]).all())
