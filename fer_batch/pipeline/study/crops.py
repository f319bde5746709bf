"""Crops of a source that a study names itself: cut once for all of its cells, and what networks answer to them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.config import RunConfig
from fer_batch.models.card import ResolvedModel
from fer_batch.pipeline.explaining.faces import DecodeOptions
from fer_batch.pipeline.explaining.units import units_to_do
from fer_batch.pipeline.progress import progress
from fer_batch.pipeline.study.networks import StudyNetwork, kinds_of, with_kinds
from fer_batch.pipeline.training.crops import crops_folder, prepare
from fer_batch.pipeline.training.labels import class_labels, occurrence_labels
from fer_batch.pipeline.training.listing import Source, crop_key
from fer_batch.pipeline.training.shards import read_crops
from fer_batch.sources.listing import list_source
from fer_batch.storage.crop_set import open_crops
from fer_batch.storage.manifest import digest
from fer_batch.storage.parquet import Partition, decode, encode
from fer_batch.storage.store import Store, join
from fer_batch.training.settings import LabelSettings
from fer_batch.types import InputError

ANSWERS = "_studies/answers"
BATCH = 64


def cut(store: Store, job: RunConfig, size: int) -> str:
    """URI of the crops of a job's source, cut where they are not yet; needs a running Ray.

    Parameters
    ----------
    store
        The output.
    job
        Says what the source is, and how faces are found.
    size : pixels
        Side of the crops.
    """
    source = source_of(job, size)
    folder = crops_folder([source])
    if read_crops(store, folder) is None:
        prepare(store, [source], size, job.resources.window)
    return join(store.uri, folder)


def source_of(job: RunConfig, size: int) -> Source:
    """The source of a job in units, as trainings cut them.

    Parameters
    ----------
    job
        Says what the source is, and how faces are found.
    size : pixels
        Side of the crops.
    """
    listed = list_source(job.source.format, job.source.uri, job.source.pattern, job.source.keywords)
    options = DecodeOptions.of(job.faces, job.source, job.resources, size=size)
    where = Partition(job.name, "crops", crop_key(job.faces, job.source, size))
    return Source(job.name, tuple(units_to_do(listed, where, set(), set())), options)


def given_network(
    store: Store, job: RunConfig, model: ResolvedModel, crops: str, labels: LabelSettings
) -> StudyNetwork:
    """A network that was given, with every crop of a source as its samples; needs a running Ray.

    Parameters
    ----------
    store
        The output.
    job
        A run of the network.
    model
        What the network is.
    crops
        URI of the crop set.
    labels
        When an annotation counts as present.
    """
    rows = open_crops(crops).table()
    truth = _labels(rows, model, labels)
    flat = pa.array(truth.ravel(), mask=np.isnan(truth.ravel()))
    offsets = pa.array(np.arange(len(truth) + 1, dtype=np.int32) * truth.shape[1])
    samples = rows.select(["dataset", "subject_id", "sequence_id", "frame_index", "emotion"])
    samples = samples.append_column("row", pa.array(np.arange(len(truth), dtype=np.int64)))
    samples = samples.append_column("labels", pa.ListArray.from_arrays(offsets, flat))
    samples = samples.append_column("logits", answers(store, crops, model))
    return StudyNetwork(
        name=model.model_id,
        fold=None,
        varied={},
        spec=job.model,
        model=model,
        crops=crops,
        samples=with_kinds(samples, kinds_of(crops)),
        faces=job.faces,
    )


def _labels(rows: pa.Table, model: ResolvedModel, rule: LabelSettings) -> NDArray[np.float32]:
    """The truth of every crop by target, shape (n, A); NaN where it is not known."""
    truth = np.full((rows.num_rows, len(model.targets)), np.nan, np.float32)
    if model.head == "softmax":
        with suppress(InputError):  # a source without labels can be explained all the same
            truth = class_labels(rows, model.targets, rule)
        return truth
    for place, target in enumerate(model.targets):
        with suppress(InputError):
            truth[:, [place]] = occurrence_labels(rows, [target], rule)
    return truth


def answers(store: Store, crops: str, model: ResolvedModel) -> pa.ChunkedArray:
    """Logits of a network for every crop of a set, lists of float32; computed on Ray once, and kept."""
    path = f"{ANSWERS}/{digest([crops.rsplit('/', 1)[-1], model.digest])}.parquet"
    if not store.exists(path):
        import ray

        with progress(f"predict {model.model_id}", int(open_crops(crops).starts[-1]), "crop") as advance:
            task = ray.remote(num_cpus=1)(_predict)
            starts = range(0, int(open_crops(crops).starts[-1]), 16 * BATCH)
            waiting = [task.remote(crops, model, start, 16 * BATCH) for start in starts]
            parts: list[NDArray[np.float32]] = []
            for one in waiting:
                parts.append(ray.get(one))
                advance(len(parts[-1]))
        logits = np.concatenate(parts) if parts else np.zeros((0, len(model.targets)), np.float32)
        offsets = pa.array(np.arange(len(logits) + 1, dtype=np.int32) * len(model.targets))
        column = pa.ListArray.from_arrays(offsets, pa.array(logits.ravel()))
        store.put(path, encode(pa.table({"logits": column})))
    return decode(store.read_bytes(path))["logits"]


def _predict(crops: str, model: ResolvedModel, start: int, n: int) -> NDArray[np.float32]:
    """Logits of some crops of a set, shape (n, A)."""
    import torch

    from fer_batch.models.checkpoint import load
    from fer_batch.models.preprocess import preprocess

    torch.set_num_threads(1)
    found, network = open_crops(crops), load(model).eval()
    numbers = range(start, min(start + n, int(found.starts[-1])))
    parts: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for first in range(0, len(numbers), BATCH):
            images = preprocess(found.images(numbers[first : first + BATCH]), model.preprocessing)
            parts.append(network(images).float().numpy())
    return np.concatenate(parts)


def chosen_rows(network: StudyNetwork, rows: NDArray[np.int64]) -> pa.Table:
    """The chosen samples as the source format `crops` takes them."""
    table = network.samples.take(pa.array(rows))
    return table.select(["row", "sequence_id", "frame_index", "kind", "subject_id", "emotion"])


def write_chosen(store: Store, network: StudyNetwork, rows: NDArray[np.int64]) -> str:
    """Write which samples a network explains, under a name that says what they are; its URI."""
    table = chosen_rows(network, rows)
    name = digest([network.crops.rsplit("/", 1)[-1], table.to_pylist()])
    return _put(store, f"_studies/chosen/{name}.parquet", table)


def write_truth(store: Store, networks: Sequence[StudyNetwork]) -> str:
    """Write the labels of all samples of some networks of one crop set, each frame once; their URI."""
    rows: dict[tuple[str, int, str], bool] = {}
    for network in networks:
        known = zip(network.samples["sequence_id"].to_pylist(), network.samples["frame_index"].to_pylist(), strict=True)
        for (sequence, frame), labels in zip(known, network.labels, strict=True):
            for target, label in zip(network.model.targets, labels.tolist(), strict=True):
                if not np.isnan(label):
                    rows[sequence, frame, target] = label == 1
    keys = sorted(rows)
    table = pa.table(
        {
            "sequence_id": pa.array([key[0] for key in keys], pa.string()),
            "frame_index": pa.array([key[1] for key in keys], pa.int64()),
            "target": pa.array([key[2] for key in keys], pa.string()),
            "occurrence": pa.array([rows[key] for key in keys], pa.bool_()),
        }
    )
    return _put(store, f"_studies/truth/{digest(table.to_pylist())}.parquet", table)


def _put(store: Store, path: str, table: pa.Table) -> str:
    if not store.exists(path):
        store.put(path, encode(table))
    return join(store.uri, path)
