"""Test images of a network with the Action Units that each shows: where the network should look (methods 2.7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fer_batch.facs import CODEBOOKS, au_id, expression_units
from fer_batch.models.card import ResolvedModel
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.regions.au_maps import ELLIPSES, unit_maps
from fer_batch.storage.crop_set import open_crops

Units = tuple[int, ...]


@dataclass(frozen=True)
class Codebook:
    """Which Action Units a class has.

    Attributes
    ----------
    name, disgust_release
        As in `facs.expression_units`.
    """

    name: str = "martinez"
    disgust_release: bool = False

    def units(self, target: str, head: str) -> Units:
        """Units of an expression, or the one that an output is of; none where nothing says where to look."""
        if head != "softmax":
            unit = au_id(target) or 0
            return (unit,) if unit in ELLIPSES else ()
        if target not in CODEBOOKS[self.name]:
            return ()
        return expression_units(target, self.name, self.disgust_release)


@dataclass(frozen=True)
class CueImages:
    """Images of one network, and the outputs that are present in each.

    Attributes
    ----------
    crops
        URI of the crop set.
    numbers
        Of the crops.
    landmarks : shape (n, 68, 2), float32, crop pixels
    pairs : shape (m, 2), int64
        Image and output, sorted: the true class of an image, or each Action Unit that is annotated as present.
    units
        Of every output.
    model
        The network.
    """

    crops: str
    numbers: tuple[int, ...]
    landmarks: NDArray[np.float32]
    pairs: NDArray[np.int64]
    units: tuple[Units, ...]
    model: ResolvedModel

    @property
    def identity(self) -> list[object]:
        """JSON values that say which images, outputs, units and network these are."""
        shown = [self.crops.rsplit("/", 1)[-1], list(self.numbers), self.pairs.tolist()]
        return [*shown, [list(units) for units in self.units], self.model.digest]

    @property
    def size(self) -> int:
        """Side of the network's images in pixels."""
        return self.model.preprocessing.size

    def part(self, start: int, stop: int) -> CueImages:
        """Some of the images, with their pairs."""
        own = self.pairs[(self.pairs[:, 0] >= start) & (self.pairs[:, 0] < stop)] - np.array([start, 0])
        return replace(self, numbers=self.numbers[start:stop], landmarks=self.landmarks[start:stop], pairs=own)

    def parts(self, n: int) -> Iterator[CueImages]:
        """The images, `n` at a time."""
        for start in range(0, len(self.numbers), n):
            yield self.part(start, start + n)

    def points(self) -> NDArray[np.float64]:
        """Landmarks in pixels of the network's images, shape (n, 68, 2), float64."""
        share = self.size / open_crops(self.crops).size
        return (self.landmarks.astype(np.float64) + 0.5) * share - 0.5

    def image_maps(self) -> NDArray[np.float32]:
        """Maps of everything that an image shows, shape (n, size, size), float32, in [0, 1]; infinite where none is."""
        shown: list[set[int]] = [set() for _ in self.numbers]
        for image, output in self.pairs.tolist():
            shown[image].update(self.units[output])
        return unit_maps(self.points(), shown, (self.size, self.size))

    def pair_maps(self) -> NDArray[np.float32]:
        """Maps of the output of each pair alone, shape (m, size, size), float32, in [0, 1]; infinite where none is."""
        units = [self.units[output] for output in self.pairs[:, 1]]
        return unit_maps(self.points()[self.pairs[:, 0]], units, (self.size, self.size))


@dataclass(frozen=True)
class CueSamples:
    """The test part of a network, as far as something says where to look.

    Attributes
    ----------
    images
        With landmarks.
    rows : shape (n,), int64
        Of the network's samples, one an image.
    n_without
        Images left out because they have no landmarks.
    """

    images: CueImages
    rows: NDArray[np.int64]
    n_without: int

    @property
    def pair_rows(self) -> NDArray[np.int64]:
        """Rows of the network's samples, one a pair, shape (m,), int64."""
        return self.rows[self.images.pairs[:, 0]]


def cue_samples(
    network: StudyNetwork, book: Codebook, landmarks: NDArray[np.float32], most: int | None = None
) -> CueSamples:
    """Every test image of a network that shows something of which a codebook says where it is.

    Parameters
    ----------
    network
        Whose.
    book
        Which Action Units a class has.
    landmarks : shape (N, 68, 2), crop pixels
        Of all crops of the set; NaN where there are none.
    most
        At most so many images, drawn with a seed; all where None.
    """
    units = tuple(book.units(target, network.model.head) for target in network.model.targets)
    shown = (network.labels == 1) & np.array([bool(own) for own in units])
    rows = np.flatnonzero(shown.any(axis=1))
    numbers = network.samples["row"].to_numpy()
    known = np.isfinite(landmarks[numbers[rows]]).all(axis=(1, 2))
    n_without, rows = int((~known).sum()), rows[known]
    if most is not None and len(rows) > most:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:most])
    images = CueImages(
        crops=network.crops,
        numbers=tuple(numbers[rows].tolist()),
        landmarks=landmarks[numbers[rows]],
        pairs=np.argwhere(shown[rows]).astype(np.int64),
        units=units,
        model=network.model,
    )
    return CueSamples(images, rows, n_without)


def crop_landmarks(crops: str) -> NDArray[np.float32]:
    """Landmarks of every crop of a set, shape (N, 68, 2), float32, crop pixels; NaN for one without 68 of them."""
    column = open_crops(crops).table()["landmarks"].combine_chunks()
    found = np.full((len(column), 136), np.nan, np.float32)
    whole = pc.equal(pc.list_value_length(column), 136).fill_null(False)
    rows = np.flatnonzero(whole.to_numpy(zero_copy_only=False))
    if len(rows):
        values = column.take(pa.array(rows)).flatten().to_numpy(zero_copy_only=False)
        found[rows] = values.astype(np.float32).reshape(-1, 136)
    return found.reshape(-1, 68, 2)
