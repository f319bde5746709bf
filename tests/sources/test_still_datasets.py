"""RAF-DB, JAFFE, FER2013, FER+ and OpenFace's output in miniature, with their traps."""

import json

import numpy as np
import pytest
from PIL import Image

from fer_batch.sources.fetch import grey_picture, local_input
from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth
from fer_batch.storage.store import Store
from fer_batch.types import InputError, MediaError


def raf_db(jpg, name="list_patition_label.txt"):
    files = {f"basic/EmoLabel/{name}": "train_00001.jpg 5\ntest_0001.jpg 7\n\ntrain_00002.jpg 4\n"}
    files |= {f"basic/Image/aligned/{stem}_aligned.jpg": jpg for stem in ("train_00001", "test_0001")}
    files |= {f"basic/Image/original/{stem}.jpg": jpg for stem in ("train_00001", "test_0001", "train_00002")}
    files["basic/Annotation/boundingbox/train_00001_boundingbox.txt"] = "10.5 20.0 30.25 44 \n"
    return files


@pytest.mark.parametrize("name", ["list_patition_label.txt", "list_partition_label.txt"])
def test_raf_db_with_the_misspelt_list(tree, jpg, columns, name):
    refs = list_source("raf_db", tree(raf_db(jpg, name)))
    assert [(ref.sequence_id, ref.emotion, ref.split) for ref in refs] == [
        ("test_0001.jpg", "neutral", "test"),
        ("train_00001.jpg", "sadness", "train"),
        ("train_00002.jpg", "happiness", "train"),
    ]
    assert refs[1].uri.endswith("aligned/train_00001_aligned.jpg")
    assert refs[2].version == "missing", "it is in the list, but its aligned picture is not there"
    assert columns(read_truth(refs[1]).annotations, "target", "raw") == [("sadness", "5")]


def test_raf_db_originals_have_a_box(tree, jpg):
    refs = list_source("raf_db", tree(raf_db(jpg)), ["train_00001*"], {"images": "original"})
    assert read_truth(refs[0]).boxes == {0: (10.5, 20.0, 30.25, 44.0)}
    assert read_truth(refs[0]).points == {}


def test_raf_db_originals_without_their_box_have_no_face_that_is_known(tree, jpg, columns):
    """Not a file that vanished: it never was there, and a detector may find the face."""
    boxed, bare = list_source("raf_db", tree(raf_db(jpg)), ["train*"], {"images": "original"})
    assert (bare.sequence_id, bare.landmarks_uri) == ("train_00002.jpg", None)
    truth = read_truth(bare)
    assert (truth.boxes, truth.points, columns(truth.annotations, "target")) == ({}, {}, [("happiness",)])
    empty = raf_db(jpg) | {"basic/Annotation/boundingbox/train_00001_boundingbox.txt": ""}
    other, _ = list_source("raf_db", tree(empty), ["train*"], {"images": "original"})
    assert other.truth_version != boxed.truth_version, "another box is other ground truth"
    with pytest.raises(MediaError, match=r"boundingbox\.txt: expected left, top, right and bottom, got an empty file"):
        read_truth(other)


def test_a_box_that_goes_after_the_listing_is_named(tree, jpg):
    uri = tree(raf_db(jpg))
    ref, _ = list_source("raf_db", uri, ["train*"], {"images": "original"})
    Store(uri).delete("basic/Annotation/boundingbox")
    with pytest.raises(MediaError, match=r"the file \S+train_00001_boundingbox\.txt is not there \(it vanished after"):
        read_truth(ref)


@pytest.mark.parametrize("form", ["raf_db", "fer_plus"])
def test_lists_that_are_not_utf_8_are_refused(tree, jpg, form):
    if form == "raf_db":
        files = raf_db(jpg) | {"basic/EmoLabel/list_patition_label.txt": "train_00001.jpg 5\n".encode("utf-16")}
    else:
        table = TABLES["plain"].format(*PIXELS)
        files = {"fer2013.csv": table, "fer2013new.csv": fer_plus_table().encode("utf-16")}
    with pytest.raises(InputError, match="is not UTF-8"):
        list_source(form, tree(files))


def test_a_line_that_is_none_names_its_number(tree, jpg):
    files = {**raf_db(jpg), "basic/EmoLabel/list_patition_label.txt": "train_00001.jpg 5\ntest_0001.jpg 0\n"}
    with pytest.raises(InputError, match=r"line 2: expected a name and 1 to 7.*got 0"):
        list_source("raf_db", tree(files))


