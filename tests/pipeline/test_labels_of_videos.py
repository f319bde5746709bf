"""Labels of a video are joined with the frames that it really has, which are known once it was decoded."""

import pickle

import av
import numpy as np
import pytest

from fer_batch.media.sampling import Sampling
from fer_batch.pipeline.explaining.chunk import Chunk
from fer_batch.pipeline.explaining.decode import DecodeOptions, decode_unit
from fer_batch.pipeline.explaining.stream import Bookkeeping
from fer_batch.pipeline.explaining.units import units_to_do
from fer_batch.sources.listing import list_source

N_FRAMES = 5
OPTIONS = {"detector": "none", "every": 5, "align": "none", "margin": 0.0, "min_size": 10, "size": 16}
OPTIONS |= {"annotated": False, "timeout_s": 60.0, "memory_bytes": 3 << 30}


@pytest.fixture(scope="module")
def disfa(tmp_path_factory):
    """DISFA with one video of 5 frames, of which one unit is coded in 5 and another in 13."""
    root = tmp_path_factory.mktemp("disfa")
    labels = root / "ActionUnit_Labels/SN001"
    labels.mkdir(parents=True)
    for unit, n in ((1, N_FRAMES), (12, N_FRAMES + 8)):
        (labels / f"SN001_au{unit}.txt").write_text("".join(f"{i + 1},{i % 6}\n" for i in range(n)))
    video = root / "Video_LeftCamera/LeftVideoSN001_comp.avi"
    video.parent.mkdir()
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=20)
        stream.width = stream.height = 64
        for i in range(N_FRAMES):
            picture = np.full((64, 64, 3), 20 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return root


@pytest.mark.parametrize(
    ("sampling", "last"),
    [({}, N_FRAMES - 1), ({"stride": 2}, N_FRAMES - 1), ({"max_frames": 2}, 12), ({"stop_s": 0.1}, 12)],
    ids=str,
)
def test_labels_of_frames_that_a_video_does_not_have_are_no_rows(world, disfa, sampling, last):
    """Where decoding ends on purpose, nobody knows how many frames there are, and another run may want them all."""
    (unit,) = units_to_do(list_source("disfa", str(disfa)), world.partition, set(), set())
    options = DecodeOptions(sampling=Sampling(**sampling), **OPTIONS)
    *_, end = decode_unit({"unit": pickle.dumps(unit)}, options)
    sequences = Chunk.from_batch({"payload": [end["payload"]]}).sequences
    assert [row["status"] for row in sequences] == ["done"]
    Bookkeeping(world.store, world.partition, "r", [unit])._commit(unit.unit_id, 0, sequences)
    world.publish()
    rows = world.rows("annotations")
    frames = {name: [row["frame_index"] for row in rows if row["target"] == name] for name in ("AU01", "AU12")}
    assert frames == {"AU01": list(range(N_FRAMES)), "AU12": list(range(last + 1))}
