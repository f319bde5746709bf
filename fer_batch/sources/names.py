"""What names of files and files beside an input say of it.

Beside a video `a.mp4`, `a.annotations.csv` and `a.landmarks.csv` are its ground truth (`sources.sidecar`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol, TypedDict

from fer_batch.registry import nearest
from fer_batch.sources.labels import expression_named, split_named
from fer_batch.storage.store import Entry
from fer_batch.types import InputError

NAMED = ("subject_id", "emotion", "split")  # what a regex may find in a path
ANNOTATIONS, LANDMARKS = ".annotations.csv", ".landmarks.csv"


class Entries(Protocol):
    """Entries of files by path."""

    def __contains__(self, path: str) -> bool: ...

    def __getitem__(self, path: str) -> Entry: ...


class Beside(TypedDict):
    """Fields of a ref that say where its ground truth lies."""

    annotation_uris: tuple[str, ...]
    landmarks_uri: str | None
    truth_version: str


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


def beside(entries: Entries, annotations: str, landmarks: str, url: Callable[[str], str] = str) -> Beside:
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
