"""Values and gradients of two orders against PyTorch, for real and complex arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sennit as sn


def check_gradients(f: Any, *arguments: Any) -> None:
    """Value, gradient and gradient of the gradient against PyTorch, by its convention."""
    torch = pytest.importorskip("torch")
    ours = [sn.tensor(a, requires_grad=True) for a in arguments]
    theirs = [torch.tensor(a, requires_grad=True) for a in arguments]
    y, t = f(sn, *ours), f(torch, *theirs)

    def plain(tensor: Any) -> Any:
        return tensor.detach().resolve_conj().resolve_neg().numpy(force=True)

    np.testing.assert_allclose(y.detach().numpy(), plain(t), rtol=1e-8, atol=1e-12)
    weights = np.random.default_rng(1).normal(size=(*y.shape, 2)) @ np.array([1, 1j])
    if not y.dtype.is_complex:
        weights = weights.real
    first = sn.gradients(y, ours, [sn.asarray(weights)], create_graph=True)
    wanted = torch.autograd.grad(t, theirs, torch.tensor(weights), create_graph=True)
    for g, w in zip(first, wanted, strict=True):
        assert g is not None
        np.testing.assert_allclose(g.detach().numpy(), plain(w), rtol=1e-7, atol=1e-10)
    total = sum((abs(g) ** 2).sum() for g in first if g is not None)
    other = sum((abs(g) ** 2).sum() for g in wanted)
    if not other.requires_grad:
        return
    second = sn.gradients(total, ours)
    try:
        expected = torch.autograd.grad(other, theirs, allow_unused=True)
    except RuntimeError as problem:
        assert "phase" in str(problem)  # rounding can fail PyTorch's own test of invariance
        return
    for g, w in zip(second, expected, strict=True):
        if w is not None:
            mine = np.zeros(w.shape) if g is None else g.detach().numpy()
            np.testing.assert_allclose(mine, plain(w), rtol=1e-6, atol=1e-8)
