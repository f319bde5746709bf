"""Which samples runs explain, and what they show: files named by their content, read by the source format `crops`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.storage.parquet import encode
from fer_batch.storage.store import Store, join

CHOSEN = ("row", "sequence_id", "frame_index", "kind", "subject_id", "emotion")


def chosen_file(store: Store, network: StudyNetwork, rows: NDArray[np.int64], write: bool = True) -> str:
    """URI of the file that says which samples a network explains.

    Parameters
    ----------
    store
        The output.
    network
        Whose.
    rows : shape (n,)
        Of its samples.
    write
        Whether it is written where it is not there.
    """
    table = network.samples.take(pa.array(rows)).select(CHOSEN)
    return _file(store, "chosen", table, network.crops.rsplit("/", 1)[-1], write)


def truth_file(store: Store, networks: Sequence[StudyNetwork], write: bool = True) -> str:
    """URI of the file of labels of all samples of some networks of one crop set, each frame once.

    Parameters
    ----------
    store
        The output.
    networks
        Their labels do not contradict each other.
    write
        Whether it is written where it is not there.
    """
    parts = [_labels(network) for network in networks]
    table = pa.concat_tables(parts).combine_chunks()
    table = table.group_by(["sequence_id", "frame_index", "target"]).aggregate([("occurrence", "max")])
    table = table.rename_columns({"occurrence_max": "occurrence"}) if table.num_rows else parts[0]
    keys = ("sequence_id", "frame_index", "target")
    table = table.select([*keys, "occurrence"]).sort_by([(key, "ascending") for key in keys])
    return _file(store, "truth", table, "", write)


def _labels(network: StudyNetwork) -> pa.Table:
    """A row for every sample and target whose truth is known."""
    labels, targets = network.labels, network.model.targets
    known = ~np.isnan(labels)
    row, column = np.nonzero(known)
    taken = network.samples.select(["sequence_id", "frame_index"]).take(pa.array(row))
    taken = taken.append_column("target", pa.array(np.asarray(targets, object)[column], pa.string()))
    return taken.append_column("occurrence", pa.array(labels[known] == 1))


def _file(store: Store, folder: str, table: pa.Table, about: str, write: bool) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.combine_chunks().schema) as writer:
        writer.write_table(table.combine_chunks())
    name = hashlib.sha256(about.encode() + sink.getvalue().to_pybytes()).hexdigest()[:16]
    path = f"_studies/{folder}/{name}.parquet"
    if write and not store.exists(path):
        store.put(path, encode(table))
    return join(store.uri, path)
