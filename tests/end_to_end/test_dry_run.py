"""The estimate of a dry run against the run itself: the same clips, of which half were tried."""

import json
from dataclasses import asdict

import pytest

from fer_batch.config import read_jobs
from fer_batch.pipeline.plan import make_plans
from fer_batch.pipeline.trial import chosen_trial, try_out
from fer_batch.storage.store import Store

pytestmark = pytest.mark.slow


def test_the_true_figures_lie_within_the_printed_ranges(explained, reference, tmp_path, helpers, capsys):
    price = ("resources.price_per_hour={cpu: 0.05, gpu: 1}",)
    configs = read_jobs(explained.path, price, str(tmp_path / "out"))
    store = Store(configs[0].output)
    found = try_out(chosen_trial(configs, store, make_plans(configs, store), n_groups=3))
    assert not store.exists("")
    assert found.n_tried == 3 and found.n_frames_tried < helpers.rows(reference, "frames").num_rows
    sizes = [entry.size for entry in Store(str(reference)).walk("")]
    truth = {"frames": helpers.rows(reference, "frames").num_rows, "bytes": sum(sizes), "objects": len(sizes)}
    for name, true in truth.items():
        one = getattr(found, name)
        assert one.low <= true <= one.high, f"{name}: {true} is not within {one}"
        assert one.high <= 12 * one.low, f"{name}: a range from {one.low} to {one.high} says nothing"
    for name in ("explain_hours", "prototypes_hours", "report_hours", "cost"):
        one = getattr(found, name)
        assert 0 < one.low <= one.value <= one.high, name
    json.dumps(asdict(found))
    assert "storage" in capsys.readouterr().err
