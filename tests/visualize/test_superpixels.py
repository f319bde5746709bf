"""Segments are found again in a map of their weights, stored and resampled; at most three of them are shown."""

import numpy as np
import pytest
from scipy import ndimage

from fer_batch.explain.segments import quickshift_segments, slic_segments
from fer_batch.storage.parquet import pack_maps
from fer_batch.visualize.heatmap import resize_map
from fer_batch.visualize.superpixels import best_segments, segments_of, signed_segments

FACE = np.random.default_rng(5).integers(0, 200, (64, 64, 3)).astype(np.uint8)  # nothing in it is the grey of hidden


def weights(labels, rng, n_used=None):
    """A weight for every pixel, as LIME gives them: of all segments, or of some."""
    values = rng.normal(0.02, 0.1, labels.max() + 1)
    if n_used is not None:
        values[rng.permutation(len(values))[n_used:]] = 0
    return values, values[labels].astype(np.float32)


def blocks(side=64, n=4):
    """Segments in squares."""
    rows, columns = np.indices((side, side)) * n // side
    return rows * n + columns


def test_the_segments_of_a_stored_map_are_found_again():
    labels, rng = blocks(), np.random.default_rng(0)
    values, found = weights(labels, rng, 6)
    stored = pack_maps(found[None])[0][0]
    again = segments_of(stored)
    order = np.argsort(-np.abs(values))[:6]
    for number, segment in enumerate(order, 1):
        np.testing.assert_array_equal(again == number, labels == segment)
    assert not (again[np.isin(labels, order, invert=True)]).any()


@pytest.mark.parametrize("cut", [slic_segments, quickshift_segments])
@pytest.mark.parametrize("side", [64, 224])
def test_segments_of_real_superpixels_survive_storage_and_resampling(cut, side):
    picture = np.asarray(picture_of_a_face()) / 255
    labels, rng = cut(picture), np.random.default_rng(side)
    values, found = weights(labels, rng, 6)
    shown = segments_of(resize_map(pack_maps(found[None])[0][0], side, side))
    assert shown.max() == 6
    best = np.argmax(np.abs(values))
    whole = resize_map((labels == best).astype(np.float32), side, side)
    assert (shown[whole == 1] == 1).mean() > 0.99
    assert (shown[whole == 0] == 1).mean() < 0.01


def picture_of_a_face():
    from skimage.data import astronaut
    from skimage.transform import resize

    return (255 * resize(astronaut()[10:190, 140:320], (112, 112))).astype(np.uint8)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n_used", [None, 2, 6])
def test_at_most_three_segments_are_visible_and_all_are_positive(seed, n_used):
    labels, rng = blocks(), np.random.default_rng(seed)
    values, found = weights(labels, rng, n_used)
    picture = best_segments(FACE, pack_maps(found[None])[0][0])
    visible = {int(segment) for segment in np.unique(labels[(picture == FACE).all(2)])}
    positive = [int(s) for s in np.argsort(-values) if values[s] > 0]
    assert visible == set(positive[:3])
    hidden = np.isin(labels, list(visible), invert=True)
    assert len(np.unique(picture[hidden])) <= 1


def test_equal_weights_far_apart_are_two_segments_and_specks_are_none():
    found = np.zeros((40, 40), np.float32)
    found[2:12, 2:12] = found[25:37, 25:37] = 0.5  # as large: two superpixels whose weights are equal
    found[20:28, 2:10] = 0.3
    found[2, 30] = found[3:5, 35:37] = 0.3  # scattered pixels of it
    found[14:18, 14:18] = 0.2
    segments = segments_of(found)
    assert segments.max() == 4
    assert segments[30, 30] == 1 and segments[5, 5] == 2
    assert segments[22, 4] == segments[2, 30] == segments[4, 36] == 3
    shown = best_segments(np.zeros((40, 40, 3), np.uint8), found)[..., 0] == 0
    assert not shown[14:18, 14:18].any()
    assert ndimage.label(shown, np.ones((3, 3)))[1] == 5  # three segments, one with two scattered parts


def test_signs_are_told_apart_by_colour_and_by_stripes():
    found = np.zeros((60, 60), np.float32)
    found[:20], found[40:] = 1.0, -1.0
    face = np.full((60, 60, 3), 128, np.uint8)
    picture = signed_segments(face, found).astype(int)
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    assert (green[:20] > red[:20] + 40).all()
    assert (red[40:] >= green[40:]).all() and (red[40:] > blue[40:] + 40).mean() > 0.5
    assert np.ptp(picture[:20].reshape(-1, 3), axis=0).max() == 0, "green is plain"
    assert np.ptp(green[40:]) > 20, "red is striped"
    middle = picture[20:40]
    assert (middle == middle[..., :1]).all(), "what has no weight stays grey"


def test_nothing_to_show():
    zero = np.zeros((8, 8), np.float32)
    assert segments_of(zero).max() == 0
    assert len(np.unique(best_segments(FACE, zero))) == 1
    assert (signed_segments(FACE, np.full((8, 8), np.nan)) == 204).all()
    assert best_segments(FACE, np.full((8, 8), -1.0)).min() == 205, "negative segments do not count"
