"""Transforms of functions: against loops (the same bits), differences, and PyTorch."""

from __future__ import annotations

import itertools
from collections import namedtuple

import numpy as np
import pytest

import sennit as sn
from sennit import nn


def array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def tensor(*shape: int, seed: int = 0, dtype: sn.dtype = sn.float32) -> sn.Tensor:
    return sn.asarray(array(*shape, seed=seed)).astype(dtype)


def same(a: sn.Tensor, b: sn.Tensor) -> bool:
    return a.shape == b.shape and a.detach().numpy().tobytes() == b.detach().numpy().tobytes()


W = tensor(3, 4, seed=9)


def smooth(x: sn.Tensor) -> sn.Tensor:
    return sn.tanh(x @ W) * sn.sigmoid(x).sum()


# ---------------------------------------------------------------- vmap


@pytest.mark.parametrize(("axis", "out"), [(0, 0), (1, 1), (-1, -1), (2, 0), (-3, -2)])
def test_axes(axis, out):
    x = tensor(5, 3, 2)

    def f(t):
        return (t.cumsum(0) * t.shape[0]).T

    got = sn.vmap(f, in_dims=axis, out_dims=out)(x)
    want = sn.stack([f(t) for t in sn.moveaxis(x, axis, 0)], out)
    assert same(got, want)


def test_trees_of_arguments_and_results():
    Pair = namedtuple("Pair", "left right")
    p = Pair(tensor(4, 3), {"a": [tensor(3, 4), 2.5], "b": None})

    def f(pair, scale, *, extra):
        product = pair.left * pair.right["a"][0] * pair.right["a"][1] + extra
        return Pair(product, (product.sum() * scale, [scale]))

    in_dims = (Pair(0, {"a": [1, None], "b": None}), None)
    got = sn.vmap(f, in_dims=in_dims, out_dims=Pair(1, (0, [None])))(p, W[0, 0], extra=tensor(4))
    assert type(got) is Pair
    assert got.left.shape == (3, 4)
    assert got.right[0].shape == (4,)
    assert got.right[1][0].shape == ()
    for k in range(4):
        one = f(Pair(p.left[k], {"a": [p.right["a"][0][:, k], 2.5]}), W[0, 0], extra=tensor(4)[k])
        assert same(got.left[:, k], one.left)
        assert same(got.right[0][k], one.right[0])


def test_shared_results_are_repeated():
    x = tensor(4, 3)
    a, b = sn.vmap(lambda t: (t, W))(x)
    assert b.shape == (4, 3, 4)
    assert same(b[2], W)
    assert same(a, x)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
def test_chunks_give_the_same_bits(chunk):
    x = tensor(7, 3)
    whole = sn.vmap(smooth)(x)
    assert same(sn.vmap(smooth, chunk_size=chunk)(x), whole)
    assert same(sn.jacrev(smooth, chunk_size=chunk)(x[0]), sn.jacrev(smooth)(x[0]))
    assert same(sn.jacfwd(smooth, chunk_size=chunk)(x[0]), sn.jacfwd(smooth)(x[0]))


def test_an_empty_batch_gives_empty_results():
    a, b = sn.vmap(lambda t: (smooth(t), sn.sort(t)))(sn.zeros((0, 3)))
    assert a.shape == (0, 4)
    assert b.shape == (0, 3)
    assert a.dtype == sn.float32


def test_elements_that_no_example_decides_can_be_read():
    x = tensor(4, 3)
    limit = sn.tensor(2.0)

    def f(t):
        n = int((limit * 3).item()) + int(sn.arange(4).sum())
        return t * n if bool(limit > 1) else t

    assert same(sn.vmap(f)(x), x * 12)
    g = sn.grad(lambda s: sn.vmap(lambda t: t * s if (s * 2).item() > 1 else t)(x).sum())(limit)
    assert g.item() == x.sum().item()


