"""One command trains fold by fold; killed anywhere it goes on, redoes nothing, and ends where it would have ended."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import yaml

from fer_batch.config import read_train_job
from fer_batch.models import checkpoint
from fer_batch.models.card import ModelSpec, resolve
from fer_batch.output.query import connect
from fer_batch.pipeline.training.folds import folds_of
from fer_batch.pipeline.training.marker import FoldJob
from fer_batch.pipeline.training.samples import read_samples
from fer_batch.pipeline.training.shards import read_crops
from fer_batch.pipeline.training.worker import face_set, make_network, make_recipe
from fer_batch.storage.store import Store
from fer_batch.training.fold import FoldTraining

from .conftest import called

pytestmark = pytest.mark.slow
EPOCHS = 8  # of each fold: seconds, in which the second can be killed

JOB = {
    "kind": "train",
    "name": "posed",
    "sources": [{"dataset": "posed", "posed": {"subjects": 4, "clips": 2, "frames": 12}}],
    "faces": {"detector": "dataset"},
    "network": {
        "name": "tiny",
        "architecture": "resnet18",
        "options": {"width": 0.125},
        "preprocessing": {"size": 64},
    },
    "recipe": {"id": "test", "epochs": EPOCHS, "batch_size": 16, "augment": "faces", "learning_rate": 0.02},
    "resources": {"num_cpus": 1, "object_store_mb": 100},
}


def command(folder, *more):
    return [sys.executable, "-m", "fer_batch.cli", "train", str(folder / "job.yaml"), "--output", str(folder / "out"),
            *more]  # fmt: skip


def run(folder, *more, code=0):
    """The same command in this process."""
    command_line = command(folder, *more)
    done = called(command_line[command_line.index("train") :])
    assert done.returncode == code, done.stderr[-3000:]
    return done


def markers(out):
    return {path.name: path for path in sorted(out.glob("_train/*/folds/[0-9][0-9][0-9].json"))}


def command_of(process):
    """Its command line; empty where it is gone, or only not reaped."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def name_of(process):
    """Its name; empty where it is gone."""
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def until_gone(processes):
    """Wait for the processes that train to follow their driver; Ray's agents take minutes, and are ended here."""
    end = time.monotonic() + 60
    while any("Train" in command_of(process) for process in processes):
        assert time.monotonic() < end, "a worker outlived its driver"
        time.sleep(0.1)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.fixture(scope="module")
def trained(engine, tmp_path_factory):
    """A training whose driver was killed with -9 in its second fold, and that was run again."""
    folder = tmp_path_factory.mktemp("train")
    out = folder / "out"
    (folder / "job.yaml").write_text(yaml.safe_dump(JOB))
    with open(folder / "log", "w") as log:
        driver = subprocess.Popen(command(folder), stdout=log, stderr=log)
    end = time.monotonic() + 240
    while time.monotonic() < end and driver.poll() is None:
        if markers(out) and list(out.glob("_train/*/folds/*.state.pt")):
            break
        time.sleep(0.005)
    children = psutil.Process(driver.pid).children(recursive=True)
    training = [process for process in children if "Train" in command_of(process)]
    for process in training:  # a worker outlives its driver by a moment, in which it could end every fold
        process.suspend()
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    psutil.wait_procs([process for process in children if name_of(process) == "raylet"], timeout=60)
    for process in training:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
    until_gone(children)
    first = {name: (path.stat().st_mtime_ns, path.read_bytes()) for name, path in markers(out).items()}
    states = sorted(path.name for path in out.glob("_train/*/folds/*.state.pt"))
    assert 1 <= len(first) < 4, (folder / "log").read_text()[-3000:]
    again = run(folder, "--json")
    return folder, first, states, json.loads(again.stdout.strip().splitlines()[-1]), again.stderr


