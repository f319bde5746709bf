"""Layer attention: a map without target."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fer_batch import explain
from fer_batch.explain.attention import attention_map
from fer_batch.models.backbone import build


def test_g12_mean_over_the_channels():
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[3.0, 0.0], [1.0, 0.0]]]])
    np.testing.assert_array_equal(attention_map(features)[0], [[2, 1], [2, 2]])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build("resnet18", 3, {"width": 0.1}).double().eval()


def test_it_is_the_mean_feature_map_of_the_named_layer(model):
    x = torch.rand(3, 3, 64, 64, dtype=torch.float64)
    found = explain.method("attention", layer="layer2", batch_size=2)(model, x, [[0, -1], [1, -1], [2, -1]])
    with torch.no_grad():
        early = model.maxpool(model.relu(model.bn1(model.conv1(x))))
        expected = model.layer2(model.layer1(early)).mean(1)
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)
    assert np.isnan(found.score).all()


def test_a_pair_with_a_target_has_the_same_map_and_a_score(model):
    x = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    found = explain.method("attention")(model, x, [[0, -1], [0, 2], [1, 0]])
    np.testing.assert_array_equal(found.values[0], found.values[1])
    assert np.isnan(found.score[0])
    with torch.no_grad():
        np.testing.assert_allclose(found.score[1:], model(x)[[0, 1], [2, 0]], rtol=1e-5)
    with pytest.raises(ValueError, match="output -2; a map without target has output -1"):
        explain.method("attention")(model, x, [[0, -2]])
    with pytest.raises(ValueError, match="output 3; the network has outputs 0 to 2"):
        explain.method("attention")(model, x, [[0, -1], [0, 3]])
