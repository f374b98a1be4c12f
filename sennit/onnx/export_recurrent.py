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

from .._graph_parts import GraphNode, GraphValue
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
        made = c.b.recurrent[key].get(which)
        return str(c.b.squeeze(made, 1)) if which == "Y" else made

    return Fused(write, [value], {"which": which})


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


def _source(plan: Plan, node: GraphNode) -> dict[str, Any]:
    """What goes into a layer, and the weight and the bias that it is multiplied with; without them
    where the first operand is no such product."""
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
        return {"x": product.inputs[0], "weight": weight, "bias": bias}
    return {"x": node.inputs[0], "weight": None, "bias": None}


def _operands(plan: Plan, node: GraphNode, source: dict[str, Any]) -> list[GraphValue]:
    """What a layer reads beside its input: its states, and weights that are not known now."""
    weights = 2 if node.op == "gru_sequence" else 1
    found = [v for v in (source["weight"], source["bias"]) if v is not None]
    found += node.inputs[1 : 1 + weights]
    return [v for v in found if known(plan, v) is None] + list(node.inputs[1 + weights :])


def _layer(plan: Plan, node: GraphNode) -> Fused | None:
    """The layer, with the product that makes its first operand."""
    if node.op not in KINDS:
        return None
    source = _source(plan, node)
    facts = {**plan.facts.get(node.outputs[0]._id, {}), **source}
    reads = [source["x"], *_operands(plan, node, source)]
    if "lengths" in facts:
        reads.append(facts["lengths"])
    return Fused(_write, reads, facts)


def _both(plan: Plan, node: GraphNode) -> Fused | None:
    """All steps of a layer in both directions, side by side: one node writes both."""
    if node.op != "concat" or node.attributes["axis"] != 2 or len(node.inputs) != 2:
        return None
    layers = []
    for value in node.inputs:
        part = plan.made_by(value, "slice")
        found = _states_of(plan, part.inputs[0]) if part else None
        fused = _slices(plan, part) if part is not None and found is not None else None
        if found is None or fused is None or fused.facts.get("which") != "Y":
            return None
        layers.append(found[0])
    first, second = layers
    if first.op != second.op or [n.attributes["reverse"] for n in layers] != [False, True]:
        return None
    keys = [n.outputs[0]._id for n in layers]
    if any(plan.facts.get(k) for k in keys) or first.attributes != {
        **second.attributes, "reverse": False
    }:  # fmt: skip
        return None
    sources = [_source(plan, n) for n in layers]
    if sources[0]["x"]._id != sources[1]["x"]._id or None in (s["weight"] for s in sources):
        return None
    same = all(
        same_shape(a.shape, b.shape) for a, b in zip(first.inputs, second.inputs, strict=True)
    )
    # The second one is written with the first, so that what it reads has to be there by then.
    place = plan.place[keys[0]]
    needed = _operands(plan, second, sources[1])
    if not same or any(plan.place.get(v._id, -1) > place for v in needed):
        return None
    plan.facts[keys[0]] = {"other": second}
    plan.facts[keys[1]] = {"written": keys[0]}

    def write(c: Call, _: Fused) -> str:
        y = c.op("Transpose", c.b.recurrent[keys[0]].names[0], perm=[0, 2, 1, 3])
        return str(c.op("Reshape", y, c.b.ints([0, 0, -1])))

    return Fused(write, [first.outputs[_place(first)], second.outputs[_place(second)]])


def _place(node: GraphNode) -> int:
    """Which result of a layer its states are."""
    return next(k for k, which in STATES[KINDS[node.op]].items() if which == "h")


PATTERNS = [_both, _at_lengths, _slices, _layer]

# ---------------------------------------------------------------- values known now


def known(plan: Plan, value: GraphValue) -> Any:
    """The array that a value always is, when it is made of parameters and constants by the few
    operations that layers do with their weights; else None."""
    if plan.stands(value):
        return plan.tensors[value.name].detach().to("cpu").numpy()
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

    def found(self, value: Any) -> Any:
        if isinstance(value, GraphValue):
            array = known(self.c.plan, value)
            return self.c.b.name(value) if array is None else array
        return value

    def ordered(self, value: Any) -> Any:
        found = self.found(value)
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


# ---------------------------------------------------------------- writing


class Results:
    """The results of a written layer, of one of its directions."""

    def __init__(self, builder: Any, names: Sequence[str], direction: int, count: int) -> None:
        self.builder, self.names = builder, names
        self.direction, self.count = direction, count
        self._made: dict[str, str] = {}

    def get(self, which: str) -> str:
        """ "Y", "Y_h" or "Y_c" with one direction."""
        name = self.names[("Y", "Y_h", "Y_c").index(which)]
        if self.count == 1:
            return name
        if which not in self._made:
            axis, d = (1 if which == "Y" else 0), self.direction
            self._made[which] = self.builder.slice(name, axis, d, d + 1)
        return self._made[which]


