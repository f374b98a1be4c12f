"""Kernels that users write in CUDA C++: see `sennit.cuda.kernel`."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

from . import _core
from ._core import DeviceError, DTypeError, GradError, InvalidType, InvalidValue, Tensor
from ._errors import error

# What a parameter of a C++ type takes: the dtype of a tensor, and how a number is laid out.
_TYPES = {
    "bool": ("bool", "?"), "char": ("int8", "b"), "signed char": ("int8", "b"),
    "unsigned char": ("uint8", "B"), "short": ("int16", "h"), "unsigned short": ("uint16", "H"),
    "int": ("int32", "i"), "unsigned": ("uint32", "I"), "unsigned int": ("uint32", "I"),
    "long long": ("int64", "q"), "unsigned long long": ("uint64", "Q"), "float": ("float32", "f"),
    "double": ("float64", "d"), "__half": ("float16", "e"), "half": ("float16", "e"),
    "__nv_bfloat16": ("bfloat16", None), "float2": ("complex64", None),
    "double2": ("complex128", None), "size_t": ("uint64", "Q"),
}  # fmt: skip
for _bits in (8, 16, 32, 64):
    _TYPES[f"int{_bits}_t"] = (f"int{_bits}", "_bhiq"[_bits.bit_length() - 3])
    _TYPES[f"uint{_bits}_t"] = (f"uint{_bits}", "_BHIQ"[_bits.bit_length() - 3])

_KERNEL = re.compile(
    r"__global__\s+(?:void\s+)?(?:__launch_bounds__\s*\([^)]*\)\s*)?(?:void\s+)?(\w+)\s*\(([^)]*)\)"
)
_MOST_THREADS = 1024

Size = int | Sequence[int]
Spec = tuple[Sequence[int], Any]


class CompileError(InvalidValue):
    """A kernel's source does not compile; the message ends with the compiler's log.

    Attributes
    ----------
    log : str
        What the compiler said.
    line : int or None
        Line of the source in which it found the first error, from 1.

    Examples
    --------
    >>> issubclass(sn.cuda.CompileError, ValueError)
    True
    """

    log = ""
    line: int | None = None


def _parameters(source: str, name: str) -> list[tuple[bool, str]] | None:
    """For each parameter of a kernel, whether it is a pointer, and its type without qualifiers;
    None when the declaration is not one that can be read (a macro, a template's)."""
    plain = re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.S)
    for match in _KERNEL.finditer(plain):
        if match[1] != name:
            continue
        found = []
        for text in filter(None, (t.strip() for t in match[2].split(","))):
            kind = re.sub(r"\b(const|volatile|__restrict__|__restrict)\b", " ", text)
            kind = re.sub(r"\w+\s*(\[\s*\])?$", lambda m: "*" if m[1] else "", kind)
            pointer = "*" in kind
            found.append((pointer, " ".join(kind.replace("*", " ").split())))
        return found
    return None


def _sizes(op: str, what: str, given: Any) -> list[int]:
    sizes = [given] if isinstance(given, int) else list(given)
    if not 1 <= len(sizes) <= 3 or any(not isinstance(n, int) or n < 0 for n in sizes):
        raise error(
            InvalidValue, op, f"{what} is {given!r}; it must be one to three sizes, 0 or more"
        )
    return [*sizes, 1, 1][:3]


