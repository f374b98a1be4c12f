"""Reading ONNX files: nothing in them is believed before it has been checked.

A model is a protobuf message. Beside what protobuf itself refuses (truncated messages, nesting of
more than a hundred levels), this module checks the versions, the tensors (sizes against bytes,
before anything is allocated) and where external data lies: only in files inside the model's own
folder.
"""

from __future__ import annotations

import os
from typing import Any

from .. import _core
from .._core import FileError, InvalidType
from .._errors import error
from ._values import has_dtype

OLDEST_OPSET = 1
_MAX_FILE = 2**31 - 1  # bytes: protobuf's own limit for a message
_MAX_RANK = 64
DEFAULT_DOMAINS = ("", "ai.onnx")


class UnsupportedOp(_core.InvalidValue, NotImplementedError):
    """A model uses an operator, or an option of one, that Sennit does not run.

    The message names the operator and its node. It is also a ``NotImplementedError``.

    Examples
    --------
    >>> issubclass(sn.onnx.UnsupportedOp, sn.SennitError)
    True
    """


def onnx_package() -> Any:
    """The `onnx` package, which reads the format."""
    try:
        import onnx
        import onnx.defs
        import onnx.numpy_helper
    except ImportError as cause:
        raise error(
            _core.InvalidValue,
            "onnx",
            f"the package 'onnx' cannot be imported ({cause}); it reads the format, and is an "
            "optional dependency: pip install sennit[onnx]",
        ) from cause
    return onnx


def bad(what: str, advice: str = "fetch or export the file again", op: str = "onnx") -> Exception:
    """The error about a damaged file."""
    return error(FileError, op, f"{what}; {advice}")


