"""Action Units, their names, and the three published expression codebooks (methods 1.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

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
