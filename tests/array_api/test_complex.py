"""Complex numbers: every op against NumPy, gradients of two orders against PyTorch, exchange.

Covers the functions real, imag, conj, complex, polar, angle, view_as_real, view_as_complex.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from against_torch import check_gradients

import sennit as sn

INF, NAN = np.inf, np.nan
CORNERS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, 1e-3, 30.0, -30.0, INF, -INF, NAN]
GRID = np.array([complex(a, b) for a in CORNERS for b in CORNERS])
rng = np.random.default_rng(0)
A = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
B = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
C = rng.normal(size=(4, 5)) + 1j * rng.normal(size=(4, 5))
R = rng.normal(size=(3, 4))


@pytest.fixture(autouse=True)
def verified() -> Iterator[None]:
    before = sn.config.verify
    sn.config.verify = True
    yield
    sn.config.verify = before


def same(got: Any, want: Any, tolerance: float) -> np.ndarray:
    """Where two real arrays agree: both NaN, equal with the same sign of zero, or close."""
    if got.dtype == bool:
        return np.asarray(got == want)
    with np.errstate(all="ignore"):
        close = abs(got - want) <= tolerance * abs(want)
    equal = (got == want) & (np.signbit(got) == np.signbit(want))
    return (np.isnan(got) & np.isnan(want)) | equal | (np.isfinite(got) & close)


def check_parts(got: Any, want: Any, at: Any, tolerance: float, skip: Any = None) -> None:
    parts = [(got.real, want.real), (got.imag, want.imag)] if got.dtype.kind == "c" else [
        (got, want)]  # fmt: skip
    for mine, theirs in parts:
        ok = same(mine, theirs, tolerance)
        if skip is not None:
            ok |= skip
        assert ok.all(), [(at[i], got[i], want[i]) for i in np.flatnonzero(~ok)[:5]]


UNARY = """exp log log2 log10 log1p sqrt sin cos tan sinh cosh tanh asin acos atan asinh acosh atanh
square abs negative conj round isnan isinf isfinite real imag""".split()  # noqa: SIM905
NUMPY_NAMES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh",
               "acosh": "arccosh", "atanh": "arctanh"}  # fmt: skip


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, dtype: str) -> None:
    x = GRID.astype(dtype)
    with np.errstate(all="ignore"):
        want = np.asarray(getattr(np, NUMPY_NAMES.get(name, name))(x))
    got = getattr(sn, name)(sn.asarray(x))
    assert got.dtype.name == want.dtype.name
    # The standard leaves the sign of some infinities open; NumPy is inaccurate in log1p.
    skip = None
    if name in ("sin", "sinh"):
        skip = (np.isinf(x.real) | np.isnan(x.real)) & (np.isinf(x.imag) | np.isnan(x.imag))
    if name == "square":  # a * a - b * b, rounded twice
        skip = abs(x.real) == abs(x.imag)
    if name == "log1p":
        skip = (abs(x) < 0.01) & (abs(x.imag) < 0.01)
    check_parts(got.numpy(), want, x, 1e-12 if dtype == "complex128" else 2e-6, skip)


EXPM1 = [  # the standard's special cases
    (0, 0, 0, 0), (-0.0, 0, 0, 0), (1, INF, NAN, NAN), (1, NAN, NAN, NAN), (INF, 0, INF, 0),
    (-INF, 1, -1, 0), (-INF, INF, -1, 0), (INF, INF, INF, NAN), (-INF, NAN, -1, 0),
    (INF, NAN, INF, NAN), (NAN, 0, NAN, 0), (NAN, 1, NAN, NAN), (NAN, NAN, NAN, NAN),
    (INF, 1, INF, INF), (INF, 2, -INF, INF),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "re", "im"), EXPM1)
def test_expm1(a: float, b: float, re: float, im: float) -> None:
    got = complex(sn.expm1(sn.asarray(complex(a, b), dtype=sn.complex128)))
    np.testing.assert_array_equal([got.real, got.imag], [re, im])
    small = sn.expm1(sn.asarray([1e-9 + 1e-9j], dtype=sn.complex128)).tolist()[0]
    np.testing.assert_allclose(small, 1e-9 + 1e-9j + (1e-9 + 1e-9j) ** 2 / 2, rtol=1e-15)


def test_large_and_small() -> None:
    big = np.array(
        [
            1e200 + 1e-200j,
            1e200 + 1e200j,
            -1e200 + 1e-200j,
            1e308 + 1e308j,
            1e-310 + 1e-310j,
            1e-200 + 1e-200j,
            1e-200j,
            750 + 1.57j,
            -1e154 + 1e154j,
        ]
    )
    x = sn.asarray(big)
    for name in (
        "sqrt",
        "log",
        "abs",
        "exp",
        "sinh",
        "cosh",
        "asinh",
        "acosh",
        "acos",
        "asin",
        "atan",
    ):
        with np.errstate(all="ignore"):
            want = np.asarray(getattr(np, NUMPY_NAMES.get(name, name))(big))
        tolerance = 1e-9 if name in ("exp", "sinh", "cosh") else 1e-13
        check_parts(getattr(sn, name)(x).numpy(), want, big, tolerance)
    tiny = sn.log1p(sn.asarray([1e-200 + 1e-3j, 1e-9 + 0j], dtype=sn.complex128)).tolist()
    np.testing.assert_allclose(tiny[0].real, 0.5 * np.log1p(1e-6), rtol=1e-14)
    np.testing.assert_allclose(tiny[1], 1e-9 - 5e-19, rtol=1e-14)


BINARY = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
    "equal": np.equal, "not_equal": np.not_equal, "logical_and": np.logical_and,
    "logical_or": np.logical_or, "logical_xor": np.logical_xor, "pow": np.power,
}  # fmt: skip


@pytest.mark.parametrize("dtypes", [("complex64", "complex64"), ("complex128", "complex64"),
                                    ("float32", "complex64"), ("complex64", "float64"),
                                    ("int32", "complex64"), ("complex128", "bool")])  # fmt: skip
@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, dtypes: tuple[str, str]) -> None:
    values = np.array([0, 1, -1, 2.5 - 1j, 1e-3j, -3 + 4j, 30.0])
    x, y = (v.ravel() for v in np.meshgrid(values, values))
    x, y = (v if d.startswith("complex") else v.real for v, d in zip((x, y), dtypes, strict=True))
    x, y = x.astype(dtypes[0]), y.astype(dtypes[1])
    wide = sn.result_type(sn.asarray(x), sn.asarray(y)).name
    with np.errstate(all="ignore"):
        want = BINARY[name](x.astype(wide), y.astype(wide))
    got = getattr(sn, name)(sn.asarray(x), sn.asarray(y)).numpy()
    assert got.dtype == want.dtype
    tolerance = 2e-5 if wide == "complex64" else 1e-12
    good = np.isfinite(want)
    if name == "pow":  # 0 to a complex power, and what is lost around 30**30
        good &= (x != 0) & (abs(want) < 1e30) & (abs(want) > 1e-30)
    np.testing.assert_allclose(got[good], want[good], rtol=tolerance, atol=tolerance)
    assert np.isfinite(got[good]).all()


def test_a_real_factor_scales_both_parts() -> None:
    """As in C, and as the standard's table of sums has it: a real operand has no imaginary part."""
    x = sn.asarray([complex(INF, 1), complex(-0.0, -0.0)])
    assert (x * 2).tolist()[0] == complex(INF, 2)
    assert (2 * x).tolist()[0] == complex(INF, 2) and (x / 2).tolist()[0] == complex(INF, 0.5)
    shifted = (x + 1).tolist()[1]
    assert shifted == 1 and np.signbit(shifted.imag)


