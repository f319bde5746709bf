"""The job of a study: a grid of trainings, networks and explanations, and what is compared (docs/studies.md)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from fer_batch.config.reading import apply_override, build_job, load_yaml
from fer_batch.config.run import RunConfig, build
from fer_batch.config.sections import Output, PathName, Section
from fer_batch.config.train import TrainConfig, build_train
from fer_batch.models.card import ModelSpec
from fer_batch.types import InputError

Values = dict[str, Any]  # of a job file
STUDY_KEYS = ("source", "model", "output", "kind", "name")  # of a run, which a study fills in


class Grid(Section):
    """Keys that vary: the product of `vary`, or the listed `cells`."""

    vary: dict[str, tuple[Any, ...]] = Field(default_factory=dict)  # dotted key to its values
    cells: tuple[dict[str, Any], ...] = ()  # dotted keys to values, one cell each

    @field_validator("vary", mode="before")
    @classmethod
    def _lists(cls, vary: Any) -> Any:
        if not isinstance(vary, Mapping):
            return vary
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

    # sections of a run job; `source` where it is not the trainings' own test people
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
        if not isinstance(value, list | tuple):
            return value
        named: dict[str, Any] = {}
        for one in value:
            named |= {one: {}} if isinstance(one, str) else {name: options or {} for name, options in one.items()}
        return named

    @model_validator(mode="after")
    def _networks_from_somewhere(self) -> StudyConfig:
        if bool(self.trainings) == bool(self.networks):
            raise ValueError("give exactly one of trainings and networks")
        if self.networks and "source" not in self.runs.base:
            raise ValueError("networks that are given need runs.base.source: what they are compared on")
        for key in STUDY_KEYS[1:]:
            if key in self.runs.base and key != "name":
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
            for key, value in varied.items():
                set_key(job, key, value)
            yield varied, build(job, f"study {self.config.name!r}, runs")


def set_key(values: Values, key: str, value: Any) -> None:
    """Set a dotted key; sections on the way are made, and a mapping adds to the section that is there.

    Raises
    ------
    InputError
        If the key leads through something that is no section.
    """
    *parents, last = key.split(".")
    section: Any = values
    for parent in parents:
        section = section[int(parent)] if isinstance(section, list) else section.setdefault(parent, {})
        if not isinstance(section, dict | list):
            raise InputError(f"key {key!r}: {parent!r} is no section")
    if isinstance(section, list):
        section[int(last)] = deepcopy(value)
    else:
        section[last] = merged(section.get(last), value)


def merged(old: Any, new: Any) -> Any:
    """`new` over `old`: mappings key by key, members of a list by their number, everything else replaced."""
    if isinstance(old, list) and isinstance(new, Mapping) and {*map(str, new)} <= {*map(str, range(len(old)))}:
        given = {str(key): value for key, value in new.items()}  # as --set trainings.set.sources.0.uri names them
        return [merged(one, given.get(str(place), one)) for place, one in enumerate(old)]
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return deepcopy(new)
    return {**deepcopy(dict(old)), **{key: merged(old.get(key), value) for key, value in new.items()}}


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
    probe: Values = {"size": values.get("size", "full")}
    for override in overrides:
        if override.startswith("size="):
            apply_override(probe, override)
    if probe["size"] == "small":
        if not small:
            raise InputError(f"{path}: size: small, but the job has no section 'small' that says what that is")
        values = merged(values, small)
    for override in overrides:
        apply_override(values, override)
    if output is not None:
        values["output"] = output
    config = build_job(StudyConfig, values, str(path))
    study = Study(config, tuple(_trainings(config, Path(path).parent)))
    _check_trainings(study, str(path))
    _check_runs(study, str(path))
    return study


def _trainings(config: StudyConfig, beside: Path) -> Iterator[tuple[dict[str, Any], TrainConfig]]:
    section = config.trainings
    if section is None:
        return
    where = str(beside / section.base) if isinstance(section.base, str) else f"study {config.name!r}, trainings.base"
    base: Values = dict(load_yaml(where)) if isinstance(section.base, str) else section.base
    for varied in section.combinations():
        values = deepcopy(base)
        for key, value in {**section.set, **varied}.items():
            set_key(values, key, value)
        values |= {"output": config.output, "keep_models": "all", "kind": "train"}
        yield varied, build_train(values, where)


def _check_trainings(study: Study, where: str) -> None:
    seen: dict[str, dict[str, Any]] = {}
    for varied, job in study.trainings:
        key = job.model_dump_json(exclude={"resources", "name", "tensorboard"})
        _check_new(f"{where}: trainings.vary", varied, seen.setdefault(key, varied))


def _check_new(where: str, varied: dict[str, Any], first: dict[str, Any]) -> None:
    """Refuse a cell that is the same as the one that was first."""
    if varied is first:
        return
    key = next((name for name in varied if varied[name] != first.get(name)), "")
    if not key:
        raise InputError(f"{where}: the cell {varied!r} is listed twice")
    raise InputError(
        f"{where}: {key} changes nothing: its values {first.get(key)!r} and {varied[key]!r} are the same cell"
    )


def _check_runs(study: Study, where: str) -> None:
    """Refuse what no cell could run, before anything is trained."""
    source = study.config.runs.base.get("source", {"format": "crops", "uri": "crops"})
    filled = {"name": study.config.name, "source": source, "output": study.config.output, "model": {"checkpoint": "m"}}
    jobs = list(study.run_jobs(filled))
    seen: dict[str, dict[str, Any]] = {}
    for varied, job in jobs:
        changing = job.model_dump(mode="json", exclude={"resources", "phases", "report"})
        changing["explain"].pop("batch_size", None)
        key = json.dumps(changing, sort_keys=True, default=str)
        _check_new(f"{where}: runs.vary", varied, seen.setdefault(key, varied))
        if study.trainings and "source" not in study.config.runs.base and any(k.startswith("faces") for k in varied):
            raise InputError(f"{where}: runs.vary: faces changes nothing: the crops are the training's own; vary it in "
                             "trainings, or give runs.base.source")  # fmt: skip
    networks = len(study.config.networks) or len(study.trainings) * _folds(study)
    if len(jobs) * networks == 1:
        raise InputError(f"{where}: the grid has one cell, which compares nothing; vary something, or use kind: run")


def _folds(study: Study) -> int:
    """Folds of a training as far as its job says so: 2 stands for some."""
    split = study.trainings[0][1].split
    return {"folds": split.k, "leave_one_subject_out": 2}.get(split.kind, 1)
