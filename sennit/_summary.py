"""A table of a model's layers."""

from __future__ import annotations

import math
from typing import Any

from . import _core
from ._errors import error
from .autograd import no_grad
from .nn.containers import Sequential
from .nn.conv import _Conv
from .nn.linear import Bilinear, Linear
from .nn.module import Module

__all__ = ["Summary", "summary"]


class Summary:
    """What `summary` found; printing it gives the table.

    Attributes
    ----------
    rows : list of dict
        Per layer, in the order of the calls: name, kind, output_shape, parameters, multiply_adds.
    parameters, trainable, multiply_adds : int
        Totals; shared parameters count once.
    """

    def __init__(self, rows: list[dict[str, Any]], parameters: int, trainable: int) -> None:
        self.rows = rows
        self.parameters = parameters
        self.trainable = trainable
        self.multiply_adds = sum(row["multiply_adds"] for row in rows)

    def __repr__(self) -> str:
        heads = ["layer", "kind", "output shape", "parameters", "multiply-adds"]
        cells = [
            [
                row["name"],
                row["kind"],
                str(row["output_shape"]),
                f"{row['parameters']:,}",
                f"{row['multiply_adds']:,}",
            ]
            for row in self.rows
        ]
        widths = [max(len(r[i]) for r in [heads, *cells]) for i in range(len(heads))]

        def line(row: list[str]) -> str:
            left = [row[i].ljust(widths[i]) for i in range(3)]
            return "  ".join([*left, *(row[i].rjust(widths[i]) for i in (3, 4))]).rstrip()

        rule = "-" * len(line(["x" * w for w in widths]))
        megabytes = self.parameters * 4 / 1e6
        return "\n".join(
            [
                line(heads),
                rule,
                *map(line, cells),
                rule,
                f"{self.parameters:,} parameters ({self.trainable:,} trained, {megabytes:.1f} MB "
                f"in float32), {self.multiply_adds:,} multiply-adds",
            ]
        )


def _multiply_adds(module: Module, x: Any, output: Any) -> int:
    if not isinstance(output, _core.Tensor):
        return 0
    if isinstance(module, Linear):
        return output.size * module.in_features
    if isinstance(module, Bilinear):
        return output.size * module.in2_features * (module.in1_features + 1)
    if isinstance(module, _Conv):
        kernel = math.prod(module.kernel_size)
        if module._transposed:  # each input element meets the whole kernel
            return int(x.size) * kernel * (module.out_channels // module.groups)
        return output.size * kernel * (module.in_channels // module.groups)
    return 0


def _shape(output: Any) -> Any:
    if isinstance(output, _core.Tensor):
        return output.shape
    if isinstance(output, tuple | list):
        return [_shape(o) for o in output]
    return type(output).__name__


def summary(model: Module, input_shape: Any, dtype: Any = None) -> Summary:
    """Layers of a model with output shapes, parameters and multiply-adds.

    The model is called once on zeros, in inference mode; its state stays as it is. Nothing is
    computed: recording the calls gives the shapes.

    Parameters
    ----------
    model : Module
    input_shape : tuple of int, or list of such
        Shape of the argument with its batch dimension; a list for several arguments.
    dtype : dtype, optional
        Of the arguments; float32 by default.

    Returns
    -------
    Summary

    Examples
    --------
    >>> model = sn.nn.Sequential(sn.nn.Linear(4, 8), sn.nn.ReLU(), sn.nn.Linear(8, 2))
    >>> sn.summary(model, (1, 4))
    layer  kind    output shape  parameters  multiply-adds
    ------------------------------------------------------
    0      Linear  (1, 8)                40             32
    1      ReLU    (1, 8)                 0              0
    2      Linear  (1, 2)                18             16
    ------------------------------------------------------
    58 parameters (58 trained, 0.0 MB in float32), 48 multiply-adds
    """
    if not isinstance(model, Module):
        raise error(
            _core.InvalidType,
            "summary",
            f"the model is a {type(model).__name__}; it must be a sn.nn.Module",
        )
    shapes = input_shape if isinstance(input_shape, list) else [input_shape]
    rows: list[dict[str, Any]] = []
    counted: set[int] = set()
    handles = []

    def watch(name: str) -> Any:
        def hook(module: Module, args: tuple[Any, ...], output: Any) -> None:
            own = [p for _, p in module._own("parameter") if id(p) not in counted]
            counted.update(id(p) for p in own)
            rows.append(
                {
                    "name": name,
                    "kind": type(module).__name__,
                    "output_shape": _shape(output),
                    "parameters": sum(p.size for p in own),
                    "multiply_adds": _multiply_adds(module, args[0] if args else None, output),
                }
            )

        return hook

    modes = [(m, m.training) for m in model.modules()]
    try:
        for name, module in model.named_modules():
            leaf = next(module.children(), None) is None
            if leaf or (module._own("parameter") and not isinstance(module, Sequential)):
                handles.append(module.register_forward_hook(watch(name or type(module).__name__)))
        model.eval()
        with no_grad():
            model(*(_core.functions["zeros"](tuple(s), dtype=dtype) for s in shapes))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.__dict__["training"] = mode
    params = list(model.parameters())
    trained = sum(p.size for p in params if p.requires_grad)
    return Summary(rows, sum(p.size for p in params), trained)
