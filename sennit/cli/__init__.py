"""The command ``sennit``: looking at models, and at what Sennit found on this machine."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sennit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    view = commands.add_parser(
        "view",
        help="look at a model",
        description="Opens a model in Netron (pip install 'sennit[view]'); a saved graph through "
        "its ONNX form. With --draw, writes our own picture instead.",
    )
    view.add_argument("model", help="a file that Graph.save wrote (.sn), or what Netron opens")
    view.add_argument("--draw", metavar="FILE", help="write a .html or .svg picture of a .sn file")
    view.add_argument("--plan", metavar="FILE", help="write a picture of its memory plan")
    view.add_argument("--opset", type=int, default=18, help="version of ONNX's operators (18)")
    view.add_argument("--port", type=int, default=None, help="where Netron serves the page")
    view.add_argument("--no-browser", action="store_true", help="serve the page, open no browser")
    bundle = commands.add_parser(
        "bundle",
        help="make a static library of a model",
        description="Writes lib<name>.a, which holds a saved graph with the kernels that it needs "
        "and nothing else, and <name>.h, its C interface. A C++ compiler links it.",
    )
    bundle.add_argument("model", help="a file that Graph.save wrote (.sn)")
    bundle.add_argument("-o", "--output", metavar="FOLDER", default=".", help="where it goes (.)")
    bundle.add_argument("--name", help="what its functions' names begin with (the file's name)")
    bundle.add_argument(
        "--sizes", nargs="+", default=[], metavar="NAME=N,...",
        help="the open sizes of the model, as in n=1,t=8; several choices may be given",
    )  # fmt: skip
    bundle.add_argument("--threads", type=int, default=0, help="threads (0: all processors)")
    bundle.add_argument("--compiler", help="the C++ compiler that links it ($CXX, or c++)")
    pack = commands.add_parser(
        "cuda-pack",
        help="compile a program's CUDA kernels ahead of time",
        description="Runs a program that uses a GPU, and writes the kernels that it needed to one "
        "file. With SENNIT_CUDA_PACK=FILE a machine without NVRTC runs the same program.",
    )
    pack.add_argument("-o", "--output", metavar="FILE", default="kernels.snpack")
    pack.add_argument(
        "--arch", default="", metavar="sm_80,sm_90", help="architectures (that of the first GPU)"
    )
    pack.add_argument("--all", action="store_true", help="every kernel of the library, too")
    pack.add_argument("script", nargs=argparse.REMAINDER, help="a program and its arguments")
    commands.add_parser("doctor", help="what Sennit found on this machine")
    return parser


def _is_ours(path: str) -> bool:
    """Whether a file is one of `Graph.save`: these have a header in front of their JSON."""
    return not path.endswith((".onnx", ".pb", ".tflite", ".pt", ".h5", ".keras"))


def _view(options: Any) -> int:
    import sennit as sn

    path = options.model
    graph = None
    if _is_ours(path):
        graph = sn.load(path)
        if not isinstance(graph, sn.Graph):
            print(f"{path} holds tensors alone; Netron shows them", file=sys.stderr)
            graph = None
    if options.draw or options.plan:
        if graph is None:
            print(f"--draw and --plan are for saved graphs, and {path} is none", file=sys.stderr)
            return 2
        if options.draw:
            graph.draw(options.draw)
            print(options.draw)
        if options.plan:
            sn.viz.plan(graph, options.plan)
            print(options.plan)
        return 0
    try:
        import netron
    except ImportError:
        print(
            "looking at models needs Netron: pip install 'sennit[view]' (or draw a saved graph: "
            f"sennit view {path} --draw graph.html)",
            file=sys.stderr,
        )
        return 1
    if graph is None:
        return _serve(netron, path, options)
    with tempfile.TemporaryDirectory(prefix="sennit-view-") as folder:
        name = os.path.splitext(os.path.basename(path))[0]
        model = os.path.join(folder, f"{name}.onnx")
        graph.to_onnx(model, opset=options.opset)
        return _serve(netron, model, options)


def _bundle(options: Any) -> int:
    import sennit as sn

    choices = []
    for text in options.sizes:
        pairs = [pair.partition("=") for pair in text.split(",")]
        if not all(name and number.isdecimal() for name, _, number in pairs):
            print(f"--sizes is {text!r}; NAME=N,... is required, as in n=1,t=8", file=sys.stderr)
            return 2
        choices.append({name: int(number) for name, _, number in pairs})
    made = sn.bundle(
        options.model,
        options.output,
        name=options.name,
        sizes=choices,
        threads=options.threads,
        compiler=options.compiler,
    )
    size = os.path.getsize(made.library)
    print(f"{made.library}: {size:,} bytes, {made.data_bytes:,} of them tensors\n{made.header}")
    return 0


def _cuda_pack(options: Any) -> int:
    import runpy

    import sennit as sn

    if not options.script and not options.all:
        print("a program is required, or --all", file=sys.stderr)
        return 2
    names = [n for n in options.arch.split(",") if n]
    if wrong := [n for n in names if not (n.startswith("sm_") and n[3:].isdecimal())]:
        print(f"--arch has {wrong[0]!r}; sm_NN is required, as in sm_90", file=sys.stderr)
        return 2
    archs = [int(n[3:]) for n in names]
    if not archs:
        major, minor = sn.cuda.get_device_capability()
        archs = [10 * major + minor]
    core = sn._core
    if options.all:
        core.cuda_note_declared()
    if options.script:
        before = sys.argv, sys.path[0]
        sys.argv, sys.path[0] = options.script, os.path.dirname(os.path.abspath(options.script[0]))
        core.cuda_note_needed(True)
        try:
            runpy.run_path(options.script[0], run_name="__main__")
        except SystemExit as end:
            if end.code not in (None, 0):
                raise
        finally:
            core.cuda_note_needed(False)
            sys.argv, sys.path[0] = before
    count, size = core.cuda_write_needed(options.output, archs)
    print(f"{options.output}: {count:,} kernels, {size:,} bytes")
    return 0


def _serve(netron: Any, path: str, options: Any) -> int:
    address = ("localhost", options.port) if options.port else None
    netron.start(path, address, browse=not options.no_browser)
    netron.wait()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command with these arguments, by default those of the process.

    Returns
    -------
    int
        The exit status: 0 when all went well, 1 when it did not, 2 for wrong arguments.

    Examples
    --------
    >>> from sennit.cli import main
    >>> main(["doctor"]) == 0  # doctest: +ELLIPSIS
    sennit ...
    True
    """
    options = _parser().parse_args(arguments)
    import sennit as sn

    try:
        if options.command == "doctor":
            print(sn.doctor())
            return 0
        if options.command == "cuda-pack":
            return _cuda_pack(options)
        if options.command == "bundle":
            return _bundle(options)
        return _view(options)
    except (sn.SennitError, ImportError, OSError) as cause:
        print(cause, file=sys.stderr)
        return 1
