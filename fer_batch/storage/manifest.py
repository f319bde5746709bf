"""What is finished: commit markers, shard plans and shard markers, all small JSON files.

    _commits/<unit_id>.json   phase 1 finished this unit: status of each input, number of stage files
    _plans/<shard>.json       which units a shard holds; written once, before its first table file
    _shards/<shard>.json      the shard's tables are all there, and which analysis made them

A file is believed because its marker exists, and a marker is always written last.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fer_batch.storage.digests import digest as digest
from fer_batch.storage.markers import Commit, Marker, PlannedUnit, ShardMarker, ShardPlan
from fer_batch.storage.published import SHARD_MARKERS, marker_names
from fer_batch.storage.store import Store
from fer_batch.types import InputError

COMMITS, PLANS, SHARDS, STAGE = "_commits", "_plans", SHARD_MARKERS, "_stage"
PACK = "pack-"
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


def load_all(store: Store, kind: type[M], folder: str, names: Iterable[str]) -> dict[str, M]:
    """Markers by name without suffix; read in parallel, because an object store answers each slowly.

    Parameters
    ----------
    store
        The output.
    kind
        What they are.
    folder, names
        Where they are.

    Raises
    ------
    InputError
        If one is not what it should be.
    """
    stems = [name.removesuffix(".json") for name in names]

    def load(stem: str) -> M:
        path = f"{folder}/{stem}.json"
        return kind.from_json(store.read_bytes(path), store.url(path))

    if len(stems) < 4 or store.local:
        return {stem: load(stem) for stem in stems}
    with ThreadPoolExecutor(16) as pool:
        return dict(zip(stems, pool.map(load, stems), strict=True))


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
        Ids of the units with a commit marker. One that no plan holds and whose stage files are gone does not count: it
        was withdrawn by a process that was killed before it removed the marker.

    Raises
    ------
    InputError
        If a plan or marker cannot be read, or a shard is published that nobody planned.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.plans = load_all(store, ShardPlan, PLANS, marker_names(store, PLANS))
        self.shards = load_all(store, ShardMarker, SHARDS, marker_names(store, SHARDS))
        for name in self.shards.keys() - self.plans.keys():
            path = store.url(f"{SHARDS}/{name}.json")
            raise InputError(f"{path} has no plan {PLANS}/{name}.json; {ShardMarker.cure(path)}")
        found = set(marker_names(store, COMMITS))
        unstaged = found - self.planned_units() - set(store.names(STAGE))
        gone = {unit_id for unit_id, commit in self.commits(unstaged).items() if commit.n_files}
        self.committed = found - gone

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

    def commits(self, unit_ids: Iterable[str]) -> dict[str, Commit]:
        """Commits of units, by unit."""
        return load_all(self.store, Commit, COMMITS, sorted(unit_ids))
