"""The same images under every explanation: grids of people by classes, misclassified pairs, other datasets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.comparison import Compared
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.work import StudyWork, faces
from fer_batch.registry import nearest
from fer_batch.report import comparisons as pages
from fer_batch.report.comparison import Comparison, Section
from fer_batch.report.page import Picture
from fer_batch.storage.crop_set import open_crops
from fer_batch.types import InputError
from fer_batch.visualize.figure import save
from fer_batch.visualize.grid import Explained, comparison_grid, methods_figure
from fer_batch.visualize.rendering import view_title, views


@dataclass(frozen=True)
class Sample:
    """One sample of a network that was explained.

    Attributes
    ----------
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

    row: int
    key: tuple[str, int]
    subject: str
    truth: str
    predicted: str
    target: str
    names: frozenset[str]

    @property
    def correct(self) -> bool | None:
        """Whether the prediction is right; None where the truth is not known."""
        return self.truth == self.predicted if self.truth else None


def grids(work: StudyWork, *, people: int = 4, columns: Mapping[str, str] | None = None) -> Compared:
    """People by classes under every explanation, each cell titled true / predicted (PD-j).

    Parameters
    ----------
    work
        The study.
    people
        Rows of a grid.
    columns
        Title to the label that the source gives: `{pain3: PA3, pain4: PA4, disgust: disgust, happiness: happiness}`.
        The classes of the network where it is not given.
    """
    sections: list[tuple[str, Picture]] = []
    for network in work.shown():
        samples = samples_of(work, network)
        titles = dict(columns) if columns else {target: target for target in network.model.targets}
        _check_columns(titles, samples)
        chosen = _people_by_columns(samples, list(titles.values()), people)
        cells = work.of_network(network)
        explained = explain_samples(work, network, cells, [one for row in chosen.values() for one in row if one])
        table = [
            [explained.get(one.key, Explained(reason="")) if one else Explained(reason="no such image") for one in row]
            for row in chosen.values()
        ]
        for variant, look in views(cells):
            figure = comparison_grid(table, list(chosen), list(titles), variant, look)
            title = view_title(variant, look)
            alt = f"{len(chosen)} people by {', '.join(titles)}: maps of {title}, {network.title}"
            sections.append((title, Picture(save(figure), alt, network.title)))
    lead = "Rows are people, columns what they show; each cell says what is true, then what the network predicts."
    return Compared(pages.grids(sections, f"{lead} The map explains the predicted class."))


def misclassified(work: StudyWork, *, pairs: int = 2) -> Compared:
    """Pairs of images of one person that show the same and of which one is misclassified (PD-j).

    Parameters
    ----------
    work
        The study.
    pairs
        At most so many for each network.
    """
    sections = []
    for network in work.shown():
        found = _pairs(samples_of(work, network))[:pairs]
        cells = work.of_network(network)
        explained = explain_samples(work, network, cells, [one for pair in found for one in pair])
        pictures = []
        for pair in found:
            images = [(_where(one), explained[one.key]) for one in pair]
            figure = methods_figure(images, list(cells), f"{pair[0].subject}: {pair[0].truth}")
            alt = f"{pair[0].truth} of {pair[0].subject}, once taken for {pair[1].predicted}, under every explanation"
            pictures.append(Picture(save(figure), alt))
        none = () if found else ("Nobody has both a right and a wrong image of one class among those chosen.",)
        sections.append(Section(network.title, figures=tuple(pictures), notes=none))
    lead = "Two images of one person that show the same: the first is classified rightly, the second is not."
    return Compared(
        Comparison("misclassified", "Right and wrong answers under every explanation", lead, tuple(sections))
    )


def panel(work: StudyWork) -> Compared:
    """Stills of another dataset, cropped as the network's own, under every explanation (PD-k)."""
    sections = []
    for network in {cell.network.title: cell.network for cell in work.panel}.values():
        own = work.of_network(network, work.panel)
        cells = {name: cell for name, cell in own.items() if cell.status == "done"}
        samples = samples_of(work, network, all_rows=True)
        explained = explain_samples(work, network, cells, samples)
        images = [(one.key[0], explained[one.key]) for one in samples if one.key in explained]
        notes = tuple(f"{cell.variant}: {cell.reason}" for cell in own.values() if cell.status == "failed")
        alt = f"{len(images)} stills of another dataset under {', '.join(cells)}; {network.title}"
        pictures = (Picture(save(methods_figure(images, list(cells))), alt),) if images and cells else ()
        none = () if pictures else ("No face was found in its stills.",)
        sections.append(Section(network.title, figures=pictures, notes=(*notes, *none)))
    lead = "Images that no training of the study has seen, found, cut and scaled as its own. The maps explain the "
    page = Comparison("panel", "Faces of another dataset", f"{lead}predicted class.", tuple(sections))
    return Compared(page)


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
        found.append(
            Sample(row, (sequences[row], frames[row]), subject, "".join(truth[:1]), predicted, predicted, names_of)
        )
    return found


