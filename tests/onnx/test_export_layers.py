"""Every layer and functional as an ONNX model that onnxruntime runs, against the graph itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

HERE = Path(__file__).resolve().parent
for _folder in (HERE, HERE.parent / "nn", HERE.parent / "op", HERE.parent / "graph"):
    sys.path.insert(0, str(_folder))

from export_recipes import (  # noqa: E402
    FUNCTIONALS,
    GRAPH_LAYERS,
    LAYERS,
    NO_FORWARD,
    Recipe,
)
from exporting import compare, kinds, traced  # noqa: E402
from layer_cases import CASES, Case  # noqa: E402

import sennit as sn  # noqa: E402
from sennit import nn  # noqa: E402
from sennit.nn import functional as F  # noqa: E402


def made(case: Case) -> Any:
    layer = getattr(nn, case.name)(*case.args, **case.kwargs)
    return layer.eval()


def inputs(case: Case) -> list[sn.Tensor]:
    rng = np.random.default_rng(3)
    found = []
    for shape in case.shapes:
        a = rng.standard_normal(shape)
        if case.draw == "positive":
            a = np.abs(a) + 0.1
        elif case.draw == "distinct":
            a = rng.permutation(int(np.prod(shape))).reshape(shape) * 0.1
        found.append(sn.asarray(a.astype(np.float32)))
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_grid(case, tmp_path):
    args = inputs(case)
    layer = made(case)
    graph = traced(lambda *t: layer(*t, **case.call), args)
    compare(graph, args, tmp_path / "model.onnx")


RECIPES = {**LAYERS, **GRAPH_LAYERS, **{f"F.{k}": v for k, v in FUNCTIONALS.items()}}
EACH = [
    pytest.param(r, id=f"{name}-{i}") for name, each in RECIPES.items() for i, r in enumerate(each)
]


def ready(recipe: Recipe) -> tuple[Any, list[sn.Tensor]]:
    """The function in evaluation mode; lazy layers have seen their input."""
    sn.random.seed(0)
    args = recipe.args(3)
    function = recipe.make()
    if isinstance(function, nn.Module):
        if type(function).__name__.startswith("Lazy"):
            function(*args)
        function.eval()
    return function, args


@pytest.mark.parametrize("opset", [18, pytest.param(24, marks=pytest.mark.slow)])
@pytest.mark.parametrize("recipe", EACH)
def test_recipes(recipe, opset, tmp_path):
    function, args = ready(recipe)
    compare(traced(function, args), args, tmp_path / "model.onnx", opset)


def test_no_layer_is_left_out():
    grid = {c.name for c in CASES}
    known = grid | set(LAYERS) | set(NO_FORWARD)
    missing = sorted(set(nn.__all__) - known)
    assert not missing, f"give these a recipe in tests/onnx/export_recipes.py: {missing}"


def test_no_functional_is_left_out():
    from table import ELSEWHERE, ROWS

    rows = {r.name for r in ROWS} | set(ELSEWHERE)
    layers = {n.lower().replace("_", "") for n in [*LAYERS, *{c.name for c in CASES}]}
    # A functional whose layer has a recipe is what that layer calls.
    missing = []
    for name in F.__all__:
        plain = name.replace("_", "")
        own = {plain, plain + "loss", plain.removesuffix("withindices"), "lora" + plain}
        aliases = {"multiheadattentionforward": "multiheadattention", "pad": "zeropad1d",
                   "embedding": "embedding", "interpolate": "upsample",
                   "upsamplebilinear": "upsamplingbilinear2d", "klddiv": "kldivloss",
                   "upsamplenearest": "upsamplingnearest2d",
                   "binarycrossentropy": "bceloss", "kldiv": "kldivloss",
                   "localresponsenorm": "localresponsenorm",
                   "multilabelsoftmarginloss": "multilabelsoftmarginloss"}  # fmt: skip
        own.add(aliases.get(plain, plain))
        if name not in FUNCTIONALS and name not in rows and not own & layers:
            missing.append(name)
    # One draws, and one writes its arguments.
    known = {"gumbel_softmax", "track_statistics"}
    assert set(missing) <= known, f"give these a recipe: {sorted(set(missing) - known)}"


# ---------------------------------------------------------------- models


def test_networks_of_the_graph_tests(tmp_path):
    from graph_models import MODELS, draw

    for name, (make, specs) in MODELS.items():
        sn.random.seed(0)
        args = draw(specs)
        for opset in (18, 24):
            model = compare(sn.trace(make(), *specs), args, tmp_path / f"{name}.onnx", opset)
        if name == "lstm":
            assert kinds(model).count("LSTM") == 2
            assert "MatMul" in kinds(model)  # of the head; those of the gates are in the LSTMs


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: sn.models.resnet18(10), (2, 3, 64, 64)),
        (sn.models.resnet20, (2, 3, 32, 32)),
        (lambda: sn.models.mobilenet_v2(10), (1, 3, 64, 64)),
        (sn.models.LeNet5, (3, 1, 28, 28)),
        (lambda: sn.models.VGG(11, 10, batch_norm=True), (1, 3, 32, 32)),
    ],
    ids=["resnet18", "resnet20", "mobilenet_v2", "lenet", "vgg11_bn"],
)
def test_vision(make, shape, tmp_path):
    sn.random.seed(0)
    args = [sn.random.randn(shape)]
    model = compare(traced(make().eval(), args), args, tmp_path / "model.onnx")
    assert "Add" not in set(kinds(model)[:3])  # biases are in the convolutions


def test_bert(tmp_path):
    sn.random.seed(0)
    net = sn.models.Bert(50, 16, 2, 2, 32, 20).eval()
    args = [sn.random.integers(0, 50, (2, 7)), sn.asarray(np.array([[1] * 7, [1] * 4 + [0] * 3]))]
    compare(traced(net, args), args, tmp_path / "model.onnx")
