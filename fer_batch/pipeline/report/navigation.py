"""What all pages of a partition share: its folder, its options, and the pages that the navigation shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fer_batch.output.latest_run import card_of, crop_size_of, latest_run, rule_of, threshold_of
from fer_batch.output.reader import PartitionReader, partitions
from fer_batch.pipeline.partition.heatmap_figures import has_heatmaps
from fer_batch.pipeline.report.classes import classes_files, has_classes
from fer_batch.pipeline.report.heatmaps import FILE as HEATMAPS
from fer_batch.pipeline.report.heatmaps import heatmaps_page
from fer_batch.pipeline.report.looks import has_looks, looks_files
from fer_batch.pipeline.report.nights import FILE as NIGHTS
from fer_batch.pipeline.report.nights import has_nights, nights_files
from fer_batch.pipeline.report.sequence import PageOptions
from fer_batch.pipeline.report.summary import summary_of
from fer_batch.pipeline.report.verdict import has_verdict, verdict_page
from fer_batch.report.classes import FILE as CLASSES
from fer_batch.report.looks import FILE as LOOKS
from fer_batch.report.page import RunSummary
from fer_batch.report.patterns import FILE as PATTERNS
from fer_batch.report.verdict import FILE as VERDICT
from fer_batch.storage.parquet import Partition
from fer_batch.storage.published import published_files
from fer_batch.storage.store import Store
from fer_batch.types import InputError, MapStyle

FOLDER = "report"


def matching(store: Store, dataset: str | None, model: str | None, explain: str | None) -> list[Partition]:
    """Partitions with these values, sorted; None takes all.

    Raises
    ------
    InputError
        If there is none.
    """
    wanted = {"dataset": dataset, "model": model, "explain": explain}
    chosen = [
        partition
        for partition in partitions(store)
        if all(value in (None, getattr(partition, key)) for key, value in wanted.items())
    ]
    if not chosen:
        asked = ", ".join(f"{key}={value}" for key, value in wanted.items() if value is not None)
        raise InputError(f"{store.uri!r} has no published tables{' of ' + asked if asked else ''}: nothing to report")
    return chosen


def folder_of(partition: Partition) -> str:
    """The folder of a partition's pages in the output."""
    return f"{FOLDER}/{partition.dataset}/{partition.model}/{partition.explain}"


def options_of(
    store: Store, partition: Partition, card: Mapping[str, Any] | None, maps: MapStyle | None
) -> PageOptions:
    """What the pages of sequences of a partition need beside their tables.

    Parameters
    ----------
    store, partition
        The output, and which of its partitions.
    card
        The model card; None for the one beside the checkpoint that the latest run names.
    maps
        How pictures show relevance maps; None for what the job of the latest run says.
    """
    run = latest_run(store, partition)
    known = dict(card) if card is not None else card_of(run)
    _, pages = navigation(store, partition)
    whole = summary_of(partition, run, known)
    whole = replace(whole, maps=maps or whole.maps)
    return PageOptions(
        partition=partition,
        folder=folder_of(partition),
        # Without what differs from run to run.
        summary=replace(
            whole,
            counts={},
            run_id="",
            started_at="",
            finished_at="",
            facts=(),
            conservation="",
            alarming=False,
            pages=pages,
        ),
        targets=tuple(known.get("targets") or PartitionReader(store, partition).targets()),
        threshold=threshold_of(run, known),
        crop_size=crop_size_of(run, known),
        rule=rule_of(run),
    )


@dataclass(frozen=True)
class FurtherPage:
    """A page beside those of sequences and patterns.

    Attributes
    ----------
    file, name
        Its path in the report, and what the navigation calls it.
    exists
        Whether a partition has what it shows.
    files
        (path, content) of the page, made with `fer_batch.report.page.page`, and of its pictures.
    """

    file: str
    name: str
    exists: Callable[[Store, Partition], bool]
    files: Callable[[Store, Partition, RunSummary], Iterable[tuple[str, bytes]]]


FURTHER_PAGES: tuple[FurtherPage, ...] = (
    FurtherPage(LOOKS, "Looks", has_looks, looks_files),
    FurtherPage(CLASSES, "Classes", has_classes, classes_files),
    FurtherPage(HEATMAPS, "Heatmaps", has_heatmaps, heatmaps_page),
    FurtherPage(VERDICT, "Verdict", has_verdict, verdict_page),
    FurtherPage(NIGHTS, "Nights", has_nights, nights_files),
)


def navigation(store: Store, partition: Partition) -> tuple[list[FurtherPage], tuple[tuple[str, str], ...]]:
    """The further pages that exist, and (file, name) of every page that the navigation shows, in order."""
    further = [page for page in FURTHER_PAGES if page.exists(store, partition)]
    patterns = ((PATTERNS, "Patterns"),) if published_files(store, partition.folder("patterns")) else ()
    return further, (("index.html", "Sequences"), *patterns, *((page.file, page.name) for page in further))
