"""The structural half of `sn.nn` against PyTorch: the same weights give the same outputs and
gradients, under the same names."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from layer_cases import CASES, Case

import sennit as sn
from sennit import nn

pytestmark = pytest.mark.oracle

# Relative and absolute tolerance of outputs and first gradients; second ones get ten times more.
TOLERANCE = {"float32": (2e-5, 2e-5), "float64": (1e-12, 1e-12)}


def drawn(rng: np.random.Generator, draw: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if draw == "distinct":  # no ties, and no two so near that f32 confuses them
        size = int(np.prod(shape))
        return ((rng.permutation(size) - size / 2) / 16).reshape(shape).astype(dtype)
    values = rng.standard_normal(shape)
    return (np.abs(values) + 0.1 if draw == "positive" else values).astype(dtype)


def outputs(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def close(got: Any, expected: Any, dtype: str, factor: float = 1, what: str = "") -> None:
    got, expected = got.detach().numpy(), expected.detach().numpy()
    assert got.dtype == expected.dtype, what
    assert got.shape == expected.shape, what
    rtol, atol = TOLERANCE[dtype]
    np.testing.assert_allclose(got, expected, rtol * factor, atol * factor, err_msg=what)


def same_state(theirs: Any, ours: nn.Module) -> None:
    expected = {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert {k: v.shape for k, v in ours.state_dict().items()} == expected
    assert list(ours.state_dict()) == list(expected)
    named = [(n, p.requires_grad) for n, p in theirs.named_parameters()]
    assert [(n, p.requires_grad) for n, p in ours.named_parameters()] == named


def take_over(theirs: Any, ours: nn.Module, dtype: str, rng: np.random.Generator) -> None:
    """Weights that are not ones and zeros, in both."""
    import torch

    theirs.to(getattr(torch, dtype))
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.tensor(rng.standard_normal(tuple(p.shape))))
    ours.to(getattr(sn, dtype))
    ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})


def check(
    theirs: Any,
    ours: Any,
    inputs: list[np.ndarray],
    dtype: str,
    call: dict[str, Any] | None = None,
    without: tuple[str, ...] = (),
) -> None:
    """Same outputs, first and second gradients of inputs and parameters."""
    import torch

    call = call or {}
    rng = np.random.default_rng(1)
    xs = [torch.tensor(a, requires_grad=True) for a in inputs]
    zs = [sn.tensor(a, requires_grad=True) for a in inputs]
    expected, got = outputs(theirs(*xs, **call)), outputs(ours(*zs, **call))
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        if not b.dtype.is_floating_point:
            np.testing.assert_array_equal(a.numpy(), b.numpy())
        else:
            close(a, b, dtype, what="output")
    if "gradient" in without:
        return
    y, z = expected[0], got[0]
    their_leaves, our_leaves = list(xs), list(zs)
    if isinstance(ours, nn.Module):
        their_leaves += list(theirs.parameters())
        our_leaves += list(ours.parameters())
    weights = rng.standard_normal(z.shape).astype(dtype)
    first = torch.autograd.grad(
        y, their_leaves, torch.tensor(weights), create_graph=True, allow_unused=True
    )
    mine = sn.gradients([z], our_leaves, [sn.tensor(weights)], create_graph=True)
    for i, (a, b) in enumerate(zip(mine, first, strict=True)):
        if b is None:
            assert a is None or not a.numpy().any()
            continue
        close(a, b, dtype, 4, f"first gradient {i}")
    if "second" in without or z.size == 0:
        return
    # The gradient of a weighted sum of the squares of the gradients.
    kept = [i for i, b in enumerate(first) if b is not None and b.requires_grad]
    if not kept:
        return
    total = sum((first[i] ** 2).sum() * (0.1 * (k + 1)) for k, i in enumerate(kept))
    try:
        second = torch.autograd.grad(total, their_leaves, allow_unused=True)
    except (RuntimeError, NotImplementedError) as error:
        if "not implemented" not in str(error) and "differentiable twice" not in str(error):
            raise
        return
    ours_total: Any = sum((mine[i] ** 2).sum() * (0.1 * (k + 1)) for k, i in enumerate(kept))
    again = sn.gradients([ours_total], our_leaves)
    for i, (a, b) in enumerate(zip(again, second, strict=True)):
        if b is None:
            assert a is None or not a.numpy().any()
            continue
        a = sn.zeros(our_leaves[i].shape, dtype=our_leaves[i].dtype) if a is None else a
        scale = max(1.0, float(b.abs().max()) if b.numel() else 1.0)
        close(a, b, dtype, 40 * scale, f"second gradient {i}")


def shown(module: Any) -> str:
    """The repr; whether a normalisation tells of its bias depends on PyTorch's version."""
    return repr(module).replace(", bias=True, track", ", track").replace(", bias=True)", ")")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_layer(torch: Any, case: Case, dtype: str) -> None:
    rng = np.random.default_rng(0)
    theirs = getattr(torch.nn, case.name)(*case.args, **case.kwargs)
    ours = getattr(nn, case.name)(*case.args, **case.kwargs)
    same_state(theirs, ours)
    assert shown(ours) == shown(theirs)
    take_over(theirs, ours, dtype, rng)
    for _ in range(2):  # running statistics move
        inputs = [drawn(rng, case.draw, shape, dtype) for shape in case.shapes]
        check(theirs, ours, inputs, dtype, case.call, case.without)
    for (name, a), b in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        close(a, b, dtype, what=name)
    theirs.eval()
    ours.eval()
    inputs = [drawn(rng, case.draw, shape, dtype) for shape in case.shapes]
    check(theirs, ours, inputs, dtype, case.call, case.without)


