"""Maps and crops from stage files."""

import numpy as np


def test_maps_are_read_in_any_choice(world, golden):
    active, maps = golden.make(np.random.default_rng(0))
    commit = world.stage("a", active, maps, missing={3})
    ((_, data),) = world.staged(commit)
    everything = np.concatenate(list(data.maps(np.arange(len(data.pairs)))))
    chosen = np.array([0, 5, 6, 20, len(data.pairs) - 1])
    np.testing.assert_array_equal(np.concatenate(list(data.maps(chosen))), everything[chosen])
    for pair in chosen:
        row, output = data.pairs[pair]
        frame = int(data.frame_index[row])
        np.testing.assert_allclose(everything[pair], maps[frame, output], atol=1e-3)
        assert data.reader.crop(int(row)) == b"\xff\xd8" + bytes([frame])
