"""Whether a method's maps differ between classes on the same image (PD-m)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.discrimination import class_discrimination as discrimination
from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.comparison import Compared, Measured
from fer_batch.pipeline.study.comparisons.charts import interval_chart
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.report import comparisons as pages
from fer_batch.types import InputError


def class_discrimination(work: StudyWork) -> Compared:
    """Mean correlation of each explanation's maps between classes, over the images of all networks together.

    Parameters
    ----------
    work
        The study.

    Raises
    ------
    InputError
        If no image has maps of two targets.
    """
    figures, rows = [], []
    for variant in work.variants:
        subjects: list[str] = []
        found = discrimination(_maps(work, work.of_variant(variant), subjects), subjects)
        if not found.overall.n and not found.n_undefined_maps:
            raise InputError("compare.class_discrimination needs maps of several classes on one image; give "
                             "runs.base.explain.targets: all")  # fmt: skip
        mean = found.overall
        figures.append(pages.MethodFigure(variant, mean.mean, mean.low, mean.high, mean.n, mean.n_subjects))
        rows += _rows(variant, found, work.of_variant(variant)[0].network.model.targets)
    chart = interval_chart(figures, "mean correlation between the maps of two classes", (-1.0, 1.0))
    return Compared(pages.class_discrimination(figures, chart), tuple(rows))


def _maps(work: StudyWork, cells: Sequence[Cell], subjects: list[str]) -> Iterator[NDArray[np.float32]]:
    """Maps of every class on every image, shape (C, H, W); whose face that is goes to `subjects`."""
    for cell in cells:
        targets = cell.network.model.targets
        for image in work.images(cell):
            if len(image.maps) < 2:
                continue
            blank = np.full(next(iter(image.maps.values())).shape, np.nan, np.float32)
            subjects.append(image.subject_id or image.sequence_id)
            yield np.stack([image.maps.get(target, blank) for target in targets])


def _rows(variant: str, found: object, targets: Sequence[str]) -> Iterator[Measured]:
    mean = found.overall
    yield Measured("class_discrimination", mean.mean, mean.n, variant)
    yield Measured("class_discrimination_low", mean.low, mean.n_subjects, variant)
    yield Measured("class_discrimination_high", mean.high, mean.n_subjects, variant)
    for (one, other), pair in zip(found.pairs, found.by_pair, strict=True):
        yield Measured("class_discrimination", pair.mean, pair.n, variant, group=f"{targets[one]}, {targets[other]}")
