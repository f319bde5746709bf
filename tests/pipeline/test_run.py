"""A run whose phases need no Ray: what is recorded, what waits, what a dry run leaves untouched."""

import pytest

from fer_batch.config import build
from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.run import run
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store


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


def test_without_phase_1_inputs_wait_and_the_run_is_recorded(job, capsys):
    outcome = run(job)
    assert (outcome.found, outcome.done, outcome.report) == (0, 0, None)
    said = capsys.readouterr().err
    assert "2 to do" in said
    assert "2 inputs wait for a run whose phases include explain" in said
    (record,) = PartitionReader(Store(job.output), outcome.partition).table("runs").to_pylist()
    assert record["finished_at"] is not None
    assert read(Store(job.output), "sequences").num_rows == 0
