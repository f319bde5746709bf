"""UNBC-McMaster shoulder pain (Lucey et al. 2011): every frame coded, per-frame files, PSPI."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import pyarrow as pa

from fer_batch.facs import pspi
from fer_batch.sources.dataset import Dataset, Job, TruthForm, Whole, annotation_uris, register
from fer_batch.sources.fetch import read_bytes
from fer_batch.sources.label_files import (
    Frames,
    Points,
    Row,
    annotation_table,
    coded_rows,
    number_table,
    read_frames,
)
from fer_batch.sources.points import to_68
from fer_batch.sources.tree import IMAGES, Tree
from fer_batch.types import MediaError, SequenceRef

log = logging.getLogger(__name__)

CODED = (4, 6, 7, 9, 10, 12, 20, 25, 26, 43)
SEQUENCE_LABELS = ("AFF", "OPR", "SEN", "VAS")


def list_unbc(tree: Tree) -> Iterator[SequenceRef]:
    """One row per sequence (`042-ll042/ll042t1aaaff`); the subject is what follows the dash."""
    images = tree.grouped(tree.need("Images"), IMAGES, 2)
    points = tree.grouped(tree.find("AAM_landmarks"), ("_aam.txt",), 2)
    labels = tree.find("Frame_Labels")
    facs = tree.grouped(tree.find("FACS", below=labels), ("_facs.txt",), 2)
    scores = tree.grouped(tree.find("PSPI", below=labels), ("_facs.txt",), 2)
    whole = tree.grouped(tree.find("Sequence_Labels"), (".txt",), 1)
    for key, frames in images.items():
        subject, _, name = key.partition("/")
        folders = [group[key][0].path.rpartition("/")[0] for group in (facs, scores) if key in group]
        scales = [entry for entry in whole.get(subject, ()) if entry.path.endswith(f"/{name}.txt")]
        yield tree.image_sequence(
            key,
            frames,
            [*facs.get(key, ()), *scores.get(key, ()), *points.get(key, ()), *scales],
            subject_id="unbc_mcmaster:" + subject.rpartition("-")[2],
            truth=TRUTH.name,
            annotation_uris=tuple(tree.url(path) for path in (*folders, *(entry.path for entry in scales))),
            landmarks_uri=tree.url(points[key][0].path.rpartition("/")[0]) if key in points else None,
        )


def read_landmarks(uri: str, frames: Frames) -> Points:
    """66 points of the active appearance model of every frame that has a file."""
    found = {}
    for number, (where, data) in read_frames(uri, "_aam.txt", frames).items():
        try:
            found[frames[number] if frames else number] = to_68(number_table(data, where, 2))
        except ValueError as error:
            raise MediaError(f"{where}: {error}") from None
    return found


def read_annotations(uris: Sequence[str], frames: Frames) -> pa.Table:
    """Action Units and PSPI of every frame that has a file; labels of the whole sequence stand at its first frame.

    PSPI is as given. Where the Action Units give another one, `raw` says so; where none is given, it is theirs.
    """
    rows: list[Row] = []
    computed: dict[int, float] = {}
    given: dict[int, float] = {}
    for uri in uris:
        kind = uri.split("/")[-3]  # FACS and PSPI files have the same names
        if kind in SEQUENCE_LABELS:
            rows += [(0, kind, float(row[0]), None, None) for row in number_table(read_bytes(uri), uri, 1)[:1]]
            continue
        for number, (where, data) in read_frames(uri, "_facs.txt", frames).items():
            frame = frames[number] if frames else number
            values = number_table(data, where, 1 if kind == "PSPI" else 2)
            if kind == "PSPI":
                if len(values):  # an empty file says nothing
                    given[frame] = float(values[0, 0])
            else:
                coded = list(coded_rows(values, frame, CODED))
                rows += coded
                # A unit that is present without a score counts as the least there is.
                computed[frame] = pspi({int(t[2:]): 1.0 if i is None else i for _, t, i, _, _ in coded})
    wrong = {frame for frame in given if frame in computed and given[frame] != computed[frame]}
    if wrong:
        log.warning("%s: PSPI of %d frames is not that of their Action Units", uris[0], len(wrong))
    for frame in sorted({*given, *computed}):
        raw = f"Action Units give {computed[frame]:g}" if frame in wrong else None if frame in given else "not given"
        rows.append((frame, "PSPI", given.get(frame, computed.get(frame)), None, raw))
    return annotation_table(rows)


TRUTH = TruthForm(
    name="unbc_mcmaster",
    annotations=read_annotations,
    landmarks=read_landmarks,
    n_label_files=lambda ref: 2 * len(ref.files) or annotation_uris(ref),
)

UNBC_MCMASTER = register(
    Dataset(
        name="unbc_mcmaster",
        title="UNBC-McMaster",
        row_per="sequence",
        labels="AUs and `PSPI` of every frame; `AFF OPR SEN VAS` at frame 0",
        face="66 landmarks of the frames that have them",
        listing=list_unbc,
        options={},
        marks=(r"(^|/)frame_labels$",),
        tables=(),
        truth=TRUTH,
        codes=None,
        scales=("pspi", "vas", "opr", "aff", "sen"),
        whole=Whole(inputs=200, subjects=25),
        job=Job("unbc_pain", format="unbc_mcmaster"),
        is_cropped=False,
        not_read=None,
    )
)
