from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from fer_batch.config import build
from fer_batch.config.study import Study, StudyConfig
from fer_batch.models.card import ModelSpec, resolve
from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.work import StudyWork, Training
from fer_batch.storage.manifest import dump
from fer_batch.storage.parquet import encode, pack_maps, rows_of
from fer_batch.storage.store import Store

DEMO = {"softmax": "demo-expressions", "multilabel": "demo"}


def make_network(n=60, subjects=6, head="softmax", seed=0, crops="crops", **more):
    """A network with random answers to samples of some people; half of what it says is right."""
    spec = ModelSpec(checkpoint=more.pop("checkpoint", DEMO[head]))
    model = resolve(spec)
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, len(model.targets))).astype(np.float32)
    labels = np.zeros_like(logits)
    right = rng.random(n) < 0.5
    shown = np.where(right, logits.argmax(1), rng.integers(0, logits.shape[1], n))
    labels[np.arange(n), shown] = 1
    samples = pa.table(
        {
            "row": np.arange(n),
            "dataset": ["posed"] * n,
            "subject_id": [f"posed:{i % subjects}" for i in range(n)],
            "sequence_id": [f"{i % subjects}/{i // subjects // 2}" for i in range(n)],
            "frame_index": [i // subjects % 2 for i in range(n)],
            "emotion": pa.nulls(n, pa.string()),
            "kind": ["image_sequence"] * n,
            "labels": labels.tolist(),
            "logits": logits.tolist(),
        }
    )
    return StudyNetwork(
        name=more.pop("name", "net"),
        fold=more.pop("fold", None),
        varied={},
        spec=spec,
        model=model,
        crops=crops,
        samples=samples,
        **more,
    )


@pytest.fixture
def network():
    return make_network


def write_crops(uri, network_samples, size=48, landmarks=lambda row: None, emotions=lambda row: None):
    """A crop set with a grey face of noise for every sample of a network."""
    store, n = Store(uri), network_samples.num_rows
    images = np.random.default_rng(0).integers(0, 256, (n, size, size, 3), np.uint8)
    with store.staged("shard-00000.npy") as local, open(local, "wb") as file:
        np.lib.format.write_array(file, images)
    rows = network_samples.select(["subject_id", "sequence_id", "frame_index"])
    columns = {
        "emotion": pa.array([emotions(row) for row in range(n)], pa.string()),
        "landmarks": pa.array([landmarks(row) for row in range(n)], pa.list_(pa.float32())),
        "targets": pa.array([[]] * n, pa.list_(pa.string())),
        "occurrence": pa.array([[]] * n, pa.list_(pa.bool_())),
    }
    for name, values in columns.items():
        rows = rows.append_column(name, values)
    store.put("shard-00000.parquet", encode(rows))
    store.put("crops.json", dump({"shards": ["shard-00000"], "size": size}))
    return uri


def make_cell(folder, network, variant, maps=None, rows=None, seconds=None, **explain):
    """A cell that is done; `maps` gives the map of (row, target) of each of the rows that it explained."""
    explain = {"method": variant.partition(" (")[0], **explain}
    chosen = f"{network.title}-{variant}.parquet"
    source = {"format": "crops", "uri": network.crops, "options": {"chosen": chosen}}
    values = {"name": "posed", "output": str(folder), "source": source, "explain": explain}
    job = build({**values, "model": {"checkpoint": network.spec.checkpoint}}, "test")
    rows = list(range(network.samples.num_rows)) if rows is None else rows
    cell = Cell(network, {}, variant, job, "done", None, seconds, len(rows))
    if maps is not None:
        write_maps(Store(str(folder)), cell, rows, maps)
    return cell


def write_maps(store, cell, rows, maps):
    samples, relevance = cell.network.samples.to_pylist(), []
    for row in rows:
        for target in cell.network.model.targets:
            found = maps(row, target)
            if found is not None:
                (values,), (scale,) = pack_maps(found[None])
                key = {name: samples[row][name] for name in ("sequence_id", "frame_index")}
                size = {"height": found.shape[0], "width": found.shape[1]}
                relevance.append({**key, "target": target, **size, "scale": scale, "relevance": values.ravel()})
    subjects = {samples[row]["sequence_id"]: samples[row]["subject_id"] for row in rows}
    known = {"status": "done", "run_id": "r"}
    sequences = [{"sequence_id": one, "subject_id": who, **known} for one, who in sorted(subjects.items())]
    relevance.sort(key=lambda one: (one["sequence_id"], one["frame_index"]))
    for table, found in (("sequences", sequences), ("relevance", relevance)):
        store.put(f"{cell.partition.folder(table)}/shard.parquet", encode(rows_of(table, found)))


def make_work(folder, cells, trainings=(), **runs):
    config = StudyConfig(
        name="s",
        output=str(folder),
        networks=[{"checkpoint": "demo"}],
        compare=["runtime"],
        runs={"base": {"source": {}}, **runs},
    )
    titled = [Training(varied, None, SimpleNamespace(model=model), ()) for model, varied in trainings]
    return StudyWork(Store(str(folder)), Study(config, ()), tuple(titled), tuple(cells), start=no_engine)


def write_tiny(path, size=32):
    """A network of three classes with random weights."""
    import torch

    from fer_batch.models import backbone, checkpoint
    from fer_batch.models.card import Card

    torch.manual_seed(0)
    known = {"name": "tiny", "architecture": "resnet18", "options": {"width": 0.125}, "head": "softmax"}
    card = Card(**known, targets=("pain", "disgust", "happiness"), preprocessing={"size": size})
    checkpoint.save(backbone.build("resnet18", 3, {"width": 0.125}), path, card)
    return str(path)


def no_engine():
    raise AssertionError("this comparison needs no engine")


@pytest.fixture
def study():
    return SimpleNamespace(network=make_network, cell=make_cell, work=make_work, crops=write_crops, tiny=write_tiny)
