"""Whether networks look where the Action Units of what they see are (Belharbi et al. 2024; methods 16.3)."""

from __future__ import annotations

from collections.abc import Sequence

from fer_batch.evaluate.published_cues import DATASETS
from fer_batch.pipeline.study.comparison import Compared
from fer_batch.pipeline.study.comparisons.cue_page import NAME, TITLE, cue_page
from fer_batch.pipeline.study.comparisons.cue_pairs import families
from fer_batch.pipeline.study.comparisons.cue_rows import rows_of_network
from fer_batch.pipeline.study.comparisons.options import check_options
from fer_batch.pipeline.study.cue_images import Codebook
from fer_batch.pipeline.study.cue_networks import network_cues
from fer_batch.pipeline.study.work import StudyWork
from fer_batch.report import comparisons as pages


def action_unit_cues(
    work: StudyWork,
    *,
    codebook: str = "martinez",
    disgust_release: bool = False,
    layers: Sequence[str] = (),
    images: int | None = None,
) -> Compared:
    """ATT-COS of every layer and CAM-COS of every explanation, over the whole test part of every network and fold.

    Parameters
    ----------
    work
        The study.
    codebook, disgust_release
        Which Action Units an expression has: as in `facs.expression_units`.
    layers
        Modules whose attention is compared; the end of every stage of a network where none is named.
    images
        At most so many of each network, drawn with a seed, where explanations are slow; all where None.

    Raises
    ------
    InputError
        If an option is not known, or no test image has a map of Action Units.
    """
    given = {"codebook": codebook, "disgust_release": disgust_release, "layers": layers, "images": images}
    check_options(NAME, {name: value for name, value in given.items() if value is not None})
    book = Codebook(codebook, disgust_release)
    if not work.done:
        return Compared(pages.nothing_done(NAME, TITLE))
    networks = network_cues(work, book, tuple(layers), images)
    rows = tuple(row for one in networks for row in rows_of_network(one))
    return Compared(cue_page(networks, families(work, networks), _printed(work), book), rows)


def _printed(work: StudyWork) -> str:
    """Whose published figures stand beside: those of the training's own dataset, else of RAF-DB."""
    formats = [source.format for training in work.trainings for source in training.config.sources]
    return next((name for name in DATASETS for one in formats if one.startswith(name)), "raf_db")
