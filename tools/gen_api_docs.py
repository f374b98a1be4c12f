"""Writes the reference, docs/api/*.md, from the docstrings: one page per family of functions.

    python tools/gen_api_docs.py

MkDocs runs it before each build (see mkdocs.yml), so the pages are never committed. The tests of
the docstrings take the list of public names from here.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# Functions of the registry stand on the page of the file of core/op/ that holds them.
FAMILIES = {
    "creation_functions": "Creation",
    "elementwise": "Elementwise",
    "arithmetic_functions": "Arithmetic",
    "reduce": "Reductions",
    "statistics_functions": "Statistics, running extremes, differences",
    "counting_functions": "Histograms, searches, distinct elements",
    "linalg": "Products",
    "product_functions": "Sums of products",
    "movement_functions": "Shape and movement",
    "shape_functions": "Splitting, joining, diagonals, windows",
    "indexing_functions": "Indexing",
    "scatter_functions": "Scattering and positions",
    "sorting": "Sorting, searching and scans",
    "complex_functions": "Complex numbers",
    "nn": "Normalisation and softmax",
    "losses": "Losses",
    "ctc": "Alignment of sequences",
    "conv": "Convolution",
    "pool": "Pooling",
    "random": "Random tensors",
    "special_functions": "Special functions (sn.special)",
}
MODULES = {
    "autograd": "Gradients",
    "fft": "Fourier transforms (sn.fft)",
    "linalg": "Linear algebra (sn.linalg)",
    "models": "Networks (sn.models)",
    "nn": "Layers (sn.nn)",
    "nn.functional": "Functions of layers (sn.nn.functional)",
    "nn.init": "Initialisers (sn.nn.init)",
    "nn.graph": "Layers on graphs (sn.nn.graph)",
    "metrics": "Metrics (sn.metrics)",
    "nn.parameter": "Parameters and buffers (sn.nn.parameter)",
    "nn.utils": "Tools for models (sn.nn.utils)",
    "nn.utils.parametrize": "Parametrizations (sn.nn.utils.parametrize)",
    "nn.utils.parametrizations": "Norms of weights (sn.nn.utils.parametrizations)",
    "nn.utils.rnn": "Sequences (sn.nn.utils.rnn)",
    "optim": "Optimisers (sn.optim)",
    "optim.schedule": "Schedules (sn.optim.schedule)",
    "optim.lr_scheduler": "Schedulers (sn.optim.lr_scheduler)",
    "masked": "Masked reductions (sn.masked)",
    "signal.windows": "Windows (sn.signal.windows)",
    "data": "Data (sn.data)",
    "train": "Training (sn.train)",
    "onnx": "Exchange of models (sn.onnx)",
    "viz": "Pictures (sn.viz)",
}


@dataclass
class Entry:
    """A public name, where it is documented, and what it is."""

    page: str
    name: str  # as users write it after `sn.`
    value: Any
    alias_of: str = ""

    @property
    def doc(self) -> str:
        if isinstance(self.value, property | type) or callable(self.value):
            return inspect.getdoc(self.value) or ""
        # An object of the package: what its class says. A number or a dtype says nothing.
        kind = type(self.value)
        return (inspect.getdoc(kind) or "") if kind.__module__.startswith("sennit") else ""

    @property
    def is_constant(self) -> bool:
        """Numbers, dtypes and error classes: a list says all that there is to say."""
        import sennit as sn

        if isinstance(self.value, type) and issubclass(self.value, Exception):
            return True
        return self.value is None or isinstance(self.value, float | int | str | sn.dtype)


def family_files() -> dict[str, str]:
    """The file of core/op/ that registers each function; elementwise ones come from lists."""
    found = {}
    for path in sorted((ROOT / "core" / "op").glob("*.cpp")):
        for name in re.findall(r'"([\w.]+)\(\*?[\w|]+: ', path.read_text()):
            found[name] = path.stem
    # Names that are put together (conv1d, conv2d ...) stand where their neighbours do.
    import sennit as sn

    files, last = {}, "elementwise"
    for function in sn._core.functions.values():
        name = function.registry_signature.split("(")[0]
        stem = name.rstrip("0123456789d") if name[-1] == "d" else name.split("d_with")[0]
        prefix = next((f for f in ("conv", "pool") if f in stem), "")
        last = files[name] = found.get(name) or prefix or last
    return files


def modules() -> Iterator[tuple[str, Any]]:
    """The public modules that exist, by their name after `sn.`."""
    for name in MODULES:
        try:
            yield name, importlib.import_module(f"sennit.{name}")
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("sennit."):
                raise


def public_entries() -> list[Entry]:
    """Every public name of Sennit, once."""
    import sennit as sn

    files = family_files()
    entries, seen = [], set()

    def of_registry(name: str, function: Any, prefix: str) -> None:
        canonical = function.registry_signature.split("(")[0]
        special = canonical.startswith("special.")
        page = "special_functions" if special else files.get(canonical, "elementwise")
        own = canonical.removeprefix(prefix)
        alias = "" if own == name else canonical
        entries.append(Entry(page, prefix + name, function, alias))

    # A name stands on the page of its module, and once; modules that are only namespaces do not.
    for module, value in modules():
        names = getattr(value, "__all__", None)
        if names is None:
            names = [n for n, v in vars(value).items() if n[0] != "_" and not inspect.ismodule(v)]
        for name in names:
            member = getattr(value, name)
            if inspect.ismodule(member) or (hasattr(member, "registry_signature")):
                continue
            entries.append(Entry(module, f"{module}.{name}", member))
            if not isinstance(member, float | int | str | None):
                seen.add(id(member))
    for namespace in (sn.random, sn.special):
        for name in namespace.__all__:
            prefix = namespace.__name__.removeprefix("sennit.") + "."
            of_registry(name, getattr(namespace, name), prefix)
    for name in sn.__all__:
        try:
            value = getattr(sn, name)
        except ModuleNotFoundError:
            continue
        if inspect.ismodule(value) or id(value) in seen:
            continue
        if hasattr(value, "registry_signature"):
            of_registry(name, value, "")
        else:
            entries.append(Entry("machinery" if _is_tool(value) else "tensor", name, value))
    return entries


def _is_tool(value: Any) -> bool:
    module = getattr(value, "__module__", None) or type(value).__module__
    return module.startswith("sennit._") and module not in ("sennit._core", "sennit._api")


def members(kind: type) -> list[tuple[str, Any]]:
    """Public methods and attributes that a class itself defines, or a private base for it."""
    own: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if base is kind or base.__name__[0] == "_":
            own |= vars(base)
    found = []
    for name, value in sorted(own.items()):
        if name[0] == "_" or isinstance(value, type) or not hasattr(value, "__doc__"):
            continue
        if (
            callable(value)
            or isinstance(value, property | staticmethod | classmethod)
            or (inspect.isgetsetdescriptor(value) or inspect.ismethoddescriptor(value))
        ):
            found.append((name, value))
    return found


def signature_text(entry: Entry) -> str:
    signature = getattr(entry.value, "registry_signature", None)
    if signature:
        arguments, _, result = signature.partition("(")[2].rpartition(") -> ")
        return f"sn.{entry.name}({arguments}) -> {result}"
    try:
        return f"sn.{entry.name}{inspect.signature(entry.value)}"
    except (TypeError, ValueError):
        return f"sn.{entry.name}"


def markdown(doc: str) -> str:
    """A NumPy-style docstring as Markdown: sections as bold lines, examples as code."""
    out: list[str] = []
    lines = doc.splitlines()
    code = False
    for i, line in enumerate(lines):
        underlined = i + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[i + 1])
        if underlined:
            out += ["", f"**{line}**", ""]
            continue
        if re.fullmatch(r"-{3,}", line):
            continue
        if line.startswith(">>>") and not code:
            out += ["", "```python"]
            code = True
        if code and not line.strip():
            out.append("```")
            code = False
        field = re.fullmatch(r"(\S[^:]*) : (.+)", line)
        if field and not code:
            out.append(f"- `{field[1]}`: {field[2]}")
        else:
            out.append(line if code or not line.startswith("    ") else f"  {line.strip()}")
    if code:
        out.append("```")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


def body(entry: Entry) -> str:
    doc = entry.doc
    if hasattr(entry.value, "registry_signature"):
        doc = doc.partition("\n\n")[2]  # its first line is the call
    text = markdown(doc.replace("``", "`"))  # before the fences are added
    parts = [f"### sn.{entry.name}\n", f"```text\n{signature_text(entry)}\n```\n", text, ""]
    if isinstance(entry.value, type) and not issubclass(entry.value, Exception):
        for name, value in members(entry.value):
            if hasattr(value, "registry_signature"):
                continue  # a function of the namespace, as a method
            summary = (inspect.getdoc(value) or "").strip().split("\n\n")
            parts.append(textwrap.indent(f"- `.{name}`: {' '.join(summary[-1].split())}", ""))
        parts.append("")
    return "\n".join(parts)


def pages() -> dict[str, str]:
    """The text of every page, by its file name."""
    titles = {"tensor": "Tensors, dtypes and conversion", **FAMILIES,
              "machinery": "Files and machinery", **MODULES}  # fmt: skip
    by_page: dict[str, list[Entry]] = {}
    for entry in public_entries():
        by_page.setdefault(entry.page, []).append(entry)
    texts = {}
    index = ["# Reference", "", "| page | names |", "|---|---|"]
    for page in sorted(by_page, key=lambda p: (list(titles) + [p]).index(p)):
        entries = sorted(by_page[page], key=lambda e: e.name.lower())
        title = titles.get(page, page)
        text = [f"# {title}", ""]
        constants = [e for e in entries if e.is_constant]
        if constants:
            text += [" · ".join(f"`sn.{e.name}`" for e in constants), ""]
        for entry in entries:
            if entry.is_constant:
                continue
            if entry.alias_of:
                text += [f"### sn.{entry.name}\n", f"Another name of `sn.{entry.alias_of}`.", ""]
            else:
                text.append(body(entry))
        file = page.replace(".", "-") + ".md"
        texts[file] = "\n".join(text).rstrip() + "\n"
        index.append(f"| [{title}]({file}) | {len(entries)} |")
    texts["index.md"] = "\n".join(index) + "\n"
    return texts


def write() -> list[Path]:
    """Writes the pages; files that are as they should be stay untouched."""
    folder = ROOT / "docs" / "api"
    folder.mkdir(exist_ok=True)
    written = []
    for name, text in pages().items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            written.append(path)
    return written


def on_pre_build(config: Any) -> None:
    """MkDocs calls this before it reads docs/."""
    write()


if __name__ == "__main__":
    print(f"{len(write())} pages written to docs/api/")
