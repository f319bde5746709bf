"""Attention-based dropout: its two masks in plain loops, training only, names and weights untouched."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from fer_batch import explain
from fer_batch.models.attention_dropout import AttentionDropout, drop_mask, importance_map, with_attention_dropout
from fer_batch.models.backbone import build
from fer_batch.types import InputError

FEATURES = torch.rand(3, 4, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def masks_in_loops(features, threshold):
    drop, importance = np.zeros((3, 1, 5, 6)), np.zeros((3, 1, 5, 6))
    for i in range(3):
        attention = sum(features[i, k] for k in range(4)) / 4
        for y, x in np.ndindex(5, 6):
            drop[i, 0, y, x] = 1.0 if attention[y, x] < threshold * attention.max() else 0.0
            importance[i, 0, y, x] = 1 / (1 + np.exp(-attention[y, x]))
    return drop, importance


def test_masks_equal_plain_loops():
    drop, importance = masks_in_loops(FEATURES.numpy(), 0.7)
    np.testing.assert_array_equal(drop_mask(FEATURES, 0.7), drop)
    np.testing.assert_allclose(importance_map(FEATURES), importance, rtol=1e-12)
    assert 0 < drop.mean() < 1


@pytest.mark.parametrize(("drop_rate", "chosen"), [(1.0, 0), (0.0, 1)])
def test_training_multiplies_by_the_mask_that_is_drawn(drop_rate, chosen):
    layer = AttentionDropout(drop_rate, 0.7).train()
    np.testing.assert_allclose(layer(FEATURES), FEATURES * masks_in_loops(FEATURES.numpy(), 0.7)[chosen], rtol=1e-12)


def test_the_drop_mask_comes_with_its_probability_and_the_seed_decides():
    layer = AttentionDropout(0.25, 0.7).train()
    dropped = [bool((layer(FEATURES) == 0).any()) for _ in range(400)]
    assert 0.15 < np.mean(dropped) < 0.35
    torch.manual_seed(3)
    one = [bool((layer(FEATURES) == 0).any()) for _ in range(20)]
    torch.manual_seed(3)
    assert one == [bool((layer(FEATURES) == 0).any()) for _ in range(20)]


@pytest.fixture(scope="module")
def pair() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    plain = build("resnet18", 3, {"width": 0.05}).eval()
    dropping = build("resnet18", 3, {"width": 0.05, "head": "adl"}).eval()
    dropping.load_state_dict(plain.state_dict())
    return plain, dropping


def test_in_evaluation_the_network_is_the_same_and_so_are_its_maps(pair):
    plain, dropping = pair
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(plain(x), dropping(x))
    for name in ("cam", "grad_cam", "preset_a_flat"):
        one, other = (explain.method(name)(model, x, [[0, 1], [1, 2]]).values for model in pair)
        np.testing.assert_array_equal(one, other)


def test_the_default_layers_are_the_first_of_layer3_and_the_ends_of_layer4(pair):
    names = [name for name, module in pair[1].named_modules() if isinstance(module, AttentionDropout)]
    assert names == [f"{layer}.attention_dropout" for layer in ("layer3.0", "layer4.0", "layer4.1")]


def test_in_training_the_named_layers_are_masked_and_a_copy_drops_by_itself(pair):
    model = copy.deepcopy(pair[1]).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    seen = {}
    model.layer4[0].relu.register_forward_hook(lambda _m, _i, output: seen.__setitem__("before", output.clone()))
    model.layer4[0].register_forward_hook(lambda _m, _i, output: seen.__setitem__("after", output.clone()))
    model.layer4[0].attention_dropout.drop_rate = 0.0
    model(torch.rand(2, 3, 64, 64))
    torch.testing.assert_close(seen["after"], seen["before"] * importance_map(seen["before"]))
    assert pair[1].layer4[0].attention_dropout.drop_rate == 0.4


def test_a_stage_of_several_blocks_is_masked_once():
    stage = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    x = torch.rand(1, 3, 5, 5)
    expected = stage(x)
    model = with_attention_dropout(nn.Sequential(stage), ("0",), drop_rate=0.0).train()
    torch.testing.assert_close(model(x), expected * importance_map(expected))


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("vgg16", {}, "head adl needs the names of the layers"),
        ("resnet18", {"layers": ["layer4.2"]}, r"no module 'layer4.2'; did you mean 'layer4"),
        ("resnet18", {"layers": 4}, "expected names of modules"),
        ("resnet18", {"drop_rate": 2}, "options.drop_rate must be a number between 0 and 1"),
    ],
)
def test_impossible_options_are_refused(architecture, options, message):
    with pytest.raises(InputError, match=message), torch.device("meta"):
        build(architecture, 2, {"head": "adl", **options})


def test_any_network_takes_it_where_layers_are_named():
    with torch.device("meta"):
        model = build("vgg16", 2, {"head": "adl", "layers": "features.29"})
    assert model.features[29].attention_dropout.threshold == 0.9
