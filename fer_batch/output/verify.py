"""`fer-batch verify`: whether an output still is what was published, and setting aside what is not.

What is set aside is moved, never deleted, with the markers that name it. What is left is an output in which that has
not been done yet, so that the next run does it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence

from fer_batch.output.books import QUARANTINE, Books, check_json, check_segments, each, read_books
from fer_batch.output.findings import Checked, Finding
from fer_batch.output.verify_files import SUMS, check_files
from fer_batch.output.verify_rows import check_rows
from fer_batch.storage.heartbeat import Sign, read_signs
from fer_batch.storage.manifest import COMMITS, PLANS, SHARDS, STAGE, Ledger, is_begun
from fer_batch.storage.markers import ShardPlan
from fer_batch.storage.parquet import Partition
from fer_batch.storage.published import EARLIER, RECORDS, FileState, records_below
from fer_batch.storage.store import Entry, Store
from fer_batch.storage.tables import PARTITIONS, SCHEMAS
from fer_batch.types import InputError

_TOPS = ("tables", SUMS, *(f"tables/{name}" for name in SCHEMAS))
ROOTS = frozenset((COMMITS, PLANS, SHARDS, STAGE, RECORDS, *_TOPS, *(f"{RECORDS}/{name}" for name in _TOPS)))
"""Folders that are never set aside as a whole."""
FOLDERS_AT_ONCE = 4  # the listing of a folder may be large
ROUNDS = 5  # what is set aside may show that something older is not whole either


def verify(store: Store) -> Checked:
    """Compare an output with its markers: files, rows, digests, schemas, references between tables, and strays.

    Raises
    ------
    InputError
        If there is no output.
    """
    checked = _verify(store, {})[0]
    checked.notes += [f"{_said(sign)}: what it is writing may be among the findings" for sign in _living(store)]
    return checked


def _living(store: Store) -> list[Sign]:
    return [sign for sign in read_signs(store) if sign.state == "running"]


def _said(sign: Sign) -> str:
    return f"a run goes on in this output (process {sign.pid} on {sign.host})"


def _verify(store: Store, digests: dict[Entry, str]) -> tuple[Checked, Books]:
    if not store.exists("tables") and not is_begun(store):
        raise InputError(f"{store.uri!r} is no output of fer-batch: it has neither 'tables' nor '{COMMITS}'")
    checked = Checked()
    books = read_books(store, checked)
    check_json(store, checked)
    check_segments(store, books, checked)
    check_rows(store, books, check_files(store, books, checked, digests), checked)
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
        If there is no output, or a run goes on in it.
    """
    for sign in _living(store):
        raise InputError(f"{_said(sign)}: {store.uri!r}; stop it or let it end, and repair then")
    folder = f"{QUARANTINE}/{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%fZ}"
    digests: dict[Entry, str] = {}  # each file is read once, however many rounds there are
    found, books = _verify(store, digests)
    again, left = found, found.findings
    for _ in range(ROUNDS):
        if not left:
            break
        shards = sorted({one.shard for one in left if one.shard})
        moved = sum([_set_shard_aside(store, books, shard, folder) for shard in shards])
        moved += _set_aside(store, (path for one in left for path in (one.path, *one.aside)), folder)
        if not moved:
            break
        again, books = _verify(store, digests)
        left = again.findings
        found.findings += [one for one in left if one not in found.findings]
    found.notes = again.notes
    return found, folder if found.findings else None, left


def _set_aside(store: Store, paths: Iterable[str], folder: str) -> int:
    """Move what is there; how many there were."""
    n_moved = 0
    for path in paths:
        if path not in ROOTS and store.exists(path):
            store.move(path, f"{folder}/{path}")
            n_moved += 1
    return n_moved


def _set_shard_aside(store: Store, books: Books, shard: str, folder: str) -> int:
    """Make the inputs of a shard new: set its files aside, then what it was made from, and its marker last.

    Killed in between, the marker names files that are gone, so that no run starts and the next repair goes on. Its plan
    stays, without units: it says which sequences it replaced in older shards.
    """
    plan, marker = books.plans.get(shard), books.shards.get(shard)
    units = {unit.unit_id for unit in plan.units} if plan else set()
    units |= set(marker.units) if marker else set()
    of = marker or plan
    paths = _of_shard(of.partition, shard) if of else _named_like(store, shard)
    paths += [path for unit in sorted(units) for path in (f"{STAGE}/{unit}", f"{COMMITS}/{unit}.json")]
    paths += [f"{SHARDS}/{shard}.json"] if plan else [f"{PLANS}/{shard}.json", f"{SHARDS}/{shard}.json"]
    n_emptied = _empty_plan(store, plan, folder) if plan else 0
    return n_emptied + _set_aside(store, paths, folder)


