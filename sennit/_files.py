"""Saving and loading tensors: the safetensors format, written and checked by ourselves.

A file is eight bytes (the length of the header, little-endian), the header (JSON: name to dtype,
shape and byte range), and the elements. Nothing in it can be run.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from typing import Any

from . import _core
from ._errors import error

__all__ = ["load", "save"]

# Format name: (our dtype, NumPy's type of the same bits).
_DTYPES = {
    "BOOL": (_core.bool, "|b1"),
    "U8": (_core.uint8, "|u1"),
    "I8": (_core.int8, "|i1"),
    "U16": (_core.uint16, "<u2"),
    "I16": (_core.int16, "<i2"),
    "F16": (_core.float16, "<f2"),
    "BF16": (_core.bfloat16, "<u2"),
    "U32": (_core.uint32, "<u4"),
    "I32": (_core.int32, "<i4"),
    "F32": (_core.float32, "<f4"),
    "U64": (_core.uint64, "<u8"),
    "I64": (_core.int64, "<i8"),
    "F64": (_core.float64, "<f8"),
    "C64": (_core.complex64, "<c8"),
}
_NAMES = {ours: name for name, (ours, _) in _DTYPES.items()}
_DIGEST = "sha256"  # the metadata's key of our checksum
GRAPH = "sennit.graph"  # ... of a graph; see _graph.py
_MAX_HEADER = 100_000_000  # bytes; the format's own limit
_ALIGN = 64
_MAX_RANK = 64


def _bad(op: str, path: object, what: str, advice: str = "fetch or save the file again") -> Any:
    return error(_core.FileError, op, f"{path}: {what}; {advice}")


def _digest(entries: Mapping[str, Any], metadata: Mapping[str, str], *data: Any) -> str:
    """The checksum of names, dtypes, shapes, metadata and elements."""
    plain = {k: v for k, v in metadata.items() if k != _DIGEST}
    text = json.dumps([entries, plain], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(text.encode("ascii"))
    for part in data:
        digest.update(part)
    return digest.hexdigest()


def _elements(x: _core.Tensor) -> memoryview:
    """The bytes of a tensor, in row-major order; without a copy where it lies so already."""
    if x.size == 0:
        return memoryview(b"")
    plain = x.detach().to("cpu")
    if plain.dtype.is_complex:  # memory views have no format for complex numbers
        plain = _core.functions["view_as_real"](plain)
    return memoryview(_core.functions["contiguous"](plain)).cast("B")


def save(
    tensors: Any, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes tensors to a safetensors file.

    The file appears complete or not at all: it is written beside its place, flushed to the disk,
    and renamed. A checksum goes into its metadata, which `load` verifies.

    Parameters
    ----------
    tensors : dict of str to Tensor, or Module
        Arrays are fine too. A module's `state_dict` is taken.
    path : path
        Usually ending in ``.safetensors``.
    metadata : dict of str to str, optional
        What else to keep; ``load(path, with_metadata=True)`` gives it back.

    Raises
    ------
    InvalidType
        When names or metadata are not strings.
    FileError
        When the file cannot be written; an older one is still there.

    References
    ----------
    The safetensors format: https://github.com/huggingface/safetensors

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
    >>> sn.save({"w": sn.ones((2, 2))}, path)
    >>> sn.load(path)["w"].tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    found = tensors.state_dict() if hasattr(tensors, "state_dict") else tensors
    if not isinstance(found, Mapping):
        raise error(
            _core.InvalidType,
            "save",
            f"the first argument is a {type(tensors).__name__}; it must be a dict of tensors or a "
            "module",
        )
    extra = dict(metadata or {})
    for key, value in extra.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise error(
                _core.InvalidType, "save", f"metadata has {key!r}: {value!r}; both must be strings"
            )
    if _DIGEST in extra:
        raise error(
            _core.InvalidValue, "save", f"metadata has the key '{_DIGEST}', which save sets itself"
        )
    listed: dict[str, _core.Tensor] = {}
    for name, value in found.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise error(
                _core.InvalidType,
                "save",
                f"a tensor is named {name!r}; a name must be a string other than '__metadata__'",
            )
        listed[name] = _core.asarray(value)
        if listed[name].dtype not in _NAMES:
            raise error(
                _core.DTypeError,
                "save",
                f"tensor {name!r} is {listed[name].dtype.name}, which the format does not have; "
                "convert it with x.astype(sn.complex64), or save sn.view_as_real(x)",
            )

    # Wide elements first, so that everything is aligned without gaps, which the format forbids.
    order = sorted(listed, key=lambda name: -listed[name].itemsize)
    ranges: dict[str, list[int]] = {}
    at = 0
    for name in order:
        ranges[name] = [at, at + listed[name].nbytes]
        at += listed[name].nbytes
    entries = {
        name: {"dtype": _NAMES[x.dtype], "shape": list(x.shape), "data_offsets": ranges[name]}
        for name, x in listed.items()
    }
    parts = [_elements(listed[name]) for name in order]
    head = {"__metadata__": {**extra, _DIGEST: _digest(entries, extra, *parts)}, **entries}
    text = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-(8 + len(text)) % _ALIGN)
    if len(text) > _MAX_HEADER:
        raise error(
            _core.InvalidValue,
            "save",
            f"the header takes {len(text):,} bytes; the format allows {_MAX_HEADER:,}; use fewer "
            "tensors or shorter names",
        )
    _write(os.fspath(path), [struct.pack("<Q", len(text)), text, *parts])


def _write(path: str, parts: list[Any]) -> None:
    """Writes beside the place, flushes to the disk, renames, and flushes the folder."""
    folder = os.path.dirname(os.path.abspath(path))
    temporary = os.path.join(folder, f".{os.path.basename(path)}.{os.getpid()}.tmp")
    try:
        try:
            with open(temporary, "wb") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as cause:
        raise _bad("save", path, f"cannot be written ({cause})", "check the folder") from cause


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [k for k, _ in pairs]
        twice = next(k for k in names if names.count(k) > 1)
        raise ValueError(f"the key {twice!r} occurs twice")
    return made


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON number")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _parse(path: str, text: bytes, size: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Entries and metadata of a header, every field checked against the `size` bytes of data."""
    try:
        head = json.loads(
            text.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as cause:
        raise _bad("load", path, f"the header is no valid JSON ({cause})") from cause
    if not text.startswith(b"{") or not isinstance(head, dict):
        raise _bad("load", path, "the header is no JSON object")
    metadata = head.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _bad("load", path, "the metadata is no object of strings")
    for name, entry in head.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise _bad("load", path, f"tensor {name!r} has not just dtype, shape and data_offsets")
        kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(kind, str) or kind not in _DTYPES:
            known = ", ".join(_DTYPES)
            raise _bad("load", path, f"tensor {name!r} has dtype {kind!r}; known are {known}")
        if not isinstance(shape, list) or len(shape) > _MAX_RANK or not all(map(_is_count, shape)):
            raise _bad("load", path, f"tensor {name!r} has shape {str(shape)[:200]}")
        if (
            not isinstance(offsets, list)
            or len(offsets) != 2
            or not all(map(_is_count, offsets))
            or not offsets[0] <= offsets[1] <= size
        ):
            raise _bad(
                "load",
                path,
                f"tensor {name!r} has the bytes {str(offsets)[:100]} of {size:,} in the file",
            )
        needed = _DTYPES[kind][0].itemsize
        for n in shape:
            needed *= n
        if needed != offsets[1] - offsets[0]:
            raise _bad(
                "load",
                path,
                f"tensor {name!r} has {offsets[1] - offsets[0]:,} bytes; {kind} of shape {shape} "
                f"takes {needed:,}",
            )
    at = 0
    for name in sorted(head, key=lambda n: head[n]["data_offsets"]):
        start, stop = head[name]["data_offsets"]
        if start != at:
            what = "overlaps another" if start < at else "leaves a gap before it"
            raise _bad("load", path, f"tensor {name!r} {what}, at byte {start:,}")
        at = stop
    if at != size:
        raise _bad("load", path, f"the tensors have {at:,} bytes and the file has {size:,}")
    return head, metadata


def load(path: str | os.PathLike[str], device: Any = None, with_metadata: bool = False) -> Any:
    """Reads a safetensors file, ours or anybody's, or a graph that `Graph.save` wrote.

    Everything is checked before it is believed: the header, every offset, shape and dtype, that no
    bytes overlap or are left over, and, where the file has it, the checksum.

    Parameters
    ----------
    path : path
    device : str, optional
        Where the tensors go; "cpu" by default.
    with_metadata : bool
        Whether to return the file's metadata too.

    Returns
    -------
    dict of str to Tensor, or Graph
        With `with_metadata` a pair of that and a dict of str to str.

    Raises
    ------
    FileError
        When the file cannot be read, is damaged, or is no safetensors file.
    DeviceError
        When a graph is to be put elsewhere than on the CPU.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "weights.safetensors")
    >>> sn.save(sn.nn.Linear(2, 1), path, metadata={"epoch": "3"})
    >>> state, metadata = sn.load(path, with_metadata=True)
    >>> list(state), metadata
    (['weight', 'bias'], {'epoch': '3'})
    """
    import numpy as np

    name_of_file = os.fspath(path)
    try:
        with open(name_of_file, "rb") as file:
            total = os.fstat(file.fileno()).st_size
            first = file.read(8)
            if len(first) < 8:
                raise _bad("load", name_of_file, f"it has {len(first)} bytes; a header takes 8")
            (length,) = struct.unpack("<Q", first)
            if length > min(_MAX_HEADER, total - 8):
                raise _bad(
                    "load",
                    name_of_file,
                    f"the header takes {length:,} bytes by its own account, the file has {total:,}",
                    "it is truncated or no safetensors file",
                )
            text = file.read(length)
            entries, metadata = _parse(name_of_file, text, total - 8 - length)
            # Elements start at a multiple of 64 bytes in memory, whatever the header's length.
            block = np.empty(total - 8 - length + _ALIGN, np.uint8)
            skip = -block.ctypes.data % _ALIGN
            data = block[skip : skip + total - 8 - length]
            view = data.data
            at = 0
            while at < len(view):
                count = file.readinto(view[at:])
                if not count:
                    raise _bad("load", name_of_file, "it became shorter while it was read")
                at += count
    except OSError as cause:
        if isinstance(cause, _core.SennitError):
            raise
        raise _bad("load", name_of_file, f"cannot be read ({cause})", "check the path") from cause
    expected = metadata.pop(_DIGEST, None)
    if expected is not None and expected != _digest(entries, metadata, view):
        raise _bad("load", name_of_file, "the checksum does not fit: the file is damaged")
    data.flags.writeable = False  # read-only memory is shared, not copied
    tensors: dict[str, _core.Tensor] = {}
    for name, entry in entries.items():
        dtype, stored = _DTYPES[entry["dtype"]]
        start, stop = entry["data_offsets"]
        part = data[start:stop]
        if start % dtype.itemsize:
            part = part.copy()
        array = part.view(np.dtype(stored)).reshape(entry["shape"])
        if dtype == _core.bool and array.size and int(part.max()) > 1:
            raise _bad("load", name_of_file, f"tensor {name!r} has bytes other than 0 and 1")
        if dtype == _core.bfloat16:
            # The upper half of a float32 is that number: converting back rounds nothing.
            wide = (array.astype("<u4") << np.uint32(16)).view("<f4")
            tensors[name] = _core.asarray(wide).to(dtype)
        else:
            tensors[name] = _core.asarray(array)
        if device is not None:
            tensors[name] = tensors[name].to(device)
    loaded: Any = tensors
    graph = metadata.pop(GRAPH, None)
    if graph is not None:
        from ._graph_files import read_graph

        if device is not None and str(device) != "cpu":
            raise error(
                _core.DeviceError,
                "load",
                f"{name_of_file} holds a graph, which runs on the CPU; device is {device!r}; leave "
                "it out",
            )
        loaded = read_graph(name_of_file, graph, tensors)
    return (loaded, metadata) if with_metadata else loaded
