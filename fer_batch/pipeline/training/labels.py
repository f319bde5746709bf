"""What the crops of a training show: annotations become the labels of its targets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.facs import au_id
from fer_batch.registry import nearest
from fer_batch.sources.labels import SCALES
from fer_batch.training.settings import LabelSettings
from fer_batch.types import InputError


def annotated_targets(rows: pa.Table) -> list[str]:
    """Action Units that any crop is annotated with, by number; then other targets by name."""
    names = set(rows["targets"].combine_chunks().flatten().unique().to_pylist()) if rows.num_rows else set()
    return sorted(names, key=lambda name: (au_id(name) is None, au_id(name) or 0, name))


def inferred_targets(rows: pa.Table) -> tuple[str, ...]:
    """Every Action Unit that is annotated.

    Raises
    ------
    InputError
        If none is, or a name is meant as one and is none.
    """
    names = annotated_targets(rows)
    for name in names:
        if re.match(r"AU[\s_-]*\d", name, re.IGNORECASE) and au_id(name) is None:
            raise InputError(f"annotations name {name!r}, and Action Units are named like AU01; mend it or set targets")
    targets = tuple(name for name in names if au_id(name) is not None)
    if not targets:
        raise InputError("no source annotates an Action Unit; name the targets, or head: softmax for classes")
    return targets


def occurrence_labels(rows: pa.Table, targets: Sequence[str], rule: LabelSettings) -> NDArray[np.float32]:
    """Labels of Action Units.

    Which of them are by an intensity says `facs.OccurrenceRule`, as it does where a run is evaluated.

    Parameters
    ----------
    rows
        Of the crops: lists `targets`, `intensity` and `occurrence`.
    targets
        Names of the A outputs, in order.
    rule
        When an annotation counts as present.

    Returns
    -------
    shape (N, A), float32
        1, 0, or NaN where a crop is not annotated.

    Raises
    ------
    InputError
        If a target is not annotated anywhere.
    """
    known = annotated_targets(rows)
    for target in targets:
        if target not in known:
            raise InputError(f"targets: no source annotates {target!r}; {nearest(target, known)}")
    lists = rows["targets"].combine_chunks()
    place = {name: column for column, name in enumerate(targets)}
    columns = np.array([place.get(name, -1) for name in lists.flatten().to_pylist()], np.int64)
    owners = np.repeat(np.arange(rows.num_rows), np.diff(lists.offsets.to_numpy()))
    value = rule.occurs(_floats(rows, "occurrence"), _floats(rows, "intensity"))
    labels = np.full((rows.num_rows, len(targets)), np.nan, np.float32)
    wanted = columns >= 0
    labels[owners[wanted], columns[wanted]] = value[wanted]
    return labels


def _floats(rows: pa.Table, name: str) -> NDArray[np.float32]:
    values = rows[name].combine_chunks().flatten().cast(pa.float32())
    return values.to_numpy(zero_copy_only=False).astype(np.float32)


def class_labels(
    rows: pa.Table, targets: Sequence[str], rule: LabelSettings, every_class: bool = True
) -> NDArray[np.float32]:
    """Labels of classes.

    The class that a frame is annotated with decides. Where it has none, the expression of its input does if the rule
    says that it holds for all frames.

    Parameters
    ----------
    rows
        Of the crops: lists `targets`, `intensity` and `occurrence`, and `emotion`.
    targets
        Names of the C classes, in order.
    rule
        When an annotation counts as present, and which names are one class.
    every_class
        Whether each class must be shown by some crop, as a training needs it.

    Returns
    -------
    shape (N, C), float32
        One 1 a row; all NaN where a crop shows none of the classes, or more than one.

    Raises
    ------
    InputError
        If no crop shows a class that must be shown.
    """
    place = {name: column for column, name in enumerate(targets)}
    labels = np.full((rows.num_rows, len(targets)), np.nan, np.float32)
    known: set[str] = set()
    for row, (shown, emotion) in enumerate(zip(_shown(rows, rule), rows["emotion"].to_pylist(), strict=True)):
        own = {rule.classes.get(name, name) for name in shown}
        if not own & set(place) and rule.whole_inputs and emotion:
            own = {rule.classes.get(emotion, emotion)}
        known |= {name for name in own if au_id(name) is None}
        wanted = own & set(place)
        if len(wanted) == 1:
            labels[row] = 0
            labels[row, place[wanted.pop()]] = 1
    for name, shown_at_all in zip(targets, (labels == 1).any(0), strict=True):
        if every_class and not shown_at_all:
            raise _never_shown(name, rows, rule, known)
    return labels


def _shown(rows: pa.Table, rule: LabelSettings) -> Iterator[set[str]]:
    """What each crop is annotated as showing, scales of intensity left out."""
    occurs = rule.occurs(_floats(rows, "occurrence"), _floats(rows, "intensity")) == 1
    starts = rows["targets"].combine_chunks().offsets.to_numpy()
    for row, names in enumerate(rows["targets"].to_pylist()):
        present = occurs[starts[row] - starts[0] : starts[row + 1] - starts[0]]
        yield {name for name, there in zip(names, present, strict=True) if there and name.lower() not in SCALES}


def _never_shown(name: str, rows: pa.Table, rule: LabelSettings, known: set[str]) -> InputError:
    emotions = sorted({emotion for emotion in rows["emotion"].to_pylist() if emotion})
    hint = nearest(name, known) if known else "frames have no class"
    if emotions and not rule.whole_inputs:
        some = ", ".join(emotions[:8])
        hint += f"; labels.whole_inputs: true gives all frames the expression of their input ({some})"
    return InputError(f"targets: no frame is annotated with the class {name!r}; {hint}")
