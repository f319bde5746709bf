"""The job of a run: its sections, composed of what the rooms say of their own settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator, model_validator

from fer_batch.config.reading import build_job, read_values
from fer_batch.config.sections import Output, PathName, Resources, Section, SourceConfig, same_place
from fer_batch.facs import OccurrenceRule
from fer_batch.media.settings import FaceSettings, MediaSettings
from fer_batch.models.card import ModelSpec
from fer_batch.prototypes.episodes import EpisodeRule
from fer_batch.types import InputError, MapStyle

CHOICES = ("active", "annotated", "all")  # of explain.targets, beside names of the model's outputs


class ExplainConfig(Section):
    """What is explained, and how."""

    method: str = "preset_a_flat"
    targets: Literal["active", "annotated", "all"] | tuple[str, ...] = "active"
    options: dict[str, Any] = Field(default_factory=dict)
    batch_size: PositiveInt = 32  # frames

    @field_validator("targets", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        if value == "predicted":  # of a network of classes, the one that it finds
            return "active"
        return (value,) if isinstance(value, str) and value not in CHOICES else value


class SprayConfig(Section):
    """Spectral relevance analysis of one sequence and target (methods 9)."""

    rule: Literal["steps", "paper", "near_zero_gap", "eigengap", "near_zero"] = "steps"  # paper is near_zero_gap
    align: Literal["face", "crop"] = "face"  # where maps are compared; not given, `crop` under the other rules
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05  # of `steps`: level of the test that a sequence has any step
    tau: PositiveFloat = 0.1
    n_neighbors: PositiveInt | None = None
    symmetry: Literal["mean", "max"] = "mean"
    normalise: Literal["l1", "signed", "absolute"] = "l1"
    downsize: PositiveInt | None = None  # pixels of the side maps are averaged down to
    max_clusters: PositiveInt = 20
    max_frames: PositiveInt = (
        1000  # a longer sequence is clustered on evenly spaced frames, the others join the nearest
    )
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _as_in_the_paper(cls, values: Any) -> Any:
        """A job that sets the graph means a rule of the graph; methods 9 know no standard face."""
        if not isinstance(values, dict):
            return values
        if {"tau", "n_neighbors", "symmetry"} & set(values):
            values = {"rule": "near_zero_gap", **values}
        return values if values.get("rule", "steps") == "steps" else {"align": "crop", **values}


class TemporalPrototypesConfig(Section):
    """How frames become stages (methods 10)."""

    min_run: PositiveInt = 1  # frames; a shorter run takes the labels of the run before it (TP-13)
    max_pattern: PositiveInt = 6  # stages up to which every pattern is looked for (TP-10)
    relation: Literal["equal", "subset"] = "equal"  # of a pattern's stages to those of a sequence (TP-10)


class LooksConfig(Section):
    """Clusters of clusters over the whole collection, which mean the same in every sequence (docs/looks.md)."""

    fit: Literal["keep", "refit"] = "keep"  # new clusters join the looks there are; or all looks are found anew
    distance: PositiveFloat = 0.05  # 1 - cosine, least between the maps of two looks
    max_looks: PositiveInt = 200  # of a target; clusters beyond have none


class PriceConfig(Section):
    """Prices of an hour for the estimate of a dry run, in any currency: that of a node over its number of them."""

    cpu: NonNegativeFloat | None = None
    gpu: NonNegativeFloat | None = None


class ResourcesConfig(Resources):
    """What a run may take. Nothing here changes a result."""

    actors: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None  # copies; as many as GPUs, one on CPUs
    object_store_mb: PositiveInt = 512  # embedded Ray only
    scheduler: Literal["ray", "threads"] = "ray"  # of phase 2
    shard_units: PositiveInt = 16  # units of one file per table
    price_per_hour: PriceConfig = PriceConfig()

    @model_validator(mode="after")
    def _agree(self) -> ResourcesConfig:
        if isinstance(self.actors, tuple) and self.actors[0] > self.actors[1]:
            raise ValueError(f"actors: the fewest come first, got {list(self.actors)}")
        return self


class RunConfig(Section):
    """One job of `kind: run`."""

    kind: Literal["run"] = "run"
    name: PathName
    source: SourceConfig
    output: Output
    model: ModelSpec
    media: MediaSettings = MediaSettings()
    faces: FaceSettings = FaceSettings()
    explain: ExplainConfig = ExplainConfig()
    spray: SprayConfig = SprayConfig()
    temporal_prototypes: TemporalPrototypesConfig = TemporalPrototypesConfig()
    looks: LooksConfig = LooksConfig()
    episodes: EpisodeRule = EpisodeRule()
    labels: OccurrenceRule = OccurrenceRule()
    regions: Literal["default", "none"] = "default"
    keep_relevance: Literal["all", "exemplars", "prototypes"] = "all"
    report: MapStyle = MapStyle()
    phases: tuple[Literal["explain", "prototypes", "report"], ...] = ("explain", "prototypes", "report")
    resources: ResourcesConfig = ResourcesConfig()

    @field_validator("phases", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("looks", mode="before")
    @classmethod
    def _fit_alone(cls, value: Any) -> Any:
        return {"fit": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _no_overlap(self) -> RunConfig:
        if same_place(self.output, self.source.uri):
            raise ValueError(f"output and source.uri are the same folder {self.output!r}")
        return self


def read_jobs(path: str | Path, overrides: tuple[str, ...] = (), output: str | None = None) -> tuple[RunConfig, ...]:
    """A job file of `kind: run` with `--set dotted.key=value` overrides applied, once for each of its explanations.

    Parameters
    ----------
    path
        Of the job file.
    overrides
        `dotted.key=value`; the value is YAML.
    output
        Replaces the output of the job.

    Raises
    ------
    InputError
        One sentence that names the key, what was expected and the nearest valid key.
    """
    return build_all(read_values(path, overrides, output, "run"), str(path))


def build_all(values: Mapping[str, object], where: str) -> tuple[RunConfig, ...]:
    """Run configurations from plain values, one for each entry of `explain`, which is a section or a list of them.

    Parameters
    ----------
    values
        As a job file has them.
    where
        Names them in an error.

    Raises
    ------
    InputError
        As `read_jobs`.
    """
    entries = values.get("explain")
    if not isinstance(entries, list):
        return (build(values, where),)
    if not entries:
        raise InputError(f"{where}: explain: an empty list; expected at least one, such as {{method: gradient}}")
    base = build({key: value for key, value in values.items() if key != "explain"}, where)
    return tuple(base.model_copy(update={"explain": _entry(entry, k, where)}) for k, entry in enumerate(entries))


def _entry(entry: object, k: int, where: str) -> ExplainConfig:
    if not isinstance(entry, Mapping):
        expected = "expected a section such as {method: gradient, targets: all}"
        raise InputError(f"{where}: explain.{k}: {expected}, got {entry!r}")
    return build_job(ExplainConfig, entry, f"{where}: explain.{k}")


def build(values: Mapping[str, object], where: str) -> RunConfig:
    """A run configuration from plain values; `where` names them in an error.

    Raises
    ------
    InputError
        As `read_jobs`.
    """
    return build_job(RunConfig, values, where)
