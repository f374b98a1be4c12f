"""What `sn.explain()` shows: fusion of plain imperative code, and where each kernel came from."""

from __future__ import annotations

import numpy as np
import pytest

import sennit as sn


@pytest.fixture(autouse=True)
def whole_windows(window) -> None:
    """The counts are those of the default window, also when the suite runs op by op."""
    window(4096)


def data(*shape: int) -> sn.Tensor:
    return sn.tensor(np.random.default_rng(len(shape)).standard_normal(shape), dtype=sn.float32)


def kernels(function) -> int:
    """Kernels of the second run: the first also makes what is made once."""
    function()
    sn.synchronize()
    with sn.explain() as e:
        y = function()
        sn.synchronize()
    del y
    assert e.kernels > 0
    return e.kernels


# ---- fusion, with no decorator


def test_transformer_block_is_at_most_three_kernels() -> None:
    x, w1, b1, w2, b2 = data(48, 64), data(256, 64), data(256), data(64, 256), data(64)
    for t in (x, w1, b1, w2, b2):
        t.tolist()
    g, b = sn.ones(64), sn.zeros(64)
    sn.synchronize()

    def block() -> sn.Tensor:
        h = sn.gelu(sn.linear(sn.layer_norm(x, (64,), g, b), w1, b1))
        return x + sn.linear(h, w2, b2)

    assert kernels(block) <= 3


def test_the_same_block_written_with_operators() -> None:
    x, w1, b1, w2, b2 = data(48, 64), data(64, 256), data(256), data(256, 64), data(64)
    sn.synchronize()
    assert kernels(lambda: x + sn.gelu(sn.layer_norm(x, (64,)) @ w1 + b1) @ w2 + b2) <= 3


def test_a_row_reduction_between_elementwise_parts_is_one_kernel() -> None:
    x = data(40, 100)
    assert kernels(lambda: x + sn.layer_norm(sn.gelu(x), (100,))) == 1


@pytest.mark.parametrize(
    "name, function, most",
    [
        ("elementwise chain", lambda x: sn.gelu_tanh(x * 2 + 1) * sn.sigmoid(x), 1),
        ("softmax", lambda x: sn.softmax(x * 0.5, axis=-1), 1),
        ("softmax written out", lambda x: sn.exp(x - x.max(axis=1, keepdims=True))
         / sn.exp(x - x.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True), 1),
        ("row loss", lambda x: sn.log_softmax(x, axis=-1)[:, 0].mean(), 3),
        ("normalize rows", lambda x: x / sn.sqrt((x * x).sum(axis=1, keepdims=True) + 1e-6), 1),
        ("view, then elementwise", lambda x: x[1:, ::2] * 2 + 1, 1),
        ("branches of one input", lambda x: (sn.exp(x), sn.tanh(x), x * x), 3),
        ("matmul with epilogue", lambda x: sn.relu(x @ x.T + 1), 1),
    ],
)  # fmt: skip
def test_kernel_counts(name: str, function, most: int) -> None:
    x = data(40, 100)
    sn.synchronize()
    assert kernels(lambda: function(x)) <= most, name


def test_conv_bias_and_activation_are_one_kernel() -> None:
    x, w, b = data(2, 8, 10, 10), data(16, 8, 3, 3), data(16)
    sn.synchronize()
    before = kernels(lambda: sn.conv2d(x, w, b, padding=1))
    assert kernels(lambda: sn.relu(sn.conv2d(x, w, b, padding=1))) == before


@pytest.mark.parametrize("block", ["basic", "bottleneck", "inverted"])
def test_inference_is_one_kernel_per_convolution(block: str) -> None:
    """Batch norm, activation and residual sum run as epilogues of the convolutions."""
    made = {
        "basic": lambda: sn.models.BasicBlock(16, 16),
        "bottleneck": lambda: sn.models.Bottleneck(16, 4),
        "inverted": lambda: sn.models.InvertedResidual(16, 16, 1, 6),
    }[block]()
    convolutions = {"basic": 2, "bottleneck": 3, "inverted": 3}[block]
    made.eval()
    x = data(2, 16, 10, 10)

    def run() -> sn.Tensor:
        with sn.no_grad():
            return made(x)

    # Besides: the factors of each batch norm, and the input to channels last.
    assert kernels(run) <= 2 * convolutions + 1
    with sn.explain() as e:
        y = run()
        sn.synchronize()
    del y
    assert str(e).count("kernel+epilogue") == convolutions


def test_unused_results_are_not_computed() -> None:
    x = data(40, 100)
    sn.synchronize()
    with sn.explain() as e:
        sn.exp(x)
        y = x + 1
        sn.synchronize()
    assert e.kernels == 1
    del y


def test_equal_subexpressions_are_computed_once() -> None:
    x = data(64, 64)
    sn.synchronize()
    assert kernels(lambda: (x @ x, x @ x)) == 1


def test_op_by_op_runs_each_op(window) -> None:
    x = data(40, 100)
    sn.synchronize()
    window(1)
    assert kernels(lambda: sn.gelu(x * 2 + 1)) == 3


# ---- what is told


def test_the_report_names_ops_lines_bytes_and_times() -> None:
    x = data(40, 100)
    sn.synchronize()
    with sn.explain() as e:
        y = sn.exp(x) * 2  # this line
        z = y @ x.T
        sn.synchronize()
    del y, z
    text = repr(e)
    assert "test_explain.py:" in text
    assert "exp" in text and "matmul" in text
    assert e.recorded >= 3
    for w in e.windows:
        assert w["run_us"] >= 0 and w["plan_us"] >= 0
        for step in w["steps"]:
            assert step["bytes"] > 0 and step["us"] >= 0 and step["ops"]


def test_the_second_run_finds_its_plan() -> None:
    x = data(40, 100)
    sn.synchronize()

    def run() -> None:
        (sn.exp(x) * 2).sum().item()

    run()
    with sn.explain() as e:
        run()
    assert all(w["hit"] for w in e.windows)


def test_explaining_does_not_change_results_or_stay_on() -> None:
    x = data(40, 100)
    expected = (sn.exp(x) * 2).numpy().tobytes()
    with sn.explain() as e:
        found = (sn.exp(x) * 2).numpy().tobytes()
    count = e.kernels
    (x + 5).tolist()
    assert found == expected
    assert e.kernels == count


def test_an_error_inside_passes_through() -> None:
    with pytest.raises(sn.ShapeError), sn.explain():
        sn.ones(3) + sn.ones(4)
    assert (sn.ones(3) + 1).tolist() == [2, 2, 2]


# ---- doctor


def test_doctor_tells_the_essentials() -> None:
    text = sn.doctor()
    for word in ("sennit", "instruction set", "threads", "cuda", "numpy"):
        assert word in text
