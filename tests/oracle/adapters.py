"""What differs on purpose between PyTorch's operators and Sennit's, and what is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from op_db import Adapter, category, database, find, half

import sennit as sn

STANDARD = "the Array API's meaning of this name; see differences.md"
NUMBERS = "numbers are taken where PyTorch wants tensors"
PROMOTED = "dtypes are promoted, where PyTorch wants equal ones"


def reordered(name: str, *order: int) -> Callable[..., Any]:
    """PyTorch's sample holds the arguments in another order than the function takes them."""

    def call(*args: Any, **words: Any) -> Any:
        found = find(name)
        assert found is not None
        rest = args[len(order) :]
        return found(*(args[i] for i in order), *rest, **words)

    return call


def to_dtype(dtype: sn.dtype) -> Adapter:
    return Adapter(
        "a method that only renames; written x.astype(dtype)",
        lambda x: x.astype(dtype),
    )


def copied(call: Callable[..., Any], text: str) -> Adapter:
    return Adapter(f"values never change, so a view needs no copying twin; written {text}", call)


def extreme(find_position: Any, reduce: Any, binary: Any) -> Callable[..., Any]:
    def call(x: Any, *args: Any, **words: Any) -> Any:
        other = args[0] if args else words.get("other")
        if isinstance(other, sn.Tensor):
            return binary(x, other)
        if not args and not words:
            return reduce(x)
        dim = args[0] if args else words["dim"]
        keepdim = args[1] if len(args) > 1 else words.get("keepdim", False)
        if x.ndim == 0:
            return reduce(x, dim), find_position(x, dim)
        at = find_position(x, dim, keepdims=True)
        values = sn.take_along_axis(x, at, dim)
        return (values, at) if keepdim else (values.squeeze(dim), at.squeeze(dim))

    return call


def sort(x: Any, *args: Any, **words: Any) -> Any:
    words.pop("stable", None)
    return sn.sort(x, *args, **words), sn.argsort(x, *args, **words)


def spread(function: str) -> Callable[..., Any]:
    """std, var and their like: PyTorch divides by n - 1 unless told otherwise."""

    def call(x: Any, *args: Any, **words: Any) -> Any:
        left = list(args)
        dim = None
        if left and isinstance(left[0], bool):
            words["unbiased"] = left.pop(0)
        elif left:
            dim = left.pop(0)
        dim = words.pop("dim", dim)
        if left:
            words["unbiased"] = left.pop(0)
        if left:
            words["keepdim"] = left.pop(0)
        correction = words.pop("correction", None)
        if "unbiased" in words:
            correction = int(words.pop("unbiased"))
        correction = 1 if correction is None else correction
        dim = None if dim in ((), []) else dim
        return getattr(sn, function)(x, axis=dim, correction=correction, **words)

    return call


def squeeze(x: Any, dim: Any = None) -> Any:
    if dim is None:
        return sn.squeeze(x)
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if x.ndim == 0:
        return sn.squeeze(x, tuple(d for d in dims if d not in (0, -1)))
    return sn.squeeze(x, tuple(d for d in dims if not -x.ndim <= d < x.ndim or x.shape[d] == 1))


def equal(x: Any, y: Any) -> bool:
    if x.dtype != y.dtype and x.device != y.device:
        raise TypeError
    return x.shape == y.shape and bool(sn.all(sn.equal(x, y)))


def nonzero(x: Any, as_tuple: bool = False) -> Any:
    return tuple(sn.nonzero(x if x.ndim else x.reshape((1,)))) if as_tuple else sn.argwhere(x)


def repeat(x: Any, *sizes: Any) -> Any:
    sizes = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    if len(sizes) < x.ndim:
        raise ValueError("fewer repetitions than dimensions")
    return sn.tile(x, sizes)


def sliced(x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, end, step),)]


def tensordot(x: Any, y: Any, dims: Any = 2) -> Any:
    if isinstance(dims, int):
        return sn.tensordot(x, y, dims)
    return sn.tensordot(x, y, dims[0], dims[1])


def gradient(x: Any, *, spacing: Any = None, **words: Any) -> Any:
    if spacing is not None and not isinstance(spacing, list | tuple):
        dim = words.get("dim")
        spacing = [spacing] * (x.ndim if dim is None else 1 if isinstance(dim, int) else len(dim))
    return sn.gradient(x, spacing, **words)


def position(name: str) -> Callable[..., Any]:
    def call(x: Any, *args: Any, dtype: Any = None, **words: Any) -> Any:
        found = getattr(sn.masked, name)(x, *args, dtype=dtype, **words)
        return found.astype(dtype or x.dtype)

    return call


