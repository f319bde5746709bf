"""The whole job: list, explain what is new, find temporal prototypes, draw the report. Safe to kill and run again."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import shlex
from dataclasses import dataclass, field
from typing import Any

from fer_batch import __version__
from fer_batch.config import CHOICES, RunConfig
from fer_batch.media.landmarks import check_detector
from fer_batch.media.sampling import Sampling
from fer_batch.models.card import ResolvedModel, resolve
from fer_batch.output.run_record import RunRecord
from fer_batch.pipeline.analysis.key import ANALYSIS, analysis_key
from fer_batch.pipeline.analysis.plans import (
    drop_replaced,
    plan_shards,
    superseded,
    sweep_stage,
    unplanned,
    without_replaced,
)
from fer_batch.pipeline.analysis.sequence import AnalysisOptions
from fer_batch.pipeline.analysis.sums import SUMS
from fer_batch.pipeline.explaining.units import (
    NO_FACE,
    NO_FRAME,
    Unit,
    count_inputs,
    explain_key,
    identity,
    partition_of,
    units_to_do,
)
from fer_batch.pipeline.partition.conservation import run_columns
from fer_batch.pipeline.partition.stage import PublishedStages, StageWork
from fer_batch.pipeline.progress import progress, say
from fer_batch.pipeline.stages import STAGES
from fer_batch.prototypes.stages import label_set
from fer_batch.registry import nearest
from fer_batch.sources.listing import list_source
from fer_batch.sources.manifest_table import unread_columns
from fer_batch.sources.tree import dataset_around
from fer_batch.storage.manifest import Ledger
from fer_batch.storage.markers import ShardMarker
from fer_batch.storage.parquet import Partition, read
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMA_VERSION
from fer_batch.types import STATUSES, InputError, SequenceRef, input_id

REPORT = "report"


@dataclass
class Outcome:
    """How a run ended.

    Attributes
    ----------
    found, done, partial, failed, skipped
        Inputs of the listing by their status: found = done + partial + failed + skipped.
    already_done
        Inputs that an earlier run had finished, of any status.
    failures, partials
        `(sequence_id, reason)` of failed and of partial inputs.
    n_changed
        Inputs that changed while they were read; they have no new rows, and the next run does them.
    n_faceless
        Inputs that are done and show no face.
    n_outside
        Inputs that are done and have no frame in the sampling window.
    report
        Path of the report page, where one was written.
    """

    found: int = 0
    done: int = 0
    partial: int = 0
    failed: int = 0
    skipped: int = 0
    already_done: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    partials: list[tuple[str, str]] = field(default_factory=list)
    n_changed: int = 0
    n_faceless: int = 0
    n_outside: int = 0
    partition: Partition | None = None
    report: str | None = None

    @property
    def exit_code(self) -> int:
        """0 where all is done, 3 where inputs failed, were read in part or changed while they were read."""
        return 3 if self.failed or self.partial or self.n_changed else 0

    def counts(self) -> dict[str, int]:
        """The counts as table `runs` has them."""
        return {name: getattr(self, name) for name in ("found", *STATUSES, "already_done")}


@dataclass(frozen=True)
class Plan:
    """What a run would do."""

    model: ResolvedModel
    partition: Partition
    refs: list[SequenceRef]
    units: list[Unit]
    listed: set[str]
    back: dict[str, set[str]]  # inputs that are again what a newer plan replaced, by unit
    ledger: Ledger

    @property
    def to_do(self) -> int:
        """Inputs that phase 1 has yet to do."""
        return count_inputs(self.units)


def make_plan(config: RunConfig, store: Store) -> Plan:
    """List the source and subtract what is committed.

    Raises
    ------
    InputError
        If source, model or detector are not what the job says.
    """
    model = resolve(config.model)
    partition = partition_of(config, model)
    source = config.source
    refs = list_source(source.format, source.uri, source.pattern, source.keywords)
    _say_dataset(config)
    _check_faces(config, refs)
    sampling = config.source.sampling
    try:
        Sampling(**sampling.model_dump())
        label_set((target, "") for target in model.targets)  # their names must be readable in a temporal prototype
    except ValueError as error:
        raise InputError(f"job {config.name!r}: {error}") from None
    for target in config.explain.targets if not isinstance(config.explain.targets, str) else ():
        if target not in model.targets:
            known = nearest(target, (*model.targets, *CHOICES))
            raise InputError(f"explain.targets: the model has no output {target!r}; {known}")
    clock = sampling.fps or sampling.start_s or sampling.stop_s
    if clock and any(ref.kind == "image_sequence" for ref in refs):
        raise InputError("source.sampling: numbered images have no clock; use stride, max_frames or slots")
    ledger = Ledger(store)
    old = superseded(ledger, partition)
    gone = set().union(*old.values())  # an input that is as it was before a change is new
    identities = [identity(ref, partition) for ref in refs]
    units = units_to_do(refs, partition, ledger.committed - gone, ledger.pack_members() - gone, identities)
    listed = set(identities)
    back = {unit_id: members & listed for unit_id, members in old.items() if members & listed}
    return Plan(model, partition, refs, units, listed, back, ledger)


def _check_faces(config: RunConfig, refs: list[SequenceRef]) -> None:
    detector = config.faces.detector
    waiting = [ref for ref in refs if not ref.skip_reason]
    known = any(ref.landmarks_uri or len(ref.landmarks) or ref.face_box for ref in waiting)
    if detector == "dataset" and waiting and not known:
        raise InputError(
            f"faces.detector: dataset, but none of the {len(waiting)} inputs has landmarks or a face box; "
            "give dlib, or none for the whole frame"
        )
    if detector in ("none", "dataset"):
        return
    if any(not ref.landmarks and not ref.landmarks_uri and not ref.skip_reason for ref in refs):
        check_detector(detector)


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
        _say_plan(config, plan)
        outcome = Outcome(found=len(plan.refs), already_done=len(plan.refs) - plan.to_do, partition=plan.partition)
        has_work = bool(plan.units)
        del plan
        gc.collect()  # PyTorch takes twice the memory that the listing of a large collection does; not both at once
        _check_method(config, has_work)
        return outcome
    store.check_writable()
    analysis_id = analysis_key(config)
    sweep_stage(plan.ledger)
    for folder in ("tables", SUMS):
        store.sweep_temporary(folder)
    stale = _stale_shards(plan.ledger, plan.partition, config)
    waiting = bool(unplanned(plan.ledger, plan.partition, plan.listed))
    outcome = Outcome(found=len(plan.refs), already_done=len(plan.refs) - plan.to_do, partition=plan.partition)
    behind = PublishedStages(store, plan.partition, plan.ledger.shards).waiting(STAGES, config)
    if not (plan.units or stale or waiting or behind):
        _count(outcome, store, plan)
        outcome.report = _report_page(config, store, plan)
        say(f"nothing to do: {outcome.found} of {outcome.found} inputs are done already in {config.output}")
        return outcome
    _check_relevance(config, stale, plan.ledger)
    _check_method(config, bool(plan.units))
    record = RunRecord(
        store, plan.partition, config, model_digest=plan.model.digest, weights_license=plan.model.licence or None
    )
    record.write(None)
    _announce(config, plan, outcome)
    engine = _engine(config, plan)
    with engine as n_cpus:
        if "explain" in config.phases and plan.units:
            plan.ledger.withdraw(plan.back)
            outcome.n_changed = _explain(config, store, plan, record.run_id, n_cpus)
        if "prototypes" in config.phases:
            metadata = _metadata(plan, config)
            _prototypes(config, store, plan, analysis_id, metadata, n_cpus)
            _publish_stages("prototypes", config, store, plan, metadata, config.resources.scheduler, n_cpus)
        _count(outcome, store, plan)
        record.known |= run_columns(store, plan.partition, config)
        if outcome.n_faceless:
            say(f"{outcome.n_faceless} of the {outcome.done} inputs that are done show no face that can be used")
        if outcome.n_outside:
            say(f"{outcome.n_outside} of the {outcome.done} inputs that are done have no frame in the sampling window")
        if REPORT in config.phases:
            record.write(outcome.counts())  # pages say what the run did
            _publish_stages(REPORT, config, store, plan, {}, "ray" if engine.needed else None, n_cpus)
            outcome.report = _report_page(config, store, plan)
    record.write(outcome.counts())
    return outcome


def _publish_stages(
    phase: str,
    config: RunConfig,
    store: Store,
    plan: Plan,
    metadata: dict[str, object],
    scheduler: str | None,
    n_cpus: int,
) -> None:
    """Publish the stages of a phase that are not current.

    Parameters
    ----------
    metadata
        For the files of tables.
    scheduler
        Of Dask tasks; None for stages that work in this process.
    """
    from fer_batch.pipeline.analysis.shard import compute_with

    published = PublishedStages(store, plan.partition)
    work = StageWork(
        store=store,
        partition=plan.partition,
        config=config,
        shards=tuple(published.shards),
        targets=plan.model.targets,
        metadata=metadata,
        n_inputs=len(plan.refs),
        compute=compute_with(scheduler, n_cpus) if scheduler else None,
    )
    for stage in published.waiting(STAGES, config):
        if stage.phase == phase:
            stage.publish(work)
            published.mark(stage, stage.key(config))


def _report_page(config: RunConfig, store: Store, plan: Plan) -> str | None:
    where = plan.partition
    page = f"{REPORT}/{where.dataset}/{where.model}/{where.explain}/index.html"
    return store.url(page) if REPORT in config.phases and store.exists(page) else None


def _check_method(config: RunConfig, has_work: bool) -> None:
    """Refuse a wrong method or option before anything starts; PyTorch is only imported where there is work for it."""
    if not has_work or "explain" not in config.phases:
        return
    from fer_batch import explain

    try:
        explain.method(config.explain.method, **config.explain.options)
    except (ValueError, TypeError) as error:
        raise InputError(f"explain: {error}") from None


def _say_dataset(config: RunConfig) -> None:
    """Tell what is left unread: labels of a known dataset that is given as plain media, and columns of a manifest."""
    source = config.source
    if source.format == "manifest" and (line := unread_columns(source.uri, source.columns)):
        say(line)
    if source.format in ("videos", "images", "image_sequences") and (around := dataset_around(source.uri)):
        name, folder = around[0], shlex.quote(around[1])
        say(f"format {source.format} reads no labels of {name}, in which this source lies: fer-batch inspect {folder}")


def _say_plan(config: RunConfig, plan: Plan) -> None:
    kinds, where = ", ".join(sorted({ref.kind for ref in plan.refs})), plan.partition
    say(f"{len(plan.refs)} inputs ({kinds}) in {config.source.uri}: {plan.to_do} to do, in {len(plan.units)} units")
    say(f"output {config.output}: dataset={where.dataset} model={where.model} explain={where.explain}")


def _say_faces(config: RunConfig, plan: Plan) -> None:
    """Tell where faces are cut otherwise than those the network was trained on, as its card says."""
    trained = plan.model.card.faces if plan.model.card else {}
    faces = config.faces
    other = [key for key, now in (("align", faces.align), ("margin", faces.margin)) if trained.get(key, now) != now]
    if (trained.get("detector", faces.detector) == "none") != (faces.detector == "none"):  # the whole frame
        other.append("detector")
    if other:
        then = ", ".join(f"faces.{name}={trained[name]}" for name in other)
        say(f"the network was trained on faces cut otherwise than this job cuts them: {then}")


def _announce(config: RunConfig, plan: Plan, outcome: Outcome) -> None:
    earlier = f", {outcome.already_done} done earlier" if outcome.already_done else ""
    inputs = "1 input" if outcome.found == 1 else f"{outcome.found} inputs"
    say(f"{config.name}: {inputs}, {plan.to_do} to do{earlier}; model {plan.model.model_id}")
    _say_faces(config, plan)
    if plan.model.demo:
        say(
            f"DEMO MODEL: {plan.model.card.notes if plan.model.card else 'its output on real faces is a demonstration'}"
        )


def _stale_shards(ledger: Ledger, partition: Partition, config: RunConfig) -> list[str]:
    """Shards of the partition that are planned and not published under this analysis.

    One that an earlier version analysed with the same options, and that kept too few maps to do it again, stays as it
    is: to refuse would make an output that holds months of work useless.
    """
    ids = [analysis_key(config, version) for version in range(ANALYSIS, 0, -1)]

    def is_stale(shard: ShardMarker | None) -> bool:
        return shard is None or shard.analysis_id not in (ids[:1] if shard.keep_relevance == "all" else ids)

    plans, shards = ledger.plans, ledger.shards
    return [name for name, plan in sorted(plans.items()) if plan.partition == partition and is_stale(shards.get(name))]


def _check_relevance(config: RunConfig, stale: list[str], ledger: Ledger) -> None:
    for name in stale:
        shard = ledger.shards.get(name)
        if shard and shard.keep_relevance != "all":
            raise InputError(
                f"spray, temporal_prototypes or regions changed, but keep_relevance: {shard.keep_relevance} kept too "
                f"few maps of {config.output!r} for a new analysis; restore the options or choose another output"
            )


class _engine:
    """Ray where a phase needs it; a context manager that gives the number of CPUs."""

    def __init__(self, config: RunConfig, plan: Plan) -> None:
        self.config = config
        explain = "explain" in config.phases and bool(plan.units)
        self.needed = explain or ("prototypes" in config.phases and config.resources.scheduler == "ray")
        self.context: Any = None

    def __enter__(self) -> int:
        resources = self.config.resources
        n_cpus = resources.num_cpus or os.cpu_count() or 1
        if self.needed:
            from fer_batch.pipeline.engine import ray_engine

            self.context = ray_engine(n_cpus, resources.object_store_mb)
            ray = self.context.__enter__()
            n_cpus = max(1, int(ray.cluster_resources().get("CPU", 1)))
        return n_cpus

    def __exit__(self, *exc: Any) -> None:
        if self.context is not None:
            self.context.__exit__(*exc)


def _explain(config: RunConfig, store: Store, plan: Plan, run_id: str, n_cpus: int) -> int:
    """Phase 1; how many inputs changed while they were read."""
    import ray

    from fer_batch.pipeline.explaining.chunk import ExplainOptions
    from fer_batch.pipeline.explaining.faces import DecodeOptions
    from fer_batch.pipeline.explaining.sink import SinkOptions
    from fer_batch.pipeline.explaining.stream import Bookkeeping, dataset_of, explain_units

    resources, faces = config.resources, config.faces
    decode = DecodeOptions(
        sampling=Sampling(**config.source.sampling.model_dump()),
        detector=faces.detector,
        choose=faces.choose,
        every=faces.every,
        align=faces.align,
        margin=faces.margin,
        min_size=faces.min_size,
        size=faces.size or plan.model.preprocessing.size,
        annotated=config.explain.targets == "annotated",
        timeout_s=resources.decode_timeout_s,
        memory_bytes=resources.decode_memory_mb << 20,
        root=Store(config.source.uri).uri,
        labels=config.labels.rule,
    )
    explain = ExplainOptions(
        model=plan.model,
        method=config.explain.method,
        options=dict(config.explain.options),
        targets=config.explain.targets,
        batch_size=config.explain.batch_size,
        n_threads=n_cpus,
    )
    sink = SinkOptions(store.uri, faces.store == "jpeg", _metadata(plan, config))
    num_gpus = resources.num_gpus
    available = ray.cluster_resources().get("GPU", 0)
    if num_gpus is None:
        num_gpus = 1.0 if available else 0.0
    elif num_gpus > available and not os.environ.get("RAY_ADDRESS"):
        raise InputError(f"resources.num_gpus is {num_gpus:g}, but this machine offers Ray {available:g} GPUs")
    books = Bookkeeping(store, plan.partition, run_id, plan.units)
    with progress("explain", plan.to_do, "input") as advance:
        explain_units(
            plan.units,
            books,
            lambda window: dataset_of(window, decode, explain, sink, resources.actors, num_gpus),
            resources.window,
            lambda rows: advance(len({row["input"] for row in rows})),
        )
    if books.changed:
        say(f"{len(books.changed)} inputs changed while they were read, such as {books.changed[0]}; run the job again")
    return len(books.changed)


def _prototypes(
    config: RunConfig, store: Store, plan: Plan, analysis_id: str, metadata: dict[str, object], n_cpus: int
) -> None:
    from fer_batch.pipeline.analysis.shard import ShardOptions, publish_shards

    ledger = Ledger(store)
    pending = _stale_shards(ledger, plan.partition, config)
    commits = unplanned(ledger, plan.partition, plan.listed)
    pending += plan_shards(ledger, plan.partition, commits, config.resources.shard_units)
    plans = without_replaced(ledger, [ledger.plans[name] for name in pending])
    options = ShardOptions(
        output=store.uri,
        partition=plan.partition,
        analysis=AnalysisOptions(
            targets=plan.model.targets,
            head=plan.model.head,
            threshold=plan.model.threshold,
            spray=config.spray.model_dump(exclude={"max_frames"}),
            max_frames=config.spray.max_frames,
            regions=config.regions,
            crop_size=config.faces.size or plan.model.preprocessing.size,
            analysis_id=analysis_id,
            min_run=config.temporal_prototypes.min_run,
        ),
        keep_relevance=config.keep_relevance,
        metadata=metadata,
    )
    drop_replaced(store, plan.partition, plans)
    with progress("prototypes", sum(len(p.sequences) for p in plans), "sequence") as advance:
        publish_shards(plans, options, config.resources.scheduler, n_cpus, advance)


def _metadata(plan: Plan, config: RunConfig) -> dict[str, object]:
    return {
        "fer_batch_version": __version__,
        "schema_version": str(SCHEMA_VERSION),
        "model_digest": plan.model.digest,
        "decoder": f"PyAV {importlib.metadata.version('av')}",
        "seed": str(config.spray.seed),
        "head": plan.model.head,
        "explain_key": explain_key(config, plan.model),
    }


def _count(outcome: Outcome, store: Store, plan: Plan) -> None:
    """Status of every input of the listing, from the published table and from commits that wait for their tables."""
    partition = plan.partition
    table = read(
        store,
        "sequences",
        dataset=partition.dataset,
        model=partition.model,
        explain=partition.explain,
        columns=["sequence_id", "status", "reason"],
    )
    rows = {row["sequence_id"]: row for row in table.to_pylist()}
    ledger = Ledger(store)
    published = {unit_id for shard in ledger.shards.values() for unit_id in shard.units}
    for commit in ledger.commits(ledger.committed - published).values():
        rows.update({row["sequence_id"]: row for row in commit.sequences if row["identity"] in plan.listed})
    inputs = {ref.sequence_id for ref in plan.refs}
    for sequence_id, row in list(rows.items()):
        if row["status"] == "failed":  # an input has failed where one of its people has
            rows[input_id(sequence_id, inputs)] = row
    outcome.done = outcome.partial = outcome.failed = outcome.skipped = 0
    outcome.failures, outcome.partials, outcome.n_faceless, outcome.n_outside = [], [], 0, 0
    for sequence_id in sorted(inputs & set(rows)):
        row = rows[sequence_id]
        setattr(outcome, row["status"], getattr(outcome, row["status"]) + 1)
        outcome.n_faceless += row["status"] == "done" and row.get("reason") == NO_FACE
        outcome.n_outside += row["status"] == "done" and row.get("reason") == NO_FRAME
        if row["status"] in ("failed", "partial"):
            named = outcome.failures if row["status"] == "failed" else outcome.partials
            named.append((sequence_id, row.get("reason") or "no reason was recorded"))
    known = outcome.done + outcome.partial + outcome.failed + outcome.skipped
    if known < outcome.found:
        if outcome.found - known > outcome.n_changed:
            say(f"{outcome.found - known - outcome.n_changed} inputs wait for a run whose phases include explain")
        outcome.found = known
