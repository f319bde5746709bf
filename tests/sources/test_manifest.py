"""A manifest names stills and videos, anywhere, with what is known of them."""

import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fer_batch.sources import manifest
from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth
from fer_batch.storage.store import Store
from fer_batch.types import InputError


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return Store(str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}")


def listed(store, text, name="manifest.csv", pattern=()):
    store.put(name, text.encode())
    return list_source("manifest", store.url(name), pattern)


def test_stills_and_videos_with_labels(store):
    store.put("a/1.jpg", b"xy")
    still, video = listed(
        store, "path,subject_id,emotion,AU1,AU12,skip\na/1.jpg,007,happiness,2,,\nv.mp4,008,,,,consent withdrawn\n"
    )
    assert (still.sequence_id, still.kind, still.size, still.subject_id) == ("a/1.jpg", "still", 2, "007")
    assert still.labels == (("happiness", 1.0), ("AU01", 2.0))
    assert (video.kind, video.size, video.version, video.skip_reason) == ("video", -1, "missing", "consent withdrawn")


def test_labels_and_landmarks_lie_beside_a_video(store):
    for name in ("in/v.mp4", "in/v.annotations.csv", "in/w.mp4"):
        store.put(name, b"x")
    labelled, bare = listed(store, "path,emotion\nin/v.mp4,anger\nin/w.mp4,anger\n")
    assert (labelled.kind, labelled.annotation_uris) == ("video", (store.url("in/v.annotations.csv"),))
    assert (bare.annotation_uris, bare.landmarks_uri) == ((), None)
    store.put("in/w.landmarks.csv", b"xy")
    assert listed(store, "path\nin/v.mp4\nin/w.mp4\n")[1].landmarks_uri == store.url("in/w.landmarks.csv")
    store.put("in/v.annotations.csv", b"longer")
    after = listed(store, "path,emotion\nin/v.mp4,anger\n")[0]
    assert after.truth_version != labelled.truth_version, "another label is another unit"


def test_a_folder_is_an_image_sequence_with_what_lies_in_it(store):
    for name in ("000.png", "001.png", "010.png", "002.png", "._001.png", "annotations.csv", "deeper/3.png"):
        store.put(f"BU/F001_Angry/{name}", b"xy")
    store.put("BU/F001_Angry/annotations.csv", b"frame_index,target,intensity,occurrence\n2,AU4,3,1\n")
    (ref,) = listed(store, "path,subject_id,emotion\nBU/F001_Angry/,F001,Angry\n")
    assert (ref.sequence_id, ref.kind, ref.emotion, ref.size) == ("BU/F001_Angry", "image_sequence", "anger", 8)
    assert [uri.rpartition("/")[2] for uri in ref.files] == ["000.png", "001.png", "002.png", "010.png"]
    assert ref.files[0] == store.url("BU/F001_Angry/000.png")
    assert read_truth(ref).present() == {2: ["AU04"]}
    same = list_source("image_sequences", store.url("BU/F001_Angry"))[0]
    assert (same.files, same.version, same.truth_version) == (ref.files, ref.version, ref.truth_version)
    store.put("odd/a.png", b"x")
    with pytest.raises(InputError, match="distinct numbers in their names"):
        listed(store, "path\nodd\n")


@pytest.mark.parametrize(
    ("path", "column", "message"),
    [
        ("v.mp4", "AU12", "row 1: AU12 in the row of 'v.mp4' .* in 'v.annotations.csv'"),
        ("seq", "AU12", "row 1: AU12 in the row of 'seq' .* in 'seq/annotations.csv'"),
        ("v.mp4", "x0", "row 1: landmarks in the row of 'v.mp4' .* in 'v.landmarks.csv'"),
    ],
)
def test_labels_of_frames_in_the_row_of_a_clip_are_refused(store, path, column, message):
    store.put("seq/1.png", b"x")
    header = ("path", "AU12", *manifest.POINTS)
    row = [path, *("1" if name == column else "" for name in header[1:])]
    with pytest.raises(InputError, match=message):
        listed(store, ",".join(header) + "\n" + ",".join(row) + "\n")


def test_landmarks_are_taken_where_they_are_whole(store):
    values = np.arange(136.0)
    header = ",".join(("path", *manifest.POINTS))
    rows = ["1.jpg," + ",".join(map(str, values)), "2.jpg,," + ",".join(map(str, values[1:]))]
    one, other = listed(store, "\n".join([header, *rows]))
    np.testing.assert_array_equal(np.asarray(one.landmarks), values)
    assert not other.landmarks


def test_ground_truth_is_part_of_the_version_and_only_that(store):
    def version(text):
        return listed(store, text)[0].truth_version

    base = version("path,AU01\n1.jpg,2\n")
    assert version("path,AU01,note\n1.jpg,2,hello\n") == base
    assert version("path,AU01\n1.jpg,3\n") != base


def test_inputs_elsewhere(tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "1.jpg").write_bytes(b"xyz")
    remote = Store(f"memory://{uuid.uuid4().hex}")
    remote.put("2.jpg", b"abcd")
    store = Store(str(tmp_path / "lists"))
    store.put("manifest.csv", f"path\n../media/1.jpg\n{tmp_path}/media/1.jpg\n{remote.url('2.jpg')}\n".encode())
    allow = (str(tmp_path / "media"), remote.uri)
    refs = list_source("manifest", store.url("manifest.csv"), (), {"allow": allow})
    assert sorted(ref.size for ref in refs) == [3, 3, 4]
    assert {ref.sequence_id for ref in refs} == {
        "../media/1.jpg",
        f"{tmp_path}/media/1.jpg".lstrip("/"),
        remote.url("2.jpg").split("://")[1].lstrip("/"),
    }
    for ref in refs:
        assert "missing" not in ref.version
        assert ".." not in ref.uri


