"""Comparisons of a study become rows of table `evaluation` and pages; what is current is left as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from fer_batch.pipeline.progress import say
from fer_batch.pipeline.study.comparison import COMPARISONS, Compared, Measured
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.storage.manifest import digest, dump
from fer_batch.storage.parquet import Partition, encode, rows_of

VERSION = 1  # raised when a comparison computes or draws something else
REPORT = "report/studies"


def publish(work: StudyWork) -> str:
    """Compare what is not compared yet, and write the pages; the URL of the study's page.

    Parameters
    ----------
    work
        The study, whose cells have run.
    """
    name = work.study.config.name
    for number, (comparison, options) in enumerate(work.study.config.compare.items(), 1):
        path, key = f"_studies/{name}/{comparison}.json", _key(work, comparison, options)
        if work.store.exists(path) and json.loads(work.store.read_bytes(path)).get("key") == key:
            continue
        say(f"comparison {number} of {len(work.study.config.compare)}: {comparison}")
        found = COMPARISONS[comparison].load()(work, **options)
        _write_rows(work, comparison, found.rows)
        pages = _write_page(work, comparison, found)
        work.store.put(path, dump({"key": key, "title": found.title, "page": pages}))
    return _write_index(work)


def _key(work: StudyWork, comparison: str, options: Mapping[str, object]) -> str:
    """What a comparison depends on."""
    cells = [[cell.key, cell.variant, cell.status, cell.seconds] for cell in (*work.cells, *work.panel)]
    trained = [training.outcome.model for training in work.trainings]
    return digest([VERSION, comparison, dict(options), cells, trained, work.study.config.runs.choose.model_dump()])


def _write_rows(work: StudyWork, comparison: str, rows: Sequence[Measured]) -> None:
    """Table `evaluation`: a file of the comparison in each partition, and none where an earlier one left rows."""
    config = work.study.config
    dataset = work.cells[0].job.name if work.cells and work.cells[0].job else config.name
    file = f"study-{config.name}-{comparison}.parquet"
    for entry in list(work.store.walk("tables/evaluation")):
        if entry.path.endswith(f"/{file}"):
            work.store.delete(f"tables/evaluation/{entry.path}")
    by_partition: dict[Partition, list[dict[str, object]]] = {}
    for row in rows:
        where = Partition(dataset, row.model or f"study-{config.name}", _safe(row.explain))
        columns = {name: value for name, value in asdict(row).items() if name not in ("model", "explain")}
        by_partition.setdefault(where, []).append(columns)
    for where, found in by_partition.items():
        work.store.put(f"{where.folder('evaluation')}/{file}", encode(rows_of("evaluation", found)))


def _safe(variant: str) -> str:
    """A variant as part of a path."""
    plain = "".join(c if c.isalnum() or c in "_.-" else "-" for c in variant).strip("-")
    return plain if plain == variant else f"{plain}-{digest(variant, 4)}"


def _write_page(work: StudyWork, comparison: str, found: Compared) -> str:
    return ""


def _write_index(work: StudyWork) -> str:
    return work.store.url(f"{REPORT}/{work.study.config.name}/index.html")
