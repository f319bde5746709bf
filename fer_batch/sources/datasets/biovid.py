"""BioVid heat pain (Walter et al. 2013): short videos of one stimulus each, part A; part D by the same names."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence

from fer_batch.sources.dataset import Dataset, Whole, register
from fer_batch.sources.labels import expression_named
from fer_batch.sources.listing import VIDEO_SUFFIXES
from fer_batch.sources.tree import Tree
from fer_batch.types import SequenceRef

_NAME = re.compile(r"(?P<subject>\d{6}_[mw]_\d+)-(?P<label>[A-Za-z]+\d?)(-\d+)?\.\w+$")
_PART = re.compile(r"part[ _-]?[a-e]", re.IGNORECASE)
LEVELS = {"BL1": 0, "PA1": 1, "PA2": 2, "PA3": 3, "PA4": 4}


def _part(path: str) -> str:
    """`PartA` of a path through it."""
    return next((folder for folder in path.split("/")[:-1] if _PART.fullmatch(folder)), "")


def list_biovid(tree: Tree, *, exclude: Sequence[str] = ()) -> Iterator[SequenceRef]:
    """One row per video; `exclude` names subjects that are not processed (papers differ in them).

    Parts have the same names for other recordings, so that the part is in the id where there are several.
    """
    excluded = {exclude} if isinstance(exclude, str) else {str(name) for name in exclude}
    named = [(entry, _NAME.search(entry.path.rpartition("/")[2])) for entry in tree.walk("", VIDEO_SUFFIXES)]
    several = len({_part(entry.path) for entry, name in named if name}) > 1
    for entry, name in named:
        if name is None:
            continue
        level = LEVELS.get(name["label"])
        yield tree.file(
            posixpath.join(_part(entry.path) if several else "", name[0]),
            "video",
            entry,
            subject_id="biovid:" + name["subject"],
            emotion=name["label"] if level is not None else expression_named(name["label"]),
            labels=(("pain_level", float(level)),) if level is not None else (),
            raw_labels=(("pain_level", name["label"]),) if level is not None else (),
            skip_reason="excluded by source.options.exclude" if name["subject"] in excluded else None,
        )


BIOVID = register(
    Dataset(
        name="biovid",
        title="BioVid",
        row_per="video",
        labels="`pain_level` 0 to 4 at frame 0; the class as the sequence's `emotion`",
        face="-",
        listing=list_biovid,
        options={
            "exclude": "`exclude: [071309_w_21, ...]`: subjects that are skipped; papers leave out different ones"
        },
        marks=(r"\d{6}_[mw]_\d+(-(bl1|pa\d)-\d+\.\w+)?$",),
        tables=(),
        truth=None,
        codes=None,
        scales=("pain_level",),
        whole=Whole(inputs=8_700, subjects=87),
        job=None,
        is_cropped=False,
        not_read=None,
    )
)
