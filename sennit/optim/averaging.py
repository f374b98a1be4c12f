"""Averages of weights: over the path (SWA, EMA), and of slow and fast weights (Lookahead)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .. import _core
from ..autograd import no_grad
from ..nn.module import Module
from .optimizer import Optimizer, need

__all__ = ["EMA", "AveragedModel", "Lookahead", "get_ema_avg_fn", "get_swa_avg_fn", "update_bn"]

_f = _core.functions
_lerp, _where, _zeros, _minimum = _f["lerp"], _f["where"], _f["zeros"], _f["minimum"]
_f64 = _core.float64

AverageFunction = Callable[[Any, Any, Any], Any]


def get_swa_avg_fn() -> AverageFunction:
    """The function for `AveragedModel` by which all models weigh the same.

    References
    ----------
    Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018.

    Examples
    --------
    >>> average = sn.optim.get_swa_avg_fn()
    >>> average(sn.tensor([1.0]), sn.tensor([4.0]), 2).item()
    2.0
    """

    def average(averaged: Any, current: Any, count: Any) -> Any:
        part = 1.0 / (count + 1.0)
        return _lerp(
            averaged, current, part.to(averaged.dtype) if isinstance(part, _core.Tensor) else part
        )

    return average


def get_ema_avg_fn(decay: float = 0.999) -> AverageFunction:
    """The function for `AveragedModel` by which a model's weight fades by `decay` at each update.

    Examples
    --------
    >>> average = sn.optim.get_ema_avg_fn(0.5)
    >>> average(sn.tensor([1.0]), sn.tensor([4.0]), 2).item()
    2.5
    """

    def average(averaged: Any, current: Any, count: Any) -> Any:
        return _lerp(averaged, current, 1.0 - decay)

    return average


class AveragedModel(Module):
    """A copy of a model whose parameters are an average over the path of the model's.

    Parameters
    ----------
    model : Module
        What is averaged; it is copied.
    device : str, optional
        Where the copy goes.
    avg_fn : callable, optional
        From an average, a new value, and the number of models in the average (a tensor of rank 0):
        the new average. All models weigh the same by default; see also `get_ema_avg_fn`.
    use_buffers : bool
        Whether buffers are averaged too; they are copied otherwise.

    References
    ----------
    Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018.

    Examples
    --------
    >>> model = sn.nn.Linear(1, 1, bias=False)
    >>> average = sn.optim.AveragedModel(model)
    >>> for value in (1.0, 3.0):
    ...     _ = model.weight.assign_(sn.tensor([[value]]))
    ...     average.update_parameters(model)
    >>> average.module.weight.item(), average.n_averaged.item()
    (2.0, 2)
    """

    def __init__(
        self,
        model: Module,
        device: str | None = None,
        avg_fn: AverageFunction | None = None,
        multi_avg_fn: None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        need(self, multi_avg_fn is None, "multi_avg_fn", multi_avg_fn, "None; pass avg_fn")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", _zeros((), dtype=_core.int64))
        self.avg_fn = avg_fn if avg_fn is not None else get_swa_avg_fn()
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Takes the model's present parameters into the average.

        Examples
        --------
        >>> model = sn.nn.Linear(1, 1)
        >>> average = sn.optim.AveragedModel(model)
        >>> average.update_parameters(model)
        >>> average.n_averaged.item()
        1
        """
        count: Any = self.n_averaged
        with no_grad():
            number = count.to(_f64)
            first = count == 0
            pairs = zip(self.module.parameters(), model.parameters(), strict=True)
            buffers = list(zip(self.module.buffers(), model.buffers(), strict=True))
            averaged = [*pairs, *(buffers if self.use_buffers else [])]
            for mine, theirs in averaged:
                new = theirs.detach().to(mine.device)
                if mine.dtype in (_core.float16, _core.bfloat16, _core.float32, _f64):
                    new = _where(first, new, self.avg_fn(mine.detach(), new, number))
                mine.assign_(new)
            for mine, theirs in [] if self.use_buffers else buffers:
                mine.assign_(theirs.detach().to(mine.device))
            count.assign_(count + 1)
        _core.flush()


