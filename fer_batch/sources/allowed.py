"""Where a manifest may point: below the folder it lies in, or below a root that the job names in `source.allow`.

A manifest is a file that somebody else may have written. What it names elsewhere is never listed, opened or asked for
over the network; its row says so.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from fer_batch.storage.store import has_scheme

LOCAL = ("file", "local")  # schemes of local paths
HTTP = ("http", "https")


def plain(location: str) -> str:
    """A `file://` URL with an absolute path as that path, so that what is checked is what is opened; others as given.

    Filesystems would put the home folder or the current one before other paths.
    """
    scheme, separator, path = location.partition("://")
    if separator and scheme.lower() in LOCAL and path.startswith("/"):
        return "/" + path.lstrip("/")
    return location


def own_path(location: str) -> str:
    """A location that the job itself names: a local one as a path, with `~` as the home folder; other URLs as given."""
    scheme, separator, path = location.partition("://")
    if separator and scheme.lower() not in LOCAL:
        return location
    return os.path.abspath(os.path.expanduser(path if separator else location))


class _Place(NamedTuple):
    """A location as it is compared: `host` is empty of what is not HTTP, `path` has no `..` and no link in it."""

    scheme: str
    host: str
    path: str


class Roots:
    """The folder of a manifest and the roots that its job allows.

    Parameters
    ----------
    folder
        Of the manifest: a local path or a URL.
    allow
        Folders, local or URLs, whose contents it may name too.
    """

    def __init__(self, folder: str, allow: Sequence[str] = ()) -> None:
        self._real: dict[str, str] = {}  # of folders
        self._places = [self._place(root) for root in (folder, *map(own_path, allow))]
        self._named = " or ".join(map(repr, [folder, *allow]))

    def refusal(self, location: str) -> str | None:
        """Why a location may not be read; None where it may.

        Parameters
        ----------
        location
            Absolute local path, or URL. Nothing of a URL is asked for; of a local path only where its links lead.
        """
        if "\0" in location:
            return "refused: its path has a NUL character"
        scheme, separator, rest = location.partition("://")
        if separator and ("::" in scheme + rest or "://" in rest):
            return "refused: its URL names several filesystems at once"
        if separator and scheme.lower() in LOCAL and not rest.startswith("/"):
            return f"refused: {location!r} has no absolute path; expected file:///folder/name"
        place = self._place(location)
        if place.scheme not in {root.scheme for root in self._places}:
            return f"refused: its scheme {place.scheme or 'file'}:// is not that of the source; {self._help}"
        if any(_is_below(place, root) for root in self._places):
            return None
        led = f" (a link leads to {place.path!r})" if not place.scheme and place.path != location else ""
        return f"refused: {location!r} is outside of {self._named}{led}; {self._help}"

    @property
    def _help(self) -> str:
        return "source.allow of the job names further roots"

    def _place(self, location: str) -> _Place:
        scheme, _, rest = location.partition("://") if has_scheme(location) else ("", "", location)
        scheme = scheme.lower()
        if scheme in HTTP:
            parts = urlsplit(location)
            # A server takes %2e%2e for what it stands for, once or more often.
            return _Place(scheme, parts.netloc.lower(), posixpath.normpath("/" + _unquoted(parts.path).lstrip("/")))
        if scheme and scheme not in LOCAL:
            return _Place(scheme, "", posixpath.normpath("/" + rest.lstrip("/")))
        return _Place("", "", self._resolved(os.path.abspath(rest)))

    def _resolved(self, path: str) -> str:
        """A local path with its links resolved; those of a folder are looked up once."""
        folder, name = os.path.split(path)
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        real = os.path.join(self._real[folder], name)
        return os.path.realpath(real) if os.path.islink(real) else real


def _is_below(place: _Place, root: _Place) -> bool:
    if (place.scheme, place.host) != (root.scheme, root.host):
        return False
    return place.path == root.path or place.path.startswith(root.path.rstrip("/") + "/")


def _unquoted(path: str) -> str:
    for _ in range(3):
        path = unquote(path).replace("\\", "/")
    return path
