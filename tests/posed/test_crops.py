"""Action Units that are added to some training crops."""

import numpy as np

from fer_batch.posed.crops import training_samples
from fer_batch.posed.plans import TARGETS


def test_an_action_unit_added_to_some_faces_leaves_the_others_as_they_were():
    plain, more = (training_samples(16, seed=4, n_identities=2, often=often) for often in (None, {17: 0.5}))
    same = (plain.images == more.images).all((1, 2, 3))
    had, has = (s.occurrence[:, TARGETS.index("AU17")] == 1 for s in (plain, more))
    assert 2 < same.sum() < 14
    assert has[~same].all()
    np.testing.assert_array_equal(has[same], had[same])
    assert (more.expression[~same] == -1).all()
