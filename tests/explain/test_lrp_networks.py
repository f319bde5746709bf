"""LRP on whole networks: against zennit run plainly, conservation, and networks that have no rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval
from zennit.composites import SpecialFirstLayerMapComposite
from zennit.layer import Sum
from zennit.rules import AlphaBeta, Epsilon, Flat, Norm, Pass, ZPlus
from zennit.torchvision import ResNetBasicBlockCanonizer, ResNetBottleneckCanonizer
from zennit.types import Activation, AvgPool, Convolution, Linear

from fer_batch import explain
from fer_batch.explain.canonizers import canonize
from fer_batch.explain.rules import stabilise
from fer_batch.models.backbone import build


def disturb(model: nn.Module, bias: bool = True) -> nn.Module:
    """BatchNorm statistics as training leaves them, or without any offset in the network."""
    generator = torch.Generator().manual_seed(7)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2.0, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.running_mean.normal_(0, 0.1 if bias else 0.0, generator=generator)
            module.bias.data.normal_(0, 0.1 if bias else 0.0, generator=generator)
        elif isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None and not bias:
            module.bias.data.zero_()
    return model.eval()


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
def test_presets_equal_plain_zennit_in_float64(name, block):
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
    found = explain.method(name).per_channel(model, x, [[0, 1], [0, 3], [1, 1], [1, 3]])
    fused = fuse(model)
    for k, output in enumerate((1, 3)):
        expected = plain_zennit(fused, composite, x, output)
        error = np.linalg.norm(found[k::2] - expected) / np.linalg.norm(expected)
        assert error < 1e-9


def test_float32_stays_close_to_float64():
    torch.manual_seed(0)
    model = disturb(build("resnet18", 4, {"width": 0.25}))
    x = torch.rand(2, 3, 112, 112)
    pairs = [[0, 0], [1, 3]]
    explainer = explain.method("preset_a_flat")
    single = explainer.per_channel(model, x, pairs)
    double = explainer.per_channel(model.double(), x, pairs)
    assert np.linalg.norm(single - double) < 1e-4 * np.linalg.norm(double)


def densenet() -> nn.Module:
    return torchvision.models.DenseNet(growth_rate=8, block_config=(2, 2), num_init_features=16, num_classes=3)


QUICK = {
    "resnet18": lambda: build("resnet18", 3, {"width": 0.25}),
    "densenet": densenet,
    "squeezenet": lambda: build("torchvision:squeezenet1_1", 3),
    "mobilenet_v2": lambda: build("torchvision:mobilenet_v2", 3, {"width_mult": 0.25}),
    "mobilenet_v3": lambda: build("torchvision:mobilenet_v3_small", 3, {"width_mult": 0.5}),
    "timm mobilenetv3": lambda: build("timm:mobilenetv3_small_050", 3),
    "timm resnet": lambda: build("timm:resnet10t", 3),
}
SLOW = {
    name.partition(":")[2]: lambda name=name: build(name, 3)
    for name in (
        "torchvision:resnet50",
        "torchvision:vgg16",
        "torchvision:vgg19",
        "torchvision:mobilenet_v3_large",
        "torchvision:vgg11_bn",
        "torchvision:alexnet",
        "torchvision:inception_v3",
        "torchvision:googlenet",
        "torchvision:mnasnet0_5",
        "torchvision:regnet_y_400mf",
        "torchvision:efficientnet_b0",
        "torchvision:efficientnet_v2_s",
        "timm:resnetv2_50",
        "timm:legacy_xception",
        "timm:repvgg_a0",
        "timm:tf_efficientnet_b0",
    )
}


@pytest.fixture(scope="module", params=[*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def backbone(request) -> nn.Module:
    torch.manual_seed(0)
    return {**QUICK, **SLOW}[request.param]().double()


@pytest.fixture
def frames(backbone) -> torch.Tensor:
    size = 96 if isinstance(backbone, torchvision.models.Inception3) else 64
    return torch.rand(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_every_backbone_equals_zennits_hooks_on_its_canonical_form(backbone, frames):
    model, pairs = disturb(backbone), [[0, 0], [1, 0], [1, 2]]
    fast = explain.method("preset_a_flat").per_channel(model, frames, pairs)
    slow = explain.method("preset_a_flat", engine="zennit").per_channel(model, frames, pairs)
    assert np.linalg.norm(fast - slow) <= 1e-9 * np.linalg.norm(slow)


def test_every_backbone_conserves_relevance_where_nothing_absorbs_it(backbone, frames):
    """Without biases and stabiliser LRP-Z sums to the logit, gates, sums and concatenations included (methods X-7)."""
    found = explain.method("z")(disturb(backbone, bias=False), frames, [[0, 0], [1, 2]])
    np.testing.assert_allclose(found.conservation, 1.0, atol=1e-5)


def test_the_resnet_conserves_up_to_its_dense_stabiliser():
    """Bias-free, alpha1-beta0 and flat pass everything on: what is lost is what the dense epsilon takes."""
    torch.manual_seed(0)
    model = disturb(build("resnet18", 3, {"width": 0.25}), bias=False).double()
    x = torch.rand(2, 3, 112, 112, dtype=torch.float64)
    free = explain.method("preset_a_flat", epsilon=0.0)(model, x, [[0, 0], [1, 2]])
    np.testing.assert_allclose(free.conservation, 1.0, atol=1e-6)
    kept = explain.method("preset_a_flat")(model, x, [[0, 0], [1, 2]])
    np.testing.assert_allclose(kept.conservation, np.abs(kept.score) / (np.abs(kept.score) + 0.1), rtol=1e-5)


class Functional(nn.Module):
    """Everything that hooks on modules cannot see: functional layers, in-place work, gates, sums, shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding="same", groups=2)
        self.norm = nn.BatchNorm2d(8)
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        self.head = nn.Linear(16 * 4 * 4, 3)
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = (x - 0.5) / 0.25
        a = functional.relu(self.conv1(x), inplace=True)
        b = functional.silu(self.norm(self.conv2(functional.pad(a, (1, 1, 0, 2)))))
        gate = torch.sigmoid(self.excite(functional.relu(self.squeeze(b.mean((2, 3), keepdim=True)))))
        b = b * gate
        b += functional.pad(a, (1, 1, 0, 2))
        b = functional.max_pool2d(b * self.scale, 2)
        b = functional.adaptive_avg_pool2d(torch.cat([b, torch.relu(b)], dim=1), 4)
        return self.head(b.view(b.size(0), -1))


