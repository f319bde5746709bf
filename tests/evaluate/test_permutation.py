import numpy as np
import pytest
from scipy import stats
from scipy.ndimage import gaussian_filter

from fer_batch.evaluate.permutation import paired_difference, unpaired_difference

SHAPE = (14, 11)


def smooth(rng, n, skewed=False):
    """Maps of people: neighbouring pixels are alike, and some people have stronger maps."""
    noise = rng.exponential(size=(n, *SHAPE)) if skewed else rng.normal(size=(n, *SHAPE))
    return gaussian_filter(noise, (0, 1.2, 1.2)) * rng.uniform(0.5, 2, (n, 1, 1))


@pytest.mark.parametrize(("test", "sizes"), [(paired_difference, (12, 12)), (unpaired_difference, (8, 14))])
def test_groups_that_do_not_differ_are_called_different_as_often_as_the_level_says(test, sizes):
    rng = np.random.default_rng(0)
    n, found = 300, 0
    for seed in range(n):
        a, b = (smooth(rng, size, skewed=True) for size in sizes)
        found += bool(test(a, b, n_arrangements=200, seed=seed).significant(0.05).any())
    assert found <= stats.binom.ppf(0.999, n, 0.05)
    assert found >= stats.binom.ppf(0.001, n, 0.05), "a test that never finds anything is no test"


def test_few_people_with_a_map_against_many_with_twenty_are_not_called_different():
    rng = np.random.default_rng(5)
    n, found = 100, 0
    for seed in range(n):
        a, b = (
            rng.normal(0, 0.5, (people, 6, 6)) + rng.normal(0, maps**-0.5, (people, 6, 6))
            for people, maps in ((5, 1), (40, 20))
        )
        found += bool(unpaired_difference(a, b, n_arrangements=200, seed=seed).significant(0.05).any())
    assert found <= 0.15 * n


def test_groups_that_are_alike_within_differ_without_a_division_by_zero():
    with np.errstate(all="raise"):
        found = unpaired_difference(np.ones((4, 2, 2)), np.zeros((4, 2, 2)))
    assert np.isfinite(found.statistic).all() and (found.p == 2 / 70).all()


@pytest.mark.parametrize(("test", "sizes"), [(paired_difference, (14, 14)), (unpaired_difference, (16, 12))])
def test_a_planted_difference_is_found_where_it_is(test, sizes):
    rng = np.random.default_rng(1)
    a, b = (smooth(rng, size) for size in sizes)
    a[:, 3:6, 4:8] += 2.0
    found = test(a, b, n_arrangements=500)
    where = found.significant()
    assert where[3:6, 4:8].all() and where.sum() <= 14
    assert found.difference[4, 5] == pytest.approx(a[:, 4, 5].mean() - b[:, 4, 5].mean())
    other = test(b, a, n_arrangements=500)
    np.testing.assert_allclose(other.statistic, -found.statistic, atol=1e-9)


def test_the_statistic_is_students_with_a_constant_in_its_denominator():
    rng = np.random.default_rng(2)
    a, b, c = rng.normal(size=(7, *SHAPE)), rng.normal(size=(7, *SHAPE)), rng.normal(size=(5, *SHAPE))
    for found, t in (
        (paired_difference(a, b), stats.ttest_rel(a, b).statistic),
        (unpaired_difference(a, c), stats.ttest_ind(a, c, equal_var=False).statistic),
    ):
        error = found.difference / t
        constant = found.difference / found.statistic - error
        np.testing.assert_allclose(constant, constant[0, 0], rtol=1e-6)
        assert 0.7 * np.median(error) < constant[0, 0] < 1.5 * np.median(error)


def test_a_pixel_where_few_people_happen_to_be_alike_does_not_hide_a_difference():
    """Six people, noise at 1,000 pixels: Student's t alone is largest somewhere in the noise."""
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(20):
        a, b = rng.normal(size=(6, 40, 25)), rng.normal(size=(6, 40, 25))
        a[:, :10] += 4
        found += paired_difference(a, b).significant()[:10].mean() > 0.5
    assert found >= 18


def test_few_people_are_arranged_in_every_way_and_one_pixel_has_the_exact_p():
    rng = np.random.default_rng(3)
    a, b = rng.normal(1, 1, (6, 1, 1)), rng.normal(0, 1, (6, 1, 1))
    paired, unpaired = paired_difference(a, b), unpaired_difference(a, b)
    assert (paired.exact, paired.n_arrangements) == (True, 64)
    assert (unpaired.exact, unpaired.n_arrangements) == (True, 924)

    def mean(x, y, axis):
        return x.mean(axis) - y.mean(axis)

    flips = stats.permutation_test(
        (a.ravel(), b.ravel()), mean, permutation_type="samples", vectorized=True, n_resamples=np.inf
    )
    swaps = stats.permutation_test(
        (a.ravel(), b.ravel()), mean, permutation_type="independent", vectorized=True, n_resamples=np.inf
    )
    assert paired.p[0, 0] == pytest.approx(flips.pvalue) and unpaired.p[0, 0] == pytest.approx(swaps.pvalue)


def test_the_seed_decides_and_pixels_where_nobody_differs_are_no_evidence():
    rng = np.random.default_rng(4)
    a, b = smooth(rng, 20), smooth(rng, 20)
    a[:, :5], b[:, :5] = 1.0, 1.0
    one, again, other = (paired_difference(a, b, 300, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.p, again.p)
    assert (one.p != other.p).any() and not one.exact and one.n_arrangements == 300
    assert (one.statistic[:5] == 0).all() and (one.p[:5] == 1).all()
    assert one.p.min() >= 1 / 300
    assert (unpaired_difference(a, b, 100).p[:5] == 1).all()


@pytest.mark.parametrize("test", [paired_difference, unpaired_difference])
def test_what_cannot_be_tested_is_refused(test):
    maps = np.zeros((4, *SHAPE))
    with pytest.raises(ValueError, match="3 people or more"):
        test(maps[:2], maps[:2])
    with pytest.raises(ValueError, match="of one shape"):
        test(maps, maps[:, 1:])
    with pytest.raises(ValueError, match="finite"):
        test(maps, maps + np.nan)
