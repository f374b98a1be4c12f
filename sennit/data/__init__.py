"""Data sets and batches."""

from __future__ import annotations

from .corpora import CitationGraph, cora, movie_reviews, names, tiny_shakespeare
from .datasets import Dataset, Subset, TensorDataset, random_split
from .loader import DataLoader, collate
from .vision import digits, fashion_mnist, mnist

__all__ = [
    "CitationGraph",
    "DataLoader",
    "Dataset",
    "Subset",
    "TensorDataset",
    "collate",
    "cora",
    "digits",
    "fashion_mnist",
    "mnist",
    "movie_reviews",
    "names",
    "random_split",
    "tiny_shakespeare",
]
