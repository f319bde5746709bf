"""What a source holds: one `SequenceRef` per video, image sequence or still, in the order of their ids.

Beside a video `a.mp4`, `a.annotations.csv` and `a.landmarks.csv` are its ground truth (`sources.sidecar`); a
`sequences.csv` at the root (`path,subject_id,emotion`) says who is seen and what they show.
"""

from __future__ import annotations

import csv
import fnmatch
import hashlib
import inspect
import io
import itertools
import posixpath
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from fer_batch.registry import Registry, nearest
from fer_batch.sources.labels import expression_named, split_named
from fer_batch.storage.store import Entry, Store
from fer_batch.types import InputError, SequenceRef

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".mpg", ".mpeg", ".ts", ".flv", ".gif")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".gif")
_DIGITS = re.compile(r"\d+")
NAMED = ("subject_id", "emotion", "split")  # what a regex may find in a path
ANNOTATIONS, LANDMARKS, SEQUENCES = ".annotations.csv", ".landmarks.csv", "sequences.csv"


class Entries(Protocol):
    """Entries of files by path."""

    def __contains__(self, path: str) -> bool: ...

    def __getitem__(self, path: str) -> Entry: ...


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


def _entries(store: Store, uri: str) -> dict[str, Entry]:
    if not store.exists():
        raise InputError(f"source.uri {uri!r} does not exist; expected a folder of media")
    entries = {entry.path: entry for entry in store.walk()}
    if list(entries) == ["."]:
        raise InputError(f"source.uri {uri!r} is a file; expected a folder of media")
    # An output of ours below the source holds pictures of faces that are no inputs.
    outputs = {path.split("_commits/")[0] for path in entries if re.search(r"(^|/)_commits/[^/]+\.json$", path)}
    return {path: entry for path, entry in entries.items() if not any(path.startswith(out) for out in outputs)}


def _select(entries: Iterable[str], pattern: Sequence[str], suffixes: Sequence[str], uri: str, what: str) -> list[str]:
    paths = list(entries)
    if pattern:
        # fnmatch's `*` crosses folders already; `**/` is what people write to say so
        globs = [glob.removeprefix("**/") for glob in pattern]
        chosen = [path for path in paths if any(_matches(path, glob, suffixes) for glob in globs)]
    else:
        chosen = [path for path in paths if path.lower().endswith(tuple(suffixes))]
    if not chosen:
        looked_for = ", ".join(pattern or [f"*{suffix}" for suffix in suffixes])
        example = f", such as {paths[0]!r}" if paths else ""
        other = _other_media(paths, suffixes)
        if other:  # it may as well be a dataset, with a format of its own
            other += f"; what it is: fer-batch inspect {shlex.quote(uri)}"
        raise InputError(f"no {what} in {uri!r}: looked for {looked_for} among {len(paths)} files{example}{other}")
    return chosen


def _other_media(paths: Sequence[str], suffixes: Sequence[str]) -> str:
    """A sentence part for a folder that holds only what another job takes."""
    if any(path.lower().endswith(tuple(suffixes)) for path in paths):
        return ""
    for name, others, job in (("videos", VIDEO_SUFFIXES, "clips"), ("images", IMAGE_SUFFIXES, "stills")):
        n_others = sum(path.lower().endswith(others) for path in paths)
        if n_others:
            return f"; it holds {n_others} {name if n_others > 1 else name[:-1]}; {name}: jobs/{job}.yaml"
    return ""


def _matches(path: str, glob: str, suffixes: Sequence[str]) -> bool:
    """Whether a glob takes a file; other than the usual types only where the glob says which (`*.dat`)."""
    named = re.fullmatch(r"\.\w+", posixpath.splitext(glob)[1])
    return fnmatch.fnmatchcase(path, glob) and (named is not None or path.lower().endswith(tuple(suffixes)))


def name_parts(regex: str | None) -> Callable[[str], dict[str, str]]:
    """A function that finds `subject_id`, `emotion` and `split` in a path; what says nothing is left out.

    Raises
    ------
    InputError
        If the regular expression is none, or names other groups.
    """
    try:
        compiled = re.compile(regex or "(?!)")
    except re.error as error:
        raise InputError(f"source.options: regex {regex!r} is no regular expression: {error}") from None
    for group in compiled.groupindex:
        if group not in NAMED:
            raise InputError(f"source.options: regex names the group {group!r}; {nearest(group, NAMED)}")

    def parts(path: str) -> dict[str, str]:
        found = compiled.search(path)
        known = {key: value for key, value in found.groupdict().items() if value} if found else {}
        meant = {"emotion": expression_named, "split": split_named}
        return {key: meant.get(key, str)(value) for key, value in known.items()}

    return parts


def takes(pattern: Sequence[str], sequence_id: str) -> bool:
    """Whether one of the globs takes an input; no glob takes all."""
    return not pattern or any(fnmatch.fnmatchcase(sequence_id, glob.removeprefix("**/")) for glob in pattern)


def _skip_reason(path: str) -> str | None:
    return "macOS resource fork, not media" if posixpath.basename(path).startswith("._") else None