def linspace(start: Any, end: Any, steps: int, **words: Any) -> Any:
    return sn.linspace(start, end, steps, **words)


def take(x: Any, index: Any) -> Any:
    return sn.take(x.reshape((-1,)), index, 0)


def sum_to_size(x: Any, *size: Any) -> Any:
    return sn.sum_to(x, size[0] if len(size) == 1 and not isinstance(size[0], int) else size)


def renamed(name: str, text: str, call: Callable[..., Any] | None = None) -> Adapter:
    def same(*args: Any, **words: Any) -> Any:
        found = find(name)
        assert found is not None
        return found(*args, **words)

    return Adapter(f"written {text}", call or same, name)


def cross(x: Any, y: Any, dim: Any = None) -> Any:
    if dim is None:  # PyTorch takes the first dimension of size 3
        dim = next(i for i, n in enumerate(x.shape) if n == 3)
    return sn.linalg.cross(x, y, dim)


def svd(x: Any, some: bool = True, compute_uv: bool = True) -> Any:
    u, s, vh = sn.linalg.svd(x, full_matrices=not some)
    return u, s, vh.mH


def logdet(x: Any) -> Any:
    sign, size = sn.linalg.slogdet(x)
    return sn.where(sign < 0, float("nan"), size)


def sampler(x: Any, grid: Any, mode: int, padding: int, align: bool) -> Any:
    modes, paddings = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
    return sn.nn.functional.grid_sample(x, grid, modes[mode], paddings[padding], align)


def triplet(*args: Any, distance_function: Any = None, **words: Any) -> Any:
    if distance_function is not None:
        given = distance_function
        distance_function = sn.nn.PairwiseDistance(given.norm, given.eps, given.keepdim)
    return sn.nn.functional.triplet_margin_with_distance_loss(
        *args, distance_function=distance_function, **words
    )


