"""Bundles: a model as a static library that holds its kernels and nothing else.

See docs/deploy.md and docs/design/017-bundle.md.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from . import __version__, _core
from ._core import InvalidValue
from ._errors import error
from ._graph import Graph
from ._native import get_library_dir

__all__ = ["Bundle", "bundle"]

_C_TYPES = {
    "bool": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int32_t",
    "int64": "int64_t", "uint8": "uint8_t", "uint16": "uint16_t", "uint32": "uint32_t",
    "uint64": "uint64_t", "float16": "uint16_t", "bfloat16": "uint16_t", "float32": "float",
    "float64": "double", "complex64": "float", "complex128": "double",
}  # fmt: skip
# Words of C and C++ that no name may be, and the name of a session.
_KEYWORDS = (
    " auto bool break case catch char class const continue default delete do double else enum "
    "extern float for friend goto if inline int long namespace new operator private protected "
    "public register return short signed sizeof static struct switch template this throw try "
    "typedef typename union unsigned using virtual void volatile while session "
)


class Bundle(NamedTuple):
    """What `bundle` has written.

    Examples
    --------
    >>> sn.Bundle._fields
    ('library', 'header', 'name', 'data_bytes')
    """

    library: str
    """Path of the static library."""
    header: str
    """Path of the C header."""
    name: str
    """What the functions' names begin with."""
    data_bytes: int
    """How many bytes of the library are the model's tensors."""


class _Value(NamedTuple):
    """An argument or result in C."""

    name: str  # of the parameter
    label: str  # in the model
    dtype: str
    shape: tuple[Any, ...]


