"""LRP on small networks of every family: gradient times input, pixel noise, conservation, a planted patch.

What is expected comes from plain autograd on the network itself, in float64. `benchmarks/lrp_architectures.py` does the
same with the networks in full.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from timm.models.xception import Block
from torch import nn
from torchvision.models.efficientnet import EfficientNet, MBConvConfig

from fer_batch import explain
from fer_batch.explain.conservation import CONSERVATION_BAND
from fer_batch.models.backbone import build

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "lrp_architectures.py"
SIZE = 48


def densenet(n: int) -> nn.Module:
    return torchvision.models.DenseNet(growth_rate=8, block_config=(2, 3), num_init_features=16, num_classes=n)


def resnet_v2(n: int) -> nn.Module:
    return build("timm:resnetv2_50", n, {"layers": [2, 2, 1, 1], "channels": (32, 48, 64, 96), "stem_chs": 16})


def repvgg(n: int) -> nn.Module:
    blocks = tuple(ByoBlockCfg(type="rep", d=2, c=c, s=2, gs=0) for c in (16, 24, 32))
    return ByobNet(ByoModelCfg(blocks=blocks, stem_type="rep", stem_chs=16), num_classes=n)


def xception(n: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        Block(16, 24, 2, 2, start_with_relu=False),
        Block(24, 24, 3, 1),
        Block(24, 24, 3, 1),
        Block(24, 32, 2, 2, grow_first=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, n),
    )


def vgg_bn(n: int) -> nn.Module:
    features = torchvision.models.vgg.make_layers([16, "M", 24, 24, "M", 32, "M"], batch_norm=True)
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, n))


def efficientnet(n: int) -> nn.Module:
    settings = [MBConvConfig(1, 3, 1, 16, 8, 1, 1.0, 1.0), MBConvConfig(4, 3, 2, 8, 16, 2, 1.0, 1.0)]
    return EfficientNet(settings, dropout=0.0, last_channel=64, num_classes=n)


NETWORKS = {
    "resnet18": lambda n: build("resnet18", n, {"width": 0.25}),
    "densenet": densenet,
    "resnet_v2": resnet_v2,
    "repvgg": repvgg,
    "xception": xception,
    "vgg_bn": vgg_bn,
    "squeezenet": lambda n: build("torchvision:squeezenet1_1", n),
    "mobilenet_v2": lambda n: build("torchvision:mobilenet_v2", n, {"width_mult": 0.5}),
    "mobilenet_v3": lambda n: build("torchvision:mobilenet_v3_small", n, {"width_mult": 0.5}),
    "efficientnet": efficientnet,
}


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("lrp_architectures", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module", params=NETWORKS)
def measured(request, bench):
    torch.manual_seed(3)
    model = bench.calibrated(NETWORKS[request.param](3).double(), SIZE, 3)
    return bench.measure(request.param, model, SIZE, 3)


def test_z_is_gradient_times_input_of_the_network_itself(measured):
    """Plain autograd; with smooth activations and gates it takes secant slopes and holds the gates (see `Secants`)."""
    assert measured.identity < 1e-9
    assert (measured.reference == "plain") == (not measured.network.startswith(("mobilenet", "efficientnet")))


def test_noise_far_below_a_grey_level_leaves_the_maps(measured):
    """1e-4 is a fortieth of a grey level: what moves by more than a tenth of its variance under it is noise itself."""
    assert {name: r for name, r in measured.noise.items() if not r > 0.95} == {}
    assert list(measured.refused) == (["preset_b_flat"] if measured.network in ("densenet", "resnet_v2") else [])


@pytest.mark.parametrize("name", ["resnet_v2", "xception"])
def test_a_planted_patch_holds_more_relevance_than_gradient_times_input_gives_it(bench, name):
    torch.manual_seed(0)
    model, accuracy = bench.see_patch(NETWORKS[name](2), 64, seed=0, steps=30)
    assert accuracy > 0.9
    shares, conservation = bench.patch_shares(model, 64, seed=0)
    for composite in ("preset_a_flat", "epsilon_gamma_box"):
        assert shares[composite] > shares["gradient_times_input"]
    low, high = CONSERVATION_BAND
    assert low <= conservation["preset_a_flat"] <= high


def test_a_reparameterised_network_is_explained_as_its_single_branches_are(bench):
    torch.manual_seed(0)
    model = bench.calibrated(repvgg(3).double(), SIZE, 0)
    x, pairs = bench.images(1, SIZE, 5), [[0, 0], [0, 2]]
    found = explain.method("preset_a_flat").per_channel(model, x, pairs)
    for module in list(model.modules()):
        if hasattr(module, "reparameterize"):
            module.reparameterize()
    model.eval()
    expected = explain.method("preset_a_flat").per_channel(model, x, pairs)
    assert np.linalg.norm(found - expected) <= 1e-9 * np.linalg.norm(expected)


def test_beta_is_refused_where_a_batch_norm_cannot_be_merged():
    with pytest.raises(ValueError, match=r"denselayer1\.norm1': preset_b_flat is not stable"):
        explain.method("preset_b_flat")(densenet(2).eval(), torch.rand(1, 3, SIZE, SIZE), [[0, 0]])
    found = explain.method("preset_a_flat")(densenet(2).eval(), torch.rand(1, 3, SIZE, SIZE), [[0, 0]])
    assert np.isfinite(found.values).all()
