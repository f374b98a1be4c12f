"""Sennit: a deep-learning framework. Imperative code at compiled speed; numbers never change."""

from __future__ import annotations

import atexit as _atexit
import os as _os
from typing import Any as _Any

from . import _core

_atexit.register(_core.shutdown)
_core.set_package_folder(_os.path.dirname(__file__) + _os.sep)

from . import autograd  # noqa: E402 - the package's folder must be known first
from ._api import *  # noqa: E402, F403 - the names of _api.__all__ are the tensor namespace
from ._api import __all__ as _api_all  # noqa: E402
from ._tools import config, device_count, explain, memory, synchronize  # noqa: E402
from .autograd import (  # noqa: E402
    Function,
    enable_grad,
    grad,
    grad_enabled,
    gradients,
    no_grad,
    set_grad_enabled,
    value_and_grad,
)

__version__ = "0.1.0"
numerics_version = 1
__array_api_version__ = "2024.12"

# Loaded when first asked for: training needs them, importing does not.
_LAZY = (
    "cuda", "data", "fft", "linalg", "masked", "metrics", "models", "nn", "onnx", "optim", "random",
    "signal", "special", "train", "viz",
)  # fmt: skip
_LAZY_NAMES = {
    "__array_namespace_info__": "_standard",
    "can_cast": "_standard",
    "finfo": "_standard",
    "iinfo": "_standard",
    "isdtype": "_standard",
    "result_type": "_standard",
    "save": "_files",
    "load": "_files",
    "summary": "_summary",
    "doctor": "_doctor",
    "Diagnosis": "_doctor",
    "profile": "_profile",
    "Profile": "_profile",
    "ProfileEvent": "_profile",
    "autocast": "_autocast",
    "get_autocast_dtype": "_autocast",
    "get_float32_matmul_precision": "_autocast",
    "is_autocast_enabled": "_autocast",
    "set_float32_matmul_precision": "_autocast",
    "Bundle": "_bundle",
    "bundle": "_bundle",
    "get_include": "_native",
    "get_library_dir": "_native",
    "set_num_threads": "_tools",
    "num_threads": "_tools",
    "vmap": "_transforms",
    "vjp": "_transforms",
    "jvp": "_transforms",
    "jacrev": "_transforms",
    "jacfwd": "_transforms",
    "hessian": "_transforms",
    "CompiledFunction": "_compile",
    "compile": "_compile",
    "cond": "_control",
    "scan": "_control",
    "while_loop": "_control",
    "checkpoint": "_checkpoint",
    "checkpoint_sequential": "_checkpoint",
    "Graph": "_graph",
    "GraphNode": "_graph_parts",
    "GraphValue": "_graph_parts",
    "MemoryPlan": "_graph_parts",
    "PlanStep": "_graph_parts",
    "Dim": "_sizes",
    "Size": "_sizes",
    "TensorSpec": "_tracing",
    "symbol": "_symbols",
    "trace": "_tracing",
    "functional_call": "_stateless",
    "istft": "_spectral",
    "stft": "_spectral",
    "stack_module_state": "_stateless",
    "cholesky": "linalg",
    "cross": "linalg",
    "det": "linalg",
    "matrix_exp": "linalg",
    "matrix_power": "linalg",
    "matrix_rank": "linalg",
    "qr": "linalg",
    "slogdet": "linalg",
}
# Other names of dtypes, as in PyTorch; `from sennit import *` leaves float and int alone.
_DTYPES = {
    "float": "float32", "double": "float64", "half": "float16", "int": "int32", "long": "int64",
    "short": "int16", "cfloat": "complex64", "cdouble": "complex128",
}  # fmt: skip
# Functions that are made of others, by their names there.
_TORCH_NAMES = (
    "as_tensor", "bernoulli", "blackman_window", "get_num_threads", "get_rng_state",
    "hamming_window", "hann_window", "inference_mode", "initial_seed", "inverse",
    "is_floating_point", "is_grad_enabled", "manual_seed", "multinomial", "normal", "numel",
    "pinverse", "randint", "randint_like", "randperm", "set_rng_state",
)  # fmt: skip
_NUMPY_NAMES = (
    "append", "argpartition", "array_equal", "average", "cbrt", "compress", "convolve",
    "correlate", "delete", "digitize", "divmod", "ediff1d", "extract", "flatnonzero", "geomspace",
    "identity", "insert", "interp", "intersect1d", "modf", "nanargmax", "nanargmin", "nancumprod",
    "nancumsum", "nanmax", "nanmin", "nanpercentile", "nanprod", "nanstd", "nanvar", "percentile",
    "polyval", "ptp", "ravel_multi_index", "rint", "setdiff1d", "setxor1d", "tri", "union1d",
    "unwrap",
)  # fmt: skip
_LAZY_NAMES |= dict.fromkeys(_TORCH_NAMES, "_torch_names")
_LAZY_NAMES |= dict.fromkeys(_NUMPY_NAMES, "_numpy_names")

__all__ = [  # noqa: PLE0604
    *_api_all,
    "Function",
    "autograd",
    "config",
    "device_count",
    "enable_grad",
    "explain",
    "grad",
    "grad_enabled",
    "gradients",
    "memory",
    "no_grad",
    "set_grad_enabled",
    "synchronize",
    "value_and_grad",
    *_LAZY,
    *_LAZY_NAMES,
]


def __getattr__(name: str) -> _Any:
    from importlib import import_module

    if name in _LAZY:
        return import_module(f"{__name__}.{name}")
    if name in _LAZY_NAMES:
        value = getattr(import_module(f"{__name__}.{_LAZY_NAMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _DTYPES:
        return getattr(_core, _DTYPES[name])
    raise AttributeError(f"module 'sennit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_DTYPES})
