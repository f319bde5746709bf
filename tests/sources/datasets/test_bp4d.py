"""BP4D, BP4D+ and FERA 2017 in miniature, with their traps."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_batch.sources.datasets.bp4d import read_annotations
from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth
from fer_batch.storage.store import Store
from fer_batch.types import InputError, MediaError


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
