"""Data sets and loaders."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

import sennit as sn
from sennit.data import (
    DataLoader,
    TensorDataset,
    digits,
    fashion_mnist,
    mnist,
    random_split,
    vision,
)


class Squares:
    """A data set that is no tensor: item i is (i squared, i)."""

    def __init__(self, count: int = 25) -> None:
        self.count = count
        self.threads: set[str] = set()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        self.threads.add(threading.current_thread().name)
        if i >= 100:
            raise ValueError("there is no item 100")
        return np.array([i * i], dtype=np.float32), i


def labels(loader: DataLoader) -> list[int]:
    return [int(v) for _, y in loader for v in y.tolist()]


def test_digits() -> None:
    train, test = digits()
    assert (len(train), len(test)) == (1437, 360)
    images, targets = train.tensors
    assert images.shape == (1437, 1, 8, 8) and images.dtype == sn.float32
    assert targets.dtype == sn.int64
    assert images.min().item() == 0 and images.max().item() == 1
    counts = np.bincount(test.tensors[1].numpy())
    assert counts.min() >= 35 and counts.max() <= 37
    again = digits()[1].tensors[0].numpy()
    assert np.array_equal(again, test.tensors[0].numpy())
    # The split is part of every published number: it must never change.
    held = hashlib.sha256(test.tensors[1].numpy().astype(np.uint8).tobytes()).hexdigest()
    assert held == "665d9ecb0d99d73c0c3aea6fd32f68ccb774268d3f9a6829012314654268e705"


@pytest.mark.parametrize("prefetch", [0, 1, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_order_is_a_function_of_the_seed(prefetch: int, shuffle: bool) -> None:
    data = TensorDataset(sn.arange(50), sn.arange(50))
    reference = DataLoader(data, 8, shuffle=shuffle, seed=4, prefetch=0)
    first, second = labels(reference), labels(reference)
    assert sorted(first) == list(range(50))
    assert (first == second) != shuffle
    for dataset in (data, Squares(50)):
        loader = DataLoader(dataset, 8, shuffle=shuffle, seed=4, prefetch=prefetch)
        assert labels(loader) == first
        assert labels(loader) == second
        loader.epoch = 0
        assert labels(loader) == first


def test_seeded_order_never_changes() -> None:
    data = TensorDataset(sn.arange(8), sn.arange(8))
    assert labels(DataLoader(data, 3, shuffle=True, seed=1)) == [3, 5, 2, 7, 0, 6, 1, 4]


def test_order_follows_the_global_seed() -> None:
    data = TensorDataset(sn.arange(50), sn.arange(50))
    sn.random.seed(5)
    first = labels(DataLoader(data, 8, shuffle=True))
    sn.random.seed(5)
    assert labels(DataLoader(data, 8, shuffle=True)) == first
    assert labels(DataLoader(data, 8, shuffle=True)) != first


def test_batches() -> None:
    data = TensorDataset(sn.ones((10, 3)), sn.arange(10))
    loader = DataLoader(data, batch_size=4)
    assert [x.shape for x, _ in loader] == [(4, 3), (4, 3), (2, 3)] and len(loader) == 3
    loader = DataLoader(data, batch_size=4, drop_last=True, shuffle=True, seed=0)
    assert [x.shape for x, _ in loader] == [(4, 3), (4, 3)] and len(loader) == 2
    assert list(DataLoader(TensorDataset(sn.ones((0, 3))), 4)) == []
    assert "batch_size=4" in repr(loader)


@pytest.mark.parametrize("shuffle", [False, True])
def test_writing_into_a_batch_leaves_the_data_as_it_is(shuffle: bool) -> None:
    data = TensorDataset(sn.ones((6, 2)), sn.arange(6))
    for x, _ in DataLoader(data, 2, shuffle=shuffle, seed=0):
        x += 1
        x[0] = 9
    assert data.tensors[0].sum().item() == 12


def test_items_of_many_kinds_are_collated() -> None:
    items = [{"x": sn.ones(2), "n": 1.5, "s": "a", "t": [1, (True, 2)]} for _ in range(3)]
    (batch,) = DataLoader(items, batch_size=3)
    assert batch["x"].shape == (3, 2) and batch["n"].dtype == sn.float32
    assert batch["s"] == ["a", "a", "a"]
    assert batch["t"][0].tolist() == [1, 1, 1] and batch["t"][1][0].dtype == sn.bool
    loader = DataLoader([1, 2, 3], batch_size=2, collate_fn=sum)
    assert list(loader) == [3, 3]


def test_prefetch_runs_on_a_thread_that_ends() -> None:
    data = Squares()
    before = threading.active_count()
    iterator = iter(DataLoader(data, 4, prefetch=2))
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert data.threads == {"sennit-loader"}


def test_failures_on_the_thread_are_raised_in_order() -> None:
    seen = []
    with pytest.raises(ValueError, match="no item 100"):
        for _, y in DataLoader(Squares(120), 30):
            seen.append(len(y))
    assert seen == [30, 30, 30]


def test_random_split() -> None:
    parts = random_split(TensorDataset(sn.arange(11)), [0.5, 0.5], seed=3)
    values = [v for part in parts for v in part.tensors[0].tolist()]
    assert [len(p) for p in parts] == [6, 5] and sorted(values) == list(range(11))
    a, b = random_split(list("abcdef"), [4, 2])
    assert sorted([*a, *b]) == list("abcdef") and len(a) == 4
    with pytest.raises(sn.InvalidValue):
        random_split(list("abc"), [1, 1])


def test_tensor_dataset_mistakes() -> None:
    with pytest.raises(sn.ShapeError):
        TensorDataset(sn.ones(3), sn.ones(4))
    with pytest.raises(sn.ShapeError):
        TensorDataset(sn.tensor(1.0))
    with pytest.raises(sn.InvalidValue):
        DataLoader([1], batch_size=0)


def idx(shape: tuple[int, ...], data: bytes) -> bytes:
    return b"\x00\x00\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


def test_real_mnist(data_dir: Path) -> None:
    train, test = mnist(data_dir / "mnist")
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.tensors[0].shape == (60_000, 1, 28, 28)
    assert np.bincount(test.tensors[1].numpy()).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


def test_mnist_is_found_by_environment(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SENNIT_DATA", str(data_dir))
    assert len(mnist(download=False)[1]) == 10_000
    monkeypatch.setenv("SENNIT_CACHE", str(tmp_path))
    with pytest.raises(sn.FileError, match="fashion_mnist"):
        fashion_mnist(download=False)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "starts with nothing"),
        (b"\x00\x00\x09\x01" + bytes(4), "starts with 00000901"),
        (b"\x00\x00\x08\x03\x00", "ends within its header"),
        (idx((3, 2), bytes(5)), "its header says"),
        (idx((3, 2), bytes(7)), "its header says"),
        (idx((2**31, 2**31), b""), "its header says"),
        (gzip.compress(idx((3,), bytes(3)))[:-6], "cannot be read|is damaged"),
        (b"\x1f\x8b" + bytes(30), "cannot be read|is damaged"),
        (idx((7, 28, 28), bytes(7 * 784)), "60000, 28, 28"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    for name in vision._FILES:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(sn.FileError, match=reason):
        mnist(tmp_path)


def test_offline_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision, "_MNIST", ((tmp_path / "no").as_uri() + "/", vision._MNIST[1]))
    monkeypatch.setenv("SENNIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SENNIT_DATA", raising=False)
    with pytest.raises(sn.FileError) as caught:
        mnist()
    for part in ("could not be downloaded", "SENNIT_DATA", "train-images-idx3-ubyte.gz"):
        assert part in str(caught.value)
    assert isinstance(caught.value, OSError) and caught.value.code == "SN109"


def test_download_checks_before_it_keeps(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "folder" / "target"
    source.write_bytes(b"hello")
    good = hashlib.sha256(b"hello").hexdigest()
    with pytest.raises(sn.FileError, match="sha256"):
        vision.download(source.as_uri(), target, "0" * 64, "test")
    assert list(target.parent.iterdir()) == []
    vision.download(source.as_uri(), target, good, "test")
    assert target.read_bytes() == b"hello"
