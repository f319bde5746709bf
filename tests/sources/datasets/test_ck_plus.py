"""CK+ in miniature: peak-only labels, an intensity of 0, no emotion file."""

import pytest

from fer_batch.facs import AU_NAMES
from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth
from fer_batch.types import InputError, MediaError

POINTS = "\n".join(f"   {1.5 * i:.7e}   {100 + i:.7e}" for i in range(68)) + "\n"


def miniature(png, top="", images="cohn-kanade-images"):
    """Two sequences of S005 and one of S010, whose peak is labelled for the first only."""
    files = {f"{top}{images}/{s}/{n}/.DS_Store": None for s, n in (("S005", "001"), ("S005", "002"))}
    for sequence, numbers in {"S005/001": (1, 2, 11), "S005/002": (1, 2), "S010/001": (3, 4)}.items():
        stem = sequence.replace("/", "_")
        for number in numbers:
            files[f"{top}{images}/{sequence}/{stem}_{number:08d}.png"] = png
            files[f"{top}Landmarks/{sequence}/{stem}_{number:08d}_landmarks.txt"] = POINTS
    files[f"{top}{images}/S005/001/._S005_001_00000001.png"] = None
    facs = "   2.0000000e+00   1.0000000e+00\n   1.2000000e+01   0.0000000e+00\n"
    files[f"{top}FACS/S005/001/S005_001_00000011_facs.txt"] = facs
    files[f"{top}Emotion/S005/001/S005_001_00000011_emotion.txt"] = "   7.0000000e+00\n"
    files[f"{top}Emotion/S005/002/"] = None
    return files


@pytest.fixture
def refs(tree, png):
    return list_source("ck_plus", tree(miniature(png)))


def test_one_row_per_sequence(refs):
    assert [ref.sequence_id for ref in refs] == ["S005/001", "S005/002", "S010/001"]
    assert [ref.subject_id for ref in refs] == ["ck_plus:S005", "ck_plus:S005", "ck_plus:S010"]
    assert [uri.rpartition("_")[2] for uri in refs[0].files] == ["00000001.png", "00000002.png", "00000011.png"]
    assert refs[0].kind == "image_sequence"


def test_labels_are_of_the_last_frame_and_the_first_is_none(refs, columns):
    truth = read_truth(refs[0])
    assert truth.emotion == "surprise"
    found = columns(truth.annotations, "frame_index", "target", "intensity", "occurrence", "raw")
    assert {row[0] for row in found} == {0, 2}, "what lies between is not annotated"
    assert [row[1:] for row in found if row[0] == 2 and row[3]] == [
        ("AU02", 1.0, True, "1"),
        ("AU12", None, True, "0"),
        ("surprise", None, True, "7"),
    ]
    assert {row[1] for row in found if row[0] == 0 and row[3]} == {"neutral"}
    assert sum(row[0] == 0 and row[3] is False for row in found) == len(AU_NAMES)
    assert sum(row[0] == 2 and row[3] is False for row in found) == len(AU_NAMES) - 2


def test_no_file_is_no_label_not_neutral(refs):
    for ref in refs[1:]:
        truth = read_truth(ref)
        assert (truth.emotion, truth.annotations.num_rows) == (None, 0)


def test_every_frame_has_landmarks(refs):
    points = read_truth(refs[0]).points
    assert list(points) == [0, 1, 2]
    assert points[2][67].tolist() == [100.5, 167.0]


@pytest.mark.parametrize(("top", "images"), [("CK+/", "cohn-kanade-images"), ("", "extended-cohn-kanade-images")])
def test_an_extra_folder_and_the_other_name(tree, png, top, images):
    refs = list_source("ck_plus", tree(miniature(png, top, images)))
    assert [ref.sequence_id for ref in refs] == ["S005/001", "S005/002", "S010/001"]
    assert read_truth(refs[0]).emotion == "surprise"


def test_without_labels_and_landmarks_there_are_still_sequences(tree, png):
    files = {name: content for name, content in miniature(png).items() if name.startswith("cohn")}
    first = list_source("ck_plus", tree(files))[0]
    assert (first.annotation_uris, first.landmarks_uri, first.truth_version) == ((), None, "")
    assert read_truth(first).points == {}


def test_a_changed_label_is_another_unit(tree, png):
    files = miniature(png)
    before = list_source("ck_plus", tree(files))[0]
    after = list_source("ck_plus", tree({**files, "FACS/S005/001/S005_001_00000011_facs.txt": "1 1\n"}))[0]
    assert before.truth_version != after.truth_version


def test_a_label_of_a_frame_that_is_not_there_is_left_out(tree, png, caplog):
    files = miniature(png)
    del files["cohn-kanade-images/S005/001/S005_001_00000011.png"]
    assert read_truth(list_source("ck_plus", tree(files))[0]).annotations.num_rows == 0
    assert "labels of a frame that does not exist" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Emotion/S005/001/S005_001_00000011_emotion.txt", "9.0\n", "expected an expression code of ck_plus, 0 to 7"),
        ("FACS/S005/001/S005_001_00000011_facs.txt", "1.0 7.0\n", "expected intensities of 0 to 5, got 7 for AU01"),
        ("FACS/S005/001/S005_001_00000011_facs.txt", "1.0\n", "expected 2 numbers in a row"),
        ("Landmarks/S005/001/S005_001_00000011_landmarks.txt", "1 2\n", "expected 68 rows of x and y, got 1 of 2"),
    ],
)
def test_a_bad_file_is_the_reason_of_its_sequence(tree, png, name, content, message):
    (ref,) = list_source("ck_plus", tree({**miniature(png), name: content}), ["S005/001"])
    with pytest.raises(MediaError, match=message):
        read_truth(ref)


def test_two_pictures_of_one_frame_are_refused(tree, png):
    files = {**miniature(png), "cohn-kanade-images/S005/001/S005_001_11.png": png}
    with pytest.raises(InputError, match="distinct numbers"):
        list_source("ck_plus", tree(files))


def test_a_folder_that_is_no_ck_plus(tree):
    with pytest.raises(InputError, match=r"no folder 'cohn-kanade-images' .* it holds a, b\.txt"):
        list_source("ck_plus", tree({"a/x.png": None, "b.txt": None}))


def test_an_unknown_option_names_the_format(tree, png):
    with pytest.raises(InputError, match="'ck_plus' has no option 'camera'; it has none"):
        list_source("ck_plus", tree(miniature(png)), (), {"camera": "left"})
