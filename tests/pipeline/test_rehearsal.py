"""A job in small, in this process: what it measures is what the job then writes."""

from fer_batch.config import build_all
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
