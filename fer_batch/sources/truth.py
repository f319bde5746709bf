"""Ground truth of one input, whatever files its dataset keeps it in; read on the worker, never while listing.

An adapter registers how it reads under the name that its refs carry in `truth`. Rows are joined on the frame: a label
of a frame that does not exist is left out, a frame without a label has none.
"""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fer_batch.facs import DEFAULT_RULE, OccurrenceRule, au_name
from fer_batch.registry import Registry
from fer_batch.sources.fetch import list_files, read_bytes
from fer_batch.sources.labels import EXPRESSIONS, occurrence_of
from fer_batch.sources.listing import frame_number
from fer_batch.sources.sidecar import check_annotations, read_annotations, read_landmarks
from fer_batch.storage.store import has_scheme
from fer_batch.storage.tables import SCHEMAS
from fer_batch.types import MediaError, SequenceRef

log = logging.getLogger(__name__)

Points = dict[int, NDArray[np.float32]]
Frames = Mapping[int, int] | None  # number in the file name to frame index; None where the input is no image sequence
Row = tuple[int, str, float | None, bool | None, str | None]  # as the columns of `annotation_table`

ANNOTATIONS: Registry[Callable[[Sequence[str], Frames], pa.Table]] = Registry("form of annotations")
# Other than 68 points only say where the face is: their extent is its box.
LANDMARKS: Registry[Callable[[str, Frames], Points]] = Registry("form of landmarks")

_SCHEMA = pa.schema([field for field in SCHEMAS["annotations"] if field.name != "sequence_id"])


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
    """1, 0 or NaN of every row of table `annotations`, or of its columns `occurrence` and `intensity`."""
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
        points = LANDMARKS[ref.truth](ref.landmarks_uri, frames)
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


def truth_record(ref: SequenceRef) -> dict[str, Any]:
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
    table = ANNOTATIONS[record.get("truth", "csv")](record["annotation_uris"], frames)
    check_annotations(table, where)
    return _of_frames(table, record.get("n_files") or n_frames, where)


def _of_frames(table: pa.Table, n_frames: int | None, where: str) -> pa.Table:
    """The same table without the labels of frames that do not exist, which are told; None keeps them all."""
    if n_frames is None:
        return table
    exists = pc.less(table["frame_index"], n_frames)
    strange = table.filter(pc.invert(exists))["frame_index"]
    if not len(strange):
        return table
    _tell(where, len(pc.unique(strange)), pc.min(strange).as_py())
    return table.filter(exists)


def _tell(where: str, n_frames: int, first: int) -> None:
    log.warning("%s: labels of %d frames that do not exist, such as %d, are left out", where, n_frames, first)


def annotation_table(rows: Iterable[Row]) -> pa.Table:
    """Table `annotations` without `sequence_id` from rows `(frame_index, target, intensity, occurrence, raw)`."""
    columns = list(zip(*rows, strict=True)) or [()] * len(_SCHEMA)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)], _SCHEMA)


def still_annotations(labels: Iterable[Sequence[Any]], raw: Mapping[str, str] = MappingProxyType({})) -> pa.Table:
    """Labels of a still as annotations of frame 0: a class occurs, an Action Unit occurs from intensity 2."""
    rows = [(str(target), float(value)) for target, value in labels]
    return annotation_table((0, target, *occurrence_of(target, value), raw.get(target)) for target, value in rows)


def coded_rows(rows: NDArray[np.float64], frame: int, coded: Iterable[int]) -> Iterator[Row]:
    """One frame's list of Action Units that are present.

    Parameters
    ----------
    rows : shape (n, 2 or more)
        Action Unit, intensity 1 to 5 or 0 (present, not scored), and columns that are only kept in `raw`.
    frame
        Its index.
    coded
        Units that are absent where they are not listed.
    """
    listed: dict[int, NDArray[np.float64]] = {}
    for row in rows:
        if int(row[0]) not in listed or row[1] > listed[int(row[0])][0]:
            listed[int(row[0])] = row[1:]
    for au in sorted({*coded, *listed}):
        if au in listed:
            yield frame, au_name(au), float(listed[au][0]) or None, True, " ".join(f"{v:g}" for v in listed[au])
        else:
            yield frame, au_name(au), 0.0, False, None


