"""What the network of a job is shown in its own surroundings, where it is trained with others (`swap_outside`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.config import TrainConfig
from fer_batch.pipeline.progress import say
from fer_batch.pipeline.training.maps import landmarks_of
from fer_batch.pipeline.training.marker import FoldJob
from fer_batch.pipeline.training.shards import Crops
from fer_batch.regions import has_region, kept_masks
from fer_batch.storage.store import Store
from fer_batch.types import InputError

if TYPE_CHECKING:
    from fer_batch.training.swapping import Swap

_SIDE = 56  # px; masks with soft edges need no more, and those of 40,000 crops are kept in memory


def swap_of(job: FoldJob, store: Store, samples: pa.Table) -> Swap | None:
    """What is kept of the samples of a training, made when it is asked for; None where the job swaps nothing.

    Parameters
    ----------
    job, store
        The fold, and where its crops are.
    samples
        Column `row`: places among the crops.
    """
    from fer_batch.training.data import MadeMaps
    from fer_batch.training.swapping import Swap

    settings = job.config.swap_outside
    if settings is None or not settings.share:
        return None
    points = landmarks_of(job.crops, store, samples)
    targets = kept_targets(job.targets) if settings.keep == "regions" else None
    side, margin = min(job.crops.size, _SIDE), settings.margin
    points = (points + 0.5) * (side / job.crops.size) - 0.5

    def make(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return kept_masks(points[rows], targets, (side, side), margin)

    return Swap(MadeMaps(make, (samples.num_rows, side, side)), settings.share)


def kept_targets(targets: Sequence[str]) -> tuple[str, ...]:
    """Those of some targets that have a region."""
    return tuple(target for target in targets if has_region(target))


def check_kept(config: TrainConfig, store: Store, crops: Crops, samples: pa.Table, targets: tuple[str, ...]) -> None:
    """Say what is kept and of how many crops, and refuse a training in which nothing can be exchanged.

    Parameters
    ----------
    config
        The job; nothing is said without section `swap_outside`, or where its share is 0.
    store, crops, samples
        Of the training.
    targets
        Of its outputs.

    Raises
    ------
    InputError
        If no crop has landmarks, or regions are kept and no target has one.
    """
    settings = config.swap_outside
    if settings is None or not settings.share:
        return
    kept = kept_targets(targets)
    if settings.keep == "regions" and not kept:
        raise InputError(
            f"swap_outside.keep: regions: none of the targets {', '.join(targets)} has a region; "
            "swap_outside.keep: face needs none"
        )
    without = sorted(set(targets) - set(kept))
    if settings.keep == "regions" and without:
        say(f"swap_outside: there is no region of {', '.join(without)}; what is kept are those of {', '.join(kept)}")
    known = int(np.isfinite(landmarks_of(crops, store, samples)).all((1, 2)).sum())
    if not known:
        raise InputError(
            f"swap_outside needs landmarks, and none of the {samples.num_rows} crops has any: its detector is "
            f"{config.faces.detector!r}; a source with landmarks, or faces.detector: dlib, gives them"
        )
    say(f"swap_outside: {known} of {samples.num_rows} crops have landmarks; the others are shown as they are")
