"""The same programs on a real GPU: skipped where there is none."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import sennit as sn
import sennit.nn.functional as F
from sennit import nn, optim

pytestmark = pytest.mark.gpu


def test_there_and_back() -> None:
    for name in ("bool", "int8", "int64", "uint16", "float16", "float32", "float64", "complex64"):
        a = (np.arange(24).reshape(2, 3, 4) % 7).astype(name)
        x = sn.asarray(a)
        for part in (x, x.mT, x[:, ::2, 1:], x[0:0], x[1, 2, 3]):
            assert (part.to("cuda").to("cpu").numpy() == part.numpy()).all()
    big = np.random.default_rng(0).integers(0, 1 << 62, 5 << 20)
    assert (sn.asarray(big).to("cuda").to("cpu").numpy() == big).all()


def test_chains_have_the_bits_of_the_cpu() -> None:
    def program(x: sn.Tensor, y: sn.Tensor) -> list[sn.Tensor]:
        z = sn.exp(x) * 2 + y / 3
        return [z, sn.tanh(z), sn.softmax(z, axis=-1), z.sum(axis=0), z.mean(), sn.erf(x) * y]

    sn.random.seed(3)
    x, y = sn.random.normal(shape=(37, 1000)), sn.random.normal(shape=(37, 1000))
    for got, want in zip(program(x.to("cuda"), y.to("cuda")), program(x, y), strict=True):
        assert got.is_cuda
        assert got.to("cpu").numpy().tobytes() == want.numpy().tobytes()


def losses(device: str) -> list[float]:
    sn.random.seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.LayerNorm(128), nn.ReLU(), nn.Linear(128, 10))
    model.to(device)
    best = optim.Adam(model.parameters(), lr=0.01)
    data = np.random.default_rng(1)
    found = []
    for _ in range(20):
        x = sn.asarray(data.normal(size=(32, 64)).astype("float32")).to(device)
        y = sn.asarray(data.integers(0, 10, 32)).to(device)
        loss = F.cross_entropy(model(x), y)
        best.zero_grad()
        loss.backward()
        best.step()
        found.append(loss.item())
    return found


def test_a_network_trains_as_on_the_cpu_and_twice_the_same() -> None:
    gpu = losses("cuda")
    assert gpu == losses("cuda")
    np.testing.assert_allclose(gpu, losses("cpu"), rtol=1e-3)


def test_memory_comes_back() -> None:
    sn.cuda.synchronize()
    before = sn.cuda.memory_allocated()
    x = sn.ones((1024, 1024)).to("cuda")
    assert sn.cuda.memory_allocated() - before == 4 << 20
    del x
    gc.collect()
    assert sn.cuda.memory_allocated() == before
    sn.cuda.empty_cache()


def test_out_of_memory_is_told_and_the_device_stays_usable() -> None:
    free, total = sn.cuda.mem_get_info()
    assert 0 < free <= total
    sn.cuda.set_per_process_memory_fraction(0.01)
    try:
        with pytest.raises(MemoryError, match="of which this process may have"):
            sn.zeros((total // 50,), dtype=sn.float32, device="cuda").sum().item()
    finally:
        sn.cuda.set_per_process_memory_fraction(1.0)
    assert (sn.ones(3).to("cuda") + 1).tolist() == [2, 2, 2]


def test_doctor_names_the_gpu() -> None:
    report = sn.doctor()
    assert report.cuda.available and report.cuda.devices[0].memory > 1 << 30
    assert sn.cuda.get_device_name() in report


def test_memory_is_shared_with_torch() -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch for CUDA")
    if not torch.cuda.is_available():
        pytest.skip("needs PyTorch for CUDA")
    other = torch.arange(6, dtype=torch.float32, device="cuda").reshape(2, 3).mT
    for x in (sn.from_dlpack(other), sn.asarray(other)):
        assert x.is_cuda and x.tolist() == other.tolist()
        assert x.__cuda_array_interface__["data"][0] == other.data_ptr()
    x = sn.arange(6, dtype=sn.float32).to("cuda") * 2
    back = torch.from_dlpack(x)
    assert back.is_cuda and back.tolist() == [0, 2, 4, 6, 8, 10]


def test_memory_is_shared_with_cupy() -> None:
    cupy = pytest.importorskip("cupy", reason="needs CuPy")
    other = cupy.arange(6, dtype="float32").reshape(2, 3)[:, ::-1]
    for x in (sn.from_dlpack(other), sn.asarray(other)):
        assert x.is_cuda and (x.to("cpu").numpy() == cupy.asnumpy(other)).all()
    x = sn.arange(6, dtype=sn.float32).to("cuda") * 2
    assert cupy.asnumpy(cupy.asarray(x)).tolist() == [0, 2, 4, 6, 8, 10]
