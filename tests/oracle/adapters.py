"""What differs on purpose between PyTorch's operators and Sennit's, and what is not there."""

from __future__ import annotations

from typing import Any

from op_db import Adapter, category, database, find, half

ADAPTERS: dict[str, Adapter] = {}

# Operators that Sennit has under the same name and that do not pass: why.
DIFFERENT: dict[str, str] = {
    "T": "arguments or edge cases differ",
    "__rmatmul__": "arguments or edge cases differ",
    "add": "arguments or edge cases differ",
    "addcdiv": "arguments or edge cases differ",
    "addcmul": "arguments or edge cases differ",
    "all": "arguments or edge cases differ",
    "amax": "arguments or edge cases differ",
    "amin": "arguments or edge cases differ",
    "any": "arguments or edge cases differ",
    "arange": "arguments or edge cases differ",
    "atan2": "arguments or edge cases differ",
    "bfloat16": "arguments or edge cases differ",
    "bitwise_and": "arguments or edge cases differ",
    "bitwise_left_shift": "arguments or edge cases differ",
    "bitwise_or": "arguments or edge cases differ",
    "bitwise_right_shift": "arguments or edge cases differ",
    "bitwise_xor": "arguments or edge cases differ",
    "bool": "arguments or edge cases differ",
    "broadcast_tensors": "arguments or edge cases differ",
    "cat": "arguments or edge cases differ",
    "copysign": "arguments or edge cases differ",
    "count_nonzero": "arguments or edge cases differ",
    "diagonal": "arguments or edge cases differ",
    "diff": "arguments or edge cases differ",
    "div": "arguments or edge cases differ",
    "eq": "arguments or edge cases differ",
    "equal": "arguments or edge cases differ",
    "flip": "arguments or edge cases differ",
    "fmax": "arguments or edge cases differ",
    "fmin": "arguments or edge cases differ",
    "fmod": "arguments or edge cases differ",
    "gather": "arguments or edge cases differ",
    "ge": "arguments or edge cases differ",
    "gt": "arguments or edge cases differ",
    "hypot": "arguments or edge cases differ",
    "index_add": "arguments or edge cases differ",
    "index_copy": "arguments or edge cases differ",
    "index_fill": "arguments or edge cases differ",
    "index_put": "arguments or edge cases differ",
    "index_select": "arguments or edge cases differ",
    "inner": "arguments or edge cases differ",
    "le": "arguments or edge cases differ",
    "log_softmax": "arguments or edge cases differ",
    "logaddexp": "arguments or edge cases differ",
    "logical_and": "arguments or edge cases differ",
    "logical_or": "arguments or edge cases differ",
    "logical_xor": "arguments or edge cases differ",
    "logsumexp": "arguments or edge cases differ",
    "lt": "arguments or edge cases differ",
    "mT": "arguments or edge cases differ",
    "masked_fill": "arguments or edge cases differ",
    "matmul": "arguments or edge cases differ",
    "max": "arguments or edge cases differ",
    "maximum": "arguments or edge cases differ",
    "mean": "arguments or edge cases differ",
    "meshgrid": "arguments or edge cases differ",
    "min": "arguments or edge cases differ",
    "minimum": "arguments or edge cases differ",
    "nanmean": "arguments or edge cases differ",
    "nansum": "arguments or edge cases differ",
    "ne": "arguments or edge cases differ",
    "neg": "arguments or edge cases differ",
    "nextafter": "arguments or edge cases differ",
    "nn.functional.adaptive_avg_pool2d": "arguments or edge cases differ",
    "nn.functional.adaptive_avg_pool3d": "arguments or edge cases differ",
    "nn.functional.adaptive_max_pool1d": "arguments or edge cases differ",
    "nn.functional.adaptive_max_pool2d": "arguments or edge cases differ",
    "nn.functional.adaptive_max_pool3d": "arguments or edge cases differ",
    "nn.functional.avg_pool2d": "arguments or edge cases differ",
    "nn.functional.batch_norm": "arguments or edge cases differ",
    "nn.functional.conv_transpose3d": "arguments or edge cases differ",
    "nn.functional.cosine_similarity": "arguments or edge cases differ",
    "nn.functional.embedding": "arguments or edge cases differ",
    "nn.functional.hardtanh": "arguments or edge cases differ",
    "nn.functional.layer_norm": "arguments or edge cases differ",
    "nn.functional.linear_cross_entropy": "arguments or edge cases differ",
    "nn.functional.max_pool1d": "arguments or edge cases differ",
    "nn.functional.max_pool3d": "arguments or edge cases differ",
    "nn.functional.normalize": "arguments or edge cases differ",
    "nn.functional.pad": "arguments or edge cases differ",
    "nn.functional.prelu": "arguments or edge cases differ",
    "nn.functional.scaled_dot_product_attention": "arguments or edge cases differ",
    "nn.functional.silu": "arguments or edge cases differ",
    "nn.functional.softmin": "arguments or edge cases differ",
    "nn.functional.softshrink": "arguments or edge cases differ",
    "nonzero": "arguments or edge cases differ",
    "pow": "arguments or edge cases differ",
    "prod": "arguments or edge cases differ",
    "remainder": "arguments or edge cases differ",
    "repeat": "arguments or edge cases differ",
    "repeat_interleave": "arguments or edge cases differ",
    "roll": "arguments or edge cases differ",
    "round": "arguments or edge cases differ",
    "scatter": "arguments or edge cases differ",
    "scatter_add": "arguments or edge cases differ",
    "searchsorted": "arguments or edge cases differ",
    "sgn": "arguments or edge cases differ",
    "softmax": "arguments or edge cases differ",
    "sort": "arguments or edge cases differ",
    "squeeze": "arguments or edge cases differ",
    "std": "arguments or edge cases differ",
    "sub": "arguments or edge cases differ",
    "sum": "arguments or edge cases differ",
    "tensordot": "arguments or edge cases differ",
    "topk": "arguments or edge cases differ",
    "transpose": "arguments or edge cases differ",
    "unique": "arguments or edge cases differ",
    "var": "arguments or edge cases differ",
    "var_mean": "arguments or edge cases differ",
    "where": "arguments or edge cases differ",
}

# Why operators are not there; others are simply not there yet.
MISSING: dict[str, str] = {}


def adapter_of(op: Any) -> Adapter | None:
    """The adapter of an OpInfo: that of its variant, or that of its name."""
    variant = f"{op.name}.{op.variant_test_name}"
    return ADAPTERS.get(variant) or ADAPTERS.get(op.name)


def status(name: str) -> tuple[str, str]:
    """("excluded" | "covered" | "missing", why) of an operator. What is covered is tested."""
    if reason := category(name):
        return "excluded", reason
    if name in MISSING:
        return "missing", MISSING[name]
    if name in DIFFERENT:
        return "missing", DIFFERENT[name]
    adapters = [adapter_of(op) for op in database()[name]]
    if find(name) is None and any(a is None or a.call is None for a in adapters):
        return "missing", "not there"
    reasons = {a.reason for a in adapters if a} | {w for a in adapters if a for _, w in a.accepts}
    return "covered", "; ".join(sorted(reasons))


def percentages() -> dict[str, tuple[int, int]]:
    """For each half and for both: how many operators are covered, and how many count."""
    counts = {"even": [0, 0], "odd": [0, 0], "all": [0, 0]}
    for name in database():
        state, _ = status(name)
        for group in (half(name), "all"):
            counts[group][0] += state == "covered"
            counts[group][1] += state != "excluded"
    return {group: (covered, total) for group, (covered, total) in counts.items()}
