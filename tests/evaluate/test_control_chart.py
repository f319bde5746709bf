"""Limits from what nights differ by: what they are, how often they are left by chance, and how soon by a change."""

import numpy as np
import pytest
from scipy import stats

from fer_batch.evaluate import control_chart as control_chart_module
from fer_batch.evaluate.control_chart import MIN_NIGHTS, can_be_charted, control_chart, looks_elsewhere
from fer_batch.evaluate.night_mean import NightMean, night_mean

K, LEVEL = 10, 0.01


def nights(values, n_frames=4000, subjects=10):
    return [NightMean(v, v, v, n_frames, subjects, float(subjects)) for v in values]


def first(n):
    return np.arange(n) < K


def people(rng, n_nights, n_people, base, shift=0.0, spread=1.0, room=0.2, same=False):
    """Nights in which each of some people has a share of frames of their own; `shift` from night `K` on, in logits."""
    known = rng.normal(base, spread, n_people)
    for k in range(n_nights):
        own = known if same else rng.normal(base, spread, n_people)
        logit = own + rng.normal(0, room) + rng.normal(0, 0.3, n_people) + (shift if k >= K else 0.0)
        count = rng.integers(20, 120, n_people)
        yield night_mean(count, rng.binomial(count, 1 / (1 + np.exp(-logit))))


def test_limits_are_a_prediction_interval_of_t_where_all_nights_weigh_the_same():
    rng = np.random.default_rng(0)
    roots = 1.5 + 0.05 * rng.standard_normal(12)
    chart = control_chart(nights(roots**2), first(12), LEVEL, "ratio")
    centre, sd = roots[:K].mean(), roots[:K].std(ddof=1)
    reach = stats.t.ppf(1 - LEVEL / 4, K - 1) * sd * np.sqrt(1 + 1 / K)
    assert chart.centre == pytest.approx(centre**2)
    assert chart.lower[-1] == pytest.approx((centre - reach) ** 2)
    assert chart.upper[-1] == pytest.approx((centre + reach) ** 2)
    # The average of two nights, .2 of each newest.
    weights = np.array([0.2 * 0.8, 0.2])
    assert chart.smoothed[-1] == pytest.approx((centre + weights @ (roots[K:] - centre)) ** 2)
    spread = (weights**2).sum() + weights.sum() ** 2 / K
    own = stats.t.ppf(1 - LEVEL / 4, K - 1) * sd * np.sqrt(spread)
    assert chart.smoothed_upper[-1] == pytest.approx((centre + own) ** 2)


def test_a_night_of_fewer_people_has_wider_limits_and_one_of_more_no_narrower_ones():
    values = [0.4, 0.5, 0.45, 0.55, 0.5] * 2 + [0.5] * 3
    own = nights(values)
    few, many = (NightMean(0.5, 0.5, 0.5, 4000, n, float(n)) for n in (2, 90))
    chart = control_chart([*own[:-2], few, many], first(13), LEVEL)
    assert chart.upper[-2] > chart.upper[-3] == chart.upper[-1]


def test_too_few_nights_have_no_limits():
    own = nights([0.1, 0.2, 0.3, 0.2, np.nan, 0.9])
    own[4] = NightMean()
    reference = np.arange(6) < MIN_NIGHTS
    assert not can_be_charted(own, reference)
    chart = control_chart(own, reference, LEVEL)
    assert chart.is_open and not chart.side.any() and np.isnan(chart.upper).all()


def test_nights_without_the_figure_are_passed_over():
    rng = np.random.default_rng(1)
    own = list(people(rng, 14, 8, 0.0))
    gap = [*own[:12], NightMean(), *own[12:]]
    with_gap, without = control_chart(gap, first(15), LEVEL), control_chart(own, first(14), LEVEL)
    assert np.isnan(with_gap.smoothed[12]) and with_gap.side[12] == 0
    np.testing.assert_allclose(with_gap.smoothed[13:], without.smoothed[12:])


def test_equal_nights_are_out_only_beyond_the_smallest_change():
    chart = control_chart(nights([2.0] * K + [2.04, 2.2]), first(12), LEVEL, "ratio")
    assert chart.side.tolist() == [0] * 11 + [1]


def test_one_odd_night_does_not_stay_in_the_average():
    rng = np.random.default_rng(3)
    values = 0.5 + 0.01 * rng.standard_normal(20)
    values[12] = 0.95
    assert np.flatnonzero(control_chart(nights(values), first(20), LEVEL).side).tolist() == [12]


