"""Copies beside the kernels, on a fake driver whose streams run as early or as late as they may."""

from __future__ import annotations

import faked
import pytest

pytestmark = faked.needs_fakes

# All at once; all late; kernels late and copies early; copies late and kernels early.
ORDERS = pytest.mark.parametrize("lazy", ["0", "1", "2", "3"])


@ORDERS
def test_uploads_wait_for_memory_and_kernels_wait_for_uploads(lazy: str) -> None:
    """Batches take memory that earlier kernels still read, and are read at once."""
    text = faked.run(
        """
w = sn.arange(1000, dtype=sn.float32).to("cuda")
total = sn.zeros(1000).to("cuda")
for k in range(12):
    x = sn.full((1000,), float(k)).pin_memory()
    assert x.is_pinned() and x.pin_memory() is x and not sn.ones(3).is_pinned()
    y = x.to("cuda", non_blocking=True)
    unused = x.to("cuda:0", non_blocking=True)
    total = total + y * w
    del y, unused
    z = w * 2  # takes what `unused` has given back
    assert k % 5 or z.tolist() == [2.0 * i for i in range(1000)]
print((total - w * 66).abs().sum().item())
""",
        SENNIT_FAKE_LAZY=lazy,
    )
    assert text == "0.0\n"


@ORDERS
def test_what_is_being_copied_is_not_written_over(lazy: str) -> None:
    text = faked.run(
        """
x = sn.arange(5000, dtype=sn.float32).pin_memory()
y = x.to("cuda", non_blocking=True)
x += 1
x[:10] = -1
x.tolist()
z = sn.full((5000,), 7.0).pin_memory().to("cuda")  # nobody else holds what it comes from
again = sn.full((5000,), 8.0).pin_memory()
print(y.tolist() == [float(i) for i in range(5000)], z.sum().item(), again[0].item())
part = sn.arange(5000).pin_memory()[100:200]
print(part.is_pinned(), part.to("cuda").tolist() == list(range(100, 200)))
print(sn.arange(6).reshape(2, 3).pin_memory().mT.to("cuda").tolist())
print(sn.zeros((0, 3)).pin_memory().to("cuda").shape)
""",
        SENNIT_FAKE_LAZY=lazy,
    )
    assert text.splitlines() == [
        "True 35000.0 8.0", "True True", "[[0, 3], [1, 4], [2, 5]]", "(0, 3)",
    ]  # fmt: skip


@ORDERS
def test_downloads_arrive_before_they_are_read(lazy: str) -> None:
    text = faked.run(
        """
x = sn.arange(3000, dtype=sn.float32).to("cuda")
kept = []
for k in range(6):
    y = x * k
    kept.append(y.to("cpu", non_blocking=True))
    del y
    z = x + 1  # takes the memory of y once it has been copied
first = kept[1] + 1  # a window of the CPU that waits for it
print(first.device, first.tolist() == [i + 1.0 for i in range(3000)])
print(all(h.is_pinned() and h.tolist() == [float(k * i) for i in range(3000)]
          for k, h in enumerate(kept)))
print(np.asarray(x.to("cpu", non_blocking=True))[:3], x.to("cpu", sn.int32, True).dtype)
@sn.compile
def f(a): return a * 2
for _ in range(4): r = f(x.to("cpu", non_blocking=True))
print(r.sum().item())
print(x[0:0].to("cpu", non_blocking=True).tolist())
""",
        SENNIT_FAKE_LAZY=lazy,
    )
    assert text.splitlines() == [
        "cpu True", "True", "[0. 1. 2.] int32", "8997000.0", "[]",
    ]  # fmt: skip


def test_a_lost_device_is_told_by_a_download() -> None:
    text = faked.run(
        """
x = sn.ones(8).to("cuda")
y = (x + 1).to("cpu", non_blocking=True)
try: print(y.tolist())
except sn.DeviceError as e: print("lost" in str(e))
""",
        SENNIT_FAKE_LAZY="1",
        SENNIT_FAKE_LOST_AFTER="0",
    )
    assert text == "True\n"


