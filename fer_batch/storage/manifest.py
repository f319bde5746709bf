"""What is finished: commit markers, shard plans and shard markers, all small JSON files.

    _commits/<unit_id>.json   phase 1 finished this unit: status of each input, number of stage files
    _plans/<shard>.json       which units a shard holds; written once, before its first table file
    _shards/<shard>.json      the shard's tables are all there, and which analysis made them

A file is believed because its marker exists, and a marker is always written last. A commit goes with the stage files
of its unit, when the marker of its shard is there: `_commits` holds what waits for its tables. Many plans and shard
markers are read from segments (`storage.packed`).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fer_batch.storage.digests import digest as digest
from fer_batch.storage.marker_files import marker_entries, marker_names
from fer_batch.storage.markers import Commit, Marker, PlannedUnit, ShardMarker, ShardPlan
from fer_batch.storage.packed import FEWEST, forget_packed, pack, packed_texts
from fer_batch.storage.published import SHARD_MARKERS
from fer_batch.storage.store import Entry, Store
from fer_batch.types import InputError

COMMITS, PLANS, SHARDS, STAGE = "_commits", "_plans", SHARD_MARKERS, "_stage"
PACK = "pack-"
WAVE = 1000  # requests that wait for an answer or to be made
SHARD_TABLES = ("sequences", "frames", "detections", "relevance", "prototypes", "stages", "temporal_prototypes")
M = TypeVar("M", bound=Marker)


def dump(value: object) -> bytes:
    """JSON bytes of a marker."""
    return json.dumps(value, indent=1, sort_keys=True).encode()


def json_of(store: Store, path: str, keys: Collection[str] = ()) -> Any:
    """The value of a small JSON file beside the markers.

    Parameters
    ----------
    store, path
        Where it is.
    keys
        That it has, where it is an object.

    Raises
    ------
    InputError
        If it is cut off, or lacks a key; it says what to do.
    """
    try:
        found = json.loads(store.read_bytes(path))
        whole = not keys or (isinstance(found, dict) and all(key in found for key in keys))
    except ValueError:
        whole = False
    if not whole:
        raise InputError(f"{store.url(path)} is cut off or of no known form; remove it, and it is made again") from None
    return found


def stage_file(unit_id: str, chunk: int) -> str:
    """Path of a chunk's stage file."""
    return f"{STAGE}/{unit_id}/{chunk:05d}.parquet"


def load_each(
    store: Store, kind: type[M], folder: str, names: Iterable[str], or_gone: bool = False
) -> Iterator[tuple[str, M]]:
    """Names without suffix and markers, one after the other, read in parallel where a store answers slowly.

    Parameters
    ----------
    store
        The output.
    kind
        What they are.
    folder, names
        Where they are.
    or_gone
        Whether one that is not there is passed over.

    Raises
    ------
    InputError
        If one is not what it should be.
    FileNotFoundError
        If one is not there.
    """

    def load(stem: str) -> list[tuple[str, M]]:
        path = f"{folder}/{stem}.json"
        try:
            data = store.read_bytes(path)
        except FileNotFoundError:
            if or_gone:
                return []
            raise
        return [(stem, kind.from_json(data, store.url(path)))]

    stems = [name.removesuffix(".json") for name in names]
    if len(stems) < 4 or store.local:
        yield from itertools.chain.from_iterable(map(load, stems))
        return
    with ThreadPoolExecutor(16) as pool:
        for start in range(0, len(stems), WAVE):
            yield from itertools.chain.from_iterable(pool.map(load, stems[start : start + WAVE]))


def load_all(store: Store, kind: type[M], folder: str, names: Iterable[str]) -> dict[str, M]:
    """The same as a dictionary."""
    return dict(load_each(store, kind, folder, names))


def load_folder(store: Store, kind: type[M], folder: str) -> dict[str, M]:
    """All markers of a folder by name without suffix, sorted; what a segment holds as it is now, is read from there.

    Raises
    ------
    InputError
        If one is not what it should be.
    """
    return _load_folder(store, kind, folder)[0]


def _load_folder(store: Store, kind: type[M], folder: str) -> tuple[dict[str, M], int]:
    """The same, and how many of them no segment holds."""
    entries = marker_entries(store, folder)
    found = {
        name: kind.from_json(text, store.url(f"{folder}/{name}.json"))
        for name, text in packed_texts(store, folder, entries)
    }
    rest = [name for name in entries if name not in found]
    found |= load_all(store, kind, folder, rest)
    return {name: found[name] for name in entries}, len(rest)


def pack_markers(store: Store, ledger: Ledger | None = None) -> None:
    """Write segments of plans and shard markers, where many of them are in none, and remove what is left of others.

    Parameters
    ----------
    store
        The output.
    ledger
        Its markers; where it is given, nothing is listed if few of them are in no segment.
    """
    if ledger is None or ledger.n_unpacked >= FEWEST:
        for folder in (PLANS, SHARDS):
            pack(store, folder)
    if ledger is not None:
        forget_packed(store, COMMITS, ledger.waiting)


def is_begun(store: Store) -> bool:
    """Whether a run has left something in a folder that can be an output."""
    return store.exists(COMMITS) or store.exists(PLANS)


