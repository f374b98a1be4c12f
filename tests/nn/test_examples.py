"""Every docstring of the Python packages has examples, and they are run."""

from __future__ import annotations

import doctest
import importlib
import inspect

import pytest

import sennit as sn

MODULES = [
    "sennit._errors",
    "sennit._files",
    "sennit._summary",
    "sennit.data.datasets",
    "sennit.data.loader",
    "sennit.data.vision",
    "sennit.nn._distance",
    "sennit.nn._dropout",
    "sennit.nn._folding",
    "sennit.nn._resampling",
    "sennit.nn.activation",
    "sennit.nn.containers",
    "sennit.nn.conv",
    "sennit.nn.distance",
    "sennit.nn.dropout",
    "sennit.nn.functional",
    "sennit.nn.init",
    "sennit.nn.lazy",
    "sennit.nn.linear",
    "sennit.nn.loss",
    "sennit.nn.module",
    "sennit.nn.normalization",
    "sennit.nn.padding",
    "sennit.nn.parameter",
    "sennit.nn.pooling",
    "sennit.nn.recurrent",
    "sennit.nn.resampling",
    "sennit.nn.utils",
    "sennit.nn.utils.fusion",
    "sennit.nn.utils.parametrizations",
    "sennit.nn.utils.parametrize",
    "sennit.nn.utils.rnn",
    "sennit.optim.adam",
    "sennit.optim.optimizer",
    "sennit.optim.sgd",
    "sennit.train.metrics",
    "sennit.train.progress",
    "sennit.viz.pictures",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    if name == "sennit.viz.pictures":
        pytest.importorskip("matplotlib")
    module = importlib.import_module(name)
    sn.random.seed(0)
    result = doctest.testmod(module, extraglobs={"sn": sn}, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
    assert result.attempted > 0


@pytest.mark.parametrize(
    "name", ["nn", "optim", "data", "train", "viz", "nn.functional", "nn.init", "nn.utils"]
)
def test_every_public_name_has_an_example(name: str) -> None:
    module = importlib.import_module(f"sennit.{name}")
    for public in module.__all__:
        value = getattr(module, public)
        if inspect.ismodule(value):
            continue
        assert ">>>" in (value.__doc__ or ""), f"sennit.{name}.{public} has no example"
