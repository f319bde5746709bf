"""The planted shortcut: where it is painted, how often it goes with its Action Unit, and that nothing else changes."""

import csv
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_batch.media.align import apply_affine, crop_matrix, face_box
from fer_batch.posed.clips import clip_frames, clip_stickers, write_clips
from fer_batch.posed.confound import STICKER, Confound, sticker_frames, with_sticker
from fer_batch.posed.face import identity, render_frame
from fer_batch.posed.plans import TARGETS, plan_clips
from fer_batch.regions.au_regions import region_masks
from fer_batch.training.cutting import landmark_crop


@pytest.mark.parametrize("pose", [{}, {12: 5.0, 25: 4.0}, {27: 5.0, 25: 5.0}, {4: 5.0, 15: 5.0}])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_sticker_lies_whole_in_the_crop_and_outside_every_region(pose, seed):
    image, landmarks = render_frame(identity(seed), pose)
    size = 112
    with_one, without = (landmark_crop(i, landmarks, size).astype(int) for i in (with_sticker(image, landmarks), image))
    painted = np.abs(with_one - without).sum(2) > 0
    assert 60 < painted.sum() < 250
    assert not painted[[0, -1]].any(), "cut by the border"
    assert not painted[:, [0, -1]].any(), "cut by the border"
    in_crop = apply_affine(crop_matrix(face_box(landmarks), size), landmarks)[None]
    for target in TARGETS:
        assert not (region_masks(in_crop, target, (size, size))[0] & painted).any(), target


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32))
def test_each_run_shows_the_sticker_in_one_stretch_of_its_share(present, share, otherwise, seed):
    present = np.array(present)
    shown = sticker_frames(present, Confound(12, share, otherwise), np.random.default_rng(seed))
    edges = [0, *(np.flatnonzero(np.diff(present)) + 1), len(present)]
    for start, stop in itertools.pairwise(edges):
        run = shown[start:stop]
        expected = (share if present[start] else otherwise) * len(run)
        assert abs(run.sum() - expected) < 1
        assert run.sum() in (0, len(run)) or np.abs(np.diff(run.astype(int))).sum() == 1


def test_an_impossible_share_is_refused():
    with pytest.raises(ValueError, match=r"present frames with a sticker in 0\.\.1, got 80"):
        Confound(12, 80)


def test_clips_differ_in_the_sticker_alone_and_say_where_it_is(tmp_path):
    confound = Confound(6, 0.75)
    options = {"n_clips": 2, "n_frames": (18, 20), "size": 96, "suffix": ".mkv"}
    write_clips(tmp_path / "clean", **options)
    write_clips(tmp_path / "planted", **options, confound=confound)
    for plan in plan_clips(2, n_frames=(18, 20)):
        name = f"P001/{plan.name}"
        assert (tmp_path / f"planted/{name}.landmarks.csv").read_bytes() == (
            tmp_path / f"clean/{name}.landmarks.csv"
        ).read_bytes()
        planted, clean = (
            list(csv.DictReader((tmp_path / f"{kind}/{name}.annotations.csv").open())) for kind in ("planted", "clean")
        )
        assert [row for row in planted if row["target"] != STICKER] == clean
        shown = np.array([row["occurrence"] == "1" for row in planted if row["target"] == STICKER])
        present = np.array([row["occurrence"] == "1" for row in planted if row["target"] == "AU06"])
        np.testing.assert_array_equal(shown, clip_stickers(plan, confound))
        assert not (shown & ~present).any()
        assert shown.any() == present.any()
        pairs = zip(clip_frames(plan, 96), clip_frames(plan, 96, shown), strict=True)
        changed = [bool((one[0] != other[0]).any()) for one, other in pairs]
        assert changed == shown.tolist()
