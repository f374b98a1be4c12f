"""Compiled functions among imperative code: gradients, transforms, state, errors, memory."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from programs import as_bytes, state_of

import sennit as sn
from sennit import nn

F = nn.functional


def runs(compiled: Any) -> int:
    return int(sn._core.compiled_runs(compiled)[1])


def trained(compile_it: bool, around: Callable[..., None], steps: int = 10) -> tuple[Any, Any]:
    """Trains a small network; `around(i, model, opt)` runs before each step."""
    sn.random.seed(3)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 1))
    opt = sn.optim.Adam(model.parameters(), lr=0.02)

    def step(x: Any, y: Any) -> Any:
        loss = F.mse_loss(model(x), y)
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss

    call = sn.compile(step) if compile_it else step
    x, y = sn.ones((4, 3)), sn.zeros((4, 1))
    losses = []
    for i in range(steps):
        around(i, model, opt)
        losses.append(call(x, y).item())
    return (losses, as_bytes(state_of(model, opt)), sn._core.random_state()), call


def nothing(i: int, model: Any, opt: Any) -> None:
    pass


def draws_between(i: int, model: Any, opt: Any) -> None:
    sn.rand(3)


def seeds_between(i: int, model: Any, opt: Any) -> None:
    if i % 3 == 2:
        sn.random.seed(i)


def writes_between(i: int, model: Any, opt: Any) -> None:
    if i % 3 == 2:
        with sn.no_grad():
            model[0].weight *= 0.5
            model[3].bias[0] = 0.25


saved: dict[str, Any] = {}


def loads_between(i: int, model: Any, opt: Any) -> None:
    if i == 5:
        saved["model"], saved["opt"] = model.state_dict(), opt.state_dict()
    if i == 8:
        model.load_state_dict(saved["model"])
        opt.load_state_dict(saved["opt"])


def clears_between(i: int, model: Any, opt: Any) -> None:
    if i == 6:
        opt.state.clear()


def data_between(i: int, model: Any, opt: Any) -> None:
    if i == 6:
        model[0].weight.data = model[0].weight.data * 2


@pytest.mark.parametrize(
    "around",
    [nothing, draws_between, seeds_between, writes_between, loads_between, clears_between,
     data_between],
)  # fmt: skip
def test_state_that_changes_between_calls(around: Any) -> None:
    wanted, _ = trained(False, around)
    found, call = trained(True, around)
    assert found == wanted
    assert runs(call) >= 3, call.explain()


def test_a_snapshot_keeps_its_values() -> None:
    w = sn.tensor([1.0, 2.0], requires_grad=True)
    opt = sn.optim.SGD([w], lr=0.5)

    def step() -> None:
        (w * w).sum().backward()
        opt.step()
        opt.zero_grad()

    f = sn.compile(step)
    for _ in range(3):
        f()
    before, array, row = w.detach(), w.detach().numpy(), w[0].detach()
    kept = before.tolist()
    f()
    assert before.tolist() == kept and array.tolist() == kept and row.item() == kept[0]
    assert w.tolist() == [0.0, 0.0] or w.tolist() != kept
    assert runs(f) == 2


def test_a_view_follows_its_base() -> None:
    total = sn.zeros(3)
    first = total[:1]

    def add(x: Any) -> None:
        total.assign_(total + x)

    f = sn.compile(add)
    for n in range(1, 6):
        f(sn.ones(3))
        assert first.tolist() == [float(n)]
    assert runs(f) >= 2


def test_results_that_are_views_or_arguments() -> None:
    x = sn.zeros((2, 2))
    f = sn.compile(lambda x: x)
    for _ in range(4):
        assert f(x) is x
    assert runs(f) == 2
    g = sn.compile(lambda x: x[0])
    for n in range(4):
        row = g(x)
        row += 1  # writes through, as imperatively
        assert x[0].tolist() == [n + 1.0] * 2
    assert runs(g) == 0


def test_a_tensor_and_a_view_of_it() -> None:
    def f(x: Any) -> Any:
        h = x * 2
        return h, h[0]

    g = sn.compile(f)
    for _ in range(4):
        h, row = g(sn.ones((2, 2)))
        row += 1
        assert h.tolist() == [[3.0, 3.0], [2.0, 2.0]]
    assert runs(g) == 0
    part = sn.compile(lambda x: (x * 2)[0])  # a view of what is gone
    for _ in range(4):
        assert part(sn.ones((2, 2))).tolist() == [2.0, 2.0]
    assert runs(part) == 2


def test_lists_that_hold_themselves() -> None:
    loop: list[Any] = []
    loop.append(loop)
    f = sn.compile(lambda x: [x + 1, loop])
    for _ in range(4):
        made = f(sn.zeros(1))
        assert made[0].item() == 1.0 and made[1] is loop
    assert runs(f) == 0
    g = sn.compile(lambda x, y: x + 1)
    for _ in range(4):
        assert g(sn.zeros(1), loop).item() == 1.0


def test_gradients_flow_through() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.4))
    head = nn.Linear(4, 1)

    def losses(call: Any) -> Any:
        sn.random.seed(1)
        model[1].reset_running_stats()
        made = []
        for _ in range(6):
            x = sn.linspace(-1, 1, 15).reshape(5, 3).requires_grad_()
            head(call(x)).sum().backward()
            made += [x.grad.tolist(), *(p.grad.tolist() for p in model[:2].parameters())]
            for p in [*model.parameters(), *head.parameters()]:
                p.grad = None
        return made, as_bytes(list(model.buffers()))

    compiled = sn.compile(model)
    assert losses(compiled) == losses(model)
    assert runs(compiled) == 4 and "on the tape" in compiled.explain()


def test_detach_inside_keeps_gradients_apart() -> None:
    w = sn.tensor([3.0], requires_grad=True)
    f = sn.compile(lambda x: (x * w).detach() * w + w.detach() * x)
    for _ in range(5):
        x = sn.tensor([2.0], requires_grad=True)
        f(x).sum().backward()
        assert x.grad.tolist() == [3.0] and w.grad.tolist() == [6.0]
        w.grad = None
    assert runs(f) == 3


def test_transforms_of_compiled_functions() -> None:
    w = sn.tensor([1.0, 2.0, 3.0])
    f = sn.compile(lambda x: (x**3 * w).sum())
    x = sn.tensor([1.0, 2.0, 3.0])
    for _ in range(4):
        f(x)
    for _ in range(4):
        assert sn.grad(f)(x).tolist() == [3.0, 24.0, 81.0]
        assert sn.vmap(f)(sn.stack([x, 2 * x])).tolist() == [98.0, 784.0]
        assert sn.jacrev(sn.grad(f))(x).tolist() == sn.hessian(f)(x).tolist()
        assert sn.jvp(f, (x,), (sn.ones(3),))[1].item() == 108.0
    graph = sn.trace(f, x)
    assert graph(x).item() == f(x).item()


def test_transforms_inside() -> None:
    w = sn.tensor([1.0, 2.0])

    def f(x: Any) -> Any:
        return sn.vmap(sn.grad(lambda r: (r**2 * w).sum()))(x)

    g = sn.compile(f)
    x = sn.tensor([[1.0, 2.0], [3.0, 4.0]])
    for _ in range(5):
        assert g(x).tolist() == f(x).tolist()
    assert runs(g) == 3


def test_compiled_inside_compiled() -> None:
    factor = [2.0]
    inner = sn.compile(lambda x: x * factor[0])
    outer = sn.compile(lambda x: inner(x) + inner(x + 1))
    for _ in range(5):
        assert outer(sn.ones(1)).tolist() == [6.0]
    assert runs(outer) == 3 and runs(inner) == 0
    factor[0] = 3.0
    assert outer(sn.ones(1)).tolist() == [9.0]


def test_custom_function_inside_a_step() -> None:
    class Twice(sn.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 5

    w = sn.tensor([1.0], requires_grad=True)

    def step() -> Any:
        Twice.apply(w).sum().backward()
        made, w.grad = w.grad, None
        return made

    f = sn.compile(step)
    for _ in range(5):
        assert f().tolist() == [5.0]
    assert runs(f) == 3
    g = sn.compile(lambda: Twice.apply(w))  # its gradient would be lost
    for _ in range(4):
        g().sum().backward()
    assert runs(g) == 0 and w.grad.tolist() == [20.0]


def test_checkpoint_inside() -> None:
    layer = nn.Linear(3, 3)

    def step(x: Any) -> Any:
        sn.checkpoint(lambda h: layer(h).tanh().sum(), x).backward()
        made, layer.weight.grad, layer.bias.grad = layer.weight.grad, None, None
        return made

    f = sn.compile(step)
    x = sn.ones((2, 3))
    for _ in range(5):
        assert f(x).tolist() == step(x).tolist()
    assert runs(f) == 3, f.explain()


def test_exceptions() -> None:
    w = sn.tensor([1.0])

    def f(x: Any, fail: bool = False) -> Any:
        y = x * 2
        w.assign_(w + 1.0)
        if fail:
            raise ValueError("no")
        return y @ y

    g = sn.compile(f)
    with pytest.raises(ValueError, match="no"):
        g(sn.ones(2), True)
    for _ in range(4):
        assert g(sn.ones(2)).item() == 8.0
        with pytest.raises(ValueError, match="no"):
            g(sn.ones(2), True)
        with pytest.raises(sn.ShapeError):
            g(sn.ones((2, 3)))
    assert runs(g) == 2
    assert w.item() == 14.0


def test_bad_values_name_the_line_and_leave_the_model_alone() -> None:
    model = nn.Linear(2, 3)
    opt = sn.optim.Adam(model.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss

    f = sn.compile(step)
    x, good, bad = sn.ones((2, 2)), sn.tensor([0, 1]), sn.tensor([0, 7])
    for _ in range(5):
        f(x, good)
    sn.synchronize()
    before = as_bytes(state_of(model, opt))
    done = runs(f)
    loss = f(x, bad)
    assert runs(f) == done + 1
    with pytest.raises(sn.SennitError, match="7") as caught:
        loss.item()
    line = step.__code__.co_firstlineno + 1
    assert f"test_mixed.py:{line}" in str(caught.value)
    assert as_bytes(state_of(model, opt)) == before
    assert f(x, good).item() > 0


def test_a_spent_result_says_so() -> None:
    w = sn.tensor([1.0], requires_grad=True)
    opt = sn.optim.SGD([w], lr=0.1)

    def step() -> Any:
        loss = (w * w).sum()
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss

    f = sn.compile(step)
    for _ in range(4):
        loss = f()
    assert loss.requires_grad and not loss.is_leaf
    with pytest.raises(sn.GradError, match="given up"):
        loss.backward()


def test_gradients_that_accumulate() -> None:
    w = sn.tensor([2.0], requires_grad=True)

    def add(x: Any) -> None:
        (w * x).sum().backward()

    f = sn.compile(add)
    for n in range(1, 8):
        f(sn.tensor([float(n)]))
        assert w.grad.tolist() == [n * (n + 1) / 2]
    assert runs(f) >= 4
    w.grad = None
    f(sn.tensor([4.0]))
    assert w.grad.tolist() == [4.0]


def test_two_tensors_of_one_value() -> None:
    a = sn.tensor([1.0])
    b = a.detach()  # another handle of the same value

    def f(x: Any) -> Any:
        a.assign_(a + x)
        return a * b

    g = sn.compile(f)
    assert [g(sn.ones(1)).item() for _ in range(5)] == [2.0, 3.0, 4.0, 5.0, 6.0]
    assert runs(g) == 3


def test_tensors_swap() -> None:
    a, b = sn.tensor([1.0]), sn.tensor([2.0])

    def swap() -> Any:
        old = a.detach()
        a.assign_(b)
        b.assign_(old)
        return a + 0

    f = sn.compile(swap)
    assert [f().item() for _ in range(6)] == [2.0, 1.0] * 3
    assert a.item() == 1.0 and b.item() == 2.0 and runs(f) == 4


def test_unread_results_are_bounded() -> None:
    f = sn.compile(lambda x: x + 1)
    x = sn.zeros(1)
    total = sn.zeros(1)
    for _ in range(300):
        total = total + f(x)
    assert total.item() == 300.0


def test_steady_memory() -> None:
    def peak(compile_it: bool) -> tuple[int, int]:
        sn.random.seed(0)
        model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64))
        opt = sn.optim.Adam(model.parameters(), lr=1e-3)

        def step(x: Any) -> Any:
            loss = (model(x) ** 2).mean()
            loss.backward()
            opt.step()
            opt.zero_grad()
            return loss

        call = sn.compile(step) if compile_it else step
        x = sn.ones((32, 64))
        for _ in range(6):
            call(x)
        sn.synchronize()
        gc.collect()
        sn._core.reset_peak()
        before = sn._core.memory_stats()
        for _ in range(20):
            call(x)
            sn.synchronize()
        after = sn._core.memory_stats()
        assert after["in_use"] <= before["in_use"]
        return after["peak"] - before["in_use"], after["system_allocations"] - before[
            "system_allocations"
        ]

    imperative, compiled = peak(False), peak(True)
    assert compiled[0] <= imperative[0]
    assert compiled[1] == 0


def test_what_is_dropped_is_freed() -> None:
    def make() -> Any:
        model = nn.Linear(2, 2)
        model.__dict__["step"] = sn.compile(lambda x: model(x) * 2)
        with sn.no_grad():
            for _ in range(4):
                model.__dict__["step"](sn.ones((1, 2)))
        assert runs(model.__dict__["step"]) == 2
        return weakref.ref(model)

    gone = make()
    gc.collect()
    assert gone() is None


def test_threads() -> None:
    w = sn.ones(8)
    f = sn.compile(lambda x: (x * w[: x.shape[0]]).sum())
    wrong: list[Any] = []

    def work(n: int) -> None:
        try:
            for i in range(60):
                size = 1 + (i + n) % 8  # every thread meets every shape
                if f(sn.full((size,), float(n))).item() != float(size * n):
                    wrong.append((n, i))
        except Exception as problem:
            wrong.append(problem)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_an_interrupt_leaves_no_recording_behind() -> None:
    def f(x: Any, stop: bool) -> Any:
        y = x + 1
        if stop:
            raise KeyboardInterrupt
        return y

    g = sn.compile(f)
    with pytest.raises(KeyboardInterrupt):
        g(sn.ones(1), True)
    assert not sn._core.recording()
    for _ in range(4):
        assert g(sn.ones(1), False).tolist() == [2.0]
    assert runs(g) == 2


def test_reports() -> None:
    f = sn.compile(lambda x: sn.relu(x) + 1)
    for _ in range(3):
        f(sn.ones(3))
    with sn.explain() as e:
        f(sn.ones(3))
    assert "relu" in str(e) and "test_mixed.py" in str(e)
    assert e.windows[-1]["recorded"] == 2


def test_detect_nan_calls_through() -> None:
    f = sn.compile(sn.log)
    for _ in range(3):
        f(sn.ones(1))
    sn.config.detect_nan = True
    try:
        with pytest.raises(sn.SennitError, match="NaN"):
            f(sn.tensor([-1.0]))
    finally:
        sn.config.detect_nan = False
    assert f(sn.ones(1)).item() == 0.0


def test_long_functions() -> None:
    def f(x: Any) -> Any:
        for i in range(6000):
            x = x * 0.999 + 0.001 * (i % 7)
        return x

    g = sn.compile(f)
    x = sn.tensor([1.0, -2.0])
    wanted = f(x).tolist()
    for _ in range(4):
        assert g(x).tolist() == wanted
    assert runs(g) == 2


def test_far_too_long_functions_stay_imperative() -> None:
    def f(x: Any) -> Any:
        for _ in range(70_000):
            x = x + 1
        return x

    g = sn.compile(f)
    for _ in range(3):
        assert g(sn.zeros(1)).item() == 70_000.0
    assert runs(g) == 0 and "more than 65536 operations" in g.explain()


def test_other_devices(fresh_python: Callable[..., str]) -> None:
    program = """
