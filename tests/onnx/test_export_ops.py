"""Every row of the op table as an ONNX model, and every op with its rule or its reason."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("ml_dtypes")

HERE = Path(__file__).resolve().parent
for _folder in (HERE, HERE.parent / "op"):
    sys.path.insert(0, str(_folder))

from exporting import TOLERANCE, close, results, run  # noqa: E402
from table import ROWS  # noqa: E402

import sennit as sn  # noqa: E402
from sennit import _core  # noqa: E402
from sennit.onnx import export  # noqa: E402

RULES = export._rules()
# Dtypes of which onnxruntime has most kernels, and (slow) the others: of those, what it has.
USUAL, OTHER = ("float32", "int64", "bool"), ("float16", "float64", "int32", "uint8")
MOST_BYTES = 1 << 22
TOLERANCES = {"float16": 1e-2}

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def check_row(row, dtype, opset, path):
    for c in row.cases:
        arrays = row.arrays(c, dtype)
        if sum(a.nbytes for a in arrays) > MOST_BYTES:
            continue
        args = [sn.asarray(a) for a in arrays]
        try:
            graph = sn.trace(lambda *t, attrs=c.attrs: row.run(list(t), attrs), *args)
        except sn.InvalidValue as e:
            assert "[trace]" in str(e)
            pytest.skip("its result's shape depends on values, so that it cannot be traced")
        missing = {n.op for n in graph.nodes} & set(RULES.WITHOUT)
        if missing:
            with pytest.raises(sn.InvalidValue, match=r"\[to_onnx\] '\w+' in %\d+: "):
                graph.to_onnx(path, opset=opset)
            continue
        graph.to_onnx(path, opset=opset)
        try:
            got = run(path, graph, args)
        except Exception as e:
            lacking = ("NOT_IMPLEMENTED", "does not support double", "MLFloat16 data type is not")
            if dtype not in USUAL and any(text in str(e) for text in lacking):
                continue  # the model is right by ONNX's checker; the runtime has no such kernel
            raise
        tolerance = TOLERANCES.get(dtype, TOLERANCE)
        for a, b in zip(got, results(graph, args), strict=True):
            close(a, b, tolerance, f"{row.name}({c}) {dtype}")


def each(dtypes):
    return [pytest.param(r, d, id=f"{r.name}-{d}") for r in ROWS for d in dtypes if d in r.dtypes]


@pytest.mark.parametrize(("row", "dtype"), each(("float32",)))
def test_rows(row, dtype, tmp_path):
    check_row(row, dtype, 18, tmp_path / "row.onnx")


@pytest.mark.slow
@pytest.mark.parametrize(("row", "dtype"), each(("float32",)))
def test_rows_with_the_newest_operators(row, dtype, tmp_path):
    check_row(row, dtype, 27, tmp_path / "row.onnx")


@pytest.mark.slow
@pytest.mark.parametrize(("row", "dtype"), each(USUAL[1:] + OTHER))
def test_rows_of_other_dtypes(row, dtype, tmp_path):
    for opset in (18, 23):
        check_row(row, dtype, opset, tmp_path / "row.onnx")


def test_every_op_has_a_rule_or_a_reason():
    ops = set(_core.op_rules())
    rules, reasons = set(RULES.RULES), set(RULES.WITHOUT)
    assert not ops - rules - reasons, "give these a rule in sennit/onnx, or a reason"
    assert not rules & reasons
    assert (rules | reasons) <= ops
    assert len(rules) >= 160


def test_reasons_say_what_to_do():
    for op, reason in sn.onnx.unsupported().items():
        assert ";" in reason, f"{op}: {reason}"


def test_reasons_are_published(repository):
    page = (repository / "docs" / "export.md").read_text("utf-8")
    for op in sn.onnx.unsupported():
        assert f"`{op}`" in page, f"docs/export.md does not name {op}"


# ---------------------------------------------------------------- ops that no row reaches


@pytest.mark.parametrize("opset", [18, 27])
def test_gradients_of_activations(opset, tmp_path):
    x = sn.random.randn((3, 7))
    for name in ("relu", "silu", "gelu", "sigmoid", "tanh", "softplus", "mish", "elu"):
        f = getattr(sn.nn.functional, name)
        graph = sn.trace(sn.grad(lambda t, f=f: f(t).square().sum()), x)
        graph.to_onnx(tmp_path / "g.onnx", opset=opset)
        (got,), (want,) = run(tmp_path / "g.onnx", graph, [x]), results(graph, [x])
        close(got, want, TOLERANCE, name)
    graph = sn.trace(
        sn.grad(lambda t: sn.nn.functional.gelu(t, approximate="tanh").square().sum()), x
    )
    graph.to_onnx(tmp_path / "g.onnx", opset=opset)
    close(run(tmp_path / "g.onnx", graph, [x])[0], results(graph, [x])[0], TOLERANCE, "gelu_tanh")


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x, w: sn.conv2d(x, w, stride=2, padding=1), ((2, 4, 7, 6), (6, 4, 3, 3))),
        (lambda x, w: sn.conv2d(x, w, groups=2, dilation=2), ((2, 4, 9, 8), (6, 2, 3, 2))),
        (lambda x, w: sn.conv1d(x, w, stride=3), ((2, 4, 11), (5, 4, 3))),
        (lambda x, w: sn.conv3d(x, w, padding=1), ((1, 2, 4, 5, 3), (3, 2, 2, 3, 2))),
        (lambda x, w: sn.conv_transpose2d(x, w, stride=2), ((2, 4, 4, 3), (4, 3, 3, 2))),
    ],
)
def test_gradients_of_convolutions(function, shapes, tmp_path):
    args = [sn.random.randn(s) for s in shapes]
    graph = sn.trace(sn.grad(lambda x, w: function(x, w).square().sum(), argnums=(0, 1)), *args)
    assert {"conv_weight_grad"} <= {n.op for n in graph.nodes}
    graph.to_onnx(tmp_path / "g.onnx")
    for a, b in zip(run(tmp_path / "g.onnx", graph, args), results(graph, args), strict=True):
        close(a, b, TOLERANCE, str(shapes))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: sn.max_pool2d(x, 3, 2, 1),
        lambda x: sn.avg_pool2d(x, 3, 2, 1),
        lambda x: sn.avg_pool2d(x, 2, 2, ceil_mode=True),
        lambda x: sn.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        lambda x: sn.avg_pool2d(x, 2, divisor_override=3),
        lambda x: sn.adaptive_avg_pool2d(x, (3, 2)),
    ],
)
def test_gradients_of_poolings(function, tmp_path):
    x = sn.random.randn((2, 3, 7, 6))
    graph = sn.trace(sn.grad(lambda t: function(t).square().sum()), x)
    graph.to_onnx(tmp_path / "g.onnx")
    close(run(tmp_path / "g.onnx", graph, [x])[0], results(graph, [x])[0], TOLERANCE, "pool")


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"window": 2}, {"enable_gqa": True}])
def test_gradients_of_attention(options, tmp_path):
    attend = sn.nn.functional.scaled_dot_product_attention
    heads = 4 if "enable_gqa" in options else 2
    args = [sn.random.randn((2, heads, 5, 4)), *(sn.random.randn((2, 2, 6, 4)) for _ in range(2))]
    f = sn.grad(lambda q, k, v: attend(q, k, v, **options).square().sum(), argnums=(0, 1, 2))
    graph = sn.trace(f, *args)
    assert "attention_grad" in {n.op for n in graph.nodes}
    graph.to_onnx(tmp_path / "g.onnx")
    for a, b in zip(run(tmp_path / "g.onnx", graph, args), results(graph, args), strict=True):
        close(a, b, TOLERANCE, str(options))


def test_a_training_step(tmp_path):
    net = sn.nn.Sequential(sn.nn.Linear(6, 8), sn.nn.LayerNorm(8), sn.nn.GELU(), sn.nn.Linear(8, 3))
    x, labels = sn.random.randn((5, 6)), sn.asarray(np.array([0, 2, 1, 1, 0]))
    params = {k: v.detach() for k, v in net.named_parameters()}

    def loss(params, x, labels):
        return sn.nn.functional.cross_entropy(sn.functional_call(net, params, (x,)), labels)

    graph = sn.trace(sn.value_and_grad(loss), params, x, labels)
    args = [*params.values(), x, labels]
    graph.to_onnx(tmp_path / "step.onnx")
    for a, b in zip(run(tmp_path / "step.onnx", graph, args), results(graph, args), strict=True):
        close(a, b, TOLERANCE, "step")


def test_random_numbers_have_their_distribution(tmp_path):
    def draws(x):
        return (
            sn.random.uniform(-1.0, 3.0, shape=(20000,)),
            sn.random.normal(2.0, 0.5, shape=(20000,)),
            sn.random.integers(-2, 3, (20000,)),
            sn.dropout(x, 0.25),
        )

    graph = sn.trace(draws, sn.TensorSpec((20000,)))
    graph.to_onnx(tmp_path / "r.onnx")
    u, z, i, d = run(tmp_path / "r.onnx", graph, [sn.ones(20000)])
    assert abs(u.mean() - 1) < 0.05
    assert u.min() >= -1
    assert u.max() < 3
    assert abs(z.mean() - 2) < 0.02
    assert abs(z.std() - 0.5) < 0.02
    assert sorted(set(i.tolist())) == [-2, -1, 0, 1, 2]
    assert i.dtype == np.int64
    assert abs((d == 0).mean() - 0.25) < 0.02
    np.testing.assert_allclose(d[d != 0], 1 / 0.75, 1e-6)


def test_scans_and_wide_sums(tmp_path):
    def function(x, i):
        return (
            sn.cumprod(x, 1), sn.cummax(x, 0)[0], sn.logcumsumexp(x, 1), (i > 1).sum(1), i.sum(0),
            sn.var(x, 1), sn.std(x, 0, correction=1), sn.linspace(0.0, 1.0, 5), sn.arange(4) * 2,
        )  # fmt: skip

    args = [sn.random.randn((3, 5)), sn.random.integers(0, 4, (3, 5)).astype(sn.int32)]
    graph = sn.trace(function, *args)
    graph.to_onnx(tmp_path / "s.onnx")
    for a, b in zip(run(tmp_path / "s.onnx", graph, args), results(graph, args), strict=True):
        close(a, b, TOLERANCE, "scan")


def test_writes_into_parts(tmp_path):
    def function(x, p):
        a = x * 1
        a[1:3, ::2] = p
        b = x * 1
        b[:, 1] = 0.0
        c = x * 1
        c[::-2] = -1.0
        d = x * 1
        d[2:2] = 5.0
        return a, b, c, d

    args = [sn.random.randn((5, 6)), sn.random.randn((2, 3))]
    graph = sn.trace(function, *args)
    assert "slice_update" in {n.op for n in graph.nodes}
    graph.to_onnx(tmp_path / "w.onnx")
    for a, b in zip(run(tmp_path / "w.onnx", graph, args), results(graph, args), strict=True):
        close(a, b, 0, "part")
