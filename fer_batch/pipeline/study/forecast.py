"""What a study will do, without doing it: its grid, what is done, and hours from what was measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fer_batch.config import Study
from fer_batch.config.study_checks import grid_jobs
from fer_batch.pipeline.study.cells import Cell, read_cells, variants
from fer_batch.pipeline.study.choose import chosen
from fer_batch.pipeline.study.comparison import check_comparisons
from fer_batch.pipeline.study.plan import CELLS
from fer_batch.pipeline.study.standing import Standing, known_cells, standings, waiting_networks
from fer_batch.storage.manifest import json_of
from fer_batch.storage.store import Store

SHOWN = 40  # networks that are listed


@dataclass(frozen=True)
class Rate:
    """What an explanation took where it ran.

    Attributes
    ----------
    seconds, n_images
        Of all cells together.
    n_cells
        How many those are.
    """

    seconds: float
    n_images: int
    n_cells: int


def forecast(study: Study) -> str:
    """The grid of a study in words, with what is done of it; nothing is run or written.

    Raises
    ------
    InputError
        If a comparison, source or network is not what it should be.
    """
    check_comparisons(study)
    found = standings(study)
    cells = known_cells(study, found)
    return "\n".join([*grid_lines(study, found), *_cell_lines(study, found, cells), *_cost_lines(study, found, cells)])


def grid_lines(study: Study, found: Sequence[Standing] = ()) -> Iterator[str]:
    """The grid of a study: trainings or networks, explanations, comparisons.

    Parameters
    ----------
    study
        As it was read.
    found
        How far its trainings or networks are, where that is known.
    """
    yield f"study {study.config.name}: {study.config.question}".rstrip(": ")
    states = [f"; {one.state}" for one in found] or [""] * max(len(study.trainings), len(study.config.networks))
    for (varied, job), state in zip(study.trainings, states, strict=False):
        shown = ", ".join(f"{key}={value}" for key, value in varied.items())
        folds = {"folds": f"{job.split.k} folds", "leave_one_subject_out": "one fold a subject"}.get(
            job.split.kind, "one fold"
        )
        name = f"{job.name} ({shown})" if shown else job.name
        yield f"  training {name}: {folds}, {job.recipe.epochs} epochs at most{state}"
    for spec, state in zip(study.config.networks, states, strict=False):
        yield f"  network {spec.checkpoint}{state}"
    yield f"  explanations of each network: {', '.join(_variants(study))}"
    yield f"  compared: {', '.join(study.config.compare)}"


def _variants(study: Study) -> list[str]:
    jobs = list(grid_jobs(study))
    return variants([varied for varied, _ in jobs], [job.explain.method for _, job in jobs])


def _cell_lines(study: Study, found: Sequence[Standing], cells: Sequence[Cell]) -> Iterator[str]:
    """How many cells are done, wait and cannot be done, and which network waits for what."""
    names, coming = _variants(study), list(waiting_networks(found))
    counts = {status: sum(cell.status == status for cell in cells) for status in ("done", "waiting", "failed")}
    counts["waiting"] += len(coming) * len(names)
    shown = [f"{counts['done']} done, {counts['waiting']} waiting"]
    shown += [f"{counts['failed']} cannot be done"] if counts["failed"] else []
    shown += [f"{len(names)} more for each fold of {one.title}" for one in found if one.n_networks is None]
    yield f"  cells: {', '.join(shown)}"
    lines = [*_network_lines(cells), *(f"    {title}: waiting {_all(names)}" for title in coming)]
    yield from lines[:SHOWN]
    if len(lines) > SHOWN:
        yield f"    ... and {len(lines) - SHOWN} networks more"
    yield from _failed_before(study, cells)


def _network_lines(cells: Sequence[Cell]) -> Iterator[str]:
    by_network: dict[str, dict[str, list[str]]] = {}
    for cell in cells:
        by_network.setdefault(cell.network.title, defaultdict(list))[cell.status].append(cell.variant)
    for title, own in by_network.items():
        parts = [f"{status} {_all(own[status]) if len(own) == 1 else ', '.join(own[status])}" for status in sorted(own)]
        yield f"    {title}: {'; '.join(parts)}"


def _all(names: Sequence[str]) -> str:
    """All explanations of a network in few words."""
    return f"all {len(names)}" if len(names) > 1 else names[0]


def _failed_before(study: Study, cells: Sequence[Cell]) -> Iterator[str]:
    """Cells that wait because they failed in the last run."""
    rows = _rows(study)
    reasons = {str(row["cell"]): row["reason"] for row in rows if row["status"] == "failed"}
    for cell in cells:
        if cell.status != "done" and cell.key in reasons:
            yield f"  failed in the last run, and is tried again: {cell.title}: {reasons[cell.key]}"


def _cost_lines(study: Study, found: Sequence[Standing], cells: Sequence[Cell]) -> Iterator[str]:
    """Measured rates, and hours of what waits."""
    names, known = _variants(study), _rates(study, cells)
    rates = {name: known[name] for name in names if name in known}
    if rates:
        shown = ", ".join(f"{name} {rate.seconds / rate.n_images:.3g}" for name, rate in rates.items())
        yield f"  measured, seconds an image: {shown}"
    waiting = [*_images_of(study, cells), *((name, None) for _ in waiting_networks(found) for name in names)]
    unknown = [one.title for one in found if one.n_networks is None]
    if waiting or unknown:
        yield f"  what waits: {_hours(waiting, unknown, rates)}"


def _images_of(study: Study, cells: Sequence[Cell]) -> Iterator[tuple[str, int]]:
    """Explanation and number of images of every cell that waits and whose network is there."""
    sizes: dict[str, int] = {}
    for cell in cells:
        if cell.status == "waiting":
            title = cell.network.title
            sizes[title] = sizes.get(title) or len(chosen(cell.network, study.config.runs.choose))
            yield cell.variant, sizes[title]


def _hours(waiting: Sequence[tuple[str, int | None]], unknown: Sequence[str], rates: Mapping[str, Rate]) -> str:
    """Hours of explaining, and what they leave out; a network that is not there yet has as many images as others."""
    measured = [(rates[name], n) for name, n in waiting if name in rates]
    if not measured:
        return "hours are known when a first cell of it was measured"
    usual = sum(rate.n_images for rate in rates.values()) / sum(rate.n_cells for rate in rates.values())
    images = [usual if n is None else n for _, n in measured]
    seconds = sum(rate.seconds / rate.n_images * n for (rate, _), n in zip(measured, images, strict=True))
    missing = [name for name in dict.fromkeys(name for name, _ in waiting) if name not in rates]
    without = f"; not measured yet: {', '.join(missing)}" if missing else ""
    without += f"; without {', '.join(unknown)}, whose number of folds is not known yet" if unknown else ""
    mean = sum(images) / len(images)
    return f"about {seconds / 3600:.2g} hours of explaining at these rates, with {mean:.0f} images a cell{without}"


def _rates(study: Study, cells: Sequence[Cell]) -> Mapping[str, Rate]:
    """What each explanation took: in the cells of this grid, else in earlier ones of the study or of its method."""
    store = Store(study.config.output)
    paths = [f"{CELLS}/{name}" for name in store.names(CELLS)]
    marked = [json_of(store, path, ("explain", "seconds", "n_images")) for path in paths]
    by_method = [(row["explain"].rpartition("-")[0], row["seconds"], row["n_images"]) for row in marked]
    earlier = [(str(row["variant"]), row["seconds"], row["n_images"]) for row in _rows(study)]
    own = [(cell.variant, cell.seconds, cell.n_images) for cell in cells if cell.status == "done"]
    return {**_summed(by_method), **_summed(earlier), **_summed(own)}


def _rows(study: Study) -> list[dict[str, object]]:
    """Rows of table `study_cells` of the last run of a study."""
    store = Store(study.config.output)
    return [row for row in read_cells(store) if row["study"] == study.config.name]


def _summed(measured: Iterable[tuple[str, object, object]]) -> Mapping[str, Rate]:
    found: dict[str, Rate] = {}
    for name, seconds, n_images in measured:
        if isinstance(seconds, float | int) and isinstance(n_images, int) and n_images:
            before = found.get(name, Rate(0.0, 0, 0))
            found[name] = Rate(before.seconds + seconds, before.n_images + n_images, before.n_cells + 1)
    return found
