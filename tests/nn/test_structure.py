"""Layers without an oracle: containers, lazy layers, parametrizations, noise, errors, and bits."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from layer_cases import CASES, Case

import sennit as sn
from sennit import nn
from sennit.nn import functional as F
from sennit.nn.utils import parametrizations, parametrize

# ---- containers ----------------------------------------------------------------------------------


def test_sequential_slices_keep_names() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4))
    tail = net[1:]
    assert list(tail.state_dict()) == ["2.weight", "2.bias"]
    assert tail[1] is net[2]
    assert tail[-1]._name == "2"
    tail.append(nn.Linear(4, 5))  # PyTorch would replace "2"
    assert len(tail) == 3
    assert tail(sn.ones((1, 3))).shape == (1, 5)
    assert len(net) == 3
    named = nn.Sequential({"first": nn.Linear(2, 3), "act": nn.ReLU()})
    assert list(named[:1].state_dict()) == ["first.weight", "first.bias"]
    assert named.append(nn.Tanh())._names() == ["first", "act", "2"]


def test_sequential_arithmetic() -> None:
    a, b = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.ReLU(), nn.Tanh())
    both = a + b
    assert [type(m).__name__ for m in both] == ["Linear", "ReLU", "Tanh"]
    assert both[0] is a[0]
    thrice = 3 * b
    assert len(thrice) == 6
    assert thrice[2] is b[0]
    b *= 2
    assert len(b) == 4
    a += [nn.Sigmoid()]
    assert repr(a[1]) == "Sigmoid()"
    with pytest.raises(sn.InvalidValue, match="multiplied by 0"):
        a * 0


def test_insert_and_pop() -> None:
    for kind in (nn.ModuleList, nn.Sequential):
        net: Any = kind() + [nn.ReLU(), nn.Tanh()]
        net.insert(1, nn.Sigmoid()).insert(-1, nn.Linear(2, 2)).insert(4, nn.GELU())
        kinds = [type(m).__name__ for m in net]
        assert kinds == ["ReLU", "Sigmoid", "Linear", "Tanh", "GELU"]
        assert list(net.state_dict()) == ["2.weight", "2.bias"]
        assert type(net.pop(0)).__name__ == "ReLU"
        assert type(net.pop()).__name__ == "GELU"
        assert list(net.state_dict()) == ["1.weight", "1.bias"]
        del net[:2]
        assert [type(m).__name__ for m in net] == ["Tanh"]
        with pytest.raises(sn.IndexOutOfRange, match="index 3 for 1 modules"):
            net.insert(3, nn.ReLU())
        with pytest.raises(sn.IndexOutOfRange):
            net.pop(1)


def test_containers_with_parameters_of_their_own() -> None:
    class Scaled(nn.Sequential):
        def __init__(self, *modules: nn.Module) -> None:
            super().__init__(*modules)
            self.scale = nn.Parameter(sn.ones(1) * 2)

        def forward(self, input: Any) -> Any:
            return super().forward(input) * self.scale

    net = Scaled(nn.ReLU(), nn.Identity())
    assert len(net) == 2
    assert net(sn.ones(1)).item() == 2.0
    assert net.append(nn.Identity())._names() == ["0", "1", "2"]
    assert list(net.state_dict()) == ["scale"]


def test_module_dict() -> None:
    heads = nn.ModuleDict([("a", nn.ReLU()), ("b", nn.Linear(1, 1))])
    assert heads.keys() == ["a", "b"]
    assert "a" in heads and len(heads) == 2
    heads.update({"c": nn.Tanh()})
    assert repr(heads.pop("a")) == "ReLU()"
    with pytest.raises(KeyError):
        heads["a"]
    heads.clear()
    assert len(heads) == 0 and not heads.state_dict()


def test_repeated_modules_are_shown_once() -> None:
    layers = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Sequential(nn.Tanh()), nn.ReLU()])
    tower = "  (2): Sequential(\n    (0): Tanh()\n  )\n"
    assert repr(layers) == f"ModuleList(\n  (0-1): 2 x ReLU()\n{tower}  (3): ReLU()\n)"


def test_parameter_list() -> None:
    plain, own = sn.ones(2), nn.Parameter(sn.zeros(3))
    weights = nn.ParameterList([plain, own, "text"])
    assert isinstance(weights[0], nn.Parameter) and weights[1] is own and weights[2] == "text"
    assert [n for n, _ in weights.named_parameters()] == ["0", "1"]
    weights += [sn.tensor([1, 2])]
    assert not weights[3].requires_grad
    weights[0] = sn.ones(5)
    assert weights[-4].shape == (5,)
    assert isinstance(weights[1:3], nn.ParameterList) and len(weights[1:3]) == 2
    with pytest.raises(sn.IndexOutOfRange, match="index 4 for 4 parameters"):
        weights[4]
    net = nn.Module()
    net.weights = weights
    assert list(net.state_dict()) == ["weights.0", "weights.1", "weights.3"]
    assert "(2): Object of type: str" in repr(weights)
    assert len(copy.deepcopy(weights)) == 4


def test_parameter_dict() -> None:
    weights = nn.ParameterDict({"a": sn.ones(2), "b": nn.Parameter(sn.zeros(3))})
    assert isinstance(weights["a"], nn.Parameter)
    assert list(weights) == ["a", "b"] and list(reversed(weights)) == ["b", "a"]
    assert weights.get("c") is None and weights.setdefault("c", sn.ones(1)).shape == (1,)
    both = weights | {"d": sn.ones(4)}
    assert both.keys() == ["a", "b", "c", "d"] and "d" not in weights
    assert ({"z": sn.ones(1)} | weights).keys() == ["z", "a", "b", "c"]
    assert weights.popitem()[0] == "c"
    assert weights.pop("a").shape == (2,)
    assert weights.fromkeys(["x", "y"], 1).items() == [("x", 1), ("y", 1)]
    assert list(weights.state_dict()) == ["b"]
    weights.clear()
    assert len(weights) == 0
    with pytest.raises(sn.InvalidValue, match="attribute of the class"):
        weights["keys"] = sn.ones(1)
    with pytest.raises(sn.InvalidType, match="must be a string"):
        weights[1] = sn.ones(1)  # type: ignore[index]
    with pytest.raises(KeyError):
        weights["a"]


def test_buffers_are_registered_by_assignment() -> None:
    net = nn.Module()
    net.kept = nn.Buffer(sn.zeros(2))
    net.passing = nn.Buffer(sn.zeros(3), persistent=False)
    assert list(net.state_dict()) == ["kept"]
    assert [n for n, _ in net.named_buffers()] == ["kept", "passing"]
    assert copy.deepcopy(net).kept.tolist() == [0.0, 0.0]


# ---- lazy layers ---------------------------------------------------------------------------------


def test_uninitialized_tensors_refuse() -> None:
    for value in (nn.UninitializedParameter(), nn.UninitializedBuffer(dtype=sn.float64)):
        for use in (
            lambda x: x.shape,
            lambda x: x + 1,
            lambda x: 2.0 * x,
            lambda x: x.sum(),
            lambda x: x[0],
            len,
            lambda x: x.numpy(),
            bool,
            lambda x: x.assign_(sn.ones(1)),
        ):
            with pytest.raises(sn.InvalidValue, match="its shape is not known yet"):
                use(value)
    assert nn.UninitializedBuffer(dtype=sn.float64).dtype == sn.float64


def test_lazy_parameters_keep_their_identity() -> None:
    net = nn.Sequential(nn.LazyConv2d(4, 3, bias=False), nn.LazyBatchNorm2d(), nn.ReLU())
    net.append(nn.Flatten()).append(nn.LazyLinear(2))
    net.double()
    before = list(net.parameters())
    assert all(nn.parameter.is_lazy(p) and p.dtype == sn.float64 for p in before)
    y = net(sn.random.normal(shape=(2, 3, 5, 5), dtype=sn.float64))
    assert y.shape == (2, 2) and y.dtype == sn.float64
    after = list(net.parameters())
    assert all(a is b and type(a) is nn.Parameter for a, b in zip(before, after, strict=True))
    assert all(type(m).__name__[:4] != "Lazy" for m in net.modules())
    optimizer = sn.optim.SGD(before, lr=0.1)
    y.sum().backward()
    old = net[4].bias.tolist()
    optimizer.step()
    assert net[4].bias.tolist() != old
    fresh = nn.LazyLinear(2)
    assert nn.parameter.is_lazy(copy.deepcopy(fresh).weight)
    assert not fresh.requires_grad_(False).weight.requires_grad
    fresh(sn.ones((1, 3)))
    assert not fresh.weight.requires_grad


def test_lazy_state() -> None:
    full, lazy = nn.Linear(3, 2), nn.LazyLinear(2)
    with pytest.raises(sn.InvalidValue, match="weight has no shape yet"):
        full.load_state_dict(lazy.state_dict())
    lazy.load_state_dict(nn.LazyLinear(2).state_dict())  # nothing is known of either
    lazy.load_state_dict(full.state_dict())
    assert lazy.weight.tolist() == full.weight.tolist()
    assert (lazy(sn.ones((1, 3))) == full(sn.ones((1, 3)))).all()
    assert type(lazy) is nn.Linear and lazy.in_features == 3


def test_lazy_errors() -> None:
    with pytest.raises(sn.ShapeError, match="must have 3 or 4 dimensions"):
        nn.LazyConv2d(4, 3)(sn.ones((2, 3)))
    with pytest.raises(sn.ShapeError, match="groups, which is 2"):
        nn.LazyConv2d(4, 3, groups=2)(sn.ones((1, 3, 5, 5)))
    with pytest.raises(sn.ShapeError, match="scalar"):
        nn.LazyLinear(3)(sn.ones(()))
    with pytest.raises(sn.InvalidValue, match="out_features is 0"):
        nn.LazyLinear(0)


def test_lazy_layers_of_ones_own() -> None:
    class Scale(nn.LazyModuleMixin):
        def __init__(self) -> None:
            self.scale = nn.UninitializedParameter()

        def initialize_parameters(self, input: Any) -> None:
            self.scale.materialize(input.shape[-1:])
            nn.init.ones_(self.scale)

        def forward(self, input: Any) -> Any:
            return input * self.scale

    layer = Scale()
    assert layer(sn.ones((2, 3))).tolist() == [[1.0] * 3] * 2
    assert layer(sn.ones((2, 3))).shape == (2, 3)

    class Forgets(Scale):
        def initialize_parameters(self, input: Any) -> None:
            pass

    with pytest.raises(sn.InvalidValue, match="left parameters without a shape"):
        Forgets()(sn.ones(3))


# ---- parametrizations ----------------------------------------------------------------------------


class Symmetric(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.triu() + x.triu(1).mT

    def right_inverse(self, x: Any) -> Any:
        return x.triu()


class Doubled(nn.Module):
    def forward(self, x: Any) -> Any:
        return x * 2.0

    def right_inverse(self, x: Any) -> Any:
        return x / 2.0


def test_parametrizations_stack_and_come_off() -> None:
    layer = nn.Linear(3, 3)
    parameter = layer.weight
    parametrize.register_parametrization(layer, "weight", Symmetric())
    parametrize.register_parametrization(layer, "weight", Doubled())
    assert type(layer).__name__ == "ParametrizedLinear" and isinstance(layer, nn.Linear)
    assert layer.parametrizations.weight.original is parameter
    value = layer.weight
    assert (value == value.mT).all()
    layer.weight = sn.eye(3) * 4.0
    assert layer.weight.tolist() == (sn.eye(3) * 4.0).tolist()
    assert parameter.tolist() == (sn.eye(3) * 2.0).tolist()
    layer(sn.ones((1, 3))).sum().backward()
    assert parameter.grad is not None and (parameter.grad.tril(-1) == 0).all()
    twin = copy.deepcopy(layer)
    twin.weight = sn.eye(3)
    assert layer.weight[0, 0].item() == 4.0 and twin.weight[0, 0].item() == 1.0
    parametrize.register_parametrization(twin, "bias", Doubled())
    assert parametrize.is_parametrized(twin, "bias")
    assert not parametrize.is_parametrized(layer, "bias") and type(layer.bias) is nn.Parameter
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and layer.weight is parameter
    assert layer.weight.tolist() == (sn.eye(3) * 4.0).tolist()
    assert not parametrize.is_parametrized(layer)
    parametrize.remove_parametrizations(twin, "weight", leave_parametrized=False)
    assert twin.weight[0, 0].item() == 0.5
    assert type(twin).__name__ == "ParametrizedLinear"


def test_parametrized_buffers() -> None:
    net = nn.Module()
    net.register_buffer("scale", sn.ones(2))
    parametrize.register_parametrization(net, "scale", Doubled())
    assert net.scale.tolist() == [1.0, 1.0]
    assert [n for n, _ in net.named_buffers()] == ["parametrizations.scale.original"]
    parametrize.remove_parametrizations(net, "scale")
    assert list(net.state_dict()) == ["scale"]


def test_cached_parametrizations_are_computed_once() -> None:
    calls = []

    class Counting(nn.Module):
        def forward(self, x: Any) -> Any:
            calls.append(1)
            return x

    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Counting())
    calls.clear()
    with parametrize.cached(), parametrize.cached():
        layer(sn.ones((1, 2)))
        layer(sn.ones((1, 2)))
    assert len(calls) == 1
    layer(sn.ones((1, 2)))
    assert len(calls) == 2


def test_parametrization_errors() -> None:
    class Wider(nn.Module):
        def forward(self, x: Any) -> Any:
            return sn.concat([x, x], 0)

    layer = nn.Linear(2, 3)
    with pytest.raises(sn.ShapeError, match=r"makes .* \(6, 2\)"):
        parametrize.register_parametrization(layer, "weight", Wider())
    assert type(layer) is nn.Linear and layer.weight.shape == (3, 2)
    parametrize.register_parametrization(layer, "weight", Wider(), unsafe=True)
    assert layer.weight.shape == (6, 2)
    with pytest.raises(sn.InvalidType, match="defines no right_inverse"):
        layer.weight = sn.ones((6, 2))
    with pytest.raises(sn.InvalidValue, match="no parameter or buffer 'nothing'"):
        parametrize.register_parametrization(layer, "nothing", Wider())
    with pytest.raises(sn.InvalidValue, match="not parametrised"):
        parametrize.remove_parametrizations(layer, "bias")
    with pytest.raises(sn.InvalidValue, match="has no parameter or buffer 'nothing'"):
        parametrizations.weight_norm(layer, "nothing")
    with pytest.raises(sn.IndexOutOfRange, match="dim is 4"):
        parametrizations.weight_norm(nn.Linear(2, 3), dim=4)
    with pytest.raises(sn.InvalidValue, match="n_power_iterations is 0"):
        parametrizations.spectral_norm(nn.Linear(2, 3), n_power_iterations=0)
    normed = parametrizations.weight_norm(nn.Linear(2, 3))
    with pytest.raises(sn.InvalidValue, match="2 originals"):
        parametrize.remove_parametrizations(normed, "weight", leave_parametrized=False)
    with pytest.raises(sn.ShapeError, match="which must stay"):
        normed.weight = sn.ones((4, 2))


def test_spectral_norm_finds_the_largest_singular_value() -> None:
    sn.random.seed(0)
    layer = parametrizations.spectral_norm(nn.Linear(8, 6), n_power_iterations=50)
    layer(sn.ones((1, 8)))
    values = np.linalg.svd(layer.weight.detach().numpy(), compute_uv=False)
    assert abs(values[0] - 1) < 1e-4
    layer.eval()
    u = layer.parametrizations.weight[0]._u.tolist()
    layer(sn.ones((1, 8)))
    assert layer.parametrizations.weight[0]._u.tolist() == u
    older = {
        "bias": layer.bias,
        "weight_orig": layer.parametrizations.weight.original,
        "weight_u": layer.parametrizations.weight[0]._u,
        "weight_v": layer.parametrizations.weight[0]._v,
    }
    again = parametrizations.spectral_norm(nn.Linear(8, 6)).eval()
    again.load_state_dict(older)
    assert again.weight.tolist() == layer.weight.tolist()


# ---- noise ---------------------------------------------------------------------------------------


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    sn.random.seed(0)
    x = sn.random.normal(shape=(400, 50))
    for p in (0.1, 0.5, 0.8):
        y = nn.AlphaDropout(p)(x).numpy()
        assert abs(y.mean()) < 0.03 and abs(y.std() - 1) < 0.03
        saturated = y.min() if p < 0.5 else np.median(y)
        assert abs((np.isclose(y, saturated)).mean() - p) < 0.03 or p < 0.5
    y = nn.FeatureAlphaDropout(0.5)(sn.random.normal(shape=(30, 20, 8))).numpy()
    constant = (y == y[..., :1]).all(-1)
    assert abs(constant.mean() - 0.5) < 0.1
    assert nn.AlphaDropout(0.5).eval()(x) is x
    assert (nn.AlphaDropout(1.0)(x) == 0).all()
    for dtype in (sn.float16, sn.bfloat16, sn.float64):
        assert nn.AlphaDropout(0.3)(x.astype(dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Dropout1d(0.4), (50, 40, 5)),
        (nn.Dropout1d(0.4), (500, 5)),
        (nn.Dropout2d(0.4), (50, 40, 3, 2)),
        (nn.Dropout2d(0.4), (50, 40, 3)),
        (nn.Dropout3d(0.4), (50, 40, 2, 2, 2)),
        (nn.Dropout3d(0.4), (500, 2, 2, 2)),
        (nn.DropPath(0.4), (800, 3, 2)),
        (nn.StochasticDepth(0.4, "row"), (800, 3, 2)),
    ],
    ids=repr,
)
def test_what_is_dropped_is_dropped_whole(layer: nn.Module, shape: tuple[int, ...]) -> None:
    sn.random.seed(0)
    leading = 1 if isinstance(layer, nn.DropPath | nn.StochasticDepth) else 2
    if not isinstance(layer, nn.DropPath | nn.StochasticDepth):
        unbatched = {nn.Dropout1d: 2, nn.Dropout3d: 4}.get(type(layer))
        leading = 1 if len(shape) == unbatched else 2
    y = layer(sn.ones(shape)).numpy().reshape(int(np.prod(shape[:leading])), -1)
    assert (y == y[:, :1]).all()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.6)}
    assert abs((y[:, 0] == 0).mean() - 0.4) < 0.08
    x = sn.ones(shape)
    assert layer.eval()(x) is x


def test_stochastic_depth_of_a_batch_and_unscaled_paths() -> None:
    sn.random.seed(0)
    layer = nn.StochasticDepth(0.5, "batch")
    seen = {tuple(set(layer(sn.ones((4, 2))).flatten().tolist())) for _ in range(40)}
    assert seen == {(0.0,), (2.0,)}
    y = nn.DropPath(0.5, scale_by_keep=False)(sn.ones((100, 1)))
    assert set(y.flatten().tolist()) == {0.0, 1.0}
    assert repr(layer) == "StochasticDepth(p=0.5, mode=batch)"
    assert repr(nn.DropPath(0.1)) == "DropPath(drop_prob=0.100)"


def test_gaussian_noise() -> None:
    sn.random.seed(0)
    x = sn.zeros((300, 100))
    y = nn.GaussianNoise(0.5)(x).numpy()
    assert abs(y.mean()) < 0.01 and abs(y.std() - 0.5) < 0.01
    assert nn.GaussianNoise(0.5).eval()(x) is x and nn.GaussianNoise(0.0)(x) is x


# ---- resampling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("antialias", [False, True])
def test_what_is_not_finite_stays_where_it_is(mode: str, antialias: bool) -> None:
    x = np.ones((1, 1, 16, 16), dtype=np.float32)
    x[0, 0, 8, 8] = np.inf
    for size in ((24, 24), (8, 8)):
        y = F.interpolate(sn.tensor(x), size, mode=mode, antialias=antialias).numpy()
        bad = np.argwhere(~np.isfinite(y[0, 0]))
        assert len(bad) and (np.abs(bad - 8 * size[0] / 16) <= 4).all()
        good = y[np.isfinite(y)]
        np.testing.assert_allclose(good, 1, rtol=1e-5)


def test_interpolate_gives_a_new_tensor() -> None:
    x = sn.ones((1, 1, 2, 2))
    y = F.interpolate(x, (2, 2))
    y[0, 0, 0, 0] = 5.0
    assert x.tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]]


def test_grid_sample_second_gradients() -> None:
    """Against differences of first gradients; PyTorch has none."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((1, 2, 5, 6))
    places = rng.uniform(-0.9, 0.9, (1, 2, 3, 2))
    weights, probe = rng.standard_normal((1, 2, 2, 3)), rng.standard_normal(places.shape)
    for mode in ("bilinear", "bicubic"):

        def first(x: Any, grid: Any, mode: str = mode, create: bool = False) -> Any:
            y = F.grid_sample(x, grid, mode, align_corners=True)
            return sn.gradients([y], [grid], [sn.tensor(weights)], create_graph=create)[0]

        x = sn.tensor(data, requires_grad=True)
        grid = sn.tensor(places, requires_grad=True)
        total = (first(x, grid, create=True) * sn.tensor(probe)).sum()
        by_x, by_grid = sn.gradients([total], [x, grid])
        step = 1e-6
        for got, at, direction in (
            (by_grid, places, rng.standard_normal(places.shape)),
            (by_x, data, rng.standard_normal(data.shape)),
        ):
            values = []
            for sign in (1, -1):
                moved = at + sign * step * direction
                pair = (data, moved) if at is places else (moved, places)
                a, b = (sn.tensor(v, requires_grad=True) for v in pair)
                values.append((first(a, b).numpy() * probe).sum())
            slope = (values[0] - values[1]) / (2 * step)
            assert abs(slope - (got.numpy() * direction).sum()) < 1e-5 * max(1, abs(slope))


