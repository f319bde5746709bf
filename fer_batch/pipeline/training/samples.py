"""The labelled crops of a training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.config import TrainConfig
from fer_batch.media.sampling import balanced_frames
from fer_batch.pipeline.progress import say
from fer_batch.pipeline.training.labels import class_labels, inferred_targets, occurrence_labels
from fer_batch.pipeline.training.shards import Crops
from fer_batch.storage.manifest import dump, json_of
from fer_batch.storage.parquet import decode, encode
from fer_batch.storage.store import Store
from fer_batch.types import InputError


def read_samples(store: Store, folder: str) -> pa.Table:
    """The labelled crops of a training: `row` among the crops, who, what, where, and `labels`."""
    return decode(store.read_bytes(f"{folder}/samples.parquet"))


def labels_of(samples: pa.Table, n_targets: int) -> NDArray[np.float32]:
    """Labels of samples, float32 of shape (N, A): 1, 0, or NaN for NULL."""
    flat = samples["labels"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32).reshape(-1, n_targets)


def write_samples(config: TrainConfig, store: Store, crops: Crops, folder: str) -> tuple[str, ...]:
    """Label every crop and write those that have a label; the targets in the order of the outputs.

    Parameters
    ----------
    config
        The job.
    store, folder
        Where the training keeps its state; samples that are there already are kept.
    crops
        Of the job.

    Raises
    ------
    InputError
        If no crop can be trained on.
    """
    path = f"{folder}/targets.json"
    if store.exists(path):
        return tuple(json_of(store, path))
    rows = crops.rows(store)
    if not rows.num_rows:
        raise InputError("no input shows a face that can be used, so there is nothing to train on")
    if config.head == "softmax":
        targets = config.targets
        labels = class_labels(rows, targets, config.labels)
    else:
        targets = config.targets or inferred_targets(rows)
        labels = occurrence_labels(rows, targets, config.labels)
    kept = _labelled(config, labels, targets)
    if config.labels.per_subject is not None:
        kept = _at_most(rows, kept, labels[kept].argmax(1), config.labels.per_subject)
    store.put(f"{folder}/samples.parquet", encode(_samples(rows, kept, labels[kept])))
    store.put(path, dump(list(targets)))
    return targets


def _labelled(config: TrainConfig, labels: NDArray[np.float32], targets: Sequence[str]) -> NDArray[np.int64]:
    """Indices of the crops that are trained on."""
    known = np.flatnonzero(~np.isnan(labels).all(1))
    if not len(known):
        raise InputError(f"none of the {len(labels)} crops is annotated with any of {', '.join(targets)}")
    if len(known) < len(labels):
        say(f"{len(labels) - len(known)} of {len(labels)} crops have no label and are left out")
    if not (config.labels.only_present and config.head == "multilabel"):
        return known
    shown = known[(labels[known] == 1).any(1)]
    say(f"labels.only_present: {len(known) - len(shown)} of {len(known)} crops show no target and are left out")
    if not len(shown):
        raise InputError(f"labels.only_present: no crop shows any of {', '.join(targets)}")
    return shown


def _at_most(rows: pa.Table, kept: NDArray[np.int64], classes: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """At most n crops of each subject and class, evenly spaced over its inputs and frames in order."""
    columns = (rows[name].to_numpy(zero_copy_only=False)[kept] for name in ("sequence_id", "dataset", "subject_id"))
    sequence, dataset, subject = (np.unique(column.astype(str), return_inverse=True)[1] for column in columns)
    order = np.lexsort((rows["frame_index"].to_numpy()[kept], sequence, dataset, classes, subject))
    groups = np.split(order, np.flatnonzero(np.diff(subject[order]) | np.diff(classes[order])) + 1)
    chosen = np.concatenate([group[balanced_frames(len(group), 1, n)] for group in groups])
    if len(chosen) < len(kept):
        say(f"labels.per_subject: {len(chosen)} of {len(kept)} crops are kept, at most {n} of each subject and class")
    return np.sort(kept[chosen])


def counts_sentence(samples: pa.Table, targets: Sequence[str]) -> str:
    """How many crops each subject has of each class, the least and the most, so that a lack of balance is seen.

    Parameters
    ----------
    samples
        Of a training of classes: columns `subject_id` and `labels`.
    targets
        Names of the classes.
    """
    classes, subjects = labels_of(samples, len(targets)).argmax(1), np.asarray(samples["subject_id"].to_pylist(), str)
    parts = []
    for index, name in enumerate(targets):
        _, n = np.unique(subjects[classes == index], return_counts=True)
        if len(n):
            each = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
            parts.append(f"{name} {each} of {len(n)} subject{'s'[: len(n) > 1]}")
    return f"crops per subject: {', '.join(parts)}"


def _samples(rows: pa.Table, kept: NDArray[np.int64], labels: NDArray[np.float32]) -> pa.Table:
    """The table of samples: who, what, where, `row` among the crops, and `labels` with NULL for NaN."""
    columns = ["dataset", "subject_id", "sequence_id", "frame_index", "split"]
    samples = rows.select(columns).take(pa.array(kept)).append_column("row", pa.array(kept))
    flat = pa.array(labels.ravel(), mask=np.isnan(labels.ravel()))
    offsets = np.arange(len(kept) + 1, dtype=np.int32) * labels.shape[1]
    return samples.append_column("labels", pa.ListArray.from_arrays(pa.array(offsets), flat))
