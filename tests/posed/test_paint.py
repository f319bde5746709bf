"""What is painted over the warped portrait."""

from fer_batch.posed.face import identity, render_frame


def test_the_open_mouth_is_dark_inside_and_the_closed_one_is_not():
    image, landmarks = render_frame(identity(0), {25: 5.0, 27: 5.0})
    x, y = landmarks[[62, 66]].mean(0).round().astype(int)
    closed = render_frame(identity(0), {})[0]
    assert image[y - 2 : y + 3, x - 2 : x + 3].mean() < 60 < closed[y - 2 : y + 3, x - 2 : x + 3].mean()
