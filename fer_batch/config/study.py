"""The job of a study: a grid of trainings, networks and explanations, and what is compared (docs/studies.md)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from fer_batch.config.reading import apply_override, build_job, load_yaml, merged, set_key
from fer_batch.config.run import RunConfig, build
from fer_batch.config.sections import Output, PathName, Section
from fer_batch.config.study_checks import check_study
from fer_batch.config.train import TrainConfig, build_train
from fer_batch.models.card import ModelSpec
from fer_batch.types import InputError

Values = dict[str, Any]  # of a job file
STUDY_KEYS = ("model", "output", "kind")  # of a run, which a study fills in


def _dotted(values: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    """Nested sections of what varies, as `--set` makes them, as dotted keys."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


class Grid(Section):
    """Keys that vary: the product of `vary`, or the listed `cells`."""

    vary: dict[str, tuple[Any, ...]] = Field(default_factory=dict)  # dotted key to its values
    cells: tuple[dict[str, Any], ...] = ()  # dotted keys to values, one cell each

    @field_validator("vary", mode="before")
    @classmethod
    def _lists(cls, vary: Any) -> Any:
        if not isinstance(vary, Mapping):
            return vary
        vary = dict(_dotted(vary))
        for key, values in vary.items():
            if not isinstance(values, list | tuple) or not values:
                raise ValueError(f"{key} needs a list of one value or more, got {values!r}")
            if any(values.index(value) < place for place, value in enumerate(values)):
                raise ValueError(f"{key} has the same value twice, got {values!r}")
        return vary

    @model_validator(mode="after")
    def _one_form(self) -> Grid:
        if self.vary and self.cells:
            raise ValueError("give either vary or cells, not both")
        return self

    def combinations(self) -> list[dict[str, Any]]:
        """What varies in each cell of the grid: dotted key to value; one empty cell where nothing does."""
        if self.cells:
            return [dict(cell) for cell in self.cells]
        return [dict(zip(self.vary, values, strict=True)) for values in itertools.product(*self.vary.values())]


class TrainingsConfig(Grid):
    """Trainings whose networks are compared, each explaining the people whom it was not trained on."""

    base: str | dict[str, Any]  # a training job: a file beside the study's, or the job itself
    set: dict[str, Any] = Field(default_factory=dict)  # dotted key to value, for every training


class Choose(Section):
    """Which inputs of a network are explained."""

    per_class: PositiveInt | None = None  # frames of each predicted class (methods H-1), drawn with `seed`; None: all
    per_subject: PositiveInt | None = None  # at most so many of a subject and predicted class
    seed: NonNegativeInt = 0
    inputs: tuple[str, ...] = ()  # sequence ids; all where empty


class RunsConfig(Grid):
    """How every network is explained."""

    # sections of a run job; `source` and `faces` only of networks that are given
    base: dict[str, Any] = Field(default_factory=dict)
    choose: Choose = Choose()

    @field_validator("choose", mode="before")
    @classmethod
    def _all(cls, value: Any) -> Any:
        return {} if value == "all" else value


class PanelConfig(Section):
    """Stills of another dataset that the best network explains as well."""

    source: dict[str, Any] = Field(default_factory=dict)
    posed_seed: NonNegativeInt | None = None  # posed people whom no training has, in the place of a source
    n: PositiveInt = 6

    @model_validator(mode="after")
    def _one_origin(self) -> PanelConfig:
        if bool(self.source.get("uri")) == (self.posed_seed is not None):
            raise ValueError("give either source, such as --set panel.source.uri=DIR, or posed_seed")
        return self


def _by_name(compare: object) -> object:
    """What is compared as a mapping of names to options, where it is a list of names and such mappings."""
    if not isinstance(compare, list | tuple) or any(not isinstance(one, str | Mapping) for one in compare):
        return compare
    named: dict[str, object] = {}
    for one in compare:
        named |= {one: {}} if isinstance(one, str) else {name: options or {} for name, options in one.items()}
    return named


