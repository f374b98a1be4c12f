"""Sennit against PyTorch's own database of operators (``op_db``).

PyTorch describes each of its operators by an ``OpInfo``: sample inputs that its own tests run, and
inputs that must raise. Here every operator that Sennit has under the same name gets these inputs.
Results and gradients must agree within the tolerances of `torch.testing` (or of the OpInfo, where
it has its own), dtypes and shapes must be equal, and what must raise must raise. float32 numbers
that differ by more must be at most twice as far from PyTorch's float64 result as its float32 one.

Everything that PyTorch needs is imported by `database()`, so this module can be imported without.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any
from unittest import mock

import numpy as np

import sennit as sn

# OpInfos with more samples than this (full crosses of options) are compared at every k-th one.
MOST_SAMPLES = 240


@dataclass(frozen=True)
class Adapter:
    """How a call of PyTorch's is written with Sennit, where the two differ on purpose.

    An adapter translates how a function is called and which of its results are meant; it never
    changes a value.
    """

    reason: str
    call: Callable[..., Any] | None = None  # without: the function of the same name, unchanged
    needs: str = ""  # the function that the call is about, where it has another name
    # Inputs that raise in PyTorch and have a meaning in Sennit: pattern of PyTorch's message, why.
    accepts: tuple[tuple[str, str], ...] = ()


@cache
def database() -> dict[str, list[Any]]:
    """The OpInfos by the name of their operator."""
    import torch
    from torch.testing._internal.common_methods_invocations import op_db

    torch.set_num_threads(1)
    names: dict[str, list[Any]] = {}
    for op in op_db:
        names.setdefault(op.name, []).append(op)
    return names


def half(name: str) -> str:
    """Which half an operator belongs to: even or odd, by the hash of its name."""
    return ("even", "odd")[int(hashlib.sha1(name.encode()).hexdigest(), 16) % 2]


# Categories that are left out of the count, each with the patterns of its names.
CATEGORIES = {
    "random": (
        "bernoulli|cauchy|exponential|geometric|log_normal|multinomial|normal|uniform|"
        r"rand\w*|svd_lowrank|pca_lowrank|nn\.functional\.(\w*dropout\w*|rrelu|fractional_max_\w+)"
    ),
    "uninitialised memory": r"(new_)?empty\w*|resize_(as_)?",
    "CUDA only": r"jiterator\w*|torch\._scaled_mm\w*",
    "sparse layout": r"sparse\..+|to_sparse",
    "private": r"_(?!_).*|torch\.ops\.aten\..+|native_.+",
}


def category(name: str) -> str | None:
    """Why an operator is left out of the count; None when it counts."""
    for reason, pattern in CATEGORIES.items():
        if re.fullmatch(pattern, name):
            return reason
    return None


def find(name: str) -> Callable[..., Any] | None:
    """Sennit's function (else method) of that name."""
    if "." in name:
        owner: Any = sn
        for part in name.split("."):
            owner = getattr(owner, part, None)
            if owner is None:
                return None
        return owner
    found = getattr(sn, name, None) or getattr(sn.Tensor, name, None)
    if found is not None and not callable(found):  # a property
        return lambda x: getattr(x, name)
    return found


def title(op: Any) -> str:
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name


def is_identity(f: Callable[..., Any]) -> bool:
    marker = object()
    try:
        return f(marker) is marker
    except Exception:
        return False


# ---- from PyTorch's values to Sennit's


class NoCounterpart(Exception):
    """A value of PyTorch's that Sennit has nothing for (complex numbers, other layouts)."""


def dtype_of(dtype: Any) -> sn.dtype:
    found = getattr(sn, str(dtype).removeprefix("torch."), None)
    if not isinstance(found, sn.dtype):
        raise NoCounterpart(str(dtype))
    return found


