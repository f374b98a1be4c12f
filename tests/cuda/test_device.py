"""Tensors of the device "cuda", on fakes: copies, programs, ops that run on the CPU, failures."""

from __future__ import annotations

import subprocess
import sys

import faked
import pytest

pytestmark = faked.needs_fakes

# Work runs when it is issued, or as late as it may.
BOTH = pytest.mark.parametrize("lazy", ["0", "1"])


@BOTH
def test_there_and_back(lazy: str) -> None:
    text = faked.run(
        """
dtypes = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
          "float16", "float32", "float64", "complex64", "complex128"]
for name in dtypes:
    a = (np.arange(24).reshape(2, 3, 4) % 7).astype(name)
    x = sn.asarray(a)
    for part in (x, x[1], x.mT, x[:, ::2, 1:], x[0:0], x[1, 2, 3]):
        y = part.to("cuda")
        assert y.device == "cuda:0" and y.is_cuda and not y.is_cpu, y.device
        assert y.dtype == part.dtype and y.shape == part.shape
        assert (y.to("cpu").numpy() == part.numpy()).all(), name
        assert y.tolist() == part.tolist()
b = sn.asarray([1.5, -2.0]).astype(sn.bfloat16)
assert b.to("cuda").to("cpu").tolist() == [1.5, -2.0]
big = np.random.default_rng(0).integers(0, 1 << 62, 3 << 20)  # 24 MiB: several pieces
x = sn.asarray(big).to("cuda")
assert (x.to("cpu").numpy() == big).all()
assert (x[::-3][5:].to("cpu").numpy() == big[::-3][5:]).all()
print("same")
""",
        SENNIT_FAKE_LAZY=lazy,
    )
    assert text == "same\n"


def test_what_is_overwritten_after_a_copy_was_copied_before() -> None:
    """The copy may run later, and reads memory of its own."""
    text = faked.run(
        """
a = np.arange(100.0)
x = sn.asarray(a, device="cuda")
a[:] = 0
y = sn.asarray(np.arange(100.0), device="cuda")
print((x - y).abs().sum().item(), a.sum())
""",
        SENNIT_FAKE_LAZY="1",
    )
    assert text == "0.0 0.0\n"


@BOTH
def test_chains_have_the_bits_of_the_cpu(lazy: str) -> None:
    text = faked.run(
        """
def program(x, y):
    z = sn.exp(x) * 2 + y.mT.contiguous().mT / 3
    s = sn.softmax(z, axis=-1)
    return z, s, s.sum(axis=0), (x > y).astype(sn.int32), x.mean(), sn.sin(x[:, ::2]) - 1, x @ y.mT
sn.random.seed(3)
x, y = sn.random.normal(shape=(37, 53)), sn.random.normal(shape=(37, 53))
want = [t.numpy() for t in program(x, y)]
for window in (1, 100):
    sn.config.window = window
    got = program(x.to("cuda"), y.to("cuda"))
    for g, w in zip(got, want):
        assert g.device == "cuda:0"
        assert g.to("cpu").numpy().tobytes() == w.tobytes(), (g, w)
print("same")
""",
        SENNIT_FAKE_LAZY=lazy,
    )
    assert text == "same\n"


TRAIN = """
from sennit import nn, optim
import sennit.nn.functional as F

def train(device, compiled, steps=6):
    sn.random.seed(0)
    model = nn.Sequential(
        nn.Linear(20, 32), nn.LayerNorm(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 5)
    ).to(device)
    best = optim.{optimizer}
    data = np.random.default_rng(1)
    losses = []
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        best.zero_grad()
        loss.backward()
        best.step()
        return loss
    if compiled:
        step = sn.compile(step)
    for _ in range(steps):
        x = sn.asarray(data.normal(size=(16, 20)).astype("float32")).to(device)
        y = sn.asarray(data.integers(0, 5, 16)).to(device)
        losses.append(step(x, y).item())
    return losses, [p.to("cpu").tolist() for p in model.parameters()]

for compiled in (False, True):
    cpu, gpu = train("cpu", compiled), train("cuda", compiled)
    assert cpu[0][0] > cpu[0][-1], cpu[0]
    assert cpu == gpu, (cpu[0], gpu[0])
print("same")
"""


