"""The layers of the structural half of `sn.nn`, with a grid of their arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Case:
    """A layer, how it is made, and the shapes of its inputs."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shapes: tuple[tuple[int, ...], ...]
    # How the inputs are drawn: "normal", "positive", "distinct" (no two elements are near).
    draw: str = "normal"
    # Keyword arguments of the call.
    call: dict[str, Any] = field(default_factory=dict)
    # What PyTorch cannot do for this layer, and is therefore not compared.
    without: tuple[str, ...] = ()

    def __str__(self) -> str:
        given = [repr(a) for a in self.args] + [f"{k}={v!r}" for k, v in self.kwargs.items()]
        shapes = "+".join("x".join(map(str, s)) for s in self.shapes)
        return f"{self.name}({', '.join(given)}) on {shapes}".replace(" ", "")


def case(name: str, *args: Any, on: Any, draw: str = "normal", **kwargs: Any) -> Case:
    shapes = on if isinstance(on[0], tuple) else (on,)
    call = kwargs.pop("call", {})
    without = kwargs.pop("without", ())
    return Case(name, args, kwargs, shapes, draw, call, without)


SPATIAL = {1: (9,), 2: (8, 7), 3: (5, 6, 4)}


def convolutions() -> list[Case]:
    cases = []
    for r, size in SPATIAL.items():
        x, one = (2, 4, *size), (4, *size)
        conv = f"Conv{r}d"
        cases += [
            case(conv, 4, 6, 3, on=x),
            case(conv, 4, 6, 3, on=one),
            case(conv, 4, 6, 3, on=(0, 4, *size)),
            case(conv, 4, 6, 3, 2, 1, bias=False, on=x),
            case(conv, 4, 4, 2, dilation=2, groups=2, on=x),
            case(conv, 4, 8, 3, padding=1, groups=4, on=x),
            case(conv, 4, 4, 2, padding="same", on=x),
            case(conv, 4, 4, 3, padding="same", dilation=2, on=x),
            case(conv, 4, 4, 2, padding="valid", stride=2, on=x),
            *(
                case(conv, 4, 3, 3, padding=(1, 2, 1)[:r], padding_mode=mode, on=x)
                for mode in ("reflect", "replicate", "circular")
            ),
            case(conv, 4, 3, 2, padding="same", padding_mode="circular", on=x),
        ]
        small = (2, 4, *(n // 2 for n in size))
        back = f"ConvTranspose{r}d"
        cases += [
            case(back, 4, 6, 3, on=small),
            case(back, 4, 6, 3, on=small[1:]),
            case(back, 4, 6, 3, on=(0, *small[1:])),
            case(back, 4, 6, 3, 2, 1, 1, bias=False, on=small),
            case(back, 4, 4, 2, 2, groups=2, dilation=2, on=small),
            case(
                back, 4, 4, 3, 2, 1, call={"output_size": tuple(2 * n for n in small[2:])}, on=small
            ),
        ]
    return cases


def poolings() -> list[Case]:
    cases = []
    for r, size in SPATIAL.items():
        x, one = (2, 3, *size), (3, *size)
        top, mean, power = f"MaxPool{r}d", f"AvgPool{r}d", f"LPPool{r}d"
        cases += [
            case(top, 2, on=x, draw="distinct"),
            case(top, 2, on=one, draw="distinct"),
            case(top, 2, on=(0, *x[1:])),
            case(top, 3, 2, 1, on=x, draw="distinct", ceil_mode=True, return_indices=True),
            case(top, 2, 1, dilation=2, on=x, draw="distinct", return_indices=True),
            case(mean, 2, on=x),
            case(mean, 2, on=one),
            case(mean, 2, on=(0, *x[1:])),
            case(mean, 3, 2, 1, ceil_mode=True, on=x),
            case(mean, 3, 2, 1, count_include_pad=False, ceil_mode=True, on=x),
            case(power, 2, 2, on=x),
            case(power, 3, 2, on=x, draw="positive"),
            case(power, 1.5, 3, 2, on=x, draw="positive"),
            case(power, 2, 2, on=one),
            case(power, 2, 3, 2, ceil_mode=True, on=x),
        ]
        for output in (1, 2, 3, (4, 3, 2)[:r]):
            cases += [
                case(f"AdaptiveAvgPool{r}d", output, on=x),
                case(f"AdaptiveMaxPool{r}d", output, on=x, draw="distinct"),
                case(f"AdaptiveMaxPool{r}d", output, True, on=x, draw="distinct"),
            ]
        cases += [
            case(f"AdaptiveAvgPool{r}d", 2, on=one),
            case(f"AdaptiveMaxPool{r}d", 2, True, on=one, draw="distinct"),
        ]
        if r > 1:
            open_size = (None, 3, 2)[:r]
            cases += [
                case(mean, 3, divisor_override=5, on=x),
                case(f"AdaptiveAvgPool{r}d", open_size, on=x),
                case(f"AdaptiveMaxPool{r}d", open_size, on=x, draw="distinct"),
            ]
    return cases


def paddings() -> list[Case]:
    cases = []
    for r, size in SPATIAL.items():
        x = (2, 3, *size)
        pairs = (1, 2, 0, 3, 2, 1)[: 2 * r]
        crop = (-1, 2, 1, -2, 0, -1)[: 2 * r]
        for kind in ("Reflection", "Replication", "Circular", "Zero", "Constant"):
            value = (1.5,) if kind == "Constant" else ()
            name = f"{kind}Pad{r}d"
            cases += [
                case(name, 2, *value, on=x),
                case(name, pairs, *value, on=x),
                case(name, pairs, *value, on=x[1:]),
                case(name, pairs, *value, on=(0, *x[1:])),
            ]
            if kind != "Circular" or r < 3:
                cases.append(case(name, crop, *value, on=x))
    return cases


def normalisations() -> list[Case]:
    cases = []
    for r, size in SPATIAL.items():
        x = (4, 3, *size)
        batch, own = f"BatchNorm{r}d", f"InstanceNorm{r}d"
        cases += [
            case(batch, 3, on=x),
            case(batch, 3, eps=1e-3, momentum=None, on=x),
            case(batch, 3, affine=False, on=x),
            case(batch, 3, bias=False, on=x),
            case(batch, 3, track_running_stats=False, on=x),
            case(batch, 3, on=(0, *x[1:])),
            case(own, 3, on=x),
            case(own, 3, affine=True, on=x[1:]),
            case(own, 3, affine=True, bias=False, track_running_stats=True, on=x),
            case(own, 3, 1e-3, 0.3, True, True, on=x),
        ]
    cases += [
        case("BatchNorm1d", 3, on=(5, 3)),
        case("LayerNorm", 7, on=(2, 8, 7)),
        case("LayerNorm", (8, 7), eps=1e-3, on=(2, 8, 7)),
        case("LayerNorm", 7, bias=False, on=(8, 7)),
        case("LayerNorm", 7, elementwise_affine=False, on=(0, 7)),
        case("RMSNorm", 7, on=(2, 8, 7)),
        case("RMSNorm", (8, 7), eps=1e-3, on=(2, 8, 7)),
        case("RMSNorm", 7, elementwise_affine=False, on=(3, 7)),
        case("GroupNorm", 2, 6, on=(3, 6)),
        case("GroupNorm", 3, 6, on=(3, 6, 4, 5)),
        case("GroupNorm", 2, 6, bias=False, on=(3, 6, 4)),
        case("GroupNorm", 1, 6, affine=False, on=(3, 6, 4)),
        case("LocalResponseNorm", 3, on=(2, 7, 5)),
        case("LocalResponseNorm", 4, 0.5, 0.6, 2.0, on=(2, 7, 5, 4)),
    ]  # fmt: skip
    return cases


def resamplings() -> list[Case]:
    cases = []
    modes = {1: ("linear",), 2: ("bilinear", "bicubic"), 3: ("trilinear",)}
    for r, size in SPATIAL.items():
        x = (2, 3, *size)
        sizes = [(13, 3, 6)[:r], (4, 9, 5)[:r], size, (1,) * r]
        for mode in ("nearest", "nearest-exact", "area"):
            cases += [case("Upsample", s, mode=mode, on=x) for s in sizes]
            cases.append(case("Upsample", scale_factor=2, mode=mode, on=x))
            cases.append(case("Upsample", scale_factor=(1.7, 0.6, 2.3)[:r], mode=mode, on=x))
        for mode in modes[r]:
            for align in (False, True):
                cases += [case("Upsample", s, mode=mode, align_corners=align, on=x) for s in sizes]
                cases += [
                    case("Upsample", scale_factor=f, mode=mode, align_corners=align, on=x)
                    for f in (2, 0.5, (1.7, 0.6, 2.3)[:r])
                ]
            cases.append(case("Upsample", None, 1.7, mode, None, True, on=x))
            cases.append(case("Upsample", scale_factor=2, mode=mode, on=(0, *x[1:])))
    cases += [
        case("UpsamplingNearest2d", 5, on=(2, 3, 4, 6)),
        case("UpsamplingNearest2d", scale_factor=3, on=(2, 3, 4, 6)),
        case("UpsamplingBilinear2d", (5, 9), on=(2, 3, 4, 6)),
        case("UpsamplingBilinear2d", scale_factor=2, on=(2, 3, 4, 6)),
    ]
    return cases


def movements() -> list[Case]:
    return [
        case("Unfold", 3, on=(2, 3, 6, 7)),
        case("Unfold", (2, 3), dilation=2, padding=1, stride=(2, 1), on=(2, 3, 6, 7)),
        case("Unfold", 2, stride=2, on=(3, 6, 7)),
        case("Unfold", 2, on=(0, 3, 6, 7)),
        case("Fold", (6, 7), 3, on=(2, 27, 20)),
        case("Fold", (6, 7), (2, 3), dilation=2, padding=1, stride=(2, 1), on=(2, 18, 15)),
        case("Fold", 6, 2, stride=2, on=(12, 9)),
        case("PixelShuffle", 2, on=(2, 8, 3, 4)),
        case("PixelShuffle", 3, on=(2, 1, 9, 3, 4)),
        case("PixelShuffle", 2, on=(4, 3, 4)),
        case("PixelUnshuffle", 2, on=(2, 3, 6, 4)),
        case("PixelUnshuffle", 3, on=(1, 6, 3)),
        case("ChannelShuffle", 2, on=(2, 6, 3, 4), without=("gradient",)),
        case("ChannelShuffle", 3, on=(2, 6, 5), without=("gradient",)),
        case("Flatten", on=(2, 3, 4)),
        case("Flatten", 0, 1, on=(2, 3, 4)),
        case("Unflatten", 1, (2, 3), on=(2, 6, 4)),
        case("Unflatten", -1, (2, -1), on=(2, 6, 4)),
        case("Identity", 3, unused=4, on=(2, 3)),
    ]


def products() -> list[Case]:
    return [
        case("Linear", 5, 3, on=(4, 5)),
        case("Linear", 5, 3, bias=False, on=(2, 4, 5)),
        case("Linear", 5, 3, on=(5,)),
        case("Linear", 5, 3, on=(0, 5)),
        case("Bilinear", 3, 4, 2, on=((5, 3), (5, 4))),
        case("Bilinear", 3, 4, 2, bias=False, on=((2, 5, 3), (2, 5, 4))),
        case("CosineSimilarity", on=((5, 3), (5, 3))),
        case("CosineSimilarity", dim=-1, eps=1e-3, on=((2, 5, 3), (2, 5, 3))),
        case("PairwiseDistance", on=((5, 3), (5, 3))),
        case("PairwiseDistance", 1.0, keepdim=True, on=((5, 3), (5, 3))),
        case("PairwiseDistance", 3, 1e-2, on=((3,), (3,)), draw="positive"),
        case("PairwiseDistance", on=((5, 3), (1, 3))),
        *(
            case(name, 0.0, on=(2, 3, *size))
            for name, size in (
                ("Dropout", (4,)), ("Dropout1d", (4,)), ("Dropout2d", (4, 3)),
                ("Dropout3d", (2, 3, 4)), ("AlphaDropout", (4,)), ("FeatureAlphaDropout", (4,)),
            )
        ),
    ]  # fmt: skip


CASES = [
    *convolutions(), *poolings(), *paddings(), *normalisations(), *resamplings(), *movements(),
    *products(),
]  # fmt: skip
