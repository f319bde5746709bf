"""Reading one input, a video, numbered images or a still: its faces, and what its row says. Never imports torch."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fer_batch.media.decode import Decoder
from fer_batch.media.frame import Frame, LostFrame
from fer_batch.pipeline.explaining.chunk import CHUNK_FRAMES, FrameRow, SequenceRow
from fer_batch.pipeline.explaining.faces import (
    DecodeOptions,
    Item,
    KnownFaces,
    Place,
    faces_of,
    faces_of_still,
    frame_row,
    no_place,
    place_of,
    whole_frame,
)
from fer_batch.sources.crops import crop_rows
from fer_batch.sources.fetch import NotThere, StoreFault, local_file, local_input
from fer_batch.sources.identity import InputChanged, check_readable, check_root, check_unchanged, now, stamp
from fer_batch.sources.listing import frame_number
from fer_batch.storage.crop_set import open_crops
from fer_batch.types import EnvironmentFault, MediaError, SequenceRef


@lru_cache(maxsize=1)
def decoder_of(timeout_s: float, memory_bytes: int) -> Decoder:
    """The decoder of this worker: one child process, for as long as the worker lives.

    Parameters
    ----------
    timeout_s
        Seconds that one file may keep the child silent.
    memory_bytes
        Of the child, at most.
    """
    return Decoder(timeout_s=timeout_s, memory_bytes=memory_bytes)


def read_input(ref: SequenceRef, options: DecodeOptions, row: SequenceRow) -> Iterator[Item]:
    """Faces of one input that is what its listing found, from its first frame to its last.

    Parameters
    ----------
    ref
        The input.
    options
        How to decode, find faces and crop.
    row
        Its row of table `sequences`, which gets what reading shows.

    Raises
    ------
    MediaError
        If it cannot be read.
    InputChanged
        If it is no longer what its listing found.
    StoreFault
        If the source rather than the input is gone.
    """
    if ref.skip_reason:
        row.update({"status": "skipped", "reason": ref.skip_reason})
        return
    if ref.refusal:
        raise MediaError(ref.refusal)
    if ref.size == 0:
        row.update({"status": "failed", "reason": "the file is empty (0 bytes)"})
        return
    if ref.crops:
        yield from _cut_before(ref, options, row)
        return
    before = stamp(ref)
    items = {"video": _video, "image_sequence": _image_sequence, "still": _still}[ref.kind](ref, options, row)
    try:
        if ref.kind == "still":
            items = iter(list(items))  # one that changed must not leave its frame in a pack
        else:
            yield from items
    except NotThere:
        if options.root:
            check_root(options.root)
        row["absent"] = now(ref) == "gone"
        if row["absent"]:  # it was there when its folder was listed, which may be a share of its own
            check_root(posixpath.dirname(ref.uri))
        raise
    except StoreFault:
        raise
    except EnvironmentFault:  # of the decoder, which may have met another file than at first
        _check_same(ref, options, before)
        raise
    except MediaError:
        _check_source(ref, options, before)
        raise
    if row["status"] == "partial":
        _check_source(ref, options, before)
    _check_same(ref, options, before)
    yield from items


def _cut_before(ref: SequenceRef, options: DecodeOptions, row: SequenceRow) -> Iterator[Item]:
    """Faces of an input of which a crop set has the crops."""
    truth = KnownFaces(ref, options, row)
    crops = open_crops(ref.uri)
    row.update({"n_declared": len(ref.crops), "n_decoded": len(ref.crops)})
    for place, found in enumerate(crop_rows(ref)):
        if place % CHUNK_FRAMES == 0:
            images = crops.images(ref.crops[place : place + CHUNK_FRAMES])
        frame: FrameRow = {"frame_index": found["frame_index"], "status": "ok", "track_id": 0}
        for name in ("timestamp_ns", "face_box", "crop_matrix", "landmarks"):
            if found.get(name) is not None:
                frame[name] = found[name]
        yield Item(frame, images[place % CHUNK_FRAMES], truth.targets.get(found["frame_index"], []))


def _check_source(ref: SequenceRef, options: DecodeOptions, before: tuple[int, ...]) -> None:
    """Look whether it is the source rather than the input that something is wrong with."""
    if options.root:
        check_root(options.root)
    check_unchanged(ref, before)
    check_readable(ref)


def _check_same(ref: SequenceRef, options: DecodeOptions, before: tuple[int, ...]) -> None:
    """Look whether the input is still what its listing found; one that goes with its source was not removed."""
    try:
        check_unchanged(ref, before)
    except InputChanged:
        if options.root:
            check_root(options.root)
        raise


def _video(ref: SequenceRef, options: DecodeOptions, row: SequenceRow) -> Iterator[Item]:
    truth = KnownFaces(ref, options, row)
    decoder = decoder_of(options.timeout_s, options.memory_bytes)
    with local_file(ref.uri, ref.size) as path:
        try:
            if options.detector in ("none", "dataset"):
                yield from _known_crops(decoder, path, options, truth)
            else:
                yield from _found_crops(decoder, path, options, truth)
        finally:
            found = decoder.summary
            row.update(
                {"fps": found.fps, "n_declared": found.n_declared, "n_decoded": found.n_decoded, "reason": found.reason}
            )
            row["status"] = "partial" if found.partial else "done"
    if found.reason is None and options.sampling.to_the_end:
        row["length"] = found.n_decoded  # its frames are all there are: labels of others are left out


def _known_crops(decoder: Decoder, path: str, options: DecodeOptions, truth: KnownFaces) -> Iterator[Item]:
    """Where a face is is known before the frame is decoded, so that whole frames need not leave the decoder."""
    places: dict[int, Place] = {}
    matrices: dict[int, NDArray[np.float64]] | None = None
    if options.detector == "dataset":
        places = {index: place_of(truth.points.get(index), truth.boxes.get(index), options) for index in truth.frames()}
        matrices = {index: place.matrix for index, place in places.items() if place.matrix is not None}
    for found in decoder.crops(path, options.size, matrices, options.sampling, options.damage):
        index = found.frame_index
        if found.lost:
            place = no_place(found.lost, "decode_error")
        elif matrices is None:
            place = whole_frame(found.height, found.width, options.size)
        else:
            place = places.get(index, no_place("the source has no landmarks for this frame"))
        row = frame_row(index, found.timestamp_ns, None, place)
        yield Item(row, found.image, truth.targets.get(index, []) if found.image is not None else [])


def _found_crops(decoder: Decoder, path: str, options: DecodeOptions, truth: KnownFaces) -> Iterator[Item]:
    faces, fault = faces_of(options, truth), None
    try:
        for frame in decoder.frames(path, options.sampling, options.damage):
            if isinstance(frame, LostFrame):
                lost = no_place(frame.reason, "decode_error")
                yield from faces.absent(frame_row(frame.frame_index, frame.timestamp_ns, None, lost))
            else:
                yield from faces.of(frame, None)
    except MediaError as error:
        fault = error
    yield from faces.end()
    if fault is not None:
        raise fault


def _image_sequence(ref: SequenceRef, options: DecodeOptions, row: SequenceRow) -> Iterator[Item]:
    truth = KnownFaces(ref, options, row)
    faces = faces_of(options, truth)
    decoder = decoder_of(options.timeout_s, options.memory_bytes)
    n_decoded = 0
    row.update({"n_declared": len(ref.files), "n_decoded": n_decoded})
    sampler, broken, n_broken = options.sampling.sampler(len(ref.files)), None, 0
    for index, uri in enumerate(ref.files):
        if sampler.finished():
            break
        if not sampler.keeps(0):
            continue
        number = frame_number(uri)
        try:
            with local_file(uri) as path:
                image = decoder.image(path).image
        except MediaError as error:
            broken, n_broken = str(error), n_broken + 1
            yield from faces.absent(frame_row(index, None, number, no_place(broken, "decode_error")))
            continue
        n_decoded += 1
        row["n_decoded"] = n_decoded
        yield from faces.of(Frame(index, None, image), number)
    yield from faces.end()
    if not row["n_decoded"]:
        raise MediaError(f"none of its {len(ref.files)} images could be read: {broken}")
    if broken:
        reason = f"{n_broken} of {n_broken + row['n_decoded']} images could not be read"
        row.update({"status": "partial", "reason": reason})


def _still(ref: SequenceRef, options: DecodeOptions, row: SequenceRow) -> Iterator[Item]:
    truth = KnownFaces(ref, options, row)
    decoder = decoder_of(options.timeout_s, options.memory_bytes)
    with local_input(ref) as path:
        frame = decoder.image(path)
    row.update({"n_declared": 1, "n_decoded": 1})
    yield from faces_of_still(options, truth).of(frame, frame_number(ref.uri))
