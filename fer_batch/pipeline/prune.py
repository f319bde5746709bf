"""Inputs that are gone from their source: which they are, and taking them out of an output (`fer-batch prune`)."""

from __future__ import annotations

import contextlib
import shlex
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from fer_batch.config.sections import SourceConfig
from fer_batch.output.latest_run import latest_run
from fer_batch.pipeline.analysis.pruning import (
    begun_pruning,
    carry_out,
    held_inputs,
    plan_pruning,
    waiting_units,
    withdraw_waiting,
)
from fer_batch.pipeline.failures import failure_sentence
from fer_batch.pipeline.partition.stage import PublishedStages
from fer_batch.pipeline.report.navigation import folder_of
from fer_batch.pipeline.report.sequence import thumbnail_path
from fer_batch.pipeline.report.write import FIGURES
from fer_batch.report.sequence import sequence_path
from fer_batch.report.text import slug
from fer_batch.sources.listing import list_source
from fer_batch.storage.heartbeat import PRUNE, Work, beating, read_signs
from fer_batch.storage.manifest import COMMITS, Ledger
from fer_batch.storage.markers import ShardPlan
from fer_batch.storage.parquet import Partition, read
from fer_batch.storage.store import Store
from fer_batch.types import InputError

AT_MOST = 0.2  # share of the inputs of a partition that may be gone without a word from the user
LISTED = 20
LOOKED_AT = 100  # inputs of which the file is looked for: each is a request of an object store


@dataclass(frozen=True)
class Gone:
    """What a partition has of inputs that its source has not.

    Attributes
    ----------
    partition
    source
        Where its latest run looked, or where the user says that it is now.
    n_inputs
        Inputs that the partition has.
    inputs
        Those that the job would not find any more, sorted.
    there
        Those of the first `LOOKED_AT` of them whose file is there all the same: a manifest, a pattern or an
        option leaves it out.
    """

    partition: Partition
    source: str
    n_inputs: int
    inputs: tuple[str, ...]
    there: tuple[str, ...] = ()


def find_gone(store: Store, uri: str | None = None) -> list[Gone]:
    """Inputs of every partition that the job of its latest run would not find any more.

    Parameters
    ----------
    store
        The output.
    uri
        Where the source is now, in the place of what the job says.

    Raises
    ------
    InputError
        If there is no output, a source cannot be listed or holds nothing (it may not be mounted), or one is given for
        several data sets.
    """
    if not store.exists("tables") and not store.exists(COMMITS):
        raise InputError(f"{store.uri!r} is no output of fer-batch: it has neither 'tables' nor '{COMMITS}'")
    ledger, listings = Ledger(store), dict[str, set[str]]()
    found = []
    if not (partitions := _partitions(ledger)):
        raise InputError(f"{store.uri!r} has no inputs of a run: there is nothing to prune")
    datasets = sorted({partition.dataset for partition in partitions})
    if uri and len(datasets) > 1:
        raise InputError(f"--source is of one data set, and {store.uri!r} has {', '.join(datasets)}; prune without it")
    for partition in partitions:
        source = _source_of(store, partition, uri)
        key = source.model_dump_json()
        if key not in listings:
            listings[key] = {
                ref.sequence_id for ref in list_source(source.format, source.uri, source.pattern, source.keywords)
            }
        held = set(held_inputs(ledger, partition)).union(*waiting_units(ledger, partition).values())
        gone = tuple(sorted(held - listings[key]))
        found.append(Gone(partition, source.uri, len(held), gone, tuple(_still_there(store, partition, gone))))
    return found


def _partitions(ledger: Ledger) -> list[Partition]:
    waiting = ledger.commits(ledger.committed - ledger.planned_units()).values()
    known = {plan.partition for plan in ledger.plans.values()} | {commit.partition for commit in waiting}
    return sorted(known, key=str)


def _source_of(store: Store, partition: Partition, uri: str | None) -> SourceConfig:
    values = latest_run(store, partition).get("config", {}).get("source")
    if not values:
        raise InputError(f"no run in {store.uri!r} says where the source of {partition.dataset!r} is")
    known = {name: value for name, value in values.items() if name in SourceConfig.model_fields}
    return SourceConfig.model_validate(known | ({"uri": uri} if uri else {}))


def _still_there(store: Store, partition: Partition, gone: Sequence[str]) -> Iterator[str]:
    if not gone:
        return
    rows = read(
        store,
        "sequences",
        **partition.key,
        columns=["sequence_id", "uri"],
        filters=pc.field("sequence_id").isin(list(gone[:LOOKED_AT])),
    )
    for row in sorted(rows.to_pylist(), key=lambda row: row["sequence_id"]):
        if row["uri"] and Store(row["uri"]).exists():
            yield row["sequence_id"]


def prune(store: Store, gone: Sequence[Gone], at_most: float = AT_MOST) -> None:
    """Take inputs that are gone out of an output; killed anywhere, done again it ends what was begun.

    Their rows leave every table, their annotations those of the data set where no other partition has the input, and
    nothing says any more that they are done. What is made over all shards, and the pages, the next run makes again.

    Parameters
    ----------
    store
        The output.
    gone
        From `find_gone`.
    at_most
        Share of the inputs of a partition that may be gone.

    Raises
    ------
    InputError
        If more are gone, or a run goes on in the output.
    """
    _refuse_beside(store)
    check_share(gone, at_most)
    with _alone(store) as ledger:
        _take_out(ledger, gone)