@BOTH
@pytest.mark.parametrize(
    "optimizer",
    ["SGD(model.parameters(), lr=0.1, momentum=0.9)", "Adam(model.parameters(), lr=0.01)"],
)
def test_a_small_network_trains_as_on_the_cpu(optimizer: str, lazy: str) -> None:
    assert faked.run(TRAIN.replace("{optimizer}", optimizer), SENNIT_FAKE_LAZY=lazy) == "same\n"


def test_in_place_and_views() -> None:
    text = faked.run(
        """
def program(device):
    x = sn.arange(24, dtype=sn.float32).reshape(4, 6).to(device)
    x += 1
    row = x[1]
    row *= 3
    x[2, 1:4] = sn.asarray([7.0, 8.0, 9.0]).to(device)
    x.T[0] = 5
    x[x > 20] = -1
    for r in x[:2]:
        r -= 1
    x[[0, 3], [1, 2]] = 100
    return x
a, b = program("cpu"), program("cuda")
assert b.device == "cuda:0" and a.tolist() == b.tolist(), (a, b)
print("same")
"""
    )
    assert text == "same\n"


def test_elements_are_read_through_copies() -> None:
    text = faked.run(
        """
import copy, pickle, sys, tempfile, os
x = sn.asarray([[1.5, 2.0], [3.0, -4.0]]).to("cuda")
print(x)
print(repr(x[0, 0].item()), float(x[0, 1]), int(x[1, 0]), bool(x[1, 1] < 0), f"{x[1, 1]:.1f}")
print([float(r.sum()) for r in x], 3.0 in x[1], len(x))
print(x.nonzero()[0].device, x[x > 2].tolist(), sn.unique(x).tolist())
path = os.path.join(tempfile.mkdtemp(), "x.safetensors")
sn.save({"x": x}, path)
y = sn.load(path)["x"]
print(y.device, sn.load(path, device="cuda")["x"].device, y.tolist())
for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
    print(y.device, y.tolist())
print(sn.linalg.inv(x).device, sn.fft.fft(x).device)
if x.sum() > 0: print("positive")
print(sn.cond(x.sum() > 0, lambda v: v + 1, lambda v: v - 1, x).tolist())
print(x.to("cuda") is x or x.to("cuda").device, x.cpu().device if hasattr(x, "cpu") else "cpu")
"""
    )
    lines = text.splitlines()
    assert "1.5" in lines[0] and "cuda:0" in text
    assert "1.5 2.0 3 True -4.0" in lines
    assert "[3.5, -1.0] True 2" in lines
    assert "cuda:0 [3.0] [-4.0, 1.5, 2.0, 3.0]" in lines
    assert "cpu cuda:0 [[1.5, 2.0], [3.0, -4.0]]" in lines
    assert lines.count("cuda:0 [[1.5, 2.0], [3.0, -4.0]]") == 2
    assert "cuda:0 cuda:0" in lines and "positive" in lines
    assert "[[2.5, 3.0], [4.0, -3.0]]" in lines


@pytest.mark.parametrize("how", ["x.numpy()", "np.asarray(x)", "memoryview(x)"])
def test_numpy_does_not_read_device_memory(how: str) -> None:
    text = faked.run(
        f"x = sn.ones((2, 3)).to('cuda')\ntry:\n    {how}\nexcept Exception as e:\n"
        "    print(type(e).__name__, e)"
    )
    assert "DeviceError" in text and "(2, 3)" in text and "'cuda:0'" in text
    assert 'x.to("cpu")' in text