def frame_rows(rows: Iterable[Row], frames: Frames, where: str) -> Iterator[Row]:
    """The same rows by frame index instead of the number in the file name; rows of frames that do not exist go."""
    if frames is None:
        yield from rows
        return
    strange = set()
    for number, *rest in rows:
        if number in frames:
            yield (frames[number], *rest)  # type: ignore[misc]
        else:
            strange.add(number)
    if strange:
        _tell(where, len(strange), min(strange))


def frame_of(uri: str, frames: Frames) -> int | None:
    """Frame index of a file of one frame's labels; None, and told, where there is no such frame."""
    number = frame_number(uri)
    index = number if frames is None or number is None else frames.get(number)
    if index is None:
        log.warning("%s: labels of a frame that does not exist", uri)
    return index


def numbered_files(folder: str, suffix: str) -> dict[int, str]:
    """URIs of the files of a folder whose name ends with `suffix` in any case, by the last number in their name."""
    found = {}
    for name in sorted(list_files(folder)):
        number = frame_number(name) if name.lower().endswith(suffix) and not name.startswith("._") else None
        if number is not None:
            if number in found:
                raise MediaError(f"{folder}: two files for frame {number}, such as {name}")
            found[number] = posixpath.join(folder, name)
    return found


def read_all(uris: Sequence[str]) -> list[bytes]:
    """Contents of many small files; an object store answers each slowly, so it is asked in parallel."""
    if len(uris) < 4 or not has_scheme(uris[0]):
        return [read_bytes(uri) for uri in uris]
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(read_bytes, uris))


def read_frames(folder: str, suffix: str, frames: Frames) -> dict[int, tuple[str, bytes]]:
    """URI and content of the per-frame files of a folder by number, of frames that exist."""
    files = numbered_files(folder, suffix)
    chosen = [number for number in files if frames is None or number in frames]
    if strange := files.keys() - set(chosen):
        log.warning("%s: files of %d frames that do not exist, such as %s", folder, len(strange), files[min(strange)])
    uris = [files[number] for number in chosen]
    return dict(zip(chosen, zip(uris, read_all(uris), strict=True), strict=True))


def number_table(data: bytes, where: str, n_columns: int | None = None) -> NDArray[np.float64]:
    """Rows of numbers in a text, separated by blanks, commas or tabs; shape (0, n) of an empty one.

    Raises
    ------
    MediaError
        If it holds something else, or rows of another length.
    """
    try:
        rows = [line.replace(",", " ").split() for line in data.decode("utf-8-sig").splitlines() if line.strip()]
        values = np.array([[float(value) for value in row] for row in rows], np.float64)
    except (ValueError, UnicodeDecodeError) as error:
        raise MediaError(f"{where}: expected rows of numbers: {error}") from None
    if not rows:
        return np.zeros((0, n_columns or 0))
    if n_columns is not None and values.shape[1] < n_columns:
        raise MediaError(f"{where}: expected {n_columns} numbers in a row, got {values.shape[1]}")
    return values


def _frames(files: Sequence[str]) -> dict[int, int] | None:
    numbers = [frame_number(uri) for uri in files]
    return {number: index for index, number in enumerate(numbers) if number is not None} if files else None


def _emotion(annotations: pa.Table) -> str | None:
    classes = annotations.filter(pc.is_in(annotations["target"], value_set=pa.array(EXPRESSIONS)))
    found = set(classes.filter(pa.array(occurs(classes, DEFAULT_RULE) == 1))["target"].to_pylist())
    found = found - {"neutral"} or found
    return found.pop() if len(found) == 1 else None


@ANNOTATIONS.register("csv")
def _csv_annotations(uris: Sequence[str], frames: Frames) -> pa.Table:
    (uri,) = uris
    table = read_annotations(read_bytes(uri), uri)
    return table.append_column("raw", pa.nulls(table.num_rows, pa.string())).cast(_SCHEMA)


@LANDMARKS.register("csv")
def _csv_landmarks(uri: str, frames: Frames) -> Points:
    return read_landmarks(read_bytes(uri), uri).by_frame()
