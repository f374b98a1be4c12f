"""What the tape promises: accumulation, modes, hooks, custom functions, higher order, release."""

from __future__ import annotations

import math

import numpy as np
import pytest

import sennit as sn


def leaf(*values: float) -> sn.Tensor:
    return sn.tensor(list(values), dtype=sn.float64, requires_grad=True)


# ---- accumulation


def test_gradients_accumulate_over_calls() -> None:
    w = leaf(1, 2)
    (w * w).sum().backward()
    (3 * w).sum().backward()
    assert w.grad.tolist() == [5.0, 7.0]
    w.grad = None
    w.sum().backward()
    assert w.grad.tolist() == [1.0, 1.0]


def test_gradients_accumulate_over_uses() -> None:
    w = leaf(2)
    y = w * w + w / 2 + w
    (y * y).sum().backward()
    value = 4 + 1 + 2
    assert w.grad.item() == pytest.approx(2 * value * (2 * 2 + 1.5))


def test_backward_twice_through_the_same_graph_needs_no_flag() -> None:
    w = leaf(1, 2, 3)
    loss = (w**3).sum()
    loss.backward()
    loss.backward()
    assert w.grad.tolist() == [6.0, 24.0, 54.0]


def test_retain_graph_is_accepted() -> None:
    w = leaf(1, 2)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert w.grad.tolist() == [4.0, 8.0]


def test_a_given_output_gradient() -> None:
    w = leaf(1, 2)
    (w * 3).backward(sn.tensor([1.0, 10.0], dtype=sn.float64))
    assert w.grad.tolist() == [3.0, 30.0]
    with pytest.raises(sn.ShapeError):
        (w * 3).backward(sn.ones(3, dtype=sn.float64))


def test_broadcast_operands_get_summed_gradients() -> None:
    a = sn.ones((3, 1), requires_grad=True)
    b = sn.ones(4, requires_grad=True)
    (a * b * 2).sum().backward()
    assert a.grad.shape == (3, 1) and a.grad.tolist() == [[8.0]] * 3
    assert b.grad.shape == (4,) and b.grad.tolist() == [6.0] * 4


def test_gradients_have_the_dtype_of_their_leaf() -> None:
    a = sn.ones(3, dtype=sn.float32, requires_grad=True)
    b = sn.ones(3, dtype=sn.float64, requires_grad=True)
    h = sn.ones(3, dtype=sn.bfloat16, requires_grad=True)
    (a * b * h).sum().backward()
    assert (a.grad.dtype, b.grad.dtype, h.grad.dtype) == (sn.float32, sn.float64, sn.bfloat16)


def test_leaves_without_a_path_keep_no_gradient() -> None:
    a, b = leaf(1), leaf(2)
    (a * 2).sum().backward()
    assert a.grad is not None
    assert b.grad is None


# ---- modes


def test_no_grad_detach_and_flags() -> None:
    w = leaf(1, 2)
    with sn.no_grad():
        assert not sn.grad_enabled()
        y = w * 2
        with sn.enable_grad():
            z = w * 2
    assert sn.grad_enabled()
    assert not y.requires_grad and z.requires_grad
    assert w.is_leaf and not z.is_leaf

    (w * w.detach()).sum().backward()
    assert w.grad.tolist() == [1.0, 2.0]


def test_no_grad_as_decorator_and_after_an_exception() -> None:
    @sn.no_grad()
    def evaluate(x: sn.Tensor) -> sn.Tensor:
        return x * 2

    assert not evaluate(leaf(1)).requires_grad
    with pytest.raises(ZeroDivisionError), sn.no_grad():
        raise ZeroDivisionError
    assert sn.grad_enabled()


def test_requires_grad_can_be_set_on_leaves_of_floats() -> None:
    x = sn.ones(2)
    assert not x.requires_grad
    x.requires_grad = True
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]
    with pytest.raises(sn.SennitError):
        sn.tensor([1, 2]).requires_grad_(True)


