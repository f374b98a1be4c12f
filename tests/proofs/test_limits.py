"""Long chains, many shapes, several threads, failures at any point, processes and interrupts."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import sennit as sn

MILLION = 1_000_000
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def in_use() -> int:
    sn.synchronize()
    return sn.memory.stats()["in_use"]


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

# ---- long chains


def long_chain(requires_grad: bool, count: int, each: Callable[[int], None] = lambda _: None):
    x = sn.zeros(256)
    step = sn.ones(256, requires_grad=requires_grad)
    for i in range(count):
        x = x + step
        if i % 50_000 == 0:
            each(i)
    return x


@linux
def test_a_million_ops_never_read_keep_memory_constant() -> None:
    long_chain(False, 20_000)  # what is allocated once
    start, start_used, peaks = resident(), in_use(), []
    sn.memory.reset_peak()
    x = long_chain(False, MILLION, lambda _: peaks.append(resident()))
    assert max(peaks) - start < 24 << 20
    assert sn.memory.stats()["peak"] - start_used < 8 << 20
    assert x[3].item() == MILLION
    del x
    assert in_use() <= start_used


def test_a_long_tape_survives_destruction() -> None:
    before = in_use()
    x = long_chain(True, 100_000)
    assert x.requires_grad
    del x  # by recursion, this would overflow the stack
    assert in_use() <= before


def test_a_tape_of_a_million_nodes_survives_destruction() -> None:
    before = in_use()
    x = long_chain(True, MILLION)
    sn.synchronize()
    del x
    assert in_use() <= before


def check_backward(count: int) -> None:
    w = sn.tensor([1.0, 2.0], dtype=sn.float64, requires_grad=True)
    x = w
    for _ in range(count):
        x = x + w
    x.sum().backward()
    assert w.grad.tolist() == [count + 1.0, count + 1.0]


def test_backward_through_a_long_tape() -> None:
    check_backward(60_000)


def test_backward_through_a_million_nodes() -> None:
    check_backward(MILLION)


def test_wide_graphs() -> None:
    w = sn.ones(3, requires_grad=True)
    parts = [w * float(i) for i in range(3000)]
    sn.stack(parts).sum().backward()
    assert w.grad.tolist() == [3000 * 2999 / 2] * 3


def test_deeply_nested_expressions_of_views() -> None:
    x = sn.zeros((2, 3))
    for _ in range(5001):
        x = x.T
    assert x.shape == (3, 2)
    assert x.tolist() == [[0, 0]] * 3


# ---- many shapes


@linux
def test_200_batch_sizes_do_not_grow_the_plan_cache_or_memory() -> None:
    w1 = sn.tensor(np.random.default_rng(0).standard_normal((64, 32)), dtype=sn.float32)
    w2 = sn.tensor(np.random.default_rng(1).standard_normal((8, 64)), dtype=sn.float32)
    limit_before = sn.config.plan_cache
    sn.config.plan_cache = 64
    try:

        def step(batch: int) -> float:
            a, b = w1.detach().requires_grad_(True), w2.detach().requires_grad_(True)
            h = sn.gelu(sn.linear(sn.ones((batch, 32)), a))
            sn.mean(sn.square(sn.linear(h, b))).backward()
            return float(a.grad.sum() + b.grad.sum())

        for batch in range(1, 201):
            step(batch)
        used, size = in_use(), resident()
        for batch in range(1, 201):
            step(batch)
        cache = sn.memory.plan_cache()
        assert cache["plans"] <= cache["limit"] == 64
        assert in_use() <= used + (1 << 20)
        assert resident() - size < 16 << 20
    finally:
        sn.config.plan_cache = limit_before


def test_a_repeated_step_finds_its_plan() -> None:
    w = sn.ones((8, 8), requires_grad=True)

    def step(k: int) -> None:
        w.grad = None
        (sn.tanh(w * float(k)) @ w).sum().backward()
        w.grad.tolist()

    for k in range(3):
        step(k)
    before = sn.memory.plan_cache()["misses"]
    for k in range(50):  # the number is a runtime argument, not a part of the plan
        step(k)
    assert sn.memory.plan_cache()["misses"] == before


# ---- threads


def work(seed: int, rounds: int) -> list[float]:
    rng = np.random.default_rng(seed)
    w = sn.tensor(rng.standard_normal((20, 20)), requires_grad=True)
    results = []
    for _ in range(rounds):
        x = sn.tensor(rng.standard_normal((5, 20)))
        w.grad = None
        y = sn.tanh(x @ w)
        y[0] = 1
        y.sum().backward()
        results.append(float(w.grad.sum()) + float(y.sum()))
    return results


def test_two_threads_at_once() -> None:
    expected = [work(1, 60), work(2, 60)]
    found: list[list[float] | None] = [None, None]

    def run(k: int) -> None:
        found[k] = work(k + 1, 60)

    workers = [threading.Thread(target=run, args=(k,)) for k in range(2)]
    for t in workers:
        t.start()
    for t in workers:
        t.join(60)
    assert found == expected


def test_values_pass_between_threads_unread() -> None:
    made: list[sn.Tensor] = []
    x = sn.arange(10, dtype=sn.float64)

    def produce() -> None:
        made.append(x * 2)

    y = x + 1  # pending in this thread's window while the other uses x
    for _ in range(20):
        t = threading.Thread(target=produce)
        t.start()
        t.join(60)
    total = y
    for m in made:
        total = total + m
    assert total.tolist() == [20 * 2 * v + v + 1 for v in range(10)]


def test_a_thread_may_end_with_pending_values() -> None:
    made: list[sn.Tensor] = []
    for k in range(30):
        t = threading.Thread(target=lambda k=k: made.append(sn.full(100, float(k)) * 2))
        t.start()
        t.join(60)
    assert [float(m.sum()) for m in made] == [200.0 * k for k in range(30)]


def test_grad_mode_belongs_to_the_thread() -> None:
    seen: list[bool] = []
    with sn.no_grad():
        t = threading.Thread(target=lambda: seen.append(sn.grad_enabled()))
        t.start()
        t.join(60)
    assert seen == [True]


# ---- failures leave no trace


class BadBackward(sn.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        raise LookupError("deliberate")


def fail_shapes(big: sn.Tensor) -> None:
    (big * 2 + 1) @ sn.ones((3, 3))


def fail_index_at_the_call(big: sn.Tensor) -> None:
    (big * 2)[10_000]


def fail_index_while_running(big: sn.Tensor) -> None:
    y = big * 2
    float((y[sn.tensor([1, 700])] * 3).sum())


def fail_label(big: sn.Tensor) -> None:
    logits = big * 2
    labels = sn.full((big.shape[0],), 300, dtype=sn.int64)
    sn.cross_entropy(logits, labels).item()


def fail_custom_backward(big: sn.Tensor) -> None:
    w = big.detach().requires_grad_(True)
    (BadBackward.apply(w * 3) + 1).sum().backward()


def fail_hook(big: sn.Tensor) -> None:
    w = big.detach().requires_grad_(True)

    def hook(_g):
        raise LookupError("deliberate")

    w.register_hook(hook)
    (w * w).sum().backward()


def fail_user_code(big: sn.Tensor) -> None:
    y = big * 2
    z = sn.exp(y) + y
    assert z.shape == y.shape
    raise LookupError("deliberate")


def fail_not_scalar(big: sn.Tensor) -> None:
    w = big.detach().requires_grad_(True)
    (w * 2).backward()


FAILURES = {
    "bad shapes": (fail_shapes, sn.ShapeError),
    "bad index at the call": (fail_index_at_the_call, IndexError),
    "bad index while running": (fail_index_while_running, IndexError),
    "bad label": (fail_label, IndexError),
    "error in a custom backward": (fail_custom_backward, LookupError),
    "error in a hook": (fail_hook, LookupError),
    "user's exception": (fail_user_code, LookupError),
    "backward of a matrix": (fail_not_scalar, sn.GradError),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_leave_memory_and_results_as_they_were(name: str) -> None:
    function, kind = FAILURES[name]
    big = sn.tensor(np.random.default_rng(0).standard_normal((256, 256)), dtype=sn.float32)
    expected = float((big * big).sum())

    def once() -> None:
        with pytest.raises(kind):
            function(big)

    once()  # what is allocated once: plans, the arena
    before = in_use()
    for _ in range(20):
        once()
    assert in_use() <= before + 4096
    assert float((big * big).sum()) == expected
    assert sn.grad_enabled()


def test_values_that_do_not_depend_on_a_failure_survive_it() -> None:
    x = sn.ones((2, 3))
    innocent = x * 2
    bad = x[sn.tensor([7])]
    poisoned = bad + 1
    with pytest.raises(IndexError):
        poisoned.tolist()
    assert innocent.tolist() == [[2, 2, 2]] * 2
    assert x.tolist() == [[1, 1, 1]] * 2
    with pytest.raises(IndexError, match="index 7"):  # the first cause, at every read
        bad.tolist()


def test_a_failure_is_not_blamed_on_later_work() -> None:
    with pytest.raises(IndexError):
        sn.ones((2, 3))[sn.tensor([7])].tolist()
    assert sn.ones(3).tolist() == [1, 1, 1]
    sn.synchronize()  # the failure was told: it is not told again


def test_synchronize_tells_a_failure_that_nobody_read() -> None:
    bad = sn.ones((2, 3))[sn.tensor([7])]
    with pytest.raises(IndexError, match="index 7"):
        sn.synchronize()
    sn.synchronize()
    del bad


def test_one_bad_label_does_not_destroy_a_model(window) -> None:
    from sennit import nn, optim

    window(
        4096
    )  # a window is the transaction: op by op, batch norm has moved before the loss fails
    sn.random.seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    x = sn.tensor(np.random.default_rng(0).standard_normal((10, 6)), dtype=sn.float32)
    good = sn.tensor(np.arange(10) % 3)

    def step(labels: sn.Tensor) -> None:
        optimizer.zero_grad()
        sn.cross_entropy(model(x), labels).backward()
        optimizer.step()

    step(good)
    sn.synchronize()
    before = {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}
    with pytest.raises(IndexError):
        step(good + 1)  # a label of 3
        sn.synchronize()
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.detach().numpy(), before[name], err_msg=name)
    step(good)
    sn.synchronize()
    assert np.isfinite(sn.cross_entropy(model(x), good).item())


# ---- processes


def child(queue, seed: int) -> None:
    y = sn.ones((300, 300)) * seed
    queue.put(float((y @ y).sum()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes(method: str) -> None:
    a = sn.ones((400, 400))
    assert float((a @ a).sum()) == 400.0**3  # the pool of threads exists now
    pending = a + 1
    if method == "spawn":  # the child must find this file by name
        code = (
            "import multiprocessing as mp, sennit as sn\n"
            "def child(q):\n"
            "    y = sn.ones((300, 300)) * 2\n"
            "    q.put(float((y @ y).sum()))\n"
            "if __name__ == '__main__':\n"
            "    float(sn.ones(3).sum())\n"
            "    c = mp.get_context('spawn'); q = c.Queue()\n"
            "    p = c.Process(target=child, args=(q,))\n"
            "    p.start(); print(q.get(timeout=60)); p.join(60)\n"
        )
        script = Path(os.environ.get("TMPDIR", "/tmp")) / f"sennit_spawn_{os.getpid()}.py"
        script.write_text(code)
        try:
            done = run_script(str(script))
        finally:
            script.unlink()
        assert float(done) == 4 * 300.0**3
        return
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    processes = [context.Process(target=child, args=(queue, k)) for k in (1, 2)]
    for p in processes:
        p.start()
    results = sorted(queue.get(timeout=60) for _ in processes)
    for p in processes:
        p.join(60)
        assert p.exitcode == 0
    assert results == [300.0**3, 4 * 300.0**3]
    assert float(pending.sum()) == 2 * 400 * 400


def environment() -> dict[str, str]:
    root = str(Path(sn.__file__).resolve().parent.parent)
    return {**os.environ, "PYTHONPATH": root}


def run_script(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ctrl_c_interrupts_and_the_interpreter_goes_on() -> None:
    # A shell's background jobs ignore the signal, and their children inherit that.
    code = (
        "import signal\n"
        "import sennit as sn\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "a = sn.ones((700, 700))\n"
        "print('ready', flush=True)\n"
        "try:\n"
        "    while True:\n"
        "        float((a @ a).sum())\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', float(sn.ones(4).sum()))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "ready"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert out.strip() == "interrupted 4.0"


def test_pending_work_is_dropped_at_exit() -> None:
    # About 10 s of work that nobody reads, below every limit of a window.
    start = time.perf_counter()
    run_script(
        "-c",
        "import sennit as sn\nsn.config.window = 4096\nx = sn.ones((2000, 2000))\n"
        "for _ in range(100): x = x @ x * 0.001\n",
    )
    assert time.perf_counter() - start < 6


# ---- copies


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool"]
)
def test_pickle_and_deepcopy(dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    x = sn.tensor([[0, 1, 2], [3, 0, 1]]).astype(getattr(sn, dtype))
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), copy.copy(x)):
        assert (y.dtype, y.shape, y.tolist()) == (x.dtype, x.shape, x.tolist())
    deep = copy.deepcopy(x)
    deep[0, 1] = 0
    assert x.tolist()[0][1] == sn.ones(()).astype(x.dtype).item()


def test_copies_keep_requires_grad_and_are_independent() -> None:
    w = sn.tensor([1.0, 2.0], requires_grad=True)
    (w * w).sum().backward()
    for y in (pickle.loads(pickle.dumps(w)), copy.deepcopy(w)):
        assert y.requires_grad and y.is_leaf
        (y * 3).sum().backward()
        assert y.grad.tolist()[0] in (3.0, 5.0)  # with or without the gradient that w had
    assert w.grad.tolist() == [2.0, 4.0]


def test_views_and_empty_tensors_pickle() -> None:
    x = sn.arange(12).reshape(3, 4)
    for part in (x.T, x[::2, 1:], x[1:1], sn.zeros((0, 3))):
        y = pickle.loads(pickle.dumps(part))
        assert (y.shape, y.tolist()) == (part.shape, part.tolist())


def test_a_history_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="detach"):
        pickle.dumps(sn.ones(2, requires_grad=True) * 2)
