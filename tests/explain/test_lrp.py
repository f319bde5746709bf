"""LRP on whole networks: against zennit run plainly, conservation, and networks that have no rules."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
import torchvision
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from timm.models.xception import Block as XceptionBlock
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.efficientnet import EfficientNet, FusedMBConvConfig, MBConvConfig
from zennit.composites import SpecialFirstLayerMapComposite
from zennit.layer import Sum
from zennit.rules import AlphaBeta, Epsilon, Flat, Norm, Pass, ZPlus
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetBottleneckCanonizer
from zennit.types import Activation, AvgPool, Convolution, Linear

from fer_batch import explain
from fer_batch.explain.rules import stabilise
from fer_batch.models.backbone import build

from .conftest import per_channel


def plain_zennit(model: nn.Module, composite, images: torch.Tensor, output: int) -> np.ndarray:
    """zennit's own hooks and canonizers on torchvision's own modules; nothing of ours but the stabiliser."""
    x = images.clone().requires_grad_()
    with composite.context(model) as modified:
        logit = modified(x)[:, output]
        (relevance,) = torch.autograd.grad(logit, x, logit.detach())
    return relevance.numpy()


def fuse(model: torchvision.models.ResNet) -> torchvision.models.ResNet:
    """BatchNorm merged by torch's own function."""
    model.conv1, model.bn1 = fuse_conv_bn_eval(model.conv1, model.bn1), nn.Identity()
    for block in (block for layer in (model.layer1, model.layer2, model.layer3, model.layer4) for block in layer):
        for k in (1, 2, 3):
            if hasattr(block, f"conv{k}"):
                fused = fuse_conv_bn_eval(getattr(block, f"conv{k}"), getattr(block, f"bn{k}"))
                setattr(block, f"conv{k}", fused)
                setattr(block, f"bn{k}", nn.Identity())
        if block.downsample is not None:
            block.downsample = fuse_conv_bn_eval(block.downsample[0], block.downsample[1])
    return model


@pytest.mark.parametrize("name", ["preset_a_flat", "preset_b_flat"])
@pytest.mark.parametrize("block", ["BasicBlock", "Bottleneck"])
def test_presets_equal_plain_zennit_in_float64(disturb, name, block):
    torch.manual_seed(0)
    kind = getattr(torchvision.models.resnet, block)
    model = disturb(torchvision.models.ResNet(kind, [1, 1, 1, 1], num_classes=4)).double()
    x = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    conv = ZPlus(stabilizer=stabilise) if name == "preset_a_flat" else AlphaBeta(2, 1, stabilizer=stabilise)
    composite = SpecialFirstLayerMapComposite(
        layer_map=[
            (Activation, Pass()),
            (AvgPool, Norm(stabilizer=stabilise)),
            (Convolution, conv),
            (nn.Linear, Epsilon(epsilon=0.1)),
            (Sum, Norm(stabilizer=stabilise)),
        ],
        first_map=[(Linear, Flat(stabilizer=stabilise))],
        canonizers=[ResNetBasicBlockCanonizer(), ResNetBottleneckCanonizer()],
    )
    found = per_channel(explain.method(name), model, x, [[0, 1], [0, 3], [1, 1], [1, 3]])
    fused = fuse(model)
    for k, output in enumerate((1, 3)):
        expected = plain_zennit(fused, composite, x, output)
        error = np.linalg.norm(found[k::2] - expected) / np.linalg.norm(expected)
        assert error < 1e-9


def test_float32_stays_close_to_float64(disturb):
    torch.manual_seed(0)
    model = disturb(build("resnet18", 4, {"width": 0.25}))
    x = torch.rand(2, 3, 112, 112)
    pairs = [[0, 0], [1, 3]]
    explainer = explain.method("preset_a_flat")
    single = per_channel(explainer, model, x, pairs)
    double = per_channel(explainer, model.double(), x, pairs)
    assert np.linalg.norm(single - double) < 1e-4 * np.linalg.norm(double)


def densenet() -> nn.Module:
    return torchvision.models.DenseNet(growth_rate=8, block_config=(2, 2), num_init_features=16, num_classes=3)


def vgg() -> nn.Module:
    features = torchvision.models.vgg.make_layers([16, "M", 24, 24, "M", 32, "M"], batch_norm=True)
    dense = (nn.Linear(32 * 49, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 3))
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(7), nn.Flatten(), *dense)


def efficientnet_v2() -> nn.Module:
    shapes = (
        (FusedMBConvConfig, 1, 3, 1, 16, 16),
        (FusedMBConvConfig, 4, 3, 2, 16, 24),
        (MBConvConfig, 4, 3, 2, 24, 32),
    )
    return EfficientNet([kind(*shape, 2) for kind, *shape in shapes], dropout=0.2, num_classes=3, last_channel=64)


def bottleneck() -> nn.Module:
    return torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, [2, 1, 1, 1], 3, width_per_group=16)


def same_padding() -> nn.Module:
    """The asymmetric padding of TensorFlow, whose weights timm's `tf_` networks take."""
    blocks = decode_arch_def([["ds_r1_k3_s2_e1_c16_se0.25"], ["ir_r1_k5_s2_e2_c16_se0.25"]])
    return timm.models.EfficientNet(blocks, 3, num_features=32, stem_size=16, pad_type="same", act_layer=nn.SiLU)


def repvgg() -> nn.Module:
    blocks = tuple(ByoBlockCfg(type="rep", d=2, c=c, s=2, gs=0) for c in (16, 24, 32))
    return ByobNet(ByoModelCfg(blocks=blocks, stem_type="rep", stem_chs=16), num_classes=3)


