"""Ground truth of one input, whatever files its dataset keeps it in; read on the worker, never while listing.

The name that a ref carries in `truth` says which reader takes its files: `sources.dataset.TruthForm`. Rows are
joined on the frame: a label of a frame that does not exist is left out, a frame without a label has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fer_batch.facs import DEFAULT_RULE, OccurrenceRule
from fer_batch.sources.dataset import TruthForm, annotation_uris, register_form, truth_form
from fer_batch.sources.fetch import read_bytes
from fer_batch.sources.label_files import ANNOTATION_SCHEMA, Frames, Points, annotation_table, warn_left_out
from fer_batch.sources.labels import EXPRESSIONS, occurrence_of
from fer_batch.sources.listing import frame_number
from fer_batch.sources.sidecar import check_annotations, read_annotations, read_landmarks
from fer_batch.types import SequenceRef


@dataclass(frozen=True)
class Truth:
    """What is known of an input.

    Attributes
    ----------
    points
        Landmarks by frame index, shape (68, 2), displayed source pixels; only frames that have them all.
    boxes
        Face box by frame index where there are no complete landmarks but a box, or some of the points.
    annotations
        Table `annotations` without `sequence_id`.
    emotion
        The one expression that any frame shows; `neutral` only where there is no other.
    """

    points: Points
    boxes: dict[int, tuple[float, float, float, float]]
    annotations: pa.Table
    emotion: str | None

    def present(self, rule: OccurrenceRule = DEFAULT_RULE) -> dict[int, list[str]]:
        """Targets that are annotated as present, by frame index."""
        found: dict[int, list[str]] = {}
        rows = self.annotations.filter(pa.array(occurs(self.annotations, rule) == 1))
        for frame, target in zip(rows["frame_index"].to_pylist(), rows["target"].to_pylist(), strict=True):
            found.setdefault(frame, []).append(target)
        return found


def occurs(annotations: pa.Table, rule: OccurrenceRule) -> NDArray[np.float32]:
    """Whether each row of table `annotations`, or of its columns `occurrence` and `intensity`, says that it occurs.

    Returns
    -------
    shape (rows,), float32
        1, 0, or NaN where the rule leaves it open.
    """
    stated, graded = (
        annotations[name].cast(pa.float32()).to_numpy(zero_copy_only=False) for name in ("occurrence", "intensity")
    )
    return rule.occurs(stated, graded)


def read_truth(ref: SequenceRef) -> Truth:
    """Landmarks and annotations of an input.

    Raises
    ------
    MediaError
        If a file that was listed cannot be read or holds what cannot be.
    fer_batch.sources.fetch.StoreFault
        If the store does not answer.
    """
    frames = _frames(ref.files)
    points: Points = {}
    if len(ref.landmarks):
        points = {0: np.asarray(ref.landmarks, np.float32).reshape(68, 2)}
    elif ref.landmarks_uri:
        points = truth_form(ref.truth).read_landmarks(ref.landmarks_uri, frames)
    boxes = {0: tuple(float(v) for v in ref.face_box)} if ref.face_box else {}
    whole = {index: face for index, face in points.items() if len(face) == 68 and np.isfinite(face).all()}
    for index, face in points.items():
        known = face[np.isfinite(face).all(1)]
        if index not in whole and len(known) > 1:
            boxes[index] = (*map(float, known.min(0)), *map(float, known.max(0)))  # type: ignore[assignment]
    annotations = annotations_of(truth_record(ref), frames)
    return Truth(
        points=whole,
        boxes=boxes,  # type: ignore[arg-type]
        annotations=annotations,
        emotion=ref.emotion or _emotion(annotations),
    )


def truth_record(ref: SequenceRef) -> dict[str, object]:
    """What phase 2 needs to read the annotations of an input again, as JSON values."""
    numbers = _frames(ref.files) if ref.annotation_uris and ref.truth != "csv" else None
    return {
        "sequence_id": ref.sequence_id,
        "truth": ref.truth,
        "annotation_uris": list(ref.annotation_uris),
        "labels": [list(label) for label in ref.labels],
        "raw_labels": dict(ref.raw_labels),
        "truth_version": ref.truth_version,
        "frame_numbers": list(numbers) if numbers else None,
        "n_files": len(ref.files) or None,
    }


def annotations_of(record: Mapping[str, Any], frames: Frames = None, n_frames: int | None = None) -> pa.Table:
    """Table `annotations` without `sequence_id` from a `truth_record`.

    Parameters
    ----------
    record
        What `truth_record` gave.
    frames
        Of an image sequence; taken from the record where not given.
    n_frames
        Of a video, where it was decoded to its end: labels of later frames are left out. None keeps them all.

    Raises
    ------
    MediaError, StoreFault
        As `read_truth`.
    """
    if not record["annotation_uris"]:
        return still_annotations(record["labels"], record.get("raw_labels") or {})
    if frames is None and record.get("frame_numbers"):
        frames = {number: index for index, number in enumerate(record["frame_numbers"])}
    where = record["annotation_uris"][0]
    table = truth_form(record.get("truth", "csv")).read_annotations(record["annotation_uris"], frames)
    check_annotations(table, where)
    return _of_frames(table, record.get("n_files") or n_frames, where)


def _of_frames(table: pa.Table, n_frames: int | None, where: str) -> pa.Table:
    """The same table without the labels of frames that do not exist, with a warning; None keeps them all."""
    if n_frames is None:
        return table
    exists = pc.less(table["frame_index"], n_frames)
    strange = table.filter(pc.invert(exists))["frame_index"]
    if not len(strange):
        return table
    warn_left_out(where, len(pc.unique(strange)), pc.min(strange).as_py())
    return table.filter(exists)


def still_annotations(labels: Iterable[Sequence[Any]], raw: Mapping[str, str] = MappingProxyType({})) -> pa.Table:
    """Labels of a still as annotations of frame 0: a class occurs, an Action Unit occurs from intensity 2."""
    rows = [(str(target), float(value)) for target, value in labels]
    return annotation_table((0, target, *occurrence_of(target, value), raw.get(target)) for target, value in rows)


def _frames(files: Sequence[str]) -> dict[int, int] | None:
    numbers = [frame_number(uri) for uri in files]
    return {number: index for index, number in enumerate(numbers) if number is not None} if files else None


def _emotion(annotations: pa.Table) -> str | None:
    classes = annotations.filter(pc.is_in(annotations["target"], value_set=pa.array(EXPRESSIONS)))
    found = set(classes.filter(pa.array(occurs(classes, DEFAULT_RULE) == 1))["target"].to_pylist())
    found = found - {"neutral"} or found
    return found.pop() if len(found) == 1 else None


def _csv_annotations(uris: Sequence[str], frames: Frames) -> pa.Table:
    (uri,) = uris
    table = read_annotations(read_bytes(uri), uri)
    return table.append_column("raw", pa.nulls(table.num_rows, pa.string())).cast(ANNOTATION_SCHEMA)


def _csv_landmarks(uri: str, frames: Frames) -> Points:
    return read_landmarks(read_bytes(uri), uri).by_frame()


register_form(
    TruthForm(name="csv", annotations=_csv_annotations, landmarks=_csv_landmarks, n_label_files=annotation_uris)
)
