"""UNBC-McMaster in miniature: FACS and PSPI files of one name, 66 points, empty files."""

import numpy as np
import pytest

from fer_batch.facs import pspi
from fer_batch.sources.listing import list_source
from fer_batch.sources.points import FROM_66
from fer_batch.sources.truth import read_truth
from fer_batch.types import MediaError

KEY = "042-ll042/ll042t1aaaff"


POINTS = "\n".join(f" {100 + i:.7e} {200 + 2 * i:.7e}" for i in range(66))


FACS = {
    1: "",
    2: "4 2 0 0\n 6.0000000e+00 3.0000000e+00 0 0\n7 1 0 0\n43 1 0 0\n",
    3: "25 0 1 0\n",
    5: "9 2 0 0\n10 4 0 0\n",
}


def miniature(png, **more):
    files = {f"Images/{KEY}/.DS_Store": None}
    for number in (1, 2, 3, 4, 5):
        stem = f"{KEY}/ll042t1aaaff{number:03d}"
        files[f"Images/{stem}.png"] = png
        if number != 4:
            files[f"AAM_landmarks/{stem}_aam.txt"] = POINTS
            files[f"Frame_Labels/FACS/{stem}_facs.txt"] = FACS[number]
            files[f"Frame_Labels/PSPI/{stem}_facs.txt"] = f" {[0, 0, 6, 0, 0, 5][number]:.7e}\n"
    files |= {f"Sequence_Labels/{kind}/{KEY}.txt": " 3.0\n" for kind in ("AFF", "OPR", "SEN", "VAS")}
    return {**files, **more}


@pytest.fixture
def ref(tree, png):
    (only,) = list_source("unbc_mcmaster", tree(miniature(png)))
    return only


def test_a_sequence_and_its_subject(ref):
    assert (ref.sequence_id, ref.subject_id, len(ref.files)) == (KEY, "unbc_mcmaster:ll042", 5)


def test_an_empty_file_is_no_unit_and_a_missing_file_no_label(ref, columns):
    rows = columns(read_truth(ref).annotations, "frame_index", "target", "occurrence")
    coded = [row for row in rows if row[1].startswith("AU")]
    assert {row[0] for row in coded} == {0, 1, 2, 4}, "frame 3 has no file"
    assert {row[2] for row in coded if row[0] == 0} == {False}
    assert [row[1] for row in coded if row[0] == 1 and row[2]] == ["AU04", "AU06", "AU07", "AU43"]


def test_the_extra_columns_are_kept_and_not_used(ref, columns):
    rows = columns(read_truth(ref).annotations, "frame_index", "target", "intensity", "occurrence", "raw")
    assert (1, "AU06", 3.0, True, "3 0 0") in rows
    assert (2, "AU25", None, True, "0 1 0") in rows, "0 is present, not scored"


def test_facs_and_pspi_files_of_one_name_are_told_apart_and_checked(ref, columns, caplog):
    rows = columns(read_truth(ref).annotations, "frame_index", "target", "intensity", "raw")
    assert [row for row in rows if row[1] == "PSPI"] == [
        (0, "PSPI", 0.0, None),
        (1, "PSPI", 6.0, None),
        (2, "PSPI", 0.0, None),
        (4, "PSPI", 5.0, "Action Units give 4"),
    ]
    assert "PSPI of 1 frames is not that of their Action Units" in caplog.text


def test_pspi_that_is_not_given_is_computed(tree, png, columns):
    files = {name: content for name, content in miniature(png).items() if "/PSPI/" not in name}
    (ref,) = list_source("unbc_mcmaster", tree(files))
    rows = columns(read_truth(ref).annotations, "target", "intensity", "raw")
    assert [row[1:] for row in rows if row[0] == "PSPI"][1] == (6.0, "not given")


def test_the_formula():
    assert pspi({}) == 0
    assert pspi({4: 5, 6: 5, 7: 2, 9: 1, 10: 5, 43: 1, 12: 5}) == 16
    assert pspi({4: 1, 7: 3, 9: 2}) == 6


def test_labels_of_the_whole_sequence_stand_at_its_first_frame(ref, columns):
    rows = columns(read_truth(ref).annotations, "frame_index", "target", "intensity", "occurrence")
    assert (0, "VAS", 3.0, None) in rows


def test_66_points_are_68_with_estimated_mouth_corners(ref):
    points = read_truth(ref).points
    assert list(points) == [0, 1, 2, 4]
    np.testing.assert_array_equal(points[0][FROM_66], [[100 + i, 200 + 2 * i] for i in range(66)])
    face = points[0]
    np.testing.assert_allclose(face[60], 0.8 * face[48] + 0.1 * (face[61] + face[67]), rtol=1e-6)


def test_a_file_that_is_none_says_which(tree, png):
    bad = {f"AAM_landmarks/{KEY}/ll042t1aaaff001_aam.txt": "1 2\n3 4\n"}
    (ref,) = list_source("unbc_mcmaster", tree(miniature(png, **bad)))
    with pytest.raises(MediaError, match=r"001_aam\.txt: expected 49, 66 or 68"):
        read_truth(ref)


def test_images_alone_are_sequences_without_labels(tree, png):
    (ref,) = list_source("unbc_mcmaster", tree({k: v for k, v in miniature(png).items() if k.startswith("Images")}))
    assert (ref.annotation_uris, ref.landmarks_uri) == ((), None)
