"""The page that compares sn.nn with torch.nn says what is so."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def tool(repository: Path) -> ModuleType:
    path = repository / "tools" / "gen_layers.py"
    spec = importlib.util.spec_from_file_location("gen_layers", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gen_layers"] = module
    spec.loader.exec_module(module)
    return module


def test_page_is_fresh(tool: ModuleType) -> None:
    text = tool.PAGE.read_text()
    assert tool.filled(text) == text, "run python tools/gen_layers.py"


def test_page_has_every_namespace(tool: ModuleType) -> None:
    found = tool.rows(tool.PAGE.read_text())
    assert list(found) == [
        "torch.nn",
        "torch.nn.functional",
        "torch.nn.utils",
        "torch.nn.utils.parametrizations",
        "torch.nn.utils.parametrize",
    ]
    assert all(len(names) > 1 for names in found.values())
    assert found["torch.nn"]["Conv2d"][0] == "yes"


# What PyTorch's module of functions imports or uses itself.
HELPERS = {
    "Callable", "DType", "Optional", "ScalingType", "SwizzleType", "Tensor", "assert_int_or_pair",
    "boolean_dispatch", "handle_torch_function", "has_torch_function", "has_torch_function_unary",
    "has_torch_function_variadic",
}  # fmt: skip


@pytest.mark.oracle
def test_page_names_what_torch_has(tool: ModuleType, torch: Any) -> None:
    found = tool.rows(tool.PAGE.read_text())
    classes = {n for n, v in vars(torch.nn).items() if inspect.isclass(v) and n[0] != "_"}
    functions = {n for n, v in vars(torch.nn.functional).items() if callable(v) and n[0] != "_"}
    # A newer PyTorch may have more, an older one less; what both know is compared.
    if tuple(int(n) for n in torch.__version__.split("+")[0].split(".")[:2]) == (2, 13):
        assert set(found["torch.nn"]) == classes
        assert set(found["torch.nn.functional"]) == functions - HELPERS
        assert set(found["torch.nn.utils"]) == set(torch.nn.utils.__all__)
    unknown = set(found["torch.nn"]) - classes
    assert unknown <= {"LinearCrossEntropyLoss", "LinearCrossEntropyOptions", "Buffer", "LPPool3d"}
