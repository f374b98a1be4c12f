"""How tensors look: as text, in format strings and in notebooks."""

from __future__ import annotations

from . import _core

_EDGE = 3  # rows and columns shown at each end of a long dimension
_LIMIT = 1000  # elements above which a tensor is summarised


def _number(value: object, digits: int) -> str:
    if isinstance(value, float):
        text = f"{value:.{digits}g}"
        if "e" not in text and "." not in text and "n" not in text:
            text += "."
        return text
    if isinstance(value, complex):
        imaginary = _number(value.imag, digits)
        sign = "" if imaginary.startswith("-") else "+"
        return f"{_number(value.real, digits)}{sign}{imaginary}j"
    return str(value)


def _corner(x: _core.Tensor) -> _core.Tensor:
    """The parts of a long tensor that are shown, as one small tensor."""
    for axis, size in enumerate(x.shape):
        if size > 2 * _EDGE:
            head = _core.functions["narrow"](x, axis, 0, _EDGE)
            tail = _core.functions["narrow"](x, axis, size - _EDGE, _EDGE)
            x = _core.functions["concat"]([head, tail], axis)
    return x


def _rows(values: object, shape: tuple[int, ...], cut: tuple[bool, ...], indent: int) -> str:
    if not shape:
        return str(values)
    assert isinstance(values, list)
    parts = [_rows(v, shape[1:], cut[1:], indent + 1) for v in values]
    if cut[0]:
        parts = [*parts[:_EDGE], "...", *parts[_EDGE:]]
    separator = ", " if len(shape) == 1 else "," + "\n" * (len(shape) - 1) + " " * (indent + 1)
    return "[" + separator.join(parts) + "]"


def _texts(values: object, digits: int) -> object:
    if isinstance(values, list):
        return [_texts(v, digits) for v in values]
    return _number(values, digits)


def _flat(values: object) -> list[str]:
    if isinstance(values, list):
        return [t for v in values for t in _flat(v)]
    return [str(values)]


def _pad(values: object, width: int) -> object:
    if isinstance(values, list):
        return [_pad(v, width) for v in values]
    return str(values).rjust(width)


def tensor_repr(x: _core.Tensor) -> str:
    """The text of ``repr(x)``: elements, and what is not the default."""
    shown = x.detach()
    cut = tuple(x.size > _LIMIT and size > 2 * _EDGE for size in x.shape)
    if any(cut):
        shown = _corner(shown)
    texts = _texts(shown.tolist(), 5)
    width = max((len(t) for t in _flat(texts)), default=0)
    name = type(x).__name__ if type(x) is not _core.Tensor else "tensor"
    body = _rows(_pad(texts, width if x.ndim > 0 else 0), x.shape, cut, len(name) + 1)
    extra = ""
    if (x.size == 0 and x.shape != (0,)) or any(cut):
        extra += f", shape={x.shape}"
    if x.dtype not in (_core.float32, _core.int64, _core.bool) or x.size == 0:
        extra += f", dtype={x.dtype!r}"
    if x.device != "cpu":
        extra += f", device='{x.device}'"
    if x.requires_grad:
        extra += ", requires_grad=True"
    return f"{name}({body}{extra})"


def tensor_format(x: _core.Tensor, spec: str) -> str:
    """``f"{loss:.3f}"`` for a tensor of one element; the plain text without a spec."""
    if not spec:
        return tensor_repr(x) if x.size != 1 or x.ndim else str(x.item())
    return format(x.item(), spec)


def tensor_html(x: _core.Tensor) -> str:
    """A table for notebooks: matrices as cells, other tensors as text with their shape."""
    from html import escape

    head = f"<code>{escape(repr(x.dtype))} {escape(str(x.shape))}</code>"
    if x.ndim not in (1, 2) or x.size == 0:
        return f"<div>{head}<pre>{escape(tensor_repr(x))}</pre></div>"
    shown = x.detach() if x.ndim == 2 else x.detach()[None]
    cut_rows, cut_columns = shown.shape[0] > 2 * _EDGE + 4, shown.shape[1] > 2 * _EDGE + 4
    if cut_rows or cut_columns:
        shown = _corner(shown)
    rows = []
    for i, row in enumerate(shown.tolist()):
        cells = [f"<td>{escape(_number(v, 5))}</td>" for v in row]
        if cut_columns:
            cells.insert(_EDGE, "<td>&hellip;</td>")
        if cut_rows and i == _EDGE:
            rows.append(f"<tr>{'<td>&hellip;</td>' * len(cells)}</tr>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<div>{head}<table>{''.join(rows)}</table></div>"
