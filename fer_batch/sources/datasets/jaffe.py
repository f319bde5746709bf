"""JAFFE (Lyons et al. 1998): 213 posed faces of ten women, the label in the name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fer_batch.sources.dataset import Dataset, Whole, register
from fer_batch.sources.tree import Tree
from fer_batch.types import SequenceRef

_EXPRESSIONS = {
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
_NAME = re.compile(r"([A-Z]{2})\.(AN|DI|FE|HA|NE|SA|SU)\d*\.\d+\.tiff?", re.IGNORECASE)


def list_jaffe(tree: Tree) -> Iterator[SequenceRef]:
    """One row per picture (`KA.AN1.39.tiff`)."""
    for entry in tree.walk("", (".tif", ".tiff")):
        name = _NAME.fullmatch(entry.path.rpartition("/")[2])
        kind = _EXPRESSIONS[name[2].upper()] if name else None
        yield tree.file(
            entry.path.rpartition("/")[2],
            "still",
            entry,
            subject_id="jaffe:" + name[1].upper() if name else None,
            emotion=kind,
            labels=((kind, 1.0),) if kind else (),
            raw_labels=((kind, name[2]),) if name and kind else (),
            skip_reason=None if name else "its name is none of JAFFE's (KA.AN1.39.tiff)",
        )


JAFFE = register(
    Dataset(
        name="jaffe",
        title="JAFFE",
        row_per="picture",
        labels="expression",
        face="-",
        listing=list_jaffe,
        options={},
        marks=(r"(^|/)[a-z]{2}\.(an|di|fe|ha|ne|sa|su)\d*\.\d+\.tiff?$",),
        tables=(),
        truth=None,
        codes=None,
        scales=(),
        whole=Whole(inputs=213, subjects=10),
        job=None,
        is_cropped=False,
        not_read=None,
    )
)
