"""Memory of a GPU shared with other libraries, on fakes: a producer that is none of Sennit's."""

from __future__ import annotations

import faked
import pytest

pytestmark = faked.needs_fakes

# A library of its own on the fake driver: arrays on a stream of its own, with both protocols.
OTHER = """
import ctypes, gc, os, weakref
driver = ctypes.CDLL(os.environ["SENNIT_CUDA_PATH"].split(":")[0] + "/libcuda.so.1")
P, Z = ctypes.c_void_p, ctypes.c_size_t
def call(name, *args):
    result = getattr(driver, name)(*args)
    assert result == 0, (name, result)
sn.zeros(1, device="cuda").tolist()  # starts the device

def use(index):
    context = P()
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), index)
    call("cuCtxSetCurrent", context)

class Array:
    def __init__(self, values, index=0, version=3, stream=True):
        use(index)
        self.values = np.ascontiguousarray(values)
        self.base, self.index, own = P(), index, P()
        call("cuMemAlloc_v2", ctypes.byref(self.base), Z(max(self.values.nbytes, 1)))
        call("cuStreamCreate", ctypes.byref(own), 1)
        self.stream = own
        self.asked = []
        self.view = self.values
        self.fill(self.values)
    def fill(self, values):  # issued on the array's own stream
        use(self.index)
        source = P(values.ctypes.data)
        call("cuMemcpyHtoDAsync_v2", self.base, source, Z(values.nbytes), self.stream)
    def address(self):
        return self.base.value + self.view.ctypes.data - self.values.ctypes.data
    def read(self, address, shape, dtype, stream):
        use(self.index)
        out = np.empty(shape, dtype)
        call("cuMemcpyDtoHAsync_v2", P(out.ctypes.data), P(address), Z(out.nbytes), P(stream))
        call("cuStreamSynchronize", P(stream))
        return out
    @property
    def __cuda_array_interface__(self):
        return {"shape": self.view.shape, "typestr": self.view.dtype.str, "version": 3,
                "data": (self.address(), False), "strides": self.view.strides,
                "stream": self.stream.value}

class Held(Array):
    def __dlpack_device__(self): return (2, self.index)
    def __dlpack__(self, *, stream=None, max_version=None):
        self.asked.append(stream)
        if max_version is not None: raise TypeError("an exporter from before versions")
        event = P()
        use(self.index)
        call("cuEventCreate", ctypes.byref(event), 2)
        call("cuEventRecord", event, self.stream)
        call("cuStreamWaitEvent", P(stream), event, 0)
        a = self.view
        shape = (ctypes.c_int64 * max(a.ndim, 1))(*a.shape)
        strides = (ctypes.c_int64 * max(a.ndim, 1))(*(s // a.itemsize for s in a.strides))
        code = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}[a.dtype.kind]
        m = Managed(P(self.address()), 2, self.index, a.ndim, code, 8 * a.itemsize, 1, shape,
                    strides, 0, None, self.DELETER)
        LIVE[ctypes.addressof(m)] = (m, self, shape, strides)
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [P, ctypes.c_char_p, P]
        return new(ctypes.addressof(m), b"dltensor", None)
DELETE = ctypes.CFUNCTYPE(None, P)
LIVE = {}
Held.DELETER = DELETE(lambda at: LIVE.pop(at) and None)
class Managed(ctypes.Structure):
    _fields_ = [("data", P), ("type", ctypes.c_int), ("id", ctypes.c_int), ("ndim", ctypes.c_int),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)),
                ("strides", ctypes.POINTER(ctypes.c_int64)), ("offset", ctypes.c_uint64),
                ("context", P), ("deleter", DELETE)]
"""

# Work runs when it is issued, or as late as it may.
BOTH = pytest.mark.parametrize("lazy", ["0", "1"])


