"""Methods that write their result into the tensor: x.add_(y)."""

from __future__ import annotations

import doctest
import inspect
import pickle

import numpy as np
import pytest

import sennit as sn

pytestmark = pytest.mark.oracle
torch = pytest.importorskip("torch")

NAMES = sorted(
    n for n, f in vars(sn.Tensor).items()
    if n[-1] == "_" and n[0] != "_" and isinstance(f, type(sn.add))
)  # fmt: skip
DRAWS = {"uniform_", "normal_", "bernoulli_", "exponential_", "log_normal_", "cauchy_",
         "geometric_", "random_"}  # fmt: skip
INTEGERS = {"bitwise_and_", "bitwise_or_", "bitwise_xor_", "bitwise_not_", "gcd_", "lcm_",
            "bitwise_left_shift_", "bitwise_right_shift_"}  # fmt: skip
VIEWS = {"squeeze_": (0,), "unsqueeze_": (1,), "t_": (),
         "transpose_": (0, 1), "swapaxes_": (0, 1), "swapdims_": (0, 1)}  # fmt: skip
X = np.array([[0.3, -0.8, 0.5], [0.9, 0.1, -0.2]], np.float32)
Y = np.array([[0.6, 0.4, 0.7], [0.2, 0.8, 0.5]], np.float32)
I, J = np.array([[6, 4, 9], [1, 12, 5]], np.int32), np.array([[2, 3, 1], [2, 4, 1]], np.int32)
ROW = np.array([1, 0])
SPOTS = np.array([[0, 1, 1], [1, 0, 0]])


def arguments(name: str):
    """What follows the tensor: arrays become tensors of the library."""
    if name in VIEWS:
        return VIEWS[name]
    if name in INTEGERS:
        return () if name == "bitwise_not_" else (J,)
    table = {
        "addbmm_": (np.ones((2, 2, 4), np.float32), np.ones((2, 4, 3), np.float32)),
        "addmm_": (np.ones((2, 4), np.float32), np.ones((4, 3), np.float32)),
        "addr_": (Y[:, 0], Y[0]),
        "addcmul_": (Y, X), "addcdiv_": (X, Y), "lerp_": (Y, 0.25),
        "clamp_": (-0.5, 0.5), "clip_": (-0.5, 0.5), "clamp_min_": (0.0,), "clamp_max_": (0.2,),
        "cumsum_": (1,), "cumprod_": (0,), "fill_": (2.5,), "fill_diagonal_": (7.0,),
        "index_add_": (0, ROW, Y), "index_copy_": (0, ROW, Y), "index_fill_": (0, ROW[:1], 3.0),
        "index_put_": ((ROW,), Y), "index_reduce_": (0, ROW, Y, "amax"),
        "masked_fill_": (X > 0, 4.0), "masked_scatter_": (X > 0, Y), "put_": (ROW, Y[0, :2]),
        "renorm_": (2, 0, 0.5), "scatter_": (0, SPOTS, Y), "scatter_add_": (0, SPOTS, Y),
        "scatter_reduce_": (0, SPOTS, Y, "amin"), "mvlgamma_": (1,), "ldexp_": (J,),
        "logit_": (0.01,), "nan_to_num_": (), "float_power_": (2.0,),
    }  # fmt: skip
    if name in table:
        return table[name]
    signature = getattr(sn.Tensor, name).registry_signature
    required = [p for p in signature[signature.index("(") : signature.index(") ->")].split(", ")
                if "=" not in p and "?" not in p and p != "*"]  # fmt: skip
    return (Y,) * (len(required) - 1)


def of(library, value):
    if isinstance(value, np.ndarray):
        return library.tensor(value)
    return tuple(of(library, v) for v in value) if isinstance(value, tuple) else value


def start(name: str) -> np.ndarray:
    if name == "addbmm_":
        return X
    if name == "baddbmm_":
        return np.stack([X, X])
    if name == "addmv_":
        return X[:, 0]
    if name == "squeeze_":
        return X[None]
    if name in ("float_power_",):
        return X.astype(np.float64)
    if name in ("acosh_", "arccosh_"):
        return X + 2
    return I if name in INTEGERS else X


@pytest.mark.parametrize("name", [n for n in NAMES if n not in DRAWS])
def test_method_in_place_like_pytorch(name):
    extra = arguments(name)
    if name == "baddbmm_":
        extra = (np.ones((2, 2, 4), np.float32), np.ones((2, 4, 3), np.float32))
    if name == "addmv_":
        extra = (Y[:, :2], Y[:, 2])
    x, theirs = sn.tensor(start(name)), torch.tensor(start(name))
    result = getattr(x, name)(*of(sn, extra))
    getattr(theirs, name)(*of(torch, extra))
    assert result is x
    assert x.dtype == sn.dtype(str(theirs.dtype).removeprefix("torch."))
    np.testing.assert_allclose(x.numpy(), theirs.numpy(), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(DRAWS | {"zero_", "fill_diagonal_"}))
