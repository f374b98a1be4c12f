"""What the tests of control flow share."""

import numpy as np

import sennit as sn


def rand(*shape, seed=0, dtype=np.float32):
    return sn.tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


def same(a, b):
    """Equal structure and bits."""
    if isinstance(a, sn.Tensor):
        assert isinstance(b, sn.Tensor) and a.shape == b.shape and a.dtype == b.dtype
        assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert a == b