@BOTH
def test_arrays_of_others_are_shared(lazy: str) -> None:
    text = faked.run(
        OTHER
        + """
for kind in (Array, Held):
    take = sn.from_dlpack if kind is Held else sn.asarray
    for dtype in ("bool", "int8", "uint16", "int64", "float16", "float32", "float64", "complex64",
                  "complex128"):
        for cut in (lambda a: a, lambda a: a[::-1, ::2], lambda a: a.T, lambda a: a[1, 2, ...]):
            other = kind((np.arange(24).reshape(4, 6) % 7).astype(dtype))
            other.view = cut(other.values)
            x = take(other)
            assert x.device == "cuda:0" and x.shape == other.view.shape, (x.device, x.shape)
            assert (x.to("cpu").numpy() == other.view).all(), (kind, dtype)
            assert ((x * x).to("cpu").numpy() == other.view * other.view).all(), (kind, dtype)
    # No copy: what it writes is seen; and Sennit writes nothing of it.
    other = kind(np.arange(5, dtype="float32"))
    x = take(other)
    assert x.__cuda_array_interface__["data"][0] == other.address()
    x += 1
    assert x.tolist() == [1, 2, 3, 4, 5]
    assert (other.read(other.address(), 5, "float32", 1) == other.values).all()
    y = take(other)
    z = take(other, copy=True)
    assert z.__cuda_array_interface__["data"][0] != other.address()
    other.fill(np.full(5, 9, "float32"))
    call("cuStreamSynchronize", other.stream)
    assert y.tolist() == [9] * 5 and z.tolist() == [0, 1, 2, 3, 4]
    assert take(kind(np.empty((0, 3), "int32"))).shape == (0, 3)
    assert take(other, device="cpu").device == "cpu"
    # It lives as long as what shows it.
    alive = weakref.ref(other)
    part = y[1:3] * 1
    view = y[1:3]
    del other, x, y
    gc.collect()
    assert alive() is not None and view.tolist() == [9, 9] == part.tolist()
    del view
    gc.collect(); sn.synchronize(); sn.zeros(1).tolist(); gc.collect()
    assert alive() is None, gc.get_referrers(alive())
assert not LIVE
number = sn._core.cuda_export(sn.ones(1, device="cuda"))[2]
other = Held(np.ones(3, "float32"))
sn.from_dlpack(other)
assert other.asked == [number, number], (other.asked, number)  # the second without a version
assert sn.add(sn.ones(3, device="cuda"), Held(np.ones(3, "float32"))).tolist() == [2, 2, 2]
print("same")
""",
        SENNIT_FAKE_LAZY=lazy,
    )
    assert text == "same\n"


