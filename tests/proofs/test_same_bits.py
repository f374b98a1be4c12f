"""The same program gives the same bits, however it runs."""

from __future__ import annotations

import gc
import json
import random
from pathlib import Path

import numpy as np
import pytest

import sennit as sn

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

PROGRAMS = str(Path(__file__).resolve().parent / "programs.py")
PROGRAM_COUNT = 150


def has_avx512() -> bool:
    info = Path("/proc/cpuinfo")
    return info.exists() and all(
        f" {flag}" in info.read_text() for flag in ("avx512f", "avx512bw", "avx512dq", "avx512vl")
    )


# The environments of the fresh interpreters. Every one must print what the first prints.
ENVIRONMENTS = {
    "best": {},
    "avx2": {"SENNIT_ISA": "avx2"},
    "avx512": {"SENNIT_ISA": "avx512"},
    "serial engine": {"SENNIT_ENGINE": "serial"},
    "op by op": {"SENNIT_WINDOW": "1"},
    "verified": {"SENNIT_VERIFY": "1"},
    "avx2, serial, 3 threads, tiny windows": {
        "SENNIT_ISA": "avx2",
        "SENNIT_ENGINE": "serial",
        "SENNIT_NUM_THREADS": "3",
        "SENNIT_WINDOW": "5",
    },
}


@pytest.fixture(params=list(ENVIRONMENTS)[1:])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    env = ENVIRONMENTS[request.param]
    if env.get("SENNIT_ISA") == "avx512" and not has_avx512():
        pytest.skip("this CPU has no AVX-512")
    if env.get("SENNIT_ISA") and "avx2" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("not an x86 CPU with AVX2")
    return env


# ---- random programs


@given(choose=st.randoms(use_true_random=False))
def test_random_programs_for_threads_and_windows(choose: random.Random, programs) -> None:
    program = programs.random_program(choose)
    threads, limit = sn.num_threads(), sn.config.window
    try:
        found = {}
        for count, nodes in [(1, limit), (2, limit), (3, 7), (7, limit), (1, 1), (7, 1)]:
            sn.set_num_threads(count)
            sn.config.window = nodes
            found[count, nodes] = programs.digest(programs.run_program(program))
    finally:
        sn.set_num_threads(threads)
        sn.config.window = limit
    assert len(set(found.values())) == 1, (found, program)


@pytest.fixture(scope="module")
def reference(fresh_python) -> list[str]:
    return json.loads(fresh_python(PROGRAMS, "random", "0", str(PROGRAM_COUNT)))


def test_random_programs_in_other_environments(environment, reference, fresh_python) -> None:
    found = json.loads(fresh_python(PROGRAMS, "random", "0", str(PROGRAM_COUNT), **environment))
    wrong = [seed for seed, (a, b) in enumerate(zip(reference, found, strict=True)) if a != b]
    assert not wrong, f"seeds of the programs that differ: {wrong}"


@pytest.mark.bits
def test_random_programs_run_twice_in_one_process(programs, reference) -> None:
    # Cached plans, recycled memory and other earlier work must not show.
    assert programs.random_digests(0, PROGRAM_COUNT) == reference
    assert programs.random_digests(0, PROGRAM_COUNT) == reference


PRODUCTS = {
    "matmul": lambda x: x @ rows("float32", 5, 5),
    "linear": lambda x: sn.linear(x, rows("float32", 5, 5), rows("float32", 5)),
    "transposed": lambda x: (rows("float32", 5, 5) @ x.T).T,
    "conv2d": lambda x: sn.conv2d(x[None, None], rows("float32", 1, 1, 3, 3), padding=1)[0, 0],
}


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("keep", [False, True])
def test_a_product_with_several_uses(name: str, keep: bool, window) -> None:
    # Found by the random programs: several results of one fused kernel, all made from the product.
    x = rows("float32", 3, 5)

    def run(limit: int) -> list[bytes]:
        window(limit)
        product = PRODUCTS[name](x)
        results = [product * 2, product + x, sn.relu(product) * x, *([product] if keep else [])]
        del product
        return [as_bytes(r) for r in results]

    assert run(4096) == run(1)


