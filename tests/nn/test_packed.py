"""Packed and padded sequences, alone and through recurrent layers, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn
from sennit.nn.utils import rnn

SORTED, MIXED = [6, 4, 4, 1], [2, 5, 1, 5, 3]


def same(ours: Any, theirs: Any) -> None:
    assert (ours is None) == (theirs is None)
    if ours is not None:
        np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())


@pytest.mark.oracle
@pytest.mark.parametrize("lengths", [SORTED, MIXED, [3], [1, 1]])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("tail", [(), (3,), (2, 3)])
def test_packing_is_that_of_pytorch(torch, lengths, batch_first, tail) -> None:
    other = torch.nn.utils.rnn
    shape = (len(lengths), 7) if batch_first else (7, len(lengths))
    x = np.random.default_rng(0).standard_normal((*shape, *tail)).astype(np.float32)
    in_order = lengths == sorted(lengths, reverse=True)
    for sort in {False, in_order}:
        ours = rnn.pack_padded_sequence(sn.asarray(x), lengths, batch_first, sort)
        theirs = other.pack_padded_sequence(torch.tensor(x), lengths, batch_first, sort)
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)
        for options in ({}, {"padding_value": 2.5, "total_length": 9}):
            padded = rnn.pad_packed_sequence(ours, batch_first, **options)
            want = other.pad_packed_sequence(theirs, batch_first, **options)
            for a, b in zip(padded, want, strict=True):
                same(a, b)


@pytest.mark.oracle
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_padding_is_that_of_pytorch(torch, side, batch_first) -> None:
    other = torch.nn.utils.rnn
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((n, 3)) for n in MIXED]
    ours, theirs = [sn.asarray(a) for a in arrays], [torch.tensor(a) for a in arrays]
    same(
        rnn.pad_sequence(ours, batch_first, 1.5, side),
        other.pad_sequence(theirs, batch_first, 1.5, side),
    )
    packed = rnn.pack_sequence(ours, enforce_sorted=False)
    same(packed.data, other.pack_sequence(theirs, enforce_sorted=False).data)
    for a, b in zip(rnn.unpack_sequence(packed), arrays, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)


@pytest.mark.oracle
@pytest.mark.parametrize("lengths", [SORTED, MIXED])
@pytest.mark.parametrize("given", [False, True], ids=["from zeros", "with states"])
@pytest.mark.parametrize(
    ("kind", "kwargs"),
    [
        ("RNN", {"bidirectional": True}),
        ("GRU", {"num_layers": 2, "bidirectional": True}),
        ("LSTM", {"num_layers": 2}),
        ("LSTM", {"bidirectional": True}),
        ("LSTM", {"num_layers": 2, "bidirectional": True, "proj_size": 3}),
    ],
)
def test_layers_of_packed_sequences_are_those_of_pytorch(torch, kind, kwargs, given, lengths):
    rng = np.random.default_rng(3)
    torch.manual_seed(1)
    theirs = getattr(torch.nn, kind)(4, 5, **kwargs, dtype=torch.float64)
    ours = getattr(nn, kind)(4, 5, **kwargs, dtype=sn.float64)
    ours.load_state_dict({k: sn.asarray(v.numpy()) for k, v in theirs.state_dict().items()})
    batch, steps = len(lengths), max(lengths)
    count = kwargs.get("num_layers", 1) * (2 if kwargs.get("bidirectional") else 1)
    shapes = [(steps, batch, 4)]
    if given:
        shapes.append((count, batch, kwargs.get("proj_size", 5)))
        shapes += [(count, batch, 5)] * (kind == "LSTM")
    arrays = [rng.standard_normal(s) for s in shapes]
    leaves = [sn.asarray(a).requires_grad_(True) for a in arrays]
    peers = [torch.tensor(a, requires_grad=True) for a in arrays]

    def run(library: Any, layer: Any, xs: list[Any]) -> list[Any]:
        packed = library.pack_padded_sequence(xs[0], lengths, enforce_sorted=False)
        hx = tuple(xs[1:]) if len(xs) > 2 else xs[1] if len(xs) > 1 else None
        y, last = layer(packed, hx)
        padded, _ = library.pad_packed_sequence(y)
        return [padded, *(last if isinstance(last, tuple) else [last])]

    results, wanted = run(rnn, ours, leaves), run(torch.nn.utils.rnn, theirs, peers)
    for a, b in zip(results, wanted, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=0, atol=1e-12)
    seeds = [rng.standard_normal(tuple(b.shape)) for b in wanted]
    torch.autograd.backward(wanted, [torch.tensor(s) for s in seeds])
    parameters = list(ours.parameters())
    found = sn.gradients(results, [*leaves, *parameters], [sn.asarray(s) for s in seeds])
    for a, b in zip(found, [*peers, *theirs.parameters()], strict=True):
        np.testing.assert_allclose(a.numpy(), b.grad.numpy(), rtol=0, atol=1e-11)


def test_errors_say_what_is_required() -> None:
    x = sn.ones((5, 2, 3))
    with pytest.raises(sn.InvalidValue, match=r"lengths are \[2, 5\]; they must descend"):
        rnn.pack_padded_sequence(x, [2, 5])
    with pytest.raises(sn.InvalidValue, match=r"between 1 and 5, is required"):
        rnn.pack_padded_sequence(x, [6, 2])
    with pytest.raises(sn.InvalidValue, match=r"between 1 and 5"):
        rnn.pack_padded_sequence(x, [3, 0])
    with pytest.raises(sn.InvalidValue, match=r"lengths is \[1.5, 1.0\]; integers"):
        rnn.pack_padded_sequence(x, [1.5, 1.0])
    packed = rnn.pack_padded_sequence(x, [5, 2])
    with pytest.raises(sn.InvalidValue, match=r"total_length is 3; the longest"):
        rnn.pad_packed_sequence(packed, total_length=3)
    with pytest.raises(sn.ShapeError, match=r"the packed input has shape \(7, 3\)"):
        nn.GRU(4, 5)(packed)
    with pytest.raises(sn.InvalidValue, match=r"padding_side='top'"):
        rnn.pad_sequence([x], padding_side="top")
    with pytest.raises(sn.InvalidValue, match=r"lengths .* are given with reverse=True"):
        w = sn.ones((4, 3)), sn.ones((4, 4))
        sn.rnn_sequence(x, *w, reverse=True, lengths=sn.tensor([1, 2]))
