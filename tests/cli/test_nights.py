"""Commands for an output that is added to night after night."""

import json

import pytest

from fer_batch import cli
from fer_batch.pipeline.analysis.pruning import plan_pruning
from fer_batch.storage.manifest import PLANS, Ledger
from fer_batch.storage.markers import ShardPlan
from fer_batch.storage.parquet import Partition, rows_of
from fer_batch.storage.published import shard_prefix
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table

HERE = Partition("d", "m-1", "e-1")


@pytest.fixture
def out(tmp_path):
    """An output that has a.mp4 and b.mp4, of a source that has a.mp4."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.mp4").write_bytes(b"0")
    store, shard = Store(str(tmp_path / "out")), f"{shard_prefix(HERE.key)}-00000"
    names = ("a.mp4", "b.mp4")
    nothing = {"annotations": {}, "replaces": {}, "replaces_annotations": {}}
    plan = ShardPlan(shard=shard, partition=HERE, units=(), sequences=names, **nothing)
    store.put(f"{PLANS}/{shard}.json", plan.to_json())
    rows = [{"sequence_id": name, "status": "done", "run_id": "r"} for name in names]
    put_table(store, f"{HERE.folder('sequences')}/all.parquet", rows_of("sequences", rows))
    config = json.dumps({"source": {"format": "videos", "uri": str(tmp_path / "source")}})
    run = {"run_id": "r", "config": config, "counts": "{}"}
    put_table(store, f"{HERE.folder('runs')}/r.parquet", rows_of("runs", [run]))
    return store


def test_prune_says_what_is_gone_and_takes_it_out_when_told(out, capsys):
    for words in ([], ["--dry-run"]):
        assert cli.main(["prune", out.uri, *words]) == 0
        said = capsys.readouterr().out
        assert "1 of 2 inputs are gone" in said and "  b.mp4" in said and "--yes" in said
    assert cli.main(["prune", out.uri, "--yes"]) == 1
    assert "is all of it mounted? Nothing was changed; if they are to go, --at-most 0.5" in capsys.readouterr().err
    assert cli.main(["prune", out.uri, "--yes", "--dry-run"]) == 1
    assert cli.main(["prune", out.uri, "--yes", "--at-most", "0.5", "--json"]) == 0
    (values,) = json.loads(capsys.readouterr().out)["partitions"]
    assert values["gone"] == ["b.mp4"] and values["inputs"] == 2
    assert cli.main(["prune", out.uri]) == 0
    assert "nothing is gone" in capsys.readouterr().out


def test_a_begun_prune_is_ended_and_said(out, tmp_path, capsys):
    (tmp_path / "source" / "b.mp4").write_bytes(b"0")
    plan_pruning(Ledger(out), HERE, ["b.mp4"], [])
    for words in (["--json"], ["--yes", "--json"]):
        assert cli.main(["prune", out.uri, *words]) == 0
        assert json.loads(capsys.readouterr().out)["begun"]
    plan_pruning(Ledger(out), HERE, ["a.mp4"], [])
    assert cli.main(["prune", out.uri]) == 0
    assert "an earlier prune did not end; --yes ends it" in capsys.readouterr().out
    assert cli.main(["prune", out.uri, "--yes"]) == 0
    assert "an earlier prune did not end; now it has" in capsys.readouterr().out


def test_one_source_is_not_that_of_several_data_sets(out, tmp_path, capsys):
    other = Partition("other", "m-1", "e-1")
    nothing = {"sequences": (), "annotations": {}, "replaces": {}, "replaces_annotations": {}}
    plan = ShardPlan(shard=f"{shard_prefix(other.key)}-00001", partition=other, units=(), **nothing)
    out.put(f"{PLANS}/{plan.shard}.json", plan.to_json())
    assert cli.main(["prune", out.uri, "--source", str(tmp_path / "source")]) == 1
    assert "--source is of one data set, and" in capsys.readouterr().err


def test_what_has_no_nights_is_said(tmp_path, capsys):
    for command in ("nightly", "prune"):
        assert cli.main([command, str(tmp_path / "nowhere")]) == 1
        assert "is no output of fer-batch" in capsys.readouterr().err
