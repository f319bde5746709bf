"""Sequences of a committed unit, read from its stage files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fer_batch.output.table_file import RecentTables
from fer_batch.pipeline.analysis.sequence_data import SequenceData, reading
from fer_batch.storage.manifest import stage_file
from fer_batch.storage.markers import Commit, Row
from fer_batch.storage.stage import read_stage
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMAS
from fer_batch.types import READ


class StageFiles:
    """Ok rows of the stage files of one unit, shared by its sequences."""

    def __init__(self, store: Store, unit_id: str) -> None:
        self.store, self.unit_id = store, unit_id
        self._recent = RecentTables()

    def light(self, index: int) -> pa.Table:
        """All rows of a file without crops and maps."""
        path = stage_file(self.unit_id, index)
        with reading(self.store.url(path)):
            return read_stage(self.store.read_bytes(path), light=True)

    def __getitem__(self, index: int) -> pa.Table:
        def load() -> pa.Table:
            path = stage_file(self.unit_id, index)
            with reading(self.store.url(path)):
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
        """Rows of table `relevance`, one stage file at a time.

        Parameters
        ----------
        pairs : shape (piece,), int64
            Indices into the sequence's explained pairs, sorted.
        """
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


def _matrix(column: pa.ChunkedArray, width: int) -> NDArray[np.float32]:
    flat = pc.list_flatten(column)
    return np.asarray(flat.fill_null(np.nan), np.float32).reshape(-1, width)
