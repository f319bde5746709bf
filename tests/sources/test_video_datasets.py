"""DISFA, DISFA+, BP4D, BP4D+, FERA 2017 and BioVid in miniature, with their traps."""

import io
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from fer_batch.sources.datasets.bp4d import read_annotations
from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth
from fer_batch.storage.store import Store
from fer_batch.types import InputError, MediaError

POINTS = np.stack([np.arange(66.0), 10 + np.arange(66.0)], 1)


def mat(points=POINTS, key="pts"):
    out = io.BytesIO()
    savemat(out, {key: points})
    return out.getvalue()


def disfa(folder="Video_LeftCamera", landmarks="frame_lm/SN001_{:04d}_lm.mat", first=0, **more):
    files = {f"{folder}/LeftVideoSN001_comp.avi": b"video", f"{folder}/LeftVideoSN031_comp.avi": b"video"}
    files |= {f"{folder}/._LeftVideoSN001_comp.avi": None, "Video_RightCamera/RightVideoSN001_comp.avi": b"video"}
    files["ActionUnit_Labels/SN001/SN001_au1.txt"] = "2,0\n1,3\n3,1\n"
    files["ActionUnit_Labels/SN001/SN001_au12.txt"] = "1,5\r\n2,2\r\n"
    files["ActionUnit_Labels/SN001/Thumbs.db"] = None
    files |= {"Landmark_Points/SN001/" + landmarks.format(first + i): mat(POINTS + i) for i in (0, 1)}
    return {**files, **more}


def test_disfa_counts_from_one_and_joins_on_the_frame(tree, columns):
    ref, other = list_source("disfa", tree(disfa()))
    assert (ref.sequence_id, ref.subject_id, ref.kind) == ("LeftVideoSN001_comp.avi", "disfa:SN001", "video")
    truth = read_truth(ref)
    assert sorted(columns(truth.annotations, "frame_index", "target", "intensity", "occurrence")) == [
        (0, "AU01", 3.0, True),
        (0, "AU12", 5.0, True),
        (1, "AU01", 0.0, False),
        (1, "AU12", 2.0, True),
        (2, "AU01", 1.0, None),
    ], "one unit has a frame more than the other: joined, not zipped"
    assert list(truth.points) == [0, 1]
    assert truth.points[1][0].tolist() == [1, 11]
    assert (other.annotation_uris, other.landmarks_uri) == ((), None), "a subject without labels is still an input"


@pytest.mark.parametrize("first", [0, 1])
def test_disfa_landmarks_of_the_other_name(tree, first):
    ref, _ = list_source("disfa", tree(disfa("Videos_LeftCamera", "tmp_frame_lm/l{:05d}_lm.mat", first)))
    assert list(read_truth(ref).points) == [0, 1]


def test_the_right_camera_has_labels_and_no_landmarks(tree):
    (ref,) = list_source("disfa", tree(disfa()), (), {"camera": "right"})
    assert ref.annotation_uris and not ref.landmarks_uri
    with pytest.raises(InputError, match="did you mean 'right'"):
        list_source("disfa", tree(disfa()), (), {"camera": "rigth"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ActionUnit_Labels/SN001/SN001_au1.txt", "1,0\n2,1\n1,2\n", "frame 0 has 2 rows of AU01"),
        ("ActionUnit_Labels/SN001/SN001_au1.txt", "1,7\n", "expected intensities of 0 to 5"),
        ("Landmark_Points/SN001/frame_lm/SN001_0001_lm.mat", b"no", "expected 'pts' of shape"),
        ("Landmark_Points/SN001/frame_lm/SN001_0001_lm.mat", mat(key="x"), "expected 'pts' of shape"),
    ],
)
def test_a_bad_file_is_the_reason_of_its_video(tree, name, content, message):
    ref, _ = list_source("disfa", tree({**disfa(), name: content}))
    with pytest.raises(MediaError, match=message):
        read_truth(ref)


def test_disfa_plus_has_comments_and_names_for_frames(tree, jpg, columns, caplog):
    trial = "SN003/A1_AU1_TrailNo_1"
    files = {f"DISFA+/Images/{trial}/{number:03d}.JPG": jpg for number in (0, 1, 10, 2)}
    files[f"DISFA+/Labels/{trial}/AU1.txt"] = "# frame intensity\n010.jpg  4 # peak\n\n000.jpg 0\n099.jpg 1\n"
    files["DISFA+/Images/SN003/unlabelled/1.jpg"] = jpg
    ref, bare = list_source("disfa_plus", tree(files))
    assert (ref.sequence_id, ref.subject_id) == (trial, "disfa_plus:SN003")
    assert columns(read_truth(ref).annotations, "frame_index", "intensity") == [(3, 4.0), (0, 0.0)]
    assert "labels of 1 frames that do not exist, such as 99" in caplog.text
    assert bare.annotation_uris == ()


def sheet(*rows, width=100):
    lines = [",".join(map(str, range(width)))]
    for frame, codes in rows:
        cells = [frame, *[9] * (width - 1)]
        for au, code in codes.items():
            cells[au] = code
        lines.append(",".join(map(str, cells)))
    return "\n".join(lines) + "\n"