def test_grid_positions_that_are_no_numbers_read_zeros() -> None:
    grid = sn.tensor([[[[float("nan"), 0.0], [float("inf"), 0.0], [-1e30, 0.0]]]])
    y = F.grid_sample(sn.ones((1, 1, 3, 3)), grid, align_corners=False)
    assert y.flatten().tolist() == [0.0, 0.0, 0.0]


def test_fold_undoes_unfold_of_disjoint_windows() -> None:
    x = sn.random.normal(shape=(2, 3, 6, 8))
    assert (F.fold(F.unfold(x, 2, stride=2), (6, 8), 2, stride=2) == x).all()
    for r in (2, 3):
        y = sn.random.normal(shape=(2, 18 * r * r, 2, 3))
        assert (F.pixel_unshuffle(F.pixel_shuffle(y, r), r) == y).all()


# ---- errors --------------------------------------------------------------------------------------

IMAGE = (1, 2, 4, 5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (F.interpolate, "size is None and scale_factor None"),
        (lambda x: F.interpolate(x, 2, 2.0), "one of them is required"),
        (lambda x: F.interpolate(x, (2, 3, 4)), "spatial dimensions"),
        (lambda x: F.interpolate(x, 0), "one positive number"),
        (lambda x: F.interpolate(x, scale_factor=0.01), "sizes must be 1 or more"),
        (lambda x: F.interpolate(x, 2, mode="cubic"), "mode is 'cubic'"),
        (lambda x: F.interpolate(x, 2, mode="linear"), "modes for 4 dimensions: nearest"),
        (lambda x: F.interpolate(x, 2, align_corners=True), "it must be None there"),
        (lambda x: F.interpolate(x, 2, antialias=True), "'bilinear' or 'bicubic'"),
        (lambda x: F.interpolate(x, 2, None, "bilinear", None, True), "goes with scale_factor"),
        (lambda x: F.interpolate(x.astype(sn.int32), 2, mode="bilinear"), "floating-point"),
        (lambda x: F.interpolate(x[..., :0], 2), "only the batch may be empty"),
        (lambda x: F.grid_sample(x, x), "with \\(N, H', W', 2\\)"),
        (lambda x: F.grid_sample(x, sn.ones((1, 2, 2, 2)), "cubic"), "mode is 'cubic'"),
        (lambda x: F.grid_sample(x, sn.ones((1, 2, 2, 2)), padding_mode="wrap"), "'wrap'"),
        (
            lambda x: F.grid_sample(x, sn.ones((1, 2, 2, 2), dtype=sn.float64)),
            "one floating-point dtype",
        ),
        (
            lambda x: F.grid_sample(x[None], sn.ones((1, 1, 2, 2, 3)), "bicubic"),
            "bicubic for images only",
        ),
        (lambda x: F.affine_grid(sn.ones((1, 2, 3)), (2, 1, 3, 3)), "theta has shape"),
        (lambda x: F.affine_grid(sn.ones((1, 2, 3), dtype=sn.int32), IMAGE), "floating-point"),
        (lambda x: F.unfold(x, 6), "windows cover \\(6, 6\\)"),
        (lambda x: F.unfold(x, 2, stride=0), "stride is 0"),
        (lambda x: F.unfold(x[0, 0], 2), "\\(N, C, H, W\\) or \\(C, H, W\\)"),
        (lambda x: F.fold(sn.ones((1, 4, 7)), (4, 5), 2), "a multiple of 4, 12"),
        (lambda x: F.fold(sn.ones((1, 5, 12)), (4, 5), 2), "a multiple of 4, 12"),
        (lambda x: F.pixel_shuffle(x, 2), "a multiple of its square"),
        (lambda x: F.pixel_shuffle(x, 0), "upscale_factor is 0"),
        (lambda x: F.pixel_unshuffle(x, 3), "downscale_factor is 3"),
        (lambda x: F.channel_shuffle(x, 3), "groups is 3"),
        (lambda x: F.lp_pool2d(x, 0, 2), "norm_type is 0"),
        (lambda x: F.lp_pool2d(x, 2, (2, 2, 2)), "kernel_size is \\(2, 2, 2\\)"),
        (lambda x: F.lp_pool2d(x[0, 0], 2, 2), "height, width"),
        (lambda x: F.max_unpool2d(x, sn.zeros((1,), dtype=sn.int64), 2), "they must be equal"),
        (
            lambda x: F.max_unpool2d(x, sn.zeros(IMAGE, dtype=sn.int64), 2, output_size=(20, 20)),
            "differ from \\(8, 10\\)",
        ),
        (
            lambda x: F.max_unpool2d(x, sn.full(IMAGE, 80, dtype=sn.int64), 2).tolist(),
            "index 80 at position",
        ),
        (lambda x: F.fractional_max_pool2d(x, 2), "one of them is required"),
        (lambda x: F.fractional_max_pool2d(x, 2, output_ratio=1.5), "between 0 and 1"),
        (lambda x: F.fractional_max_pool2d(x, 3, output_size=4), "do not fit the input's"),
        (
            lambda x: F.fractional_max_pool2d(x, 2, 2, _random_samples=sn.ones((1, 2, 3))),
            "random samples have shape",
        ),
        (lambda x: nn.FractionalMaxPool2d(2), "one of them is required"),
        (lambda x: nn.FractionalMaxPool3d(2, output_ratio=2.0), "between 0 and 1"),
        (lambda x: F.adaptive_max_pool2d(x, (2, 0)), "output size"),
        (lambda x: F.adaptive_max_pool2d(x > 0, 1), "numbers are required"),
        (lambda x: F.pad(x, (5, 0), "reflect"), "at most 4 elements"),
        (lambda x: F.pad(x, (6, 0), "circular"), "at most 5 elements"),
        (lambda x: F.pad(x, (-3, -3), "replicate"), "crop more than its size 5"),
        (lambda x: F.pad(x, (1, 1), "mirror"), "mode is 'mirror'"),
        (lambda x: nn.ReflectionPad2d((1, 2)), "4 ints are required"),
        (nn.ReflectionPad1d(1), "2 or 3 dimensions"),
        (lambda x: F.pairwise_distance(sn.ones(()), x), "vectors along a last axis"),
        (F.pdist, "a matrix"),
        (lambda x: F.pdist(x[0, 0], -1.0), "p of 0 or more"),
        (lambda x: F.bilinear(x, x, sn.ones((2, 3, 4))), r"\(o, a, b\)"),
        (F.dropout1d, "2 or 3 dimensions"),
        (lambda x: F.dropout2d(x, 1.5), "p is 1.5"),
        (lambda x: F.feature_alpha_dropout(x[0, 0, 0]), "two dimensions or more"),
        (lambda x: F.stochastic_depth(x, 0.5, "all"), "mode is 'all'"),
        (lambda x: nn.StochasticDepth(0.5, "all"), "mode is 'all'"),
        (lambda x: nn.DropPath(-0.1), "drop_prob is -0.1"),
        (lambda x: nn.GaussianNoise(-1), "std is -1"),
        (lambda x: F.conv_tbc(x, x, None), r"\(steps, batch, channels\)"),
        (lambda x: nn.SyncBatchNorm(3)(x[0, 0, 0]), "at least two dimensions"),
        (lambda x: nn.Unflatten("name", (2, 2)), "an int and a tuple of ints"),
        (lambda x: nn.BatchNorm2d(2)(x[:, :, :1, :1]), "fewer than two values"),
        (
            lambda x: nn.utils.fuse_conv_bn_eval(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)),
            "call .eval\\(\\) on both",
        ),
        (
            lambda x: nn.utils.fuse_linear_bn_eval(
                nn.Linear(2, 2).eval(), nn.BatchNorm1d(3).eval()
            ),
            "2 outputs and the normalisation 3",
        ),
    ],
)
def test_mistakes_are_named(make: Any, says: str) -> None:
    with pytest.raises(sn.SennitError, match=says) as caught:
        make(sn.ones(IMAGE))
    assert str(caught.value).startswith("[")


