"""Cells are run: the explanations of one network together, in one pass over its crops."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from fer_batch.output.explain_cost import explain_cost
from fer_batch.pipeline.explaining.units import ExplanationRefused
from fer_batch.pipeline.progress import say
from fer_batch.pipeline.run import run_all
from fer_batch.pipeline.study.cells import Cell
from fer_batch.pipeline.study.plan import CELLS
from fer_batch.storage.manifest import Ledger, dump
from fer_batch.storage.store import Store
from fer_batch.types import EnvironmentFault, InputError

log = logging.getLogger(__name__)


def run_cells(store: Store, cells: Sequence[Cell], start: Callable[[], int]) -> list[Cell]:
    """Run what waits; every cell as it is then.

    Parameters
    ----------
    store
        The output.
    cells
        Of a study.
    start
        Starts Ray where it does not run yet.
    """
    done: dict[int, Cell] = {}
    groups: dict[str, list[int]] = {}
    for index, cell in enumerate(cells):
        if cell.status == "waiting" and cell.job is not None:
            groups.setdefault(cell.job.model_dump_json(exclude={"explain"}), []).append(index)
    for number, indices in enumerate(groups.values(), 1):
        start()
        title = cells[indices[0]].network.title
        say(f"network {number} of {len(groups)}: {title}, {len(indices)} explanations")
        for index, cell in zip(indices, run_together(store, [cells[i] for i in indices]), strict=True):
            done[index] = cell
    return [done.get(index, cell) for index, cell in enumerate(cells)]


def run_together(store: Store, cells: Sequence[Cell]) -> list[Cell]:
    """Run cells of one network in one pass; one that cannot be done has a reason, and the others are done.

    Parameters
    ----------
    store
        The output.
    cells
        Of one network, over the same samples.

    Raises
    ------
    EnvironmentFault
        If the store or the machine failed: that is no cell's fault, and the next run goes on.
    """
    if not cells:
        return []
    try:
        outcome = run_all([cell.job for cell in cells if cell.job is not None])
    except ExplanationRefused as error:
        place = error.explanation
        others = run_together(store, [*cells[:place], *cells[place + 1 :]])
        return [*others[:place], cells[place].failed(str(error)), *others[place:]]
    except EnvironmentFault:
        raise
    except InputError as error:
        return [cell.failed(str(error)) for cell in cells]
    except Exception as error:  # one that a method brings about must not take the other cells along
        log.exception("unexpected error in %s", cells[0].title)
        if len(cells) == 1:
            return [cells[0].failed(f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}")]
        return [one for cell in cells for one in run_together(store, [cell])]
    return [_finish(store, cell, outcome.failures) for cell in cells]


def _finish(store: Store, cell: Cell, failures: Sequence[tuple[str, str]]) -> Cell:
    """Mark a cell as done."""
    cost = explain_cost(Ledger(store), cell.partition)
    if cost:
        seconds, n_images = cost.seconds + cost.first_seconds, cost.n_images + cost.n_first_images
        cell = replace(cell, seconds=seconds, n_images=n_images, rate=cost.seconds_per_image)
    reason = f"{len(failures)} inputs failed, such as {failures[0][0]}: {failures[0][1]}" if failures else None
    cell = replace(cell, status="done", reason=reason)
    found = {name: getattr(cell, name) for name in ("reason", "seconds", "n_images", "rate")}
    store.put(f"{CELLS}/{cell.key}.json", dump({**found, **cell.partition.key}))
    return cell
