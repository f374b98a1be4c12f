"""Open sizes stay open in an ONNX model: every layer at batches that it was not traced with."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("onnxruntime")

HERE = Path(__file__).resolve().parent
for _folder in (HERE, HERE.parent / "nn", HERE.parent / "graph"):
    sys.path.insert(0, str(_folder))

from exporting import close, results, run  # noqa: E402
from layer_cases import CASES  # noqa: E402
from test_export_layers import EACH, inputs, made  # noqa: E402

import sennit as sn  # noqa: E402
from sennit import nn  # noqa: E402


def open_specs(few, many, name="n"):
    """Specs of these arguments, with a name where their sizes are those of the batch."""
    return [
        sn.TensorSpec(
            [name if p != q else p for p, q in zip(a.shape, b.shape, strict=True)], a.dtype
        )
        for a, b in zip(few, many, strict=True)
    ]


def check(graph, path, opset, calls, tolerance=1e-5):
    graph.to_onnx(path, opset=opset)
    for args in calls:
        got, want = run(path, graph, args), results(graph, args)
        for a, b in zip(got, want, strict=True):
            close(a, b, tolerance, f"at {[x.shape for x in args]}", scaled=True)
    return onnx.load(path)


@pytest.mark.parametrize("opset", [18, pytest.param(24, marks=pytest.mark.slow)])
@pytest.mark.parametrize("recipe", [e for e in EACH if e.values[0].open_batch])
def test_recipes(recipe, opset, tmp_path):
    sn.random.seed(0)
    few, many = recipe.args(3), recipe.args(5)
    function = recipe.make()
    if isinstance(function, nn.Module):
        if type(function).__name__.startswith("Lazy"):
            function(*few)
        function.eval()
    graph = sn.trace(function, *open_specs(few, many))
    assert list(graph.sizes) == ["n"]
    model = check(graph, tmp_path / "model.onnx", opset, (few, many, recipe.args(2)))
    named = {
        d.dim_param for v in model.graph.input for d in v.type.tensor_type.shape.dim if d.dim_param
    }
    assert named == {"n"}


@pytest.mark.parametrize("recipe", EACH)
def test_round_trip(recipe, tmp_path):
    """Out and in again: the graph that is read gives what the one that was written gives."""
    sn.random.seed(0)
    few, many = recipe.args(3), recipe.args(5)
    function = recipe.make()
    if isinstance(function, nn.Module):
        if type(function).__name__.startswith("Lazy"):
            function(*few)
        function.eval()
    graph = sn.trace(function, *open_specs(few, many if recipe.open_batch else few))
    graph.to_onnx(tmp_path / "model.onnx")
    read = sn.onnx.load(tmp_path / "model.onnx")
    for args in (few, many) if recipe.open_batch else (few,):
        got = results(read, args)
        for a, b in zip(got, results(graph, args), strict=True):
            close(a, b, 1e-5, f"at {[x.shape for x in args]}")


GRID = [c for c in CASES if all(len(s) > 2 and s[0] == 2 for s in c.shapes)]


@pytest.mark.parametrize("case", GRID, ids=str)
def test_grid(case, tmp_path):
    layer = made(case)
    few = inputs(case)
    many = [sn.concatenate([a, a * 0.7, a + 0.3]) for a in few]
    graph = sn.trace(lambda *t: layer(*t, **case.call), *open_specs(few, many))
    check(graph, tmp_path / "model.onnx", 18, (few, many))


def test_networks_of_the_graph_tests(tmp_path):
    from graph_models import GPT, Tagger

    sn.random.seed(0)
    spec = sn.TensorSpec(("n", sn.Dim("t", min=1, max=32)), sn.int64)
    graph = sn.trace(GPT(), spec)
    tokens = [(sn.random.integers(0, 17, s),) for s in ((2, 11), (1, 1), (5, 32))]
    for opset in (18, 24):
        model = check(graph, tmp_path / "gpt.onnx", opset, tokens)
        shape = model.graph.output[0].type.tensor_type.shape
        assert [d.dim_param or d.dim_value for d in shape.dim] == ["n", "t", 17]
    graph = sn.trace(Tagger(), sn.TensorSpec(("t", "n", 5)))
    check(
        graph, tmp_path / "lstm.onnx", 18, [(sn.random.randn(s),) for s in ((4, 2, 5), (9, 1, 5))]
    )


def test_convolutions_at_any_size(tmp_path):
    sn.random.seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.ConvTranspose2d(4, 5, 2, 2), nn.AvgPool2d(3, 2, 1), nn.GroupNorm(5, 5),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2),
    ).eval()  # fmt: skip
    graph = sn.trace(net, sn.TensorSpec(("n", 3, sn.Dim("h", min=16), sn.Dim("w", min=16))))
    images = [(sn.random.randn(s),) for s in ((2, 3, 32, 40), (1, 3, 33, 47), (3, 3, 16, 19))]
    check(graph, tmp_path / "cnn.onnx", 18, images)


def test_numbers_that_are_made_of_sizes(tmp_path):
    def function(x):
        n, t = x.shape
        return x.mean(0) * t, x / n**0.5, sn.arange(n) * 2, x.sum() / (n * t), x.reshape(-1, 2)[1:]

    graph = sn.trace(function, sn.TensorSpec(("n", sn.Dim("t", multiple=2))))
    calls = [(sn.random.randn(s),) for s in ((3, 4), (8, 2), (5, 10))]
    check(graph, tmp_path / "sizes.onnx", 18, calls)


def test_parts_and_flips(tmp_path):
    def function(x):
        n = x.shape[0]
        return (
            x[1:], x[:-1], x[::2], x.flip(0), x[n // 2 :], x[-1], sn.roll(x, 1, 0),
            sn.concatenate([x, x[:1]]), x.T, nn.functional.pad(x, (0, 0, 1, 2)), x[1:-1:2],
        )  # fmt: skip

    graph = sn.trace(function, sn.TensorSpec((sn.Dim("n", min=4), 3)))
    check(graph, tmp_path / "parts.onnx", 18, [(sn.random.randn((k, 3)),) for k in (4, 5, 12, 13)])


def test_packed_sequences_use_sequence_lens(tmp_path):
    lstm = nn.LSTM(5, 4)

    def function(x, lengths):
        w = lstm
        return sn.lstm_sequence(
            x, w.weight_ih_l0, w.weight_hh_l0, w.bias_ih_l0, w.bias_hh_l0, lengths=lengths
        )[1:]

    graph = sn.trace(
        function, sn.TensorSpec(("t", "n", 5)), sn.TensorSpec(("n",), sn.int64, name="lengths")
    )
    calls = [
        (sn.random.randn((7, 3, 5)), sn.asarray(np.array([7, 2, 5]))),
        (sn.random.randn((4, 2, 5)), sn.asarray(np.array([1, 4]))),
    ]
    model = check(graph, tmp_path / "packed.onnx", 18, calls)
    (node,) = [n for n in model.graph.node if n.op_type == "LSTM"]
    assert node.input[4], "the lengths are sequence_lens"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ctc_loss_and_its_gradient_at_any_size(dtype, tmp_path):
    def step(logits, targets, steps, lengths):
        def loss(z):
            logp = sn.log_softmax(z, -1)
            return sn.ctc_loss(logp, targets, steps, lengths, zero_infinity=True)

        return sn.value_and_grad(loss)(logits)

    count = sn.TensorSpec(("n",), sn.int64)
    graph = sn.trace(
        step, sn.TensorSpec(("t", "n", 5), getattr(sn, dtype)),
        sn.TensorSpec(("n", "s"), sn.int64), count, count,
    )  # fmt: skip
    calls = []
    for t, n, s in ((12, 3, 4), (7, 5, 2), (4, 2, 0), (30, 4, 9), (1, 2, 1)):
        rng = np.random.default_rng(t)
        steps, lengths = rng.integers(0, t + 1, n), rng.integers(0, s + 1, n)
        steps[0], lengths[0] = t, s
        arrays = (rng.standard_normal((t, n, 5)).astype(dtype), rng.integers(1, 5, (n, s)))
        calls.append([sn.asarray(a) for a in (*arrays, steps, lengths)])
    check(graph, tmp_path / "ctc.onnx", 18, calls)


@pytest.mark.parametrize("name", ["GCNConv", "SAGEConv", "GATConv"])
def test_layers_on_graphs_of_any_size(name, tmp_path):
    sn.random.seed(0)
    layer = getattr(nn.graph, name)(4, 3).eval()
    graph = sn.trace(layer, sn.TensorSpec(("n", 4)), sn.TensorSpec((2, "e"), sn.int64))
    calls = [
        (sn.random.randn((n, 4)), sn.random.integers(0, n, (2, e)))
        for n, e in ((6, 9), (3, 5), (10, 40))
    ]
    check(graph, tmp_path / "layer.onnx", 18, calls)
