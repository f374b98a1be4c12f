"""Batch normalisation folded into the convolution before it: fewer operations, other bits."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ._compile import Block, Compiler, Step

_SCALED = ("Conv", "ConvTranspose")


def fold_batch_norm(block: Block, compiler: Compiler) -> None:
    """Scales the weights of convolutions by what follows them, where all of it is constant."""
    uses = Counter(name for step in block.steps for name in step.inputs if name)
    uses.update(block.outputs)
    made = {step.outputs[0]: step for step in block.steps if step.op in _SCALED and not step.domain}
    kept: list[Step] = []
    for step in block.steps:
        before = made.get(step.inputs[0]) if step.inputs else None
        if before is None or uses[step.inputs[0]] != 1 or not _foldable(block, before, step):
            kept.append(step)
            continue
        _fold(block, compiler, before, step)
        made[before.outputs[0]] = before
    block.steps = kept


def _foldable(block: Block, conv: Step, norm: Step) -> bool:
    return (
        norm.op == "BatchNormalization"
        and not norm.domain
        and len([o for o in norm.outputs if o]) == 1
        and not norm.attributes.get("training_mode")
        and all(n in block.constants for n in [*norm.inputs[1:5], *filter(None, conv.inputs[1:])])
    )


def _fold(block: Block, compiler: Compiler, conv: Step, norm: Step) -> None:
    import numpy as np

    def array(name: str) -> Any:
        return compiler.arrays[block.constants[name]].astype(np.float64)

    scale, bias, mean, var = (array(n) for n in norm.inputs[1:5])
    factor = scale / np.sqrt(var + norm.attributes.get("epsilon", 1e-5))
    weight = array(conv.inputs[1])
    kind = compiler.arrays[block.constants[conv.inputs[1]]].dtype
    start = array(conv.inputs[2]) if len(conv.inputs) > 2 and conv.inputs[2] else 0.0
    if conv.op == "Conv":
        shape = (-1,) + (1,) * (weight.ndim - 1)
        scaled = weight * factor.reshape(shape)
    else:  # (in, out per group, ...), the groups one after the other along the inputs
        groups = conv.attributes.get("group", 1)
        parts = weight.reshape((groups, -1, *weight.shape[1:]))
        scaled = (parts * factor.reshape((groups, 1, -1) + (1,) * (weight.ndim - 2))).reshape(
            weight.shape
        )
    arrays = (scaled, (start - mean) * factor + bias)
    names = []
    for old, made in zip((conv.inputs[1], norm.inputs[2]), arrays, strict=True):
        name = f"{old}.folded"
        while name in compiler.arrays or name in block.constants:
            name += "_"
        compiler.arrays[name] = made.astype(kind)
        compiler.arrays[name].flags.writeable = False
        compiler.initialisers.add(name)
        block.constants[name] = name
        names.append(name)
    conv.dead = [n for n in conv.dead if n != norm.inputs[0]] + [
        n for n in norm.dead if n != norm.inputs[0]
    ]
    conv.inputs = [conv.inputs[0], *names]
    conv.outputs = [norm.outputs[0]]
