"""Similarity of maps before and after weights are shuffled."""

from dataclasses import dataclass

import numpy as np
import pytest

from fer_batch.evaluate.randomisation import RandomisationCheck, randomisation_check
from fer_batch.evaluate.subject_mean import SubjectMean

SUBJECTS = [who for who in "abcde" for _ in range(2)]


@dataclass(frozen=True)
class Shuffled:
    maps: np.ndarray
    n_layers: int = 2
    seed: int = 0

    @property
    def everything(self):
        return self.n_layers == 2

    @property
    def layer(self):
        return ("fc", "conv")[self.n_layers - 1]


def random_maps(seed, n=10):
    return np.random.default_rng(seed).normal(size=(n, 12, 12)).astype(np.float32)


def test_maps_that_forget_everything_pass():
    shuffled = [Shuffled(random_maps(k), 1 + k % 2, k // 2) for k in range(1, 5)]
    found = randomisation_check(random_maps(0), shuffled, SUBJECTS)
    assert found.flagged is False and abs(found.own.mean) < 0.1
    assert len(found.own_by_seed) == 3
    assert [(row.measure, row.n_layers) for row in found.curve][:4] == [
        *[("pearson", 2), ("pearson", 1)],
        *[("spearman", 2), ("spearman", 1)],
    ]


def test_maps_that_follow_the_image_are_flagged():
    images = random_maps(0)
    found = randomisation_check(
        images, (Shuffled(images + random_maps(k) / 2, k) for k in (1, 2)), SUBJECTS, measures=("spearman",)
    )
    assert found.follows_image is True and found.flagged is True
    assert abs(found.chance.mean) < 0.1 and found.own.mean == pytest.approx(found.residual.mean, abs=0.1)
    assert [(row.layer, row.similarity.n) for row in found.curve] == [("fc", 10), ("conv", 10)]


def test_one_picture_for_all_is_flagged_though_it_does_not_follow_the_image():
    picture = random_maps(0, 1)
    found = randomisation_check(picture + random_maps(1) / 9, [Shuffled(picture + random_maps(2) / 9)], SUBJECTS)
    assert (found.follows_image, found.stays, found.flagged) == (False, True, True)
    assert found.chance.mean == pytest.approx(found.residual.mean, abs=0.05)


def test_the_verdict_is_open_without_subjects_and_without_a_fully_shuffled_network():
    images = random_maps(0)
    assert randomisation_check(images, [Shuffled(random_maps(1))], ["a", "b"] * 5).flagged is None
    alone = randomisation_check(images, [Shuffled(random_maps(1), 1)], SUBJECTS)
    assert (alone.follows_image, alone.stays, alone.flagged) == (False, None, None)
    assert np.isnan(alone.residual.mean) and not np.isnan(alone.own.mean)
    one = randomisation_check(images, [Shuffled(random_maps(1))], ["a"] * 10)
    assert np.isnan(one.chance.mean) and not np.isnan(one.residual.mean)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="a subject per image"):
        randomisation_check(random_maps(0), [], ["a"])
    with pytest.raises(ValueError, match="unknown measure hog"):
        randomisation_check(random_maps(0), [], SUBJECTS, measures=("hog",))
    with pytest.raises(ValueError, match="as the trained ones"):
        randomisation_check(random_maps(0), [Shuffled(random_maps(0, 9))], SUBJECTS)


def test_intervals_stay_where_correlations_can_be():
    rng = np.random.default_rng(5)
    maps = np.repeat(random_maps(0, 5), 2, axis=0)
    mixed = np.where(np.arange(10)[:, None, None] < 8, maps, random_maps(9)) + rng.normal(0, 0.01, maps.shape)
    found = randomisation_check(maps, [Shuffled(mixed.astype(np.float32))], SUBJECTS)
    means = [row.similarity for row in found.curve] + [found.residual, found.chance]
    assert max(mean.high for mean in means) == 1, "cut where no correlation is above"
    assert min(mean.low for mean in means) >= -1
    assert -2 <= found.own.low < found.own.high <= 2


@pytest.mark.parametrize(
    ("own", "residual", "flagged"),
    [
        ((0.4, 0.5), (0.0, 0.1), True),
        ((0.0, 0.1), (0.6, 0.7), True),
        ((0.1, 0.3), (-0.1, 0.4), False),
        ((0.2, 0.6), (0.0, 0.1), None),
        ((0.0, 0.1), (0.2, 0.6), None),
    ],
)
def test_an_interval_with_the_level_in_it_leaves_the_question_open(own, residual, flagged):
    of_own, of_residual = (
        SubjectMean(sum(ends) / 2, *ends, n=12, n_undefined=0, n_subjects=4) for ends in (own, residual)
    )
    assert RandomisationCheck((), of_residual, of_residual, of_own, ()).flagged is flagged
