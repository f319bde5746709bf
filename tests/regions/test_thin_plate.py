"""The thin-plate warp: exact at its points, affine where they are."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch.regions.thin_plate import thin_plate_map


def spread_points(rng, n=9):
    grid = np.stack(np.meshgrid([10, 48, 86], [10, 48, 86]), -1).reshape(-1, 2)[:n]
    return grid + rng.uniform(-4, 4, (n, 2))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_map_sends_every_target_to_its_source(seed):
    rng = np.random.default_rng(seed)
    target = np.round(spread_points(rng) / 4) * 4  # on the grid, where nothing is interpolated
    source = target + rng.uniform(-5, 5, target.shape)
    x, y = thin_plate_map(target, source, (100, 96), step=4)
    assert x.shape == y.shape == (96, 100)
    column, row = target.astype(int).T
    inside = (column < 100) & (row < 96)
    np.testing.assert_allclose(x[row[inside], column[inside]], source[inside, 0], atol=0.02)
    np.testing.assert_allclose(y[row[inside], column[inside]], source[inside, 1], atol=0.02)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_an_affine_correspondence_is_kept_everywhere(seed):
    rng = np.random.default_rng(seed)
    target = spread_points(rng)
    matrix, shift = np.eye(2) + rng.uniform(-0.3, 0.3, (2, 2)), rng.uniform(-20, 20, 2)
    x, y = thin_plate_map(target, target @ matrix.T + shift, (100, 96))
    rows, columns = np.mgrid[:96, :100]
    expected = np.stack([columns, rows], -1) @ matrix.T + shift
    np.testing.assert_allclose(np.stack([x, y], -1), expected, atol=0.02)
