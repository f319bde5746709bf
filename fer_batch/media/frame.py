"""What a decoder gives of a file: frames, crops of frames, frames that are lost, and a summary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """One frame of a clip, or a still.

    Attributes
    ----------
    frame_index
        0-based in presentation order, before sampling.
    timestamp_ns
        From the first frame, as the file's clock says (not index / fps); None of a picture, which has no clock.
    image : shape (H, W, 3), uint8
        RGB as displayed: rotated and flipped as the file says, not stretched to the sample aspect ratio.
    """

    frame_index: int
    timestamp_ns: int | None
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class LostFrame:
    """A frame of a clip that is damaged or gone, before frames that are not.

    Attributes
    ----------
    frame_index, timestamp_ns
        As in `Frame`.
    reason
        What was damaged first in the clip.
    """

    frame_index: int
    timestamp_ns: int
    reason: str


@dataclass(frozen=True)
class Crop:
    """What `Decoder.crops` gives of a frame.

    Attributes
    ----------
    frame_index, timestamp_ns
        As in `Frame`.
    image : shape (size, size, 3), uint8, or None
        None where there is no matrix for the frame.
    height, width
        Of the displayed frame that was cropped, 0 where none was.
    lost
        Set where the frame is damaged or gone, as `LostFrame.reason`.
    """

    frame_index: int
    timestamp_ns: int
    image: NDArray[np.uint8] | None
    height: int = 0
    width: int = 0
    lost: str | None = None


@dataclass(frozen=True)
class Summary:
    """What is known of a clip so far.

    Attributes
    ----------
    n_declared
        Frames the container promises to show (edit lists considered), None where it says nothing believable.
    n_decoded
        True frames decoded, before sampling; fewer than the clip has where sampling ended early or frames are lost.
    fps
        Average rate by the container, None where it states none.
    reason
        Set where the clip ended early or was damaged but gave good frames.
    partial
        Whether less was read than is there, as far as it was asked for.
    duration_s
        That the container states or FFmpeg finds by its timestamps; None where neither says it.
    """

    n_declared: int | None = None
    n_decoded: int = 0
    fps: float | None = None
    reason: str | None = None
    partial: bool = False
    duration_s: float | None = None