def test_division_by_zero() -> None:
    with np.errstate(all="ignore"):
        want = np.array([1 + 1j, 0j, -2j]) / np.zeros(3)
    got = (sn.asarray([1 + 1j, 0j, -2j]) / sn.zeros(3, dtype=sn.complex64)).numpy()
    np.testing.assert_array_equal(np.isnan(got.real), np.isnan(want.real))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(want))


REDUCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sum": (lambda x: sn.sum(x, axis=0), lambda x: x.sum(0)),
    "sum all": (lambda x: x.sum(keepdims=True), lambda x: x.sum(keepdims=True)),
    "mean": (lambda x: sn.mean(x, axis=(0, 1)), np.mean),
    "prod": (lambda x: sn.prod(x, axis=1), lambda x: x.prod(1)),
    "var": (lambda x: sn.var(x, axis=1, correction=1), lambda x: x.var(1, ddof=1)),
    "std": (sn.std, np.std),
    "cumulative_sum": (lambda x: sn.cumulative_sum(x, axis=1), lambda x: x.cumsum(1)),
    "cumulative_prod": (lambda x: sn.cumulative_prod(x, axis=0), lambda x: x.cumprod(0)),
    "initial": (
        lambda x: sn.cumulative_sum(x, axis=0, include_initial=True),
        lambda x: np.concatenate([np.zeros((1, x.shape[1]), x.dtype), x.cumsum(0)]),
    ),
    "any": (lambda x: sn.any(x, axis=0), lambda x: x.any(0)),
    "all": (sn.all, np.all),
    "count_nonzero": (lambda x: sn.count_nonzero(x, axis=0), lambda x: np.count_nonzero(x, 0)),
    "diff": (lambda x: sn.diff(x, n=2), lambda x: np.diff(x, n=2)),
    "norm": (lambda x: sn.vector_norm(x, axis=1), lambda x: np.linalg.norm(x, axis=1)),
    "matmul": (lambda x: x @ x.mT, lambda x: x @ x.T),
    "matvec": (lambda x: x @ x[0], lambda x: x @ x[0]),
    "real matmul": (lambda x: sn.real(x) @ x.mT, lambda x: x.real @ x.T),
    "vecdot": (lambda x: sn.vecdot(x, x[:1]), lambda x: (x.conj() * x[:1]).sum(-1)),
    "outer": (lambda x: sn.outer(x[0], x[1]), lambda x: np.outer(x[0], x[1])),
    "tensordot": (lambda x: sn.tensordot(x, x, axes=((0, 1), (0, 1))),
                  lambda x: np.tensordot(x, x, ((0, 1), (0, 1)))),
    "reshape": (lambda x: x.T.reshape((-1,)), lambda x: x.T.reshape(-1)),
    "flip": (lambda x: sn.flip(x)[::2, 1:] * 1, lambda x: np.flip(x)[::2, 1:]),
    "roll": (lambda x: sn.roll(x, 1, axis=1), lambda x: np.roll(x, 1, 1)),
    "concat": (lambda x: sn.concat([x, sn.real(x)]), lambda x: np.concatenate([x, x.real])),
    "stack": (lambda x: sn.stack([x, x * 1j], axis=-1), lambda x: np.stack([x, x * 1j], -1)),
    "pad": (lambda x: sn.pad(x, (1, 2), value=2j), lambda x: np.pad(x, ((0, 0), (1, 2)),
                                                                  constant_values=2j)),
    "repeat": (lambda x: sn.repeat(x, 2, axis=0), lambda x: np.repeat(x, 2, 0)),
    "tile": (lambda x: sn.tile(x, (2, 1)), lambda x: np.tile(x, (2, 1))),
    "adjoint": (sn.adjoint, lambda x: x.conj().T),
    "tril": (sn.tril, np.tril),
    "take": (lambda x: sn.take(x, sn.asarray([0, 0]), axis=0), lambda x: x[[0, 0]]),
    "take_along_axis": (lambda x: sn.take_along_axis(x, sn.asarray([[1], [0]]), axis=1),
                        lambda x: np.take_along_axis(x, np.array([[1], [0]]), 1)),
    "index": (lambda x: x[sn.asarray([1, 0]), sn.asarray([0, 1])], lambda x: x[[1, 0], [0, 1]]),
    "mask": (lambda x: x[sn.abs(x) > 1], lambda x: x[abs(x) > 1]),
    "where": (lambda x: sn.where(sn.real(x) > 0, x, 1j), lambda x: np.where(x.real > 0, x, 1j)),
    "masked_fill": (lambda x: x.masked_fill(sn.real(x) > 0, 0),
                    lambda x: np.where(x.real > 0, 0, x)),
    "angle": (sn.angle, np.angle),
    "view_as_real": (sn.view_as_real, lambda x: np.stack([x.real, x.imag], -1)),
    "view_as_complex": (lambda x: sn.view_as_complex(sn.view_as_real(x)), lambda x: x),
    "polar": (lambda x: sn.polar(sn.abs(x), sn.angle(x)), lambda x: x),
    "complex": (lambda x: sn.complex(sn.imag(x), sn.real(x)), lambda x: x.imag + 1j * x.real),
    "broadcast": (lambda x: x + sn.broadcast_to(x[:1], x.shape), lambda x: x + x[:1]),
    "sigmoid": (sn.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "sign": (sn.sign, lambda x: x / abs(x)),
    "resolve_conj": (lambda x: sn.resolve_conj(sn.conj(x)), np.conj),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("shape", [(2, 2), (2, 33), (2, 1030)])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_other_functions(name: str, shape: tuple[int, ...], dtype: str) -> None:
    f, reference = REDUCTIONS[name]
    x = np.exp(1j * rng.normal(size=shape)) if "prod" in name else (
        rng.normal(size=shape) + 1j * rng.normal(size=shape))  # fmt: skip
    x = x.astype(dtype)
    want = np.asarray(reference(x))
    got = f(sn.asarray(x))
    single = dtype == "complex64"
    assert got.dtype.name in (want.dtype.name, sn.dtype(want.dtype.name).to_complex.name) or single
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-3 if single else 1e-10,
                               atol=2e-4 if single else 1e-11)  # fmt: skip
    across = f(sn.asarray(x.T.copy()).T)  # another layout in memory: the same numbers
    np.testing.assert_array_equal(across.numpy(), got.numpy())


