"""Every loss layer against PyTorch over a grid of arguments: values and gradients."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn

pytestmark = pytest.mark.oracle
rng = np.random.default_rng(0)

REDUCTIONS = ("mean", "sum", "none")
TOLERANCE = {"float32": (2e-5, 2e-6), "float64": (1e-10, 1e-12)}


def normal(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


def uniform(*shape: int) -> np.ndarray:
    return rng.uniform(0.05, 0.95, shape)


def signs(*shape: int) -> np.ndarray:
    return rng.choice([-1.0, 1.0], shape)


def classes(n: int, *shape: int) -> np.ndarray:
    return rng.integers(0, n, shape)


def simplex(*shape: int) -> np.ndarray:
    p = rng.uniform(0.1, 1.0, shape)
    return p / p.sum(1, keepdims=True)


def grid(**options: tuple[Any, ...]) -> list[dict[str, Any]]:
    keys = list(options)
    return [dict(zip(keys, v, strict=True)) for v in itertools.product(*options.values())]


def label_sets(n: int, c: int) -> np.ndarray:
    rows = []
    for i in range(n):
        chosen = rng.permutation(c)[: i % c]
        rest = rng.integers(0, c, c - len(chosen) - 1) if len(chosen) < c else []
        rows.append(np.concatenate([chosen, [-1], rest])[:c])
    return np.array(rows, dtype=np.int64)


# Name, keyword arguments, operands; the first is always one with a gradient.
CASES: list[tuple[str, dict[str, Any], list[np.ndarray]]] = [
    *(("L1Loss", {}, [normal(*s), normal(*s)]) for s in ((4, 3), (), (0, 2))),
    *(("MSELoss", {}, [normal(*s), normal(*s)]) for s in ((4, 3), (2, 3, 4), (0, 2))),
    *(("SmoothL1Loss", o, [normal(5, 3) * 2, normal(5, 3)]) for o in grid(beta=(0.0, 0.5, 1.0))),
    *(("HuberLoss", o, [normal(5, 3) * 2, normal(5, 3)]) for o in grid(delta=(0.5, 1.0))),
    *(
        ("CrossEntropyLoss", {**o, "weight": w}, [normal(6, 5), np.array([0, 4, 2, 2, 1, 3])])
        for o in grid(label_smoothing=(0.0, 0.2), ignore_index=(-100, 2))
        for w in (None, uniform(5))
    ),
    *(
        ("CrossEntropyLoss", {"label_smoothing": s, "weight": w}, [normal(3, 5), simplex(3, 5)])
        for s in (0.0, 0.1)
        for w in (None, uniform(5))
    ),
    ("CrossEntropyLoss", {}, [normal(2, 5, 3, 4), classes(5, 2, 3, 4)]),
    ("CrossEntropyLoss", {}, [normal(2, 5, 3), simplex(2, 5, 3)]),
    ("CrossEntropyLoss", {}, [normal(5), np.array(3)]),
    ("CrossEntropyLoss", {}, [normal(5), simplex(1, 5)[0]]),
    *(
        ("NLLLoss", {"ignore_index": i, "weight": w}, [normal(*s), t])
        for i in (-100, 1)
        for w in (None, uniform(5))
        for s, t in (((6, 5), classes(5, 6)), ((2, 5, 3), classes(5, 2, 3)), ((5,), np.array(2)))
    ),
    *(
        ("PoissonNLLLoss", o, [uniform(4, 3), classes(6, 4, 3).astype(float)])
        for o in grid(log_input=(True, False), full=(True, False), eps=(1e-8, 0.1))
    ),
    *(
        ("GaussianNLLLoss", o, [normal(4, 3), normal(4, 3), v])
        for o in grid(full=(True, False), eps=(1e-6, 0.3))
        for v in (uniform(4, 3), uniform(4, 1), uniform(4))
    ),
    *(("KLDivLoss", o, [np.log(simplex(4, 3)), simplex(4, 3)]) for o in grid(log_target=(False,))),
    ("KLDivLoss", {"log_target": True}, [np.log(simplex(4, 3)), np.log(simplex(4, 3))]),
    *(("BCELoss", {"weight": w}, [uniform(4, 3), uniform(4, 3)]) for w in (None, uniform(3))),
    *(
        ("BCEWithLogitsLoss", {"weight": w, "pos_weight": p}, [normal(4, 3) * 3, uniform(4, 3)])
        for w in (None, uniform(4, 3))
        for p in (None, uniform(3) * 3)
    ),
    *(
        ("MarginRankingLoss", o, [normal(*s), normal(*s), signs(*s)])
        for o in grid(margin=(0.0, 0.4))
        for s in ((7,), (3, 2), ())
    ),
    *(
        ("HingeEmbeddingLoss", o, [normal(4, 3), np.where(normal(4, 3) > 1, 0.0, signs(4, 3))])
        for o in grid(margin=(1.0, 0.2))
    ),
    *(("SoftMarginLoss", {}, [normal(*s), signs(*s)]) for s in ((4, 3), (5,))),
    *(
        ("MultiLabelSoftMarginLoss", {"weight": w}, [normal(*s), (normal(*s) > 0).astype(float)])
        for w in (None, uniform(3))
        for s in ((4, 3), (2, 4, 3), (3,))
    ),
    ("MultiLabelMarginLoss", {}, [normal(6, 5), label_sets(6, 5)]),
    ("MultiLabelMarginLoss", {}, [normal(5), label_sets(4, 5)[3]]),
    *(
        ("MultiMarginLoss", {**o, "weight": w}, [normal(*s), t])
        for o in grid(p=(1, 2), margin=(1.0, 0.3))
        for w in (None, uniform(5))
        for s, t in (((6, 5), classes(5, 6)), ((5,), np.array(2)))
    ),
    *(
        ("CosineEmbeddingLoss", o, [normal(*s, 4), normal(*s, 4), signs(*s)])
        for o in grid(margin=(0.0, 0.3))
        for s in ((6,), ())
    ),
    *(
        ("TripletMarginLoss", o, [normal(*s), normal(*s), normal(*s)])
        for o in grid(margin=(1.0, 0.3), p=(2.0, 1.0, 3.0), swap=(False, True))
        for s in ((5, 4), (4,))
    ),
    *(
        ("TripletMarginWithDistanceLoss", o, [normal(5, 4), normal(5, 4), normal(5, 4)])
        for o in grid(margin=(1.0, 0.3), swap=(False, True))
    ),
]  # fmt: skip


def make(lib: Any, tensor: Any, name: str, options: dict[str, Any]) -> Any:
    given = {
        k: tensor(v, False) if isinstance(v, np.ndarray) else v
        for k, v in options.items()
        if v is not None
    }
    return getattr(lib.nn, name)(**given)


def run(lib: Any, dtype: str, name: str, options: dict, operands: list[np.ndarray]) -> list:
    def tensor(a: np.ndarray, grad: bool) -> Any:
        a = np.asarray(a)
        floating = a.dtype.kind == "f"
        a = a.astype(dtype) if floating else a
        return lib.tensor(a, requires_grad=grad and floating)

    layer = make(lib, tensor, name, options)
    inputs = [tensor(a, i == 0 or name.startswith("Triplet")) for i, a in enumerate(operands)]
    loss = layer(*inputs)
    weights = np.random.default_rng(1).standard_normal(tuple(loss.shape)).astype(dtype)
    (loss * lib.tensor(weights)).sum().backward()
    found = [loss.detach().numpy()]
    found += [x.grad.numpy() for x in inputs if x.requires_grad]
    found.append(sorted(layer.state_dict()))
    return found


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
def test_loss(torch: Any, case: tuple, reduction: str, dtype: str) -> None:
    name, options, operands = case
    options = {**options, "reduction": reduction}
    ours, theirs = (
        run(sn, dtype, name, options, operands),
        run(torch, dtype, *case_of(case, options)),
    )
    rtol, atol = TOLERANCE[dtype]
    for a, b in zip(ours[:-1], theirs[:-1], strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol, atol)
    assert ours[-1] == theirs[-1]


def case_of(case: tuple, options: dict[str, Any]) -> tuple:
    return case[0], options, case[2]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c[0])
def test_half_types_round_once(case: tuple, dtype: str) -> None:
    """The loss of half types is that of the same numbers in float64, rounded once or nearly so."""
    name, options, operands = case
    kind = getattr(sn, dtype)
    halves = [
        sn.tensor(a).astype(kind).astype(sn.float64).numpy()
        if np.asarray(a).dtype.kind == "f"
        else np.asarray(a)
        for a in operands
    ]

    def loss(target: Any) -> Any:
        given = {
            k: sn.tensor(v).astype(kind).astype(target) if isinstance(v, np.ndarray) else v
            for k, v in options.items()
        }
        layer = getattr(nn, name)(**given)
        inputs = [
            sn.tensor(a).astype(target) if a.dtype.kind == "f" else sn.tensor(a) for a in halves
        ]
        return layer(*inputs)

    got = loss(kind)
    assert got.dtype == kind
    step = 2.0**-7 if dtype == "bfloat16" else 2.0**-10
    np.testing.assert_allclose(
        got.astype(sn.float64).numpy(), loss(sn.float64).numpy(), step, step * 0.1
    )


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_weighted_regression(torch: Any, name: str, reduction: str) -> None:
    x, t, w = normal(4, 3) * 2, normal(4, 3), uniform(4, 3)
    theirs = getattr(torch.nn.functional, name)(
        *map(torch.tensor, (x, t)), reduction=reduction, weight=torch.tensor(w)
    )
    ours = getattr(nn.functional, name)(
        *map(sn.tensor, (x, t)), reduction=reduction, weight=sn.tensor(w)
    )
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), 1e-12)


@pytest.mark.parametrize("name", ["CosineSimilarity", "PairwiseDistance"])
def test_distances(torch: Any, name: str) -> None:
    a, b = normal(5, 4), normal(5, 4)
    options: dict[str, Any]
    for options in ({}, {"eps": 0.1}):
        theirs = getattr(torch.nn, name)(**options)(torch.tensor(a), torch.tensor(b))
        ours = getattr(nn, name)(**options)(sn.tensor(a), sn.tensor(b))
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), 1e-12)
    for p in (1.0, 2.0, 3.0, float("inf")):
        x = torch.tensor(a, requires_grad=True)
        y = sn.tensor(a, requires_grad=True)
        theirs, ours = torch.nn.functional.pdist(x, p), nn.functional.pdist(y, p)
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), 1e-12)
        (theirs**2).sum().backward()
        (ours**2).sum().backward()
        np.testing.assert_allclose(y.grad.numpy(), x.grad.numpy(), 1e-9, 1e-12)


@pytest.mark.parametrize("head_bias", [False, True])
def test_adaptive_log_softmax(torch: Any, head_bias: bool) -> None:
    options = {"div_value": 2.0, "head_bias": head_bias}
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10, 15], **options).double()
    ours = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10, 15], dtype=sn.float64, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    for target in (np.array([0, 19, 4, 9, 10, 2, 3]), np.array([0, 1, 1, 2, 3, 3, 0])):
        data = normal(7, 8)
        x, z = torch.tensor(data, requires_grad=True), sn.tensor(data, requires_grad=True)
        theirs.zero_grad()
        ours.zero_grad()
        a, b = theirs(x, torch.tensor(target)), ours(z, sn.tensor(target))
        np.testing.assert_allclose(b.output.detach().numpy(), a.output.detach().numpy(), 1e-10)
        np.testing.assert_allclose(b.loss.item(), a.loss.item(), 1e-10)
        a.loss.backward()
        b.loss.backward()
        np.testing.assert_allclose(z.grad.numpy(), x.grad.numpy(), 1e-9, 1e-12)
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            if q.grad is not None and p.grad is not None:
                np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), 1e-9, 1e-12)
            else:
                assert (p.grad is None) == (q.grad is None)
        np.testing.assert_allclose(
            ours.log_prob(z).detach().numpy(), theirs.log_prob(x).detach().numpy(), 1e-9
        )
        np.testing.assert_array_equal(ours.predict(z).numpy(), theirs.predict(x).numpy())
    one = ours(sn.tensor(data[0]), sn.tensor(19))
    assert one.output.shape == ()
    with pytest.raises(sn.IndexOutOfRange, match="20 classes"):
        ours(sn.tensor(data), sn.tensor([0, 1, 2, 3, 4, 5, 20]))


@pytest.mark.parametrize("out_features", [(), (2, 3)])
def test_linear_cross_entropy_loss(torch: Any, out_features: tuple[int, ...]) -> None:
    options: dict[str, Any] = {"bias": True, "label_smoothing": 0.1, "out_features": out_features}
    theirs = torch.nn.LinearCrossEntropyLoss(6, 5, dtype=torch.float64, **options)
    ours = nn.LinearCrossEntropyLoss(6, 5, dtype=sn.float64, **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x, y = normal(7, 6), classes(5, 7, *out_features)
    a, b = theirs(torch.tensor(x), torch.tensor(y)), ours(sn.tensor(x), sn.tensor(y))
    a.backward()
    b.backward()
    np.testing.assert_allclose(b.item(), a.item(), 1e-10)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), 1e-9, 1e-12)