def test_every_folder_is_listed_once(tmp_path, monkeypatch):
    calls = []
    files = Store.files
    monkeypatch.setattr(Store, "files", lambda self, folder="": calls.append(self.uri) or files(self, folder))
    rows = [f"{tmp_path}/{index % 3}/{index}.jpg" for index in range(60)]
    assert len(listed(Store(str(tmp_path)), "\n".join(["path", *rows]))) == 60
    assert len(calls) == 3


def test_numbers_as_names_in_parquet(tmp_path):
    table = pa.table({"path": ["1.jpg", "2.jpg"], "emotion": [1, 6], "subject_id": [0, 12], "AU06": [None, 4.0]})
    pq.write_table(table, tmp_path / "m.parquet")
    one, other = list_source("manifest", str(tmp_path / "m.parquet"), (), {"codes": "affectnet"})
    assert (one.emotion, one.subject_id, one.labels) == ("happiness", "0", (("happiness", 1.0),))
    assert (other.emotion, other.labels) == ("anger", (("anger", 1.0), ("AU06", 4.0)))
    with pytest.raises(InputError, match=r"row 1: the emotion is the number 1; .* \{codes: DATASET\}"):
        list_source("manifest", str(tmp_path / "m.parquet"))


def test_patterns_narrow(store):
    refs = listed(store, "path\na/1.jpg\nb/2.jpg\n", pattern=("a/*",))
    assert [ref.sequence_id for ref in refs] == ["a/1.jpg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file\n1.jpg\n", "needs a column 'path'"),
        ("path,AU01\n1.jpg,strong\n", "column 'AU01' must hold numbers"),
        ("path,emotion\n1.jpg,a\n,b\n", "row 2 has no path"),
        ("path\n1.jpg\n./1.jpg\n", "names the input '1.jpg' twice"),
        ("path,AU1,AU12\n1.jpg,2,0\n2.jpg,,9\n", "row 2: expected an intensity of 0 to 5 in AU12, got 9"),
        ("path,AU12\n1.jpg,-1\n", "row 1: expected an intensity of 0 to 5 in AU12, got -1"),
        ("path,AU1,note,AU01\n1.jpg,2,,3\n", "the columns 'AU1' and 'AU01' are both AU01; expected one"),
        ("path,emotion,emotion\n1.jpg,a,b\n", "the columns 'emotion' and 'emotion' are both emotion"),
        ("path,emotion\n1.jpg,3\n", "row 1: the emotion is the number 3; source.options: {codes: DATASET}"),
        ("path\n", "names no input"),
        ("", "no readable CSV"),
    ],
)
def test_what_is_wrong_is_said(store, text, message):
    with pytest.raises(InputError, match=message):
        listed(store, text)


def test_a_missing_manifest_is_said(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        list_source("manifest", str(tmp_path / "none.csv"))
    (tmp_path / "x.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match="no readable CSV or Parquet"):
        list_source("manifest", str(tmp_path / "x.parquet"))


def test_classes_of_ones_own_stay_as_they_are(store):
    one, other = listed(store, "path,emotion\n1.jpg,Boredom\n2.jpg,SAD \n")
    assert (one.emotion, one.raw_labels, other.emotion) == ("Boredom", (), "sadness")


def test_a_name_says_what_the_table_does_not(store):
    store.put("list.csv", b"path,subject_id\nTrain/f01_happy_2.jpg,\nTest/m02_sad_1.jpg,M2\nother.jpg,\n")
    regex = r"((?P<split>Train|Test)/)(?P<subject_id>[fm]\d+)_(?P<emotion>[a-z]+)"
    test, train, other = list_source("manifest", store.url("list.csv"), (), {"regex": regex})
    assert (train.subject_id, train.emotion, train.split) == ("f01", "happiness", "train")
    assert (test.subject_id, test.emotion) == ("M2", "sadness"), "the table goes before the name"
    assert (other.subject_id, other.emotion) == (None, None)
    with pytest.raises(InputError, match="names the group 'subject'; did you mean 'subject_id'"):
        list_source("manifest", store.url("list.csv"), (), {"regex": "(?P<subject>.)"})
    with pytest.raises(InputError, match="is no regular expression"):
        list_source("manifest", store.url("list.csv"), (), {"regex": "("})


def test_numbers_of_a_dataset_as_names(store):
    store.put("list.csv", b"path,emotion\n1.jpg,7\n2.jpg,9\n")
    one, other = list_source("manifest", store.url("list.csv"), (), {"codes": "affectnet"})
    assert (one.labels, one.raw_labels) == ((("contempt", 1.0),), (("contempt", "7"),))
    assert "uncertain" in other.skip_reason and other.labels == ()
    with pytest.raises(InputError, match="row 2: expected an expression code of ck_plus, 0 to 7, got 9"):
        list_source("manifest", store.url("list.csv"), (), {"codes": "ck_plus"})
