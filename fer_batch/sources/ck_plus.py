"""CK+ (Lucey et al. 2010): posed sequences from neutral to peak, coded at the peak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from fer_batch.facs import AU_NAMES, au_name
from fer_batch.sources.fetch import read_bytes
from fer_batch.sources.labels import expression
from fer_batch.sources.tree import IMAGES, Tree, dataset
from fer_batch.sources.truth import (
    ANNOTATIONS,
    LANDMARKS,
    Frames,
    Points,
    Row,
    annotation_table,
    coded_rows,
    frame_of,
    number_table,
    read_frames,
)
from fer_batch.types import MediaError, SequenceRef


@dataset("ck_plus", r"cohn-kanade-images$")
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
            truth="ck_plus",
            annotation_uris=tuple(tree.url(entry.path) for entry in labels),
            landmarks_uri=tree.url(points[0].path.rpartition("/")[0]) if points else None,
        )


@LANDMARKS.register("ck_plus")
def read_landmarks(uri: str, frames: Frames) -> Points:
    """68 points of every frame that has a file."""
    points = {}
    for number, (where, data) in read_frames(uri, "_landmarks.txt", frames).items():
        face = number_table(data, where, 2)
        if face.shape != (68, 2):
            raise MediaError(f"{where}: expected 68 rows of x and y, got {face.shape[0]} of {face.shape[1]}")
        points[frames[number] if frames else number] = face.astype("float32")
    return points


@ANNOTATIONS.register("ck_plus")
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
        return expression("ck_plus", code)
    except ValueError as error:
        raise MediaError(f"{where}: {error}") from None
