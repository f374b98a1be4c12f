"""sn.cond, sn.while_loop and sn.scan: line by line, in graphs, from files."""

import sys
from pathlib import Path

import pytest

import sennit as sn

sys.path.insert(0, str(Path(__file__).resolve().parent))

from control_helpers import rand, same


def check_everywhere(function, *args, tmp_path=None, grad=()):
    """The same bits line by line, in a graph, in what is made of it and from a file; on one and on
    two threads."""
    want = function(*args)
    graph = sn.trace(function, *[sn.TensorSpec(x.shape, x.dtype) for x in args])
    graphs = [graph, graph.optimize(), graph.rewrite(lambda node, *inputs: None)]
    if isinstance(want, sn.Tensor):
        graphs.append(graph.cut(*graph.outputs))
    if tmp_path is not None:
        graph.save(tmp_path / "g.sn")
        graphs.append(sn.load(tmp_path / "g.sn"))
        assert "block 0" in str(graphs[-1])
    for g in graphs:
        same(g(*args), want)
    before = sn.num_threads()
    try:
        for threads in (1, 2):
            sn.set_num_threads(threads)
            same(graph(*args), want)
            same(function(*args), want)
    finally:
        sn.set_num_threads(before)
    return graph


def branch(x):
    return sn.cond(x.sum() > 0, lambda x: (sn.exp(x), x + 1), lambda x: (x * 2, x - 1), x)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_cond(sign, tmp_path):
    graph = check_everywhere(branch, sn.ones(3) * sign, tmp_path=tmp_path)
    assert [node.op for node in graph.nodes][-1] == "cond"
    assert [[n.op for n in b.nodes] for b in graph.nodes[-1].blocks] == [
        ["exp", "add"],
        ["multiply", "subtract"],
    ]


def test_cond_without_operands(tmp_path):
    w, b = rand(3, seed=1), rand(3, seed=2)

    def choose(x):
        return sn.cond(x[0] > 0, lambda: {"y": x * w}, lambda: {"y": b})

    graph = check_everywhere(choose, rand(3), tmp_path=tmp_path)
    check_everywhere(choose, -rand(3), tmp_path=tmp_path)
    assert len(graph.constants) == 2


def test_cond_on_numbers_and_known_tensors():
    assert sn.cond(True, lambda x: x, lambda x: x - 1, sn.tensor(1.0)).item() == 1.0
    assert sn.cond(sn.tensor(0), lambda: 2, lambda: 3.5).item() == 3.5
    known = sn.tensor(False)
    graph = sn.trace(lambda x: sn.cond(known, sn.exp, sn.negative, x), sn.TensorSpec(()))
    assert "cond" not in [node.op for node in graph.nodes]


def test_cond_of_an_int_condition(tmp_path):
    for value in (0, 3):
        check_everywhere(
            lambda n: sn.cond(n, lambda n: n * 2, lambda n: n - 1, n),
            sn.tensor([value]),
            tmp_path=tmp_path,
        )


def collatz(n):
    """Steps to 1."""

    def step(c):
        k, n = c
        half = sn.cond(n % 2 == 0, lambda n: n // 2, lambda n: 3 * n + 1, n)
        return k + 1, half

    return sn.while_loop(lambda c: c[1] != 1, step, (0, n))


@pytest.mark.parametrize("start", [1, 2, 27])
def test_while_loop_with_a_branch(start, tmp_path):
    graph = check_everywhere(collatz, sn.tensor(start), tmp_path=tmp_path)
    assert graph(sn.tensor(27))[0].item() == 111


def test_max_steps(tmp_path):
    def count(x):
        return sn.while_loop(lambda c: c < 100, lambda c: c + 1, x, max_steps=7)

    graph = check_everywhere(count, sn.tensor(1), tmp_path=tmp_path)
    assert graph(sn.tensor(1)).item() == 8
    assert graph(sn.tensor(98)).item() == 100
    none = sn.trace(
        lambda x: sn.while_loop(lambda c: c < 9, lambda c: c + 1, x, max_steps=0),
        sn.TensorSpec((), sn.int64),
    )
    assert none(sn.tensor(1)).item() == 1


def cell(w, u):
    def step(h, x):
        h = sn.tanh(x @ w + h @ u)
        return h, h.sum()

    return step


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 5])
def test_scan(reverse, length, tmp_path):
    w, u = rand(3, 4, seed=1), rand(4, 4, seed=2)

    def run(h, xs):
        return sn.scan(cell(w, u), h, xs, reverse=reverse)

    graph = check_everywhere(run, rand(2, 4), rand(length, 2, 3), tmp_path=tmp_path)
    assert [node.op for node in graph.nodes] == ["scan"]
    h, sums = run(rand(2, 4), rand(length, 2, 3))
    assert sums.shape == (length,) and h.shape == (2, 4)


