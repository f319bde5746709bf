"""What a run ends with, and where it sends its reader."""

import shlex
from types import SimpleNamespace

import pytest

from fer_batch import cli
from fer_batch.cli import jobs
from fer_batch.pipeline.run import Outcome


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
