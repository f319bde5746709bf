"""What lies outside the kept part of a crop is exchanged, and nothing else."""

import numpy as np
import pytest
import torch

from fer_batch.training.augment import flip
from fer_batch.training.batches import as_images, batches
from fer_batch.training.swapping import Swap, swapped


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def kept_squares(n):
    """The upper left quarter is kept; the last crop has no landmarks."""
    kept = torch.zeros(n, 8, 8)
    kept[:, :4, :4] = 1
    kept[-1] = torch.inf
    return kept


def test_the_kept_part_stays_and_the_rest_is_of_one_other_crop():
    images = torch.arange(6.0)[:, None, None, None].expand(6, 3, 8, 8).contiguous()
    found = swapped(images, kept_squares(6), 1.0, generator())
    assert torch.equal(found[:, :, :4, :4], images[:, :, :4, :4])
    assert torch.equal(found[5], images[5])  # of nothing known, nothing is exchanged
    outside = torch.cat([found[:5, :, 4:].flatten(1), found[:5, :, :4, 4:].flatten(1)], 1)
    donors = outside[:, 0]
    assert torch.equal(outside, donors[:, None].expand_as(outside))
    assert (donors != torch.arange(5)).all()
    assert len(set(donors.tolist())) == 5


def test_a_soft_edge_mixes_by_its_share_and_a_share_of_the_crops_is_changed():
    images = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)]).repeat(500, 1, 1, 1)
    found = swapped(images, torch.full((1000, 4, 4), 0.75), 0.4, generator())  # coarser than the images
    changed = (found != images).flatten(1).any(1)
    assert 0.12 < changed.float().mean() < 0.28  # of 40 %, half get one like themselves
    torch.testing.assert_close(found[changed].unique(), torch.tensor([0.25, 0.75]))


def test_a_mark_outside_goes_with_a_label_no_more():
    """The shortcut is gone whatever the labels are, and the evidence inside is as it was."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 2000)
    images = np.zeros((2000, 8, 8, 3), np.uint8)
    images[labels == 1, 6, 6] = 255  # the mark
    images[labels == 1, 1, 1] = 255  # the evidence
    swap = Swap(np.broadcast_to(kept_squares(2)[:1].numpy(), (2000, 8, 8)))
    rows = [np.arange(2000)]
    (batch,) = batches(images, torch.from_numpy(labels)[:, None], None, rows, flip(0.0), generator(), swap=swap)
    mark, evidence = batch.images[:, 0, 6, 6].numpy(), batch.images[:, 0, 1, 1].numpy()
    assert np.array_equal(evidence, labels)
    assert abs(np.corrcoef(mark, labels)[0, 1]) < 0.08
    assert np.array_equal(batch.labels[:, 0].numpy(), labels)


def test_the_same_seed_swaps_the_same_and_maps_follow_what_is_kept():
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    maps, swap = images[..., 0].astype(np.float32), Swap(kept_squares(6).numpy(), 1.0)
    rows, labels = [np.array([4, 1, 0, 3])], torch.arange(6.0)[:, None]
    one, two = (next(iter(batches(images, labels, maps, rows, flip(1.0), generator(7), swap=swap))) for _ in range(2))
    assert torch.equal(one.images, two.images)
    whole = as_images(images[rows[0]]).flip(-1)
    torch.testing.assert_close(one.images[:, :, :4, 4:], whole[:, :, :4, 4:])
    assert not torch.equal(one.images, whole)
    torch.testing.assert_close(one.maps, whole[:, 0] * 255)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="share is from 0 to 1"):
        Swap(np.zeros((1, 2, 2), np.float32), share)


def test_masks_of_other_crops_are_refused():
    with pytest.raises(ValueError, match="what is kept of each of 3 crops, got 2"):
        Swap(np.zeros((2, 4, 4), np.float32)).checked(3)
    assert Swap(np.zeros((3, 4, 4), np.float32), 0.0).checked(3) is None
