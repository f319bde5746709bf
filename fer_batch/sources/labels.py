"""What the numbers and names of labels mean; no two datasets agree on the numbers (datasets 6.11)."""

from __future__ import annotations

from dataclasses import dataclass
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

# Scales without an occurrence, in lower case: their value is kept as it is, whatever its range. Each record of a
# dataset adds its own.
SCALES: set[str] = set()


@dataclass(frozen=True)
class ExpressionCodes:
    """Numbers that a dataset has for expressions.

    Attributes
    ----------
    dataset
        Its name, in errors and in `source.options.codes` of a manifest.
    first
        Code of the first name; the others follow it.
    names
        Expressions, or keys of `NO_EXPRESSION`.
    """

    dataset: str
    first: int
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in EXPRESSIONS and name not in NO_EXPRESSION]
        if unknown:
            raise ValueError(f"codes of {self.dataset}: expected names of expressions, got {unknown[0]!r}")

    def expression(self, code: float) -> str:
        """Name of a code.

        Raises
        ------
        ValueError
            If the dataset has no such code.
        """
        last = self.first + len(self.names) - 1
        if code not in range(self.first, last + 1):
            raise ValueError(f"expected an expression code of {self.dataset}, {self.first} to {last}, got {code:g}")
        return self.names[int(code) - self.first]


# By dataset; each record of a dataset adds its own. Belharbi et al. (2024) released splits with codes of their own.
CODES = {
    "belharbi": ExpressionCodes(
        "belharbi", 0, ("neutral", "happiness", "surprise", "fear", "anger", "disgust", "sadness")
    )
}
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
