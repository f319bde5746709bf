"""What phase 2 knows of one sequence, read from stage files or, for a new analysis, from the published tables.

Light columns are in memory; maps are read when asked for, and kept only where they are few, so that an hour of video
needs no more memory than a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_batch.sources.fetch import StoreFault
from fer_batch.storage.manifest import stage_file
from fer_batch.storage.markers import Commit, Row
from fer_batch.storage.parquet import Partition, decode, unpack_maps
from fer_batch.storage.stage import read_stage
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS
from fer_batch.types import READ

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

    sequence: Row
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


class _Recent:
    """What was read last, up to `KEEP_BYTES` and at least one."""

    def __init__(self) -> None:
        self._tables: dict[Hashable, pa.Table] = {}
        self._n_bytes = 0

    def get(self, key: Hashable, load: Callable[[], pa.Table]) -> pa.Table:
        """The table of a key, loaded where it is not kept."""
        if key not in self._tables:
            table = load()
            self._n_bytes += table.nbytes
            while self._tables and self._n_bytes > KEEP_BYTES:
                self._n_bytes -= self._tables.pop(next(iter(self._tables))).nbytes
            self._tables[key] = table
        return self._tables[key]


@contextmanager
def _reading(where: str) -> Iterator[None]:
    # What cannot be read says nothing about the sequence, so it must not become a failed row.
    try:
        yield
    except Exception as error:
        raise StoreFault(f"reading {where} failed: {type(error).__name__}: {error}") from error


class StageFiles:
    """Ok rows of the stage files of one unit, shared by its sequences."""

    def __init__(self, store: Store, unit_id: str) -> None:
        self.store, self.unit_id = store, unit_id
        self._recent = _Recent()

    def light(self, index: int) -> pa.Table:
        """All rows of a file without crops and maps."""
        path = stage_file(self.unit_id, index)
        with _reading(self.store.url(path)):
            return read_stage(self.store.read_bytes(path), light=True)

    def __getitem__(self, index: int) -> pa.Table:
        def load() -> pa.Table:
            path = stage_file(self.unit_id, index)
            with _reading(self.store.url(path)):
                table = read_stage(self.store.read_bytes(path))
            return table.filter(pc.equal(table["status"], "ok")).combine_chunks()

        return self._recent.get(index, load)


class StageReader:
    """Maps of a sequence from the stage files of its unit, one file at a time.

    Parameters
    ----------
    files
        Of the unit.
    sequence_id, alone
        Whose rows, and whether every row of the unit is.
    n_pairs, n_ok
        Explained pairs and ok frames of the sequence in each file.
    """

    def __init__(self, files: StageFiles, sequence_id: str, alone: bool, n_pairs: list[int], n_ok: list[int]) -> None:
        self.files, self.sequence_id, self.alone = files, sequence_id, alone
        self.ends, self.ok_ends = np.cumsum(n_pairs), np.cumsum(n_ok)

    def _file(self, index: int) -> pa.Table:
        table = self.files[index]
        return table if self.alone else table.filter(pc.equal(table["sequence_id"], self.sequence_id)).combine_chunks()

    def rows(self, pairs: NDArray[np.int64]) -> Iterator[pa.Table]:
        """Rows of table `relevance`, one stage file at a time."""
        owner = np.searchsorted(self.ends, pairs, side="right")
        for index in np.unique(owner):
            start = int(self.ends[index - 1]) if index else 0
            yield self._relevance(self._file(int(index)), pairs[owner == index] - start)

    def _relevance(self, table: pa.Table, local: NDArray[np.int64]) -> pa.Table:
        explained = pc.list_value_length(table["explained"]).to_numpy()
        frame = np.repeat(np.arange(table.num_rows), explained)[local]
        height, width = (table[name][0].as_py() for name in ("height", "width"))
        flat = np.asarray(pc.list_flatten(table["relevance"]), np.float32).reshape(-1, height * width)
        scale = pc.list_flatten(table["scale"]).take(pa.array(local)).combine_chunks()
        offsets = pa.array(np.arange(len(local) + 1) * height * width, pa.int32())
        undefined = pc.is_null(scale)
        return pa.table(
            {
                "sequence_id": pa.array([self.sequence_id] * len(local)),
                "frame_index": table["frame_index"].take(pa.array(frame)),
                "target": pc.list_flatten(table["explained"]).take(pa.array(local)),
                "height": pa.array([height] * len(local), pa.int32()),
                "width": pa.array([width] * len(local), pa.int32()),
                "scale": scale,
                "relevance": pa.ListArray.from_arrays(offsets, pa.array(flat[local].reshape(-1)), mask=undefined),
            }
        )

    def crop(self, ok_row: int) -> bytes | None:
        """JPEG of the face crop of an ok frame."""
        index = int(np.searchsorted(self.ok_ends, ok_row, side="right"))
        start = int(self.ok_ends[index - 1]) if index else 0
        return self._file(index)["crop_jpeg"][ok_row - start].as_py()


def staged_unit(store: Store, commit: Commit, n_outputs: int) -> Iterator[tuple[Row, SequenceData | None]]:
    """Row of table `sequences` of each input of a committed unit, and its data from the stage files.

    None in the place of the data where an input was not read or has no frames.
    """
    files = StageFiles(store, commit.unit_id)
    light = [files.light(index) for index in range(commit.n_files)]
    alone = all(len(pc.unique(table["sequence_id"])) == 1 for table in light) and len(commit.sequences) == 1
    for row in commit.sequences:
        yield row, _staged(files, light, row, alone, n_outputs) if row["status"] in READ else None


def _staged(files: StageFiles, light: list[pa.Table], row: Row, alone: bool, n_outputs: int) -> SequenceData | None:
    own = [table.filter(pc.equal(table["sequence_id"], row["sequence_id"])) for table in light]
    if not sum(table.num_rows for table in own):
        return None
    table = pa.concat_tables(own)
    ok = np.flatnonzero(pc.equal(table["status"], "ok").to_numpy())
    good = table.take(pa.array(ok))
    outputs = np.asarray(pc.list_flatten(good["explained"]), np.int64)
    frame = np.repeat(np.arange(len(ok)), pc.list_value_length(good["explained"]).to_numpy())
    conservation = pc.list_flatten(good["conservation"]).fill_null(np.nan)
    n_pairs = [int(pc.sum(pc.list_value_length(piece["explained"])).as_py() or 0) for piece in own]
    n_ok = [int(pc.sum(pc.equal(piece["status"], "ok")).as_py() or 0) for piece in own]
    return SequenceData(
        sequence=row,
        frames=table.select(SCHEMAS["frames"].names),
        ok=ok,
        logits=_matrix(good["logits"], n_outputs),
        probability=_matrix(good["probability"], n_outputs),
        pairs=np.stack([frame, outputs], 1).astype(np.int64),
        conservation=np.asarray(conservation, np.float32),
        reader=StageReader(files, row["sequence_id"], alone, n_pairs, n_ok),
    )


class ShardTable:
    """One file of a shard, whose rows lie together by sequence; only the row groups that are asked for are read."""

    def __init__(self, store: Store, path: str) -> None:
        self.where = store.url(path)
        with _reading(self.where):
            self._file = pq.ParquetFile(store.fs.open(store.path(path), "rb"), read_dictionary=["sequence_id"])
            codes = self._file.read(columns=["sequence_id"])["sequence_id"].unify_dictionaries().combine_chunks()
        groups = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._ends = np.cumsum(groups, dtype=np.int64)
        self._spans = _spans(codes)
        self._recent = _Recent()

    def span(self, sequence_id: str) -> tuple[int, int]:
        """First row of a sequence and the row after its last."""
        return self._spans.get(sequence_id, (0, 0))

    def rows(self, start: int, stop: int, columns: tuple[str, ...] | None = None) -> Iterator[pa.Table]:
        """Rows from `start` to before `stop`, by row group."""
        if stop <= start:
            return
        first_group, last_group = np.searchsorted(self._ends, [start, stop - 1], side="right").tolist()
        for group in range(first_group, last_group + 1):
            table = self._recent.get((group, columns), partial(self._group, group, columns))
            first = int(self._ends[group - 1]) if group else 0
            low = max(start - first, 0)
            yield table.slice(low, min(stop - first, table.num_rows) - low)

    def _group(self, group: int, columns: tuple[str, ...] | None) -> pa.Table:
        with _reading(self.where):
            return self._file.read_row_group(group, columns=list(columns) if columns else None).combine_chunks()

    def of(self, sequence_id: str, columns: tuple[str, ...] | None = None) -> pa.Table:
        """All rows of a sequence."""
        empty = self._file.schema_arrow.empty_table()
        found = list(self.rows(*self.span(sequence_id), columns=columns))
        return pa.concat_tables(found) if found else empty.select(columns) if columns else empty


def _spans(codes: pa.Array) -> dict[str, tuple[int, int]]:
    if not len(codes):
        return {}
    index = np.asarray(codes.indices)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(index)) + 1]).tolist()
    names = codes.dictionary.take(pa.array(index[starts])).to_pylist()
    return dict(zip(names, zip(starts, [*starts[1:], len(index)], strict=True), strict=True))


class TableReader:
    """Maps of a sequence from its rows of table `relevance`."""

    def __init__(
        self,
        relevance: ShardTable,
        sequence_id: str,
        targets: pa.Array,
        crops: dict[int, bytes],
        frame_index: NDArray[np.int64],
    ) -> None:
        self.relevance, self.sequence_id, self.targets = relevance, sequence_id, targets
        self.crops, self.frame_index = crops, frame_index

    def rows(self, pairs: NDArray[np.int64]) -> Iterator[pa.Table]:
        """Rows of table `relevance`, by row group; `target` is the output's index, as in a stage file."""
        if not len(pairs):
            return
        wanted = np.asarray(pairs) + self.relevance.span(self.sequence_id)[0]
        start = int(wanted[0])
        for table in self.relevance.rows(start, int(wanted[-1]) + 1):
            chosen = wanted[(wanted >= start) & (wanted < start + table.num_rows)] - start
            start += table.num_rows
            if len(chosen):
                rows = table.take(pa.array(chosen))
                outputs = pc.index_in(rows["target"], self.targets)
                yield rows.set_column(rows.schema.get_field_index("target"), "target", outputs)

    def crop(self, ok_row: int) -> bytes | None:
        """JPEG of an earlier exemplar's crop; other crops were not kept."""
        return self.crops.get(int(self.frame_index[ok_row]))


