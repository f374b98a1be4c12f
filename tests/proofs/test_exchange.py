"""Arrays in and out: what is shared, what is copied; nobody's memory changes by surprise."""

from __future__ import annotations

import array
import ctypes
import gc

import numpy as np
import pytest

import sennit as sn

NUMPY_DTYPES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64",
]  # fmt: skip


def address(a: np.ndarray) -> int:
    return a.__array_interface__["data"][0]


# ---- NumPy


@pytest.mark.parametrize("name", NUMPY_DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (2, 0, 3), (2, 1, 3, 2)])
def test_round_trip(name: str, shape: tuple[int, ...]) -> None:
    a = np.array(np.arange(np.prod(shape, dtype=int)).reshape(shape) % 3, dtype=name)
    x = sn.asarray(a)
    assert x.dtype == getattr(sn, name) and x.shape == shape
    b = x.numpy()
    assert b.dtype == a.dtype and b.shape == a.shape
    np.testing.assert_array_equal(a, b)


def test_writable_arrays_are_copied_at_the_call() -> None:
    a = np.ones(4, dtype=np.float32)
    x = sn.asarray(a)
    y = x + 1  # recorded, not run yet
    a[:] = 100
    assert x.tolist() == [1, 1, 1, 1]
    assert y.tolist() == [2, 2, 2, 2]


def test_read_only_arrays_are_shared_and_kept_alive() -> None:
    a = np.arange(1000, dtype=np.float32)
    a.setflags(write=False)
    x = sn.asarray(a)
    b = x.numpy()
    assert address(b) == address(a)
    del a
    gc.collect()
    assert float(x.sum()) == 499500.0


def test_numpy_is_a_read_only_view_without_a_copy() -> None:
    x = sn.arange(1000, dtype=sn.float32) * 2
    a, b = x.numpy(), x.numpy()
    assert address(a) == address(b)
    assert not a.flags.writeable
    with pytest.raises(ValueError):
        a[0] = 1
    del x
    gc.collect()
    junk = [sn.ones(1000) * float(k) for k in range(20)]
    sn.synchronize()
    np.testing.assert_array_equal(a, np.arange(1000, dtype=np.float32) * 2)
    del junk


def test_exported_views_stop_reuse_of_their_memory() -> None:
    x = sn.ones(1000) * 3
    a = x.numpy()
    x *= 2  # could run in place if nobody looked at the old value
    assert float(x.sum()) == 6000
    assert a.sum() == 3000


def test_views_of_tensors_are_strided_arrays_or_copies_with_the_same_elements() -> None:
    x = sn.arange(24, dtype=sn.int32).reshape(4, 6)
    n = np.arange(24, dtype=np.int32).reshape(4, 6)
    for part, expected in [
        (x.T, n.T),
        (x[::2, 1::2], n[::2, 1::2]),
        (x[::-1], n[::-1]),
        (x[1:1], n[1:1]),
        (x[:, None, 2], n[:, None, 2]),
    ]:
        np.testing.assert_array_equal(part.numpy(), expected)
        np.testing.assert_array_equal(np.asarray(part), expected)


def test_strided_and_swapped_arrays_come_in_right() -> None:
    n = np.arange(24, dtype=np.float64).reshape(4, 6)
    for a in (n.T, n[::2, ::-1], n[:, 1], np.asfortranarray(n), np.broadcast_to(n[0], (3, 6))):
        np.testing.assert_array_equal(sn.asarray(a).numpy(), a)
    with pytest.raises(sn.DTypeError, match="native byte order"):
        sn.asarray(n.astype(">f8"))


def test_array_protocol_and_copies() -> None:
    x = sn.ones((2, 2))
    assert np.asarray(x).dtype == np.float32
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    c = np.array(x)
    c[0, 0] = 5  # an own, writable copy
    assert x.tolist() == [[1, 1], [1, 1]]
    np.testing.assert_array_equal(np.sqrt(np.asarray(x)), np.ones((2, 2)))


def test_copy_argument() -> None:
    a = np.arange(3.0)
    assert sn.asarray(a, copy=True).tolist() == [0, 1, 2]
    with pytest.raises(ValueError):
        sn.asarray(a, copy=False)  # writable: needs a copy
    with pytest.raises(ValueError):
        sn.asarray([1.0, 2.0], copy=False)
    a.setflags(write=False)
    assert address(sn.asarray(a, copy=False).numpy()) == address(a)
    x = sn.ones(3)
    assert sn.asarray(x) is x
    y = sn.asarray(x, copy=True)
    y += 1
    assert x.tolist() == [1, 1, 1]


def test_requires_grad_is_not_exported() -> None:
    w = sn.ones(2, requires_grad=True)
    for export in (w.numpy, lambda: np.asarray(w), lambda: np.from_dlpack(w)):
        with pytest.raises(sn.GradError, match="detach"):
            export()
    assert w.detach().numpy().tolist() == [1, 1]


def test_unsupported_arrays_say_so() -> None:
    for bad in (
        np.array(["a", "b"]),
        np.array([1 + 2j], np.clongdouble),
        np.array([object()]),
        np.array(["2020"], "M8"),
    ):
        with pytest.raises(sn.SennitError):
            sn.asarray(bad)


