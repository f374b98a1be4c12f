"""Images of handwritten digits and of clothes."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .. import _core
from .._errors import error
from .datasets import TensorDataset

__all__ = ["digits", "fashion_mnist", "mnist"]

_DIGITS = Path(__file__).parent / "_digits.bin.gz"
_MAGIC = b"SNDIGIT1"
_HELD_OUT = 360

# Where each set is published, and the sha256 of its files: checked whatever the transport.
_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_MNIST = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
)
_FASHION = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
)
_LIMIT = 64 << 20  # bytes of a file that is read or downloaded; the largest has 47 MB unpacked


def _file_error(op: str, text: str) -> _core.SennitError:
    return error(_core.FileError, op, text)


def _held_out(labels: Any) -> Any:
    """A fixed mask of held-out images: of each digit its share, spread evenly over the file."""
    import numpy as np

    count = len(labels)
    mask = np.zeros(count, dtype=bool)
    classes = [np.flatnonzero(labels == c) for c in range(10)]
    # Largest remainders make the shares whole numbers that sum to the number wanted.
    exact = [len(rows) * _HELD_OUT / count for rows in classes]
    shares = [int(e) for e in exact]
    byremainder = sorted(range(10), key=lambda c: (shares[c] - exact[c], c))
    for c in byremainder[: _HELD_OUT - sum(shares)]:
        shares[c] += 1
    for rows, share in zip(classes, shares, strict=True):
        mask[rows[(np.arange(share) * len(rows)) // share]] = True
    return mask


def digits() -> tuple[TensorDataset, TensorDataset]:
    """The UCI handwritten digits: 1,797 grey images of 8 x 8 pixels. They come with the package.

    Returns
    -------
    train, test : TensorDataset
        1,437 and 360 items: images (1, 8, 8), float32 in [0, 1], and labels, int64. The split is
        fixed, and holds out the same share of every digit.

    References
    ----------
    E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits. UCI Machine Learning
    Repository (1998), doi:10.24432/C50P49, CC BY 4.0.

    Examples
    --------
    >>> train, test = sn.data.digits()
    >>> len(train), len(test), train.tensors[0].shape
    (1437, 360, (1437, 1, 8, 8))
    """
    import numpy as np

    try:
        plain = gzip.decompress(_DIGITS.read_bytes())
        count, height, width = struct.unpack_from("<IBB", plain, len(_MAGIC))
        head = len(_MAGIC) + 6
        whole = plain[: len(_MAGIC)] == _MAGIC and len(plain) == head + count * (1 + height * width)
    except (OSError, EOFError, struct.error, ValueError) as cause:
        raise _file_error("digits", f"{_DIGITS} cannot be read ({cause}); install again") from cause
    if not whole:
        raise _file_error("digits", f"{_DIGITS} is damaged; install the package again")
    labels = np.frombuffer(plain, np.uint8, count, head)
    pixels = np.frombuffer(plain, np.uint8, count * height * width, head + count)
    images = pixels.reshape(count, 1, height, width).astype(np.float32) / np.float32(16)
    held = _held_out(labels)
    train, test = (
        TensorDataset(images[mask], labels[mask].astype(np.int64)) for mask in (~held, held)
    )
    return train, test


def _read_idx(path: Path, op: str) -> Any:
    """An idx file (gzip or plain) of bytes, checked before it is believed."""
    import numpy as np

    try:
        with open(path, "rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if zipped else open(path, "rb") as file:
            plain = file.read(_LIMIT + 1)
    except (OSError, EOFError) as cause:
        raise _file_error(op, f"{path} cannot be read ({cause}); fetch the file again") from cause
    except Exception as cause:  # zlib.error, whose module need not be loaded for this
        raise _file_error(op, f"{path} is damaged ({cause}); fetch the file again") from cause
    if len(plain) > _LIMIT:
        raise _file_error(op, f"{path} unpacks to more than {_LIMIT:,} bytes; this is no idx file")
    if len(plain) < 4 or plain[:3] != b"\x00\x00\x08" or not 1 <= plain[3] <= 3:
        raise _file_error(
            op,
            f"{path} starts with {plain[:4].hex() or 'nothing'}; an idx file of bytes starts "
            "with 000008 and its rank",
        )
    rank = plain[3]
    if len(plain) < 4 + 4 * rank:
        raise _file_error(op, f"{path} ends within its header; fetch the file again")
    shape = struct.unpack_from(f">{rank}I", plain, 4)
    size = 1
    for n in shape:
        size *= n
    if len(plain) != 4 + 4 * rank + size:
        raise _file_error(
            op,
            f"{path} has {len(plain) - 4 - 4 * rank:,} elements, its header says {shape}; fetch "
            "the file again",
        )
    return np.frombuffer(plain, np.uint8, size, 4 + 4 * rank).reshape(shape)


def cache_folder() -> Path:
    """Where downloads are kept: ``$SENNIT_CACHE``, or ``sennit`` in the user's cache folder.

    Examples
    --------
    >>> from sennit.data.vision import cache_folder
    >>> cache_folder().name != ""
    True
    """
    named = os.environ.get("SENNIT_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sennit"


def _candidates(root: str | os.PathLike[str] | None, name: str) -> list[Path]:
    if root is not None:
        return [Path(root), Path(root) / name]
    folders = []
    named = os.environ.get("SENNIT_DATA")
    if named:
        # The folder itself only serves the data set that it is named after.
        base = Path(named)
        folders += [base / name, *([base] if name in (base.name, "mnist") else [])]
    folders += [cache_folder() / name, Path("/usr/share") / name, Path("/usr/local/share") / name]
    return folders


def _find(folders: Iterable[Path]) -> list[Path] | None:
    for folder in folders:
        found = []
        for file in _FILES:
            either = [p for p in (folder / file, folder / file.removesuffix(".gz")) if p.is_file()]
            found += either[:1]
        if len(found) == len(_FILES):
            return found
    return None


def _show(name: str, done: int, total: int | None, end: bool) -> None:
    if not sys.stderr.isatty():
        if end:
            print(f"{name}: {done:,} bytes", file=sys.stderr)
        return
    share = f"{done / total:4.0%} " + "#" * int(30 * done / total) if total else ""
    print(f"\r{name} {share} {done:,} bytes", end="\n" if end else "", file=sys.stderr, flush=True)


def download(url: str, target: Path, sha256: str, op: str) -> None:
    """Fetches a file, checks it, and only then puts it in place.

    Raises
    ------
    FileError
        When it cannot be fetched or is not what it should be; nothing is left behind.
    """
    import urllib.request

    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    digest, done, shown = hashlib.sha256(), 0, 0.0
    try:
        with urllib.request.urlopen(url, timeout=30) as reply, open(temporary, "wb") as file:
            total = int(reply.headers.get("Content-Length") or 0) or None
            while block := reply.read(1 << 16):
                done += len(block)
                if done > _LIMIT:
                    raise _file_error(op, f"{url} gives more than {_LIMIT:,} bytes")
                digest.update(block)
                file.write(block)
                if time.monotonic() - shown > 0.1:
                    shown = time.monotonic()
                    _show(target.name, done, total, end=False)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != sha256:
            raise _file_error(
                op, f"{url} gave a file with sha256 {digest.hexdigest()}; {sha256} is expected"
            )
        _show(target.name, done, total, end=True)
        os.replace(temporary, target)
    except _core.SennitError:
        raise
    except (OSError, ValueError) as cause:
        raise _file_error(op, f"{url} cannot be fetched ({cause})") from cause
    finally:
        temporary.unlink(missing_ok=True)


def _load(
    name: str,
    root: str | os.PathLike[str] | None,
    source: tuple[str, tuple[str, ...]],
    fetch: bool,
) -> tuple[TensorDataset, TensorDataset]:
    import numpy as np

    folders = _candidates(root, name)
    paths = _find(folders)
    if paths is None:
        looked = ", ".join(str(f) for f in folders)
        advice = (
            f"put {', '.join(_FILES)} into one of them, or name their folder as root or in "
            "SENNIT_DATA"
        )
        if not fetch:
            raise _file_error(name, f"the files are not in {looked}; {advice}")
        home = Path(root) if root is not None else cache_folder() / name
        try:
            for file, sha256 in zip(_FILES, source[1], strict=True):
                if not (home / file).is_file():
                    download(source[0] + file, home / file, sha256, name)
        except (_core.SennitError, OSError) as cause:
            raise _file_error(
                name,
                f"the files are not in {looked}, and could not be downloaded ({cause}); {advice}",
            ) from cause
        paths = [home / file for file in _FILES]
    parts = []
    for at, count in ((0, 60_000), (2, 10_000)):
        images, labels = _read_idx(paths[at], name), _read_idx(paths[at + 1], name)
        for path, array, shape in (
            (paths[at], images, (count, 28, 28)),
            (paths[at + 1], labels, (count,)),
        ):
            if array.shape != shape:
                raise _file_error(name, f"{path} has shape {array.shape}; {shape} is required")
        if labels.max() > 9:
            raise _file_error(name, f"{paths[at + 1]} has the label {labels.max()}; 0 to 9 exist")
        pixels = images.reshape(count, 1, 28, 28).astype(np.float32) / np.float32(255)
        parts.append(TensorDataset(pixels, labels.astype(np.int64)))
    return parts[0], parts[1]


def mnist(
    root: str | os.PathLike[str] | None = None, download: bool = True
) -> tuple[TensorDataset, TensorDataset]:
    """MNIST: 70,000 handwritten digits of 28 x 28 pixels.

    The four idx files are looked for in `root`, in ``$SENNIT_DATA/mnist`` and ``$SENNIT_DATA``, in
    the user's cache and in system folders, and else downloaded and checked by their sha256.

    Parameters
    ----------
    root : path, optional
        Their folder; nothing else is searched then.
    download : bool
        Whether to fetch them when they are missing.

    Returns
    -------
    train, test : TensorDataset
        60,000 and 10,000 items: images (1, 28, 28), float32 in [0, 1], and labels, int64.

    Raises
    ------
    FileError
        When the files are missing and cannot be fetched, or are damaged.

    References
    ----------
    Y. LeCun, C. Cortes, C. J. C. Burges: The MNIST database of handwritten digits (1998).

    Examples
    --------
    >>> try:
    ...     train, test = sn.data.mnist(root="/nowhere", download=False)
    ... except sn.FileError as problem:
    ...     print("not in /nowhere" in str(problem))
    True
    """
    return _load("mnist", root, _MNIST, download)


def fashion_mnist(
    root: str | os.PathLike[str] | None = None, download: bool = True
) -> tuple[TensorDataset, TensorDataset]:
    """Fashion-MNIST: 70,000 images of clothes in 10 classes, in the format of `mnist`.

    Parameters and result are those of `mnist`; the folder is ``fashion_mnist``.

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms. arXiv:1708.07747 (2017).

    Examples
    --------
    >>> try:
    ...     train, test = sn.data.fashion_mnist(root="/nowhere", download=False)
    ... except sn.FileError as problem:
    ...     print("not in /nowhere" in str(problem))
    True
    """
    return _load("fashion_mnist", root, _FASHION, download)
