"""Peak response maps against the paper's transition probabilities in plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fer_batch import explain
from fer_batch.explain.peak_response import peak_start, walked
from fer_batch.models.backbone import build
from fer_batch.models.class_maps import plain


class Chain(nn.Module):
    """Two convolutions with a ReLU, an average pooling, and a class map by a third."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.maps = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 2, 1)
        for module in self.children():
            nn.init.normal_(module.weight, 0.1, 0.5)  # an all but negative convolution would end every walk

    def class_maps(self, x):
        x = torch.relu(self.two(torch.relu(self.one(x))))
        maps = self.maps(nn.functional.avg_pool2d(x, 2, 1))
        return plain(maps.mean((2, 3)), maps)

    def forward(self, x):
        return self.class_maps(x).logits


@pytest.fixture
def chain() -> Chain:
    return Chain().double().eval()


def step_in_loops(p_out, u, weight, stride, padding):
    """Zhou et al. (2018), Eq. 5: from the probabilities of outputs (O, p, q) to those of inputs (I, i, j)."""
    p_in = np.zeros_like(u)
    for o, p, q in np.ndindex(*p_out.shape):
        if p_out[o, p, q] == 0:
            continue
        moves = {}
        for c, a, b in np.ndindex(*weight.shape[1:]):
            i, j = p * stride + a - padding, q * stride + b - padding
            if 0 <= i < u.shape[1] and 0 <= j < u.shape[2]:
                moves[c, i, j] = u[c, i, j] * max(weight[o, c, a, b], 0.0)
        total = sum(moves.values())
        for place, value in moves.items():
            p_in[place] += p_out[o, p, q] * value / total if total else 0.0
    return p_in


def in_loops(chain, x, output, start):
    """The walk through the chain; the pooling is an affine layer whose derivative is 1/4 for each of its inputs."""
    with torch.no_grad():
        a = torch.relu(chain.one(x))
        b = torch.relu(chain.two(a))
        pooled = nn.functional.avg_pool2d(b, 2, 1)
    p = np.zeros((2, *start.shape))
    p[output] = start
    p = step_in_loops(p, pooled[0].numpy(), chain.maps.weight.detach().numpy(), 1, 0)
    spread = np.zeros(b[0].shape)
    for k, y, z in np.ndindex(*p.shape):
        spread[k, y : y + 2, z : z + 2] += p[k, y, z] / 4
    spread *= (b[0] > 0).numpy()
    p = step_in_loops(spread, a[0].numpy(), chain.two.weight.detach().numpy(), 2, 0) * (a[0] > 0).numpy()
    p = step_in_loops(p, x[0].numpy() - min(float(x.min()), 0), chain.one.weight.detach().numpy(), 1, 1).sum(0)
    return p / p.sum()


@pytest.mark.parametrize("lowest", [0.0, -0.7], ids=["pixels from 0", "mean taken off"])
@pytest.mark.parametrize("peaks", ["highest", "all"])
def test_a_peak_response_map_is_the_papers_walk(chain, peaks, lowest):
    x = torch.rand(2, 2, 11, 10, generator=torch.Generator().manual_seed(3), dtype=torch.float64) + lowest
    pairs = [[0, 0], [0, 1], [1, 1]]
    found = explain.method("peak_response", peaks=peaks, threshold=0.3)(chain, x, pairs)
    maps = chain.class_maps(x).responses.detach()
    for k, (i, j) in enumerate(pairs):
        start = peak_start(maps[i, j][None], 3, 0.3, peaks == "highest")[0].numpy()
        np.testing.assert_allclose(found.values[k], in_loops(chain, x[i : i + 1], j, start), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.values.sum((1, 2)), 1, rtol=1e-5)
    np.testing.assert_allclose(found.score, chain(x).detach().numpy()[[0, 0, 1], [0, 1, 1]], rtol=1e-5)


def test_walks_start_at_the_peaks_that_count():
    maps = torch.tensor([[[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0], [0.2, 0.0, 0.0, 0.0]]])
    start = peak_start(maps, 3, 0.4, False)
    np.testing.assert_allclose(start[0], [[0, 0.5, 0, 0], [0, 0, 0, 0.5], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(peak_start(maps, 3, 0.6, False)[0, 0], [0, 1, 0, 0])
    np.testing.assert_allclose(peak_start(maps, 3, 0.1, False).sum((1, 2)), 1)
    np.testing.assert_allclose(peak_start(maps, 3, 0.0, True)[0, 0], [0, 1, 0, 0])
    assert peak_start(torch.full((1, 2, 2), 3.0), 3, 0.5, False).sum() == 1


def test_values_stay_and_hooks_go(chain):
    x = torch.rand(1, 2, 11, 10, dtype=torch.float64)
    before = chain(x)
    with walked(chain):
        torch.testing.assert_close(chain(x), before, rtol=0, atol=0)
    assert not any(module._forward_hooks for module in chain.modules())


@pytest.mark.parametrize("head", ["wildcat", "prm", "acol"])
def test_every_head_of_convolutions_has_peak_responses(head):
    torch.manual_seed(0)
    options = {"channels": 8} if head == "acol" else {}
    model = build("resnet18", 3, {"width": 0.05, "stride": 8, "head": head, **options}).eval()
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)) - 0.5
    whole = explain.method("peak_response")(model, x, [[0, 0], [0, 2], [1, 1]])
    assert whole.values.shape == (3, 64, 64) and whole.values.min() >= 0
    np.testing.assert_allclose(whole.values.sum((1, 2)), 1, rtol=1e-4)
    alone = explain.method("peak_response", batch_size=1)(model, x[1:], [[0, 1]])
    np.testing.assert_allclose(alone.values[0], whole.values[2], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"peaks": "some"}, "expected all or highest"),
        ({"window": 2}, "must be odd"),
        ({"threshold": 2}, r"lie in \[0, 1\]"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        explain.method("peak_response", **options)
