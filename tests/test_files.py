"""Saving and loading: the safetensors format, with the safetensors package as oracle."""

from __future__ import annotations

import contextlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sennit as sn

ORACLE_DTYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
                 "float16", "float32", "float64"]  # fmt: skip


def sample() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    made = {}
    for i, name in enumerate(ORACLE_DTYPES):
        made[f"{name}.x"] = (rng.standard_normal((3, i + 1)) * 9).astype(name)
    made["empty"] = np.zeros((0, 3), np.float32)
    made["scalar"] = np.array(2.5, np.float64)
    made['ünï."code"\n'] = np.arange(3, dtype=np.int8)
    return made


def raw(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_round_trip(tmp_path: Path) -> None:
    path, arrays = tmp_path / "x.safetensors", sample()
    sn.save(arrays, path, metadata={"epoch": "7"})
    tensors, metadata = sn.load(path, with_metadata=True)
    assert metadata == {"epoch": "7"}
    assert list(tensors) == list(arrays)
    for name, array in arrays.items():
        assert tensors[name].shape == array.shape
        np.testing.assert_array_equal(tensors[name].numpy(), array)
        assert str(tensors[name].numpy().dtype) == str(array.dtype)


def test_half_precision_keeps_its_bits(tmp_path: Path) -> None:
    bits = np.arange(0, 0x7F80, dtype=np.uint32)  # every positive finite bfloat16, denormals too
    x = sn.asarray((bits << 16).view(np.float32)).to(sn.bfloat16)
    sn.save({"x": x}, tmp_path / "x")
    loaded = sn.load(tmp_path / "x")["x"]
    assert loaded.dtype == sn.bfloat16
    np.testing.assert_array_equal(loaded.to(sn.float32).numpy().view(np.uint32), bits << 16)


def test_views_and_modules_are_saved(tmp_path: Path) -> None:
    x = sn.arange(12).reshape(3, 4)
    sn.save({"t": x.T, "s": x[:, ::2]}, tmp_path / "x")
    loaded = sn.load(tmp_path / "x")
    assert loaded["t"].tolist() == x.T.tolist() and loaded["s"].tolist() == x[:, ::2].tolist()
    net, other = sn.nn.Linear(3, 2), sn.nn.Linear(3, 2)
    sn.save(net, tmp_path / "x")
    other.load_state_dict(sn.load(tmp_path / "x"))
    assert bool((net.weight == other.weight).all())


def test_the_oracle_reads_ours(tmp_path: Path) -> None:
    numpy_side = pytest.importorskip("safetensors.numpy")
    safetensors = pytest.importorskip("safetensors")
    path, arrays = tmp_path / "x.safetensors", sample()
    sn.save(arrays, path, metadata={"epoch": "7"})
    read = numpy_side.load_file(path)
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
    with safetensors.safe_open(path, "numpy") as file:
        assert file.metadata()["epoch"] == "7" and len(file.metadata()["sha256"]) == 64


def test_we_read_the_oracles(tmp_path: Path) -> None:
    numpy_side = pytest.importorskip("safetensors.numpy")
    path, arrays = tmp_path / "x.safetensors", sample()
    numpy_side.save_file(arrays, path, metadata={"a": "b"})
    tensors, metadata = sn.load(path, with_metadata=True)
    assert metadata == {"a": "b"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(tensors[name].numpy(), array)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    sn.save({"a": sn.arange(5), "b": sn.ones((2, 2))}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(sn.FileError):
            sn.load(path)
    path.write_bytes(whole + b"\x00")
    with pytest.raises(sn.FileError):
        sn.load(path)


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    sn.save({"a": sn.arange(3), "flag": sn.tensor([True, False])}, path, {"note": "keep"})
    whole = path.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    blank = len(whole[: 8 + length]) - len(whole[8 : 8 + length].rstrip())
    for at in range(len(whole)):
        if 8 + length - blank <= at < 8 + length:
            continue  # the padding behind the header holds nothing
        changed = bytearray(whole)
        changed[at] ^= 1 << (at % 7)
        path.write_bytes(bytes(changed))
        try:
            tensors, metadata = sn.load(path, with_metadata=True)
        except sn.FileError:
            continue
        # What may change unnoticed is only how the header is written, or that it has a checksum.
        assert tensors["a"].tolist() == [0, 1, 2] and metadata["note"] == "keep", at


HEADERS: list[tuple[Any, bytes, str]] = [
    (b"", b"", "no valid JSON"),
    (b"[]", b"", "no JSON object"),
    (b" {}", b"", "no JSON object"),
    (b'{"a":', b"", "no valid JSON"),
    (b"\xff\xfe", b"", "no valid JSON"),
    (b"[" * 100_000, b"", "no valid JSON"),
    (b'{"a":NaN}', b"", "no valid JSON"),
    (b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
     b'"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}', b"", "twice"),
    ({"a": 3}, b"", "has not just"),
    ({"a": {"dtype": "U8", "shape": [1]}}, b"x", "has not just"),
    ({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1], "more": 1}}, b"x", "has not just"),
    ({"a": {"dtype": "F8", "shape": [1], "data_offsets": [0, 1]}}, b"x", "dtype"),
    ({"a": {"dtype": ["U8"], "shape": [1], "data_offsets": [0, 1]}}, b"x", "dtype"),
    ({"a": {"dtype": "U8", "shape": [-1], "data_offsets": [0, 1]}}, b"x", "shape"),
    ({"a": {"dtype": "U8", "shape": [True], "data_offsets": [0, 1]}}, b"x", "shape"),
    ({"a": {"dtype": "U8", "shape": [1.0], "data_offsets": [0, 1]}}, b"x", "shape"),
    ({"a": {"dtype": "U8", "shape": [1] * 65, "data_offsets": [0, 1]}}, b"x", "shape"),
    ({"a": {"dtype": "U8", "shape": [2**62, 4], "data_offsets": [0, 0]}}, b"", "takes"),
    ({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 2]}}, b"x", "bytes"),
    ({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 0]}}, b"x", "bytes"),
    ({"a": {"dtype": "U8", "shape": [1], "data_offsets": [-1, 0]}}, b"x", "bytes"),
    ({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1, 2]}}, b"x", "bytes"),
    ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2]}}, b"xx", "takes 4"),
    ({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"xy", "the file has 2"),
    ({"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}, b"xy", "gap"),
    ({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]},
      "b": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}, b"xy", "overlaps"),
    ({"a": {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]}}, b"\x02", "0 and 1"),
    ({"__metadata__": {"a": 1}}, b"", "object of strings"),
    ({"__metadata__": []}, b"", "object of strings"),
    ({"__metadata__": {"sha256": "0"}}, b"", "checksum"),
]  # fmt: skip


