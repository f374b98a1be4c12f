"""What the interpreter holds: tensors, and numbers that are known before anything runs.

A model computes shapes with the operators that it computes with: `Shape`, `Gather`, `Concat`,
`Reshape`. Such numbers stay NumPy arrays (`Known`) until a tensor is needed, so that they are there
while a function is traced, and cost no synchronisation when it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _core
from .._core import DTypeError, Tensor
from .._errors import error


class Known:
    """A number, or an array of them, that does not depend on the elements of an argument.

    `make` gives the tensor where one is needed: the parameter of that name, or the same computation
    on tensors. `number` says that it may become a Python number in place of a tensor. `sized`
    says that it was computed from the size of an argument.
    """

    __slots__ = ("_tensor", "array", "make", "number", "sized")

    def __init__(
        self,
        array: Any,
        make: Callable[[], Tensor] | None = None,
        number: bool = True,
        sized: bool = False,
    ) -> None:
        self.array = array
        self.make = make
        self.number = number
        self.sized = sized
        self._tensor: Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.array.shape
        return shape

    @property
    def tensor(self) -> Tensor:
        if self._tensor is None:
            self._tensor = self.make() if self.make is not None else to_tensor(self.array)
        return self._tensor

    def __repr__(self) -> str:
        return f"Known({self.array!r})"


class Absent:
    """The optional value that holds nothing."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent()


def has_dtype(array: Any) -> bool:
    """Whether tensors can hold such elements: not text, and none of ONNX's small floats."""
    kind = array.dtype.kind
    return kind in "biufc" or array.dtype.name == "bfloat16"


def to_tensor(array: Any) -> Tensor:
    """A tensor of the same elements. The array must not be written afterwards."""
    if not has_dtype(array):
        raise error(
            DTypeError,
            "onnx",
            f"an array of {array.dtype.name} is needed as a tensor, and Sennit has no such dtype; "
            "convert the model to a dtype that it has (float32, bfloat16, int8 ...)",
        )
    import numpy as np

    if isinstance(array, np.generic):
        array = np.asarray(array)
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return _core.asarray(array, None, None, None)
