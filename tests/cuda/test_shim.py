"""The thread-block shim itself: barriers, shuffles, memory of a block, and what it refuses."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import shim_build as shim

pytestmark = pytest.mark.skipif(shim.COMPILER is None, reason="needs a C++ compiler")

SOURCE = """
#include "device.cuh"
struct Args { void* x; void* y; long long n; ErrorWord* error; Strided<2> strided; };

SN_KERNEL(convert_all, Args) {
    const float* x = static_cast<const float*>(args.x);
    SN_OUT* y = static_cast<SN_OUT*>(args.y);
    for (int64_t i = grid_index(); i < args.n; i += grid_stride())
        store(y, i, cast_to<SN_OUT, float>(x[i]));
}
SN_KERNEL(widen_all, Args) {
    const SN_OUT* x = static_cast<const SN_OUT*>(args.x);
    float* y = static_cast<float*>(args.y);
    for (int64_t i = grid_index(); i < args.n; i += grid_stride())
        y[i] = convert<float>(load(x, i));
}
SN_KERNEL(sums, Args) {  // of each block: by a tree in shared memory
    SN_SHARED int part[96];
    const int t = threadIdx.x + threadIdx.y * blockDim.x;
    part[t] = static_cast<int*>(args.x)[blockIdx.x * 96 + t];
    __syncthreads();
    for (int half = 48; half >= 3; half /= 2) {
        if (t < half) part[t] += part[t + half];
        __syncthreads();
    }
    if (t == 0) static_cast<int*>(args.y)[blockIdx.x] = part[0] + part[1] + part[2];
}
SN_KERNEL(warps, Args) {
    const int* x = static_cast<const int*>(args.x);
    int* y = static_cast<int*>(args.y);
    const int t = threadIdx.x;
    int v = x[t];
    for (int by = 4; by > 0; by /= 2) v += warp_shuffle_down(v, by, 8);
    y[t] = warp_shuffle(v, 0, 8);
    y[64 + t] = static_cast<int>(warp_ballot(x[t] % 3 == 0));
    __syncthreads();
    y[128 + t] = y[63 - t];
}
SN_KERNEL(unset, Args) {
    SN_SHARED float part[64];
    SN_DYNAMIC_SHARED(float, more);
    float* y = static_cast<float*>(args.y);
    y[2 * blockIdx.x] = part[3];
    y[2 * blockIdx.x + 1] = more[5];
    __syncthreads();
    part[threadIdx.x] = more[threadIdx.x] = 1;
}
SN_KERNEL(order, Args) {  // a race: the last one to write stays
    static_cast<int*>(args.y)[0] = static_cast<int>(grid_index());
}
SN_KERNEL(diverge, Args) {
    if (threadIdx.x < 5) return;
    __syncthreads();
}
SN_KERNEL(diverge_warp, Args) {
    if (threadIdx.x < 5) __syncthreads(); else __syncwarp();
}
SN_KERNEL(find_negative, Args) {
    const int* x = static_cast<const int*>(args.x);
    for (int64_t i = grid_index(); i < args.n; i += grid_stride())
        if (x[i] < 0) report(args.error, 7, i, x[i]);
}
SN_KERNEL(count, Args) {
    atomicAdd(static_cast<unsigned long long*>(args.y), 3ull);
    atomicMin(static_cast<long long*>(args.y) + 1, static_cast<long long>(grid_index()) - 9);
    atomicMax(static_cast<int*>(args.y) + 4, static_cast<int>(grid_index()));
}
SN_KERNEL(gather, Args) {
    for (int64_t i = grid_index(); i < args.n; i += grid_stride()) {
        int64_t at[2];
        args.strided.offsets(i, at);
        static_cast<int*>(args.y)[at[1]] = static_cast<int*>(args.x)[at[0]];
    }
}
SN_KERNEL(limits, Args) {
    int64_t* y = static_cast<int64_t*>(args.y);
    y[0] = highest<int8_t>(), y[1] = lowest<int8_t>(), y[2] = highest<uint16_t>();
    y[3] = lowest<uint16_t>(), y[4] = highest<int64_t>(), y[5] = lowest<int64_t>();
    y[6] = static_cast<int64_t>(highest<uint64_t>()), y[7] = lowest<float>() < -3e38f;
}
"""


class ErrorWord(ctypes.Structure):
    _fields_ = [
        ("set", ctypes.c_uint32),
        ("op", ctypes.c_uint32),
        ("index", ctypes.c_longlong),
        ("position", ctypes.c_longlong),
    ]


class Strided(ctypes.Structure):
    _fields_ = [
        ("rank", ctypes.c_int),
        ("wide", ctypes.c_int),
        ("shape", ctypes.c_longlong * 16),
        ("strides", (ctypes.c_longlong * 16) * 2),
    ]


class Args(ctypes.Structure):
    _fields_ = [
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("n", ctypes.c_longlong),
        ("error", ctypes.c_void_p),
        ("strided", Strided),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shim")


@pytest.fixture(scope="module")
def library(folder: Path) -> ctypes.CDLL:
    return shim.build(SOURCE, folder, ["SN_OUT=float"])


def pointer(array: np.ndarray) -> int:
    return array.ctypes.data


def make(x: np.ndarray | None = None, y: np.ndarray | None = None, n: int = 0) -> Args:
    args = Args()
    args.x = pointer(x) if x is not None else None
    args.y = pointer(y) if y is not None else None
    args.n = n
    return args


@pytest.mark.parametrize("reverse", ["0", "1"])
def test_a_barrier_orders_the_threads_of_a_block(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, reverse: str
) -> None:
    monkeypatch.setenv("SENNIT_SHIM_REVERSE", reverse)
    x = np.arange(96 * 5, dtype=np.int32) ** 2
    y = np.zeros(5, np.int32)
    shim.launch(library, "sums", make(x, y), [5], [32, 3])
    np.testing.assert_array_equal(y, x.reshape(5, 96).sum(1))


@pytest.mark.parametrize("reverse", ["0", "1"])
def test_shuffles_and_votes(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, reverse: str
) -> None:
    monkeypatch.setenv("SENNIT_SHIM_REVERSE", reverse)
    x = np.arange(64, dtype=np.int32) * 7 + 1
    y = np.zeros(192, np.int32)
    shim.launch(library, "warps", make(x, y), [1], [64])
    np.testing.assert_array_equal(y[:64], np.repeat(x.reshape(8, 8).sum(1), 8))
    votes = [sum(1 << i for i in range(32) if v[i] % 3 == 0) for v in x.reshape(2, 32)]
    np.testing.assert_array_equal(y[64:128].view(np.uint32), np.repeat(votes, 32))
    np.testing.assert_array_equal(y[128:], y[63::-1])


def test_memory_of_a_block_starts_as_nan(library: ctypes.CDLL) -> None:
    y = np.zeros(6, np.float32)
    args = make(y=y)
    shim.launch(library, "unset", args, [3], [64], 64 * 4)
    assert np.isnan(y).all()


def test_the_order_can_be_reversed(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.zeros(1, np.int32)
    shim.launch(library, "order", make(y=y), [4], [32])
    assert y[0] == 127
    monkeypatch.setenv("SENNIT_SHIM_REVERSE", "1")
    shim.launch(library, "order", make(y=y), [4], [32])
    assert y[0] == 0


@pytest.mark.parametrize("entry", ["diverge", "diverge_warp"])
def test_a_barrier_that_some_threads_do_not_reach_ends_the_process(
    library: ctypes.CDLL, entry: str
) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import ctypes, shim_build\n"
        f"library = ctypes.CDLL({library._name!r})\n"
        f"shim_build.launch(library, {entry!r}, (ctypes.c_char * 400)(), [2], [32])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "cuda_shim" in done.stderr and "block (0, 0, 0)" in done.stderr


def test_the_lowest_position_is_reported(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.ones(1000, np.int32)
    x[[313, 700, 942]] = [-5, -6, -7]
    for reverse in "01":
        monkeypatch.setenv("SENNIT_SHIM_REVERSE", reverse)
        word = ErrorWord()
        args = make(x, n=1000)
        args.error = ctypes.addressof(word)
        shim.launch(library, "find_negative", args, [2], [64])
        assert (word.set, word.op, word.index, word.position) == (1, 7, -5, 313)
        word.op = 3  # another kernel was first: it keeps the word
        word.position = 500
        shim.launch(library, "find_negative", args, [2], [64])
        assert (word.set, word.op, word.position) == (1, 3, 500)


def test_integer_atomics(library: ctypes.CDLL) -> None:
    y = np.zeros(3, np.int64)
    shim.launch(library, "count", make(y=y), [3], [33])
    assert y[0] == 297 and y[1] == -9 and y[2] == 98


@pytest.mark.parametrize("wide", [0, 1])
def test_strided_offsets(library: ctypes.CDLL, wide: int) -> None:
    x = np.arange(120, dtype=np.int32).reshape(4, 5, 6)
    view = x.transpose(2, 0, 1)[::2]
    y = np.zeros(view.shape, np.int32)
    args = make(x, y, y.size)
    s = args.strided
    s.rank, s.wide = 3, wide
    s.shape[:3] = view.shape
    s.strides[0][:3] = [v // 4 for v in view.strides]
    s.strides[1][:3] = [v // 4 for v in y.strides]
    shim.launch(library, "gather", args, [1], [32])
    np.testing.assert_array_equal(y, view)


def test_limits(library: ctypes.CDLL) -> None:
    y = np.zeros(8, np.int64)
    shim.launch(library, "limits", make(y=y), [1], [1])
    assert y.tolist() == [127, -128, 65535, 0, 2**63 - 1, -(2**63), -1, 1]


HALVES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16}


@pytest.mark.parametrize("name", HALVES)
def test_16_bit_floats_convert_exactly(folder: Path, name: str) -> None:
    library = shim.build(SOURCE, folder, [f"SN_OUT={name}"])
    every = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    wide = np.empty(1 << 16, np.float32)
    shim.launch(library, "widen_all", make(every, wide, every.size), [1], [64])
    expected = every.view(HALVES[name]).astype(np.float32)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(wide), ~number)
    np.testing.assert_array_equal(wide.view(np.uint32)[number], expected.view(np.uint32)[number])
    # All neighbours of all halves and of the points between two of them.
    bits = expected.view(np.uint32).astype(np.int64)
    middle = (bits[:-1] + bits[1:]) // 2
    wanted = np.concatenate([bits, middle])[:, None] + np.arange(-2, 3)
    x = (wanted.ravel() % (1 << 32)).astype(np.uint32).view(np.float32)
    x = x[~np.isnan(x)]
    y = np.empty(x.size, np.uint16)
    shim.launch(library, "convert_all", make(x, y, x.size), [1], [64])
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(y, x.astype(HALVES[name]).view(np.uint16))


def test_conversions_saturate(folder: Path) -> None:
    library = shim.build(SOURCE, folder, ["SN_OUT=int8_t"])
    x = np.array([np.nan, np.inf, -np.inf, 127.9, 128, -128.9, -129, -0.9, 3.7], np.float32)
    y = np.empty(x.size, np.int8)
    shim.launch(library, "convert_all", make(x, y, x.size), [1], [4])
    assert y.tolist() == [0, 127, -128, 127, 127, -128, -128, 0, 3]
