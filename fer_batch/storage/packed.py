"""Markers of many files read from a few: segments, Parquet files with the text of a thousand markers each.

    _packed/_plans/<digest>.parquet     name, size, version and text of plans
    _packed/_shards/<digest>.parquet    the same of shard markers
    _packed/_commits/<digest>.parquet   of commits that wait for their tables

A segment is a copy and never the truth. Nothing can be lost or doubled by it, because:

1. Which markers there are says the listing of their own folder alone, with size and version (etag or mtime) of each.
2. An entry counts only for a marker of that very name, size and version; any other is read from its own file. So one
   that was removed, set aside, withdrawn or replaced, by whomever and at whatever moment, wins over every segment.
3. Whether an entry is of that version: markers are listed, two seconds later read, and listed again; what is not the
   same in both lists is left out. Whatever is written within the resolution of a clock of the first list is read whole.
4. A segment appears whole, is never changed, and is named after its content. Killed anywhere, or written by two
   processes at once, there is one less or one more than is needed.
5. One that is gone, cut off, of another form or of another content than its name says holds no entry. Versions that
   know no segments pass them over.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa

from fer_batch.storage.marker_files import marker_entries
from fer_batch.storage.parquet import decode, encode
from fer_batch.storage.store import Entry, Store

PACKED = "_packed"
FEWEST = 100  # markers without an entry, from which on they are packed
SEGMENT = 1000  # markers of a segment at most
SEGMENT_BYTES = 16 << 20  # of text of a segment, before it is compressed
THREADS = 16
SETTLE_S = 2.0  # the coarsest clock of a filesystem
_SCHEMA = pa.schema([("name", pa.string()), ("size", pa.int64()), ("version", pa.string()), ("text", pa.binary())])


@dataclass(frozen=True, slots=True)
class Packed:
    """The text of a marker, and which file it is a copy of."""

    name: str
    size: int
    version: str
    text: bytes

    def is_of(self, entry: Entry | None) -> bool:
        """Whether it is a copy of a file that was listed."""
        return entry is not None and (self.size, self.version) == (entry.size, entry.version)


def segments(store: Store, folder: str) -> Iterator[tuple[str, list[Packed] | None]]:
    """Every segment of a folder of markers: its path and its entries; None where it cannot be read."""
    paths = [f"{PACKED}/{folder}/{name}" for name in store.names(f"{PACKED}/{folder}") if name.endswith(".parquet")]
    if store.local or len(paths) < 2:
        yield from ((path, _read(store, path)) for path in paths)
        return
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(paths), THREADS):  # not all of them have to be in memory
            some = paths[start : start + THREADS]
            yield from zip(some, pool.map(lambda path: _read(store, path), some), strict=True)


def _read(store: Store, path: str) -> list[Packed] | None:
    try:
        data = store.read_bytes(path)
        if path != _path(path.split("/")[1], data):
            return None
        columns = decode(data, _SCHEMA.names)
    except FileNotFoundError:
        return []
    except (pa.ArrowException, OSError):
        return None
    rows = zip(*(columns[name].to_pylist() for name in _SCHEMA.names), strict=True)
    return [Packed(*row) for row in rows]


def packed_texts(store: Store, folder: str, entries: Mapping[str, Entry]) -> Iterator[tuple[str, bytes]]:
    """Name and text of the markers that a segment holds as they are now, each once.

    Parameters
    ----------
    store, folder
        Where the markers are.
    entries
        Their listing, by name without suffix.
    """
    if len(entries) < FEWEST:
        return  # so few are never packed, and what was is as quickly read
    found: set[str] = set()
    for _, held in segments(store, folder):
        for one in held or ():
            if one.name not in found and one.is_of(entries.get(one.name)):
                found.add(one.name)
                yield one.name, one.text


def pack(store: Store, folder: str) -> int:
    """Write segments of the markers that none holds, where they are many; how many are packed.

    Segments of which every marker is another by now are removed.
    """
    before = marker_entries(store, folder)
    if len(before) < FEWEST:
        return 0
    known: set[str] = set()
    stale = []
    for path, held in segments(store, folder):
        current = {one.name for one in held or () if one.is_of(before.get(one.name))}
        known |= current
        stale += [] if current else [path]
    waiting = [entry for name, entry in before.items() if name not in known and entry.version]
    if len(waiting) < FEWEST:
        return 0
    time.sleep(SETTLE_S)
    written = [(chunk, _segment(store, folder, chunk)) for chunk in _chunks(waiting)]
    after = set(marker_entries(store, folder).values())
    n_packed = 0
    for chunk, data in written:
        if data and after.issuperset(chunk):
            store.put(*data)
            n_packed += len(chunk)
    for path in stale:
        store.delete(path)
    return n_packed


class Written:
    """Markers that were just written to a store whose etag is the MD5 of the bytes of a file.

    No listing of any other store shows such a version, and every marker is read from its own file.

    Parameters
    ----------
    store, folder
        Of the markers.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self.store, self.folder = store, folder
        self._rows: list[Packed] = []
        self._n_bytes = 0

    def add(self, name: str, text: bytes) -> Iterator[tuple[str, bytes]]:
        """Take a marker; path and bytes of the segment that is full by it, where one is. Local files need none."""
        if self.store.local:
            return
        version = hashlib.md5(text, usedforsecurity=False).hexdigest()
        self._rows.append(Packed(name, len(text), version, text))
        self._n_bytes += len(text)
        if len(self._rows) == SEGMENT or self._n_bytes > SEGMENT_BYTES:
            yield _named(self.folder, self._rows)
            self._rows, self._n_bytes = [], 0


