"""Videos with the CSV that OpenFace 2 made of each: its landmarks, and its predictions where they are asked for."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from fer_batch.facs import au_name
from fer_batch.sources.dataset import Dataset, TruthForm, annotation_uris, register
from fer_batch.sources.fetch import read_bytes
from fer_batch.sources.label_files import Frames, Points, annotation_table
from fer_batch.sources.listing import VIDEO_SUFFIXES
from fer_batch.sources.tree import Tree
from fer_batch.types import InputError, MediaError, SequenceRef


def list_openface(tree: Tree, *, annotations: bool = False) -> Iterator[SequenceRef]:
    """One row per video. `annotations` takes OpenFace's Action Units for ground truth, which they are not."""
    sheets: dict[str, list[Any]] = {}
    for entry in tree.walk("", (".csv",)):
        sheets.setdefault(posixpath.splitext(posixpath.basename(entry.path))[0], []).append(entry)
    for entry in tree.walk("", VIDEO_SUFFIXES):
        folder, name = posixpath.split(posixpath.splitext(entry.path)[0])
        found = sheets.get(name, [])
        beside = [sheet for sheet in found if posixpath.dirname(sheet.path) == folder] or found
        if len(beside) > 1:
            raise InputError(f"{tree.url(entry.path)}: which CSV is its own, {' or '.join(s.path for s in beside)}?")
        uri = tree.url(beside[0].path) if beside else None
        yield tree.file(
            entry.path,
            "video",
            entry,
            beside,
            truth=TRUTH.name,
            annotation_uris=(uri,) if uri and annotations else (),
            landmarks_uri=uri,
        )


def read_landmarks(uri: str, frames: Frames) -> Points:
    """68 points of the frames that OpenFace tracked."""
    table = _read(uri)
    columns = [f"{axis}_{i}" for i in range(68) for axis in "xy"]
    if not set(columns) <= set(table.column_names):
        raise MediaError(f"{uri}: expected the columns x_0 ... y_67; run OpenFace with -2Dfp")
    points = np.stack([np.asarray(table[name], np.float32) for name in columns], 1).reshape(-1, 68, 2)
    index = _frame_index(table)
    return {int(index[i]): points[i] for i in np.flatnonzero(_tracked(table))[::-1]}  # of several faces, the first


def read_annotations(uris: Sequence[str], frames: Frames) -> pa.Table:
    """AUxx_c as occurrence and AUxx_r as intensity of the frames that OpenFace tracked."""
    table = _read(uris[0])
    index = _frame_index(table)
    _, first = np.unique(index, return_index=True)
    rows = first[_tracked(table)[first]].tolist()
    units = sorted({int(name[2:4]) for name in table.column_names if re.fullmatch(r"AU\d\d_[rc]", name)})
    values = {name: np.asarray(table[name], float) for name in table.column_names if name.startswith("AU")}
    found = []
    for au in units:
        present, strength = values.get(f"AU{au:02d}_c"), values.get(f"AU{au:02d}_r")
        for i in rows:
            intensity = None if strength is None else float(strength[i])
            occurrence = None if present is None else bool(present[i])
            found.append((int(index[i]), au_name(au), intensity, occurrence, "OpenFace"))
    return annotation_table(found)


def _read(uri: str) -> pa.Table:
    try:
        table = pacsv.read_csv(pa.BufferReader(read_bytes(uri)))
    except pa.ArrowInvalid as error:
        raise MediaError(f"{uri}: expected a CSV of OpenFace: {error}") from None
    table = table.rename_columns([name.strip() for name in table.column_names])  # it writes ", " between columns
    if "frame" not in table.column_names:
        raise MediaError(f"{uri}: expected the column 'frame', got {', '.join(table.column_names[:6])}")
    return table


def _tracked(table: pa.Table) -> NDArray[np.bool_]:
    return np.asarray(table["success"]) > 0 if "success" in table.column_names else np.ones(table.num_rows, bool)


def _frame_index(table: pa.Table) -> NDArray[np.int64]:
    return np.asarray(table["frame"], np.int64) - 1  # OpenFace counts from 1


TRUTH = TruthForm(
    name="openface",
    annotations=read_annotations,
    landmarks=read_landmarks,
    n_label_files=annotation_uris,
)

OPENFACE = register(
    Dataset(
        name="openface",
        title="OpenFace's output",
        row_per="video",
        labels="none, or its predictions",
        face="68 landmarks of the CSV beside",
        listing=list_openface,
        options={
            "annotations": "`annotations: true` takes OpenFace's Action Units for ground truth, which they are not"
        },
        marks=(),
        tables=(),
        truth=TRUTH,
        codes=None,
        scales=(),
        whole=None,
        job=None,
        is_cropped=False,
        not_read=None,
    )
)