def test_dlpack_names_the_device() -> None:
    text = faked.run(
        """
x = sn.ones((2, 3)).to("cuda")
print(x.__dlpack_device__(), sn.ones(2).__dlpack_device__())
capsule = x.__dlpack__(max_version=(1, 0))
moved = x.__dlpack__(max_version=(1, 0), dl_device=(1, 0))
class Held:
    def __init__(self, c): self.c = c
    def __dlpack__(self, **_): return self.c
print(sn.from_dlpack(Held(moved)).tolist())
shared = sn.from_dlpack(Held(capsule))
print(shared.device, shared.tolist())
"""
    )
    lines = text.splitlines()
    assert lines[0] == "(2, 0) (1, 0)"
    assert lines[1] == "[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]"
    assert lines[2] == "cuda:0 " + lines[1]


def test_gradients_flow_between_devices() -> None:
    text = faked.run(
        """
x = sn.ones(3).requires_grad_()
y = (x.to("cuda") * sn.asarray([1.0, 2.0, 3.0]).to("cuda")).sum()
y.backward()
print(x.grad.device, x.grad.tolist())
try: x + sn.ones(3).to("cuda")
except sn.DeviceError as e: print(e)
"""
    )
    assert text.startswith("cpu [1.0, 2.0, 3.0]\n") and "cuda:0" in text.splitlines()[1]


def test_bad_values_are_found_with_the_messages_of_the_cpu() -> None:
    text = faked.run(
        """
import sennit.nn.functional as F
def message(f):
    try: f(); sn.synchronize()
    except sn.SennitError as e: return type(e).__name__ + str(e).splitlines()[0]
for make in (
    lambda d: F.cross_entropy(sn.ones((4, 3)).to(d), sn.asarray([0, 1, 5, 2]).to(d)),
    lambda d: sn.ones((4, 3)).to(d)[sn.asarray([0, 9]).to(d)],
    lambda d: F.embedding(sn.asarray([3, 8]).to(d), sn.ones((5, 2)).to(d)),
):
    a, b = message(lambda: make("cpu")), message(lambda: make("cuda"))
    assert a and a == b, (a, b)
    print(a)
w = sn.ones(3).to("cuda")
bad = w + 1
x = sn.ones((2, 3)).to("cuda")[sn.asarray([7]).to("cuda")]
print((w * 2).tolist(), bad.tolist())
try: print(x.tolist())
except sn.SennitError as e: print(type(e).__name__)
"""
    )
    assert text.splitlines()[-2:] == ["[2.0, 2.0, 2.0] [2.0, 2.0, 2.0]", "IndexOutOfBounds"] or (
        "Index" in text.splitlines()[-1]
    )


def test_ops_that_ran_on_the_cpu_are_counted() -> None:
    text = faked.run(
        """
print(sn.cuda.fallbacks())
import sennit.nn.functional as F
def loss(device):
    sn.random.seed(0)
    x = sn.log_softmax(sn.random.normal(shape=(6, 2, 4)), axis=-1).to(device)
    return F.ctc_loss(x, sn.asarray([[1, 2], [3, 3]]).to(device), (6, 6), (2, 2)).item()
sn.cuda.reset_fallbacks()
assert loss("cuda") == loss("cpu")
report = sn.cuda.fallbacks()
print(report["ctc_loss"], str(report).splitlines()[0])
sn.cuda.reset_fallbacks()
print(dict(sn.cuda.fallbacks()))
"""
    )
    lines = text.splitlines()
    assert lines[0] == "everything ran on the device"
    assert lines[1:] == ["1 ran on the CPU, through copies:", "{}"]


def test_tensors_are_made_on_the_device() -> None:
    text = faked.run(
        """
def made(device):
    sn.random.seed(5)
    yield sn.full((2, 3), 2.5, device=device)
    yield sn.zeros(3, dtype=sn.int16, device=device)
    yield sn.arange(3, 20, 4, device=device)
    yield sn.linspace(0, 1, 7, device=device)
    yield sn.eye(3, device=device)
    yield sn.random.normal(shape=(100,), device=device)
    yield sn.random.integers(0, 10, (50,), device=device)
    yield sn.asarray([[1, 2], [3, 4]], device=device) + np.arange(2)
    yield sn.empty((0, 3), device=device).sum(axis=0)
    yield sn.zeros_like(sn.ones(4, device=device)).copy_(sn.ones(4)) * np.float32(3)
for a, b in zip(list(made("cpu")), list(made("cuda"))):
    assert b.device == "cuda:0" and a.dtype == b.dtype and a.tolist() == b.tolist(), (a, b)
print("same")
"""
    )
    assert text == "same\n"