def test_numpy_scalars_and_lists_of_arrays() -> None:
    x = sn.ones(2) * np.float32(3)
    assert x.tolist() == [3, 3] and x.dtype == sn.float32
    assert sn.tensor(np.int64(4)).item() == 4
    assert sn.tensor(np.float64(4)).dtype == sn.float64
    assert sn.tensor([np.ones(2), np.zeros(2)]).tolist() == [[1, 1], [0, 0]]
    assert (np.float64(2) * sn.ones(2)).tolist() == [2, 2]
    assert isinstance(np.float64(2) * sn.ones(2), sn.Tensor)
    assert isinstance(np.ones(2, np.float32) + sn.ones(2), sn.Tensor)


# ---- bfloat16


def test_bfloat16_through_ml_dtypes() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    a = np.array([1.5, -2.0, 3.140625, 65280.0], dtype=ml_dtypes.bfloat16)
    x = sn.asarray(a)
    assert x.dtype == sn.bfloat16
    assert x.tolist() == [1.5, -2.0, 3.140625, 65280.0]
    b = x.numpy()
    assert b.dtype == a.dtype
    np.testing.assert_array_equal(a.view(np.uint16), b.view(np.uint16))


# ---- buffers


def test_buffer_protocol_in() -> None:
    assert sn.asarray(array.array("d", [1, 2, 3])).tolist() == [1, 2, 3]
    assert sn.asarray(b"\x01\x02\x03").tolist() == [1, 2, 3]
    assert sn.asarray(bytearray(b"\x05\x06")).dtype == sn.uint8
    assert sn.asarray(memoryview(np.arange(6.0).reshape(2, 3))).shape == (2, 3)
    assert sn.asarray((ctypes.c_int32 * 3)(7, 8, 9)).tolist() == [7, 8, 9]


def test_buffer_protocol_out() -> None:
    x = sn.arange(6, dtype=sn.int16).reshape(2, 3)
    view = memoryview(x)
    assert view.readonly and view.shape == (2, 3) and view.itemsize == 2
    assert view.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert bytes(x) == np.arange(6, dtype=np.int16).tobytes()


def test_an_exported_buffer_keeps_its_memory() -> None:
    x = sn.ones(500) * 7
    view = memoryview(x)
    del x
    gc.collect()
    others = [sn.zeros(500) + float(k) for k in range(10)]
    sn.synchronize()
    assert view[499] == 7
    del others


# ---- DLPack


@pytest.mark.parametrize("name", [n for n in NUMPY_DTYPES if n != "bool"])
def test_dlpack_with_numpy(name: str) -> None:
    a = np.arange(6).reshape(2, 3).astype(name)
    x = sn.from_dlpack(a)
    assert x.dtype == getattr(sn, name)
    np.testing.assert_array_equal(x.numpy(), a)
    np.testing.assert_array_equal(np.from_dlpack(x), a)
    np.testing.assert_array_equal(np.from_dlpack(x.T), a.T)


def test_dlpack_in_does_not_see_later_writes() -> None:
    a = np.ones(3)
    x = sn.from_dlpack(a)
    a[:] = 9
    assert x.tolist() == [1, 1, 1]


def test_dlpack_device() -> None:
    kind, index = sn.ones(2).__dlpack_device__()
    assert (int(kind), index) == (1, 0)


def test_a_capsule_is_used_once() -> None:
    capsule = sn.ones(2).__dlpack__()
    del capsule  # never used: its memory is given back
    gc.collect()
    before = sn.memory.stats()["in_use"]
    for _ in range(20):
        sn.from_dlpack(sn.ones(1 << 16))
        np.from_dlpack(sn.ones(1 << 16))
    gc.collect()
    sn.synchronize()
    assert sn.memory.stats()["in_use"] <= before + 4096


@pytest.mark.oracle
@pytest.mark.parametrize(
    "name", ["bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
)
def test_dlpack_with_torch(name: str, torch) -> None:
    t = (torch.arange(6).reshape(2, 3) % 4).to(getattr(torch, name))
    x = sn.from_dlpack(t)
    assert x.dtype == getattr(sn, name)
    assert x.tolist() == t.tolist()
    assert sn.from_dlpack(t.T).tolist() == t.T.tolist()
    t.fill_(0)
    assert x[1, 1].item() == (1 if name == "bool" else 0) or x.tolist() != t.tolist()
    back = torch.from_dlpack(x)
    assert back.dtype == getattr(torch, name)
    assert back.tolist() == x.tolist()


@pytest.mark.oracle
def test_a_copy_for_torch_is_its_own(torch) -> None:
    # Without copy=True PyTorch shares the memory and ignores that it is marked read-only.
    x = sn.ones(4) * 2
    t = torch.from_dlpack(x, copy=True)
    t += 100
    assert x.tolist() == [2, 2, 2, 2]


# ---- Python


def test_to_python() -> None:
    x = sn.tensor(2.5)
    assert float(x) == 2.5 and f"{x:.3f}" == "2.500" and x.item() == 2.5
    assert int(sn.tensor(3)) == 3 and bool(sn.tensor(True))
    assert [10, 11, 12][sn.tensor(1)] == 11
    assert sn.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert sn.tensor([1.5]).item() == 1.5
    assert [float(v) for v in sn.arange(3)] == [0, 1, 2]


def test_python_numbers_keep_the_other_dtype() -> None:
    for name in ("float16", "bfloat16", "float32", "float64", "int8", "uint8"):
        dtype = getattr(sn, name)
        assert (sn.ones(2, dtype=dtype) * 2).dtype == dtype
    assert (sn.ones(2, dtype=sn.int32) * 1.5).dtype == sn.float32
    assert sn.tensor(2**40).dtype == sn.int64
    assert sn.tensor(-(2**63)).item() == -(2**63)
    with pytest.raises((OverflowError, sn.SennitError)):
        sn.tensor(2**70)
