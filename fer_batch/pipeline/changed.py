"""Phase 1 until the inputs hold still: one that is replaced while it is read is read again as what it is then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fer_batch.pipeline.outcome import Outcome
from fer_batch.pipeline.phases import Job, explain
from fer_batch.pipeline.plan import replan
from fer_batch.pipeline.progress import say
from fer_batch.sources.listing import list_source
from fer_batch.types import InputError, SequenceRef

AGAIN = 2  # times that a run reads inputs again; what still changes then is being written, and waits for the next run


def explain_settled(
    jobs: Sequence[Job], busy: Sequence[Job], explaining: Mapping[str, Job], outcome: Outcome, n_cpus: int
) -> tuple[list[Job], list[Job]]:
    """Explain what is new, and again what changed in the meantime.

    Parameters
    ----------
    jobs, busy
        All explanations of the run, and those with work.
    explaining
        Those whose inputs are to be explained, by the id of their run.
    outcome
        Of the run; gets the number of inputs that never held still.
    n_cpus
        Threads of an explaining actor on CPUs.

    Returns
    -------
    jobs, busy
        With plans of the inputs as they were explained.
    """
    now = {id(job): job for job in jobs}
    for attempt in range(AGAIN + 1):
        waiting = {run_id: now[id(job)] for run_id, job in explaining.items() if now[id(job)].explains}
        if not waiting:
            outcome.n_changed = 0
            break
        changed = explain(list(waiting.values()), list(waiting), n_cpus)
        outcome.n_changed = len(changed)
        inputs = "1 input" if len(changed) == 1 else f"{len(changed)} inputs"
        what = f"{inputs} changed while being read, such as {changed[0]}" if changed else ""
        if not changed or attempt == AGAIN:
            if changed:
                say(f"{what}, again and again; run the job again when nobody writes to them")
            break
        try:
            fresh = _listed(jobs[0], set(changed))
        except InputError as error:
            say(f"{what}, and the source cannot be listed now: {error}")
            break
        say(f"{what}; reading them again")
        for job in explaining.values():
            own = now[id(job)]
            now[id(job)] = replace(own, plan=replan(own.config, own.plan, own.store, fresh))
    return [now[id(job)] for job in jobs], [now[id(job)] for job in busy]


def _listed(job: Job, names: set[str]) -> Mapping[str, SequenceRef]:
    source = job.config.source
    listed = list_source(source.format, source.uri, source.pattern, source.keywords)
    return {ref.sequence_id: ref for ref in listed if ref.sequence_id in names}
