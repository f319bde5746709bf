"""What a run ends with, and where it sends its reader."""

import json
import shlex
from types import SimpleNamespace

import pytest

from fer_batch import cli
from fer_batch.cli import jobs
from fer_batch.pipeline.run import Outcome
from fer_batch.registry import SAFE


def test_hints_can_be_pasted_into_a_shell(out, capsys, tmp_path):
    outcome = Outcome(found=1, done=1)
    hint = jobs.summary(outcome, out).splitlines()[-1].removeprefix("query")
    assert cli.main(shlex.split(hint)[1:]) == 0
    capsys.readouterr()
    folder = tmp_path / "my clips"
    folder.mkdir()
    (folder / "a.mp4").touch()
    assert cli.main(["inspect", str(folder)]) == 0
    hint = capsys.readouterr().out.split("run it: ")[1]
    assert f"source.uri={folder}" in shlex.split(hint)


def test_the_report_of_every_explanation_is_named():
    lines = jobs.summary(Outcome(found=1, done=1, reports=["a/index.html", "b/index.html"]), "out").splitlines()
    assert lines[1:3] == ["report  a/index.html", "report  b/index.html"]


@pytest.mark.parametrize(
    ("format", "query"),
    [
        ("videos", "temporal_prototypes"),
        ("image_sequences", "temporal_prototypes"),
        ("images", "active"),
        ("manifest", "temporal_prototypes"),
    ],
)
def test_a_run_over_stills_is_not_sent_to_temporal_prototypes(out, format, query):
    config = SimpleNamespace(source=SimpleNamespace(format=format), output=out, name="d")
    assert jobs._first_query(config) == query


def test_a_manifest_of_stills_is_sent_to_active(out, tmp_path):
    config = SimpleNamespace(source=SimpleNamespace(format="manifest"), output=out, name="other")
    assert jobs._first_query(config) == "active"
    config.output = str(tmp_path / "nothing")
    assert jobs._first_query(config) == "active"


@pytest.mark.parametrize("way", ["option", "environment"])
@pytest.mark.parametrize("place", ["job", "card", "detector"])
def test_forbidden_code_is_not_even_imported(way, place, tmp_path, monkeypatch, capsys):
    (tmp_path / "evil_of_a_job.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\ndef make(): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(SAFE, "1" if way == "environment" else "0")
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.jpg").write_bytes(b"x")
    model = {"checkpoint": str(tmp_path / "net.safetensors"), "targets": ["AU01"], "head": "multilabel"}
    (tmp_path / "net.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    named = "evil_of_a_job:make"
    if place == "job":
        model["factory"] = named
    if place == "card":
        card = {"name": "n", "factory": named, "head": "multilabel", "targets": ["AU01"]}
        (tmp_path / "net.json").write_text(json.dumps(card))
    if place == "detector":
        model = {"checkpoint": "demo"}
    faces = {"detector": named if place == "detector" else "none"}
    source = {"format": "images", "uri": str(tmp_path / "media")}
    job = {"name": "d", "source": source, "output": str(tmp_path / "out"), "model": model, "faces": faces}
    (tmp_path / "job.yaml").write_text(json.dumps(job))
    code = cli.main(["run", str(tmp_path / "job.yaml"), "--dry-run", *(["--safe"] if way == "option" else [])])
    said = capsys.readouterr().err
    words = "a card may not run code" if place == "card" else f"{named!r} is code of its own, which --safe"
    assert code == 1 and words in said, said
    assert not (tmp_path / "ran").exists()
