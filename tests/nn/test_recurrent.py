"""Recurrent layers against PyTorch with its parameters, and their errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn

# (layer, arguments, keyword arguments, shape of the input)
LAYERS: list[tuple[str, tuple[int, ...], dict[str, Any], tuple[int, ...]]] = [
    ("RNN", (4, 6), {}, (5, 3, 4)),
    ("RNN", (4, 6), {"nonlinearity": "relu", "num_layers": 2, "bias": False}, (5, 3, 4)),
    ("RNN", (3, 5), {"bidirectional": True, "batch_first": True}, (2, 7, 3)),
    ("LSTM", (4, 6), {}, (5, 3, 4)),
    ("LSTM", (4, 6), {"num_layers": 2, "bidirectional": True}, (5, 3, 4)),
    ("LSTM", (4, 6), {"num_layers": 3, "batch_first": True, "bias": False}, (3, 5, 4)),
    ("LSTM", (4, 6), {"num_layers": 2, "proj_size": 3}, (5, 3, 4)),
    ("LSTM", (4, 6), {"proj_size": 2, "bidirectional": True, "batch_first": True}, (3, 5, 4)),
    ("LSTM", (7, 33), {}, (1, 1, 7)),
    ("LSTM", (7, 33), {"bidirectional": True}, (9, 7)),
    ("LSTM", (5, 70), {"num_layers": 2}, (11, 37, 5)),
    ("GRU", (4, 6), {}, (5, 3, 4)),
    ("GRU", (4, 6), {"num_layers": 2, "bidirectional": True, "batch_first": True}, (3, 5, 4)),
    ("GRU", (4, 6), {"bias": False}, (5, 4)),
    ("GRU", (1, 17), {}, (2, 1, 1)),
    ("GRU", (5, 70), {"num_layers": 2}, (11, 37, 5)),
]
CELLS = [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("LSTMCell", {}), ("GRUCell", {})]
TOLERANCE = {"float32": 3e-6, "float64": 1e-12}


def near(ours: Any, theirs: Any, dtype: str, what: str) -> None:
    want = theirs.detach().numpy()
    room = TOLERANCE[dtype] * max(1.0, float(np.abs(want).max(initial=0)))
    assert ours.shape == want.shape, f"{what}: {ours.shape}, not {want.shape}"
    error = np.abs(ours.detach().numpy() - want).max(initial=0)
    assert error <= room, f"{what}: {error} off"


def flat(results: Any) -> list[Any]:
    """Tensors of a nest of tuples, in order."""
    if isinstance(results, (tuple, list)):
        return [t for r in results for t in flat(r)]
    return [results]


def as_bytes(x: Any) -> bytes:
    return np.asarray(x.detach().numpy()).tobytes()


def copies(torch: Any, kind: str, args: Any, kwargs: Any, dtype: str) -> tuple[Any, Any]:
    """The layer of both libraries with PyTorch's parameters."""
    torch.manual_seed(1)
    theirs = getattr(torch.nn, kind)(*args, **kwargs, dtype=getattr(torch, dtype))
    ours = getattr(nn, kind)(*args, **kwargs, dtype=getattr(sn, dtype))
    ours.load_state_dict({k: sn.asarray(v.numpy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


def compare(torch: Any, ours: Any, theirs: Any, x: Any, states: Any, dtype: str) -> None:
    """Results and all gradients of one call."""
    rng = np.random.default_rng(4)
    leaves = [sn.asarray(a).requires_grad_(True) for a in (x, *states)]
    peers = [torch.tensor(a, requires_grad=True) for a in (x, *states)]

    def call(layer: Any, given: list[Any]) -> list[Any]:
        hx = tuple(given[1:]) if len(given) > 2 else given[1] if len(given) > 1 else None
        return flat(layer(given[0], hx))

    results, wanted = call(ours, leaves), call(theirs, peers)
    assert len(results) == len(wanted)
    for i, (a, b) in enumerate(zip(results, wanted, strict=True)):
        near(a, b, dtype, f"result {i}")
    seeds = [rng.standard_normal(tuple(b.shape)).astype(dtype) for b in wanted]
    torch.autograd.backward(wanted, [torch.tensor(s) for s in seeds])
    loss = sum(
        ((a * sn.asarray(s)).sum() for a, s in zip(results, seeds, strict=True)), sn.zeros(())
    )
    loss.backward()
    for i, (a, b) in enumerate(zip(leaves, peers, strict=True)):
        near(a.grad, b.grad, dtype, f"gradient of argument {i}")
    named = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        near(p.grad, named[name].grad, dtype, f"gradient of {name}")


def state_shapes(kind: str, args: Any, kwargs: Any, shape: tuple[int, ...]) -> list[Any]:
    count = kwargs.get("num_layers", 1) * (2 if kwargs.get("bidirectional") else 1)
    batch = () if len(shape) == 2 else (shape[0 if kwargs.get("batch_first") else 1],)
    first = (count, *batch, kwargs.get("proj_size") or args[1])
    return [first, (count, *batch, args[1])] if kind == "LSTM" else [first]


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("given", [False, True], ids=["from zeros", "with states"])
@pytest.mark.parametrize(("kind", "args", "kwargs", "shape"), LAYERS)
def test_layers_are_those_of_pytorch(torch, kind, args, kwargs, shape, given, dtype) -> None:
    rng = np.random.default_rng(3)
    ours, theirs = copies(torch, kind, args, kwargs, dtype)
    assert repr(ours) == repr(theirs)
    shapes = state_shapes(kind, args, kwargs, shape) if given else []
    arrays = [rng.standard_normal(s).astype(dtype) for s in (shape, *shapes)]
    compare(torch, ours, theirs, arrays[0], arrays[1:], dtype)


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (1,), (5,)])
@pytest.mark.parametrize(("kind", "kwargs"), CELLS)
def test_cells_are_those_of_pytorch(torch, kind, kwargs, batch, bias, dtype) -> None:
    rng = np.random.default_rng(3)
    ours, theirs = copies(torch, kind, (4, 6), {**kwargs, "bias": bias}, dtype)
    assert repr(ours) == repr(theirs)
    states = [rng.standard_normal((*batch, 6)).astype(dtype)] * (2 if kind == "LSTMCell" else 1)
    x = rng.standard_normal((*batch, 4)).astype(dtype)
    compare(torch, ours, theirs, x, states, dtype)
    compare(torch, *copies(torch, kind, (4, 6), {**kwargs, "bias": bias}, dtype), x, [], dtype)


@pytest.mark.oracle
def test_state_dict_has_the_names_of_pytorch(torch) -> None:
    for kind, args, kwargs, _ in LAYERS:
        ours, theirs = copies(torch, kind, args, kwargs, "float32")
        want = {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
        assert {k: v.shape for k, v in ours.state_dict().items()} == want
        assert list(ours.state_dict()) == list(want)
        assert [len(w) for w in ours.all_weights] == [len(w) for w in theirs.all_weights]


def test_parameters_start_within_the_bound() -> None:
    sn.random.seed(0)
    layer = nn.LSTM(30, 64, num_layers=2, proj_size=16)
    for p in layer.parameters():
        values = np.abs(p.detach().numpy())
        assert 0.9 / 8 < values.max() <= 1 / 8
        assert 0.04 < values.mean() < 0.09


def test_dropout_acts_between_layers_in_training_only() -> None:
    sn.random.seed(0)
    x = sn.randn(6, 3, 4)
    layer = nn.GRU(4, 5, num_layers=2, dropout=0.5)
    plain = nn.GRU(4, 5, num_layers=2)
    plain.load_state_dict(layer.state_dict())
    want = plain(x)[0].detach().numpy()
    assert (layer.eval()(x)[0].detach().numpy() == want).all()
    assert (layer.train()(x)[0].detach().numpy() != want).any()
    # The last layer's output is whole: with everything dropped before it, it sees zeros.
    layer.dropout = 1.0
    dropped = layer(x)[0].detach().numpy()
    assert (dropped != 0).all()
    assert (dropped == layer(sn.randn(6, 3, 4))[0].detach().numpy()).all()


def test_dropout_of_a_single_layer_warns() -> None:
    with pytest.warns(UserWarning, match="num_layers is 1"):
        nn.LSTM(2, 3, dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nn.LSTM(2, 3, num_layers=2, dropout=0.5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_compute_in_float32(dtype: str) -> None:
    kind = getattr(sn, dtype)
    half = nn.LSTM(5, 9, dtype=kind)
    wide = nn.LSTM(5, 9)
    wide.load_state_dict({k: v.astype(sn.float32) for k, v in half.state_dict().items()})
    x = sn.randn(7, 3, 5).astype(kind)
    ours, want = flat(half(x)), flat(wide(x.astype(sn.float32)))
    for a, b in zip(ours, want, strict=True):
        assert a.dtype == kind
        assert bool((a == b.astype(kind)).all())


def test_a_cell_is_a_step_of_the_layer() -> None:
    for layer, cell in ((nn.LSTM, nn.LSTMCell), (nn.GRU, nn.GRUCell), (nn.RNN, nn.RNNCell)):
        whole, step = layer(20, 40), cell(20, 40)
        step.load_state_dict({k.removesuffix("_l0"): v for k, v in whole.state_dict().items()})
        x = sn.randn(9, 19, 20)
        y, last = whole(x)
        state: Any = None
        for t in range(9):
            state = step(x[t], state)
            assert as_bytes(flat(state)[0]) == as_bytes(y[t])
        assert [as_bytes(s) for s in flat(state)] == [as_bytes(s[0]) for s in flat(last)]


# ---- errors


def test_errors_say_what_is_required() -> None:
    lstm = nn.LSTM(4, 6, num_layers=2)
    x = sn.ones((5, 3, 4))
    with pytest.raises(sn.ShapeError, match=r"\[LSTM\] the input has shape \(5, 3, 7\); required"):
        lstm(sn.ones((5, 3, 7)))
    with pytest.raises(sn.ShapeError, match=r"batch, steps, 4"):
        nn.GRU(4, 6, batch_first=True)(sn.ones(4))
    with pytest.raises(sn.ShapeError, match=r"h_0 has shape \(1, 3, 6\); this input needs \(2,"):
        lstm(x, (sn.ones((1, 3, 6)), sn.ones((2, 3, 6))))
    with pytest.raises(sn.InvalidType, match=r"a pair of tensors \(h_0, c_0\)"):
        lstm(x, sn.ones((2, 3, 6)))
    with pytest.raises(sn.InvalidType, match=r"hx is a tuple; it must be a tensor"):
        nn.GRU(4, 6)(x, (sn.ones((1, 3, 6)),))
    with pytest.raises(sn.ShapeError, match=r"no step; one step at least is required"):
        lstm(sn.ones((0, 3, 4)))
    with pytest.raises(sn.InvalidValue, match=r"hidden_size is 0"):
        nn.RNN(4, 0)
    with pytest.raises(sn.InvalidValue, match=r"dropout is 1.5; it must lie between 0 and 1"):
        nn.RNN(4, 6, dropout=1.5)
    with pytest.raises(sn.InvalidValue, match=r"proj_size is 6; it must be 0"):
        nn.LSTM(4, 6, proj_size=6)
    with pytest.raises(sn.InvalidValue, match=r"nonlinearity is 'gelu'"):
        nn.RNN(4, 6, nonlinearity="gelu")
    with pytest.raises(sn.ShapeError, match=r"\[GRUCell\] the input has shape \(2, 5\)"):
        nn.GRUCell(4, 6)(sn.ones((2, 5)))
    with pytest.raises(sn.ShapeError, match=r"\[LSTMCell\] c_0 has shape \(3, 6\)"):
        nn.LSTMCell(4, 6)(sn.ones((2, 4)), (sn.ones((2, 6)), sn.ones((3, 6))))
    with pytest.raises(sn.ShapeError, match=r"\[gru_sequence\] bias_ih has shape \(4,\)"):
        sn.gru_sequence(x, sn.ones((6, 4)), sn.ones((6, 2)), sn.ones(4))
    with pytest.raises(sn.DTypeError, match=r"\[rnn_sequence\]"):
        sn.rnn_sequence(*(sn.ones(s, dtype=sn.int32) for s in ((5, 3, 4), (2, 4), (2, 2))))
