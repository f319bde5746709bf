"""What a URI is, where it is no dataset or only a part of one."""

import json

import pytest

from fer_batch import cli
from fer_batch.pipeline.inspect.uri import inspect_text, inspect_uri
from fer_batch.storage.parquet import encode, rows_of
from fer_batch.storage.store import Store

TEXTS = {
    "training.csv": "1/a.jpg,1,1,9,9,,3,0.1,0.1\n",
    "list_patition_label.txt": "train_00001.jpg 1\n",
    "fer2013.csv": "emotion,pixels,Usage\n3,1 2 3 4,Training\n",
    "fer2013new.csv": "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    "Training,fer0000000.png,9,1,0,0,0,0,0,0,0,0\n",
    "1.json": '{"human-label": 1}',
    "SN001_au1.txt": "1,0\n",
    "AU1.txt": "1.jpg 0\n",
}


def write(root, names, top=""):
    for name in names:
        path = root / top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXTS.get(path.name, ""))


def ck_plus(root):
    for sequence in ("S005/001", "S005/002", "S010/001"):
        stem = sequence.replace("/", "_")
        write(root, [f"cohn-kanade-images/{sequence}/{stem}_{number:08d}.png" for number in (1, 2, 3)])
    labels = {"FACS": "1 2\n2 0\n", "Emotion": "7.0\n"}
    for kind, text in labels.items():
        path = root / kind / "S005" / "001" / f"S005_001_00000003_{kind.lower()}.txt"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (root / "Emotion" / "S005" / "002").mkdir()


def test_columns_of_sequences_csv_that_nobody_reads_are_said(tmp_path):
    write(tmp_path, ["one.mp4"])
    (tmp_path / "sequences.csv").write_text("path,subject,emotion\none.mp4,s1,sad\n")
    said = inspect_text(inspect_uri(str(tmp_path)))
    assert "\n  sequences.csv: columns not read: subject (did you mean subject_id?)\n" in said
    assert "\n  sadness 1\n" in said
    (tmp_path / "sequences.csv").write_text("path,subject_id\none.mp4,s1\n")
    assert "not read" not in inspect_text(inspect_uri(str(tmp_path)))


def test_a_folder_of_clips_is_no_dataset(tmp_path):
    write(tmp_path, ["a/one.mp4", "b/two.mp4"])
    assert inspect_uri(str(tmp_path))["kind"] == "source"


@pytest.mark.parametrize("deep", ["cohn-kanade-images", "cohn-kanade-images/S005"])
def test_a_part_of_a_dataset_names_the_whole(tmp_path, deep, capsys):
    ck_plus(tmp_path / "ck")
    found = inspect_uri(str(tmp_path / "ck" / deep))
    assert found["kind"] == "source" and found["part_of"] == {"format": "ck_plus", "uri": str(tmp_path / "ck")}
    assert f"fer-batch inspect {tmp_path / 'ck'}" in inspect_text(found)


def test_clips_beside_a_dataset_are_no_part_of_it(tmp_path):
    ck_plus(tmp_path / "ck")
    write(tmp_path, ["mine/one.mp4", "mine/two.mp4"])
    found = inspect_uri(str(tmp_path / "mine"))
    assert found["part_of"] is None and "fer-batch inspect" not in inspect_text(found)


def test_a_run_that_leaves_the_labels_of_a_dataset_unread_is_told(tmp_path, capsys, request, monkeypatch):
    ck_plus(tmp_path / "ck")
    monkeypatch.chdir(request.config.rootpath)
    settings = {"source.uri": tmp_path / "ck", "source.format": "image_sequences", "faces.detector": "none"}
    chosen = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    assert cli.main(["run", "jobs/clips.yaml", *chosen, "--output", str(tmp_path / "out"), "--dry-run"]) == 0
    said = capsys.readouterr().err
    assert "format image_sequences reads no labels of ck_plus, in which this source lies" in said
    known = [*chosen, "--set", "source.format=ck_plus", "--output", str(tmp_path / "out"), "--dry-run"]
    assert cli.main(["run", "jobs/clips.yaml", *known]) == 0
    assert "reads no labels" not in capsys.readouterr().err


def test_folders_of_stills_by_class_are_stills(tmp_path, capsys):
    write(tmp_path, [f"{kind}/{name}_1.png" for kind in ("happy", "sad") for name in "ab"])
    found = inspect_uri(str(tmp_path))
    assert (found["format"], found["kinds"]) == ("images", {"still": 4})
    write(tmp_path / "seq", [f"{kind}/{name}{i}.png" for kind in "ab" for i in (1, 2) for name in ("", "._")])
    found = inspect_uri(str(tmp_path / "seq"))
    assert (found["format"], found["kinds"]) == ("image_sequences", {"image_sequence": 2}), "._1.png is no frame"


def test_columns_of_a_manifest_that_nobody_reads_are_said(tmp_path, capsys, request, monkeypatch):
    (tmp_path / "m.CSV").write_text("path,emotoin,AU12\n1.jpg,happy,3\n")
    line = "columns not read: emotoin (did you mean emotion?)"
    assert f"\n  {line}\n" in inspect_text(inspect_uri(str(tmp_path / "m.CSV")))
    monkeypatch.chdir(request.config.rootpath)
    settings = {"source.uri": tmp_path / "m.CSV", "source.format": "manifest", "faces.detector": "none"}
    chosen = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    assert cli.main(["run", "jobs/stills.yaml", *chosen, "--output", str(tmp_path / "out"), "--dry-run"]) == 0
    assert line in capsys.readouterr().err
    told = [*chosen, "--set", "source.columns={emotion: emotoin}", "--output", str(tmp_path / "out"), "--dry-run"]
    assert cli.main(["run", "jobs/stills.yaml", *told]) == 0
    assert "not read" not in capsys.readouterr().err


def test_an_output_names_its_studies_with_their_cells_and_page(tmp_path, capsys):
    store = Store(str(tmp_path))
    kept = ("network", "method", "variant", "varied", "status", "reason")
    rows = [
        dict(zip(("cell", *kept), (f"{i}", "net", "z", "z", "{}", status, reason), strict=True))
        for i, (status, reason) in enumerate([("done", None), ("failed", "no such layer")])
    ]
    for name in ("seen", "unseen"):
        store.put(f"tables/study_cells/study={name}/cells.parquet", encode(rows_of("study_cells", rows)))
    store.put("report/studies/seen/index.html", b"")
    found = inspect_uri(str(tmp_path))
    page = store.url("report/studies/seen/index.html")
    assert [(one["study"], one["page"]) for one in found["studies"]] == [("seen", page), ("unseen", None)]
    said = inspect_text(found)
    assert "  study seen: cells 1 done, 1 failed, 0 waiting\n    failed net, z: no such layer\n" in said
    assert said.endswith(f"\n  page of study seen: {page}")
    assert cli.main(["inspect", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["studies"] == found["studies"]