def update_bn(loader: Iterable[Any], model: Module, device: str | None = None) -> None:
    """Computes the running statistics of batch norm anew, for weights that are an average.

    Parameters
    ----------
    loader : iterable
        Batches of inputs, or of tuples that begin with them.
    model : Module
        It is run in training mode, without gradients.
    device : str, optional
        Where the inputs go first.

    Examples
    --------
    >>> model = sn.nn.Sequential(sn.nn.BatchNorm1d(1))
    >>> sn.optim.update_bn([sn.tensor([[1.0], [3.0]])], model)
    >>> model[0].running_mean.tolist()
    [2.0]
    """
    norms = [m for m in model.modules() if getattr(m, "running_mean", None) is not None]
    if not norms:
        return
    was_training, momenta = model.training, [getattr(m, "momentum", None) for m in norms]
    modules: list[Any] = list(norms)
    for m in modules:
        m.reset_running_stats()
        m.momentum = None  # the plain mean over the batches
    model.train()
    try:
        with no_grad():
            for batch in loader:
                x = batch[0] if isinstance(batch, tuple | list) else batch
                model(x if device is None else x.to(device))
                _core.flush()
    finally:
        for m, momentum in zip(modules, momenta, strict=True):
            m.momentum = momentum
        model.train(was_training)


