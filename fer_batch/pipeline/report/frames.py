"""The frames of one sequence: which are usable, their landmarks, and how long stages last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fer_batch.output.reader import Reader


@dataclass(frozen=True)
class Frames:
    """Rows of table `frames` of one sequence, in order."""

    index: NDArray[np.int64]
    ok: NDArray[np.bool_]
    landmarks: pa.ChunkedArray
    fps: float | None

    @classmethod
    def read(cls, reader: Reader, fps: float | None) -> Frames:
        """Those of a sequence; several faces of a picture are several sequences, so a frame index occurs once."""
        table = reader("frames", ("frame_index", "status", "landmarks"))
        if not table.num_rows:
            return cls(np.zeros(0, np.int64), np.zeros(0, bool), table["landmarks"], fps)
        index = table["frame_index"].to_numpy().astype(np.int64)
        if (np.diff(index) < 0).any():
            table = table.sort_by("frame_index")
            index = table["frame_index"].to_numpy().astype(np.int64)
        return cls(
            index,
            np.asarray(pc.equal(table["status"], "ok").to_numpy(zero_copy_only=False), bool),
            table["landmarks"],
            fps if fps and np.isfinite(fps) else None,
        )

    @cached_property
    def step(self) -> float:
        """Frames of the source from one sampled frame to the next."""
        return float(np.median(np.diff(self.index))) if len(self.index) > 1 else 1.0

    def seconds(self, stage: Mapping[str, Any]) -> float | None:
        """Duration of a stage, its last sampled frame included."""
        if not self.fps:
            return None
        return (stage["last_frame"] - stage["first_frame"] + self.step) / self.fps

    def landmarks_in(self, first: int, last: int) -> NDArray[np.float64] | None:
        """Landmarks (68, 2) of the first frame from `first` to `last` that has them, in pixels of the crop, or None."""
        for position in np.flatnonzero((self.index >= first) & (self.index <= last) & self.ok):
            value = self.landmarks[int(position)].values
            if value is not None and len(value) == 136 and value.null_count == 0:
                return np.asarray(value, np.float64).reshape(68, 2)
        return None