import sennit as sn
def train(compile_it):
    sn.random.seed(1)
    model = sn.nn.Sequential(sn.nn.Linear(3, 4), sn.nn.Dropout(0.5), sn.nn.Linear(4, 1)).to("cpu:1")
    opt = sn.optim.Adam(model.parameters(), lr=0.1)
    def step(x):
        loss = (model(x) ** 2).mean()
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss
    f = sn.compile(step) if compile_it else step
    x = sn.ones((2, 3), device="cpu:1")
    losses = [f(x) for _ in range(6)]
    assert losses[-1].device == "cpu:1"
    return [loss.item() for loss in losses]
assert train(True) == train(False)
x = sn.ones((2, 3), device="cpu:1")
y = sn.ones((2, 3))
h = sn.compile(lambda a: sn.relu(a) * a)
for _ in range(4):
    assert h(x).device == "cpu:1" and (y * 2).sum().item() == 12.0
assert sn._core.compiled_runs(h)[1] == 2, h.explain()
g = sn.compile(lambda a, b: (a * 2, b * 3))
for _ in range(4):
    p, q = g(x, y)
    assert p.device == "cpu:1" and q.device == "cpu" and q.tolist()[0][0] == 3.0
assert sn._core.compiled_runs(g)[1] == 0
print("fine")
"""
    assert "fine" in fresh_python("-c", program, SENNIT_CPU_DEVICES="2")


def test_every_way_of_running(fresh_python: Callable[..., str]) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from programs import run
import hashlib
for name in ("cnn", "gan", "adam_scheduled"):
    found, call = run(name, compiled=True)
    assert "compiled; 3 recorded" in call.explain(), call.explain()
    print(hashlib.sha256(repr(found).encode()).hexdigest())
"""
    ways = ({}, {"SENNIT_ENGINE": "serial"}, {"SENNIT_WINDOW": "1"}, {"SENNIT_NUM_THREADS": "1"},
            {"SENNIT_VERIFY": "1"})  # fmt: skip
    assert len({fresh_python("-c", program, **way) for way in ways}) == 1


def test_slices_and_numbers_of_the_graph() -> None:
    table = sn.arange(20.0).reshape(10, 2)
    start = 3
    f = sn.compile(lambda x: table[start : start + 2] + x)
    for _ in range(4):
        assert f(sn.zeros(2)).tolist() == [[6.0, 7.0], [8.0, 9.0]]
    start = 5
    for _ in range(4):
        assert f(sn.zeros(2)).tolist() == [[10.0, 11.0], [12.0, 13.0]]
    assert runs(f) == 5


def test_empty_tensors_and_no_tensors() -> None:
    f = sn.compile(lambda x: (x * 2).sum())
    for _ in range(4):
        assert f(sn.zeros((0, 3))).item() == 0.0
    g = sn.compile(lambda: sn.arange(3) + 1)
    for _ in range(4):
        assert g().tolist() == [1, 2, 3]
    h = sn.compile(lambda: 5)
    assert [h() for _ in range(4)] == [5] * 4
    assert runs(f) == runs(g) == runs(h) == 2