VIEWS = {
    "flip": lambda y: y[::-1, ::-1],
    "transposed": lambda y: y.T,
    "rolled": lambda y: sn.roll(y, 1, 0),
    "itself": lambda y: y.reshape(6, 6),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_value_and_its_view_that_meet_again(name: str, window) -> None:
    # Also found by them: both orders of the elements in one fused kernel.
    x = rows("float32", 6, 6)

    def run(limit: int) -> list[bytes]:
        window(limit)
        y = sn.sin(x)
        t = sn.tanh(VIEWS[name](y))
        return [as_bytes(r) for r in (t, y.mean() + t.mean(), y + t)]

    assert run(4096) == run(1)


def test_an_operand_of_a_product_that_is_used_after_it(window) -> None:
    x = rows("float64", 3, 5)
    w = rows("float64", 5, 5)

    def run(limit: int) -> list[bytes]:
        window(limit)
        left = x.astype(sn.float32)  # made for the product, and wanted by what follows it
        right = w.astype(sn.float32)
        product = left @ right
        sorted_left = sn.sort(left)
        results = [product * 2 + left, product * sorted_left, sn.silu(left) - product]
        del product, sorted_left
        return [as_bytes(r) for r in results]

    assert run(4096) == run(1)


# ---- trainings


@pytest.fixture(scope="module")
def trained(programs) -> list[str]:
    return programs.training_digests()


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_trainings_for_threads(count: int, trained, programs, threads) -> None:
    threads(count)
    assert programs.training_digests() == trained


@pytest.mark.parametrize("nodes", [1, 50])
def test_trainings_for_windows(nodes: int, trained, programs, window) -> None:
    window(nodes)
    assert programs.training_digests() == trained


@pytest.mark.bits
def test_trainings_in_other_environments(environment, trained, fresh_python) -> None:
    assert json.loads(fresh_python(PROGRAMS, "training", **environment)) == trained


def test_trainings_learn(programs) -> None:
    # A digest that never changes proves nothing if the parameters never move.
    assert programs.digest(programs.train_mlp(1)) != programs.digest(programs.train_mlp(2))
    assert programs.digest(programs.train_cnn(1)) != programs.digest(programs.train_cnn(2))


# ---- a row alone and in a batch

BATCHES = range(1, 66)


def rows(dtype: str, *shape: int) -> sn.Tensor:
    values = np.random.default_rng(5).standard_normal(shape)
    return sn.tensor(values, dtype=getattr(sn, dtype))


def as_bytes(x: sn.Tensor) -> bytes:
    return x.astype(sn.float32 if x.itemsize < 4 else x.dtype).numpy().tobytes()


def check_rows(function, x: sn.Tensor) -> None:
    alone = [as_bytes(function(x[i : i + 1])) for i in range(x.shape[0])]
    for batch in BATCHES:
        together = as_bytes(function(x[:batch]))
        assert together == b"".join(alone[:batch]), f"batch of {batch}"


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("k, n", [(17, 9), (300, 33), (1500, 70)])
def test_matmul_row_alone(dtype: str, k: int, n: int) -> None:
    w = rows(dtype, k, n)
    check_rows(lambda x: x @ w, rows(dtype, 65, k))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matmul_with_transposed_operand_row_alone(dtype: str) -> None:
    w = rows(dtype, 33, 120)
    check_rows(lambda x: x @ w.T, rows(dtype, 65, 120))
    x = rows(dtype, 120, 65).T  # rows that are not contiguous
    check_rows(lambda r: r @ w.T, x)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_linear_row_alone(dtype: str) -> None:
    w, b = rows(dtype, 50, 130), rows(dtype, 50)
    check_rows(lambda x: sn.gelu(sn.linear(x, w, b)), rows(dtype, 65, 130))


@pytest.mark.parametrize("channels, kernel, stride", [(1, 3, 1), (5, 3, 2), (16, 1, 1), (4, 5, 1)])
def test_conv2d_image_alone(channels: int, kernel: int, stride: int) -> None:
    w = rows("float32", 12, channels, kernel, kernel)
    b = rows("float32", 12)
    x = rows("float32", 65, channels, 7, 9)
    check_rows(lambda r: sn.conv2d(r, w, b, stride=stride, padding=1), x)


CONVOLUTIONS = {
    "1x1": ((24, 40, 1, 1), {}),
    "3x3": ((24, 40, 3, 3), {"padding": 1}),
    "depthwise": ((40, 1, 3, 3), {"padding": 1, "groups": 40}),
    "transposed": ((40, 24, 3, 3), {"padding": 1, "stride": 2}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_kept_packed_weights(kind: str, dtype: str, window) -> None:
    """The packed form of a weight is kept from the second call on, and follows the weight."""
    shape, options = CONVOLUTIONS[kind]
    function = sn.conv_transpose2d if kind == "transposed" else sn.conv2d
    w = rows(dtype, *shape)
    x = rows(dtype, 2, 40 if kind in ("depthwise", "transposed") else shape[1], 13, 11)

    def run(weight: sn.Tensor) -> bytes:
        with sn.no_grad():
            return as_bytes(sn.relu(function(x, weight, **options) * 2.0))

    expected = run(w.clone())
    for limit in (4096, 1):
        window(limit)
        assert [run(w) for _ in range(4)] == [expected] * 4
    # Views of one buffer are other weights.
    both = sn.concatenate([w, w * 0.5])
    part, other = both[: shape[0]], both[shape[0] :]
    halved = run((w * 0.5).clone())
    for _ in range(3):
        assert run(part) == expected
        assert run(other) == halved
    # A write in place is seen by the next call.
    for _ in range(3):
        w *= 0.5
        halved, found = run(w.clone()), [run(w) for _ in range(3)]
        assert found == [halved] * 3


def test_training_between_inferences_changes_the_weights() -> None:
    sn.random.seed(0)
    net = sn.nn.Sequential(sn.nn.Conv2d(3, 8, 3), sn.nn.ReLU(), sn.nn.Conv2d(8, 4, 1))
    optimizer = sn.optim.SGD(net.parameters(), lr=0.1)
    x = rows("float32", 4, 3, 9, 9)

    def infer(model: sn.nn.Module) -> bytes:
        with sn.no_grad():
            return as_bytes(model(x))

    for _ in range(3):
        fresh = sn.nn.Sequential(sn.nn.Conv2d(3, 8, 3), sn.nn.ReLU(), sn.nn.Conv2d(8, 4, 1))
        fresh.load_state_dict({k: v.clone() for k, v in net.state_dict().items()})
        expected = infer(fresh)
        assert [infer(net) for _ in range(3)] == [expected] * 3
        optimizer.zero_grad()
        (net(x) ** 2).mean().backward()
        optimizer.step()
        assert infer(net) != expected


def test_kept_forms_go_with_their_weight() -> None:
    def derived() -> int:
        sn.synchronize()
        return sn.memory.stats()["derived"]

    w = rows("float32", 256, 256, 3, 3)
    x = rows("float32", 1, 256, 4, 4)
    gc.collect()
    before = derived()
    with sn.no_grad():
        sn.conv2d(x, w).numpy()
        assert derived() == before  # used once: not worth a copy
        for _ in range(3):
            sn.conv2d(x, w).numpy()
            assert derived() == before + w.nbytes
    del w
    assert derived() == before


def test_training_keeps_no_packed_weights() -> None:
    net = sn.nn.Conv2d(3, 8, 3)
    optimizer = sn.optim.SGD(net.parameters(), lr=0.1)
    x = rows("float32", 4, 3, 9, 9)
    gc.collect()
    sn.synchronize()
    before = sn.memory.stats()["derived"]
    for _ in range(4):
        optimizer.zero_grad()
        (net(x) ** 2).mean().backward()
        optimizer.step()
        sn.synchronize()
    assert sn.memory.stats()["derived"] == before


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [2, 3, 4, 5, 7, 18, 31])
def test_copies_that_interleave_channels(channels: int, dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 200, (2, channels, 5, 331)).astype(dtype)
    for order in [(0, 2, 3, 1), (2, 3, 0, 1), (3, 1, 0, 2)]:
        found = sn.contiguous(sn.permute(sn.tensor(values), order)).numpy()
        np.testing.assert_array_equal(found, values.transpose(order))


def test_gradient_of_a_row_alone() -> None:
    w = rows("float32", 40, 24)

    def input_gradient(x: sn.Tensor) -> sn.Tensor:
        leaf = x.detach().clone().requires_grad_(True)
        sn.tanh(sn.linear(leaf, w)).sum().backward()
        return leaf.grad

    check_rows(input_gradient, rows("float32", 65, 24))


def test_layout_does_not_change_bits() -> None:
    x = rows("float32", 130, 70)
    w = rows("float32", 70, 50)
    expected = as_bytes(x @ w), as_bytes(x.sum(axis=1)), as_bytes(x.sum()), as_bytes(x.var(axis=0))
    stored_by_columns = sn.contiguous(x.T).T
    w_by_columns = sn.contiguous(w.T).T
    found = (
        as_bytes(stored_by_columns @ w_by_columns),
        as_bytes(stored_by_columns.sum(axis=1)),
        as_bytes(stored_by_columns.sum()),
        as_bytes(stored_by_columns.var(axis=0)),
    )
    assert found == expected


def test_random_numbers_do_not_depend_on_threads_or_windows(threads, window) -> None:
    def draw() -> bytes:
        sn.random.seed(3)
        u, n = sn.rand(1000, 77), sn.randn(333)
        p = sn.random.permutation(500)
        d = sn.dropout(sn.ones(999), 0.3)
        return as_bytes(u) + as_bytes(n) + p.numpy().tobytes() + as_bytes(d)

    expected = draw()
    for count in (1, 2, 7):
        for nodes in (1, 4096):
            threads(count)
            window(nodes)
            assert draw() == expected
