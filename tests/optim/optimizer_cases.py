"""Every optimizer, with settings that reach all of its branches."""

from __future__ import annotations

from typing import Any

import sennit as sn
from sennit import optim

# Those that PyTorch has. The shapes are (3, 4), (4,) and (), but for Muon, which takes matrices.
WITH_TORCH: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.05, "maximize": True}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True}),
    ("NAdam", {"lr": 0.1}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {"lr": 0.1}),
    ("RAdam", {"lr": 0.1, "betas": (0.9, 0.99), "weight_decay": 0.1, "maximize": True}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adamax", {"lr": 0.1}),
    ("Adamax", {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.1, "maximize": True}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "eps": 1e-3}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.3, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"lr": 0.1}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.9, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"lr": 0.1, "centered": True}),
    ("RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.5}),
    ("Rprop", {"lr": 0.1}),
    ("Rprop", {"etas": (0.4, 1.5), "step_sizes": (1e-3, 0.02), "maximize": True}),
    ("ASGD", {"lr": 0.1}),
    ("ASGD", {"lr": 0.1, "t0": 3, "lambd": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("Adafactor", {"lr": 0.1}),
    ("Adafactor", {"eps": (1e-4, 1e-2), "d": 2.0, "weight_decay": 0.1, "maximize": True}),
]
WITHOUT_TORCH: list[tuple[str, dict[str, Any]]] = [
    ("SparseAdam", {"lr": 0.1}),  # against PyTorch in test_sparse.py: there it takes no dense ones
    ("SparseAdam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "maximize": True}),
    ("Lion", {"lr": 0.02}),
    ("Lion", {"lr": 0.02, "betas": (0.5, 0.8), "weight_decay": 0.1, "maximize": True}),
    ("LAMB", {"lr": 0.1}),
    ("LAMB", {"lr": 0.1, "weight_decay": 0.1, "clamp_norm": 1.0}),
    ("LARS", {"lr": 1.0, "trust_coefficient": 0.1}),
    ("LARS", {"lr": 1.0, "trust_coefficient": 0.1, "weight_decay": 0.1, "nesterov": True}),
    ("LARS", {"lr": 0.1, "adapt": False, "maximize": True}),
    ("Ftrl", {"lr": 0.2}),
    ("Ftrl", {"lr": 0.2, "l1": 0.3, "l2": 0.1, "beta": 0.5, "lr_power": -0.4}),
    ("SGDScheduleFree", {"lr": 0.2}),
    ("SGDScheduleFree", {"lr": 0.2, "warmup_steps": 4, "weight_decay": 0.1, "r": 1.0}),
    ("AdamWScheduleFree", {"lr": 0.2}),
    ("AdamWScheduleFree", {"lr": 0.2, "warmup_steps": 4, "weight_decay": 0.1, "maximize": True}),
]
MUON: list[tuple[str, dict[str, Any]]] = [
    ("Muon", {"lr": 0.1}),
    ("Muon", {"lr": 0.1, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"}),
]
# One of each kind, and what wraps them; all are built on lists of parameters.
ALL = {
    **{name: (lambda ps, name=name: getattr(optim, name)(ps)) for name, _ in WITH_TORCH},
    **{name: (lambda ps, name=name: getattr(optim, name)(ps)) for name, _ in WITHOUT_TORCH},
    "momentum": lambda ps: optim.SGD(ps, lr=0.05, momentum=0.9),
    "dampened": lambda ps: optim.SGD(ps, lr=0.05, momentum=0.9, dampening=0.5),
    "amsgrad": lambda ps: optim.Adam(ps, lr=0.05, amsgrad=True),
    "averaged": lambda ps: optim.ASGD(ps, lr=0.05, t0=2),
    "scheduled": lambda ps: optim.AdamW(ps, lr=optim.schedule.cosine(0.1, 20)),
    "all scheduled": lambda ps: optim.SGD(
        ps,
        lr=optim.schedule.linear(0.1, 0.05, 5),
        momentum=optim.schedule.linear(0.5, 0.9, 5),
        weight_decay=optim.schedule.exponential(0.1, 0.9),
    ),
    "lookahead": lambda ps: optim.Lookahead(optim.Adam(ps, lr=0.05), k=3),
}
ELEMENTWISE = [
    *("SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop"),
    *("Rprop", "ASGD", "Lion", "Ftrl", "SGDScheduleFree", "AdamWScheduleFree"),
    *("momentum", "dampened", "amsgrad", "averaged", "scheduled", "all scheduled", "lookahead"),
]


def network() -> Any:
    """A small network with initial values that are the same each time, computed."""
    from sennit import nn

    sn.random.seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4))
    sn.synchronize()
    return net