def test_writes_in_place_of_what_the_function_made():
    x = tensor(4, 3)

    def f(t):
        out = sn.zeros(5)
        out[1:4] = t
        view = out[2:]
        view += 10
        out[0] = t.sum()
        made = sn.tensor([1.0, 2.0])
        made *= t[0]
        t = t.clone()
        t[1] = 7.0
        return out, made, t

    got = sn.vmap(f)(x)
    for k in range(4):
        for whole, one in zip(got, f(x[k])):
            assert same(whole[k], one)


@pytest.mark.parametrize("kind", ["uniform", "normal", "dropout", "bernoulli", "permutation"])
def test_randomness(kind):
    x = sn.ones((6, 40))
    draw = {
        "uniform": lambda t: t * sn.random.uniform(shape=(40,)),
        "normal": lambda t: t + sn.randn_like(t),
        "dropout": lambda t: sn.dropout(t, 0.5),
        "bernoulli": lambda t: sn.random.bernoulli(t * 0.5),
        "permutation": lambda t: t * sn.random.permutation(40),
    }[kind]
    with pytest.raises(sn.InvalidValue, match=r"\[(random\.\w+|dropout)\] .*randomness"):
        sn.vmap(draw)(x)
    sn.random.seed(3)
    alike = sn.vmap(draw, randomness="same")(x)
    sn.random.seed(3)
    assert same(alike[0], draw(x[0]))
    assert all(same(alike[0], row) for row in alike)
    for chunk in (None, 2):
        sn.random.seed(3)
        rows = list(sn.vmap(draw, randomness="different", chunk_size=chunk)(x))
        assert not any(same(a, b) for a, b in itertools.combinations(rows, 2))
    sn.random.seed(3)
    parts = sn.vmap(draw, randomness="same", chunk_size=4)(x)
    assert same(parts, alike)


def test_randomness_of_attention_and_nested_maps():
    q = tensor(3, 2, 5, 4)

    def attend(t):
        return sn.scaled_dot_product_attention(t, t, t, dropout_p=0.5)

    sn.random.seed(0)
    alike = sn.vmap(attend, randomness="same")(sn.stack([q[0]] * 3, 0))
    assert same(alike[0], alike[2])
    sn.random.seed(0)
    assert same(alike[0], attend(q[0]))
    differ = sn.vmap(attend, randomness="different")(sn.stack([q[0]] * 3, 0))
    assert not same(differ[0], differ[1])

    def noise(t):
        return t + sn.randn_like(t)

    inner = sn.vmap(noise, randomness="same")
    both = sn.vmap(inner, randomness="different")(sn.zeros((2, 3, 4)))
    assert same(both[0][0], both[0][1])
    assert not same(both[0], both[1])

    # The gradient draws dropout's mask a second time: that of the forward pass.
    def loss(t):
        return attend(t).sum()

    sn.random.seed(0)
    each = sn.vmap(sn.grad(loss), randomness="different")(q)
    sn.random.seed(0)
    total = sn.grad(lambda t: sn.vmap(loss, randomness="different")(t).sum())(q)
    assert same(each, total)
    sn.random.seed(0)
    rows = sn.jacrev(attend)(q[0])
    sn.random.seed(0)
    y, pull = sn.vjp(attend, q[0])
    first = sn.one_hot(sn.tensor(0), 40).astype(y.dtype).reshape(y.shape)
    assert same(rows[0, 0, 0], pull(first)[0])


