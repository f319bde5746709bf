import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fer_batch import types
from fer_batch.prototypes import included, parse
from fer_batch.prototypes.patterns import benjamini_hochberg, common_patterns, longest_common, mine

X1, X2, X3 = parse("(a) -> (b) -> (c)"), parse("(a) -> (b)"), parse("(b) -> (c)")


def supports(*args, **options):
    return {pattern.text: pattern.support for pattern in common_patterns(*args, **options)}


def test_g04_sub_sequences():
    contiguous = {
        "(b)": 3,
        "(a)": 2,
        "(c)": 2,
        "(a) -> (b)": 2,
        "(b) -> (c)": 2,
        "(a) -> (b) -> (c)": 1,
    }
    found = common_patterns([X1, X2, X3], 1)
    assert {p.text: p.support for p in found} == contiguous
    assert [p.support for p in found] == [3, 2, 2, 2, 2, 1]
    assert supports([X1, X2, X3], 1, kind="gapped") == contiguous | {"(a) -> (c)": 1}


@pytest.mark.parametrize("kind", ["contiguous", "gapped"])
def test_g04_maximal(kind):
    found = common_patterns([X1, X2, X3], 2, kind=kind, maximal_only=True)
    assert {p.text for p in found} == {"(a) -> (b)", "(b) -> (c)"}


def test_g04_longest_common():
    first = parse("(NONE) -> (AU01, AU02) -> (AU02)")
    second = parse("(NONE) -> (AU01, AU02) -> (AU01, AU02, AU25) -> (AU02)")
    assert longest_common(first, second) == first
    assert longest_common(first, second, kind="contiguous") == first[:2]


def test_longest_common_of_included_stages():
    first, second = parse("(a) -> (c)"), parse("(a, b) -> (d) -> (c)")
    assert longest_common(first, second) == parse("(c)")
    assert longest_common(first, second, relation="subset") == parse("(a) -> (c)")
    assert longest_common(first, ()) == ()
    assert longest_common((), (), kind="contiguous") == ()


def test_support_counts_stories_not_occurrences():
    assert supports([parse("(a) -> (b) -> (a) -> (b)")], 1)["(a) -> (b)"] == 1


def test_long_stories_end_at_a_length_that_can_be_listed():
    stories = [tuple((("a", letter),) for letter in map(str, range(60)))] * 2
    found = common_patterns(stories, 2, kind="gapped", max_patterns=2000)
    assert {len(p.story) for p in found} == {1, 2}  # of three stages there are 34,220
    assert len(found) == 60 + 60 * 59 // 2
    assert [p for p in found if p.maximal] == [p for p in found if len(p.story) == 2]
    assert len(common_patterns(stories, 2, kind="gapped", max_patterns=5)) == 60  # single stages always
    rows = mine([*stories, stories[0][:20], stories[0][:20]], ["long", "long", "short", "short"], max_patterns=2000)
    short = [row for row in rows if row.group == "short" and row.pattern.kind == "gapped"]
    assert {len(row.pattern.story) for row in short} == {1, 2}


def test_patterns_of_included_stages():
    stories = [parse("(a) -> (b)"), parse("(a, c) -> (b)"), parse("(NONE) -> (b)")]
    assert supports(stories, 2, relation="subset") == {"(a)": 2, "(b)": 3, "(a) -> (b)": 2}
    loose = supports(stories, 2, relation="subset", none_strict=False)
    assert loose["(NONE) -> (b)"] == 3
    maximal = common_patterns(stories, 1, relation="subset", maximal_only=True)
    assert {p.text for p in maximal} == {"(a, c) -> (b)", "(NONE) -> (b)"}


STORIES = st.lists(
    st.lists(st.sampled_from([(), (("a", ""),), (("b", ""),), (("a", ""), ("b", ""))]), max_size=5), max_size=5
)


