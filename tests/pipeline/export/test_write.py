"""From published tables to other tools' files."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_batch import cli
from fer_batch.pipeline.export import virelay as export_virelay
from fer_batch.pipeline.export.write import export_output
from fer_batch.prototypes.stages import letter
from fer_batch.storage.parquet import Partition, encode, pack_maps, rows_of
from fer_batch.storage.store import Store

h5py = pytest.importorskip("h5py")

ONE = Partition("clips", "net-01234567", "lrp-89abcdef")
TWO = Partition("clips", "net-01234567", "lime-01234567")
TARGETS = ("AU12", "AU01", "happiness")  # in the order of the outputs, which is not that of their names


def jpeg(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), value, np.uint8)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def blob(x: int) -> np.ndarray:
    maps = np.zeros((1, 32, 32), np.float32)
    maps[0, 8:12, x : x + 4] = 3.5
    maps[0, 20, 20] = -1.0
    return maps


def sequence_tables(name: str, tables: dict, frames: int = 4, missing: int = 2, faces: bool = True) -> None:
    tables["sequences"].append({"sequence_id": name, "kind": "video", "status": "done", "run_id": "r"})
    rng = np.random.default_rng(len(name))
    for index in range(frames):
        row = {"sequence_id": name, "frame_index": index, "timestamp_ns": index * 40_000_000}
        if index == missing:
            tables["frames"].append(row | {"status": "no_face"})
            continue
        matrix = [0.5, 0.0, -10.0, 0.0, 0.5, 4.0]
        landmarks = rng.uniform(0, 32, 136).astype(np.float32)
        row |= {"status": "ok", "track_id": 1, "crop_matrix": matrix, "landmarks": landmarks}
        tables["frames"].append(row)
        for k, target in enumerate(TARGETS):
            detection = {"sequence_id": name, "frame_index": index, "target": target, "logit": float(k) - index}
            tables["detections"].append(detection | {"active": (index + k) % 2 == 0})
    for target, n_clusters in (("AU12", 2), ("AU01", 1)):
        for k in range(n_clusters):
            values, scale = pack_maps(blob(4 + 12 * k))
            tables["prototypes"].append(
                {
                    "sequence_id": name,
                    "target": target,
                    "cluster": letter(k),
                    "n_frames": 2,
                    "first_frame": 0,
                    "exemplar_frame": 3 * k,
                    "exemplar_jpeg": jpeg(40 + 50 * k) if faces else None,
                    "height": 32,
                    "width": 32,
                    "scale": float(scale[0]),
                    "relevance": values[0].ravel(),
                }
            )


def published(path, names, partitions=(ONE,), faces: bool = True) -> Store:
    store = Store(str(path))
    for partition in partitions:
        for number, some in enumerate(names):
            tables: dict[str, list[dict]] = {key: [] for key in ("sequences", "frames", "detections", "prototypes")}
            for name in some:
                sequence_tables(name, tables, faces=faces)
            tables["sequences"].append({"sequence_id": f"broken{number}.avi", "status": "failed", "run_id": "r"})
            for key, rows in tables.items():
                store.put(f"{partition.folder(key)}/a-{number:05d}.parquet", encode(rows_of(key, rows)))
    return store


@pytest.fixture
def out(tmp_path):
    return published(tmp_path / "out", [["S1/a.mp4", "S1/b.mp4"], ["S2/c.MP4#face2"]])


def test_openface_csv_says_what_the_tables_say(out, tmp_path):
    (line,) = export_output(out.uri, "openface-csv", str(tmp_path / "csv"))
    assert line.endswith("3 sequences, 12 frames; 2 sequences have no frames; OpenFace has no column for happiness")
    folder = tmp_path / "csv" / "clips" / "net-01234567"
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["S1/a.csv", "S1/b.csv", "S2/c#face2.csv"]
    found = pd.read_csv(folder / "S1" / "a.csv")
    assert found["frame"].tolist() == [1, 2, 3, 4]
    assert found["timestamp"].tolist() == [0, 0.04, 0.08, 0.12]
    assert found["success"].tolist() == [1, 1, 0, 1]
    assert found["face_id"].tolist() == [1] * 4
    assert found["AU12_c"].tolist()[:2] == [1, 0]
    assert found["AU01_c"].tolist()[:2] == [0, 1]
    assert not any(name.endswith("_r") or name in ("confidence", "gaze_0_x") for name in found)
    crop = np.random.default_rng(len("S1/a.mp4")).uniform(0, 32, 136).astype(np.float32).reshape(68, 2)
    np.testing.assert_allclose(found.loc[0, [f"x_{k}" for k in range(68)]], (crop[:, 0] + 10) / 0.5, atol=1e-3)
    np.testing.assert_allclose(found.loc[0, [f"y_{k}" for k in range(68)]], (crop[:, 1] - 4) / 0.5, atol=1e-3)


def test_a_sequence_without_any_face_has_the_columns_of_the_model(tmp_path):
    store = published(tmp_path / "out", [["a.mp4"]])
    tables = {
        "sequences": [{"sequence_id": "wall.mp4", "status": "done", "run_id": "r"}],
        "frames": [{"sequence_id": "wall.mp4", "frame_index": 0, "timestamp_ns": 0, "status": "no_face"}],
    }
    for key, rows in tables.items():
        store.put(f"{ONE.folder(key)}/b-00000.parquet", encode(rows_of(key, rows)))
    export_output(store.uri, "openface-csv", str(tmp_path / "csv"))
    found = (tmp_path / "csv" / "clips" / "net-01234567" / "wall.csv").read_text()
    assert found == "frame,face_id,timestamp,success,AU01_c,AU12_c\n1,0,0,0,,\n"


def test_numbered_images_have_no_timestamps_and_each_row_says_whose_face_it_is(tmp_path):
    store = published(tmp_path / "out", [["a.mp4"]])
    frames = [{"sequence_id": "S1", "frame_index": i, "status": "ok" if i in (1, 3) else "no_face"} for i in range(5)]
    for track, i in enumerate((1, 3)):
        frames[i]["track_id"] = track
    tables = {"sequences": [{"sequence_id": "S1", "status": "done", "run_id": "r"}], "frames": frames}
    for key, rows in tables.items():
        store.put(f"{ONE.folder(key)}/b-00000.parquet", encode(rows_of(key, rows)))
    export_output(store.uri, "openface-csv", str(tmp_path / "csv"))
    found = pd.read_csv(tmp_path / "csv" / "clips" / "net-01234567" / "S1.csv")
    assert "timestamp" not in found
    assert found["face_id"].tolist() == [0, 0, 0, 1, 1]
    assert found["success"].tolist() == [0, 1, 0, 1, 0]


def test_our_own_adapter_reads_openface_csv_back(out, tmp_path):
    """Landmarks and occurrences of the tables, through the file, as a dataset of OpenFace's."""
    from fer_batch.sources.datasets.openface import read_annotations, read_landmarks

    export_output(out.uri, "openface-csv", str(tmp_path / "csv"))
    path = str(tmp_path / "csv" / "clips" / "net-01234567" / "S1" / "a.csv")
    points = read_landmarks(path, None)
    assert sorted(points) == [0, 1, 3]
    truth = {(r["frame_index"], r["target"]): r["occurrence"] for r in read_annotations([path], None).to_pylist()}
    assert truth == {(f, t): (f + k) % 2 == 0 for f in (0, 1, 3) for k, t in enumerate(TARGETS[:2])}