class EMA:
    """A fading average of parameters, to evaluate and to save with.

    Parameters
    ----------
    parameters : Module or iterable of Tensor
        What is averaged.
    decay : float
        The part of the average that stays at each update.
    warmup : bool
        Whether the decay rises to `decay` as ``(1 + updates) / (10 + updates)``, so that the first
        values are soon forgotten.

    References
    ----------
    Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", 1992.

    Examples
    --------
    >>> w = sn.tensor([0.0], requires_grad=True)
    >>> ema = sn.optim.EMA([w], decay=0.75)
    >>> _ = w.assign_(sn.tensor([4.0]))
    >>> ema.update()
    >>> with ema.applied():
    ...     print(w.item())
    1.0
    >>> w.item()
    4.0
    """

    def __init__(
        self,
        parameters: Module | Iterable[_core.Tensor],
        decay: float = 0.999,
        warmup: bool = False,
    ) -> None:
        need(self, 0 <= decay <= 1, "decay", decay, "in [0, 1]")
        of_module = parameters.parameters() if isinstance(parameters, Module) else parameters
        self.parameters = list(of_module)
        need(self, len(self.parameters) > 0, "the number of parameters", 0, "1 or more")
        self.decay = decay
        self.warmup = warmup
        self.averages = [p.detach() for p in self.parameters]
        self.updates = _zeros((), dtype=_f64)
        _core.flush()

    def update(self) -> None:
        """Takes the present values into the average: after each step of the optimizer."""
        with no_grad():
            rest: Any = 1.0 - self.decay
            if self.warmup:
                count = self.updates
                rest = 1.0 - _minimum((1.0 + count) / (10.0 + count), self.decay)
            for average, p in zip(self.averages, self.parameters, strict=True):
                part = rest.to(p.dtype) if self.warmup else rest
                average.assign_(_lerp(average, p.detach(), part))
            self.updates.assign_(self.updates + 1.0)
        _core.flush()

    def copy_to(self, parameters: Iterable[_core.Tensor] | None = None) -> None:
        """Sets parameters (those of the beginning, by default) to the averages."""
        targets = self.parameters if parameters is None else list(parameters)
        for average, p in zip(self.averages, targets, strict=True):
            p.assign_(average.detach())

    @contextmanager
    def applied(self) -> Iterator[None]:
        """A scope in which the parameters have their averages."""
        before = [p.detach() for p in self.parameters]
        self.copy_to()
        try:
            yield
        finally:
            for p, value in zip(self.parameters, before, strict=True):
                p.assign_(value)

    def state_dict(self) -> dict[str, Any]:
        """Averages and number of updates: a snapshot; `flatten_state` prepares it for a file."""
        return {
            "averages": [a.detach() for a in self.averages],
            "updates": self.updates.detach(),
            "decay": self.decay,
            "warmup": self.warmup,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        averages = list(state_dict["averages"])
        shapes, given = [p.shape for p in self.parameters], [a.shape for a in averages]
        need(self, shapes == given, "the averages' shapes", given, f"the parameters' ({shapes})")
        self.averages = [a.detach() for a in averages]
        self.updates = state_dict["updates"].detach()
        self.decay, self.warmup = state_dict["decay"], state_dict["warmup"]


class Lookahead(Optimizer):
    """Every `k` steps of an optimizer, its parameters go back part of the way.

    Parameters
    ----------
    optimizer : Optimizer
        What makes the steps. Its groups and its state are used through this one.
    k : int
        Steps between two returns.
    alpha : float
        The part of the way that is kept.

    References
    ----------
    Zhang et al., "Lookahead Optimizer: k steps forward, 1 step back", 2019.

    Examples
    --------
    >>> w = sn.tensor([8.0], requires_grad=True)
    >>> optimizer = sn.optim.Lookahead(sn.optim.SGD([w], lr=1.0), k=2, alpha=0.5)
    >>> for _ in range(2):
    ...     w.grad = sn.tensor([1.0])
    ...     optimizer.step()
    ...     print(w.item())
    7.0
    7.0
    """

    def __init__(self, optimizer: Optimizer, k: int = 5, alpha: float = 0.5) -> None:
        need(self, k >= 1, "k", k, "1 or more")
        need(self, 0 <= alpha <= 1, "alpha", alpha, "in [0, 1]")
        self.optimizer = optimizer
        self.k = k
        self.alpha = alpha
        self._count = _zeros((), dtype=_f64)
        self._slow: dict[_core.Tensor, _core.Tensor] = {}
        for group in optimizer.param_groups:
            self._slow.update({p: p.detach() for p in group["params"]})
        _core.flush()

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The groups of the optimizer inside."""
        return self.optimizer.param_groups

    @property
    def state(self) -> dict[_core.Tensor, dict[str, Any]]:  # type: ignore[override]
        """The state of the optimizer inside."""
        return self.optimizer.state

    @property
    def defaults(self) -> dict[str, Any]:  # type: ignore[override]
        """The defaults of the optimizer inside."""
        return self.optimizer.defaults

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        self.optimizer.add_param_group(param_group)
        self._slow.update({p: p.detach() for p in self.param_groups[-1]["params"]})

    add_param_group.__doc__ = Optimizer.add_param_group.__doc__

    def _updates(self) -> None:
        self.optimizer._updates()
        # Whether this is a return is decided in the window, like all that a failure must take back.
        count = self._count + 1.0
        returns = count >= float(self.k)
        self._count.assign_(_where(returns, 0.0, count))
        for p, slow in self._slow.items():
            near = _where(returns, _lerp(slow, p.detach(), self.alpha), slow)
            slow.assign_(near)
            p.assign_(_where(returns, near, p.detach()))

    def _begin(self, params: Iterable[_core.Tensor], counted: bool) -> None:
        self.optimizer._begin(params, counted)

    def state_dict(self) -> dict[str, Any]:
        made = self.optimizer.state_dict()
        slow = [v.detach() for v in self._slow.values()]
        return {**made, "lookahead": {"count": self._count.detach(), "slow": slow}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        mine = state_dict["lookahead"]
        shapes, given = [v.shape for v in self._slow], [v.shape for v in mine["slow"]]
        need(
            self, shapes == given, "the slow weights' shapes", given, f"the parameters' ({shapes})"
        )
        self.optimizer.load_state_dict(state_dict)
        self._count = mine["count"].detach()
        self._slow = {p: v.detach() for p, v in zip(self._slow, mine["slow"], strict=True)}

    state_dict.__doc__ = Optimizer.state_dict.__doc__
    load_state_dict.__doc__ = Optimizer.load_state_dict.__doc__

    def __repr__(self) -> str:
        return f"Lookahead(k={self.k}, alpha={self.alpha}, {self.optimizer!r})"
