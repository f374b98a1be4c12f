"""Transforms of functions: derivatives in both modes, Jacobians, and vectorising maps.

Names, arguments and results are those of torch.func; where it is silent, of JAX. All of them nest
in each other and in `sn.grad`. See docs/transforms.md and docs/design/009-transforms.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from . import _core, autograd
from ._core import Tensor
from ._errors import NeedsValues, error
from ._tree import broadcast_prefix, flatten, tree_map, unflatten
from ._whole import whole
from .autograd import (
    _positions,
    enable_grad,
    grad_enabled,
    mark_arguments,
    pull_back,
    set_grad_enabled,
)

__all__ = ["hessian", "jacfwd", "jacrev", "jvp", "vjp", "vmap"]

_ops = _core.functions


def _tensors(op: str, tree: Any) -> list[Tensor]:
    """The leaves of what a function returned; all of them must be tensors."""
    leaves = flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise error(
                _core.InvalidType,
                op,
                f"the function returned a {type(leaf).__name__}; it must return a tensor, or a "
                "tuple, list or dict of tensors (other things can be returned with has_aux=True)",
            )
    return leaves


def _with_aux(op: str, result: Any, has_aux: bool) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise error(
            _core.InvalidType,
            op,
            f"has_aux is True and the function returned a {type(result).__name__}; it must return "
            "a tuple (output, auxiliary)",
        )
    return result


def _settled(tree: Any, leaves: list[Tensor]) -> Any:
    """Results for the caller, who knows nothing of the leaves that were differentiated in."""

    def settle(x: Any) -> Any:
        return _core.settled(x, leaves) if isinstance(x, Tensor) else x

    return tree_map(settle, tree)


# ---------------------------------------------------------------- vmap


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that calls `func` on every example of a batch at once.

    `func` is written for one example and called once, with tensors that have the example's shape
    and no elements; what it computes is then computed for the whole batch. Every example gets the
    bits that `func` gives it alone.

    Parameters
    ----------
    func : callable
        Takes and returns tensors, or nested tuples, lists and dicts of them.
    in_dims : int, None, or nested tuple, list or dict of them
        For each positional argument (and each tensor in it) the dimension that is mapped over;
        None: all examples share it. One int stands for all. Keyword arguments are mapped over
        dimension 0.
    out_dims : int, None, or nested structure of them
        For each result the dimension at which the batch is put; None: the result must be the same
        for all examples, and has no such dimension.
    randomness : str
        What random functions inside mean: "error", "different" numbers for each example, or the
        "same" for all.
    chunk_size : int, optional
        The number of examples that are computed at once; limits the memory. All by default.

    Returns
    -------
    callable
        It takes what `func` takes, with one more dimension.

    Raises
    ------
    ShapeError
        When the mapped dimensions have different sizes.
    InvalidValue
        When nothing is mapped; when elements of a mapped tensor are read (``if x > 0``,
        ``.item()``); when a tensor from outside is written in place; when random numbers are drawn
        and `randomness` is "error".

    Examples
    --------
    >>> w = sn.tensor([1.0, 2.0, 3.0])
    >>> dot = lambda x: (x * w).sum()
    >>> sn.vmap(dot)(sn.ones((4, 3))).tolist()
    [6.0, 6.0, 6.0, 6.0]

    Gradients of each example's loss:

    >>> loss = lambda w, x: (x * w).sum() ** 2
    >>> sn.vmap(sn.grad(loss), in_dims=(None, 0))(w, sn.ones((2, 3))).tolist()
    [[12.0, 12.0, 12.0], [12.0, 12.0, 12.0]]
    """
    if randomness not in ("error", "different", "same"):
        raise error(
            _core.InvalidValue,
            "vmap",
            f"randomness is {randomness!r}; it must be 'error', 'different' or 'same'",
        )
    if chunk_size is not None and chunk_size < 1:
        raise error(_core.InvalidValue, "vmap", f"chunk_size is {chunk_size}; it must be 1 or more")

    @whole
    @wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        tree = (args, kwargs)
        leaves = flatten(tree)
        dims = _in_dims(in_dims, args, kwargs)
        size = _batch_size(leaves, dims)
        moved = [
            x if d is None else _ops["moveaxis"](x, d, 0) for x, d in zip(leaves, dims, strict=True)
        ]
        results: list[Any] = []

        def one(tensors: list[Tensor]) -> list[Tensor]:
            given = iter(tensors)
            filled = [next(given) if isinstance(x, Tensor) else x for x in leaves]
            positional, named = unflatten(tree, iter(filled))
            results.append(func(*positional, **named))
            return _tensors("vmap", results[-1])

        tensors = [x for x in moved if isinstance(x, Tensor)]
        flags = [d is not None for x, d in zip(leaves, dims, strict=True) if isinstance(x, Tensor)]
        values, batched = _in_chunks(one, tensors, flags, size, randomness, chunk_size)
        return _placed(out_dims, results[0], values, batched, size)

    return wrapped


