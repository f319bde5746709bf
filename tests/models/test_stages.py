"""The layers of a network that stand for its stages."""

import pytest
import torch
from torch import nn

from fer_batch.models import backbone
from fer_batch.models.stages import feature_stages

RESNET = ("relu", "layer1", "layer2", "layer3", "layer4")


@pytest.mark.parametrize(
    ("architecture", "options", "size", "expected"),
    [
        ("resnet18", {"width": 0.125}, 64, RESNET),
        ("timm:efficientnet_b0", {}, 64, ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "bn2")),
        ("timm:vit_tiny_patch16_224", {"img_size": 32}, 32, ("patch_embed.proj",)),
    ],
)
def test_stages_end_where_maps_change(architecture, options, size, expected):
    assert feature_stages(backbone.build(architecture, 6, options).eval(), size) == expected


def test_stages_of_one_size_are_told_apart_by_their_channels():
    """As ResNet-50 with maps of 28x28, whose last three stages have the same size."""
    parts = [nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()) for a, b in ((3, 4), (4, 8), (8, 16), (16, 32))]
    model = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2)).eval()
    assert feature_stages(model, 16) == ("0", "1", "2", "3")
    assert feature_stages(nn.ModuleDict({"body": model})["body"], 16) == ("0", "1", "2", "3")


def test_a_network_without_maps_has_none():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)).eval()
    assert feature_stages(model, 8) == () and torch.is_grad_enabled()


def test_a_network_that_names_the_layer_of_its_attention_has_that_one():
    model = backbone.build("resnet18", 6, {"width": 0.125}).eval()
    model.attention_layer = "layer3.1"
    assert feature_stages(model, 64) == ("layer3.1",)