@pytest.mark.parametrize("name", ["preset_a_flat", "preset_b_flat", "z", "epsilon_gamma_box"])
def test_functional_networks_are_seen_whole(name):
    torch.manual_seed(0)
    model = disturb(Functional()).double()
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    options = {"low": [-2.0] * 3, "high": [2.0] * 3} if name == "epsilon_gamma_box" else {}
    pairs = [[0, 0], [0, 1], [1, 2]]
    fast = explain.method(name, **options).per_channel(model, x, pairs)
    slow = explain.method(name, engine="zennit", **options).per_channel(model, x, pairs)
    assert np.linalg.norm(fast - slow) <= 1e-9 * np.linalg.norm(slow)


class PadsBySize(nn.Module):
    """Python decides from the size of the image; symbolic tracing cannot follow, export can (timm's `tf_` networks)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3, stride=2, bias=False), nn.BatchNorm2d(6)
        self.squeeze, self.head = nn.Conv2d(6, 6, 1), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        missing = max((-(-x.shape[-1] // 2) - 1) * 2 + 3 - x.shape[-1], 0)
        if missing > 0:
            x = functional.pad(x, (missing // 2, missing - missing // 2) * 2)
        a = functional.silu(self.norm(self.conv(x)), inplace=True)
        a = a + a * torch.sigmoid(self.squeeze(a.mean((2, 3), keepdim=True)))
        return self.head(functional.adaptive_avg_pool2d(a, 1).flatten(1))


@pytest.mark.parametrize("name", ["preset_a_flat", "z"])
def test_networks_that_decide_by_size_are_exported(name):
    torch.manual_seed(0)
    model = disturb(PadsBySize()).double()
    x, pairs = torch.rand(3, 3, 16, 16, dtype=torch.float64), [[0, 0], [0, 1], [1, 0], [2, 1]]
    fast = explain.method(name).per_channel(model, x, pairs)
    slow = explain.method(name, engine="zennit").per_channel(model, x, pairs)
    assert np.linalg.norm(fast - slow) <= 1e-9 * np.linalg.norm(slow)
    found = explain.method("z")(disturb(model, bias=False), x, pairs)
    np.testing.assert_allclose(found.conservation, 1.0, atol=1e-6)


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


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.LayerNorm(32), r"layer '1' \(LayerNorm\) has no relevance rule; supported: convolution"),
        (nn.GroupNorm(1, 4), r"layer '1' \(GroupNorm\)"),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), "padding_mode 'reflect'"),
        (nn.Conv2d(4, 4, 2, padding="same"), "'same' padding of an even kernel"),
        (nn.BatchNorm2d(4, track_running_stats=False), "depend on the other frames"),
        (nn.Softmax(1), "explanations start at the logits"),
    ],
)
def test_a_layer_without_a_rule_is_refused_by_name(layer, message):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), layer, nn.Flatten(), nn.Linear(4 * 32 * 32, 2)).eval()
    with pytest.raises(ValueError, match=message):
        explain.method("preset_a_flat")(model, torch.rand(1, 3, 32, 32), [[0, 0]])


class Refused(nn.Module):
    def __init__(self, forward) -> None:
        super().__init__()
        self.conv, self.function = nn.Conv2d(3, 4, 3, padding=1), forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self.conv(x))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: (x if x.sum() > 0 else -x).mean((2, 3)), "cannot be traced"),
        (lambda x: x.cumsum(1).mean((2, 3)), r"\(cumsum\) has no relevance rule"),
        (lambda x: (x * x).mean((2, 3)), r"\(mul\) has no relevance rule"),
        (lambda x: x.mean(0, keepdim=True).mean((2, 3)), r"logits \(N, targets\)"),
        (lambda x: x, r"must return logits \(N, targets\), got \(2, 4, 32, 32\)"),
        (lambda x: (x, x), "one tensor of logits"),
        (lambda x: (x - x.mean(0)).mean((2, 3)), r"\(sub\) has no relevance rule"),
    ],
)
def test_an_operation_without_a_rule_is_refused_by_name(function, message):
    with pytest.raises(ValueError, match=message):
        explain.method("preset_a_flat")(Refused(function).eval(), torch.rand(1, 3, 32, 32), [[0, 0]])


def test_transformers_are_refused_not_misread():
    model = build("timm:vit_tiny_patch16_224", 2, {"img_size": 32}).eval()
    with pytest.raises(ValueError, match=r"has no relevance rule|cannot be traced|does not take images"):
        explain.method("preset_a_flat")(model, torch.rand(1, 3, 32, 32), [[0, 0]])


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


def test_the_canonical_form_merges_every_batch_norm_and_shares_nothing():
    model = disturb(build("resnet18", 2, {"width": 0.1})).double()
    network = canonize(model, (3, 32, 32))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    theirs = {parameter.data_ptr() for parameter in model.parameters()}
    assert not theirs & {parameter.data_ptr() for parameter in network.parameters()}
    x = torch.rand(4, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x), model(x), rtol=1e-9, atol=1e-9)


def test_a_network_that_tracing_cannot_see_through_is_refused():
    class Hooked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 1)
            self.conv.register_forward_hook(lambda module, inputs, output: output * 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).mean((2, 3))

    with pytest.raises(ValueError, match="gives other logits than the network"):
        explain.method("z")(Hooked().eval(), torch.rand(1, 3, 8, 8), [[0, 0]])
