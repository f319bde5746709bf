"""AffectNet with lists in CSV, in miniature, with what copies of it lack."""

import numpy as np
import pytest

from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth
from fer_batch.storage.store import Store
from fer_batch.types import InputError, MediaError

HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"


POINTS = ";".join(str(i + 0.5) for i in range(136))


def line(path, code, valence=0.1, arousal=-0.2, points=POINTS, box="10,20,30,40"):
    return f"{path},{box},{points},{code},{valence},{arousal}\n"


TRAINING = (
    line("1/happy.jpg", 1)
    + line("1/none.JPG", 8, -2, -2)
    + line("2/unsure.jpg", 9, -2, -2)
    + line("2/no_face.jpg", 10, -2, -2, points="")
)


def csv_release(jpg, header=HEADER, lists="Manually_Annotated_file_lists", top=""):
    files = {f"{top}Manually_Annotated_Images/{name}": jpg for name in ("1/happy.jpg", "1/none.JPG", "2/unsure.jpg")}
    files |= {f"{top}Manually_Annotated_Images/3/val.jpg": jpg, f"{top}Manually_Annotated_Images/1/Thumbs.db": None}
    files[f"{top}{lists}/training.csv"] = header + TRAINING
    files[f"{top}{lists}/validation.csv"] = header + line("3/val.jpg", 7, points="1;2;3")
    files[f"{top}automatically_annotated.csv"] = header + line("9/auto.jpg", 0)
    files[f"{top}Automatically_Annotated_Images/9/auto.jpg"] = jpg
    return files


@pytest.mark.parametrize("header", [HEADER, "", "\ufeff" + HEADER])
@pytest.mark.parametrize("lists", ["Manually_Annotated_file_lists", "Manual_Annot_files"])
def test_lists_with_and_without_a_header(tree, jpg, header, lists):
    refs = list_source("affectnet", tree(csv_release(jpg, header, lists)))
    assert [ref.sequence_id for ref in refs] == [
        "1/happy.jpg",
        "1/none.JPG",
        "2/no_face.jpg",
        "2/unsure.jpg",
        "3/val.jpg",
    ]
    assert [ref.split for ref in refs] == ["train"] * 4 + ["val"]


@pytest.mark.parametrize("begin", ["\ufeff", "\r\n", "\ufeff\n" + HEADER], ids=["mark", "empty line", "both, header"])
def test_the_first_line_of_a_list_is_a_picture_like_all_others(tree, jpg, begin):
    files = {"Manually_Annotated_Images/1/a.jpg": jpg, "Manually_Annotated_Images/1/b.jpg": jpg}
    files["training.csv"] = begin + line("1/a.jpg", 1) + line("1/b.jpg", 2)
    refs = list_source("affectnet", tree(files))
    assert [(ref.sequence_id, ref.size, ref.emotion) for ref in refs] == [
        ("1/a.jpg", len(jpg), "happiness"),
        ("1/b.jpg", len(jpg), "sadness"),
    ]
    for ref in refs:
        assert read_truth(ref).points[0][0].tolist() == [0.5, 1.5]


def test_a_list_whose_cells_are_quoted(tree, jpg):
    cells = line("1/a.jpg", 1).strip().split(",")
    quoted = ",".join(f'"{cell}"' for cell in cells) + "\r\n"
    (ref,) = list_source("affectnet", tree({"Manually_Annotated_Images/1/a.jpg": jpg, "training.csv": HEADER + quoted}))
    assert (ref.sequence_id, ref.size, ref.emotion) == ("1/a.jpg", len(jpg), "happiness")
    assert read_truth(ref).points[0][0].tolist() == [0.5, 1.5]


def test_pictures_in_many_folders_inside_a_folder_of_nearly_their_name(tree, jpg):
    files = {f"Manually_Annotated/Manually_Annotated_Images/{i}/a.jpg": jpg for i in range(30)}
    files["lists/more/training.csv"] = "\n" + "".join(line(f"{i}/a.jpg", 0) for i in range(30)) + "\n"
    refs = list_source("affectnet", tree(files), (), {"parts": "training"})
    assert len(refs) == 30 and {ref.size for ref in refs} == {len(jpg)}


