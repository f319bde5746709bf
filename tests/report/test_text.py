"""Text as pages show it: file names for any name."""

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fer_batch.report.text import cell, chance, duration, slug


@given(st.text(st.characters(), max_size=80), st.text(st.characters(), max_size=80))
@example("a/b", "a-b")
@example("A", "a")
@example("é", "e")
@example("\udcff", "\udcfe")
@example("", " ")
def test_slugs_are_safe_and_different_for_different_names(one, other):
    assert re.fullmatch(r"[a-z0-9-]{12,72}", slug(one))
    assert (slug(one) == slug(other)) == (one == other)


def test_slugs_are_readable_and_stay_the_same():
    assert slug("S005/001").startswith("s005-001-")
    assert slug("S005/001") == slug("S005/001")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0421, "0.0421 s"), (12.34, "12.3 s"), (99.6, "1 min 40 s"), (480, "8 min"), (485.4, "8 min 5 s"),
     (3599.7, "1 h"), (7260, "2 h 1 min"), (None, "–"), (math.nan, "–")],
)  # fmt: skip
def test_durations_are_said_in_units_that_fit_them(seconds, text):
    assert duration(seconds) == text


def test_figures_have_three_digits_or_the_decimals_that_are_asked_for():
    assert [cell(value) for value in (0.12345, 1234.5, 7, None, math.nan, "")] == ["0.123", "1.23e+03", "7", *"–––"]
    assert [cell(value, 3) for value in (0.5, -0.0004, 7, None)] == ["0.500", "-0.000", "7", "–"]


@pytest.mark.parametrize(
    ("p", "text"), [(0.0, "less than .001"), (0.00099, "less than .001"), (0.0123, "0.012"), (1.0, "1")]
)
def test_a_probability_has_two_digits(p, text):
    assert chance(p) == text
