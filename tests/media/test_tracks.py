"""People who move, cross, leave and come back keep their numbers."""

import csv
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch.media.decode import Decoder
from fer_batch.media.landmarks import Face, check_detector, load_detector
from fer_batch.media.sampling import Sampling
from fer_batch.media.track_list import TrackList
from fer_batch.media.tracks import FaceTracker, every_face, overlap
from fer_batch.types import InputError

SIDE = 40


class Scene:
    """Textured squares that the test moves; a detector and predictor that know where they are.

    `paths` gives for each person its left top corner by frame, or None while it is away. A later person hides an
    earlier one, whom the detector then misses.
    """

    def __init__(self, *paths, alike=False, carries=True):
        self.paths = paths
        self.alike = alike
        self.frame = 0
        self.n_asked = 0
        if carries:
            self.landmarks_in = self._landmarks_in

    def image(self, frame):
        self.frame = frame
        image = np.zeros((300, 600, 3), np.uint8)
        for person, path in enumerate(self.paths):
            if path(frame) is not None:
                left, top = path(frame)
                texture = np.random.default_rng(0 if self.alike else person).integers(0, 256, (SIDE, SIDE, 3))
                image[top : top + SIDE, left : left + SIDE] = texture
        return image

    def visible(self):
        """Person and box, of those that no later person hides."""
        boxes = [(i, box(path(self.frame))) for i, path in enumerate(self.paths) if path(self.frame) is not None]
        return [(i, b) for i, b in boxes if all(overlap(b, other) < 0.1 for j, other in boxes if j > i)]

    def __call__(self, image):
        self.n_asked += 1
        return [Face(b, points(b), 1.0) for _, b in self.visible()]

    def _landmarks_in(self, image, where):
        near = [b for _, b in self.visible() if overlap(b, where) > 0.3]
        return points(max(near, key=lambda b: overlap(b, where)) if near else where)


def box(corner):
    return (float(corner[0]), float(corner[1]), float(corner[0] + SIDE - 1), float(corner[1] + SIDE - 1))


def points(where):
    return np.random.default_rng(0).uniform(0, SIDE - 1, (68, 2)).astype(np.float32) + np.float32(where[:2])


def followed(scene, n_frames, **options):
    """Person of the scene by number in the track list, with the frames in which it was seen, and all rows."""
    tracker = FaceTracker(scene, **options)
    tracks, rows = TrackList(tracker), {}
    for frame in range(n_frames):
        tracked = tracker.find(scene.image(frame))
        owners = {b: person for person, b in scene.visible()}
        present = {s.key: (frame, owners.get(tuple(np.round(s.face.box)))) for s in tracked}
        for number, row in tracks.add((frame, "absent"), present):
            rows.setdefault(number, []).append(row)
    for number, row in tracks.end():
        rows.setdefault(number, []).append(row)
    return rows


def seen(rows):
    return {number: {person for _, person in found if person != "absent"} for number, found in rows.items()}


def test_three_people_keep_their_numbers_and_the_detector_rests():
    scene = Scene(lambda f: (20 + f, 20), lambda f: (500 - f, 100), lambda f: (250, 200))
    rows = followed(scene, 60, every=6)
    assert seen(rows) == {0: {0}, 1: {1}, 2: {2}}
    assert all([frame for frame, _ in found] == list(range(60)) for found in rows.values())
    assert scene.n_asked <= 12  # 10, and one to confirm


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("carries", [True, False])
def test_people_who_cross_are_told_apart_by_their_pace_or_their_looks(alike, carries):
    scene = Scene(lambda f: (100 + 8 * f, 100), lambda f: (420 - 8 * f, 104), alike=alike, carries=carries)
    rows = followed(scene, 40, every=4)
    assert seen(rows) == {0: {0}, 1: {1}}
    hidden = [frame for frame, person in rows[0] if person == "absent"]
    assert 3 <= len(hidden) <= 16
    assert all(12 <= frame <= 30 for frame in hidden)


