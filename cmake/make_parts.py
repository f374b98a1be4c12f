"""Makes what `sennit bundle` links: an archive of the runtime's kernels, and where each one is.

    make_parts.py OUT CXX OBJCOPY NM AR KERNELS HOST BUNDLE MAP

KERNELS, HOST, BUNDLE and MAP name files that list objects: kernels of one instruction set, the rest
of the runtime, the code of bundles, and the program that prints addresses. Kernels are local to
their objects, and several have one name; here each gets a short one of its own, so that a bundle
can ask for those that its model needs. The result is OUT/libsennit_parts.a and OUT/parts.txt
(docs/design/017-bundle.md).
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

# Of the rest of the runtime: the executor, and what lies under it. What a bundle has a version of
# its own of is left out.
HOST = ("/base/", "/engine/", "/memory/", "/backend/", "/plan/run.")
REPLACED = (
    "/cpu_tables.",
    "/kernel_sets.",
    "/cpu/wrap.",
    "/cpu/probe.",
    "/needs.",
    "/engine/engine.",
)


def run(*words: str | Path) -> str:
    done = subprocess.run([str(w) for w in words], check=False, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"make_parts.py: {words[0]} failed\n{done.stderr}")
    return done.stdout


def symbols(nm: str, path: Path) -> list[tuple[str, str, str]]:
    """Address, type and name of everything that a file defines."""
    found = []
    for line in run(nm, "--defined-only", path).splitlines():
        words = line.split()
        if len(words) == 3:
            found.append((words[0], words[1], words[2]))
    return found


def make_weak(path: Path) -> None:
    """Makes the "unique" symbols of an ELF object weak ones: objcopy cannot hide those of a bundle.

    Such are the variables of inline functions, one for a process over all of its libraries; a
    bundle has its own.
    """
    data = bytearray(path.read_bytes())
    (sections,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    for k in range(count):
        _, kind, _, _, at, length = struct.unpack_from("<IIQQQQ", data, sections + k * size)
        if kind != 2:  # a table of symbols
            continue
        for symbol in range(at, at + length, 24):
            binding, what = data[symbol + 4] >> 4, data[symbol + 4] & 15
            if binding == 10:
                data[symbol + 4] = 2 << 4 | what
    path.write_bytes(data)


def main() -> None:
    out = Path(sys.argv[1])
    cxx, objcopy, nm, ar = sys.argv[2:6]
    kernels, host, bundle, tool = (
        [Path(line) for line in Path(name).read_text("utf-8").split()] for name in sys.argv[6:10]
    )
    wrappers = [p for p in host if "/cpu/wrap_" in str(p)]
    work = out / "objects"
    work.mkdir(parents=True, exist_ok=True)
    parts: list[str] = []
    halves: set[str] = set()
    renamed = []
    for i, path in enumerate([*kernels, *wrappers]):
        local = [name for _, kind, name in symbols(nm, path) if kind == "t"]
        weak = [name for _, kind, name in symbols(nm, path) if kind == "W"]
        parts += [name for name in weak if name.startswith("sn_part_")]
        # Templates on how 16-bit floats are stored.
        halves |= {f"bf16 {name}" for name in weak if "4Bf16" in name}
        halves |= {f"f16 {name}" for name in weak if "3F16" in name and "4Bf16" not in name}
        names = {name: f"sn_{i}_{k}" for k, name in enumerate(dict.fromkeys(local))}
        made = work / f"{i}_{path.name}"
        plain, lists = work / "plain.o", [work / "redefine.txt", work / "globalize.txt"]
        lists[0].write_text("".join(f"{a} {b}\n" for a, b in names.items()), "utf-8")
        lists[1].write_text("".join(f"{b}\n" for b in names.values()), "utf-8")
        shutil.copy(path, plain)
        if names:  # a list without any is an error for objcopy
            run(objcopy, f"--redefine-syms={lists[0]}", plain)
            run(objcopy, f"--globalize-symbols={lists[1]}", plain)
        run(objcopy, "--strip-unneeded", plain, made)
        make_weak(made)
        plain.unlink()
        renamed.append(made)

    others = [p for p in host if p not in wrappers]
    program = work / "parts_map"
    run(cxx, "-no-pie", "-o", program, *tool, *renamed, *others, "-lpthread", "-ldl")
    by_address: dict[int, str] = {}
    for address, kind, name in symbols(nm, program):
        if kind in "TW":
            by_address[int(address, 16)] = name
    lines = []
    for line in run(program).splitlines():
        words = line.split()
        addresses = [int(w, 16) for w in words[2:]]
        if any(a and a not in by_address for a in addresses):
            sys.exit(f"make_parts.py: a kernel has no name: {line}")
        lines.append(" ".join([*words[:2], *(by_address.get(a, "-") for a in addresses)]))
    lines += [f"part {name}" for name in sorted(parts)]
    lines += [f"half {name}" for name in sorted(halves)]
    (out / "parts.txt").write_text("\n".join(lines) + "\n", "utf-8")

    needed = [
        p
        for p in others
        if any(part in str(p) for part in HOST) and not any(part in str(p) for part in REPLACED)
    ]
    lean = []
    for k, path in enumerate([*needed, *bundle]):
        lean.append(work / f"host{k}_{path.name}")
        run(objcopy, "--strip-unneeded", path, lean[-1])
        make_weak(lean[-1])
    archive = out / "libsennit_parts.a"
    archive.unlink(missing_ok=True)
    run(ar, "rcsD", archive, *renamed, *lean)


main()
