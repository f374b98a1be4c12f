"""Texts and the citation graph: small files written here, and the real ones where they are."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn


def graph_arrays() -> dict[str, np.ndarray]:
    return {
        "feat_data": np.array([1.0, 0.5, 0.25], np.float32),
        "feat_indices": np.array([0, 2, 1], np.int32),
        "feat_indptr": np.array([0, 2, 2, 3], np.int32),
        "feat_shape": np.array([3, 4]),
        "labels": np.array([0, 1, 0], np.int16),
        "edges": np.array([[0, 1], [1, 0]], np.int32),
        "train_idx": np.array([0], np.int32),
        "val_idx": np.array([1], np.int32),
        "test_idx": np.array([2], np.int32),
    }


def test_texts_are_found_in_root_and_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "text" / "tinyshakespeare"
    folder.mkdir(parents=True)
    (folder / "input.txt").write_text("To be\n")
    assert sn.data.tiny_shakespeare(folder) == "To be\n"
    monkeypatch.setenv("SENNIT_DATA", str(tmp_path))
    assert sn.data.tiny_shakespeare() == "To be\n"


def test_names_and_reviews(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("emma\nolivia\n")
    assert sn.data.names(tmp_path) == ["emma", "olivia"]
    (tmp_path / "rt-polarity.neg").write_bytes(b"dull .\n\n caf\xe9 , no .\n")
    (tmp_path / "rt-polarity.pos").write_bytes(b"fine .\n")
    assert sn.data.movie_reviews(tmp_path) == (["dull .", "café , no .", "fine ."], [0, 0, 1])


def test_cora(tmp_path: Path) -> None:
    np.savez(tmp_path / "cora.npz", **graph_arrays())
    graph = sn.data.cora(tmp_path)
    assert graph.features.tolist() == [[1, 0, 0.5, 0], [0, 0, 0, 0], [0, 0.25, 0, 0]]
    assert graph.labels.dtype == sn.int64 and graph.edges.shape == (2, 2)
    assert [p.tolist() for p in graph[3:]] == [[0], [1], [2]]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"edges": np.array([[0], [3]])}, "edges names the node 3; there are 3"),
        ({"labels": np.array([0, 1])}, r"labels \(2,\)"),
        ({"feat_indices": np.array([0, 9, 1])}, "no such graph"),
        ({"feat_indptr": np.array([0, 2, 2, 1 << 40])}, "do not fit its elements"),
        ({"feat_indptr": np.array([0, 4, 2, 3])}, "do not fit its elements"),
        ({"train_idx": None}, "no such graph"),
    ],
)
def test_a_graph_that_is_none_is_refused(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    arrays = graph_arrays() | change
    np.savez(tmp_path / "cora.npz", **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(sn.FileError, match=text):
        sn.data.cora(tmp_path)


def test_a_graph_file_that_is_damaged_or_pickled(tmp_path: Path) -> None:
    (tmp_path / "cora.npz").write_bytes(b"PK\x03\x04 but no archive")
    with pytest.raises(sn.FileError, match="fetch the file again"):
        sn.data.cora(tmp_path)
    objects = graph_arrays() | {"labels": np.array([{}, 1, 2], dtype=object)}
    np.savez(tmp_path / "cora.npz", **objects)
    with pytest.raises(sn.FileError, match="no such graph"):
        sn.data.cora(tmp_path)


def test_a_graph_file_that_unpacks_to_much(tmp_path: Path) -> None:
    """Zip bombs: in the archive, in an array's header, and in the shape of the matrix."""
    path = tmp_path / "cora.npz"
    np.savez(path, **graph_arrays())
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("more.npy", bytes((64 << 20) + 1))
    with pytest.raises(sn.FileError, match="it unpacks to 67"):
        sn.data.cora(tmp_path)
    np.savez(path, **{k: v for k, v in graph_arrays().items() if k != "feat_data"})
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }"
    with zipfile.ZipFile(path, "a") as archive:
        text = header.ljust(117).encode() + b"\n"
        archive.writestr("feat_data.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + text)
    with pytest.raises(sn.FileError, match="no such graph"):
        sn.data.cora(tmp_path)
    for shape in ((3, 1 << 40), (3, -4), (1 << 40, 4), (3,)):
        np.savez(path, **graph_arrays() | {"feat_shape": np.array(shape)})
        with pytest.raises(sn.FileError, match="no such graph"):
            sn.data.cora(tmp_path)


def test_noise_in_a_graph_file_never_does_more_than_raise(tmp_path: Path) -> None:
    path = tmp_path / "cora.npz"
    np.savez_compressed(path, **graph_arrays())
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    read = 0
    for _ in range(300):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 4))):
            data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data[: len(data) - int(rng.integers(3)) * int(rng.integers(40))])
        try:
            sn.data.cora(tmp_path)
            read += 1
        except sn.FileError:
            continue
    assert read < 300


def test_the_real_ones(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENNIT_DATA", str(data_dir))
    text = sn.data.tiny_shakespeare()
    assert (len(text), len(set(text))) == (1_115_394, 65)
    assert len(sn.data.names()) == 32_033
    sentences, labels = sn.data.movie_reviews()
    assert (len(sentences), sum(labels)) == (10_662, 5_331)
    graph = sn.data.cora()
    assert graph.features.shape == (2708, 1433) and graph.edges.shape == (2, 10_556)
    assert [len(p) for p in graph[3:]] == [140, 500, 1000]