HALVES = [c for c in CASES if c.shapes[0][0] != 0 and not c.name.endswith("Distance")]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("case", HALVES, ids=str)
def test_half_types(case: Case, dtype: str) -> None:
    """A half type gives what float32 gives for the same numbers, nearly, and keeps the dtype."""
    rng = np.random.default_rng(0)
    kind = getattr(sn, dtype)
    layer = getattr(nn, case.name)(*case.args, **case.kwargs).to(kind).eval()
    inputs = [
        sn.tensor(drawn(rng, case.draw, s, "float32") / 4).astype(kind) for s in case.shapes
    ]
    got = outputs(layer(*inputs, **case.call))
    wide = outputs(layer.float()(*[x.astype(sn.float32) for x in inputs], **case.call))
    rtol = {"float16": 1e-2, "bfloat16": 8e-2}[dtype]
    for a, b in zip(got, wide, strict=True):
        if not b.dtype.is_floating_point:
            continue
        assert a.dtype == kind
        scale = float(b.abs().max()) if b.size else 1.0
        np.testing.assert_allclose(
            a.astype(sn.float32).numpy(), b.numpy(), rtol=rtol, atol=rtol * scale
        )


def parameters_of(function: Any) -> list[tuple[str, Any]]:
    listed = list(inspect.signature(function).parameters.values())
    return [(p.name, p.default) for p in listed if p.name != "self"]


@pytest.mark.parametrize("name", sorted({c.name for c in CASES} - {"Identity"}))
def test_signature(torch: Any, name: str) -> None:
    """The same parameters with the same defaults, and a forward with the same names."""
    theirs, ours = getattr(torch.nn, name), getattr(nn, name)
    assert parameters_of(ours.__init__) == parameters_of(theirs.__init__)
    assert [n for n, _ in parameters_of(ours.forward)] == [
        n for n, _ in parameters_of(theirs.forward)
    ]


LAZY = [n for n in nn.__all__ if n.startswith("Lazy") and n != "LazyModuleMixin"]
LAZY_ARGS: dict[str, tuple[tuple[Any, ...], tuple[int, ...]]] = {
    "LazyLinear": ((3,), (2, 4)),
    **{f"LazyConv{r}d": ((3, 2), (2, 4, *(5,) * r)) for r in (1, 2, 3)},
    **{f"LazyConvTranspose{r}d": ((3, 2), (2, 4, *(5,) * r)) for r in (1, 2, 3)},
    **{f"LazyBatchNorm{r}d": ((), (2, 4, *(5,) * r)) for r in (1, 2, 3)},
    **{f"LazyInstanceNorm{r}d": ((), (2, 4, *(5,) * r)) for r in (1, 2, 3)},
}


@pytest.mark.parametrize("name", LAZY)
def test_lazy(torch: Any, name: str) -> None:
    args, shape = LAZY_ARGS[name]
    theirs, ours = getattr(torch.nn, name)(*args), getattr(nn, name)(*args)
    assert parameters_of(type(ours).__init__) == parameters_of(type(theirs).__init__)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert shown(ours) == shown(theirs)
    data = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    theirs(torch.tensor(data))
    ours(sn.tensor(data))
    assert type(ours).__name__ == type(theirs).__name__ == name.removeprefix("Lazy")
    assert shown(ours) == shown(theirs)
    same_state(theirs, ours)
    theirs.eval()
    ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
    check(theirs, ours.eval(), [data], "float32")
    # A state decides the shapes of a layer that has seen no input, and is kept.
    fresh = getattr(nn, name)(*args)
    fresh.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
    check(theirs, fresh.eval(), [data], "float32")
    assert shown(fresh) == shown(theirs)


INITIAL = [
    ("Linear", (300, 200), {}),
    ("Bilinear", (30, 20, 40), {}),
    ("Conv2d", (16, 32, 3), {"groups": 2}),
    ("ConvTranspose2d", (16, 32, 3), {"groups": 2}),
    ("Conv1d", (64, 64, 5), {}),
    ("ConvTranspose3d", (16, 16, 3), {}),
    ("BatchNorm2d", (5,), {}),
    ("GroupNorm", (2, 6), {}),
    ("LayerNorm", (7,), {}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), INITIAL, ids=lambda v: str(v))
def test_initial_values(torch: Any, name: str, args: Any, kwargs: Any) -> None:
    """The same distribution: the same range and deviation."""
    torch.manual_seed(0)
    sn.random.seed(0)
    theirs = getattr(torch.nn, name)(*args, **kwargs).state_dict()
    ours = getattr(nn, name)(*args, **kwargs).state_dict()
    for key, expected in theirs.items():
        a, b = ours[key].numpy().astype(float), expected.numpy().astype(float)
        if b.size < 100:
            tolerance = 0.4 * np.abs(b).max() if b.std() > 0 else 0.0
        else:
            tolerance = 0.05 * np.abs(b).max()
        assert abs(np.abs(a).max() - np.abs(b).max()) <= tolerance, key
        assert abs(a.std() - b.std()) <= tolerance, key
        assert abs(a.mean() - b.mean()) <= tolerance, key