def test_scan_without_rows_and_results(tmp_path):
    def power(x):
        last, nothing = sn.scan(lambda c, _: (c * x, None), sn.ones_like(x), length=5)
        assert nothing is None
        return last

    check_everywhere(power, rand(3), tmp_path=tmp_path)


def test_scan_over_a_structure(tmp_path):
    def run(a, b):
        def step(carry, x):
            total = carry["total"] + x["a"].sum() * x["b"]
            return {"n": carry["n"] + 1, "total": total}, (total, carry["n"])

        return sn.scan(step, {"total": sn.tensor(0.0), "n": 0}, {"a": a, "b": b})

    check_everywhere(run, rand(4, 3), rand(4), tmp_path=tmp_path)


def test_nesting(tmp_path):
    w = rand(3, 3, seed=3)

    def run(x):
        def row(carry, r):
            def grow(c):
                return sn.while_loop(
                    lambda c: c.abs().max() < 10.0,
                    lambda c: sn.cond(
                        c.sum() > 0, lambda c: c * 1.5, lambda c: (c @ w) * 4 + 0.1, c
                    ),
                    c,
                    max_steps=50,
                )

            made = sn.cond(r.sum() > 0, grow, lambda c: c / 2, carry + r)
            return sn.clip(made, -5.0, 5.0), made

        return sn.scan(row, sn.zeros(3), x)

    graph = check_everywhere(run, rand(6, 3), tmp_path=tmp_path)
    assert "scan" in str(graph) and "while_loop" in str(graph)


def test_parameters_keep_their_names(tmp_path):
    class Net(sn.nn.Module):
        def __init__(self):
            super().__init__()
            self.even = sn.nn.Linear(4, 4)
            self.odd = sn.nn.Linear(4, 4)

        def forward(self, x):
            for _ in range(2):
                x = sn.cond(x.sum() > 0, self.even, self.odd, x)
            return x

    net = Net()
    graph = sn.trace(net, sn.TensorSpec((2, 4)))
    assert set(graph.parameters) == {"even.weight", "even.bias", "odd.weight", "odd.bias"}
    x = rand(2, 4)
    same(graph(x), net(x))
    with sn.no_grad():
        net.odd.bias.assign_(net.odd.bias + 1)
        net.even.bias.assign_(net.even.bias - 1)
    same(graph(x), net(x))
    graph.save(tmp_path / "net.sn")
    same(sn.load(tmp_path / "net.sn")(x), net(x))


def test_gradients_of_a_call_are_those_of_the_function():
    def run(x, w):
        def step(h, x):
            h = sn.cond(h.sum() > 0, lambda h: sn.tanh(h @ w + x @ w), lambda h: h * 0.5 + x, h)
            return h, h * h

        return sn.scan(step, sn.zeros(4) + x[0], x)

    graph = sn.trace(run, sn.TensorSpec((5, 4)), sn.TensorSpec((4, 4)))
    found = []
    for f in (run, graph):
        x, w = rand(5, 4).requires_grad_(), rand(4, 4, seed=1).requires_grad_()
        last, ys = f(x, w)
        (last.sum() + (ys * 0.3).sum()).backward()
        found.append((x.grad, w.grad))
    same(found[0], found[1])


