"""What a study will do, without doing it: its grid, what is done, and hours from what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from fer_batch.config import Study
from fer_batch.pipeline.study.cells import read_cells, variants
from fer_batch.pipeline.study.comparison import check_comparisons
from fer_batch.storage.store import Store

Row = Mapping[str, object]


def forecast(study: Study) -> str:
    """The grid of a study in words, with what its last run left.

    Raises
    ------
    InputError
        If a comparison is not what it should be.
    """
    check_comparisons(study)
    store = Store(study.config.output)
    known = [row for row in read_cells(store) if row["study"] == study.config.name]
    return "\n".join([*_grid(study), *_comparisons(study), *_state(study, known)])


def _grid(study: Study) -> Iterator[str]:
    filled = {"name": study.config.name, "output": study.config.output, "model": {"checkpoint": "m"}}
    source = study.config.runs.base.get("source", {"format": "crops", "uri": "crops"})
    jobs = list(study.run_jobs({**filled, "source": source}))
    names = variants([varied for varied, _ in jobs], [job.explain.method for _, job in jobs])
    yield f"study {study.config.name}: {study.config.question}".rstrip(": ")
    for varied, job in study.trainings:
        shown = ", ".join(f"{key}={value}" for key, value in varied.items())
        folds = {"folds": f"{job.split.k} folds", "leave_one_subject_out": "one fold a subject"}.get(
            job.split.kind, "one fold"
        )
        yield f"  training {job.name}{f' ({shown})' if shown else ''}: {folds}, {job.recipe.epochs} epochs at most"
    for spec in study.config.networks:
        yield f"  network {spec.checkpoint}"
    yield f"  explanations of each network: {', '.join(names)}"


def _comparisons(study: Study) -> Iterator[str]:
    yield f"  compared: {', '.join(study.config.compare)}"


def _state(study: Study, known: Sequence[Row]) -> Iterator[str]:
    if not known:
        yield "  nothing of it is done yet"
        return
    counts = Counter(str(row["status"]) for row in known)
    yield f"  cells of its last run: {', '.join(f'{n} {status}' for status, n in sorted(counts.items()))}"
    rates = {}
    for row in known:
        if isinstance(each := row["seconds_per_image"], float):
            rates.setdefault(str(row["variant"]), []).append(each)
    images = [n for row in known if isinstance(n := row["n_images"], int)]
    per_cell = sum(images) / len(images) if images else 0.0
    waiting = [row for row in known if row["status"] != "done"]
    hours = sum(_mean(rates.get(str(row["variant"]), [])) * per_cell for row in waiting) / 3600
    shown = ", ".join(f"{name} {_mean(each):.3g}" for name, each in rates.items())
    if shown:
        yield f"  measured, seconds an image: {shown}"
    if waiting:
        yield f"  what waits: about {hours:.2g} hours of explaining at these rates, with {per_cell:.0f} images a cell"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