def xception() -> nn.Module:
    blocks = (
        XceptionBlock(16, 24, 2, 2, start_with_relu=False),
        XceptionBlock(24, 24, 3, 1),
        XceptionBlock(24, 32, 2, 2, grow_first=False),
    )
    stem = (nn.Conv2d(3, 16, 3, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(*stem, *blocks, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 3))


# One of each structure, narrow where its library allows; `benchmarks/lrp_architectures.py` has those that people bring.
BACKBONES = {
    "resnet18": lambda: build("resnet18", 3, {"width": 0.25}),
    "bottleneck": bottleneck,
    "resnetv2": lambda: build(
        "timm:resnetv2_50", 3, {"layers": [2, 2, 1, 1], "channels": (32, 48, 64, 96), "stem_chs": 16}
    ),
    "timm resnet": lambda: build("timm:resnet10t", 3),
    "densenet": densenet,
    "vgg": vgg,
    "alexnet": lambda: build("torchvision:alexnet", 3),
    "squeezenet": lambda: build("torchvision:squeezenet1_1", 3),
    "inception_v3": lambda: build("torchvision:inception_v3", 3),
    "googlenet": lambda: build("torchvision:googlenet", 3),
    "xception": xception,
    "mobilenet_v2": lambda: build("torchvision:mobilenet_v2", 3, {"width_mult": 0.25}),
    "mobilenet_v3": lambda: build("torchvision:mobilenet_v3_small", 3, {"width_mult": 0.5}),
    "timm mobilenetv3": lambda: build("timm:mobilenetv3_small_050", 3),
    "same padding": same_padding,
    "mnasnet": lambda: build("torchvision:mnasnet0_5", 3),
    "regnet_y": lambda: build("torchvision:regnet_y_400mf", 3),
    "efficientnet_v2": efficientnet_v2,
    "repvgg": repvgg,
}


@pytest.fixture(scope="module", params=BACKBONES)
def backbone(request) -> nn.Module:
    torch.manual_seed(0)
    return BACKBONES[request.param]().double()


@pytest.fixture
def frames(backbone) -> torch.Tensor:
    size = 96 if isinstance(backbone, torchvision.models.Inception3) else 64
    return torch.rand(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_every_backbone_equals_zennits_hooks_on_its_canonical_form(disturb, backbone, frames):
    model, pairs = disturb(backbone), [[0, 0], [1, 0], [1, 2]]
    fast = per_channel(explain.method("preset_a_flat"), model, frames, pairs)
    slow = per_channel(explain.method("preset_a_flat", engine="zennit"), model, frames, pairs)
    assert np.linalg.norm(fast - slow) <= 1e-9 * np.linalg.norm(slow)


def test_every_backbone_conserves_relevance_where_nothing_absorbs_it(disturb, backbone, frames):
    """Without biases and stabiliser LRP-Z sums to the logit, gates, sums and concatenations included (methods X-7)."""
    found = explain.method("z")(disturb(backbone, bias=False), frames, [[0, 0], [1, 2]])
    np.testing.assert_allclose(found.conservation, 1.0, atol=1e-5)


def test_the_resnet_conserves_up_to_its_dense_stabiliser(disturb):
    """Bias-free, alpha1-beta0 and flat pass everything on: what is lost is what the dense epsilon takes."""
    torch.manual_seed(0)
    model = disturb(build("resnet18", 3, {"width": 0.25}), bias=False).double()
    x = torch.rand(2, 3, 112, 112, dtype=torch.float64)
    free = explain.method("preset_a_flat", epsilon=0.0)(model, x, [[0, 0], [1, 2]])
    np.testing.assert_allclose(free.conservation, 1.0, atol=1e-6)
    kept = explain.method("preset_a_flat")(model, x, [[0, 0], [1, 2]])
    np.testing.assert_allclose(kept.conservation, np.abs(kept.score) / (np.abs(kept.score) + 0.1), rtol=1e-5)


def test_a_gate_takes_no_relevance():
    """A gate of 0.5 halves the signal; relevance passes to the signal whole."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Conv2d(1, 1, 1)
            nn.init.zeros_(self.gate.weight)
            nn.init.zeros_(self.gate.bias)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x * torch.sigmoid(self.gate(x))).mean((2, 3))

    x = torch.tensor([[[[1.0, 3.0]]]])
    found = explain.method("z")(Gated().eval(), x, [[0, 0]])
    np.testing.assert_allclose(found.values[0], [[0.25, 0.75]], rtol=1e-6)
    np.testing.assert_allclose(found.conservation, 1.0, rtol=1e-6)


def test_explaining_draws_no_random_numbers():
    state = torch.get_rng_state()
    model = build("resnet18", 2, {"width": 0.05}).eval()
    torch.set_rng_state(state)
    explain.method("preset_a_flat")(model, torch.zeros(1, 3, 32, 32), [[0, 0]])
    assert torch.equal(torch.get_rng_state(), state)


def test_new_weights_are_explained_anew():
    """A network that trained on is not explained by the canonical form of yesterday."""
    torch.manual_seed(0)
    model = build("resnet18", 2, {"width": 0.1}).eval()
    x, explainer = torch.rand(1, 3, 32, 32), explain.method("preset_a_flat")
    before = explainer(model, x, [[0, 0]])
    with torch.no_grad():
        model.fc.weight.mul_(2.0)
    after = explainer(model, x, [[0, 0]])
    fresh = explain.method("preset_a_flat")(model, x, [[0, 0]])
    np.testing.assert_array_equal(after.values, fresh.values)
    assert not np.allclose(after.values, before.values)
    assert explainer(model, torch.rand(1, 3, 64, 64), [[0, 0]]).values.shape == (1, 64, 64)