def test_examples_run(name):
    doc = getattr(sn.Tensor, name).__doc__
    test = doctest.DocTestParser().get_doctest(doc, {"sn": sn}, name, None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_method_is_pytorchs_and_documented(name):
    assert hasattr(torch.Tensor, name)
    method = getattr(sn.Tensor, name)
    assert method.__name__ == name
    assert method.__qualname__ == f"Tensor.{name}"
    assert method.__doc__.startswith(f"{name}(")
    assert len(method.__doc__.splitlines()) > 2
    assert next(iter(inspect.signature(method).parameters)) == "x"
    assert pickle.loads(pickle.dumps(method)) is method
    assert not hasattr(sn, name)


def test_no_method_in_place_of_pytorch_is_missing_without_reason():
    theirs = {n for n in dir(torch.Tensor) if n[-1] == "_" and n[0] != "_"}
    lacking = theirs - set(dir(sn.Tensor))
    # Storage (as_strided makes no views here), sparse tensors, Python functions of single elements.
    assert lacking <= {
        "apply_", "map_", "map2_", "resize_", "resize_as_", "resize_as_sparse_", "set_",
        "share_memory_", "sparse_resize_", "sparse_resize_and_clear_", "polygamma_", "as_strided_",
    }  # fmt: skip


def test_views_write_through_to_their_base():
    x = sn.zeros((2, 3))
    row = x[0]
    row.add_(5).mul_(2)
    x.T[1].fill_(7)
    assert x.tolist() == [[10, 7, 10], [0, 7, 0]]
    assert row.tolist() == [10, 7, 10]


def test_view_in_place_keeps_the_memory():
    x = sn.arange(6).reshape(2, 3).clone()
    row = x[0]
    assert x.t_() is x
    assert x.shape == (3, 2)
    x[0, 0] = 9
    row[1] = 8
    assert row.tolist() == [9, 8, 2]
    assert x.tolist() == [[9, 3], [8, 4], [2, 5]]
    x.unsqueeze_(0).squeeze_(0).t_()
    x.zero_()
    assert row.tolist() == [0, 0, 0]


def test_gradients_flow_through():
    a = sn.tensor(X, requires_grad=True)
    y = (a * 2).exp_().mul_(a)
    y.sum().backward()
    b = torch.tensor(X, requires_grad=True)
    ((b * 2).exp() * b).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-6)
    c = sn.tensor(X, requires_grad=True)
    z = c * 1
    z.t_()
    (z @ z.T).sum().backward()
    d = torch.tensor(X, requires_grad=True)
    w = (d * 1).t()
    (w @ w.T).sum().backward()
    np.testing.assert_allclose(c.grad.numpy(), d.grad.numpy(), rtol=1e-6)


def test_refusals_name_the_method():
    x = sn.ones((2, 3))
    with pytest.raises(sn.ShapeError, match=r"\[add_\].*\(4, 2, 3\)"):
        x.add_(sn.ones((4, 2, 3)))
    with pytest.raises(sn.DTypeError, match=r"\[div_\].*float32.*int32"):
        sn.ones(2, dtype=sn.int32).div_(2)
    leaf = sn.ones(2, requires_grad=True)
    for name, values in (("add_", (1,)), ("zero_", ()), ("unsqueeze_", (0,)), ("uniform_", ())):
        with pytest.raises(sn.GradError, match=rf"\[{name}\].*leaf"):
            getattr(leaf, name)(*values)
    with sn.no_grad():
        leaf.zero_().add_(3)
        assert leaf.is_leaf and leaf.requires_grad and leaf.tolist() == [3, 3]
        with pytest.raises(sn.GradError, match=r"\[unsqueeze_\]"):
            leaf.unsqueeze_(0)
    with pytest.raises(sn.SennitError, match=r"method of sn.Tensor"):
        sn.Tensor.add_(1, 2)
    with pytest.raises(sn.DTypeError, match=r"\[uniform_\]"):
        sn.ones(2, dtype=sn.int64).uniform_()
    with pytest.raises(ValueError, match=r"\[geometric_\].*p is 2"):
        sn.ones(2).geometric_(2)
    with pytest.raises(sn.ShapeError, match=r"\[fill_diagonal_\]"):
        sn.ones((2, 3, 3)).fill_diagonal_(1)
    assert x.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_dtype_is_kept():
    assert sn.ones(2).add_(sn.ones(2, dtype=sn.float64)).dtype == sn.float32
    assert sn.ones(2, dtype=sn.int8).add_(sn.ones(2, dtype=sn.int64)).dtype == sn.int8
    assert sn.tensor([1.0, 2.0]).eq_(2.0).tolist() == [0.0, 1.0]


