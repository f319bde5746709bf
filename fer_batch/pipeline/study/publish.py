"""Comparisons of a study become rows of table `evaluation` and pages; what is current is left as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from fer_batch import __version__
from fer_batch.pipeline.partition.people_columns import read_people
from fer_batch.pipeline.progress import say
from fer_batch.pipeline.study.cells import Cell, Lost
from fer_batch.pipeline.study.comparison import COMPARISONS, Measured
from fer_batch.pipeline.study.computed import VERSION
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.report.comparison import comparison_files
from fer_batch.report.page import Query, RunSummary
from fer_batch.report.study import ComparisonLink, StudyCell, StudyContents, study_page
from fer_batch.storage.manifest import digest, dump, json_of
from fer_batch.storage.parquet import Partition, rows_of
from fer_batch.storage.published import withdraw_file
from fer_batch.storage.writing import put_table
from fer_batch.types import InputError

REPORT = "report/studies"


@dataclass(frozen=True)
class Published:
    """What came of the comparisons of a study: URL of its page, and comparisons that could not be made."""

    page: str
    lost: tuple[Lost, ...] = ()


def publish(work: StudyWork, lost: Sequence[Lost] = ()) -> Published:
    """Compare what is not compared yet, and write the pages.

    Parameters
    ----------
    work
        The study, whose cells have run.
    lost
        What of it could not be made before.
    """
    asked = work.study.config.compare
    links, failed = [], []
    gone = {one.title: one.reason for one in lost if one.varied is None}
    for number, (comparison, options) in enumerate(asked.items(), 1):
        say(f"comparison {number} of {len(asked)}: {comparison}")
        try:
            if comparison in gone:
                raise InputError(gone[comparison])
            links.append(_compared(work, comparison, options))
        except (InputError, ValueError) as error:
            say(f"{comparison}: {error}")
            links.append(ComparisonLink(comparison, reason=str(error)))
            failed += [] if comparison in gone else [Lost(comparison, str(error))]
    path = f"{_folder(work)}/index.html"
    work.store.put(path, study_page(_summary(work), _contents(work, links, lost)))
    return Published(work.store.url(path), tuple(failed))


def _compared(work: StudyWork, comparison: str, options: Mapping[str, object]) -> ComparisonLink:
    """The link to a comparison, made where it is not current."""
    path, key = f"_studies/{work.study.config.name}/{comparison}.json", _key(work, comparison, options)
    kept = _kept(work, path)
    if kept.get("key") != key or not work.store.exists(f"{_folder(work)}/{kept['file']}"):
        found = COMPARISONS[comparison].load()(work, **options)
        _write_rows(work, comparison, found.rows)
        page = replace(found.page, warnings=(*_chosen_by_test(work), *found.page.warnings))
        for file, content in comparison_files(_summary(work), page):
            work.store.put(f"{_folder(work)}/{file}", content)
        kept = {"key": key, "title": found.page.title, "finding": found.page.lead, "file": found.page.file}
        work.store.put(path, dump(kept))
    return ComparisonLink(kept["title"], kept["finding"], kept["file"])


def _kept(work: StudyWork, path: str) -> dict[str, str]:
    """What the marker of a comparison says; nothing where there is none, or where it is cut off."""
    try:
        found: dict[str, str] = json_of(work.store, path, ("key", "title", "finding", "file"))
    except (FileNotFoundError, InputError):
        return {}
    return found


def _folder(work: StudyWork) -> str:
    return f"{REPORT}/{work.study.config.name}"


def _key(work: StudyWork, comparison: str, options: Mapping[str, object]) -> str:
    """What a comparison depends on."""
    cells = [[cell.key, cell.variant, cell.status, cell.seconds] for cell in (*work.cells, *work.panel)]
    trained = [training.outcome.model for training in work.trainings]
    jobs = [cell.job.model_dump(mode="json", include={"source", "labels", "report"}) for cell in work.cells if cell.job]
    people = options.get("people")  # of grids a number; else a file, whose content may change under its name
    known = [digest(str(read_people(people).to_pylist()))] if isinstance(people, str) else []
    return digest([VERSION, comparison, COMPARISONS[comparison].version, dict(options), cells, trained, jobs, *known])


def _write_rows(work: StudyWork, comparison: str, rows: Sequence[Measured]) -> None:
    """Table `evaluation`: a file of the comparison in each partition; files that it left before are removed."""
    config = work.study.config
    dataset = next((cell.job.name for cell in work.cells if cell.job), config.name)
    file = f"study-{config.name}-{comparison}.parquet"
    by_partition: dict[Partition, list[dict[str, object]]] = {}
    for row in rows:
        # a training has rows of its own under its networks and no explanation
        explain = f"study-{config.name}" if row.model and row.explain == "none" else path_name(row.explain)
        where = Partition(dataset, row.model or f"study-{config.name}", explain)
        columns = {name: value for name, value in asdict(row).items() if name not in ("model", "explain")}
        by_partition.setdefault(where, []).append(columns)
    written = {f"{where.folder('evaluation')}/{file}" for where in by_partition}
    for where, found in by_partition.items():
        put_table(work.store, f"{where.folder('evaluation')}/{file}", rows_of("evaluation", found))
    for entry in list(work.store.walk("tables/evaluation")):
        path = f"tables/evaluation/{entry.path}"
        if entry.path.endswith(f"/{file}") and path not in written:
            withdraw_file(work.store, path)


def path_name(variant: str) -> str:
    """A variant as the value of a partition."""
    plain = "".join(c if c.isalnum() or c in "_.-" else "-" for c in variant).strip("-")
    return plain if plain == variant else f"{plain}-{digest(variant, 4)}"


def _summary(work: StudyWork) -> RunSummary:
    networks = {cell.network.name: cell.network for cell in work.cells}
    cards = [network.model.card for network in networks.values() if network.model.card]
    licences = sorted({card.licence for card in cards if card.licence})
    pages = [("index.html", "Study")]
    return RunSummary(
        title=work.study.config.name,
        dataset=", ".join(sorted({cell.job.name for cell in work.cells if cell.job})),
        model=", ".join(networks),
        explain=", ".join(work.variants),
        finished_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=__version__,
        demo=any(card.demo for card in cards),
        weights_license=", ".join(licences),
        facts=tuple(_facts(work)),
        shows_faces=True,
        pages=tuple(pages),
    )


def _facts(work: StudyWork) -> Iterator[tuple[str, str]]:
    for training in work.trainings:
        card = training.networks[0].model.card if training.networks else None
        if card:
            yield "Network", f"{training.title}: {card.architecture or card.factory}, {', '.join(card.targets)}"
            yield "Trained on", ", ".join(card.trained_on)
            if card.notes:
                yield "Notes", card.notes
    for network in {cell.network.name: cell.network for cell in work.cells if cell.network.fold is None}.values():
        yield "Network", f"{network.name}: {', '.join(network.model.targets)}"


def _contents(work: StudyWork, links: Sequence[ComparisonLink], lost: Sequence[Lost]) -> StudyContents:
    name = work.study.config.name
    explanations = ["'" + path_name(one) + "'" for one in (*work.variants, f"study-{name}")]
    return StudyContents(
        name=name,
        question=work.study.config.question,
        cells=tuple(_cells(work.cells)),
        comparisons=tuple(links),
        warnings=tuple((f"{one.title} could not be done", one.reason) for one in lost if one.varied is not None),
        notes=tuple(_notes(work)),
        queries=(
            Query("cells of this study", f"SELECT * FROM study_cells WHERE study = '{name}' ORDER BY network, fold"),
            Query(
                "figures of its comparisons",
                'SELECT model, explain, metric, target, "group", value, n, baseline FROM evaluation\n'
                f"WHERE explain IN ({', '.join(explanations)}) ORDER BY metric, explain, model",
            ),
        ),
    )


def _cells(cells: Sequence[Cell]) -> Iterator[StudyCell]:
    keys = list(dict.fromkeys(key for cell in cells for key in {**cell.network.varied, **cell.varied}))
    shown = [key for key in keys if key not in ("explain", "explain.method")]
    for cell in cells:
        varied = {**cell.network.varied, **cell.varied}
        yield StudyCell(
            network=cell.network.name,
            fold="" if cell.network.fold is None else str(cell.network.fold),
            method=cell.variant,
            varied=tuple((key, "" if varied.get(key) is None else str(varied[key])) for key in shown),
            status=cell.status,
            n_images=cell.n_images,
            seconds=cell.seconds,
            seconds_per_image=cell.rate,
            reason=cell.reason or "",
        )


def _notes(work: StudyWork) -> Iterator[str]:
    if work.study.config.size == "small":
        yield "A study of small size: it shows that every step works, and its figures say little about the method."
    yield from (sentence for _, sentence in _chosen_by_test(work))


def _chosen_by_test(work: StudyWork) -> tuple[tuple[str, str], ...]:
    """What every page must say of trainings whose epoch was chosen by the people that the figures are of."""
    titles = [one.title for one in work.trainings if one.config.recipe.selection == "best_test"]
    if not titles:
        return ()
    who = "; ".join(titles) if len(titles) < len(work.trainings) else "all trainings"
    said = f"{who}: epochs are chosen by the test part (selection: best_test), so figures are better than new data's."
    return (("Chosen by the test part.", f"{said[0].upper()}{said[1:]}"),)
