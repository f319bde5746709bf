"""Units of work: a video, an image sequence, or a pack of 64 stills.

Planning imports neither torch nor Ray, so that a run with nothing to do answers at once.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

from fer_batch.config import RunConfig
from fer_batch.explain.methods import METHODS
from fer_batch.facs import DEFAULT_RULE
from fer_batch.media.settings import MediaSettings
from fer_batch.models.card import ResolvedModel
from fer_batch.sources.crops import CROPS
from fer_batch.storage.manifest import PACK, digest
from fer_batch.storage.parquet import Partition
from fer_batch.types import InputError, SequenceRef

PACK_SIZE = 64
NO_FACE = "no frame shows a face that can be used"  # reason of an input that is done all the same
NO_FRAME = "no frame lies in the sampling window"  # the same of a clip that ends before the window begins


class ExplanationRefused(InputError):
    """An explanation of the job cannot be made with its method, options or targets.

    Attributes
    ----------
    explanation
        Which, by its place in the job.
    """

    def __init__(self, explanation: int, sentence: str) -> None:
        super().__init__(sentence)
        self.explanation = explanation


class Wanted(NamedTuple):
    """An explanation of the job that wants the maps of a unit, by its place, and the id it knows the unit by."""

    explanation: int
    unit_id: str


@dataclass(frozen=True)
class Unit:
    """What phase 1 does and commits as one.

    Attributes
    ----------
    unit_id
        Derived from the content of its members and from every option that changes a result.
    members
        One input, or up to 64 stills.
    identities
        The id that each member has by itself.
    wanted_by
        Explanations for which it is decoded, where a job has several; the unit is then named as the first names it.
    """

    unit_id: str
    members: tuple[SequenceRef, ...]
    identities: tuple[str, ...]
    wanted_by: tuple[Wanted, ...] = ()


def explain_key(config: RunConfig, model: ResolvedModel) -> dict[str, object]:
    """Every option, beside the model, that changes what phase 1 stores."""
    explain = config.explain.model_dump(mode="json", exclude={"batch_size"})
    method = explain["method"]
    resources = METHODS[method].resources if method in METHODS else ()  # an unknown one is refused before it runs
    explain["options"] = {name: value for name, value in explain["options"].items() if name not in resources}
    if config.explain.targets == "annotated" and config.labels != DEFAULT_RULE:
        explain["labels"] = asdict(config.labels)  # says which targets of a frame are explained
    faces = asdict(config.faces)
    faces["size"] = config.faces.size or model.preprocessing.size
    chosen = {"chosen": posixpath.basename(str(config.source.options["chosen"]))} if _chooses(config) else {}
    media = {} if config.media == MediaSettings() else {"media": asdict(config.media)}
    return {
        **media,  # not the default, so that ids are those of versions that had no such section
        **chosen,  # another choice of the same crops is no newer version of their rows
        "explain": explain,
        "faces": faces,
        "sampling": asdict(config.source.sampling),
        "threshold": model.threshold if model.head == "multilabel" else None,  # a softmax head has none
    }


def _chooses(config: RunConfig) -> bool:
    return config.source.format == CROPS and config.source.options.get("chosen") is not None


def partition_of(config: RunConfig, model: ResolvedModel) -> Partition:
    """Where the rows of a job live: another model or another way to explain is another partition."""
    return Partition(
        dataset=config.name,
        model=f"{model.name}-{model.digest[:8]}",
        explain=f"{config.explain.method}-{digest(explain_key(config, model), 8)}",
    )


def identity(ref: SequenceRef, partition: Partition) -> str:
    """Id of one input under one model and explanation; moving the source changes nothing."""
    return digest(
        [
            ref.sequence_id,
            ref.kind,
            ref.size,
            ref.version,
            ref.truth_version,
            ref.subject_id,
            ref.emotion,
            ref.skip_reason,
            partition.dataset,
            partition.model,
            partition.explain,
        ]
    )


def units_to_do(
    refs: Sequence[SequenceRef],
    partition: Partition,
    committed: set[str],
    pack_members: set[str],
    identities: Sequence[str] | None = None,
) -> list[Unit]:
    """Inputs that are not committed, as units in the order of their ids.

    Parameters
    ----------
    refs
        The listing, sorted.
    committed, pack_members
        Unit ids with a marker, and identities of the stills in committed packs.
    identities
        Of the inputs, where they are known.
    """
    known = zip(refs, identities or (identity(ref, partition) for ref in refs), strict=True)
    return _packed((ref, own) for ref, own in known if own not in (pack_members if ref.kind == "still" else committed))


def _packed(inputs: Iterable[tuple[SequenceRef, str]]) -> list[Unit]:
    """Units of inputs and their identities: each by itself, then stills in packs."""
    units, stills = [], []
    for ref, own in inputs:
        if ref.kind == "still":
            stills.append((ref, own))
        else:
            units.append(Unit(own, (ref,), (own,)))
    for start in range(0, len(stills), PACK_SIZE):
        members, owns = zip(*stills[start : start + PACK_SIZE], strict=True)
        units.append(Unit(PACK + digest(owns), members, owns))
    return units


def joint_units(refs: Sequence[SequenceRef], waiting: Sequence[Sequence[Unit]]) -> tuple[list[Unit], list[list[Unit]]]:
    """Units that are decoded once for every explanation that lacks them.

    Inputs that the same explanations lack come together, so that a unit has the same members under each of them, and
    the id that it would have if that explanation were run alone over these inputs.

    Parameters
    ----------
    refs
        The listing, sorted.
    waiting
        Of each explanation, what `units_to_do` found.

    Returns
    -------
    joint
        Each with `wanted_by`.
    own
        The same units as each explanation commits them.
    """
    lacking: dict[str, dict[int, str]] = {}
    for k, units in enumerate(waiting):
        for unit in units:
            for ref, identity_ in zip(unit.members, unit.identities, strict=True):
                lacking.setdefault(ref.sequence_id, {})[k] = identity_
    groups: dict[tuple[int, ...], list[SequenceRef]] = {}
    for ref in refs:
        if ref.sequence_id in lacking:
            groups.setdefault(tuple(lacking[ref.sequence_id]), []).append(ref)
    joint: list[Unit] = []
    own: list[list[Unit]] = [[] for _ in waiting]
    for explanations, members in groups.items():
        packs = [_packed((ref, lacking[ref.sequence_id][k]) for ref in members) for k in explanations]
        for units in zip(*packs, strict=True):
            for k, unit in zip(explanations, units, strict=True):
                own[k].append(unit)
            wanted_by = (Wanted(k, unit.unit_id) for k, unit in zip(explanations, units, strict=True))
            joint.append(replace(units[0], wanted_by=tuple(wanted_by)))
    return joint, own


def count_inputs(units: Iterable[Unit]) -> int:
    """Inputs in all units together."""
    return sum(len(unit.members) for unit in units)
