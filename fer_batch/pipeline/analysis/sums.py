"""The sums of a shard, `_sums/<shard>.parquet`: taken while its maps pass, published before its marker.

Where table `relevance` holds all maps, the file holds sums over the shard, and is made again from the table when an
input is replaced. Where it holds fewer, the sums of every sequence are kept beside them: those of a replaced input
leave, and the sums over the shard are added up again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fer_batch.output.reader import PartitionReader
from fer_batch.pipeline.analysis.accumulators import (
    ACCUMULATORS,
    Key,
    MapSum,
    Seen,
    SequenceRow,
    SequenceSums,
)
from fer_batch.pipeline.analysis.published_data import seen_sequences
from fer_batch.pipeline.analysis.sequence_data import SequenceData
from fer_batch.storage.manifest import digest, shard_marker
from fer_batch.storage.parquet import Partition, pack_maps, unpack_maps
from fer_batch.storage.published import PublishedFile, withdraw_file
from fer_batch.storage.store import Store

SUMS = "_sums"
PIECE = 512  # maps read at a time
GROUP_BYTES = 32 << 20

SCHEMA = pa.schema(
    [
        ("accumulator", pa.string()),
        ("whole", pa.bool_()),  # over the shard; else of one sequence
        ("sequence_id", pa.string()),
        ("target", pa.string()),
        ("kind", pa.string()),
        ("group", pa.string()),
        ("first_frame", pa.int64()),
        ("n", pa.int64()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("total", pa.list_(pa.float64())),  # over the shard
        ("scale", pa.float32()),
        ("values", pa.list_(pa.float32())),  # of one sequence, over its scale
    ]
)

Sums = dict[Key, MapSum]


def sums_path(shard: str) -> str:
    """Where the sums of a shard are."""
    return f"{SUMS}/{shard}.parquet"


class SumsWriter:
    """Writes the sums of a shard; the file appears whole, when the `with` block ends well.

    Parameters
    ----------
    store, shard
        Where it appears.
    each
        Whether the sums of every sequence are kept in all accumulators, because the maps are not.
    versions
        Of the accumulators that made the sums; those of today where none are given.
    """

    def __init__(self, store: Store, shard: str, each: bool, versions: Mapping[str, int] | None = None) -> None:
        self.store, self.shard, self.each = store, shard, each
        self.versions = {one.name: one.version for one in ACCUMULATORS} if versions is None else dict(versions)
        self._kept = {one.name for one in ACCUMULATORS if each or one.each}
        self._sums: dict[str, Sums] = {}
        self._pending: dict[str, list[SequenceRow]] = {}
        self._n_bytes: dict[str, int] = {}

    def __enter__(self) -> SumsWriter:
        schema = SCHEMA.with_metadata({"accumulators": json.dumps(self.versions), "each": json.dumps(self.each)})
        with ExitStack() as stack:
            self._file = stack.enter_context(PublishedFile(self.store, sums_path(self.shard), record=True))
            maps = ("total", "values")
            names = [name for name in SCHEMA.names if name not in maps]
            split = [f"{name}.list.element" for name in maps]
            settings = {"compression": "zstd", "use_dictionary": names, "use_byte_stream_split": split}
            self._writer = stack.enter_context(pq.ParquetWriter(self._file.sink, schema, **settings))
            self._stack = stack.pop_all()
        return self

    def add(self, rows: Iterable[SequenceRow]) -> None:
        """Add the sums of a sequence."""
        for row in rows:
            sums = self._sums.setdefault(row.accumulator, {})
            sums[row.key] = sums[row.key] + row.own if row.key in sums else MapSum(row.own.n, row.own.total)
            if row.accumulator in self._kept:
                self._pending.setdefault(row.accumulator, []).append(row)
                self._n_bytes[row.accumulator] = self._n_bytes.get(row.accumulator, 0) + row.own.total.nbytes
                if self._n_bytes[row.accumulator] >= GROUP_BYTES:
                    self._flush(row.accumulator)

    def _flush(self, accumulator: str) -> None:
        """Write a row group; one holds rows of one accumulator, so that a reader skips the others."""
        rows = self._pending.pop(accumulator, [])
        self._n_bytes[accumulator] = 0
        self._write([_entry(row.accumulator, row.key, row.own, row.sequence_id) for row in rows])

    def _write(self, entries: list[dict[str, object]]) -> None:
        if entries:
            self._file.n_rows += len(entries)
            self._writer.write_table(pa.Table.from_pylist(entries, schema=SCHEMA))

    def __exit__(self, *error: Any) -> None:
        try:
            if error[0] is None:
                for accumulator in list(self._pending):
                    self._flush(accumulator)
                for accumulator, sums in self._sums.items():
                    self._write([_entry(accumulator, key, own) for key, own in sums.items()])
        except BaseException:
            error = sys.exc_info()
            raise
        finally:
            self._stack.__exit__(*error)


def _entry(accumulator: str, key: Key, own: MapSum, sequence_id: str | None = None) -> dict[str, object]:
    height, width = own.total.shape
    known = {"accumulator": accumulator, "whole": sequence_id is None, "sequence_id": sequence_id}
    size = {"n": own.n, "height": height, "width": width, "first_frame": own.first_frame}
    total = {"total": own.total.ravel()} if sequence_id is None else _packed(own.total)
    return {**known, **key._asdict(), **size, **total}


def _packed(total: NDArray[np.float64]) -> dict[str, object]:
    """A float32 sum as small as it can be without loss: that of one map is packed as table `relevance` has it."""
    exact = total.astype(np.float32)
    values, scale = pack_maps(exact[None])
    if not np.array_equal(values[0] * scale[0], exact):
        values, scale = exact[None], np.ones(1, np.float32)
    return {"scale": scale[0], "values": values[0].ravel()}


def take_sums(
    data: SequenceData, targets: Sequence[str], sums: SumsWriter, seen: Seen
) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
    """Every map of a sequence once, piece by piece; when the last has passed, they are in the sums of the shard.

    Parameters
    ----------
    data
        The sequence.
    targets
        What the outputs stand for.
    sums
        Of its shard.
    seen
        What is found in it.

    Yields
    ------
    pairs : shape (piece,)
        Rows of `data.pairs`.
    rows
        Their rows of table `relevance`; column `target` has the output.
    """
    own = SequenceSums(data, ACCUMULATORS, seen)
    for start in range(0, len(data.pairs), PIECE):
        pairs = np.arange(start, min(start + PIECE, len(data.pairs)))
        done = 0
        for rows in data.relevance_rows(pairs):
            piece = pairs[done : done + rows.num_rows]
            done += rows.num_rows
            own.add([(row, targets[output]) for row, output in data.pairs[piece].tolist()], unpack_maps(rows))
            yield piece, rows
    sums.add(own.rows())


def drop_sequences(store: Store, shard: str, gone: Collection[str]) -> None:
    """Take sequences out of the sums of a shard; done twice it changes nothing.

    Where table `relevance` has all maps the file goes: it is made again from what is left there.
    """
    if not store.exists(sums_path(shard)):
        return
    known = _metadata(store, shard)
    if not known["each"]:
        withdraw_file(store, sums_path(shard))
        return
    # what an earlier version summed stays of that version: it may lack accumulators of today
    with SumsWriter(store, shard, each=True, versions=known["accumulators"]) as writer:
        writer.add(row for row in sequence_rows(store, shard) if row.sequence_id not in gone)


def kept_sums(output: str, shard: str, partition: Partition, targets: Sequence[str], accumulator: str) -> Sums | None:
    """Sums of a published shard; None where they cannot be had.

    Those of a shard that an earlier version published, or whose inputs were replaced, are made here, as long as table
    `relevance` holds all its maps.

    Parameters
    ----------
    targets
        What the outputs of the network stand for.
    """
    store = Store(output)
    if not has_current(store, shard, accumulator):
        if not has_all_maps(store, partition, shard):
            return None
        _make_again(store, partition, shard, targets)
    rows = _rows(store, shard, (pads.field("accumulator") == accumulator) & pads.field("whole"))
    return {row.key: row.own for row in rows}


def _make_again(store: Store, partition: Partition, shard: str, targets: Sequence[str]) -> None:
    with SumsWriter(store, shard, each=False) as writer:
        for data, seen in seen_sequences(store, partition, shard, targets):
            for _ in take_sums(data, targets, writer, seen):
                pass


def has_all_maps(store: Store, partition: Partition, shard: str) -> bool:
    """Whether table `relevance` holds every map of a shard, because all are kept or because there were no others."""
    marker = shard_marker(store, shard)
    if marker is None or marker.keep_relevance == "all":
        return True
    published = PartitionReader(store, partition).shard(f"{shard}.parquet")
    explained = json.loads(published.metadata("relevance").get(b"explain_key", b"{}")).get("explain", {})
    if explained.get("targets") != "active":
        return published.count("detections") == 0
    # Every map is in a cluster: of stills, each in one of its own.
    members = published.table("prototypes", ["n_frames"])["n_frames"]
    return published.count("relevance") == (pc.sum(members).as_py() or 0)


def _metadata(store: Store, shard: str) -> dict[str, Any]:
    with store.fs.open(store.path(sums_path(shard)), "rb") as handle:
        found = pq.read_schema(handle).metadata
    return {name: json.loads(found[name.encode()]) for name in ("accumulators", "each")}


def has_current(store: Store, shard: str, accumulator: str) -> bool:
    """Whether the sums of a shard have those of an accumulator, as it sums now."""
    if not store.exists(sums_path(shard)):
        return False
    found: Mapping[str, int] = _metadata(store, shard)["accumulators"]
    return found.get(accumulator) == next(one.version for one in ACCUMULATORS if one.name == accumulator)


def sequence_rows(
    store: Store, shard: str, accumulator: str | None = None, targets: Iterable[str] | None = None
) -> Iterator[SequenceRow]:
    """Sums of the sequences of a shard, where they are kept, in their order; of some accumulator and targets or all."""
    condition = ~pads.field("whole")
    if accumulator is not None:
        condition &= pads.field("accumulator") == accumulator
    if targets is not None:
        condition &= pads.field("target").isin(pa.array(list(targets), pa.string()))
    return _rows(store, shard, condition)


def _rows(store: Store, shard: str, condition: pads.Expression) -> Iterator[SequenceRow]:
    if not store.exists(sums_path(shard)):
        return
    source = pads.dataset(store.path(sums_path(shard)), schema=SCHEMA, format="parquet", filesystem=store.fs)
    for batch in source.to_batches(filter=condition, batch_size=256, use_threads=False):
        whole, values = batch.column("total"), batch.column("values")
        for index, row in enumerate(batch.drop_columns(["total", "values"]).to_pylist()):
            if row["whole"]:
                total = np.asarray(whole[index].values, np.float64)
            else:
                total = (np.asarray(values[index].values) * np.float32(row["scale"])).astype(np.float64)
            total = total.reshape(row["height"], row["width"])
            key = Key(row["target"], row["kind"], row["group"])
            own = MapSum(row["n"], total, row["first_frame"])
            yield SequenceRow(row["accumulator"], row["sequence_id"] or "", key, own)


def remove_older_sums(store: Store, partition: Partition) -> None:
    """Remove what an earlier version kept of a partition: sums of the maps that were left in table `relevance`."""
    store.delete(f"{SUMS}/{digest(asdict(partition))}")