def _is_dim(x: Any) -> bool:
    return x is None or (isinstance(x, int) and not isinstance(x, bool))


def _in_dims(in_dims: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int | None]:
    """The mapped dimension of each leaf, 0 or more."""
    given = tuple(in_dims) if isinstance(in_dims, list) else in_dims
    dims = broadcast_prefix(given, args, _is_dim)
    if dims is None:
        raise error(
            _core.InvalidValue,
            "vmap",
            f"in_dims is {in_dims!r} for {len(args)} positional arguments; it must be an int or "
            "None, or have one of these (or a structure like the argument's) for each argument",
        )
    dims = dims + [0] * len(flatten(kwargs))
    fixed: list[int | None] = []
    for x, d in zip(flatten((args, kwargs)), dims, strict=True):
        if d is None:
            fixed.append(None)
            continue
        if not isinstance(x, Tensor):
            raise error(
                _core.InvalidType,
                "vmap",
                f"an argument that is mapped over dimension {d} is a {type(x).__name__}; it must "
                "be a tensor; give None in in_dims for what all examples share",
            )
        if not -x.ndim <= d < x.ndim:
            raise error(
                _core.InvalidValue,
                "vmap",
                f"in_dims has {d} for a tensor of shape {x.shape}; it must be between {-x.ndim} "
                f"and {x.ndim - 1}; give None for what all examples share",
            )
        fixed.append(d % x.ndim)
    return fixed


def _batch_size(leaves: list[Any], dims: list[int | None]) -> int:
    sizes: set[int] = {x.shape[d] for x, d in zip(leaves, dims, strict=True) if d is not None}
    if not sizes:
        raise error(
            _core.InvalidValue,
            "vmap",
            "no argument is mapped over; at least one tensor must be, by an int in in_dims",
        )
    if len(sizes) > 1:
        shapes = ", ".join(
            f"{x.shape} (dimension {d})" for x, d in zip(leaves, dims, strict=True) if d is not None
        )
        raise error(
            _core.ShapeError,
            "vmap",
            f"the mapped dimensions have the sizes {sorted(sizes)}: {shapes}; all must be equal; "
            "check in_dims",
        )
    return sizes.pop()


def _in_chunks(
    one: Callable[[list[Tensor]], list[Tensor]],
    tensors: list[Tensor],
    flags: list[bool],
    size: int,
    randomness: str,
    chunk_size: int | None,
) -> tuple[list[Tensor], list[bool]]:
    """The results for the whole batch, and which of them have it in dimension 0."""
    if chunk_size is None or size <= chunk_size:
        return _at_once(one, tensors, flags, size, randomness)
    state = _core.random_state()
    parts = []
    batched: list[bool] = []
    for start in range(0, size, chunk_size):
        stop = min(start + chunk_size, size)
        if randomness == "same":
            _core.set_random_state(*state)
        chunk = [x[start:stop] if f else x for x, f in zip(tensors, flags, strict=True)]
        values, batched = _at_once(one, chunk, flags, stop - start, randomness)
        parts.append(values)
    joined = [
        _ops["concat"](list(values), 0) if f else values[0]
        for values, f in zip(zip(*parts, strict=True), batched, strict=True)
    ]
    return joined, batched


def _at_once(
    one: Callable[[list[Tensor]], list[Tensor]],
    tensors: list[Tensor],
    flags: list[bool],
    size: int,
    randomness: str,
) -> tuple[list[Tensor], list[bool]]:
    """One chunk: traced, or example by example where the function reads values."""
    state = _core.random_state()
    try:
        return _core.call_batched(one, tensors, flags, size, randomness)
    except NeedsValues:
        if size == 0:
            raise
    _core.set_random_state(*state)
    examples = []
    for i in range(size):
        if randomness == "same":
            _core.set_random_state(*state)
        examples.append(one([x[i] if f else x for x, f in zip(tensors, flags, strict=True)]))
        if randomness == "error" and _core.random_state() != state:
            raise error(
                _core.InvalidValue,
                "vmap",
                "the function draws random numbers; say with randomness='different' or 'same' "
                "whether each example gets its own",
            )
    joined = [_ops["stack"](list(found), 0) for found in zip(*examples, strict=True)]
    return joined, [True] * len(joined)


