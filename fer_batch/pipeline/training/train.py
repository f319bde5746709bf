"""Train networks fold by fold and say how good they are. Safe to kill and to run again.

    list -> crops (once) -> samples and folds -> each fold on Ray Train -> tables, best network, picture

What is finished is believed because its marker exists, and a marker is written last: `_crops/<digest>/crops.json` for
the crops, `_train/<id>/folds/007.json` for a fold. Between epochs a fold leaves its state, and goes on from there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from fer_batch.config import TrainConfig
from fer_batch.media.settings import FaceSettings
from fer_batch.output.run_record import RunRecord
from fer_batch.pipeline.progress import counted, progress, say
from fer_batch.pipeline.training.data import (
    Crops,
    Source,
    class_labels,
    crops_folder,
    inferred_targets,
    list_sources,
    occurrence_labels,
    prepare,
    read_crops,
)
from fer_batch.pipeline.training.folds import Parts, check_workers, folds_of, left_out, parts_lines, parts_of
from fer_batch.pipeline.training.tables import f1_table, fold_lines, publish_fold, publish_model
from fer_batch.pipeline.training.worker import FoldJob, make_network, make_recipe, read_samples, train_on_worker
from fer_batch.storage.manifest import digest, dump
from fer_batch.storage.parquet import Partition, encode, rows_of
from fer_batch.storage.store import Store
from fer_batch.training.splits import Fold
from fer_batch.types import STATUSES, InputError

TRAIN = "_train"
PROVISIONAL = 2  # outputs of a network that is only built to see that it can be
POLL_S = 0.5
RESTARTS = 3  # of the processes of one fold that die, by a lost machine or a want of memory


@dataclass
class TrainOutcome:
    """How a training ended.

    Attributes
    ----------
    counts
        Inputs by status: `found = done + partial + failed + skipped`.
    failures
        `(sequence_id, reason)` of failed inputs.
    folds
        Markers of the folds, in order.
    parts
        Which parts the figures are of and the epoch was chosen by.
    targets
        Of the outputs.
    n_done_before
        Folds that an earlier run had finished.
    model
        `<name>-<id>`, the value of the `model` partition.
    checkpoint
        The network of the best fold.
    table
        F1 in the layout of Rieger et al. 2020, Table 1, with notes.
    frames
        Of the sources by status; empty where crops of an earlier version are used.
    use
        The command that runs the network on a folder, with faces cut as in training.
    """

    counts: dict[str, int]
    failures: list[tuple[str, str]]
    targets: tuple[str, ...]
    model: str
    folds: list[dict[str, Any]] = field(default_factory=list)
    n_done_before: int = 0
    checkpoint: str = ""
    figure: str = ""
    table: str = ""
    frames: dict[str, int] = field(default_factory=dict)
    use: str = ""
    parts: Parts | None = None

    @property
    def exit_code(self) -> int:
        """0 where all is done, 3 where inputs failed or were read in part."""
        return 3 if self.counts["failed"] or self.counts["partial"] else 0

    def as_json(self) -> dict[str, Any]:
        """For a script."""
        plain = ("counts", "frames", "targets", "model", "n_done_before", "checkpoint", "figure")
        folds = [{k: v for k, v in fold.items() if k not in ("history", "subjects")} for fold in self.folds]
        parts = asdict(self.parts) if self.parts else {}
        return {**{name: getattr(self, name) for name in plain}, **parts, "folds": folds, "failures": self.failures}


def train(config: TrainConfig) -> TrainOutcome:
    """Do a training to its end.

    Raises
    ------
    InputError
        If it cannot be done as asked; what is finished is kept.
    """
    store = Store(config.output)
    _check_parts(config)
    size = config.faces.size or config.network.preprocessing.size
    store.check_writable()
    sources = list_sources(config, size)
    store.sweep_temporary(TRAIN)
    with _Engine(config) as engine:
        crops = read_crops(store, crops_folder(sources))
        if crops is None:
            _check_early(config, sources)  # before hours of decoding, not after them
            engine.start()
            crops = prepare(store, sources, size, config.resources.window)
        inputs = crops.inputs(store)
        counts = {status: sum(row["status"] == status for row in inputs) for status in STATUSES}
        failures = [(row["sequence_id"], row["reason"] or "no reason") for row in inputs if row["status"] == "failed"]
        training_id = digest(training_identity(config, crops))
        folder, model = f"{TRAIN}/{training_id}", f"{config.network.name}-{training_id[:8]}"
        targets = _write_samples(config, store, crops, folder)
        samples = read_samples(store, folder)
        folds = _folds(config, samples)
        check_workers(config, folds)
        outcome = TrainOutcome({"found": len(inputs), **counts}, failures, targets, model, frames=dict(crops.frames))
        where = Partition(_tested(config, samples, folds), model, "none")
        jobs = [FoldJob(store.uri, folder, config, crops, targets, fold.index) for fold in folds]
        waiting = [job for job in jobs if not store.exists(job.path(".json"))]
        outcome.n_done_before = len(jobs) - len(waiting)
        _announce(config, samples, folds, outcome)
        record = RunRecord(store, where, config)
        _publish_inputs(store, where, inputs, record.run_id)
        record.write(None)
        if waiting:
            _check_network(config, len(targets))
            engine.start()
            _train_folds(config, store, waiting, lambda job: publish_fold(store, job, where, _marker(store, job)))
    outcome.folds = [_marker(store, job) for job in jobs]
    for job, marker in zip(jobs, outcome.folds, strict=True):
        publish_fold(store, job, where, marker)
    outcome.checkpoint, outcome.figure, record.known["model_digest"] = publish_model(
        store, config, model, jobs, outcome.folds, samples
    )
    outcome.use = use_line(config, sources, outcome.checkpoint)
    outcome.parts = parts_of(config, outcome.folds)
    lines = [f1_table(config, model, targets, outcome.folds), *parts_lines(config, outcome.parts)]
    outcome.table = "\n".join([*lines, *fold_lines(targets, outcome.folds)])
    record.write(outcome.counts | {"n_folds": len(jobs), "already_done": outcome.n_done_before})
    return outcome


def _check_parts(config: TrainConfig) -> None:
    """Refuse what can be refused before anything is read or started."""
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise InputError("tensorboard: true needs the package tensorboard: pip install 'fer_batch[tensorboard]'")
    if (
        config.network.checkpoint
        and not os.path.exists(config.network.checkpoint)
        and "://" not in config.network.checkpoint
    ):
        raise InputError(
            f"network.checkpoint {config.network.checkpoint!r} does not exist; the program downloads no weights"
        )


def _check_recipe(config: TrainConfig) -> Any:
    """The recipe of a job, refused like its network where it names what there is not."""
    from fer_batch.models.backbone import check_architecture

    if config.network.architecture:
        try:
            check_architecture(config.network.architecture)
        except InputError as error:
            raise InputError(f"network: {error}") from None
    try:
        return make_recipe(config)
    except ValueError as error:
        raise InputError(f"recipe: {error}") from None


def training_identity(config: TrainConfig, crops: Crops) -> Mapping[str, object]:
    """Everything that changes a result; where data and weights lie does not, what they are does."""
    kept = {"labels", "head", "targets", "network", "recipe", "split", "seed"}
    found = {"crops": crops.folder, "workers": config.resources.workers, **config.model_dump(mode="json", include=kept)}
    if config.network.checkpoint:
        import hashlib

        from fer_batch.models.card import read_file

        found["network"]["checkpoint"] = hashlib.sha256(read_file(config.network.checkpoint)).hexdigest()
    return found


def _write_samples(config: TrainConfig, store: Store, crops: Crops, folder: str) -> tuple[str, ...]:
    """Label every crop and write those that say something; the targets in the order of the outputs."""
    path = f"{folder}/targets.json"
    if store.exists(path):
        return tuple(json.loads(store.read_bytes(path)))
    rows = crops.rows(store)
    if not rows.num_rows:
        raise InputError("no input shows a face that can be used, so there is nothing to train on")
    if config.head == "softmax":
        targets = config.targets
        labels = class_labels(rows, targets, config.labels)
    else:
        targets = config.targets or inferred_targets(rows)
        labels = occurrence_labels(rows, targets, config.labels)
    known = np.flatnonzero(~np.isnan(labels).all(1))
    if not len(known):
        raise InputError(f"none of the {rows.num_rows} crops is annotated with any of {', '.join(targets)}")
    if len(known) < rows.num_rows:
        say(f"{rows.num_rows - len(known)} of {rows.num_rows} crops have no label and are left out")
    if config.labels.only_present and config.head == "multilabel":
        shown = known[(labels[known] == 1).any(1)]
        say(f"labels.only_present: {len(known) - len(shown)} of {len(known)} crops show no target and are left out")
        if not len(shown):
            raise InputError(f"labels.only_present: no crop shows any of {', '.join(targets)}")
        known = shown
    columns = ["dataset", "subject_id", "sequence_id", "frame_index", "split"]
    samples = rows.select(columns).take(pa.array(known))
    samples = samples.append_column("row", pa.array(known))
    flat = pa.array(labels[known].ravel(), mask=np.isnan(labels[known].ravel()))
    offsets = np.arange(len(known) + 1, dtype=np.int32) * len(targets)
    samples = samples.append_column("labels", pa.ListArray.from_arrays(pa.array(offsets), flat))
    store.put(f"{folder}/samples.parquet", encode(samples))
    store.put(path, dump(list(targets)))
    return targets


def _check_early(config: TrainConfig, sources: Sequence[Source]) -> None:
    """Refuse a network, recipe or split that cannot work, from the listing alone."""
    if config.targets:
        _check_network(config, len(config.targets))
    else:
        _check_network(config, PROVISIONAL, known=False)
    refs = [(source.dataset, ref) for source in sources for ref in source.refs if not ref.skip_reason]
    if not refs:
        raise InputError("the sources name no input that is not skipped, so there is nothing to train on")
    listed = {
        "dataset": [dataset for dataset, _ in refs],
        "subject_id": [ref.subject_id for _, ref in refs],
        "split": pa.array([ref.split for _, ref in refs], pa.string()),
    }
    _folds(config, pa.table(listed))


def _folds(config: TrainConfig, samples: pa.Table) -> list[Fold]:
    try:
        return folds_of(config, samples)
    except ValueError as error:
        raise InputError(f"split: {error}") from None


def _check_network(config: TrainConfig, n_targets: int, known: bool = True) -> None:
    """Build the network and the recipe once, so that what does not fit is said before anything starts.

    Parameters
    ----------
    known
        Whether the number of targets is; where it is not, the number of outputs of a factory's network is not checked.
    """
    import torch

    from fer_batch.training.losses import squared_norm
    from fer_batch.training.recipe import freeze_all_but

    recipe = _check_recipe(config)
    try:
        model = make_network(config.network, n_targets)
        freeze_all_but(model, recipe.trainable)
        if recipe.l2:
            squared_norm(model.named_parameters(), recipe.l2_layers)
    except ValueError as error:
        raise error if isinstance(error, InputError) else InputError(f"recipe: {error}") from None
    side = config.network.preprocessing.size
    try:
        with torch.no_grad():
            output = model.eval()(torch.zeros(1, 3, side, side))
    except RuntimeError as error:
        raise InputError(
            f"the network does not take images of {side} pixels: {str(error).splitlines()[0]}; is "
            "network.preprocessing.size right?"
        ) from None
    if (known or not config.network.factory) and tuple(output.shape) != (1, n_targets):
        raise InputError(
            f"the network returns {tuple(output.shape)} for one image, expected one logit for each of the "
            f"{n_targets} targets"
        )


def _tested(config: TrainConfig, samples: pa.Table, folds: Sequence[Fold]) -> str:
    """The dataset that the figures are of: the one that is tested, or the job's name where several are."""
    datasets = np.asarray(samples["dataset"].to_pylist(), str)
    tested = sorted({name for fold in folds for name in np.unique(datasets[fold.test]).tolist()})
    return tested[0] if len(tested) == 1 else config.name


