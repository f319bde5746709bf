"""When which target is active, and in which cluster (methods TP-12, TP Fig. 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from fer_batch.visualize.colours import UNLETTERED, Palette
from fer_batch.visualize.figure import INK, PALE, RULE, SMALL, SOFT_INK, TEXT, new_figure

_ROW = 0.3  # inches
_CURVE = 0.36
_NAME_CHARACTERS = 18


@dataclass(frozen=True)
class Timeline:
    """Labels of one sequence over its frames.

    Attributes
    ----------
    frames : shape (T,), int64, ascending
        Frame indices, as sampled.
    ok : shape (T,), bool
        Whether the frame had a usable face.
    targets
        Names of the rows.
    clusters
        One row per target, one entry per frame: None inactive, "" active without a letter, else the letter.
    stage_starts
        First frame of each stage.
    probability : shape (A, T), in [0, 1]
        NaN where unknown; None draws no curves.
    threshold
        From which probability on a target is active; None where that is not how it was decided.
    fps : Hz
        Of `frames`' numbering, where known.
    annotated : shape (A, T), bool
        Where ground truth says that the target occurs; None where there is no ground truth.
    """

    frames: NDArray[np.int64]
    ok: NDArray[np.bool_]
    targets: tuple[str, ...]
    clusters: tuple[tuple[str | None, ...], ...]
    stage_starts: tuple[int, ...] = ()
    probability: NDArray[np.floating] | None = None
    threshold: float | None = None
    fps: float | None = None
    annotated: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        n, a = len(self.frames), len(self.targets)
        if self.ok.shape != (n,) or len(self.clusters) != a or any(len(row) != n for row in self.clusters):
            raise ValueError(
                f"{n} frames and {a} targets need ok ({n},) and {a} rows of {n} clusters; got ok {self.ok.shape} and "
                f"rows of {sorted({len(row) for row in self.clusters})}"
            )
        if n > 1 and not (np.diff(self.frames) > 0).all():
            raise ValueError("frames must ascend")
        for name in ("probability", "annotated"):
            values = getattr(self, name)
            if values is not None and values.shape != (a, n):
                raise ValueError(f"{name} must be {(a, n)}, got {values.shape}")


def timeline(data: Timeline, palette: Palette | None = None, *, probability: bool = True) -> Figure:
    """Frames on x, one row per target that is ever active or annotated, cells in the colour of their cluster.

    Parameters
    ----------
    data
        The sequence.
    palette
        Colours that other figures of the same report use.
    probability
        Also draw each row's probability below, where known.

    Returns
    -------
    Figure
        Axes `rows`, and `probability` below where drawn.
    """
    palette = palette or Palette(data.targets)
    rows = rows_shown(data)
    curves = rows if probability and data.probability is not None else []
    n = len(data.frames)
    width = float(np.clip(2.2 + 0.24 * n, 7.0, 10.9))
    longest = max((len(_shortened(data.targets[i])) for i in rows), default=4)
    left, right, top, bottom = 0.3 + 0.082 * max(longest, 5), 0.34, 0.28, 0.6
    body, below = max(len(rows), 1) * _ROW, len(curves) * _CURVE
    gap = 0.34 if curves else 0.0
    height = top + body + gap + below + bottom
    figure = new_figure(width, height)
    x0, w = left / width, (width - left - right) / width
    axes = figure.add_axes((x0, (height - top - body) / height, w, body / height), label="rows")
    _draw_rows(axes, data, rows, palette, cell=(width - left - right) / max(n, 1))
    bottom_axes = axes
    if curves:
        bottom_axes = figure.add_axes((x0, bottom / height, w, below / height), label="probability", sharex=axes)
        _draw_curves(bottom_axes, data, curves, palette)
        axes.tick_params(labelbottom=False)
    _label_frames(bottom_axes, data)
    return figure


def rows_shown(data: Timeline) -> list[int]:
    """Rows of targets that are ever active or annotated."""
    truth = data.annotated
    return [
        i
        for i, row in enumerate(data.clusters)
        if any(letter is not None for letter in row) or (truth is not None and truth[i].any())
    ]


def runs(letters: Sequence[str | None]) -> Iterator[tuple[int, int, str]]:
    """Maximal runs of one letter as (start, length, letter); inactive positions belong to none."""
    start = 0
    for at in range(1, len(letters) + 1):
        if at == len(letters) or letters[at] != letters[start]:
            letter = letters[start]
            if letter is not None:
                yield start, at - start, letter
            start = at


def _draw_rows(axes: Axes, data: Timeline, rows: Sequence[int], palette: Palette, cell: float) -> None:
    """Bars of runs; `cell` is the width of one frame in inches."""
    n = len(data.frames)
    # Where there is ground truth, its line needs room inside the row, or it would seem to belong to the next one.
    height = 0.8 if data.annotated is None else 0.7
    axes.set(xlim=(0, max(n, 1)), ylim=(max(len(rows), 1), 0))
    for y in range(max(len(rows), 1)):
        axes.axhspan(y, y + 1, facecolor=PALE if y % 2 == 0 else "white", edgecolor="none", zorder=0)
    boundaries = np.searchsorted(data.frames, np.asarray(data.stage_starts, dtype=np.int64))
    bars: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
    for y, index in enumerate(rows):
        for start, length, letter in runs(data.clusters[index]):
            bars.setdefault((data.targets[index], letter), []).append((y, start, length))
    for (target, letter), pieces in bars.items():
        style = palette.style(target, letter)
        for y in {piece[0] for piece in pieces}:
            spans = [(start, length) for row, start, length in pieces if row == y]
            # An edge as wide as the bar would hide the colour of bars that are narrower than a few pixels.
            edge = 0.5 if cell * min(length for _, length in spans) > 0.03 else 0.0
            axes.broken_barh(
                spans,
                (y + 0.1, height),
                facecolor=style.fill,
                edgecolor=style.edge if edge else "none",
                linewidth=edge,
                hatch=style.hatch or None,
                zorder=2,
            )
        for y, start, length in [(y, *_widest_part(start, length, boundaries)) for y, start, length in pieces]:
            if length * cell > 0.13 * max(len(letter), 1):
                axes.text(
                    start + length / 2,
                    y + 0.12 + height / 2,
                    letter or UNLETTERED,
                    ha="center",
                    va="center",
                    color=style.ink,
                    fontsize=TEXT,
                    weight="bold",
                    zorder=4,
                )
    if data.annotated is not None:
        for y, index in enumerate(rows):
            spans = [(start, length) for start, length, _ in runs(["" if on else None for on in data.annotated[index]])]
            axes.broken_barh(spans, (y + 0.86, 0.09), facecolor=INK, linewidth=0, zorder=4, gid="annotated")
    _hatch_missing(axes, data)
    _mark_stages(axes, data, cell)
    axes.set_yticks(np.arange(len(rows)) + 0.5)
    axes.set_yticklabels([_shortened(data.targets[i]) for i in rows], fontsize=TEXT, color=INK, parse_math=False)
    axes.tick_params(axis="both", length=0)
    if not rows:
        axes.text(
            0.5,
            0.5,
            "no target is ever active" if data.ok.any() else "no face was found in any frame",
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=TEXT,
            color=SOFT_INK,
            style="italic",
            zorder=5,
            bbox={"boxstyle": "square,pad=0.2", "facecolor": "white", "linewidth": 0},  # over the hatching
        )
    for spine in axes.spines.values():
        spine.set_color(RULE)


def _widest_part(start: int, length: int, boundaries: NDArray[np.int64]) -> tuple[int, int]:
    """The longest piece of a run between stage boundaries: where its letter is crossed by no line."""
    inside = boundaries[(boundaries > start) & (boundaries < start + length)]
    cuts = np.concatenate([[start], inside, [start + length]])
    widest = int(np.argmax(np.diff(cuts)))
    return int(cuts[widest]), int(cuts[widest + 1] - cuts[widest])


def _hatch_missing(axes: Axes, data: Timeline) -> None:
    missing = ["" if not ok else None for ok in data.ok]
    for start, length, _ in runs(missing):
        axes.axvspan(
            start,
            start + length,
            facecolor="#ffffff",
            edgecolor="#8b949e",
            hatch="//////",
            linewidth=0,
            zorder=3,
            gid="missing",
        )


def _mark_stages(axes: Axes, data: Timeline, cell: float) -> None:
    starts = np.searchsorted(data.frames, np.asarray(data.stage_starts, dtype=np.int64))
    ends = np.append(starts, len(data.frames))[1:]
    above = axes.get_xaxis_transform()
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), start=1):
        if number > 1:
            axes.axvline(
                start, color=INK, linewidth=0.7, alpha=0.65, linestyle=(0, (3, 2)), zorder=5, gid="stage-boundary"
            )
        if (end - start) * cell > 0.075 * len(str(number)) + 0.03:
            axes.text(
                (start + end) / 2,
                1.0,
                f"{number}\n",
                transform=above,
                ha="center",
                va="bottom",
                fontsize=SMALL,
                color=SOFT_INK,
                linespacing=0.35,
            )
    if len(starts):
        axes.text(
            -0.012,
            1.0,
            "stage\n",
            transform=axes.transAxes,
            ha="right",
            va="bottom",
            fontsize=SMALL,
            color=SOFT_INK,
            linespacing=0.35,
        )


def _draw_curves(axes: Axes, data: Timeline, rows: Sequence[int], palette: Palette) -> None:
    """One small curve per row, each from 0 at its lower edge to 1 at its upper edge."""
    assert data.probability is not None
    n = len(data.frames)
    x = np.arange(n) + 0.5
    axes.set_ylim(len(rows), 0)
    for y, index in enumerate(rows):
        style = palette.style(data.targets[index], "A")
        p = np.clip(np.where(data.ok, data.probability[index], np.nan), 0, 1)
        floor, curve = y + 0.94, y + 0.94 - 0.84 * p
        axes.fill_between(x, floor, curve, step="mid", color=style.fill, alpha=0.28, linewidth=0)
        axes.plot(x, curve, color=style.fill, linewidth=1.1, drawstyle="steps-mid")
        axes.axhline(floor, color=RULE, linewidth=0.5)
        if data.threshold is not None:
            axes.axhline(floor - 0.84 * data.threshold, color=SOFT_INK, linewidth=0.5, linestyle=(0, (2, 2)))
    axes.set_yticks(np.arange(len(rows)) + 0.55)
    axes.set_yticklabels([_shortened(data.targets[i]) for i in rows], fontsize=SMALL, color=SOFT_INK, parse_math=False)
    axes.tick_params(axis="both", length=0)
    threshold = "" if data.threshold is None else f", dashed: threshold {data.threshold:g}"
    axes.set_title(f"probability, 0 to 1{threshold}", fontsize=SMALL, color=SOFT_INK, loc="left", pad=3)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _label_frames(axes: Axes, data: Timeline) -> None:
    """Ticks at cell centres that name the frame, and its time where the rate is known."""
    frames, n = data.frames, len(data.frames)

    # Centiseconds where ticks lie close together, whole seconds where they are far apart.
    decimals = 2 if data.fps is not None and n and (frames[-1] - frames[0]) / data.fps < 12 else 0

    def name(position: float, _: int | None = None) -> str:
        at = round(position - 0.5)
        if not 0 <= at < n:
            return ""
        frame = int(frames[at])
        return f"{frame}" if data.fps is None else f"{frame}\n{frame / data.fps:.{decimals}f} s"

    if n <= 25 and (data.fps is None or n <= 12):
        axes.set_xticks(np.arange(n) + 0.5)
    else:
        ticks = MaxNLocator(nbins=12, integer=True).tick_values(0, n)
        axes.set_xticks([t + 0.5 for t in ticks if 0 <= t < n])
    axes.xaxis.set_major_formatter(FuncFormatter(name))
    axes.tick_params(axis="x", labelsize=SMALL, labelcolor=INK, length=2, color=RULE, labelbottom=True)
    steps = np.unique(np.diff(frames))
    sampled = f" (every {steps[0]}th frame was analysed)" if len(steps) == 1 and steps[0] > 1 else ""
    hatched = "; hatched: no usable face" if not data.ok.all() else ""
    annotated = "; black line: annotated" if data.annotated is not None else ""
    axes.set_xlabel(f"frame{sampled}{annotated}{hatched}", fontsize=SMALL, color=SOFT_INK)


def _shortened(text: str) -> str:
    return text if len(text) <= _NAME_CHARACTERS else text[: _NAME_CHARACTERS - 1] + "…"