def test_what_was_done_is_not_done_again(trained):
    folder, first, states, outcome, said = trained
    after = markers(folder / "out")
    assert len(after) == 4
    for name, (written, content) in first.items():
        assert (after[name].stat().st_mtime_ns, after[name].read_bytes()) == (written, content)
    assert states, "the kill came before an epoch of the second fold was over"
    assert outcome["n_done_before"] == len(first)
    assert f"{len(first)} done earlier" in said
    assert "posed clips" not in said and "crops:" not in said  # neither made nor decoded again
    assert not list((folder / "out").glob("_train/*/folds/*.state.pt"))


def test_every_fold_ends_where_it_would_have_without_the_kill(trained):
    folder, first, *_ = trained
    config = read_train_job(folder / "job.yaml", output=str(folder / "out"))
    store = Store(config.output)
    (crops,) = (read_crops(store, f"_crops/{path.name}") for path in (folder / "out/_crops").iterdir())
    (place,) = (f"_train/{path.name}" for path in (folder / "out/_train").iterdir())
    samples = read_samples(store, place)
    targets = tuple(json.loads(store.read_bytes(f"{place}/targets.json")))
    assert len(targets) == 16
    torch.set_num_threads(1)
    predictions = (
        connect(store)
        .execute("SELECT fold, logit FROM predictions ORDER BY fold, subject_id, sequence_id, frame_index, target")
        .fetchall()
    )
    index = len(first)  # the fold that was under way
    job = FoldJob(store.uri, place, config, crops, targets, index)
    fold = folds_of(config, samples)[index]
    training = FoldTraining(
        face_set(job, store, samples), fold, lambda: make_network(config.network, 16), make_recipe(config),
        config.network.preprocessing,
    )  # fmt: skip
    result, marker = training.run().result(), json.loads(store.read_bytes(job.path(".json")))
    assert marker["history"] == result.history
    stored = np.array([logit for number, logit in predictions if number == index], np.float32)
    np.testing.assert_array_equal(stored, result.logits.ravel())


def test_nobody_is_tested_who_was_trained_on_and_everybody_is_tested_once(trained):
    folder, *_ = trained
    tested = []
    for path in markers(folder / "out").values():
        subjects = json.loads(path.read_text())["subjects"]
        assert not set(subjects["train"]) & set(subjects["test"])
        tested += subjects["test"]
    assert sorted(tested) == [f"posed:P00{i}" for i in (1, 2, 3, 4)]
    samples = connect(Store(str(folder / "out"))).execute(
        "SELECT count(*), count(DISTINCT (sequence_id, frame_index)) FROM predictions WHERE target = 'AU12'"
    )
    assert samples.fetchall() == [(96, 96)]


def test_tables_and_text_say_how_good_it_is(trained):
    folder, *_ = trained
    started = time.monotonic()
    said = run(folder)  # nothing is left to do
    assert time.monotonic() - started < 60
    assert "4 done earlier" in said.stderr and "folds at once" not in said.stderr
    lines = said.stdout.splitlines()
    row = next(i for i, line in enumerate(lines) if "AU01" in line)
    assert lines[row].split() == ["AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU09", "AU10", "AU12", "AU15",
                                  "AU17", "AU20", "AU23", "AU25", "AU26", "AU27", "mean"]  # fmt: skip
    assert "mean over 4 folds (leave_one_subject_out); recipe test, seed 0" in lines[row - 1]
    connection = connect(Store(str(folder / "out")))
    for target, f1, n in connection.execute(
        """
        WITH counts AS (
            SELECT fold, target, count(*) FILTER (probability >= 0.5 AND occurrence) AS tp,
                   count(*) FILTER (probability >= 0.5 AND NOT occurrence) AS fp,
                   count(*) FILTER (probability < 0.5 AND occurrence) AS fn
            FROM predictions GROUP BY ALL
        ) SELECT target, avg(2 * tp / nullif(2 * tp + fp + fn, 0)), count(nullif(2 * tp + fp + fn, 0))
        FROM counts GROUP BY target
        """
    ).fetchall():
        place = lines[row].split().index(target) + 1
        shown = lines[row + 1].split()[place]
        assert shown == ("-" if f1 is None else f"{f1:.2f}".removeprefix("0"))
        assert lines[row + 2].split()[place] == str(n)
    epochs = connection.execute("SELECT split, metric, count(*) FROM training GROUP BY ALL ORDER BY ALL").fetchall()
    assert epochs == [("train", "learning_rate", 4 * EPOCHS), ("train", "loss", 4 * EPOCHS)]
    assert connection.execute("SELECT count(*), count(DISTINCT fold) FROM evaluation").fetchall() == [(64, 4)]
    assert connection.execute("SELECT status, count(*) FROM sequences GROUP BY ALL").fetchall() == [("done", 8)]
    listed = called(["status", str(folder / "out")])
    assert "8 done, 0 partial, 0 failed" in listed.stdout


