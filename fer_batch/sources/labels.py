"""What the numbers of every dataset's labels mean: one table, because no two datasets agree (datasets 6.11)."""

from __future__ import annotations

from types import MappingProxyType

from fer_batch import facs

EXPRESSIONS = (*facs.EXPRESSIONS, "contempt")

# What a label says that is no expression; such an image is not processed.
NO_EXPRESSION = MappingProxyType(
    {
        "none": "labelled as none of the expressions",
        "uncertain": "labelled as uncertain",
        "non_face": "labelled as showing no face",
    }
)

# Scales without an occurrence: their value is kept as it is, whatever its range.
SCALES = frozenset({"valence", "arousal", "pspi", "vas", "opr", "aff", "sen", "age", "pain_level"})


def _codes(first: int, *names: str) -> MappingProxyType[int, str]:
    return MappingProxyType(dict(enumerate(names, first)))


_AFFECTNET = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
CODES = MappingProxyType(
    {
        "ck_plus": _codes(0, "neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"),
        "affectnet": _codes(0, *_AFFECTNET, "none", "uncertain", "non_face"),
        "raf_db": _codes(1, "surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
        "fer2013": _codes(0, "anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"),
        "fer_plus": _codes(
            0,
            "neutral",
            "happiness",
            "surprise",
            "sadness",
            "anger",
            "disgust",
            "fear",
            "contempt",
            "uncertain",
            "non_face",
        ),
        # The codes of Belharbi et al. 2024's released splits.
        "belharbi": _codes(0, "neutral", "happiness", "surprise", "fear", "anger", "disgust", "sadness"),
    }
)
JAFFE = MappingProxyType(
    {
        "AN": "anger",
        "DI": "disgust",
        "FE": "fear",
        "HA": "happiness",
        "NE": "neutral",
        "SA": "sadness",
        "SU": "surprise",
    }
)
# Names that people and datasets write, to the names of the tables.
_SYNONYMS = {
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "happy": "happiness",
    "joy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "contemptuous": "contempt",
}


def expression(dataset: str, code: float) -> str:
    """Name of a dataset's numeric expression code.

    Raises
    ------
    ValueError
        If the dataset has no such code.
    """
    codes = CODES[dataset]
    if code not in codes:
        raise ValueError(f"expected an expression code of {dataset}, {min(codes)} to {max(codes)}, got {code:g}")
    return codes[int(code)]


def expression_named(name: str) -> str:
    """`happiness` for `Happy`, and whatever is no known name as it is."""
    plain = name.strip().lower()
    plain = _SYNONYMS.get(plain, plain)
    return plain if plain in EXPRESSIONS else name.strip()


def split_named(name: str) -> str:
    """`train`, `val` or `test` for the ways people write them, and whatever is none of them as it is."""
    plain = name.strip().lower()
    return next((split for split in ("train", "val", "test") if plain.startswith(split)), name.strip())


def occurrence_of(target: str, value: float) -> tuple[float | None, bool | None]:
    """Intensity and occurrence that one number says of a target.

    Of an Action Unit's intensity the occurrence is that of `facs.OccurrenceRule`, which leaves traces open because the
    papers differ. A scale has no occurrence, anything else no intensity.
    """
    if facs.au_id(target) is not None:
        return value, (None if 0 < value < facs.LEVEL_B else value >= facs.LEVEL_B)
    if target.lower() in SCALES:
        return value, None
    return None, bool(value)