@settings(max_examples=60, deadline=None)
@given(STORIES, st.integers(1, 3), st.sampled_from(["contiguous", "gapped"]), st.sampled_from(["equal", "subset"]))
def test_patterns_match_an_enumeration_of_everything(stories, min_support, kind, relation):
    mode = "contiguous" if kind == "contiguous" else "subsequence"
    alphabet = sorted({stage for story in stories for stage in story})

    def has(story, pattern):
        if relation == "subset":
            return included(pattern, story, mode=mode)
        positions = itertools.combinations(range(len(story)), len(pattern))
        return any(
            tuple(story[i] for i in chosen) == pattern
            for chosen in positions
            if kind == "gapped" or chosen[-1] - chosen[0] == len(pattern) - 1
        )

    expected = {}
    for length in (1, 2, 3):
        for pattern in itertools.product(alphabet, repeat=length):
            support = sum(has(story, pattern) for story in stories)
            if support >= min_support:
                expected[pattern] = support
    found = common_patterns(stories, min_support, kind=kind, relation=relation, max_length=3)
    assert {p.story: p.support for p in found} == expected
    for pattern in found:
        longer = [other for other in expected if other != pattern.story and has(other, pattern.story)]
        assert pattern.maximal == (not longer)


@given(*[st.lists(st.sampled_from([(), (("a", ""),), (("b", ""),)]), max_size=6)] * 2)
def test_longest_common_is_the_longest_pattern_of_both(first, second):
    for kind in ("contiguous", "gapped"):
        longest = longest_common(first, second, kind=kind)
        both = [p.story for p in common_patterns([first, second], 2, kind=kind)]
        assert len(longest) == max(map(len, both), default=0)
        assert not longest or longest in both


def test_wrong_arguments_are_named():
    with pytest.raises(types.InputError, match="did you mean 'gapped'"):
        common_patterns([X1], 1, kind="gaped")
    with pytest.raises(types.InputError, match="did you mean 'subset'"):
        longest_common(X1, X2, relation="subsets")
    with pytest.raises(types.InputError, match="at least 1"):
        common_patterns([X1], 0)
    with pytest.raises(ValueError, match="got 1 for 2"):
        mine([X1, X2], ["joy"])


def test_mined_patterns_of_groups():
    stories = [X2] * 4 + [X3] * 4 + [parse("(c)")] * 2
    rows = mine(stories, ["joy"] * 4 + ["fear"] * 4 + [None] * 2, kinds=["contiguous"])
    found = {(row.group, row.pattern.text): row for row in rows}
    overall = found["all", "(b)"]
    assert overall.pattern.support == 8
    assert math.isnan(overall.lift)
    assert math.isnan(overall.q_value)
    typical = found["joy", "(a) -> (b)"]
    assert typical.pattern.maximal
    assert (typical.pattern.support, typical.lift) == (4, pytest.approx((4 / 4) / (4 / 10)))
    assert typical.p_value == pytest.approx(1 / math.comb(10, 4))  # one deal of ten takes just these four
    assert typical.q_value >= typical.p_value
    assert not [row for row in rows if row.group == "None"]
    assert mine([], []) == []


def test_the_p_value_is_that_of_dealing_group_names_out():
    rng = np.random.default_rng(0)
    stories = [X2 if rng.random() < 0.4 else X3 for _ in range(30)]
    groups = ["joy" if i % 3 else "fear" for i in range(30)]
    (row,) = [r for r in mine(stories, groups, kinds=["gapped"]) if (r.group, r.pattern.text) == ("joy", "(a)")]
    has = np.array([story == X2 for story in stories])
    joy = np.array(groups) == "joy"
    dealt = np.array([has[rng.permutation(joy)].sum() for _ in range(20_000)])
    assert row.p_value == pytest.approx((dealt >= row.pattern.support).mean(), abs=0.015)


def test_benjamini_hochberg_is_scipys_and_leaves_out_what_was_not_tested():
    p = np.random.default_rng(1).random(40) ** 2
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))
    q = benjamini_hochberg([0.04, np.nan, 0.01])
    np.testing.assert_allclose(q, [0.04, np.nan, 0.02])
    assert benjamini_hochberg([]).shape == (0,)
