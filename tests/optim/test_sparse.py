"""SparseAdam against PyTorch's, which takes sparse gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sennit as sn


@pytest.mark.oracle
@pytest.mark.parametrize(
    "options", [{}, {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-2}, {"maximize": True}]
)
def test_as_pytorch(torch: Any, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(8, 3))
    theirs = torch.nn.Embedding(8, 3, sparse=True, dtype=torch.float64)
    ours = sn.nn.Embedding(8, 3, dtype=sn.float64)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(start))
    ours.weight.assign_(sn.tensor(start))
    a = torch.optim.SparseAdam(theirs.parameters(), **options)
    b = sn.optim.SparseAdam(ours.parameters(), **options)
    for step in range(8):
        index, weight = rng.integers(0, 7, 5), rng.normal(size=(5, 3))
        for lib, layer, optimizer in ((torch, theirs, a), (sn, ours, b)):
            optimizer.zero_grad()
            if step != 3:  # a step without a gradient
                (layer(lib.tensor(index)) * lib.tensor(weight)).sum().backward()
            optimizer.step()
        np.testing.assert_allclose(
            ours.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=1e-10
        )
    assert (ours.weight[7].detach().numpy() == start[7]).all()


def test_what_is_refused() -> None:
    w = sn.tensor([1.0], requires_grad=True)
    for bad in ({"lr": -1.0}, {"eps": -1.0}, {"betas": (1.0, 0.9)}):
        with pytest.raises(sn.InvalidValue):
            sn.optim.SparseAdam([w], **bad)
