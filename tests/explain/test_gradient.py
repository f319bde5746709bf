"""The gradient family: rules at ReLUs, wherever they are, against hand-worked numbers and captum."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torchvision.models.vgg import make_layers

from fer_batch import explain
from fer_batch.explain.gradient import Gradient, sum_over_channels
from fer_batch.explain.targets import frame_chunks, rank_groups
from fer_batch.models.backbone import build
from fer_batch.types import InputError

X = [-1.0, 2.0, 3.0, -4.0, 0.0]
R = [5.0, -6.0, 7.0, -8.0, 9.0]
G07 = {"gradient": [0, -6, 7, 0, 0], "deconvnet": [5, 0, 7, 0, 9], "guided_backprop": [0, 0, 7, 0, 0]}
PAIRS = np.array([[0, 0], [0, 2], [1, 1], [2, 0]])


class OneReLU(nn.Module):
    """Logit whose gradient at the output of a ReLU is R."""

    def __init__(self, relu) -> None:
        super().__init__()
        self.relu = relu

    def forward(self, x):
        return (self.relu(x * 1.0) * torch.tensor(R)).flatten(1).sum(1, keepdim=True)


RELUS = {
    "module": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "function": functional.relu,
    "torch": torch.relu,
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
    "relu6": lambda x: functional.relu6(x),
    "clamp": lambda x: x.clamp(min=0),
    "clamp_min": lambda x: x.clamp_min(0),
}


@pytest.mark.parametrize("relu", RELUS.values(), ids=list(RELUS))
@pytest.mark.parametrize("name", G07)
def test_g07_rules_at_a_relu(name, relu):
    explainer = Gradient(sum_over_channels) if name == "gradient" else explain.method(name)
    found = explainer(OneReLU(relu).eval(), torch.tensor(X).view(1, 1, 1, 5), [[0, 0]])
    np.testing.assert_array_equal(found.values[0, 0], G07[name])


class Plain(nn.Module):
    """Modules for captum's hooks: every ReLU its own, none in place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(8 * 3 * 3, 10),
            nn.ReLU(),
            nn.Linear(10, 3),
        )

    def forward(self, x):
        return self.net(x)


class Functional(Plain):
    """The same network without ReLU modules."""

    def forward(self, x):
        x = functional.relu(self.net[0](x), inplace=True)
        x = torch.relu_(self.net[2](x))
        x = functional.max_pool2d(x, 2).flatten(1)
        return self.net[8](self.net[6](x).relu())


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, 3, 14, 14, generator=torch.Generator().manual_seed(1))


def by_captum(attribution, images, **arguments):
    maps = [attribution.attribute(images[i : i + 1], target=int(j), **arguments)[0] for i, j in PAIRS]
    return torch.stack(maps).detach().numpy()


def close(found, expected):
    """To 1e-4 of the largest value: rounding of float32 over the layers depends on the kernels of the CPU."""
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("network", [Plain, Functional])
@pytest.mark.filterwarnings("ignore:Setting backward hooks", "ignore:Input Tensor 0")
def test_deconvnet_and_guided_backprop_equal_captum(images, network):
    ours, theirs = network().eval(), Plain().eval()
    for name, method in (("deconvnet", captum.attr.Deconvolution), ("guided_backprop", captum.attr.GuidedBackprop)):
        expected = by_captum(method(theirs), images)
        close(explain.method(name)(ours, images, PAIRS).values, expected.sum(1))
        close(explain.method(name, channels="largest")(ours, images, PAIRS).values, np.abs(expected).max(1))


@pytest.mark.filterwarnings("ignore:Input Tensor 0")
def test_saliency_and_integrated_gradients_equal_captum(images):
    model = Plain().eval()
    expected = by_captum(captum.attr.Saliency(model), images).max(1)
    close(explain.method("gradient")(model, images, PAIRS).values, expected)
    method = captum.attr.IntegratedGradients(model)
    for baseline in (0.0, 0.4):
        expected = by_captum(method, images, n_steps=20, baselines=baseline, method="gausslegendre").sum(1)
        found = explain.method("integrated_gradients", steps=20, baseline=baseline, batch_size=7)
        close(found(model, images, PAIRS).values, expected)


def test_integrated_gradients_complete_the_logit(images):
    model = Plain().eval()
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
    found = explain.method("integrated_gradients", steps=300, mean=mean, std=std)(model, images, PAIRS)
    black = -torch.tensor(mean) / torch.tensor(std)
    with torch.no_grad():
        start = model(black[None, :, None, None].expand(1, 3, 14, 14))[0].numpy()
    np.testing.assert_allclose(found.values.sum((1, 2)), found.score - start[PAIRS[:, 1]], atol=2e-3)
    assert np.isnan(found.conservation).all()


class GuidedRule(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, top):
        ctx.save_for_backward((x > 0) & (x < top))
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx, r):
        return r * ctx.saved_tensors[0] * (r > 0), None


class GuidedModule(nn.Module):
    def __init__(self, top: float) -> None:
        super().__init__()
        self.top = top

    def forward(self, x):
        return GuidedRule.apply(x, self.top)


