"""Indexing with [...] as NumPy does it: generated keys, read and written."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("hypothesis")

from hypothesis import given
from hypothesis import strategies as st

import sennit as sn

SHAPES = ((5,), (3, 4), (2, 3, 4), (2, 1, 3, 2), (1,), (0, 3), (3, 0, 2), (7, 33))


@st.composite
def basic_items(draw, size: int):
    """An integer or a slice of a dimension."""
    if size and draw(st.booleans()):
        return draw(st.integers(-size, size - 1))
    bound = st.none() | st.integers(-size - 2, size + 2)
    step = draw(st.none() | st.sampled_from([1, 2, 3, -1, -2]))
    return slice(draw(bound), draw(bound), step)


@st.composite
def basic_keys(draw):
    shape = draw(st.sampled_from(SHAPES))
    used = draw(st.integers(0, len(shape)))
    front = draw(st.booleans())
    sizes = shape[:used] if front else shape[len(shape) - used :]
    items = [draw(basic_items(n)) for n in sizes]
    if not front:
        items = [Ellipsis, *items]
    for _ in range(draw(st.integers(0, 2))):
        items.insert(draw(st.integers(0, len(items))), None)
    return shape, tuple(items)


@st.composite
def index_arrays(draw, size: int, like: tuple[int, ...]):
    """Integers in range, of a shape that broadcasts to `like`."""
    shape = tuple(n if draw(st.booleans()) else 1 for n in like)
    numbers = draw(
        st.lists(st.integers(-size, size - 1), min_size=int(np.prod(shape)),
                 max_size=int(np.prod(shape)))
    )  # fmt: skip
    return np.asarray(numbers, dtype=np.int64).reshape(shape)


@st.composite
def advanced_keys(draw):
    shape = draw(st.sampled_from([s for s in SHAPES if 0 not in s]))
    kind = draw(st.sampled_from(["arrays", "mask", "row mask"]))
    if kind == "mask":
        bits = draw(
            st.lists(st.booleans(), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))
        )
        return shape, (np.asarray(bits).reshape(shape),)
    if kind == "row mask":
        axis = draw(st.integers(0, len(shape) - 1))
        bits = draw(st.lists(st.booleans(), min_size=shape[axis], max_size=shape[axis]))
        return shape, (slice(None),) * axis + (np.asarray(bits),)
    like = draw(st.sampled_from([(), (1,), (4,), (2, 3)]))
    items, arrays = [], 0
    for size in shape[: draw(st.integers(1, len(shape)))]:
        if draw(st.booleans()):
            items.append(draw(index_arrays(size, like)))
            arrays += 1
        else:
            items.append(draw(basic_items(size)))
    if not arrays:
        items[0] = draw(index_arrays(shape[0], like))
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), None)
    return shape, tuple(items)


def filled(shape: tuple[int, ...], dtype: type = np.int64) -> np.ndarray:
    return np.arange(int(np.prod(shape)), dtype=dtype).reshape(shape)


def check_read(shape: tuple[int, ...], key: tuple) -> None:
    a = filled(shape)
    got, want = sn.asarray(a)[key], a[key]
    assert got.shape == want.shape
    assert (got.numpy() == want).all()


def check_write(shape: tuple[int, ...], key: tuple, scalar: bool) -> None:
    """Places that occur once: NumPy leaves open which of several values for one place stays."""
    a = filled(shape)
    x = sn.asarray(a)
    places = a[key]
    if np.unique(places).size != places.size:
        scalar = True
    value = np.asarray(-7) if scalar else -1 - filled(places.shape)
    a[key] = value
    x[key] = -7 if scalar else sn.asarray(value)
    assert (x.numpy() == a).all()


@given(basic_keys())
def test_basic_keys_read(drawn):
    check_read(*drawn)


@given(basic_keys(), st.booleans())
def test_basic_keys_write(drawn, scalar):
    check_write(*drawn, scalar)


@given(advanced_keys())
def test_advanced_keys_read(drawn):
    check_read(*drawn)


@given(advanced_keys(), st.booleans())
def test_advanced_keys_write(drawn, scalar):
    check_write(*drawn, scalar)


@given(basic_keys() | advanced_keys())
def test_gradients_go_where_elements_came_from(drawn):
    shape, key = drawn
    a = filled(shape, np.float64)
    x = sn.asarray(a).requires_grad_(True)
    y = x[key]
    weights = np.asarray(1.0 + filled(y.shape, np.float64))
    (g,) = sn.gradients((y * sn.asarray(weights)).sum(), x)
    want = np.zeros(shape)
    places = filled(shape)[key]
    np.add.at(want.reshape(-1), np.asarray(places).ravel(), weights.ravel())
    assert (g.numpy() == want).all()


@given(basic_keys() | advanced_keys())
def test_gradients_of_a_write(drawn):
    """The written places pass nothing on to the former elements, and all to the values."""
    shape, key = drawn
    places = filled(shape)[key]
    if np.unique(places).size != places.size:
        return
    base = sn.asarray(filled(shape, np.float64)).requires_grad_(True)
    values = sn.asarray(np.asarray(-1.0 - filled(places.shape, np.float64))).requires_grad_(True)
    weights = 1.0 + filled(shape, np.float64)
    x = base * 1.0
    x[key] = values
    by_base, by_values = sn.gradients((x * sn.asarray(weights)).sum(), [base, values])
    want = weights.copy()
    want[key] = 0.0
    assert (by_base.numpy() == want).all()
    if places.size:
        assert (by_values.numpy() == weights[key]).all()


def test_lists_and_tensors_as_keys():
    a = filled((4, 5))
    x = sn.asarray(a)
    assert (x[[0, 2]].numpy() == a[[0, 2]]).all()
    assert (x[sn.asarray(np.asarray([3, 1]))].numpy() == a[[3, 1]]).all()
    assert (x[x > 7].numpy() == a[a > 7]).all()
    assert (x[:, x[0] > 2].numpy() == a[:, a[0] > 2]).all()
    assert int(x[sn.asarray(np.asarray(2)), 1]) == a[2, 1]


@pytest.mark.parametrize(
    "key", [5, -6, (0, 9), (slice(None), 5), ([0, 7],), (np.asarray([[9]]),)], ids=str
)
def test_out_of_range(key):
    x = sn.asarray(filled((5, 5)))
    with pytest.raises(IndexError):
        x[key].numpy()


@pytest.mark.parametrize(
    "key", [(0, 0, 0), (..., ...), (1.5,), ("a",), (np.ones(3, bool),)], ids=str
)
def test_mistaken_keys(key):
    x = sn.asarray(filled((5, 5)))
    with pytest.raises((IndexError, TypeError, ValueError)):
        x[key].numpy()
