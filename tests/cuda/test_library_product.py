"""Products by cuBLASLt, through a fake of it that rounds factors as the mode says."""

from __future__ import annotations

from pathlib import Path

import faked
import pytest

pytestmark = faked.needs_fakes

HEAD = """
rng = np.random.default_rng(0)
def draw(*shape): return sn.asarray(rng.standard_normal(shape).astype("float32"))
def there(x): return x.to("cuda")
def runs(): return sn._core.cuda_library_runs()
def exact(a, b): return a.astype(sn.float64).numpy() @ b.astype(sn.float64).numpy()
def error(got, want): return float(np.abs(got.to("cpu").astype(sn.float64).numpy() - want).max())
"""


def run(code: str, path: str | None = None, **settings: str) -> str:
    return faked.run(HEAD + code, faked.with_blas() if path is None else path, **settings)


def test_halves_of_every_layout_go_through_the_library() -> None:
    run("""
for dtype in (sn.float16, sn.bfloat16):
    last = runs()[0]
    for m, n, k, batch in ((5, 7, 9, ()), (33, 17, 64, (3,)), (1, 8, 4, ()), (8, 1, 4, (2,)),
                           (4, 4, 1, ()), (1, 1, 3, (2,)), (16, 3, 2100, ())):
        a, b = draw(*batch, m, k).astype(dtype), draw(*batch, k, n).astype(dtype)
        for x, y in ((a, b), (a.mT.contiguous().mT, b), (a, b.mT.contiguous().mT),
                     (a.mT.contiguous().mT, b.mT.contiguous().mT)):
            got = there(x) @ there(y)
            assert got.dtype == dtype
            want = sn.asarray(exact(a, b)).astype(sn.float32).astype(dtype)
            assert error(got, want.astype(sn.float64).numpy()) == 0, (m, n, k, batch)
            sn.synchronize()
            now, refused = runs()
            assert now == last + 1 and refused == 0, (m, n, k, batch, now, refused)
            last = now
# Parts of a larger matrix, a shared factor, and a result that is read turned.
x, y = draw(20, 40).astype(sn.float16), draw(40, 24).astype(sn.float16)
got = there(x)[2:12, 5:25] @ there(y)[5:25, ::1]
assert error(got, exact(x[2:12, 5:25], y[5:25])) < 0.02
s = draw(6, 5, 40).astype(sn.float16)
assert error(there(s) @ there(y), exact(s, y)) < 0.04
sn.synchronize()
assert runs()[1] == 0
# What it cannot read is left to the kernels here: the same product, and the CPU's bits.
got = (there(x)[::2, ::2] @ there(y)[::2, ::3]).to("cpu")
assert (got.astype(sn.float32).numpy()
        == (x[::2, ::2] @ y[::2, ::3]).astype(sn.float32).numpy()).all()
assert runs()[1] == 1
empty = there(draw(0, 4).astype(sn.float16)) @ there(draw(4, 3).astype(sn.float16))
assert empty.shape == (0, 3)
nothing = there(draw(2, 0).astype(sn.float16)) @ there(draw(0, 3).astype(sn.float16))
assert nothing.to("cpu").tolist() == [[0.0] * 3] * 2
print("done")
""")


def test_float32_takes_the_mode_that_is_allowed() -> None:
    run("""
a, b = draw(40, 50), draw(50, 30)
def product(): return there(a) @ there(b)
want = exact(a, b)
def rounded(x, bits):
    w = x.numpy().copy().view("uint32")
    w = w + ((1 << (bits - 1)) - 1) + ((w >> bits) & 1)
    return sn.asarray((w >> bits << bits).astype("uint32").view("float32"))
assert (product().to("cpu").numpy() == (a @ b).numpy()).all() and runs() == (0, 0)
errors = {}
for name, bits in (("tf32", 13), ("high", 13), ("bf16", 16), ("medium", 16)):
    sn.config.matmul_precision = name
    got = product()
    assert got.dtype == sn.float32
    assert error(got, exact(rounded(a, bits), rounded(b, bits))) < 1e-5
    errors[sn.config.matmul_precision] = error(got, want)
assert runs()[0] == 4
assert 1e-5 < errors["high"] < 1e-2 < errors["medium"] < 0.1, errors
# A change reuses no plan of another mode: neither of windows nor of compiled functions.
step = sn.compile(lambda x, y: x @ y + 1)
x, y = there(a), there(b)
for name in ("highest", "high", "highest", "high", "highest"):
    sn.config.matmul_precision = name
    for got, more in ((product(), 0), (step(x, y), 1), (step(x, y), 1)):
        far = error(got, want + more)
        assert (far < 2e-5) == (name == "highest"), (name, far, more)
# What was recorded before a change keeps the former mode.
sn.config.matmul_precision = "high"
early = product()
sn.config.matmul_precision = "highest"
assert error(early, want) > 1e-5
# float64 and integers have no other mode, and nor has a CPU.
sn.config.matmul_precision = "medium"
before = runs()
assert error(there(a.astype(sn.float64)) @ there(b.astype(sn.float64)), want) < 1e-12
cpu = (a @ b).numpy()
sn.config.matmul_precision = "highest"
assert runs() == before and (cpu == (a @ b).numpy()).all()
print("done")
""")