def with_guided_modules(model: nn.Module) -> nn.Module:
    """The slow way: a network in which every ReLU is replaced."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU | nn.ReLU6):
                setattr(parent, name, GuidedModule(6.0 if isinstance(child, nn.ReLU6) else float("inf")))
    return model


@pytest.mark.parametrize(
    "build_one",
    [
        lambda: build("resnet18", 3, {"width": 0.1}),
        lambda: build("torchvision:mobilenet_v2", 3, {"width_mult": 0.25}),
        lambda: build("timm:resnet10t", 3),
        lambda: nn.Sequential(make_layers([8, "M", 16, 16, "M"]), nn.Flatten(), nn.Linear(16 * 64, 3)),
    ],
    ids=["own", "mobilenet", "timm", "vgg"],
)
def test_every_relu_of_a_network_has_the_rule(build_one):
    torch.manual_seed(0)
    model = build_one().eval()
    x = torch.rand(2, 3, 32, 32)
    pairs = [(0, 1), (1, 0), (1, 2)]
    found = explain.method("guided_backprop")(model, x, pairs)
    assert np.abs(found.values).max((1, 2)).min() > 0
    replaced = with_guided_modules(model)
    for (i, j), values in zip(pairs, found.values, strict=True):
        image = x[i : i + 1].clone().requires_grad_()
        logit = replaced(image)[0, j]
        close(values, torch.autograd.grad(logit, image)[0][0].sum(0).numpy())


def loops(weights, x, output, rule):
    """Guided backprop and deconvnet of a perceptron as the formulas are printed."""
    signals, values = [], [x]
    for w in weights[:-1]:
        signals.append(w @ values[-1])
        values.append(np.maximum(signals[-1], 0))
    r = weights[-1][output].copy()
    for w, z in zip(reversed(weights[:-1]), reversed(signals), strict=True):
        r = r * (r > 0) * ((z > 0) if rule == "guided" else 1)
        r = w.T @ r
    return r


@pytest.mark.parametrize(("name", "rule"), [("guided_backprop", "guided"), ("deconvnet", "deconvnet")])
def test_rules_equal_the_formulas_in_plain_loops(name, rule):
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=s) for s in ((7, 12), (6, 7), (2, 6))]
    layers = [nn.Linear(w.shape[1], w.shape[0], bias=False) for w in weights]
    for layer, w in zip(layers, weights, strict=True):
        layer.weight.data = torch.from_numpy(w)
    model = nn.Sequential(nn.Flatten(), layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2]).eval()
    x = rng.normal(size=(1, 1, 3, 4))
    for output in (0, 1):
        expected = loops(weights, x.ravel(), output, rule).reshape(3, 4)
        np.testing.assert_allclose(explain.method(name)(model, x, [[0, output]]).values[0], expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["deconvnet", "guided_backprop"])
@pytest.mark.parametrize(
    ("activation", "called"),
    [(nn.GELU(), "Gelu"), (nn.Hardswish(), "Hardswish"), (nn.LeakyReLU(), "LeakyRelu"), (nn.Hardtanh(), "Hardtanh")],
)
def test_an_activation_without_a_rule_is_refused_by_name(images, name, activation, called):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), activation, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with pytest.raises(ValueError, match=rf"also applies {called}\. Take gradient.*other_activations: derivative"):
        explain.method(name)(model, images, [[0, 0]])
    explain.method(name, other_activations="derivative")(model, images, [[0, 0]])


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, g):
        return 2 * ctx.saved_tensors[0] * g


def test_a_function_of_the_users_own_is_not_passed_in_silence(images):
    class Own(nn.Module):
        def forward(self, x):
            return Square.apply(x).mean((2, 3))

    with pytest.raises(ValueError, match="Square"):
        explain.method("guided_backprop")(Own().eval(), images, [[0, 0]])


def test_guided_backprop_may_start_at_the_last_convolution(images):
    torch.manual_seed(0)
    first, last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2)]
    for inplace in (False, True):
        with_relu = nn.Sequential(first, nn.ReLU(), last, nn.ReLU(inplace=inplace), *tail).eval()
        explainer = explain.method("guided_backprop", start="last_conv", batch_size=2)
        found = explainer(with_relu, images, [[0, -1], [1, -1], [2, 1]])
        x = images.clone().requires_grad_()
        hidden = first(x)
        summed = last(hidden.relu()).relu().sum()
        (at_hidden,) = torch.autograd.grad(summed, hidden, retain_graph=True)
        (w,) = torch.autograd.grad(hidden, x, at_hidden.clamp(min=0))
        close(found.values, w.sum(1).numpy())
        assert np.isnan(found.score[:2]).all()
        np.testing.assert_allclose(found.score[2], with_relu(images)[2, 1].item(), rtol=1e-4)
    bare = explain.method("guided_backprop", start="last_conv", layer="2")(with_relu, images, [[0, -1]])
    x = images[:1].clone().requires_grad_()
    hidden = first(x)
    (at_hidden,) = torch.autograd.grad(last(hidden.relu()).sum(), hidden, retain_graph=True)
    (w,) = torch.autograd.grad(hidden, x, at_hidden.clamp(min=0))
    close(bare.values, w.sum(1).detach().numpy())
    with pytest.raises(ValueError, match="no module 'feature'"):
        explain.method("guided_backprop", start="last_conv", layer="feature")(with_relu, images, [[0, -1]])
    with pytest.raises(ValueError, match="output -2"):
        explainer(with_relu, images, [[0, -2]])
    with pytest.raises(ValueError, match="output 2; the network has outputs 0 to 1"):
        explainer(with_relu, images, [[0, 2]])


def test_smooth_grad_is_seeded_and_averages_gradients(images):
    model = Plain().eval()
    explainer = explain.method("smooth_grad", samples=6, noise=0.2, channels="sum", batch_size=4)
    found = explainer(model, images, PAIRS)
    np.testing.assert_array_equal(found.values, explainer(model, images, PAIRS).values)
    close(explainer(model, images[2:], [[0, 0]]).values[0], found.values[3])
    other = explain.method("smooth_grad", samples=6, noise=0.2, channels="sum", seed=1)(model, images, PAIRS)
    assert np.abs(other.values - found.values).max() > 1e-4
    drawn = [explainer(model, images, PAIRS, rng=np.random.default_rng(5)).values for _ in range(2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])

    grains = np.random.default_rng(0).standard_normal((6, 3, 14, 14), dtype=np.float32)
    sigma = 0.2 * float(images[1].max() - images[1].min())
    total = 0.0
    for grain in grains:
        x = (images[1:2] + sigma * torch.from_numpy(grain)).requires_grad_()
        total = total + torch.autograd.grad(model(x)[0, 1], x)[0][0]
    close(found.values[2], (total / 6).sum(0).numpy())
    quiet = explain.method("smooth_grad", samples=2, noise=0.0)(model, images, PAIRS).values
    close(quiet, explain.method("gradient")(model, images, PAIRS).values)


FAMILY = {
    "deconvnet": {},
    "guided_backprop": {},
    "integrated_gradients": {"steps": 5},
    "smooth_grad": {"samples": 3},
}


@pytest.mark.parametrize("name", FAMILY)
def test_contract(images, name):
    torch.manual_seed(0)
    model = build("resnet18", 3, {"width": 0.05}).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    explainer = explain.method(name, batch_size=2, **FAMILY[name])
    found = explainer(model, images.numpy(), PAIRS)
    with torch.no_grad():
        logits = model(images).numpy()
    assert found.values.shape == (4, 14, 14) and np.abs(found.values).max((1, 2)).min() > 0
    np.testing.assert_allclose(found.score, logits[PAIRS[:, 0], PAIRS[:, 1]], rtol=1e-4)
    assert np.isnan(found.conservation).all()
    for k, (i, j) in enumerate(PAIRS):
        alone = explainer(model, images[i : i + 1], [(0, j)]).values[0]
        close(alone, found.values[k])
    assert explainer(model, images, np.empty((0, 2), int)).values.shape == (0, 14, 14)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    for wrong in ([[0, 3]], [[0, -1]]):
        with pytest.raises(ValueError, match="the network has outputs 0 to 2"):
            explainer(model, images, wrong)
    with pytest.raises(ValueError, match="not finite"):
        explainer(model, images / 0, PAIRS)
    with pytest.raises(ValueError, match="training mode"):
        explainer(build("resnet18", 3, {"width": 0.05}), images, PAIRS)
    half = explainer(model.to(torch.bfloat16), images, PAIRS).values
    assert np.corrcoef(half.ravel(), found.values.ravel())[0, 1] > 0.8


@settings(deadline=None)
@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 4))), st.integers(1, 9))
def test_frames_and_groups_hold_every_pair_once_and_no_frame_twice(pairs, n_frames):
    rows = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    seen = []
    for where, frames, position in frame_chunks(rows, n_frames):
        assert 1 <= len(frames) <= n_frames
        np.testing.assert_array_equal(frames[position], rows[where, 0])
        for group in rank_groups(position):
            assert len(set(position[group])) == len(group)
            seen.extend(group + where.start)
    assert sorted(seen) == list(range(len(rows)))


def test_options_are_checked():
    for name, wrong in (
        ("gradient", {"batch_size": 0}),
        ("guided_backprop", {"channels": "mean"}),
        ("guided_backprop", {"start": "conv"}),
        ("guided_backprop", {"layer": "layer4"}),
        ("deconvnet", {"other_activations": "ignore"}),
        ("integrated_gradients", {"steps": 0}),
        ("integrated_gradients", {"std": [1.0, 0.0, 1.0]}),
        ("smooth_grad", {"noise": -1.0}),
        ("smooth_grad", {"samples": 2.5}),
    ):
        with pytest.raises(InputError, match=rf"explain\.options\..*{next(iter(wrong))}"):
            explain.method(name, **wrong)
