"""Graph layers against dense matrices, written from the papers' formulae."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sennit as sn
from sennit import nn

G = nn.graph
rng = np.random.default_rng(0)
N = 7
# Some edges twice, some self-loops, and a node (6) that no edge reaches.
EDGES = np.array([[0, 1, 1, 2, 3, 3, 5, 4, 4, 0, 6, 1], [1, 0, 2, 2, 1, 4, 5, 3, 0, 1, 0, 2]])
EDGE_FEATURES = rng.normal(size=(12, 2))


def tensor(a: Any) -> sn.Tensor:
    return sn.tensor(np.asarray(a))


def array(p: Any) -> np.ndarray:
    return np.asarray(p.detach().numpy())


def dense(weights: np.ndarray, edges: np.ndarray = EDGES) -> np.ndarray:
    a = np.zeros((N, N))
    for s, t, w in zip(*edges, weights, strict=True):
        a[t, s] += w
    return a


@pytest.mark.parametrize("reduce", ["sum", "add", "mean", "max", "min"])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_scatter(reduce: str, dim: int) -> None:
    src, index = rng.normal(size=(6, 6, 6)), np.array([3, 0, 3, 1, 0, 3])
    function = {"sum": np.sum, "add": np.sum, "mean": np.mean, "max": np.max, "min": np.min}[reduce]
    rows = np.moveaxis(src, dim, 0)
    expected = np.stack(
        [function(rows[index == i], 0) if (index == i).any() else 0 * rows[0] for i in range(5)]
    )
    x = sn.tensor(src, requires_grad=True)
    y = G.scatter(x, tensor(index), dim, 5, reduce)
    np.testing.assert_allclose(array(y), np.moveaxis(expected, 0, dim), rtol=1e-12)
    weight = rng.normal(size=y.shape)
    (y * tensor(weight)).sum().backward()
    g = np.moveaxis(x.grad.numpy(), dim, 0)
    for i in range(6):
        to = np.moveaxis(weight, dim, 0)[index[i]]
        if reduce in ("sum", "add"):
            own = to
        elif reduce == "mean":
            own = to / (index == index[i]).sum()
        else:
            own = np.where(rows[i] == expected[index[i]], to, 0.0)
        np.testing.assert_allclose(g[i], own, rtol=1e-12)
    assert G.scatter(x, tensor(index), dim, None, reduce).shape[dim] == 4


def test_softmax() -> None:
    src, index = rng.normal(size=(8, 3)) * 400, np.array([0, 2, 2, 0, 2, 4, 0, 2])
    src[0] = -np.inf
    y = array(G.softmax(tensor(src), tensor(index), 6))
    for i in (0, 2, 4):
        rows = src[index == i]
        e = np.exp(rows - rows.max(0))
        np.testing.assert_allclose(y[index == i], e / e.sum(0), rtol=1e-12)
    nothing = G.softmax(tensor(np.full((2, 1), -np.inf)), tensor([0, 0]))
    assert nothing.tolist() == [[0.0], [0.0]]


def test_loops_and_degrees() -> None:
    e, w = tensor(EDGES), tensor(np.arange(12.0))
    kept, attr = G.remove_self_loops(e, w)
    there = EDGES[0] != EDGES[1]
    np.testing.assert_array_equal(array(kept), EDGES[:, there])
    np.testing.assert_array_equal(array(attr), np.arange(12.0)[there])
    both, attr = G.add_self_loops(e, w, 5.0, N)
    np.testing.assert_array_equal(array(both)[:, 12:], np.stack([np.arange(N)] * 2))
    assert attr[12:].tolist() == [5.0] * N
    _, attr = G.add_self_loops(e, w, "mean", N)
    means = [
        np.arange(12.0)[EDGES[1] == i].mean() if (EDGES[1] == i).any() else 0 for i in range(N)
    ]
    np.testing.assert_allclose(array(attr)[12:], means)
    both, attr = G.add_remaining_self_loops(e, w, 9.0, N)
    assert both.shape == (2, there.sum() + N)
    assert attr[-N:].tolist() == [9.0, 9.0, 3.0, 9.0, 9.0, 6.0, 9.0]
    assert G.add_self_loops(e)[0].shape == (2, 12 + N)
    np.testing.assert_array_equal(array(G.degree(e[1], N)), np.bincount(EDGES[1], minlength=N))


@pytest.mark.parametrize("improved", [False, True])
@pytest.mark.parametrize("loops", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_gcn(weighted: bool, loops: bool, improved: bool) -> None:
    weights = rng.uniform(0.5, 2, 12) if weighted else np.ones(12)
    layer = G.GCNConv(4, 3, improved=improved, add_self_loops=loops, dtype=sn.float64)
    assert list(layer.state_dict()) == ["bias", "lin.weight"]
    nn.init.normal_(layer.bias)
    x = rng.normal(size=(N, 4))
    a = dense(weights)
    if loops:
        given = a.diagonal().copy()
        np.fill_diagonal(a, np.where(given != 0, given, 2.0 if improved else 1.0))
    degree = a.sum(1)
    scale = np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1)), 0)
    expected = (scale[:, None] * a * scale) @ x @ array(layer.lin.weight).T + array(layer.bias)
    got = layer(tensor(x), tensor(EDGES), tensor(weights) if weighted else None)
    np.testing.assert_allclose(array(got), expected, rtol=1e-10)
    (got**2).sum().backward()
    assert all(np.isfinite(p.grad.numpy()).all() for p in layer.parameters())


def test_gcn_plain_and_cached() -> None:
    x, e = rng.normal(size=(N, 4)), tensor(EDGES)
    layer = G.GCNConv(4, 3, normalize=False, bias=False, dtype=sn.float64)
    expected = dense(np.ones(12)) @ x @ array(layer.lin.weight).T
    np.testing.assert_allclose(array(layer(tensor(x), e)), expected, rtol=1e-10)
    cached = G.GCNConv(4, 3, cached=True, dtype=sn.float64)
    first = cached(tensor(x), e)
    assert (cached(tensor(x), e[:, :3]) == first).all().item()
    cached.reset_parameters()
    assert cached(tensor(x), e[:, :3]).shape == (N, 3)


@pytest.mark.parametrize("aggr", ["mean", "max", "sum"])
@pytest.mark.parametrize(
    "options", [{}, {"normalize": True}, {"root_weight": False}, {"project": True}]
)
def test_sage(aggr: str, options: dict[str, Any]) -> None:
    layer = G.SAGEConv(4, 3, aggr=aggr, dtype=sn.float64, **options)
    x = rng.normal(size=(N, 4))
    h = x
    if "project" in options:
        h = np.maximum(x @ array(layer.lin.weight).T + array(layer.lin.bias), 0)
    function = {"mean": np.mean, "max": np.max, "sum": np.sum}[aggr]
    near = [h[EDGES[0][EDGES[1] == i]] for i in range(N)]
    gathered = np.stack([function(m, 0) if len(m) else np.zeros(4) for m in near])
    y = gathered @ array(layer.lin_l.weight).T + array(layer.lin_l.bias)
    if options.get("root_weight", True):
        y = y + x @ array(layer.lin_r.weight).T
    if "normalize" in options:
        y = y / np.linalg.norm(y, axis=1, keepdims=True)
    np.testing.assert_allclose(array(layer(tensor(x), tensor(EDGES))), y, rtol=1e-10)
    keys = ["lin_l.weight", "lin_l.bias"] + ["lin_r.weight"] * options.get("root_weight", True)
    assert [k for k in layer.state_dict() if not k.startswith("lin.")] == keys


def test_sage_between_two_kinds_of_nodes() -> None:
    layer = G.SAGEConv((4, 2), 3, dtype=sn.float64)
    x, to = rng.normal(size=(5, 4)), rng.normal(size=(3, 2))
    e = np.array([[0, 4, 2, 2], [0, 0, 2, 1]])
    got = layer((tensor(x), tensor(to)), tensor(e))
    mean = np.stack([x[[0, 4]].mean(0), x[2], x[2]])
    expected = mean @ array(layer.lin_l.weight).T + array(layer.lin_l.bias)
    alone = layer((tensor(x), None), tensor(e), size=3)
    np.testing.assert_allclose(array(alone), expected, rtol=1e-10)
    np.testing.assert_allclose(array(got), expected + to @ array(layer.lin_r.weight).T, rtol=1e-10)


@pytest.mark.parametrize("fill", ["mean", 0.5])
@pytest.mark.parametrize(
    "options",
    [{}, {"concat": False}, {"add_self_loops": False}, {"edge_dim": 2}, {"residual": True}],
)
def test_gat(options: dict[str, Any], fill: Any) -> None:
    heads, size = 3, 2
    layer = G.GATConv(4, size, heads=heads, fill_value=fill, dtype=sn.float64, **options)
    nn.init.normal_(layer.bias)
    x = rng.normal(size=(N, 4))
    edges, attr = EDGES, EDGE_FEATURES if "edge_dim" in options else None
    if options.get("add_self_loops", True):
        there = EDGES[0] != EDGES[1]
        edges = np.concatenate([EDGES[:, there], np.stack([np.arange(N)] * 2)], 1)
        if attr is not None:
            attr = attr[there]
            reach = [attr[EDGES[1][there] == i] for i in range(N)]
            mean = [m.mean(0) if len(m) else np.zeros(2) for m in reach]
            loops = np.stack(mean) if fill == "mean" else np.full((N, 2), fill)
            attr = np.concatenate([attr, loops])
    h = (x @ array(layer.lin.weight).T).reshape(N, heads, size)
    score = (h * array(layer.att_src)).sum(-1)[edges[0]] + (h * array(layer.att_dst)).sum(-1)[
        edges[1]
    ]
    if attr is not None:
        e = (attr @ array(layer.lin_edge.weight).T).reshape(-1, heads, size)
        score = score + (e * array(layer.att_edge)).sum(-1)
    score = np.where(score > 0, score, 0.2 * score)
    y = np.zeros((N, heads, size))
    for i in range(N):
        own = edges[1] == i
        if own.any():
            p = np.exp(score[own] - score[own].max(0))
            y[i] = ((p / p.sum(0))[..., None] * h[edges[0][own]]).sum(0)
    y = y.mean(1) if options.get("concat") is False else y.reshape(N, -1)
    if "residual" in options:
        y = y + x @ array(layer.res.weight).T
    y = y + array(layer.bias)
    given = None if "edge_dim" not in options else tensor(EDGE_FEATURES)
    np.testing.assert_allclose(array(layer(tensor(x), tensor(EDGES), given)), y, rtol=1e-10)


@pytest.mark.parametrize("fill", ["mean", "max", 0.5])
def test_gat_edges(fill: Any) -> None:
    layer = G.GATConv(4, 3, edge_dim=2, fill_value=fill, dtype=sn.float64)
    x, attr = rng.normal(size=(N, 4)), EDGE_FEATURES
    there = EDGES[0] != EDGES[1]
    edges = np.concatenate([EDGES[:, there], np.stack([np.arange(N)] * 2)], 1)
    reach = [attr[there][EDGES[1][there] == i] for i in range(N)]
    by = np.max if fill == "max" else np.mean
    loops = np.stack([by(m, 0) if len(m) else np.zeros(2) for m in reach])
    loops = loops if isinstance(fill, str) else np.full((N, 2), fill)
    full = np.concatenate([attr[there], loops])
    h = x @ array(layer.lin.weight).T
    score = (h @ array(layer.att_src)[0, 0])[edges[0]] + (h @ array(layer.att_dst)[0, 0])[edges[1]]
    score = score + full @ array(layer.lin_edge.weight).T @ array(layer.att_edge)[0, 0]
    score = np.where(score > 0, score, 0.2 * score)
    y = np.zeros((N, 3))
    for i in range(N):
        own = edges[1] == i
        p = np.exp(score[own] - score[own].max())
        y[i] = (p / p.sum()) @ h[edges[0][own]]
    got, (found, weights) = layer(
        tensor(x), tensor(EDGES), tensor(attr), return_attention_weights=True
    )
    np.testing.assert_allclose(array(got), y + array(layer.bias), rtol=1e-10)
    assert found.shape == (2, 12 + N)
    sums = array(G.scatter(weights, found[1], 0, N))
    np.testing.assert_allclose(sums, 1.0, rtol=1e-12)


def test_gat_two_kinds_of_nodes_and_dropout() -> None:
    layer = G.GATConv((4, 2), 3, heads=2, add_self_loops=False, dropout=0.5)
    x, to = sn.random.normal(shape=(5, 4)), sn.random.normal(shape=(3, 2))
    e = tensor([[0, 4, 2, 2], [0, 0, 2, 1]])
    assert sorted(layer.state_dict()) == [
        "att_dst", "att_src", "bias", "lin_dst.weight", "lin_src.weight",
    ]  # fmt: skip
    _, (_, weights) = layer((x, to), e, return_attention_weights=True)
    values = set(array(weights)[2:].round(6).ravel())  # alone at their target: 0 or 1 / (1 - p)
    assert values <= {0.0, 2.0}
    layer.eval()
    y = layer((x, to), e)
    assert y.shape == (3, 6)
    _, (_, weights) = layer((x, to), e, return_attention_weights=True)
    assert (weights[2:] == 1).all().item()


def test_pools() -> None:
    x, batch = rng.normal(size=(6, 2)), np.array([0, 0, 2, 2, 2, 3])
    for name, function in (("add", np.sum), ("mean", np.mean), ("max", np.max)):
        pool = getattr(G, f"global_{name}_pool")
        expected = [function(x[batch == i], 0) if (batch == i).any() else [0, 0] for i in range(5)]
        np.testing.assert_allclose(array(pool(tensor(x), tensor(batch), 5)), expected)
        np.testing.assert_allclose(array(pool(tensor(x))), [function(x, 0)])


def test_a_network_learns_on_a_graph() -> None:
    """Two rings: nodes learn which one they are in from one labelled node each."""
    sn.random.seed(0)
    ring = [(i, (i + 1) % 10) for i in range(10)] + [(10 + i, 10 + (i + 1) % 10) for i in range(10)]
    edges = np.array(ring + [(b, a) for a, b in ring]).T
    x, e = sn.random.normal(shape=(20, 8)), tensor(edges)
    y = tensor([0] * 10 + [1] * 10)
    layers = [G.GCNConv(8, 16), G.SAGEConv(16, 16), G.GATConv(16, 2, heads=1)]
    model = nn.ModuleList(layers)
    optimizer = sn.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        h = x
        for layer in layers[:-1]:
            h = layer(h, e).relu()
        loss = sn.cross_entropy(layers[-1](h, e), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_empty_graphs_and_errors() -> None:
    none = tensor(np.zeros((2, 0), np.int64))
    x = sn.ones((3, 4))
    for layer in (G.GCNConv(4, 2), G.SAGEConv(4, 2), G.SAGEConv(4, 2, "max"), G.GATConv(4, 2)):
        assert np.isfinite(array(layer(x, none))).all()
        with pytest.raises(sn.ShapeError, match="edge_index"):
            layer(x, tensor([0, 1]))
        with pytest.raises(sn.ShapeError, match=r"\(nodes, 4\)"):
            layer(sn.ones((3, 5)), none)
        with pytest.raises(sn.IndexOutOfRange):
            array(layer(x, tensor([[0], [5]])))
    with pytest.raises(sn.InvalidValue, match="reduce"):
        G.scatter(x, tensor([0, 1, 2]), reduce="mul")
    with pytest.raises(sn.ShapeError, match="one index"):
        G.scatter(x, tensor([0, 1]))
    with pytest.raises(sn.ShapeError, match="edge_weight"):
        G.GCNConv(4, 2)(x, tensor([[0], [1]]), sn.ones(2))
    with pytest.raises(sn.InvalidValue, match="edge_dim"):
        G.GATConv(4, 2)(x, tensor([[0], [1]]), sn.ones((1, 2)))
    with pytest.raises(sn.InvalidValue, match="aggr"):
        G.SAGEConv(4, 2, aggr="lstm")
    with pytest.raises(sn.InvalidValue, match="dropout"):
        G.GATConv(4, 2, dropout=2.0)
