"""Temporal prototypes: the ordered stages of a sequence, as text and as an identity (methods TP-4 to TP-9)."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fer_batch import registry, types
from fer_batch.prototypes.stages import LabelSet, label_set, parse_stage, stage_text

StageSequence = tuple[LabelSet, ...]  # label sets of the stages of a temporal prototype, in order

ARROW = " -> "

MODES = ("subsequence", "contiguous", "stagewise")


def prototype_text(stages: Iterable[LabelSet]) -> str:
    """`(NONE) -> (AU02_A) -> (AU01_A, AU02_A)`; the empty text for no stage (methods TP-4)."""
    return ARROW.join(map(stage_text, stages))


def parse(text: str, targets: Iterable[str] = ()) -> StageSequence:
    """Read `prototype_text` back; an arrow `→` is read as well.

    Parameters
    ----------
    text
        Stages in brackets with arrows between; empty for no stage.
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
    """First 16 hex digits of sha256: equal for equal prototypes in any data set and run (methods TP-5)."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cooccurrence(stages: Iterable[LabelSet]) -> StageSequence:
    """The stages without letters, runs formed anew (methods TP-6)."""
    bare = (label_set((target, "") for target, _ in labels) for labels in stages)
    return tuple(labels for labels, _ in itertools.groupby(bare))


def paper_count(stages: Sequence[LabelSet]) -> int:
    """Different label sets other than NONE, plus every NONE stage.

    References
    ----------
    Methods TP-7: how Finzel et al. (2021) count the unique stages of their example.
    """
    return len(set(stages) - {()}) + list(stages).count(())


def reduction(n_stages: int, n_frames: int) -> float:
    """Reduction in description length, `1 - n_stages / n_frames`; NaN without frames (methods TP-8)."""
    return 1.0 - n_stages / n_frames if n_frames else float("nan")


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
    Two sequences have the same prototype where `label_sets` (equally `text` or `prototype_id`) are equal; durations do
    not matter to it (methods TP-5), but they do to `==`.
    """

    stages: tuple[types.Stage, ...]
    n_missing_frames: int = 0

    def __post_init__(self) -> None:
        for before, after in itertools.pairwise(self.stages):
            if before.last_frame >= after.first_frame or before.labels == after.labels:
                raise ValueError(f"stages must follow each other and differ; got {before} then {after}")

    @property
    def label_sets(self) -> StageSequence:
        """Label set of every stage."""
        return tuple(stage.labels for stage in self.stages)

    @property
    def stage_texts(self) -> list[str]:
        """`(AU02_A)` of every stage."""
        return [stage_text(labels) for labels in self.label_sets]

    @property
    def text(self) -> str:
        """`(NONE) -> (AU02_A) -> (AU01_A, AU02_A)`."""
        return prototype_text(self.label_sets)

    @property
    def prototype_id(self) -> str:
        """Identity of the text."""
        return text_id(self.text)

    @property
    def cooccurrence(self) -> StageSequence:
        """Label sets without letters, runs formed anew."""
        return cooccurrence(self.label_sets)

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
        return len(set(self.label_sets))

    @property
    def reduction(self) -> float:
        """Reduction in description length; NaN without frames (methods TP-8)."""
        return reduction(self.n_stages, self.n_frames)


def temporal_prototype(stages: Iterable[types.Stage], n_missing_frames: int | None = None) -> TemporalPrototype:
    """The prototype of a sequence.

    Parameters
    ----------
    stages
        As `find_stages` gives them.
    n_missing_frames
        Sampled frames of the whole sequence that are not ok; None adds up those of the stages, of which a sequence
        without an ok frame has none.

    Raises
    ------
    ValueError
        If `n_missing_frames` is less than what the stages count, or stages overlap or repeat.
    """
    stages = tuple(stages)
    counted = sum(stage.n_missing_frames for stage in stages)
    if n_missing_frames is not None and n_missing_frames < counted:
        raise ValueError(f"n_missing_frames {n_missing_frames} is less than the {counted} that the stages count")
    return TemporalPrototype(stages, counted if n_missing_frames is None else n_missing_frames)


def stage_included(part: LabelSet, whole: LabelSet, *, none_strict: bool = True) -> bool:
    """Whether every label of `part` is in `whole` (methods TP-9).

    Parameters
    ----------
    part, whole
        Label sets.
    none_strict
        NONE is included in NONE only, rather than in everything as the empty set is.
    """
    return not whole if none_strict and not part else set(part) <= set(whole)


def included(
    part: Sequence[LabelSet],
    whole: Sequence[LabelSet],
    *,
    mode: str = "subsequence",
    none_strict: bool = True,
    strict: bool = False,
) -> bool:
    """Whether one temporal prototype is part of another (methods TP-9).

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
        Equal prototypes do not count.

    Raises
    ------
    InputError
        If the mode is not known.
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
