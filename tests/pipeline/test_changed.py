"""Clips that are replaced while a run reads them, with every step of phase 1 called in this process."""

import os
import pickle

import numpy as np
import pytest

from fer_batch.config import build
from fer_batch.pipeline import changed
from fer_batch.pipeline.devices import Offer
from fer_batch.pipeline.explaining import dataset
from fer_batch.pipeline.explaining.decode import decode_unit
from fer_batch.pipeline.explaining.explain import ExplainStage
from fer_batch.pipeline.explaining.sink import write_chunk
from fer_batch.pipeline.outcome import Outcome
from fer_batch.pipeline.phases import Job
from fer_batch.pipeline.plan import make_plans
from fer_batch.posed.clips import write_clips
from fer_batch.storage.manifest import Ledger
from fer_batch.storage.store import Store


def alone(row):
    """A row as a batch, as Ray Data hands it on."""
    batch = {name: np.empty(1, object) for name in row}
    for name, value in row.items():
        batch[name][0] = value
    return batch


@pytest.fixture
def here(monkeypatch):
    """Phase 1 without Ray; the functions of the list are called with each unit before it is read."""
    before = []

    def dataset_of(units, decode, options, sink, n_actors, num_gpus, n_cpus):
        explain = ExplainStage(options)

        class Here:
            def iter_batches(self, **how):
                for row in stream_rows():
                    for explained in explain(alone(row)):
                        told = write_chunk({name: np.array(v, object) for name, v in explained.items()}, sink)
                        yield alone({name: values[0] for name, values in told.items()})

        def stream_rows():
            for unit in units:
                for step in before:
                    step(unit)
                yield from decode_unit({"unit_id": unit.unit_id, "unit": pickle.dumps(unit)}, decode)

        return Here()

    monkeypatch.setattr(dataset, "dataset_of", dataset_of)
    monkeypatch.setattr("fer_batch.pipeline.phases.offered", lambda: Offer(0, 0, 0))
    return before


@pytest.fixture
def job(tmp_path):
    write_clips(tmp_path / "in", n_clips=3, seed=4, n_frames=(12, 13), size=96)
    values = {
        "name": "d",
        "source": {"format": "videos", "uri": str(tmp_path / "in")},
        "output": str(tmp_path / "out"),
        "model": {"checkpoint": "demo"},
        "faces": {"detector": "dataset"},
        "explain": {"method": "gradient", "targets": ["AU12"]},
    }
    config = build(values, "job")
    store = Store(config.output)
    return Job(config, store, make_plans([config], store)[0])


def settled(job):
    outcome = Outcome.of([job.plan])
    (own,), (busy,) = changed.explain_settled([job], [job], {"r1": job}, outcome, 1)
    assert own is busy
    return outcome, own, Ledger(job.store)


def touch(ref):
    found = os.stat(ref.uri)
    os.utime(ref.uri, ns=(found.st_atime_ns, found.st_mtime_ns + 10**9))


def test_a_clip_that_is_replaced_once_is_read_as_what_it_is_then(here, job, capsys):
    victim, n_touched = job.plan.refs[1], []

    def once(unit):
        if unit.members[0].sequence_id == victim.sequence_id and not n_touched:
            n_touched.append(touch(victim))

    here.append(once)
    outcome, own, ledger = settled(job)
    assert outcome.n_changed == 0
    said = capsys.readouterr().err
    assert f"1 input changed while being read, such as {victim.sequence_id}; reading them again" in said
    now = make_plans([job.config], job.store)[0]
    assert own.plan.listed == now.listed == ledger.committed, "under the identity that it has now"
    assert own.plan.listed != job.plan.listed
    assert now.units == []


def test_a_clip_that_never_holds_still_waits_for_the_next_run(here, job, capsys):
    victim = job.plan.refs[1]
    here.append(lambda unit: touch(victim) if unit.members[0].sequence_id == victim.sequence_id else None)
    outcome, _, ledger = settled(job)
    assert (outcome.n_changed, outcome.exit_code, len(ledger.committed)) == (1, 3, 2)
    assert "again and again" in capsys.readouterr().err
    here.clear()
    outcome, own, ledger = settled(Job(job.config, job.store, make_plans([job.config], job.store)[0]))
    assert (outcome.n_changed, own.plan.listed == ledger.committed) == (0, True)


def test_a_clip_that_is_removed_meanwhile_fails_and_the_others_do_not(here, job):
    victim, gone = job.plan.refs[0], []

    def remove(unit):
        if unit.members[0].sequence_id == victim.sequence_id and not gone:
            touch(victim)
            gone.append(True)
        elif unit.members[0].sequence_id == victim.sequence_id and os.path.exists(victim.uri):
            os.unlink(victim.uri)

    here.append(remove)
    _, _, ledger = settled(job)
    rows = [row for commit in ledger.commits(ledger.committed).values() for row in commit.sequences]
    assert sorted(row["status"] for row in rows) == ["done", "done", "failed"]
