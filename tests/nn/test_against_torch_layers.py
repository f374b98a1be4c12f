"""The structural half of `sn.nn` against PyTorch: the same weights give the same outputs and
gradients, under the same names."""

from __future__ import annotations

import inspect
from functools import partial
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
    got, expected = got.detach().numpy(), expected.detach().numpy(force=True)
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
        their_leaves += [p for p in theirs.parameters() if p.requires_grad]
        our_leaves += [p for p in ours.parameters() if p.requires_grad]
    weights = rng.standard_normal(z.shape).astype(dtype)
    first = torch.autograd.grad(
        y, their_leaves, torch.tensor(weights), create_graph=True, allow_unused=True
    )
    mine = sn.gradients([z], our_leaves, [sn.tensor(weights)], create_graph=True)
    for i, (a, b) in enumerate(zip(mine, first, strict=True)):
        if b is None or a is None:  # no dependence, or one that is constant
            assert a is None or not a.numpy().any()
            assert b is None or not b.any()
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
    for _ in range(3 if theirs.state_dict() else 1):  # running statistics move
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
    inputs = [sn.tensor(drawn(rng, case.draw, s, "float32") / 4).astype(kind) for s in case.shapes]
    got = outputs(layer(*inputs, **case.call))
    wide = outputs(layer.float()(*[x.astype(sn.float32) for x in inputs], **case.call))
    rtol = {"float16": 1e-2, "bfloat16": 8e-2}[dtype]
    for a, b in zip(got, wide, strict=True):
        if not b.dtype.is_floating_point:
            continue
        assert a.dtype == kind
        scale = float(b.detach().abs().max()) if b.size else 1.0
        np.testing.assert_allclose(
            a.detach().astype(sn.float32).numpy(), b.detach().numpy(), rtol=rtol, atol=rtol * scale
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


@pytest.mark.parametrize(("name", "args", "kwargs"), INITIAL, ids=str)
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


# ---- functions ----------------------------------------------------------------------------------


def call_with(function: Any, *args: Any, **kwargs: Any) -> Any:
    """The function of its first argument."""
    return lambda x: function(x, *args, **kwargs)


def both(torch: Any, name: str) -> tuple[Any, Any]:
    return getattr(torch.nn.functional, name), getattr(nn.functional, name)


GRIDS = [
    (mode, padding, align, r)
    for r in (2, 3)
    for mode in (("bilinear", "nearest", "bicubic") if r == 2 else ("bilinear", "nearest"))
    for padding in ("zeros", "border", "reflection")
    for align in (False, True)
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("mode", "padding", "align", "r"), GRIDS, ids=str)
def test_grid_sample(torch, mode, padding, align, r, dtype) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 5, 4, 6)[: r + 2]).astype(dtype)
    grid = (rng.standard_normal((2, 4, 3, 5)[: r + 1] + (r,)) * 1.5).astype(dtype)
    theirs, ours = both(torch, "grid_sample")
    options = {"mode": mode, "padding_mode": padding, "align_corners": align}
    check(
        lambda a, b: theirs(a, b, **options),
        lambda a, b: ours(a, b, **options),
        [x, grid],
        dtype,
        without=("second",),
    )


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grid_sample_on_the_edge(torch, mode, padding, align) -> None:  # type: ignore[no-untyped-def]
    """Positions exactly on elements, edges and the sides of the input, and far away."""
    line = np.array([-2.5, -1.5, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.25, 3, 1e10])
    grid = np.stack(np.meshgrid(line, line), -1)[None].astype(np.float32)
    for size in ((1, 1), (1, 4), (4, 5)):
        x = np.random.default_rng(0).standard_normal((1, 2, *size)).astype(np.float32)
        theirs, ours = both(torch, "grid_sample")
        options = {"mode": mode, "padding_mode": padding, "align_corners": align}
        keep = slice(None) if padding == "zeros" else slice(0, -1)  # f32 loses 1e10's fraction
        expected = theirs(torch.tensor(x), torch.tensor(grid[:, keep, keep]), **options)
        got = ours(sn.tensor(x), sn.tensor(grid[:, keep, keep].copy()), **options)
        close(got, expected, "float32")


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 1, 1, 3), (2, 3, 2, 3, 4)])
def test_affine_grid(torch, size, align) -> None:  # type: ignore[no-untyped-def]
    r = len(size) - 2
    theta = np.random.default_rng(0).standard_normal((2, r, r + 1))
    theirs, ours = both(torch, "affine_grid")
    check(lambda t: theirs(t, size, align), lambda t: ours(t, size, align), [theta], "float64")


