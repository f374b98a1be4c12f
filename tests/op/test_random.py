"""Random numbers: Philox by its definition, statistics, the same bits however they are drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from engine import FLOATS, INTS, bits

import sennit as sn

M0, M1, W0, W1 = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85
MASK = 0xFFFFFFFF


def philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Philox 4x32-10 as in Salmon, Moraes, Dror, Shaw: Parallel random numbers (SC 2011)."""
    (a, b, c, d), (k, l) = counter, key
    for _ in range(10):
        p, q = M0 * a, M1 * c
        a, b, c, d = (q >> 32) ^ b ^ k, q & MASK, (p >> 32) ^ d ^ l, p & MASK
        k, l = (k + W0) & MASK, (l + W1) & MASK
    return a, b, c, d


def words(seed: int, draw: int, count: int) -> np.ndarray:
    """The generator's words in Sennit's order: groups of 16 blocks, stored word by word."""
    out = []
    for group in range(-(-count // 64)):
        blocks = [
            philox((group * 16 + i, 0, draw & MASK, draw >> 32), (seed & MASK, seed >> 32))
            for i in range(16)
        ]
        out += [blocks[i][w] for w in range(4) for i in range(16)]
    return np.asarray(out[:count], dtype=np.uint64)


@pytest.mark.parametrize(("counter", "key", "want"), [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((MASK,) * 4, (MASK, MASK), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
])  # fmt: skip
def test_known_answers_of_the_reference(counter, key, want):
    """The published test vectors hold for the Python version above."""
    assert philox(counter, key) == want


@pytest.mark.parametrize("seed", [0, 1, 2**40 + 12345])
@pytest.mark.parametrize("count", [1, 63, 64, 65, 1025])
def test_uniform_is_philox(seed, count):
    sn.random.seed(seed)
    for draw in range(2):
        want = (words(seed, draw, count) >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
        assert (sn.random.uniform(shape=(count,)).numpy() == want).all()


def test_uniform_of_float64_is_philox():
    sn.random.seed(9)
    w = words(9, 0, 64).reshape(2, 2, 16)
    whole = ((w[:, 1] << np.uint64(32)) | w[:, 0]).ravel()
    want = (whole >> np.uint64(11)).astype(np.float64) * 2.0**-53
    assert (sn.random.uniform(shape=(32,), dtype=sn.float64).numpy() == want).all()


def test_normal_is_box_and_muller():
    sn.random.seed(3)
    w = words(3, 0, 64).reshape(2, 2, 16).astype(np.float64)
    u = np.floor(w[:, 0] / 2) * 2.0**-31 + 2.0**-32
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * np.floor(w[:, 1] / 256) * 2.0**-24
    want = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()
    np.testing.assert_allclose(sn.random.normal(shape=(64,)).numpy(), want, atol=3e-6)


DRAWS = {
    "uniform": lambda: sn.random.uniform(2.0, 5.0, (100_003,)),
    "normal": lambda: sn.random.normal(1.0, 2.0, (100_003,)),
    "normal64": lambda: sn.random.normal(1.0, 2.0, (100_003,), dtype=sn.float64),
    "half": lambda: sn.random.uniform(shape=(100_003,), dtype=sn.bfloat16),
    "integers": lambda: sn.random.integers(-5, 12, (100_003,)),
    "bernoulli": lambda: sn.random.bernoulli(0.3, (100_003,)),
    "permutation": lambda: sn.random.permutation(10_007),
    "rand": lambda: sn.random.rand((100_003,)),
    "randn": lambda: sn.random.randn((100_003,)),
    "rand_like": lambda: sn.rand_like(sn.zeros((100_003,))),
    "randn_like": lambda: sn.randn_like(sn.zeros((100_003,))),
    "dropout": lambda: sn.dropout(sn.ones((100_003,)), 0.3),
}


@pytest.mark.parametrize("name", DRAWS)
def test_same_bits_for_threads_and_windows(name):
    """A seed fixes the numbers: not the threads, not how many operations run together."""
    threads, window = sn.num_threads(), sn.config.window

    def drawn() -> bytes:
        sn.random.seed(11)
        first = DRAWS[name]()
        return bits(first) + bits(DRAWS[name]())

    want = drawn()
    assert want[: len(want) // 2] != want[len(want) // 2 :], "two draws are the same"
    try:
        for count in (1, 2, 3):
            sn.set_num_threads(count)
            assert drawn() == want
        sn.config.window = 1
        assert drawn() == want
    finally:
        sn.set_num_threads(threads)
        sn.config.window = window


def test_shape_does_not_matter():
    sn.random.seed(5)
    flat = sn.random.normal(shape=(6 * 35,)).numpy()
    sn.random.seed(5)
    assert (sn.random.normal(shape=(6, 5, 7)).numpy().ravel() == flat).all()


def test_state_goes_back():
    sn.random.seed(7)
    sn.random.uniform(shape=(3,))
    state = sn.random.get_state()
    assert state.tolist() == [7, 1]
    first = bits(sn.random.normal(shape=(5,)))
    sn.random.set_state(state)
    assert bits(sn.random.normal(shape=(5,))) == first


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_statistics(dtype):
    sn.random.seed(1)
    x = sn.random.uniform(-1.0, 3.0, (200_000,), dtype=getattr(sn, dtype))
    assert str(x.dtype) == dtype
    a = x.numpy().astype(np.float64)
    assert a.min() >= -1.0
    assert a.max() < 3.0
    assert abs(a.mean() - 1.0) < 0.02
    assert abs(a.var() - 16 / 12) < 0.03
    counts = np.histogram(a, 16, (-1, 3))[0]
    if dtype in ("float32", "float64"):  # chi squared with 15 degrees: 45 is beyond 1 in 10,000
        assert ((counts - 12_500) ** 2 / 12_500).sum() < 45


@pytest.mark.parametrize("dtype", FLOATS)
def test_normal_statistics(dtype):
    sn.random.seed(2)
    a = sn.random.normal(0.5, 2.0, (200_000,), dtype=getattr(sn, dtype)).numpy().astype(np.float64)
    z = (a - 0.5) / 2.0
    assert np.isfinite(z).all()
    assert abs(z.mean()) < 0.01
    assert abs(z.var() - 1) < 0.02
    assert abs((z**3).mean()) < 0.03
    assert abs((z**4).mean() - 3) < 0.1
    inside = (np.abs(z) < 1).mean()
    assert abs(inside - math.erf(math.sqrt(0.5))) < 0.005
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 0.01


@pytest.mark.parametrize("dtype", INTS)
def test_integers_cover_their_range(dtype):
    sn.random.seed(3)
    low = 0 if dtype.startswith("u") else -3
    a = sn.random.integers(low, 7, (50_000,), dtype=getattr(sn, dtype))
    assert str(a.dtype) == dtype
    values, counts = np.unique(a.numpy(), return_counts=True)
    assert values.tolist() == list(range(low, 7))
    expected = 50_000 / (7 - low)
    assert ((counts - expected) ** 2 / expected).sum() < 40


def test_bernoulli_and_dropout_rates():
    sn.random.seed(4)
    assert abs(sn.random.bernoulli(0.3, (100_000,)).mean().item() - 0.3) < 0.01
    kept = sn.dropout(sn.ones((100_000,)), 0.25)
    values = np.unique(kept.numpy())
    assert values.tolist() == [0.0, np.float32(1 / 0.75)]
    assert abs((kept == 0).astype(sn.float32).mean().item() - 0.25) < 0.01
    p = sn.asarray(np.asarray([0.0, 1.0], np.float32))
    assert sn.random.bernoulli(p).tolist() == [0.0, 1.0]


def test_dropout_gradient_is_its_mask():
    sn.random.seed(5)
    x = sn.ones((1025,), requires_grad=True)
    y = sn.dropout(x, 0.5)
    (g,) = sn.gradients(y.sum(), x)
    assert bits(g) == bits(y)
    assert sn.dropout(x, 0.5, training=False) is x or bits(sn.dropout(x, 0.5, False)) == bits(x)
    assert (sn.dropout(x, 1.0) == 0).all().item()


def test_permutations():
    sn.random.seed(6)
    for n in (0, 1, 2, 1000):
        assert sorted(sn.random.permutation(n).tolist()) == list(range(n))
    x = sn.arange(20).reshape((10, 2))
    shuffled = sn.random.permutation(x)
    assert sorted(shuffled.tolist()) == x.tolist()
    firsts = np.asarray([sn.random.permutation(8).numpy()[0] for _ in range(2000)])
    counts = np.bincount(firsts, minlength=8)
    assert ((counts - 250) ** 2 / 250).sum() < 35


def test_normal_of_tensors_and_negative_shapes():
    mean = sn.asarray(np.asarray([[0.0], [100.0]], np.float32))
    x = sn.random.normal(mean, sn.ones((3,)))
    assert x.shape == (2, 3)
    assert (x[1] > 50).all().item()
    with pytest.raises(sn.ShapeError):
        sn.random.uniform(shape=(-2,))
