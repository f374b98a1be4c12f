"""The data that ships in the wheel is whole."""

from __future__ import annotations

import gzip
import struct
from importlib import resources


def test_digits() -> None:
    packed = resources.files("sennit").joinpath("data/_digits.bin.gz").read_bytes()
    assert len(packed) < 60_000
    data = gzip.decompress(packed)
    magic, count, height, width = struct.unpack_from("<8sIBB", data)
    assert (magic, count, height, width) == (b"SNDIGIT1", 1797, 8, 8)
    labels, pixels = data[14 : 14 + count], data[14 + count :]
    assert len(pixels) == count * height * width
    assert set(labels) == set(range(10)) and max(pixels) == 16
    assert list(labels[:10]) == list(range(10))  # as in the published file
    assert sum(pixels[:64]) == 294
    note = resources.files("sennit").joinpath("data/_digits.txt").read_text(encoding="utf-8")
    assert "CC BY 4.0" in note and "Alpaydin" in note
