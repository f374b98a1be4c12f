"""Several devices in one process: placement, copies, errors, memory of their own."""

from __future__ import annotations

import pytest

import sennit as sn

# Each snippet runs in a fresh interpreter that has cpu:0 to cpu:3.
SNIPPETS = {
    "count and names": """
        assert sn.device_count() == 4 == sn.device_count("cpu")
        assert sn.ones(2).device == sn.ones(2, device="cpu").device
        assert str(sn.ones(2, device="cpu:3").device) == "cpu:3"
        assert sn.tensor([1, 2], device="cpu:2").device == "cpu:2"
    """,
    "results stay where their operands are": """
        x = sn.arange(6, device="cpu:2", dtype=sn.float32).reshape(2, 3)
        for y in (x + 1, x @ x.T, x.sum(), x[0], x.T, sn.softmax(x, axis=1), sn.zeros_like(x), -x):
            assert y.device == "cpu:2", y
        assert (x @ x.T).tolist() == [[5, 14], [14, 50]]
    """,
    "copies": """
        x = sn.arange(4, dtype=sn.float32)
        y = x.to("cpu:1")
        assert y.device == "cpu:1" and y.tolist() == [0, 1, 2, 3]
        y += 1
        assert x.tolist() == [0, 1, 2, 3]
        assert y.to("cpu:1") is y or y.to("cpu:1").tolist() == y.tolist()
        assert y.to("cpu:3").to("cpu:0").tolist() == [1, 2, 3, 4]
        assert (x + y.to(x.device)).tolist() == [1, 3, 5, 7]
    """,
    "gradients flow back through copies": """
        w = sn.tensor([1.0, 2.0], requires_grad=True)
        y = (w * 3).to("cpu:1")
        ((y * y).to("cpu:2") * 2).sum().backward()
        assert w.grad.device == w.device
        assert w.grad.tolist() == [36.0, 72.0]
    """,
    "mixed devices": """
        x, y = sn.ones((2, 2)), sn.ones((2, 2), device="cpu:1")
        for f in (lambda: x + y, lambda: x @ y, lambda: sn.concat([x, y]),
                  lambda: sn.mse_loss(x, y),
                  lambda: sn.where(x > 0, x, y), lambda: x.__setitem__(0, y[0])):
            try:
                f()
            except sn.DeviceError as e:
                text = str(e)
                assert e.code == "SN105", text
                assert "cpu " in text and "cpu:1" in text and ".to(" in text, text
            else:
                raise AssertionError("no error")
        assert (x + 1).tolist() == [[2, 2], [2, 2]]
        assert (x * sn.tensor(2.0).to("cpu:0")).tolist() == [[2, 2], [2, 2]]
        assert (y * 2.0).device == "cpu:1"
    """,
    "no such device": """
        for name in ("cpu:4", "cpu:-1", "tpu", "cpu:x", ""):
            try:
                sn.ones(2, device=name)
            except sn.SennitError as e:
                assert e.code in ("SN105", "SN104", "SN108"), e
            else:
                raise AssertionError(name)
    """,
    "memory is counted apart": """
        before = [sn.memory.stats(d)["in_use"] for d in range(4)]
        x = sn.rand(1 << 20, device="cpu:2")
        sn.synchronize()
        x.sum().item()
        grown = [sn.memory.stats(d)["in_use"] - b for d, b in enumerate(before)]
        assert grown[2] >= 4 << 20, grown
        assert grown[0] < 1 << 16 and grown[1] == 0 and grown[3] == 0, grown
        del x
        sn.synchronize()
        assert sn.memory.stats(2)["in_use"] <= before[2] + grown[2] - (4 << 20)
        sn.memory.reset_peak(2)
        assert sn.memory.stats(2)["peak"] <= sn.memory.stats(2)["in_use"] + 4096
    """,
    "the same bits on every device": """
        import numpy as np
        a = np.random.default_rng(0).standard_normal((65, 70)).astype(np.float32)
        b = a.T.copy()
        products = [
            sn.gelu(sn.tensor(a, device=f"cpu:{d}")) @ sn.tensor(b, device=f"cpu:{d}")
            for d in range(4)
        ]
        found = {p.numpy().tobytes() for p in products}
        assert len(found) == 1
        drawn = set()
        for d in range(4):
            sn.random.seed(5)
            drawn.add(sn.rand(100, device=f"cpu:{d}").numpy().tobytes())
        assert len(drawn) == 1
    """,
    "work on several devices interleaved": """
        xs = [sn.zeros(10, device=f"cpu:{d}") for d in range(4)]
        for k in range(100):
            for d in range(4):
                xs[d] = xs[d] + (d + 1)
            if k % 10 == 9:
                xs[0] = xs[0] + xs[3].to("cpu:0")
        assert [x[0].item() for x in xs[1:]] == [200, 300, 400]
        assert xs[0][0].item() == 100 + sum(40 * j for j in range(1, 11))
    """,
    "views and in-place work": """
        x = sn.zeros((3, 3), device="cpu:3")
        x[1] = 5
        x.T[0] += 1
        assert x.device == "cpu:3" and x.tolist() == [[1, 0, 0], [6, 5, 5], [1, 0, 0]]
    """,
    "pickle keeps the device": """
        import copy, pickle
        x = sn.ones(3, device="cpu:1")
        assert pickle.loads(pickle.dumps(x)).device == "cpu:1"
        assert copy.deepcopy(x).device == "cpu:1"
    """,
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_four_cpu_devices(name: str, fresh_python) -> None:
    from textwrap import dedent

    fresh_python("-c", "import sennit as sn\n" + dedent(SNIPPETS[name]), SENNIT_CPU_DEVICES="4")


def test_modules_move(fresh_python) -> None:
    fresh_python(
        "-c",
        "import sennit as sn\n"
        "from sennit import nn\n"
        "m = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).to('cpu:2')\n"
        "assert all(p.device == 'cpu:2' for p in m.parameters())\n"
        "y = m(sn.ones((5, 3), device='cpu:2'))\n"
        "assert y.device == 'cpu:2'\n"
        "y.sum().backward()\n"
        "assert all(p.grad.device == 'cpu:2' for p in m.parameters())\n",
        SENNIT_CPU_DEVICES="4",
    )


def test_missing_gpu_says_what_is_missing() -> None:
    if sn.device_count("cuda"):
        pytest.skip("there is a GPU")
    with pytest.raises(sn.DeviceError, match=r"cuda.*doctor") as caught:
        sn.ones(3).to("cuda")
    assert caught.value.code == "SN105"
    assert "cuda" in sn.doctor()


def test_a_window_holds_the_work_of_one_device() -> None:
    """Also where nothing but the call says which device that is."""
    with sn.explain() as report:
        a, b = sn.full((2,), 1.0), sn.full((2,), 2.0, device="reference")
        c = sn.full((2,), 3.0)
    assert len(report.windows) >= 3
    assert (a.device, b.device, c.device) == ("cpu", "reference:0", "cpu")
