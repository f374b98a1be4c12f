"""With which definitions the wrappers compile the kernel sources: a list of sets for each file.

They come from the wrappers themselves: a set that is not declared there cannot be compiled.
"""

from __future__ import annotations

import sennit as sn

DEFINITIONS: dict[str, list[list[str]]] = {}
for _file, _entry, _sets in sn._core.cuda_kernels():
    _known = DEFINITIONS.setdefault(_file, [])
    _known += [s for s in _sets if s not in _known]
