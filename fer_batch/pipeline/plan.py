"""What a run will do: the listing without what is committed, and every check that can be made before it starts.

Nothing here imports PyTorch, Ray or Dask, so that a run with nothing to do answers in seconds.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fer_batch.config import CHOICES, RunConfig
from fer_batch.media.landmarks import check_detector
from fer_batch.models.card import ResolvedModel, resolve
from fer_batch.pipeline.analysis.key import ANALYSIS, analysis_key
from fer_batch.pipeline.analysis.plans import superseded
from fer_batch.pipeline.explaining.units import (
    ExplanationRefused,
    Unit,
    count_inputs,
    identity,
    partition_of,
    units_to_do,
)
from fer_batch.pipeline.progress import say
from fer_batch.prototypes.episodes import EpisodeRule
from fer_batch.prototypes.stages import label_set
from fer_batch.registry import nearest
from fer_batch.sources.listing import list_source
from fer_batch.sources.manifest_table import unread_columns
from fer_batch.sources.recognise import dataset_around
from fer_batch.storage.manifest import Ledger
from fer_batch.storage.markers import ShardMarker
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.types import InputError, SequenceRef


@dataclass(frozen=True)
class Basis:
    """What the explanations of a job share: the network, the listing, and what the output holds."""

    model: ResolvedModel
    refs: list[SequenceRef]
    ledger: Ledger


@dataclass(frozen=True)
class Plan:
    """What a run would do for one explanation.

    Attributes
    ----------
    model, partition
        The network, and where the rows of this job go.
    refs
        Every input of the listing.
    units
        Those that phase 1 has yet to do, as it does them.
    listed
        Identities of the inputs.
    returned
        Inputs that are again what they were before a newer plan replaced them, by unit.
    ledger
        What is committed, planned and published.
    """

    model: ResolvedModel
    partition: Partition
    refs: list[SequenceRef]
    units: list[Unit]
    listed: set[str]
    returned: dict[str, set[str]]
    ledger: Ledger

    @property
    def to_do(self) -> int:
        """Inputs that phase 1 has yet to do."""
        return count_inputs(self.units)


def make_plans(configs: Sequence[RunConfig], store: Store) -> list[Plan]:
    """List the source once, and subtract what is committed of each explanation.

    Parameters
    ----------
    configs
        The job with each of its explanations.
    store
        The output.

    Raises
    ------
    InputError
        If source, model or detector are not what the job says, or two explanations are the same.
    """
    config = configs[0]
    model = resolve(config.model)
    _check_different(configs, model)
    source = config.source
    refs = list_source(source.format, source.uri, source.pattern, source.keywords)
    _say_dataset(config)
    check_faces(config, refs)
    _check_sampling(config, refs)
    for one in configs:
        _check_targets(one, model)
    basis = Basis(model, refs, Ledger(store))
    return [_plan(one, basis) for one in configs]


def _plan(config: RunConfig, basis: Basis) -> Plan:
    model, refs, ledger = basis.model, basis.refs, basis.ledger
    partition = partition_of(config, model)
    old = superseded(ledger, partition)
    gone = set().union(*old.values())  # an input that is as it was before a change is new
    identities = [identity(ref, partition) for ref in refs]
    units = units_to_do(refs, partition, ledger.committed - gone, ledger.pack_members() - gone, identities)
    listed = set(identities)
    returned = {unit_id: members & listed for unit_id, members in old.items() if members & listed}
    return Plan(model, partition, refs, units, listed, returned, ledger)


def replan(config: RunConfig, plan: Plan, store: Store, fresh: Mapping[str, SequenceRef]) -> Plan:
    """The plan of an explanation with some inputs as they are now, and without what was committed since.

    Parameters
    ----------
    config, plan
        Of the explanation.
    store
        The output.
    fresh
        Inputs that changed, as a new listing finds them.
    """
    refs = [fresh.get(ref.sequence_id, ref) for ref in plan.refs]
    return _plan(config, Basis(plan.model, refs, Ledger(store)))


def _check_different(configs: Sequence[RunConfig], model: ResolvedModel) -> None:
    places: dict[Partition, int] = {}
    for k, config in enumerate(configs):
        partition = partition_of(config, model)
        first = places.setdefault(partition, k)
        if first != k:
            raise InputError(
                f"explain.{first} and explain.{k} are the same explanation ({partition.explain}); "
                "remove one, or give it other targets or options"
            )


def name_of(configs: Sequence[RunConfig], k: int) -> str:
    """What an error calls an explanation of a job: its place and method; empty where it is the only one."""
    return f"explain.{k} ({configs[k].explain.method})" if len(configs) > 1 else ""


def _check_sampling(config: RunConfig, refs: list[SequenceRef]) -> None:
    sampling = config.source.sampling
    clock = sampling.fps or sampling.start_s or sampling.stop_s
    if clock and any(ref.kind == "image_sequence" for ref in refs):
        raise InputError("source.sampling: numbered images have no clock; use stride, max_frames or slots")


def _check_targets(config: RunConfig, model: ResolvedModel) -> None:
    try:
        label_set((target, "") for target in model.targets)  # their names must be readable in a temporal prototype
    except ValueError as error:
        raise InputError(f"job {config.name!r}: {error}") from None
    for target in config.explain.targets if not isinstance(config.explain.targets, str) else ():
        if target not in model.targets:
            known = nearest(target, (*model.targets, *CHOICES))
            raise InputError(f"explain.targets: the model has no output {target!r}; {known}")
    for target in config.episodes.rest:
        if target not in (*model.targets, *EpisodeRule().rest):  # what is rest by default need not be there
            raise InputError(f"episodes.rest: the model has no output {target!r}; {nearest(target, model.targets)}")


def check_faces(config: RunConfig, refs: Sequence[SequenceRef]) -> None:
    """Refuse a way to find faces that cannot find those of some inputs.

    Raises
    ------
    InputError
        If the job wants landmarks of the dataset and there are none, or a detector that is not installed.
    """
    detector = config.faces.detector
    waiting = [ref for ref in refs if not (ref.skip_reason or ref.refusal or ref.crops)]
    known = any(ref.landmarks_uri or len(ref.landmarks) or ref.face_box for ref in waiting)
    if detector == "dataset" and waiting and not known:
        raise InputError(
            f"faces.detector: dataset, but none of the {len(waiting)} inputs has landmarks or a face box; "
            "give dlib, or none for the whole frame"
        )
    if detector in ("none", "dataset"):
        return
    if any(not ref.landmarks and not ref.landmarks_uri for ref in waiting):
        check_detector(detector)


def check_methods(configs: Sequence[RunConfig], has_work: Sequence[bool]) -> None:
    """Refuse a wrong method or option before anything starts; PyTorch is imported only where there is work for it.

    Parameters
    ----------
    configs
        The job with each of its explanations.
    has_work
        Whether phase 1 has anything to do for it.

    Raises
    ------
    ExplanationRefused
        If a method or one of its options is wrong.
    """
    for k, (config, waits) in enumerate(zip(configs, has_work, strict=True)):
        if not waits or "explain" not in config.phases:
            continue
        from fer_batch import explain

        try:
            explain.method(config.explain.method, **config.explain.options)
        except (ValueError, TypeError) as error:
            raise ExplanationRefused(k, f"{name_of(configs, k) or 'explain'}: {error}") from None


def stale_shards(ledger: Ledger, partition: Partition, config: RunConfig) -> list[str]:
    """Shards of the partition that are planned and not published under this analysis; none of a prune.

    One that an earlier version analysed with the same options, and that kept too few maps to do it again, stays as it
    is: to refuse would make an output that holds months of work useless.
    """
    ids = [analysis_key(config, version) for version in range(ANALYSIS, 0, -1)]

    def is_stale(shard: ShardMarker | None) -> bool:
        return shard is None or shard.analysis_id not in (ids[:1] if shard.keep_relevance == "all" else ids)

    plans, shards = ledger.plans, ledger.shards
    own = [name for name, plan in sorted(plans.items()) if plan.partition == partition and not plan.pruned]
    return [name for name in own if is_stale(shards.get(name))]


def check_relevance(config: RunConfig, stale: list[str], ledger: Ledger) -> None:
    """Refuse a new analysis of shards that kept too few maps for it.

    Parameters
    ----------
    config
        The job.
    stale
        Shards that wait for an analysis, from `stale_shards`.
    ledger
        Of the output.

    Raises
    ------
    InputError
        If one of them has not all its maps.
    """
    for name in stale:
        shard = ledger.shards.get(name)
        if shard and shard.keep_relevance != "all":
            raise InputError(
                f"spray, temporal_prototypes or regions changed, but keep_relevance: {shard.keep_relevance} kept too "
                f"few maps of {config.output!r} for a new analysis; restore the options or choose another output"
            )


def _say_dataset(config: RunConfig) -> None:
    """Print what is left unread: labels of a known dataset that is given as plain media, and columns of a manifest."""
    source = config.source
    if source.format == "manifest" and (line := unread_columns(source.uri, source.columns)):
        say(line)
    if source.format in ("videos", "images", "image_sequences") and (around := dataset_around(source.uri)):
        name, folder = around[0], shlex.quote(around[1])
        say(f"format {source.format} reads no labels of {name}, in which this source lies: fer-batch inspect {folder}")


def waiting_inputs(plans: Sequence[Plan]) -> set[str]:
    """Inputs that phase 1 has yet to do for some explanation, by name."""
    return {ref.sequence_id for plan in plans for unit in plan.units for ref in unit.members}
