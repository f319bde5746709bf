"""CK+ (Lucey et al. 2010): posed sequences from neutral to peak, coded at the peak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from fer_batch.facs import AU_NAMES, au_name
from fer_batch.sources.dataset import Dataset, Job, TruthForm, Whole, annotation_uris, register
from fer_batch.sources.fetch import read_bytes
from fer_batch.sources.label_files import (
    Frames,
    Points,
    Row,
    annotation_table,
    coded_rows,
    frame_of,
    number_table,
    read_frames,
)
from fer_batch.sources.labels import ExpressionCodes
from fer_batch.sources.tree import IMAGES, Tree
from fer_batch.types import MediaError, SequenceRef

CODES = ExpressionCodes(
    "ck_plus", 0, ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
)


def list_ck_plus(tree: Tree) -> Iterator[SequenceRef]:
    """One row per sequence (`S005/001`). FACS codes and emotions of the peak are annotations of its frame."""
    images = tree.grouped(tree.need("cohn-kanade-images", "extended-cohn-kanade-images"), IMAGES, 2)
    landmarks = tree.grouped(tree.find("Landmarks"), ("_landmarks.txt",), 2)
    facs = tree.grouped(tree.find("FACS", "FACS_labels"), ("_facs.txt",), 2)
    emotion = tree.grouped(tree.find("Emotion", "Emotion_labels"), ("_emotion.txt",), 2)
    for key, frames in images.items():
        labels = [*facs.get(key, ()), *emotion.get(key, ())]
        points = landmarks.get(key, ())
        yield tree.image_sequence(
            key,
            frames,
            [*labels, *points],
            subject_id="ck_plus:" + key.split("/")[0],
            truth=TRUTH.name,
            annotation_uris=tuple(tree.url(entry.path) for entry in labels),
            landmarks_uri=tree.url(points[0].path.rpartition("/")[0]) if points else None,
        )


def read_landmarks(uri: str, frames: Frames) -> Points:
    """68 points of every frame that has a file."""
    points = {}
    for number, (where, data) in read_frames(uri, "_landmarks.txt", frames).items():
        face = number_table(data, where, 2)
        if face.shape != (68, 2):
            raise MediaError(f"{where}: expected 68 rows of x and y, got {face.shape[0]} of {face.shape[1]}")
        points[frames[number] if frames else number] = face.astype("float32")
    return points


def read_annotations(uris: Sequence[str], frames: Frames) -> pa.Table:
    """The peak's Action Units and expression; the first frame is (NONE), what lies between is not annotated."""
    rows: list[Row] = []
    for uri in uris:
        peak = frame_of(uri, frames)
        if peak is None:
            continue
        if uri.lower().endswith("_emotion.txt"):
            for code in number_table(read_bytes(uri), uri, 1)[:1, 0]:
                rows.append((peak, _expression(code, uri), None, True, f"{code:g}"))
                rows += [(0, "neutral", None, True, None)] if peak else []
        else:
            rows += coded_rows(number_table(read_bytes(uri), uri, 2), peak, AU_NAMES)
            rows += [(0, au_name(au), 0.0, False, None) for au in AU_NAMES] if peak else []
    return annotation_table(rows)


def _expression(code: float, where: str) -> str:
    try:
        return CODES.expression(code)
    except ValueError as error:
        raise MediaError(f"{where}: {error}") from None


TRUTH = TruthForm(
    name="ck_plus",
    annotations=read_annotations,
    landmarks=read_landmarks,
    n_label_files=annotation_uris,
)

CK_PLUS = register(
    Dataset(
        name="ck_plus",
        title="CK+",
        row_per="sequence `S005/001`",
        labels="FACS and emotion of the peak, at the frame their file names; frame 0 is neutral, without any AU",
        face="68 landmarks of every frame",
        listing=list_ck_plus,
        options={},
        marks=(r"cohn-kanade-images$",),
        tables=(),
        truth=TRUTH,
        codes=CODES,
        scales=(),
        whole=Whole(inputs=593, subjects=123),
        job=Job("ck_plus", format="ck_plus"),
        is_cropped=False,
        not_read=None,
    )
)
