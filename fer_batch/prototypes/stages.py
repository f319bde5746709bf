"""Frame label sets, their letters, and the runs that they form (methods TP-1 to TP-3)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch import facs, types

Label = tuple[str, str]  # a target, and the letter of its cluster, its look as `@2`, or neither
LabelSet = tuple[Label, ...]  # (("AU01", "A"), ("AU02", "")), sorted by `label_order`

NONE = "NONE"
_T = TypeVar("_T", bound=Hashable)

_LETTERED = re.compile(r"(.+)_([A-Z]{1,3})")
_LOOKED = re.compile(r"(.+)(@[1-9][0-9]*)")
_RESERVED = re.compile(r"[(),→]|->|^NONE$|^\s|\s$|^$")


def letter(cluster: int) -> str:
    """Name of the n-th cluster, from 0: A to Z, then AA, AB, as spreadsheets count columns (methods TP-1).

    Raises
    ------
    ValueError
        If the number is negative.
    """
    if cluster < 0:
        raise ValueError(f"expected a cluster number from 0, got {cluster}")
    name = ""
    cluster += 1
    while cluster:
        cluster, rest = divmod(cluster - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def label_order(label: Label) -> tuple[bool, int, str, int, str]:
    """Sort key of labels: Action Units by number, then other targets by name; then letters A to Z, AA, looks @1, @2."""
    target, name = label
    au_id = facs.au_id(target)
    return (au_id is None, au_id or 0, target, len(name), name)


def label_set(labels: Iterable[Label]) -> LabelSet:
    """Labels as a set: sorted, each once.

    Raises
    ------
    ValueError
        If a target has a name that stage text could not be read back from.
    """
    found = tuple(sorted(set(labels), key=label_order))
    for target, _ in found:
        if _RESERVED.search(target):
            raise ValueError(f"a target must not be empty or NONE, nor hold brackets, commas or arrows; got {target!r}")
    return found


def label_sets(n_frames: int, letters: Mapping[str, Sequence[str | None]]) -> list[LabelSet]:
    """Label set of every frame (methods TP-1, TP-2).

    Parameters
    ----------
    n_frames
        Ok frames of the sequence.
    letters
        For each target one entry per frame: None where it is not active, `""` where it is active and its map is
        undefined, else the letter of its cluster.

    Returns
    -------
    list of n_frames label sets

    Raises
    ------
    ValueError
        If a target has not one entry per frame, or a name that stage text could not be read back from.
    """
    for target, column in letters.items():
        if len(column) != n_frames:
            raise ValueError(f"expected {n_frames} letters of {target}, got {len(column)}")
    return [
        label_set((target, name) for target, column in letters.items() if (name := column[frame]) is not None)
        for frame in range(n_frames)
    ]


def label_text(label: Label) -> str:
    """`AU02_A`, `AU02@2` with a look in the place of a letter, or `AU02` with neither."""
    target, name = label
    return f"{target}_{name}" if name and not name.startswith("@") else f"{target}{name}"


def stage_text(labels: Iterable[Label]) -> str:
    """`(AU01_A, AU02_A)`, or `(NONE)`."""
    return f"({', '.join(map(label_text, label_set(labels))) or NONE})"


def parse_stage(text: str, targets: Iterable[str] = ()) -> LabelSet:
    """Read `stage_text` back.

    Parameters
    ----------
    text
        With or without its brackets.
    targets
        Names of known targets: needed only where one of them ends like a letter (`MOUTH_A`) or a look (`MOUTH@2`) and
        occurs without one.

    Raises
    ------
    ValueError
        If the text is no stage.
    """
    inner = text.strip()
    if inner.startswith("(") and inner.endswith(")"):
        inner = inner[1:-1].strip()
    if not inner:
        raise ValueError(f"expected a stage such as (AU01_A, AU02_A) or (NONE), got {text!r}")
    if inner == NONE:
        return ()
    known = set(targets)
    labels = []
    for part in map(str.strip, inner.split(",")):
        match = None if part in known else _LETTERED.fullmatch(part) or _LOOKED.fullmatch(part)
        labels.append((match[1], match[2]) if match else (part, ""))
    return label_set(labels)


def without_short_runs(sets: Sequence[_T], min_run: int) -> list[_T]:
    """Label sets in which a run shorter than `min_run` frames takes those of the run before it (methods TP-13).

    A short run at the start takes those of the first long one. Nothing changes where every run is short. Letters of one
    target may stand in the place of label sets.

    Parameters
    ----------
    sets
        Label sets of the ok frames, in order.
    min_run
        Frames from which a run stays.

    Returns
    -------
    list of as many label sets
    """
    runs = [(labels, len(list(frames))) for labels, frames in itertools.groupby(sets)]
    current = next((labels for labels, length in runs if length >= min_run), None)
    if current is None:
        return list(sets)
    smoothed: list[_T] = []
    for labels, length in runs:
        current = labels if length >= min_run else current
        smoothed += [current] * length
    return smoothed


def first_shown(sets: Iterable[LabelSet], target: str) -> list[str]:
    """Letters of a target in the order in which the label sets show them first."""
    return list(dict.fromkeys(name for labels in sets for other, name in labels if other == target and name))


def find_stages(
    frame_index: ArrayLike, sets: Sequence[LabelSet], sampled_frames: ArrayLike | None = None
) -> list[types.Stage]:
    """Maximal runs of consecutive ok frames with one label set (methods TP-3).

    Parameters
    ----------
    frame_index : shape (n,), int
        Indices of the ok frames, rising.
    sets
        Their label sets.
    sampled_frames : shape (m,), m >= n, int
        Indices of all frames that were sampled, rising; None where all are ok.

    Returns
    -------
    list of types.Stage
        `n_missing_frames` counts the sampled frames that are not ok, each in one stage: in the one around it, between
        two different stages in the one before it, and before the first stage in that one. So frames and missing frames
        of all stages add up to m, where there is a stage. A missing frame neither ends a run nor moves its bounds:
        first and last frame are ok ones.

    Raises
    ------
    ValueError
        If indices do not rise, are not among the sampled frames, or label sets are not one per frame.
    """
    ok = _rising(frame_index, "frame_index")
    sampled = ok if sampled_frames is None else _rising(sampled_frames, "sampled_frames")
    if len(ok) != len(sets):
        raise ValueError(f"expected one label set per frame, got {len(sets)} for {len(ok)} frames")
    if not np.isin(ok, sampled, assume_unique=True).all():
        raise ValueError(f"frames {np.setdiff1d(ok, sampled)[:5].tolist()} are ok but not among the sampled frames")
    place = np.searchsorted(sampled, ok)
    stages, start, begin = [], 0, 0
    for labels, frames in itertools.groupby(map(label_set, sets)):
        stop = start + len(list(frames))
        end = int(place[stop]) if stop < len(ok) else len(sampled)
        missing = end - begin - (stop - start)
        stages.append(types.Stage(labels, int(ok[start]), int(ok[stop - 1]), stop - start, missing))
        start, begin = stop, end
    return stages


def _rising(values: ArrayLike, name: str) -> NDArray[np.int64]:
    array = np.asarray(values, dtype=np.int64)
    if array.ndim != 1 or (np.diff(array) <= 0).any():
        raise ValueError(f"expected {name} to rise strictly, without repeats")
    return array
