"""Pairs arranged for passes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch.explain.targets import frame_chunks, rank_groups


@settings(deadline=None)
@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 4))), st.integers(1, 9))
def test_frames_and_groups_hold_every_pair_once_and_no_frame_twice(pairs, n_frames):
    rows = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    seen = []
    for where, frames, position in frame_chunks(rows, n_frames):
        assert 1 <= len(frames) <= n_frames
        np.testing.assert_array_equal(frames[position], rows[where, 0])
        for group in rank_groups(position):
            assert len(set(position[group])) == len(group)
            seen.extend(group + where.start)
    assert sorted(seen) == list(range(len(rows)))