def test_integers_stop_gradients() -> None:
    w = leaf(1.5, 2.5)
    i = sn.floor(w).astype(sn.int64)
    assert not i.requires_grad
    assert not (w > 2).requires_grad
    assert not w.argmax().requires_grad


# ---- hooks


def test_hooks_see_and_may_replace_gradients() -> None:
    w = leaf(1, 2)
    seen = []
    w.register_hook(lambda g: seen.append(g.tolist()))
    (w * 3).sum().backward()
    assert seen == [[3.0, 3.0]]

    v = leaf(1, 2)
    v.register_hook(lambda g: g * 10)
    (v * 3).sum().backward()
    assert v.grad.tolist() == [30.0, 30.0]


def test_hooks_of_intermediate_tensors() -> None:
    w = leaf(1, 2)
    seen: list[tuple[str, list[float]]] = []

    def note(name):
        return lambda g: seen.append((name, g.tolist()))

    y = w * 2
    y.register_hook(note("first"))
    y.register_hook(lambda g: g * 10)
    y.register_hook(note("third"))
    gone = y.register_hook(lambda g: g * 1000)
    gone.remove()
    gone.remove()
    (y * sn.tensor([3.0, 4.0])).sum().backward()
    assert seen == [("first", [3.0, 4.0]), ("third", [30.0, 40.0])]
    assert w.grad.tolist() == [60.0, 80.0]


def test_hooks_see_what_has_arrived_from_everywhere() -> None:
    w = leaf(1, 2)
    seen: list[list[float]] = []
    y = w * 1
    with y.register_hook(lambda g: seen.append(g.tolist())):
        (g,) = sn.gradients([(y * 2).sum() + (y * 3).sum()], w)
        (_,) = sn.gradients([(y * 2).sum()], y)
    sn.gradients([(y * 2).sum()], y)
    assert seen == [[5.0, 5.0], [2.0, 2.0]]
    assert g.tolist() == [5.0, 5.0]


def test_a_hook_belongs_to_one_result_of_an_op() -> None:
    x = leaf(3, 1, 2)
    variance, mean = sn.var_mean(x)
    mean.register_hook(lambda g: g * 5)
    (variance * 0 + mean * 3).backward()
    assert x.grad.tolist() == [5.0, 5.0, 5.0]


def test_hook_errors() -> None:
    w = leaf(1, 2)
    with pytest.raises(
        sn.GradError, match=r"\[register_hook\] the tensor of shape \(2,\) requires no"
    ):
        sn.ones(2).register_hook(lambda g: g)
    with pytest.raises(sn.InvalidType, match="the hook is int 3; a function is required"):
        w.register_hook(3)
    y = w * 2
    y.register_hook(lambda g: g.sum())
    with pytest.raises(sn.GradError, match=r"shape \(\) for a tensor of shape \(2,\)"):
        y.sum().backward()
    z = w * 2
    z.register_hook(lambda g: "no")
    with pytest.raises(sn.InvalidType):
        z.sum().backward()


def test_a_hook_handle_does_not_keep_the_tape() -> None:
    import gc
    import weakref

    class Marked:
        pass

    marked = Marked()
    w = leaf(1, 2)
    y = w * 2
    handle = y.register_hook(lambda g, marked=marked: None)
    gone = weakref.ref(marked)
    handle.remove()
    del marked, y
    gc.collect()
    assert gone() is None


# ---- custom functions