def test_under_vmap_and_trace():
    def f(x, y):
        z = x * 1
        z.add_(y).relu_()
        z[0].fill_(2)
        z.unsqueeze_(0)
        return z

    x, y = sn.tensor(X), sn.tensor(Y)
    one_by_one = sn.stack([f(a, b) for a, b in zip(x, y, strict=True)])
    assert sn.vmap(f)(x, y).tolist() == one_by_one.tolist()
    assert sn.trace(f, x, y)(x, y).tolist() == f(x, y).tolist()
    with pytest.raises(ValueError, match="made outside"):
        sn.vmap(y.add_)(x)
    with pytest.raises(ValueError, match="made outside"):
        sn.vmap(lambda a: y.unsqueeze_(0) + a)(x)


def test_recomputation_writes_once():
    outer = sn.ones((2, 3))

    def f(x):
        y = x * outer
        y.unsqueeze_(0).exp_()
        outer.add_(1)
        outer.t_()
        result = y.sum()
        outer.t_()
        return result

    x = sn.tensor(X, requires_grad=True)
    sn.checkpoint(f, x).backward()
    assert outer.tolist() == [[2, 2, 2], [2, 2, 2]]
    np.testing.assert_allclose(x.grad.numpy(), np.exp(X), rtol=1e-6)


def test_recomputation_of_a_reshaped_outer_tensor():
    outer = sn.tensor(X)

    def f(x):
        outer.t_()
        return (x @ outer).exp().sum()

    x = sn.tensor(Y, requires_grad=True)
    sn.checkpoint(f, x).backward()
    assert outer.tolist() == X.T.tolist()
    np.testing.assert_allclose(x.grad.numpy(), np.exp(Y @ X.T) @ X, rtol=1e-5)


def test_draws():
    sn.random.seed(3)
    n = 20_000
    x = sn.empty(n)
    cases = {
        "uniform_": ((-1, 3), 1, 4 / 12**0.5), "normal_": ((2, 3), 2, 3),
        "bernoulli_": ((0.3,), 0.3, 0.21**0.5), "exponential_": ((2,), 0.5, 0.5),
        "geometric_": ((0.25,), 4, 12**0.5), "random_": ((2, 8), 4.5, (35 / 12) ** 0.5),
        "log_normal_": ((0, 0.5), np.exp(0.125), np.exp(0.125) * (np.exp(0.25) - 1) ** 0.5),
    }  # fmt: skip
    for name, (values, mean, std) in cases.items():
        getattr(x, name)(*values)
        assert abs(float(x.mean()) - mean) < 5 * std / n**0.5, name
        assert abs(float(x.std()) - std) < 0.05 * std, name
    x.cauchy_(2, 0.5)
    assert abs(float(x.median()) - 2) < 0.03
    assert abs(float(x.quantile(0.75)) - 2.5) < 0.05
    assert set(sn.empty(100, dtype=sn.int32).random_(2, 4).tolist()) == {2, 3}
    assert int(sn.empty(100, dtype=sn.uint8).random_().max()) > 200
    assert set(sn.empty(100, dtype=sn.bool).random_().tolist()) == {True, False}
    assert sn.empty(50, dtype=sn.int64).geometric_(0.5).min().item() == 1
    sn.random.seed(0)
    a = sn.empty(5).uniform_(2, 3)
    sn.random.seed(0)
    assert a.tolist() == sn.random.uniform(2, 3, (5,)).tolist()


def test_fill_diagonal():
    for shape, wrap in (((3, 5), False), ((7, 3), True), ((7, 3), False), ((3, 3, 3), False)):
        theirs = torch.zeros(shape).fill_diagonal_(2, wrap)
        assert sn.zeros(shape).fill_diagonal_(2, wrap).tolist() == theirs.tolist()
    assert sn.zeros((0, 4)).fill_diagonal_(1).shape == (0, 4)


def test_detach_in_place():
    a = sn.tensor(X, requires_grad=True)
    y = a * 2
    assert y.detach_() is y
    assert not y.requires_grad and y.is_leaf
    assert a.detach_() is a and not a.requires_grad
    with pytest.raises(ValueError, match=r"\[detach_\].*view"):
        (sn.tensor(X, requires_grad=True) * 2)[0].detach_()


def test_in_compiled_functions():
    state, turned = sn.zeros((2, 3)), sn.tensor(X)

    @sn.compile
    def step(x):
        y = x * 2
        y.add_(1).relu_()
        y.unsqueeze_(0)
        y[0, 0].fill_(5)
        state.add_(x)
        return y.squeeze_(0)

    for i in range(4):
        y = step(sn.full((2, 3), float(i)))
        assert y.tolist() == [[5] * 3, [2 * i + 1] * 3]
    assert state.tolist() == [[6] * 3] * 2

    @sn.compile
    def turn(x):  # a tensor from outside gets other dimensions: done at every call
        turned.t_()
        return turned + x

    for i in range(4):
        assert turn(sn.tensor(0.0)).shape == turned.shape == ((3, 2), (2, 3))[i % 2]
