"""Contiguous patterns: runs of stages of any length."""

from fer_batch.prototypes.patterns import common_patterns


def distinct(n):
    return tuple((("a", str(i)),) for i in range(n))


def test_runs_that_are_too_many_are_listed_where_they_are_closed():
    found = common_patterns([distinct(60), distinct(60), distinct(60)[:30]], 2, max_patterns=100)
    assert [len(p.stages) for p in found if len(p.stages) > 1] == [30, 60]
    assert len(found) == 62


def test_two_very_long_sequences_are_mined_at_once():
    sequence = distinct(1500)
    found = common_patterns([sequence, sequence], 2)
    assert found[-1].stages == sequence
    assert len([p for p in found if p.closed]) == 1
