"""Which inputs a dry run tries, and how many frames all of them have. Never imports torch."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from fer_batch.media.sampling import Sampling
from fer_batch.pipeline.explaining.faces import DecodeOptions
from fer_batch.pipeline.explaining.inputs import decoder_of
from fer_batch.pipeline.explaining.units import PACK_SIZE
from fer_batch.pipeline.plan import Plan
from fer_batch.pipeline.scaling import Waiting
from fer_batch.sources.fetch import local_file
from fer_batch.types import EnvironmentFault, MediaError, SequenceRef

HANDFUL = 8  # stills
LOOK_S = 2.0  # for the headers of clips that are not tried
LOOKED_AT = 200  # clips at most
REACH = 600  # frames of a clip that are decoded at most to try it
T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """One clip, or a few stills, to be tried.

    Attributes
    ----------
    members
        Its inputs.
    n_declared, fps
        Frames of a clip before sampling, and a second; None where nothing says so.
    """

    members: tuple[SequenceRef, ...]
    n_declared: int | None = None
    fps: float | None = None


def first_frames(sampling: Sampling, n: int, group: Group) -> Sampling:
    """The first frames that a sampling keeps, as dear to reach as they are in the whole clip.

    Parameters
    ----------
    sampling
        Of the job.
    n
        Frames to keep.
    group
        The clip.
    """
    if sampling.slots is None or sampling.per_slot is None:
        return replace(sampling, max_frames=min(n, sampling.max_frames or n))
    return Sampling(stride=max(1, (group.n_declared or 1) // (sampling.slots * sampling.per_slot)), max_frames=n)


def spread_frames(sampling: Sampling, n: int, group: Group) -> Sampling:
    """Frames over the whole clip, or over the beginning of a long one: a face is often neutral in the first.

    Parameters
    ----------
    sampling
        Of the job.
    n
        Frames to keep.
    group
        The clip.
    """
    declared = group.n_declared or n
    kept = max(1, sampling.n_kept(declared, group.fps))
    step = max(1, int(kept * min(1.0, REACH / declared)) // n)
    if sampling.fps is not None:
        return replace(sampling, fps=sampling.fps / step, max_frames=n)
    if sampling.slots is not None:
        return Sampling(stride=max(1, min(declared, REACH) // n), max_frames=n)
    return replace(sampling, stride=sampling.stride * step, max_frames=n)


def trial_inputs(
    plans: Sequence[Plan], options: DecodeOptions, shard_units: int, n_groups: int
) -> tuple[Waiting, list[Group]]:
    """What a run has to read, and some of it, evenly over the sizes of the inputs.

    Parameters
    ----------
    plans
        Of each explanation.
    options
        How inputs are decoded.
    shard_units
        Of the job.
    n_groups
        How many clips, or handfuls of stills.

    Returns
    -------
    waiting
        Of all inputs.
    groups
        To try; none where nothing can be read.
    """
    found = {ref.sequence_id: ref for plan in plans for unit in plan.units for ref in unit.members}
    refs = sorted(
        (ref for ref in found.values() if _is_read(ref)), key=lambda ref: (ref.kind, ref.size, ref.sequence_id)
    )
    frames = {k: float(n) for k, ref in enumerate(refs) if (n := _listed(ref, options.sampling)) is not None}
    groups = _groups(refs, n_groups)
    declared: dict[str, tuple[int, float | None]] = {}
    clips = [k for k in range(len(refs)) if k not in frames]
    first = {ref.sequence_id for group in groups for ref in group}
    began = time.monotonic()
    for k in _in_turn([k for k in clips if refs[k].sequence_id in first], clips):
        if refs[k].sequence_id not in first and time.monotonic() - began > LOOK_S:
            break
        n, fps = declared_frames(refs[k], options)
        if n is not None:
            declared[refs[k].sequence_id] = n, fps
            frames[k] = float(options.sampling.n_kept(n, fps))
    waiting = Waiting(
        sizes=np.array([ref.size for ref in refs], np.float64),
        frames=np.array([frames.get(k, np.nan) for k in range(len(refs))], np.float64),
        n_units=_n_units(found.values()),
        n_shards=-(-_n_units(found.values()) // shard_units),
        share=sum(plan.to_do for plan in plans) / max(len(found) * len(plans), 1),
    )
    return waiting, [Group(members, *declared.get(members[0].sequence_id, ())) for members in groups]


def _is_read(ref: SequenceRef) -> bool:
    return not (ref.skip_reason or ref.refusal) and ref.size > 0


def _n_units(refs: Collection[SequenceRef]) -> int:
    n_stills = sum(ref.kind == "still" for ref in refs)
    return len(refs) - n_stills + -(-n_stills // PACK_SIZE)


def _listed(ref: SequenceRef, sampling: Sampling) -> int | None:
    """Frames of an input of which the listing says how many it has; None of a clip."""
    if ref.crops:
        return len(ref.crops)
    if ref.kind == "image_sequence":
        return sampling.n_kept(len(ref.files), None)
    return 1 if ref.kind == "still" else None


def _groups(refs: Sequence[SequenceRef], n: int) -> list[tuple[SequenceRef, ...]]:
    """Clips, or handfuls of stills, evenly spaced in the order of the inputs."""
    stills = spaced([ref for ref in refs if ref.kind == "still"], n * HANDFUL)
    m = min(n, len(stills))
    clips = spaced([ref for ref in refs if ref.kind != "still"], n)
    return [*((ref,) for ref in clips), *(tuple(stills[k::m]) for k in range(m))]


def spaced(values: Sequence[T], n: int) -> list[T]:
    """At most `n` of some values, evenly spaced and away from the ends."""
    n = min(n, len(values))
    return [values[(2 * k + 1) * len(values) // (2 * n)] for k in range(n)]


def _in_turn(first: Sequence[int], all_of_them: Sequence[int]) -> list[int]:
    """Those that are tried, then others evenly over the rest."""
    others = sorted(set(all_of_them) - set(first))
    return [*first, *spaced(others, LOOKED_AT)]


def declared_frames(ref: SequenceRef, options: DecodeOptions) -> tuple[int | None, float | None]:
    """Frames that the file of a clip promises, and frames a second; None where it does not say or cannot be read.

    Matroska, MPEG-TS, WMV and FLV say how long they are and not how many frames they have: then it is that times their
    rate.

    Parameters
    ----------
    ref
        A clip.
    options
        How inputs are decoded.
    """
    decoder = decoder_of(options.timeout_s, options.memory_bytes)
    try:
        with local_file(ref.uri, ref.size) as path:
            list(decoder.frames(path, Sampling(max_frames=1)))
    except (MediaError, EnvironmentFault):
        return None, None
    known = decoder.summary
    if known.n_declared is None and known.duration_s and known.fps:
        return max(1, round(known.duration_s * known.fps)), known.fps
    return known.n_declared, known.fps
