"""`fer-batch verify`: whether an output still is what was published, and setting aside what is not.

What is set aside is moved, never deleted, with the markers that name it. What is left is an output in which that has
not been done yet, so that the next run does it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from fer_batch.output.books import QUARANTINE, Books, check_json, read_books
from fer_batch.output.findings import Checked, Finding
from fer_batch.output.verify_files import SUMS, check_files, files_by_shard
from fer_batch.output.verify_rows import check_rows
from fer_batch.storage.manifest import COMMITS, PLANS, SHARDS, STAGE, Ledger
from fer_batch.storage.markers import ShardPlan
from fer_batch.storage.parquet import Partition
from fer_batch.storage.published import EARLIER, RECORDS, FileState, records_below
from fer_batch.storage.store import Store
from fer_batch.storage.tables import PARTITIONS, SCHEMAS
from fer_batch.types import InputError

_TOPS = ("tables", SUMS, *(f"tables/{name}" for name in SCHEMAS))
ROOTS = frozenset((COMMITS, PLANS, SHARDS, STAGE, RECORDS, *_TOPS, *(f"{RECORDS}/{name}" for name in _TOPS)))
"""Folders that are never set aside as a whole."""
ROUNDS = 5  # what is set aside may show that something older is not whole either


def verify(store: Store) -> Checked:
    """Compare an output with its markers: files, rows, digests, schemas, references between tables, and strays.

    Raises
    ------
    InputError
        If there is no output.
    """
    return _verify(store)[0]


def _verify(store: Store) -> tuple[Checked, Books]:
    if not store.exists("tables") and not store.exists(COMMITS):
        raise InputError(f"{store.uri!r} is no output of fer-batch: it has neither 'tables' nor '{COMMITS}'")
    checked = Checked()
    books = read_books(store, checked)
    check_json(store, checked)
    whole = check_files(store, books, checked)
    check_rows(store, books, files_by_shard(whole, books.shards), checked)
    return checked, books


def repair(store: Store) -> tuple[Checked, str | None, list[Finding]]:
    """Set aside what is wrong, with the markers that name it, so that the next run makes exactly it again.

    Returns
    -------
    Checked, str or None, and list of Finding
        What was found in all; the folder it lies in now, relative to the output; and what is wrong still.

    Raises
    ------
    InputError
        If there is no output.
    """
    folder = f"{QUARANTINE}/{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%fZ}"
    found, books = _verify(store)
    again, left = found, found.findings
    for _ in range(ROUNDS):
        if not left:
            break
        for shard in sorted({one.shard for one in left if one.shard}):
            _set_shard_aside(store, books, shard, folder)
        for one in left:
            _set_aside(store, (one.path, *one.aside), folder)
        again, books = _verify(store)
        left = again.findings
        found.findings += [one for one in left if one not in found.findings]
    found.notes = again.notes
    return found, folder if found.findings else None, left


def _set_aside(store: Store, paths: Iterable[str], folder: str) -> None:
    for path in paths:
        if path not in ROOTS and store.exists(path):
            store.move(path, f"{folder}/{path}")


def _set_shard_aside(store: Store, books: Books, shard: str, folder: str) -> None:
    """Make the inputs of a shard new, and then set its files aside; killed in between, the next repair goes on.

    Its plan stays, without units: it says which sequences it replaced in older shards.
    """
    plan, marker = books.plans.get(shard), books.shards.get(shard)
    units = {unit.unit_id for unit in plan.units} if plan else set()
    units |= set(marker.units) if marker else set()
    if plan:
        _empty_plan(store, plan, folder)
    for unit in sorted(units):
        _set_aside(store, (f"{STAGE}/{unit}", f"{COMMITS}/{unit}.json"), folder)
    _set_aside(store, (f"{SHARDS}/{shard}.json",), folder)
    if not plan:
        _set_aside(store, (f"{PLANS}/{shard}.json",), folder)
    for top in ("tables", "_sums"):
        name = f"{shard}.parquet"
        found = [f"{top}/{one.path}" for one in store.walk(top) if one.path.rpartition("/")[2] == name]
        records = [path for path in records_below(store, top) if path.rpartition("/")[2] == name]
        _set_aside(store, (*(f"{RECORDS}/{path}" for path in records), *found), folder)


def _empty_plan(store: Store, plan: ShardPlan, folder: str) -> None:
    path = f"{PLANS}/{plan.shard}.json"
    store.put(f"{folder}/{path}", store.read_bytes(path))
    # Ground truth of no version is published again by whoever takes the input up, and goes from here then.
    store.put(path, plan.holding((), dict.fromkeys(plan.annotations, "")).to_json())


def check_present(store: Store, ledger: Ledger, partitions: Iterable[Partition]) -> None:
    """The cheap part, at every start: files that markers name are there, and of the size that was published.

    It lists each folder of a table once, and opens nothing.

    Raises
    ------
    InputError
        If one is not, or is of another size.
    """
    wrong = [path for partition in partitions for path in _absent(store, ledger, partition)]
    if wrong:
        more = f" and {len(wrong) - 1} more files" if len(wrong) > 1 else ""
        raise InputError(
            f"published files of {store.uri!r} are gone or were changed: {wrong[0]}{more}; put them back, or let "
            "`fer-batch verify OUT --repair` set their markers aside, and the next run makes them again"
        )


def _absent(store: Store, ledger: Ledger, partition: Partition) -> Iterable[str]:
    markers = [one for one in ledger.shards.values() if one.partition == partition]
    for table in (name for name in SCHEMAS if set(PARTITIONS[name]) <= partition.key.keys()):
        folder = partition.folder(table)
        wanted = {one.file(table): {state.size} for one in markers if (state := one.files.get(table))}
        for path, names in records_below(store, folder).items():
            sizes = {state.size for name in names if (state := FileState.from_name(name))}
            wanted[path] = set() if EARLIER in names else sizes  # of what is replaced nothing may be known
        if wanted:
            there = {f"{folder}/{name}": entry.size for name, entry in store.files(folder).items()}
            yield from (path for path, sizes in sorted(wanted.items()) if not _is_there(there.get(path), sizes))


def _is_there(size: int | None, sizes: set[int]) -> bool:
    return size is not None and (not sizes or size in sizes)


def verify_text(store: Store, checked: Checked, aside: str | None = None) -> str:
    """The same for a person: one line a finding."""
    lines = [*(str(one) for one in checked.findings), *(f"note: {note}" for note in checked.notes)]
    if checked.n_undigested:
        lines.append(
            f"note: {checked.n_undigested} of {checked.n_files} files are of an earlier version and have no digest"
        )
    if aside:
        lines.append(f"{len(checked.findings)} findings; what is wrong lies in {store.url(aside)}; run the job again")
    elif checked.findings:
        lines.append(f"{len(checked.findings)} findings; --repair sets them aside, and the next run makes them again")
    else:
        lines.append(f"{checked.n_files} files are as they were published")
    return "\n".join(lines)


def verify_json(store: Store, checked: Checked, aside: str | None = None) -> dict[str, object]:
    """The same for a program."""
    return {
        "output": store.uri,
        "findings": [{"path": one.path, "what": one.what} for one in checked.findings],
        "notes": checked.notes,
        "files": checked.n_files,
        "without_digest": checked.n_undigested,
        "set_aside": aside,
    }
