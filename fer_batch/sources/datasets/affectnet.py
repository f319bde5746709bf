"""AffectNet, the release with lists in CSV (Mollahosseini et al. 2017)."""

from __future__ import annotations

import csv
import math
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fer_batch.registry import nearest
from fer_batch.sources.dataset import Dataset, Job, TruthForm, annotation_uris, register
from fer_batch.sources.fetch import read_bytes
from fer_batch.sources.label_files import Frames, Points
from fer_batch.sources.labels import NO_EXPRESSION, ExpressionCodes
from fer_batch.sources.tree import IMAGES, Tree
from fer_batch.storage.store import Entry
from fer_batch.types import InputError, MediaError, SequenceRef

COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
CODES = ExpressionCodes(
    "affectnet",
    0,
    (
        *("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt"),
        *("none", "uncertain", "non_face"),
    ),
)
# part -> split, lists, folder of the images
PARTS = {
    "training": ("train", "training.csv", "Manually_Annotated_Images"),
    "validation": ("val", "validation.csv", "Manually_Annotated_Images"),
    "automatic": ("train", "automatically_annotated.csv", "Automatically_Annotated_Images"),
}
MISSING = ("", "NULL", "nan")


class _Images(NamedTuple):
    folder: str
    entries: dict[str, Entry]


def list_affectnet(tree: Tree, *, parts: Sequence[str] = ("training", "validation")) -> Iterator[SequenceRef]:
    """One row per line of the lists; `parts` chooses among training, validation and automatic."""
    parts = (parts,) if isinstance(parts, str) else parts
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise InputError(f"source.options: parts has no {unknown[0]!r}; {nearest(unknown[0], PARTS)}")
    lists = {part: tree.find(PARTS[part][1], files=True) for part in parts}
    if not any(lists.values()):
        others = [part for part in PARTS if tree.find(PARTS[part][1], files=True)]
        if others:
            raise InputError(
                f"{tree.url('')} has the list of the part {others[0]} only; "
                f"give source.options: {{parts: [{others[0]}]}}"
            )
        tree.need(*(PARTS[part][1] for part in parts), files=True)
    images: dict[str, _Images] = {}
    for part, path in lists.items():
        split, _, folder_name = PARTS[part]
        if path is not None:
            # Its own name first, at any depth: a folder of the shorter name may be around it.
            folder = tree.find(folder_name) or tree.need(folder_name.removesuffix("_Images"))
            if folder not in images:
                images[folder] = _Images(folder, {entry.path: entry for entry in tree.scan(folder, IMAGES)})
            prefix = "automatic/" if part == "automatic" else ""
            for start, line in _lines(tree, path):
                yield _still(tree, path, start, line, images[folder], prefix, split)


def _lines(tree: Tree, path: str) -> Iterator[tuple[int, bytes]]:
    """First byte and content of each line of a list but its header, which some copies lack."""
    start, first = 0, True
    with tree.store.fs.open(tree.store.path(path), "rb") as handle:
        for line in handle:
            if line.strip(b"\xef\xbb\xbf \t\r\n"):
                is_header = first and line.lstrip(b'\xef\xbb\xbf"').startswith(COLUMNS[0].encode())
                first = False
                if not is_header:
                    yield start, line
            start += len(line)


def _cells(line: bytes) -> list[str]:
    """Cells of a line, which may be quoted, and before the first of which may stand a byte order mark."""
    return next(csv.reader([line.decode("utf-8-sig").strip()]))


def _still(tree: Tree, path: str, start: int, line: bytes, images: _Images, prefix: str, split: str) -> SequenceRef:
    where = tree.url(path)
    try:
        name, *box, points, code, valence, arousal = _cells(line)
        x, y, width, height = (_number(value) for value in box)
        kind = CODES.expression(float(code)) if code not in MISSING else None
        scales = {"valence": _number(valence), "arousal": _number(arousal)}
    except ValueError as error:
        raise InputError(f"{where}: expected {','.join(COLUMNS)}, got {line[:80]!r}: {error}") from None
    entry = images.entries.pop(name, None)  # one at a time, so that the listing does not need its memory twice
    labels = [(kind, 1.0)] if kind and kind not in NO_EXPRESSION else []
    labels += [(scale, value) for scale, value in scales.items() if value >= -1.0]
    is_whole = points.count(";") == 135
    crc = zlib.crc32(line)
    return SequenceRef(
        sequence_id=prefix + name,
        kind="still",
        uri=tree.url(f"{images.folder}/{name}"),
        size=entry.size if entry else -1,
        version=entry.version if entry else "missing",
        emotion=kind if kind not in NO_EXPRESSION else None,
        split=split,
        truth=TRUTH.name,
        landmarks_uri=f"{where}#{start}-{start + len(line)}-{crc}" if is_whole else None,
        labels=tuple(labels),
        raw_labels=((kind, code),) if kind and kind not in NO_EXPRESSION else (),
        face_box=() if is_whole or not width > 1 or not height > 1 else (x, y, x + width - 1, y + height - 1),
        truth_version=f"{len(line):x}-{crc:x}",
        skip_reason=NO_EXPRESSION.get(kind or ""),
    )


def _number(text: str) -> float:
    return math.nan if text in MISSING else float(text)


def read_landmarks(uri: str, frames: Frames) -> Points:
    """68 points from one line of a list, which is named by its bytes and their checksum."""
    where, _, place = uri.rpartition("#")
    start, stop, crc = map(int, place.split("-"))
    line = read_bytes(where, (start, stop))
    if zlib.crc32(line) != crc:
        raise MediaError(f"{where} was changed since it was listed")
    try:
        return {0: np.array(_cells(line)[5].split(";"), np.float32).reshape(68, 2)}
    except ValueError as error:
        raise MediaError(f"{where}: landmarks of {line[:60]!r}: {error}") from None


def not_read(tree: Tree) -> list[str]:
    """What is said of the automatic list, which is read only where a job asks for it."""
    if tree.find(PARTS["automatic"][1], files=True) is None:
        return []
    return ["not counted: the automatic list; source.options: {parts: [training, validation, automatic]} reads it too"]


TRUTH = TruthForm(
    name="affectnet",
    annotations=None,
    landmarks=read_landmarks,
    n_label_files=annotation_uris,
)

AFFECTNET = register(
    Dataset(
        name="affectnet",
        title="AffectNet, lists in CSV",
        row_per="line of a list",
        labels="expression, `valence`, `arousal`",
        face="68 landmarks; the box where they are not whole",
        listing=list_affectnet,
        options={
            "parts": "`parts: [training, validation, automatic]`, the first two by default; `inspect` says if the "
            "third is there"
        },
        marks=(
            r"annotated_images$",
            r"(^|/)(training|validation|automatically_annotated)\.csv$|annot_files$|annotated_file_lists$",
        ),
        tables=(),
        truth=TRUTH,
        codes=CODES,
        scales=("valence", "arousal"),
        whole=None,
        job=Job("affectnet", format="affectnet"),
        is_cropped=False,
        not_read=not_read,
    )
)
