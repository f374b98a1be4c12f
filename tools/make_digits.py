"""Write sennit/data/_digits.bin.gz from scikit-learn's copy of the UCI digits.

    python tools/make_digits.py            # needs scikit-learn, for the data only

Layout after gunzip, all bytes: the magic "SNDIGIT1"; the number of images as little-endian u32;
height u8; width u8; one label per image (0..9); then the pixels, row by row (0..16).
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import struct
import sys
from pathlib import Path

MAGIC = b"SNDIGIT1"
OUTPUT = Path(__file__).resolve().parent.parent / "sennit" / "data" / "_digits.bin.gz"


def read_source() -> list[list[int]]:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        sys.exit(
            "make_digits.py: scikit-learn is not installed; its data/digits.csv.gz is the source"
        )
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    with gzip.open(path, "rt", encoding="ascii", newline="") as file:
        return [[int(float(cell)) for cell in row] for row in csv.reader(file)]


def main() -> None:
    rows = read_source()
    assert len(rows) == 1797 and all(len(row) == 65 for row in rows)
    assert all(0 <= pixel <= 16 for row in rows for pixel in row[:64])
    labels = bytes(row[64] for row in rows)
    pixels = bytes(pixel for row in rows for pixel in row[:64])
    plain = MAGIC + struct.pack("<IBB", len(rows), 8, 8) + labels + pixels
    # A fixed time stamp: the same data must give the same file.
    OUTPUT.write_bytes(gzip.compress(plain, compresslevel=9, mtime=0))
    print(f"{OUTPUT.name}: {len(rows)} images, {OUTPUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