TRAIN = """
sn.random.seed(0)
from sennit import nn, optim
model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4))
model.to("cuda")
best = optim.AdamW(model.parameters(), lr=0.01)
x, y = there(draw(12, 8)), sn.asarray(rng.integers(0, 4, 12)).to("cuda")
found = []
for _ in range(6):
    with sn.autocast("cuda", dtype=sn.bfloat16):
        out = model(x)
        loss = nn.functional.cross_entropy(out, y)
    assert out.dtype == sn.bfloat16 and loss.dtype == sn.float32
    best.zero_grad()
    loss.backward()
    best.step()
    found.append(loss.item())
assert found[-1] < found[0]
print(found, *runs())
"""


def test_a_network_trains_through_autocast_and_twice_the_same() -> None:
    first = run(TRAIN)
    assert first == run(TRAIN)
    assert int(first.split()[-2]) >= 6 * 4 and first.split()[-1] == "0"
    own = run(TRAIN, path=f"{faked.folder()}:none")
    assert own.split()[-2:] == ["0", "0"]


PRODUCT = """
x, y = draw(9, 30).astype(sn.bfloat16), draw(30, 5).astype(sn.bfloat16)
got = (there(x) @ there(y)).to("cpu")
own = (got.astype(sn.float32).numpy() == (x @ y).astype(sn.float32).numpy()).all()
print(bool(own), *runs())
"""


@pytest.mark.parametrize(
    ("settings", "computed", "refused"),
    [
        ({"SENNIT_FAKE_BLAS_REFUSES": "1"}, 0, 1),
        ({"SENNIT_FAKE_BLAS_REFUSES": "2"}, 0, 1),
        ({"SENNIT_FAKE_BLAS_BROKEN": "1"}, 0, 1),
        ({"SENNIT_FAKE_BLAS_WORKSPACE": "8"}, 1, 0),
        ({"SENNIT_FAKE_BLAS_WORKSPACE": "64"}, 1, 0),  # more than it may have
        ({"SENNIT_FAKE_BLAS_WORKSPACE": "24", "SENNIT_FAKE_MEMORY": "22"}, 1, 0),  # than there is
        ({"SENNIT_FAKE_LAZY": "1", "SENNIT_FAKE_BLAS_WORKSPACE": "1"}, 1, 0),
    ],
)
def test_what_the_library_does_not_do(
    settings: dict[str, str], computed: int, refused: int
) -> None:
    equal, *counts = run(PRODUCT, **settings).split()
    assert [int(c) for c in counts] == [computed, refused]
    assert computed or equal == "True"


def test_doctor_says_what_is_missing(tmp_path: Path) -> None:
    ask = "print(sn.doctor())\n" + PRODUCT
    without = run(ask, path=f"{faked.folder()}:none")
    assert "cuBLASLt: not found" in without and "nvidia-cublas" in without
    assert "own kernels" in without and without.split()[-3:] == ["True", "0", "0"]
    old = run(ask, SENNIT_FAKE_BLAS="110802")
    assert "is version 11.8" in old and "12.0 or later" in old
    assert old.split()[-3:] == ["True", "0", "0"]
    there = run(ask)
    assert "cuBLASLt: 13.0.0, " in there and there.split()[-2:] == ["1", "0"]
    (tmp_path / "libcublasLt.so.13").symlink_to(faked.folder() / "libnvrtc.so.13")
    other = run(ask, path=f"{faked.folder()}:{tmp_path}:none")
    assert "has no function cublasLtCreate" in other


def test_products_inside_of_attention() -> None:
    run("""
F = sn.nn.functional
q, k, v = (draw(2, 3, 40, 16).astype(sn.bfloat16) for _ in range(3))
got = F.scaled_dot_product_attention(there(q), there(k), there(v), is_causal=True)
want = F.scaled_dot_product_attention(q, k, v, is_causal=True).astype(sn.float64).numpy()
assert got.dtype == sn.bfloat16 and error(got, want) < 0.05
first = runs()
assert first[0] >= 2 and first[1] == 0, first
layer = sn.nn.LSTM(8, 12)
x = draw(5, 3, 8)
with sn.autocast("cpu"):
    want = layer(x)[0].detach().astype(sn.float64).numpy()
layer.to("cuda")
with sn.autocast("cuda", dtype=sn.bfloat16):
    got = layer(there(x))[0].detach()
assert got.dtype == sn.bfloat16 and error(got, want) < 0.05
assert runs() == first  # recurrent layers multiply in float32
print("done")
""")
