"""Short names on projections that share one face, so that they are told apart without colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fer_batch.facs import au_id
from fer_batch.visualize.colours import Label

_APART = 0.15  # of the side of a picture: two tags closer than that would cover each other


def tag_text(label: Label) -> str:
    """`2A` for AU02_A; of other targets the first three letters."""
    target, cluster = label
    number = au_id(target)
    return (str(number) if number is not None else target[:3]) + cluster


def tags(labels: Sequence[Label], shown: Sequence[NDArray[np.floating]]) -> list[tuple[float, float, str]]:
    """Where to write which name: each on the strongest pixel of its projection that is clear of the names before.

    Parameters
    ----------
    labels
        Of each projection.
    shown : each of shape (H, W)
        Projections, zero where nothing is kept; an empty one gets no name.

    Returns
    -------
    list of (x, y, text)
        In [0, 1]. Projections that are too close for names of their own share one: `25A 26A`.
    """
    places: list[tuple[float, float]] = []
    texts: list[str] = []
    for label, projection in zip(labels, shown, strict=True):
        height, width = projection.shape
        order = np.argsort(-projection, axis=None, kind="stable")[: np.count_nonzero(projection > 0)]
        if not len(order):
            continue
        points = np.stack([(order % width + 0.5) / width, (order // width + 0.5) / height], 1)
        distance = np.abs(points[:, None] - np.array(places).reshape(1, -1, 2)).max(2)
        clear = (distance >= _APART).all(1)
        if clear.any():
            x, y = points[int(clear.argmax())]
            places.append((float(x), float(y)))
            texts.append(tag_text(label))
        else:
            texts[int(distance[0].argmin())] += f" {tag_text(label)}"
    return [(x, y, text) for (x, y), text in zip(places, texts, strict=True)]
