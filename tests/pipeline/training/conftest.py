"""Jobs of kind train with a small network, and two posed people to train on."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
import torch

from fer_batch.config import build_train
from fer_batch.pipeline.training.shards import ROWS, Crops
from fer_batch.pipeline.training.train import _outcome, _planned, _publish
from fer_batch.pipeline.training.worker import _train
from fer_batch.posed.clips import write_clips
from fer_batch.posed.people import plan_people
from fer_batch.regions import standard_face
from fer_batch.storage.parquet import encode
from fer_batch.storage.store import Store

FACE = standard_face()[0] * [1 / 224, 1 / 275]  # of a side of 1
CLASSES = ("pain", "disgust", "happiness")
NETWORK = {"architecture": "resnet18", "options": {"width": 0.125}, "preprocessing": {"size": 48}}


@pytest.fixture(scope="session")
def job():
    """A job of one source that is never read, with sections replaced."""

    def make(**more):
        source = {"dataset": "a", "uri": "x"}
        values = {"kind": "train", "name": "test", "sources": [source], "output": "out"}
        return build_train({**values, **more, "network": {**NETWORK, **more.get("network", {})}}, "test")

    return make


@pytest.fixture(scope="session")
def job_of(job):
    """A job of some sources whose faces are known."""

    def make(output, *sources, **more):
        return job(**{"sources": list(sources), "output": str(output), "faces": {"detector": "dataset"}, **more})

    return make


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, size=96, plans=plan_people(2, 2, 12))
    (folder / "P001" / "broken.mp4").write_bytes(b"not a video")
    text = (folder / "sequences.csv").read_text() + "P001/broken.mp4,P001,\n"
    (folder / "sequences.csv").write_text(text)
    return folder


def _class_crops(store, folder, n_subjects, size=16):
    """Crops of people who show each class twice in pictures whose bright band says which."""
    rng, rows, images = np.random.default_rng(0), [], []
    for subject, kind, frame in itertools.product(range(n_subjects), range(len(CLASSES)), range(2)):
        image = rng.integers(0, 60, (size, size, 3), np.uint8)
        image[5 * kind : 5 * kind + 5, :, : kind + 1] += 150
        images.append(image)
        where = {"dataset": "a", "subject_id": f"a:{subject}", "sequence_id": f"{subject}/{CLASSES[kind]}"}
        unknown = {"targets": [], "intensity": [], "occurrence": [], "landmarks": (FACE * size).ravel().tolist()}
        row = {**where, "frame_index": frame, "emotion": CLASSES[kind], **unknown}
        rows.append(row)
    with store.staged(f"{folder}/shard.npy") as local, open(local, "wb") as file:
        np.save(file, np.stack(images))
    store.put(f"{folder}/shard.parquet", encode(pa.Table.from_pylist(rows, ROWS)))
    store.put(f"{folder}/inputs.parquet", encode(pa.table({"status": ["done"]})))
    return Crops(folder, ("shard",), size, (("ok", len(rows)),))


@pytest.fixture(scope="session")
def train_classes(job):
    """A function that trains a job of three classes on made crops as `train` does, in this process."""

    def run(output, n_subjects=6, **more):
        network = {"preprocessing": {"size": 16}, **more.pop("network", {})}
        values = {"head": "softmax", "targets": list(CLASSES), "labels": {"whole_inputs": True},
                  "recipe": {"epochs": 2, "batch_size": 8, **more.pop("recipe", {})},
                  "split": {"kind": "folds", "k": 2, "validation": 0.34}, "keep_models": "all"}  # fmt: skip
        config = job(output=str(output), network=network, **{**values, **more})
        store = Store(config.output)
        crops = _class_crops(store, "_crops/made", n_subjects)
        plan = _planned(config, store, crops)
        for one in plan.jobs:
            if not store.exists(one.path(".json")):
                _train(one, store, torch.device("cpu"), True)
        outcome = _outcome(plan, crops, [], 0)
        _publish(config, store, plan, outcome)
        return store, outcome

    return run


@pytest.fixture(scope="session")
def collection():
    """A function that makes a store with rows of crops of 32 pixels, and samples of them in another order."""

    def make(path, labels, points):
        store = Store(str(path))
        rows = pa.table({"landmarks": pa.array([None if p is None else p.ravel().tolist() for p in points],
                                               pa.list_(pa.float32()))})  # fmt: skip
        store.put("_crops/x/s.parquet", encode(rows))
        order = np.arange(len(points))[::-1]
        flat = pa.array(labels.ravel(), mask=np.isnan(labels.ravel()))
        offsets = np.arange(len(labels) + 1, dtype=np.int32) * labels.shape[1]
        samples = pa.table({"row": order, "labels": pa.ListArray.from_arrays(pa.array(offsets), flat)})
        return store, Crops("_crops/x", ("s",), 32), samples

    return make
