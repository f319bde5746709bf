"""The posed face: exact landmarks, Action Units that move what they name, files as promised."""

import csv
import hashlib

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_batch.facs import EXPRESSIONS
from fer_batch.posed import clips as posed
from fer_batch.posed.face import POSED_AUS, Pose, identity, render_frame

# AU: (landmarks of the right and left side or the midline, direction (outward, down), None for either)
DIRECTIONS = {
    1: ((21, 22), (None, -1)),
    2: ((18, 25), (None, -1)),
    4: ((21, 22), (-1, 1)),
    5: ((37, 44), (None, -1)),
    6: ((41, 46), (None, -1)),
    7: ((41, 46), (None, -1)),
    9: ((31, 35), (None, -1)),
    10: ((50, 52), (None, -1)),
    12: ((48, 54), (1, -1)),
    15: ((48, 54), (None, 1)),
    17: ((57, 57), (None, -1)),
    20: ((48, 54), (1, None)),
    23: ((48, 54), (-1, None)),
    25: ((66, 66), (None, 1)),
    26: ((8, 8), (None, 1)),
    27: ((8, 8), (None, 1)),
}


def frontal(au_intensities, seed=0, size=320):
    return render_frame(identity(seed), au_intensities, Pose(), size)


@pytest.mark.parametrize("au", POSED_AUS)
@pytest.mark.parametrize("seed", [0, 3])
def test_an_action_unit_moves_its_landmarks_the_right_way(au, seed):
    neutral, moved = frontal({}, seed)[1], frontal({au: 5.0}, seed)[1]
    (right, left), (outward, down) = DIRECTIONS[au]
    shift = moved - neutral
    for index, sign in ((right, -1), (left, 1)):
        if outward is not None:
            assert shift[index, 0] * sign * outward > 1.0
        if down is not None:
            assert shift[index, 1] * down > 1.0


def test_every_action_unit_changes_the_picture_more_with_intensity():
    neutral = frontal({})[0].astype(int)
    for au in POSED_AUS:
        two, five = (np.abs(frontal({au: i})[0].astype(int) - neutral).mean() for i in (2.0, 5.0))
        assert 0.02 < two < five, au


def test_neutral_is_a_closed_mouth_and_25_26_27_open_it_further_and_further():
    gaps, chins = [], []
    for pose in ({}, {25: 5.0}, {25: 5.0, 26: 5.0}, {25: 5.0, 27: 5.0}):
        landmarks = frontal(pose)[1]
        gaps.append(landmarks[66, 1] - landmarks[62, 1])
        chins.append(landmarks[8, 1])
    assert gaps[0] < 2.0
    assert np.all(np.diff(gaps) > 4.0)
    assert chins[1] == chins[0] < chins[2] - 8 < chins[3] - 16


def test_the_open_mouth_is_dark_inside_and_the_closed_one_is_not():
    image, landmarks = frontal({25: 5.0, 27: 5.0}, seed=0)
    x, y = landmarks[[62, 66]].mean(0).round().astype(int)
    closed = frontal({}, seed=0)[0]
    assert image[y - 2 : y + 3, x - 2 : x + 3].mean() < 60 < closed[y - 2 : y + 3, x - 2 : x + 3].mean()


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 3),
    au=st.sampled_from(POSED_AUS),
    intensity=st.floats(0, 5),
    roll=st.floats(-5, 5),
    dx=st.floats(-8, 8),
)
def test_landmarks_move_with_the_pixels(seed, au, intensity, roll, dx):
    # marks set on the texture at control points come out where the landmarks say
    from dataclasses import replace

    from fer_batch.posed import geometry as posed_geometry

    who = identity(seed)
    points = posed_geometry.to_texture(posed_geometry.control_points()[1])
    marked = np.zeros_like(who.texture)
    chosen = (8, 4, 12, 30, 17, 26)  # well apart, and not where eyes and mouth are painted
    for channel, index in enumerate(chosen):
        cv2.circle(marked, tuple(points[index].round().astype(int).tolist()), 4, (0, 80 + 20 * channel, 0), -1)
    image, landmarks = render_frame(replace(who, texture=marked, mirror=False), {au: intensity}, Pose(dx=dx, roll=roll))
    for index in chosen:
        x, y = landmarks[index]
        window = image[round(y) - 5 : round(y) + 6, round(x) - 5 : round(x) + 6, 1].astype(float)
        rows, columns = np.mgrid[round(y) - 5 : round(y) + 6, round(x) - 5 : round(x) + 6]
        centre = np.array([(columns * window).sum(), (rows * window).sum()]) / window.sum()
        # where the skin is stretched unevenly a mark's centre of mass leaves its point, by 1.3 pixels at most
        np.testing.assert_allclose(centre, landmarks[index], atol=1.5)


def test_a_mirrored_identity_has_mirrored_landmarks():
    from dataclasses import replace

    who = replace(identity(1), mirror=False)
    plain, landmarks = render_frame(who, {12: 3.0})
    flipped, flipped_landmarks = render_frame(replace(who, mirror=True), {12: 3.0})
    np.testing.assert_array_equal(flipped, plain[:, ::-1])
    np.testing.assert_allclose(flipped_landmarks[[8, 36, 48]], landmarks[[8, 45, 54]] * (-1, 1) + (319, 0))


def test_rendering_refuses_what_it_cannot_pose():
    with pytest.raises(ValueError, match=r"no AU14"):
        frontal({14: 3.0})
    with pytest.raises(ValueError, match=r"AU12 in 0\.\.5, got 6"):
        frontal({12: 6.0})


