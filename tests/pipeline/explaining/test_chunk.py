"""What travels between the steps of phase 1."""

import numpy as np

from fer_batch.pipeline.explaining.chunk import Chunk


def test_a_chunk_survives_its_way_through_ray():
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    chunk = Chunk("u", 3, True, [{"frame_index": 0}], np.array([0]), images)
    back = Chunk.from_batch({key: np.array([value], object) for key, value in chunk.to_row().items()})
    assert (back.unit_id, back.index, back.last) == ("u", 3, True)
    np.testing.assert_array_equal(back.images, images)
