"""Operators on text: NumPy arrays of Python strings, on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._interpret import Call
from .._registry import op
from .._values import Known
from ._common import limited


def _texts(array: Any, function: Callable[[str], Any], dtype: Any = object) -> Any:
    import numpy as np

    out = np.empty(array.size, dtype)
    for k, value in enumerate(array.reshape(-1)):
        out[k] = function(str(value))
    return out.reshape(array.shape)


@op("StringConcat", raw=True)
def _concat(c: Call, x: Any, y: Any) -> Any:
    import numpy as np

    a, b = np.broadcast_arrays(c.host(x), c.host(y))
    out = np.empty(a.size, object)
    for k, (left, right) in enumerate(zip(a.reshape(-1), b.reshape(-1), strict=True)):
        out[k] = f"{left}{right}"
    return Known(out.reshape(a.shape))


@op("StringSplit", raw=True)
def _split(c: Call, x: Any, *, delimiter: str | None = None, maxsplit: int | None = None) -> Any:
    import numpy as np

    array = c.host(x)
    most = -1 if maxsplit is None else maxsplit
    parts = [str(v).split(delimiter or None, most) if str(v) else [] for v in array.reshape(-1)]
    width = max((len(p) for p in parts), default=0)
    out = np.full((len(parts), width), "", object)
    for k, row in enumerate(parts):
        out[k, : len(row)] = row
    counts = np.asarray([len(p) for p in parts], np.int64).reshape(array.shape)
    return Known(out.reshape((*array.shape, width))), Known(counts)


@op("RegexFullMatch", raw=True)
def _full_match(c: Call, x: Any, *, pattern: str) -> Any:
    import re

    import numpy as np

    try:
        compiled = re.compile(pattern)
    except re.error as cause:
        raise c.invalid(f"the pattern {pattern!r} is no regular expression ({cause})") from cause
    return Known(_texts(c.host(x), lambda s: compiled.fullmatch(s) is not None, np.dtype(np.bool_)))


@op("StringNormalizer", raw=True)
def _normalizer(
    c: Call,
    x: Any,
    *,
    case_change_action: str = "NONE",
    is_case_sensitive: int = 0,
    locale: str | None = None,
    stopwords: list[str] | None = None,
) -> Any:
    import numpy as np

    array = c.host(x)
    changes: dict[str, Callable[[str], str]] = {
        "NONE": str, "LOWER": str.lower, "UPPER": str.upper,
    }  # fmt: skip
    change = changes.get(case_change_action)
    if change is None:
        raise c.invalid(f"case_change_action is {case_change_action!r}")
    words = list(stopwords or [])
    stop = set(words) if is_case_sensitive else {w.lower() for w in words}

    def kept(s: str) -> bool:
        return (s if is_case_sensitive else s.lower()) not in stop

    rows = array.reshape((-1, array.shape[-1])) if array.ndim > 1 else array.reshape((1, -1))
    if rows.shape[0] != 1:
        raise c.invalid(f"the input has shape {array.shape}; it must be (n,) or (1, n)")
    found = [change(str(s)) for s in rows[0] if kept(str(s))] or [""]
    out = np.empty(len(found), object)
    out[:] = found
    return Known(out if array.ndim == 1 else out.reshape((1, -1)))


@op("TfIdfVectorizer", raw=True)
def _tf_idf(
    c: Call,
    x: Any,
    *,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: list[int],
    ngram_indexes: list[int],
    pool_int64s: list[int] | None = None,
    pool_strings: list[str] | None = None,
    weights: list[float] | None = None,
) -> Any:
    """Counts of n-grams: positions of a pool that holds those of one, of two ... elements."""
    import numpy as np

    array = c.host(x)
    pool: list[Any] = list(pool_strings if pool_strings is not None else pool_int64s or [])
    grams: dict[tuple[Any, ...], int] = {}
    number = 0
    for k, start in enumerate(ngram_counts):
        n = k + 1
        end = ngram_counts[k + 1] if k + 1 < len(ngram_counts) else len(pool)
        for at in range(start, end, n):
            if min_gram_length <= n <= max_gram_length:
                grams[tuple(pool[at : at + n])] = number
            number += 1
    width = max(ngram_indexes, default=-1) + 1
    rows = array.reshape((1, -1)) if array.ndim <= 1 else array
    limited(rows.shape[0] * width)
    out = np.zeros((rows.shape[0], width), np.float32)
    for r, row in enumerate(rows):
        items = [str(v) if pool_strings is not None else int(v) for v in row]
        for skip in range(min(max_skip_count, len(items)) + 1):
            for n in range(min_gram_length, min(max_gram_length, len(items)) + 1):
                if n == 1 and skip:
                    continue  # single elements skip nothing
                for start in range(len(items)):
                    last = start + (n - 1) * (skip + 1)
                    if last >= len(items):
                        break
                    found = grams.get(tuple(items[start : last + 1 : skip + 1]))
                    if found is not None:
                        out[r, ngram_indexes[found]] += 1
    if mode in ("IDF", "TFIDF"):
        scale = np.ones(width, np.float32)
        for k, index in enumerate(ngram_indexes):
            scale[index] = weights[k] if weights else 1.0
        out = np.where(out > 0, scale, 0) if mode == "IDF" else out * scale
    return Known(
        out.astype(np.float32).reshape((*array.shape[:-1], width) if array.ndim else width)
    )
