"""Options that the backend suite does not try, against onnxruntime and against definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the package 'onnx' is not installed")

from onnx import helper, numpy_helper  # noqa: E402

import sennit as sn  # noqa: E402

RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def build(op, inputs, count=1, opset=17, **attributes):
    """A model of one node; inputs that are not floats of rank 1 or more are initialisers."""
    names = [f"i{k}" if x is not None else "" for k, x in enumerate(inputs)]
    outputs = [f"o{k}" for k in range(count)]
    free = [k for k, x in enumerate(inputs) if x is not None and x.dtype == np.float32 and k == 0]
    given = [
        helper.make_tensor_value_info(
            names[k], helper.np_dtype_to_tensor_dtype(inputs[k].dtype), inputs[k].shape
        )
        for k in free
    ]
    fixed = [
        numpy_helper.from_array(x, n)
        for k, (n, x) in enumerate(zip(names, inputs, strict=True))
        if x is not None and k not in free
    ]
    node = helper.make_node(op, names, outputs, **attributes)
    graph = helper.make_graph(
        [node], "g", given, [onnx.ValueInfoProto(name=n) for n in outputs], fixed
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9), [inputs[k] for k in free]


def as_onnxruntime(op, inputs, count=1, opset=17, rtol=1e-4, atol=1e-5, **attributes):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    made, given = build(op, inputs, count, opset, **attributes)
    runtime.set_default_logger_severity(4)
    session = runtime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = session.run(
        None, {i.name: x for i, x in zip(session.get_inputs(), given, strict=True)}
    )
    found = sn.onnx.to_function(made)(*given)
    graph = sn.onnx.load(made)(*given)
    for (name, value), want in zip(found.items(), wanted, strict=True):
        assert value.shape == want.shape and value.numpy().dtype == want.dtype
        np.testing.assert_allclose(value.numpy(), want, rtol, atol)
        assert np.array_equal(graph[name].numpy(), value.numpy())


POOLS = list(
    itertools.product((0, 1), ([0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0]), (1, 2, 3), (2, 3))
)


@pytest.mark.parametrize("ceil, pads, stride, kernel", POOLS)
def test_pools(ceil, pads, stride, kernel):
    x = floats(2, 3, 7, 8)
    same = {"kernel_shape": [kernel] * 2, "pads": pads, "strides": [stride] * 2, "ceil_mode": ceil}
    as_onnxruntime("MaxPool", [x], 2, **same)
    as_onnxruntime("MaxPool", [x], **same)
    for include in (0, 1):
        as_onnxruntime("AveragePool", [x], opset=19, count_include_pad=include, **same)
    as_onnxruntime("LpPool", [x], opset=18, p=3, **same)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_padding_by_rule(auto_pad, stride):
    x, w, b = floats(2, 4, 7, 8), floats(6, 2, 3, 2), floats(6)
    as_onnxruntime("Conv", [x, w, b], auto_pad=auto_pad, strides=[stride] * 2, group=2)
    as_onnxruntime("MaxPool", [x], kernel_shape=[3, 2], auto_pad=auto_pad, strides=[stride] * 2)
    t = floats(4, 3, 3, 3)
    as_onnxruntime("ConvTranspose", [x, t], auto_pad=auto_pad, strides=[stride] * 2)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("pads", [0, 1, 2])
def test_convolutions_of_all_ranks(rank, pads):
    x = floats(2, 4, *(6, 7, 5)[:rank])
    w, b = floats(6, 2, *(3, 2, 3)[:rank]), floats(6)
    ends = [pads] * rank + [1] * rank
    as_onnxruntime("Conv", [x, w, b], group=2, pads=ends, dilations=[2] * rank)
    t = floats(4, 3, *(3, 2, 3)[:rank])
    for extra in (0, 1):
        as_onnxruntime(
            "ConvTranspose", [x, t, b], group=2, pads=[min(pads, 1)] * rank + [1] * rank,
            strides=[2] * rank, output_padding=[extra] * rank,
        )  # fmt: skip


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 4, 5])
def test_transposed_convolutions_whose_windows_do_not_meet(rank, channels):
    kernel = (2, 3, 2)[:rank]
    x, w = floats(2, 3, *(4, 3, 2)[:rank]), floats(3, channels, *kernel)
    for bias in (None, floats(channels)):
        as_onnxruntime("ConvTranspose", [x, w, bias], strides=list(kernel))


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pads(mode):
    x = floats(2, 3, 5)
    cases = [[0, 0, 2, 0, 0, 1], [1, 1, 0, 0, 1, 0], [0, 0, -2, 0, -1, -1]]
    for pads in cases if mode == "constant" else cases[:2]:
        if mode == "reflect":
            pads = [p and 1 for p in pads]
        as_onnxruntime("Pad", [x, np.array(pads)], opset=19, mode=mode)


def test_pads_beyond_the_size():
    """Reflections of reflections, and repetitions of the whole."""
    x = np.arange(3, dtype=np.float32)
    for mode, want in (
        ("reflect", [1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1]),
        ("wrap", [1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]),
        ("edge", [0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2]),
    ):
        made, given = build("Pad", [x, np.array([5, 3])], opset=19, mode=mode)
        found = sn.onnx.to_function(made)(*given)["o0"].tolist()
        assert found == want, mode


@pytest.mark.parametrize(
    "transform",
    ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"],
)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("size", [(4, 6), (8, 12), (3, 5), (9, 4)])
def test_resize_to_sizes(transform, mode, size):
    x = floats(1, 2, 4, 6)
    empty = np.array([], np.float32)
    as_onnxruntime(
        "Resize", [x, empty, empty, np.array([1, 2, *size])], opset=19, mode=mode,
        coordinate_transformation_mode=transform,
    )  # fmt: skip


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("states", [False, True])
def test_recurrent_layers(direction, lengths, states):
    t, n, i, h = 5, 3, 4, 2
    d = 2 if direction == "bidirectional" else 1
    x = floats(t, n, i)
    rows = np.array([5, 2, 3], np.int32) if lengths else None
    h0 = floats(d, n, h) if states else None
    for op, gates, count in (("RNN", 1, 2), ("GRU", 3, 2), ("LSTM", 4, 3)):
        w, r, b = floats(d, gates * h, i), floats(d, gates * h, h), floats(d, 2 * gates * h)
        inputs = [x, w, r, b, rows, h0]
        options = {"hidden_size": h, "direction": direction}
        if op == "LSTM":
            # Small: onnxruntime does not clip what the last activation is given.
            inputs += [floats(d, n, h) / 10 if states else None]
            as_onnxruntime(op, [*inputs, floats(d, 3 * h)], count, **options)
            as_onnxruntime(op, inputs, count, clip=0.5, input_forget=1, **options)
        if op == "GRU":
            as_onnxruntime(op, inputs, count, linear_before_reset=1, **options)
        as_onnxruntime(op, inputs, count, **options)
        other = {"RNN": ["Relu"], "GRU": ["HardSigmoid", "Softsign"], "LSTM": ["Sigmoid"] * 3}[op]
        as_onnxruntime(op, inputs, count, activations=other * d, **options)


def test_integer_products_are_exact():
    """Sums that float32 cannot hold."""
    a = RNG.integers(0, 256, (3, 4000)).astype(np.uint8)
    b = RNG.integers(0, 256, (4000, 2)).astype(np.uint8)
    made, _ = build("MatMulInteger", [a, b, np.uint8(3), np.uint8(250)])
    found = sn.onnx.to_function(made)()["o0"].numpy()
    wanted = (a.astype(np.int64) - 3) @ (b.astype(np.int64) - 250)
    assert found.dtype == np.int32 and np.array_equal(found, wanted)


@pytest.mark.parametrize("n", [8, 15, 1500])
def test_fourier_transforms_of_any_length(n):
    x = floats(2, n, 1)
    made, given = build("DFT", [x], opset=17, axis=1)
    found = sn.onnx.to_function(made)(*given)["o0"].numpy()
    wanted = np.fft.fft(x[..., 0].astype(np.float64))
    np.testing.assert_allclose(found[..., 0], wanted.real, atol=2e-3)
    np.testing.assert_allclose(found[..., 1], wanted.imag, atol=2e-3)


def u8(*shape):
    return RNG.integers(0, 256, shape).astype(np.uint8)


def i8(*shape):
    return RNG.integers(-128, 128, shape).astype(np.int8)


F = np.float32
CASES = [
    ("Softmax", [floats(2, 3, 4)], {"axis": 1, "opset": 11}),
    ("LogSoftmax", [floats(2, 3, 4)], {"axis": 0, "opset": 11}),
    ("Hardmax", [floats(2, 3, 4)], {"axis": 1, "opset": 11}),
    ("LRN", [floats(2, 6, 3, 2)], {"size": 3, "alpha": 0.1, "beta": 0.5, "bias": 2.0}),
    ("LayerNormalization", [floats(2, 3, 4, 5), floats(4, 5), floats(4, 5)], {"axis": 2}),
    ("LayerNormalization", [floats(2, 3, 4, 5), floats(5), floats(5)], {"axis": 2}),
    ("InstanceNormalization", [floats(2, 3, 4, 5), floats(3), floats(3)], {}),
    ("MeanVarianceNormalization", [floats(2, 3, 4, 5)], {"axes": [0, 2]}),
    ("LpNormalization", [floats(2, 3, 4)], {"axis": 1, "p": 1}),
    ("Slice", [floats(5, 6), np.array([4, -1]), np.array([-9, 0]), np.array([0, 1]),
               np.array([-2, -3])], {}),
    ("Slice", [floats(5, 6), np.array([-3]), np.array([2**62]), np.array([-1])], {}),
    ("Pow", [floats(3, 2) ** 2, np.array([2, 3])], {}),
    ("Mod", [floats(5, 6), floats(6)], {"fmod": 1}),
    ("Clip", [floats(5, 6), np.array(0.5, F), np.array(-0.5, F)], {}),
    ("TopK", [floats(4, 5), np.array([3])], {"axis": 0, "largest": 0, "count": 2}),
    ("ArgMax", [np.round(floats(4, 5))], {"axis": 1, "select_last_index": 1, "keepdims": 0}),
    ("GatherND", [floats(2, 3, 4), np.array([[[1], [-1]], [[0], [2]]])], {"batch_dims": 1}),
    ("GatherElements", [floats(3, 4), np.array([[0, -1], [2, 1]])], {"axis": 1}),
    ("ScatterElements", [floats(3, 4), np.array([[0, -1], [2, 1]]), floats(2, 2)],
     {"axis": 1, "opset": 18}),
    *[("ScatterElements", [floats(3, 4), np.array([[0, 0], [-1, 1]]), floats(2, 2)],
       {"axis": 0, "reduction": r, "opset": 18}) for r in ("add", "mul", "max", "min")],
    *[("ScatterND", [floats(4, 3, 2), np.array([[1, 0], [-1, 2], [1, 0]]), floats(3, 2)],
       {"reduction": r, "opset": 18}) for r in ("add", "mul", "max", "min")],
    ("OneHot", [floats(2, 3).round(), np.array(3), np.array([-1, 2])], {"axis": 1}),
    ("CumSum", [floats(3, 4), np.array(-1)], {"exclusive": 1, "reverse": 1}),
    ("Einsum", [floats(2, 3, 4), floats(4, 5)], {"equation": "bij, jk -> bki"}),
    ("Gemm", [floats(4, 3), floats(4, 5), floats(3, 1)], {"transA": 1, "alpha": 0.5, "beta": 2.0}),
    ("PRelu", [floats(2, 3, 4), floats(3, 1)], {}),
    ("Trilu", [floats(3, 4), np.array(-1)], {"upper": 0}),
    ("DepthToSpace", [floats(1, 8, 2, 3)], {"blocksize": 2, "mode": "CRD"}),
    ("SpaceToDepth", [floats(1, 2, 4, 6)], {"blocksize": 2}),
    ("Upsample", [floats(1, 2, 3, 4), np.array([1, 1, 2, 1.5], F)], {"mode": "linear", "opset": 9}),
    ("Resize", [floats(1, 2, 3, 4), np.array([1, 1, 2, 1.5], F)], {"mode": "linear", "opset": 10}),
    *[("Resize", [floats(1, 1, 9, 8), np.array([], F), np.array([], F), np.array([1, 1, 4, 3])],
       {"mode": m, "antialias": 1, "opset": 18}) for m in ("linear", "cubic")],
    *[("GridSample", [floats(2, 3, 4, 5), floats(2, 3, 2, 2)],
       {"mode": m, "padding_mode": p, "align_corners": a, "opset": 20})
      for m in ("linear", "nearest", "cubic") for p in ("zeros", "border", "reflection")
      for a in (0, 1)],
    *[("RoiAlign", [floats(2, 3, 6, 7), np.array([[0.3, 1, 4, 5.2], [-1, 0, 9, 3]], F),
                    np.array([0, 1])],
       {"output_height": 2, "output_width": 3, "sampling_ratio": s, "spatial_scale": 0.8,
        "coordinate_transformation_mode": t, "opset": 16})
      for s in (0, 2) for t in ("half_pixel", "output_half_pixel")],
    ("MaxRoiPool", [floats(2, 3, 6, 7), np.array([[0, 0, 1, 4, 5], [1, 2, 0, 6, 3]], F)],
     {"pooled_shape": [2, 3]}),
    ("DynamicQuantizeLinear", [floats(3, 4)], {"count": 3}),
    ("QuantizeLinear", [floats(3, 4) * 50, floats(4) ** 2 + 0.1, i8(4)], {"axis": 1}),
    # Small weights: onnxruntime's sums of 16 bits saturate on machines without VNNI.
    ("QLinearConv", [u8(1, 2, 5, 5), np.array(0.02, F), np.array(120, np.uint8),
                     i8(3, 2, 3, 3) // 4,
                     np.array([0.1, 0.02, 0.3], F), np.zeros(3, np.int8), np.array(0.5, F),
                     np.array(7, np.uint8), np.array([100, -50, 3], np.int32)], {"pads": [1] * 4}),
    ("QLinearMatMul", [u8(3, 4), np.array(0.1, F), np.array(3, np.uint8), u8(4, 2),
                       np.array(0.2, F), np.array(130, np.uint8), np.array(9.0, F),
                       np.array(100, np.uint8)], {}),
    ("ConvInteger", [u8(1, 2, 5, 5), u8(3, 2, 3, 3), np.array(12, np.uint8)], {"strides": [2, 2]}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
def test_operators(case):
    op, inputs, options = case
    as_onnxruntime(op, inputs, **options)
