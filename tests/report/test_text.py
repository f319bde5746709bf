"""Text as pages show it: file names for any name."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from fer_batch.report.text import slug


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
