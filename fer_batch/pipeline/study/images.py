"""The images of a network that a comparison looks at closely, and the network and explainer that look at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_batch.models.card import ResolvedModel
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.storage.crop_set import open_crops


@dataclass(frozen=True)
class Drawn:
    """Images of one network, each with its predicted target.

    Attributes
    ----------
    crops
        URI of the crop set.
    numbers
        Of the crops.
    keys
        Sequence and frame of each.
    targets
        Output that each is predicted as.
    subjects
        Whose face each shows.
    model
        The network.
    """

    crops: str
    numbers: tuple[int, ...]
    keys: tuple[tuple[str, int], ...]
    targets: tuple[int, ...]
    subjects: tuple[str, ...]
    model: ResolvedModel

    @property
    def identity(self) -> list[object]:
        """JSON values that say which images and which network these are."""
        return [self.crops.rsplit("/", 1)[-1], list(self.numbers), list(self.targets), self.model.digest]


def drawn(work: StudyWork, network: StudyNetwork, n: int, seed: int = 0) -> Drawn:
    """A seeded draw among the explained samples of a network that find something.

    Parameters
    ----------
    work
        The study.
    network
        Whose.
    n
        At most so many; of as many people as can be.
    seed
        Of the draw.
    """
    samples = network.samples
    subjects = [str(who or where) for who, where in zip(samples["subject_id"].to_pylist(),
                                                        samples["sequence_id"].to_pylist(), strict=True)]  # fmt: skip
    found = work.explained(network)
    found = found[network.detected[found].any(1)]
    order = np.random.default_rng(seed).permutation(found)
    rank: dict[str, int] = {}
    turn = []
    for row in order.tolist():
        rank[subjects[row]] = turn_of = rank.get(subjects[row], -1) + 1
        turn.append(turn_of)
    rows = np.sort(order[np.argsort(turn, kind="stable")[:n]]).tolist()
    keys = list(zip(samples["sequence_id"].to_pylist(), samples["frame_index"].to_pylist(), strict=True))
    return Drawn(
        crops=network.crops,
        numbers=tuple(samples["row"].take(rows).to_pylist()),
        keys=tuple(keys[row] for row in rows),
        targets=tuple(network.logits[rows].argmax(1).tolist()),
        subjects=tuple(subjects[row] for row in rows),
        model=network.model,
    )


def landmarks_of(images: Drawn) -> NDArray[np.float32]:
    """Landmarks of the images in crop pixels, shape (n, 68, 2); NaN for an image without 68 of them."""
    table = open_crops(images.crops).table()
    found = np.full((len(images.numbers), 136), np.nan, np.float32)
    for place, number in enumerate(images.numbers):
        points = table["landmarks"][number].as_py()
        if points is not None and len(points) == 136:
            found[place] = points
    return found.reshape(-1, 68, 2)


def maps_of(work: StudyWork, network: StudyNetwork, images: Drawn) -> Mapping[str, NDArray[np.float32]]:
    """Kept maps of the predicted target of every image under each explanation, shape (n, size, size).

    Parameters
    ----------
    work
        The study.
    network
        Whose.
    images
        Of the network; maps that were not kept are NaN.
    """
    size = images.model.preprocessing.size
    names = [network.model.targets[target] for target in images.targets]
    found = {}
    for variant, cell in work.of_network(network).items():
        known = {image.key: image.maps for image in work.images(cell, set(images.keys))}
        maps = np.full((len(images.keys), size, size), np.nan, np.float32)
        for place, (key, name) in enumerate(zip(images.keys, names, strict=True)):
            if (relevance := known.get(key, {}).get(name)) is not None:
                maps[place] = _sized(relevance, size)
        found[variant] = maps
    return found


def _sized(relevance: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    if relevance.shape == (size, size):
        return relevance
    from fer_batch.evaluate.localisation import resized

    return resized(relevance[None], (size, size))[0].astype(np.float32)
