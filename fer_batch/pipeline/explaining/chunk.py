"""What travels between the steps of phase 1: up to 64 frames with their crops, later with their maps.

Ray carries it as one pickled value beside its keys: blocks stay one row each, ragged sizes and chunks without a face
need no care, and nothing is copied column by column.
"""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass, field, replace
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from fer_batch.models.card import ResolvedModel
from fer_batch.pipeline.explaining.units import Wanted
from fer_batch.storage.markers import ExplainCost

CHUNK_FRAMES = 64
_ALIGNMENT = 16  # bytes: of the numbers in a payload


class UnitRow(TypedDict):
    """A Ray Data row that enters `decode_unit`; `unit` is a pickled `units.Unit`."""

    unit_id: NotRequired[str]
    unit: bytes


class ChunkRow(TypedDict):
    """A Ray Data row that leaves it; `payload` is a chunk, as `Chunk.to_row` writes it."""

    unit_id: str
    payload: bytes


class FrameRow(TypedDict, total=False):
    """Columns of table `frames` that phase 1 knows."""

    sequence_id: str
    frame_index: int
    timestamp_ns: int | None
    source_frame: int | None
    status: str
    reason: str | None
    track_id: int | None
    face_box: list[float]
    crop_matrix: list[float]
    landmarks: list[float]


class SequenceRow(TypedDict, total=False):
    """Columns of table `sequences` that phase 1 knows, and what else a commit records of an input.

    `input` is the input that a person's row belongs to; `absent`: it was listed and is gone; `length`: its frames,
    where all were read.
    """

    sequence_id: str
    input: str
    subject_id: str | None
    uri: str
    kind: str
    emotion: str | None
    split: str | None
    status: str
    reason: str | None
    n_frames: int
    fps: float | None
    n_declared: int | None
    n_decoded: int | None
    absent: bool
    length: int
    identity: str
    unit_id: str
    run_id: str


@dataclass(frozen=True)
class Chunk:
    """Frames that were decoded together.

    Attributes
    ----------
    unit_id, index, last
        Its place: chunk `index` of a unit, and whether it is the final one.
    frames
        One dict per frame with the columns of table `frames`.
    ok : shape (n,)
        Rows of `frames` that have a crop, in order.
    images : shape (n, size, size, 3), uint8
        The crops of those rows.
    annotated
        Targets that the ground truth says are present, for each crop; empty where targets are not chosen so.
    sequences
        On the last chunk: one dict per input of the unit with the columns of table `sequences`.
    fault
        Set where the store or the machine failed; such a unit is not committed.
    changed
        On the last chunk: inputs that changed while they were read; they are not committed.
    logits, probability : shape (n, A), float32
    pairs : shape (m, 2), int64
        Rows of `images` and outputs that were explained.
    relevance : shape (m, h, w), float32
    conservation : shape (m,), float32
    wanted_by
        Explanations that want its maps, before it is explained.
    explanation
        Whose maps it has, by its place in the job.
    cost
        What these maps took.
    """

    unit_id: str
    index: int
    last: bool
    frames: list[FrameRow]
    ok: NDArray[np.int64]
    images: NDArray[np.uint8]
    annotated: list[list[str]] = field(default_factory=list)
    sequences: list[SequenceRow] = field(default_factory=list)
    fault: str | None = None
    changed: tuple[str, ...] = ()
    logits: NDArray[np.float32] | None = None
    probability: NDArray[np.float32] | None = None
    pairs: NDArray[np.int64] | None = None
    relevance: NDArray[np.float32] | None = None
    conservation: NDArray[np.float32] | None = None
    wanted_by: tuple[Wanted, ...] = ()
    explanation: int = 0
    cost: ExplainCost = field(default_factory=ExplainCost)

    def with_maps(self, **arrays: Any) -> Chunk:
        """The same chunk with what the model found."""
        return replace(self, **arrays)

    def to_row(self) -> ChunkRow:
        """A Ray Data row; arrays are copied once."""
        buffers: list[pickle.PickleBuffer] = []
        head = pickle.dumps(self, protocol=5, buffer_callback=buffers.append)
        parts: list[bytes | memoryview] = [head, *(buffer.raw() for buffer in buffers)]
        sizes = struct.pack(f"<{len(parts) + 1}Q", len(parts), *(len(part) for part in parts))
        padded = [piece for part in (sizes, *parts) for piece in (part, bytes(-len(part) % _ALIGNMENT))]
        return {"unit_id": self.unit_id, "payload": b"".join(padded)}

    @classmethod
    def from_batch(cls, batch: dict[str, NDArray[Any]]) -> Chunk:
        """The chunk of a batch of one row, whose column `payload` has shape (1,) and dtype object.

        Its arrays are the payload's own memory and cannot be written.
        """
        payload = memoryview(batch["payload"][0])
        (n_parts,) = struct.unpack_from("<Q", payload)
        sizes = struct.unpack_from(f"<{n_parts}Q", payload, 8)
        parts, start = [], 8 * (n_parts + 1)
        for size in sizes:
            start += -start % _ALIGNMENT
            parts.append(payload[start : start + size])
            start += size
        return pickle.loads(parts[0], buffers=parts[1:])


@dataclass(frozen=True)
class ExplainOptions:
    """What `ExplainStage` needs of the job to make one explanation."""

    model: ResolvedModel
    method: str
    options: dict[str, Any]
    targets: str | tuple[str, ...]
    batch_size: int
    n_threads: int
