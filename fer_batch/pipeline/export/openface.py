"""Frames and detections as OpenFace 2 would have written them, one CSV a sequence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fer_batch.export.openface import N_LANDMARKS, au_columns, csv_bytes, openface_table, source_points
from fer_batch.output.reader import PartitionReader, Reader
from fer_batch.pipeline.progress import progress
from fer_batch.sources.listing import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from fer_batch.storage.parquet import Partition, read
from fer_batch.storage.store import Store

_FRAMES = ("frame_index", "timestamp_ns", "status", "track_id", "crop_matrix", "landmarks")


def to_openface(store: Store, found: list[Partition], target: Store) -> list[str]:
    """Write `<dataset>/<model>/<sequence>.csv`: detections do not depend on how they were explained.

    Parameters
    ----------
    store
        The output.
    found
        Partitions that are exported.
    target
        The folder of the export.
    """
    models = dict.fromkeys((p.dataset, p.model) for p in found)
    return [_write_model(store, [p for p in found if (p.dataset, p.model) == one], target) for one in models]


def _write_model(store: Store, same: Sequence[Partition], target: Store) -> str:
    """Write the sequences of one dataset and model, whose partitions are given; a line that says what."""
    dataset, model = same[0].dataset, same[0].model
    targets = next(filter(None, (PartitionReader(store, partition).targets() for partition in same)), [])
    ids = read(store, "sequences", dataset=dataset, model=model, columns=["sequence_id"])["sequence_id"]
    missing = set(ids.to_pylist())
    stems = Counter(map(_stem, missing))
    n_frames, n_written = 0, 0
    with progress("export", len(missing), "sequence") as advance:
        for sequence, rows in _sequences(store, same, targets, missing):
            name = _stem(sequence) if stems[_stem(sequence)] == 1 else sequence
            target.put(f"{dataset}/{model}/{_inside(name)}.csv", csv_bytes(rows))
            missing.discard(sequence)
            n_written, n_frames = n_written + 1, n_frames + rows.num_rows
            advance(1)
        if missing:
            advance(len(missing))
    others = sorted(set(targets) - set(au_columns(targets)))
    line = f"{target.url(f'{dataset}/{model}')}: {n_written} sequences, {n_frames} frames"
    line += f"; {len(missing)} sequences have no frames" if missing else ""
    return line + (f"; OpenFace has no column for {', '.join(others)}" if others else "")


def _sequences(
    store: Store, same: Sequence[Partition], targets: Sequence[str], missing: Collection[str]
) -> Iterator[tuple[str, pa.Table]]:
    """Rows of each sequence that is still missing when its turn comes and that has frames."""
    for partition in same:
        for shard in PartitionReader(store, partition).shards():
            for sequence in [row["sequence_id"] for row in shard.sequences]:
                if sequence in missing and (rows := _rows(shard.of(sequence), targets)).num_rows:
                    yield sequence, rows


def _rows(reader: Reader, targets: Sequence[str]) -> pa.Table:
    frames = reader("frames", _FRAMES).sort_by("frame_index")
    if not frames.num_rows:
        return frames
    detections = reader("detections", ("frame_index", "target", "active"))
    index = frames["frame_index"].to_numpy()
    # The face of a frame without one is that of the frame before it, before the first that of the first.
    faces = pc.fill_null(pc.fill_null_backward(pc.fill_null_forward(frames["track_id"])), 0)
    return openface_table(
        index,
        frames["timestamp_ns"].to_numpy(),
        np.asarray(frames["status"].to_pylist()) == "ok",
        faces.to_numpy(),
        source_points(
            _listed(frames["landmarks"], (N_LANDMARKS, 2)),
            _listed(frames["crop_matrix"], (2, 3)),
        ),
        _occurrence(index, detections, targets),
        targets,
    )


def _occurrence(index: NDArray[np.int64], detections: pa.Table, targets: Sequence[str]) -> NDArray[np.float64]:
    """Which target is active in which frame: 1, 0 or NaN, of shape (T, A)."""
    occurrence = np.full((len(index), len(targets)), np.nan)
    row = np.searchsorted(index, detections["frame_index"].to_numpy())
    column = pc.index_in(detections["target"].cast(pa.string()), pa.array(targets, pa.string())).to_numpy()
    occurrence[row, column] = detections["active"].cast(pa.float64()).to_numpy()
    return occurrence


def _listed(column: pa.ChunkedArray, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A column of lists as an array (T, *shape), NaN where it is NULL."""
    found = np.full((len(column), *shape), np.nan)
    for row, values in enumerate(column):
        if values.is_valid:
            found[row] = values.values.to_numpy(zero_copy_only=False).reshape(shape)
    return found


def _stem(sequence_id: str) -> str:
    """The id without the suffix of its file: OpenFace names `a.mp4` `a.csv`."""
    path, mark, face = sequence_id.partition("#")
    for suffix in (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES):
        if path.lower().endswith(suffix):
            return path[: -len(suffix)] + mark + face
    return sequence_id


def _inside(name: str) -> str:
    """The name as a path that stays below its folder, whatever a manifest calls its sequences."""
    return "/".join(part for part in name.split("/") if part not in ("", ".", "..")) or "_"
