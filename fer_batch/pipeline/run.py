"""The whole job: list, explain what is new, find temporal prototypes, draw the report. Safe to kill and run again."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

from fer_batch.config import RunConfig
from fer_batch.output.run_record import RunRecord
from fer_batch.pipeline.analysis.plans import sweep_stage, unplanned
from fer_batch.pipeline.analysis.sums import SUMS
from fer_batch.pipeline.outcome import Outcome, count
from fer_batch.pipeline.partition.conservation import run_columns
from fer_batch.pipeline.partition.stage import PublishedStages
from fer_batch.pipeline.phases import REPORT, Job, explain, publish_prototypes, publish_stages
from fer_batch.pipeline.plan import announce, check_method, check_relevance, make_plan, say_plan, stale_shards
from fer_batch.pipeline.progress import say
from fer_batch.pipeline.stages import STAGES
from fer_batch.storage.store import Store


def run(config: RunConfig, dry_run: bool = False) -> Outcome:
    """Run a job to its end.

    Raises
    ------
    InputError
        If the job cannot be done as asked; nothing was lost and nothing needs cleaning up.
    """
    store = Store(config.output)
    plan = make_plan(config, store)
    if dry_run:
        say_plan(config, plan)
        outcome, has_work = Outcome.of(plan), bool(plan.units)
        del plan
        gc.collect()  # PyTorch takes twice the memory that the listing of a large collection does; not both at once
        check_method(config, has_work)
        return outcome
    store.check_writable()
    return _run(Job(config, store, plan))


def _run(job: Job) -> Outcome:
    config, store, plan = job.config, job.store, job.plan
    _sweep(job)
    outcome = Outcome.of(plan)
    stale = stale_shards(plan.ledger, plan.partition, config)
    if not (plan.units or stale or _waits_for_tables(job)):
        count(outcome, store, plan)
        outcome.report = job.report_page()
        say(f"nothing to do: {outcome.found} of {outcome.found} inputs are done already in {config.output}")
        return outcome
    check_relevance(config, stale, plan.ledger)
    check_method(config, bool(plan.units))
    record = RunRecord(
        store, plan.partition, config, model_digest=plan.model.digest, weights_license=plan.model.licence or None
    )
    record.write(None)
    announce(config, plan)
    with _engine(job) as n_cpus:
        _run_phases(job, record, outcome, n_cpus)
    record.write(outcome.counts())
    return outcome


def _sweep(job: Job) -> None:
    """Remove what a killed run left."""
    sweep_stage(job.plan.ledger)
    for folder in ("tables", SUMS):
        job.store.sweep_temporary(folder)


def _waits_for_tables(job: Job) -> bool:
    """Whether a unit waits for its shard, or a stage over the partition for being published again."""
    plan = job.plan
    published = PublishedStages(job.store, plan.partition, plan.ledger.shards)
    return bool(unplanned(plan.ledger, plan.partition, plan.listed) or published.waiting(STAGES, job.config))


def _run_phases(job: Job, record: RunRecord, outcome: Outcome, n_cpus: int) -> None:
    config, store, plan = job.config, job.store, job.plan
    if job.explains:
        plan.ledger.withdraw(plan.returned)
        outcome.n_changed = explain(job, record.run_id, n_cpus)
    if "prototypes" in config.phases:
        publish_prototypes(job, n_cpus)
        publish_stages("prototypes", job, config.resources.scheduler, n_cpus)
    count(outcome, store, plan)
    record.known |= run_columns(store, plan.partition, config)
    if outcome.n_faceless:
        say(f"{outcome.n_faceless} of the {outcome.done} inputs that are done show no face that can be used")
    if outcome.n_outside:
        say(f"{outcome.n_outside} of the {outcome.done} inputs that are done have no frame in the sampling window")
    if REPORT in config.phases:
        record.write(outcome.counts())  # pages say what the run did
        publish_stages(REPORT, job, "ray" if job.needs_ray else None, n_cpus)
        outcome.report = job.report_page()


@contextmanager
def _engine(job: Job) -> Iterator[int]:
    """Ray where a phase needs it; gives the number of CPUs."""
    resources = job.config.resources
    n_cpus = resources.num_cpus or os.cpu_count() or 1
    if not job.needs_ray:
        yield n_cpus
        return
    from fer_batch.pipeline.engine import ray_engine

    with ray_engine(n_cpus, resources.object_store_mb) as ray:
        yield max(1, int(ray.cluster_resources().get("CPU", 1)))
