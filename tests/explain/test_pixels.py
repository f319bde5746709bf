"""Black, and the picture behind a network's input."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from fer_batch import explain
from fer_batch.explain.lime import LIME, drawn_samples


class Given(LIME):
    """LIME on the four quadrants."""

    def segments(self, image):
        return np.arange(16)[:, None] // 8 * 2 + np.arange(16)[None] // 8


def on_quadrants(**options) -> LIME:
    explainer = explain.method("lime", **options)
    explainer.__class__ = Given
    return explainer


def test_black_and_mean_are_those_of_the_picture():
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
    seen = []

    class Spy(nn.Module):
        def forward(self, x):
            seen.append(x.clone())
            return x.mean((2, 3))

    picture = torch.rand(3, 16, 16)
    x = (picture - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    for hide in ("black", "mean"):
        seen.clear()
        on_quadrants(hide=hide, mean=mean, std=std, n_samples=20, batch_size=8)(Spy().eval(), x[None], [[0, 0]])
        assert [len(s) for s in seen] == [8, 8, 4]
        shown = torch.cat(seen) * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
        samples = drawn_samples(20, 4, np.random.default_rng(0))
        assert not samples[5].all()
        for sample, got in zip(samples, shown, strict=True):
            corner = picture[:, :8, :8]
            hidden = torch.zeros(3, 8, 8) if hide == "black" else corner.mean((1, 2), keepdim=True).expand(3, 8, 8)
            torch.testing.assert_close(got[:, :8, :8], corner if sample[0] else hidden, atol=1e-5, rtol=0)
