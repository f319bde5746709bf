"""The shipped jobs over miniature datasets: from a dataset's own files to its tables."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_batch.posed.clips import write_stills
from fer_batch.sources.manifest import POINTS
from fer_batch.sources.points import FROM_66

from .conftest import called

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("engine")]
JOBS = Path(__file__).parents[2] / "jobs"


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Posed faces with their landmarks, shape (68, 2)."""
    import csv

    folder = tmp_path_factory.mktemp("faces")
    write_stills(folder, n=6, seed=1, size=160)
    with open(folder / "manifest.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [
        (np.asarray(Image.open(folder / row["path"])), np.array([float(row[p]) for p in POINTS]).reshape(68, 2))
        for row in rows
    ]


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def lines(points):
    return "".join(f"  {x:.7e}  {y:.7e}\n" for x, y in points)


def ck_plus(root, faces):
    for sequence, chosen in {"S005/001": faces[:3], "S010/002": faces[3:5]}.items():
        stem = sequence.replace("/", "_")
        for number, (image, points) in enumerate(chosen, 1):
            name = f"{sequence}/{stem}_{number:08d}"
            save(root / "cohn-kanade-images" / f"{name}.png", image)
            text(root / "Landmarks" / f"{name}_landmarks.txt", lines(points))
    text(root / "FACS/S005/001/S005_001_00000003_facs.txt", "  1.0e+00  4.0e+00\n  2.0e+00  0.0e+00\n")
    text(root / "Emotion/S005/001/S005_001_00000003_emotion.txt", "  7.0e+00\n")
    (root / "Emotion/S010/002").mkdir(parents=True)
    (root / "cohn-kanade-images/.DS_Store").write_bytes(b"\0")


def affectnet(root, faces):
    rows = []
    for index, (image, points) in enumerate(faces):
        save(root / f"Manually_Annotated_Images/{index}/{index:x}.jpg", image)
        flat = ";".join(f"{v:.2f}" for v in points.ravel())
        known = flat if index != 1 else ""  # the box alone says where this face is
        rows.append(f"{index}/{index:x}.jpg,40,40,80,80,{known},{(0, 1, 9, 3, 4, 5)[index]},0.5,-0.5\n")
    text(root / "Manually_Annotated_file_lists/training.csv", "".join(rows))


def unbc(root, faces):
    for number, (image, points) in enumerate(faces[:4], 1):
        name = f"042-ll042/ll042t1aaaff/ll042t1aaaff{number:03d}"
        save(root / "Images" / f"{name}.png", image)
        if number != 4:
            text(root / "AAM_landmarks" / f"{name}_aam.txt", lines(points[FROM_66]))
        text(root / "Frame_Labels/FACS" / f"{name}_facs.txt", "4 2 0 0\n6 3 0 0\n" if number == 2 else "")
        text(root / "Frame_Labels/PSPI" / f"{name}_facs.txt", "5\n" if number == 2 else "0\n")


def run(job, source, output, *settings):
    """The outcome of a shipped job."""
    values = [f"source.uri={source}", "phases=[explain, prototypes]", "resources.scheduler=threads", *settings]
    overrides = [part for value in values for part in ("--set", value)]
    finished = called(["run", str(JOBS / f"{job}.yaml"), "--json", "--output", str(output), *overrides])
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(finished.stdout.strip().splitlines()[-1])


def test_ck_plus(tmp_path, faces, helpers):
    ck_plus(tmp_path / "in", faces)
    outcome = run("ck_plus", tmp_path / "in", tmp_path / "out", "explain.targets=annotated")
    assert (outcome["found"], outcome["done"]) == (2, 2)
    rows = {row["sequence_id"]: row for row in helpers.rows(tmp_path / "out", "sequences").to_pylist()}
    assert (rows["S005/001"]["emotion"], rows["S005/001"]["subject_id"]) == ("surprise", "ck_plus:S005")
    assert rows["S010/002"]["emotion"] is None, "no file is no label"
    frames = helpers.rows(tmp_path / "out", "frames")
    assert set(frames["status"].to_pylist()) == {"ok"} and None not in frames["landmarks"].to_pylist()
    labels = helpers.rows(tmp_path / "out", "annotations").to_pylist()
    present = {(row["frame_index"], row["target"], row["raw"]) for row in labels if row["occurrence"]}
    assert present == {(2, "AU01", "4"), (2, "AU02", "0"), (2, "surprise", "7"), (0, "neutral", None)}
    explained = helpers.rows(tmp_path / "out", "relevance").select(["sequence_id", "frame_index", "target"]).to_pylist()
    assert {tuple(row.values()) for row in explained} == {("S005/001", 2, "AU01"), ("S005/001", 2, "AU02")}


def test_affectnet(tmp_path, faces, helpers):
    affectnet(tmp_path / "in", faces)
    outcome = run("affectnet", tmp_path / "in", tmp_path / "out")
    assert (outcome["found"], outcome["done"], outcome["skipped"]) == (6, 5, 1)
    rows = helpers.rows(tmp_path / "out", "sequences").to_pylist()
    assert [row["emotion"] for row in rows] == ["neutral", "happiness", None, "surprise", "fear", "disgust"]
    assert "uncertain" in rows[2]["reason"] and {row["split"] for row in rows} == {"train"}
    frames = helpers.rows(tmp_path / "out", "frames").to_pylist()
    assert [row["landmarks"] is None for row in frames] == [False, True, False, False, False]
    assert frames[1]["face_box"] == [40, 40, 119, 119]
    labels = helpers.rows(tmp_path / "out", "annotations")
    assert helpers.count(labels, "target", "arousal") == 6
    assert helpers.rows(tmp_path / "out", "relevance").num_rows == 5


def test_unbc(tmp_path, faces, helpers):
    unbc(tmp_path / "in", faces)
    outcome = run("unbc_pain", tmp_path / "in", tmp_path / "out")
    assert (outcome["found"], outcome["done"]) == (1, 1)
    frames = helpers.rows(tmp_path / "out", "frames")
    assert frames["status"].to_pylist() == ["ok", "ok", "ok", "no_face"], "the last one has no landmarks"
    labels = helpers.rows(tmp_path / "out", "annotations").to_pylist()
    assert [row["intensity"] for row in labels if row["target"] == "PSPI"] == [0, 5, 0, 0]
    measured = [row for row in helpers.rows(tmp_path / "out", "detections").to_pylist() if row["mu"] is not None]
    assert {row["frame_index"] for row in measured} == {0, 1, 2}, "66 points are enough for every region"
