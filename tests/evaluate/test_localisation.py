import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fer_batch.evaluate import (
    localisation_of_subjects,
    region_share,
    relevance_mass,
    resized,
)

R = np.array([[2, -1, 0, 1], [3, 4, -2, 0], [0, 1, -5, 2], [1, 0, 0, -3]], float)


def box(x0, y0, x1, y1, shape=(4, 4)):
    mask = np.zeros(shape, bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


def mass(relevance, region):
    return relevance_mass(np.asarray(relevance, float)[None], region[None])[0]


def test_relevance_mass_is_the_sum_inside_over_the_sum_everywhere():
    relevance = np.array([[[3.0, -5.0], [1.0, 0.0]]])
    region = np.array([[[True, True], [False, False]]])
    np.testing.assert_allclose(relevance_mass(relevance, region), [3 / 4])


def test_g10_boxes():
    assert mass(R, box(0, 0, 1, 1)) == pytest.approx(9 / 14)
    assert mass(R, box(0, 0, 1, 1) | box(1, 1, 2, 2)) == pytest.approx(10 / 14)
    assert mass(R, box(0, 0, 3, 3)) == 1
    assert np.isnan(mass(-np.abs(R), box(0, 0, 1, 1)))


def test_g10_channels_are_summed_before():
    channels = np.array([[[1, -1], [0, 2]], [[-3, 2], [1, 0]], [[0, 1], [1, -1]]], float)
    left = np.array([[True, False], [True, False]])
    assert mass(channels.sum(0), left) == pytest.approx(0.4)
    assert mass(np.maximum(channels, 0).sum(0), left) == pytest.approx(0.375)


def test_g10_uniform_map_is_at_chance_level(localisation_of_frames):
    region = box(10, 20, 37, 75, (112, 112))[None]
    uniform = np.full((1, 112, 112), 0.3, np.float32)
    assert relevance_mass(uniform, region)[0] == pytest.approx(0.125)
    assert region_share(region)[0] == 0.125
    assert localisation_of_frames([0.125], region_share(region), ["a"]).weighted == pytest.approx(1)


MAPS = hnp.arrays(np.float64, (3, 4, 5), elements=st.floats(-1e3, 1e3))
REGIONS = hnp.arrays(np.bool_, (3, 4, 5))


@given(MAPS, REGIONS, st.floats(1e-200, 1e200))
def test_g10_scale_and_negative_values_do_not_matter(relevance, region, scale):
    relevance = relevance.round(6)  # so that scaling does not reach the numbers below the smallest float
    expected = relevance_mass(relevance, region)
    np.testing.assert_allclose(relevance_mass(relevance * scale, region), expected, rtol=1e-9, atol=1e-12)
    changed = np.where(relevance < 0, 7 * relevance - 1, relevance)
    np.testing.assert_array_equal(relevance_mass(changed, region), expected)


@given(MAPS, REGIONS)
def test_a_region_and_the_rest_share_the_mass(relevance, region):
    both = relevance_mass(relevance, region) + relevance_mass(relevance, ~region)
    np.testing.assert_allclose(both[~np.isnan(both)], 1)
    undefined = ~(relevance > 0).any((1, 2)) | ~region.any((1, 2))
    np.testing.assert_array_equal(np.isnan(relevance_mass(relevance, region)), undefined)


@pytest.mark.filterwarnings("error")
def test_undefined_frames_leave_the_others_alone():
    relevance = np.stack([R, np.full_like(R, np.nan), np.zeros_like(R), R, R])
    relevance[3, 0, 0] = np.inf
    region = np.stack([box(0, 0, 1, 1)] * 4 + [np.zeros((4, 4), bool)])
    np.testing.assert_allclose(relevance_mass(relevance, region), [9 / 14] + [np.nan] * 4)
    np.testing.assert_allclose(region_share(region), [0.25] * 4 + [np.nan])


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(1, 4, 4\) and region \(4, 4\)"):
        relevance_mass(R[None], box(0, 0, 1, 1))
    with pytest.raises(ValueError, match=r"\(N, H, W\)"):
        region_share(box(0, 0, 1, 1))


def test_resized_matches_a_plain_loop():
    small = np.random.default_rng(0).standard_normal((1, 3, 4))
    large = resized(small, (7, 8))
    for y in range(7):
        for x in range(8):
            v, u = np.clip((y + 0.5) * 3 / 7 - 0.5, 0, 2), np.clip((x + 0.5) * 4 / 8 - 0.5, 0, 3)
            i, j = min(int(v), 1), min(int(u), 2)
            a, b = v - i, u - j
            expected = (1 - a) * ((1 - b) * small[0, i, j] + b * small[0, i, j + 1])
            expected += a * ((1 - b) * small[0, i + 1, j] + b * small[0, i + 1, j + 1])
            assert large[0, y, x] == pytest.approx(expected)


def test_resized_commutes_with_flips_and_keeps_bounds():
    small = np.random.default_rng(1).standard_normal((2, 5, 6))
    large = resized(small, (13, 11))
    np.testing.assert_allclose(resized(small[:, ::-1, ::-1], (13, 11)), large[:, ::-1, ::-1], atol=1e-12)
    assert small.min() <= large.min()
    assert large.max() <= small.max()
    np.testing.assert_array_equal(resized(small, (5, 6)), small)
    with pytest.raises(ValueError, match="at most 4 x 9"):
        resized(small, (4, 9))


def test_summary_is_over_defined_frames(localisation_of_frames):
    found = localisation_of_frames([0.5, np.nan, 0.7], [0.1, 0.2, 0.3], ["a", "a", "a"])
    assert (found.mean, found.chance, found.n, found.n_undefined) == (pytest.approx(0.6), pytest.approx(0.2), 2, 1)
    assert found.weighted == pytest.approx((0.5 / 0.1 + 0.7 / 0.3) / 2)
    assert (found.n_subjects, found.above_chance) == (1, None)  # one subject says nothing about others
    assert np.isnan([found.low, found.high]).all()
    nothing = localisation_of_frames([np.nan], [0.5], ["a"])
    assert (nothing.n, nothing.n_undefined, nothing.above_chance) == (0, 1, None)
    assert np.isnan([nothing.mean, nothing.chance]).all()


def test_maps_above_chance_are_told_from_maps_at_chance(localisation_of_frames):
    rng = np.random.default_rng(2)
    subjects = np.repeat(np.arange(12), 30).tolist()
    share = rng.uniform(0.1, 0.2, 360)
    look = localisation_of_frames(share + 0.2 + rng.normal(0, 0.05, 360), share, subjects)
    assert look.above_chance
    assert look.low < look.mean < look.high
    away = localisation_of_frames(share + np.repeat(rng.normal(0, 0.05, 12), 30), share, subjects)
    assert away.above_chance is False


def test_the_interval_is_wider_by_subjects_than_by_frames(localisation_of_frames):
    rng = np.random.default_rng(3)
    mass = np.repeat(rng.uniform(0, 1, 10), 50)
    share = np.full(500, 0.1)
    subjects = np.repeat(np.arange(10), 50).tolist()
    by_subject, by_frame = (
        localisation_of_frames(mass, share, subjects),
        localisation_of_frames(mass, share, list(range(500))),
    )
    assert by_subject.high - by_subject.low > 3 * (by_frame.high - by_frame.low)
    assert by_subject == localisation_of_frames(mass, share, subjects)


@pytest.mark.parametrize("sizes", [[0.1, 0.2, 0.3, 0.4], [0.1, 0.1, 0.1, 0.1], [1 / 3, 1 / 3, 1 / 3, 1 / 3]])
def test_relevance_at_chance_everywhere_is_not_above_chance(sizes, localisation_of_frames):
    share = np.repeat(sizes, 5)
    assert localisation_of_frames(share, share, np.repeat(np.arange(4), 5).tolist()).above_chance is False
    rounded = localisation_of_frames(share * (1 + 1e-12), share, np.repeat(np.arange(4), 5).tolist())
    assert rounded.above_chance is False


def test_too_few_subjects_have_no_interval(localisation_of_frames):
    three, four = (localisation_of_frames([0.5, 0.6, 0.7, 0.8][:n], [0.1] * n, list(range(n))) for n in (3, 4))
    assert three.above_chance is None
    assert four.above_chance
    assert 0.1 < four.low < 0.5  # four people say little: the interval reaches beyond the lowest of them


def test_an_interval_of_mu_ends_at_0_and_1(localisation_of_frames):
    found = localisation_of_frames([0.01, 0.02, 0.9, 0.95], [0.1] * 4, list(range(4)))
    assert (found.low, found.high) == (0, 1)


def test_sums_must_fit():
    with pytest.raises(ValueError, match="per subject"):
        localisation_of_subjects([1, 0], [0.5, 0], [0.1, 0], [5, 0])
