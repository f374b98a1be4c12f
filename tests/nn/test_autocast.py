"""sn.autocast against torch.autocast, its gradients, and where it meets the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import sennit as sn
import sennit.nn.functional as F
from sennit import nn

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
PRODUCTS: dict[str, Callable[[Any, Any], Any]] = {
    "matmul": lambda m, x: m.matmul(x, x),
    "@": lambda m, x: x @ x,
    "method": lambda m, x: x.matmul(x),
    "mm": lambda m, x: m.mm(x, x),
    "bmm": lambda m, x: m.bmm(x[None], x[None]),
    "addmm": lambda m, x: m.addmm(x, x, x),
    "baddbmm": lambda m, x: m.baddbmm(x[None], x[None], x[None]),
    "linear": lambda m, x: m.nn.functional.linear(x, x, x[0]),
    "conv1d": lambda m, x: m.nn.functional.conv1d(x[None], x[:, :, None], x[0]),
    "conv2d": lambda m, x: m.nn.functional.conv2d(x[None, None], x[None, None]),
    "conv_transpose2d": lambda m, x: m.nn.functional.conv_transpose2d(x[None, None], x[None, None]),
    "attention": lambda m, x: m.nn.functional.scaled_dot_product_attention(
        x[None, None], x[None, None], x[None, None]
    ),
}
# Of PyTorch's list for CUDA alone.
SHORT_ON_CUDA: dict[str, Callable[[Any, Any], Any]] = {
    "mv": lambda m, x: m.mv(x, x[0]),
    "addmv": lambda m, x: m.addmv(x[0], x, x[0]),
    "addr": lambda m, x: m.addr(x, x[0], x[0]),
    "vecdot": lambda m, x: m.linalg.vecdot(x, x),
}
# In float32 by PyTorch's lists for both kinds of devices.
LONG: dict[str, Callable[[Any, Any], Any]] = {
    "mse_loss": lambda m, x: m.nn.functional.mse_loss(x, x),
    "cosine_embedding_loss": lambda m, x: m.nn.functional.cosine_embedding_loss(x, x, x[:, 0]),
    "poisson_nll_loss": lambda m, x: m.nn.functional.poisson_nll_loss(x, x),
    "smooth_l1_loss": lambda m, x: m.nn.functional.smooth_l1_loss(x, x),
    "huber_loss": lambda m, x: m.nn.functional.huber_loss(x, x),
    "soft_margin_loss": lambda m, x: m.nn.functional.soft_margin_loss(x, x),
    "triplet_margin_loss": lambda m, x: m.nn.functional.triplet_margin_loss(x, x + 1, x - 1),
    "multi_margin_loss": lambda m, x: m.nn.functional.multi_margin_loss(
        x, m.tensor([0] * x.shape[0])
    ),
    "nll_loss": lambda m, x: m.nn.functional.nll_loss(x, m.tensor([0] * x.shape[0])),
    "prod": lambda m, x: m.prod(x),
}
# In float32 on CUDA alone, where PyTorch's list for CPUs keeps the dtype.
LONG_ON_CUDA: dict[str, Callable[[Any, Any], Any]] = {
    **{
        name: lambda m, x, name=name: getattr(m, name)(x)  # type: ignore[misc]
        for name in ("exp", "log", "log2", "log10", "log1p", "expm1", "rsqrt", "reciprocal", "tan",
                     "sinh", "cosh", "asin", "acos", "sum")
    },
    "method": lambda m, x: x.exp(),
    "pow": lambda m, x: m.pow(x, 3),
    "**": lambda m, x: x**3,
    "** 2": lambda m, x: x**2,
    "softmax": lambda m, x: x.softmax(-1),
    "log_softmax": lambda m, x: m.nn.functional.log_softmax(x, -1),
    "softplus": lambda m, x: m.nn.functional.softplus(x),
    "cumsum": lambda m, x: x.cumsum(0),
    "cumprod": lambda m, x: x.cumprod(0),
    "logsumexp": lambda m, x: m.logsumexp(x, 0),
    "layer_norm": lambda m, x: m.nn.functional.layer_norm(x, x.shape[-1:]),
    "group_norm": lambda m, x: m.nn.functional.group_norm(x, 1),
    "cosine_similarity": lambda m, x: m.nn.functional.cosine_similarity(x, x),
    "cross_entropy": lambda m, x: m.nn.functional.cross_entropy(x, m.tensor([0] * x.shape[0])),
    "kl_div": lambda m, x: m.nn.functional.kl_div(x, x, reduction="sum"),
    "l1_loss": lambda m, x: m.nn.functional.l1_loss(x, x),
    "bce_with_logits": lambda m, x: m.nn.functional.binary_cross_entropy_with_logits(x, x),
}  # fmt: skip
KEPT: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda m, x: x + x,
    "multiply": lambda m, x: x * 2.5,
    "relu": lambda m, x: m.relu(x),
    "tanh": lambda m, x: m.tanh(x),
    "gelu": lambda m, x: m.nn.functional.gelu(x),
    "mean": lambda m, x: x.mean(),
    "max": lambda m, x: x.max(),
    "reshape": lambda m, x: x.reshape((-1,)),
    "where": lambda m, x: m.where(x > 0, x, x),
    "dropout": lambda m, x: m.nn.functional.dropout(x, 0.5),
    "max_pool": lambda m, x: m.nn.functional.max_pool2d(x[None], 2),
}


def values() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.1, 0.9, (4, 4)).astype("float32")


def name_of(x: Any) -> str:
    return str(x.dtype).rpartition(".")[2]


@pytest.mark.parametrize("given", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("cast", ["bfloat16", "float16"])
def test_dtypes_of_results_are_those_of_torch(given: str, cast: str) -> None:
    x = sn.asarray(values()).astype(getattr(sn, given))
    y = torch.asarray(values()).to(DTYPES[given])
    for listed in (PRODUCTS, LONG, KEPT):
        for name, f in listed.items():
            with sn.autocast("cpu", dtype=getattr(sn, cast)):
                got = f(sn, x)
            with torch.autocast("cpu", dtype=DTYPES[cast]):
                want = f(torch, y)
            assert name_of(got) == name_of(want), (name, got.dtype, want.dtype)
    for name, f in LONG_ON_CUDA.items():
        with sn.autocast("cpu", dtype=getattr(sn, cast)):
            assert f(sn, x).dtype == sn.float32, name
    for name, f in SHORT_ON_CUDA.items():
        with sn.autocast("cpu", dtype=getattr(sn, cast)):
            assert name_of(f(sn, x)) == cast, name


def test_values_are_those_of_torch() -> None:
    x, y = sn.asarray(values()), torch.asarray(values())
    for name, f in (PRODUCTS | LONG).items():
        with sn.autocast("cpu"):
            got = f(sn, x).astype(sn.float32).numpy()
        with torch.autocast("cpu"):
            want = f(torch, y).float().numpy()
        np.testing.assert_allclose(got, want, rtol=2e-2, atol=2e-2, err_msg=name)


def test_what_is_cast_and_what_is_not() -> None:
    x = sn.asarray(values())
    half, double = x.astype(sn.bfloat16), x.astype(sn.float64)
    with sn.autocast("cpu"):
        assert (x @ half).dtype == sn.bfloat16
        assert (half + x).dtype == sn.float32  # promotes
        assert sn.concat([half, x]).dtype == sn.float32
        assert (double @ double).dtype == double.sum().dtype == sn.float64
        assert double.exp().dtype == sn.float64
        ints = sn.arange(4).reshape((2, 2))
        assert (ints @ ints).dtype == ints.sum().dtype == sn.int64
        assert half.sum(dtype=sn.bfloat16).dtype == sn.bfloat16
        y = half.clone()
        y.exp_()  # written into y, whose dtype stays
        assert y.dtype == sn.bfloat16
        y = x.clone()
        y @= x
        assert y.dtype == sn.float32
    with sn.autocast("cuda"):
        assert (x @ x).dtype == sn.float32  # of other devices alone
    assert (x @ x).dtype == sn.float32


def test_blocks_nest_and_end() -> None:
    x = sn.asarray(values())
    with sn.autocast("cpu", dtype=sn.float16):
        assert (x @ x).dtype == sn.float16
        with sn.autocast("cpu", enabled=False):
            assert (x @ x).dtype == sn.float32
            assert not sn.is_autocast_enabled("cpu")
            with sn.autocast("cpu"):
                assert (x @ x).dtype == sn.float16  # the surrounding dtype
        with sn.autocast("cpu", dtype=sn.bfloat16):
            assert sn.get_autocast_dtype("cpu") == sn.bfloat16
        assert sn.get_autocast_dtype("cpu") == sn.float16
        with pytest.raises(ZeroDivisionError), sn.autocast("cpu", dtype=sn.bfloat16):
            _ = 1 // 0
        assert (x @ x).dtype == sn.float16
    assert not sn.is_autocast_enabled("cpu") and sn.get_autocast_dtype("cpu") == sn.bfloat16

    block = sn.autocast("cpu")

    @block
    def product(depth: int) -> Any:
        return x @ x if depth == 0 else product(depth - 1)

    assert product(3).dtype == sn.bfloat16 and not sn.is_autocast_enabled("cpu")
    seen = []
    with block:
        thread = threading.Thread(target=lambda: seen.append(sn.is_autocast_enabled("cpu")))
        thread.start()
        thread.join()
    assert seen == [False]


def test_bad_arguments() -> None:
    with pytest.raises(sn.InvalidValue, match=r"'tpu'.*'cpu' or 'cuda'"):
        sn.autocast("tpu")
    with pytest.raises(sn.InvalidValue, match=r"float32.*bfloat16 or sn.float16"):
        sn.autocast("cpu", dtype=sn.float32)
    with pytest.raises(sn.InvalidValue, match=r"'fast'.*'highest'"):
        sn.config.matmul_precision = "fast"
    assert sn.config.matmul_precision == "highest"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.GroupNorm(2, 4)
        self.batch = nn.BatchNorm2d(4)
        self.out = nn.Linear(4, 3)

    def forward(self, x: Any) -> Any:
        x = F.gelu(self.batch(self.norm(self.conv(x))))
        return self.out(x.mean((2, 3)))


def make() -> Net:
    sn.random.seed(0)
    return Net()


def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((5, 1, 6, 6)).astype("float32")
    return sn.asarray(x), sn.asarray(rng.integers(0, 3, 5))


def gradients(model: Net, loss: Any) -> list[np.ndarray]:
    for p in model.parameters():
        p.grad = None
    loss.backward()
    assert all(p.grad.dtype == sn.float32 for p in model.parameters())
    return [p.grad.numpy().copy() for p in model.parameters()]


def test_gradients_flow_through_casts() -> None:
    x, y = data()
    model = make()
    want = gradients(model, F.cross_entropy(model(x), y))
    for dtype, tolerance in ((sn.bfloat16, 5e-2), (sn.float16, 1e-2)):
        model = make()
        with sn.autocast("cpu", dtype=dtype):
            out = model(x)
            loss = F.cross_entropy(out, y)
        assert out.dtype == dtype and loss.dtype == sn.float32
        for got, ours in zip(gradients(model, loss), want, strict=True):
            np.testing.assert_allclose(got, ours, atol=tolerance)


def test_second_order_gradients() -> None:
    x = sn.asarray(values())

    def f(w: Any) -> Any:
        with sn.autocast("cpu"):
            return ((x @ w).tanh() @ x).exp().sum()

    def penalty(w: Any) -> Any:
        return (sn.grad(f)(w) ** 2).sum()

    w = sn.asarray(values() * 0.1)
    got = sn.grad(penalty)(w)
    assert got.dtype == sn.float32

    def wide(w: Any) -> Any:
        return ((x @ w).tanh() @ x).exp().sum()

    want = sn.grad(lambda w: (sn.grad(wide)(w) ** 2).sum())(w)
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=0.1)


def test_compiled_and_traced_functions() -> None:
    x, y = data()
    model = make()

    def loss(x: Any, y: Any) -> Any:
        with sn.autocast("cpu"):
            out = model(x)
            return out, F.cross_entropy(out, y)

    want = gradients(model, loss(x, y)[1])
    compiled = sn.compile(loss)
    for _ in range(3):
        out, value = compiled(x, y)
        assert out.dtype == sn.bfloat16 and value.dtype == sn.float32
        for a, b in zip(gradients(model, value), want, strict=True):
            assert a.tobytes() == b.tobytes()
    # A function that says nothing is compiled for the block that it is called in.
    product = sn.compile(lambda x: x @ x)
    square = sn.asarray(values())
    for _ in range(3):
        assert product(square).dtype == sn.float32
        with sn.autocast("cpu"):
            assert product(square).dtype == sn.bfloat16
        with sn.autocast("cpu", dtype=sn.float16):
            assert product(square).dtype == sn.float16
    with sn.autocast("cpu"):
        graph = sn.trace(lambda x: (x @ x).softmax(-1), square)
    assert graph(square).dtype == sn.float32
    with sn.autocast("cpu"):
        eager = (square @ square).softmax(-1)
    assert graph(square).numpy().tobytes() == eager.numpy().tobytes()


def test_a_checkpoint_computes_again_as_it_did() -> None:
    x, y = data()
    model = make()
    model.batch = nn.Identity()
    with sn.autocast("cpu"):
        loss = F.cross_entropy(model(x), y)
    want = gradients(model, loss)
    with sn.autocast("cpu"):
        loss = F.cross_entropy(sn.checkpoint(model, x), y)
    for a, b in zip(gradients(model, loss), want, strict=True):
        assert a.tobytes() == b.tobytes()
    assert not sn.is_autocast_enabled("cpu")


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers(kind: Any) -> None:
    layer = kind(3, 4)
    with sn.autocast("cpu"):
        out, _ = layer(sn.ones((5, 2, 3)))
    assert out.dtype == sn.bfloat16
    out.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == sn.float32 for p in layer.parameters())


def test_attention_and_transformers() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    with sn.autocast("cpu"):
        out = layer(sn.ones((2, 5, 8)))
    assert out.dtype == sn.float32  # a layer norm is last
    out.sum().backward()
    assert all(p.grad.dtype == sn.float32 for p in layer.parameters())
