"""ReLU rules (methods G-07): against captum, modules of their own, and plain loops."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models.vgg import make_layers

from fer_batch import explain
from fer_batch.explain.gradient import Gradient, sum_over_channels
from fer_batch.models.backbone import build

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
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("network", [Plain, Functional])
@pytest.mark.filterwarnings("ignore:Setting backward hooks", "ignore:Input Tensor 0")
def test_deconvnet_and_guided_backprop_equal_captum(images, network):
    ours, theirs = network().eval(), Plain().eval()
    for name, method in (("deconvnet", captum.attr.Deconvolution), ("guided_backprop", captum.attr.GuidedBackprop)):
        expected = by_captum(method(theirs), images)
        close(explain.method(name)(ours, images, PAIRS).values, expected.sum(1))
        close(explain.method(name, channels="largest")(ours, images, PAIRS).values, np.abs(expected).max(1))


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
        np.testing.assert_allclose(found.score[2], with_relu(images)[2, 1].item(), rtol=1e-5)
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
