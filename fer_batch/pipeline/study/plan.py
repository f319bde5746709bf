"""The cells of a study: every network under every explanation, each with the samples that it explains."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa

from fer_batch.config import RunConfig, Study, build
from fer_batch.config.study import PanelConfig
from fer_batch.models.card import ModelSpec
from fer_batch.pipeline.study.cells import Cell, variants
from fer_batch.pipeline.study.choose import chosen
from fer_batch.pipeline.study.crops import cut, given_network
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.samples import chosen_file, truth_file
from fer_batch.storage.crop_set import open_crops
from fer_batch.storage.manifest import digest, json_of
from fer_batch.storage.store import Store
from fer_batch.training.settings import LabelSettings
from fer_batch.types import InputError

CELLS = "_studies/cells"
PANEL = "panel"  # dataset of its rows


def planned_cells(study: Study, store: Store, networks: Sequence[StudyNetwork], write: bool = True) -> list[Cell]:
    """Every cell of a study, with what is known of those that are done.

    Parameters
    ----------
    study
        What was asked.
    store
        Its output.
    networks
        Trained, or given.
    write
        Whether the lists of samples and labels that runs read are written.
    """
    cells: list[Cell] = []
    for group in _alike(networks):
        truth = truth_file(store, group.networks, write)
        for network in group.networks:
            values = _filled(study, network, group.suffix)
            source: dict[str, object] = {"format": "crops", "uri": network.crops}
            try:
                rows = chosen(network, study.config.runs.choose)
            except InputError as error:
                cells += cells_of(study, store, network, {**values, "source": source}, str(error))
                continue
            options = {"chosen": chosen_file(store, network, rows, write), "truth": truth}
            cells += cells_of(study, store, network, {**values, "source": {**source, "options": options}})
    order = {network.title: place for place, network in enumerate(networks)}
    return sorted(cells, key=lambda cell: order[cell.network.title])


class _Group:
    """Networks whose samples are labelled alike, and what their dataset is called beside others of the same crops."""

    def __init__(self, networks: list[StudyNetwork], suffix: str = "") -> None:
        self.networks, self.suffix = networks, suffix


def _alike(networks: Iterable[StudyNetwork]) -> list[_Group]:
    """Networks by crop set; by training where trainings label the same crops differently.

    Annotations are of a dataset, so that other labels of the same frames need a dataset of another name.
    """
    by_crops: dict[str, dict[str, list[StudyNetwork]]] = {}
    for network in networks:
        by_crops.setdefault(network.crops, {}).setdefault(network.name, []).append(network)
    groups = []
    for trainings in by_crops.values():
        every = [network for own in trainings.values() for network in own]
        if len({tuple(network.model.targets) for network in every}) == 1 and not _contradict(every):
            groups.append(_Group(every))
        else:
            groups += [_Group(own, f"-{digest(name, 4)}") for name, own in trainings.items()]
    return groups


def _contradict(networks: Sequence[StudyNetwork]) -> bool:
    """Whether two networks have other labels of one crop."""
    known: dict[int, tuple[float, ...]] = {}
    for network in networks:
        labels = np.nan_to_num(network.labels, nan=-1.0)
        for row, own in zip(network.samples["row"].to_pylist(), labels.tolist(), strict=True):
            if known.setdefault(row, tuple(own)) != tuple(own):
                return True
    return False


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
    named = zip(jobs, names, strict=True)
    cells = [Cell(network, varied, name, None if reason else job) for (varied, job), name in named]
    return [cell.failed(reason) if reason else _known(store, cell) for cell in cells]


def _filled(study: Study, network: StudyNetwork, suffix: str = "") -> dict[str, object]:
    """What a study fills into the runs of a network."""
    base = study.config.runs.base
    datasets = sorted(set(network.samples["dataset"].to_pylist()))
    faces = {**asdict(network.faces), **{k: v for k, v in base.get("faces", {}).items() if k == "store"}}
    name = base.get("name") or (datasets[0] if len(datasets) == 1 else study.config.name)
    return {
        "name": f"{name}{suffix}",
        "output": Store(study.config.output).uri,
        "model": network.spec.model_dump(mode="json", exclude_unset=True),
        "faces": {**faces, "size": open_crops(network.crops).size},
        "phases": base.get("phases", ["explain", "prototypes"]),
    }


def _known(store: Store, cell: Cell) -> Cell:
    """The cell as its marker says, where it has one."""
    path = f"{CELLS}/{cell.key}.json"
    if not store.exists(path):
        return cell
    found = json_of(store, path)
    return replace(cell, status="done", **{name: found.get(name) for name in ("reason", "seconds", "n_images", "rate")})


def given_job(study: Study, spec: ModelSpec) -> RunConfig:
    """The run of a network that a study names."""
    base = study.config.runs.base
    filled = {"name": study.config.name, **base, "output": Store(study.config.output).uri}
    values = {**filled, "model": spec.model_dump(mode="json", exclude_unset=True)}
    return build(values, f"study {study.config.name!r}, runs.base")


def panel_cells(study: Study, store: Store, networks: Sequence[StudyNetwork], start: Callable[[], int]) -> list[Cell]:
    """The best networks over some stills of another dataset, under every explanation of the study.

    Parameters
    ----------
    study
        What was asked.
    store
        Its output.
    networks
        Trained, or given.
    start
        Starts Ray.

    Raises
    ------
    InputError
        If the stills cannot be read as the job says.
    """
    section = study.config.panel
    if section is None or "panel" not in study.config.compare:
        return []
    cells: list[Cell] = []
    for network in (one for one in networks if one.best):
        values = {**_filled(study, network), "name": PANEL, "source": _panel_source(section, store)}
        job = build(values, f"study {study.config.name!r}, panel")
        crops = cut(store, job, open_crops(network.crops).size, start, 2 * section.n)  # some may show no face
        found = given_network(store, job, network.model, crops, LabelSettings(), start)
        if not (n := min(section.n, found.samples.num_rows)):
            continue
        rows = np.arange(n)
        source = {"format": "crops", "uri": crops, "options": {"chosen": chosen_file(store, found, rows)}}
        shown = replace(
            found,
            name=network.name,
            fold=network.fold,
            spec=network.spec,
            faces=network.faces,
            samples=found.samples.take(pa.array(rows)),
        )
        cells += cells_of(study, store, shown, {**values, "source": source})
    return cells


def _panel_source(section: PanelConfig, store: Store) -> dict[str, object]:
    """Section `source` of the runs of a panel; posed people are made first, in the output."""
    if section.posed_seed is None:
        return section.source
    if not store.local:
        raise InputError(f"panel: posed people are made as local files; output {store.uri!r} is a URL")
    from fer_batch.posed.clips import write_stills

    root = store.path(f"_data/panel-{section.posed_seed}-{section.n}")
    if not os.path.exists(f"{root}/manifest.csv"):  # which is written last
        write_stills(root, n=section.n, seed=section.posed_seed, size=256, first_identity=5000)
    return {"format": "manifest", "uri": f"{root}/manifest.csv"}
