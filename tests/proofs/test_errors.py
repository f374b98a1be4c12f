"""Typical mistakes, and what each says: the operation, the values, what is required, what to try,
the line of the user's program and the path of the module."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn

CODES = {
    "SN101": sn.ShapeError,
    "SN102": sn.DTypeError,
    "SN103": sn.IndexOutOfRange,
    "SN104": sn.InvalidValue,
    "SN105": sn.DeviceError,
    "SN106": sn.GradError,
    "SN107": sn.OutOfMemory,
    "SN108": sn.InvalidType,
    "SN109": sn.FileError,
    "SN110": sn.NumericError,
    "SN199": sn.InternalError,
}
BUILT_IN = {
    "SN101": ValueError, "SN102": TypeError, "SN103": IndexError, "SN104": ValueError,
    "SN105": RuntimeError, "SN106": RuntimeError, "SN107": MemoryError, "SN108": TypeError,
    "SN109": OSError, "SN110": ArithmeticError, "SN199": RuntimeError,
}  # fmt: skip


class World:
    """What the mistakes are made with."""

    def __init__(self) -> None:
        self.x = sn.ones((2, 3))
        self.y = sn.ones((4, 5))
        self.w = sn.ones((2, 3), requires_grad=True)
        self.i = sn.tensor([1, 2])
        self.image = sn.ones((1, 3, 8, 8))
        self.labels = sn.tensor([0, 3])


@dataclass
class Mistake:
    does: Callable[[World], Any]
    code: str
    op: str
    values: list[str]  # the actual values, as the message gives them
    advice: str  # from what is required and what to try
    located: bool = True  # found by the core, which knows the line; the rest have a traceback
    module: str = field(default="")


M = Mistake
MISTAKES = {
    # shapes
    "add": M(
        lambda t: t.x + t.y,
        "SN101",
        "add",
        ["(2, 3)", "(4, 5)", "dimension -1"],
        "reshape or unsqueeze",
    ),
    "add in place": M(
        lambda t: t.x.__iadd__(t.y), "SN101", "add", ["(2, 3)", "(4, 5)"], "equal or 1"
    ),
    "where": M(
        lambda t: sn.where(t.x > 0, t.x, t.y), "SN101", "where", ["(2, 3)", "(4, 5)"], "equal or 1"
    ),
    "matmul": M(
        lambda t: t.x @ t.y,
        "SN101",
        "matmul",
        ["(2, 3)", "(4, 5)", "(3)", "(4)"],
        "transpose one of them",
    ),
    "matmul of a number": M(
        lambda t: sn.tensor(2.0) @ t.x, "SN101", "matmul", ["()", "(2, 3)"], "use * for"
    ),
    "linear": M(
        lambda t: sn.linear(t.x, t.y),
        "SN101",
        "linear",
        ["(2, 3)", "(4, 5)"],
        "out_features, in_features",
    ),
    "conv2d channels": M(
        lambda t: sn.conv2d(t.image, sn.ones((6, 4, 3, 3))),
        "SN101",
        "conv2d",
        ["(1, 3, 8, 8)", "3 channels", "(6, 4, 3, 3)"],
        "check in_channels",
    ),
    "conv2d kernel": M(
        lambda t: sn.conv2d(t.image, sn.ones((6, 3, 9, 9))),
        "SN101",
        "conv2d",
        ["9 elements", "has 8"],
        "more padding or a smaller kernel",
    ),
    "conv2d groups": M(
        lambda t: sn.conv2d(t.image, sn.ones((6, 2, 3, 3)), groups=2),
        "SN101",
        "conv2d",
        ["groups=2", "(1, 3, 8, 8)"],
        "must divide",
    ),
    "conv2d rank": M(
        lambda t: sn.conv2d(t.x, t.y),
        "SN101",
        "conv2d",
        ["(2, 3)", "(4, 5)"],
        "required are (N, C, ",
    ),
    "max_pool2d": M(
        lambda t: sn.max_pool2d(t.image, 9),
        "SN101",
        "max_pool2d",
        ["9 elements", "has 8"],
        "smaller window",
    ),
    "concat": M(
        lambda t: sn.concat([t.x, t.y]),
        "SN101",
        "concat",
        ["(2, 3)", "(4, 5)", "axis 0"],
        "use stack",
    ),
    "stack": M(
        lambda t: sn.stack([t.x, t.y]), "SN101", "stack", ["(2, 3)", "(4, 5)"], "use concat"
    ),
    "reshape": M(
        lambda t: t.x.reshape(4, 2),
        "SN101",
        "reshape",
        ["(2, 3)", "6 elements", "(4, 2)"],
        "use -1",
    ),
    "reshape twice -1": M(
        lambda t: t.x.reshape(-1, -1), "SN101", "reshape", ["(-1, -1)"], "at most one may be -1"
    ),
    "expand": M(lambda t: t.x.expand(3, 3), "SN101", "expand", ["(2, 3)", "(3, 3)"], "unsqueeze"),
    "split": M(
        lambda t: sn.split(t.x, [1, 5]),
        "SN101",
        "split",
        ["(1, 5)", "6", "2 elements"],
        "pass one int",
    ),
    "layer_norm": M(
        lambda t: sn.layer_norm(t.x, (4,)),
        "SN101",
        "layer_norm",
        ["(2, 3)", "(4,)"],
        "last dimensions",
    ),
    "assigned value": M(
        lambda t: t.x.__setitem__(0, sn.ones(7)),
        "SN101",
        "index_update",
        ["(7,)", "(3,)"],
        "broadcast to it",
    ),
    "item of many": M(
        lambda t: t.x.item(), "SN101", "item", ["(2, 3)", "6 elements"], "x.tolist()"
    ),
    "float of many": M(
        lambda t: float(t.x), "SN101", "float", ["(2, 3)", "6 elements"], "reduce it first"
    ),
    "negative size": M(lambda t: sn.zeros((2, -1)), "SN101", "full", ["(2, -1)"], "0 or more"),
    "loss that would broadcast": M(
        lambda t: sn.mse_loss(t.x, sn.ones((2, 1))),
        "SN101",
        "mse_loss",
        ["(2, 3)", "(2, 1)"],
        "losses do not broadcast",
    ),
    "loss with too many dimensions": M(
        lambda t: sn.l1_loss(sn.ones((4, 1)), sn.ones(4)),
        "SN101",
        "l1_loss",
        ["(4, 1)", "(4,)"],
        "dimension of size 1 too many",
    ),
    "labels of another length": M(
        lambda t: sn.cross_entropy(t.x, sn.tensor([0, 1, 2])),
        "SN101",
        "cross_entropy",
        ["(2, 3)", "(3,)"],
        "labels need the shape (2,)",
    ),
    # dtypes
    "bitwise on floats": M(lambda t: t.x & t.x, "SN102", "bitwise_and", ["float32"], "x.astype"),
    "in place to another dtype": M(
        lambda t: t.i.__iadd__(0.5),
        "SN102",
        "in place",
        ["float32", "int64"],
        "x.astype(sn.float32)",
    ),
    "labels of floats": M(
        lambda t: sn.cross_entropy(t.x, sn.tensor([0.0, 1.0])),
        "SN102",
        "cross_entropy",
        ["float32"],
        ".astype(sn.int64)",
    ),
    "index of floats": M(
        lambda t: t.x[sn.tensor([0.5])], "SN102", "take", ["float32"], "integers are required"
    ),
    "strings": M(
        lambda t: sn.asarray(np.array(["a"])),
        "SN102",
        "asarray",
        ["'1w'"],
        "bool, integers, real and complex floats",
    ),
    # axes and indices
    "axis": M(lambda t: t.x.sum(axis=2), "SN103", "sum", ["axis 2", "rank 2"], "[-2, 1]"),
    "softmax axis": M(
        lambda t: sn.softmax(t.x, axis=-3), "SN103", "softmax", ["axis -3", "rank 2"], "[-2, 1]"
    ),
    "index": M(lambda t: t.x[5], "SN103", "index", ["index 5", "axis 0", "size 2"], "[-2, 1]"),
    "index of a view": M(
        lambda t: t.x[0][1:][-3], "SN103", "index", ["index -3", "size 2"], "[-2, 1]"
    ),
    "too many indices": M(
        lambda t: t.x[0, 0, 0], "SN103", "index", ["3 dimensions", "(2, 3)"], "no more than it has"
    ),
    "assigned index": M(
        lambda t: t.x.__setitem__((0, 9), 1), "SN103", "index", ["index 9", "size 3"], "[-3, 2]"
    ),
    "mask": M(
        lambda t: t.x[sn.tensor([True, False, True])],
        "SN103",
        "index",
        ["(3,)", "(2, 3)"],
        "must be equal",
    ),
    "index tensor, found while running": M(
        lambda t: t.x[sn.tensor([0, 7])].tolist(),
        "SN103",
        "take",
        ["index 7", "position (1,)", "size 2"],
        "[-2, 1]",
    ),
    "gather, found while running": M(
        lambda t: sn.gather(t.x, 1, sn.tensor([[0, 9]])).tolist(),
        "SN103",
        "take_along_axis",
        ["index 9", "(0, 1)", "size 3"],
        "[-3, 2]",
    ),
    "embedding, found while running": M(
        lambda t: sn.embedding(sn.tensor([[1, 4]]), t.y).tolist(),
        "SN103",
        "embedding",
        ["index 4", "position (0, 1)", "size 4"],
        "[0, 3]",
    ),
    "one_hot, found while running": M(
        lambda t: sn.one_hot(sn.tensor([1, 3]), 3).tolist(),
        "SN103",
        "one_hot",
        ["index 3", "position (1,)"],
        "[0, 2]",
    ),
    "label, found while running": M(
        lambda t: sn.cross_entropy(t.x, t.labels).item(),
        "SN103",
        "cross_entropy",
        ["label 3", "position (1,)", "3)"],
        "check the data set",
    ),
    # values
    "truth of many": M(lambda t: bool(t.x), "SN104", "bool", ["(2, 3)"], "x.any() or x.all()"),
    "truth of a comparison": M(
        lambda t: "y" if t.x == t.x else "n", "SN104", "bool", ["(2, 3)"], "x.any()"
    ),
    "permute": M(
        lambda t: t.x.permute(0, 0), "SN104", "permute", ["(0, 0)", "(2, 3)"], "must appear once"
    ),
    "axis twice": M(
        lambda t: t.x.sum(axis=(0, -2)), "SN104", "sum", ["(0, -2)"], "each axis may appear once"
    ),
    "squeeze": M(
        lambda t: t.x.squeeze(0), "SN104", "squeeze", ["axis 0", "size 2"], "leave out `axis`"
    ),
    "nothing to reduce": M(
        lambda t: sn.zeros((0, 3)).max(axis=0),
        "SN104",
        "max",
        ["(0, 3)"],
        "no max of nothing",
    ),
    "no tensors": M(lambda t: sn.concat([]), "SN104", "concat", ["empty"], "at least one"),
    "topk": M(lambda t: sn.topk(t.x, 7), "SN104", "topk", ["k is 7", "(2, 3)"], "between 0 and 3"),
    "probability": M(
        lambda t: sn.dropout(t.x, 1.5), "SN104", "dropout", ["1.5"], "between 0 and 1"
    ),
    "stride": M(
        lambda t: sn.conv2d(t.image, sn.ones((2, 3, 3, 3)), stride=0),
        "SN104",
        "conv2d",
        ["(0, 0)"],
        "1 or more",
    ),
    "arange": M(lambda t: sn.arange(0, 10, 0), "SN104", "arange", ["step 0"], "must not be 0"),
    "slice step": M(lambda t: t.x[::0], "SN104", "index", ["step", "0"], "must not be"),
    "threads": M(
        lambda t: sn.set_num_threads(0), "SN104", "set_num_threads", ["is 0"], "at least 1"
    ),
    "write into an expanded view": M(
        lambda t: t.x[0].expand(2, 3).__setitem__(0, 1),
        "SN104",
        "expand",
        ["(2, 3)", "(3,)"],
        "x.clone()",
    ),
    # devices
    "no GPU": M(lambda t: t.x.to("cuda"), "SN105", "device", ["'cuda'"], "sn.doctor()"),
    "no such device": M(
        lambda t: t.x.to("cpu:99"), "SN105", "device", ["'cpu:99'"], "SENNIT_CPU_DEVICES"
    ),
    "no such kind": M(lambda t: t.x.to("gpu"), "SN105", "device", ["'gpu'"], "'cpu' and 'cuda'"),
    # gradients
    "backward of many": M(
        lambda t: (t.w * 2).backward(), "SN106", "backward", ["(2, 3)"], "x.sum(), x.mean()"
    ),
    "backward of a constant": M(
        lambda t: t.x.sum().backward(), "SN106", "backward", [], "requires"
    ),
    "leaf in place": M(
        lambda t: t.w.__iadd__(1), "SN106", "in place", ["(2, 3)"], "with sn.no_grad():"
    ),
    "element of a leaf": M(
        lambda t: t.w.__setitem__(0, 1), "SN106", "setitem", ["(2, 3)"], "with sn.no_grad():"
    ),
    "numpy": M(lambda t: t.w.numpy(), "SN106", "numpy", ["(2, 3)"], "x.detach().numpy()"),
    "integers": M(
        lambda t: t.i.requires_grad_(True),
        "SN106",
        "requires_grad",
        ["int64"],
        "x.astype(sn.float32)",
    ),
    "grad of a matrix": M(
        lambda t: sn.grad(lambda v: v * 2)(t.x),
        "SN106",
        "grad",
        ["(2, 3)"],
        ".sum() or .mean()",
        located=False,
    ),
    "argnums": M(
        lambda t: sn.grad(lambda v: v.sum(), argnums=3)(t.x),
        "SN104",
        "grad",
        ["3", "1 positional"],
        "argnums",
        located=False,
    ),
    # memory
    "too large": M(
        lambda t: sn.ones((1 << 40, 1 << 10)).sum().item(), "SN107", "", ["PiB"], "smaller batch"
    ),
    # types
    "unknown keyword": M(
        lambda t: sn.sum(t.x, axs=1),
        "SN108",
        "sum",
        ["'axs'"],
        "sum(x, axis=None, dtype=None, keepdims=False)",
    ),
    "missing argument": M(
        lambda t: sn.matmul(t.x), "SN108", "matmul", ["missing"], "matmul(x, other)"
    ),
    "too many arguments": M(
        lambda t: sn.add(t.x, t.x, t.x), "SN108", "add", ["3 positional"], "add(x, y, *, alpha=1)"
    ),
    "list for a tensor": M(
        lambda t: sn.relu([1, 2]), "SN108", "relu", ["list"], "a tensor or a number"
    ),
    "string for a tensor": M(
        lambda t: sn.add(t.x, "a"), "SN108", "add", ["str 'a'"], "a tensor or a number"
    ),
    "string as data": M(
        lambda t: sn.tensor("a"), "SN108", "tensor", ["str 'a'"], "a nested list of numbers"
    ),
    "string as index": M(lambda t: t.x["a"], "SN108", "getitem", ["str 'a'"], "integers, slices"),
    "float as index": M(lambda t: t.x[1.5], "SN108", "getitem", ["1.5"], "integers, slices"),
    "dtype": M(lambda t: t.x.astype("int65"), "SN108", "astype", ["'int65'"], "sn.float32"),
}


def line_of(function: Callable[..., Any]) -> int:
    return function.__code__.co_firstlineno


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(name: str) -> None:
    m = MISTAKES[name]
    world = World()
    with pytest.raises(CODES[m.code]) as caught:
        m.does(world)
    error = caught.value
    text = str(error)
    assert error.code == m.code
    assert text.rstrip().endswith(f"({m.code})")
    assert isinstance(error, BUILT_IN[m.code])
    if m.op:
        assert text.startswith(f"[{m.op}] "), text
        if m.located:
            assert error.op == m.op
    for value in m.values:
        assert value in text, f"{value!r} is missing in: {text}"
    assert m.advice in text, f"{m.advice!r} is missing in: {text}"
    # "what is; what is required; what to try": two parts at least
    assert text.count(";") >= 1 or "," in text, text
    if m.located:
        # A lambda over several lines is located at the line of the call.
        lines = range(line_of(m.does), line_of(m.does) + 3)
        places = [f"{Path(__file__).name}:{n}" for n in lines]
        assert any(p in text and p in error.where for p in places), text
    # What follows is right again.
    assert (sn.ones((2, 3)) + 1).tolist() == [[2, 2, 2]] * 2


def test_there_are_enough() -> None:
    assert len(MISTAKES) >= 40


@pytest.mark.parametrize(
    "name", ["index tensor, found while running", "label, found while running", "add", "axis"]
)
def test_mistakes_op_by_op_say_the_same(name: str, window) -> None:
    def message() -> str:
        with pytest.raises(sn.SennitError) as caught:
            MISTAKES[name].does(World())
        return str(caught.value)

    expected = message()
    window(1)
    assert message() == expected


# ---- lines and modules


def test_the_line_of_asynchronous_work_is_that_of_the_cause() -> None:
    x = sn.ones((4, 3))
    picked = x[sn.tensor([0, 9])]
    cause = line_of(test_the_line_of_asynchronous_work_is_that_of_the_cause) + 2
    y = (picked * 2).sum() + 1
    with pytest.raises(sn.IndexOutOfRange) as caught:
        y.item()
    assert caught.value.where.endswith(f"test_errors.py:{cause}")


def test_the_line_of_a_gradient_is_that_of_its_forward_op() -> None:
    x = sn.ones((4, 3), requires_grad=True)
    with pytest.raises(sn.IndexOutOfRange) as caught:
        sn.embedding(sn.tensor([0, 9]), x).sum().backward()
        x.grad.tolist()
    assert "test_errors.py:" in caught.value.where


def test_lines_inside_functions_of_the_user() -> None:
    def helper(a: sn.Tensor) -> sn.Tensor:
        return a @ a

    with pytest.raises(sn.ShapeError) as caught:
        helper(sn.ones((2, 3)))
    assert caught.value.where.endswith(f"test_errors.py:{line_of(helper) + 1}")


def test_errors_in_another_thread_name_its_line() -> None:
    import threading

    found: list[str] = []

    def run() -> None:
        try:
            sn.ones(3) + sn.ones(4)
        except sn.ShapeError as e:
            found.append(e.where)

    t = threading.Thread(target=run)
    t.start()
    t.join(60)
    assert found and found[0].endswith(f"test_errors.py:{line_of(run) + 2}")


def network():
    from sennit import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 8)
            self.second = nn.Linear(9, 2)  # wrong: 8 come in

        def forward(self, x):
            return self.second(sn.relu(self.first(x)))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(3, 3), Block()])

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    return Net()


def test_the_module_path() -> None:
    with pytest.raises(sn.ShapeError) as caught:
        network()(sn.ones((4, 3)))
    text = str(caught.value)
    assert "layers.1.second" in text
    assert "(4, 8)" in text and "(2, 9)" in text
    assert "test_errors.py:" in text


def test_the_module_path_of_asynchronous_work() -> None:
    from sennit import nn

    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 2))
    with pytest.raises(sn.IndexOutOfRange) as caught:
        model(sn.tensor([[0, 7]])).sum().item()
    text = str(caught.value)
    assert "in module" in text and re.search(r"\b0\b", caught.value.where.split("in module")[1]), (
        text
    )
    assert "index 7 at position (0, 1)" in text


def test_the_path_is_left_after_an_error() -> None:
    with pytest.raises(sn.ShapeError):
        network()(sn.ones((4, 3)))
    with pytest.raises(sn.ShapeError) as caught:
        sn.ones(3) + sn.ones(4)
    assert "in module" not in str(caught.value)


# ---- layers and optimisers


def parameters() -> list[sn.Tensor]:
    return [sn.ones(2, requires_grad=True)]


def nn_mistakes() -> dict[str, tuple[Callable[[], Any], str, str]]:
    from sennit import nn, optim

    x = sn.ones((2, 3))
    return {
        "a negative rate": (lambda: optim.SGD(parameters(), lr=-1), "SN104", "lr is -1"),
        "no parameters": (lambda: optim.SGD([], lr=0.1), "SN104", "model.parameters()"),
        "not a leaf": (lambda: optim.SGD([parameters()[0] * 2], lr=0.1), "SN104", "only leaves"),
        "twice the same": (lambda: optim.SGD(parameters() * 2, lr=0.1), "SN104", "twice"),
        "betas": (lambda: optim.Adam(parameters(), betas=(2, 0.9)), "SN104", "betas"),
        "a size of a layer": (lambda: nn.Linear(0, 2), "SN104", "in_features is 0"),
        "groups": (lambda: nn.Conv2d(3, 4, 3, groups=2), "SN104", "divisible by groups"),
        "probability": (lambda: nn.Dropout(2), "SN104", "between 0 and 1"),
        "rank": (lambda: nn.BatchNorm2d(3)(x), "SN101", "(2, 3)"),
        "missing keys": (lambda: nn.Linear(3, 2).load_state_dict({}), "SN104", "weight"),
        "a key's shape": (
            lambda: nn.Linear(3, 2).load_state_dict({"weight": x, "bias": x}),
            "SN104",
            "bias has shape (2, 3)",
        ),
        "not a module": (lambda: nn.Sequential(1), "SN108", "sn.nn.Module"),
        "loss": (lambda: nn.MSELoss()(x, sn.ones(3)), "SN101", "do not broadcast"),
    }


NN_MISTAKES = [
    "a negative rate",
    "no parameters",
    "not a leaf",
    "twice the same",
    "betas",
    "a size of a layer",
    "groups",
    "probability",
    "rank",
    "missing keys",
    "a key's shape",
    "not a module",
    "loss",
]


@pytest.mark.parametrize("name", NN_MISTAKES)
def test_mistakes_with_layers_and_optimisers(name: str) -> None:
    does, code, fragment = nn_mistakes()[name]
    with pytest.raises(CODES[code]) as caught:
        does()
    text = str(caught.value)
    assert fragment in text and f"({code})" in text and text.startswith("["), text


def test_backward_after_step_names_the_reason() -> None:
    from sennit import optim

    w = sn.ones((3, 3), requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    loss = (w @ w).sum()
    loss.backward()
    optimizer.step()
    with pytest.raises(sn.GradError, match=r"optimizer\.step\(\)") as caught:
        loss.backward()
    assert "before the step" in str(caught.value)


# ---- detect_nan


def test_nan_is_found_where_it_appears() -> None:
    sn.config.detect_nan = True
    try:
        x = sn.tensor([1.0, -1.0])
        with pytest.raises(sn.NumericError) as caught:
            (sn.log(x) * 2).sum().item()
        text = str(caught.value)
        assert text.startswith("[log]") and "test_errors.py:" in text and "SN110" in text
        assert sn.sqrt(sn.tensor([4.0])).item() == 2
    finally:
        sn.config.detect_nan = False
    assert np.isnan((sn.log(sn.tensor([-1.0])) * 2).sum().item())


# ---- the family


def test_the_family_of_errors() -> None:
    for code, kind in CODES.items():
        assert issubclass(kind, sn.SennitError) and issubclass(kind, BUILT_IN[code])
        assert kind.code == code
        assert kind.__doc__ and code in kind.__doc__


# ---- docs/errors.md: its examples are run


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^## (SN\d+)", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


@pytest.fixture(scope="module")
def page(repository: Path) -> dict[str, str]:
    return sections((repository / "docs" / "errors.md").read_text(encoding="utf-8"))


def test_every_code_has_a_section(page: dict[str, str], repository: Path) -> None:
    in_core = re.findall(r'return "(SN\d+)"', (repository / "core/base/error.cpp").read_text())
    assert set(page) == set(in_core) == set(CODES)


def blocks(section: str) -> list[tuple[str, str]]:
    """(kind, text) of the section's fenced blocks; kinds: python bad, text, python good."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", CODES)
def test_examples_of_the_page(code: str, page: dict[str, str]) -> None:
    found = blocks(page[code])
    bad = [t for kind, t in found if kind == "python bad"]
    shown = [t for kind, t in found if kind == "text"]
    good = [t for kind, t in found if kind == "python good"]
    if code == "SN199":  # a bug of ours cannot be shown by an example
        assert not bad
        return
    assert bad and len(bad) == len(shown) and good, code
    for example, message in zip(bad, shown):
        names: dict[str, Any] = {"sn": sn, "np": np}
        with pytest.raises(CODES[code]) as caught:
            exec(compile(example, "train.py", "exec"), names)
        assert fixed_parts(str(caught.value)) == fixed_parts(message)
    for example in good:
        exec(compile(example, "train.py", "exec"), {"sn": sn, "np": np})


def fixed_parts(message: str) -> str:
    """The message without what depends on the machine (amounts of memory)."""
    return re.sub(r"[\d.]+ ([KMGTP]iB|bytes)", "N bytes", message.strip())
