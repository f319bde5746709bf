"""Last step of phase 1: each chunk becomes one stage file with a fixed name; only bookkeeping goes on to the driver."""

from __future__ import annotations

import pickle
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.pipeline.explaining.chunk import Chunk
from fer_batch.pipeline.metrics import count
from fer_batch.storage.manifest import stage_file
from fer_batch.storage.stage import stage_bytes
from fer_batch.storage.store import Store

JPEG_QUALITY = 92
ATTEMPTS = 4


@dataclass(frozen=True)
class SinkOptions:
    """What `write_chunk` needs of the job.

    Attributes
    ----------
    output
        URI of the store.
    store_faces
        Whether crops are kept.
    metadata
        Of the files of each explanation.
    """

    output: str
    store_faces: bool
    metadata: tuple[dict[str, object], ...]


def face_jpeg(image: NDArray[np.uint8]) -> bytes:
    """JPEG of an RGB crop, shape (size, size, 3), uint8."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


def patiently_put(store: Store, path: str, data: bytes) -> None:
    """Write a file, trying again while the store does not answer."""
    for attempt in range(ATTEMPTS):
        try:
            return store.put(path, data)
        except Exception:  # stores fail in classes of their own
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.5 * 2**attempt)


def _count(chunk: Chunk, n_bytes: int) -> None:
    """What was written, for the exporter."""
    for status, n in Counter(frame["status"] for frame in chunk.frames).items():
        count("fer_batch_frames", n, status=status)
    count("fer_batch_stage_bytes", n_bytes)
    count("fer_batch_explain_seconds", chunk.cost.seconds)


def write_chunk(batch: dict[str, NDArray[Any]], options: SinkOptions) -> dict[str, list[Any]]:
    """Write the stage file of one chunk.

    Parameters
    ----------
    batch
        A row of `Chunk.to_row` with column `problem`; every column has shape (1,) and dtype object.
    options
        Of the job.

    Returns
    -------
    One row for the driver: `explanation`, `unit_id`, `index`, `last`, `n_frames`, `sequences` (pickled rows of table
    `sequences`), `fault`, `changed` (pickled ids), `cost` (JSON of `ExplainCost`) and `problem`.
    """
    chunk, problem = Chunk.from_batch(batch), str(batch["problem"][0])
    if not problem and not chunk.fault and chunk.frames:
        assert chunk.logits is not None and chunk.probability is not None and chunk.pairs is not None
        assert chunk.relevance is not None and chunk.conservation is not None
        jpegs = [face_jpeg(image) if options.store_faces else None for image in chunk.images]
        data = stage_bytes(
            chunk.frames,
            chunk.ok,
            jpegs,
            chunk.logits,
            chunk.probability,
            chunk.pairs,
            chunk.relevance,
            chunk.conservation,
            options.metadata[chunk.explanation],
        )
        patiently_put(Store(options.output), stage_file(chunk.unit_id, chunk.index), data)
        _count(chunk, len(data))
    return {
        "explanation": [chunk.explanation],
        "unit_id": [chunk.unit_id],
        "index": [chunk.index],
        "last": [chunk.last],
        "n_frames": [len(chunk.frames)],
        "sequences": [pickle.dumps(chunk.sequences)],
        "fault": [chunk.fault or ""],
        "changed": [pickle.dumps(chunk.changed)],
        "cost": [chunk.cost.model_dump_json()],
        "problem": [problem],
    }
