"""From a graph of a file to steps that can be run: everything that can be wrong is found here.

Operators that the table lacks but that ONNX defines by a function of other operators are run as
that function; functions of the model are run in place. What neither has is an error at once, with
the operator, the node and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from .._errors import error
from ._model import DEFAULT_DOMAINS, Source, UnsupportedOp, bad, onnx_package
from ._registry import Record, table

_MAX_STEPS = 250_000  # of a model with all its functions written out
_MAX_DEPTH = 64  # of functions that call functions

# Attributes of versions before 7 that say nothing about the result of inference.
_WITHDRAWN = ("consumed_inputs", "is_test")


@dataclass
class Step:
    """One node, ready to run."""

    op: str
    domain: str
    name: str
    version: int
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    record: Record | None = None
    body: Block | None = None  # a function of the model
    schema: Any = None  # of an operator that ONNX defines by a function
    node: Any = None  # for an operator that is run as the standard's function
    opset: int = 0
    dead: list[str] = field(default_factory=list)  # names that nothing reads afterwards
    cache: dict[Any, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How errors name the node."""
        return f"{self.op} node '{self.name}'"


@dataclass
class Block:
    """A graph or the body of a function: steps in an order in which they can run."""

    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    constants: dict[str, str] = field(default_factory=dict)  # name here: name of the array
    captured: set[str] = field(default_factory=set)  # names of enclosing graphs that it reads
    types: dict[str, Any] = field(default_factory=dict)  # of inputs, as the file declares them
    declared: dict[str, Any] = field(default_factory=dict)  # ... of outputs
    missing: set[str] = field(default_factory=set)  # outputs that a function leaves out


def _copy(message: Any) -> Any:
    """A message of its own: a part of another one would keep all of it, with its weights."""
    made = type(message)()
    made.CopyFrom(message)
    return made


def reads_of(step: Step) -> set[str]:
    """The names that a step reads, with those of its blocks."""
    used = {name for name in step.inputs if name}
    for value in step.attributes.values():
        if isinstance(value, Block):
            used |= value.captured
    return used


