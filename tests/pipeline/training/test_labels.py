"""What crops are annotated with becomes the labels of their targets."""

import numpy as np
import pyarrow as pa
import pytest

from fer_batch.pipeline.training.labels import class_labels, inferred_targets, occurrence_labels
from fer_batch.training.settings import LabelSettings
from fer_batch.types import InputError

NAN = float("nan")


def rows_of(*labels, emotion=None):
    """Rows with labels `(target, intensity, occurrence)`."""
    return pa.table(
        {
            "targets": pa.array([[t for t, *_ in row] for row in labels], pa.list_(pa.string())),
            "intensity": pa.array([[i for _, i, _ in row] for row in labels], pa.list_(pa.float32())),
            "occurrence": pa.array([[o for *_, o in row] for row in labels], pa.list_(pa.bool_())),
            "emotion": pa.array(emotion or [None] * len(labels), pa.string()),
        }
    )


def test_the_stated_occurrence_decides_and_intensity_where_there_is_none_or_the_job_says_so():
    rows = rows_of(
        [("AU01", 3.0, True), ("AU04", None, True)],
        [("AU01", 1.0, None), ("AU04", None, False)],
        [("AU01", 0.0, False), ("AU04", None, None)],
        [("AU01", 2.0, None)],
        [("AU01", 1.0, True)],  # a trace that is stated as present, as CK+ and BP4D do
        [],
    )
    expected = [[1, 1], [NAN, 0], [0, NAN], [1, NAN], [1, NAN], [NAN, NAN]]
    np.testing.assert_array_equal(occurrence_labels(rows, ["AU01", "AU04"], LabelSettings()), expected)
    low = occurrence_labels(rows, ["AU04", "AU01"], LabelSettings(present_from=1.0))
    np.testing.assert_array_equal(low[:, 1], [1, 1, 0, 1, 1, NAN])
    high = occurrence_labels(rows, ["AU01"], LabelSettings(present_from=2.0))
    np.testing.assert_array_equal(high[:, 0], [1, NAN, 0, 1, NAN, NAN])  # the intensity, whatever is stated
    with pytest.raises(InputError, match="no source annotates 'AU02'; did you mean"):
        occurrence_labels(rows, ["AU02"], LabelSettings())


def test_datasets_with_other_units_leave_them_open():
    rows = rows_of([("AU01", None, True)], [("AU26", None, False)])
    np.testing.assert_array_equal(occurrence_labels(rows, ["AU01", "AU26"], LabelSettings()), [[1, NAN], [NAN, 0]])


def test_a_frame_s_class_is_its_own_or_that_of_its_whole_input():
    rows = rows_of(
        [("anger", None, True), ("AU04", 3.0, True)], [], [("fear", None, True), ("anger", None, True)], [],
        emotion=["fear", "fear", None, "boredom"],
    )  # fmt: skip
    whole = LabelSettings(whole_inputs=True)
    expected = [[1, 0], [0, 1], [NAN, NAN], [NAN, NAN]]
    np.testing.assert_array_equal(class_labels(rows, ["anger", "fear"], whole), expected)
    renamed = LabelSettings(whole_inputs=True, classes={"boredom": "fear"})
    np.testing.assert_array_equal(class_labels(rows, ["anger", "fear"], renamed)[3], [0, 1])
    with pytest.raises(InputError, match=r"annotated with the class 'joy'; known: anger, boredom, fear$"):
        class_labels(rows, ["anger", "joy"], whole)
    with pytest.raises(InputError, match=r"'fear'; frames have no class; labels\.whole_inputs: true .* \(fear\)$"):
        class_labels(rows_of([], emotion=["fear"]), ["fear"], LabelSettings())


def test_an_annotation_that_is_almost_an_action_unit_is_refused_as_a_target():
    assert inferred_targets(rows_of([("AU12", None, True), ("AU01", 1.0, None), ("fear", None, True)])) == (
        "AU01",
        "AU12",
    )
    with pytest.raises(InputError, match="annotations name 'AU 1', and Action Units are named like AU01"):
        inferred_targets(rows_of([("AU 1", None, True), ("AU01", None, True)]))
    with pytest.raises(InputError, match="no source annotates an Action Unit"):
        inferred_targets(rows_of([("fear", None, True)]))
