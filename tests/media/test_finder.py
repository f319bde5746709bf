"""A finder that follows the largest face and detects only now and then."""

import csv

import numpy as np
import pytest

from fer_batch.media.decode import Decoder
from fer_batch.media.finder import FaceFinder
from fer_batch.media.landmarks import Face, check_detector, load_detector
from fer_batch.media.sampling import Sampling
from fer_batch.types import InputError


@pytest.fixture(scope="module")
def dlib_detector():
    try:
        check_detector("dlib")
    except InputError as error:
        pytest.skip(str(error))
    return load_detector("dlib")


@pytest.fixture(scope="module")
def decoder():
    with Decoder() as decoder:
        yield decoder


def reference(shared_data, name):
    """Frame to landmarks of the largest face."""
    with open(shared_data / "landmarks" / f"{name}.csv") as file:
        return {
            int(row["frame"]): np.array([[float(row[f"{axis}{i}"]) for axis in "xy"] for i in range(68)])
            for row in csv.DictReader(file)
            if row["x0"] and row["face"] == "0"
        }


def error(points, expected):
    """Mean distance over the distance of the outer eye corners."""
    return np.linalg.norm(points - expected, axis=1).mean() / np.linalg.norm(expected[36] - expected[45])


@pytest.mark.parametrize("every", [1, 10])
def test_openface_agrees(shared_data, decoder, dlib_detector, every):
    """OpenFace 2 has other models and smooths over time; `frame` counts from 1."""
    with open(shared_data / "reference" / "icface_00116_openface.csv") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    expected = {
        int(row["frame"]) - 1: np.array([[float(row[f"{axis}_{i}"]) for axis in "xy"] for i in range(68)])
        for row in rows
    }
    finder, errors, boxes = FaceFinder(dlib_detector, every=every), [], []
    sampling = Sampling(stride=9 if every == 1 else 3)
    for frame in decoder.frames(shared_data / "videos" / "icface_00116.mp4", sampling):
        face, how = finder.find(frame.image)
        errors.append(error(face.landmarks, expected[frame.frame_index]))
        boxes.append(how)
    assert len(errors) == (56 if every == 1 else 166)
    assert boxes.count("detected") <= (56 if every == 1 else 25)
    assert max(errors) < 0.05
    assert np.median(errors) < 0.03


@pytest.mark.parametrize("name", ["icface_00116.mp4", "liveportrait_d18.mp4"])
def test_carried_boxes_are_as_good_as_detected_ones(shared_data, decoder, dlib_detector, name):
    finder, expected, seen = FaceFinder(dlib_detector, every=6), reference(shared_data, name), []
    tracked_errors = []
    for frame in decoder.frames(shared_data / "videos" / name, Sampling(max_frames=60)):
        face, how = finder.find(frame.image)
        seen.append(how)
        if how == "tracked" and frame.frame_index in expected:
            tracked_errors.append(error(face.landmarks, expected[frame.frame_index]))
    assert seen == (["detected"] + ["tracked"] * 5) * 10
    assert len(tracked_errors) >= 8
    assert max(tracked_errors) < 0.05


def test_a_clip_without_a_face_has_none(shared_data, decoder, dlib_detector):
    finder = FaceFinder(dlib_detector)
    frames = decoder.frames(shared_data / "videos" / "pyfeat_no_face.mp4", Sampling(stride=10))
    assert {finder.find(frame.image) for frame in frames} == {(None, "detected")}


def test_a_cut_is_noticed_at_once(shared_data, decoder, dlib_detector):
    first, second = (
        [f.image[:224, :224] for f in decoder.frames(shared_data / "videos" / name, Sampling(max_frames=2))]
        for name in ("icface_00116.mp4", "pyfeat_no_face.mp4")
    )
    finder = FaceFinder(dlib_detector, every=50)
    assert [finder.find(image)[1] for image in first] == ["detected", "tracked"]
    assert finder.find(second[0]) == (None, "detected")
    face, how = finder.find(first[0])
    assert face is not None
    assert how == "detected"


class MovingDetector:
    """Counts how often it is asked; the face is a textured square that the test moves."""

    def __init__(self):
        self.box = (20.0, 20.0, 59.0, 59.0)
        self.n_asked = 0

    def points(self):
        return np.random.default_rng(0).uniform(0, 39, (68, 2)).astype(np.float32) + np.float32(self.box[:2])

    def __call__(self, image):
        self.n_asked += 1
        return [Face(self.box, self.points(), 1.0)]

    def landmarks_in(self, image, box):
        return self.points()

    def image(self):
        image = np.zeros((200, 200, 3), np.uint8)
        left, top = (int(v) for v in self.box[:2])
        image[top : top + 40, left : left + 40] = np.random.default_rng(1).integers(0, 256, (40, 40, 3))
        return image


def test_the_box_keeps_its_place_on_the_landmarks():
    detector = MovingDetector()
    finder = FaceFinder(detector, every=4)
    for step in range(8):
        detector.box = (20.0 + 3 * step, 20.0 + step, 59.0 + 3 * step, 59.0 + step)
        face, how = finder.find(detector.image())
        assert how == ("detected" if step % 4 == 0 else "tracked")
        np.testing.assert_allclose(face.box, detector.box, atol=1e-4)
    assert detector.n_asked == 2


def test_a_jump_and_a_changed_picture_are_detected_again():
    detector = MovingDetector()
    finder = FaceFinder(detector, every=100)
    finder.find(detector.image())
    detector.box = (120.0, 20.0, 159.0, 59.0)
    assert finder.find(detector.image())[1] == "detected"
    assert finder.find(detector.image())[1] == "tracked"
    assert finder.find(255 - detector.image())[1] == "detected"


def test_a_detector_without_a_predictor_is_asked_for_every_frame():
    faces = [Face((0.0, 0.0, 9.0, 9.0), None, 1.0), Face((0.0, 0.0, 19.0, 19.0), None, 0.5)]
    finder = FaceFinder(lambda image: faces, every=5)
    image = np.zeros((40, 40, 3), np.uint8)
    assert [finder.find(image) for _ in range(3)] == [(faces[1], "detected")] * 3


def test_the_closer_look_is_rationed_where_there_is_no_face():
    class Blind:
        n_looked = 0

        def __call__(self, image):
            return []

        def look_closer(self, image):
            self.n_looked += 1
            return []

    detector = Blind()
    finder = FaceFinder(detector, every=5)
    assert all(finder.find(np.zeros((40, 40, 3), np.uint8)) == (None, "detected") for _ in range(11))
    assert detector.n_looked == 3  # frames 0, 5, 10


def test_a_small_face_is_found_at_the_first_frame_and_kept(shared_data, decoder, dlib_detector):
    (frame,) = decoder.frames(shared_data / "videos" / "intel_asl_book.mkv", Sampling(max_frames=1))
    wide = np.zeros((960, 1280, 3), np.uint8)
    wide[240:720, 320:960] = frame.image  # the face takes some 7 % of the picture's width
    assert dlib_detector(wide) == []
    finder = FaceFinder(dlib_detector, every=3)
    found = [finder.find(wide) for _ in range(7)]
    assert [how for _, how in found] == ["detected", "tracked", "tracked"] * 2 + ["detected"]
    assert all(face is not None for face, _ in found)