def test_old_batch_norm_states_fit() -> None:
    layer = nn.Sequential(nn.BatchNorm2d(3))
    state = layer.state_dict()
    del state["0.num_batches_tracked"]
    assert layer.load_state_dict(state).missing_keys == []
    del state["0.running_mean"]
    with pytest.raises(sn.InvalidValue, match=r"missing: 0\.running_mean"):
        layer.load_state_dict(state)


def test_crops_of_reflected_and_circular_borders() -> None:
    x = sn.arange(5)
    assert F.pad(x, (-1, 2), "reflect").tolist() == [1, 2, 3, 4, 3, 2]
    assert F.pad(x, (-1, 2), "replicate").tolist() == [1, 2, 3, 4, 4, 4]
    assert F.pad(x, (-1, 2), "circular").tolist() == [1, 2, 3, 4, 1, 2]
    assert F.pad(x, (2, -2), "reflect").tolist() == [2, 1, 0, 1, 2]
    assert F.pad(x, (-2, -3), "replicate").tolist() == []


# ---- bits ----------------------------------------------------------------------------------------

SAMPLE = [c for c in CASES if c.shapes[0][0] == 2][::7]


@pytest.mark.parametrize("case", SAMPLE, ids=str)
def test_bits_do_not_depend_on_threads_or_windows(case: Case) -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(s).astype(np.float32) for s in case.shapes]
    layer = getattr(nn, case.name)(*case.args, **case.kwargs).eval()

    def run() -> list[bytes]:
        xs = [sn.tensor(a, requires_grad=True) for a in inputs]
        result = layer(*xs, **case.call)
        y = result[0] if isinstance(result, tuple) else result
        found = sn.gradients([(y * y).sum()], [*xs, *layer.parameters()])
        return [v.numpy().tobytes() for v in [y.detach(), *found] if v is not None]

    threads, window = sn.num_threads(), sn.config.window
    results = []
    try:
        for count, size in ((1, window), (2, window), (2, 1)):
            sn.set_num_threads(count)
            sn.config.window = size
            results.append(run())
    finally:
        sn.set_num_threads(threads)
        sn.config.window = window
    assert results[0] == results[1] == results[2]


