"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sennit as sn

from .._interpret import Call
from .._registry import op
from ._common import limited, product
from .shape import pad_constant

_CONV: tuple[Any, ...] = (None, sn.conv1d, sn.conv2d, sn.conv3d)
_TRANSPOSE: tuple[Any, ...] = (None, sn.conv_transpose1d, sn.conv_transpose2d, sn.conv_transpose3d)


def spatial_pads(
    c: Call,
    auto_pad: str,
    pads: Sequence[int] | None,
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[tuple[int, int]]:
    """What is added before and after each spatial axis."""
    rank = len(sizes)
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        pairs = []
        for n, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
            total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            small, large = total // 2, total - total // 2
            pairs.append((small, large) if auto_pad == "SAME_UPPER" else (large, small))
        return pairs
    if auto_pad == "VALID":
        return [(0, 0)] * rank
    if auto_pad not in ("NOTSET", ""):
        raise c.invalid(f"auto_pad is {auto_pad!r}; NOTSET, SAME_UPPER, SAME_LOWER and VALID exist")
    given = list(pads) if pads else [0] * (2 * rank)
    if len(given) != 2 * rank:
        raise c.invalid(f"{len(given)} pads are given for {rank} spatial axes")
    return list(zip(given[:rank], given[rank:], strict=True))


def per_axis(c: Call, what: str, given: Sequence[int] | None, rank: int) -> list[int]:
    """Strides or dilations, one for each spatial axis."""
    if given is None or len(given) == 0:
        return [1] * rank
    if len(given) != rank or min(given) < 1:
        raise c.invalid(f"{what} are {list(given)}; {rank} numbers of 1 or more are required")
    return list(given)


@op("Conv")
def convolution(
    c: Call,
    x: Any,
    w: Any,
    b: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Any:
    rank = x.ndim - 2
    if not 1 <= rank <= 3:
        raise c.unsupported(f"convolution has 1 to 3 spatial axes, and the input has {rank}")
    kernel = list(w.shape[2:])
    if kernel_shape is not None and list(kernel_shape) != kernel:
        raise c.invalid(f"kernel_shape is {kernel_shape}, and the weight has shape {w.shape}")
    steps = per_axis(c, "strides", strides, rank)
    holes = per_axis(c, "dilations", dilations, rank)
    pairs = spatial_pads(c, auto_pad, pads, x.shape[2:], kernel, steps, holes)
    if all(a == z for a, z in pairs):
        padding = [a for a, _ in pairs]
    else:
        x, padding = pad_constant(x, [(0, 0), (0, 0), *pairs]), [0] * rank
    return _CONV[rank](x, w, b, steps, padding, holes, group)


@op("ConvTranspose")
def _conv_transpose(
    c: Call,
    x: Any,
    w: Any,
    b: Any = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    output_padding: list[int] | None = None,
    output_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Any:
    rank = x.ndim - 2
    if not 1 <= rank <= 3:
        raise c.unsupported(f"convolution has 1 to 3 spatial axes, and the input has {rank}")
    steps = per_axis(c, "strides", strides, rank)
    holes = per_axis(c, "dilations", dilations, rank)
    extra = list(output_padding) if output_padding else [0] * rank
    full = [
        (n - 1) * s + (k - 1) * d + 1
        for n, k, s, d in zip(x.shape[2:], w.shape[2:], steps, holes, strict=True)
    ]
    pairs: list[tuple[int, int]]
    same = auto_pad in ("SAME_UPPER", "SAME_LOWER")
    if output_shape or same:
        wanted = (list(output_shape)[-rank:] if output_shape
                  else [n * s for n, s in zip(x.shape[2:], steps, strict=True)])  # fmt: skip
        pairs = []
        for size, f, e in zip(wanted, full, extra, strict=True):
            total = f + e - size
            half = max(total, 0) // 2
            pairs.append((half, total - half) if auto_pad == "SAME_UPPER" or total < 0
                         else (total - half, half))  # fmt: skip
    elif auto_pad == "VALID":
        pairs = [(0, 0)] * rank
    else:
        given = list(pads) if pads else [0] * (2 * rank)
        pairs = list(zip(given[:rank], given[rank:], strict=True))
    simple = all(a == z >= 0 for a, z in pairs) and all(
        e < max(s, d) for e, s, d in zip(extra, steps, holes, strict=True)
    )
    function = _TRANSPOSE[rank]
    # Few channels are slow as the gradient of a convolution, and many would be slow to interleave.
    apart = list(w.shape[2:]) == steps and holes == [1] * rank and group == 1 and w.shape[1] <= 4
    if apart and not any(extra) and not any(a or z for a, z in pairs):
        return _blocks(x, w, b, rank)
    if simple:
        return function(x, w, b, steps, [a for a, _ in pairs], extra, group, holes)
    y = function(x, w, None, steps, [0] * rank, [0] * rank, group, holes)
    cut = [(-a, e - z) for (a, z), e in zip(pairs, extra, strict=True)]
    y = pad_constant(y, [(0, 0), (0, 0), *cut])
    return y if b is None else y + b.reshape((1, -1) + (1,) * rank)


def _blocks(x: Any, w: Any, b: Any, rank: int) -> Any:
    """A transposed convolution whose windows do not meet: every input gives a block of outputs."""
    n, channels = x.shape[:2]
    out, kernel = w.shape[1], w.shape[2:]
    rows = sn.matrix_transpose(w.reshape((channels, out * product(kernel))))
    flat = _CONV[rank](x, rows.reshape((*rows.shape, *(1,) * rank)))
    parts = flat.reshape((n, out, *kernel, *x.shape[2:]))
    order = [axis for i in range(rank) for axis in (2 + rank + i, 2 + i)]
    sizes = [size * k for size, k in zip(x.shape[2:], kernel, strict=True)]
    y = sn.permute_dims(parts, (0, 1, *order)).reshape((n, out, *sizes))
    return y if b is None else y + b.reshape((1, -1) + (1,) * rank)


@op("DeformConv")
def _deform_conv(
    c: Call,
    x: Any,
    w: Any,
    offset: Any,
    b: Any = None,
    mask: Any = None,
    *,
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    offset_group: int = 1,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Any:
    """Deformable convolution (Dai et al. 2017; with a mask: Zhu et al. 2018), in two dimensions."""
    if x.ndim != 4:
        raise c.unsupported(f"it has 2 spatial axes, and the input has {x.ndim - 2}")
    n, channels, h, width = x.shape
    kh, kw = w.shape[2:]
    sh, sw = per_axis(c, "strides", strides, 2)
    dh, dw = per_axis(c, "dilations", dilations, 2)
    top, left, bottom, right = pads or [0, 0, 0, 0]
    oh = (h + top + bottom - dh * (kh - 1) - 1) // sh + 1
    ow = (width + left + right - dw * (kw - 1) - 1) // sw + 1
    taps = kh * kw
    moved = offset.reshape((n, offset_group, taps, 2, oh, ow))

    def base(size: int, step: int, start: int, axis: int) -> Any:
        shape = [1] * 5
        shape[axis] = size
        return (sn.arange(size, dtype=x.dtype) * step + start).reshape(shape)

    rows = base(oh, sh, -top, 3) + sn.repeat(sn.arange(kh) * dh, kw).reshape((1, 1, taps, 1, 1))
    columns = base(ow, sw, -left, 4) + sn.tile(sn.arange(kw) * dw, (kh,)).reshape(
        (1, 1, taps, 1, 1)
    )
    y = moved[:, :, :, 0] + rows.astype(x.dtype)  # (n, offset_group, taps, oh, ow)
    z = moved[:, :, :, 1] + columns.astype(x.dtype)
    sampled = _bilinear(x.reshape((n, offset_group, channels // offset_group, h * width)), y, z, h,
                        width)  # fmt: skip
    if mask is not None:
        sampled = sampled * mask.reshape((n, offset_group, 1, taps, oh, ow))
    per = channels // group
    sampled = sampled.reshape((n, group, per * taps, oh * ow))
    kernels = w.reshape((1, group, w.shape[0] // group, per * taps))
    out = sn.matmul(kernels, sampled).reshape((n, w.shape[0], oh, ow))
    return out if b is None else out + b.reshape((1, -1, 1, 1))


def _bilinear(x: Any, y: Any, z: Any, h: int, w: int) -> Any:
    """Values of `x` (n, g, c, h·w) at points (n, g, ...), zero outside: (n, g, c, ...)."""
    y0, z0 = sn.floor(y), sn.floor(z)
    total = None
    n, g, c = x.shape[:3]
    count = product(y.shape[2:])
    for dy in (0, 1):
        for dz in (0, 1):
            yy, zz = y0 + dy, z0 + dz
            weight = (1 - sn.abs(y - yy)) * (1 - sn.abs(z - zz))
            inside = (yy >= 0) & (yy < h) & (zz >= 0) & (zz < w)
            index = sn.clip(yy, 0, h - 1) * w + sn.clip(zz, 0, w - 1)
            flat = index.astype(sn.int64).reshape((n, g, 1, count))
            found = sn.take_along_axis(x, sn.broadcast_to(flat, (n, g, c, count)), 3)
            part = found.reshape((n, g, c, *y.shape[2:])) * sn.expand_dims(
                sn.where(inside, weight, 0), 2
            )
            total = part if total is None else total + part
    return total


@op("Col2Im", numbers=(1, 2))
def _col2im(
    c: Call,
    x: Any,
    image: Any,
    block: Any,
    *,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Any:
    import numpy as np

    from .._values import to_tensor

    size, kernel = [int(v) for v in image], [int(v) for v in block]
    rank = len(size)
    steps = per_axis(c, "strides", strides, rank)
    holes = per_axis(c, "dilations", dilations, rank)
    pairs = spatial_pads(c, "NOTSET", pads, size, kernel, steps, holes)
    padded = [n + a + z for n, (a, z) in zip(size, pairs, strict=True)]
    counts = [
        (p - d * (k - 1) - 1) // s + 1
        for p, k, s, d in zip(padded, kernel, steps, holes, strict=True)
    ]
    limited(product(kernel) * product([max(n, 1) for n in counts]))
    where = np.zeros((1,) * (2 * rank), np.int64)
    for axis in range(rank):
        place = (
            np.arange(kernel[axis])[:, None] * holes[axis] + np.arange(counts[axis]) * steps[axis]
        )
        shape = [1] * (2 * rank)
        shape[axis], shape[rank + axis] = kernel[axis], counts[axis]
        where = where * padded[axis] + place.reshape(shape)
    n = x.shape[0]
    channels = x.shape[1] // product(kernel)
    flat = x.reshape((n, channels, product(kernel) * product(counts)))
    empty = sn.zeros((n, channels, product(padded)), dtype=x.dtype)
    summed = sn.index_add(empty, 2, to_tensor(where.reshape(-1)), flat)
    cut = [(-a, -z) for a, z in pairs]
    return pad_constant(summed.reshape((n, channels, *padded)), [(0, 0), (0, 0), *cut])
