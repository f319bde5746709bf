"""The job file: read once into a frozen model, unknown keys refused with the nearest known one."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from fer_batch.facs import OccurrenceRule
from fer_batch.models.card import KeyMap, ModelSpec, Preprocessing
from fer_batch.registry import nearest
from fer_batch.types import InputError, MapStyle

Job = TypeVar("Job", bound=BaseModel)
RENAMED = {"stories": "temporal_prototypes"}  # keys of earlier versions
CHOICES = ("active", "annotated", "all")  # of explain.targets, beside names of the model's outputs


def _path_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", value):
        raise ValueError(f"becomes part of a path: letters, digits, '_', '.', '-' only, got {value!r}")
    return value


def _output_given(value: Any) -> Any:
    if value in (None, ""):
        raise ValueError("name the output folder, for example --output OUT")
    return value


def same_place(one: str, other: str) -> bool:
    """Whether two paths lead to one folder, however they are spelled; URLs are taken as they are."""
    return real_place(one) == real_place(other)


def real_place(uri: str) -> str:
    """What a folder is known by: its real path, or its URL without a slash at the end."""
    path = uri.removeprefix("file://")
    return uri.rstrip("/") if "://" in path else os.path.realpath(os.path.expanduser(path))


PathName = Annotated[str, AfterValidator(_path_name)]
Output = Annotated[str, BeforeValidator(_output_given)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SamplingConfig(_Section):
    """Which frames of a video are taken."""

    stride: PositiveInt = 1
    fps: PositiveFloat | None = None
    start_s: NonNegativeFloat | None = None
    stop_s: PositiveFloat | None = None
    max_frames: PositiveInt | None = None
    slots: PositiveInt | None = None  # equal parts of the clip, of each of which
    per_slot: PositiveInt | None = None  # so many frames are taken


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
    choose: Literal["largest", "tracked", "all"] = "largest"  # of several faces; see docs/media.md
    every: PositiveInt = 5  # frames from one detection to the next; landmarks carry the box in between
    align: Literal["none", "eyes"] = "none"
    size: PositiveInt | None = None  # pixels; the model's input size where not given
    margin: NonNegativeFloat = 0.2  # of the box, on each side
    min_size: PositiveInt = 20  # pixels
    store: Literal["jpeg", "none"] = "jpeg"

    @model_validator(mode="after")
    def _choice_needs_a_detector(self) -> FacesConfig:
        if self.choose != "largest" and self.detector in ("none", "dataset"):
            raise ValueError(f"choose: {self.choose} needs a detector, but detector is {self.detector!r}")
        return self


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


class TemporalPrototypesConfig(_Section):
    """How frames become stages (methods 10)."""

    min_run: PositiveInt = 1  # frames; a shorter run takes the labels of the run before it (TP-13)
    max_pattern: PositiveInt = 6  # stages up to which every pattern is looked for (TP-10)
    relation: Literal["equal", "subset"] = "equal"  # of a pattern's stages to those of a sequence (TP-10)


class OccurrenceConfig(_Section):
    """When a target counts as annotated: by the stated occurrence, else by intensity (`facs.OccurrenceRule`)."""

    present_from: PositiveFloat | None = None  # where given, an intensity decides, whatever occurrence is stated
    absent_to: NonNegativeFloat = 0.0  # intensities between the two count as not annotated

    @model_validator(mode="after")
    def _apart(self) -> OccurrenceConfig:
        _ = self.rule
        return self

    @property
    def rule(self) -> OccurrenceRule:
        """The same for what reads annotations."""
        return OccurrenceRule(self.present_from, self.absent_to)


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
    name: PathName
    source: SourceConfig
    output: Output
    model: ModelSpec
    faces: FacesConfig = FacesConfig()
    explain: ExplainConfig = ExplainConfig()
    spray: SprayConfig = SprayConfig()
    temporal_prototypes: TemporalPrototypesConfig = TemporalPrototypesConfig()
    labels: OccurrenceConfig = OccurrenceConfig()
    regions: Literal["default", "none"] = "default"
    keep_relevance: Literal["all", "exemplars", "prototypes"] = "all"
    report: MapStyle = MapStyle()
    phases: tuple[Literal["explain", "prototypes", "report"], ...] = ("explain", "prototypes", "report")
    resources: ResourcesConfig = ResourcesConfig()

    @field_validator("phases", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _no_overlap(self) -> RunConfig:
        if same_place(self.output, self.source.uri):
            raise ValueError(f"output and source.uri are the same folder {self.output!r}")
        return self


class PosedConfig(_Section):
    """Posed people that the job makes by itself, once, in its output."""

    subjects: PositiveInt = 20
    clips: PositiveInt = 3  # of a subject
    frames: PositiveInt = 20  # of a clip
    seed: NonNegativeInt = 0


class TrainSourceConfig(SourceConfig):
    """One labelled collection to train or test on."""

    dataset: PathName  # goes before the ids of its subjects
    uri: str = ""
    posed: PosedConfig | None = None  # in the place of uri
    subjects: Literal["required", "per_input"] = "required"  # per_input: an input without a subject is one by itself
    subject_space: PathName | None = None  # sources of one space have the same people; each is its own if not given
    exclude: tuple[str, ...] = ()  # subjects whose inputs are skipped, as the papers leave some out

    @field_validator("uri", mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        return "" if value is None else value

    @field_validator("exclude", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        names = value if isinstance(value, list | tuple) else [] if value is None else [value]
        return tuple(str(name) if isinstance(name, int) else name for name in names)

    @property
    def space(self) -> str:
        """What the ids of its subjects are unique in."""
        return self.subject_space or self.dataset

    @model_validator(mode="after")
    def _one_origin(self) -> TrainSourceConfig:
        if bool(self.uri) == (self.posed is not None):
            place = "name the folder of the data, for example --set sources.0.uri=DIR"
            raise ValueError(place if self.posed is None else "give either uri or posed, not both")
        return self


class LabelsConfig(OccurrenceConfig):
    """How annotations become labels; see docs/training.md."""

    only_present: bool = False  # of Action Units: keep only the frames that show one of the targets at least
    whole_inputs: bool = False  # for classes: the expression of an input is that of all its frames
    classes: dict[str, str] = {}  # name in a source to class, such as {PA3: pain, PA4: pain}


class NetworkConfig(_Section):
    """The network that is trained, and the file it starts from."""

    name: PathName = ""  # the architecture where not given; of the checkpoint, and part of the model partition
    architecture: str | None = None
    factory: str | None = None
    options: dict[str, Any] = {}
    checkpoint: str | None = None  # pretrained weights; none starts afresh
    key_map: KeyMap | None = None
    fresh: tuple[str, ...] = ()  # prefixes of what does not come from the checkpoint; its last layer
    preprocessing: Preprocessing = Preprocessing()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("name"):
            return values
        built = str(values.get("architecture") or values.get("factory") or "")
        return {**values, "name": re.sub(r"[^A-Za-z0-9_.]+", "-", built).strip("-._") or "network"}

    @model_validator(mode="after")
    def _one_builder(self) -> NetworkConfig:
        if bool(self.architecture) == bool(self.factory):
            raise ValueError("give exactly one of architecture and factory")
        return self


class SplitConfig(_Section):
    """Who is trained on and who is tested (methods 6); always by subject."""

    kind: Literal["leave_one_subject_out", "folds", "holdout", "given"] = "leave_one_subject_out"
    tested: str | None = None  # dataset (or subject space) whose subjects are left out in turn; others are trained on
    k: PositiveInt = 5
    test: float = Field(default=0.2, gt=0, lt=1)  # share of the subjects, for holdout
    validation: float = Field(default=0.0, ge=0, lt=1)  # share of the training subjects; given: where none is stated


class RecipeConfig(_Section):
    """How the network is fitted; `fer_batch.training.recipe.Recipe` says what each means."""

    id: str = "custom"
    epochs: PositiveInt = 25
    batch_size: PositiveInt = 64
    optimizer: str = "sgd"
    learning_rate: PositiveFloat = 0.01
    momentum: NonNegativeFloat = 0.95
    weight_decay: NonNegativeFloat = 0.0
    schedule: Literal["constant", "step", "warm_cosine"] = "constant"
    step_epochs: PositiveInt = 4
    step_factor: PositiveFloat = 0.9
    class_weights: bool = True
    l2: NonNegativeFloat = 0.0
    l2_layers: tuple[str, ...] = ("fc.", "classifier.")
    trainable: tuple[str, ...] = ()
    augment: str = "none"
    augment_options: dict[str, Any] = {}
    patience: PositiveInt | None = None
    selection: Literal["last", "best_validation", "best_test"] = "last"
    autocast: bool = False


class TrainResourcesConfig(_Section):
    """What a training may take. Only `workers` changes a result: each sees its share of every batch."""

    num_cpus: PositiveInt | None = None  # embedded Ray only; all cores where not given
    workers: PositiveInt = 1  # processes that train one fold together
    folds_at_once: PositiveInt | None = None  # as many as CPUs (or GPUs) allow where not given
    num_gpus: NonNegativeFloat | None = None  # per worker; one where the cluster has any
    object_store_mb: PositiveInt = 256  # embedded Ray only
    window: PositiveInt = 2000  # units handed to Ray at a time
    decode_timeout_s: PositiveFloat = 60.0  # without a frame
    decode_memory_mb: PositiveInt = 3072


class TrainConfig(_Section):
    """One job of `kind: train`."""

    kind: Literal["train"] = "train"
    name: PathName
    sources: tuple[TrainSourceConfig, ...]
    output: Output
    seed: NonNegativeInt = 0
    head: Literal["multilabel", "softmax"] = "multilabel"
    targets: tuple[str, ...] = ()  # every Action Unit (or class) that is annotated, where none is named
    labels: LabelsConfig = LabelsConfig()
    faces: FacesConfig = FacesConfig()
    network: NetworkConfig
    recipe: RecipeConfig = RecipeConfig()
    split: SplitConfig = SplitConfig()
    keep_models: Literal["best", "all"] = "best"
    tensorboard: bool = False
    resources: TrainResourcesConfig = TrainResourcesConfig()

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        names = [source.dataset for source in self.sources]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"sources must be one or more, each a dataset of its own name; got {names}")
        spaces = [source.space for source in self.sources]
        if self.split.tested is not None and self.split.tested not in (*names, *spaces):
            raise ValueError(
                f"split.tested: no source is of dataset {self.split.tested!r}; "
                f"{nearest(self.split.tested, sorted({*names, *spaces}))}"
            )
        if any(source.uri and same_place(self.output, source.uri) for source in self.sources):
            raise ValueError(f"output and the uri of a source are the same folder {self.output!r}")
        watches = self.recipe.patience is not None or self.recipe.selection == "best_validation"
        if watches and not self.split.validation and self.split.kind != "given":
            raise ValueError("recipe.patience and best_validation watch a validation part; set split.validation")
        if self.head == "softmax" and len(set(self.targets)) < 2:
            raise ValueError("targets of a softmax head are its classes; name two or more")
        return self


def read_job(path: str | Path, overrides: tuple[str, ...] = (), output: str | None = None) -> RunConfig:
    """A job file of `kind: run` with `--set dotted.key=value` overrides applied.

    Raises
    ------
    InputError
        One sentence that names the key, what was expected and the nearest valid key.
    """
    return build(_values(path, overrides, output, "run"), str(path))


def read_train_job(path: str | Path, overrides: tuple[str, ...] = (), output: str | None = None) -> TrainConfig:
    """A job file of `kind: train`; as `read_job`."""
    return build_train(_values(path, overrides, output, "train"), str(path))


def _values(path: str | Path, overrides: tuple[str, ...], output: str | None, wanted: str) -> dict[str, Any]:
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
    if kind != wanted:
        hint = f"; 'fer-batch {kind}' takes it" if kind in ("run", "train") else ""
        raise InputError(f"job file {str(path)!r} is of kind {kind!r}{hint}; 'fer-batch {wanted}' takes kind: {wanted}")
    return values


def build(values: dict[str, Any], where: str) -> RunConfig:
    """A run configuration from plain values; `where` names them in an error."""
    return _built(RunConfig, values, where)


def build_train(values: dict[str, Any], where: str) -> TrainConfig:
    """A training configuration from plain values; `where` names them in an error."""
    return _built(TrainConfig, values, where)


def _built(kind: type[Job], values: dict[str, Any], where: str) -> Job:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{where}: {_sentence(error, kind)}") from None


def _override(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise InputError(f"--set {override!r}: expected dotted.key=value, for example --set source.uri=DIR")
    *parents, last = key.split(".")
    section: Any = values
    for parent in parents:
        if isinstance(section, list):  # of sections, which are named by their place
            if not parent.isdigit() or int(parent) >= len(section):
                raise InputError(
                    f"--set {override!r}: expected a number below {len(section)} in the place of {parent!r}"
                )
            section = section[int(parent)]
        else:
            if section.get(parent) is None:
                section[parent] = {}
            section = section[parent]
        if not isinstance(section, dict | list):
            raise InputError(f"--set {override!r}: {parent!r} is no section of the job file")
    if not isinstance(section, dict):
        raise InputError(f"--set {override!r}: {key!r} is no key of a section")
    try:
        section[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        section[last] = text


def _known_keys(location: tuple[Any, ...], job: type[BaseModel]) -> list[str]:
    model: Any = job
    for part in location:
        field = model.model_fields.get(part) if isinstance(model, type) and issubclass(model, BaseModel) else None
        if field is None:
            return []
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            options = [arg for arg in getattr(model, "__args__", ()) if isinstance(arg, type)]
            model = next((arg for arg in options if issubclass(arg, BaseModel)), model)
    if isinstance(model, type) and dataclasses.is_dataclass(model):
        return [field.name for field in dataclasses.fields(model)]
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _sentence(error: ValidationError, job: type[BaseModel]) -> str:
    problems = []
    for problem in error.errors():
        location = tuple(part for part in problem["loc"] if isinstance(part, str))
        key = ".".join(location) or "job"
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            if key in RENAMED:
                problems.append(f"key {key!r} is called {RENAMED[key]!r} now")
                continue
            known = _known_keys(location[:-1], job)
            problems.append(f"unknown key {key!r}" + (f"; {nearest(location[-1], known)}" if known else ""))
        elif problem["type"] == "missing":
            problems.append(f"missing key {key!r}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            got = problem.get("input")
            shown = "" if got is None or isinstance(got, dict) or "got" in message else f", got {got!r}"
            problems.append(f"{key}: {message[0].lower()}{message[1:]}{shown}")
    return "; ".join(problems)
