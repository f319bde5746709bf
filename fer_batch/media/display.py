"""A decoded frame as players show it. Runs in the decoding process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray


def displayed(frame: av.VideoFrame, converter: VideoReformatter) -> NDArray[np.uint8]:
    """RGB picture turned as its display matrix says; pixels are not stretched to the sample aspect ratio.

    Parameters
    ----------
    frame
        Of any pixel format.
    converter
        The clip's own: a frame's would be set up anew for each, which takes as long as converting it.

    Returns
    -------
    shape (H, W, 3), uint8
    """
    image: NDArray[np.uint8] = converter.reformat(frame, format="rgb24", threads=1).to_ndarray()  # type: ignore[assignment]
    side_data: Iterable[Any] = frame.side_data  # iterates over values, unlike the mapping its stub says it is
    for data in side_data:
        if data.type.name == "DISPLAYMATRIX":
            matrix = np.frombuffer(bytes(data)[:36], np.int32).reshape(3, 3)[:2, :2]
            return _turned(image, np.sign(matrix) * (np.abs(matrix) > 1 << 15))
    return image


def _turned(image: NDArray[np.uint8], matrix: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Apply a display matrix of whole quarter turns and flips; (x, y) of the source goes to (x, y) @ matrix."""
    if abs(int(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0])) != 1:
        return image  # an oblique or empty matrix: players differ, so the stored picture stands
    if matrix[0, 0] == 0:
        image = image.transpose(1, 0, 2)
        x_sign, y_sign = matrix[1, 0], matrix[0, 1]
    else:
        x_sign, y_sign = matrix[0, 0], matrix[1, 1]
    return image[:: int(y_sign), :: int(x_sign)]
