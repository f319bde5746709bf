"""DISFA+ (Mavadati, Sanger & Mahoor 2016): posed and spontaneous trials as numbered images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa

from fer_batch.facs import au_name
from fer_batch.sources.fetch import list_files, read_bytes
from fer_batch.sources.labels import occurrence_of
from fer_batch.sources.listing import frame_number
from fer_batch.sources.tree import IMAGES, Tree, dataset
from fer_batch.sources.truth import ANNOTATIONS, Frames, Row, annotation_table, frame_rows
from fer_batch.types import MediaError, SequenceRef


@dataset("disfa_plus", r"(^|/)labels/sn\d{3}$")
def list_disfa_plus(tree: Tree) -> Iterator[SequenceRef]:
    """One row per trial (`SN001/A1_AU1_TrailNo_1`)."""
    labels = tree.grouped(tree.find("Labels"), (".txt",), 2)
    for key, frames in tree.grouped(tree.need("Images"), IMAGES, 2).items():
        own = labels.get(key, ())
        yield tree.image_sequence(
            key,
            frames,
            own,
            subject_id="disfa_plus:" + key.partition("/")[0],
            truth="disfa_plus",
            annotation_uris=(tree.url(own[0].path.rpartition("/")[0]),) if own else (),
        )


@ANNOTATIONS.register("disfa_plus")
def read_annotations(uris: Sequence[str], frames: Frames) -> pa.Table:
    """Intensities from lines `frame.jpg intensity`; `#` begins a comment."""
    rows: list[Row] = []
    for name in sorted(list_files(uris[0])):
        unit = re.fullmatch(r"AU(\d+)\.txt", name, re.IGNORECASE)
        if unit is None:
            continue
        target, where = au_name(int(unit[1])), f"{uris[0]}/{name}"
        found: list[Row] = []
        for line in read_bytes(where).decode("utf-8-sig", "replace").splitlines():
            picture, *value = line.partition("#")[0].split()[:2] or [""]
            if not picture:
                continue
            number = frame_number(picture)
            try:
                found.append((number, target, *occurrence_of(target, float(value[0])), None))  # type: ignore[arg-type]
            except (ValueError, IndexError):
                raise MediaError(f"{where}: expected 'frame.jpg intensity', got {line[:60]!r}") from None
        rows += frame_rows(found, frames, where)
    return annotation_table(rows)