def test_who_leaves_ends_and_who_enters_begins():
    scene = Scene(lambda f: (20, 20) if f < 30 else None, lambda f: (300, 100) if f >= 12 else None)
    rows = followed(scene, 60, every=5, max_gap=10)
    assert [frame for frame, _ in rows[0]] == list(range(60))  # the first has a row in every frame
    assert [frame for frame, person in rows[0] if person == 0] == list(range(30))
    assert [frame for frame, _ in rows[1]] == list(range(15, 60))  # seen at the first detection behind frame 12


@pytest.mark.parametrize(("gap", "same"), [(8, True), (30, False)])
def test_who_comes_back_soon_is_the_same(gap, same):
    scene = Scene(lambda f: (20, 20), lambda f: None if 20 <= f < 20 + gap else (300, 100))
    rows = followed(scene, 70, every=4, max_gap=12)
    assert seen(rows) == ({0: {0}, 1: {1}} if same else {0: {0}, 1: {1}, 2: {1}})
    first, last = rows[1][0][0], rows[1][-1][0]
    assert [frame for frame, _ in rows[1]] == list(range(first, last + 1))  # absent rows in between, none behind
    assert last == (69 if same else 19)


def test_what_is_seen_once_is_nobody():
    scene = Scene(lambda f: (20, 20), lambda f: (300, 100) if f == 10 else None)
    rows = followed(scene, 40, every=5)
    assert seen(rows) == {0: {0}}
    ghost = Scene(lambda f: (300, 100) if f == 0 else None, lambda f: (20, 20) if f > 3 else None)
    assert [frame for frame, person in followed(ghost, 20, every=5)[0] if person == 1] == list(range(4, 20))


def test_a_clip_of_one_frame_shows_who_is_in_it():
    assert seen(followed(Scene(lambda f: (20, 20), lambda f: (300, 100)), 1)) == {0: {0}, 1: {1}}


def test_nobody_is_a_row_in_every_frame():
    assert followed(Scene(lambda f: None), 3) == {0: [(0, "absent"), (1, "absent"), (2, "absent")]}


def test_a_frame_waits_only_until_its_people_are_decided():
    scene = Scene(lambda f: (20 + f, 20))
    tracker = FaceTracker(scene, every=1000)
    tracks, n_told = TrackList(tracker), []
    for frame in range(20):
        present = {s.key: frame for s in tracker.find(scene.image(frame))}
        n_told.append(len(list(tracks.add(-1, present))))
    assert n_told == [0] * 5 + [6] + [1] * 14


visits = st.lists(st.tuples(st.integers(0, 39), st.integers(2, 40)), min_size=0, max_size=4)


@settings(max_examples=40, deadline=None)
@given(visits=st.lists(visits, min_size=1, max_size=4), every=st.integers(1, 7), carries=st.booleans())
def test_rows_are_whole_and_in_order_whoever_comes_and_goes(visits, every, carries):
    def path(person, stays):
        return lambda f: (20 + 140 * person, 50) if any(start <= f < start + n for start, n in stays) else None

    scene = Scene(*(path(i, stays) for i, stays in enumerate(visits)), carries=carries)
    rows = followed(scene, 40, every=every, max_gap=6)
    assert [frame for frame, _ in rows[0]] == list(range(40))
    assert sorted(rows) == list(range(len(rows)))
    for number, found in rows.items():
        frames = [frame for frame, _ in found]
        assert frames == list(range(frames[0], frames[-1] + 1))
        assert len(seen(rows)[number]) <= 1
        if number:
            assert found[0][1] != "absent"
            assert found[-1][1] != "absent"
    sighted = [(frame, person) for found in rows.values() for frame, person in found if person != "absent"]
    assert len(sighted) == len(set(sighted))
    assert rows == followed(scene, 40, every=every, max_gap=6)


def test_wrong_values_are_refused():
    with pytest.raises(ValueError, match="every"):
        FaceTracker(lambda image: [], every=0)


def test_overlap_of_boxes():
    assert overlap((0, 0, 9, 9), (0, 0, 9, 9)) == 1
    assert overlap((0, 0, 9, 9), (5, 0, 14, 9)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 9, 9), (10, 0, 19, 9)) == 0