def _of_shard(partition: Partition, shard: str) -> list[str]:
    """Where files of a shard are, each after its record."""
    tables = [name for name in SCHEMAS if set(PARTITIONS[name]) <= partition.key.keys()]
    paths = [f"{folder}/{shard}.parquet" for folder in (*map(partition.folder, tables), SUMS)]
    return [found for path in paths for found in (f"{RECORDS}/{path}", path)]


def _named_like(store: Store, shard: str) -> list[str]:
    """The same where neither plan nor marker says of which partition it is."""
    name = f"{shard}.parquet"
    found = [f"{top}/{one.path}" for top in ("tables", SUMS) for one in store.walk(top)]
    records = [path for top in ("tables", SUMS) for path in records_below(store, top)]
    return [
        *(f"{RECORDS}/{path}" for path in records if path.rpartition("/")[2] == name),
        *(path for path in found if path.rpartition("/")[2] == name),
    ]


def _empty_plan(store: Store, plan: ShardPlan, folder: str) -> int:
    if not plan.units and not any(plan.annotations.values()):
        return 0
    path = f"{PLANS}/{plan.shard}.json"
    store.put(f"{folder}/{path}", store.read_bytes(path))
    # Ground truth of no version is published again by whoever takes the input up, and goes from here then.
    store.put(path, plan.holding((), dict.fromkeys(plan.annotations, "")).to_json())
    return 1


def check_present(store: Store, ledger: Ledger, partitions: Iterable[Partition]) -> None:
    """The cheap part, at every start: files that markers name are there, and of the size that was published.

    It lists each folder of a table once, and opens nothing.

    Raises
    ------
    InputError
        If one is not, or is of another size.
    """
    chosen = list(partitions)
    wrong = _absent(store, ledger, chosen)
    if wrong:  # another run may have published since the markers were read
        again = set(_absent(store, Ledger(store), chosen))
        wrong = [path for path in wrong if path in again]
    if wrong:
        more = f" and {len(wrong) - 1} more files" if len(wrong) > 1 else ""
        raise InputError(
            f"published files of {store.uri!r} are gone or were changed: {wrong[0]}{more}; put them back, or let "
            "`fer-batch verify OUT --repair` set their markers aside, and the next run makes them again"
        )


def _absent(store: Store, ledger: Ledger, partitions: Sequence[Partition]) -> list[str]:
    asked = [
        (partition, table)
        for partition in partitions
        for table in SCHEMAS
        if set(PARTITIONS[table]) <= partition.key.keys()
    ]
    answers = each(store, lambda one: _absent_of_table(store, ledger, *one), asked, FOLDERS_AT_ONCE)
    found = [path for absent in answers for path in absent]
    # The sums of all other shards are made again from their maps.
    kept = {one.shard for one in ledger.shards.values() if one.partition in partitions and one.keep_relevance != "all"}
    if kept:
        sizes = _recorded_sizes(store, SUMS)
        found += _absent_in(
            store, SUMS, {path: sizes[path] for path in (f"{SUMS}/{shard}.parquet" for shard in kept) if path in sizes}
        )
    return found


def _absent_of_table(store: Store, ledger: Ledger, partition: Partition, table: str) -> list[str]:
    markers = (one for one in ledger.shards.values() if one.partition == partition)
    wanted = {one.file(table): {state.size} for one in markers if (state := one.files.get(table))}
    folder = partition.folder(table)
    return list(_absent_in(store, folder, wanted | _recorded_sizes(store, folder)))


def _recorded_sizes(store: Store, folder: str) -> dict[str, set[int]]:
    """Sizes that files with a record may have; none where any may be, because nothing is known of the earlier one."""
    return {
        path: set() if EARLIER in names else {state.size for name in names if (state := FileState.from_name(name))}
        for path, names in records_below(store, folder).items()
    }


def _absent_in(store: Store, folder: str, wanted: Mapping[str, set[int]]) -> Iterator[str]:
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
    if any(one.path.startswith("tables/runs/") for one in checked.findings):
        lines.append("note: rows of table runs are not made again: they say what was asked of a run and how it ended")
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
