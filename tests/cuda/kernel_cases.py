"""The CUDA back-end's own kernels against the CPU's, bit for bit: one family a run.

Run by test_kernels.py in a process that finds the fake driver and NVRTC:
python kernel_cases.py FAMILY
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import sennit as sn

HALF, SINGLE, DOUBLE = "float16", "float32", "float64"


def tensors(value: Any) -> Iterator[sn.Tensor]:
    if isinstance(value, sn.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)


def bits(x: sn.Tensor) -> np.ndarray:
    """An integer per element; every NaN is the same one. Half floats go through f32, exactly."""
    x = x.to("cpu")
    if str(x.dtype).removeprefix("sennit.") in ("bfloat16", "float16"):
        x = x.astype(sn.float32)
    a = np.atleast_1d(x.numpy())
    if a.dtype.kind == "c":
        a = a.view(a.real.dtype)
    if a.dtype.kind != "f":
        return a
    word = a.view(f"uint{a.itemsize * 8}")
    return np.where(np.isnan(a), np.iinfo(word.dtype).max, word)


def check(f: Callable[..., Any], *inputs: Any) -> None:
    """f of CPU tensors and f of the same tensors on the device: equal bits, or equal errors."""
    moved = [x.to("cuda") if isinstance(x, sn.Tensor) else x for x in inputs]
    ours = list(tensors(f(*inputs)))
    theirs = list(tensors(f(*moved)))
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        assert str(b.device) == "cuda:0", b.device
        assert a.dtype == b.dtype and a.shape == b.shape, (a, b)
        wrong = np.argwhere(bits(a) != bits(b))
        assert not len(wrong), f"{len(wrong)} differ, first at {wrong[0]}:\n{a}\n{b.to('cpu')}"


def check_error(f: Callable[..., Any], *inputs: Any) -> None:
    """The device raises what the CPU raises."""
    messages = []
    for device in ("cpu", "cuda"):
        try:
            result = f(*[x.to(device) if isinstance(x, sn.Tensor) else x for x in inputs])
            [x.to("cpu").numpy() for x in tensors(result)]
        except sn.SennitError as error:
            messages.append((type(error), str(error).split("\n")[0]))
        else:
            raise AssertionError(f"no error on {device}")
    assert messages[0] == messages[1], messages


def draw(shape: tuple[int, ...], dtype: str = SINGLE, seed: int = 0, scale: float = 2.0) -> Any:
    rng = np.random.default_rng(seed + zlib.crc32(repr((shape, dtype)).encode()))
    if dtype == "bool":
        return sn.asarray(rng.random(shape) < 0.5)
    if dtype.startswith(("int", "uint")):
        return sn.asarray(rng.integers(0 if dtype[0] == "u" else -90, 90, shape).astype(dtype))
    values = rng.standard_normal(shape) * scale
    if dtype.startswith("complex"):
        return sn.asarray((values + 1j * values[..., ::-1]).astype(dtype))
    return sn.asarray(values).astype(getattr(sn, dtype))


def numbers(low: int, high: int, shape: tuple[int, ...], dtype: str = "int64") -> Any:
    rng = np.random.default_rng(zlib.crc32(repr((low, high, shape)).encode()))
    return sn.asarray(rng.integers(low, high, shape).astype(dtype))


# ---------------------------------------------------------------- families


def movement() -> str:
    for dtype in ("bool", HALF, SINGLE, "int64", "complex128"):
        x = draw((5, 33, 40), dtype)
        check(lambda x: [x.permute(2, 0, 1).contiguous(), x[:, ::-2].contiguous()], x)
        check(lambda x: [x.permute(1, 2, 0).reshape((40, 165)), x[1:1].contiguous()], x)
        check(lambda x: sn.concat([x[:, :3], x[:, 30:], x[:, 1:1]], axis=1), x)
        check(lambda x: sn.pad(x, (3, 0, 0, 0, 1, 2)), x)

        def write(x: Any) -> Any:
            y = x.clone()
            y[1:4, 5:20:3] = x[0:3, 0:15:3]
            y[::2, :, 3] = 1
            return y

        check(write, x)
    check(lambda x: sn.expand(x, (300, 7)).contiguous(), draw((300, 1)))
    many = tuple(2 if d % 2 else 1 for d in range(20))
    check(lambda x: x.permute(tuple(range(19, -1, -1))).contiguous(), draw(many))
    for dtype in (HALF, SINGLE, "int32", "uint8"):
        there = {"dtype": getattr(sn, dtype)}
        check(lambda x, there=there: sn.arange(3, 90, 2, device=x.device, **there), draw((1,)))
        check(lambda x, there=there: sn.full((3, 5), 7, device=x.device, **there), draw((1,)))
    for end in (True, False):
        check(lambda x, end=end: sn.linspace(-1, 2, 77, endpoint=end, device=x.device), draw((1,)))
    check(sn.complex, draw((3, 5)), draw((5,)))
    return "contiguous reshape slice_update concat pad full complex arange linspace"


def reductions() -> str:
    for name in ("sum", "prod", "max", "min", "mean", "var", "argmax", "argmin"):
        f = getattr(sn, name)
        for dtype in (HALF, SINGLE) if name in ("sum", "var", "argmin") else (SINGLE,):
            for n in (1, 17, 1025, 5000):
                check(f, draw((n,), dtype, scale=1.1))
            x = draw((5, 33, 40), dtype)
            for axis in (0, 1, 2):
                check(lambda x, axis, f=f: f(x, axis=axis), x, axis)
                check(lambda x, axis, f=f: f(x.transpose(0, 2), axis=axis), x, axis)
            if not name.startswith("arg"):
                check(lambda x, f=f: f(x, axis=(0, 2), keepdims=True), x)
        if name in ("sum", "max", "argmin"):
            check(lambda x, f=f: f(x, axis=1), draw((3, 1100), "int16"))
    x = draw((9, 50), "bool")
    check(lambda x: [sn.any(x, axis=1), sn.all(x, axis=0), sn.any(x), sn.sum(x)], x)
    special = sn.tensor([1.0, float("nan"), -0.0, 0.0, float("inf"), float("nan")])
    check(lambda x: [x.max(), x.min(), x.argmax(), x.argmin()], special)
    check(lambda x: [x.sum(axis=1), x.prod(axis=1), x.mean(axis=1)], draw((3, 0)))
    check(lambda x: sn.var_mean(x, axis=1), draw((3, 3000), DOUBLE))
    x, labels, weight = draw((50, 7)), numbers(0, 7, (50,)), draw((7,)).abs()
    check(lambda x, l, w: [sn.cross_entropy(x, l), sn.cross_entropy(x, l, w)], x, labels, weight)
    check_error(sn.cross_entropy, x, numbers(0, 9, (50,)))
    return "sum sum_wide prod max min any all mean var var_mean argmax argmin check_labels"


def products() -> str:
    for dtype in (HALF, SINGLE, DOUBLE, "int32"):
        for m, k, n in ((1, 1, 1), (3, 5, 7), (33, 17, 65), (5, 1024, 3), (4, 2500, 9)):
            check(sn.matmul, draw((m, k), dtype), draw((k, n), dtype))
        check(lambda a, b: sn.matmul(a.T, b.T), draw((30, 70), dtype), draw((65, 30), dtype))
        check(sn.matmul, draw((4, 3, 6, 5), dtype), draw((3, 5, 8), dtype))
        check(sn.matmul, draw((2, 3, 0), dtype), draw((0, 8), dtype))
    check(sn.matmul, draw((65, 140, 21)), draw((65, 21, 260)))
    check(sn.matmul, draw((60, 20, 1100)), draw((60, 1100, 70)))
    x, w, b = draw((21, 70), HALF), draw((35, 70), HALF), draw((35,), HALF)
    check(lambda x, w, b: sn.relu(sn.linear(x, w, b)), x, w, b)
    return "matmul"


def indexing() -> str:
    for dtype in ("bool", HALF, SINGLE, "int64"):
        x, index = draw((6, 9, 4), dtype), numbers(-9, 9, (3, 5))
        check(lambda x, i: sn.take(x, i, axis=1), x, index)
        along = numbers(-9, 9, (6, 5, 4))
        check(lambda x, i: sn.take_along_axis(x, i, axis=1), x, along)
        check(lambda x, i, j: x[i, j], x, numbers(-6, 6, (13,)), numbers(-9, 9, (13,)))
        values = draw((6, 5, 4), dtype, 1)
        check(lambda x, i, v: sn.scatter(x, 1, i, v), x, along % 9, values)

        def put(x: Any, i: Any, j: Any, v: Any) -> Any:
            y = x.clone()
            y[i, j] = v
            return y

        check(put, x, numbers(-6, 6, (13,)), numbers(-9, 9, (13,)), draw((13, 4), dtype, 2))
        check(lambda x: [sn.stack(list(sn.nonzero(x)))], draw((7, 300), "bool"))
    x, many, values = draw((50, 3)), numbers(0, 50, (3000,)), draw((3000, 3), seed=1)
    check(lambda x, i, v: sn.index_add(x, 0, i, v), x, many, values)
    check(lambda x, i, v: sn.index_add(x, 0, i, v), x.astype(sn.float16), many,
          values.astype(sn.float16))  # fmt: skip
    check(lambda i: sn.one_hot(i, 50), many)
    check(lambda w, i: sn.embedding(i, w), draw((50, 8)), many)
    for f in (
        lambda x, i: sn.take(x, i, axis=1),
        lambda x, i: sn.embedding(i[0], x[0]),
        lambda x, i: x[0][i],
        lambda x, i: sn.one_hot(i.abs(), 5),
    ):
        check_error(f, draw((6, 9, 4)), numbers(-30, 30, (3, 5)))
    return "take embedding take_along_axis gather_nd scatter scatter_nd index_add one_hot nonzero"


def sorting() -> str:
    for dtype in ("bool", SINGLE, "int16"):
        for n in (1, 5, 64, 1000, 3333):
            x = draw((2, n, 3), dtype)
            for descending in (False, True):
                check(lambda x, d: sn.sort(x, axis=1, descending=d), x, descending)
                check(lambda x, d: sn.argsort(x, axis=1, descending=d), x, descending)
            check(lambda x, k: sn.topk(x, k, axis=1), x, min(n, 4))
        sorted_, values = sn.sort(draw((50,), dtype)), draw((4, 20), dtype, 1)
        for side in ("left", "right"):
            check(lambda s, v, side=side: sn.searchsorted(s, v, side=side), sorted_, values)
    return "sort argsort topk searchsorted"


def random() -> str:
    def drawn(x: Any) -> Any:
        sn.random.seed(5)
        there = {"device": x.device}
        return [
            sn.random.uniform(-1.5, 2.5, (1000,), **there),
            sn.random.normal(0.5, 2, (1000,), **there),
            sn.random.normal(0, 1, (77,), dtype=sn.float64, **there),
            sn.random.uniform(0, 1, (77,), dtype=sn.float16, **there),
            sn.random.integers(-3, 1000, (77,), **there), sn.dropout(sn.ones((500,), **there), 0.3),
        ]  # fmt: skip

    check(drawn, draw((1,)))
    for dtype in (HALF, SINGLE):
        for shape, axis in (((3, 2100, 2), 1), ((5000,), 0), ((0, 3), 1)):
            x = draw(shape, dtype, scale=1.0)
            check(lambda x, axis: [sn.cumsum(x, axis=axis), sn.cumprod(x, axis=axis)], x, axis)
            check(lambda x, axis: sn.cummax(x, axis=axis), x, axis)
            check(lambda x, axis: sn.logcumsumexp(x, axis=axis), x, axis)
    check(lambda x: sn.cumsum(x, axis=0), draw((3000, 2), "int32"))
    return (
        "random_uniform random_normal random_integers dropout_mask cumsum cumprod running_max "
        "logcumsumexp"
    )


def windows() -> str:
    def passes(f: Callable[..., Any], *options: Any) -> Callable[..., Any]:
        def run(*inputs: Any) -> Any:
            inputs = tuple(x.detach().clone() for x in inputs)
            for x in inputs:
                x.requires_grad = True
            y = f(*inputs)
            return [y.detach(), *sn.gradients([y * y], list(inputs))]

        return run

    for dtype in (HALF, SINGLE):
        x = draw((2, 5, 11, 9), dtype)
        check(passes(lambda x: sn.max_pool2d(x, 3, stride=2, padding=1)), x)
        check(passes(lambda x: sn.max_pool2d(x, 2, dilation=2, ceil_mode=True)), x)
        check(lambda x: sn.max_pool2d_with_indices(x, 3, stride=1), x)
        check(passes(lambda x: sn.avg_pool2d(x, 3, 2, 1, True, False)), x)
        check(lambda x: sn.avg_pool3d(x, 2), draw((1, 3, 6, 5, 4), dtype))
    cases: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
        ((2, 3, 9, 8), (5, 3, 3, 3), {"stride": 2, "padding": 1}),
        ((1, 16, 7, 7), (24, 16, 1, 1), {}),
        ((2, 8, 6, 6), (8, 1, 3, 3), {"groups": 8, "padding": 1}),
        ((1, 20, 6, 5), (24, 10, 3, 3), {"groups": 2, "padding": 1}),
        ((1, 10, 10, 9), (12, 10, 3, 2), {"dilation": 2, "padding": 2, "stride": (1, 2)}),
        ((1, 130, 5, 5), (9, 130, 3, 3), {"padding": 1}),
        ((3, 8, 40, 45), (9, 8, 3, 3), {"padding": 1}),
    ]
    for dtype in (HALF, SINGLE):
        for x_shape, w_shape, options in cases[: 7 if dtype == SINGLE else 6]:
            x, w = draw(x_shape, dtype), draw(w_shape, dtype)
            check(passes(lambda x, w, o=options: sn.conv2d(x, w, **o)), x, w)
    x, w, b = draw((2, 3, 9, 8), HALF), draw((16, 3, 3, 3), HALF), draw((16,), HALF)
    check(lambda x, w, b: sn.relu(sn.conv2d(x, w, b)), x, w, b)
    check(lambda x, w: sn.conv1d(x, w, padding=2), draw((2, 3, 30)), draw((4, 3, 5)))
    options = {"stride": 2, "padding": 1, "output_padding": 1}
    check(lambda x, w: sn.conv_transpose2d(x, w, **options), draw((2, 9, 5, 6)),
          draw((9, 8, 3, 3)))  # fmt: skip
    return "conv conv_data_grad conv_weight_grad max_pool max_pool_grad avg_pool avg_pool_grad"


def attention() -> str:
    f = sn.scaled_dot_product_attention

    def passes(**options: Any) -> Callable[..., Any]:
        def run(q: Any, k: Any, v: Any) -> Any:
            inputs = [x.detach().clone() for x in (q, k, v)]
            for x in inputs:
                x.requires_grad = True
            sn.random.seed(3)
            y = f(*inputs, **options)
            return [y.detach(), *sn.gradients([y * y], inputs)]

        return run

    for dtype in (HALF, SINGLE):
        q, k, v = (draw((2, 3, n, 16), dtype, seed) for seed, n in enumerate((40, 150, 150)))
        check(passes(), q, k, v)
        check(passes(is_causal=True), k, k * 2, v)
        check(passes(dropout_p=0.3, scale=0.5), q, k, v)
    q, k, v = draw((2, 4, 200, 8)), draw((2, 2, 260, 8)), draw((2, 2, 260, 5))
    check(passes(enable_gqa=True), q, k, v)
    mask, added = draw((200, 260), "bool"), draw((2, 1, 200, 260))
    check(lambda q, k, v, m: f(q, k, v, attn_mask=m, enable_gqa=True), q, k, v, mask)
    check(lambda q, k, v, m: f(q, k, v, attn_mask=m, enable_gqa=True), q, k, v, added)
    return "attention attention_grad"


def recurrent() -> str:
    for name, options in (
        ("RNN", {}),
        ("RNN", {"nonlinearity": "relu"}),
        ("LSTM", {}),
        ("GRU", {}),
    ):
        for both in (False, True):
            sn.random.seed(1)
            layer = getattr(sn.nn, name)(6, 20, num_layers=2, bidirectional=both, **options)

            def run(x: Any, layer: Any = layer) -> Any:
                layer.to(x.device)
                weights = list(layer.parameters())
                y, states = layer(x)
                last = states[0] if isinstance(states, tuple) else states
                grads = sn.gradients([(y * y).sum() + last.sum()], weights)
                return [y.detach(), last.detach(), *grads]

            check(run, draw((5, 3, 6)))
    return (
        "rnn_sequence rnn_sequence_grad lstm_sequence lstm_sequence_grad gru_sequence "
        "gru_sequence_grad"
    )


ALL = (movement, reductions, products, indexing, sorting, random, windows, attention, recurrent)
FAMILIES = {f.__name__: f for f in ALL}

if __name__ == "__main__":
    sn.config.window = int(sys.argv[2]) if len(sys.argv) > 2 else sn.config.window
    ops = FAMILIES[sys.argv[1]]().split()
    on_host = set(sn._core.cuda_host_runs())
    assert not on_host & set(ops), f"on the CPU: {sorted(on_host & set(ops))}"
    print("equal bits")
