"""Data sets and batches."""

from __future__ import annotations

from .datasets import Dataset, Subset, TensorDataset, random_split
from .loader import DataLoader, collate
from .vision import digits, fashion_mnist, mnist

__all__ = [
    "DataLoader",
    "Dataset",
    "Subset",
    "TensorDataset",
    "collate",
    "digits",
    "fashion_mnist",
    "mnist",
    "random_split",
]
