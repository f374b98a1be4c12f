"""Texts and a citation graph that are read from a folder: nothing is downloaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from .. import _core
from .._errors import error
from .vision import cache_folder

__all__ = ["CitationGraph", "cora", "movie_reviews", "names", "tiny_shakespeare"]

_LIMIT = 64 << 20  # bytes of a file; the largest has 1.2 MB


def _find(
    op: str, root: str | os.PathLike[str] | None, folder: str, files: tuple[str, ...]
) -> list[Path]:
    """The files in `root`, or in `folder` of ``$SENNIT_DATA`` and of the user's cache."""
    if root is not None:
        places = [Path(root), Path(root) / folder]
    else:
        named = os.environ.get("SENNIT_DATA")
        bases = ([Path(named)] if named else []) + [cache_folder()]
        places = [p for base in bases for p in (base / folder, base / Path(folder).name)]
    for place in places:
        if all((place / file).is_file() for file in files):
            for file in files:
                size = (place / file).stat().st_size
                if size > _LIMIT:
                    raise error(
                        _core.FileError,
                        op,
                        f"{place / file} has {size:,} bytes; at most {_LIMIT:,} are read",
                    )
            return [place / file for file in files]
    raise error(
        _core.FileError,
        op,
        f"{', '.join(files)} is not in {', '.join(map(str, places))}; put it into one of them, or "
        "name its folder as root or the folder above it in SENNIT_DATA",
    )


def tiny_shakespeare(root: str | os.PathLike[str] | None = None) -> str:
    """Tiny Shakespeare: 1,115,394 characters of plays, 65 different ones.

    Parameters
    ----------
    root : path, optional
        The folder of ``input.txt``; else ``$SENNIT_DATA/text/tinyshakespeare`` and the user's
        cache are searched.

    Returns
    -------
    str

    Raises
    ------
    FileError
        When the file is not there.

    References
    ----------
    A. Karpathy: char-rnn (2015).

    Examples
    --------
    >>> try:
    ...     text = sn.data.tiny_shakespeare("/nowhere")
    ... except sn.FileError as problem:
    ...     print("input.txt is not in /nowhere" in str(problem))
    True
    """
    (path,) = _find("tiny_shakespeare", root, "text/tinyshakespeare", ("input.txt",))
    return path.read_text(encoding="utf-8")


def names(root: str | os.PathLike[str] | None = None) -> list[str]:
    """32,033 first names in small letters, the most frequent first.

    Parameters
    ----------
    root : path, optional
        The folder of ``names.txt``; else ``$SENNIT_DATA/text/makemore-names`` and the user's cache
        are searched.

    Returns
    -------
    list of str

    Raises
    ------
    FileError
        When the file is not there.

    References
    ----------
    A. Karpathy: makemore (2022); from the U. S. Social Security Administration, 2018.

    Examples
    --------
    >>> try:
    ...     first = sn.data.names("/nowhere")[0]
    ... except sn.FileError as problem:
    ...     print("names.txt is not in /nowhere" in str(problem))
    True
    """
    (path,) = _find("names", root, "text/makemore-names", ("names.txt",))
    return path.read_text(encoding="utf-8").split()


def movie_reviews(root: str | os.PathLike[str] | None = None) -> tuple[list[str], list[int]]:
    """5,331 favourable and 5,331 unfavourable sentences from reviews of films (MR).

    Parameters
    ----------
    root : path, optional
        The folder of ``rt-polarity.neg`` and ``rt-polarity.pos``; else
        ``$SENNIT_DATA/text/rt-polarity`` and the user's cache are searched.

    Returns
    -------
    sentences : list of str
        In small letters, words and marks separated by blanks; first all unfavourable ones.
    labels : list of int
        0 unfavourable, 1 favourable.

    Raises
    ------
    FileError
        When a file is not there.

    References
    ----------
    B. Pang, L. Lee: Seeing stars: exploiting class relationships for sentiment categorization with
    respect to rating scales. ACL 2005.

    Examples
    --------
    >>> try:
    ...     sentences, labels = sn.data.movie_reviews("/nowhere")
    ... except sn.FileError as problem:
    ...     print("rt-polarity.neg" in str(problem))
    True
    """
    paths = _find("movie_reviews", root, "text/rt-polarity", ("rt-polarity.neg", "rt-polarity.pos"))
    sentences: list[str] = []
    labels: list[int] = []
    for label, path in enumerate(paths):
        lines = [line.strip() for line in path.read_text(encoding="latin-1").split("\n")]
        found = [line for line in lines if line]
        sentences += found
        labels += [label] * len(found)
    return sentences, labels


