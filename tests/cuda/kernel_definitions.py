"""With which definitions the wrappers compile the kernel sources: a list of sets for each file.

A source that is not here fails tests/cuda/test_nvrtc.py. One set for each branch of the source is
enough: types are those whose code differs.
"""

from __future__ import annotations

DEFINITIONS: dict[str, list[list[str]]] = {}