def end_begun(store: Store) -> None:
    """End the prunes of an output that were killed, as the next prune does.

    Raises
    ------
    InputError
        If a run or a prune goes on in the output.
    """
    _refuse_beside(store)
    with _alone(store):
        pass


def refuse_beside_prune(store: Store) -> None:
    """Refuse to run while a prune goes on: it changes the plans that a run stands on.

    Raises
    ------
    InputError
        If it is so.
    """
    for sign in read_signs(store):
        if sign.prunes and sign.state == "running":
            raise InputError(
                f"a prune goes on in this output (process {sign.pid} on {sign.host}): {store.uri!r}; let it end, and "
                "run again"
            )


@contextlib.contextmanager
def _alone(store: Store) -> Iterator[Ledger]:
    """Within it, no run starts, because the output shows that a prune goes on; what was begun is ended."""
    own = f"{PRUNE}{uuid.uuid4().hex[:12]}"
    with beating(store, [own], lambda: Work("prune"), failure_sentence):
        _refuse_beside(store, own)
        ledger = Ledger(store)
        for plan in begun_pruning(ledger):
            _carry_out(ledger, plan)
        yield ledger


def _refuse_beside(store: Store, own: str = "") -> None:
    for sign in read_signs(store):
        if sign.state == "running" and own not in sign.run_ids:
            raise InputError(
                f"a {'prune' if sign.prunes else 'run'} goes on in this output (process {sign.pid} on {sign.host}): "
                f"{store.uri!r}; stop it or let it end, then do this again"
            )


def _take_out(ledger: Ledger, gone: Sequence[Gone]) -> None:
    for one in gone:
        kept = _kept_elsewhere(ledger, one.partition, gone)
        waiting = set(one.inputs)
        if waiting & held_inputs(ledger, one.partition).keys():
            _carry_out(ledger, plan_pruning(ledger, one.partition, one.inputs, waiting - kept))
        withdraw_waiting(ledger, one.partition, one.inputs)


def check_share(gone: Iterable[Gone], at_most: float) -> None:
    """Refuse where so many inputs are gone that the source is more likely not whole.

    Raises
    ------
    InputError
        If it is so.
    """
    for one in gone:
        if one.inputs and len(one.inputs) / one.n_inputs > at_most:
            enough = -(-100 * len(one.inputs) // one.n_inputs) / 100  # rounded up
            raise InputError(
                f"{len(one.inputs)} of the {one.n_inputs} inputs of {one.partition.dataset!r} are gone from "
                f"{one.source!r}, more than {at_most:.0%}: is all of it mounted? Nothing was changed; if they are to "
                f"go, --at-most {enough:g} or more says so"
            )


def _kept_elsewhere(ledger: Ledger, partition: Partition, gone: Sequence[Gone]) -> set[str]:
    """Inputs that another partition of the data set keeps."""
    of_others: Mapping[Partition, set[str]] = {one.partition: set(one.inputs) for one in gone}
    others = {plan.partition for plan in ledger.plans.values() if plan.partition.dataset == partition.dataset}
    kept: set[str] = set()
    for other in others - {partition}:
        kept |= held_inputs(ledger, other).keys() - of_others.get(other, set())
    return kept


def _carry_out(ledger: Ledger, plan: ShardPlan) -> None:
    store = ledger.store
    # First: what is over all shards then is made again whoever goes on.
    store.delete(PublishedStages(store, plan.partition).path)
    folder = folder_of(plan.partition)
    for name in plan.sequences:  # pages may show faces
        for path in (sequence_path(name), thumbnail_path(name), f"{FIGURES}/{slug(name)}"):
            store.delete(f"{folder}/{path}")
    carry_out(ledger, plan)


def is_begun(store: Store) -> bool:
    """Whether a prune was killed before it ended."""
    return bool(begun_pruning(Ledger(store)))


def gone_text(gone: Sequence[Gone], done: bool, out: str, begun: bool = False) -> str:
    """What is gone, or was taken out, for a person.

    Parameters
    ----------
    gone
        From `find_gone`.
    done
        Whether it was taken out.
    out
        The output, as the user calls it.
    begun
        Whether a prune was killed before it ended.
    """
    lines = []
    for one in gone:
        lines.append(
            f"dataset={one.partition.dataset} model={one.partition.model} explain={one.partition.explain}: "
            f"{len(one.inputs)} of {one.n_inputs} inputs are gone from {one.source}"
        )
        lines += [f"  {name}" for name in one.inputs[:LISTED]]
        if len(one.inputs) > LISTED:
            lines.append(f"  ... and {len(one.inputs) - LISTED} more")
        if one.there:
            of = "them" if len(one.inputs) <= LOOKED_AT else f"the first {LOOKED_AT}"
            lines.append(f"  files that the job no longer lists: {len(one.there)} of {of}, such as {one.there[0]}")
    if begun:
        lines.append(f"an earlier prune did not end; {'now it has' if done else '--yes ends it'}")
    if not any(one.inputs for one in gone):
        lines.append("nothing is gone")
    elif done:
        lines.append("their rows are taken out; the next run of the job makes again what is over all inputs, and pages")
    else:
        lines.append(f"nothing was changed; to take out their rows: fer-batch prune {shlex.quote(out)} --yes")
    return "\n".join(lines)
