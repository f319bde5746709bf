"""Temporal prototypes in looks, and their text."""

import pytest

from fer_batch.prototypes import parse, prototype_text
from fer_batch.prototypes.looks import in_looks, look_name
from fer_batch.prototypes.stages import label_set, parse_stage, stage_text
from fer_batch.prototypes.temporal import cooccurrence, included

TEXT = "(NONE) -> (AU02_A) -> (AU01_A, AU02_B) -> (AU01_A, AU02_A) -> (AU02_A, AU04)"


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ({("AU02", "A"): 1, ("AU02", "B"): 10, ("AU01", "A"): 2},
         "(NONE) -> (AU02@1) -> (AU01@2, AU02@10) -> (AU01@2, AU02@1) -> (AU02@1, AU04)"),
        ({("AU02", "A"): 3, ("AU02", "B"): 3, ("AU01", "A"): 2},
         "(NONE) -> (AU02@3) -> (AU01@2, AU02@3) -> (AU02@3, AU04)"),
        ({("AU02", "A"): 1, ("AU02", "B"): None},
         "(NONE) -> (AU02@1) -> (AU01, AU02) -> (AU01, AU02@1) -> (AU02@1, AU04)"),
        ({}, "(NONE) -> (AU02) -> (AU01, AU02) -> (AU02, AU04)"),
    ],
    ids=["each its own", "two clusters of one look", "a cluster without a look", "no looks"],
)  # fmt: skip
def test_letters_become_looks_and_runs_are_formed_anew(looks, expected):
    assert prototype_text(in_looks(parse(TEXT), looks)) == expected


def test_text_with_looks_is_read_back():
    text = "(AU01@2, AU02@10, AU04) -> (AU02@2, AU02@10)"
    stages = parse(text)
    assert stages[0] == (("AU01", "@2"), ("AU02", "@10"), ("AU04", ""))
    assert prototype_text(stages) == text
    assert prototype_text(cooccurrence(stages)) == "(AU01, AU02, AU04) -> (AU02)"
    assert included(parse("(AU02@10)"), stages)
    assert not included(parse("(AU02@1)"), stages)
    assert stage_text(label_set([("AU02", "@10"), ("AU02", "@9"), ("AU01", "B")])) == "(AU01_B, AU02@9, AU02@10)"


def test_a_target_whose_name_ends_like_a_look_keeps_it_where_it_is_known():
    assert parse_stage("(MOUTH@2)") == (("MOUTH", "@2"),)
    assert parse_stage("(MOUTH@2)", ["MOUTH@2"]) == (("MOUTH@2", ""),)
    assert parse_stage("(MOUTH@2@1)", ["MOUTH@2"]) == (("MOUTH@2", "@1"),)
    assert parse_stage("(MOUTH@0)") == (("MOUTH@0", ""),), "looks count from 1"


def test_looks_count_from_one():
    assert look_name(12) == "@12"
    with pytest.raises(ValueError, match="expected a look from 1, got 0"):
        look_name(0)
