"""What an exported model says of itself, and what the exporter refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from exporting import close, compare, kinds, results, run, session  # noqa: E402

import sennit as sn  # noqa: E402
from sennit import nn  # noqa: E402
from sennit.onnx import export  # noqa: E402
from sennit.onnx.export_sizes import Poly  # noqa: E402


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(8, 16)
        self.norm = nn.BatchNorm1d(16)
        self.out = nn.Linear(16, 4)

    def forward(self, x):
        h = sn.relu(self.norm(self.hidden(x)))
        return {"scores": self.out(h), "parts": (h, h.sum())}


def graph_of(module=None, shape=("n", 8)):
    return sn.trace((module or Net()).eval(), sn.TensorSpec(shape, name="features"))


# ---------------------------------------------------------------- names and metadata


def test_names_are_kept(tmp_path):
    graph = graph_of()
    model = compare(graph, [sn.random.randn((3, 8))], tmp_path / "net.onnx")
    assert [v.name for v in model.graph.input] == ["features"]
    assert [v.name for v in model.graph.output] == ["scores", "parts.0", "parts.1"]
    names = {x.name: tuple(x.dims) for x in model.graph.initializer}
    names = {k: v for k, v in names.items() if not k.startswith("constant_")}
    used = {k: v.shape for k, v in graph.parameters.items() if "batches" not in k}
    assert names == used
    assert kinds(model) == ["Gemm", "BatchNormalization", "Relu", "Gemm", "ReduceSum"]
    assert model.graph.name == "Net"


def test_nodes_say_where_they_come_from(tmp_path):
    path = tmp_path / "net.onnx"
    graph_of().to_onnx(path)
    model = onnx.load(path)
    gemm = model.graph.node[0]
    assert gemm.name == "Net.hidden/Gemm_0"
    assert {p.key: p.value for p in gemm.metadata_props} == {
        "sennit.op": "add",
        "sennit.module": "Net.hidden",
    }
    assert "test_export.py:" in gemm.doc_string
    assert str(HERE).encode() not in path.read_bytes(), "nothing of the folders of this machine"


def test_producer_and_versions(tmp_path):
    for opset in (18, 21, 28):
        path = tmp_path / f"{opset}.onnx"
        graph_of().to_onnx(path, opset=opset)
        model = onnx.load(path)
        assert (model.producer_name, model.producer_version) == ("sennit", sn.__version__)
        assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
        assert model.ir_version >= 10


def test_shapes_are_there_without_inference(tmp_path):
    graph_of().to_onnx(tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    shapes = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in model.graph.value_info
    }
    assert ["n", 16] in shapes.values()
    (scores, *_) = model.graph.output
    assert [d.dim_param or d.dim_value for d in scores.type.tensor_type.shape.dim] == ["n", 4]


def test_results_that_are_arguments_or_twice_the_same(tmp_path):
    y = sn.ones(3)

    def function(x):
        z = x + 1
        return x, z, z, y, x

    graph = sn.trace(function, sn.TensorSpec((3,)))
    model = compare(graph, [sn.random.randn((3,))], tmp_path / "same.onnx")
    assert len({v.name for v in model.graph.output}) == 5


def test_an_argument_that_is_called_as_a_result(tmp_path):
    graph = sn.trace(lambda output: output * 2, sn.TensorSpec((3,)))
    model = compare(graph, [sn.ones(3)], tmp_path / "m.onnx")
    assert model.graph.input[0].name != model.graph.output[0].name


def test_dead_operations_and_unused_parameters_are_left_out(tmp_path):
    layer = nn.Linear(3, 2)
    unused = nn.Linear(3, 2)

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = layer, unused

        def forward(self, x):
            self.b(x)
            return self.a(x)

    model = compare(sn.trace(Two(), sn.TensorSpec((4, 3))), [sn.ones((4, 3))], tmp_path / "m.onnx")
    assert kinds(model) == ["Gemm"]
    assert [x.name for x in model.graph.initializer] == ["a.weight", "a.bias"]


# ---------------------------------------------------------------- well-known operators


@pytest.mark.parametrize(
    ("make", "shape", "opset", "expected"),
    [
        (lambda: nn.Conv2d(3, 4, 3, bias=True), (2, 3, 5, 5), 18, ["Conv"]),
        (lambda: nn.ConvTranspose1d(3, 4, 3), (2, 3, 5), 18, ["ConvTranspose"]),
        (lambda: nn.GroupNorm(2, 4), (2, 4, 5), 21, ["GroupNormalization"]),
        (lambda: nn.LayerNorm(4), (2, 4), 18, ["LayerNormalization"]),
        (lambda: nn.RMSNorm(4), (2, 4), 23, ["RMSNormalization"]),
        (nn.GELU, (2, 4), 20, ["Gelu"]),
        (lambda: nn.Softmax(-1), (2, 4), 18, ["Softmax"]),
        (lambda: nn.MaxPool2d(2), (2, 3, 4, 4), 18, ["MaxPool"]),
        (nn.Mish, (2, 4), 18, ["Mish"]),
    ],
)
def test_one_operator(make, shape, opset, expected, tmp_path):
    graph = sn.trace(make().eval(), sn.TensorSpec(shape))
    model = compare(graph, [sn.random.randn(shape)], tmp_path / "m.onnx", opset)
    assert kinds(model) == expected


def test_attention_is_one_operator_in_new_versions(tmp_path):
    args = [sn.random.randn((2, 4, 5, 8)) for _ in range(3)]
    attend = nn.functional.scaled_dot_product_attention
    for causal in (False, True):
        graph = sn.trace(lambda q, k, v, c=causal: attend(q, k, v, is_causal=c), *args)
        model = compare(graph, args, tmp_path / "a.onnx", 23)
        assert kinds(model) == ["Attention"]


def test_queries_that_may_look_at_nothing_give_zeros(tmp_path):
    q, k = sn.random.randn((1, 1, 3, 4)), sn.random.randn((1, 1, 2, 4))
    mask = sn.asarray(np.array([[True, False], [False, False], [True, True]]))
    attend = nn.functional.scaled_dot_product_attention
    graph = sn.trace(lambda q, k, m: attend(q, k, k, m), q, k, mask)
    compare(graph, [q, k, mask], tmp_path / "a.onnx")
    assert (run(tmp_path / "a.onnx", graph, [q, k, mask])[0][0, 0, 1] == 0).all()


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_both_directions_are_one_node(kind, tmp_path):
    layer = getattr(nn, kind)(5, 4, num_layers=2, bidirectional=True)
    graph = sn.trace(lambda x: layer(x)[0], sn.TensorSpec(("t", "n", 5)))
    model = compare(graph, [sn.random.randn((7, 3, 5))], tmp_path / "m.onnx")
    assert kinds(model) == [kind, "Transpose", "Reshape"] * 2
    directions = {a.s for n in model.graph.node for a in n.attribute if a.name == "direction"}
    assert directions == {b"bidirectional"}
    graph = sn.trace(layer, sn.TensorSpec(("t", "n", 5)))  # with the last states
    model = compare(graph, [sn.random.randn((7, 3, 5))], tmp_path / "m.onnx")
    assert kinds(model).count(kind) == 2


def test_directions_with_states_of_their_own(tmp_path):
    layer = nn.LSTM(5, 4, bidirectional=True)
    graph = sn.trace(
        lambda x, h, c: layer(x, (h, c)),
        sn.TensorSpec(("t", "n", 5)), sn.TensorSpec((2, "n", 4)), sn.TensorSpec((2, "n", 4)),
    )  # fmt: skip
    args = [sn.random.randn(s) for s in ((7, 3, 5), (2, 3, 4), (2, 3, 4))]
    compare(graph, args, tmp_path / "m.onnx")


# ---------------------------------------------------------------- dtypes


@pytest.mark.parametrize("dtype", [sn.float16, sn.bfloat16])
def test_halves(dtype, tmp_path):
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).to(dtype)
    graph = sn.trace(net, sn.TensorSpec((4, 6), dtype))
    path = tmp_path / "half.onnx"
    graph.to_onnx(path)
    model = onnx.load(path)
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0])
    np.testing.assert_array_equal(
        weight.astype(np.float32), net[0].weight.detach().astype(sn.float32).numpy()
    )
    if dtype == sn.float16:
        x = sn.random.randn((4, 6)).astype(dtype)
        close(run(path, graph, [x])[0], results(graph, [x])[0], 1e-2, "half")


def test_complex_numbers_are_refused(tmp_path):
    graph = sn.trace(lambda x: sn.real(sn.exp(x)), sn.TensorSpec((3,), sn.complex64))
    with pytest.raises(sn.InvalidValue, match="no operator that computes with complex"):
        graph.to_onnx(tmp_path / "c.onnx")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- refusals


def test_an_op_without_an_expression_is_named_with_its_node(tmp_path):
    class Special(nn.Module):
        def forward(self, x):
            return sn.i0(sn.lgamma(x * 2))

    graph = sn.trace(Special(), sn.TensorSpec((3,)))
    with pytest.raises(sn.InvalidValue) as caught:
        graph.to_onnx(tmp_path / "m.onnx")
    text = str(caught.value)
    assert "[to_onnx] 'lgamma' in %1: float32[3] = lgamma(%0)" in text
    assert "test_export.py:" in text
    assert "in module Special" in text
    assert "compute it outside of the exported model" in text
    assert "also without an expression in ONNX: i0" in text
    assert str(HERE) not in text
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_an_op_that_nothing_needs_is_no_error(tmp_path):
    def function(x):
        sn.lgamma(x)
        return x + 1

    compare(sn.trace(function, sn.TensorSpec((3,))), [sn.ones(3)], tmp_path / "m.onnx")


@pytest.mark.parametrize("opset", [17, 29, 18.0, "18", True, None])
def test_operators_that_are_not_written(opset, tmp_path):
    with pytest.raises(sn.InvalidValue, match="it must be an int from 18 to 28"):
        graph_of().to_onnx(tmp_path / "m.onnx", opset=opset)


def test_what_is_no_graph(tmp_path):
    with pytest.raises(sn.InvalidType, match="trace it first"):
        export.write(nn.Linear(2, 1), tmp_path / "m.onnx")


def test_gradients_of_recurrent_layers_are_refused(tmp_path):
    lstm = nn.LSTM(3, 2)
    graph = sn.trace(sn.grad(lambda x: lstm(x)[0].sum()), sn.TensorSpec((4, 1, 3)))
    with pytest.raises(sn.InvalidValue, match="no gradient of a recurrent layer"):
        graph.to_onnx(tmp_path / "m.onnx")


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(sn.FileError, match="cannot be written"):
        graph_of().to_onnx(tmp_path / "no" / "m.onnx")


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'sennit\[onnx\]'"):
        graph_of().to_onnx(tmp_path / "m.onnx")


def test_the_package_is_not_needed_to_import_ours():
    import subprocess

    code = "import sys; sys.modules['onnx'] = None; import sennit; sennit.onnx; sennit.viz"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_a_failed_export_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.onnx"
    graph_of().to_onnx(path)
    before = path.read_bytes()

    def refuse(*_args, **_options):
        raise onnx.checker.ValidationError("no")

    monkeypatch.setattr(onnx.checker, "check_model", refuse)
    with pytest.raises(sn.InternalError, match="ONNX's checker refuses the model: no"):
        graph_of().to_onnx(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------- large models


def test_a_failed_export_leaves_both_old_files(tmp_path, monkeypatch):
    graph, path = graph_of(nn.Linear(64, 64), ("n", 64)), tmp_path / "m.onnx"
    graph.to_onnx(path, external_data=True)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def refuse(*_args, **_options):
        raise onnx.checker.ValidationError("no")

    monkeypatch.setattr(onnx.checker, "check_model", refuse)
    with pytest.raises(sn.InternalError):
        graph_of(nn.Linear(64, 64), ("n", 64)).to_onnx(path, external_data=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("forced", [True, None])
def test_tensors_beside_the_model(forced, tmp_path, monkeypatch):
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    graph = sn.trace(net, sn.TensorSpec(("n", 64)))
    path = tmp_path / "large.onnx"
    if forced is None:
        monkeypatch.setattr(export, "MOST_INSIDE", 1000)
        with pytest.raises(sn.InvalidValue, match="leave out external_data=False"):
            graph.to_onnx(path, external_data=False)
    graph.to_onnx(path, external_data=forced)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["large.onnx", "large.onnx.data"]
    assert path.stat().st_size < 5000
    x = sn.random.randn((5, 64))
    close(run(path, graph, [x])[0], results(graph, [x])[0], 1e-5, "external")
    outside = [t for t in onnx.load(path, load_external_data=False).graph.initializer
               if t.data_location == onnx.TensorProto.EXTERNAL]  # fmt: skip
    assert [t.name for t in outside] == ["0.weight"]
    assert session(path).get_inputs()[0].shape == ["n", 64]


# ---------------------------------------------------------------- steps of training


def test_a_step_gives_what_it_writes(tmp_path):
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    optimizer = sn.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    batch = sn.TensorSpec(("n", 4)), sn.TensorSpec(("n",), sn.int64)
    graph = sn.trace(step, *batch, mutable=[net, optimizer])
    path = tmp_path / "step.onnx"
    graph.to_onnx(path)
    model = session(path)
    names = [o.name for o in model.get_outputs()]
    assert names == ["output", *(f"{name}.new" for name in graph.updates)]
    x, y = sn.random.randn((6, 4)), sn.asarray(np.array([0, 1, 2, 0, 1, 2]))
    state = {}
    for _ in range(3):  # the caller keeps the state
        feed = {"x": x.numpy(), "y": y.numpy(), **state}
        made = dict(zip(names, model.run(None, feed), strict=True))
        want = graph(x, y).numpy()
        close(made["output"], want, 1e-5, "loss")
        state = {name: made[f"{name}.new"] for name in graph.updates}
    for name, value in state.items():
        close(value, graph.parameters[name].detach().numpy(), 1e-5, name)


# ---------------------------------------------------------------- sizes


def test_polynomials():
    n, m = Poly({("n",): 1}), Poly({("m",): 1})
    assert (n + m) * (n - m) == n * n - m * m
    assert (2 * n + 3).divided(2) == n + 1
    assert (n + 6).divided(3) != n + 2
    assert (3 * n + m).divided(3) - n == m.divided(3)
    assert (n - n).constant == 0
    assert Poly.of(7).constant == 7
    assert (n * 0 + 4).constant == 4
    assert list((n * Poly({((5, 1),): 2})).reads()) == [5]
    assert hash(n + 1) == hash(1 + n)


def test_a_size_is_an_expression_in_the_model(tmp_path):
    graph = sn.trace(lambda x: sn.concatenate([x, x]).reshape(-1), sn.TensorSpec(("n", 4)))
    graph.to_onnx(tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    (dim,) = model.graph.output[0].type.tensor_type.shape.dim
    assert dim.dim_param == "8*n"
