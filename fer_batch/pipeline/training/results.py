"""What a finished training knows of every fold: its network, and the people that network never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fer_batch.models.card import card_uri
from fer_batch.pipeline.training.folds import folds_of
from fer_batch.pipeline.training.marker import FoldJob
from fer_batch.pipeline.training.outcome import TrainOutcome
from fer_batch.pipeline.training.samples import labels_of, read_samples
from fer_batch.pipeline.training.tables import CHECKPOINTS
from fer_batch.storage.parquet import decode
from fer_batch.storage.store import Store, join
from fer_batch.types import InputError

TESTED = pa.schema(
    [
        ("dataset", pa.string()),
        ("subject_id", pa.string()),
        ("sequence_id", pa.string()),
        ("frame_index", pa.int64()),
        ("emotion", pa.string()),
        ("row", pa.int64()),
        ("label", pa.int32()),
        ("labels", pa.list_(pa.float32())),
        ("logits", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True)
class FoldNetwork:
    """The network of one fold and its test part.

    Attributes
    ----------
    fold, name
        Number of the fold, and the subject that it tests where that is one.
    checkpoint
        URI of its weights; the card lies beside them.
    samples
        Table `TESTED`, a row for each tested crop in the order of the fold. `row` is the place of the crop among
        `outcome.crops`, `label` the index of its class (NULL of Action Units), `labels` holds 1, 0 or NULL by target,
        `logits` what the network answered when it was tested.
    """

    fold: int
    name: str
    checkpoint: str
    samples: pa.Table

    @property
    def card(self) -> str:
        """URI of its card."""
        return card_uri(self.checkpoint)


def fold_results(outcome: TrainOutcome) -> list[FoldNetwork]:
    """The networks of all folds of a training that is done, each with the samples of its test part.

    Parameters
    ----------
    outcome
        What `train` returned; with one fold, or of a job with `keep_models: all`.

    Raises
    ------
    InputError
        If the networks of the folds were not kept.
    """
    if not outcome.jobs:
        raise ValueError("the outcome is of a training that is not done; it names no folds")
    jobs, first = outcome.jobs, outcome.jobs[0]
    store = Store(first.output)
    checkpoints = [_checkpoint(store, outcome.model, job, len(jobs)) for job in jobs]
    samples = read_samples(store, first.folder)
    emotion = first.crops.rows(store)["emotion"].take(samples["row"])
    samples = samples.append_column("emotion", emotion)
    folds = {fold.index: fold for fold in folds_of(first.config, samples)}
    return [
        FoldNetwork(job.index, folds[job.index].name, uri, _tested(store, job, samples.take(folds[job.index].test)))
        for job, uri in zip(jobs, checkpoints, strict=True)
    ]


def _checkpoint(store: Store, model: str, job: FoldJob, n_folds: int) -> str:
    """URI of the published network of a fold, whose card lies beside it."""
    name = "best" if n_folds == 1 else f"fold-{job.index:03d}"
    path = f"{CHECKPOINTS}/{model}/{name}.safetensors"
    if not store.exists(path):
        raise InputError(
            f"the network of fold {job.index} was not kept ({path}): a training whose folds are explained needs "
            "keep_models: all; run it again with that, no fold is trained again"
        )
    return join(job.output, path)


def _tested(store: Store, job: FoldJob, samples: pa.Table) -> pa.Table:
    """Samples of a test part with the logits that were measured when the fold was done."""
    n = len(job.targets)
    measured = decode(store.read_bytes(job.path(".predictions.parquet")))
    logits = measured["logit"].to_numpy().astype(np.float32).reshape(-1, n)
    _check_same(samples, measured, n, job)
    labels = labels_of(samples, n)
    classes = labels.argmax(1) if job.config.head == "softmax" else None
    found = {
        "label": pa.nulls(len(labels), pa.int32()) if classes is None else pa.array(classes, pa.int32()),
        "logits": pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), n).cast(pa.list_(pa.float32())),
    }
    table = samples.select([name for name in TESTED.names if name not in found])
    for name, column in found.items():
        table = table.append_column(name, column)
    return table.select(TESTED.names).cast(TESTED)


def _check_same(samples: pa.Table, measured: pa.Table, n_targets: int, job: FoldJob) -> None:
    """Refuse predictions that are of other frames than the test part."""
    keys: Sequence[str] = ("sequence_id", "frame_index")
    first = measured.take(pa.array(np.arange(0, measured.num_rows, n_targets)))
    if any(first[key].to_pylist() != samples[key].to_pylist() for key in keys):
        raise InputError(
            f"{job.path('.predictions.parquet')} is of other frames than the test part of fold {job.index}"
        )
