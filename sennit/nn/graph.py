"""Layers on graphs given as lists of edges, with the names and semantics of PyTorch Geometric.

``edge_index`` is an integer tensor (2, E): row 0 holds the sources of the edges, row 1 their
targets. Messages go from sources to targets, and a node gathers those that reach it.
"""

from __future__ import annotations

import math
from typing import Any

from .. import _core
from .._errors import error
from . import init
from .linear import Linear, _positive
from .module import Module
from .parameter import Parameter

__all__ = [
    "GATConv",
    "GCNConv",
    "SAGEConv",
    "add_remaining_self_loops",
    "add_self_loops",
    "degree",
    "gcn_norm",
    "global_add_pool",
    "global_max_pool",
    "global_mean_pool",
    "remove_self_loops",
    "scatter",
    "softmax",
]

_f = _core.functions
_where, _take, _zeros, _concat = _f["where"], _f["take"], _f["zeros"], _f["concat"]
_index_add, _arange, _full = _f["index_add"], _f["arange"], _f["full"]


def _check_edges(op: str, edge_index: Any) -> None:
    ok = isinstance(edge_index, _core.Tensor)
    if not ok or edge_index.ndim != 2 or edge_index.shape[0] != 2:
        shape = edge_index.shape if ok else type(edge_index).__name__
        raise error(
            _core.ShapeError,
            op,
            f"edge_index has shape {shape}; (2, edges) is required: sources, then targets",
        )


def _nodes(edge_index: Any, num_nodes: int | None) -> int:
    """How many nodes there are; without a number, one more than the largest that has an edge."""
    if num_nodes is not None:
        return num_nodes
    return int(edge_index.max().item()) + 1 if edge_index.size else 0


def scatter(
    src: Any, index: Any, dim: int = 0, dim_size: int | None = None, reduce: str = "sum"
) -> Any:
    """Reduces the rows of `src` that have one index.

    Parameters
    ----------
    src : Tensor
        (..., E, ...), E along `dim`.
    index : Tensor
        (E,) integers, 0 or more.
    dim : int
    dim_size : int, optional
        Size of the result along `dim`; by default one more than the largest index, which is then
        waited for.
    reduce : str
        "sum" ("add"), "mean", "max" or "min". Where nothing arrives the result is zero.

    Returns
    -------
    Tensor
        Sums are made in the order of the rows, whatever the number of threads. Equal rows share the
        gradient of a maximum.

    Examples
    --------
    >>> x, index = sn.tensor([1.0, 2.0, 5.0]), sn.tensor([0, 0, 2])
    >>> sn.nn.graph.scatter(x, index).tolist()
    [3.0, 0.0, 5.0]
    """
    op = "graph.scatter"
    if reduce not in ("sum", "add", "mean", "max", "min"):
        raise error(
            _core.InvalidValue,
            op,
            f"reduce is {reduce!r}; it must be 'sum', 'add', 'mean', 'max' or 'min'",
        )
    if src.ndim == 0 or index.ndim != 1 or index.shape[0] != src.shape[dim]:
        raise error(
            _core.ShapeError,
            op,
            f"src has shape {src.shape} and index {index.shape}; one index for each row along "
            f"dimension {dim} is required",
        )
    dim %= src.ndim
    if dim_size is None:
        dim_size = _nodes(index, None)
    shape = (*src.shape[:dim], dim_size, *src.shape[dim + 1 :])
    if reduce in ("sum", "add", "mean"):
        total = _index_add(_zeros(shape, dtype=src.dtype, device=src.device), dim, index, src)
        if reduce != "mean":
            return total
        count = _index_add(
            _zeros((dim_size,), dtype=src.dtype, device=src.device),
            0,
            index,
            _f["ones"](index.shape, dtype=src.dtype, device=src.device),
        )
        count = _f["maximum"](count, 1.0)
        return total / count.reshape(-1, *(1,) * (src.ndim - 1 - dim))
    wide = index.reshape(-1, *(1,) * (src.ndim - 1 - dim)).expand(src.shape)
    zeros = _zeros(shape, dtype=src.dtype, device=src.device)
    return _f["scatter_reduce"](zeros, dim, wide, src, "a" + reduce, False)


