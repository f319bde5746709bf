"""Sequences of a published shard, read from its tables for a new analysis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fer_batch.output.latest_run import card_of, crop_size_of, latest_run
from fer_batch.output.reader import PartitionReader, ShardReader
from fer_batch.output.table_file import TableFile
from fer_batch.pipeline.analysis.accumulators import Seen, seen_in
from fer_batch.pipeline.analysis.sequence_data import SequenceData, reading
from fer_batch.sources.fetch import StoreFault
from fer_batch.storage.markers import Row
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import READ

_READ = ("frames", "detections", "relevance", "prototypes")


class TableReader:
    """Maps of a sequence from its rows of table `relevance`, which lie together in the file.

    Parameters
    ----------
    relevance
        The shard's file of the table.
    sequence_id
        Whose maps.
    targets
        What the outputs of the network stand for.
    crops
        JPEG of the face crops that were kept, by frame.
    frame_index : shape (k,), int64
        Of the ok frames.
    """

    def __init__(
        self,
        relevance: TableFile,
        sequence_id: str,
        targets: pa.Array,
        crops: dict[int, bytes],
        frame_index: NDArray[np.int64],
    ) -> None:
        self.relevance, self.sequence_id, self.targets = relevance, sequence_id, targets
        self.crops, self.frame_index = crops, frame_index

    def rows(self, pairs: NDArray[np.int64]) -> Iterator[pa.Table]:
        """Rows of table `relevance`, by row group; `target` is the output's index, as in a stage file.

        Parameters
        ----------
        pairs : shape (piece,), int64
            Indices into the sequence's explained pairs, sorted.
        """
        if not len(pairs):
            return
        wanted = np.asarray(pairs) + self.relevance.first_row(self.sequence_id)
        start = int(wanted[0])
        for table in _guarded(self.relevance.rows(start, int(wanted[-1]) + 1), self.relevance.where):
            chosen = wanted[(wanted >= start) & (wanted < start + table.num_rows)] - start
            start += table.num_rows
            if len(chosen):
                rows = table.take(pa.array(chosen))
                outputs = pc.index_in(rows["target"], self.targets)
                yield rows.set_column(rows.schema.get_field_index("target"), "target", outputs)

    def crop(self, ok_row: int) -> bytes | None:
        """JPEG of an earlier exemplar's crop; other crops were not kept."""
        return self.crops.get(int(self.frame_index[ok_row]))


def _guarded(tables: Iterator[pa.Table], where: str) -> Iterator[pa.Table]:
    """The same tables; what cannot be read is a fault of the store."""
    while True:
        with reading(where):
            table = next(tables, None)
        if table is None:
            return
        yield table


def published_shard(
    store: Store, partition: Partition, shard: str, targets: Sequence[str]
) -> Iterator[tuple[Row, SequenceData | None]]:
    """Each input of a published shard, in file order.

    Parameters
    ----------
    store, partition, shard
        Where.
    targets
        What the outputs of the network stand for, in their order.

    Yields
    ------
    row
        Of table `sequences`.
    data
        From the tables; None where the input was not read or has no frames.

    Raises
    ------
    StoreFault
        If a table of the shard is missing or cannot be read.
    """
    published = PartitionReader(store, partition).shard(f"{shard}.parquet")
    with reading(store.url(published.path("sequences"))):
        rows = published.table("sequences").to_pylist()
    tables = {name: _opened(published, name) for name in _READ}
    for row in rows:
        yield row, _published(tables, row, pa.array(targets)) if row["status"] in READ else None


def seen_sequences(
    store: Store, partition: Partition, shard: str, targets: Sequence[str]
) -> Iterator[tuple[SequenceData, Seen]]:
    """Every sequence of a published shard that has frames, and what its tables say is found in it.

    Parameters
    ----------
    store, partition, shard
        Where.
    targets
        What the outputs of the network stand for.
    """
    crop_size = crop_size_of(run := latest_run(store, partition), card_of(run))
    for _, data in published_shard(store, partition, shard, targets):
        if data is not None and data.active is not None:
            yield data, seen_in(data, data.active, tuple(targets), crop_size)


def _opened(shard: ShardReader, name: str) -> TableFile:
    where = shard.store.url(shard.path(name))
    with reading(where):
        found = shard.opened(name)
    if found is None:
        raise StoreFault(f"{where} is missing, though its shard is published")
    return found


def _published(tables: dict[str, TableFile], row: Row, targets: pa.Array) -> SequenceData | None:
    sequence_id = row["sequence_id"]
    frames, found, pictures = (_rows(tables[name], sequence_id) for name in ("frames", "detections", "prototypes"))
    if not frames.num_rows:
        return None
    maps = _rows(tables["relevance"], sequence_id, ("frame_index", "target"))
    ok = np.flatnonzero(pc.equal(frames["status"], "ok").to_numpy())
    index = frames["frame_index"].to_numpy()[ok]
    outputs = pc.index_in(maps["target"], targets).to_numpy().astype(np.int64)
    frame = np.searchsorted(index, maps["frame_index"].to_numpy())
    logits, probability, conservation, active = _outputs(found, index, targets)
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
        active=active > 0,
    )


def _rows(table: TableFile, sequence_id: str, columns: tuple[str, ...] | None = None) -> pa.Table:
    with reading(table.where):
        return table.of(sequence_id, columns)


def _outputs(
    detections: pa.Table, frame_index: NDArray[np.int64], targets: pa.Array
) -> tuple[NDArray[np.float32], ...]:
    """Logits, probabilities, conservation and activity (0 or 1) of the ok frames, each of shape (k, A)."""
    rows = np.searchsorted(frame_index, detections["frame_index"].to_numpy())
    columns = pc.index_in(detections["target"], targets).to_numpy().astype(np.int64)
    found = []
    for name, missing in (("logit", 0.0), ("probability", 0.0), ("conservation", np.nan), ("active", 0.0)):
        array = np.full((len(frame_index), len(targets)), missing, np.float32)
        array[rows, columns] = np.asarray(detections[name].cast(pa.float32()).fill_null(np.nan), np.float32)
        found.append(array)
    return tuple(found)
