"""AffectNet, the release with lists in CSV (Mollahosseini et al. 2017)."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from fer_batch.registry import nearest
from fer_batch.sources.labels import NO_EXPRESSION, expression
from fer_batch.sources.tree import IMAGES, Tree, dataset
from fer_batch.storage.store import Entry
from fer_batch.types import InputError, SequenceRef

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
# part -> split, lists, folder of the images
PARTS = {
    "training": ("train", "training.csv", "Manually_Annotated_Images"),
    "validation": ("val", "validation.csv", "Manually_Annotated_Images"),
    "automatic": ("train", "automatically_annotated.csv", "Automatically_Annotated_Images"),
}
NOT_GIVEN = -2.0  # valence and arousal of an image without a face


@dataset("affectnet", r"(^|/)(training|validation|automatically_annotated)\.csv$|_annotated_images$|manual_annot")
def list_affectnet(tree: Tree, *, parts: Sequence[str] = ("training", "validation")) -> Iterator[SequenceRef]:
    """One row per line of the lists; `parts` chooses among training, validation and automatic."""
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise InputError(f"source.options: parts has no {unknown[0]!r}; {nearest(unknown[0], PARTS)}")
    lists = {part: tree.find(PARTS[part][1], files=True) for part in parts}
    if not any(lists.values()):
        tree.need(*(PARTS[part][1] for part in parts), files=True)
    images: dict[str, dict[str, Entry]] = {}
    for part, path in lists.items():
        split, _, folder_name = PARTS[part]
        if path is not None:
            folder = tree.need(folder_name, folder_name.removesuffix("_Images"))
            if folder not in images:
                images[folder] = {entry.path: entry for entry in tree.scan(folder, IMAGES)}
            prefix = "automatic/" if part == "automatic" else ""
            for row in _rows(tree, path):
                yield _still(tree, row, folder, images[folder].get(row[0]), prefix, split)


def _rows(tree: Tree, path: str) -> Iterator[tuple[str, int, list[float], NDArray[np.float32]]]:
    """Path, expression code, (face x, y, width, height, valence, arousal) and landmarks of each line."""
    with tree.store.fs.open(tree.store.path(path), "rb") as handle:
        has_header = handle.read(256).lstrip(b'\xef\xbb\xbf"').startswith(COLUMNS[0].encode())
        handle.seek(0)
        names = None if has_header else COLUMNS
        options = pacsv.ConvertOptions(
            column_types=dict.fromkeys(COLUMNS, pa.string()), include_columns=COLUMNS, strings_can_be_null=True
        )
        try:
            batches = pacsv.open_csv(handle, pacsv.ReadOptions(column_names=names), convert_options=options)
            for batch in batches:
                yield from _batch(batch)
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            raise InputError(f"{tree.url(path)}: expected the columns {', '.join(COLUMNS)}: {error}") from None


def _batch(batch: pa.RecordBatch) -> Iterator[tuple[str, int, list[float], NDArray[np.float32]]]:
    names = [name for name in COLUMNS[1:] if name not in ("facial_landmarks", "expression")]
    numbers = np.stack([np.asarray(batch[name].cast(pa.float64()).fill_null(np.nan)) for name in names], 1)
    points = np.full((batch.num_rows, 136), np.nan, np.float32)
    split = pc.split_pattern(batch["facial_landmarks"].fill_null(""), ";")
    whole = np.flatnonzero(pc.equal(pc.list_value_length(split), 136).to_numpy(zero_copy_only=False))
    flat = pc.list_flatten(split.take(pa.array(whole)))
    points[whole] = flat.cast(pa.float32()).to_numpy().reshape(-1, 136)
    codes = batch["expression"].cast(pa.int32()).fill_null(-1).to_pylist()
    paths = batch[COLUMNS[0]].to_pylist()
    yield from zip(paths, codes, numbers.tolist(), points, strict=True)


def _still(
    tree: Tree,
    row: tuple[str, int, list[float], NDArray[np.float32]],
    folder: str,
    entry: Entry | None,
    prefix: str,
    split: str,
) -> SequenceRef:
    path, code, (x, y, width, height, valence, arousal), points = row
    labels: list[tuple[str, float]] = []
    raw: tuple[tuple[str, str], ...] = ()
    skip = None
    if code >= 0:
        try:
            name = expression("affectnet", code)
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None
        skip = NO_EXPRESSION.get(name)
        if skip is None:
            labels, raw = [(name, 1.0)], ((name, str(code)),)
    labels += [(name, v) for name, v in (("valence", valence), ("arousal", arousal)) if v >= -1.0]
    has_points = bool(np.isfinite(points).all())
    known = points.tobytes() if has_points else b""
    box = (x, y, x + width - 1, y + height - 1)
    return SequenceRef(
        sequence_id=prefix + path,
        kind="still",
        uri=tree.url(f"{folder}/{path}"),
        size=entry.size if entry else -1,
        version=entry.version if entry else "missing",
        split=split,
        labels=tuple(labels),
        raw_labels=raw,
        emotion=raw[0][0] if raw else None,
        landmarks=array("f", known) if has_points else (),
        face_box=box if np.isfinite(box).all() and width > 1 and height > 1 else (),
        truth_version=hashlib.sha256(repr((labels, box)).encode() + known).hexdigest()[:16],
        skip_reason=skip,
    )
