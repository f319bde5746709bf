"""Which files of tables are published, with their rows, size and digest.

The marker of a shard names the files of the shard. Every other file has a record: an empty file whose name says all of
it, so that one listing reads the records of a whole folder.

    _shards/<shard>.json                     names tables/<table>/<partition>/<shard>.parquet
    _files/<path>/<rows>-<size>-<digest>     names the file at <path>
    _files/<path>/earlier                    the same, of a version that recorded no digest

A file that is replaced has the record of its new content from before it is moved to its place, and that of its old
content until it is there. Whatever is killed, a file that no record describes was changed by somebody else.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO, Self

from pydantic import NonNegativeInt

from fer_batch.storage.digests import digest
from fer_batch.storage.marker_files import marker_names
from fer_batch.storage.store import Entry, Store
from fer_batch.storage.tables import PARTITIONS

RECORDS, SHARD_MARKERS = "_files", "_shards"
EARLIER = "earlier"
_SHARD = re.compile(r"[0-9a-f]{8}-\d{5,}")
_DIGITS = 32  # of sha256: enough for whatever happens by accident
_STATE = re.compile(rf"([0-9]+)-([0-9]+)-([0-9a-f]{{{_DIGITS}}})")


@dataclass(frozen=True, slots=True)  # an output may hold a million
class FileState:
    """What a file was when it was published.

    Attributes
    ----------
    rows
        Of its table.
    size
        Bytes.
    digest
        First 32 hex digits of the sha256 of its bytes.
    """

    rows: NonNegativeInt
    size: NonNegativeInt
    digest: str

    @classmethod
    def of(cls, data: bytes, rows: int) -> Self:
        """Of the bytes of a file."""
        return cls(rows=rows, size=len(data), digest=hashlib.sha256(data).hexdigest()[:_DIGITS])

    @property
    def name(self) -> str:
        """Of the record that says it."""
        return f"{self.rows}-{self.size}-{self.digest}"

    @classmethod
    def from_name(cls, name: str) -> Self | None:
        """What a record says; None of `earlier`, and of a file that is no record."""
        found = _STATE.fullmatch(name)
        return cls(rows=int(found[1]), size=int(found[2]), digest=found[3]) if found else None


def digest_of_file(handle: io.BufferedIOBase) -> str:
    """What `FileState.digest` is of an open file, read in pieces."""
    return hashlib.file_digest(handle, "sha256").hexdigest()[:_DIGITS]


class DigestFile:
    """A new local file whose digest is computed from the bytes as they are written.

    Parameters
    ----------
    path
        Where.
    """

    def __init__(self, path: str) -> None:
        self._file: BinaryIO = open(path, "wb")  # noqa: SIM115 - `close` closes it
        self._sha256, self._size = hashlib.sha256(), 0

    @property
    def closed(self) -> bool:
        """Whether no more can be written."""
        return self._file.closed

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self._sha256.update(data)
        n_bytes = self._file.write(data)
        self._size += n_bytes
        return n_bytes

    def tell(self) -> int:
        """Bytes that are written."""
        return self._size

    def flush(self) -> None:
        """Hand what is buffered to the system."""
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        self._file.close()

    def state(self, rows: int) -> FileState:
        """What the file is, given the rows of its table."""
        return FileState(rows=rows, size=self._size, digest=self._sha256.hexdigest()[:_DIGITS])


class Record:
    """The record of a file that is about to be published.

    Parameters
    ----------
    store, path
        Where the file will be.
    """

    def __init__(self, store: Store, path: str) -> None:
        self.store, self.folder = store, f"{RECORDS}/{path}"
        self._before = self._names()
        if not self._before and not is_of_shard(posixpath.basename(path)):
            _adopt(store, posixpath.dirname(path))
            self._before = self._names()

    def _names(self) -> list[str]:
        return [name for name in self.store.names(self.folder) if is_record(f"{self.folder}/{name}")]

    def announce(self, state: FileState) -> None:
        """Say what the file will be, before it is moved to the place of another."""
        if self._before and state.name not in self._before:
            self.store.put(f"{self.folder}/{state.name}", b"")

    def settle(self, state: FileState) -> None:
        """Say what the file is, once it is in its place.

        It is said again where it was announced: whoever replaced the file in between may have removed that.
        """
        self.store.put(f"{self.folder}/{state.name}", b"")
        for name in self._before:
            if name != state.name:
                self.store.delete(f"{self.folder}/{name}")


class PublishedFile:
    """A large file that is written piece by piece into `sink`; it appears whole, when the `with` block ends well.

    Parameters
    ----------
    store, path
        Where it appears.
    record
        Whether it gets a record, because no shard marker names it.

    Attributes
    ----------
    n_rows
        Rows of its table, as its writer counts them.
    """

    def __init__(self, store: Store, path: str, record: bool) -> None:
        self.n_rows = 0
        self._store, self._path, self._recorded = store, path, record

    def __enter__(self) -> PublishedFile:
        self._record = Record(self._store, self._path) if self._recorded else None
        self._staged = self._store.staged(self._path)
        self.sink = DigestFile(self._staged.__enter__())
        return self

    @property
    def state(self) -> FileState:
        """What the file is, once it is written."""
        return self.sink.state(self.n_rows)

    def __exit__(self, *error: Any) -> None:
        self.sink.close()
        if self._record and error[0] is None:
            self._record.announce(self.state)
        self._staged.__exit__(*error)
        if self._record and error[0] is None:
            self._record.settle(self.state)


def _adopt(store: Store, folder: str) -> None:
    """Give the files of an earlier version a record, before the first file of a folder has one: they stay readable.

    Killed in between, the next goes on: the folder is begun only when a file has a record of its content.
    """
    known = records_below(store, folder)
    if any(name != EARLIER for names in known.values() for name in names):
        return
    for name in store.names(folder):
        if is_table_file(name) and not is_of_shard(name) and f"{folder}/{name}" not in known:
            store.put(f"{RECORDS}/{folder}/{name}/{EARLIER}", b"")


@contextmanager
def recorded(store: Store, path: str, state: FileState) -> Iterator[None]:
    """Around the write of a file that no shard marker names."""
    record = Record(store, path)
    record.announce(state)
    yield
    record.settle(state)


def withdraw_file(store: Store, path: str) -> None:
    """Remove a published file, or a folder of them, with its record."""
    store.delete(f"{RECORDS}/{path}")  # first: without it the file does not count
    store.delete(path)


def is_table_file(name: str) -> bool:
    """Whether a file has a name that tables have; others are left behind by editors and systems."""
    return name.endswith(".parquet") and not name.startswith((".", "_"))


def is_record(path: str) -> bool:
    """Whether a path is one of a record of a table file; others are left behind by editors and systems."""
    of, name = posixpath.split(path)
    return is_table_file(posixpath.basename(of)) and (name == EARLIER or FileState.from_name(name) is not None)


def is_of_shard(name: str) -> bool:
    """Whether a file has the name of a shard."""
    return _SHARD.fullmatch(name.removesuffix(".parquet")) is not None


def shard_prefix(partition: Mapping[str, str]) -> str:
    """How the names of the shards of a partition begin, given its columns and their values: 8 hex digits."""
    return digest(dict(partition), 8)


def is_in_place(path: str) -> bool:
    """Whether a file lies where its table has files: below the folders of its partition, a shard in its own one.

    What people copy into a folder of a table, or beside the folder of a partition, does not.

    Parameters
    ----------
    path
        Relative to the output.
    """
    folder, name = posixpath.split(path)
    prefix = _prefix_of(folder)
    return prefix is not None and is_table_file(name) and (not is_of_shard(name) or name.startswith(prefix))


@lru_cache(maxsize=1024)
def _prefix_of(folder: str) -> str | None:
    """How names of shards in the folder of a partition begin; empty where all may be, None where no table has files."""
    table, *parts = folder.split("/")[1:] or [""]
    keys = dict(part.partition("=")[::2] for part in parts)
    if len(keys) != len(parts) or tuple(keys) != PARTITIONS.get(table):
        return None
    return shard_prefix(keys) if keys.keys() == {"dataset", "model", "explain"} else ""


def published_shards(store: Store) -> set[str]:
    """Names of the shards that have a marker; one listing."""
    return set(marker_names(store, SHARD_MARKERS))


def records_below(store: Store, folder: str) -> dict[str, list[str]]:
    """Names of the records of every file below a folder, by the path of the file; one listing."""
    found: dict[str, list[str]] = {}
    for entry in store.walk(f"{RECORDS}/{folder}"):
        path, _, name = entry.path.rpartition("/")
        if is_record(entry.path):
            found.setdefault(f"{folder}/{path}", []).append(name)
    return found


def begun_folders(records: Mapping[str, Collection[str]], of_shards: Iterable[str]) -> set[str]:
    """Folders in which a file counts only if it is named: they have one that is named with its content, or of a shard.

    Parameters
    ----------
    records
        Names of the records of each file, by path.
    of_shards
        Paths of the files of published shards.
    """
    paths = [path for path, names in records.items() if any(name != EARLIER for name in names)]
    return {posixpath.dirname(path) for path in (*paths, *of_shards)}


def published_files(store: Store, folder: str, shards: Collection[str] | None = None) -> list[Entry]:
    """Files of tables below a folder that a marker or a record names, sorted, with paths relative to the output.

    In a folder of which no file is named, as earlier versions left those of a partition, all count whose names tables
    have. A file with the name of a shard always needs the marker of the shard. Copies in other folders never count.

    Parameters
    ----------
    store
        The output.
    folder
        `tables/<table>`, or below.
    shards
        `published_shards`, where they are listed already.
    """
    entries = (Entry(f"{folder}/{one.path}", one.size, one.version) for one in store.walk(folder))
    found = [one for one in entries if is_in_place(one.path)]
    if not found:
        return []
    known = published_shards(store) if shards is None else shards
    if all(is_of_shard(posixpath.basename(one.path)) for one in found):
        return [one for one in found if _stem(one.path) in known]
    records = records_below(store, folder)
    of_shards = (one.path for one in found if is_of_shard(posixpath.basename(one.path)) and _stem(one.path) in known)
    begun = begun_folders(records, of_shards)
    return [one for one in found if _counts(one.path, known, records, begun)]


def _stem(path: str) -> str:
    return posixpath.basename(path).removesuffix(".parquet")


def _counts(path: str, shards: Collection[str], records: Collection[str], begun: Collection[str]) -> bool:
    if is_of_shard(posixpath.basename(path)):
        return _stem(path) in shards
    return path in records or posixpath.dirname(path) not in begun
