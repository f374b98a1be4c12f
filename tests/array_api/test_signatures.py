"""Every name of the standard is there, and takes the standard's calls."""

from __future__ import annotations

import inspect

import pytest

import sennit as sn

# Version 2024.12, as (positional parameters; keyword parameters). Parameters before "/" cannot be
# named by callers of the standard, so that their names are free.
SIGNATURES = """
arange(start, /, stop=None, step=1, *, dtype=None, device=None)
asarray(obj, /, *, dtype=None, device=None, copy=None)
empty(shape, *, dtype=None, device=None)
empty_like(x, /, *, dtype=None, device=None)
eye(n_rows, n_cols=None, /, *, k=0, dtype=None, device=None)
from_dlpack(x, /, *, device=None, copy=None)
full(shape, fill_value, *, dtype=None, device=None)
full_like(x, /, fill_value, *, dtype=None, device=None)
linspace(start, stop, /, num, *, dtype=None, device=None, endpoint=True)
meshgrid(*arrays, indexing='xy')
ones(shape, *, dtype=None, device=None)
ones_like(x, /, *, dtype=None, device=None)
tril(x, /, *, k=0)
triu(x, /, *, k=0)
zeros(shape, *, dtype=None, device=None)
zeros_like(x, /, *, dtype=None, device=None)
astype(x, dtype, /, *, copy=True, device=None)
can_cast(from_, to, /)
finfo(type, /)
iinfo(type, /)
isdtype(dtype, kind)
result_type(*arrays_and_dtypes)
take(x, indices, /, *, axis=None)
take_along_axis(x, indices, /, *, axis=-1)
matmul(x1, x2, /)
matrix_transpose(x, /)
tensordot(x1, x2, /, *, axes=2)
vecdot(x1, x2, /, *, axis=-1)
broadcast_arrays(*arrays)
broadcast_to(x, /, shape)
concat(arrays, /, *, axis=0)
expand_dims(x, /, *, axis=0)
flip(x, /, *, axis=None)
moveaxis(x, source, destination, /)
permute_dims(x, /, axes)
repeat(x, repeats, /, *, axis=None)
reshape(x, /, shape, *, copy=None)
roll(x, /, shift, *, axis=None)
squeeze(x, /, axis)
stack(arrays, /, *, axis=0)
tile(x, repetitions, /)
unstack(x, /, *, axis=0)
argmax(x, /, *, axis=None, keepdims=False)
argmin(x, /, *, axis=None, keepdims=False)
count_nonzero(x, /, *, axis=None, keepdims=False)
nonzero(x, /)
searchsorted(x1, x2, /, *, side='left', sorter=None)
where(condition, x1, x2, /)
unique_all(x, /)
unique_counts(x, /)
unique_inverse(x, /)
unique_values(x, /)
argsort(x, /, *, axis=-1, descending=False, stable=True)
sort(x, /, *, axis=-1, descending=False, stable=True)
cumulative_prod(x, /, *, axis=None, dtype=None, include_initial=False)
cumulative_sum(x, /, *, axis=None, dtype=None, include_initial=False)
max(x, /, *, axis=None, keepdims=False)
mean(x, /, *, axis=None, keepdims=False)
min(x, /, *, axis=None, keepdims=False)
prod(x, /, *, axis=None, dtype=None, keepdims=False)
std(x, /, *, axis=None, correction=0.0, keepdims=False)
sum(x, /, *, axis=None, dtype=None, keepdims=False)
var(x, /, *, axis=None, correction=0.0, keepdims=False)
all(x, /, *, axis=None, keepdims=False)
any(x, /, *, axis=None, keepdims=False)
diff(x, /, *, axis=-1, n=1, prepend=None, append=None)
clip(x, /, min=None, max=None)
linalg.cholesky(x, /, *, upper=False)
linalg.cross(x1, x2, /, *, axis=-1)
linalg.det(x, /)
linalg.diagonal(x, /, *, offset=0)
linalg.eigh(x, /)
linalg.eigvalsh(x, /)
linalg.inv(x, /)
linalg.matmul(x1, x2, /)
linalg.matrix_norm(x, /, *, keepdims=False, ord='fro')
linalg.matrix_power(x, n, /)
linalg.matrix_rank(x, /, *, rtol=None)
linalg.matrix_transpose(x, /)
linalg.outer(x1, x2, /)
linalg.pinv(x, /, *, rtol=None)
linalg.qr(x, /, *, mode='reduced')
linalg.slogdet(x, /)
linalg.solve(x1, x2, /)
linalg.svd(x, /, *, full_matrices=True)
linalg.svdvals(x, /)
linalg.tensordot(x1, x2, /, *, axes=2)
linalg.trace(x, /, *, offset=0, dtype=None)
linalg.vecdot(x1, x2, /, *, axis=-1)
linalg.vector_norm(x, /, *, axis=None, keepdims=False, ord=2)
fft.fft(x, /, *, n=None, axis=-1, norm='backward')
fft.ifft(x, /, *, n=None, axis=-1, norm='backward')
fft.fftn(x, /, *, s=None, axes=None, norm='backward')
fft.ifftn(x, /, *, s=None, axes=None, norm='backward')
fft.rfft(x, /, *, n=None, axis=-1, norm='backward')
fft.irfft(x, /, *, n=None, axis=-1, norm='backward')
fft.rfftn(x, /, *, s=None, axes=None, norm='backward')
fft.irfftn(x, /, *, s=None, axes=None, norm='backward')
fft.hfft(x, /, *, n=None, axis=-1, norm='backward')
fft.ihfft(x, /, *, n=None, axis=-1, norm='backward')
fft.fftfreq(n, /, *, d=1.0, dtype=None, device=None)
fft.rfftfreq(n, /, *, d=1.0, dtype=None, device=None)
fft.fftshift(x, /, *, axes=None)
fft.ifftshift(x, /, *, axes=None)
"""
ONE = [
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "bitwise_invert",
    "ceil",
    "conj",
    "cos",
    "cosh",
    "exp",
    "expm1",
    "floor",
    "imag",
    "isfinite",
    "isinf",
    "isnan",
    "log",
    "log1p",
    "log2",
    "log10",
    "logical_not",
    "negative",
    "positive",
    "real",
    "reciprocal",
    "round",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "square",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
]
TWO = [
    "add",
    "atan2",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "copysign",
    "divide",
    "equal",
    "floor_divide",
    "greater",
    "greater_equal",
    "hypot",
    "less",
    "less_equal",
    "logaddexp",
    "logical_and",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "multiply",
    "nextafter",
    "not_equal",
    "pow",
    "remainder",
    "subtract",
]
LINES = [line for line in SIGNATURES.split("\n") if line]
LINES += [f"{name}(x, /)" for name in ONE] + [f"{name}(x1, x2, /)" for name in TWO]
CONSTANTS = ("e", "inf", "nan", "newaxis", "pi")
DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
DUNDERS = [
    "abs",
    "add",
    "and",
    "array_namespace",
    "bool",
    "complex",
    "dlpack",
    "dlpack_device",
    "eq",
    "float",
    "floordiv",
    "ge",
    "getitem",
    "gt",
    "index",
    "int",
    "invert",
    "le",
    "lshift",
    "lt",
    "matmul",
    "mod",
    "mul",
    "ne",
    "neg",
    "or",
    "pos",
    "pow",
    "rshift",
    "setitem",
    "sub",
    "truediv",
    "xor",
]
REFLECTED = [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
]


