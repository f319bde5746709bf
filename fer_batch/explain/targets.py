"""The pairs of a call, arranged for passes that frames share, and the checks that options have in common."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch.explain.explainer import checked_pairs
from fer_batch.types import InputError


def target_free_pairs(pairs: ArrayLike, n_images: int) -> NDArray[np.int64]:
    """Pairs of a method whose map has no target: output -1, or an output that only lends the map its name.

    Parameters
    ----------
    pairs : shape (M, 2), integers
    n_images
        Images of the batch.

    Returns
    -------
    shape (M, 2), int64

    Raises
    ------
    ValueError
        If they are not sorted integers (M, 2), or name an image or an output that cannot be.
    """
    rows = checked_pairs(pairs, n_images)
    if len(rows) and rows[:, 1].min() < -1:
        raise ValueError(f"pairs name output {rows[:, 1].min()}; a map without target has output -1")
    return rows


def check_outputs(rows: NDArray[np.int64], n_images: int, n_outputs: int, target_free: bool = False) -> None:
    """Verify the outputs of pairs once the network has said how many it has.

    Parameters
    ----------
    rows : shape (M, 2), int64
        Pairs (image, output).
    n_images, n_outputs
        Of the batch and of the network.
    target_free
        Whether -1 is an output too.

    Raises
    ------
    ValueError
        If one is out of range.
    """
    checked_pairs(rows[rows[:, 1] >= 0] if target_free else rows, n_images, n_outputs)


def frame_chunks(
    rows: NDArray[np.int64], n_frames: int
) -> Iterator[tuple[slice, NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs in pieces of at most `n_frames` frames.

    Yields
    ------
    where : slice
        Rows of the piece.
    frames : shape (n,)
        The frames they are about, each once.
    position : shape (m,)
        For each row its place in `frames`.
    """
    used, first = np.unique(rows[:, 0], return_index=True)
    bounds = np.append(first, len(rows))
    for start in range(0, len(used), n_frames):
        chunk = used[start : start + n_frames]
        where = slice(int(bounds[start]), int(bounds[start + len(chunk)]))
        yield where, chunk, np.searchsorted(chunk, rows[where, 0])


def rank_groups(position: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Rows of sorted pairs, the first of every frame together, then the second ones, and so on.

    Frames do not see each other, so one backward pass serves a whole group.

    Parameters
    ----------
    position : shape (m,), int64
        Frame of every pair, ascending.

    Yields
    ------
    shape (n,), int64
        Rows of one group.
    """
    _, first, counts = np.unique(position, return_index=True, return_counts=True)
    for rank in range(counts.max(initial=0)):
        yield first[counts > rank] + rank


def positive_int(name: str, value: int) -> int:
    """The value of an option that counts something.

    Raises
    ------
    InputError
        If it is not a positive integer.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"explain.options.{name} must be a positive integer, got {value!r}")
    return value


def one_of(name: str, value: str, choices: tuple[str, ...]) -> str:
    """The value of an option with few choices.

    Raises
    ------
    InputError
        If it is none of them.
    """
    if value not in choices:
        raise InputError(f"explain.options.{name} {value!r}: expected {', '.join(choices[:-1])} or {choices[-1]}")
    return value


def named(layer: str | int | None) -> str | None:
    """The name of a module as a string: YAML reads `layer: 3`, a module of a Sequential, as a number."""
    return None if layer is None else str(layer)