BAD_MAPS = [
    (lambda: sn.vmap(sn.add)(tensor(2, 3), tensor(3, 3)), sn.ShapeError, r"sizes \[2, 3\]"),
    (lambda: sn.vmap(sn.add, in_dims=(0,))(W, W), sn.InvalidValue, r"2 positional arguments"),
    (lambda: sn.vmap(sn.add, in_dims=None)(W, W), sn.InvalidValue, "no argument is mapped"),
    (lambda: sn.vmap(smooth, in_dims=2)(W), sn.InvalidValue, "between -2 and 1"),
    (lambda: sn.vmap(sn.add)(W, 2.0), sn.InvalidType, "is a float"),
    (lambda: sn.vmap(lambda t: 3.0)(W), sn.InvalidType, "returned a float"),
    (lambda: sn.vmap(sn.neg, out_dims=3)(W), sn.InvalidValue, "between -2 and 1"),
    (lambda: sn.vmap(sn.neg, out_dims=None)(W), sn.InvalidValue, "differs between examples"),
    (lambda: sn.vmap(sn.neg, out_dims=(0, 0))(W), sn.InvalidValue, "structure"),
    (lambda: sn.vmap(sn.neg, chunk_size=0)(W), sn.InvalidValue, "chunk_size is 0"),
    (lambda: sn.vmap(sn.neg, randomness="some"), sn.InvalidValue, "'some'"),
    (lambda: sn.vmap(lambda t: t.item())(W[0]), sn.InvalidValue, "elements of a tensor of shape"),
    (lambda: sn.vmap(lambda t: t.numpy())(W), sn.InvalidValue, "sn.where"),
    (lambda: sn.vmap(lambda t: t if t[0] > 0 else -t)(W), sn.InvalidValue, "sn.where"),
    (lambda: sn.vmap(lambda t: W.__iadd__(1))(W), sn.InvalidValue, "written in place"),
    (lambda: sn.vmap(W[0].copy_)(W), sn.InvalidValue, "written in place"),
    (lambda: sn.vmap(lambda t: W.assign_(W))(W), sn.InvalidValue, "written in place"),
    (lambda: sn.vmap(lambda t: t + sn.ones(7))(W), sn.ShapeError, r"\[add\]"),
]


@pytest.mark.parametrize("case", range(len(BAD_MAPS)))
def test_mistakes_are_told(case):
    call, kind, text = BAD_MAPS[case]
    before = W.numpy().copy()
    with pytest.raises(kind, match=text):
        call()
    assert (W.numpy() == before).all()
    assert same(sn.vmap(smooth)(tensor(2, 3))[0], smooth(tensor(2, 3)[0]))  # nothing is left over


def test_an_index_out_of_an_examples_range_is_an_error():
    x, i = tensor(3, 4), sn.tensor([0, 4, 1])
    with pytest.raises(sn.IndexOutOfRange):
        sn.vmap(lambda t, k: t.take(k, 0))(x, i).numpy()
    with pytest.raises(sn.IndexOutOfRange):
        sn.vmap(lambda t, k: t[k])(x, i).numpy()


def test_tensors_that_escape_are_errors_where_they_are_used():
    kept: list[sn.Tensor] = []
    sn.vmap(lambda t: kept.append(t.sum()) or t)(W)
    for use in (lambda t: t + 1, lambda t: t.numpy(), lambda t: t.item(), repr, sn.sum):
        with pytest.raises(sn.InvalidValue, match="after the function has ended"):
            use(kept[0])
    with pytest.raises(sn.InvalidValue, match="after the function has ended"):
        sn.vmap(lambda t: t + kept[0])(W)


def test_what_the_function_leaves_alone_is_as_before():
    """A read of an outer view inside must not put a traced value into it."""
    base = sn.arange(6.0)
    view = base[2:4]
    base += 1  # the view is to be read anew
    sn.vmap(lambda t: t + view)(sn.ones((3, 2)))
    assert view.tolist() == [3.0, 4.0]


# ---------------------------------------------------------------- nesting


def loop(f, x):
    return sn.stack([f(row) for row in x], 0)


def scalar(x):
    return (smooth(x) ** 2).sum()