def shard_marker(store: Store, shard: str) -> ShardMarker | None:
    """The marker of a shard; None where it is not published."""
    path = f"{SHARDS}/{shard}.json"
    return ShardMarker.from_json(store.read_bytes(path), store.url(path)) if store.exists(path) else None


class Ledger:
    """The markers of one output, as they were when it was opened.

    Attributes
    ----------
    plans, shards
        Content of `_plans` and `_shards` by shard name.
    committed
        Ids of the units that are done: what `waiting` holds, and those in the plan of a published shard.
    waiting
        Ids of the units with a commit marker that no published shard holds. One that no plan holds and whose stage
        files are gone does not count: it was withdrawn by a process that was killed before it removed the marker, or
        another run planned and published it meanwhile.
    left
        Ids of the units with a commit marker, though a published shard holds them.
    n_unpacked
        Plans, or shard markers if they are more, that no segment holds.

    Raises
    ------
    InputError
        If a plan or marker cannot be read, or a shard is published that nobody planned.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        # In this order: what goes in between has the marker after it already, and a marker the plan.
        self._commits = _commit_entries(store)
        self.shards, n_shards = _load_folder(store, ShardMarker, SHARDS)
        self.plans, n_plans = _load_folder(store, ShardPlan, PLANS)
        self.n_unpacked = max(n_shards, n_plans)
        for name in self.shards.keys() - self.plans.keys():
            path = store.url(f"{SHARDS}/{name}.json")
            raise InputError(f"{path} has no plan {PLANS}/{name}.json; {ShardMarker.cure(path)}")
        published = {unit.unit_id for name in self.shards for unit in self.plans[name].units}
        self.left = self._commits.keys() & published
        self.waiting = self._commits.keys() - published
        unstaged = self.waiting - self.planned_units() - set(store.names(STAGE)) if self.waiting else set()
        self.waiting -= unstaged - {unit_id for unit_id, commit in self.each_commit(unstaged) if not commit.n_files}
        published |= self.waiting
        self.committed = published

    def planned_units(self) -> set[str]:
        """Units that a plan holds."""
        return {unit.unit_id for plan in self.plans.values() for unit in plan.units}

    def pack_members(self) -> set[str]:
        """Identities of the stills in committed packs."""
        members: set[str] = set()
        unread = {unit_id for unit_id in self.committed if unit_id.startswith(PACK)}
        for plan in self.plans.values():
            for unit in plan.units:
                if unit.unit_id in unread:
                    members.update(unit.members)
                    unread.discard(unit.unit_id)
        for commit in self.commits(unread).values():
            members.update(sequence["identity"] for sequence in commit.sequences)
        return members

    def withdraw(self, units: Mapping[str, set[str] | None]) -> None:
        """Let plans and markers forget units, or some of the inputs of a pack, so that they are new again.

        Parameters
        ----------
        units
            Unit ids with the identities of their inputs to forget; None forgets all.
        """
        # The plan lets go before the marker does: killed in between, the unit has neither plan nor stage files.
        emptied = {unit_id for unit_id, members in units.items() if members is None}
        for name, plan in self.plans.items():
            kept, truth = [], dict(plan.annotations)
            for unit in plan.units:
                gone = units.get(unit.unit_id, set())
                inputs = {} if gone is None else {k: v for k, v in unit.members.items() if k not in gone}
                if inputs:
                    kept.append(PlannedUnit(unit_id=unit.unit_id, members=inputs))
                else:
                    emptied.add(unit.unit_id)
                if name not in self.shards:  # what was never published is published by whoever takes the input up
                    for identity, sequence in unit.members.items():
                        if identity not in inputs:
                            truth.pop(sequence, None)
            if tuple(kept) != plan.units:
                self.plans[name] = plan.holding(tuple(kept), truth)
                self.store.put(f"{PLANS}/{name}.json", self.plans[name].to_json())
        for unit_id in emptied & self.committed:
            self.store.delete(f"{STAGE}/{unit_id}")
            self.store.delete(f"{COMMITS}/{unit_id}.json")
        self.committed -= emptied
        self.waiting -= emptied

    def commits(self, unit_ids: Iterable[str]) -> dict[str, Commit]:
        """Commits of units, by unit; without those that are gone."""
        return dict(self.each_commit(unit_ids))

    def each_commit(self, unit_ids: Iterable[str]) -> Iterator[tuple[str, Commit]]:
        """Units and their commits, one after the other: not all of them have to be in memory.

        One that is gone is passed over: another process published or withdrew its unit since the markers were listed.
        """
        left = set(unit_ids)
        listed = {unit_id: entry for unit_id in left if (entry := self._commits.get(unit_id))}
        for unit_id, text in packed_texts(self.store, COMMITS, listed):
            left.discard(unit_id)
            yield unit_id, Commit.from_json(text, self.store.url(f"{COMMITS}/{unit_id}.json"))
        yield from load_each(self.store, Commit, COMMITS, sorted(left), or_gone=True)


def _commit_entries(store: Store) -> dict[str, Entry | None]:
    """Units with a commit marker; with what is listed of its file, where segments of commits can be."""
    return dict.fromkeys(marker_names(store, COMMITS)) if store.local else {**marker_entries(store, COMMITS)}