def _announce(config: TrainConfig, samples: pa.Table, folds: Sequence[Fold], outcome: TrainOutcome) -> None:
    datasets = dict(zip(*np.unique(samples["dataset"].to_pylist(), return_counts=True), strict=True))
    people = len(set(samples["subject_id"].to_pylist()))
    earlier = f", {outcome.n_done_before} done earlier" if outcome.n_done_before else ""
    say(
        f"{config.name}: {samples.num_rows} crops of {people} subjects "
        f"({', '.join(f'{name} {n}' for name, n in datasets.items())}), {len(outcome.targets)} targets; "
        f"recipe {config.recipe.id}, {len(folds)} fold{'s'[: len(folds) > 1]} ({config.split.kind}){earlier}"
    )
    if unusable := {status: n for status, n in outcome.frames.items() if status != "ok"}:
        shown = ", ".join(f"{status} {n}" for status, n in unusable.items())
        say(f"{sum(unusable.values())} of {sum(outcome.frames.values())} frames show no usable face ({shown})")
    if sentence := left_out(config, folds, samples.num_rows):
        say(sentence)
    if config.recipe.selection == "best_test":
        say("selection best_test: epochs are chosen by the test part, so its figures are better than new data would be")


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


@dataclass(frozen=True)
class Layout:
    """How folds share a machine or cluster: `at_once` folds of `workers` processes with CPUs and GPUs each."""

    at_once: int
    workers: int
    cpus: int
    gpus: float


