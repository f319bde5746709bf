"""Samples of networks as pages show them: whose face, what is true, what is predicted, and the maps of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.work import StudyWork, faces
from fer_batch.storage.crop_set import open_crops
from fer_batch.visualize.grid import Explained


@dataclass(frozen=True)
class Sample:
    """One sample of a network that was explained.

    Attributes
    ----------
    network
        Who explains it: the network of its person's fold.
    row
        Among the network's samples.
    key
        Sequence and frame.
    subject
        Whose face it is.
    truth, predicted
        Names; `truth` is empty where it is not known.
    target
        Whose maps are shown: the predicted class.
    names
        Everything that the source says it shows.
    """

    network: StudyNetwork = field(repr=False)
    row: int
    key: tuple[str, int]
    subject: str
    truth: str
    predicted: str
    target: str
    names: frozenset[str]

    @property
    def place(self) -> tuple[str, str, int]:
        """Network, sequence and frame."""
        return self.network.title, *self.key

    @property
    def correct(self) -> bool | None:
        """Whether the prediction is right; None where the truth is not known."""
        return self.truth == self.predicted if self.truth else None


def samples_of(work: StudyWork, network: StudyNetwork, all_rows: bool = False) -> list[Sample]:
    """The samples of a network that were explained; of a network with several outputs those that find something.

    Parameters
    ----------
    work
        The study.
    network
        Whose.
    all_rows
        Whether all were.
    """
    rows = np.arange(network.samples.num_rows) if all_rows else work.explained(network)
    labels, logits, targets = network.labels, network.logits, network.model.targets
    sequences, frames = network.samples["sequence_id"].to_pylist(), network.samples["frame_index"].to_pylist()
    subjects, names = network.samples["subject_id"].to_pylist(), _names(network)
    found = []
    for row in rows.tolist():
        place = int(logits[row].argmax())
        truth = [target for target, label in zip(targets, labels[row], strict=True) if label == 1]
        predicted = targets[place]
        if network.model.head == "multilabel":
            if not network.detected[row, place]:
                continue
            truth = [predicted] if predicted in truth else truth[:1]
        subject = str(subjects[row] or sequences[row])
        names_of = names[row] | set(truth)
        key = sequences[row], frames[row]
        found.append(Sample(network, row, key, subject, "".join(truth[:1]), predicted, predicted, names_of))
    return found


def _names(network: StudyNetwork) -> list[frozenset[str]]:
    """What the source says of every sample."""
    if not network.samples.num_rows:
        return []
    return labels_of(open_crops(network.crops).table().take(network.samples["row"]))


def labels_of(rows: pa.Table) -> list[frozenset[str]]:
    """What the source says of every crop: its expression, and the targets that are annotated as present."""
    found = []
    for targets, occurs, emotion in zip(
        rows["targets"].to_pylist(), rows["occurrence"].to_pylist(), rows["emotion"].to_pylist(), strict=True
    ):
        present = {name for name, there in zip(targets or (), occurs or (), strict=True) if there}
        found.append(frozenset(present | ({emotion} if emotion else set())))
    return found


def explain_samples(
    work: StudyWork, samples: Sequence[Sample], cells: Mapping[str, Cell] | None = None
) -> dict[tuple[str, str, int], Explained]:
    """Faces and maps of some samples, by their place.

    Parameters
    ----------
    work
        The study.
    samples
        Each is explained by its own network.
    cells
        By explanation, of all samples; those of the study where they are not given.
    """
    networks = {one.network.title: one.network for one in samples}
    found = {}
    for title, network in networks.items():
        own = [one for one in samples if one.network.title == title]
        found.update(_explained(work, network, work.of_network(network) if cells is None else cells, own))
    return found


def _explained(
    work: StudyWork, network: StudyNetwork, cells: Mapping[str, Cell], samples: Sequence[Sample]
) -> dict[tuple[str, str, int], Explained]:
    targets = {one.key: one.target for one in samples}
    maps: dict[tuple[str, int], dict[str, NDArray[np.float32]]] = {one.key: {} for one in samples}
    for variant, cell in cells.items():
        for image in work.images(cell, set(targets)):
            if (found := image.maps.get(targets[image.key])) is not None:
                maps[image.key][variant] = found
    crops = faces(network, [one.row for one in samples])
    return {
        one.place: Explained(face, maps[one.key], one.truth, one.predicted, one.correct)
        for one, face in zip(samples, crops, strict=True)
    }
