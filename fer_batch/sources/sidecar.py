"""Ground truth that lies beside an input as CSV.

Annotations are long: `frame_index,target,intensity,occurrence`, an empty field where the annotation does not say; one
of the last two columns may be missing.
Landmarks are wide: `frame_index,x0..x67,y0..y67` in displayed source pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from fer_batch.facs import au_id, au_name
from fer_batch.types import MediaError

REQUIRED = {"frame_index", "target"}
EITHER = ("intensity", "occurrence")  # of annotations: one is enough
# As people, pandas and pandas with gaps write occurrence.
TRUE, FALSE = ["1", "true", "True", "TRUE", "1.0"], ["0", "false", "False", "FALSE", "0.0"]
LANDMARK_COLUMNS = [f"x{i}" for i in range(68)] + [f"y{i}" for i in range(68)]
_ANNOTATION_TYPES = {
    "frame_index": pa.int64(),
    "target": pa.string(),
    "intensity": pa.float32(),
    "occurrence": pa.bool_(),
}


@dataclass(frozen=True)
class LandmarkTrack:
    """Landmarks of some frames of one input.

    Attributes
    ----------
    frame_index : shape (n,)
    points : shape (n, 68, 2), displayed source pixels
    """

    frame_index: NDArray[np.int64]
    points: NDArray[np.float32]

    def by_frame(self) -> dict[int, NDArray[np.float32]]:
        """Points of each frame that has them all: shape (68, 2), float32, displayed source pixels, by frame index."""
        finite = np.isfinite(self.points).all((1, 2))
        return {int(self.frame_index[i]): self.points[i] for i in np.flatnonzero(finite)}


def _read(
    data: bytes, where: str, expected: list[str], types: dict[str, pa.DataType], either: tuple[str, ...] = ()
) -> pa.Table:
    """A CSV file with the expected columns, but that of those in `either` one is enough and the others are NULL."""
    options = pacsv.ConvertOptions(
        column_types=types,
        include_columns=expected,
        include_missing_columns=bool(either),
        true_values=TRUE,
        false_values=FALSE,
    )
    try:
        found = set(pacsv.open_csv(pa.BufferReader(data)).schema.names) if either else set(expected)
        missing = [name for name in expected if name not in found and name not in either]
        if missing or (either and not found.intersection(either)):
            raise KeyError(f"the file has no {missing[0] if missing else ' and no '.join(either)}")
        table = pacsv.read_csv(pa.BufferReader(data), convert_options=options)
    except (pa.ArrowInvalid, KeyError, pa.ArrowKeyError) as error:
        said = error.args[0] if error.args else error  # the text of a KeyError is quoted
        raise MediaError(f"{where}: expected the columns {', '.join(expected[:4])} ...: {said}") from error
    for name in REQUIRED & set(expected):
        if table[name].null_count:
            raise MediaError(f"{where}: {table[name].null_count} rows have no {name}")
    return table


def read_landmarks(data: bytes, where: str) -> LandmarkTrack:
    """Landmarks of a `landmarks.csv`.

    Raises
    ------
    MediaError
        If columns are missing or not numbers; `where` names the file.
    """
    types = {"frame_index": pa.int64(), **{name: pa.float32() for name in LANDMARK_COLUMNS}}
    table = _read(data, where, list(types), types)
    columns = [table[name].to_numpy() for name in LANDMARK_COLUMNS]
    points = np.stack(columns, 1).reshape(-1, 2, 68).transpose(0, 2, 1)
    return LandmarkTrack(table["frame_index"].to_numpy(), np.ascontiguousarray(points, np.float32))


def read_annotations(data: bytes, where: str) -> pa.Table:
    """Columns `frame_index, target, intensity, occurrence` of an `annotations.csv`.

    Raises
    ------
    MediaError
        If columns are missing or of another type, an intensity is not in 0 to 5, a frame is negative, or a frame has
        two rows of one target; `where` names the file.
    """
    table = _read(data, where, list(_ANNOTATION_TYPES), _ANNOTATION_TYPES, EITHER)
    names = table["target"].combine_chunks().dictionary_encode()
    spelled = pa.array([_spelled(name) for name in names.dictionary.to_pylist()], pa.string())
    table = table.set_column(table.schema.get_field_index("target"), "target", spelled.take(names.indices))
    check_annotations(table, where)
    return table


def _spelled(target: str) -> str:
    """`AU01` for `AU1`, `AU 1`, `au01` and `1`: the name that models and tables use."""
    name = target.replace(" ", "")
    number = au_id(f"AU{name}" if name.isdigit() else name.upper())
    return target if number is None else au_name(number)


def check_annotations(table: pa.Table, where: str) -> None:
    """Refuse an annotation that cannot be.

    Raises
    ------
    MediaError
        If an Action Unit's intensity is not in 0 to 5, a frame is negative, or a frame has two rows of one target.
    """
    outside = pc.or_(pc.less(table["intensity"], 0), pc.greater(table["intensity"], 5))
    wrong = table.filter(pc.and_(outside, pc.starts_with(table["target"], "AU")))
    if wrong.num_rows:
        row = wrong.slice(0, 1).to_pylist()[0]
        raise MediaError(
            f"{where}: expected intensities of 0 to 5, got {row['intensity']:g} for {row['target']} "
            f"in frame {row['frame_index']}"
        )
    if (pc.min(table["frame_index"]).as_py() or 0) < 0:
        raise MediaError(f"{where}: frames are numbered from 0, got {pc.min(table['frame_index']).as_py()}")
    counts = table.group_by(["frame_index", "target"], use_threads=False).aggregate([([], "count_all")])
    twice = counts.filter(pc.greater(counts["count_all"], 1))
    if twice.num_rows:
        row = twice.sort_by("frame_index").slice(0, 1).to_pylist()[0]
        raise MediaError(
            f"{where}: frame {row['frame_index']} has {row['count_all']} rows of {row['target']}; expected one "
            "(make one of several coders first)"
        )