def find(name: str) -> object:
    found: object = sn
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("line", LINES, ids=[line.split("(")[0] for line in LINES])
def test_signature(line: str) -> None:
    name, _, rest = line.partition("(")
    scope: dict[str, object] = {}
    exec(f"def f({rest}: pass", scope)
    wanted = list(inspect.signature(scope["f"]).parameters.values())  # type: ignore[arg-type]
    have = inspect.signature(find(name)).parameters  # type: ignore[arg-type]
    order = list(have.values())
    for i, p in enumerate(wanted):
        if p.kind is p.KEYWORD_ONLY:
            assert p.name in have, f"{name} has no argument {p.name!r}: {have}"
            mine = have[p.name]
        else:
            mine = order[i]
            if p.kind is p.POSITIONAL_OR_KEYWORD:
                assert mine.name == p.name
        if p.kind is p.VAR_POSITIONAL:
            assert mine.kind is p.kind
        if p.default is not p.empty and p.kind is not p.POSITIONAL_ONLY:
            assert mine.default == p.default, (name, p.name, mine.default)
        if p.default is p.empty and p.kind is p.KEYWORD_ONLY:
            assert mine.default is p.empty


@pytest.mark.parametrize("name", CONSTANTS)
def test_constant(name: str) -> None:
    assert hasattr(sn, name)


@pytest.mark.parametrize("name", DTYPES)
def test_dtype(name: str) -> None:
    kind = getattr(sn, name)
    assert kind == sn.dtype(name) and kind.name == name
    assert sn.zeros((1,), dtype=kind).dtype is kind
    assert all(kind != getattr(sn, other) for other in DTYPES if other != name)


@pytest.mark.parametrize("name", DUNDERS)
def test_dunder(name: str) -> None:
    assert hasattr(sn.Tensor, f"__{name}__")


@pytest.mark.parametrize("name", REFLECTED)
def test_reflected_and_in_place(name: str) -> None:
    assert hasattr(sn.Tensor, f"__r{name}__") and hasattr(sn.Tensor, f"__i{name}__")


def test_attributes() -> None:
    x = sn.zeros((2, 3))
    assert x.shape == (2, 3) and x.ndim == 2 and x.size == 6 and x.dtype is sn.float32
    assert x.device == "cpu" and x.T.shape == (3, 2) and x.mT.shape == (3, 2)
    assert x.to_device("cpu").device == x.device
    assert sn.__array_api_version__ == "2024.12"
    assert x.__array_namespace__() is sn and x.__array_namespace__(api_version="2024.12") is sn
    with pytest.raises(ValueError, match="2099"):
        x.__array_namespace__(api_version="2099.12")


def test_calls_with_pytorch_names() -> None:
    x = sn.arange(6).reshape((2, 3))
    assert sn.sum(x, dim=1, keepdim=True).shape == (2, 1)
    assert sn.max(input=x, dim=0).tolist() == [3, 4, 5]


def test_info() -> None:
    info = sn.__array_namespace_info__()
    assert info.capabilities() == {
        "boolean indexing": True,
        "data-dependent shapes": True,
        "max dimensions": 32,
    }
    assert info.default_device() == "cpu" and "cpu" in info.devices()
    assert info.default_dtypes()["indexing"] is sn.int64
    assert set(info.dtypes()) == set(DTYPES)
    for kind in ("bool", "signed integer", "unsigned integer", "integral", "real floating",
                 "complex floating", "numeric", ("bool", "integral")):  # fmt: skip
        found = info.dtypes(kind=kind)
        assert found and all(sn.isdtype(d, kind) for d in found.values())
        rest = set(DTYPES) - set(found)
        assert not any(sn.isdtype(getattr(sn, name), kind) for name in rest)
    sn.zeros((1,) * 32)
