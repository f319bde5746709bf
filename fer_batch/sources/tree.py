"""The folders of an annotated dataset, as people really have them: an extra folder on top, other case, junk between."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from fer_batch.sources.listing import IMAGE_SUFFIXES, in_order, listing_version
from fer_batch.storage.store import Entry, Store
from fer_batch.types import InputError, Kind, SequenceRef

DEPTH = 4  # folders below the root among which a dataset's own folders are looked for
WIDE = 20  # a folder with more folders than these holds subjects or sequences, and none of the dataset's own
IMAGES = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix != ".gif")


def is_junk(path: str) -> bool:
    """Whether a file is what operating systems leave behind: `._x`, `.DS_Store`, `Thumbs.db`, `__MACOSX`."""
    name = path[path.rfind("/") + 1 :]  # posixpath.basename takes thrice as long, a million times
    return name.startswith(("._", ".DS_Store")) or name in ("Thumbs.db", "thumbs.db") or "__MACOSX/" in path


class Tree:
    """A folder that holds a dataset.

    Parameters
    ----------
    uri
        Local or any fsspec URL; of a dataset that is one table, also that.

    Raises
    ------
    InputError
        If it does not exist.
    """

    def __init__(self, uri: str) -> None:
        self.store = Store(posixpath.dirname(uri) or "." if uri.lower().endswith(".csv") else uri)
        if not self.store.exists():
            raise InputError(f"source.uri {uri!r} does not exist; expected the folder of a dataset")
        self._children: dict[str, tuple[list[str], list[str]]] = {}

    def children(self, folder: str = "") -> tuple[list[str], list[str]]:
        """Names of the folders and of the files directly in a folder, junk left out; listed once."""
        if folder not in self._children:
            folders, files = self.store.children(folder)
            kept = [name for name in folders if name != "__MACOSX" and not name.startswith(".")]
            self._children[folder] = kept, [name for name in files if not is_junk(name)]
        return self._children[folder]

    def keeping(self, keep: Callable[[str], bool]) -> Tree:
        """This tree as if of the folders directly below its root there were only some."""
        folders, files = self.children()
        self._children[""] = [name for name in folders if keep(name)], files
        return self

    def find(self, *names: str, below: str | None = "", files: bool = False) -> str | None:
        """Path of the uppermost folder (or file) that has one of these names in any case; None where there is none.

        Below a folder that there is not (None), there is none.

        Earlier names are preferred among those that lie equally deep.
        """
        if below is None:
            return None
        wanted = {name.lower(): rank for rank, name in reversed(list(enumerate(names)))}
        level = [below]
        for _ in range(DEPTH):
            here = [(folder, name) for folder in level for name in self.children(folder)[files]]
            known = [(wanted[name.lower()], posixpath.join(f, name)) for f, name in here if name.lower() in wanted]
            if known:
                return min(known)[1]
            inner = ((folder, self.children(folder)[0]) for folder in level)
            level = [posixpath.join(folder, name) for folder, names in inner if len(names) <= WIDE for name in names]
        return None

    def need(self, *names: str, below: str = "", files: bool = False) -> str:
        """As `find`.

        Raises
        ------
        InputError
            If there is none.
        """
        found = self.find(*names, below=below, files=files)
        if found is None:
            what = "file" if files else "folder"
            top = ", ".join([*self.children(below)[0], *self.children(below)[1]][:8]) or "nothing"
            raise InputError(f"no {what} {names[0]!r} in {self.url(below)!r}; it holds {top}")
        return found

    def url(self, path: str) -> str:
        """Of a path below the root."""
        return self.store.url(path)

    def read(self, path: str) -> bytes:
        """Content of a file."""
        return self.store.read_bytes(path)

    def text(self, path: str) -> str:
        """Content of a file as text, without a byte order mark.

        Raises
        ------
        InputError
            If it is not UTF-8.
        """
        try:
            return self.read(path).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{self.url(path)} is not UTF-8: {error}") from None

    def scan(self, folder: str | None, suffixes: tuple[str, ...]) -> Iterator[Entry]:
        """Files below a folder (none where it is None) in any order, with paths relative to the folder."""
        if folder is not None:
            yield from (entry for entry in self.store.scan(folder, suffixes) if not is_junk(entry.path))

    def walk(self, folder: str | None, suffixes: tuple[str, ...]) -> Iterator[Entry]:
        """The same sorted by path, which is relative to the root."""
        for entry in sorted(self.scan(folder, suffixes), key=lambda entry: entry.path):
            yield Entry(posixpath.join(folder or "", entry.path), entry.size, entry.version)

    def grouped(self, folder: str | None, suffixes: tuple[str, ...], depth: int) -> dict[str, list[Entry]]:
        """Files below a folder by the last `depth` folders of their path."""
        groups: dict[str, list[Entry]] = {}
        for entry in self.walk(folder, suffixes):
            groups.setdefault("/".join(entry.path.split("/")[:-1][-depth:]), []).append(entry)
        return groups

    def image_sequence(
        self, sequence_id: str, frames: Sequence[Entry], beside: Iterable[Entry] = (), **known: Any
    ) -> SequenceRef:
        """A ref of numbered images; `beside` are the files whose change makes another unit of it."""
        folder = posixpath.dirname(frames[0].path)
        ordered = in_order(frames, self.url(folder))
        return SequenceRef(
            sequence_id=sequence_id,
            kind="image_sequence",
            uri=self.url(folder),
            size=sum(entry.size for entry in ordered),
            version=below_version(ordered, folder),
            files=tuple(self.url(entry.path) for entry in ordered),
            truth_version=truth_version(beside),
            **known,
        )

    def file(
        self, sequence_id: str, kind: Kind, entry: Entry, beside: Iterable[Entry] = (), **known: Any
    ) -> SequenceRef:
        """A ref of one video or still."""
        return SequenceRef(
            sequence_id=sequence_id,
            kind=kind,
            uri=self.url(entry.path),
            size=entry.size,
            version=entry.version,
            truth_version=truth_version(beside),
            **known,
        )


def below_version(entries: Sequence[Entry], folder: str) -> str:
    """Version of files of one folder, which may move."""
    names = (Entry(entry.path.removeprefix(folder).lstrip("/"), entry.size, entry.version) for entry in entries)
    return listing_version(names)


def truth_version(entries: Iterable[Entry]) -> str:
    """Version of files of ground truth, wherever they lie; empty where there are none."""
    names = [Entry(posixpath.basename(entry.path), entry.size, entry.version) for entry in entries]
    return listing_version(names) if names else ""
