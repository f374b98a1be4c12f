"""Optimisers, with the names and semantics of ``torch.optim``."""

from __future__ import annotations

from ..nn.utils import clip_grad_norm_, clip_grad_value_
from .adam import Adam, Adamax, AdamW, NAdam, RAdam
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "clip_grad_norm_", "clip_grad_value_"]