def test_unique() -> None:
    x = np.array([1 + 1j, 2, 1 - 1j, 1 + 1j, 2, 0])
    got = sn.unique_all(sn.asarray(x))
    want = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
    for mine, theirs in zip(got, want, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs)
    assert got._fields == ("values", "indices", "inverse_indices", "counts")
    assert sn.unique_counts(sn.asarray(x)).counts.tolist() == [1, 1, 2, 2]
    assert sn.unique_inverse(sn.asarray(x)).inverse_indices.tolist() == want[2].tolist()


def test_writing() -> None:
    z = sn.zeros((2, 3), dtype=sn.complex64)
    z[0] = 1 + 1j
    z.real[1] = sn.asarray([1.0, 2.0, 3.0])
    z.imag += 1
    z[1, 2] *= 2
    assert z.tolist() == [[1 + 2j] * 3, [1 + 1j, 2 + 1j, 6 + 2j]]
    z[sn.asarray([True, False])] = 5
    z[1, sn.asarray([0, 1])] = sn.asarray([1j, 2j])
    assert z.tolist() == [[5] * 3, [1j, 2j, 6 + 2j]]
    z.imag = 0
    assert z.imag.tolist() == [[0] * 3] * 2
    row = z[0].real
    row[1] = -1
    assert z[0, 1].item() == -1
    fresh = sn.complex(sn.ones(2), sn.zeros(2))  # joined in this very window
    fresh.real[0] = 7
    sn.imag(fresh)[1] = 2
    assert fresh.tolist() == [7, 1 + 2j]
    x = sn.ones(2)
    x.real = 3
    assert x.tolist() == [3, 3] and x.imag.tolist() == [0, 0]
    for write in (
        lambda: x.__iadd__(1j),
        lambda: x.__setitem__(0, 1j),
        lambda: setattr(x, "imag", 1),
    ):
        with pytest.raises(TypeError):
            write()


