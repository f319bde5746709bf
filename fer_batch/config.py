"""The job file: read once into a frozen model, unknown keys refused with the nearest known one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from fer_batch.models.card import ModelSpec
from fer_batch.registry import nearest
from fer_batch.types import InputError

CHOICES = ("active", "annotated", "all")  # of explain.targets, beside names of the model's outputs


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SamplingConfig(_Section):
    """Which frames of a video are taken."""

    stride: PositiveInt = 1
    fps: PositiveFloat | None = None
    start_s: NonNegativeFloat | None = None
    stop_s: PositiveFloat | None = None
    max_frames: PositiveInt | None = None


class SourceConfig(_Section):
    """Where the inputs are."""

    format: str = "videos"
    uri: str
    pattern: tuple[str, ...] = ()
    columns: dict[str, str] = {}  # of a manifest: our name of a column to the name it has there
    options: dict[str, Any] = {}  # of the format (docs/datasets.md)
    sampling: SamplingConfig = SamplingConfig()

    @property
    def keywords(self) -> dict[str, Any]:
        """What the listing of the format is given."""
        return {**self.options, **({"columns": self.columns} if self.columns else {})}

    @field_validator("pattern", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else () if value is None else value

    @field_validator("uri", mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        if value in (None, ""):
            raise ValueError("name the folder of your media, for example --set source.uri=DIR")
        return value


class FacesConfig(_Section):
    """How faces are found and cropped. Landmarks of the source win over a detector."""

    detector: str = "dlib"  # dataset | dlib | none | package.module:factory
    every: PositiveInt = 5  # frames from one detection to the next; landmarks carry the box in between
    align: Literal["none", "eyes"] = "none"
    size: PositiveInt | None = None  # pixels; the model's input size where not given
    margin: NonNegativeFloat = 0.2  # of the box, on each side
    min_size: PositiveInt = 20  # pixels
    store: Literal["jpeg", "none"] = "jpeg"


class ExplainConfig(_Section):
    """What is explained, and how."""

    method: str = "preset_a_flat"
    targets: Literal["active", "annotated", "all"] | tuple[str, ...] = "active"
    options: dict[str, Any] = {}
    batch_size: PositiveInt = 32  # frames

    @field_validator("targets", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) and value not in CHOICES else value


class SprayConfig(_Section):
    """Spectral relevance analysis of one sequence and target (methods 9)."""

    rule: Literal["near_zero_gap", "eigengap", "near_zero"] = "near_zero_gap"
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


class ResourcesConfig(_Section):
    """What a run may take. Nothing here changes a result."""

    num_cpus: PositiveInt | None = None  # embedded Ray only; all cores where not given
    num_gpus: NonNegativeFloat | None = None  # per model actor; one where the cluster has any
    actors: PositiveInt = 1
    object_store_mb: PositiveInt = 512  # embedded Ray only
    scheduler: Literal["ray", "threads"] = "ray"  # of phase 2
    window: PositiveInt = 2000  # units handed to Ray at a time
    shard_units: PositiveInt = 16  # units of one file per table
    decode_timeout_s: PositiveFloat = 60.0  # without a frame
    decode_memory_mb: PositiveInt = 3072


class RunConfig(_Section):
    """One job of `kind: run`."""

    kind: Literal["run"] = "run"
    name: str
    source: SourceConfig
    output: str
    model: ModelSpec
    faces: FacesConfig = FacesConfig()
    explain: ExplainConfig = ExplainConfig()
    spray: SprayConfig = SprayConfig()
    regions: Literal["default", "none"] = "default"
    keep_relevance: Literal["all", "exemplars", "prototypes"] = "all"
    phases: tuple[Literal["explain", "prototypes", "report"], ...] = ("explain", "prototypes", "report")
    resources: ResourcesConfig = ResourcesConfig()

    @field_validator("phases", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("name")
    @classmethod
    def _partition_value(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", value):
            raise ValueError(f"names the dataset in paths: letters, digits, '_', '.', '-' only, got {value!r}")
        return value

    @field_validator("output", mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        if value in (None, ""):
            raise ValueError("name the output folder, for example --output OUT")
        return value

    @model_validator(mode="after")
    def _no_overlap(self) -> RunConfig:
        if self.output.rstrip("/") == self.source.uri.rstrip("/"):
            raise ValueError(f"output and source.uri are the same folder {self.output!r}")
        return self


def read_job(path: str | Path, overrides: tuple[str, ...] = (), output: str | None = None) -> RunConfig:
    """A job file with `--set dotted.key=value` overrides applied.

    Raises
    ------
    InputError
        One sentence that names the key, what was expected and the nearest valid key.
    """
    try:
        text = Path(path).read_text("utf-8")
    except FileNotFoundError:
        raise InputError(f"job file {str(path)!r} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"job file {str(path)!r} cannot be read: {error}") from error
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"job file {str(path)!r} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"job file {str(path)!r} must hold keys such as name, source, model; got {values!r:.60}")
    for override in overrides:
        _override(values, override)
    if output is not None:
        values["output"] = output
    kind = values.get("kind", "run")
    if kind != "run":
        raise InputError(f"job file {str(path)!r} is of kind {kind!r}; 'fer-batch run' takes kind: run")
    return build(values, str(path))


def build(values: dict[str, Any], where: str) -> RunConfig:
    """A run configuration from plain values; `where` names them in an error."""
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{where}: {_sentence(error)}") from None


def _override(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise InputError(f"--set {override!r}: expected dotted.key=value, for example --set source.uri=DIR")
    *parents, last = key.split(".")
    section = values
    for parent in parents:
        if section.get(parent) is None:
            section[parent] = {}
        section = section[parent]
        if not isinstance(section, dict):
            raise InputError(f"--set {override!r}: {parent!r} is no section of the job file")
    try:
        section[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        section[last] = text


def _known_keys(location: tuple[Any, ...]) -> list[str]:
    model: Any = RunConfig
    for part in location:
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is None:
            return []
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            options = [arg for arg in getattr(model, "__args__", ()) if isinstance(arg, type)]
            model = next((arg for arg in options if issubclass(arg, BaseModel)), model)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _sentence(error: ValidationError) -> str:
    problems = []
    for problem in error.errors():
        location = tuple(part for part in problem["loc"] if isinstance(part, str))
        key = ".".join(location) or "job"
        if problem["type"] == "extra_forbidden":
            known = _known_keys(location[:-1])
            problems.append(f"unknown key {key!r}" + (f"; {nearest(location[-1], known)}" if known else ""))
        elif problem["type"] == "missing":
            problems.append(f"missing key {key!r}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            got = problem.get("input")
            shown = "" if isinstance(got, dict) or "got" in message else f", got {got!r}"
            problems.append(f"{key}: {message[0].lower()}{message[1:]}{shown}")
    return "; ".join(problems)
