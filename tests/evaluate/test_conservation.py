"""What a run says of maps that do not add up."""

from __future__ import annotations

import math

import pytest

from fer_batch.evaluate.conservation import Conservation


@pytest.mark.parametrize(("median", "named"), [(0.02, True), (0.5, False), (39.0, False), (math.nan, False)])
def test_the_common_cause_of_lost_relevance_is_named_where_it_is_lost(median, named):
    sentence = Conservation(90, 36, median, (0.2, 2.0)).sentence
    assert sentence.startswith("36 explained pairs have a map whose sum is not 0.2 to 2 times the logit (40.0 % of 90")
    assert ("Depthwise convolutions" in sentence) == named
