"""A run whose phases need no Ray: what is recorded, what waits, what a dry run leaves untouched."""

import json

import pytest

from fer_batch.config import build, build_all
from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.analysis.pruning import plan_pruning
from fer_batch.pipeline.plan import make_plans
from fer_batch.pipeline.run import run, run_all
from fer_batch.storage import manifest, packed
from fer_batch.storage.heartbeat import PRUNE, Work, beating
from fer_batch.storage.manifest import COMMITS, PLANS, SHARDS, Ledger
from fer_batch.storage.markers import Commit, ExplainCost
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store
from fer_batch.types import InputError


@pytest.fixture
def job(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).touch()
    return build(
        {
            "name": "d",
            "source": {"format": "videos", "uri": str(tmp_path / "in")},
            "output": str(tmp_path / "out"),
            "model": {"checkpoint": "demo"},
            "faces": {"detector": "none"},
            "phases": ["prototypes"],
            "resources": {"scheduler": "threads"},
        },
        "job",
    )


def test_a_dry_run_counts_and_writes_nothing(job, capsys):
    outcome = run(job, dry_run=True)
    assert (outcome.found, outcome.already_done, outcome.exit_code) == (2, 0, 0)
    assert "2 inputs (video)" in capsys.readouterr().err
    assert not Store(job.output).exists("tables")


def test_no_run_starts_during_a_prune(job):
    store = Store(job.output)
    with beating(store, [f"{PRUNE}x"], Work, str), pytest.raises(InputError, match="a prune goes on in this output"):
        run(job)
    assert not store.exists("tables")
    run(job)


def test_a_run_ends_a_prune_that_was_killed_and_publishes_no_shard_of_it(job):
    store = Store(job.output)
    partition = make_plans([job], store)[0].partition
    plan = plan_pruning(Ledger(store), partition, ["gone.mp4"], [])
    run(job, dry_run=True)
    assert store.exists(f"{PLANS}/{plan.shard}.json")
    run(job)
    assert not Ledger(store).plans and not Ledger(store).shards


def test_without_phase_1_inputs_wait_and_the_run_is_recorded(job, capsys):
    outcome = run(job)
    assert (outcome.found, outcome.done, outcome.report) == (0, 0, None)
    said = capsys.readouterr().err
    assert "2 to do" in said
    assert "2 inputs wait for a run whose phases include explain" in said
    (record,) = PartitionReader(Store(job.output), outcome.partition).table("runs").to_pylist()
    assert record["finished_at"] is not None
    assert read(Store(job.output), "sequences").num_rows == 0


def several(job, *sections):
    return build_all({**job.model_dump(exclude={"explain"}), "explain": list(sections)}, "job")


def test_each_explanation_is_announced_and_has_a_record_of_its_own(job, capsys):
    jobs = several(job, {"method": "gradient"}, {"method": "z", "targets": "all"})
    outcome = run_all(jobs, dry_run=True)
    said = capsys.readouterr().err
    assert "2 inputs (video)" in said and "2 to do under 2 explanations" in said
    assert [said.count(f"explain={partition.explain}: 2 to do, in 2 units") for partition in outcome.partitions] == [
        1,
        1,
    ]
    outcome = run_all(jobs)
    for partition, config in zip(outcome.partitions, jobs, strict=True):
        (record,) = PartitionReader(Store(job.output), partition).table("runs").to_pylist()
        assert build(json.loads(record["config"]), "record") == config
    runs = read(Store(job.output), "runs")["run_id"].to_pylist()
    assert len(set(runs)) == 2


def test_explanations_that_are_the_same_are_refused(job):
    jobs = several(job, {"method": "z"}, {"method": "gradient"}, {"method": "z", "batch_size": 4})
    with pytest.raises(InputError, match=r"^explain\.0 and explain\.2 are the same explanation \(z-\w+\); remove one"):
        run_all(jobs)
    with pytest.raises(ValueError, match="job 1 differs in name"):
        run_all([job, job.model_copy(update={"name": "e"})])
    with pytest.raises(ValueError, match="at least one"):
        run_all([])


def test_a_wrong_option_of_one_of_several_is_refused_before_anything_starts(job):
    explained = job.model_copy(update={"phases": ("explain",)})
    jobs = several(explained, {"method": "z"}, {"method": "gradient", "options": {"steps": 3}})
    with pytest.raises(InputError, match=r"^explain\.1 \(gradient\): explain\.options steps") as raised:
        run_all(jobs)
    assert raised.value.explanation == 1
    assert not Store(job.output).exists("tables")
    with pytest.raises(InputError, match=r"^explain: explain\.options steps"):
        run(jobs[1])


def test_markers_are_packed_at_the_end_of_a_run_and_where_that_was_killed_at_the_next_start(job, monkeypatch, capsys):
    for module in (manifest, packed):
        monkeypatch.setattr(module, "FEWEST", 1)
    monkeypatch.setattr(packed, "SETTLE_S", 0)
    store = Store(job.output)
    (plan,) = make_plans([job], store)
    for unit in plan.units:
        (ref,) = unit.members
        row = {"sequence_id": ref.sequence_id, "identity": unit.unit_id, "status": "skipped", "kind": "video"}
        commit = Commit(
            unit_id=unit.unit_id,
            partition=plan.partition,
            n_files=0,
            sequences=({**row, "unit_id": unit.unit_id, "run_id": "r"},),
            explain_cost=ExplainCost(),
        )
        store.put(f"{COMMITS}/{unit.unit_id}.json", commit.to_json())
    assert run(job).skipped == 2
    packs = {folder: store.names(f"{packed.PACKED}/{folder}") for folder in (PLANS, SHARDS)}
    assert all(packs.values()) and store.names(COMMITS) == []
    store.delete(packed.PACKED)
    assert run(job).skipped == 2 and "nothing to do: 2 of 2 inputs" in capsys.readouterr().err
    assert packs == {folder: store.names(f"{packed.PACKED}/{folder}") for folder in (PLANS, SHARDS)}
    assert run(job).skipped == 2 and Ledger(store).n_unpacked == 0
