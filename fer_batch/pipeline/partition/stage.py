"""What is made over all shards of a partition, in order, and the one rule by which it is current.

A stage is current if what it was published from equals what it would be published from now: its version, the options
that it depends on, the published shards, and the earlier stages that it reads. The stages that there are stand in
`pipeline.stages`.

Nothing here imports PyTorch, Ray or Dask, so that a run with nothing to do answers in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fer_batch.config import RunConfig
from fer_batch.storage.manifest import SHARDS, digest, dump, load_folder
from fer_batch.storage.markers import ShardMarker
from fer_batch.storage.parquet import Partition
from fer_batch.storage.store import Store
from fer_batch.storage.tables import SCHEMA_VERSION

PUBLISHED = "_published"  # one file for each partition: from what each of its stages was published
WAVE = 64  # tasks at a time: what is in memory does not grow with the collection

Compute = Callable[[list[Any]], list[Any]]
Options = dict[str, str | int | float | None]


@dataclass(frozen=True)
class StageWork:
    """What a stage is published with.

    Attributes
    ----------
    store, partition, config
    shards
        Published ones of the partition, by name.
    targets
        What the outputs of the network stand for.
    metadata
        For the files of tables.
    n_inputs
        Of the listing.
    compute
        Runs a list of Dask tasks; None where the stage is to do its work in this process.
    head, threshold
        Of the network: `multilabel` or `softmax`, and the probability from which on a target is active.
    """

    store: Store
    partition: Partition
    config: RunConfig
    shards: tuple[str, ...]
    targets: tuple[str, ...]
    metadata: Mapping[str, object]
    n_inputs: int
    compute: Compute | None
    head: str = "multilabel"
    threshold: float = 0.5

    def over_shards(self, function: Callable[..., Any], shards: Sequence[Any], *more: Any) -> Iterator[Any]:
        """Results of `function(output, shard, *more)` in the order of the shards, as Dask tasks where these run.

        Parameters
        ----------
        function
            At the top of a module.
        shards
            By name, or several names for each task.
        more
            Further arguments.
        """
        if self.compute is None:
            yield from (function(self.store.uri, shard, *more) for shard in shards)
            return
        import dask

        task = dask.delayed(function, pure=False)
        for start in range(0, len(shards), WAVE):
            yield from self.compute([task(self.store.uri, shard, *more) for shard in shards[start : start + WAVE]])


@dataclass(frozen=True)
class PartitionStage:
    """One analysis over all shards of a partition.

    Attributes
    ----------
    name
    tables
        That it writes.
    version
        Raised when equal inputs and options would give another result.
    key
        Of a job, the options that change the result and that the shards do not show.
    publish
        Writes what it makes, each file whole.
    phase
        Of the job, in which it is made.
    reads
        Earlier stages whose tables it reads.
    """

    name: str
    tables: tuple[str, ...]
    version: int
    key: Callable[[RunConfig], Options]
    publish: Callable[[StageWork], None]
    phase: str
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageState:
    """What a stage was, or would be, published from.

    Attributes
    ----------
    version
        Of the stage.
    key
        Options of the job that it depends on.
    inputs
        Digest of the identities of what it reads.
    """

    version: int
    key: Options
    inputs: str


class PublishedStages:
    """From what the stages of a partition were published, and whether that is what they would be published from now.

    Parameters
    ----------
    store, partition
    markers
        Of the published shards of the output, where they are read already.

    Attributes
    ----------
    shards
        Analysis of each published shard of the partition.
    """

    def __init__(self, store: Store, partition: Partition, markers: Mapping[str, ShardMarker] | None = None) -> None:
        self.store, self.partition = store, partition
        if markers is None:
            markers = load_folder(store, ShardMarker, SHARDS)
        self.shards = {
            name: marker.analysis_id for name, marker in sorted(markers.items()) if marker.partition == partition
        }
        self._states = self._read()

    @property
    def path(self) -> str:
        """Where the states are kept."""
        return f"{PUBLISHED}/{digest(asdict(self.partition))}.json"

    def _read(self) -> dict[str, StageState]:
        if not self.store.exists(self.path):
            return {}
        try:
            stages = json.loads(self.store.read_bytes(self.path))["stages"]
            return {name: StageState(**state) for name, state in stages.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            return {}  # of another version, or damaged: all is made again, and nothing is lost by it

    def options(self, name: str) -> Options | None:
        """The options that a stage was published with; None where it was not."""
        state = self._states.get(name)
        return state.key if state else None

    def wanted(self, stage: PartitionStage, key: Options) -> StageState:
        """What a stage would be published from now."""
        earlier = {name: asdict(state) for name in stage.reads if (state := self._states.get(name))}
        return StageState(stage.version, key, digest([SCHEMA_VERSION, self.shards, earlier]))

    def is_current(self, stage: PartitionStage, key: Options) -> bool:
        """Whether a stage was published from what it would be published from now."""
        return bool(self.shards) and self._states.get(stage.name) == self.wanted(stage, key)

    def waiting(self, stages: Sequence[PartitionStage], config: RunConfig) -> list[PartitionStage]:
        """Stages of the phases of a job that are not current; none as long as no shard is published.

        Parameters
        ----------
        stages
            In the order in which they are published.
        config
            Of the job.
        """
        if not self.shards:
            return []
        stale: list[PartitionStage] = []
        for stage in stages:
            behind = any(one.name in stage.reads for one in stale)
            if stage.phase in config.phases and (behind or not self.is_current(stage, stage.key(config))):
                stale.append(stage)
        return stale

    def mark(self, stage: PartitionStage, key: Options) -> None:
        """Remember that a stage is published; its files are there."""
        self._states = self._read()  # publishing one stage may have published an earlier one
        self._states[stage.name] = self.wanted(stage, key)
        states = {name: asdict(state) for name, state in self._states.items()}
        self.store.put(self.path, dump({"stages": states}))
