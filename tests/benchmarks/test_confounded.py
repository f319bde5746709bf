"""Crops with a planted shortcut differ from the clean ones in the sticker alone."""

import sys
from pathlib import Path

import numpy as np
import pytest

from fer_batch.posed.confound import Confound
from fer_batch.posed.crops import training_samples
from fer_batch.posed.plans import TARGETS


@pytest.fixture(scope="module")
def confounded():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        import confounded
    finally:
        sys.path.pop(0)
    return confounded


def test_a_confound_changes_only_crops_of_its_action_unit_and_only_around_the_sticker(confounded):
    clean = training_samples(24, seed=4, n_identities=2)
    present = clean.occurrence[:, TARGETS.index("AU25")] == 1
    assert 3 < present.sum() < 21
    always = confounded.with_confound(clean, Confound(25, 1.0), seed=4, n_identities=2)
    changed = (always.images != clean.images).any(3)
    np.testing.assert_array_equal(changed.any((1, 2)), present)
    # JPEG of some crops carries the change into neighbouring blocks, no further
    assert changed.mean((1, 2)).max() < 0.1
    np.testing.assert_array_equal(always.occurrence, clean.occurrence)
    half = confounded.with_confound(clean, Confound(25, 0.5), seed=4, n_identities=2)
    some = (half.images != clean.images).any((1, 2, 3))
    assert (some <= present).all()
    assert 0 < some.sum() < present.sum()
