"""DISFA+ (Mavadati, Sanger & Mahoor 2016): posed and spontaneous trials as numbered images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa

from fer_batch.facs import au_name
from fer_batch.sources.dataset import Dataset, TruthForm, register
from fer_batch.sources.fetch import list_files, read_bytes
from fer_batch.sources.label_files import Frames, Row, annotation_table, frame_rows
from fer_batch.sources.labels import occurrence_of
from fer_batch.sources.listing import frame_number
from fer_batch.sources.tree import IMAGES, Tree
from fer_batch.types import MediaError, SequenceRef


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
            truth=TRUTH.name,
            annotation_uris=(tree.url(own[0].path.rpartition("/")[0]),) if own else (),
        )


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


TRUTH = TruthForm(
    name="disfa_plus",
    annotations=read_annotations,
    landmarks=None,
    n_label_files=lambda ref: 12,
)

DISFA_PLUS = register(
    Dataset(
        name="disfa_plus",
        title="DISFA+",
        row_per="trial",
        labels="12 AUs of every frame",
        face="-",
        listing=list_disfa_plus,
        options={},
        marks=(r"(^|/)labels/sn\d{3}$",),
        tables=(),
        truth=TRUTH,
        codes=None,
        scales=(),
        whole=None,
        job=None,
        is_cropped=False,
        not_read=None,
    )
)
