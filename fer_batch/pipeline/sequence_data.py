"""What phase 2 knows of one sequence, read from stage files or, for a new analysis, from the published tables.

Light columns are in memory; maps are read when asked for, and kept only where they are few, so that an hour of video
needs no more memory than a clip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fer_batch.storage.manifest import stage_file
from fer_batch.storage.parquet import Partition, decode, unpack_maps
from fer_batch.storage.stage import read_stage
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS

KEEP_BYTES = 256 << 20


class MapReader(Protocol):
    """Reads the stored maps of explained pairs."""

    def rows(self, pairs: NDArray[np.int64]) -> Iterator[pa.Table]:
        """Rows of table `relevance` of some pairs (indices into the sequence's pairs, sorted), piece by piece."""

    def crop(self, ok_row: int) -> bytes | None:
        """JPEG of the face crop of an ok frame, where it is stored."""


@dataclass(frozen=True)
class SequenceData:
    """One sequence.

    Attributes
    ----------
    sequence
        Its row of table `sequences`.
    frames
        Its rows of table `frames`.
    ok : shape (k,)
        Rows of `frames` that are ok.
    logits, probability : shape (k, A)
    pairs : shape (m, 2), sorted
        Explained (row among the ok frames, output).
    conservation : shape (m,)
    reader
        Where the maps are.
    """

    sequence: dict[str, Any]
    frames: pa.Table
    ok: NDArray[np.int64]
    logits: NDArray[np.float32]
    probability: NDArray[np.float32]
    pairs: NDArray[np.int64]
    conservation: NDArray[np.float32]
    reader: MapReader

    @cached_property
    def frame_index(self) -> NDArray[np.int64]:
        """Frame index of each ok frame."""
        return self.frames["frame_index"].to_numpy()[self.ok]

    @cached_property
    def landmarks(self) -> NDArray[np.float32]:
        """Landmarks of the ok frames in crop pixels, shape (k, 68, 2), NaN where there are none."""
        points = np.full((len(self.ok), 68, 2), np.nan, np.float32)
        column = self.frames["landmarks"].take(pa.array(self.ok))
        for row, value in enumerate(column):
            if value.is_valid:
                points[row] = np.asarray(value.values, np.float32).reshape(68, 2)
        return points

    def relevance_rows(self, pairs: NDArray[np.int64]) -> Iterator[pa.Table]:
        """Rows of table `relevance` of some pairs, piece by piece."""
        return self.reader.rows(pairs)

    def maps(self, pairs: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """Maps of some pairs in their order, shape (piece, h, w), logit units."""
        for rows in self.reader.rows(pairs):
            yield np.stack(unpack_maps(rows))


def _matrix(column: pa.ChunkedArray, width: int) -> NDArray[np.float32]:
    flat = pc.list_flatten(column)
    return np.asarray(flat.fill_null(np.nan), np.float32).reshape(-1, width)


class StageReader:
    """Maps of a sequence from the stage files of its unit, one file at a time."""

    def __init__(self, store: Store, unit_id: str, sequence_id: str, counts: list[int], keep: bool) -> None:
        self.store, self.unit_id, self.sequence_id = store, unit_id, sequence_id
        self.ends = np.cumsum(counts)  # explained pairs up to and with each file
        self.files_kept = len(counts) if keep else 1
        self._files: dict[int, pa.Table] = {}

    def _file(self, index: int) -> pa.Table:
        if index not in self._files:
            if len(self._files) >= self.files_kept:
                self._files.clear()
            table = read_stage(self.store.read_bytes(stage_file(self.unit_id, index)))
            rows = table.filter(pc.equal(table["sequence_id"], self.sequence_id))
            self._files[index] = rows.filter(pc.equal(rows["status"], "ok")).combine_chunks()
        return self._files[index]

    def rows(self, pairs: NDArray[np.int64]) -> Iterator[pa.Table]:
        """Rows of table `relevance`, one stage file at a time."""
        owner = np.searchsorted(self.ends, pairs, side="right")
        for index in np.unique(owner):
            table = self._file(int(index))
            start = int(self.ends[index - 1]) if index else 0
            yield self._relevance(table, pairs[owner == index] - start)

    def _relevance(self, table: pa.Table, local: NDArray[np.int64]) -> pa.Table:
        explained = pc.list_value_length(table["explained"]).to_numpy()
        frame = np.repeat(np.arange(table.num_rows), explained)[local]
        height, width = (table[name][0].as_py() for name in ("height", "width"))
        flat = np.asarray(pc.list_flatten(table["relevance"]), np.float32).reshape(-1, height * width)
        chosen = flat[local]
        offsets = pa.array(np.arange(len(local) + 1) * height * width, pa.int32())
        return pa.table(
            {
                "sequence_id": pa.array([self.sequence_id] * len(local)),
                "frame_index": table["frame_index"].take(pa.array(frame)),
                "target": pc.list_flatten(table["explained"]).take(pa.array(local)),
                "height": pa.array([height] * len(local), pa.int32()),
                "width": pa.array([width] * len(local), pa.int32()),
                "scale": pc.list_flatten(table["scale"]).take(pa.array(local)),
                "relevance": pa.ListArray.from_arrays(offsets, pa.array(chosen.reshape(-1))),
            }
        )

    def crop(self, ok_row: int) -> bytes | None:
        """JPEG of the face crop of an ok frame."""
        if not hasattr(self, "_crops"):
            self._crops: list[bytes | None] = []
            for index in range(len(self.ends)):
                self._crops.extend(self._file(index)["crop_jpeg"].to_pylist())
        return self._crops[ok_row]


def staged_unit(store: Store, commit: dict[str, Any], n_outputs: int) -> Iterator[SequenceData]:
    """Every done sequence of a committed unit, from its stage files."""
    unit_id = commit["unit_id"]
    files = [read_stage(store.read_bytes(stage_file(unit_id, i)), light=True) for i in range(commit["n_files"])]
    for sequence in commit["sequences"]:
        if sequence["status"] != "done":
            continue
        pieces = [table.filter(pc.equal(table["sequence_id"], sequence["sequence_id"])) for table in files]
        counts = [int(pc.sum(pc.list_value_length(piece["explained"])).as_py() or 0) for piece in pieces]
        table = pa.concat_tables(pieces) if pieces else pa.table({})
        if not table.num_rows:
            continue
        ok = np.flatnonzero(pc.equal(table["status"], "ok").to_numpy())
        good = table.take(pa.array(ok))
        outputs = np.asarray(pc.list_flatten(good["explained"]), np.int64)
        frame = np.repeat(np.arange(len(ok)), pc.list_value_length(good["explained"]).to_numpy())
        n_bytes = sum(counts) * 4 * int((table["height"][0].as_py() or 0) * (table["width"][0].as_py() or 0))
        conservation = pc.list_flatten(good["conservation"]).fill_null(np.nan)
        yield SequenceData(
            sequence=sequence,
            frames=table.select(SCHEMAS["frames"].names),
            ok=ok,
            logits=_matrix(good["logits"], n_outputs),
            probability=_matrix(good["probability"], n_outputs),
            pairs=np.stack([frame, outputs], 1).astype(np.int64),
            conservation=np.asarray(conservation, np.float32),
            reader=StageReader(store, unit_id, sequence["sequence_id"], counts, keep=n_bytes <= KEEP_BYTES),
        )


class TableReader:
    """Maps of a sequence from its rows of table `relevance`."""

    def __init__(self, relevance: pa.Table, crops: dict[int, bytes], frame_index: NDArray[np.int64]) -> None:
        self.relevance, self.crops, self.frame_index = relevance, crops, frame_index

    def rows(self, pairs: NDArray[np.int64]) -> Iterator[pa.Table]:
        """Rows of table `relevance`, at most 512 at a time; `target` is the output's index, as in a stage file."""
        for start in range(0, len(pairs), 512):
            yield self.relevance.take(pa.array(pairs[start : start + 512]))

    def crop(self, ok_row: int) -> bytes | None:
        """JPEG of an earlier exemplar's crop; other crops were not kept."""
        return self.crops.get(int(self.frame_index[ok_row]))


def published_shard(store: Store, partition: Partition, shard: str, targets: Sequence[str]) -> Iterator[SequenceData]:
    """Every done sequence of a published shard, from its tables."""

    def load(name: str) -> pa.Table:
        return decode(store.read_bytes(f"{partition.folder(name)}/{shard}.parquet"))

    sequences, frames, detections, relevance, prototypes = map(
        load, ("sequences", "frames", "detections", "relevance", "prototypes")
    )
    number = pa.array(targets)
    for sequence in sequences.to_pylist():
        if sequence["status"] != "done":
            continue
        mine = pc.equal(frames["sequence_id"], sequence["sequence_id"])
        own = frames.filter(mine)
        ok = np.flatnonzero(pc.equal(own["status"], "ok").to_numpy())
        found = detections.filter(pc.equal(detections["sequence_id"], sequence["sequence_id"]))
        maps = relevance.filter(pc.equal(relevance["sequence_id"], sequence["sequence_id"]))
        index = own["frame_index"].to_numpy()[ok]
        row_of = {frame: row for row, frame in enumerate(index.tolist())}
        outputs = pc.index_in(maps["target"], number).to_numpy().astype(np.int64)
        frame = np.array([row_of[f] for f in maps["frame_index"].to_pylist()], np.int64)
        shape = (len(ok), len(targets))
        logits, probability = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        conservation = np.full(shape, np.nan, np.float32)
        rows = np.array([row_of[f] for f in found["frame_index"].to_pylist()], np.int64)
        columns = pc.index_in(found["target"], number).to_numpy().astype(np.int64)
        for name, array in (("logit", logits), ("probability", probability), ("conservation", conservation)):
            array[rows, columns] = np.asarray(found[name].fill_null(np.nan), np.float32)
        pictures = prototypes.filter(pc.equal(prototypes["sequence_id"], sequence["sequence_id"]))
        crops = {
            frame_index: jpeg
            for frame_index, jpeg in zip(
                pictures["exemplar_frame"].to_pylist(), pictures["exemplar_jpeg"].to_pylist(), strict=True
            )
            if jpeg is not None
        }
        maps = maps.set_column(maps.schema.get_field_index("target"), "target", pa.array(outputs, pa.int32()))
        yield SequenceData(
            sequence=sequence,
            frames=own,
            ok=ok,
            logits=logits,
            probability=probability,
            pairs=np.stack([frame, outputs], 1),
            conservation=conservation[frame, outputs],
            reader=TableReader(maps, crops, index),
        )
