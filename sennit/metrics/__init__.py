"""Measures of quality that are fed batch by batch, and merge across workers."""

from __future__ import annotations

from .classification import (
    Accuracy,
    ConfusionMatrix,
    F1Score,
    FBetaScore,
    JaccardIndex,
    Precision,
    Recall,
)
from .metric import Metric
from .ranking import ROCAUC, AveragePrecision
from .regression import MeanAbsoluteError, MeanSquaredError, R2Score, RootMeanSquaredError
from .text import BLEUScore, Perplexity

__all__ = [
    "ROCAUC",
    "Accuracy",
    "AveragePrecision",
    "BLEUScore",
    "ConfusionMatrix",
    "F1Score",
    "FBetaScore",
    "JaccardIndex",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "Perplexity",
    "Precision",
    "R2Score",
    "Recall",
    "RootMeanSquaredError",
]