def bundle(
    model: Graph | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    sizes: Mapping[str, int] | Sequence[Mapping[str, int]] = (),
    threads: int = 0,
    compiler: str | None = None,
) -> Bundle:
    """Makes a static library of a model, and a C header for it.

    The library holds the model's tensors, plans that were made ahead of time for fixed sizes, the
    runtime's executor, and those kernels that the plans run. It needs neither Python nor
    `libsennit`, and gives the bits that Python gives. `docs/deploy.md` shows a program with one.

    Parameters
    ----------
    model : Graph or path
        A graph, or a file of `Graph.save`. It computes on the CPU.
    folder : path
        Where ``lib<name>.a`` and ``<name>.h`` go; it is made when it does not exist.
    name : str, optional
        What the functions' names begin with, a C identifier. By default the file's or the graph's.
    sizes : mapping or sequence of mappings
        The open sizes of the model, by name: ``{"n": 1}``, or several such choices, between which
        the program then chooses at each call.
    threads : int
        How many threads a program uses that does not say; 0: as many as there are processors.
    compiler : str, optional
        The C++ compiler (GCC or Clang) that links the library: by default ``$CXX``, or ``c++``.
        ``ar`` and ``objcopy`` come with it (binutils).

    Returns
    -------
    Bundle

    Raises
    ------
    InvalidValue
        When sizes are missing or unknown, the name is no identifier, or the model has an operation
        that a bundle cannot hold; the text names it.
    FileError
        When this build of Sennit has no parts for bundles, there is no compiler, or it fails.

    Examples
    --------
    >>> import os, tempfile
    >>> graph = sn.trace(sn.nn.Linear(4, 2), sn.TensorSpec(("n", 4), name="x"))
    >>> made = sn.bundle(graph, tempfile.mkdtemp(), name="line", sizes={"n": 1})
    >>> os.path.basename(made.library), os.path.basename(made.header), made.data_bytes
    ('libline.a', 'line.h', 40)
    """
    parts = _Parts()
    graph, name = _opened(model, name)
    choices = _choices(graph, sizes)
    if not isinstance(threads, int) or threads < 0:
        raise error(
            InvalidValue, "bundle", f"threads is {threads!r}; a number of threads is required, or 0"
        )
    cxx = _find_tool(compiler or os.environ.get("CXX") or "c++", "a C++ compiler (GCC or Clang)")
    ar = _find_tool("ar", "binutils' archiver")
    objcopy = _find_tool("objcopy", "binutils' object copier")
    folder = os.fspath(folder)
    os.makedirs(folder, exist_ok=True)
    library, header = (os.path.join(folder, file) for file in (f"lib{name}.a", f"{name}.h"))
    with tempfile.TemporaryDirectory(prefix="sennit-bundle-") as work:
        if _core.isa() != parts.isa:
            # Plans depend on the kernels' registers: they are made in a process with those.
            return _elsewhere(graph, folder, name, choices, threads, cxx, parts.isa, work)
        order = [size for size, *_ in graph._program.sizes()]
        labels = _result_labels(graph)
        plans, data, needs = graph._program.freeze(
            [[choice[size] for size in order] for choice in choices], graph._stand, labels
        )
        inputs, outputs = _interface(graph, choices, labels)
        with open(header, "w", encoding="utf-8") as file:
            file.write(_header(name, graph, choices, order, inputs, outputs))
        for file_name, content in (("plans.bin", plans), ("data.bin", data)):
            with open(os.path.join(work, file_name), "wb") as binary:
                binary.write(content)
        source = os.path.join(work, "bundle.cpp")
        with open(source, "w", encoding="utf-8") as file:
            file.write(parts.source(needs, work))
            file.write(_functions(name, graph, choices, order, inputs, outputs, threads))
        exported = _exported(name, graph)
        plain, linked, final = (os.path.join(work, f"{stem}.o") for stem in "abc")
        _run(cxx, "-std=c++17", "-Os", "-fPIC", "-ffunction-sections", "-fdata-sections", "-w",
             "-I", os.path.abspath(folder), "-c", source, "-o", plain)  # fmt: skip
        roots = [f"-Wl,-u,{function}" for function in exported]
        _run(cxx, "-r", "-nostdlib", "-Wl,--gc-sections", "-Wl,--force-group-allocation", *roots,
             "-o", linked, plain, parts.archive)  # fmt: skip
        keep = [f"--keep-global-symbol={function}" for function in exported]
        _run(objcopy, "--strip-unneeded", *keep, linked, final)
        member = os.path.join(work, f"{name}.o")
        os.replace(final, member)
        if os.path.exists(library):
            os.unlink(library)
        _run(ar, "rcsD", library, member)
    return Bundle(library, header, name, _data_bytes(graph))


