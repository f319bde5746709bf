"""The durable contracts: what a commit, a shard plan and a shard marker hold, checked whenever one is read.

Each is a small JSON file. One that cannot be read names itself and what to do, because what it says decides which rows
exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt, ValidationError

from fer_batch.storage.parquet import Partition
from fer_batch.storage.published import SHARD_MARKERS, FileState
from fer_batch.types import InputError

Row = Mapping[str, Any]  # of table `sequences`, or a record of ground truth: JSON values by column


def _committed(row: Row) -> Row:
    for key in ("sequence_id", "identity", "status"):
        if not isinstance(row.get(key), str):
            raise ValueError(f"a sequence without {key}")
    return {"input": row["sequence_id"], **row}  # the first version knew one person an input


def _named(row: Row) -> Row:
    if not isinstance(row.get("sequence_id"), str):
        raise ValueError("a source without sequence_id")
    return row


class Marker(BaseModel):
    """A frozen JSON file; keys that a newer version added are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    KIND: ClassVar[str] = "marker"
    CURE: ClassVar[str] = "remove it"

    def to_json(self) -> bytes:
        """The file's bytes, the same for equal markers."""
        return json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Self:
        """The marker of a file.

        Parameters
        ----------
        data
            Its bytes.
        where
            Its path, for the message.

        Raises
        ------
        InputError
            If it is cut off, or lacks what a marker of its kind holds.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            found = f"{place}: {first['msg']}" if place else first["msg"]
            raise InputError(f"{where} is no {cls.KIND} ({found}); {cls.cure(where)}") from None

    @classmethod
    def cure(cls, where: str) -> str:
        """What to do about a file of this kind that cannot be read, as part of a sentence."""
        stem = where.rpartition("/")[2].removesuffix(".json")
        return cls.CURE.format(stem=stem)


class ExplainCost(BaseModel):
    """What an explanation took, without decoding and without the prediction that chooses what is explained.

    The first call in each process traces the network and warms caches and kernels up, so it is kept apart.

    Attributes
    ----------
    seconds, n_images, n_maps
        Wall time of every later call, and the images and (image, target) pairs of these calls.
    first_seconds, n_first_images, n_first_maps
        The same of first calls.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    seconds: NonNegativeFloat = 0.0
    n_images: NonNegativeInt = 0
    n_maps: NonNegativeInt = 0
    first_seconds: NonNegativeFloat = 0.0
    n_first_images: NonNegativeInt = 0
    n_first_maps: NonNegativeInt = 0

    def __add__(self, other: ExplainCost) -> ExplainCost:
        return ExplainCost(**{name: getattr(self, name) + getattr(other, name) for name in ExplainCost.model_fields})

    @property
    def warm(self) -> bool:
        """Whether there was a call beside the first ones."""
        return self.n_images > 0

    @property
    def seconds_per_image(self) -> float | None:
        """Without first calls where there are others; None where nothing was explained."""
        seconds, n = (self.seconds, self.n_images) if self.warm else (self.first_seconds, self.n_first_images)
        return seconds / n if n else None


class Commit(Marker):
    """Phase 1 finished a unit.

    Attributes
    ----------
    unit_id, partition
        What was explained, and where its rows will live.
    n_files
        Stage files of the unit.
    sequences
        Rows of table `sequences`, each with the `identity` of its input and the `input` itself (of several people of
        one input only the first has its name).
    sources
        How the ground truth of each input is read: `sources.truth.truth_record`.
    explain_cost
        What its maps took; None where an earlier version committed the unit.
    """

    KIND: ClassVar[str] = "commit marker"
    CURE: ClassVar[str] = "`fer-batch verify OUT --repair` sets it aside, and the next run explains its input again"

    unit_id: str
    partition: Partition
    n_files: NonNegativeInt
    sequences: tuple[Annotated[Row, AfterValidator(_committed)], ...]
    sources: tuple[Annotated[Row, AfterValidator(_named)], ...] = ()
    explain_cost: ExplainCost | None = None

    def taking(self, identities: set[str]) -> Commit:
        """The same with the sequences of some inputs only."""
        chosen = tuple(row for row in self.sequences if row["identity"] in identities)
        return self.model_copy(update={"sequences": chosen})


@dataclass(frozen=True, slots=True)  # an output may hold a million
class PlannedUnit:
    """A unit of a shard and the inputs the shard takes of it: identity to the input's name."""

    unit_id: str
    members: dict[str, str]

    def without(self, inputs: set[str]) -> PlannedUnit:
        """The same less some inputs, by name."""
        return PlannedUnit(unit_id=self.unit_id, members={k: v for k, v in self.members.items() if v not in inputs})