@pytest.mark.parametrize("align", [None, False, True])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(3, 4), (2, 20), (13, 11), (13, 5), (1, 1), (30, 5)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_antialias(torch, mode, size, align, dtype) -> None:  # type: ignore[no-untyped-def]
    x = np.random.default_rng(0).standard_normal((2, 3, 13, 11)).astype(dtype)
    theirs, ours = both(torch, "interpolate")
    options = {"mode": mode, "align_corners": align, "antialias": True}
    check(call_with(theirs, size, **options), call_with(ours, size, **options), [x], dtype)
    if align is None:
        factors = tuple((m + 0.3) / n for m, n in zip(size, x.shape[2:], strict=True))
        options["scale_factor"] = factors
        # Where a size stays, PyTorch's forward pass is the identity and its backward pass is not.
        stays = any(m == n for m, n in zip(size, x.shape[2:], strict=True))
        without = ("gradient",) if stays else ()
        check(call_with(theirs, **options), call_with(ours, **options), [x], dtype, None, without)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_nearest_of_integers(torch, mode) -> None:  # type: ignore[no-untyped-def]
    x = np.arange(2 * 9 * 7, dtype=np.uint8).reshape(1, 2, 9, 7)
    theirs, ours = both(torch, "interpolate")
    for n in range(1, 40):
        expected = theirs(torch.tensor(x), (n, 41 - n), mode=mode)
        np.testing.assert_array_equal(ours(sn.tensor(x), (n, 41 - n), mode=mode), expected.numpy())
        factor = 0.3 + n / 13
        expected = theirs(torch.tensor(x), scale_factor=factor, mode=mode)
        np.testing.assert_array_equal(
            ours(sn.tensor(x), scale_factor=factor, mode=mode), expected.numpy()
        )


@pytest.mark.parametrize("name", ["upsample", "upsample_nearest", "upsample_bilinear"])
def test_older_names_of_interpolate(torch, name) -> None:  # type: ignore[no-untyped-def]
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 4))
    theirs, ours = both(torch, name)
    check(call_with(theirs, (7, 9)), call_with(ours, (7, 9)), [x], "float64")


@pytest.mark.parametrize("r", [2, 3])
def test_fractional_max_pool(torch, r) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    shape = (2, 3, 9, 8, 10)[: r + 2]
    samples = rng.random((2, 3, r))
    options: list[dict[str, Any]] = [
        {"output_size": (5, 3, 4)[:r]},
        {"output_ratio": (0.6, 0.5, 0.7)[:r]},
        {"output_size": 1, "return_indices": True},
        {"output_size": 4, "return_indices": True},
    ]
    for given in options:
        for kernel in (2, (3, 2, 1)[:r]):
            x = drawn(rng, "distinct", shape, "float64")
            theirs, ours = both(torch, f"fractional_max_pool{r}d")
            check(
                call_with(theirs, kernel, **given, _random_samples=torch.tensor(samples)),
                call_with(ours, kernel, **given, _random_samples=sn.tensor(samples)),
                [x],
                "float64",
            )


