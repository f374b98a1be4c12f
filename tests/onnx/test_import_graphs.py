"""How models become functions and graphs: parameters, names, known numbers, control flow, sizes."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the package 'onnx' is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.parser import parse_model  # noqa: E402

import sennit as sn  # noqa: E402

HEAD = '<ir_version: 8, opset_import: ["": 17]>\n'


def parsed(text: str) -> onnx.ModelProto:
    return parse_model(HEAD + text)


def test_initialisers_are_parameters_under_their_names():
    made = parsed(
        """g (float[n, 2] x) => (float[n, 2] y)
        <float[2] forward = {2.0, 3.0}, float[2] odd = {1.0, 1.0}, int64[2] unused = {1, 2}>
        { a = Mul(x, forward) y = Add(a, odd) }"""
    )
    made.graph.initializer[1].name = made.graph.node[1].input[1] = "a b/c.d:0"
    model = sn.onnx.to_function(made)
    assert list(model.state_dict()) == ["forward", "a b/c.d:0"]
    assert [n for n, _ in model.named_parameters()] == ["forward", "a b/c.d:0"]
    assert not any(p.requires_grad for p in model.parameters())
    graph = sn.onnx.load(made)
    assert list(graph.parameters) == ["forward", "a b/c.d:0"] and not graph.constants
    assert [str(v) for v in graph.inputs] == ["x: float32[n, 2]"] and graph.name == "g"
    assert graph(np.ones((1, 2), np.float32))["y"].tolist() == [[3.0, 4.0]]
    for p in model.parameters():
        p.requires_grad_(True)
    model(np.ones((1, 2), np.float32))["y"].sum().backward()
    assert model.state_dict().keys() == {"forward", "a b/c.d:0"}
    model.load_state_dict({"forward": sn.ones(2), "a b/c.d:0": sn.zeros(2)})
    assert model(np.ones((1, 2), np.float32))["y"].tolist() == [[1.0, 1.0]]
    assert next(iter(model.parameters())).grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", ["forward", "_own", "training", "__dict__", "state_dict", "x y"])
def test_a_parameter_may_have_any_name(name):
    made = parsed("g (float[2] x) => (float[2] y) <float[2] w = {2.0, 3.0}> { y = Mul(x, w) }")
    made.graph.initializer[0].name = made.graph.node[0].input[1] = name
    assert list(sn.onnx.load(made).parameters) == [name]
    assert sn.onnx.to_function(made)(np.ones(2, np.float32))["y"].tolist() == [2.0, 3.0]


def test_shape_arithmetic_leaves_no_trace():
    """Shape, Gather, Concat and Reshape on sizes become one reshape."""
    made = parsed(
        """g (float[n, 4, 6] x) => (float[n, 2, 12] y)
        <int64 zero = {0}, int64[2] rest = {2, -1}, int64[1] axis = {0}>
        { s = Shape(x) b = Gather(s, zero) c = Unsqueeze(b, axis)
          t = Concat <axis = 0> (c, rest) y = Reshape(x, t) }"""
    )
    graph = sn.onnx.load(made)
    assert [node.op for node in graph.nodes] == ["reshape"]
    x = np.arange(72, dtype=np.float32).reshape(3, 4, 6)
    assert np.array_equal(graph(x)["y"].numpy(), x.reshape(3, 2, 12))


def test_sizes_as_values():
    """Numbers that follow from sizes are right at every size, not those of the trace."""
    made = parsed(
        """g (float[n, m] x) => (float y, int64[k] r, int64[2] s)
        <int64 zero = {0}, int64 one = {1}>
        { s = Shape(x) n = Gather(s, zero) m = Gather(s, one) t = Mul(n, m)
          f = Cast <to = 1> (t) q = ReduceSum <keepdims = 0> (x) y = Div(q, f)
          r = Range(zero, n, one) }"""
    )
    graph, model = sn.onnx.load(made), sn.onnx.to_function(made)
    for shape in ((2, 3), (5, 1), (40, 50)):
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        given, wanted = graph(x), model(x)
        assert all(np.array_equal(given[k].numpy(), wanted[k].numpy()) for k in wanted)
        assert given["s"].tolist() == list(shape)
        assert np.allclose(given["y"].numpy(), x.mean(), atol=1e-5)
        assert given["r"].tolist() == list(range(shape[0]))


def test_sizes_are_given_or_narrowed():
    made = parsed("g (float[batch, 2, ?] x) => (float[batch, 2, t] y) { y = Relu(x) }")
    assert [str(v) for v in sn.onnx.load(made).inputs] == ["x: float32[batch, 2, x_2]"]
    fixed = sn.onnx.load(made, sizes={"batch": 4}, shapes={})
    assert str(fixed.inputs[0]) == "x: float32[4, 2, x_2]"
    limited = sn.onnx.load(made, shapes={"x": (sn.Dim("n", max=8), 2, 5)})
    assert limited(np.ones((8, 2, 5), np.float32))["y"].shape == (8, 2, 5)
    with pytest.raises(sn.ShapeError):
        limited(np.ones((9, 2, 5), np.float32))


def branching(condition_input: bool) -> onnx.ModelProto:
    then = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["t"])], "then", [],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, [2])],
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Neg", ["x"], ["e"])], "else", [],
        [helper.make_tensor_value_info("e", TensorProto.FLOAT, [2])],
    )  # fmt: skip
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])]
    if condition_input:
        inputs.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    node = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    graph = helper.make_graph(
        [node], "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def test_branches():
    made = branching(True)
    x = np.array([1.0, 2.0], np.float32)
    model, graph = sn.onnx.to_function(made), sn.onnx.load(made)
    assert [node.op for node in sn.onnx.load(made, fixed={"c": True}).nodes] == ["add"]
    for condition in (True, False):
        wanted = (x + x if condition else -x).tolist()
        assert model(x, np.asarray(condition))["y"].tolist() == wanted
        assert graph(x, np.asarray(condition))["y"].tolist() == wanted
        fixed = sn.onnx.load(made, fixed={"c": condition})
        assert fixed(x)["y"].tolist() == wanted


def test_loops_with_known_and_unknown_rounds():
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Add", ["s", "x"], ["t"]),
            helper.make_node("Identity", ["t"], ["scan"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("k", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, [2]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("t", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info("scan", TensorProto.FLOAT, [2]),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["n", "", "x"], ["last", "all"], body=body)],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info("n", TensorProto.INT64, []),
        ],
        [
            helper.make_tensor_value_info("last", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info("all", TensorProto.FLOAT, [None, 2]),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    x = np.ones(2, np.float32)
    for rounds in (0, 1, 4):
        fixed = {"n": rounds}
        for found in (sn.onnx.to_function(made, fixed), sn.onnx.load(made, fixed=fixed)):
            given = found(x)
            assert given["last"].tolist() == [1.0 + rounds] * 2
            assert given["all"].shape == (rounds, 2)
    with pytest.raises(sn.InvalidValue, match=r"Loop node 'last'.*to_function"):
        sn.onnx.load(made)


def test_functions_of_the_model_and_their_attributes():
    made = parse_model(
        """<ir_version: 8, opset_import: ["": 17, "mine": 1]>
        g (float[n] x) => (float[n] y, float[n] z)
        { y = mine.scaled <slope = 3.0> (x) z = mine.scaled (x) }
        <opset_import: ["": 17], domain: "mine">
        scaled <slope: float = 2.0> (a) => (b)
        { s = Constant <value_float: float = @slope> () b = Mul(a, s) }"""
    )
    given = sn.onnx.load(made)(np.ones(2, np.float32))
    assert given["y"].tolist() == [3.0, 3.0] and given["z"].tolist() == [2.0, 2.0]


def test_text_and_sequences_are_for_functions():
    strings = helper.make_graph(
        [helper.make_node("StringConcat", ["a", "b"], ["y"])],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.STRING, [None]) for n in "ab"],
        [helper.make_tensor_value_info("y", TensorProto.STRING, [None])],
    )
    made = helper.make_model(strings, opset_imports=[helper.make_opsetid("", 20)])
    assert sn.onnx.to_function(made)(["a", "b"], np.array(["c"]))["y"].tolist() == ["ac", "bc"]
    with pytest.raises(sn.DTypeError, match="to_function"):
        sn.onnx.load(made)


def test_small_dtypes_are_computed_on_the_host():
    """4-bit weights, which tensors do not have, are unpacked before they meet one."""
    weights = helper.make_tensor("w", TensorProto.INT4, (2, 3), [1, -8, 7, 0, 3, -1])
    scale = numpy_helper.from_array(np.array(0.5, np.float32), "s")
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["w", "s"], ["d"]),
            helper.make_node("MatMul", ["x", "d"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [weights, scale],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    x = np.ones((1, 2), np.float32)
    for found in (sn.onnx.to_function(made), sn.onnx.load(made)):
        assert found(x)["y"].tolist() == [[0.5, -2.5, 3.0]]


def test_values_are_given_up_after_their_last_use():
    """A chain of a thousand large values does not keep them."""
    nodes = [helper.make_node("Neg", [f"v{k}"], [f"v{k + 1}"]) for k in range(1000)]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("v0", TensorProto.FLOAT, [None])],
        [helper.make_tensor_value_info("v1000", TensorProto.FLOAT, [None])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model = sn.onnx.to_function(made)
    x = sn.ones(1 << 20)
    sn.synchronize()
    sn.memory.reset_peak()
    before = sn.memory.stats()["peak"]
    assert float(model(x)["v1000"][0]) == 1.0
    assert sn.memory.stats()["peak"] < before + 40 * x.nbytes


def test_without_the_package(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(sn.InvalidValue, match=r"pip install sennit\[onnx\]"):
        sn.onnx.to_function(b"")


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("bias", [False, True])
def test_folded_batch_norm(op, bias):
    """With groups, with and without a bias; a norm of something else stays."""
    rng = np.random.default_rng(0)
    shape = (6, 2, 3, 3) if op == "Conv" else (4, 3, 3, 3)  # two groups of 2 -> 3 channels
    arrays = {"w": rng.standard_normal(shape), "b": rng.standard_normal(6)}
    arrays |= {n: rng.random(6) + 0.5 for n in ("scale", "shift", "mean", "var")}
    initialisers = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()]
    norm = ["scale", "shift", "mean", "var"]
    nodes = [
        helper.make_node(op, ["x", "w", "b"] if bias else ["x", "w"], ["c"], group=2),
        helper.make_node("BatchNormalization", ["c", *norm], ["d"], epsilon=0.1),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("BatchNormalization", ["e", *norm], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 5, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        initialisers,
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    x = rng.standard_normal((2, 4, 5, 5)).astype(np.float32)
    plain, folded = sn.onnx.to_function(made), sn.onnx.to_function(made, fold_batch_norm=True)
    assert np.allclose(plain(x)["y"].numpy(), folded(x)["y"].numpy(), rtol=1e-4, atol=1e-5)
    norms = [sum(s.op == "BatchNormalization" for s in m._block.steps) for m in (plain, folded)]
    assert norms == [2, 1]
    assert "w.folded" in folded.state_dict() and "w" not in folded.state_dict()


def resizing(sizes=None, scales=None, **attributes):
    """Resize of pictures of open sizes: by scales, or to sizes."""
    nodes, tensors = [], []
    if scales is not None:
        inputs = ["x", "", "scales"]
        tensors.append(helper.make_tensor("scales", TensorProto.FLOAT, [4], scales))
    else:
        inputs = ["x", "", "", "sizes"]
        nodes.append(helper.make_node("Shape", ["x"], ["front"], start=0, end=2))
        nodes.append(helper.make_node("Concat", ["front", "back"], ["sizes"], axis=0))
        tensors.append(helper.make_tensor("back", TensorProto.INT64, [2], sizes))
    nodes.append(helper.make_node("Resize", inputs, ["y"], **attributes))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


@pytest.mark.parametrize(
    "how",
    [{"scales": [1, 1, 2, 2]}, {"scales": [1, 1, 0.5, 1.5]}, {"sizes": [12, 20]}],
    ids=["twice", "halves", "sizes"],
)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("at", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
def test_pictures_of_open_sizes_are_resized(how, mode, at):
    model = resizing(mode=mode, coordinate_transformation_mode=at, **how)
    graph, function = sn.onnx.load(model), sn.onnx.to_function(model)
    assert list(graph.sizes) == ["n", "h", "w"]
    rng = np.random.default_rng(0)
    for shape in ((1, 3, 16, 20), (2, 3, 9, 13), (1, 3, 37, 8)):
        x = rng.standard_normal(shape).astype(np.float32)
        assert np.array_equal(graph(x)["y"].numpy(), function(x)["y"].numpy()), shape


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_pictures_are_resized_to_nothing(mode):
    function = sn.onnx.to_function(resizing(mode=mode, sizes=[0, 4]))
    assert function(np.ones((1, 3, 5, 6), np.float32))["y"].shape == (1, 3, 0, 4)


def test_pictures_of_open_sizes_shrink_without_aliasing():
    """Many elements for each output: a product with a matrix."""
    model = resizing(mode="linear", antialias=1, scales=[1, 1, 0.25, 0.5])
    graph, function = sn.onnx.load(model), sn.onnx.to_function(model)
    x = np.random.default_rng(0).standard_normal((2, 3, 37, 22)).astype(np.float32)
    assert np.array_equal(graph(x)["y"].numpy(), function(x)["y"].numpy())


def derived(xs, zs=(), y="d", inputs=None):
    """d = sigmoid(x w) * s, and its derivative at values of its own."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("Mul", ["b", "s"], ["d"]),
        helper.make_node(
            "Gradient", inputs or [*xs, *zs], [f"of_{x}" for x in xs], xs=list(xs), y=y,
            domain="ai.onnx.preview.training", **({"zs": list(zs)} if zs else {}),
        ),
    ]  # fmt: skip
    kind = TensorProto.FLOAT
    given = [("x", ["n", 3]), ("s", [2]), ("v", ["n", 3])]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(n, kind, shape) for n, shape in given],
        [helper.make_tensor_value_info(f"of_{x}", kind, None) for x in xs],
        [numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(3, 2) / 5, "w")],
    )  # fmt: skip
    domains = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.preview.training", 1)]
    return helper.make_model(graph, opset_imports=domains)


