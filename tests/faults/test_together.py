"""Others work in the output at the same time: another job that writes, and people who read."""

import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fer_batch.output.query import connect
from fer_batch.output.status import status
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store

from .bench import job_over, say
from .compare import digests_of, rows_of

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]

OTHER = {"method": "grad_cam", "targets": "all"}
COUNTED = """
SELECT sequence_id, any_value(n_frames), count(*) FROM sequences JOIN frames USING (sequence_id) GROUP BY ALL
"""
READ = ("sequences", "frames", "detections", "stages", "temporal_prototypes", "prototypes")


@pytest.fixture(scope="module")
def one_after_the_other(clips, tmp_path_factory):
    """Rows of an output of two jobs, done one after the other."""
    folder = tmp_path_factory.mktemp("both")
    job_over(folder / "one.yaml", clips, str(folder / "out")).done()
    job_over(folder / "other.yaml", clips, str(folder / "out"), explain=OTHER).done()
    return rows_of(folder / "out")


def test_two_jobs_write_into_one_output_at_once(make_run, one_after_the_other, assert_same, tmp_path):
    runs = [make_run(tmp_path / "out"), make_run(tmp_path / "out", explain=OTHER)]
    for run in runs:
        run.start()
    for run in runs:
        assert run.wait() == 0, run.said[-3000:]
    assert_same(one_after_the_other, rows_of(tmp_path / "out"))


def of(rows, sequences):
    return rows.filter(pc.is_in(rows["sequence_id"], value_set=pa.array(sequences, pa.string())))


def check_readers(store, expected):
    """Read as people do while a run goes on: what is there is whole, and nothing is there twice; how many there are."""
    whole = read(store, "sequences")["sequence_id"].to_pylist()
    for table in READ:
        found = read(store, table)  # may have more by now, never less
        newer = set(found["sequence_id"].to_pylist())
        rows = of(expected[table], sorted(newer | set(whole)))
        assert digests_of(found) == digests_of(rows), f"{table}: {found.num_rows} of {rows.num_rows} rows"
    counted = connect(store).execute(COUNTED).fetchall()
    assert all(n == found for _, n, found in counted), counted
    status(store)
    return len(whole)


def plain_rows(output, table):
    """What a glob finds: no more than whole files."""
    if not list(output.glob(f"tables/{table}/**/*.parquet")):
        return 0
    return duckdb.sql(f"SELECT count(DISTINCT sequence_id) FROM '{output}/tables/{table}/**/*.parquet'").fetchone()[0]


def test_people_read_while_it_is_written(make_run, undisturbed_output, undisturbed, assert_same):
    expected = {table: read(Store(str(undisturbed_output)), table) for table in READ}
    run, seen, n_reads = make_run(resources={"shard_units": 1}), set(), 0
    run.start()
    store = Store(run.output)
    while run.driver.poll() is None:
        if store.exists("tables/frames"):
            seen |= {check_readers(store, expected), plain_rows(Path(run.output), "frames")}
            n_reads += 1
        time.sleep(0.1)
    assert run.wait() == 0, run.said[-3000:]
    say(f"{n_reads} reads, of {sorted(seen)} sequences")
    assert n_reads > 3
    assert check_readers(store, expected) == len(expected["sequences"])
    found = rows_of(run.output, tables=READ)
    assert_same({table: undisturbed[table] for table in READ}, found)
