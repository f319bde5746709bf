"""A dry run of a study says what its output holds, and writes nothing."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
import yaml

from fer_batch.config import read_study
from fer_batch.config.reading import merged
from fer_batch.models import backbone, checkpoint
from fer_batch.models.card import Card, resolve
from fer_batch.pipeline.study.cells import write_cells
from fer_batch.pipeline.study.crops import ANSWERS, source_of
from fer_batch.pipeline.study.execute import _finish
from fer_batch.pipeline.study.forecast import forecast
from fer_batch.pipeline.study.networks import of_training
from fer_batch.pipeline.study.plan import given_job, planned_cells
from fer_batch.pipeline.study.standing import standings
from fer_batch.pipeline.training.crops import crops_folder
from fer_batch.pipeline.training.listing import list_sources
from fer_batch.pipeline.training.shards import _INPUTS, ROWS, read_crops
from fer_batch.pipeline.training.train import _planned, left_by
from fer_batch.storage.manifest import digest, dump
from fer_batch.storage.parquet import encode
from fer_batch.storage.store import Store

CLASSES = ("pain", "disgust", "happiness")
SIZE, K = 16, 2
TRAINING = {
    "kind": "train",
    "name": "faces",
    "head": "softmax",
    "targets": list(CLASSES),
    "labels": {"whole_inputs": True},
    "faces": {"detector": "none"},
    "network": {"architecture": "resnet18", "options": {"width": 0.125}, "preprocessing": {"size": SIZE}},
    "recipe": {"epochs": 2},
    "split": {"kind": "folds", "k": K},
}
STUDY = {
    "kind": "study",
    "name": "small",
    "question": "Where does it look?",
    "runs": {"base": {"explain": {"targets": "all"}}, "vary": {"explain.method": ["gradient", "z"]}},
    "compare": ["runtime"],
}


class Output:
    """An output as a study leaves it, without what is computed by networks: its crops, folds, cells and markers."""

    def __init__(self, root):
        self.root, self.store = root, Store(str(root / "out"))
        for subject, kind in itertools.product(range(4), CLASSES):
            (root / "media" / str(subject)).mkdir(parents=True, exist_ok=True)
            (root / "media" / str(subject) / f"{kind}.png").touch()
        rows = [f"{one.relative_to(root / 'media')},{one.parent.name}" for one in (root / "media").glob("*/*.png")]
        (root / "media" / "sequences.csv").write_text("\n".join(["path,subject_id", *rows]) + "\n")

    def study(self, methods=("gradient", "z"), **training):
        source = {"dataset": "a", "format": "images", "uri": str(self.root / "media")}
        base = merged({**TRAINING, "sources": [source]}, training)
        values = merged(STUDY, {"trainings": {"base": base}, "runs": {"vary": {"explain.method": list(methods)}}})
        (self.root / "study.yaml").write_text(yaml.safe_dump(values))
        return read_study(self.root / "study.yaml", (), self.store.uri)

    def cut(self, study, sources=None):
        """Crops of every input, all black."""
        sources = sources or list_sources(study.trainings[0][1], SIZE)
        folder, rows, inputs = crops_folder(sources), [], []
        for ref in sources[0].refs:
            where = {"dataset": "a", "sequence_id": ref.sequence_id, "subject_id": ref.subject_id}
            emotion = os.path.basename(ref.sequence_id).removesuffix(".png")
            rows.append({**where, "frame_index": 0, "emotion": emotion, "targets": []})
            inputs.append({**where, "kind": "still", "status": "done", "n_frames": 1})
        with self.store.staged(f"{folder}/shard.npy") as local, open(local, "wb") as file:
            np.save(file, np.zeros((len(rows), SIZE, SIZE, 3), np.uint8))
        self.store.put(f"{folder}/shard.parquet", encode(pa.Table.from_pylist(rows, ROWS)))
        self.store.put(f"{folder}/inputs.parquet", encode(pa.Table.from_pylist(inputs, _INPUTS)))
        self.store.put(f"{folder}/crops.json", dump({"shards": ["shard"], "size": SIZE}))

    def train(self, study, n_folds=K):
        """Marks of some folds, and the networks of all where all are done; they answer at random."""
        config = study.trainings[0][1]
        plan = _planned(config, self.store, read_crops(self.store, crops_folder(list_sources(config, SIZE))))
        for job in plan.jobs[:n_folds]:
            tested = plan.samples.take(pa.array(plan.folds[job.index].test)).select(["sequence_id", "frame_index"])
            rows = tested.take(pa.array(np.repeat(np.arange(tested.num_rows), len(CLASSES))))
            logits = np.random.default_rng(job.index).normal(size=rows.num_rows)
            self.store.put(job.path(".predictions.parquet"), encode(rows.append_column("logit", pa.array(logits))))
            self.store.put(job.path(".json"), dump({"fold": job.index, "f1": [0.5] * len(CLASSES), "history": []}))
        for job in plan.jobs if n_folds == K else ():
            save_network(f"{self.store.uri}/checkpoints/{plan.model}/fold-{job.index:03d}.safetensors", job.index)

    def explain(self, study, wanted=lambda cell: True):
        """Marks of some cells, each with 2 seconds an image."""
        varied, config = study.trainings[0]
        networks = of_training(self.store.uri, left_by(config), varied)
        cells = planned_cells(study, self.store, networks)
        for cell in (one for one in cells if wanted(one)):
            _finish(self.store, cell, [])
            path = f"_studies/cells/{cell.key}.json"
            mark = yaml.safe_load(self.store.read_bytes(path))
            self.store.put(path, dump({**mark, "seconds": 12.0, "n_images": 6}))
        return planned_cells(study, self.store, networks)

    def said(self, study):
        """Lines of the forecast, which leaves every file as it is."""
        before = self.files()
        lines = forecast(study).splitlines()
        assert self.files() == before
        return lines

    def files(self):
        return {path: path.stat().st_mtime_ns for path in (self.root / "out").rglob("*")}


def save_network(path, number):
    card = Card(name="net", architecture="resnet18", options={"width": 0.125}, targets=CLASSES, head="softmax",
                preprocessing={"size": SIZE})  # fmt: skip
    net = backbone.build("resnet18", len(CLASSES), {"width": 0.125})
    net.bn1.bias.data += number
    checkpoint.save(net, path, card)


@pytest.fixture
def output(tmp_path):
    return Output(tmp_path)


@pytest.fixture
def done(output):
    """An output whose folds are trained and whose cells are all done, and its study."""
    study = output.study()
    output.cut(study)
    output.train(study)
    write_cells(output.store, study, output.explain(study))
    return output


def line(lines, begin):
    (found,) = [one for one in lines if one.startswith(begin)]
    return found


def test_of_a_study_that_was_not_begun_the_grid_is_said(output):
    assert output.said(output.study()) == [
        "study small: Where does it look?",
        "  training faces: 2 folds, 2 epochs at most; not begun",
        "  explanations of each network: gradient, z",
        "  compared: runtime",
        "  cells: 0 done, 4 waiting",
        "    faces, fold 0: waiting all 2",
        "    faces, fold 1: waiting all 2",
        "  what waits: hours are known when a first cell of it was measured",
    ]
    assert not output.files()


def test_folds_that_are_not_known_yet_are_not_counted(output):
    lines = output.said(output.study(split={"kind": "leave_one_subject_out"}))
    assert "  cells: 0 done, 0 waiting, 2 more for each fold of faces" in lines


def test_a_study_that_was_killed_in_its_training_says_which_folds_are_done(output):
    study = output.study()
    output.cut(study)
    assert line(output.said(study), "  training").endswith("; not begun")
    output.train(study, n_folds=1)
    assert line(output.said(study), "  training").endswith("; 1 of 2 folds are trained")
    assert line(output.said(study), "  cells") == "  cells: 0 done, 4 waiting"


def test_a_study_that_was_killed_after_some_cells_says_which_wait(output):
    study = output.study()
    output.cut(study)
    output.train(study)
    output.explain(study, lambda cell: cell.network.fold == 0 and cell.variant == "gradient")
    lines = output.said(study)
    assert line(lines, "  training").endswith("; trained")
    assert line(lines, "  cells") == "  cells: 1 done, 3 waiting"
    assert any(one.endswith("fold 0: done gradient; waiting z") for one in lines)
    assert any(one.endswith("fold 1: waiting all 2") for one in lines)
    assert line(lines, "  measured") == "  measured, seconds an image: gradient 2"
    assert line(lines, "  what waits") == (
        "  what waits: about 0.0033 hours of explaining at these rates, with 6 images a cell; not measured yet: z"
    )


def test_of_a_study_that_is_done_nothing_waits(done):
    lines = done.said(done.study())
    assert line(lines, "  cells") == "  cells: 4 done, 0 waiting"
    assert lines[-1] == "  measured, seconds an image: gradient 2, z 2"


def test_one_explanation_more_waits_alone(done):
    lines = done.said(done.study(("gradient", "z", "epsilon")))
    assert line(lines, "  cells") == "  cells: 4 done, 2 waiting"
    assert any(one.endswith("fold 1: done gradient, z; waiting epsilon") for one in lines)
    assert lines[-1] == "  what waits: hours are known when a first cell of it was measured"


def test_after_other_epochs_nothing_is_done_and_rates_are_those_measured(done):
    lines = done.said(done.study(recipe={"epochs": 3}))
    assert line(lines, "  training") == "  training faces: 2 folds, 3 epochs at most; not begun"
    assert line(lines, "  cells") == "  cells: 0 done, 4 waiting"
    # 2 folds of 2 explanations over 6 images at 2 seconds each
    assert lines[-1] == "  what waits: about 0.013 hours of explaining at these rates, with 6 images a cell"


def test_cells_that_failed_are_named_with_their_reason(done):
    study = done.study(("gradient", "cam"))
    cells = done.explain(study, lambda cell: False)
    write_cells(done.store, study, [cell.failed("no such layer") if cell.variant == "cam" else cell for cell in cells])
    lines = done.said(study)
    assert line(lines, "  cells") == "  cells: 2 done, 2 waiting"
    assert sum("tried again" in one and one.endswith("cam: no such layer") for one in lines) == 2


def test_crops_that_were_removed_leave_the_training_done(done):
    study = done.study()
    (standing,) = standings(study)
    done.store.delete(standing.networks[0].crops.removeprefix(done.store.uri).lstrip("/"))
    lines = done.said(study)
    assert line(lines, "  training").endswith("; trained; its crops were removed and will be cut again")
    assert line(lines, "  cells") == "  cells: 0 done, 4 waiting"


def test_networks_that_were_given_say_how_far_they_are(output):
    cards = [str(output.root / f"net{number}.safetensors") for number in range(2)]
    for number, path in enumerate(cards):
        save_network(path, number)
    base = {"source": {"format": "images", "uri": str(output.root / "media")}, "faces": {"detector": "none"}}
    values = merged(STUDY, {"networks": cards, "runs": {"base": base}})
    (output.root / "study.yaml").write_text(yaml.safe_dump(values))
    study = read_study(output.root / "study.yaml", (), output.store.uri)
    lines = output.said(study)
    assert sum(one.endswith("safetensors; the faces of its source are not cut yet") for one in lines) == 2
    assert line(lines, "  cells") == "  cells: 0 done, 4 waiting"
    jobs = [given_job(study, spec) for spec in study.config.networks]
    output.cut(study, [source_of(jobs[0], SIZE)])
    assert sum(one.endswith("safetensors; it has not answered yet") for one in output.said(study)) == 2
    (crops,) = (output.root / "out" / "_crops").iterdir()
    for spec in study.config.networks:
        logits = pa.table({"logits": np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32).tolist()})
        name = digest([crops.name, resolve(spec).digest])
        output.store.put(
            f"{ANSWERS}/{name}.parquet", encode(logits.cast(pa.schema([("logits", pa.list_(pa.float32()))])))
        )
    lines = output.said(study)
    assert sum(one.endswith("safetensors; ready") for one in lines) == 2
    assert [one for one in lines if one.endswith(": waiting all 2")] == [
        f"    {one.title}: waiting all 2" for one in standings(study)
    ]


def test_a_dry_run_needs_neither_torch_nor_ray(done):
    done.study()
    script = (
        "import sys; from fer_batch.config import read_study; from fer_batch.pipeline.study.forecast import forecast\n"
        f"said = forecast(read_study({str(done.root / 'study.yaml')!r}, (), {done.store.uri!r}))\n"
        "assert '4 done, 0 waiting' in said, said\n"
        "print([name for name in ('torch', 'ray', 'dask') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