@pytest.mark.parametrize(("header", "data", "reason"), HEADERS, ids=range(len(HEADERS)))
def test_bad_headers_are_refused(tmp_path: Path, header: Any, data: bytes, reason: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(raw(header, data))
    with pytest.raises(sn.FileError, match=reason) as caught:
        sn.load(path)
    assert str(path) in str(caught.value) and caught.value.code == "SN109"


def test_header_length_is_checked_before_it_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for length in (2**63, 2**64 - 1, 10**9, 3):
        path.write_bytes(struct.pack("<Q", length) + b"{}")
        with pytest.raises(sn.FileError):
            sn.load(path)


def test_unaligned_files_of_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    header = {"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
              "b": {"dtype": "F32", "shape": [1], "data_offsets": [1, 5]}}  # fmt: skip
    path.write_bytes(raw(header, b"\x07" + struct.pack("<f", 1.5)))
    loaded = sn.load(path)
    assert loaded["a"].item() == 7 and loaded["b"].item() == 1.5


def test_failed_writes_leave_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    sn.save({"a": sn.ones(2)}, path)
    before = path.read_bytes()

    def no_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", no_disk)
    with pytest.raises(sn.FileError, match="no space left"):
        sn.save({"a": sn.zeros(2)}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    with pytest.raises(sn.FileError):
        sn.save({"a": sn.ones(2)}, tmp_path / "no" / "x")
    with pytest.raises(sn.FileError, match="cannot be read"):
        sn.load(tmp_path / "missing")


@pytest.mark.parametrize(
    "call",
    [
        lambda p: sn.save([sn.ones(1)], p),
        lambda p: sn.save({1: sn.ones(1)}, p),
        lambda p: sn.save({"__metadata__": sn.ones(1)}, p),
        lambda p: sn.save({"a": "text"}, p),
        lambda p: sn.save({}, p, {"a": 1}),
        lambda p: sn.save({}, p, {"sha256": "x"}),
    ],
)
def test_mistakes(tmp_path: Path, call: Any) -> None:
    with pytest.raises(sn.SennitError):
        call(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_noise_never_does_more_than_raise(tmp_path: Path) -> None:
    hypothesis = pytest.importorskip("hypothesis")
    st = hypothesis.strategies
    path = tmp_path / "x"
    sn.save({"a": sn.arange(4), "b": sn.ones((2, 2))}, path, {"k": "v"})
    whole = path.read_bytes()
    entry = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["U8", "F32", "I64", "BOOL", "BF16", "X", ""]),
            "shape": st.lists(st.integers(-2, 2**64), max_size=3),
            "data_offsets": st.lists(st.integers(-2, 40), min_size=1, max_size=3),
        }
    )
    headers = st.dictionaries(st.text(max_size=3), entry | st.none(), max_size=3)

    @hypothesis.given(
        st.binary(max_size=64)
        | st.builds(raw, headers, st.binary(max_size=40))
        | st.builds(
            lambda at, b: whole[:at] + b + whole[at + len(b) :],
            st.integers(0, len(whole)),
            st.binary(max_size=9),
        )
    )
    def check(content: bytes) -> None:
        path.write_bytes(content)
        with contextlib.suppress(sn.FileError):
            sn.load(path)

    check()
