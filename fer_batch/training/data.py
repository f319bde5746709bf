"""What networks are trained on: crops with labels, and who is seen in which dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_batch.models.card import Head
from fer_batch.training.subjects import check_subjects


class Shards:
    """Images of several memory-mapped `.npy` files as one array that is indexed by rows; nothing is read before.

    Parameters
    ----------
    paths
        Files of uint8 images of one shape (n, H, W, 3), in order; may be none.
    size
        Side of the images, for a collection without any.
    """

    def __init__(self, paths: Sequence[Path | str], size: int = 0) -> None:
        self._maps = [np.load(path, mmap_mode="r") for path in paths]
        shapes = {array.shape[1:] for array in self._maps} or {(size, size, 3)}
        if len(shapes) > 1:
            raise ValueError(f"expected images of one shape, got {sorted(shapes)}")
        self._ends = np.cumsum([len(array) for array in self._maps], dtype=np.int64)
        self.shape = (int(self._ends[-1]) if self._maps else 0, *shapes.pop())
        self.dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        out = np.empty((len(rows), *self.shape[1:]), np.uint8)
        place = np.searchsorted(self._ends, rows, side="right")
        for shard in np.unique(place):
            own = place == shard
            start = self._ends[shard] - len(self._maps[shard])
            out[own] = self._maps[shard][rows[own] - start]
        return out


class Rows:
    """Some rows of a collection of images, numbered anew; nothing is read before they are indexed."""

    def __init__(self, images: NDArray[np.uint8] | Shards, rows: NDArray[np.int64]) -> None:
        self._images, self._rows = images, rows
        self.shape, self.dtype = (len(rows), *images.shape[1:]), images.dtype

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self._images[self._rows[rows]]


Images = NDArray[np.uint8] | Shards | Rows


class MadeMaps:
    """Maps that are made when they are first asked for, and kept where all of them fit.

    Parameters
    ----------
    make
        From rows (n,), int64, to their maps (n, H, W), float32.
    shape
        (N, H, W) of all.
    memory_mb
        What kept maps may take; where all would take more, none is kept.
    """

    def __init__(
        self,
        make: Callable[[NDArray[np.int64]], NDArray[np.float32]],
        shape: tuple[int, int, int],
        memory_mb: int = 512,
    ) -> None:
        self._make, self.shape = make, shape
        self._kept: NDArray[np.float32] | None = None
        self._known = np.zeros(shape[0], bool)
        if 4 * shape[0] * shape[1] * shape[2] <= memory_mb * 2**20:
            self._kept = np.empty(shape, np.float32)  # takes no memory before it is written

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        if self._kept is None:
            return self._make(rows)
        new = np.unique(rows[~self._known[rows]])
        if len(new):
            self._kept[new] = self._make(new)
            self._known[new] = True
        return self._kept[rows]


Maps = NDArray[np.float32] | MadeMaps


@dataclass(frozen=True)
class FaceSet:
    """Labelled crops of some people.

    Attributes
    ----------
    images : shape (N, H, W, 3), uint8
        RGB; an array, a memory map, `Shards`, or `Rows` of one of them.
    labels : shape (N, A), float32
        1 present, 0 absent, NaN not annotated. For a softmax head every row has one 1 and zeros.
    targets
        Names of the A columns.
    subjects, datasets : shape (N,)
        Who is seen, and where the sample comes from. One subject is in one dataset, or in one of the `spaces`.
    head
        `multilabel` or `softmax`.
    maps : shape (N, H, W), float32
        What goes with each image pixel by pixel (methods 2.7) and follows geometric augmentation, an array or
        `MadeMaps`; a map that is not finite is no map.
    spaces : shape (N,)
        Subject space of every sample, where datasets share their people.

    Raises
    ------
    ValueError
        If shapes differ, or a label is neither 0, 1 nor NaN.
    """

    images: Images
    labels: NDArray[np.float32]
    targets: tuple[str, ...]
    subjects: NDArray[np.str_]
    datasets: NDArray[np.str_]
    head: Head = "multilabel"
    maps: Maps | None = field(default=None)
    spaces: NDArray[np.str_] | None = field(default=None)

    def __post_init__(self) -> None:
        n, shape = len(self.images), self.images.shape
        if len(shape) != 4 or shape[3] != 3 or self.images.dtype != np.uint8:
            raise ValueError(f"expected uint8 images (N, H, W, 3), got {self.images.dtype} {shape}")
        if self.labels.shape != (n, len(self.targets)):
            raise ValueError(f"expected labels {(n, len(self.targets))} for {n} images, got {self.labels.shape}")
        if self.subjects.shape != (n,) or self.datasets.shape != (n,):
            raise ValueError(f"expected a subject and a dataset for each of {n} images")
        if self.maps is not None and self.maps.shape != shape[:3]:
            raise ValueError(f"expected maps {shape[:3]} on the pixels of the images, got {self.maps.shape}")
        wrong = np.argwhere(~(np.isnan(self.labels) | np.isin(self.labels, (0.0, 1.0))))
        if len(wrong):
            row, column = wrong[0]
            raise ValueError(
                f"labels must be 0, 1 or NaN (not annotated); got {self.labels[row, column]:g} for "
                f"{self.targets[column]} in sample {row} (subject {self.subjects[row]})"
            )
        if self.head == "softmax":
            odd = np.flatnonzero(~((np.nansum(self.labels, 1) == 1) & ~np.isnan(self.labels).any(1)))
            if len(odd):
                raise ValueError(f"a softmax head needs exactly one class a sample; sample {odd[0]} has not")
        check_subjects(self.subjects, self.datasets if self.spaces is None else self.spaces)

    def __len__(self) -> int:
        return len(self.images)
