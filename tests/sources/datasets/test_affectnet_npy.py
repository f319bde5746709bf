"""AffectNet with four `.npy` files beside each picture."""

import io

import numpy as np
import pytest

from fer_batch.sources.listing import list_source
from fer_batch.sources.truth import read_truth
from fer_batch.types import MediaError


def npy(value, **options):
    out = io.BytesIO()
    np.save(out, np.asarray(value), **options)
    return out.getvalue()


def npy_release(jpg):
    files = {"train_set/images/12.jpg": jpg, "train_set/images/13.JPG": jpg, "val_set/images/0.jpg": jpg}
    a = "train_set/annotations/"
    files |= {a + "12_exp.npy": npy("3"), a + "12_val.npy": npy("0.25"), a + "12_aro.npy": npy("-0.5")}
    files[a + "12_lnd.npy"] = npy(np.arange(136.0))
    files |= {a + "13_val.npy": npy(0.0), a + ".DS_Store": None}
    files["val_set/annotations/0_exp.npy"] = npy(np.int64(7))
    return files


def test_numbers_in_files_as_text_or_number(tree, jpg, columns):
    first, second, val = list_source("affectnet_npy", tree(npy_release(jpg)))
    assert [ref.sequence_id for ref in (first, second, val)] == [
        "train_set/images/12.jpg",
        "train_set/images/13.JPG",
        "val_set/images/0.jpg",
    ]
    truth = read_truth(first)
    assert columns(truth.annotations, "target", "intensity", "occurrence", "raw") == [
        ("surprise", None, True, "3"),
        ("valence", 0.25, None, None),
        ("arousal", -0.5, None, None),
    ]
    assert truth.emotion == "surprise"
    assert truth.points[0][1].tolist() == [2.0, 3.0]
    assert columns(read_truth(second).annotations, "target") == [("valence",)], "what is missing is no label"
    assert read_truth(val).emotion == "contempt"
    assert (val.split, val.landmarks_uri) == ("val", None)


def test_a_changed_number_is_another_unit(tree, jpg):
    files = npy_release(jpg)
    before, *_ = list_source("affectnet_npy", tree(files))
    after, *_ = list_source("affectnet_npy", tree({**files, "train_set/annotations/12_exp.npy": npy("10")}))
    assert before.truth_version != after.truth_version


def test_pickles_are_refused(tree, jpg):
    files = {**npy_release(jpg), "train_set/annotations/12_exp.npy": npy([{"a": 1}], allow_pickle=True)}
    with pytest.raises(MediaError, match=r"12_exp\.npy: expected numbers"):
        read_truth(list_source("affectnet_npy", tree(files))[0])
