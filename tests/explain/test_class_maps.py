"""Maps that a network makes of its own classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fer_batch import explain
from fer_batch.explain.class_maps import maps_of
from fer_batch.models.backbone import build

PAIRS = [[0, 0], [0, 2], [1, 1]]
X = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=["wildcat", "prm", "acol"])
def model(request) -> nn.Module:
    torch.manual_seed(0)
    options = {"channels": 8} if request.param == "acol" else {}
    return build("resnet18", 3, {"width": 0.05, "stride": 8, "head": request.param, **options}).eval()


def test_a_class_map_is_what_the_head_makes_of_the_last_maps(model):
    with torch.no_grad():
        features = X
        for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            features = getattr(model, name)(features)
        made = model.head.class_maps(features)
        expected = [made.of(torch.tensor([i]), torch.tensor([j]))[0].numpy() for i, j in PAIRS]
    found = explain.method("class_map", batch_size=1)(model, X, PAIRS)
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.score, model(X).detach().numpy()[[0, 0, 1], [0, 2, 1]], rtol=1e-4, atol=1e-6)
    assert found.values.shape == (3, 8, 8)
    assert explain.method("class_map", upsample=True)(model, X, PAIRS).values.shape == (3, 64, 64)


def test_maps_are_the_same_whatever_else_is_in_the_batch(model):
    whole = explain.method("class_map")(model, X, PAIRS)
    alone = explain.method("class_map")(model, X[1:], [[0, 1]])
    np.testing.assert_allclose(alone.values[0], whole.values[2], rtol=1e-4, atol=1e-6)


def test_of_average_pooling_and_a_linear_layer_it_is_the_cam():
    torch.manual_seed(0)
    model = build("resnet18", 3, {"width": 0.05, "head": "adl"}).eval()
    one, other = (explain.method(name)(model, X, PAIRS) for name in ("class_map", "cam"))
    np.testing.assert_allclose(one.values, other.values, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(one.score, other.score)


def test_a_network_with_neither_is_told_what_to_take():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(ValueError, match="this network has neither: take grad_cam or attention"):
        explain.method("class_map")(model.eval(), X, PAIRS)


def test_a_network_without_class_maps_is_told_what_to_take():
    with pytest.raises(
        ValueError, match=r"makes no maps of its classes; it needs a head .*network\.options\.head: wildcat"
    ):
        maps_of(build("resnet18", 2, {"width": 0.05}).eval(), X)
