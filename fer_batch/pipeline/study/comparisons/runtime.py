"""Seconds per image of every explanation (PD-l)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.comparison import Compared, Measured
from fer_batch.pipeline.study.comparisons.figures import known
from fer_batch.pipeline.study.comparisons.networks import by_name, title_of
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.report import comparisons as pages
from fer_batch.report.page import Picture
from fer_batch.visualize.comparisons import durations_figure
from fer_batch.visualize.figure import save

# Seconds; Weitz (2018), 5.5; methods 13.6.
_LRP = (1.0, 5.0)
PUBLISHED = {"lime": (480.0, 480.0), "z": _LRP, "epsilon": _LRP, "preset_a_flat": _LRP, "preset_b_flat": _LRP}


def runtime(work: StudyWork) -> Compared:
    """Seconds that each explanation takes for an image with all of its explained classes, over the folds of a training.

    Parameters
    ----------
    work
        The study.
    """
    several = len(by_name(work.done)) > 1
    seconds, measured, published, ids = {}, [], {}, {}
    for variant in work.variants:
        for name, cells in by_name(work.of_variant(variant)).items():
            each, n = _each(cells)
            label = f"{variant}, {title_of(work, cells[0].network, fold=False)}" if several else variant
            seconds[label] = each
            ids[label] = name
            measured.append(Measured("seconds_per_image", known(each), n, variant, name))
            if printed := PUBLISHED.get(cells[0].method):
                published[label] = printed
    found = {name: value for name, value in seconds.items() if value > 0}
    chart = durations_figure(list(found), list(found.values()), published=published) if found else None
    picture = Picture(save(chart), "Seconds per image of every explanation") if chart is not None else None
    page = pages.runtime(seconds, picture, published, "Weitz 2018", "as measured where it ran", ids if several else {})
    return Compared(page, tuple(measured))


def _each(cells: Sequence[Cell]) -> tuple[float, int]:
    """Seconds per image over some cells, NaN where none was measured, and how many images that is of."""
    timed = [(cell.rate, cell.n_images) for cell in cells if cell.rate is not None and cell.n_images]
    n = sum(images for _, images in timed)
    return (sum(rate * images for rate, images in timed) / n if n else math.nan), n