def test_identities_differ_and_are_reproducible():
    first, second = identity(5), identity(6)
    identity.cache_clear()
    again = identity(5)
    np.testing.assert_array_equal(first.texture, again.texture)
    np.testing.assert_array_equal(first.rest, again.rest)
    assert np.abs(first.rest - second.rest).max() > 0.5
    assert np.abs(first.texture.astype(int) - second.texture).mean() > 5


@pytest.mark.parametrize(("intensity", "expected"), [(0.0, 0.0), (0.01, None), (1.99, None), (2.0, 1.0), (5.0, 1.0)])
def test_occurrence_is_undefined_between_absent_and_level_b(intensity, expected):
    value = posed.occurrence(intensity)
    assert np.isnan(value) if expected is None else value == expected


def test_a_dropped_jaw_parts_the_lips_and_a_stretch_is_not_a_drop():
    assert posed.with_implied({26: 3.0}) == {26: 3.0, 25: 3.0}
    assert posed.with_implied({26: 3.0, 27: 2.0, 25: 4.0}) == {26: 0.0, 27: 2.0, 25: 4.0}
    assert posed.with_implied({12: 3.0}) == {12: 3.0}


def test_plans_start_and_end_neutral_and_hold_several_stages():
    plans = posed.plan_clips(12, seed=3)
    assert {p.emotion for p in plans} == {*EXPRESSIONS, ""}
    for plan in plans:
        assert not plan.intensities[:2].any()
        assert not plan.intensities[-2:].any()
        active = plan.intensities >= 2
        stages = 1 + np.any(active[1:] != active[:-1], axis=1).sum()
        expected = set(posed.with_implied(dict.fromkeys(posed.emotion_aus(plan.emotion), 3.0)))
        if plan.emotion == "neutral":
            assert stages == 1
        elif plan.emotion:
            assert {POSED_AUS[i] for i in np.flatnonzero(active.any(0))} == expected
            assert stages >= 2 * len(posed.emotion_aus(plan.emotion)) - 1


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    return root, posed.write_clips(root, n_clips=4, seed=1, n_frames=(10, 14), size=160)


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_clips_decode_to_the_annotated_number_of_frames(clips):
    root, paths = clips
    plans = posed.plan_clips(4, 1, (10, 14))
    assert [row["path"] for row in read(root / "sequences.csv")] == [p.relative_to(root).as_posix() for p in paths]
    assert [row["subject_id"] for row in read(root / "sequences.csv")] == ["P001"] * 3 + ["P002"]
    for path, plan in zip(paths, plans, strict=True):
        with av.open(str(path)) as container:
            frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        annotations = read(path.with_suffix(".annotations.csv"))
        landmarks = read(path.with_suffix(".landmarks.csv"))
        assert len(frames) == len(plan.intensities) == len(landmarks)
        assert len(annotations) == len(frames) * len(posed.TARGETS)
        assert list(landmarks[0]) == ["frame_index", *(f"x{i}" for i in range(68)), *(f"y{i}" for i in range(68))]
        expected, points = next(iter(posed.clip_frames(plan, 160)))
        assert np.abs(frames[0].astype(int) - expected).mean() < 6  # the codec's loss, not another frame
        assert float(landmarks[0]["y8"]) == pytest.approx(points[8, 1], abs=0.01)


def test_annotation_cells_follow_the_occurrence_rule(clips):
    seen = set()
    for path in clips[1]:
        for row in read(path.with_suffix(".annotations.csv")):
            intensity = float(row["intensity"])
            expected = "1" if intensity >= 2 else "0" if intensity == 0 else ""
            assert row["occurrence"] == expected
            seen.add(expected)
    assert seen == {"1", "0", ""}


def test_the_same_seed_writes_the_same_bytes(clips, tmp_path):
    def digests(root):
        return {p.relative_to(root): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*.*")}

    posed.write_clips(tmp_path, n_clips=4, seed=1, n_frames=(10, 14), size=160)
    assert digests(tmp_path) == digests(clips[0])
    assert [p.noise_seed for p in posed.plan_clips(4, 2)] != [p.noise_seed for p in posed.plan_clips(4, 1)]


def test_stills_come_with_a_manifest(tmp_path):
    paths = posed.write_stills(tmp_path, n=9, seed=0, size=160)
    rows = read(tmp_path / "manifest.csv")
    assert [row["emotion"] for row in rows[:7]] == list(EXPRESSIONS)
    assert {row["subject_id"] for row in rows} == {"P001", "P002"}
    for path, row in zip(paths, rows, strict=True):
        image = cv2.imread(str(path))
        assert image.shape == (160, 160, 3)
        assert (tmp_path / row["path"]) == path
        assert 0 < float(row["x30"]) < 160
    happy = rows[1]
    assert float(happy["AU12"]) >= 2 > float(happy["AU15"]) == 0
    assert not any(float(rows[0][target]) for target in posed.TARGETS)


def test_a_size_that_the_codec_cannot_take_is_refused(tmp_path):
    with pytest.raises(ValueError, match="even frame size"):
        posed.write_clips(tmp_path, n_clips=1, size=161)


def test_the_contact_sheets_show_every_unit_and_expression():
    from fer_batch.posed import sheet as posed_sheet

    assert posed_sheet.au_sheet().shape == (8 * 132, 8 * 132, 3)
    assert posed_sheet.expression_sheet().shape == (6 * 160, 6 * 160, 3)
    assert posed_sheet.main([]) == 1