def _names(network: StudyNetwork) -> list[frozenset[str]]:
    """What the source says of every sample: its expression, and the targets that are annotated as present."""
    crops = open_crops(network.crops)
    rows = crops.table().take(network.samples["row"]) if network.samples.num_rows else None
    if rows is None:
        return []
    found = []
    for targets, occurs, emotion in zip(
        rows["targets"].to_pylist(), rows["occurrence"].to_pylist(), rows["emotion"].to_pylist(), strict=True
    ):
        present = {name for name, there in zip(targets or (), occurs or (), strict=True) if there}
        found.append(frozenset(present | ({emotion} if emotion else set())))
    return found


def _check_columns(columns: Mapping[str, str], samples: Sequence[Sample]) -> None:
    known = {name for sample in samples for name in sample.names}
    for title, name in columns.items():
        if known and name not in known:
            raise InputError(f"compare.grids.columns: {title}: no sample that is explained shows {name!r}; "
                             f"{nearest(name, known)}")  # fmt: skip


def _people_by_columns(samples: Sequence[Sample], columns: Sequence[str], n: int) -> dict[str, list[Sample | None]]:
    """People with images of most columns, the first by name of equals; for each column their middle image."""
    by_person: dict[str, list[list[Sample]]] = {}
    for sample in samples:
        lists = by_person.setdefault(sample.subject, [[] for _ in columns])
        for place, name in enumerate(columns):
            if name in sample.names:
                lists[place].append(sample)
    order = sorted(by_person, key=lambda who: (-sum(map(bool, by_person[who])), who))
    return {who: [_middle(one) for one in by_person[who]] for who in order[:n]}


def _middle(samples: Sequence[Sample]) -> Sample | None:
    ordered = sorted(samples, key=lambda one: one.key)
    return ordered[len(ordered) // 2] if ordered else None


def _pairs(samples: Sequence[Sample]) -> list[tuple[Sample, Sample]]:
    """A right and a wrong image of one person and class, one pair for each person and class, in order of names."""
    groups: dict[tuple[str, str], list[Sample]] = {}
    for sample in sorted(samples, key=lambda one: one.key):
        if sample.truth:
            groups.setdefault((sample.subject, sample.truth), []).append(sample)
    found = []
    for _, group in sorted(groups.items()):
        right = [one for one in group if one.correct]
        wrong = [one for one in group if one.correct is False]
        if right and wrong:
            found.append((right[0], wrong[0]))
    # different people first: a page of one person shows how that person is explained
    seen: dict[str, int] = {}
    ranked = []
    for pair in found:
        seen[pair[0].subject] = seen.get(pair[0].subject, -1) + 1
        ranked.append((seen[pair[0].subject], pair))
    return [pair for _, pair in sorted(ranked, key=lambda item: item[0])]


def _where(sample: Sample) -> str:
    sequence, frame = sample.key
    return f"{sequence}, frame {frame}"


def explain_samples(
    work: StudyWork, network: StudyNetwork, cells: Mapping[str, Cell], samples: Sequence[Sample]
) -> dict[tuple[str, int], Explained]:
    """Faces and maps of some samples, by sequence and frame.

    Parameters
    ----------
    work
        The study.
    network
        Who explains.
    cells
        Its explanations.
    samples
        Of the network.
    """
    targets = {one.key: one.target for one in samples}
    maps: dict[tuple[str, int], dict[str, NDArray[np.float32]]] = {one.key: {} for one in samples}
    for variant, cell in cells.items():
        for image in work.images(cell, set(targets)):
            if (found := image.maps.get(targets[image.key])) is not None:
                maps[image.key][variant] = found
    crops = faces(network, [one.row for one in samples]) if samples else ()
    return {
        one.key: Explained(face, maps[one.key], one.truth, one.predicted, one.correct)
        for one, face in zip(samples, crops, strict=True)
    }