def _placed(
    out_dims: Any, result: Any, values: list[Tensor], batched: list[bool], size: int
) -> Any:
    """The results with the batch where out_dims says, in the structure of one example's."""
    given = tuple(out_dims) if isinstance(out_dims, list) else out_dims
    dims = broadcast_prefix(given, result, _is_dim)
    if dims is None:
        raise error(
            _core.InvalidValue,
            "vmap",
            f"out_dims is {out_dims!r}, which does not have the structure of what the function "
            f"returned ({type(result).__name__} with {len(values)} tensors); it must be an int, or "
            "have one for each result",
        )
    placed = []
    for x, f, d in zip(values, batched, dims, strict=True):
        if d is None:
            if f:
                raise error(
                    _core.InvalidValue,
                    "vmap",
                    "out_dims has None for a result that differs between examples; give the "
                    "dimension at which the batch is put",
                )
            placed.append(x)
            continue
        rank = x.ndim + (0 if f else 1)
        if not -rank <= d < rank:
            raise error(
                _core.InvalidValue,
                "vmap",
                f"out_dims has {d} for a result with {rank} dimensions; it must be between "
                f"{-rank} and {rank - 1}",
            )
        full = x if f else _ops["broadcast_to"](x, (size, *x.shape))
        placed.append(_ops["moveaxis"](full, 0, d))
    return unflatten(result, iter(placed))


# ---------------------------------------------------------------- vjp and jvp


def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """The value of `func`, and the function that maps gradients of its results back to gradients of
    its arguments (the vector-Jacobian product; reverse mode).

    Parameters
    ----------
    func : callable
        Takes tensors (or nested tuples, lists and dicts of them) and returns such.
    *primals : Tensor or nested structure
        The arguments at which it is called.
    has_aux : bool
        Whether `func` returns ``(output, auxiliary)``.

    Returns
    -------
    tuple
        ``(output, vjp_fn)`` or ``(output, vjp_fn, aux)``. ``vjp_fn(cotangents)`` takes a structure
        like `output`, and returns a tuple with the gradient of each argument. It may be called any
        number of times.

    Raises
    ------
    InvalidType
        When `func` returns something else than tensors.
    ShapeError
        When cotangents do not fit the output.

    Examples
    --------
    >>> y, pull = sn.vjp(lambda x: x * x, sn.tensor([1.0, 2.0]))
    >>> y.tolist(), pull(sn.tensor([1.0, 10.0]))[0].tolist()
    ([1.0, 4.0], [2.0, 40.0])
    """
    with enable_grad():
        picked, marked = mark_arguments("vjp", primals, tuple(range(len(primals))))
        result, aux = _with_aux("vjp", func(*marked), has_aux)
        outputs = _tensors("vjp", result)

    def vjp_fn(cotangents: Any) -> Any:
        given = _matching("vjp", "cotangents", cotangents, result)
        grads = pull_back(outputs, picked, given)
        return tuple(grads)

    leaves = flatten(picked)
    output = _settled(result, leaves)
    return (output, vjp_fn, _settled(aux, leaves)) if has_aux else (output, vjp_fn)


def _matching(op: str, what: str, tree: Any, like: Any) -> list[Tensor]:
    """The leaves of a tree of tensors that must have the structure and the shapes of another."""
    marks = broadcast_prefix(tree, like, lambda x: isinstance(x, Tensor | float | int))
    leaves = flatten(tree)
    wanted = flatten(like)
    if marks is None or len(leaves) != len(wanted):
        raise error(
            _core.InvalidValue,
            op,
            f"the {what} have {len(leaves)} tensors in a {type(tree).__name__}, where "
            f"{len(wanted)} in a {type(like).__name__} are expected; the structures must be equal",
        )
    found = []
    for x, y in zip(leaves, wanted, strict=True):
        t = x if isinstance(x, Tensor) else _core.asarray(x, dtype=y.dtype)
        if t.shape != y.shape:
            raise error(
                _core.ShapeError,
                op,
                f"one of the {what} has shape {t.shape}, what it belongs to {y.shape}; they must "
                "be equal",
            )
        found.append(t)
    return found


