"""Independent branches of imperative code run at the same time, with the same bits."""

from __future__ import annotations

import random

import numpy as np
import pytest

import sennit as sn

SIZE = 64  # a product of this size is too short to be worth sharing, and 100 of them are not


@pytest.fixture(autouse=True)
def verified():
    before = sn.num_threads()
    sn.config.verify = True
    sn.set_num_threads(2)
    yield
    sn.config.verify = False
    sn.set_num_threads(before)


def matrix(seed: int, size: int = SIZE) -> sn.Tensor:
    values = np.random.default_rng(seed).standard_normal((size, size), dtype=np.float32)
    return sn.asarray(values / np.float32(size**0.5))


def branches(count: int, length: int) -> list[sn.Tensor]:
    x = matrix(0)
    ends = []
    for k in range(count):
        y, w = x, matrix(1 + k)
        for _ in range(length):
            y = sn.tanh(y @ w)
        ends.append(y)
    return ends


def ancestors(order: list[tuple[int, int]], steps: int) -> list[set[int]]:
    before: list[set[int]] = [set() for _ in range(steps)]
    for first, then in sorted(order, key=lambda edge: edge[1]):
        before[then] |= before[first] | {first}
    return before


def bits(tensors: list[sn.Tensor]) -> list[bytes]:
    return [t.numpy().tobytes() for t in tensors]


def test_branches_do_not_wait_for_each_other():
    sn.synchronize()
    with sn.explain() as e:
        ends = branches(2, 50)
        sn.synchronize()
    assert [t.shape for t in ends] == [(SIZE, SIZE)] * 2
    if sn.config.window == 1:
        pytest.skip("op by op, windows hold one kernel each")
    (window,) = e.windows
    steps = len(window["steps"])
    assert steps == 100
    before = ancestors(window["order"], steps)
    # Each kernel waits for those of its own branch and for no other.
    assert sorted(len(b) for b in before) == sorted([*range(50), *range(50)])


def test_a_chain_runs_in_order():
    sn.synchronize()
    with sn.explain() as e:
        (end,) = branches(1, 100)
        sn.synchronize()
    assert end.shape == (SIZE, SIZE)
    assert all(not w["order"] for w in e.windows)


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_bits_of_branches(threads):
    sn.config.engine = "serial"
    expected = bits(branches(3, 40))
    sn.config.engine = "threaded"
    sn.set_num_threads(threads)
    for _ in range(5):
        assert bits(branches(3, 40)) == expected


def random_program(seed: int) -> list[sn.Tensor]:
    """Operations on values drawn from all that exist: chains, forks, joins, writes in place."""
    rng = random.Random(seed)
    values = [matrix(k) for k in range(4)]
    for _ in range(120):
        a, b = rng.choice(values), rng.choice(values)
        kind = rng.randrange(6)
        if kind <= 2:
            values.append(sn.tanh(a @ b))
        elif kind == 3:
            values.append(a * 0.5 + b.T)
        elif kind == 4:
            values.append(sn.softmax(a) - b[:, ::-1])
        else:
            copy = a + 0.0
            copy[: SIZE // 2] = b[SIZE // 2 :]
            values.append(copy)
        if len(values) > 8:
            values.pop(rng.randrange(len(values)))
    return values


def test_random_graphs_have_independent_kernels():
    if sn.config.window == 1:
        pytest.skip("op by op, windows hold one kernel each")
    found = 0
    for seed in range(12):
        sn.synchronize()
        with sn.explain() as e:
            values = random_program(seed)
            sn.synchronize()
        assert values
        found += any(w["order"] for w in e.windows)
    assert found >= 6


@pytest.mark.parametrize("seed", range(12))
def test_bits_of_random_graphs(seed):
    sn.config.engine = "serial"
    expected = bits(random_program(seed))
    sn.config.engine = "threaded"
    for threads in (2, 3):
        sn.set_num_threads(threads)
        assert bits(random_program(seed)) == expected


def test_a_failure_in_one_branch_leaves_the_others_and_the_state():
    """A bad index fails what depends on it; the update of a parameter beside it is kept back."""
    state = matrix(50)
    former = state.numpy().copy()
    sn.synchronize()
    good, bad = matrix(51), matrix(52)
    for _ in range(30):
        good = sn.tanh(good @ matrix(53))
        bad = sn.tanh(bad @ matrix(54))
    bad = bad[sn.tensor([SIZE + 5])]
    state.assign_(sn.tanh(state @ good))
    with pytest.raises(sn.SennitError):
        bad.numpy()
    assert np.isfinite(good.numpy()).all()
    if sn.config.window > 1:
        assert np.array_equal(state.numpy(), former)