class StudyConfig(Section):
    """One job of `kind: study`."""

    kind: Literal["study"] = "study"
    name: PathName
    question: str = ""  # in words, for the page
    output: Output
    size: Literal["full", "small"] = "full"
    trainings: TrainingsConfig | None = None
    networks: tuple[ModelSpec, ...] = ()
    runs: RunsConfig = RunsConfig()
    compare: dict[str, dict[str, Any]]  # comparison to its options
    panel: PanelConfig | None = None
    keep_crops: bool = True

    @field_validator("networks", mode="before")
    @classmethod
    def _cards(cls, value: Any) -> Any:
        many = value if isinstance(value, list | tuple) else [value]
        return [{"checkpoint": one} if isinstance(one, str) else one for one in many]

    @field_validator("compare", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return _by_name(value)

    @model_validator(mode="after")
    def _networks_from_somewhere(self) -> StudyConfig:
        if bool(self.trainings) == bool(self.networks):
            raise ValueError("give exactly one of trainings and networks")
        if self.networks and "source" not in self.runs.base:
            raise ValueError("networks that are given need runs.base.source: what they are compared on")
        for key in STUDY_KEYS:
            if key in self.runs.base:
                raise ValueError(f"runs.base.{key} is not of a study: it fills that in; remove it")
        if not self.compare:
            raise ValueError("compare names no comparison; a study compares")
        return self


@dataclass(frozen=True)
class Study:
    """A study as it was read.

    Attributes
    ----------
    config
        Its job.
    trainings
        What varies in each training, and its job; empty where networks are given.
    """

    config: StudyConfig
    trainings: tuple[tuple[dict[str, Any], TrainConfig], ...]

    def run_jobs(self, values: Mapping[str, object]) -> Iterator[tuple[dict[str, Any], RunConfig]]:
        """What varies in each run of a network, and its job.

        Parameters
        ----------
        values
            What the study fills in: `name`, `source`, `output`, `model` and `faces`.
        """
        for varied in self.config.runs.combinations():
            job = {**deepcopy(self.config.runs.base), **values}
            _set_keys(job, varied, f"study {self.config.name!r}, runs.vary")
            yield varied, build(job, f"study {self.config.name!r}, runs")


def _set_keys(values: Values, keys: Mapping[str, object], where: str) -> None:
    for key, value in keys.items():
        try:
            set_key(values, str(key), value)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None


def read_study(path: str | Path, overrides: Sequence[str] = (), output: str | None = None) -> Study:
    """A job file of `kind: study` with its trainings; `--set size=small` lays the file's section `small` over the rest.

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
    values = dict(load_yaml(path))
    small = values.pop("small", {})
    if "compare" in values:
        values["compare"] = _by_name(values["compare"])
    probe: Values = {"size": values.get("size", "full")}
    for override in overrides:
        if override.startswith("size="):
            apply_override(probe, override)
    if probe["size"] == "small":
        if not small:
            raise InputError(f"{path}: size: small, but the job has no section 'small' that says what that is")
        try:
            values = merged(values, small)
        except InputError as error:
            raise InputError(f"{path}: small: {error}") from None
    for override in overrides:
        apply_override(values, override)
    if output is not None:
        values["output"] = output
    config = build_job(StudyConfig, values, str(path))
    study = Study(config, tuple(_trainings(config, Path(path).parent)))
    check_study(study, str(path))
    return study


def _trainings(config: StudyConfig, beside: Path) -> Iterator[tuple[dict[str, Any], TrainConfig]]:
    section = config.trainings
    if section is None:
        return
    where = str(beside / section.base) if isinstance(section.base, str) else f"study {config.name!r}, trainings.base"
    base: Values = dict(load_yaml(where)) if isinstance(section.base, str) else section.base
    for varied in section.combinations():
        values = deepcopy(base)
        _set_keys(values, section.set, f"study {config.name!r}, trainings.set")
        _set_keys(values, varied, f"study {config.name!r}, trainings.vary")
        values |= {"output": config.output, "keep_models": "all", "kind": "train"}
        try:
            yield varied, build_train(values, where)
        except InputError as error:  # which names keys of a training
            raise InputError(str(error).replace("--set sources.", "--set trainings.set.sources.")) from None