def forget_packed(store: Store, folder: str, names: Collection[str] = ()) -> None:
    """Remove the segments of a folder that hold none of its markers as they are now, and all where few are left.

    Parameters
    ----------
    store, folder
        Of the markers.
    names
        Those that are left, without suffix; none where all segments are to go, whose texts name what is forgotten.
    """
    if len(names) < FEWEST:
        store.delete(f"{PACKED}/{folder}")
    elif store.exists(f"{PACKED}/{folder}"):
        entries = marker_entries(store, folder)
        for path, held in segments(store, folder):
            if not any(one.is_of(entries.get(one.name)) for one in held or ()):
                store.delete(path)


def _named(folder: str, rows: list[Packed]) -> tuple[str, bytes]:
    columns = {name: [getattr(row, name) for row in rows] for name in _SCHEMA.names}
    data = encode(pa.table(columns, schema=_SCHEMA))
    return _path(folder, data), data


def _path(folder: str, data: bytes) -> str:
    """Where a segment lies, which is named after its content."""
    return f"{PACKED}/{folder}/{hashlib.sha256(data).hexdigest()[:32]}.parquet"


def _chunks(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    n_bytes = 0
    for entry in entries:
        if len(chunk) == SEGMENT or (chunk and n_bytes + entry.size > SEGMENT_BYTES):
            yield chunk
            chunk, n_bytes = [], 0
        chunk.append(entry)
        n_bytes += entry.size
    if chunk:
        yield chunk


def _segment(store: Store, folder: str, chunk: list[Entry]) -> tuple[str, bytes] | None:
    """Path and bytes of a segment; None where one of its markers is gone or is another by now."""

    def load(entry: Entry) -> Packed:
        text = store.read_bytes(f"{folder}/{entry.path}")
        return Packed(entry.path.removesuffix(".json"), entry.size, entry.version, text)

    try:
        if store.local:
            rows = list(map(load, chunk))
        else:
            with ThreadPoolExecutor(THREADS) as pool:
                rows = list(pool.map(load, chunk))
    except FileNotFoundError:
        return None
    return _named(folder, rows) if all(len(one.text) == one.size for one in rows) else None
