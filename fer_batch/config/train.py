"""The job of a training: its sections, composed of what the rooms say of their own settings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from fer_batch.config.reading import build_job, read_values
from fer_batch.config.sections import Output, PathName, Resources, Section, SourceConfig, same_place
from fer_batch.facs import au_id, expression_units
from fer_batch.media.settings import FaceSettings
from fer_batch.models.card import KeyMap, TrainPreprocessing
from fer_batch.models.known import known_section
from fer_batch.registry import nearest
from fer_batch.training.settings import AlignSettings, LabelSettings, RecipeSettings, SplitSettings, SwapSettings


class PosedConfig(Section):
    """Posed people that the job makes by itself, once, in its output."""

    subjects: PositiveInt = 20
    clips: PositiveInt = 3  # of a subject
    frames: PositiveInt = 20  # of a clip
    expressions: tuple[str, ...] = ()  # one clip each in the place of `clips`, such as pain3, pain4, disgust, happiness
    seed: NonNegativeInt = 0


class TrainSourceConfig(SourceConfig):
    """One labelled collection to train or test on."""

    dataset: PathName  # goes before the ids of its subjects
    uri: str = ""
    posed: PosedConfig | None = None  # in the place of uri
    subjects: Literal["required", "per_input"] = "required"  # per_input: an input without a subject is one by itself
    subject_space: PathName | None = None  # sources of one space have the same people; each is its own if not given
    inputs_per_subject: PositiveInt | None = None  # of each expression at most so many inputs of a subject
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


class NetworkConfig(Section):
    """The network that is trained, and the file it starts from."""

    name: PathName = ""  # the architecture where not given; of the checkpoint, and part of the model partition
    known: str | None = Field(default=None, exclude=True)  # a published network, which says what is left out below
    architecture: str | None = None
    factory: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    checkpoint: str | None = None  # pretrained weights; none starts afresh
    key_map: KeyMap | None = None
    fresh: tuple[str, ...] = ()  # prefixes of what does not come from the checkpoint; its last layer
    preprocessing: TrainPreprocessing = TrainPreprocessing()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("known"), str):
            values = known_section(values["known"], values)
        if not isinstance(values, dict) or values.get("name"):
            return values
        built = str(values.get("architecture") or values.get("factory") or "")
        return {**values, "name": re.sub(r"[^A-Za-z0-9_.]+", "-", built).strip("-._") or "network"}

    @model_validator(mode="after")
    def _one_builder(self) -> NetworkConfig:
        if bool(self.architecture) == bool(self.factory):
            raise ValueError("give exactly one of architecture and factory")
        return self


class TrainResourcesConfig(Resources):
    """What a training may take. Only `workers` changes a result: each sees its share of every batch."""

    workers: PositiveInt = 1  # processes that train one fold together
    folds_at_once: PositiveInt | None = None  # as many as CPUs (or GPUs) allow where not given
    object_store_mb: PositiveInt = 256  # embedded Ray only


class TrainConfig(Section):
    """One job of `kind: train`."""

    kind: Literal["train"] = "train"
    name: PathName
    sources: tuple[TrainSourceConfig, ...]
    output: Output
    seed: NonNegativeInt = 0
    head: Literal["multilabel", "softmax"] = "multilabel"
    targets: tuple[str, ...] = ()  # every Action Unit (or class) that is annotated, where none is named
    labels: LabelSettings = LabelSettings()
    faces: FaceSettings = FaceSettings()
    network: NetworkConfig
    recipe: RecipeSettings = RecipeSettings()
    align: AlignSettings | None = None
    swap_outside: SwapSettings | None = None
    split: SplitSettings = SplitSettings()
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
        if self.recipe.needs_validation and not self.split.validation and self.split.kind != "given":
            raise ValueError("recipe.patience and best_validation watch a validation part; set split.validation")
        if self.head != "softmax" and self.labels.per_subject is not None:
            raise ValueError("labels.per_subject counts the crops of a class; it goes with head: softmax")
        if self.head == "softmax" and len(set(self.targets)) < 2:
            raise ValueError("targets of a softmax head are its classes; name two or more")
        if self.head != "softmax" and self.recipe.augment == "cutmix":
            raise ValueError("recipe.augment: cutmix mixes the labels of classes; it goes with head: softmax")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Without a section where there is none or it does nothing: such a job has the identity of one without it."""
        found: dict[str, object] = handler(self)
        if self.swap_outside is not None and self.swap_outside.share == 0:
            found.pop("swap_outside", None)
        return {k: value for k, value in found.items() if k not in ("align", "swap_outside") or value is not None}

    @model_validator(mode="after")
    def _aligned(self) -> TrainConfig:
        align = self.align
        if align is None:
            return self
        head = {"expression": "softmax", "units": "multilabel"}[align.maps]
        if self.head != head:
            other = "units" if align.maps == "expression" else "expression"
            raise ValueError(
                f"align.maps: {align.maps} goes with head: {head}; a {self.head} head has align.maps: {other}"
            )
        try:
            units = self.units_of(self.targets)
        except ValueError as error:
            raise ValueError(f"align.maps: expression, codebook {align.codebook}: {error}") from None
        if units and not any(units):
            raise ValueError(f"align: none of the targets {', '.join(self.targets)} has Action Units to look at")
        return self

    @model_validator(mode="after")
    def _swapped(self) -> TrainConfig:
        if self.swap_outside is not None and self.swap_outside.keep == "regions" and self.head == "softmax":
            raise ValueError(
                "swap_outside.keep: regions is of Action Units; a softmax head has swap_outside.keep: face"
            )
        return self

    def units_of(self, targets: Sequence[str]) -> list[tuple[int, ...]]:
        """FACS numbers that `align` gives to targets; none to a class or target without Action Units.

        Raises
        ------
        ValueError
            If the codebook does not have a class.
        """
        align = self.align
        if align is None or align.maps == "units":
            return [() if (au := au_id(name)) is None else (au,) for name in targets]
        return [expression_units(name, align.codebook, align.disgust_release) for name in targets]

    @property
    def recipe_name(self) -> str:
        """The recipe as tables have it: its id, what is aligned with which weight, and what is kept of how many."""
        align, swap = self.align, self.swap_outside
        name = self.recipe.id if align is None else f"{self.recipe.id} + {align.to} x {align.weight:g}"
        if swap is None or swap.share == 0:
            return name
        margin = "" if swap.margin == SwapSettings.margin else f", margin {swap.margin:g}"
        return f"{name} + swap outside {swap.keep} x {swap.share:g}{margin}"


def read_train_job(path: str | Path, overrides: tuple[str, ...] = (), output: str | None = None) -> TrainConfig:
    """A job file of `kind: train` with `--set dotted.key=value` overrides applied.

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
    return build_train(read_values(path, overrides, output, "train"), str(path))


def build_train(values: Mapping[str, object], where: str) -> TrainConfig:
    """A training configuration from plain values; `where` names them in an error.

    Raises
    ------
    InputError
        As `read_train_job`.
    """
    return build_job(TrainConfig, values, where)
