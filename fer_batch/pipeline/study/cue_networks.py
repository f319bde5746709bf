"""The figures of every network of a study: what is computed, on Ray, and how it comes together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.pipeline.study.comparisons.networks import title_of, trained
from fer_batch.pipeline.study.computed import Task, computed
from fer_batch.pipeline.study.cue_figures import Column, FoldCues, NetworkCues
from fer_batch.pipeline.study.cue_images import Codebook, CueSamples, crop_landmarks, cue_samples
from fer_batch.pipeline.study.cue_measures import (
    CLASS_MAP,
    CONSTANT,
    LAYER,
    CuePart,
    MapSum,
    attention_tasks,
    class_map_tasks,
    read_parts,
)
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.types import InputError


@dataclass(frozen=True)
class _Asked:
    """What is computed of one network."""

    network: StudyNetwork
    samples: CueSamples
    attention: list[Task]
    class_maps: dict[str, list[Task]]

    @property
    def tasks(self) -> list[Task]:
        return [*self.attention, *(task for tasks in self.class_maps.values() for task in tasks)]


def network_cues(
    work: StudyWork, book: Codebook, layers: Sequence[str] = (), images: int | None = None
) -> list[NetworkCues]:
    """Cosines of every network of a study that explained something.

    Parameters
    ----------
    work
        The study.
    book
        Which Action Units a class has.
    layers
        Modules by name; the ends of the stages of each network where none is named.
    images
        At most so many of each network; all where None.

    Raises
    ------
    InputError
        If no image of any network has a map of Action Units.
    """
    landmarks: dict[str, NDArray[np.float32]] = {}
    asked: dict[str, list[_Asked]] = {}
    for name, networks in trained(work).items():
        for network in networks:
            if network.crops not in landmarks:
                landmarks = {network.crops: crop_landmarks(network.crops)}
            samples = cue_samples(network, book, landmarks[network.crops], images)
            if len(samples.rows):
                asked.setdefault(name, []).append(_asked(work, network, samples, tuple(layers)))
    if not asked:
        raise InputError("compare.action_unit_cues needs test images that show a class with Action Units (codebook "
                         f"{book.name}) and have 68 landmarks, and no network has any; give faces.detector one that "
                         "finds them, such as dlib")  # fmt: skip
    tasks = [task for own in asked.values() for one in own for task in one.tasks]
    results = computed(work, "action_unit_cues", tasks)
    paths = {task.path: str(result["path"]) for task, result in zip(tasks, results, strict=True)}
    return [
        NetworkCues(
            name,
            title_of(work, own[0].network, fold=False),
            tuple(_fold(work, one, paths) for one in own),
            named=bool(layers),
        )
        for name, own in asked.items()
    ]


def _asked(work: StudyWork, network: StudyNetwork, samples: CueSamples, layers: tuple[str, ...]) -> _Asked:
    uri, class_maps = work.store.uri, {}
    for variant, cell in work.of_network(network).items():
        if cell.job is not None:
            explain = cell.job.explain
            class_maps[variant] = class_map_tasks(uri, samples.images, explain.method, explain.options)
    return _Asked(network, samples, attention_tasks(uri, samples.images, layers), class_maps)


def _fold(work: StudyWork, asked: _Asked, paths: Mapping[str, str]) -> FoldCues:
    def read(tasks: Sequence[Task]) -> CuePart:
        return read_parts(work.store, (paths[task.path] for task in tasks))

    attention = read(asked.attention)
    parts = {variant: read(tasks) for variant, tasks in asked.class_maps.items()}
    cosines = {
        Column("att_cos", name.removeprefix(LAYER)): values
        for name, values in attention.cosines.items()
        if name.startswith(LAYER)
    }
    constant = dict.fromkeys(cosines, attention.cosines[CONSTANT])
    for variant, part in parts.items():
        cosines[Column("cam_cos", variant)] = part.cosines[CLASS_MAP]
        constant[Column("cam_cos", variant)] = part.cosines[CONSTANT]
    # an image without a map in one column counts in none, so that columns are of the same images
    known = np.isfinite(np.stack(list(cosines.values()))).all(axis=0)
    samples, network = asked.samples, asked.network
    return FoldCues(
        network=network,
        samples=samples,
        labels=np.asarray(network.model.targets)[samples.images.pairs[:, 1]],
        subjects=_subjects(network, samples),
        cosines={column: np.where(known, values, np.nan) for column, values in cosines.items()},
        constant={column: np.where(known, values, np.nan) for column, values in constant.items()},
        sums=dict(_sums(network, attention, parts)),
    )


def _subjects(network: StudyNetwork, samples: CueSamples) -> tuple[str, ...]:
    """Whose face each pair shows; an image without a subject stands for itself."""
    chosen = network.samples.select(["subject_id", "sequence_id", "frame_index"]).take(samples.pair_rows)
    columns = (chosen[name].to_pylist() for name in chosen.column_names)
    return tuple(who or f"{sequence}#{frame}" for who, sequence, frame in zip(*columns, strict=True))


def _sums(
    network: StudyNetwork, attention: CuePart, parts: Mapping[str, CuePart]
) -> Iterator[tuple[tuple[Column | str, str], MapSum]]:
    targets = network.model.targets
    for (name, output), own in attention.sums.items():
        column = Column("att_cos", name.removeprefix(LAYER)) if name.startswith(LAYER) else name
        yield (column, targets[output]), own
    for variant, part in parts.items():
        for (name, output), own in part.sums.items():
            if name == CLASS_MAP:
                yield (Column("cam_cos", variant), targets[output]), own
