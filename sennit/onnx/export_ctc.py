"""Rules of connectionist temporal classification: core/op/ctc.cpp explains the recursions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .export_builder import ONNX_DTYPES, Call, numpy_dtype, rule
from .export_movement import integers
from .export_sizes import Poly

Write = Callable[..., str]


class _Places:
    """Sequences with a place for each class of a target and each blank around them: (N, 2 S + 1).

    Operand `first` is log_probs (T, N, C); targets (N, S), and the lengths (N,) of both follow it.
    """

    def __init__(self, c: Call, first: int) -> None:
        self.c, self.dtype = c, c.dtype(first)
        self.x, targets, inputs, lengths = (c.x(first + k) for k in range(4))
        self.steps, self.batch, _ = c.shape(first)
        labels = c.shape(first + 1)[1]
        self.count = 2 * Poly.of(labels) + 1
        self.never = c.const(-math.inf, self.dtype)
        # The class of each place; of what stands behind a target, nothing is read.
        blank = c.const(c.attr("blank"), "int64")
        length = c.b.unsqueeze(lengths, 1)
        known = c.op("Less", integers(c, 0, 1, labels), length)
        target = c.b.unsqueeze(c.op("Where", known, targets, blank), 2)
        blanks = c.op("Expand", blank, c.b.sizes([self.batch, labels, 1]))
        pairs = c.op("Concat", blanks, target, axis=2)
        last = c.op("Expand", blank, c.b.sizes([self.batch, 1]))
        flat = c.op("Reshape", pairs, c.b.sizes([self.batch, 2 * Poly.of(labels)]), allowzero=1)
        label = c.op("Concat", flat, last, axis=1)
        # A place is reached from two before it unless it is a blank or the class is the same.
        place = integers(c, 0, 1, self.count)
        odd = c.op("Equal", c.op("Mod", place, c.const(2, "int64")), c.const(1, "int64"))
        two = self.shifted(c.op, label, 2, c.const(-1, "int64"))
        skips = c.op("And", odd, c.op("Not", c.op("Equal", label, two)))
        zero = c.const(0.0, self.dtype)
        self.skip = c.op("Where", skips, zero, self.never)
        self.index = c.op(
            "Expand", c.b.unsqueeze(label, 0), c.b.sizes([self.steps, self.batch, self.count])
        )
        self.emitted = c.op("GatherElements", self.x, self.index, axis=2)
        double = c.op("Mul", length, c.const(2, "int64"))
        self.inside = c.op("LessOrEqual", place, double)
        near = c.op("GreaterOrEqual", place, c.op("Sub", double, c.const(1, "int64")))
        self.ends = c.op("Where", c.op("And", self.inside, near), zero, self.never)
        step = c.b.unsqueeze(integers(c, 0, 1, self.steps), 1, 2)
        self.rest = c.op("Sub", c.b.unsqueeze(inputs, 0, 2), step)  # steps left: (T, N, 1)

    def flag(self, kind: str, than: int) -> tuple[str, tuple[Any, ...]]:
        """By step and sequence, a number that says whether so many steps are left."""
        chosen = self.c.op(kind, self.rest, self.c.const(than, "int64"))
        return self.c.cast(chosen, self.dtype), (self.batch, 1)

    def shifted(self, write: Write, x: str, by: int, fill: str) -> str:
        """What stands `by` places before each, or behind it for a negative number."""
        c = self.c
        ends = [0, by, 0, 0] if by > 0 else [0, 0, 0, -by]
        wide = write("Pad", x, c.b.ints(ends), fill)
        cut = [0, -by] if by > 0 else [-by, 2**62]
        return write("Slice", wide, c.b.ints(cut[:1]), c.b.ints(cut[1:]), c.b.ints([1]))

    def log_sum(self, write: Write, terms: list[str]) -> str:
        """The logarithm of a sum of numbers given by logarithms, where -inf stands for zero."""
        lowest = float(np.finfo(numpy_dtype(self.dtype)).min)
        base = write("Max", *terms, self.c.const(lowest, self.dtype))
        return write("Add", write("Log", write("Sum", *(
            write("Exp", write("Sub", x, base)) for x in terms
        ))), base)  # fmt: skip

    def scan(self, reverse: bool, start: str, flag: tuple[str, tuple[Any, ...]], body: Any) -> Any:
        wide = (self.batch, self.count)
        return self.c.b.scan(
            0, reverse, [start], [(self.emitted, wide), flag], self.dtype, wide, body
        )

    def forward(self) -> tuple[str, str]:
        """The probabilities of all ways to each place, after the last step and after each."""
        c = self.c
        # Before the first step only the first place has been reached.
        first = c.op("Equal", integers(c, 0, 1, self.count), c.const(0, "int64"))
        row = c.op("Where", first, c.const(0.0, self.dtype), self.never)
        start = c.op("Expand", row, c.b.sizes([self.batch, self.count]))

        def body(write: Write, state: list[str], new: list[str]) -> tuple[str, str]:
            own, (emitted, more) = state[0], new
            one = self.shifted(write, own, 1, self.never)
            two = write("Add", self.shifted(write, own, 2, self.never), self.skip)
            made = write("Add", self.log_sum(write, [own, one, two]), emitted)
            after = write("Where", _flag(write, more), made, own)
            return after, made

        last, each = self.scan(False, start, self.flag("Greater", 0), body)
        return str(last), str(each)

    def backward(self) -> str:
        """The probabilities of all ways from each place to the end, without the step itself."""
        c = self.c

        def body(write: Write, state: list[str], new: list[str]) -> tuple[str, str]:
            after, (emitted, is_last) = state[0], new
            one = self.shifted(write, after, -1, self.never)
            two = self.shifted(write, write("Add", after, self.skip), -2, self.never)
            reached = self.log_sum(write, [after, one, two])
            beta = write("Where", _flag(write, is_last), self.ends, reached)
            return write("Add", beta, emitted), beta

        start = c.op("Expand", self.never, c.b.sizes([self.batch, self.count]))
        return str(self.scan(True, start, self.flag("Equal", 1), body)[1])


def _flag(write: Write, x: str) -> str:
    return write("Cast", x, to=ONNX_DTYPES["bool"])


@rule("ctc_loss")
def _ctc_loss(c: Call) -> tuple[str, str]:
    p = _Places(c, 0)
    last, each = p.forward()
    ways = c.op("Add", last, p.ends)
    most = c.b.reduce("ReduceMax", ways, [1])
    base = c.op("Max", most, c.const(float(np.finfo(numpy_dtype(p.dtype)).min), p.dtype))
    total = c.b.reduce("ReduceSum", c.op("Exp", c.op("Sub", ways, base)), [1])
    loss = c.b.squeeze(c.op("Neg", c.op("Add", c.op("Log", total), base)), 1)
    if not c.used(1):
        return loss, ""
    alive = c.op("Greater", p.rest, c.const(0, "int64"))
    reached = c.op("And", alive, c.b.unsqueeze(p.inside, 0))
    return loss, c.op("Transpose", c.op("Where", reached, each, p.never), perm=[1, 0, 2])


@rule("ctc_loss_grad")
def _ctc_loss_grad(c: Call) -> str:
    p = _Places(c, 1)
    beta = p.backward()
    alpha = c.op("Transpose", c.x(6), perm=[1, 0, 2])
    g, loss = (c.b.unsqueeze(c.x(k), 0, 2) for k in (0, 5))
    share = c.op("Mul", c.op("Exp", c.op("Sum", alpha, beta, loss)), g)
    zero = c.const(0.0, p.dtype)
    alive = c.op("Greater", p.rest, c.const(0, "int64"))
    asked = c.op("Not", c.op("Equal", g, zero))  # also where a loss is infinite
    counts = c.op("And", c.op("And", alive, asked), c.b.unsqueeze(p.inside, 0))
    share = c.op("Where", counts, c.op("Neg", share), zero)
    nothing = c.op("Expand", zero, c.b.sizes(c.out_shape()))
    return str(c.op("ScatterElements", nothing, p.index, share, axis=2, reduction="add"))
