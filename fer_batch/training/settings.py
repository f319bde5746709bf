"""What a training job says of labels, recipe and split. Free of torch, because reading a job needs no more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from fer_batch.facs import CODEBOOKS, OccurrenceRule
from fer_batch.registry import nearest

Schedule = Literal["constant", "step", "warm_cosine"]
Selection = Literal["last", "best_validation", "best_test"]


@dataclass(frozen=True)
class LabelSettings(OccurrenceRule):
    """How annotations become labels (docs/training.md): the occurrence rule, and what a training adds to it.

    Attributes
    ----------
    only_present
        Of Action Units: keep only the frames that show at least one of the targets.
    whole_inputs
        For classes: the expression of an input is that of all its frames.
    classes
        Name in a source to class, such as `{PA3: pain, PA4: pain}`.
    per_subject
        For classes: keep at most so many crops of each subject and class, evenly spaced over its inputs and frames in
        order (methods PD-a: 321).

    Raises
    ------
    ValueError
        If `per_subject` is below 1.
    """

    only_present: bool = False
    whole_inputs: bool = False
    classes: dict[str, str] = field(default_factory=dict)
    per_subject: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.per_subject is not None and self.per_subject < 1:
            raise ValueError(f"per_subject must be a whole number >= 1, got {self.per_subject!r}")


@dataclass(frozen=True)
class RecipeSettings:
    """How a network is fitted (methods 5).

    Attributes
    ----------
    id
        Its name in tables and on cards (`T-VP`).
    epochs
        At most.
    batch_size
        Samples of one step; over several workers together.
    optimizer, learning_rate, momentum, weight_decay
        A name of `recipe.OPTIMIZERS` and its numbers; `momentum` is for `sgd`, and `weight_decay` is on weights, not on
        biases and norms, for `adamw` alone.
    schedule, step_epochs, step_factor
        `constant`; `step` multiplies the rate by `step_factor` every `step_epochs`; `warm_cosine` rises over the first
        tenth of the steps and falls to 0 as a cosine.
    class_weights
        Weigh the positives of a target by N-/N+ of the training part (L-1).
    l2, l2_layers
        Adds l2 times the squared weights of the layers with these prefixes (L-5).
    trainable
        Prefixes of what is trained; everything where empty.
    augment, augment_options
        A name of `augment.AUGMENTATIONS` and its arguments.
    augment_validation
        Augment the validation part too, anew in every epoch (methods PP-PD); what is tested never is.
    patience
        Stop after this many epochs in a row whose validation loss is not below the least so far.
    selection
        Which epoch is kept: the last, or the one of least loss on the validation part, or on the test part (the
        protocol of some papers, and a leak).
    autocast
        Compute in bfloat16 where that is safe and the device does so by itself.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    id: str = "custom"
    epochs: int = 25
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.95
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    step_epochs: int = 4
    step_factor: float = 0.9
    class_weights: bool = True
    l2: float = 0.0
    l2_layers: tuple[str, ...] = ("fc.", "classifier.")
    trainable: tuple[str, ...] = ()
    augment: str = "none"
    augment_options: dict[str, Any] = field(default_factory=dict)
    augment_validation: bool = False
    patience: int | None = None
    selection: Selection = "last"
    autocast: bool = False

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("step_epochs", 1), ("patience", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be a whole number >= {least}, got {value!r}")
        for name in ("learning_rate", "step_factor"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be a number > 0, got {getattr(self, name)!r}")
        for name in ("momentum", "weight_decay", "l2"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be a number >= 0, got {getattr(self, name)!r}")

    @property
    def needs_validation(self) -> bool:
        """Whether a fold without a validation part cannot follow this recipe."""
        return self.patience is not None or self.selection == "best_validation"


@dataclass(frozen=True)
class AlignSettings:
    """Where a network is trained to look (methods 5, L-2 to L-4).

    Attributes
    ----------
    to
        What of the network is aligned with the maps: `attention`, the mean activation of a layer; `grad_cam` or
        `attribution` (gradient times activation) of what is shown; `gradient`, whose input gradients are punished
        outside the maps.
    maps
        `expression`: of the Action Units that the codebook gives to the class; `units`: of the annotated Action Units.
    codebook, disgust_release
        As in `facs.expression_units`.
    layers
        Names of modules, as `model.named_modules()` has them; `gradient` needs none.
    weight
        Lambda; at 0 the training is the one without.
    reduce
        Over several layers: their sum as printed, or their mean as released.

    Raises
    ------
    ValueError
        If the weight is negative, the codebook unknown, or no layer is named where one is needed.
    """

    to: Literal["attention", "attribution", "gradient", "grad_cam"] = "attention"
    maps: Literal["expression", "units"] = "expression"
    codebook: str = "martinez"
    disgust_release: bool = False
    layers: tuple[str, ...] = ()
    weight: float = 4.0
    reduce: Literal["sum", "mean"] = "sum"

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"weight must be a number >= 0, got {self.weight!r}")
        if self.codebook not in CODEBOOKS:
            raise ValueError(f"unknown codebook {self.codebook!r}; {nearest(self.codebook, CODEBOOKS)}")
        if self.to != "gradient" and not self.layers:
            raise ValueError(f"to: {self.to} is of layers; name one or more, such as layers: [layer4]")


@dataclass(frozen=True)
class SwapSettings:
    """What of a face a network is shown in its own surroundings; the rest is of other crops (`training.swapping`).

    Attributes
    ----------
    keep
        `face`: the whole face; `regions`: those of the Action Units that are learned, all of them on every crop.
    share
        Of the crops, drawn anew in every epoch; at 0 the training is the one without.
    margin
        By which what is kept is widened, in shares of the crop's side.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    keep: Literal["face", "regions"] = "face"
    share: float = 1.0
    margin: float = 0.04

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be a share of the crops from 0 to 1, got {self.share!r}")
        if not 0 <= self.margin <= 0.5:
            raise ValueError(f"margin must be a share of the crop's side from 0 to 0.5, got {self.margin!r}")


@dataclass(frozen=True)
class SplitSettings:
    """Who is trained on and who is tested (methods 6); always by subject.

    Attributes
    ----------
    kind
        The protocol.
    tested
        Dataset (or subject space) whose subjects are left out in turn; others are trained on.
    k
        Number of folds.
    test
        Share of the subjects that is tested, for a holdout.
    validation
        Share of the training subjects; of a given split, where the sources state no validation part.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    kind: Literal["leave_one_subject_out", "folds", "holdout", "given"] = "leave_one_subject_out"
    tested: str | None = None
    k: int = 5
    test: float = 0.2
    validation: float = 0.0

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be a whole number >= 1, got {self.k!r}")
        if not 0 < self.test < 1:
            raise ValueError(f"test must be a share between 0 and 1, got {self.test!r}")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation must be a share of at least 0 and below 1, got {self.validation!r}")
