"""Commits, plans and markers of an output that may be damaged: what can be read, and what is wrong with others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from fer_batch.output.findings import Checked, Finding
from fer_batch.storage.manifest import COMMITS, PLANS, SHARDS, STAGE, json_of
from fer_batch.storage.marker_files import marker_entries, marker_names
from fer_batch.storage.markers import Commit, Marker, ShardMarker, ShardPlan
from fer_batch.storage.packed import Packed, segments
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Entry, Store
from fer_batch.types import InputError

QUARANTINE = "_quarantine"
M = TypeVar("M", bound=Marker)
A = TypeVar("A")
B = TypeVar("B")


def each(store: Store, function: Callable[[A], B], items: Iterable[A], n_threads: int = 16) -> Iterator[B]:
    """Results of a function in the order of the items; at once where a store answers slowly."""
    if store.local:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        yield from pool.map(function, items)


@dataclass
class Books:
    """What can be read of the markers.

    Attributes
    ----------
    commits, plans, shards
        By name.
    staged
        Units with stage files.
    broken
        Names of plans and of shard markers that cannot be read.
    """

    commits: dict[str, Commit] = field(default_factory=dict)
    plans: dict[str, ShardPlan] = field(default_factory=dict)
    shards: dict[str, ShardMarker] = field(default_factory=dict)
    staged: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)

    @property
    def owners(self) -> dict[tuple[Partition, str], str]:
        """The newest shard that holds a sequence, by partition and sequence."""
        found: dict[tuple[Partition, str], str] = {}
        for plan in sorted(self.plans.values(), key=lambda plan: plan.number):
            found.update({(plan.partition, name): plan.shard for name in plan.sequences})
        return found


def read_books(store: Store, checked: Checked) -> Books:
    """Read all markers; a finding for each that cannot be read, or that lacks what it needs."""
    books = Books()
    books.commits = _read(store, COMMITS, Commit, checked, set())
    books.plans = _read(store, PLANS, ShardPlan, checked, books.broken)
    books.shards = _read(store, SHARDS, ShardMarker, checked, books.broken)
    books.staged = set(store.children(STAGE)[0])
    for name in sorted(books.shards.keys() - books.plans.keys() - books.broken):
        found = Finding(f"{SHARDS}/{name}.json", f"has no plan {PLANS}/{name}.json", name)
        checked.findings.append(found)
    for name in sorted(books.plans.keys() - books.shards.keys() - books.broken):
        _check_unpublished(store, books, books.plans[name], checked)
    _check_units(store, books, checked)
    return books


def _read(store: Store, folder: str, kind: type[M], checked: Checked, broken: set[str]) -> dict[str, M]:
    def load(name: str) -> M | InputError:
        path = f"{folder}/{name}.json"
        try:
            return kind.from_json(store.read_bytes(path), path)
        except InputError as error:
            return error

    names = marker_names(store, folder)
    found = {}
    for name, marker in zip(names, each(store, load, names), strict=True):
        if not isinstance(marker, InputError):
            found[name] = marker
            continue
        broken.add(name)
        what = str(marker).split("; `fer-batch verify")[0].removeprefix(f"{folder}/{name}.json ")
        checked.findings.append(Finding(f"{folder}/{name}.json", what, None if kind is Commit else name))
    return found


def _check_unpublished(store: Store, books: Books, plan: ShardPlan, checked: Checked) -> None:
    """A shard that is planned and not published needs the stage files of its units."""
    for unit in plan.units:
        commit = books.commits.get(unit.unit_id)
        reason = _stage_fault(store, commit) if commit else "has no commit marker"
        if reason:
            what = f"has no marker {SHARDS}/{plan.shard}.json, and its unit {unit.unit_id} {reason}"
            checked.findings.append(Finding(f"{PLANS}/{plan.shard}.json", what, plan.shard))
            return
    if plan.units:
        checked.notes.append(f"shard {plan.shard} is not published yet; the next run does it")


def _check_units(store: Store, books: Books, checked: Checked) -> None:
    planned = {unit.unit_id for plan in books.plans.values() for unit in plan.units}
    for unit_id in sorted(books.commits.keys() - planned):
        commit = books.commits[unit_id]
        if unit_id not in books.staged and commit.n_files:
            checked.notes.append(f"unit {unit_id} was withdrawn; the next run explains it again")
        elif reason := _stage_fault(store, commit):
            path = f"{COMMITS}/{unit_id}.json"
            checked.findings.append(Finding(path, f"is of a unit that {reason}", aside=(f"{STAGE}/{unit_id}",)))


def check_json(store: Store, checked: Checked) -> None:
    """A finding for each small JSON file beside the markers that is cut off: without it what it is of is made again."""
    for folder in store.children()[0]:
        if folder.startswith("_") and folder not in (COMMITS, PLANS, SHARDS, QUARANTINE):
            for path in (f"{folder}/{one.path}" for one in store.walk(folder, (".json",))):
                try:
                    json_of(store, path)
                except InputError:
                    checked.findings.append(Finding(path, "is cut off"))


def check_segments(store: Store, books: Books, checked: Checked) -> None:
    """A finding for each segment that cannot be read, or holds another text of a marker than its file."""
    for folder, kind, known in (
        (COMMITS, Commit, books.commits),
        (PLANS, ShardPlan, books.plans),
        (SHARDS, ShardMarker, books.shards),
    ):
        entries = marker_entries(store, folder)
        for path, held in segments(store, folder):
            fault = "cannot be read" if held is None else _segment_fault(folder, kind, known, entries, held)
            if fault:
                checked.findings.append(Finding(path, f"{fault}; markers have files of their own"))


def _segment_fault(
    folder: str, kind: type[Marker], known: Mapping[str, Marker], entries: Mapping[str, Entry], held: Iterable[Packed]
) -> str | None:
    for one in held:
        if not one.is_of(entries.get(one.name)) or one.name not in known:
            continue
        try:
            same = kind.from_json(one.text, one.name) == known[one.name]
        except InputError:
            same = False
        if not same:
            return f"holds another text of {folder}/{one.name}.json"
    return None


def _stage_fault(store: Store, commit: Commit) -> str | None:
    """What is wrong with the stage files of a unit."""
    found = store.files(f"{STAGE}/{commit.unit_id}") if commit.n_files else {}
    missing = commit.n_files - sum(f"{k:05d}.parquet" in found for k in range(commit.n_files))
    if missing:
        return f"lacks {missing} of its {commit.n_files} stage files"
    empty = [name for name, entry in sorted(found.items()) if not entry.size]
    return f"has the empty stage file {empty[0]}" if empty else None