def _people(store: Store, entries: dict[str, Entry]) -> dict[str, dict[str, str]]:
    if SEQUENCES not in entries:
        return {}
    try:
        rows = csv.DictReader(io.StringIO(store.read_bytes(SEQUENCES).decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise InputError(f"{store.url(SEQUENCES)} is not UTF-8: {error}") from None
    if "path" not in (rows.fieldnames or ()):
        raise InputError(
            f"{store.url(SEQUENCES)}: expected the columns path, subject_id, emotion; got {rows.fieldnames}"
        )
    known = ({key: value for key, value in row.items() if value} for row in rows)
    return {
        posixpath.normpath(row["path"].strip()): _named(row, store.url(SEQUENCES)) for row in known if "path" in row
    }


def _named(row: dict[str, str], where: str) -> dict[str, str]:
    """A row of `sequences.csv` with the names that the tables have; `raw` is the emotion as it was."""
    named = {key: row[key].strip() for key in NAMED if row.get(key)}
    if re.fullmatch(r"\d+(\.\d*)?", named.get("emotion", "")):
        raise InputError(f"{where}: the emotion of {row['path']!r} is the number {row['emotion']}; expected its name")
    if "emotion" in named:
        named |= {"emotion": expression_named(named["emotion"]), "raw": row["emotion"]}
    return named | ({"split": split_named(named["split"])} if "split" in named else {})


def beside(entries: Entries, annotations: str, landmarks: str, url: Callable[[str], str] = str) -> dict[str, Any]:
    """Ground truth in files beside an input, as keywords of its ref.

    Parameters
    ----------
    entries
        Entries of files by path.
    annotations, landmarks
        Paths where there may be some.
    url
        Of a path.
    """
    there = [path for path in (annotations, landmarks) if path in entries]
    return {
        "annotation_uris": (url(annotations),) if annotations in there else (),
        "landmarks_uri": url(landmarks) if landmarks in there else None,
        "truth_version": "+".join(f"{entries[path].size}:{entries[path].version}" for path in there),
    }


@FORMATS.register("videos")
def list_videos(uri: str, pattern: Sequence[str], *, regex: str | None = None) -> Iterator[SequenceRef]:
    """Video files anywhere below a folder."""
    store = Store(uri)
    entries = _entries(store, uri)
    people, said = _people(store, entries), name_parts(regex)
    for path in _select(entries, pattern, VIDEO_SUFFIXES, uri, "videos"):
        stem = posixpath.splitext(path)[0]
        person = said(path) | people.get(path, {})
        yield SequenceRef(
            sequence_id=path,
            kind="video",
            uri=store.url(path),
            size=entries[path].size,
            version=entries[path].version,
            subject_id=person.get("subject_id") or None,
            emotion=person.get("emotion") or None,
            split=person.get("split") or None,
            skip_reason=_skip_reason(path),
            **beside(entries, stem + ANNOTATIONS, stem + LANDMARKS, store.url),
        )


@FORMATS.register("images")
def list_images(uri: str, pattern: Sequence[str], *, regex: str | None = None) -> Iterator[SequenceRef]:
    """Stills anywhere below a folder."""
    store = Store(uri)
    entries = _entries(store, uri)
    people, said = _people(store, entries), name_parts(regex)
    for path in _select(entries, pattern, IMAGE_SUFFIXES, uri, "images"):
        person = said(path) | people.get(path, {})
        emotion = person.get("emotion") or None
        yield SequenceRef(
            sequence_id=path,
            kind="still",
            uri=store.url(path),
            size=entries[path].size,
            version=entries[path].version,
            subject_id=person.get("subject_id") or None,
            emotion=emotion,
            split=person.get("split") or None,
            labels=((emotion, 1.0),) if emotion else (),
            raw_labels=((emotion, raw),) if emotion and (raw := person.get("raw", emotion)) != emotion else (),
            skip_reason=_skip_reason(path),
        )


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


@FORMATS.register("image_sequences")
def list_image_sequences(uri: str, pattern: Sequence[str], *, regex: str | None = None) -> Iterator[SequenceRef]:
    """Folders of numbered images: every folder that holds images is one sequence."""
    store = Store(uri)
    entries = _entries(store, uri)
    people, said = _people(store, entries), name_parts(regex)
    folders: dict[str, list[str]] = {}
    for path in _select(entries, pattern, IMAGE_SUFFIXES, uri, "images"):
        if _skip_reason(path) is None:
            folders.setdefault(posixpath.dirname(path) or ".", []).append(path)
    for folder, paths in folders.items():
        ordered = in_order([entries[path] for path in paths], store.url(folder))
        person = said(folder) | people.get(folder, {})
        base = "" if folder == "." else folder + "/"
        yield SequenceRef(
            sequence_id=folder,
            kind="image_sequence",
            uri=store.url(folder),
            size=sum(entry.size for entry in ordered),
            version=listing_version(ordered),
            files=tuple(store.url(entry.path) for entry in ordered),
            subject_id=person.get("subject_id") or None,
            emotion=person.get("emotion") or None,
            split=person.get("split") or None,
            **beside(entries, base + ANNOTATIONS[1:], base + LANDMARKS[1:], store.url),
        )
