"""Perturbation curves: against Quantus, against what a linear model must give, and at random."""

import numpy as np
import pytest
import torch
from torch import nn

from fer_batch.explain.hiding import Perturbation
from fer_batch.explain.perturbation import flipping_curves, pixel_curves, region_drops
from fer_batch.explain.region_order import grid_segments

N, SIZE, SIDE = 5, 24, 6


def network(channels=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(channels, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 11 * 11, 4)).eval()


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    images = rng.random((N, 3, SIZE, SIZE), dtype=np.float32)
    return images, rng.integers(0, 4, N), rng.normal(size=(2, N, SIZE, SIZE))


@pytest.fixture(scope="module")
def squares():
    return np.broadcast_to(grid_segments((SIZE, SIZE), SIDE), (N, SIZE, SIZE))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("softmax", [True, False])
def test_squares_in_order_are_selectivity_and_region_perturbation_of_quantus(case, squares, softmax):
    quantus = pytest.importorskip("quantus", reason="a test oracle that `make setup` installs")
    images, targets, maps = case
    options = Perturbation(hide="black", output="softmax" if softmax else "logit", batch_size=7)
    ours = flipping_curves(network(), images, targets, maps, squares, options, reduce="sum", n_random=1).scores
    theirs = {"abs": False, "normalise": False, "perturb_baseline": 0.0, "disable_warnings": True, "patch_size": SIDE}
    given = {"model": network(), "x_batch": images, "y_batch": targets, "softmax": softmax, "device": "cpu"}
    for curve, own in zip(ours, maps, strict=True):
        found = quantus.Selectivity(**theirs)(a_batch=own[:, None], **given)
        np.testing.assert_allclose(curve[:, 1:], found, atol=1e-5)
        drops = quantus.RegionPerturbation(regions_evaluation=16, order="morf", **theirs)(a_batch=own[:, None], **given)
        np.testing.assert_allclose(curve[:, :1] - curve[:, 1:], drops, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_deletion_is_pixel_flipping_of_quantus(case):
    quantus = pytest.importorskip("quantus", reason="a test oracle that `make setup` installs")
    images, targets, maps = case
    gray, model = images[:, :1], network(1)  # a feature of theirs is one channel of a pixel
    flipping = quantus.PixelFlipping(
        features_in_step=48, abs=False, normalise=False, perturb_baseline=0.0, disable_warnings=True
    )
    found = flipping(model=model, x_batch=gray, y_batch=targets, a_batch=maps[0][:, None], softmax=False, device="cpu")
    ours = pixel_curves(model, gray, targets, maps[:1], Perturbation(hide="black", output="logit"), n_pixels=48)
    np.testing.assert_allclose(ours.deletion[0][:, 1:], found, atol=1e-5)


def linear_model(weights):
    """Sum of the image times weights [4, H, W], in float64."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 4)).double().eval()
    model[1].weight.data = torch.from_numpy(np.repeat(weights[:, None], 3, 1).reshape(4, -1))
    model[1].bias.data = torch.arange(4.0, dtype=torch.float64)
    return model


def test_a_linear_model_gives_the_curve_of_its_own_relevance(case, squares):
    images, targets, _ = case
    weights = np.random.default_rng(1).normal(size=(4, SIZE, SIZE))
    relevance = weights[targets] * images.sum(1)
    curves = flipping_curves(
        linear_model(weights),
        images,
        targets,
        relevance[None],
        squares,
        Perturbation(hide="black", output="logit"),
        reduce="sum",
        n_random=20,
    )
    per_square = relevance.reshape(N, 4, SIDE, 4, SIDE).sum((2, 4)).reshape(N, 16)
    left = np.cumsum(np.sort(per_square, 1), 1)[:, ::-1]  # what stays when the largest go first
    expected = np.concatenate([left, np.zeros((N, 1))], 1) + targets[:, None]
    np.testing.assert_allclose(curves.scores[0], expected, rtol=1e-6)
    assert (curves.scores[0] <= curves.random.min(0) + 1e-9).all()  # no order falls faster
    np.testing.assert_allclose(curves.random[:, :, -1], np.broadcast_to(targets, (20, N)), atol=1e-6)


def test_insertion_of_a_linear_model_rises_from_its_start(case):
    images, targets, _ = case
    weights = np.random.default_rng(1).normal(size=(4, SIZE, SIZE))
    start = np.full((3, SIZE, SIZE), 0.5, np.float32)
    relevance = weights[targets] * (images - 0.5).sum(1)
    options = Perturbation(output="logit", hide=start)
    found = pixel_curves(linear_model(weights), images, targets, relevance[None], options, n_pixels=SIZE, start=start)
    least = np.einsum("nhw,nchw->n", weights[targets], np.broadcast_to(start, images.shape)) + targets
    gains = np.sort(relevance.reshape(N, -1), 1)[:, ::-1].reshape(N, SIZE, SIZE).sum(2)
    steps = np.cumsum(np.concatenate([np.zeros((N, 1)), gains], 1), 1)
    np.testing.assert_allclose(found.insertion[0], least[:, None] + steps, rtol=1e-6)
    np.testing.assert_allclose(found.deletion[0], (least + steps[:, -1])[:, None] - steps, rtol=1e-6)


def test_random_relevance_is_no_better_than_random_orders(case, squares):
    images, targets, _ = case
    maps = np.random.default_rng(2).normal(size=(60, N, SIZE, SIZE))
    found = flipping_curves(network(), images, targets, maps, squares, Perturbation(output="logit"), n_random=60)
    ours, random = (curves[..., :1] - curves for curves in (found.scores, found.random))
    spread = random.mean(-1).std(0)
    assert (abs(ours.mean((0, 2)) - random.mean((0, 2))) < 4 * spread * np.sqrt(2 / 60)).all()


def test_maps_that_rank_nothing_are_undefined(case, squares):
    images, targets, maps = case
    maps = maps.copy()
    maps[0, 1], maps[1, 2, 0, 0] = 3, np.nan
    for found in (
        flipping_curves(network(), images, targets, maps, squares, n_random=1, n_steps=4).scores,
        pixel_curves(network(), images, targets, maps, n_pixels=200).deletion,
        pixel_curves(network(), images, targets, maps, n_pixels=200).insertion,
    ):
        undefined = np.isnan(found).all(-1)
        assert np.argwhere(undefined).tolist() == [[0, 1], [1, 2]]
        assert np.isfinite(found[~undefined]).all()


def test_a_region_that_the_score_stands_on_falls_more_than_as_much_elsewhere(case):
    images, targets, _ = case
    masks = np.zeros((N, SIZE, SIZE), bool)
    masks[:, 8:14, 4:10] = True
    weights = np.zeros((4, SIZE, SIZE))
    weights[:, 8:14, 4:10] = 1
    masks[4] = False
    options = Perturbation(hide="black", output="logit")
    found = region_drops(linear_model(weights), images, targets, masks, options, n_elsewhere=4)
    np.testing.assert_allclose(found.inside[:4], images[:4, :, 8:14, 4:10].sum((1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(found.elsewhere[:, :4], 0, atol=1e-6)
    assert np.isnan(found.inside[4]) and np.isnan(found.elsewhere[:, 4]).all()
    full = region_drops(linear_model(weights), images, targets, masks, options, within=masks)
    assert np.isnan(full.elsewhere).all() and np.isfinite(full.inside[:4]).all()


def test_what_does_not_fit_is_refused(case, squares):
    images, targets, maps = case
    with pytest.raises(ValueError, match="at least one image"):
        flipping_curves(network(), images[:0], [], maps[:, :0], squares[:0])
    with pytest.raises(ValueError, match="output of each"):
        flipping_curves(network(), images, targets[:3], maps, squares)
    with pytest.raises(ValueError, match="expected maps"):
        flipping_curves(network(), images, targets, maps[..., :20], squares)
    with pytest.raises(ValueError, match="expected regions"):
        flipping_curves(network(), images, targets, maps, squares[:2])
    with pytest.raises(ValueError, match="at least one region"):
        flipping_curves(network(), images, targets, maps, np.full_like(squares, -1))
    with pytest.raises(ValueError, match="output 7 is asked for; the network has 4"):
        flipping_curves(network(), images, np.full(N, 7), maps, squares)


def test_the_share_hidden_is_that_of_the_pixels_of_the_regions(case):
    images, targets, maps = case
    labels = np.full((N, SIZE, SIZE), -1)
    labels[:, :, :6], labels[:, 0, 6:8] = 0, 1  # a large region, and one of two pixels; the rest is in none
    found = flipping_curves(network(), images, targets, maps, labels, n_random=3)
    large = SIZE * 6
    for scores, hidden in ((found.scores, found.hidden), (found.random, found.random_hidden)):
        assert hidden.shape == scores.shape
        assert (hidden[..., 0] == 0).all() and (hidden[..., -1] == 1).all()
        assert set(np.unique(hidden[..., 1].round(9))) <= {round(large / (large + 2), 9), round(2 / (large + 2), 9)}
