"""The stages of a sequence on its page: as panels of a strip, and in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fer_batch.report.chips import Chip
from fer_batch.report.page import DataTable


@dataclass(frozen=True)
class Stage:
    """One stage of the strip and of the table of stages.

    Attributes
    ----------
    text
        `(AU01_A, AU02_A)`.
    labels
        In the order of the text; none for NONE.
    face
        Number of the frame whose crop it shows; None shows `outline`.
    outline
        SVG elements of a face on a canvas of 100x100.
    layer
        Number of the picture that lies over the face.
    tags
        (x, y, text) on a canvas of 100x100: which projection is whose.
    unexplained
        Whether its targets are active and none has a map.
    seconds
        Duration, where the frame rate is known.
    """

    text: str
    first_frame: int
    last_frame: int
    n_frames: int
    labels: tuple[Chip, ...] = ()
    n_missing_frames: int = 0
    seconds: float | None = None
    face: int | None = None
    outline: str = ""
    layer: int | None = None
    tags: tuple[tuple[float, float, str], ...] = ()
    unexplained: bool = False


def stages_table(stages: Sequence[Stage]) -> DataTable | None:
    """Stages in numbers; None where there is none."""
    if not stages:
        return None
    timed = any(stage.seconds is not None for stage in stages)
    columns = ("Stage", "Labels", "First frame", "Last frame", "Frames", "Missing")
    rows = tuple(
        (
            i,
            stage.text,
            stage.first_frame,
            stage.last_frame,
            stage.n_frames,
            stage.n_missing_frames,
            *((None if stage.seconds is None else round(stage.seconds, 3),) if timed else ()),
        )
        for i, stage in enumerate(stages, 1)
    )
    caption = (
        "First and last frame are both part of the stage. Missing: frames without a usable face in it or between it "
        "and the next stage; those before the first stage count there."
    )
    return DataTable("Stages", columns + (("Seconds",) if timed else ()), rows, caption)
