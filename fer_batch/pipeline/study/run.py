"""A study, from its trainings to its pages. Safe to kill and to run again: what is finished is believed by its marker.

trainings -> networks with their test people -> chosen samples -> runs -> cells -> comparisons -> tables and pages
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from fer_batch.config import Study
from fer_batch.models.card import resolve
from fer_batch.pipeline.progress import say
from fer_batch.pipeline.study.cells import Cell, Lost, write_cells
from fer_batch.pipeline.study.choose import check_inputs
from fer_batch.pipeline.study.comparison import check_comparisons
from fer_batch.pipeline.study.crops import cut, given_network
from fer_batch.pipeline.study.execute import run_cells
from fer_batch.pipeline.study.networks import StudyNetwork, of_training
from fer_batch.pipeline.study.plan import given_job, panel_cells, planned_cells
from fer_batch.pipeline.study.publish import Published, publish
from fer_batch.pipeline.study.work import StudyWork, Training, training_title
from fer_batch.pipeline.training.train import train
from fer_batch.storage.manifest import digest, dump
from fer_batch.storage.store import Store
from fer_batch.training.settings import LabelSettings
from fer_batch.types import InputError


@dataclass
class StudyOutcome:
    """How a study ended.

    Attributes
    ----------
    cells
        In their order.
    lost
        Trainings and comparisons that could not be made, and why.
    n_done_before
        Cells that were done before this run.
    page
        URL of its page.
    """

    cells: list[Cell] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    n_done_before: int = 0
    page: str | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Cells by status: `found = done + failed + waiting`."""
        statuses = [cell.status for cell in self.cells]
        return {"found": len(statuses), **{name: statuses.count(name) for name in ("done", "failed", "waiting")}}

    @property
    def exit_code(self) -> int:
        """0 where all is done, 3 where a cell failed, or a training or comparison could not be made."""
        return 3 if self.counts["failed"] or self.lost else 0


def run_study(study: Study) -> StudyOutcome:
    """Do a study to its end.

    Parameters
    ----------
    study
        What is asked.

    Raises
    ------
    InputError
        If it cannot be done as asked; what is finished is kept.
    EnvironmentFault
        If the store or the machine failed; the next run goes on.
    """
    store, outcome = Store(study.config.output), StudyOutcome()
    check_comparisons(study)
    store.check_writable()
    with StudyEngine(study) as engine:
        if not store.exists(_finished(study)):
            engine.start()
        trainings = _trained(study, outcome.lost)
        networks = [network for training in trainings for network in training.networks] or _given(study, store, engine)
        check_inputs(networks, study.config.runs.choose)
        cells = planned_cells(study, store, networks)
        outcome.n_done_before = sum(cell.status == "done" for cell in cells)
        write_cells(store, study, cells, outcome.lost)
        _say_plan(study, cells, outcome.n_done_before)
        outcome.cells = run_cells(store, cells, engine.start)
        write_cells(store, study, outcome.cells, outcome.lost)
        panel = _panel(study, store, networks, engine, outcome.lost)
        work = StudyWork(store, study, tuple(trainings), tuple(outcome.cells), tuple(panel), engine.start)
        made: Published = publish(work, outcome.lost)
        outcome.page, outcome.lost = made.page, [*outcome.lost, *made.lost]
        if not outcome.exit_code:
            store.put(_finished(study), dump(outcome.counts))
            if not study.config.keep_crops:
                _drop_crops(store, networks, panel)
    return outcome


class StudyEngine(contextlib.ExitStack):
    """Ray, from when it is first needed to the end of the block."""

    def __init__(self, study: Study) -> None:
        super().__init__()
        self.resources = study.config.runs.base.get("resources", {})
        self.n_cpus = int(self.resources.get("num_cpus") or os.cpu_count() or 1)
        self.started = False

    def start(self) -> int:
        """Start it where it does not run yet; the number of CPUs."""
        if not self.started:
            from fer_batch.pipeline.devices import offered
            from fer_batch.pipeline.engine import ray_engine

            os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
            os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
            self.enter_context(ray_engine(self.n_cpus, int(self.resources.get("object_store_mb", 512))))
            self.n_cpus = offered().cpus
            self.started = True
        return self.n_cpus


def _finished(study: Study) -> str:
    """Path of what says that the study was done as it is now."""
    key = digest([study.config.model_dump(mode="json"), [job.model_dump(mode="json") for _, job in study.trainings]])
    return f"_studies/{study.config.name}-{key}.json"


def _trained(study: Study, lost: list[Lost]) -> list[Training]:
    """The trainings of a study, each done to its end; one of several that cannot be done is added to the lost."""
    found = []
    for number, (varied, config) in enumerate(study.trainings, 1):
        title = training_title(config, varied)
        say(f"training {number} of {len(study.trainings)}: {title}")
        try:
            outcome = train(config)
        except InputError as error:
            if len(study.trainings) == 1:
                raise
            lost.append(Lost(title, str(error), dict(varied)))
            say(f"training {title} failed: {error}")
            continue
        found.append(Training(varied, config, outcome, tuple(of_training(study.config.output, outcome, varied))))
    if study.trainings and not found:
        raise InputError(f"study {study.config.name!r}: none of its trainings could be done; {lost[0].reason}")
    return found


def _given(study: Study, store: Store, engine: StudyEngine) -> list[StudyNetwork]:
    """The networks that a study names, with every crop of its source as their samples."""
    found = []
    for spec in study.config.networks:
        job, model = given_job(study, spec), resolve(spec)
        crops = cut(store, job, job.faces.size or model.preprocessing.size, engine.start)
        found.append(given_network(store, job, model, crops, LabelSettings(**asdict(job.labels)), engine.start))
    return found


def _say_plan(study: Study, cells: Sequence[Cell], n_done: int) -> None:
    networks = len({cell.network.title for cell in cells})
    earlier = f", {n_done} done earlier" if n_done else ""
    say(f"{study.config.name}: {len(cells)} cells of {networks} networks{earlier}")


def _panel(
    study: Study, store: Store, networks: Sequence[StudyNetwork], engine: StudyEngine, lost: list[Lost]
) -> list[Cell]:
    """Cells over the stills of another dataset; stills that cannot be read are added to the lost."""
    try:
        return run_cells(store, panel_cells(study, store, networks, engine.start), engine.start)
    except InputError as error:
        lost.append(Lost("panel", str(error)))
        say(f"panel: {error}")
        return []


def _drop_crops(store: Store, networks: Sequence[StudyNetwork], panel: Sequence[Cell]) -> None:
    """Remove the crop sets of a finished study; a study that needs them again cuts them again."""
    for crops in {network.crops for network in (*networks, *(cell.network for cell in panel))}:
        store.delete(f"_crops/{crops.rsplit('/', 1)[-1]}")
