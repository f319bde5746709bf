"""Which layer gives the feature maps, and what shape they have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from fer_batch import explain
from fer_batch.explain.layers import as_grid, default_layer
from fer_batch.models.backbone import build


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    model = build("resnet18", 3, {"width": 0.1})
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    return model.eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, 3, 96, 64, generator=torch.Generator().manual_seed(1))


def close(found, expected, tolerance=1e-4):
    np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


ARCHITECTURES = {
    "resnet18": ({"width": 0.05}, "layer4", (26, 2, 2)),
    "torchvision:mobilenet_v3_small": ({}, "features", (576, 2, 2)),
    "torchvision:squeezenet1_1": ({}, "classifier.2", (3, 3, 3)),
    "torchvision:regnet_y_400mf": ({}, "trunk_output", (440, 2, 2)),
    "torchvision:swin_t": ({}, "permute", (768, 2, 2)),
    "timm:resnet10t": ({}, "layer4", (512, 2, 2)),
    "timm:convnext_atto": ({}, "norm_pre", (320, 2, 2)),
    "timm:vit_tiny_patch16_224": ({"img_size": 64, "depth": 2}, "blocks.1.norm1", (192, 4, 4)),
    "timm:vit_tiny_patch16_224 ": ({"img_size": (64, 32), "depth": 2, "global_pool": "avg"}, "norm", (192, 4, 2)),
    "timm:deit_tiny_distilled_patch16_224": ({"img_size": 64, "depth": 2}, "blocks.1.norm1", (192, 4, 4)),
    "timm:swin_tiny_patch4_window7_224": ({"img_size": 64, "depths": (1, 1, 1, 1)}, "norm", (768, 2, 2)),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_layer_of_many_networks_is_found(architecture):
    options, layer, shape = ARCHITECTURES[architecture]
    size = options.get("img_size", 64)
    height, width = size if isinstance(size, tuple) else (size, size)
    torch.manual_seed(0)
    model = build(architecture.strip(), 3, options).eval()
    found = default_layer(model, (3, height, width))
    x = torch.rand(1, 3, height, width)
    kept = {}
    model.get_submodule(found).register_forward_hook(lambda m, i, o: kept.update(o=o.detach().clone()))
    with torch.no_grad():
        model(x)
    assert (found, tuple(as_grid(kept["o"], (height, width)).shape[1:])) == (layer, shape)
    maps = explain.method("layer_cam")(model, x, [[0, 0], [0, 1], [0, 2]])
    assert maps.values.shape == (3, *shape[1:])
    mean = as_grid(kept["o"], (height, width)).mean(1)
    close(explain.method("attention")(model, x, [[0, -1]]).values, mean.numpy())


def test_a_head_of_zeros_does_not_settle_the_layer():
    torch.manual_seed(0)
    size = {"image_size": 64, "patch_size": 16, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}
    model = VisionTransformer(**size, num_classes=3).eval()
    assert not model.heads.head.weight.any()
    assert default_layer(model, (3, 64, 64)) == "encoder"
    model.heads.head.weight.data.normal_()
    assert default_layer(model, (3, 64, 64)) == "encoder.layers.encoder_layer_1.ln_1"


def test_tokens_become_the_grid_they_were_cut_from():
    tokens = torch.arange(2 * 9 * 5).view(2, 9, 5).float()
    found = as_grid(tokens, (32, 64))
    assert found.shape == (2, 5, 2, 4)
    np.testing.assert_array_equal(found[1, 3, 1, 2], tokens[1, 1 + 1 * 4 + 2, 3])
    assert as_grid(torch.zeros(2, 10, 5), (32, 64)).shape == (2, 5, 2, 4)
    assert as_grid(torch.zeros(2, 8, 5), (32, 64)).shape == (2, 5, 2, 4)
    assert as_grid(torch.zeros(2, 7, 5), (32, 64)) is None
    assert as_grid(torch.zeros(2, 7, 7, 768), (224, 224)).shape == (2, 768, 7, 7)
    assert as_grid(torch.zeros(2, 768, 7, 7), (224, 224)).shape == (2, 768, 7, 7)
    assert as_grid(torch.zeros(2, 512, 1, 1), (224, 224)) is None
    assert as_grid(torch.zeros(2, 512), (224, 224)) is None


def test_a_network_without_feature_maps_says_so():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
    with pytest.raises(ValueError, match=r"no layer with feature maps; name one with explain\.options\.layer"):
        explain.method("grad_cam")(model, torch.rand(1, 3, 2, 2), [[0, 0]])


def test_a_layer_of_no_consequence_is_refused(images):
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.idle, self.conv = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3)

        def forward(self, x):
            self.idle(x)
            return self.conv(x).mean((2, 3))

    with pytest.raises(ValueError, match="logits do not depend on the layer"):
        explain.method("grad_cam", layer="idle")(Idle().eval(), images, [[0, 0]])


def test_a_network_names_the_layer_that_its_head_reads(model, images):
    model.feature_layer = "layer3"
    try:
        assert default_layer(model, (3, 96, 64)) == "layer3"
        found, named = (explain.method("grad_cam", **o)(model, images, [[0, 1]]) for o in ({}, {"layer": "layer3"}))
        np.testing.assert_array_equal(found.values, named.values)
        model.feature_layer = "layer_3"
        with pytest.raises(ValueError, match="no module 'layer_3'; did you mean 'layer3'"):
            explain.method("grad_cam")(model, images, [[0, 1]])
    finally:
        del model.feature_layer
    assert default_layer(model, (3, 96, 64)) == "layer4"
