"""The records of a network: its card, its preprocessing, and the `model:` section of a job. Free of torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

Head = Literal["multilabel", "softmax"]
KeyMap = dict[str, str | None] | tuple[tuple[str, str | None], ...]

_STRICT = ConfigDict(frozen=True, extra="forbid")
_LATER = ("known", "outputs", "threshold")


Channels = tuple[float, float, float]
TRAIN = "train"
_ENLARGES = 0.05  # a std below it is one of values from 0 to 255; those of faces in [0, 1] are above 0.1


class _Input(BaseModel):
    """What of a crop reaches a network: its side, and its colours."""

    model_config = _STRICT

    size: PositiveInt = 112
    color: Literal["rgb", "gray", "bgr"] = "rgb"


class Preprocessing(_Input):
    """How a crop becomes the network's input: resized to `size`, scaled to [0, 1], then (x - mean) / std per channel.

    `color: gray` replaces the three channels by their luminance, three times (methods PP-1); `bgr` turns their order
    about, as networks of Caffe and OpenCV expect it. `mean` and `std` are in the order of the network's channels; a
    network of values from 0 to 255 has its mean divided by 255 and a std of 1 / 255.
    """

    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (1.0, 1.0, 1.0)

    @field_validator("std")
    @classmethod
    def _positive(cls, std: Channels) -> Channels:
        if min(std) <= 0:
            raise ValueError(f"std must be positive in every channel, got {std}")
        return std


class TrainPreprocessing(_Input):
    """The preprocessing of a training: numbers, or `train` where its training part decides (methods PP-PD).

    What is measured on the training part of a fold becomes numbers in the card of its network.
    """

    mean: Channels | Literal["train"] = (0.0, 0.0, 0.0)
    std: Channels | Literal["train"] = (1.0, 1.0, 1.0)

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _numbers_or_train(cls, value: Any) -> Any:
        if isinstance(value, str) and value != TRAIN:
            raise ValueError(f"expected three numbers, or train for those of the training part; got {value!r}")
        return value

    @field_validator("std")
    @classmethod
    def _positive(cls, std: Channels | Literal["train"]) -> Channels | Literal["train"]:
        return std if isinstance(std, str) else Preprocessing(std=std).std

    @property
    def measured(self) -> tuple[str, ...]:
        """Which of `mean` and `std` the training part decides."""
        return tuple(name for name in ("mean", "std") if getattr(self, name) == TRAIN)

    @property
    def unit_range(self) -> bool:
        """Whether the network gets pixels from 0 to 1, whatever is taken off them; not where a std enlarges them."""
        return isinstance(self.std, str) or min(self.std) > _ENLARGES

    def with_numbers(self, mean: Channels = (0.0, 0.0, 0.0), std: Channels = (1.0, 1.0, 1.0)) -> Preprocessing:
        """The preprocessing of a fold: what is measured replaced by these numbers, and the job's where it has some."""
        return Preprocessing(
            size=self.size,
            color=self.color,
            mean=mean if isinstance(self.mean, str) else self.mean,
            std=std if isinstance(self.std, str) else self.std,
        )


class _Written(BaseModel):
    """A record that is written down. Keys that came later are left out where they say nothing, as before they came."""

    model_config = _STRICT

    @model_serializer(mode="wrap")
    def _without_later(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        found: dict[str, object] = write(self)
        return {key: value for key, value in found.items() if value is not None or key not in _LATER}


class Card(_Written):
    """The JSON beside a checkpoint.

    Attributes
    ----------
    name
        Short name; part of the `model=<name>-<hash8>` partition.
    architecture, factory, options
        A name known to `backbone.build`, or `package.module:callable` that is called with `options`; a factory is
        called only where the job names it too, for a card may come from anyone.
    targets
        What each output stands for, in the order of the outputs.
    head
        `multilabel` (one sigmoid per output) or `softmax` (one class of many).
    threshold
        From which probability on a multi-label target is active; 0.5 where None.
    trained_on, f1, metrics, licence, notes
        Where the weights come from, how well they do per target, and what may be done with them.
    trained_subjects
        Whose crops set the weights, as `dataset:subject`; empty where the card does not say.
    faces
        How the faces it was trained on were found and cut: `detector`, `choose`, `align`, `margin` of the job; `crop`
        says in words what a job cannot.
    digest
        sha256 of the weights file; verified when the card is read.
    demo
        True for weights that show the program, not faces.
    key_map
        How the names in the file become the names in the module (`checkpoint.rename`).
    outputs
        Numbers of the outputs of the file's last layer that the targets stand for, where it has more than they are.
    """

    name: str
    architecture: str | None = None
    factory: str | None = None
    options: dict[str, Any] = {}
    targets: tuple[str, ...]
    head: Head = "multilabel"
    threshold: float | None = None
    preprocessing: Preprocessing = Preprocessing()
    trained_on: tuple[str, ...] = ()
    trained_subjects: tuple[str, ...] = ()
    faces: dict[str, Any] = {}
    f1: dict[str, float | None] = {}
    metrics: dict[str, Any] = {}
    licence: str = ""
    digest: str = ""
    notes: str = ""
    demo: bool = False
    key_map: KeyMap | None = None
    outputs: tuple[NonNegativeInt, ...] | None = None


class ModelSpec(_Written):
    """The `model:` section of a job file; whatever it leaves out comes from the card beside the checkpoint.

    Attributes
    ----------
    known
        Name of a published network (`fer-batch networks`), whose record then stands in the place of the card.
    outputs
        Numbers of the outputs of the file's last layer that `targets` stand for, where it has more than they are.
    checkpoint
        Path or URI of a `.safetensors` or `.pt` file, or the name of a shipped one (`demo`, `demo-expressions`).
    threshold
        A multi-label target is active where its probability reaches this; the card's, or 0.5, where it is not given.
    """

    name: str | None = None
    known: str | None = None
    architecture: str | None = None
    factory: str | None = None
    options: dict[str, Any] | None = None
    checkpoint: str | None = None
    key_map: KeyMap | None = None
    outputs: tuple[NonNegativeInt, ...] | None = None
    head: Head | None = None
    targets: tuple[str, ...] | None = None
    threshold: float = 0.5
    preprocessing: Preprocessing | None = None

    @field_validator("threshold")
    @classmethod
    def _probability(cls, threshold: float) -> float:
        if not 0.0 < threshold < 1.0:
            raise ValueError(f"threshold is a probability between 0 and 1, got {threshold}")
        return threshold

    @model_validator(mode="after")
    def _one_source(self) -> ModelSpec:
        if self.architecture and self.factory:
            raise ValueError("give either architecture or factory, not both")
        return self