ORDER = [
    "less", "less_equal", "greater", "greater_equal", "maximum", "minimum", "remainder",
    "floor_divide", "atan2", "hypot", "copysign", "nextafter", "fmod",
]  # fmt: skip


def test_what_has_no_meaning() -> None:
    z = sn.asarray([1j, 2j])
    for name in ORDER:
        with pytest.raises(TypeError, match=r"complex.*sn\.real"):
            getattr(sn, name)(z, z)
    for name in ("max", "min", "argmax", "argmin", "sort", "argsort", "floor", "ceil", "trunc",
                 "relu", "softmax", "signbit", "erf", "gelu"):  # fmt: skip
        with pytest.raises(TypeError, match="complex"):
            getattr(sn, name)(z)
    for call in (lambda: z < 1, lambda: float(z[0]), lambda: int(z[0]), lambda: z % 2,
                 lambda: sn.searchsorted(sn.arange(3.0), z), lambda: sn.complex(z, z),
                 lambda: sn.clip(z, 0, 1), lambda: sn.topk(z, 1), lambda: range(z[0])):  # fmt: skip
        with pytest.raises(TypeError):
            call()


def test_python_numbers() -> None:
    z = sn.asarray(1 + 2j)
    assert complex(z) == z.item() == 1 + 2j and bool(z) and not bool(z * 0)
    assert complex(sn.asarray(2.0)) == 2 and bool(sn.asarray(1j))
    assert repr(sn.asarray([1 - 2j])) == "tensor([1.-2.j], dtype=sennit.complex64)"
    assert f"{z:.2f}" == "1.00+2.00j"
    assert sn.asarray([[1j]]).tolist() == [[1j]]
    assert (1j * sn.ones(2, dtype=sn.float64)).dtype is sn.complex128
    assert (z**2).item() == -3 + 4j and (2 ** sn.asarray(1j)).dtype is sn.complex64
    assert z.conj().item() == 1 - 2j and +z is z and z.mH.shape == () if z.ndim else True
    assert sn.is_complex(z) and not sn.is_complex(sn.ones(1))