def on(device: str, value: Any) -> Any:
    return value.to(device) if isinstance(value, sn.Tensor) else value


GRID = np.random.default_rng(0).standard_normal((2, 4, 5, 2)).astype(np.float32)
THETA = np.random.default_rng(0).standard_normal((2, 2, 3)).astype(np.float32)
FUNCTIONS: list[tuple[str, Any]] = [
    ("grid", lambda x: F.grid_sample(x, on(x.device, sn.tensor(GRID)), padding_mode="reflection")),
    ("cubic grid", lambda x: F.grid_sample(x, on(x.device, sn.tensor(GRID)), "bicubic")),
    ("theta", lambda x: F.affine_grid(x[:, 0, :2, :3], (2, 1, 4, 1))),
    ("antialias", lambda x: F.interpolate(x, (3, 4), mode="bicubic", antialias=True)),
    ("fractional", lambda x: F.fractional_max_pool2d(x, 2, output_ratio=0.6)),
    ("pdist", lambda x: F.pdist(x.reshape(x.shape[0] * x.shape[1], -1))),
    ("alpha", lambda x: F.alpha_dropout(x, 0.3, training=True)),
    ("channels", lambda x: F.dropout2d(x, 0.3)),
    ("path", lambda x: F.drop_path(x, 0.3, training=True, scale_by_keep=False)),
    ("depth", lambda x: F.stochastic_depth(x, 0.3, "row")),
    ("noise", lambda x: F.gaussian_noise(x, 0.3)),
    ("unpool", lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)),
]


