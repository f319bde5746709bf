"""ATT-COS of layers and CAM-COS of explanations over the test parts of networks, folds together (methods E-4, E-5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.alignment import AlignmentTable, alignment_table
from fer_batch.evaluate.detection import f1
from fer_batch.evaluate.macro_mean import macro_mean
from fer_batch.evaluate.subject_mean import SubjectMean, subject_mean
from fer_batch.pipeline.study.cue_images import CueSamples
from fer_batch.pipeline.study.cue_measures import (
    MapSum,
)
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.work import faces


@dataclass(frozen=True)
class Column:
    """What is compared with the maps of Action Units.

    Attributes
    ----------
    metric
        `att_cos`: attention of a layer. `cam_cos`: maps of an explanation.
    name
        Of the layer, or of the explanation.
    """

    metric: Literal["att_cos", "cam_cos"]
    name: str


@dataclass(frozen=True)
class FoldCues:
    """One network with its own test people.

    Attributes
    ----------
    network
        Which.
    samples
        Its test part.
    labels : shape (m,), str
        Class of each pair of an image and a class that it shows.
    subjects
        Whose face each pair shows; an image without a subject is one by itself.
    cosines, constant
        By column, shape (m,), float64: of the column, and of a constant map.
    sums
        By what is summed (a column, or `cue_measures.UNITS` and `FACE`) and class.
    """

    network: StudyNetwork
    samples: CueSamples
    labels: NDArray[np.str_]
    subjects: tuple[str, ...]
    cosines: Mapping[Column, NDArray[np.float64]]
    constant: Mapping[Column, NDArray[np.float64]]
    sums: Mapping[tuple[Column | str, str], MapSum]

    def example(self, target: str) -> NDArray[np.uint8]:
        """Crop of the image whose maps are the first of a class, shape (size, size, 3), uint8, RGB."""
        valid = (self.labels == target) & np.isfinite(next(iter(self.constant.values())))
        return faces(self.network, self.samples.pair_rows[np.flatnonzero(valid)[:1]].tolist())[0]


@dataclass(frozen=True)
class NetworkCues:
    """The networks of all folds of one training, or a network that was given.

    Attributes
    ----------
    name, title
        Partition, and what pages call it.
    folds
        One or more, with the same columns.
    named
        Whether the job names the layers, whose places are then not those of the network's stages.
    """

    name: str
    title: str
    folds: tuple[FoldCues, ...]
    named: bool = False

    @property
    def columns(self) -> tuple[Column, ...]:
        """Layers from the input on, then explanations; those that every fold has."""
        return tuple(column for column in self.folds[0].cosines if all(column in fold.cosines for fold in self.folds))

    @property
    def layers(self) -> tuple[Column, ...]:
        """Layers from the input on."""
        return tuple(column for column in self.columns if column.metric == "att_cos")

    @property
    def explanations(self) -> tuple[Column, ...]:
        """In the order of the study."""
        return tuple(column for column in self.columns if column.metric == "cam_cos")

    @property
    def classes(self) -> tuple[str, ...]:
        """Outputs of which something says where they are, and that any image shows."""
        shown = {name for fold in self.folds for name in fold.labels.tolist()}
        return tuple(name for name in self.folds[0].network.model.targets if name in shown)

    @property
    def n_without(self) -> int:
        """Images left out because they have no landmarks."""
        return sum(fold.samples.n_without for fold in self.folds)

    @property
    def by_subject(self) -> bool:
        """Whether intervals are by people, not by images."""
        people = {name for fold in self.folds for name in fold.subjects}
        return len(people) < sum(len(fold.samples.rows) for fold in self.folds)

    @cached_property
    def sums(self) -> dict[tuple[Column | str, str], MapSum]:
        """Of all folds together."""
        found: dict[tuple[Column | str, str], MapSum] = {}
        for fold in self.folds:
            for key, own in fold.sums.items():
                found[key] = found[key] + own if key in found else own
        return found

    @cached_property
    def score(self) -> float:
        """Accuracy over all test images; of a network of Action Units its mean F1."""
        logits, labels, found = (
            np.concatenate([getattr(fold.network, name) for fold in self.folds])
            for name in ("logits", "labels", "detected")
        )
        if self.folds[0].network.model.head != "softmax":
            return f1(found, labels).mean
        known = (labels == 1).any(axis=1)
        return float((logits[known].argmax(1) == labels[known].argmax(1)).mean()) if known.any() else float("nan")

    def pooled(self, column: Column, target: str | None = None, fold: FoldCues | None = None) -> SubjectMean:
        """Mean cosine with its interval: of a class, or the unweighted mean over classes.

        Parameters
        ----------
        column
            What is compared.
        target
            A class; None for the mean over all.
        fold
            One fold; None for all together.
        """
        parts = self.folds if fold is None else (fold,)
        values = np.concatenate([part.cosines[column] for part in parts])
        labels = np.concatenate([part.labels for part in parts])
        subjects = [name for part in parts for name in part.subjects]
        if target is None:
            return macro_mean(values, labels.tolist(), subjects, bounds=(0, 1))
        own = np.flatnonzero(labels == target).tolist()
        return subject_mean(values[own], [subjects[place] for place in own], bounds=(0, 1))

    def table(self, fold: FoldCues | None = None, *, constant: bool = False) -> AlignmentTable:
        """Mean cosines by class and column; where asked for, those of a constant map.

        Parameters
        ----------
        fold
            One fold; None for all together.
        constant
            Of a constant map in the place of what is compared.
        """
        parts = self.folds if fold is None else (fold,)
        cosines = {
            f"{column.metric} {column.name}": np.concatenate(
                [(part.constant if constant else part.cosines)[column] for part in parts]
            )
            for column in self.columns
        }
        return alignment_table(cosines, np.concatenate([part.labels for part in parts]), self.classes)
