"""Crops of a source that a study names itself: cut once for all of its cells, and what networks answer to them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.config import RunConfig
from fer_batch.models.card import ResolvedModel
from fer_batch.pipeline.devices import Device, gpus_of, own_device
from fer_batch.pipeline.explaining.faces import DecodeOptions
from fer_batch.pipeline.explaining.units import units_to_do
from fer_batch.pipeline.plan import check_faces
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


def cut(store: Store, job: RunConfig, size: int, start: Callable[[], int], n: int | None = None) -> str:
    """URI of the crops of a job's source, cut where they are not yet.

    Parameters
    ----------
    store
        The output.
    job
        Says what the source is, and how faces are found.
    size : pixels
        Side of the crops.
    start
        Starts Ray.
    n
        At most so many inputs, evenly over the listing; all where None.
    """
    source = source_of(job, size, n)
    folder = crops_folder([source])
    if read_crops(store, folder) is None:
        start()
        prepare(store, [source], size, job.resources.window)
    return join(store.uri, folder)


def source_of(job: RunConfig, size: int, n: int | None = None) -> Source:
    """The source of a job in units, as trainings cut them.

    Parameters
    ----------
    job
        Says what the source is, and how faces are found.
    size : pixels
        Side of the crops.
    n
        At most so many inputs.

    Raises
    ------
    InputError
        If the job wants landmarks of the dataset and there are none, or a detector that is not installed.
    """
    listed = list_source(job.source.format, job.source.uri, job.source.pattern, job.source.keywords)
    if n is not None and n < len(listed):
        listed = [listed[place] for place in np.unique(np.linspace(0, len(listed) - 1, n).astype(np.int64))]
    check_faces(job, listed)
    options = DecodeOptions.of(job.faces, job.source, job.resources, size=size)
    where = Partition(job.name, "crops", crop_key(job.faces, job.source, size))
    return Source(job.name, tuple(units_to_do(listed, where, set(), set())), options)


def given_network(
    store: Store, job: RunConfig, model: ResolvedModel, crops: str, labels: LabelSettings, start: Callable[[], int]
) -> StudyNetwork:
    """A network that was given, with every crop of a source as its samples.

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
    start
        Starts Ray.
    """
    rows = open_crops(crops).table()
    truth = _labels(rows, model, labels)
    flat = pa.array(truth.ravel(), mask=np.isnan(truth.ravel()))
    offsets = pa.array(np.arange(len(truth) + 1, dtype=np.int32) * truth.shape[1])
    samples = rows.select(["dataset", "subject_id", "sequence_id", "frame_index", "emotion"])
    samples = samples.append_column("row", pa.array(np.arange(len(truth), dtype=np.int64)))
    samples = samples.append_column("labels", pa.ListArray.from_arrays(offsets, flat))
    samples = samples.append_column(
        "logits", answers(store, crops, model, start, job.resources.device, job.resources.num_gpus)
    )
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
        return class_labels(rows, model.targets, rule, every_class=False)
    for place, target in enumerate(model.targets):
        with suppress(InputError):  # a source without labels of it can be explained all the same
            truth[:, [place]] = occurrence_labels(rows, [target], rule)
    return truth


def answers(
    store: Store,
    crops: str,
    model: ResolvedModel,
    start: Callable[[], int],
    device: Device = "auto",
    num_gpus: float | None = None,
) -> pa.ChunkedArray:
    """Logits of a network for every crop of a set, lists of float32; computed on Ray once, and kept.

    Parameters
    ----------
    store
        The output.
    crops
        URI of the crop set.
    model
        The network.
    start
        Starts Ray.
    device, num_gpus
        Of a task, as a job says them.
    """
    path = f"{ANSWERS}/{digest([crops.rsplit('/', 1)[-1], model.digest])}.parquet"
    if not store.exists(path):
        start()
        import ray

        with progress(f"predict {model.model_id}", int(open_crops(crops).starts[-1]), "crop") as advance:
            task = ray.remote(num_cpus=1, num_gpus=gpus_of(device, num_gpus))(_predict)
            starts = range(0, int(open_crops(crops).starts[-1]), 16 * BATCH)
            waiting = [task.remote(crops, model, first, 16 * BATCH) for first in starts]
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

    from fer_batch.models.preprocess import preprocess

    torch.set_num_threads(1)
    found, (network, device) = open_crops(crops), _loaded(model.digest, model)
    numbers = range(start, min(start + n, int(found.starts[-1])))
    parts: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for first in range(0, len(numbers), BATCH):
            images = preprocess(found.images(numbers[first : first + BATCH]), model.preprocessing, device)
            parts.append(network(images).float().cpu().numpy())
    return np.concatenate(parts)


_LOADED: dict[str, Any] = {}  # of this worker, the last


def _loaded(digest_of: str, model: ResolvedModel) -> Any:
    """The network and its device, loaded once a worker."""

    from fer_batch.models.checkpoint import load

    if digest_of not in _LOADED:
        device = own_device()
        _LOADED.clear()
        _LOADED[digest_of] = load(model).to(device).eval(), device
    return _LOADED[digest_of]
