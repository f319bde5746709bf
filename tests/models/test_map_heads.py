"""WILDCAT and peak stimulation against their papers' equations in plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fer_batch.models.map_heads import PeakStimulation, Wildcat, peak_scores, peaks, regions, wildcat_scores
from fer_batch.types import InputError


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def wildcat_in_loops(m, k_top, k_bottom, alpha):
    """Durand et al. (2017), Eq. 2: choose the k+ largest and k- smallest regions, one by one."""
    scores = np.zeros(m.shape[:2])
    for i, j in np.ndindex(*m.shape[:2]):
        left = list(m[i, j].ravel())
        top = [left.pop(int(np.argmax(left))) for _ in range(k_top)]
        left = list(m[i, j].ravel())
        bottom = [left.pop(int(np.argmin(left))) for _ in range(k_bottom)]
        scores[i, j] = sum(top) / k_top + alpha * sum(bottom) / k_bottom
    return scores


@pytest.mark.parametrize(
    ("top", "bottom", "alpha", "counts"),
    [(0.5, None, 0.6, (10, 10)), (3, 1, 1.0, (3, 1)), (0.25, 0.1, 0.7, (5, 2)), (1.0, 100, 0.3, (20, 20))],
)
def test_wildcat_pools_the_largest_and_the_smallest_regions(top, bottom, alpha, counts):
    m = maps(2, 3, 4, 5)
    found = wildcat_scores(m, top, bottom, alpha)
    np.testing.assert_allclose(found, wildcat_in_loops(m.numpy(), *counts, alpha), rtol=1e-12)


def test_the_released_pooling_is_the_mean_of_the_largest_half():
    m = maps(2, 3, 4, 4)
    expected = np.sort(m.numpy().reshape(2, 3, 16), 2)[:, :, 8:].mean(2)
    np.testing.assert_allclose(wildcat_scores(m, released=True), expected, rtol=1e-12)
    np.testing.assert_allclose(wildcat_scores(m, alpha=0.0), expected, rtol=1e-12)


def test_all_regions_without_the_smallest_are_the_mean():
    m = maps(2, 3, 4, 4)
    np.testing.assert_allclose(wildcat_scores(m, top=1.0, alpha=0.0), m.mean((2, 3)), rtol=1e-12)


@pytest.mark.parametrize(
    ("chosen", "n", "expected"), [(0.5, 49, 24), (1, 49, 1), (1.0, 49, 49), (0.001, 9, 1), (12, 9, 9)]
)
def test_a_fraction_is_a_share_and_a_whole_number_a_count(chosen, n, expected):
    assert regions(chosen, n) == expected


def test_the_map_of_a_class_is_the_mean_of_its_modalities():
    torch.manual_seed(0)
    head = Wildcat(4, 3, modalities=5).double()
    features = maps(2, 4, 6, 7)
    weight, bias = head.maps.weight.detach().numpy()[:, :, 0, 0], head.maps.bias.detach().numpy()
    assert weight.shape == (15, 4)
    expected = np.zeros((2, 3, 6, 7))
    for c in range(3):
        for m in range(5):
            row = 5 * c + m
            expected[:, c] += (np.einsum("k,nkhw->nhw", weight[row], features.numpy()) + bias[row]) / 5
    found = head.class_maps(features)
    np.testing.assert_allclose(found.responses.detach(), expected, rtol=1e-9)
    np.testing.assert_allclose(found.logits.detach(), wildcat_in_loops(expected, 21, 21, 0.6), rtol=1e-9)
    torch.testing.assert_close(head(features), found.logits)
    picked = found.of(torch.tensor([1, 0]), torch.tensor([2, 0])).detach()
    np.testing.assert_allclose(picked, [expected[1, 2], expected[0, 0]], rtol=1e-9)


def peaks_in_loops(m, window):
    r, found = window // 2, np.zeros(m.shape, bool)
    for i, j, y, x in np.ndindex(*m.shape):
        about = m[i, j, max(0, y - r) : y + r + 1, max(0, x - r) : x + r + 1]
        found[i, j, y, x] = m[i, j, y, x] == about.max()
    return found


@pytest.mark.parametrize("window", [1, 3, 5])
def test_a_class_scores_by_the_mean_of_its_peaks(window):
    m = maps(2, 3, 7, 6)
    expected = peaks_in_loops(m.numpy(), window)
    np.testing.assert_array_equal(peaks(m, window), expected)
    scores = [[m[i, j].numpy()[expected[i, j]].mean() for j in range(3)] for i in range(2)]
    np.testing.assert_allclose(peak_scores(m, window), scores, rtol=1e-12)


def test_gradients_reach_the_peaks_alone_in_equal_shares():
    m = maps(1, 2, 6, 6).requires_grad_()
    peak_scores(m)[0, 1].backward()
    found = peaks(m.detach())
    expected = torch.zeros_like(m)
    expected[0, 1] = found[0, 1] / found[0, 1].sum()
    torch.testing.assert_close(m.grad, expected)


def test_a_constant_map_scores_its_value():
    assert float(peak_scores(torch.full((1, 1, 4, 4), -2.5))) == -2.5


def test_max_pool_is_the_mean_over_windows_within_the_map():
    torch.manual_seed(1)
    head = PeakStimulation(4, 2, stimulation="max_pool").double()
    found = head.class_maps(maps(1, 4, 5, 6))
    m = found.responses[0].detach().numpy()
    expected = [np.mean([m[c, y : y + 3, x : x + 3].max() for y in range(3) for x in range(4)]) for c in range(2)]
    np.testing.assert_allclose(found.logits[0].detach(), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("head", "options", "message"),
    [
        (Wildcat, {"modalities": 0}, "options.modalities must be a positive integer"),
        (Wildcat, {"top": 0}, r"options.top is a number of positions or a share in \(0, 1\]"),
        (Wildcat, {"bottom": 1.5}, "options.bottom is a number of positions"),
        (Wildcat, {"released": "no"}, "options.released is true or false"),
        (Wildcat, {"alpha": -1}, "options.alpha must be a number 0 or more"),
        (PeakStimulation, {"window": 4}, "options.window must be odd"),
        (PeakStimulation, {"stimulation": "peak"}, "did you mean 'peaks'"),
    ],
)
def test_impossible_options_are_refused(head, options, message):
    with pytest.raises(InputError, match=message):
        head(4, 2, **options)
