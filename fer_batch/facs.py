"""Action Units, their names, when one is present, and the three published expression codebooks (methods 1.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_batch.registry import nearest

AU_NAMES = MappingProxyType(
    {
        1: "Inner Brow Raiser",
        2: "Outer Brow Raiser",
        4: "Brow Lowerer",
        5: "Upper Lid Raiser",
        6: "Cheek Raiser",
        7: "Lid Tightener",
        9: "Nose Wrinkler",
        10: "Upper Lip Raiser",
        11: "Nasolabial Deepener",
        12: "Lip Corner Puller",
        13: "Cheek Puffer",
        14: "Dimpler",
        15: "Lip Corner Depressor",
        16: "Lower Lip Depressor",
        17: "Chin Raiser",
        18: "Lip Puckerer",
        20: "Lip Stretcher",
        22: "Lip Funneler",
        23: "Lip Tightener",
        24: "Lip Pressor",
        25: "Lips Part",
        26: "Jaw Drop",
        27: "Mouth Stretch",
        28: "Lip Suck",
        43: "Eyes Closed",
        45: "Blink",
    }
)

EXPRESSIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")

_CODEBOOKS = {
    # Martinez et al. 2019, printed in SA Fig. 2
    "martinez": {
        "happiness": (6, 12, 25),
        "sadness": (1, 4, 6, 15, 17),
        "surprise": (1, 2, 5, 26, 27),
        "fear": (1, 2, 4, 5, 20, 25, 26, 27),
        "anger": (4, 5, 7, 10, 17, 23, 24, 25, 26),
        "disgust": (9, 10, 16, 17, 25, 26),
    },
    # SH Table 2, via Perveen & Mohan
    "emfacs_sh": {
        "happiness": (6, 12),
        "sadness": (1, 4, 15),
        "surprise": (1, 2, 5, 26),
        "fear": (1, 2, 4, 5, 7, 20, 26),
        "anger": (4, 5, 7, 23),
        "disgust": (9, 15),
    },
    # PD Table 2.1, after Ekman & Friesen (its happiness row is printed so)
    "emfacs_pd": {
        "happiness": (9, 12),
        "sadness": (1, 4, 15),
        "surprise": (1, 2, 5, 26),
        "fear": (1, 2, 4, 5, 7, 20, 26),
        "anger": (4, 5, 7, 23),
        "disgust": (9, 15, 16),
    },
}
CODEBOOKS = MappingProxyType({name: MappingProxyType(book) for name, book in _CODEBOOKS.items()})
PAIN_UNITS = (4, 6, 7, 9, 10, 43)  # of the pain intensity of Prkachin & Solomon (2008), `pspi`
# Where the evidence for an expression may lie: the regions of these units together.
EXPRESSION_UNITS = MappingProxyType({**CODEBOOKS["emfacs_sh"], "pain": PAIN_UNITS})
_IN_NO_CODEBOOK = ("neutral", "contempt")


def expression_units(expression: str, codebook: str = "martinez", disgust_release: bool = False) -> tuple[int, ...]:
    """Action Units of an expression (methods CB-1).

    Parameters
    ----------
    expression
        Such as `fear`; `neutral` and `contempt` have none.
    codebook
        `martinez`, `emfacs_sh` or `emfacs_pd`; no two agree.
    disgust_release
        For `martinez`, disgust with AU05 where the book has AU10: the released code of Belharbi et al. (2024) takes
        the upper lip for the upper lid (CB-2).

    Raises
    ------
    ValueError
        If there is no such codebook, or it has no such expression.
    """
    if codebook not in CODEBOOKS:
        raise ValueError(f"unknown codebook {codebook!r}; {nearest(codebook, CODEBOOKS)}")
    book = CODEBOOKS[codebook]
    if expression in _IN_NO_CODEBOOK:
        return ()
    if expression not in book:
        raise ValueError(f"unknown expression {expression!r}; {nearest(expression, {*book, *_IN_NO_CODEBOOK})}")
    if disgust_release and codebook == "martinez" and expression == "disgust":
        return tuple(5 if unit == 10 else unit for unit in book[expression])
    return book[expression]


def au_name(au_id: int) -> str:
    """`AU01` for 1: two digits, so that names sort by number."""
    return f"AU{au_id:02d}"


def au_id(target: str) -> int | None:
    """FACS number of a target such as `AU01` or `AU1`; None for a target that is not an Action Unit."""
    match = re.fullmatch(r"AU0*(\d+)", target)
    return int(match.group(1)) if match else None


def pspi(intensity: Mapping[int, float]) -> float:
    """Prkachin and Solomon's pain intensity of one face.

    Parameters
    ----------
    intensity
        FACS number to intensity, 0 (absent, or not in the mapping) to 5; 0 or 1 for AU43.

    Returns
    -------
    AU4 + max(AU6, AU7) + max(AU9, AU10) + AU43, in 0 to 16.

    References
    ----------
    Prkachin & Solomon (2008), Pain 139(2); Lucey et al. (2011), the UNBC-McMaster archive.
    """
    au4, au6, au7, au9, au10, au43 = (intensity.get(au, 0.0) for au in (4, 6, 7, 9, 10, 43))
    return au4 + max(au6, au7) + max(au9, au10) + au43


LEVEL_B = 2.0  # intensity from which a unit is present, where nothing else is said


@dataclass(frozen=True)
class OccurrenceRule:
    """When an annotation says that a target is present: the one rule of training, evaluation and reports.

    Attributes
    ----------
    present_from
        Intensity from which on a target is present. Where it is given, an intensity decides, whatever occurrence is
        stated; None is `LEVEL_B`, and a stated occurrence wins over an intensity.
    absent_to
        Intensity up to which a target is absent; between the two it counts as not annotated.

    Raises
    ------
    ValueError
        If `absent_to` is not below the intensity from which on a target is present.
    """

    present_from: float | None = None
    absent_to: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.absent_to < self.level:
            raise ValueError(f"absent_to {self.absent_to:g} must be below present_from {self.level:g}")

    @property
    def level(self) -> float:
        """Intensity from which on a target is present."""
        return LEVEL_B if self.present_from is None else self.present_from

    def occurs(self, occurrence: ArrayLike, intensity: ArrayLike) -> NDArray[np.float32]:
        """1 present, 0 absent, NaN not annotated.

        Parameters
        ----------
        occurrence : shape (...)
            As stated: 1, 0, or NaN where it is not.
        intensity : shape (...)
            NaN where there is none. Compared as float32, which is how tables store it.
        """
        stated, graded = np.asarray(occurrence, np.float32), np.asarray(intensity, np.float32)
        present, absent = graded >= np.float32(self.level), graded <= np.float32(self.absent_to)
        by_intensity = np.where(present, 1, np.where(absent, 0, np.nan)).astype(np.float32)
        if self.present_from is None:
            return np.where(np.isnan(stated), by_intensity, stated)
        return np.where(np.isnan(graded), stated, by_intensity)

    @property
    def sql(self) -> str:
        """The same of columns `occurrence` and `intensity`: true, false or NULL, as DuckDB and Spark read it."""
        graded = (
            f"CASE WHEN intensity >= CAST({self.level!r} AS FLOAT) THEN true "
            f"WHEN intensity <= CAST({self.absent_to!r} AS FLOAT) THEN false END"
        )
        if self.present_from is None:
            return f"coalesce(occurrence, {graded})"
        return f"CASE WHEN intensity IS NULL THEN occurrence ELSE {graded} END"

    @property
    def words(self) -> str:
        """The rule in a sentence's part."""
        return f"from {self.level:g} on present, up to {self.absent_to:g} absent, and between the two not annotated"


DEFAULT_RULE = OccurrenceRule()
