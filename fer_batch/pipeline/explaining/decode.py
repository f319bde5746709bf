"""First step of phase 1: a unit of work becomes chunks of face crops. Never imports torch."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from fer_batch.pipeline.explaining.chunk import CHUNK_FRAMES, Chunk, ChunkRow, FrameRow, SequenceRow, UnitRow
from fer_batch.pipeline.explaining.faces import (
    DecodeOptions,
    Item,
)
from fer_batch.pipeline.explaining.inputs import read_input
from fer_batch.pipeline.explaining.units import NO_FACE, NO_FRAME, Unit
from fer_batch.sources.fetch import StoreFault
from fer_batch.sources.identity import InputChanged
from fer_batch.types import EnvironmentFault, InputError, MediaError, SequenceRef, face_id

log = logging.getLogger(__name__)

MANY_ABSENT = 8  # inputs in a row that were listed and are gone: nobody deletes so fast, but a share drops so


def decode_unit(row: UnitRow, options: DecodeOptions) -> Iterator[ChunkRow]:
    """Chunks of one unit; what cannot be read becomes a row with a reason, never an exception.

    Parameters
    ----------
    row
        `unit`: a pickled `Unit`.
    options
        How to decode, find faces and crop.

    Yields
    ------
    Rows of `Chunk`; the last one carries the rows of table `sequences`, and what is not to be committed.
    """
    unit: Unit = pickle.loads(row["unit"])
    found = _Found()
    fault: str | None = None
    pending = _Pending(unit, options.size)
    cv2.setNumThreads(1)  # a worker owns one core
    try:
        for item in _members(unit, options, found):
            if len(pending.rows) == CHUNK_FRAMES:
                yield pending.chunk().to_row()
                pending.clear()
            pending.add(item)
    except EnvironmentFault as error:
        fault = str(error)
    known = {"sequences": found.sequences, "changed": tuple(found.changed), "fault": fault}
    yield pending.chunk().with_maps(last=True, **known).to_row()


@dataclass
class _Found:
    """What became of the inputs of a unit: rows of table `sequences`, and inputs that changed while they were read."""

    sequences: list[SequenceRow] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def _members(unit: Unit, options: DecodeOptions, found: _Found) -> Iterator[Item]:
    n_absent = 0
    for ref in unit.members:
        try:
            yield from _member(ref, options, found.sequences)
        except InputChanged:
            found.changed.append(ref.sequence_id)
            continue
        n_absent = n_absent + 1 if found.sequences[-1].get("absent") else 0
        if n_absent == MANY_ABSENT:
            raise StoreFault(absent_text(n_absent, ref.uri))


def absent_text(n: int, uri: str) -> str:
    """One sentence for many inputs that are gone; one alone may have been deleted."""
    return f"{n} inputs in a row are gone that were there when the source was listed, the last is {uri}"


class _Pending:
    """Items of the next chunk. Crops are kept in one array, which every chunk of the unit uses again."""

    def __init__(self, unit: Unit, size: int) -> None:
        self.unit = unit
        self.index = 0
        self.images = np.empty((CHUNK_FRAMES, size, size, 3), np.uint8)
        self.rows: list[FrameRow] = []
        self.ok: list[int] = []
        self.targets: list[list[str]] = []

    def clear(self) -> None:
        """Begin the next chunk."""
        self.index += 1
        self.rows, self.ok, self.targets = [], [], []

    def add(self, item: Item) -> None:
        """Take an item."""
        if item.image is not None:
            self.images[len(self.ok)] = item.image
            self.ok.append(len(self.rows))
            self.targets.append(item.targets)
        self.rows.append(item.row)

    def chunk(self) -> Chunk:
        """The items so far; valid until the next `add`."""
        unit, images, ok = self.unit, self.images[: len(self.ok)], np.array(self.ok, np.int64)
        found = Chunk(unit.unit_id, self.index, False, self.rows, ok, images, self.targets)
        return found.with_maps(wanted_by=unit.wanted_by)


def _member(ref: SequenceRef, options: DecodeOptions, sequences: list[SequenceRow]) -> Iterator[Item]:
    """Faces of one input; appends its rows of table `sequences` at the end, the input's own first."""
    row = _row(ref)
    counts = _Counts()
    try:
        for item in read_input(ref, options, row):
            counts.add(item)
            item.row["sequence_id"] = face_id(ref.sequence_id, item.person)
            yield item
    except MediaError as error:
        if counts.n_frames[0]:  # what came before was good and is kept
            row.update({"status": "partial", "reason": f"ended early: {error}"})
        else:
            row.update({"status": "failed", "reason": str(error)})
    except (EnvironmentFault, InputError):
        raise
    except Exception as error:  # a fault of ours that one input shows must not stop the others; its row says so
        log.exception("unexpected error in %s", ref.sequence_id)
        row.update({"status": "failed", "reason": f"unexpected {type(error).__name__}: {error}"})
    sequences += counts.rows(row)


def _row(ref: SequenceRef) -> SequenceRow:
    """Columns of table `sequences` that are known before the input is read."""
    return {
        "sequence_id": ref.sequence_id,
        "input": ref.sequence_id,
        "subject_id": ref.subject_id,
        "uri": ref.uri,
        "kind": ref.kind,
        "emotion": ref.emotion,
        "split": ref.split,
        "status": "done",
    }


class _Counts:
    """Counts the frames and faces of each person of an input; 0 is the input's own row."""

    def __init__(self) -> None:
        self.n_frames: dict[int, int] = {0: 0}
        self.n_faces: dict[int, int] = {}
        self.n_changes = 0  # of the face that is taken for one

    def add(self, item: Item) -> None:
        """Count an item."""
        self.n_frames[item.person] = self.n_frames.get(item.person, 0) + 1
        self.n_faces[item.person] = self.n_faces.get(item.person, 0) + (item.image is not None)
        self.n_changes = max(self.n_changes, 0 if item.person else item.row["track_id"] or 0)

    def rows(self, row: SequenceRow) -> Iterator[SequenceRow]:
        """Rows of table `sequences`, from what is common to them."""
        if self.n_changes:
            times = "once" if self.n_changes == 1 else f"{self.n_changes} times"
            changed = f"the largest face changed {times}: one temporal prototype of perhaps several people"
            changed += " (faces.choose: tracked)"
            row["reason"] = "; ".join(filter(None, [row.get("reason"), changed]))
        for person, n in sorted(self.n_frames.items()):
            own: SequenceRow = {**row, "sequence_id": face_id(row["input"], person), "n_frames": n}
            if person:  # the source's labels are of one face, and nobody knows that it is this one
                own.update({"subject_id": None, "emotion": None})
            if row["status"] == "done" and not self.n_faces.get(person) and row.get("reason") is None:
                own["reason"] = NO_FACE if n else NO_FRAME
            yield own
