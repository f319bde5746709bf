"""Files of labels and landmarks as datasets write them: rows of a table, rows of numbers, one file per frame."""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.facs import au_name
from fer_batch.sources.fetch import list_files, read_bytes
from fer_batch.sources.listing import frame_number
from fer_batch.storage.store import has_scheme
from fer_batch.storage.tables import SCHEMAS
from fer_batch.types import MediaError

log = logging.getLogger(__name__)

Points = dict[int, NDArray[np.float32]]
Frames = Mapping[int, int] | None  # number in the file name to frame index; None where the input is no image sequence
Row = tuple[int, str, float | None, bool | None, str | None]  # as the columns of `annotation_table`

ANNOTATION_SCHEMA = pa.schema([field for field in SCHEMAS["annotations"] if field.name != "sequence_id"])


def annotation_table(rows: Iterable[Row]) -> pa.Table:
    """Table `annotations` without `sequence_id` from rows `(frame_index, target, intensity, occurrence, raw)`."""
    columns = list(zip(*rows, strict=True)) or [()] * len(ANNOTATION_SCHEMA)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, ANNOTATION_SCHEMA, strict=True)],
        ANNOTATION_SCHEMA,
    )


def warn_left_out(where: str, n_frames: int, first: int) -> None:
    """Log that labels of frames that do not exist are left out."""
    log.warning("%s: labels of %d frames that do not exist, such as %d, are left out", where, n_frames, first)


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
        warn_left_out(where, len(strange), min(strange))


def frame_of(uri: str, frames: Frames) -> int | None:
    """Frame index of a file of one frame's labels; None, with a warning, where there is no such frame."""
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
    """Rows of numbers in a text, separated by blanks, commas or tabs.

    Parameters
    ----------
    data
        UTF-8.
    where
        The file, for errors.
    n_columns
        Least number of columns; None takes any.

    Returns
    -------
    shape (rows, columns), float64
        (0, `n_columns`) of an empty text.

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