def softmax(src: Any, index: Any, num_nodes: int | None = None) -> Any:
    """Softmax over the rows that have one index, along the first dimension.

    Parameters
    ----------
    src : Tensor
        (E, ...), floating; -inf takes no part.
    index : Tensor
        (E,) integers.
    num_nodes : int, optional
        By default one more than the largest index.

    Examples
    --------
    >>> sn.nn.graph.softmax(sn.tensor([1.0, 1.0, 3.0]), sn.tensor([0, 0, 1])).tolist()
    [0.5, 0.5, 1.0]
    """
    n = _nodes(index, num_nodes)
    most = scatter(src.detach(), index, 0, n, "max")
    most = _where(_f["isfinite"](most), most, 0.0)
    e = _f["exp"](src - _take(most, index, 0))
    total = scatter(e, index, 0, n)
    total = _take(total, index, 0)
    return e / _where(total == 0, 1.0, total)


def degree(index: Any, num_nodes: int | None = None, dtype: Any = None) -> Any:
    """How often each number occurs in `index`, (num_nodes,); float32 by default.

    Examples
    --------
    >>> sn.nn.graph.degree(sn.tensor([0, 2, 2])).tolist()
    [1.0, 0.0, 2.0]
    """
    n = _nodes(index, num_nodes)
    dtype = dtype or _core.float32
    return _index_add(
        _zeros((n,), dtype=dtype, device=index.device),
        0,
        index,
        _f["ones"](index.shape, dtype=dtype, device=index.device),
    )


def remove_self_loops(edge_index: Any, edge_attr: Any = None) -> tuple[Any, Any]:
    """The edges without those from a node to itself, and their attributes. Waits for the edges.

    Examples
    --------
    >>> edges, _ = sn.nn.graph.remove_self_loops(sn.tensor([[0, 1, 2], [1, 1, 0]]))
    >>> edges.tolist()
    [[0, 2], [1, 0]]
    """
    _check_edges("graph.remove_self_loops", edge_index)
    (kept,) = _f["nonzero"](edge_index[0] != edge_index[1])
    attr = None if edge_attr is None else _take(edge_attr, kept, 0)
    return _take(edge_index, kept, 1), attr


def add_self_loops(
    edge_index: Any, edge_attr: Any = None, fill_value: Any = 1.0, num_nodes: int | None = None
) -> tuple[Any, Any]:
    """The edges with one from each node to itself behind them.

    Parameters
    ----------
    edge_index : Tensor
    edge_attr : Tensor, optional
        (E, ...).
    fill_value : float or str
        Attribute of the new edges: a number, or "mean", "sum", "max" or "min" of those that reach
        the node.
    num_nodes : int, optional

    Examples
    --------
    >>> edges, _ = sn.nn.graph.add_self_loops(sn.tensor([[0], [1]]))
    >>> edges.tolist()
    [[0, 0, 1], [1, 0, 1]]
    """
    _check_edges("graph.add_self_loops", edge_index)
    n = _nodes(edge_index, num_nodes)
    loops = _arange(n, dtype=edge_index.dtype, device=edge_index.device)[None].expand((2, n))
    attr = None
    if edge_attr is not None:
        if isinstance(fill_value, str):
            new = scatter(edge_attr, edge_index[1], 0, n, fill_value)
        else:
            new = _full(
                (n, *edge_attr.shape[1:]),
                float(fill_value),
                dtype=edge_attr.dtype,
                device=edge_attr.device,
            )
        attr = _concat([edge_attr, new], 0)
    return _concat([edge_index, loops], 1), attr


def add_remaining_self_loops(
    edge_index: Any, edge_attr: Any = None, fill_value: Any = 1.0, num_nodes: int | None = None
) -> tuple[Any, Any]:
    """The edges with exactly one from each node to itself, behind the others; those that were there
    keep their attribute. Waits for the edges.

    Examples
    --------
    >>> edges, weight = sn.nn.graph.add_remaining_self_loops(
    ...     sn.tensor([[0, 1], [1, 1]]), sn.tensor([2.0, 3.0])
    ... )
    >>> edges.tolist(), weight.tolist()
    ([[0, 0, 1], [1, 0, 1]], [2.0, 1.0, 3.0])
    """
    n = _nodes(edge_index, num_nodes)
    kept, attr = remove_self_loops(edge_index, edge_attr)
    both, made = add_self_loops(kept, attr, fill_value, n)
    if edge_attr is not None:
        (old,) = _f["nonzero"](edge_index[0] == edge_index[1])
        place = _take(edge_index[0], old, 0) + kept.shape[1]
        made = _f["index_copy"](made, 0, place, _take(edge_attr, old, 0))
    return both, made


