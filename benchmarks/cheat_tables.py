"""The stored figures of benchmarks/cheat_rates.py: the verdict of each, and its rates over the grid."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cheat_marks import TARGETS, Shortcut
from cheat_networks import Finding, PerSubject
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from fer_batch.evaluate.localisation import Localisation, localisation_of_subjects
from fer_batch.evaluate.verdict import RECOGNISED, Verdict
from fer_batch.facs import au_name
from fer_batch.regions import region_words
from fer_batch.visualize.figure import INK, new_figure
from fer_batch.visualize.figure import save as png_of

USED, RELIED = 0.1, 0.5  # size of the effect from which on a network uses a mark, and relies on it
_FIELDS = [field.name for field in dataclasses.fields(Shortcut) if field.name != "au"]


@dataclasses.dataclass(frozen=True)
class Judged:
    """A finding and the verdict on it."""

    found: Finding
    verdict: Verdict

    @property
    def used(self) -> bool:
        """The mark changes what the network detects."""
        return abs(self.found.effect) >= USED

    @property
    def relied(self) -> bool:
        """The mark decides."""
        return abs(self.found.effect) >= RELIED

    @property
    def mu(self) -> float:
        """Mean over the true positives."""
        return self.verdict.localisation.mean


def save(found: Sequence[Finding], path: Path) -> None:
    """One row per Action Unit of each network; sums per subject are lists."""
    rows = []
    for finding in found:
        row = {f.name: getattr(finding, f.name) for f in dataclasses.fields(finding)}
        subjects, shortcut = row.pop("subjects"), row.pop("shortcut")
        row |= {name: getattr(shortcut, name, None) for name in _FIELDS}
        rows.append(row | {f.name: getattr(subjects, f.name).tolist() for f in dataclasses.fields(subjects)})
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd")


def load(path: Path) -> list[Finding]:
    """What `save` wrote."""
    found = []
    for row in pq.read_table(path).to_pylist():
        planted = {name: row.pop(name) for name in _FIELDS}
        subjects = PerSubject(**{f.name: np.array(row.pop(f.name)) for f in dataclasses.fields(PerSubject)})
        shortcut = None if planted["place"] is None else Shortcut(row["au"], **planted)
        found.append(Finding(**row, shortcut=shortcut, subjects=subjects))
    return found


def judged(finding: Finding) -> Judged:
    """The verdict that `fer-batch evaluate` gives on the same sums."""
    target = au_name(finding.au)
    return Judged(finding, Verdict(target, region_words(target), _localisation(finding.subjects), finding.f1))


def _localisation(sums: PerSubject) -> Localisation:
    return localisation_of_subjects(sums.n, sums.mass, sums.share, sums.weighted)


def rate(hits: Iterable[bool]) -> str:
    """`12 of 40 (30 %, 18-45)`: with the exact interval of 95 %."""
    seen = list(hits)
    if not seen:
        return "-"
    ends = binomtest(sum(seen), len(seen)).proportion_ci()
    return f"{sum(seen)} of {len(seen)} ({100 * np.mean(seen):.0f} %, {100 * ends.low:.0f}-{100 * ends.high:.0f})"


Key = Callable[[Judged], object]


def shortcut_table(rows: Sequence[Judged], name: str, key: Key) -> list[str]:
    """What became of the shortcuts of each kind."""
    lines = [f"| {name} | planted | used | relied on | flagged of all | of the used | of those relied on |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|")
    groups: dict[object, list[Judged]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    for value in sorted(groups, key=str):
        own = groups[value]
        used, relied = [r for r in own if r.used], [r for r in own if r.relied]
        flags = (rate(r.verdict.flagged for r in some) for some in (own, used, relied))
        lines.append(f"| {value} | {len(own)} | {len(used)} | {len(relied)} | {' | '.join(flags)} |")
    return lines


def alarm_table(rows: Sequence[Judged]) -> list[str]:
    """Flags of units on which nothing was planted."""
    lines = [
        "| | F1, mean | mu, mean | chance | flagged in networks without a mark "
        "| with marks on other units, none of which it uses | one of which it uses |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for target in (*TARGETS, "all"):
        own = [r for r in rows if target in (r.verdict.target, "all")]
        means = [np.mean([f(r) for r in own]) if own else math.nan for f in (lambda r: r.found.f1, lambda r: r.mu)]
        chance = np.mean([r.verdict.localisation.chance for r in own]) if own else math.nan
        flags = (rate(r.verdict.flagged for r in own if _stray(r) == stray) for stray in (None, False, True))
        lines.append(f"| {target} | {means[0]:.2f} | {means[1]:.3f} | {chance:.3f} | {' | '.join(flags)} |")
    return lines


def _stray(row: Judged) -> bool | None:
    """Whether the unit uses a mark that was planted on another; None where the network has no marks."""
    return abs(row.found.crosstalk) >= USED if row.found.arm == "marked" else None


def scores(rows: Sequence[Judged]) -> dict[str, Callable[[Judged], float]]:
    """What else could be flagged; the lower, the more suspect. `clean` networks are a reference that users seldom have.

    The reference of a network without marks leaves that network out.
    """
    clean = [r for r in rows if r.found.arm == "clean"]

    def reference(row: Judged) -> float:
        same = [r.mu for r in clean if r.found.au == row.found.au and r.found.network != row.found.network]
        return row.mu / np.mean(same) if same else math.nan

    def others(row: Judged) -> float:
        sums = row.found.subjects
        mean = sums.others.sum() / sums.n_others.sum() if sums.n_others.sum() else math.nan
        return row.mu / mean if mean else math.nan

    return {
        "mu / chance (the verdict's own)": lambda r: r.mu / r.verdict.localisation.chance,
        "mu / mu of the other targets' maps in the same region": others,
        "mu / mu of the same unit in networks without marks": reference,
    }


def score_table(rows: Sequence[Judged], planted: Sequence[Judged], free: Sequence[Judged]) -> list[str]:
    """How well each score tells shortcuts that are relied on, and lie outside the region, from units without one."""
    lines = [
        "| score | 1 or below: relied on | nothing planted | relied on, below 95 % of those without | AUC |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, score in scores(rows).items():
        relied = [s for s in (score(r) for r in planted if r.relied) if not math.isnan(s)]
        none = [s for s in map(score, free) if not math.isnan(s)]
        cells = [rate(s <= 1 for s in some) for some in (relied, none)] + ["-", "-"]
        if relied and none:
            limit = np.quantile(none, 0.05)
            labels = [1] * len(relied) + [0] * len(none)
            cells[2:] = [rate(s < limit for s in relied), f"{roc_auc_score(labels, [-s for s in relied + none]):.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def usable(row: Judged) -> bool:
    """A verdict that says something: the unit is recognised, and there are people enough."""
    return row.found.f1 >= RECOGNISED and row.verdict.state != "open"


def markdown(found: Sequence[Finding], method: str) -> str:
    """All tables, of findings by this method of explanation."""
    every = [judged(finding) for finding in found]
    rows = [row for row in every if usable(row)]
    planted, free = [r for r in rows if r.found.shortcut], [r for r in rows if not r.found.shortcut]
    signs = [r for r in planted if r.found.shortcut and r.found.shortcut.kind == "sign"]
    outside = [r for r in planted if _outside(r)]
    shown = [r for r in signs if r.used and not math.isnan(r.found.mark_mass)]

    def of(name: str) -> Key:
        return lambda row: getattr(row.found.shortcut, name)

    def by_use(row: Judged) -> str:
        size = abs(row.found.effect)
        return next(
            t
            for t, least in ((".9 to 1", 0.9), (".5 to .9", 0.5), (".1 to .5", 0.1), ("below .1", -1))
            if size >= least
        )

    parts = [
        "# Planted shortcuts: how often the verdict flags them",
        f"`python benchmarks/cheat_rates.py --work DIR --method {method}`; docs/cheat.md says what it means.",
        _counts(every),
        f"A mark is used where it alone changes detections by {USED} or more, and relied on from {RELIED} on. In "
        "brackets: rate, and its exact 95 % interval.",
        "## Signs, by strength",
        *_tables(signs, "share of positives with the mark", of("strength")),
        "## Signs, by size",
        *_tables(signs, "size", of("size")),
        "## Signs outside the region, by Action Unit",
        "\n".join(shortcut_table([r for r in signs if r in outside], "unit", lambda r: r.verdict.target)),
        "## Signs outside the region, by how much the network uses them",
        "\n".join(shortcut_table([r for r in signs if r in outside], "effect of the mark", by_use)),
        "## Kinds: large marks off the face, strength .70 to .95",
        "\n".join(shortcut_table([r for r in outside if _large_off(r)], "kind", of("kind"))),
        "## Nothing planted",
        "\n".join(alarm_table(free)),
        "## Other scores, marks outside the region",
        "\n".join(score_table(rows, outside, free)),
        f"Positive relevance in the mark, over its share of the crop, where it is used and seen: median "
        f"{np.median([r.found.mark_mass / r.found.mark_area for r in shown]):.1f}."
        if shown
        else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _counts(every: Sequence[Judged]) -> str:
    poor = sum(row.found.f1 < RECOGNISED for row in every)
    undecided = sum(row.found.f1 >= RECOGNISED and row.verdict.state == "open" for row in every)
    return (
        f"{len({row.found.network for row in every})} networks, {len(every)} verdicts: "
        f"{sum(row.found.shortcut is not None for row in every)} on a planted shortcut. Left out below: {poor} units "
        f"that are not recognised (F1 below {RECOGNISED}), {undecided} that stayed open."
    )


def _tables(rows: Sequence[Judged], name: str, key: Key) -> list[str]:
    words = {"off": "off the face", "face": "on the face, outside the region", "inside": "inside the region"}
    return [
        f"{title}:\n\n" + "\n".join(shortcut_table(own, name, key))
        for place, title in words.items()
        if (own := [r for r in rows if r.found.shortcut and r.found.shortcut.place == place])
    ]


def _large_off(row: Judged) -> bool:
    planted = row.found.shortcut
    return planted is not None and (planted.place, planted.size) == ("off", "large") and planted.strength >= 0.7


COLUMNS: dict[str, Callable[[Judged], bool]] = {
    "nothing planted": lambda row: row.found.shortcut is None,
    "outside, not used": lambda row: _outside(row) and not row.used,
    "outside, used": lambda row: _outside(row) and row.used and not row.relied,
    "outside, relied on": lambda row: _outside(row) and row.relied,
    "inside the region": lambda row: row.found.shortcut is not None and not _outside(row),
}


def _outside(row: Judged) -> bool:
    return row.found.shortcut is not None and row.found.shortcut.place != "inside"


def heat_table(found: Sequence[Finding]) -> bytes:
    """PNG: share of the verdicts that are flags, by Action Unit and what was planted on it."""
    rows = [row for row in map(judged, found) if usable(row)]
    figure = new_figure(6.4, 2.9)
    axes = figure.add_axes((0.09, 0.03, 0.9, 0.77))
    shares = np.full((len(TARGETS), len(COLUMNS)), np.nan)
    for y, target in enumerate(TARGETS):
        for x, belongs in enumerate(COLUMNS.values()):
            own = [row.verdict.flagged for row in rows if row.verdict.target == target and belongs(row)]
            shares[y, x] = np.mean(own) if own else np.nan
            text = f"{sum(own)} of {len(own)}" if own else "-"
            colour = "white" if shares[y, x] > 0.6 else INK
            axes.text(x, y, text, ha="center", va="center", fontsize=8, color=colour)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(COLUMNS)), list(COLUMNS))
    axes.set_yticks(range(len(TARGETS)), list(TARGETS))
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=8)
    figure.text(0.09, 0.93, "Verdicts that are flags, by Action Unit and the mark planted on it", fontsize=9, color=INK)
    return png_of(figure)