def test_exchange() -> None:
    for dtype in ("complex64", "complex128"):
        x = A.astype(dtype)
        z = sn.asarray(x)
        assert z.dtype.name == dtype and z.itemsize == x.itemsize and z.nbytes == x.nbytes
        for back in (np.asarray(z), z.numpy(), np.from_dlpack(z), sn.from_dlpack(x).numpy(),
                     pickle.loads(pickle.dumps(z)).numpy(), copy.deepcopy(z).numpy(),
                     np.asarray(z.mT).T, np.asarray(z[::2, ::-1])[:, ::-1]):  # fmt: skip
            np.testing.assert_array_equal(back, x if back.shape == x.shape else x[::2])
            assert back.dtype == x.dtype


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_exchange_with_pytorch(torch: Any, dtype: str) -> None:
    x = A.astype(dtype)
    for back in (torch.from_dlpack(sn.asarray(x)).numpy(), sn.from_dlpack(torch.tensor(x)).numpy()):
        np.testing.assert_array_equal(back, x)
        assert back.dtype == x.dtype


def test_files(tmp_path: Path) -> None:
    path = str(tmp_path / "z.safetensors")
    z = sn.asarray(A.astype("complex64"))
    sn.save({"z": z, "e": sn.zeros((0, 2), dtype=sn.complex64)}, path)
    read = sn.load(path)
    np.testing.assert_array_equal(read["z"].numpy(), z.numpy())
    assert read["e"].shape == (0, 2) and read["e"].dtype is sn.complex64
    with pytest.raises(TypeError, match="complex128"):
        sn.save({"z": sn.asarray(A)}, path)


def test_chains_fuse() -> None:
    """A chain of complex arithmetic is one program: no part is stored between, or at the end."""
    if sn.config.window == 1:
        pytest.skip("op by op nothing is fused")
    x, y = sn.asarray(A), sn.asarray(B)
    sn.synchronize()
    with sn.explain() as e:
        out = sn.exp((x * y + 1j) / y) - x
        sn.synchronize()
    assert [s["kind"] for s in e.windows[0]["steps"]] == ["program"]
    np.testing.assert_allclose(out.numpy(), np.exp((A * B + 1j) / B) - A, rtol=1e-12)


