"""OpenFace's column names and order, and cells that say only what is known."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pyarrow.csv as pacsv
import pytest

from fer_batch.export.openface import au_columns, csv_bytes, openface_table, source_points

TARGETS = ["AU12", "happiness", "AU01", "AU027"]


def table(n: int = 3, with_points: bool = True):
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 500, (n, 68, 2)) if with_points else np.full((n, 68, 2), np.nan)
    ok = np.array([True, False, True])[:n]
    occurrence = np.tile([1.0, 1.0, 0.0, 1.0], (n, 1))
    times = np.array([0, 33_366_667, 66_733_333])[:n]
    return openface_table(np.array([0, 5, 10])[:n], times, ok, 2, points, occurrence, TARGETS), points


def test_the_columns_are_a_part_of_openfaces_in_its_order(shared_data):
    """Nothing measures confidence, gaze, pose or intensity; what is left stands as OpenFace has it."""
    header = (shared_data / "reference" / "icface_00116_openface.csv").open().readline()
    theirs = [name.strip() for name in header.split(",")]
    ours = table()[0].column_names
    assert [name for name in theirs if name in ours] == ours
    assert ours[:4] == ["frame", "face_id", "timestamp", "success"]
    assert ours[-2:] == ["AU01_c", "AU12_c"]


def test_cells_of_a_frame_without_a_face_are_empty_and_success_is_0():
    rows, points = table()
    found = pd.read_csv(io.BytesIO(csv_bytes(rows)))
    assert found["frame"].tolist() == [1, 6, 11]
    assert found["face_id"].tolist() == [2, 2, 2]
    assert found["success"].tolist() == [1, 0, 1]
    assert found["AU12_c"].tolist()[::2] == [1, 1]
    assert found["AU01_c"].tolist()[::2] == [0, 0]
    assert found.iloc[1, 4:].isna().all()
    assert found.iloc[[0, 2]].notna().all(axis=None)
    np.testing.assert_allclose(found.loc[2, [f"x_{k}" for k in range(68)]].astype(float), points[2, :, 0], atol=5e-4)
    np.testing.assert_allclose(found.loc[2, [f"y_{k}" for k in range(68)]].astype(float), points[2, :, 1], atol=5e-4)


def test_times_keep_their_nanoseconds():
    seconds = pacsv.read_csv(io.BytesIO(csv_bytes(table()[0])))["timestamp"].to_numpy()
    assert np.round(seconds * 1e9).astype(np.int64).tolist() == [0, 33_366_667, 66_733_333]


def test_pictures_without_a_clock_have_no_timestamps_and_faces_may_change():
    none, ok, index = np.full(2, np.nan), np.ones(2, bool), np.arange(2)
    points, occurrence = np.full((2, 68, 2), np.nan), np.ones((2, 1))
    rows = openface_table(index, none, ok, np.array([0, 1]), points, occurrence, ["AU01"])
    assert csv_bytes(rows).decode() == "frame,face_id,success,AU01_c\n1,0,1,1\n2,1,1,1\n"
    mixed = openface_table(index, np.array([0.0, np.nan]), ok, 0, points, occurrence, ["AU01"])
    assert csv_bytes(mixed).decode().splitlines()[1:] == ["1,0,0,1,1", "2,0,,1,1"]


def test_occurrence_is_written_as_a_whole_number():
    line = csv_bytes(table()[0]).decode().splitlines()[1]
    assert line.endswith(",0,1")


def test_without_landmarks_there_are_no_landmark_columns():
    assert table(with_points=False)[0].column_names == ["frame", "face_id", "timestamp", "success", "AU01_c", "AU12_c"]


def test_only_action_units_have_a_column():
    assert au_columns(["surprise", "AU27", "AU1", "AU02", "AU12_A"]) == {"AU02": "AU02_c", "AU27": "AU27_c"}


def test_points_go_back_through_their_own_matrix():
    rng = np.random.default_rng(1)
    angle = rng.uniform(-1, 1, 4)
    linear = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], 1).reshape(4, 2, 2) * 0.37
    matrices = np.concatenate([linear, rng.uniform(-90, 90, (4, 2, 1))], axis=2)
    source = rng.uniform(0, 640, (4, 68, 2))
    crop = np.einsum("tij,tlj->tli", linear, source) + matrices[:, None, :, 2]
    matrices[3] = np.nan
    found = source_points(crop, matrices)
    np.testing.assert_allclose(found[:3], source[:3], atol=1e-9)
    assert np.isnan(found[3]).all()
    with pytest.raises(ValueError, match="expected points"):
        source_points(crop, matrices[:2])
