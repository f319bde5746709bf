"""Crops and photometric augmentation."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch.media.align import crop, crop_matrix, face_box
from fer_batch.training.augment import (
    AUGMENTATIONS,
    jittered_crop,
    landmark_crop,
    mirrored,
    moved,
    photometric,
    recompressed,
)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    centre=st.tuples(st.floats(40, 200), st.floats(40, 200)),
    spread=st.floats(10, 80),
    margin=st.floats(0, 0.5),
)
def test_a_training_crop_is_the_crop_of_the_pipeline(seed, centre, spread, margin):
    rng = np.random.default_rng(seed)
    image = np.kron(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8), np.ones((20, 20, 1), np.uint8))
    landmarks = rng.uniform(-1, 1, (68, 2)) * spread + centre
    matrix = crop_matrix(face_box(landmarks), 112, margin)
    got = landmark_crop(image, landmarks, 112, margin)
    difference = np.abs(got.astype(int) - crop(image, matrix, 112))
    assert difference.max() <= 1 or matrix[0, 0] < 1  # one rounding of the fixed-point warp
    assert difference.mean() < 6  # a crop that shrinks begins at a whole source pixel there


def test_shift_and_rotation_move_the_picture_about_the_centre():
    image = np.zeros((101, 101, 3), np.uint8)
    image[48:53, 68:73] = 255  # right of the centre
    landmarks = np.array([[30.0, 30.0], [70.0, 70.0]])
    plain = landmark_crop(image, landmarks, 100, margin=0.2)
    turned = landmark_crop(image, landmarks, 100, margin=0.2, rotation=90)
    shifted = landmark_crop(image, landmarks, 100, margin=0.2, shift=(0.1, 0.0))
    x, y = (np.average(np.arange(100), weights=plain[..., 0].sum(axis)) for axis in (0, 1))
    assert x > 80
    assert y == pytest.approx(49.5, abs=0.6)
    assert np.average(np.arange(100), weights=turned[..., 0].sum(1)) == pytest.approx(x, abs=0.6)  # now below
    assert np.average(np.arange(100), weights=shifted[..., 0].sum(0)) == pytest.approx(x - 10, abs=0.6)


def test_augmentation_is_reproducible_and_stays_in_range():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (120, 120, 3), dtype=np.uint8)
    landmarks = rng.uniform(30, 90, (68, 2))
    one, two = (jittered_crop(image, landmarks, 112, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert np.abs(recompressed(image, np.random.default_rng(1)).astype(int) - image).mean() > 1
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
