"""The episodes of a recording on its page: each with the face at its peak, its stages behind it, and all in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fer_batch.report.chips import Chip
from fer_batch.report.page import DataTable
from fer_batch.report.stages import Stage

_BEGINS = {"gap": "begins after missing frames", "recording": "begins with the recording"}
_ENDS = {"gap": "ends before missing frames", "recording": "ends with the recording"}


@dataclass(frozen=True)
class EpisodeTarget:
    """One target of an episode.

    Attributes
    ----------
    label
        Its name, in the colours of its first cluster.
    n_frames
        In which it is active.
    peak_frame, evidence
        The frame with most evidence for it, and that evidence in log-odds.
    """

    label: Chip
    n_frames: int
    peak_frame: int
    evidence: float | None


@dataclass(frozen=True)
class Episode:
    """One episode.

    Attributes
    ----------
    text
        Its temporal prototype with ASCII arrows.
    stages
        In order.
    peak
        Number of the stage in which all of its targets together have most evidence, from 0.
    peak_frame
        There.
    targets
        That are active in it.
    start_s, end_s : seconds
        None without a clock.
    begins, ends
        `rest`, `gap` or `recording`.
    lasting
        Targets that are active all the time, for longer than an episode is long.
    """

    text: str
    stages: tuple[Stage, ...]
    first_frame: int
    last_frame: int
    n_frames: int
    peak: int
    peak_frame: int
    targets: tuple[EpisodeTarget, ...] = ()
    n_missing_frames: int = 0
    start_s: float | None = None
    end_s: float | None = None
    begins: str = "rest"
    ends: str = "rest"
    lasting: tuple[str, ...] = ()

    @property
    def shown(self) -> Stage:
        """The stage that stands for it."""
        return self.stages[self.peak]

    @property
    def when(self) -> str:
        """Its time, or its frames where there is no clock."""
        if self.start_s is None or self.end_s is None:
            return f"frames {self.first_frame}–{self.last_frame}"
        return f"{self.start_s:.2f}–{self.end_s:.2f} s"

    @property
    def edges(self) -> str:
        """What it does not lie between two rests for; empty where it does."""
        return ", ".join(text for text in (_BEGINS.get(self.begins), _ENDS.get(self.ends)) if text)


def episodes_table(episodes: Sequence[Episode]) -> DataTable | None:
    """Every target of every episode in numbers; None where there is no episode."""
    if not episodes:
        return None
    columns = (
        "Episode", "First frame", "Last frame", "Seconds", "Frames", "Missing", "Peak", "Target", "Active", "Its peak",
        "Log-odds there",
    )  # fmt: skip
    rows = []
    for number, one in enumerate(episodes, 1):
        seconds = None if one.start_s is None or one.end_s is None else round(one.end_s - one.start_s, 3)
        own = (number, one.first_frame, one.last_frame, seconds, one.n_frames, one.n_missing_frames, one.peak_frame)
        rows += [(*own, t.label.text, t.n_frames, t.peak_frame, t.evidence) for t in one.targets]
    caption = (
        "A row for each target. Missing: frames without a usable face, between the first and the last. Peak: the frame "
        "with most evidence for all targets together; its peak: for this one, in log-odds over what makes it active."
    )
    return DataTable("Episodes", columns, tuple(rows), caption)