@whole
def jvp(
    func: Callable[..., Any],
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> tuple[Any, ...]:
    """The value of `func` and its derivative in a direction (the Jacobian-vector product; forward
    mode).

    It costs about as much as two calls of `func`, however many arguments and results there are.

    Parameters
    ----------
    func : callable
        Takes tensors (or nested tuples, lists and dicts of them) and returns such.
    primals, tangents : tuple
        The arguments, and the direction: of their structure, shapes and dtypes.
    strict : bool
        Whether a result that does not depend on the arguments is an error; else its tangent is
        zero.
    has_aux : bool
        Whether `func` returns ``(output, auxiliary)``.

    Returns
    -------
    tuple
        ``(output, tangent)`` or ``(output, tangent, aux)``; the tangent has the structure of the
        output.

    Raises
    ------
    ShapeError
        When primals and tangents do not agree.
    GradError
        With `strict`, when a result does not depend on the arguments.

    Examples
    --------
    >>> y, dy = sn.jvp(lambda x: x * x, (sn.tensor(3.0),), (sn.tensor(1.0),))
    >>> y.item(), dy.item()
    (9.0, 6.0)
    """
    if not isinstance(primals, tuple | list) or not isinstance(tangents, tuple | list):
        raise error(
            _core.InvalidType,
            "jvp",
            f"primals are a {type(primals).__name__} and tangents a {type(tangents).__name__}; "
            "both must be tuples with one entry for each argument: sn.jvp(f, (x,), (dx,))",
        )
    with enable_grad():
        ways = _matching("jvp", "tangents", tuple(tangents), tuple(primals))
        picked, marked = mark_arguments("jvp", tuple(primals), tuple(range(len(primals))))
        leaves = flatten(picked)
        autograd._forward_modes += 1
        try:
            result, aux = _with_aux("jvp", func(*marked), has_aux)
            outputs = _tensors("jvp", result)
            moved = _push(outputs, leaves, ways)
        finally:
            autograd._forward_modes -= 1
        if strict and any(t is None for t in moved):
            raise error(
                _core.GradError,
                "jvp",
                "a result does not depend on the primals, and strict is True; its tangent is zero",
            )
        zeros = _ops["zeros_like"]
        filled = [zeros(o) if t is None else t for o, t in zip(outputs, moved, strict=True)]
    answer = (_settled(result, leaves), unflatten(result, iter(filled)))
    return (*answer, _settled(aux, leaves)) if has_aux else answer


def _push(outputs: list[Tensor], leaves: list[Tensor], ways: list[Tensor]) -> list[Tensor | None]:
    """The tangents of `outputs` for the tangents `ways` of `leaves`.

    Gradients of the leaves are linear in the gradients u of the outputs; the derivative of that map
    with respect to u is what takes tangents of leaves to tangents of outputs. So forward mode is
    reverse mode applied twice; what only u would need is never computed.
    """
    live = [k for k, o in enumerate(outputs) if o.requires_grad]
    found: list[Tensor | None] = [None] * len(outputs)
    if not live:
        return found
    seeds = [_core.make_leaf(_ops["zeros_like"](outputs[k].detach())) for k in live]
    back = _core.gradients([outputs[k] for k in live], leaves, seeds, True)
    linear = [(g, w) for g, w in zip(back, ways, strict=True) if g is not None]
    if not linear:
        return found
    pushed = _core.gradients(
        [g for g, _ in linear], seeds, [w for _, w in linear], None, own=leaves
    )
    for k, t in zip(live, pushed, strict=True):
        found[k] = t
    return found


# ---------------------------------------------------------------- Jacobians


def _basis(like: Tensor) -> Tensor:
    """All unit tensors of a shape, one after the other."""
    n = like.size
    unit: Tensor = _ops["eye"](n, dtype=like.dtype, device=like.device)
    return unit.reshape((n, *like.shape))


def jacrev(
    func: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The function that computes the Jacobian of `func` in reverse mode: one backward pass for each
    element of the output, all at once. Best for more inputs than outputs.

    Parameters
    ----------
    func : callable
        Takes tensors (or nested structures) and returns such.
    argnums : int or tuple of int
        The positional arguments to differentiate in.
    has_aux : bool
        Whether `func` returns ``(output, auxiliary)``.
    chunk_size : int, optional
        The number of output elements whose gradients are computed at once; limits the memory.

    Returns
    -------
    callable
        Returns for each tensor of the output (in its structure) and each tensor of the argument (in
        its structure; a tuple when `argnums` is one) a tensor of shape ``output.shape +
        argument.shape``; with `has_aux` ``(jacobian, aux)``.

    Examples
    --------
    >>> sn.jacrev(lambda x: x * x)(sn.tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """

    @whole
    @wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        chosen = _positions(argnums, len(args), "jacrev")
        with enable_grad():
            picked, marked = mark_arguments("jacrev", args, chosen)
            result, aux = _with_aux("jacrev", func(*marked, **kwargs), has_aux)
            outputs = _tensors("jacrev", result)
        leaves = flatten(picked)
        rows = []
        again = grad_enabled() and _core.differentiable(outputs, leaves)
        for out in outputs:
            pull = vmap(
                lambda g, out=out: tuple(pull_back([out], leaves, [g])), chunk_size=chunk_size
            )
            if out.dtype.is_floating_point:
                with set_grad_enabled(again):
                    grads = pull(_basis(out.detach()))
            else:
                grads = [_ops["zeros"]((out.size, *x.shape), dtype=x.dtype) for x in leaves]
            blocks = [g.reshape((*out.shape, *x.shape)) for g, x in zip(grads, leaves, strict=True)]
            by_argument = unflatten(picked, iter(blocks))
            rows.append(by_argument[0] if isinstance(argnums, int) else tuple(by_argument))
        jacobian = unflatten(result, iter(rows))
        return (jacobian, _settled(aux, leaves)) if has_aux else jacobian

    return wrapped


def jacfwd(
    func: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
    randomness: str = "error",
) -> Callable[..., Any]:
    """The function that computes the Jacobian of `func` in forward mode: one tangent for each
    element of the argument, all at once. Best for more outputs than inputs.

    Parameters
    ----------
    func : callable
        Takes tensors (or nested structures) and returns such.
    argnums : int or tuple of int
        The positional arguments to differentiate in.
    has_aux : bool
        Whether `func` returns ``(output, auxiliary)``.
    chunk_size : int, optional
        The number of argument elements whose tangents are computed at once; limits the memory.
    randomness : str
        As in `vmap`.

    Returns
    -------
    callable
        Its result is that of `jacrev`.

    Examples
    --------
    >>> sn.jacfwd(lambda x: x * x)(sn.tensor([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """

    @whole
    @wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        chosen = _positions(argnums, len(args), "jacfwd")
        picked = [
            tree_map(lambda x: _core.asarray(x) if isinstance(x, float) else x, args[i])
            for i in chosen
        ]
        leaves = flatten(picked)
        for x in leaves:
            if not isinstance(x, Tensor) or not x.dtype.is_floating_point:
                mark_arguments("jacfwd", (x,), (0,))  # raises
        results: list[Any] = []
        state = _core.random_state()

        def push(k: int, ways: list[Tensor]) -> list[Tensor]:
            def along(x: Tensor) -> Any:
                marked = list(leaves)
                marked[k] = x
                given = dict(zip(chosen, unflatten(picked, iter(marked)), strict=True))
                return func(*(given.get(i, a) for i, a in enumerate(args)), **kwargs)

            answer = jvp(along, (leaves[k],), (ways[0],), has_aux=has_aux)
            results.append((answer[0], answer[2] if has_aux else None))
            aux = [x for x in flatten(results[-1][1]) if isinstance(x, Tensor)]
            return [*_tensors("jacfwd", answer[1]), *aux]

        columns = []
        aux: list[Tensor] = []
        for k, x in enumerate(leaves):
            if randomness == "same" and k:
                _core.set_random_state(*state)
            basis = _basis(x.detach())
            one = partial(push, k)
            found, batched = _in_chunks(one, [basis], [True], x.size, randomness, chunk_size)
            count = len(flatten(results[-1][0]))
            aux = found[count:]
            columns.append(
                [
                    t if f else _ops["broadcast_to"](t, (x.size, *t.shape))
                    for t, f in zip(found[:count], batched, strict=False)
                ]
            )
        result, extra = results[0]
        rows = []
        for i in range(len(columns[0]) if columns else 0):
            blocks = []
            for tangents, x in zip(columns, leaves, strict=True):
                shape = tangents[i].shape[1:]
                blocks.append(_ops["moveaxis"](tangents[i], 0, -1).reshape((*shape, *x.shape)))
            by_argument = unflatten(picked, iter(blocks))
            rows.append(by_argument[0] if isinstance(argnums, int) else tuple(by_argument))
        jacobian = unflatten(result, iter(rows))
        if not has_aux:
            return jacobian
        given = iter(aux)
        return jacobian, tree_map(lambda v: next(given) if isinstance(v, Tensor) else v, extra)

    return wrapped


def hessian(func: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """The function that computes the matrix of second derivatives: ``jacfwd(jacrev(func))``.

    Parameters
    ----------
    func : callable
        Takes tensors (or nested structures) and returns such; mostly one of one element.
    argnums : int or tuple of int
        The positional arguments to differentiate in.

    Returns
    -------
    callable
        Returns tensors of shape ``output.shape + argument.shape + argument.shape``.

    Examples
    --------
    >>> sn.hessian(lambda x: (x * x * x).sum())(sn.tensor([1.0, 2.0])).tolist()
    [[6.0, 0.0], [0.0, 12.0]]
    """
    return jacfwd(jacrev(func, argnums), argnums)