def test_gradients_go_through_page_locked_memory() -> None:
    text = faked.run(
        """
x = sn.ones(3).requires_grad_()
(x.pin_memory().to("cuda", non_blocking=True) * 3).to("cpu", non_blocking=True).sum().backward()
print(x.grad.tolist(), x.grad.device)
try: sn.ones(3).to("cuda").pin_memory()
except sn.DeviceError as e: print(e)
try: sn.ones(3).pin_memory("cpu")
except sn.DeviceError as e: print(e)
"""
    )
    lines = text.splitlines()
    assert lines[0] == "[3.0, 3.0, 3.0] cpu"
    assert "cuda:0" in lines[1] and "(3,)" in lines[1] and "'cpu' does not copy" in text


def test_without_cuda_nothing_is_pinned() -> None:
    text = faked.run(
        """
import warnings
try: sn.ones(3).pin_memory()
except sn.DeviceError as e: print("NVIDIA driver" in str(e))
data = sn.data.TensorDataset(sn.arange(6))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    loader = sn.data.DataLoader(data, batch_size=4, pin_memory=True)
print(len(told), [x.tolist() for (x,) in loader])
try: sn.data.DataLoader(data, prefetch_to="cuda")
except sn.DeviceError as e: print("NVIDIA driver" in str(e))
print([x.tolist() for (x,) in sn.data.DataLoader(data, batch_size=4, prefetch_to="cpu")])
print(sn.ones(2).to("cpu", non_blocking=True).tolist(), sn.ones(2).is_pinned())
""",
        path="none",
    )
    assert text.splitlines() == [
        "True", "1 [[0, 1, 2, 3], [4, 5]]", "True", "[[0, 1, 2, 3], [4, 5]]", "[1.0, 1.0] False",
    ]  # fmt: skip


@ORDERS
def test_a_loader_copies_ahead(lazy: str) -> None:
    text = faked.run(
        """
x, y = sn.random.normal(shape=(50, 8)), sn.arange(50)
class Items:
    def __len__(self): return 50
    def __getitem__(self, i): return {"x": x[i], "y": int(y[i]), "name": str(i)}
def batches(data, **how):
    return list(sn.data.DataLoader(data, batch_size=8, seed=3, **how))
for shuffle in (False, True):
    plain = batches(sn.data.TensorDataset(x, y), shuffle=shuffle)
    for prefetch in (0, 2):
        got = batches(sn.data.TensorDataset(x, y), shuffle=shuffle, prefetch=prefetch,
                      prefetch_to="cuda")
        pinned = batches(sn.data.TensorDataset(x, y), shuffle=shuffle, prefetch=prefetch,
                         pin_memory=True)
        for a, b, c in zip(plain, got, pinned, strict=True):
            for p, q, r in zip(a, b, c, strict=True):
                assert q.device == "cuda:0" and q.tolist() == p.tolist() == r.tolist()
                assert r.device == "cpu" and r.is_pinned()
a, b = batches(Items(), shuffle=True), batches(Items(), shuffle=True, prefetch_to="cuda")
for p, q in zip(a, b, strict=True):
    assert p["name"] == q["name"] and q["x"].device == "cuda:0"
    assert p["x"].tolist() == q["x"].tolist() and p["y"].tolist() == q["y"].tolist()
print("same")
""",
        SENNIT_FAKE_LAZY=lazy,
    )
    assert text == "same\n"


def test_page_locked_memory_is_used_again() -> None:
    text = faked.run(
        """
held = set()
for k in range(20):
    x = sn.full((4096,), float(k)).pin_memory()
    held.add(x.numpy().ctypes.data)
    y = x.to("cuda"); y.tolist()
    del x, y
    sn.synchronize()
print(len(held) < 6)
"""
    )
    assert text == "True\n"


# ---- several devices