def layout(config: TrainConfig, n_folds: int, n_cpus: int, n_gpus: float) -> Layout:
    """Folds beside each other rather than one fold on everything: nothing then waits for anything.

    Raises
    ------
    InputError
        If the job asks for more than there is.
    """
    resources = config.resources
    gpus = resources.num_gpus if resources.num_gpus is not None else (1.0 if n_gpus else 0.0)
    if gpus * resources.workers > n_gpus:
        raise InputError(f"resources ask for {gpus * resources.workers:g} GPUs, Ray has {n_gpus:g}")
    if resources.workers > n_cpus:
        raise InputError(f"resources.workers is {resources.workers}, Ray has {n_cpus} CPUs")
    places = int(n_gpus / (gpus * resources.workers)) if gpus else n_cpus // resources.workers
    at_once = max(1, min(resources.folds_at_once or places, places, n_folds))
    return Layout(at_once, resources.workers, max(1, n_cpus // (at_once * resources.workers)), gpus)


def _train_folds(config: TrainConfig, store: Store, jobs: Sequence[FoldJob], on_done: Any) -> None:
    """Train folds on Ray Train, some beside each other.

    Raises
    ------
    InputError
        If one cannot be trained; the others that had begun go on to their end first.
    """
    import ray

    resources = ray.cluster_resources()
    where = layout(config, len(jobs), max(1, int(resources.get("CPU", 1))), resources.get("GPU", 0))
    say(f"{where.at_once} folds at once, each on {_share(where)}" if where.at_once > 1 else f"on {_share(where)}")
    lanes = [list(jobs[start :: where.at_once]) for start in range(where.at_once)]
    for job in jobs:
        store.delete(job.path(".error.json"))
    epochs, told = config.recipe.epochs, dict.fromkeys((job.index for job in jobs), 0)
    pool = ThreadPoolExecutor(where.at_once)
    try:
        running = {pool.submit(_fit, store, tuple(lane), where, place): lane for place, lane in enumerate(lanes)}
        with progress("train", len(jobs) * epochs, "epoch") as advance:
            pending = set(running)
            while pending:
                _, pending = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
                for lane in lanes:
                    while lane and (store.exists(lane[0].path(".json")) or store.exists(lane[0].path(".error.json"))):
                        job = lane.pop(0)
                        advance(epochs - told[job.index])  # it may have stopped early
                        if store.exists(job.path(".json")):
                            on_done(job)
                            say(_fold_sentence(_marker(store, job)))
                    if lane:
                        gone = max(0, _epoch(store, lane[0]) - told[lane[0].index])
                        told[lane[0].index] += gone
                        advance(gone)
    except BaseException:
        ray.shutdown()  # else the threads would wait for their folds
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    missing = [job for job in jobs if not store.exists(job.path(".json"))]
    if missing:
        reasons = [*(_problem(store, job) for job in missing), *(_cause(future) for future in running)]
        raise InputError(next(filter(None, reasons), f"fold {missing[0].index} was not trained"))


def _share(where: Layout) -> str:
    each = f"{where.gpus:g} GPU" if where.gpus else f"{where.cpus} CPU{'s'[: where.cpus > 1]}"
    return each if where.workers == 1 else f"{where.workers} workers with {each}"


def _epoch(store: Store, job: FoldJob) -> int:
    try:
        return int(json.loads(store.read_bytes(job.path(".progress.json")))["epoch"])
    except (FileNotFoundError, KeyError, ValueError):
        return 0


def _fit(store: Store, jobs: Sequence[FoldJob], where: Layout, lane: int) -> None:
    """Some folds one after the other on Ray Train; the processes are started again where they die."""
    import pyarrow.fs
    from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    folder, name = f"{jobs[0].folder}/ray", f"lane-{lane}"
    resources = {"CPU": float(where.cpus), **({"GPU": where.gpus} if where.gpus else {})}
    run_config: Any = RunConfig(
        name=name,
        storage_path=store.path(folder),
        storage_filesystem=None if store.local else pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(store.fs)),
        failure_config=FailureConfig(max_failures=RESTARTS),
        **{"logging_config": LoggingConfig(log_level="ERROR")},  # type: ignore[arg-type]  # seen as the older class
    )
    TorchTrainer(
        train_on_worker,
        train_loop_config={"jobs": list(jobs)},
        scaling_config=ScalingConfig(num_workers=where.workers, use_gpu=where.gpus > 0, resources_per_worker=resources),
        run_config=run_config,
    ).fit()
    store.delete(f"{folder}/{name}")


def _problem(store: Store, job: FoldJob) -> str:
    """Why a fold can never be trained; empty where nothing says so."""
    path = job.path(".error.json")
    return f"fold {job.index}: {json.loads(store.read_bytes(path))['error']}" if store.exists(path) else ""


def _cause(future: Future[None]) -> str:
    """What stopped a lane, in one line; empty where nothing did."""
    error = future.exception()
    if error is None:
        return ""
    failures = getattr(error, "worker_failures", None)
    cause = next(iter(failures.values())) if failures else error
    text = " ".join(str(cause).split())[:400]
    return f"training stopped, {type(cause).__name__}: {text}; run the same command to go on"


def _fold_sentence(marker: dict[str, Any]) -> str:
    known = [value for value in marker["f1"] if value is not None]
    mean = f"{sum(known) / len(known):.2f} over {len(known)} targets" if known else "undefined"
    name = f" ({marker['name']})" if marker["name"] else ""
    return f"fold {marker['fold']}{name}: F1 {mean}, epoch {marker['epoch']} of {len(marker['history'])}"


def _marker(store: Store, job: FoldJob) -> dict[str, Any]:
    return json.loads(store.read_bytes(job.path(".json")))


def _publish_inputs(store: Store, where: Partition, inputs: Sequence[dict[str, Any]], run_id: str) -> None:
    """Write table `sequences`: what became of every input."""
    for dataset in sorted({row["dataset"] for row in inputs}):
        rows = [{**row, "run_id": run_id} for row in inputs if row["dataset"] == dataset]
        store.put(
            f"{replace(where, dataset=dataset).folder('sequences')}/inputs.parquet",
            encode(rows_of("sequences", rows)),
        )


def outcome_text(outcome: TrainOutcome, output: str) -> str:
    """What a training ended with, and where to look."""
    counts, out = outcome.counts, shlex.quote(output)
    lines = [
        counted(counts),
        *(f"  failed {name}: {reason}" for name, reason in outcome.failures[:20]),
        "",
        outcome.table,
        "",
        f"network {outcome.checkpoint}",
        f"picture {outcome.figure}",
        f'query   fer-batch query {out} "SELECT * FROM training"',
        f"use it  {outcome.use}",
    ]
    return "\n".join(lines)


def use_line(config: TrainConfig, sources: Sequence[Source], checkpoint: str) -> str:
    """The command that runs a network on a folder of what it was trained on, with faces cut as they were then."""
    kinds = {ref.kind for source in sources for ref in source.refs}
    usual, faces = FaceSettings(), config.faces
    changed = [name for name in ("align", "margin", "choose") if getattr(faces, name) != getattr(usual, name)]
    # whether landmarks come with the data is a matter of the data
    changed += ["detector"] if faces.detector not in (usual.detector, "dataset") else []
    settings = [
        f"model.checkpoint={shlex.quote(checkpoint)}",
        *(["source.format=image_sequences"] if kinds == {"image_sequence"} else []),
        *(f"faces.{name}={getattr(faces, name)}" for name in changed),
        "source.uri=DIR",
    ]
    job = "stills" if kinds == {"still"} else "clips"
    return f"fer-batch run jobs/{job}.yaml {' '.join(f'--set {setting}' for setting in settings)} --output OUT"
