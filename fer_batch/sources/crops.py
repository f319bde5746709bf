"""Crops that were cut before, by a training or a study, as a source: nothing is decoded and no face is looked for.

    source: {format: crops, uri: OUT/_crops/1f0c, options: {chosen: FILE.parquet}}

`chosen` names some of them, a row each: `row` (number of the crop), `sequence_id`, `frame_index`, and what else is
known (`kind`, `subject_id`, `emotion`, `split`). Without it all crops are read. `truth` is a Parquet file of labels:
`sequence_id`, `frame_index`, `target`, `occurrence`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from fer_batch.sources.dataset import TruthForm, annotation_uris, register_form
from fer_batch.sources.fetch import read_bytes
from fer_batch.sources.label_files import ANNOTATION_SCHEMA, Frames
from fer_batch.sources.listing import FORMATS
from fer_batch.storage.crop_set import CropSet, open_crops, shard_table
from fer_batch.storage.manifest import digest
from fer_batch.storage.parquet import decode
from fer_batch.storage.store import Store
from fer_batch.types import InputError, SequenceRef

CROPS = "crops"
SUFFIX = ".parquet"
_NEEDED = ("row", "sequence_id", "frame_index")


@FORMATS.register(CROPS)
def list_crops(
    uri: str, pattern: Sequence[str], *, chosen: str | None = None, truth: str | None = None
) -> Iterator[SequenceRef]:
    """Inputs of a crop set, each with the numbers of its crops.

    Parameters
    ----------
    uri
        Of the crop set.
    pattern
        Has no meaning here.
    chosen
        Parquet file that names crops; none takes all.
    truth
        Parquet file of their labels.

    Raises
    ------
    InputError
        If there is no crop set, or a file is not what it should be.
    """
    if pattern:
        raise InputError("source.pattern: crops have no paths; name them with source.options.chosen")
    crops = CropSet(uri)
    if truth and not truth.endswith(SUFFIX):
        raise InputError(f"source.options.truth: expected a file {SUFFIX}, got {truth!r}")
    rows = _chosen(chosen) if chosen else _all(crops)
    version = digest([crops.store.read_bytes("crops.json").decode(), _digest_of(truth)])
    known = rows.column_names
    rows = rows.sort_by([("sequence_id", "ascending"), ("frame_index", "ascending")])
    ids = np.asarray(rows["sequence_id"].to_pylist(), object)
    bounds = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1], [True]])) if len(ids) else np.zeros(1, int)
    numbers = rows["row"].to_numpy()
    for first, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        own = {name: rows[name][first].as_py() for name in ("kind", "subject_id", "emotion", "split") if name in known}
        crops_of = tuple(int(number) for number in numbers[first:end])
        yield SequenceRef(
            sequence_id=ids[first],
            kind=own.pop("kind", None) or "image_sequence",
            uri=crops.store.uri,
            size=len(crops_of) * crops.size * crops.size * 3,
            version=digest([version, crops_of]),
            crops=crops_of,
            truth=CROPS,
            annotation_uris=(f"{Store(truth).uri}#{ids[first]}",) if truth else (),
            truth_version=version if truth else "",
            **own,
        )


def _chosen(uri: str) -> pa.Table:
    try:
        rows = decode(read_bytes(uri))
    except Exception as error:  # whatever a store or Arrow says
        raise InputError(f"source.options.chosen: {uri!r} cannot be read: {error}") from None
    missing = [name for name in _NEEDED if name not in rows.column_names]
    if missing:
        raise InputError(
            f"source.options.chosen: {uri!r} lacks the column {missing[0]!r}; needed: {', '.join(_NEEDED)}"
        )
    return rows


def _all(crops: CropSet) -> pa.Table:
    """Every crop, with the kind of its input; ids of several datasets begin with the dataset."""
    rows = crops.table()
    kinds = {(row["dataset"], row["sequence_id"]): row["kind"] for row in crops.inputs().to_pylist()}
    datasets, ids = rows["dataset"].to_pylist(), rows["sequence_id"].to_pylist()
    kind = [kinds.get(key) for key in zip(datasets, ids, strict=True)]
    several = len(set(datasets)) > 1
    named = [f"{dataset}/{one}" if several else one for dataset, one in zip(datasets, ids, strict=True)]
    return pa.table(
        {
            "row": np.arange(rows.num_rows, dtype=np.int64),
            "sequence_id": pa.array(named, pa.string()),
            "frame_index": rows["frame_index"],
            "kind": pa.array([as_sequence(one) for one in kind], pa.string()),
            "subject_id": rows["subject_id"],
            "emotion": rows["emotion"],
            "split": rows["split"],
        }
    )


def as_sequence(kind: str | None) -> str:
    """Kind of an input that is read from its crops: frames of a video are images in order."""
    return "still" if kind == "still" else "image_sequence"


def crop_rows(ref: SequenceRef) -> Iterator[dict[str, Any]]:
    """The row of every crop of an input, in order."""
    crops = open_crops(ref.uri)
    for number in ref.crops:
        name, row = crops.place(number)
        yield shard_table(ref.uri, name).slice(row, 1).to_pylist()[0]


def _digest_of(uri: str | None) -> str:
    return digest(read_bytes(uri).hex()) if uri else ""


@lru_cache(maxsize=2)
def _labels(uri: str) -> tuple[pa.Table, dict[str, tuple[int, int]]]:
    """Labels of all inputs sorted by input, and where those of each lie: first row and number."""
    table = decode(read_bytes(uri)).sort_by("sequence_id").combine_chunks()
    counts = table.group_by("sequence_id", use_threads=False).aggregate([([], "count_all")])
    ends = np.cumsum(counts["count_all"].to_numpy())
    names, numbers = counts["sequence_id"].to_pylist(), counts["count_all"].to_pylist()
    return table, {name: (int(end) - n, n) for name, end, n in zip(names, ends, numbers, strict=True)}


def _annotations(uris: Sequence[str], frames: Frames) -> pa.Table:
    """Labels of one input out of the file of all, `FILE#sequence_id`."""
    (named,) = uris
    stem, _, sequence_id = named.partition(SUFFIX + "#")  # either may have a # of its own
    table, places = _labels(stem + SUFFIX)
    rows = table.slice(*places.get(sequence_id, (0, 0)))
    n, known = rows.num_rows, rows.column_names
    columns = [rows[f.name].cast(f.type) if f.name in known else pa.nulls(n, f.type) for f in ANNOTATION_SCHEMA]
    return pa.table(columns, ANNOTATION_SCHEMA)


register_form(TruthForm(name=CROPS, annotations=_annotations, landmarks=None, n_label_files=annotation_uris))