def gcn_norm(
    edge_index: Any,
    edge_weight: Any = None,
    num_nodes: int | None = None,
    improved: bool = False,
    add_self_loops: bool = True,
    dtype: Any = None,
) -> tuple[Any, Any]:
    """Edges and the symmetric normalisation of graph convolutions: ``weight / sqrt(degree[source] *
    degree[target])`` (Kipf, Welling 2017).

    With self-loops, one for each node stands behind the edges; those that were in the list stay
    there with weight zero, so that nothing has to wait for them.

    Parameters
    ----------
    edge_index : Tensor
    edge_weight : Tensor, optional
        (E,); ones by default.
    num_nodes : int, optional
    improved : bool
        Whether added self-loops weigh 2.
    add_self_loops : bool
    dtype : dtype, optional

    Examples
    --------
    >>> edges, weight = sn.nn.graph.gcn_norm(sn.tensor([[0, 1], [1, 0]]))
    >>> [round(w, 4) for w in weight.tolist()]
    [0.5, 0.5, 0.5, 0.5]
    """
    _check_edges("graph.gcn_norm", edge_index)
    n = _nodes(edge_index, num_nodes)
    row, col = edge_index[0], edge_index[1]
    if edge_weight is None:
        edge_weight = _f["ones"](row.shape, dtype=dtype or _core.float32, device=row.device)
    elif edge_weight.shape != row.shape:
        raise error(
            _core.ShapeError,
            "graph.gcn_norm",
            f"edge_weight has shape {edge_weight.shape} for {row.shape[0]} edges; "
            f"({row.shape[0]},) is required",
        )
    if add_self_loops:
        loop = row == col
        own = _full(
            (n + 1,), 2.0 if improved else 1.0, dtype=edge_weight.dtype, device=edge_weight.device
        )
        own = _f["scatter"](own, 0, _where(loop, row, n), edge_weight)[:n]
        edge_weight = _concat([_where(loop, 0.0, edge_weight), own], 0)
        place = _arange(n, dtype=edge_index.dtype, device=edge_index.device)
        row, col = _concat([row, place], 0), _concat([col, place], 0)
        edge_index = _f["stack"]([row, col], 0)
    deg = scatter(edge_weight, col, 0, n)
    scale = _where(deg > 0, _f["rsqrt"](_where(deg > 0, deg, 1.0)), 0.0)
    return edge_index, _take(scale, row, 0) * edge_weight * _take(scale, col, 0)


def _pool(reduce: str, x: Any, batch: Any, size: int | None) -> Any:
    if batch is None:
        batch, size = _zeros((x.shape[0],), dtype=_core.int64, device=x.device), 1
    return scatter(x, batch, 0, size, reduce)


def global_add_pool(x: Any, batch: Any = None, size: int | None = None) -> Any:
    """Sums the nodes of each graph.

    Parameters
    ----------
    x : Tensor
        (nodes, features).
    batch : Tensor, optional
        (nodes,): the graph of each node; by default all are of one.
    size : int, optional
        How many graphs there are.

    Examples
    --------
    >>> sn.nn.graph.global_add_pool(sn.ones((3, 1)), sn.tensor([0, 0, 1])).tolist()
    [[2.0], [1.0]]
    """
    return _pool("sum", x, batch, size)


def global_mean_pool(x: Any, batch: Any = None, size: int | None = None) -> Any:
    """Averages the nodes of each graph; see `global_add_pool`.

    Examples
    --------
    >>> sn.nn.graph.global_mean_pool(sn.tensor([[1.0], [3.0]])).tolist()
    [[2.0]]
    """
    return _pool("mean", x, batch, size)


def global_max_pool(x: Any, batch: Any = None, size: int | None = None) -> Any:
    """The largest of the nodes of each graph; see `global_add_pool`.

    Examples
    --------
    >>> sn.nn.graph.global_max_pool(sn.tensor([[1.0], [3.0]])).tolist()
    [[3.0]]
    """
    return _pool("max", x, batch, size)