class CitationGraph(NamedTuple):
    """A graph whose nodes have features and labels, with the parts for training and tests.

    Attributes
    ----------
    features : Tensor
        (nodes, words), float32: which words a paper has.
    labels : Tensor
        (nodes,), int64.
    edges : Tensor
        (2, edges), int64: from, to; every citation stands in both directions.
    train, validation, test : Tensor
        Indices of nodes, int64.

    Examples
    --------
    >>> sn.data.CitationGraph._fields[:3]
    ('features', 'labels', 'edges')
    """

    features: Any
    labels: Any
    edges: Any
    train: Any
    validation: Any
    test: Any


def cora(root: str | os.PathLike[str] | None = None) -> CitationGraph:
    """Cora: 2,708 papers of machine learning in 7 classes, 5,278 citations, 1,433 words.

    The split is that of Planetoid: 20 papers a class for training, 500 for validation, 1,000 for
    tests.

    Parameters
    ----------
    root : path, optional
        The folder of ``cora.npz`` (features in compressed rows: ``feat_data``, ``feat_indices``,
        ``feat_indptr``, ``feat_shape``; ``labels``, ``edges``, ``train_idx``, ``val_idx``,
        ``test_idx``); else ``$SENNIT_DATA/graph`` and the user's cache are searched.

    Returns
    -------
    CitationGraph

    Raises
    ------
    FileError
        When the file is not there or not such a graph.

    References
    ----------
    P. Sen et al.: Collective classification in network data. AI Magazine 29 (2008).
    Z. Yang, W. Cohen, R. Salakhutdinov: Revisiting semi-supervised learning with graph
    embeddings. ICML 2016.

    Examples
    --------
    >>> try:
    ...     graph = sn.data.cora("/nowhere")
    ... except sn.FileError as problem:
    ...     print("cora.npz is not in /nowhere" in str(problem))
    True
    """
    import zipfile

    import numpy as np

    (path,) = _find("cora", root, "graph", ("cora.npz",))
    try:
        with zipfile.ZipFile(path) as archive:  # which reads no more of a member than it declares
            size = sum(member.file_size for member in archive.infolist())
        if size > _LIMIT:
            raise ValueError(f"it unpacks to {size:,} bytes; at most {_LIMIT:,} are read")
        with np.load(path, allow_pickle=False) as file:
            count, words = (int(n) for n in file["feat_shape"])
            if count < 0 or words < 0 or count * words > _LIMIT:
                raise ValueError(f"its matrix is {count:,} by {words:,}")
            starts = file["feat_indptr"].astype(np.int64)
            if (np.diff(starts) < 0).any() or starts[-1] - starts[0] != len(file["feat_data"]):
                raise ValueError("the rows of its matrix do not fit its elements")
            rows = np.repeat(np.arange(count), np.diff(starts))
            features = np.zeros((count, words), np.float32)
            features[rows, file["feat_indices"]] = file["feat_data"]
            parts = [file[name].astype(np.int64) for name in
                     ("labels", "edges", "train_idx", "val_idx", "test_idx")]  # fmt: skip
    except Exception as cause:  # of zipfile, zlib and NumPy's reader: there is no list of them
        raise error(
            _core.FileError, "cora", f"{path} is no such graph ({cause}); fetch the file again"
        ) from cause
    labels, edges = parts[:2]
    if labels.shape != (count,) or edges.ndim != 2 or edges.shape[0] != 2:
        raise error(
            _core.FileError,
            "cora",
            f"{path} has labels {labels.shape} and edges {edges.shape} for {count:,} nodes; fetch "
            "the file again",
        )
    for name, found in zip(("edges", "train_idx", "val_idx", "test_idx"), parts[1:], strict=True):
        if found.size and not 0 <= found.min() <= found.max() < count:
            raise error(
                _core.FileError,
                "cora",
                f"{path}: {name} names the node {found.max():,}; there are {count:,}",
            )
    return CitationGraph(*(_core.asarray(a) for a in (features, *parts)))
