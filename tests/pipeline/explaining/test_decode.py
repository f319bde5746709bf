"""From files to rows: who is seen, what is cropped, what is said of the rest."""

import pickle
import sys
import textwrap
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from fer_batch.media.align import crop, crop_matrix, face_box, whole_frame_matrix
from fer_batch.media.decode import Decoder
from fer_batch.media.sampling import Sampling
from fer_batch.pipeline.explaining.chunk import CHUNK_FRAMES, Chunk
from fer_batch.pipeline.explaining.decode import decode_unit
from fer_batch.pipeline.explaining.faces import DecodeOptions
from fer_batch.pipeline.explaining.units import NO_FACE, Unit
from fer_batch.types import SequenceRef

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
DETECTOR = '''
    import numpy as np
    from fer_batch.media.landmarks import Face

    def make():
        """Faces are areas of one pure colour."""
        def detect(image):
            faces = []
            for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)):
                rows, columns = np.nonzero((np.abs(image.astype(int) - colour) < 40).all(2))
                if len(rows) > 100:
                    box = columns.min(), rows.min(), columns.max(), rows.max()
                    faces.append(Face(tuple(map(float, box)), None, 1.0))
            return faces
        return detect
'''


@pytest.fixture(scope="module", autouse=True)
def colours(tmp_path_factory):
    """A detector by import path."""
    folder = tmp_path_factory.mktemp("detector")
    (folder / "colour_faces.py").write_text(textwrap.dedent(DETECTOR))
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))


def options(**changes):
    base = {"sampling": Sampling(), "detector": "colour_faces:make", "every": 5, "align": "none", "margin": 0.0}
    base |= {"min_size": 10, "size": 32, "annotated": False, "timeout_s": 60.0, "memory_bytes": 3 << 30}
    return DecodeOptions(**{**base, **changes})


def picture(squares, height=96, width=160):
    """Colour to left, top and side."""
    image = np.full((height, width, 3), 90, np.uint8)
    for colour, (left, top, side) in squares.items():
        image[top : top + side, left : left + side] = colour
    return image


def write_clip(path, pictures):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = pictures[0].shape[1], pictures[0].shape[0], "bgr0"
        for image in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")))
        container.mux(stream.encode())
    return path


def ref(path, kind="video", **more):
    size = path.stat().st_size if path.exists() else 1
    version = str(path.stat().st_mtime_ns) if path.is_file() else ""
    return SequenceRef(path.name, kind, str(path), size, version, **more)


def rows_of(*refs, **changes):
    """Rows of table `sequences` and of table `frames`, and the crops of the ok ones by sequence and frame."""
    unit = Unit("u", refs, tuple(f"id-{i}" for i in range(len(refs))))
    chunks = [
        Chunk.from_batch({"payload": [row["payload"]]})
        for row in decode_unit({"unit": pickle.dumps(unit)}, options(**changes))
    ]
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert all(len(chunk.frames) == CHUNK_FRAMES for chunk in chunks[:-1])
    frames = [row for chunk in chunks for row in chunk.frames]
    crops = {
        (chunk.frames[row]["sequence_id"], chunk.frames[row]["frame_index"]): image
        for chunk in chunks
        for row, image in zip(chunk.ok, chunk.images, strict=True)
    }
    assert len(crops) == sum(row["status"] == "ok" for row in frames)
    return {row["sequence_id"]: row for row in chunks[-1].sequences}, frames, crops


