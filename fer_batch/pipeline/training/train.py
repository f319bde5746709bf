"""Train networks fold by fold and say how good they are. Safe to kill and to run again.

    list -> crops (once) -> samples and folds -> each fold on Ray Train -> tables, best network, picture

What is finished is believed because its marker exists, and a marker is written last: `_crops/<digest>/crops.json` for
the crops, `_train/<id>/folds/007.json` for a fold. Between epochs a fold leaves its state, and goes on from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from fer_batch.config import TrainConfig
from fer_batch.models.card import read_file
from fer_batch.output.run_record import RunRecord
from fer_batch.pipeline.failures import failure_sentence
from fer_batch.pipeline.progress import say, work_now
from fer_batch.pipeline.training.checks import check_early, check_network, check_parts, checked_folds
from fer_batch.pipeline.training.crops import crops_folder, prepare
from fer_batch.pipeline.training.folds import check_workers, parts_lines, parts_of
from fer_batch.pipeline.training.kept import check_kept
from fer_batch.pipeline.training.lanes import train_folds
from fer_batch.pipeline.training.listing import Source, list_sources, posed_people_made, short_inputs
from fer_batch.pipeline.training.maps import check_maps
from fer_batch.pipeline.training.marker import FoldJob
from fer_batch.pipeline.training.outcome import TrainOutcome, announce, use_line
from fer_batch.pipeline.training.samples import counts_sentence, read_samples, write_samples
from fer_batch.pipeline.training.shards import Crops, Row, read_crops
from fer_batch.pipeline.training.tables import f1_table, fold_lines, publish_fold, publish_model
from fer_batch.storage.heartbeat import beating
from fer_batch.storage.manifest import digest
from fer_batch.storage.parquet import Partition, rows_of
from fer_batch.storage.store import Store
from fer_batch.storage.writing import put_table
from fer_batch.training.splits import Fold
from fer_batch.types import STATUSES

TRAIN = "_train"
# keys that came later, at the value by which they change nothing
_LATER: dict[str, dict[str, object]] = {"recipe": {"augment_validation": False}, "labels": {"per_subject": None}}


@dataclass(frozen=True)
class _Plan:
    """A training whose crops are labelled and split."""

    model: str
    targets: tuple[str, ...]
    samples: pa.Table
    folds: list[Fold]
    jobs: list[FoldJob]
    where: Partition

    def publish(self, store: Store, job: FoldJob) -> None:
        """Write the tables of a fold that is done."""
        publish_fold(store, job, self.where, job.marker(store))


def train(config: TrainConfig) -> TrainOutcome:
    """Do a training to its end.

    Raises
    ------
    InputError
        If it cannot be done as asked; what is finished is kept.
    """
    store = Store(config.output)
    check_parts(config)
    store.check_writable()
    sources = list_sources(config, _size(config))
    store.sweep_temporary(TRAIN)
    with _Engine(config) as engine:
        crops = _crops(config, store, sources, engine)
        plan = _planned(config, store, crops)
        inputs = crops.inputs(store)
        waiting = [job for job in plan.jobs if not store.exists(job.path(".json"))]
        outcome = _outcome(plan, crops, inputs, len(plan.jobs) - len(waiting))
        announce(config, plan.samples, plan.folds, outcome)
        _say_balance(config, plan, inputs)
        check_maps(config, store, crops, plan.samples, plan.targets)
        check_kept(config, store, crops, plan.samples, plan.targets)
        record = RunRecord(store, plan.where, config)
        _publish_inputs(store, plan.where, inputs, record.run_id)
        record.write(None)
        if waiting:
            check_network(config, len(plan.targets))
            with beating(store, [record.run_id], work_now, failure_sentence):
                engine.start()
                train_folds(config, store, waiting, lambda job: plan.publish(store, job))
    record.known["model_digest"] = _publish(config, store, plan, outcome)
    outcome.use = use_line(config, sources, outcome.checkpoint)
    record.write(outcome.counts | {"n_folds": len(plan.jobs), "already_done": outcome.n_done_before})
    return outcome


def left_by(config: TrainConfig) -> TrainOutcome | None:
    """What earlier runs left of a training, without doing any of it; None where it was not begun.

    Returns
    -------
    TrainOutcome
        `jobs` are all of its folds, `folds` the markers of those that are done; inputs are not counted.

    Raises
    ------
    InputError
        If the sources are not what the job says.
    """
    store = Store(config.output)
    if not store.exists(TRAIN) or not posed_people_made(config):
        return None
    folder = crops_folder(list_sources(config, _size(config)))
    crops = read_crops(store, folder) or Crops(folder, (), _size(config))  # a study may have removed them
    if not store.exists(f"{TRAIN}/{digest(training_identity(config, crops))}/targets.json"):
        return None
    plan = _planned(config, store, crops)
    markers = [job.marker(store) for job in plan.jobs if store.exists(job.path(".json"))]
    found = TrainOutcome({}, [], plan.targets, plan.model, folds=markers, n_done_before=len(markers))
    found.jobs = tuple(plan.jobs)
    return found


def _size(config: TrainConfig) -> int:
    """Side of the crops in pixels."""
    return config.faces.size or config.network.preprocessing.size


def _crops(config: TrainConfig, store: Store, sources: Sequence[Source], engine: _Engine) -> Crops:
    """The crops of the job, cut where they are not yet."""
    crops = read_crops(store, crops_folder(sources))
    if crops is None:
        check_early(config, sources)  # before hours of decoding, not after them
        engine.start()
        crops = prepare(store, sources, _size(config), config.resources.window)
    return crops


def _planned(config: TrainConfig, store: Store, crops: Crops) -> _Plan:
    training_id = digest(training_identity(config, crops))
    folder, model = f"{TRAIN}/{training_id}", f"{config.network.name}-{training_id[:8]}"
    targets = write_samples(config, store, crops, folder)
    samples = read_samples(store, folder)
    folds = checked_folds(config, samples)
    check_workers(config, folds)
    where = Partition(_tested(config, samples, folds), model, "none")
    jobs = [FoldJob(store.uri, folder, config, crops, targets, fold.index) for fold in folds]
    return _Plan(model, targets, samples, folds, jobs, where)


def _say_balance(config: TrainConfig, plan: _Plan, inputs: Sequence[Row]) -> None:
    """Say which inputs were shorter than asked for, and how many crops of each class that leaves."""
    for sentence in short_inputs(config, inputs):
        say(sentence)
    if config.head == "softmax":
        say(counts_sentence(plan.samples, plan.targets))


def _outcome(plan: _Plan, crops: Crops, inputs: Sequence[Row], n_done_before: int) -> TrainOutcome:
    """The outcome as far as the crops determine it."""
    counts = {status: sum(row["status"] == status for row in inputs) for status in STATUSES}
    failures = [(row["sequence_id"], row["reason"] or "no reason") for row in inputs if row["status"] == "failed"]
    return TrainOutcome(
        {"found": len(inputs), **counts},
        failures,
        plan.targets,
        plan.model,
        n_done_before=n_done_before,
        frames=dict(crops.frames),
    )


def _publish(config: TrainConfig, store: Store, plan: _Plan, outcome: TrainOutcome) -> str:
    """Publish folds, network and picture, and say so in the outcome; the digest of the network."""
    markers = outcome.folds = [job.marker(store) for job in plan.jobs]
    for job in plan.jobs:
        plan.publish(store, job)
    outcome.checkpoint, outcome.figure, model_digest = publish_model(store, config, plan.model, plan.jobs, markers)
    outcome.parts, outcome.jobs = parts_of(config, markers), tuple(plan.jobs)
    lines = [f1_table(config, plan.model, plan.targets, markers), *parts_lines(config, outcome.parts)]
    outcome.table = "\n".join([*lines, *fold_lines(plan.targets, markers)])
    return model_digest


def training_identity(config: TrainConfig, crops: Crops) -> Mapping[str, object]:
    """Everything that changes a result; where data and weights lie does not, what they are does."""
    kept = {"labels", "head", "targets", "network", "recipe", "align", "swap_outside", "split", "seed"}
    found = config.model_dump(mode="json", include=kept)
    for section, later in _LATER.items():  # a training of an earlier version is still the same one
        found[section] = {k: v for k, v in found[section].items() if k not in later or v != later[k]}
    if config.network.checkpoint:
        found["network"]["checkpoint"] = hashlib.sha256(read_file(config.network.checkpoint)).hexdigest()
    return {"crops": crops.folder, "workers": config.resources.workers, **found}


def _tested(config: TrainConfig, samples: pa.Table, folds: Sequence[Fold]) -> str:
    """The dataset that the figures are of: the one that is tested, or the job's name where several are."""
    datasets = np.asarray(samples["dataset"].to_pylist(), str)
    tested = sorted({name for fold in folds for name in np.unique(datasets[fold.test]).tolist()})
    return tested[0] if len(tested) == 1 else config.name


class _Engine(contextlib.ExitStack):
    """Ray, from when it is first needed to the end of the block."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.resources, self.started = config.resources, False

    def start(self) -> None:
        """Start it where it does not run yet."""
        if self.started:
            return
        from fer_batch.pipeline.engine import ray_engine

        # a fold of seconds should not wait for a look every two
        os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
        os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
        self.enter_context(ray_engine(self.resources.num_cpus or os.cpu_count() or 1, self.resources.object_store_mb))
        self.started = True


def _publish_inputs(store: Store, where: Partition, inputs: Sequence[Row], run_id: str) -> None:
    """Write table `sequences`: what became of every input."""
    for dataset in sorted({row["dataset"] for row in inputs}):
        rows = [{**row, "run_id": run_id} for row in inputs if row["dataset"] == dataset]
        folder = replace(where, dataset=dataset).folder("sequences")
        put_table(store, f"{folder}/inputs.parquet", rows_of("sequences", rows))