class Translation:
    """Turns arguments into Sennit's; remembers the tensors that want a gradient."""

    def __init__(self) -> None:
        self.seen: dict[int, Any] = {}
        self.leaves: list[tuple[Any, sn.Tensor]] = []

    def tensor(self, t: Any) -> sn.Tensor:
        import torch

        if id(t) in self.seen:
            return self.seen[id(t)]
        if t.layout != torch.strided or t.device.type != "cpu" or t.is_quantized:
            raise NoCounterpart(f"{t.layout} on {t.device}")
        dtype = dtype_of(t.dtype)
        plain = t.detach().resolve_conj().resolve_neg()
        try:
            if t.dtype == torch.bfloat16:
                x = sn.asarray(plain.float().numpy()).astype(dtype)
            else:
                x = sn.asarray(plain.numpy())
        except (ValueError, RuntimeError) as error:  # more dimensions than NumPy can hold
            raise NoCounterpart(str(error)) from error
        if t.requires_grad:
            x = x.detach().requires_grad_(True)
            self.leaves.append((t, x))
        self.seen[id(t)] = x
        return x

    def __call__(self, value: Any) -> Any:
        import torch

        if isinstance(value, torch.Tensor):
            return self.tensor(value)
        if isinstance(value, torch.dtype):
            return dtype_of(value)
        if isinstance(value, torch.device):
            return str(value)
        if isinstance(value, complex):
            raise NoCounterpart("a complex number")
        if isinstance(value, torch.memory_format | torch.layout):
            return value
        if isinstance(value, torch.Size):
            return tuple(value)
        if isinstance(value, tuple | list):
            return type(value)(self(v) for v in value)
        if isinstance(value, dict):
            return {k: self(v) for k, v in value.items()}
        return value


def arguments(sample: Any, translate: Translation) -> tuple[list[Any], dict[str, Any]]:
    """A sample's arguments for Sennit. Layouts and memory formats say nothing about values."""
    import torch

    given = [translate(sample.input), *(translate(a) for a in sample.args)]
    told = {"memory_format": torch.memory_format, "layout": torch.layout}
    words = {
        k: translate(v)
        for k, v in sample.kwargs.items()
        if not (k in told and isinstance(v, told[k])) and k != "pin_memory"
    }
    if sample.kwargs.get("layout") not in (None, torch.strided):
        raise NoCounterpart("a layout")
    return given, words


def flat(value: Any) -> Iterator[Any]:
    """The tensors and numbers of a result, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        for v in value:
            yield from flat(v)
    elif value is not None:
        yield value


# ---- comparing


def tolerances(op: Any, dtype: Any) -> tuple[float, float]:
    """(rtol, atol): those of `torch.testing`, or larger ones that the OpInfo asks for itself."""
    import torch
    from torch.testing._comparison import default_tolerances
    from torch.testing._internal.common_device_type import precisionOverride, toleranceOverride

    rtol, atol = default_tolerances(dtype)
    for decorator in op.decorators or ():
        if getattr(decorator, "device_type", None) not in (None, "cpu"):
            continue
        for each in getattr(decorator, "decorators", [decorator]):
            if not isinstance(each, toleranceOverride | precisionOverride):
                continue
            given = each.d.get(dtype)
            if isinstance(given, float):
                atol = max(atol, given)
            elif given is not None:
                rtol, atol = max(rtol, given.rtol), max(atol, given.atol)
    assert isinstance(dtype, torch.dtype)
    return rtol, atol


def as_array(x: Any) -> np.ndarray:
    if isinstance(x, sn.Tensor):
        x = x.detach()
        return (x.astype(sn.float32) if x.dtype == sn.bfloat16 else x).numpy()
    return np.asarray(x)


def widened(value: Any) -> Any:
    """The same arguments in float64."""
    import torch

    if isinstance(value, torch.Tensor) and value.dtype == torch.float32:
        return value.detach().double().requires_grad_(value.requires_grad)
    if value is torch.float32:
        return torch.float64
    if isinstance(value, tuple | list):
        return type(value)(widened(v) for v in value)
    if isinstance(value, dict):
        return {k: widened(v) for k, v in value.items()}
    return value


class Exact:
    """What PyTorch gives for a sample in float64: the judge where two float32 results differ."""

    def __init__(self, op: Any, sample: Any, pick: Callable[[Any], Any] | None) -> None:
        self.op, self.pick = op, pick
        self.parts = widened((sample.input, tuple(sample.args), dict(sample.kwargs)))

    @cached_property
    def results(self) -> list[Any]:
        first, args, words = self.parts
        out = self.op.op(first, *args, **words)
        return list(flat(self.pick(out) if self.pick else out))

    @cached_property
    def gradients(self) -> list[Any]:
        import torch

        leaves, seen = [], set()
        for t in flat(self.parts):
            if isinstance(t, torch.Tensor) and t.requires_grad and id(t) not in seen:
                seen.add(id(t))
                leaves.append(t)
        outputs = [r for r in self.results if isinstance(r, torch.Tensor) and r.requires_grad]
        return list(torch.autograd.grad(outputs, leaves, cotangents(outputs), allow_unused=True))


def no_worse(got: np.ndarray, want: Any, truth: Any, rtol: float, atol: float) -> bool:
    """Whether float32 numbers are as near to the truth as PyTorch's, up to a factor of two."""
    if truth is None or truth.shape != want.shape:
        return False
    exact = truth.detach().numpy(force=True)
    theirs = np.abs(want.detach().numpy(force=True) - exact)
    ours = np.abs(got - exact)
    # Where the truth is not finite, or theirs is far from it, only equality counts.
    usable = np.isfinite(ours) & np.isfinite(theirs)
    equal = (got == exact) | (np.isnan(got) & np.isnan(exact))
    limit = atol + rtol * np.abs(exact) + 2 * np.max(theirs[usable], initial=0.0)
    return bool(np.all(equal | (usable & (ours <= limit))))


