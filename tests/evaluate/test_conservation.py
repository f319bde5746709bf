"""A warning where maps are unsound, and one plain line where a few of a sound network are outside the band."""

import math

import pytest

from fer_batch.evaluate.conservation import Conservation

BAND = (0.2, 2.0)


@pytest.mark.parametrize(
    ("n", "n_outside", "median", "warns", "ends"),
    [
        (750, 13, 0.568, False, "so few are no sign of unsound maps."),  # the demo
        (750, 75, 0.568, False, "so few are no sign of unsound maps."),
        (142, 8, 0.585, False, "so few are no sign of unsound maps."),
        (750, 76, 0.568, True, "look at each target's verdict."),
        (750, 749, 2.1, True, "do not trust these maps."),
        (3, 3, math.nan, True, "do not trust these maps."),
        (1, 1, 39.0, True, "do not trust these maps."),
    ],
)
def test_only_a_median_outside_or_a_large_share_is_a_warning(n, n_outside, median, warns, ends):
    found = Conservation(n, n_outside, median, BAND)
    assert found.alarming is warns
    assert found.line.startswith("WARNING: ") is warns
    assert found.sentence.endswith(ends)
    assert "WARNING" not in found.sentence


@pytest.mark.parametrize(("n", "median"), [(0, math.nan), (9, 1.0)])
def test_nothing_is_said_where_no_map_is_outside(n, median):
    found = Conservation(n, 0, median, BAND)
    assert (found.alarming, found.sentence, found.line) == (False, "", "")


@pytest.mark.parametrize(("median", "named"), [(0.02, True), (0.5, False), (39.0, False), (math.nan, False)])
def test_the_common_cause_of_lost_relevance_is_named_where_it_is_lost(median, named):
    sentence = Conservation(90, 36, median, (0.2, 2.0)).sentence
    assert sentence.startswith("36 explained pairs have a map whose sum is not 0.2 to 2 times the logit (40.0 % of 90")
    assert ("Depthwise convolutions" in sentence) == named