def _direction(c: Call, facts: dict[str, Any], kind: str) -> dict[str, Any]:
    """The operands of one direction: arrays, or names of what is computed when the model runs."""
    hidden, gates = c.shape(1)[1], len(ORDER[kind])
    dtype = numpy_dtype(c.dtype())
    w = _Weights(c, kind, hidden)
    weight: Any = facts["weight"]
    if weight is None:  # the gates' inputs come from somewhere else: they go through unchanged
        weight = np.eye(gates * hidden, dtype=dtype)
    zeros = np.zeros(gates * hidden, dtype)
    input_bias = w.ordered(facts["bias"] if facts["bias"] is not None else zeros)
    recurrent_bias: Any = zeros
    if kind == "GRU":
        recurrent_bias = w.joined([zeros[: 2 * hidden], w.found(c.value(2))])
    made = {
        "W": w.ordered(weight),
        "R": w.ordered(c.value(1)),
        "B": w.joined([input_bias, recurrent_bias]),
    }
    at = 3 if kind == "GRU" else 2
    for k, name in enumerate(("h0", "c0") if kind == "LSTM" else ("h0",)):
        if c.attr("initial"):
            made[name] = c.b.unsqueeze(c.x(at + k), 0)
    return made


def _stacked(c: Call, parts: Sequence[Any], name: str) -> str:
    """Operands of all directions, with the dimension for directions in front."""
    if not any(isinstance(p, str) for p in parts):
        return c.b.initializer(name, np.stack(parts))
    names = [
        c.b.unsqueeze(p, 0) if isinstance(p, str) else c.const(p[None], c.dtype()) for p in parts
    ]
    return names[0] if len(names) == 1 else str(c.op("Concat", *names, axis=0))


def _write(c: Call, f: Fused) -> tuple[str, ...]:
    kind, facts, plan = KINDS[c.node.op], f.facts, c.plan
    if "written" in facts:
        made = c.b.recurrent[facts["written"]]
        results = Results(c.b, made.names, 1, 2)
        return _register(c, kind, results, c.b.reverse_states.get(facts["written"], ""))
    source, state = facts["weight"], c.value(1)
    label = f"{c.b.module}." if c.b.module else ""
    base = source.name if source is not None and plan.stands(source) else f"{label}W"
    rbase = state.name if plan.stands(state) else f"{label}R"
    directions = [_direction(c, facts, kind)]
    if "other" in facts:
        other = Call(c.b, facts["other"], plan)
        directions.append(_direction(other, _source(plan, facts["other"]), kind))
    lengths = ""
    if "lengths" in facts:
        name = c.b.name(facts["lengths"])
        lengths = name if facts["lengths"].dtype.name == "int32" else c.cast(name, "int32")

    def initial(name: str) -> str:
        given = [d[name] for d in directions if name in d]
        if len(given) < 2:
            return given[0] if given else ""
        return str(c.op("Concat", *given, axis=0))

    more: dict[str, Any] = {}
    if kind == "GRU":
        more["linear_before_reset"] = 1
    if kind == "RNN":
        activation = "Relu" if c.attr("cell") == 1 else "Tanh"
        more["activations"] = [activation] * len(directions)
    if len(directions) == 2:
        more["direction"] = "bidirectional"
    elif c.attr("reverse"):
        more["direction"] = "reverse"
    given = [
        c.b.name(facts["x"]),
        _stacked(c, [d["W"] for d in directions], f"{base}.{kind}.W"),
        _stacked(c, [d["R"] for d in directions], f"{rbase}.{kind}.R"),
        _stacked(c, [d["B"] for d in directions], f"{base}.{kind}.B"),
        lengths,
        initial("h0"),
    ]
    if kind == "LSTM":
        given.append(initial("c0"))
    names = c.op(
        kind, *given, outputs=3 if kind == "LSTM" else 2, hidden_size=c.shape(1)[1], **more
    )
    key = c.node.outputs[0]._id
    if len(directions) == 2:
        c.b.reverse_states[key] = directions[1].get("h0", "")
    results = Results(c.b, names, 0, len(directions))
    return _register(c, kind, results, directions[0].get("h0", ""))


def _register(c: Call, kind: str, made: Results, h0: str) -> tuple[str, ...]:
    """Makes the results known to those who read them; others are written when somebody asks."""
    c.b.recurrent[c.node.outputs[0]._id] = made
    states = STATES[kind]
    for k, value in enumerate(c.node.outputs):
        if states.get(k) == "h":
            c.b.lazy[value._id] = lambda: _all_states(c, made, h0)
        else:
            what = "cells of all steps" if states.get(k) == "c" else "gates of each step"
            c.b.lazy[value._id] = _refusal(c, kind, what)
    return tuple("" for _ in c.node.outputs)


def _all_states(c: Call, made: Results, h0: str) -> str:
    """The initial state and those of all steps, as they stand here."""
    y = c.b.squeeze(made.get("Y"), 1)
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