def test_one_model_explained_twice_is_one_set_of_csv(tmp_path):
    store = published(tmp_path / "out", [["a.mp4"]], (ONE, TWO))
    (line,) = export_output(store.uri, "openface-csv", str(tmp_path / "csv"))
    assert ": 1 sequences, 4 frames" in line


def test_files_of_one_stem_keep_their_suffix_and_no_name_leads_out_of_the_folder(tmp_path):
    store = published(tmp_path / "out", [["a.mp4", "a.avi", "../../evil.mp4", "plain"]])
    export_output(store.uri, "openface-csv", str(tmp_path / "csv"))
    folder = tmp_path / "csv" / "clips" / "net-01234567"
    assert sorted(path.name for path in folder.iterdir()) == ["a.avi.csv", "a.mp4.csv", "evil.csv", "plain.csv"]


def project_of(folder):
    (path,) = folder.rglob("project.yaml")
    return path


def test_virelay_files_hold_the_prototypes(out, tmp_path):
    (line,) = export_output(out.uri, "virelay", str(tmp_path / "v"))
    assert line.endswith("project.yaml: 9 prototypes of 2 targets")
    folder = project_of(tmp_path / "v").parent
    listed = list(csv.DictReader((folder / "samples.csv").open()))
    assert [int(row["sample"]) for row in listed] == list(range(9))
    labels = json.loads((folder / "label_map.json").read_text())
    assert labels[0] == {"index": 0, "word_net_id": "AU12", "name": "AU12 Lip Corner Puller"}
    assert [label["word_net_id"] for label in labels] == list(TARGETS)
    with h5py.File(folder / "dataset.h5") as faces, h5py.File(folder / "attribution.h5") as maps:
        assert faces["data"].shape == (9, 3, 32, 32)
        assert faces["data"].dtype == np.uint8
        assert maps["attribution"].shape == (9, 3, 32, 32)
        assert faces["label"][:].tolist() == maps["label"][:].tolist() == [0, 0, 1] * 3
        for row in listed:
            k = int(row["sample"])
            cluster = "AB".index(row["cluster"])
            np.testing.assert_allclose(maps["attribution"][k].sum(0), blob(4 + 12 * cluster)[0], atol=2e-3)
            assert abs(int(faces["data"][k].mean()) - (40 + 50 * cluster)) <= 2
            logits = np.arange(3.0) - int(row["exemplar_frame"])
            np.testing.assert_array_equal(maps["prediction"][k], logits)
    with h5py.File(folder / "analysis.h5") as analysis:
        assert set(analysis) == {"AU01", "AU12"}
        group = analysis["AU12"]
        assert group["index"][:].tolist() == [0, 1, 3, 4, 6, 7]
        assert group["cluster/sequence"][:].tolist() == [0, 1] * 3
        assert set(group["embedding"]) == {"pca", "spectral"}
        assert group["embedding/pca"].shape == (6, 2)
        assert group["embedding/spectral"].attrs["eigenvalue"].shape == (6,)
        assert "eigenvalue" not in group["embedding/pca"].attrs