def test_empty_and_scalar_shapes() -> None:
    for shape in ((), (0,), (3, 0, 2), (1, 1)):
        z = sn.ones(shape, dtype=sn.complex128) * 2j
        assert z.shape == shape and (z + z).shape == shape and sn.exp(z).shape == shape
        assert sn.sum(z).shape == () and z.real.shape == shape and sn.conj(z).shape == shape
    assert sn.prod(sn.ones((2, 0), dtype=sn.complex64), axis=1).tolist() == [1, 1]
    assert (sn.ones((0, 3), dtype=sn.complex64) @ sn.ones((3, 2), dtype=sn.complex64)).shape == (
        0,
        2,
    )


def test_same_bits_in_any_window_and_with_any_threads() -> None:
    x = (rng.normal(size=(300, 70)) + 1j * rng.normal(size=(300, 70))).astype("complex64")

    def run() -> list[np.ndarray]:
        z = sn.asarray(x)
        made = (z * z + 1j) / (z + 2), sn.exp(z) * sn.log(z), z @ z.mT, z.sum(0), z[:, ::3].prod(1)
        return [y.numpy() for y in (*made, abs(z), sn.cumulative_sum(z, axis=0))]

    window, threads = sn.config.window, sn.num_threads()
    plain = run()
    try:
        for sn.config.window, count in ((1, 1), (1, 2), (4096, 1), (7, 2)):
            sn.set_num_threads(count)
            for got, want in zip(run(), plain, strict=True):
                np.testing.assert_array_equal(got.view("uint32"), want.view("uint32"))
    finally:
        sn.config.window = window
        sn.set_num_threads(threads)


# ---- the reference back-end


REFERENCE = {
    "join": lambda x, y: sn.complex(sn.real(x), sn.imag(y)),
    "arithmetic": lambda x, y: (x * y + 2j) / (y - 1),
    "transcendental": lambda x, y: sn.exp(x) * sn.log(y) + sn.tanh(x),
    "moves": lambda x, y: sn.concat([x.T, y[:, ::-1].T]).reshape((-1,)),
    "gather": lambda x, y: x[:, sn.arange(3, 0, -1, device=x.device)],
    "one element": lambda x, y: x.reshape((-1,))[sn.arange(9, 0, -2, device=x.device)],
    "lines": lambda x, y: sn.take_along_axis(x, sn.arange(4, device=x.device).reshape((1, 4)), 1),
    "pad": lambda x, y: sn.pad(x, (1, 1), value=3j),
    "product": lambda x, y: x @ y.mH,
    "full": lambda x, y: x + sn.full((3, 4), 2 - 1j, device=x.device),
    "reduce": lambda x, y: sn.sum(x, axis=1) + sn.prod(y, axis=1),
    "number": lambda x, y: sn.complex(sn.real(x), sn.asarray(2.0, device=x.device)),
}  # fmt: skip


@pytest.mark.bits
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", REFERENCE)
def test_reference(name: str, dtype: str) -> None:
    x, y = sn.asarray(A.astype(dtype)), sn.asarray(B.astype(dtype))
    ours = REFERENCE[name](x, y)
    theirs = REFERENCE[name](x.to("reference"), y.to("reference"))
    assert theirs.device == "reference:0"
    np.testing.assert_array_equal(ours.numpy(), theirs.to("cpu").numpy())


# ---- gradients


HOLOMORPHIC = """exp expm1 log log2 log10 log1p sqrt sin cos tan sinh cosh tanh asin acos atan asinh
acosh atanh square reciprocal sigmoid rsqrt abs angle sgn""".split()  # noqa: SIM905


@pytest.mark.oracle
@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_gradient_of_one(name: str) -> None:
    check_gradients(lambda m, x: getattr(m, name)(x), A)


