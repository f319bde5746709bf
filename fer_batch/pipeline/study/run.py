"""A study, from its trainings to its pages. Safe to kill and to run again: what is finished is believed by its marker.

trainings -> networks with their test people -> chosen samples -> runs -> cells -> comparisons -> tables and pages
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pyarrow as pa

from fer_batch.config import RunConfig, Study, build
from fer_batch.config.study import PanelConfig
from fer_batch.models.card import ModelSpec, resolve
from fer_batch.output.explain_cost import explain_cost
from fer_batch.pipeline.progress import say
from fer_batch.pipeline.run import run_all
from fer_batch.pipeline.study.cells import Cell, variants, write_cells
from fer_batch.pipeline.study.choose import check_inputs, chosen
from fer_batch.pipeline.study.comparison import check_comparisons
from fer_batch.pipeline.study.crops import cut, given_network, write_chosen, write_truth
from fer_batch.pipeline.study.networks import StudyNetwork, of_training
from fer_batch.pipeline.study.publish import publish
from fer_batch.pipeline.study.work import StudyWork, Training
from fer_batch.pipeline.training.train import train
from fer_batch.storage.crop_set import open_crops
from fer_batch.storage.manifest import Ledger, digest, dump
from fer_batch.storage.store import Store
from fer_batch.training.settings import LabelSettings
from fer_batch.types import InputError

STUDIES = "_studies"
CELLS = f"{STUDIES}/cells"
PANEL = "panel"  # dataset of its rows


@dataclass
class StudyOutcome:
    """How a study ended.

    Attributes
    ----------
    cells
        In their order.
    n_done_before
        Cells that were done before this run.
    page
        URL of its page; None after a dry run.
    """

    cells: list[Cell] = field(default_factory=list)
    n_done_before: int = 0
    page: str | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Cells by status: `found = done + failed + waiting`."""
        statuses = [cell.status for cell in self.cells]
        return {"found": len(statuses), **{name: statuses.count(name) for name in ("done", "failed", "waiting")}}

    @property
    def exit_code(self) -> int:
        """0 where all is done, 3 where a cell failed."""
        return 3 if self.counts["failed"] else 0


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
    """
    store = Store(study.config.output)
    check_comparisons(study)
    store.check_writable()
    with StudyEngine(study) as engine:
        if not store.exists(_finished(study)):
            engine.start()
        trainings = _trained(study)
        networks = [network for training in trainings for network in training.networks] or _given(study, store, engine)
        check_inputs(networks, study.config.runs.choose)
        cells = planned_cells(study, store, networks)
        outcome = StudyOutcome(cells, sum(cell.status == "done" for cell in cells))
        _say_plan(study, outcome)
        outcome.cells = _run_cells(store, cells, engine)
        panel = _panel(study, store, networks, engine)
        write_cells(store, study, outcome.cells)
        work = StudyWork(store, study, tuple(trainings), tuple(outcome.cells), tuple(panel), engine.start)
        outcome.page = publish(work)
        store.put(_finished(study), dump(outcome.counts))
        if not study.config.keep_crops and not outcome.counts["failed"]:
            _drop_crops(store, networks)
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
            from fer_batch.pipeline.engine import ray_engine

            os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
            os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
            ray = self.enter_context(ray_engine(self.n_cpus, int(self.resources.get("object_store_mb", 512))))
            self.n_cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
            self.started = True
        return self.n_cpus


def _finished(study: Study) -> str:
    """Path of what says that the study was done as it is now."""
    key = digest([study.config.model_dump(mode="json"), [job.model_dump(mode="json") for _, job in study.trainings]])
    return f"{STUDIES}/{study.config.name}-{key}.json"


def _trained(study: Study) -> list[Training]:
    """The trainings of a study, each done to its end."""
    found = []
    for number, (varied, config) in enumerate(study.trainings, 1):
        shown = f" ({', '.join(f'{key}={value}' for key, value in varied.items())})" if varied else ""
        say(f"training {number} of {len(study.trainings)}: {config.name}{shown}")
        outcome = train(config)
        found.append(Training(varied, config, outcome, tuple(of_training(study.config.output, outcome, varied))))
    return found


def _given(study: Study, store: Store, engine: StudyEngine) -> list[StudyNetwork]:
    """The networks that a study names, with every crop of its source as their samples."""
    found = []
    for spec in study.config.networks:
        job, model = _given_job(study, spec), resolve(spec)
        engine.start()
        crops = cut(store, job, job.faces.size or model.preprocessing.size)
        found.append(given_network(store, job, model, crops, LabelSettings(**asdict(job.labels))))
    return found


def _given_job(study: Study, spec: ModelSpec) -> RunConfig:
    base = study.config.runs.base
    filled = {"name": study.config.name, **base, "output": study.config.output}
    values = {**filled, "model": spec.model_dump(mode="json", exclude_unset=True)}
    return build(values, f"study {study.config.name!r}, runs.base")


def planned_cells(study: Study, store: Store, networks: Sequence[StudyNetwork]) -> list[Cell]:
    """Every cell of a study, with what is known of those that are done.

    Parameters
    ----------
    study
        What was asked.
    store
        Its output.
    networks
        Trained, or given.
    """
    truth = {crops: write_truth(store, own) for crops, own in _by_crops(networks).items()}
    cells: list[Cell] = []
    for network in networks:
        values = _filled(study, network)
        try:
            rows = chosen(network, study.config.runs.choose)
            options: dict[str, object] = {"chosen": write_chosen(store, network, rows), "truth": truth[network.crops]}
            values["source"] = {"format": "crops", "uri": network.crops, "options": options}
            reason = ""
        except InputError as error:
            values["source"], reason = {"format": "crops", "uri": network.crops}, str(error)
        cells += cells_of(study, store, network, values, reason)
    return cells


def cells_of(
    study: Study, store: Store, network: StudyNetwork, values: Mapping[str, object], reason: str = ""
) -> list[Cell]:
    """The cells of one network.

    Parameters
    ----------
    study
        What was asked.
    store
        Its output.
    network
        Who explains.
    values
        What the study fills into its runs.
    reason
        Why it has nothing to explain, where that is so.
    """
    jobs = list(study.run_jobs(values))
    names = variants([varied for varied, _ in jobs], [job.explain.method for _, job in jobs])
    cells = [
        Cell(network, varied, name, None if reason else job) for (varied, job), name in zip(jobs, names, strict=True)
    ]
    return [cell.failed(reason) if reason else _known(store, cell) for cell in cells]


def _by_crops(networks: Iterable[StudyNetwork]) -> Mapping[str, list[StudyNetwork]]:
    found: dict[str, list[StudyNetwork]] = {}
    for network in networks:
        found.setdefault(network.crops, []).append(network)
    return found


def _filled(study: Study, network: StudyNetwork) -> dict[str, object]:
    """What a study fills into the runs of a network."""
    base = study.config.runs.base
    datasets = sorted(set(network.samples["dataset"].to_pylist()))
    faces = {**asdict(network.faces), **{k: v for k, v in base.get("faces", {}).items() if k == "store"}}
    return {
        "name": base.get("name") or (datasets[0] if len(datasets) == 1 else study.config.name),
        "output": study.config.output,
        "model": network.spec.model_dump(mode="json", exclude_unset=True),
        "faces": {**faces, "size": open_crops(network.crops).size},
        "phases": base.get("phases", ["explain", "prototypes"]),
    }


def _known(store: Store, cell: Cell) -> Cell:
    """The cell as its marker says, where it has one."""
    path = f"{CELLS}/{cell.key}.json"
    if not store.exists(path):
        return cell
    found = json.loads(store.read_bytes(path))
    return replace(cell, status="done", **{name: found[name] for name in ("reason", "seconds", "n_images")})


def _say_plan(study: Study, outcome: StudyOutcome) -> None:
    networks = len({cell.network.title for cell in outcome.cells})
    earlier = f", {outcome.n_done_before} done earlier" if outcome.n_done_before else ""
    say(f"{study.config.name}: {len(outcome.cells)} cells of {networks} networks{earlier}")


def _run_cells(store: Store, cells: Sequence[Cell], engine: StudyEngine) -> list[Cell]:
    """Run what waits, the explanations of one network together; every cell as it is then."""
    done: dict[int, Cell] = {}
    groups: dict[str, list[int]] = {}
    for index, cell in enumerate(cells):
        if cell.status == "waiting" and cell.job is not None:
            groups.setdefault(cell.job.model_dump_json(exclude={"explain"}), []).append(index)
    for number, (_, indices) in enumerate(groups.items(), 1):
        engine.start()
        title = cells[indices[0]].network.title
        say(f"network {number} of {len(groups)}: {title}, {len(indices)} explanations")
        for index, cell in zip(indices, run_together(store, [cells[i] for i in indices]), strict=True):
            done[index] = cell
    return [done.get(index, cell) for index, cell in enumerate(cells)]


def run_together(store: Store, cells: Sequence[Cell]) -> list[Cell]:
    """Run cells of one network in one pass; where one refuses, each alone, so that the others are done.

    Parameters
    ----------
    store
        The output.
    cells
        Of one network, over the same samples.
    """
    try:
        outcomes = run_all([cell.job for cell in cells if cell.job is not None])
    except InputError as error:
        if len(cells) == 1:
            return [cells[0].failed(str(error))]
        return [one for cell in cells for one in run_together(store, [cell])]
    return [_finish(store, cell, outcomes.failures) for cell in cells]


def _finish(store: Store, cell: Cell, failures: Sequence[tuple[str, str]]) -> Cell:
    """Mark a cell as done."""
    cost = explain_cost(Ledger(store), cell.partition)
    seconds, n_images = (cost.seconds, cost.n_images) if cost else (None, None)
    reason = f"{len(failures)} inputs failed, such as {failures[0][0]}: {failures[0][1]}" if failures else None
    cell = replace(cell, status="done", reason=reason, seconds=seconds, n_images=n_images)
    found = {"reason": reason, "seconds": seconds, "n_images": n_images, **cell.partition.key}
    store.put(f"{CELLS}/{cell.key}.json", dump(found))
    return cell


def _panel(study: Study, store: Store, networks: Sequence[StudyNetwork], engine: StudyEngine) -> list[Cell]:
    """The best networks over some stills of another dataset, under every explanation of the study."""
    section = study.config.panel
    if section is None or "panel" not in study.config.compare:
        return []
    cells: list[Cell] = []
    for network in (one for one in networks if one.best):
        size = open_crops(network.crops).size
        values = {**_filled(study, network), "name": PANEL, "source": _panel_source(section, store)}
        job = build(values, f"study {study.config.name!r}, panel")
        if not store.exists(_finished(study)):
            engine.start()
        crops = cut(store, job, size)
        found = given_network(store, job, network.model, crops, LabelSettings())
        n = found.samples.num_rows
        rows = np.unique(np.linspace(0, n - 1, min(section.n, n)).astype(np.int64)) if n else np.zeros(0, np.int64)
        if not len(rows):
            continue
        source = {"format": "crops", "uri": crops, "options": {"chosen": write_chosen(store, found, rows)}}
        shown = replace(
            found,
            name=network.name,
            fold=network.fold,
            spec=network.spec,
            faces=network.faces,
            samples=found.samples.take(pa.array(rows)),
        )
        cells += cells_of(study, store, shown, {**values, "source": source})
    return _run_cells(store, cells, engine)


def _panel_source(section: PanelConfig, store: Store) -> dict[str, object]:
    """Section `source` of the runs of a panel; posed people are made first, in the output."""
    if section.posed_seed is None:
        return section.source
    from fer_batch.posed.clips import write_stills

    root = store.path(f"_data/panel-{section.posed_seed}-{section.n}")
    if not os.path.exists(f"{root}/manifest.csv"):  # which is written last
        write_stills(root, n=section.n, seed=section.posed_seed, size=256, first_identity=5000)
    return {"format": "manifest", "uri": f"{root}/manifest.csv"}


def _drop_crops(store: Store, networks: Sequence[StudyNetwork]) -> None:
    """Remove the crop sets of a finished study."""
    for crops in {network.crops for network in networks}:
        store.delete(crops.removeprefix(store.uri).lstrip("/"))
