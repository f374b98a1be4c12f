"""A user's program, checked by mypy --strict and run: the stubs must know what it uses."""

from __future__ import annotations

from typing import assert_type

import sennit as sn


def mean_square(x: sn.Tensor, y: sn.Tensor) -> sn.Tensor:
    difference = x - y
    return (difference * difference).mean()


def train(steps: int, rate: float) -> float:
    sn.random.seed(0)
    x = sn.randn(16, 3)
    target = x @ sn.tensor([[1.0], [-2.0], [0.5]]) + 0.25
    w = sn.zeros((3, 1), requires_grad=True)
    b = sn.zeros(1, dtype=sn.float32, requires_grad=True)
    loss = sn.tensor(0.0)
    for _ in range(steps):
        loss = mean_square(x @ w + b, target)
        loss.backward()
        with sn.no_grad():
            for p in (w, b):
                if p.grad is not None:
                    p -= rate * p.grad
                p.grad = None
    return float(loss)


def shapes() -> tuple[int, ...]:
    x = sn.arange(24).reshape(2, 3, 4)
    assert_type(x, sn.Tensor)
    assert_type(x.shape, tuple[int, ...])
    y = x.permute_dims(2, 0, 1).sum(dim=0, keepdim=True)
    z = sn.sum(x, axis=(0, 1), dtype=sn.int32)
    values, indices = sn.topk(z, k=2)
    assert_type(values, sn.Tensor)
    parts = sn.split(x, 2, dim=2)
    assert_type(parts, list[sn.Tensor])
    picked = sn.gather(x, dim=0, index=sn.zeros((1, 3, 4), dtype=sn.int64))
    first = x[0, ..., 1:3]
    x[0, 0] = 7
    x += 1
    mask = x > 3
    assert_type(mask, sn.Tensor)
    return y.shape + indices.shape + parts[0].shape + picked.shape + first.shape + x[mask].shape


def gradients() -> float:
    f = sn.value_and_grad(lambda x: (x**2).sum())
    value, slope = f(sn.tensor([1.0, 2.0]))
    try:
        sn.ones(2) + sn.ones(3)
    except sn.ShapeError as error:
        assert error.code == "SN101"
        assert error.op == "add"
    return float(value) + float(slope.sum())


def graphs() -> float:
    graph = sn.trace(mean_square, sn.TensorSpec((2, 3)), sn.TensorSpec((2, 3), dtype=sn.float32))
    assert_type(graph, sn.Graph)
    assert_type(graph.nodes[0].outputs[0].shape, tuple[int | sn.Size, ...])
    assert_type(graph.parameters, dict[str, sn.Tensor])
    assert_type(graph.optimize(["simplify"], show=False).memory_plan().peak, int)
    assert_type(sn.trace(sn.eye(3)), sn.Tensor)
    return float(graph(sn.ones((2, 3)), sn.zeros((2, 3))))


if __name__ == "__main__":
    assert train(200, 0.1) < 1e-3
    assert shapes()[:3] == (1, 2, 3)
    assert gradients() == 11.0
    assert graphs() == 1.0
    print("typed program: ok")
