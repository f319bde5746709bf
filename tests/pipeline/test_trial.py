"""When a dry run tries inputs, and what it says where it cannot."""

from types import SimpleNamespace

import numpy as np
import pytest

from fer_batch.config import build
from fer_batch.pipeline.plan import make_plans
from fer_batch.pipeline.run import run
from fer_batch.pipeline.scaling import Waiting
from fer_batch.pipeline.trial import Trial, chosen_trial, try_out
from fer_batch.storage.store import Store


@pytest.fixture
def job(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "in" / name).write_bytes(b"no video")
    values = {"name": "d", "source": {"uri": str(tmp_path / "in")}, "output": str(tmp_path / "out")}
    return build({**values, "model": {"checkpoint": "demo"}, "faces": {"detector": "none"}}, "job")


def trial(config):
    store = Store(config.output)
    return chosen_trial([config], store, make_plans([config], store))


def test_inputs_are_tried_where_the_job_explains_some(job, tmp_path):
    found = trial(job)
    assert [len(group.members) for group in found.groups] == [1, 1]
    assert (found.jobs[0].plan.refs, found.jobs[0].plan.units) == ([], []), "the listing is not kept for it"
    assert trial(job.model_copy(update={"phases": ("report",)})) is None
    for file in (tmp_path / "in").iterdir():
        file.write_bytes(b"")
    assert trial(job) is None, "of an empty file nothing is read"


def test_where_no_input_can_be_read_there_is_no_estimate(job, capsys):
    outcome = run(job, dry_run=True)
    assert outcome.estimate is None and outcome.found == 2
    assert "no estimate: none of the inputs that were tried could be read" in capsys.readouterr().err
    assert not Store(job.output).exists("")


def test_what_an_estimate_lacks_is_said(monkeypatch, capsys):
    found = SimpleNamespace(device="cuda")
    monkeypatch.setattr("fer_batch.pipeline.rehearsal.rehearse", lambda *_: object())
    monkeypatch.setattr("fer_batch.pipeline.estimate.estimate", lambda *_: found)
    monkeypatch.setattr("fer_batch.pipeline.estimate_text.estimate_lines", lambda _: ())
    resources = SimpleNamespace(num_cpus=2, price_per_hour=SimpleNamespace(cpu=0.1, gpu=None))
    plan = SimpleNamespace(ledger=SimpleNamespace(shards={"s": object()}))
    job = SimpleNamespace(config=SimpleNamespace(resources=resources), plan=plan)
    assert try_out(Trial((job,), Waiting(np.ones(2), np.ones(2), 2, 1), ())) is found
    said = capsys.readouterr().err
    assert "no cost: the network ran on cuda, and resources.price_per_hour.gpu is not given" in said
    assert "the output has inputs already: what is made anew over all of them is not in the estimate" in said


def test_where_nothing_says_how_many_frames_there_are_there_is_no_estimate(monkeypatch, capsys):
    monkeypatch.setattr("fer_batch.pipeline.rehearsal.rehearse", lambda *_: object())
    jobs = (SimpleNamespace(config=SimpleNamespace(resources=None)),)
    assert try_out(Trial(jobs, Waiting(np.ones(2), np.full(2, np.nan), 2, 1), ())) is None
    assert "no estimate: the files do not say how many frames they have" in capsys.readouterr().err