def test_blocks_of_memory_never_overlap() -> None:
    """Any order of allocations and frees: what lives keeps its contents, and idle segments go."""
    text = faked.run(
        """
rng = np.random.default_rng(2)
live, bad = {}, 0
for step in range(500):
    if live and rng.random() < 0.48:
        key = list(live)[rng.integers(len(live))]
        a, x = live.pop(key)
        bad += not (x.to("cpu").numpy() == a).all()
    else:
        n = int(rng.choice([1, 100, 5000, 70_000, 400_000, 2_000_000]) * rng.uniform(0.5, 1))
        a = np.full(n, step, np.int32)
        live[step] = a, sn.asarray(a, device="cuda")
for a, x in live.values():
    bad += not (x.to("cpu").numpy() == a).all()
stats = sn.cuda.memory_stats()
held = sum(a.nbytes for a, x in live.values())
print(bad, held <= stats["in_use"] <= 1.3 * held + (1 << 16), stats["cached"] >= 0)
print(stats["cache_hits"] > 0.8 * stats["allocations"])
del a, x; live.clear()
print(sn.cuda.memory_allocated(), sn.cuda.empty_cache() > 0, sn.cuda.memory_reserved())
""",
        SENNIT_FAKE_MEMORY="4096",
    )
    assert text.splitlines() == ["0 True True", "True", "0 True 0"]


@pytest.mark.slow
@pytest.mark.parametrize("window", ["", "1"])
def test_layers_give_what_they_give_on_the_cpu(window: str) -> None:
    """tests/nn/test_on_other_devices.py, on the fakes."""
    settings = {"SENNIT_TEST_DEVICE": "cuda"} | ({"SENNIT_WINDOW": window} if window else {})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/nn/test_on_other_devices.py"],
        env=faked.environment(**settings), cwd=faked.ROOT, check=False, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]


def test_several_devices_and_threads() -> None:
    text = faked.run(
        """
import threading
x = [sn.full((1000,), float(i)).to(f"cuda:{i}") for i in range(2)]
assert (x[1].to("cuda:0") + x[0]).device == "cuda:0"
assert (x[0].to("cuda:1") + x[1]).tolist() == [1.0] * 1000
wrong = []
def work(i):
    for k in range(50):
        a = sn.full((100 + k,), float(k)).to(f"cuda:{i % 2}")
        b = (a * 2 + i).sum().item()
        if b != (2 * k + i) * (100 + k): wrong.append((i, k, b))
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
print(wrong)
""",
        SENNIT_FAKE_DEVICES="2",
        SENNIT_FAKE_LAZY="1",
    )
    assert text == "[]\n"


def test_a_window_that_fails_is_replayed() -> None:
    """What does not depend on a bad value is computed; state keeps its former value."""
    text = faked.run(
        """
x = sn.arange(6, dtype=sn.float32).reshape(2, 3).to("cuda")
good = (x * 2).mT
bad = x[sn.asarray([5]).to("cuda")]
late = good + 1
try: bad.tolist()
except sn.SennitError as e: print("failed")
print(good.tolist(), late.tolist())
"""
    )
    assert text.splitlines() == [
        "failed",
        "[[0.0, 6.0], [2.0, 8.0], [4.0, 10.0]] [[1.0, 7.0], [3.0, 9.0], [5.0, 11.0]]",
    ]


def test_explain_names_the_steps() -> None:
    text = faked.run(
        """
sn.config.window = 100
x = sn.ones((8, 8)).to("cuda")
with sn.explain() as e:
    y = sn.relu(x @ x + 1)
print(e.kernels, e.windows[0]["steps"][0]["ops"], e.windows[0]["order"])
"""
    )
    assert "'matmul', 'add', 'relu'" in text and text.rstrip().endswith("[]")
