"""RAF-DB in miniature: a misspelt list, boxes that are missing."""

import numpy as np
import pytest

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


FACES = [np.random.default_rng(i).integers(0, 256, (48, 48)) for i in range(3)]


PIXELS = [" ".join(map(str, face.ravel())) for face in FACES]


TABLES = {
    "plain": "emotion,pixels,Usage\n0,{},Training\n3,{},PublicTest\n6,{},PrivateTest\n",
    "quoted": 'emotion,pixels,Usage\r\n0,"{}",Training\r\n3,"{}",PublicTest\r\n6,"{}",PrivateTest\r\n',
    "order": "emotion, Usage, pixels\n0, Training,{}\n3, PublicTest,{}\n6, PrivateTest,{}\n",
}


HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"


VOTES = ["4,0,0,1,3,2,0,0,0,0", "5,5,0,0,0,0,0,0,0,0", "0,0,0,0,0,0,0,0,0,10"]


def fer_plus_table():
    names = ["fer0000000.png", "fer0000001.png", ""]
    rows = [f"Training,{name},{votes}\n" for name, votes in zip(names, VOTES, strict=True)]
    return HEADER + "".join(rows)