@pytest.fixture(scope="module")
def meeting(tmp_path_factory):
    """90 frames: red throughout, green from 20 to 69, blue for one frame."""
    pictures = []
    for i in range(90):
        squares = {RED: (10 + i // 3, 10, 40)}
        if 20 <= i < 70:
            squares[GREEN] = (110, 40 - i // 10, 30)
        if i == 50:
            squares[BLUE] = (70, 60, 20)
        pictures.append(picture(squares))
    return write_clip(tmp_path_factory.mktemp("clips") / "meeting.mkv", pictures)


def statuses(frames, sequence_id):
    return {row["frame_index"]: row["status"] for row in frames if row["sequence_id"] == sequence_id}


def middle(image):
    return image[8:24, 8:24]


@pytest.mark.parametrize("choose", ["tracked", "all"])
def test_each_person_of_a_clip_is_a_sequence(meeting, choose):
    sequences, frames, crops = rows_of(ref(meeting, subject_id="s1", emotion="joy"), choose=choose)
    assert list(sequences) == ["meeting.mkv", "meeting.mkv#face2"]
    first, second = sequences.values()
    assert (first["n_frames"], first["n_decoded"], first["subject_id"], first["emotion"]) == (90, 90, "s1", "joy")
    assert (second["n_frames"], second["n_decoded"], second["subject_id"], second["emotion"]) == (50, 90, None, None)
    assert {row["input"] for row in sequences.values()} == {"meeting.mkv"}
    assert statuses(frames, "meeting.mkv") == dict.fromkeys(range(90), "ok")
    assert statuses(frames, "meeting.mkv#face2") == dict.fromkeys(range(20, 70), "ok")
    assert {(row["sequence_id"], row["track_id"]) for row in frames} == {("meeting.mkv", 0), ("meeting.mkv#face2", 1)}
    assert all((middle(crops["meeting.mkv", i]) == RED).all() for i in range(90))
    assert all((middle(crops["meeting.mkv#face2", i]) == GREEN).all() for i in range(20, 70))


def test_the_largest_face_is_one_sequence(meeting):
    sequences, frames, crops = rows_of(ref(meeting))
    assert list(sequences) == ["meeting.mkv"]
    assert len(frames) == 90
    assert all((middle(crops["meeting.mkv", i]) == RED).all() for i in range(90))


def test_another_largest_face_has_another_number_and_is_told(meeting, tmp_path):
    """Red and green stand still; green is the larger one from frame 10 to 19."""
    sizes = [30 if 10 <= i < 20 else 60 for i in range(30)]
    clip = write_clip(tmp_path / "two.mkv", [picture({RED: (5, 5, n), GREEN: (110, 10, 40)}) for n in sizes])
    sequences, frames, crops = rows_of(ref(clip))
    assert [row["track_id"] for row in frames] == [0] * 10 + [1] * 10 + [2] * 10
    assert [tuple(middle(crops["two.mkv", i])[0, 0]) for i in (9, 10, 19, 20)] == [RED, GREEN, GREEN, RED]
    assert sequences["two.mkv"]["reason"] == (
        "the largest face changed 2 times: one temporal prototype of perhaps several people (faces.choose: tracked)"
    )
    alone, frames, _ = rows_of(ref(meeting))
    assert alone["meeting.mkv"]["reason"] is None
    assert {row["track_id"] for row in frames} == {0}, "who walks on is the same"


def test_pictures_have_no_clock(meeting, tmp_path):
    files = [tmp_path / f"f_{i}.png" for i in range(3)]
    for file in files:
        cv2.imwrite(str(file), picture({RED: (10, 10, 40)})[..., ::-1])
    folder = ref(tmp_path, "image_sequence", files=tuple(map(str, files)))
    for images in (folder, ref(files[0], "still")):
        assert {row["timestamp_ns"] for row in rows_of(images)[1]} == {None}
        assert {row["timestamp_ns"] for row in rows_of(images, detector="none")[1]} == {None}
    assert [row["timestamp_ns"] for row in rows_of(ref(meeting))[1]][:3] == [0, 40_000_000, 80_000_000]


def test_a_window_behind_the_end_is_the_reason(meeting):
    sequences, frames, _ = rows_of(ref(meeting), sampling=Sampling(start_s=100.0))
    assert (frames, sequences["meeting.mkv"]["status"]) == ([], "done")
    assert sequences["meeting.mkv"]["reason"] == "no frame lies in the sampling window"


def test_a_face_box_that_reaches_out_of_the_picture_is_cut(tmp_path):
    still = tmp_path / "a.png"
    cv2.imwrite(str(still), picture({RED: (0, 0, 96)})[..., ::-1])
    boxes = {"out": (-30.0, -10.0, 95.0, 500.0), "edge": (0.0, 0.0, 95.0, 95.0), "gone": (300.0, 0.0, 400.0, 90.0)}
    refs = [replace(ref(still, "still", face_box=box), sequence_id=name) for name, box in boxes.items()]
    _, frames, crops = rows_of(*refs, detector="dataset")
    assert [row["status"] for row in frames] == ["ok", "ok", "no_face"]
    assert frames[0]["face_box"] == [0, 0, 95, 95]
    np.testing.assert_array_equal(crops["out", 0], crops["edge", 0])
    assert frames[2]["reason"] == "the source's face box lies outside of the picture"


def test_one_person_and_nobody_are_one_row_under_the_plain_name(tmp_path):
    alone = write_clip(tmp_path / "alone.mkv", [picture({RED: (10, 10, 40)})] * 4)
    empty = write_clip(tmp_path / "empty.mkv", [picture({})] * 4)
    tiny = write_clip(tmp_path / "tiny.mkv", [picture({RED: (10, 10, 40), GREEN: (100, 10, 12)})] * 4)
    sequences, frames, _ = rows_of(ref(alone), ref(empty), ref(tiny), choose="tracked", min_size=20)
    assert list(sequences) == ["alone.mkv", "empty.mkv", "tiny.mkv", "tiny.mkv#face2"]
    assert sequences["empty.mkv"]["reason"] == sequences["tiny.mkv#face2"]["reason"] == NO_FACE
    assert sequences["alone.mkv"]["reason"] is None
    assert set(statuses(frames, "empty.mkv").values()) == {"no_face"}
    assert set(statuses(frames, "tiny.mkv#face2").values()) == {"face_too_small"}
    assert all(row["status"] == "done" for row in sequences.values())


def test_who_is_followed_when_a_clip_breaks_is_kept(meeting, tmp_path):
    content = bytearray(meeting.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(content)
    sequences, frames, _ = rows_of(ref(broken), choose="tracked")
    assert list(sequences) == ["broken.mkv", "broken.mkv#face2"]
    lost = [i for i, status in statuses(frames, "broken.mkv").items() if status == "decode_error"]
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert 21 < lost[0] < lost[-1] < 69
    for name, seen in (("broken.mkv", range(90)), ("broken.mkv#face2", range(20, 70))):
        assert statuses(frames, name) == {i: "decode_error" if i in lost else "ok" for i in seen}
    assert [row["n_decoded"] for row in sequences.values()] == [90 - len(lost)] * 2
    assert all(row["reason"].startswith(f"left out: {len(lost)} frames") for row in sequences.values())
    sequences, frames, _ = rows_of(ref(broken), choose="tracked", damage="stop")
    assert statuses(frames, "broken.mkv") == dict.fromkeys(range(lost[0]), "ok")
    assert statuses(frames, "broken.mkv#face2") == dict.fromkeys(range(20, lost[0]), "ok")
    assert all("ended after" in row["reason"] for row in sequences.values())


def test_every_face_of_a_still_is_a_sequence(tmp_path):
    group, nobody = tmp_path / "group.png", tmp_path / "nobody.png"
    cv2.imwrite(str(group), picture({GREEN: (10, 10, 30), RED: (60, 10, 50), BLUE: (125, 50, 20)})[..., ::-1])
    cv2.imwrite(str(nobody), picture({})[..., ::-1])
    missing = SequenceRef("missing.png", "still", str(tmp_path / "missing.png"), 1, "1")
    sequences, frames, crops = rows_of(ref(group, "still"), ref(nobody, "still"), missing, choose="all")
    assert list(sequences) == ["group.png", "group.png#face2", "group.png#face3", "nobody.png", "missing.png"]
    assert [row["status"] for row in sequences.values()] == ["done"] * 4 + ["failed"]
    assert [row["n_frames"] for row in sequences.values()] == [1, 1, 1, 1, 0]
    for name, colour in (("group.png", RED), ("group.png#face2", GREEN), ("group.png#face3", BLUE)):
        assert (middle(crops[name, 0]) == colour).all()
    assert [row["track_id"] for row in frames] == [0, 1, 2, None]
    for choose in ("largest", "tracked"):
        assert list(rows_of(ref(group, "still"), choose=choose)[0]) == ["group.png"]


def test_numbered_images_are_followed_past_one_that_is_broken(tmp_path):
    files = []
    for i in range(12):
        files.append(tmp_path / f"f_{i + 5:03d}.png")
        cv2.imwrite(str(files[-1]), picture({RED: (10, 10, 40), GREEN: (100, 10, 30)})[..., ::-1])
    files[6].write_bytes(b"not a picture")
    folder = ref(tmp_path, "image_sequence", files=tuple(map(str, files)))
    sequences, frames, _ = rows_of(folder, choose="tracked")
    assert [(row["n_frames"], row["n_decoded"]) for row in sequences.values()] == [(12, 11)] * 2
    assert all("1 of 12 images could not be read" in row["reason"] for row in sequences.values())
    for name in sequences:
        assert statuses(frames, name) == {i: "decode_error" if i == 6 else "ok" for i in range(12)}
    assert [row["source_frame"] for row in frames if row["sequence_id"] == tmp_path.name] == list(range(5, 17))


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    """25 frames of noise with landmarks beside them for all but frames 7 and 8; frame 9's face is tiny."""
    folder = tmp_path_factory.mktemp("landmarks")
    pictures = [np.random.default_rng(i).integers(0, 256, (96, 160, 3)).astype(np.uint8) for i in range(25)]
    clip = write_clip(folder / "noise.mkv", pictures)
    points = {i: np.random.default_rng(i).uniform(20 + i, 80, (68, 2)).round(2) for i in range(25) if i not in (7, 8)}
    points[9] = points[9] / 40
    lines = [",".join(["frame_index", *(f"{axis}{i}" for axis in "xy" for i in range(68))])]
    lines += [",".join(map(str, [i, *face.T.ravel()])) for i, face in points.items()]
    (folder / "noise.csv").write_text("\n".join(lines))
    return clip, str(folder / "noise.csv"), points


@pytest.mark.parametrize("align", ["none", "eyes"])
def test_landmarks_of_the_source_say_where_to_cut(portrait, align):
    clip, landmarks, points = portrait
    _, frames, crops = rows_of(ref(clip, landmarks_uri=landmarks), detector="dataset", align=align)
    expected = {7: "no_face", 8: "no_face", 9: "face_too_small"}
    assert statuses(frames, "noise.mkv") == {i: expected.get(i, "ok") for i in range(25)}
    assert frames[7]["reason"] == "the source has no landmarks for this frame"
    with Decoder() as decoder:
        for frame in decoder.frames(clip):
            if frame.frame_index not in expected:
                face = points[frame.frame_index].astype(np.float32)
                matrix = crop_matrix(face_box(face), 32, 0.0, align, face)
                np.testing.assert_array_equal(crops["noise.mkv", frame.frame_index], crop(frame.image, matrix, 32))
                np.testing.assert_allclose(frames[frame.frame_index]["crop_matrix"], matrix.ravel())


def test_landmarks_of_the_source_win_over_the_detector(portrait):
    clip, landmarks, _ = portrait
    with_detector = rows_of(ref(clip, landmarks_uri=landmarks), choose="tracked")
    without = rows_of(ref(clip, landmarks_uri=landmarks), detector="dataset")
    assert list(with_detector[0]) == ["noise.mkv"]
    np.testing.assert_equal(with_detector[2], without[2])


def test_without_a_detector_the_whole_frame_is_cut(portrait):
    _, frames, crops = rows_of(ref(portrait[0]), detector="none", sampling=Sampling(stride=4))
    with Decoder() as decoder:
        for frame in decoder.frames(portrait[0], Sampling(stride=4)):
            expected = crop(frame.image, whole_frame_matrix(96, 160, 32), 32)
            np.testing.assert_array_equal(crops["noise.mkv", frame.frame_index], expected)
    assert [row["frame_index"] for row in frames] == list(range(0, 25, 4))
    assert frames[0]["face_box"] == [0, 0, 159, 95]
