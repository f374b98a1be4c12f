"""Check what the built code asks of the machine, and that no instruction set leaks into another.

    python tools/check_symbols.py MODULE.so        # what the Python module imports
    python tools/check_symbols.py BUILD_FOLDER     # the objects of the CPU kernels

Two promises are checked. (1) No BLAS, no OpenMP, and no function of libm whose last bits differ
from one machine to the next: Sennit has its own exp, log, tanh, ... Functions whose result is
exact or correctly rounded by definition (sqrt, floor, fma, fmod, ldexp, ...) may be used. (2) A
kernel object for AVX2 or AVX-512 defines no weak function outside of its own namespace: the linker
keeps one copy of each weak function, and if it kept that one, a CPU without AVX-512 would run it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from elftools.elf.elffile import ELFFile

SYSTEM_LIBRARIES = re.compile(
    r"^(lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+)\.so\.\d+|ld-linux[\w-]*\.so\.\d)$"
)
INEXACT_MATH = re.compile(
    r"^(__)?(exp|exp2|exp10|expm1|log|log2|log10|log1p|pow|sin|cos|sincos|tan|sinh|cosh|tanh|asin|acos"
    r"|atan|atan2|asinh|acosh|atanh|erf|erfc|tgamma|lgamma|gamma|cbrt|hypot|j0|j1|jn|y0|y1|yn)"
    r"[fl]?(_r)?(_finite)?$"
)
FOREIGN_MATH = re.compile(r"^(GOMP_|omp_|__kmpc_|cblas_|LAPACKE?_|_ZGV|mkl_|[sdcz]gemm_$)")
WIDE_LEVELS = ("avx2", "avx512")


def symbols(path: Path) -> Iterator[tuple[str, bool, str, str]]:
    """Yields (name, defined, binding, type) of every symbol of an ELF file."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        for table in (".dynsym", ".symtab"):
            section = elf.get_section_by_name(table)
            for symbol in section.iter_symbols() if section else ():
                info = symbol["st_info"]
                yield symbol.name, symbol["st_shndx"] != "SHN_UNDEF", info["bind"], info["type"]


def check_module(path: Path) -> list[str]:
    """What is wrong with the imports of a shared object; empty when nothing is."""
    with path.open("rb") as file:
        dynamic = ELFFile(file).get_section_by_name(".dynamic")
        needed = [tag.needed for tag in dynamic.iter_tags() if tag.entry.d_tag == "DT_NEEDED"]
    bad = [f"needs the library {name}" for name in needed if not SYSTEM_LIBRARIES.match(name)]
    for name, defined, _, _ in set(symbols(path)):
        if not defined and (INEXACT_MATH.match(name) or FOREIGN_MATH.match(name)):
            bad.append(f"imports {name}, whose bits differ between machines")
    return sorted(bad)


def check_kernels(build: Path) -> list[str]:
    """Weak functions of wide kernel objects that other code could be linked to."""
    bad = []
    for level in WIDE_LEVELS:
        # The namespace as it stands in a mangled name, and parts (core/backend/cpu/part.h).
        own = re.compile(f"{len(level)}{level}|^sn_part_{level}_")
        for path in sorted(build.glob(f"CMakeFiles/sn_kernels_{level}.dir/**/*.o")):
            for name, defined, binding, kind in symbols(path):
                weak = binding in ("STB_WEAK", "STB_LOOS")
                if defined and weak and kind == "STT_FUNC" and not own.search(name):
                    bad.append(f"{level}/{path.name} defines the weak function {name}")
    return bad


def main() -> int:
    bad = []
    for word in sys.argv[1:]:
        path = Path(word)
        bad += check_kernels(path) if path.is_dir() else check_module(path)
    print("\n".join(bad) if bad else "symbols: nothing is wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
