"""BP4D (Zhang et al. 2014), BP4D+ (Zhang et al. 2016) and FERA 2017: frames coded on two sheets, 9 is unknown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from fer_batch.facs import au_name
from fer_batch.sources.dataset import Dataset, TruthForm, Whole, annotation_uris, register
from fer_batch.sources.label_files import Frames, Row, annotation_table, frame_rows, number_table, read_all
from fer_batch.sources.labels import occurrence_of
from fer_batch.sources.listing import VIDEO_SUFFIXES
from fer_batch.sources.tree import IMAGES, Tree
from fer_batch.storage.store import Entry
from fer_batch.types import InputError, MediaError, SequenceRef

UNKNOWN = 9.0
PHANTOMS = {"F042/T11": "BP4D+ has no task T11: its labels are of no recording"}
_INTENSITY = re.compile(r"_AU(\d+)(_Int)?\.csv$", re.IGNORECASE)


def list_bp4d(tree: Tree) -> Iterator[SequenceRef]:
    """One row per task (`F001/T1`); names of frames are padded to three or four digits, so they go by number."""
    return _tasks(tree, "bp4d", tree.need("Sequences_2D+3D", "Sequences(2D+3D)"))


def list_bp4d_plus(tree: Tree) -> Iterator[SequenceRef]:
    """The same for BP4D+, once its archives are unpacked."""
    folder = tree.need("2D+3D")
    if not tree.children(folder)[0]:
        raise InputError(f"{tree.url(folder)} holds archives; unpack them in their place (unzip F001.zip -d F001)")
    return _tasks(tree, "bp4d_plus", folder)


def _tasks(tree: Tree, name: str, folder: str) -> Iterator[SequenceRef]:
    labels = _labels(tree)
    for key, frames in tree.grouped(folder, IMAGES, 2).items():
        yield tree.image_sequence(
            key,
            frames,
            labels.get(key, ()),
            subject_id=f"{name}:{key.partition('/')[0]}",
            skip_reason=PHANTOMS.get(key),
            truth=TRUTH.name,
            annotation_uris=_uris(tree, labels.get(key, ())),
        )


def list_fera17(tree: Tree) -> Iterator[SequenceRef]:
    """One row per video; all views of a task share its labels."""
    labels = _labels(tree)
    for entry in tree.walk("", VIDEO_SUFFIXES):
        name = entry.path.rpartition("/")[2]
        parts = re.search(r"FERA17_(TR|VA|TE)_([FM]\d+)_(T\d+)", name, re.IGNORECASE)
        if parts:
            own = labels.get(f"{parts[2]}/{parts[3]}", ())
            split = {"TR": "train", "VA": "val", "TE": "test"}[parts[1].upper()]
            yield tree.file(
                name,
                "video",
                entry,
                own,
                subject_id=f"fera17:{parts[2]}",
                split=split,
                truth=TRUTH.name,
                annotation_uris=_uris(tree, own),
            )


def _labels(tree: Tree) -> dict[str, list[Entry]]:
    """Sheets of occurrence and intensity by task, occurrence first."""
    found: dict[str, list[Entry]] = {}
    for folder in (tree.find("AU_OCC", "occ"), tree.find("AU_INT", "int")):
        for entry in tree.walk(folder, (".csv",)):
            task = re.search(r"([FM]\d{3})_(T\d+)", entry.path.rpartition("/")[2])
            if task:
                found.setdefault(f"{task[1]}/{task[2]}", []).append(entry)
    return found


def _uris(tree: Tree, labels: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(tree.url(entry.path) for entry in labels)


def read_annotations(uris: Sequence[str], frames: Frames) -> pa.Table:
    """Occurrence from the sheet of all units, intensity from that of each; what is unknown has no row."""
    occurrence: dict[tuple[int, int], float] = {}
    intensity: dict[tuple[int, int], float] = {}
    begins: list[int] = []  # of each sheet, also where all codes of a frame are unknown
    for uri, data in zip(uris, read_all(uris), strict=True):
        unit = _INTENSITY.search(uri)
        codes, begin = _codes(data, uri, int(unit[1]) if unit else None)
        begins += [] if begin is None else [begin]
        for number, au, code in codes:
            if unit is None and code > 1:
                raise MediaError(f"{uri}: expected 0, 1 or 9, got {code:g} for AU{au} in frame {number}")
            (intensity if unit else occurrence)[number, au] = code
    # A video's sheets begin with its first frame, whatever its number.
    first = 0 if frames else min(begins, default=0)
    rows: list[Row] = []
    for number, au in sorted({*occurrence, *intensity}):
        strength, present = intensity.get((number, au)), occurrence.get((number, au))
        said = bool(present) if present is not None else occurrence_of(au_name(au), strength or 0.0)[1]
        rows.append((number - first, au_name(au), strength, said, None))
    return annotation_table(frame_rows(rows, frames, uris[0]))


def _codes(data: bytes, where: str, unit: int | None) -> tuple[list[tuple[int, int, float]], int | None]:
    """Frame, Action Unit and code wherever a sheet has one, and its first frame; `unit` is of one without names."""
    try:
        lines = data.decode("utf-8-sig").strip().splitlines()
    except UnicodeDecodeError as error:
        raise MediaError(f"{where} is not UTF-8: {error}") from None
    head = lines[0].split(",") if lines and (unit is None or not lines[0].split(",")[0].strip().isdigit()) else []
    named = {column: re.search(r"(\d+)\s*(_?[rc])?\"?$", name) for column, name in enumerate(head) if column}
    aus = {column: int(found[1]) for column, found in named.items() if found} if unit is None else {1: unit}
    values = number_table("\n".join(lines[bool(head) :]).encode(), where)
    if len(values) and (not aus or values.shape[1] <= max(aus)):
        raise MediaError(f"{where}: expected rows of a frame and its codes, got {values.shape[1]} columns")
    if not len(values):
        return [], None
    columns = np.array(list(aus))
    row, column = np.nonzero(values[:, columns] != UNKNOWN)
    found = (values[row, 0].astype(int), np.array(list(aus.values()))[column], values[row, columns[column]])
    return list(zip(*(part.tolist() for part in found), strict=True)), int(values[:, 0].min())


TRUTH = TruthForm(
    name="bp4d",
    annotations=read_annotations,
    landmarks=None,
    n_label_files=annotation_uris,
)

BP4D = register(
    Dataset(
        name="bp4d",
        title="BP4D",
        row_per="task",
        labels="occurrence and intensity of the coded frames",
        face="-",
        listing=list_bp4d,
        options={},
        marks=(r"(^|/)sequences_2d\+3d$|(^|/)sequences\(2d\+3d\)$",),
        tables=(),
        truth=TRUTH,
        codes=None,
        scales=(),
        whole=Whole(inputs=328, subjects=41),
        job=None,
        is_cropped=False,
        not_read=None,
    )
)
BP4D_PLUS = register(
    Dataset(
        name="bp4d_plus",
        title="BP4D+",
        row_per="task",
        labels="occurrence and intensity of the coded frames",
        face="-",
        listing=list_bp4d_plus,
        options={},
        marks=(r"(^|/)2d\+3d$",),
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
FERA17 = register(
    Dataset(
        name="fera17",
        title="FERA17",
        row_per="video",
        labels="occurrence and intensity of the coded frames",
        face="-",
        listing=list_fera17,
        options={},
        marks=(r"fera17_\w+\.mp4$",),
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
