"""Seconds per image of every explanation (PD-l)."""

from __future__ import annotations

from fer_batch.pipeline.study.comparison import Compared, Measured
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.report.page import DataTable

# Weitz (2018), 5.5; methods 13.6.
PUBLISHED = {"lime": "about 8 min", "z": "1 to 5 s", "epsilon": "1 to 5 s", "preset_a_flat": "1 to 5 s",
             "preset_b_flat": "1 to 5 s"}  # fmt: skip


def runtime(work: StudyWork) -> Compared:
    """Seconds that each explanation takes for an image with all of its explained classes, over all networks.

    Parameters
    ----------
    work
        The study.
    """
    rows, measured = [], []
    for variant in work.variants:
        cells = [cell for cell in work.of_variant(variant) if cell.seconds is not None and cell.n_images]
        seconds = sum(cell.seconds or 0.0 for cell in cells)
        n = sum(cell.n_images or 0 for cell in cells)
        each = seconds / n if n else None
        rows.append(
            (
                variant,
                None if each is None else round(each, 4),
                n,
                len(cells),
                PUBLISHED.get(cells[0].method if cells else "", ""),
            )
        )
        measured.append(Measured("seconds_per_image", each, n, variant))
    table = DataTable("Seconds per image", ("Explanation", "Seconds", "Images", "Networks", "Weitz 2018"), tuple(rows))
    return Compared(
        "What an explanation costs",
        "Time of the explanation alone, decoding and the forward pass of the prediction left out, on the machine that "
        "ran it; the first batch of a process, which traces the network, is left out too.",
        (table,),
        tuple(measured),
    )