NESTED = {
    "vmap(vmap)": lambda x: (sn.vmap(sn.vmap(lambda v: sn.exp(v) * v))(x), sn.exp(x) * x),
    "vmap(grad)": lambda x: (sn.vmap(sn.grad(scalar))(x), loop(sn.grad(scalar), x)),
    "grad(vmap)": lambda x: (
        sn.grad(lambda x: sn.vmap(scalar)(x).sum())(x),
        loop(sn.grad(scalar), x),
    ),
    "vmap(jvp)": lambda x: (
        sn.vmap(lambda v: sn.jvp(smooth, (v,), (v * 2,))[1])(x),
        loop(lambda v: sn.jvp(smooth, (v,), (v * 2,))[1], x),
    ),
    "jvp(vmap)": lambda x: (
        sn.jvp(sn.vmap(smooth), (x,), (x * 2,))[1],
        loop(lambda v: sn.jvp(smooth, (v,), (v * 2,))[1], x),
    ),
    "vmap(hessian)": lambda x: (sn.vmap(sn.hessian(scalar))(x), loop(sn.hessian(scalar), x)),
    "vmap(jacfwd)": lambda x: (sn.vmap(sn.jacfwd(smooth))(x), loop(sn.jacfwd(smooth), x)),
    "vmap(jacrev)": lambda x: (sn.vmap(sn.jacrev(smooth))(x), loop(sn.jacrev(smooth), x)),
    "vmap(grad(grad))": lambda x: (
        sn.vmap(sn.grad(lambda v: (sn.grad(scalar)(v) ** 2).sum()))(x),
        loop(sn.grad(lambda v: (sn.grad(scalar)(v) ** 2).sum()), x),
    ),
    "grad(vmap(grad))": lambda x: (
        sn.grad(lambda x: (sn.vmap(sn.grad(scalar))(x) ** 2).sum())(x),
        loop(sn.grad(lambda v: (sn.grad(scalar)(v) ** 2).sum()), x),
    ),
}


@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("window", [4096, 1])
def test_nested_transforms_equal_loops(name, window):
    before = sn.config.window
    sn.config.window = window
    try:
        got, want = NESTED[name](tensor(4, 3))
        assert same(got, want)
    finally:
        sn.config.window = before


def test_gradients_flow_into_what_the_function_refers_to():
    w = tensor(3, 2).requires_grad_()
    x = tensor(5, 3)
    sn.vmap(lambda v: sn.tanh(v @ w).sum())(x).sum().backward()
    (want,) = sn.gradients([sn.tanh(x @ w).sum()], w)
    np.testing.assert_allclose(w.grad.numpy(), want.numpy(), rtol=1e-5)


def test_detach_and_no_grad_inside():
    x = tensor(4, 3)

    def f(v):
        with sn.no_grad():
            scale = v.sum()
        return (v.detach() * v * scale).sum()

    got = sn.grad(lambda x: sn.vmap(f)(x).sum())(x)
    assert same(got, x * x.sum(axis=1, keepdims=True))


# ---------------------------------------------------------------- derivatives, against PyTorch

Lo = (("w", (4, 3)), ("b", (3,)), ("v", (3, 2)))


def small_net(params, x, lib):
    h = lib.tanh(x @ params["w"] + params["b"])
    return lib.softmax(h @ params["v"], -1)


def both_sides(torch):
    values = {k: array(*s, seed=5).astype(np.float64) for k, s in Lo}
    x = array(5, 4).astype(np.float64)
    ours = ({k: sn.asarray(v) for k, v in values.items()}, sn.asarray(x))
    theirs = ({k: torch.from_numpy(v) for k, v in values.items()}, torch.from_numpy(x))
    return ours, theirs