def test_jaffe_names_are_its_labels(tree, columns):
    names = ("KA.AN1.39.tiff", "YM.NE2.51.TIFF", "KM.SU.14.tif", "._KA.AN1.39.tiff", "cover.tiff")
    refs = {ref.sequence_id: ref for ref in list_source("jaffe", tree({f"jaffe/{name}": b"II" for name in names}))}
    assert sorted(refs) == sorted(set(names) - {"._KA.AN1.39.tiff"})
    assert (refs["KA.AN1.39.tiff"].emotion, refs["KA.AN1.39.tiff"].subject_id) == ("anger", "jaffe:KA")
    assert refs["YM.NE2.51.TIFF"].emotion == "neutral"
    assert refs["KM.SU.14.tif"].emotion == "surprise", "some names have no number"
    assert "none of JAFFE's" in refs["cover.tiff"].skip_reason


FACES = [np.random.default_rng(i).integers(0, 256, (48, 48)) for i in range(3)]
PIXELS = [" ".join(map(str, face.ravel())) for face in FACES]
TABLES = {
    "plain": "emotion,pixels,Usage\n0,{},Training\n3,{},PublicTest\n6,{},PrivateTest\n",
    "quoted": 'emotion,pixels,Usage\r\n0,"{}",Training\r\n3,"{}",PublicTest\r\n6,"{}",PrivateTest\r\n',
    "order": "emotion, Usage, pixels\n0, Training,{}\n3, PublicTest,{}\n6, PrivateTest,{}\n",
}


@pytest.mark.parametrize("table", TABLES)
def test_fer2013_pictures_come_out_of_the_table(tree, table):
    refs = list_source("fer2013", tree({"fer2013/fer2013.csv": TABLES[table].format(*PIXELS)}))
    assert [(ref.sequence_id, ref.emotion, ref.split) for ref in refs] == [
        ("fer0000000.png", "anger", "train"),
        ("fer0000001.png", "happiness", "val"),
        ("fer0000002.png", "neutral", "test"),
    ]
    for ref, face in zip(refs, FACES, strict=True):
        with local_input(ref) as path:
            np.testing.assert_array_equal(np.asarray(Image.open(path)), face)
    assert len({ref.version for ref in refs}) == 3
    assert all(ref.size > 48 * 48 for ref in refs)


def test_pixels_that_are_none(tree):
    with pytest.raises(MediaError, match="expected a square of grey values, got 5"):
        grey_picture(b"1 2 3 4 5")
    with pytest.raises(MediaError, match="expected grey values of 0 to 255"):
        grey_picture(b"1 2 3 256")
    with pytest.raises(InputError, match="expected the columns emotion, pixels, Usage"):
        list_source("fer2013", tree({"fer2013.csv": "a,b\n1,2\n"}))
    with pytest.raises(InputError, match="picture 0: expected an expression code of fer2013, 0 to 6, got 7"):
        list_source("fer2013", tree({"fer2013.csv": "emotion,pixels\n7,1\n"}))


HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
VOTES = ["4,0,0,1,3,2,0,0,0,0", "5,5,0,0,0,0,0,0,0,0", "0,0,0,0,0,0,0,0,0,10"]


def fer_plus_table():
    names = ["fer0000000.png", "fer0000001.png", ""]
    rows = [f"Training,{name},{votes}\n" for name, votes in zip(names, VOTES, strict=True)]
    return HEADER + "".join(rows)


def test_fer_plus_votes_follow_the_order_of_the_table(tree, columns):
    files = {"fer2013.csv": TABLES["plain"].format(*PIXELS), "fer2013new.csv": fer_plus_table()}
    first, tie, none = list_source("fer_plus", tree(files))
    assert first.emotion == "neutral"
    ((target, raw),) = columns(read_truth(first).annotations, "target", "raw")
    assert (target, json.loads(raw)["anger"]) == ("neutral", 3)
    assert (tie.emotion, tie.labels, tie.skip_reason) == (None, (), None), "the most votes are shared"
    assert "no face" in none.skip_reason
    files["fer2013new.csv"] = HEADER + f"Training,fer0000000.png,{VOTES[0]}\n"
    with pytest.raises(InputError, match=r"3 pictures, but fer2013new\.csv has 1 rows"):
        list_source("fer_plus", tree(files))


