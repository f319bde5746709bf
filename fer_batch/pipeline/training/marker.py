"""What is kept of a fold that is done: its marker, and the job it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np

from fer_batch.config import TrainConfig
from fer_batch.models.card import Preprocessing
from fer_batch.pipeline.training.shards import Crops
from fer_batch.storage.manifest import json_of
from fer_batch.storage.store import Store


class StatedParts(TypedDict):
    """Which stated parts a given split tests and validates on (`training.splits.Stated`)."""

    test: str
    validation: str


class FoldMarker(TypedDict):
    """What came of one fold, as JSON beside its network; undefined numbers are None.

    Attributes
    ----------
    fold, name
        Number of the fold, and the subject that is tested where it is one.
    stated
        Of a given split, which parts these are.
    epoch
        Which epoch was kept, from 1.
    f1, n_observed, n_positive, class_weights
        Of each target.
    accuracy, confusion
        Of classes on the test part; an earlier version kept no confusion matrix.
    loss
        On the test part; an earlier version did not keep it.
    preprocessing
        What the network was trained with, in numbers; an earlier version had no other than the job's.
    without_positives
        Targets that the training part never shows.
    history
        One entry per epoch: `split/metric` to value.
    subjects, n_samples
        By part of the fold; samples by dataset.
    """

    fold: int
    name: str
    stated: NotRequired[StatedParts | None]
    epoch: int
    f1: list[float | None]
    accuracy: NotRequired[float | None]
    confusion: NotRequired[list[list[int]] | None]
    loss: NotRequired[float | None]
    preprocessing: NotRequired[dict[str, object]]
    n_observed: list[int]
    n_positive: list[int]
    class_weights: list[float]
    without_positives: list[str]
    history: list[dict[str, float | None]]
    subjects: dict[str, list[str]]
    n_samples: dict[str, dict[str, int]]


@dataclass(frozen=True)
class FoldJob:
    """One fold of a training, as it travels to the processes that train it.

    Attributes
    ----------
    output, folder
        Where the training keeps its state: `<folder>/samples.parquet` and `<folder>/folds/`.
    targets
        Of the outputs, in order.
    index
        Which fold.
    """

    output: str
    folder: str
    config: TrainConfig
    crops: Crops
    targets: tuple[str, ...]
    index: int

    def path(self, suffix: str) -> str:
        """A file of this fold, relative to the output."""
        return f"{self.folder}/folds/{self.index:03d}{suffix}"

    def marker(self, store: Store) -> FoldMarker:
        """What came of the fold; it must be done."""
        found: FoldMarker = json_of(store, self.path(".json"), ("f1", "history"))
        return found


def preprocessing_of(config: TrainConfig, marker: FoldMarker) -> Preprocessing:
    """What the network of a fold was trained with: the job's, with what was measured on the training part."""
    kept = marker.get("preprocessing")
    return config.network.preprocessing.with_numbers() if kept is None else Preprocessing.model_validate(kept)


def defined(value: float) -> float | None:
    """The value as JSON and Parquet take it: None where it is undefined."""
    return None if np.isnan(value) else float(value)
