"""Where the C and C++ runtime lies that comes with the package, and its command."""

from __future__ import annotations

import os
import sys

from . import _core
from ._errors import error

__all__ = ["get_include", "get_library_dir"]

_ROOT = os.path.dirname(os.path.abspath(__file__))


def _folder(name: str, op: str) -> str:
    path = os.path.join(_ROOT, name)
    if not os.path.isdir(path):
        raise error(
            _core.FileError,
            op,
            f"{path} does not exist: this build of Sennit has no C++ runtime; install a wheel, or "
            "build with -DSENNIT_RUNTIME=ON",
        )
    return path


def get_include() -> str:
    """The folder of the C and C++ headers, for the compiler's ``-I``.

    Returns
    -------
    str

    Raises
    ------
    FileError
        When the package was built without the C++ runtime.

    Examples
    --------
    >>> import os
    >>> os.path.basename(sn.get_include())
    'include'
    """
    return _folder("include", "get_include")


def get_library_dir() -> str:
    """The folder of ``libsennit.so``, with CMake's and pkg-config's files for it.

    ``cmake -Dsennit_DIR=<this>/cmake/sennit`` finds the package ``sennit`` with its target
    ``sennit::sennit``; pkg-config finds it with ``PKG_CONFIG_PATH=<this>/pkgconfig``.

    Returns
    -------
    str

    Raises
    ------
    FileError
        When the package was built without the C++ runtime.

    Examples
    --------
    >>> import os
    >>> os.path.basename(sn.get_library_dir())
    'lib'
    """
    return _folder("lib", "get_library_dir")


def main() -> None:
    """The command ``sennit-run``: the program of the C++ runtime takes this process's place."""
    program = os.path.join(_folder("bin", "sennit-run"), "sennit-run")
    os.execv(program, [program, *sys.argv[1:]])