def test_gradients_of_values_of_the_graph():
    rng = np.random.default_rng(0)
    x, s, v = (rng.standard_normal(shape).astype(np.float32) for shape in ((4, 3), (2,), (4, 3)))

    def function(x, w, s):
        return (sn.sigmoid(x @ w) * s).sum()

    w = np.arange(6, dtype=np.float32).reshape(3, 2) / 5
    wanted = sn.grad(function, argnums=(0, 1))(*map(sn.asarray, (x, w, s)))
    for model in (derived(["x", "w"]), derived(["x", "w"], ["s"])):
        for run in (sn.onnx.to_function(model), sn.onnx.load(model)):
            for got, want in zip(run(x, s, v).values(), wanted, strict=True):
                assert np.array_equal(got.numpy(), want.numpy())
    elsewhere = sn.onnx.load(derived(["x"], inputs=["v"]))(x, s, v)["of_x"]
    want = sn.grad(function)(*map(sn.asarray, (v, w, s)))
    assert np.array_equal(elsewhere.numpy(), want.numpy())
    between = sn.onnx.to_function(derived(["b"]))(x, s, v)["of_b"]  # as if b had no inputs
    assert np.array_equal(between.numpy(), np.broadcast_to(s, (4, 2)))
    for bad in (
        derived(["x"], y="x"),
        derived(["x"], y="nothing"),
        derived(["x"], inputs=["x"] * 2),
    ):
        with pytest.raises(sn.FileError, match="Gradient node"):
            sn.onnx.to_function(bad)
