"""DISFA in miniature: frames counted from one, landmarks of two names."""

import io

import numpy as np
import pytest
from scipy.io import savemat

from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth
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
