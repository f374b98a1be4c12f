"""If, Loop and Scan that depend on values: read as control nodes, and written from them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.parser import parse_model

import sennit as sn
from sennit._tree import flatten

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "graph")]

from exporting import compare, session  # noqa: E402
from graph_models import MODELS, OPEN_MODELS, draw  # noqa: E402


def rand(*shape: int, seed: int = 0) -> sn.Tensor:
    return sn.tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def both(model: onnx.ModelProto, path: Path, *feeds: dict[str, np.ndarray]) -> sn.Graph:
    """The loaded graph, which gives what onnxruntime gives, and the bits of the function."""
    onnx.save(model, path)
    ort, graph, function = session(path), sn.onnx.load(model), sn.onnx.to_function(model)
    for feed in feeds:
        want = ort.run(None, feed)
        args = [sn.asarray(feed[v.name]) for v in graph.inputs]
        made, plain = graph(*args), function(*args)
        for key, x in zip(made, want, strict=True):
            np.testing.assert_allclose(made[key].numpy(), x, rtol=1e-5, atol=1e-5)
            assert made[key].numpy().tobytes() == plain[key].numpy().tobytes()
    return graph


HEAD = '<ir_version: 8, opset_import: ["": 17]>\n'


def test_if(tmp_path: Path) -> None:
    made = parse_model(
        HEAD
        + """g (float[n] x) => (float[n] y, float[n] z)
        <float[2] w = {1, 2}, float zero = {0}, float two = {2}>
        {
            s = ReduceSum <keepdims = 0> (x)
            c = Greater(s, zero)
            half = Div(x, two)
            y, z = If (c) <
                then_branch = t () => (float[n] a, float[n] b) {
                    e = Exp(half) a = Mul(e, two) b = Identity(x) },
                else_branch = f () => (float[n] d, float[n] q) {
                    d = Neg(half) q = Add(d, x) }
            >
        }"""
    )
    x = np.array([1.0, 2.0, -0.5], np.float32)
    graph = both(made, tmp_path / "m.onnx", {"x": x}, {"x": -x}, {"x": x[:1]})
    assert [node.op for node in graph.nodes].count("cond") == 1


def test_loops(tmp_path: Path) -> None:
    made = parse_model(
        HEAD
        + """g (float[2] x, int64 n) => (float[2] last, int64 rounds)
        <float limit = {100}, int64 none = {0}, int64 one = {1}, bool yes = {1}>
        {
            last, rounds = Loop (n, yes, x, none) <
                body = b (int64 k, bool go, float[2] s, int64 r)
                    => (bool on, float[2] t, int64 q) {
                    t = Add(s, s) q = Add(r, one)
                    top = ReduceMax <keepdims = 0> (t) on = Less(top, limit) }
            >
        }"""
    )
    x = np.array([1.0, 3.0], np.float32)
    feeds = [{"x": x, "n": np.array(n)} for n in (0, 1, 3, 50)]
    graph = both(made, tmp_path / "m.onnx", *feeds)
    assert [node.op for node in graph.nodes].count("while_loop") == 1


def test_a_loop_that_runs_until_its_condition_is_false(tmp_path: Path) -> None:
    made = parse_model(
        HEAD
        + """g (float x) => (float y) <bool yes = {1}, float two = {2}, float limit = {99}>
        { y = Loop ("", yes, x) <
            body = b (int64 k, bool go, float s) => (bool on, float t) {
                t = Mul(s, two) on = Less(t, limit) }
          >
        }"""
    )
    both(made, tmp_path / "m.onnx", *({"x": np.array(v, np.float32)} for v in (1.0, 60.0)))


@pytest.mark.parametrize("back", [0, 1])
def test_a_scan_over_an_open_axis(back: int, tmp_path: Path) -> None:
    made = parse_model(
        HEAD
        + f"""g (float[3] h, float[t, 3] x) => (float[3] last, float[3, t] all)
        <float half = {{0.5}}>
        {{
            last, all = Scan (h, x) <num_scan_inputs = 1, scan_input_directions = [{back}],
                scan_output_axes = [1], scan_output_directions = [{back}],
                body = b (float[3] s, float[3] r) => (float[3] n, float[3] o) {{
                    a = Mul(s, half) n = Add(a, r) o = Tanh(n) }}
            >
        }}"""
    )
    h = rand(3).numpy()
    feeds = [{"h": h, "x": rand(t, 3, seed=t).numpy()} for t in (1, 4, 90)]
    graph = both(made, tmp_path / "m.onnx", *feeds)
    assert [node.op for node in graph.nodes].count("scan") == 1


def test_sides_that_do_not_agree() -> None:
    made = parse_model(
        HEAD
        + """g (float[n] x, bool c) => (float[m] y) <int64[1] first = {0}>
        { y = If (c) <
            then_branch = t () => (float[m] a) { a = Identity(x) },
            else_branch = f () => (float[m] b) { b = Gather(x, first) }
          >
        }"""
    )
    with pytest.raises(sn.InvalidValue, match=r"do not agree.*to_function"):
        sn.onnx.load(made)


# ---------------------------------------------------------------- export


@pytest.mark.parametrize("name", ["writer", "router"])
def test_models_are_written(name: str, tmp_path: Path) -> None:
    sn.random.seed(3)
    make, specs = MODELS[name]
    graph = sn.trace(make(), *specs)
    for _ in range(3):
        compare(graph, draw(specs), tmp_path / "m.onnx")
    again = sn.onnx.load(tmp_path / "m.onnx")
    args = draw(specs)
    made = again(*args)
    want = flatten(graph(*args))
    for a, b in zip(made.values(), want, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["writer", "router"])
def test_open_sizes_stay_open(name: str, tmp_path: Path) -> None:
    sn.random.seed(3)
    make, specs = OPEN_MODELS[name]
    graph = sn.trace(make(), *specs)
    graph.to_onnx(tmp_path / "m.onnx")
    ort = session(tmp_path / "m.onnx")
    for t, n in ((1, 1), (5, 2), (9, 4)):
        if name == "writer":
            args = [sn.random.integers(0, 17, (n,)), sn.random.randn((n, 8))]
        else:
            args = [sn.random.randn((t, n, 4))]
        feed = {v.name: x.numpy() for v, x in zip(graph.inputs, args, strict=True)}
        for a, b in zip(ort.run(None, feed), flatten(graph(*args)), strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
def test_loops_without_rows_and_with_limits(reverse: bool, tmp_path: Path) -> None:
    def powers(x: sn.Tensor) -> tuple[sn.Tensor, ...]:
        last, all_ = sn.scan(lambda c, _: (c * x, c), sn.ones(3), length=4, reverse=reverse)
        some = sn.while_loop(lambda c: c.sum() < 1e6, lambda c: c * c + 1, x, max_steps=3)
        return last, all_, some

    compare(sn.trace(powers, sn.TensorSpec((3,))), (rand(3),), tmp_path / "m.onnx")


def test_gradients_are_written(tmp_path: Path) -> None:
    def f(x: sn.Tensor, w: sn.Tensor) -> sn.Tensor:
        def step(h: sn.Tensor, r: sn.Tensor) -> tuple[sn.Tensor, sn.Tensor]:
            h = sn.cond(h.sum() > 0, lambda h: sn.tanh(h @ w) + r, lambda h: h * r, h)
            return h, h.sum()

        last, sums = sn.scan(step, x[0], x)
        return (last * last).sum() + sums.sum()

    specs = sn.TensorSpec((4, 3)), sn.TensorSpec((3, 3))
    graph = sn.trace(sn.grad(f, argnums=(0, 1)), *specs)
    compare(graph, (rand(4, 3), rand(3, 3, seed=1)), tmp_path / "m.onnx")


def test_what_has_no_expression_is_found_in_blocks(tmp_path: Path) -> None:
    graph = sn.trace(lambda x: sn.cond(x.sum() > 0, sn.lgamma, lambda x: x, x), sn.TensorSpec((2,)))
    with pytest.raises(sn.InvalidValue, match="lgamma"):
        graph.to_onnx(tmp_path / "m.onnx")
