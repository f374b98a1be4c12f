"""Loss scaling for training in float16."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._core import Tensor
from .._errors import error
from ..autograd import no_grad

__all__ = ["GradScaler"]

_f = _core.functions
_isfinite, _all = _f["isfinite"], _f["all"]


class GradScaler:
    """Scales losses so that gradients in float16 do not vanish, and skips steps in which they
    overflow (Micikevicius et al., "Mixed precision training", 2018), as ``torch.amp.GradScaler``.

    Parameters
    ----------
    device : str
        "cuda" or "cpu". Without CUDA, "cuda" gives a scaler that is not enabled.
    init_scale : float
        The first scale.
    growth_factor, backoff_factor : float
        The scale is multiplied by the first after `growth_interval` steps in a row without an
        infinity or NaN, and by the second after a step with one. More than 1; between 0 and 1.
    growth_interval : int
    enabled : bool
        False: losses are not scaled, and `step` is the optimizer's.

    Raises
    ------
    InvalidValue
        When a factor or the interval is out of its range.

    Notes
    -----
    `step` waits for the gradients, as it must know whether to skip the update; inside of
    `sn.compile` that ends the recording. Compile the forward and backward pass, and step outside.

    Examples
    --------
    >>> w = sn.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = sn.optim.SGD([w], lr=0.1)
    >>> scaler = sn.optim.GradScaler("cpu", init_scale=1024.0)
    >>> with sn.autocast("cpu", dtype=sn.float16):
    ...     loss = (w @ sn.ones(2)).sum()
    >>> scaler.scale(loss).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> [round(v, 4) for v in w.tolist()], scaler.get_scale()
    ([0.9, 1.9], 1024.0)
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        kind = str(device).partition(":")[0]
        _require(kind in ("cpu", "cuda"), f"the device is {device!r}", "'cpu' or 'cuda'")
        if enabled and kind == "cuda":
            enabled = not _core.unavailable_reason("cuda")
        self._enabled = bool(enabled)
        self._scale = float(init_scale)
        self._steps = 0  # in a row without an infinity
        # By optimizer: whether its gradients are finite, once they are unscaled; then, it stepped.
        self._finite: dict[int, Tensor | bool] = {}
        self._stepped: set[int] = set()
        self.set_growth_factor(growth_factor)
        self.set_backoff_factor(backoff_factor)
        self.set_growth_interval(growth_interval)

    def scale(self, outputs: Any) -> Any:
        """A tensor, or a list, tuple or other iterable of them, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if outputs.ndim == 0 and outputs.dtype in (_core.float16, _core.bfloat16):
                outputs = outputs.astype(_core.float32)  # 2**16 is no float16
            return outputs * self._scale
        try:
            scaled = (self.scale(x) for x in outputs)
        except TypeError:
            raise error(
                _core.InvalidType,
                "GradScaler.scale",
                f"the outputs are a {type(outputs).__name__}; they must be a tensor, or an "
                "iterable of tensors",
            ) from None
        return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled

    def unscale_(self, optimizer: Any) -> None:
        """Divides the gradients of an optimizer by the scale, in place, once before its `step`:
        for those that look at gradients in between, to clip them.

        Raises
        ------
        InvalidValue
            When it was called since the last `update`, or a gradient is float16: keep parameters
            in float32.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._finite:
            stepped = id(optimizer) in self._stepped
            raise error(
                _core.InvalidValue,
                "GradScaler.unscale_",
                ("step() has already been called" if stepped else "it has already been called")
                + " for this optimizer since the last update(); call it once, before step()",
            )
        inverse = 1.0 / self._scale
        finite: Tensor | bool = True
        with no_grad():
            for group in optimizer.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    if p.grad.dtype == _core.float16:
                        raise error(
                            _core.DTypeError,
                            "GradScaler.unscale_",
                            f"a parameter of shape {p.shape} has a gradient of dtype float16, in "
                            "which unscaled gradients would vanish; keep parameters in float32 "
                            "and use sn.autocast",
                        )
                    here = _all(_isfinite(p.grad))
                    if not isinstance(finite, bool):
                        here = finite & here.to(finite.device)
                    finite = here
                    p.grad = p.grad * inverse
        self._finite[id(optimizer)] = finite

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Unscales the gradients, unless that is done, and steps when all are finite.

        Returns
        -------
        What ``optimizer.step`` returns; None when the step is skipped.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs or args:
            raise error(
                _core.InvalidValue,
                "GradScaler.step",
                "a closure is given; a step that is scaled takes none: compute the loss, scale it "
                "and call backward() before",
            )
        if id(optimizer) in self._stepped:
            raise error(
                _core.InvalidValue,
                "GradScaler.step",
                "it has already been called for this optimizer since the last update(); call "
                "update() at the end of each iteration",
            )
        if id(optimizer) not in self._finite:
            self.unscale_(optimizer)
        found = self._finite[id(optimizer)]
        if found is True:
            raise error(
                _core.InvalidValue,
                "GradScaler.step",
                "no parameter of the optimizer has a gradient; call scaler.scale(loss).backward() "
                "before",
            )
        finite = bool(found)
        self._finite[id(optimizer)] = finite
        self._stepped.add(id(optimizer))
        return optimizer.step(**kwargs) if finite else None

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Ends an iteration: changes the scale by what the gradients were, or to `new_scale`."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._finite:
            raise error(
                _core.InvalidValue,
                "GradScaler.update",
                "no gradients were looked at since the last update(); call step(optimizer) before",
            )
        elif all(bool(finite) for finite in self._finite.values()):
            self._steps += 1
            if self._steps == self._growth_interval:
                grown = self._scale * self._growth_factor
                if grown < 2.0**128:  # a float32
                    self._scale = grown
                self._steps = 0
        else:
            self._scale *= self._backoff_factor
            self._steps = 0
        self._finite.clear()
        self._stepped.clear()

    def get_scale(self) -> float:
        """The scale; 1 when scaling is off."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """The factor by which the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Sets the factor by which the scale grows."""
        _require(new_factor > 1, f"the growth factor is {new_factor}", "more than 1")
        self._growth_factor = float(new_factor)

    def get_backoff_factor(self) -> float:
        """The factor by which the scale shrinks."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Sets the factor by which the scale shrinks."""
        _require(0 < new_factor < 1, f"the backoff factor is {new_factor}", "between 0 and 1")
        self._backoff_factor = float(new_factor)

    def get_growth_interval(self) -> int:
        """After how many steps without an infinity the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Sets after how many steps without an infinity the scale grows."""
        _require(new_interval >= 1, f"the growth interval is {new_interval}", "at least 1")
        self._growth_interval = int(new_interval)

    def is_enabled(self) -> bool:
        """Whether losses are scaled."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The scale, the settings and the count of steps, to be saved after `update`; empty when
        scaling is off."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._steps,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what `state_dict` of this class, or of PyTorch's, has returned."""
        if not self._enabled:
            return
        if not state_dict:
            raise error(
                _core.InvalidValue,
                "GradScaler.load_state_dict",
                "the state is empty: it was saved from a scaler that was not enabled",
            )
        self._scale = float(state_dict["scale"])
        self.set_growth_factor(state_dict["growth_factor"])
        self.set_backoff_factor(state_dict["backoff_factor"])
        self.set_growth_interval(state_dict["growth_interval"])
        self._steps = int(state_dict["_growth_tracker"])


def _require(holds: bool, is_what: str, must_be: str) -> None:
    if not holds:
        raise error(_core.InvalidValue, "GradScaler", f"{is_what}; it must be {must_be}")