def test_the_best_network_can_be_used_and_its_card_says_where_it_comes_from(trained):
    outcome = trained[3]
    resolved = resolve(ModelSpec(checkpoint=outcome["checkpoint"]))
    best = max(outcome["folds"], key=lambda fold: np.mean([v for v in fold["f1"] if v is not None] or [-1]))
    card = resolved.card
    digests = connect(Store(str(trained[0] / "out"))).execute("SELECT model_digest FROM runs WHERE counts IS NOT NULL")
    assert (resolved.digest,) in digests.fetchall(), "a run of this network is found by its digest"
    assert card.metrics["training"] == outcome["model"] and card.metrics["fold"] == best["fold"]
    assert card.metrics["recipe"] == "test" and card.metrics["seed"] == 0
    assert set(card.metrics["class_weights"]) == set(resolved.targets)
    assert "torch" in card.metrics["versions"]
    assert card.trained_on == ("posed: 72 crops", f"3 subjects; not on {best['name']}")
    assert outcome["frames"] == {"ok": 96}
    assert card.faces == {"detector": "dataset", "choose": "largest", "align": "none", "margin": 0.2}
    trained_on = set(card.trained_subjects)
    assert trained_on == {f"posed:P00{i}" for i in (1, 2, 3, 4)} - {best["name"]}
    assert card.demo
    model = checkpoint.load(resolved)
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 16)
    picture = Path(outcome["figure"]).read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_judging_tells_the_people_trained_on_from_the_one_left_out_and_agrees_with_the_card(trained, engine):
    folder, out = trained[0], str(trained[0] / "judged")
    job = {
        "kind": "run",
        "name": "posed",
        "source": {"format": "videos", "uri": str(folder / "out" / "_data" / "posed")},
        "model": {"checkpoint": trained[3]["checkpoint"]},
        "faces": JOB["faces"],
        "phases": ["explain", "prototypes"],
        "resources": JOB["resources"],
    }
    (folder / "judge.yaml").write_text(yaml.safe_dump(job))
    for words in (["run", str(folder / "judge.yaml"), "--output", out], ["evaluate", out, "--json"]):
        done = called(words)
        assert done.returncode == 0, done.stderr[-3000:]
    (part,) = json.loads(done.stdout)["partitions"]
    assert (part["people"]["n_trained_on"], part["people"]["n_new"]) == (3, 1)
    assert part["people"]["warning"].startswith("The network was trained on 3 of the 4 people here")
    of_new = {row["target"]: row["value"] for row in part["rows"] if row["metric"] == "f1" and row.get("group")}
    card = resolve(ModelSpec(checkpoint=trained[3]["checkpoint"])).card
    assert of_new == {target: pytest.approx(value, abs=1e-4) for target, value in card.f1.items()}


def test_a_recipe_that_does_not_fit_starts_nothing(trained):
    folder, *_ = trained
    wrong = run(folder, "--set", "recipe.trainable=[head.]", code=1)
    assert wrong.stderr.splitlines()[-1].startswith("error: recipe: nothing of the network is named head.")
    assert "posed: 96 crops of 4 subjects" in wrong.stderr
