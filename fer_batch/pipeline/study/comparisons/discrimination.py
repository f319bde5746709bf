"""Whether a method's maps differ between classes on the same image (PD-m)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fer_batch.evaluate.discrimination import Discrimination
from fer_batch.evaluate.discrimination import class_discrimination as discrimination
from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.comparison import Compared, Measured
from fer_batch.pipeline.study.comparisons.charts import interval_chart
from fer_batch.pipeline.study.comparisons.figures import figure, kept, known
from fer_batch.pipeline.study.comparisons.networks import by_name, title_of
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.report import comparisons as pages
from fer_batch.types import InputError


def class_discrimination(work: StudyWork) -> Compared:
    """Mean correlation of each explanation's maps between classes, over the folds of each training together.

    Parameters
    ----------
    work
        The study.

    Raises
    ------
    InputError
        If no image of any explanation has maps of two targets.
    """
    groups = by_name(work.done)
    if not groups:
        return Compared(pages.nothing_done("class_discrimination", "Does the map depend on the class?"))
    figures: list[pages.MethodFigure] = []
    rows: list[Measured] = []
    n_images = 0
    for variant in work.variants:
        for name, cells in by_name(work.of_variant(variant)).items():
            title = title_of(work, cells[0].network, fold=False)
            found = _pooled(work, cells)
            label = f"{variant}, {title}" if len(groups) > 1 else variant
            figures.append(figure(label, kept(found.overall), network=name if len(groups) > 1 else ""))
            n_images += found.overall.n + found.overall.n_undefined
            rows += _rows(variant, name, found, cells[0].network.model.targets)
    if not n_images:
        raise InputError("compare.class_discrimination needs maps of several classes on one image; give "
                         "runs.base.explain.targets: all")  # fmt: skip
    chart = interval_chart(figures, "mean correlation between the maps of two classes", (-1.0, 1.0))
    return Compared(pages.class_discrimination(figures, chart), tuple(rows))


def _pooled(work: StudyWork, cells: Sequence[Cell]) -> Discrimination:
    """Of one explanation, over networks that have the same outputs."""
    subjects: list[str] = []
    return discrimination(_maps(work, cells, subjects), subjects)


def _maps(work: StudyWork, cells: Sequence[Cell], subjects: list[str]) -> Iterator[NDArray[np.float32]]:
    """Maps of every class on every image, shape (C, H, W); whose face that is goes to `subjects`."""
    for cell in cells:
        for image in work.images(cell):
            if len(image.maps) < 2:
                continue
            blank = np.full(next(iter(image.maps.values())).shape, np.nan, np.float32)
            subjects.append(image.subject_id or image.sequence_id)
            yield np.stack([image.maps.get(target, blank) for target in cell.network.model.targets])


def _rows(variant: str, name: str, found: Discrimination, targets: Sequence[str]) -> Iterator[Measured]:
    mean = found.overall
    for suffix, value, n in (("", mean.mean, mean.n), ("_low", mean.low, mean.n_subjects),
                             ("_high", mean.high, mean.n_subjects)):  # fmt: skip
        yield Measured(f"class_discrimination{suffix}", known(value), n, variant, name)
    if not mean.n + mean.n_undefined:
        return
    for (one, other), pair in zip(found.pairs, found.by_pair, strict=True):
        group = f"{targets[one]}, {targets[other]}"
        yield Measured("class_discrimination", known(pair.mean), pair.n, variant, name, group=group)
