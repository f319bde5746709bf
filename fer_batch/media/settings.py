"""How clips are read, and faces found and cropped, as a job says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Damage = Literal["stop", "skip"]


@dataclass(frozen=True)
class MediaSettings:
    """How video files are read.

    Attributes
    ----------
    damage
        `skip`: behind a damaged stretch a clip is read on, and its frames are rows `decode_error`. `stop`: it ends
        there.
    """

    damage: Damage = "skip"


@dataclass(frozen=True)
class FaceSettings:
    """How faces are found and cropped. Landmarks of the source are preferred to a detector.

    Attributes
    ----------
    detector
        `dlib`, `dataset` (landmarks or boxes of the source only), `none` (the whole frame), or
        `package.module:factory`.
    choose
        Which of several faces: the `largest`, the longest `tracked` person, or `all` (docs/media.md).
    every
        Frames from one detection to the next; landmarks carry the box in between.
    align
        `eyes` rotates the crop until the eyes lie on one row.
    size : pixels
        Side of the crop; the network's input size where it is None.
    margin
        Of the face box, on each side, as a share of its side.
    min_size : pixels
        A smaller face is not used.
    store
        Whether crops are kept beside the maps.

    Raises
    ------
    ValueError
        If a number is out of range, or several faces are asked for without a detector.
    """

    detector: str = "dlib"
    choose: Literal["largest", "tracked", "all"] = "largest"
    every: int = 5
    align: Literal["none", "eyes"] = "none"
    size: int | None = None
    margin: float = 0.2
    min_size: int = 20
    store: Literal["jpeg", "none"] = "jpeg"

    def __post_init__(self) -> None:
        for name in ("every", "size", "min_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be a whole number >= 1, got {value!r}")
        if not self.margin >= 0:
            raise ValueError(f"margin must be a number >= 0, got {self.margin!r}")
        if self.choose != "largest" and self.detector in ("none", "dataset"):
            raise ValueError(f"choose: {self.choose} needs a detector, but detector is {self.detector!r}")