def test_maps_smaller_than_the_face_are_enlarged_and_absent_faces_drawn(tmp_path):
    store = published(tmp_path / "out", [["a.mp4"]], faces=False)
    export_output(store.uri, "virelay", str(tmp_path / "v"))
    with h5py.File(project_of(tmp_path / "v").parent / "dataset.h5") as faces:
        drawn = faces["data"][:]
        assert drawn.shape == (3, 3, 32, 32)
        assert drawn.std() > 5, "a line face, not an empty picture"
        np.testing.assert_array_equal(drawn[0], drawn[1])
    small = np.array([[0.0, 1.0], [2.0, 3.0]], np.float32)
    large = export_virelay._resized(small, (6, 6))
    assert large.shape == (6, 6)
    np.testing.assert_allclose(large.mean(), small.mean(), atol=1e-6)


def test_many_prototypes_are_clustered_on_an_even_sample_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(export_virelay, "MAX_POINTS", 4)
    store = published(tmp_path / "out", [[f"{k}.mp4" for k in range(5)]])
    (line,) = export_output(store.uri, "virelay", str(tmp_path / "v"))
    assert line.endswith("15 prototypes of 2 targets; AU12: 4 of 10 clustered; AU01: 4 of 5 clustered")
    with h5py.File(project_of(tmp_path / "v").parent / "analysis.h5") as analysis:
        assert analysis["AU12/index"][:].tolist() == [0, 4, 9, 13]


@pytest.mark.parametrize("to", ["openface-csv", "virelay"])
def test_exporting_again_gives_the_same_files(out, tmp_path, to):
    def exported() -> dict[str, bytes]:
        export_output(out.uri, to, str(tmp_path / "x"))
        return {str(p): p.read_bytes() for p in (tmp_path / "x").rglob("*") if p.is_file()}

    assert exported() == exported()


def test_what_cannot_be_is_refused(out, tmp_path, capsys):
    def said(*args) -> str:
        assert cli.main(["export", *map(str, args)]) == 1
        error = capsys.readouterr().err
        assert len(error.strip().splitlines()) == 1
        return error

    assert "did you mean 'openface-csv'" in said(out.uri, "--to", "openface", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert "has no published tables yet" in said(tmp_path / "nowhere", "--to", "virelay", tmp_path / "x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert "neither empty nor an earlier export" in said(out.uri, "--to", "virelay", tmp_path / "mine")
    assert "neither empty nor an earlier export" in said(out.uri, "--to", "openface-csv", out.uri)
    export_output(out.uri, "openface-csv", str(tmp_path / "x"))
    capsys.readouterr()
    assert "holds an export to openface-csv" in said(out.uri, "--to", "virelay", tmp_path / "x")


def test_an_output_without_prototypes_says_so(tmp_path):
    store = published(tmp_path / "out", [["a.mp4"]])
    store.delete("tables/prototypes")
    (line,) = export_output(store.uri, "virelay", str(tmp_path / "v"))
    assert line == "clips/net-01234567/lrp-89abcdef: no prototypes, so no project"


def test_virelay_itself_opens_the_project(out, tmp_path):
    """Its own loader and server: every category, clustering and embedding, and every picture in every colour."""
    pytest.importorskip("virelay.server", reason="needs the package virelay 0.6.1 (AGPL), which is never a dependency")
    from virelay.model import Workspace
    from virelay.server import Server

    export_output(out.uri, "virelay", str(tmp_path / "v"))
    workspace = Workspace()
    workspace.add_project(str(project_of(tmp_path / "v")))
    server = Server(workspace)
    client = server.app.test_client()
    (method,) = client.get("/api/projects/0").json["analysisMethods"]
    assert [c["humanReadableName"] for c in method["categories"]] == [
        "AU01 Inner Brow Raiser",
        "AU12 Lip Corner Puller",
    ]
    for category in method["categories"]:
        for clustering in method["clusterings"]:
            for embedding in method["embeddings"]:
                query = {"category": category["name"], "clustering": clustering, "embedding": embedding}
                answer = client.get(f"/api/projects/0/analyses/{method['name']}", query_string=query)
                assert answer.status_code == 200
                assert len(answer.json["embedding"]) == (6 if category["name"] == "AU12" else 3)
    answer = client.get("/api/projects/0/attributions?indices=0,2&imageMode=overlay")
    assert [one["labels"][0]["wordNetId"] for one in answer.json] == ["AU12", "AU01"]
    for colours in server.color_maps:
        for superimpose in ("true", "false"):
            query = {"colorMap": colours, "superimpose": superimpose}
            answer = client.get("/api/projects/0/attributions/0/heatmap", query_string=query)
            assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")
    face = np.asarray(Image.open(io.BytesIO(client.get("/api/projects/0/dataset/1/image").data)))
    assert abs(float(face.mean()) - 90) <= 3
    workspace.close()