def check_close(
    what: str, got: Any, want: Any, op: Any, truth: Callable[[], Any] | None = None
) -> None:
    """One result against PyTorch's: shape, dtype, values."""
    import torch

    if not isinstance(want, torch.Tensor):
        if isinstance(want, torch.dtype | torch.Size | str):
            assert str(got) == str(want).removeprefix("torch."), f"{what}: {got}, not {want}"
            return
        if isinstance(want, bool) or isinstance(got, bool):
            assert isinstance(got, bool), f"{what}: {type(got)} for a bool"
            assert got == want, f"{what}: {got}, not {want}"
            return
        np.testing.assert_allclose(as_array(got), want, rtol=1e-6, err_msg=what)
        return
    if want.layout != torch.strided:
        raise NoCounterpart(str(want.layout))
    assert isinstance(got, sn.Tensor), f"{what}: {type(got)}, not a tensor"
    wanted_dtype = str(want.dtype).removeprefix("torch.")
    assert str(got.dtype).removeprefix("sennit.") == wanted_dtype, (
        f"{what}: dtype {got.dtype}, not {wanted_dtype}"
    )
    assert got.shape == tuple(want.shape), f"{what}: shape {got.shape}, not {tuple(want.shape)}"
    rtol, atol = tolerances(op, want.dtype)
    if want._is_zerotensor():
        want = torch.zeros_like(want)
    want = want.detach().resolve_conj().resolve_neg()
    if want.dtype == torch.bfloat16:
        want = want.float()
    numbers = as_array(got)
    try:
        np.testing.assert_allclose(
            numbers, want.numpy(force=True), rtol=rtol, atol=atol, equal_nan=True, err_msg=what
        )
    except AssertionError:
        if truth is None or not want.dtype.is_floating_point:
            raise
        if not no_worse(numbers, want, truth(), rtol, atol):
            raise


def is_random(run: Callable[[], Any]) -> bool:
    """Whether PyTorch itself gives other numbers from another seed."""
    import torch

    results = []
    with mock.patch("torch.manual_seed"):  # OpInfos of random operators call it with one seed
        for seed in (1, 2):
            torch.default_generator.manual_seed(seed)
            results.append([r.detach() for r in flat(run()) if isinstance(r, torch.Tensor)])
    return any(
        a.shape != b.shape or not torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
        for a, b in zip(*results, strict=True)
    )


