"""Training crops with a planted shortcut: a sticker that goes with an Action Unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fer_batch.posed.confound import Confound
from fer_batch.posed.crops import TRAIN_IDENTITIES, Samples, drawn_crop
from fer_batch.posed.face import POSED_AUS


def with_confound(
    samples: Samples,
    confound: Confound,
    seed: int = 0,
    n_identities: int = 400,
    often: Mapping[int, float] | None = None,
) -> Samples:
    """The same samples, some of them with the sticker of a confound; they alone are drawn again.

    Parameters
    ----------
    samples
        Of `training_samples` with the same seed, number of identities and `often`.
    confound
        How often the sticker goes with its Action Unit.
    """
    n, size = samples.images.shape[:2]
    present = samples.occurrence[:, POSED_AUS.index(confound.au)] == 1
    chance = np.random.default_rng([seed, 0x571C]).random(n)
    images = samples.images.copy()
    for i in np.flatnonzero(chance < np.where(present, confound.present, confound.absent)).tolist():
        rng = np.random.default_rng([seed, i])
        images[i] = drawn_crop(TRAIN_IDENTITIES + i * n_identities // n, rng, size, often or {}, sticker=True)[0]
    return replace(samples, images=images)
