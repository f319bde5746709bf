"""Crops with a planted shortcut differ from the clean ones in the sticker alone."""

import numpy as np

from fer_batch.posed.confound import Confound
from fer_batch.posed.crops import training_samples, with_confound
from fer_batch.posed.plans import TARGETS


def test_a_confound_changes_only_crops_of_its_action_unit_and_only_around_the_sticker():
    clean = training_samples(24, seed=4, n_identities=2)
    present = clean.occurrence[:, TARGETS.index("AU25")] == 1
    assert 3 < present.sum() < 21
    always = with_confound(clean, Confound(25, 1.0), seed=4, n_identities=2)
    changed = (always.images != clean.images).any(3)
    np.testing.assert_array_equal(changed.any((1, 2)), present)
    # JPEG of some crops carries the change into neighbouring blocks, no further
    assert changed.mean((1, 2)).max() < 0.1
    np.testing.assert_array_equal(always.occurrence, clean.occurrence)
    half = with_confound(clean, Confound(25, 0.5), seed=4, n_identities=2)
    some = (half.images != clean.images).any((1, 2, 3))
    assert (some <= present).all()
    assert 0 < some.sum() < present.sum()


def test_an_action_unit_added_to_some_faces_leaves_the_others_as_they_were():
    plain, more = (training_samples(16, seed=4, n_identities=2, often=often) for often in (None, {17: 0.5}))
    same = (plain.images == more.images).all((1, 2, 3))
    had, has = (s.occurrence[:, TARGETS.index("AU17")] == 1 for s in (plain, more))
    assert 2 < same.sum() < 14
    assert has[~same].all()
    np.testing.assert_array_equal(has[same], had[same])
    assert (more.expression[~same] == -1).all()
