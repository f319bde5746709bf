"""Control points of the posed face: landmarks are where the warp takes the pixels."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch.posed.face import POSED_AUS, Pose, identity, render_frame


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 3),
    au=st.sampled_from(POSED_AUS),
    intensity=st.floats(0, 5),
    roll=st.floats(-5, 5),
    dx=st.floats(-8, 8),
)
def test_landmarks_move_with_the_pixels(seed, au, intensity, roll, dx):
    # marks set on the texture at control points come out where the landmarks say
    from dataclasses import replace

    from fer_batch.posed import geometry as posed_geometry

    who = identity(seed)
    points = posed_geometry.to_texture(posed_geometry.control_points()[1])
    marked = np.zeros_like(who.texture)
    chosen = (8, 4, 12, 30, 17, 26)  # well apart, and not where eyes and mouth are painted
    for channel, index in enumerate(chosen):
        cv2.circle(marked, tuple(points[index].round().astype(int).tolist()), 4, (0, 80 + 20 * channel, 0), -1)
    image, landmarks = render_frame(replace(who, texture=marked, mirror=False), {au: intensity}, Pose(dx=dx, roll=roll))
    for index in chosen:
        x, y = landmarks[index]
        window = image[round(y) - 5 : round(y) + 6, round(x) - 5 : round(x) + 6, 1].astype(float)
        rows, columns = np.mgrid[round(y) - 5 : round(y) + 6, round(x) - 5 : round(x) + 6]
        centre = np.array([(columns * window).sum(), (rows * window).sum()]) / window.sum()
        # where the skin is stretched unevenly a mark's centre of mass leaves its point, by 1.3 pixels at most
        np.testing.assert_allclose(centre, landmarks[index], atol=1.5)
