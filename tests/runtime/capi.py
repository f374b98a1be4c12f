"""The C interface through ctypes, as a program in another language would use it."""

from __future__ import annotations

import ctypes as c
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn

LIBRARY = Path(sn.__file__).parent / "lib" / "libsennit.so"
PROGRAM = Path(sn.__file__).parent / "bin" / "sennit-run"
if not LIBRARY.exists():
    pytest.skip("this build has no C++ runtime", allow_module_level=True)

NAMES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "bfloat16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip
MAX_RANK = 32
SHAPE, DTYPE, INDEX, VALUE, DEVICE, MEMORY, FILE, BUFFER = 101, 102, 103, 104, 105, 107, 109, 150


class TensorStruct(c.Structure):
    _fields_ = [
        ("data", c.c_void_p),
        ("bytes", c.c_size_t),
        ("dtype", c.c_int32),
        ("rank", c.c_int32),
        ("shape", c.c_int64 * MAX_RANK),
    ]


class ValueInfo(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("name", c.c_char_p),
        ("dtype", c.c_int32),
        ("rank", c.c_int32),
        ("shape", c.POINTER(c.c_int64)),
        ("dim_names", c.POINTER(c.c_char_p)),
    ]


class LoadOptions(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("flags", c.c_uint32)]


class SessionOptions(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("seed", c.c_uint64),
        ("device", c.c_char_p),
        ("draws", c.c_uint64),
    ]


class MemoryStats(c.Structure):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("in_use", c.c_int64),
        ("peak", c.c_int64),
        ("reserved", c.c_int64),
    ]


lib = c.CDLL(str(LIBRARY))
for text in ("sn_version", "sn_isa", "sn_last_error", "sn_model_name", "sn_model_metadata"):
    getattr(lib, text).restype = c.c_char_p
lib.sn_dtype_name.restype = c.c_char_p
for size in ("sn_dtype_size", "sn_model_input_count", "sn_model_output_count"):
    getattr(lib, size).restype = c.c_size_t
lib.sn_model_parameter_count.restype = c.c_size_t


class Failure(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def check(status: int) -> None:
    if status:
        raise Failure(status, lib.sn_last_error().decode())


def struct_of(x: np.ndarray) -> TensorStruct:
    t = TensorStruct(x.ctypes.data, x.nbytes, NAMES.index(x.dtype.name), x.ndim)
    t.shape[: x.ndim] = x.shape
    return t


def array_of(t: TensorStruct) -> np.ndarray:
    """A copy of what a filled-in result shows."""
    name = NAMES[t.dtype]
    dtype = np.dtype(np.uint16 if name == "bfloat16" else name)
    raw = c.string_at(t.data, t.bytes) if t.bytes else b""
    return np.frombuffer(raw, dtype).reshape(t.shape[: t.rank]).copy()


class Model:
    def __init__(self, source: Path | bytes, flags: int = 0) -> None:
        self.handle = c.c_void_p()
        options = LoadOptions(c.sizeof(LoadOptions), flags)
        if isinstance(source, bytes):
            check(
                lib.sn_model_load_memory(
                    source, c.c_size_t(len(source)), c.byref(options), c.byref(self.handle)
                )
            )
        else:
            check(
                lib.sn_model_load(
                    os.fspath(source).encode(), c.byref(options), c.byref(self.handle)
                )
            )

    def infos(self, what: str) -> list[tuple[str, str, list[int], list[str | None]]]:
        found = []
        for i in range(getattr(lib, f"sn_model_{what}_count")(self.handle)):
            info = ValueInfo(c.sizeof(ValueInfo))
            check(getattr(lib, f"sn_model_{what}")(self.handle, c.c_size_t(i), c.byref(info)))
            names = [info.dim_names[d] for d in range(info.rank)]
            found.append(
                (
                    info.name.decode(),
                    NAMES[info.dtype],
                    info.shape[: info.rank],
                    [n and n.decode() for n in names],
                )
            )
        return found

    def __del__(self) -> None:
        lib.sn_model_free(self.handle)


class Session:
    def __init__(self, model: Model, seed: int = 0) -> None:
        self.handle = c.c_void_p()
        self.outputs = lib.sn_model_output_count(model.handle)
        options = SessionOptions(c.sizeof(SessionOptions), seed, None, 0)
        check(lib.sn_session_create(model.handle, c.byref(options), c.byref(self.handle)))

    def structs(self, inputs: Sequence[np.ndarray]) -> tuple[Any, Any]:
        given = (TensorStruct * max(len(inputs), 1))(*[struct_of(x) for x in inputs])
        return given, (TensorStruct * max(self.outputs, 1))()

    def shapes(self, *inputs: np.ndarray) -> list[TensorStruct]:
        given, made = self.structs(inputs)
        n = c.c_size_t(len(inputs)), c.c_size_t(self.outputs)
        check(lib.sn_output_shapes(self.handle, given, n[0], made, n[1]))
        return list(made)[: self.outputs]

    def run(self, *inputs: np.ndarray) -> list[np.ndarray]:
        """Results that the session keeps, copied."""
        given, made = self.structs(inputs)
        n = c.c_size_t(len(inputs)), c.c_size_t(self.outputs)
        check(lib.sn_run(self.handle, given, n[0], made, n[1]))
        return [array_of(t) for t in list(made)[: self.outputs]]

    def __del__(self) -> None:
        lib.sn_session_free(self.handle)


def run_program(*words: object, ok: bool = True) -> str:
    """What sennit-run prints; with `ok=False`, what it complains of."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("SENNIT_")}
    done = subprocess.run(
        [str(PROGRAM), *map(str, words)], capture_output=True, text=True, check=False, env=env
    )
    assert (done.returncode == 0) == ok, done.stderr or done.stdout
    return done.stdout if ok else done.stderr
