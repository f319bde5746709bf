"""What a name and the files beside an input say of it."""

import pytest

from fer_batch.sources.names import ANNOTATIONS, LANDMARKS, beside, name_parts
from fer_batch.storage.store import Entry
from fer_batch.types import InputError


def test_a_regex_finds_who_is_seen_and_what_they_show():
    parts = name_parts(r"(?P<split>\w+)/(?P<subject_id>S\d+)?_(?P<emotion>\w+)\.")
    assert parts("Training/S1_Happy.png") == {"split": "train", "subject_id": "S1", "emotion": "happiness"}
    assert parts("test/_odd.png") == {"split": "test", "emotion": "odd"}, "what says nothing is left out"
    assert parts("a.png") == {} == name_parts(None)("Training/S1_Happy.png")


@pytest.mark.parametrize(
    ("regex", "message"), [("(", "is no regular expression"), ("(?P<emotoin>a)", "did you mean 'emotion'")]
)
def test_a_regex_that_is_none_is_refused(regex, message):
    with pytest.raises(InputError, match=message):
        name_parts(regex)


def test_ground_truth_beside_an_input_is_part_of_its_version():
    entries = {"a" + suffix: Entry("a" + suffix, 3, suffix) for suffix in (ANNOTATIONS, LANDMARKS)}
    found = beside(entries, "a" + ANNOTATIONS, "a" + LANDMARKS, "s3://{}".format)
    assert (found["annotation_uris"], found["landmarks_uri"]) == (("s3://a.annotations.csv",), "s3://a.landmarks.csv")
    assert found["truth_version"] == "3:.annotations.csv+3:.landmarks.csv"
    assert beside({}, "a", "b") == {"annotation_uris": (), "landmarks_uri": None, "truth_version": ""}
