"""BP4D (Zhang et al. 2014), BP4D+ (Zhang et al. 2016) and FERA 2017: frames coded on two sheets, 9 is unknown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from fer_batch.facs import au_name
from fer_batch.sources.fetch import read_bytes
from fer_batch.sources.labels import occurrence_of
from fer_batch.sources.listing import VIDEO_SUFFIXES
from fer_batch.sources.tree import IMAGES, Tree, dataset
from fer_batch.sources.truth import ANNOTATIONS, Frames, Row, annotation_table, frame_rows, read_all
from fer_batch.storage.store import Entry
from fer_batch.types import InputError, MediaError, SequenceRef

UNKNOWN = 9.0
PHANTOMS = {"F042/T11": "BP4D+ has no task T11: its labels are of no recording"}
_INTENSITY = re.compile(r"_AU(\d+)(_Int)?\.csv$", re.IGNORECASE)


@dataset("bp4d", r"(^|/)sequences_2d\+3d$|(^|/)sequences\(2d\+3d\)$")
def list_bp4d(tree: Tree) -> Iterator[SequenceRef]:
    """One row per task (`F001/T1`); names of frames are padded to three or four digits, so they go by number."""
    return _tasks(tree, "bp4d", tree.need("Sequences_2D+3D", "Sequences(2D+3D)"))


@dataset("bp4d_plus", r"(^|/)2d\+3d$")
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
            **_where(tree, labels.get(key, ())),
        )


@dataset("fera17", r"fera17_\w+\.mp4$")
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
                name, "video", entry, own, subject_id=f"fera17:{parts[2]}", split=split, **_where(tree, own)
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


def _where(tree: Tree, labels: Sequence[Entry]) -> dict[str, Any]:
    return {"truth": "bp4d", "annotation_uris": tuple(tree.url(entry.path) for entry in labels)}


@ANNOTATIONS.register("bp4d")
def read_annotations(uris: Sequence[str], frames: Frames) -> pa.Table:
    """Occurrence from the sheet of all units, intensity from that of each; what is unknown has no row."""
    occurrence: dict[tuple[int, int], bool] = {}
    intensity: dict[tuple[int, int], float] = {}
    for uri, data in zip(uris, read_all(uris), strict=True):
        unit = _INTENSITY.search(uri)
        if unit:
            sheet = ((number, {int(unit[1]): values[0]}) for number, values in _sheet(data, uri, header=False)[1])
        else:
            names, lines = _sheet(data, uri, header=True)
            sheet = ((number, dict(zip(names, values, strict=True))) for number, values in lines)
        for number, values_by_unit in sheet:
            for au, value in values_by_unit.items():
                if value == UNKNOWN:
                    continue
                if unit:
                    intensity[number, au] = value
                elif value in (0.0, 1.0):
                    occurrence[number, au] = value == 1.0
                else:
                    raise MediaError(f"{uri}: expected 0, 1 or 9, got {value:g} for AU{au} in frame {number}")
    # A video's sheets begin with its first frame, whatever its number.
    first = 0 if frames else min((number for number, _ in (*occurrence, *intensity)), default=0)
    rows: list[Row] = []
    for number, au in sorted({*occurrence, *intensity}):
        target, strength = au_name(au), intensity.get((number, au))
        present = occurrence.get((number, au), None if strength is None else occurrence_of(target, strength)[1])
        rows.append((number - first, target, strength, present, None))
    return annotation_table(frame_rows(rows, frames, uris[0]))


def _sheet(data: bytes, where: str, header: bool) -> tuple[list[int], list[tuple[int, list[float]]]]:
    """Action Units of the columns after the frame's, and the values of each frame."""
    lines = [line.split(",") for line in data.decode("utf-8-sig").splitlines() if line.strip(", ")]
    try:
        head = lines.pop(0) if lines and (header or not lines[0][0].strip().lstrip("-").isdigit()) else []
        units = [re.search(r"(\d+)\s*(_?[rc])?\"?$", name.strip()) for name in head[1:]]
        values = [(int(float(line[0])), [float(value) for value in line[1:]]) for line in lines]
        known = [column for column, unit in enumerate(units) if unit] if header else [0]
        names = [int(units[column][1]) for column in known] if header else []  # type: ignore[index]
        return names, [(number, [row[column] for column in known]) for number, row in values]
    except (ValueError, IndexError) as error:
        raise MediaError(f"{where}: expected rows of frame and codes: {error}") from None
