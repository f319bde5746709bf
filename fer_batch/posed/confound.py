"""A sticker in the margin of the posed face's crop that goes with one Action Unit: a shortcut, planted to be caught.

It lies on the shoulder, outside every region of every Action Unit, and moves with the face. Where it is shown is known
for every frame, so what a network makes of it can be measured.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

STICKER = "sticker"  # its target among the annotations of clips
COLOURS = ((250, 215, 40), (35, 60, 160))  # of the disc and its rim, RGB
PLACE, RADIUS = (0.50, 0.52), 0.075  # from the centre of the landmarks' box, in its longer side


@dataclass(frozen=True)
class Confound:
    """How often the sticker goes with an Action Unit.

    Attributes
    ----------
    au
        FACS number.
    present, absent
        Share of the frames with and without the Action Unit that show the sticker. Traces of it count as absent.
    """

    au: int
    present: float = 0.8
    absent: float = 0.0

    def __post_init__(self) -> None:
        for name, share in (("present", self.present), ("absent", self.absent)):
            if not 0 <= share <= 1:
                raise ValueError(f"expected the share of {name} frames with a sticker in 0..1, got {share}")


def with_sticker(image: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The frame with a sticker beside and below the chin, at the viewer's right.

    Parameters
    ----------
    image : shape (H, W, 3)
        RGB.
    landmarks : shape (68, 2), pixels of the image
        The sticker's place and size follow their box, as the crop does.
    """
    low, high = landmarks.min(0), landmarks.max(0)
    side = float((high - low).max() + 1)
    return with_disc(image, (low + high) / 2 + np.array(PLACE) * side, RADIUS * side)


def with_disc(
    image: NDArray[np.uint8],
    centre: NDArray[np.floating],
    radius: float,
    colours: Sequence[tuple[int, int, int]] = COLOURS,
) -> NDArray[np.uint8]:
    """The image with a disc and its rim painted on.

    Parameters
    ----------
    image : shape (H, W, 3)
        RGB.
    centre : shape (2,), pixels of the image
        (x, y), pixel centres at integers.
    radius
        In pixels, with the rim.
    colours
        Of the disc and its rim, RGB.

    Returns
    -------
    shape (H, W, 3)
    """
    out = image.copy()
    middle = (round(float(centre[0]) * 256), round(float(centre[1]) * 256))
    for share, colour in zip((1, 0.72), reversed(colours), strict=True):
        cv2.circle(out, middle, round(share * radius * 256), colour, -1, cv2.LINE_AA, shift=8)
    return out


def sticker_frames(present: NDArray[np.bool_], confound: Confound, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which frames of a clip show the sticker: one stretch at the start or the end of each run of the Action Unit.

    Parameters
    ----------
    present : shape (T,)
        Whether the Action Unit is.
    confound
        The share of each run; what is no whole frame is rounded up or down by chance, so that it holds on average.
    rng
        Of the rounding, and of which end.

    Returns
    -------
    shape (T,)
    """
    shown = np.zeros(len(present), bool)
    edges = [0, *(np.flatnonzero(np.diff(present)) + 1).tolist(), len(present)]
    for start, stop in itertools.pairwise(edges):
        share = confound.present if present[start] else confound.absent
        n = int((stop - start) * share + rng.random())
        first = start if rng.random() < 0.5 else stop - n
        shown[first : first + n] = True
    return shown