ADAPTERS: dict[str, Adapter] = {
    "max": Adapter(STANDARD, extreme(sn.argmax, sn.max, sn.maximum)),
    "min": Adapter(STANDARD, extreme(sn.argmin, sn.min, sn.minimum)),
    "sort": Adapter(STANDARD, sort),
    "var": Adapter(STANDARD, spread("var")),
    "std": Adapter(STANDARD, spread("std")),
    "var_mean": Adapter(STANDARD, spread("var_mean")),
    "std_mean": Adapter(STANDARD, spread("std_mean")),
    "squeeze": Adapter(STANDARD, squeeze),
    "equal": Adapter(STANDARD, equal),
    "nonzero": Adapter(STANDARD, nonzero),
    "repeat": Adapter(STANDARD, repeat),
    "tensordot": Adapter("two lists of axes are two arguments", tensordot),
    "take": Adapter("without an axis the flattened tensor is meant by default", take),
    "linspace": Adapter(STANDARD, linspace),
    "meshgrid": Adapter(
        STANDARD, lambda *t, indexing="ij", **w: sn.meshgrid(*t, indexing=indexing)
    ),
    "gradient": Adapter("spacing is a list, one item for each axis", gradient),
    "slice": Adapter("written x[start:end:step]", sliced),
    "where": Adapter("the sample puts the condition second", reordered("where", 1, 0, 2)),
    "einsum": Adapter(
        "the sample puts the operands first", lambda t, equation: sn.einsum(equation, *t)
    ),
    "polygamma": Adapter("the sample puts the order second", lambda x, n: sn.polygamma(n, x)),
    "special.polygamma": Adapter(
        "the sample puts the order second", lambda x, n: sn.special.polygamma(n, x)
    ),
    "index_put": Adapter(
        "PyTorch's list of indices is a tuple of them",
        lambda x, i, v, accumulate=False: sn.index_put(x, list(i), v, accumulate),
    ),
    "mean": Adapter(
        "integers average to float32",
        accepts=(("could not infer output dtype", "integers average to float32"),),
    ),
    "arange": Adapter(
        "a step away from stop gives no numbers, as in the Array API",
        accepts=(("inconsistent with step sign", "gives no numbers"),),
    ),
    "neg": Adapter(
        "bools count as the integers 0 and 1",
        accepts=(("on a bool tensor is not supported", "bools are integers"),),
    ),
    "scatter_add": Adapter(
        "values take the dtype of the tensor that they are added to",
        accepts=(("Expected self.dtype to be equal to src.dtype", "they are converted"),),
    ),
    "tensor_split": Adapter(
        "positions are Python numbers",
        lambda x, at, *rest: sn.tensor_split(
            x, at.tolist() if isinstance(at, sn.Tensor) else at, *rest
        ),
    ),
    "masked.argmax": Adapter("positions are int64, not of the input's dtype", position("argmax")),
    "masked.argmin": Adapter("positions are int64, not of the input's dtype", position("argmin")),
    "masked_fill": Adapter(
        "a value of several elements broadcasts",
        accepts=(("only supports a 0-dimensional value tensor", "it broadcasts"),),
    ),
    **{
        name: to_dtype(dtype)
        for name, dtype in {
            "bfloat16": sn.bfloat16,
            "bool": sn.bool,
            "byte": sn.uint8,
            "char": sn.int8,
            "double": sn.float64,
            "float": sn.float32,
            "half": sn.float16,
            "int": sn.int32,
            "long": sn.int64,
            "short": sn.int16,
        }.items()
    },
    "alias_copy": copied(sn.clone, "x.clone()"),
    "as_strided_copy": copied(sn.as_strided, "x.as_strided(...)"),
    "diagonal_copy": copied(sn.diagonal, "x.diagonal(...)"),
    "expand_copy": copied(sn.expand, "x.expand(...)"),
    "narrow_copy": copied(sn.narrow, "x.narrow(...)"),
    "permute_copy": copied(sn.permute, "x.permute(...)"),
    "split_with_sizes_copy": copied(sn.split_with_sizes, "x.split_with_sizes(...)"),
    "squeeze_copy": copied(squeeze, "x.squeeze(...)"),
    "t_copy": copied(sn.t, "x.t()"),
    "transpose_copy": copied(sn.transpose, "x.transpose(...)"),
    "unbind_copy": copied(sn.unbind, "x.unbind(...)"),
    "unfold_copy": copied(sn.unfold, "x.unfold(...)"),
    "unsqueeze_copy": copied(sn.unsqueeze, "x.unsqueeze(...)"),
    "view_copy": copied(sn.view, "x.view(...)"),
    "unsafe_chunk": copied(sn.chunk, "x.chunk(...)"),
    "unsafe_split": copied(sn.split, "x.split(...)"),
    "zero_": Adapter("values never change; written sn.zeros_like(x)", sn.zeros_like),
    "resolve_conj": Adapter("no tensor is conjugated lazily; x itself", lambda x: x),
    "resolve_neg": Adapter("no tensor is negated lazily; x itself", lambda x: x),
    "take_along_dim": Adapter(
        "the name of the Array API is take_along_axis",
        lambda x, i, dim=None: (
            sn.take_along_axis(x.reshape((-1,)), i.reshape((-1,)), 0)
            if dim is None
            else sn.take_along_axis(x, i, dim)
        ),
    ),
    "constant_pad_nd": Adapter(
        "a mode of pad", lambda x, pad, value=0: sn.pad(x, pad, value=value)
    ),
    "H": renamed("matrix_transpose", "x.mT, for real numbers", lambda x: x.mT),
    "cross": renamed("linalg.cross", "sn.linalg.cross", cross),
    "pinverse": renamed("linalg.pinv", "sn.linalg.pinv"),
    "qr": renamed(
        "linalg.qr",
        "sn.linalg.qr",
        lambda x, some=True: sn.linalg.qr(x, "reduced" if some else "complete"),
    ),
    "svd": renamed("linalg.svd", "sn.linalg.svd", svd),
    "logdet": renamed("linalg.slogdet", "sn.linalg.slogdet", logdet),
    "cholesky": renamed(
        "linalg.cholesky",
        "sn.linalg.cholesky",
        lambda x, upper=False: sn.linalg.cholesky(x, upper=upper),
    ),
    "matrix_exp": renamed("linalg.matrix_exp", "sn.linalg.matrix_exp"),
    **{
        name: Adapter(
            "a method that only renames; written x.astype(dtype)",
            lambda x, dtype=dtype: x.astype(getattr(sn, dtype)),
            needs=dtype,
        )
        for name, dtype in {"cdouble": "complex128", "cfloat": "complex64"}.items()
    },
    "complex": Adapter(
        PROMOTED,
        accepts=(
            ("Expected both inputs to be Half, Float or Double", "promoted"),
            ("Expected object of scalar type", "promoted"),
        ),
    ),
    "linalg.cross": Adapter(
        "vectors broadcast, also with fewer dimensions",
        accepts=(("inputs must have the same number of dimensions", "they broadcast"),),
    ),
    "nn.functional.embedding": Adapter(
        "the sample puts the weight first", reordered("nn.functional.embedding", 1, 0)
    ),
    "nn.functional.embedding_bag": Adapter(
        "the sample puts the weight first",
        reordered("nn.functional.embedding_bag", 1, 0),
        "nn.functional.embedding_bag",
    ),
    "grid_sampler_2d": renamed("nn.functional.grid_sample", "nn.functional.grid_sample", sampler),
    "grid_sampler_3d": renamed("nn.functional.grid_sample", "nn.functional.grid_sample", sampler),
    "sum_to_size": Adapter("called sum_to", sum_to_size),
    "norm.nuc": Adapter(
        "the nuclear norm is that of sn.linalg.matrix_norm",
        lambda x, p, dim=(-2, -1), keepdim=False: sn.linalg.matrix_norm(
            x, ord=p, axis=tuple(dim), keepdims=keepdim
        ),
    ),
    "nn.functional.triplet_margin_with_distance_loss": Adapter(
        "the sample's distance is a layer of PyTorch's, here that of the same name", triplet
    ),
    **{
        f"nn.functional.max_pool{n}d": Adapter(
            "where there is nothing to compute, the result is empty",
            accepts=(
                ("optional 0 dim batch size", "an empty result"),
                ("non-batch dimensions to have positive length", "an empty result"),
            ),
        )
        for n in (1, 3)
    },
}

