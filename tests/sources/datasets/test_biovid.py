"""BioVid in miniature: names say subject and level."""

import pytest

from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth
from fer_batch.types import InputError


def test_biovid_names_say_subject_and_level(tree, columns):
    folder = "PartA/video/071309_w_21"
    files = {f"{folder}/071309_w_21-{name}.mp4": b"video" for name in ("BL1-081", "PA3-001")}
    files |= {"PartA/video/080314_m_25/080314_m_25-PA4-099.mp4": b"video", f"{folder}/notes.mp4": b"video"}
    files["starting_point/samples.csv"] = "subject_name\tclass_id\tsample_name\n"
    files["PartA/biosignals/071309_w_21/071309_w_21-BL1-081_bio.csv"] = "time\n"
    base, pain, other = list_source("biovid", tree(files), (), {"exclude": ["080314_m_25"]})
    assert (base.sequence_id, base.subject_id, base.emotion) == (
        "071309_w_21-BL1-081.mp4",
        "biovid:071309_w_21",
        "BL1",
    )
    assert columns(read_truth(pain).annotations, "target", "intensity", "occurrence", "raw") == [
        ("pain_level", 3.0, None, "PA3")
    ]
    assert "excluded" in other.skip_reason and base.skip_reason is None


def test_biovid_parts_together_are_told_apart_by_their_folders(tree):
    names = [f"{part}/video/071309_w_21/071309_w_21-PA1-081.mp4" for part in ("PartA", "PartB")]
    one, other = list_source("biovid", tree(dict.fromkeys(names, b"video")))
    assert (one.sequence_id, other.sequence_id) == ("PartA/071309_w_21-PA1-081.mp4", "PartB/071309_w_21-PA1-081.mp4")
    assert one.subject_id == other.subject_id == "biovid:071309_w_21"


def test_an_input_that_is_named_twice_says_where(tree):
    names = [f"{copy}/071309_w_21/071309_w_21-PA1-081.mp4" for copy in ("old", "new")]
    with pytest.raises(InputError, match=r"twice \(\S+new/071309_w_21/\S+ and \S+old/071309_w_21/\S+\); every input"):
        list_source("biovid", tree(dict.fromkeys(names, b"video")))


def test_biovid_part_d(tree):
    (ref,) = list_source("biovid", tree({"PartD/video/071309_w_21/071309_w_21-happy.mp4": b"video"}))
    assert (ref.emotion, ref.labels) == ("happiness", ())
