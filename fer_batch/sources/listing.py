"""What a source holds: one `SequenceRef` per video, image sequence or still, in the order of their ids."""

from __future__ import annotations

import fnmatch
import hashlib
import inspect
import itertools
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fer_batch.registry import Registry, nearest
from fer_batch.storage.store import Entry
from fer_batch.types import InputError, SequenceRef

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".mpg", ".mpeg", ".ts", ".flv", ".gif")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif")
_DIGITS = re.compile(r"\d+")


Listing = Callable[..., Iterator[SequenceRef]]  # (uri, pattern, *, options of the format)
FORMATS: Registry[Listing] = Registry("source format")


def list_source(
    format: str, uri: str, pattern: Sequence[str] = (), options: Mapping[str, Any] = MappingProxyType({})
) -> list[SequenceRef]:
    """Every input of a source, sorted by `sequence_id`.

    Parameters
    ----------
    format
        A name of `FORMATS`.
    uri
        Folder, or file of a manifest; local or any fsspec URL.
    pattern
        Globs on the path below `uri` (`*.mp4`, `S0*/**`); none takes the format's usual file types.
    options
        Keywords of the format, such as `columns` of a manifest.

    Raises
    ------
    InputError
        If the source does not exist, holds nothing of that format, or names one input twice.
    """
    if format not in FORMATS:
        raise InputError(f"unknown source format {format!r}; {nearest(format, FORMATS)}")
    parameters = inspect.signature(FORMATS[format]).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            choice = nearest(name, known) if known else "it has none"
            raise InputError(f"source.options: format {format!r} has no option {name!r}; {choice}")
    found = sorted(FORMATS[format](uri, tuple(pattern), **options), key=lambda ref: ref.sequence_id)
    if not found:
        raise InputError(f"source {uri!r} names no input; expected at least one")
    for ref in found:
        try:
            ref.sequence_id.encode()
        except UnicodeEncodeError:
            raise InputError(f"source {uri!r}: the name {ref.sequence_id!a} is not valid UTF-8; rename it") from None
    for one, other in itertools.pairwise(found):
        if one.sequence_id == other.sequence_id:
            both = "" if one.uri == other.uri else f" ({one.uri} and {other.uri})"
            raise InputError(
                f"source {uri!r} names the input {one.sequence_id!r} twice{both}; every input is named once"
            )
    return found


def takes(pattern: Sequence[str], sequence_id: str) -> bool:
    """Whether one of the globs takes an input; no glob takes all."""
    return not pattern or any(fnmatch.fnmatchcase(sequence_id, glob.removeprefix("**/")) for glob in pattern)


def frame_number(path: str) -> int | None:
    """The last number in a file name (`S005_001_00000011.png` is 11), None without one that fits 64 bits."""
    name = path[path.rfind("/") + 1 :]
    numbers = _DIGITS.findall(name[: name.rfind(".")] if name.rfind(".") > 0 else name)
    number = int(numbers[-1]) if numbers else None
    return None if number is not None and number >= 2**63 else number  # a hash is no frame number


def in_order(entries: Sequence[Entry], where: str) -> list[Entry]:
    """The frames of an image sequence by the number in their names.

    Raises
    ------
    InputError
        If a name has no number, or two have the same (methods D-3).
    """
    numbers = [frame_number(entry.path) for entry in entries]
    times = Counter(numbers)
    odd = next((e for e, n in zip(entries, numbers, strict=True) if n is None or times[n] > 1), None)
    if odd is not None:
        raise InputError(
            f"{where}: the frames of an image sequence need distinct numbers in their names, "
            f"got such as {posixpath.basename(odd.path)!r}"
        )
    return [entries[i] for i in sorted(range(len(entries)), key=lambda i: numbers[i])]  # type: ignore[arg-type,return-value]


def listing_version(entries: Iterable[Entry]) -> str:
    """One version of many files: it changes with any name, size or version among them."""
    listing = "".join(f"{entry.path}:{entry.size}:{entry.version}\n" for entry in entries)
    return hashlib.sha256(listing.encode()).hexdigest()[:16]
