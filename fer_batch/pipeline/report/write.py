"""Phase 3: from the published tables to pages under `report/`. A rerun draws what has changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from fer_batch.output.latest_run import card_of, crop_size_of, latest_run, rule_of, threshold_of
from fer_batch.output.reader import partitions, published_shards
from fer_batch.pipeline.report.classes import classes_files, has_classes
from fer_batch.pipeline.report.data import Story, occurrences
from fer_batch.pipeline.report.index import Overview, index_contents, overview_of, patterns_page, targets_of
from fer_batch.pipeline.report.sequence import (
    PageOptions,
    draw_shard,
    drawn_from,
    figures,
    is_drawn,
    marker_path,
    thumbnail_path,
)
from fer_batch.pipeline.report.summary import summary_of
from fer_batch.pipeline.report.verdict import has_verdict, verdict_page
from fer_batch.registry import nearest
from fer_batch.report.classes import FILE as CLASSES
from fer_batch.report.index import Index
from fer_batch.report.page import ReportLink, RunSummary, contents_page, slug
from fer_batch.report.patterns import FILE as PATTERNS
from fer_batch.report.sequence import sequence_path
from fer_batch.report.verdict import FILE as VERDICT
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import READ, InputError, MapStyle
from fer_batch.visualize.colours import Palette

FOLDER = "report"
FIGURES = "figures"
SPREAD_FROM = 100  # sequences; fewer are drawn before another process would have started
WAVE = 64  # shards at a time

Compute = Callable[[list[Any]], list[Any]]


def write_report(
    store: Store,
    dataset: str | None = None,
    model: str | None = None,
    explain: str | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    card: Mapping[str, Any] | None = None,
    compute: Compute | None = None,
    maps: MapStyle | None = None,
) -> str:
    """Draw the report of every matching partition.

    Parameters
    ----------
    store
        The output, with published tables.
    dataset, model, explain
        Partition values; None takes all.
    progress
        Told how many more inputs are done.
    card
        The model card; by default the one beside the checkpoint that the latest run names.
    compute
        Runs a list of Dask tasks, one for each shard; by default they run here, one after the other.
    maps
        How pictures show relevance maps; by default as the job of the latest run says.

    Returns
    -------
    str
        Where the index page is: the partition's own, or the list of reports where there are several.

    Raises
    ------
    InputError
        If no published table matches.
    """
    chosen = matching(store, dataset, model, explain)
    for partition in chosen:
        _write_partition(store, partition, progress or (lambda _: None), card, compute, maps)
    reports = [
        ReportLink(
            p.dataset,
            p.model,
            p.explain,
            quote(f"{p.dataset}/{p.model}/{p.explain}/index.html"),
            demo=summary_of(p, run := latest_run(store, p), card_of(run)).demo,
        )
        for p in partitions(store)
        if store.exists(f"{_folder(p)}/index.html")
    ]
    store.put(f"{FOLDER}/index.html", contents_page(reports))
    return store.url(f"{_folder(chosen[0])}/index.html" if len(chosen) == 1 else f"{FOLDER}/index.html")


def write_figures(store: Store, sequence_ids: Sequence[str], maps: MapStyle | None = None) -> list[str]:
    """Draw the figures of some sequences for print, under `figures/` of each report that has them.

    Parameters
    ----------
    store
        The output, with published tables.
    sequence_ids
        Which sequences.
    maps
        As in `write_report`.

    Returns
    -------
    list of str
        Where they are.

    Raises
    ------
    InputError
        If no sequence with pages has such a name.
    """
    wanted = dict.fromkeys(sequence_ids, False)
    known: dict[str, None] = {}  # one sequence may have been explained in several ways
    written = []
    for partition in matching(store, None, None, None):
        options = _options(store, partition, None, maps)
        palette = Palette(options.targets, options.summary.maps)
        for shard in published_shards(store, partition):
            for row in shard.sequences:
                name = row["sequence_id"]
                if row["status"] not in READ or row["kind"] == "still":
                    continue
                known[name] = None
                if name not in wanted:
                    continue
                wanted[name] = True
                truth = occurrences(store, partition.dataset, [name], options.rule).get(name, {})
                folder = f"{options.folder}/{FIGURES}/{slug(name)}"
                earlier = set(store.names(folder))
                for file, content in figures(Story(shard.of(name), row, options.crop_size), palette, options, truth):
                    store.put(f"{folder}/{file}", content)
                    written.append(store.url(f"{folder}/{file}"))
                    earlier.discard(file)
                for file in earlier:  # of a story that had other stages, or other clusters
                    store.delete(f"{folder}/{file}")
    for name, found in wanted.items():
        if not found:
            raise InputError(f"no sequence is named {name!r}; {nearest(name, list(known)[:10_000])}")
    return written


def processes(n: int | None = None) -> Compute:
    """Dask tasks on `n` processes of this machine, by default one for each core.

    They import the program that asks, as those of `multiprocessing` do: a script needs its `if __name__ == "__main__"`.
    """

    def compute(tasks: list[Any]) -> list[Any]:
        import dask

        return list(dask.compute(*tasks, scheduler="processes", num_workers=n or os.cpu_count() or 1, chunksize=1))

    return compute


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


def _folder(partition: Partition) -> str:
    return f"{FOLDER}/{partition.dataset}/{partition.model}/{partition.explain}"


def _options(store: Store, partition: Partition, card: Mapping[str, Any] | None, maps: MapStyle | None) -> PageOptions:
    run = latest_run(store, partition)
    known = dict(card) if card is not None else card_of(run)
    _, pages = _navigation(store, partition)
    whole = summary_of(partition, run, known)
    whole = replace(whole, maps=maps or whole.maps)
    return PageOptions(
        partition=partition,
        folder=_folder(partition),
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
        targets=tuple(known.get("targets") or targets_of(store, partition)),
        threshold=threshold_of(run, known),
        crop_size=crop_size_of(run, known),
        rule=rule_of(run),
    )


def _write_partition(
    store: Store,
    partition: Partition,
    progress: Callable[[int], None],
    card: Mapping[str, Any] | None,
    compute: Compute | None,
    maps: MapStyle | None,
) -> None:
    run = latest_run(store, partition)
    known = dict(card) if card is not None else card_of(run)
    options = _options(store, partition, card, maps)
    further, pages = _navigation(store, partition)
    summary = replace(summary_of(partition, run, known), pages=pages, maps=options.summary.maps)
    palette = Palette(options.targets, summary.maps)
    written: set[str] = set()

    def put(files: Iterable[tuple[str, bytes]]) -> None:
        for path, content in files:
            store.put(f"{options.folder}/{path}", content)
            written.add(path)

    names: set[str] = set()
    index = Index(summary)
    overview = overview_of(store, partition, index, put, names)
    _draw(store, options, overview, compute, progress)
    put(page for one in further for page in one.files(store, partition, summary))
    put(patterns_page(store, partition, summary, palette, options.crop_size, overview))
    put(index.pages(index_contents(store, partition, palette, options.crop_size, overview)))
    kept = {sequence_path(name) for name in names} | {thumbnail_path(name) for name in names}
    kept |= {marker_path(file) for file in overview.sizes}
    folders = {slug(name) for name in names}
    for entry in list(store.walk(options.folder)):
        # Pages of sequences that are gone must not stay reachable from old bookmarks: they may show faces.
        first, _, rest = entry.path.partition("/")
        stays = entry.path in written or entry.path in kept or (first == FIGURES and rest.split("/")[0] in folders)
        if not stays:
            store.delete(f"{options.folder}/{entry.path}")


def _draw(
    store: Store, options: PageOptions, overview: Overview, compute: Compute | None, progress: Callable[[int], None]
) -> None:
    """Pages of sequences of shards that changed."""
    keys = drawn_from(store, options, overview.bounds)
    changed = []
    for file, (n_inputs, n_pages) in overview.sizes.items():
        if n_pages == 0 or is_drawn(store, options, file, keys[file]):
            progress(n_inputs)
        else:
            changed.append(file)
    if compute is None or sum(overview.sizes[file][1] for file in changed) < SPREAD_FROM:
        for file in changed:
            draw_shard(store.uri, file, keys[file], options)
            progress(overview.sizes[file][0])
        return
    import dask

    task = dask.delayed(draw_shard, pure=False)
    for start in range(0, len(changed), WAVE):
        wave = changed[start : start + WAVE]
        compute([task(store.uri, file, keys[file], options) for file in wave])
        progress(sum(overview.sizes[file][0] for file in wave))


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
    FurtherPage(CLASSES, "Classes", has_classes, classes_files),
    FurtherPage(VERDICT, "Verdict", has_verdict, verdict_page),
)


def _navigation(store: Store, partition: Partition) -> tuple[list[FurtherPage], tuple[tuple[str, str], ...]]:
    further = [page for page in FURTHER_PAGES if page.exists(store, partition)]
    patterns = ((PATTERNS, "Patterns"),) if store.names(partition.folder("patterns")) else ()
    return further, (("index.html", "Sequences"), *patterns, *((page.file, page.name) for page in further))


def write_page(store: Store, partition: Partition, file: str) -> str | None:
    """Draw one further page again, for figures that changed after the report was drawn.

    Returns
    -------
    str or None
        Where it is; None where the partition has nothing to show on it.
    """
    further, pages = _navigation(store, partition)
    folder, run = _folder(partition), latest_run(store, partition)
    if not store.exists(f"{folder}/index.html"):
        pages = ()  # a page by itself has nothing to link to
    summary = replace(summary_of(partition, run, card_of(run)), pages=pages)
    for page in further:
        if page.file == file:
            written = set()
            for path, content in page.files(store, partition, summary):
                store.put(f"{folder}/{path}", content)
                written.add(path.rpartition("/")[2])
            # Older pictures of this page may show faces of inputs that are gone.
            for name in store.names(f"{folder}/pictures"):
                if name.startswith(f"{file.removesuffix('.html')}-") and name not in written:
                    store.delete(f"{folder}/pictures/{name}")
            return store.url(f"{folder}/{file}")
    return None
