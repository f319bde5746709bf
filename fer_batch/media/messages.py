"""What a worker and its decoding process say to each other."""

from __future__ import annotations

from typing import Any, Literal, Required, TypedDict


class Cut(TypedDict):
    """Crops instead of frames.

    Attributes
    ----------
    size
        Side of the crops in pixels.
    matrices
        Source to crop (six numbers) by frame index, whose keys are text once they were sent; None takes the whole of
        every frame.
    """

    size: int
    matrices: dict[Any, list[float]] | None


class Request(TypedDict):
    """What is wanted of a file; `sampling` has the fields of `Sampling`, empty for a picture.

    `skip`: whether to go on behind damage.
    """

    do: Literal["video", "image"]
    path: str
    sampling: dict[str, Any]
    cut: Cut | None
    skip: bool


class Command(Request):
    """A request to one process.

    Attributes
    ----------
    first
        Frame from which on pictures are wanted; those before it came from a process that was lost.
    again
        Whether a process was lost over the file.
    """

    first: int
    again: bool


class Message(TypedDict, total=False):
    """An answer; which fields it has goes by its kind. `slot`, `shape` and `ring` are the transport's own (`ring`)."""

    kind: Required[Literal["open", "alive", "frame", "lost", "end", "error", "memory"]]
    n_declared: int | None
    duration_s: float | None
    n_decoded: int
    fps: float | None
    reason: str | None
    partial: bool
    frame_index: int
    timestamp_ns: int
    height: int
    width: int
    message: str
    slot: int
    shape: tuple[int, ...]
    ring: tuple[int, int, int]
