"""Seconds per image of every explanation (PD-l)."""

from __future__ import annotations

import math
import platform

from fer_batch.pipeline.study.comparison import Compared, Measured
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.report import comparisons as pages
from fer_batch.report.page import Picture
from fer_batch.visualize.comparisons import durations_figure
from fer_batch.visualize.figure import save

# Seconds; Weitz (2018), 5.5; methods 13.6.
_LRP = (1.0, 5.0)
PUBLISHED = {"lime": (480.0, 480.0), "z": _LRP, "epsilon": _LRP, "preset_a_flat": _LRP, "preset_b_flat": _LRP}


def runtime(work: StudyWork) -> Compared:
    """Seconds that each explanation takes for an image with all of its explained classes, over all networks.

    Parameters
    ----------
    work
        The study.
    """
    seconds, measured, published = {}, [], {}
    for variant in work.variants:
        cells = [cell for cell in work.of_variant(variant) if cell.seconds is not None and cell.n_images]
        n = sum(cell.n_images or 0 for cell in cells)
        each = sum(cell.seconds or 0.0 for cell in cells) / n if n else math.nan
        seconds[variant] = each
        measured.append(Measured("seconds_per_image", each, n, variant))
        if cells and (printed := PUBLISHED.get(cells[0].method)):
            published[variant] = printed
    known = {name: value for name, value in seconds.items() if value > 0}
    chart = durations_figure(list(known), list(known.values()), published=published) if known else None
    picture = Picture(save(chart) if chart else b"", "Seconds per image of every explanation")
    machine = f"{platform.machine()}, {work.start()} cores"
    return Compared(pages.runtime(seconds, picture, published, "Weitz 2018", machine), tuple(measured))