GRADIENTS = {
    "conj": (lambda m, x: m.conj(x) * x, (A,)),
    "parts": (lambda m, x: m.real(x) * m.imag(x), (A,)),
    "add": (lambda m, x, y: x + y, (A, B)),
    "subtract": (lambda m, x, y: x - y, (A, B)),
    "multiply": (lambda m, x, y: x * y, (A, B)),
    "divide": (lambda m, x, y: x / y, (A, B)),
    "pow": (lambda m, x, y: x**y, (A, B)),
    "pow 3": (lambda m, x: x**3, (A,)),
    "pow -2": (lambda m, x: x**-2, (A,)),
    "pow 0.5": (lambda m, x: x**0.5, (A,)),
    "real times": (lambda m, x, y: x * y, (R, B)),
    "real by": (lambda m, x, y: x / y, (R, B)),
    "by real": (lambda m, x, y: y / x, (R, B)),
    "real plus": (lambda m, x, y: x + y, (R, B)),
    "numbers": (lambda m, x: (2 + 1j) * x + 1j - x / (1 - 2j), (A,)),
    "broadcast": (lambda m, x, y: x * y[:1], (A, B)),
    "matmul": (lambda m, x, y: x @ y, (A, C)),
    "sum": (lambda m, x: (x * x).sum(0), (A,)),
    "mean": (lambda m, x: (x * x).mean(1), (A,)),
    "prod": (lambda m, x: m.prod(x, 1), (A,)),
    "cumsum": (lambda m, x: m.cumsum(x, 1) ** 2, (A,)),
    "cumprod": (lambda m, x: m.cumprod(x, 1), (A,)),
    "var": (lambda m, x: m.var(x, 1, correction=1), (A,)),
    "std": (lambda m, x: m.std(x, 1, correction=0), (A,)),
    "where": (lambda m, x, y: m.where(m.asarray(R > 0), x * y, y), (A, B)),
    "complex": (lambda m, x, y: m.complex(x, y) ** 2, (R, R + 1)),
    "index": (lambda m, x: x[[0, 2]][:, 1:] ** 2, (A,)),
    "views": (lambda m, x: x.T.reshape(6, 2) ** 2 * 1j, (A,)),
    "concat": (lambda m, x, y: m.cat([x, y], 1) ** 2, (A, B)),
    "lerp": (lambda m, x, y: m.lerp(x, y, 0.3) ** 2, (A, B)),
    "gather": (lambda m, x: m.gather(x, 1, m.asarray([[0, 1], [1, 1], [2, 0]])) ** 2, (A,)),
    "mixed": (lambda m, x: m.abs(x) * m.real(x), (A,)),
}  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name: str) -> None:
    f, arguments = GRADIENTS[name]
    if name in ("var", "std"):
        f = {"var": lambda m, x: m.var(x, dim=1, correction=1),
             "std": lambda m, x: m.std(x, dim=1, correction=0)}[name]  # fmt: skip
    check_gradients(f, *arguments)


def test_gradient_at_zero_is_zero() -> None:
    z = sn.zeros(2, dtype=sn.complex64, requires_grad=True)
    (sn.abs(z).sum() + sn.vector_norm(z)).backward()
    assert z.grad is not None and z.grad.tolist() == [0, 0]
    with pytest.raises(RuntimeError, match="real"):
        (z * z).sum().backward()
    f = sn.value_and_grad(lambda z: (z * sn.conj(z)).real.sum())
    value, gradient = f(sn.asarray([1 + 2j, 3j]))
    assert value.item() == 14 and gradient.tolist() == [2 + 4j, 6j]
    with pytest.raises(RuntimeError, match="real"):
        sn.grad(lambda z: z.sum())(sn.asarray([1j]))
    with pytest.raises(RuntimeError, match="int64"):
        sn.arange(3).requires_grad_()


def test_detect_nan_looks_at_results_only() -> None:
    sn.config.detect_nan = True
    try:
        assert sn.sqrt(sn.asarray([0j, 1 + 0j])).tolist() == [0, 1]
        with pytest.raises(ArithmeticError, match="NaN"):
            sn.log(sn.asarray([complex(NAN, 0)]))
    finally:
        sn.config.detect_nan = False