@pytest.fixture(scope="module")
def dlib_detector():
    try:
        check_detector("dlib")
    except InputError as error:
        pytest.skip(str(error))
    return load_detector("dlib")


def test_portraits_that_pass_each_other_and_leave(dlib_detector):
    data = pytest.importorskip("skimage.data")
    head = data.astronaut()[20:190, 140:300]  # 160 x 170
    face = data.astronaut()[76:166, 175:265].mean((0, 1)).astype(np.uint8)

    def scene(frame):
        image = np.full((400, 640, 3), face // 2, np.uint8)
        for left, top in ((30 + 9 * frame, 10), (450 - 9 * frame, 215)):
            image[top : top + 170, left : left + 160] = head
        if frame < 14:
            image[200:370, 30:190] = head  # stands still and is gone at once
        return image

    tracker = FaceTracker(dlib_detector, every=4)
    tracks, rows = TrackList(tracker), {}
    for frame in range(28):
        present = {s.key: (s.face.box[0] + s.face.box[2]) / 2 for s in tracker.find(scene(frame))}
        for number, x in tracks.add(None, present):
            rows.setdefault(number, []).append(x)
    for number, x in tracks.end():
        rows.setdefault(number, []).append(x)
    ways = {}
    for xs in rows.values():
        steps = np.diff([x for x in xs if x is not None])
        ways[round(float(np.median(steps)))] = sum(x is not None for x in xs)
    assert set(ways) == {9, -9, 0}
    assert ways[9] == ways[-9] == 28
    assert ways[0] == 14


def test_three_men_are_three_people(shared_data, dlib_detector):
    """The stored references have all their faces every fifth frame, without saying whose."""
    truth = {}
    with open(shared_data / "landmarks" / "openface_multi_face.avi.csv") as file:
        for row in csv.DictReader(file):
            if row["x0"]:
                face = np.array([[float(row[f"{axis}{i}"]) for axis in "xy"] for i in range(68)])
                truth.setdefault(int(row["frame"]), []).append(face)
    tracker, found = FaceTracker(dlib_detector, every=5), {}
    with Decoder() as decoder:
        for frame in decoder.frames(shared_data / "videos" / "openface_multi_face.avi", Sampling(max_frames=101)):
            found[frame.frame_index] = tracker.find(frame.image)
    last = {s.key: s.face.box for s in found[60]}
    assert len(last) == 3
    for index in range(60, 101):
        now = {s.key: s.face.box for s in found[index]}
        assert now.keys() == last.keys()
        for one, other in itertools.product(now, last):
            assert (overlap(now[one], last[other]) > 0.5) == (one == other)
        last = now
    errors = []
    for index in range(60, 101, 5):
        for seen_face in found[index]:
            nearest = min(truth[index], key=lambda face: np.abs(face - seen_face.face.landmarks).mean())
            distance = np.linalg.norm(nearest - seen_face.face.landmarks, axis=1).mean()
            errors.append(distance / np.linalg.norm(nearest[36] - nearest[45]))
    assert np.median(errors) < 0.03
    assert np.quantile(errors, 0.9) < 0.1  # the smallest of the faces is 72 px wide


@pytest.mark.parametrize(
    "name",
    ["compreface_012_4.jpg", "dlib_2008_002079.jpg", "facealignment_aflw-test-grid3x3.jpg", "pyfeat_multi_face.jpg"],
)
def test_every_face_of_a_group_is_found(shared_data, dlib_detector, name):
    with open(shared_data / "landmarks" / f"{name}.csv") as file:
        known = [row for row in csv.DictReader(file) if row["x0"]]
    with Decoder() as decoder:
        faces = every_face(dlib_detector, decoder.image(shared_data / "stills" / name).image)
    for row in known:
        truth = tuple(float(row[f"box_{edge}"]) for edge in ("left", "top", "right", "bottom"))
        assert max(overlap(truth, face.box) for face in faces) > 0.4
    assert len(faces) == len(known) > 3
    sides = [face.box[2] - face.box[0] for face in faces]
    assert sides == sorted(sides, reverse=True)
