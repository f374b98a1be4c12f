"""Optimisers, with the names and semantics of ``torch.optim``; schedules; averages of weights."""

from __future__ import annotations

from ..nn.utils import clip_grad_adaptive_, clip_grad_norm_, clip_grad_value_
from . import lr_scheduler, schedule
from .adam import Adam, Adamax, AdamW, NAdam, RAdam
from .adaptive import ASGD, Adadelta, Adagrad, Ftrl, RMSprop, Rprop
from .averaging import EMA, AveragedModel, Lookahead, get_ema_avg_fn, get_swa_avg_fn, update_bn
from .grad_scaler import GradScaler
from .layerwise import LAMB, LARS, Adafactor, Lion, Muon
from .lbfgs import LBFGS
from .optimizer import Optimizer
from .schedule_free import AdamWScheduleFree, SGDScheduleFree
from .sgd import SGD
from .sparse import SparseAdam
from .utils import decay_groups, flatten_state, unflatten_state

__all__ = [
    "ASGD",
    "EMA",
    "LAMB",
    "LARS",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "AdamWScheduleFree",
    "Adamax",
    "AveragedModel",
    "Ftrl",
    "GradScaler",
    "Lion",
    "Lookahead",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGDScheduleFree",
    "SparseAdam",
    "clip_grad_adaptive_",
    "clip_grad_norm_",
    "clip_grad_value_",
    "decay_groups",
    "flatten_state",
    "get_ema_avg_fn",
    "get_swa_avg_fn",
    "lr_scheduler",
    "schedule",
    "unflatten_state",
    "update_bn",
]