def bp4d(jpg, padding=4, **more):
    files = {f"Sequences_2D+3D/M009/T1/{n:0{padding}d}.jpg": jpg for n in (998, 999, 1000)}
    files["AUCoding/AU_OCC/M009_T1.csv"] = sheet((999, {1: 1, 6: 0}), (1000, {1: 0, 6: 1}), (1001, {1: 1}))
    files["AUCoding/AU_INT/AU06/M009_T1_AU06.csv"] = "999,0\n1000,3\n998,9\n"
    return {**files, **more}


@pytest.mark.parametrize("padding", [3, 4])
def test_bp4d_frames_go_by_number_and_nine_is_unknown(tree, jpg, columns, padding):
    (ref,) = list_source("bp4d", tree(bp4d(jpg, padding)))
    assert (ref.sequence_id, ref.subject_id) == ("M009/T1", "bp4d:M009")
    assert [uri.rpartition("/")[2].lstrip("0") for uri in ref.files] == ["998.jpg", "999.jpg", "1000.jpg"]
    rows = columns(read_truth(ref).annotations, "frame_index", "target", "intensity", "occurrence")
    assert rows == [
        (1, "AU01", None, True),
        (1, "AU06", 0.0, False),
        (2, "AU01", None, False),
        (2, "AU06", 3.0, True),
    ]


def test_bp4d_sheets_with_named_columns(tree, jpg, columns):
    named = "frame,AU01,AU06_c,confidence\n999,1,0,8\n"
    (ref,) = list_source("bp4d", tree(bp4d(jpg, **{"AUCoding/AU_OCC/M009_T1.csv": named})))
    rows = columns(read_truth(ref).annotations, "frame_index", "target", "occurrence")
    assert (1, "AU01", True) in rows and (1, "AU06", False) in rows


def test_a_code_that_is_none_is_refused(tree, jpg):
    (ref,) = list_source("bp4d", tree(bp4d(jpg, **{"AUCoding/AU_OCC/M009_T1.csv": sheet((999, {2: 5}))})))
    with pytest.raises(MediaError, match="expected 0, 1 or 9, got 5 for AU2 in frame 999"):
        read_truth(ref)


def test_bp4d_plus_and_its_phantom(tree, jpg):
    files = {f"2D+3D/F042/{task}/001.jpg": jpg for task in ("T10", "T11")}
    files["AU_OCC/F042_T10.csv"] = "frame,AU1\n1,1\n"
    real, phantom = list_source("bp4d_plus", tree(files))
    assert real.skip_reason is None and "no task T11" in phantom.skip_reason
    assert read_truth(real).present() == {0: ["AU01"]}


def test_bp4d_plus_in_its_archives_says_what_to_do(tree):
    with pytest.raises(InputError, match="unpack them"):
        list_source("bp4d_plus", tree({"2D+3D/F001.zip": b"zip"}), ())


def test_fera17_views_share_their_labels(tree, columns):
    files = {f"valid/FERA17_VA_F001_T1_{view}.mp4": b"video" for view in (1, 6)}
    files["occ/FERA17_VA_F001_T1.csv"] = "0,1,4\n5,1,9\n6,0,1\n"
    files["int/FERA17_VA_F001_T1_AU01_Int.csv"] = "5,2\n6,0\n"
    one, six = list_source("fera17", tree(files))
    assert (one.split, one.subject_id) == ("val", "fera17:F001")
    assert one.annotation_uris == six.annotation_uris
    rows = columns(read_truth(six).annotations, "frame_index", "target", "intensity", "occurrence")
    assert rows == [(0, "AU01", 2.0, True), (1, "AU01", 0.0, False), (1, "AU04", None, True)]


@pytest.mark.parametrize("begin", [1, 5])
def test_fera17_first_rows_that_are_unknown_shift_nothing(tree, columns, begin):
    rows = ["9,9", "9,9", "1,0", "0,1"]
    files = {"valid/FERA17_VA_F001_T1_6.mp4": b"video", "int/FERA17_VA_F001_T1_AU04_Int.csv": f"{begin + 3},4\n"}
    files["occ/FERA17_VA_F001_T1.csv"] = "0,1,4\n" + "".join(f"{begin + i},{row}\n" for i, row in enumerate(rows))
    (ref,) = list_source("fera17", tree(files))
    labels = columns(read_truth(ref).annotations, "frame_index", "target", "intensity", "occurrence")
    assert labels == [(2, "AU01", None, True), (2, "AU04", None, False), (3, "AU01", None, False), (3, "AU04", 4, True)]


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


@given(rng=st.randoms(), n=st.integers(1, 20))
def test_the_order_of_lines_says_nothing(rng, n):
    """A label file may be sorted in any way: rows are joined on the frame."""
    values = [rng.choice([0, 2, 3, 9]) for _ in range(n)]
    lines = [f"{frame},{value}" for frame, value in enumerate(values)]
    rng.shuffle(lines)
    uri = f"memory://{uuid.uuid4().hex}/F001_T1_AU06.csv"
    Store(uri.rpartition("/")[0]).put("F001_T1_AU06.csv", "\n".join(lines).encode())
    rows = read_annotations([uri], {frame: frame for frame in range(n)}).to_pylist()
    assert {row["frame_index"]: row["intensity"] for row in rows} == {f: v for f, v in enumerate(values) if v != 9}
