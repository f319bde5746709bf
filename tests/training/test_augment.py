"""Augmentation of batches: mirroring, moving, light."""

import numpy as np
import pytest
import torch

from fer_batch.training.augment import AUGMENTATIONS, mirrored, moved, photometric


def test_augmentation_is_reproducible_and_stays_in_range():
    batch = torch.rand(4, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    first, second = (photometric(batch, None, torch.Generator().manual_seed(1))[0] for _ in range(2))
    torch.testing.assert_close(first, second)
    assert first.min() >= 0
    assert first.max() <= 1
    assert (first - batch).abs().mean() > 0.02


def landmarks_map(image):
    """A map that is a function of the picture: what follows it must stay that function of it."""
    return image[:, 0]


def test_a_mirrored_map_is_the_map_of_the_mirrored_image():
    images = torch.rand(6, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    chosen = torch.tensor([True, False, True, True, False, False])
    out, maps = mirrored(images, landmarks_map(images), chosen)
    torch.testing.assert_close(maps, landmarks_map(out))
    torch.testing.assert_close(maps[0], landmarks_map(images)[0].flip(-1))
    torch.testing.assert_close(maps[1], landmarks_map(images)[1])


@pytest.mark.parametrize("name", ["flip", "faces", "photometric", "none"])
def test_maps_go_where_pixels_go(name):
    """A bright spot on black, and a map that marks it: after any augmentation both are brightest in one place."""
    augment = AUGMENTATIONS[name]()
    n, size = 16, 56
    images, maps = torch.zeros(n, 3, size, size), torch.zeros(n, size, size)
    where = torch.randint(14, 42, (n, 2), generator=torch.Generator().manual_seed(3))
    for i, (y, x) in enumerate(where.tolist()):
        images[i, :, y - 1 : y + 2, x - 1 : x + 2] = 1
        maps[i, y - 1 : y + 2, x - 1 : x + 2] = 1
    out, moved_maps = augment(images, maps, torch.Generator().manual_seed(1))
    grid = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")).float()

    def centre(values):
        weights = (values - 0.5).clamp(min=0) if values.max() > 0.6 else values
        return (grid * weights).sum((1, 2)) / weights.sum()

    for i in range(n):
        bright = out[i].mean(0) / out[i].mean(0).max()
        assert (centre(bright) - centre(moved_maps[i] / moved_maps[i].max())).abs().max() < 0.75
    again = augment(images, maps, torch.Generator().manual_seed(1))
    assert torch.equal(out, again[0]) and torch.equal(moved_maps, again[1])
    alone = augment(images, None, torch.Generator().manual_seed(1))
    assert torch.equal(out, alone[0]) and alone[1] is None
    if name != "none":
        assert not torch.equal(out, images)


def test_an_image_is_shifted_turned_and_enlarged_as_said():
    spot = torch.zeros(1, 1, 41, 41)
    spot[0, 0, 20, 30] = 1  # right of the centre, by 10 of 41
    zero, still, one = torch.zeros(1), torch.zeros(1, 2), torch.ones(1)

    def found(degrees=zero, shift=still, scale=one):
        return np.unravel_index(int(moved(spot, None, degrees, shift, scale)[0].argmax()), (41, 41))

    assert found() == (20, 30)
    assert found(degrees=torch.tensor([90.0])) == (30, 20)  # clockwise: right goes down
    assert found(shift=torch.tensor([[-10 / 41, 5 / 41]])) == (25, 20)
    assert found(scale=torch.tensor([1.5])) == (20, 35)


def test_an_unknown_augmentation_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="unknown augmentation 'flp'; did you mean 'flip'"):
        AUGMENTATIONS["flp"]
