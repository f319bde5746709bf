"""Whether people were trained on is known from their names, as the card, a known data set and clips write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_batch.evaluate.people import People, people_of

CARD = ("posed:P001", "posed:P002", "ck_plus:S005")


@pytest.mark.parametrize(
    ("dataset", "subject", "known", "by_name"),
    [
        ("posed", "P001", True, False),  # clips whose run is called as the training called them
        ("posed", "P003", False, False),
        ("posed", "S005", False, False),  # another S005: posed is a data set of the training
        ("ck_plus", "ck_plus:S005", True, False),  # an adapter of a known data set writes the prefix itself
        ("nightly", "ck_plus:S005", True, False),  # whatever the run is called
        ("nightly", "unbc_mcmaster:S005", False, False),
        ("nightly", "P001", True, True),  # the run of the same clips under another name
        ("nightly", "P003", False, False),
    ],
)
def test_a_person_is_known_by_name_and_data_set(dataset, subject, known, by_name):
    found = people_of([subject], [], dataset, CARD)
    assert (found.known == {subject}, found.new == {subject}, found.by_name) == (known, not known, by_name)


def test_inputs_without_a_subject_are_known_where_the_training_named_them_so_and_else_unnamed():
    found = people_of([], ["a.jpg", "b.jpg"], "faces", ["faces:a.jpg"])
    assert (found.known, found.unnamed) == ({"a.jpg"}, {"b.jpg"})
    assert not found.all_known
    assert "1 input names no subject" in found.note


@given(st.sets(st.text(max_size=3)), st.sets(st.text(max_size=3)), st.sets(st.text(max_size=5)))
def test_everybody_is_in_one_group(named, unnamed, trained):
    found = people_of(named, unnamed - named, "d", trained)
    groups = (found.known, found.new, found.unnamed)
    if trained:
        assert sum(map(len, groups)) == len(named | unnamed)
        assert frozenset.union(*groups) == named | unnamed
    else:
        assert found == People()


def test_the_warning_says_how_many_and_what_to_expect_of_others():
    folds = {"AU01": 0.2, "AU04": 0.28, "AU12": None}
    some = people_of(["P001", "P002", "P003", "P004"], [], "posed", CARD, folds, 4)
    assert some.warning == (
        "The network was trained on 2 of the 4 people here: F1 and mu are of faces it knows. "
        "On new people, mean over 4 folds: F1 .24."
    )
    every = people_of(["P001", "P002"], [], "clips", CARD, folds, 1)
    assert every.all_known
    assert "trained on all 2 people here" in every.warning
    assert "Known by their names alone" in every.warning
    assert "the test part of its training: F1 .24" in every.warning
    partly = people_of(["P001"], ["x.jpg"], "posed", CARD)
    assert partly.warning.startswith("The network was trained on 1 of the 1 people here who are named:")
    bare = people_of(["P001"], [], "posed", CARD)
    assert bare.warning.endswith("the only person here: F1 and mu are of faces it knows.")
    assert math.isnan(bare.mean_fold_f1)


def test_without_known_people_there_is_no_warning():
    assert people_of(["P001"], [], "posed", ()).note == ""
    strangers = people_of(["P008", "P009"], [], "posed", CARD)
    assert strangers.warning == ""
    assert strangers.note == "The card of the network names whom it was trained on: none of the 2 people here."