def cotangents(outputs: Iterable[Any], through: Any = None) -> list[Any]:
    """Random directions, rounded to a dtype first."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(o.shape, generator=generator, dtype=torch.float64)
        .to(through or o.dtype)
        .to(o.dtype)
        for o in outputs
    ]


def check_gradients(
    what: str, pairs: list[tuple[Any, Any]], leaves: list[Any], op: Any, exact: Exact
) -> None:
    """Gradients of all differentiable results along random directions."""
    import torch

    if not pairs or not leaves:
        return
    directions = cotangents(want for _, want in pairs)
    wanted = torch.autograd.grad(
        [want for _, want in pairs], [t for t, _ in leaves], directions, allow_unused=True
    )
    through = [
        (got, Translation().tensor(d))
        for (got, _), d in zip(pairs, directions, strict=True)
        if got.requires_grad
    ]
    got: list[Any] = [None] * len(leaves)
    if through:
        got = sn.gradients([o for o, _ in through], [x for _, x in leaves], [d for _, d in through])
    for i, (g, w) in enumerate(zip(got, wanted, strict=True)):
        if w is None and g is None:
            continue
        t = leaves[i][0]
        if w is None and t._base is not None:
            continue  # a view that the sample has made without a graph: PyTorch does not follow it
        if w is not None and w._is_zerotensor():
            w = torch.zeros_like(t)
        w = torch.zeros_like(t) if w is None else w
        g = sn.asarray(np.zeros(t.shape, w.numpy().dtype)) if g is None else g
        check_close(f"{what}: gradient of input {i}", g, w, op, lambda i=i: exact.gradients[i])


def describe(sample: Any) -> str:
    import torch

    def text(v: Any) -> str:
        if isinstance(v, torch.Tensor):
            return f"tensor({str(v.dtype).removeprefix('torch.')}{list(v.shape)})"
        if isinstance(v, tuple | list):
            return "[" + ", ".join(text(x) for x in v) + "]"
        return repr(v)

    parts = [text(sample.input), *(text(a) for a in sample.args)]
    return ", ".join([*parts, *(f"{k}={text(v)}" for k, v in sample.kwargs.items())])


# ---- one operator


def dtypes_of(op: Any) -> list[Any]:
    """float32 and float64; for operators without either, the integers or complex numbers."""
    import torch

    supported = op.supported_dtypes("cpu")
    for pair in (
        (torch.float32, torch.float64),
        (torch.int32, torch.int64),
        (torch.complex64, torch.complex128),
    ):
        if found := [d for d in pair if d in supported]:
            return found
    return sorted(supported, key=str)[:1]


def samples_of(op: Any, dtype: Any, requires_grad: bool) -> list[Any]:
    samples = list(op.sample_inputs("cpu", dtype, requires_grad=requires_grad))
    step = -(-len(samples) // MOST_SAMPLES)
    return samples[::step] if step > 1 else samples


def check_sample(op: Any, call: Callable[..., Any], sample: Any) -> bool:
    """Compares one sample; False when it is random or has no counterpart."""
    import torch

    what = f"{title(op)}({describe(sample)})"
    translate = Translation()
    try:
        args, words = arguments(sample, translate)
    except NoCounterpart:
        return False
    pick = sample.output_process_fn_grad
    if is_identity(pick):
        pick = None

    def run() -> Any:
        out = op.op(sample.input, *sample.args, **sample.kwargs)
        return pick(out) if pick else out

    want = list(flat(run()))
    exact = Exact(op, sample, pick)
    try:
        result = call(*args, **words)
        got = list(flat(pick(result) if pick else result))
        assert len(got) == len(want), f"{what}: {len(got)} results, not {len(want)}"
        for i, (g, w) in enumerate(zip(got, want, strict=True)):
            check_close(f"{what}: result {i}", g, w, op, lambda i=i: exact.results[i])
        pairs = [
            (g, w)
            for g, w in zip(got, want, strict=True)
            if isinstance(w, torch.Tensor) and w.requires_grad
        ]
        check_gradients(what, pairs, translate.leaves, op, exact)
    except NoCounterpart:
        return False
    except AssertionError:
        if is_random(run):
            return False
        raise
    except sn.SennitError as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    return True


def check_op(op: Any, adapter: Adapter | None) -> int:
    """Every sample of an OpInfo; how many were compared."""
    call = adapter.call if adapter and adapter.call else find(op.name)
    assert call is not None, f"Sennit has no {op.name}"
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for dtype in dtypes_of(op):
            wants = op.supports_autograd and dtype in op.supported_backward_dtypes("cpu")
            for sample in samples_of(op, dtype, wants):
                compared += check_sample(op, call, sample)
    return compared


def check_errors(op: Any, adapter: Adapter | None) -> int:
    """Every input that must raise; how many were tried."""
    call = adapter.call if adapter and adapter.call else find(op.name)
    assert call is not None, f"Sennit has no {op.name}"
    tried = 0
    if op.error_inputs_func is None:
        return 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for error in op.error_inputs("cpu"):
            if adapter and any(re.search(p, error.error_regex) for p, _ in adapter.accepts):
                continue
            # Binary functions of PyTorch that take tensors only: here numbers are operands too.
            operands = (error.sample_input.input, *error.sample_input.args)
            if not error.error_regex and any(isinstance(o, int | float) for o in operands):
                continue
            try:
                args, words = arguments(error.sample_input, Translation())
            except NoCounterpart:
                continue
            what = f"{title(op)}({describe(error.sample_input)})"
            try:
                for result in flat(call(*args, **words)):
                    as_array(result)
            except (sn.SennitError, TypeError, error.error_type):
                tried += 1
            else:
                raise AssertionError(f"{what} must raise {error.error_type}: {error.error_regex}")
    return tried
