"""Where the network of a job should look: maps of Action Units about the landmarks of its crops (methods 2.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fer_batch.config import TrainConfig
from fer_batch.facs import au_name
from fer_batch.pipeline.progress import say
from fer_batch.pipeline.training.marker import FoldJob
from fer_batch.pipeline.training.samples import labels_of
from fer_batch.pipeline.training.shards import Crops
from fer_batch.regions.au_maps import ELLIPSES, unit_maps
from fer_batch.storage.store import Store
from fer_batch.types import InputError

if TYPE_CHECKING:
    from fer_batch.training.data import MadeMaps

_POINTS = 68


def maps_of(job: FoldJob, store: Store, samples: pa.Table) -> MadeMaps:
    """The maps of the samples of a training, float32 (N, size, size), made when they are asked for.

    A sample that shows no unit with an ellipse, or whose crop has no landmarks, has none: infinite throughout.
    """
    from fer_batch.training.data import MadeMaps

    points = landmarks_of(job.crops, store, samples)
    shown = _shown(samples, job.config.units_of(job.targets))
    size = (job.crops.size, job.crops.size)

    def make(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return unit_maps(points[rows], [shown[row] for row in rows.tolist()], size)

    return MadeMaps(make, (samples.num_rows, *size))


def landmarks_of(crops: Crops, store: Store, samples: pa.Table) -> NDArray[np.float32]:
    """Landmarks of samples in crop pixels, float32 (N, 68, 2); NaN for a crop without.

    Parameters
    ----------
    crops, store
        Of the training.
    samples
        Column `row`: places among the crops.
    """
    column = crops.rows(store)["landmarks"].take(samples["row"]).combine_chunks()
    found = np.full((len(column), 2 * _POINTS), np.nan, np.float32)
    whole = np.asarray(column.value_lengths().fill_null(0)) == 2 * _POINTS
    if whole.any():
        found[whole] = column.filter(pa.array(whole)).flatten().to_numpy(zero_copy_only=False).reshape(-1, 2 * _POINTS)
    return found.reshape(-1, _POINTS, 2)


def _shown(samples: pa.Table, units: list[tuple[int, ...]]) -> list[frozenset[int]]:
    """Of each sample the units with an ellipse that its labels give it."""
    drawn = [frozenset(unit for unit in some if unit in ELLIPSES) for some in units]
    present = labels_of(samples, len(units)) == 1
    return [frozenset().union(*(drawn[i] for i in np.flatnonzero(row).tolist())) for row in present]


def check_maps(config: TrainConfig, store: Store, crops: Crops, samples: pa.Table, targets: tuple[str, ...]) -> None:
    """Say how many crops have a map to be aligned with, and refuse a training in which none has.

    Parameters
    ----------
    config
        The job; nothing is said without section `align`, or where its weight is 0: that is the training without.
    store, crops, samples
        Of the training.
    targets
        Of its outputs.

    Raises
    ------
    InputError
        If no crop has one.
    """
    if config.align is None or not config.align.weight:
        return
    units = config.units_of(targets)
    undrawn = sorted({unit for some in units for unit in some} - set(ELLIPSES))
    if undrawn:
        say(f"align: there is no ellipse for {', '.join(map(au_name, undrawn))}; maps are of the other units")
    known: NDArray[np.bool_] = np.asarray(np.isfinite(landmarks_of(crops, store, samples)).all((1, 2)))
    shown = np.array([bool(some) for some in _shown(samples, units)], bool)
    if not known.any():
        raise InputError(
            f"align needs landmarks, and none of the {len(known)} crops has any: its detector is "
            f"{config.faces.detector!r}; a source with landmarks, or faces.detector: dlib, gives them"
        )
    if not (known & shown).any():
        raise InputError(
            f"align: none of the {len(shown)} crops shows a unit that has an ellipse, so that nothing can be aligned"
        )
    n_bare, n_unmarked = int((~shown).sum()), int((shown & ~known).sum())
    say(
        f"align: {int((known & shown).sum())} of {len(known)} crops have a map; {n_bare} show nothing to look at, "
        f"{n_unmarked} have no landmarks"
    )