def test_random_numbers(tmp_path):
    def draw(x, n):
        a = sn.random.normal(shape=(2,))

        def step(c):
            k, total = c
            total = total + sn.cond(
                k % 2 == 0,
                lambda: sn.random.uniform(shape=(2,)) + sn.random.normal(shape=(2,)),
                lambda: sn.random.normal(shape=(2,)),
            )
            return k + 1, total

        _, b = sn.while_loop(lambda c: c[0] < n, step, (0, x))
        c = sn.random.normal(shape=(2,))
        d, rows = sn.scan(lambda c, _: (c, sn.random.normal(shape=(2,)) + c), c, length=3)
        return a, b, c, d, rows, sn.random.uniform(shape=(2,))

    x = sn.zeros(2)
    graph = sn.trace(draw, sn.TensorSpec((2,)), sn.TensorSpec((), sn.int64))
    graph.save(tmp_path / "draws.sn")
    graphs = [graph, sn.load(tmp_path / "draws.sn"), graph.rewrite(lambda node, *inputs: None)]
    graphs.append(graph.optimize())
    inner = sn.trace(lambda x, n: (sn.random.normal(shape=(2,)), graph(x, n)), *graph_specs(graph))
    for n in (0, 1, 4):
        for g in graphs:
            sn.random.seed(3)
            want = [draw(x, sn.tensor(n)) for _ in range(2)], sn.random.normal(shape=(3,))
            sn.random.seed(3)
            got = [g(x, sn.tensor(n)) for _ in range(2)], sn.random.normal(shape=(3,))
            same(got, want)
        sn.random.seed(3)
        first = sn.random.normal(shape=(2,)), draw(x, sn.tensor(n)), sn.random.normal(shape=(1,))
        sn.random.seed(3)
        same((*inner(x, sn.tensor(n)), sn.random.normal(shape=(1,))), first)


def graph_specs(graph):
    return [sn.TensorSpec(v.shape, v.dtype) for v in graph.inputs]


# ---------------------------------------------------------------- open sizes


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_open_sizes(n, tmp_path):
    w = rand(3, 3, seed=1)

    def run(xs):
        def step(h, x):
            h = sn.cond(
                h.sum() > x.sum(),
                lambda h: h.reshape((-1,))[: x.shape[0] * 3].reshape((x.shape[0], 3)) @ w,
                lambda h: h / x.shape[0] + x,
                h,
            )
            return h, h.mean(0)

        last, ys = sn.scan(step, sn.zeros(xs.shape[1:]), xs)
        count = sn.while_loop(lambda c: c.sum() < 2 * xs.shape[0], lambda c: c + 1, sn.zeros(2))
        return last, ys, count, sn.arange(xs.shape[0])

    graph = sn.trace(run, sn.TensorSpec(("t", "n", 3)))
    graph.save(tmp_path / "open.sn")
    loaded = sn.load(tmp_path / "open.sn")
    for t in (1, 4, 9):
        xs = rand(t, n, 3)
        want = run(xs)
        same(graph(xs), want)
        same(loaded(xs), want)
        same(graph.bind(t=t, n=n)(xs), want)
        same(loaded.rewrite(lambda node, *inputs: None)(xs), want)
    assert "t" in str(graph) and "n" in str(loaded)


# ---------------------------------------------------------------- errors


def both_ways(function, *args):
    """The errors of a call and of a trace."""
    found = []
    specs = [sn.TensorSpec(x.shape, x.dtype) for x in args]
    for call in (lambda: function(*args), lambda: sn.trace(function, *specs)):
        with pytest.raises(sn._core.SennitError) as caught:
            call()
        found.append(caught.value)
    return found


