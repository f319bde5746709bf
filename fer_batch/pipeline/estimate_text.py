"""An estimate for a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fer_batch.pipeline.estimate import Estimate
from fer_batch.pipeline.ranges import Range
from fer_batch.storage.heartbeat import span_text

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def estimate_lines(found: Estimate) -> Iterator[str]:
    """The lines of an estimate: each figure with the range in which it is expected."""
    where = "CPU" if found.device == "cpu" else found.device
    inputs = f"{found.n_tried} inputs, {found.n_frames_tried} frames of them"
    how = f"taken through the whole job in this process in {found.seconds:.0f} s, network on {where}"
    yield f"estimate from {inputs}, {how}:"
    yield f"  frames      {_text(found.frames, _count)}"
    yield f"  explain     {_text(found.explain_hours, _hours)} on {_cpus(found.n_cpus)}{_parts(found)}"
    if not found.maps_hours.value:
        yield "  none of the tried frames was explained: what explanations take is not in these figures"
    yield f"  prototypes  {_text(found.prototypes_hours, _hours)}"
    yield f"  report      {_text(found.report_hours, _hours)}"
    while_it_runs = f"while it runs up to {bytes_text(found.stage_bytes.high)} more"
    yield f"  storage     {_text(found.bytes, bytes_text)}; {while_it_runs}"
    yield f"  objects     {_text(found.objects, _count)}"
    if found.cost is not None:
        yield f"  cost        {_text(found.cost, _money)}, of nodes that are busy all the time"


def _parts(found: Estimate) -> str:
    parts = {"decode": found.decode_cpu_hours, "network": found.network_hours, "maps": found.maps_hours}
    return " (" + ", ".join(f"{name} {_hours(one.value)}" for name, one in parts.items()) + ")"


def _cpus(n: int) -> str:
    return "1 CPU" if n == 1 else f"{n} CPUs"


def _text(of: Range, shown: Callable[[float], str]) -> str:
    value, low, high = shown(of.value), shown(of.low), shown(of.high)
    return value if low == high else f"{value} ({low} to {high})"


def _count(n: float) -> str:
    return f"{n:,.0f}" if n < 10_000 else f"{float(f'{n:.3g}'):,.0f}"


def _hours(hours: float) -> str:
    return span_text(hours * 3600)


def _money(amount: float) -> str:
    return f"{amount:.2f}" if amount < 100 else f"{float(f'{amount:.3g}'):,.0f}"


def bytes_text(n: float) -> str:
    """Bytes for a person: `3.1 GB`, in powers of 1000."""
    power = 0
    while n >= 999.5 and power < len(_UNITS) - 1:
        n, power = n / 1000, power + 1
    return f"{n:.3g} {_UNITS[power]}"
