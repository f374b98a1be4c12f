"""Kernels of users, the cache's limit and files of compiled kernels, on fakes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import faked
import pytest

pytestmark = faked.needs_fakes

AXPY = '''
SOURCE = """
__device__ float scaled(float a, float x) { return a * x; }
extern "C" __global__ void axpy(const float* x, const float* __restrict__ y, float a, int n,
                                float* z) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) z[i] = scaled(a, x[i]) + y[i];
}
extern "C" __global__ void turned(const long long* x, unsigned char flag, double* sum,
                                  long long* back) {
    extern __shared__ long long kept[];
    kept[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    back[blockIdx.x * blockDim.x + threadIdx.x] = flag ? kept[blockDim.x - 1 - threadIdx.x] : 0;
    if (threadIdx.x == 0) {
        sum[blockIdx.x] = 0;
        for (int i = 0; i < blockDim.x; ++i) sum[blockIdx.x] += kept[i];
    }
}
"""
'''


@pytest.mark.parametrize("lazy", ["0", "1"])
def test_a_kernel_of_the_users(lazy: str) -> None:
    text = faked.run(
        AXPY
        + """
axpy = sn.cuda.kernel(SOURCE, "axpy", block=8)
x = sn.arange(20, dtype=sn.float32).to("cuda")
y = (x * 2 + 1).reshape(4, 5)
want = (3 * x.to("cpu").numpy() + y.to("cpu").numpy().ravel())
for _ in range(2):
    z = axpy(x, y, 3.0, x.size)
    assert z.shape == x.shape and z.device == "cuda:0" and (z + 0).tolist() == want.tolist()
# Strided operands arrive dense.
z = axpy(y.mT, y.mT, 1, 20)
assert z.shape == (5, 4) and (z.to("cpu").numpy() == 2 * y.mT.to("cpu").numpy()).all()
assert axpy(x[:0], x[:0], 1, 0).shape == (0,)

turned = sn.cuda.kernel(SOURCE, "turned", block=4, shared=32,
                        out=lambda a, flag: [((a.size // 4,), sn.float64), (a.shape, sn.int64)],
                        grid=lambda a, flag: a.size // 4)
a = sn.arange(12).to("cuda")
total, back = turned(a, True)
assert total.tolist() == [6, 22, 38] and back.tolist() == [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8]
assert turned(a, 0)[1].tolist() == [0] * 12

class Axpy(sn.Function):
    @staticmethod
    def forward(ctx, x, y): return axpy(x, y, 3.0, x.size)
    @staticmethod
    def backward(ctx, g): return 3 * g, g
x.requires_grad = True
(Axpy.apply(x, x) * 2).sum().backward()
assert x.grad.tolist() == [8] * 20

class Raw:  # as CuPy has it
    code, name, options = SOURCE, "axpy", ("-DUNUSED=1",)
assert sn.cuda.kernel(Raw())(x.detach(), x.detach(), 3.0, 20).tolist()[1] == 4

def refuse(f):
    try: f(); print("taken")
    except sn.SennitError as e: print(type(e).__name__, str(e).splitlines()[0])
refuse(lambda: axpy(x, x, 1.0, 20))
x = x.detach()
refuse(lambda: axpy(x, x, 1.0))
refuse(lambda: axpy(x, a, 1.0, 20))
refuse(lambda: axpy(x, x, "1", 20))
refuse(lambda: axpy(x, 1.0, x, 20))
refuse(lambda: axpy(x.to("cpu"), x.to("cpu"), 1.0, 20))
refuse(lambda: axpy(x, x.to("cpu"), 1.0, 20))
refuse(lambda: axpy(x, x, 1.0, 2**40))
refuse(lambda: axpy(x, x, 1.0, 20, block=2048))
refuse(lambda: axpy(x, x, 1.0, 20, grid=(1, 2, 3, 4)))
refuse(lambda: sn.cuda.kernel(SOURCE))
refuse(lambda: sn.cuda.kernel(3))
refuse(lambda: sn.cuda.kernel(SOURCE, "absent")(x))
try: sn.cuda.kernel(SOURCE.replace("scaled(a, x[i])", "nowhere"), "axpy")(x, x, 1.0, 20)
except sn.cuda.CompileError as e: print("line", e.line, "nowhere" in e.log)
""",
        SENNIT_FAKE_LAZY=lazy,
    )
    lines = text.splitlines()
    assert [line.split()[0] for line in lines] == [
        "GradError", "InvalidType", "DTypeError", "InvalidType", "InvalidType", "DeviceError",
        "DeviceError", "InvalidType", "InvalidValue", "InvalidValue", "InvalidValue",
        "InvalidType", "InvalidValue", "line",
    ], text  # fmt: skip
    assert "has no kernel 'absent'" in lines[-2] and lines[-1] == "line 6 True"


COMPUTE = """
x = sn.arange(5, dtype=sn.float32).to("cuda")
print((x * 3 - 1).tolist(), sn.sort(x)[1:].tolist(), x.sum().item())
print([e["source"] for e in sn.cuda.compile_log()].count("compiled"))
"""


def test_the_cache_has_a_limit(tmp_path: Path) -> None:
    cache = {"SENNIT_CACHE": str(tmp_path)}
    folder = tmp_path / "cuda"
    count = int(faked.run(COMPUTE, **cache).splitlines()[1])
    files = {f: f.stat().st_size for f in folder.iterdir()}
    assert count == len(files) > 2
    assert faked.run(COMPUTE, **cache).splitlines()[1] == "0"
    oldest = min(files, key=lambda f: f.name)
    os.utime(oldest, (1, 1))
    most = sum(files.values()) + 1000
    other = "print((sn.ones(3, device='cuda') / 7).tolist())"
    faked.run(other, SENNIT_CACHE_LIMIT=str(most), **cache)
    left = set(folder.iterdir())
    assert oldest not in left and sum(f.stat().st_size for f in left) <= most
    faked.run(other.replace("7", "7 + 2"), SENNIT_CACHE_LIMIT="0", **cache)
    done = faked.start(other.replace("7", "7 - 1"), SENNIT_CACHE_LIMIT="much", **cache)
    assert "SENNIT_CACHE_LIMIT is 'much'" in done.stderr


def pack(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sennit", "cuda-pack", *arguments], check=False, text=True,
        env=faked.environment(**settings), capture_output=True, timeout=600,
    )  # fmt: skip


def test_compiled_ahead_of_time(tmp_path: Path) -> None:
    """A driver alone runs what was compiled elsewhere."""
    script = tmp_path / "program.py"
    script.write_text("import numpy as np, sennit as sn\n" + COMPUTE)
    file = str(tmp_path / "kernels.snpack")
    done = pack("-o", file, "--arch", "sm_80,sm_90", str(script))
    assert done.returncode == 0, done.stderr
    alone = tmp_path / "driver"
    alone.mkdir()
    (alone / "libcuda.so.1").symlink_to(faked.folder() / "libcuda.so.1")
    path = f"{alone}:none"
    want = faked.run(COMPUTE).splitlines()[0]
    settings = {"SENNIT_CUDA_PACK": file, "SENNIT_CACHE": str(tmp_path / "cache")}
    for capability in ("80", "86", "90"):
        run = faked.run(COMPUTE, path, SENNIT_FAKE_CAPABILITY=capability, **settings)
        assert run.splitlines() == [want, "0"]
    run = faked.run(f"sn.cuda.load_pack({file!r})\n" + COMPUTE, path)
    assert run.splitlines()[0] == want
    assert faked.run(COMPUTE, **settings).splitlines() == [want, "0"]  # NVRTC is there, and idle
    # What is missing is named.
    missing = faked.start("print((sn.ones(3, device='cuda') / 7).tolist())", path, **settings)
    assert "is not in " + file in missing.stderr and "sennit cuda-pack -o FILE" in missing.stderr
    other = faked.start(COMPUTE, path, SENNIT_FAKE_CAPABILITY="75", **settings)
    assert "for sm_75 is not in" in other.stderr
    assert faked.run("print(sn.cuda.is_available())", path).strip() == "False"
    # A file that is not what was written.
    data = Path(file).read_bytes()
    for at, changed in enumerate((data[:-1], data[:70], b"x" * 100, b"",
                                  data[:500] + bytes([data[500] ^ 1]) + data[501:])):  # fmt: skip
        Path(file).write_bytes(changed)
        text = faked.run(
            f"try: sn.cuda.load_pack({file!r})\nexcept sn.FileError as e: print(e)\n"
            "print(sn.cuda.is_available())"
        )
        assert ("is damaged" if at in (0, 1, 4) else "no file of compiled kernels") in text, text
    assert pack("--arch", "sm_999", str(script)).returncode == 1
    assert pack("--arch", "90", str(script)).returncode == 2
    assert pack().returncode == 2
