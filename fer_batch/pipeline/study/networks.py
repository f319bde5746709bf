"""The networks of a study, each with samples it was not trained on: crops, labels, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.media.settings import FaceSettings
from fer_batch.models.card import ModelSpec, ResolvedModel, resolve
from fer_batch.pipeline.training.outcome import TrainOutcome
from fer_batch.pipeline.training.results import fold_results
from fer_batch.pipeline.training.tables import best_fold
from fer_batch.sources.crops import as_sequence
from fer_batch.storage.crop_set import open_crops
from fer_batch.storage.store import Store, join


@dataclass(frozen=True)
class StudyNetwork:
    """A network and the samples that it explains.

    Attributes
    ----------
    name
        Of the training, or of the network where it was given.
    fold
        Of the training; None of a network that was given.
    varied
        What distinguishes its training, dotted key to value.
    spec, model
        The section `model` of its runs, and what that is.
    crops
        URI of the crop set that its samples are of.
    samples
        A row for each sample: `row` in the crop set, `dataset`, `subject_id`, `sequence_id`, `frame_index`, `emotion`,
        `kind`, `labels` (1, 0 or NULL by target) and `logits` (by target).
    faces
        How the crops were cut.
    best
        Whether it is the best fold of its training; true of a network that was given.
    """

    name: str
    fold: int | None
    varied: Mapping[str, object]
    spec: ModelSpec
    model: ResolvedModel
    crops: str
    samples: pa.Table
    faces: FaceSettings = field(default_factory=FaceSettings)
    best: bool = True

    @property
    def title(self) -> str:
        """In words: its name, and the fold."""
        return self.name if self.fold is None else f"{self.name}, fold {self.fold}"

    @property
    def logits(self) -> NDArray[np.float32]:
        """What it answers, shape (n, A)."""
        return matrix(self.samples, "logits", len(self.model.targets))

    @property
    def labels(self) -> NDArray[np.float32]:
        """The truth, shape (n, A): 1, 0, or NaN where it is not known."""
        return matrix(self.samples, "labels", len(self.model.targets))

    @property
    def detected(self) -> NDArray[np.bool_]:
        """Outputs that it finds, shape (n, A): the class of the highest score, or every target above its threshold."""
        logits = self.logits
        if self.model.head == "softmax":
            return np.eye(logits.shape[1], dtype=bool)[logits.argmax(1)] if len(logits) else logits.astype(bool)
        return logits >= np.log(self.model.threshold / (1 - self.model.threshold))


def matrix(samples: pa.Table, column: str, width: int) -> NDArray[np.float32]:
    """A column of lists of one length as an array, shape (n, width), float32; NaN for NULL."""
    flat = samples[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32).reshape(-1, width)


def of_training(output: str, outcome: TrainOutcome, varied: Mapping[str, object]) -> list[StudyNetwork]:
    """The networks of all folds of a finished training, each with its own test people.

    Parameters
    ----------
    output
        Of the study.
    outcome
        Of the training.
    varied
        What distinguishes it.
    """
    config, crops = outcome.jobs[0].config, join(Store(output).uri, outcome.crops.folder)
    kinds, best = kinds_of(crops), outcome.folds[best_fold(outcome.folds)]["fold"]
    found = []
    for fold in fold_results(outcome):
        spec = ModelSpec(checkpoint=fold.checkpoint)
        found.append(
            StudyNetwork(
                name=outcome.model,
                fold=fold.fold,
                varied=dict(varied),
                spec=spec,
                model=resolve(spec),
                crops=crops,
                samples=with_kinds(fold.samples, kinds),
                faces=config.faces,
                best=fold.fold == best,
            )
        )
    return found


def kinds_of(crops: str) -> Mapping[tuple[str, str], str]:
    """Kind of every input of a crop set, by dataset and id."""
    rows = open_crops(crops).inputs().select(["dataset", "sequence_id", "kind"]).to_pylist()
    return {(row["dataset"], row["sequence_id"]): row["kind"] for row in rows}


def with_kinds(samples: pa.Table, kinds: Mapping[tuple[str, str], str]) -> pa.Table:
    """Samples with the kind of their input, and ids that begin with the dataset where there are several."""
    datasets, ids = samples["dataset"].to_pylist(), samples["sequence_id"].to_pylist()
    kind = [as_sequence(kinds.get(key)) for key in zip(datasets, ids, strict=True)]
    place = samples.column_names.index("sequence_id")
    return samples.set_column(place, "sequence_id", pa.array(qualified(datasets, ids, kinds))).append_column(
        "kind", pa.array(kind, pa.string())
    )


def qualified(datasets: Sequence[str], ids: Sequence[str], kinds: Mapping[tuple[str, str], str]) -> list[str]:
    """Ids of inputs that are unique over all datasets of a crop set."""
    several = len({dataset for dataset, _ in kinds}) > 1
    return [f"{dataset}/{one}" if several else one for dataset, one in zip(datasets, ids, strict=True)]
