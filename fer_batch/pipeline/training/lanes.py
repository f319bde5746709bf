"""Folds on Ray Train: how they share a machine or cluster, and their way to the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from fer_batch.config import TrainConfig
from fer_batch.pipeline.devices import Offer, offered, wait_for_gpus
from fer_batch.pipeline.progress import progress, say
from fer_batch.pipeline.training.marker import FoldJob, FoldMarker
from fer_batch.pipeline.training.worker import train_on_worker
from fer_batch.storage.manifest import json_of
from fer_batch.storage.store import Store
from fer_batch.types import InputError

POLL_S = 0.5
RESTARTS = 3  # of the processes of one fold that die, by a lost machine or a want of memory


@dataclass(frozen=True)
class Layout:
    """How folds share a machine or cluster: `at_once` folds of `workers` processes with CPUs and GPUs each."""

    at_once: int
    workers: int
    cpus: int
    gpus: float


def layout(config: TrainConfig, n_folds: int, offer: Offer, gpus: float) -> Layout:
    """Folds beside each other rather than one fold on everything: nothing then waits for anything.

    Parameters
    ----------
    config
        The job.
    n_folds
        That are not done.
    offer
        What there is, or can be.
    gpus
        Of each process.

    Raises
    ------
    InputError
        If the job asks for more than there is.
    """
    resources = config.resources
    if resources.workers > offer.cpus:
        raise InputError(f"resources.workers is {resources.workers}, Ray has {offer.cpus} CPUs")
    places = int(offer.known / (gpus * resources.workers)) if gpus else offer.cpus // resources.workers
    at_once = max(1, min(resources.folds_at_once or places, places, n_folds))
    cpus = min(offer.cpus // (at_once * resources.workers), offer.node_cpus)
    return Layout(at_once, resources.workers, max(1, cpus), gpus)


def train_folds(config: TrainConfig, store: Store, jobs: Sequence[FoldJob], on_done: Callable[[FoldJob], None]) -> None:
    """Train folds on Ray Train, some beside each other.

    Parameters
    ----------
    config
        The job.
    store
        The output.
    jobs
        Folds that are not done.
    on_done
        Called with each fold when it is.

    Raises
    ------
    InputError
        If one cannot be trained; the others that had begun go on to their end first.
    """
    import ray

    offer = offered()
    gpus = offer.gpus_each(config.resources.device, config.resources.num_gpus, config.resources.workers)
    where = layout(config, len(jobs), offer, gpus)
    wait_for_gpus(where.gpus, offer)
    say(f"{where.at_once} folds at once, each on {_share(where)}" if where.at_once > 1 else f"on {_share(where)}")
    lanes = [list(jobs[start :: where.at_once]) for start in range(where.at_once)]
    for job in jobs:
        store.delete(job.path(".error.json"))
    pool = ThreadPoolExecutor(where.at_once)
    try:
        running = [pool.submit(_fit, store, tuple(lane), where, place) for place, lane in enumerate(lanes)]
        _watch(config.recipe.epochs, store, lanes, running, on_done)
    except BaseException:
        ray.shutdown()  # else the threads would wait for their folds
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    missing = [job for job in jobs if not store.exists(job.path(".json"))]
    if missing:
        reasons = [*(_problem(store, job) for job in missing), *(_cause(future) for future in running)]
        raise InputError(next(filter(None, reasons), f"fold {missing[0].index} was not trained"))


def _watch(
    epochs: int,
    store: Store,
    lanes: Sequence[list[FoldJob]],
    running: Sequence[Future[None]],
    on_done: Callable[[FoldJob], None],
) -> None:
    """Report epochs and folds until all lanes have ended; a fold leaves its lane when it is done or refused."""
    seen = dict.fromkeys((job.index for lane in lanes for job in lane), 0)
    with progress("train", len(seen) * epochs, "epoch") as advance:
        pending = set(running)
        while pending:
            _, pending = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
            for lane in lanes:
                while lane and _has_ended(store, lane[0]):
                    job = lane.pop(0)
                    advance(epochs - seen[job.index])  # it may have stopped early
                    if store.exists(job.path(".json")):
                        on_done(job)
                        say(_fold_sentence(job.marker(store)))
                if lane:
                    new = max(0, _epoch(store, lane[0]) - seen[lane[0].index])
                    seen[lane[0].index] += new
                    advance(new)


def _has_ended(store: Store, job: FoldJob) -> bool:
    return store.exists(job.path(".json")) or store.exists(job.path(".error.json"))


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
    train: Any = train_on_worker  # Ray asks for a plain dict where ours has its keys declared
    TorchTrainer(
        train,
        train_loop_config={"jobs": list(jobs)},
        scaling_config=ScalingConfig(num_workers=where.workers, use_gpu=where.gpus > 0, resources_per_worker=resources),
        run_config=run_config,
    ).fit()
    store.delete(f"{folder}/{name}")


def _problem(store: Store, job: FoldJob) -> str:
    """Why a fold can never be trained; empty where nothing says so."""
    path = job.path(".error.json")
    return f"fold {job.index}: {json_of(store, path, ('error',))['error']}" if store.exists(path) else ""


def _cause(future: Future[None]) -> str:
    """What stopped a lane, in one line; empty where nothing did."""
    error = future.exception()
    if error is None:
        return ""
    failures = getattr(error, "worker_failures", None)
    cause = next(iter(failures.values())) if failures else error
    text = " ".join(str(cause).split())[:400]
    return f"training stopped, {type(cause).__name__}: {text}; run the same command to go on"


def _fold_sentence(marker: FoldMarker) -> str:
    known = [value for value in marker["f1"] if value is not None]
    mean = f"{sum(known) / len(known):.2f} over {len(known)} targets" if known else "undefined"
    name = f" ({marker['name']})" if marker["name"] else ""
    return f"fold {marker['fold']}{name}: F1 {mean}, epoch {marker['epoch']} of {len(marker['history'])}"
