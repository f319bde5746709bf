"""The page of looks: at which places the network looks for each target, over all sequences of a collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fer_batch.report.chips import Chip, chip_styles
from fer_batch.report.classes import Exemplar
from fer_batch.report.page import Query, RunSummary, page
from fer_batch.report.sequence import data_uri

FILE = "looks.html"


@dataclass(frozen=True)
class EmotionShare:
    """In how many of the sequences of an emotion a look is seen; `lift` compares the share with that of all."""

    emotion: str
    seen_in: int
    n_sequences: int
    lift: float


@dataclass(frozen=True)
class ShownLook:
    """One look.

    Attributes
    ----------
    label
        `AU01@2` in its colours.
    anchor
        Id on the page.
    n_sequences, share
        Sequences in which it is seen, and their share of those with any look of the target.
    place, place_share
        Part of the face that has most of its positive relevance, and how much; empty where there is no face.
    mu, stability
        As in table `looks`; None is undefined.
    mean, top
        PNG of the mean map and of its Top-X projection.
    exemplars
        Sequences, nearest to the centre first.
    emotions
        In which it is seen, by falling lift.
    """

    label: Chip
    anchor: str
    n_sequences: int
    share: float | None
    n_subjects: int
    n_frames: int
    place: str = ""
    place_share: float | None = None
    mu: float | None = None
    stability: float | None = None
    rare: bool = False
    previous: str = ""
    mean: bytes | None = None
    top: bytes | None = None
    exemplars: tuple[Exemplar, ...] = ()
    emotions: tuple[EmotionShare, ...] = ()


@dataclass(frozen=True)
class LooksOfTarget:
    """The looks of a target to show, of `n_looks`, and ids of the others; in the crop where there are no landmarks."""

    name: str
    meaning: str
    looks: tuple[ShownLook, ...]
    n_looks: int
    on_standard_face: bool = True
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outlier:
    """A sequence with a look that hardly any other has; `page` is empty for a still."""

    sequence_id: str
    page: str
    target: str
    cluster: str
    look: str
    anchor: str
    n_sequences: int | None
    distance: float | None


@dataclass(frozen=True)
class LooksContents:
    """What the page shows.

    Attributes
    ----------
    targets
    generation
        Of the looks.
    outliers
        The first of `n_outliers`, farthest first.
    faces
        JPEG crops of exemplars by `sequence_id#frame_index`.
    links
        Page of each sequence that has one, for exemplars.
    outline
        SVG elements of the standard face on a canvas 100 wide and `height` high.
    queries
    """

    targets: tuple[LooksOfTarget, ...]
    generation: int
    outliers: tuple[Outlier, ...] = ()
    n_outliers: int = 0
    faces: Mapping[str, bytes] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    outline: str = ""
    height: float = 100.0
    queries: tuple[Query, ...] = ()


def looks_page(summary: RunSummary, contents: LooksContents) -> bytes:
    """The page; every picture is in it once."""
    kinds, style = chip_styles(look.label for one in contents.targets for look in one.looks)
    faces = {name: f"f{number}" for number, name in enumerate(contents.faces)}
    return page(
        "looks.html",
        FILE,
        summary,
        more_style=style,
        contents=contents,
        kinds=kinds,
        faces=faces,
        pictures=[(faces[name], data_uri(content)) for name, content in contents.faces.items()],
        data_uri=data_uri,
    )