# Operators that Sennit has under the same name and that do not pass: why.
DIFFERENT: dict[str, str] = {
    "as_strided": "PyTorch's sample reads memory outside of the tensor",
    "as_strided_scatter": "PyTorch's gradient of a single replaced element is not zero",
    "linalg.cholesky_ex": "batches without matrices",
    "linalg.eigh": "vectors differ in sign, which the sample does not hide",
    "linalg.inv_ex": "batches without matrices",
    "linalg.lstsq": "residuals of an underdetermined system have another shape",
    "linalg.lu_solve": "batches without matrices",
    "linalg.norm": "gradients at zero of norms below 1",
    "linalg.pinv": "gradients with hermitian=True",
    "linalg.solve": "batches of vectors without matrices",
    "linalg.solve_ex": "batches of vectors without matrices",
    "linalg.svd": "no gradient through vectors of full_matrices=True",
    "linalg.vander": "a number is not a vector of one",
    "nn.functional.avg_pool2d": "an empty list is no stride",
    "nn.functional.batch_norm": "a batch without channels is refused",
    "nn.functional.ctc_loss": "PyTorch's gradient takes what it gets for normalised by log_softmax",
    "nn.functional.gaussian_nll_loss": "losses never broadcast",
    "nn.functional.linear_cross_entropy": "no class probabilities, no options for chunks",
    "nn.functional.max_unpool1d": "of several values for one place another one gets the gradient",
    "nn.functional.max_unpool2d": "of several values for one place another one gets the gradient",
    "nn.functional.max_unpool3d": "of several values for one place another one gets the gradient",
    "nn.functional.multi_head_attention_forward": "every sample draws dropout",
    "svd": "no gradient through vectors of full_matrices=True",
}

# Why operators are not there; others are simply not there yet.
MISSING: dict[str, str] = {
    "__rdiv__": "Python 2's division; Python 3 has no such operator",
    "chalf": "there are no complex numbers of halves",
    "hash_tensor": "a checksum of PyTorch's own",
    "max_pool2d_with_indices_backward": "what PyTorch's max_pool2d calls for its gradient",
}


def adapter_of(op: Any) -> Adapter | None:
    """The adapter of an OpInfo: that of its variant, or that of its name."""
    variant = f"{op.name}.{op.variant_test_name}"
    return ADAPTERS.get(variant) or ADAPTERS.get(op.name)


def status(name: str) -> tuple[str, str]:
    """("excluded" | "covered" | "missing", why) of an operator. What is covered is tested."""
    if reason := category(name):
        return "excluded", reason
    if name in MISSING:
        return "missing", MISSING[name]
    if name in DIFFERENT:
        return "missing", DIFFERENT[name]
    adapters = [adapter_of(op) for op in database()[name]]
    if any(a and a.needs and find(a.needs) is None for a in adapters):
        return "missing", "not there"
    if find(name) is None and any(a is None or a.call is None for a in adapters):
        return "missing", "not there"
    reasons = {a.reason for a in adapters if a}
    return "covered", "; ".join(sorted(reasons))


def percentages() -> dict[str, tuple[int, int]]:
    """For each half and for both: how many operators are covered, and how many count."""
    counts = {"even": [0, 0], "odd": [0, 0], "all": [0, 0]}
    for name in database():
        state, _ = status(name)
        for group in (half(name), "all"):
            counts[group][0] += state == "covered"
            counts[group][1] += state != "excluded"
    return {group: (covered, total) for group, (covered, total) in counts.items()}
