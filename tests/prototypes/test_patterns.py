"""Patterns: sub-sequences that sequences share, by group, and which of them are typical."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fer_batch import types
from fer_batch.prototypes import included, parse
from fer_batch.prototypes.patterns import common_patterns, longest_common, mine

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


def test_support_counts_sequences_not_occurrences():
    assert supports([parse("(a) -> (b) -> (a) -> (b)")], 1)["(a) -> (b)"] == 1


def distinct(n):
    return tuple((("a", str(i)),) for i in range(n))


@pytest.mark.parametrize("n_stages", [5, 15])
def test_of_a_sequence_that_all_have_only_the_whole_is_maximal(n_stages):
    sequence = distinct(n_stages)
    rows = mine([sequence] * 30 + [sequence[::-1]] * 30, ["x"] * 30 + ["y"] * 30)
    contiguous = [r.pattern for r in rows if r.group == "x" and r.pattern.kind == "contiguous"]
    assert [p.stages for p in contiguous if p.maximal] == [sequence]
    assert [p.stages for p in contiguous if p.closed and len(p.stages) > 1] == [sequence]
    assert max(len(p.stages) for p in contiguous if p.stages != sequence) <= 6, "longer ones only where they are closed"
    gapped = [r.pattern for r in rows if r.group == "x" and r.pattern.kind == "gapped"]
    assert [p.stages for p in gapped if p.maximal is not False] == ([sequence] if n_stages <= 6 else [])
    assert {r.longest for r in rows} == {6}


def test_a_pattern_of_the_greatest_length_is_maximal_where_no_place_takes_another_stage():
    a, b, c, d = distinct(4)
    between = [(a, b, c, d), (a, b, c, d), (a, d), (b, a)]
    found = {p.stages: p for p in common_patterns(between, 2, kind="gapped", max_length=2)}
    assert found[a, d].maximal is False, "b fits in the middle, where a prefix does not grow"
    assert found[a, d].closed is True, "but only in two of its three sequences"
    assert found[a, b].closed is False
    assert common_patterns([(a, b), (a, b), (b, a)], 2, kind="gapped", max_length=2, maximal_only=True)[0].stages == (
        a,
        b,
    )


SEQUENCES = st.lists(
    st.lists(st.sampled_from([(), (("a", ""),), (("b", ""),), (("a", ""), ("b", ""))]), max_size=4), max_size=5
)


@settings(max_examples=60, deadline=None)
@given(
    SEQUENCES,
    st.integers(1, 3),
    st.sampled_from(["contiguous", "gapped"]),
    st.sampled_from(["equal", "subset"]),
    st.integers(1, 4),
)
def test_patterns_match_an_enumeration_of_everything(sequences, min_support, kind, relation, max_length):
    mode = "contiguous" if kind == "contiguous" else "subsequence"
    alphabet = sorted({stage for sequence in sequences for stage in sequence})

    def has(sequence, pattern):
        if relation == "subset":
            return included(pattern, sequence, mode=mode)
        positions = itertools.combinations(range(len(sequence)), len(pattern))
        return any(
            tuple(sequence[i] for i in chosen) == pattern
            for chosen in positions
            if kind == "gapped" or chosen[-1] - chosen[0] == len(pattern) - 1
        )

    expected = {}
    for length in (1, 2, 3, 4):
        for pattern in itertools.product(alphabet, repeat=length):
            support = sum(has(sequence, pattern) for sequence in sequences)
            if support >= min_support:
                expected[pattern] = support
    found = common_patterns(sequences, min_support, kind=kind, relation=relation, max_length=max_length)
    whole = kind == "contiguous" and relation == "equal"
    for pattern in found:
        longer = [n for other, n in expected.items() if other != pattern.stages and has(other, pattern.stages)]
        assert pattern.maximal == (not longer)
        assert pattern.closed == (pattern.support not in longer)
    listed = {p.stages: p.support for p in found}
    short = {sequence: n for sequence, n in expected.items() if len(sequence) <= max_length}
    assert {sequence: n for sequence, n in listed.items() if len(sequence) <= max_length} == short
    closed = {
        sequence: n
        for sequence, n in expected.items()
        if len(sequence) > max_length
        and n not in [m for o, m in expected.items() if o != sequence and has(o, sequence)]
    }
    assert {sequence: n for sequence, n in listed.items() if len(sequence) > max_length} == (closed if whole else {})


@given(*[st.lists(st.sampled_from([(), (("a", ""),), (("b", ""),)]), max_size=6)] * 2)
def test_longest_common_is_the_longest_pattern_of_both(first, second):
    for kind in ("contiguous", "gapped"):
        longest = longest_common(first, second, kind=kind)
        both = [p.stages for p in common_patterns([first, second], 2, kind=kind)]
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
    sequences = [X2] * 4 + [X3] * 4 + [parse("(c)")] * 2
    rows = mine(sequences, ["joy"] * 4 + ["fear"] * 4 + [None] * 2, kinds=["contiguous"])
    found = {(row.group, row.pattern.text): row for row in rows}
    overall = found["all", "(b)"]
    assert overall.pattern.support == 8
    assert math.isnan(overall.lift)
    assert math.isnan(overall.q_value)
    typical = found["joy", "(a) -> (b)"]
    assert typical.pattern.maximal
    assert (typical.pattern.support, typical.lift) == (4, pytest.approx((4 / 4) / (4 / 8)))
    assert typical.p_value == pytest.approx(1 / math.comb(8, 4)), "one deal of eight takes just these four"
    # five patterns that two labelled sequences have, each for two groups, of which three and three are as good
    assert typical.q_value == pytest.approx(min(1, typical.p_value * 10 / 4))
    assert found["all", "(c)"].pattern.support == 6
    assert found["fear", "(c)"].lift == 2, "a sequence without a group is no evidence against one"
    assert not [row for row in rows if row.group == "None"]
    assert mine([], []) == []
    assert {row.group for row in mine(sequences, [None] * 10)} == {"all"}


def test_a_pattern_is_tested_for_every_group_whether_it_is_listed_there_or_not():
    a, b = distinct(2)
    rows = mine([(a,)] * 6 + [(b,)] * 6, ["x"] * 6 + ["y"] * 6, kinds=["gapped"])
    listed = {(row.group, row.pattern.stages): row for row in rows if row.group != "all"}
    assert set(listed) == {("x", (a,)), ("y", (b,))}
    # four tests: two at 1 / C(12, 6), two of support 0 at 1
    assert listed["x", (a,)].p_value == pytest.approx(1 / math.comb(12, 6))
    assert listed["x", (a,)].q_value == pytest.approx(2 / math.comb(12, 6))


AUS = [f"AU{n:02d}" for n in (1, 2, 4, 5, 6, 7, 9, 12, 15, 17, 25, 26)]


def random_sequence(rng):
    """Targets that set in one after another, as on the way to an expression."""
    active, made = set(), [()]
    for target in rng.choice(AUS, rng.integers(2, 5), replace=False):
        active.add((str(target), "A"))
        made.append(tuple(sorted(active)))
    return tuple(made)


@pytest.mark.parametrize(
    "sizes",
    [{"pain": 6, "fear": 8, "anger": 10, None: 60}, {"a": 5, "b": 5, "c": 50}, {"a": 30, "b": 30, "c": 30}],
    ids=["many-unlabelled", "rare", "even"],
)
def test_names_that_are_dealt_out_at_random_are_typical_of_nothing(sizes):
    rng = np.random.default_rng(7)
    groups = [name for name, n in sizes.items() for _ in range(n)]
    n_collections = 60
    wrong = 0
    for _ in range(n_collections):
        rows = mine([random_sequence(rng) for _ in groups], groups, max_length=3)
        wrong += any(row.q_value < 0.05 for row in rows)
    assert stats.binomtest(wrong, n_collections, 0.05, "greater").pvalue > 0.01, f"{wrong} of {n_collections}"


def test_classes_that_differ_are_found():
    rng = np.random.default_rng(7)
    made = [random_sequence(rng) for _ in range(60)]
    smile = parse("(NONE) -> (AU12_A)")
    rows = mine(
        [smile + sequence[1:] if i < 12 else sequence for i, sequence in enumerate(made)], ["joy"] * 20 + ["fear"] * 40
    )
    assert ("joy", smile) in {(row.group, row.pattern.stages) for row in rows if row.q_value < 0.01}


def test_the_p_value_is_that_of_dealing_group_names_out():
    rng = np.random.default_rng(0)
    sequences = [X2 if rng.random() < 0.4 else X3 for _ in range(30)]
    groups = ["joy" if i % 3 else "fear" for i in range(30)]
    (row,) = [r for r in mine(sequences, groups, kinds=["gapped"]) if (r.group, r.pattern.text) == ("joy", "(a)")]
    has = np.array([sequence == X2 for sequence in sequences])
    joy = np.array(groups) == "joy"
    dealt = np.array([has[rng.permutation(joy)].sum() for _ in range(20_000)])
    assert row.p_value == pytest.approx((dealt >= row.pattern.support).mean(), abs=0.015)


@pytest.mark.parametrize("kind", ["contiguous", "gapped"])
@pytest.mark.parametrize("relation", ["equal", "subset"])
def test_of_parts_their_owners_are_counted(kind, relation):
    """Episodes of a recording: a recording has a pattern where one of them has it."""
    rng = np.random.default_rng(3)
    owners = np.sort(rng.integers(0, 12, 40)).tolist()
    parts = [random_sequence(rng) for _ in owners]
    groups = [None if number == 3 else "xy"[number % 2] for number in range(12)]
    found = mine(parts, groups, owners=owners, kinds=[kind], relation=relation, max_length=3)
    assert any(len(row.pattern.stages) > 1 for row in found)
    mode = "subsequence" if kind == "gapped" else "contiguous"
    for row in found:

        def has(part, pattern=row.pattern.stages):
            if relation == "subset":
                return included(pattern, part, mode=mode)
            n = len(pattern)
            if kind == "contiguous":
                return any(tuple(part[i : i + n]) == tuple(pattern) for i in range(len(part) - n + 1))
            rest = iter(part)
            return all(stage in rest for stage in pattern)

        having = {own for own, part in zip(owners, parts, strict=True) if has(part)}
        own = {n for n in having if row.group in ("all", groups[n])}
        assert row.pattern.support == len(own), row
        if row.group != "all":
            size = groups.count(row.group)
            labelled = {n for n in having if groups[n]}
            p = stats.hypergeom.sf(len(own) - 1, 11, len(labelled), size)
            assert row.p_value == pytest.approx(p)


def test_wrong_owners_are_named():
    with pytest.raises(ValueError, match="one owner per sequence, got 1 for 2"):
        mine([X1, X2], ["x"], owners=[0])
    with pytest.raises(ValueError, match="owners from 0 to 0, got 0 to 1"):
        mine([X1, X2], ["x"], owners=[0, 1])
    assert mine([], [], owners=[]) == []
