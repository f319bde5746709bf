"""The networks of a study as its pages know them: the folds of one training together, under the training's title."""

from __future__ import annotations

from collections.abc import Iterable

from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.networks import StudyNetwork
from fer_batch.pipeline.study.work import StudyWork


def by_name(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Cells by the name of their network: the folds of one training together, in order."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.network.name, []).append(cell)
    return found


def trained(work: StudyWork) -> dict[str, list[StudyNetwork]]:
    """Networks that explained something, by name: the folds of each training, and each network that was given."""
    found: dict[str, dict[str, StudyNetwork]] = {}
    for cell in work.done:
        found.setdefault(cell.network.name, {})[cell.network.title] = cell.network
    return {name: list(folds.values()) for name, folds in found.items()}


def title_of(work: StudyWork, network: StudyNetwork, *, fold: bool = True) -> str:
    """What pages call a network.

    Parameters
    ----------
    work
        The study.
    network
        One of its networks.
    fold
        Whether the fold is said.

    Returns
    -------
    The title of its training where it has one, else its own name.
    """
    titles = {training.outcome.model: training.title for training in work.trainings}
    title = titles.get(network.name, network.name)
    if list(titles.values()).count(title) > 1:
        title = f"{title}, {network.name}"
    return f"{title}, fold {network.fold}" if fold and network.fold is not None else title