def test_a_still_with_all_its_labels(tree, jpg, columns):
    ref = list_source("affectnet", tree(csv_release(jpg)))[0]
    truth = read_truth(ref)
    assert columns(truth.annotations, "target", "occurrence", "raw") == [
        ("happiness", True, "1"),
        ("valence", None, None),
        ("arousal", None, None),
    ]
    np.testing.assert_allclose(truth.annotations["intensity"].to_numpy()[1:], [0.1, -0.2], rtol=1e-6)
    assert (ref.emotion, ref.size) == ("happiness", len(jpg))
    assert truth.points[0][0].tolist() == [0.5, 1.5]


def test_what_is_no_expression_is_skipped_with_its_reason(tree, jpg):
    refs = {ref.sequence_id: ref for ref in list_source("affectnet", tree(csv_release(jpg)))}
    assert "none of the expressions" in refs["1/none.JPG"].skip_reason
    assert "uncertain" in refs["2/unsure.jpg"].skip_reason
    assert "no face" in refs["2/no_face.jpg"].skip_reason
    assert refs["1/none.JPG"].labels == (), "-2 says that valence and arousal are not given"
    assert refs["1/happy.jpg"].skip_reason is None


def test_a_face_without_its_landmarks_has_a_box(tree, jpg):
    ref = list_source("affectnet", tree(csv_release(jpg)))[-1]
    assert read_truth(ref).points == {}
    assert read_truth(ref).boxes == {0: (10, 20, 39, 59)}
    assert ref.emotion == "contempt"


def test_a_list_that_changes_under_a_run_is_noticed(tree, jpg):
    uri = tree(csv_release(jpg))
    ref = list_source("affectnet", uri)[0]
    Store(uri).put("Manually_Annotated_file_lists/training.csv", (HEADER + "x" + TRAINING).encode())
    with pytest.raises(MediaError, match="was changed since it was listed"):
        read_truth(ref)


def test_a_listed_picture_that_is_not_there_is_an_input(tree, jpg):
    refs = {ref.sequence_id: ref for ref in list_source("affectnet", tree(csv_release(jpg)))}
    assert refs["2/no_face.jpg"].version == "missing"


def test_the_automatic_part_is_asked_for(tree, jpg):
    uri = tree(csv_release(jpg, top="AffectNet/"))
    assert [ref.sequence_id for ref in list_source("affectnet", uri, (), {"parts": ["automatic"]})] == [
        "automatic/9/auto.jpg"
    ]
    with pytest.raises(InputError, match="did you mean 'automatic'"):
        list_source("affectnet", uri, (), {"parts": ["automated"]})


def test_the_automatic_part_alone_says_how_to_ask_for_it(tree, jpg):
    files = {"Automatically_Annotated_Images/9/a.jpg": jpg, "automatically_annotated.csv": line("9/a.jpg", 1)}
    uri = tree(files)
    with pytest.raises(InputError, match=r"part automatic only; give source\.options: \{parts: \[automatic\]\}"):
        list_source("affectnet", uri)
    assert len(list_source("affectnet", uri, (), {"parts": ["automatic"]})) == 1


def test_a_changed_label_is_another_unit(tree, jpg):
    files = csv_release(jpg)
    before = list_source("affectnet", tree(files))[0]
    files["Manually_Annotated_file_lists/training.csv"] = HEADER + TRAINING.replace(",1,0.1", ",2,0.1")
    after = list_source("affectnet", tree(files))[0]
    assert (before.emotion, after.emotion) == ("happiness", "sadness")
    assert before.truth_version != after.truth_version


@pytest.mark.parametrize(
    ("text", "message"), [(line("1/a.jpg", 11), "0 to 10, got 11"), ("1/a.jpg,1\n", "expected subDirectory_filePath")]
)
def test_a_list_that_is_none_is_refused(tree, jpg, text, message):
    files = {"Manually_Annotated_Images/1/a.jpg": jpg, "training.csv": text}
    with pytest.raises(InputError, match=message):
        list_source("affectnet", tree(files))
