"""One root folder on any fsspec filesystem, with atomic puts.

Locally a file appears by `os.replace` of a synced temporary file; on object stores a put is atomic by itself. Readers
therefore never see half a file, whatever is killed.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from fer_batch.types import InputError


def has_scheme(uri: str) -> bool:
    """Whether a URI names a filesystem (`s3://...`) rather than a local path."""
    return "://" in uri


def join(uri: str, *parts: str) -> str:
    """Path below a URI, with forward slashes."""
    return posixpath.join(uri, *parts)


@dataclass(frozen=True, slots=True)  # a listing may hold a million
class Entry:
    """One file of a listing: path relative to the listed root, bytes, and etag or mtime_ns."""

    path: str
    size: int
    version: str


class Store:
    """A folder on a filesystem.

    Parameters
    ----------
    uri
        Local path or any URL that fsspec understands (`s3://bucket/prefix`).

    Raises
    ------
    InputError
        If the filesystem of the URI is not known or not installed.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri if has_scheme(uri) else os.path.abspath(os.path.expanduser(uri))
        try:
            # Listings must be true at every call: a rerun looks for what another process just wrote.
            if has_scheme(self.uri):
                self.fs, self.root = url_to_fs(self.uri, use_listings_cache=False)
            else:  # as it is: fsspec would read a name with '::' as a chain of filesystems
                self.fs, self.root = fsspec.filesystem("file"), self.uri
        except (ValueError, ImportError) as error:
            raise InputError(f"cannot open {uri!r}: {error}") from error
        self.local = isinstance(self.fs, LocalFileSystem)
        # s3fs asks for the size of a file before it reads it, if it may read pieces of it at once.
        self._whole = {"max_concurrency": 1} if "s3" in self.fs.protocol else {}

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self.uri,)

    def path(self, relative: str = "") -> str:
        """Full path of a file as the filesystem wants it."""
        return posixpath.join(self.root, relative) if relative else self.root

    def url(self, relative: str = "") -> str:
        """Full path of a file with its protocol, as other tools want it."""
        return self.path(relative) if self.local else self.fs.unstrip_protocol(self.path(relative))

    def check_writable(self) -> None:
        """Write and delete a small file.

        Raises
        ------
        InputError
            If that fails.
        """
        probe = f".write-probe-{uuid.uuid4().hex}"
        try:
            self.put(probe, b"")
            self.delete(probe)
        except Exception as error:
            detail = getattr(error, "strerror", None) or error
            raise InputError(f"cannot write to output {self.uri!r}: {detail}") from error

    def put(self, relative: str, data: bytes) -> None:
        """Write a whole file at once, replacing what was there."""
        target = self.path(relative)
        if not self.local:
            self.fs.pipe_file(target, data)
            return
        with self._temporary(target, data) as temporary:
            os.replace(temporary, target)

    @contextlib.contextmanager
    def staged(self, relative: str) -> Iterator[str]:
        """Local path to write a large file to; it appears whole in the store when the block ends well.

        Locally it lies beside its place, where there is room for it and a rename is enough.
        """
        if self.local:
            target = self.path(relative)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            temporary = f"{target}.{uuid.uuid4().hex}.tmp"
        else:
            temporary = os.path.join(tempfile.gettempdir(), f"fer_batch-{uuid.uuid4().hex}.tmp")
        try:
            yield temporary
            self.put_file(relative, temporary)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def put_file(self, relative: str, local_path: str) -> None:
        """Move a file of `staged` to its place at once."""
        target = self.path(relative)
        if not self.local:
            self.fs.put_file(local_path, target)
            return
        with open(local_path, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(local_path, target)

    def sweep_temporary(self, folder: str, older_than_s: float = 86400.0) -> None:
        """Remove what killed writers left below a local folder; young files may belong to a run that goes on."""
        if not self.local:
            return
        for parent, _, names in os.walk(self.path(folder)):
            for name in names:
                path = os.path.join(parent, name)
                with contextlib.suppress(FileNotFoundError):
                    if name.endswith(".tmp") and time.time() - os.stat(path).st_mtime > older_than_s:
                        os.unlink(path)

    def put_once(self, relative: str, data: bytes) -> bool:
        """Write a file only if it is not there; False where it was."""
        target = self.path(relative)
        try:
            if self.local:
                with self._temporary(target, data) as temporary:
                    os.link(temporary, target)
            else:
                self.fs.pipe_file(target, data, mode="create")
        except FileExistsError:
            return False
        return True

    @staticmethod
    @contextlib.contextmanager
    def _temporary(target: str, data: bytes) -> Iterator[str]:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        temporary = f"{target}.{uuid.uuid4().hex}.tmp"
        try:
            with open(temporary, "xb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            yield temporary
        except OSError as error:
            error.filename = error.filename or target  # a disk that is full says so without a name
            raise
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def read_bytes(self, relative: str) -> bytes:
        """Content of a file."""
        return self.fs.cat_file(self.path(relative), **self._whole)

    def exists(self, relative: str = "") -> bool:
        """Whether a file or folder is there."""
        return bool(self.fs.exists(self.path(relative)))

    def names(self, folder: str) -> list[str]:
        """Sorted file names directly in a folder; none where it does not exist."""
        try:
            found = self.fs.ls(self.path(folder), detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = (posixpath.basename(path.rstrip("/")) for path in found)
        return sorted(name for name in names if name and not name.endswith(".tmp"))

    def children(self, folder: str = "") -> tuple[list[str], list[str]]:
        """Sorted names of the folders and of the files directly in a folder; none where it does not exist."""
        try:
            if self.local:
                with os.scandir(self.path(folder)) as found:
                    named = [(item.name, item.is_dir()) for item in found]
            else:
                listed = self.fs.ls(self.path(folder), detail=True)
                named = [(posixpath.basename(one["name"].rstrip("/")), one["type"] == "directory") for one in listed]
        except (FileNotFoundError, NotADirectoryError):
            return [], []
        return sorted(n for n, is_folder in named if n and is_folder), sorted(
            n for n, is_folder in named if not is_folder
        )

    def walk(self, folder: str = "", suffixes: tuple[str, ...] = ("",)) -> Iterator[Entry]:
        """Every file below a folder, sorted by path; links to folders are followed, dangling links are left out.

        Parameters
        ----------
        folder
            Below the root; paths are relative to it.
        suffixes
            Lower-case ends of the names that are wanted; what is not wanted is not asked for its size.
        """
        yield from sorted(self.scan(folder, suffixes), key=lambda entry: entry.path)

    def scan(self, folder: str = "", suffixes: tuple[str, ...] = ("",)) -> Iterator[Entry]:
        """As `walk`, in any order: nothing of it is kept."""
        base = self.path(folder)
        if self.local:
            yield from _walk_local(base, suffixes=suffixes)
            return
        try:
            found = self.fs.find(base, detail=True)
        except FileNotFoundError:
            return
        for path in found:
            if not path.endswith(".tmp") and path.lower().endswith(suffixes):
                yield Entry(posixpath.relpath(path, base), int(found[path]["size"] or 0), version_of(found[path]))

    def files(self, folder: str = "") -> dict[str, Entry]:
        """Files directly in a folder, by name; none where it does not exist."""
        base = self.path(folder)
        if self.local:
            return {entry.path: entry for entry in _walk_local(base, deep=False)}
        try:
            found = self.fs.ls(base, detail=True)
        except FileNotFoundError:
            return {}
        names = ((posixpath.basename(info["name"]), info) for info in found if info["type"] == "file")
        return {name: Entry(name, int(info["size"] or 0), version_of(info)) for name, info in names}

    def move(self, relative: str, target: str) -> None:
        """Move a file or folder within the store; nothing happens where it is not there."""
        with contextlib.suppress(FileNotFoundError):
            if self.local:
                os.makedirs(os.path.dirname(self.path(target)), exist_ok=True)
                os.replace(self.path(relative), self.path(target))
            else:
                self.fs.mv(self.path(relative), self.path(target), recursive=True)

    def delete(self, relative: str) -> None:
        """Remove a file or folder; nothing happens where it is not there."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(self.path(relative), recursive=True)


def _walk_local(base: str, deep: bool = True, suffixes: tuple[str, ...] = ("",)) -> Iterator[Entry]:
    if os.path.isfile(base):
        found = os.stat(base)
        yield Entry(".", found.st_size, str(found.st_mtime_ns))
        return
    seen, pending = set(), [(base, "")]
    while pending:
        folder, relative = pending.pop()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            here = os.stat(folder)
            if (here.st_dev, here.st_ino) in seen:
                continue  # a link back to where we were
            seen.add((here.st_dev, here.st_ino))
            with os.scandir(folder) as items:
                for item in items:
                    if item.is_dir():
                        if deep:
                            pending.append((item.path, f"{relative}{item.name}/"))
                    elif item.name.lower().endswith(suffixes) and not item.name.endswith(".tmp"):
                        # It may vanish while we look, as a dangling link has.
                        with contextlib.suppress(FileNotFoundError):
                            found = item.stat()
                            yield Entry(relative + item.name, found.st_size, str(found.st_mtime_ns))


def version_of(info: dict) -> str:
    """Etag, or whatever tells one version of a file from another, from what a filesystem says of it."""
    for key in ("ETag", "etag", "md5Hash", "generation"):
        if info.get(key):
            return str(info[key]).strip('"')
    times = ("LastModified", "last_modified", "mtime", "created")
    return str(next((info[key] for key in times if info.get(key)), ""))