class ShardPlan(Marker):
    """Which units share one file per table; written once, before the first of these files.

    Attributes
    ----------
    shard, partition
        Name of the files, and where they lie.
    units, sequences
        What is in them.
    faces
        Second and further people: sequence to input.
    annotations
        Ground truth that this shard publishes: sequence to version.
    replaces, replaces_annotations
        Sequences whose rows go from older shards when this one is made: shard to sequences.
    pruned
        Whether it is there for that alone: `pipeline.analysis.pruning`.
    """

    KIND: ClassVar[str] = "shard plan"
    CURE: ClassVar[str] = (
        "`fer-batch verify OUT --repair` sets it aside with the files of its shard, and the next run makes them again"
    )

    shard: str
    partition: Partition
    units: tuple[PlannedUnit, ...]
    sequences: tuple[str, ...]
    faces: dict[str, str] = {}
    annotations: dict[str, str]
    replaces: dict[str, tuple[str, ...]]
    replaces_annotations: dict[str, tuple[str, ...]]
    pruned: bool = False

    @property
    def number(self) -> int:
        """Rises over all partitions of an output: which plan is newer."""
        return int(self.shard.rpartition("-")[2])

    def holding(self, units: tuple[PlannedUnit, ...], annotations: Mapping[str, str]) -> ShardPlan:
        """The same plan with other units and ground truth."""
        return self.model_copy(update={"units": units, "annotations": dict(annotations)})

    def less(self, gone: set[str], truth: set[str]) -> ShardPlan:
        """The same plan without some sequences, and without the ground truth of some."""
        kept = {
            "sequences": tuple(name for name in self.sequences if name not in gone),
            "faces": {name: of for name, of in self.faces.items() if name not in gone},
            "annotations": {name: version for name, version in self.annotations.items() if name not in truth},
            "replaces": _less(self.replaces, gone),
            "replaces_annotations": _less(self.replaces_annotations, truth),
        }
        return self.model_copy(update=kept)


def _less(replaced: Mapping[str, tuple[str, ...]], gone: set[str]) -> dict[str, tuple[str, ...]]:
    """What a plan replaces, without some sequences."""
    left = {shard: tuple(name for name in names if name not in gone) for shard, names in replaced.items()}
    return {shard: names for shard, names in left.items() if names}


class ShardMarker(Marker):
    """The tables of a shard are all there.

    Attributes
    ----------
    shard, partition
        Name of the files, and where they lie.
    analysis_id
        Which options of phase 2 made them.
    units
        Ids of the units in it.
    counts
        Inputs by status.
    keep_relevance
        Which maps were kept, as the job said when the shard was published first.
    files
        What the file of each table was when it was published; None while it is written again, and no tables where an
        earlier version published the shard.
    explain_cost
        What the maps of its units took; None where an earlier version explained or published them.
    notable
        Status and reason of each sequence of its plan that is not plainly done; no status where the shard has no row
        of it. None where an earlier version published the shard.
    """

    KIND: ClassVar[str] = "shard marker"
    CURE: ClassVar[str] = ShardPlan.CURE

    shard: str
    partition: Partition
    analysis_id: str
    units: tuple[str, ...]
    counts: dict[str, NonNegativeInt]
    keep_relevance: str = "all"
    files: dict[str, FileState | None] = {}
    explain_cost: ExplainCost | None = None
    notable: dict[str, tuple[str, str | None]] | None = None

    @property
    def path(self) -> str:
        """Where it is, relative to the output."""
        return f"{SHARD_MARKERS}/{self.shard}.json"

    def file(self, table: str) -> str:
        """The shard's file of a table, relative to the output."""
        return f"{self.partition.folder(table)}/{self.shard}.parquet"

    def rewriting(self, tables: Iterable[str], analysis_id: str | None = None) -> ShardMarker:
        """The same before some of its files are written again: what they will be is not known yet.

        Parameters
        ----------
        tables
            Whose files.
        analysis_id
            Given where the analysis is made again: no job asks for it, so that a shard half made is never current.
        """
        files = {**self.files, **dict.fromkeys(tables)} if self.files else {}
        return self.model_copy(update={"files": files, "analysis_id": analysis_id or self.analysis_id})

    def without(self, gone: set[str]) -> ShardMarker:
        """The same without a word of some sequences."""
        notable = self.notable and {name: said for name, said in self.notable.items() if name not in gone}
        return self.model_copy(update={"notable": notable})
