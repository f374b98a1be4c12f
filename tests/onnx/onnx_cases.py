"""The backend test suite of the `onnx` package, as cases that tests and tools run."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
from onnx.backend.test import loader

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
# The dtypes of ONNX 1 to 15: not bfloat16, nor the small floats and integers that came later.
ORDINARY = frozenset(range(1, 16))
# Cases of the group "real" need a download; the package holds the others.

_DRAWS = "draws random numbers with NumPy's generator; Sennit's are those of Philox (counter-based)"
_PICTURE = "pictures are decoded before a model is called, by pillow or sn.data"
_NOISE = "wants the rounding errors of one FFT where the exact result is 0; ours is nearer to 0"
# What does not pass, and why. A case that passes unexpectedly fails the test, too.
EXPECTED_FAILURES = {
    **dict.fromkeys(("test_bernoulli", "test_bernoulli_double", "test_bernoulli_seed"), _DRAWS),
    **dict.fromkeys(
        (
            "test_training_dropout", "test_training_dropout_default",
            "test_training_dropout_default_mask", "test_training_dropout_mask",
        ),
        _DRAWS,
    ),
    **{
        f"test_image_decoder_decode_{kind}": _PICTURE
        for kind in (
            "bmp_rgb", "jpeg2k_rgb", "jpeg_bgr", "jpeg_grayscale", "jpeg_rgb", "png_rgb", "pnm_rgb",
            "tiff_rgb", "webp_rgb",
        )
    },
    **dict.fromkeys(("test_dft_inverse", "test_dft_inverse_opset19"), _NOISE),
}  # fmt: skip

# Ordinary node cases that onnxruntime 1.32 passes, by group of opsets (onnx 1.23.2).
GROUPS = {"1-17": 446, "18-20": 188, "21-23": 284, "24-": 246}

# Operators that need values on the host: a graph holds them only where these are known.
NEEDS_VALUES = frozenset((
    "BitCast", "Compress", "MaxRoiPool", "NonMaxSuppression", "NonZero", "RegexFullMatch",
    "RoiAlign", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer", "Unique",
))  # fmt: skip


@dataclass
class Case:
    """One model with its recorded inputs and outputs."""

    name: str
    kind: str
    group: str
    model: onnx.ModelProto
    folder: str | None
    data: Any
    rtol: float
    atol: float


def _types(value: Any) -> set[int]:
    which = value.WhichOneof("value")
    if which == "tensor_type":
        return {value.tensor_type.elem_type}
    if which in ("sequence_type", "optional_type"):
        return _types(getattr(value, which).elem_type)
    return set()


def group_of(model: onnx.ModelProto) -> str:
    """The group of opsets that the default domain's version belongs to; "" for other domains."""
    versions = {o.domain: o.version for o in model.opset_import}
    version = versions.get("", versions.get("ai.onnx"))
    if version is None or any(n.domain not in ("", "ai.onnx") for n in model.graph.node):
        return ""
    for first, last in ((1, 17), (18, 20), (21, 23)):
        if first <= version <= last:
            return f"{first}-{last}"
    return "24-"


def ordinary(model: onnx.ModelProto) -> bool:
    """Whether all inputs and outputs have ordinary dtypes."""
    values = [*model.graph.input, *model.graph.output]
    return all(_types(v.type) <= ORDINARY for v in values)


def cases(kind: str) -> Iterator[Case]:
    """The cases of one kind; of the nodes those of ordinary dtypes that are not expanded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        listed = loader.load_model_tests(kind=kind)
    for test in listed:
        model = test.model
        if model is None:
            model = onnx.load(os.path.join(test.model_dir, "model.onnx"))
        group = kind
        if kind == "node":
            group = group_of(model)
            if "_expanded" in test.name or not group or not ordinary(model):
                continue
        yield Case(
            test.name, kind, group, model, test.model_dir, test.data_sets, test.rtol, test.atol
        )


def data_sets(case: Case) -> list[tuple[list[Any], list[Any]]]:
    """Inputs and wanted outputs."""
    if case.data is not None:
        return [tuple([_plain(v) for v in part] for part in pair) for pair in case.data]
    found = []
    for name in sorted(os.listdir(case.folder)):
        folder = os.path.join(case.folder or "", name)
        if not name.startswith("test_data_set"):
            continue
        sets = []
        for what, values in (
            ("input", case.model.graph.input),
            ("output", case.model.graph.output),
        ):
            read = []
            for k in range(len([f for f in os.listdir(folder) if f.startswith(what + "_")])):
                with open(os.path.join(folder, f"{what}_{k}.pb"), "rb") as file:
                    read.append(_read(file.read(), values[k].type))
            sets.append(read)
        found.append((sets[0], sets[1]))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value


def _read(data: bytes, kind: Any) -> Any:
    which = kind.WhichOneof("value")
    classes = {
        "tensor_type": (onnx.TensorProto, onnx.numpy_helper.to_array),
        "sequence_type": (onnx.SequenceProto, onnx.numpy_helper.to_list),
        "optional_type": (onnx.OptionalProto, onnx.numpy_helper.to_optional),
    }
    proto, convert = classes[which]
    message = proto()
    message.ParseFromString(data)
    return convert(message)


def check(wanted: Any, given: Any, rtol: float, atol: float) -> None:
    """The suite's own comparison: dtype, shape, and elements within the tolerances."""
    if isinstance(wanted, list | tuple):
        assert isinstance(given, list | tuple), f"a sequence is wanted, not {type(given)}"
        assert len(wanted) == len(given)
        for a, b in zip(wanted, given, strict=True):
            check(a, b, rtol, atol)
        return
    if wanted is None:
        assert given is None
        return
    wanted = np.asarray(wanted)
    given = np.asarray(given.numpy() if hasattr(given, "numpy") else given)
    if wanted.dtype.kind in "OUS":
        assert wanted.shape == given.shape
        assert [str(v) for v in wanted.reshape(-1)] == [str(v) for v in given.reshape(-1)]
        return
    assert given.dtype == wanted.dtype, f"{given.dtype} is not {wanted.dtype}"
    assert given.shape == wanted.shape, f"{given.shape} is not {wanted.shape}"
    if wanted.dtype.kind in "fc":
        np.testing.assert_allclose(given, wanted, rtol=rtol, atol=atol)
    else:
        np.testing.assert_array_equal(given, wanted)


def run(case: Case) -> None:
    """Runs a case with Sennit and compares."""
    import sennit as sn

    model = sn.onnx.to_function(case.model)
    for inputs, wanted in data_sets(case):
        given = model(*inputs)
        check(wanted, list(given.values()), case.rtol, case.atol)
