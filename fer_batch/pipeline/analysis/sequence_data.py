"""What phase 2 knows of one sequence.

Light columns are in memory; maps are read when asked for, and kept only where they are few, so that an hour of video
needs no more memory than a clip.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.regions.face_mesh import defined
from fer_batch.sources.fetch import StoreFault
from fer_batch.storage.markers import Row
from fer_batch.storage.parquet import unpack_maps


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
        """Frame index of each ok frame, shape (k,), int64."""
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

    @cached_property
    def has_faces(self) -> bool:
        """Whether every ok frame has landmarks that a map can be warped by."""
        return bool(defined(self.landmarks).all())

    def relevance_rows(self, pairs: NDArray[np.int64]) -> Iterator[pa.Table]:
        """Rows of table `relevance` of some pairs, int64 indices of shape (piece,), piece by piece."""
        return self.reader.rows(pairs)

    def maps(self, pairs: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """Maps of some pairs in their order, shape (piece, h, w), logit units."""
        for rows in self.reader.rows(pairs):
            yield np.stack(unpack_maps(rows))


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn what goes wrong while `where` is read into `StoreFault`: it says nothing about the sequence, so it must not
    become a failed row.

    Raises
    ------
    StoreFault
        If anything is raised inside.
    """
    try:
        yield
    except Exception as error:
        raise StoreFault(f"reading {where} failed: {type(error).__name__}: {error}") from error