@BOTH
def test_tensors_are_shown_to_others(lazy: str) -> None:
    text = faked.run(
        OTHER
        + """
other = Array(np.zeros(1))
x = sn.arange(6, dtype=sn.float32).reshape(2, 3).to("cuda") * 2 + 1
want = x.to("cpu").numpy()
x = sn.arange(6, dtype=sn.float32).reshape(2, 3).to("cuda") * 2 + 1
shown = x.__cuda_array_interface__
assert shown["shape"] == (2, 3) and shown["typestr"] == "<f4" and shown["version"] == 3, shown
assert shown["strides"] == (12, 4) and shown["data"][1] is True and shown["stream"] > 2
own = other.stream.value
for stream in (shown["stream"], 1):  # 1: whoever does not look at it
    assert (other.read(shown["data"][0], (2, 3), "float32", stream) == want).all()
assert x.mT.__cuda_array_interface__["strides"] == (4, 12)
assert x[0:0].__cuda_array_interface__["data"][0] == 0
# What was shown stays, also when the tensor is written in place.
at = x.__cuda_array_interface__["data"][0]
x += 1
x.tolist()
junk = [sn.full((2, 3), float(i), device="cuda") for i in range(4)]
[j.tolist() for j in junk]
assert (other.read(at, (2, 3), "float32", 1) == want).all()
assert len(sn._cuda_memory._shown) == 1
del x; gc.collect()
assert not sn._cuda_memory._shown

# DLPack waits on the stream that it is given.
class Consumer:
    def __init__(self, x, stream): self.x, self.stream = x, stream
    def take(self, **how):
        capsule = self.x.__dlpack__(stream=self.stream, max_version=(1, 0), **how)
        get = ctypes.pythonapi.PyCapsule_GetPointer
        get.restype, get.argtypes = P, [ctypes.py_object, ctypes.c_char_p]
        m = get(capsule, b"dltensor_versioned")
        self.capsule, data = capsule, ctypes.cast(m + 32, ctypes.POINTER(P))[0]
        return data
for stream in (None, 1, 2, own, -1):
    x = sn.arange(6, dtype=sn.float32).reshape(2, 3).to("cuda") * 2 + 1
    c = Consumer(x, stream)
    at = c.take()
    if stream == -1: sn.synchronize()
    assert (other.read(at, (2, 3), "float32", 1 if stream in (None, -1) else stream) == want).all()
    del x, c
for stream in (0, -2, "1", 1.5):
    try: sn.ones(2, device="cuda").__dlpack__(stream=stream); print("taken", stream)
    except (ValueError, TypeError): pass
assert sn.from_dlpack(sn.ones(2, device="cuda")).tolist() == [1, 1]
assert not hasattr(sn.ones(2), "__cuda_array_interface__")
assert not hasattr(sn.ones(2, device="cuda").astype(sn.bfloat16), "__cuda_array_interface__")
for dtype in ("bool", "int8", "uint64", "float16", "complex128"):
    x = sn.ones(2, dtype=getattr(sn, dtype), device="cuda")
    assert x.__cuda_array_interface__["typestr"] == np.dtype(dtype).str, dtype
try: sn.ones(2, device="cuda", requires_grad=True).__cuda_array_interface__
except sn.GradError as e: print(e)
""",
        SENNIT_FAKE_LAZY=lazy,
    )
    assert "requires a gradient" in text and "taken" not in text, text


def test_what_cannot_be_shared_is_told() -> None:
    text = faked.run(
        OTHER
        + """
class Odd(Array):
    change = {}
    @property
    def __cuda_array_interface__(self):
        return super().__cuda_array_interface__ | self.change
def refuse(**change):
    other = Odd(np.arange(6, dtype="float32").reshape(2, 3))
    other.change = change
    try: sn.asarray(other); print("taken", change)
    except sn.SennitError as e: print(type(e).__name__, e)
refuse(typestr=">f4")
refuse(typestr="<M8")
refuse(mask=1)
refuse(strides=(10, 4))
refuse(strides=(4,))
refuse(data=(4096, False))
refuse(data=None)
refuse(shape=(-1, 3))
refuse(stream=0)
other = Odd(np.zeros(8, "uint8")); other.change = {"typestr": "<f4", "shape": (1,), "strides": None,
    "data": (other.address() + 1, False)}
try: sn.asarray(other)
except sn.SennitError as e: print(type(e).__name__, e)
try: sn.asarray(Array(np.ones(3, "float32"), 1), device="cuda:0", copy=False)
except sn.SennitError as e: print(type(e).__name__, e)
print(sn.asarray(Array(np.ones(3, "float32"), 1)).device)
try: sn.asarray(Array(np.ones(3, "float32"), 1)) + sn.ones(3, device="cuda:0")
except sn.SennitError as e: print(type(e).__name__)
far = Held(np.ones(3, "float32")); far.index = 7
try: sn.from_dlpack(far)
except sn.SennitError as e: print(type(e).__name__, e)
""",
        SENNIT_FAKE_DEVICES="2",
    )
    lines = [line for line in text.splitlines() if not line.startswith(" ")]
    kinds = [line.split()[0] for line in lines]
    assert (
        kinds[:10]
        == ["DTypeError"] * 2 + ["InvalidValue"] * 3 + ["DeviceError"] + ["InvalidValue"] * 4
    ), text
    assert "is on no GPU" in text and "aligned" in lines[9]
    assert "must be copied to cuda:0" in lines[10] and lines[11] == "cuda:1"
    assert lines[12] == "DeviceError" and lines[13].startswith("DeviceError")