def _check_features(layer: str, x: Any, size: int) -> None:
    if x.ndim != 2 or x.shape[1] != size:
        raise error(_core.ShapeError, layer, f"x has shape {x.shape}; (nodes, {size}) is required")


def _pair_of(channels: int | tuple[int, int]) -> tuple[int, int]:
    return (channels, channels) if isinstance(channels, int) else (channels[0], channels[1])


class GCNConv(Module):
    """Graph convolution (Kipf, Welling, "Semi-supervised classification with graph convolutional
    networks", 2017): the weighted sum of ``x @ weight.T`` over the neighbours, by `gcn_norm`.

    Parameters
    ----------
    in_channels, out_channels : int
    improved : bool
        Whether self-loops weigh 2.
    cached : bool
        Whether the normalisation of the first forward pass is used ever after.
    add_self_loops : bool
    normalize : bool
        Whether `gcn_norm` is applied; without it edges have the weights that are given.
    bias : bool
    dtype : dtype, optional

    Attributes
    ----------
    lin : Linear, without bias
    bias : Parameter, (out_channels,), or None

    Examples
    --------
    >>> layer = sn.nn.graph.GCNConv(4, 2)
    >>> layer(sn.ones((3, 4)), sn.tensor([[0, 1], [1, 2]])).shape
    (3, 2)
    """

    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        improved: bool = False,
        cached: bool = False,
        add_self_loops: bool = True,
        normalize: bool = True,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        _positive("GCNConv", in_channels=in_channels, out_channels=out_channels)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.improved = improved
        self.cached = cached
        self.add_self_loops = add_self_loops
        self.normalize = normalize
        self.register_parameter(
            "bias", Parameter(_f["empty"]((out_channels,), dtype=dtype)) if bias else None
        )
        self.lin = Linear(in_channels, out_channels, bias=False, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the parameters anew, and forgets a cached normalisation."""
        init.xavier_uniform_(self.lin.weight)
        if self.bias is not None:
            init.zeros_(self.bias)
        self._cache: Any = None

    def forward(self, x: Any, edge_index: Any, edge_weight: Any = None) -> Any:
        """x: (nodes, in_channels); edge_weight: (E,), ones by default."""
        _check_features("GCNConv", x, self.in_channels)
        _check_edges("GCNConv", edge_index)
        n = x.shape[0]
        if self.normalize:
            found = self._cache
            if found is None:
                found = gcn_norm(
                    edge_index, edge_weight, n, self.improved, self.add_self_loops, x.dtype
                )
                if self.cached:
                    self._cache = found
            edge_index, edge_weight = found
        y = _take(self.lin(x), edge_index[0], 0)
        if edge_weight is not None:
            y = y * edge_weight[:, None]
        y = scatter(y, edge_index[1], 0, n)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}"


class SAGEConv(Module):
    """``lin_l(aggregate of the neighbours) + lin_r(x)`` (Hamilton et al., "Inductive representation
    learning on large graphs", 2017).

    Parameters
    ----------
    in_channels : int or tuple of int
        Two numbers for sources and targets of different kinds.
    out_channels : int
    aggr : str
        "mean", "max", "min" or "sum" ("add").
    normalize : bool
        Whether results are divided by their norms.
    root_weight : bool
        Whether ``lin_r`` is there.
    project : bool
        Whether sources first go through a linear map and a rectifier.
    bias : bool
    dtype : dtype, optional

    Attributes
    ----------
    lin_l : Linear
    lin_r : Linear, without bias, with `root_weight`
    lin : Linear, with `project`

    Examples
    --------
    >>> layer = sn.nn.graph.SAGEConv(4, 2)
    >>> layer(sn.ones((3, 4)), sn.tensor([[0, 1], [1, 2]])).shape
    (3, 2)
    """

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        aggr: str = "mean",
        normalize: bool = False,
        root_weight: bool = True,
        project: bool = False,
        bias: bool = True,
        dtype: Any = None,
    ) -> None:
        source, target = _pair_of(in_channels)
        _positive("SAGEConv", in_channels=source, out_channels=out_channels)
        _positive("SAGEConv", in_channels=target)
        if aggr not in ("mean", "max", "min", "sum", "add"):
            raise error(
                _core.InvalidValue,
                "SAGEConv",
                f"aggr is {aggr!r}; it must be 'mean', 'max', 'min', 'sum' or 'add'",
            )
        self.in_channels = (source, target)
        self.out_channels = out_channels
        self.aggr = aggr
        self.normalize = normalize
        self.root_weight = root_weight
        self.project = project
        if project:
            self.lin = Linear(source, source, dtype=dtype)
        self.lin_l = Linear(source, out_channels, bias=bias, dtype=dtype)
        if root_weight:
            self.lin_r = Linear(target, out_channels, bias=False, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        for layer in self.children():
            layer.reset_parameters()

    def forward(self, x: Any, edge_index: Any, size: int | None = None) -> Any:
        """x: (nodes, in_channels), or a pair for sources and targets, whose second may be None when
        `size` is the number of targets."""
        _check_edges("SAGEConv", edge_index)
        source, target = x if isinstance(x, (tuple, list)) else (x, x)
        _check_features("SAGEConv", source, self.in_channels[0])
        if target is not None:
            _check_features("SAGEConv", target, self.in_channels[1])
            size = target.shape[0]
        elif size is None:
            size = _nodes(edge_index[1], None)
        if self.project:
            source = _f["relu"](self.lin(source))
        y = scatter(_take(source, edge_index[0], 0), edge_index[1], 0, size, self.aggr)
        y = self.lin_l(y)
        if self.root_weight and target is not None:
            y = y + self.lin_r(target)
        return _f["normalize"](y, 2.0, -1) if self.normalize else y

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, aggr={self.aggr!r}"


class GATConv(Module):
    """Graph attention (Veličković et al., "Graph attention networks", 2018): neighbours count by a
    softmax of ``leaky_relu(a_src · x_source + a_dst · x_target)``.

    Parameters
    ----------
    in_channels : int or tuple of int
        Two numbers for sources and targets of different kinds.
    out_channels : int
        Of each head.
    heads : int
    concat : bool
        Whether heads stand side by side, or are averaged.
    negative_slope : float
    dropout : float
        Of the attention weights, in training.
    add_self_loops : bool
    edge_dim : int, optional
        Features of edges, which then count too.
    fill_value : float or str
        Features of self-loops: a number, or "mean", "sum", "max" or "min" of the edges that reach
        the node.
    bias : bool
    residual : bool
        Whether a linear map of the targets is added.
    dtype : dtype, optional

    Attributes
    ----------
    lin : Linear, or lin_src and lin_dst for two kinds of nodes, without biases
    att_src, att_dst : Parameter, (1, heads, out_channels)
    lin_edge : Linear, and att_edge : Parameter, with `edge_dim`
    res : Linear, without bias, with `residual`
    bias : Parameter, (heads * out_channels,) or (out_channels,), or None

    Examples
    --------
    >>> layer = sn.nn.graph.GATConv(4, 2, heads=3)
    >>> layer(sn.ones((3, 4)), sn.tensor([[0, 1], [1, 2]])).shape
    (3, 6)
    """

    bias: Parameter | None

    def __init__(
        self,
        in_channels: int | tuple[int, int],
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        add_self_loops: bool = True,
        edge_dim: int | None = None,
        fill_value: Any = "mean",
        bias: bool = True,
        residual: bool = False,
        dtype: Any = None,
    ) -> None:
        source, target = _pair_of(in_channels)
        _positive("GATConv", in_channels=source, out_channels=out_channels, heads=heads)
        _positive("GATConv", in_channels=target)
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise error(
                _core.InvalidValue, "GATConv", f"dropout is {dropout!r}; it must be between 0 and 1"
            )
        self.in_channels = (source, target)
        self.out_channels = out_channels
        self.heads = heads
        self.concat = concat
        self.negative_slope = negative_slope
        self.dropout = dropout
        self.add_self_loops = add_self_loops
        self.edge_dim = edge_dim
        self.fill_value = fill_value
        self.residual = residual
        self.one_kind = isinstance(in_channels, int)
        wide = heads * out_channels
        empty = _f["empty"]
        if self.one_kind:
            self.lin = Linear(source, wide, bias=False, dtype=dtype)
        else:
            self.lin_src = Linear(source, wide, bias=False, dtype=dtype)
            self.lin_dst = Linear(target, wide, bias=False, dtype=dtype)
        self.att_src = Parameter(empty((1, heads, out_channels), dtype=dtype))
        self.att_dst = Parameter(empty((1, heads, out_channels), dtype=dtype))
        if edge_dim is not None:
            self.lin_edge = Linear(edge_dim, wide, bias=False, dtype=dtype)
            self.att_edge = Parameter(empty((1, heads, out_channels), dtype=dtype))
        size = wide if concat else out_channels
        if residual:
            self.res = Linear(target, size, bias=False, dtype=dtype)
        self.register_parameter("bias", Parameter(empty((size,), dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the parameters anew."""
        for layer in self.children():
            init.xavier_uniform_(layer.weight)
        bound = math.sqrt(6.0 / (self.heads + self.out_channels))
        for name in ("att_src", "att_dst", "att_edge"):
            if name in self._roles:
                init.uniform_(getattr(self, name), -bound, bound)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(
        self,
        x: Any,
        edge_index: Any,
        edge_attr: Any = None,
        return_attention_weights: bool = False,
    ) -> Any:
        """x: (nodes, in_channels), or a pair for sources and targets; edge_attr: (E, edge_dim).

        With `return_attention_weights` also the edges with self-loops and their weights, (E,
        heads); self-loops that were in the list stay there with weight zero.
        """
        _check_edges("GATConv", edge_index)
        pair = isinstance(x, (tuple, list))
        source, target = x if pair else (x, x)
        _check_features("GATConv", source, self.in_channels[0])
        _check_features("GATConv", target, self.in_channels[1])
        n, shape = target.shape[0], (-1, self.heads, self.out_channels)
        if self.one_kind:
            h = self.lin(source).reshape(shape)
            to = self.lin(target).reshape(shape) if pair else h
        else:
            h, to = self.lin_src(source).reshape(shape), self.lin_dst(target).reshape(shape)
        if (self.edge_dim is None) != (edge_attr is None):
            raise error(
                _core.InvalidValue,
                "GATConv",
                f"edge_dim is {self.edge_dim} and edge_attr "
                f"{'missing' if edge_attr is None else 'given'}; both or none are required",
            )
        inside = None  # which edges count
        if self.add_self_loops:
            loops = min(n, source.shape[0])
            inside = edge_index[0] != edge_index[1]
            attr = edge_attr
            if attr is not None:
                if attr.ndim == 1:
                    attr = attr[:, None]
                attr = self._with_loops(edge_index, attr, inside, loops)
            edge_attr = attr
            edge_index, _ = add_self_loops(edge_index, None, num_nodes=loops)
            inside = _concat(
                [inside, _f["ones"]((loops,), dtype=_core.bool, device=inside.device)], 0
            )
        row, col = edge_index[0], edge_index[1]
        score = _take((h * self.att_src).sum(-1), row, 0) + _take(
            (to * self.att_dst).sum(-1), col, 0
        )
        if edge_attr is not None:
            if edge_attr.ndim == 1:
                edge_attr = edge_attr[:, None]
            score = score + (self.lin_edge(edge_attr).reshape(shape) * self.att_edge).sum(-1)
        score = _f["leaky_relu"](score, self.negative_slope)
        if inside is not None:
            score = _where(inside[:, None], score, -float("inf"))
        weights = softmax(score, col, n)
        if self.dropout:
            weights = _f["dropout"](weights, self.dropout, self.training)
        y = scatter(_take(h, row, 0) * weights[..., None], col, 0, n)
        y = y.reshape(n, -1) if self.concat else y.mean(1)
        if self.residual:
            y = y + self.res(target)
        if self.bias is not None:
            y = y + self.bias
        return (y, (edge_index, weights)) if return_attention_weights else y

    def _with_loops(self, edge_index: Any, attr: Any, inside: Any, n: int) -> Any:
        """Features of the edges and of self-loops behind them, by those that are no self-loops."""
        if not isinstance(self.fill_value, str):
            new = _full(
                (n, attr.shape[1]), float(self.fill_value), dtype=attr.dtype, device=attr.device
            )
        else:
            # Self-loops that are there go to a node of their own, which is dropped.
            to = _where(inside, edge_index[1], n)
            new = scatter(attr, to, 0, n + 1, self.fill_value)[:n]
        return _concat([attr, new], 0)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, heads={self.heads}"
