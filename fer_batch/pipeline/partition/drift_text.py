"""What changed from night to night, as lines for a person and values for a program."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from fer_batch.evaluate.control_chart import MIN_NIGHTS
from fer_batch.pipeline.partition.drift import ELSEWHERE, FALSE_ALARMS, Alarm, Drift, NewThing, number
from fer_batch.pipeline.partition.night_series import Night

SHOWN = 20


def night_name(night: Night) -> str:
    """A night as pages and lines call it: when it started, else its run."""
    return night.run_id if night.started_at is None else f"{night.started_at:%Y-%m-%d %H:%M}"


def alarm_sentence(alarm: Alarm) -> str:
    """What is out in a night, with its value and the limits it left."""
    k, chart, own = alarm.night, alarm.charted.chart, alarm.charted.series.nights[alarm.night]
    fell = chart.side[k] < 0
    verb = "fell" if fell else "rose"
    if (own.value < chart.lower[k]) if fell else (own.value > chart.upper[k]):
        limit = f"limit {chart.lower[k] if fell else chart.upper[k]:.3g}"
        said = f"{alarm.charted.name} {verb} to {own.value:.3g} (before {chart.centre:.3g}; {limit})"
    else:
        average, edge = chart.smoothed[k], (chart.smoothed_lower if fell else chart.smoothed_upper)[k]
        moved = f"its moving average {verb} to {average:.3g} (before {chart.centre:.3g}; limit {edge:.3g})"
        said = f"{alarm.charted.name} is {own.value:.3g}; {moved}"
    return f"{said}, while the network stays as right or as sure as before" if alarm.kind == ELSEWHERE else said


def rule_sentence(found: Drift) -> str:
    """How a night is judged, and how often that is wrong."""
    n = int(found.reference.sum())
    if not found.n_charts:
        return f"limits need {MIN_NIGHTS} nights with a figure in the reference window, which has {n}"
    return (
        f"{n} nights in the reference window, {found.n_charts} figures with limits; by chance {FALSE_ALARMS:.0%} of "
        "the nights in which nothing changed show an alarm of any"
    )


def drift_text(found: Drift, out: str, page: str | None) -> str:
    """Lines on a partition: its latest night, with what looks elsewhere first.

    Parameters
    ----------
    found
        What changed.
    out
        The output, as the user calls it.
    page
        Where the page is.
    """
    where = found.partition
    lines = [f"dataset={where.dataset} model={where.model} explain={where.explain}"]
    if not found.nights:
        return f"{lines[0]}\n  no night: it has no inputs"
    night = found.nights[-1]
    failed = sum(one.n for one in found.failures if one.night == len(found.nights) - 1)
    lines.append(
        f"  night {len(found.nights)} of {len(found.nights)}, {night_name(night)}: {night.n_inputs} inputs, "
        f"{night.n_frames} frames, {failed} failed or partial; {rule_sentence(found)}"
    )
    alarms = found.latest
    lines += [
        f"  {'LOOKS ELSEWHERE' if a.kind == ELSEWHERE else 'changed'} {alarm_sentence(a)}" for a in alarms[:SHOWN]
    ]
    if len(alarms) > SHOWN:
        lines.append(f"  ... and {len(alarms) - SHOWN} more: fer-batch query {shlex.quote(out)} drift")
    if not alarms and found.n_charts:
        lines.append("  nothing left its limits")
    lines += _news(found)
    if page:
        lines.append(f"  page {page}")
    return "\n".join(lines)


def _news(found: Drift) -> Iterator[str]:
    last = len(found.nights) - 1
    for one in found.failures:
        if one.night == last:
            yield f"  {one.status} {one.n}: {one.reason}, such as {one.example}"
    for what, things in (("look", found.new_looks), ("temporal prototype", found.new_prototypes)):
        new = [thing for thing in things if thing.night == last]
        if new:
            named = "; ".join(f"{thing.name} ({thing.n})" for thing in new[:3])
            yield f"  {len(new)} {what}{'s' if len(new) > 1 else ''} never seen before: {named}"


def drift_json(found: Drift, page: str | None) -> dict[str, object]:
    """The same for a program: alarms of all nights, and the latest night by itself."""
    where, last = found.partition, len(found.nights) - 1
    return {
        **where.key,
        "nights": [
            {"run_id": night.run_id, "started_at": night.started_at and night.started_at.isoformat(),
             "reference": bool(is_in), "inputs": night.n_inputs, "frames": night.n_frames}
            for night, is_in in zip(found.nights, found.reference, strict=True)
        ],
        "figures": len(found.charted),
        "figures_with_limits": found.n_charts,
        "false_alarms": FALSE_ALARMS,
        "alarms": [_alarm(found, alarm) for alarm in found.alarms],
        "latest": [_alarm(found, alarm) for alarm in found.latest],
        "failures": [
            {"status": one.status, "reason": one.reason, "n": one.n, "example": one.example}
            for one in found.failures
            if one.night == last
        ],
        "new_looks": _named(found.new_looks, last),
        "new_prototypes": _named(found.new_prototypes, last),
        "page": page,
    }  # fmt: skip


def _alarm(found: Drift, alarm: Alarm) -> dict[str, object]:
    series, own = alarm.charted.series, alarm.charted.series.nights[alarm.night]
    return {
        "run_id": found.nights[alarm.night].run_id,
        "alarm": alarm.kind,
        "figure": series.kind.name,
        "target": series.target,
        "look": series.look,
        "value": number(own.value),
        "centre": number(alarm.charted.chart.centre),
        "side": "below" if alarm.charted.chart.side[alarm.night] < 0 else "above",
    }


def _named(things: Sequence[NewThing], night: int) -> list[dict[str, object]]:
    return [{"name": thing.name, "n": thing.n} for thing in things if thing.night == night]
