"""The story of a sequence: its ordered stages, as text and as an identity (methods TP-4 to TP-7, TP-9)."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fer_batch import registry, types
from fer_batch.prototypes.stages import LabelSet, label_set, parse_stage, stage_text

ARROW = " -> "

MODES = ("subsequence", "contiguous", "stagewise")


def prototype_text(story: Iterable[LabelSet]) -> str:
    """`(NONE) -> (AU02_A) -> (AU01_A, AU02_A)`; the empty text for no stage."""
    return ARROW.join(map(stage_text, story))


def parse(text: str, targets: Iterable[str] = ()) -> tuple[LabelSet, ...]:
    """Read `prototype_text` back; an arrow `→` is read as well.

    Parameters
    ----------
    targets
        See `stages.parse_stage`.

    Raises
    ------
    ValueError
        If a part is not a stage.
    """
    known = tuple(targets)
    text = text.replace("→", "->").strip()
    return tuple(parse_stage(part, known) for part in text.split("->")) if text else ()


def text_id(text: str) -> str:
    """First 16 hex digits of sha256: equal for equal prototypes in any data set and run."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cooccurrence(story: Iterable[LabelSet]) -> tuple[LabelSet, ...]:
    """The story without letters, runs formed anew (methods TP-6)."""
    bare = (label_set((target, "") for target, _ in labels) for labels in story)
    return tuple(labels for labels, _ in itertools.groupby(bare))


@dataclass(frozen=True)
class TemporalPrototype:
    """The ordered stages of one sequence.

    Attributes
    ----------
    stages
        With frames and durations.
    n_missing_frames
        Sampled frames of the sequence that are not ok. Where there are stages, theirs add up to it.

    Notes
    -----
    Two sequences have the same prototype where `story` (equally `text` or `prototype_id`) is equal; durations do not
    matter to it (methods TP-5), but they do to `==`.
    """

    stages: tuple[types.Stage, ...]
    n_missing_frames: int = 0

    def __post_init__(self) -> None:
        for before, after in itertools.pairwise(self.stages):
            if before.last_frame >= after.first_frame or before.labels == after.labels:
                raise ValueError(f"stages must follow each other and differ; got {before} then {after}")

    @property
    def story(self) -> tuple[LabelSet, ...]:
        """Label set of every stage."""
        return tuple(stage.labels for stage in self.stages)

    @property
    def text(self) -> str:
        """`(NONE) -> (AU02_A) -> (AU01_A, AU02_A)`."""
        return prototype_text(self.story)

    @property
    def prototype_id(self) -> str:
        """Identity of the text."""
        return text_id(self.text)

    @property
    def cooccurrence(self) -> tuple[LabelSet, ...]:
        """Label sets without letters, runs formed anew."""
        return cooccurrence(self.story)

    @property
    def cooccurrence_text(self) -> str:
        """`(NONE) -> (AU02) -> (AU01, AU02)`."""
        return prototype_text(self.cooccurrence)

    @property
    def cooccurrence_id(self) -> str:
        """Identity of the text without letters."""
        return text_id(self.cooccurrence_text)

    @property
    def n_frames(self) -> int:
        """Ok frames."""
        return sum(stage.n_frames for stage in self.stages)

    @property
    def n_stages(self) -> int:
        """Stages, NONE included."""
        return len(self.stages)

    @property
    def n_distinct_stages(self) -> int:
        """Different label sets, NONE included (methods TP-7)."""
        return len(set(self.story))

    @property
    def paper_count(self) -> int:
        """Different label sets other than NONE, plus every NONE stage: how Finzel et al. count unique stages."""
        return len(set(self.story) - {()}) + self.story.count(())

    @property
    def reduction(self) -> float:
        """Reduction in description length, `1 - n_stages / n_frames`; NaN without frames (methods TP-8)."""
        return _reduction(self.n_stages, self.n_frames)

    @property
    def cooccurrence_reduction(self) -> float:
        """The same for the story without letters."""
        return _reduction(len(self.cooccurrence), self.n_frames)


def _reduction(n_stages: int, n_frames: int) -> float:
    return 1.0 - n_stages / n_frames if n_frames else float("nan")


def temporal_prototype(stages: Iterable[types.Stage], n_missing_frames: int | None = None) -> TemporalPrototype:
    """The prototype of a sequence.

    Parameters
    ----------
    stages
        As `find_stages` gives them.
    n_missing_frames
        Sampled frames of the whole sequence that are not ok; None adds up those of the stages, of which a sequence
        without an ok frame has none.
    """
    stages = tuple(stages)
    counted = sum(stage.n_missing_frames for stage in stages)
    if n_missing_frames is not None and n_missing_frames < counted:
        raise ValueError(f"n_missing_frames {n_missing_frames} is less than the {counted} that the stages count")
    return TemporalPrototype(stages, counted if n_missing_frames is None else n_missing_frames)


def stage_included(part: LabelSet, whole: LabelSet, *, none_strict: bool = True) -> bool:
    """Whether every label of `part` is in `whole`; with `none_strict`, NONE is only in NONE."""
    return not whole if none_strict and not part else set(part) <= set(whole)


def included(
    part: Sequence[LabelSet],
    whole: Sequence[LabelSet],
    *,
    mode: str = "subsequence",
    none_strict: bool = True,
    strict: bool = False,
) -> bool:
    """Whether one story is part of another (methods TP-9).

    Parameters
    ----------
    part, whole
        Label sets in order.
    mode
        `subsequence`: each stage of `part` is included in one of `whole`, in order, others may lie between.
        `contiguous`: in neighbouring ones. `stagewise`: both have equally many and each is included in its counterpart.
    none_strict
        NONE is included in NONE only, rather than in everything as the empty set is.
    strict
        Equal stories do not count.
    """
    if mode not in MODES:
        raise types.InputError(f"unknown inclusion mode {mode!r}; {registry.nearest(mode, MODES)}")
    if strict and tuple(part) == tuple(whole):
        return False

    def matches(a: Sequence[LabelSet], b: Sequence[LabelSet]) -> bool:
        return all(stage_included(p, w, none_strict=none_strict) for p, w in zip(a, b, strict=True))

    if mode == "stagewise":
        return len(part) == len(whole) and matches(part, whole)
    if mode == "contiguous":
        length = len(part)
        return any(matches(part, whole[i : i + length]) for i in range(len(whole) - length + 1))
    remaining = iter(whole)  # the earliest match leaves most of the rest, so greedy is exact
    return all(any(stage_included(p, w, none_strict=none_strict) for w in remaining) for p in part)
