"""The page that shows what a whole collection of stills has in common: clusters of each class over all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fer_batch.report.chips import Chip, chip_styles
from fer_batch.report.page import DataTable, Query, RunSummary, page
from fer_batch.report.sequence import data_uri

FILE = "classes.html"


@dataclass(frozen=True)
class Exemplar:
    """A still whose map is near to the mean of its cluster.

    Attributes
    ----------
    face
        Whose JPEG of `ClassesContents.faces` shows it; None shows `outline`.
    outline
        SVG elements of a face on a canvas of 100x100.
    truth
        Its annotated class.
    """

    sequence_id: str
    face: str | None = None
    outline: str = ""
    truth: str | None = None


@dataclass(frozen=True)
class ClassCluster:
    """One cluster of a class.

    Attributes
    ----------
    label
        `happiness_A` in its colours.
    n, share
        Stills, and their share of the class.
    mean, top
        PNG of the mean map and of its Top-X projection.
    exemplars
        Nearest to the mean first.
    """

    label: Chip
    n: int | None
    share: float | None
    mean: bytes | None = None
    top: bytes | None = None
    exemplars: tuple[Exemplar, ...] = ()


@dataclass(frozen=True)
class SeenClass:
    """One class: its clusters, the spectrum as SVG or why there is none, and how they were found; None is undefined."""

    name: str
    meaning: str
    clusters: tuple[ClassCluster, ...]
    n: int
    spectrum: str = ""
    note: str = ""
    n_clustered: int | None = None
    rule: str | None = None
    n_neighbors: int | None = None
    eigengap: float | None = None
    silhouette: float | None = None


@dataclass(frozen=True)
class ClassesContents:
    """What the page shows; `faces` has the JPEG crops of exemplars by still."""

    classes: tuple[SeenClass, ...]
    faces: Mapping[str, bytes] = field(default_factory=dict)
    queries: tuple[Query, ...] = ()


def classes_page(summary: RunSummary, contents: ClassesContents) -> bytes:
    """The page; every picture is in it once."""
    clusters = [cluster for one in contents.classes for cluster in one.clusters]
    kinds, style = chip_styles(cluster.label for cluster in clusters)
    faces = {name: f"f{number}" for number, name in enumerate(contents.faces)}
    pictures = [(faces[name], data_uri(content)) for name, content in contents.faces.items()]
    return page(
        "classes.html",
        FILE,
        summary,
        more_style=style,
        contents=contents,
        kinds=kinds,
        faces=faces,
        pictures=pictures,
        data_uri=data_uri,
        numbers=_table(contents.classes),
    )


def _table(classes: Sequence[SeenClass]) -> DataTable:
    columns = (
        "Class",
        "Stills",
        "Clusters",
        "Largest",
        "Smallest",
        "Stills clustered",
        "Rule",
        "k",
        "Eigengap",
        "Silhouette",
    )
    rows = tuple(
        (*_counts(one), one.n_clustered, one.rule, one.n_neighbors, one.eigengap, one.silhouette) for one in classes
    )
    caption = (
        "Stills clustered: of a very large class a sample, which the others then join. k: neighbours in the graph; "
        "eigengap: distance to the next eigenvalue; silhouette: −1 mixed to 1 well apart."
    )
    return DataTable("Classes", columns, rows, caption)


def _counts(one: SeenClass) -> Iterator[object]:
    sizes = [cluster.n for cluster in one.clusters if cluster.n is not None]
    yield from (one.name, one.n, len(one.clusters), max(sizes, default=None), min(sizes, default=None))
