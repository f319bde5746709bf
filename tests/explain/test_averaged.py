"""Integrated gradients and SmoothGrad."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

from fer_batch import explain

PAIRS = np.array([[0, 0], [0, 2], [1, 1], [2, 0]])


class Plain(nn.Module):
    """Modules for captum's hooks: every ReLU its own, none in place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(8 * 3 * 3, 10),
            nn.ReLU(),
            nn.Linear(10, 3),
        )

    def forward(self, x):
        return self.net(x)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, 3, 14, 14, generator=torch.Generator().manual_seed(1))


def by_captum(attribution, images, **arguments):
    maps = [attribution.attribute(images[i : i + 1], target=int(j), **arguments)[0] for i, j in PAIRS]
    return torch.stack(maps).detach().numpy()


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore:Input Tensor 0")
def test_saliency_and_integrated_gradients_equal_captum(images):
    model = Plain().eval()
    expected = by_captum(captum.attr.Saliency(model), images).max(1)
    close(explain.method("gradient")(model, images, PAIRS).values, expected)
    method = captum.attr.IntegratedGradients(model)
    for baseline in (0.0, 0.4):
        expected = by_captum(method, images, n_steps=20, baselines=baseline, method="gausslegendre").sum(1)
        found = explain.method("integrated_gradients", steps=20, baseline=baseline, batch_size=7)
        close(found(model, images, PAIRS).values, expected)


def test_integrated_gradients_complete_the_logit(images):
    model = Plain().eval()
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
    found = explain.method("integrated_gradients", steps=300, mean=mean, std=std)(model, images, PAIRS)
    black = -torch.tensor(mean) / torch.tensor(std)
    with torch.no_grad():
        start = model(black[None, :, None, None].expand(1, 3, 14, 14))[0].numpy()
    np.testing.assert_allclose(found.values.sum((1, 2)), found.score - start[PAIRS[:, 1]], atol=2e-3)
    assert np.isnan(found.conservation).all()


def test_smooth_grad_is_seeded_and_averages_gradients(images):
    model = Plain().eval()
    explainer = explain.method("smooth_grad", samples=6, noise=0.2, channels="sum", batch_size=4)
    found = explainer(model, images, PAIRS)
    np.testing.assert_array_equal(found.values, explainer(model, images, PAIRS).values)
    np.testing.assert_allclose(explainer(model, images[2:], [[0, 0]]).values[0], found.values[3], rtol=1e-4, atol=1e-6)
    other = explain.method("smooth_grad", samples=6, noise=0.2, channels="sum", seed=1)(model, images, PAIRS)
    assert np.abs(other.values - found.values).max() > 1e-4
    drawn = [explainer(model, images, PAIRS, rng=np.random.default_rng(5)).values for _ in range(2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])

    grains = np.random.default_rng(0).standard_normal((6, 3, 14, 14), dtype=np.float32)
    sigma = 0.2 * float(images[1].max() - images[1].min())
    total = 0.0
    for grain in grains:
        x = (images[1:2] + sigma * torch.from_numpy(grain)).requires_grad_()
        total = total + torch.autograd.grad(model(x)[0, 1], x)[0][0]
    close(found.values[2], (total / 6).sum(0).numpy())
    quiet = explain.method("smooth_grad", samples=2, noise=0.0)(model, images, PAIRS).values
    close(quiet, explain.method("gradient")(model, images, PAIRS).values)
