"""Networks by name, and their intermediate features."""

from __future__ import annotations

import pytest
import torch
import torchvision

from fer_batch.models.backbone import build
from fer_batch.models.features import features
from fer_batch.types import InputError


def n_parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_g19_resnet18_has_the_published_number_of_parameters():
    model = build("resnet18", 8)
    assert n_parameters(model) == 11_180_616
    assert n_parameters(model) - n_parameters(model.fc) == 11_176_512


def test_resnet18_is_torchvisions_network():
    theirs = torchvision.models.resnet18(num_classes=3).double().eval()
    ours = build("resnet18", 3).double().eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


def test_width_scales_the_channels():
    model = build("resnet18", 2, {"width": 0.25})
    assert model.fc.in_features == 128
    assert n_parameters(model) < 11_180_616 / 15


@pytest.mark.parametrize(
    "name", ["torchvision:mobilenet_v3_small", "torchvision:squeezenet1_1", "timm:resnet10t", "resnet18"]
)
def test_every_library_gets_a_head_of_the_right_size(name):
    model = build(name, 5).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet81", {}, "did you mean 'resnet18'"),
        ("torchvision:resnet81", {}, "did you mean 'resnet18'"),
        ("timm:resnet_from_mars", {}, "unknown to timm"),
        ("keras:vgg16", {}, "torchvision:NAME or timm:NAME"),
        ("resnet18", {"depth": 3}, "do not fit resnet18"),
        ("resnet18", {"width": 0.0}, "without channels"),
    ],
)
def test_unknown_networks_are_answered_with_known_ones(name, options, message):
    with pytest.raises(InputError, match=message):
        build(name, 2, options)


def test_features_come_with_the_logits_and_carry_gradients():
    model = build("resnet18", 2, {"width": 0.1}).double().eval()
    x = torch.rand(2, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    logits, found = features(model, x, ["layer1", "layer4", "conv1"])
    torch.testing.assert_close(logits, model(x))
    assert found["layer4"].shape == (2, 51, 2, 2)
    assert found["conv1"].min() < 0, "the feature must be the module's output, not what an in-place ReLU left of it"
    found["layer1"].sum().backward()
    assert x.grad is not None
    assert not model.layer4._forward_hooks


def test_an_unknown_feature_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'layer4'"):
        features(build("resnet18", 2, {"width": 0.1}), torch.zeros(1, 3, 64, 64), ["layer5"])
