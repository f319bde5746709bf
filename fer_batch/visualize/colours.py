"""One colour per (target, cluster), the same in every picture of a report.

Colour is never the only sign: timelines write the letter into the bar, strips print the label above the panel.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from fer_batch.facs import au_id
from fer_batch.types import MapStyle

Label = tuple[str, str]

# Rows are families, columns clusters A, B, C. The first families start from Okabe & Ito's colours, so that TP's toy
# sequence has its own: AU01 blue, AU02_A orange, AU02_B yellow, AU04 green. The others were found by raising the
# smallest CIEDE2000 difference between any two, as seen with full colour vision and, weighing less, with deuteranopia,
# protanopia and tritanopia (Machado et al. 2009); none is so light that it would vanish on a greyed face.
_FAMILIES = (
    ("#0072b2", "#56b4e9", "#6104b3"),
    ("#e69f00", "#f0e442", "#875101"),
    ("#009e73", "#42cec5", "#586a4e"),
    ("#d55e00", "#dfc452", "#9e4934"),
    ("#cc79a7", "#e9959f", "#78485b"),
    ("#09c29e", "#00e9a6", "#558061"),
    ("#338c81", "#a2c3b6", "#1b4d47"),
    ("#8881cc", "#dbc9ff", "#0906fe"),
    ("#b81969", "#f68eff", "#583e82"),
    ("#8fba77", "#c2d381", "#176e31"),
    ("#af9849", "#c9bd90", "#415140"),
    ("#4aa8b8", "#b0d7e3", "#4d6d74"),
    ("#5f628c", "#9abada", "#811460"),
    ("#827642", "#c3d2be", "#564300"),
    ("#a5804b", "#fec5a9", "#623b28"),
    ("#885de2", "#748efe", "#0053d7"),
)
# Families of Action Units that are often annotated together differ; where two meet all the same, `Palette` moves one.
_PREFERRED = {
    1: 0, 2: 1, 4: 2, 6: 3, 12: 4, 25: 5, 15: 6, 9: 7, 17: 8, 7: 9, 5: 10, 20: 11, 10: 12, 26: 13, 14: 14, 23: 15,
    11: 7, 13: 11, 16: 12, 18: 14, 22: 13, 24: 5, 27: 15, 28: 3, 43: 10, 45: 9,
}  # fmt: skip
_PREFERRED_NAMES = {
    "neutral": 2, "happiness": 1, "sadness": 0, "surprise": 5, "fear": 12, "disgust": 7, "anger": 3, "contempt": 4,
    "pain": 8,
}  # fmt: skip
_HATCHES = ("", "...", "///", "+++", "ooo", "xxx", "***", "---", "OO")
_DARK, _LIGHT = "#1f2328", "#ffffff"
UNLETTERED = "–"
_STYLE = MapStyle()


@dataclass(frozen=True)
class Style:
    """How one (target, cluster) looks.

    Attributes
    ----------
    fill, edge, ink
        Area, its outline, and text on the area, as `#rrggbb`.
    hatch
        Matplotlib hatch, empty for the first three clusters.
    """

    fill: str
    edge: str
    ink: str
    hatch: str = ""

    @property
    def rgb(self) -> tuple[float, float, float]:
        """The area's colour with channels in [0, 1]."""
        return channels(self.fill)


class Palette:
    """Families of colours for a set of targets, and how the maps of one report are shown.

    Parameters
    ----------
    targets
        All names that pictures of this report may show, in any order. Action Units and expressions keep one family in
        every report unless two of the set share it; other names get a free family. More names than families share
        colours and differ by hatch.
    maps
        Normalisation and colours of relevance, and the share of Top-X projections.
    """

    def __init__(self, targets: Iterable[str] = (), maps: MapStyle = _STYLE) -> None:
        self.maps = maps
        self._slots: dict[str, int] = {}
        names = sorted(set(targets), key=lambda name: (_preferred(name) is None, au_id(name) or 0, name))
        taken: set[int] = set()
        late = []
        for name in names:
            family = _preferred(name)
            if family is None or family in taken:
                late.append(name)
            else:
                self._slots[name] = family
                taken.add(family)
        free = [family for family in range(len(_FAMILIES)) if family not in taken]
        for number, name in enumerate(late):
            # Beyond the free families: count on, which `style` turns into the same colours with a hatch.
            beyond = len(_FAMILIES) + number - len(free)
            self._slots[name] = free[number] if number < len(free) else beyond

    def style(self, target: str, cluster: str = "A") -> Style:
        """The look of one cluster of a target; an empty `cluster` is a white area with the target's outline.

        A target that the palette was not made for gets a fixed colour that another one may have too.
        """
        slot = self._slots.get(target)
        if slot is None:
            preferred = _preferred(target)
            slot = zlib.crc32(target.encode()) % len(_FAMILIES) if preferred is None else preferred
        lap, family = divmod(slot, len(_FAMILIES))
        if not cluster:
            return Style(fill=_LIGHT, edge=_FAMILIES[family][0], ink=_DARK)
        repeat, shade = divmod(letter_index(cluster), 3)
        fill = _FAMILIES[family][shade]
        ink = _DARK if _contrast(fill, _DARK) >= _contrast(fill, _LIGHT) else _LIGHT
        return Style(fill=fill, edge=_darker(fill), ink=ink, hatch=_HATCHES[(repeat + 3 * lap) % len(_HATCHES)])


def letter_index(letters: str) -> int:
    """0 for A, 25 for Z, 26 for AA.

    Raises
    ------
    ValueError
        If `letters` is not one or more of A to Z.
    """
    if not letters or not all("A" <= c <= "Z" for c in letters):
        raise ValueError(f"a cluster is one or more of the letters A to Z, got {letters!r}")
    index = 0
    for c in letters:
        index = index * 26 + ord(c) - ord("A") + 1
    return index - 1


def label_text(target: str, cluster: str) -> str:
    """`AU02_A`, or `AU02` without a letter."""
    return f"{target}_{cluster}" if cluster else target


def _preferred(target: str) -> int | None:
    number = au_id(target)
    return _PREFERRED.get(number) if number is not None else _PREFERRED_NAMES.get(target.lower())


def channels(colour: str) -> tuple[float, float, float]:
    """`#rrggbb` in [0, 1]."""
    return int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:7], 16) / 255


def _darker(colour: str) -> str:
    return "#" + "".join(f"{round(channel * 0.62 * 255):02x}" for channel in channels(colour))


def _contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