def test_a_carry_of_another_type():
    for error in both_ways(
        lambda x: sn.while_loop(lambda c: c.sum() < 9, lambda c: c.sum(), x), sn.ones(2)
    ):
        assert isinstance(error, sn._core.ShapeError) and "while_loop" in str(error)
        assert "(2,)" in str(error) and "carry 0" in str(error)
    for error in both_ways(
        lambda x: sn.scan(lambda c, x: (c.astype(sn.float64), x), sn.tensor(0.0), x), sn.ones(2)
    ):
        assert isinstance(error, sn._core.DTypeError) and "float64" in str(error)


def test_another_structure():
    for error in both_ways(
        lambda x: sn.while_loop(lambda c: c[0] < 9, lambda c: [c[0], c[1]], (x, x)), sn.tensor(1.0)
    ):
        assert isinstance(error, sn._core.InvalidValue) and "(*, *)" in str(error)
    for error in both_ways(lambda x: sn.scan(lambda c, x: c, x, length=2), sn.tensor(1.0)):
        assert isinstance(error, sn._core.InvalidType) and "(carry, y)" in str(error)


def test_branches_that_differ():
    spec = sn.TensorSpec((2,))
    with pytest.raises(sn._core.ShapeError, match="true_fn and"):
        sn.trace(lambda x: sn.cond(x[0] > 0, lambda: x, x.sum), spec)
    with pytest.raises(sn._core.DTypeError, match="float64"):
        sn.trace(lambda x: sn.cond(x[0] > 0, lambda: x, lambda: x.astype(sn.float64)), spec)
    with pytest.raises(sn._core.InvalidValue, match="structure"):
        sn.trace(lambda x: sn.cond(x[0] > 0, lambda: (x, x), lambda: x), spec)
    with pytest.raises(sn._core.InvalidType, match="str"):
        sn.trace(lambda x: sn.cond(x[0] > 0, lambda: "a", lambda: x), spec)


def test_bad_arguments():
    with pytest.raises(sn._core.InvalidType, match="true_fn"):
        sn.cond(True, 1, lambda: 2)
    with pytest.raises(sn._core.InvalidValue, match="max_steps"):
        sn.while_loop(lambda c: True, lambda c: c, 0, max_steps=-1)
    with pytest.raises(sn._core.InvalidValue, match="length"):
        sn.scan(lambda c, x: (c, x), 0)
    with pytest.raises(sn._core.ShapeError, match="length"):
        sn.scan(lambda c, x: (c, x), 0, (sn.ones(2), sn.ones(3)))
    with pytest.raises(sn._core.InvalidType, match="rows"):
        sn.scan(lambda c, x: (c, x), 0, sn.tensor(1.0))
    with pytest.raises(sn._core.ShapeError, match="one element"):
        sn.trace(lambda x: sn.cond(x > 0, lambda: x, lambda: x), sn.TensorSpec((2,)))


def test_reading_values_and_writing_inside():
    spec = sn.TensorSpec((2,))
    with pytest.raises(sn._core.InvalidValue, match="elements"):
        sn.trace(lambda x: sn.scan(lambda c, r: (c if r > 0 else -c, None), x[0], x), spec)
    total = sn.zeros(2)

    def add(c, r):
        total.assign_(total + r)
        return c, r

    with pytest.raises(sn._core.InvalidValue, match="in place"):
        sn.trace(lambda x: sn.scan(add, x[0], x), spec)


def test_what_needs_one_plan():
    graph = sn.trace(branch, sn.TensorSpec((3,)))
    with pytest.raises(sn._core.InvalidValue, match="blocks"):
        graph.memory_plan()
    assert graph.nodes[-1].blocks[0].memory_plan().kernels >= 1


def test_passes_reach_blocks():
    graph = sn.trace(
        lambda x: sn.cond(x[0] > 0, lambda x: sn.exp(x) + sn.exp(x), lambda x: x, x),
        sn.TensorSpec((2,)),
    )
    assert len(graph.nodes[-1].blocks[0].nodes) == 3
    assert len(graph.optimize().nodes[-1].blocks[0].nodes) == 2


