"""Stage files: what phase 1 leaves for phase 2, one row per frame, one file per chunk.

The maps of a frame lie one after another in one list, already packed as table `relevance` stores them, so that phase 2
computes the same from a stage file as from the published table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.storage.parquet import decode, encode, nullable, pack_maps
from fer_batch.storage.tables import SCHEMAS

STAGE_SCHEMA = pa.schema(
    [
        *SCHEMAS["frames"],
        pa.field("crop_jpeg", pa.binary()),
        pa.field("logits", pa.list_(pa.float32())),
        pa.field("probability", pa.list_(pa.float32())),
        pa.field("explained", pa.list_(pa.int32())),
        pa.field("conservation", pa.list_(pa.float32())),
        pa.field("height", pa.int32()),
        pa.field("width", pa.int32()),
        pa.field("scale", pa.list_(pa.float32())),
        pa.field("relevance", pa.list_(pa.float32())),
    ]
)
LIGHT = [name for name in STAGE_SCHEMA.names if name not in ("crop_jpeg", "relevance")]


def _ragged(values: NDArray[Any], counts: NDArray[np.int64], dtype: pa.DataType) -> pa.ListArray:
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    flat = values.reshape(-1)
    array = nullable(flat)
    array = array if isinstance(array, pa.Array) else pa.array(flat)
    return pa.ListArray.from_arrays(offsets, array.cast(dtype))


def stage_bytes(
    frames: Sequence[Mapping[str, object]],
    ok: NDArray[np.int64],
    jpegs: list[bytes | None],
    logits: NDArray[np.float32],
    probability: NDArray[np.float32],
    pairs: NDArray[np.int64],
    relevance: NDArray[np.float32],
    conservation: NDArray[np.float32],
    metadata: dict[str, object],
) -> bytes:
    """A stage file.

    Parameters
    ----------
    frames
        n dicts with the columns of table `frames`.
    ok : shape (k,)
        Rows that have a crop; the following arrays refer to them.
    jpegs
        k encoded crops, or None where faces are not stored.
    logits, probability : shape (k, A)
    pairs : shape (m, 2), sorted
        Row among the crops, output.
    relevance : shape (m, h, w)
    conservation : shape (m,)
    metadata
        For the file: code version, model digest, decoder.
    """
    n, k = len(frames), len(ok)
    base = pa.Table.from_pylist(list(frames), schema=SCHEMAS["frames"])
    per_frame = np.zeros(n, np.int64)
    per_frame[ok] = np.bincount(pairs[:, 0], minlength=k)
    outputs = np.zeros(n, np.int64)
    outputs[ok] = logits.shape[1] if k else 0
    values, scale = pack_maps(relevance)
    height, width = relevance.shape[1:]
    crops: list[bytes | None] = [None] * n
    for row, jpeg in zip(ok, jpegs, strict=True):
        crops[row] = jpeg
    columns = {
        "crop_jpeg": pa.array(crops, pa.binary()),
        "logits": _ragged(logits, outputs, pa.float32()),
        "probability": _ragged(probability, outputs, pa.float32()),
        "explained": _ragged(pairs[:, 1].astype(np.int32), per_frame, pa.int32()),
        "conservation": _ragged(conservation, per_frame, pa.float32()),
        "height": pa.array([height] * n, pa.int32()),
        "width": pa.array([width] * n, pa.int32()),
        "scale": _ragged(scale, per_frame, pa.float32()),
        "relevance": _ragged(values, per_frame * height * width, pa.float32()),
    }
    table = pa.table([*base.columns, *columns.values()], schema=STAGE_SCHEMA)
    return encode(table, metadata)


def read_stage(data: bytes, light: bool = False) -> pa.Table:
    """Rows of a stage file; `light` leaves the crops and the maps out."""
    return decode(data, LIGHT if light else None)
