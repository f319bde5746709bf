"""How many frames wait, where headers say it of some clips only."""

import numpy as np

from fer_batch.pipeline.ranges import Range
from fer_batch.pipeline.scaling import Waiting, frames_of


def test_frames_of_clips_that_nobody_looked_at_follow_from_their_bytes():
    sizes, frames = np.arange(1.0, 11.0) * 1e6, np.full(10, np.nan)
    frames[::2] = sizes[::2] / 1e4 * [0.9, 1.1, 1.0, 1.05, 0.95]
    found = frames_of(Waiting(sizes, frames, 10, 1))
    assert found.low < found.value < found.high and found.low <= sizes.sum() / 1e4 <= found.high
    assert frames_of(Waiting(sizes, np.full(10, np.nan), 10, 1)) == Range.exactly(0.0)
