"""Gapped patterns and included stages: all up to a length, within a bound."""

import time

import numpy as np

from fer_batch.prototypes import included, parse
from fer_batch.prototypes.patterns import common_patterns

AUS = [f"AU{n:02d}" for n in (1, 2, 4, 5, 6, 7, 9, 12, 15, 17, 25, 26)]


def distinct(n):
    return tuple((("a", str(i)),) for i in range(n))


def supports(*args, **options):
    return {pattern.text: pattern.support for pattern in common_patterns(*args, **options)}


def random_sequence(rng):
    """Targets that set in one after another, as on the way to an expression."""
    active, made = set(), [()]
    for target in rng.choice(AUS, rng.integers(2, 5), replace=False):
        active.add((str(target), "A"))
        made.append(tuple(sorted(active)))
    return tuple(made)


def test_long_sequences_end_at_a_length_that_can_be_listed():
    found = common_patterns([distinct(60)] * 2, 2, kind="gapped", max_patterns=2000)
    assert {len(p.stages) for p in found} == {1, 2}  # of three stages there are 34,220
    assert len(found) == 60 + 60 * 59 // 2
    assert {p.maximal for p in found if len(p.stages) == 1} == {False}
    assert None in {p.maximal for p in found if len(p.stages) == 2}, "nobody looked at all of three stages"
    assert True not in {p.maximal for p in found} | {p.closed for p in found}
    assert len(common_patterns([distinct(60)] * 2, 2, kind="gapped", max_patterns=5)) == 60  # single stages always


def test_patterns_of_included_stages():
    sequences = [parse("(a) -> (b)"), parse("(a, c) -> (b)"), parse("(NONE) -> (b)")]
    assert supports(sequences, 2, relation="subset") == {"(a)": 2, "(b)": 3, "(a) -> (b)": 2}
    loose = supports(sequences, 2, relation="subset", none_strict=False)
    assert loose["(NONE) -> (b)"] == 3
    maximal = common_patterns(sequences, 1, relation="subset", maximal_only=True)
    assert {p.text for p in maximal} == {"(a, c) -> (b)", "(NONE) -> (b)"}


def test_included_stages_are_mined_from_hundreds_of_sequences_in_seconds():
    rng = np.random.default_rng(0)
    made = [random_sequence(rng) for _ in range(300)]
    began = time.process_time()
    found = common_patterns(made, 3, kind="gapped", relation="subset")
    assert time.process_time() - began < 20
    maximal = [p for p in found if p.maximal]
    assert maximal
    for pattern in maximal[:20]:
        wholes = [p for p in found if p != pattern and included(pattern.stages, p.stages)]
        assert not wholes
