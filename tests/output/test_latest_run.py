"""What the latest whole run of a partition says."""

import datetime
import json
from dataclasses import asdict

from fer_batch.facs import DEFAULT_RULE
from fer_batch.models.card import Card
from fer_batch.output.latest_run import card_of, crop_size_of, latest_run, rule_of, threshold_of
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.training.settings import LabelSettings

HERE, OTHER = Partition("d", "m", "e"), Partition("d", "m", "f")


def run_row(name, hour, counts):
    begun = datetime.datetime(2026, 3, 1, hour, tzinfo=datetime.UTC)
    config = json.dumps({"name": name})
    return {"run_id": name, "started_at": begun, "config": config, "counts": counts and json.dumps(counts)}


def test_the_latest_run_that_ended_describes_the_tables(tmp_path):
    store = Store(str(tmp_path))
    rows = [run_row("first", 1, {"done": 1}), run_row("second", 2, {"done": 2}), run_row("killed", 3, None)]
    store.put(f"{HERE.folder('runs')}/a.parquet", encode(rows_of("runs", rows)))
    store.put(f"{OTHER.folder('runs')}/a.parquet", encode(rows_of("runs", [run_row("other", 9, {"done": 9})])))
    found = latest_run(store, HERE)
    assert (found["run_id"], found["counts"], found["config"], found["versions"]) == (
        "second",
        {"done": 2},
        {"name": "second"},
        {},
    )
    assert latest_run(store, Partition("d", "m", "g")) == {}


def test_a_card_that_is_gone_is_empty_and_demo_weights_stay_marked(tmp_path):
    (tmp_path / "net.json").write_text(Card(name="n", targets=("AU01",)).model_dump_json())
    assert card_of({"config": {"model": {"checkpoint": str(tmp_path / "net.safetensors")}}})["targets"] == ("AU01",)
    assert card_of({"config": {"model": {"checkpoint": str(tmp_path / "gone.safetensors")}}}) == {"demo": False}
    assert card_of({"config": {"model": {"checkpoint": "demo"}}})["demo"]
    assert card_of({}) == {}


def test_the_job_decides_before_the_card():
    run = {"config": {"model": {"threshold": 0.4}, "faces": {"size": 96}}}
    card = {"head": "multilabel", "preprocessing": {"size": 112}}
    assert (threshold_of(run, card), crop_size_of(run, card)) == (0.4, 96)
    assert threshold_of(run, {"head": "softmax"}) is None
    assert crop_size_of({}, card) == 112
    assert crop_size_of({}, {}) is None
    assert rule_of(run) == rule_of({}) == DEFAULT_RULE


def test_the_rule_of_a_training_is_that_of_its_labels_whatever_else_these_say():
    own = LabelSettings(whole_inputs=True, classes={"PA3": "pain"})
    assert rule_of({"config": {"labels": asdict(own)}}) == DEFAULT_RULE
