"""`fer-batch inspect` of the job of a study says its grid in every size, or what it lacks."""

import json

import pytest
import yaml

from fer_batch import cli
from fer_batch.pipeline.study.describe import study_facts, study_text


def test_a_job_without_data_says_what_it_lacks_and_its_small_grid(request, monkeypatch, capsys):
    monkeypatch.chdir(request.config.rootpath)
    job = "jobs/study_verification.yaml"
    assert cli.main(["inspect", job]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{job}: a job of kind study; fer-batch run does it")
    assert "as it stands, it lacks something: jobs/train_vp.yaml: sources: name the folder of the data" in said
    small = said.partition("with --set size=small:\n")[2].splitlines()
    assert small[0].startswith("study verification: Are Action Units recognised")
    assert "  training vp_small: one fold a subject, 12 epochs at most" in small
    assert "  explanations of each network: preset_a_flat" in small
    assert cli.main(["inspect", job, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sizes"] == {"small": small}


@pytest.mark.parametrize("output", [None, "here"])
def test_what_is_done_is_said_where_the_job_names_its_output(tmp_path, output):
    values = {
        "kind": "study",
        "name": "mine",
        "output": output and str(tmp_path / output),
        "trainings": {"base": {"name": "t", "sources": [{"dataset": "a", "posed": {}}], "network": {
            "architecture": "resnet18"}, "split": {"kind": "folds", "k": 3}}},
        "runs": {"vary": {"explain.method": ["z", "gradient"]}},
        "compare": ["runtime"],
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    found = study_facts(str(tmp_path / "mine.yaml"))
    assert found["sizes"].keys() == {"full"} and not found["lacks"]
    assert ("  cells: 0 done, 6 waiting" in study_text(found)) == (output is not None)
    assert not (tmp_path / "here").exists()


def test_a_comparison_that_there_is_not_is_said(tmp_path):
    values = {"kind": "study", "name": "mine", "networks": ["demo"], "compare": ["runtim"]}
    values["runs"] = {"base": {"source": {"format": "images", "uri": "x"}}, "vary": {"explain.method": ["z", "lime"]}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    found = study_facts(str(tmp_path / "mine.yaml"))
    assert "unknown comparison 'runtim'; did you mean 'runtime'" in found["lacks"]["full"]
