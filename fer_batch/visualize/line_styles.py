"""The line of every explanation method, the same in every chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fer_batch.visualize.rendering import RENDERING

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#875101", "#56b4e9", "#6104b3", "#1f2328")
_DASHES = ((0, ()), (0, (4, 1.6)), (0, (1, 1.3)))
_MARKERS = "os^Dvp*X<>"


@dataclass(frozen=True)
class LineStyle:
    """Colour, dashes and marker of a method."""

    colour: str
    dashes: tuple[int, tuple[float, ...]]
    marker: str


def line_styles(names: Sequence[str]) -> dict[str, LineStyle]:
    """A line for every name, different for each; that of a known method is the same in every chart.

    Parameters
    ----------
    names
        Keys of `RENDERING` or any other, each once.
    """
    known = list(RENDERING)
    free = iter(range(len(known), len(known) + len(names)))
    slots = {name: known.index(name) if name in RENDERING else next(free) for name in names}
    n, lengths = len(_COLOURS), (len(_DASHES), len(_MARKERS))
    return {
        name: LineStyle(_COLOURS[slot % n], _DASHES[slot // n % lengths[0]], _MARKERS[slot % lengths[1]])
        for name, slot in slots.items()
    }
