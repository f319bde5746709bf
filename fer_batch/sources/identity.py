"""Whether an input is still what its listing found, and whether the source is still there at all.

A network share that drops at night shows an empty folder, or none: nothing in it is damaged. A file that is replaced
while it is read would put rows of its new content under the identity of the old.
"""

from __future__ import annotations

import os
import posixpath
import zlib
from typing import Literal

from fsspec.core import url_to_fs

from fer_batch.sources.fetch import NotThere, StoreFault, list_files, patiently, read_bytes
from fer_batch.sources.listing import listing_version
from fer_batch.storage.store import Entry, Store, has_scheme, version_of
from fer_batch.types import EnvironmentFault, SequenceRef

NEVER_LISTED = ("", "missing")  # versions of inputs that a list names and that were not there when it was read
Now = Literal["same", "changed", "gone"]


class InputChanged(EnvironmentFault):
    """An input is not any more what its listing found; the next listing finds what it is now."""


def check_root(root: str) -> None:
    """Look at the folder, or file, that a source is listed from.

    Raises
    ------
    StoreFault
        If it is gone, or an empty folder as a share leaves that is not mounted.
    """
    if has_scheme(root):
        if not patiently(Store(root).exists, root):
            raise StoreFault(f"the source {root} is gone")
        return
    try:
        if os.path.isdir(root):
            with os.scandir(root) as found:
                if next(found, None) is None:
                    raise StoreFault(f"the source {root} is empty now; see that it is mounted")
        else:
            os.stat(root)
    except OSError as error:
        raise StoreFault(f"the source {root} is gone: {error.strerror}; see that it is mounted") from error


def now(ref: SequenceRef) -> Now:
    """What has become of an input since it was listed.

    Raises
    ------
    StoreFault
        If the store fails repeatedly.
    """
    if ref.version in NEVER_LISTED:
        return "same"
    try:
        return "same" if _is_same(ref) else "changed"
    except NotThere:
        return "gone"


def stamp(ref: SequenceRef) -> tuple[int, ...]:
    """When the files of a local input, or what is said of them, last changed, by the clock of their file system.

    Nobody can set these times, so that a file that is replaced by one of the same size and modification time is
    noticed while it is read. They are no part of an identity, because a copy or a backup changes them; neither are
    inode numbers looked at, which some network file systems make up anew.

    Returns
    -------
    tuple of int
        In ns, -1 for a file that is not there; empty for an input in a store.
    """
    return tuple(_changed_ns(uri) for uri in ref.files or (ref.uri,) if not has_scheme(uri))


def _changed_ns(path: str) -> int:
    try:
        return os.stat(path).st_ctime_ns
    except OSError:
        return -1


def check_unchanged(ref: SequenceRef, before: tuple[int, ...] | None = None) -> None:
    """Compare an input with its listing, and with what it was when reading began.

    Parameters
    ----------
    ref
        The input, as it was listed.
    before
        Its `stamp` from before it was read, where there is one.

    Raises
    ------
    InputChanged
        If it is another one now, or gone.
    StoreFault
        If the store fails repeatedly.
    """
    found = now(ref)
    if found != "same":
        what = "changed" if found == "changed" else "was removed"
        raise InputChanged(f"{ref.uri} {what} while it was read")
    if before is not None and stamp(ref) != before:
        raise InputChanged(f"{ref.uri} was replaced while it was read by a file of the same size and time")


def check_readable(ref: SequenceRef) -> None:
    """Read a local input to its end, to tell damage from a disk or share that fails.

    Raises
    ------
    StoreFault
        If reading fails.
    """
    for uri in ref.files or (ref.uri,):
        if not has_scheme(uri):
            patiently(lambda uri=uri: _read(uri), uri)  # type: ignore[misc]


def _read(path: str) -> None:
    with open(path, "rb", buffering=0) as handle:
        while handle.read(1 << 20):
            pass


def _is_same(ref: SequenceRef) -> bool:
    if ref.span is not None:
        return f"{zlib.crc32(read_bytes(ref.uri, ref.span)):x}" == ref.version
    if ref.kind == "image_sequence":
        return _folder_is_same(ref)
    size, version = patiently(lambda: _size_and_version(ref.uri), ref.uri)
    if (size, version) == (ref.size, ref.version):
        return True
    if not has_scheme(ref.uri):
        return False
    # Some stores say less, or other things, of one file than in a listing, from which `ref` is.
    folder, name = posixpath.split(ref.uri)
    listed = list_files(folder).get(name)
    return listed is not None and (listed.size, listed.version) == (ref.size, ref.version)


def _size_and_version(uri: str) -> tuple[int, str]:
    if has_scheme(uri):
        fs, path = url_to_fs(uri, use_listings_cache=False)
        info = fs.info(path)
        return int(info["size"] or 0), version_of(info)
    found = os.stat(uri)
    return found.st_size, str(found.st_mtime_ns)


def _folder_is_same(ref: SequenceRef) -> bool:
    listed: dict[str, dict[str, Entry]] = {}
    entries, base = [], ref.uri.removesuffix("/.")
    for uri in ref.files:
        folder, name = posixpath.split(uri)
        entry = listed.setdefault(folder, list_files(folder) if folder not in listed else {}).get(name)
        if entry is None:
            return False
        entries.append(Entry(uri.removeprefix(base).lstrip("/"), entry.size, entry.version))
    below = "" if ref.sequence_id == "." else f"{ref.sequence_id}/"
    from_root = [
        Entry(below + entry.path, entry.size, entry.version) for entry in entries
    ]  # as plain folders are listed
    return ref.version in (listing_version(entries), listing_version(from_root))
