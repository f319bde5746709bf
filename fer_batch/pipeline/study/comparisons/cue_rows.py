"""ATT-COS and CAM-COS as rows of table `evaluation` (methods E-4, E-5)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fer_batch.pipeline.study.comparison import Measured
from fer_batch.pipeline.study.comparisons.figures import known
from fer_batch.pipeline.study.cue_figures import Column, FoldCues, NetworkCues


def rows_of_network(network: NetworkCues) -> Iterator[Measured]:
    """Every figure of one network: `att_cos` by layer, `cam_cos` by explanation, by class and over classes.

    `baseline` is what a constant map scores. Over all folds the ends of the interval stand as `_low` and `_high`, with
    the people (or images) behind it as `n`.

    Parameters
    ----------
    network
        One training, or a network that was given.
    """
    several = [fold for fold in network.folds if fold.network.fold is not None]
    for fold in (None, *several):
        cosines, constant = network.table(fold), network.table(fold, constant=True)
        for place, column in enumerate(network.columns):
            baselines = dict(zip(network.classes, constant.mean[:, place].tolist(), strict=True))
            macro = float(constant.macro[place])
            yield _row(network, column, float(cosines.macro[place]), int(cosines.n.sum()), macro, None, fold)
            for target, value, n in zip(network.classes, cosines.mean[:, place], cosines.n, strict=True):
                if n:
                    yield _row(network, column, float(value), int(n), baselines[target], target, fold)
    for column in network.columns:
        for name in (None, *network.classes):
            yield from _ends(network, column, name)


def _row(
    network: NetworkCues,
    column: Column,
    value: float,
    n: int,
    baseline: float,
    target: str | None,
    fold: FoldCues | None,
) -> Measured:
    return Measured(
        column.metric,
        known(value),
        n,
        explain=column.name if column.metric == "cam_cos" else "none",
        model=network.name,
        baseline=known(baseline),
        target=target,
        layer=column.name if column.metric == "att_cos" else None,
        fold=None if fold is None else fold.network.fold,
    )


def _ends(network: NetworkCues, column: Column, target: str | None) -> Iterator[Measured]:
    found = network.pooled(column, target)
    for end, value in (("low", found.low), ("high", found.high)):
        if np.isfinite(value):
            yield Measured(
                f"{column.metric}_{end}",
                known(value),
                found.n_subjects,
                explain=column.name if column.metric == "cam_cos" else "none",
                model=network.name,
                target=target,
                layer=column.name if column.metric == "att_cos" else None,
            )
