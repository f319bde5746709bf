"""Short names on projections that share one face, which name the cluster without colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fer_batch.facs import au_id
from fer_batch.visualize.colours import Label

_APART = 0.15  # of the side of a picture: nearer spots are one
_LINE = 1.15  # of the height of letters, from one line to the next
_ASIDE = 0.05  # of the side of a picture, from a spot to the names beside it


def tag_text(label: Label) -> str:
    """`2A` for AU02_A; of other targets the first three letters."""
    target, cluster = label
    number = au_id(target)
    return (str(number) if number is not None else target[:3]) + cluster


def tags(
    labels: Sequence[Label],
    shown: Sequence[NDArray[np.floating]],
    em: float = 0.055,
    corner: tuple[float, float] = (0.0, 0.0),
) -> list[tuple[float, float, str]]:
    """Where to write which name: each on the strongest pixel of its projection where it covers no other name.

    Projections that are too close for names of their own share a place: `25A 26A`; more than two stand beside it,
    three a line, so that they do not cover what they name.

    Parameters
    ----------
    labels
        Of each projection.
    shown : each of shape (H, W), relevance in any unit
        Projections, zero where nothing is kept; an empty one gets no name.
    em
        Height of the letters, as a share of the side of the picture.
    corner
        Width and height of what stands in the upper left corner; names go there only where they must.

    Returns
    -------
    list of (x, y, text)
        Middle of each line, in [0, 1].
    """
    places: list[_Place] = []
    for label, projection in zip(labels, shown, strict=True):
        height, width = projection.shape
        order = np.argsort(-projection, axis=None, kind="stable")[: np.count_nonzero(projection > 0)]
        if not len(order):
            continue
        points = np.stack([(order % width + 0.5) / width, (order // width + 0.5) / height], 1)
        new = _Place(0.0, 0.0, em, [tag_text(label)])
        clear = np.ones(len(points), bool)
        for place in places:
            apart = np.maximum(np.add(place.size, new.size) / 2, _APART)
            clear &= (np.abs(points - place.middle) >= apart).any(1)
        if clear.any():
            margin = np.divide(new.size, 2)
            roomy = clear & ((points >= margin) & (points <= 1 - margin)).all(1)
            roomy &= (points >= margin + corner).any(1)
            new.x, new.y = points[int((roomy if roomy.any() else clear).argmax())].tolist()
            places.append(new)
        else:
            min(places, key=lambda place: np.abs(points[0] - place.middle).max()).names += new.names
    # A place that was joined has grown, maybe over its neighbour.
    while (pair := next(((a, b) for a, b in combinations(places, 2) if a.covers(b)), None)) is not None:
        pair[0].names += pair[1].names
        places.remove(pair[1])
    return [line for place in places for line in place.lines()]


@dataclass(eq=False)
class _Place:
    """Names that stand together, and the spot that they are for."""

    x: float
    y: float
    em: float
    names: list[str]

    @property
    def rows(self) -> list[str]:
        per_row = 3 if len(self.names) > 2 else 2
        return [" ".join(self.names[at : at + per_row]) for at in range(0, len(self.names), per_row)]

    @property
    def size(self) -> tuple[float, float]:
        return (max(map(len, self.rows)) * 0.68 + 0.4) * self.em, len(self.rows) * _LINE * self.em

    @property
    def middle(self) -> tuple[float, float]:
        """Of the text: on the spot, or below it, or above where there is no room below; inside the picture."""
        width, height = self.size
        away = 0.0 if len(self.names) <= 2 else height / 2 + _ASIDE
        below = self.y + away + height / 2 <= 1
        return _inside(self.x, width), _inside(self.y + away if below else self.y - away, height)

    def covers(self, other: _Place) -> bool:
        return bool((np.abs(np.subtract(self.middle, other.middle)) < np.add(self.size, other.size) / 2).all())

    def lines(self) -> Iterator[tuple[float, float, str]]:
        x, y = self.middle
        rows = self.rows
        for number, text in enumerate(rows):
            yield x, y + (number - (len(rows) - 1) / 2) * _LINE * self.em, text


def _inside(middle: float, size: float) -> float:
    """The middle of what is `size` long and lies within [0, 1], from 0 on where it is too long."""
    return max(min(middle, 1 - size / 2), size / 2)