def agree(ours, theirs):
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for k in ours:
            agree(ours[k], theirs[k])
    elif isinstance(ours, (tuple, list)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            agree(a, b)
    else:
        np.testing.assert_allclose(
            ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-12
        )


TRANSFORMS = {
    "jacrev": lambda t, f, p, x: t.jacrev(f)(p, x),
    "jacfwd": lambda t, f, p, x: t.jacfwd(f)(p, x),
    "jacrev in both": lambda t, f, p, x: t.jacrev(f, argnums=(0, 1))(p, x),
    "jacfwd in the second": lambda t, f, p, x: t.jacfwd(f, argnums=1)(p, x),
    "jacfwd(jacrev)": lambda t, f, p, x: t.jacfwd(t.jacrev(f, 1), 0)(p, x[0]),
    "jacrev(jacfwd)": lambda t, f, p, x: t.jacrev(t.jacfwd(f, 1), 1)(p, x[0]),
    "hessian": lambda t, f, p, x: t.hessian(lambda p: f(p, x)[..., 0].sum())(p),
    "jvp": lambda t, f, p, x: t.jvp(f, (p, x), ({k: v * 2 for k, v in p.items()}, x * x)),
    "vjp": lambda t, f, p, x: t.vjp(f, p, x)[1](f(p, x) * 3),
    "vjp of one": lambda t, f, p, x: t.vjp(lambda p: f(p, x), p)[1](f(p, x) * 3),
    "vmap": lambda t, f, p, x: t.vmap(f, in_dims=(None, 1), out_dims=1)(p, x.T),
    "vmap(grad)": lambda t, f, p, x: t.vmap(t.grad(lambda p, x: f(p, x)[0]), in_dims=(None, 0))(
        p, x
    ),
    "grad_and_value": lambda t, f, p, x: (
        t.grad_and_value(lambda p: f(p, x)[0, 0])(p)[::-1]
        if hasattr(t, "grad_and_value")
        else sn.value_and_grad(lambda p: f(p, x)[0, 0])(p)
    ),
    "auxiliary": lambda t, f, p, x: (
        t.jacrev(lambda x: (f(p, x), x * 2), has_aux=True)(x),
        t.jacfwd(lambda x: (f(p, x), x * 2), has_aux=True)(x),
        t.vjp(lambda x: (f(p, x), x * 2), x, has_aux=True)[2],
        t.jvp(lambda x: (f(p, x), x * 2), (x,), (x,), has_aux=True),
    ),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_against_torch(name, torch):
    (p, x), (tp, tx) = both_sides(torch)
    ours = TRANSFORMS[name](sn, lambda p, x: small_net(p, x, sn), p, x)
    theirs = TRANSFORMS[name](torch.func, lambda p, x: small_net(p, x, torch), tp, tx)
    agree(ours, theirs)


def test_functional_call_against_torch(torch):
    ours = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 2)).double()
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 5), torch.nn.BatchNorm1d(5), torch.nn.Tanh(), torch.nn.Linear(5, 2)
    ).double()
    state = {k: v.numpy().copy() for k, v in ours.state_dict().items()}
    theirs.load_state_dict({k: torch.from_numpy(np.asarray(v)) for k, v in state.items()})
    ours.eval()
    theirs.eval()
    x = array(3, 4).astype(np.float64)
    params = {k: sn.asarray(v.detach() * 2) for k, v in ours.named_parameters()}
    tparams = {k: v.detach() * 2 for k, v in theirs.named_parameters()}

    def loss(p, x):
        return sn.functional_call(ours, p, (x,)).sum()

    def tloss(p, x):
        return torch.func.functional_call(theirs, p, (x,)).sum()

    agree(
        sn.grad(loss)(params, sn.asarray(x)), torch.func.grad(tloss)(tparams, torch.from_numpy(x))
    )
    agree(
        sn.vmap(sn.grad(loss), in_dims=(None, 0))(params, sn.asarray(x[:, None])),
        torch.func.vmap(torch.func.grad(tloss), in_dims=(None, 0))(
            tparams, torch.from_numpy(x[:, None])
        ),
    )
    for k, v in ours.state_dict().items():  # the module keeps its own tensors
        assert (v.numpy() == state[k]).all()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m: sn.functional_call(m, {"wight": W}, W), "unknown: wight"),
        (lambda m: sn.functional_call(m, {"weight": W}, W, strict=True), "missing: bias"),
        (lambda m: sn.functional_call(m, [{"bias": W}, {"bias": W}], W), "in two dicts"),
        (lambda m: sn.stack_module_state([m, nn.ReLU()]), "2 different"),
    ],
)
def test_functional_call_mistakes(call, text):
    with pytest.raises(sn.InvalidValue, match=text):
        call(nn.Linear(2, 3))