@pytest.mark.parametrize("r", [1, 2, 3])
@pytest.mark.parametrize("args", [(2,), (3, 3), (2, 3), (3, 4, 1)], ids=str)
def test_max_unpool(torch, r, args) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    for shape in ((2, 3, 9, 8, 7)[: r + 2], (3, 9, 8, 7)[: r + 1]):
        data = drawn(rng, "distinct", shape, "float64")
        pool = getattr(torch.nn, f"MaxPool{r}d")(*args, return_indices=True)
        y, index = pool(torch.tensor(data))
        theirs = getattr(torch.nn, f"MaxUnpool{r}d")(*args)
        ours = getattr(nn, f"MaxUnpool{r}d")(*args)
        assert repr(ours) == repr(theirs)
        assert parameters_of(type(ours).__init__) == parameters_of(type(theirs).__init__)
        own = sn.tensor(index.numpy())
        for size in (shape[-r:], shape if len(shape) == r + 2 else shape[1:]):
            check(
                partial(theirs, indices=index, output_size=size),
                partial(ours, indices=own, output_size=size),
                [y.numpy()],
                "float64",
            )
    y, index = pool(torch.tensor(drawn(rng, "distinct", (2, 3, 6, 6, 6)[: r + 2], "float64")))
    if args == (2,):
        own = sn.tensor(index.numpy())
        check(partial(theirs, indices=index), partial(ours, indices=own), [y.numpy()], "float64")


