"""Small helpers around a training loop: progress, averages, and the hash of a model."""

from __future__ import annotations

from .metrics import Average, accuracy, parameter_hash
from .progress import Progress

__all__ = ["Average", "Progress", "accuracy", "parameter_hash"]
