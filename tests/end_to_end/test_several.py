"""Several explanations in one run: decoded once, and each as if it had been run alone."""

import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from fer_batch.config import build_all
from fer_batch.output.explain_cost import explain_cost
from fer_batch.pipeline.run import run, run_all
from fer_batch.posed.clips import write_clips, write_stills
from fer_batch.storage.manifest import Ledger
from fer_batch.storage.parquet import read
from fer_batch.storage.store import Store

pytestmark = pytest.mark.slow

N_FRAMES, N_STILLS = 10, 3
EXPLAIN = [
    {"method": "preset_a_flat"},
    {"method": "grad_cam", "targets": "annotated", "batch_size": 4},
]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Values of a job over a clip and three stills, whose detector counts the frames that it is shown."""
    folder = tmp_path_factory.mktemp("several")
    media = folder / "media"
    (clip,) = write_clips(media, n_clips=1, seed=3, n_frames=(N_FRAMES, N_FRAMES), size=128)
    for landmarks in media.rglob("*.landmarks.csv"):
        landmarks.unlink()
    stills = [path.relative_to(media) for path in write_stills(media, n=N_STILLS, seed=5, size=128)]
    rows = [f"{clip.relative_to(media)},,", *(f"{path},3,0" for path in stills)]
    (media / "manifest.csv").write_text("\n".join(["path,AU12,AU25", *rows]) + "\n")
    return {
        "name": "posed",
        "source": {"format": "manifest", "uri": str(media / "manifest.csv")},
        "output": str(folder / "out"),
        "model": {"checkpoint": "demo"},
        "faces": {"detector": "counting_faces:Detector", "every": 1},
        "explain": EXPLAIN,
        "resources": {"num_cpus": 2, "object_store_mb": 128, "scheduler": "threads"},
    }


@pytest.fixture(scope="module")
def outputs(job, frames_seen):
    """Folder of a run of the list, of runs of each alone, and of the first alone; the frames that each run decoded."""
    decoded = {}

    def counted(name, run_it, configs):
        frames_seen.write_text("")
        outcome = run_it(configs)
        assert outcome.exit_code == 0
        decoded[name] = len(frames_seen.read_text().splitlines())
        return outcome

    folder = Path(job["output"]).parent
    outcome = counted("list", run_all, build_all(job, "job"))
    alone = build_all({**job, "output": str(folder / "alone")}, "job")
    for k, config in enumerate(alone):
        counted(f"alone {k}", run, config)
        if k == 0:
            shutil.copytree(folder / "alone", folder / "first")
    return folder, outcome, decoded


def tables(output, partition):
    """Every table of a partition but `runs`, in a fixed order, without the id of the run."""
    found = {}
    for name in sorted(path.name for path in (Path(output) / "tables").iterdir() if path.name != "runs"):
        where = {"dataset": partition.dataset} if name == "annotations" else partition.key
        rows = read(Store(str(output)), name, **where).to_pylist()
        found[name] = sorted(str({key: value for key, value in row.items() if key != "run_id"}) for row in rows)
    return found


def files(output):
    root = Path(output) / "tables"
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.parquet") if "runs" not in path.parts)


def test_each_explanation_has_the_rows_that_it_has_alone(outputs):
    folder, outcome, _ = outputs
    assert (outcome.found, outcome.done, len(outcome.reports)) == (1 + N_STILLS, 1 + N_STILLS, 2)
    assert files(folder / "out") == files(folder / "alone")
    for partition in outcome.partitions:
        expected = tables(folder / "alone", partition)
        assert {"sequences", "detections", "relevance", "heatmaps", "evaluation"} <= expected.keys()
        assert len(expected["relevance"]) >= N_STILLS
        found = tables(folder / "out", partition)
        for name, rows in expected.items():
            assert found[name] == rows, f"{name} of {partition.explain}"


def test_every_frame_is_decoded_once_for_all_explanations(outputs):
    n = N_FRAMES + N_STILLS
    assert outputs[-1] == {"list": n, "alone 0": n, "alone 1": n}


def test_every_explanation_has_its_own_run_and_its_own_time(outputs):
    folder, outcome, _ = outputs
    store = Store(str(folder / "out"))
    runs = read(store, "runs").to_pylist()
    assert len({row["run_id"] for row in runs}) == len(runs) == 2
    for partition in outcome.partitions:
        cost = explain_cost(Ledger(store), partition)
        n_maps = read(store, "relevance", **partition.key).num_rows
        assert cost.n_maps + cost.n_first_maps == n_maps
        assert cost.n_first_images > 0 and cost.first_seconds > 0


def test_after_a_run_of_one_alone_and_a_kill_the_others_do_what_they_lack(outputs, job, make_job, helpers):
    folder, outcome, _ = outputs
    killed = make_job("", folder / "first")
    small = {"phases": ["explain", "prototypes"], "resources": {**job["resources"], "window": 1}}
    killed.path.write_text(yaml.safe_dump({**job, **small}))
    driver = killed.start()
    commits = Path(killed.output) / "_commits"
    assert not list(commits.glob("*.json")), "those of the first explanation went when its shards were published"
    helpers.until(lambda: list(commits.glob("*.json")) or driver.poll() is not None)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    before = Ledger(Store(killed.output)).committed
    assert len(before) > 2, driver.communicate()[0][-3000:]
    assert replace(killed, here=True).done()["done"] == 1 + N_STILLS
    ledger = Ledger(Store(killed.output))
    assert before <= ledger.committed and len(ledger.committed) == 4 and not ledger.waiting
    for partition in outcome.partitions:
        expected = tables(folder / "alone", partition)
        found = tables(killed.output, partition)
        for name in found.keys() - {"evaluation"}:  # which phase report makes
            assert found[name] == expected[name], f"{name} of {partition.explain}"
