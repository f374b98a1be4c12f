"""f32 products: squares, few rows by a large matrix, transposed operands."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.arrays import normal
from benchmarks.workload import Workload, kernel


def product(
    rows: int, inner: int, columns: int, form: str = "NN", targets: dict[str, float] | None = None
) -> Workload:
    """`form`: a letter per operand, N as stored, T transposed."""
    square = rows == inner == columns
    shape = f"{rows}²" if square else f"{rows}×{inner} · {inner}×{columns}"
    title = f"product {shape}" + ("" if form == "NN" else f", {form}")

    def arrays() -> dict[str, np.ndarray]:
        a, b = (rows, inner), (inner, columns)
        return {
            "a": normal("a", *(a[::-1] if form[0] == "T" else a)),
            "b": normal("b", *(b[::-1] if form[1] == "T" else b)),
        }

    def matmul(t: Any, a: Any, b: Any) -> Any:
        return (a.T if form[0] == "T" else a) @ (b.T if form[1] == "T" else b)

    def tensorflow(t: Any, a: Any, b: Any) -> Any:
        return t.lib.matmul(a, b, transpose_a=form[0] == "T", transpose_b=form[1] == "T")

    def mxnet(t: Any, a: Any, b: Any) -> Any:
        return t.nd.dot(a, b, transpose_a=form[0] == "T", transpose_b=form[1] == "T")

    return kernel(
        f"product-{rows}x{inner}x{columns}-{form}", "products", title, arrays,
        torch=matmul, jax=matmul, numpy=matmul, tensorflow=tensorflow, mxnet=mxnet,
        flops=2.0 * rows * inner * columns,
        bytes=4.0 * (rows * inner + inner * columns + rows * columns),
        targets=targets or {}, featured=square and rows == 4096 and form == "NN",
    )  # fmt: skip


WORKLOADS = [
    product(256, 256, 256),
    product(512, 512, 512, targets={"floor": 0.85}),
    product(1024, 1024, 1024, targets={"floor": 0.85}),
    product(1024, 1024, 1024, "NT", targets={"floor": 0.77}),
    product(1024, 1024, 1024, "TN", targets={"floor": 0.77}),
    product(2048, 2048, 2048, targets={"floor": 0.85}),
    product(4096, 4096, 4096, targets={"floor": 0.82}),
    product(32, 4096, 4096),
    product(1, 4096, 4096),
]
