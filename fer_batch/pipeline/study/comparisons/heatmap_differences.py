"""Where the maps of two groups of answers differ on the standard face: right against wrong, unless others are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fer_batch.output.query import connect
from fer_batch.pipeline.partition.heatmap_difference import difference_figure, difference_json, difference_text
from fer_batch.pipeline.partition.heatmap_groups import compare_groups
from fer_batch.pipeline.partition.people_columns import people_known, people_view
from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.comparison import Compared, Measured
from fer_batch.pipeline.study.comparisons.options import check_options
from fer_batch.pipeline.study.computed import RESULTS, Result, Task, computed
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.report.comparison import Comparison, Section
from fer_batch.report.page import Picture
from fer_batch.storage.manifest import digest
from fer_batch.storage.store import Store
from fer_batch.types import InputError

VERSION = 4  # raised when the same maps would give another result
GROUPS = {"Right and wrong answers": ("correct", "NOT correct")}
LEAD = (
    "Mean maps of two groups on the standard face and their difference, every map over its largest value and every "
    "person counting once. Outlined is where a permutation test of people, corrected over all pixels, finds one."
)


def heatmap_differences(
    work: StudyWork,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    n_arrangements: int = 2000,
    people: str | None = None,
) -> Compared:
    """Test where maps of two groups differ, all networks of the study together.

    Parameters
    ----------
    work
        The study.
    groups
        Title to two conditions in SQL, as `fer-batch heatmaps OUT --compare A B` takes them; right and wrong answers
        where none are given.
    n_arrangements
        Of the permutation test.
    people
        CSV or Parquet file with `subject_id` and what conditions may say of people, such as age and sex; the manifests
        of the trainings where none is given.

    Raises
    ------
    InputError
        If a title has other than two conditions, or `people` is no such file.
    """
    check_options("heatmap_differences", {"n_arrangements": n_arrangements})
    asked = {title: tuple(pair) for title, pair in (groups or GROUPS).items()}
    for title, pair in asked.items():
        if len(pair) != 2 or not all(isinstance(one, str) for one in pair):
            raise InputError(f"compare.heatmap_differences.groups: {title!r} needs two conditions, got {list(pair)}")
    places = [(variant, title) for variant in work.variants for title in asked]
    known = _people(work.store, people)
    tasks = [
        _task(work, work.of_variant(variant), asked[title], n_arrangements, (people, known))
        for variant, title in places
    ]
    results = computed(work, "differences", tasks)
    sections, rows = [], []
    for (variant, title), result in zip(places, results, strict=True):
        sections.append(_section(work.store, f"{title}: {variant}" if len(work.variants) > 1 else title, result))
        rows += _rows(variant, title, result)
    page = Comparison("heatmap_differences", "Where maps of two groups differ", LEAD, tuple(sections))
    return Compared(page, tuple(rows))


def _people(store: Store, people: str | None) -> str:
    """What is known of people, in short: where it changes the groups are others."""
    connection = connect(store)
    names = people_view(connection, people_known(connection, people), set())
    return digest([names, connection.execute("SELECT * FROM people ORDER BY subject_id").fetchall()])


def _task(
    work: StudyWork,
    cells: Sequence[Cell],
    pair: tuple[str, ...],
    n_arrangements: int,
    people: tuple[str | None, str] = (None, ""),
) -> Task:
    parts = sorted({(cell.partition.dataset, cell.partition.model, cell.partition.explain) for cell in cells})
    identity = (VERSION, sorted(cell.key for cell in cells), list(pair), n_arrangements, people[1])
    path = f"{RESULTS}/{digest(list(identity))}.png"
    return Task(difference, (work.store.uri, parts, *pair, n_arrangements, path, people[0]), identity)


def difference(
    uri: str,
    partitions: Sequence[tuple[str, str, str]],
    a: str,
    b: str,
    n_arrangements: int,
    path: str,
    people: str | None = None,
) -> Result:
    """Compare two groups, on a worker; the picture goes to `path`.

    Parameters
    ----------
    uri
        Of the output.
    partitions
        Dataset, model and explanation of the cells.
    a, b
        Conditions.
    n_arrangements
        Of the test.
    path
        Relative to the output.
    people
        File of people.
    """
    store = Store(uri)
    named = ", ".join(f"({', '.join(_quoted(value) for value in one)})" for one in partitions)
    try:
        within = f"(dataset, model, explain) IN ({named})"
        found = compare_groups(store, a, b, n_arrangements, within=within, people=people)
    except InputError as error:
        return {"reason": str(error).removeprefix("--compare ")}
    store.put(path, difference_figure(found))
    lines = difference_text(found, path).splitlines()[:-1]
    return {**difference_json(found, path), "lines": lines}


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _section(store: Store, title: str, result: Result) -> Section:
    if "reason" in result:
        return Section(title, notes=(f"{result['reason']}.",))
    a, b = (group["condition"] for group in result["groups"])
    picture = Picture(store.read_bytes(result["picture"]), f"Mean maps of {a} and of {b}, and their difference")
    return Section(title, figures=(picture,), notes=tuple(f"{line.strip()}." for line in result["lines"]))


def _rows(variant: str, title: str, result: Result) -> list[Measured]:
    if "reason" in result:
        return []
    n = sum(result["n_compared"]) // (2 if result["paired"] else 1)
    return [
        Measured("heatmap_share_different", result["share_different"], n, variant, baseline=0.0, group=title),
        Measured("heatmap_smallest_p", result["smallest_p"], n, variant, group=title),
    ]
