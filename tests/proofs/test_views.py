"""Writes through views change the base as NumPy's do, and gradients follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sennit as sn

# Each idiom changes `x` (4 x 6, float64; NumPy, Sennit or PyTorch) in place, or returns what it
# made of it. The text names it in the report. `t` marks what PyTorch can do too.
IDIOMS: dict[str, tuple[Callable[[Any], Any], str]] = {}


def idiom(name: str, flags: str = "t") -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        IDIOMS[name] = (function, flags)
        return function

    return register


@idiom("for row in x: row += 1")
def _(x):
    for row in x:
        row += 1


@idiom("for i, row in enumerate(x): row[:] = row * i")
def _(x):
    for i, row in enumerate(x):
        row[:] = row * i


@idiom("x[0][1] = 5")
def _(x):
    x[0][1] = 5


@idiom("x[1][2:4][0] = 7")
def _(x):
    x[1][2:4][0] = 7


@idiom("x.T[0] = 9")
def _(x):
    x.T[0] = 9


@idiom("x.T[2][1:] *= 3")
def _(x):
    x.T[2][1:] *= 3


@idiom("x[1:3] = x[0]")
def _(x):
    x[1:3] = x[0]


@idiom("x[:, 1] = x[:, 0] * 2")
def _(x):
    x[:, 1] = x[:, 0] * 2


@idiom("x[::2] += 10")
def _(x):
    x[::2] += 10


@idiom("x[:, ::3] -= x[:, 1:2]")
def _(x):
    x[:, ::3] -= x[:, 1:2]


@idiom("slice of slice")
def _(x):
    x[1:][:2][:, 2:][:, ::2] = -1


@idiom("slice of slice, augmented")
def _(x):
    x[1:][1:][0] += x[0]


@idiom("x[::-1][0] = 3", flags="")
def _(x):
    x[::-1][0] = 3


@idiom("x[::-1, ::-2] *= 2", flags="")
def _(x):
    x[::-1, ::-2] *= 2


@idiom("x[-1, -2] = 4")
def _(x):
    x[-1, -2] = 4


@idiom("x[..., 0] = 1")
def _(x):
    x[..., 0] = 1


@idiom("x[...] = 2 * x")
def _(x):
    x[...] = 2 * x


@idiom("x[1, ...] += 1")
def _(x):
    x[1, ...] += 1


@idiom("x[:, None][2, 0] = 8")
def _(x):
    x[:, None][2, 0] = 8


@idiom("x[None][0, 1, 2] *= 5")
def _(x):
    x[None][0, 1, 2] *= 5


@idiom("x.reshape(6, 4)[0] = 0")
def _(x):
    x.reshape(6, 4)[0] = 0


@idiom("x.reshape(-1)[5:9] += 1")
def _(x):
    x.reshape(-1)[5:9] += 1


@idiom("x.reshape(2, 2, 6)[1][0][2] = 6")
def _(x):
    x.reshape(2, 2, 6)[1][0][2] = 6


@idiom("x.swapaxes(0, 1)[1] = 3")
def _(x):
    x.swapaxes(0, 1)[1] = 3


@idiom("x.diagonal() *= 2")
def _(x):
    d = np.einsum("ii->i", x[:, :4]) if isinstance(x, np.ndarray) else x[:, :4].diagonal()
    d *= 2


@idiom("view of a view after the base changed")
def _(x):
    v = x[1:]
    w = v[:, 2:]
    x[2] = 0
    w[0] += 1
    v *= 3
    return w + v[:, 2:]


@idiom("a view sees later writes to the base")
def _(x):
    v = x[:, 1]
    x[2, 1] = 50
    x *= 2
    return v * 1


@idiom("sibling views see each other's writes")
def _(x):
    a, b = x[:3], x[1:]
    a[1] = 7
    b[0, 0] += 1
    b[1] = a[1]
    return a * 1 + b


@idiom("in place on overlapping parts")
def _(x):
    x[1:] += x[:-1]


@idiom("in-place operators on a view")
def _(x):
    v = x[1:3, 1:4]
    v += 1
    v -= 0.5
    v *= 2
    v /= 4


@idiom("rows bound by unpacking")
def _(x):
    a, b, c, d = x
    a += b
    d[:] = c


@idiom("swap through a copy")
def _(x):
    first = 1 * x[0]
    x[0] = x[1]
    x[1] = first


@idiom("write into both a transpose and a slice of it")
def _(x):
    t = x.T
    s = t[1:3]
    s[0] = 1
    t[2, 3] = 2
    x[0, 2] = 3
    return s * 1


@idiom("an index list copies when read, and writes when assigned")
def _(x):
    picked = x[[0, 2]]
    picked += 100  # a copy: x keeps its values
    x[[1, 3]] = 5
    return picked


@idiom("x[mask] = 0")
def _(x):
    x[x > 1] = 0


@idiom("x[i][j][k] over three axes")
def _(x):
    y = x.reshape(2, 2, 6)
    y[0][1][::2] = y[1][0][1::2]


@idiom("broadcast a column into a block")
def _(x):
    x[1:3] = x[1:3, :1]


@idiom("accumulate in a loop over columns")
def _(x):
    for j in range(1, 6):
        x[:, j] += x[:, j - 1]


@idiom("an empty slice is written without effect")
def _(x):
    x[2:2] = 9


@idiom("x.squeeze and expand_dims")
def _(x):
    x[:, :1].squeeze(1)[2] = 11
    x[0][None, :, None][0, 3] = 12


def values() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((4, 6))


def coefficients(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("name", IDIOMS)
def test_values_as_numpy(name: str) -> None:
    function, _ = IDIOMS[name]
    expected = values()
    x = sn.tensor(values())
    expected_result = function(expected)
    result = function(x)
    np.testing.assert_array_equal(x.numpy(), expected)
    if expected_result is not None:
        np.testing.assert_array_equal(result.numpy(), expected_result)


@pytest.mark.parametrize("name", IDIOMS)
def test_values_op_by_op(name: str, window) -> None:
    window(1)
    test_values_as_numpy(name)


def numpy_loss(function: Callable[[Any], Any], start: np.ndarray) -> float:
    x = start.copy()
    result = function(x)
    loss = (x * coefficients(x.shape)).sum()
    if result is not None:
        loss += (result * coefficients(result.shape, 2)).sum()
    return float(loss)


def sennit_gradient(function: Callable[[Any], Any]) -> np.ndarray:
    leaf = sn.tensor(values(), requires_grad=True)
    x = leaf * 1
    result = function(x)
    loss = (x * sn.tensor(coefficients(x.shape))).sum()
    if result is not None:
        loss = loss + (result * sn.tensor(coefficients(result.shape, 2))).sum()
    loss.backward()
    return np.zeros((4, 6)) if leaf.grad is None else leaf.grad.numpy()


@pytest.mark.parametrize("name", IDIOMS)
def test_gradients_as_differences_of_numpy(name: str) -> None:
    # All idioms are piecewise linear in x, so that central differences have no truncation error.
    function, _ = IDIOMS[name]
    start, step = values(), 1e-3
    expected = np.zeros_like(start)
    for i in np.ndindex(*start.shape):
        moved = [start.copy(), start.copy()]
        moved[0][i] += step
        moved[1][i] -= step
        expected[i] = (numpy_loss(function, moved[0]) - numpy_loss(function, moved[1])) / (2 * step)
    np.testing.assert_allclose(sennit_gradient(function), expected, atol=1e-9)


@pytest.mark.oracle
@pytest.mark.parametrize("name", [n for n, (_, flags) in IDIOMS.items() if "t" in flags])
def test_gradients_as_torch(name: str, torch) -> None:
    function, _ = IDIOMS[name]
    leaf = torch.tensor(values(), requires_grad=True)
    x = leaf * 1
    try:
        result = function(x)
        loss = (x * torch.tensor(coefficients(tuple(x.shape)))).sum()
        if result is not None:
            loss = loss + (result * torch.tensor(coefficients(tuple(result.shape), 2))).sum()
        loss.backward()
    except RuntimeError as error:  # torch forbids some writes that are fine here
        pytest.skip(f"PyTorch cannot: {str(error).splitlines()[0]}")
    np.testing.assert_allclose(sennit_gradient(function), leaf.grad.numpy(), atol=1e-12)


# ---- what is special


def test_in_place_gradients_equal_the_functional_form() -> None:
    leaf = sn.tensor(values(), requires_grad=True)
    y = leaf * 2
    saved = sn.exp(y)  # its gradient needs exp(y), whatever happens to y later
    y[0] = y[1] * y[2]
    y *= y
    (saved.sum() + y.sum()).backward()

    other = sn.tensor(values(), requires_grad=True)
    a = other * 2
    b = sn.concat([(a[1] * a[2]).reshape(1, 6), a[1:]], axis=0)
    (sn.exp(a).sum() + (b * b).sum()).backward()
    np.testing.assert_allclose(leaf.grad.numpy(), other.grad.numpy(), rtol=1e-14)


def test_saved_values_survive_writes() -> None:
    # PyTorch raises "modified by an inplace operation" here.
    x = sn.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 1
    z = y * y
    y[0] = 100
    z.sum().backward()
    assert x.grad.tolist() == [2.0, 4.0, 6.0]


def test_other_handles_of_a_value_keep_it() -> None:
    x = sn.tensor([1.0, 2.0])
    y = x + 0
    copy = x.clone()
    kept = x.detach().clone()
    x += 1
    assert (x.tolist(), y.tolist(), copy.tolist(), kept.tolist()) == (
        [2.0, 3.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0],
    )  # fmt: skip


def test_aliases_by_name_see_the_write() -> None:
    x = sn.tensor([1.0, 2.0])
    alias = x
    x += 1
    alias[0] = 9
    assert x is alias
    assert x.tolist() == [9.0, 3.0]


def test_expanded_views_cannot_be_written() -> None:
    x = sn.ones(3)
    with pytest.raises(sn.InvalidValue, match="more than once"):
        x.expand(2, 3)[0, 0] = 2
    with pytest.raises(sn.InvalidValue, match="more than once"):
        y = x.expand(2, 3)
        y += 1
    with pytest.raises(sn.SennitError):
        sn.broadcast_to(x, (4, 3))[1] = 5
    assert x.tolist() == [1, 1, 1]


def test_exported_arrays_never_change() -> None:
    x = sn.arange(6, dtype=sn.float32)
    array = x.numpy()
    x += 1
    x[0] = 50
    np.testing.assert_array_equal(array, np.arange(6))
    assert not array.flags.writeable


def test_in_place_on_a_leaf_needs_no_grad() -> None:
    w = sn.ones(3, requires_grad=True)
    for write in (lambda: w.__iadd__(1), lambda: w.__setitem__(0, 1), lambda: w[1:].__imul__(2)):
        with pytest.raises(sn.GradError):
            write()
    with sn.no_grad():
        w += 1
        w[0] = 5
        w[1:] *= 3
    assert w.tolist() == [5.0, 6.0, 6.0]
    assert w.requires_grad and w.is_leaf


def test_writes_of_other_dtypes_convert_to_the_base() -> None:
    x = sn.zeros(3, dtype=sn.int32)
    x[0] = 7
    x[1:] = sn.tensor([1, 2], dtype=sn.int64)
    assert x.dtype == sn.int32
    assert x.tolist() == [7, 1, 2]


def test_a_shape_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    x = sn.zeros((2, 3))
    with pytest.raises(sn.ShapeError):
        x[0] = sn.ones(4)
    with pytest.raises(sn.ShapeError):
        x += sn.ones((5, 2, 3))
    assert x.shape == (2, 3)
    assert x.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_long_chains_of_views() -> None:
    x = sn.zeros(3000)
    v = x
    for _ in range(2000):
        v = v[1:]
    v[0] = 5
    assert x[2000].item() == 5
    assert float(x.sum()) == 5
    del v


def test_many_writes_through_one_view() -> None:
    x = sn.zeros((10, 3))
    row = x[4]
    for i in range(1, 301):
        row += i
    assert x[4].tolist() == [45150.0] * 3
    assert float(x.sum()) == 3 * 45150.0