def test_ties_go_to_the_first(torch) -> None:  # type: ignore[no-untyped-def]
    """Where elements of a window are equal, one of them gets the gradient."""
    x = np.maximum(np.random.default_rng(0).integers(-3, 3, (2, 3, 7, 6)), 0).astype(np.float32)
    for size in (1, 2, 3, (4, 5)):
        theirs, ours = both(torch, "adaptive_max_pool2d")
        check(call_with(theirs, size, True), call_with(ours, size, True), [x], "float32")
    theirs, ours = both(torch, "max_pool2d")
    check(
        call_with(theirs, 3, 2, 1, return_indices=True),
        call_with(ours, 3, 2, 1, return_indices=True),
        [x],
        "float32",
    )


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_pad(torch, mode) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    theirs, ours = both(torch, "pad")
    widths = [
        (1, 2),
        (0, 3),
        (-1, 2),
        (2, -2),
        (-2, -1),
        (1, 2, 3, 0),
        (-1, 2, 1, -2),
        (0, 0, 2, 1),
    ]
    widths += [(1, 2, 0, 1, 2, 1), (-1, 1, 2, -2, 0, 1)]
    for pairs in widths:
        x = rng.standard_normal((2, 3, *(4, 6, 5)[: len(pairs) // 2]))
        if mode == "circular" and min(pairs) < 0 and len(pairs) == 6:
            continue
        check(call_with(theirs, pairs, mode), call_with(ours, pairs, mode), [x], "float64")
    if mode == "constant":
        x = rng.standard_normal((2, 3))
        for value in (None, 2.5):
            args = ((1, 0, 2, 1), mode, value)
            check(call_with(theirs, *args), call_with(ours, *args), [x], "float64")


@pytest.mark.parametrize("p", [0.0, 1.0, 2.0, 3.0, float("inf")])
def test_distances(torch, p) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    theirs, ours = both(torch, "pdist")
    x = rng.standard_normal((5, 4))
    check(call_with(theirs, p), call_with(ours, p), [x], "float64", without=("second",))
    for n in (0, 1, 2):
        assert ours(sn.tensor(x[:n].copy()), p).shape == (n * (n - 1) // 2,)
    theirs, ours = both(torch, "pairwise_distance")
    if p:
        inputs = [x, rng.standard_normal((5, 4))]
        check(lambda a, b: theirs(a, b, p), lambda a, b: ours(a, b, p), inputs, "float64")


def test_conv_tbc(torch) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(s) for s in ((7, 2, 3), (3, 3, 4), (4,))]
    theirs, ours = both(torch, "conv_tbc")
    check(lambda *a: theirs(*a, 1), lambda *a: ours(*a, 1), inputs, "float64", without=("second",))


FUNCTIONS = sorted(
    {
        *nn.functional._OTHERS,
        "batch_norm", "instance_norm", "local_response_norm", "rms_norm", "conv_tbc",
    }
    - set(nn.functional._activations)
    - {*nn.functional._losses, *nn.functional._losses_extra}  # test_signatures.py
    - {"drop_path", "gaussian_noise", "stochastic_depth", "native_channel_shuffle"}
)  # fmt: skip
# Those that PyTorch wraps in a function without a signature of its own.
WRAPPED = {"adaptive_max_pool", "max_pool", "fractional_max_pool"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functional_signature(torch: Any, name: str) -> None:
    theirs, ours = both(torch, name)
    if name.startswith(tuple(WRAPPED)):
        with_indices = getattr(
            torch.nn.functional, name.removesuffix("_with_indices") + "_with_indices"
        )
        expected = [n for n, _ in parameters_of(with_indices)]
        if not hasattr(ours, "registry_signature"):
            assert [n for n, _ in parameters_of(ours)] == expected
        return
    try:
        expected = parameters_of(theirs)
    except ValueError:
        pytest.skip("PyTorch's function is built in and tells no signature")
    if not hasattr(ours, "registry_signature"):
        assert parameters_of(ours) == expected


# ---- parametrizations ---------------------------------------------------------------------------


WEIGHTED = [
    ("Linear", (5, 4), (3, 5)),
    ("Conv2d", (3, 4, 3), (2, 3, 5, 5)),
    ("ConvTranspose2d", (3, 4, 3), (2, 3, 5, 5)),
    ("Conv1d", (3, 4, 2), (2, 3, 5)),
]


@pytest.mark.parametrize("dim", [0, 1, -1, None])
@pytest.mark.parametrize(("name", "args", "shape"), WEIGHTED, ids=str)
def test_weight_norm(torch, name, args, shape, dim, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    # PyTorch's fused kernel has wrong second derivatives; this is what it computes.
    monkeypatch.setattr(
        torch, "_weight_norm", lambda v, g, dim: v * (g / torch.norm_except_dim(v, 2, dim))
    )
    theirs = torch.nn.utils.parametrizations.weight_norm(getattr(torch.nn, name)(*args), dim=dim)
    ours = nn.utils.parametrizations.weight_norm(getattr(nn, name)(*args), dim=dim)
    same_state(theirs, ours)
    assert repr(ours) == repr(theirs)
    rng = np.random.default_rng(0)
    take_over(theirs, ours, "float64", rng)
    check(theirs, ours, [rng.standard_normal(shape)], "float64")
    close(ours.weight, theirs.weight, "float64")
    older = {
        k.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): v.detach().numpy()
        for k, v in theirs.state_dict().items()
    }
    again = nn.utils.parametrizations.weight_norm(getattr(nn, name)(*args), dim=dim).double()
    again.load_state_dict(older)
    close(again.weight, theirs.weight, "float64")
    assigned = rng.standard_normal(tuple(theirs.weight.shape))
    with torch.no_grad():
        theirs.weight = torch.tensor(assigned)
    ours.weight = sn.tensor(assigned)
    for key, value in theirs.state_dict().items():
        close(ours.state_dict()[key], value, "float64", what=key)
    torch.nn.utils.parametrize.remove_parametrizations(theirs, "weight")
    nn.utils.parametrize.remove_parametrizations(ours, "weight")
    assert repr(ours) == repr(theirs)
    same_state(theirs, ours)
    close(ours.weight, theirs.weight, "float64")


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(("name", "args", "shape"), WEIGHTED, ids=str)
def test_spectral_norm(torch, name, args, shape, steps) -> None:  # type: ignore[no-untyped-def]
    options = {"n_power_iterations": steps}
    norm = torch.nn.utils.parametrizations.spectral_norm
    theirs = norm(getattr(torch.nn, name)(*args), **options).double()
    ours = nn.utils.parametrizations.spectral_norm(getattr(nn, name)(*args), **options).double()
    same_state(theirs, ours)
    assert repr(ours) == repr(theirs)
    ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
    rng = np.random.default_rng(0)
    for _ in range(3):
        check(theirs, ours, [rng.standard_normal(shape)], "float64")
        for key, value in theirs.state_dict().items():
            close(ours.state_dict()[key], value, "float64", 10, key)
    theirs.eval()
    ours.eval()
    check(theirs, ours, [rng.standard_normal(shape)], "float64")
    torch.nn.utils.parametrize.remove_parametrizations(theirs, "weight")
    nn.utils.parametrize.remove_parametrizations(ours, "weight")
    same_state(theirs, ours)
    close(ours.weight, theirs.weight, "float64")


def test_spectral_norm_of_a_vector(torch) -> None:  # type: ignore[no-untyped-def]
    theirs = torch.nn.utils.parametrizations.spectral_norm(torch.nn.LayerNorm(5)).double()
    ours = nn.utils.parametrizations.spectral_norm(nn.LayerNorm(5)).double()
    same_state(theirs, ours)
    check(theirs, ours, [np.random.default_rng(0).standard_normal((3, 5))], "float64")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_fusion(torch, bias, affine) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    cases = [
        ("Conv2d", "BatchNorm2d", (3, 4, 3), (2, 3, 5, 5), "fuse_conv_bn_eval", ()),
        ("ConvTranspose1d", "BatchNorm1d", (3, 4, 3), (2, 3, 5), "fuse_conv_bn_eval", (True,)),
        ("Linear", "BatchNorm1d", (3, 4), (2, 3), "fuse_linear_bn_eval", ()),
    ]
    for first, second, args, shape, function, more in cases:
        if first == "Linear" and not affine:
            continue  # PyTorch's needs weights there
        theirs = (
            getattr(torch.nn, first)(*args, bias=bias),
            getattr(torch.nn, second)(4, affine=affine),
        )
        ours = getattr(nn, first)(*args, bias=bias), getattr(nn, second)(4, affine=affine)
        for a, b in zip(theirs, ours, strict=True):
            take_over(a, b, "float64", rng)
        data = rng.standard_normal(shape)
        theirs[1](theirs[0](torch.tensor(data)))
        ours[1](ours[0](sn.tensor(data)))
        for m in (*theirs, *ours):
            m.eval()
        a = getattr(torch.nn.utils, function)(*theirs, *more)
        b = getattr(nn.utils, function)(*ours, *more)
        same_state(a, b)
        check(a, b, [data], "float64")
        np.testing.assert_allclose(
            b(sn.tensor(data)).detach().numpy(),
            ours[1](ours[0](sn.tensor(data))).detach().numpy(),
            1e-10,
        )


def test_clipping(torch) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    grads = [rng.standard_normal(s) * 3 for s in ((2, 3), (4,))]
    for norm_type in (1.0, 2.0, float("inf")):
        theirs = [torch.zeros(g.shape, dtype=torch.float64) for g in grads]
        ours = [sn.zeros(g.shape, dtype=sn.float64, requires_grad=True) for g in grads]
        for p, q, g in zip(theirs, ours, grads, strict=True):
            p.grad, q.grad = torch.tensor(g), sn.tensor(g)
        expected = torch.nn.utils.clip_grad_norm_(theirs, 2.0, norm_type)
        got = nn.utils.clip_grad_norm_(ours, 2.0, norm_type)
        close(got, expected, "float64")
        total = torch.nn.utils.get_total_norm([p.grad for p in theirs], norm_type)
        close(nn.utils.get_total_norm([q.grad for q in ours], norm_type), total, "float64")
        torch.nn.utils.clip_grads_with_norm_(theirs, 1.0, total)
        nn.utils.clip_grads_with_norm_(ours, 1.0, sn.tensor(total.item(), dtype=sn.float64))
        for p, q in zip(theirs, ours, strict=True):
            close(q.grad, p.grad, "float64")


def test_sync_batch_norm_is_batch_norm_in_one_process(torch) -> None:  # type: ignore[no-untyped-def]
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4)))
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4),
        torch.nn.Sequential(torch.nn.BatchNorm2d(4)),
    )  # fmt: skip
    converted = torch.nn.SyncBatchNorm.convert_sync_batchnorm(theirs)
    state = plain.state_dict()
    kept = plain[1].weight
    sync = nn.SyncBatchNorm.convert_sync_batchnorm(plain)
    assert shown(sync) == shown(converted)
    assert sync[1].weight is kept
    assert parameters_of(nn.SyncBatchNorm.__init__) == parameters_of(
        torch.nn.SyncBatchNorm.__init__
    )
    assert {k: v.tolist() for k, v in sync.state_dict().items()} == {
        k: v.tolist() for k, v in state.items()
    }
    x = sn.random.normal(shape=(2, 3, 5, 5))
    reference = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm2d(4))
    )
    reference.load_state_dict(state)
    assert (sync(x) == reference(x)).all()
    assert nn.SyncBatchNorm(3)(sn.random.normal(shape=(4, 3))).shape == (4, 3)
