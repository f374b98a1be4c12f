"""Rules of recurrent layers: ONNX's LSTM, GRU and RNN.

Here a layer is a matrix product with what goes into the gates, and one operation over all steps
whose states have one slot more than there are steps. In ONNX it is one node that takes the weights.
So the product is looked for and becomes part of the node, and what reads the states (all steps, the
last one, those at given lengths) becomes one of its results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._graph import GraphNode, GraphValue
from .export_builder import Call, numpy_dtype, rule, without
from .export_plan import Fused, Plan, same_shape
from .export_products import turned_weight
from .export_sizes import OpenFloat, Poly

__all__ = ["PATTERNS"]

KINDS = {"rnn_sequence": "RNN", "lstm_sequence": "LSTM", "gru_sequence": "GRU"}
# Where each gate of ONNX stands here: i o f c of i f g o, and z r h of r z n.
ORDER = {"RNN": [0], "LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2]}
STATES = {"RNN": {0: "h"}, "LSTM": {1: "h", 2: "c"}, "GRU": {1: "h"}}

# ---------------------------------------------------------------- patterns


def _states_of(plan: Plan, value: Any) -> tuple[GraphNode, str] | None:
    """The layer whose states a value holds, and which: "h" or "c"."""
    node = plan.maker.get(value._id) if isinstance(value, GraphValue) else None
    if node is None or node.op not in KINDS:
        return None
    place = next(k for k, v in enumerate(node.outputs) if v._id == value._id)
    which = STATES[KINDS[node.op]].get(place)
    return (node, which) if which else None


def _reads(node: GraphNode, which: str, value: GraphValue) -> Fused:
    """A result of the layer in place of what a node computes from its states."""
    key = node.outputs[0]._id

    def write(c: Call, _: Fused) -> str:
        made = c.b.recurrent[key]
        if which == "Y":
            return str(c.b.squeeze(made["Y"], 1))
        return str(made[which])

    return Fused(write, [value])


def _slices(plan: Plan, node: GraphNode) -> Fused | None:
    """All steps, or the last one."""
    if node.op != "slice":
        return None
    found = _states_of(plan, node.inputs[0])
    if found is None:
        return None
    layer, which = found
    states = node.inputs[0]
    if not same_shape(node.outputs[0].shape[1:], states.shape[1:]):
        return None
    if any(step != 1 for step in node.attributes["steps"]):
        return None
    start, size = Poly.of(node.inputs[1]), Poly.of(node.attributes["sizes"][0])
    steps = Poly.of(states.shape[0]) - 1
    reverse = layer.attributes["reverse"]
    if which == "h" and size == steps and start == (0 if reverse else 1):
        if steps == 1 and "lengths" in plan.facts.get(layer.outputs[0]._id, {}):
            return None
        return _reads(layer, "Y", states)
    if size == 1 and start == (Poly.of(0) if reverse else steps):
        if "lengths" in plan.facts.get(layer.outputs[0]._id, {}):
            return None
        return _reads(layer, "Y_h" if which == "h" else "Y_c", states)
    return None


def _at_lengths(plan: Plan, node: GraphNode) -> Fused | None:
    """The states after as many steps as each sequence has: those of a layer with sequence_lens."""
    if node.op != "take_along_axis" or node.attributes["axis"] != 0:
        return None
    found = _states_of(plan, node.inputs[0])
    if found is None or found[0].attributes["reverse"]:
        return None
    layer, which = found
    wide = plan.made_by(node.inputs[1], "expand")
    column = plan.made_by(wide.inputs[0], "reshape") if wide else None
    lengths = column.inputs[0] if column else None
    less = plan.made_by(lengths, "subtract") if lengths is not None else None
    if less is not None and less.inputs[1] == 0 and isinstance(less.inputs[0], GraphValue):
        lengths = less.inputs[0]
    states = node.inputs[0]
    if not isinstance(lengths, GraphValue) or len(lengths.shape) != 1:
        return None
    if not same_shape(node.outputs[0].shape, (1, *states.shape[1:])):
        return None
    key = layer.outputs[0]._id
    if plan.place.get(lengths._id, -1) > plan.place[key]:
        return None  # they depend on what comes after the layer
    facts = plan.facts.setdefault(key, {})
    if facts.setdefault("lengths", lengths)._id != lengths._id:
        return None
    return _reads(layer, "Y_h" if which == "h" else "Y_c", states)


def _layer(plan: Plan, node: GraphNode) -> Fused | None:
    """The layer, with the product that makes its first operand."""
    if node.op not in KINDS:
        return None
    facts: dict[str, Any] = dict(plan.facts.get(node.outputs[0]._id, {}))
    given = node.inputs[0]
    bias: Any = None
    added = plan.made_by(given, "add")
    if added is not None:
        for i in (0, 1):
            other = added.inputs[1 - i]
            vector = isinstance(other, GraphValue) and len(other.shape) == 1
            if vector and plan.made_by(added.inputs[i], "matmul"):
                given, bias = added.inputs[i], other
                break
    product = plan.made_by(given, "matmul")
    weight = turned_weight(plan, product.inputs[1]) if product else None
    if product is not None and weight is not None and len(product.inputs[0].shape) == 3:
        facts.update(x=product.inputs[0], weight=weight, bias=bias)
        reads = [product.inputs[0], *node.inputs[1:]]
    else:
        facts.update(x=node.inputs[0], weight=None, bias=None)
        reads = list(node.inputs)
    for value in (weight, bias):
        if facts["weight"] is not None and value is not None and known(plan, value) is None:
            reads.append(value)
    # Weights that are known now need nobody to write them.
    weights = 2 if node.op == "gru_sequence" else 1
    reads = [v for k, v in enumerate(reads) if not 0 < k <= weights or known(plan, v) is None]
    if "lengths" in facts:
        reads.append(facts["lengths"])
    return Fused(_write, reads, facts)


PATTERNS = [_at_lengths, _slices, _layer]

# ---------------------------------------------------------------- values known now


def known(plan: Plan, value: GraphValue) -> Any:
    """The array that a value always is, when it is made of parameters and constants by the few
    operations that layers do with their weights; else None."""
    if plan.stands(value):
        return plan.tensors[value.name].detach().numpy()
    node = plan.maker.get(value._id)
    if node is None or node.op not in ("add", "slice", "concat", "full", "permute", "reshape"):
        return None
    if node.op == "full":
        number, shape = node.inputs[0], node.outputs[0].shape
        if isinstance(number, int | float) and all(isinstance(s, int) for s in shape):
            return np.full(shape, number, numpy_dtype(value.dtype.name))
        return None
    parts = [known(plan, v) if isinstance(v, GraphValue) else v for v in node.inputs]
    if any(p is None or hasattr(p, "terms") or isinstance(p, OpenFloat) for p in parts):
        return None
    a = node.attributes
    if node.op == "add":
        return parts[0] + parts[1]
    if node.op == "concat":
        return np.concatenate(parts, a["axis"])
    if node.op == "permute":
        return parts[0].transpose(a["axes"])
    if node.op == "reshape":
        shape = node.outputs[0].shape
        return parts[0].reshape(shape) if all(isinstance(s, int) for s in shape) else None
    places = tuple(
        slice(s, s + n * t if s + n * t >= 0 else None, t)
        for s, n, t in zip(parts[1:], a["sizes"], a["steps"], strict=True)
    )
    return parts[0][places]


class _Weights:
    """Weights in ONNX's order of gates: arrays where they are known, else names of nodes."""

    def __init__(self, c: Call, kind: str, hidden: int) -> None:
        self.c, self.order, self.hidden = c, ORDER[kind], hidden

    def _get(self, value: Any) -> Any:
        if isinstance(value, GraphValue):
            array = known(self.c.plan, value)
            return self.c.b.name(value) if array is None else array
        return value

    def ordered(self, value: Any) -> Any:
        found = self._get(value)
        if isinstance(found, str):
            if len(self.order) == 1:
                return found
            n = len(self.order)
            parts = self.c.op("Split", found, outputs=n, axis=0, num_outputs=n)
            return self.c.op("Concat", *(parts[k] for k in self.order), axis=0)
        h = self.hidden
        return np.concatenate([found[k * h : (k + 1) * h] for k in self.order])

    def joined(self, parts: Sequence[Any]) -> Any:
        """Biases one behind the other."""
        if any(isinstance(p, str) for p in parts):
            dtype = self.c.dtype()
            names = [p if isinstance(p, str) else self.c.const(p, dtype) for p in parts]
            return self.c.op("Concat", *names, axis=0)
        return np.concatenate(parts)

    def write(self, found: Any, name: str) -> str:
        """With the dimension for directions in front."""
        if isinstance(found, str):
            return self.c.b.unsqueeze(found, 0)
        return self.c.b.initializer(name, found[None])


