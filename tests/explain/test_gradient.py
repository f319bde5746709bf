"""The gradient family: rules at ReLUs, wherever they are, against hand-worked numbers and captum."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fer_batch import explain
from fer_batch.models.backbone import build
from fer_batch.types import InputError

PAIRS = np.array([[0, 0], [0, 2], [1, 1], [2, 0]])


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, 3, 14, 14, generator=torch.Generator().manual_seed(1))


FAMILY = {
    "deconvnet": {},
    "guided_backprop": {},
    "integrated_gradients": {"steps": 5},
    "smooth_grad": {"samples": 3},
}


@pytest.mark.parametrize("name", FAMILY)
def test_contract(images, name):
    torch.manual_seed(0)
    model = build("resnet18", 3, {"width": 0.05}).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    explainer = explain.method(name, batch_size=2, **FAMILY[name])
    found = explainer(model, images.numpy(), PAIRS)
    with torch.no_grad():
        logits = model(images).numpy()
    assert found.values.shape == (4, 14, 14) and np.abs(found.values).max((1, 2)).min() > 0
    np.testing.assert_allclose(found.score, logits[PAIRS[:, 0], PAIRS[:, 1]], rtol=1e-4)
    assert np.isnan(found.conservation).all()
    for k, (i, j) in enumerate(PAIRS):
        alone = explainer(model, images[i : i + 1], [(0, j)]).values[0]
        np.testing.assert_allclose(alone, found.values[k], atol=1e-4 * np.abs(alone).max())
    assert explainer(model, images, np.empty((0, 2), int)).values.shape == (0, 14, 14)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    for wrong in ([[0, 3]], [[0, -1]]):
        with pytest.raises(ValueError, match="the network has outputs 0 to 2"):
            explainer(model, images, wrong)
    with pytest.raises(ValueError, match="not finite"):
        explainer(model, images / 0, PAIRS)
    with pytest.raises(ValueError, match="training mode"):
        explainer(build("resnet18", 3, {"width": 0.05}), images, PAIRS)
    half = explainer(model.to(torch.bfloat16), images, PAIRS).values
    assert np.corrcoef(half.ravel(), found.values.ravel())[0, 1] > 0.8


def test_options_are_checked():
    for name, wrong in (
        ("gradient", {"batch_size": 0}),
        ("guided_backprop", {"channels": "mean"}),
        ("guided_backprop", {"start": "conv"}),
        ("guided_backprop", {"layer": "layer4"}),
        ("deconvnet", {"other_activations": "ignore"}),
        ("integrated_gradients", {"steps": 0}),
        ("integrated_gradients", {"std": [1.0, 0.0, 1.0]}),
        ("smooth_grad", {"noise": -1.0}),
        ("smooth_grad", {"samples": 2.5}),
    ):
        with pytest.raises(InputError, match=rf"explain\.options\..*{next(iter(wrong))}"):
            explain.method(name, **wrong)