def test_a_whole_step_of_training():
    def model_and_step():
        sn.random.seed(5)
        net = sn.nn.Linear(3, 3)
        opt = sn.optim.SGD(net.parameters(), lr=0.1)
        steps = sn.tensor(0)

        def step(x):
            loss = (net(x) ** 2).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()
            steps.assign_(sn.cond(loss > 0.1, lambda: steps + 1, lambda: steps))
            return loss

        return net, opt, steps, step

    x = rand(4, 3)
    net, _, steps, step = model_and_step()
    losses = [step(x) for _ in range(12)]
    net2, opt2, steps2, step2 = model_and_step()
    graph = sn.trace(step2, sn.TensorSpec((4, 3)), mutable=[net2, opt2, {"steps": steps2}])
    same([graph(x) for _ in range(12)], losses)
    same(dict(net2.named_parameters()), dict(net.named_parameters()))
    assert 0 < steps.item() == steps2.item()


# ---------------------------------------------------------------- elsewhere


def test_compiled_functions_stay_imperative():
    calls = sn.compile(lambda x: sn.cond(x.sum() > 0, sn.exp, sn.negative, x))
    for x in (sn.ones(2), -sn.ones(2), sn.ones(2)):
        same(calls(x), branch_of(x))
    loop = sn.compile(lambda x: sn.scan(lambda c, r: (c + r, c * r), sn.zeros(2), x))
    for _ in range(3):
        x = rand(4, 2)
        same(loop(x), sn.scan(lambda c, r: (c + r, c * r), sn.zeros(2), x))


def branch_of(x):
    return sn.exp(x) if x.sum() > 0 else -x


def test_a_graph_in_a_compiled_function():
    graph = sn.trace(branch, sn.TensorSpec((3,)))
    calls = sn.compile(lambda x: graph(x)[0] + 1)
    for x in (sn.ones(3), -sn.ones(3)):
        for _ in range(3):
            same(calls(x), branch(x)[0] + 1)


def test_a_graph_inside_of_others():
    inner = sn.trace(collatz, sn.TensorSpec((), sn.int64))
    outer = sn.trace(lambda n: sn.scan(lambda c, x: (c + inner(x)[0], inner(x)[1]), 0, n),
                     sn.TensorSpec((4,), sn.int64))  # fmt: skip
    same(outer(sn.tensor([1, 2, 7, 27])), (sn.tensor(0 + 1 + 16 + 111), sn.ones(4, dtype=sn.int64)))
    many = sn.vmap(inner)(sn.tensor([1, 2, 7, 27]))
    assert many[0].tolist() == [0, 1, 16, 111]


def test_drawing(tmp_path):
    graph = sn.trace(collatz, sn.TensorSpec((), sn.int64))
    graph.draw(tmp_path / "g.svg")
    graph.draw(tmp_path / "g.html")
    assert "while_loop" in (tmp_path / "g.svg").read_text()


def test_replace_and_insert():
    graph = sn.trace(lambda x: sn.cond(x[0] > 0, sn.exp, sn.negative, x) + 1, sn.TensorSpec((2,)))
    name = next(node for node in graph.nodes if node.op == "cond").outputs[0]
    x = sn.ones(2)
    same(graph.insert(name, lambda y: y * 2)(x), sn.exp(x) * 2 + 1)
    same(graph.replace(name, lambda p, x: x * 3)(x), x * 3 + 1)
    node = next(node for node in graph.nodes if node.op == "cond")
    same(node(sn.tensor(False), x), -x)


def test_an_interrupt_ends_a_loop():
    import _thread
    import signal
    import threading

    graph = sn.trace(
        lambda x: sn.while_loop(lambda c: c >= 0, lambda c: (c + 1) % 1000, x),
        sn.TensorSpec((), sn.int64),
    )
    # Where SIGINT is ignored, as in shells' background jobs, Python installs no handler for it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, _thread.interrupt_main)
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            graph(sn.tensor(0))
        timer.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert (sn.ones(2) + 1).tolist() == [2.0, 2.0]
