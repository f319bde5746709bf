"""One portrait, posed: the frame that shows given Action Unit intensities on a given identity and head pose.

A thin-plate warp carries the relaxed portrait to where `astronaut.MOVES` and the identity put its control points; what
no warp can show (skin folds, eyeballs, the open mouth) is painted. Landmarks are control points of that warp, so they
are exact, and so are the Action Units.

All identities share the texture of one photograph: they differ in proportions, colours, light, mirroring, background
and noise, not in skin detail. What a network learns here says nothing about real faces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_batch.posed import astronaut as portrait
from fer_batch.posed.geometry import (
    BASE_SIZE,
    DOWN,
    FACE_CENTRE,
    MIRROR_68,
    N_MOVING,
    TEXTURE_SCALE,
    Array,
    Pose,
    control_points,
    displacement,
    moves,
    place,
    to_texture,
)
from fer_batch.posed.paint import Canvas, Image, paint_eyes, paint_mouth
from fer_batch.posed.texture import relaxed, shaded
from fer_batch.regions.thin_plate import thin_plate_map

POSED_AUS = portrait.POSED_AUS
_IRISES = ((72, 48, 30), (50, 32, 22), (70, 96, 120), (80, 98, 64), (95, 105, 110))
# lips and lids may touch, not cross: upper and lower point, and the least distance between them in portrait pixels
_CLOSURES = (
    *((upper, lower, 0.6) for upper, lower in ((61, 67), (62, 66), (63, 65))),
    *((upper, lower, 0.5) for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46))),
)


@dataclass(frozen=True, eq=False)
class Identity:
    """A face that does not exist: proportions, colours and light drawn from one seed.

    Attributes
    ----------
    seed
        What it was drawn from.
    rest : shape (n control points, 2)
        The relaxed face in portrait pixels.
    texture
        RGB of the relaxed face, coloured and lit.
    reach
        How far this face moves at full intensity, per Action Unit, around 1.
    fold
        Depth of its skin lines, around 1.
    iris, light
        Colour of the iris, and the light on what is painted (eyes, teeth).
    mirror
        Left and right are exchanged.
    """

    seed: int
    rest: Array
    texture: Image
    reach: Mapping[int, float]
    fold: float
    iris: tuple[float, float, float]
    light: float
    mirror: bool


@lru_cache(maxsize=32)
def identity(seed: int) -> Identity:
    """Draw an identity; the same seed gives the same face."""
    rng = np.random.default_rng([seed, 0x1D])
    base = relaxed()
    rest = control_points()[1].copy()
    for spread, shape in portrait.SHAPES.values():
        rest += np.clip(rng.normal(), -2, 2) * spread * displacement(shape)
    rest[:N_MOVING] = (rest[:N_MOVING] - FACE_CENTRE) * (1, rng.uniform(0.97, 1.03)) + FACE_CENTRE

    tone = rng.uniform(0.5, 1.06)
    skin_gain = np.array([tone**0.75, tone, tone**1.15]) * rng.uniform(0.97, 1.03, 3)
    hair_gain = rng.uniform(0.4, 1.0) * np.array([1.0, rng.uniform(0.85, 1.0), rng.uniform(0.7, 1.05)])
    side = base.texture.shape[0]
    skin = base.skin[..., None]
    texture = base.texture * (skin * skin_gain + (1 - skin) * hair_gain).astype(np.float32)
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    backdrop = rng.uniform(40, 225, 3) * 0.3 + rng.uniform(40, 225) * 0.7
    tilt = rng.uniform(-35, 35, 2)
    backdrop_image = backdrop + (ramp[None, :, None] * tilt[0] + ramp[:, None, None] * tilt[1])
    detail = base.texture.mean(2, keepdims=True) - 195
    behind = base.background[..., None]
    texture = texture * (1 - behind) + (backdrop_image + 0.6 * detail) * behind
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.0, 0.22)
    centre = to_texture(FACE_CENTRE[None])[0]
    x = (np.arange(side, dtype=np.float32) - centre[0]) / (48 * TEXTURE_SCALE)
    y = (np.arange(side, dtype=np.float32) - centre[1]) / (62 * TEXTURE_SCALE)
    light = 1 + strength * np.tanh(np.cos(angle) * x[None] + np.sin(angle) * y[:, None])
    gain = rng.uniform(0.85, 1.12)
    texture = np.clip(texture * (light * gain)[..., None], 0, 255).astype(np.uint8)

    return Identity(
        seed=seed,
        rest=rest,
        texture=texture,
        reach={au: float(rng.uniform(0.88, 1.12)) for au in portrait.MOVES},
        fold=float(rng.uniform(0.8, 1.2)),
        iris=_IRISES[int(rng.integers(len(_IRISES)))],
        light=float(gain * (0.55 + 0.45 * tone)),
        mirror=bool(rng.random() < 0.5),
    )


def _animated(who: Identity, intensities: Mapping[int, float]) -> Array:
    points = who.rest.copy()
    for au, intensity in intensities.items():
        if intensity:
            points += (intensity / 5 * who.reach[au]) * moves()[au]
    for upper, lower, gap in _CLOSURES:
        missing = gap - (points[lower] - points[upper]) @ DOWN
        if missing > 0:
            points[upper] -= 0.5 * missing * DOWN
            points[lower] += 0.5 * missing * DOWN
    return points


def render_frame(
    who: Identity, intensities: Mapping[int, float], pose: Pose | None = None, size: int = BASE_SIZE
) -> tuple[Image, NDArray[np.float64]]:
    """Render one posed face.

    Parameters
    ----------
    who
        From `identity`.
    intensities
        FACS number to intensity, 0 (absent) to 5 (maximum); missing ones are 0.
    pose
        Default: frontal, centred.
    size
        Side of the square frame, pixels.

    Returns
    -------
    image : shape (size, size, 3), uint8
        RGB.
    landmarks : shape (68, 2)
        iBUG points, (x, y), pixel centres at integers.

    Raises
    ------
    ValueError
        For an Action Unit that the face cannot pose, or an intensity outside 0..5.
    """
    for au, intensity in intensities.items():
        if au not in portrait.MOVES:
            raise ValueError(f"the posed face has no AU{au:02d}; it has {sorted(portrait.MOVES)}")
        if not 0 <= intensity <= 5:
            raise ValueError(f"expected the intensity of AU{au:02d} in 0..5, got {intensity}")
    pose = pose or Pose()
    points = _animated(who, intensities)
    placed = place(points, pose, size)
    # the texture hangs on the unmorphed relaxed face, whatever the identity
    rest = control_points()[1]
    maps = thin_plate_map(placed, to_texture(rest), (size, size), step=4 if size >= 200 else 2)
    warped = cv2.remap(who.texture, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    image = shaded(warped, maps, who.fold, intensities)
    canvas = Canvas(image, placed, who.rest, pose, who.light)
    paint_eyes(canvas, who.iris)
    jaw = sum(intensities.get(au, 0.0) / 5 * who.reach[au] * portrait.MOVES[au][66][1] for au in (26, 27))
    paint_mouth(canvas, float((points[66] - points[62]) @ DOWN), jaw)
    landmarks = placed[:68]
    if who.mirror:
        image = np.ascontiguousarray(image[:, ::-1])
        landmarks = landmarks[MIRROR_68] * (-1, 1) + (size - 1, 0)
    return image, landmarks
