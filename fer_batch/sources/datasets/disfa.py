"""DISFA (Mavadati et al. 2013): videos with one file of intensities per Action Unit."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence

import pyarrow as pa

from fer_batch.facs import au_name
from fer_batch.registry import nearest
from fer_batch.sources.dataset import Dataset, TruthForm, Whole, register
from fer_batch.sources.fetch import list_files, read_bytes
from fer_batch.sources.label_files import (
    Frames,
    Points,
    Row,
    annotation_table,
    number_table,
    read_frames,
)
from fer_batch.sources.labels import occurrence_of
from fer_batch.sources.listing import VIDEO_SUFFIXES
from fer_batch.sources.points import to_68
from fer_batch.sources.tree import Tree
from fer_batch.types import InputError, MediaError, SequenceRef

CAMERAS = {"left": ("Video_LeftCamera", "Videos_LeftCamera"), "right": ("Video_RightCamera", "Videos_RightCamera")}


def list_disfa(tree: Tree, *, camera: str = "left") -> Iterator[SequenceRef]:
    """One row per subject's video of one camera; the landmarks are those of the left one."""
    if camera not in CAMERAS:
        raise InputError(f"source.options: camera has no {camera!r}; {nearest(camera, CAMERAS)}")
    labels = tree.grouped(tree.find("ActionUnit_Labels"), (".txt",), 1)
    points = {} if camera == "right" else tree.grouped(tree.find("Landmark_Points"), ("_lm.mat",), 2)
    for entry in tree.walk(tree.need(*CAMERAS[camera]), VIDEO_SUFFIXES):
        name = entry.path.rpartition("/")[2]
        subject = re.search(r"SN\d{3}", name, re.IGNORECASE)
        if subject is None:
            continue
        own = labels.get(subject[0].upper(), ())
        faces = next((found for key, found in points.items() if subject[0].upper() in key.split("/")), ())
        yield tree.file(
            name,
            "video",
            entry,
            [*own, *faces],
            subject_id="disfa:" + subject[0].upper(),
            truth=TRUTH.name,
            annotation_uris=(tree.url(own[0].path.rpartition("/")[0]),) if own else (),
            landmarks_uri=tree.url(faces[0].path.rpartition("/")[0]) if faces else None,
        )


def read_annotations(uris: Sequence[str], frames: Frames) -> pa.Table:
    """Intensities 0 to 5 of every frame; the files count frames from 1."""
    rows: list[Row] = []
    for name in sorted(list_files(uris[0])):
        unit = re.search(r"_au(\d+)\.txt$", name, re.IGNORECASE)
        if unit is None or name.startswith("._"):
            continue
        target, where = au_name(int(unit[1])), f"{uris[0]}/{name}"
        for number, value in number_table(read_bytes(where), where, 2)[:, :2].tolist():
            rows.append((int(number) - 1, target, *occurrence_of(target, value), None))
    return annotation_table(rows)


def read_landmarks(uri: str, frames: Frames) -> Points:
    """66 points of every frame that has a file: `SN001_0000_lm.mat` counts from 0, `l00001_lm.mat` from its first."""
    from scipy.io import loadmat

    found = {}
    files = read_frames(uri, "_lm.mat", None)
    first = 0 if any(re.search(r"SN\d{3}_", where.rpartition("/")[2]) for where, _ in files.values()) else min(files)
    for number, (where, data) in files.items():
        try:
            found[number - min(first, 1)] = to_68(loadmat(io.BytesIO(data), variable_names=["pts"])["pts"])
        except Exception as error:  # the reader of .mat files fails in classes of its own on damage
            raise MediaError(f"{where}: expected 'pts' of shape (66, 2): {error}") from None
    return found


TRUTH = TruthForm(
    name="disfa",
    annotations=read_annotations,
    landmarks=read_landmarks,
    n_label_files=lambda ref: 12,
)

DISFA = register(
    Dataset(
        name="disfa",
        title="DISFA",
        row_per="video of one camera",
        labels="12 AUs of every frame",
        face="66 landmarks, left camera",
        listing=list_disfa,
        options={"camera": "`camera: left` or `right`"},
        marks=(r"(^|/)actionunit_labels$", r"(^|/)videos?_(left|right)camera$"),
        tables=(),
        truth=TRUTH,
        codes=None,
        scales=(),
        whole=Whole(inputs=27, subjects=27),
        job=None,
        is_cropped=False,
        not_read=None,
    )
)