@ORDERS
@pytest.mark.parametrize("peers", ["0", "1"])
def test_copies_between_devices_are_ordered_with_the_work_of_both(lazy: str, peers: str) -> None:
    text = faked.run(
        """
x = sn.arange(2000, dtype=sn.float32)
a, b = x.to("cuda:0"), x.to("cuda:1")
for k in range(8):
    a = (b + 1).to("cuda:0") * 2     # what (b + 1) lay in is used again at once
    other = b * 3
    b = a.to("cuda:1") - x.to("cuda:1")
    del other
want, w = x.numpy(), x.numpy()
for k in range(8):
    v = (w + 1) * 2
    w = v - want
print((a.to("cpu").numpy() == v).all(), (b.to("cpu").numpy() == w).all())
print(a[::2].to("cuda:1").device, a[5:8].to("cuda:1").tolist() == v[5:8].tolist())
print(a[0:0].to("cuda:1").shape)
""",
        SENNIT_FAKE_LAZY=lazy,
        SENNIT_FAKE_PEERS=peers,
        SENNIT_FAKE_DEVICES="2",
    )
    assert text.splitlines() == ["True True", "cuda:1 True", "(0,)"]


def test_work_for_several_devices_in_one_program() -> None:
    """Ops of two GPUs and two CPU devices in turn; each is computed where its operands lie."""
    text = faked.run(
        """
def program(devices):
    xs = [sn.arange(6, dtype=sn.float32).to(d) for d in devices]
    ys = [x for x in xs]
    for k in range(5):
        ys = [sn.exp(y * 0.1) + x for x, y in zip(xs, ys)]
    return ys
devices = ["cuda:0", "cpu", "cuda:1", "cpu:1"]
got = program(devices)
want = program(["cpu"] * 4)
assert [g.device for g in got] == devices, [g.device for g in got]
assert all(g.tolist() == w.tolist() for g, w in zip(got, want))
def message(f):
    try: f()
    except sn.DeviceError as e: return str(e).splitlines()[0]
print(message(lambda: got[0] + got[2]))
print(message(lambda: got[1] @ got[2]))
@sn.compile
def both(x, y):
    z = x * 2
    return z + 1, (y * 3).sum()
for _ in range(4):
    p, q = both(got[0], got[1])
    assert p.device == "cuda:0" and q.device == "cpu", (p.device, q.device)
    assert p.tolist() == (want[0] * 2 + 1).tolist() and q.item() == (want[1] * 3).sum().item()
g = sn.asarray([1.0, 2.0], device="cuda:1").requires_grad_()
(g.to("cuda:0") * 2).to("cpu").sum().backward()
print(g.grad.device, g.grad.tolist())
""",
        SENNIT_FAKE_DEVICES="2",
        SENNIT_CPU_DEVICES="2",
        SENNIT_FAKE_LAZY="1",
    )
    lines = text.splitlines()
    assert "cuda:0 and cuda:1" in lines[0] and "cpu and cuda:1" in lines[1]
    assert lines[2] == "cuda:1 [2.0, 2.0]"


def test_other_threads_run_while_an_op_on_the_cpu_waits() -> None:
    """The driver's wait takes a second, in which another thread counts."""
    text = faked.run(
        """
import os, threading, time
import sennit.nn.functional as F
def loss(x):
    return F.ctc_loss(x, labels, (6, 6), (2, 2))
x = sn.log_softmax(sn.random.normal(shape=(6, 2, 4)), axis=-1).to("cuda")
labels = sn.asarray([[1, 2], [3, 3]]).to("cuda")
sn.config.window = 1
loss(x).item()
ticks, longest, stop = [time.perf_counter()], 0.0, False
def count():
    while not stop:
        time.sleep(0.005)
        ticks.append(time.perf_counter())
thread = threading.Thread(target=count); thread.start()
os.environ["SENNIT_FAKE_SLOW"] = "400"
loss(x); sn.synchronize()
del os.environ["SENNIT_FAKE_SLOW"]
stop = True; thread.join()
print(max(b - a for a, b in zip(ticks, ticks[1:])) < 0.3, ticks[-1] - ticks[0] > 0.3)
"""
    )
    assert text == "True True\n"
