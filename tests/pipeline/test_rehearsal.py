"""A job in small, in this process: what it measures is what the job then writes."""

from types import SimpleNamespace

import pytest

from fer_batch.config import build_all
from fer_batch.pipeline import rehearsal
from fer_batch.pipeline.plan import make_plans
from fer_batch.pipeline.rehearsal import rehearse
from fer_batch.pipeline.trial import chosen_trial
from fer_batch.posed.clips import write_stills
from fer_batch.storage.store import Store


def test_every_explanation_is_made_and_nothing_is_left_behind(tmp_path, capsys):
    write_stills(tmp_path / "in", n=3, seed=2)
    explain = [{"method": "gradient", "targets": "AU12"}, {"method": "gradient_times_input", "targets": "AU12"}]
    source = {"format": "manifest", "uri": str(tmp_path / "in" / "manifest.csv")}
    values = {"name": "d", "source": source, "output": str(tmp_path / "out"), "model": {"checkpoint": "demo"}}
    values |= {"faces": {"detector": "dataset"}, "phases": ["explain"], "explain": explain}
    configs = build_all(values, "job")
    store = Store(configs[0].output)
    trial = chosen_trial(configs, store, make_plans(configs, store), 2)
    done = rehearse(trial.jobs, trial.groups)
    assert sorted(one.n_inputs for one in done.tried) == [1, 2]
    assert (
        [one.n_frames for one in done.tried]
        == [one.n_rows for one in done.tried]
        == [one.n_inputs for one in done.tried]
    )
    assert all(one.decode_s > 0 and one.network_s > 0 and one.maps_s > 0 for one in done.tried)
    kinds = [path.split("/")[0] for path, _ in done.files]
    assert (kinds.count("_commits"), kinds.count("_stage")) == (4, 4), "two handfuls under two explanations"
    assert sum(size for path, size in done.files if path.startswith("_stage/")) == sum(
        t.stage_bytes for t in done.tried
    )
    assert not store.exists("") and capsys.readouterr().err == ""


@pytest.mark.parametrize("phases", [("prototypes",), ("prototypes", "report")])
def test_phases_that_the_job_has_not_are_not_tried(monkeypatch, phases):
    published = []
    plan = SimpleNamespace(partition=None, model=SimpleNamespace(digest=""), refs=[])
    job = SimpleNamespace(config=SimpleNamespace(phases=phases), plan=plan)
    monkeypatch.setattr(rehearsal, "publish_stages", lambda phase, *_: published.append(phase))
    for name in ("Ledger", "unplanned"):
        monkeypatch.setattr(rehearsal, name, lambda *_: ())
    monkeypatch.setattr(rehearsal, "plan_shards", lambda *_: ())
    monkeypatch.setattr(rehearsal, "RunRecord", lambda *_, **__: SimpleNamespace(write=lambda _: None))
    rehearsal._Trial._publish(SimpleNamespace(store=None, identities=set()), job)
    assert published == list(phases)
