"""DISFA+ in miniature."""

from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth


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
