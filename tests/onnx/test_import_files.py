"""Files are not believed: damaged, forged and unsupported ones are errors that say why."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the package 'onnx' is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))
from onnx_cases import cases  # noqa: E402

import sennit as sn  # noqa: E402

OPSET = [helper.make_opsetid("", 17)]


def value(name, shape=(2,), kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs=("x",), outputs=("y",), initialisers=(), opsets=None, **more):
    graph = helper.make_graph(
        nodes, "g", [value(n) for n in inputs], [value(n) for n in outputs], list(initialisers)
    )
    return helper.make_model(graph, opset_imports=opsets or OPSET, **more)


def refuses(what, kind, *words, **options):
    with pytest.raises(kind) as caught:
        sn.onnx.to_function(what, **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_what_is_no_model(tmp_path):
    refuses(tmp_path / "none.onnx", sn.FileError, "none.onnx", "check the path")
    refuses(tmp_path, sn.FileError, "no regular file")
    refuses(b"", sn.FileError, "empty")
    refuses(b"\x99" * 40, sn.FileError, "no ONNX model")
    refuses(17, sn.InvalidType, "a int")
    refuses(onnx.ModelProto(), sn.FileError, "no graph")


def test_truncated_at_every_byte():
    data = model([helper.make_node("Relu", ["x"], ["y"])]).SerializeToString()
    for end in range(len(data)):
        try:
            sn.onnx.to_function(data[:end])
        except sn.SennitError:
            continue


def changed(data, pool, rng):
    """A model with some bits, bytes or pieces of it changed."""
    made = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if not made:
            break
        at, length = int(rng.integers(len(made))), int(rng.integers(1, 40))
        match int(rng.integers(6)):
            case 0:
                made[at] ^= 1 << int(rng.integers(8))
            case 1:
                made[at] = int(rng.integers(256))
            case 2:
                made[at : at + length // 2] = b""
            case 3:
                made[at:at] = made[at : at + length]
            case 4:  # a piece of another model
                other = pool[rng.integers(len(pool))]
                begin = int(rng.integers(len(other)))
                made[at:at] = other[begin : begin + length]
            case _ if rng.integers(4) == 0:
                del made[at:]
    return bytes(made)


def arguments_of(data, rng):
    """Arrays of the declared types; None where these are too large, or no types at all."""
    try:
        graph = onnx.load_from_string(data).graph
        given = []
        for x in graph.input:
            if any(x.name == w.name for w in graph.initializer):
                continue
            kind = x.type.tensor_type
            shape = [d.dim_value if 0 < d.dim_value < 64 else 2 for d in kind.shape.dim]
            if len(shape) > 6 or np.prod(shape) > 1e5:
                return None
            dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
            given.append((rng.standard_normal(shape) * 3).astype(dtype))
    except Exception:
        return None
    return given


@pytest.mark.filterwarnings("ignore")
def test_damaged_models_are_models_or_errors():
    """SENNIT_FUZZ=200000 makes a long run of it, SENNIT_FUZZ_SEED another one."""
    blocks = (b"Loop", b"Scan", b"If", b"Sequence")
    kinds = ("simple", "pytorch-operator", *(("node",) if "SENNIT_FUZZ" in os.environ else ()))
    whole = [c.model.SerializeToString() for kind in kinds for c in cases(kind)]
    small = [data for data in whole if len(data) < 4000]
    pool = [d for i, d in enumerate(small) if i % 7 < 2 or any(word in d for word in blocks)]
    rng = np.random.default_rng(int(os.environ.get("SENNIT_FUZZ_SEED", "0")))
    loaded = ran = 0
    for _ in range(int(os.environ.get("SENNIT_FUZZ", "3000"))):
        data = changed(pool[rng.integers(len(pool))], pool, rng)
        try:
            function = sn.onnx.to_function(data)
        except sn.SennitError:
            continue
        loaded += 1
        if len(pool) < 3000:
            pool.append(data)  # what was accepted is changed further
        given = arguments_of(data, rng)
        if given is None:
            continue
        try:
            function(*given)
            sn.synchronize()
            ran += 1
        except sn.SennitError:
            continue
    assert loaded > 100 and ran > 50


def test_cycles_and_missing_values():
    circle = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Neg", ["a"], ["b"])]
    refuses(model(circle, outputs=["b"]), sn.FileError, "'b'", "Add node 'a'", "cycle")
    refuses(model([helper.make_node("Neg", ["z"], ["y"])]), sn.FileError, "'z'", "nothing makes")
    refuses(model([helper.make_node("Neg", ["x"], ["z"])]), sn.FileError, "returns 'y'")
    twice = [helper.make_node("Neg", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])]
    refuses(model(twice), sn.FileError, "there already")


def test_nodes_that_do_not_fit_their_operators():
    refuses(model([helper.make_node("Add", ["x"], ["y"])]), sn.FileError, "1 inputs; 2 to 2")
    refuses(model([helper.make_node("Add", ["x", ""], ["y"])]), sn.FileError, "lacks the input 'B'")
    refuses(model([helper.make_node("Neg", ["x"], ["y"], axis=1)]), sn.FileError, "'axis'")
    refuses(
        model([helper.make_node("Softmax", ["x"], ["y"], axis="1")]), sn.FileError, "another type"
    )
    refuses(model([helper.make_node("Cast", ["x"], ["y"])]), sn.FileError, "lacks", "'to'")


def test_unsupported_operators_are_named_at_once():
    custom = model(
        [helper.make_node("Fancy", ["x"], ["y"], name="here", domain="com.some")],
        opsets=[*OPSET, helper.make_opsetid("com.some", 1)],
    )
    refuses(custom, sn.onnx.UnsupportedOp, "Fancy node 'here'", "com.some", "docs/onnx.md")
    refuses(custom, NotImplementedError, "Fancy")
    nothing = model([helper.make_node("Fancy", ["x"], ["y"])])
    refuses(nothing, sn.onnx.UnsupportedOp, "no operator 'Fancy'")
    future = model([helper.make_node("Neg", ["x"], ["y"])], opsets=[helper.make_opsetid("", 999)])
    refuses(future, sn.onnx.UnsupportedOp, "version 999", "update the package")
    decoder = model(
        [helper.make_node("ImageDecoder", ["x"], ["y"])], opsets=[helper.make_opsetid("", 20)]
    )
    refuses(decoder, sn.onnx.UnsupportedOp, "ImageDecoder", "pillow")


def test_tensors_must_have_the_bytes_of_their_shapes():
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "w")
    for dims, words in (
        ([5], ("16 bytes; 20",)),
        ([2**40, 2**40], ("are required",)),
        ([-4], ("negative",)),
        ([1] * 80, ("rank 80",)),
    ):
        tensor.ClearField("dims")
        tensor.dims.extend(dims)
        refuses(
            model([helper.make_node("Add", ["x", "w"], ["y"])], initialisers=[tensor]),
            sn.FileError, "'w'", *words,
        )  # fmt: skip
    tensor.ClearField("dims")
    tensor.dims.extend([4])
    tensor.data_type = 99
    refuses(
        model([helper.make_node("Add", ["x", "w"], ["y"])], initialisers=[tensor]),
        sn.FileError, "data type 99",
    )  # fmt: skip


def test_declared_types_exist():
    made = model([helper.make_node("Neg", ["x"], ["y"])])
    made.graph.input[0].type.tensor_type.elem_type = 85
    refuses(made, sn.FileError, "'x'", "data type 85")


def external(folder, location, size=8, offset=None, length=None):
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[size // 4])
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": offset, "length": length}
    for key, text in entries.items():
        if text is not None:
            tensor.external_data.add(key=key, value=str(text))
    path = folder / "model.onnx"
    node = helper.make_node("Add", ["x", "w"], ["y"])
    path.write_bytes(model([node], initialisers=[tensor]).SerializeToString())
    return path


def test_external_data_lies_in_the_folder(tmp_path):
    inside = tmp_path / "inside"
    (inside / "deep").mkdir(parents=True)
    np.arange(4, dtype=np.float32).tofile(inside / "deep" / "w.bin")
    (tmp_path / "secret.bin").write_bytes(b"\0" * 64)
    path = external(inside, "deep/w.bin", offset=4)
    found = sn.onnx.to_function(path)
    assert found(np.zeros(2, np.float32))["y"].tolist() == [1.0, 2.0]
    refuses(path.read_bytes(), sn.FileError, "without a folder")
    for location in (
        "../secret.bin", "deep/../../secret.bin", str(tmp_path / "secret.bin"), "", "c:/w.bin",
        "\\\\host\\w.bin", "deep\\..\\..\\secret.bin",
    ):  # fmt: skip
        refuses(external(inside, location), sn.FileError, "'w'", "outside the model's folder")
    os.symlink(tmp_path / "secret.bin", inside / "link.bin")
    refuses(external(inside, "link.bin"), sn.FileError, "a link to")
    refuses(external(inside, "deep"), sn.FileError, "no file")
    refuses(external(inside, "none.bin"), sn.FileError, "no file")
    refuses(external(inside, "deep/w.bin", offset=12), sn.FileError, "12 to 20")
    refuses(external(inside, "deep/w.bin", offset=-4), sn.FileError, "-4")
    refuses(external(inside, "deep/w.bin", length=4), sn.FileError, "needs 8 bytes")
    refuses(external(inside, "deep/w.bin", offset="many"), sn.FileError, "damaged entry")


def test_small_files_that_ask_for_much(tmp_path):
    """What a few bytes ask for is refused before it is allocated."""
    shape = numpy_helper.from_array(np.array([1 << 20, 1 << 20, 4], np.int64), "s")
    fill = model([helper.make_node("ConstantOfShape", ["s"], ["y"])], (), initialisers=[shape])
    with pytest.raises(sn.OutOfMemory):
        sn.onnx.to_function(fill)()["y"].numpy()
    limit = numpy_helper.from_array(np.array(1 << 50, np.int64), "n")
    one = numpy_helper.from_array(np.array(1, np.int64), "i")
    line = model([helper.make_node("Range", ["i", "n", "i"], ["y"])], (), initialisers=[limit, one])
    with pytest.raises(sn.OutOfMemory):
        sn.onnx.to_function(line)()["y"].numpy()
    sparse = onnx.SparseTensorProto(dims=[1 << 40])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "w"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int64), "i"))
    wide = model([helper.make_node("Add", ["x", "w"], ["y"])])
    wide.graph.sparse_initializer.append(sparse)
    refuses(wide, sn.FileError, "too large")


def test_functions_that_grow_without_end():
    """Each function calls the one before it ten times: ten to the thirtieth nodes."""
    opsets = [*OPSET, helper.make_opsetid("f", 1)]
    functions = []
    for k in range(30):
        below = ("f", f"f{k - 1}") if k else ("", "Neg")
        nodes = [
            helper.make_node(below[1], [f"v{i}"], [f"v{i + 1}"], domain=below[0]) for i in range(10)
        ]
        functions.append(helper.make_function("f", f"f{k}", ["v0"], ["v10"], nodes, opsets))
    call = helper.make_node("f29", ["x"], ["y"], domain="f")
    refuses(
        model([call], opsets=opsets, functions=functions), sn.FileError, "more than 250,000 nodes"
    )
    loop = helper.make_function(
        "f", "f", ["a"], ["b"], [helper.make_node("f", ["a"], ["b"], domain="f")], opsets
    )
    itself = model(
        [helper.make_node("f", ["x"], ["y"], domain="f")], opsets=opsets, functions=[loop]
    )
    refuses(itself, sn.FileError, "calls itself")


def test_inputs_are_checked():
    found = sn.onnx.to_function(model([helper.make_node("Relu", ["x"], ["y"])]))
    with pytest.raises(sn.DTypeError, match="takes float32"):
        found(np.ones(2))
    with pytest.raises(sn.ShapeError, match=r"\(3,\); the model takes \(2\)"):
        found(np.ones(3, np.float32))
    with pytest.raises(sn.InvalidType, match="'x' is missing"):
        found()
    with pytest.raises(sn.InvalidType, match="2 inputs are given"):
        found(np.ones(2, np.float32), np.ones(2, np.float32))
    with pytest.raises(sn.InvalidType, match="'z'"):
        found(np.ones(2, np.float32), z=1)


def test_errors_of_operations_name_the_node():
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "z"], ["y"], name="product")],
        "g",
        [value("x", ("a", "b")), value("z", ("c", "d"))],
        [value("y", None)],
    )
    found = sn.onnx.to_function(helper.make_model(graph, opset_imports=OPSET))
    with pytest.raises(sn.ShapeError, match=r"MatMul node 'product': .*do not fit"):
        found(np.ones((2, 3), np.float32), np.ones((2, 3), np.float32))


def asking(op, *values, inputs=(), **attributes):
    """A node whose inputs are constants, and a few named ones before them."""
    names = [f"c{k}" for k in range(len(values))]
    tensors = [numpy_helper.from_array(np.asarray(v), n) for v, n in zip(values, names)]
    node = helper.make_node(op, [*inputs, *names], ["y"], **attributes)
    return model([node], inputs, initialisers=tensors, opsets=[helper.make_opsetid("", 20)])


F, PICTURE = np.float32, (1, 1, 2, 2)


@pytest.mark.parametrize(
    ("what", "shape"),
    [
        (asking("Resize", F([]), F([1, 1, 1e9, 1]), inputs="x", mode="linear"), PICTURE),
        (asking("Resize", F([]), F([1, 1, 1e9, 1]), inputs="x"), PICTURE),
        (asking("Resize", F([]), F([]), [1, 1, 1 << 40, 2], inputs="x", mode="cubic"), PICTURE),
        (asking("RoiAlign", F([[0, 0, 1, 1]]), [0], inputs="x", output_height=1 << 40), PICTURE),
        (asking("RoiAlign", F([[0, 0, 1e12, 1]]), [0], inputs="x"), PICTURE),
        (asking("Pad", [0, 0, 0, 0, 0, 0, 1 << 40, 0], inputs="x", mode="reflect"), PICTURE),
        (asking("Pad", [0, 0, 0, 0, 0, 0, 1 << 40, 0], inputs="x", mode="wrap"), PICTURE),
        (asking("MelWeightMatrix", 1 << 30, 1 << 30, 8000, F(1), F(4000)), None),
        (asking("HannWindow", 1 << 40), None),
        (asking("Col2Im", [1 << 40, 1], [1, 1], inputs="x"), (1, 1, 2)),
        (asking("Col2Im", [4, 4], [1 << 40, 1], inputs="x", pads=[1 << 40] * 4), (1, 1, 2)),
    ],
    ids=lambda v: v.graph.node[0].op_type if hasattr(v, "graph") else None,
)  # fmt: skip
def test_tables_that_a_few_numbers_ask_for(what, shape):
    """They are made by NumPy, before the core could refuse what is made of them."""
    given = [] if shape is None else [np.ones(shape, np.float32)]
    with pytest.raises((sn.OutOfMemory, sn.InvalidValue, sn.ShapeError)):
        for value in sn.onnx.to_function(what)(*given).values():
            value.numpy()


def test_counts_of_n_grams_end():
    node = helper.make_node(
        "TfIdfVectorizer", ["x"], ["y"], max_gram_length=1 << 40, max_skip_count=1 << 40,
        min_gram_length=1, mode="TF", ngram_counts=[0], ngram_indexes=[0, 1], pool_int64s=[2, 3],
    )  # fmt: skip
    made = model([node])
    made.graph.input[0].CopyFrom(value("x", (3,), TensorProto.INT64))
    assert sn.onnx.to_function(made)(np.array([2, 3, 3]))["y"].tolist() == [1, 2]
    next(a for a in made.graph.node[0].attribute if a.name == "ngram_indexes").ints[1] = 1 << 40
    with pytest.raises(sn.OutOfMemory):
        sn.onnx.to_function(made)(np.array([2, 3, 3]))