# ---------------------------------------------------------------- writing


def _write(c: Call, f: Fused) -> tuple[str, ...]:
    kind = KINDS[c.node.op]
    facts, plan = f.facts, c.plan
    hidden = c.shape(1)[1]
    gates = len(ORDER[kind])
    dtype = numpy_dtype(c.dtype())
    w = _Weights(c, kind, hidden)
    source = facts["weight"]
    label = f"{c.b.module}." if c.b.module else ""
    base = source.name if source is not None and plan.stands(source) else f"{label}W"
    state = c.value(1)
    rbase = state.name if plan.stands(state) else f"{label}R"

    weight: Any = source
    if weight is None:  # the gates' inputs come from somewhere else: they go through unchanged
        weight = np.eye(gates * hidden, dtype=dtype)
    zeros = np.zeros(gates * hidden, dtype)
    input_bias = w.ordered(facts["bias"] if facts["bias"] is not None else zeros)
    recurrent_bias: Any = zeros
    if kind == "GRU":
        candidate = w._get(c.value(2))
        recurrent_bias = w.joined([zeros[: 2 * hidden], candidate])
    bias = w.joined([input_bias, recurrent_bias])

    lengths = ""
    if "lengths" in facts:
        name = c.b.name(facts["lengths"])
        same = facts["lengths"].dtype.name == "int32"
        lengths = name if same else c.cast(name, "int32")
    at = 3 if kind == "GRU" else 2
    h0 = c0 = ""
    if c.attr("initial"):
        h0 = c.b.unsqueeze(c.x(at), 0)
        if kind == "LSTM":
            c0 = c.b.unsqueeze(c.x(at + 1), 0)
    more: dict[str, Any] = {}
    if kind == "GRU":
        more["linear_before_reset"] = 1
    if kind == "RNN":
        more["activations"] = ["Relu" if c.attr("cell") == 1 else "Tanh"]
    if c.attr("reverse"):
        more["direction"] = "reverse"
    given = [
        c.b.name(facts["x"]),
        w.write(w.ordered(weight), f"{base}.{kind}.W"),
        w.write(w.ordered(c.value(1)), f"{rbase}.{kind}.R"),
        w.write(bias, f"{base}.{kind}.B"),
        lengths,
        h0,
    ]
    count = 3 if kind == "LSTM" else 2
    if kind == "LSTM":
        given.append(c0)
    results = c.op(kind, *given, outputs=count, hidden_size=hidden, **more)
    made = dict(zip(("Y", "Y_h", "Y_c"), results, strict=False))
    c.b.recurrent[c.node.outputs[0]._id] = made

    states = STATES[kind]
    names = []
    for k, value in enumerate(c.node.outputs):
        names.append("")
        if states.get(k) == "h":
            c.b.lazy[value._id] = lambda: _all_states(c, made, h0)
        else:
            what = "cells of all steps" if states.get(k) == "c" else "gates of each step"
            c.b.lazy[value._id] = _refusal(c, kind, what)
    return tuple(names)


def _all_states(c: Call, made: dict[str, str], h0: str) -> str:
    """The initial state and those of all steps, as they stand here."""
    y = c.b.squeeze(made["Y"], 1)
    if not h0:
        batch, hidden = c.node.outputs[0].shape[1], c.shape(1)[1]
        h0 = c.op("Expand", c.const(0.0, c.dtype()), c.b.sizes([1, batch, hidden]))
    return str(c.op("Concat", *([y, h0] if c.attr("reverse") else [h0, y]), axis=0))


def _refusal(c: Call, kind: str, what: str) -> Any:
    def refuse() -> str:
        raise c.cannot(
            f"the {what} are read, which ONNX's {kind} does not give (a gradient reads them); "
            "export the model without its gradient, or step by step with the cell's layer"
        )

    return refuse


@rule("rnn_sequence", "lstm_sequence", "gru_sequence")
def _sequence(c: Call) -> Any:
    raise AssertionError("a pattern writes every recurrent layer")


without(
    "ONNX has no gradient of a recurrent layer; export the model without its gradient",
    "rnn_sequence_grad", "lstm_sequence_grad", "gru_sequence_grad",
)  # fmt: skip
