"""One root folder on any fsspec filesystem, with atomic puts.

Locally a file appears by `os.replace` of a synced temporary file; on object stores a put is atomic by itself. Readers
therefore never see half a file, whatever is killed.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import fsspec
from fsspec.core import url_to_fs

from fer_batch.types import InputError


def has_scheme(uri: str) -> bool:
    """Whether a URI names a filesystem (`s3://...`) rather than a local path."""
    return "://" in uri


def join(uri: str, *parts: str) -> str:
    """Path below a URI, with forward slashes."""
    return posixpath.join(uri, *parts)


@dataclass(frozen=True)
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
        self.uri = uri if has_scheme(uri) else os.path.abspath(uri)
        try:
            # Listings must be true at every call: a rerun looks for what another process just wrote.
            self.fs, self.root = url_to_fs(self.uri, use_listings_cache=False)
        except (ValueError, ImportError) as error:
            raise InputError(f"cannot open {uri!r}: {error}") from error
        self.local = isinstance(self.fs, fsspec.implementations.local.LocalFileSystem)

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

    def put_file(self, relative: str, local_path: str) -> None:
        """Move a local file to its place at once; it is gone from `local_path` afterwards."""
        target = self.path(relative)
        if not self.local:
            self.fs.put_file(local_path, target)
            os.unlink(local_path)
            return
        os.makedirs(os.path.dirname(target), exist_ok=True)
        temporary = f"{target}.{uuid.uuid4().hex}.tmp"
        try:
            shutil.move(local_path, temporary)
            with open(temporary, "rb") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

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
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def read_bytes(self, relative: str) -> bytes:
        """Content of a file."""
        return self.fs.cat_file(self.path(relative))

    def exists(self, relative: str = "") -> bool:
        """Whether a file or folder is there."""
        return bool(self.fs.exists(self.path(relative)))

    def names(self, folder: str) -> list[str]:
        """Sorted file names directly in a folder; none where it does not exist."""
        try:
            found = self.fs.ls(self.path(folder), detail=False)
        except FileNotFoundError:
            return []
        names = (posixpath.basename(path.rstrip("/")) for path in found)
        return sorted(name for name in names if name and not name.endswith(".tmp"))

    def walk(self, folder: str = "") -> Iterator[Entry]:
        """Every file below a folder, sorted by path."""
        base = self.path(folder)
        try:
            found = self.fs.find(base, detail=True)
        except FileNotFoundError:
            return
        for path in sorted(found):
            if path.endswith(".tmp"):
                continue
            info = found[path]
            yield Entry(posixpath.relpath(path, base), int(info["size"] or 0), _version(info, path, self.local))

    def delete(self, relative: str) -> None:
        """Remove a file or folder; nothing happens where it is not there."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(self.path(relative), recursive=True)


def _version(info: dict, path: str, local: bool) -> str:
    if local:
        return str(os.stat(path, follow_symlinks=True).st_mtime_ns)
    for key in ("ETag", "etag", "md5Hash", "generation", "content_settings"):
        if info.get(key):
            return str(info[key]).strip('"')
    return str(info.get("LastModified") or info.get("mtime") or info.get("last_modified") or "")
