"""A real output in other tools' formats: what the source's own files say comes back."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fer_batch import cli
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store


def test_openface_csv_gives_the_landmarks_of_the_source_back(reference, posed_clips, tmp_path, capsys):
    """Through detection, crop, Parquet and back through the crop matrix: the very pixels the data set names."""
    assert cli.main(["export", str(reference), "--to", "openface-csv", str(tmp_path / "csv")]) == 0
    assert "6 sequences" in capsys.readouterr().out
    detections = read(Store(str(reference)), "detections").to_pandas()
    for path in sorted((tmp_path / "csv").rglob("*.csv")):
        clip = "/".join(path.parts[-2:]).replace(".csv", "")
        found = pd.read_csv(path)
        truth = pd.read_csv(posed_clips / f"{clip}.landmarks.csv").set_index("frame_index").loc[found["frame"] - 1]
        for axis in "xy":
            names = [f"{axis}{k}" for k in range(68)]
            ours = found[[f"{axis}_{k}" for k in range(68)]]
            np.testing.assert_allclose(ours, truth[names], atol=0.01)
        active = detections[detections["sequence_id"] == f"{clip}.mp4"].pivot(
            index="frame_index", columns="target", values="active"
        )
        np.testing.assert_array_equal(found[[f"{name}_c" for name in active]], active.astype(int))


def test_every_prototype_of_an_output_is_in_its_virelay_project(reference, tmp_path, capsys):
    assert cli.main(["export", str(reference), "--to", "virelay", str(tmp_path / "v")]) == 0
    n = read(Store(str(reference)), "prototypes").num_rows
    assert f"{n} prototypes" in capsys.readouterr().out
    (listed,) = (tmp_path / "v").rglob("samples.csv")
    assert len(pd.read_csv(listed)) == n
