"""What a compiled function depends on: a change is seen, told, and recorded again."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from programs import state_of

import sennit as sn
from sennit import nn

F = nn.functional
FACTOR = 2.0


def runs(compiled: Any) -> int:
    return int(sn._core.compiled_runs(compiled)[1])


def told(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(r.getMessage() for r in caplog.records if r.name == "sennit.compile")


def warm(compiled: Any, *args: Any) -> None:
    """Calls until it runs compiled."""
    for _ in range(5):
        before = runs(compiled)
        compiled(*args)
        if runs(compiled) > before:
            return
    raise AssertionError(compiled.explain())


def test_runs_from_the_third_call_on() -> None:
    f = sn.compile(lambda x: sn.relu(x) * 3)
    x = sn.tensor([-1.0, 2.0])
    for n in range(5):
        assert f(x).tolist() == [0.0, 6.0]
        assert runs(f) == max(0, n - 1)


def test_argument_shape_dtype_and_value(caplog: pytest.LogCaptureFixture) -> None:
    @sn.compile
    def f(x: Any, power: int = 2) -> Any:
        return x**power + x.shape[0]

    x = sn.ones(3)
    warm(f, x)
    assert f(sn.ones(4)).tolist() == [5.0] * 4
    assert "argument 0 was float32(3,) on cpu and is now float32(4,) on cpu" in told(caplog)
    before = runs(f)
    assert f(sn.ones(4)).tolist() == [5.0] * 4  # one recording is enough for another shape
    assert runs(f) == before + 1
    assert f(sn.ones(3, dtype=sn.int64)).tolist() == [4, 4, 4]
    assert "is now int64(3,)" in told(caplog)
    assert f(sn.ones(3) * 2, 3).tolist() == [11.0] * 3
    assert "more arguments" in told(caplog)
    assert f(sn.ones(3) * 2, power=3).tolist() == [11.0] * 3
    assert f(sn.ones(3) * 2, 4).tolist() == [19.0] * 3
    assert f(x).tolist() == [4.0] * 3


def test_structures_of_arguments() -> None:
    @sn.compile
    def f(pair: Any, named: Any) -> Any:
        return {"sum": pair[0] + named["b"], "rest": [pair[1] * 2, None, 3, "text"]}

    a, b, c = sn.tensor([1.0]), sn.tensor([2.0]), sn.tensor([3.0])
    for _ in range(4):
        made = f((a, b), {"b": c})
        assert made["sum"].tolist() == [4.0]
        assert made["rest"][0].tolist() == [4.0] and made["rest"][1:] == [None, 3, "text"]
    assert runs(f) == 2
    assert f([a, b], {"b": c})["sum"].tolist() == [4.0]  # another structure is recorded anew
    assert runs(f) == 2


def test_one_tensor_twice() -> None:
    @sn.compile
    def f(x: Any, y: Any) -> Any:
        x += 1
        return x * y

    for _ in range(4):
        assert f(sn.tensor([1.0]), sn.tensor([3.0])).tolist() == [6.0]
    z = sn.tensor([1.0])
    assert f(z, z).tolist() == [4.0]
    assert z.tolist() == [2.0]


def test_closure_cell(caplog: pytest.LogCaptureFixture) -> None:
    scale = 2.0

    def f(x: Any) -> Any:
        return x * scale

    g = sn.compile(f)
    x = sn.ones(2)
    warm(g, x)
    scale = 5.0
    assert g(x).tolist() == [5.0, 5.0]
    assert "scale was 2.0 and is now 5.0" in told(caplog)
    before = runs(g)
    scale = 7.0
    assert g(x).tolist() == [7.0, 7.0]
    assert g(x).tolist() == [7.0, 7.0]
    assert runs(g) > before  # a number takes one call


def test_global_of_a_function_that_is_called(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def helper(x: Any) -> Any:
        return x * FACTOR

    f = sn.compile(lambda x: helper(x) + 1)
    x = sn.ones(2)
    warm(f, x)
    assert f(x).tolist() == [3.0, 3.0]
    monkeypatch.setitem(globals(), "FACTOR", 4.0)
    assert f(x).tolist() == [5.0, 5.0]
    assert "FACTOR was 2.0 and is now 4.0" in told(caplog)


def test_a_function_that_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    def twice(x: Any) -> Any:
        return x * 2

    def thrice(x: Any) -> Any:
        return x * 3

    helper = twice
    f = sn.compile(lambda x: helper(x) + 0)
    x = sn.ones(2)
    warm(f, x)
    helper = thrice
    assert f(x).tolist() == [3.0, 3.0]
    assert "helper" in told(caplog)


def test_train_and_eval(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    with sn.no_grad():
        f = sn.compile(model)
        x = sn.randn(5, 3)
        warm(f, x)
        model.eval()
        wanted = model(x)
        assert (f(x) == wanted).all()
        assert "training was True and is now False" in told(caplog)
        warm(f, x)
        assert (f(x) == wanted).all()
        model.train()
        before, count = runs(f), f._control.recorded
        assert not (f(x) == wanted).all()
        assert runs(f) == before + 1 and f._control.recorded == count  # what was known holds again


class Scaled(nn.Module):
    unit = 1.0

    def __init__(self) -> None:
        self.layer = nn.Linear(2, 2, bias=False)
        self.layer.weight.assign_(sn.eye(2))
        self.factor = 2.0
        self.calls = 0

    def forward(self, x: Any) -> Any:
        return self.layer(x) * self.factor * self.unit


def change_attribute(m: Any) -> None:
    m.factor = 3.0


def change_class(m: Any) -> None:
    m.unit = 4.0  # hides the attribute of the class


def replace_submodule(m: Any) -> None:
    m.layer = nn.Linear(2, 2, bias=False)


def replace_parameter(m: Any) -> None:
    m.layer.weight = nn.Parameter(sn.ones((2, 2)))


def add_hook(m: Any) -> None:
    m.layer.register_forward_hook(lambda module, args, out: out + 1)


def freeze(m: Any) -> None:
    m.layer.weight.requires_grad_(False)


def hook_tensor(m: Any) -> None:
    m.layer.weight.register_hook(lambda g: g * 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_attribute, "factor was 2.0 and is now 3.0"),
        (change_class, "unit was missing and is now 4.0"),
        (replace_submodule, "layer was another Linear"),
        (replace_parameter, "weight was another tensor"),
        (add_hook, "_hooks"),
        (freeze, "requires no gradient any more"),
        (hook_tensor, "has a hook now"),
    ],
)
def test_modules(
    change: Callable[[Any], None], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = Scaled()

    def step(x: Any) -> Any:
        loss = model(x).sum()
        if loss.requires_grad:
            loss.backward()
            grad = model.layer.weight.grad
            model.layer.weight.grad = None
            return loss.detach(), grad
        return loss, None

    f = sn.compile(step)
    x = sn.tensor([[1.0, 2.0]])
    warm(f, x)
    before = runs(f)
    model.calls += 1  # nobody reads it
    f(x)
    assert runs(f) == before + 1
    change(model)
    for _ in range(4):
        wanted = [None if t is None else t.tolist() for t in step(x)]
        assert [None if t is None else t.tolist() for t in f(x)] == wanted
    assert words in told(caplog), told(caplog)


def test_learning_rate_by_hand_and_by_scheduler(caplog: pytest.LogCaptureFixture) -> None:
    def train(compile_it: bool) -> list[Any]:
        sn.random.seed(1)
        model = nn.Linear(3, 2)
        opt = sn.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
        scheduler = sn.optim.lr_scheduler.StepLR(opt, 4, gamma=0.1)

        def step(x: Any) -> Any:
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            opt.zero_grad()
            return loss

        call = sn.compile(step) if compile_it else step
        losses = []
        for _ in range(16):
            losses.append(call(sn.ones((4, 3))).item())
            scheduler.step()
        opt.param_groups[0]["lr"] = 1.0
        losses.append(call(sn.ones((4, 3))).item())
        if compile_it:
            assert runs(call) >= 8, call.explain()
        return [losses, [t.tolist() for t in state_of(model, opt) if t is not None]]

    assert train(True) == train(False)
    assert "lr" in told(caplog)


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: sn.optim.SGD(p, lr=0.5),
    "momentum": lambda p: sn.optim.SGD(p, lr=0.5, momentum=0.9, weight_decay=0.01, nesterov=True),
    "adamw": lambda p: sn.optim.AdamW(p, lr=0.1),
    "nadam": lambda p: sn.optim.NAdam(p, lr=0.1),
    "rmsprop": lambda p: sn.optim.RMSprop(p, lr=0.1),
    "adagrad": lambda p: sn.optim.Adagrad(p, lr=0.1),
    "adadelta": lambda p: sn.optim.Adadelta(p, lr=0.1),
    "rprop": lambda p: sn.optim.Rprop(p, lr=0.1),
    "lion": lambda p: sn.optim.Lion(p, lr=0.1),
    "lamb": lambda p: sn.optim.LAMB(p, lr=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rate_that_changes_at_every_step(name: str) -> None:
    def train(compile_it: bool) -> list[Any]:
        sn.random.seed(1)
        model = nn.Linear(3, 2)
        opt = OPTIMIZERS[name](model.parameters())
        schedule = sn.optim.lr_scheduler
        first = schedule.CosineAnnealingLR(opt, 20)

        def step(x: Any) -> Any:
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            opt.zero_grad()
            return loss

        call = sn.compile(step) if compile_it else step
        losses = []
        for i in range(20):
            losses.append(call(sn.ones((4 if i % 5 else 3, 3))).item())
            first.step()
        if compile_it:
            assert runs(call) >= 13, call.explain()
        return [losses, [t.tolist() for t in state_of(model, opt) if t is not None]]

    assert train(True) == train(False)


def test_a_rate_that_decides_is_recorded() -> None:
    w = sn.tensor([1.0], requires_grad=True)

    class Fussy(sn.optim.SGD):
        def _update(self, group: Any) -> None:
            for p in group["params"]:
                p.assign_(p - 1.0 if group["lr"] > 0.5 else p + 1.0)

    opt = Fussy([w], lr=0.1)

    def step() -> None:
        w.sum().backward()
        opt.step()
        opt.zero_grad()

    f = sn.compile(step)
    wanted = 1.0
    for i in range(30):
        opt.param_groups[0]["lr"] = (i % 10) / 9
        f()
        wanted += -1.0 if (i % 10) / 9 > 0.5 else 1.0
        assert w.item() == wanted


def test_what_differs_stays_imperative(caplog: pytest.LogCaptureFixture) -> None:
    drawn = iter(range(10))
    f = sn.compile(lambda x: x + float(next(drawn)))
    x = sn.zeros(1)
    made = {f(x).item() for _ in range(6)}
    assert len(made) == 6 and runs(f) == 0
    assert "stays imperative: its first two recordings differ: a number that 'add'" in told(caplog)
    assert "test_guards.py" in told(caplog)


def test_data_made_inside_must_be_the_same() -> None:
    f = sn.compile(lambda x: x + sn.tensor([1.0, 2.0]))
    for _ in range(4):
        assert f(sn.zeros(2)).tolist() == [1.0, 2.0]
    assert runs(f) == 2
    drawn = iter(range(10))
    g = sn.compile(lambda x: x + sn.tensor([next(drawn), 2.0]))
    for _ in range(4):
        g(sn.zeros(2))
    assert runs(g) == 0 and "makes from Python data has other elements" in g.explain()


@pytest.mark.parametrize("kind", ["random", "numpy", "generator"])
def test_random_numbers_of_others(kind: str) -> None:
    rng = np.random.default_rng(0)
    draw = {"random": random.random, "numpy": np.random.rand, "generator": rng.random}[kind]

    def f(x: Any) -> Any:
        return x + (1.0 if draw() >= 0 else 2.0)  # the same number in every recording

    g = sn.compile(f)
    for _ in range(4):
        assert g(sn.zeros(1)).item() == 1.0
    assert runs(g) == 0 and "random numbers of Python or NumPy" in g.explain()


def test_arrays_are_arguments_or_made_outside(caplog: pytest.LogCaptureFixture) -> None:
    data = np.zeros(2)
    f = sn.compile(lambda x: x + sn.asarray(data))
    for n in range(5):
        data[:] = n
        assert f(sn.zeros(2)).tolist() == [n, n]
    assert runs(f) == 0 and "it takes over an array" in told(caplog)


def test_a_result_that_is_kept_too() -> None:
    class Slotted:
        __slots__ = ("last",)

    keeper = Slotted()

    def f(x: Any) -> Any:
        keeper.last = x * 2
        return keeper.last

    g = sn.compile(f)
    for n in range(8):
        assert g(sn.tensor([float(n)])).item() == 2.0 * n
        assert keeper.last.item() == 2.0 * n
    assert runs(g) == 0


def test_calls_that_are_never_alike_end_the_watching(caplog: pytest.LogCaptureFixture) -> None:
    class Batch:
        def __init__(self, x: Any) -> None:
            self.x = x

    f = sn.compile(lambda b: b.x + 1)
    for n in range(50):
        assert f(Batch(sn.tensor([float(n)]))).item() == n + 1.0
    assert f._control.recorded < 40
    assert "no two of the last" in told(caplog)


def test_cached_functions_and_class_attributes(caplog: pytest.LogCaptureFixture) -> None:
    class Settings:
        factor = 2.0
        other = 0

    @functools.cache
    def settings() -> Any:
        return Settings

    f = sn.compile(lambda x: x * settings().factor)
    warm(f, sn.ones(1))
    before = runs(f)
    Settings.other = 1  # nobody names it
    assert f(sn.ones(1)).item() == 2.0 and runs(f) == before + 1
    Settings.factor = 3.0
    assert f(sn.ones(1)).item() == 3.0
    assert "Settings.factor was 2.0 and is now 3.0" in told(caplog)


def test_values_read_in_python(caplog: pytest.LogCaptureFixture) -> None:
    def f(x: Any) -> Any:
        if x.sum() > 0:
            return x * 2
        return x - 1

    g = sn.compile(f)
    for value in (1.0, -1.0, 2.0, -2.0):
        x = sn.tensor([value])
        assert g(x).item() == f(x).item()
    assert runs(g) == 0
    line = f.__code__.co_firstlineno + 1
    assert "stays imperative: it reads elements of a tensor of shape ()" in told(caplog)
    assert f"test_guards.py:{line}" in told(caplog)


def test_changing_python_state_stays_imperative() -> None:
    class Counter:
        count = 0

        def step(self, x: Any) -> Any:
            self.count += 1
            return x + self.count

    c = Counter()
    f = sn.compile(c.step)
    assert [f(sn.zeros(1)).item() for _ in range(8)] == list(range(1, 9))
    assert runs(f) == 0 and "it changes what it depends on" in f.explain()


def test_lists_that_grow() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        y = x * 2
        kept.append(y)
        return y

    g = sn.compile(f)
    for _ in range(8):
        g(sn.ones(1))
    assert len(kept) == 8 and runs(g) == 0


def test_check_finds_what_guards_cannot(caplog: pytest.LogCaptureFixture) -> None:
    data = np.ones(2)

    def f(x: Any) -> Any:
        return x + float(data[0])

    g = sn.compile(f, check=5)
    x = sn.zeros(2)
    warm(g, x)
    data[0] = 7.0
    for _ in range(6):
        g(x)
    assert g(x).tolist() == [7.0, 7.0]
    assert "a call that was checked differs" in told(caplog)

    @sn.compile(check=2)
    def h(x: Any) -> Any:
        return x * 2

    for _ in range(8):
        assert h(x + 1).tolist() == [2.0, 2.0]
    assert 0 < runs(h) < 6


def test_check_knows_rates_that_change() -> None:
    w = sn.tensor([4.0], requires_grad=True)
    opt = sn.optim.SGD([w], lr=0.1)
    wanted = 4.0

    @sn.compile(check=4)
    def step() -> None:
        (w * 2).sum().backward()
        opt.step()
        opt.zero_grad()

    for i in range(24):
        opt.param_groups[0]["lr"] = 2.0 ** -(i % 5)
        step()
        wanted -= 2.0 * 2.0 ** -(i % 5)
    assert w.item() == wanted
    assert runs(step) >= 14 and step._control.imperative is None, step.explain()


def test_attributes_that_are_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    class Thing:
        pass

    thing = Thing()

    def f(x: Any) -> Any:
        return x * getattr(thing, "scale", 2.0)

    g = sn.compile(f)
    warm(g, sn.ones(1))
    thing.scale = 3.0  # type: ignore[attr-defined]
    assert g(sn.ones(1)).item() == 3.0
    assert "thing.scale was missing and is now 3.0" in told(caplog)


def test_results_of_other_kinds_stay_imperative() -> None:
    class Out:
        def __init__(self, x: Any) -> None:
            self.x = x

    f = sn.compile(lambda x: Out(x + 1))
    for _ in range(4):
        assert f(sn.ones(1)).x.item() == 2.0
    assert runs(f) == 0 and "it returns" in f.explain()


class Pair(NamedTuple):
    first: Any
    second: Any


def test_named_tuples() -> None:
    f = sn.compile(lambda p: Pair(p.second, p.first + 1))
    for _ in range(4):
        made = f(Pair(sn.zeros(1), sn.ones(2)))
        assert type(made) is Pair and made.first.shape == (2,) and made.second.item() == 1.0
    assert runs(f) == 2


def test_generators_and_classes_are_no_graphs() -> None:
    def count(x: Any) -> Any:
        yield x + 1
        yield x + 2

    f = sn.compile(count)
    for _ in range(4):
        assert [t.item() for t in f(sn.zeros(1))] == [1.0, 2.0]
    assert runs(f) == 0


def test_lazy_modules() -> None:
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1))
    with sn.no_grad():
        f = sn.compile(model)
        x = sn.ones((2, 3))
        wanted = f(x)
        for _ in range(5):
            assert (f(x) == wanted).all()
    assert runs(f) >= 2


double = sn.compile(lambda x: x * 2)
double.__qualname__ = "double"


def test_copies_and_pickles() -> None:
    assert copy.deepcopy([double])[0] is double and copy.copy(double) is double
    assert pickle.loads(pickle.dumps(double)) is double
    assert list(inspect.signature(double).parameters) == ["x"]


def test_no_grad_and_grad_mode() -> None:
    w = sn.tensor([2.0], requires_grad=True)
    f = sn.compile(lambda x: x * w)
    x = sn.ones(1)
    warm(f, x)
    assert f(x).requires_grad
    with sn.no_grad():
        for _ in range(4):
            assert not f(x).requires_grad
    f(x).sum().backward()
    assert w.grad.tolist() == [1.0]


def test_many_states_and_shapes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from sennit import _compile

    monkeypatch.setattr(_compile, "MAX_SPECIALISATIONS", 4)
    f = sn.compile(lambda x: x * 2)
    warm(f, sn.ones(1))
    for n in range(2, 12):
        assert f(sn.ones(n)).shape == (n,)
    assert len(f._control.entries[0].ready) == 4
    assert "old ones go" in f.explain()


def test_bad_arguments() -> None:
    with pytest.raises(sn.InvalidType, match="must be a function or a module"):
        sn.compile(3)
    with pytest.raises(sn.InvalidType, match="must be a function or a module"):
        sn.compile(nn.Linear)
    with pytest.raises(sn.InvalidValue, match="check is -1"):
        sn.compile(lambda x: x, check=-1)


def test_decorated_methods_and_names() -> None:
    class Model(nn.Module):
        """Doc."""

        def __init__(self) -> None:
            self.w = nn.Parameter(sn.ones(2))

        @sn.compile
        def forward(self, x: Any) -> Any:
            """Forward's doc."""
            return x * self.w

    a, b = Model(), Model()
    with sn.no_grad():
        b.w += 1
        for _ in range(4):
            assert a(sn.ones(2)).tolist() == [1.0, 1.0]
            assert b(sn.ones(2)).tolist() == [2.0, 2.0]
    assert runs(Model.forward) == 4
    assert Model.forward.__name__ == "forward" and Model.forward.__doc__ == "Forward's doc."
