"""The whole job: list, explain what is new, find temporal prototypes, draw the report. Safe to kill and run again."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fer_batch.config import RunConfig
from fer_batch.output.explain_cost import explain_cost
from fer_batch.output.run_record import RunRecord, timed
from fer_batch.output.verify import check_present
from fer_batch.pipeline.analysis.plans import sweep_stage, unplanned
from fer_batch.pipeline.analysis.pruning import begun_pruning
from fer_batch.pipeline.analysis.sums import SUMS
from fer_batch.pipeline.changed import explain_settled
from fer_batch.pipeline.devices import offered
from fer_batch.pipeline.failures import failure_sentence
from fer_batch.pipeline.outcome import Outcome, count
from fer_batch.pipeline.partition.conservation import run_columns
from fer_batch.pipeline.partition.stage import PublishedStages
from fer_batch.pipeline.phases import REPORT, Job, publish_prototypes, publish_stages
from fer_batch.pipeline.plan import check_methods, check_relevance, make_plans, name_of, stale_shards
from fer_batch.pipeline.plan_text import announce, say_plan
from fer_batch.pipeline.progress import say, work_now
from fer_batch.pipeline.prune import end_begun, refuse_beside_prune
from fer_batch.pipeline.stages import STAGES
from fer_batch.pipeline.trial import chosen_trial, try_out
from fer_batch.storage.heartbeat import beating
from fer_batch.storage.manifest import Ledger, pack_markers
from fer_batch.storage.store import Store


def run(config: RunConfig, dry_run: bool = False) -> Outcome:
    """Run a job with one explanation to its end.

    Raises
    ------
    InputError
        As `run_all`.
    """
    return run_all((config,), dry_run)


def run_all(configs: Sequence[RunConfig], dry_run: bool = False) -> Outcome:
    """Run a job with several explanations to its end; every input is decoded and predicted once.

    Each explanation fills its own partition, with the rows that it would have if it were run alone. It may be called
    again and again in one process, and within `engine.ray_engine`, whose Ray it then uses.

    Parameters
    ----------
    configs
        The job with each of its explanations; they differ in section `explain` alone.
    dry_run
        Print what would be done and what it would take, and do nothing.

    Raises
    ------
    ValueError
        If there is no explanation, or the jobs differ in another section.
    ExplanationRefused
        If an explanation cannot be made; it says which. What the others have is kept.
    InputError
        If the job cannot be done as asked; nothing was lost and nothing needs cleaning up.
    """
    _check_alike(configs)
    store = Store(configs[0].output)
    refuse_beside_prune(store)
    plans = make_plans(configs, store)
    if not dry_run and begun_pruning(plans[0].ledger):
        end_begun(store)
        plans = make_plans(configs, store)
    check_present(store, plans[0].ledger, [plan.partition for plan in plans])
    if dry_run:
        say_plan(configs[0], plans)
        outcome, has_work = Outcome.of(plans), [bool(plan.units) for plan in plans]
        trial = chosen_trial(configs, store, plans)
        del plans
        gc.collect()  # PyTorch takes twice the memory that the listing of a large collection does; not both at once
        check_methods(configs, has_work)
        outcome.estimate = try_out(trial) if trial else None
        return outcome
    store.check_writable()
    each = enumerate(zip(configs, plans, strict=True))
    return _run([Job(config, store, plan, k, name_of(configs, k)) for k, (config, plan) in each])


def _check_alike(configs: Sequence[RunConfig]) -> None:
    if not configs:
        raise ValueError("a run needs at least one explanation")
    for k, config in enumerate(configs):
        other = [name for name, value in config if name != "explain" and value != getattr(configs[0], name)]
        if other:
            raise ValueError(f"explanations of one run share all other sections; job {k} differs in {', '.join(other)}")


def _run(jobs: Sequence[Job]) -> Outcome:
    first, plans = jobs[0], [job.plan for job in jobs]
    config, store, ledger = first.config, first.store, first.plan.ledger
    _sweep(store, ledger)
    outcome = Outcome.of(plans)
    stale = [stale_shards(ledger, plan.partition, config) for plan in plans]
    busy = [job for job, own in zip(jobs, stale, strict=True) if job.plan.units or own or _waits_for_tables(job)]
    if not busy:
        count(outcome, store, plans, ledger)
        outcome.reports = _report_pages(jobs)
        say(f"nothing to do: {outcome.found} of {outcome.found} inputs are done already in {config.output}")
        return outcome
    for own in stale:
        check_relevance(config, own, ledger)
    check_methods([job.config for job in jobs], [bool(plan.units) for plan in plans])
    records = [_record(job) for job in busy]
    announce(config, plans)
    run_ids = [record.run_id for record in records]
    with beating(store, run_ids, work_now, failure_sentence), _engine(busy) as n_cpus:
        refuse_beside_prune(store)
        _run_phases(jobs, busy, records, outcome, n_cpus)
    return outcome


def _record(job: Job) -> RunRecord:
    """The row of table `runs` of an explanation, written without an end."""
    model = job.plan.model
    licence = model.licence or None
    record = RunRecord(job.store, job.plan.partition, job.config, model_digest=model.digest, weights_license=licence)
    record.write(None)
    return record


def _sweep(store: Store, ledger: Ledger) -> None:
    """Remove what a killed run left, and pack its markers."""
    sweep_stage(ledger)
    pack_markers(store, ledger)
    for folder in ("tables", SUMS):
        store.sweep_temporary(folder)


def _report_pages(jobs: Sequence[Job]) -> list[str]:
    return [page for job in jobs if (page := job.report_page())]


def _waits_for_tables(job: Job) -> bool:
    """Whether a unit waits for its shard, or a stage over the partition for being published again."""
    plan = job.plan
    published = PublishedStages(job.store, plan.partition, plan.ledger.shards)
    return bool(unplanned(plan.ledger, plan.partition, plan.listed) or published.waiting(STAGES, job.config))


def _run_phases(
    jobs: Sequence[Job], busy: Sequence[Job], records: Sequence[RunRecord], outcome: Outcome, n_cpus: int
) -> None:
    phases, store = jobs[0].config.phases, jobs[0].store
    explaining = {record.run_id: job for job, record in zip(busy, records, strict=True) if job.explains}
    for job in explaining.values():
        job.plan.ledger.withdraw(job.plan.returned)
    if explaining:
        with timed([record for record in records if record.run_id in explaining], "explain"):
            jobs, busy = explain_settled(jobs, busy, explaining, outcome, n_cpus)
    for job, record in zip(busy, records, strict=True):
        if "prototypes" in phases:
            _say_name(job)
            with timed([record], "prototypes"):
                publish_prototypes(job, n_cpus)
                publish_stages("prototypes", job, job.config.resources.scheduler, n_cpus)
        record.known |= run_columns(store, job.plan.partition, job.config)
        record.count()
    own = count(outcome, store, [job.plan for job in jobs])
    _say_what_was_found(outcome, jobs)
    if REPORT in phases:
        for job, record in zip(busy, records, strict=True):
            _say_name(job)
            record.write(own[job.place].counts())  # pages say what the run did
            with timed([record], "report"):
                publish_stages(REPORT, job, "ray" if job.needs_ray else None, n_cpus)
        outcome.reports = _report_pages(jobs)
    for job, record in zip(busy, records, strict=True):
        record.write(own[job.place].counts())
    pack_markers(store)


def _say_name(job: Job) -> None:
    """Which of several explanations the following lines are about."""
    if job.name:
        say(f"explain={job.plan.partition.explain}")


def _say_what_was_found(outcome: Outcome, jobs: Sequence[Job]) -> None:
    if outcome.n_faceless:
        say(f"{outcome.n_faceless} of the {outcome.done} inputs that are done show no face that can be used")
    if outcome.n_outside:
        say(f"{outcome.n_outside} of the {outcome.done} inputs that are done have no frame in the sampling window")
    if len(jobs) == 1:
        return
    ledger = Ledger(jobs[0].store)
    for partition in outcome.partitions:
        cost = explain_cost(ledger, partition)
        if cost is not None and cost.seconds_per_image is not None:
            first = "" if cost.warm else ", the first call of its process, which is slower"
            images = cost.n_images or cost.n_first_images
            say(f"  explain={partition.explain}: {cost.seconds_per_image:.3g} s per image (of {images}{first})")


@contextmanager
def _engine(jobs: Sequence[Job]) -> Iterator[int]:
    """Ray where a phase needs it; gives the number of CPUs."""
    resources = jobs[0].config.resources
    n_cpus = resources.num_cpus or os.cpu_count() or 1
    if not any(job.needs_ray for job in jobs):
        yield n_cpus
        return
    from fer_batch.pipeline.engine import ray_engine

    with ray_engine(n_cpus, resources.object_store_mb):
        yield offered().cpus