def test_an_ensemble():
    models = [nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)) for _ in range(5)]
    params, buffers = sn.stack_module_state(models)
    x = tensor(6, 3)

    def call(p, b, x):
        return sn.functional_call(models[0], [p, b], (x,))

    got = sn.vmap(call, in_dims=(0, 0, None))(params, buffers, x)
    assert same(got, sn.stack([m(x) for m in models], 0))
    got.sum().backward()
    for k, m in enumerate(models):
        m(x).sum().backward()
        for name, p in m.named_parameters():
            assert same(params[name].grad[k], p.grad), name


# ---------------------------------------------------------------- forward mode


def test_jvp_against_differences():
    x, d = tensor(2, 3, dtype=sn.float64), tensor(2, 3, seed=1, dtype=sn.float64)
    w = W.astype(sn.float64)
    for f in (
        lambda x: sn.layer_norm(x, 3) @ w,
        lambda x: sn.conv1d(x[None], w.reshape((1, 2, 6))[:, :, :2]),
        lambda x: sn.cumprod(x, 1) / (1 + x * x),
        lambda x: sn.logsumexp(x, 0) * sn.sort(x, 1),
        lambda x: sn.scaled_dot_product_attention(x, x * 2, x),
    ):
        y, t = sn.jvp(f, (x,), (d,))
        want = (f(x + 1e-6 * d) - f(x - 1e-6 * d)) / 2e-6
        assert same(y, f(x))
        np.testing.assert_allclose(t.numpy(), want.numpy(), rtol=1e-6, atol=1e-8)


def test_jvp_computes_only_what_it_needs(monkeypatch):
    """Forward mode through the transposed backward pass: what only that pass would compute is not.

    Three products forward, three for the tangent and no more."""
    monkeypatch.setattr(sn.config, "window", 4096)  # op by op nobody knows what is needed
    layers = nn.Sequential(*(m for _ in range(3) for m in (nn.Linear(8, 8), nn.Tanh())))
    x = tensor(4, 8)
    with sn.explain() as forward:
        layers(x).detach().numpy()
    with sn.explain() as both:
        y, t = sn.jvp(layers, (x,), (x,))
        sn.synchronize()

    def count(e):
        return sum(s["ops"].count("matmul") for w in e.windows for s in w["steps"])

    assert count(forward) == 3
    assert count(both) == 6
    del y, t


