"""Pictures turned and mirrored as their display matrix says."""

import av
import numpy as np
import pytest

from fer_batch.media.decode import Decoder


@pytest.fixture(scope="module")
def decoder():
    with Decoder(timeout_s=30.0) as decoder:
        yield decoder


@pytest.mark.parametrize(("name", "shape"), [("decord_video_90.mov", (568, 320)), ("decord_video_180.mov", (320, 568))])
def test_rotation_equals_opencv(shared_data, decoder, name, shape):
    cv2 = pytest.importorskip("cv2")
    capture = cv2.VideoCapture(str(shared_data / "nasty" / name))
    for frame in decoder.frames(shared_data / "nasty" / name):
        expected = capture.read()[1][..., ::-1]
        assert frame.image.shape[:2] == shape
        np.testing.assert_array_equal(frame.image, expected)


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
@pytest.mark.parametrize("flip", [False, True])
def test_quarter_turns_and_mirrors_are_applied(tmp_path, decoder, degrees, flip):
    corners = np.zeros((32, 48, 3), np.uint8)
    corners[:16, :24] = 250  # bright top left
    corners[16:, 24:] = 120  # grey bottom right
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv444p"
        stream.set_display_rotation(degrees, hflip=flip)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(corners, format="rgb24")))
        container.mux(stream.encode())
    (frame,) = decoder.frames(path)
    expected = np.rot90(corners, degrees // 90)
    expected = expected[:, ::-1] if flip else expected
    assert np.abs(frame.image.astype(int) - expected).mean() < 3
