"""Names that users of NumPy and PyTorch look for: NumPy and PyTorch are the oracles."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

import sennit as sn

rng = np.random.default_rng(8)
X = rng.normal(size=(4, 5))
HOLES = np.where(rng.random((4, 5)) < 0.3, np.nan, X)
HOLES[:, 2] = np.nan
WHOLE = rng.integers(-5, 6, (3, 4))
V, W = rng.normal(size=7), rng.normal(size=3)
POINTS = np.sort(rng.normal(size=6))

# Name: the function of sennit and NumPy, and the arguments; arrays are given as they are.
CASES: dict[str, list[tuple[Any, ...]]] = {
    "percentile": [(X, 30.0), (X, 75, 1), (X, np.array([10.0, 60.0]), 0), (WHOLE, 50)],
    "nanpercentile": [(HOLES, 40.0)],
    "average": [(X,), (X, 1), (X, 1, V[:5]), (X, None, X + 9), (WHOLE, 0)],
    "nanmax": [(HOLES,), (HOLES[:, :2], 1), (WHOLE, 0), (np.full(3, -np.inf),)],
    "nanmin": [(HOLES,), (HOLES[:, :2], 1), (WHOLE, 0), (np.full(3, np.inf),)],
    "nanargmax": [(HOLES,), (np.nan_to_num(HOLES), 1)],
    "nanargmin": [(HOLES,), (np.nan_to_num(HOLES), 0)],
    "nanprod": [(HOLES,), (HOLES, 0), (WHOLE, 1)],
    "nancumsum": [(HOLES,), (HOLES, 1)],
    "nancumprod": [(HOLES,), (HOLES, 0)],
    "nanvar": [(HOLES,), (HOLES[:, :2], 1), (X, 0)],
    "nanstd": [(HOLES,), (HOLES[:, :2], 0), (X, (0, 1))],
    "ptp": [(X,), (X, 1), (WHOLE, 0)],
    "array_equal": [(X, X), (X, X + 1), (X, X[:2]), (HOLES, HOLES), (HOLES, HOLES, True)],
    "cbrt": [(X * 100,), (np.array([0.0, -0.0, np.inf, -np.inf, np.nan]),)],
    "rint": [(X * 3,), (np.array([0.5, 1.5, -2.5]),)],
    "divmod": [(WHOLE, 3), (X, 0.7)],
    "modf": [(X * 5,), (np.array([np.inf, -np.inf, -0.0, np.nan, -3.0]),)],
    "unwrap": [(np.cumsum(V) * 3 % 6,), (X * 9,), (X * 9, None, 0), (X * 9, 7.0)],
    "polyval": [(W, X), (V, 2.0), (WHOLE[0], WHOLE)],
    "interp": [(X, POINTS, V[:6]), (X * 9, POINTS, V[:6], -7.0, 8.0), (POINTS, POINTS, V[:6]),
               (X, POINTS[:1], V[:1])],
    "identity": [(3,), (0,)],
    "tri": [(3,), (3, 5, 1), (4, 2, -1), (0, 2)],
    "geomspace": [(1.0, 1000.0, 4), (-2.0, -64.0, 6), (3.0, 3.0, 1), (5.0, 1.0)],
    "append": [(X, W), (X, X[:1], 0), (WHOLE, 3)],
    "delete": [(X, 1, 1), (X, [0, -1], 0), (X, slice(1, 20, 3)), (WHOLE, [], 0),
               (X, np.array([True, False] * 2), 0)],
    "insert": [(X, 2, 7.0, 1), (X, [1, 3], W[:2, None], 0), (WHOLE, 0, 9), (X, 4, X[0], 0),
               (WHOLE, [2, 2, 0], [7, 8, 9]), (X, -1, X[:2], 0), (X, [0, 4], X[:2], 0)],
    "extract": [(X > 0, X), (WHOLE, WHOLE)],
    "compress": [([True, False, True], X, 0), ([False, True], X, 1), ([True, False, True], X)],
    "flatnonzero": [(WHOLE,), (np.zeros(3),)],
    "digitize": [(X, POINTS), (X, POINTS, True), (X, POINTS[::-1].copy()),
                 (POINTS, POINTS, True), (POINTS, POINTS[::-1].copy()),
                 (POINTS, POINTS[::-1].copy(), True)],
    "ediff1d": [(X,), (V, [1.0, 2.0], 9.0), (V[:1],)],
    "union1d": [(WHOLE, np.array([9, 1, 1])), (V, W)],
    "intersect1d": [(WHOLE, np.array([9, 1, 1, 0]))],
    "setdiff1d": [(WHOLE, np.array([9, 1, 1, 0]))],
    "setxor1d": [(WHOLE, np.array([9, 1, 1, 0]))],
    "convolve": [(V, W, m) for m in ("full", "same", "valid")]
    + [(W, V, m) for m in ("full", "same", "valid")]
    + [(V[:6], V[:4], "same"), (V + 1j * V, W - 2j * W, "full"), (V[:1], W, "full")],
    "correlate": [(V, W, m) for m in ("full", "same", "valid")]
    + [(V + 1j * V[::-1], W - 2j * W, "full")],
    "mod": [(WHOLE, 3)], "invert": [(WHOLE,)], "left_shift": [(WHOLE + 9, 2)],
    "right_shift": [(WHOLE, 1)], "degrees": [(X,)], "radians": [(X,)], "around": [(X * 3,)],
    "conjugate": [(X + 1j,)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "number"), [(n, i) for n, cases in CASES.items() for i in range(len(cases))]
)
def test_like_numpy(name: str, number: int) -> None:
    given = CASES[name][number]
    got = getattr(sn, name)(*(sn.tensor(a) if isinstance(a, np.ndarray) else a for a in given))
    with np.errstate(all="ignore"):
        want = getattr(np, name)(*given)
    if isinstance(want, (bool, np.bool_)):
        assert got is bool(want)
        return
    for mine, theirs in zip(*pairs(got, want), strict=True):
        assert mine.shape == np.shape(theirs)
        np.testing.assert_allclose(mine.numpy(), theirs, rtol=1e-5, atol=1e-6)
        if name == "modf":
            present = ~np.isnan(theirs)
            signs = np.signbit(mine.numpy())[present]
            np.testing.assert_array_equal(signs, np.signbit(theirs)[present])


def pairs(got: Any, want: Any) -> tuple[Any, Any]:
    return (got, want) if isinstance(want, tuple) else ((got,), (want,))


def test_the_rest_of_numpy() -> None:
    order = sn.argpartition(sn.tensor(X), 2, 1).numpy()
    taken = np.take_along_axis(X, order, 1)
    assert (taken[:, :2] <= taken[:, 2:3]).all() and (taken[:, 3:] >= taken[:, 2:3]).all()
    index = (rng.integers(0, 3, 5), rng.integers(0, 4, 5), rng.integers(0, 2, 5))
    got = sn.ravel_multi_index([sn.tensor(i) for i in index], (3, 4, 2))
    assert got.tolist() == np.ravel_multi_index(index, (3, 4, 2)).tolist()
    assert sn.row_stack([sn.ones(2), sn.zeros(2)]).tolist() == [[1, 1], [0, 0]]
    x = sn.tensor(X, requires_grad=True)
    sn.interp(x, sn.tensor(POINTS), sn.tensor(V[:6])).sum().backward()
    first, last = POINTS[[0, -1]]
    inside = np.logical_and(first < X, last > X)
    assert ((x.grad.numpy() != 0) == inside).all()
    assert sn.percentile(sn.arange(5), 50).item() == 2.0
    assert sn.nanvar(sn.tensor([math.nan])).isnan().item()


def test_refusals() -> None:
    for call, kind, text in [
        (lambda: sn.geomspace(0, 1), ValueError, "geomspace"),
        (lambda: sn.convolve(sn.ones(0), sn.ones(2)), sn.ShapeError, "convolve"),
        (lambda: sn.convolve(sn.ones(2), sn.ones(2), "wide"), ValueError, "mode is 'wide'"),
        (lambda: sn.average(sn.ones((2, 3)), 0, sn.ones(3)), sn.ShapeError, "average"),
        (lambda: sn.interp(sn.ones(2), sn.ones(3), sn.ones(2)), sn.ShapeError, "interp"),
        (lambda: sn.delete(sn.ones(3), 3), IndexError, "index 3"),
        (lambda: sn.insert(sn.ones(3), 4, 1), IndexError, "index 4"),
        (lambda: sn.argpartition(sn.ones(3), 3), IndexError, "kth is 3"),
        (lambda: sn.ravel_multi_index([sn.arange(2)], (2, 2)), sn.ShapeError, "ravel"),
        (lambda: sn.randint(3), TypeError, "no size"),
        (lambda: sn.ones((2, 3)).sum_to_size(2), sn.ShapeError, "sum_to_size"),
        (lambda: sn.is_nonzero(sn.ones(2)), sn.ShapeError, "is_nonzero"),
        (lambda: sn.ones(2).retain_grad(), sn.GradError, "retain_grad"),
        (lambda: sn.multinomial(sn.ones(2), 3), sn.ShapeError, "multinomial"),
        (lambda: sn.multinomial(sn.tensor([1.0, 0.0]), 2), ValueError, "multinomial"),
        (lambda: sn.multinomial(sn.tensor([1.0, -1.0]), 1), ValueError, "multinomial"),
        (lambda: sn.multinomial(sn.tensor([math.nan, 1.0]), 1), ValueError, "multinomial"),
        (lambda: sn.ones(2, dtype=sn.complex64).float(), TypeError, "complex"),
    ]:
        with pytest.raises(kind, match=text):
            call()


def test_dtype_names_and_conversions(torch: Any) -> None:
    x, theirs = sn.tensor([0.0, 1.5, -2.0]), torch.tensor([0.0, 1.5, -2.0])
    for name in ("bool", "char", "short", "int", "long", "bfloat16", "half", "float", "double",
                 "cfloat", "cdouble"):  # fmt: skip
        mine, other = getattr(x, name)(), getattr(theirs, name)()
        assert str(other.dtype) == f"torch.{mine.dtype.name}"
        assert mine.cdouble().tolist() == other.to(torch.complex128).tolist()
        assert pickle.loads(pickle.dumps(getattr(sn.Tensor, name))) is getattr(sn.Tensor, name)
    assert x.float() is x and sn.arange(2).byte().dtype == sn.uint8
    for name in ("float", "double", "half", "int", "long", "short", "cfloat", "cdouble"):
        assert f"torch.{getattr(sn, name).name}" == str(getattr(torch, name))
        assert name in dir(sn) and name not in sn.__all__
    assert sn.ones(2).type_as(sn.arange(2)).dtype == sn.int64


def test_questions(torch: Any) -> None:
    for data in ([[1.0, 2.0]], [1, 2], [True], [1j], 3.0):
        x, theirs = sn.tensor(data), torch.tensor(data)
        for name in ("dim", "ndimension", "numel", "nelement", "element_size", "is_complex",
                     "is_floating_point", "is_signed", "is_contiguous"):  # fmt: skip
            assert getattr(x, name)() == getattr(theirs, name)(), (name, data)
    x = sn.ones((2, 3))
    assert not x.T.is_contiguous() and x.T.contiguous().is_contiguous()
    assert x.cpu() is x and x.is_cpu and not x.is_cuda
    assert sn.numel(x) == 6 and sn.is_floating_point(x) and sn.is_nonzero(sn.tensor(-1))
    there = sn.arange(3).new_tensor([1.7, 2.0], requires_grad=False)
    assert there.tolist() == [1, 2] and there.dtype == sn.int64
    again = x.new_tensor(x)
    again[0] = 5
    assert x.tolist() == [[1, 1, 1], [1, 1, 1]]
    assert x.new_tensor(2.0, dtype=sn.float64, requires_grad=True).requires_grad
    assert x.sum_to_size((2, 1)).tolist() == [[3], [3]]
    y = torch.tensor(X)
    index = torch.tensor(np.abs(WHOLE) % 4)
    got = sn.take_along_dim(sn.tensor(X[:, :4]), sn.tensor(index.numpy()), 0)
    assert got.tolist() == torch.take_along_dim(y[:, :4], index, 0).tolist()
    flat = sn.take_along_dim(sn.tensor(X), sn.tensor(index.numpy()))
    assert flat.tolist() == torch.take_along_dim(y, index).tolist()


def test_gradients_that_are_retained() -> None:
    a = sn.tensor([1.0, 2.0], requires_grad=True)
    y = a * 3
    y.retain_grad()
    y.retain_grad()
    assert y.retains_grad and y.grad is None
    z = y * y
    z.sum().backward()
    assert y.grad.tolist() == [6, 12] and z.grad is None and a.grad.tolist() == [18, 36]
    (y * 1).sum().backward()
    assert y.grad.tolist() == [7, 13]  # added up, as those of leaves
    a.retain_grad()
    assert not a.retains_grad
    w = a * 2
    w.retain_grad()
    total = (w * 5).sum()
    del w
    total.backward()  # nobody is left to keep it


def test_random_names() -> None:
    sn.manual_seed(11)
    assert sn.initial_seed() == 11
    state = sn.get_rng_state()
    first = sn.randint(0, 100, (50,))
    sn.set_rng_state(state)
    assert sn.array_equal(first, sn.randint(100, (50,)))
    assert sn.randint(2, 5, 7, dtype=sn.int32).dtype == sn.int32
    assert set(sn.randint_like(sn.ones(200), 2, 4).tolist()) == {2.0, 3.0}
    assert sorted(sn.randperm(9).tolist()) == list(range(9))
    assert sn.randperm(3, dtype=sn.int32).dtype == sn.int32
    assert sn.bernoulli(sn.full((2000,), 0.25)).mean().item() == pytest.approx(0.25, abs=0.05)
    assert sn.bernoulli(sn.ones(3), 0.0).tolist() == [0, 0, 0]
    assert sn.normal(0.0, 1.0, (2, 3)).shape == (2, 3)
    weights = sn.tensor([[1.0, 2.0, 3.0, 0.0], [0.0, 0.0, 5.0, 5.0]])
    many = sn.multinomial(weights, 20_000, True).numpy()
    shares = [np.bincount(row, minlength=4) / 20_000 for row in many]
    np.testing.assert_allclose(shares, [[1 / 6, 1 / 3, 1 / 2, 0], [0, 0, 0.5, 0.5]], atol=0.015)
    some = np.stack([sn.multinomial(weights, 2).numpy() for _ in range(500)])
    assert (some[:, :, 0] != some[:, :, 1]).all()
    assert set(some[:, 1].ravel().tolist()) == {2, 3} and some[:, 0].max() == 2
    # The first of a row is drawn as if it were the only one.
    assert np.mean(some[:, 0, 0] == 2) == pytest.approx(0.5, abs=0.08)
    drawn = sn.vmap(lambda w: sn.multinomial(w, 2, True), randomness="different")(weights)
    assert drawn.shape == (2, 2)


def test_modes() -> None:
    w = sn.ones(2, requires_grad=True)
    with sn.inference_mode():
        assert not sn.is_grad_enabled() and not (w * 2).requires_grad
        with sn.inference_mode(False):
            assert (w * 2).requires_grad

    @sn.inference_mode()
    def double(x: Any) -> Any:
        return x * 2

    assert not double(w).requires_grad and sn.is_grad_enabled()
    assert sn.get_num_threads() == sn.num_threads()


def test_matrices_and_windows(torch: Any) -> None:
    a = X[:, :4] @ X[:, :4].T + np.eye(4)
    x, theirs = sn.tensor(a), torch.tensor(a)
    for name in ("det", "inverse", "cholesky", "matrix_exp", "pinverse"):
        np.testing.assert_allclose(
            getattr(sn, name)(x).numpy(), getattr(torch, name)(theirs).numpy(), rtol=1e-7
        )
    assert sn.matrix_power(x, 2).shape == (4, 4) and sn.slogdet(x).sign.item() == 1
    for name in ("hann_window", "hamming_window", "blackman_window"):
        for periodic in (True, False):
            np.testing.assert_allclose(
                getattr(sn, name)(7, periodic).numpy(),
                getattr(torch, name)(7, periodic).numpy(), atol=1e-6,
            )  # fmt: skip
    model = sn.nn.Linear(2, 2)
    assert model.cpu() is model
    assert copy.deepcopy(x).tolist() == x.tolist()