def test_jvp_of_what_does_not_depend():
    _y, t = sn.jvp(lambda x: (W * 1, x.astype(sn.int32)), (tensor(2),), (tensor(2),))
    assert same(t[0], sn.zeros_like(W))
    assert t[1].dtype == sn.int32
    with pytest.raises(sn.GradError, match="strict"):
        sn.jvp(lambda x: W * 1, (tensor(2),), (tensor(2),), strict=True)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: sn.jvp(smooth, W[:, 0], (W[:, 0],)), sn.InvalidType, "must be tuples"),
        (lambda: sn.jvp(smooth, (W[:, 0],), (W[0],)), sn.ShapeError, r"\(4,\).*\(3,\)"),
        (lambda: sn.jvp(smooth, (W[:, 0],), (W[0], W)), sn.InvalidValue, "structures"),
        (lambda: sn.jvp(smooth, (sn.arange(3),), (sn.arange(3),)), sn.GradError, "int64"),
        (lambda: sn.vjp(smooth, W[:, 0])[1](W), sn.ShapeError, r"\(3, 4\)"),
        (lambda: sn.vjp(smooth, W[:, 0])[1]((W, W)), sn.InvalidValue, "structures"),
        (lambda: sn.vjp(lambda x: 3, W), sn.InvalidType, "returned a int"),
        (lambda: sn.vjp(smooth, W[:, 0], has_aux=True), sn.InvalidType, "has_aux"),
        (lambda: sn.jacrev(smooth, argnums=2)(W), sn.InvalidValue, "argnums"),
        (lambda: sn.jacfwd(smooth, argnums=2)(W), sn.InvalidValue, "argnums"),
        (lambda: sn.jacfwd(smooth)(sn.arange(3)), sn.GradError, "int64"),
        (lambda: sn.grad(scalar)("text"), sn.InvalidType, "holds a str"),
    ],
)
def test_mistakes_of_derivatives(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_results_do_not_carry_the_tape_of_a_transform():
    x = tensor(3)
    y, pull = sn.vjp(smooth, x)
    assert not y.requires_grad
    assert not pull(y)[0].requires_grad
    assert not sn.jvp(smooth, (x,), (x,))[1].requires_grad
    assert not sn.jacrev(smooth)(x).requires_grad
    assert not sn.grad(scalar)(x).requires_grad
    x.requires_grad_()
    assert sn.grad(scalar)(x).requires_grad
    assert sn.jvp(smooth, (x,), (x.detach(),))[1].requires_grad


# ---------------------------------------------------------------- custom functions


class Power(sn.Function):
    """x ** n with everything by hand."""

    @staticmethod
    def forward(x, n, factor):
        return x**n * factor

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, n, factor = inputs
        ctx.n = n
        ctx.save_for_backward(x, factor)

    @staticmethod
    def backward(ctx, g):
        x, factor = ctx.saved_tensors
        return g * ctx.n * x ** (ctx.n - 1) * factor, None, (g * x**ctx.n).sum_to(factor.shape)

    @staticmethod
    def jvp(ctx, dx, dn, dfactor):
        assert dn is None
        x, factor = ctx.saved_tensors
        Power.called += 1
        return dx * ctx.n * x ** (ctx.n - 1) * factor + dfactor * x**ctx.n

    called = 0


def power(x, factor):
    return Power.apply(x, 3, factor)


def plain(x, factor):
    return x**3 * factor


def test_custom_functions_in_every_transform():
    x, f = tensor(4, 3), tensor(3, seed=3)

    def close(a, b):
        return np.testing.assert_allclose(
            a.detach().numpy(), b.detach().numpy(), rtol=2e-5, atol=1e-5
        )

    def total(g):
        return lambda x, f: g(x, f).sum()

    for transform in (
        lambda g: sn.vmap(g, in_dims=(0, None))(x, f),
        lambda g: sn.vmap(sn.grad(total(g)), in_dims=(0, None))(x, f),
        lambda g: sn.grad(lambda x: sn.vmap(g, in_dims=(0, None))(x, f).sum())(x),
        lambda g: sn.grad(lambda f: sn.vmap(g, in_dims=(0, None))(x, f).sum())(f),
        lambda g: sn.jvp(g, (x, f), (x * 2, f + 1))[1],
        lambda g: sn.jvp(sn.vmap(g, in_dims=(0, None)), (x, f), (x * 2, f + 1))[1],
        lambda g: sn.vmap(lambda v: sn.jvp(g, (v, f), (v * 2, f + 1))[1])(x),
        lambda g: sn.jacrev(g)(x[0], f),
        lambda g: sn.jacfwd(g)(x[0], f),
        lambda g: sn.jacfwd(g, argnums=1)(x[0], f),
        lambda g: sn.hessian(total(g))(x[0], f),
        lambda g: sn.grad(lambda x: (sn.grad(total(g))(x, f) ** 2).sum())(x),
        lambda g: sn.grad(
            lambda f: (sn.vmap(sn.grad(total(g)), in_dims=(0, None))(x, f) ** 2).sum()
        )(f),
        lambda g: sn.vmap(sn.vmap(g, in_dims=(0, None)), in_dims=(0, None))(
            x.reshape((2, 2, 3)), f
        ),
    ):
        close(transform(power), transform(plain))


def test_the_own_jvp_is_used():
    Power.called = 0
    sn.jvp(power, (tensor(3), tensor(3)), (tensor(3), tensor(3)))
    assert Power.called == 1


def test_a_function_with_forward_mode_only():
    class Double(sn.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_forward(x)
            return x * 2

        @staticmethod
        def jvp(ctx, dx):
            (x,) = ctx.saved_tensors
            return dx * 2 + x * 0

    x = tensor(3)
    assert same(sn.jvp(Double.apply, (x,), (x,))[1], x * 2)
    assert same(sn.jacfwd(Double.apply)(x), sn.eye(3) * 2)
    with pytest.raises(NotImplementedError, match="backward"):
        sn.grad(lambda x: Double.apply(x).sum())(x)


def test_saved_results_can_be_differentiated_again():
    class Exp(sn.Function):
        @staticmethod
        def forward(ctx, x):
            y = sn.exp(x)
            ctx.save_for_backward(y, None)
            return y

        @staticmethod
        def backward(ctx, g):
            y, nothing = ctx.saved_tensors
            assert nothing is None
            return g * y

    x = tensor(3)
    third = sn.grad(
        lambda x: sn.grad(lambda x: sn.grad(lambda x: Exp.apply(x).sum())(x).sum())(x).sum()
    )
    np.testing.assert_allclose(third(x).numpy(), np.exp(x.numpy()), rtol=1e-5)


def test_saved_tensors_are_as_they_were():
    class Square(sn.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return g * 2 * ctx.saved_tensors[0]

    w = tensor(3).requires_grad_()
    x = w * 1
    y = Square.apply(x)
    x += 100
    y.sum().backward()
    assert same(w.grad, 2 * w)


def test_results_without_a_gradient():
    class Split(sn.Function):
        @staticmethod
        def forward(ctx, x):
            sign = sn.sign(x)
            ctx.mark_non_differentiable(sign)
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(sign)
            return sn.abs(x), sign, x * 2

        @staticmethod
        def backward(ctx, g, _, h):
            assert h is None
            return g * ctx.saved_tensors[0]

    x = tensor(3).requires_grad_()
    a, s, _ = Split.apply(x)
    assert a.requires_grad
    assert not s.requires_grad
    a.sum().backward()
    assert same(x.grad, sn.sign(x))


# ---------------------------------------------------------------- gradients of each example


class Attention(nn.Module):
    def __init__(self) -> None:
        self.norm = nn.LayerNorm(8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        y = self.norm(x)
        return self.out((x + self.attend(y, y, y, need_weights=False)[0]).mean(axis=1))


NETWORKS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3)), (6,)),
    "cnn": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, groups=2),
            nn.GroupNorm(2, 4), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3),
        ),
        (2, 8, 8),
    ),
    "attention": (Attention, (5, 8)),
    "lstm": (
        lambda: nn.Sequential(nn.LSTM(4, 5, batch_first=True), Last(), nn.Linear(5, 3)),
        (6, 4),
    ),
}  # fmt: skip


class Last(nn.Module):
    def forward(self, result):
        return result[0][:, -1]


@pytest.mark.parametrize("name", NETWORKS)
def test_per_example_gradients_equal_a_loop(name):
    make, shape = NETWORKS[name]
    sn.random.seed(1)
    model = make()
    x, labels = tensor(4, *shape), sn.tensor([0, 2, 1, 2])
    params = dict(model.named_parameters())

    def loss(params, x, label):
        logits = sn.functional_call(model, params, (x[None],))
        return sn.cross_entropy(logits, label[None])

    each = sn.vmap(sn.grad(loss), in_dims=(None, 0, 0))(params, x, labels)
    for k in range(4):
        want = sn.grad(loss)(params, x[k], labels[k])
        for key in params:
            assert same(each[key][k], want[key]), key
