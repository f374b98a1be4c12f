"""Optimisers on complex parameters: each is updated as the pairs of its parts, as in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from optimizer_cases import WITH_TORCH

import sennit as sn
from sennit import optim

# PyTorch's Adafactor refuses complex parameters, and Muon's are real matrices.
CASES = [(name, kwargs) for name, kwargs in WITH_TORCH if name not in ("Adafactor", "Muon")]


def starts(dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [
        np.asarray(rng.normal(size=s) + 1j * rng.normal(size=s)).astype(dtype)
        for s in ((3, 4), (4,), ())
    ]


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=str)
def test_agrees_with_torch(torch: Any, name: str, kwargs: dict[str, Any], dtype: str) -> None:
    theirs = [torch.tensor(a, requires_grad=True) for a in starts(dtype)]
    ours = [sn.tensor(a, requires_grad=True) for a in starts(dtype)]
    hers = getattr(torch.optim, name)(theirs, **kwargs)
    mine = getattr(optim, name)(ours, **kwargs)
    for step in range(6):
        for params in (theirs, ours):
            for p in params:
                if p.ndim == 1 and step == 2:
                    continue
                ((p - 1.5 + 0.5j).abs() ** 2 * (step % 3 - 0.7)).sum().backward()
        hers.step()
        mine.step()
        hers.zero_grad()
        mine.zero_grad()
    tolerance = 1e-6 if name in ("NAdam", "ASGD") or dtype == "complex64" else 1e-12
    for p, q in zip(theirs, ours, strict=True):
        assert str(q.dtype) == dtype
        np.testing.assert_allclose(
            q.detach().numpy(), p.detach().numpy(), 5 * tolerance, 5 * tolerance
        )


def test_state_is_complex_and_can_be_saved() -> None:
    w = sn.tensor([1 + 1j, -2j], requires_grad=True)
    first = optim.Adam([w], lr=0.1)
    for _ in range(2):
        (abs(w) ** 2).sum().backward()
        first.step()
    state = first.state_dict()["state"][0]
    assert state["exp_avg"].dtype is sn.complex64 and state["exp_avg_sq"].shape == (2,)
    again = sn.tensor(w.detach(), requires_grad=True)
    second = optim.Adam([again], lr=0.1)
    second.load_state_dict(first.state_dict())
    for p, optimizer in ((w, first), (again, second)):
        optimizer.zero_grad()
        (abs(p) ** 2).sum().backward()
        optimizer.step()
    assert again.tolist() == w.tolist()


@pytest.mark.oracle
@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("dtype", ["complex128", "complex64"])
def test_lbfgs_agrees_with_torch(torch: Any, search: str | None, dtype: str) -> None:
    made = []
    for library, module in ((torch, torch.optim), (sn, optim)):
        params = [library.tensor(a, requires_grad=True) for a in starts(dtype)]
        scale = library.tensor(np.arange(1.0, 5.0).astype(starts(dtype)[0].real.dtype))
        optimizer = module.LBFGS(params, lr=0.5, max_iter=5, line_search_fn=search)

        def closure(params=params, scale=scale, optimizer=optimizer):
            optimizer.zero_grad()
            loss = sum(((p - 1.5 + 0.5j).abs() ** 2).sum() for p in params)
            loss = loss + (scale * params[0].abs() ** 4).sum() + (params[1] * params[2]).imag.sum()
            loss.backward()
            return loss

        losses = [float(optimizer.step(closure)) for _ in range(3)]
        made.append((losses, [p.detach().numpy() for p in params]))
    close = 1e-9 if dtype == "complex128" else 1e-4
    np.testing.assert_allclose(made[1][0], made[0][0], close)
    for ours, theirs in zip(made[1][1], made[0][1], strict=True):
        assert str(ours.dtype) == dtype
        np.testing.assert_allclose(ours, theirs, close, close)
