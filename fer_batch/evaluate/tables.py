"""Comparison tables in the layouts of the papers (methods 13.1 to 13.3); cells are text, what is undefined is `-`."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from fer_batch.evaluate import published
from fer_batch.evaluate.summary import ALL, NO_EMOTION, ROWS, GroupStatistics, comparison, statistics_table

MISSING = "-"
_SHARES = ("mean reduction", "reduction of the means")
RIEGER, FINZEL = "Rieger et al. 2020", "Finzel et al. 2021"


@dataclass(frozen=True)
class Table:
    """Text in rows and columns; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Mu:
    """Mean mu of one target, the frames behind it, and chance level where it is known."""

    mean: float
    n: int
    chance: float = math.nan


def f1_table(rows: Mapping[str, Mapping[str, float]], datasets: Iterable[str]) -> Table:
    """F1 with Action Units as columns (methods 13.2).

    Parameters
    ----------
    rows
        By name of the row, such as data set and network: figures by target. NaN and absent are `-`.
    datasets
        Published data sets whose printed rows are set beside them.
    """
    known = [(f"{dataset}, {network}", figures) for (dataset, network), figures in published.F1.items()]
    wanted = tuple(f"{name}," for name in datasets)
    printed = {f"{name} ({RIEGER})": figures for name, figures in known if name.startswith(wanted)} if wanted else {}
    targets = sorted_targets(target for figures in (*rows.values(), *printed.values()) for target in figures)
    ours = [
        (name, *(share(figures.get(target)) for target in targets), share(_mean(figures.values())))
        for name, figures in rows.items()
    ]
    # the papers print no mean, and one over other targets than ours could not be compared with ours
    theirs = [
        (name, *(_as_printed(figures.get(target)) for target in targets), MISSING) for name, figures in printed.items()
    ]
    return Table("F1", ("", *targets, "mean"), (*ours, *theirs))


def mu_table(columns: Mapping[str, Mapping[str, Mu]], datasets: Iterable[str]) -> Table:
    """Mean mu and n, Action Units as rows (methods 13.3).

    Parameters
    ----------
    columns
        By name of the column, such as a data set or an explanation: figures by target. Absent is `-`.
    datasets
        Published data sets whose printed columns are set beside them.
    """
    printed = {
        f"{name} ({RIEGER})": {au: Mu(mean, int(published.MU_N[name][au])) for au, mean in published.MU[name].items()}
        for name in datasets
        if name in published.MU
    }
    targets = sorted_targets(target for figures in (*columns.values(), *printed.values()) for target in figures)
    body = tuple(
        (
            target,
            *(_mu(figures.get(target), share) for figures in columns.values()),
            *(_mu(figures.get(target), _as_printed) for figures in printed.values()),
        )
        for target in targets
    )
    caption = "mean over the true positives; in brackets their number"
    if any(not math.isnan(figure.chance) for figures in columns.values() for figure in figures.values()):
        caption += ", then chance level"
    return Table("mu", ("", *columns, *printed), body, caption)


def prototype_table(dataset: str, statistics: Sequence[GroupStatistics], printed_as: str | None = None) -> Table:
    """Statistics of temporal prototypes, classes as columns (methods 13.1).

    Parameters
    ----------
    dataset
        Its name, for the title.
    statistics
        Of each emotion, of sequences without one, and of all.
    printed_as
        Published data set whose figures follow each row.
    """
    ours = statistics_table(statistics)
    theirs = published.PROTOTYPES.get(printed_as or "", {})
    columns = Counter(published.published_class(s.group) for s in statistics)
    # two spellings of a class, such as anger and angry, stay two columns under their own names
    named = {
        column if columns[column] == 1 else s.group: s.group
        for s in statistics
        for column in [published.published_class(s.group)]
    }
    order = [*published.CK_PLUS, *sorted(named.keys() - published.CK_PLUS.keys())]
    order = [group for group in order if group not in (NO_EMOTION, ALL)] + [NO_EMOTION, ALL]
    shown = [group for group in order if group in named or any(group in row for row in theirs.values())]
    body = []
    for row in ROWS:
        if all(math.isnan(value) for value in ours[row].values()):
            continue  # such as unique stages, which the papers do not print
        body.append((row, *(_statistic(row, ours[row].get(named.get(group, ""))) for group in shown)))
        if row in theirs and row not in ("reduction of the means", "mean unique stages"):
            body.append(("  published", *(_statistic(row, theirs[row].get(group)) for group in shown)))
    caption = f"published: {FINZEL}, {printed_as}" if theirs else ""
    return Table(f"temporal prototypes of {dataset}", ("", *shown), tuple(body), caption)


def comparison_table(datasets: Mapping[str, GroupStatistics], differing: str = "") -> Table:
    """Every two data sets side by side, the one with the longer sequences first (methods TP-o).

    Parameters
    ----------
    datasets
        By name: statistics over all sequences.
    differing
        What else than the data set differs between them, for the caption.
    """
    body = []
    for pair in combinations(datasets, 2):
        one, other = sorted(pair, key=lambda name: -datasets[name].mean_frames)
        found = comparison(datasets[one], datasets[other])
        figures = (f"{found.frames_ratio:.1f}", f"{found.stages_ratio:.1f}")
        reductions = (_percent(found.reduction), _percent(found.other_reduction))
        body.append((f"{one} / {other}", *figures, *reductions))
    columns = ("", "frames ratio", "stages ratio", "reduction", "reduction of the other")
    caption = "of the means over all sequences" + (f"; {differing}" if differing else "")
    return Table("data sets compared", columns, tuple(body), caption)


def sorted_targets(targets: Iterable[str]) -> list[str]:
    """Each once, names that end in a number by that number."""

    def key(target: str) -> tuple[str, int, str]:
        stem, digits = re.fullmatch(r"(.*?)(\d*)", target, re.DOTALL).groups()  # type: ignore[union-attr]
        return stem, int(digits or 0), target

    return sorted(set(targets), key=key)


def share(value: float | None) -> str:
    """`.554`, `1.000`."""
    if value is None or math.isnan(value):
        return MISSING
    return f"{value:.3f}".removeprefix("0")


def _as_printed(value: float | None) -> str:
    """`.50`, `.554`: papers print two digits, or three."""
    text = share(value)
    return text[:-1] if text.endswith("0") else text


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _mu(figure: Mu | None, write: Callable[[float], str]) -> str:
    if figure is None or math.isnan(figure.mean):
        return MISSING
    chance = "" if math.isnan(figure.chance) else f"; {write(figure.chance)}"
    return f"{write(figure.mean)} ({figure.n}{chance})"


def _statistic(row: str, value: float | None) -> str:
    if value is None or math.isnan(value):
        return MISSING
    if row in _SHARES:
        return _percent(value)
    return str(int(value)) if row.startswith(("sequences", "prototypes")) else f"{value:.2f}"


def _percent(value: float) -> str:
    return MISSING if math.isnan(value) else f"{100 * value:.0f} %"
