"""RAF-DB, basic expressions (Li, Deng & Du 2017)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

import numpy as np

from fer_batch.sources.dataset import Dataset, TruthForm, Whole, annotation_uris, register
from fer_batch.sources.fetch import read_bytes
from fer_batch.sources.label_files import Frames, Points, number_table
from fer_batch.sources.labels import ExpressionCodes
from fer_batch.sources.tree import IMAGES, Tree, truth_version
from fer_batch.storage.store import Entry
from fer_batch.types import InputError, MediaError, SequenceRef

CODES = ExpressionCodes("raf_db", 1, ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"))
BOX = "_boundingbox.txt"
LISTS = ("list_patition_label.txt", "list_partition_label.txt")  # the first is how the release spells it


def list_raf_db(tree: Tree, *, images: str = "aligned") -> Iterator[SequenceRef]:
    """One row per line of the list; `images` takes the `aligned` faces (100x100) or the `original` pictures."""
    if images not in ("aligned", "original"):
        raise InputError(f"source.options: images must be 'aligned' or 'original', got {images!r}")
    labels = tree.need(*LISTS, files=True)
    folder = tree.need(images, below=tree.find("Image") or "")
    entries = {
        posixpath.splitext(posixpath.basename(entry.path))[0].removesuffix("_aligned"): entry
        for entry in tree.scan(folder, IMAGES)
    }
    boxes = _boxes(tree) if images == "original" else {}
    for number, line in enumerate(tree.text(labels).splitlines(), 1):
        if not line.strip():
            continue
        try:
            name, code = line.split()
            kind = CODES.expression(int(code))
        except ValueError as error:
            raise InputError(f"{tree.url(labels)}, line {number}: expected a name and 1 to 7: {error}") from None
        stem = name.rpartition(".")[0]
        entry, box = entries.get(stem), boxes.get(stem)
        yield SequenceRef(
            sequence_id=name,
            kind="still",
            uri=tree.url(f"{folder}/{entry.path if entry else name}"),
            size=entry.size if entry else -1,
            version=entry.version if entry else "missing",
            emotion=kind,
            split=name.partition("_")[0],
            truth=TRUTH.name,
            landmarks_uri=tree.url(box.path) if box else None,
            labels=((kind, 1.0),),
            raw_labels=((kind, code),),
            truth_version=f"{code}-{truth_version([box])}" if box else code,
        )


def _boxes(tree: Tree) -> dict[str, Entry]:
    """Files of face boxes by the stem of their picture; some copies lack a few, and those pictures have none."""
    found = tree.walk(tree.find("boundingbox"), (BOX,))
    return {posixpath.basename(entry.path)[: -len(BOX)]: entry for entry in found}


def read_box(uri: str, frames: Frames) -> Points:
    """The face's box (left, top, right, bottom) as two of its corners."""
    values = number_table(read_bytes(uri), uri, 4)
    if not len(values):
        raise MediaError(f"{uri}: expected left, top, right and bottom, got an empty file")
    return {0: values[0, :4].astype(np.float32).reshape(2, 2)}


TRUTH = TruthForm(
    name="raf_db",
    annotations=None,
    landmarks=read_box,
    n_label_files=annotation_uris,
)

RAF_DB = register(
    Dataset(
        name="raf_db",
        title="RAF-DB",
        row_per="line of the list",
        labels="expression",
        face="aligned: the picture (`faces.detector: none`); original: its box, where it has one",
        listing=list_raf_db,
        options={"images": "`images: aligned` or `original`"},
        marks=(r"(^|/)emolabel$|list_par?tition_label\.txt$",),
        tables=(),
        truth=TRUTH,
        codes=CODES,
        scales=(),
        whole=Whole(inputs=15_339, subjects=None),
        job=None,
        is_cropped=True,
        not_read=None,
    )
)