class Kernel:
    """A kernel of the user's, which `sennit.cuda.kernel` makes; call it with its arguments.

    Examples
    --------
    >>> source = '''extern "C" __global__ void twice(const float* x, long long n, float* y) {
    ...     long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    ...     if (i < n) y[i] = 2 * x[i];
    ... }'''
    >>> twice = sn.cuda.kernel(source)
    >>> if sn.cuda.is_available():
    ...     x = sn.arange(3, dtype=sn.float32).to("cuda")
    ...     print(twice(x, x.size).tolist())
    """

    def __init__(
        self,
        source: str,
        name: str,
        out: Any,
        grid: Any,
        block: Any,
        shared: int,
        options: tuple[str, ...],
    ) -> None:
        self.source, self.name, self.out, self.grid = source, name, out, grid
        self.block, self.shared, self.options = block, shared, options
        self._parameters = _parameters(source, name)

    def __repr__(self) -> str:
        return f"<CUDA kernel {self.name}>"

    def _outs(self, args: tuple[Any, ...]) -> tuple[list[Spec], bool]:
        """The results' shapes and dtypes, and whether there is one, which is no list."""
        out = self.out
        if callable(out):
            out = out(*args)
        if out is None:
            like = next(a for a in args if isinstance(a, Tensor))
            return [(like.shape, like.dtype)], True
        single = isinstance(out, tuple)
        specs = [out] if single else list(out)
        for spec in specs:
            if not isinstance(spec, tuple) or len(spec) != 2:
                raise error(
                    InvalidType,
                    self.name,
                    f"out has {spec!r}; a pair (shape, dtype), or a list of pairs, is required",
                )
        return [
            ((s,) if isinstance(s, int) else tuple(s), _core.dtype(d)) for s, d in specs
        ], single

    def _argument(self, i: int, arg: Any) -> Any:
        """A tensor, or the bytes of a number as the kernel's parameter is declared."""
        declared = self._parameters[i] if self._parameters is not None else None
        known = _TYPES.get(declared[1]) if declared else None
        if declared and declared[0] != isinstance(arg, Tensor):
            raise error(
                InvalidType,
                self.name,
                f"argument {i} is a {type(arg).__name__}; the kernel's parameter is "
                + ("a pointer: give a tensor" if declared[0] else f"of type {declared[1]}: give a "
                   "number"),
            )  # fmt: skip
        if isinstance(arg, Tensor):
            if known and str(arg.dtype) != known[0]:
                raise error(
                    DTypeError,
                    self.name,
                    f"argument {i} has dtype {arg.dtype}; the kernel's parameter is a pointer to "
                    f"{declared[1] if declared else ''}: convert with "
                    f"x.astype(sn.{known[0]})",
                )
            if arg.requires_grad and _core.grad_enabled():
                raise error(
                    GradError,
                    self.name,
                    f"argument {i}, of shape {arg.shape}, requires a gradient, which a kernel does "
                    "not have; call it in the forward of a sn.Function that defines backward, or "
                    "give x.detach()",
                )
            return arg
        code = known[1] if known else None
        if not known:  # as CuPy has it
            code = "?" if isinstance(arg, bool) else "q" if isinstance(arg, int) else "d"
        try:
            return struct.pack(f"<{code}", arg)
        except (struct.error, TypeError, OverflowError) as cause:
            kind = declared[1] if declared else type(arg).__name__
            raise error(
                InvalidType,
                self.name,
                f"argument {i} is {arg!r}, which is no value of the parameter's type {kind}",
            ) from cause

    def __call__(
        self, *args: Any, grid: Any = None, block: Any = None, shared: int | None = None
    ) -> Any:
        """Runs it: arguments in the order of the parameters, results last; see `kernel`."""
        tensors = [a for a in args if isinstance(a, Tensor)]
        devices = sorted({str(t.device) for t in tensors})
        if len(devices) != 1 or not tensors[0].is_cuda:
            raise error(
                DeviceError,
                self.name,
                f"its tensors are on {', '.join(devices) or 'no device: there are none'}; they "
                'must be on one GPU: x.to("cuda")',
            )
        specs, single = self._outs(args)
        count = len(args) + len(specs)
        if self._parameters is not None and len(self._parameters) != count:
            raise error(
                InvalidType,
                self.name,
                f"{len(args)} arguments and {len(specs)} results are given; the kernel has "
                f"{len(self._parameters)} parameters",
            )
        given = [self._argument(i, a) for i, a in enumerate(args)]
        if self._parameters is not None:
            for i, (_, dtype) in enumerate(specs):
                pointer, kind = self._parameters[len(args) + i]
                known = _TYPES.get(kind)
                if not pointer or (known and known[0] != str(dtype)):
                    raise error(
                        DTypeError,
                        self.name,
                        f"result {i} has dtype {dtype}; the kernel's parameter is "
                        f"{kind}{'*' if pointer else ', no pointer'}",
                    )
        threads = _sizes(self.name, "block", self.block if block is None else block)
        if not 1 <= threads[0] * threads[1] * threads[2] <= _MOST_THREADS:
            raise error(
                InvalidValue,
                self.name,
                f"block is {tuple(threads)}; 1 to {_MOST_THREADS} threads in all are required",
            )
        blocks = self.grid if grid is None else grid
        if callable(blocks):
            blocks = blocks(*args)
        if blocks is None:
            elements = 1
            for n in specs[0][0] if specs else tensors[0].shape:
                elements *= n
            blocks = -(-elements // (threads[0] * threads[1] * threads[2]))
        grid_sizes = _sizes(self.name, "grid", blocks)
        if grid_sizes[1] > 65535 or grid_sizes[2] > 65535 or grid_sizes[0] > 0x7FFFFFFF:
            raise error(
                InvalidValue,
                self.name,
                f"grid is {tuple(grid_sizes)}; at most (2147483647, 65535, 65535) is possible",
            )
        try:
            made = _core.cuda_launch(
                self.name, int(devices[0].partition(":")[2]), self.source, self.name,
                list(self.options), given, specs, grid_sizes, threads,
                self.shared if shared is None else shared,
            )  # fmt: skip
        except InvalidValue as cause:
            raise _compile_error(cause) from None
        return made[0] if single else tuple(made)


def _compile_error(cause: InvalidValue) -> InvalidValue:
    text = str(cause)
    if "does not compile it" not in text:
        return cause
    made = CompileError(text)
    made.op, made.where = cause.op, cause.where
    made.log = text.partition("\n")[2]
    found = re.search(r"(?:\((\d+)\)|:(\d+):\d+): (?:fatal )?error", made.log)
    made.line = int(found[1] or found[2]) if found else None
    return made


def kernel(
    source: Any,
    name: str | None = None,
    *,
    out: Spec | list[Spec] | Callable[..., Any] | None = None,
    grid: Size | Callable[..., Size] | None = None,
    block: Size = 256,
    shared: int = 0,
    options: Sequence[str] = (),
) -> Kernel:
    """A kernel in CUDA C++ as a function of tensors on a GPU.

    It is compiled by its first call, and kept on disk as Sennit's own kernels are. It runs in the
    order in which it is called, among all other work on its device. A recorded step
    (`sn.compile`) that calls it runs as plain Python. Its gradient is what a `sn.Function` around
    it says.

    Parameters
    ----------
    source : str
        With a kernel declared ``extern "C" __global__ void name(...)``, whose parameters are the
        arguments of a call in order, then a pointer for each result. Tensors arrive as pointers to
        their elements in row-major order, without gaps, and must only be read; numbers as the
        declared type. Or a CuPy ``RawKernel``, whose code, name and options are taken.
    name : str, optional
        Of the kernel; needed where the source has several.
    out : pair (shape, dtype), list of pairs, or function, optional
        What it returns: one tensor for a pair, a tuple for a list. A function is given the
        arguments and returns either. By default one tensor like the first one given. New memory
        holds any values: the kernel writes all of it.
    grid : int, sequence of up to 3 ints, or function of the arguments, optional
        Blocks; by default as many as give each element of the first result a thread.
    block : int or sequence of up to 3 ints
        Threads of a block, at most 1,024.
    shared : int
        Bytes of dynamic shared memory of a block.
    options : sequence of str
        For NVRTC, such as ``"-DN=4"``, ``"--use_fast_math"``; ``--std=c++20`` unless it is given.

    Raises
    ------
    CompileError
        By a call, when the source does not compile.
    InvalidType, DTypeError, DeviceError, GradError
        By a call whose arguments do not fit the declaration, are on no GPU or on several, or
        require a gradient.

    Examples
    --------
    >>> source = '''
    ... extern "C" __global__ void axpy(const float* x, const float* y, float a, long long n,
    ...                                 float* z) {
    ...     long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    ...     if (i < n) z[i] = a * x[i] + y[i];
    ... }'''
    >>> axpy = sn.cuda.kernel(source)
    >>> if sn.cuda.is_available():
    ...     x = sn.ones(4, device="cuda")
    ...     print(axpy(x, x, 2.0, x.size).tolist())
    """
    if not isinstance(source, str):
        code = getattr(source, "code", None)
        if not isinstance(code, str):
            raise error(
                InvalidType,
                "kernel",
                f"source is a {type(source).__name__}; it must be a string of CUDA C++, or a CuPy "
                "RawKernel",
            )
        name = name or source.name
        options = (*options, *(getattr(source, "options", None) or ()))
        source = code
    found = [m[1] for m in _KERNEL.finditer(source)]
    if name is None:
        if len(set(found)) != 1:
            raise error(
                InvalidValue,
                "kernel",
                f"the source has {len(found)} kernels{': ' if found else ''}{', '.join(found)}; "
                'give the name of one that is declared as  extern "C" __global__ void name(...)',
            )
        name = found[0]
    options = tuple(options)
    if not any(o.startswith(("--std", "-std")) for o in options):
        options = ("--std=c++20", *options)
    return Kernel(source, name, out, grid, block, shared, options)