class Source:
    """A parsed model, with the folder in which its external data may lie."""

    def __init__(self, source: Any) -> None:
        onnx = onnx_package()
        self.folder: str | None = None
        self.name = "model"
        if isinstance(source, onnx.ModelProto):
            self.model: Any = source
        else:
            if isinstance(source, bytes | bytearray | memoryview):
                data = bytes(source)
            elif isinstance(source, str | os.PathLike):
                data = self._read(os.fspath(source))
            else:
                raise error(
                    InvalidType,
                    "onnx",
                    f"the model is a {type(source).__name__}; it must be a path, bytes, or an "
                    "onnx.ModelProto",
                )
            self.model = self._parse(data, onnx)
        self._check(onnx)

    def _read(self, path: str) -> bytes:
        self.name = os.path.basename(path)
        try:
            if not os.path.isfile(path):
                os.stat(path)
                raise bad(f"{path}: is no regular file", "check the path")
            size = os.path.getsize(path)
            if size > _MAX_FILE:
                raise bad(
                    f"{path}: has {size:,} bytes, and a message of protobuf has {_MAX_FILE:,} at "
                    "most",
                    "save the model with its weights as external data",
                )
            with open(path, "rb") as file:
                data = file.read(_MAX_FILE + 1)
        except OSError as cause:
            if isinstance(cause, _core.SennitError):
                raise
            raise bad(f"{path}: cannot be read ({cause})", "check the path") from cause
        self.folder = os.path.dirname(os.path.abspath(path))
        return data

    def _parse(self, data: bytes, onnx: Any) -> Any:
        if not data:
            raise bad(f"{self.name}: is empty")
        model = onnx.ModelProto()
        try:
            model.ParseFromString(data)
        except (
            Exception
        ) as cause:  # protobuf's DecodeError, or what its other implementations raise
            raise bad(f"{self.name}: is no ONNX model, or a damaged one ({cause})") from cause
        return model

    def _check(self, onnx: Any) -> None:
        model = self.model
        if not model.HasField("graph") or not (model.graph.node or model.graph.output):
            raise bad(f"{self.name}: holds no graph")
        self.opsets: dict[str, int] = {}
        for entry in model.opset_import:
            domain = "" if entry.domain in DEFAULT_DOMAINS else entry.domain
            self.opsets[domain] = int(entry.version)
        if not self.opsets:
            if model.ir_version >= 3:
                raise bad(f"{self.name}: imports no operator set")
            self.opsets[""] = 1
        newest = int(onnx.defs.onnx_opset_version())
        version = self.opsets.get("")
        if version is not None and not OLDEST_OPSET <= version <= newest:
            raise error(
                UnsupportedOp,
                "onnx",
                f"{self.name} uses version {version} of the ONNX operators; versions "
                f"{OLDEST_OPSET} to {newest} are supported; update the package 'onnx'",
            )

    # ------------------------------------------------------------ tensors

    def array(self, proto: Any, where: str) -> Any:
        """The elements of a TensorProto as a read-only array; FileError when they do not fit."""
        import numpy as np

        onnx = onnx_package()
        name = f"{where} {proto.name!r}" if proto.name else where
        kinds = onnx.TensorProto
        if proto.data_type == kinds.STRING:
            self._require(len(proto.string_data), proto, name)
            values = [x.decode("utf-8", "replace") for x in proto.string_data]
            text = np.empty(len(values), object)
            text[:] = values
            return text.reshape(tuple(proto.dims))
        try:
            dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(proto.data_type))
        except (KeyError, ValueError, TypeError) as cause:
            what = f"{name} has the data type {proto.data_type}, which ONNX does not have"
            raise bad(what) from cause
        count = self._count(proto, name)
        bits = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2, "FLOAT6E2M3": 6,
                "FLOAT6E3M2": 6}  # fmt: skip
        width = bits.get(kinds.DataType.Name(proto.data_type), dtype.itemsize * 8)
        size = (count * width + 7) // 8
        shape = tuple(proto.dims)
        raw: Any = None
        if proto.data_location == kinds.EXTERNAL:
            raw = self._external(proto, name, size)
        elif proto.HasField("raw_data"):
            raw = proto.raw_data
            if len(raw) != size:
                raise bad(
                    f"{name} of shape {shape} and dtype {dtype.name} has {len(raw)} bytes; {size} "
                    "are required"
                )
        if raw is not None and width == dtype.itemsize * 8:
            # Without a copy; a byte other than 0 and 1 is no bool.
            array = np.frombuffer(raw, dtype.newbyteorder("<") if dtype.isbuiltin else dtype)
            array = (
                array.view(np.uint8) != 0 if dtype.kind == "b" else array.astype(dtype, copy=False)
            )
            array = array.reshape(shape)
            array.flags.writeable = False
            return array
        return self._decoded(proto, raw, count, width, name)

    def _decoded(self, proto: Any, raw: Any, count: int, width: int, name: str) -> Any:
        """Elements that are packed, or listed one by one."""
        import numpy as np

        onnx = onnx_package()
        shape = tuple(proto.dims)
        if raw is not None:
            proto = onnx.TensorProto(
                data_type=proto.data_type, dims=proto.dims, raw_data=bytes(raw)
            )
        else:
            listed = len(getattr(proto, onnx.helper.tensor_dtype_to_field(proto.data_type)))
            complex_types = (onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128)
            packed = count * 2 if proto.data_type in complex_types else count
            if width < 8:
                packed = (count * width + 7) // 8
            if listed != packed:
                raise bad(f"{name} of shape {shape} lists {listed} elements; {packed} are required")
        try:
            array = onnx.numpy_helper.to_array(proto)
        except (ValueError, TypeError, OverflowError) as cause:
            raise bad(f"{name} cannot be decoded ({cause})") from cause
        array = np.ascontiguousarray(array).reshape(shape)
        array.flags.writeable = False
        return array

    @staticmethod
    def _count(proto: Any, name: str) -> int:
        count = 1
        if len(proto.dims) > _MAX_RANK:
            raise bad(f"{name} has rank {len(proto.dims)}; {_MAX_RANK} is the limit")
        for size in proto.dims:
            if size < 0:
                raise bad(f"{name} has the shape {tuple(proto.dims)}; sizes must not be negative")
            count *= size
        return count

    def _require(self, listed: int, proto: Any, name: str) -> None:
        count = self._count(proto, name)
        if count != listed:
            raise bad(
                f"{name} of shape {tuple(proto.dims)} lists {listed} elements; {count} are required"
            )

    def _external(self, proto: Any, name: str, size: int) -> Any:
        """The bytes of a tensor whose elements lie in another file of the model's folder."""
        where = {entry.key: entry.value for entry in proto.external_data}
        location = where.get("location", "")
        if self.folder is None:
            raise bad(
                f"{name} has its elements in the file {location!r}, and the model came without a "
                "folder",
                "load it from its path",
            )
        parts = location.replace("\\", "/").split("/")
        if (
            not location
            or "\0" in location
            or os.path.isabs(location)
            or location.startswith(("/", "\\"))
            or ".." in parts
            or ":" in parts[0]
        ):
            raise bad(
                f"{name} has its elements in {location!r}, which lies outside the model's folder",
                "a location must be a relative path without '..'",
            )
        folder = os.path.realpath(self.folder)
        path = os.path.realpath(os.path.join(folder, *parts))
        if os.path.commonpath([folder, path]) != folder:
            raise bad(
                f"{name} has its elements in {location!r}, a link to {path}, outside the model's "
                "folder",
                "put the file itself beside the model",
            )
        try:
            offset = int(where.get("offset", "0"))
            length = int(where.get("length", str(size)))
        except ValueError as cause:
            raise bad(f"{name} has a damaged entry for {location!r} ({cause})") from cause
        if not os.path.isfile(path):
            raise bad(f"{name} has its elements in {location!r}, which is no file", "fetch it too")
        total = os.path.getsize(path)
        if offset < 0 or length != size or offset + length > total:
            raise bad(
                f"{name} needs {size} bytes, and its entry names bytes {offset} to "
                f"{offset + length} of {location!r}, which has {total}"
            )
        import numpy as np

        data = np.fromfile(path, np.uint8, length, offset=offset)
        if len(data) != length:
            raise bad(f"{location!r} ended while it was read")
        return data

    def dense(self, sparse: Any) -> Any:
        """The elements of a SparseTensorProto as a dense array."""
        import numpy as np

        values = self.array(sparse.values, "the values of a sparse initialiser")
        indices = self.array(sparse.indices, "the indices of a sparse initialiser")
        shape = tuple(int(d) for d in sparse.dims)
        count = 1
        for size in shape:
            count *= max(size, 0)
        if min(shape, default=0) < 0 or count * max(values.itemsize, 1) > _MAX_FILE:
            raise bad(f"a sparse initialiser has the shape {shape}, which is negative or too large")
        if not has_dtype(values):
            raise bad(f"a sparse initialiser has the dtype {values.dtype.name}")
        flat = indices
        if indices.ndim == 2 and indices.shape[1] == len(shape):
            if (indices < 0).any() or (indices >= np.asarray(shape)).any():
                raise bad("a sparse initialiser has an index out of range")
            flat = np.ravel_multi_index(tuple(indices.T), shape)
        if flat.shape != values.shape or (flat < 0).any() or (flat >= count).any():
            raise bad("the indices of a sparse initialiser do not fit its values and shape")
        full = np.zeros(count, values.dtype)
        full[flat] = values
        full.flags.writeable = False
        return full.reshape(shape)
