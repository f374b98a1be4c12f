"""Optimisers, with the names and semantics of ``torch.optim``."""

from __future__ import annotations

from ..nn.utils import clip_grad_norm_, clip_grad_value_
from .adam import Adam, Adamax, AdamW, NAdam, RAdam
from .adaptive import ASGD, Adadelta, Adagrad, Ftrl, RMSprop, Rprop
from .layerwise import LAMB, LARS, Adafactor, Lion, Muon
from .lbfgs import LBFGS
from .optimizer import Optimizer
from .schedule_free import AdamWScheduleFree, SGDScheduleFree
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "clip_grad_norm_", "clip_grad_value_"]
