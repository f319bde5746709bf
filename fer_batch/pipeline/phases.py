"""The phases of a run: explain what is new on Ray, analyse it by shards on Dask, publish what is over the partition."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fer_batch import __version__
from fer_batch.config import RunConfig
from fer_batch.pipeline.analysis.claims import drop_claimed_twice, settle_claims
from fer_batch.pipeline.analysis.key import analysis_key
from fer_batch.pipeline.analysis.plans import (
    drop_replaced,
    plan_shards,
    unplanned,
    without_replaced,
)
from fer_batch.pipeline.analysis.sequence_tables import AnalysisOptions
from fer_batch.pipeline.devices import actors_of, offered, said_of, wait_for_gpus
from fer_batch.pipeline.explaining.units import explain_key, joint_units
from fer_batch.pipeline.partition.stage import PublishedStages, StageWork
from fer_batch.pipeline.plan import Plan, stale_shards, waiting_inputs
from fer_batch.pipeline.progress import progress, say
from fer_batch.pipeline.stages import STAGES
from fer_batch.storage.manifest import Ledger
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMA_VERSION

if TYPE_CHECKING:
    from fer_batch.pipeline.analysis.shard import ShardOptions
    from fer_batch.pipeline.explaining.chunk import ExplainOptions
    from fer_batch.pipeline.explaining.faces import DecodeOptions

REPORT = "report"


@dataclass(frozen=True)
class Job:
    """What every phase of a run stands on, for one explanation.

    Attributes
    ----------
    config, store, plan
    place
        Of the explanation among those of the job.
    name
        What an error calls it; empty where it is the only one.
    """

    config: RunConfig
    store: Store
    plan: Plan
    place: int = 0
    name: str = ""

    @property
    def explains(self) -> bool:
        """Whether phase 1 has anything to do."""
        return "explain" in self.config.phases and bool(self.plan.units)

    @property
    def needs_ray(self) -> bool:
        """Whether a phase runs on Ray."""
        scheduled = "prototypes" in self.config.phases and self.config.resources.scheduler == "ray"
        return self.explains or scheduled

    @property
    def metadata(self) -> dict[str, object]:
        """Of the files of tables."""
        return {
            "fer_batch_version": __version__,
            "schema_version": str(SCHEMA_VERSION),
            "model_digest": self.plan.model.digest,
            "decoder": f"PyAV {importlib.metadata.version('av')}",
            "seed": str(self.config.spray.seed),
            "head": self.plan.model.head,
            "explain_key": explain_key(self.config, self.plan.model),
        }

    def report_page(self) -> str | None:
        """URL of the report, where the job asks for one and it is there."""
        where = self.plan.partition
        page = f"{REPORT}/{where.dataset}/{where.model}/{where.explain}/index.html"
        return self.store.url(page) if REPORT in self.config.phases and self.store.exists(page) else None


def explain(jobs: Sequence[Job], run_ids: Sequence[str], n_cpus: int) -> list[str]:
    """Phase 1: explain what is new, into stage files; every input is decoded and predicted once.

    Parameters
    ----------
    jobs
        The run for each of its explanations that lack an input.
    run_ids
        Of their records.
    n_cpus
        Threads of an explaining actor on CPUs.

    Returns
    -------
    list of str
        Inputs that changed while they were read; they have no new rows.

    Raises
    ------
    ExplanationRefused
        If a method cannot do what the job asks; it says which.
    InputError
        If the job asks for more GPUs than there are.
    """
    from fer_batch.pipeline.explaining.dataset import dataset_of
    from fer_batch.pipeline.explaining.sink import SinkOptions
    from fer_batch.pipeline.explaining.stream import Bookkeeping, JointBookkeeping, explain_units

    store, config, plans = jobs[0].store, jobs[0].config, [job.plan for job in jobs]
    resources, offer = config.resources, offered()
    fewest = resources.actors[0] if isinstance(resources.actors, tuple) else resources.actors or 1
    num_gpus = offer.gpus_each(resources.device, resources.num_gpus, fewest)
    actors = actors_of(resources.actors, num_gpus, offer)
    if num_gpus or actors != (1, 1):
        say(said_of(actors, num_gpus))
    wait_for_gpus(num_gpus, offer)
    units, each_own = joint_units(plans[0].refs, [plan.units for plan in plans])
    decode, options = decode_options(jobs), [explain_options(job, n_cpus) for job in jobs]
    sink = SinkOptions(store.uri, config.faces.store == "jpeg", tuple(job.metadata for job in jobs))
    each = zip(plans, run_ids, each_own, strict=True)
    names = [(job.place, job.name) for job in jobs]
    books = JointBookkeeping([Bookkeeping(store, plan.partition, run_id, mine) for plan, run_id, mine in each], names)
    with progress("explain", len(waiting_inputs(plans)), "input") as advance:
        explain_units(
            units,
            books,
            lambda own: dataset_of(own, decode, options, sink, actors, num_gpus, offer.cpus),
            resources.window,
            advance,
        )
    return books.changed


def decode_options(jobs: Sequence[Job]) -> DecodeOptions:
    """How the inputs of a run are decoded for all of its explanations."""
    from fer_batch.pipeline.explaining.faces import DecodeOptions

    config = jobs[0].config
    return DecodeOptions.of(
        config.faces,
        config.source,
        config.resources,
        size=config.faces.size or jobs[0].plan.model.preprocessing.size,
        media=config.media,
        annotated=any(job.config.explain.targets == "annotated" for job in jobs),
        labels=config.labels,
    )


def explain_options(job: Job, n_threads: int) -> ExplainOptions:
    """What an explaining actor with so many threads needs to know of an explanation."""
    from fer_batch.pipeline.explaining.chunk import ExplainOptions

    explain = job.config.explain
    return ExplainOptions(
        model=job.plan.model,
        method=explain.method,
        options=dict(explain.options),
        targets=explain.targets,
        batch_size=explain.batch_size,
        n_threads=n_threads,
    )


def publish_prototypes(job: Job, n_cpus: int) -> None:
    """Phase 2: plan shards of what is committed, and publish those that are not current."""
    from fer_batch.pipeline.analysis.shard import publish_shards

    config, store, plan = job.config, job.store, job.plan
    ledger = Ledger(store)
    settle_claims(ledger, plan.partition.dataset)
    pending = stale_shards(ledger, plan.partition, config)
    commits = unplanned(ledger, plan.partition, plan.listed)
    pending += plan_shards(ledger, plan.partition, commits, config.resources.shard_units)
    plans = without_replaced(ledger, [ledger.plans[name] for name in pending])
    drop_replaced(store, plan.partition, plans)
    with progress("prototypes", sum(len(p.sequences) for p in plans), "sequence") as advance:
        publish_shards(plans, shard_options(job), config.resources.scheduler, n_cpus, advance)
    drop_claimed_twice(store, ledger, plans)


def shard_options(job: Job) -> ShardOptions:
    """What a task of phase 2 needs to know of a job."""
    from fer_batch.pipeline.analysis.shard import ShardOptions

    return ShardOptions(
        output=job.store.uri,
        partition=job.plan.partition,
        analysis=_analysis_options(job),
        keep_relevance=job.config.keep_relevance,
        metadata=job.metadata,
    )


def _analysis_options(job: Job) -> AnalysisOptions:
    config, model = job.config, job.plan.model
    return AnalysisOptions(
        targets=model.targets,
        head=model.head,
        threshold=model.threshold,
        spray=config.spray.model_dump(exclude={"max_frames", "align"}),
        align=config.spray.align,
        max_frames=config.spray.max_frames,
        regions=config.regions,
        crop_size=config.faces.size or model.preprocessing.size,
        analysis_id=analysis_key(config),
        min_run=config.temporal_prototypes.min_run,
    )


def publish_stages(phase: str, job: Job, scheduler: str | None, n_cpus: int) -> None:
    """Publish the stages of a phase that are not current.

    Parameters
    ----------
    phase
        Of the job.
    job
        The run.
    scheduler
        Of Dask tasks; None for stages that work in this process.
    n_cpus
        Tasks at a time.
    """
    from fer_batch.pipeline.analysis.shard import compute_with

    published = PublishedStages(job.store, job.plan.partition)
    work = StageWork(
        store=job.store,
        partition=job.plan.partition,
        config=job.config,
        shards=tuple(published.shards),
        targets=job.plan.model.targets,
        metadata={} if phase == REPORT else job.metadata,
        n_inputs=len(job.plan.refs),
        compute=compute_with(scheduler, n_cpus) if scheduler else None,
        head=job.plan.model.head,
        threshold=job.plan.model.threshold,
    )
    for stage in published.waiting(STAGES, job.config):
        if stage.phase == phase:
            stage.publish(work)
            published.mark(stage, stage.key(job.config))