class _Parts:
    """The kernels that come with the package, and where each one is (cmake/make_parts.py)."""

    def __init__(self) -> None:
        folder = os.path.join(get_library_dir(), "bundle")
        self.archive = os.path.join(folder, "libsennit_parts.a")
        text = os.path.join(folder, "parts.txt")
        if not os.path.exists(text):
            raise error(
                _core.FileError,
                "bundle",
                f"{text} does not exist: this build of Sennit has no parts for bundles; install a "
                "wheel for Linux",
            )
        self.isa = ""
        self.tables: dict[str, dict[int, str]] = {"tile": {}, "reduce": {}}
        self.kernels: dict[str, tuple[str, str]] = {}
        self.typed: list[str] = []
        self.halves: list[tuple[str, str]] = []
        with open(text, encoding="utf-8") as file:
            for line in file:
                kind, *words = line.split()
                if kind == "isa":
                    self.isa = words[0]
                elif kind == "part":
                    self.typed.append(words[0])
                elif kind == "half":
                    self.halves.append((words[0], words[1]))
                elif kind == "kernel":
                    self.kernels[words[0]] = (words[1], words[2])
                else:
                    self.tables[kind][int(words[0])] = words[1]

    def source(self, needs: Iterable[str], work: str) -> str:
        """The C++ text of tables that name what is needed and nothing else."""
        words: dict[str, list[tuple[int, str]]] = {"tile": [], "reduce": []}
        kernels: list[tuple[str, str, str]] = []
        families: set[str] = set()
        wanted: list[tuple[str, str]] = []
        for line in needs:
            kind, *rest = line.split()
            if kind == "family":
                families.add(rest[0])
            elif kind == "part":
                wanted.append((rest[0], rest[1]))
            elif kind == "kernel":
                if rest[0] not in self.kernels:
                    raise error(
                        InvalidValue,
                        "bundle",
                        f"the model calls '{rest[0]}', for which the runtime has no kernel; a "
                        "model without it is required",
                    )
                kernels.append((rest[0], *self.kernels[rest[0]]))
            elif int(rest[0]) in self.tables[kind]:  # not every entry is filled
                words[kind].append((int(rest[0]), self.tables[kind][int(rest[0])]))
        unused = [part for part in self.typed if not self._is_needed(part, wanted)]
        narrow = {dtype for _, dtype in wanted}
        unused += [function for dtype, function in self.halves if dtype not in narrow]
        functions = {name for rows in words.values() for _, name in rows}
        functions |= {name for row in kernels for name in row[1:] if name != "-"}
        space = f"_ZN2sn3cpu{len(self.isa)}{self.isa}"
        made = {
            family: f"{space}{len(family) + 8}{family}_kernelsEv"
            for family in ("gemm", "conv", "pool")
        }
        functions |= {made[family] for family in families & set(made)}
        lines = [
            "#include <stddef.h>",
            "#include <stdint.h>",
            'extern "C" {',
            "typedef void (*sn_bundle_function)(void);",
            "struct sn_bundle_word { uint32_t at; sn_bundle_function function; };",
            "struct sn_bundle_kernel { const char* op; sn_bundle_function kernel, workspace; };",
            "struct sn_bundle_session;",
            "int32_t sn_bundle_open(uint64_t, sn_bundle_session**);",
            "void sn_bundle_close(sn_bundle_session*);",
            "int32_t sn_bundle_run(sn_bundle_session*, const int64_t*, const void* const*, "
            "void* const*);",
            "int32_t sn_bundle_get(sn_bundle_session*, const char*, void*, size_t);",
            "int32_t sn_bundle_set(sn_bundle_session*, const char*, const void*, size_t);",
            "int32_t sn_bundle_set_generator(sn_bundle_session*, uint64_t, uint64_t);",
            "int32_t sn_bundle_set_threads(int32_t);",
            "const char* sn_bundle_error(void);",
            "void sn_bundle_left_out(void);",
            *(f"void {function}(void);" for function in sorted(functions)),
            f'extern const char* const sn_bundle_isa = "{self.isa}";',
        ]
        for table, rows in words.items():
            lines.append(f"extern const sn_bundle_word sn_bundle_{table}[] = {{")
            lines += [f"    {{{at}, {function}}}," for at, function in sorted(rows)]
            lines.append("    {0, 0}};")
        lines.append("extern const sn_bundle_kernel sn_bundle_kernels[] = {")
        lines += [
            f'    {{"{op}", {kernel}, {"0" if space == "-" else space}}},'
            for op, kernel, space in kernels
        ]
        lines.append("    {0, 0, 0}};")
        for family, function in made.items():
            value = function if family in families else "0"
            lines.append(f"extern const sn_bundle_function sn_bundle_{family} = {value};")
        # What comes first is linked: these take the place of the archive's weak functions.
        lines += [f"void {part}(void) {{ sn_bundle_left_out(); }}" for part in unused]
        lines.append("}")
        for symbol in ("plans", "data"):
            path = os.path.join(work, f"{symbol}.bin").replace("\\", "\\\\").replace('"', '\\"')
            lines.append(
                f'asm(".section .rodata.sn_bundle_{symbol},\\"a\\"\\n.balign 64\\n'
                f".globl sn_bundle_{symbol}\\nsn_bundle_{symbol}:\\n"
                f'.incbin \\"{path}\\"\\n.byte 0\\n.text\\n");'
            )
        return "\n".join(lines) + "\n"

    def _is_needed(self, part: str, wanted: Iterable[tuple[str, str]]) -> bool:
        """Whether an op whose name begins with the part's computes in its dtype."""
        stem, _, dtype = part.removeprefix(f"sn_part_{self.isa}_").rpartition("_")
        stem = stem.partition("__")[0]
        return any(op.startswith(stem) and dtype == used for op, used in wanted)


