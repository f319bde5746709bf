"""Which networks of a study are the same but for the maps of Action Units that they were trained with (SA-l, SA-m)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fer_batch.pipeline.study.cue_figures import NetworkCues
from fer_batch.pipeline.study.work import StudyWork, Training


@dataclass(frozen=True)
class Aligned:
    """A network with what it was trained to align.

    Attributes
    ----------
    cues
        Its figures.
    weight
        Lambda; 0 without maps.
    layers
        That were aligned; empty without maps.
    own
        Whether it has the job's own alignment: no cell says another.
    reduce
        Over several layers.
    to
        What was aligned.
    """

    cues: NetworkCues
    weight: float
    layers: tuple[str, ...] = ()
    own: bool = False
    reduce: str = "sum"
    to: str = "attention"

    @property
    def layer_numbers(self) -> tuple[int, ...] | None:
        """The layers as SA counts them, from 1; None where one is no end of a stage, or others are compared."""
        names = [column.name for column in self.cues.layers]
        known = not self.cues.named and all(name in names for name in self.layers)
        return tuple(sorted(names.index(name) + 1 for name in self.layers)) if known else None


def layers_of(one: Aligned) -> str:
    """What was aligned, in words: layers, or `none`."""
    return " + ".join(one.layers) or ("none" if not one.weight else one.to)


@dataclass(frozen=True)
class Family:
    """Networks that differ in their alignment alone.

    Attributes
    ----------
    varied
        What distinguishes them from other families, dotted key to value.
    without
        Trained without maps.
    aligned
        Trained with maps, in the order of the study.
    """

    varied: Mapping[str, object]
    without: Aligned | None
    aligned: tuple[Aligned, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Values that vary, as text."""
        return tuple(value for value in self.varied.values() if isinstance(value, str))

    @property
    def title(self) -> str:
        """In words; empty of the job's own networks."""
        return ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in self.varied.items() if value)

    @property
    def chosen(self) -> tuple[Aligned, ...]:
        """Those that stand for the family beside the one without: the job's own alignment, or all where none is."""
        return tuple(one for one in self.aligned if one.own) or self.aligned

    def strengths(self) -> list[Aligned]:
        """One set of layers under several strengths, by strength; empty where strength does not vary."""
        sets: dict[tuple[object, ...], list[Aligned]] = {}
        for one in self.aligned:
            sets.setdefault((one.layers, one.reduce, one.to), []).append(one)
        longest = max(sets.values(), key=len, default=[])
        known = sorted(longest, key=lambda one: one.weight)
        if len(known) < 2:
            return []
        return [*([] if self.without is None else [self.without]), *known]

    def layer_sets(self) -> list[Aligned]:
        """One strength on several sets of layers, in the order of the study; empty where layers do not vary."""
        sets: dict[tuple[object, ...], list[Aligned]] = {}
        for one in self.aligned:
            sets.setdefault((one.weight, one.reduce, one.to), []).append(one)
        longest = max(sets.values(), key=len, default=[])
        if len({one.layers for one in longest}) < 2:
            return []
        return [*([] if self.without is None else [self.without]), *longest]


def families(work: StudyWork, networks: Sequence[NetworkCues]) -> list[Family]:
    """The families of a study, in the order of its trainings; a network that was given is in none.

    Parameters
    ----------
    work
        The study.
    networks
        With figures.
    """
    by_name = {one.name: one for one in networks}
    found: dict[str, tuple[dict[str, object], list[Aligned]]] = {}
    for training in work.trainings:
        if training.outcome.model in by_name:
            varied = {key: value for key, value in training.varied.items() if not _of_alignment(key)}
            _, members = found.setdefault(repr(sorted(varied.items(), key=str)), (varied, []))
            members.append(_aligned(training, by_name[training.outcome.model]))
    return [
        Family(
            varied,
            next((one for one in members if not one.weight), None),
            tuple(one for one in members if one.weight),
        )
        for varied, members in found.values()
    ]


def _of_alignment(key: str) -> bool:
    return key.partition(".")[0] == "align"


def _aligned(training: Training, cues: NetworkCues) -> Aligned:
    settings = training.config.align
    if settings is None or not settings.weight:
        return Aligned(cues, 0.0)
    own = not any(map(_of_alignment, training.varied))
    return Aligned(cues, float(settings.weight), tuple(settings.layers), own, settings.reduce, settings.to)
