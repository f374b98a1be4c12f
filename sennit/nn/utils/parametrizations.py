"""Parametrizations of weights: weight and spectral normalisation. See `parametrize`."""

from __future__ import annotations

from typing import Any, TypeVar

from ... import _core
from ..._errors import error
from ...autograd import no_grad
from ..conv import _TransposedConv
from ..module import Module
from . import parametrize

__all__ = ["spectral_norm", "weight_norm"]

_f = _core.functions
_norm, _normalize = _f["vector_norm"], _f["normalize"]
_M = TypeVar("_M", bound=Module)


def _weight(function: str, module: Module, name: str) -> Any:
    weight = getattr(module, name, None)
    if not isinstance(weight, _core.Tensor):
        raise error(
            _core.InvalidValue,
            function,
            f"{type(module).__name__} has no parameter or buffer '{name}'; name one that it has",
        )
    return weight


def _dimension(function: str, dim: int, weight: Any) -> int:
    if not -weight.ndim <= dim < weight.ndim:
        raise error(
            _core.IndexOutOfRange,
            function,
            f"dim is {dim} and the weight has shape {weight.shape}; it must be in "
            f"[{-weight.ndim}, {weight.ndim - 1}]",
        )
    return dim % int(weight.ndim)


def _remember(module: Module, older: dict[str, str]) -> None:
    """State dicts with these older names fit the layer too."""
    module.__dict__["_older_names"] = {**module._older_names, **older}


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        self.dim = -1 if dim is None else dim

    def _length(self, v: Any) -> Any:
        if self.dim == -1:  # PyTorch's number for "all of it"
            return _norm(v)
        axes = tuple(a for a in range(v.ndim) if a != self.dim)
        return _norm(v, axis=axes, keepdims=True) if axes else v.abs()

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        return weight_v * (weight_g / self._length(weight_v))

    def right_inverse(self, weight: Any) -> Any:
        return self._length(weight), weight


def weight_norm(module: _M, name: str = "weight", dim: int | None = 0) -> _M:
    """A weight as length times direction, ``g * v / |v|`` (Salimans, Kingma 2016).

    Parameters
    ----------
    module : Module
    name : str
        The parameter.
    dim : int, optional
        There is a length for each index of this dimension; None: one for the whole weight.

    Returns
    -------
    Module
        The same layer; g and v are ``parametrizations.weight.original0`` and ``original1``. State
        dicts with PyTorch's older names, ``weight_g`` and ``weight_v``, can be loaded too.

    Examples
    --------
    >>> layer = sn.nn.utils.parametrizations.weight_norm(sn.nn.Linear(20, 40))
    >>> layer.parametrizations.weight.original0.shape
    (40, 1)
    >>> layer
    ParametrizedLinear(
      in_features=20, out_features=40, bias=True
      (parametrizations): ModuleDict(
        (weight): ParametrizationList(
          (0): _WeightNorm()
        )
      )
    )
    """
    weight = _weight("weight_norm", module, name)
    if dim not in (None, -1):
        dim = _dimension("weight_norm", dim, weight)
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)
    place = f"parametrizations.{name}.original"
    _remember(module, {f"{name}_g": f"{place}0", f"{name}_v": f"{place}1"})
    return module


class _SpectralNorm(Module):
    def __init__(
        self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        if n_power_iterations < 1:
            raise error(
                _core.InvalidValue,
                "spectral_norm",
                f"n_power_iterations is {n_power_iterations}; it must be 1 or more",
            )
        self.dim = dim
        self.eps = eps
        self.n_power_iterations = n_power_iterations
        if weight.ndim < 2:
            return  # a vector's norm is computed as it is
        matrix = self._matrix(weight.detach())
        for key, size in (("_u", matrix.shape[0]), ("_v", matrix.shape[1])):
            start = _f["random.normal"](0.0, 1.0, (size,), weight.dtype, weight.device)
            self.register_buffer(key, _normalize(start, axis=0, eps=eps))
        self._iterate(matrix, 15)

    def _matrix(self, weight: Any) -> Any:
        if self.dim != 0:
            rest = (d for d in range(weight.ndim) if d != self.dim)
            weight = weight.permute_dims((self.dim, *rest))
        return weight.flatten(1)

    def _iterate(self, matrix: Any, times: int) -> None:
        """Brings u and v nearer to the singular vectors of the largest singular value."""
        with no_grad():
            matrix = matrix.detach()
            u, v = self._u.detach(), self._v.detach()
            for _ in range(times):
                u = _normalize(matrix @ v, axis=0, eps=self.eps)
                v = _normalize(matrix.mT @ u, axis=0, eps=self.eps)
            self._u.assign_(u)
            self._v.assign_(v)

    def forward(self, weight: Any) -> Any:
        if weight.ndim == 1:
            return _normalize(weight, axis=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        # Values never change, so later calls leave the vectors of this one as they are.
        return weight / (self._u.detach() * (matrix @ self._v.detach())).sum()

    def right_inverse(self, value: Any) -> Any:
        return value


def spectral_norm(
    module: _M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> _M:
    """A weight divided by its largest singular value (Miyato et al. 2018), which power iteration
    estimates: some steps at each call in training, none in inference.

    Parameters
    ----------
    module : Module
    name : str
        The parameter.
    n_power_iterations : int
        Steps at each call in training.
    eps : float
        The smallest norm that is divided by.
    dim : int, optional
        The dimension of the outputs: 1 for transposed convolutions, 0 for others, by default. The
        weight is read as a matrix with that dimension as rows.

    Returns
    -------
    Module
        The same layer, with ``parametrizations.weight.original`` and the vectors
        ``parametrizations.weight.0._u`` and ``_v``. State dicts with PyTorch's older names,
        ``weight_orig``, ``weight_u`` and ``weight_v``, can be loaded too.

    Examples
    --------
    >>> layer = sn.nn.utils.parametrizations.spectral_norm(sn.nn.Linear(20, 40))
    >>> sorted(layer.state_dict())[1]
    'parametrizations.weight.0._u'
    """
    weight = _weight("spectral_norm", module, name)
    if dim is None:
        dim = 1 if isinstance(module, _TransposedConv) else 0
    dim = _dimension("spectral_norm", dim, weight)
    norm = _SpectralNorm(weight, n_power_iterations, dim, eps)
    at = 0
    if parametrize.is_parametrized(module, name):
        at = len(module.parametrizations[name])
    parametrize.register_parametrization(module, name, norm)
    place = f"parametrizations.{name}"
    older = {f"{name}_orig": f"{place}.original"}
    older |= {f"{name}_u": f"{place}.{at}._u", f"{name}_v": f"{place}.{at}._v"}
    _remember(module, older)
    return module