def test_fer_plus_in_folders(tree, png):
    rows = [f'fer000000{i}.png,"(0, 0, 48, 48)",{votes}\n' for i, votes in enumerate(VOTES)]
    files = {f"data/FER2013Valid/fer000000{i}.png": png for i in range(2)}
    one, tie = list_source("fer_plus", tree({**files, "data/FER2013Valid/label.csv": "".join(rows)}))
    assert (one.sequence_id, one.emotion, one.split) == ("FER2013Valid/fer0000000.png", "neutral", "val")
    assert tie.emotion is None


def test_fer_plus_folders_without_all_their_votes(tree, png):
    files = {f"data/FER2013{part}/fer000000{i}.png": png for part in ("Valid", "Test") for i in range(2)}
    label = f'fer0000001.png,"(0, 0, 48, 48)",{VOTES[0]}\ngone.png,"(0, 0, 48, 48)",{VOTES[0]}\n'
    refs = list_source("fer_plus", tree({**files, "data/FER2013Valid/label.csv": label}))
    assert [(ref.split, ref.emotion) for ref in refs] == [
        ("test", None),
        ("test", None),
        ("val", None),
        ("val", "neutral"),
    ]
    assert [ref.labels for ref in refs[:3]] == [(), (), ()]


@pytest.mark.parametrize("row", ['fer0000001.png,"(0, 0, 48, 48)",4,0', f"fer0000001.png,x,{VOTES[0][:-1]}many"])
def test_a_row_of_votes_that_is_none_names_its_line(tree, png, row):
    files = {"data/FER2013Valid/fer0000001.png": png, "data/FER2013Valid/label.csv": f"\nother.png,x,1\n{row}\n"}
    with pytest.raises(InputError, match=r"FER2013Valid/label\.csv, line 3: expected 10 numbers of votes, got \['4'"):
        list_source("fer_plus", tree(files))


def test_votes_of_the_table_that_are_none_name_their_line(tree):
    files = {"fer2013.csv": TABLES["plain"].format(*PIXELS), "fer2013new.csv": fer_plus_table().replace("3,2", "x,2")}
    with pytest.raises(InputError, match=r"fer2013new\.csv, line 2: expected 10 numbers of votes"):
        list_source("fer_plus", tree(files))
    files["fer2013new.csv"] = fer_plus_table().replace(",NF", ",no face")
    with pytest.raises(InputError, match=r"fer2013new\.csv: expected the columns neutral"):
        list_source("fer_plus", tree(files))


def openface(success=(1, 0, 1)):
    names = ["frame", " face_id", " timestamp", " confidence", " success"]
    names += [f" {axis}_{i}" for axis in "xy" for i in range(68)] + [" AU01_r", " AU12_r", " AU12_c", " AU45_c"]
    lines = [",".join(names)]
    for frame, ok in enumerate(success, 1):
        points = [*range(68), *range(100, 168)] if ok else [0] * 136
        lines.append(", ".join(map(str, [frame, 0, 0.04 * frame, 0.98, ok, *points, 1.5, 0, 1, 0])))
    return "\n".join(lines) + "\n"


def test_openface_landmarks_and_predictions_only_when_asked(tree, columns):
    uri = tree({"in/a.mp4": b"video", "processed/a.csv": openface(), "in/b.avi": b"video"})
    ref, bare = list_source("openface", uri)
    truth = read_truth(ref)
    assert sorted(truth.points) == [0, 2], "it counts from 1, and lost the second frame"
    assert truth.points[0][3].tolist() == [3, 103]
    assert truth.annotations.num_rows == 0, "predictions are no ground truth"
    assert bare.landmarks_uri is None
    ref, _ = list_source("openface", uri, (), {"annotations": True})
    rows = columns(read_truth(ref).annotations, "frame_index", "target", "intensity", "occurrence", "raw")
    assert rows[:2] == [(0, "AU01", 1.5, None, "OpenFace"), (2, "AU01", 1.5, None, "OpenFace")]
    assert (2, "AU45", None, False, "OpenFace") in rows
    assert len(rows) == 6


def test_openface_files_that_are_none(tree):
    (ref,) = list_source("openface", tree({"a.mp4": b"video", "a.csv": "time,x\n1,2\n"}))
    with pytest.raises(MediaError, match="expected the column 'frame'"):
        read_truth(ref)


def test_openface_files_that_could_be_any_videos(tree):
    with pytest.raises(InputError, match="which CSV is its own"):
        list_source("openface", tree({"a.mp4": b"video", "x/a.csv": openface(), "y/a.csv": openface()}), ("a.mp4",))