@pytest.mark.bits
@pytest.mark.parametrize(
    "what", [*CASES[::9], *FUNCTIONS], ids=lambda v: str(v) if isinstance(v, Case) else v[0]
)
def test_other_devices_give_the_same_bits(what: Any) -> None:
    """Everything that a layer makes by itself stands where its input does."""
    rng = np.random.default_rng(0)
    results = []
    made: Any = None if isinstance(what, Case) else what[1]
    shapes: Any = ((2, 3, 7, 6),)
    call: dict[str, Any] = {}
    if isinstance(what, Case):
        made = getattr(nn, what.name)(*what.args, **what.kwargs)
        shapes, call = what.shapes, what.call
    inputs = [rng.standard_normal(s).astype(np.float32) for s in shapes]
    for device in ("cpu", "reference"):
        sn.random.seed(0)
        layer = copy.deepcopy(made).to(device) if isinstance(what, Case) else made
        xs = [sn.tensor(a).to(device) for a in inputs]
        for x in xs:
            x.requires_grad_()
        y = layer(*xs, **call)
        y = y[0] if isinstance(y, tuple) else y
        assert y.device.startswith(device)
        (gradient,) = sn.gradients([(y * y).sum()], [xs[0]])
        results.append([v.detach().to("cpu").numpy() for v in (y, gradient)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
