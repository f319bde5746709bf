"""Identity switches of a clip of which one face is taken in each frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_batch.media.finder import MIN_CORRELATION, correlation, grey_patch
from fer_batch.media.landmarks import Box, Face
from fer_batch.media.tracks import MAX_DISTANCE, MAX_RATIO, centre, displacement


class IdentitySwitches:
    """Numbers the identities of a clip of which one face is taken in each frame: one more at each identity switch.

    A face that lies where the last one cannot have gone (as `FaceTracker` matches faces to tracks) and does not look
    like it is a switch. One that comes back after more than `max_gap` frames keeps the number: nobody knows who it is.
    So does one that takes the place of the last: a cut to a face at the same place is not noticed.
    """

    def __init__(self, max_gap: int = 25) -> None:
        self.max_gap = max_gap
        self.number = 0
        self._last: tuple[Box, NDArray[np.float32]] | None = None
        self._gap = 0

    def add(self, image: NDArray[np.uint8], face: Face | None, how: str) -> int:
        """Number of the face of the next frame.

        Parameters
        ----------
        image : shape (H, W, 3), uint8
            RGB.
        face
            None where there is none: the number stays.
        how
            `detected` or `tracked`; a face that was tracked is the last one.
        """
        self._gap += 1
        if face is None:
            return self.number
        if self._last is not None and how == "tracked":
            self._last = face.box, self._last[1]
        else:
            patch = grey_patch(image, face.box)
            if self._last is not None and self._gap <= self.max_gap and not self._continues(face.box, patch):
                self.number += 1
            self._last = face.box, patch
        self._gap = 0
        return self.number

    def pass_over(self) -> None:
        """Take notice of a frame that cannot be looked at."""
        self._gap += 1

    def _continues(self, box: Box, patch: NDArray[np.float32]) -> bool:
        assert self._last is not None
        before, likeness = self._last[0], correlation(self._last[1], patch)
        distance, ratio = displacement(before, centre(before), box)
        return (distance <= MAX_DISTANCE and ratio <= np.log(MAX_RATIO)) or likeness >= MIN_CORRELATION