class Compiler:
    """Turns the graphs of one model into blocks."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.onnx = onnx_package()
        self.ops = table()
        self.arrays: dict[str, Any] = {}  # constants by unique names
        self.initialisers: set[str] = set()
        self.functions = {
            (self._domain(f.domain), f.name, getattr(f, "overload", "")): f
            for f in source.model.functions
        }
        self.steps = 0
        self.costs: dict[Any, int] = {}

    @staticmethod
    def _domain(domain: str) -> str:
        return "" if domain in DEFAULT_DOMAINS else domain

    # ------------------------------------------------------------ graphs

    def graph(self, graph: Any, opsets: dict[str, int], outer: frozenset[str]) -> Block:
        """A graph of the model, or one that a node holds; `outer` are the names around it."""
        block = Block()
        for tensor in graph.initializer:
            if not tensor.name:
                raise bad(f"graph '{graph.name}' has an initialiser without a name")
            self._constant(block, tensor.name, self.source.array(tensor, "initialiser"), True)
        for sparse in graph.sparse_initializer:
            self._constant(block, sparse.values.name, self.source.dense(sparse), True)
        for value in graph.input:
            if value.name in block.types:
                raise bad(f"graph '{graph.name}' has two inputs named {value.name!r}")
            self._check_type(value.type, value.name)
            block.inputs.append(value.name)
            block.types[value.name] = _copy(value.type)
        block.outputs = [value.name for value in graph.output]
        block.declared = {value.name: _copy(value.type) for value in graph.output}
        self._nodes(block, graph.node, opsets, outer, {}, f"graph '{graph.name}'")
        return block

    def _check_type(self, declared: Any, name: str) -> None:
        """Fails when a declared type is none of ONNX's."""
        kind = declared.WhichOneof("value")
        if kind in ("tensor_type", "sparse_tensor_type"):
            number = getattr(declared, kind).elem_type
            if number not in self.onnx.TensorProto.DataType.values():
                raise bad(
                    f"the input {name!r} has the data type {number}, which ONNX does not have"
                )
        elif kind in ("sequence_type", "optional_type"):
            self._check_type(getattr(declared, kind).elem_type, name)

    def function(
        self, function: Any, attributes: dict[str, Any], opsets: dict[str, int] | None = None
    ) -> Block:
        """The body of a function, with the attributes of the node that calls it."""
        block = Block(inputs=list(function.input), outputs=list(function.output))
        given = {a.name: a for a in function.attribute_proto}
        given.update(attributes)
        own = {self._domain(entry.domain): int(entry.version) for entry in function.opset_import}
        versions = {**(opsets or self.source.opsets), **own}
        where = f"function '{function.name}'"
        self._nodes(block, function.node, versions, frozenset(), given, where, True)
        if block.captured:
            raise bad(f"{where} reads {sorted(block.captured)[0]!r}, which is not defined in it")
        return block

    def _too_many(self) -> Exception:
        return bad(
            f"{self.source.name}: has more than {_MAX_STEPS:,} nodes, functions written out",
            "split the model",
        )

    def _constant(self, block: Block, name: str, array: Any, initialiser: bool) -> None:
        if name in block.constants:
            raise bad(f"two values are named {name!r}")
        unique, k = name, 0
        while unique in self.arrays:
            k += 1
            unique = f"{name}_{k}"
        self.arrays[unique] = array
        if initialiser:
            self.initialisers.add(unique)
        block.constants[name] = unique

    def _nodes(
        self,
        block: Block,
        nodes: Any,
        opsets: dict[str, int],
        outer: frozenset[str],
        references: dict[str, Any],
        where: str,
        optional: bool = False,
    ) -> None:
        made = set(block.inputs) | set(block.constants)
        later = {name for node in nodes for name in node.output}
        reads: list[set[str]] = []
        for index, node in enumerate(nodes):
            self.steps += 1
            if self.steps > _MAX_STEPS:
                raise self._too_many()
            name = node.name or next((o for o in node.output if o), f"#{index}")
            label = f"{node.op_type} node '{name}'"
            for read in node.input:
                if read and read not in made and read not in outer:
                    if read in later:
                        raise bad(
                            f"{label} of {where} reads {read!r}, which it or a later node makes: "
                            "the graph has a cycle, or its nodes are not sorted"
                        )
                    raise bad(f"{label} of {where} reads {read!r}, which nothing makes")
            for out in node.output:
                if out and out in made:
                    raise bad(f"{label} of {where} makes {out!r}, which is there already")
            holds = any(a.HasField("g") for a in node.attribute)
            visible = frozenset(outer | made) if holds else outer
            step = self._step(block, node, name, opsets, visible, references)
            made.update(o for o in node.output if o)
            if step is None:
                continue
            if step.record is not None and "block" in step.record.attributes:  # Gradient
                step.attributes["block"] = self.derived(block, step)
            used = reads_of(step)
            block.captured |= used - made
            reads.append(used)
            block.steps.append(step)
        for name in block.outputs:
            if name not in made:
                if name not in outer:
                    if optional:
                        block.missing.add(name)
                        continue
                    raise bad(f"{where} returns {name!r}, which nothing makes")
                block.captured.add(name)
        kept = set(block.outputs)
        for step, used in zip(reversed(block.steps), reversed(reads), strict=True):
            mine = (used | {o for o in step.outputs if o}) - kept - block.captured
            step.dead = [n for n in mine if n not in block.constants]
            kept |= mine

    def derived(self, block: Block, step: Step) -> Block:
        """For a `Gradient`: the steps so far that make its y from its xs and zs, as a block whose
        inputs these are. What else they read is seen from the graph around."""
        inputs = [*step.attributes["xs"], *step.attributes.get("zs", ())]
        y = step.attributes["y"]
        names = len(set(inputs)) if step.attributes["xs"] else 0
        if not names == len(inputs) == len(step.inputs):
            raise bad(
                f"{step.label} has {len(step.inputs)} inputs for the values {inputs}; required "
                "is one for each name in xs and zs, which differ; xs has one at least"
            )
        wanted, chosen = {y}, []
        for earlier in reversed(block.steps):
            made = set(earlier.outputs) - {"", *inputs}
            if not made & wanted:
                continue
            wanted = wanted - made | reads_of(earlier) - set(inputs)
            outputs = ["" if name in inputs else name for name in earlier.outputs]
            chosen.append(replace(earlier, outputs=outputs, dead=[]))
        if not chosen:
            raise bad(f"{step.label} differentiates {y!r}, which no node before it makes")
        steps = chosen[::-1]
        return Block(inputs=inputs, outputs=[y], steps=steps, captured=wanted)

    # ------------------------------------------------------------ nodes

    def _cost(self, key: tuple[str, str, str], above: tuple[Any, ...] = ()) -> int:
        """How many nodes a function of the model has with all that it calls written out."""
        if key in above:
            raise bad(f"the function '{key[1]}' calls itself")
        if len(above) >= _MAX_DEPTH:
            raise bad(f"the function '{key[1]}' is nested more than {_MAX_DEPTH} deep")
        if key not in self.costs:
            self.costs[key] = self._count(self.functions[key].node, (*above, key))
        return self.costs[key]

    def _count(self, nodes: Any, above: tuple[Any, ...]) -> int:
        total = 0
        for node in nodes:
            key = (self._domain(node.domain), node.op_type, getattr(node, "overload", ""))
            total += 1 + (self._cost(key, above) if key in self.functions else 0)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    total += self._count(attribute.g.node, above)
        return total

    def _step(
        self,
        block: Block,
        node: Any,
        name: str,
        opsets: dict[str, int],
        visible: frozenset[str],
        references: dict[str, Any],
    ) -> Step | None:
        domain = self._domain(node.domain)
        label = f"{node.op_type} node '{name}'"
        protos: dict[str, Any] = {}
        for attribute in node.attribute:
            proto = attribute
            if attribute.ref_attr_name:
                if attribute.ref_attr_name not in references:
                    continue  # the attribute is left out, as in the call
                proto = type(attribute)()
                proto.CopyFrom(references[attribute.ref_attr_name])
                proto.name = attribute.name
            if proto.name in protos:
                raise bad(f"{label} has the attribute '{proto.name}' twice")
            protos[proto.name] = proto
        if any(a.ref_attr_name for a in node.attribute):
            resolved = type(node)()
            resolved.CopyFrom(node)
            del resolved.attribute[:]
            resolved.attribute.extend(protos.values())
            node = resolved
        key = (domain, node.op_type, getattr(node, "overload", ""))
        step = Step(node.op_type, domain, name, 0, list(node.input), list(node.output), {})
        if key in self.functions:
            if self.steps + self._cost(key) > _MAX_STEPS:
                raise self._too_many()
            function = self.functions[key]
            if len(node.input) > len(function.input) or len(node.output) > len(function.output):
                raise bad(f"{label} has more inputs or outputs than the function that it calls")
            step.body = self.function(function, protos, opsets)
            return step
        step.opset = opsets.get(domain, 0)
        if not any(a.HasField("g") for a in node.attribute):
            step.node = _copy(node)
        self._check(step, protos, label, opsets)
        if (
            node.op_type == "Constant"
            and not domain
            and len(node.output) == 1
            and list(protos) in (["value"], ["sparse_value"])
        ):
            self._constant_node(block, node, protos)
            return None
        step.attributes = {
            key: self._attribute(proto, opsets, visible, label) for key, proto in protos.items()
        }
        return step

    def _constant_node(self, block: Block, node: Any, protos: dict[str, Any]) -> None:
        if "value" in protos:
            array = self.source.array(protos["value"].t, f"constant '{node.output[0]}'")
        else:
            array = self.source.dense(protos["sparse_value"].sparse_tensor)
        self._constant(block, node.output[0], array, False)

    def _check(
        self, step: Step, protos: dict[str, Any], label: str, opsets: dict[str, int]
    ) -> None:
        """Finds what runs the node, and checks it against the standard's schema."""
        defs = self.onnx.defs
        if step.domain not in opsets:
            raise bad(f"{label} is of the domain '{step.domain}', which the model does not import")
        if step.domain and not step.domain.startswith("ai.onnx.preview"):
            raise self._unsupported(
                label,
                f"it belongs to the domain '{step.domain}', and Sennit runs operators of the "
                "default domain and functions of the model",
            )
        try:
            schema = defs.get_schema(step.op, step.opset, step.domain)
        except defs.SchemaError as cause:
            raise self._unsupported(
                label, f"version {step.opset} of ONNX has no operator '{step.op}'"
            ) from cause
        if schema.deprecated:
            raise self._unsupported(label, f"'{step.op}' was withdrawn in version {step.opset}")
        step.version = int(schema.since_version)
        for given, least, most, what in (
            (step.inputs, schema.min_input, schema.max_input, "inputs"),
            (step.outputs, schema.min_output, schema.max_output, "outputs"),
        ):
            if not least <= len(given) <= most:
                raise bad(f"{label} has {len(given)} {what}; {least} to {most} are required")
        for position, formal in enumerate(schema.inputs):
            single = formal.option == defs.OpSchema.FormalParameterOption.Single
            if single and (position >= len(step.inputs) or not step.inputs[position]):
                raise bad(f"{label} lacks the input '{formal.name}'")
        for name, proto in protos.items():
            if name not in schema.attributes:
                raise bad(f"{label} has the attribute '{name}', which the operator does not have")
            wanted = schema.attributes[name].type
            if int(wanted.value) != int(proto.type):
                raise bad(f"{label} has the attribute '{name}' as another type than {wanted.name}")
        for name, attribute in schema.attributes.items():
            if attribute.required and name not in protos:
                raise bad(f"{label} lacks the attribute '{name}'")
        record = self.ops.get((step.domain, step.op))
        if record is not None:
            for name in _WITHDRAWN:
                if name not in record.attributes:
                    protos.pop(name, None)
            if record.why:
                raise self._unsupported(label, record.why)
            unknown = [n for n in protos if n not in record.attributes]
            if unknown and not record.any_attributes:
                raise self._unsupported(label, f"Sennit does not know its attribute '{unknown[0]}'")
            step.record = record
            return
        if schema.has_function or schema.has_context_dependent_function:
            step.schema = schema
            return
        raise self._unsupported(label, "Sennit has no such operation")

    def _unsupported(self, label: str, why: str) -> Exception:
        return error(
            UnsupportedOp,
            "onnx",
            f"{self.source.name}: {label} cannot be run: {why}; replace it in the model (export "
            "with another opset, or as a function of supported operators: docs/onnx.md)",
        )

    def _attribute(
        self, proto: Any, opsets: dict[str, int], visible: frozenset[str], label: str
    ) -> Any:
        kinds = self.onnx.AttributeProto
        kind = proto.type
        if kind == kinds.INT:
            return int(proto.i)
        if kind == kinds.FLOAT:
            return float(proto.f)
        if kind == kinds.STRING:
            return proto.s.decode("utf-8", "replace")
        if kind == kinds.INTS:
            return [int(x) for x in proto.ints]
        if kind == kinds.FLOATS:
            return [float(x) for x in proto.floats]
        if kind == kinds.STRINGS:
            return [x.decode("utf-8", "replace") for x in proto.strings]
        if kind == kinds.TENSOR:
            return self.source.array(proto.t, f"attribute '{proto.name}' of {label}")
        if kind == kinds.SPARSE_TENSOR:
            return self.source.dense(proto.sparse_tensor)
        if kind == kinds.GRAPH:
            return self.graph(proto.g, opsets, visible)
        if kind == kinds.TYPE_PROTO:
            return proto.tp
        raise bad(f"{label} has the attribute '{proto.name}' of a type that cannot be read")