def published_shard(
    store: Store, partition: Partition, shard: str, targets: Sequence[str]
) -> Iterator[tuple[dict[str, Any], SequenceData | None]]:
    """Row of table `sequences` of each input of a published shard, and its data from the tables."""

    def path(name: str) -> str:
        return f"{partition.folder(name)}/{shard}.parquet"

    with _reading(store.url(path("sequences"))):
        sequences = decode(store.read_bytes(path("sequences")))
    tables = {name: ShardTable(store, path(name)) for name in ("frames", "detections", "relevance", "prototypes")}
    for row in sequences.to_pylist():
        yield row, _published(tables, row, pa.array(targets)) if row["status"] in READ else None


def _published(tables: dict[str, ShardTable], row: dict[str, Any], targets: pa.Array) -> SequenceData | None:
    sequence_id = row["sequence_id"]
    frames, found, pictures = (tables[name].of(sequence_id) for name in ("frames", "detections", "prototypes"))
    if not frames.num_rows:
        return None
    maps = tables["relevance"].of(sequence_id, ("frame_index", "target"))
    ok = np.flatnonzero(pc.equal(frames["status"], "ok").to_numpy())
    index = frames["frame_index"].to_numpy()[ok]
    outputs = pc.index_in(maps["target"], targets).to_numpy().astype(np.int64)
    frame = np.searchsorted(index, maps["frame_index"].to_numpy())
    shape = (len(ok), len(targets))
    logits, probability = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    conservation = np.full(shape, np.nan, np.float32)
    rows = np.searchsorted(index, found["frame_index"].to_numpy())
    columns = pc.index_in(found["target"], targets).to_numpy().astype(np.int64)
    for name, array in (("logit", logits), ("probability", probability), ("conservation", conservation)):
        array[rows, columns] = np.asarray(found[name].fill_null(np.nan), np.float32)
    jpegs = zip(pictures["exemplar_frame"].to_pylist(), pictures["exemplar_jpeg"].to_pylist(), strict=True)
    crops = {frame_index: jpeg for frame_index, jpeg in jpegs if jpeg is not None}
    return SequenceData(
        sequence=row,
        frames=frames,
        ok=ok,
        logits=logits,
        probability=probability,
        pairs=np.stack([frame, outputs], 1),
        conservation=conservation[frame, outputs],
        reader=TableReader(tables["relevance"], sequence_id, targets, crops, index),
    )