class Scale(sn.Function):
    """x * factor, with a gradient that is deliberately marked by + 100."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        ctx.save_for_backward(x)
        return x * factor

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        assert x.shape == g.shape
        return g * ctx.factor + 100, None


class TwoOutputs(sn.Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b, a + b

    @staticmethod
    def backward(ctx, g_product, g_sum):
        a, b = ctx.saved_tensors
        return g_product * b + g_sum, g_product * a + g_sum


class Cube(sn.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x * x


def test_custom_function() -> None:
    w = leaf(1, 2)
    y = Scale.apply(w, 3.0)
    assert y.tolist() == [3.0, 6.0]
    (y * 2).sum().backward()
    assert w.grad.tolist() == [106.0, 106.0]


def test_custom_function_with_two_outputs() -> None:
    a, b = leaf(2, 3), leaf(5, 7)
    product, total = TwoOutputs.apply(a, b)
    (product * 2 + total).sum().backward()
    assert a.grad.tolist() == [11.0, 15.0]
    assert b.grad.tolist() == [5.0, 7.0]


def test_custom_function_of_higher_order() -> None:
    x = leaf(2)
    (g,) = sn.gradients(Cube.apply(x).sum(), x, create_graph=True)
    (h,) = sn.gradients(g.sum(), x)
    assert (g.item(), h.item()) == (12.0, 12.0)


def test_custom_function_under_no_grad_records_nothing() -> None:
    with sn.no_grad():
        assert not Cube.apply(leaf(2)).requires_grad


# ---- functional transforms and higher order


def test_grad_of_grad_of_grad() -> None:
    f = sn.sin
    x = sn.tensor(0.7, dtype=sn.float64)
    d = f
    for expected in (math.cos, lambda v: -math.sin(v), lambda v: -math.cos(v), math.sin):
        d = sn.grad(d)
        assert d(x).item() == pytest.approx(expected(0.7), rel=1e-12)


def test_mixed_second_derivatives() -> None:
    def f(x: sn.Tensor, y: sn.Tensor) -> sn.Tensor:
        return sn.exp(x * y) + x**3 * y

    x, y = sn.tensor(0.5, dtype=sn.float64), sn.tensor(1.25, dtype=sn.float64)
    xy = sn.grad(sn.grad(f, 0), 1)(x, y).item()
    yx = sn.grad(sn.grad(f, 1), 0)(x, y).item()
    expected = math.exp(0.625) * (1 + 0.625) + 3 * 0.25
    assert xy == pytest.approx(expected, rel=1e-12)
    assert yx == pytest.approx(expected, rel=1e-12)


def test_value_and_grad_with_trees_and_auxiliary() -> None:
    def f(parameters, x):
        y = parameters["w"] * x + parameters["b"][0]
        return (y * y).sum(), y

    parameters = {"w": sn.tensor([2.0, 3.0]), "b": [sn.tensor([1.0, 1.0])]}
    (value, aux), g = sn.value_and_grad(f, has_aux=True)(parameters, sn.tensor([1.0, 2.0]))
    assert value.item() == 9 + 49
    assert aux.tolist() == [3.0, 7.0]
    assert g["w"].tolist() == [6.0, 28.0]
    assert g["b"][0].tolist() == [6.0, 14.0]


def test_gradients_of_intermediate_targets() -> None:
    w = leaf(1, 2)
    y = w * 2
    z = (y * y).sum()
    of_y, of_w, of_other = sn.gradients(z, [y, w, leaf(1)])
    assert of_y.tolist() == [4.0, 8.0]
    assert of_w.tolist() == [8.0, 16.0]
    assert of_other is None
    assert w.grad is None


def test_gradients_of_several_outputs() -> None:
    w = leaf(1, 2)
    (g,) = sn.gradients(
        [w * 2, w * w], w, [sn.ones(2, dtype=sn.float64), sn.full(2, 10.0, dtype=sn.float64)]
    )
    assert g.tolist() == [22.0, 42.0]


def test_hessian_against_torch(torch) -> None:
    values = np.random.default_rng(0).standard_normal((5,))

    def rows(lib, x, total, make):
        y = (lib.tanh(x * total) * x).sum()
        (g,) = make(y, x)
        return g

    x = sn.tensor(values, requires_grad=True)
    g = rows(sn, x, x.sum(), lambda y, v: sn.gradients(y, v, create_graph=True))
    found = np.stack([sn.gradients(g[i], x)[0].numpy() for i in range(5)])

    t = torch.tensor(values, requires_grad=True)
    gt = rows(torch, t, t.sum(), lambda y, v: torch.autograd.grad(y, v, create_graph=True))
    expected = np.stack(
        [torch.autograd.grad(gt[i], t, retain_graph=True)[0].numpy() for i in range(5)]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_gradient_penalty_second_order_through_a_network() -> None:
    rng = np.random.default_rng(3)
    start = rng.standard_normal((4, 3)), rng.standard_normal((3, 2))

    def penalty(x: sn.Tensor, w: sn.Tensor) -> sn.Tensor:
        (g,) = sn.gradients(sn.tanh(x @ w).sum(), x, create_graph=True)
        return (g * g).sum()

    x = sn.tensor(start[0], requires_grad=True)
    w = sn.tensor(start[1], requires_grad=True)
    (found,) = sn.gradients(penalty(x, w), w)
    step = 1e-6
    for i in np.ndindex(3, 2):
        values = []
        for sign in (1, -1):
            moved = start[1].copy()
            moved[i] += sign * step
            values.append(penalty(x, sn.tensor(moved)).item())
        assert found[i].item() == pytest.approx(
            (values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-7
        )


# ---- in place and the tape


def test_in_place_chains() -> None:
    w = leaf(1, 2, 3)
    y = w * 1
    for k in range(1, 5):
        y *= w
        y += k
    y.sum().backward()
    # y = w^5 + w^3 + 2 w^2 + 3 w + 4
    expected = [5 * v**4 + 3 * v**2 + 4 * v + 3 for v in (1, 2, 3)]
    assert w.grad.tolist() == pytest.approx(expected)


def test_assignment_cuts_the_gradient_of_what_it_replaces() -> None:
    w, v = leaf(1, 2, 3), leaf(10, 20, 30)
    y = w * 2
    y[1] = v[2] * 5
    y.sum().backward()
    assert w.grad.tolist() == [2.0, 0.0, 2.0]
    assert v.grad.tolist() == [0.0, 0.0, 5.0]


def test_copy_carries_gradients() -> None:
    w = leaf(1, 2)
    y = sn.zeros(2, dtype=sn.float64)
    y.copy_(w * 3)
    y.sum().backward()
    assert w.grad.tolist() == [3.0, 3.0]


def test_an_accumulator_that_did_not_require_gradients() -> None:
    w = leaf(2)
    total = sn.zeros(1, dtype=sn.float64)
    for _ in range(5):
        total += w * w
    assert total.requires_grad
    total.backward()
    assert w.grad.tolist() == [20.0]


# ---- release by optimizer.step


def sgd(parameters: list[sn.Tensor], lr: float = 0.1):
    from sennit import optim

    return optim.SGD(parameters, lr=lr)


def test_backward_after_step_says_what_happened() -> None:
    from sennit import nn

    model = nn.Linear(3, 2)
    optimizer = sgd(list(model.parameters()))
    loss = (model(sn.ones((4, 3))) ** 2).sum()
    loss.backward()
    optimizer.step()
    with pytest.raises(sn.GradError, match=r"step") as caught:
        loss.backward()
    assert caught.value.code == "SN106"
    assert math.isfinite(loss.item())  # its value is still there


def test_a_new_forward_after_step_is_fine() -> None:
    from sennit import nn

    model = nn.Linear(3, 1)
    optimizer = sgd(list(model.parameters()))
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = ((model(sn.ones((4, 3))) - 2) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-3 * losses[0] + 1e-6


def test_two_losses_over_one_graph_before_the_step() -> None:
    from sennit import nn

    model = nn.Linear(3, 2)
    optimizer = sgd(list(model.parameters()))
    y = model(sn.ones((4, 3)))
    y.sum().backward()
    (y * y).sum().backward()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer.step()
    assert any(
        not np.array_equal(a.numpy(), b.detach().numpy())
        for a, b in zip(before, model.parameters())
    )


def test_tapes_that_no_backward_used_survive_a_step() -> None:
    from sennit import nn

    model = nn.Linear(2, 2)
    optimizer = sgd(list(model.parameters()))
    x = leaf(1, 2)
    other = (x * x).sum()
    model(sn.ones((1, 2))).sum().backward()
    optimizer.step()
    other.backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_gradient_of_many_slices_adds_to_the_parts():
    """Overlapping, strided and repeated parts of one tensor, beside a use of all of it: what
    arrives is added to the part, and no other pass over the whole is made."""
    rng = np.random.default_rng(0)
    values = rng.integers(-8, 8, (6, 12, 5)).astype(np.float32)
    weights = [rng.integers(-8, 8, (6, 3, 5)).astype(np.float32) for _ in range(4)]
    x = sn.asarray(values).requires_grad_()
    parts = [np.s_[:, 0:3], np.s_[:, 2:5], np.s_[:, 11:5:-2], np.s_[:, 0:3]]
    with sn.explain() as e:
        loss = sum((x[p] * sn.asarray(w)).sum() for p, w in zip(parts, weights)) + (x * 2).sum()
        loss.backward()
        sn.synchronize()
    wanted = np.full_like(values, 2)
    for p, w in zip(parts, weights):
        wanted[p] += w
    assert np.array_equal(x.grad.numpy(), wanted)
    # The first gradient may need a zero to stand on; none of the others does.
    names = [op for window in e.windows for step in window["steps"] for op in step["ops"]]
    assert names.count("full") <= 2

    y = sn.asarray(values).requires_grad_()
    total = y[0] * 1
    for row in range(1, 6):
        total = total + y[row] * y[row - 1]
    total.sum().backward()
    grad = np.zeros_like(values)
    grad[0] += 1
    for row in range(1, 6):
        grad[row] += values[row - 1]
        grad[row - 1] += values[row]
    assert np.array_equal(y.grad.numpy(), grad)


def test_second_gradient_of_several_slices():
    x = sn.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    y = (x[:2] * x[1:3] * x[2:]).sum()
    y.backward(create_graph=True)
    first = x.grad
    x.grad = None
    (first * sn.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    a, b, c, d = 1.0, 2.0, 3.0, 4.0
    # y = a b c + b c d; its gradient is (bc, ac + cd, ab + bd, bc).
    assert np.array_equal(
        first.detach().numpy(), np.float32([b * c, a * c + c * d, a * b + b * d, b * c])
    )
    weights = np.float32([1, 2, 3, 4])
    hessian = np.float32([[0, c, b, 0], [c, 0, a + d, c], [b, a + d, 0, b], [0, c, b, 0]])
    assert np.array_equal(x.grad.numpy(), weights @ hessian)


# ---- NaN in gradients


@pytest.fixture
def detecting():
    sn.config.detect_nan = True
    yield
    sn.config.detect_nan = False


def test_a_nan_in_a_gradient_names_the_forward_line(detecting) -> None:
    class Net(sn.nn.Module):
        def __init__(self):
            self.inner = Root()

        def forward(self, x):
            return self.inner(x) * 0

    class Root(sn.nn.Module):
        def forward(self, x):
            return sn.sqrt(x)  # the gradient of 0 is 0 * inf

    x = leaf(0, 1)
    y = Net()(x).sum()
    with pytest.raises(sn.NumericError, match=r"\[sqrt\] the gradient of this operation") as e:
        y.backward()
    assert e.value.op == "sqrt"
    line = Root.forward.__code__.co_firstlineno + 1
    assert f"test_autograd.py:{line} in module Net.inner" in e.value.where


def test_a_nan_in_the_gradient_of_a_custom_function(detecting) -> None:
    class Bad(sn.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return sn.log(g * -1)

    with pytest.raises(sn.NumericError, match=r"\[Bad\] .* its step log"):
        Bad.apply(leaf(1)).sum().backward()


def test_a_nan_inside_of_a_map_names_the_line(detecting) -> None:
    def f(t):
        return sn.log(t)

    with pytest.raises(sn.NumericError) as e:
        sn.vmap(f)(sn.tensor([1.0, -1.0]))
    assert f"test_autograd.py:{f.__code__.co_firstlineno + 1}" in e.value.where