def _find_tool(program: str, what: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise error(
            _core.FileError,
            "bundle",
            f"there is no '{program}' on the PATH; {what} is required to link a bundle (on Debian: "
            "apt install g++); a compiler elsewhere is given with compiler=",
        )
    return found


def _run(*words: str) -> None:
    done = subprocess.run(words, check=False, text=True, capture_output=True)
    if done.returncode:
        text = done.stderr.strip().splitlines()[-8:]
        raise error(
            _core.FileError,
            "bundle",
            f"{os.path.basename(words[0])} failed with status {done.returncode}:\n"
            + "\n".join(text)
            + "\nGCC or Clang with GNU binutils is required",
        )


def _opened(model: Graph | str | os.PathLike[str], name: str | None) -> tuple[Graph, str]:
    given = name is not None
    if not isinstance(model, Graph):
        from ._files import load

        path = os.fspath(model)
        loaded = load(path)
        if not isinstance(loaded, Graph):
            raise error(
                InvalidValue,
                "bundle",
                f"{path} holds tensors and no graph; write one with sn.trace(...).save(path)",
            )
        model = loaded
        name = name or os.path.splitext(os.path.basename(path))[0]
    name = name or model.name
    if not given:
        name = re.sub(r"\W", "_", name, flags=re.ASCII).lower()
        name = f"model_{name}" if name[:1].isdigit() else name
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or f" {name} " in _KEYWORDS:
        raise error(InvalidValue, "bundle", f"the name is {name!r}; an identifier of C is required")
    return model, name


def _choices(
    graph: Graph, sizes: Mapping[str, int] | Sequence[Mapping[str, int]]
) -> list[dict[str, int]]:
    choices = [sizes] if isinstance(sizes, Mapping) else list(sizes)
    names = list(graph.sizes)
    if not choices:
        choices = [{}]
    for choice in choices:
        if set(choice) != set(names):
            raise error(
                InvalidValue,
                "bundle",
                f"sizes are given for {', '.join(choice) or 'nothing'}; the open sizes of this "
                f"model are {', '.join(names) or 'none'}: a bundle has plans for fixed ones, as in "
                f"sizes={dict.fromkeys(names, 1)!r}",
            )
    made = [{name: int(choice[name]) for name in names} for choice in choices]
    return [c for k, c in enumerate(made) if c not in made[:k]]


def _result_labels(graph: Graph) -> list[str]:
    """Names of results: their paths in what a call returns, as the runtime gives them."""
    count = len(graph.outputs)
    labels = [""] * count

    def walk(node: dict[str, Any], path: str) -> None:
        ((kind, value),) = node.items()
        if kind in ("tuple", "list"):
            for k, item in enumerate(value):
                walk(item, f"{path}.{k}" if path else str(k))
        elif kind == "dict":
            for key, item in value:
                walk(item, f"{path}.{key}" if path else str(key))
        elif kind == "output" and not labels[value]:
            labels[value] = path or "output"

    walk(graph._signature["result"], "")
    return [label or f"result.{k}" for k, label in enumerate(labels)]


def _interface(
    graph: Graph, choices: list[dict[str, int]], labels: list[str]
) -> tuple[list[_Value], list[_Value]]:
    fixed = graph
    if graph.sizes and len(choices) == 1:
        fixed = graph.bind(**choices[0])
    taken = {"session", *graph.sizes}

    def identifier(label: str, other: str) -> str:
        plain = re.sub(r"\W", "_", label, flags=re.ASCII)
        if not plain or plain[0].isdigit() or f" {plain} " in _KEYWORDS:
            plain = f"{other}_{plain}".rstrip("_")
        while plain in taken:
            plain += "_"
        taken.add(plain)
        return plain

    def values(found: Iterable[Any], names: Iterable[str], other: str) -> list[_Value]:
        return [
            _Value(identifier(label, other), label, value.dtype.name, tuple(value.shape))
            for value, label in zip(found, names, strict=True)
        ]

    return (
        values(fixed.inputs, [x.name for x in fixed.inputs], "input"),
        values(fixed.outputs, labels, "output"),
    )


def _exported(name: str, graph: Graph) -> list[str]:
    functions = ["open", "close", "run", "error", "set_threads"]
    if graph._program.draws():
        functions.append("set_generator")
    if graph._updates:
        functions += ["get", "set"]
    return [f"{name}_{function}" for function in functions]


def _parameters(name: str, order: list[str], inputs: list[_Value], outputs: list[_Value],
                choices: int) -> str:  # fmt: skip
    sizes = order if choices > 1 else []
    return ", ".join(
        [
            f"{name}_session* session",
            *(f"int64_t {size}" for size in sizes),
            *(f"const {_C_TYPES[x.dtype]}* {x.name}" for x in inputs),
            *(f"{_C_TYPES[x.dtype]}* {x.name}" for x in outputs),
        ]
    )


def _describe(value: _Value) -> str:
    shape = ", ".join(map(str, value.shape))
    note = {
        "bool": ", bytes 0 and 1", "float16": ", as 16 bits", "bfloat16": ", as 16 bits",
        "complex64": ", a real and an imaginary part each",
        "complex128": ", a real and an imaginary part each",
    }.get(value.dtype, "")  # fmt: skip
    label = f" ('{value.label}')" if value.label != value.name else ""
    return f"{value.name}{label}: {value.dtype}[{shape}]{note}"


def _header(
    name: str,
    graph: Graph,
    choices: list[dict[str, int]],
    order: list[str],
    inputs: list[_Value],
    outputs: list[_Value],
) -> str:
    upper = name.upper()
    listing = [f" *     {_describe(x)}" for x in inputs]
    listing += [" *   and writes"]
    listing += [f" *     {_describe(x)}" for x in outputs] or [" *     nothing"]
    made_for = ""
    if order:
        texts = [", ".join(f"{k} = {v}" for k, v in choice.items()) for choice in choices]
        made_for = f" * It was made for {'; '.join(texts)}.\n"
    lines = [
        f"/* The model '{graph.name}', bundled by Sennit {__version__}. Link lib{name}.a and "
        "-pthread.\n"
        " *\n"
        " * Functions that can fail return 0, or a code of Sennit's errors (101: shape,\n"
        " * 103: index, 104: value, 105: device, 107: memory, 199: internal); the text is that of\n"
        f" * {name}_error() on the same thread. Tensors are dense, in row-major order, and belong\n"
        " * to the caller. A session serves one call at a time; threads may have their own.\n"
        f"{made_for} */",
        "#pragma once",
        "",
        "#include <stddef.h>",
        "#include <stdint.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f"typedef struct {name}_session {name}_session;",
        "",
        f"int32_t {name}_open({name}_session** session);",
        f"void {name}_close({name}_session* session); /* NULL is allowed */",
        "",
        "/* Runs the model. Reads\n" + "\n".join(listing or [" *     nothing"]) + " */",
        f"int32_t {name}_run({_parameters(name, order, inputs, outputs, len(choices))});",
        "",
    ]
    if graph._program.draws():
        lines += [
            "/* The state of the session's random numbers: as after `draws` draws of a generator",
            " * that was seeded. */",
            f"int32_t {name}_set_generator({name}_session* session, uint64_t seed, "
            "uint64_t draws);",
            "",
        ]
    if graph._updates:
        named = ", ".join(graph._updates[:8]) + (", ..." if len(graph._updates) > 8 else "")
        lines += [
            f"/* A call gives parameters of the session new values: {named}.",
            " * These read and write one by its name; bytes: of all its elements. */",
            f"int32_t {name}_get({name}_session* session, const char* name, void* values, "
            "size_t bytes);",
            f"int32_t {name}_set({name}_session* session, const char* name, const void* values, "
            "size_t bytes);",
            "",
        ]
    lines += [
        "/* Threads that compute, the caller's included; of all sessions. */",
        f"int32_t {name}_set_threads(int32_t count);",
        f"const char* {name}_error(void);",
        "",
        f"enum {{ {upper}_DATA_BYTES = {_data_bytes(graph)} }}; /* of its tensors */",
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _data_bytes(graph: Graph) -> int:
    return sum(x.nbytes for x in graph._stand)


def _functions(
    name: str,
    graph: Graph,
    choices: list[dict[str, int]],
    order: list[str],
    inputs: list[_Value],
    outputs: list[_Value],
    threads: int,
) -> str:
    """The functions of the header, by those that every bundle has."""
    several = len(choices) > 1
    sizes = order if several else [str(choices[0][size]) for size in order]
    session = "(sn_bundle_session*)session"
    lines = [
        f'#include "{name}.h"',
        'extern "C" {',
        f"int32_t {name}_open({name}_session** session) {{",
        "    static const int32_t threads = [] {",
        f"        return {f'sn_bundle_set_threads({threads})' if threads else '0'};",
        "    }();",
        "    if (threads) return threads;",
        "    return sn_bundle_open(0, (sn_bundle_session**)session);",
        "}",
        f"void {name}_close({name}_session* session) {{ sn_bundle_close({session}); }}",
        f"int32_t {name}_run({_parameters(name, order, inputs, outputs, len(choices))}) {{",
        f"    const int64_t sizes[] = {{{', '.join([*sizes, '0'])}}};",
        f"    const void* inputs[] = {{{', '.join([*(x.name for x in inputs), '0'])}}};",
        f"    void* outputs[] = {{{', '.join([*(x.name for x in outputs), '0'])}}};",
        f"    return sn_bundle_run({session}, sizes, inputs, outputs);",
        "}",
        f"int32_t {name}_set_threads(int32_t count) {{ return sn_bundle_set_threads(count); }}",
        f"const char* {name}_error(void) {{ return sn_bundle_error(); }}",
    ]
    if graph._program.draws():
        lines += [
            f"int32_t {name}_set_generator({name}_session* session, uint64_t seed, "
            "uint64_t draws) {",
            f"    return sn_bundle_set_generator({session}, seed, draws);",
            "}",
        ]
    if graph._updates:
        for function, const in (("get", ""), ("set", "const ")):
            lines += [
                f"int32_t {name}_{function}({name}_session* session, const char* name, "
                f"{const}void* values, size_t bytes) {{",
                f"    return sn_bundle_{function}({session}, name, values, bytes);",
                "}",
            ]
    return "\n".join([*lines, "}", ""])


def _elsewhere(
    graph: Graph,
    folder: str,
    name: str,
    choices: list[dict[str, int]],
    threads: int,
    cxx: str,
    isa: str,
    work: str,
) -> Bundle:
    """The same in a process whose kernels have the registers of the bundle's."""
    path = os.path.join(work, "model.sn")
    graph.save(path)
    words = [sys.executable, "-m", "sennit", "bundle", path, "-o", os.path.abspath(folder)]
    words += ["--name", name, "--threads", str(threads), "--compiler", cxx]
    if graph.sizes:
        words += ["--sizes", *(",".join(f"{k}={v}" for k, v in c.items()) for c in choices)]
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    env = dict(os.environ, SENNIT_ISA=isa, PYTHONPATH=os.pathsep.join(paths))
    done = subprocess.run(words, check=False, text=True, capture_output=True, env=env)
    if done.returncode:
        raise error(_core.FileError, "bundle", done.stderr.strip() or "the other process failed")
    return Bundle(
        os.path.join(folder, f"lib{name}.a"),
        os.path.join(folder, f"{name}.h"),
        name,
        _data_bytes(graph),
    )