def test_a_small_change_that_stays_is_out_by_the_average():
    rng = np.random.default_rng(4)
    values = 0.5 + 0.01 * rng.standard_normal(30)
    values[K:] += 0.03
    chart = control_chart(nights(values), first(30), LEVEL)
    out = np.flatnonzero(chart.smoothed > chart.smoothed_upper)
    assert out[0] <= K + 9 and len(out) == 30 - out[0] and (chart.side[out] == 1).all()
    assert np.mean(values[K:] < chart.upper[K:]) > 0.6, "most nights by themselves are not"


SETTINGS = {
    "middle": {"base": 0.0},
    "low": {"base": -3.0},
    "rare": {"base": -9.0, "spread": 3.5},
    "nearly all": {"base": 9.0, "spread": 3.5},
    "the same people": {"base": -1.0, "same": True},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_by_chance_a_night_is_out_about_as_often_as_said(name):
    """20 figures of 20 nights at a level of 1 %: 4 expected; more than 13 has p .0001."""
    rng = np.random.default_rng(7)
    found = sum(
        int(np.count_nonzero(control_chart(list(people(rng, 30, 8, **SETTINGS[name])), first(30), LEVEL).side))
        for _ in range(20)
    )
    assert found <= 13


def test_a_change_of_most_people_is_out_in_its_first_night():
    rng = np.random.default_rng(8)
    charts = [control_chart(list(people(rng, 12, 8, -1.5, shift=4.0)), first(12), 0.001) for _ in range(20)]
    assert sum(chart.side[K] == 1 for chart in charts) >= 16


def test_looking_elsewhere_needs_something_that_holds():
    falls, holds, rises = (
        control_chart(nights([0.5, 0.52, 0.48, 0.51, 0.49] * 2 + [end] * 2), first(12), LEVEL)
        for end in (0.1, 0.5, 0.9)
    )
    nothing = control_chart(nights([0.5] * 2 + [np.nan] * 10), first(12), LEVEL)
    out = [False] * K + [True] * 2
    assert looks_elsewhere(falls, [holds]).tolist() == out
    assert looks_elsewhere(falls, [rises, nothing]).tolist() == out
    assert looks_elsewhere(falls, [nothing, holds]).tolist() == out
    for sure in ([falls], [falls, holds], [nothing, falls], [nothing], []):
        assert not looks_elsewhere(falls, sure).any()
    assert not looks_elsewhere(holds, [holds]).any()


def test_looking_elsewhere_is_decided_by_what_each_night_has():
    ends = [0.5, 0.52, 0.48, 0.51, 0.49] * 2
    falls, unsure, holds = (control_chart(nights(ends + [end] * 3), first(13), LEVEL) for end in (0.1, 0.1, 0.5))
    f1 = [*nights([*ends, 0.5]), NightMean(), *nights([0.1])]  # holds, is not known, falls
    chart = control_chart(f1, first(13), LEVEL)
    assert looks_elsewhere(falls, [chart, unsure]).tolist()[K:] == [True, False, False]
    assert looks_elsewhere(falls, [chart, holds]).tolist()[K:] == [True, True, False]
    assert looks_elsewhere(falls, [chart]).tolist()[K:] == [True, False, False]


def test_nights_before_the_reference_are_not_later():
    values = [0.9] * 3 + [0.5, 0.52, 0.48, 0.51, 0.49] * 2 + [0.5, 0.9]
    reference = (np.arange(15) >= 3) & (np.arange(15) < 13)
    chart, alone = (control_chart(nights(v), r, LEVEL) for v, r in ((values, reference), (values[3:], reference[3:])))
    assert chart.side.tolist() == [0] * 14 + [1] and np.isnan(chart.smoothed[:13]).all()
    np.testing.assert_array_equal(chart.smoothed[13:], alone.smoothed[10:])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: control_chart(nights([1, 2]), [True], 0.1), r"expected 2 nights .* got shape \(1,\)"),
        (lambda: control_chart(nights([1]), [True], 1.0), "a level lies between 0 and 1, got 1.0"),
    ],
)
def test_what_fits_nothing_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.mark.parametrize("n", [1, 8, 40])
@pytest.mark.parametrize("events", [0, 1, 5])
def test_counts_that_few_reach_are_those_of_the_beta_binomial(n, events):
    for level in (1e-2, 1e-5):
        wanted = stats.betabinom(n, events + 0.5, 80.5 - events).isf(level)
        assert control_chart_module._rarely_exceeded(n, events + 0.5, 80.5 - events, level) == wanted
